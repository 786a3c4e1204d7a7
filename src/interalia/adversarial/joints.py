"""The joints of a game: name of the joint -> a batch of samples from it, one tensor for each variable."""

from __future__ import annotations

from torch import Tensor

Joints = dict[str, tuple[Tensor, ...]]
