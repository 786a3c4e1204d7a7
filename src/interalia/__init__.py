"""interalia: adversarially learned inference. Generative models with an encoder (ALI/BiGAN, VAE/AVB, GANs).

Public names are imported at their first use.
"""

from __future__ import annotations

import importlib
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


_MODULE_NAMES = {
    "runs": ["Run"],
    "registry": ["Part"],
    "runs.loading": ["Trained", "load"],
    "runs.building": ["build"],
    "training.engine": ["train"],
    "training.checking": ["check"],
    "tasks": [
        "generate", "encode", "decode", "reconstruct", "interpolate", "features", "traverse", "translate", "edit",
        "complete", "project", "neighbours", "classify",
    ],
    "metrics.health": ["health"],
    "errors": ["UserError"],
}  # fmt: skip
_MODULES = {  # public modules
    **{
        name: name
        for name in (
            "adversarial", "conditionals", "contexts", "data", "errors", "games", "learning", "metrics", "networks", "papers",
            "registry", "reports", "runs", "spaces", "tasks", "training",
        )
    },
    "disturbances": "adversarial.disturbances",
    "divergences": "adversarial.divergences",
    "penalties": "adversarial.penalties",
    "dynamics": "learning.dynamics",
    "optimizers": "learning.optimizers",
    "recipes": "runs.recipes",
    "engine": "training.engine",
    "callbacks": "training.callbacks",
    "plots": "reports.plots",
}  # fmt: skip

__all__ = [*(name for names in _MODULE_NAMES.values() for name in names), *_MODULES]
_find = lazy_getattr(__name__, _MODULE_NAMES)


def __getattr__(name: str) -> Any:
    return importlib.import_module(f"interalia.{_MODULES[name]}") if name in _MODULES else _find(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
