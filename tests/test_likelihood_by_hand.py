"""How estimates of log p(x) are taken, bounds from weights, and kernel density estimates: by hand, on a few numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tables import anew, defaults
from torch import Tensor, nn
from torch.distributions import Normal

from interalia import UserError, tasks
from interalia.conditionals import Deterministic, Gaussian, Implicit, StandardNormal
from interalia.errors import at_least_one
from interalia.games import AVB, GAN, VAE
from interalia.metrics import likelihood
from interalia.metrics.likelihood import bounds, estimate, hamiltonian, kernel
from interalia.networks.mlp import MLP, PairCritic
from interalia.spaces import DataSpec


def rows(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def game() -> VAE:
    torch.manual_seed(0)
    return VAE(Gaussian(nn.Linear(3, 4)), Deterministic(nn.Linear(2, 3)), StandardNormal(2), sigma=0.7).double()


X = rows([0.5, -1.0, 2.0], [1.5, 0.25, -0.75])
C = rows([0.5, 1.0], [2.0, -0.5], [1.5, 3.0])
GRID = tuple(math.exp(math.log(0.02) + i * math.log(1.05)) for i in range(67))


DRAWN = {"seed": 0, "binarized": "as given"}


@pytest.mark.parametrize(
    ("name", "documented", "given"),
    [
        ("elbo", {"samples": 100, "rows": None, **DRAWN}, (None, X[:0])),
        ("importance_bound", {"samples": 5000, "rows": None, **DRAWN}, (None, X[:0])),
        (
            "kernel_estimate",
            {"samples": 10_000, "y": None, **DRAWN},
            (SimpleNamespace(data=DataSpec(condition=2)), X, X),
        ),
        ("cross_validated_bandwidth", {"folds": 3, "grid": None, "seed": 0}, (C[:2],)),
        ("held_out_bandwidth", {"grid": None}, (C, X)),
    ],
)
def test_defaults_are_the_documented_ones(name: str, documented: dict[str, Any], given: tuple[Any, ...]) -> None:
    with pytest.raises(UserError):
        getattr(likelihood, name)(*given)
    module = bounds if "samples" in documented and "rows" in documented else kernel
    assert defaults(getattr(likelihood, name)) == defaults(getattr(anew(module), name)) == documented


def test_constants_are_the_documented_ones(game: VAE) -> None:
    assert 1 <= estimate.max_rows(game) <= 1024
    fresh = anew(estimate)
    assert (fresh.ROWS, fresh.WIDE, fresh.SHARE, fresh.COPIES, fresh.GIVEN) == (
        {"cpu": 1024},
        65_536,
        0.25,
        4,
        "as given",
    )
    assert kernel.max_pairs() <= 4_194_304
    fresh = anew(kernel)
    assert (fresh.PAIRS, fresh.BYTES, fresh.LEAST_POINTS) == (4_194_304, 24, 256)
    assert kernel._best_bandwidth([1.0], 1, lambda grid, n: torch.zeros(len(grid))) == 1
    assert (fresh.SCOUTS, fresh.NARROWED) == (2000, 5)


def test_the_grid_goes_from_2_to_50_hundredths_in_steps_of_5_percent() -> None:
    grid = anew(kernel).GRID
    assert grid == kernel.GRID
    assert grid == pytest.approx(GRID)
    assert (len(grid), grid[0], round(grid[-1], 4)) == (67, 0.02, 0.5006)


@pytest.mark.parametrize(
    ("module", "name"),
    [(estimate, "Estimate"), (estimate, "Sandwich"), (kernel, "Likelihood"), (hamiltonian, "Bridge")],
)
def test_results_are_frozen(module: Any, name: str) -> None:
    kind = getattr(anew(module), name)
    found = kind(*(1 for _ in dataclasses.fields(kind)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(found, dataclasses.fields(kind)[0].name, 2)
    assert defaults(kind) == ({"acceptance": None, "check": None} if name == "Estimate" else {})


# ---- estimates


def test_a_sandwich_by_hand() -> None:
    found = estimate.Sandwich(rows(-5.0, -7.0, -4.5), rows(-4.0, -3.0, -4.0), 0.625, 3, "settings")
    assert found.gap == pytest.approx((1 + 4 + 0.5) / 3)
    mean = 5.5 / 3
    spread = math.sqrt(((1 - mean) ** 2 + (4 - mean) ** 2 + (0.5 - mean) ** 2) / 2)
    assert found.error == pytest.approx(spread / math.sqrt(3))
    assert not found.interrupted
    assert dataclasses.replace(found, images=4).interrupted
    assert found.description == "1.83 ± 1.1 nats between the bounds of 3 of 3 simulated images, acceptance 0.62"
    assert "bounds of 3 of 1,200 simulated" in dataclasses.replace(found, images=1200).description


def test_an_estimate_by_hand() -> None:
    found = estimate.Estimate("elbo", rows(-1.0, -4.0), torch.tensor([0, 2]), 2, "K draws; seed 3")
    assert (found.mean, found.error) == (-2.5, pytest.approx(1.5))  # s = 3 / sqrt 2
    assert not found.interrupted
    assert found.description == "2 of 2 images; K draws; seed 3"
    part = dataclasses.replace(found, images=3)
    assert part.interrupted
    assert part.description == "2 of 3 images, interrupted: a random part of them; K draws; seed 3"
    chains = dataclasses.replace(found, acceptance=0.0)
    assert chains.description == "2 of 2 images; K draws; seed 3; acceptance 0.00; no bidirectional check"
    check = estimate.Sandwich(rows(-5.0, -7.0), rows(-4.0, -3.0), 0.625, 2, "settings")
    words = dataclasses.replace(chains, check=check, acceptance=0.7).description
    assert words == f"2 of 2 images; K draws; seed 3; acceptance 0.70; bidirectional check: {check.description}"
    assert "check" not in dataclasses.replace(found, check=check).description  # which belongs to chains


def test_one_image_has_no_standard_error() -> None:
    assert math.isnan(estimate.standard_error(rows(3.0)))
    assert estimate.standard_error(rows(3.0, 5.0)) == pytest.approx(1)


# ---- what is checked before anything is computed


def test_counts_begin_at_one() -> None:
    at_least_one(chains=1, temperatures=2)
    at_least_one()
    for count in (0, -1):
        with pytest.raises(UserError, match=f"`leapfrog` is {count}"):
            at_least_one(chains=1, leapfrog=count)


def test_images_are_checked_on_one_of_zeros_before_their_values(game: VAE) -> None:
    asked: list[Tensor] = []
    game.log_joint = lambda x, z: asked.append((x, z, game.training, torch.is_grad_enabled()))  # type: ignore[assignment, return-value]
    before = torch.get_rng_state()
    estimate.check_inputs(game.train(), X.float())
    ((x, z, training, gradients),) = asked
    assert torch.equal(x, torch.zeros(1, 3, dtype=torch.float64))
    assert (z.shape, z.dtype) == ((1, 2), torch.float64)
    assert (training, gradients) == (False, False)
    assert game.training
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_image_is_refused(game: VAE) -> None:
    estimate.check_inputs(game, X)
    for bad, words in (
        (X[:0], "no images"),
        (torch.cat([X, X * math.inf]), "NaN or infinite"),
        (torch.cat([X, X * math.nan]), "NaN or infinite"),
    ):
        with pytest.raises(UserError, match=words):
            estimate.check_inputs(game, bad)
    game.data = DataSpec((4,))
    with pytest.raises(UserError, match="resize or convert"):
        estimate.check_inputs(game, X)


def test_a_game_without_a_prior_is_refused_by_its_density() -> None:
    gan = GAN(Deterministic(MLP(2, 3)), MLP(3, 1), StandardNormal(2))
    with pytest.raises(UserError, match="no density"):
        estimate.check_inputs(gan, X.float())
    del gan.prior
    with pytest.raises(UserError, match="no density"):
        estimate.check_inputs(gan, X.float())


@pytest.mark.parametrize("wrong", [0.3, -1.0, 2.0])
def test_zeros_and_ones_are_asked_of_a_game_of_zeros_and_ones_alone(game: VAE, wrong: float) -> None:
    x = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, wrong]]).double()
    estimate.check_inputs(game, x)
    game.likelihood = "bernoulli"
    game.decoder = Deterministic(nn.Sequential(nn.Linear(2, 3), nn.Sigmoid())).double()
    estimate.check_inputs(game, x[:1])
    with pytest.raises(UserError, match=f"such as {wrong:.3g}; binarize"):
        estimate.check_inputs(game, x)


# ---- memory


def memory(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> float:
    """Bytes that are free by files of the system that say `files`."""

    class Elsewhere(type(folder)):  # type: ignore[misc]
        def __new__(cls, path: str) -> Any:
            return folder / path.strip("/").replace("/", "_")

    for name, text in files.items():
        place = folder / {"meminfo": "proc_meminfo"}.get(name, f"sys_fs_cgroup/memory.{name}")
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    monkeypatch.setattr(estimate, "Path", Elsewhere)
    return estimate.free_bytes(torch.device("cpu"))


MEMINFO = "MemTotal:  9000 kB\nMemFree:  10 kB\nno colon\nMemAvailable:   3000 kB\nTwo: colons: kB\n"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"meminfo": MEMINFO}, 3000 * 1024),
        ({"meminfo": MEMINFO, "max": "max\n", "current": "5\n"}, 3000 * 1024),  # a group without a limit
        ({"meminfo": MEMINFO, "max": "4000\n", "current": "1500\n"}, 2500),
        ({"meminfo": MEMINFO, "max": "9000000000\n", "current": "1500\n"}, 3000 * 1024),
        ({"max": "4000", "current": "1500"}, 2500),
        ({"max": "4000", "current": "4500"}, 0),
        ({"meminfo": "MemTotal: 9000 kB\n"}, 4096 * 1000 / 4),
        ({}, 4096 * 1000 / 4),
        ({"max": "4000"}, 4096 * 1000 / 4),
    ],
)
def test_free_memory_is_the_least_that_any_file_says(
    files: dict[str, str], free: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr(estimate, "os", SimpleNamespace(sysconf=system.__getitem__))
    assert memory(tmp_path, monkeypatch, **files) == free


def test_an_accelerators_memory_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "free_memory", lambda device: 7.0 if device.type == "cuda" else 5.0)
    assert estimate.free_bytes(torch.device("cuda")) == 7
    assert estimate.free_bytes(torch.device("mps")) == 5


@pytest.mark.parametrize(("kind", "size"), [(torch.float32, 4), (torch.float64, 8)])
def test_a_row_takes_what_every_layer_answers_and_x(kind: torch.dtype, size: int) -> None:
    decoder = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 3), nn.Sigmoid()))
    game = VAE(Gaussian(nn.Linear(3, 4)), Deterministic(decoder), StandardNormal(2)).to(kind)
    assert estimate.bytes_per_row(game) == size * (5 + 5 + 3 + 3 + 3)
    assert all(not module._forward_hooks for module in game.modules())


def test_layers_that_answer_no_tensor_take_nothing_and_a_row_takes_something() -> None:
    class Two(nn.Module):
        def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
            assert not torch.is_grad_enabled()
            return z, z

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, z: Tensor) -> Any:
            return SimpleNamespace(mean=self.two(z)[0])

    decoder = Decoder()
    game: Any = SimpleNamespace(decoder=decoder, prior=StandardNormal(3))
    assert estimate.bytes_per_row(game) == 4 * 3
    decoder.two.forward = lambda z: (z[:, :0], z)  # type: ignore[method-assign, assignment]
    assert estimate.bytes_per_row(game) == 1


@pytest.mark.parametrize(
    ("kind", "free", "fit"),
    [
        ("cpu", 16 * 80 * 100, 100),
        ("cpu", 16 * 80 * 100 - 1, 99),
        ("cpu", 16 * 80 * 5000, 1024),
        ("cpu", 0, 1),
        ("cuda", 16 * 80 * 5000, 5000),
        ("cuda", 16 * 80 * 1e6, 65_536),
    ],
)
def test_a_quarter_of_the_free_memory_is_taken_for_four_copies(
    kind: str, free: float, fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(estimate, "device_of", lambda game: torch.device(kind))
    monkeypatch.setattr(estimate, "bytes_per_row", lambda game: 80)
    monkeypatch.setattr(estimate, "free_bytes", lambda device: asked.append(device.type) or float(free))
    assert estimate.max_rows(None) == fit  # type: ignore[arg-type]
    assert asked == [kind]


# ---- chunks of images in a random order


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a progress bar is given: its words and length, and every advance."""
    given: list[Any] = []

    @contextlib.contextmanager
    def progress(about: str, total: float) -> Iterator[Callable[[float], None]]:
        given.append((about, total))
        yield given.append

    monkeypatch.setattr(estimate, "progress", progress)
    return given


def test_images_are_gathered_in_their_own_order(bar: list[Any]) -> None:
    met: list[list[int]] = []

    def work(index: Tensor, tell: Callable[[float], None]) -> Tensor:
        met.append(index.tolist())
        tell(0.25)
        tell(0.5)
        return torch.stack([index * 2.0, index * index], dim=1)

    which, values = estimate.in_chunks(7, 3, 5, "words", work)
    assert which.tolist() == list(range(7))
    assert values.tolist() == [[2.0 * i, i * i] for i in range(7)]
    assert values.dtype == torch.float64
    order = torch.randperm(7, generator=torch.Generator().manual_seed(5)).tolist()
    assert met == [order[:3], order[3:6], order[6:]]
    assert order != list(range(7))
    assert bar == [("words", 7), 0.75, 1.5, 0.75, 0.75, 1.5, 0.75, 0.25, 0.5, 0.25]
    met.clear()
    estimate.in_chunks(7, 3, 6, "words", work)
    assert met[0] != order[:3]


def test_numbers_too_small_to_be_normal_are_flushed_meanwhile(bar: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[str] = []

    @contextlib.contextmanager
    def flushed() -> Iterator[None]:
        inside.append("in")
        yield
        inside.append("out")

    def work(index: Tensor, tell: object) -> Tensor:
        inside.append("work")
        return index[:, None].double()

    monkeypatch.setattr(estimate, "flush_denormals", flushed)
    estimate.in_chunks(2, 2, 0, "words", work)
    assert inside == ["in", "work", "out"]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_interruption_leaves_the_chunks_before_it(done: int, bar: list[Any]) -> None:
    met: list[int] = []

    def work(index: Tensor, tell: object) -> Tensor:
        if len(met) == 2 * done:
            raise KeyboardInterrupt
        met.extend(index.tolist())
        return index[:, None] + 0.5

    if not done:
        with pytest.raises(KeyboardInterrupt, match="before the first chunk of 2 images"):
            estimate.in_chunks(5, 2, 0, "words", work)
        with pytest.raises(KeyboardInterrupt, match="before the first chunk of 5 images"):
            estimate.in_chunks(5, 9, 0, "words", work)
        return
    which, values = estimate.in_chunks(5, 2, 0, "words", work)
    assert which.tolist() == sorted(met)
    assert values[:, 0].tolist() == [i + 0.5 for i in sorted(met)]
    assert len(which) == 2 * done


def test_a_mistake_in_the_work_is_no_interruption(bar: list[Any]) -> None:
    def work(index: Tensor, tell: object) -> Tensor:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        estimate.in_chunks(5, 2, 0, "words", work)


# ---- bounds


def draws(game: VAE, samples: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Tensor], list[Tensor]]:
    """The parts of the weights of X, and those by torch's distributions from the draws that were made."""
    fine, made = bounds.rsample_with_log_prob, []

    def noted(q: Any) -> Any:
        made.append(fine(q))
        return made[-1]

    monkeypatch.setattr(bounds, "rsample_with_log_prob", noted)
    with torch.no_grad():
        parts = list(bounds.log_weights(game, X, samples, chunk))
        want = []
        for z, _ in made:
            some = z.unflatten(0, (2, -1))
            mean, log_sigma = game.encoder.network(X)[:, None].chunk(2, dim=-1)
            assert float(log_sigma.exp().max()) < 2  # below the bend
            log_q = Normal(mean, log_sigma.exp()).log_prob(some).sum(-1)
            log_p = Normal(0.0, 1.0).log_prob(some).sum(-1)
            log_x = Normal(game.decoder.network(some), 0.7).log_prob(X[:, None]).sum(-1)
            want.append(log_x + log_p - log_q)
    return parts, want


def test_weights_are_those_of_the_draws(game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, want = draws(game, 7, 3, monkeypatch)
    assert [part.shape for part in parts] == [(2, 3), (2, 3), (2, 1)]
    for part, one in zip(parts, want, strict=True):
        assert part.numpy() == pytest.approx(one.numpy(), rel=1e-9)
        assert part.dtype == torch.float64
    assert not torch.equal(parts[0], parts[1])
    parts, _ = draws(game.float().double(), 6, 3, monkeypatch)
    assert [part.shape for part in parts] == [(2, 3), (2, 3)]


def test_weights_of_a_game_in_float32_are_summed_in_float64(game: VAE) -> None:
    with torch.no_grad():
        (part,) = bounds.log_weights(game.float(), X.float(), 2, 9)
    assert part.dtype == torch.float64


def test_a_mean_and_a_log_mean_over_parts_by_hand() -> None:
    parts = [rows([1.0, 2.0], [0.5, -3.0]), rows([7.5], [2.0])]
    assert bounds.mean_of(iter(parts)).tolist() == pytest.approx([3.5, -0.5 / 3])
    weights = [[1.0, 2.5, 3.0], [0.5, 4.0, 0.25]]
    logs = rows(*[[math.log(w) for w in row] for row in weights])
    found = bounds.log_mean_exp(iter([logs[:, :2], logs[:, 2:]]))
    assert found.tolist() == pytest.approx([math.log(6.5 / 3), math.log(4.75 / 3)])
    assert found.dtype == torch.float64
    low = bounds.log_mean_exp(iter([logs[:, :1] - 2000, logs[:, 1:] - 2000]))
    assert low.tolist() == pytest.approx([math.log(6.5 / 3) - 2000, math.log(4.75 / 3) - 2000])


def faked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Weights k x_1 for the k-th draw, in place of a game's; what was asked for is noted."""
    asked: list[Any] = []

    def weights(game: Any, x: Tensor, samples: int, chunk: int) -> Iterator[Tensor]:
        asked.append((len(x), samples, chunk, x.dtype, game.training, torch.is_grad_enabled()))
        every = x[:, :1] * torch.arange(1, samples + 1)
        yield from every.split(chunk, dim=1)

    monkeypatch.setattr(bounds, "log_weights", weights)
    return asked


@pytest.mark.parametrize(("name", "bound"), [("elbo", likelihood.elbo), ("iwae", likelihood.importance_bound)])
def test_a_bound_is_the_mean_of_weights_or_the_log_of_it(
    name: str, bound: Any, game: VAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = faked(monkeypatch)
    x = torch.cat([X, 3 * X, -X]).float()
    found = bound(game.train(), x, samples=3, rows=7, seed=4, binarized="static")
    assert asked == [(2, 3, 3, torch.float64, False, False)] * 3
    assert game.training
    u = x[:, 0].double()
    mean = 2 * u
    log_mean = ((u.exp() + (2 * u).exp() + (3 * u).exp()) / 3).log()
    assert found.values.numpy() == pytest.approx((mean if name == "elbo" else log_mean).numpy(), rel=1e-9)
    assert found.rows.tolist() == list(range(6))
    assert (found.name, found.images, found.acceptance, found.check) == (name, 6, None, None)
    how = {"elbo": "3 draws", "iwae": "K = 3 draws"}[name]
    assert found.protocol == f"{how} of q(z | x); binarization: static; seed 4; 7 pairs (x, z) at once"


def test_few_rows_are_one_image_at_a_time_and_parts_of_its_draws(game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = faked(monkeypatch)
    found = likelihood.elbo(game, X, samples=5, rows=2)
    assert [one[:3] for one in asked] == [(1, 5, 2), (1, 5, 2)]
    assert found.values.tolist() == pytest.approx([1.5, 4.5])
    asked.clear()
    likelihood.elbo(game, X, samples=3, rows=5)
    assert [one[:3] for one in asked] == [(1, 3, 5), (1, 3, 5)]
    asked.clear()
    monkeypatch.setattr(bounds, "max_rows", lambda game: 2048)
    assert "2,048 pairs (x, z) at once" in likelihood.elbo(game, X, samples=1).protocol
    assert asked[0][:3] == (2, 1, 1024)
    assert likelihood.elbo(game, X, samples=1).protocol.startswith(
        "1 draw of q(z | x); binarization: as given; seed 0;"
    )
    assert likelihood.importance_bound(game, X, samples=1000).protocol.startswith("K = 1,000 draws of q(z | x)")


def test_a_bound_begins_its_draws_and_its_order_with_the_seed(game: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fine, in_chunks = bounds.evaluating, bounds.in_chunks

    def evaluating(*given: Any) -> Any:
        seen.append(given[1:])
        return fine(*given)

    def noted(images: int, chunk: int, seed: int, about: str, work: Any, device: Any) -> Any:
        seen.append((images, chunk, seed, about))
        return in_chunks(images, chunk, seed, about, work, device)

    monkeypatch.setattr(bounds, "evaluating", evaluating)
    monkeypatch.setattr(bounds, "in_chunks", noted)
    likelihood.elbo(game, X, samples=3, seed=9, rows=12)
    assert seen == [(9,), (2, 4, 9, "elbo of 2 images")]


def test_bounds_ask_for_an_encoder_with_a_density(game: VAE) -> None:
    avb = AVB(Implicit(MLP(3 + 4, 2), 4), Deterministic(MLP(2, 3)), PairCritic(MLP(5, 1)), StandardNormal(2))
    with pytest.raises(UserError, match=r"`estimator=\['ais'\]`"):
        likelihood.elbo(avb, X.float())
    del game.encoder
    with pytest.raises(UserError, match="has no encoder; a bound needs"):
        likelihood.elbo(game, X)
    with pytest.raises(UserError, match="`samples` is 0"):
        likelihood.importance_bound(game, X, samples=0)


# ---- kernels


def test_log_densities_of_three_centres_by_hand() -> None:
    x = rows([1.0, 0.5], [-2.0, 4.0])

    def density(point: list[float], h: float) -> float:
        each = [math.exp(-((point[0] - a) ** 2 + (point[1] - b) ** 2) / (2 * h * h)) for a, b in C.tolist()]
        return math.log(sum(each) / 3 / (2 * math.pi * h * h))

    found = likelihood.log_densities(x, C, [0.75, 2.0])
    want = [[density(point, h) for point in x.tolist()] for h in (0.75, 2.0)]
    assert found.numpy() == pytest.approx(torch.tensor(want).numpy(), rel=1e-5)
    assert found.dtype == torch.float64
    one = likelihood.kernel_likelihood(x, C, 0.75)
    assert one.mean == pytest.approx(sum(want[0]) / 2, rel=1e-5)
    assert one.error == pytest.approx(abs(want[0][0] - want[0][1]) / 2, rel=1e-5)  # s / sqrt 2 of two points
    assert (one.bandwidth, one.samples, one.points) == (0.75, 3, 2)


def test_a_faint_centre_counts_still() -> None:
    one = likelihood.log_densities(rows([0.0]), rows([0.0], [math.sqrt(40)]), [1.0])
    assert float(one) + math.log(2) + 0.5 * math.log(2 * math.pi) == pytest.approx(math.exp(-20), rel=1e-3)


def test_images_are_flattened() -> None:
    x, c = torch.rand(4, 1, 2, 3).double(), torch.rand(5, 6).double()
    flat = likelihood.log_densities(x.flatten(1), c, [0.3])
    assert torch.equal(likelihood.log_densities(x, c.view(5, 3, 1, 2), [0.3]), flat)


@pytest.mark.parametrize(("over", "kind"), [(0.999, torch.float32), (1.001, torch.float64)])
@pytest.mark.parametrize("farthest", ["point", "centre"])
def test_float32_serves_where_it_costs_less_than_a_tenth_of_a_nat(
    over: float, kind: torch.dtype, farthest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[torch.dtype] = []
    fine = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *given, **more: kinds.append(given[0].dtype) or fine(*given, **more))
    # centres at 10 -+ 1; the point at a distance r, and r^2 + 1 is the greatest sum of squared norms
    h = 0.5
    squares = 0.1 * 2 * h * h / 2**-23 * over
    c = rows([9.0], [11.0])
    x = rows([10 + math.sqrt(squares - 1)])
    if farthest == "centre":
        r = math.sqrt(squares - 0.25)
        c, x = rows([10 - r], [10 + r]), rows([10.5])
    likelihood.log_densities(x, c, [3.0, h])
    assert kinds == [kind]


def test_as_many_points_at_once_as_pairs_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    fine = torch.addmm
    monkeypatch.setattr(
        torch, "addmm", lambda *given, **more: shapes.append(tuple(given[1].shape)) or fine(*given, **more)
    )
    x = torch.arange(14.0, dtype=torch.float64).view(7, 2)
    for pairs, points in ((9, [3, 3, 1]), (11, [3, 3, 1]), (21, [7]), (2, [1] * 7)):
        monkeypatch.setattr(kernel, "max_pairs", lambda pairs=pairs: pairs)
        shapes.clear()
        likelihood.log_densities(x, C, [1.0])
        assert shapes == [(count, 2) for count in points]


def test_pairs_are_bounded_by_the_cache_and_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []
    monkeypatch.setattr(kernel, "free_bytes", lambda device: kinds.append(device.type) or 9600.0)
    assert kernel.max_pairs() == 100
    assert kinds == ["cpu"]
    monkeypatch.setattr(kernel, "free_bytes", lambda device: 1e12)
    assert kernel.max_pairs() == 2**22
    monkeypatch.setattr(kernel, "PAIRS", 50)
    assert kernel.max_pairs() == 50


@pytest.mark.parametrize(
    ("points", "samples", "bandwidths", "words"),
    [
        (C[0], C, [1.0], r"the points have the shape \(2,\)"),
        (C, C[0], [1.0], r"the samples have the shape \(2,\)"),
        (C[:0], C, [1.0], r"the points have the shape \(0, 2\)"),
        (C, C[:0], [1.0], r"the samples have the shape \(0, 2\)"),
        (C[:, :1], C, [1.0], "rows have 1 and 2 numbers"),
        (torch.cat([C, C / 0]), C, [1.0], "the points hold NaN"),
        (C, torch.cat([C, C / 0]), [1.0], "the samples hold NaN"),
        (C, C, [], "the bandwidths are"),
        (C, C, [1.0, 0.0], "the bandwidths are"),
        (C, C, [-1.0, 1.0], "the bandwidths are"),
        (C, C, [math.inf], "the bandwidths are"),
        (C, C, [1.0, math.nan], "the bandwidths are"),
    ],
)
def test_what_no_density_can_be_taken_of(points: Tensor, samples: Tensor, bandwidths: list[float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        likelihood.log_densities(points, samples, bandwidths)


def test_two_points_have_a_standard_error_and_one_has_none() -> None:
    assert likelihood.kernel_likelihood(C[:2], C, 1.0).points == 2
    with pytest.raises(UserError, match="there is 1; give more points"):
        likelihood.kernel_likelihood(C[:1], C, 1.0)


# ---- bandwidths


def test_cross_validation_leaves_each_fold_out_once() -> None:
    x = rows([0.0], [0.25], [1.0], [3.0], [3.5])

    def log_p(point: float, others: list[float], h: float) -> float:
        return math.log(
            sum(math.exp(-((point - c) ** 2) / (2 * h * h)) for c in others) / len(others) / h / 2.5066282746
        )

    want = []
    for h in (0.3, 1.1):
        folds = [[0.0, 0.25], [1.0, 3.0], [3.5]]
        want.append(sum(log_p(p, [q for g in folds if g is not f for q in g], h) for f in folds for p in f))
    assert kernel._cross_validated(x, 3, (0.3, 1.1)).tolist() == pytest.approx(want, rel=1e-5)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def score(samples: Tensor, folds: int, grid: Any) -> Tensor:
        calls.append((samples[:, 0].tolist(), folds, list(grid)))
        return torch.tensor([-abs(h - 1.1) for h in grid])

    monkeypatch.setattr(kernel, "_cross_validated", score)
    return calls


def test_folds_are_dealt_by_a_permutation_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = noted(monkeypatch)
    x = torch.arange(6.0)[:, None]
    assert likelihood.cross_validated_bandwidth(x, 2, [3.0, 1.0, 2.0], seed=3) == 1.0
    order = torch.randperm(6, generator=torch.Generator().manual_seed(3)).tolist()
    assert calls == [(order, 2, [1.0, 2.0, 3.0])]
    calls.clear()
    likelihood.cross_validated_bandwidth(x, 6, [1.0])
    assert calls == [(torch.randperm(6, generator=torch.Generator().manual_seed(0)).tolist(), 6, [1.0])]
    for folds in (1, 7):
        with pytest.raises(UserError, match=f"`folds` is {folds} for 6 samples"):
            likelihood.cross_validated_bandwidth(x, folds)
    monkeypatch.setattr(kernel, "SCOUTS", 4)
    calls.clear()
    likelihood.cross_validated_bandwidth(x, 2, [0.1 * i for i in range(1, 20)], seed=3)
    assert [some for some, *_ in calls] == [order[:4], order]


def test_the_validation_data_are_scored_under_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, list[float]]] = []

    def score(points: Tensor, samples: Tensor, grid: Any) -> Tensor:
        calls.append((len(points), len(samples), list(grid)))
        return torch.tensor([[-abs(h - 0.9), -1.0 + h / 2] for h in grid])

    monkeypatch.setattr(kernel, "log_densities", score)
    # the sums are -0.8 + ..: 0.5 -> -1.15, 0.9 -> -0.55, 1.0 -> -0.6
    assert likelihood.held_out_bandwidth(torch.zeros(5, 2), torch.zeros(3, 2), [1.0, 0.5, 0.9]) == 0.9
    assert calls == [(3, 5, [0.5, 0.9, 1.0])]


class Peak:
    """A score with one peak at a grid point, elsewhere for the scouts; notes which part of the grid is asked for."""

    def __init__(self, full: int, scouts: int) -> None:
        self.peaks = {9: full, 4: scouts}
        self.asked: list[tuple[int, int, int]] = []

    def __call__(self, grid: Any, n: int) -> Tensor:
        self.asked.append((int(grid[0]), int(grid[-1]), n))
        return torch.tensor([-((h - self.peaks[n]) ** 2) for h in grid])


@pytest.mark.parametrize(
    ("count", "full", "scouts", "asked"),
    [
        (20, 10, 10, [(0, 19, 4), (8, 12, 9)]),
        (20, 9, 10, [(0, 19, 4), (8, 12, 9)]),
        (20, 8, 10, [(0, 19, 4), (8, 12, 9), (6, 10, 9)]),  # at the end of the part: it moves on
        (20, 12, 10, [(0, 19, 4), (8, 12, 9), (10, 14, 9)]),
        (20, 3, 10, [(0, 19, 4), (8, 12, 9), (6, 10, 9), (4, 8, 9), (2, 6, 9)]),
        (20, 0, 1, [(0, 19, 4), (0, 3, 9)]),
        (20, 19, 18, [(0, 19, 4), (16, 19, 9)]),
        (
            20,
            0,
            19,
            [(0, 19, 4), *[(a, a + (4 if a < 17 else 2), 9) for a in (17, 15, 13, 11, 9, 7, 5, 3, 1)], (0, 3, 9)],
        ),
        (6, 2, 4, [(0, 5, 4), (2, 5, 9), (0, 4, 9)]),
        (5, 2, 4, [(0, 4, 9)]),  # a short grid is looked at whole
        (1, 0, 0, [(0, 0, 9)]),
        (2, 1, 0, [(0, 1, 9)]),
    ],
)
def test_a_long_grid_is_narrowed_down(
    count: int, full: int, scouts: int, asked: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "SCOUTS", 4)
    monkeypatch.setattr(kernel, "NARROWED", 2)
    score = Peak(full, scouts)
    best = kernel._best_bandwidth([float(i) for i in reversed(range(count))], 9, score)
    assert (best, score.asked) == (full, asked)
    assert isinstance(best, float)


def test_few_samples_are_their_own_scouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "NARROWED", 2)
    for scouts, times in ((9, 1), (10, 1), (8, 2)):
        monkeypatch.setattr(kernel, "SCOUTS", scouts)
        score = Peak(5, 5)
        score.peaks[scouts] = 5
        assert kernel._best_bandwidth([float(i) for i in range(20)], 9, score) == 5
        assert len(score.asked) == times


# ---- the estimate


class Plain:
    """A game that is told nothing, or labels."""

    data = DataSpec()


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def generate(game: Any, samples: int, seed: int, y: Any = None, sample: bool = False) -> Tensor:
        asked.append((samples, seed, None if y is None else y.tolist(), sample))
        return C[torch.arange(samples) % 3] + torch.arange(samples)[:, None] / 8

    monkeypatch.setattr(tasks, "generate", generate)
    return asked


def test_the_estimate_is_of_kernels_on_samples(generated: list[Any], bar: list[Any]) -> None:
    x, validation = rows([1.0, 0.5], [-2.0, 4.0], [0.0, 0.0]), rows([1.0, 1.0], [0.25, 0.5])
    found = likelihood.kernel_estimate(Plain(), x, validation, samples=4, seed=6, binarized="none")  # type: ignore[arg-type]
    assert generated == [(4, 6, None, True)]
    centres = torch.cat([C, C[:1]]) + torch.arange(4)[:, None] / 8
    h = likelihood.held_out_bandwidth(centres, validation)
    assert h != likelihood.held_out_bandwidth(validation, centres)
    assert found.values.tolist() == pytest.approx(likelihood.log_densities(x, centres, [h])[0].tolist())
    assert found.rows.tolist() == [0, 1, 2]
    assert (found.name, found.images, found.acceptance, found.check) == ("kde", 3, None, None)
    assert found.protocol == (
        f"Gaussian kernels on 4 samples, draws of p(x | z), bandwidth {h:.3g} chosen on 2 validation images; "
        f"binarization: none; seed 6"
    )
    assert bar[0] == ("kde of 3 images", 3)


def test_samples_of_a_conditional_game_have_validations_labels_over_again(generated: list[Any]) -> None:
    game: Any = Plain()
    game.data = DataSpec(condition=3)
    y = torch.tensor([0, 2, 1, 1, 2])
    found = likelihood.kernel_estimate(game, C, C + 1, samples=12, seed=6, y=y)
    order = y[torch.randperm(5, generator=torch.Generator().manual_seed(6))].tolist()
    assert [row.index(1) for row in generated[0][2]] == (order * 3)[:12]
    assert "draws of p(x | z, y) with the labels of validation data" in found.protocol
    game.data = DataSpec(condition=3, attributes=dict.fromkeys("abc", 0.5))
    likelihood.kernel_estimate(game, C, C + 1, samples=2, y=torch.eye(3))
    assert len(generated[1][2]) == 2
    with pytest.raises(UserError, match="labels"):
        game.data = DataSpec(condition=3)
        likelihood.kernel_estimate(game, C, C + 1, samples=2)


def test_many_points_are_scored_at_once_for_few_samples(generated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    chunks: list[tuple[Any, ...]] = []
    fine = kernel.in_chunks

    def in_chunks(images: int, chunk: int, seed: int, about: str, work: Any) -> Any:
        chunks.append((images, chunk, seed))
        return fine(images, chunk, seed, about, work)

    monkeypatch.setattr(kernel, "in_chunks", in_chunks)
    for pairs in (256 * 4 + 8, 100):
        monkeypatch.setattr(kernel, "max_pairs", lambda pairs=pairs: pairs)
        likelihood.kernel_estimate(Plain(), C, C, samples=4, seed=2)  # type: ignore[arg-type]
    assert chunks == [(3, 258, 2), (3, 256, 2)]


def test_the_images_are_checked_before_the_order_is_drawn(generated: list[Any]) -> None:
    with pytest.raises(UserError, match="the points hold NaN"):
        likelihood.kernel_estimate(Plain(), C * math.nan, C, samples=4)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`samples` is 0"):
        likelihood.kernel_estimate(Plain(), C, C, samples=0)  # type: ignore[arg-type]
