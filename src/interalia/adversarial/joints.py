"""The joints of a game: a joint's name -> one batch of samples from it, a tensor for each of its variables."""

from __future__ import annotations

from torch import Tensor

Joints = dict[str, tuple[Tensor, ...]]
