"""Adversarial autoencoders."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from interalia.conditionals import Codes, Gaussian, Prior, safe_log
from interalia.errors import UserError
from interalia.games.ali import DISTANCES, Autoencoding
from interalia.games.feeds import PartlyLabeled
from interalia.games.game import Joints, Needs, Outcome, Setup, module_dataclass


@module_dataclass
class AAE(Autoencoding):
    """An autoencoder whose aggregate posterior q(z) is matched to the prior by a critic of z alone.

        critic:       mean[softplus(-s(z))] + mean[softplus(s(z^))], z ~ p(z), z^ ~ q(z | x)
        autoencoder:  weight * (the mean over all numbers of x of (x - x^)^2) + adversarial * GAN's generator loss on s(z^)

    With `adversarial` 0 it is a plain autoencoder, whose critic only looks on. Encoder and decoder move together, by both
    terms; the published algorithm moves the encoder a second time in between.

    References:
        Adversarial Autoencoders, Alireza Makhzani and others, 2015, https://arxiv.org/abs/1511.05644

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps z to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: what the scores cost.
        penalty: a charge on the critic's gradient, or None.
        noise: instance noise on the z that the critic sees, or None.
        together: whether the critic sees both kinds of z in one pass, see `Game.score`.
        weight: of the reconstruction.
        distance: "mse" or "l1".
        adversarial: of the generator loss.

    Example:
        >>> from interalia.conditionals import Deterministic, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = AAE(Deterministic(MLP(2, 3)), Deterministic(MLP(3, 2)), PairCritic(MLP(3, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['autoencoder', 'critic']
    """

    players = {"autoencoder": ["encoder", "decoder"], "critic": ["critic"]}
    compares = ("prior", "posterior")
    name = "aae"
    title = "AAE (an adversarial autoencoder)"
    teaches = (
        "An autoencoder learns to give back what it is shown, by way of {latent}, while a critic tries to tell "
        "inferred latents from random ones: to deceive it, the encoder spreads the data over the whole prior, so "
        "that samples can be drawn."
    )

    weight: float = 10.0
    distance: Literal["mse", "l1"] = "mse"
    adversarial: float = 1.0

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "critic": s.judge(s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x).rsample()  # z^ ~ q(z | x)
        x_hat = self.decoder(z_hat).rsample()  # x^ ~ p(x | z^)
        return {"prior": (z,), "posterior": (z_hat,), "cycle": (x_hat, x)}

    def losses(self, joints: Joints) -> Outcome:
        outcome = super().losses(joints)
        lost = self.weight * DISTANCES[self.distance](*joints["cycle"])
        loss = lost + self.adversarial * outcome.losses["autoencoder"]
        return Outcome({**outcome.losses, "autoencoder": loss}, outcome.scores)


@module_dataclass
class SemiAAE(AAE):
    """AAE whose z is style and a category, z = [style | y^], and that is shown the labels of a few images.

        critic:       AAE's on z = [style | one-hot category] against z^, the softmax of the category's logits in place of y
        autoencoder:  AAE's + label_weight * (the cross-entropy of y^ on the labelled images)

    One critic judges style and category together, where the paper has one for each: their independence is asked for too.

    References:
        Adversarial Autoencoders, Alireza Makhzani and others, 2015, https://arxiv.org/abs/1511.05644 (section 5)

    Arguments:
        encoder: q(z | x), whose block for the category is a softmax; not a Gaussian.
        decoder, critic, divergence, penalty, noise, together, weight, distance, adversarial: as in AAE.
        prior: `Codes` with one category, of as many values as there are labels, and nothing else.
        label_weight: of the cross-entropy.

    Raises:
        UserError: the prior is another, or the encoder a Gaussian.
    """

    feeds = PartlyLabeled
    name = "semi-aae"
    title = "a semi-supervised AAE (an adversarial autoencoder that is shown some labels)"
    teaches = (
        "An autoencoder learns to give back what it is shown, by way of {latent}: a style and a class, for which "
        "it is shown the labels of a few inputs. A critic tries to tell both from random ones, so that samples "
        "can be drawn."
    )

    prior: Codes
    label_weight: float = 1.0

    def __post_init__(self) -> None:
        prior: Prior = self.prior
        if not isinstance(prior, Codes) or len(prior.categorical) != 1 or prior.uniform or prior.gaussian:
            raise UserError(
                "SemiAAE needs a prior of style and one category; give `prior='codes(categorical=[10], uniform=0)'` with as "
                "many categories as there are labels."
            )
        if isinstance(self.encoder, Gaussian):
            raise UserError(
                "SemiAAE's encoder answers a category's probabilities beside style; choose `encoder='deterministic'`."
            )

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        if s.classes < 2:
            raise UserError(f"{cls.__name__} reads labels, and there are fewer than 2; choose other data.")
        if isinstance(s.prior, Codes) and s.prior.categorical[:1] != (s.classes,):
            raise UserError(
                f"the data have {s.classes} labels, and the prior's category has {s.prior.description}; give "
                f"`prior='codes(categorical=[{s.classes}], uniform=0)'`."
            )
        z_hat = dataclasses.replace(s.z, category=s.classes)  # [style | the probabilities of the labels]
        return {**super().needs(s, **settings), "encoder": s.infer(s.x, z_hat)}

    def sample(self, *batch: Tensor) -> Joints:
        x, x_l, y = batch
        z = self.prior.sample((len(x),))  # z = [style, y] ~ p(z)
        both = self.encoder(torch.cat([x, x_l])).rsample()  # one pass, so that batch norm sees them mixed
        z_hat, z_l = both.split([len(x), len(x_l)])  # z^ ~ q(z | x)
        x_hat = self.decoder(z_hat).rsample()
        return {"prior": (z,), "posterior": (z_hat,), "cycle": (x_hat, x), "labelled": (z_l, y)}

    def losses(self, joints: Joints) -> Outcome:
        outcome = super().losses(joints)
        z_l, y = joints["labelled"]
        read = safe_log(z_l[:, self.prior.code_slice(0)])  # log of the softmax
        return outcome.plus(self.label_weight, autoencoder=cross_entropy(read, y))

    def classify(self, x: Tensor) -> Tensor:
        """The probability of each label, shape (n, labels)."""
        z: Tensor = self.encoder(x).mean
        return z[:, self.prior.code_slice(0)]
