"""Signals (n, c, l) and volumes (n, c, d, h, w): the automatic networks for them, and what other families say."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import torch
from examples import batch, build, infers_for_another
from torch import nn

from interalia.adversarial import penalties
from interalia.contexts import Conv, resolve_precision
from interalia.errors import UserError
from interalia.games import REGISTRY as GAMES
from interalia.networks import REGISTRY, Auto, Critic, Map
from interalia.networks.auto import Pyramid
from interalia.runs import Run, building
from interalia.spaces import DataSpec, Space

SIGNAL, VOLUME = (2, 160), (1, 7, 9, 8)
LENGTHS = (*range(4, 40), 63, 64, 65, 127, 250, 257, 1001)
SIDES = list(itertools.product((4, 7, 8, 9, 17), repeat=3))


def support(shape: tuple[int, ...]) -> Any:
    return DataSpec(shape).support


def roundtrip(shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """An encoder and a decoder of the shape, on the meta device: shapes alone."""
    x, z = Space("x", shape, support(shape)), Space("z", (3,))
    with torch.device("meta"):
        encoder, decoder = Auto(width=1).make(Map((x,), z)), Auto(width=1).make(Map((z,), x))
    assert encoder(torch.empty(2, *shape, device="meta")).shape == (2, 3)
    assert decoder(torch.empty(2, 3, device="meta")).shape == (2, *shape)
    return encoder, decoder


@pytest.mark.parametrize("channels", [1, 2, 12, 80])
def test_the_decoder_reverses_a_signal_of_any_length(channels: int) -> None:
    for length in LENGTHS:
        encoder, decoder = roundtrip((channels, length))
        convolves = length >= 8 and channels * length > 256
        for network, kind in ((encoder, nn.Conv1d), (decoder, nn.ConvTranspose1d)):
            found = {type(module) for module in network.modules() if isinstance(module, Conv)}
            assert found == ({kind} if convolves else set())


def test_the_decoder_reverses_a_volume_of_any_sides() -> None:
    for sides in SIDES:
        encoder, decoder = roundtrip((1, *sides))
        convolves = max(sides) >= 8 and sides[0] * sides[1] * sides[2] > 256
        for network, kind in ((encoder, nn.Conv3d), (decoder, nn.ConvTranspose3d)):
            found = {type(module) for module in network.modules() if isinstance(module, Conv)}
            assert found == ({kind} if convolves else set())


def test_short_axes_of_a_volume_keep_their_length_and_those_of_an_image_end_the_pyramid() -> None:
    assert Pyramid((1, 4, 33, 16), 2).sizes == [(4, 33, 16), (4, 16, 8), (4, 8, 4), (4, 4, 4)]
    assert Pyramid((1, 4, 33, 16), 2).kernels == [(3, 4, 4), (3, 4, 4), (3, 4, 3)]
    assert Pyramid((3, 33, 16), 2).sizes == [(33, 16), (16, 8), (8, 4)]
    assert Pyramid((2, 100), 2).maps == [2, 2, 4, 8, 16]


def test_a_layer_of_the_pyramid_sees_every_value() -> None:
    """The last value of an odd length reaches the encoder, and the decoder returns one of its own."""
    torch.manual_seed(0)
    pyramid = Pyramid((1, 9, 11, 8), 2)
    x = torch.randn(1, 1, 9, 11, 8, requires_grad=True)
    pyramid.down(norm=False)(x).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0)[..., :8, :10, :].all())  # kernel 4, stride 2, padding 1: all but an odd axis' last value
    out = nn.Sequential(*pyramid.up())(torch.randn(2, *pyramid.last_shape))
    assert out.shape == (2, 1, 9, 11, 8)
    assert out[0].flatten().unique().numel() > 9 * 11 * 8 / 2


@pytest.mark.parametrize("shape", [SIGNAL, VOLUME], ids=str)
@pytest.mark.parametrize("game", [name for name, kind in GAMES.items() if not infers_for_another(kind)])
def test_every_game_has_a_step_of_training_on_them(game: str, shape: tuple[int, ...]) -> None:
    made = build(game, shape, double=False)
    made.train()
    inputs = batch(made, 4)
    for player in made.players:
        made.zero_grad()
        outcome = made.losses(made.sample(*inputs))
        loss = outcome.losses[player]
        loss.backward()
        gradients = [p.grad for p in made.parameters_of(player) if p.grad is not None]
        assert gradients
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize("name", [name for name in penalties.REGISTRY if name != "weight-clip"])
@pytest.mark.parametrize("shape", [SIGNAL, VOLUME], ids=str)
def test_penalties_and_spectral_norm_reach_every_convolution(shape: tuple[int, ...], name: str) -> None:
    run = Run(networks="auto(width=2)", spectral_norm="critic", penalty=name, latent_dim=3)
    game: Any = building.build(run, shape)
    x, z = torch.rand(4, *shape), torch.randn(4, 3)
    game.train()
    game.penalty(game.critic, (x, z), (x.flip(0), z)).backward()
    layers = [module for module in game.critic.modules() if isinstance(module, Conv | nn.Linear)]
    assert any(isinstance(layer, Conv) for layer in layers)
    for layer in layers:
        assert nn.utils.parametrize.is_parametrized(layer, "weight")
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in game.critic.parameters())
    convolution = next(layer for layer in layers if isinstance(layer, Conv))
    assert bool(convolution.parametrizations.weight.original.grad.any())


def test_convolutions_of_any_number_of_axes_choose_bf16_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for layer in (nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Conv3d(1, 1, 1), nn.ConvTranspose1d(1, 1, 1)):
        assert resolve_precision("auto", layer, torch.device("cpu")) == "bf16"
    assert resolve_precision("auto", nn.Linear(1, 1), torch.device("cpu")) == "fp32"


@pytest.mark.parametrize("shape", [SIGNAL, VOLUME], ids=str)
@pytest.mark.parametrize("name", REGISTRY)
def test_other_families_say_what_they_take(name: str, shape: tuple[int, ...]) -> None:
    """Fully connected ones take any shape; those of images, points or few numbers say so in one sentence."""
    any_shape = {"auto", "mlp", "bigan-mlp", "fgan-mnist", "avb"}
    space = Space("x", shape, support(shape))
    if name in any_shape:
        REGISTRY[name]().check_shape(space)
        return
    with pytest.raises(UserError) as caught:
        REGISTRY[name]().check_shape(space)
    sentence = rf"the networks '{name}' are made for [^.]*, and the data's shape is {re.escape(str(shape))}; [^.]*\.$"
    assert re.match(sentence, str(caught.value)), caught.value


@pytest.mark.parametrize("name", ["mlp", "bigan-mlp", "avb"])
@pytest.mark.parametrize("shape", [SIGNAL, VOLUME], ids=str)
def test_decoders_end_in_the_range_of_the_data(name: str, shape: tuple[int, ...]) -> None:
    """Volumes lie in [0, 1] as images do, and a signal is not squeezed into it."""
    torch.manual_seed(0)
    width = {"width": 16} if name != "avb" else {"width": 4}
    x, z = Space("x", shape, support(shape)), Space("z", (3,))
    made: Any = REGISTRY[name](**width)
    decoder = made.make(Map((z,), x))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(30)
    out = decoder(torch.randn(64, 3))
    outside = bool((out < 0).any()) and bool((out > 1).any())
    assert outside == (shape == SIGNAL)
    assert made.make(Critic((x, z)))(out, torch.randn(64, 3)).shape == (64,)
