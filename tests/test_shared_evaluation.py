"""Several processes share the work of an evaluation, with the results of one."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import examples
import pytest
import torch
from laws_of_processes import Pair

from interalia.contexts import processes
from interalia.metrics import likelihood
from interalia.tasks import calling, decode, encode, reconstruct

torch.set_num_threads(1)


def by_two(work: Callable[[], Any], rank: int = 0) -> Any:
    """What the work returns in this process, the one of number `rank` of two that share it; the other one is forked."""
    lines = socket.socketpair()
    if not (pid := os.fork()):
        code = 1
        try:
            with processes.sharing(Pair(1 - rank, 2, line=lines[1])):
                work()
            code = 0
        finally:
            os._exit(code)
    lines[1].close()
    with processes.sharing(Pair(rank, 2, line=lines[0])):
        found = work()
    assert os.waitpid(pid, 0)[1] == 0
    return found


def test_each_process_computes_its_numbers_and_gets_all_results() -> None:
    called: list[int] = []

    def square(number: int) -> int:
        called.append(number)
        return number**2

    assert by_two(lambda: processes.share_out(5, square)) == [0, 1, 4, 9, 16]
    assert called == [0, 2, 4]
    assert by_two(lambda: processes.share_out(5, square), rank=1) == [0, 1, 4, 9, 16]
    assert called == [0, 2, 4, 1, 3]
    assert processes.share_out(2, square) == [0, 1]


def test_process_0_alone_makes_what_both_get() -> None:
    made: list[int] = []
    assert by_two(lambda: processes.from_first(lambda: made.append(1) or "it"), rank=1) == "it"
    assert made == []


GAME = examples.build("vae", networks="auto(width=4)", double=False).eval()
X = (torch.rand(9, *examples.FLAT, generator=torch.Generator().manual_seed(0)) > 0.5).float()


@pytest.mark.parametrize(
    "work",
    [
        lambda: reconstruct(GAME, X),
        lambda: encode(GAME, X, sample=True),
        lambda: decode(GAME, torch.ones(7, 3), sample=True),
        lambda: likelihood.elbo(GAME, X, samples=4, rows=8).values,
        lambda: likelihood.importance_bound(GAME, X, samples=4, rows=8).values,
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_each_row_is_that_of_one_process_to_the_bit(
    work: Callable[[], torch.Tensor], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "BATCH", 2)
    one, before = work(), torch.get_rng_state()
    assert torch.equal(by_two(work, rank), one)
    assert torch.equal(torch.get_rng_state(), before)


def test_annealing_and_its_check_are_those_of_one_process() -> None:
    def work() -> torch.Tensor:
        found = likelihood.annealed_importance(
            GAME, X, chains=2, temperatures=3, leapfrog=1, simulated=5, rows=4, precision="fp32"
        )
        assert found.check is not None
        return torch.cat([found.values, found.check.lower, found.check.upper])

    assert torch.equal(by_two(work), work())
