"""The version of what a run keeps: older files are translated, newer ones refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from program import interalia as command
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import interalia
from interalia import metrics
from interalia.errors import UserError
from interalia.runs import Run, formats, from_toml
from interalia.runs.folder import Folder, header
from interalia.training import checkpoint

NEWER = formats.FORMAT + 1
REFUSED = rf"is of format {NEWER}, and this version of interalia reads formats up to {formats.FORMAT}; update interalia"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("formats") / "run"
    run = Run(steps=2, evaluate_every=0, checkpoint_every=2, latent_dim=2, networks="auto(width=4)")
    interalia.train(run, out)
    return out


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run"


def set_version(run: Path, kind: str, version: Any) -> Path:
    """Puts a version into one of the files of a run, or takes it out, and returns the file."""

    def with_version(values: dict[str, Any]) -> dict[str, Any]:
        values = {key: value for key, value in values.items() if key != "format"}
        return values if version is None else {**values, "format": version}

    if kind == "description":
        file = run / "run.json"
        file.write_text(json.dumps(with_version(json.loads(file.read_text()))))
    elif kind == "weights":
        file = run / "weights.safetensors"
        with safe_open(file, "pt") as opened:
            about = json.loads(opened.metadata()["interalia"])
        save_file(load_file(file), file, {"interalia": json.dumps(with_version(about))})
    else:
        file = run / "checkpoints/last.pt"
        torch.save(with_version(torch.load(file, weights_only=True)), file)
    return file


def test_every_file_has_the_version(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["format"] == formats.FORMAT
    assert header(run / "weights.safetensors")["format"] == formats.FORMAT
    assert checkpoint.read(run / "checkpoints/last.pt")["format"] == formats.FORMAT
    assert Folder(run).run().dump().startswith(f"format = {formats.FORMAT}\n")


def test_a_newer_file_is_refused_in_a_sentence(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_version(run, "checkpoint", NEWER)
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert command("train", "--resume", run, "--steps", 3) == 2  # it does not go on from the one before
    assert "update interalia" in capsys.readouterr().err
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    with pytest.raises(formats.NewerError, match=REFUSED):
        checkpoint.read(run / "checkpoints/last.pt")
    set_version(run, "weights", NEWER)
    with pytest.raises(UserError, match=REFUSED):
        interalia.load(run)
    set_version(run, "description", NEWER)
    for words in (("report", run), ("generate", run), ("train", "--resume", run)):
        assert command(*words) == 2
        said = capsys.readouterr().err
        assert "run.json is of format" in said
        assert said.count("\n") == 1
    (tmp_path / "new.toml").write_text(f"format = {NEWER}\nsomething_new = 3")
    with pytest.raises(UserError, match=REFUSED):
        from_toml(tmp_path / "new.toml")


@pytest.mark.parametrize("version", ["2", 0, -1, 2.0, True, None, [2]])
def test_a_version_that_is_no_number_is_refused(version: object) -> None:
    with pytest.raises(
        UserError, match=r"run.json is of the format .*, which is no whole number from 1; restore that file\.$"
    ):
        formats.upgraded({"format": version}, "run.json")


def test_a_file_without_a_version_is_of_version_1(run: Path, tmp_path: Path) -> None:
    described = Folder(run).run()
    for kind in ("description", "weights"):
        set_version(run, kind, None)
    assert Folder(run).run() == described == interalia.load(run).run
    set_version(run, "checkpoint", None)  # the first checkpoints held another state
    with pytest.raises(UserError, match="is older than those that this version reads; train again"):
        checkpoint.read(run / "checkpoints/last.pt")
    (tmp_path / "old.toml").write_text("latent = 3")
    assert from_toml(tmp_path / "old.toml") == {"latent_dim": 3}


def test_older_names_are_translated_in_every_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As if `latent_dim` had had two other names, one after the other."""
    renamed = {1: {"size_of_z": "latents", "pace": "batch_size"}, 2: {"latents": "latent_dim"}}
    monkeypatch.setattr(formats, "RENAMED", renamed)
    for kind in ("description", "weights"):
        file = run / ("run.json" if kind == "description" else "weights.safetensors")
        for version, name in ((1, "size_of_z"), (None, "size_of_z"), (1, "latents"), (2, "latents"), (2, "latent_dim")):
            set_version(run, kind, version)
            if kind == "description":
                values = json.loads(file.read_text())
                value = next(values.pop(key) for key in ("latent_dim", "latents", "size_of_z") if key in values)
                file.write_text(json.dumps({**values, name: value}))
                assert Folder(run).run().latent_dim == 2
            else:
                about = header(file)
                about["data"] = dataclasses.asdict(about["data"])
                about["run"][name] = about["run"].pop("latent_dim")
                about.pop("format", None)
                if version:
                    about["format"] = version
                save_file(load_file(file), file, {"interalia": json.dumps(about)})
                assert header(file)["run"]["latent_dim"] == 2
                assert interalia.load(run).run.latent_dim == 2
    (tmp_path / "old.toml").write_text("size_of_z = 5\npace = 7")
    assert from_toml(tmp_path / "old.toml") == {"latent_dim": 5, "batch_size": 7}
    assert command("train", tmp_path / "old.toml", "--print-config") == 0
    assert "latent_dim = 5\n" in capsys.readouterr().out
    (tmp_path / "twice.toml").write_text("size_of_z = 5\nlatent_dim = 7")
    with pytest.raises(
        UserError, match=r"twice.toml sets `latent_dim` twice, under an older name too; leave one out\.$"
    ):
        from_toml(tmp_path / "twice.toml")
    assert formats.upgraded({"format": 2, "size_of_z": 5}, "x") == {"size_of_z": 5}  # a name that was gone by then


OLD: dict[str, Any] = {  # every field that has another name or value today, with a value of its own
    "target": "digits-inverted", "root": "data", "size": 16, "binarise": "fresh", "labelled": 20, "labels": False,
    "attributes": None, "generator": "runs/gan", "latent": 3, "spectral": "critic", "noise": "constant(std=0.2)",
    "balance": 0.9, "optimiser": "sgd", "rates": {"critic": 0.5, "default": 0.25}, "batch": 7, "accumulate": 2,
    "clip": 1.5, "ema": 0.99, "average": "moving", "population": 4, "best": "frechet_floor", "until_converged": 6,
    "encoder": "spanned(noise=6)", "penalty": " interpolated (weight=3.0)",
}  # fmt: skip
NEW: dict[str, Any] = {
    "data_b": "digits-inverted", "data_dir": "data", "image_size": 16, "binarize": "dynamic", "num_labeled": 20,
    "pretrained_generator": "runs/gan", "latent_dim": 3, "spectral_norm": "critic", "instance_noise": "constant(std=0.2)",
    "skip_critic_above": 0.9, "optimizer": "sgd", "lr": {"critic": 0.5, "default": 0.25}, "batch_size": 7,
    "grad_accumulation": 2, "grad_clip": 1.5, "weight_average": "ema(0.99)", "recalibrate_bn": 4,
    "monitor": "frechet_real_vs_real", "early_stopping": 6, "encoder": "basis-noise(noise=6)",
    "penalty": "wgan-gp(weight=3.0)",
}  # fmt: skip


@pytest.mark.parametrize("version", [None, 1, 2])
def test_fields_up_to_version_2_have_their_names_and_values_of_today(version: int | None, tmp_path: Path) -> None:
    old = OLD if version is None else {**OLD, "format": version}
    assert formats.upgraded(old, "run.json") == NEW
    assert Run.restored(formats.upgraded(old, "run.json")) == Run(**NEW)
    assert set(NEW) <= set(Run.__dataclass_fields__)
    folder = Folder(tmp_path)
    folder.description.write_text(json.dumps(old))
    assert folder.run() == Run(**NEW)
    with pytest.raises(
        UserError, match="there is no field of a run 'target'"
    ):  # what run.json may hold, Python may not
        Run().replace(**OLD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"labels": True}, {"condition_on": "labels"}),
        ({"labels": True, "attributes": None}, {"condition_on": "labels"}),
        ({"labels": False, "attributes": "Smiling,Male"}, {"condition_on": "Smiling,Male"}),
        ({"attributes": "all"}, {"condition_on": "all"}),
        ({"labels": False}, {}),
        ({"ema": 0}, {"weight_average": "none"}),
        (
            {"ema": 0.9, "average": "moving(start=0.5, warm=False)"},
            {"weight_average": "ema(0.9, start=0.5, warm=False)"},
        ),
        ({"average": "moving(0.5)"}, {"weight_average": "ema(0.999, 0.5)"}),
        ({"average": "uniform"}, {"weight_average": "swa"}),
        ({"ema": 0.0, "average": "uniform(start=0.25)"}, {"weight_average": "swa(start=0.25)"}),
        ({"penalty": "clip"}, {"penalty": "weight-clip"}),
        ({"penalty": "r1", "encoder": "dirac"}, {"penalty": "r1", "encoder": "deterministic"}),
        ({"rates": {}}, {"lr": {}}),
        ({"binarise": "fixed"}, {"binarize": "static"}),
    ],
)
def test_two_fields_of_old_are_one_today(old: dict[str, Any], new: dict[str, Any], tmp_path: Path) -> None:
    for version in (1, 2):
        assert formats.upgraded({**old, "format": version}, "x") == new
    text = "".join(f"{line}\n" for line in Run(**new).dump().splitlines() if line.partition(" ")[0] in {*new, "format"})
    (tmp_path / "new.toml").write_text(text)
    assert Run(**from_toml(tmp_path / "new.toml")) == Run(**new)
    Run(**new).check_parts()


@pytest.mark.parametrize("version", ["", "format = 1\n", "format = 2\n", "format = 3\n"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latent = 3\nlatent_dim = 4", "sets `latent_dim` twice, under an older name too; leave one out."),
        ("rates = { critic = 0.1 }\nlr = 0.2", "sets `lr` twice, under an older name too; leave one out."),
        (
            'labels = true\ncondition_on = "all"',
            "sets `condition_on` twice, as `labels` of an older version too; leave one out.",
        ),
        (
            'condition_on = "labels"\nattributes = "all"',
            "sets `condition_on` twice, as `attributes` of an older version too; leave one out.",
        ),
        (
            'weight_average = "none"\nema = 0.9',
            "sets `weight_average` twice, as `ema` of an older version too; leave one out.",
        ),
        (
            'average = "uniform"\nweight_average = "swa"',
            "sets `weight_average` twice, as `average` of an older version too; leave one out.",
        ),
        ('labels = true\nattributes = "all"', "sets `labels` and `attributes`; leave one out."),
    ],
)
def test_an_old_and_a_new_name_of_one_field_are_refused(version: str, text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mixed.toml"
    file.write_text(version + text)
    with pytest.raises(UserError) as caught:
        from_toml(file)
    assert str(caught.value) == f"{file} {said}"


def test_older_names_are_understood_in_every_toml_file(tmp_path: Path) -> None:
    for version in ("", "format = 1\n", "format = 2\n", f"format = {formats.FORMAT}\n"):
        (tmp_path / "mine.toml").write_text(f'{version}latent = 5\nbatch_size = 4\nema = 0.5\npenalty = "clip"')
        assert from_toml(tmp_path / "mine.toml") == {
            "latent_dim": 5, "batch_size": 4, "penalty": "weight-clip", "weight_average": "ema(0.5)",
        }  # fmt: skip


def test_metrics_of_older_logs_and_results_have_their_names_of_today(run: Path) -> None:
    folder = Folder(run)
    folder.log.write_text(
        '{"step": 1, "measures/nearest_neighbour_hidden": 0.5, "losses/critic": 2.0, "health/posterior_mmd": 3.0}\n'
        '{"step": 2, "measures/knn1_features": 0.75}\n{"step": 3, "measures/kn'
    )
    assert folder.log_lines() == [
        {"step": 1, "metrics/knn1_features": 0.5, "losses/critic": 2.0, "health/aggregate_posterior_mmd": 3.0},
        {"step": 2, "metrics/knn1_features": 0.75},
    ]
    measures = [{"name": "reconstruction_shuffled", "value": 1.0}, {"name": "psnr", "value": 2.0}]
    named = [{"name": "reconstruction_mismatched", "value": 1.0}, {"name": "psnr", "value": 2.0}]
    assert formats.results({"step": 1, "measures": measures}) == {"step": 1, "metrics": named}
    assert formats.results({}) == formats.results({"measures": None}) == {}
    for hostile in ([3], [{}], [{"name": [1]}]):
        assert formats.results({"measures": hostile}) == {"metrics": []}
    assert not set(formats.METRICS) & set(metrics.REGISTRY)
    assert set(formats.METRICS.values()) <= set(metrics.REGISTRY)


def test_plug_ins_of_older_files_are_looked_for_under_the_fields_of_today() -> None:
    kept = {"optimiser": {"module": "theirs"}, "average": {"module": "theirs"}, "penalty": {"module": "mine"}}
    assert formats.new_plugins(kept, 2) == {
        "optimizer": {"module": "theirs"}, "weight_average": {"module": "theirs"}, "penalty": {"module": "mine"},
    }  # fmt: skip


def test_weights_are_loaded_and_checkpoints_read_as_data_alone() -> None:
    """Pickles can execute code: every call says that it wants none of that."""
    source = Path(interalia.__file__).parent
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for part in text.split("torch.load(")[1:]:
            assert "weights_only=True" in part.partition("\n")[0], file
        assert "pickle.load" not in text
