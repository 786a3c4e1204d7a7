"""Batch norm over the rows of two threads or processes: its values, and its gradients of first and higher order."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import Function, grad, gradcheck, gradgradcheck

from interalia.contexts import processes
from interalia.contexts.processes import Meeting, Shard, Sum, Team

SHAPES = {"vectors": (6, 3), "images": (4, 2, 3, 3)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


class Replicated(Function):
    """A tensor that all threads hold, whose gradient is the mean of the gradients in all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, team: Team) -> Tensor:
        ctx.team = team
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return Sum.apply(gradients[0], ctx.team) / ctx.team.size, None


def by_two(work: Callable[[Team], Any]) -> list[Any]:
    """The results of a function that two threads call at once, each as one of two shards of a step."""
    meeting = Meeting(processes.ALONE, 2)

    def one(rank: int) -> Any:
        shard = Shard(rank, 2, "", meeting, rank)
        try:
            with shard.step():
                return work(shard)
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, range(2)))


def joined(team: Team, affine: bool = True) -> Callable[..., Tensor]:
    """A function of the rows of both threads and of the parameters, which gives all rows as batch norm makes them."""

    def function(x: Tensor, *parameters: Tensor) -> Tensor:
        x, *parameters = (Replicated.apply(part, team) for part in (x, *parameters))
        own = processes.JoinedNorm.apply(team.rows(x), *(parameters or (None, None)), team, 1e-5)[0]
        blank = torch.zeros_like(own)
        return Sum.apply(torch.cat([own, blank] if team.first else [blank, own]), team)

    return function


def inputs(shape: tuple[int, ...], affine: bool = True) -> list[Tensor]:
    """Rows, weight and bias in float64, which require gradients."""
    made = torch.Generator().manual_seed(0)
    sizes = [shape, *[shape[1:2]] * (2 * affine)]
    return [torch.randn(size, generator=made, dtype=torch.double).requires_grad_() for size in sizes]


@every_shape
@pytest.mark.parametrize("affine", [True, False])
def test_first_and_second_derivatives_are_those_of_differences(shape: tuple[int, ...], affine: bool) -> None:
    assert by_two(lambda team: gradcheck(joined(team), inputs(shape, affine))) == [True, True]
    assert by_two(lambda team: gradgradcheck(joined(team), inputs(shape, affine))) == [True, True]


def derivatives(function: Callable[..., Tensor], values: list[Tensor], order: int) -> list[Tensor]:
    """The values, and the gradients of a number that has the gradients of the order before it in it, up to an order."""
    results, found = [function(*values)], []
    for number in range(order + 1):
        found += results
        weighted = sum(
            ((result + 0.1) ** 3 * torch.arange(1.0, result.numel() + 1).view_as(result)).sum() for result in results
        )
        last = number == order
        results = [] if last else list(grad(weighted, values, create_graph=number < order - 1))
    return [value.detach() for value in found]


def whole(x: Tensor, *parameters: Tensor) -> Tensor:
    """Batch norm of all rows, by plain operations: torch's own has wrong third derivatives."""
    axes, shape = processes.channel_axes(x)
    mean = x.mean(axes, keepdim=True)
    y = (x - mean) / ((x - mean).square().mean(axes, keepdim=True) + 1e-5).sqrt()
    weight, bias = (part.view(shape) for part in parameters) if parameters else (1.0, 0.0)
    return y * weight + bias


@every_shape
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("order", [1, 3])
def test_derivatives_of_every_order_are_those_of_one_process(shape: tuple[int, ...], affine: bool, order: int) -> None:
    wanted = derivatives(whole, inputs(shape, affine), order)
    for found in by_two(lambda team: derivatives(joined(team), inputs(shape, affine), order)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_is_that_of_torch_on_all_rows(dtype: torch.dtype, last: bool) -> None:
    """Values, gradients and running moments, in both precisions and memory orders."""
    layer = nn.BatchNorm2d(3)
    nn.init.uniform_(layer.weight)
    x = torch.randn(8, 3, 4, 4).to(dtype, memory_format=torch.channels_last if last else torch.contiguous_format)
    slopes = torch.randn(8, 3, 4, 4).to(dtype)

    def train(norm: nn.Module, rows: Tensor, slope: Tensor) -> list[Tensor]:
        own = rows.clone().requires_grad_()
        y = norm(own)
        assert y.dtype == dtype
        of_x, *others = grad((y * slope).sum(), [own, *norm.parameters()])
        return [y.detach(), of_x, *others, *norm.state_dict().values()]

    def part(team: Team) -> list[Tensor]:
        own = nn.ModuleList([copy.deepcopy(layer)])
        assert not processes.join_batch_norms(own)
        return train(own[0], team.rows(x), team.rows(slopes))

    halves = by_two(part)
    one = train(layer, x, slopes)
    tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-5
    for number in range(len(one)):
        first, second = halves[0][number], halves[1][number]
        found = torch.cat([first, second]) if number < 2 else first + second if number < 4 else first
        torch.testing.assert_close(found, one[number], rtol=tolerance, atol=tolerance)


def test_the_gradient_of_a_deviation_of_0_is_that_of_torch() -> None:
    """Of a column of equal numbers it is 0."""
    x = torch.tensor([[1.0, 2.0], [1.0, 4.0], [1.0, 5.0], [1.0, 7.0]], dtype=torch.float64)

    def found(rows: Callable[[Tensor], Tensor]) -> Tensor:
        """The deviations, below them the gradient of their sum in the rows."""
        leaf = rows(x).clone().requires_grad_()
        value = processes.deviation(leaf, dim=0, correction=0)
        return torch.cat([value.detach()[None], grad(value.sum(), leaf)[0]])

    expected = found(lambda whole: whole)
    for rank, one in enumerate(by_two(lambda team: found(team.rows))):
        torch.testing.assert_close(one[0], expected[0])
        torch.testing.assert_close(one[1:] / 2, expected[1:].chunk(2)[rank])  # each process differentiates its own sum
