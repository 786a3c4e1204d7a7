"""Compiled steps: equal to ordinary ones from the same random numbers, or refused in one sentence; no number is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from examples import batch, build
from torch import Tensor, nn
from torch.optim import Adagrad, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

import interalia
from interalia.adversarial.joints import Joints
from interalia.adversarial.penalties import REGISTRY as PENALTIES
from interalia.adversarial.penalties import Penalty
from interalia.errors import UserError
from interalia.games import REGISTRY, Game, Outcome
from interalia.learning import dynamics
from interalia.learning.dynamics import UpdateOptions
from interalia.learning.optimizers import AVERAGES, OPTIMIZERS, Averaging, adam, ema
from interalia.runs import Run
from interalia.training import capture, engine
from interalia.training.callbacks import Checkpoint
from interalia.training.capture import CompiledStep
from interalia.training.state import Training

REFUSED = "`compile` cannot make one graph of this training's steps: {}.*; leave `compile` out."

AVERAGE = ema(0.9)


class Small(SimpleNamespace):
    """What a step needs of a training."""

    take_step = Training.take_step


def training(
    game: str | Game = "gan",
    kind: str = "simultaneous",
    penalty: str | None = None,
    optimizer: Callable[..., Optimizer] = adam,
    averaging: Averaging | None = AVERAGE,
    options: UpdateOptions | None = None,
    **fields: object,
) -> Any:
    fields |= {} if penalty is None else {"penalty": penalty}
    made = build(game, double=False, **fields) if isinstance(game, str) else game
    optimizers = {player: optimizer(made.train().parameters_of(player), lr=1e-3) for player in made.players}
    average = averaging.averaged_model(made) if averaging else None

    def batches() -> Iterator[tuple[Tensor, ...]]:
        """Of random numbers of the generator that the step uses too: their order is that of an ordinary step."""
        while True:
            yield batch(made, 6)

    moves = dynamics.REGISTRY[kind](made, optimizers, options or UpdateOptions())
    return Small(
        game=made, optimizers=optimizers, dynamics=moves, averaging=averaging, average=average, batches=batches(),
        step=0, steps=20, device=torch.device("cpu"), note="",
    )  # fmt: skip


def train(one: Any, step: Callable[[], object], count: int = 4) -> Tensor:
    """Takes steps at a falling rate; returns all weights, averages and random numbers after them."""
    torch.manual_seed(1)
    for _ in range(count):
        one.game.set_progress(one.step, one.steps)
        for optimizer in one.optimizers.values():
            optimizer.param_groups[0]["lr"] = 1e-3 / (1 + one.step)
        step()
        one.step += 1
    modules = [one.game] + ([one.average] if one.average is not None else [])
    numbers = [value.detach().double().flatten() for module in modules for value in module.state_dict().values()]
    return torch.cat([*numbers, torch.rand(3).double()])


def distance(count: int = 4, backend: str = "eager", **fields: Any) -> float:
    """Between captured and ordinary steps, relative to the weights."""
    one, other = training(**fields), training(**fields)
    left, right = train(one, one.take_step, count), train(other, CompiledStep(other, backend, 2), count)
    assert torch.equal(left[-3:], right[-3:])
    return float((left - right).norm() / left.norm())


def plain(game: str) -> str:
    return "cyclegan(pool=0)" if game == "cyclegan" else game


FEW = (
    ("ali", "simultaneous", "r1r2"), ("gan", "past", "wgan-gp"), ("vae", "optimistic", "none"),
    ("gan", "one-stage", "r1r2"), ("cyclegan", "simultaneous", "none"),
)  # fmt: skip
GRID = list(itertools.product(REGISTRY, dynamics.KINDS, ["none", *PENALTIES]))


@pytest.mark.parametrize(
    ("game", "kind", "penalty"),
    [pytest.param(*one, marks=[] if one in FEW else pytest.mark.long) for one in GRID],
)
def test_a_captured_step_is_the_ordinary_one(game: str, kind: str, penalty: str) -> None:
    """Of every game by every dynamics with every penalty, also where the penalty is computed at every other step."""
    every = {} if penalty in ("none", "weight-clip") or kind == "consensus" else {"every": 2}
    fields = {"penalty": f"{penalty}(every=2)" if every else penalty} if penalty != "none" else {}
    try:
        training(plain(game), kind, **fields)
        ordinary = training(plain(game), kind, **fields)
        ordinary.take_step()
    except UserError as error:
        pytest.skip(f"refused without `compile` too: {error}")
    assert distance(game=plain(game), kind=kind, **fields) < 1e-6
    if game == "cyclegan":
        with pytest.raises(UserError, match=REFUSED.format("Pool.__call__ reads numbers")):
            distance(game=game, kind=kind, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"averaging": None},
        {"averaging": AVERAGES["swa"](start=0.15)},
        {"optimizer": lambda p, lr: OPTIMIZERS["sgd"](p, lr, momentum=0.9, weight_decay=0.1)},
        {"optimizer": OPTIMIZERS["rmsprop"]},
        {"options": UpdateOptions(grad_accumulation=2, grad_clip=0.1)},
        {"game": "ali", "divergence": "relativistic", "penalty": "r1r2(gamma=1.0, final=0.01)"},
        {"game": "gan", "instance_noise": "constant(std=0.1)", "augment": "fixed()", "pack": 2},
        {"game": "ali", "labels": 3},
    ],
    ids=[
        "no-average",
        "swa",
        "sgd",
        "rmsprop",
        "accumulation-and-clipping",
        "relativistic",
        "noise-and-pack",
        "labels",
    ],
)
def test_every_option_is_captured(fields: dict[str, Any]) -> None:
    assert distance(**fields) < 1e-6


def test_adam_in_elementary_operations_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As inductor gets it; here its operations are executed one by one."""
    monkeypatch.setattr(capture, "compiled", lambda module, inputs, backend: module)
    options = {"optimizer": lambda p, lr: adam(p, lr, weight_decay=0.1)}
    assert 0 < distance(20, "inductor", **options) < 1e-6


class Reads(Penalty):
    """Reads its critic's weights."""

    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        w = next(critic.parameters()).square().sum()
        return w if float(w) > 0 else 2 * w


class ReadsWeight(Reads):
    """Reads a number that the step has not computed."""

    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        w = next(critic.parameters())
        return w.sum() if w.flatten()[0] > 0 else 2 * w.sum()


class Measures(Reads):
    """Reads an input of the graph itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(())

    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        return self.scale.item() * next(critic.parameters()).sum()


class Lists(Reads):
    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        return sum(next(critic.parameters())[0].tolist()) * next(critic.parameters()).sum()  # type: ignore[no-any-return]


class Counts(Reads):
    """Counts its calls."""

    calls = 0

    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        self.calls += 1
        return self.calls * next(critic.parameters()).square().sum()


class Picks(Reads):
    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        w = next(critic.parameters())
        return w[w > 0].sum()


class Samples(Reads):
    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        w = next(critic.parameters())
        return (torch.bernoulli(w.sigmoid()) * w).sum()


class Remembers(Reads):
    """Keeps a running mean, in a new tensor at every step."""

    mean = torch.zeros(())

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(())

    def penalize(self, critic: nn.Module, p: Any, q: Any) -> Tensor:
        w = next(critic.parameters()).square().sum()
        self.mean = 0.9 * self.mean + w.detach()
        return w * self.mean


def own(penalty: Penalty) -> Game:
    game = build("gan", double=False)
    game.penalty = penalty
    return game


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Reads, "Reads.penalize reads numbers from a tensor"),
        (ReadsWeight, "ReadsWeight.penalize reads numbers from a tensor"),
        (Measures, "Measures.penalize reads numbers from a tensor"),
        (Lists, "Lists.penalize reads numbers from a tensor"),
        (Counts, "a step changes game.penalty.calls"),
        (Picks, "Picks.penalize makes a tensor whose shape depends on numbers"),
        (Samples, "Samples.penalize draws random numbers from a distribution that depends on the step"),
    ],
)
def test_a_penalty_that_decides_by_numbers_is_refused_by_its_name(kind: type[Penalty], reason: str) -> None:
    with pytest.raises(UserError, match=REFUSED.format(reason)):
        distance(game=own(kind()))


def test_a_tensor_that_a_step_replaces_is_an_input_and_a_result_of_the_graph() -> None:
    one, other = training(own(Remembers())), training(own(Remembers()))
    assert torch.equal(train(one, one.take_step), train(other, CompiledStep(other, "eager", 2)))
    assert torch.equal(one.game.penalty.mean, other.game.penalty.mean)


def test_an_optimizer_whose_update_is_not_proportional_to_the_rate_is_refused() -> None:
    with pytest.raises(UserError, match=REFUSED.format("the optimizer Adagrad is none of Adam, SGD and RMSprop")):
        distance(optimizer=Adagrad)


@pytest.mark.parametrize("what", ["trained parameters", "memory", "options of the optimizer"])
def test_what_is_trained_or_how_may_change(what: str) -> None:
    """Another graph is captured, as for another value of an attribute."""

    def change(one: Any) -> None:
        if what == "options of the optimizer":
            one.optimizers["critic"].param_groups[0]["betas"] = (0.9, 0.9)
        elif what == "memory":  # as when a module is moved to another device and back
            for p in one.game.parameters():
                p.data = p.detach().clone()
        else:
            next(one.game.critic.parameters()).requires_grad_(False)

    one, other = training(), training()
    step = CompiledStep(other, "eager", 2)
    for part, take in ((one, one.take_step), (other, step)):
        train(part, take)
        change(part)
    assert torch.allclose(train(one, one.take_step), train(other, step), rtol=1e-6, atol=1e-9)
    assert len(step.graphs) == 2


def test_a_network_that_is_replaced_is_refused() -> None:
    one = training()
    step = CompiledStep(one, "eager", 1)
    train(one, step)
    one.game.critic = nn.Sequential(one.game.critic)
    with pytest.raises(UserError, match=REFUSED.format("a module or a parameter of the game was replaced")):
        step()


def test_an_adam_that_the_compiled_one_is_not_is_refused() -> None:
    """Inductor's step has the same bias correction for all parameters, and neither `amsgrad` nor `maximize`."""
    one = training()
    train(one, one.take_step, 2)
    for state in [*one.optimizers["critic"].state.values()][:1]:
        state["step"].add_(1)
    with pytest.raises(UserError, match=REFUSED.format("parameters of one optimizer have taken different numbers")):
        CompiledStep(one, ordinary=0)()
    with pytest.raises(UserError, match=REFUSED.format("its Adam has `amsgrad` or `maximize`")):
        capture.fused_adam_(
            [],
            [],
            [],
            [],
            [],
            [],
            lr=torch.ones(()),
            beta1=0.5,
            beta2=0.9,
            weight_decay=0.0,
            eps=0.0,
            amsgrad=False,
            maximize=True,
        )


class Reading(TorchDispatchMode):
    """Counts the numbers that are read from tensors."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_a_captured_step_reads_no_number() -> None:
    one = training("gan", "one-stage", "r1r2(every=2)", averaging=AVERAGES["swa"]())
    step = CompiledStep(one, "eager", 1)
    train(one, step, 4)
    with Reading() as captured:
        train(one, step, 4)
    with Reading() as ordinary:
        train(one, one.take_step, 2)
    assert (captured.count, len(step.graphs)) == (0, 2)
    assert ordinary.count > 0  # by which the pass through the critic is chosen, and the average


# --- runs

SMALL = Run(
    data="grid25", game="gan", latent_dim=2, networks="auto(width=4)", batch_size=8, steps=12, evaluate_every=0,
    checkpoint_every=6, device="cpu", penalty="r1r2(every=4)",
)  # fmt: skip


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are executed one operation after the other, without a compiler."""
    monkeypatch.setattr(capture, "compiled", lambda module, inputs, backend: module)
    monkeypatch.setattr(capture, "check_compiler", lambda device: None)


def weights(game: Game) -> Tensor:
    return torch.cat([value.double().flatten() for value in game.state_dict().values()])


@pytest.mark.usefixtures("executed")
def test_a_run_is_resumed_with_and_without_compilation(tmp_path: Path) -> None:
    run, saved = SMALL.replace(penalty="none"), [Checkpoint()]
    ends = []
    for first, second in ((False, False), (False, True), (True, False)):
        folder = tmp_path / f"{first} {second}"
        interalia.train(run.replace(compile=first), folder, callbacks=saved)
        trained = interalia.train(run.replace(compile=second, steps=24), folder, resume=True, callbacks=saved)
        assert trained.run.compile is second
        ends.append(weights(trained.game))
    assert all((end - ends[0]).norm() < 1e-6 * ends[0].norm() for end in ends)


@pytest.mark.usefixtures("executed")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"instance_noise": "annealed(std=0.1)"}, "InstanceNoise.__call__ reads numbers"),
        ({"skip_critic_above": 0.9}, "`skip_critic_above` decides"),
        (
            {"data": "digits", "penalty": "none", "augment": "adaptive(target=0.6)"},
            "AdaptiveAugmentation.observe reads numbers",
        ),
    ],
)
def test_a_run_that_cannot_be_captured_is_refused_before_it_has_a_folder(
    fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=REFUSED.format(reason)):
        interalia.train(SMALL.replace(compile=True, **fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_a_compiler_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def missing() -> None:
        raise exc.InvalidCxxCompiler("g++")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.raises(
        UserError, match=r"`compile` needs a C\+\+ compiler, and none is installed; install g\+\+ or clang"
    ):
        engine.prepare(SMALL.replace(compile=True))
    with pytest.raises(UserError, match="`compile` is for the devices cpu and cuda, and not for mps"):
        capture.check_compiler(torch.device("mps"))


class Line(Game):
    """A linear map that is trained to be small on noisy data: the least that has all that a step has."""

    players: ClassVar[Mapping[str, Sequence[str]]] = {"line": ("line",)}

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)

    def sample(self, *batch: Tensor) -> Joints:
        return {"q": (batch[0] + torch.randn_like(batch[0]),)}

    def losses(self, joints: Joints) -> Outcome:
        return Outcome({"line": self.line(*joints["q"]).square().mean()})


@pytest.mark.parametrize("game", ["line", pytest.param("ali", marks=pytest.mark.long)])
def test_inductor_compiles_a_step(game: str) -> None:
    try:
        capture.check_compiler(torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))
    ends = []
    for compiled in (False, True):
        torch.manual_seed(0)
        one = training(Line() if game == "line" else game)
        one.batches = itertools.repeat((torch.randn(6, 2),)) if game == "line" else one.batches
        ends.append(train(one, CompiledStep(one, ordinary=2) if compiled else one.take_step, 20))
    assert (ends[1] - ends[0]).norm() < 1e-5 * ends[0].norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: a CUDA graph replays the step there")
def test_a_gpu_replays_a_graph_without_waiting() -> None:
    run = SMALL.replace(device="cuda", compile=True, steps=30)
    one, other = engine.prepare(run), engine.prepare(run)
    left = train(one, one.take_step, 20)
    step = CompiledStep(other)
    right = train(other, step, 20)
    assert (left - right).norm() < 1e-5 * left.norm()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train(other, step, 4)
    finally:
        torch.cuda.set_sync_debug_mode("default")
