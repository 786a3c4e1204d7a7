"""Layers that compute in another way than torch's equal them also where the recipes never use them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from interalia.networks import convolutions
from interalia.networks.layers import Convolution, CriticLayers, Dropout, Maxout, Transposed, join_rows


def plain(network: nn.Module) -> Any:
    """A copy of the network with torch's layers."""
    kinds = {Convolution: nn.Conv2d, Transposed: nn.ConvTranspose2d, CriticLayers: nn.Sequential}
    made = copy.deepcopy(network)
    for module in made.modules():
        module.__class__ = kinds.get(type(module), type(module))
    return made


@pytest.fixture(autouse=True)
def everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways are taken wherever the shapes allow, whatever the processor declares."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(convolutions, "takes_unfolded", lambda low, *_: low[1] <= convolutions.NARROW)


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "groups": (lambda: Convolution(4, 8, 3, groups=2), (2, 4, 3, 3)),
    "depthwise": (lambda: Transposed(4, 4, 3, groups=4), (2, 4, 1, 1)),
    "depthwise without bias": (lambda: Transposed(4, 4, 3, groups=4, bias=False), (2, 4, 1, 1)),
    "dilation": (lambda: Transposed(4, 8, 3, dilation=2), (2, 4, 1, 1)),
    "no batch": (lambda: Convolution(3, 8, 5), (3, 5, 6)),
    "no batch, transposed": (lambda: Transposed(4, 1, 5), (4, 5, 5)),
    "more padding than kernel": (lambda: Convolution(1, 8, 3, padding=3), (2, 1, 8, 7)),
    "padding of the kernel": (lambda: Convolution(1, 8, 3, 2, padding=3), (1, 1, 5, 4)),
    "transposed, more padding than kernel": (lambda: Transposed(8, 1, 3, 2, padding=4), (1, 8, 7, 8)),
    "one pixel": (lambda: Convolution(1, 8, 3, padding=1), (1, 1, 1, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_of_convolutions(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make().double().to(memory_format=torch.channels_last)
    x = torch.randn(*shape, dtype=torch.float64)
    found = []
    for one in (layer, plain(layer)):
        leaf = x.clone().requires_grad_()
        out = one(leaf)
        out.square().sum().backward()
        found.append([out, leaf.grad, *(p.grad for p in one.parameters())])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_the_size_of_a_transposed_pixel() -> None:
    layer, x = Transposed(4, 8, 3, 2), torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(layer(x, [4, 3]), plain(layer)(x, [4, 3]))


def test_precision_is_that_of_torch() -> None:
    """float64 under autocast, a backward pass under autocast, and data of another precision than the kernels."""
    layer, x = Convolution(1, 8, 5), torch.randn(2, 1, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert Transposed(4, 8, 3)(torch.randn(2, 4, 1, 1)).dtype == torch.bfloat16
        assert copy.deepcopy(layer).double()(x.double()).dtype == torch.float64
    found = []
    for autocast in (False, True):
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        out = layer(leaf).square().sum()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out.backward()
        found.append([leaf.grad, layer.weight.grad])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="should be the same"):
        layer(x.double())


def test_transforms_of_torch() -> None:
    """`vmap` and `grad` replace functions, and cannot pass through those with gradients of their own."""
    torch.manual_seed(0)
    network = CriticLayers(Convolution(1, 8, 5), nn.LeakyReLU(0.1), Dropout(0.0), Maxout(2), nn.Flatten()).eval()
    x = torch.randn(3, 1, 7, 7)
    each = torch.func.vmap(torch.func.grad(lambda one: network(one[None]).sum()))(x)
    leaf = x.clone().requires_grad_()
    network(leaf).sum().backward()
    torch.testing.assert_close(each, leaf.grad)
    traced = torch.jit.trace(network, x)  # type: ignore[no-untyped-call]
    assert "PythonOp" not in str(traced.inlined_graph)
    torch.testing.assert_close(traced(x), network(x))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Convolution(4, 8, 3), (2, 4, 5, 5)),
        (lambda: Convolution(4, 8, 3), (2, 4, 3, 3)),
        (lambda: Convolution(1, 8, 5), (2, 1, 9, 9)),
        (lambda: Transposed(4, 8, 3), (2, 4, 5, 5)),
        (lambda: Transposed(4, 8, 3), (2, 4, 1, 1)),
        (lambda: Transposed(8, 1, 5), (2, 8, 5, 5)),
    ],
)
def test_a_spectral_norm_takes_one_step_a_pass(make: Any, shape: tuple[int, ...]) -> None:
    """As for torch's layers, and so equally on every processor."""
    torch.manual_seed(0)
    layer = make()
    kind = type(layer)
    layer.__class__ = {Convolution: nn.Conv2d, Transposed: nn.ConvTranspose2d}[kind]
    theirs = spectral_norm(copy.deepcopy(layer))
    layer.__class__ = kind
    ours, x = spectral_norm(layer), torch.randn(shape)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(x), theirs(x))
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(a, b)


class Doubled(Convolution):
    """A convolution of a user."""

    def forward(self, input: Tensor, constant: int = 0, earlier: Any = ()) -> Tensor:
        return 2 * super().forward(input)


class Shifted(nn.LeakyReLU):
    """An activation of a user."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) - 1


class Mixing(nn.Module):
    """A layer of a user in which each row depends on all."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.mean(0, keepdim=True)


def hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda _, args, out: 3 * out)
    return layer


def conv(kernel: int | tuple[int, int] = 3, **options: Any) -> nn.Module:
    return Convolution(20, 24, kernel, **options)


CRITICS: dict[str, list[nn.Module]] = {
    "parameters before": [nn.PReLU(), conv()],
    "convolution of a user": [Doubled(20, 24, 3)],
    "activation of a user": [conv(), Shifted(0.1), Dropout(0.2)],
    "rows are mixed": [conv(), Mixing()],
    "rows are mixed first": [Mixing(), conv()],
    "hook of a convolution": [hooked(conv())],
    "hook of an activation": [conv(), hooked(nn.LeakyReLU(0.1)), Dropout(0.2)],
    "hook of dropout": [conv(), nn.LeakyReLU(0.1), hooked(Dropout(0.2))],
    "spectral norm": [spectral_norm(conv())],
    "older spectral norm": [nn.utils.spectral_norm(conv())],
    "to one pixel": [conv((8, 7)), nn.LeakyReLU(0.1), Convolution(24, 24, 1)],
    "reflected": [conv(padding=1, padding_mode="reflect")],
    "dilated": [conv(dilation=2)],
    "nested": [nn.Sequential(conv(), nn.LeakyReLU(0.1))],
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", CRITICS)
def test_layers_of_users_in_a_critic(name: str, last: bool) -> None:
    """Gradients are those of `nn.Sequential`, of the generated samples alone, of the parameters alone, and of both."""
    torch.manual_seed(0)
    ours = CriticLayers(*copy.deepcopy(CRITICS[name]), Convolution(24, 6, 1, bias=False), nn.BatchNorm2d(6)).double()
    ours = ours.to(memory_format=torch.channels_last) if last else ours
    data, samples = torch.randn(2, 4, 20, 8, 7, dtype=torch.float64)
    found = []
    for network, join in ((ours, join_rows), (plain(ours), torch.cat)):
        leaf = samples.clone().requires_grad_()
        torch.manual_seed(1)
        out = network(join([data, leaf * 1]))
        parameters = [*network.parameters()]
        results = [out]
        for inputs in ([leaf], parameters, [parameters[0]], [leaf, parameters[0]], [leaf, *parameters]):
            for tensor in inputs:
                tensor.grad = None
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward(inputs=inputs, retain_graph=True)
            results += [tensor.grad for tensor in inputs]
        found.append([*results, *network.buffers()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
