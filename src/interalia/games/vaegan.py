"""VAE/GAN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from interalia.conditionals import Gaussian, StandardNormal
from interalia.contexts import to_float32
from interalia.errors import UserError
from interalia.games.ali import Autoencoding
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass
from interalia.networks.layers import PairCritic


@module_dataclass
class VAEGAN(Autoencoding):
    """A variational autoencoder that measures its reconstructions in the features of a GAN's critic, f.

    With x^ the reconstruction, z^ ~ q(z | x), and x~ a sample, z ~ p(z), both are fakes to the critic:

        encoder:  KL(q(z | x) || p(z)) + feature * d,   d = ||f(x) - f(x^)||^2 / 2, both in nats
        decoder:  gamma * d + GAN's generator loss, the mean of the same two
        critic:   GAN's, the mean of that on x and x^ and of that on x and x~

    Each player is charged for its own line and for nothing else: d does not move the critic, whose features it is measured
    in, and the critic's loss does not move the decoder.

    References:
        Autoencoding beyond pixels using a learned similarity metric, Anders Boesen Lindbo Larsen and others, 2016,
        https://arxiv.org/abs/1512.09300 (Algorithm 1)

    Arguments:
        encoder: q(z | x), Gaussian.
        decoder: p(x | z).
        critic: a critic of x with `features`, such as `PairCritic`.
        prior: p(z), standard normal.
        divergence, noise, together: as in GAN.
        penalty: a charge on the critic's gradient, or None; what is charged on Q is charged on samples x~ alone.
        feature: the weight of d for the encoder, 1 in the paper, whose critic has thousands of features that batch norm keeps
            at a scale; other critics' features are smaller.
        gamma: the weight of d for the decoder, small where the decoder shall mind the critic more than the features.

    Raises:
        UserError: the encoder is not Gaussian, the prior not normal, or the critic answers no features.

    Example:
        >>> from torch import nn
        >>> from interalia.conditionals import Deterministic
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> critic = PairCritic(nn.Linear(8, 1), nn.Linear(2, 8))
        >>> game = VAEGAN(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), critic, StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'decoder', 'encoder']
    """

    players = {"encoder": ["encoder"], "decoder": ["decoder"], "critic": ["critic"]}
    name = "vae-gan"
    title = "VAE/GAN (a variational autoencoder with a GAN's critic)"
    teaches = (
        "A variational autoencoder with {latent} and a GAN learn together: the decoder is also the generator, and"
        " what a reconstruction loses is counted in what the critic sees of an image, not in pixels."
    )
    judged = "data, on its reconstructions and on samples"

    feature: float = 30.0
    gamma: float = 0.05

    def __post_init__(self) -> None:
        critic = self.critic
        if not isinstance(self.encoder, Gaussian):
            raise UserError("VAEGAN needs a Gaussian encoder, for KL(q(z | x) || p(z)); choose `encoder='gaussian'`.")
        if not isinstance(self.prior, StandardNormal):
            raise UserError(
                "VAEGAN needs the standard normal prior, for KL(q(z | x) || p(z)); choose `prior='normal'`."
            )
        if not hasattr(critic, "features") or (getattr(critic, "x", None) is None and isinstance(critic, PairCritic)):
            raise UserError(
                "VAEGAN needs a critic that answers its features of x; choose other `networks`, such as auto."
            )

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "critic": s.judge(s.x, packable=False)}  # features of single images

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        z = self.prior.sample((len(x),))  # z ~ p(z)
        x_hat, x_tilde = self.decoder(torch.cat([z_hat, z])).rsample().chunk(2)  # x^ ~ p(x | z^), x~ ~ p(x | z)
        mu, sigma = q.base_dist.loc, q.base_dist.scale
        return {"data": (x,), "reconstruction": (x_hat,), "model": (x_tilde,), "posterior": (mu, sigma)}

    def losses(self, joints: Joints) -> Outcome:
        names = ("data", "reconstruction", "model")
        scores = dict(zip(names, self.score(self.critic, *(joints[name] for name in names)), strict=True))
        data, *fakes = scores.values()
        critic = self.mean(self.divergence.critic_loss, data, fakes) + self.charge(joints["data"], joints["model"])
        mu, sigma = joints["posterior"]
        of_x_hat, of_x = self.features(*joints["reconstruction"], *joints["data"])
        lost = (of_x_hat - of_x).square().sum(1).mean() / 2  # -log N(f(x); f(x^), I), up to a constant
        kl = (mu.square() + sigma.square() - 1) / 2 - sigma.log()  # KL(q(z | x) || N(0, I)) of each dimension
        encoder = kl.sum(1).mean() + self.feature * lost
        decoder = self.gamma * lost + self.mean(self.divergence.generator_loss, data, fakes)
        return Outcome({"encoder": encoder, "decoder": decoder, "critic": critic}, scores)

    def pairs(self, outcome: Outcome) -> list[tuple[Tensor, Tensor]]:
        scores = outcome.scores
        return [(scores["data"], torch.cat([scores["reconstruction"], scores["model"]]))]

    def mean(self, loss: Callable[[Tensor, Tensor], Tensor], data: Tensor, fakes: Sequence[Tensor]) -> Tensor:
        """The mean of a loss over both kinds of fakes."""
        return torch.stack([loss(data, fake) for fake in fakes]).mean()

    def features(self, *images: Tensor) -> tuple[Tensor, ...]:
        """f of each."""
        found = to_float32(self.critic.features(torch.cat(images))[0])  # type: ignore[operator]
        return found.chunk(len(images))
