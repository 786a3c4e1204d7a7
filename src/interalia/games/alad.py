"""Adversarially Learned Anomaly Detection."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from torch import Tensor, nn

from interalia.games.ali import PAIRS
from interalia.games.alice import AdversarialALICE
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass


@module_dataclass
class ALAD(AdversarialALICE):
    """ALI whose round trips, from x and from z, are each judged by a critic of their own:

        critic:     ALI's on s(x, z^) against s(x~, z), and weight * (the same losses on t(x, x) against t(x, x^)
                    and on u(z, z) against u(z, z^^))
        generator:  the generator's of the same three

    with x^ drawn from p(x | z^), z^ from q(z | x), and z^^ from q(z | x~). The three critics are networks of one player. What
    x lies far from in its reconstruction, in the features of t, is an anomaly.

    See also:
        AdversarialALICE, which has no critic of z.

    References:
        Adversarially Learned Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1812.02288

    Arguments:
        encoder, decoder, critic, prior, divergence, penalty, noise, together: as in ALI; the penalty is on all critics.
        cycle_critic: t, maps (x, x') to a score, shape (n,).
        latent_critic: u, maps (z, z') to a score, shape (n,).
        weight: of what t and u cost; 1 in the paper.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.networks.layers import ChannelConcatCritic
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> pairs = {"cycle_critic": ChannelConcatCritic(MLP(4, 1)), "latent_critic": ChannelConcatCritic(MLP(6, 1))}
        >>> game = ALAD(Deterministic(MLP(2, 3)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3), **pairs)
        >>> len(game(torch.zeros(8, 2)).scores)
        6
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "cycle_critic", "latent_critic"]}
    name = "alad"
    title = "ALAD (adversarially learned anomaly detection)"
    teaches = (
        PAIRS
        + "Two more critics try to tell an input, and a latent, from what a round trip makes of it, with the input or "
        "the latent beside it."
    )
    judged = (
        "pairs (data, inferred z) and pairs (sample, random z), and the other critics' on data and on random z beside "
        "themselves and beside their round trips,"
    )

    latent_critic: nn.Module = field(kw_only=True)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "latent_critic": s.judge(s.z, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        joints = super().sample(*batch)
        x_tilde, z = joints["p"]
        z_back = self.encoder(x_tilde).rsample()  # z^^ ~ q(z | x~)
        return {**joints, "same_z": (z, z), "cycle_z": (z, z_back)}

    def losses(self, joints: Joints) -> Outcome:
        outcome, again = super().losses(joints), self.contest(joints, "same_z", "cycle_z", "latent_critic")
        return outcome.plus(self.weight, again.scores, **again.losses)
