"""interalia: adversarially learned inference. Generative models with an encoder (ALI/BiGAN, VAE/AVB, GANs).

Public names are imported at their first use.
"""

from __future__ import annotations

import pkgutil
from typing import Any

__version__ = "0.2.0"

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
