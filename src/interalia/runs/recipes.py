"""Named runs, from ``recipes.toml``. A recipe is a function of overrides: ``recipes.ali_mnist(steps=500, seed=3)``.

Names that end in ``-paper`` follow the paper, ``-report`` the reproduction report; the others are this library's own
settings, tuned once on validation data of small images and used for all of them alike: ALI with ALICE's round trip
(`game="ali"` is ALI alone).
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from interalia.registry import Registry
from interalia.runs import Run
from interalia.runs.folder import matching_generator

Recipe = Callable[..., Run]


def recipe(run: Run, about: str) -> Recipe:
    """The recipe of a run: it takes overrides, and the latents and the prior of a generator among them, unless they are
    given too."""

    def made(**overrides: Any) -> Run:
        return matching_generator(run.replace(**overrides), overrides)

    made.__name__ = made.__qualname__ = run.name.replace("-", "_")
    made.__doc__ = about
    return made


TABLES = tomllib.loads(resources.files("interalia.runs").joinpath("recipes.toml").read_text(encoding="utf-8"))
# What is tuned here -> what it was tuned from: the paper's recipe, or the report's where the paper has no such data.
PUBLISHED = {name: settings.pop("published") for name, settings in TABLES.items() if "published" in settings}


def built_in() -> dict[str, Recipe]:
    """The recipes of ``recipes.toml``, in their order."""
    runs, found = {"": Run()}, {}
    for name, settings in TABLES.items():
        base, about = settings.pop("base", ""), settings.pop("about", None)
        runs[name] = runs[base].replace(name=name, **settings)
        if about is not None:
            found[name] = recipe(runs[name], about)
    return found


REGISTRY: Registry[Recipe] = Registry("recipes", built_in())

ALIKE = {"alice": "ali"}  # a tuned recipe plays ALI with a round trip, a published one without


def __getattr__(name: str) -> Recipe:
    """``recipes.ali_mnist`` is the recipe ali-mnist."""
    found = None if name.startswith("_") else REGISTRY.get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in REGISTRY)]


def tuned_and_published(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the tuned and of the published recipe of a run's game, data and encoder, and of what it is told; None
    where there are no two.

    Example:
        >>> from dataclasses import asdict
        >>> tuned_and_published(asdict(REGISTRY["ali-cifar10"](latent=16)))
        ('ali-cifar10', 'ali-cifar10-paper')
        >>> tuned_and_published(asdict(REGISTRY["ali-cifar10"](game="gan"))) is None
        True
    """

    def kind(run: Mapping[str, Any]) -> tuple[object, ...]:
        name, encoder = (str(run.get(key)).partition("(")[0].strip() for key in ("game", "encoder"))
        return ALIKE.get(name, name), encoder, *(run.get(key) or None for key in ("data", "condition_on"))

    for tuned, published in PUBLISHED.items():
        if kind(run) in [kind(dataclasses.asdict(REGISTRY[name]())) for name in (tuned, published)]:
            return tuned, published
    return None
