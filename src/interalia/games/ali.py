"""Adversarially learned inference (ALI), which includes BiGAN, and its form for a pretrained generator (post-hoc ALI)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from interalia.conditionals import Conditional, Deterministic
from interalia.games.feeds import Labeled
from interalia.games.game import Data, Joints, Needs, Setup, TwoPlayers, module_dataclass
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
    is conditional ALI: encoder, decoder and critic take y, a one-hot label or attributes, as a further input.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: the adversarial loss.
        penalty: a penalty on the critic's gradient, or None.
        noise: instance noise or augmentation of the critic's input, or None.
        joint_batch: True for one pass of the critic over both kinds of pairs, so that its batch norm normalizes them
            together; False for one pass over each.

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
        return {**super().needs(s, **settings), "critic": s.critic(s.x, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        """Draws z^ ~ q(z | x), z ~ p(z) and x~ ~ p(x | z) for a batch (x,), or (x, y) in a conditional game.

        Returns:
            {"q": (x, z^), "p": (x~, z)}. In a conditional game all but p(z) are also conditional on y, and y ends both
                tuples.
        """
        x, *y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x, *y).rsample()  # z^ ~ q(z | x, y)
        x_tilde = self.decoder(z, *y).rsample()  # x~ ~ p(x | z, y)
        return {"q": (x, z_hat, *y), "p": (x_tilde, z, *y)}


@module_dataclass
class PostHocALI(ALI):
    """Post-hoc ALI: trains only an encoder and a critic, for a pretrained generator, which does not change.

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
        self.freeze_pretrained()

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        """Returns the specifications of the networks "encoder" q(z | x), "critic" of (x, z), and "decoder" p(x | z),
        pretrained.

        `settings`, the game's other constructor arguments, have no effect.
        """
        return {**super().needs(s, **settings), "decoder": Pretrained(s.decode(s.z, s.x))}
