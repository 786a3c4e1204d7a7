"""The adversarial autoencoder (AAE), and its semi-supervised form, which also learns to predict labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

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
    """AAE (adversarial autoencoder): an autoencoder, and a critic that drives the distribution of its latents to the
    prior.

        critic:       mean[softplus(-s(z))] + mean[softplus(s(z^))], z ~ p(z), z^ ~ q(z | x), s the critic's score
        autoencoder:  weight * (the mean over all numbers of x of (x - x^)^2) + adversarial * GAN's generator loss on s(z^)

    with x^ ~ p(x | z^) the reconstruction. With `adversarial=0` it is a plain autoencoder whose critic has no effect. One
    step updates encoder and decoder by both terms; the published algorithm takes one step for each term.

    References:
        Adversarial Autoencoders, Alireza Makhzani and others, 2015, https://arxiv.org/abs/1511.05644

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps z to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: the adversarial loss.
        penalty: a penalty on the critic's gradient, or None.
        noise: instance noise on the critic's input z, or None.
        joint_batch: True for one pass of the critic over both kinds of z, so that its batch norm normalizes them
            together; False for one pass over each.
        weight: the weight of the reconstruction loss.
        distance: the reconstruction loss, "mse" or "l1"; with "l1" it is the mean of |x - x^|.
        adversarial: the weight of the generator loss, which drives z^ to the prior.

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
    loss_weights: ClassVar[Sequence[str]] = ("weight", "adversarial")

    weight: float = 10.0
    distance: Literal["mse", "l1"] = "mse"
    adversarial: float = 1.0

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder" p(x | z) and "critic", which
        scores z.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {**super().needs(s, **settings), "critic": s.critic(s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z ~ p(z), z^ ~ q(z | x) and x^ ~ p(x | z^) for a batch (x,).

        Returns:
            {"prior": (z,), "posterior": (z^,), "cycle": (x^, x)}
        """
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x).rsample()  # z^ ~ q(z | x)
        x_hat = self.decoder(z_hat).rsample()  # x^ ~ p(x | z^)
        return {"prior": (z,), "posterior": (z_hat,), "cycle": (x_hat, x)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of the critic and of the autoencoder, and the critic's scores on z and z^.

        The critic's loss is that of separating z ~ p(z) from the inferred z^. The autoencoder's is `weight` times the
        reconstruction loss plus `adversarial` times the generator loss. `joints` are the samples that `sample`
        returned.
        """
        outcome = super().losses(joints)
        reconstruction_loss = DISTANCES[self.distance](*joints["cycle"])
        loss = self.weight * reconstruction_loss + self.adversarial * outcome.losses["autoencoder"]
        return Outcome({**outcome.losses, "autoencoder": loss}, outcome.scores)


@module_dataclass
class SemiAAE(AAE):
    """Semi-supervised AAE: its z consists of a style and a category, and the category is trained to be the label of x.

    Only a few images have labels. With z = [style | category] and y^ the softmax of the inferred category's logits:

        critic:       AAE's on z = [style | one-hot category] against z^, with the softmax of the category's logits as y^
        autoencoder:  AAE's + label_weight * (the cross-entropy of y^ on the labeled images)

    One critic scores style and category together; the paper has one critic for each. So this game also makes the two
    independent.

    References:
        Adversarial Autoencoders, Alireza Makhzani and others, 2015, https://arxiv.org/abs/1511.05644 (section 5)

    Arguments:
        encoder: q(z | x), with a softmax for the category; not a Gaussian.
        decoder, critic: p(x | z), and a critic that maps z to a score, shape (n,).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        weight, distance, adversarial: the weight of the reconstruction loss, the loss ("mse" or "l1"), and the weight of
            the generator loss.
        prior: `Codes` with one category, which has one value for each label, and no other codes.
        label_weight: the weight of the cross-entropy of the labeled images.

    Raises:
        UserError: the prior has other codes, or the encoder is a Gaussian.
    """

    feeds = PartlyLabeled
    name = "semi-aae"
    title = "semi-supervised AAE (an adversarial autoencoder with some labels)"
    loss_weights = (*AAE.loss_weights, "label_weight")

    prior: Codes
    label_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        prior: Prior = self.prior
        if not isinstance(prior, Codes) or len(prior.categorical) != 1 or prior.uniform or prior.gaussian:
            raise UserError(
                "SemiAAE needs a prior of style and one category; give `prior='codes(categorical=[10], uniform=0)'` with one "
                "value for each label."
            )
        if isinstance(self.encoder, Gaussian):
            raise UserError(
                "SemiAAE's encoder returns the probabilities of a category, and a Gaussian has none; choose "
                "`encoder='deterministic'`."
            )

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder", "decoder" and "critic", which scores z.

        The encoder returns a style and the probabilities of the labels. `settings`, the game's constructor arguments
        besides the networks, have no effect.

        Raises:
            UserError: the data have fewer than two labels, or the prior's category has another number of values.
        """
        if s.classes < 2:
            raise UserError(f"{cls.__name__} needs data with 2 labels or more; choose other data.")
        if isinstance(s.prior, Codes) and s.prior.categorical[:1] != (s.classes,):
            raise UserError(
                f"the data have {s.classes} labels, and the prior's category has {s.prior.description}; give "
                f"`prior='codes(categorical=[{s.classes}], uniform=0)'`."
            )
        z_hat = dataclasses.replace(s.z, category=s.classes)  # [style | the probabilities of the labels]
        return {**super().needs(s, **settings), "encoder": s.infer(s.x, z_hat)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z ~ p(z), z^ ~ q(z | x), x^ ~ p(x | z^) and z_l ~ q(z | x_l) for a batch (x, x_l, y).

        y are the one-hot labels of the inputs x_l; x have no labels. Each z is [style | category].

        Returns:
            {"prior": (z,), "posterior": (z^,), "cycle": (x^, x), "labeled": (z_l, y)}
        """
        x, x_l, y = batch
        z = self.prior.sample((len(x),))  # z = [style, y] ~ p(z)
        both = self.encoder(torch.cat([x, x_l])).rsample()  # one pass, so that batch norm normalizes them together
        z_hat, z_l = both.split([len(x), len(x_l)])  # z^ ~ q(z | x)
        x_hat = self.decoder(z_hat).rsample()
        return {"prior": (z,), "posterior": (z_hat,), "cycle": (x_hat, x), "labeled": (z_l, y)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of AAE's critic and autoencoder, with the cross-entropy of the labeled inputs added to the
        latter.

        The cross-entropy is multiplied by the argument `label_weight`. `joints` are the samples that `sample` returned.
        """
        outcome = super().losses(joints)
        z_l, y = joints["labeled"]
        log_probabilities = safe_log(z_l[:, self.prior.code_slice(0)])
        return outcome.with_losses(self.label_weight, autoencoder=cross_entropy(log_probabilities, y))

    def classify(self, x: Tensor) -> Tensor:
        """Returns the probability of each label for each x, shape (n, labels): the category in the mean of q(z | x)."""
        z: Tensor = self.encoder(x).mean
        return z[:, self.prior.code_slice(0)]
