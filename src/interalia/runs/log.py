"""The log that a run keeps: one JSON object a line."""

from __future__ import annotations

import json
from typing import Any

from interalia.runs import formats
from interalia.runs.folder import Folder


def read(folder: Folder) -> list[dict[str, Any]]:
    """The lines of a run's log that are whole: a training that was killed leaves half a line at the end."""
    lines = []
    if folder.log.is_file():
        for text in folder.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("step"), int):
                lines.append(formats.log_line(line))
    return lines
