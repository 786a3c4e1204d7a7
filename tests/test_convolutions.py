"""Convolutions that are computed in another way than torch's have torch's results and gradients."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interalia.networks import convolutions
from interalia.networks.convolutions import Options
from interalia.networks.layers import Convolution, Transposed

CASES = [
    (kernel, stride, padding, side)
    for kernel, stride, padding, side in itertools.product((3, 4, 5, 7), (1, 2, 3), (0, 1, 2), (8, 9, 11, 12))
    if padding < kernel and kernel <= side + 2 * padding
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "side"), CASES)
def test_blocks_are_the_transposed_convolution(kernel: int, stride: int, padding: int, side: int) -> None:
    torch.manual_seed(0)
    options = Options((stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1)
    x = torch.randn(2, 3, side, side + 1, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, kernel, kernel, dtype=torch.float64, requires_grad=True)
    out = torch.convolution(x, weight, None, *options)
    g = torch.randn_like(out)
    of_x, of_weight = torch.autograd.grad(out, (x, weight), g)
    torch.testing.assert_close(convolutions.transposed(g, weight, None, x.shape[2:], options), of_x)
    torch.testing.assert_close(convolutions.weight_gradient(x.detach(), g, weight.shape[2:], options), of_weight)


LAYERS: list[tuple[Any, tuple[int, int]]] = [
    (lambda: Convolution(3, 6, 5), (9, 10)),
    (lambda: Convolution(1, 6, 4, 2, 1, bias=False), (8, 8)),
    (lambda: Convolution(6, 5, 4, 2), (10, 12)),
    (lambda: Convolution(6, 5, 3, (1, 2), (0, 1)), (5, 7)),
    (lambda: Transposed(6, 1, 4, 2, 1), (5, 6)),
    (lambda: Transposed(6, 3, 5, 1, 2, bias=False), (5, 6)),
    (lambda: Transposed(6, 3, 5, 2, 2, output_padding=1), (5, 6)),
    (lambda: Transposed(6, 7, 4, 2, bias=False), (4, 4)),
]


def plain(layer: nn.Module) -> nn.Module:
    """The same layer of torch."""
    kind = nn.Conv2d if isinstance(layer, Convolution) else nn.ConvTranspose2d
    made: nn.Module = kind.__new__(kind)  # without its constructor, so that it shares the parameters
    made.__dict__ = layer.__dict__
    return made


@pytest.fixture(params=["AVX512", "AVX2"])
def everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways are taken wherever the shapes allow, whatever the processor declares."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)
    monkeypatch.setattr(convolutions, "takes_unfolded", lambda low, *_: low[1] <= convolutions.NARROW)


def gradients(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, the gradients in x and the weights by `backward`, and those of a penalty on the gradient in x."""
    x, parameters = x.detach().requires_grad_(), list(layer.parameters())
    out = layer(x)
    found = [out.detach()]
    for inputs in ([x], parameters, [x, *parameters], [parameters[0]]):
        out.square().sum().backward(inputs=inputs, retain_graph=True)
        assert [tensor.grad is not None for tensor in (x, *parameters)] == [
            any(tensor is one for one in inputs) for tensor in (x, *parameters)
        ]
        found += [tensor.grad for tensor in inputs if tensor.grad is not None]
        for tensor in inputs:
            tensor.grad = None
    (of_x,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
    return [*found, of_x, *torch.autograd.grad(of_x.square().sum(), parameters[:1])]


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("make", "size"), LAYERS)
def test_layers_are_those_of_torch(make: Any, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = make().double().to(memory_format=torch.channels_last)
    x = torch.randn(3, layer.in_channels, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    assert convolutions.Convolved.__name__ in type(layer(x).grad_fn).__name__
    for a, b in zip(gradients(layer, x), gradients(plain(layer), x), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("everywhere")
def test_only_the_gradients_that_are_asked_for_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, called = Convolution(3, 6, 5).to(memory_format=torch.channels_last), list[str]()
    for name in ("transposed", "weight_gradient"):
        inner = getattr(convolutions, name)
        monkeypatch.setattr(convolutions, name, lambda *a, n=name, f=inner: called.append(n) or f(*a))
    x = torch.randn(2, 3, 9, 9, requires_grad=True)
    for inputs, expected in (([x], ["transposed"]), ([layer.weight], ["weight_gradient"]), ([layer.bias], [])):
        called.clear()
        layer(x).sum().backward(inputs=inputs)
        assert called == expected


@pytest.mark.usefixtures("everywhere")
def test_in_bf16_they_are_those_of_torch() -> None:
    torch.manual_seed(0)
    layer = Convolution(3, 32, 5).to(memory_format=torch.channels_last)
    x = torch.randn(8, 3, 10, 10)
    found = []
    for one in (layer, plain(layer)):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = one(leaf)
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
        found.append([out.float(), leaf.grad, one.weight.grad, one.bias.grad])  # type: ignore[union-attr]
        one.zero_grad()
    for a, b in zip(*found, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() <= 0.01 * b.norm()


@pytest.mark.parametrize(
    ("shape", "stride", "padding", "capability", "expected"),
    [
        ((32, 3, 5, 5), 1, 0, "AVX2", True),
        ((32, 3, 5, 5), 1, 0, "AVX512", True),
        ((32, 3, 4, 4), 2, 1, "AVX2", False),
        ((32, 3, 4, 4), 2, 0, "AVX2", True),
        ((32, 3, 4, 4), 2, 1, "AVX512", True),
        ((32, 1, 4, 4), 2, 1, "AVX2", True),
        ((32, 3, 2, 2), 1, 0, "AVX512", False),
        ((32, 3, 5, 4), 1, 0, "AVX512", False),
        ((32, 3, 7, 7), 2, 0, "AVX2", True),
        ((64, 32, 4, 4), 2, 0, "AVX512", False),
        ((64, 32, 4, 4), 2, 0, "DEFAULT", False),
    ],
)
def test_which_ones_compute_blocks(
    shape: tuple[int, ...], stride: int, padding: int, capability: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    options = Options((stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1)
    assert convolutions.takes_blocks(torch.empty(shape), torch.float32, options) == expected


@pytest.mark.parametrize(
    ("width", "padding", "dtype", "capability", "bf16", "amx", "expected"),
    [
        (6, 0, torch.float32, "AVX2", False, False, True),
        (7, 0, torch.float32, "AVX2", False, False, False),
        (4, 1, torch.float32, "AVX2", False, False, False),
        (4, 1, torch.bfloat16, "AVX512", True, False, True),
        (4, 0, torch.float32, "AVX512", True, False, False),
        (4, 0, torch.bfloat16, "AVX512", True, False, True),
        (7, 0, torch.bfloat16, "AVX512", True, False, False),
        (4, 0, torch.bfloat16, "AVX512", True, True, False),
        (4, 0, torch.bfloat16, "AVX2", False, False, False),
        (4, 0, torch.float32, "DEFAULT", False, False, False),
    ],
)
def test_which_gradients_are_products_with_unfolded_images(
    width: int,
    padding: int,
    dtype: torch.dtype,
    capability: str,
    bf16: bool,
    amx: bool,
    expected: bool,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert convolutions.takes_unfolded((9, width), (0, padding), dtype) == expected


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("size", [(5, 6), (7, 7), (10, 10)])
def test_outputs_can_be_changed_in_place(size: tuple[int, int]) -> None:
    layer = Transposed(6, 1, 5, 2, 2, output_padding=1).to(memory_format=torch.channels_last)
    x = torch.randn(2, 6, *size, requires_grad=True)
    layer(x).add_(1.0).sum().backward()
    assert x.grad is not None
    odd = Transposed(6, 1, 5, 2, 2).to(memory_format=torch.channels_last)
    odd(x).mul_(2.0).sum().backward()
