"""Pools of past samples, that a critic is shown beside the newest."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from interalia.errors import check_range


class Pool:
    """A history of past samples, of which a critic is shown some in place of the newest ones, so that it does not forget.

    Until it is full, what comes in is kept and answered. Then each new sample is answered as it is with probability 1/2, and
    else takes the place of a stored one, drawn at random, which is answered instead and leaves the pool. The draws come from
    torch's global random state of the CPU.

    References:
        Learning from Simulated and Unsupervised Images through Adversarial Training, Ashish Shrivastava and others, 2017,
        https://arxiv.org/abs/1612.07828
        Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Jun-Yan Zhu and others, 2017,
        https://arxiv.org/abs/1703.10593 (this form of it)

    Arguments:
        size: how many samples it holds; with 0 every sample is answered as it is.

    Example:
        >>> pool = Pool(2)
        >>> pool(torch.zeros(2, 1)).flatten().tolist()
        [0.0, 0.0]
        >>> len(pool.samples)
        2
    """

    def __init__(self, size: int = 50) -> None:
        check_range(size >= 0, "it counts samples: 0 or more", size=size)
        self.size = size
        self.samples: list[Tensor] = []

    def __call__(self, new: Tensor) -> Tensor:
        """As many samples as are new, detached, shape (n, ...)."""
        new = new.detach().contiguous()  # whatever the layout of the newest, a resumed run's must be the same
        if self.size == 0:
            return new
        swaps = (torch.rand(len(new)) < 0.5).tolist()  # drawn on the CPU: an accelerator need not be waited for
        places = torch.randint(self.size, (len(new),)).tolist()
        answers = []
        for sample, swap, place in zip(new, swaps, places, strict=True):
            if len(self.samples) < self.size:
                self.samples.append(sample.clone())
            elif swap:
                sample, self.samples[place] = self.samples[place], sample.clone()
            answers.append(sample)
        return torch.stack(answers)

    def state_dict(self) -> dict[str, Tensor]:
        """The stored samples, shape (m, ...), under the key "samples"."""
        return {"samples": torch.stack(self.samples) if self.samples else torch.empty(0)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replaces the stored samples by those of `state_dict`."""
        self.samples = list(state["samples"].clone().unbind())
