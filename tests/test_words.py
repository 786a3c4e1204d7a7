"""Texts for users are in the words of the field: others stay out of docstrings, messages, tables and pages."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "interalia"
GENERATED = ROOT / "docs" / "components.md"  # from docstrings, which are read below
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {GENERATED})]
PACKAGES = sorted({path.relative_to(SOURCE).parts[0] for path in SOURCE.rglob("*.py")})

# what is not written -> what is
WORDS = {
    r"told": "conditioned on, given, condition",
    r"(?:an?|one|two|each|every|another|per|next|first|last|many|more|between|[\d,}]+) looks?|looks? at the game": (
        "forward pass, evaluation, gradient evaluation"
    ),
    r"charge[sd]?|charging": "loss, is penalized by",
    r"sure of|surer|surest": "critic AUC",
    r"round[- ]trips?": "reconstruction, cycle",
    r"ways? back|there and back": "reconstruction, cycle-consistency",
    r"anew": "again",
    r"ill|illness(?:es)?": "unhealthy, diagnosis",
    r"remed(?:y|ies)": "what to try",
    r"(?:the|an?|each|every|all|any|which|these|those|other|its|both|declared) measures?": "metric",
    r"measures(?= (?:say|are|of|on|that|with)\b)|(?<=\| )measure(?= \|)": "metric",
    r"answers|answered": "returns",
    r"asks|asked": "requires, requested, given",
    r"hears|heard": "receives",
    r"says? of (?:it|them)sel(?:f|ves)": "describes",
    r"by way of": "through",
    r"(?:one's|ones|of (?:its|their|your)) own": "custom, separate",
    r"(?:some|every)body(?:'s)?": "the user, you; custom",
    r"rooms?|members?": "package, kind of component, entry",
}
PATTERNS = {re.compile(rf"(?<![\w-])(?:{word})(?![\w-])", re.IGNORECASE): instead for word, instead in WORDS.items()}
OPENINGS = re.compile(
    r"(?:What|Whether|Where|That|Who|Of)\b"
)  # of a docstring: "Returns ...", "The ...", "True if ..."

# file -> words that it may have, with the reason
EXCEPTIONS: dict[str, dict[str, str]] = {
    "src/interalia/registry/aliases.toml": {"told": "a former option, which is understood and never shown"},
    "src/interalia/data/fingerprints.py": {"told": "hashed into the fingerprints of data, which saved runs hold"},
    "src/interalia/networks/layers.py": {"answers": "a name in the parameters of saved models"},
    "src/interalia/papers/avb_mnist.py": {"told": "the key of a column, which finished rows are saved with"},
    "src/interalia/papers/calibration.py": {"told": "the key of a column, which finished rows are saved with"},
    "src/interalia/papers/experiments.toml": {"told": "a column and runs, which finished rows are saved with"},
    "docs/mutants.md": {"surer": "a name in a line of the source that a mutant changed"},
}


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """The docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            yield node.body[0].value  # type: ignore[union-attr, misc]


def strings(value: Any) -> Iterator[str]:
    """The texts in what a TOML file holds, its keys among them."""
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from strings(part)
    if isinstance(value, str):
        yield value


def found(text: str) -> list[str]:
    """The unwanted words of a text, with what to write instead."""
    plain = " ".join(text.split())
    return [f"{m[0]!r} ({instead})" for pattern, instead in PATTERNS.items() for m in pattern.finditer(plain)]


@cache
def hits(path: Path) -> list[str]:
    """The unwanted words of a file, each with its line where there is one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        lines = re.sub(r"\]\([^)]*\)", "]", text).splitlines()
        return [f"{i}: {hit}" for i, line in enumerate(lines, 1) for hit in found(line)]
    if path.suffix == ".toml":
        return [hit for text in strings(tomllib.loads(text)) for hit in found(text)]
    tree = ast.parse(text)
    constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    listed = [f"{n.lineno}: {hit}" for n in constants for hit in found(n.value)]
    return listed + [
        f"{n.lineno}: {m[0]!r} opens a docstring" for n in docstrings(tree) if (m := OPENINGS.match(n.value))
    ]


def files(package: str) -> list[Path]:
    path = SOURCE / package
    return sorted(p for p in path.rglob("*") if p.suffix in (".py", ".toml")) if path.is_dir() else [path]


def unwanted(path: Path) -> list[str]:
    """The hits in a file but for its exceptions."""
    excused = EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), {})
    return [f"{path.relative_to(ROOT)}:{hit}" for hit in hits(path) if not any(f"'{word}'" in hit for word in excused)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_are_in_the_words_of_the_field(path: Path) -> None:
    assert unwanted(path) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_and_messages_are_in_the_words_of_the_field(package: str) -> None:
    assert [hit for path in files(package) for hit in unwanted(path)] == []


def test_exceptions_are_of_files_that_have_the_words() -> None:
    stale = [
        f"{name}: {word}"
        for name, words in EXCEPTIONS.items()
        for word in words
        if not any(f"'{word}'" in hit for hit in hits(ROOT / name))
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("the decoder is told the label", True),
        ("a penalty, charged every step", True),
        ("600 looks at the game", True),
        ("Look at the samples: every look is an evaluation", True),
        ("the worst of all measures", True),
        ("| measure | value |", True),
        ("it still measures the distance", False),
        ("look up the name; one evaluation looks wrong", False),
        ("retold in a bedroom, with membership", False),
        ("ill-conditioned and illustrated", False),
    ],
)
def test_a_word_is_found_where_it_stands_alone(text: str, bad: bool) -> None:
    assert bool(found(text)) == bad


def test_hits_are_of_docstrings_strings_and_tables(tmp_path: Path) -> None:
    code, table = tmp_path / "a.py", tmp_path / "a.toml"
    code.write_text('"""What it is."""\n\n\ndef told() -> str:\n    return f"{1} is told"  # anew\n')
    assert [hit.partition(" (")[0] for hit in hits(code)] == ["5: 'told'", "1: 'What' opens a docstring"]
    table.write_text('told = ["once", { a = "drawn anew" }]  # charge\n')
    assert [hit.partition(" (")[0] for hit in hits(table)] == ["'told'", "'anew'"]


if __name__ == "__main__":
    for name in PACKAGES:
        listed = [hit for path in files(name) for hit in unwanted(path)]
        print(f"{len(listed):5} {name}")
