"""The program, run in this process."""

from __future__ import annotations

from interalia import cli


def interalia(*arguments: object) -> int:
    """Runs a command and answers its exit code."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0
