"""What type checkers, editors and notebooks know: public names, their types, completion and short descriptions."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import interalia
from interalia import Dataset, Run, Split

SOURCE = Path(interalia.__file__).parent
LAZY = ("", "data", "detect", "metrics", "reports", "tasks")  # packages whose names are imported at their first use

MISTAKES = """
import interalia

trained = interalia.train("ali-digits", steps=3, verbose=False)
z = trained.encode("picture.png")
samples = interalia.generate(trained, count=4)
run = interalia.recipes.ali_digits(steps=200).replace(seed=3)
detector = interalia.Detector()
data: interalia.Dataset = trained.dataset
values = interalia.evaluate(trained)["metrics"]
page = interalia.report(interalia.load("runs/x"))
found = interalia.results.evaluate(trained)

trained.generate("four")
interalia.train("ali-digits", step=3)
interalia.nothing_of_this_name(1)
"""
MORE_MISTAKES = """
import interalia

interalia.generate(interalia.load("runs/x"), count="four")
interalia.recipes.ali_digits(step=200)
interalia.data.nothing
interalia.load(3)
interalia.load("runs/x").histroy
interalia.load("runs/x").dataset.train.z
"""


def imported_for_types(package: str) -> set[str]:
    """The names that a package imports for type checkers alone."""
    tree = ast.parse((SOURCE / package / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    nodes = [node for block in blocks for node in block.body]
    imports = [alias for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    declared = [ast.unparse(node.target) for node in nodes if isinstance(node, ast.AnnAssign)]
    return {*(alias.asname or alias.name for alias in imports), *declared}


@pytest.mark.parametrize("package", LAZY)
def test_type_checkers_know_every_public_name_and_no_other(package: str) -> None:
    found = importlib.import_module(f"interalia.{package}".rstrip("."))
    public = set(found.__all__)
    eager = {name for name in public if name in vars(found) and name not in imported_for_types(package)}
    assert public - eager <= imported_for_types(package)
    tree = ast.parse((SOURCE / package / "__init__.py").read_text(encoding="utf-8"))
    assert isinstance(next(node.value for node in tree.body if "__all__" in ast.unparse(node)[:8]), ast.List)  # type: ignore[attr-defined]
    defined = [node for node in tree.body if not isinstance(node, ast.If | ast.FunctionDef)]
    assert not any("__getattr__" in ast.unparse(node) for node in defined)
    assert all(node.name != "__getattr__" for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("package", LAZY)
def test_completion_lists_every_public_name_and_each_exists(package: str) -> None:
    found = importlib.import_module(f"interalia.{package}".rstrip("."))
    names = dir(found)
    assert set(found.__all__) <= set(names)
    assert names == sorted(set(names))
    for name in names:
        assert getattr(found, name) is not None or name == "__doc__"
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        getattr(found, "nothing_of_this_name")  # noqa: B009


def test_completion_of_a_fresh_process_imports_no_torch() -> None:
    code = "import interalia, sys; print('Dataset' in dir(interalia), 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "True",
        "False",
    ]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("script", "first"), [(MISTAKES, 14), (MORE_MISTAKES, 4)])
def test_mypy_finds_each_mistake_of_a_user_and_nothing_else(script: str, first: int, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(script)
    cache = SOURCE.parents[1] / ".mypy_cache" / "user"
    quiet = (
        "--config-file",
        os.devnull,
        "--follow-imports",
        "silent",
        "--cache-dir",
        str(cache),
    )  # as of an installed package
    command = [sys.executable, "-m", "mypy", *quiet, "script.py"]
    environment = {**os.environ, "MYPYPATH": str(SOURCE.parent)}
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    lines = [int(line.split(":")[1]) for line in found.stdout.splitlines() if ": error:" in line]
    mistakes = [number for number, line in enumerate(script.splitlines(), 1) if number >= first and line]
    assert lines == mistakes, found.stdout


def test_a_run_is_described_in_three_lines_by_what_is_special() -> None:
    lines = repr(interalia.recipes.ali_digits(steps=7, penalty="r1")).splitlines()
    assert lines[0] == "Run 'ali-digits': alice(cycle=5.0) on digits, 7 steps of 128"
    assert lines[1] == "other than the recipe ali-digits: penalty='r1', steps=7"
    assert len(lines) == 3
    assert "penalty" not in lines[2]
    assert repr(interalia.recipes.ali_digits()).splitlines()[1] == "as the recipe ali-digits"
    assert repr(Run()).splitlines()[1] == "as the defaults"


def test_a_data_set_is_described_in_three_lines_and_shows_its_images() -> None:
    x, y = np.zeros((6, 3, 8, 8), np.uint8), np.array([0, 1] * 3)
    found = Dataset("mine", Split(x, y), Split(x[:2]), Split(x[:1]), classes=("cat", "dog"))
    lines = repr(found).splitlines()
    assert lines == [
        "Dataset 'mine': images of 3x8x8, uint8, 6 / 2 / 1 for training, validation and test",
        "2 labels (cat, dog); numbers as they were read",
        "no description",
    ]
    assert "data:image/png;base64," in found._repr_html_()
    assert repr(found.train) == "Split of 6 examples of shape (3, 8, 8), uint8, with labels"
    vectors = Split(np.zeros((4, 2), np.float32))
    assert "<img" not in Dataset("v", vectors, vectors, vectors)._repr_html_()
