"""Errors name arguments in the library and options on the command line, over every option of every command."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import interalia as program

import interalia
from interalia import registry
from interalia.cli.common import app
from interalia.cli.options import NAMES, options_of, worded
from interalia.errors import SettingError, UserError, resume_call

SOURCE = Path(interalia.__file__).parent
COMMANDS = [name for name in app if not name.startswith("-")]


def said(message: str, *command: str) -> str:
    return worded(UserError(message), command)


def test_there_are_options_to_try() -> None:
    assert {"train", "generate", "edit", "likelihood", "reproduce"} <= set(COMMANDS)
    assert sum(len(options_of(name)) for name in COMMANDS) > 100
    assert {name for command in COMMANDS for name in options_of(command)} >= set(NAMES)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_argument_is_the_option_of_the_command_in_use(command: str) -> None:
    for name, argument in options_of(command).items():
        flag = "--" + NAMES.get(name, name).rstrip("_").replace("_", "-")
        assert said(f"`{name}` is wrong; leave `{name}` out.", command) == f"{flag} is wrong; leave {flag} out."
        assert said(f"give `{name}=3`.", command) == f"give {flag} 3."
        assert said(f"give `{name}='r1(every=4)'`.", command) == f'give {flag} "r1(every=4)".'
        assert said(f"give `{name}=True`.", command) == f"give {flag}."
        if argument.hint is bool and argument.negatives:
            assert said(f"give `{name}=False`.", command) == f"give --no-{flag.removeprefix('--')}."


def test_what_is_no_option_stays() -> None:
    assert said("`run` and `gamma=3` and `labels`", "generate", "runs/a") == "`run` and `gamma=3` and `labels`"
    assert said("`latent=3`") == "--latent 3"
    assert said("`latent`") == "`latent`"  # of no command


def test_what_a_task_lacks_is_trained() -> None:
    assert said("train with `labels=True` and `latent=2`", "generate", "r") == "train with --labels and --latent 2"
    assert said("`count=3` or `y`", "generate", "r") == "--count 3 or --told"


def test_values_are_written_as_words_of_a_command_line() -> None:
    for value, words in (
        ("DIR", "--rates DIR"),
        ("{'critic': 0.001, 'encoder': 2}", "--rates.critic 0.001 --rates.encoder 2"),
        ("[-1, 1.5]", "--rates -1 --rates 1.5"),
        ("1e-05", "--rates 1e-05"),
        ("'a b'", '--rates "a b"'),
        ("'a$b'", "--rates 'a$b'"),
    ):
        assert said(f"`rates={value}`", "train") == words


def test_a_training_is_gone_on_with_by_a_command() -> None:
    assert said(f"go on with {resume_call('runs/a b')}.", "train") == 'go on with interalia train --resume "runs/a b".'
    assert (
        said(f"go on with {resume_call(Path('runs/a'))}.", "generate", "x")
        == "go on with interalia train --resume runs/a."
    )
    ast.parse(resume_call("it's").strip("`"))


def refused(noise: int = 0, steps: int = 1) -> None:
    raise ValueError(f"`noise` is {noise}; give `noise=1`, or another `encoder='gaussian'`")


def unfit(noise: int = 0, steps: int = 1) -> None:
    raise UserError("`noise` and `steps` do not fit; give `noise=1`, or `latent=2`.")


def test_a_setting_of_a_part_is_no_option() -> None:
    for part, words in (
        (refused, "the part 'mine' cannot be made: `noise` is 0; give `noise=1`, or another --encoder gaussian."),
        (unfit, "`noise` and `steps` do not fit; give `noise=1`, or --latent 2."),
    ):
        with pytest.raises(SettingError) as caught:
            registry.make("mine", {"mine": part}, "part")
        assert worded(caught.value, ["train"]) == words


@pytest.mark.parametrize(("encoder", "setting"), [("basis-noise(noise=0)", "noise"), ("hamiltonian(steps=0)", "steps")])
def test_a_setting_of_the_encoder_is_no_option(
    encoder: str, setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program("train", "--data", "digits", "--game", "vae", "--encoder", encoder, "--out", tmp_path / "run") == 2
    assert f"cannot be made: `{setting}` is 0" in capsys.readouterr().err


PARTS = [kind for kind in registry.KINDS if kind not in ("recipes", "data", "metrics", "likelihoods", "experiments")]


def test_a_part_names_a_setting_that_is_an_option_too_only_while_it_is_made() -> None:
    """Where it is made its settings are known; what it raises later would be taken for an option."""
    options, shared = set(options_of("train")), 0
    for kind in PARTS:
        for name, member in registry.registry(kind).items():
            common = options & set(registry.settings_of(member))
            shared += len(common)
            for inner in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(member)))):
                if (
                    isinstance(inner, ast.FunctionDef)
                    and inspect.isclass(member)
                    and inner.name not in ("__init__", "__post_init__")
                ):
                    late = " ".join(ast.unparse(error) for error in raised(inner))
                    assert not common & set(re.findall(r"`(\w+)", late)), (kind, name, inner.name)
    assert shared


def raised(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            yield node.exc


# where words for the command line stand on purpose: the commands of a page, the remedies of a verdict, what a protocol
# says of its own command; and options of git
ON_PURPOSE = ("cli/", "papers/", "metrics/verdicts.py", "reports/commands.py", "reports/origin.py")


def test_the_library_speaks_of_no_option() -> None:
    """In errors and in whatever becomes part of one."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        name = file.relative_to(SOURCE).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
        found += [f"{name}:{t.lineno}" for t in texts if re.search(r"(?<![\w-])--[a-z]", str(t.value))]
    assert [place for place in found if not place.startswith(ON_PURPOSE)] == []
    assert [name for name in ON_PURPOSE if not any(place.startswith(name) for place in found)] == []  # stale ones
