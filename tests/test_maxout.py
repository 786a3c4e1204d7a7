"""Maxout units are the maximum of `amax`: values, gradients with ties, second gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from interalia.networks.layers import Maxout

SHAPES = [(6, 12), (3, 12, 5, 4)]


def findings(x: Tensor, pieces: int, plain: bool) -> list[Tensor]:
    """The maxima, their gradient, and the gradient of a penalty on it in a layer before."""
    weight = torch.full(x.shape[1:], 0.5, dtype=x.dtype, requires_grad=True)
    x = x.detach().requires_grad_()
    a = weight * x
    out = a.unflatten(1, (pieces, -1)).amax(dim=1) if plain else Maxout(pieces)(a)
    (first,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    return [out, first, *torch.autograd.grad(first.square().sum(), weight)]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize("pieces", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_maxout_is_amax(shape: tuple[int, ...], pieces: int, memory: torch.memory_format) -> None:
    """Integers from -1 to 1, of which many are equal, and an infinite one."""
    x = torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(0)).double()
    x.view(-1)[0] = -torch.inf if pieces > 1 else 1.0
    if x.ndim == 4:
        x = x.to(memory_format=memory)
    for ours, theirs in zip(findings(x, pieces, False), findings(x, pieces, True), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


def test_equal_maxima_share_the_gradient() -> None:
    x = torch.tensor([[2.0, 1.0, 2.0, 3.0], [0.0, torch.inf, 0.0, torch.inf]], requires_grad=True)
    Maxout(2)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0.0, 0.5, 1.0], [0.5, 0.5, 0.5, 0.5]]
