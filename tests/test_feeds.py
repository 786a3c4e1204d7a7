"""What games feed on: which stores a batch comes from, in which order, and what the data have to have."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from examples import build, infers_for_another
from torch import Tensor

from interalia.conditionals import Deterministic
from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.games import REGISTRY, Game, Outcome
from interalia.games.feeds import Data, Domains, Labeled, PartlyLabeled, conditions
from interalia.runs import Run
from interalia.spaces import DataSpec
from interalia.training import engine


def split(n: int, start: int, labels: int = 0) -> Split:
    """Row i is (start + i, -i), and its label i modulo their number."""
    i = np.arange(n, dtype=np.float32)
    return Split(np.stack([start + i, -i], 1), np.arange(n) % labels if labels else None)


def dataset(labels: int = 0, start: int = 0, **fields: object) -> Dataset:
    parts = [split(n, start + at, labels) for n, at in ((6, 0), (3, 100), (2, 200))]
    return Dataset("points", *parts, classes=tuple("abc"[:labels]), **fields)  # type: ignore[arg-type]


PLAIN = DataSpec((2,))


def test_a_plain_batch_is_x() -> None:
    (store,) = Data.stores(PLAIN, dataset(3))
    assert len(store) == 6
    assert [part.tolist() for part in store[torch.tensor([4, 0])]] == [[[4, -4], [0, 0]]]
    assert [part[:, 0].tolist() for part in Data.batch_of(PLAIN, dataset(), "validation", torch.tensor([2, 1]))] == [
        [102, 101]
    ]
    assert Data.check(PLAIN, dataset()) is None
    assert Data.data_spec(DataSpec(condition=3, names=("p", "q", "r")), dataset()) == DataSpec(
        (2,), 3, names=("p", "q", "r")
    )


def test_a_labelled_batch_holds_y_where_the_game_is_conditional() -> None:
    (x,) = Labeled.batch_of(PLAIN, dataset(3), "train", torch.tensor([4]))
    assert x.tolist() == [[4, -4]]
    spec = dataclasses.replace(PLAIN, condition=3)
    x, y = Labeled.batch_of(spec, dataset(3), "train", torch.tensor([4, 2]))
    assert y.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert conditions(spec, dataset(3), "test").tolist() == [0, 1]  # type: ignore[union-attr]
    assert conditions(PLAIN, dataset(3), "test") is None
    with pytest.raises(UserError, match="has no labels; choose data that has, or choose another `game`"):
        Labeled.check(spec, dataset())
    bits = {part: np.array([[0, 1]] * n) for part, n in (("train", 6), ("validation", 3), ("test", 2))}
    told = dataclasses.replace(PLAIN, condition=1, attributes={"q": 0.5})
    data = dataset(attributes={"names": np.array(["p", "q"]), **bits})
    assert Labeled.check(told, data) is None  # attributes are no labels
    assert Labeled.batch_of(told, data, "validation", torch.tensor([0]))[1].tolist() == [[1.0]]
    assert (Data.conditional, Labeled.conditional, PartlyLabeled.conditional, Domains.conditional) == (
        False,
        True,
        False,
        False,
    )


def test_a_partly_labelled_batch_has_a_few_of_their_own_order() -> None:
    spec = PartlyLabeled.data_spec(PLAIN, dataset(3))
    assert spec == DataSpec((2,), classes=3, names=("a", "b", "c"))
    stores = PartlyLabeled.stores(spec, dataset(3), labeled=3, seed=1)
    assert [len(store) for store in stores] == [6, 3]
    x_l, y = stores[1][torch.arange(3)]
    assert y.sum(0).tolist() == [1, 1, 1]  # equally many of each
    assert torch.equal(y.argmax(1), (x_l[:, 0].long()) % 3)
    assert [(sampler.count, sampler.batch, sampler.seed) for sampler in PartlyLabeled.samplers(stores, 4, 7)] == [
        (6, 4, 7),
        (3, 3, 7 + 2**32),
    ]
    x, x_l, y = PartlyLabeled.batch_of(spec, dataset(3), "validation", torch.tensor([1]))
    assert x.tolist() == [[101, -1]]
    assert (len(x_l), y.tolist()[1]) == (6, [0, 1, 0])
    with pytest.raises(UserError, match="has no labels"):
        PartlyLabeled.check(spec, dataset())


def test_a_batch_of_two_domains_comes_from_both() -> None:
    other = Dataset("others", *(split(n, 1000) for n in (4, 2, 1)))
    both = dataset(other=other)
    assert Domains.data_spec(PLAIN, both).other == (2,)
    assert [len(store) for store in Domains.stores(PLAIN, both)] == [6, 4]
    assert [(s.count, s.batch, s.seed) for s in Domains.samplers(Domains.stores(PLAIN, both), 4, 7)] == [
        (6, 4, 7),
        (4, 4, 7 + 2**32),
    ]
    a, b = Domains.batch_of(PLAIN, both, "validation", torch.tensor([2, 1]))
    assert (a[:, 0].tolist(), b[:, 0].tolist()) == ([102, 101], [1000, 1001])  # of the smaller one over again
    for refused in (Domains.check, Domains.stores):
        with pytest.raises(UserError, match=r"'points' is one; name the second in `data_b`"):
            refused(PLAIN, dataset())


def test_pixels_are_drawn_anew_where_batches_are_trained_on_and_nowhere_else() -> None:
    gray = Split(np.full((6, 1, 2, 2), 128, np.uint8))
    still = Split(np.zeros((6, 1, 2, 2), np.uint8))
    data = Dataset("pixels", still, still, still, gray=gray)
    (store,) = Data.stores(DataSpec((1, 2, 2)), data)
    (x,) = store[torch.arange(6)]
    assert set(x.flatten().tolist()) == {0.0, 1.0}
    for part in ("train", "validation"):
        (x,) = Data.batch_of(DataSpec((1, 2, 2)), data, part, torch.arange(6))
        assert not x.any()
    (store,) = Data.stores(DataSpec((1, 2, 2)), data, split="validation")
    assert not store[torch.arange(6)][0].any()


@pytest.mark.parametrize("name", REGISTRY)
def test_every_game_plays_on_its_examples(name: str) -> None:
    game = build(name, double=False)
    batch = game.feeds.random_batch(game.data, 6)
    assert all(torch.equal(a, b) for a, b in zip(batch, game.feeds.random_batch(game.data, 6), strict=True))
    assert not torch.equal(batch[0], game.feeds.random_batch(game.data, 6, seed=2)[0])
    assert all(bool(loss.isfinite()) for loss in game(*batch).losses.values())
    assert ("decoder" in game.pretrained) is infers_for_another(type(game))


class Twice(Data):
    """Batches (x, x') of somebody's own: two members of one data set, drawn independently of each other."""

    @classmethod
    def domains(cls, data: Dataset) -> list[Dataset]:
        return [data, data]


class Apart(Game):
    """One player pulls pairs of examples together."""

    players = {"encoder": ["encoder"]}
    feeds = Twice

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Deterministic(torch.nn.Linear(2, 1))
        self.seen: list[Tensor] = []

    def sample(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        self.seen += batch
        return {"pair": tuple(self.encoder(x).mean for x in batch)}

    def losses(self, joints: Any) -> Outcome:
        a, b = joints["pair"]
        return Outcome({"encoder": (a - b).square().mean()})


def test_a_feed_of_ones_own_is_drawn_from_in_a_training() -> None:
    game = Apart()
    run = Run(batch_size=3, steps=2, evaluate_every=0)
    engine.train(run, game=game, dataset=dataset(), callbacks=[])
    assert [tuple(x.shape) for x in game.seen] == [(3, 2)] * 4
    first, second = torch.cat(game.seen[::2])[:, 0], torch.cat(game.seen[1::2])[:, 0]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(6))  # an epoch of each
    assert first.tolist() != second.tolist()
    assert game.data == DataSpec((2,))
