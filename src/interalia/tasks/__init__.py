"""What a trained game can do for people: generate, encode, reconstruct, interpolate, edit, complete, translate ...

Each task is a function of a game and of tensors. Images are float32 in [0, 1], shape (n, channels, height, width);
latents are float32, shape (n, latent). Tasks run in evaluation mode (population statistics in batch norm, no dropout,
no instance noise), in batches, without gradients, on the game's device, and answer on the CPU.

A task takes its randomness from `seed` alone and leaves the global random state as it was.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interalia.contexts import device_of, evaluating
    from interalia.tasks.calling import BATCH, check_conditional, check_images, labels, place, places, told
    from interalia.tasks.codes import answers, directions, manifold, recognise, traverse
    from interalia.tasks.completion import complete, hole, project
    from interalia.tasks.editing import direction, edit, edits, shift
    from interalia.tasks.inference import (
        between,
        by_label,
        classify,
        decode,
        encode,
        features,
        generate,
        interpolate,
        latents,
        neighbours,
        reconstruct,
        translate,
    )
    from interalia.tasks.shown import Level

__all__ = [
    "BATCH",
    "Level",
    "answers",
    "between",
    "by_label",
    "check_conditional",
    "check_images",
    "classify",
    "complete",
    "decode",
    "device_of",
    "direction",
    "directions",
    "edit",
    "edits",
    "encode",
    "evaluating",
    "features",
    "generate",
    "hole",
    "interpolate",
    "labels",
    "latents",
    "manifold",
    "neighbours",
    "place",
    "places",
    "project",
    "recognise",
    "reconstruct",
    "shift",
    "told",
    "translate",
    "traverse",
]  # fmt: skip

# imported at their first use: the command line describes the verbs without torch
_HOMES = ("calling", "codes", "completion", "editing", "inference")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = (importlib.import_module(f"{__name__}.{home}") for home in _HOMES)
    return next(vars(home)[name] for home in homes if name in vars(home))
