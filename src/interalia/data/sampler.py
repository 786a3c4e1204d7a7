"""Random indices of examples: permutations, subsets, and samplers, which yield endless batches and can be resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from interalia.data.orders import ENUMERATED, permuted
from interalia.errors import UserError


def permutation(total: int, seed: int = 0) -> Tensor:
    """Returns a random permutation of the integers from 0 to total - 1, int64, shape (total,), which the seed determines.

    Example:
        >>> sorted(permutation(4, seed=1).tolist()), len(set(permutation(9)[:3].tolist()))
        ([0, 1, 2, 3], 3)
    """
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))


def some_rows(total: int, count: int | None, seed: int = 0) -> Tensor:
    """Draws different integers from 0 to total - 1, int64, shape (min(count, total),).

    They are in random order, and the first ones are the same for every count. Above 10^7 examples the order is computed, see
    `interalia.data.orders.permuted`.

    Arguments:
        total: the number of examples, whose indices are drawn.
        count: how many to draw; None for all, in ascending order.
        seed: random seed.

    Example:
        >>> some_rows(5, 2, seed=0), some_rows(5, 3, seed=0), some_rows(3, None, seed=0)
        (tensor([4, 0]), tensor([4, 0, 1]), tensor([0, 1, 2]))
    """
    if count is not None and total > ENUMERATED:
        return torch.from_numpy(permuted(np.arange(min(count, total)), total, seed))
    return torch.arange(total) if count is None else permutation(total, seed)[:count]


class Sampler:
    """An endless iterator of the indices of the examples in each batch, int64, shape (batch,).

    Each epoch is a random permutation of all indices that depends on the seed and the number of the epoch alone. Its last
    indices are left out if they do not fill a batch. Up to 10^7 examples the permutation is a list; above, it is computed
    batch by batch and takes no memory, see `interalia.data.orders.permuted`.

    Arguments:
        count: the number of examples; indices are 0 to count - 1.
        batch: the number of examples in a batch.
        seed: random seed of the permutations, any integer.

    Raises:
        UserError: `batch` is below 1 or above `count`.

    Example:
        >>> sampler = Sampler(10, 4, seed=0)
        >>> [len(next(sampler)) for _ in range(3)], sampler.epoch
        ([4, 4, 4], 1.5)
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        if batch < 1:
            raise UserError(
                f"`batch_size` is {batch}, and a batch has at least 1 row; give for example `batch_size=100`."
            )
        if count < batch:
            raise UserError(
                f"`batch_size` is {batch}, and only {count} rows are trained on; lower it to `batch_size={count}` or less."
            )
        self.count = count
        self.batch = batch
        self.seed = seed
        self._epoch = 0
        self._position = 0  # number of batches of this epoch so far
        self._order: Tensor | None = None

    @property
    def batches(self) -> int:
        """The number of batches in an epoch."""
        return self.count // self.batch

    @property
    def epoch(self) -> float:
        """The number of epochs since the start, such as 1.5 in the middle of the second one."""
        return self._epoch + self._position / self.batches

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        # Hashed, so that (seed, epoch + 1) and (seed + 1, epoch) are unrelated.
        seed = int.from_bytes(hashlib.sha256(f"{self.seed} {self._epoch}".encode()).digest()[:7], "little")
        start = self._position * self.batch
        if self.count > ENUMERATED:
            index = torch.from_numpy(permuted(np.arange(start, start + self.batch), self.count, seed))
        else:
            self._order = permutation(self.count, seed) if self._order is None else self._order
            index = self._order[start : start + self.batch]
        self._position += 1
        if self._position == self.batches:
            self._epoch, self._position, self._order = self._epoch + 1, 0, None
        return index

    def state_dict(self) -> dict[str, int]:
        """Returns the position for a checkpoint: "epoch", the number of complete epochs, and "position", the number of
        batches of the current one so far.
        """
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues at a position that `state_dict` returned.

        Raises:
            UserError: an epoch of this sampler has too few batches for it.
        """
        epoch, position = int(state["epoch"]), int(state["position"])
        if epoch < 0 or not 0 <= position < self.batches:
            raise UserError(
                f"the saved position is batch {position} of epoch {epoch}, and an epoch of this data has "
                f"{self.batches} batches; resume with the same data and the same `batch_size`."
            )
        self._epoch, self._position, self._order = epoch, position, None
