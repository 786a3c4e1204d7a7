"""Reports on a trained run: its metrics, log-likelihood, figures and tables, and an HTML page of them."""

from __future__ import annotations

from interalia import lazy_getattr

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

__all__ = [name for names in _HOMES.values() for name in names]
__getattr__ = lazy_getattr(__name__, _HOMES)
