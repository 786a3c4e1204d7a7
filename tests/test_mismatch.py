"""Mismatched pairs: the optimum of the game, the conditions that are drawn, their share, and the projection of y."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import program
import pytest
import torch
from examples import batch, build, shape_for
from torch import Tensor, nn
from torch.nn.functional import one_hot

import interalia
from interalia.adversarial import divergences
from interalia.adversarial.divergences import Divergence, Relativistic
from interalia.conditionals import Deterministic, StandardNormal
from interalia.errors import UserError
from interalia.games import ALI, GAN, REGISTRY
from interalia.learning.dynamics import REGISTRY as DYNAMICS
from interalia.networks import REGISTRY as FAMILIES
from interalia.networks import Critic
from interalia.networks.layers import PairCritic
from interalia.runs import Run, building, recipes
from interalia.spaces import DataSpec, Space
from interalia.training.callbacks.checkpoint import Checkpoint

# --- the optimum, on a finite space ----------------------------------------------------------------------------------


class Table(nn.Module):
    """A critic of x in {0, ..., points - 1} and a one-hot y of two labels: one score for each pair."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(2, points, dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.score[y.argmax(1), x]


def samples(counts: Sequence[int]) -> list[int]:
    """Samples whose frequencies are counts / sum(counts)."""
    return [x for x, count in enumerate(counts) for _ in range(count)]


def slopes(divergence: Divergence, q: Sequence[int], p: Sequence[int], scores: Tensor) -> Tensor:
    """The gradient of the critic's loss in the score of each (y, x), with exact expectations over the data q and the model p.

    Under the second label both are reversed. Where a loss compares pairs, every sample of q meets every one of p.
    """
    critic = Table(len(q))
    game = GAN(Deterministic(nn.Linear(1, 1)), critic, StandardNormal(1), divergence=divergence, mismatch=0.5)
    pairs = itertools.product if isinstance(divergence, Relativistic) else zip
    rows = [(y, *pair) for y, way in ((0, 1), (1, -1)) for pair in pairs(samples(q[::way]), samples(p[::way]))]
    labels, data, model = torch.tensor(rows).unbind(1)
    y = one_hot(labels, 2).double()
    with torch.no_grad():
        critic.score.copy_(scores)
    loss = game.losses(game.with_mismatched({"data": (data, y), "model": (model, y)}, [y])).losses["critic"]
    return torch.autograd.grad(loss, [critic.score])[0]


# Two labels have 1 other y to draw from, and so a share of a = 1/10. The law q of the data under the first label, and the p
# where the model settles: (1 - a) p = max(0, l q - a w), with w the law of the data under the second label.
APART = (5, 5, 0, 0), (5, 5, 0, 0)  # no x has two labels; l = 9/10
OVERLAP = (30, 18, 9, 3), (33, 19, 8, 0)  # every x has two; l = 1
HALF = (18, 18, 0), (19, 17, 0)  # the second x has two; l = 95/100
SMOOTH = ("gan", "jensen-shannon", "kl", "reverse-kl", "jeffrey", "pearson", "squared-hellinger", "least-squares")


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("case", [APART, OVERLAP, HALF], ids=["apart", "overlap", "half"])
def test_at_the_optimum_the_critic_is_flat_where_the_model_is_and_no_higher_elsewhere(name: str, case: Any) -> None:
    """So that the generator gains nothing by moving a sample; any other model has a critic that is not flat."""
    (q, p), divergence = case, divergences.REGISTRY[name]()
    low, high = -20.0, 20.0
    for _ in range(80):  # the score c at which the first slope of a critic that is c everywhere is 0
        c = (low + high) / 2
        low, high = (c, high) if slopes(divergence, q, p, torch.tensor(c, dtype=torch.float64))[0, 0] < 0 else (low, c)
    found = slopes(divergence, q, p, torch.tensor(c, dtype=torch.float64))
    occupied = torch.tensor([p, p[::-1]]) > 0
    assert float(found[occupied].abs().max()) < 1e-9
    assert bool((found[~occupied] > -1e-9).all())
    other = slopes(divergence, q, (4, 6, *p[2:]) if case is APART else q, torch.tensor(c, dtype=torch.float64))
    assert float(other[occupied].abs().max()) > 1e-3


@pytest.mark.parametrize(("of", "drop"), [("gan", 80.0), ("least-squares", 0.5)])
@pytest.mark.parametrize("case", [APART, OVERLAP, (HALF[0], HALF[0])], ids=["apart", "overlap", "half"])
def test_so_it_is_with_relativistic_pairing(of: str, drop: float, case: Any) -> None:
    """A sample is compared with itself under another y: (1 - a) p = q - a w where both labels have it, and p = q where the
    data have it under one label, or under both alike. The score of (x, y) is lower by `drop` where the data have none."""
    q, p = case
    data = torch.tensor([q, q[::-1]])
    scores = torch.where(data > 0, 0.0, -drop).double()
    assert float(slopes(Relativistic(of=of), q, p, scores).abs().max()) < 1e-12
    other = slopes(Relativistic(of=of), q, tuple(p[i] + (-1) ** i for i in range(2)) + tuple(p[2:]), scores)
    assert float(other.abs().max()) > 1e-3


# --- what is drawn and how it counts ---------------------------------------------------------------------------------


def toy(k: int, attributes: bool = False, **settings: Any) -> GAN:
    """A conditional GAN of two numbers and a y of k, with a critic that is linear in y."""
    game = GAN(
        Deterministic(nn.Linear(3 + k, 2).double()),
        PairCritic(nn.Linear(2 + k, 1).double()),
        StandardNormal(3),
        **settings,
    )
    game.decoder.forward = lambda z, y: Deterministic.forward(game.decoder, torch.cat([z, y], 1))  # type: ignore[method-assign]
    game.data = DataSpec((2,), condition=k, attributes={str(i): 0.5 for i in range(k)} if attributes else {})
    return game


@pytest.mark.parametrize("k", [2, 5])
def test_another_label_is_any_of_the_others_and_never_its_own(k: int) -> None:
    torch.manual_seed(0)
    labels = torch.arange(k).repeat(400)
    y = one_hot(labels, k).double()
    drawn = toy(k).other_condition(y)
    assert drawn.dtype == y.dtype
    assert bool((drawn.sum(1) == 1).all())
    times = torch.zeros(k, k).index_put_((labels, drawn.argmax(1)), torch.ones(()), accumulate=True)
    assert bool((times.diagonal() == 0).all())
    assert bool((times.sum(1) == 400).all() and (times[~torch.eye(k, dtype=torch.bool)] > 40).all())


def test_of_the_attributes_one_is_flipped() -> None:
    torch.manual_seed(0)
    y = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]).repeat(300, 1)
    drawn = toy(3, attributes=True).other_condition(y)
    changed = drawn != y
    assert bool((changed.sum(1) == 1).all() and ((drawn == 0) | (drawn == 1)).all())
    assert bool((changed.sum(0) > 100).all())


@pytest.mark.parametrize(
    ("k", "attributes", "mismatch", "share"),
    [
        (10, False, 0.5, 1 / 2),
        (100, False, 0.5, 1 / 2),
        (4, False, 0.5, 3 / 12),
        (2, False, 0.5, 1 / 10),
        (10, False, 0.125, 1 / 8),
        (1, True, 0.5, 1 / 10),
        (4, True, 0.5, 4 / 13),
    ],
)
@pytest.mark.parametrize("divergence", ["gan", "relativistic"])
def test_the_share_is_bounded_by_the_number_of_other_conditions(
    k: int, attributes: bool, mismatch: float, share: float, divergence: str
) -> None:
    loss = divergences.REGISTRY[divergence]()
    game = toy(k, attributes, mismatch=mismatch, divergence=loss)
    torch.manual_seed(1)
    y = torch.randint(2, (16, k)).double() if attributes else one_hot(torch.arange(16) % k, k).double()
    joints = game.sample(torch.randn(16, 2, dtype=torch.float64), y)
    assert list(joints) == ["data", "model", "mismatched"]
    assert joints["mismatched"][0] is not joints["data"][0]
    assert torch.equal(joints["mismatched"][0], joints["data"][0])
    outcome = game.losses(joints)
    data, model, wrong = outcome.scores.values()
    by_hand = (1 - share) * loss.critic_loss(data, model) + share * loss.critic_loss(data, wrong)
    torch.testing.assert_close(outcome.losses["critic"], by_hand)
    torch.testing.assert_close(outcome.losses["generator"], loss.generator_loss(data, model))


CASES = ("gan(mismatch=0.5)", "ali(mismatch=0.5)", "alice(mismatch=0.5)", "ali(mismatch=0.5, sleep=0.5)")


@pytest.mark.parametrize("text", CASES)
def test_the_generator_does_not_play_for_or_against_mismatched_pairs(text: str) -> None:
    game = build(text, labels=3)
    torch.manual_seed(2)
    joints = game.sample(*batch(game))
    x, *latent, y = joints["mismatched"]
    assert not any(part.requires_grad for part in joints["mismatched"])
    real, *inferred, own = next(iter(joints.values()))
    assert all(torch.equal(a, b) for a, b in zip((x, *latent), (real, *inferred), strict=True))
    assert not bool((y * own).any())
    outcome = game.losses(joints)
    lowered = torch.autograd.grad(outcome.losses["critic"], game.parameters_of("critic"), retain_graph=True)
    assert all(bool(gradient.any()) for gradient in lowered)
    generator = torch.autograd.grad(outcome.losses["generator"], list(outcome.scores.values()), allow_unused=True)
    assert [gradient is not None for gradient in generator] == [True, True, False]
    pairs = game.score_pairs(outcome)
    assert pairs == [tuple(outcome.scores.values())[:2]]


@pytest.mark.parametrize("text", CASES)
def test_one_stage_is_simultaneous_with_mismatched_pairs(text: str) -> None:
    ends = []
    for dynamics in ("simultaneous", "one-stage"):
        game = build(text, labels=3, divergence="relativistic", penalty="r1r2")
        optimizers = {player: torch.optim.SGD(game.parameters_of(player), lr=0.01) for player in game.players}
        moves = DYNAMICS[dynamics](game, optimizers)
        torch.manual_seed(3)
        for _ in range(2):
            moves.step(itertools.repeat(batch(game)))
        ends.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-12, atol=1e-12)


# --- the projection of y ---------------------------------------------------------------------------------------------


def test_the_projection_by_hand() -> None:
    """h = relu(x - 1, z - y_1) and V = [[1, 2], [3, 4]]."""
    first, last, v = nn.Linear(4, 2), nn.Linear(2, 1), nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, -1.0, 0]]))
        first.bias.copy_(torch.tensor([-1.0, 0]))
        last.weight.copy_(torch.tensor([[10.0, 100.0]]))
        last.bias.fill_(0.5)
        v.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    critic = PairCritic(nn.Sequential(first, nn.ReLU(), last), projection=v)
    x, z, y = torch.tensor([[3.0], [0.0]]), torch.tensor([[5.0], [7.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # h = (2, 4) and (0, 7): 20 + 400 + 0.5 + (1 * 2 + 2 * 4), and 700 + 0.5 + (3 * 0 + 4 * 7)
    assert critic(x, z, y).tolist() == [430.5, 728.5]


LARGE = ("ali-svhn", "ali-celeba", "ali-tiny-imagenet")  # the class of ali-28, with larger networks
ABLE = [
    name for name, family in FAMILIES.items() if "projection" in getattr(family, "supports", ()) and name not in LARGE
]


@pytest.mark.parametrize("name", ABLE)
@pytest.mark.parametrize("pack", [1, 2])
def test_every_family_with_labels_has_it_and_only_where_it_is_wanted(name: str, pack: int) -> None:
    x = Space("x", shape_for(name), "unit")
    made = []
    for projection in (False, True):
        torch.manual_seed(0)
        spec = Critic((x, Space("z", (3,)), Space("y", (4,))), projection=projection)
        made.append(spec.network(FAMILIES[name](), pack).eval())
    plain, projected = made
    added = projected.state_dict().keys() - plain.state_dict().keys()
    assert [key.split(".")[-2:] for key in added] == [["projection", "weight"]]
    v = next(p for key, p in projected.named_parameters() if key in added)
    assert v.shape[0] == 4 * pack
    assert float(v.detach().abs().max()) <= v.shape[1] ** -0.5  # small beside the rest, whatever the number of labels
    projected.load_state_dict(plain.state_dict(), strict=False)
    inputs = (torch.rand(4, *x.shape), torch.randn(4, 3), torch.eye(4))
    before = plain(*inputs)
    assert not torch.allclose(projected(*inputs), before)
    with torch.no_grad():
        v.zero_()
    torch.testing.assert_close(projected(*inputs), before)


@pytest.mark.parametrize("name", ["gan", "ali", "alice"])
def test_the_critic_has_a_projection_where_pairs_are_mismatched(name: str) -> None:
    keys = [
        list(build(text, labels=3).state_dict()) for text in (name, f"{name}(mismatch=0.0)", f"{name}(mismatch=0.5)")
    ]
    assert keys[0] == keys[1] == [key for key in keys[2] if "projection" not in key]
    assert [key for key in keys[2] if "projection" in key] == ["critic.projection.weight"]


def test_with_separate_terms_only_the_pairs_has_it() -> None:
    game = build("ali(mismatch=0.5)", labels=3, divergence="bigbigan", double=False)
    x, z, y = game.sample(*batch(game))["q"]
    before = game.critic(x, z, y)
    with torch.no_grad():
        game.critic.projection.weight.add_(1.0)  # type: ignore[union-attr, operator]
    moved = (game.critic(x, z, y) != before).any(0)
    assert moved.tolist() == [False, False, True]


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(name for name, kind in REGISTRY.items() if issubclass(kind, (GAN, ALI))))
def test_without_another_condition_it_is_refused(name: str) -> None:
    conditional = REGISTRY[name].feeds.conditional
    words = (
        "`mismatch` needs labels or attributes"
        if conditional
        else "leave out `mismatch`, or choose a game of: ALI, ALICE, GAN"
    )
    with pytest.raises(UserError, match=words):
        build(f"{name}(mismatch=0.5)")
    game = build(name)
    game.mismatch = 0.5  # as in a game that is made by hand
    with pytest.raises(UserError, match="`mismatch` needs labels or attributes"):
        game(*batch(game))


@pytest.mark.parametrize("name", ["ali", "gan"])
def test_with_one_label_there_is_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    game = build(f"{name}(mismatch=0.5)", labels=2)
    assert game.mismatched_share(torch.zeros(4, 2)) == pytest.approx(0.1)
    alone = game.mismatched_share(torch.zeros(4, 1))
    assert alone == 0
    monkeypatch.setattr(type(game), "mismatched_share", lambda self, y: alone)
    with pytest.raises(UserError, match="of which there are others"):
        game(*batch(game))


def test_two_attributes() -> None:
    run = Run(game="ali(mismatch=0.5)", latent_dim=3, networks="auto(width=2)", condition_on="even,round")
    game = building.build(run, (1, 4, 4), attributes={"even": 0.5, "round": 0.3})
    y = torch.tensor([[0.0, 1.0]]).repeat(8, 1)
    wrong = game.sample(torch.rand(8, 1, 4, 4), y)["mismatched"][-1]
    assert bool(((wrong != y).sum(1) == 1).all())


def test_a_run_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "ali(mismatch=0.5, sleep=0.25)"
    assert program.interalia("train", "cali-mnist", "--data", "digits", "--game", text, "--print-config") == 0
    assert text in capsys.readouterr().out
    run = recipes.cali_mnist(data="digits", networks="auto(width=4)", game=text, steps=2, evaluate_every=0)
    trained = interalia.train(run, tmp_path / "run", callbacks=[Checkpoint()]).game
    game = interalia.load(tmp_path / "run").game
    assert isinstance(game, ALI)
    assert (game.mismatch, game.sleep) == (0.5, 0.25)
    assert game.state_dict().keys() == trained.state_dict().keys() >= {"critic.projection.weight"}
