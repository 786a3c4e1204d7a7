"""Every game's losses are those that were written down."""

from __future__ import annotations

import curves
import pytest

pytestmark = pytest.mark.golden


@pytest.mark.parametrize("dynamics", curves.DYNAMICS)
@pytest.mark.parametrize("case", curves.CASES)
def test_the_losses_are_those_written_down(case: str, dynamics: str) -> None:
    found, wanted = curves.curve(case, dynamics), curves.stored(case, dynamics)
    assert len(found) == len(wanted) == curves.STEPS
    for step, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6), f"step {step}"
