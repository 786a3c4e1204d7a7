"""interalia: adversarially learned inference. Generative models with an encoder (ALI/BiGAN, VAE/AVB, GANs).

Public names are imported at their first use.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_HOMES = {  # public name -> its module
    name: home
    for home, names in {
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
    }.items()
    for name in names
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

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"interalia.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"interalia.{_MODULES[name]}")
    raise AttributeError(f"module 'interalia' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
