"""Runs: the description of a training (`Run`), its folder, its saved weights and how they are loaded, and recipes.

A recipe is a run with a name, such as ``ali-mnist``.
"""

from __future__ import annotations

from interalia.runs.run import DEFAULT, FROM_PYTHON, RESUMABLE_CHANGES, SET_BY_OWN, Run, field_docs, from_toml

__all__ = ["DEFAULT", "FROM_PYTHON", "RESUMABLE_CHANGES", "SET_BY_OWN", "Run", "field_docs", "from_toml"]
