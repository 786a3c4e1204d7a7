"""Entries of other people's packages and modules: found, listed, refused and missed."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugged import as_before, install
from program import interalia

from interalia import load, registry, train
from interalia.adversarial import divergences, penalties
from interalia.data import REGISTRY as DATA
from interalia.errors import PluginWarning, UserError
from interalia.learning.optimizers import AVERAGES
from interalia.registry import KINDS, WITHOUT_SETTINGS, Origin, Part, Registry, look_up, make, plug_in, text_of
from interalia.runs import Run
from interalia.training.callbacks.checkpoint import Checkpoint

MODULE = """
from interalia.adversarial import divergences

class Mine(divergences.KL):
    \"\"\"A KL of my own.\"\"\"
"""
ADDING = f'{MODULE}\ndivergences.REGISTRY.add("mine", Mine)\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, which is the working folder too."""
    with as_before():
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        yield tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_one_registry_that_takes_entries(kind: str) -> None:
    entries: Registry[Any] = registry.registry(kind)
    assert isinstance(entries, Registry)
    assert entries.kind == kind
    with as_before():
        entry = next(iter(entries.values()))
        entries.add("mine", entry)
        assert entries["mine"] is entry
        assert list(entries)[-1] == "mine"
        assert len(entries) == len(entries.built_in) + len(entries.added)
        assert "mine" not in entries.built_in
        assert entries.origin("mine") == Origin(__name__)
        assert entries.origin(next(iter(entries.built_in))) is None
        assert entries.origin("nobody's") is None
        entries.add("mine", entry)  # as a cell of a notebook does that is run again
        with pytest.raises(UserError, match=rf"^there is an entry '.*' among the {kind} already; give it another"):
            entries.add(next(iter(entries.built_in)), entry)
    assert "mine" not in entries


def test_an_entry_of_another_module_keeps_its_name(place: Path) -> None:
    (place / "other.py").write_text(ADDING)
    plug_in("other")
    with pytest.raises(UserError, match="there is an entry 'mine' among the divergences already"):
        divergences.REGISTRY.add("mine", divergences.KL)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WITHOUT_SETTINGS])
def test_settings_are_read_from_every_signature(kind: str) -> None:
    for name, entry in registry.registry(kind).built_in.items():
        assert not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(entry).parameters.values()), name


def test_an_entry_whose_settings_cannot_be_read_is_refused(place: Path) -> None:
    def many(gamma: float = 1.0, **others: float) -> None: ...

    def unknown(gamma: Nowhere = 1.0) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    for entry, reason in (
        (many, r"^the entry 'mine' takes \*\*others, and its settings are read from its signature; name each"),
        (
            unknown,
            r"^the settings of the entry 'mine' cannot be read from its signature: name 'Nowhere' is not defined\.$",
        ),
        (
            3,
            r"^the entry 'mine' is 3, and the penalties are derived from interalia.adversarial.penalties.Penalty; derive it",
        ),
        (divergences.KL, r"^the entry 'mine' is <class '.*KL'>, and the penalties are derived from "),
    ):
        with pytest.raises(UserError, match=reason):
            penalties.REGISTRY.add("mine", entry)  # type: ignore[arg-type]
    for name in ("", "a(b=1)", " a", "a ("):
        with pytest.raises(UserError):
            penalties.REGISTRY.add(name, penalties.R1)
    assert not penalties.REGISTRY.added


def test_entries_of_an_installed_package_are_loaded_when_they_are_asked_for(place: Path) -> None:
    (place / "their_module.py").write_text(MODULE)
    (place / "their_other.py").write_text("raise AssertionError('nobody asked for it')")
    install(
        place, "their-package", "1.2", {
            "divergences": {"mine": "their_module:Mine"}, "penalties": {"theirs": "their_other:Penalty"},
        },
    )  # fmt: skip
    entries = divergences.REGISTRY
    assert "gan" in entries
    assert "their_module" not in sys.modules
    assert make("mine(saturating=True)", entries, "divergence").saturating  # type: ignore[attr-defined]
    assert entries.origin("mine") == Origin("their_module", "their-package", "1.2")
    assert "mine" in list(entries)
    assert str(entries.origin("mine")) == "their_module (of their-package 1.2)"


def test_a_name_of_the_library_is_kept_and_the_other_is_warned_of_once(place: Path) -> None:
    (place / "their_module.py").write_text(MODULE)
    install(place, "their-package", "1.2", {"divergences": {"kl": "their_module:Mine"}})
    install(place, "b-package", "2", {"divergences": {"new": "their_module:Mine"}})
    (place / "another.py").write_text(MODULE)
    install(place, "c-package", "3", {"divergences": {"new": "another:Mine"}})
    listed = functools.partial(list, divergences.REGISTRY)
    assert warned(lambda: divergences.REGISTRY["kl"]) == []  # nobody else's is looked for
    assert warned(listed, listed) == [
        "the entry 'kl' of their_module (of their-package 1.2) is left out: that name is taken among the "
        "divergences, by the library.",
        "the entry 'new' of another (of c-package 3) is left out: that name is taken among the divergences, by "
        "their_module (of b-package 2).",
    ]
    assert divergences.REGISTRY["kl"] is divergences.KL


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError in line 1 of their_module.py: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError"),
        ("\nraise SystemExit(3)", "SystemExit in line 2 of their_module.py: 3"),
        ("1 / 0", "ZeroDivisionError in line 1 of their_module.py: division by zero"),
    ],
)
def test_a_plug_in_that_fails_is_one_warning(place: Path, source: str, reason: str) -> None:
    (place / "their_module.py").write_text(source)
    install(
        place,
        "their-package",
        "1.2",
        {"divergences": {"a": "their_module:A", "b": "their_module:B"}, "games": {"c": "their_module:C"}},
    )
    entries = divergences.REGISTRY
    said = warned(
        lambda: "mine" in entries, lambda: "a" in entries, lambda: [*entries], lambda: "c" in registry.registry("games")
    )
    assert len(said) == 1
    assert reason in said[0]
    assert said[0].endswith("; its entries are left out.")
    assert set(entries) == set(entries.built_in)


def test_an_entry_point_of_what_is_no_entry_is_a_warning_and_the_others_stand(place: Path) -> None:
    (place / "their_module.py").write_text(f"{MODULE}\ndef many(**settings): ...")
    install(
        place, "their-package", "1.2",
        {"divergences": {"a": "their_module:Gone", "b": "their_module:many", "c": "their_module:Mine"}},
    )  # fmt: skip
    said = warned(lambda: [*divergences.REGISTRY])
    assert set(divergences.REGISTRY) == {*divergences.REGISTRY.built_in, "c"}
    assert len(said) == 2
    assert "'a' of their_module (of their-package 1.2) is left out: " in said[0]
    assert "is left out: the entry 'b' takes **settings" in said[1]


def test_a_module_is_plugged_in_by_its_name_or_its_file(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "elsewhere/my_file.py").write_text(f"import its_neighbour\n{ADDING}")
    (place / "elsewhere/its_neighbour.py").touch()
    (place / "my_module.py").write_text(ADDING.replace('"mine"', '"named"'))
    plug_in("elsewhere/my_file.py")
    plug_in(str(place / "elsewhere/my_file.py"))  # once more is once
    plug_in("my_module")
    assert divergences.REGISTRY.origin("mine") == Origin("my_file")
    assert divergences.REGISTRY.origin("named") == Origin("my_module")
    assert inspect.getsource(divergences.REGISTRY["mine"]).startswith("class Mine")


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        ("nowhere", "", "there is no module nowhere to plug in; give the name of a module that can be imported from"),
        ("nowhere.py", "", "the plug-in nowhere.py cannot be used: there is no file nowhere.py; check its name."),
        ("my-file.py", "1", "my-file.py is not the name of a module; rename it with letters, digits and underscores."),
        ("json.py", "1", "there is another module json ("),
        ("mine.py", "import no_such", "cannot be imported: ModuleNotFoundError in line 1 of mine.py: No module named"),
        ("mine", "\nlen(3)", "the plug-in mine cannot be imported: TypeError in line 2 of mine.py: object of type 'int' "),
        ("mine", ADDING.replace('"mine"', '"kl"'), "cannot be used: there is an entry 'kl' among the divergences already"),
    ],
)  # fmt: skip
def test_what_cannot_be_plugged_in_is_one_sentence(
    place: Path, name: str, source: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if source:
        (place / name).with_suffix(".py").write_text(source)
    assert interalia("list", "games", "--plugin", name) == 2
    said = capsys.readouterr().err
    assert said.startswith("interalia: ")
    assert said.count("\n") == 1
    assert reason in said
    assert "mine" not in divergences.REGISTRY


def test_a_file_that_failed_can_be_plugged_in_once_it_is_mended(place: Path) -> None:
    (place / "mine.py").write_text("1 / 0")
    with pytest.raises(UserError):
        plug_in("mine.py")
    (place / "mine.py").write_text(f"# mended, and longer\n{ADDING}")
    plug_in("mine.py")
    assert "mine" in divergences.REGISTRY


def test_the_environment_names_modules(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "mine.py").write_text(ADDING)
    monkeypatch.setenv(registry.VARIABLE, "nowhere, mine.py")
    said = warned(lambda: "mine" in divergences.REGISTRY, lambda: "other" in divergences.REGISTRY)
    assert [text[:38] for text in said] == ["there is no module nowhere to plug in;"]
    assert "mine" in divergences.REGISTRY


def test_list_says_where_an_entry_is_from(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.py").write_text(ADDING)
    assert interalia("list", "divergences", "--plugin", "mine") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "mine A KL of my own. from mine" in said
    assert said.count("from mine") == 1
    assert interalia("list", "divergences", "mine") == 0
    assert capsys.readouterr().out.splitlines() == [
        "mine (divergences), from mine",
        "",
        "A KL of my own.",
        "",
        "settings:",
        "  saturating: True or False, by default False",
        "  smoothing: a number, by default 0.0",
        "",
        'example: interalia train --divergence "mine(saturating=False)"',
    ]
    assert interalia("list", "games", "ali") == 0
    said = capsys.readouterr().out
    assert said.startswith("ali (games), from interalia\n")
    assert "\nsettings:\n  joint_batch: True or False, by default True\n" in said
    assert "Adversarially Learned Inference" in said  # the whole of its description
    assert interalia("list", "data", "digits") == 0
    assert "1,797" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gamez",), "there is no kind 'gamez'; did you mean 'games'?"),
        (("games", "alu"), "there is no entry of the games 'alu'; did you mean 'ali'?"),
    ],
)
def test_list_of_what_there_is_not(words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("list", *words) == 2
    assert said in capsys.readouterr().err


def test_list_knows_a_kind_by_its_former_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("list", "optimisers") == 0
    assert "adam" in capsys.readouterr().out


def commands() -> list[str]:
    from interalia.cli import app

    return sorted(name for name in app if not name.startswith("-"))


@pytest.mark.parametrize("command", commands())
def test_every_command_takes_a_plug_in(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        (command, "--plugin", "nowhere"),
        ("--plugin=nowhere", command),
        (command, "x", "--plugin", "nowhere"),
    ):
        assert interalia(*words) == 2
        assert capsys.readouterr().err.startswith("interalia: there is no module nowhere to plug in")
    assert interalia(command, "--help-all") == 0
    assert "--plugin" in capsys.readouterr().out


def test_help_looks_for_no_packages_and_needs_no_torch() -> None:
    code = (
        "import sys, importlib.metadata as m, interalia.registry\n"
        "def never(*a, **k): raise AssertionError('looked for packages')\n"
        "m.entry_points = never\n"
        "from interalia import cli\n"
        "for words in (['--help'], ['train', '--help'], ['list', '--help'], ['--version']):\n"
        "    cli.main(words)\n"
        "import interalia.games\n"
        "from interalia import registry\n"
        "assert registry.registry('games')['ali']\n"  # a name of the library's own needs none either
    )
    light = "import sys, interalia, interalia.registry, interalia.cli; print({'torch', 'numpy'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(Path(registry.__file__).parents[2]), "PATH": ""}
    for source, said in ((code, None), (light, "set()\n")):
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert said in (None, done.stdout)


def warned(*looks: Callable[[], object]) -> list[str]:
    """What is warned of while somebody looks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for look in looks:
            look()
    assert {warning.category for warning in caught} <= {PluginWarning}
    return sorted(str(warning.message) for warning in caught)


def trained(resume: bool = False) -> None:
    run = Run(
        divergence="mine",
        networks="auto(width=4)",
        latent_dim=2,
        steps=2 + resume,
        evaluate_every=0,
        checkpoint_every=2,
    )
    train(run, "run", resume=resume, callbacks=[Checkpoint()])


def test_a_run_says_where_its_parts_were_from_and_imports_nothing_by_itself(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.py").write_text(ADDING)
    with as_before():
        plug_in("mine")
        trained()
    kept = {"divergence": {"module": "mine", "package": "", "version": ""}}
    assert json.loads(Path("run/run.json").read_text())["plugins"] == kept
    capsys.readouterr()
    missing = (
        "interalia: `divergence` of this run is 'mine', which is missing here; it was from mine when the run was "
        "trained: import mine first, as --plugin mine does.\n"
    )
    for words in (
        ("generate", "run"),
        ("generate", "run/weights.safetensors"),
        ("train", "--resume", "run", "--steps", 3),
    ):
        assert interalia(*words) == 2
        assert capsys.readouterr().err.replace("--divergence", "`divergence`") == missing
        assert "mine" not in sys.modules
    with as_before():
        assert interalia("generate", "run", "--plugin", "mine") == 0
        trained(resume=True)
    assert json.loads(Path("run/run.json").read_text())["plugins"] == kept


def test_a_part_that_is_from_elsewhere_now_is_warned_of(place: Path) -> None:
    (place / "mine.py").write_text(ADDING)
    with as_before():
        plug_in("mine")
        trained()
    (place / "their_module.py").write_text(MODULE)
    install(place, "their-package", "1.2", {"divergences": {"mine": "their_module:Mine"}})
    registry.entry_points.cache_clear()
    with pytest.warns(
        PluginWarning, match=r"'mine', was from mine when it was trained; now their_module \(of their-package"
    ):
        load("run")


@pytest.mark.parametrize(
    ("origin", "remedy"),
    [
        (Origin("m", "pack", "3"), "install the package pack (3 at that time)"),
        (Origin("__main__"), "run the part of that program or notebook that adds it first"),
        (Origin("m.n"), "import m.n first, as `plugin='m.n'` does"),
    ],
)
def test_the_remedy_for_a_missing_part(origin: Origin, remedy: str) -> None:
    assert origin.advice == remedy


def test_what_a_file_says_of_an_origin_is_printed_as_words_alone() -> None:
    kept = {"module": "a\x1b[31m\nb" * 99, "version": 3, "other": {}}
    assert Origin.restored(kept) == Origin("a[31mb" * 12 + "a[3", "", "3")


def test_an_object_is_written_as_its_text() -> None:
    assert Run(divergence=divergences.KL(), penalty=penalties.R1(gamma=2)) == Run(
        divergence="kl", penalty="r1(gamma=2)"
    )  # type: ignore[arg-type]
    for kind in ("divergences", "penalties"):
        entries: Registry[Callable[..., Any]] = registry.registry(kind)
        for name, entry in entries.items():
            assert text_of(entry(), kind) == name
            assert text_of(entry, kind) == name
            assert text_of(Part(name), kind) == name
    smooth = divergences.KL(smoothing=0.25, saturating=True)
    assert make(text_of(smooth, "divergences"), divergences.REGISTRY, "divergence") == smooth
    assert type(Run(divergence=Part("kl")).divergence) is str


class Wide(penalties.R1):
    def __init__(self, gamma: float = 1.0, shape: Path | None = None) -> None:
        super().__init__(gamma)
        self.shape = shape


def test_what_no_text_can_say_is_explained() -> None:
    with pytest.raises(
        UserError, match=r"^an object of .*Wide is not among the penalties, so that no file can name it; give"
    ):
        Run(penalty=Wide())  # type: ignore[arg-type]
    with as_before():
        penalties.REGISTRY.add("wide", Wide)
        assert text_of(Wide(3.0), "penalties") == "wide(gamma=3.0)"
        with pytest.raises(
            UserError, match=r"cannot be written as text, because its `shape` cannot; give a text, or Part\('wide'"
        ):
            Run(penalty=Wide(3.0, Path("x")))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="is not among the divergences"):
        Run().replace(divergence=penalties.R1())


def test_an_unknown_name_lists_foreign_entries_too(place: Path) -> None:
    (place / "mine.py").write_text(ADDING)
    plug_in("mine")
    with pytest.raises(UserError, match=r"did you mean 'mine'\?.*least-squares, mine, neyman"):
        look_up("mien", divergences.REGISTRY, "divergence")


def test_nothing_is_warned_of_where_nothing_is_installed() -> None:
    with warnings.catch_warnings(), as_before():
        warnings.simplefilter("error")
        assert set(AVERAGES) == set(AVERAGES.built_in)
        assert set(DATA) == set(DATA.built_in)
    assert importlib.metadata.version("torch")
