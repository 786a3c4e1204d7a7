"""One-stage updates: games are accepted by their structure alone, and every accepted batch is exact."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from examples import CONV, batch, build, every_third
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.optim import SGD

from interalia import networks, registry
from interalia.adversarial.divergences import REGISTRY as DIVERGENCES
from interalia.adversarial.joints import Joints
from interalia.adversarial.penalties import REGISTRY as PENALTIES
from interalia.adversarial.penalties import Penalty
from interalia.conditionals import Deterministic, Gaussian, StandardNormal
from interalia.contexts import flush_denormals
from interalia.errors import UserError
from interalia.games import ALI, Game, Outcome
from interalia.learning.dynamics import Dynamics, OneStage, Simultaneous, UpdateOptions, gradient_factors
from interalia.learning.graphs import as_leaf, reachable_leaves, sample_mixing
from interalia.networks.layers import PackedCritic
from interalia.networks.mlp import MLP, PairCritic
from interalia.runs import Run
from interalia.training import engine

REFUSED = "cannot be trained in one stage: .*{}.*; use `dynamics='simultaneous'`, which gives the same updates"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))


def bf16() -> contextlib.AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=torch.bfloat16)


PRECISIONS: dict[str, Callable[[], contextlib.AbstractContextManager[object]]] = {
    "fp32": contextlib.nullcontext,
    "bf16": bf16,
}


def ali(*layers: nn.Module, divergence: str = "gan", kind: type[ALI] = ALI, **fields: Any) -> ALI:
    """ALI of vectors with these layers in the middle of its critic, of 16 hidden units."""
    torch.manual_seed(0)
    critic = PairCritic(nn.Sequential(nn.Linear(12, 16), *layers, nn.Linear(16, 1)))
    chosen = registry.make(divergence, DIVERGENCES, "divergence")
    return kind(
        Gaussian(MLP(8, 8, 16)), Deterministic(MLP(4, 8, 16)), critic, StandardNormal(4), divergence=chosen, **fields
    )


def flow(kind: Callable[..., Dynamics], game: Game, precision: str = "fp32", rate: float = 0.1) -> Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=rate) for player in game.players}
    return kind(game, optimizers, UpdateOptions(precision=PRECISIONS[precision]))


def gradients(kind: Callable[..., Dynamics], game: Game, precision: str = "fp32", x: Sequence[Tensor] = (X,)) -> Tensor:
    """The gradients of all players for one batch, from one random state."""
    moves = flow(kind, game, precision)
    torch.manual_seed(2)
    moves.gradients(iter([tuple(x)]), *game.players)
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).double().flatten() for p in moves.parameters()]
    )


class Counted(nn.Module):
    """The identity; counts its backward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def forward(self, x: Tensor) -> Tensor:
        x.register_hook(self.count) if x.requires_grad else None
        return x

    def count(self, _: Tensor) -> None:
        self.times += 1

    def __deepcopy__(self, _: object) -> Counted:  # a copy's gradients are its own
        return Counted()


class Sure(nn.Module):
    """Raises the score of the first half of its rows, which are the encoder's, and lowers that of the others."""

    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network = network
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        sign = torch.ones(len(x), 1)
        sign[len(x) // 2 :] = -1
        out: Tensor = self.network(x)
        return out + self.by * sign


# ---- a critic that mixes samples


class Minibatch(nn.Module):
    """The batch's standard deviation in place of the last unit."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, :-1], x.std(0).mean().expand(len(x), 1)], dim=1)


class Functional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, None, None, training=True)


class Neighbour(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.roll(1, 0)


class Opposite(nn.Module):
    """Each encoded pair beside one decoded pair."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.roll(len(x) // 2, 0).tanh()


class LastOfAll(nn.Module):
    """One sample in the others, and the others in none."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x[-1:].sin()


class LastAlone(nn.Module):
    """The first sample in the last one, and nothing else in another."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:-1], x[-1:] + x[:1].sin()])


class Begun(nn.Module):
    """A mean over the batch, times a weight that is 0 at the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * x.mean(0)


class Faint(nn.Module):
    """Far below any tolerance."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-12 * x.mean(0)


MIXING = [Minibatch, Functional, Neighbour, Opposite, LastOfAll, LastAlone, Begun, Faint]
NORMS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(16)),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(16)),
    "LazyBatchNorm1d": nn.LazyBatchNorm1d,
    "BatchNorm2d": (lambda: nn.Sequential(nn.Unflatten(1, (16, 1, 1)), nn.BatchNorm2d(16), nn.Flatten())),
    "BatchNorm3d": (lambda: nn.Sequential(nn.Unflatten(1, (16, 1, 1, 1)), nn.BatchNorm3d(16), nn.Flatten())),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("divergence", ["gan", "hinge"])
def test_batch_norm_in_the_critic_is_refused_before_the_first_step(norm: str, precision: str, divergence: str) -> None:
    layer: nn.Module = NORMS[norm]()
    with pytest.raises(UserError, match=REFUSED.format("its critic has batch norm")):
        flow(OneStage, ali(layer, divergence=divergence), precision)


def test_batch_norm_that_uses_its_running_statistics_mixes_nothing_while_it_does() -> None:
    norm = nn.BatchNorm1d(16)
    game = ali(norm)
    norm.eval()
    torch.testing.assert_close(
        gradients(OneStage, copy.deepcopy(game)), gradients(Simultaneous, game), rtol=1e-5, atol=1e-9
    )
    moves = flow(OneStage, game)
    moves.step(iter([(X,)]))
    game.train()
    with pytest.raises(UserError, match="batch norm"):
        moves.step(iter([(X,)]))


def test_batch_norm_without_running_statistics_mixes_in_evaluation_too() -> None:
    norm = nn.BatchNorm1d(16, track_running_stats=False)
    game = ali(norm)
    norm.eval()
    with pytest.raises(UserError, match="its critic has batch norm"):
        flow(OneStage, game)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("layer", MIXING)
def test_a_custom_layer_that_mixes_samples_is_found(layer: Callable[[], nn.Module], precision: str) -> None:
    with pytest.raises(UserError, match=REFUSED.format("depends on other samples of the joint '[pq]' than its own")):
        flow(OneStage, ali(layer()), precision).step(iter([(X,)]))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_mixing_is_found_in_the_smallest_batches(rows: int) -> None:
    assert sample_mixing(ali(Opposite()), (X[:rows],)) is not None
    assert sample_mixing(ali(nn.Tanh()), (X[:rows],)) is None


def test_mixing_that_begins_later_is_found_at_the_first_step() -> None:
    class Later:
        """A change of the joints: none at first."""

        share = 0.0

        def set_progress(self, step: int, steps: int) -> None:
            self.share = step / steps

        def __call__(self, joint: Sequence[Tensor]) -> tuple[Tensor, ...]:
            x, *rest = joint
            return (x + self.share * x.flip(0) if self.share else x, *rest)

        def observe(self, *_: object) -> None: ...

    game = ali(noise=Later())
    with pytest.raises(UserError, match="depends on other samples"):
        flow(OneStage, game).step(iter([(X,)]))
    assert game.noise is not None
    assert game.noise.share == 0  # type: ignore[attr-defined]


APART: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: nn.LayerNorm(16),
    "group norm": lambda: nn.GroupNorm(4, 16),
    "instance norm": lambda: nn.Sequential(nn.Unflatten(1, (4, 4)), nn.InstanceNorm1d(4), nn.Flatten()),
    "attention": lambda: nn.Sequential(
        nn.Unflatten(1, (4, 4)), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Flatten()
    ),
    "dropout": lambda: nn.Dropout(0.5),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16)),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 1, 3, padding=1), nn.Flatten()),
}


@pytest.mark.parametrize("layer", APART)
def test_a_layer_that_keeps_samples_apart_is_accepted(layer: str) -> None:
    one, other = ali(APART[layer](), nn.Tanh()), ali(APART[layer](), nn.Tanh())
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(gradients(OneStage, one), gradients(Simultaneous, other), rtol=1e-4, atol=1e-7)
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name  # and the check leaves no trace in its statistics


def test_packs_mix_within_themselves_alone() -> None:
    for layer, found in ((nn.Tanh(), False), (Neighbour(), True)):
        game = ali()
        game.critic = PackedCritic(PairCritic(nn.Sequential(nn.Linear(36, 16), layer, nn.Linear(16, 1))), 3)
        assert (sample_mixing(game, (X[:15],)) is not None) == found


@pytest.mark.parametrize("name", ["auto", "mlp", "alice-toy"])
def test_the_librarys_critics_without_batch_norm_are_accepted(name: str) -> None:
    shape = (8,) if name == "alice-toy" else CONV
    width = {"auto": "auto(width=2)", "mlp": "mlp", "alice-toy": "alice-toy(width=8)"}[name]
    assert sample_mixing(*with_batch(build("ali", shape, networks=width, double=False))) is None
    assert name in networks.REGISTRY


def with_batch(game: Game) -> tuple[Game, tuple[Tensor, ...]]:
    return game, batch(game, 4)


# ---- a loss that depends on the critic's inputs beside the scores


def test_what_a_loss_reaches_is_a_question_to_the_graph() -> None:
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    scores = (x * w).split([1, 2])
    assert reachable_leaves(scores[0].sum() - scores[1].mean(), scores) == set()
    assert reachable_leaves(scores[0].sum() - scores[1].mean(), scores[:1]) == {id(x), id(w)}
    assert reachable_leaves(scores[0].sum() + 1e-30 * w.sum(), scores) == {id(w)}
    assert reachable_leaves(w, scores) == {id(w)}
    assert reachable_leaves(w.detach()) == set()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("weight", [1.0, 1e-2, 1e-4, 1e-12])
def test_a_small_term_beside_the_scores_is_refused_in_every_precision(weight: float, precision: str) -> None:
    game = build(f"infogan(weight={weight}, continuous_weight={weight})", double=False)
    with pytest.raises(UserError, match=REFUSED.format("loss depends on the joint 'model' beside the critic's scores")):
        flow(OneStage, game, precision).step(itertools.repeat(batch(game)))


class Annealed(ALI):
    """ALI whose generator's loss depends on z^ itself from the third step on."""

    begun = False

    def set_progress(self, step: int, steps: int) -> None:
        super().set_progress(step, steps)
        self.begun = step >= 2

    def losses(self, joints: Joints) -> Outcome:
        outcome = super().losses(joints)
        if not self.begun:
            return outcome
        more = 1e-6 * joints["q"][1].square().mean()
        return Outcome({**outcome.losses, "generator": outcome.losses["generator"] + more}, outcome.scores)


def test_a_term_that_begins_later_is_refused_where_it_begins() -> None:
    game = ali(nn.Tanh(), kind=Annealed)
    moves = flow(OneStage, game)
    for step in range(2):
        game.set_progress(step, 10**6)
        moves.step(iter([(X,)]))
    game.set_progress(2, 10**6)
    with pytest.raises(UserError, match="loss depends on the joint 'q' beside"):
        moves.step(iter([(X,)]))


class Attached(Penalty):
    """A term of the critic's loss that depends on the samples, too."""

    def penalize(self, critic: nn.Module, p: Sequence[Tensor], q: Sequence[Tensor]) -> Tensor:
        return critic(*p).square().mean()  # type: ignore[no-any-return]


def test_a_penalty_that_reaches_the_samples_now_and_then_is_not_counted_as_the_generators() -> None:
    ends = []
    for kind in (OneStage, Simultaneous):
        game = ali(nn.Tanh(), penalty=Attached(every=2)).double()
        moves = flow(kind, game)
        torch.manual_seed(2)
        for step in range(4):
            game.set_progress(step, 4)
            moves.step(iter([(X.double(),)]))
        ends.append(torch.cat([p.detach().flatten() for p in game.parameters()]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_librarys_penalties_pull_at_no_sample(name: str) -> None:
    game = ali(nn.Tanh(), penalty=PENALTIES[name]())
    joints = {key: tuple(as_leaf(part) for part in parts) for key, parts in game.sample(X).items()}
    outcome = game.losses(joints)
    judged = {id(part) for parts in joints.values() for part in parts if part.requires_grad}
    assert len(judged) == 2
    assert not judged & reachable_leaves(outcome.losses["critic"], outcome.scores.values())
    assert judged <= reachable_leaves(outcome.losses["critic"])


def test_a_prior_that_learns_gets_its_gradient() -> None:
    """AVB's loss reaches a learned prior's weights in no sample."""
    one, other = (build("avb", prior="learned(components=3)") for _ in range(2))
    found, exact = gradients(OneStage, one, x=batch(one)), gradients(Simultaneous, other, x=batch(other))
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)
    assert all(bool(p.grad is not None and p.grad.any()) for p in one.prior.parameters())


# ---- a confident critic


@pytest.mark.parametrize(
    ("divergence", "by"),
    every_third(
        [*DIVERGENCES, "gan(saturating=True)", "gan(smoothing=0.1)", "alpha(alpha=3.0)", "relativistic(of='hinge')"],
        [0, 10, 20, 40, 60, 75, 84, -84],
    ),
)
def test_a_confident_critic_loses_no_samples_gradient(divergence: str, by: float) -> None:
    with flush_denormals():
        found = []
        for kind in (OneStage, Simultaneous):
            game = ali(nn.Tanh(), divergence=divergence)
            assert isinstance(game.critic, PairCritic)
            game.critic.joint = Sure(game.critic.joint, by)
            found.append(gradients(kind, game))
        one, exact = found
        assert bool(exact.isfinite().all())
        generator = len(one) - sum(p.numel() for p in game.critic.parameters())
        difference = (one - exact)[:generator].norm()
        assert difference <= 1e-6 * exact[:generator].norm()
        assert torch.equal(one[generator:], exact[generator:])


@pytest.mark.parametrize(
    ("c", "g", "expected", "usable"),
    [
        (2.0, -1.0, -0.5, True),
        (1e-9, 1.0, 1e9, True),
        (1e-11, 1.0, 1e11, False),  # c times a gradient may underflow
        (1e9, 1.0, 1e-9, True),
        (1e11, 1.0, 1e-11, False),  # c times a gradient may overflow
        (0.0, 1.0, float("inf"), False),
        (0.0, 0.0, 0.0, True),
        (1.0, 0.0, 0.0, True),
        (1e11, 0.0, 0.0, False),
        (float("nan"), 1.0, float("nan"), False),
    ],
)
def test_a_factor_is_usable_where_it_costs_no_digits(c: float, g: float, expected: float, usable: bool) -> None:
    found, fits = gradient_factors(torch.tensor([1.0, c]), torch.tensor([1.0, g]), 3e9)
    torch.testing.assert_close(found, torch.tensor([1.0, expected]), equal_nan=True)
    assert bool(fits) == usable


@pytest.mark.parametrize(
    ("divergence", "by", "times"),
    [("gan", 0, 1), ("gan", 20, 1), ("gan", 30, 2), ("relativistic", 20, 2), ("wasserstein", 80, 1), ("kl", 60, 2)],
)
def test_one_backward_pass_of_the_critic_unless_it_is_confident(divergence: str, by: float, times: int) -> None:
    for kind, expected in ((OneStage, times), (Simultaneous, 2)):
        counted = Counted()
        game = ali(nn.Tanh(), counted, divergence=divergence)
        assert isinstance(game.critic, PairCritic)
        game.critic.joint = Sure(game.critic.joint, by)
        gradients(kind, game)
        assert counted.times == expected


def test_a_confident_critic_is_exact_in_bfloat16_too() -> None:
    found = []
    with flush_denormals():
        for kind in (OneStage, Simultaneous):
            game = ali(nn.Tanh())
            assert isinstance(game.critic, PairCritic)
            game.critic.joint = Sure(game.critic.joint, 80.0)
            found.append(gradients(kind, game, "bf16"))
    assert torch.equal(*found)  # both had two backward passes
    assert bool(found[0].any())


def test_several_scores_of_a_sample_are_one_where_their_factors_are() -> None:
    """Hinge's factors are all -1 while no head is past its margin; the least squares' are not."""
    for divergence, times in (("bigbigan", 1), ("least-squares", 2)):
        found, counted = [], Counted()
        for kind in (OneStage, Simultaneous):
            game = ali(divergence=divergence)
            heads = Counted() if kind is Simultaneous else counted
            game.critic = Heads(heads)
            found.append(gradients(kind, game.double(), x=(X.double(),)))
        torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)
        assert counted.times == times


class Heads(nn.Module):
    def __init__(self, counted: Counted) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), counted, nn.Linear(8, 3))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return 0.1 * self.network(torch.cat([x, z], 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("joint_batch", "times"), [(False, 3), (True, 2)])
def test_semi_supervised_ali_is_in_one_stage_where_labeled_pairs_have_their_own_pass(
    joint_batch: bool, times: int
) -> None:
    """Three passes are three gradients in one backward; together it is one pass and two backwards."""
    counted = Counted()
    game = build("semi-ali", double=False)
    game.joint_batch = joint_batch
    assert isinstance(game.critic, PairCritic)
    game.critic.joint = nn.Sequential(game.critic.joint, counted)
    gradients(OneStage, game, x=batch(game))
    assert counted.times == times


# ---- resuming


def state(moves: Dynamics) -> dict[str, Any]:
    kept = io.BytesIO()
    torch.save({"game": moves.game.state_dict(), "moves": moves.state_dict(), "random": torch.get_rng_state()}, kept)
    kept.seek(0)
    loaded: dict[str, Any] = torch.load(kept, weights_only=True)
    return loaded


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("divergence", "by"), [("gan", 0.0), ("gan", 80.0), ("relativistic", 40.0)])
def test_a_run_is_resumed_anywhere_bit_for_bit(divergence: str, by: float, precision: str) -> None:
    """With dropout, noise and spectral norm, whose states a check could change; it is never refused."""

    def made() -> ALI:
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(16, 16))
        game = ali(nn.Dropout(0.3), layer, nn.Tanh(), divergence=divergence)
        assert isinstance(game.critic, PairCritic)
        game.critic.joint = Sure(game.critic.joint, 0.0)
        return game

    def surely(moves: Dynamics, steps: int) -> None:
        assert isinstance(moves.game.critic, PairCritic)
        assert isinstance(moves.game.critic.joint, Sure)
        moves.game.critic.joint.by = by
        for _ in range(steps):
            moves.step(iter([(X,)]))

    with flush_denormals():
        unbroken = flow(OneStage, made(), precision)
        torch.manual_seed(5)
        unbroken.step(iter([(X,)]))
        surely(unbroken, 2)
        kept = state(unbroken)
        surely(unbroken, 2)
        end = state(unbroken)
        resumed = flow(OneStage, made(), precision)
        resumed.game.load_state_dict(kept["game"])
        resumed.load_state_dict(kept["moves"])
        torch.set_rng_state(kept["random"])
        surely(resumed, 2)
        assert torch.equal(state(resumed)["random"], end["random"])
    for name, value in end["game"].items():
        assert torch.equal(state(resumed)["game"][name], value), name


def test_a_game_that_cannot_be_copied_is_refused_with_the_reason() -> None:
    game = ali()
    game.kept = torch.ones(1, requires_grad=True) * 2  # type: ignore[assignment]
    with pytest.raises(UserError, match=REFUSED.format("it cannot be copied")):
        flow(OneStage, game).step(iter([(X,)]))


# ---- in a training, on a processor with bfloat16 or without


@pytest.fixture(params=[True, False], ids=["bf16", "no bf16"])
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: request.param)
    return "bf16" if request.param else "fp32"


def test_what_is_refused_does_not_depend_on_the_processor(processor: str) -> None:
    run = Run(
        data="digits", image_size=32, networks="ali-svhn", dynamics="one-stage", batch_size=4, steps=1, latent_dim=8
    )
    with pytest.raises(UserError, match="its critic has batch norm"):
        engine.prepare(run)
    moves = engine.prepare(run.replace(networks="auto(width=2)"))
    assert moves.run.precision == processor
    assert isinstance(moves.dynamics, OneStage)
    moves.dynamics.step(moves.batches)
