"""What an estimate of log p(x) is, and how one is taken: in chunks that fit the memory, on images in a random order."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interalia.contexts import device_of, evaluating, flush_denormals
from interalia.data.progress import progress
from interalia.data.sampler import permutation
from interalia.data.store import free_memory
from interalia.errors import UserError
from interalia.games.capabilities import Generates, HasLikelihood, require
from interalia.games.game import Game
from interalia.tasks.calling import check_images

ROWS = {"cpu": 1024}  # pairs (x, z) looked at at once where memory allows: more no longer fit a processor's cache
WIDE = 65_536  # the same on an accelerator
SHARE = 0.25  # of the memory that is free
COPIES = 4  # of every layer's answer, held at a time: itself, its gradient, and what lies between
GIVEN = "as given"


@dataclass(frozen=True)
class Sandwich:
    """Two bounds of log p(x) in expectation for images that the model made itself, of which an exact draw of p(z | x) is
    known: the z that each was made from.

    Attributes:
        lower: by the forward run, in nats, float64, shape (m,).
        upper: by the reverse run, in nats, float64, shape (m,).
        acceptance: the mean acceptance of both.
        images: how many there were to be; more than m where the check was interrupted.
        protocol: the settings in words.
    """

    lower: Tensor
    upper: Tensor
    acceptance: float
    images: int
    protocol: str

    @property
    def gap(self) -> float:
        """The mean of upper - lower: in expectation at least what the lower bound is short of log p(x)."""
        return float((self.upper - self.lower).mean())

    @property
    def error(self) -> float:
        """The standard error of the gap over images; NaN for one image."""
        return standard_error(self.upper - self.lower)

    @property
    def interrupted(self) -> bool:
        return len(self.lower) < self.images

    @property
    def words(self) -> str:
        """The gap and what it is of."""
        done = f"{len(self.lower):,} of {self.images:,} simulated images"
        return f"{self.gap:.3g} ± {self.error:.2g} nats between the bounds of {done}, acceptance {self.acceptance:.2f}"


@dataclass(frozen=True)
class Estimate:
    """log p(x) of some images, and what must be known to compare it.

    Attributes:
        name: a key of `interalia.metrics.likelihood.REGISTRY`.
        values: one for each image that is done, in nats, float64, shape (m,).
        rows: which of the images given each is of, int64, shape (m,).
        images: how many were given; more than m where the estimate was interrupted.
        protocol: the settings in words: draws or chains, path, binarization, seed.
        acceptance: of Hamiltonian Monte Carlo, None elsewhere.
        check: the bidirectional check with the same settings, None where there is none.
    """

    name: str
    values: Tensor
    rows: Tensor
    images: int
    protocol: str
    acceptance: float | None = None
    check: Sandwich | None = None

    @property
    def mean(self) -> float:
        """Over the images, in nats."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """The standard error of the mean over images, s / sqrt(m), in nats; NaN for one image."""
        return standard_error(self.values)

    @property
    def interrupted(self) -> bool:
        return len(self.values) < self.images

    @property
    def words(self) -> str:
        """The protocol with the number of images, and the check where there is one."""
        interrupted = ", interrupted: a random part of them" * self.interrupted
        parts = [f"{len(self.values):,} of {self.images:,} images{interrupted}; {self.protocol}"]
        if self.acceptance is not None:
            parts.append(f"acceptance {self.acceptance:.2f}")
            parts.append("no bidirectional check" if self.check is None else f"bidirectional check: {self.check.words}")
        return "; ".join(parts)


def standard_error(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def checked(game: Game, x: Tensor) -> None:
    """Raises a UserError unless log p(x, z) of these images can be asked for, in time: before anything is computed."""
    if not len(x):
        raise UserError("there are no images to estimate a likelihood of; give at least one.")
    check_images(game, x)
    likely = require(game, HasLikelihood, "an estimate of log p(x)")
    with evaluating(game):
        like = next(game.parameters())
        likely.log_joint(torch.zeros_like(x[:1]).to(like), likely.prior.sample((1,)))  # raises where it has no density
    if not x.isfinite().all():
        raise UserError("the images hold NaN or infinite values; give finite ones.")
    if likely.binary and len(between := x[(x != 0) & (x != 1)]):
        raise UserError(
            f"this {type(game).__name__}'s p(x | z) is one of zeros and ones, and the images hold other values, such as "
            f"{float(between[0]):.3g}; binarize them: train the run with `binarize='dynamic'` (or static), which "
            f"measures it on such images too."
        )


def counted(**counts: int) -> None:
    """Raises a UserError unless all of them are 1 or more."""
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"`{name}` is {count}, and it must be at least 1.")


def free_bytes(device: torch.device) -> float:
    """Bytes that are free on a device."""
    if device.type != "cpu":
        return free_memory(device)
    free = []
    with suppress(OSError, KeyError):  # what Linux says
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        free.append(1024.0 * int(fields["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):  # a container's own limit
        group = Path("/sys/fs/cgroup")
        free.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return max(0.0, min(free or [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 4]))


def bytes_a_row(game: Game) -> int:
    """What one pair (x, z) takes while p(x | z) is looked at: the answers of all layers of the decoder, and x."""
    sizes: list[int] = []

    def count(module: nn.Module, given: Any, answer: Any) -> None:
        if isinstance(answer, Tensor):
            sizes.append(answer.nbytes)

    model = require(game, Generates, "an estimate of log p(x)")
    leaves = [module for module in model.decoder.modules() if next(module.children(), None) is None]
    handles = [module.register_forward_hook(count) for module in leaves]
    try:
        with torch.no_grad():
            mean = model.decoder(model.prior.sample((2,))).mean
    finally:
        for handle in handles:
            handle.remove()
    return max(1, (sum(sizes) + mean.nbytes) // 2)


def rows_that_fit(game: Game) -> int:
    """How many pairs (x, z) to look at at once: what a quarter of the free memory holds, and no more than is quick."""
    device = device_of(game)
    fit = int(SHARE * free_bytes(device) / (COPIES * bytes_a_row(game)))
    return max(1, min(ROWS.get(device.type, WIDE), fit))


def gathered(
    images: int, chunk: int, seed: int, about: str, work: Callable[[Tensor, Callable[[float], None]], Tensor]
) -> tuple[Tensor, Tensor]:
    """Work on images, a chunk at a time, in an order drawn by seed: what is done when it is interrupted is a random part.

    Arguments:
        images: how many there are.
        chunk: how many at once.
        seed: of the order.
        about: the words beside the progress bar.
        work: is given rows, int64, and a function to be told of progress, in shares of the chunk, and answers the rows'
            numbers, shape (len(rows), k).

    Returns:
        The rows that are done, in order, and their numbers, float64 on the CPU.

    Raises:
        KeyboardInterrupt: nothing is done yet.
    """
    done: list[tuple[Tensor, Tensor]] = []
    with progress(about, images) as advance, flush_denormals():
        try:
            for rows in permutation(images, seed).split(chunk):
                told = 0.0

                def tell(share: float, count: int = len(rows)) -> None:
                    nonlocal told
                    told += share * count
                    advance(share * count)

                numbers = work(rows, tell).double().cpu()
                advance(len(rows) - told)
                done.append((rows, numbers))
        except KeyboardInterrupt:
            if not done:
                raise KeyboardInterrupt(
                    f"interrupted before the first {min(chunk, images):,} images were done, which are taken at once; there "
                    f"is no estimate yet. Ask for fewer `temperatures`, or a smaller `count`."
                ) from None
    rows, found = map(torch.cat, zip(*done, strict=True))
    back = rows.argsort()
    return rows[back], found[back]
