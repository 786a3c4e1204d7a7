"""From a trained run to what a person looks at: measures, likelihoods, figures, tables and the page."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {  # imported at their first use: a page needs no torch
    "data": ["conditions", "dataset_of", "held_out", "home", "observed"],
    "drawing": ["make", "page"],
    "measuring": ["evaluate", "likelihood"],
    "origin": ["provenance"],
    "rendering": ["write"],
    "tables": ["bars", "show", "show_likelihood"],
    "words": ["summary"],
}

__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
