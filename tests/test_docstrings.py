"""Every public method has a docstring, or its base class has one for it; ruff checks all other public names."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest

import interalia

MODULES = [m.name for m in pkgutil.walk_packages(interalia.__path__, "interalia.") if not m.name.endswith("__main__")]
PACKAGES = sorted({name.split(".")[1] for name in MODULES})

# packages with methods that nothing describes yet
LACKING: set[str] = set()


def classes(package: str) -> Iterator[type]:
    """The public classes that a package defines."""
    for module in map(importlib.import_module, MODULES):
        if module.__name__.split(".")[1] == package:
            found = [
                value for name, value in vars(module).items() if inspect.isclass(value) and not name.startswith("_")
            ]
            yield from (value for value in found if value.__module__ == module.__name__)


def undescribed(kind: type) -> list[str]:
    """The public methods and properties of a class that have no docstring and inherit none."""
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    found = []
    for name, value in vars(kind).items():
        method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        described = inspect.isfunction(method) or isinstance(method, property)
        if described and not name.startswith("_") and name not in fields and not inspect.getdoc(getattr(kind, name)):
            found.append(f"{kind.__module__}.{kind.__qualname__}.{name}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_method_is_described(package: str) -> None:
    found = [name for kind in classes(package) for name in undescribed(kind)]
    assert bool(found) == (package in LACKING), found


class Above:
    def described(self) -> int:
        """The number."""
        return 0

    @property
    def bare(self) -> int:
        return 1


class Below(Above):
    def described(self) -> int:
        return 2

    @classmethod
    def made(cls) -> Below:
        return cls()


def test_a_method_inherits_its_description() -> None:
    assert [name.rpartition(".")[2] for name in undescribed(Above)] == ["bare"]
    assert [name.rpartition(".")[2] for name in undescribed(Below)] == ["made"]


if __name__ == "__main__":
    for package in PACKAGES:
        print(package, *(name for kind in classes(package) for name in undescribed(kind)), sep="\n    ")
