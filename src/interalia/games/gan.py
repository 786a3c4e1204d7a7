"""The generative adversarial network (GAN), also conditional on a label or attributes."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar

from torch import Tensor

from interalia.games.feeds import Labeled
from interalia.games.game import Data, Joints, Needs, Setup, TwoPlayers, module_dataclass


@module_dataclass
class GAN(TwoPlayers):
    """GAN: a generator (decoder) and a critic of x. Other divergences make it LSGAN, f-GAN or WGAN.

    With batches (x, y) it is the conditional GAN: decoder and critic take y, a one-hot label or attributes, as a
    further input. With `mismatch`, the critic then also learns to score mismatched pairs low, i.e. x with a y that is
    not that of x, so that generated samples agree with their y; `TwoPlayers` has its loss.

    With s the critic's score, z ~ p(z) and x~ ~ p(x | z):

        critic:     mean[softplus(-s(x))] + mean[softplus(s(x~))]
        generator:  mean[softplus(-s(x~))] + mean[softplus(s(x))], where the second term does not depend on the decoder

    References:
        Generative Adversarial Nets, Ian J. Goodfellow and others, 2014, https://arxiv.org/abs/1406.2661
        Conditional Generative Adversarial Nets, Mehdi Mirza, Simon Osindero, 2014, https://arxiv.org/abs/1411.1784
        Generative Adversarial Text to Image Synthesis, Scott Reed and others, 2016, https://arxiv.org/abs/1605.05396
        (mismatched pairs)
        cGANs with Projection Discriminator, Takeru Miyato, Masanori Koyama, 2018, https://arxiv.org/abs/1802.05637
        (the projection of y)

    Arguments:
        decoder: p(x | z).
        critic: maps x to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: the adversarial loss.
        penalty: a penalty on the critic's gradient, or None.
        noise: instance noise or augmentation of the critic's input, or None.
        joint_batch: True for one pass of the critic over data, samples and any mismatched pairs, so that its batch norm
            normalizes them together; False for one pass over each.
        mismatch: the share of mismatched pairs (x, another y) in the critic's loss, 0 for none, but at most
            m / (m + 9), with m the number of attributes, or of labels minus 1: 0.1 for 2 labels, 0.5 for 10. It needs a
            conditional game, for which 0.5 is recommended. Above 0, the critic that a run builds also adds a projection
            of y to its score, see `PairCritic`.

    Raises:
        ValueError: `mismatch` is not in [0, 1].

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

    mismatch: float = field(default=0.0, kw_only=True)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "decoder" p(x | z, y), the generator, and "critic" of (x, y).

        y is the condition in `s`, if any. `settings` are the game's constructor arguments besides the networks; if
        `mismatch` is above 0, the critic of a conditional game adds a projection of y to its score, see `PairCritic`.
        """
        return {"decoder": s.decode(s.z, s.x), "critic": s.critic(s.x, mismatch=settings.get("mismatch", 0.0))}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z ~ p(z) and x~ ~ p(x | z) for a batch (x,), or (x, y) in a conditional game.

        Returns:
            {"data": (x,), "model": (x~,)}. In a conditional game x~ is also conditional on y, and y ends both tuples;
                with `mismatch` there is also "mismatched": (x, another y).
        """
        x, *y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        x_tilde = self.decoder(z, *y).rsample()  # x~ ~ p(x | z, y)
        return self.with_mismatched({"data": (x, *y), "model": (x_tilde, *y)}, y)
