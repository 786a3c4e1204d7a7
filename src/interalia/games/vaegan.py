"""VAE/GAN: a VAE with a learned reconstruction loss, the distance of features that a GAN's critic computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from interalia.conditionals import Gaussian, StandardNormal
from interalia.contexts import to_float32
from interalia.errors import UserError
from interalia.games.ali import Autoencoding, decode_together
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass
from interalia.networks.layers import PairCritic


@module_dataclass
class VAEGAN(Autoencoding):
    """VAE/GAN: a VAE whose reconstruction loss is a distance in the features f of a GAN's critic.

    The critic has two kinds of fakes, reconstructions x^ from z^ ~ q(z | x) and samples x~ from z ~ p(z):

        encoder:  KL(q(z | x) || p(z)) + feature * d,   d = ||f(x) - f(x^)||^2 / 2, both in nats
        decoder:  gamma * d + GAN's generator loss, the mean over both kinds of fakes
        critic:   GAN's critic loss, the mean over x against x^ and x against x~

    Each player minimizes its own line only: d has no gradient in the critic, although f are its features, and the critic's
    loss has none in the decoder.

    References:
        Autoencoding beyond pixels using a learned similarity metric, Anders Boesen Lindbo Larsen and others, 2016,
        https://arxiv.org/abs/1512.09300 (Algorithm 1)

    Arguments:
        encoder: q(z | x), Gaussian.
        decoder: p(x | z).
        critic: a critic of x with a method `features`, such as `PairCritic`.
        prior: p(z), standard normal.
        divergence: the adversarial loss.
        noise: instance noise or augmentation of the critic's input, or None.
        joint_batch: True for one pass of the critic over data, reconstructions and samples; False for one pass over each.
        penalty: a penalty on the critic's gradient, or None; its term on Q uses the samples x~ only.
        feature: the weight of d for the encoder. The paper has 1, for thousands of features that batch norm keeps at one
            scale; other critics have smaller features.
        gamma: the weight of d for the decoder; a smaller one gives more weight to the adversarial loss.

    Raises:
        UserError: the encoder is not Gaussian, the prior not normal, or the critic has no features.

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
    loss_weights = ("feature", "gamma")

    feature: float = 30.0
    gamma: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        critic = self.critic
        if not isinstance(self.encoder, Gaussian):
            raise UserError("VAEGAN needs a Gaussian encoder, for KL(q(z | x) || p(z)); choose `encoder='gaussian'`.")
        if not isinstance(self.prior, StandardNormal):
            raise UserError(
                "VAEGAN needs the standard normal prior, for KL(q(z | x) || p(z)); choose `prior='normal'`."
            )
        if not hasattr(critic, "features") or (getattr(critic, "x", None) is None and isinstance(critic, PairCritic)):
            raise UserError("VAEGAN needs a critic of x with `features`; choose other `networks`, such as auto.")

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder" p(x | z) and "critic" of single
        images x.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {**super().needs(s, **settings), "critic": s.critic(s.x, packable=False)}  # features of single images

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z), x^ ~ p(x | z^) and x~ ~ p(x | z) for a batch (x,).

        Returns:
            {"data": (x,), "reconstruction": (x^,), "model": (x~,), "posterior": (mean and standard deviation of q(z | x))}
        """
        (x,) = batch
        q = self.encoder(x)
        z_hat = q.rsample()  # z^ ~ q(z | x)
        z = self.prior.sample((len(x),))  # z ~ p(z)
        x_hat, x_tilde = decode_together(self.decoder, z_hat, z)  # x^ ~ p(x | z^), x~ ~ p(x | z)
        mu, sigma = q.base_dist.loc, q.base_dist.scale
        return {"data": (x,), "reconstruction": (x_hat,), "model": (x_tilde,), "posterior": (mu, sigma)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of the players "encoder", "decoder" and "critic", and the critic's scores.

        With R half the mean squared distance of f(x^) from f(x), summed over the features f: the encoder's loss is the
        KL divergence of q(z | x) from p(z) plus `feature` times R; the decoder's is `gamma` times R plus the
        divergence's generator loss; the critic's is the divergence's critic loss plus the penalty. The divergence's
        losses are means of those on reconstructions and on samples of the prior. The scores have the names "data",
        "reconstruction" and "model". `joints` are the samples that `sample` returned.
        """
        names = ("data", "reconstruction", "model")
        scores = dict(zip(names, self.score(self.critic, *(joints[name] for name in names)), strict=True))
        data, *fakes = scores.values()
        critic = self.mean(self.divergence.critic_loss, data, fakes) + self.penalize(joints["data"], joints["model"])
        mu, sigma = joints["posterior"]
        of_x_hat, of_x = self.features(*joints["reconstruction"], *joints["data"])
        reconstruction_loss = (of_x_hat - of_x).square().sum(1).mean() / 2  # -log N(f(x); f(x^), I), up to a constant
        kl = (mu.square() + sigma.square() - 1) / 2 - sigma.log()  # KL(q(z | x) || N(0, I)) of each dimension
        encoder = kl.sum(1).mean() + self.feature * reconstruction_loss
        decoder = self.gamma * reconstruction_loss + self.mean(self.divergence.generator_loss, data, fakes)
        return Outcome({"encoder": encoder, "decoder": decoder, "critic": critic}, scores)

    def score_pairs(self, outcome: Outcome) -> list[tuple[Tensor, Tensor]]:
        """Returns a list of one pair: the critic's scores on data, and those on reconstructions and generated samples,
        concatenated.

        They are taken from `outcome`, which `losses` returned.
        """
        scores = outcome.scores
        return [(scores["data"], torch.cat([scores["reconstruction"], scores["model"]]))]

    def mean(self, loss: Callable[[Tensor, Tensor], Tensor], data: Tensor, fakes: Sequence[Tensor]) -> Tensor:
        """Returns the mean of a loss over the kinds of generated samples (reconstructions, and samples of the prior), a
        scalar.

        Arguments:
            loss: a function of the critic's scores on data and on one kind of generated samples.
            data: the scores on data.
            fakes: the scores on generated samples, one tensor for each kind.
        """
        return torch.stack([loss(data, fake) for fake in fakes]).mean()

    def features(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Returns the critic's features of each batch of images, shape (n, features), from one pass over all batches
        together.
        """
        features = to_float32(self.critic.features(torch.cat(images))[0])  # type: ignore[operator]
        return features.chunk(len(images))
