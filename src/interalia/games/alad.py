"""Adversarially Learned Anomaly Detection."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from torch import Tensor, nn

from interalia.adversarial.joints import Joints
from interalia.games.ali import ALI, PAIRS
from interalia.games.alice import both_decoded
from interalia.games.feeds import Data
from interalia.games.game import Outcome, part
from interalia.games.needs import Needs, Setup


@part
class ALAD(ALI):
    """ALI whose round trips, from x and from z, are each judged by a critic of their own:

        critic:     ALI's on s(x, z^) against s(x~, z), and the same losses on t(x, x) against t(x, x^)
                    and on u(z, z) against u(z, z^^)
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

    Example:
        >>> import torch
        >>> from interalia.conditionals import Dirac, StandardNormal
        >>> from interalia.networks.layers import Beside
        >>> from interalia.networks.mlp import MLP, Joint
        >>> pairs = {"cycle_critic": Beside(MLP(4, 1)), "latent_critic": Beside(MLP(6, 1))}
        >>> game = ALAD(Dirac(MLP(2, 3)), Dirac(MLP(3, 2)), Joint(MLP(5, 1)), StandardNormal(3), **pairs)
        >>> len(game(torch.zeros(8, 2)).scores)
        6
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "cycle_critic", "latent_critic"]}
    feeds = Data
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

    cycle_critic: nn.Module = field(kw_only=True)
    latent_critic: nn.Module = field(kw_only=True)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "cycle_critic": s.judge(s.x, s.x), "latent_critic": s.judge(s.z, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x).rsample()  # z^ ~ q(z | x)
        x_tilde, x_hat = both_decoded(self.decoder, z, z_hat)  # x~ ~ p(x | z), x^ ~ p(x | z^)
        z_back = self.encoder(x_tilde).rsample()  # z^^ ~ q(z | x~)
        of_x, of_z = {"same": (x, x), "cycle": (x, x_hat)}, {"same_z": (z, z), "cycle_z": (z, z_back)}
        return {"q": (x, z_hat), "p": (x_tilde, z), **of_x, **of_z}

    def losses(self, joints: Joints) -> Outcome:
        critics = {"q p": self.critic, "same cycle": self.cycle_critic, "same_z cycle_z": self.latent_critic}
        critic = generator = joints["q"][0].new_zeros(())
        scores: dict[str, Tensor] = {}
        for names, judge in critics.items():
            true, made = names.split()
            scores[true], scores[made] = self.score(judge, joints[true], joints[made])
            critic = critic + self.divergence.critic_loss(scores[true], scores[made])
            generator = generator + self.divergence.generator_loss(scores[true], scores[made])
            if self.penalty is not None:
                critic = critic + self.penalty(judge, joints[true], joints[made])
        return Outcome({"critic": critic, "generator": generator}, scores)
