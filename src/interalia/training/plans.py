"""The plan of a training for data and a machine, which `interalia.train` and the command `train` make and print before the
first step.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from interalia import games, registry
from interalia.data import REGISTRY, survey
from interalia.data.dataset import Dataset
from interalia.data.images import MODES, NUMBERS
from interalia.data.shards import is_shards
from interalia.data.survey import MODE_WORDS, Survey
from interalia.games import Game
from interalia.games.needs import critics
from interalia.reports.sentences import duration
from interalia.runs import Run
from interalia.runs.loading import load_dataset
from interalia.training import engine, planning
from interalia.training.planning import Facts, Plan, Timing

# number of axes of an example -> what the examples are, with a place for each number of the shape
KINDS = {
    1: "vectors of {} numbers", 2: "signals of {} channels and length {}", 3: "images of {} channels and {}x{} pixels",
    4: "volumes of {} channels and {}x{}x{} voxels",
}  # fmt: skip
OVERRULE = "To choose otherwise: `image_size`, `gray`, `crop`, `flip`, `batch_size`, `augment`, `minutes` or `steps`."


def planned(
    run: Run,
    given: dict[str, Any],
    minutes: float,
    whole: bool,
    say: Callable[[str], object],
    trust: bool = False,
    own_data: Any = None,
    game: Game | None = None,
    generator: nn.Module | None = None,
) -> dict[str, Any]:
    """Returns the fields of a run that the user has set, with those of a plan for the data and the machine.

    Arguments:
        run: the run without a plan.
        given: the fields that the user has set, by name.
        minutes: the time of the training.
        whole: True to plan size, batch and augmentation too; False to plan the length alone, as for a recipe.
        say: called with each line that tells the plan; names of arguments are in backticks.
        trust: True to open the run's pretrained generator if it is a .pt2 file.
        own_data: data of the user's, as `interalia.data.objects.as_dataset` takes them; None for those that the run names.
        game: a custom game, of which a copy is timed; None for the one that the run describes.
        generator: a trained module z -> x, for a game that trains an encoder alone; None for the run's.

    Raises:
        UserError: the data cannot be read, or the run cannot be trained.
    """
    timings: dict[tuple[int | None, int], Timing] = {}

    def opened(tried: Run) -> tuple[Dataset, Run]:
        """Returns the data set of a run, and the run without the fields that were applied to data of the user's."""
        return (load_dataset(tried), tried) if own_data is None else engine.own_dataset(tried, own_data)

    def timed(tried: Run) -> Timing:
        """Measures some steps of a run."""
        own: dict[str, Any] = {"game": copy.deepcopy(game), "generator": generator}
        if own_data is not None:
            own["dataset"], tried = opened(tried)
        return planning.time_steps(tried, trust, **own)

    def seconds(size: int | None, batch: int) -> float:
        """Measures and returns the seconds of a step with an image size, None for the images' own, and a batch size."""
        augment = given.get("augment", "adaptive" if planning.augments(facts) else run.augment)
        tried = run.replace(image_size=size, batch_size=batch, augment=augment) if whole else run
        timings[size, batch] = timed(native(tried, facts))
        return timings[size, batch].seconds

    if not whole:
        facts = Facts(0)
        least = seconds(run.image_size, run.batch_size)
        steps = planning.rounded(60 * planning.SHARE * minutes / least)
        timing = timings[run.image_size, run.batch_size]
        say(f"{rate(least, timing)}: {steps:,} steps in {about(steps * least)}, then the report.")
        return {"evaluate_every": -(-steps // planning.EVALUATIONS), **given, "steps": steps}
    found, facts = facts_of(run, given, own_data, opened)
    plan = planning.make_plan(facts, minutes, seconds, given)
    timing = next(one for one in timings.values() if one.seconds == plan.seconds)
    dataset, _ = opened(native(run.replace(image_size=plan.fields.get("image_size")), facts))
    for line in plan_lines(plan, facts, found, dataset, timing):
        say(line)
    return plan.fields


def native(run: Run, facts: Facts) -> Run:
    """Returns a copy of the run with `image_size` None if its size is the images' own, `facts.native`; else the run."""
    return run.replace(image_size=None) if run.image_size == facts.native and facts.native is not None else run


def facts_of(
    run: Run, given: dict[str, Any], own_data: Any, opened: Callable[[Run], tuple[Dataset, Run]]
) -> tuple[Survey | None, Facts]:
    """Returns a pair: the sizes and color modes of the images, None for vectors; and the facts that a plan depends on.

    Arguments:
        run: the run.
        given: the fields that the user has set, by name.
        own_data: data of the user's; None for those that the run names.
        opened: a function of a run that returns a pair, of which the first is the data set.
    """
    path = Path(run.data).expanduser()
    if run.data_dir is not None and not path.exists():
        path = Path(run.data_dir).expanduser() / path
    in_files = (
        own_data is None and run.data not in REGISTRY and (path.is_dir() or path.suffix.lower() in (".zip", ".tar"))
    )
    found = survey.survey([path]) if in_files and path.exists() else None
    fixed = own_data is None and run.data not in REGISTRY and is_shards(path)  # its images have one size
    sides, own = ([given["image_size"]], None) if "image_size" in given else ([], None)
    if found and not sides:
        sides, own = planning.sides_of(found.median, found.uniform, found.sides[1])
    size = sides[0] if sides and sides[0] != own else None
    dataset, _ = opened(run.replace(image_size=size))
    if dataset.is_image and not sides and not fixed:
        height, width = dataset.shape[1:]
        sides, own = planning.sides_of(min(height, width), True, max(height, width))
        if isinstance(own_data, Dataset):  # which is never resized
            sides, own = [min(height, width)], min(height, width)
    if dataset.is_image and found is None and dataset.shape[0] in MODES:
        channels, height, width = dataset.shape
        found = Survey([(height, width)], {MODES[channels]: 1})
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    adversarial = all(critic.adversarial for critic in critics(kind))  # as augmentations require it, and an image
    sees = adversarial and any(space.is_image for critic in critics(kind) for space in critic.inputs)
    return found, Facts(dataset.smaller("train"), sides, own, sees)


def plan_lines(plan: Plan, facts: Facts, found: Survey | None, dataset: Dataset, timing: Timing) -> list[str]:
    """Returns the lines that tell the plan of a training and how to overrule it.

    Arguments:
        plan: the plan.
        facts: the facts that the plan was made from; the number of training examples is used.
        found: sizes and color modes of the images; None for vectors, and for images of other channels.
        dataset: the data as they are trained on.
        timing: the measured steps with the size and the batch of the plan.
    """
    fields, game = plan.fields, timing.training.game
    counts = [len(split) for split in (dataset.train, dataset.validation, dataset.test)]
    split = "{:,} / {:,} / {:,} for training, validation and test.".format(*counts)
    data = f"{sum(counts):,} {KINDS[len(dataset.shape)].format(*dataset.shape)}"
    if dataset.is_image:
        channels, height, width = dataset.shape
        low, high = found.sides if found else (min(height, width), max(height, width))
        span = f"{low} to {high} pixels"
        if found is None or found.uniform:
            span = "{1}x{0} pixels".format(*(found.shapes[0] if found else (height, width)))
        data = f"{sum(counts):,} images of {span}{colors(found, channels)} -> {width}x{height}"
    lines = [f"{dataset.name}: {data}. {split}"]
    number = sum(p.numel() for p in game.parameters())
    words = f"Model: {type(game).__name__}, {f'{number / 1e6:.1f} M' if number > 1e5 else f'{number:,}'} parameters"
    words += f", batch {fields['batch_size']}, {timing.training.run.latent_dim} latents."
    if "augment" in fields and fields["augment"] != "none":
        few = f"{facts.train:,} training images are few: " if facts.train < planning.FEW else ""
        words += f" {few}augmentation of the critic's images is on (`augment='none'` to leave it out)."
    lines.append(words)
    steps = fields["steps"]
    lines.append(f"{rate(plan.seconds, timing)}: {steps:,} steps in {about(steps * plan.seconds)}, then the report.")
    if plan.next_size:
        size = dataset.shape[1] if dataset.is_image else 1
        minutes = planning.ENOUGH * plan.seconds * (plan.next_size / size) ** 2 / (60 * planning.SHARE)
        lines[-1] += f" {plan.next_size}x{plan.next_size} would take {about(60 * max(minutes, 1))}."
    return [*lines, OVERRULE]


def colors(found: Survey | None, channels: int) -> str:
    """Returns a phrase on the colors of images, such as ", 2 of 40 are gray: all color (`gray=True` for gray)" or ", gray".

    Arguments:
        found: the color modes of the images; None if they are not known, for a phrase on the channels alone.
        channels: the number of channels of the images that are trained on.
    """
    mode = MODES.get(channels)
    if channels == 1 and found and found.modes.keys() <= NUMBERS.keys():  # which are not converted to 8 bits
        return f", {' and '.join(NUMBERS[one] for one in found.modes)}"
    word = MODE_WORDS[mode] if mode else f"{channels} channels"
    total = sum(found.modes.values()) if found else 0
    others = {} if found is None else {MODE_WORDS[one]: n for one, n in found.modes.items() if one != mode}
    if not others:
        return f", {word}"
    if sum(others.values()) == total:
        return f", {' and '.join(others)} converted to {word}"
    option = "`gray=False` for color" if mode == "L" else "`gray=True` for gray"
    return f", {' and '.join(f'{n:,} of {total:,} are {one}' for one, n in others.items())}: all {word} ({option})"


def rate(seconds: float, timing: Timing) -> str:
    """Returns the beginning of a line, such as "On this CPU about 3.1 steps/s", from the seconds of a step.

    The kind of device is that of the training in `timing`.
    """
    device = {"cpu": "CPU", "cuda": "GPU"}.get(timing.training.device.type, str(timing.training.device))
    return f"On this {device} about {1 / max(seconds, 1e-9):.3g} steps/s"


def about(seconds: float) -> str:
    """Returns a duration in words that is rounded to minutes above two minutes, such as "about 1 h 20 min"."""
    return f"about {duration(60 * round(seconds / 60) if seconds > 120 else max(1, seconds))}"
