"""interalia: a library of adversarially learned inference (ALI/BiGAN), and of related generative models: VAE, AVB, GANs.

Public names are imported at their first use.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from typing import Any

__version__ = "0.2.0"


def packaged_toml(package: str, name: str) -> dict[str, Any]:
    """Returns the content of a TOML file that is installed with the library, as a dictionary.

    Arguments:
        package: the package with the file, such as "interalia.data".
        name: the name of the file, such as "sources.toml".
    """
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def lazy_getattr(package: str, modules: Mapping[str, Collection[str]]) -> Callable[[str], Any]:
    """Returns the function `__getattr__` of a package, which imports a public object of the package at its first use.

    Arguments:
        package: the name of the package, its `__name__`.
        modules: name of a module without the package, such as "loading" -> the names of its public objects. A name may be
            listed for several modules if it is not known which of them defines it; the first one that does counts.
    """

    def find(name: str) -> Any:
        """Returns the public object of a name, after importing its module.

        Raises:
            AttributeError: the name is not in `modules`, the argument of `lazy_getattr`, or no module there has it.
        """
        for module, names in modules.items():
            if name in names and hasattr(found := importlib.import_module(f"{package}.{module}"), name):
                return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


_OBJECTS = {  # module -> the public objects that it defines
    "runs": ["Run"],
    "registry": ["Part"],
    "runs.building": ["build"],
    "training.engine": ["train"],
    "training.trained": ["Trained", "load"],
    "training.checking": ["check"],
    "tasks": [
        "generate", "encode", "decode", "reconstruct", "interpolate", "features", "traverse", "translate", "edit",
        "complete", "project", "neighbours", "classify",
    ],
    "metrics.health": ["health"],
    "data.dataset": ["Dataset", "Split"],
    "reports.measuring": ["evaluate"],
    "reports.drawing": ["report"],
    "detect": ["Detector"],
    "errors": ["UserError"],
}  # fmt: skip
_MODULES = {  # public name -> path of the module
    path.rpartition(".")[2]: path
    for path in (
        "adversarial", "conditionals", "contexts", "data", "errors", "games", "learning", "metrics", "networks", "papers",
        "registry", "reports", "runs", "spaces", "tasks", "training", "adversarial.disturbances", "adversarial.divergences",
        "adversarial.penalties", "learning.dynamics", "learning.optimizers", "runs.recipes", "training.engine",
        "training.callbacks", "reports.plots", "detect",
    )
}  # fmt: skip
_find_object = lazy_getattr(__name__, _OBJECTS)

__all__ = [*(name for names in _OBJECTS.values() for name in names), *_MODULES]


def __getattr__(name: str) -> Any:
    """Returns the public object or module of a name, such as `interalia.load` or `interalia.recipes`, after importing it.

    Raises:
        AttributeError: there is no such public name.
    """
    return importlib.import_module(f"{__name__}.{_MODULES[name]}") if name in _MODULES else _find_object(name)


def __dir__() -> list[str]:
    """Returns the names of all public objects and modules, and ``__version__``."""
    return [*__all__, "__version__"]
