"""What a builder of networks is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Sizes:
    """What the networks of a game have to fit.

    Attributes:
        shape: of one x: (channels, height, width) or (d,).
        latent: the dimensions of z.
        heads: how many numbers the encoder answers for each dimension of z: 2 for a Gaussian, 1 otherwise.
        noise: how many dimensions of noise are concatenated to the encoder's input.
        infers: whether there is an encoder.
        judges: what the critic judges: x, z, or the pair xz.
        lower: the dimensions of a lower level of latents between x and z; 0 for none. Encoder and decoder are then x -> lower
            and lower -> x, and `interalia.networks.mlp.upper` makes those between the levels.
        classes: how many logits the critic answers, of which its score is the log of the summed exponentials; 0 for a plain
            score.
        cycle: whether a second critic, of pairs (x, x'), is wanted.
        categories: how many of the encoder's last answers are the probabilities of a category.
        bounded: whether z lies in [-1, 1], so that the encoder's answer has to.
        labels: the dimensions of y, which all networks are told; 0 where nothing is conditioned on.
        answers: how many numbers the critic answers beside its score, about the codes in z (InfoGAN); 0 for none.
        separate: whether the critic's terms (of x, of z, of the pair) are wanted apart, shape (n, 3), and not as a sum.
        other: the shape of one x of the second domain, where there are two to translate between.
    """

    shape: tuple[int, ...]
    latent: int
    heads: int = 2
    noise: int = 0
    infers: bool = True
    judges: str = "xz"
    lower: int = 0
    classes: int = 0
    cycle: bool = False
    bounded: bool = False
    categories: int = 0
    labels: int = 0
    answers: int = 0
    separate: bool = False
    other: tuple[int, ...] | None = None

    @property
    def given(self) -> int:
        """The numbers that the encoder is given beside x: y, and noise."""
        return self.labels + self.noise

    @property
    def told(self) -> int:
        """The numbers that the decoder is given: z or the lower level, and y beside it."""
        return self.inferred + self.labels

    @property
    def inferred(self) -> int:
        """The dimensions of what the encoder infers: z, or the lower level."""
        return self.lower or self.latent

    @property
    def beside(self) -> int:
        """The numbers that the critic judges beside x: z where it judges pairs, and y; 0 for x alone."""
        return (self.infers and "z" in self.judges) * (self.latent + self.lower) + self.labels


@dataclass(frozen=True)
class Networks:
    """The networks of a game, not yet initialised by any paper's rule.

    Attributes:
        encoder: x -> (n, heads * latent); None where nothing is inferred.
        decoder: z -> x.
        critic: (x, z) or (x,) -> (n,); a `Recogniser` where it answers for codes.
        std: the standard deviation of the initial weights; None keeps PyTorch's own initialisation.
        cycle_critic: (x, x') -> (n,); None where there is none.
        output_bias: the bias before the decoder's sigmoid, to be set from the mean image; None where there is none.
    """

    encoder: nn.Module | None
    decoder: nn.Module
    critic: nn.Module
    std: float | None = None
    output_bias: nn.Parameter | None = None
    cycle_critic: nn.Module | None = None


@dataclass(frozen=True)
class Translators:
    """The networks of a game between two domains a and b.

    Attributes:
        to_b: a -> b.
        to_a: b -> a.
        critic_a: an image of domain a -> scores, shape (n,), or (n, height, width) of patches.
        critic_b: the same for domain b.
        std: as in `Networks`.
    """

    to_b: nn.Module
    to_a: nn.Module
    critic_a: nn.Module
    critic_b: nn.Module
    std: float | None = None
