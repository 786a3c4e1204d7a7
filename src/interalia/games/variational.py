"""What the games of the likelihood side share: p(x | z) has a density."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from interalia.conditionals import Conditional, Prior, Uniform, log_bernoulli, log_odds
from interalia.errors import UserError
from interalia.games.game import Game

Observed = Literal["gaussian", "bernoulli"]


class Variational(Game):
    """A game whose decoder answers the mean of p(x | z), Gaussian of a fixed width, or Bernoulli for x of zeros and ones.

        gaussian:   log p(x | z) = -|x - mu(z)|^2 / (2 sigma^2) - (d / 2) log(2 pi sigma^2)
        bernoulli:  log p(x | z) = sum_i x_i log mu_i(z) + (1 - x_i) log(1 - mu_i(z)),   mu_i = sigmoid(a_i)

    The second is computed from the logits a, exactly at any a, where the decoder ends in a sigmoid; see
    `interalia.conditionals.log_odds`.

    Arguments:
        encoder: q(z | x).
        decoder: the mean of p(x | z).
        prior: p(z).
        likelihood: "gaussian" or "bernoulli".
        sigma: the standard deviation of the Gaussian likelihood.

    Raises:
        UserError: the prior has no density, or none where q(z | x) has some.
        ValueError: `sigma` is not above 0.
    """

    def __init__(
        self, encoder: Conditional, decoder: Conditional, prior: Prior, likelihood: Observed, sigma: float
    ) -> None:
        super().__init__()
        if not 0 < sigma < math.inf:
            raise ValueError(f"`sigma` is {sigma}, and a standard deviation is above 0")
        prior.log_prob(prior.sample((1,)))  # raises where there is none
        if isinstance(prior, Uniform) and (encoder.density or encoder.moments):
            raise UserError(
                "a uniform prior has no mass outside of [-1, 1], where this encoder's q(z | x) has some, so that its KL is "
                "infinite; use `prior='normal'`, or avb with `encoder='implicit'`."
            )
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.sigma = sigma
        encoder.attach(self.log_joint)  # a method, no network: it stays the game's own, in copies too
        encoder.follow(decoder)

    @property
    def binary(self) -> bool:  # type: ignore[override]
        return self.likelihood == "bernoulli"

    def outputs(self, z: Tensor) -> Tensor:
        """The numbers that p(x | z) is given by, of x's shape: the mean of a Gaussian, the logits of a Bernoulli."""
        if self.binary:
            return log_odds(self.decoder, z)
        mean: Tensor = self.decoder(z).mean
        return mean

    def log_density(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (n,), where `outputs` are those of z."""
        if self.binary:
            return log_bernoulli(x, outputs).flatten(1).sum(1)
        each = ((x - outputs) / self.sigma).square() / 2 + math.log(self.sigma) + math.log(2 * math.pi) / 2
        return -each.flatten(1).sum(1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return self.log_density(x, self.outputs(z))

    def simulate(self, z: Tensor) -> Tensor:
        """x ~ p(x | z), with the noise that the likelihood has around the decoder's mean."""
        mean: Tensor = self.decoder(z).mean
        return torch.bernoulli(mean) if self.binary else mean + self.sigma * torch.randn_like(mean)
