"""Posteriors richer than a Gaussian: densities that are densities, maps that are invertible, bounds that are bounds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from interalia.conditionals import (
    CONDITIONALS,
    Conditional,
    drawn,
    flows,
)
from interalia.errors import UserError
from interalia.networks.mlp import MLP

DENSE = ["flow", "flow(kind='realnvp')", "flow(kind='nice')", "flow(kind='maf')", "iaf", "iaf(transforms=3)"]
QUICK = {"planar": "planar(flows=4)"}
RICH = [QUICK.get(name, name) for name in ("flow", "iaf", "planar")]


def make(spec: str, size: int = 2, inputs: int = 4, network: nn.Module | None = None) -> Conditional:
    from interalia import specs

    torch.manual_seed(0)
    kind, settings = specs.look_up(spec, CONDITIONALS, "encoder")
    heads = kind.heads_for(**settings)  # type: ignore[attr-defined]
    return kind(network or MLP(inputs, heads * size, width=16), size, **settings)


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
    side = 300
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
    conditional = make("planar(flows=6)", 2).double()
    q = conditional.many(100_000, torch.randn(1, 4, dtype=torch.float64))
    q.maps = tuple(8 * part for part in q.maps)  # far from the identity
    z, log_q = drawn(q)
    narrow = Normal(z.mean(0), z.std(0) / 2)
    ratio = (narrow.log_prob(z).sum(1) - log_q).exp()
    assert abs(float(ratio.mean()) - 1) < 5 * float(ratio.std()) / len(ratio) ** 0.5 < 0.2
    many = make("planar(flows=80)", 3)
    mu = many.network(torch.zeros(1, 4))[:, :3]
    torch.testing.assert_close(many(torch.zeros(1, 4)).mean, mu, atol=0.5, rtol=0)


@pytest.mark.parametrize("spec", RICH)
def test_what_draws_alone_says_so(spec: str) -> None:
    if spec not in DENSE:
        q = make(spec)(torch.zeros(2, 4))
        with pytest.raises(UserError, match="log_prob cannot be asked of it"):
            q.log_prob(torch.zeros(2, 2))
        with pytest.raises(UserError, match="repeat the condition"):
            q.rsample((3,))
    with pytest.raises(ValueError, match=r"0.* 1 or more"):
        make(spec.split("(")[0] + ("(flows=0)" if "planar" in spec else "(transforms=0)"))
