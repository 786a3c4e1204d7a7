"""A part as an object beside its text."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest

from interalia.errors import UserError
from interalia.registry import Part
from interalia.runs import Run


def test_a_part_is_its_text() -> None:
    part = Part("adam", lr=5e-4)
    assert part == "adam(lr=0.0005)"
    assert hash(part) == hash("adam(lr=0.0005)")
    assert (part.name, part.settings) == ("adam", {"lr": 5e-4})
    assert type(str(part)) is str
    assert Part("adam") == "adam"
    assert Part(" adam( lr = 5e-4, )") == part
    assert Part("alternating", turns={"critic": 5}) == "alternating(turns={'critic': 5})"
    assert json.dumps([part]) == '["adam(lr=0.0005)"]'
    for other in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert (type(other), other) == (Part, part)
    assert eval(repr(part), {"Part": Part}) == part


def test_a_part_with_other_settings() -> None:
    part = Part("adam", lr=5e-4, beta1=0.9)
    assert part.but(lr=1e-3) == "adam(lr=0.001, beta1=0.9)"
    assert part.but(weight_decay=0.1) == "adam(lr=0.0005, beta1=0.9, weight_decay=0.1)"
    assert part == "adam(lr=0.0005, beta1=0.9)"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Path("x"), len, [float("nan")], {1: {2: object}}])
def test_what_no_file_could_keep_is_refused(value: object) -> None:
    with pytest.raises(UserError, match=r"sets 'lr' to .*, which cannot be written in a line of text; give a number"):
        Part("adam", lr=value)


def test_a_run_takes_a_part() -> None:
    run = Run(optimizer=Part("adam", lr=5e-4))
    assert run == Run(optimizer="adam(lr=0.0005)")
    assert 'optimizer = "adam(lr=0.0005)"' in run.dump()
