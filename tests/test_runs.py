"""Runs: their fields, their TOML, their folders and files."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import resource
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interalia
from interalia import tasks
from interalia.disk import writing
from interalia.errors import UserError
from interalia.games.capabilities import facts
from interalia.runs import Run, field_docs, formats, from_toml, loading, schemas
from interalia.runs.folder import ABOUT_GAME, Folder, header
from interalia.runs.recipes import ali_digits
from interalia.spaces import DataSpec
from interalia.training import checkpoint, engine


def tiny(**fields: Any) -> Run:
    run = ali_digits(networks="auto(width=4, unary=True)", steps=4, evaluate_every=0, checkpoint_every=2)
    return run.replace(schedule="constant").replace(**fields)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@st.composite
def any_run(draw: st.DrawFn) -> Run:
    numbers = {"allow_nan": False, "allow_infinity": False}
    fields: dict[str, Any] = {
        "name": texts,
        "data": texts,
        "data_dir": st.none() | texts,
        "image_size": st.none() | st.integers(4, 1024),
        "networks": texts,
        "latent_dim": st.integers(1, 100_000),
        "lr": st.none()
        | st.floats(0, 10, **numbers)
        | st.dictionaries(st.sampled_from(["critic", "generator"]), st.floats(0, 10, **numbers)),
        "steps": st.none() | st.integers(0, 10**9),
        "epochs": st.none() | st.floats(0, 10**6, **numbers),
        "grad_clip": st.floats(0, 1e9, **numbers),
        "precision": st.sampled_from(["auto", "fp32", "bf16"]),
        "seed": st.integers(0, 2**31 - 1),
    }
    return Run(**{key: draw(strategy) for key, strategy in fields.items()})


@given(run=any_run())
def test_dump_and_toml_give_the_same_run(run: Run) -> None:
    assert Run.restored(tomllib.loads(run.dump())) == run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 2.5", "`steps` is 2.5, and it must be a whole number"),
        ('steps = "many"', "`steps` is 'many', and it must be a whole number"),
        ("steps = true", "`steps` is True, and it must be a whole number"),
        ("steps = -1", "`steps` is -1, out of its range; it must be from 0 to 1,000,000,000"),
        ("seed = 4294967296", "`seed` is 4294967296, out of its range"),
        ("skip_critic_above = 1.5", "`skip_critic_above` is 1.5, out of its range; it must be from 0.5 to 1"),
        ("grad_clip = nan", "`grad_clip` is nan, out of its range"),
        ("epochs = inf", "`epochs` is inf, out of its range"),
        ("log_every = 0", "`log_every` is 0, out of its range; it must be at least 1"),
        ("name = 3", "`name` is 3, and it must be a text"),
        ('precision = "fp8"', "`precision` is 'fp8'; it is one of: auto, fp32, bf16, fp16"),
        ('lr = "fast"', "`lr` is 'fast', and it must be a number or a mapping"),
        ("lr = 11", "`lr` is 11, out of its range; it must be from 0 to 10"),
        ('lr = { critic = "fast" }', "`lr.critic` is 'fast', and it must be a number"),
        ("lr = { critic = -1.0 }", "`lr.critic` is -1.0, out of its range"),
        ("latnet_dim = 8", "there is no field of a run 'latnet_dim'; did you mean 'latent_dim'"),
        ("learning_rate = 0.1", "there is no field of a run 'learning_rate'; it is called 'lr'."),
        ("[train]\nsteps = 3", "there is no field of a run 'train'"),
        ("steps = ", "is not a TOML file"),
    ],
)
def test_mistakes_in_a_file_name_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        from_toml(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    if "=" in text and "TOML" not in said and "field" not in said:
        with pytest.raises(UserError):
            Run(**tomllib.loads(text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.toml cannot be read: No such file"):
        from_toml(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9t\xe9"')
    with pytest.raises(UserError, match=r"latin\.toml is not a TOML file"):
        from_toml(tmp_path / "latin.toml")


def test_every_field_is_described_in_the_docstring() -> None:
    assert list(field_docs()) == list(Run.__dataclass_fields__)
    assert all(text.endswith(".") for text in field_docs().values())
    assert field_docs()["pretrained_generator"].endswith("for a game that trains an encoder alone.")  # of two lines
    assert "Raises" not in field_docs()["checkpoint_every"]


def test_numbers_may_be_whole(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("epochs = 2\ngrad_clip = 0\nlr = { critic = 1 }\n")
    assert Run(**from_toml(tmp_path / "run.toml")).epochs == 2


def test_a_player_of_any_name_can_have_its_own_learning_rate_in_a_file(tmp_path: Path) -> None:
    run = Run(lr={"my generator": 1e-3, "critic": 0.5, '\u00e9."': 1})
    (tmp_path / "run.toml").write_text(run.dump(), encoding="utf-8")
    assert Run(**from_toml(tmp_path / "run.toml")) == run
    assert "critic = 0.5" in run.dump()


def test_replace() -> None:
    run = Run(epochs=3.0)
    assert (run.replace(steps=5).epochs, run.replace(steps=5).steps) == (None, 5)
    assert (run.replace(steps=5).replace(epochs=2.0).steps, run.replace(seed=2).epochs) == (None, 3.0)
    with pytest.raises(UserError, match="no field of a run 'stpes'; did you mean 'steps'"):
        run.replace(stpes=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.seed = 3  # type: ignore[misc]


def test_the_folder_of_a_run(tmp_path: Path) -> None:
    trained = engine.train(tiny(), tmp_path / "run")
    folder = Folder(tmp_path / "run")
    assert folder.run() == trained.run
    assert Run.restored(tomllib.loads(folder.run().dump())) == folder.run()
    assert folder.run().steps == 4
    names = {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}
    assert {"run.json", "log.jsonl", "checkpoints/last.pt", "checkpoints/previous.pt", "weights.safetensors"} <= names
    before = os.umask(0)
    os.umask(before)
    for name in ("run.json", "weights.safetensors", "checkpoints/last.pt"):
        assert stat.S_IMODE((folder.path / name).stat().st_mode) == 0o666 & ~before


def test_weights_that_older_versions_wrote_say_the_same_of_their_data(tmp_path: Path) -> None:
    """With the facts one by one, and y's size called labels."""
    file = tmp_path / "old.safetensors"
    about = {
        "run": {}, "step": 4, "shape": [1, 8, 8], "labels": 2, "other": None, "attributes": {"odd": 0.5, "large": 0.25},
        "classes": 0, "names": ["odd", "large"],
    }  # fmt: skip
    save_file({"w": torch.zeros(1)}, file, {"interalia": json.dumps(about)})
    spec = DataSpec((1, 8, 8), 2, {"odd": 0.5, "large": 0.25}, names=("odd", "large"))
    assert header(file)["data"] == spec
    for key in ("attributes", "classes", "names"):  # which came later
        del about[key]
    save_file({"w": torch.zeros(1)}, file, {"interalia": json.dumps(about)})
    assert header(file)["data"] == DataSpec((1, 8, 8), 2)


def test_weights_say_what_they_are(tmp_path: Path) -> None:
    trained = engine.train(tiny(), tmp_path / "run")
    with safe_open(tmp_path / "run/weights.safetensors", "pt") as file:
        about = json.loads(file.metadata()["interalia"])
    assert about.pop("digest")
    assert about == {
        "format": formats.FORMAT,
        "run": dataclasses.asdict(trained.run),
        "step": 4,
        "data": {"shape": [1, 8, 8], "condition": 0, "other": None, "attributes": {}, "classes": 0, "names": []},
        ABOUT_GAME: facts(trained.game),
    }
    assert json.loads((tmp_path / "run/run.json").read_text())[ABOUT_GAME] == about[ABOUT_GAME]
    assert schemas.checked(about["data"], DataSpec) == trained.game.data
    random = torch.get_rng_state()
    for place in (tmp_path / "run", tmp_path / "run/weights.safetensors"):
        again = loading.load(place)
        assert again.step == 4
        assert torch.equal(tasks.generate(again.game, 5, 0), tasks.generate(trained.game, 5, 0))
    assert torch.equal(torch.get_rng_state(), random)
    older = {key: value for key, value in about.items() if key not in ("names", "format")}
    save_file(
        load_file(tmp_path / "run/weights.safetensors"),
        tmp_path / "older.safetensors",
        {"interalia": json.dumps(older)},
    )
    again = loading.load(tmp_path / "older.safetensors")
    assert torch.equal(tasks.generate(again.game, 5, 0), tasks.generate(trained.game, 5, 0))


def test_checkpoints_hold_plain_values_only(tmp_path: Path) -> None:
    engine.train(tiny(), tmp_path / "run")
    state = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)
    assert state["step"] == 4


def test_existing_folders_are_left_alone(tmp_path: Path) -> None:
    run = tiny()
    (tmp_path / "empty").mkdir()
    engine.train(run, tmp_path / "empty")
    content = (tmp_path / "empty/checkpoints/last.pt").read_bytes()
    with pytest.raises(UserError, match=r"empty exists already; continue it with `interalia.train"):
        engine.train(run, tmp_path / "empty")
    assert (tmp_path / "empty/checkpoints/last.pt").read_bytes() == content
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file exists already"):
        engine.train(run, tmp_path / "file")
    with pytest.raises(UserError, match=r"could not be written \(.*choose another folder"):
        engine.train(run, tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not the folder of a run"):
        Folder(tmp_path).run()
    with pytest.raises(UserError, match="is not the folder of a run"):
        loading.load(tmp_path)
    for text in ("{", "[]", '{"steps": "x"}'):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError):
            Folder(tmp_path).run()
    Folder(tmp_path).write(tiny())
    with pytest.raises(UserError, match=r"has no weights yet.*resume=True"):
        loading.load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged"):
        loading.load(tmp_path)
    with pytest.raises(UserError, match="there is no checkpoint"):
        checkpoint.read(tmp_path / "nothing.pt")


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: what a full disk looks like to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    run = tiny(steps=6, evaluate_every=3)
    engine.train(run, tmp_path / "whole")
    engine.train(run.replace(steps=3), tmp_path / "run")
    with disk_of(50_000), pytest.raises(UserError, match=r"could not be written \(File too large\); free some space"):
        engine.train(run, tmp_path / "run", resume=True)
    engine.train(run, tmp_path / "run", resume=True)
    whole, ours = (checkpoint.read(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "run"))
    assert all(torch.equal(a, b) for a, b in zip(whole["game"].values(), ours["game"].values(), strict=True))
    with disk_of(100), pytest.raises(UserError, match=r"run\.json could not be written"):
        engine.train(run, tmp_path / "other")


def test_a_log_that_cannot_grow_is_said(tmp_path: Path) -> None:
    run = tiny(steps=200, log_every=1, checkpoint_every=1000)
    with disk_of(9000), pytest.raises(UserError, match=r"log\.jsonl could not be written"):
        engine.train(run, tmp_path / "run")


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with writing(path) as file:
        file.write("first")
        file.flush()
        assert not path.exists()
    with pytest.raises(RuntimeError), writing(path) as file:
        file.write("second")
        raise RuntimeError
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_ranges_are_finite() -> None:
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(UserError, match="out of its range"):
            Run(lr={"critic": value})


def test_one_learning_rate_is_a_number() -> None:
    assert [Run(lr=lr).lr for lr in ({}, {"default": 0.5}, {"critic": 0.5}, 0.5)] == [None, 0.5, {"critic": 0.5}, 0.5]
    assert Run(lr={"critic": 0.5, "default": 1.0}).lr == {"critic": 0.5, "default": 1.0}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"game": "BiGAN"}, {"game": "ali", "encoder": "deterministic"}),
        ({"game": "bigan", "encoder": "implicit"}, {"game": "ali", "encoder": "implicit"}),
        ({"game": "WGAN_GP"}, {"game": "gan", "divergence": "wasserstein", "penalty": "wgan-gp"}),
        ({"game": "cGAN"}, {"game": "gan", "condition_on": "labels"}),
        ({"divergence": "JS", "data": "DIGITS"}, {"divergence": "jensen-shannon", "data": "digits"}),
        ({"encoder": "dirac", "prior": "gaussian"}, {"encoder": "deterministic", "prior": "normal"}),
    ],
)
def test_words_of_the_field_are_understood(fields: dict[str, Any], found: dict[str, Any]) -> None:
    assert Run(**fields).canonical() == Run(**found) == Run(**found).canonical()
    if "data" not in fields:
        built = interalia.build(Run(**fields), shape=(2,), labels=3)
        assert type(built) is type(interalia.build(Run(**found), shape=(2,), labels=3))


def test_a_recipe_takes_the_words_of_the_field() -> None:
    """Its own divergence does not outrank what the game's name stands for."""
    assert ali_digits().divergence == "relativistic"
    assert (ali_digits(game="LSGAN").game, ali_digits(game="LSGAN").divergence) == ("gan", "least-squares")
    assert ali_digits(game="lsgan", divergence="hinge").divergence == "hinge"
    with pytest.raises(UserError, match=r"there is no field of a run 'batch'; it is called 'batch_size'\.$"):
        ali_digits(batch=3)


def test_a_run_in_the_words_of_the_field_is_trained_and_resumed(tmp_path: Path) -> None:
    run = tiny(game="ALI", divergence="js", weight_average="EMA(0.9)")
    trained = engine.train(run, tmp_path / "run")
    assert (trained.run.game, trained.run.divergence, trained.run.weight_average) == (
        "ali",
        "jensen-shannon",
        "ema(0.9)",
    )
    assert engine.train(run.replace(steps=5), tmp_path / "run", resume=True).step == 5
    with pytest.raises(UserError, match=r"`divergence` is 'kl', and the run in .* has 'jensen-shannon'"):
        engine.train(run.replace(divergence="KL", steps=6), tmp_path / "run", resume=True)
