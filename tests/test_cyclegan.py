"""CycleGAN: its losses by hand, the pool in distribution, its networks, and a training that goes on where it stopped."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from interalia import UserError, cli, papers, registry, reports, tasks
from interalia.adversarial import divergences
from interalia.adversarial.pools import Pool
from interalia.games import REGISTRY, CycleGAN
from interalia.learning import dynamics
from interalia.metrics import training_metrics
from interalia.metrics.evaluation import evaluate
from interalia.metrics.similarity import peak_signal_to_noise, structural_similarity
from interalia.networks import translation
from interalia.reports import plots
from interalia.runs import Run, building, loading
from interalia.runs.folder import Folder
from interalia.training import callbacks, checkpoint, engine
from interalia.training.state import Training

DYNAMICS = sorted(set(dynamics.REGISTRY) - {"one-stage"})  # which a pool of past samples does not allow


class Shift(nn.Module):
    """x + s."""

    def __init__(self, s: float) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.tensor(s, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.s


class Grade(nn.Module):
    """w x, each pixel's score for itself: (n, height, width)."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x[:, 0]


def toy(**settings: Any) -> CycleGAN:
    return CycleGAN(Shift(0.25), Shift(-0.5), Grade(2.0), Grade(-1.0), **settings)


def images(*shape: int, seed: int = 0, double: bool = True) -> Tensor:
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x if double else x.float()


def build(
    shape: tuple[int, ...] = (2, 9, 13), networks: str = "cyclegan(width=2, blocks=1)", **fields: Any
) -> CycleGAN:
    torch.manual_seed(0)
    made = building.build(Run(game="cyclegan", networks=networks).replace(**fields), shape, other=shape)
    assert isinstance(made, CycleGAN)
    return made.double()


def flow(name: str, game: CycleGAN) -> dynamics.Dynamics:
    optimizers = {player: SGD(game.parameters_of(player), lr=0.05) for player in game.players}
    return registry.make(name, dynamics.REGISTRY, "dynamics", game, optimizers)


# the game


def test_the_losses_are_the_papers() -> None:
    game = toy(identity=0.5)
    a, b = images(3, 1, 4, 5), images(3, 1, 4, 5, seed=1)
    outcome = game(a, b)
    # in pixels of [-1, 1], as the paper's formulas are: u = 2 x - 1
    u, v = 2 * a - 1, 2 * b - 1
    fake_b, fake_a = u + 0.5, v - 1.0
    judge_a, judge_b = lambda w: 2.0 * (w + 1) / 2, lambda w: -1.0 * (w + 1) / 2
    gan = (judge_b(fake_b) - 1).square().mean() + (judge_a(fake_a) - 1).square().mean()
    cycle = (fake_b - 1.0 - u).abs().mean() + (fake_a + 0.5 - v).abs().mean()
    identity = (v + 0.5 - v).abs().mean() + (u - 1.0 - u).abs().mean()
    real = [(judge(w) - 1).square().mean() for judge, w in ((judge_a, u), (judge_b, v))]
    fake = [judge(w).square().mean() for judge, w in ((judge_a, fake_a), (judge_b, fake_b))]
    still = [judge(w).square().mean() for judge, w in ((judge_a, u), (judge_b, v))]  # of the data; moves no generator
    expected = gan + sum(still) + 10 * cycle + 0.5 * 10 * identity
    torch.testing.assert_close(outcome.losses["generator"], expected)
    torch.testing.assert_close(outcome.losses["critic"], (sum(real) + sum(fake)) / 2)
    assert {name: score.shape for name, score in outcome.scores.items()} == dict.fromkeys(
        ("a", "fake_a", "b", "fake_b"), (3,)
    )
    torch.testing.assert_close(outcome.scores["fake_b"], -(a + 0.25).mean(dim=(1, 2, 3)))


def test_exact_inverses_have_no_cycle_loss() -> None:
    there = nn.Sequential()
    turn: Callable[[int], Any] = lambda k: type(  # noqa: E731
        "Turn", (nn.Module,), {"forward": lambda self, x: 1 - torch.rot90(x, k, dims=(2, 3))}
    )()
    there, back = turn(1), turn(-1)
    game = CycleGAN(there, back, Grade(1.0), Grade(1.0), adversarial=0.0)
    a, b = images(4, 1, 6, 6), images(4, 1, 6, 6, seed=1)
    assert float(game(a, b).losses["generator"]) == pytest.approx(0, abs=1e-12)
    game.to_a = turn(1)  # no inverse
    assert float(game(a, b).losses["generator"]) > 1


def test_its_halves_add_up() -> None:
    a, b = images(3, 1, 4, 5), images(3, 1, 4, 5, seed=1)
    whole, gans, cycles = (toy(**settings)(a, b) for settings in ({}, {"cycle": 0.0}, {"adversarial": 0.0}))
    torch.testing.assert_close(whole.losses["generator"], gans.losses["generator"] + cycles.losses["generator"])
    torch.testing.assert_close(whole.losses["critic"], gans.losses["critic"])
    assert "cycled_a" not in toy(cycle=0.0, identity=1.0).sample(a, b)
    assert "same_a" not in toy().sample(a, b)
    for settings in ({"cycle": 0.0, "adversarial": 0.0}, {"cycle": -1.0}, {"identity": float("nan")}, {"pool": -1}):
        with pytest.raises(ValueError, match="`"):
            toy(**settings)


@pytest.mark.parametrize("divergence", divergences.REGISTRY)
def test_any_divergence_judges_each_domain(divergence: str) -> None:
    judge = registry.make(divergence, divergences.REGISTRY, "divergence")
    game = toy(divergence=judge, adversarial=1.0, cycle=0.0)
    a, b = images(3, 1, 4, 5), images(3, 1, 4, 5, seed=1)
    outcome = game(a, b)
    p_a, p_b, q_a, q_b = 2 * a[:, 0], -b[:, 0], 2 * (b[:, 0] - 0.5), -(a[:, 0] + 0.25)
    critic = judge.critic_loss(p_a, q_a) + judge.critic_loss(p_b, q_b)
    generator = judge.generator_loss(p_a, q_a) + judge.generator_loss(p_b, q_b)
    torch.testing.assert_close(outcome.losses["critic"], critic)
    torch.testing.assert_close(outcome.losses["generator"], generator)


@pytest.mark.parametrize(
    "fields", [{}, {"penalty": "r1r2", "instance_noise": "annealed"}, {"game": "cyclegan(identity=0.5)"}]
)
@pytest.mark.parametrize("name", DYNAMICS)
def test_every_parameter_moves_and_none_of_another_player(name: str, fields: dict[str, str]) -> None:
    game = build(**fields)
    batch = images(2, 2, 9, 13), images(2, 2, 9, 13, seed=1)
    moves = flow(name, game)
    before = copy.deepcopy(dict(game.named_parameters()))
    for _ in range(2):
        outcome = moves.step(itertools.repeat(batch))
        assert all(bool(loss.isfinite()) for loss in outcome.losses.values())
    for key, parameter in game.named_parameters():
        assert not torch.equal(parameter, before[key]), key
    for player in game.players:
        with game.only(player):
            moves.gradients(iter([batch]), player)
        for other in game.players:
            has = [p.grad is not None for p in game.parameters_of(other)]
            assert all(has) if other == player else not any(has)
        game.zero_grad(set_to_none=True)


def test_the_critics_weights_are_clipped_in_both() -> None:
    game = build(penalty="weight-clip(bound=0.01)")
    flow("simultaneous", game).step(itertools.repeat((images(2, 2, 9, 13), images(2, 2, 9, 13))))
    assert max(float(p.detach().abs().max()) for p in game.parameters_of("critic")) <= 0.01
    assert max(float(p.detach().abs().max()) for p in game.parameters_of("generator")) > 0.01


# the pool


def test_a_pool_answers_what_the_paper_says() -> None:
    torch.manual_seed(0)
    size, count = 5, 40_000
    pool = Pool(size)
    answered = pool(torch.arange(float(count)))
    assert torch.equal(answered[:size], torch.arange(float(size)))  # until it is full, what comes in
    age = (torch.arange(count) - answered)[size:]
    later = age[age > 0]
    assert float((age == 0).double().mean()) == pytest.approx(0.5, abs=0.01)
    # a stored one goes with probability 1 / (2 size) a draw, so its age is geometric with mean 2 size
    assert float(later[later < 10_000].mean()) == pytest.approx(2 * size, rel=0.03)
    for k in (1, 2, 10):
        share = float((later == k).double().mean())
        assert share == pytest.approx((1 - 1 / (2 * size)) ** (k - 1) / (2 * size), abs=0.006), k
    once = answered[size:]
    assert len(once.unique()) == len(once)  # what is answered has left the pool
    everything = torch.cat([once, pool.state_dict()["samples"]])
    assert torch.equal(everything.sort().values, torch.arange(float(count)))  # and nothing is lost


def test_a_pool_of_none_and_one_that_remembers() -> None:
    x = images(7, 3)
    assert torch.equal(Pool(0)(x), x)
    pool, other = Pool(4), Pool(4)
    assert pool.state_dict()["samples"].numel() == 0
    torch.manual_seed(1)
    for _ in range(3):
        pool(x)
    other.load_state_dict(pool.state_dict())
    answers = []
    for one in (pool, other):
        torch.manual_seed(2)
        answers.append(torch.cat([one(x + i) for i in range(9)]))
    assert torch.equal(*answers)
    y = x.clone().requires_grad_()
    assert not pool(y).requires_grad
    memory = pool.state_dict()["samples"]
    x.zero_()  # a batch's memory is used again
    assert torch.equal(pool.state_dict()["samples"], memory)


def test_only_a_critic_in_training_draws_from_the_pool() -> None:
    game = build(game="cyclegan(pool=3)")
    a, b = images(2, 2, 9, 13), images(2, 2, 9, 13, seed=1)
    with game.only("generator"):
        joints = game.sample(a, b)
    with torch.no_grad():
        game.sample(a, b)
    game.eval()
    game.sample(a, b)
    assert game.extra_state()["pool_a"].numel() == game.extra_state()["pool_b"].numel() == 0
    assert torch.equal(joints["pooled_a"][0], joints["fake_a"][0])
    assert not joints["pooled_a"][0].requires_grad
    game.train()
    torch.manual_seed(0)
    for _ in range(8):
        joints = game.sample(a, b)
    assert {len(part) for part in game.extra_state().values()} == {3}
    fresh = copy.deepcopy(game)
    fresh.load_extra_state(game.extra_state())
    assert all(torch.equal(x, fresh.extra_state()[name]) for name, x in game.extra_state().items())
    assert not any("pool" in key for key in game.state_dict())


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    return len(a) == len(b) and all(map(same, a, b)) if isinstance(a, list | tuple) else bool(a == b)


def digits(**fields: Any) -> Run:
    return Run(
        game="cyclegan(pool=6)",
        data="digits-inverted",
        networks="cyclegan(width=2, blocks=1)",
        divergence="least-squares",
        batch_size=4,
        steps=12,
        evaluate_every=6,
        checkpoint_every=4,
        monitor="translation_error_b",
    ).replace(**fields)


class Fall(callbacks.Callback):
    """Falls over after a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, training: Training, outcome: Any) -> None:
        if training.step == self.at:
            raise ZeroDivisionError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cyclegan") / "run"
    engine.train(digits(), out)
    return out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_goes_on_bit_by_bit_with_its_pool(tmp_path: Path, precision: str) -> None:
    run = digits(precision=precision, evaluate_every=0, networks="cyclegan(width=4, blocks=1)")
    engine.train(run, tmp_path / "whole")
    training = engine.open_run(run, tmp_path / "broken")
    with pytest.raises(ZeroDivisionError):
        engine.finish(training, [*callbacks.default_callbacks(training, progress=False), Fall(10)])
    newest, _ = checkpoint.newest(Folder(tmp_path / "broken"))
    assert newest is not None
    assert newest[1]["step"] == 8
    engine.train(run, tmp_path / "broken", resume=True)
    whole, broken = (checkpoint.read(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "broken"))
    assert len(whole["memory"]["pool_a"]) == 6
    assert same(whole, broken)


# the networks


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (1, 28, 28), (2, 31, 33), (3, 30, 64)])
def test_generators_keep_any_size_and_stay_in_the_unit_interval(shape: tuple[int, ...]) -> None:
    made = examples.translators("cyclegan", shape, width=2)
    x = images(2, *shape, double=False)
    for network in (made.to_a, made.to_b):
        y = network(x)
        assert y.shape == x.shape
        assert 0 <= float(y.detach().min()) <= float(y.detach().max()) <= 1
    for critic in (made.critic_a, made.critic_b):
        scores = critic(x)
        assert scores.ndim == 3
        assert min(scores.shape[1:]) >= 2


def test_the_papers_generator_and_critic() -> None:
    for side, blocks in ((32, 4), (128, 6), (256, 9)):
        with torch.device("meta"):
            made = examples.translators("cyclegan", (3, side, side))
        kernels = [tuple(m.weight.shape) for m in made.to_b.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert kernels == [
            (64, 3, 7, 7),
            (128, 64, 3, 3),
            (256, 128, 3, 3),
            *[(256, 256, 3, 3)] * (2 * blocks),
            (256, 128, 3, 3),
            (128, 64, 3, 3),
            (3, 64, 7, 7),
        ]
        assert made.family.std == 0.02
    judged = [tuple(m.weight.shape) for m in made.critic_a.modules() if isinstance(m, nn.Conv2d)]
    assert judged == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_the_patch_that_it_is_said_to(layers: int, field: int) -> None:
    critic = translation.patch_critic((1, 160, 160), 1, layers).double()
    critic.body = nn.Sequential(*(m for m in critic.body if not isinstance(m, translation.InstanceNorm)))
    x = images(1, 1, 160, 160).requires_grad_()
    scores = critic(x)
    scores[0, scores.shape[1] // 2, scores.shape[2] // 2].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == field


def test_patches_fit_the_image() -> None:
    for side, layers in ((16, 1), (28, 1), (32, 1), (64, 2), (128, 3), (256, 3)):
        with torch.device("meta"):
            made = examples.translators("cyclegan", (1, side, side), width=2)
        assert sum(isinstance(m, nn.Conv2d) for m in made.critic_a.modules()) == layers + 2


def test_turns_are_the_four_quarters() -> None:
    x = images(2, 3, 6, 6)
    seen = translation.QuarterTurns()(x)
    assert torch.equal(seen[:, :3], x)
    again = translation.QuarterTurns()(torch.rot90(x, 1, dims=(2, 3)))
    assert torch.equal(again, seen.roll(-3, dims=1))  # a turned image shows the same four, one further
    made = examples.translators("cyclegan", (3, 16, 16), width=2, turns=True)
    assert made.to_a(images(2, 3, 16, 16, double=False)).shape == (2, 3, 16, 16)
    with pytest.raises(UserError, match="square"):
        examples.translators("cyclegan", (3, 16, 18), turns=True)


def test_small_translators_take_any_shape() -> None:
    for shape in ((2,), (1, 4, 4), (1, 8, 8), (3, 12, 24)):
        made = examples.translators("auto", shape, width=2)
        x = images(3, *shape, double=False)
        assert made.to_b(x).shape == x.shape
        assert len(made.critic_a(x)) == 3
    points = examples.translators("auto", (2,))
    assert float(points.to_b(100 * images(9, 2, double=False)).detach().abs().max()) > 1  # vectors have no bounds


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ((1, 28, 28), (3, 28, 28), "same number of channels"),
        ((1, 28, 28), (1, 32, 32), "one `image_size`"),
        ((1, 4, 4), (1, 4, 4), "at least 8 pixels"),
        ((2,), (2,), "other `networks`, such as auto"),
    ],
)
def test_domains_that_do_not_fit_are_one_sentence(a: tuple[int, ...], b: tuple[int, ...], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        examples.translators("cyclegan", a, b)
    assert str(caught.value).count(".") == 1


# what is done with it


def command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert not ended.value.code


def test_translating(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    game = loading.load(trained).game
    x = images(3, 1, 8, 8, double=False)
    with torch.no_grad():
        torch.testing.assert_close(tasks.translate(game, x), game.to_b(x))
        torch.testing.assert_close(tasks.translate(game, x, to="a"), game.to_a(x))
    for bad, words in (((game, x, "c"), "must be 'a', the domain of"), ((game, x[:, :, :5]), "resize or convert")):
        with pytest.raises(UserError, match=words):
            tasks.translate(*bad)  # type: ignore[arg-type]
    out = tmp_path / "t.npz"
    command("translate", str(trained), "--to", "a", "--count", "5", "--out", str(out))
    with np.load(out) as arrays:
        assert {name: arrays[name].shape for name in arrays.files} == dict.fromkeys(
            ("x", "translation", "back"), (5, 1, 8, 8)
        )
        assert float(arrays["x"].mean()) > 0.5  # of the light domain
        torch.testing.assert_close(
            torch.from_numpy(arrays["back"]),
            tasks.translate(game, tasks.translate(game, torch.from_numpy(arrays["x"]), "a"), "b"),
        )
    command("translate", str(trained), "--count", "4")
    assert (trained / "figures/translated_to_b.png").is_file()
    command("translate", str(trained), "--count", "4", "--separate", "--out", str(tmp_path / "s"))
    assert len(list((tmp_path / "s").iterdir())) == 4
    command("translate", str(trained), str(tmp_path / "s"), "--to", "a")
    assert "4 translations" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in REGISTRY if name != "cyclegan"])
def test_a_translation_asked_of_a_game_without_domains(name: str) -> None:
    other = examples.build(name, double=False)
    with pytest.raises(UserError, match=r"no two domains.*: CycleGAN") as caught:
        tasks.translate(other, torch.zeros(1, 1, 4, 4))
    assert str(caught.value).count(".") == 1


def test_what_it_cannot_do_is_one_sentence(trained: Path) -> None:
    game = loading.load(trained).game
    x = torch.zeros(2, 1, 8, 8)
    for task in (
        lambda: tasks.complete(game, x, torch.ones(1, 8, 8)),
        lambda: tasks.neighbours(game, x, x),
        lambda: tasks.classify(game, x),
        lambda: tasks.single_edits(game, x, torch.zeros(2)),
        lambda: tasks.generate(game, 3),
        lambda: tasks.encode(game, x),
        lambda: tasks.reconstruct(game, x),
        lambda: tasks.interpolate(game, x, x),
        lambda: tasks.traverse(game),
        lambda: tasks.recognize(game, x),
    ):
        with pytest.raises(UserError, match=r"^CycleGAN (has no|recognizes no)[^.]*\.$"):
            task()


def test_its_measures(trained: Path) -> None:
    loaded = loading.load(trained)
    dataset = loading.load_dataset(loaded.run)
    assert dataset.other is not None
    full = {m.name: m.value for m in evaluate(loaded.game, dataset, count=40)}
    a, b = (torch.from_numpy(part.test.x).float() / 255 for part in (dataset, dataset.other))
    rows = np.sort(np.random.default_rng(0).permutation(len(a))[:40])
    a, b = a[rows], b[rows]
    fake_b, fake_a = tasks.translate(loaded.game, a), tasks.translate(loaded.game, b, "a")
    assert full["translation_error_b"] == pytest.approx(float((fake_b - b).abs().mean()), rel=1e-5)
    assert full["translation_error_a"] == pytest.approx(float((fake_a - a).abs().mean()), rel=1e-5)
    assert full["translation_psnr_a"] == pytest.approx(-10 * math.log10(float((fake_a - a).square().mean())), rel=1e-5)
    back = (tasks.translate(loaded.game, fake_b, "a") - a).abs().mean() + (
        tasks.translate(loaded.game, fake_a) - b
    ).abs().mean()
    assert full["cycle_error"] == pytest.approx(float(back) / 2, rel=1e-5)
    assert full["frechet_distance"] == pytest.approx((full["frechet_to_a"] + full["frechet_to_b"]) / 2)
    assert 0 < full["frechet_real_vs_real"] < full["frechet_distance"]
    assert 0 <= full["translation_accuracy_b"] <= 1
    quick = {m.name for m in evaluate(loaded.game, dataset, count=40, quick=True)}
    assert quick == set(training_metrics(dataset, loaded.game))


def test_its_page(trained: Path) -> None:
    command("report", str(trained))
    command("evaluate", str(trained), "--count", "40")
    page = reports.write(trained).read_text()
    for words in ("translate", "From a to b", "From b to a", "Translations during training", "Four networks"):
        assert words in page
    for words in ("interalia generate", "interalia reconstruct", "has no encoder", "prior, without a look", "Samples"):
        assert words not in page
    assert len(list((trained / "figures/progress").glob("*.png"))) == 2
    value = json.loads((trained / "results.json").read_text())
    assert {"cycle_error", "translation_accuracy_a"} <= {m["name"] for m in value["metrics"]}


def test_cycle_pictures(tmp_path: Path) -> None:
    from PIL import Image

    x = np.zeros((3, 1, 8, 8))
    heights = []
    for truths in (None, x):
        path = plots.cycles(x, x, x, tmp_path / "c.png", truths)
        with Image.open(path) as image:
            heights.append(image.height)
    assert heights[1] > heights[0] * 1.2
    with pytest.raises(UserError, match="do not fit each other"):
        plots.cycles(x, x[:2], x, tmp_path / "c.png")


def test_structural_similarity_is_wangs() -> None:
    measure = pytest.importorskip("torchmetrics.functional.image").structural_similarity_index_measure
    x = images(4, 3, 20, 27)
    y = (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)).clamp(0, 1)
    ours = structural_similarity(x, y)
    _, places = measure(x, y, data_range=1.0, sigma=1.5, return_full_image=True)
    inside = places[..., 5:-5, 5:-5]  # torchmetrics pads the images; this is where the padding does not reach
    torch.testing.assert_close(ours, inside.mean(dim=(1, 2, 3)), atol=1e-10, rtol=0)
    with pytest.raises(UserError, match="sides of 11 or more pixels"):
        structural_similarity(x[..., :10], y[..., :10])
    assert peak_signal_to_noise(x, x) == math.inf


def test_the_experiment_in_its_quick_form(tmp_path: Path) -> None:
    path = papers.reproduce("cyclegan-digits", quick=True, steps=2, out=tmp_path)
    rows = {row["row"]: row["values"] for row in json.loads((path.parent / "table.json").read_text())["rows"]}
    assert list(rows) == [
        f"inverted: {name}" for name in ("the truth", "CycleGAN", "GAN alone", "cycle alone", "paired upper bound")
    ]
    assert rows["inverted: the truth"]["l1_b"] == 0
    assert rows["inverted: the truth"]["accuracy_a"] > 80
    assert all(0 <= values["accuracy_b"] <= 100 for values in rows.values())
    assert len(list((path.parent / "pictures").glob("*.png"))) == 8


def test_both_critics_count_where_it_is_asked_who_wins() -> None:
    """A critic of the second domain that is sure holds back the critics as one of the first does."""
    from interalia.games.game import Outcome
    from interalia.learning import dynamics

    low, high = torch.zeros(4), torch.ones(4)
    for sure in ("a", "b"):
        game = build()
        scores = {"a": low, "fake_a": low, "b": low, "fake_b": low} | {sure: high}
        assert [float(p.mean() - q.mean()) for p, q in game.score_pairs(Outcome({}, scores))] == [
            sure == "a",
            sure == "b",
        ]
        moves = dynamics.Simultaneous(
            game,
            {player: SGD(game.parameters_of(player), lr=0.1) for player in game.players},
            dynamics.UpdateOptions(skip_critic_above=0.9),
        )
        zero = {player: sum(p.sum() * 0 for p in game.parameters_of(player)) for player in game.players}
        game.forward = lambda *_, zero=zero, scores=scores: Outcome(zero, scores)  # type: ignore[method-assign, assignment]
        moves.step(itertools.repeat((low,)))
        assert moves.critic_auc == 1.0
        assert moves.skips("critic")
