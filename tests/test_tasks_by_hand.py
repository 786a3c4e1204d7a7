"""Tasks on games whose networks are formulas: what they answer by hand, what they refuse at its border, every default."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from statistics import NormalDist
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interalia import tasks
from interalia.conditionals import (
    Chain,
    Codes,
    Conditional,
    Deterministic,
    Gaussian,
    Mixture,
    Prior,
    StandardNormal,
    Uniform,
)
from interalia.contexts import draw_noise, keyed
from interalia.data.sampler import Sampler
from interalia.errors import UserError
from interalia.games import ALI, GAN, HALI, VAE, Game
from interalia.games.capabilities import Adversarial, Generates, Infers, require
from interalia.spaces import DataSpec
from interalia.tasks import calling, completion, inference
from interalia.tasks.completion import expand_mask, feather_mask

close = torch.testing.assert_close


class By(nn.Module):
    """A network that is a formula, remembers what it was given, and in which mode it ran."""

    def __init__(self, formula: Callable[..., Tensor]) -> None:
        super().__init__()
        self.formula = formula
        self.place = nn.Parameter(torch.zeros(()))  # by a parameter, tasks know where a game lives
        self.given: list[tuple[Tensor, ...]] = []

    def forward(self, *c: Tensor) -> Tensor:
        assert not self.training
        self.given.append(c)
        return self.formula(*c)

    hidden = forward


def spec(shape: tuple[int, ...], facts: dict[str, Any]) -> DataSpec:
    """Of that shape, with the facts that stand among others, which are taken out."""
    return DataSpec(
        shape, facts.pop("labels", 0), facts.pop("attributes", {}), facts.pop("classes", 0), facts.pop("names", ())
    )


def gan(decode: Callable[..., Tensor], prior: Prior | None = None, shape: tuple[int, ...] = (2,), **more: Any) -> Game:
    game = GAN(Deterministic(By(decode)), nn.Identity(), prior or StandardNormal(2))
    game.data = spec(shape, more)
    vars(game).update(more)
    return game


def ali(
    encode: Callable[..., Tensor], decode: Callable[..., Tensor], shape: tuple[int, ...] = (2,), **more: Any
) -> Game:
    game = ALI(Deterministic(By(encode)), Deterministic(By(decode)), nn.Identity(), StandardNormal(2))
    game.data = spec(shape, more)
    vars(game).update(more)
    return game


def double(z: Tensor) -> Tensor:
    return 2 * z


def second(z: Tensor, y: Tensor) -> Tensor:
    """2 z, and 100 for each label's place."""
    return 2 * z + 100 * (y @ torch.arange(y.shape[1]).float())[:, None]


def refused(words: str, task: Callable[..., object], *arguments: Any, **more: Any) -> None:
    with pytest.raises(UserError, match=words) as caught:
        task(*arguments, **more)
    assert str(caught.value).endswith(".")


# --- defaults -------------------------------------------------------------------------------------------------------

DEFAULTS: dict[str, dict[str, object]] = {
    "code_parameters": {},
    "interpolate_latents": {"interpolation": "lerp"},
    "generate_by_label": {"seed": 0, "sample": False, "truncation": None},
    "classify": {"seed": 0},
    "complete": {"refine_steps": 200, "refine_lr": 0.05, "blend": 0, "seed": 0, "y": None},
    "decode": {"seed": 0, "label": None, "y": None, "level": "upper", "sample": False},
    "direction": {"seed": 0},
    "traversal_names": {"dimensions": 6},
    "edit": {"seed": 0},
    "single_edits": {"seed": 0},
    "encode": {"seed": 0, "sample": False, "y": None, "level": "upper"},
    "features": {"seed": 0, "y": None},
    "generate": {"count": 64, "seed": None, "label": None, "y": None, "sample": False, "truncation": None},
    "posterior": {"draws": 16, "seed": 0, "y": None, "level": "upper"},
    "as_inputs": {},
    "interpolate": {"steps": 9, "interpolation": "lerp", "seed": 0, "y": None, "level": "upper"},
    "sample_condition": {"seed": 0, "label": None},
    "sample_latents": {"seed": 0, "truncation": None},
    "manifold": {"grid_size": 20, "seed": 0},
    "neighbours": {"count": 8, "seed": 0, "y": None},
    "load_mask": {},
    "indices_of": {},
    "index_of": {"kind": "label"},
    "project": {"refine_steps": 200, "refine_lr": 0.05, "mask": None, "start": None, "seed": 0, "y": None},
    "recognize": {},
    "reconstruct": {"seed": 0, "y": None, "level": "upper"},
    "shift": {"seed": 0},
    "condition": {},
    "translate": {"to": "b"},
    "traverse": {"code": 0, "rows": 10, "columns": 10, "low": -2.0, "high": 2.0, "seed": 0},
}


class NoiseConditionedConv(Conditional):
    """What it calls its mean is a draw, as it may be of an implicit conditional that somebody brings."""

    def forward(self, *c: Tensor) -> Any:
        found = Deterministic(self.network)(*c).mean
        found = found + torch.randn_like(found)
        return SimpleNamespace(mean=found, sample=lambda: found + 1)

    def hidden(self, *c: Tensor) -> Tensor:
        return self(*c).mean  # type: ignore[no-any-return]


def noisy(labels: int = 0) -> Game:
    formula = By(lambda c, *y: c)
    game = ALI(NoiseConditionedConv(formula), NoiseConditionedConv(formula), Reader(), StandardNormal(2))
    game.data = DataSpec((2,), labels)
    vars(game).update(to_a=double, to_b=torch.neg, classify=lambda x: x + torch.randn_like(x))
    return game


class Reader(nn.Module):
    def score_and_codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :1], torch.cat([x, 3 * x[:, :1]], dim=1)


X = torch.tensor([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0], [-0.5, 0.75]])
MANY = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 1, 0])
GIVEN: dict[str, tuple[Any, ...]] = {
    "interpolate_latents": (X, X.flip(0), 0.25),
    "generate_by_label": (noisy(2), 3),
    "classify": (noisy(), X),
    "complete": (noisy(), X, [1, 0]),
    "decode": (noisy(), X),
    "direction": (noisy(), X, Y),
    "traversal_names": (noisy(),),
    "edit": (noisy(2), X, Y, 1 - Y),
    "single_edits": (noisy(2), X, Y),
    "encode": (noisy(), X),
    "posterior": (noisy(), X),
    "features": (noisy(), X),
    "generate": (noisy(),),
    "interpolate": (noisy(), X, X.flip(0)),
    "sample_condition": (noisy(2), 9),
    "sample_latents": (noisy(), 3),
    "manifold": (noisy(),),
    "neighbours": (noisy(), X, MANY),
    "index_of": (["a", "b"], "b"),
    "project": (noisy(), X),
    "reconstruct": (noisy(), X),
    "shift": (noisy(), X, torch.ones(2), [0.5]),
    "translate": (noisy(), X),
    "traverse": (noisy(),),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_are_as_documented(name: str) -> None:
    task, defaults = getattr(tasks, name), DEFAULTS[name]
    assert {
        key: p.default for key, p in inspect.signature(task).parameters.items() if p.default is not p.empty
    } == defaults
    assert (name in GIVEN) == bool(defaults)
    if name in GIVEN:
        torch.manual_seed(0)  # for samples that are new in every call
        found = task(*GIVEN[name])
        torch.manual_seed(0)
        same = task(*GIVEN[name], **defaults)
        parts = found if isinstance(found, tuple | list) else [found]
        for one, other in zip(parts, same if isinstance(same, tuple | list) else [same], strict=True):
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other


def test_every_task_is_in_the_table() -> None:
    found = {name for name in tasks.__all__ if inspect.isfunction(getattr(tasks, name))}
    # infer is encode without a check of the range; functions of units are tested in test_own_units.py
    units = {"from_units", "to_columns", "to_units", "units_of"}
    assert found == {*DEFAULTS, *units, "device_of", "evaluating", "infer"}
    assert (calling.BATCH, completion.STARTS) == (250, 64)


# --- how tasks call a game ------------------------------------------------------------------------------------------


def test_batches_of_so_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "BATCH", 3)
    a, b = torch.arange(7.0).double()[:, None], torch.arange(7.0).double()[:, None] ** 2
    sizes = []

    def total(a: Tensor, b: Tensor) -> Tensor:
        sizes.append(len(a))
        return a - 2 * b

    found = calling.map_batches(total, a, b, device=torch.device("cpu"))
    assert sizes == [3, 3, 1]
    assert found.dtype == torch.float32
    close(found, (a - 2 * b).float())


def test_250_rows_are_a_batch() -> None:
    game = gan(double)
    tasks.decode(game, torch.zeros(501, 2))
    tasks.project(game, torch.zeros(251, 2), 1, start=torch.zeros(251, 2))
    assert [len(z) for (z,) in game.decoder.network.given] == [250, 250, 1, 250, 1]  # type: ignore[union-attr]


def test_who_is_able() -> None:
    words = r"^GAN has no encoder; look needs a game that has one: [^.]*ALI"
    refused(words, require, gan(double), Infers, "look")
    assert require(gan(double), Generates, "look").prior.size == 2
    game = ali(double, double)
    assert require(game, Infers, "look", Generates) is game
    with pytest.raises(UserError) as caught:
        require(gan(double), Adversarial, "look", Infers)
    named = str(caught.value).split(": ")[1].rstrip(".").split(", ")
    assert {"ALI", "PostHocALI"} <= set(named)  # whose decoder is fixed
    assert not {"GAN", "VAE", "CycleGAN"} & set(named)  # a VAE has no critic


NEEDS: dict[str, str] = {
    "sample_latents": "drawing latents",
    "decode": "decode",
    "encode": "encode",
    "posterior": "encode",
    "features": "features",
    "reconstruct": "reconstruct",
    "interpolate": "interpolate",
    "neighbours": "neighbours",
    "edit": "edit",
    "single_edits": "edit",
    "direction": "encode",
    "traversal_names": "traverse",
    "traverse": "traverse",
    "manifold": "manifold",
    "project": "project",
    "complete": "complete",
}


@pytest.mark.parametrize("name", NEEDS)
def test_tasks_name_the_networks_that_they_need(name: str) -> None:
    words = f"^SimpleNamespace has no (en|de)coder; {NEEDS[name]} needs a game that has one: "
    refused(words, getattr(tasks, name), SimpleNamespace(), *GIVEN[name][1:])


def test_labelled_tasks_name_the_games_that_are_conditional_and_infer() -> None:
    with pytest.raises(UserError) as caught:
        calling.check_conditional(ali(double, double), "edit")
    named = str(caught.value).split("`condition_on='all'`: ")[1].rstrip(".").split(", ")
    assert "ALI" in named
    assert not {"GAN", "InfoGAN", "VAE"} & set(named)
    refused("has no encoder", calling.check_conditional, gan(double, labels=3), "edit")
    calling.check_conditional(ali(double, double, labels=1), "edit")


def test_images_of_any_shape_where_none_is_known() -> None:
    calling.check_images(gan(double, shape=()), torch.zeros(2, 9))
    calling.check_images(gan(double, shape=(9,)), torch.zeros(2, 9))
    refused(r"the input has the shape \(2, 8\)", calling.check_images, gan(double, shape=(9,)), torch.zeros(2, 8))


def test_where_a_name_stands() -> None:
    words, numbers = ["cat", "dog", "ox"], ["7", "0", "2"]
    assert [tasks.index_of(words, name) for name in ("ox", "cat", "0", "2")] == [2, 0, 0, 2]
    assert [tasks.index_of(numbers, name) for name in ("7", "0", "2")] == [0, 1, 2]
    for names, name in (
        (words, "3"),
        (words, "-1"),
        (words, "1.0"),
        (numbers, "1"),
        (["cat", "1e3"], "0"),
        (["a", "nan"], "1"),
    ):
        refused(f"there is no label '{name}'", tasks.index_of, names, name)
    refused("there is no attribute 'cow'", tasks.index_of, words, "cow", "attribute")


def test_labels_by_hand() -> None:
    assert tasks.sample_condition(gan(double), 5) == ()
    game = gan(double, labels=3, names=("a", "b", "c"))
    for label in range(3):
        (y,) = tasks.sample_condition(game, 4, label=label)
        assert torch.equal(y, torch.eye(3)[[label] * 4])
        assert torch.equal(tasks.sample_condition(game, 4, label="abc"[label])[0], y)
    for wrong in (-1, 3, 0.0):
        refused("whole number from 0 to 2", tasks.sample_condition, game, 4, label=wrong)
    (y,) = tasks.sample_condition(game, 900)
    assert y.shape == (900, 3)
    assert y.dtype == torch.float32
    assert torch.equal(y.sum(1), torch.ones(900))
    assert (y.mean(0) - 1 / 3).abs().max() < 0.06
    assert torch.equal(y, tasks.sample_condition(game, 900, 0)[0])
    assert not torch.equal(y, tasks.sample_condition(game, 900, 1)[0])
    plain = torch.randint(3, (900,), generator=torch.Generator().manual_seed(0))
    assert not torch.equal(y.argmax(1), plain)  # of a stream of their own
    refused("this GAN is unconditional; leave the label out", tasks.sample_condition, gan(double), 4, label=0)


def test_attributes_by_hand() -> None:
    game = gan(double, labels=2, attributes={"odd": 0.2, "large": 0.9})
    (y,) = tasks.sample_condition(game, 2000, 3)
    assert y.shape == (2000, 2)
    assert set(y.flatten().tolist()) == {0.0, 1.0}
    close(y.mean(0), torch.tensor([0.2, 0.9]), atol=0.03, rtol=0)
    assert abs(float(torch.corrcoef(y.t())[0, 1])) < 0.07
    assert not torch.equal(y, tasks.sample_condition(game, 2000, 4)[0])
    always = gan(double, labels=2, attributes={"odd": 0.0, "large": 1.0})
    assert torch.equal(tasks.sample_condition(always, 50)[0], torch.tensor([[0.0, 1.0]] * 50))
    refused("leave the label out, or give attributes", tasks.sample_condition, game, 2, label=0)


def test_what_is_told_by_hand() -> None:
    game = gan(double, labels=3)
    assert tasks.condition(gan(double), torch.tensor([1]), 1) == ()
    assert torch.equal(tasks.condition(game, torch.tensor([0, 2]), 2)[0], torch.eye(3)[[0, 2]])
    assert torch.equal(tasks.condition(game, torch.tensor([0.0, 2.0]), 2)[0], torch.eye(3)[[0, 2]])
    soft = torch.tensor([[0.5, 0.25, 0.25]])
    assert torch.equal(tasks.condition(game, soft.double(), 1)[0], soft)  # rows may be anything finite
    assert tasks.condition(game, torch.zeros(0, dtype=torch.long), 0)[0].shape == (0, 3)
    refused("is conditional on labels; give the labels of the images", tasks.condition, game, None, 1)
    for wrong in ([-1, 2], [0, 3], [3, 0], [2, -1]):
        refused("those of this game are from 0 to 2; give labels", tasks.condition, game, torch.tensor(wrong), 2)
    for wrong in (torch.zeros(3).long(), torch.zeros(2, 2), torch.zeros(2, 3, 1), torch.zeros(1, 3), torch.tensor(1)):  # type: ignore[assignment]
        refused(r"for 2 images this game needs the shape \(2, 3\)", tasks.condition, game, wrong, 2)
    refused("a fraction", tasks.condition, game, torch.tensor([0.5, 1.0]), 2)
    attributes = gan(double, labels=2, attributes={"odd": 0.2, "large": 0.9})
    assert torch.equal(tasks.condition(attributes, torch.tensor([[1, 0]]), 1)[0], torch.tensor([[1.0, 0.0]]))
    refused(r"the attributes have the shape \(2,\)", tasks.condition, attributes, torch.tensor([1, 0]), 2)
    refused("is conditional on attributes; give the attributes of the images", tasks.condition, attributes, None, 1)


def test_levels_by_hand() -> None:
    encoder = Chain(Deterministic(By(lambda x: x[:, :3] + 1)), Deterministic(By(lambda z1: 10 * z1[:, :2])))
    decoder = Chain(
        Deterministic(By(lambda z2: torch.cat([z2, z2[:, :1]], dim=1) / 2)), Deterministic(By(lambda z1: 3 * z1))
    )
    game = HALI(encoder, decoder, nn.Identity(), StandardNormal(2), lower=3)
    game.data = DataSpec((3,))
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 4.0]])
    close(tasks.encode(game, x, level="lower"), x + 1)
    close(tasks.encode(game, x), 10 * (x[:, :2] + 1))
    close(tasks.decode(game, x, level="lower"), 3 * x)
    close(tasks.decode(game, x[:, :2]), 1.5 * x[:, [0, 1, 0]])
    close(tasks.reconstruct(game, x, level="lower"), 3 * (x + 1))
    close(tasks.interpolate(game, x, x.flip(0), 3, level="lower")[:, 1], (3 * (x.mean(0) + 1)).expand(2, 3))
    refused(r"those of this game have \(n, 3\)", tasks.decode, game, x[:, :2], level="lower")
    refused("it must be 'upper', z, or 'lower'", tasks.encode, game, x, level="middle")
    refused("ALI has one level of latents", tasks.decode, ali(double, double), x[:, :2], level="lower")


# --- inference ------------------------------------------------------------------------------------------------------


def test_a_draw_of_x_has_the_likelihoods_noise() -> None:
    z = torch.tensor([[0.25, 0.5]]).repeat(3000, 1)
    plain = ali(double, double)
    assert torch.equal(tasks.decode(plain, z, sample=True), tasks.decode(plain, z))
    wide = GAN(Gaussian(By(lambda z: torch.cat([2 * z, z - 1], dim=1))), nn.Identity(), StandardNormal(2))
    found = tasks.decode(wide, z, sample=True)
    close(found.mean(0), 2 * z[0], atol=0.05, rtol=0)
    close(found.std(0), (z[0] - 1).exp(), rtol=0.06, atol=0)
    torch.testing.assert_close(tasks.decode(wide, z), 2 * z)
    vae = VAE(Gaussian(By(lambda x: x)), Deterministic(By(double)), StandardNormal(2), sigma=0.3)
    close(tasks.decode(vae, z), 2 * z)
    noise = tasks.decode(vae, z, sample=True) - 2 * z
    close(noise.std(0), torch.tensor([0.3, 0.3]), rtol=0.06, atol=0)


def test_the_noise_of_x_is_not_that_of_z() -> None:
    prior = StandardNormal(2)
    game = GAN(Gaussian(By(lambda z: torch.cat([z, 0 * z], dim=1))), nn.Identity(), prior)
    z = tasks.sample_latents(game, 500, 3)
    noise = tasks.generate(game, 500, 3, sample=True) - z
    assert (noise - z).abs().min() > 0
    assert abs(float((noise * z).mean())) < 0.1
    other = tasks.generate(game, 500, 4, sample=True) - tasks.sample_latents(game, 500, 4)
    assert abs(float((noise * other).mean())) < 0.1
    with keyed(3, "latents"):
        close(z, draw_noise("prior", "normal", (500, 2), z))
    with keyed(3, "decode"):
        close(noise, draw_noise("conditional", "normal", (500, 2), z), atol=1e-5, rtol=0)


def test_latents_are_encoded_as_means_or_draws() -> None:
    encoder = Gaussian(By(lambda x: torch.cat([3 * x, 0 * x], dim=1)))
    game = ALI(encoder, Deterministic(By(double)), nn.Identity(), StandardNormal(2))
    game.data = DataSpec((2,))
    x = torch.tensor([[0.5, 2.0], [1.0, -1.0], [0.0, 0.25]])
    close(tasks.encode(game, x), 3 * x)
    with keyed(6, "encode"):
        eps = draw_noise("conditional", "normal", (3, 2), x)
    close(tasks.encode(game, x, 6, sample=True), 3 * x + eps)
    refused("has no encoder; encode needs", tasks.encode, gan(double), x)


def test_features_are_flat_and_labelled() -> None:
    game = ali(lambda x, y: x[:, None] * y[:, :, None], double, labels=3)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = tasks.features(game, x, y=torch.tensor([2, 0]))
    close(found, torch.tensor([[0, 0, 0, 0, 1.0, 2], [3, 4, 0, 0, 0, 0]]))


def test_samples_by_label_share_their_latents() -> None:
    game = gan(second, labels=3)
    z = tasks.sample_latents(game, 4, 5)
    found = tasks.generate_by_label(game, 4, 5)
    close(found, torch.cat([2 * z, 2 * z + 100, 2 * z + 200]))
    close(tasks.generate(game, 4, 5, label=2), 2 * z + 200)
    close(tasks.generate(game, 4, 5, y=torch.tensor([0, 1, 2, 0])), 2 * z + torch.tensor([[0.0], [100], [200], [0]]))
    close(tasks.decode(game, z, 5), 2 * z + 100 * tasks.sample_condition(game, 4, 5)[0].argmax(1, keepdim=True))
    noisy = GAN(Gaussian(By(lambda z, y: torch.cat([second(z, y), 0 * z], dim=1))), nn.Identity(), StandardNormal(2))
    noisy.data = DataSpec((2,), 3)
    assert (tasks.generate_by_label(noisy, 4, 5, sample=True) - found).abs().min() > 0


def test_interpolation_by_hand() -> None:
    game = ali(lambda x: x + 1, double)
    a, b = torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([[4.0, 6.0], [-3.0, 5.0]])
    found = tasks.interpolate(game, a, b, 5)
    assert found.shape == (2, 5, 2)
    for i in range(5):
        close(found[:, i], 2 * (a + (b - a) * i / 4 + 1))
    close(tasks.interpolate(game, a, b, 2), torch.stack([2 * a + 2, 2 * b + 2], dim=1))
    assert tasks.interpolate(game, a, b).shape == (2, 9, 2)
    arc = tasks.interpolate(game, torch.tensor([[2.0, -1.0]]), torch.tensor([[-1.0, 4.0]]), 3, "slerp")
    close(arc[0, 1], 2 * torch.tensor([3.0, 5.0]) / 2**0.5)  # from (3, 0) to (0, 5)
    refused("`steps` is 1", tasks.interpolate, game, a, b, 1)


def test_the_arc_by_hand() -> None:
    kind = torch.float64
    a, b = torch.tensor([[2.0, 0.0]], dtype=kind), torch.tensor([[1.5, 1.5 * 3**0.5]], dtype=kind)  # 60 degrees apart
    for t in (0.0, 0.25, 0.7, 1.0):
        one, other = (math.sin(math.pi / 3 * part) / math.sin(math.pi / 3) for part in (1 - t, t))
        close(inference.interpolate_latents(a, b, t, "slerp"), one * a + other * b)
        close(inference.interpolate_latents(a, b, t), (1 - t) * a + t * b)
    # an angle of 1e-3 has an arc, whose height a 64-bit number sees
    near = torch.tensor([[2 * math.cos(1e-3), 2 * math.sin(1e-3)]], dtype=kind)
    assert inference.interpolate_latents(a, near, 0.5, "slerp").norm().item() == pytest.approx(2.0, abs=1e-9)
    assert inference.interpolate_latents(a, near, 0.5).norm().item() < 2 - 1e-7


def test_neighbours_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    game = ali(lambda x: 2 * x, double)
    others = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    x = torch.tensor([[2.9, 0.2], [0.1, 0.9], [4.0, 4.0], [0.1, 0.0], [3.2, 0.0]])
    expected = torch.tensor([[1, 0], [2, 0], [3, 1], [0, 2], [1, 0]])
    expected[2, 1] = int((others - x[2]).norm(dim=1).argsort()[1])
    assert torch.equal(tasks.neighbours(game, x, others, 2), expected)
    monkeypatch.setattr(inference, "BATCH", 2)
    assert torch.equal(tasks.neighbours(game, x, others, 2), expected)
    assert tasks.neighbours(game, x, others, 4).shape == (5, 4)
    assert tasks.neighbours(game, x, others, 1).shape == (5, 1)
    assert tasks.neighbours(game, x, others.repeat(3, 1)).shape == (5, 8)
    for count in (0, 5, -1):
        refused("it must be from 1 to 4", tasks.neighbours, game, x, others, count)
    told = ali(lambda x, y: x + 10 * y.argmax(1, keepdim=True), double, labels=2)
    pair = torch.tensor([[0.0, 0.0], [0.1, 0.0]])
    found = tasks.neighbours(told, pair, pair, 1, y=(torch.tensor([0, 1]), torch.tensor([1, 0])))
    assert found.flatten().tolist() == [1, 0]


# --- editing --------------------------------------------------------------------------------------------------------


def test_edits_turn_one_attribute_over() -> None:
    def encode(x: Tensor, y: Tensor) -> Tensor:
        return x + y[:, :2]

    def decode(z: Tensor, y: Tensor) -> Tensor:
        return z + 10 * y[:, :2] + 100 * y[:, 2:]

    game = ali(encode, decode, labels=3, attributes={"a": 0.5, "b": 0.5, "c": 0.5})
    x, y = torch.tensor([[0.25, 0.5], [2.0, 3.0]]), torch.tensor([[1, 0, 1], [0, 0, 0]])
    z = x + y[:, :2]
    found = tasks.single_edits(game, x, y)
    assert found.shape == (2, 3, 2)
    for j in range(3):
        wanted = y.clone()
        wanted[:, j] = 1 - wanted[:, j]
        close(found[:, j], z + 10 * wanted[:, :2] + 100 * wanted[:, 2:])
    assert y.tolist() == [[1, 0, 1], [0, 0, 0]]
    game.data = dataclasses.replace(game.data, attributes={})
    close(tasks.single_edits(game, x, torch.tensor([0, 2]))[1], torch.tensor([[12.0, 3], [2, 13], [102, 103]]))


def test_directions_by_hand() -> None:
    game = ali(lambda x: 3 * x, double)
    x = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]])
    way = tasks.direction(game, x, [0, 1, 0])
    close(way, 3 * torch.tensor([2.5, 3.5]))
    found = tasks.shift(game, x, way, [-1.0, 0.0, 0.5])
    assert found.shape == (3, 3, 2)
    for j, strength in enumerate((-1.0, 0.0, 0.5)):
        close(found[:, j], 2 * (3 * x + strength * way))
    refused("0 of 3 examples have the property", tasks.direction, game, x, [0, 0, 0])
    refused("3 of 3 examples have the property", tasks.direction, game, x, [1, 1, 1])
    for wrong in ([0, 1], [0, 1, -1], [0, 1, 0.5]):
        refused("true or false for each of 3", tasks.direction, game, x, wrong)


# --- codes ----------------------------------------------------------------------------------------------------------


def identity(z: Tensor) -> Tensor:
    return z


def test_traversals_by_hand() -> None:
    game = gan(identity, StandardNormal(7), (7,))
    z = tasks.sample_latents(game, 3, 2)
    found = tasks.traverse(game, 6, rows=3, columns=5, seed=2)
    assert found.shape == (3, 5, 7)
    for i, value in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
        close(found[:, i, :6], z[:, :6])
        close(found[:, i, 6], torch.full((3,), value))
    close(tasks.traverse(game, rows=1, columns=1, low=-1.0)[0, 0, 0], torch.tensor(-1.0))
    assert tasks.traverse(game).shape == (10, 10, 7)
    assert tasks.traversal_names(game) == ["z1", "z2", "z3", "z4", "z5", "z6"]
    assert tasks.traversal_names(game, 9) == ["z1", "z2", "z3", "z4", "z5", "z6", "z7"]
    for code in (-1, 7):
        refused("it must be from 0 to 6", tasks.traverse, game, code)
    for wrong in ({"rows": 0}, {"columns": 0}):
        refused("it must be at least 1", tasks.traverse, game, **wrong)


def test_traversals_of_codes_by_hand() -> None:
    game = gan(identity, Codes(9, categorical=[3, 2], uniform=1, gaussian=1), (9,))
    z = tasks.sample_latents(game, 4, 2)
    assert tasks.traversal_names(game) == ["c1", "c2", "c3", "c4"]
    one = tasks.traverse(game, 1, rows=4, columns=5, seed=2)  # the second category, all else as drawn
    assert one.shape == (4, 2, 9)
    for k in range(2):
        close(one[:, k, :5], z[:, :5])
        close(one[:, k, 5:7], torch.eye(2)[[k] * 4])
        close(one[:, k, 7:], z[:, 7:])
    z[:, 2:5] = torch.eye(3)[[0, 1, 2, 0]]
    uniform = tasks.traverse(game, 2, rows=4, columns=3, low=-1.0, high=1.0, seed=2)
    for k in range(3):
        close(uniform[:, k, :7], z[:, :7])
        close(uniform[:, k, 7], torch.full((4,), k - 1.0))
        close(uniform[:, k, 8], z[:, 8])
    refused("it must be from 0 to 3", tasks.traverse, game, 4)
    plain = gan(identity, Codes(3, categorical=[], uniform=2), (3,))
    z = tasks.sample_latents(plain, 2, 0)
    close(tasks.traverse(plain, 1, rows=2, columns=2)[:, 1, :2], z[:, :2])


def test_traversals_tell_one_label_a_row() -> None:
    game = gan(lambda z, y: torch.cat([z, y], dim=1), labels=3, shape=(5,))
    found = tasks.traverse(game, 1, rows=4, columns=2)
    for row, label in enumerate((0, 1, 2, 0)):
        close(found[row, :, 2:], torch.eye(3)[[label] * 2])
    game.data = dataclasses.replace(game.data, attributes={"a": 0.3, "b": 0.5, "c": 0.9})
    found = tasks.traverse(game, 1, rows=6, columns=2, seed=4)
    close(found[:, 0, 2:], tasks.sample_condition(game, 6, 4)[0])
    close(found[:, 1, 2:], found[:, 0, 2:])


def test_manifolds_by_hand() -> None:
    found = tasks.manifold(gan(identity), 4)
    axis = [NormalDist().inv_cdf(p) for p in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    assert found.shape == (4, 4, 2)
    for row in range(4):
        for column in range(4):  # z_1 grows to the right, z_2 upwards
            close(found[row, column], torch.tensor([axis[column], axis[3 - row]]))
    flat = tasks.manifold(gan(identity, Uniform(2)), 2)
    close(flat, torch.tensor([[[-0.5, 0.5], [0.5, 0.5]], [[-0.5, -0.5], [0.5, -0.5]]]))
    assert tasks.manifold(gan(identity), 1).abs().max() < 1e-6
    assert tasks.manifold(gan(identity)).shape == (20, 20, 2)
    game = gan(lambda z, y: torch.cat([z, y], dim=1), labels=3, shape=(5,))
    for seed in range(3):
        told = tasks.sample_condition(game, 1, seed)[0]
        assert torch.equal(tasks.manifold(game, 3, seed)[..., 2:], told.expand(3, 3, 3))
    refused("that of this game has 3", tasks.manifold, gan(identity, StandardNormal(3)))
    refused("that of this game is Mixture", tasks.manifold, gan(identity, Mixture(2)))
    refused("`grid_size` is 0", tasks.manifold, gan(identity), 0)


# --- descent and completion -----------------------------------------------------------------------------------------


def test_the_steps_of_a_descent_fall_by_a_half_cosine() -> None:
    """Far away the gradient hardly changes, and Adam moves by its rate: in all by rate (T + 1) / 2."""
    game = gan(lambda z: z + torch.tensor([-1e6, 1e6]))
    x, start = torch.zeros(2, 2), torch.tensor([[0.25, 0.5], [1.0, -1.0]])
    for steps in (1, 2, 7):
        moved = tasks.project(game, x, steps, refine_lr=0.1, start=start) - start
        expected = 0.1 * sum((1 + math.cos(math.pi * t / steps)) / 2 for t in range(steps))
        close(moved, expected * torch.tensor([[1.0, -1.0]] * 2), atol=1e-4, rtol=0)
    assert torch.equal(tasks.project(game, x, 0, start=start), start)
    close((tasks.project(game, x, start=start) - start)[:, 0], torch.full((2,), 0.05 * 201 / 2), atol=1e-2, rtol=0)
    assert start.tolist() == [[0.25, 0.5], [1.0, -1.0]]
    plain = tasks.project(game, x, 2, start=start)
    assert torch.equal(tasks.project(game, x, 2, start=start.clone().requires_grad_()), plain)
    assert not start.requires_grad


def test_a_descents_loss_is_a_sum_over_images() -> None:
    """No image's step depends on how many there are, not even where its gradient is as small as Adam's 1e-8 is."""
    game = gan(lambda z: 1e-4 * z)
    x = torch.full((2, 2), 5e-5)  # the gradient at z = 0 is -2 (1e-4) (5e-5) = -1e-8
    found = tasks.project(game, x, 1, 0.1, start=torch.zeros(2, 2))
    close(found, torch.full((2, 2), 0.05), atol=1e-4, rtol=0)
    close(tasks.project(game, x[:1], 1, 0.1, start=torch.zeros(1, 2)), found[:1])


def test_a_descent_finds_the_known_part_alone() -> None:
    game = ali(identity, identity)
    x = torch.tensor([[1.0, math.nan], [-2.0, math.nan]])
    start = torch.zeros(2, 2)
    found = tasks.project(game, x, 300, 0.1, mask=[1, 0], start=start)
    close(found, torch.tensor([[1.0, 0.0], [-2.0, 0.0]]), atol=1e-3, rtol=0)
    begun = tasks.project(game, x, 0, mask=[1, 0])
    assert torch.equal(begun, torch.tensor([[1.0, 0.0], [-2.0, 0.0]]))  # the encoder is given 0 where nothing is known
    for wrong in ({"refine_steps": -1}, {"refine_lr": 0.0}, {"refine_lr": math.nan}):
        refused("give 0 or more steps, and a learning rate above 0", tasks.project, game, x, **wrong)
    refused(r"`start` has the shape \(1, 2\)", tasks.project, game, x, start=start[:1], mask=[1, 0])
    refused(r"`start` has the shape \(2, 3\)", tasks.project, game, x, start=torch.zeros(2, 3), mask=[1, 0])
    refused("has no decoder", tasks.project, SimpleNamespace(), x)


def test_a_descent_leaves_the_game_as_it_was() -> None:
    game = gan(double).train()
    own = game.decoder.network
    own.free = nn.Parameter(torch.ones(2))  # type: ignore[union-attr]
    own.still = nn.Parameter(torch.ones(2), requires_grad=False)  # type: ignore[union-attr]
    wanted = []

    def decode(z: Tensor) -> Tensor:
        wanted.append([p.requires_grad for p in game.parameters()])
        return z * own.free * own.still  # type: ignore[union-attr, operator]

    own.formula = decode  # type: ignore[union-attr, assignment]
    tasks.project(game, torch.ones(3, 2), 2, start=torch.zeros(3, 2))
    assert not any(any(flags) for flags in wanted)
    assert [own.free.requires_grad, own.still.requires_grad] == [True, False]  # type: ignore[union-attr]
    assert game.training
    assert all(p.grad is None for p in game.parameters())

    def fail(z: Tensor) -> Tensor:
        raise ZeroDivisionError

    own.formula = fail  # type: ignore[union-attr, assignment]
    with pytest.raises(ZeroDivisionError):
        tasks.project(game, torch.ones(3, 2), 2, start=torch.zeros(3, 2))
    assert [own.free.requires_grad, own.still.requires_grad] == [True, False]  # type: ignore[union-attr]


def test_a_descent_goes_in_batches_with_each_rows_label(monkeypatch: pytest.MonkeyPatch) -> None:
    game = gan(second, labels=3)
    y = torch.tensor([0, 1, 2, 1, 0])
    x = torch.tensor([[1.0, 2.0]]) * torch.arange(1.0, 6)[:, None]
    monkeypatch.setattr(calling, "BATCH", 2)
    found = tasks.project(game, x + 100 * y[:, None], 200, 0.1, start=x / 2 + 0.3, y=y)
    close(found, x / 2, atol=2e-2, rtol=0)
    assert {len(given[0]) for given in game.decoder.network.given} == {1, 2}  # type: ignore[union-attr]


def test_a_descent_begins_at_the_nearest_of_its_draws() -> None:
    game = gan(double)
    x = torch.tensor([[0.5, 50.0], [-1.0, -50.0], [0.1, 3.0]])
    for seed in (0, 11):
        draws = torch.stack([tasks.sample_latents(game, 3, seed + i) for i in range(64)])
        best = (2 * draws[..., 0] - x[:, 0]).abs().argmin(0)  # on what is known
        expected = draws[best, torch.arange(3)]
        assert torch.equal(tasks.project(game, x, 0, mask=[1, 0], seed=seed), expected)


def test_masks_are_checked() -> None:
    game = gan(double, shape=(1, 2, 3))
    assert torch.equal(expand_mask(game, torch.tensor([True, False, True])), torch.tensor([1.0, 0, 1]).expand(1, 2, 3))
    refused(
        r"the mask has the shape \(2,\), and the images of this game have \(1, 2, 3\)", expand_mask, game, torch.ones(2)
    )
    for wrong in (0.5, -1.0, 2.0, math.nan):
        refused("values other than 0 and 1", expand_mask, game, torch.tensor([0, 1, wrong]))


def test_masks_fade_into_the_known_part() -> None:
    known = torch.ones(1, 5, 7)
    known[0, 2, 3] = 0
    rings = torch.maximum(
        (torch.arange(5) - 2).abs()[:, None], (torch.arange(7) - 3).abs()[None]
    )  # how far from the hole
    for pixels in (1, 2, 3):
        close(feather_mask(known, pixels)[0], (rings / (pixels + 1)).clamp(max=1))
    assert feather_mask(known, 0) is known
    flat = torch.tensor([0.0, 1.0])
    assert feather_mask(flat, 2) is flat


def test_completion_by_hand() -> None:
    shape = (1, 2, 2)
    game = ali(lambda x: x.flatten(1)[:, :2], lambda z: (10 * z.sum(1))[:, None, None, None].expand(-1, *shape), shape)
    x = torch.tensor([[0.2, 0.4, 0.9, math.nan], [0.1, 0.5, 0.3, 7.0]]).view(2, *shape)
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = tasks.complete(game, x, mask, 0)
    close(found.flatten(1), torch.tensor([[0.2, 0.4, 0.9, 6.0], [0.1, 0.5, 0.3, 6.0]]))
    (given,) = game.encoder.network.given[-1]  # type: ignore[union-attr]
    close(given.flatten(1)[:, 3], torch.tensor([0.5, 0.3]))  # gray: the mean of what is known
    faint = tasks.complete(game, x, mask, 0, blend=1)
    close(faint.flatten(1)[:, :3], found.flatten(1)[:, :3] / 2 + 3.0)
    refused("`blend` is -1", tasks.complete, game, x, mask, blend=-1)
    refused("no known pixels", tasks.complete, game, x, torch.zeros(2, 2))
    refused("has no hole", tasks.complete, game, x, torch.ones(2, 2))
    blind = gan(lambda z: z[:, :1, None, None].expand(-1, *shape), shape=shape)
    z = tasks.project(blind, x, 3, 0.1, mask, seed=5)
    found = tasks.complete(blind, x, mask, 3, 0.1, seed=5)
    close(found.flatten(1)[:, 3], z[:, 0])
    close(found.flatten(1)[:, :3], x.flatten(1)[:, :3])
    told = ali(
        lambda x, y: x.flatten(1)[:, :2],
        lambda z, y: second(z, y)[:, :1, None, None].expand(-1, *shape),
        shape,
        labels=3,
    )
    found = tasks.complete(told, x, mask, 0, y=torch.tensor([1, 2]))
    close(found.flatten(1)[:, 3], torch.tensor([100.4, 200.2]))


# --- what a critic or an encoder reads ------------------------------------------------------------------------------


def test_codes_are_recognised_by_hand() -> None:
    game = gan(double, Codes(4, categorical=[2], uniform=1), code_parameters=lambda x: Reader().score_and_codes(x)[1])
    x = torch.tensor([[0.5, 1.0], [2.0, -1.0]])
    close(tasks.code_parameters(game, x), torch.cat([x, 3 * x[:, :1]], dim=1))
    found = tasks.recognize(game, x)
    close(found[:, 0], 1 / (1 + (x[:, 1] - x[:, 0]).exp()))
    close(found[:, 2], 3 * x[:, 0])
    refused("the input has the shape", tasks.code_parameters, game, torch.zeros(2, 3))
    refused("^GAN .* no codes; recognize needs a game that .*: InfoGAN", tasks.code_parameters, gan(double), x)


def test_labels_are_classified_by_hand() -> None:
    game = gan(double, classes=3, classify=lambda x: 2 * x)
    x = torch.tensor([[0.5, 1.0], [2.0, -1.0]])
    close(tasks.classify(game, x), 2 * x)
    refused("the input has the shape", tasks.classify, game, torch.zeros(2, 3))
    refused(
        "^GAN has no classifier; classify needs a game that has one: SemiALI, SemiAAE", tasks.classify, gan(double), x
    )


def test_translations_go_both_ways() -> None:
    game: Any = gan(double)
    game.to_a, game.to_b = By(lambda x: 3 * x), By(lambda x: 5 * x)
    x = torch.tensor([[0.5, 1.0], [2.0, -1.0]])
    close(tasks.translate(game, x), 5 * x)
    close(tasks.translate(game, x, "b"), 5 * x)
    close(tasks.translate(game, x, "a"), 3 * x)
    refused("it must be 'a', the domain of", tasks.translate, game, x, "A")
    del game.to_a
    refused(
        "no two domains to translate between; translate needs a game that has two domains: CycleGAN",
        tasks.translate,
        game,
        x,
    )


@pytest.mark.parametrize("kind", [Conditional, Prior])
def test_seeds_reach_every_draw(kind: type) -> None:
    """Of the prior by the seed itself, of the networks too: another seed is another answer, and the same is the same."""
    encoder = Gaussian(By(lambda x: torch.cat([x, 0 * x], dim=1)))
    game = ALI(encoder, Gaussian(By(lambda z: torch.cat([z, 0 * z], dim=1))), nn.Identity(), StandardNormal(2))
    x = torch.zeros(3, 2)
    draws: list[Callable[[int], Tensor]] = [lambda seed: tasks.sample_latents(game, 3, seed)]
    if kind is Conditional:
        draws = [
            lambda seed: tasks.encode(game, x, seed, "sample"),
            lambda seed: tasks.decode(game, x, seed, sample=True),
        ]
    for draw in draws:
        assert torch.equal(draw(1), draw(1))
        assert (draw(1) - draw(2)).abs().min() > 0


def test_tasks_hand_their_seed_on() -> None:
    plain, told = noisy(), noisy(2)
    x, y, has = torch.zeros(4, 2), Y, [0, 1, 0, 1]
    found: dict[str, Callable[[int], Tensor]] = {
        "classify": lambda seed: tasks.classify(plain, x, seed),
        "features": lambda seed: tasks.features(plain, x, seed),
        "reconstruct": lambda seed: tasks.reconstruct(plain, x, seed),
        "interpolate": lambda seed: tasks.interpolate(plain, x, x, 3, seed=seed),
        "neighbours": lambda seed: tasks.neighbours(plain, MANY, MANY, 9, seed).float(),
        "edit": lambda seed: tasks.edit(told, x, y, y, seed),
        "edits": lambda seed: tasks.single_edits(told, x, y, seed),
        "direction": lambda seed: tasks.direction(plain, x, has, seed),
        "shift": lambda seed: tasks.shift(plain, x, torch.ones(2), [1.0], seed),
        "traverse": lambda seed: tasks.traverse(plain, rows=2, columns=2, seed=seed),
        "manifold": lambda seed: tasks.manifold(plain, 2, seed),
        "project": lambda seed: tasks.project(plain, x, 2, seed=seed),
        "descent": lambda seed: tasks.project(plain, x, 2, start=x, seed=seed),
        "complete": lambda seed: tasks.complete(plain, x, [1, 0], 2, seed=seed),
    }
    for name, task in found.items():
        assert torch.equal(task(1), task(1)), name
        assert not torch.equal(task(1), task(2)), name
    # what encodes and decodes takes both from the one seed
    z = tasks.encode(plain, x, 3)
    assert torch.equal(tasks.reconstruct(plain, x, 3), tasks.decode(plain, z, 3))
    assert torch.equal(tasks.shift(plain, x, torch.ones(2), [2.0], 3)[:, 0], tasks.decode(plain, z + 2, 3))
    z = tasks.encode(told, x, 3, y=y)
    for found_, wanted in (
        (tasks.edit(told, x, y, y, 3), y),
        (tasks.single_edits(told, x, y, 3)[:, 1], torch.ones(4).long()),
    ):
        assert torch.equal(found_, tasks.decode(told, z, 3, y=wanted))


# --- the order of rows ----------------------------------------------------------------------------------------------


def test_the_order_of_rows_is_kept_by_every_version() -> None:
    """A run that is resumed goes on with the rows that it would have had."""
    sampler = Sampler(8, 3, seed=5)
    assert torch.stack([next(sampler) for _ in range(4)]).tolist() == [[4, 5, 0], [2, 1, 6], [3, 4, 2], [1, 7, 5]]


def test_the_sampler_by_hand() -> None:
    sampler = Sampler(7, 2, seed=0)
    assert sampler.batches == 3
    assert iter(sampler) is sampler
    epochs, states = [], []
    for _ in range(5):
        epochs.append(sampler.epoch)
        states.append(sampler.state_dict())
        next(sampler)
    assert epochs == pytest.approx([0, 1 / 3, 2 / 3, 1, 4 / 3])
    assert states == [{"epoch": e, "position": p} for e, p in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))]
    assert (Sampler(3, 3, 0).batches, Sampler(3, 1, 0).batches) == (1, 3)
    refused("lower it to `batch_size=3` or less", Sampler, 3, 4, 0)
    refused("at least 1 row", Sampler, 3, 0, 0)


def test_no_epoch_of_one_seed_is_an_epoch_of_another() -> None:
    orders = []
    for seed in range(6):
        sampler = Sampler(30, 30, seed)
        orders += [tuple(next(sampler).tolist()) for _ in range(6)]
    assert len(set(orders)) == 36


def test_a_sampler_goes_to_any_place_and_back() -> None:
    sampler = Sampler(9, 3, seed=2)
    drawn = [next(sampler).tolist() for _ in range(6)]
    sampler.load_state_dict({"epoch": 0, "position": 2})
    assert [next(sampler).tolist() for _ in range(2)] == drawn[2:4]
    sampler.load_state_dict({"epoch": 0, "position": 0})
    assert next(sampler).tolist() == drawn[0]
    for epoch, position in ((0, 3), (-1, 0), (0, -1)):
        refused("resume with the same data", sampler.load_state_dict, {"epoch": epoch, "position": position})
    sampler.load_state_dict({"epoch": 1, "position": 2})
    assert next(sampler).tolist() == drawn[5]
