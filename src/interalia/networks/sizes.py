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
        infers: whether there is an encoder, and a critic of pairs; without, the critic sees x alone.
        bounded: whether z lies in [-1, 1], so that the encoder's answer has to.
    """

    shape: tuple[int, ...]
    latent: int
    heads: int = 2
    noise: int = 0
    infers: bool = True
    bounded: bool = False


@dataclass(frozen=True)
class Networks:
    """The networks of a game, not yet initialised by any paper's rule.

    Attributes:
        encoder: x -> (n, heads * latent); None where nothing is inferred.
        decoder: z -> x.
        critic: (x, z) or (x,) -> (n,).
        std: the standard deviation of the initial weights; None keeps PyTorch's own initialisation.
        output_bias: the bias before the decoder's sigmoid, to be set from the mean image; None where there is none.
    """

    encoder: nn.Module | None
    decoder: nn.Module
    critic: nn.Module
    std: float | None = None
    output_bias: nn.Parameter | None = None
