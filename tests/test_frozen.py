"""Settings and answers are values: every dataclass of the library is frozen, but for networks and games, which are trained,
the dynamics that train them, and four that are states."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

STATES = {
    "interalia.runs.claims.Claim",  # a lock that is released
    "interalia.runs.rows.FinishedRows",  # which remembers what it has read of a growing file
    "interalia.training.sharing.Sharing",  # work in progress
    "interalia.training.state.Training",  # which goes on
}


def test_every_dataclass_is_frozen_but_the_states() -> None:
    import interalia
    from interalia.learning.dynamics import Dynamics
    from interalia.networks.layers import FieldModule

    names = [module.name for module in pkgutil.walk_packages(interalia.__path__, "interalia.")]
    found, loose = set(), set()
    for name in names:
        if name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(name)).values():
            if inspect.isclass(kind) and "__dataclass_params__" in vars(kind) and kind.__module__ == name:
                full = f"{name}.{kind.__qualname__}"
                found.add(full)
                if not kind.__dataclass_params__.frozen and not issubclass(kind, (Dynamics, FieldModule)):  # type: ignore[attr-defined]
                    loose.add(full)
    assert loose == STATES
    assert len(found) > 30
