"""Networks: the papers' tables, layer by layer; fast layers against plain ones; automatic networks for any shape."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from examples import able, networks, shape_for
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from interalia import runs
from interalia.errors import UserError
from interalia.networks import REGISTRY
from interalia.networks.conv import UntiedBias
from interalia.networks.layers import Convolution, Dropout, Maxout, PairCritic, Transposed
from interalia.runs import building

# Kernel, stride and maps of each layer, and the side of the image after it, as the ALI paper's appendix has them.
Rows = list[tuple[int, int, int, int]]
SVHN: dict[str, Rows] = {
    "encoder": [(5, 1, 32, 28), (4, 2, 64, 13), (4, 1, 128, 10), (4, 2, 256, 4), (4, 1, 512, 1), (1, 1, 512, 1)],
    "decoder": [(4, 1, 256, 4), (4, 2, 128, 10), (4, 1, 64, 13), (4, 2, 32, 28), (5, 1, 32, 32), (1, 1, 32, 32)],
    "x": [(5, 1, 32, 28), (4, 2, 64, 13), (4, 1, 128, 10), (4, 2, 256, 4), (4, 1, 512, 1)],
    "z": [(1, 1, 512, 1), (1, 1, 512, 1)],
    "joint": [(1, 1, 1024, 1), (1, 1, 1024, 1)],
}
CELEBA: dict[str, Rows] = {
    "encoder": [(2, 1, 64, 63), (7, 2, 128, 29), (5, 2, 256, 13), (7, 2, 256, 4), (4, 1, 512, 1)],
    "decoder": [(4, 1, 512, 4), (7, 2, 256, 13), (5, 2, 256, 29), (7, 2, 128, 63), (2, 1, 64, 64)],
    "x": [(2, 1, 64, 63), (7, 2, 128, 29), (5, 2, 256, 13), (7, 2, 256, 4), (4, 1, 512, 1)],
    "z": [(1, 1, 1024, 1), (1, 1, 1024, 1)],
    "joint": [(1, 1, 2048, 1), (1, 1, 2048, 1)],
}
DOWN_64: Rows = [(4, 2, 64, 31), (4, 1, 64, 28), (4, 2, 128, 13), (4, 1, 128, 10), (4, 2, 256, 4), (4, 1, 256, 1)]
TINY_IMAGENET: dict[str, Rows] = {
    "encoder": [*DOWN_64, (1, 1, 2048, 1), (1, 1, 2048, 1)],
    "decoder": [
        *((1, 1, 2048, 1), (1, 1, 256, 1), (4, 1, 256, 4), (4, 2, 128, 10)),
        *((4, 1, 128, 13), (4, 2, 64, 28), (4, 1, 64, 31), (4, 2, 64, 64)),
    ],
    "x": DOWN_64,
    "z": [(1, 1, 2048, 1), (1, 1, 2048, 1)],
    "joint": [(1, 1, 4096, 1), (1, 1, 4096, 1)],
}
AT_28 = {  # SVHN's at 28 pixels
    **SVHN,
    "encoder": [(5, 1, 32, 24), (4, 2, 64, 11), (4, 1, 128, 8), (4, 2, 256, 3), (3, 1, 512, 1), (1, 1, 512, 1)],
    "decoder": [(3, 1, 256, 3), (4, 2, 128, 8), (4, 1, 64, 11), (4, 2, 32, 24), (5, 1, 32, 28), (1, 1, 32, 28)],
    "x": [(5, 1, 32, 24), (4, 2, 64, 11), (4, 1, 128, 8), (4, 2, 256, 3), (3, 1, 512, 1)],
}
# name: (rows, side, latent, leak of E and G, leak of D, pieces of maxout, dropout at the inputs, dropout elsewhere)
PAPERS: dict[str, tuple[dict[str, Rows], int, int, float, float, int, float, float]] = {
    "ali-svhn": (SVHN, 32, 256, 0.01, 0.01, 0, 0.2, 0.2),
    "ali-cifar10": (SVHN, 32, 64, 0.1, 0.0, 2, 0.2, 0.5),
    "ali-celeba": (CELEBA, 64, 256, 0.02, 0.02, 0, 0.2, 0.2),
    "ali-tiny-imagenet": (TINY_IMAGENET, 64, 256, 0.01, 0.01, 0, 0.2, 0.2),
    "ali-28": (AT_28, 28, 128, 0.01, 0.01, 0, 0.2, 0.2),
}


def paper(name: str, infers: bool = True) -> Any:
    """The networks on the meta device, with shapes only."""
    _, side, latent, *_ = PAPERS[name]
    with torch.device("meta"):
        return networks(name, (3, side, side), latent, infers=infers)


def shapes_after(network: nn.Module, part: nn.Module, *inputs: Tensor) -> list[tuple[int, ...]]:
    """The shape after each convolution of `part` when `network` is run."""
    seen: list[tuple[int, ...]] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
        for module in part.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    network(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def parts_of(module: nn.Module) -> list[nn.Module]:
    return [part for part in module.modules() if not list(part.children())]


@pytest.mark.parametrize("name", PAPERS)
def test_the_shapes_after_every_layer(name: str) -> None:
    rows, side, latent, *_ = PAPERS[name]
    made = paper(name)
    x, z = torch.empty(2, 3, side, side, device="meta"), torch.empty(2, latent, device="meta")
    expected = {part: [(maps, after, after) for _, _, maps, after in rows[part]] for part in rows}
    assert made.encoder is not None
    assert isinstance(made.critic, PairCritic)
    assert shapes_after(made.encoder, made.encoder, x) == [*expected["encoder"], (2 * latent, 1, 1)]
    assert shapes_after(made.decoder, made.decoder, z) == [*expected["decoder"], (3, side, side)]
    assert made.critic.x is not None
    assert made.critic.z is not None
    assert shapes_after(made.critic, made.critic.x, x, z) == expected["x"]
    assert shapes_after(made.critic, made.critic.z, x, z) == expected["z"]
    assert shapes_after(made.critic, made.critic.joint, x, z) == [*expected["joint"], (1, 1, 1)]
    assert made.encoder(x).shape == (2, 2 * latent)
    assert made.decoder(z).shape == (2, 3, side, side)
    assert made.critic(x, z).shape == (2,)


@pytest.mark.parametrize("name", PAPERS)
def test_kernels_and_strides(name: str) -> None:
    rows, *_ = PAPERS[name]
    made = paper(name)
    critic = made.critic
    assert isinstance(critic, PairCritic)
    for part, network, last in (
        ("encoder", made.encoder, 1),
        ("decoder", made.decoder, 1),
        ("x", critic.x, 0),
        ("z", critic.z, 0),
        ("joint", critic.joint, 1),
    ):
        assert network is not None
        layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
        expected = [((k, k), (s, s), (0, 0)) for k, s, _, _ in rows[part]] + [((1, 1), (1, 1), (0, 0))] * last
        assert [(layer.kernel_size, layer.stride, layer.padding) for layer in layers] == expected


@pytest.mark.parametrize("name", PAPERS)
def test_the_numbers_of_parameters(name: str) -> None:
    rows, side, latent, _, _, pieces, *_ = PAPERS[name]
    made = paper(name)

    def normed(part: str, inputs: int) -> tuple[int, int]:
        total = 0
        for kernel, _, maps, _ in rows[part]:
            total += kernel**2 * inputs * maps + 2 * maps  # no bias; the gain and the shift of batch norm
            inputs = maps
        return total, inputs

    def judged(part: str, inputs: int, norms: bool, biases: bool) -> tuple[int, int]:
        total = 0
        for i, (kernel, _, maps, _) in enumerate(rows[part]):
            normed = norms and i > 0
            total += kernel**2 * inputs * maps + (2 * maps if normed else maps if biases else 0)
            inputs = maps // max(pieces, 1)
        return total, inputs

    total, maps = normed("encoder", 3)
    assert made.encoder is not None
    assert count(made.encoder) == total + (maps + 1) * 2 * latent
    total, maps = normed("decoder", latent)
    assert count(made.decoder) == total + maps * 3 + 3 * side**2  # untied biases
    of_x, f = judged("x", 3, norms=pieces == 0, biases=True)
    of_z, g = judged("z", latent, norms=False, biases=False)
    of_both, maps = judged("joint", f + g, norms=False, biases=True)
    assert count(made.critic) == of_x + of_z + of_both + maps + 1


def test_svhns_numbers_of_parameters_written_out() -> None:
    made = paper("ali-svhn")
    encoder = 75 * 32 + 512 * 64 + 1024 * 128 + 2048 * 256 + 4096 * 512 + 512 * 512 + 2 * 1504 + 512 * 512 + 512
    assert made.encoder is not None
    assert count(made.encoder) == encoder == 3_315_488


@pytest.mark.parametrize("name", PAPERS)
def test_batch_norm_where_the_papers_have_it(name: str) -> None:
    *_, pieces, _, _ = PAPERS[name]
    made = paper(name)
    critic = made.critic
    assert isinstance(critic, PairCritic)
    for network in (made.encoder, made.decoder, critic):
        assert network is not None
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert (module.eps, module.momentum) == (1e-4, 0.05)  # 0.95 of the old, 0.05 of the new
                assert module.affine
    for network in (made.encoder, made.decoder):  # after every layer but the last
        assert network is not None
        parts = parts_of(network)
        layers = [i for i, part in enumerate(parts) if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
        assert [isinstance(parts[i + 1], nn.BatchNorm2d) for i in layers[:-1]] == [True] * (len(layers) - 1)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in parts[layers[-1] :])
    assert critic.x is not None
    parts = parts_of(critic.x)
    layers = [i for i, part in enumerate(parts) if isinstance(part, nn.Conv2d)]
    expected = [False] + [not pieces] * (len(layers) - 1)
    assert [isinstance(parts[i + 1], nn.BatchNorm2d) for i in layers] == expected
    for network in (critic.z, critic.joint):
        assert network is not None
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", PAPERS)
def test_dropout_at_the_input_of_every_layer_of_the_critic_and_nowhere_else(name: str) -> None:
    *_, at_inputs, elsewhere = PAPERS[name]
    made = paper(name)
    critic = made.critic
    assert isinstance(critic, PairCritic)
    assert made.encoder is not None
    assert not any(isinstance(m, Dropout) for net in (made.encoder, made.decoder) for m in net.modules())
    for network, first in ((critic.x, at_inputs), (critic.z, at_inputs), (critic.joint, elsewhere)):
        assert network is not None
        parts = parts_of(network)
        layers = [i for i, part in enumerate(parts) if isinstance(part, nn.Conv2d)]
        before = [parts[i - 1] for i in layers]
        assert sum(isinstance(part, Dropout) for part in parts) == len(layers)
        assert [getattr(part, "p", None) for part in before] == [first] + [elsewhere] * (len(layers) - 1)


@pytest.mark.parametrize("name", PAPERS)
def test_nonlinearities(name: str) -> None:
    _, _, _, leak, critic_leak, pieces, *_ = PAPERS[name]
    made = paper(name)
    assert made.encoder is not None
    slopes = {
        m.negative_slope for net in (made.encoder, made.decoder) for m in net.modules() if isinstance(m, nn.LeakyReLU)
    }
    assert slopes == {leak}
    assert isinstance(parts_of(made.decoder)[-1], nn.Sigmoid)
    assert isinstance(parts_of(made.encoder)[-1], nn.Conv2d)  # linear
    layers = sum(isinstance(m, nn.Conv2d) for m in made.critic.modules())
    units = [m for m in made.critic.modules() if isinstance(m, nn.LeakyReLU | Maxout)]
    assert len(units) == layers - 1
    for unit in units:
        if pieces:
            assert isinstance(unit, Maxout)
            assert unit.pieces == pieces
        else:
            assert isinstance(unit, nn.LeakyReLU)
            assert unit.negative_slope == critic_leak


@pytest.mark.parametrize("name", PAPERS)
def test_a_critic_of_x_alone(name: str) -> None:
    _, side, *_ = PAPERS[name]
    made = paper(name, infers=False)
    assert made.encoder is None
    assert made.critic(torch.empty(2, 3, side, side, device="meta")).shape == (2,)


@pytest.mark.parametrize("name", PAPERS)
def test_images_of_another_size_are_refused(name: str) -> None:
    _, side, *_ = PAPERS[name]
    for shape in ((3, side + 4, side + 4), (3, side, side + 4), (side,)):
        with pytest.raises(UserError) as caught:
            networks(name, shape, 8)
        assert str(caught.value) == (
            f"the networks {name!r} are made for images of {side}x{side}, and the data's shape is {shape}; "
            f"give `image_size={side}`, or choose other `networks`, such as auto, which fit any shape."
        )


@pytest.mark.parametrize("name", PAPERS)
def test_an_implicit_encoder_is_refused(name: str) -> None:
    _, side, *_ = PAPERS[name]
    with pytest.raises(UserError, match="no input for the noise of an implicit encoder"):
        networks(name, (3, side, side), 8, noise=2)


def test_the_papers_initial_weights() -> None:
    torch.manual_seed(0)
    game = building.build(runs.Run(networks="ali-svhn", latent_dim=256), (3, 32, 32))
    for key, module in game.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            n = module.weight.numel()
            assert module.weight.std().item() == pytest.approx(0.01, rel=5 / math.sqrt(2 * n)), key
            assert abs(module.weight.mean().item()) < 5 * 0.01 / math.sqrt(n), key
            assert module.bias is None or not module.bias.any(), key
        elif isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all()), key
            assert not module.bias.any(), key
        elif isinstance(module, UntiedBias):
            assert not module.bias.any(), key


def test_the_output_starts_at_the_mean_image() -> None:
    torch.manual_seed(0)
    mean = torch.rand(3, 32, 32)
    mean[0, 0, :2] = torch.tensor([0.0, 1.0])  # pixels that never change
    game = building.build(runs.Run(networks="ali-svhn", latent_dim=16), (3, 32, 32), mean)
    (untied,) = [m for m in game.decoder.modules() if isinstance(m, UntiedBias)]
    assert untied.bias.shape == (3, 32, 32)
    inside = mean.clamp(1 / 512, 1 - 1 / 512)
    torch.testing.assert_close(untied.bias.data, (inside / (1 - inside)).log())
    x_tilde = game.decoder(game.prior.sample((32,))).mean
    # 32 units of mean 0.4 with weights of 0.01 shift a logit by 0.023 and a pixel by at most a quarter of it: 6 of those
    assert (x_tilde.mean(0) - mean).abs().max() < 0.035
    tied = building.build(runs.Run(networks="auto(width=2)", latent_dim=4), (3, 32, 32), mean)
    bias = next(p for key, p in tied.decoder.named_parameters() if key.endswith("bias") and p.shape == (3,))
    torch.testing.assert_close(bias.data, torch.logit(mean.mean((1, 2))))


# ---- layers


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "shape"), [(4, (4, 4)), (1, (1, 1)), ((2, 3), (2, 3)), (4, (7, 6)), (1, (3, 3))])
def test_a_convolution_is_a_convolution(kernel: int, shape: tuple[int, int], bias: bool, last: bool) -> None:
    torch.manual_seed(0)
    fast = Convolution(3, 5, kernel, bias=bias).double()
    plain = nn.Conv2d(3, 5, kernel, bias=bias).double()
    compare(fast, plain, torch.randn(2, 3, *shape, dtype=torch.float64), last)


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "shape"), [(4, (1, 1)), (1, (1, 1)), ((2, 3), (1, 1)), (4, (3, 2)), (1, (3, 3))])
def test_a_transposed_convolution_is_a_transposed_convolution(
    kernel: int, shape: tuple[int, int], stride: int, bias: bool, last: bool
) -> None:
    torch.manual_seed(0)
    fast = Transposed(3, 5, kernel, stride, bias=bias).double()
    plain = nn.ConvTranspose2d(3, 5, kernel, stride, bias=bias).double()
    compare(fast, plain, torch.randn(2, 3, *shape, dtype=torch.float64), last)


def compare(fast: nn.Module, plain: nn.Module, x: Tensor, last: bool) -> None:
    """Equal outputs and gradients from exchanged weights, in either layout of memory."""
    plain.load_state_dict(fast.state_dict())
    fast.load_state_dict(plain.state_dict())
    ours, theirs = x.clone(), x.clone()
    if last:
        fast = fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ours = ours.contiguous(memory_format=torch.channels_last)
    ours.requires_grad_()
    theirs.requires_grad_()
    a, b = fast(ours), plain(theirs)
    torch.testing.assert_close(a, b, atol=1e-10, rtol=0)
    weight = torch.randn_like(b)
    grads_a = torch.autograd.grad((a * weight).sum(), [ours, *fast.parameters()])
    grads_b = torch.autograd.grad((b * weight).sum(), [theirs, *plain.parameters()])
    for gradient, expected in zip(grads_a, grads_b, strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-10, rtol=0)


def test_weights_are_exchanged_with_plain_networks() -> None:
    torch.manual_seed(0)
    made = networks("ali-28", (1, 28, 28), 8)
    assert made.encoder is not None
    plain = nn.Sequential(
        nn.Conv2d(1, 32, 5, bias=False),
        nn.BatchNorm2d(32, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(32, 64, 4, 2, bias=False),
        nn.BatchNorm2d(64, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(64, 128, 4, bias=False),
        nn.BatchNorm2d(128, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(128, 256, 4, 2, bias=False),
        nn.BatchNorm2d(256, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(256, 512, 3, bias=False),
        nn.BatchNorm2d(512, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(512, 512, 1, bias=False),
        nn.BatchNorm2d(512, eps=1e-4),
        nn.LeakyReLU(0.01),
        nn.Conv2d(512, 16, 1),
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), made.encoder.state_dict().values(), strict=True)))
    x = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(made.encoder.double()(x), plain.double()(x).flatten(1), atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_keeps_its_share_and_its_expectation(p: float, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.full((501, 401), 2.0, dtype=kind, requires_grad=True)  # an odd number of units
    out = Dropout(p)(x)
    kept = out != 0
    n = x.numel()
    assert abs(kept.double().mean().item() - (1 - p)) < 5 * math.sqrt(p * (1 - p) / n) + 1 / 32768
    precision = 2**-7 if kind == torch.bfloat16 else 1e-3
    values = out[kept].double()
    assert values.min() == values.max()
    assert values[0].item() == pytest.approx(2 / (1 - p), rel=precision)
    assert out.double().mean().item() == pytest.approx(2, abs=10 * math.sqrt(p / (1 - p) / n) + 2 * precision)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient * 2, out.detach())  # the same mask on the way back
    assert out.dtype == kind


@pytest.mark.parametrize("shape", [(1,), (3, 5, 7), (3, 5, 4, 2), (2, 3, 1, 1), (1, 1, 3, 3)])
@pytest.mark.parametrize("last", [False, True])
def test_dropout_in_any_shape_and_layout(shape: tuple[int, ...], last: bool) -> None:
    if last and len(shape) != 4:
        pytest.skip("channels_last is for images")
    torch.manual_seed(0)
    x = torch.rand(shape) + 1
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    total = torch.zeros(shape)
    for _ in range(4000):
        out = Dropout(0.5)(x)
        assert out.shape == x.shape
        assert bool(((out == 0) | (out == 2 * x)).all())
        total += out
    assert out.stride() == x.stride()
    assert (total / 4000 / x - 1).abs().max() < 0.1  # every unit has its own chance: 6 standard deviations


def test_dropout_of_strided_views() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 64, 64).transpose(0, 2)[::2]
    out = Dropout(0.5)(x)
    assert bool(((out == 0) | (out == 2 * x)).all())
    assert (out == 0).double().mean().item() == pytest.approx(0.5, abs=0.01)


def test_dropout_units_are_independent() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.3)(torch.ones(20_000, 16)) != 0).float()
    assert torch.corrcoef(kept.t()).triu(1).abs().max() < 0.04
    again = (Dropout(0.3)(torch.ones(20_000, 16)) != 0).float()
    assert torch.corrcoef(torch.stack([kept.flatten(), again.flatten()]))[0, 1].abs() < 0.01
    torch.manual_seed(0)
    assert torch.equal(kept, (Dropout(0.3)(torch.ones(20_000, 16)) != 0).float())


def test_dropout_is_nothing_in_evaluation() -> None:
    x = torch.rand(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_maxout_takes_the_largest_of_its_pieces() -> None:
    x = torch.randn(4, 6, 2, 2, generator=torch.Generator().manual_seed(0))
    out = Maxout(3)(x)
    assert out.shape == (4, 2, 2, 2)
    for channel in range(2):
        pieces = torch.stack([x[:, channel], x[:, channel + 2], x[:, channel + 4]])
        assert torch.equal(out[:, channel], pieces.max(0).values)


# ---- networks for any shape


PLAIN = [name for name in REGISTRY if name not in PAPERS and able(name, "encoder", "decoder")]


def check(
    made: Any, shape: tuple[int, ...], latent: int, answers: int = 2, noise: int = 0, bounded: bool = False
) -> None:
    """Right shapes, and finite gradients for every parameter."""
    n = 4
    x = torch.rand(n, *shape)
    z = torch.rand(n, latent)
    outputs = [made.decoder(z)]
    assert outputs[0].shape == (n, *shape)
    if made.encoder is not None:
        told = torch.cat([x.flatten(1), torch.randn(n, noise)], dim=1) if noise else x
        outputs.append(made.encoder(told))
        assert outputs[-1].shape == (n, answers * latent)
        if bounded and answers == 1:
            assert outputs[-1].abs().max() <= 1
        assert made.encoder.hidden(told).flatten(1).shape[0] == n
    outputs.append(made.critic(x) if made.encoder is None else made.critic(x, z))
    assert outputs[-1].shape == (n,)
    torch.stack([(out * torch.randn_like(out)).sum() for out in outputs]).sum().backward()
    for network in (made.encoder, made.decoder, made.critic):
        for key, parameter in network.named_parameters() if network is not None else ():
            if parameter.requires_grad:
                assert parameter.grad is not None, key
                assert bool(parameter.grad.isfinite().all()), key
                assert bool(parameter.grad.any()), key


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    channels=st.sampled_from([1, 3, 4]),
    height=st.integers(8, 128),
    width=st.integers(8, 128),
    infers=st.booleans(),
    unary=st.booleans(),
)
def test_automatic_networks_fit_any_image(channels: int, height: int, width: int, infers: bool, unary: bool) -> None:
    torch.manual_seed(0)
    shape = (channels, height, width)
    made = networks("auto", shape, 5, infers=infers, width=2, unary=unary)
    check(made, shape, 5)
    x_tilde = made.decoder(torch.randn(2, 5))
    assert 0 <= x_tilde.min() <= x_tilde.max() <= 1


@pytest.mark.parametrize("shape", [(1,), (2,), (300,), (1, 1, 1), (1, 4, 4), (1, 7, 40), (3, 4, 100), (1, 1, 500)])
@pytest.mark.parametrize("unary", [False, True])
def test_automatic_networks_fit_odd_shapes(shape: tuple[int, ...], unary: bool) -> None:
    torch.manual_seed(0)
    check(networks("auto", shape, 5, width=2, unary=unary), shape, 5)


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize(("heads", "noise", "infers"), [(2, 0, True), (1, 0, True), (1, 2, True), (2, 0, False)])
@pytest.mark.parametrize("name", PLAIN)
def test_every_other_network_fits_its_spaces(name: str, heads: int, noise: int, infers: bool, bounded: bool) -> None:
    torch.manual_seed(0)
    shape = shape_for(name)
    if not infers and REGISTRY[name].critic_inputs == "(x, z)":
        with pytest.raises(UserError, match=r"have no critic of \(x\); choose other `networks`, such as auto\.$"):
            networks(name, shape, 8, heads, noise, infers, bounded, width=16)
        return
    made = networks(name, shape, 8, heads, noise, infers, bounded, width=16)
    check(made, shape, 8, heads, noise, bounded)


def test_bigans_critic_is_told_z_at_its_second_layer_alone() -> None:
    torch.manual_seed(0)
    critic = networks("bigan-mlp", (1, 4, 4), 3, heads=1, width=8).critic
    first: list[Tensor] = []
    critic.first.register_forward_hook(lambda _, __, output: first.append(output))
    x = torch.rand(4, 1, 4, 4)
    a, b = critic(x, torch.zeros(4, 3)), critic(x, torch.randn(4, 3))
    assert torch.equal(first[0], first[1])
    assert not torch.allclose(a, b)


def test_avb_critics_quadratic_term_is_where_it_is_asked_for() -> None:
    from interalia.networks.avb import BilinearCritic, ResidualCritic

    x, near, far = torch.rand(6, 1, 4, 4), torch.rand(6, 2), 9 + torch.rand(6, 2)
    for made in (
        lambda where: BilinearCritic(16, 2, 8, 4, where),
        lambda where: ResidualCritic(18, 8, 1, where),
    ):
        scores = {}
        for where in ("everywhere", "beyond", "nowhere"):
            torch.manual_seed(0)
            critic = made(where)
            scores[where] = critic(x, near), critic(x, far)
        bare = scores["nowhere"]
        assert torch.allclose(scores["everywhere"][0] - bare[0], near.square().sum(1) / 2, atol=1e-4)
        assert torch.allclose(scores["everywhere"][1] - bare[1], far.square().sum(1) / 2, atol=1e-4)
        assert torch.equal(scores["beyond"][0], bare[0])
        assert torch.allclose(scores["beyond"][1] - bare[1], far.square().sum(1) / 2 - 4, atol=1e-4)  # c = 2 + 3 * 2
    torch.manual_seed(0)
    assert BilinearCritic(16, 2, 8, 4, "nowhere")(x, near).std() < 0.01
    with pytest.raises(ValueError, match="'everywhere', 'beyond', 'nowhere'"):
        networks("avb", (1, 8, 8), 3, quadratic="somewhere")
