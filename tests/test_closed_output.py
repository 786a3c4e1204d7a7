"""An output that nobody reads any more changes no exit code."""

from __future__ import annotations

import os
import shlex
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


CLOSED = """
import os
from interalia import cli
def app(*_, **__):
    print("to nobody")
    file = os.open(os.devnull, os.O_RDONLY)
    assert file > 2, file
    raise SystemExit({code})
app.meta = app
cli.app = app
cli.main([])
"""


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes them")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_outputs_that_are_closed_at_the_start_take_no_file(closed: str) -> None:
    """The number of a closed output could become that of a checkpoint, into which all messages were written then."""
    for code in (0, 2):
        command = f"{shlex.quote(sys.executable)} -c {shlex.quote(CLOSED.format(code=code))} {closed}"
        assert subprocess.run(command, shell=True).returncode == code


def test_tables_without_a_reader_are_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = PROGRAM.replace("raise {raised}", "from rich.console import Console; Console().print('x' * 99999)")
    assert subprocess.run([sys.executable, "-c", program], stdout=writer).returncode == 0
    os.close(writer)
