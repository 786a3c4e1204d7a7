"""interalia: adversarially learned inference. Generative models with an encoder (ALI/BiGAN, VAE/AVB, GANs).

Public names are imported at their first use.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from typing import Any

__version__ = "0.2.0"


def lazy_getattr(package: str, modules: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """Returns a `__getattr__` for a package, which imports the package's public names at their first use.

    Arguments:
        package: the name of the package, its `__name__`.
        modules: the names that may be imported from each module of the package. A name in several lists is taken from the
            first of these modules that has it.
    """

    def find(name: str) -> Any:
        """The object that the package exports under a name.

        Raises:
            AttributeError: no module has the name, or it is in no list.
        """
        for module, names in modules.items():
            if name in names and hasattr(found := importlib.import_module(f"{package}.{module}"), name):
                return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


_HOMES = {  # start of a path -> public names that complete it: objects after a colon, modules otherwise
    "runs:": ["Run"],
    "registry:": ["Part"],
    "runs.loading:": ["Trained", "load"],
    "runs.building:": ["build"],
    "training.engine:": ["train"],
    "training.checking:": ["check"],
    "tasks:": [
        "generate", "encode", "decode", "reconstruct", "interpolate", "features", "traverse", "translate", "edit",
        "complete", "project", "neighbours", "classify",
    ],
    "metrics.health:": ["health"],
    "errors:": ["UserError"],
    "": [
        "adversarial", "conditionals", "contexts", "data", "errors", "games", "learning", "metrics", "networks", "papers",
        "registry", "reports", "runs", "spaces", "tasks", "training",
    ],
    "adversarial.": ["disturbances", "divergences", "penalties"],
    "learning.": ["dynamics", "optimizers"],
    "runs.": ["recipes"],
    "training.": ["engine", "callbacks"],
    "reports.": ["plots"],
}  # fmt: skip
_ENDS = {home: "" if home.endswith(":") else ":" for home in _HOMES}  # a path that ends in a colon is that of a module
_PATHS = {name: f"interalia.{home}{name}{_ENDS[home]}" for home, names in _HOMES.items() for name in names}

__all__ = [*_PATHS]


def __getattr__(name: str) -> Any:
    """Imports a public name, such as ``interalia.load`` or the module ``interalia.recipes``, and returns what it names.

    Raises:
        AttributeError: there is no such public name.
    """
    if name not in _PATHS:
        raise AttributeError(f"module 'interalia' has no attribute {name!r}")
    return pkgutil.resolve_name(_PATHS[name])


def __dir__() -> list[str]:
    """Returns the public names, and ``__version__``."""
    return [*__all__, "__version__"]
