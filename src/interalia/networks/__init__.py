"""Families of networks: the papers' as data, and small ones chosen from a shape."""

from __future__ import annotations

from interalia.networks.auto import Auto
from interalia.networks.avb import AVB, AVBToy
from interalia.networks.conv import ALI28, ALICIFAR10, ALISVHN, ALICelebA, ALITinyImageNet
from interalia.networks.draw import Draw
from interalia.networks.family import Family
from interalia.networks.infogan import InfoGAN
from interalia.networks.needs import Critic, Map
from interalia.networks.perceptrons import FGAN, ALICEToy, ALIMixture, BiGAN, Perceptrons
from interalia.networks.translation import Translators
from interalia.registry import Registry

FAMILIES: tuple[type[Family], ...] = (
    Auto, ALISVHN, ALICIFAR10, ALICelebA, ALITinyImageNet, ALI28, ALIMixture, ALICEToy, BiGAN, Perceptrons, Draw, FGAN,
    InfoGAN, AVB, AVBToy, Translators,
)  # fmt: skip
REGISTRY: Registry[type[Family]] = Registry("networks", {family.name: family for family in FAMILIES}, base=Family)

__all__ = ["REGISTRY", "Critic", "Family", "Map"]
