"""Tensors of data: batches on a device, conversions from NumPy arrays, and the mean training image."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from interalia.contexts import draw_noise
from interalia.data.dataset import Dataset, Split
from interalia.data.sharded import CHUNK, ShardedArray

IMAGES_FOR_MEAN = 500  # as in the original program of ALI


def from_numpy(x: NDArray[Any]) -> Tensor:
    """Returns a tensor that shares its memory with the array, which may be a read-only memory map."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(x)


def to_float(x: Tensor) -> Tensor:
    """Converts a tensor to float32; uint8 numbers are divided by 255, so that images are in [0, 1]."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


def as_tensor(x: NDArray[Any]) -> Tensor:
    """Copies images or vectors to a float32 tensor, as a game takes them; uint8 images are scaled to [0, 1].

    Example:
        >>> as_tensor(np.array([0, 51, 255], dtype=np.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    tensor = from_numpy(np.ascontiguousarray(x))
    return to_float(tensor) if tensor.dtype != torch.float32 else tensor.clone()


def mean_image(dataset: Dataset) -> Tensor:
    """Returns the mean of 500 random training images, float32 in [0, 1], shape `dataset.shape`; the same 500 in every
    call.
    """
    return as_tensor(dataset.train.x[dataset.train.rows(IMAGES_FOR_MEAN)]).mean(0)


class Store:
    """A source of batches on a device: the images or vectors of a split, and their labels, at given indices.

    On the CPU, examples are read from the (memory-mapped) array, or from the files of a `ShardedArray`. On an accelerator the
    whole array is uploaded once, images as uint8, if it takes less than `budget` bytes; otherwise each batch is read on the
    host, pinned and sent.

    Arguments:
        split: the data.
        device: the device of the batches.
        budget: bytes of the device's memory that the data may take; None for half of the free memory.
        y: labels, int64, shape (n,), or attributes of 0 or 1, shape (n, k), for the batches; None for batches of x alone.
        labels: the number of different labels; not used for attributes.
        binarize: True to draw binary pixels in every batch, with the gray values as probabilities.
        mirror: True to mirror each image left to right in every batch, with probability 1/2.

    Example:
        >>> store = Store(Split(np.zeros((6, 1, 2, 2), np.uint8)), torch.device("cpu"))
        >>> (x,) = store[torch.tensor([5, 0])]
        >>> x.shape, x.dtype, len(store)
        (torch.Size([2, 1, 2, 2]), torch.float32, 6)
    """

    def __init__(
        self,
        split: Split,
        device: torch.device,
        budget: float | None = None,
        y: NDArray[Any] | None = None,
        labels: int = 0,
        binarize: bool = False,
        mirror: bool = False,
    ) -> None:
        self.split, self.device, self.labels, self.binarize = split, torch.device(device), labels, binarize
        self.mirror = mirror
        x: Any = split.x
        self.data: Tensor | ShardedArray = x if isinstance(x, ShardedArray) else from_numpy(x)
        self.conditions = None if y is None else from_numpy(y)
        if self.data.nbytes < (free_memory(self.device) / 2 if budget is None else budget):
            self.data = uploaded(self.data, self.device)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: Tensor) -> tuple[Tensor, ...]:
        """Returns the examples at the indices `index`, int64, shape (batch,): (x,), or (x, y) if the store was given `y`.

        x is float32, images in [0, 1]. y is float32: one-hot labels, shape (batch, labels), or attributes, shape
        (batch, k).
        """
        if isinstance(self.data, Tensor):
            rows = self.data.index_select(0, index.to(self.data.device))
        else:
            rows = from_numpy(self.data[index.cpu().numpy()])
        if rows.device != self.device:
            cuda = self.device.type == "cuda"
            rows = (rows.pin_memory() if cuda else rows).to(self.device, non_blocking=cuda)
        x = to_float(rows)
        if self.mirror:
            flipped = draw_noise("mirroring", "uniform", (len(x), 1, 1, 1), x) < 0.5
            x = torch.where(flipped, x.flip(-1), x)
        if self.binarize:
            x = (draw_noise("binarization", "uniform", x.shape, x) < x).float()
        if self.conditions is None:
            return (x,)
        y = self.conditions.index_select(0, index.cpu())
        return x, condition(y, self.labels).to(self.device)


def uploaded(data: Tensor | ShardedArray, device: torch.device) -> Tensor:
    """Returns all examples as a tensor on a device: a tensor of the CPU itself on the CPU, and else a copy."""
    if isinstance(data, Tensor):
        return data.to(device)
    found = torch.empty(data.shape, dtype=from_numpy(data[:1]).dtype, device=device)
    for start in range(0, len(data), CHUNK):
        found[start : start + CHUNK] = from_numpy(data[start : start + CHUNK])
    return found


def condition(y: Tensor, labels: int) -> Tensor:
    """Converts labels or attributes to float32 vectors, on which networks are conditioned: labels become one-hot vectors.

    Arguments:
        y: labels, shape (n,), or attributes, shape (n, k), which keep their values.
        labels: the number of different labels; not used for attributes.

    Returns:
        shape (n, labels) or (n, k).

    Example:
        >>> condition(torch.tensor([1, 0]), 3)
        tensor([[0., 1., 0.],
                [1., 0., 0.]])
    """
    return (one_hot(y.long(), labels) if y.ndim == 1 else y).float()


def free_memory(device: torch.device) -> float:
    """Returns the free memory of an accelerator in bytes; 0 if it is not known, and for the CPU."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return 0.0
