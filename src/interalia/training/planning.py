"""Plans of trainings on own data: image size, batch size, augmentation and length, from the data and the time of a step.

Rules, in the order in which they decide:

- The image size is the largest of 32, 64 and 128 pixels, or of the images' own size, at which a batch of 16 makes 2,000
  steps in the time. The cost of a step grows with the number of pixels, and an adversarial game needs steps before anything
  else: before 2,000 of them a longer training is not even diagnosed.
- The batch is doubled, up to 128, as long as 2,000 steps remain: small ones make more updates, large ones less noisy ones.
- Augmentation of the critic's images is on for fewer than 5,000 training images, which the critic would learn by heart. Its
  probability can rise to its maximum within a quarter of the training.
- The average of the weights reaches back a tenth of the training at most, so that it forgets the first steps of a short one.
- The number of steps is the time over the seconds of a step, less a share for evaluations and the report.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from interalia.errors import DataWarning
from interalia.runs import Run
from interalia.training import engine
from interalia.training.state import Training

SIZES, BATCHES = (32, 64, 128), (16, 32, 64, 128)
ENOUGH = 2000  # steps, below which a larger image or batch is not chosen
FEW = 5000  # training images, below which the critic's images are augmented
SHARE = 0.85  # of the time that is for steps; the rest is for evaluations and the report
EVALUATIONS = 8  # in the whole training
WARM, TIMED = (
    2,
    4,
)  # steps before the timed ones, and timed ones: lazy penalties of tuned recipes come every fourth step
Seconds = Callable[[int | None, int], float]  # image size and batch size -> seconds of a step


@dataclass(frozen=True)
class Facts:
    """The facts that a plan depends on, beside the time of a step: the number of examples and the sizes of images.

    Attributes:
        train: the number of training examples.
        sides: image sizes to choose from in ascending order, in pixels a side; empty for vectors.
        native: the size among `sides` at which images are used as they are, without resizing; None if there is none.
        critic: True if the game has a critic whose images may be augmented.
    """

    train: int
    sides: Sequence[int] = ()
    native: int | None = None
    critic: bool = True


@dataclass(frozen=True)
class Plan:
    """The plan of a training: the fields of the run that it chooses, such as `steps`, and the expected time of a step.

    Attributes:
        fields: name of a field of `Run` -> value: those that the user has set, "batch_size", "steps", "weight_average",
            "evaluate_every", "checkpoint_every" and "log_every"; "image_size" if images are resized; "augment" if it is on.
        seconds: expected seconds of a step.
        next_size: the next larger image size that there was to choose from, in pixels a side; None if there is none.
    """

    fields: dict[str, Any]
    seconds: float
    next_size: int | None = None


def sides_of(median: int, uniform: bool, longest: int) -> tuple[list[int], int | None]:
    """Returns the image sizes to choose from, in ascending order, and the one among them that needs no resizing, or None.

    They are 32, 64 and 128 as far as images are not enlarged, and the own size of images that all have the same size and no
    side above 128. If even 32 would enlarge them, and sizes are mixed, the size is the largest multiple of 4 that does not.

    Arguments:
        median: the median of the images' shorter sides.
        uniform: True if all images have the same size.
        longest: the longest side of all images.

    Example:
        >>> sides_of(90, False, 128), sides_of(28, True, 28), sides_of(30, False, 40)
        (([32, 64], None), ([28], 28), ([28], None))
    """
    found = [side for side in SIZES if side <= median]
    native = median if uniform and longest <= SIZES[-1] else None
    if native is not None and native not in found:
        found = sorted([*found, native])
    return found or [max(4, median // 4 * 4)], native


def choose(
    sides: Sequence[int], batches: Sequence[int], seconds: Seconds, budget: float
) -> tuple[int | None, int, float]:
    """Chooses an image size and a batch size by the first two rules of this module.

    Arguments:
        sides: image sizes in ascending order; empty for vectors.
        batches: batch sizes in ascending order.
        seconds: a function of an image size, None for vectors, and a batch size that measures the seconds of a step.
        budget: seconds for all steps.

    Returns:
        The image size, None for vectors; the batch size; and the seconds of a step with both.

    Example:
        >>> choose([32, 64], [16, 32], lambda side, batch: side**2 * batch / 2e5, 500)
        (32, 32, 0.16384)
    """
    side, batch = (sides[0] if sides else None), batches[0]
    least = seconds(side, batch)
    for larger in sides[1:]:
        guess = least * (larger / (side or larger)) ** 2  # at most: the overhead of a step stays
        if budget < ENOUGH * guess / 2 or budget < ENOUGH * (found := seconds(larger, batch)):
            break
        side, least = larger, found
    for more in batches[1:]:
        if budget < ENOUGH * least or budget < ENOUGH * (found := seconds(side, more)):
            break
        batch, least = more, found
    return side, batch, least


def augments(facts: Facts) -> bool:
    """True if the critic's images are to be augmented: there is a critic of images, and fewer than 5,000 training images."""
    return facts.critic and facts.train < FEW and bool(facts.sides)


def rounded(number: float) -> int:
    """Returns a positive number rounded down to two significant digits, and 1 for a number below 1.

    Example:
        >>> rounded(1987.5), rounded(0.3)
        (1900, 1)
    """
    digits = 10 ** max(0, len(str(int(number))) - 2)
    return max(1, int(number) // digits * digits)


def make_plan(facts: Facts, minutes: float, seconds: Seconds, given: dict[str, Any]) -> Plan:
    """Makes the plan of a training by the rules of this module.

    Arguments:
        facts: the number of training examples, the image sizes to choose from, and whether there is a critic of images.
        minutes: the time of the training in minutes.
        seconds: a function of an image size, None for vectors, and a batch size that measures the seconds of a step.
        given: fields of the run that the user has set, which the plan keeps, by name.

    Example:
        >>> plan = make_plan(Facts(240, [32, 64]), 10, lambda side, batch: side**2 * batch / 8e4, {})
        >>> {key: plan.fields[key] for key in ("image_size", "batch_size", "steps", "augment")}
        {'image_size': 32, 'batch_size': 16, 'steps': 2400, 'augment': 'adaptive(images=9600)'}
    """
    sides = [given["image_size"]] if "image_size" in given else list(facts.sides)
    batches = [batch for batch in BATCHES if batch <= facts.train // 2] or [max(1, facts.train // 2)]
    batches = [given["batch_size"]] if "batch_size" in given else batches
    budget = 60 * SHARE * minutes
    side, batch, least = choose(sides, batches, seconds, budget)
    steps = rounded(budget / max(least, 1e-9))
    every = -(-steps // EVALUATIONS)
    fields: dict[str, Any] = {
        **({"image_size": side} if side is not None and side != facts.native else {}),
        "batch_size": batch,
        "steps": steps,
        "weight_average": f"ema({min(0.998, max(0.9, 1 - 10 / steps)):.4g})",
        "evaluate_every": every,
        "checkpoint_every": every,
        "log_every": max(1, min(50, steps // 100)),
    }
    if augments(facts):
        fields["augment"] = f"adaptive(images={max(1, steps * batch // 4)})"
    larger = [one for one in sides if side is not None and one > side]
    return Plan({**fields, **given}, least, min(larger, default=None))


@dataclass(frozen=True)
class Timing:
    """The time and memory of a few steps of a training on this machine.

    Attributes:
        seconds: seconds of a step.
        training: the training after these steps.
        memory: the largest memory so far in bytes, of the process or, on a GPU, of torch there; None if it is unknown.
    """

    seconds: float
    training: Training
    memory: int | None


def time_steps(run: Run, trust: bool = False, **given: Any) -> Timing:
    """Trains the first steps of a run, without a folder, and measures the time of a step after two warm ones.

    Arguments:
        run: the run.
        trust: True to open the run's pretrained generator if it is a .pt2 file, which can execute code.
        given: the arguments `dataset`, `game` and `generator` of `interalia.training.engine.prepare`, if any.

    Raises:
        UserError: the run cannot be trained.
        KeyboardInterrupt: a signal has ended the steps.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        training = engine.prepare(run.replace(steps=WARM, early_stopping=0), trust=trust, **given)
    engine.limit_threads(training)
    seconds = 0.0
    for last in (WARM, WARM + TIMED):
        training.run = training.run.replace(steps=last)
        began = time.perf_counter()
        engine.loop(training, ())
        if training.device.type == "cuda":
            torch.cuda.synchronize(training.device)
        seconds = (time.perf_counter() - began) / TIMED
        if training.step < last:
            raise KeyboardInterrupt
    return Timing(seconds, training, peak_memory(training.device))


def peak_memory(device: torch.device) -> int | None:
    """Returns the largest memory so far, in bytes: that of torch on a GPU, else of the process; None if it is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # on Windows
        return None
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def disk_bytes(training: Training) -> int:
    """Returns the bytes that a training keeps on disk: its checkpoints, and its last and best weights.

    Figures and the log, which are small, are not counted, nor are moments of optimizers before the first step.
    """

    def size(value: Any) -> int:
        """Returns the bytes of all tensors in nested dictionaries and lists."""
        if isinstance(value, torch.Tensor):
            return value.nbytes
        parts: Sequence[Any] = (
            list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
        )
        return sum(map(size, parts))

    weights = size(training.game.state_dict())
    return training.run.keep_checkpoints * size(training.state_dict()) + 2 * weights
