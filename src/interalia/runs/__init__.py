"""Runs: the description of a training (`Run`), the folder that a training writes, loading of trained games, and recipes.

A recipe is a predefined run, such as ``ali-mnist``.
"""

from __future__ import annotations

from interalia.runs.run import DEFAULT, FROM_PYTHON, RESUMABLE_CHANGES, SET_BY_OWN, Run, field_docs, from_toml

__all__ = ["DEFAULT", "FROM_PYTHON", "RESUMABLE_CHANGES", "SET_BY_OWN", "Run", "field_docs", "from_toml"]
