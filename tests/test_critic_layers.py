"""The layers of a critic compute what `nn.Sequential` does, and no gradient in the rows that need none."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from interalia.contexts import keyed
from interalia.networks.layers import Convolution, CriticLayers, Dropout, Maxout, join_rows


def layers(kind: str) -> CriticLayers:
    """Layers as in the tables of ALI, with batch norm ("norm"), with maxout ("maxout") or with leaky ReLU alone.

    20 channels are too many for blocks of pixels, so that torch computes all gradients.
    """
    norm = [nn.BatchNorm2d(6)] if kind == "norm" else []
    last = Maxout(2) if kind == "maxout" else nn.LeakyReLU(0.1, inplace=kind != "outside")
    first = [Dropout(0.2), Convolution(20, 24, 3), nn.LeakyReLU(0.1, inplace=True), Dropout(0.2)]
    made = CriticLayers(*first, Convolution(24, 6, 3, bias=not norm), *norm, last, Dropout(0.5))
    return made.double().to(memory_format=torch.channels_last)


def results(network: nn.Module, data: Tensor, samples: Tensor, join: Any) -> list[Tensor]:
    """The output, the gradients in the samples and in the weights, and the statistics of the norm."""
    samples = samples.detach().requires_grad_()
    with keyed(3, "test"):
        out = network(join([data, samples * 1]))
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    found = []
    for inputs in ([samples], [*network.parameters()], [network[1].weight], [samples, network[1].bias]):  # type: ignore[index]
        network.zero_grad()
        (out * weight).sum().backward(inputs=inputs, retain_graph=True)
        found += [tensor.grad.clone() for tensor in inputs]
    return [out.detach(), *found, *network.buffers()]  # type: ignore[list-item]


@pytest.mark.parametrize("rows", [3, 0])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", ["norm", "maxout", "leaky", "outside"])
def test_they_are_a_sequence(kind: str, memory: torch.memory_format, rows: int) -> None:
    torch.manual_seed(0)
    ours = layers(kind)
    plain = nn.Sequential(*copy.deepcopy(ours))
    assert ours.state_dict().keys() == plain.state_dict().keys()
    data, samples = (torch.randn(n, 20, 8, 7, dtype=torch.float64).contiguous(memory_format=memory) for n in (rows, 5))
    found = zip(results(ours, data, samples, join_rows), results(plain, data, samples, torch.cat), strict=True)
    for a, b in found:
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    for network in (ours.eval(), plain.eval()):
        network.zero_grad()
    torch.testing.assert_close(ours(samples), plain(samples), rtol=1e-12, atol=1e-12)


class Sizes(TorchDispatchMode):
    """Notes how many rows the gradients in the images have that convolutions compute."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default and args[-1][0]:
            self.rows.append(len(args[1]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("kind", "expected"), [("norm", [5, 5]), ("maxout", [8, 5]), ("leaky", [8, 5])])
def test_no_gradient_in_data_is_computed(kind: str, expected: list[int]) -> None:
    """Before a batch norm, which mixes the rows, or in the first layer; of 8 rows 3 are data."""
    network, data = layers(kind), torch.randn(3, 20, 8, 7, dtype=torch.float64)
    samples = torch.randn(5, 20, 8, 7, dtype=torch.float64, requires_grad=True)
    out = network(join_rows([data, samples * 1]))
    with Sizes() as sizes:
        out.sum().backward(inputs=[samples], retain_graph=True)
    assert sizes.rows == expected
    with Sizes() as sizes:  # the first convolution's weights need the gradient in all rows of its result
        out.sum().backward(inputs=[samples, network[1].bias])  # type: ignore[list-item]
    assert sizes.rows == [8, 5]


def test_which_rows_need_no_gradient() -> None:
    data, samples = torch.zeros(2, 3), torch.zeros(4, 3, requires_grad=True)
    counts = [
        vars(join_rows(parts)).get("constant_rows") for parts in ([data, data], [data, samples, data], [samples, data])
    ]
    assert counts == [None, 2, 0]
    assert join_rows([data, samples]).shape == (6, 3)
