"""Runs: the description of a training, its folder, its weights and how they are loaded, and the recipes."""

from __future__ import annotations

from interalia.runs.run import (
    DEFAULT,
    FROM_PYTHON,
    RESUMABLE_CHANGES,
    SET_BY_OWN,
    Run,
    field_docs,
    field_types,
    from_toml,
    with_own_parts,
)

__all__ = [
    "DEFAULT",
    "FROM_PYTHON",
    "RESUMABLE_CHANGES",
    "SET_BY_OWN",
    "Run",
    "field_docs",
    "field_types",
    "from_toml",
    "with_own_parts",
]
