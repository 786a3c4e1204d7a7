"""InfoGAN's networks for MNIST."""

from __future__ import annotations

from torch import nn

from interalia.errors import UserError
from interalia.networks.layers import Joint, Recogniser, Stack
from interalia.networks.mlp import hidden
from interalia.networks.sizes import Networks, Sizes


def infogan(sizes: Sizes, leak: float = 0.1) -> Networks:
    """InfoGAN's networks for MNIST, and for any images whose sides divide by 4: two strided convolutions and a layer of
    1,024 units in the critic, the same turned round in the decoder.

    The critic's trunk is shared by the score and, where codes are to be recognised, by the answers for them (128 units
    more). Batch norm everywhere but at the images and at the outputs; initial weights N(0, 0.02^2).

    References:
        InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial Nets, Xi Chen and
        others, 2016, https://arxiv.org/abs/1606.03657 (appendix C.1)

    Arguments:
        sizes: what has to fit.
        leak: of the critic's leaky ReLU.

    Raises:
        UserError: the data is no image whose sides divide by 4, or the networks are to be told labels.
    """
    if len(sizes.shape) != 3 or any(side % 4 or not side for side in sizes.shape[1:]):
        raise UserError(
            f"the networks 'infogan' are made for images whose sides divide by 4, and the data's shape is {sizes.shape}; "
            f"give --size 28, or --networks auto, which fit any shape."
        )
    if sizes.labels:
        raise UserError("the networks 'infogan' have no place for labels; use --networks auto, or leave out --labels.")
    channels, height, width = sizes.shape
    small = (128, height // 4, width // 4)
    flat = 128 * small[1] * small[2]

    last = nn.ConvTranspose2d(64, channels, 4, 2, 1)
    body = nn.Sequential(
        hidden(sizes.latent, 1024, 1, norm=True, leak=0),
        hidden(1024, flat, 1, norm=True, leak=0),
        nn.Unflatten(1, small),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
    )
    decoder = Stack(body, nn.Sequential(last, nn.Sigmoid()))

    trunk = nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1),
        nn.LeakyReLU(leak, inplace=True),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(leak, inplace=True),
        nn.Flatten(),
        hidden(flat, 1024, 1, norm=True, leak=leak),
    )
    score = nn.Linear(1024, 1)
    if sizes.answers:
        answers = nn.Sequential(hidden(1024, 128, 1, norm=True, leak=leak), nn.Linear(128, sizes.answers))
        return Networks(None, decoder, Recogniser(trunk, score, answers), 0.02)
    return Networks(None, decoder, Joint(score, trunk), 0.02)
