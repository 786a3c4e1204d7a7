"""The structure of the library in numbers, from its source: packages, their dependencies, and the lengths of functions.

    python tests/structure.py     # prints them

A package is a folder or a module directly under `interalia`. It depends on another one if it imports it, at the top of a file
or within a function; imports under TYPE_CHECKING do not count.
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
# from the lowest up; a package imports from lower layers only
LAYERS = (
    {"contexts", "errors", "spaces"},
    {"disk"},
    {"registry"},
    {"adversarial", "data", "networks"},
    {"conditionals"},
    {"games"},
    {"tasks"},
    {"learning", "metrics", "runs"},
    {"reports"},
    {"training"},
    {"detect"},
    {"papers"},
    {"cli"},
    {"__main__"},
)
PACKAGES = set().union(*LAYERS)
NAMING = ("games", "papers")  # packages that may have the name of a game as a string, beside the recipes
FILE = ("runs/recipes.py",)


@cache
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(SOURCE.rglob("*.py"))}


def package(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(nodes: list[ast.stmt]) -> Iterator[str]:
    """The modules of every import that is executed, at the top of a file or within a function."""
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
            imports = [child for child in inner if isinstance(child, ast.Import | ast.ImportFrom)]
            yield from imported(imports)


@cache
def dependencies() -> set[tuple[str, str]]:
    found = set()
    for file, tree in trees().items():
        for module in imported(tree.body):
            parts = module.split(".")
            if parts[0] == "interalia" and len(parts) > 1 and parts[1] in PACKAGES and parts[1] != package(file):
                found.add((package(file), parts[1]))
    return {(a, b) for a, b in found if a != "__init__"}


@cache
def cycles() -> set[frozenset[str]]:
    """Pairs of packages that depend on each other, directly or not."""
    reach = {name: {b for a, b in dependencies() if a == name} for name in PACKAGES}
    for _ in PACKAGES:
        for name in PACKAGES:
            reach[name] |= set().union(*(reach[other] for other in reach[name]))
    return {frozenset({a, b}) for a in PACKAGES for b in reach[a] if a in reach[b]}


@cache
def functions() -> dict[str, int]:
    """The number of lines of every function, with its docstring and without its decorators."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        f"{file.relative_to(SOURCE)}:{node.name}:{node.lineno}": (node.end_lineno or 0) - node.lineno + 1
        for file, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    }


def code_lines(file: Path) -> int:
    """The number of lines with code: no docstrings, comments or blank lines."""
    text = file.read_text(encoding="utf-8")
    docstrings: set[int] = set()
    for node in ast.walk(trees()[file]):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    no_code = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in no_code:
            code |= set(range(token.start[0], token.end[0] + 1))
    return len(code - docstrings)


def errors_with_options() -> list[str]:
    """Errors outside of the command line that name an option."""
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file, tree in trees().items()
        if package(file) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise) and node.exc is not None and re.search(r"--[a-z]", ast.unparse(node.exc))
    ]


def attribute_tests() -> list[str]:
    """Calls of `hasattr`, or of `getattr` with a default, on a game."""
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
    """Strings outside of games, recipes and papers that are the name of a game."""
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.value!r}"
        for file, tree in trees().items()
        if package(file) not in NAMING and str(file.relative_to(SOURCE)) not in FILE
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
        "code lines a package": {
            name: sum(count for file, count in lines.items() if package(file) == name) for name in sorted(PACKAGES)
        },
        "packages": len(PACKAGES),
        "dependencies": len(dependencies()),
        "cycles": sorted(map(sorted, cycles())),
        "functions over 60 lines": {name: n for name, n in functions().items() if n > 60},
        "lines of papers": sum(len(file.read_text().splitlines()) for file in trees() if package(file) == "papers"),
        "errors with an option": len(errors_with_options()),
        "attribute tests of games": attribute_tests(),
        "annotated attributes of Game": attributes_of_game(),
    }


if __name__ == "__main__":
    for name, figure in figures().items():
        print(f"{name}: {figure}")
