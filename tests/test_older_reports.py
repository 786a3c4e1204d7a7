"""The page of a run that an older version wrote is the page of the same run under today's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interalia import reports
from interalia.runs.folder import Folder

OLD: dict[str, dict[str, Any]] = {
    "run.json": {
        "format": 2, "name": "mine", "game": "ali", "data": "mnist", "binarise": "fresh", "latent": 16, "encoder": "dirac",
        "penalty": "interpolated(weight=1.0)", "optimiser": "adam(lr=0.001)", "rates": {"critic": 0.0001}, "batch": 64,
        "noise": "none", "ema": 0.99, "average": "moving", "best": "posterior_kl", "steps": 20, "labels": True,
    },
    "results.json": {
        "measures": [
            {"name": "nearest_neighbour_hidden", "value": 0.97, "unit": "", "better": "higher", "about": "", "protocol": ""},
            {"name": "nearest_neighbour_untrained", "value": 0.9, "unit": "", "better": None, "about": "", "protocol": ""},
            {"name": "frechet_distance", "value": 7.5, "unit": "", "better": "lower", "about": "", "protocol": ""},
            {"name": "frechet_floor", "value": 1.25, "unit": "", "better": None, "about": "", "protocol": ""},
        ],
        "split": "test", "step": 20,
    },
    "likelihood.json": {
        "estimates": [{"name": "elbo", "value": -101.25, "error": 1.5, "images": 60, "protocol": "E."}],
        "split": "test", "binarization": "fresh in training, drawn once here", "step": 20,
    },
    "log": {"step": 20, "losses/critic": 1.0, "measures/posterior_kl": 0.5, "measures/own": 2.0},
}  # fmt: skip
NEW: dict[str, dict[str, Any]] = {
    "run.json": {
        "format": 3, "name": "mine", "game": "ali", "data": "mnist", "binarize": "dynamic", "latent_dim": 16,
        "encoder": "deterministic", "penalty": "wgan-gp(weight=1.0)", "optimizer": "adam(lr=0.001)", "lr": {"critic": 0.0001},
        "batch_size": 64, "instance_noise": "none", "monitor": "aggregate_posterior_kl", "steps": 20,
        "condition_on": "labels", "weight_average": "ema(0.99)",
    },
    "results.json": {
        "metrics": [
            {**one, "name": name}
            for one, name in zip(
                OLD["results.json"]["measures"],
                ("knn1_features", "knn1_random_init", "frechet_distance", "frechet_real_vs_real"),
                strict=True,
            )
        ],
        "split": "test", "step": 20,
    },
    "likelihood.json": {**OLD["likelihood.json"], "binarization": "dynamic in training, drawn once here"},
    "log": {"step": 20, "losses/critic": 1.0, "metrics/aggregate_posterior_kl": 0.5, "metrics/own": 2.0},
}  # fmt: skip


def page(folder: Path, files: dict[str, dict[str, Any]]) -> str:
    """The page of a folder with these files, without what the folder is called."""
    folder.mkdir()
    for name, values in files.items():
        path = folder / ("log.jsonl" if name == "log" else name)
        path.write_text(json.dumps(values) + "\n")
    return reports.write(folder).read_text(encoding="utf-8").replace(str(folder), "RUN")


@pytest.mark.usefixtures("sketches")
def test_a_page_of_older_files_is_todays(tmp_path: Path) -> None:
    old, new = page(tmp_path / "old", OLD), page(tmp_path / "new", NEW)
    assert old == new
    for shown in (
        "knn1 features",
        "(untrained encoder: 90.0%)",
        "real data: 1.25",
        "latent_dim",
        "dynamic in",
    ):
        assert shown in old
    for gone in (
        "measures",
        "nearest neighbour hidden",
        "frechet floor",
        "<dt>latent<",
        "<dt>batch<",
        "dirac",
        "interpolated",
        "fresh",
    ):
        assert gone not in old
    assert (tmp_path / "old" / "figures" / "metrics.png").is_file()
    assert list(Folder(tmp_path / "old").log_lines()[0]) == [*NEW["log"]]


def test_todays_metrics_stand_beside_those_of_an_older_evaluation(tmp_path: Path) -> None:
    """What an older version measured of the same weights stays in results.json, under today's names."""
    from interalia.reports.measuring import merged_with_previous

    (tmp_path / "results.json").write_text(json.dumps(OLD["results.json"]))
    found = {"metrics": [{"name": "psnr", "value": 20.0}], "split": "test", "step": 20}
    names = [one["name"] for one in merged_with_previous(Folder(tmp_path), found)]
    assert set(names) == {"psnr", *(one["name"] for one in NEW["results.json"]["metrics"])}
