"""The house in figures, from the code alone: rooms, arrows between them, and how long its functions are.

    python tests/house.py     # prints them

A room is what lies directly under the package. An arrow leads from a room to one that it imports, at the top of a file or
within a function; imports for types alone are free.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "interalia"
# from the ground up; a room imports from the floors below its own and from nowhere else
FLOORS = (
    {"contexts", "errors", "spaces"},
    {"aliases", "disk"},
    {"registry"},
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
NAMING = ("games", "papers")  # rooms in which a game's name may stand as a string, beside the recipes
FILE = ("runs/recipes.py",)


@cache
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}


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


@cache
def arrows() -> set[tuple[str, str]]:
    found = set()
    for file, tree in trees().items():
        for module in imported(tree.body):
            parts = module.split(".")
            if parts[0] == "interalia" and len(parts) > 1 and parts[1] in ROOMS and parts[1] != room(file):
                found.add((room(file), parts[1]))
    return {(a, b) for a, b in found if a != "__init__"}


@cache
def circles() -> set[frozenset[str]]:
    """Rooms that reach each other."""
    reach = {name: {b for a, b in arrows() if a == name} for name in ROOMS}
    for _ in ROOMS:
        for name in ROOMS:
            reach[name] |= set().union(*(reach[other] for other in reach[name]))
    return {frozenset({a, b}) for a in ROOMS for b in reach[a] if a in reach[b]}


@cache
def functions() -> dict[str, int]:
    """Lines of every function, its decorators and docstring included."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        f"{file.relative_to(SOURCE)}:{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    }


def code_lines(file: Path) -> int:
    """Lines with code on them: no docstrings, comments and blanks."""
    text = file.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(trees()[file]):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            prose |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in nothing:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - prose)


def flags() -> list[str]:
    """Errors outside of the command line that name a flag of it."""
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file, tree in trees().items()
        if room(file) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.exc is not None and re.search(r"--[a-z]", ast.unparse(node.exc))
    ]


def asked_by_attribute() -> list[str]:
    """Places where what a game can do is found out by `hasattr`, or `getattr` with a default."""
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and (node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3))
        and re.search(r"\b(game|kind|self\.game|trained\.game)\b", ast.unparse(node.args[0]))
    ]


def names_of_games(names: set[str]) -> list[str]:
    """Places outside of games, recipes and papers where the name of a game stands as a string."""
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.value!r}"
        for file, tree in trees().items()
        if room(file) not in NAMING and str(file.relative_to(SOURCE)) not in FILE
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names
    ]


def attributes_of_game() -> int:
    """Annotated attributes in the body of `Game`."""
    game = next(
        n for n in trees()[SOURCE / "games" / "game.py"].body if isinstance(n, ast.ClassDef) and n.name == "Game"
    )
    return sum(isinstance(node, ast.AnnAssign) for node in game.body)


def figures() -> dict[str, object]:
    lines = {file: code_lines(file) for file in trees()}
    return {
        "files": len(lines),
        "code lines": sum(lines.values()),
        "code lines a room": {
            name: sum(count for file, count in lines.items() if room(file) == name) for name in sorted(ROOMS)
        },
        "rooms": len(ROOMS),
        "arrows": len(arrows()),
        "circles": sorted(map(sorted, circles())),
        "functions over 60 lines": {name: n for name, n in functions().items() if n > 60},
        "lines of papers": sum(len(file.read_text().splitlines()) for file in trees() if room(file) == "papers"),
        "errors with a flag": len(flags()),
        "games asked by attribute": asked_by_attribute(),
        "annotated attributes of Game": attributes_of_game(),
    }


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name}: {figure}")
