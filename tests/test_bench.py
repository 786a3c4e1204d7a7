"""`make bench`: it runs, its figures are what it says, and every sentence about time in the documents has its check."""

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import torch
from test_benchmark import BENCHMARKS, loaded
from torch import nn

ROOT = BENCHMARKS.parent
PROMISES = tomllib.loads((BENCHMARKS / "promises.toml").read_text(encoding="utf-8"))
# the documents for users; docs/results and docs/mutants.md hold measurements, with machine and command
DOCUMENTS = [
    "README.md", "CONTRIBUTING.md", "docs/guide.md", "docs/plugins.md", "src/interalia/cli/help.toml",
]  # fmt: skip
ABOUT = re.compile(r'^about = "(.*)"$', re.MULTILINE)  # what `interalia list` and docs/components.md print of a recipe
TIME = re.compile(
    r"\b(?:milliseconds?|seconds|minutes?|hours?|faster|slower|(?:\d+(?:\.\d+)?|two|three|four|ten|several|many) times|"
    r"(?:half|a third|a quarter) of the time|\d+(?:\.\d+)? ?x)(?!\w)",
    re.IGNORECASE,
)
# words of that kind that promise no time of a program
INNOCENT = [
    "A test that takes more than a second",
    "`make mutants` (hours)",
    "interalia train --data photos --minutes 60",
    "interalia train --data photos --minutes 10",
    "[The first hour](docs/first-hour.md)",  # a name
    "interalia train --data photos --dry-run",
    "interalia train --data PATH/TO/FOLDER",  # the default of `minutes`, for which steps are timed
    '"minutes", "steps", "epochs"',  # names of options
    "Samples are drawn within the first minute of a training",  # after FIRST_SHEET seconds; test_planning
    "the number of steps for `--minutes` (10 by default)",  # a setting, whose steps are timed
]


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    return loaded("bench")


def sentences() -> list[tuple[str, str]]:
    """File and line of what names a time."""
    found = []
    for file in DOCUMENTS:
        found += [(file, line) for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if TIME.search(line)]
    file = "src/interalia/runs/recipes.toml"
    texts = ABOUT.findall((ROOT / file).read_text(encoding="utf-8"))
    return found + [(file, text) for text in texts if TIME.search(text)]


def test_the_pattern_finds_times_and_ratios() -> None:
    for text in ("about a minute", "in seconds", "2.5 times", "3x", "half of the time", "slower than"):
        assert TIME.search(text), text
    for text in ("8x8 pixels", "a second run", "the second half", "times"):
        assert not TIME.search(text), text


def test_every_sentence_about_time_has_its_check(bench: ModuleType) -> None:
    """Nothing is promised that `make bench` does not measure, or that a command does not print itself."""
    assert sentences()
    for file, line in sentences():
        kept = [one for one in PROMISES["promises"] if one["file"] == file and one["sentence"] in line]
        assert kept or any(words in line for words in INNOCENT), f"{file}: {line}"
    for one in PROMISES["promises"]:
        text = " ".join((ROOT / one["file"]).read_text(encoding="utf-8").split())
        assert one["sentence"] in text, f"{one['file']} does not say: {one['sentence']}"
        if one["check"] == "printed":
            assert one["command"] in one["sentence"]
        else:
            assert one["seconds"] > 0
            assert one["check"] in bench.CHECKS
    assert {one["check"] for one in PROMISES["promises"]} >= set(bench.CHECKS)


def test_goals_are_of_what_is_measured(bench: ModuleType) -> None:
    shares = {f"share of {recipe}" for recipe in bench.RECIPES}
    ratios = {f"{recipe} over by hand" for recipe in bench.by_hand.TABLES}
    for one in PROMISES["goals"]:
        assert one["measure"] in shares | ratios | {"engine over a bare loop"}
        assert set(one["limits"]) <= {"AMX", "AVX-512 with bf16", "AVX-512", "AVX2", "any"}


@pytest.mark.parametrize(("measured", "words"), [(1.5, "missed"), (2.5, "reached")])
def test_a_goal_is_judged_by_the_kind_of_processor(
    bench: ModuleType, measured: float, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "vectors", lambda: "AVX2")
    bench.goals({"ali-svhn-paper over by hand": measured, "engine over a bare loop": measured / 2})
    hand, loop = capsys.readouterr().out.splitlines()
    assert hand == f"{words}: ali-svhn-paper over by hand: {measured:.2f}, at least 2.0 on AVX2"
    assert loop.startswith("reached" if words == "missed" else "missed")  # which is at most 1.03


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ({"amx_tile", "avx512_bf16", "avx512", "avx2"}, "AMX"),
        ({"avx512_bf16", "avx512", "avx2"}, "AVX-512 with bf16"),
        ({"avx512", "avx2"}, "AVX-512"),
        ({"avx2"}, "AVX2"),
    ],
)
def test_the_kind_of_processor_is_what_it_declares(
    bench: ModuleType, declared: set[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    for name in ("amx_tile", "avx512_bf16", "avx512", "avx2"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in declared)
    assert (bench.vectors(), bench.automatic()) == (kind, "auto")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert (bench.vectors(), bench.automatic()) == ("AVX2", "fp32")


def test_operations_are_those_of_products_forward_and_backward(bench: ModuleType) -> None:
    """A product is 2 n m k operations; its two gradients are as many each."""
    layer, x = nn.Linear(5, 7, bias=False), torch.ones(3, 5, requires_grad=True)
    with bench.Flops() as counted:
        layer(x).sum().backward()
    assert counted.total == 3 * 2 * 3 * 5 * 7


def test_loops_take_turns_as_often_as_each_other(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUND", 0.001)
    monkeypatch.setattr(bench, "SIDE", 8)
    calls: list[str] = []
    seconds, rates = bench.in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2, 3)
    assert {name: len(times) for name, times in (seconds | rates).items()} == {"a": 2, "b": 2}
    assert calls.count("a") == calls.count("b")
    assert all(value > 0 for values in (*seconds.values(), *rates.values()) for value in values)


def test_every_group_runs(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the digits alone, with one short round."""
    monkeypatch.setattr(bench, "ROUND", 1e-9)
    monkeypatch.setattr(bench, "LOOP", 1)
    monkeypatch.setattr(bench, "SIDE", 8)
    monkeypatch.setattr(bench, "RECIPES", {"ali-digits": None})
    monkeypatch.setattr(bench.by_hand, "TABLES", {})
    monkeypatch.setattr(
        bench, "CHECKS", {"train": lambda folder: None, "check": lambda folder: Path(folder, "x").touch()}
    )
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["bench.py", "--rounds", "1"])
    try:
        bench.main()
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert re.search(r"\| ali-digits, 128 \| fp32 \| [\d.]+ \| [\d,]+ \| \d+ \| \d+% \|", out)
    assert re.search(r"loop takes \d\.\d+ of the time of a bare loop", out)
    assert (
        'true: docs/guide.md: "`interalia check my_module:Mine` tests it in seconds.": 0.0 s of a core, at most 20'
        in out
    )
    assert re.search(r"(reached|missed): engine over a bare loop: \d\.\d\d, at most 1.03", out)


def test_the_bare_loop_makes_the_same_updates(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of simultaneous dynamics; only the schedule of the rate is left out."""
    ours, plain = (bench.prepared("ali-digits", None, dynamics="simultaneous", lr=1e-4) for _ in range(2))
    assert bench.period(ours) > 1
    # the bare loop draws torch's own numbers
    monkeypatch.setattr(bench.by_hand, "keyed", lambda *_: contextlib.nullcontext())
    step, by_itself = bench.by_hand.step_of(ours, average=True), bench.bare(plain)
    ours.schedule = lambda _: 1.0
    for training, loop in ((ours, step), (plain, by_itself)):
        torch.manual_seed(0)
        for _ in range(2):
            loop()
        assert training.step == 2
    for (name, a), b in zip(ours.game.named_parameters(), plain.game.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)
