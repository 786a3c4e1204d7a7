"""The commands evaluate, likelihood and report, which evaluate a run, and reproduce, which repeats a paper's experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from interalia import registry
from interalia.cli.common import RUN_OPTIONS, RunOptions, RunPath, app, say, split_names, weights_or_folder

Split = Literal["test", "validation"]


def entries(text: str | None, kind: str) -> list[str] | None:
    """Returns the registered names of the components that a text lists; None if the text is None.

    A name of no component stays as it is.

    Arguments:
        text: names in upper or lower case, or aliases, separated by commas.
        kind: the kind of the components, such as "metrics".
    """
    return None if text is None else [registry.canonical(name, kind) for name in split_names(text)]


@app.command
def evaluate(
    run: RunPath,
    *,
    split: Split = "test",
    count: int | None = None,
    features: str = "auto",
    trust_features: Annotated[bool, Parameter(negative="")] = False,
    metrics: str | None = None,
    options: RunOptions = RUN_OPTIONS,
) -> None:
    """Compute metrics on held-out data; writes results.json and results.md.

    Parameters
    ----------
    split
        Split of the data to evaluate on.
    count
        Number of samples and of held-out images; by default up to 5,000.
    features
        Network whose features the distances are computed in: a classifier of the data's labels, a random untrained one, or
        inception, which gives FID and KID, or a .pt2 file that torch.export.save wrote, whose name the distances get. By
        default (auto) the classifier if the data have labels, else the random one.
    trust_features
        Open the file --features, which can execute any code of its author.
    metrics
        Names of metrics, separated by commas (see `interalia list metrics`); by default all that fit the run.
    """
    from interalia import reports
    from interalia.training.processes import together

    names = entries(metrics, "metrics")
    chosen: dict[str, Any] = {"split": split, "count": count, "features": features, "names": names}
    chosen |= {"trust_features": trust_features, "seed": options.seed, "weights": options.checkpoint}
    with together(options.device) as team:
        trained = options.open(run)
        found = reports.evaluate(trained, **chosen, write=team.first)
    if team.first:
        reports.print_metrics(found)
        reports.print_assessment(trained)
        say(f"Written: {reports.folder_of(trained).results}")


@app.command
def likelihood(
    run: RunPath,
    *,
    estimator: str | None = None,
    split: Split = "test",
    count: int | None = None,
    samples: int | None = None,
    chains: int | None = None,
    temperatures: int | None = None,
    leapfrog: int | None = None,
    path: Literal["sigmoidal", "linear"] | None = None,
    initial: Literal["posterior", "prior"] | None = None,
    simulated: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] | None = None,
    options: RunOptions = RUN_OPTIONS,
) -> None:
    """Estimate log p(x) of held-out data; writes likelihood.json and likelihood.md.

    Parameters
    ----------
    estimator
        Estimators, separated by commas: elbo, iwae (importance-weighted), ais (annealed importance sampling with its
        bidirectional check), kde (kernel density). By default all except kde whose densities the model has.
    split
        Split of the data to evaluate on.
    count
        Number of images, drawn by the seed; by default all.
    samples
        Number of samples per image, for elbo (default 100) and iwae (5,000), or number of kernels, for kde (10,000).
    chains
        Annealing chains per image, for ais (default 16).
    temperatures
        Annealing temperatures per chain, for ais (default 1,000).
    leapfrog
        Leapfrog steps of one Hamiltonian Monte Carlo transition, for ais (default 10).
    path
        Spacing of the inverse temperatures from 0 to 1, for ais: linear, or sigmoidal (the default), with small steps at
        both ends.
    initial
        Distribution the chains start from, for ais: posterior, a Gaussian with the encoder's mean and variance, or prior,
        which is the default without an encoder and for a uniform prior.
    simulated
        Samples of the model by which ais is checked (default 100); 0 skips the check.
    precision
        Precision of the gradients within trajectories, for ais; the estimate stays exact with bf16.
    """
    from interalia import reports
    from interalia.training.processes import together

    annealing = {
        "chains": chains, "temperatures": temperatures, "leapfrog": leapfrog, "path": path, "initial": initial,
        "simulated": simulated, "precision": precision,
    }  # fmt: skip
    chosen: dict[str, Any] = {"split": split, "count": count, "samples": samples, "annealing": annealing}
    names = entries(estimator, "likelihoods")
    with together(options.device) as team:
        trained = options.open(run)
        how: dict[str, Any] = {"seed": options.seed, "weights": options.checkpoint, "write": team.first}
        found = reports.likelihood(trained, names, **chosen, **how)
    if team.first:
        reports.print_likelihood(found)
        say(f"Written: {reports.folder_of(trained).likelihood}")
    if found["interrupted"]:
        raise KeyboardInterrupt


@app.command
def report(run: Annotated[Path, Parameter(help="Folder of a run.")], *, options: RunOptions = RUN_OPTIONS) -> None:
    """Draw the figures of a run again and write its page, report.html."""
    from interalia import reports
    from interalia.runs import FROM_PYTHON
    from interalia.runs.folder import Folder

    custom = (
        Folder(weights_or_folder(run)).run().game == FROM_PYTHON
    )  # only Python can load it, so that the figures stay
    say(f"The report: {reports.write(run) if custom else reports.page(options.open(run))}")


@app.command
def reproduce(
    name: str | None = None,
    *,
    quick: bool = False,
    data_dir: Path | None = None,
    out: Path = Path("runs/reproduce"),
    seeds: int | None = None,
    steps: int | None = None,
    filter: str | None = None,
    jobs: int = 1,
    force: bool = False,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
) -> None:
    """Reproduce an experiment of a paper: write its table, with the paper's numbers beside ours.

    Parameters
    ----------
    name
        Experiment (see `interalia list experiments`); by default mixture-25.
    quick
        Smoke test of under a minute; its numbers mean nothing.
    data_dir
        Folder of data files that are already downloaded.
    out
        Folder of the table and of finished rows; an interrupted experiment resumes from them.
    seeds
        Number of seeds, in place of the experiment's own.
    steps
        Number of steps of every training, in place of the experiment's own; the table says so.
    filter
        Run, or list, only the rows whose name contains this text.
    jobs
        Number of processes, each for one row and seed at a time, with one thread; 0 for one a core. Several commands with the
        same --out, also on other machines with the same files, share the rows in any case.
    force
        Delete the finished rows and start over.
    list_
        Print the rows with our numbers, the paper's numbers and the cost of each row, and run nothing.
    """
    from interalia import papers

    name = registry.canonical(name or "mixture-25", "experiments")
    form = {"quick": quick, "data_dir": data_dir, "out": out, "seeds": seeds, "steps": steps}
    if list_:
        say(*papers.listing(name, filter=filter, **form).splitlines())
    else:
        papers.reproduce(name, filter=filter, force=force, jobs=jobs, **form)
