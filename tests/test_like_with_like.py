"""What is measured is held against data of its own kind: samples of the same labels, draws against draws."""

import pytest
import torch
from torch import nn

from interalia import tasks
from interalia.conditionals import Dirac, Gaussian, StandardNormal
from interalia.errors import UserError
from interalia.games import GAN, VAE
from interalia.networks.layers import Sigmoid
from interalia.networks.mlp import MLP, Joint


def vae(likelihood):
    decoder = nn.Sequential(MLP(3, 2), Sigmoid()) if likelihood == "bernoulli" else MLP(3, 2)
    torch.manual_seed(0)
    game = VAE(Gaussian(MLP(2, 6)), Dirac(decoder), StandardNormal(3), likelihood=likelihood, sigma=0.5)
    game.shape = (2,)
    return game


def test_a_draw_of_bernoulli_pixels_is_zeros_and_ones_with_the_mean_that_the_decoder_tells():
    game = vae("bernoulli")
    z = torch.zeros(4_000, 3)
    x = tasks.decode(game, z, how="sample")
    assert set(x.flatten().tolist()) == {0.0, 1.0}
    assert torch.allclose(x.mean(0), tasks.decode(game, z[:1])[0], atol=0.04)  # five standard errors
    assert torch.equal(x, tasks.decode(game, z, how="sample"))
    assert not torch.equal(x, tasks.decode(game, z, seed=1, how="sample"))


def test_a_draw_of_gaussian_pixels_has_the_likelihoods_width_around_the_mean():
    game = vae("gaussian")
    noise = tasks.generate(game, 4_000, how="sample") - tasks.generate(game, 4_000)
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)


def test_without_a_likelihood_a_draw_is_one_of_the_decoders_conditional():
    for conditional, same in ((Dirac(MLP(3, 2)), True), (Gaussian(MLP(3, 4)), False)):
        game = GAN(conditional, Joint(MLP(2, 1)), StandardNormal(3))
        game.shape = (2,)
        assert torch.equal(tasks.generate(game, 8), tasks.generate(game, 8, how="sample")) == same


def test_other_ways_to_decode_are_refused():
    with pytest.raises(UserError, match="'mean' or 'sample'"):
        tasks.generate(vae("gaussian"), 2, how="median")
