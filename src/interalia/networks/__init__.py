"""Networks: the papers' as data, and small ones chosen from a shape."""

from __future__ import annotations

from collections.abc import Callable

from interalia.networks.auto import auto
from interalia.networks.avb import avb, avb_toy
from interalia.networks.conv import ali_28, ali_celeba, ali_cifar10, ali_svhn, ali_tiny_imagenet
from interalia.networks.draw import draw
from interalia.networks.fgan import fgan_mnist
from interalia.networks.infogan import infogan
from interalia.networks.mlp import ali_mixture, alice_toy, bigan_mlp, perceptrons
from interalia.networks.sizes import Networks, Sizes, Translators
from interalia.networks.translation import cyclegan
from interalia.registry import Registry

REGISTRY: Registry[Callable[..., Networks | Translators]] = Registry(
    "networks",
    {
        "auto": auto,
        "ali-svhn": ali_svhn,
        "ali-cifar10": ali_cifar10,
        "ali-celeba": ali_celeba,
        "ali-tiny-imagenet": ali_tiny_imagenet,
        "ali-28": ali_28,
        "ali-mixture": ali_mixture,
        "alice-toy": alice_toy,
        "bigan-mlp": bigan_mlp,
        "mlp": perceptrons,
        "draw": draw,
        "fgan-mnist": fgan_mnist,
        "infogan": infogan,
        "avb": avb,
        "avb-toy": avb_toy,
        "cyclegan": cyclegan,
    },
)

__all__ = ["REGISTRY", "Networks", "Sizes", "Translators"]
