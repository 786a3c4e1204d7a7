"""Generative Adversarial Nets, and InfoGAN, whose samples tell their codes."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from interalia.adversarial.divergences import GAN as GANDivergence
from interalia.conditionals import Conditional, Prior
from interalia.games.feeds import Labeled
from interalia.games.game import (
    Data,
    Disturbance,
    Divergence,
    Joints,
    Needs,
    Penalty,
    Setup,
    TwoPlayers,
    module_dataclass,
)


@module_dataclass
class GAN(TwoPlayers):
    """A decoder against a critic that judges x alone: GAN, and with another divergence LSGAN, f-GAN or WGAN.

    Fed (x, y) it is the conditional GAN: decoder and critic are told y, the label, as a vector beside z and x.

        critic:     mean[softplus(-s(x))] + mean[softplus(s(x~))]
        generator:  mean[softplus(-s(x~))] + mean[softplus(s(x))], whose second term does not depend on the decoder

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661
        Conditional Generative Adversarial Nets, Mehdi Mirza, Simon Osindero, 2014, https://arxiv.org/abs/1411.1784

    Arguments:
        decoder: p(x | z).
        critic: maps x to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: what the scores cost.
        penalty: a charge on the critic's gradient, or None.
        noise: what is done to the joints before the critic sees them, or None.
        together: whether the critic sees both joints in one pass, see `Game.score`.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = GAN(Deterministic(MLP(3, 2)), PairCritic(MLP(2, 1)), StandardNormal(3))
        >>> game(torch.zeros(8, 2)).scores["model"].shape
        torch.Size([8])
    """

    players = {"generator": ["decoder"], "critic": ["critic"]}
    feeds: ClassVar[type[Data]] = Labeled
    compares = ("data", "model")
    name = "gan"
    title = "GAN (a generative adversarial network)"
    teaches = (
        "Two networks learn against each other: a generator that makes data from {latent} drawn at random, and a "
        "critic that tries to tell what it makes from real data. There is no encoder, so nothing is "
        "reconstructed."
    )

    decoder: Conditional
    critic: nn.Module
    prior: Prior
    divergence: Divergence = GANDivergence()
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    together: bool = True

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {"decoder": s.decode(s.z, s.x), "critic": s.judge(s.x)}

    def sample(self, *batch: Tensor) -> Joints:
        x, *y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        return {"data": (x, *y), "model": (self.decoder(z, *y).rsample(), *y)}  # x~ ~ p(x | z, y)
