"""ALI after the fact: an encoder for a generator that is trained already."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from interalia.adversarial.disturbances import Disturbance
from interalia.adversarial.divergences import GAN, Divergence
from interalia.adversarial.penalties import Joints, Penalty
from interalia.conditionals import Conditional, Prior
from interalia.games.game import Game, Outcome
from interalia.games.needs import Given, Needs, Setup


class PostHocALI(Game):
    """ALI's game played by the encoder alone, for a generator that is already trained and stays as it is.

        critic:   as in ALI
        encoder:  ALI's generator loss, of which only the part in q(z | x) depends on it

    Its encoder sees data, unlike a LatentRegressor's, and is asked that q(x, z) look like p(x, z) as G made it.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.4,
        "learned inference after the fact")

    Arguments:
        encoder, critic, prior, divergence, penalty, noise, together: as in ALI.
        decoder: p(x | z), trained already; its weights and its statistics are not touched.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Dirac, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, Joint
        >>> game = PostHocALI(Gaussian(MLP(2, 6)), Dirac(MLP(3, 2)), Joint(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'encoder']
    """

    players = {"encoder": ["encoder"], "critic": ["critic"]}
    packs = True
    fixed = ("decoder",)

    def __init__(
        self,
        encoder: Conditional,
        decoder: Conditional,
        critic: nn.Module,
        prior: Prior,
        divergence: Divergence = GAN(),  # noqa: B008 (frozen)
        penalty: Penalty | None = None,
        noise: Disturbance | None = None,
        together: bool = True,
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
        self.fix()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {"encoder": s.infer(s.x, s.z), "decoder": Given(s.decode(s.z, s.x)), "critic": s.judge(s.x, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x).rsample()  # z^ ~ q(z | x)
        return {"q": (x, z_hat), "p": (self.decoder(z).sample(), z)}  # x~ ~ p(x | z), which nobody moves

    def losses(self, joints: Joints) -> Outcome:
        q, p = self.score(self.critic, joints["q"], joints["p"])
        critic = self.divergence.critic_loss(q, p) + self.charge(joints["q"], joints["p"])
        return Outcome({"critic": critic, "encoder": self.divergence.generator_loss(q, p)}, {"q": q, "p": p})
