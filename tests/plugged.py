"""Other people's packages and modules, for the length of a test."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from interalia import registry


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Takes out again whatever is added, imported and looked up within."""
    registries = [registry.registry(kind) for kind in registry.KINDS]
    before = [(dict(r.added), dict(r.origins), set(r.tried)) for r in registries]
    modules, path, attempted = set(sys.modules), list(sys.path), dict(registry.IMPORTED)
    registry.entry_points.cache_clear()
    try:
        yield
    finally:
        for r, (added, origins, tried) in zip(registries, before, strict=True):
            r.added, r.origins, r.tried = added, origins, tried
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(tempfile.gettempdir()):  # the tests' own
                del sys.modules[name]
        registry.IMPORTED.clear()
        registry.IMPORTED.update(attempted)
        registry.entry_points.cache_clear()


def install(folder: Path, package: str, version: str, entries: Mapping[str, Mapping[str, str]]) -> None:
    """Writes into a folder on the path what an installer leaves of a package: its metadata with its entry points.

    Arguments:
        entries: kind -> name -> ``module:object``.
    """
    home = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    home.mkdir(parents=True)
    (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"[interalia.{kind}]\n" + "".join(f"{n} = {t}\n" for n, t in own.items()) for kind, own in entries.items()]
    (home / "entry_points.txt").write_text("\n".join(lines))
