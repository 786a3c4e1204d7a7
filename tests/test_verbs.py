"""What a verb answers: the same arrays as the task that it stands on, a figure that can be drawn, and a sentence."""

from __future__ import annotations

import csv
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from interalia import Run, UserError, build, data, recipes, tasks
from interalia.cli.common import app
from interalia.cli.tasks import MADE
from interalia.data.dataset import Dataset, Split
from interalia.reports import plots, showing
from interalia.tasks import verbs
from interalia.tasks.result import Figure, TaskResult

VERBS = [
    name
    for name, verb in inspect.getmembers(verbs, inspect.isfunction)
    if verb.__annotations__.get("return") == "TaskResult" and name != "result"
]
X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
ALI = build(recipes.ali_digits(latent_dim=2, networks="mlp(width=4)"))
LABELLED = build(recipes.ali_digits(condition_on="labels", networks="mlp(width=4)"))
POINTS = build(Run(game="ali", latent_dim=2), shape=(3,))


def digits() -> Dataset:
    return data.load("digits")


ANSWERS: dict[str, Any] = {
    "generate": lambda: verbs.generate(ALI, 4),
    "encode": lambda: verbs.encode(ALI, X, names="abcd"),
    "reconstruct": lambda: verbs.reconstruct(ALI, X),
    "interpolate": lambda: verbs.interpolate(ALI, X, steps=3),
    "traverse": lambda: verbs.traverse(ALI, rows=2, columns=3),
    "manifold": lambda: verbs.manifold(ALI, grid_size=3),
    "translate": lambda: verbs.translate(build(Run(game="cyclegan"), shape=(1, 8, 8), other=(1, 8, 8)), X),
    "neighbours": lambda: verbs.neighbours(ALI, X, digits, nearest=2, pool_size=20, labels=[0, 1, 2, 3]),
    "classify": lambda: verbs.classify(build(Run(game="semi-ali")), X, names="abcd", labels=[0, 1, 2, 3]),
    "edit": lambda: verbs.edit(ALI, X, digits, to="3", examples=50),
    "complete": lambda: verbs.complete(ALI, X, refine_steps=1),
}


def test_every_verb_is_tried_and_has_a_command() -> None:
    assert set(VERBS) == set(ANSWERS) <= set(app)


@pytest.mark.parametrize("name", VERBS)
def test_the_options_of_a_command_are_the_verbs_arguments_and_each_has_its_help(name: str) -> None:
    options = {a.field_info.name: a for a in app[name].assemble_argument_collection(parse_docstring=True)}
    for argument, parameter in inspect.signature(getattr(verbs, name)).parameters.items():
        if argument not in MADE:
            assert options[argument].parameter.help, argument
            assert options[argument].field_info.default == parameter.default


@pytest.mark.parametrize("name", VERBS)
def test_an_answer_is_arrays_a_figure_and_a_sentence(name: str, tmp_path: Path) -> None:
    found: TaskResult = ANSWERS[name]()
    assert found.text.splitlines()[0]
    assert all(isinstance(array, np.ndarray) for array in found.arrays.values())
    assert (found.figure is None) == (name in ("encode", "classify"))
    for figure in [found.figure, *found.parts.values()]:
        if figure is not None:
            inspect.signature(getattr(plots, figure.kind)).bind(**figure.arguments, path=tmp_path)
    picture = showing.png(found)
    assert (picture is None) == (found.figure is None)
    said = json.loads(json.dumps(showing.to_json(found)))
    assert said["say"] == found.text
    assert {key: np.shape(array) for key, array in said["arrays"].items()} == {
        key: array.shape for key, array in found.arrays.items()
    }
    assert (said["figure"] or "data:image/png;base64,").startswith("data:image/png;base64,")
    with np.load(showing.write(found, tmp_path / "x.npz")) as arrays:
        assert all(np.array_equal(arrays[key], array) for key, array in found.arrays.items())


def test_a_verb_answers_what_its_task_does() -> None:
    assert np.array_equal(verbs.reconstruct(ALI, X, seed=3).arrays["x_hat"], tasks.reconstruct(ALI, X, 3))
    assert np.array_equal(verbs.generate(ALI, 3, seed=3).arrays["x"], tasks.generate(ALI, 3, 3))
    path = tasks.interpolate(ALI, X[:2], X[2:], 3, "spherical", 3)
    assert np.array_equal(verbs.interpolate(ALI, X, steps=3, interpolation="slerp", seed=3).arrays["path"], path)
    by_label = verbs.generate(LABELLED)
    assert np.array_equal(by_label.arrays["x"], tasks.generate_by_label(LABELLED, 10))
    assert by_label.figure is not None
    assert by_label.figure.arguments["columns"] == 10
    y = torch.tensor([0, 1, 2, 3])
    edited = verbs.edit(LABELLED, X, digits, y, to="3,5").arrays["edited"]
    assert np.array_equal(edited, tasks.single_edits(LABELLED, X, y)[:, [3, 5]])


def test_points_have_no_figure(tmp_path: Path) -> None:
    for found in (verbs.generate(POINTS, 3), verbs.traverse(POINTS, 2, 2), verbs.manifold(POINTS, 3)):
        assert found.figure is None
        assert not found.parts
        assert showing.png(found) is None
        with pytest.raises(UserError, match=r"`out` is .*x\.png, and arrays are written as \.npz"):
            showing.write(found, tmp_path / "x.png")
        with pytest.raises(UserError, match=r"leave `separate` out and give `out=FILE\.npz`"):
            showing.write(found, tmp_path, separate=True)


def test_the_forms_of_an_answer(tmp_path: Path) -> None:
    images = np.linspace(0, 1, 2 * 4, dtype=np.float32).reshape(2, 1, 2, 2)
    found = TaskResult(
        "2 images", {"x": images}, Figure("grid", {"images": images}), {"a": Figure("save_image", {"image": images[1]})}
    )
    assert Image.open(showing.write(found, tmp_path / "x.png")).size[0] > 4
    assert showing.png(found) == (tmp_path / "x.png").read_bytes()
    assert json.loads(showing.write(found, tmp_path / "x.json").read_text())["arrays"]["x"][1][0][1][1] == 1
    for folder in (showing.write(found, tmp_path / "many"), showing.write(found, tmp_path / "many.1", separate=True)):
        assert [path.name for path in folder.iterdir()] == ["a.png"]
        assert np.array_equal(np.array(Image.open(folder / "a.png")), (images[1, 0] * 255).round())
    for wrong in ("x.txt", "x.csv", "x.npy"):
        with pytest.raises(UserError, match=r"must end in \.png for a picture"):
            showing.write(found, tmp_path / wrong)
    with pytest.raises(UserError, match=r"give a name that ends in \.npz or \.json"):
        showing.write(TaskResult("", {"z": images[0, 0]}), tmp_path / "z")


def test_a_table_is_written_by_columns(tmp_path: Path) -> None:
    found = TaskResult("2 labels", {"image": np.array(["a", "b"]), "p0": np.array([0.25, 1 / 3], np.float32)})
    assert found.is_table
    with showing.write(found, tmp_path / "x.csv").open() as file:
        assert list(csv.reader(file)) == [["image", "p0"], ["a", "0.250000"], ["b", "0.333333"]]
    with pytest.raises(UserError, match=r"a table is written as \.csv"):
        showing.write(found, tmp_path / "x.png")


def test_the_rows_that_a_seed_draws() -> None:
    part = Split(np.zeros((9, 2), np.float32))
    assert part.rows(None, 5).tolist() == list(range(9))
    first = part.rows(4, 5).tolist()
    assert first == torch.randperm(9, generator=torch.Generator().manual_seed(5))[:4].tolist()
    assert part.rows(6, 5).tolist()[:4] == first
    assert first != part.rows(4, 6).tolist()


def test_a_hole_is_named_or_painted(tmp_path: Path) -> None:
    assert tasks.load_mask((1, 4, 4), "centre").sum() == 12
    for name, (row, column) in {"left": (0, 0), "top": (0, 3), "right": (3, 3), "bottom": (3, 0)}.items():
        known = tasks.load_mask((1, 4, 4), name)
        assert known.sum() == 8
        assert known[0, row, column] == 0
    Image.fromarray(np.array([[0, 255], [127, 128]], np.uint8)).save(tmp_path / "mask.png")
    assert tasks.load_mask((3, 2, 2), tmp_path / "mask.png").tolist() == [[[0, 1], [0, 1]]]
    for name, words in ((tmp_path / "no.png", "there is no mask"), (tmp_path / "mask.png", "has 2x2 pixels")):
        with pytest.raises(UserError, match=words):
            tasks.load_mask((1, 8, 8), name)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="is not a picture"):
        tasks.load_mask((1, 8, 8), tmp_path / "text.png")
