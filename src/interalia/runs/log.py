"""The log of a run: one JSON object a line."""

from __future__ import annotations

import json
from typing import Any

from interalia.runs import formats
from interalia.runs.folder import Folder


def read(folder: Folder) -> list[dict[str, Any]]:
    """The complete lines of a run's log, with today's names of metrics; a training that was killed leaves half a line at the
    end.
    """
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
