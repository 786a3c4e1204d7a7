"""For tables of what is settled when a module is loaded: defaults, constants, and which classes are frozen."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Every argument with a default, and the default."""
    every = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in every if one.default is not one.empty}


def anew(module: ModuleType) -> Any:
    """The module, loaded once more beside itself: a test that asks for it executes all that is settled then."""
    assert module.__file__ is not None
    spec = spec_from_file_location(f"{module.__name__}_anew", module.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = module_from_spec(spec)
    sys.modules[spec.name] = fresh  # where dataclasses look for it
    try:
        spec.loader.exec_module(fresh)
    finally:
        del sys.modules[spec.name]
    return fresh
