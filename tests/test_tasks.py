"""Tasks: shapes, seeds, and what they leave as they found it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import examples
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from interalia import tasks
from interalia.errors import UserError
from interalia.games import REGISTRY, Game
from interalia.tasks import calling

SHAPE = (1, 5, 6)
LATENT = 7  # in which the codes have room that some games need
MAKING = [name for name, member in REGISTRY.items() if "to_b" not in member.players.get("generator", ())]
INFERRING = [name for name, member in REGISTRY.items() if any("encoder" in moved for moved in member.players.values())]
ABLE = ", ".join(REGISTRY[name].__name__ for name in INFERRING)


def build(name: str, **fields: object) -> Game:
    """An untrained game whose population statistics are not the initial ones."""
    game = examples.build(name, SHAPE, double=False, **{"latent_dim": LATENT, **fields})
    with torch.no_grad():
        for i in range(5):
            game(*(part + 0.01 * i for part in examples.batch(game, 32)))
    return game


def images(count: int, seed: int = 1) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


TASKS: dict[
    str, tuple[bool, Callable[[Game, int], Tensor], tuple[int, ...]]
] = {  # infers?, the task, one answer's shape
    "latents": (False, lambda game, seed: tasks.sample_latents(game, 7, seed), (LATENT,)),
    "generate": (False, lambda game, seed: tasks.generate(game, 7, seed), SHAPE),
    "decode": (False, lambda game, seed: tasks.decode(game, torch.ones(7, LATENT), seed), SHAPE),
    "encode": (True, lambda game, seed: tasks.encode(game, images(7), seed), (LATENT,)),
    "encode-sample": (True, lambda game, seed: tasks.encode(game, images(7), seed, sample=True), (LATENT,)),
    "features": (True, lambda game, seed: tasks.features(game, images(7), seed), (16,)),
    "reconstruct": (True, lambda game, seed: tasks.reconstruct(game, images(7), seed), SHAPE),
    "interpolate": (
        True,
        lambda game, seed: tasks.interpolate(game, images(7), images(7, 2), steps=3, seed=seed),
        (3, *SHAPE),
    ),
}
CASES = [
    pytest.param(game, task, id=f"{game}-{task}")
    for game in MAKING
    for task, (infers, _, _) in TASKS.items()
    if game in INFERRING or not infers
]
DRAWN = {"latents", "generate", "encode-sample"}


@pytest.mark.parametrize(("name", "task"), CASES)
def test_shapes_kinds_and_ranges(name: str, task: str) -> None:
    _, do, shape = TASKS[task]
    answer = do(build(name), 0)
    assert answer.shape == (7, *shape)
    assert answer.dtype == torch.float32
    assert not answer.requires_grad
    assert bool(answer.isfinite().all())
    if shape[-3:] == SHAPE:
        assert 0 <= answer.min() <= answer.max() <= 1


@pytest.mark.parametrize(("name", "task"), CASES)
def test_randomness_comes_from_the_seed_alone(name: str, task: str) -> None:
    _, do, _ = TASKS[task]
    game = build(name)
    first = do(game, 3)
    torch.manual_seed(99)
    assert torch.equal(do(game, 3), first)
    certain = name == "semi-aae" and task == "encode-sample"  # its encoder is deterministic
    assert torch.equal(do(game, 4), first) == (task not in DRAWN or certain)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_nothing_is_left_changed(name: str, task: str) -> None:
    _, do, _ = TASKS[task]
    game = build(name).train()
    next(iter(game.children())).eval()  # somebody's mixture of modes
    next(iter(game.decoder.children())).eval()
    modes = {key: module.training for key, module in game.named_modules()}
    weights = {key: value.clone() for key, value in game.state_dict().items()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    do(game, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert {key: module.training for key, module in game.named_modules()} == modes
    for key, value in game.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert all(parameter.grad is None for parameter in game.parameters())


def test_quietly_restores_after_a_failure() -> None:
    game = build("ali").train()
    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), tasks.evaluating(game, 5):
        torch.rand(3)
        assert not game.training
        assert not torch.is_grad_enabled()
        raise ZeroDivisionError
    assert all(module.training for module in game.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", INFERRING)
def test_each_row_is_answered_on_its_own(name: str) -> None:
    """Population statistics, no dropout, and batches of any size: a row's answer does not depend on the others."""
    game = build(name)
    x = images(calling.BATCH + 3)
    for task in (tasks.encode, tasks.features, tasks.reconstruct):
        everything = task(game, x)
        assert len(everything) == len(x)
        rows = torch.cat([task(game, x[i : i + 1]) for i in (0, 1, calling.BATCH, calling.BATCH + 2)])
        torch.testing.assert_close(rows, everything[[0, 1, calling.BATCH, calling.BATCH + 2]], atol=1e-6, rtol=1e-5)


def test_generation_is_decoding_of_latents() -> None:
    game = build("gan")
    count = calling.BATCH + 3
    assert torch.equal(tasks.generate(game, count, 3), tasks.decode(game, tasks.sample_latents(game, count, 3)))


@pytest.mark.parametrize("name", INFERRING)
def test_reconstruction_is_decoding_of_codes(name: str) -> None:
    game = build(name)
    x = images(7)
    assert torch.equal(tasks.reconstruct(game, x), tasks.decode(game, tasks.encode(game, x)))


@pytest.mark.parametrize("encoder", ["gaussian", "deterministic", "implicit(noise=2)"])
def test_codes_are_means_or_draws(encoder: str) -> None:
    game = build("ali", encoder=encoder)
    x = images(1).expand(4000, *SHAPE)
    mean = tasks.encode(game, x[:1])
    draws = tasks.encode(game, x, sample=True)
    spread = draws.std(0)
    if encoder == "deterministic":
        torch.testing.assert_close(draws, mean.expand_as(draws))
    else:
        assert bool((spread > 1e-3).all())
    if encoder == "gaussian":
        assert ((draws.mean(0) - mean) / spread).abs().max() < 0.1  # 6 standard errors


@pytest.mark.parametrize("how", ["lerp", "slerp"])
@pytest.mark.parametrize("name", INFERRING)
def test_interpolations_end_in_reconstructions(name: str, how: str) -> None:
    game = build(name)
    a, b = images(3, 1), images(3, 2)
    path = tasks.interpolate(game, a, b, steps=5, interpolation=how)  # type: ignore[arg-type]
    assert path.shape == (3, 5, *SHAPE)
    torch.testing.assert_close(path[:, 0], tasks.reconstruct(game, a), atol=1e-5, rtol=0)
    torch.testing.assert_close(path[:, -1], tasks.reconstruct(game, b), atol=1e-5, rtol=0)
    back = tasks.interpolate(game, b, a, steps=5, interpolation=how)  # type: ignore[arg-type]
    torch.testing.assert_close(back.flip(1), path, atol=1e-5, rtol=0)


def test_the_spherical_way_keeps_norms_and_goes_at_a_steady_pace() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (3 * nn.functional.normalize(torch.randn(20, 6, generator=generator).double()) for _ in range(2))
    steps = [tasks.interpolate_latents(a, b, t, "slerp") for t in torch.linspace(0, 1, 11).tolist()]
    for point in steps:
        torch.testing.assert_close(point.norm(dim=1), torch.full((20,), 3.0, dtype=torch.float64))
    chords = torch.stack([(y - x).norm(dim=1) for x, y in itertools.pairwise(steps)])
    torch.testing.assert_close(chords, chords[:1].expand_as(chords), atol=1e-6, rtol=1e-6)
    assert bool((tasks.interpolate_latents(a, b, 0.5).norm(dim=1) < 3).all())  # the straight way does not


@pytest.mark.parametrize("how", ["lerp", "slerp"])
def test_between_meets_its_ends_even_where_there_is_no_angle(how: str) -> None:
    a = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
    b = torch.tensor([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 1.0], [0.0, 1.0]])  # same, parallel, opposite, zero
    for t, end in ((0.0, a), (1.0, b)):
        torch.testing.assert_close(tasks.interpolate_latents(a, b, t, how), end, atol=1e-6, rtol=0)  # type: ignore[arg-type]
    middle = tasks.interpolate_latents(a, b, 0.5, how)  # type: ignore[arg-type]
    assert bool(middle.isfinite().all())
    torch.testing.assert_close(middle[:2], (a[:2] + b[:2]) / 2)


# ---- mistakes


@pytest.mark.parametrize("task", ["encode", "features", "reconstruct", "interpolate"])
def test_a_gan_cannot_infer_and_says_who_can(task: str) -> None:
    game = build("gan")
    arguments = (images(2), images(2)) if task == "interpolate" else (images(2),)
    with pytest.raises(UserError) as caught:
        getattr(tasks, task)(game, *arguments)
    assert str(caught.value) == f"GAN has no encoder; {task} needs a game that has one: {ABLE}."
    assert "ALI" in ABLE.split(", ")


@pytest.mark.parametrize("shape", [(3, LATENT + 1), (LATENT,), (3, LATENT, 1)])
def test_latents_of_the_wrong_size_are_explained(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as caught:
        tasks.decode(build("gan"), torch.zeros(shape))
    assert str(caught.value) == (
        f"the latents have the shape {shape}, and those of this game have (n, 7); give an array with 7 columns."
    )


@pytest.mark.parametrize("task", [tasks.encode, tasks.features, tasks.reconstruct])
@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (2, 1, 6, 5), (1, 5, 6), (2, 30)])
def test_images_of_the_wrong_shape_are_explained(task: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError) as caught:
        task(build("ali"), torch.zeros(shape))
    assert str(caught.value) == (
        f"the input has the shape {shape}, and this game was trained on (n, 1, 5, 6); resize or convert the images first."
    )


def test_what_is_told_may_be_any_array_of_whole_numbers() -> None:
    game = build("gan", labels=3)
    z = torch.ones(2, LATENT)
    expected = tasks.decode(game, z, y=torch.tensor([2, 0]))
    for y in ([2, 0], np.array([2.0, 0.0]), np.eye(3)[[2, 0]]):
        assert torch.equal(tasks.decode(game, z, y=y), expected)  # type: ignore[arg-type]
    for wrong in ([math.nan, 0], [1.5, 0], [1j, 0], [[math.inf, 0, 0]] * 2, ["a", "b"], [[1], [1, 2]]):
        with pytest.raises(UserError, match="the labels"):
            tasks.decode(game, z, y=wrong)  # type: ignore[arg-type]


def test_a_direction_is_of_some_examples_with_and_some_without() -> None:
    game, x = build("ali"), images(4)
    expected = tasks.direction(game, x, torch.tensor([True, False, True, False]))
    for has in ([1, 0, 1, 0], np.array([True, False, True, False]), torch.tensor([1.0, 0.0, 1.0, 0.0])):
        assert torch.equal(tasks.direction(game, x, has), expected)
    for wrong in ([1, 0, 1], [2, 0, 1, 0], [math.nan, 0, 1, 0], [[1, 0, 1, 0]]):
        with pytest.raises(UserError, match="true or false for each of 4 examples"):
            tasks.direction(game, x, wrong)


def test_masks_are_of_ones_and_zeros() -> None:
    game, x = build("ali"), images(2)
    mask = torch.ones(SHAPE)
    mask[:, :2] = 0
    expected = tasks.complete(game, x, mask, refine_steps=2)
    assert torch.equal(tasks.complete(game, x, mask.numpy(), refine_steps=2), expected)
    for value in (math.nan, 2.0, 0.5):
        with pytest.raises(UserError, match="the mask has values other than 0 and 1"):
            tasks.complete(game, x, mask.masked_fill(mask == 0, value), refine_steps=2)
    with pytest.raises(UserError, match="the mask has no hole"):
        tasks.complete(game, x, torch.ones(SHAPE))
    with pytest.raises(UserError, match="the mask has no known pixels"):
        tasks.complete(game, x, torch.zeros(SHAPE))


def test_neighbours_are_looked_for_among_some() -> None:
    game = build("ali")
    with pytest.raises(UserError, match="no images to search"):
        tasks.neighbours(game, images(2), images(2)[:0])
    with pytest.raises(UserError, match="`count` is 3, and it must be from 1 to 2"):
        tasks.neighbours(game, images(2), images(2), 3)


def test_an_interpolation_has_two_ends() -> None:
    with pytest.raises(UserError, match="`steps` is 1, and an interpolation has 2 ends"):
        tasks.interpolate(build("ali"), images(1), images(1), steps=1)
    with pytest.raises(UserError, match=r"`interpolation` is 'cubic'; it is 'lerp' or 'slerp'\."):
        tasks.interpolate(build("ali"), images(1), images(1), interpolation="cubic")  # type: ignore[arg-type]
