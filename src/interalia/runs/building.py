"""Builds the untrained game of a run, whose networks fit the shape, labels and attributes of the data."""

from __future__ import annotations

import inspect
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from interalia import games, registry
from interalia.errors import UserError
from interalia.games import DataSpec, building
from interalia.games.capabilities import HasLikelihood, Infers, has
from interalia.games.feeds import Domains, PartlyLabeled
from interalia.runs import FROM_PYTHON, Run, clusters, loading

if TYPE_CHECKING:
    from torch import Tensor, nn

    from interalia.data.dataset import Dataset
    from interalia.games import Game

NEED_A_CRITIC = ("divergence", "penalty", "instance_noise", "augment", "pack", "skip_critic_above")
# fields -> the argument of a game's constructor without which they have no effect
ARGUMENTS = {"divergence": "divergence", "penalty": "penalty", "prior": "prior", "latent_dim": "prior"}
LABELS = "labels"  # the value of `condition_on` for a class-conditional game; any other names attributes


def unused_fields(run: Run, game: Game | None = None) -> dict[str, str]:
    """Returns name of each field that the game of a run does not use -> the clause for an error message that says why.

    Examples are `encoder` for a game without one, and `penalty` for a game without a critic. The dictionary of a
    custom game has `num_labeled` unless the game is semi-supervised: `interalia.runs.run.with_own_parts` checks the others.

    Arguments:
        run: the run.
        game: the custom game; None for one that the run names, or if it is not known.
    """
    if run.game == FROM_PYTHON:
        semi = game is None or issubclass(game.feeds, PartlyLabeled)
        return {} if semi else {"num_labeled": f"needs a semi-supervised game, and {type(game).__name__} is none"}
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    known, name = inspect.signature(kind).parameters, kind.__name__
    found = {key: f"has no effect in {name}" for key, argument in ARGUMENTS.items() if argument not in known}
    if not any("critic" in player for player in kind.players):
        found |= dict.fromkeys(NEED_A_CRITIC, f"needs a critic, and {name} has none")
    if not has(kind, Infers):
        found["encoder"] = f"needs an encoder, and {name} has none"
    if not issubclass(kind.feeds, PartlyLabeled):
        found["num_labeled"] = f"needs a semi-supervised game, and {name} is none"
    if not issubclass(kind.feeds, Domains):
        found["data_b"] = f"needs a game that translates between two data sets, and {name} does not"
    return found


def without_unused_fields(run: Run, given: Container[str] | None = None, game: Game | None = None) -> Run:
    """Returns a copy of a run with defaults in the fields that its game does not use, which recipes set for another game.

    Arguments:
        run: the run.
        given: the names of the fields that the user has set; None for all of them.
        game: the custom game of the run; None for one that the run names.

    Raises:
        UserError: a field is given that the game does not use, with another value than its default.
    """
    unused, plain = unused_fields(run, game), Run()
    for key, why in unused.items():
        if (given is None or key in given) and getattr(run, key) != getattr(plain, key):
            raise UserError(f"`{key}` {why}; leave `{key}` out.")
    return run.replace(**{key: getattr(plain, key) for key in unused})


def build(
    run: Run,
    shape: tuple[int, ...] | None = None,
    mean: Tensor | None = None,
    labels: int | None = None,
    other: tuple[int, ...] | None = None,
    attributes: Mapping[str, float] | None = None,
    generator: nn.Module | None = None,
    names: Sequence[str] = (),
    trust: bool = False,
) -> Game:
    """Builds and returns the untrained game of a run. Its weights are drawn from torch's global random state.

    Arguments:
        run: the description of the training.
        shape: the shape of one example x. If None, the run's data are loaded, and the shape and `labels`, `other`,
            `attributes` and `names` are read from them; these arguments are then ignored.
        mean: the mean image, shape `shape`, from which the bias of a sigmoid output is computed; None for a bias of 0.
        labels: number of classes in the data, or of the clusters in their place; None for data without labels.
        other: the shape of one example of the second domain; None for data of one domain.
        attributes: the frequency of each attribute that the networks are conditional on, by name; None for none.
        generator: a trained module z -> x, in place of the run's `pretrained_generator`.
        names: the names of the labels; empty to use their numbers as names.
        trust: True to open the run's pretrained generator if it is a .pt2 file, which can execute code.

    Raises:
        UserError: a component does not exist or does not fit the others or the data, the generator is not trusted, or the
            data lack the labels or attributes of `condition_on`.

    Example:
        >>> from interalia.runs import Run
        >>> type(build(Run(game="BiGAN"), shape=(2,)).encoder).__name__
        'Deterministic'
    """
    run = run.canonical()
    if shape is None:
        return build_for(run, loading.load_dataset(run), mean, generator, trust)
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    data = spec(run, kind, tuple(shape), labels or 0, other, attributes or {}, names)
    return building.build(run, data, mean, loading.open_generator(run, kind, generator, trust))


def spec(
    run: Run,
    kind: type[Game],
    shape: tuple[int, ...],
    labels: int,
    other: tuple[int, ...] | None,
    attributes: Mapping[str, float],
    names: Sequence[str],
) -> DataSpec:
    """Returns the properties of the data that a game is built from: shapes, labels and attributes. What the game
    does not use is left out.

    Arguments:
        run: the run, whose `condition_on` decides if the networks are conditional on labels, on attributes or on nothing.
        kind: the class of the game. Only a semi-supervised game uses the number of classes, as that of the classes it
            predicts; only a game that translates between two domains uses `other`.
        shape: the shape of one example x.
        labels: number of classes in the data, or of the clusters that the networks are conditional on; 0 without labels.
        other: the shape of one example of the second domain; None if there is none.
        attributes: the frequency of each attribute that the networks are conditional on, by name; empty for none.
        names: the names of the labels; empty to use their numbers.

    Raises:
        UserError: the networks are conditional on labels, and there are fewer than 2.
    """
    on_labels = run.condition_on == LABELS or clusters.is_labeler(run.condition_on)
    if on_labels and labels < 2:
        raise UserError(
            f"`condition_on` is {run.condition_on!r}, and the data have fewer than 2 labels; leave `condition_on` out."
        )
    size = labels if on_labels else len(attributes) if run.condition_on is not None else 0
    classes = labels if issubclass(kind.feeds, PartlyLabeled) else 0
    known = tuple(attributes or names or map(str, range(size or classes))) if size or classes else ()
    return DataSpec(shape, size, dict(attributes), classes, known, other if issubclass(kind.feeds, Domains) else None)


def build_for(
    run: Run, dataset: Dataset, mean: Tensor | None = None, generator: nn.Module | None = None, trust: bool = False
) -> Game:
    """Builds and returns the untrained game of a run for a data set, and checks that it can be trained on the data.

    Arguments:
        run: the description of the training.
        dataset: the data set.
        mean: the mean image, from which the bias of a sigmoid output is computed; None for a bias of 0.
        generator: a trained module z -> x, in place of the run's `pretrained_generator`.
        trust: True to open the run's pretrained generator if it is a .pt2 file, which can execute code.

    Raises:
        UserError: `build` raises one, the data lack labels that the game needs, or it cannot be trained on the data.
    """
    run = run.canonical()
    dataset = loading.with_clusters(run, dataset)
    attributes = frequencies(run, dataset)
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    if issubclass(kind.feeds, PartlyLabeled) or (run.condition_on == LABELS and kind.feeds.conditional):
        dataset.check_labels("leave `condition_on` out" if run.condition_on else "use another model")
    labels, names = (
        (int(dataset.clusters["train"].max()) + 1, ()) if dataset.clusters else (dataset.labels, dataset.classes)
    )
    data = spec(run, kind, dataset.shape, labels, dataset.other_shape, attributes, names)
    data = kind.feeds.data_spec(data, dataset) if dataset.units else data
    game = building.build(run, data, mean, loading.open_generator(run, kind, generator, trust))
    check_fits(game, dataset)
    return game


def with_modules(run: Run, dataset: Dataset, modules: Mapping[str, nn.Module]) -> Game:
    """Builds and returns the untrained game of a run for a data set, with some of its networks replaced.

    Arguments:
        run: the description of the training.
        dataset: the data set.
        modules: "encoder", "decoder" or "critic" -> the network, as `interalia.games.building.replace_network` takes it.

    Raises:
        UserError: a network cannot be replaced by the given one, or `build_for` raises one.
    """
    torch.manual_seed(run.seed)
    game = build_for(run, dataset)
    for name, module in modules.items():
        building.replace_network(game, name, module, (run.latent_dim,) if name == "decoder" else dataset.shape)
    return game


def check_fits(game: Game, dataset: Dataset) -> None:
    """Raises a UserError if a game cannot be trained on a data set: if the data lack what its batches consist of, such as
    labels or a second domain, or are not binary while its likelihood is Bernoulli.
    """
    game.feeds.check(game.data, dataset)
    if isinstance(game, HasLikelihood) and game.binary and not dataset.binary:
        raise UserError(
            f"a Bernoulli likelihood needs binary data, and {dataset.name!r} has gray values; give `binarize='dynamic'` (or "
            f"static), or likelihood='gaussian' in the game."
        )


def frequencies(run: Run, dataset: Dataset) -> dict[str, float]:
    """Returns the frequency in the training data, from 0 to 1, of each attribute that the run's networks are conditional on.

    It is a dictionary with the names of the attributes as keys; it is empty if the networks are unconditional, or conditional
    on labels or clusters.

    Raises:
        UserError: the data lack an attribute that the run's `condition_on` names.
    """
    if run.condition_on in (None, LABELS) or clusters.is_labeler(run.condition_on):
        return {}
    known = [str(name) for name in dataset.attributes.get("names", ())]
    if not known:
        raise UserError(
            f"the data set {dataset.name!r} has no attributes; give `condition_on='labels'` or 'kmeans(10)', or leave it out."
        )
    names = known if run.condition_on == "all" else [name.strip() for name in str(run.condition_on).split(",")]
    values = dataset.conditions("train", names)
    assert values is not None
    return dict(zip(names, values.mean(axis=0).tolist(), strict=True))
