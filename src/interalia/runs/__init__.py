"""Runs: their description, the folder that keeps one, its weights and how they are loaded, and the recipes."""

from __future__ import annotations

from interalia.runs.run import BROUGHT, DEFAULT, FREE, OWN, Run, abouts, from_toml, kinds, marked

__all__ = ["BROUGHT", "DEFAULT", "FREE", "OWN", "Run", "abouts", "from_toml", "kinds", "marked"]
