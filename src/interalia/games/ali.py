"""Adversarially Learned Inference, BiGAN, and both after the fact: for a generator that is trained already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from interalia.adversarial.divergences import GAN
from interalia.conditionals import Conditional, Deterministic, Prior
from interalia.games.feeds import Labeled
from interalia.games.game import (
    Data,
    Disturbance,
    Divergence,
    Joints,
    Needs,
    Penalty,
    Setup,
    TwoPlayers,
    module_dataclass,
)
from interalia.games.needs import Given

# of a round trip from its start
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse_loss, "l1": l1_loss}
PAIRS = (
    "Three networks learn together: an encoder that infers {latent} from data, a decoder that makes data from z, "
    "and a critic that tries to tell the pairs (data, inferred z) from the pairs (made data, random z). "
)
TRAINED = (
    "The generator was trained before and stays as it is; an encoder is sought that infers {latent} from what it "
    "makes and from data. "
)


@module_dataclass
class Autoencoding(TwoPlayers):
    """A game of two players with an encoder and a decoder; see `ALI` for what its arguments are."""

    encoder: Conditional
    decoder: Conditional
    critic: nn.Module
    prior: Prior
    divergence: Divergence = GAN()
    penalty: Penalty | None = None
    noise: Disturbance | None = None
    together: bool = True

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {"encoder": s.infer(s.x, s.z), "decoder": s.decode(s.z, s.x)}


@module_dataclass
class ALI(Autoencoding):
    """Adversarially learned inference: an encoder and a decoder against a critic that judges pairs (x, z).

    Fed (x, y) it is conditional ALI: encoder, decoder and critic are told y, a label or attributes, beside x and z.

    q(x, z) = q(x) q(z | x) and p(x, z) = p(z) p(x | z) are matched, with s the critic's score:

        critic:     mean[softplus(-s(x, z^))] + mean[softplus(s(x~, z))]
        generator:  mean[softplus(s(x, z^))] + mean[softplus(-s(x~, z))]

    BiGAN is this class with Deterministic conditionals. Any other divergence takes the place of the softplus losses.

    References:
        Adversarially Learned Inference, Vincent Dumoulin and others, 2017, https://arxiv.org/abs/1606.00704
        Adversarial Feature Learning, Jeff Donahue, Philipp Krahenbuhl, Trevor Darrell, 2017,
        https://arxiv.org/abs/1605.09782

    Arguments:
        encoder: q(z | x).
        decoder: p(x | z).
        critic: maps (x, z) to a score, shape (n,), unbounded.
        prior: p(z).
        divergence: what the scores cost.
        penalty: a charge on the critic's gradient, or None.
        noise: what is done to the joints before the critic sees them, or None.
        together: whether the critic sees both joints in one pass, see `Game.score`.

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
    teaches = PAIRS + "Nothing asks for good reconstructions: they come about as far as the critic can no longer tell."

    @classmethod
    def titled(cls, encoder: type[Conditional] | None) -> str:
        deterministic = cls is ALI and encoder is Deterministic
        return "BiGAN (adversarially learned inference with a deterministic encoder)" if deterministic else cls.title

    @classmethod
    def needs(cls, s: Setup, **settings: Any) -> Needs:
        return {**super().needs(s, **settings), "critic": s.judge(s.x, s.z)}

    def sample(self, *batch: Tensor) -> Joints:
        x, *y = batch
        z = self.prior.sample((len(x),))  # z ~ p(z)
        z_hat = self.encoder(x, *y).rsample()  # z^ ~ q(z | x, y)
        x_tilde = self.decoder(z, *y).rsample()  # x~ ~ p(x | z, y)
        return {"q": (x, z_hat, *y), "p": (x_tilde, z, *y)}


@module_dataclass
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
        >>> from interalia.conditionals import Deterministic, Gaussian, StandardNormal
        >>> from interalia.networks.mlp import MLP, PairCritic
        >>> game = PostHocALI(Gaussian(MLP(2, 6)), Deterministic(MLP(3, 2)), PairCritic(MLP(5, 1)), StandardNormal(3))
        >>> sorted(game(torch.zeros(8, 2)).losses)
        ['critic', 'encoder']
    """

    players = {"encoder": ["encoder"], "critic": ["critic"]}
    feeds = Data
    name = "posthoc-ali"
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
