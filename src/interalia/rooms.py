"""The rooms and their members: what `interalia list` prints and what a run's fields may name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

ROOMS: dict[str, tuple[str, str]] = {
    "recipes": ("interalia.recipes", "CATALOGUE"),
    "games": ("interalia.games", "CATALOGUE"),
    "divergences": ("interalia.divergences", "CATALOGUE"),
    "dynamics": ("interalia.dynamics", "CATALOGUE"),
    "penalties": ("interalia.penalties", "CATALOGUE"),
    "noises": ("interalia.disturbances", "NOISES"),
    "augmentations": ("interalia.disturbances", "AUGMENTATIONS"),
    "networks": ("interalia.networks", "CATALOGUE"),
    "conditionals": ("interalia.conditionals", "CONDITIONALS"),
    "priors": ("interalia.conditionals", "PRIORS"),
    "optimisers": ("interalia.optim", "OPTIMISERS"),
    "schedules": ("interalia.optim", "SCHEDULES"),
    "averages": ("interalia.optim", "AVERAGES"),
    "data": ("interalia.data", "CATALOGUE"),
    "metrics": ("interalia.metrics", "CATALOGUE"),
    "likelihoods": ("interalia.metrics.likelihood", "CATALOGUE"),
    "experiments": ("interalia.experiments", "CATALOGUE"),
}


def members(room: str) -> Mapping[str, Callable[..., Any]]:
    """The members of a room, by name."""
    module, name = ROOMS[room]
    catalogue: Mapping[str, Callable[..., Any]] = getattr(importlib.import_module(module), name)
    return catalogue


def about(member: Any) -> str:
    """The first sentence of a member's description."""
    text = getattr(member, "about", None) or getattr(member, "__doc__", None) or ""
    return " ".join(str(text).strip().split("\n\n")[0].split())


def settings(member: Any) -> str:
    """A member's settings and their defaults."""
    from interalia.specs import signature

    return signature(member) if inspect.isclass(member) or inspect.isfunction(member) else ""
