"""The game of a run: its data described, its trained generator opened, and then it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from interalia import games, registry
from interalia.errors import UserError
from interalia.games import DataSpec, building
from interalia.games.capabilities import HasLikelihood
from interalia.games.feeds import Domains, PartlyLabeled
from interalia.runs import described, loading

if TYPE_CHECKING:
    from torch import Tensor, nn

    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.runs import Run

LABELS = "labels"  # in place of attributes' names, for a game that is conditional on the labels


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
    """The untrained game of a run, drawn from torch's global random state.

    Arguments:
        run: the description.
        shape: of one x; if it is not given, it and the labels, attributes and names are the run's data set's.
        mean: the mean image, shape `shape`, from which a sigmoid's bias is set; None leaves it at 0.
        labels: how many labels the data has.
        other: of one x of the second domain, where there is one.
        attributes: those that the networks are told, and how frequent each is.
        generator: a trained module z -> x for a game that only infers, in place of the run's `generator`.
        names: of the labels; their numbers where there are none.
        trust: whether the run's generator may be opened where it is a .pt2 file, which can execute code.

    Raises:
        UserError: a part does not exist, or the parts do not fit each other or the data, or the generator is not trusted, or
            the run asks for labels and for attributes, or for labels that the data has not.
    """
    if shape is None:
        return build_for(run, described.dataset(run), mean, generator, trust)
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
    """What a kind of game takes of data with these labels, attributes and domains; see `build`."""
    if run.condition_on == LABELS and labels < 2:
        raise UserError("`condition_on` is 'labels', and the data has fewer than 2 labels; leave `condition_on` out.")
    told = labels if run.condition_on == LABELS else len(attributes) if run.condition_on is not None else 0
    classes = labels if issubclass(kind.feeds, PartlyLabeled) else 0
    known = tuple(attributes or names or map(str, range(told or classes))) if told or classes else ()
    return DataSpec(shape, told, dict(attributes), classes, known, other if issubclass(kind.feeds, Domains) else None)


def build_for(
    run: Run, dataset: Dataset, mean: Tensor | None = None, generator: nn.Module | None = None, trust: bool = False
) -> Game:
    """The untrained game of a run on its data; see `build`."""
    told = frequencies(run, dataset)
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    if issubclass(kind.feeds, PartlyLabeled) or (run.condition_on == LABELS and kind.feeds.conditional):
        dataset.check_labels("leave `condition_on` out" if run.condition_on else "use another model")
    game = build(run, dataset.shape, mean, dataset.labels, dataset.other_shape, told, generator, dataset.classes, trust)
    check_fits(game, dataset)
    return game


def check_fits(game: Game, dataset: Dataset) -> None:
    """Raises a UserError unless the data are what the game is one of."""
    game.feeds.check(game.data, dataset)
    if isinstance(game, HasLikelihood) and game.binary and not dataset.binary:
        raise UserError(
            f"a Bernoulli likelihood is one of zeros and ones, and {dataset.name!r} has gray values; give "
            f"`binarize='dynamic'` (or static), or likelihood='gaussian' in the game."
        )


def frequencies(run: Run, dataset: Dataset) -> dict[str, float]:
    """The attributes that the run's networks are told, and the share of the training data that has each.

    Raises:
        UserError: the data has no such attribute.
    """
    if run.condition_on in (None, LABELS):
        return {}
    known = [str(name) for name in dataset.attributes.get("names", ())]
    if not known:
        raise UserError(
            f"the data set {dataset.name!r} has no attributes; give `condition_on='labels'`, or leave it out."
        )
    names = known if run.condition_on == "all" else [name.strip() for name in str(run.condition_on).split(",")]
    values = dataset.conditions("train", names)
    assert values is not None
    return dict(zip(names, values.mean(axis=0).tolist(), strict=True))
