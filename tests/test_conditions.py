"""--condition: one label for all, one each, or a number of samples of each; in counts + joins the names of attributes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from interalia import Run, UserError, build
from interalia.tasks.calling import counted_conditions, named_conditions

LABELS = build(Run(game="gan", condition_on="labels", networks="mlp(width=4)"))
ATTRIBUTES = build(Run(game="gan", networks="mlp(width=4)"))
ATTRIBUTES.data = dataclasses.replace(
    ATTRIBUTES.data, condition=2, attributes={"Male": 0.5, "Smiling": 0.5}, names=("Male", "Smiling")
)


def test_counts_of_labels() -> None:
    y, count = counted_conditions(LABELS, "3:2, 5:1", None)
    assert (y.tolist(), count) == ([3, 3, 5], 3)
    y, count = counted_conditions(LABELS, "7", 4)
    assert (y.tolist(), count) == ([7] * 4, 4)
    assert counted_conditions(LABELS, "7", None)[1] == 64
    assert named_conditions(LABELS, "1,2", 2).tolist() == [1, 2]


def test_counts_of_attributes() -> None:
    y, count = counted_conditions(ATTRIBUTES, "Male+Smiling:1,Smiling:2", None)
    assert torch.equal(y, torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0]]))
    assert count == 3


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("3:2,5", None, "give each one, as in 3:10,5:10"),
        ("3:0", None, "give each one"),
        ("3:2", 8, "leave out `count`"),
        ("1,2,3", 2, "give one for all of them, or one each"),
        ("11", None, "there is no label '11'"),
    ],
)
def test_wrong_conditions(text: str, count: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        counted_conditions(LABELS, text, count)
