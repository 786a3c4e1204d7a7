"""The classes `Estimate` and `Sandwich` for values and bounds of log p(x), and their computation in chunks of images.

Chunks fit the memory. The images are in a random order, so that an interrupted computation has values of a random
sample of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interalia.contexts import NoiseKey, device_of, evaluating, flush_denormals, private_rng, processes
from interalia.data.progress import progress
from interalia.data.sampler import permutation
from interalia.data.store import free_memory
from interalia.errors import UserError
from interalia.games.capabilities import Generates, HasLikelihood, require
from interalia.games.game import Game
from interalia.tasks.calling import check_images

ROWS = {"cpu": 1024}  # most pairs (x, z) in one forward pass; more do not fit a processor's cache
WIDE = 65_536  # the same on an accelerator
SHARE = 0.25  # of the free memory that is used
COPIES = 4  # of each layer's output in memory: itself, its gradient, and intermediate results
GIVEN = "as given"


@dataclass(frozen=True)
class Sandwich:
    """A lower and an upper bound of log p(x), each valid in expectation, of images that the model simulated.

    An image x is simulated from a z, which is then an exact sample of p(z | x). The lower bound is computed by annealed
    importance sampling towards p(z | x) (the forward run), and the upper bound by going back from that z (the reverse
    run).

    Attributes:
        lower: the lower bound of each image, by the forward run, in nats, float64, shape (m,).
        upper: the upper bound of each image, by the reverse run, in nats, float64, shape (m,).
        acceptance: the mean acceptance probability of Hamiltonian Monte Carlo in both runs.
        images: the number of images requested; larger than m if the check was interrupted.
        protocol: the arguments as text: chains, temperatures, path, seed.
    """

    lower: Tensor
    upper: Tensor
    acceptance: float
    images: int
    protocol: str

    @property
    def gap(self) -> float:
        """The mean over images of upper - lower, in nats: in expectation at least the error of the lower bound."""
        return float((self.upper - self.lower).mean())

    @property
    def error(self) -> float:
        """The standard error over images of the mean of upper - lower, in nats; NaN for one image."""
        return standard_error(self.upper - self.lower)

    @property
    def interrupted(self) -> bool:
        """True if some images have no bounds, since the run was interrupted."""
        return len(self.lower) < self.images

    @property
    def description(self) -> str:
        """The mean gap between the bounds, its standard error, the number of images and the mean acceptance, as text."""
        done = f"{len(self.lower):,} of {self.images:,} simulated images"
        return f"{self.gap:.3g} ± {self.error:.2g} nats between the bounds of {done}, acceptance {self.acceptance:.2f}"


@dataclass(frozen=True)
class Estimate:
    """Estimates or bounds of log p(x) of images, in nats, and the arguments that they were computed with.

    Attributes:
        name: the estimator's key in `interalia.metrics.likelihood.REGISTRY`, such as "ais".
        values: log p(x), or a bound of it, of each finished image, in nats, float64, shape (m,).
        rows: the index of each value's image, int64, shape (m,).
        images: the number of images given; larger than m if the estimate was interrupted.
        protocol: the arguments as text: number of samples or of chains, path, binarization, seed.
        acceptance: the mean acceptance probability of Hamiltonian Monte Carlo; None for estimators without it.
        check: the bidirectional check with the same arguments; None if there is none.
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
        """The mean of the values over the images, in nats."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """The standard error of `mean`, s / sqrt(m) with the standard deviation s of m values, in nats; NaN for one image."""
        return standard_error(self.values)

    @property
    def interrupted(self) -> bool:
        """True if some images have no value, since the run was interrupted."""
        return len(self.values) < self.images

    @property
    def description(self) -> str:
        """The number of images, the arguments, and, if any, the mean acceptance and the bidirectional check, as text."""
        interrupted = ", interrupted: a random part of them" * self.interrupted
        parts = [f"{len(self.values):,} of {self.images:,} images{interrupted}; {self.protocol}"]
        if self.acceptance is not None:
            check = "no bidirectional check" if self.check is None else f"bidirectional check: {self.check.description}"
            parts += [f"acceptance {self.acceptance:.2f}", check]
        return "; ".join(parts)


def standard_error(values: Tensor) -> float:
    """The standard error s / sqrt(m) of the mean of m values, with their standard deviation s; NaN for one value."""
    return float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def check_inputs(game: Game, x: Tensor) -> None:
    """Raises a UserError unless the log p(x) of these images can be estimated.

    The game has to have a density p(x, z). There has to be at least one image, of the game's shape, with finite values,
    which are 0 or 1 if p(x | z) is a Bernoulli.
    """
    if not len(x):
        raise UserError("there are no images to estimate a likelihood of; give at least one.")
    check_images(game, x)
    likely = require(game, HasLikelihood, "an estimate of log p(x)")
    with evaluating(game):
        like = next(game.parameters())
        likely.log_joint(torch.zeros_like(x[:1]).to(like), likely.prior.sample((1,)))  # raises if it has no density
    if not x.isfinite().all():
        raise UserError("the images hold NaN or infinite values; give finite ones.")
    if likely.binary and len(between := x[(x != 0) & (x != 1)]):
        what = f"this {type(game).__name__}'s p(x | z) is a Bernoulli, and the images have values other than 0 and 1"
        how = "train the run with `binarize='dynamic'` (or 'static'), which binarizes them in the evaluation too"
        raise UserError(f"{what}, such as {float(between[0]):.3g}; binarize them: {how}.")


def free_bytes(device: torch.device) -> float:
    """The free memory of a device, in bytes; on a CPU the smaller of the system's free memory and of a container's."""
    if device.type != "cpu":
        return free_memory(device)
    free = []
    with suppress(OSError, KeyError):  # Linux
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        free.append(1024.0 * int(fields["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):  # the limit of a container
        group = Path("/sys/fs/cgroup")
        free.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return max(0.0, min(free or [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 4]))


def bytes_per_row(game: Game) -> int:
    """The memory, in bytes, that one pair (x, z) takes in the evaluation of p(x | z).

    It is that of the outputs of all layers of the decoder, and of x.
    """
    sizes: list[int] = []

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        """Appends the number of bytes of a layer's output to the list `sizes`.

        It is a forward hook of PyTorch, and does not use `inputs`.
        """
        if isinstance(output, Tensor):
            sizes.append(output.nbytes)

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


def max_rows(game: Game) -> int:
    """The number of pairs (x, z) in one forward pass that fit a quarter of the free memory.

    It is at most 1,024 on a CPU, for its caches, and 65,536 on other devices.
    """
    device = device_of(game)
    fit = int(SHARE * free_bytes(device) / (COPIES * bytes_per_row(game)))
    return max(1, min(ROWS.get(device.type, WIDE), fit))


def in_chunks(
    images: int,
    chunk: int,
    seed: int,
    about: str,
    work: Callable[[Tensor, Callable[[float], None]], Tensor],
    device: torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """Computes values of images in chunks and in a random order, so that interrupted results are of random images.

    Several processes share the chunks, see `interalia.contexts.processes.sharing`.

    An interruption (KeyboardInterrupt) after the first chunk ends the computation, and the finished values are
    returned.

    Arguments:
        images: the number of images.
        chunk: number of images at a time.
        seed: random seed of the order.
        about: the label of the progress bar.
        work: maps indices of images, int64, shape (c,), and a progress callback, which takes finished shares of the chunk,
            to k values of each image, shape (c, k).
        device: the device on which `work` draws random numbers; each chunk but the first has its own seed. None if it draws
            none.

    Returns:
        The sorted indices of the m finished images, shape (m,), and their values, shape (m, k), float64 on the CPU.

    Raises:
        KeyboardInterrupt: before the first chunk is finished.
    """
    done: list[tuple[Tensor, Tensor]] = []
    team = processes.sharers()
    pieces = list(enumerate(permutation(images, seed).split(team.broadcast(chunk))))[team.rank :: team.size]
    shown_here = (
        progress(about, sum(len(rows) for _, rows in pieces)) if team.first else nullcontext(lambda count: None)
    )
    with shown_here as advance, flush_denormals():
        try:
            for number, rows in pieces:
                shown = 0.0

                def report(share: float, count: int = len(rows)) -> None:
                    """Advances the progress bar by a share (0 to 1) of the chunk of `count` images."""
                    nonlocal shown
                    shown += share * count
                    advance(share * count)

                key = NoiseKey((seed, "chunk", number)).seed()
                with private_rng(device, key) if number and device is not None else nullcontext():
                    values = work(rows, report).double().cpu()
                advance(len(rows) - shown)
                done.append((rows, values))
        except KeyboardInterrupt:
            pass
    done = [one for part in team.gather_objects(done) for one in part]
    if not done:
        what = f"interrupted before the first chunk of {min(chunk, images):,} images was finished"
        how = "give fewer `temperatures`, or a smaller `count`"
        raise KeyboardInterrupt(f"{what}, so there is no estimate yet; {how}.")
    rows, found = map(torch.cat, zip(*done, strict=True))
    order = rows.argsort()
    return rows[order], found[order]
