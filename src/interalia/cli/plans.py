"""The plan of a training on own data, which `train` makes and prints before the first step; --dry-run; and the next commands,
which it prints after the last step.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia.cli import common
from interalia.errors import UserError

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.data.survey import Survey
    from interalia.runs.loading import Loaded
    from interalia.runs.run import Run
    from interalia.training.planning import Facts, Plan, Timing

MINUTES = 10.0  # of a training whose length nothing states
NEXT = 6  # commands that are printed at the end
# number of axes of an example -> what the examples are, with a place for each number of the shape
KINDS = {
    1: "vectors of {} numbers", 2: "signals of {} channels and length {}", 3: "images of {} channels and {}x{} pixels",
    4: "volumes of {} channels and {}x{}x{} voxels",
}  # fmt: skip
OVERRULE = "To choose otherwise: --image-size, --gray, --crop, --flip, --batch-size, --augment, --minutes or --steps."


def name_of(data: str, image_size: int | None) -> str:
    """Returns the name of a run on own data: that of the folder or file, and the image size if one is given.

    Example:
        >>> name_of("/home/me/My photos.zip", 64), name_of("x.npy", None)
        ('My-photos-64', 'x')
    """
    path = Path(data).absolute()
    stem = path.name if path.is_dir() else path.stem
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "images"
    return name if image_size is None else f"{name}-{image_size}"


def is_needed(recipe: str | None, given: dict[str, Any], minutes: float | None) -> bool:
    """True if a plan is to be made: --minutes is given; or --data is, and neither a recipe nor the length of the training.

    Arguments:
        recipe: the recipe or file that the command line names.
        given: the fields of the run that options set, by name.
        minutes: the value of --minutes; None if it is not given.

    Raises:
        UserError: --minutes is not above 0, or the number of steps or epochs is given too.
    """
    length = next((key for key in ("steps", "epochs") if key in given), None)
    if minutes is not None and length:
        raise UserError(f"--minutes and --{length} both set the length; leave one of them out.")
    if minutes is not None and not 0 < minutes <= 1e6:
        raise UserError(f"--minutes is {minutes:g}, and it must be above 0 and at most 1,000,000.")
    return minutes is not None or (recipe is None and "data" in given and length is None)


def planned(
    run: Run, given: dict[str, Any], minutes: float, whole: bool, trust: bool, mark: str = ""
) -> dict[str, Any]:
    """Returns the fields of a run that options set, with those of a plan for the data and the machine; prints the plan.

    Arguments:
        run: the run without a plan.
        given: the fields that options set, by name.
        minutes: the time of the training.
        whole: True to plan size, batch and augmentation too; False to plan the length alone, as for a recipe.
        trust: True to open the run's pretrained generator if it is a .pt2 file.
        mark: a text before each line, such as "# " for a comment in a TOML file.

    Raises:
        UserError: the data cannot be read, or the run cannot be trained.
    """
    from interalia.runs.loading import load_dataset
    from interalia.training import planning

    timings: dict[tuple[int | None, int], Timing] = {}

    def seconds(size: int | None, batch: int) -> float:
        """Measures and returns the seconds of a step with an image size, None for the images' own, and a batch size."""
        augment = given.get("augment", "adaptive" if planning.augments(facts) else run.augment)
        tried = run.replace(image_size=size, batch_size=batch, augment=augment) if whole else run
        timings[size, batch] = planning.time_steps(native(tried, facts), trust)
        return timings[size, batch].seconds

    found, facts = facts_of(run, given, whole)
    if not whole:
        least = seconds(run.image_size, run.batch_size)
        steps = planning.rounded(60 * planning.SHARE * minutes / least)
        timing = timings[run.image_size, run.batch_size]
        common.say(f"{mark}{rate(least, timing)}: {steps:,} steps in {about(steps * least)}, then the report.")
        return {"evaluate_every": -(-steps // planning.EVALUATIONS), **given, "steps": steps}
    plan = planning.make_plan(facts, minutes, seconds, given)
    timing = next(one for one in timings.values() if one.seconds == plan.seconds)
    dataset = load_dataset(native(run.replace(image_size=plan.fields.get("image_size")), facts))
    common.say(*(mark + line for line in plan_lines(plan, facts, found, dataset, timing)))
    return plan.fields


def native(run: Run, facts: Facts) -> Run:
    """Returns a copy of the run with `image_size` None if its size is the images' own, `facts.native`; else the run."""
    return run.replace(image_size=None) if run.image_size == facts.native and facts.native is not None else run


def facts_of(run: Run, given: dict[str, Any], whole: bool) -> tuple[Survey | None, Facts]:
    """Returns a pair: the sizes and color modes of the images, None for vectors or if `whole` is False; and the facts that a
    plan depends on, with no sizes if `whole` is False.

    Arguments:
        run: the run.
        given: the fields that options set, by name.
        whole: False if sizes are not to be chosen, so that the data are not opened here.
    """
    from interalia import games, registry
    from interalia.data import REGISTRY, survey
    from interalia.data.images import MODES
    from interalia.data.shards import is_shards
    from interalia.games.needs import critics
    from interalia.runs.loading import load_dataset
    from interalia.training import planning

    if not whole:
        return None, planning.Facts(0)
    path = Path(run.data).expanduser()
    if run.data_dir is not None and not path.exists():
        path = Path(run.data_dir).expanduser() / path
    in_files = run.data not in REGISTRY and (path.is_dir() or path.suffix.lower() in (".zip", ".tar")) and path.exists()
    found = survey.survey([path]) if in_files else None
    fixed = run.data not in REGISTRY and is_shards(path)
    sides, own = ([given["image_size"]], None) if "image_size" in given else ([], None)
    if found and not sides:
        sides, own = planning.sides_of(found.median, found.uniform, found.sides[1])
    size = sides[0] if sides and sides[0] != own else None
    dataset = load_dataset(run.replace(image_size=size))
    if dataset.is_image and not sides and not fixed:
        height, width = dataset.shape[1:]
        sides, own = planning.sides_of(min(height, width), True, max(height, width))
    if dataset.is_image and found is None and dataset.shape[0] in MODES:
        channels, height, width = dataset.shape
        found = survey.Survey([(height, width)], {MODES[channels]: 1})
    game, _ = registry.look_up(run.game, games.REGISTRY, "game")
    adversarial = all(critic.adversarial for critic in critics(game))  # as augmentations require it, and an image
    sees = adversarial and any(space.is_image for critic in critics(game) for space in critic.inputs)
    return found, planning.Facts(dataset.smaller("train"), sides, own, sees)


def plan_lines(plan: Plan, facts: Facts, found: Survey | None, dataset: Dataset, timing: Timing) -> list[str]:
    """Returns the lines that tell the plan of a training and how to overrule it.

    Arguments:
        plan: the plan.
        facts: the facts that the plan was made from; the number of training examples is used.
        found: sizes and color modes of the images; None for vectors, and for images of other channels.
        dataset: the data as they are trained on.
        timing: the measured steps with the size and the batch of the plan.
    """
    from interalia.training import planning

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
        words += f" {few}augmentation of the critic's images is on (--augment none to leave it out)."
    lines.append(words)
    steps = fields["steps"]
    lines.append(f"{rate(plan.seconds, timing)}: {steps:,} steps in {about(steps * plan.seconds)}, then the report.")
    if plan.next_size:
        size = dataset.shape[1] if dataset.is_image else 1
        minutes = planning.ENOUGH * plan.seconds * (plan.next_size / size) ** 2 / (60 * planning.SHARE)
        lines[-1] += f" {plan.next_size}x{plan.next_size} would take {about(60 * max(minutes, 1))}."
    return [*lines, OVERRULE]


def colors(found: Survey | None, channels: int) -> str:
    """Returns a phrase on the colors of images, such as ", 2 of 40 are gray: all color (--gray for gray)" or ", gray".

    Arguments:
        found: the color modes of the images; None if they are not known, for a phrase on the channels alone.
        channels: the number of channels of the images that are trained on.
    """
    from interalia.data.images import MODES, NUMBERS
    from interalia.data.survey import MODE_WORDS

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
    option = "--no-gray for color" if mode == "L" else "--gray for gray"
    return f", {' and '.join(f'{n:,} of {total:,} are {one}' for one, n in others.items())}: all {word} ({option})"


def rate(seconds: float, timing: Timing) -> str:
    """Returns the beginning of a line, such as "On this CPU about 3.1 steps/s", from the seconds of a step.

    The kind of device is that of the training in `timing`.
    """
    device = {"cpu": "CPU", "cuda": "GPU"}.get(timing.training.device.type, str(timing.training.device))
    return f"On this {device} about {1 / max(seconds, 1e-9):.3g} steps/s"


def about(seconds: float) -> str:
    """Returns a duration in words that is rounded to minutes above two minutes, such as "about 1 h 20 min"."""
    from interalia.reports.sentences import duration

    return f"about {duration(60 * round(seconds / 60) if seconds > 120 else max(1, seconds))}"


def dry_run(run: Run, trust: bool) -> None:
    """Opens the data of a run, trains its first steps without a folder, and prints what the training takes.

    If standard output is no terminal, it also prints to standard error which option writes the settings.

    Arguments:
        run: the run.
        trust: True to open the run's pretrained generator if it is a .pt2 file.
    """
    from interalia.training import planning

    if not sys.stdout.isatty():
        text = "interalia: --dry-run measures some steps; --print-config prints the settings as TOML."
        print(text, file=sys.stderr)
    timing = planning.time_steps(run, trust)
    training = timing.training
    game, steps = training.game, run.steps
    if steps is None:
        steps = round((run.epochs or 0) * training.samplers[0].batches)
    names = dict.fromkeys(name for networks in game.players.values() for name in networks)
    counts = {name: sum(p.numel() for p in getattr(game, name).parameters()) for name in names}
    shapes = f"x {'x'.join(map(str, training.dataset.shape))}, {training.run.latent_dim} latents"
    lines = [
        f"data: {training.dataset.about}",
        f"model: {type(game).__name__} of {shapes}; {sum(counts.values()):,} parameters: "
        + ", ".join(f"{name} {number:,}" for name, number in counts.items()),
        f"time: {steps:,} steps of {training.run.batch_size} at {1 / timing.seconds:.3g} steps/s: "
        f"{about(steps * timing.seconds)}, without evaluations and the report",
        f"memory: {'not known' if timing.memory is None else f'{timing.memory / 1e9:.2f} GB'}",
        f"disk: {planning.disk_bytes(training) / 1e6:,.0f} MB, and figures",
    ]
    common.say(*lines)


def print_next(trained: Loaded) -> None:
    """Prints up to six commands that work for a run in a folder, each with what it does; nothing without a folder."""
    from interalia.reports.commands import commands_of

    if trained.folder is None:
        return
    found = [(line, use) for line, use in commands_of(trained) if line.startswith("interalia ")]
    found = [pair for pair in found if not pair[0].startswith(("interalia report", "interalia evaluate"))]
    if trained.step >= (trained.run.steps or 0):
        found = [*found[1:], found[0]]  # to train further is the last wish
    shown = [*found[: NEXT - 1], *found[-1:]] if len(found) > NEXT else found
    width = max((len(line) for line, _ in shown), default=0)
    common.say("Next:", *(f"  {line:<{width}}  # {use.partition(';')[0].partition(', or')[0]}" for line, use in shown))
