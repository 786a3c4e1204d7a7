"""Adversarially learned inference (ALI), which includes BiGAN, and its form for a pretrained generator (post-hoc ALI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from interalia.conditionals import Conditional, Deterministic
from interalia.errors import UserError, check_range
from interalia.games.feeds import Labeled
from interalia.games.game import Data, Joints, Needs, Outcome, Setup, TwoPlayers, module_dataclass
from interalia.games.needs import Pretrained
from interalia.networks.layers import FieldModule

# reconstruction losses by name
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse_loss, "l1": l1_loss}


def decode_together(decoder: Conditional, *latents: Tensor, y: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
    """Returns one batch of samples x ~ p(x | z, y) for each batch of latents z, from one pass through the decoder.

    A batch norm in the decoder thus normalizes the batches together.

    Arguments:
        decoder: p(x | z, y).
        latents: one or more batches of z, all of the same size n.
        y: the condition of each of the n latents of a batch, one tensor in a sequence; empty for an unconditional game.
    """
    count = len(latents)
    return decoder(torch.cat(latents), *(part.repeat(count, 1) for part in y)).rsample().chunk(count)


def sample_and_mean(
    conditional: Conditional, c: Tensor, other: Tensor, y: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """Returns samples of a conditional distribution given the inputs c, and its means given other inputs.

    Both come from one pass through its network, so that a batch norm normalizes both inputs together. No gradient
    reaches `other`.

    Arguments:
        conditional: the conditional distribution.
        c: the inputs for which samples are drawn, shape (n, ...).
        other: the inputs for which means are returned, shape (m, ...); m must be n unless y is empty.
        y: the condition of each of the n inputs, one tensor in a sequence; empty for an unconditional game.

    Returns:
        The samples given c, shape (n, ...), and the means given `other`, shape (m, ...).
    """
    found = conditional(torch.cat([c, other.detach()]), *(part.repeat(2, 1) for part in y))
    return found.rsample()[: len(c)], found.mean[len(c) :]


def infer_and_decode(
    encoder: Conditional,
    decoder: Conditional,
    x: Tensor,
    z: Tensor,
    y: Sequence[Tensor] = (),
    sleep: bool = False,
    cycle: bool = False,
) -> tuple[Tensor, Tensor, Joints]:
    """Draws z^ ~ q(z | x, y) and x~ ~ p(x | z, y), and returns them and the pairs of tensors that further losses
    compare.

    Arguments:
        encoder: q(z | x, y).
        decoder: p(x | z, y).
        x: the data, n samples; n or more if y is empty.
        z: n samples of the latents that are decoded, such as samples of the prior.
        y: the condition of each sample, one tensor in a sequence; empty for an unconditional game.
        sleep: True for a pair "sleep": the mean of q(z | x~, y), which passes no gradient to x~, and z.
        cycle: True for a pair "cycle": reconstructions x^ ~ p(x | z^, y) of the first n samples of x, and these.

    Returns:
        (z^, x~, pairs): z^ for each sample of x, x~ for each of z, and name -> pair of tensors, empty if `sleep` and
            `cycle` are False.
    """
    n, pairs = len(z), Joints()
    if sleep:  # x~ comes first, so that one pass of the encoder takes x and x~
        x_tilde = decoder(z, *y).rsample()
        z_hat, mean = sample_and_mean(encoder, x, x_tilde, y)
        x_hat = [decoder(z_hat[:n], *y).rsample()] if cycle else []
        pairs["sleep"] = (mean, z.detach())
    else:
        z_hat = encoder(x, *y).rsample()
        x_tilde, *x_hat = decode_together(decoder, z, *([z_hat[:n]] if cycle else []), y=y)
    if cycle:
        pairs["cycle"] = (*x_hat, x[:n])
    return z_hat, x_tilde, pairs


@module_dataclass
class Encoding(FieldModule):
    """Base class that puts the constructor argument `encoder`, a conditional distribution q(z | x), before a game's
    others.
    """

    encoder: Conditional


@module_dataclass
class Autoencoding(TwoPlayers, Encoding):  # fields of the last base class come first in the constructor
    """Base class of games with an encoder, a decoder and a critic, which is one of the game's players.

    Its constructor arguments are encoder, decoder, critic, prior, divergence, penalty, noise and joint_batch, as in `ALI`.
    """

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x, y) and "decoder" p(x | z, y); subclasses add
        a "critic".

        y is the condition in `s`, if any. `settings`, the game's constructor arguments besides the networks, have no
        effect.
        """
        return {"encoder": s.infer(s.x, s.z), "decoder": s.decode(s.z, s.x)}


@module_dataclass
class ALI(Autoencoding):
    """ALI (adversarially learned inference): an encoder and a decoder against a critic of pairs (x, z).

    It matches the joint distributions q(x, z) = q(x) q(z | x) and p(x, z) = p(z) p(x | z). With s the critic's score,
    z^ ~ q(z | x), z ~ p(z) and x~ ~ p(x | z):

        critic:     mean[softplus(-s(x, z^))] + mean[softplus(s(x~, z))]
        generator:  mean[softplus(s(x, z^))] + mean[softplus(-s(x~, z))]

    BiGAN is this class with Deterministic conditionals. Other divergences replace the softplus losses. With batches (x,
    y) it is conditional ALI: encoder, decoder and critic take y, a one-hot label or attributes, as a further input.
    With `mismatch`, the critic then also learns to score mismatched pairs low, i.e. (x, z^) with a y that is not that of
    x, so that generated samples agree with their y; `TwoPlayers` has its loss.

    With `sleep`, a further loss, that of the sleep phase of the wake-sleep algorithm, fits the encoder to decoded
    samples:

        generator:  + sleep * (the mean over all dimensions of z of (z - m(x~))^2), with m(x~) the mean of q(z | x~)

    No gradient reaches x~, so that this loss trains only the encoder. Unlike a cycle-consistency loss it keeps ALI's
    optimum: where q(x, z) = p(x, z), m(x~) is also the mean of p(z | x~), and the expected gradient is 0. The
    encoder then takes x and x~ in one pass, so that a batch norm in it normalizes both together.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782
        The wake-sleep algorithm for unsupervised neural networks, Geoffrey E. Hinton and others, 1995,
        https://doi.org/10.1126/science.7761831 (the sleep phase)
        Generative Adversarial Text to Image Synthesis, Scott Reed and others, 2016, https://arxiv.org/abs/1605.05396
        (mismatched pairs)
        cGANs with Projection Discriminator, Takeru Miyato, Masanori Koyama, 2018, https://arxiv.org/abs/1802.05637
        (the projection of y)

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: the adversarial loss.
        penalty: a penalty on the critic's gradient, or None.
        noise: instance noise or augmentation of the critic's input, or None.
        joint_batch: True for one pass of the critic over all pairs, so that its batch norm normalizes them
            together; False for one pass each over (x, z^), (x~, z) and mismatched pairs.
        sleep: the weight of the sleep phase's loss; 0 for none.
        mismatch: the share of mismatched pairs (x, z^, another y) in the critic's loss, 0 for none, but at most
            m / (m + 9), with m the number of attributes, or of labels minus 1: 0.1 for 2 labels, 0.5 for 10. It needs a
            conditional game, for which 0.5 is recommended. Above 0, the critic that a run builds also adds a projection
            of y to its score, see `PairCritic`.

    Raises:
        ValueError: `sleep` is negative, or `mismatch` is not in [0, 1].
        UserError: `sleep` is above 0, and the encoder cannot compute the exact mean of q(z | x).

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = ALI(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'generator']
    """

    players = {"generator": ["encoder", "decoder"], "critic": ["critic"]}
    feeds: ClassVar[type[Data]] = Labeled
    name = "ali"
    title = "ALI (adversarially learned inference)"

    sleep: float = field(default=0.0, kw_only=True)
    mismatch: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, (weight, conditional) in self.mean_terms().items():
            check_range(weight >= 0, "a weight is 0 or more", **{name: weight})
            if weight and not (conditional.has_moments or isinstance(conditional, Deterministic)):
                raise UserError(
                    f"`{name}` needs the exact mean of a conditional, and {type(conditional).__name__} has none; choose "
                    f"another `encoder`, such as gaussian, or leave `{name}` out."
                )

    def mean_terms(self) -> dict[str, tuple[float, Conditional]]:
        """Returns the weight of each loss that fits the mean of a conditional to samples, and that conditional.

        Returns:
            {"sleep": (the argument `sleep`, the encoder)}; subclasses may have others. A weight of 0 means no such
                loss.
        """
        return {"sleep": (self.sleep, self.encoder)}

    @classmethod
    def title_for(cls, encoder: type[Conditional] | None) -> str:
        """Returns the title of the game for reports, a noun phrase: that of BiGAN if the encoder is deterministic.

        Subclasses have the same title with each encoder.

        Arguments:
            encoder: the class of the game's encoder; None for a game without one.
        """
        deterministic = cls is ALI and encoder is Deterministic
        return "BiGAN (adversarially learned inference with a deterministic encoder)" if deterministic else cls.title

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x, y), "decoder" p(x | z, y) and "critic" of
        (x, z, y).

        y is the condition in `s`, if any. `settings` are the game's constructor arguments besides the networks; if
        `mismatch` is above 0, the critic of a conditional game adds a projection of y to its score, see `PairCritic`.
        """
        return {**super().needs(s, **settings), "critic": s.critic(s.x, s.z, mismatch=settings.get("mismatch", 0.0))}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z) and x~ ~ p(x | z) for a batch (x,), or (x, y) in a conditional game.

        Returns:
            {"q": (x, z^), "p": (x~, z)}. In a conditional game all but p(z) are also conditional on y, and y ends both
                tuples. With `sleep` there is also "sleep": (the mean of q(z | x~), z), and in a conditional game with
                `mismatch` "mismatched": (x, z^, another y).
        """
        return self.sample_joints(*batch)

    def sample_joints(self, x: Tensor, *y: Tensor, cycle: bool = False) -> Joints:
        """Draws the samples that `sample` returns, for data x and, in a conditional game, their y.

        With `cycle` there is also "cycle": (x^, x), with the reconstructions x^ ~ p(x | z^, y).
        """
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat, x_tilde, pairs = infer_and_decode(self.encoder, self.decoder, x, z, y, self.sleep > 0, cycle)
        return self.with_mismatched({"q": (x, z_hat, *y), "p": (x_tilde, z, *y), **pairs}, y)

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of both players from the critic's scores on (x, z^), (x~, z) and any mismatched pairs.

        The players are "critic" and "generator", or "encoder" in `PostHocALI`. To the loss of the player other than the
        critic are added those that `mean_terms` names: each weight times the mean of (a - b)^2, for the pair (a, b) of
        this name in `joints`. `joints` are the samples that `sample` returned.
        """
        weights = {name: weight for name, (weight, _) in self.mean_terms().items()}
        return self.with_squares(super().losses(joints), joints, **weights)

    def with_squares(self, outcome: Outcome, joints: Joints, **weights: float) -> Outcome:
        """Returns the outcome with weighted mean squared differences added to the loss of the player other than the
        critic.

        Arguments:
            outcome: the losses and scores so far.
            joints: the samples that `sample` returned, with pairs of tensors (a, b) of one shape under names in
                `weights`.
            weights: name of a pair -> the factor of the mean of (a - b)^2; names that `joints` lacks add nothing.
        """
        for name, weight in weights.items():
            if weight and name in joints:
                a, b = joints[name]
                loss: dict[str, Any] = {next(iter(self.players)): (a - b).square().mean()}
                outcome = outcome.with_losses(weight, **loss)
        return outcome


@module_dataclass
class PostHocALI(ALI):
    """Post-hoc ALI: trains only an encoder and a critic, for a pretrained generator, which does not change.

        critic:   ALI's loss of the inferred pairs (x, z^) against the generated (x~, z)
        encoder:  ALI's generator loss, of which only the term in q(z | x) depends on the encoder

    Unlike in LatentRegressor, the encoder is trained on data: it matches q(x, z) to the p(x, z) of the fixed generator.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.5,
        "post-hoc learned inference")

    Arguments:
        encoder, critic, prior: q(z | x), a critic that maps (x, z) to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        sleep: the weight of the mean of (z - m(x~))^2 in the encoder's loss, with m(x~) the mean of q(z | x~); 0 for
            none.
        decoder: p(x | z), pretrained; its weights and batch-norm statistics do not change.

    Example:
        >>> import torch
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = PostHocALI(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'encoder']
    """

    players = {"encoder": ["encoder"], "critic": ["critic"]}
    feeds = Data
    name = "posthoc-ali"
    title = "post-hoc ALI (an encoder for a pretrained generator)"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.freeze_pretrained()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns name -> specification of the networks "encoder" q(z | x), "critic" of (x, z), and "decoder" p(x | z),
        pretrained.

        `settings`, the game's constructor arguments besides the networks, have no effect.
        """
        return {**super().needs(s, **settings), "decoder": Pretrained(s.decode(s.z, s.x))}
