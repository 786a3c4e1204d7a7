"""Context managers for networks: evaluation mode with a private RNG, frozen parameters, float32, denormals flushed to zero."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = _BatchNorm  # of every kind: of one, two and three dimensions, lazy, and synchronised over several devices


def device_of(game: nn.Module) -> torch.device:
    """Where its parameters live."""
    return next(game.parameters()).device


@contextlib.contextmanager
def private_rng(device: torch.device, seed: int = 0) -> Iterator[None]:
    """A random state of its own, begun from `seed`; the former one is put back afterwards."""
    devices = [device] if device.type == "cuda" else []
    apple = torch.mps.get_rng_state() if device.type == "mps" else None  # which fork_rng does not know
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed would reach the accelerators as well, and write down the whole stack for each that sleeps
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed)
        try:
            yield
        finally:
            if apple is not None:
                torch.mps.set_rng_state(apple)


@contextlib.contextmanager
def evaluating(game: nn.Module, seed: int = 0) -> Iterator[None]:
    """Evaluation mode without gradients, on a random state of its own; everything is put back afterwards."""
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
    """Gradients in z alone: no parameter has one; put back afterwards."""
    moved = [p for p in game.parameters() if p.requires_grad]
    for p in moved:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in moved:
            p.requires_grad_(True)


@contextlib.contextmanager
def flush_denormals() -> Iterator[None]:
    """Meanwhile numbers that are too small to be normal (under 1.2e-38 in float32) count as 0.

    They are worth nothing, and a processor takes some hundred times as long for one: a trained critic whose units have gone
    far into an exponential's tail has so many that a step takes several times as long. It holds of this thread and of those
    that begin meanwhile; others keep their ways.
    """
    before = bool(torch.tensor(1e-30) * 1e-10 == 0)
    torch.set_flush_denormal(True)  # which changes nothing where the processor has no such mode
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def to_float32(y: Tensor) -> Tensor:
    """y in full precision, where autocast computed it in a lower one: what follows takes exponentials and differences."""
    return y.float() if y.dtype in (torch.bfloat16, torch.float16) else y


def resolve_precision(name: str, network: nn.Module, device: torch.device) -> str:
    """fp32 or bf16; auto is bf16 for convolutional networks where the processor multiplies bf16 by itself."""
    if name != "auto":
        return name
    if not any(isinstance(m, nn.Conv2d | nn.ConvTranspose2d) for m in network.modules()):
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    fast = device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # type: ignore[no-untyped-call]
    )
    return "bf16" if fast else "fp32"


def precision_context(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """What a network is asked within: autocast to bfloat16, or nothing."""
    if precision == "fp32":
        return nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
