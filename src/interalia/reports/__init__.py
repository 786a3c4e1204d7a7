"""From a trained run to what a person looks at: measures, likelihoods, figures, tables and the page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interalia.reports.data import conditions, dataset_of, held_out, home, observed
    from interalia.reports.drawing import page
    from interalia.reports.measuring import evaluate, likelihood
    from interalia.reports.origin import provenance
    from interalia.reports.tables import bars, show, show_likelihood
    from interalia.reports.words import summary
    from interalia.reports.writing import write
    from interalia.runs.loading import Trained

_HOMES = {  # imported at their first use: a page needs no torch
    "drawing": ["page"],
    "data": ["conditions", "dataset_of", "held_out", "home", "observed"],
    "measuring": ["evaluate", "likelihood"],
    "origin": ["provenance"],
    "tables": ["bars", "show", "show_likelihood"],
    "words": ["summary"],
    "writing": ["write"],
}

__all__ = [
    "bars", "conditions", "dataset_of", "evaluate", "held_out", "home", "likelihood", "make", "observed", "page",
    "provenance", "show", "show_likelihood", "summary", "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make(trained: Trained) -> Path:
    """Figures, measures on the test split, and the page; answers the page's path."""
    from interalia.reports.drawing import page
    from interalia.reports.measuring import evaluate

    evaluate(trained)
    return page(trained)
