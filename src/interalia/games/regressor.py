"""Latent regressors: encoders that are trained to invert a generator, after its training or together with it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import field
from typing import Any, Literal

from torch import Tensor
from torch.nn.functional import mse_loss

from interalia import conditionals
from interalia.conditionals import Conditional, Deterministic, Gaussian, Prior, Uniform
from interalia.errors import UserError
from interalia.games.ali import DISTANCES
from interalia.games.game import Data, Game, Joints, Needs, Outcome, Setup, module_dataclass
from interalia.games.gan import GAN
from interalia.games.needs import Pretrained

Distance = Literal["auto", "mse", "l1", "cross-entropy"]


@module_dataclass
class LatentRegressor(Game):
    """Latent regressor: trains an encoder to invert a pretrained generator, by a regression loss on z.

        Gaussian encoder:  the mean over z ~ p(z) of -log q(z | G(z)) / d, with d the number of dimensions of z
        any other:         the mean over z and its dimensions of (z^ - z)^2, with z^ the encoder's output for G(z)

    G is the generator. These are the losses for `distance="auto"`. The encoder is trained
    on samples only: for data that G cannot generate, its z^ is arbitrary.

    See Also:
        JointLatentRegressor, which trains the generator at the same time; PostHocALI.

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782 (section 4.1, which takes the cross-entropy for z in [-1, 1])

    Arguments:
        encoder: q(z | x).
        decoder: G, p(x | z), pretrained; its weights and batch-norm statistics do not change.
        prior: p(z) that G was trained with.
        distance: "mse", "l1", "cross-entropy" of (1 + z) / 2 for z in [-1, 1], or "auto" for -log q(z | x) of a Gaussian
            encoder and "mse" of any other.

    Example:
        >>> import torch
        >>> from interalia.conditionals import StandardNormal
        >>> from interalia.networks.mlp import MLP
        >>> game = LatentRegressor(Deterministic(MLP(2, 3)), Deterministic(MLP(3, 2)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses), any(p.requires_grad for p in game.decoder.parameters())
        (['regressor'], False)
    """

    players = {"regressor": ["encoder"]}
    name = "latent-regressor"
    title = "a latent regressor (an encoder for a pretrained generator)"

    encoder: Conditional
    decoder: Conditional
    prior: Prior
    distance: Distance = "auto"

    def __post_init__(self) -> None:
        check_distance(self.distance, self.prior, self.encoder)
        self.freeze_pretrained()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x) and "decoder" p(x | z), which is pretrained.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {"encoder": s.infer(s.x, s.z), "decoder": Pretrained(s.decode(s.z, s.x))}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z ~ p(z) and x~ ~ p(x | z), one of each for each example of the batch; returns {"model": (x~, z)}.

        The examples themselves are not used.
        """
        z = self.prior.sample((len(batch[0]),))  # z ~ p(z)
        return {"model": (self.decoder(z).sample(), z)}  # x~ ~ p(x | z), which no player trains

    def losses(self, joints: Joints) -> Outcome:
        """Returns the loss of the only player, "regressor": the error of the encoder's prediction of z from x~, which the
        pretrained decoder generated from z.

        `distance` is the kind of error; by default it is -log q(z | x~) for a Gaussian encoder, else the squared error.
        `joints` are the samples that `sample` returned.
        """
        return Outcome({"regressor": regression_loss(self.encoder, self.distance, *joints["model"])})


@module_dataclass
class JointLatentRegressor(GAN):
    """GAN with a joint latent regressor: an encoder predicts z from samples, and its loss also trains the generator.

        critic:     GAN's
        regressor:  R, as LatentRegressor's
        generator:  GAN's + weight R

    Unlike InfoGAN's recognizer the encoder shares no weights with the critic, and R is not in the critic's loss.

    References:
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782 (section 4.1)

    Arguments:
        encoder: q(z | x).
        distance: "mse", "l1", "cross-entropy" of (1 + z) / 2 for z in [-1, 1], or "auto" for -log q(z | x) of a Gaussian
            encoder and "mse" of any other.
        decoder, critic, prior: p(x | z), a critic that maps x to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        weight: the weight of R in the generator's loss. The authors' program (https://github.com/jeffdonahue/bigan) has
            0.25, because a weight of 1 gives a degenerate solution.

    Example:
        >>> import torch
        >>> from interalia.conditionals import StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> decoder, encoder = Deterministic(MLP(3, 2)), Deterministic(MLP(2, 3))
        >>> game = JointLatentRegressor(decoder, PairCritic(MLP(2, 1)), StandardNormal(3), encoder=encoder)
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'generator', 'regressor']
    """

    players = {"generator": ["decoder"], "critic": ["critic"], "regressor": ["encoder"]}
    feeds = Data
    name = "joint-latent-regressor"
    title = "a GAN with a joint latent regressor"
    loss_weights = ("weight",)

    encoder: Conditional = field(kw_only=True)
    weight: float = 0.25
    distance: Distance = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_distance(self.distance, self.prior, self.encoder)

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "decoder" p(x | z) and "critic" of x.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {"encoder": s.infer(s.x, s.z), **super().needs(s, **settings)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z ~ p(z) and x~ ~ p(x | z) for a batch (x,).

        Returns:
            {"data": (x,), "model": (x~,), "latent": (x~, z)}
        """
        (x,) = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        x_tilde = self.decoder(z).rsample()  # x~ ~ p(x | z)
        return {"data": (x,), "model": (x_tilde,), "latent": (x_tilde, z)}

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of "critic", "regressor" and "generator": GAN's for the critic, R for the regressor, and
        GAN's plus `weight` R for the generator.

        R is the error of the encoder's prediction of z from the sample x~ that is generated from z, measured by
        `distance`. `joints` are the samples that `sample` returned.
        """
        outcome = super().losses(joints)
        loss = regression_loss(self.encoder, self.distance, *joints["latent"])
        return outcome.with_losses(self.weight, generator=loss).with_losses(1.0, regressor=loss)


def check_distance(distance: Distance, prior: Prior, encoder: Conditional) -> None:
    """Raises a UserError if the distance is "cross-entropy" and the prior or the encoder does not support it.

    It needs z in [-1, 1], hence the uniform prior, and an encoder whose output lies there, hence not a Gaussian one.
    """
    if distance == "cross-entropy" and not isinstance(prior, Uniform):
        raise UserError("the cross-entropy needs z in [-1, 1]; choose `prior='uniform'`, or another distance.")
    if distance == "cross-entropy" and isinstance(encoder, Gaussian):
        raise UserError(
            "the cross-entropy needs an encoder with outputs in [-1, 1], and a Gaussian's mean is unbounded; choose "
            "`encoder='deterministic'`, or another distance."
        )


def regression_loss(encoder: Conditional, distance: Distance, x: Tensor, z: Tensor) -> Tensor:
    """Returns the loss of the encoder's prediction of z from x, a scalar: the mean over the batch and all dimensions.

    Arguments:
        encoder: q(z | x).
        distance: "mse" or "l1" between z and its prediction; "cross-entropy" of (1 + z) / 2 for z in [-1, 1]; "auto" for
            -log q(z | x) per dimension of a Gaussian encoder, and "mse" for any other.
        x: samples that the generator made, shape (n, ...).
        z: the latents that the samples were generated from, shape (n, d).
    """
    with conditionals.ActivationRecorder("tanh") if distance == "cross-entropy" else nullcontext() as recorder:
        q = encoder(x)
        if distance == "auto" and isinstance(encoder, Gaussian):
            return -q.log_prob(z).mean() / z.shape[1]
        z_hat = q.mean if isinstance(encoder, Gaussian | Deterministic) else q.rsample()
    if recorder is not None:
        half = recorder.pre_activation(z_hat)  # (1 + tanh(a)) / 2 = sigmoid(2 a)
        logits = conditionals.safe_logit((1 + z_hat) / 2) if half is None else 2 * half
        return -conditionals.log_bernoulli((1 + z) / 2, logits).mean()
    return DISTANCES.get(distance, mse_loss)(z_hat, z)
