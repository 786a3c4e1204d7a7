"""The rooms of the library and which way they import: every import that runs points to a lower floor."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import interalia

SOURCE = Path(interalia.__file__).parent
# from the ground up; a room imports from the floors below its own and from nowhere else
FLOORS = (
    {"contexts", "errors", "spaces"},
    {"disk", "registry"},
    {"adversarial", "data", "networks"},
    {"conditionals"},
    {"games"},
    {"tasks"},
    {"learning", "metrics", "runs"},
    {"reports"},
    {"training"},
    {"papers"},
    {"cli"},
)
ROOMS = set().union(*FLOORS)


def room(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(nodes: list[ast.stmt]) -> Iterator[str]:
    """The modules of every import that runs, at the top of a file or within a function; those for types alone are free."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imported(node.orelse)
        else:
            inner = [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
            own = [child for child in inner if isinstance(child, ast.Import | ast.ImportFrom)]
            yield from imported(own)


def arrows() -> set[tuple[str, str]]:
    found = set()
    for file in SOURCE.rglob("*.py"):
        for module in imported(ast.parse(file.read_text(encoding="utf-8")).body):
            parts = module.split(".")
            if parts[0] == "interalia" and len(parts) > 1 and parts[1] in ROOMS and parts[1] != room(file):
                found.add((room(file), parts[1]))
    return {(a, b) for a, b in found if a not in ("__init__", "__main__")}


def test_every_room_has_a_floor() -> None:
    assert {room(file) for file in SOURCE.rglob("*.py")} - {"__init__"} == ROOMS
    assert sum(map(len, FLOORS)) == len(ROOMS)


def test_every_import_points_down() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    up = {(a, b) for a, b in arrows() if floor[b] >= floor[a]}
    assert not up, f"imports that point up: {up}"


def test_an_import_within_a_function_counts_and_one_for_types_does_not() -> None:
    source = "if TYPE_CHECKING:\n    import interalia.a\ndef f():\n    if True:\n        from interalia.b import c\n"
    assert list(imported(ast.parse(source).body)) == ["interalia.b.c"]
