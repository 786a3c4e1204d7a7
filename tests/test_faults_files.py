"""Files of a run that are damaged or made by somebody else: one sentence with the file's name, or the run goes on without."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from program import interalia
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from interalia.disk import parse_json, read_json, regular
from interalia.errors import UserError, remedy
from interalia.runs import Run, loading, recipes
from interalia.runs.folder import Folder, digest_of
from interalia.runs.run import from_toml
from interalia.runs.schemas import Results, fits, fitting, is_log_line
from interalia.training import checkpoint, engine
from interalia.training.callbacks import Callback

Change = Callable[[dict[str, Any]], Any]
DEEP = "[" * 100_000


def tiny(**fields: Any) -> Run:
    small = {
        "networks": "auto(width=4, unary=True)",
        "evaluate_every": 0,
        "log_every": 1,
        "batch_size": 16,
        "steps": 4,
        "schedule": "constant",
    }
    return recipes.ali_digits(**{**small, "checkpoint_every": 2, **fields})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "run"
    engine.train(tiny(), folder)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def changed(run: Path, change: Change, names: tuple[str, ...] = ("last.pt", "previous.pt")) -> None:
    for name in names:
        state = torch.load(run / "checkpoints" / name, weights_only=True)
        change(state)
        torch.save(state, run / "checkpoints" / name)


# ---- checkpoints


def first_moments(state: dict[str, Any]) -> dict[str, Any]:
    return state["optimisers"]["critic"]["state"][0]


DAMAGED: dict[str, tuple[Change, str]] = {
    "step is a text": (lambda s: s.update(step="x"), r"Expected int, got str - at \$\.step"),
    "step is negative": (lambda s: s.update(step=-5), r"Expected int >= 0 - at \$\.step"),
    "step is gone": (lambda s: s.pop("step"), "missing required field step"),
    "seconds is None": (lambda s: s.update(seconds=None), r"\$\.seconds"),
    "seconds are infinite": (lambda s: s.update(seconds=float("inf")), r"\$\.seconds"),
    "best is a number": (lambda s: s.update(best=3), r"\$\.best"),
    "best is a list of texts": (lambda s: s.update(best=["x", "y"]), r"\$\.best"),
    "game is a list": (lambda s: s.update(game=[]), r"\$\.game"),
    "game is a tensor": (lambda s: s.update(game=torch.zeros(3)), "keys"),
    "a weight is a number": (lambda s: s["game"].update({next(iter(s["game"])): 1}), r"\$\.game"),
    "random is a text": (lambda s: s.update(random="x"), r"\$\.random"),
    "an epoch is a text": (lambda s: s["samplers"][0].update(epoch="1"), r"\$\.samplers"),
    "an epoch is too large": (lambda s: s["samplers"][0].update(epoch=10**30), r"\$\.samplers"),
    "moments are a list": (lambda s: s.update(optimisers={"critic": []}), r"\$\.optimisers"),
}
UNFIT: dict[str, tuple[Change, str]] = {
    "no average": (lambda s: s.update(average=None), "averaged weights"),
    "moments of another shape": (lambda s: first_moments(s).update(exp_avg=torch.zeros(1)), "'exp_avg' of parameter 0"),
    "moments that are missing": (lambda s: first_moments(s).pop("exp_avg"), "'exp_avg' of parameter 0"),
    "moments of no parameter": (lambda s: s["optimisers"]["critic"]["state"].update({10**6: {}}), "parameter 1000000"),
    "a player is missing": (lambda s: s["optimisers"].pop("critic"), "critic"),
    "a weight is missing": (lambda s: s["game"].pop(next(iter(s["game"]))), "Missing key"),
    "a weight of another shape": (lambda s: s["game"].update({next(iter(s["game"])): torch.zeros(1)}), "size mismatch"),
    "no sampler": (lambda s: s.update(samplers=[]), "zip"),
    "gradients of another shape": (
        lambda s: s.update(dynamics={"memory": [torch.zeros(1, 1, 1)] * len(PARAMETERS)}),
        "another shape than the parameters",
    ),
    "dynamics are empty": (lambda s: s.update(dynamics={}), "memory"),
    "random numbers of another size": (lambda s: s["random"].update(cpu=torch.zeros(3, dtype=torch.uint8)), "RNG"),
    "random numbers of another type": (lambda s: s["random"].update(cpu=torch.zeros(3)), "Byte"),
}
PARAMETERS = [p for p in engine.prepare(tiny()).game.parameters() if p.requires_grad]


@pytest.mark.parametrize("name", DAMAGED)
def test_a_checkpoint_of_other_types_is_damaged(name: str, run: Path) -> None:
    change, message = DAMAGED[name]
    changed(run, change)
    with pytest.raises(UserError, match=rf"last\.pt is damaged \(.*{message}.*previous\.pt is damaged"):
        engine.train(tiny(steps=6), run, resume=True)


@pytest.mark.parametrize("name", UNFIT)
def test_a_checkpoint_that_does_not_fit_the_run_is_refused(name: str, run: Path) -> None:
    change, message = UNFIT[name]
    changed(run, change)
    with pytest.raises(UserError, match=rf"last\.pt does not fit the run that .*run\.json describes \(.*{message}"):
        engine.train(tiny(steps=6), run, resume=True)


@pytest.mark.parametrize("name", ["step is a text", "no average", "moments of another shape"])
def test_it_is_passed_over_for_the_one_before(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, _ = {**DAMAGED, **UNFIT}[name]
    whole = run.parent / "whole"
    shutil.copytree(run, whole)
    engine.train(tiny(steps=6), whole, resume=True)
    changed(run, change, ("last.pt",))
    engine.train(tiny(steps=6), run, resume=True)
    assert "Resuming from" in capsys.readouterr().err
    assert (run / "checkpoints/last.damaged").exists()
    one, other = (checkpoint.read(folder / "checkpoints/last.pt") for folder in (whole, run))
    assert all(torch.equal(one["game"][key], other["game"][key]) for key in one["game"])
    assert torch.equal(one["random"]["cpu"], other["random"]["cpu"])


# ---- weights and their metadata


def described(run: Path, change: Change | str) -> None:
    file = run / "weights.safetensors"
    with safe_open(file, "pt") as opened:
        about = json.loads(opened.metadata()["interalia"])
    text = change if isinstance(change, str) else json.dumps(change(about) or about)
    save_file(load_file(file), file, {"interalia": text})


@pytest.mark.parametrize(
    "change",
    [
        DEEP,
        "null",
        "5",
        "[]",
        "{",
        lambda a: {key: value for key, value in a.items() if key != "run"},
        lambda a: a.update(run=[]),
        lambda a: a.update(step=-1),
        lambda a: a.update(step="x"),
        lambda a: a.update(digest="0"),
        lambda a: a.update(format="x"),
        lambda a: a["data"].update(shape=5),
        lambda a: a["data"].update(shape=[-1, 8, 8]),
        lambda a: a["data"].update(condition="x"),
        lambda a: a["data"].update(attributes=["x"]),
        lambda a: a["data"].update(names=5),
        lambda a: a["run"].update(latent_dim="x"),
        lambda a: a["run"].update(divergence="gan(smoothing=" + "-" * 5000 + "1)"),
        lambda a: a["run"].update(penalty="r1(every=" + "9" * 5000 + ")"),
        lambda a: a["run"].update(networks="mlp(width=-1)"),
    ],
)
def test_metadata_that_are_not_the_programs_are_one_sentence(change: Change | str, run: Path) -> None:
    described(run, change)
    with pytest.raises(UserError) as caught:
        loading.load(run)
    assert len(str(caught.value)) < 1000


def test_a_flipped_bit_in_the_weights_is_noticed(run: Path) -> None:
    file = run / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 0x40
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights\.safetensors is damaged .*numbers of its tensors have changed"):
        loading.load(run)


def test_the_digest_of_tensors_is_of_names_types_shapes_and_numbers() -> None:
    one = {"a": torch.zeros(2, 3), "b": torch.ones(())}
    digest = digest_of(one)
    assert digest == digest_of(dict(reversed(one.items())))
    others = [
        {"a": torch.zeros(3, 2), "b": torch.ones(())},
        {"a": torch.zeros(2, 3), "c": torch.ones(())},
        {"a": torch.zeros(2, 3), "b": torch.ones((), dtype=torch.float64)},
        {"a": torch.zeros(2, 3), "b": -torch.ones(())},
        {"a": torch.zeros(2, 3)},
    ]
    assert len({digest, *map(digest_of, others)}) == 6
    assert digest_of({"a": torch.zeros(2, dtype=torch.bfloat16), "b": torch.empty(0)})


# ---- run.json, logs, results


@pytest.mark.parametrize(
    "text", [DEEP, "[]", "null", "{", '{"steps": "x"}', '{"lr": {"critic": []}}', '{"name": "\\u0000"}']
)
def test_a_description_that_is_not_the_programs_is_one_sentence(text: str, run: Path) -> None:
    (run / "run.json").write_text(text)
    for call in (Folder(run).run, lambda: engine.train(tiny(), run, resume=True), lambda: loading.load(run)):
        with pytest.raises(UserError):
            call()
    assert interalia("report", run) == 2


def test_lines_of_the_log_that_are_not_the_programs_are_left_out(run: Path) -> None:
    lines = Folder(run).log_lines()
    strange = ['{"step": "x"}', '{"step": -1}', "[1]", DEEP, '{"step": 1, "losses/critic": "x"}', '{"step": 1e308}']
    strange += [
        '{"step": 1, "seconds": []}',
        '{"step": 1, "verdict": 5}',
        '{"step": 1, "losses/critic": ' + "9" * 999 + "}",
    ]
    with open(run / "log.jsonl", "ab") as file:
        file.write(
            b"\n".join([*(line.encode() for line in strange), b'{"st\xe5p": 1}', b'{"step": 9, "losses/c": null}'])
        )
    assert Folder(run).log_lines() == [*lines, {"step": 9, "losses/c": None}]
    assert is_log_line({"step": 1, "note": ["of a newer version"]})
    engine.train(tiny(steps=6), run, resume=True)
    assert [line["step"] for line in Folder(run).log_lines()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["results.json", "likelihood.json"])
@pytest.mark.parametrize(
    "text",
    [
        '{"measures": [], "training": 5}',
        '{"metrics": [1, null, {"name": 5}, {"name": "x", "value": "y"}], "step": "x", "data": 3, "split": []}',
        '{"metrics": 5, "estimates": {"a": 1}, "images": 3, "machine": [], "seeds": 7, "versions": "x"}',
        '{"estimates": [{"name": "ais"}, {"name": "ais", "value": 1.0, "check": {"gap": null}}], "training": {"steps": "x"}}',
    ],
)
@pytest.mark.usefixtures("sketches")
def test_a_page_of_strange_results_goes_without_them(name: str, text: str, run: Path) -> None:
    (run / name).write_text(text)
    assert interalia("report", run) == 0


@pytest.mark.parametrize("name", ["results.json", "likelihood.json"])
def test_results_that_are_nested_deeply_are_one_sentence(
    name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_text('{"metrics": ' + DEEP)
    assert interalia("report", run) == 2
    assert f"{name} is damaged or cannot be read (its values are nested too deeply)" in capsys.readouterr().err


@pytest.mark.usefixtures("sketches")
def test_diagnostics_are_subtracted_at_equal_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interalia.reports import plots

    drawn = {}
    monkeypatch.setattr(
        plots, "_line_with_dots", lambda axes, name, step, value, **_: drawn.update({name: (step, value)})
    )
    log = [{"step": i, "health/critic_auc": 0.5 + i / 10, "health/critic_auc_held_out": 0.5} for i in (1, 2, 3)]
    del log[0]["health/critic_auc_held_out"], log[2]["health/critic_auc"]
    plots.health_chart(log, tmp_path / "x.png")
    step, value = drawn["critic_auc - critic_auc_held_out"]
    assert step.tolist() == [2]
    assert value.tolist() == pytest.approx([0.2])


def test_values_of_another_type_are_left_out_one_by_one() -> None:
    metrics = [{"name": "a", "value": 1}, {"name": 2}, {"value": 3.0}, {"name": "b", "value": None}]
    found = fitting({"metrics": metrics, "step": 3, "split": 5, "other": {"x": []}}, Results)
    assert found == {"metrics": [metrics[0], metrics[3]], "step": 3, "other": {"x": []}}
    assert not fits({"metrics": 3}, Results)
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)


# ---- TOML


@pytest.mark.parametrize(
    "text",
    ["lr = " + DEEP[:5000] + "]" * 5000, "steps = " + "9" * 6000, 'name = "a\\u0000b"', 'data = "a\\u0000b"', "\xff"],
)
def test_a_file_of_settings_that_cannot_be_read_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=r"x\.toml"):
        from_toml(tmp_path / "x.toml")
    assert interalia("train", tmp_path / "x.toml", "--print-config") == 2


@pytest.mark.parametrize(
    "text",
    [
        "gan(smoothing=" + "-" * 5000 + "1)",
        "gan(smoothing=" + "(" * 5000 + "1" + ")" * 5000 + ")",
        "gan(smoothing=1e400)",
    ],
)
def test_a_component_that_cannot_be_read_is_one_short_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert interalia("train", "ali-digits", "--divergence", text, "--print-config") == 2
    error = capsys.readouterr().err
    assert error.startswith("interalia: ")
    assert error.count("\n") == 1
    assert len(error) < 400


@pytest.mark.parametrize("text", ["r1(every=1" + "0" * 30 + ")", "weight-clip(bound=1e308)", "r1(gamma=-1e308)"])
def test_a_number_beyond_all_use_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="out of range"):
        Run(penalty=text).check_parts()


# ---- what is no file, and the system's errors


def test_what_is_no_regular_file_is_never_waited_for(run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.symlink("nowhere", tmp_path / "dangling")
    os.symlink("loop", tmp_path / "loop")
    for name, reason in {
        "pipe": "a named pipe",
        "dangling": "leads nowhere",
        "loop": "leads nowhere",
        ".": "a folder",
    }.items():
        with pytest.raises(OSError, match=reason):
            regular(tmp_path / name)
        with pytest.raises(OSError, match=reason):
            read_json(tmp_path / name)
    os.symlink(run / "run.json", tmp_path / "link")
    assert read_json(tmp_path / "link") == read_json(run / "run.json")
    for name in ("run.json", "weights.safetensors"):
        content = (run / name).read_bytes()
        (run / name).unlink()
        os.mkfifo(run / name)
        with pytest.raises(UserError):
            loading.load(run)
        (run / name).unlink()
        (run / name).write_bytes(content)
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).unlink()
        os.mkfifo(run / "checkpoints" / name)
    with pytest.raises(UserError, match="a named pipe"):
        engine.train(tiny(steps=6), run, resume=True)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "permissions"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ENOENT, "path"),
    ],
)
def test_the_remedy_is_that_of_the_error(number: int, words: str) -> None:
    assert words in remedy(OSError(number, os.strerror(number)))


def test_a_name_that_is_too_long_is_told_from_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert interalia("train", "ali-digits", "--name", "x" * 300, "--steps", 0) == 2
    assert "give a shorter name or choose another folder" in capsys.readouterr().err


class Removing(Callback):
    """Removes a file after the third step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def step(self, training: Any, outcome: Any) -> None:
        if training.step == 3:
            self.path.unlink()


def test_a_description_that_vanishes_is_written_again(tmp_path: Path) -> None:
    from interalia.training.callbacks import default_callbacks

    training = engine.open_run(tiny(), tmp_path / "run")
    before = (tmp_path / "run/run.json").read_bytes()
    engine.finish(training, [Removing(tmp_path / "run/run.json"), *default_callbacks(training, progress=False)])
    assert (tmp_path / "run/run.json").read_bytes() == before


def test_a_device_without_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="'meta' cannot be used"):
        loading.resolve_device("meta")


@pytest.mark.parametrize("message", ["CUDA out of memory.", "DefaultCPUAllocator: can't allocate memory: you tried"])
def test_too_little_memory_is_one_sentence(
    message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(engine, "open_run", fail)
    assert interalia("train", "ali-digits", "--out", tmp_path / "run") == 2
    assert "there is not enough memory" in capsys.readouterr().err
    message = "shapes do not match"
    with pytest.raises(RuntimeError, match="shapes"):
        interalia("train", "ali-digits", "--out", tmp_path / "run")


def test_a_payload_in_a_checkpoint_is_not_executed(run: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.makedirs, (str(tmp_path / "EXECUTED"),)

    buffer = io.BytesIO()
    torch.save(Payload(), buffer)
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="is damaged"):
        engine.train(tiny(steps=6), run, resume=True)
    assert not (tmp_path / "EXECUTED").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"networks": "fgan-mnist(scale=-1.0)"},
        {"networks": "infogan(leak=-1)"},
        {"networks": "mlp(width=0)"},
        {"encoder": "implicit(noise=-1)"},
    ],
)
def test_a_size_or_a_width_below_its_least_value_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"`\w+` is (-1|-1\.0|0), and it must be [01] or more"):
        engine.prepare(Run(**fields, steps=1))
