"""Adversarially learned anomaly detection (ALAD): ALI with a critic of reconstructions of x, and one of those of z."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from torch import Tensor, nn

from interalia.games.alice import AdversarialALICE
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass


@module_dataclass
class ALAD(AdversarialALICE):
    """ALAD (adversarially learned anomaly detection): ALI with two further critics, of reconstructions of x and of z.

        critic:     ALI's on s(x, z^) against s(x~, z), and weight * (the same losses on t(x, x) against t(x, x^)
                    and on u(z, z) against u(z, z^^))
        generator:  the generator's losses of the same three

    with z^ ~ q(z | x), x^ ~ p(x | z^), z ~ p(z), x~ ~ p(x | z) and z^^ ~ q(z | x~). The three critics are networks of
    one player. An x whose reconstruction is far from it, in the features of t, is an anomaly.

    See Also:
        AdversarialALICE, the same game without the critic of z.

    References:
        Adversarially Learned Anomaly Detection, Houssam Zenati and others, 2018, https://arxiv.org/abs/1812.02288

    Arguments:
        encoder, decoder, critic, prior: q(z | x), p(x | z), a critic that maps (x, z) to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on each critic's gradient, or None; noise or
            augmentation of their inputs, or None; True for one pass of the critic over all samples.
        sleep: the weight of the mean of (z - m(x~))^2 in the generator's loss, with m(x~) the mean of q(z | x~); 0 for
            none.
        cycle_critic: t, maps (x, x') to a score, shape (n,).
        latent_critic: u, maps (z, z') to a score, shape (n,).
        weight: the weight of the losses on t and u; 1 in the paper.

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

    latent_critic: nn.Module = field(kw_only=True)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of ALI's networks "encoder", "decoder" and "critic", and of two further
        critics.

        "cycle_critic" scores pairs (x, x'), and "latent_critic" pairs (z, z'). `settings`, the game's constructor
        arguments besides the networks, have no effect.
        """
        return {**super().needs(s, **settings), "latent_critic": s.critic(s.z, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z), x~ ~ p(x | z), x^ ~ p(x | z^) and z^^ ~ q(z | x~) for a batch (x,).

        Returns:
            {"q": (x, z^), "p": (x~, z), "same": (x, x), "cycle": (x, x^), "same_z": (z, z), "cycle_z": (z, z^^)}, and
                with `sleep` also "sleep": (the mean of q(z | x~), z).
        """
        joints = super().sample(*batch)
        x_tilde, z = joints["p"]
        z_cycled = self.encoder(x_tilde).rsample()  # z^^ ~ q(z | x~)
        return {**joints, "same_z": (z, z), "cycle_z": (z, z_cycled)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of generator and critic: `AdversarialALICE`'s, plus `weight` times those on a third
        critic's scores.

        It should score pairs (z, z) high, and pairs (z, z^^) low, where z^^ is the reconstruction of z. `joints` are
        the samples that `sample` returned.
        """
        outcome, cycle = (
            super().losses(joints),
            self.adversarial_losses(joints, "same_z", "cycle_z", critic="latent_critic"),
        )
        return outcome.with_losses(self.weight, cycle.scores, **cycle.losses)
