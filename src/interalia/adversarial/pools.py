"""A pool of past generated samples: a critic is trained on some of them in place of new ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from interalia.contexts import draw_noise
from interalia.errors import check_range


class Pool:
    """A pool of past samples, from which a critic gets older samples in place of some new ones, so that it does not
    forget them.

    While it is not full, it stores and returns each new sample. Then, with probability 1/2, it returns a new sample as
    it is; otherwise it returns a random stored sample and stores the new one in its place. Random numbers come from
    torch's global random state of the CPU.

    References:
        Learning from Simulated and Unsupervised Images through Adversarial Training, Ashish Shrivastava and others, 2017,
        https://arxiv.org/abs/1612.07828
        Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Jun-Yan Zhu and others, 2017,
        https://arxiv.org/abs/1703.10593 (this form)

    Arguments:
        size: capacity in samples; with 0 every sample is returned as it is.

    Raises:
        ValueError: `size` is under 0.

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
        """Returns n samples for the n new ones, detached, shape (n, ...): each new sample itself or a past one in its place.

        While the pool is not full, each new sample is returned and stored. After that, with probability 1/2, a random
        stored sample is returned and the new one takes its place in the pool; otherwise the new one is returned.
        With capacity 0, all new samples are returned.
        """
        new = new.detach().contiguous()  # one memory layout, so that a resumed run has the same
        if self.size == 0:
            return new
        # on the CPU, so that no accelerator is synchronized
        swaps = (draw_noise("pool", "uniform", (len(new),), torch.empty(0)) < 0.5).tolist()
        slots = draw_noise("pool", "random", (len(new),), torch.empty(0), 0, self.size).tolist()
        chosen = []
        for sample, swap, slot in zip(new, swaps, slots, strict=True):
            if len(self.samples) < self.size:
                self.samples.append(sample.clone())
            elif swap:
                sample, self.samples[slot] = self.samples[slot], sample.clone()
            chosen.append(sample)
        return torch.stack(chosen)

    def state_dict(self) -> dict[str, Tensor]:
        """Returns the stored samples, shape (m, ...), under the key "samples"; an empty tensor if none are stored."""
        return {"samples": torch.stack(self.samples) if self.samples else torch.empty(0)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Replaces the stored samples by those in `state`, which `state_dict` returned."""
        self.samples = list(state["samples"].clone().unbind())
