"""The classifier behind the features: its network, every step of its training, its name, and the cache that it is kept in."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from interalia.data.dataset import Dataset, Split
from interalia.metrics import classifier
from interalia.metrics.classifier import Classifier, Network

SHAPE = (2, 4, 3)


def split(n: int, seed: int = 0, labels: int = 3) -> Split:
    random = np.random.default_rng(seed)
    x = random.integers(0, 256, (n, *SHAPE)).astype(np.uint8)
    return Split(x, np.arange(n) % labels)


def dataset(n: int = 12, **parts: Any) -> Dataset:
    whole = {"train": split(n), "validation": split(8, 1), "test": split(6, 2), "classes": ("a", "b", "c")}
    return Dataset("tiny", **{**whole, **parts})


def test_the_protocol_in_numbers() -> None:
    found = (classifier.IMAGES, classifier.SEEN, classifier.TRAINING_BATCH, classifier.PROTOCOL)
    assert found == (20_000, 40_000, 128, "1")
    assert inspect.signature(Network).parameters["features"].default == 128
    given = inspect.signature(Classifier.for_dataset).parameters
    assert [given[name].default for name in ("device", "seed", "attributes")] == ["cpu", 0, ()]
    assert Classifier.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert Classifier(Network(SHAPE, 2), "name", 0.5).attributes == ()


def test_the_network_layer_by_layer() -> None:
    network = Network((2, 8, 5), 7, features=6)  # two stages, the second of which leaves 4 x 3
    flatten, linear, norm, relu = network.hidden
    assert isinstance(flatten, nn.Flatten)
    assert isinstance(relu, nn.ReLU)
    assert (linear.in_features, linear.out_features, linear.bias) == (32 * 4 * 3, 6, None)
    assert isinstance(norm, nn.BatchNorm1d)
    assert (norm.num_features, network.output.in_features, network.output.out_features) == (6, 6, 7)
    assert network.output.bias is not None
    assert len(network.convolutions) == 2
    assert not network.convolutions.training  # until it is trained as a whole
    assert int(network.convolutions[0][1].num_batches_tracked) == 0
    network.eval()
    x = torch.rand(3, 2, 8, 5, generator=torch.Generator().manual_seed(0))
    y = (x - 0.5) / 0.5
    for stage in network.convolutions:
        y = functional.conv2d(y, stage[0].weight, stride=stage[0].stride, padding=1) / (1 + 1e-5) ** 0.5
        y = y.clamp(min=0)
    hidden = (y.reshape(3, -1) @ linear.weight.T / (1 + 1e-5) ** 0.5).clamp(min=0)
    assert torch.allclose(network.features(x), hidden, atol=1e-5)
    assert torch.allclose(network(x), hidden @ network.output.weight.T + network.output.bias, atol=1e-5)


class Rule(nn.Module):
    """Logits that are the first three numbers of an image; its features are all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :3]


def test_labels_and_attributes_are_read_off_logits() -> None:
    x = torch.tensor([[2.0, 3.0, -1.0, 9.0], [0.0, -0.1, 0.1, 9.0]])
    of_labels, of_attributes = (Classifier(Rule(), "rule", 1.0, names) for names in ((), ("a", "b", "c")))
    assert torch.equal(of_labels(x), x)
    assert torch.allclose(of_labels.probabilities(x), torch.exp(x[:, :3]) / torch.exp(x[:, :3]).sum(1, keepdim=True))
    assert torch.allclose(of_attributes.probabilities(x), 1 / (1 + torch.exp(-x[:, :3])))
    assert of_labels.predict(x).tolist() == [1, 2]
    assert of_attributes.predict(x).tolist() == [[1, 1, 0], [0, 0, 1]]  # a logit of 0 is no yes
    assert of_attributes.predict(x).dtype == torch.int64


def test_accuracy_is_the_share_of_labels_or_of_attributes_read_rightly() -> None:
    x = np.array([[0.9, 0.1, 0.2], [0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32) - np.float32(0.3)
    assert classifier._accuracy(Rule(), Split(x, np.array([0, 2, 1])), 0) == pytest.approx(2 / 3)
    attributes = np.array([[1, 1, 0], [0, 0, 1], [1, 1, 0]])  # the first row has one wrong
    assert classifier._accuracy(Rule(), Split(x, attributes), 0) == pytest.approx(8 / 9)


def test_accuracy_is_taken_on_ten_thousand() -> None:
    """Of 10,001 points one alone is read rightly: a seed that leaves it out has none of 10,000."""
    x = np.tile(np.array([[1, 0, 0]], np.float32), (10_001, 1))
    y = np.ones(10_001, np.int64)
    kept, left = np.split(np.random.default_rng(4).permutation(10_001), [10_000])
    y[left] = 0
    assert classifier._accuracy(Rule(), Split(x, y), 4) == 0
    y[kept[0]] = 0
    assert classifier._accuracy(Rule(), Split(x, y), 4) == 1 / 10_000


def test_rows_come_in_the_order_of_the_file_with_their_labels() -> None:
    part = split(5)
    x, y = classifier._rows(Split(part.x, part.y.astype(np.int8)), np.array([4, 0, 3]))
    assert torch.equal(x, torch.from_numpy(part.x[[0, 3, 4]] / np.float32(255)))
    assert (y.tolist(), y.dtype) == ([0, 0, 1], torch.int64)


# ---- training


class Spy(torch.optim.AdamW):
    """Keeps its settings, and at each step the rate, the gradient it was given and the weights it made."""

    made: list[Spy] = []

    def __init__(self, parameters: Any, **settings: Any) -> None:
        super().__init__(parameters, **settings)
        self.settings, self.rates, self.before, self.gradients = settings, [], [], []
        Spy.made.append(self)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        self.rates.append(group["lr"])
        self.gradients.append([p.grad.clone() for p in group["params"]])
        super().step()


class Watched(Network):
    """Keeps the batches that it was given and the mode that it was in."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.batches: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(x)
        self.modes.append(self.training and self.convolutions.training)
        return super().forward(x)


@pytest.fixture
def spies(monkeypatch: pytest.MonkeyPatch) -> list[Spy]:
    monkeypatch.setattr(torch.optim, "AdamW", Spy)
    monkeypatch.setattr(Spy, "made", [])
    return Spy.made


def trained(part: Split, classes: int = 3, seed: int = 0) -> Watched:
    torch.manual_seed(0)
    network = Watched(SHAPE, classes, 5)
    network.eval()
    with torch.no_grad():
        classifier._train(network, part, torch.device("cpu"), seed)
    return network


def test_one_cycle_of_adamw_over_what_is_seen(monkeypatch: pytest.MonkeyPatch, spies: list[Spy]) -> None:
    monkeypatch.setattr(classifier, "TRAINING_BATCH", 4)
    monkeypatch.setattr(classifier, "SEEN", 83)
    part = split(10)
    network = trained(part)
    (spy,) = spies
    assert spy.settings == {"lr": 0.004, "weight_decay": 0.05}
    assert len(spy.rates) == 83 // 4
    assert [len(batch) for batch in network.batches] == [4] * 20
    assert all(network.modes)
    twin = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(twin, max_lr=0.004, total_steps=20)
    want = []
    for _ in range(20):
        want.append(twin.param_groups[0]["lr"])
        twin.step()
        cycle.step()
    assert spy.rates == pytest.approx(want)
    assert max(spy.rates) == pytest.approx(0.004, rel=0.01)
    assert spy.rates[0] == pytest.approx(0.004 / 25)
    # two batches of 4 are an epoch of 10, whose last 2 are left over: no image twice in an epoch, another order in each
    x = torch.from_numpy(part.x / np.float32(255))
    rows = [[int((x - image).abs().flatten(1).sum(1).argmin()) for image in batch] for batch in network.batches]
    assert all(torch.equal(x[own], batch) for own, batch in zip(rows, network.batches, strict=True))
    epochs = [rows[i] + rows[i + 1] for i in range(0, 20, 2)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10
    assert {row for epoch in epochs for row in epoch} == set(range(10))


@pytest.mark.parametrize("several", [False, True])
def test_each_step_has_the_gradient_of_its_own_batch(
    monkeypatch: pytest.MonkeyPatch, spies: list[Spy], several: bool
) -> None:
    """With rates of nothing the weights stay, and each gradient is the mean loss of its batch: nothing is added up."""
    monkeypatch.setattr(classifier, "TRAINING_BATCH", 4)
    monkeypatch.setattr(classifier, "SEEN", 16)
    monkeypatch.setattr(
        Spy, "step", lambda self: self.gradients.append([p.grad.clone() for p in self.param_groups[0]["params"]])
    )
    part = split(9)
    if several:
        part = Split(part.x, np.stack([part.y == 0, part.y > 1], 1).astype(np.int8))
    network = trained(part, 2 if several else 3)
    (spy,) = spies
    assert len(spy.gradients) == 4
    x, y = torch.from_numpy(part.x / np.float32(255)), torch.from_numpy(part.y).long()
    for batch, gradient in zip(network.batches[:4], spy.gradients, strict=True):
        rows = [int((x - image).abs().flatten(1).sum(1).argmin()) for image in batch]
        logits = Network.forward(network, batch)
        if several:
            p = logits.sigmoid()
            loss = -torch.where(y[rows] == 1, p, 1 - p).log().mean()
        else:
            loss = -logits.log_softmax(1)[range(4), y[rows]].mean()
        want = torch.autograd.grad(loss, list(network.parameters()))
        for got, own in zip(gradient, want, strict=True):
            assert torch.allclose(got, own, atol=1e-5)


def test_weights_move_and_the_seed_gives_the_order(monkeypatch: pytest.MonkeyPatch, spies: list[Spy]) -> None:
    monkeypatch.setattr(classifier, "TRAINING_BATCH", 4)
    monkeypatch.setattr(classifier, "SEEN", 16)
    torch.manual_seed(0)
    untrained = Network(SHAPE, 3, 5)
    a, b, c = (trained(split(9), seed=seed) for seed in (0, 0, 1))
    for p, q, r, s in zip(a.parameters(), b.parameters(), c.parameters(), untrained.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not torch.equal(p, r)
        assert not torch.equal(p, s)


def test_only_so_many_images_and_as_many_labels(monkeypatch: pytest.MonkeyPatch, spies: list[Spy]) -> None:
    monkeypatch.setattr(classifier, "TRAINING_BATCH", 2)
    monkeypatch.setattr(classifier, "SEEN", 40)
    monkeypatch.setattr(classifier, "IMAGES", 5)
    network = trained(split(12))
    assert len(torch.unique(torch.cat(network.batches), dim=0)) == 5


@pytest.mark.parametrize(("images", "steps", "batch"), [(3, 300, 3), (4, 10, 4), (5, 10, 4)])
def test_fewer_images_than_a_batch_are_seen_300_times(
    monkeypatch: pytest.MonkeyPatch, spies: list[Spy], images: int, steps: int, batch: int
) -> None:
    monkeypatch.setattr(classifier, "TRAINING_BATCH", 4)
    monkeypatch.setattr(classifier, "SEEN", 41)
    monkeypatch.setattr(Network, "forward", lambda self, x: self.output.weight.sum(1).expand(len(x), -1))
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: self.rates.append(0))
    network = trained(split(images))
    (spy,) = spies
    assert len(spy.rates) == steps
    assert {len(found) for found in network.batches} == {batch}


# ---- the whole, with a training that only counts


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def train(network: Network, part: Split, device: torch.device, seed: int) -> None:
        calls.append((part, device, seed))
        network.train()
        with torch.no_grad():
            network.output.bias += 1

    monkeypatch.setattr(classifier, "_train", train)
    monkeypatch.setenv("INTERALIA_CACHE", str(tmp_path))
    return calls


def test_a_classifier_is_trained_once_named_and_at_rest(counted: list[Any], tmp_path: Path) -> None:
    data = dataset()
    first, second = Classifier.for_dataset(data), Classifier.for_dataset(data, "cpu", 0, ())
    assert counted == [(data.train, torch.device("cpu"), 0)]
    assert (first.name, first.accuracy) == (second.name, second.accuracy)
    for found in (first, second):
        assert not any(module.training for module in found.network.modules())
        assert not any(p.requires_grad for p in found.network.parameters())
    for key, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value)
    y = torch.from_numpy(data.validation.y)
    right = float((first.predict(torch.from_numpy(data.validation.x / np.float32(255))) == y).double().mean())
    assert first.accuracy == right
    assert f"classifier of tiny (128 features, held-out accuracy {right:.4f}, weights " in first.name
    mark = first.name.rsplit("weights ", 1)[1].rstrip(")")
    assert len(mark) == 8
    assert int(mark, 16) >= 0
    (path,) = (tmp_path / "classifiers").iterdir()
    assert path.suffix == ".safetensors"
    assert len(path.stem) == 32
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {"accuracy": repr(right)}
    assert first.network.output.out_features == 3


def test_another_seed_draws_other_weights(counted: list[Any]) -> None:
    a, b = (Classifier.for_dataset(dataset(), seed=seed) for seed in (0, 1))
    assert a.name != b.name
    assert [call[2] for call in counted] == [0, 1]
    assert not torch.equal(a.network.output.weight, b.network.output.weight)


@pytest.mark.parametrize(
    ("validation", "test", "where", "count"),
    [
        (split(8, 1), split(6, 2), "held-out", 8),
        (Split(split(8, 1).x[:0], split(8, 1).y[:0]), split(6, 2), "held-out", 6),
        (Split(split(8, 1).x), split(6, 2), "held-out", 6),
        (Split(split(8, 1).x), Split(split(6, 2).x), "training", 12),
    ],
)
def test_where_its_accuracy_is_taken(
    counted: list[Any], monkeypatch: pytest.MonkeyPatch, validation: Split, test: Split, where: str, count: int
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(classifier, "_accuracy", lambda network, part, seed: seen.append((len(part), seed)) or 0.25)
    found = Classifier.for_dataset(dataset(validation=validation, test=test), seed=5)
    assert seen == [(count, 5)]
    assert found.accuracy == 0.25
    assert f"{where} accuracy 0.2500" in found.name


def test_as_many_labels_as_are_named_or_met(counted: list[Any]) -> None:
    for classes, want in (((), 3), (("a", "b", "c"), 3), (("a", "b", "c", "d"), 4), (("a",), 3)):
        assert Classifier.for_dataset(dataset(classes=classes)).network.output.out_features == want


def test_attributes_are_each_read_for_themselves(counted: list[Any]) -> None:
    bits = {
        part: np.arange(2 * n).reshape(n, 2).astype(np.int8) % 3 % 2
        for part, n in (("train", 12), ("validation", 8), ("test", 6))
    }
    data = dataset(attributes={"names": np.array(["tall", "wide"]), **bits})
    found = Classifier.for_dataset(data, attributes=["wide", "tall"])
    assert found.attributes == ("wide", "tall")
    assert found.name.startswith("classifier of wide, tall of tiny (")
    assert found.network.output.out_features == 2
    assert np.array_equal(counted[0][0].y, bits["train"][:, ::-1])
    x = torch.from_numpy(data.validation.x / np.float32(255))
    want = (found.predict(x).numpy() == bits["validation"][:, ::-1]).mean()
    assert found.accuracy == pytest.approx(want)
    assert Classifier.for_dataset(data).attributes == ()


# ---- what a cached one is known by


def test_the_key_is_of_all_that_settles_the_training(counted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    part, held = split(12), split(8, 1)

    def key(train: Split = part, held_out: Split | None = held, protocol: str = "1 0 cpu", **other: Any) -> str:
        return classifier._fingerprint(dataset(train=train, **other), held_out, protocol)

    keys = [
        key(),
        key(protocol="1 1 cpu"),
        key(classes=("a", "b", "c", "d")),
        key(Split(part.x[::-1].copy(), part.y)),
        key(Split(part.x, part.y[::-1].copy())),
        key(Split(part.x.reshape(12, 2, 3, 4), part.y)),
        key(Split(part.x.view(np.int8), part.y)),
        key(held_out=None),
        key(held_out=split(8, 3)),
        key(held_out=Split(held.x, held.y[::-1].copy())),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]
    assert key(Split(part.x, part.y.astype(np.int8))) == keys[0]  # the same labels in another width
    assert key(held_out=Split(held.x)) == key(held_out=None)  # without labels it is not looked at
    given = []
    monkeypatch.setattr(classifier, "_fingerprint", lambda data, held_out, protocol: given.append(protocol) or "key")
    Classifier.for_dataset(dataset(), seed=3)
    assert given == ["1 3 cpu"]


@pytest.mark.parametrize(("rows", "every"), [(255, 1), (256, 2), (511, 2), (512, 3)])
def test_the_key_looks_at_every_so_manieth_image(rows: int, every: int) -> None:
    part = split(rows)
    want = classifier._fingerprint(dataset(train=part), None, "")
    changed = []
    for row in range(6):
        x = part.x.copy()
        x[row] ^= 1
        changed.append(classifier._fingerprint(dataset(train=Split(x, part.y)), None, "") != want)
    assert changed == [row % every == 0 for row in range(6)]


def kept(path: Path, accuracy: str | None = "0.5", drop: str = "", network: Network | None = None) -> Path:
    from safetensors.torch import save_file

    state = {k: v for k, v in (network or Network(SHAPE, 3, 5)).state_dict().items() if k != drop}
    save_file(state, path, None if accuracy is None else {"accuracy": accuracy})
    return path


def test_a_kept_classifier_is_restored(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, other = Network(SHAPE, 3, 5), Network(SHAPE, 3, 5)
    network.convolutions[0][1].running_mean += 2
    path = tmp_path / "folder" / "new" / "key.safetensors"
    classifier._save(network, path, 1 / 3)
    assert list(path.parent.iterdir()) == [path]
    assert classifier._load(other, path) == 1 / 3
    for key, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: None,
        lambda path: path.write_bytes(b"no file of weights"),
        lambda path: path.mkdir(),
        lambda path: kept(path, None),
        lambda path: kept(path, "high"),
        lambda path: kept(path, drop="output.bias"),
        lambda path: kept(path, network=Network(SHAPE, 4, 5)),
    ],
)
def test_a_file_of_no_use_is_none(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "key.safetensors"
    damage(path)
    assert classifier._load(Network(SHAPE, 3, 5), path) is None


def test_metadata_without_an_accuracy_is_of_no_use(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "key.safetensors"
    save_file(Network(SHAPE, 3, 5).state_dict(), path, {"other": "1"})
    assert classifier._load(Network(SHAPE, 3, 5), path) is None


def test_a_damaged_file_does_not_touch_what_is_trained(counted: list[Any], tmp_path: Path) -> None:
    want = Classifier.for_dataset(dataset())
    (path,) = (tmp_path / "classifiers").iterdir()
    spoilt = Network(SHAPE, 3)
    kept(path, "high", network=spoilt)  # its weights are whole, its accuracy is no number
    kept(path, "0.5", "output.bias", spoilt)
    found = Classifier.for_dataset(dataset())
    assert len(counted) == 2
    assert found.name == want.name


def test_what_cannot_be_kept_is_said_of_the_callers_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    path = tmp_path / "classifiers" / "key.safetensors"
    with pytest.warns(
        UserWarning, match=r"could not be saved: .*classifiers.* could not be written \(disk full\)"
    ) as said:
        classifier._save(Network(SHAPE, 3, 5), path, 0.5)
    assert said[0].filename == __file__
    assert list(path.parent.iterdir()) == []
