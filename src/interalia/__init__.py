"""interalia: a library of adversarially learned inference (ALI/BiGAN), and of related generative models: VAE, AVB, GANs.

Public names are imported at their first use.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from interalia import (
        adversarial,
        conditionals,
        contexts,
        data,
        detect,
        errors,
        games,
        learning,
        metrics,
        networks,
        registry,
        reports,
        runs,
        spaces,
        tasks,
        training,
    )
    from interalia import reports as results
    from interalia.adversarial import disturbances, divergences, penalties
    from interalia.data.dataset import Dataset, Split
    from interalia.detect.detector import Detector
    from interalia.errors import UserError
    from interalia.learning import dynamics, optimizers
    from interalia.metrics.health import health
    from interalia.registry import Part
    from interalia.reports import plots
    from interalia.reports.drawing import report
    from interalia.reports.measuring import evaluate
    from interalia.runs import Run, recipes
    from interalia.runs.building import build
    from interalia.tasks.codes import traverse
    from interalia.tasks.completion import complete, project
    from interalia.tasks.editing import edit
    from interalia.tasks.inference import (
        classify,
        decode,
        encode,
        features,
        generate,
        interpolate,
        neighbours,
        reconstruct,
        translate,
    )
    from interalia.training import callbacks, engine
    from interalia.training.checking import check
    from interalia.training.engine import train
    from interalia.training.trained import Trained, load

    papers: ModuleType  # without types: an import of the experiments would make a cycle of imports

__version__ = "0.2.0"


def packaged_toml(package: str, name: str) -> dict[str, Any]:
    """Returns the content of a TOML file that is installed with the library, as a dictionary.

    Arguments:
        package: the package with the file, such as "interalia.data".
        name: the name of the file, such as "sources.toml".
    """
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def lazy_names(
    package: str, modules: Mapping[str, Collection[str]], others: Mapping[str, str] = {}
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the functions `__getattr__` and `__dir__` of a package whose public names are imported at their first use.

    `__dir__` lists these names, by which editors and notebooks complete them, and all that the package has already.

    Arguments:
        package: the name of the package, its `__name__`.
        modules: name of a module without the package, such as "loading" -> the names of its public objects. A name may be
            listed for several modules if it is not known which of them defines it; the first one that does counts.
        others: public name of a module -> its path without the package; empty for none.
    """

    def find(name: str) -> Any:
        """Returns the public object or module of a name, after importing it.

        Raises:
            AttributeError: the package has no such public name.
        """
        if name in others:
            return importlib.import_module(f"{package}.{others[name]}")
        for module, names in modules.items():
            if name in names and hasattr(found := importlib.import_module(f"{package}.{module}"), name):
                return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        """Returns the names of all public objects and modules of the package, sorted."""
        return sorted({*vars(sys.modules[package]), *others, *(name for listed in modules.values() for name in listed)})

    return find, names


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
} | {"results": "reports"}  # fmt: skip

__all__ = [
    "Dataset", "Detector", "Part", "Run", "Split", "Trained", "UserError", "adversarial", "build", "callbacks",
    "check", "classify", "complete", "conditionals", "contexts", "data", "decode", "detect", "disturbances",
    "divergences", "dynamics", "edit", "encode", "engine", "errors", "evaluate", "features", "games", "generate",
    "health", "interpolate", "learning", "load", "metrics", "neighbours", "networks", "optimizers", "papers",
    "penalties", "plots", "project", "recipes", "reconstruct", "registry", "report", "reports", "results", "runs",
    "spaces", "tasks", "train", "training", "translate", "traverse",
]  # fmt: skip

if not TYPE_CHECKING:  # type checkers and editors read the imports above
    __getattr__, __dir__ = lazy_names(__name__, _OBJECTS, _MODULES)
