"""ALICE: adversarial inference with conditional entropy."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from interalia.conditionals import Conditional, Prior
from interalia.divergences import GAN, Divergence
from interalia.games.game import Game, Outcome
from interalia.penalties import InstanceNoise, Joints, Penalty


class ALICE(Game):
    """ALI whose generator is also charged for what a round trip loses, an explicit bound on the conditional entropy H(x | z).

    ALI matches the two joints, and where it stops short of that it leaves open which z belongs to which x; with x^ drawn
    from p(x | z^), z^ from q(z | x):

        critic:     as in ALI
        generator:  as in ALI + cycle * (the mean over all numbers of x of (x - x^)^2,
                    or of |x - x^| with distance="l1")

    See also:
        ALI, which this is with `cycle` 0.

    References:
        ALICE: Towards Understanding Adversarial Learning for Joint Distribution Matching, Chunyuan Li and others, 2017,
        https://arxiv.org/abs/1709.01215

    Arguments:
        encoder, decoder, critic, prior, divergence, penalty, noise, together: as in ALI.
        cycle: the weight of the round trip.
        distance: "mse" or "l1".

    Example:
        >>> import torch
        >>> from interalia.conditionals import Dirac, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, Joint
        >>> game = ALICE(Gaussian(MLP(2, 6)), Dirac(MLP(3, 2)), Joint(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).scores)
        ['p', 'q']
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic"]}
    conditional = True

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        critic: nn.Module,
        prior: Prior,
        divergence: Divergence = GAN(),  # noqa: B008 (frozen)
        penalty: Penalty | None = None,
        noise: InstanceNoise | None = None,
        together: bool = True,
        cycle: float = 1.0,
        distance: Literal["mse", "l1"] = "mse",
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.critic = critic
        self.prior = prior
        self.divergence = divergence
        self.penalty = penalty
        self.noise = noise
        self.together = together
        self.cycle = cycle
        self.distance = distance

    def sample(self, *batch: Tensor) -> Joints:
        x, *y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x, *y).rsample()  # z^ ~ q(z | x)
        x_tilde, x_hat = self.decode(z, z_hat, *y)  # x~ ~ p(x | z), x^ ~ p(x | z^)
        return {"q": (x, z_hat, *y), "p": (x_tilde, z, *y), "cycle": (x_hat, x)}

    def losses(self, joints: Joints) -> Outcome:
        q, p = self.score(self.critic, joints["q"], joints["p"])
        critic = self.divergence.critic_loss(q, p) + self.charge(joints["q"], joints["p"])
        x_hat, x = joints["cycle"]
        lost = mse_loss(x_hat, x) if self.distance == "mse" else l1_loss(x_hat, x)
        generator = self.divergence.generator_loss(q, p) + self.cycle * lost
        return Outcome({"critic": critic, "generator": generator}, {"q": q, "p": p})

    def decode(self, z: Tensor, z_hat: Tensor, *y: Tensor) -> list[Tensor]:
        """One pass over both, so that a batch norm in the decoder sees both kinds of latents mixed."""
        x: Tensor = self.decoder(torch.cat([z, z_hat]), *(part.repeat(2, 1) for part in y)).rsample()
        return list(x.chunk(2))
