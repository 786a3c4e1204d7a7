"""A trained game, back from its folder."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from interalia.errors import UserError
from interalia.runs import OWN, Run, described
from interalia.runs.building import build
from interalia.runs.folder import Folder, check_plugins, header, own_generator

if TYPE_CHECKING:
    from torch import nn

    from interalia.data.dataset import Dataset
    from interalia.games import Game


@dataclass(frozen=True)
class Trained:
    """A run's game with the weights that samples are drawn from.

    Attributes:
        game: in evaluation mode, with averaged weights where the run averages.
        run: the resolved description.
        folder: where it lies, or None.
        step: how many steps it was trained.
        given: the data that it was trained on, where they are at hand: from the training, or given from Python.
    """

    game: Game
    run: Run
    folder: Folder | None
    step: int
    given: Dataset | None = None

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data that it was trained on: those at hand, or else those that the run describes, loaded once."""
        return self.given or described.dataset(self.run)


def resolve_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the device {name!r} cannot be used here ({reason}); use --device auto or cpu.") from None
    return device


def load(
    folder: Path | str,
    device: str = "cpu",
    generator: nn.Module | None = None,
    *,
    game: Game | None = None,
    dataset: Dataset | None = None,
    trust: bool = False,
) -> Trained:
    """The trained game of a run's folder, from its exported weights.

    Arguments:
        folder: a run's folder, or a .safetensors file exported from one.
        device: where the game shall live.
        generator: the module of a game that was trained with one from Python; see `build`.
        game: of a run that was trained with a game of one's own: one made in the same way, which is left as it is.
        dataset: the data of a run that was trained with data of one's own, where they are to be measured on.
        trust: whether the copy of a generator that the run keeps may be opened where it is a .pt2 file, which can execute
            code; nothing else that a run keeps can.

    Raises:
        UserError: this is no run's folder, or the training has not saved any weights yet, or the file is damaged, or a
            game of one's own is not given, or does not fit, or a game or data are given that the run describes, or there
            is no copy of the generator beside the weights, or it is not trusted.
    """
    file = Path(folder)
    home: Folder | None = None
    if file.suffix != ".safetensors":
        home = Folder(folder)
        home.run()
        file = home.weights
        if not file.exists():
            raise UserError(
                f"{home.path} has no weights yet: its training was broken off before the first checkpoint; go on with "
                f"interalia train --resume {home.path}."
            )
    about = header(file)
    with safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a mapping)
    run = Run.restored(about["run"])
    check_plugins(run, about)
    if (run.game == OWN) != (game is not None):
        raise UserError(
            f"{file} holds the weights of a game of somebody's own; give one made in the same way: "
            f"interalia.load(folder, game=...)."
            if game is None
            else f"{file} holds the weights of a game that its run describes, {run.game}; leave `game` out."
        )
    if game is not None and generator is not None:
        raise UserError("a game of your own has its decoder with it; leave `generator` out.")
    if dataset is not None and run.data != OWN:
        raise UserError(f"{file} was trained on data that its run names, {run.data}; leave `dataset` out.")
    with torch.random.fork_rng(devices=[]):
        other = about.get("other")
        told = about.get("attributes", {})
        place = file.parent.parent if file.parent.name == "checkpoints" else file.parent  # where the best weights lie
        # a generator's file has no other beside it; and what the weights' metadata name elsewhere is never opened
        placed = run if file.stem == "generator" else own_generator(run, Folder(place))
        if run.generator is not None and placed is run and generator is None:
            raise UserError(
                f"{file} infers for a generator, and no copy of that lies beside it; put the file that the run's folder "
                f"keeps, generator.safetensors or generator.pt2, into {place}."
            )
        made = (
            copy.deepcopy(game)
            if game is not None
            else build(
                placed,
                tuple(about["shape"]),
                None,
                about.get("classes") or about.get("labels", 0),
                other and tuple(other),
                told,
                generator,
                about.get("names", ()),  # which older files do not have
                trust,
            )
        )
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        if game is not None:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"the weights in {file} do not fit the game that is given ({reason}); make it as it was made then."
            ) from None
        raise UserError(f"the weights in {file} do not fit the run that they describe; export them anew.") from None
    made.shape = tuple(about["shape"])
    made.to(resolve_device(device)).eval()
    return Trained(made, run, home, about["step"], dataset)
