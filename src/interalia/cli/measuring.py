"""evaluate, likelihood, report, reproduce: what a run is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from interalia.cli.asking import OPENING, Opening, RunFolder, TrustGenerator, app, listed, say


@app.command
def evaluate(
    run: RunFolder,
    *,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    features: Literal["auto", "classifier", "random", "inception"] = "auto",
    metrics: str | None = None,
    best: bool = False,
    opening: Opening = OPENING,
) -> None:
    """Measure a run on held-out data and write results.json, with the protocol of every number.

    Parameters
    ----------
    split
        The part of the data to measure on.
    count
        How many samples and held-out images; by default up to 5,000.
    features
        Whose features the distances are computed in.
    metrics
        Which metrics, with commas between them (see `interalia list metrics`); by default all that there are of this run.
    best
        Measure the best weights by the run's declared measure, in place of the last.
    """
    from interalia import reports

    trained = opening(run, best)
    given: dict[str, Any] = {"split": split, "count": count, "features": features, "names": listed(metrics)}
    found = reports.evaluate(trained, **given, seed=opening.seed, weights="best" if best else "last")
    reports.print_metrics(found)
    say(f"Written: {reports.folder_of(trained).results}")


@app.command
def likelihood(
    run: RunFolder,
    *,
    how: str | None = None,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    samples: int | None = None,
    chains: int | None = None,
    temperatures: int | None = None,
    leapfrog: int | None = None,
    path: Literal["sigmoidal", "linear"] | None = None,
    initial: Literal["posterior", "prior"] | None = None,
    simulated: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    best: bool = False,
    opening: Opening = OPENING,
) -> None:
    """Estimate log p(x) of held-out data, and write likelihood.json and likelihood.md, with the protocol of every number.

    Parameters
    ----------
    how
        Which estimates, with commas between them: elbo, iwae (importance-weighted), ais (annealed importance sampling, with
        its bidirectional check), kde (kernel density); by default all but the last that the game has the densities for.
    split
        The part of the data to measure on.
    count
        How many images, drawn by the seed; by default all of them.
    samples
        How many to draw: for elbo (100 where it is not given), for iwae its K (5,000), for kde the kernels' (10,000).
    chains
        Of each image, for ais (16).
    temperatures
        Of a chain (1,000).
    leapfrog
        Steps of a transition of Hamiltonian Monte Carlo (10).
    path
        How chains are heated along the geometric path p_0^(1-b) p_1^b: b evenly (linear), or slowly at both ends (sigmoidal,
        the default).
    initial
        What chains start from: the Gaussian of the encoder's moments (the default) or the prior.
    simulated
        Images of the model's own by which ais is checked (100); 0 leaves the check out.
    precision
        Of ais's gradients within trajectories, by which it loses no exactness: auto (the default), fp32 or bf16.
    best
        Measure the best weights by the run's declared measure, in place of the last.
    """
    from interalia import reports

    trained = opening(run, best)
    annealing = {
        "chains": chains, "temperatures": temperatures, "leapfrog": leapfrog, "path": path, "initial": initial,
        "simulated": simulated, "precision": precision,
    }  # fmt: skip
    given: dict[str, Any] = {"split": split, "count": count, "samples": samples, "annealing": annealing}
    found = reports.likelihood(trained, listed(how), **given, seed=opening.seed, weights="best" if best else "last")
    reports.print_likelihood(found)
    say(f"Written: {reports.folder_of(trained).likelihood}")
    if found["interrupted"]:
        raise KeyboardInterrupt


@app.command
def report(
    run: Annotated[Path, Parameter(help="The folder of a run.")], *, trust_generator: TrustGenerator = False
) -> None:
    """Draw the figures anew and write the run's page, report.html, from what the folder holds."""
    from interalia import reports
    from interalia.runs import FROM_PYTHON
    from interalia.runs.folder import Folder

    if Folder(run).run().game == FROM_PYTHON:  # which only Python can load, so that the figures are as they are
        say(f"The page of results: {reports.write(run)}")
    else:
        say(f"The page of results: {reports.page(Opening(trust_generator=trust_generator)(run))}")


@app.command
def reproduce(
    name: str | None = None,
    *,
    quick: bool = False,
    root: Path | None = None,
    out: Path = Path("runs/reproduce"),
    seeds: int | None = None,
    steps: int | None = None,
    only: str | None = None,
    again: bool = False,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
) -> None:
    """Do an experiment of a paper anew: its table, with the paper's figures beside ours.

    Parameters
    ----------
    name
        The experiment (see `interalia list experiments`); by default mixture-25.
    quick
        A form of under a minute that shows the table's shape and proves nothing.
    root
        The folder of data files that are there already.
    out
        The folder for the table and for the rows that are done; an interrupted experiment goes on from them.
    seeds
        How many seeds, in place of the experiment's own number.
    steps
        The length of every training, in place of the protocol's; the table says that it was cut.
    only
        Do only the rows whose name has this in it.
    again
        Forget the rows that are done, and begin anew.
    list_
        Do nothing, and print the rows: our figures where they are known, the paper's, and what a row costs.
    """
    from interalia import papers

    form = {"quick": quick, "root": root, "out": out, "seeds": seeds, "steps": steps}
    if list_:
        say(papers.listing(name or "mixture-25", **form))
    else:
        papers.reproduce(name or "mixture-25", only=only, again=again, **form)
