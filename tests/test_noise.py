"""Random numbers are a function of a key, their purpose and their row: of no count, no batch, and of nothing between."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import examples
import numpy as np
import pytest
import torch
from program import interalia as command
from torch import Tensor, nn

import interalia
from interalia import contexts, games, tasks
from interalia.adversarial.disturbances import Augmentation, Disturbance, InstanceNoise
from interalia.conditionals import CONDITIONALS
from interalia.contexts import draw_noise, keyed, keyed_evaluation, keyed_repeats, normal_like
from interalia.networks.layers import Dropout
from interalia.runs import Run
from interalia.training import checkpoint, engine
from interalia.training.callbacks import Callback

LIKE = torch.empty(0)
KINDS: dict[str, tuple[int | None, ...]] = {"normal": (), "uniform": (), "random": (0, 1000), "bits": contexts.ALL_BITS}
ROWS = [(), (1,), (5,), (2, 3), (1024,), (40, 40)]  # a row of 1,024 numbers or more is drawn in smaller blocks


def draw(rows: int, row: tuple[int, ...] = (3,), kind: Any = "normal", purpose: str = "a", first: int = 0) -> Tensor:
    with keyed(7, 1, first=first):
        return draw_noise(purpose, "random" if kind == "bits" else kind, (rows, *row), LIKE, *KINDS[kind])


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_depends_neither_on_their_number_nor_on_the_first(kind: str, row: tuple[int, ...]) -> None:
    whole = draw(150, row, kind)
    assert whole.shape == (150, *row)
    for first, rows in ((0, 1), (0, 64), (0, 65), (63, 2), (15, 2), (64, 64), (70, 80), (149, 1), (3, 0)):
        assert torch.equal(draw(rows, row, kind, first=first), whole[first : first + rows])


def test_the_numbers_are_those_of_a_seed_that_is_written_down() -> None:
    """A change of them changes every run: this shows it."""
    seed = int.from_bytes(hashlib.blake2b(b"7 1 a 0 0", digest_size=8).digest(), "little")
    blocks = [torch.empty(64, 3).normal_(generator=torch.Generator().manual_seed(seed + i)) for i in range(2)]
    assert torch.equal(draw(100), torch.cat(blocks)[:100])
    assert draw(3, (), "random").tolist() == [793, 790, 677]
    assert np.array_equal(draw(5, (2,), "bits", first=3), np.random.PCG64(seed).random_raw((8, 2))[3:].view(np.int64))


def test_keys_purposes_and_draws_are_apart() -> None:
    with keyed(7, 1):
        found = [draw_noise(purpose, "normal", (64, 3), LIKE) for purpose in ("a", "b", "a")]
    with keyed(7, 2):
        found.append(draw_noise("a", "normal", (64, 3), LIKE))
    with keyed(71):
        found.append(draw_noise("a", "normal", (64, 3), LIKE))
    assert torch.equal(found[0], draw(64))
    assert len({float(tensor[0, 0]) for tensor in found}) == len(found)


def test_the_order_of_purposes_does_not_matter() -> None:
    with keyed(7, 1):
        b, a = (draw_noise(purpose, "normal", (5, 3), LIKE) for purpose in "ba")
    assert torch.equal(a, draw(5))
    assert torch.equal(b, draw(5, purpose="b"))


def test_what_is_shared_by_a_batch_is_drawn_whole() -> None:
    with keyed(0, rows=4, first=0):
        first = draw_noise("basis", "normal", (10, 2), LIKE, shared=True)
    with keyed(0, rows=4, first=4):
        assert torch.equal(draw_noise("basis", "normal", (10, 2), LIKE, shared=True), first)


def test_samples_of_a_batch_lie_sample_by_sample_or_in_succession() -> None:
    """30 rows and 10 that have labels, cut for 2 processes."""

    def noise(rows: int, first: int) -> tuple[Tensor, ...]:
        with keyed(0, rows=rows, first=first):
            joined = draw_noise("a", "normal", (2 * rows + rows // 3, 2), LIKE)
            with keyed_repeats(5):
                return *joined.split([rows, rows, rows // 3]), draw_noise("b", "normal", (5 * rows, 2), LIKE)

    whole, halves = noise(30, 0), (noise(15, 0), noise(15, 15))
    for part, *cut in zip(whole, *halves, strict=True):
        assert torch.equal(part, torch.cat(cut))


def test_outside_of_a_key_they_are_those_of_torch() -> None:
    torch.manual_seed(3)
    found = [normal_like(torch.zeros(5, 4)), draw_noise("a", "uniform", (5,), LIKE)]
    found.append(draw_noise("a", "random", (5,), LIKE, 2, 9))
    torch.manual_seed(3)
    for ours, theirs in zip(found, (torch.randn(5, 4), torch.rand(5), torch.randint(2, 9, (5,))), strict=True):
        assert torch.equal(ours, theirs)


def test_they_leave_the_state_of_torch_alone_and_a_private_one_leaves_them_alone() -> None:
    before = torch.get_rng_state()
    draw(10)
    assert torch.equal(torch.get_rng_state(), before)
    with keyed(7, 1):
        with contexts.private_rng(torch.device("cpu"), 5):
            other = draw_noise("a", "normal", (3, 3), LIKE)
        assert torch.equal(draw_noise("a", "normal", (3, 3), LIKE), draw(3))
    torch.manual_seed(5)
    assert torch.equal(other, torch.randn(3, 3))


def test_moments_and_correlations() -> None:
    """Of 40 steps, 2 purposes and 3 blocks: each with each other, in units of the standard error."""
    blocks = []
    for step in range(40):
        with keyed(0, step):
            for purpose in ("prior", "conditional"):
                blocks += draw_noise(purpose, "normal", (192, 50), LIKE).split(64)
    numbers = torch.stack(blocks).flatten(1)
    count = numbers.shape[1] ** 0.5
    assert numbers.mean().abs() * numbers.numel() ** 0.5 < 4
    assert (numbers.var() - 1).abs() * (numbers.numel() / 2) ** 0.5 < 4
    between = (numbers @ numbers.t() / count).fill_diagonal_(0)
    assert between.abs().max() < 5.5  # of 28,680 pairs
    assert 0.97 < between.square().sum() / (len(blocks) * (len(blocks) - 1)) < 1.03
    uniform = torch.cat([draw(64, (64,), "uniform", first=64 * i) for i in range(8)])
    assert 0 <= uniform.min() < uniform.max() < 1
    assert (uniform.mean() - 0.5).abs() * (12 * uniform.numel()) ** 0.5 < 4
    integers = torch.bincount(draw(6400, (2,), "random").flatten(), minlength=1000)
    assert len(integers) == 1000
    assert (integers - 12.8).square().sum() / 12.8 < 1000 + 4 * 2000**0.5


@pytest.mark.parametrize("shape", [(6, 7), (6, 3, 4, 5), (6,)], ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_dropout_is_a_rows_own(shape: tuple[int, ...], last: bool) -> None:
    x, drop = torch.ones(shape), Dropout(0.5)
    x = x.contiguous(memory_format=torch.channels_last) if last and len(shape) == 4 else x
    with keyed(0):
        whole = drop(x)
    assert whole.stride() == x.stride()
    with keyed(0):
        assert torch.equal(drop(x[:4]), whole[:4])
    assert 0 < whole.count_nonzero() < whole.numel()
    assert set(whole.unique().tolist()) == {0.0, 2.0}


# --- games ----------------------------------------------------------------------------------------------------------

CASES = {name: name for name in games.REGISTRY} | {
    "vae-samples": "vae(samples=3)", "avb-contrast": "avb(contrast=True)", "alice-cycle": "alice(cycle=2.0)",
    "ali-sleep": "ali(sleep=1.0)",
}  # fmt: skip


def joints(game: games.Game, batch: tuple[Tensor, ...], first: int) -> dict[str, tuple[Tensor, ...]]:
    with keyed(3, 4, first=first), keyed_evaluation(batch), torch.no_grad():
        return dict(game.sample(*batch))


def check_halves(game: games.Game) -> None:
    game.eval()
    batch = examples.batch(game)
    halves = [part.chunk(2) for part in batch]
    whole = joints(game, batch, 0)
    first, second = (joints(game, tuple(part[i] for part in halves), 8 * i) for i in range(2))
    for name, parts in whole.items():
        for part, *both in zip(parts, first[name], second[name], strict=True):
            torch.testing.assert_close(torch.cat(both), part, msg=name)


@pytest.mark.parametrize("case", CASES)
def test_two_halves_of_a_batch_are_the_whole(case: str) -> None:
    """As two processes draw them: rank 0 of 2 has the first half of the rows, and rank 1 the second."""
    check_halves(examples.build(CASES[case]))


@pytest.mark.parametrize("encoder", CONDITIONALS)
def test_two_halves_with_every_encoder(encoder: str) -> None:
    game = "vae" if encoder in ("hamiltonian", "recurrent") else "ali"
    drawn = {"networks": "draw(width=4, glimpses=3)", "latent_dim": 6, "shape": (1, 8, 8)}
    check_halves(examples.build(game, encoder=encoder, **(drawn if encoder == "recurrent" else {})))  # type: ignore[arg-type]


@pytest.mark.parametrize("changed", [InstanceNoise(0.5), Augmentation("colour,translation,cutout,flip", 0.5)])
def test_two_halves_with_noise_and_augmentation(changed: Disturbance) -> None:
    x = torch.rand(40, 1, 9, 9, generator=torch.Generator().manual_seed(0))

    def disturbed(rows: slice) -> Tensor:
        with keyed(0, rows=len(x[rows]), first=rows.start):
            return torch.cat([changed((x[rows],))[0] for _ in range(2)], dim=1)  # of the data and of samples

    whole = disturbed(slice(0, 40))
    assert torch.equal(torch.cat([disturbed(slice(0, 20)), disturbed(slice(20, 40))]), whole)
    assert not torch.equal(whole[:, 0], whole[:, 1])


# --- tasks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["gaussian", "implicit", "basis-noise", "flow", "iaf", "planar", "auxiliary"])
def test_sample_k_depends_neither_on_the_count_nor_on_the_batch(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    game = (
        examples.build("vae" if encoder not in ("implicit", "basis-noise") else "ali", encoder=encoder).float().eval()
    )
    x = torch.rand(130, *examples.FLAT, generator=torch.Generator().manual_seed(0))

    def made(count: int) -> list[Tensor]:
        some = x[:count]
        return [
            tasks.sample_latents(game, count, 2), tasks.generate(game, count, 2, sample=True),
            tasks.encode(game, some, 2, sample=True), tasks.encode(game, some, 2), tasks.features(game, some, 2),
            tasks.reconstruct(game, some, 2), tasks.interpolate(game, some, some.flip(1), 3, seed=2),
            tasks.project(game, some, 2, seed=2),
        ]  # fmt: skip

    whole = made(130)
    monkeypatch.setattr("interalia.tasks.calling.BATCH", 50)
    for few in (130, 60, 3):
        for part, found in zip(whole, made(few), strict=True):
            torch.testing.assert_close(found, part[:few])


@pytest.mark.parametrize("fields", [{"labels": 3}, {"labels": 3, "game": "gan"}], ids=str)
def test_labels_of_samples_depend_on_no_count(fields: dict[str, Any]) -> None:
    game = examples.build(fields.get("game", "ali"), labels=3)
    assert torch.equal(tasks.sample_condition(game, 200, 1)[0][:7], tasks.sample_condition(game, 7, 1)[0])
    assert not torch.equal(tasks.sample_condition(game, 7, 1)[0], tasks.sample_condition(game, 7, 2)[0])


def test_noise_of_encoding_is_not_that_of_decoding() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([0 * x, 0 * x], dim=1)

    game = games.ALI(
        interalia.conditionals.Gaussian(Same()), interalia.conditionals.Gaussian(Same()), nn.Identity(),
        interalia.conditionals.StandardNormal(2),
    )  # fmt: skip
    game.register_parameter("place", nn.Parameter(torch.zeros(1)))
    z = tasks.encode(game, torch.zeros(400, 2), 1, sample=True)
    x = tasks.decode(game, torch.zeros(400, 2), 1, sample=True)
    prior = tasks.sample_latents(game, 400, 1)
    for a, b in ((x, z), (x, prior), (z, prior)):
        assert (a * b).mean().abs() < 4 / 800**0.5


# --- training -------------------------------------------------------------------------------------------------------


def run(**settings: Any) -> Run:
    return Run(**{
        "game": "ali", "data": "digits", "networks": "mlp(width=8)", "steps": 6, "batch_size": 10, "latent_dim": 3,
        "device": "cpu", "precision": "fp32", "evaluate_every": 0, **settings,
    })  # fmt: skip


class Draws(Callback):
    """Draws random numbers of all kinds after each step, as an evaluation may."""

    def step(self, training: Any, outcome: Any) -> None:
        torch.rand(training.step)
        draw(5)
        tasks.generate(training.game, 3, 1, sample=True)
        tasks.encode(training.game, torch.zeros(2, 1, 8, 8), sample=True)


def weights(trained: Any) -> list[Tensor]:
    return [p.detach().clone() for p in trained.game.state_dict().values()]


@pytest.mark.parametrize(
    "settings",
    [
        {"game": "ali", "instance_noise": "constant(std=0.1)", "penalty": "wgan-gp"},
        {"game": "avb(contrast=True)", "encoder": "basis-noise", "binarize": "dynamic", "grad_accumulation": 2},
        {"game": "vae(samples=2)", "encoder": "flow", "dynamics": "extragradient"},
        {"game": "alice", "dynamics": "one-stage"},
    ],
    ids=lambda settings: settings["game"],
)
def test_what_is_drawn_between_steps_changes_no_weight(settings: dict[str, Any]) -> None:
    quiet, loud = (engine.train(run(**settings), callbacks=list(callbacks)) for callbacks in ((), (Draws(),)))
    assert all(torch.equal(a, b) for a, b in zip(weights(quiet), weights(loud), strict=True))


def test_steps_and_evaluations_draw_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[tuple[Any, ...]] = []
    seed = contexts.NoiseKey.seed

    def noted(self: contexts.NoiseKey, *purpose: Any) -> int:
        keys.append((*self.key, *purpose))
        return seed(self, *purpose)

    monkeypatch.setattr(contexts.NoiseKey, "seed", noted)
    engine.train(run(steps=3, grad_accumulation=2, dynamics="alternating", seed=5, binarize="dynamic"), callbacks=[])
    assert len(set(keys)) == len(keys)
    assert {key[:2] for key in keys} == {(5, 0), (5, 1), (5, 2)}
    assert {key[2] for key in keys if isinstance(key[2], int)} == {0, 1, 2, 3}  # of two players, two batches each


def test_a_checkpoint_of_an_older_version_goes_on_and_a_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.train(run(), tmp_path / "run", callbacks=None)
    capsys.readouterr()
    assert "older version" not in resumed(tmp_path / "run", 8, capsys)
    for file in (tmp_path / "run/checkpoints").glob("*.pt"):
        torch.save({**checkpoint.read(file), "format": 3}, file)
    text = resumed(tmp_path / "run", 10, capsys)
    assert "is of an older version, whose next steps would draw other random numbers" in text
    assert "older version" not in resumed(tmp_path / "run", 12, capsys)


def resumed(folder: Path, steps: int, capsys: pytest.CaptureFixture[str]) -> str:
    engine.train(run(steps=steps), folder, resume=True)
    return capsys.readouterr().err


def test_commands_with_more_samples_begin_with_those_of_fewer(tmp_path: Path) -> None:
    engine.train(run(condition_on="labels"), tmp_path / "run", callbacks=None)
    commands = {
        "generate": ("--count", "--sample"), "encode": ("--count", "--sample"), "reconstruct": ("--count",),
        "interpolate": ("--pairs",), "complete": ("--count", "--refine-steps", "2"),
    }  # fmt: skip
    for name, (count, *more) in commands.items():
        found = []
        for number in ("2", "71"):
            given = [count, number, *more, "--seed", "3", "--out", str(tmp_path / f"{name}{number}.npz")]
            assert command(name, tmp_path / "run", *given) == 0
            found.append(np.load(tmp_path / f"{name}{number}.npz"))
        few, many = found
        for key in set(few.files) - {"files", "mask"}:
            assert len(few[key]) == 2
            np.testing.assert_allclose(few[key], many[key][:2], rtol=0, atol=1e-5, err_msg=f"{name} {key}")
