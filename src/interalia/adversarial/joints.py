"""The type `Joints` of a game's samples: name of a joint distribution -> a batch of its samples, one tensor for each
variable.
"""

from __future__ import annotations

from torch import Tensor

Joints = dict[str, tuple[Tensor, ...]]
