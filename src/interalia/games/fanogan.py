"""f-AnoGAN: an encoder for a pretrained GAN, trained on data by the reconstruction error in x and in the critic's
features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from interalia.conditionals import Conditional, Prior
from interalia.errors import check_range
from interalia.games.game import Data, Game, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.needs import Pretrained
from interalia.networks.layers import last_hidden


@module_dataclass
class FAnoGAN(Game):
    """f-AnoGAN (fast unsupervised anomaly detection with GANs): trains an encoder for a pretrained GAN on data.

        encoder:  the mean over all numbers of x of (x - x^)^2
                  + kappa * (the mean over the features f of the critic of (f(x) - f(x^))^2)

    with z^ ~ q(z | x) and x^ = G(z^), its reconstruction by the generator G. f(x) is the last hidden layer of the GAN's
    critic. G and the critic do not change. The training with kappa = 1 is the paper's "izi_f", that with kappa = 0 its
    "izi". The paper's GAN is WGAN-GP and its encoder is deterministic. An x with a large error is an anomaly, because G
    generates normal data only.

    See Also:
        LatentRegressor, whose encoder learns from generated samples; PostHocALI.

    References:
        f-AnoGAN: Fast unsupervised anomaly detection with generative adversarial networks, Thomas Schlegl and others,
        2019, https://doi.org/10.1016/j.media.2019.01.010

    Arguments:
        encoder: q(z | x).
        decoder: G, p(x | z), pretrained; its weights and batch-norm statistics do not change.
        prior: p(z) that G was trained with.
        critic: the critic of x that G was trained with; None for the error in x alone, as for a generator that was given
            without its critic.
        kappa: the weight of the error in the critic's features.

    Raises:
        ValueError: `kappa` is negative.

    Example:
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> networks = Deterministic(MLP(2, 3)), Deterministic(MLP(3, 2)), StandardNormal(3)
        >>> game = FAnoGAN(*networks, critic=PairCritic(MLP(2, 1)))
        >>> sorted(game(torch.zeros(8, 2)).losses), game.pretrained
        (['encoder'], ['decoder', 'critic'])
    """

    players = {"encoder": ["encoder"]}
    feeds = Data
    name = "f-anogan"
    title = "f-AnoGAN (an encoder for a pretrained GAN, for anomaly detection)"

    encoder: Conditional
    decoder: Conditional
    prior: Prior
    critic: nn.Module | None = None
    kappa: float = 1.0

    def __post_init__(self) -> None:
        check_range(self.kappa >= 0, "a weight is 0 or more", kappa=self.kappa)
        self.freeze_pretrained()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder" p(x | z), pretrained, and "critic"
        of x, pretrained and optional.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        pretrained = {"decoder": Pretrained(s.decode(s.z, s.x)), "critic": Pretrained(s.critic(s.x), optional=True)}
        return {"encoder": s.infer(s.x, s.z), **pretrained}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x) and x^ ~ p(x | z^) for a batch (x,); returns {"data": (x,), "reconstruction": (x^,)}."""
        (x,) = batch
        return {"data": (x,), "reconstruction": (self.decoder(self.encoder(x).rsample()).rsample(),)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the loss of the only player, "encoder": the mean squared error of the reconstructions, plus `kappa` times
        that of the critic's features of them, unless there is no critic.

        `joints` are the samples that `sample` returned.
        """
        (x,), (x_hat,) = joints["data"], joints["reconstruction"]
        loss = mse_loss(x_hat, x)
        if self.critic is not None and self.kappa:
            of_x, of_x_hat = last_hidden(self.critic, torch.cat([x, x_hat])).chunk(2)
            loss = loss + self.kappa * mse_loss(of_x_hat, of_x)
        return Outcome({"encoder": loss})
