"""Posteriors richer than a Gaussian: densities that are densities, maps that are invertible, bounds that are bounds."""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from interalia import data, registry, tasks
from interalia.conditionals import CONDITIONALS, Conditional, Deterministic, StandardNormal, drawn, flows
from interalia.conditionals.hamiltonian import leapfrog
from interalia.conditionals.paired import Paired
from interalia.errors import UserError
from interalia.games import VAE, Game
from interalia.networks.draw import Attention
from interalia.networks.mlp import MLP
from interalia.runs import Run, building

DENSE = ["flow", "flow(kind='realnvp')", "flow(kind='nice')", "flow(kind='maf')", "iaf", "iaf(transforms=3)"]
RICH = [
    "flow",
    "iaf",
    "planar(flows=4)",
    "auxiliary",
    "auxiliary(levels=2)",
    "hamiltonian(steps=3)",
    "gaussian-process",
]


def make(spec: str, size: int = 2, inputs: int = 4) -> Conditional:
    torch.manual_seed(0)
    kind, settings = registry.look_up(spec, CONDITIONALS, "encoder")
    return kind(MLP(inputs, kind.heads_for(**settings) * size, width=16), size, **settings)  # type: ignore[attr-defined]


def shaken(conditional: Conditional, std: float = 0.3) -> Conditional:
    """With what it is made of far from where it starts."""
    torch.manual_seed(1)
    for name, parameter in conditional.named_parameters():
        if not name.startswith("network"):
            parameter.data += std * torch.randn_like(parameter)
    return conditional


@pytest.mark.parametrize("spec", DENSE)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_flows_draws_have_the_density_that_it_tells(spec: str, size: int) -> None:
    conditional = shaken(make(spec, size)).double()
    q = conditional(torch.randn(50, 4, dtype=torch.float64))
    z, log_q = drawn(q)
    assert z.shape == q.mean.shape == (50, size)
    torch.testing.assert_close(q.log_prob(z), log_q, atol=1e-4, rtol=0)
    assert q.rsample((3,)).shape == (3, 50, size)
    torch.manual_seed(2)
    alone = q.rsample()
    torch.manual_seed(2)
    torch.testing.assert_close(alone, drawn(q)[0])


@pytest.mark.parametrize("spec", DENSE)
def test_a_flow_posteriors_density_integrates_to_one(spec: str) -> None:
    conditional = shaken(make(spec, 2), 0.1).double()
    x = torch.randn(1, 4, dtype=torch.float64)
    q = conditional(x)
    z = q.sample((2000,)).flatten(0, 1)
    spread = 1.5 * (z - z.mean(0)).abs().amax(0)
    side = 200
    axes = [torch.linspace(float(m - s), float(m + s), side).double() for m, s in zip(z.mean(0), spread, strict=True)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=2).flatten(0, 1)
    with torch.no_grad():
        mass = conditional.many(len(grid), x).log_prob(grid).exp().sum()
    assert abs(float(mass * (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])) - 1) < 0.01


def test_a_draw_of_an_inverse_autoregressive_flow_takes_one_pass_for_each_map() -> None:
    conditional = make("iaf(transforms=3)", 6)
    asked = []
    for part in conditional.modules():
        if type(part).__name__ == "MaskedMLP":
            part.register_forward_hook(lambda *_: asked.append(1))
    q = conditional(torch.randn(5, 4))
    z, _ = drawn(q)
    assert len(asked) == 3
    q.log_prob(z)
    assert len(asked) > 3 + 3 * 6
    orders = [tuple(part.order.tolist()) for part in conditional.modules() if getattr(part, "order", None) is not None]
    assert orders[0] == orders[1][::-1] == orders[2]


@pytest.mark.parametrize("spec", DENSE)
def test_a_flow_starts_near_its_gaussian(spec: str) -> None:
    conditional = make(spec, 3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    mu, log_sigma, _ = conditional.network(x).chunk(3, dim=1)
    q = conditional(x)
    torch.testing.assert_close(q.mean, mu, atol=0.1, rtol=0)
    z = q.sample()
    torch.testing.assert_close(q.log_prob(z), Normal(mu, log_sigma.exp()).log_prob(z).sum(1), atol=0.2, rtol=0)


def test_a_planar_maps_determinant_is_that_of_its_jacobian() -> None:
    torch.manual_seed(0)
    z, u, w = 2 * torch.randn(3, 20, 4, dtype=torch.float64)
    b = torch.randn(20, dtype=torch.float64)
    _, log_det = flows.planar(z, u, w, b)
    for i in range(20):
        one = [part[i : i + 1] for part in (u, w, b)]
        jacobian = torch.autograd.functional.jacobian(lambda z, one=one: flows.planar(z[None], *one)[0][0], z[i])
        determinant = torch.linalg.det(jacobian)
        assert determinant > 0  # invertible
        torch.testing.assert_close(determinant.log(), log_det[i])


def test_planar_draws_have_the_density_that_they_come_with() -> None:
    """The mean of p(z) / q(z) over draws is 1 for any density p; and many maps in a row start near the Gaussian."""
    conditional: Any = make("planar(flows=6)", 2).double()
    q = conditional.many(100_000, torch.randn(1, 4, dtype=torch.float64))
    mu, log_sigma, *maps = q.find_mean.args
    far = (mu, log_sigma, *(8 * part for part in maps))  # from the identity
    q = Paired(mu, partial(conditional.mean, *far), partial(conditional.draw, *far))
    with torch.no_grad():
        z, log_q = drawn(q)
    narrow = Normal(z.mean(0), z.std(0) / 2)
    ratio = (narrow.log_prob(z).sum(1) - log_q).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / len(ratio) ** 0.5 < 0.2
    many = make("planar(flows=80)", 3)
    mu = many.network(torch.zeros(1, 4))[:, :3]
    torch.testing.assert_close(many(torch.zeros(1, 4)).mean, mu, atol=0.5, rtol=0)


@pytest.mark.parametrize("spec", RICH)
def test_what_draws_alone_says_so(spec: str) -> None:
    name = spec.split("(")[0]
    if spec not in DENSE:
        q = make(spec)(torch.zeros(2, 4))
        with pytest.raises(UserError, match="log_prob cannot be asked of it"):
            q.log_prob(torch.zeros(2, 2))
        with pytest.raises(UserError, match="repeat the condition"):
            q.rsample((3,))
    wrong = {"planar": "flows", "auxiliary": "levels", "hamiltonian": "steps", "gaussian-process": "inducing"}
    with pytest.raises(ValueError, match="1 or more"):
        make(f"{name}({wrong.get(name, 'transforms')}=0)")


def quartic(z: Tensor) -> Tensor:
    """The gradient of sum_i z_i^4 / 4 + z_1 z_2."""
    return z**3 + torch.stack([z[:, 1], z[:, 0]], dim=1)


def test_the_leapfrog_is_reversible() -> None:
    torch.manual_seed(0)
    z, v = torch.randn(2, 50, 2, dtype=torch.float64)
    e = 0.05 + 0.1 * torch.rand(12, 50, 2, dtype=torch.float64)
    there = leapfrog(z, v, quartic, e)
    assert (there[0] - z).abs().mean() > 0.1
    back, turned = leapfrog(there[0], -there[1], quartic, e.flip(0))
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(turned, -v)


def test_the_leapfrog_keeps_volumes() -> None:
    torch.manual_seed(0)
    e = 0.05 + 0.1 * torch.rand(12, 2, dtype=torch.float64)

    def move(point: Tensor) -> Tensor:
        return torch.cat(leapfrog(point[None, :2], point[None, 2:], quartic, e), dim=1)[0]

    for point in torch.randn(5, 4, dtype=torch.float64):
        determinant = torch.linalg.det(torch.autograd.functional.jacobian(move, point))
        torch.testing.assert_close(determinant, torch.ones_like(determinant))


def test_the_leapfrog_nearly_keeps_the_energy() -> None:
    torch.manual_seed(0)
    z, v = torch.randn(2, 50, 2, dtype=torch.float64)
    e = torch.full((100, 2), 0.01, dtype=torch.float64)

    def energy(z: Tensor, v: Tensor) -> Tensor:
        return (z**4).sum(1) / 4 + z.prod(1) + v.square().sum(1) / 2

    torch.testing.assert_close(energy(*leapfrog(z, v, quartic, e)), energy(z, v), atol=1e-2, rtol=0)


def test_a_hamiltonian_posterior_alone_says_what_it_misses() -> None:
    with pytest.raises(UserError, match="this game does not have; play one with a likelihood"):
        make("hamiltonian")(torch.zeros(2, 4)).rsample()


@pytest.mark.parametrize("spec", ["flow(kind='realnvp')", *RICH[1:]])  # splines are slow
def test_a_linear_gaussian_models_bound_is_one_and_becomes_tight(spec: str) -> None:
    """log p(x) is in closed form: the bound stays below, comes near when the encoder learns, and the mean weight is p(x)."""
    encoder = make(spec)
    torch.manual_seed(0)
    a, sigma = torch.randn(4, 2), 0.5
    decoder = nn.Linear(2, 4)
    decoder.weight.data, decoder.bias.data = a, torch.zeros(4)
    x = torch.randn(8, 2) @ a.t() + sigma * torch.randn(8, 4)
    log_p = MultivariateNormal(torch.zeros(4), a @ a.t() + sigma**2 * torch.eye(4)).log_prob(x)
    game = VAE(encoder, Deterministic(decoder), StandardNormal(2), sigma=sigma)

    def log_w(count: int) -> Tensor:
        z, log_q = drawn(encoder.many(count, x))
        return (game.log_joint(x.repeat_interleave(count, 0), z) - log_q).unflatten(0, (8, count))

    with torch.no_grad():
        before = log_w(1000)
    assert (before.mean(1) + 5 * before.std(1) / 1000**0.5 < log_p).all()
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        (-log_w(8).mean()).backward()
        optimiser.step()
    with torch.no_grad():
        after = log_w(3000)
    assert (after.mean(1) - 5 * after.std(1) / 3000**0.5 < log_p).all()
    assert float((log_p - after.mean(1)).mean()) < 0.3
    torch.testing.assert_close(after.logsumexp(1) - math.log(3000), log_p, atol=0.1, rtol=0)


@pytest.fixture(scope="module")
def digits() -> Tensor:
    return torch.tensor(data.load("digits").train.x[:400]) / 255


ALL = [*RICH, "recurrent(units=16, side=3)"]
DRAW = "draw(glimpses=2, units=16, side=3, width=32)"


def build(spec: str, game: str = "vae", networks: str = "") -> Game:
    torch.manual_seed(0)
    networks = networks or (DRAW if "recurrent" in spec else "auto(width=4)")
    return building.build(Run(game=game, encoder=spec, latent_dim=4, networks=networks), (1, 8, 8))


def step(game: Game, optimiser: torch.optim.Optimizer, x: Tensor) -> float:
    optimiser.zero_grad()
    loss = game(x).losses["autoencoder"]
    loss.backward()
    optimiser.step()
    return float(loss.detach())


@pytest.mark.parametrize("name", ["vae(sigma=0.5)", "vae(sigma=0.5, samples=5)"])
@pytest.mark.parametrize("spec", ALL)
def test_every_posterior_trains_a_vae(spec: str, name: str, digits: Tensor) -> None:
    game = build(spec, name)
    start = {key: value.clone() for key, value in game.state_dict().items()}
    optimiser = torch.optim.Adam(game.parameters(), lr=3e-3)
    losses = [step(game, optimiser, digits[torch.randint(400, (32,))]) for _ in range(20)]
    assert all(map(math.isfinite, losses))
    assert sum(losses[-5:]) < sum(losses[:5])
    for key, parameter in game.named_parameters():
        if key.startswith(("encoder", "decoder")):
            assert not torch.equal(parameter, start[key]), key
    z = tasks.encode(game, digits[:3])
    assert z.shape == tasks.encode(game, digits[:3], sample=True).shape == (3, 4)
    assert bool(z.isfinite().all())
    assert tasks.reconstruct(game, digits[:3]).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("spec", ALL)
def test_every_posterior_plays_avb(spec: str, digits: Tensor) -> None:
    game = build(spec, "avb(sigma=0.5)")
    losses = game(digits[:16]).losses
    for player, loss in losses.items():
        loss.backward(inputs=game.parameters_of(player), retain_graph=True)
        assert loss.isfinite()
    with game.only("critic"):
        game(digits[:16]).losses["critic"].backward()


@pytest.mark.parametrize("spec", ALL)
def test_a_copy_of_a_game_is_its_own(spec: str, digits: Tensor, tmp_path: Path) -> None:
    """What a posterior knows of the game is the copy's in the copy, and none of it is a weight."""
    game = build(spec).eval()
    x = digits[:5]

    def draw(of: Game) -> Tensor:
        torch.manual_seed(3)
        return drawn(of.encoder(x))[1]

    average = AveragedModel(game, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    twin = copy.deepcopy(game)
    torch.testing.assert_close(draw(twin), draw(game))
    kept = draw(game).detach()
    with torch.no_grad():
        for parameter in twin.decoder.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    torch.testing.assert_close(draw(game), kept)
    assert torch.equal(draw(twin), kept) == (not spec.startswith(("hamiltonian", "recurrent")))
    average.update_parameters(twin)
    average.update_parameters(twin)
    assert all(key.split(".")[0] in ("encoder", "decoder", "prior") for key in game.state_dict())
    assert not any("log_joint" in key or "drawer" in key for key in game.state_dict())
    save_file(twin.state_dict(), tmp_path / "weights.safetensors")
    game.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    torch.testing.assert_close(draw(game), draw(twin))


@pytest.mark.parametrize("spec", ALL)
def test_autocast_leaves_densities_in_full_precision(spec: str, digits: Tensor) -> None:
    game = build(spec)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q = game.encoder.many(2, digits[:8])
        z, log_q = drawn(q)
        assert z.dtype == log_q.dtype == q.mean.dtype == torch.float32
        loss = game(digits[:8]).losses["autoencoder"]
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("spec", ALL)
def test_without_gradients_there_is_no_graph(spec: str, digits: Tensor) -> None:
    game = build(spec).eval()
    with torch.no_grad():
        q = game.encoder(digits[:4])
        z, log_q = drawn(q)
        assert not any(part.requires_grad for part in (z, log_q, q.mean))


@pytest.mark.parametrize("spec", ["gaussian", "iaf", "gaussian-process"])
def test_draws_decoder_takes_any_posterior(spec: str, digits: Tensor) -> None:
    game = build(spec, "vae(sigma=0.5)", DRAW)
    optimiser = torch.optim.Adam(game.parameters(), lr=3e-3)
    losses = [step(game, optimiser, digits[torch.randint(400, (32,))]) for _ in range(20)]
    assert sum(losses[-5:]) < sum(losses[:5])


def test_a_recurrent_posteriors_draws_have_the_density_that_it_tells(digits: Tensor) -> None:
    encoder = build("recurrent(units=16, side=3)").encoder.double()
    (drawer,) = encoder.drawer
    drawer.double()
    q = encoder(digits[:5].double())
    z, log_q = drawn(q)
    torch.testing.assert_close(q.log_prob(z), log_q)
    assert (q.log_prob(z + 0.1) - log_q).abs().min() > 0
    assert encoder.hidden(digits[:5].double()).shape == (5, 16)


def test_attention_reads_what_lies_under_its_grid() -> None:
    """Narrow filters a pixel apart read a piece of the image as it is, and write it back to its place."""
    attention = Attention(1, 3, (2, 9, 7)).double()
    nn.init.zeros_(attention.where.weight)
    x, y = 2 * 4 / (7 + 1) - 1, 2 * 6 / (9 + 1) - 1  # on the 4th column, and on the 6th row
    log_delta = math.log((3 - 1) / (9 - 1))
    attention.where.bias.data = torch.tensor([x, y, math.log(1e-3), log_delta, math.log(2)]).double()
    h, image = torch.zeros(4, 1).double(), torch.rand(4, 2, 9, 7).double()
    (patch,) = attention.read(h, image)
    torch.testing.assert_close(patch, 2 * image[:, :, 4:7, 2:5], atol=1e-5, rtol=0)  # gamma = 2
    canvas = attention.write(h, patch)
    torch.testing.assert_close(canvas[:, :, 4:7, 2:5], image[:, :, 4:7, 2:5], atol=1e-5, rtol=0)
    canvas[:, :, 4:7, 2:5] = 0
    assert canvas.abs().max() < 1e-5
    for bank in attention.filters(torch.randn(4, 1).double())[:2]:
        torch.testing.assert_close(bank.sum(2), torch.ones(4, 3).double())


def test_what_draw_cannot_paint() -> None:
    for run, shape, message in (
        (Run(game="vae", networks="draw", latent_dim=12), (1, 8, 8), r"12 is no multiple of 8; give `latent=16`"),
        (
            Run(game="vae", networks="draw", latent_dim=16),
            (5,),
            r"images, which they paint.*choose other `networks`, such as auto",
        ),
        (Run(game="vae", networks="draw(side=1)", latent_dim=16), (1, 8, 8), r"`side` is 1, and it must be 2 or more"),
        (
            Run(game="vae", encoder="recurrent", latent_dim=16),
            (1, 8, 8),
            r"have no decoder that paints step by step.*`networks`, such as draw",
        ),
        (Run(game="vae", encoder="hamiltonian(steps=0)"), (1, 8, 8), r"`steps` is 0"),
    ):
        with pytest.raises(UserError, match=message):
            building.build(run, shape)
    with pytest.raises(UserError, match="use it as the encoder of a game with a likelihood"):
        building.build(Run(game="ali", encoder="recurrent", networks="draw", latent_dim=16), (1, 8, 8))(
            torch.rand(4, 1, 8, 8)
        )


def test_a_hamiltonian_posterior_is_refused_by_a_game_without_a_likelihood() -> None:
    with pytest.raises(UserError, match="this game does not have; play one with a likelihood"):
        building.build(Run(game="ali", encoder="hamiltonian(steps=2)", latent_dim=3), (2,))
