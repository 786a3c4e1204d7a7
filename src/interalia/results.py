"""From a trained run to what a person looks at: figures, results.json and the page."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from interalia import building, plots, reports, runs, tasks
from interalia.conditionals import Chain, StandardNormal, Uniform
from interalia.data import described
from interalia.data.store import as_tensor
from interalia.disk import write_json, writing
from interalia.errors import UserError, unknown
from interalia.folder import Folder, own_generator
from interalia.metrics import evaluation
from interalia.metrics.features import extractor_for
from interalia.observers import log
from interalia.runs import OWN

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.loading import Trained
    from interalia.metrics.likelihood import Estimate
    from interalia.runs import Run

Kind = Literal["auto", "classifier", "random", "inception"]  # whose features distances are computed in
PAIRS = 8  # interpolations on the page
EDITS = 8  # images whose edits are on the page
PLANE = 20  # places along each dimension of a plane of z
MOST = 12  # edits of each
CYCLES = 20  # translations on the page, each way
STEPS = 9
POINTS = 2500  # of a plane
BANDWIDTH_POINTS = 1000  # validation images by which GAN's rule chooses the kernels' width


def make(trained: Trained) -> Path:
    """Figures, measures on the test split, and the page; answers the page's path."""
    evaluate(trained)
    return page(trained)


def home(trained: Trained) -> Folder:
    """The folder of a run.

    Raises:
        UserError: the game was loaded from a bare file of weights.
    """
    if trained.folder is None:
        raise UserError("a bare file of weights has no folder for results; give the run's folder.")
    return trained.folder


def dataset_of(trained: Trained) -> Dataset:
    """The data that a run was trained on."""
    if trained.given is not None:
        return trained.given
    try:
        return described.dataset(trained.run)
    except UserError as error:
        raise UserError(f"the data that this run was trained on cannot be loaded: {error}") from None


def held_out(dataset: Dataset, count: int, seed: int = 0) -> Tensor:
    """`count` members of the test split, drawn by seed, shape (count, *shape)."""
    return as_tensor(dataset.test.x[rows(dataset, count, seed)])


def conditions(game: Game, dataset: Dataset, count: int, seed: int = 0) -> Tensor | None:
    """What a conditional game is told of the members that `held_out` draws; None for a game that is told nothing."""
    y = dataset.conditions("test", game.attributes) if game.labels else None
    return None if y is None else torch.from_numpy(y[rows(dataset, count, seed)])


def rows(dataset: Dataset, count: int, seed: int) -> NDArray[np.int64]:
    """Which members of the test split a seed draws."""
    order = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(seed))
    found: NDArray[np.int64] = order[:count].sort().values.numpy()
    return found


def evaluate(
    trained: Trained,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    seed: int = 0,
    features: Kind = "auto",
    weights: Literal["last", "best"] = "last",
) -> dict[str, Any]:
    """Measures a run, writes its results.json, and answers what it holds."""
    folder = home(trained)
    dataset = dataset_of(trained)
    extractor = extractor_for(dataset, device=str(tasks.device_of(trained.game)), kind=features)
    measures = evaluation.evaluate(
        trained.game,
        dataset,
        split=split,
        count=count,
        seed=seed,
        extractor=extractor,
        untrained=untrained(trained, dataset),
    )
    lines = [
        line
        for line in log.read(folder)
        if any(key.startswith("losses/") for key in line) and line["step"] <= trained.step
    ]
    seconds = lines[-1]["seconds"] if lines else None
    steps = trained.step
    found = {
        "measures": [
            {
                "name": m.name, "value": m.value, "unit": m.unit, "better": m.better, "about": m.about,
                "protocol": m.protocol,
            }
            for m in measures
        ],
        "split": split,
        "seeds": {"training": trained.run.seed, "evaluation": seed},
        "step": steps,
        "weights": weights,
        "training": {
            "steps": steps,
            "seconds": seconds,
            "images_per_second": None if not seconds else round(steps * trained.run.batch / seconds, 1),
        },
        "data": {
            "name": dataset.name,
            "about": dataset.about,
            "shape": list(dataset.shape),
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
        **provenance(),
    }  # fmt: skip
    write_json(folder.results, found)
    with writing(folder.table) as file:
        file.write(markdown(trained.run, found))
    return found


def likelihood(
    trained: Trained,
    how: Sequence[str] | None = None,
    split: Literal["test", "validation"] = "test",
    count: int | None = None,
    samples: int | None = None,
    annealing: Mapping[str, Any] | None = None,
    seed: int = 0,
    weights: Literal["last", "best"] = "last",
) -> dict[str, Any]:
    """Estimates log p(x) of held-out data, writes the run's likelihood.json and likelihood.md, and answers what they hold.

    What is there when it is interrupted is written too, and says how many images it is of.

    Arguments:
        trained: the run.
        how: names of `interalia.metrics.likelihood.CATALOGUE`; by default all but kde that the game has densities for.
        split: the part of the data.
        count: how many images, drawn by the seed; by default all of them.
        samples: how many to draw for each of these estimates, of elbo, iwae (its K) and kde; by default what each has.
        annealing: settings of `annealed_importance`.
        seed: of the choice of images and of all draws.
        weights: which these are, for the record.

    Raises:
        UserError: no such estimate, `count` under 1, a setting of an estimate that is not asked for, or what the estimates
            raise.
    """
    from interalia.metrics.likelihood import CATALOGUE

    folder, game = home(trained), trained.game
    for name in how or ():
        if name not in CATALOGUE:
            raise unknown("estimate", name, CATALOGUE)
    if how is not None and not how:
        raise UserError(f"--how names no estimate; give some of {', '.join(CATALOGUE)}, with commas between them.")
    if count is not None and count < 1:
        raise UserError(f"--count is {count}, and it must be at least 1.")
    if how is None:
        density = hasattr(game, "encoder") and game.encoder.density
        how = ["elbo", "iwae", "ais"] if density else ["ais"]
    dataset = dataset_of(trained)
    x, binarised = observed(dataset, split, count, seed)
    settings: dict[str, dict[str, Any]] = {name: {} for name in how}
    for key, value in {"samples": samples, **(annealing or {})}.items():
        if value is None:
            continue
        taking = [name for name in CATALOGUE if (name == "ais") == (key != "samples")]
        if not set(taking) & set(how):
            raise UserError(f"--{key} is about {', '.join(taking)}, and --how asks for {', '.join(how)}; leave it out.")
        for name in set(taking) & set(how):
            settings[name][key] = value
    if "kde" in how:
        settings["kde"]["validation"] = observed(dataset, "validation", BANDWIDTH_POINTS, seed)[0]
    estimates: list[Estimate] = []
    interrupted = False
    for name in how:
        try:
            one = CATALOGUE[name](game, x, seed=seed, binarised=binarised, **settings[name])
        except KeyboardInterrupt:
            if not estimates:
                raise
            interrupted = True
            break
        estimates.append(one)
        unchecked = (
            name == "ais" and settings["ais"].get("simulated", 1) and (one.check is None or one.check.interrupted)
        )
        if one.interrupted or unchecked:
            interrupted = True
            break
    found = {
        "estimates": [estimated(one) for one in estimates],
        "interrupted": interrupted,
        "split": split,
        "images": {"measured": len(x), "split": len(getattr(dataset, split))},
        "binarisation": binarised,
        "seeds": {"training": trained.run.seed, "evaluation": seed},
        "step": trained.step,
        "weights": weights,
        "data": {"name": dataset.name, "about": dataset.about, "shape": list(dataset.shape)},
        **provenance(),
    }
    write_json(folder.likelihood, found)
    with writing(folder.likelihood_table) as file:
        file.write(likelihood_markdown(trained.run, found))
    return found


def observed(dataset: Dataset, split: str, count: int | None, seed: int) -> tuple[Tensor, str]:
    """Images of a split, all or `count` drawn by the seed, and by which rule they are binarised."""
    part = getattr(dataset, split)
    if not len(part):
        raise UserError(f"the {split} split of {dataset.name!r} is empty; measure on another split.")
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))
    x = as_tensor(part.x[order[:count].sort().values.numpy()])
    return x, "fresh in training, drawn once here" if dataset.binarised == "fresh" else dataset.binarised


def estimated(one: Estimate) -> dict[str, Any]:
    """An estimate as it is written."""
    check = one.check
    return {
        "name": one.name,
        "value": one.mean,
        "error": finite(one.error),
        "unit": "nats",
        "images": len(one.values),
        "of": one.images,
        "acceptance": one.acceptance,
        "check": None
        if check is None
        else {
            "gap": check.gap,
            "error": finite(check.error),
            "lower": float(check.lower.mean()),
            "upper": float(check.upper.mean()),
            "acceptance": check.acceptance,
            "images": len(check.lower),
            "of": check.images,
            "protocol": check.protocol,
        },
        "protocol": one.words,
    }


def finite(value: float) -> float | None:
    """The value, or None where it is none, such as the standard error of one image."""
    return value if np.isfinite(value) else None


def nats(one: Mapping[str, Any]) -> str:
    """A value with its standard error."""
    return f"{one['value']:.2f}" + ("" if one["error"] is None else f" ± {one['error']:.2f}")


def gap(one: Mapping[str, Any]) -> str:
    """The gap of the bidirectional check, with its standard error."""
    check = one["check"]
    if check is None:
        return ""
    return f"{check['gap']:.3f}" + ("" if check["error"] is None else f" ± {check['error']:.3f}")


def likelihood_markdown(run: Run, found: Mapping[str, Any]) -> str:
    """Estimates as a Markdown table with everything that is needed to judge them."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    rows = [
        f"| {one['name']} | {nats(one)} | "
        + ("" if one["acceptance"] is None else f"{one['acceptance']:.2f}")
        + f" | {gap(one)} | {bars(one['protocol'])} |"
        for one in found["estimates"]
    ]
    images = found["images"]
    return "\n".join(
        [
            f"# {run.name}: log p(x)",
            "",
            f"{found['data']['about']} {images['measured']:,} of {images['split']:,} images of the {found['split']} split; "
            f"binarisation: {found['binarisation']}."
            + (" Interrupted: the protocol says how many images each number is of." if found["interrupted"] else ""),
            "",
            "| estimate | nats, mean ± standard error over images | acceptance | gap of the bidirectional check, nats | "
            "protocol |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"- Weights: the {found['weights']}, of step {found['step']:,}. Seeds: training {found['seeds']['training']}, "
            f"evaluation {found['seeds']['evaluation']}.",
            f"- Machine: {found['machine']}. Versions: {versions}.",
            f"- Commit: {found['commit']}. Date: {found['date']}.",
            "",
        ]
    )


def show_likelihood(found: Mapping[str, Any]) -> None:
    """Prints estimates as a table, and under it the protocol of each."""
    from rich.console import Console
    from rich.table import Table

    images = found["images"]
    table = Table(
        title=f"log p(x), {found['data']['name']}, {images['measured']:,} of {images['split']:,} images of the "
        f"{found['split']} split, binarisation: {found['binarisation']}, step {found['step']:,}",
        box=None,
        title_justify="left",
    )
    for heading in ("estimate", "nats ± standard error", "acceptance", "gap of the check, nats"):
        table.add_column(heading, no_wrap=True)
    for one in found["estimates"]:
        chance = "" if one["acceptance"] is None else f"{one['acceptance']:.2f}"
        table.add_row(one["name"], nats(one), chance, gap(one))
    console = Console(highlight=False)
    console.print(table)
    for one in found["estimates"]:
        console.print(f"{one['name']}: {one['protocol']}.", markup=False)


def number(measure: dict[str, Any]) -> str:
    """A measure's value with its unit."""
    return f"{measure['value']:.4g} {measure['unit']}".strip()


def bars(text: str) -> str:
    """A text in which no bar ends a cell of a Markdown table."""
    return text.replace("|", "\\|")


def markdown(run: Run, found: dict[str, Any]) -> str:
    """Measures as a Markdown table with everything that is needed to judge them and to do them again."""
    training, about = found["training"], found["data"]
    length = f"{training['steps']:,} steps of {run.batch}"
    if training["seconds"]:
        length += f" in {training['seconds']:,.0f} s ({training['images_per_second']:,.0f} images/s)"
    rows = [f"| {m['name']} | {number(m)} | {m['better'] or ''} | {bars(m['protocol'])} |" for m in found["measures"]]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    brought = [name for name, part in (("the game", run.game), ("the data", run.data)) if part == OWN]
    how = f"beside {' and '.join(brought)}, given from Python" if brought else "`interalia train FILE.toml`"
    return "\n".join(
        [
            f"# {run.name}",
            "",
            f"{about['about']} Measured on the {found['split']} split"
            + (", of which nothing was chosen." if found["split"] == "test" else "."),
            "",
            f"- Training: {length}. Seeds: training {found['seeds']['training']}, evaluation {found['seeds']['evaluation']}.",
            f"- Weights: the {found['weights']}, of step {found['step']:,}.",
            f"- Machine: {found['machine']}. Versions: {versions}.",
            f"- Commit: {found['commit']}. Date: {found['date']}.",
            "",
            "| measure | value | better | protocol |",
            "|---|---|---|---|",
            *rows,
            "",
            f"The run ({how}):",
            "",
            "```toml",
            *(line for line in run.dump().splitlines() if not line.startswith("root =")),
            "```",
            "",
        ]
    )


def untrained(trained: Trained, dataset: Dataset) -> Game | None:
    """The run's game before its first step: the baseline that random weights are; None for a game of somebody's own."""
    run, game = trained.run, trained.game
    if run.game == runs.OWN:
        return None
    brought = game.fixed and run.generator is None  # from Python
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        placed = own_generator(run, trained.folder)
        return building.build_for(placed, dataset, generator=game.decoder.network if brought else None)


def provenance() -> dict[str, Any]:
    """What a number was made with: versions, commit, machine, date."""
    packages = ("interalia", "torch", "numpy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}},
        "commit": commit(),
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def commit() -> str | None:
    """The commit of the source tree that the program runs from, marked where it has changes; None outside of one."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=tree, capture_output=True, text=True)
        changes = subprocess.run(["git", "status", "--porcelain", "src"], cwd=tree, capture_output=True, text=True)
    except OSError:
        return None
    if head.returncode:
        return None
    return head.stdout.strip() + (" with local changes" if changes.stdout.strip() else "")


def machine() -> str:
    """The machine in words: processor, cores, memory format, accelerator."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = names[0] if names else name
    words = f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), {torch.backends.cpu.get_cpu_capability()}"
    if torch.cpu._is_amx_tile_supported():  # type: ignore[no-untyped-call]
        words += " with AMX"  # which multiplies bf16 several times faster
    if torch.cuda.is_available():
        words += f", {torch.cuda.get_device_name()}"
    return words


def page(trained: Trained) -> Path:
    """Draws the figures that the run's game can give, and writes report.html."""
    folder = home(trained)
    try:
        draw(trained, dataset_of(trained))
    except UserError as error:  # the data may be gone; the page still tells what the folder holds
        print(f"{error} The figures are left as they are.", file=sys.stderr)
    return reports.write(folder.path)


def draw(trained: Trained, dataset: Dataset) -> None:
    """The figures of a run, from the test split where originals are shown."""
    game, figures = trained.game, home(trained).figures
    infers = hasattr(game, "encoder")
    if game.other is not None:
        draw_translations(game, dataset, figures)
        return
    if not dataset.is_image:
        if dataset.shape == (2,):
            real, y = held_out(dataset, POINTS), conditions(game, dataset, POINTS)
            plots.plane(
                real.numpy(),
                tasks.generate(game, POINTS).numpy(),
                figures / "plane.png",
                means=None if dataset.mixture is None else dataset.mixture.means,
                latents=tasks.encode(game, real, how="sample", y=y).numpy()
                if infers and trained.run.latent == 2
                else None,
                reconstructions=tasks.reconstruct(game, real, y=y).numpy() if infers else None,
            )
        return
    by_label = game.labels > 0 and not game.attributes
    samples = tasks.by_label(game, 10) if by_label else tasks.generate(game, 100)
    plots.grid(samples.numpy(), figures / "samples.png", columns=10)
    if game.prior.size == 2 and isinstance(game.prior, StandardNormal | Uniform):
        plots.grid(tasks.manifold(game, PLANE).flatten(0, 1).numpy(), figures / "manifold.png", columns=PLANE)
    if game.recognises:
        for i, code in enumerate(tasks.directions(game)):
            plots.traversals([tasks.traverse(game, i).numpy()], figures / f"traversal_{code}.png")
    if not infers:
        return
    x, y = held_out(dataset, 40), conditions(game, dataset, 40)
    plots.pairs(x.numpy(), tasks.reconstruct(game, x, y=y).numpy(), figures / "reconstructions.png")
    if isinstance(game.encoder, Chain):
        lower = tasks.reconstruct(game, x, level="lower")
        plots.pairs(x.numpy(), lower.numpy(), figures / "reconstructions_lower.png")
    if y is not None:
        edited = tasks.edits(game, x[:EDITS], y[:EDITS])[:, :MOST]
        plots.interpolations(x[:EDITS].numpy(), edited.numpy(), None, figures / "edits.png")
    ends, y = held_out(dataset, 2 * PAIRS, seed=1), conditions(game, dataset, 2 * PAIRS, seed=1)
    half = len(ends) // 2
    if half:
        a, b = ends[:half], ends[half : 2 * half]
        told = None if y is None else (y[:half], y[half : 2 * half])
        for how, name in (("linear", "interpolations.png"), ("spherical", "interpolations_spherical.png")):
            way = tasks.interpolate(game, a, b, STEPS, how, y=told)  # type: ignore[arg-type]
            plots.interpolations(a.numpy(), way.numpy(), b.numpy(), figures / name)


def draw_translations(game: Game, dataset: Dataset, figures: Path) -> None:
    """Held-out images of each domain, what the game makes of them, and what it makes of that in turn."""
    assert dataset.other is not None
    count = CYCLES if dataset.is_image else POINTS
    held = {"a": held_out(dataset, count), "b": held_out(dataset.other, count)}
    for source, to in (("a", "b"), ("b", "a")):
        x = held[source]
        fake = tasks.translate(game, x, to=to)  # type: ignore[arg-type]
        back = tasks.translate(game, fake, to=source)  # type: ignore[arg-type]
        if dataset.is_image:
            truth = held[to].numpy() if dataset.paired else None
            plots.cycles(x.numpy(), fake.numpy(), back.numpy(), figures / f"to_{to}.png", truth)
        elif dataset.shape == (2,):
            plots.plane(held[to].numpy(), fake.numpy(), figures / f"plane_to_{to}.png")


def show(found: dict[str, Any]) -> None:
    """Prints measures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{found['data']['name']}, {found['split']} split, step {found['step']:,}", box=None, title_justify="left"
    )
    for heading in ("measure", "value", "better"):
        table.add_column(heading, no_wrap=True)
    for m in found["measures"]:
        table.add_row(m["name"], number(m), m["better"] or "")
    Console(highlight=False).print(table)
