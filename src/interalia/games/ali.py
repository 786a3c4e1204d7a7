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
    """Returns a sample of a conditional given c, and its mean given other inputs, from one pass through its network.

    A batch norm in the network thus normalizes both inputs together. No gradient reaches `other`.

    Arguments:
        conditional: the conditional distribution.
        c: the inputs to sample at, shape (n, ...).
        other: the inputs to take the mean at, shape (m, ...); with y, m is n.
        y: the condition of each of the n samples, one tensor in a sequence; empty for an unconditional game.

    Returns:
        The samples, shape (n, ...), and the means, shape (m, ...).
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
    """Draws z^ ~ q(z | x, y) and x~ ~ p(x | z, y); also returns the pairs of tensors that further losses compare.

    Arguments:
        encoder: q(z | x, y).
        decoder: p(x | z, y).
        x: data, at least as many samples as z; the first as many are reconstructed.
        z: samples of the prior.
        y: the condition of each sample, one tensor in a sequence; empty for an unconditional game.
        sleep: True for the pair "sleep": the mean of q(z | x~, y), which passes no gradient to x~, and z.
        cycle: True for the pair "cycle": x^ ~ p(x | z^, y) and x.

    Returns:
        z^, x~, and a mapping of names to pairs.
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
    """Base class of games with an encoder, a decoder and a critic; its constructor arguments are those of `ALI`.

    The critic is one of the game's players.
    """

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns the specifications of the networks "encoder" q(z | x, y) and "decoder" p(x | z, y); subclasses add a
        "critic".

        y is the condition in `s`, if any. `settings`, the game's other constructor arguments, have no effect.
        """
        return {"encoder": s.infer(s.x, s.z), "decoder": s.decode(s.z, s.x)}


@module_dataclass
class ALI(Autoencoding):
    """ALI (adversarially learned inference): an encoder and a decoder against a critic of pairs (x, z).

    It matches the joint distributions q(x, z) = q(x) q(z | x) and p(x, z) = p(z) p(x | z). With s the critic's score,
    z^ ~ q(z | x), z ~ p(z) and x~ ~ p(x | z):

        critic:     mean[softplus(-s(x, z^))] + mean[softplus(s(x~, z))]
        generator:  mean[softplus(s(x, z^))] + mean[softplus(-s(x~, z))]

    BiGAN is this class with Deterministic conditionals. Other divergences replace the softplus losses. With batches (x, y) it
    is conditional ALI: encoder, decoder and critic take y, a one-hot label or attributes, as a further input. `mismatch` then
    makes the critic compare x with y, so that samples agree with their labels; see `TwoPlayers` for its loss.

    The sleep term fits the encoder to decoded samples:

        generator:  + sleep * (the mean over all dimensions of z of (z - m(x~))^2), with m(x~) the mean of q(z | x~)

    No gradient reaches x~, so only the encoder learns by it. Unlike a cycle-consistency loss it keeps ALI's optimum: where
    q(x, z) = p(x, z), m(x~) is also the mean of p(z | x~), and the expected gradient is 0. A step takes longer by one pass of
    the encoder over x~.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782
        The wake-sleep algorithm for unsupervised neural networks, Geoffrey E. Hinton and others, 1995,
        https://doi.org/10.1126/science.7761831 (the sleep phase)
        Generative Adversarial Text to Image Synthesis, Scott Reed and others, 2016, https://arxiv.org/abs/1605.05396
        (mismatched pairs)
        cGANs with Projection Discriminator, Takeru Miyato, Masanori Koyama, 2018, https://arxiv.org/abs/1802.05637

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: the adversarial loss.
        penalty: a penalty on the critic's gradient, or None.
        noise: instance noise or augmentation of the critic's input, or None.
        joint_batch: True for one pass of the critic over all pairs, so that its batch norm normalizes them
            together; False for one pass over each kind.
        sleep: the weight of the sleep term; 0 for none.
        mismatch: the largest share of mismatched pairs (x, z, another y) in the critic's loss, 0 for none; 0.5 is recommended
            for a conditional game. The critic that is built then also has a projection of y, see `PairCritic`.

    Raises:
        ValueError: `sleep` is negative, or `mismatch` is not in [0, 1].
        UserError: `sleep` is above 0, and the encoder has no exact mean.

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
        """Returns the losses that fit means to samples: name of the argument -> its value, and the conditional with the mean.

        The argument is the weight of the loss; at 0 there is no such loss.
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
        """Returns the specifications of the networks "encoder" q(z | x, y), "decoder" p(x | z, y) and "critic" of (x,
        z, y).

        y is the condition in `s`, if any. `settings`, the game's other constructor arguments, have no effect.
        """
        return {**super().needs(s, **settings), "critic": s.critic(s.x, s.z, mismatch=settings.get("mismatch", 0.0))}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z) and x~ ~ p(x | z); returns {"q": (x, z^), "p": (x~, z)}.

        In a conditional game the batch is (x, y), all distributions are also conditional on y, and y is appended to
        both tuples. With `sleep` there is also "sleep": (the mean of q(z | x~), z), and with `mismatch` "mismatched":
        (x, z^, another y).
        """
        return self.sample_joints(*batch)

    def sample_joints(self, x: Tensor, *y: Tensor, cycle: bool = False) -> Joints:
        """Draws what `sample` returns; with `cycle` also "cycle": (x^, x), with the reconstructions x^ ~ p(x | z^, y)."""
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat, x_tilde, pairs = infer_and_decode(self.encoder, self.decoder, x, z, y, self.sleep > 0, cycle)
        return self.with_mismatched({"q": (x, z_hat, *y), "p": (x_tilde, z, *y), **pairs}, y)

    def losses(self, joints: Joints) -> Outcome:
        """Returns the losses of both players; those of `mean_terms` are added to the generator's."""
        weights = {name: weight for name, (weight, _) in self.mean_terms().items()}
        return self.with_squares(super().losses(joints), joints, **weights)

    def with_squares(self, outcome: Outcome, joints: Joints, **weights: float) -> Outcome:
        """Returns a copy of the outcome with squared differences added to the first player's loss.

        Arguments:
            outcome: the losses and scores.
            joints: what `sample` returns; the entries named in `weights` are pairs of tensors (a, b) of one shape.
            weights: name of a pair -> the weight of the mean of (a - b)^2; names that `joints` lacks add nothing.
        """
        for name, weight in weights.items():
            if weight and name in joints:
                a, b = joints[name]
                loss: dict[str, Any] = {next(iter(self.players)): (a - b).square().mean()}
                outcome = outcome.with_losses(weight, **loss)
        return outcome


@module_dataclass
class PostHocALI(ALI):
    """Post-hoc ALI: trains only an encoder and a critic, for a pretrained generator that stays fixed.

        critic:   ALI's loss of the inferred pairs (x, z^) against the generated (x~, z)
        encoder:  ALI's generator loss, of which only the term in q(z | x) depends on the encoder

    Unlike in LatentRegressor, the encoder is trained on data: it matches q(x, z) to the p(x, z) of the fixed generator.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704 (section 4.4,
        "learned inference after the fact")

    Arguments:
        encoder, critic, prior: q(z | x), a critic that maps (x, z) to a score, shape (n,), and p(z).
        divergence, penalty, noise, joint_batch: the adversarial loss; a penalty on the critic's gradient, or None; noise or
            augmentation of its input, or None; True for one pass of the critic over all samples.
        sleep: the weight of the sleep term, see `ALI`; 0 for none.
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
        """Returns the specifications of the networks "encoder" q(z | x), "critic" of (x, z), and "decoder" p(x | z),
        pretrained.

        `settings`, the game's other constructor arguments, have no effect.
        """
        return {**super().needs(s, **settings), "decoder": Pretrained(s.decode(s.z, s.x))}
