"""The fast layers equal PyTorch's: values, gradients, and second gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from interalia.networks.layers import Convolution, Dropout, Transposed

LAYERS = [
    (Convolution(6, 5, 4), (3, 6, 4, 4)),
    (Convolution(6, 5, (3, 2), bias=False), (3, 6, 3, 2)),
    (Convolution(6, 5, 1), (3, 6, 1, 1)),
    (Convolution(6, 5, 1), (3, 6, 7, 7)),
    (Convolution(6, 5, 4, 2), (3, 6, 11, 9)),
    (Transposed(6, 5, 4), (3, 6, 1, 1)),
    (Transposed(6, 5, (2, 3), bias=False), (3, 6, 1, 1)),
    (Transposed(6, 5, 4, 2), (3, 6, 5, 5)),
]


def plain(layer: nn.Module) -> nn.Module:
    """The same layer of PyTorch."""
    kind = nn.Conv2d if isinstance(layer, Convolution) else nn.ConvTranspose2d
    other = kind(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, bias=layer.bias is not None  # type: ignore[arg-type]
    )  # fmt: skip
    other.load_state_dict(layer.state_dict())
    return other.double()


def looks(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, its gradients, and the gradients of a penalty on the input's gradient."""
    x = x.detach().requires_grad_()
    out = layer(x)
    (of_x,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    penalty = of_x.square().sum()
    first = torch.autograd.grad(out.pow(3).sum(), list(layer.parameters()), retain_graph=True)
    second = torch.autograd.grad(penalty, list(layer.parameters()))
    return [out, of_x, *first, *second]


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_layers_are_the_plain_ones(layer: nn.Module, shape: tuple[int, ...], memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours = copy.deepcopy(layer).double().to(memory_format=memory)  # type: ignore[call-overload]
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=memory)
    for a, b in zip(looks(ours, x), looks(plain(layer), x), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout(p: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    n = 400_003  # not a multiple of four
    x = torch.ones(n, dtype=kind, requires_grad=True)
    y = Dropout(p)(x)
    assert y.dtype == kind
    kept = (y != 0).double()
    assert abs(kept.mean().item() - (1 - p)) < 5 * (p * (1 - p) / n) ** 0.5 + 1 / 32768
    assert y.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=1e-2 if kind == torch.bfloat16 else 1e-3)
    lags = [(kept[lag:] * kept[:-lag]).mean().item() for lag in (1, 2, 3, 4)]  # neighbours share a random word
    assert lags == pytest.approx([(1 - p) ** 2] * 4, abs=0.006)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, y.detach())


def test_dropout_is_off_in_evaluation_and_at_zero() -> None:
    x = torch.randn(4, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_keeps_the_layout() -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert Dropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)
    strange = torch.randn(4, 6).t()
    y = Dropout(0.5)(strange)
    assert y.shape == strange.shape
    torch.testing.assert_close(y[y != 0], 2 * strange[y != 0])
    sliced = torch.randn(2, 6, 4, 4)[:, ::2]
    y = Dropout(0.5)(sliced)
    torch.testing.assert_close(y[y != 0], 2 * sliced[y != 0])
