"""The recipes: each names parts that exist and fit each other, and the published ones say what the papers say."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import examples
import pytest
import torch

from interalia import games, registry
from interalia.conditionals import Codes, Deterministic, Gaussian
from interalia.errors import UserError
from interalia.games.needs import Setup, all_settings
from interalia.learning import dynamics
from interalia.runs import Run, building, recipes
from interalia.runs.recipes import REGISTRY
from interalia.spaces import Space
from interalia.training import engine

SHAPES = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "svhn": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "celeba": (3, 64, 64),
    "grid25": (2,),
    "mnist-inverted": (1, 28, 28),
    "mnist-edges": (1, 28, 28),
    "facades": (3, 64, 64),
}


# whose networks take longest to make; test_networks and test_games have them too
LARGE = {"cyclegan-facades-paper", "ali-celeba-paper", "ali-tiny-imagenet-paper", "avb-ac-32-mnist-paper"}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_recipe_names_parts_that_there_are(name: str) -> None:
    run = REGISTRY[name]()
    run.check_parts()
    assert run.name == name
    assert (run.steps or run.epochs or 0) > 0


def test_a_tuned_recipe_names_the_published_one() -> None:
    assert len(recipes.PUBLISHED) == 7
    assert recipes.PUBLISHED["avb-mnist"] == "avb-ac-32-mnist-paper"
    assert {*recipes.PUBLISHED, *recipes.PUBLISHED.values()} <= set(REGISTRY)
    assert not any("published =" in (recipe.__doc__ or "") for recipe in REGISTRY.values())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LARGE else []) for name in REGISTRY]
)
def test_a_recipe_builds_and_takes_a_step(name: str) -> None:
    run = REGISTRY[name]()
    shape = SHAPES[run.data]
    if run.image_size is not None:
        shape = (1 if run.data == "mnist" else 3, run.image_size, run.image_size)
    kind = games.REGISTRY[run.game.split("(")[0]]
    told = {"Smiling": 0.5, "Male": 0.4} if run.condition_on not in (None, "labels") else {}
    generator = examples.generator(run.latent_dim, shape) if examples.infers_for_another(kind) else None
    game = building.build(run, shape, labels=10, other=shape, attributes=told, generator=generator)
    moves = registry.make(
        run.dynamics,
        dynamics.REGISTRY,
        "dynamics",
        game,
        {player: torch.optim.SGD(game.parameters_of(player), lr=1e-3) for player in game.players},
    )
    if run.game == "cyclegan":  # convolutions all through: the networks of 256 pixels a side move on fewer as well
        shape = (shape[0], min(shape[1], 64), min(shape[2], 64))
    batch = game.feeds.random_batch(dataclasses.replace(game.data, shape=shape, other=shape), min(run.batch_size, 4))
    outcome = moves.step(itertools.repeat(batch))
    assert all(loss.isfinite() for loss in outcome.losses.values())


def test_the_published_settings() -> None:
    svhn, cifar, celeba = recipes.ali_svhn_paper(), recipes.ali_cifar10_paper(), recipes.ali_celeba_paper()
    assert [run.epochs for run in (svhn, cifar, celeba)] == [100, 6475, 123]
    assert [run.latent_dim for run in (svhn, cifar, celeba)] == [256, 64, 256]
    for run in (svhn, cifar, celeba):
        assert (run.game, run.divergence, run.dynamics, run.batch_size) == ("ali", "gan", "auto", 100)
        assert registry.parse(run.optimizer)[1] == {"lr": 1e-4, "beta1": 0.5, "beta2": 0.999}
        assert (run.penalty, run.instance_noise, run.weight_average) == ("none", "none", "none")
    game = building.build(svhn, (3, 32, 32))
    assert isinstance(game.encoder, Gaussian)
    assert isinstance(game.decoder, Deterministic)


def test_the_reports_table_1() -> None:
    for run, generator, critic, latent in (
        (recipes.ali_celeba_report(), 2e-4, 1e-4, 256),
        (recipes.ali_mnist_report(), 2e-4, 1e-5, 128),
        (recipes.ali_svhn_report(), 2e-4, 1e-4, 256),
    ):
        assert registry.parse(run.optimizer)[1]["lr"] == generator
        assert run.lr == {"critic": critic}
        assert (run.latent_dim, run.image_size, run.epochs, run.batch_size) == (latent, 28, 100, 100)
        assert run.instance_noise.startswith("annealed")


def test_bigan_is_ali_with_dirac_conditionals() -> None:
    run = recipes.bigan_mnist_paper()
    assert run.game == "ali"
    game = building.build(run, (1, 28, 28))
    assert isinstance(game.encoder, Deterministic)
    z = game.encoder(torch.rand(3, 1, 28, 28)).mean
    assert z.shape == (3, 50)
    assert bool((z.abs() <= 1).all())  # the prior is uniform on [-1, 1]


@pytest.mark.long  # one step of each, of every game, is in test_games
def test_every_divergence_trains_ali_on_digits() -> None:
    from interalia.adversarial.divergences import REGISTRY as DIVERGENCES

    for name in DIVERGENCES:
        run = recipes.ali_digits(game="ali", divergence=name, steps=5)
        trained = engine.train(run, callbacks=[])
        assert all(bool(p.isfinite().all()) for p in trained.game.parameters()), name


def test_a_run_is_held_against_the_two_recipes_of_its_game_and_data() -> None:
    found: dict[str, list[str]] = {}
    for name, recipe in REGISTRY.items():
        both = recipes.tuned_and_published(dataclasses.asdict(recipe()))
        if both:
            found.setdefault(" ".join(both), []).append(name)
    assert {key: sorted(names) for key, names in found.items()} == {
        "ali-mnist ali-mnist-report": [
            "ali-mnist",
            "ali-mnist-fast",
            "ali-mnist-report",
        ],  # and not cali-mnist, which is conditional on labels
        "ali-svhn ali-svhn-paper": ["ali-svhn", "ali-svhn-paper", "ali-svhn-report"],
        "ali-cifar10 ali-cifar10-paper": ["ali-cifar10", "ali-cifar10-fast", "ali-cifar10-paper"],
        "ali-celeba ali-celeba-paper": ["ali-celeba", "ali-celeba-paper", "ali-celeba-report"],
        "avb-mnist avb-ac-32-mnist-paper": ["avb-ac-32-mnist-paper", "avb-ac-8-mnist-paper", "avb-mnist"],
        "infogan-mnist infogan-mnist-paper": ["infogan-mnist", "infogan-mnist-paper"],
        "cyclegan-facades cyclegan-facades-paper": ["cyclegan-facades", "cyclegan-facades-paper"],
    }


def test_a_recipe_is_an_attribute_and_a_row_alike() -> None:
    assert recipes.cali_mnist is REGISTRY["cali-mnist"]
    assert recipes.cali_mnist(steps=7) == recipes.ali_mnist(
        name="cali-mnist", condition_on="labels", schedule="linear(start=0.5, final=0.0)", steps=7
    )
    assert {name.replace("-", "_") for name in REGISTRY} <= set(dir(recipes))
    with pytest.raises(AttributeError, match="no attribute 'ali_nothing'"):
        _ = recipes.ali_nothing
    REGISTRY.add("mine", lambda **overrides: recipes.ali_digits(**overrides, name="mine"))
    try:
        assert recipes.mine(steps=3).name == "mine"
    finally:
        REGISTRY.remove("mine")


def test_a_recipe_sets_nothing_that_its_game_does_not_use() -> None:
    for name, recipe in REGISTRY.items():
        assert building.without_unused_fields(recipe()) == recipe(), name


# a field -> a value that is not its default
OTHER: dict[str, object] = {
    "divergence": "kl",
    "penalty": "r1",
    "instance_noise": "annealed",
    "augment": "adaptive",
    "pack": 2,
    "skip_critic_above": 0.9,
    "prior": "uniform",
    "latent_dim": 5,
    "encoder": "deterministic",
    "num_labeled": 20,
    "data_b": "digits",
}


@pytest.mark.parametrize("game", games.REGISTRY)
def test_a_field_that_a_game_does_not_use_is_refused_from_python(game: str) -> None:
    """A recipe may have it for another game."""
    unused = building.unused_fields(Run(game=game))
    assert unused.keys() <= OTHER.keys()
    for key, why in unused.items():
        with pytest.raises(UserError, match=re.escape(f"`{key}` {why}; leave `{key}` out.")):
            engine.open_run(Run(game=game, **{key: OTHER[key]}))
        with pytest.raises(UserError, match=f"leave `{key}` out"):
            recipes.ali_digits(game=game, **{key: OTHER[key]})
    run = recipes.ali_digits(game=game)
    assert all(getattr(run, key) == getattr(Run(), key) for key in unused)


@pytest.mark.parametrize("game", games.REGISTRY)
def test_fields_that_are_used_change_the_game(game: str) -> None:
    """The encoder and the prior change what networks a game needs, unless they are refused."""
    kind, unused = games.REGISTRY[game], building.unused_fields(Run(game=game))
    x = Space("x", (1, 16, 16), "unit")

    def needs(**changed: Any) -> object:
        setup = Setup(x, changed.pop("prior", Codes(6, (2,), 0)), other=x, classes=2, **changed)
        return kind.needs(setup, **all_settings(kind, {}))

    assert (needs(encoder=(Gaussian, {})) == needs(encoder=(Deterministic, {}))) == ("encoder" in unused)
    assert (needs() == needs(prior=Codes(8, (2,), 0))) == ("latent_dim" in unused)
