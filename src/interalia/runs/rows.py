"""The finished rows of a table in a file, and a lock for each row, so that several processes can share the rows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interalia.disk import parse_json, writing
from interalia.errors import UserError
from interalia.runs import claims, schemas
from interalia.runs.claims import Claim

Key = tuple[str, int, int]  # (name of a row, seed, steps), which identify it
FILE, LOCKS = "rows.jsonl", "locks"


@dataclass
class FinishedRows:
    """The rows of a table that are finished, in the file ``rows.jsonl`` of a folder, which several processes may share.

    A process claims a row before it computes it. The claim ends when the row is written, or with the process, so that another
    one can compute the row. The processes may be of several machines with one file system; for the locks see
    `interalia.runs.claims`.

    Attributes:
        folder: the folder of the table.
        seen: a cache of `read`: what identifies the version of the file, and its rows.
    """

    folder: Path
    seen: tuple[tuple[int, ...], dict[Key, dict[str, Any]]] = field(default=((), {}), compare=False)

    def read(self) -> dict[Key, dict[str, Any]]:
        """Returns (name, seed, steps) -> finished row, in the order of the file; empty if there is no file.

        Raises:
            UserError: the file is damaged.
        """
        path = self.folder / FILE
        try:
            found = path.stat()
        except FileNotFoundError:
            return {}
        version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if version != self.seen[0]:
            self.seen = version, {key_of(row): row for row in read_rows(path)}
        return dict(self.seen[1])

    def claim(self, key: Key) -> Claim:
        """Claims a row, given by (name, seed, steps), for this process, and returns the claim.

        Raises:
            TakenError: another process computes the row.
        """
        claims.make_folder(self.folder / LOCKS)
        name = hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()
        return Claim(self.folder / LOCKS, handle=claims.lock(self.folder / LOCKS, name), name=name)

    def add(
        self, row: Mapping[str, Any], write_table: Callable[[Mapping[Key, dict[str, Any]]], object]
    ) -> dict[Key, dict[str, Any]]:
        """Adds a finished row to the file, then calls `write_table` with all rows, by (name, seed, steps), and returns them.

        Other processes wait meanwhile if they add a row too.
        """
        with claims.waiting(self.folder / LOCKS, "table"):
            rows = {key_of(found): found for found in [*read_rows(self.folder / FILE), dict(row)]}  # not from the cache
            with writing(self.folder / FILE) as file:
                file.writelines(json.dumps(found) + "\n" for found in rows.values())
            write_table(rows)
        return rows

    def remove(self) -> None:
        """Removes the folder with all that is in it: the rows, the table and the trainings.

        Raises:
            UserError: another process computes one of the rows.
        """
        locks = self.folder / LOCKS
        for name in os.listdir(locks) if locks.exists() else ():
            try:
                Claim(locks, handle=claims.lock(locks, name), name=name).release()
            except claims.TakenError as error:
                text = f"{error.holder} is computing a row in {self.folder}; stop it first, or leave `force` out."
                raise UserError(text) from None
        if self.folder.exists():
            shutil.rmtree(self.folder)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Returns the finished rows in the file `path`, in order; empty without a file. Raises a UserError if it is damaged."""
    try:
        lines = map(parse_json, filter(None, path.read_text(encoding="utf-8").splitlines()))
        return [row for row in lines if schemas.checked(row, schemas.TableRow)]
    except FileNotFoundError:
        return []
    except ValueError:
        raise UserError(f"the rows in {path} are damaged; start over with `force`.") from None


def key_of(row: Mapping[str, Any]) -> Key:
    """Returns (name, seed, steps) of a finished row, which identify it."""
    return row["row"], row["seed"], row["steps"]
