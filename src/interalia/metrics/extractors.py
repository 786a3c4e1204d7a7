"""Feature extractors: maps from images or vectors to features, in which samples and data are compared.

The description of every metric of features names the extractor, since values of different extractors are not
comparable.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from interalia.contexts import Conv, device_of, processes
from interalia.data.dataset import Dataset
from interalia.errors import UserError, check_choice
from interalia.metrics.classifier import Classifier, build_seeded, convolutions
from interalia.tasks.calling import map_batches

Kind = Literal["auto", "classifier", "random", "inception"]  # of extractors of images

FEW = 256  # numbers of a signal or volume up to which its features are the numbers themselves
# pooling by the number of axes besides the channels
POOLS = {1: functional.adaptive_avg_pool1d, 2: functional.adaptive_avg_pool2d, 3: functional.adaptive_avg_pool3d}


class Extractor(Protocol):
    """A map from images in [0, 1], shape (n, channels, height, width), or from vectors to features, shape (n, d).

    Attributes:
        name: a text for reports of metrics, with the kind of extractor, its training and its accuracy.
    """

    @property
    def name(self) -> str:
        """A text for reports of metrics, with the kind of extractor, its training and its accuracy."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """The features of images or vectors x, float32 on the CPU, shape (n, d)."""
        ...

    def probabilities(self, x: Tensor) -> Tensor | None:
        """The probabilities p(y | x) of classes for images or vectors x, shape (n, classes).

        None if the extractor predicts no classes.
        """
        ...


def extractor_for(
    dataset: Dataset, device: torch.device | str = "cpu", kind: Kind = "auto", seed: int = 0
) -> Extractor:
    """Returns a feature extractor for a data set.

    Arguments:
        dataset: the data, on which a classifier is trained and tested. For vectors, and for signals and volumes of up to 256
            numbers, the extractor is the identity; for larger signals and volumes it is random convolutions.
        device: the device of the extractor's network.
        kind: the kind of extractor for images: "classifier", "random" for random convolutions, "inception", or "auto": a
            classifier if the data have labels of two or more classes, else random convolutions.
        seed: random seed of the classifier's training, or of the random convolutions.

    Raises:
        UserError: a classifier for data without labels, no such kind, or Inception features of standardized images or without
            the extra `inception`.

    Example:
        >>> from interalia.data.dataset import Split
        >>> vectors = Split(np.zeros((4, 2), dtype=np.float32))
        >>> extractor_for(Dataset("points", vectors, vectors, vectors)).name
        'identity (2 numbers)'
    """
    check_choice("kind", kind, get_args(Kind))
    if len(dataset.shape) == 1 or (not dataset.is_image and math.prod(dataset.shape) <= FEW):
        return Identity(math.prod(dataset.shape))
    if not dataset.is_image:
        return RandomConvolutions.for_shape(dataset.shape, device, seed)
    if kind == "inception":
        scaling = dataset.units.scaling if dataset.units else None
        if scaling and scaling.support != "unit":
            what = f"Inception features are of images in [0, 1], and those of {dataset.name!r} are standardized"
            raise UserError(f"{what}; choose random ones, or scale by min-max.")
        return Inception.pretrained(device)
    y = dataset.train.labeled.y
    labelled = y is not None and len(np.unique(y)) > 1
    if labelled and kind != "random":
        found = processes.from_first(lambda: Classifier.for_dataset(dataset, device, seed))
        found.network.to(device)
        return found
    if kind == "classifier":
        what = f"the data set {dataset.name!r} has no labels of two or more classes, which a classifier is trained on"
        raise UserError(f"{what}; use kind='random'.")
    return RandomConvolutions.for_shape(dataset.shape, device, seed)


@dataclass(frozen=True)
class Identity:
    """The extractor for vectors: the features of a vector are the vector itself.

    Arguments:
        size: the number of coordinates of a vector.
    """

    size: int

    @property
    def name(self) -> str:
        """A text with the number of coordinates, for reports of metrics."""
        return f"identity ({self.size} numbers)"

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1).float().cpu()

    def probabilities(self, x: Tensor) -> None:
        """Returns None, since the identity predicts no classes."""
        return None


@dataclass(frozen=True)
class RandomConvolutions:
    """An extractor for images without labels: outputs of random convolutions at several scales, averaged over regions.

    It has stages of 3x3 convolutions with He-normal weights and ReLU. The features are each channel's means over the
    four quarters of its outputs, for all stages. Signals and volumes have convolutions of one and three dimensions, and means
    over two halves and eight octants.

    Arguments:
        network: the stages of convolutions, on their device.
        name: a text with the number of features and the seed, for reports of metrics.

    References:
        On Random Weights and Unsupervised Feature Learning, Andrew M. Saxe and others, 2011,
        https://icml.cc/2011/papers/551_icmlpaper.pdf
    """

    network: nn.ModuleList
    name: str

    @classmethod
    def for_shape(cls, shape: tuple[int, ...], device: torch.device | str = "cpu", seed: int = 0) -> RandomConvolutions:
        """Returns random convolutions for signals, images or volumes of this shape, (channels, ...), with weights from the
        seed.
        """

        def draw() -> nn.ModuleList:
            """Returns stages of convolutions for `shape` with random weights, in evaluation mode and without gradients."""
            stages = nn.ModuleList(convolutions(shape, widest=64) if len(shape) == 3 else other_convolutions(shape, 64))
            for module in stages.modules():
                if isinstance(module, Conv):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            return stages.eval().requires_grad_(False)  # initial batch norm in evaluation mode is the identity

        network = build_seeded(draw, seed)
        regions = 2 ** (len(shape) - 1)
        features = sum(regions * module.out_channels for module in network.modules() if isinstance(module, Conv))
        return cls(network.to(device), f"random convolutions ({features} features, untrained, seed {seed})")

    def __call__(self, x: Tensor) -> Tensor:
        return map_batches(self._features, x, device=device_of(self.network))

    def _features(self, x: Tensor) -> Tensor:
        """The features of a batch of images in [0, 1], or of signals or volumes, on the network's device, shape (n, d)."""
        x, means, pool = 2 * x - 1, [], POOLS[x.ndim - 2]
        for stage in self.network:
            x = stage(x)
            means.append(pool(x, 2).flatten(1))
        return torch.cat(means, dim=1)

    def probabilities(self, x: Tensor) -> None:
        """Returns None, since random convolutions predict no classes."""
        return None


def other_convolutions(shape: tuple[int, ...], widest: int) -> list[nn.Sequential]:
    """Returns stages that each halve a signal or a volume until its longest axis is under 4: a convolution and a ReLU.

    Arguments:
        shape: the shape of the signal or volume, (channels, length) or (channels, depth, height, width).
        widest: the largest number of feature maps; the first stage has 16.
    """
    inputs, *axes = shape
    kind, stages, width = (nn.Conv1d if len(axes) == 1 else nn.Conv3d), list[nn.Sequential](), 16
    while max(axes) >= 4:
        layer: nn.Module = kind(inputs, width, 3, 2, 1, bias=False)
        stages.append(nn.Sequential(layer, nn.ReLU(inplace=True)))
        axes, inputs, width = [-(-side // 2) for side in axes], width, min(2 * width, widest)
    return stages


@dataclass(frozen=True)
class Inception:
    """The extractor of the 2,048 pool features of the Inception network, which the metrics `fid` and `kid` use.

    It is the network of published Frechet inception distances (FID).

    Arguments:
        network: torch-fidelity's feature extractor, on its device.
        name: a text with the number of features, for reports of metrics.

    References:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, Martin Heusel and others,
        2017, https://arxiv.org/abs/1706.08500
    """

    network: nn.Module
    name: str = "inception-v3-compat of torch-fidelity (2048 features, images as 8-bit RGB)"

    @classmethod
    def pretrained(cls, device: torch.device | str = "cpu") -> Inception:
        """Returns the extractor with Inception's pretrained weights, which are downloaded at first use.

        Raises:
            UserError: the extra `inception` is not installed, or the weights cannot be downloaded.
        """
        try:
            import torch_fidelity.feature_extractor_inceptionv3 as inception  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            how = 'pip install "interalia[inception]" (its weights, 95 MB, are downloaded at first use)'
            raise UserError(f"Inception features need torch-fidelity, which is not installed; run {how}.") from None
        try:
            network = inception.FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"])
        except OSError as error:
            what = f"the Inception weights could not be downloaded ({error})"
            raise UserError(f"{what}; go online once, or use another extractor.") from error
        return cls(network.eval().to(device))

    def __call__(self, x: Tensor) -> Tensor:
        return map_batches(lambda part: self.network(_bytes_rgb(part))[0], x, device=device_of(self.network))

    def probabilities(self, x: Tensor) -> Tensor:
        """The probabilities of ImageNet's classes for images x in [0, 1], shape (n, classes)."""
        return map_batches(lambda part: self.network(_bytes_rgb(part))[1].softmax(1), x, device=device_of(self.network))


@dataclass(frozen=True)
class FileFeatures:
    """The extractor whose network a user gives as a file; metrics of its features have the name of the file.

    Arguments:
        network: a module from images in [0, 1] or vectors, shape (n, *shape), to features, shape (n, d), on its device.
        label: the name of the file without its ending, with "_" in place of all characters but letters and digits.
        name: a text with the file and a digest of its content, for reports of metrics.
        device: the device of the network.
    """

    network: nn.Module
    label: str
    name: str
    device: torch.device

    @classmethod
    def checked(cls, network: nn.Module, path: Path, shape: tuple[int, ...], device: torch.device) -> FileFeatures:
        """Returns the extractor with the network of a file, after a trial with two examples of zeros.

        Arguments:
            network: the module in the file.
            path: the file.
            shape: the shape of one example of the data.
            device: the device that the network is moved to.

        Raises:
            UserError: the network does not take two examples of this shape, or returns no features of shape (2, d).
        """
        try:
            found = network.to(device)(torch.zeros(2, *shape, device=device))
            returned = str(tuple(found.shape)) if isinstance(found, Tensor) else type(found).__name__
        except Exception as error:
            raise UserError(
                f"the network in {path} does not take examples of shape (n, {', '.join(map(str, shape))}) for any n "
                f"({(str(error).splitlines() or ['no message'])[0]}); export it again for them."
            ) from None
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 2:
            raise UserError(f"the network in {path} returns {returned} for 2 examples; it must return features (2, d).")
        label = re.sub(r"\W|_", "_", path.stem)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        return cls(network, label, f"{path.name} ({found.shape[1]} features, SHA-256 {digest})", device)

    def __call__(self, x: Tensor) -> Tensor:
        return map_batches(self.network, x, device=self.device)

    def probabilities(self, x: Tensor) -> None:
        """Returns None, since the network in the file predicts no classes."""
        return None


def _bytes_rgb(x: Tensor) -> Tensor:
    """Converts images in [0, 1] to 8-bit integers of three channels, shape (n, 3, height, width).

    Gray is repeated, and channels after the third are dropped.
    """
    rgb = x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)  # alpha is dropped, gray is repeated
    return (rgb * 255).round().clamp(0, 255).to(torch.uint8)
