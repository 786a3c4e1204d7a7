"""An image classifier that is trained on a data set, and whose last hidden layer provides features for metrics.

Trained classifiers are cached on disk.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from interalia.contexts import device_of
from interalia.data import cache
from interalia.data.dataset import Dataset, Split
from interalia.data.store import as_tensor
from interalia.disk import writing
from interalia.errors import UserError
from interalia.tasks.calling import map_batches

# increase it with any change to the network or its training, so that cached classifiers are trained again
PROTOCOL = "1"
IMAGES = 20_000  # most distinct training images
SEEN = 40_000  # images in all batches together
TRAINING_BATCH = 128
T = TypeVar("T")


def convolutions(shape: tuple[int, ...], width: int = 16, widest: int = 128) -> list[nn.Sequential]:
    """Returns convolutional stages: from one to the next the sides of the outputs halve, and the channels double.

    A stage is a 3x3 convolution, batch normalization and ReLU. The first stage keeps the images' sides if they are at
    most 32 pixels, and halves them otherwise. The last stage is the first one whose outputs have no side above 4.

    Arguments:
        shape: (channels, height, width) of the images.
        width: the number of channels after the first stage.
        widest: the largest number of channels, at which they stop doubling.

    Example:
        >>> len(convolutions((1, 8, 8))), len(convolutions((3, 64, 128)))
        (2, 5)
    """
    channels, *sides = shape
    stages: list[nn.Sequential] = []
    stride = 1 if max(sides) <= 32 else 2
    while not stages or max(sides) > 4:
        convolution = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
        sides = [-(-side // stride) for side in sides]
        channels, width, stride = width, min(2 * width, widest), 2
    return stages


def build_seeded(make: Callable[[], T], seed: int) -> T:
    """Returns the network that `make` builds, with the CPU's random generator seeded by `seed` during the call.

    So initial weights are the same on every device. The random state is restored afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed accelerators too
        return make()


class Network(nn.Module):
    """A small convolutional classifier of images, with logits as outputs and features from its last hidden layer.

    Arguments:
        shape: (channels, height, width) of the images.
        classes: the number of labels, or of attributes.
        features: the size of the last hidden layer.
    """

    def __init__(self, shape: tuple[int, ...], classes: int, features: int = 128) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(*convolutions(shape))
        with torch.no_grad():
            self.convolutions.eval()
            flat = self.convolutions(torch.zeros(1, *shape)).numel()
        linear = nn.Linear(flat, features, bias=False)
        self.hidden = nn.Sequential(nn.Flatten(), linear, nn.BatchNorm1d(features), nn.ReLU())
        self.output = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer's outputs for images in [0, 1], shape (n, features)."""
        return self.hidden(self.convolutions(2 * x - 1))

    def forward(self, x: Tensor) -> Tensor:
        """The logits of images in [0, 1], shape (n, classes)."""
        return self.output(self.features(x))


@dataclass(frozen=True)
class Classifier:
    """An image classifier trained on a data set, used to compute features of images and to predict their labels.

    Calling it with images returns the features: the outputs of its last hidden layer. It is trained by AdamW (weight
    decay 0.05) with a one-cycle learning rate of at most 0.004, on at most 20,000 images of the training split. There
    are 312 steps with batches of 128 images, or 300 steps with all images if they are fewer than 128.

    Arguments:
        network: the trained network, in evaluation mode, on its device.
        name: a text with the data set, the accuracy and a fingerprint of the weights, for reports of metrics.
        accuracy: the share of right labels on held-out data; the mean over attributes, if it predicts attributes.
        attributes: the names of binary attributes that it predicts independently of each other; empty if it predicts labels.
    """

    network: Network
    name: str
    accuracy: float
    attributes: tuple[str, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        return map_batches(self.network.features, x, device=device_of(self.network))

    def probabilities(self, x: Tensor) -> Tensor:
        """The probability of each label or attribute of images x in [0, 1], shape (n, labels) or (n, attributes)."""
        logits = map_batches(self.network, x, device=device_of(self.network))
        return logits.sigmoid() if self.attributes else logits.softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """Returns predictions for images x in [0, 1], int64: the most probable label of each, shape (n,).

        If the classifier predicts attributes, returns 0 or 1 for each of them, shape (n, attributes).
        """
        return _predict(map_batches(self.network, x, device=device_of(self.network)), bool(self.attributes))

    @classmethod
    def for_dataset(
        cls, dataset: Dataset, device: torch.device | str = "cpu", seed: int = 0, attributes: Sequence[str] = ()
    ) -> Classifier:
        """Returns a trained classifier of a data set's labels, or of some of its attributes.

        It is loaded from a cache on disk, or trained and saved there: in the folder in the environment variable
        INTERALIA_CACHE, or in the user's cache folder. If the cache cannot be read or written, it is trained again.

        Arguments:
            dataset: the data, whose training split has labels, or has these attributes.
            device: the device of the network.
            seed: random seed of the initial weights and of the training.
            attributes: names of attributes of the data to predict; empty for the labels.

        Raises:
            UserError: the data have no such attribute.
            AssertionError: the training split has no labels.
        """
        device = torch.device(device)
        if attributes:
            labelled: dict[str, Any] = {
                name: Split(getattr(dataset, name).x, dataset.conditions(name, attributes))
                for name in ("train", "validation", "test")
            }
            dataset = replace(dataset, **labelled, classes=tuple(attributes))
        dataset = replace(dataset, train=dataset.train.labeled)
        y = dataset.train.y
        assert y is not None, "extractor_for looks for labels first"
        classes = len(attributes) or max(int(y.max()) + 1, len(dataset.classes))
        build = partial(build_seeded, partial(Network, dataset.shape, classes), seed)
        network = build()
        held_out = next((part for part in (dataset.validation, dataset.test) if len(part) and part.y is not None), None)
        key = _fingerprint(dataset, held_out, f"{PROTOCOL} {seed} {device.type}")
        path = cache.folder() / "classifiers" / f"{key}.safetensors"
        accuracy = _load(network, path)
        network.to(device)
        if accuracy is None:
            network = build()  # a damaged file may have changed the first one
            _train(network.to(device), dataset.train, device, seed)
            network.eval()
            accuracy = _accuracy(network, held_out or dataset.train, seed)
            _save(network, path, accuracy)
        network.eval().requires_grad_(False)
        weights = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in network.parameters())).hexdigest()
        where = "held-out" if held_out else "training"
        what = f"{', '.join(attributes)} of {dataset.name}" if attributes else dataset.name
        about = f"{network.output.in_features} features, {where} accuracy {accuracy:.4f}, weights {weights[:8]}"
        return cls(network, f"classifier of {what} ({about})", accuracy, tuple(attributes))


def _predict(logits: Tensor, binary: bool) -> Tensor:
    """Returns predictions, int64, from logits of shape (n, k): the most probable of k labels, shape (n,).

    If `binary`, the logits are those of k independent attributes, and the result is 0 or 1 for each, shape (n, k).
    """
    return (logits > 0).long() if binary else logits.argmax(1)


def _rows(split: Split, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Returns the images of a split at the indices `rows`, in ascending order of the indices, and their labels, int64.

    Images are float32; integer pixels are scaled to [0, 1]. The labels have the shape (n,); if the split has attributes of
    0 and 1 instead, these are returned, shape (n, attributes).
    """
    assert split.y is not None
    rows = np.sort(rows)  # memory-mapped files are read in order
    return as_tensor(split.x[rows]), torch.from_numpy(split.y[rows].astype(np.int64))


def _train(network: Network, split: Split, device: torch.device, seed: int) -> None:
    """Trains a classifier in place on at most 20,000 images of a split and their labels or attributes.

    The loss is cross-entropy, or binary cross-entropy for attributes. The optimizer is AdamW (weight decay 0.05) with a
    one-cycle learning rate of at most 0.004. There are 312 steps with batches of 128 images, or 300 steps with all images
    if they are fewer than 128. The seed determines the images and their order.
    """
    random = np.random.default_rng(seed)
    x, y = _rows(split, random.permutation(len(split))[:IMAGES])
    batch = min(TRAINING_BATCH, len(x))
    steps = SEEN // batch if batch == TRAINING_BATCH else 300
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.004, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.004, total_steps=steps)
    order = np.empty(0, dtype=np.int64)
    network.train()
    with torch.enable_grad():
        for _ in range(steps):
            if len(order) < batch:
                order = random.permutation(len(x))
            rows, order = torch.from_numpy(order[:batch]), order[batch:]
            logits, truth = network(x[rows].to(device)), y[rows].to(device)
            if truth.ndim == 2:  # binary attributes
                loss = functional.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))
            else:
                loss = functional.cross_entropy(logits, truth)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
            optimizer.step()
            schedule.step()


def _accuracy(network: Network, split: Split, seed: int) -> float:
    """The share of right predictions of labels, or of attributes, on at most 10,000 images of a split, in [0, 1].

    The images are chosen at random by the seed.
    """
    x, y = _rows(split, np.random.default_rng(seed).permutation(len(split))[:10_000])
    return float((_predict(map_batches(network, x, device=device_of(network)), y.ndim == 2) == y).double().mean())


def _fingerprint(dataset: Dataset, held_out: Split | None, protocol: str) -> str:
    """Returns a hexadecimal digest, 32 characters long, that names the cached classifier of a data set.

    Arguments:
        dataset: the data. The digest depends on a few hundred of its training images, on the labels of all of them, and
            on the number of classes.
        held_out: the split that the accuracy is computed on; the digest depends on it in the same way. None for none.
        protocol: a text with the version of the training procedure, the seed and the kind of device.
    """
    digest = hashlib.sha256(f"{protocol} {len(dataset.classes)}".encode())
    for split in (dataset.train, held_out):
        if split is not None and split.y is not None:
            digest.update(f"{split.x.shape} {split.x.dtype}".encode())
            digest.update(np.ascontiguousarray(split.x[:: len(split) // 256 + 1]).tobytes())
            digest.update(np.ascontiguousarray(split.y, dtype=np.int64).tobytes())
    return digest.hexdigest()[:32]


def _load(network: Network, path: Path) -> float | None:
    """Loads a classifier's weights from a safetensors file into the network, and returns the accuracy saved with them.

    Returns None if the file is missing or damaged; a damaged file may leave the network partly changed.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            accuracy = float(file.metadata()["accuracy"])
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError):
        return None  # damaged: the classifier is trained and saved again
    return accuracy


def _save(network: Network, path: Path, accuracy: float) -> None:
    """Saves a classifier's weights and its accuracy in a safetensors file; warns if the file cannot be written."""
    from safetensors.torch import save

    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    try:
        with writing(path, "wb") as file:
            file.write(save(state, {"accuracy": repr(accuracy)}))
    except UserError as error:
        warnings.warn(f"the trained classifier could not be saved: {error}", stacklevel=2)
