"""Context managers for networks: evaluation mode, frozen parameters, random numbers and precision; and functions that find
the device of a network, choose the precision and tell whether a gradient is needed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

LINEAR_WEIGHTS = 500_000  # so many weights of linear layers are multiplied in bf16 by AMX; see `resolve_precision`
BatchNorm = _BatchNorm  # base class of BatchNorm1d, 2d, 3d, their lazy versions and SyncBatchNorm
Conv = _ConvNd  # base class of convolutions and transposed convolutions in 1, 2 and 3 dimensions
Kind = Literal["normal", "uniform", "random"]  # of random numbers: N(0, 1), [0, 1), or integers
# rows that one seed gives; fewer if a row has many numbers, because whole blocks are drawn
BLOCK, LARGE_BLOCK, LARGE = 64, 16, 1024
ALL_BITS = (-(2**63), None)  # bounds of random integers of 64 random bits


@dataclasses.dataclass(frozen=True)
class NoiseKey:
    """The key of random numbers in a `keyed` context, which are a function of it, of their purpose and of their row.

    Attributes:
        key: numbers and texts, such as the seed and the step of a training.
        rows: the number of rows of a batch; 0 if a tensor of any number of rows is one batch.
        first: the index of the first of these rows, if they are a part of a longer batch.
        drawn: purpose -> an iterator of the numbers, from 0, of the tensors that are drawn for it.
    """

    key: tuple[int | str, ...]
    rows: int = 0
    first: int = 0
    drawn: defaultdict[str, Iterator[int]] = dataclasses.field(default_factory=lambda: defaultdict(itertools.count))

    def seed(self, *purpose: int | str) -> int:
        """Returns a seed of 64 bits, the hash of the key and of `purpose`: what is drawn, and numbers that identify it."""
        text = " ".join(map(str, (*self.key, *purpose)))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


NOISE: ContextVar[NoiseKey | None] = ContextVar("NOISE", default=None)
# a function that calls another one, which draws a tensor, outside of a graph that is being captured, and returns the tensor
OUTSIDE: ContextVar[Callable[[Callable[[], Tensor]], Tensor] | None] = ContextVar("OUTSIDE", default=None)


@contextlib.contextmanager
def noise_from(key: NoiseKey | None) -> Iterator[None]:
    """A context manager in which `draw_noise` uses this key; with None it uses torch's random generator."""
    token = NOISE.set(key)
    try:
        yield
    finally:
        NOISE.reset(token)


def keyed(*key: int | str, rows: int = 0, first: int = 0) -> AbstractContextManager[None]:
    """Returns a context manager in which random numbers of `draw_noise` depend on a key, their purpose and their row alone.

    They depend neither on the number of rows nor on other draws, and leave the random state of torch unchanged.

    Arguments:
        key: numbers and texts, such as the seed and the step of a training.
        rows: the number of rows of a batch, if several samples are drawn for each row, see `draw_noise`; otherwise 0.
        first: the index of the first row, if the rows are a part of a longer batch.
    """
    return noise_from(NoiseKey(key, rows, first))


def keyed_evaluation(batch: Sequence[Tensor]) -> AbstractContextManager[None]:
    """Returns a context manager for one evaluation of a game on a batch, whose random numbers differ from those of all
    evaluations before it.

    Inside of `keyed` the number of the evaluation is added to the key; elsewhere there is no effect. The first tensor in
    `batch` has the rows of the batch.
    """
    outer, rows = NOISE.get(), len(batch[0]) if batch else 0
    return noise_from(outer and NoiseKey((*outer.key, next(outer.drawn["evaluation"])), rows, outer.first))


def keyed_repeats(count: int) -> AbstractContextManager[None]:
    """Returns a context manager for draws of `count` samples in succession for each row of the batch.

    It has no effect outside of `keyed`.
    """
    outer = NOISE.get()
    return noise_from(outer and NoiseKey(outer.key, (outer.rows or 0) * count, outer.first * count, outer.drawn))


def draw_noise(
    purpose: str, kind: Kind, shape: Sequence[int], like: Tensor, *bounds: int | None, shared: bool = False
) -> Tensor:
    """Draws a tensor of random numbers. All components draw theirs through this function.

    Inside of `keyed`, row i is a function of the key, the purpose, the number of draws for the same purpose so far, and i:
    the rows are drawn in blocks of fixed size, each with its own seed, and cut, or by a generator that leaves rows out (see
    `random_bits`). If there are more rows than in the batch, they are several samples of its rows: first a sample of every
    row, then the next sample of every row. For several samples of one row in succession there is `keyed_repeats`. Outside
    of `keyed` the numbers are those of torch's random generator.

    Arguments:
        purpose: what the numbers are for, such as "prior" or "dropout".
        kind: "normal" for N(0, 1), "uniform" for [0, 1), or "random" for int64 numbers within the bounds.
        shape: the shape, whose first dimension are rows of the batch.
        like: a tensor with the device and, for real numbers, the dtype of the result.
        bounds: for "random", the lowest integer and the highest plus 1, which is None for all integers up to the largest.
        shared: True for numbers that do not belong to rows of the batch, such as a random basis.

    Example:
        >>> def latents(rows, first=0):
        ...     with keyed(0, "example", first=first):
        ...         return draw_noise("prior", "normal", (rows, 2), torch.empty(0))
        >>> bool((latents(100)[70:75] == latents(5, first=70)).all())
        True
    """
    if (outside := OUTSIDE.get()) is not None:
        dtype, device = like.dtype, like.device

        def draw() -> Tensor:
            """Draws the tensor of `draw_noise` from torch's random generator, as it is seeded at present."""
            return draw_noise(purpose, kind, shape, torch.empty(0, dtype=dtype, device=device), *bounds, shared=shared)

        return outside(draw)
    dtype, key, fill = torch.int64 if kind == "random" else like.dtype, NOISE.get(), getattr(Tensor, f"{kind}_")
    if key is None:
        return fill(like.new_empty(shape, dtype=dtype), *bounds)
    count, *row = shape
    batch = count if shared else key.rows or count
    whole, rest = divmod(count, max(batch, 1))
    size = max(count, 1) if shared else BLOCK if math.prod(row) < LARGE else LARGE_BLOCK
    generator, number, parts = torch.Generator(like.device), next(key.drawn[purpose]), []
    for part, rows in enumerate([batch] * whole + [rest] * (rest > 0 or whole == 0)):
        first = 0 if shared else key.first * rows // max(batch, 1)
        if bounds == ALL_BITS and like.device.type == "cpu":
            parts.append(random_bits(key.seed(purpose, number, part), first, (rows, *row)))
            continue
        blocks, seed = range(first // size, -(-(first + rows) // size)), key.seed(purpose, number, part)
        made = like.new_empty((len(blocks), size, *row), dtype=dtype)
        for block, numbers in zip(blocks, made.unbind(), strict=True):
            fill(numbers, *bounds, generator=generator.manual_seed((seed + block) % 2**64))
        parts.append(made.flatten(0, 1)[first - blocks.start * size :][:rows])
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def random_bits(seed: int, first: int, shape: Sequence[int]) -> Tensor:
    """Draws int64 numbers of 64 random bits from numpy's generator PCG64, in two thirds of the time of torch's.

    Arguments:
        seed: the seed.
        first: the number of rows to leave out; the rows after them do not depend on it.
        shape: the shape of the tensor, whose first dimension are rows.
    """
    generator = np.random.PCG64(seed)
    generator.advance(first * math.prod(shape[1:]))
    return torch.from_numpy(generator.random_raw(math.prod(shape)).view(np.int64)).view(*shape)


def device_of(game: nn.Module) -> torch.device:
    """Returns the device of the first parameter of the module `game`, which must have parameters."""
    return next(game.parameters()).device


@contextlib.contextmanager
def private_rng(device: torch.device, seed: int = 0) -> Iterator[None]:
    """A context manager that seeds torch's generators of the CPU and of `device`, and restores their former states
    at its end.

    Inside, `draw_noise` uses these generators, also within a `keyed` context.
    """
    devices = [device] if device.type == "cuda" else []
    apple = torch.mps.get_rng_state() if device.type == "mps" else None  # fork_rng does not save it
    with torch.random.fork_rng(devices=devices), noise_from(None):
        # torch.manual_seed would also seed accelerators, and store a stack trace for each uninitialized one
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)
        try:
            yield
        finally:
            if apple is not None:
                torch.mps.set_rng_state(apple)


@contextlib.contextmanager
def evaluating(game: nn.Module, seed: int = 0) -> Iterator[None]:
    """A context manager in which a module is in evaluation mode, gradients are disabled, and the random state is private.

    At its end, the former modes of all submodules and the former random state are restored.

    Arguments:
        game: the module.
        seed: the seed of the random generators inside the context.
    """
    modes = {module: module.training for module in game.modules()}
    with private_rng(device_of(game), seed), torch.no_grad():
        game.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


@contextlib.contextmanager
def frozen(game: nn.Module) -> Iterator[None]:
    """A context manager that sets requires_grad to False for all parameters of the module `game`, and restores it at
    its end.
    """
    trainable = [p for p in game.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """A context manager in which denormal results (numbers under 1.2e-38 in float32) become 0, to save time.

    They are too small to change what a network learns, and a processor takes about a hundred times as long for one. A
    trained critic whose units lie far in the tail of an exponential has so many of them that a step takes several times
    as long. The mode applies to this thread and to threads that start inside the context; other threads keep theirs.
    """
    before = bool(torch.tensor(1e-30) * 1e-10 == 0)
    torch.set_flush_denormal(True)  # without effect where the processor has no such mode
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def normal_like(x: Tensor, purpose: str = "conditional") -> Tensor:
    """Draws a tensor of the shape, device and dtype of x from N(0, 1) by `draw_noise`, for a purpose such as "noise"."""
    return draw_noise(purpose, "normal", x.shape, x)


def is_needed(node: Any) -> bool:
    """True if the backward pass under way computes the gradient that a node of the autograd graph receives; False for None.

    That is so if the pass leads through the node to a tensor whose gradient is requested. It is True too where autograd does
    not tell, in `torch.autograd.grad` for a leaf.
    """
    try:
        return node is not None and bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:
        return True


def autocast_off(like: Tensor) -> torch.autocast:
    """Returns a context manager that disables autocast on the device of the tensor `like`.

    Sums of many terms that nearly cancel need it.
    """
    return torch.autocast(like.device.type, enabled=False)


def to_float32(y: Tensor) -> Tensor:
    """Returns y in float32 if it is bfloat16 or float16, and unchanged otherwise.

    Exponentials and differences of the outputs of a network under autocast need float32.
    """
    return y.float() if y.dtype in (torch.bfloat16, torch.float16) else y


def resolve_precision(name: str, network: nn.Module, device: torch.device) -> str:
    """Returns the precision for the training of a network, "fp32", "bf16" or "fp16".

    Only the size of the network and the instructions that the hardware declares decide, not a measurement, so that equal
    machines choose equally.

    Arguments:
        name: the precision, which is returned; or "auto" for "bf16" in two cases, and "fp32" otherwise. The first: the
            network has convolutions, and the hardware multiplies bf16 numbers natively. The second: its linear layers
            have at least `LINEAR_WEIGHTS` weights, and the processor multiplies bf16 numbers by AMX.
        network: the network to train.
        device: the device that it runs on.
    """
    if name != "auto":
        return name
    if not any(isinstance(m, Conv) for m in network.modules()):
        weights = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear))
        amx = device.type == "cpu" and torch.cpu._is_amx_tile_supported()
        return "bf16" if amx and weights >= LINEAR_WEIGHTS else "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"


def precision_context(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Returns a function without arguments that makes a context manager for a forward pass in a given precision.

    Arguments:
        precision: "bf16" for autocast to bfloat16, "fp16" for autocast to float16, or "fp32" for a context manager
            without effect.
        device: the device of the forward pass.
    """
    if precision == "fp32":
        return nullcontext
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return lambda: torch.autocast(device.type, dtype=dtype)
