"""Reports on a trained run: its metrics, log-likelihood, figures and tables, and an HTML page of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interalia import lazy_names

if TYPE_CHECKING:
    from interalia.reports.assessment import assess, print_assessment
    from interalia.reports.data import binarized_images, dataset_of, folder_of, held_out_conditions, held_out_examples
    from interalia.reports.drawing import make, page
    from interalia.reports.measuring import evaluate, likelihood
    from interalia.reports.origin import provenance
    from interalia.reports.rendering import write
    from interalia.reports.sentences import summary
    from interalia.reports.tables import escape_bars, print_likelihood, print_metrics

_HOMES = {  # imported at their first use: a page is made without torch
    "assessment": ["assess", "print_assessment"],
    "data": ["binarized_images", "dataset_of", "folder_of", "held_out_conditions", "held_out_examples"],
    "drawing": ["make", "page"],
    "measuring": ["evaluate", "likelihood"],
    "origin": ["provenance"],
    "rendering": ["write"],
    "tables": ["escape_bars", "print_likelihood", "print_metrics"],
    "sentences": ["summary"],
}

__all__ = [
    "assess", "binarized_images", "dataset_of", "escape_bars", "evaluate", "folder_of", "held_out_conditions",
    "held_out_examples", "likelihood", "make", "page", "print_assessment", "print_likelihood", "print_metrics",
    "provenance", "summary", "write",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)
