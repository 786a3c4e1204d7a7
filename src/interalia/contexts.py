"""Context managers for networks: evaluation mode with private RNG, frozen parameters, float32, flushed denormals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = _BatchNorm  # base class of BatchNorm1d, 2d, 3d, their lazy versions and SyncBatchNorm


def device_of(game: nn.Module) -> torch.device:
    """The device of the game's first parameter."""
    return next(game.parameters()).device


@contextlib.contextmanager
def private_rng(device: torch.device, seed: int = 0) -> Iterator[None]:
    """Seeds the random state of `device` with `seed` inside the block, and restores the former states at its end."""
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
    """Evaluation mode (`game.eval()`) without gradients and with a private random state, restored at the end of the block."""
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
    """Sets requires_grad=False on all parameters inside the block, so that only latents receive gradients."""
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
    """Flushes denormal numbers (under 1.2e-38 in float32) to 0 inside the block.

    They do not change a result, and a processor takes about a hundred times as long for one. A trained critic whose units lie
    far in the tail of an exponential has so many of them that a step takes several times as long. The mode applies to this
    thread and to threads that start inside the block; other threads keep theirs.
    """
    before = bool(torch.tensor(1e-30) * 1e-10 == 0)
    torch.set_flush_denormal(True)  # without effect where the processor has no such mode
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def autocast_off(like: Tensor) -> torch.autocast:
    """Returns a context that disables autocast on the device of a tensor, for sums of many terms that nearly cancel."""
    return torch.autocast(like.device.type, enabled=False)


def to_float32(y: Tensor) -> Tensor:
    """Converts bfloat16 and float16 to float32, for code after autocast that takes exponentials and differences."""
    return y.float() if y.dtype in (torch.bfloat16, torch.float16) else y


def resolve_precision(name: str, network: nn.Module, device: torch.device) -> str:
    """Returns "fp32" or "bf16"; "auto" is bf16 for convolutional networks where the hardware multiplies bf16 natively."""
    if name != "auto":
        return name
    if not any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules()):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"


def precision_context(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Returns a function that makes the context of a forward pass: autocast to bfloat16, or `nullcontext` for "fp32"."""
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
