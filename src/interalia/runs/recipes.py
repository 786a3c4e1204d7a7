"""Recipes: predefined runs such as ali-mnist, which ``recipes.toml`` lists.

A recipe is a function that returns the run, with the fields changed that are its arguments: ``recipes.ali_mnist(seed=3)``.

A recipe whose name ends in ``-paper`` has the hyperparameters of the paper, one in ``-report`` those of the reproduction
report. The others have this library's hyperparameters. Those of the recipes that train ALICE were tuned on validation data of
small images (``game="ali"`` is ALI without ALICE's reconstruction loss).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, Unpack

from interalia import packaged_toml
from interalia.errors import UserError
from interalia.registry import Registry
from interalia.runs import Run
from interalia.runs.fields import AllFields
from interalia.runs.folder import matching_generator


class Recipe(Protocol):
    """A function that returns a predefined run, with the fields changed that are its keyword arguments."""

    def __call__(self, **overrides: Unpack[AllFields]) -> Run:
        """Returns the run of the recipe with the values in `overrides`, by the name of the field."""


def recipe(run: Run, about: str) -> Recipe:
    """Returns a recipe: a function that returns a copy of `run`, whose keyword arguments replace fields of it.

    If `pretrained_generator` is among the arguments, the run also gets the generator's latent dimension and prior, unless
    these are among the arguments too.

    Arguments:
        run: the run that the recipe returns without arguments; its name is that of the recipe.
        about: the docstring of the recipe.
    """

    def made(**overrides: Unpack[AllFields]) -> Run:
        """Returns a copy of the recipe's run with the values in `overrides`, by the name of the field; fields of the recipe
        that another game in `overrides` does not use get their defaults.
        """
        changed = run.replace(**overrides)
        if "game" in overrides:
            from interalia.runs import building  # here: it imports torch

            changed = building.without_unused_fields(changed, overrides)
        return matching_generator(changed, overrides)

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
    """Returns the recipe of a name with "_" for "-", so that ``recipes.ali_mnist`` is the recipe ali-mnist.

    Raises:
        AttributeError: there is no such recipe.
    """
    found = None if name.startswith("_") else REGISTRY.get(name.replace("_", "-"))
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *(name.replace("-", "_") for name in REGISTRY)]


MINUTES = 10.0  # of a training on data of the user's, if nothing states its length


def is_planned(recipe: object, given: Mapping[str, Any], minutes: float | None) -> bool:
    """True if a training is to be planned: `minutes` are given; or data are, and neither a recipe nor its length.

    Arguments:
        recipe: the recipe, file or run that the user has given; None for none.
        given: the fields of the run that the user has set, by name; "data" is one of them for any data of the user's.
        minutes: the length of the training in minutes; None if it is not given.

    Raises:
        UserError: `minutes` is not a number above 0, or the number of steps or epochs is given too.
    """
    length = next((key for key in ("steps", "epochs") if given.get(key) is not None), None)
    if minutes is not None and length:
        raise UserError(f"`minutes` and `{length}` both set the length; leave one of them out.")
    if minutes is not None and not (isinstance(minutes, int | float) and 0 < minutes <= 1e6):
        raise UserError(f"`minutes` is {minutes}, and it must be a number above 0 and at most 1,000,000.")
    return minutes is not None or (recipe is None and "data" in given and length is None)


def tuned_and_published(run: Mapping[str, Any]) -> tuple[str, str] | None:
    """Returns the names of the two recipes for the model and data of a run: first the one with this library's
    hyperparameters, then the one with published hyperparameters. Returns None unless there are two such recipes.

    A recipe is for the same model and data if the run equals it in the game, the encoder (both without their arguments), the
    data and `condition_on`; ALICE counts as ALI.

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
        """Returns four values of a run: the names of game ("ali" for ALICE) and encoder, `data`, and `condition_on`."""
        name, encoder = (str(run.get(key)).partition("(")[0].strip() for key in ("game", "encoder"))
        return ALIKE.get(name, name), encoder, *(run.get(key) or None for key in ("data", "condition_on"))

    for tuned, published in PUBLISHED.items():
        if kind(run) in [kind(dataclasses.asdict(REGISTRY[name]())) for name in (tuned, published)]:
            return tuned, published
    return None
