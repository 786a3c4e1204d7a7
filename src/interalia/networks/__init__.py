"""Families of networks: those of the papers, and small ones that are chosen by the shape of the data.

`REGISTRY` maps the `name` of each family that is imported here to its class.
"""

from __future__ import annotations

from interalia.networks.family import Family as Family
from interalia.networks.specs import Critic as Critic
from interalia.networks.specs import Map as Map
from interalia.registry import Registry, by_name

# isort: off
# in the order in which they are listed
from interalia.networks.auto import Auto as Auto
from interalia.networks.conv import ALISVHN as ALISVHN, ALICIFAR10 as ALICIFAR10, ALICelebA as ALICelebA
from interalia.networks.conv import ALITinyImageNet as ALITinyImageNet, ALI28 as ALI28
from interalia.networks.perceptrons import ALIMixture as ALIMixture, ALICEToy as ALICEToy, BiGAN as BiGAN
from interalia.networks.perceptrons import Perceptrons as Perceptrons
from interalia.networks.draw import Draw as Draw
from interalia.networks.perceptrons import FGAN as FGAN
from interalia.networks.infogan import InfoGAN as InfoGAN
from interalia.networks.avb import AVB as AVB, AVBToy as AVBToy
from interalia.networks.translation import Translators as Translators

REGISTRY: Registry[type[Family]] = Registry("networks", by_name(globals(), Family), base=Family)
