"""The program, run in this process or in a copy of it."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from typing import NoReturn

from interalia import cli


def interalia(*arguments: object) -> int:
    """Runs a command and answers its exit code."""
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def alone(*arguments: object) -> NoReturn:
    """Becomes the program: for a process that was just forked, which has its own standard streams, and has imported
    already what a program begins with."""
    code = 1
    try:
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(n, "w", closefd=False), write_through=True) for n in (1, 2)
        )
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = interalia(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
