"""Recipes: named runs, from ``recipes.toml``. A recipe is a function that takes changes of the run's fields:
``recipes.ali_mnist(steps=500, seed=3)``.

A name that ends in ``-paper`` follows the paper, one in ``-report`` the reproduction report. The others have this library's
settings, which were tuned once on validation data of small images and are the same for all data: their game is ALI with the
reconstruction loss of ALICE (``game="ali"`` is ALI alone).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from interalia.disk import packaged_toml
from interalia.registry import Registry
from interalia.runs import Run
from interalia.runs.folder import matching_generator

Recipe = Callable[..., Run]


def recipe(run: Run, about: str) -> Recipe:
    """The recipe of a run. With a pretrained generator among the overrides, it also takes over the generator's latent
    dimension and prior, unless they are overridden too.

    Arguments:
        run: the run without overrides.
        about: the docstring of the recipe.
    """

    def made(**overrides: Any) -> Run:
        return matching_generator(run.replace(**overrides), overrides)

    made.__name__ = made.__qualname__ = run.name.replace("-", "_")
    made.__doc__ = about
    return made


TABLES = packaged_toml("interalia.runs", "recipes.toml")
# tuned recipe -> the published one that it was tuned from: the paper's, or the report's for data that the paper does not use
PUBLISHED = {name: settings.pop("published") for name, settings in TABLES.items() if "published" in settings}


def built_in() -> dict[str, Recipe]:
    """The recipes in ``recipes.toml``, in order."""
    runs, found = {"": Run()}, {}
    for name, settings in TABLES.items():
        base, about = settings.pop("base", ""), settings.pop("about", None)
        runs[name] = runs[base].replace(name=name, **settings)
        if about is not None:
            found[name] = recipe(runs[name], about)
    return found


REGISTRY: Registry[Recipe] = Registry("recipes", built_in())

ALIKE = {"alice": "ali"}  # a tuned recipe has the reconstruction loss of ALICE, a published one does not


def __getattr__(name: str) -> Recipe:
    """The recipe of that name: ``recipes.ali_mnist`` is ali-mnist."""
    found = None if name.startswith("_") else REGISTRY.get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in REGISTRY)]


def tuned_and_published(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """The names of the tuned and the published recipe with a run's game, data, encoder and condition; None if there are not
    both.

    Arguments:
        run: the fields of a run, by name.

    Example:
        >>> from dataclasses import asdict
        >>> tuned_and_published(asdict(REGISTRY["ali-cifar10"](latent_dim=16)))
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
