"""Games that are conditional on clusters or codes: the labels, the file in the run's folder, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import interalia
from interalia.data import Dataset, Split
from interalia.errors import UserError
from interalia.metrics import REGISTRY, Evidence
from interalia.runs import Run, building, clusters, loading
from interalia.training import engine
from interalia.training.callbacks import default_callbacks

SMALL = Run(data="digits", networks="mlp(width=8)", latent_dim=4, steps=2, evaluate_every=0, checkpoint_every=2)
CENTRES = np.array([[0, 0], [9, 0], [0, 9]], np.float32)


def blobs(count: int, seed: int) -> tuple[Split, np.ndarray]:
    """Points around three centres, without labels, and the centre of each."""
    random = np.random.default_rng(seed)
    which = random.integers(0, 3, count)
    return Split(CENTRES[which] + random.normal(size=(count, 2)).astype(np.float32) / 9), which


def three() -> tuple[Dataset, list[np.ndarray]]:
    parts = [blobs(count, seed) for seed, count in enumerate((60, 12, 15))]
    return Dataset("blobs", *(split for split, _ in parts)), [which for _, which in parts]


def train(run: Run, folder: Path) -> None:
    training = engine.open_run(run, folder)
    engine.finish(training, default_callbacks(training))


def refuse(path: Path) -> interalia.Game:
    raise AssertionError(path)


def test_k_means_finds_the_blobs_in_every_split() -> None:
    dataset, true = three()
    found = clusters.KMeans(3)(dataset, 0, refuse)
    name = {int(a): int(b) for a, b in zip(true[0], found["train"], strict=True)}
    assert sorted(name.values()) == [0, 1, 2]
    for part, which in zip(clusters.PARTS, true, strict=True):
        assert found[part].dtype == np.int64
        assert found[part].tolist() == [name[int(one)] for one in which]


def test_clusters_are_fitted_to_the_training_split_alone() -> None:
    dataset, _ = three()
    moved = replace(dataset, test=Split(dataset.test.x + 100), validation=Split(dataset.validation.x - 100))
    a, b = (clusters.KMeans(3)(one, 0, refuse) for one in (dataset, moved))
    assert (a["train"] == b["train"]).all()
    corner = len(set(b["test"].tolist())) + len(set(b["validation"].tolist()))  # all are in the nearest one now
    assert corner < 6


def test_principal_components_are_of_more_than_fifty_numbers_alone() -> None:
    wide = interalia.data.load("digits")
    found = clusters.KMeans(10)(wide, 0, refuse)
    assert np.bincount(found["train"]).min() > 0
    assert (clusters.KMeans(10)(wide, 0, refuse)["test"] == found["test"]).all()


def test_a_game_on_unlabelled_data_is_conditional_on_clusters() -> None:
    dataset, _ = three()
    run = Run(condition_on="kmeans(3)", networks="mlp(width=8)", latent_dim=2)
    game = building.build_for(run, dataset)
    assert (game.data.condition, game.data.names) == (3, ("0", "1", "2"))


def test_labels_stay_beside_clusters() -> None:
    dataset = loading.load_dataset(SMALL.replace(condition_on="kmeans(4)"))
    assert dataset.labels == 10
    assert set(dataset.conditions("test").tolist()) == {0, 1, 2, 3}
    game = building.build_for(SMALL.replace(condition_on="kmeans(4)"), dataset)
    assert REGISTRY["label_accuracy"].missing_need(Evidence(game, dataset))  # clusters are no labels
    plain = building.build_for(SMALL.replace(condition_on="labels"), interalia.data.load("digits"))
    assert plain.data.condition == 10


def test_the_folder_keeps_the_clusters(tmp_path: Path) -> None:
    run, place = SMALL.replace(condition_on="kmeans(3)", game="ali(mismatch=0.5)"), tmp_path / "run"
    train(run, place)
    file = place / "clusters.safetensors"
    kept = load_file(file)
    turned = {part: 2 - labels for part, labels in kept.items()}
    save_file(turned, file)  # what another machine may have found: no one finds them again
    done = interalia.load(place)
    assert (done.dataset.conditions("test") == turned["test"]).all()
    resumed = engine.open_run(run.replace(steps=3), place, resume=True)
    assert (resumed.dataset.clusters["train"] == turned["train"]).all()
    engine.finish(resumed, default_callbacks(resumed))
    file.write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        interalia.load(place).dataset.conditions("test")
    save_file({part: labels[:5] for part, labels in kept.items()}, file)
    with pytest.raises(UserError, match="other data"):
        interalia.load(place).dataset.conditions("test")


def test_the_latents_of_a_run_are_clustered_and_codes_are_categories(tmp_path: Path) -> None:
    first, info = tmp_path / "first", tmp_path / "info"
    train(SMALL, first)
    prior = "codes(categorical=[5], uniform=1)"
    train(SMALL.replace(game="infogan", prior=prior, latent_dim=9), info)
    digits = interalia.data.load("digits")
    for text, most in ((f"kmeans(3, run='{first}')", 3), (f"kmeans(3, run='{first}', features=True)", 3)):
        dataset = loading.load_dataset(SMALL.replace(condition_on=text))
        assert len(set(dataset.clusters["train"].tolist())) == most
    coded = loading.load_dataset(SMALL.replace(condition_on=f"codes(run='{info}')"))
    parameters = interalia.load(info).game
    x = interalia.data.as_tensor(digits.test.x)
    wanted = interalia.tasks.code_parameters(parameters, x)[:, :5].argmax(1)
    assert coded.clusters["test"].tolist() == wanted.tolist()
    with pytest.raises(UserError, match="recognizes codes"):
        loading.load_dataset(SMALL.replace(condition_on=f"codes(run='{first}')"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("kmeans(1)", "from 2 to 1,297"),
        ("kmeans(5000)", "from 2 to 1,297"),
        ("kmeans(k=3)", "has no setting 'k'"),
        ("kmeans(3, features=True)", "`run`"),
        ("codes", "`codes` are those of a trained InfoGAN"),
    ],
)
def test_what_is_refused(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        loading.load_dataset(SMALL.replace(condition_on=text))


def test_two_domains_have_no_clusters() -> None:
    dataset, _ = three()
    with pytest.raises(UserError, match="one domain"):
        loading.with_clusters(Run(condition_on="kmeans(3)"), dataset.with_other(dataset, "two"))
