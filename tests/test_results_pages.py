"""The tables in docs/results have the rows and headings of today's experiments, where `reproduce --list` finds them."""

from __future__ import annotations

import pytest

from interalia.papers import REGISTRY
from interalia.papers.experiment import published

# experiment -> why its page has other rows or columns than a table made today
OTHERWISE = {
    "conditional-ali": "the columns of samples and of latents came later",
    "hali-mnist": "the reconstruction ratios and the error with 100 labels came later",
    "infogan-mnist": "the stability of c1 came later",
    "recipe-search": "its finalists are chosen by the rows before them",
    "eight-schools": "three rows are of earlier commits",
    "avb-mnist": "the columns of differences to the VAE came later",
    "health": "one table of the command is two on the page",
}
PAGES = {name: published(name) for name in REGISTRY}


def differences(name: str) -> list[str]:
    """Headings that a page lacks, and its rows that are none of the experiment's."""
    experiment = REGISTRY[name]
    headings, *rows = PAGES[name]
    today = {job.row for job in experiment.jobs(experiment.setting())}
    lacking = [heading for heading in experiment.headings.values() if heading.replace("|", "\\|") not in headings]
    return lacking + [row[0] for row in rows if row[1:2] == ["ours"] and row[0] not in today]


@pytest.mark.parametrize("name", [name for name in PAGES if PAGES[name]])
def test_a_page_has_the_rows_and_headings_of_its_experiment(name: str) -> None:
    assert bool(differences(name)) == (name in OTHERWISE), differences(name)
