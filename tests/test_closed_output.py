"""An output that nobody reads any more changes no exit code."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from interalia import cli
def app(*_, **__):
    print("what nobody reads")  # stays in the buffer until the end
    raise {raised}
app.meta = app
cli.app = app
cli.main([])
"""


@pytest.mark.parametrize(
    ("raised", "code"), [("KeyboardInterrupt", 130), ("SystemExit(130)", 130), ("SystemExit(0)", 0)]
)
def test_a_reader_that_is_gone_changes_no_exit_code(raised: str, code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(raised=raised)], stdout=writer, stderr=subprocess.PIPE, env=buffered
    )
    os.close(writer)
    assert done.returncode == code, done.stderr
    assert b"Exception ignored" not in done.stderr
