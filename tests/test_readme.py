"""The README and the guide are valid: their Python runs, their commands parse, their links lead to files and headings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from interalia import cli, load
from interalia.cli.aliases import translated
from interalia.metrics import REGISTRY
from interalia.registry import registry
from interalia.runs import recipes
from interalia.training.callbacks import Checkpoint

ROOT = Path(__file__).parents[1]
PAGES = {
    page: (ROOT / page).read_text()
    for page in (
        "README.md", "docs/guide.md", "docs/first-hour.md", "docs/compile.md", "docs/detect.md", "docs/scale.md",
        "docs/results/gpu.md",
    )
}  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_the_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for entries in ("added", "origins"):  # restored afterwards: the guide adds a metric
        monkeypatch.setattr(REGISTRY, entries, dict(getattr(REGISTRY, entries)))
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        exec(compile(block, page, "exec"), names)
    assert tuple(names["z"].shape) == (16, 16)  # type: ignore[attr-defined]
    assert Path("runs/digits/weights.safetensors").exists()
    if page == "docs/guide.md":
        assert tuple(names["path"].shape) == (4, 9, 1, 8, 8)  # type: ignore[attr-defined]


def test_the_notebook_of_the_first_hour_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells run in few steps, on an array of noise in place of the X-rays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interalia.metrics.classifier.SEEN", 256)  # images of the classifier's training
    drawn, arrays = np.random.default_rng(0), {}
    for split, n in (("train", 200), ("test", 200)):
        arrays[f"{split}_images"] = drawn.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(n) % 2)[:, None]
    np.savez("pneumoniamnist.npz", **arrays)
    source = "".join(re.findall(r"```python\n(.*?)```", PAGES["docs/first-hour.md"], re.DOTALL))
    for words, few in (("minutes=2", "steps=2, batch_size=8, evaluate_every=0"), ("Detector(", "Detector(steps=2, ")):
        assert words in source
        source = source.replace(words, few)
    names: dict[str, object] = {}
    exec(compile(source, "docs/first-hour.md", "exec"), names)
    assert tuple(names["edited"].shape) == (4, 3, 1, 28, 28)  # type: ignore[attr-defined]
    assert tuple(names["q"].draws.shape) == (16, 200, 64)  # type: ignore[attr-defined]
    assert Path("runs/notebook/weights.safetensors").exists()


def test_the_detector_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In few steps."""
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"```python\n(.*?)```", PAGES["docs/detect.md"], re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(source.replace("Detector(", "Detector(steps=2, "), "docs/detect.md", "exec"), names)
    assert Path("detector.safetensors").exists()


def commands() -> list[list[str]]:
    """The words of each command line in the blocks of the pages, which are fenced or indented; also behind torchrun."""
    found = [re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE) for page in PAGES.values()]
    blocks = [block for page in found for language, block in page if not language]
    blocks += [
        "".join(re.findall(r"^    \S.*\n", re.sub(r"(?s)^```.*?^```", "", page, flags=re.M), re.M))
        for page in PAGES.values()
    ]
    lines = [line.split("#")[0].split(">")[0].strip() for line in "".join(blocks).splitlines()]
    lines = [re.sub(r"^torchrun .*? -m ", "", line) for line in lines]
    lines = [line for line in lines if line.startswith("interalia ") and "$" not in line]  # without those of a loop
    return [shlex.split(line.replace("[IMAGES]", "IMAGES"))[1:] for line in dict.fromkeys(lines)]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_the_commands_are_understood(command: list[str]) -> None:
    function, bound, _ = cli.app.parse_args(translated(command), exit_on_error=False, print_error=False)
    assert callable(function)
    assert command[0] != "reproduce" or command[1] in registry("experiments")
    if command[0] == "train" and "--resume" not in command and not any(word.endswith(".toml") for word in command):
        overrides = bound.arguments.get("overrides")
        given = {k: v for k, v in vars(overrides).items() if v is not None} if overrides else {}
        cli.training.make_run(bound.arguments.get("recipe"), given).check_parts()


POST_HOC = [command for command in commands() if "--pretrained-generator" in command]


@pytest.mark.parametrize(
    "command", [*POST_HOC, [*POST_HOC[0][:1], "latent-regressor-mnist", *POST_HOC[0][2:]]], ids=" ".join
)
def test_the_post_hoc_commands_work_as_typed(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interalia.training.callbacks.default_callbacks", lambda training, tensorboard: [Checkpoint()])
    monkeypatch.setattr("interalia.reports.make", lambda trained: "")
    short = ["--data", "digits", "--steps", "2"]
    place = command.index("--data-dir")
    command = [*command[:place], *command[place + 2 :], *short]

    def code(*words: str) -> object:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        return end.value.code

    assert code("train", "gan-mnist", *short, "--out", command[command.index("--pretrained-generator") + 1]) == 0
    assert code(*command, "--out", "encoder") == 0
    assert load("encoder").game.prior.size == recipes.gan_mnist().latent_dim
    assert code(*command, "--latent-dim", "5", "--out", "other") == 2  # not the dimension of the generator's z


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_kind_of_component_that_a_run_names_is_shown() -> None:
    for heading in ("Models", "Adversarial losses", "Update schemes", "Networks", "Data sets"):
        assert f"components.md#{heading.lower().replace(' ', '-')}" in PAGES["docs/guide.md"]
