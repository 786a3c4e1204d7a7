"""Feature extractors: what they are built of, layer by layer, and their numbers worked out another way."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from interalia.data.dataset import Dataset, Split
from interalia.errors import UserError
from interalia.metrics import extractors
from interalia.metrics.classifier import build_seeded, convolutions
from interalia.metrics.extractors import Identity, Inception, RandomConvolutions, extractor_for
from interalia.tasks import calling


def parts(shape: tuple[int, ...], **settings: int) -> list[tuple[int, int, int]]:
    """(channels in, channels out, stride) of each stage."""
    found = []
    for stage in convolutions(shape, **settings):
        convolution, norm, relu = stage
        assert isinstance(convolution, nn.Conv2d)
        assert (convolution.kernel_size, convolution.padding, convolution.bias) == ((3, 3), (1, 1), None)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.num_features == convolution.out_channels
        assert isinstance(relu, nn.ReLU)
        assert relu.inplace
        assert convolution.stride[0] == convolution.stride[1]
        found.append((convolution.in_channels, convolution.out_channels, convolution.stride[0]))
    return found


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((1, 4, 4), [(1, 16, 1)]),
        ((1, 5, 3), [(1, 16, 1), (16, 32, 2)]),
        ((2, 3, 5), [(2, 16, 1), (16, 32, 2)]),
        ((1, 9, 9), [(1, 16, 1), (16, 32, 2), (32, 64, 2)]),  # 9, 5, 3
        ((3, 8, 8), [(3, 16, 1), (16, 32, 2)]),
        ((3, 32, 7), [(3, 16, 1), (16, 32, 2), (32, 64, 2), (64, 128, 2)]),
        ((3, 33, 7), [(3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 128, 2)]),  # 17, 9, 5, 3
        ((3, 64, 128), [(3, 16, 2), (16, 32, 2), (32, 64, 2), (64, 128, 2), (128, 128, 2)]),
    ],
)
def test_the_stages(shape: tuple[int, ...], want: list[tuple[int, int, int]]) -> None:
    assert parts(shape) == want


def test_other_widths() -> None:
    assert parts((1, 32, 32), width=3, widest=10) == [(1, 3, 1), (3, 6, 2), (6, 10, 2), (10, 10, 2)]


def test_the_identity() -> None:
    extractor = Identity(6)
    x = torch.arange(12.0, dtype=torch.float64).reshape(2, 3, 2)
    assert extractor.name == "identity (6 numbers)"
    assert torch.equal(extractor(x), torch.tensor([[0.0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]))
    assert extractor(x).dtype == torch.float32
    assert extractor.probabilities(x) is None


@pytest.mark.parametrize(("shape", "count"), [((2, 6, 8), 4 * (16 + 32)), ((1, 40, 3), 4 * (16 + 32 + 64 + 64))])
def test_random_convolutions_stage_by_stage(shape: tuple[int, ...], count: int) -> None:
    extractor = RandomConvolutions.for_shape(shape, seed=3)
    assert extractor.name == f"random convolutions ({count} features, untrained, seed 3)"
    assert not any(p.requires_grad for p in extractor.network.parameters())
    assert not any(module.training for module in extractor.network.modules())
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    kernels = [m for m in extractor.network.modules() if isinstance(m, nn.Conv2d)]
    y, want = (x.double() - 0.5) * 2, []
    for kernel in kernels:
        y = functional.conv2d(y, kernel.weight.double(), stride=kernel.stride, padding=1) / (1 + 1e-5) ** 0.5
        y = y.clamp(min=0)
        want.append(functional.adaptive_avg_pool2d(y, 2).reshape(3, -1))
    got = extractor(x)
    assert got.shape == (3, count)
    assert torch.allclose(got.double(), torch.cat(want, 1), rtol=1e-3, atol=1e-4)
    assert extractor.probabilities(x) is None
    assert torch.equal(RandomConvolutions.for_shape(shape)(x), RandomConvolutions.for_shape(shape, "cpu", 0)(x))


def test_their_weights_are_those_of_he_for_relu() -> None:
    """Standard deviation sqrt(2 / (9 channels)): of 64 channels 64 x 64 x 9 weights, so that 2 % is five of its errors."""
    kernels = [m for m in RandomConvolutions.for_shape((3, 64, 64)).network.modules() if isinstance(m, nn.Conv2d)]
    assert [kernel.out_channels for kernel in kernels] == [16, 32, 64, 64]
    for kernel, channels in zip(kernels[2:], (32, 64), strict=True):
        assert kernel.weight.std().item() == pytest.approx((2 / (9 * channels)) ** 0.5, rel=0.03)
        assert abs(kernel.weight.mean().item()) < 0.002


def test_what_is_made_from_a_seed_leaves_the_random_state() -> None:
    torch.manual_seed(11)
    want = torch.rand(3)
    before = torch.get_rng_state()
    assert torch.equal(build_seeded(lambda: torch.rand(3), 11), want)
    assert not torch.equal(build_seeded(lambda: torch.rand(3), 12), want)
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_of_at_most_250_without_gradients() -> None:
    network = nn.Linear(2, 1, bias=False)
    sizes = []

    def double(x: Tensor) -> Tensor:
        sizes.append(len(x))
        assert not torch.is_grad_enabled()
        return network(x).double()

    x = torch.rand(501, 2)
    got = calling.map_batches(double, x, device=torch.device("cpu"))
    assert (calling.BATCH, sizes) == (250, [250, 250, 1])
    assert (got.dtype, got.requires_grad, got.device.type) == (torch.float32, False, "cpu")
    assert torch.allclose(got, x @ network.weight.T)


# ---- the choice


def images(labels: list[int] | None) -> Dataset:
    x = np.arange(4 * 16, dtype=np.uint8).reshape(4, 1, 4, 4)
    y = None if labels is None else np.array(labels)
    return Dataset("four", *(Split(x, y) for _ in range(3)))


class Trained:
    """Stands for the classifier, and keeps what it was called with."""

    def __init__(self, *given: Any) -> None:
        self.given, self.network = given, torch.nn.Identity()

    @classmethod
    def for_dataset(cls, *given: Any) -> Trained:
        return cls(*given)


@pytest.mark.parametrize(
    ("labels", "kind", "want"),
    [
        (None, "auto", "random"),
        (None, "random", "random"),
        ([0, 0, 0, 0], "auto", "random"),
        ([0, 1, 0, 1], "auto", "classifier"),
        ([0, 1, 0, 1], "classifier", "classifier"),
        ([0, 1, 0, 1], "random", "random"),
    ],
)
def test_which_extractor(monkeypatch: pytest.MonkeyPatch, labels: list[int] | None, kind: Any, want: str) -> None:
    monkeypatch.setattr("interalia.metrics.extractors.Classifier", Trained)
    dataset = images(labels)
    found: Any = extractor_for(dataset, "cpu", kind, 7)
    if want == "random":
        assert found.name == "random convolutions (64 features, untrained, seed 7)"
    else:
        assert isinstance(found, Trained)
        assert found.given == (dataset, "cpu", 7)


@pytest.mark.parametrize("labels", [None, [2, 2, 2, 2]])
def test_a_classifier_needs_two_labels(labels: list[int] | None) -> None:
    with pytest.raises(UserError, match=r"'four' has no labels of two or more classes.*kind='random'"):
        extractor_for(images(labels), kind="classifier")


def test_any_other_kind_is_refused_for_vectors_too() -> None:
    x = Split(np.zeros((4, 5), dtype=np.float32))
    vectors = Dataset("vectors", x, x, x)
    for kind in ("auto", "classifier", "random", "inception"):
        assert extractor_for(vectors, kind=kind) == Identity(5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`kind` is 'Auto'"):
        extractor_for(vectors, kind="Auto")  # type: ignore[arg-type]


def test_the_defaults() -> None:
    def defaults(function: Any) -> dict[str, object]:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty}

    assert defaults(extractor_for) == {"device": "cpu", "kind": "auto", "seed": 0}
    assert defaults(convolutions) == {"width": 16, "widest": 128}
    assert defaults(RandomConvolutions.for_shape) == {"device": "cpu", "seed": 0}
    assert defaults(Inception.pretrained) == {"device": "cpu"}
    for kind in (Identity, RandomConvolutions, Inception):
        assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Identity(3).size = 4  # type: ignore[misc]


# ---- Inception, with a network in place of torch-fidelity's


class Fidelity(nn.Module):
    """Answers the sum of each colour, and those over 100 as logits."""

    made: list[tuple[Any, ...]] = []

    def __init__(self, *given: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        Fidelity.made.append(given)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        assert x.dtype == torch.uint8
        sums = x.sum((2, 3)).float()
        return sums, sums / 100


@pytest.fixture
def fidelity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: Any = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Fidelity
    monkeypatch.setattr(Fidelity, "made", [])
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module  # type: ignore[no-any-return]


def test_inception_answers_pool_features_and_probabilities(fidelity: ModuleType) -> None:
    extractor: Any = extractor_for(images([0, 1, 0, 1]), kind="inception")
    assert isinstance(extractor, Inception)
    assert Fidelity.made == [("inception-v3-compat", ["2048", "logits_unbiased"])]
    assert not extractor.network.training
    assert extractor.name == "inception-v3-compat of torch-fidelity (2048 features, images as 8-bit RGB)"
    x = torch.tensor([[0.0, 0.5], [1.0, 0.2]])[None, None] * torch.tensor([1.0, 0.5, 0.25])[None, :, None, None]
    want = torch.tensor(
        [[128.0 + 255 + 51, 64 + 128 + 26, 32 + 64 + 13]]
    )  # 127.5, 63.75, 25.5 ... to even, and nearest
    assert torch.equal(extractor(x), want)
    assert torch.allclose(extractor.probabilities(x), torch.softmax(want / 100, 1))
    assert torch.equal(extractor(x.repeat(251, 1, 1, 1))[-1:], want)


def test_weights_that_cannot_be_had(fidelity: Any) -> None:
    def offline(*given: Any) -> None:
        raise OSError("no route")

    fidelity.FeatureExtractorInceptionV3 = offline
    with pytest.raises(UserError, match=r"could not be downloaded \(no route\)"):
        Inception.pretrained()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(UserError, match=r'pip install "interalia\[inception\]"'):
        Inception.pretrained()


def test_bytes_stay_between_0_and_255_and_two_channels_are_grey() -> None:
    x = torch.tensor([-0.5, 0.2, 0.499, 1.5]).reshape(1, 1, 2, 2)
    gray = [0, 51, 127, 255]
    assert extractors._bytes_rgb(x).flatten(2).tolist() == [[gray, gray, gray]]
    two = torch.cat([x, torch.ones_like(x)], 1)
    assert extractors._bytes_rgb(two).flatten(2).tolist() == [[gray, gray, gray]]
    four = torch.cat([x, x.flip(2), torch.zeros_like(x), torch.ones_like(x)], 1)
    assert extractors._bytes_rgb(four).flatten(2).tolist() == [[gray, [127, 255, 0, 51], [0, 0, 0, 0]]]
