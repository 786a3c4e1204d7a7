"""What the README shows works: its Python runs, its commands are understood, its names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from interalia import cli, load, registry
from interalia.cli.aliases import translated
from interalia.metrics import REGISTRY
from interalia.runs import recipes
from interalia.training.callbacks import Checkpoint

TEXT = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for own in ("added", "origins"):  # to which it adds one
        monkeypatch.setattr(REGISTRY, own, dict(getattr(REGISTRY, own)))
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert tuple(names["z"].shape) == (16, 16)  # type: ignore[attr-defined]
    assert tuple(names["way"].shape) == (4, 9, 1, 8, 8)  # type: ignore[attr-defined]


def commands() -> list[list[str]]:
    lines = [line.split("#")[0].split(">")[0].strip() for line in TEXT.splitlines() if line.startswith("interalia ")]
    return [shlex.split(line.replace("[IMAGES]", "IMAGES"))[1:] for line in lines]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_commands_are_understood(command: list[str]) -> None:
    function, bound, _ = cli.app.parse_args(translated(command), exit_on_error=False, print_error=False)
    assert callable(function)
    if command[0] == "train" and "--resume" not in command and not any(word.endswith(".toml") for word in command):
        overrides = bound.arguments.get("overrides")
        given = {k: v for k, v in vars(overrides).items() if v is not None} if overrides else {}
        cli.described(bound.arguments.get("recipe"), given).check_parts()


POST_HOC = [command for command in commands() if "--pretrained-generator" in command]


@pytest.mark.parametrize(
    "command", [*POST_HOC, [*POST_HOC[0][:1], "latent-regressor-mnist", *POST_HOC[0][2:]]], ids=" ".join
)
def test_the_post_hoc_commands_work_as_typed(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interalia.training.callbacks.default_callbacks", lambda training, tensorboard: [Checkpoint()])
    monkeypatch.setattr("interalia.reports.make", lambda trained: "")
    short = ["--data", "digits", "--steps", "2"]
    root = command.index("--data-dir")
    command = [*command[:root], *command[root + 2 :], *short]

    def code(*words: str) -> object:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        return end.value.code

    assert code("train", "gan-mnist", *short, "--out", command[command.index("--pretrained-generator") + 1]) == 0
    assert code(*command, "--out", "encoder") == 0
    assert load("encoder").game.prior.size == recipes.gan_mnist().latent_dim
    assert code(*command, "--latent-dim", "5", "--out", "other") == 2  # who gives it is taken at his word


def test_the_table_of_parts_is_complete() -> None:
    for room in ("games", "divergences", "dynamics", "penalties", "noises"):
        for name in registry.registry(room):
            assert f"`{name}" in TEXT, f"the README's table leaves out {name}"
