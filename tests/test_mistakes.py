"""What newcomers type is understood where it is clear, and answered by one sentence that helps where it is not."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
import tomllib
from pathlib import Path
from typing import Any

import mistakes
import pytest
from program import interalia

from interalia import registry
from interalia.cli.common import DESCRIPTIONS, HELP
from interalia.errors import nearest
from interalia.runs import Run

TABLE: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    mistakes.make(folder)
    return folder


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no extra, and the folder of the small files for a working folder."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    if "home" in request.fixturenames:
        monkeypatch.chdir(request.getfixturevalue("home"))


@pytest.mark.parametrize("line", TABLE["refused"])
def test_a_mistake_is_answered_by_a_sentence_that_helps(
    line: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(home.rglob("*"))
    assert interalia(*shlex.split(line)) == 2
    printed = capsys.readouterr()
    assert TABLE["refused"][line] in printed.err
    assert printed.err.startswith("interalia: ")
    assert printed.err.count("\n") == 1
    assert set(home.rglob("*")) == before


@pytest.mark.parametrize("line", TABLE["understood"])
def test_other_words_of_the_field_are_understood(line: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)
    words += ["--print-config"] if words[0] == "train" and "--print-config" not in words else []
    assert interalia(*words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert TABLE["understood"][line] in printed
    shutil.rmtree(home / "nowhere", ignore_errors=True)


def test_a_guess_is_near_in_spelling() -> None:
    words = ["lr", "data-dir", "root", "ali", "gan", "latent-dim", "steps"]
    assert [nearest(word, words) for word in ("root", "Data_Dri", "stpes", "laten-dim")] == [
        "root", "data-dir", "steps", "latent-dim",
    ]  # fmt: skip
    assert [nearest(word, words) for word in ("l", "lt", "bigan", "epochs", "")] == [None] * 5


def test_the_choices_of_the_help_are_the_registries() -> None:
    for kind, descriptions in DESCRIPTIONS.items():
        assert list(descriptions) == list(registry.registry(kind).built_in), kind
    assert {f.metadata["kind"] for f in Run.__dataclass_fields__.values() if f.metadata.get("kind")} <= set(
        DESCRIPTIONS
    )


def test_the_help_of_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "ali-mnist", "--help") == 0
    first = " ".join(capsys.readouterr().out.split())
    assert interalia("train", "--help-all") == 0
    full = " ".join(capsys.readouterr().out.split())
    for name in Run.__dataclass_fields__:
        option = f"--{name.replace('_', '-')} "
        assert option in full
        assert (f"│ {option}" in first) == (name in HELP["first"]), name
    assert all(title in full for title in HELP["groups"])
    assert "[default: 20]" in first  # epochs, of ali-mnist
    assert "[default: mnist]" in first
    assert "[default: 4000]" in full  # steps, of ali-digits


@pytest.mark.parametrize("kind", registry.KINDS)
def test_an_entry_is_described_with_an_example(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in list(registry.registry(kind).built_in)[:3]:
        assert interalia("list", kind, name.upper()) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"{name} ({kind})")
        assert "\nexample: interalia " in printed
