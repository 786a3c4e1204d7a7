"""Hierarchical adversarially learned inference (HALI): ALI with a second vector of latents between z and x."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from interalia.conditionals import Chain, Gaussian
from interalia.errors import UserError
from interalia.games.ali import ALI, decode_together
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.needs import Chain as ChainNeed
from interalia.games.needs import Encoder
from interalia.spaces import Space


@module_dataclass
class HALI(ALI):
    """HALI (hierarchical ALI): two levels of latents, z1 next to x and z2 above it, and one critic that scores (x, z1,
    z2).

        q(x, z1, z2) = q(x) q(z1 | x) q(z2 | z1),   p(x, z1, z2) = p(z2) p(z1 | z2) p(x | z1)

        critic, generator:  ALI's losses on the scores of (x, z1^, z2^) and (x~, z1~, z2)

    The first triple is a sample of q, with x from the data; the second is a sample of p, with z2 from the prior.

    The lower level z1 keeps detail: reconstructions from it are close to x. The upper level z2 has the prior p(z2).

    References:
        Hierarchical Adversarially Learned Inference, Mohamed Ishmael Belghazi and others, 2018,
        https://arxiv.org/abs/1802.01071

    Arguments:
        encoder: q(z1 | x) and q(z2 | z1), in sequence.
        decoder: p(z1 | z2) and p(x | z1), in sequence.
        critic: maps (x, z1, z2) to a score, shape (n,).
        prior: p(z2).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        lower: number of dimensions of z1.
        cycle: the weight of ALICE's cycle-consistency loss through z1, the mean over all numbers of x of (x - x^)^2.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Chain, Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> encoder = Chain(Gaussian(MLP(2, 8)), Gaussian(MLP(4, 6)))
        >>> decoder = Chain(Gaussian(MLP(3, 8)), Deterministic(MLP(4, 2)))
        >>> game = HALI(encoder, decoder, PairCritic(MLP(2 + 4 + 3, 1)), StandardNormal(3))
        >>> [part.shape[1] for part in game.sample(torch.zeros(8, 2))["q"]]
        [2, 4, 3]
    """

    feeds = Data
    name = "hali"
    title = "HALI (hierarchical adversarially learned inference)"

    encoder: Chain
    decoder: Chain
    lower: int = 128
    cycle: float = 0.0

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns the specifications of "encoder", the chain q(z1 | x), q(z2 | z1), of "decoder", the chain p(z1 | z2),
        p(x | z1), and of "critic", which scores (x, z1, z2).

        `settings` are the game's other constructor arguments; `lower` is the number of dimensions of z1.

        Raises:
            UserError: `lower` is below 1.
        """
        lower = settings["lower"]
        if lower < 1:
            raise UserError(
                f"`lower` is {lower}, and the lower level needs 1 dimension or more; give for example hali(lower=128)."
            )
        z1, z2 = Space("u", (lower,)), s.z
        return {
            "encoder": ChainNeed(s.infer(s.x, z1, narrow=True), s.infer(z1, z2)),
            "decoder": ChainNeed(Encoder((z2,), z1, Gaussian, narrow=True), s.decode(z1, s.x)),
            "critic": s.critic(s.x, z1, z2),
        }

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z1^ ~ q(z1 | x), z2^ ~ q(z2 | z1^), z2 ~ p(z2), z1~ ~ p(z1 | z2) and x~ ~ p(x | z1~) for a batch (x,).

        Returns:
            {"q": (x, z1^, z2^), "p": (x~, z1~, z2)}, and with `cycle` also "cycle": (x^, x), x^ ~ p(x | z1^).
        """
        (x,) = batch
        z1_hat = self.encoder.first(x).rsample()  # z1^ ~ q(z1 | x)
        z2_hat = self.encoder.second(z1_hat).rsample()  # z2^ ~ q(z2 | z1^)
        z2 = self.prior.sample((len(x),))  # z2 ~ p(z2)
        z1_tilde = self.decoder.first(z2).rsample()  # z1~ ~ p(z1 | z2)
        joints = {"q": (x, z1_hat, z2_hat)}
        if not self.cycle:
            x_tilde = self.decoder.second(z1_tilde).rsample()  # x~ ~ p(x | z1~)
            return {**joints, "p": (x_tilde, z1_tilde, z2)}
        x_tilde, x_hat = decode_together(self.decoder.second, z1_tilde, z1_hat)
        return {**joints, "p": (x_tilde, z1_tilde, z2), "cycle": (x_hat, x)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of critic and generator from the critic's scores on (x, z1^, z2^) and (x~, z1~, z2).

        z1^ and z2^ are inferred from x; z1~ and x~ are generated from z2. To the generator's loss is added `cycle`
        times the mean of (x^ - x)^2, with x^ the reconstruction of x from z1^. `joints` are the samples that `sample`
        returned.
        """
        outcome = super().losses(joints)
        if self.cycle:
            x_hat, x = joints["cycle"]
            outcome = outcome.with_losses(self.cycle, generator=(x_hat - x).square().mean())
        return outcome
