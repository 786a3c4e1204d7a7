"""Context managers for networks: evaluation mode, frozen parameters, random state and precision; and functions that find
the device of a network and choose the precision.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

BatchNorm = _BatchNorm  # base class of BatchNorm1d, 2d, 3d, their lazy versions and SyncBatchNorm
Conv = _ConvNd  # base class of convolutions and transposed convolutions in 1, 2 and 3 dimensions


def device_of(game: nn.Module) -> torch.device:
    """Returns the device of the first parameter of the module `game`, which must have parameters."""
    return next(game.parameters()).device


@contextlib.contextmanager
def private_rng(device: torch.device, seed: int = 0) -> Iterator[None]:
    """A context manager that seeds torch's generators of the CPU and of `device`, and restores their former states
    at its end.
    """
    devices = [device] if device.type == "cuda" else []
    apple = torch.mps.get_rng_state() if device.type == "mps" else None  # fork_rng does not save it
    with torch.random.fork_rng(devices=devices):
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
    """Returns the precision for the training of a network, "fp32" or "bf16".

    Arguments:
        name: the precision, "fp32" or "bf16", which is returned; or "auto" for "bf16" if the network has convolutions and the
            hardware multiplies bf16 numbers natively, and "fp32" otherwise.
        network: the network to train.
        device: the device that it runs on.
    """
    if name != "auto":
        return name
    if not any(isinstance(m, Conv) for m in network.modules()):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"


def precision_context(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Returns a function without arguments that makes a context manager for a forward pass in a given precision.

    Arguments:
        precision: "bf16" for autocast to bfloat16, or "fp32" for a context manager without effect.
        device: the device of the forward pass.
    """
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
