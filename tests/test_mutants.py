"""The tool that changes the code draws changes that may be wrong formulas, and finds the lines that execute them."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

pytest.importorskip("cosmic_ray")

import mutants
import mutations

SOURCE = '''"""A module: 1 + 1."""

from __future__ import annotations

import zoo

LIMIT = 3
__all__ = ["f" + "g"]


class Kind:
    """A class."""

    size: int | None = 4

    def f(self, p: int | None = 5, q: int = 6) -> int | None:
        """Adds 1."""
        if p > LIMIT:
            raise ValueError(f"{p + 1} is above {LIMIT}")
        self.count += 1
        return zoo.kl(
            p.detach().mean(),
            q.detach().mean(),
        ) + sum(a * b for a, b in zip(p, q, strict=True))
'''


def found(operator: str) -> list[tuple[int, str]]:
    sites = [mutations.complete(SOURCE, site) for site in mutations.sites("f.py", SOURCE)]
    return [(site.line, site.after) for site in sites if site is not None and site.operator == operator]


def test_what_is_changed() -> None:
    assert found("NumberReplacer")[:2] == [(7, "LIMIT = 4"), (7, "LIMIT = 2")]
    assert {line for line, _ in found("NumberReplacer")} == {7, 14, 16, 20}
    assert (18, "if not p > LIMIT:") in found("AddNot")
    assert [line for line, _ in found("LeaveStatementOut")] == [20]
    assert [line for line, _ in found("LeaveMethodOut")] == [22, 22, 23, 23]
    assert [line for line, _ in found("TakeNeighbour")] == [22, 23, 24]
    assert found("SwapArguments") == [
        (22, "q.detach().mean(), p.detach().mean(),"),
        (24, ") + sum(a * b for a, b in zip( q,p, strict=True))"),
    ]


def test_what_is_not_changed() -> None:
    lines = {site.line for site in mutations.sites("f.py", SOURCE)}
    assert not lines & {1, 3, 5, 8, 12, 17, 19}
    sites = [site for site in mutations.sites("f.py", SOURCE) if site.line in (14, 16)]
    assert {site.operator for site in sites} == {"NumberReplacer"}  # no `|` of an annotation
    assert not found("ReplaceTrueWithFalse")


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (7, {18, 19}),  # a constant: where it is used
        (14, set(range(11, 25))),  # what a class states: the class
        (16, set(range(17, 25))),  # a default: the function
        (18, {18}),  # a condition: itself
        (20, {20}),
        (23, {21, 22, 23, 24}),  # a statement of several lines: all of them
    ],
)
def test_the_lines_whose_tests_may_notice(line: int, lines: set[int]) -> None:
    assert mutations.reach(SOURCE, line) == lines


def test_shares_are_in_proportion_and_none_is_above_its_most() -> None:
    assert mutants.shares({"a": 50, "b": 30, "c": 20}, {"a": 99, "b": 99, "c": 99}, 10) == {"a": 5, "b": 3, "c": 2}
    assert mutants.shares({"a": 50, "b": 30, "c": 20}, {"a": 1, "b": 99, "c": 99}, 11) == {"a": 1, "b": 6, "c": 4}
    assert mutants.shares({"a": 1, "b": 1}, {"a": 1, "b": 1}, 9) == {"a": 1, "b": 1}


def test_a_draw_takes_each_line_once_before_any_twice() -> None:
    sites = mutations.sites("f.py", SOURCE)
    lines = {site.line for site in sites}
    drawn = mutants.pick(list(sites), SOURCE, len(lines), random.Random(1))
    assert sorted(site.line for site in drawn) == sorted(lines)
    assert drawn == mutants.pick(list(sites), SOURCE, len(lines), random.Random(1))
    assert drawn != mutants.pick(list(sites), SOURCE, len(lines), random.Random(2))
    every = mutants.pick(list(sites), SOURCE, 10**6, random.Random(1))
    assert len(set(every)) == len(every) > len(drawn)
