"""Generators that are brought to a game which only infers: a run keeps its own copy, and what does not fit is explained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import examples
import pytest
import torch
from torch import Tensor, nn

from interalia import tasks
from interalia.errors import UserError
from interalia.runs import Run, building, loading, recipes
from interalia.training import engine

SHORT: dict[str, Any] = {"networks": "auto(width=4)", "batch_size": 32, "evaluate_every": 0, "latent_dim": 4}
SHAPE = (1, 8, 8)


def exported(module: nn.Module, path: Path, *inputs: Tensor, fixed: bool = False) -> str:
    rows = None if fixed else torch.export.Dim("n")
    shapes = tuple(None if rows is None else {0: rows} for _ in inputs)
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return str(path)


@pytest.mark.parametrize("kind", ["folder", "weights", "pt2", "an encoder's run"])
def test_an_encoders_run_outlives_its_generator(kind: str, tmp_path: Path) -> None:
    source, trust = tmp_path / "source", kind == "pt2"
    if kind == "pt2":
        source.mkdir()
        generator = exported(examples.generator(4, SHAPE), source / "g.pt2", torch.randn(3, 4))
    else:
        engine.train(Run(game="gan", steps=1, **SHORT), source / "gan")
        generator = str(source / ("gan/weights.safetensors" if kind == "weights" else "gan"))
    run = Run(game="latent-regressor", steps=2, pretrained_generator=generator, **{**SHORT, "evaluate_every": 1})
    if kind == "an encoder's run":
        engine.train(run, source / "first")
        run = run.replace(pretrained_generator=str(source / "first"))
    trained = engine.train(run, tmp_path / "run", trust=trust)
    shutil.rmtree(source)
    z = torch.randn(5, 4)
    for place in ("run", "run/weights.safetensors", "run/checkpoints/best.safetensors"):
        loaded = loading.load(tmp_path / place, trust=trust)
        assert torch.equal(tasks.decode(loaded.game, z), tasks.decode(trained.game, z))
    further = engine.train(run.replace(steps=4), tmp_path / "run", resume=True, trust=trust)
    assert further.step == 4
    assert torch.equal(tasks.decode(further.game, z), tasks.decode(trained.game, z))
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = loading.load(tmp_path / "moved", trust=trust)
    assert torch.equal(tasks.decode(moved.game, z), tasks.decode(trained.game, z))
    shutil.copy(tmp_path / "moved/weights.safetensors", tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="generator"):  # without its copy: it is said what is missing
        loading.load(tmp_path / "bare.safetensors")


def test_latents_and_prior_are_the_generators_unless_given(tmp_path: Path) -> None:
    gan = tmp_path / "gan"
    engine.train(Run(game="gan", steps=1, prior="uniform", **SHORT), gan)
    for generator in (gan, gan / "weights.safetensors"):
        for recipe in (recipes.posthoc_ali_mnist, recipes.latent_regressor_mnist):
            run = recipe(pretrained_generator=str(generator))
            assert (run.latent_dim, run.prior) == (4, "uniform")
        run = recipes.posthoc_ali_mnist(pretrained_generator=str(generator), latent_dim=9)
        assert (run.latent_dim, run.prior) == (9, "uniform")
    assert (
        recipes.posthoc_ali_mnist(pretrained_generator=str(tmp_path / "none")).latent_dim
        == recipes.posthoc_ali_mnist().latent_dim
    )


class Answering(nn.Module):
    """A generator that answers what a function makes of its images."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.inner = examples.generator(4, SHAPE)
        self.answer = answer

    def forward(self, z: Tensor) -> object:
        return self.answer(self.inner(z))


class Told(nn.Module):
    """A generator that wants labels too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = examples.generator(4, SHAPE)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x: Tensor = self.inner(z + y)
        return x


MODULES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "tuple": (lambda: Answering(lambda x: (x, x)), "returns a tuple, and it must return x, one tensor"),
    "dict": (lambda: Answering(lambda x: {"x": x}), "returns a dict, and it must"),
    "none": (lambda: Answering(lambda x: None), "returns a NoneType, and it must"),
    "wrong inside": (lambda: Answering(lambda x: x.nothing), r"fails on z .*AttributeError.* takes z alone"),  # type: ignore[attr-defined]
    "told": (Told, "fails on z .*TypeError.* takes z alone"),
    "double": (lambda: examples.generator(4, SHAPE).double(), r"0\.weight is torch\.float64, .* by \.float\(\)"),
    "bf16": (lambda: examples.generator(4, SHAPE).bfloat16(), r"is torch\.bfloat16, and it must be torch\.float32"),
    "answers double": (lambda: Answering(Tensor.double), r"returns torch\.float64"),
    "tanh": (lambda: Answering(lambda x: 2 * x - 1), r"returns pixels from -0\..* after a tanh"),
    "bytes": (lambda: Answering(lambda x: 255 * x), r"returns pixels from .*, and pixels must lie in \[0, 1\]"),
    "nan": (lambda: Answering(lambda x: x / 0 - x / 0), "values that are not finite"),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_that_does_not_fit_is_explained(kind: str) -> None:
    make, words = MODULES[kind]
    with pytest.raises(UserError, match=words):
        building.build(Run(game="posthoc-ali", **SHORT), SHAPE, generator=make())


def test_a_file_that_does_not_fit_is_explained(tmp_path: Path) -> None:
    z, path = torch.randn(3, 4), tmp_path / "g.pt2"
    engine.train(Run(game="gan", steps=1, condition_on="labels", **SHORT), tmp_path / "conditional")
    (tmp_path / "mk.py").write_text("")
    run = Run(game="posthoc-ali", **SHORT)
    for make, words in (
        (lambda: exported(examples.generator(4, SHAPE), path, z, fixed=True), "for batches of 3 only; export it again"),
        (
            lambda: exported(examples.generator(7, SHAPE), path, torch.randn(3, 7)),
            "takes 7 latents, .* give `latent_dim=7`",
        ),
        (lambda: exported(Told(), path, z, z), r"takes 2 input\(s\), and it must take z alone"),
        (lambda: exported(Answering(lambda x: (x, x)), path, z), "returns a tuple"),
        (lambda: exported(examples.generator(4, SHAPE).double(), path, z.double()), r"is torch\.float64"),
        (lambda: str(tmp_path / "mk.py"), r"is of an unknown file type; .* or a \.pt2 file"),
        (lambda: str(tmp_path / "conditional"), "is conditional on labels, and PostHocALI needs an unconditional one"),
        (lambda: str(tmp_path / "none"), "cannot be loaded: .* is not the folder of a run"),
    ):
        with pytest.raises(UserError, match=words):
            building.build(run.replace(pretrained_generator=make()), SHAPE, trust=True)
