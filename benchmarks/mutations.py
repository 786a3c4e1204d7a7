"""The mutants of a file: where it can be changed and how, and which lines execute what was changed.

cosmic-ray's operators (arithmetic, comparisons, numbers, conditions, loops, exceptions, decorators) and four more that
wrong formulas look like: a method left out (`detach`, `clamp`), a function taken for its neighbour (`min` for `max`), two
arguments swapped, a statement left out.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

# What no draw takes
LEFT_OUT = [
    "annotations and blocks for type checkers, which are not executed",
    "words of error messages (their conditions are in)",
    "`__all__`",
    "`strict` of zip and `@abstractmethod`, which guard what a mistake elsewhere would break",
    "shifts and bits in place of arithmetic, which floating-point numbers refuse",
    "calls of `super().__init__`, without which nothing is made at all; two texts swapped, and the arguments of min and max",
    "identity in place of equality and back",
]

BY_HAND = "ByHand"
ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
IDENTITY = {"Is", "IsNot"}
METHODS = ["detach", "exp", "log", "sqrt", "rsqrt", "square", "abs", "sigmoid", "tanh", "softmax", "log_softmax"]
METHODS += ["clamp", "clamp_min", "clamp_max", "mean", "sum", "flip"]
PAIRS = (
    "mean sum|min max|amin amax|argmin argmax|exp log|sin cos|zeros ones|zeros_like ones_like|floor ceil|any all"
    "|sqrt square|triu tril|minimum maximum|rand randn|rand_like randn_like|softplus relu|validation test|clamp_min clamp_max"
    "|sigmoid tanh"
)
SYMMETRIC = {"min", "max", "minimum", "maximum"}  # of their first two arguments
NEIGHBOURS = {a: b for pair in PAIRS.split("|") for a, b in (pair.split(), pair.split()[::-1])} | {"rsample": "sample"}


@dataclass(frozen=True)
class Site:
    """One change: in a file, at a line and column, by the operator's how-manieth occurrence; the line before and after."""

    file: str
    line: int
    column: int
    operator: str
    occurrence: int
    before: str = ""
    after: str = ""


class LeaveMethodOut(Operator):
    """x.detach() -> x"""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        yield from [(node.children[at].start_pos, node.children[at + 1].end_pos) for at in self.places(node)]

    def mutate(self, node: Any, index: int) -> Any:
        at = list(self.places(node))[index]
        del node.children[at : at + 2]
        return node

    @staticmethod
    def places(node: Any) -> list[int]:
        if node.type not in {"atom_expr", "power"}:
            return []
        pairs = zip(node.children, node.children[1:], strict=False)
        return [
            index
            for index, (name, call) in enumerate(pairs)
            if name.type == call.type == "trailer"
            and name.children[1].get_code() in METHODS
            and call.children[0] == "("
        ]

    @classmethod
    def examples(cls) -> Any:
        return ()


class TakeNeighbour(Operator):
    """x.mean() -> x.sum()"""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type != "name" or node.value not in NEIGHBOURS:
            return
        before, after = node.get_previous_leaf(), node.get_next_leaf()
        attribute = before == "." and before.get_previous_leaf() != "self"
        data = attribute and node.value in {"validation", "test"}
        called = after == "(" and before != "def" and (attribute or before != ".")
        if data or called or (after == "=" and node.parent.type == "argument"):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.value = NEIGHBOURS[node.value]
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class SwapArguments(Operator):
    """kl(p, q) -> kl(q, p)"""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "arglist" and node.parent.type == "trailer" and len(node.children) > 2:
            first, second = node.children[0], node.children[2]
            name = node.parent.get_previous_leaf()
            commutes = first.type == "string" or (name is not None and name.value in SYMMETRIC)
            if not commutes and shape(first) == shape(second) and first.get_code().strip() != second.get_code().strip():
                yield first.start_pos, second.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0], node.children[2] = node.children[2], node.children[0]
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


class LeaveStatementOut(Operator):
    """self.opt.step() -> pass"""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and node.children:
            inner = node.children[0]
            call = inner.type in {"atom_expr", "power"}
            augmented = inner.type == "expr_stmt" and inner.children[1].type in {"operator", "augassign"}
            augmented = augmented and inner.children[1].get_code().strip() != "="
            if (call and not inner.get_code().startswith("super().__init__(")) or augmented:
                yield inner.start_pos, inner.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        inner = node.children[0]
        prefix = inner.get_first_leaf().prefix
        node.children[0] = parso.python.tree.Name("pass", inner.start_pos, prefix=prefix)
        return node

    @classmethod
    def examples(cls) -> Any:
        return ()


def shape(node: Any) -> list[str]:
    """The kinds of an expression's parts: those of joints["q"] and joints["p"] are equal."""
    return [part.type for part in ast_nodes(node)] if node.type != "argument" else [str(node.start_pos)]


@functools.cache
def operators() -> dict[str, Operator]:
    """Every operator, by its name."""
    found: dict[str, Operator] = {}
    for full in sorted(operator_names()):
        name = full.split("/")[-1]
        words = name.split("_")
        kind = get_operator(full)
        if kind.arguments():
            continue
        if words[0] == "ReplaceBinaryOperator" and len(set(words[1:]) & ARITHMETIC) == 1:
            continue
        if words[0] == "ReplaceComparisonOperator" and len(set(words[1:]) & IDENTITY) == 1:
            continue
        if words[0] == "ReplaceUnaryOperator" and "Invert" in words and "Delete" not in words:
            continue
        found[name] = kind()
    for own in (LeaveMethodOut, TakeNeighbour, SwapArguments, LeaveStatementOut):
        found[own.__name__] = own()
    return found


def sites(file: str, source: str) -> list[Site]:
    """Every change of the file that a draw may take; `complete` says what becomes of the line."""
    found = []
    nodes = list(ast_nodes(parso.parse(source)))
    out = left_out(ast.parse(source))
    for name, operator in operators().items():
        occurrence = -1
        for node in nodes:
            for (line, column), _ in operator.mutation_positions(node):
                occurrence += 1
                if not any(start <= (line, column) < stop for start, stop in out):
                    found.append(Site(file, line, column, name, occurrence))
    return found


def complete(source: str, site: Site) -> Site | None:
    """The mutant with what its line becomes; None where Python cannot compile it or it is the same program."""
    text = mutated(source, site)
    try:
        if ast.dump(ast.parse(text)) == ast.dump(ast.parse(source)):
            return None
        compile(text, site.file, "exec")
    except SyntaxError:
        return None
    before, after = source.splitlines(), text.splitlines()
    first = next(i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    last = next(i for i, (a, b) in enumerate(zip(before[::-1], after[::-1], strict=False)) if a != b)
    was = " ".join(line.strip() for line in before[first : len(before) - last])
    now = " ".join(line.strip() for line in after[first : len(after) - last])
    return Site(site.file, site.line, site.column, site.operator, site.occurrence, was, now)


def mutated(source: str, site: Site) -> str:
    """The source with the change."""
    if site.operator == BY_HAND:
        return source.replace(site.before, site.after)
    text = mutate_code(source, operators()[site.operator], site.occurrence)
    assert text is not None
    return str(text)


Span = tuple[tuple[int, int], tuple[int, int]]


def span(node: Any) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def left_out(tree: ast.Module) -> list[Span]:
    """Spans of the source in which no change makes a wrong formula; see LEFT_OUT."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            found.append(span(node.annotation))
        if isinstance(node, ast.FunctionDef) and node.returns:
            found.append(span(node.returns))
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(span(node))
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            found.append(span(node))
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            found.append(span(node))
        if isinstance(node, ast.Raise):
            found += [span(inner) for inner in ast.walk(node) if isinstance(inner, ast.JoinedStr)]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip":
            found += [span(word) for word in node.keywords if word.arg == "strict"]
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if "abstractmethod" in ast.unparse(decorator) or "overload" in ast.unparse(decorator):
                    (line, column), stop = span(decorator)
                    found.append(((line, column - 1), stop))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in {
            "Callable",
            "Mapping",
            "dict",
            "list",
            "tuple",
        }:
            found.append(span(node))
    return found


def code_lines(source: str) -> int:
    """Lines that are neither blank, comment nor docstring."""
    return len(executed(ast.parse(source)))


def executed(tree: ast.AST) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            lines |= set(head(node))
    return lines


def head(node: Any) -> range:
    """A statement's own lines: all of a simple one, those up to the colon of a compound one."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not isinstance(body, list):
        return range(node.lineno, node.end_lineno + 1)
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    start = getattr(body[0], "lineno", None) or body[0].pattern.lineno
    return range(first, max(first + 1, start))


def reach(source: str, line: int) -> set[int]:
    """The lines that a test has to execute, one of them at least, to notice a change of this line.

    For a statement of a function these are its own lines; for a default or a decorator those of the function; for what a
    class states those of the class; for a constant of the module those that name it, or else the whole module.
    """
    tree = ast.parse(source)
    around = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and inside(n, line)]
    around.sort(key=lambda node: (node.lineno, -(node.end_lineno or 0)))
    if not around:
        return set(range(1, len(source.splitlines()) + 1))
    inner, outer = around[-1], around[:-1]
    if isinstance(inner, ast.FunctionDef | ast.ClassDef):
        return set(range(inner.body[0].lineno, (inner.end_lineno or 0) + 1))
    if any(isinstance(node, ast.FunctionDef) for node in outer):
        return set(head(inner)) if hasattr(inner, "body") else set(range(inner.lineno, (inner.end_lineno or 0) + 1))
    if (kind := next((node for node in outer[::-1] if isinstance(node, ast.ClassDef)), None)) is not None:
        return set(range(kind.lineno, (kind.end_lineno or 0) + 1))
    names = {n.id for n in ast.walk(inner) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    uses = {
        n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in names and isinstance(n.ctx, ast.Load)
    }
    return uses or set(range(1, len(source.splitlines()) + 1))


def imported(source: str, line: int) -> bool:
    """True if a line is executed when the module is imported: a default, a decorator, a class body, a constant.

    A test notices a change there without executing any line of the file.
    """
    tree = ast.parse(source)
    bodies = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    return not any(line in range(n.body[0].lineno, (n.end_lineno or 0) + 1) for n in bodies)


def inside(node: Any, line: int) -> bool:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return first <= line <= node.end_lineno
