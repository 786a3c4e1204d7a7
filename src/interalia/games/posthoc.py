"""ALI after the fact: an encoder for a generator that is trained already."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from interalia.adversarial.joints import Joints
from interalia.games.ali import ALI, TRAINED
from interalia.games.feeds import Data
from interalia.games.game import part
from interalia.games.needs import Given, Needs, Setup


@part
class PostHocALI(ALI):
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
    feeds = Data
    title = "ALI after the fact (an encoder for a generator trained before)"
    teaches = (
        TRAINED + "A critic tries to tell the pairs (data, inferred z) from the pairs (made data, random z), and the "
        "encoder learns to make them alike."
    )

    def __post_init__(self) -> None:
        self.fix()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "decoder": Given(s.decode(s.z, s.x))}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x).rsample()  # z^ ~ q(z | x)
        return {"q": (x, z_hat), "p": (self.decoder(z).sample(), z)}  # x~ ~ p(x | z), which nobody moves
