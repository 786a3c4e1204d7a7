"""From a trained run to what a person looks at: measures, likelihoods, figures, tables and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from interalia.results.figures import page
from interalia.results.held_out import conditions, dataset_of, held_out, home, observed, rows
from interalia.results.measuring import evaluate, likelihood
from interalia.results.origin import provenance
from interalia.results.tables import bars, show, show_likelihood

if TYPE_CHECKING:
    from interalia.loading import Trained

__all__ = [
    "bars",
    "conditions",
    "dataset_of",
    "evaluate",
    "held_out",
    "home",
    "likelihood",
    "make",
    "observed",
    "page",
    "provenance",
    "rows",
    "show",
    "show_likelihood",
]


def make(trained: Trained) -> Path:
    """Figures, measures on the test split, and the page; answers the page's path."""
    evaluate(trained)
    return page(trained)
