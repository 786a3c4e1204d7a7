"""The command line `interalia`, which trains models, applies tasks to them and evaluates them. It imports torch only when a
command needs it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, NoReturn

from cyclopts import CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

from interalia.cli import components, detection, evaluation, preparing, tasks, training  # noqa: F401 (each adds its commands)
from interalia.cli.aliases import HELP_FLAGS, command, translated
from interalia.cli.common import Plugins, app, number_of_processes
from interalia.cli.options import worded
from interalia.cli.training import print_help
from interalia.errors import DataWarning, PluginWarning, UserError, interruptible, printable, sentence
from interalia.registry import plug_in

__all__ = ["app", "main"]

app.meta.suppress_keyboard_interrupt = False  # `main` prints what an interrupted command left
usual = warnings.formatwarning


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command of the command line. Ends the program with code 2 after an error that the user can correct, and with 130
    after an interruption; returns after success.

    Arguments:
        arguments: the arguments of the command line without the program's name; None for ``sys.argv``.
    """
    words = sys.argv[1:] if arguments is None else arguments
    with interruptible():
        execute(words, arguments is None)


def execute(words: Sequence[str], alone: bool) -> None:
    """Runs a command, as `main` does; `words` are its arguments, and `alone` is True if the process ends with it."""
    open_streams()
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # whose encoding may lack characters
            with contextlib.suppress(OSError):
                sys.stdout.reconfigure(errors="backslashreplace")
        warnings.formatwarning = functools.partial(warn_text, words=words)
        if any(word in HELP_FLAGS for word in words) or (len(words) < 3 and "help" in words):
            show_help([word for word in words if word != "help"])
        else:
            app.meta(words, exit_on_error=False, print_error=False)
    except (UserError, CycloptsError) as error:
        end(2, "" if silent(error) else message(error, words))
    except KeyboardInterrupt as stop:
        end(130, "" if silent(stop) else worded(stop, words))
    except BrokenPipeError:
        sys.exit(0)  # nobody reads the output
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # of the library rich
            sys.exit(0)
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        if (text := sentence(error)) is None:
            raise
        end(2, worded(UserError(text), words))
    finally:
        drain()
        if alone and number_of_processes() > 1:
            leave(sys.exc_info()[1])


def open_streams() -> None:
    """Opens the null device as the standard input, output and error that were closed when the program started.

    Otherwise a file that is opened later could get the number of one of them, and what is printed would be written into it.
    """
    with contextlib.suppress(OSError):
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


def leave(error: BaseException | None) -> None:
    """Ends one of several processes at once, with its exit code: threads of torch.distributed may abort it otherwise.

    Arguments:
        error: what ends the process, or None after success; nothing happens if it is no SystemExit.
    """
    if error is None or isinstance(error, SystemExit):
        os._exit(int((error and error.code) or 0))


def silent(error: BaseException) -> bool:
    """True if this process does not print an error, because another of the processes that torchrun started prints it.

    It is the error's attribute `silent`; if that is None, or the error is no UserError, it is True in all processes but the
    first of each machine.
    """
    chosen = error.silent if isinstance(error, UserError) else None
    return number_of_processes() > 1 and os.environ.get("LOCAL_RANK", "0") != "0" if chosen is None else chosen


def show_help(words: Sequence[str]) -> None:
    """Prints the help of the first command among the arguments of a command line, or of the program if there is none.

    Arguments:
        words: the arguments of the command line.
    """
    plugins = {i + 1 for i, word in enumerate(words) if word == "--plugin"}
    name = next((command(word) for i, word in enumerate(words) if not word.startswith("-") and i not in plugins), "")
    if name == "train":
        print_help(words)
    else:
        app.meta([*([name] if name in app else []), "--help"], exit_on_error=False, print_error=False)


def message(error: UserError | CycloptsError, words: Sequence[str]) -> str:
    """Returns the message of an error for the user of the command line, in which options replace arguments of the library.

    Arguments:
        error: the error.
        words: the arguments of the command line that caused it.
    """
    if isinstance(error, UnusedCliTokensError):
        extra = " ".join(error.unused_tokens or ())
        return (
            f"{extra!r} is not used by this command; a value stands behind its option, as in --count 16 or --steps 100."
        )
    if not isinstance(error, MissingArgumentError):
        return worded(error, words)
    option = error.argument.name if error.argument else ""
    if option == "--part":
        return "check needs a component, my_module:MyGame; give it behind the command."
    if option != "--run":
        return f"{option} needs a value, and none is given; write it behind the option."
    name = command(next(word for word in words if not word.startswith("-")))
    return f"{name} needs the folder of a run; give it, as in interalia {name} runs/ali-digits."


def end(code: int, message: str) -> NoReturn:
    """Prints a message to standard error and ends the program with an exit code.

    Arguments:
        code: the exit code.
        message: the message; nothing is printed if it is empty, or if standard error is closed.
    """
    if message:
        with contextlib.suppress(OSError):
            print(printable(f"interalia: {message}"), file=sys.stderr)
    sys.exit(code)


@app.meta.default
def launch(*tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)], plugin: Plugins = None) -> None:
    """Imports plug-ins and runs a command.

    Arguments:
        tokens: the arguments of the command line except --plugin and its values.
        plugin: modules or .py files with custom components.
    """
    for name in plugin or ():
        plug_in(name)
    words = translated(tokens)
    if (size := number_of_processes()) > 1 and words[:1] not in (["train"], ["evaluate"], ["likelihood"]):
        raise UserError(
            f"WORLD_SIZE is {size}, and several processes share the commands train, evaluate and likelihood alone; start it "
            f"without torchrun."
        )
    app(words, exit_on_error=False, print_error=False)


def warn_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
    words: Sequence[str] = (),
) -> str:
    """Returns the text that is printed for a warning: only its message, with options in place of arguments, if the warning is
    the library's or Pillow's, else Python's usual text.

    It replaces `warnings.formatwarning`, and has the same arguments, and `words`, the arguments of the command line.
    """
    if issubclass(category, (DataWarning, PluginWarning)) or category.__module__.startswith("PIL"):
        return f"{printable(f'interalia: {worded(UserError(str(message)), words)}')}\n"
    return usual(message, category, filename, lineno, line)


def drain() -> None:
    """Flushes standard output and standard error. If the reader of one is gone, such as a closed pipe, the rest of its output
    is discarded; Python would otherwise replace the exit code by 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):  # a stream without a file behind it has nothing to redirect
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
