"""Recipes: runs with a name, such as ali-mnist, which ``recipes.toml`` lists.

A recipe is a function that returns the run, with changes of fields as arguments: ``recipes.ali_mnist(steps=500, seed=3)``.

A recipe whose name ends in ``-paper`` has the hyperparameters of the paper, one in ``-report`` those of the reproduction
report. The others have this library's hyperparameters. These were tuned once, on validation data of small images, and are the
same for all data; their game is ALI with the reconstruction loss of ALICE (``game="ali"`` is ALI alone).
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
    """Returns a recipe: a function that returns a run, with changes of the run's fields as keyword arguments.

    If `pretrained_generator` is among the changes, the run also gets the generator's latent dimension and prior, unless they
    are among the changes too.

    Arguments:
        run: the run without changes, whose name is the name of the recipe.
        about: the docstring of the recipe.
    """

    def made(**overrides: Any) -> Run:
        """Returns the run with the fields in `overrides` changed."""
        return matching_generator(run.replace(**overrides), overrides)

    made.__name__ = made.__qualname__ = run.name.replace("-", "_")
    made.__doc__ = about
    return made


TABLES = packaged_toml("interalia.runs", "recipes.toml")
# tuned recipe -> the published one that it was tuned from: the paper's, or the report's for data that the paper does not use
PUBLISHED = {name: settings.pop("published") for name, settings in TABLES.items() if "published" in settings}


def built_in() -> dict[str, Recipe]:
    """Returns the recipes in ``recipes.toml`` by name, in their order in the file."""
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
    """Returns the recipe of that name, so that ``recipes.ali_mnist`` is the recipe ali-mnist."""
    found = None if name.startswith("_") else REGISTRY.get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in REGISTRY)]


def tuned_and_published(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the names of two recipes that train the model of a run: the recipe with this library's hyperparameters, and
    the one with published hyperparameters. The model is given by the game, the data, the encoder and the condition.

    Returns None unless there are two such recipes.

    Arguments:
        run: the fields of the run, by name.

    Example:
        >>> from dataclasses import asdict
        >>> tuned_and_published(asdict(REGISTRY["ali-cifar10"](latent_dim=16)))
        ('ali-cifar10', 'ali-cifar10-paper')
        >>> tuned_and_published(asdict(REGISTRY["ali-cifar10"](game="gan"))) is None
        True
    """

    def kind(run: Mapping[str, Any]) -> tuple[object, ...]:
        """Returns the game and the encoder of a run without their arguments, its data, and its condition."""
        name, encoder = (str(run.get(key)).partition("(")[0].strip() for key in ("game", "encoder"))
        return ALIKE.get(name, name), encoder, *(run.get(key) or None for key in ("data", "condition_on"))

    for tuned, published in PUBLISHED.items():
        if kind(run) in [kind(dataclasses.asdict(REGISTRY[name]())) for name in (tuned, published)]:
            return tuned, published
    return None
