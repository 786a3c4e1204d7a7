"""ALICE: adversarially learned inference (ALI) with a cycle-consistency loss, measured by a distance or by a second
critic.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from torch import Tensor, nn

from interalia.games.ali import ALI, DISTANCES
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass


@module_dataclass
class ALICE(ALI):
    """ALICE: adversarially learned inference (ALI) with a cycle-consistency loss, the distance of x from its
    reconstruction.

    That loss is, up to a factor and a constant, an upper bound of the conditional entropy H(x | z) of q(x, z).

    ALI matches the distributions of the pairs (x, z^) and (x~, z); short of its optimum it leaves open which z belongs to
    which x. The cycle-consistency loss ties them. With z^ ~ q(z | x), x^ ~ p(x | z^), z ~ p(z) and x~ ~ p(x | z):

        critic:     ALI's loss of (x, z^) against (x~, z)
        generator:  ALI's loss of these pairs + cycle * (the mean over all numbers of x of (x - x^)^2,
                    or of |x - x^| with distance="l1")
                    + cycle_z * (the same of z and z^^ ~ q(z | x~))

    See Also:
        ALI, the same game with `cycle=0`.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215

    Arguments:
        encoder, decoder, critic, prior: q(z | x), p(x | z), a critic that maps (x, z) to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        sleep: the weight of the mean of (z - m(x~))^2 in the generator's loss, with m(x~) the mean of q(z | x~); 0 for
            none.
        mismatch: the share of mismatched pairs (x, z^, another y) in the critic's loss in a conditional game, but at
            most m / (m + 9), with m the number of attributes, or of labels minus 1; 0 for none.
        cycle: the weight of the distance of x from x^, in the cycle x -> z^ -> x^.
        cycle_z: the weight of the distance of z from z^^, in the cycle z -> x~ -> z^^.
        distance: the kind of both distances, "mse", the mean squared error, or "l1", the mean absolute error.

    Raises:
        ValueError: a weight is negative.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = ALICE(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).scores)
        ['p', 'q']
    """

    name = "alice"
    title = "ALICE (ALI with a cycle-consistency loss)"
    loss_weights = ("cycle", "cycle_z")

    cycle: float = 1.0
    cycle_z: float = 0.0
    distance: Literal["mse", "l1"] = "mse"

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z), x~ ~ p(x | z) and x^ ~ p(x | z^) for a batch (x,), or (x, y) in a conditional
        game.

        Returns:
            {"q": (x, z^), "p": (x~, z), "cycle": (x^, x)}, and with `cycle_z` also "cycle_z": (z^^, z), z^^ ~ q(z |
                x~). In a conditional game y ends the tuples of "q" and "p". With `sleep` there is also "sleep": (the
                mean of q(z | x~), z), and in a conditional game with `mismatch` "mismatched": (x, z^, another y).
        """
        joints = self.sample_joints(*batch, cycle=True)
        if self.cycle_z:
            x_tilde, z, *y = joints["p"]
            joints["cycle_z"] = (self.encoder(x_tilde, *y).rsample(), z)
        return joints

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of ALI's critic and generator, with the cycle-consistency losses added to the generator's.

        These are `cycle` times the distance of x from its reconstruction, and `cycle_z` times that of z from its
        reconstruction. The distance is the mean squared or absolute error, as the argument `distance` says. `joints`
        are the samples that `sample` returned.
        """
        outcome = super().losses(joints)
        for key, weight in (("cycle", self.cycle), ("cycle_z", self.cycle_z)):
            if key in joints:
                outcome = outcome.with_losses(weight, generator=DISTANCES[self.distance](*joints[key]))
        return outcome


@module_dataclass
class AdversarialALICE(ALI):
    """ALICE with an adversarial cycle-consistency loss: a second critic t learns to separate pairs (x, x) and (x, x^).

    x^ is the reconstruction of x.

        critic:     ALI's on s(x, z^) against s(x~, z) + weight * (the same loss on t(x, x) against t(x, x^))
        generator:  ALI's on these scores of s + weight * (the same loss on those of t)

    with s the first critic, z^ ~ q(z | x), x^ ~ p(x | z^), z ~ p(z) and x~ ~ p(x | z).

    A pixel distance favors the mean of all images that z^ may stand for; a critic of pairs favors one image that matches x.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215 (implicit cycle-consistency)

    Arguments:
        encoder, decoder, critic, prior: q(z | x), p(x | z), a critic that maps (x, z) to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on each critic's gradient, or None; noise or
            augmentation of their inputs, or None; True for one pass of the critic over all samples.
        sleep: the weight of the mean of (z - m(x~))^2 in the generator's loss, with m(x~) the mean of q(z | x~); 0 for
            none.
        cycle_critic: t, maps (x, x') to a score, shape (n,).
        weight: the weight of the losses on t.
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic", "cycle_critic"]}
    feeds = Data
    name = "alice-adversarial"
    title = "adversarial ALICE (ALI with a second critic for cycle consistency)"
    loss_weights = ("weight",)

    cycle_critic: nn.Module = field(kw_only=True)
    weight: float = 1.0

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of ALI's networks "encoder", "decoder" and "critic", and of "cycle_critic" of
        pairs (x, x').

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {**super().needs(s, **settings), "cycle_critic": s.critic(s.x, s.x)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z), x~ ~ p(x | z) and x^ ~ p(x | z^) for a batch (x,).

        Returns:
            {"q": (x, z^), "p": (x~, z), "same": (x, x), "cycle": (x, x^)}, and with `sleep` also "sleep": (the mean of
                q(z | x~), z).
        """
        joints = self.sample_joints(*batch, cycle=True)
        x_hat, x = joints.pop("cycle")
        return {**joints, "same": (x, x), "cycle": (x, x_hat)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of generator and critic: ALI's, plus `weight` times those on a second critic's scores.

        It should score pairs (x, x) high, and pairs (x, x^) low, where x^ is the reconstruction of x. `joints` are the
        samples that `sample` returned.
        """
        outcome, cycle = super().losses(joints), self.adversarial_losses(joints, "same", "cycle", critic="cycle_critic")
        return outcome.with_losses(self.weight, cycle.scores, **cycle.losses)
