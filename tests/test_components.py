"""docs/components.md and what `list` prints are up to date, and the links and rows of the page are whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import components

from interalia import registry


def test_the_page_is_up_to_date() -> None:
    assert components.PAGE.read_text(encoding="utf-8") == components.page(), "run `make components`"


def test_what_list_prints_is_up_to_date() -> None:
    assert components.CATALOGUE.read_text(encoding="utf-8") == components.catalogue(), "run `make components`"


def test_list_imports_neither_torch_nor_scipy() -> None:
    found = "{'torch', 'scipy', 'numpy'} & {*sys.modules}"
    code = f"import sys, interalia.cli as c\ntry: c.main(['list'])\nfinally: print({found})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "set()"
    assert any(line.startswith("ali-digits ") for line in lines)
    assert any(line.startswith("wgan-gp ") for line in lines)


def test_every_kind_and_every_entry_has_its_row() -> None:
    page = components.page()
    assert set(components.OPTIONS) == set(registry.KINDS)
    for kind in registry.KINDS:
        for name in registry.registry(kind).built_in:
            assert f"\n| `{name}` | " in page, f"{kind} {name}"


def test_every_row_has_as_many_cells_as_its_heading() -> None:
    for kind in components.OPTIONS:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in components.table(kind)}) == 1, kind


def test_references_are_read_from_a_docstring() -> None:
    class Plain:
        """A class.

        References:
            A title, with a comma in it by one A. Author, 2001
            Another title, B. Author and others, 2002,
            https://example.org/b (section 4.4, "the part
            that counts")

        Arguments:
            x: no reference, 2003.
        """

    class Derived(Plain):
        """A class without references: those of the class above."""

    links = ["A title, 2001", "[Another title, 2002](https://example.org/b)"]
    assert components.references(Plain) == components.references(Derived) == links
    assert components.references(print) == []
