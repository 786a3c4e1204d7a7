"""The variational autoencoder."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from interalia.conditionals import Conditional, Gaussian, Prior, StandardNormal
from interalia.errors import UserError
from interalia.games.game import Game, Outcome
from interalia.penalties import Joints


class VAE(Game):
    """An encoder and a decoder that maximise a lower bound of log p(x), in nats, without a critic:

        autoencoder:  E_{q(z | x)}[-log p(x | z)] + beta KL(q(z | x) || p(z)) >= -log p(x) for beta = 1

    with p(x | z) Gaussian of a fixed standard deviation around the decoder's mean, or Bernoulli with that mean for x in
    [0, 1], and the KL in closed form. With another beta it is the beta-VAE.

    References:
        Auto-Encoding Variational Bayes, Diederik P. Kingma, Max Welling, 2014, https://arxiv.org/abs/1312.6114
        beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, Irina Higgins and others, 2017,
        https://openreview.net/forum?id=Sy2fzU9gl

    Arguments:
        encoder: q(z | x), Gaussian.
        decoder: the mean of p(x | z).
        prior: p(z), standard normal.
        likelihood: "gaussian", or "bernoulli" for x in [0, 1].
        sigma: the standard deviation of the Gaussian likelihood.
        beta: the weight of the KL.

    Raises:
        UserError: the encoder is not Gaussian, or the prior not normal.
        ValueError: `sigma` is not above 0, or `beta` is below 0.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Dirac
        >>> from interalia.networks.mlp import MLP
        >>> game = VAE(Gaussian(MLP(2, 6)), Dirac(MLP(3, 2)), StandardNormal(3))
        >>> list(game(torch.zeros(8, 2)).losses)
        ['autoencoder']
    """

    players = {"autoencoder": ["encoder", "decoder"]}
    judges = ""

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        prior: Prior,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        sigma: float = 0.1,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        if not isinstance(encoder, Gaussian):
            raise UserError("VAE needs a Gaussian encoder, for KL(q(z | x) || p(z)); use --encoder gaussian.")
        if not isinstance(prior, StandardNormal):
            raise UserError("VAE needs the standard normal prior, for KL(q(z | x) || p(z)); use --prior normal.")
        if not (sigma > 0 and beta >= 0):
            raise ValueError(f"`sigma` is {sigma} and `beta` is {beta}; they are above 0, and 0 or more")
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior
        self.likelihood = likelihood
        self.sigma = sigma
        self.beta = beta

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        mu, sigma = q.base_dist.loc, q.base_dist.scale
        return {"q": (x, z_hat), "reconstruction": (self.decoder(z_hat).mean, x), "posterior": (mu, sigma)}

    def losses(self, joints: Joints) -> Outcome:
        mean, x = joints["reconstruction"]
        mu, sigma = joints["posterior"]
        kl = (mu.square() + sigma.square() - 1) / 2 - sigma.log()  # KL(q(z | x) || N(0, I)) of each dimension
        return Outcome({"autoencoder": (self.surprise(x, mean) + self.beta * kl.sum(1)).mean()})

    def surprise(self, x: Tensor, mean: Tensor) -> Tensor:
        """-log p(x | z), in nats, shape (n,)."""
        if self.likelihood == "bernoulli":
            with torch.autocast(x.device.type, enabled=False):  # which refuses it on CUDA
                return binary_cross_entropy(mean, x, reduction="none").flatten(1).sum(1)
        each = ((x - mean) / self.sigma).square() / 2 + math.log(self.sigma) + math.log(2 * math.pi) / 2
        return each.flatten(1).sum(1)
