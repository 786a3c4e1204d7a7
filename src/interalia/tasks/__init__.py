"""Tasks of a trained game: generate, encode, reconstruct, interpolate, edit, complete, translate and others.

A task is a function of a game and of tensors. Images are float32 in [0, 1], shape (n, channels, height, width); latents are
float32, shape (n, latent). Examples are the numbers that networks take: `to_units` converts them to the data's own units and
type, in which the functions of `interalia.tasks.verbs` and the command line return them, and `from_units` converts them back.
Tasks run in evaluation mode (running statistics in batch norm, no dropout, no instance noise), in
batches, without gradients, on the game's device, and return tensors on the CPU.

The random numbers of a task come from its `seed` alone; the global random state does not change. Those of row k, such as the
k-th sample, depend neither on the number of rows nor on the size of batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interalia import lazy_names

if TYPE_CHECKING:
    from interalia.contexts import device_of, evaluating
    from interalia.tasks.calling import as_inputs, condition, index_of, indices_of, sample_condition
    from interalia.tasks.codes import code_parameters, manifold, recognize, traversal_names, traverse
    from interalia.tasks.completion import complete, load_mask, project
    from interalia.tasks.editing import direction, edit, shift, single_edits
    from interalia.tasks.inference import (
        classify,
        decode,
        encode,
        features,
        generate,
        generate_by_label,
        infer,
        interpolate,
        interpolate_latents,
        neighbours,
        posterior,
        reconstruct,
        sample_latents,
        translate,
    )
    from interalia.tasks.result import Level
    from interalia.tasks.units import from_units, to_columns, to_units, units_of

__all__ = [
    "Level", "as_inputs", "classify", "code_parameters", "complete", "condition", "decode", "device_of", "direction", "edit",
    "encode", "evaluating", "features", "from_units", "generate", "generate_by_label", "index_of", "indices_of", "infer",
    "interpolate", "interpolate_latents", "load_mask", "manifold", "neighbours", "posterior", "project", "recognize",
    "reconstruct", "sample_condition", "sample_latents", "shift", "single_edits", "to_columns", "to_units", "translate",
    "traversal_names", "traverse", "units_of",
]  # fmt: skip

if not TYPE_CHECKING:  # imported at their first use, so that the command line starts without torch
    __getattr__, __dir__ = lazy_names(
        __name__, dict.fromkeys(("calling", "codes", "completion", "editing", "inference", "result", "units"), __all__)
    )
