"""What a trained game can do for people: generate, encode, reconstruct, interpolate, edit, complete, translate ...

Each task is a function of a game and of tensors. Images are float32 in [0, 1], shape (n, channels, height, width);
latents are float32, shape (n, latent). Tasks run in evaluation mode (population statistics in batch norm, no dropout,
no instance noise), in batches, without gradients, on the game's device, and answer on the CPU.

A task takes its randomness from `seed` alone and leaves the global random state as it was.
"""

from __future__ import annotations

from interalia.contexts import device_of, quietly
from interalia.tasks.calling import (
    BATCH,
    Level,
    capable,
    check_conditional,
    check_images,
    labels,
    place,
    places,
    told,
)
from interalia.tasks.classes import classify
from interalia.tasks.codes import answers, check_recogniser, directions, manifold, recognise, traverse
from interalia.tasks.completion import HOLES, complete, hole, project
from interalia.tasks.domains import check_translator, translate
from interalia.tasks.editing import direction, edit, edits, shift
from interalia.tasks.inference import (
    between,
    by_label,
    decode,
    encode,
    features,
    generate,
    interpolate,
    latents,
    neighbours,
    reconstruct,
)

__all__ = [
    "BATCH",
    "HOLES",
    "Level",
    "answers",
    "between",
    "by_label",
    "capable",
    "check_conditional",
    "check_images",
    "check_recogniser",
    "check_translator",
    "classify",
    "complete",
    "decode",
    "device_of",
    "direction",
    "directions",
    "edit",
    "edits",
    "encode",
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
    "quietly",
    "recognise",
    "reconstruct",
    "shift",
    "told",
    "translate",
    "traverse",
]
