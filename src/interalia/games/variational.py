"""What the games of the likelihood side share: p(x | z) has a density."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from interalia.conditionals import Conditional, Prior, Uniform, log_bernoulli, log_odds
from interalia.errors import UserError
from interalia.games.game import Game
from interalia.games.needs import Needs, Setup

Observed = Literal["gaussian", "bernoulli"]
BOUND = (
    "Two networks learn together: an encoder that tells which z could have made an input, {latent}, as a "
    "distribution q(z | x), and a decoder that tells how likely data is under a z. "
)


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

    encoder: Conditional
    decoder: Conditional
    prior: Prior
    likelihood: Observed
    sigma: float

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"`sigma` is {self.sigma}, and a standard deviation is above 0")
        self.prior.log_prob(self.prior.sample((1,)))  # raises where there is none
        if isinstance(self.prior, Uniform) and (self.encoder.density or self.encoder.moments):
            raise UserError(
                "a uniform prior has no mass outside of [-1, 1], where this encoder's q(z | x) has some, so that its KL is "
                "infinite; choose another `prior`, such as normal, or avb with an implicit `encoder`."
            )
        self.encoder.attach(self.log_joint)  # a method, no network: it stays the game's own, in copies too
        self.encoder.follow(self.decoder)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        if settings["likelihood"] == "bernoulli" and s.x.support != "unit":
            raise UserError(
                "a Bernoulli likelihood is one of images in [0, 1]; use vae(likelihood='gaussian') for vectors."
            )
        return {"encoder": s.infer(s.x, s.z), "decoder": s.decode(s.z, s.x)}

    @property
    def binary(self) -> bool:
        """Whether p(x | z) is one of zeros and ones."""
        return self.likelihood == "bernoulli"

    def outputs(self, z: Tensor) -> Tensor:
        """The numbers that p(x | z) is given by, of x's shape: the mean of a Gaussian, the logits of a Bernoulli."""
        if self.binary:
            return log_odds(self.decoder, z)
        return self.decoder(z).mean

    def log_density(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (n,), where `outputs` are those of z."""
        if self.binary:
            return log_bernoulli(x, outputs).flatten(1).sum(1)
        each = ((x - outputs) / self.sigma).square() / 2 + math.log(self.sigma) + math.log(2 * math.pi) / 2
        return -each.flatten(1).sum(1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z) in nats, shape (n,)."""
        return self.log_density(x, self.outputs(z))

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) = log p(x | z) + log p(z) in nats, shape (n,)."""
        return self.log_likelihood(x, z) + self.prior.log_prob(z)

    def simulate(self, z: Tensor) -> Tensor:
        """x ~ p(x | z), with the noise that the likelihood has around the decoder's mean."""
        mean: Tensor = self.decoder(z).mean
        return torch.bernoulli(mean) if self.binary else mean + self.sigma * torch.randn_like(mean)
