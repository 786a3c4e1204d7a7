"""Loads a trained game from the folder of its run."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from interalia import conditionals, games, registry
from interalia.errors import UserError, resume_call
from interalia.games import DataSpec, building
from interalia.games.capabilities import Generates
from interalia.games.needs import Pretrained, example_needs
from interalia.networks.auto import Auto
from interalia.runs import FROM_PYTHON, Run, described, generators
from interalia.runs.folder import Folder, check_plugins, header, with_generator_copy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from interalia.conditionals import Conditional, Prior
    from interalia.data.dataset import Dataset
    from interalia.games import Game


@dataclass(frozen=True)
class Trained:
    """A trained game and its run.

    Attributes:
        game: the game in evaluation mode, with averaged weights if the run averages them.
        run: the description, "auto" resolved.
        folder: the folder of the run, or None.
        step: number of training steps.
        in_memory: the data set that it was trained on, if it is in memory: from the training, or an argument of `load`.
    """

    game: Game
    run: Run
    folder: Folder | None
    step: int
    in_memory: Dataset | None = None

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set that it was trained on: the one in memory, or the one that the run names, loaded once."""
        return self.in_memory or described.dataset(self.run)


def resolve_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA if available, else MPS, else the CPU.

    Raises:
        UserError: the device cannot be used.
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
        raise UserError(
            f"the device {name!r} cannot be used here ({reason}); choose `device='auto'` or `device='cpu'`."
        ) from None
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
    """Loads the trained game of a run.

    Files of older versions are loaded under today's names.

    Arguments:
        folder: the folder of a run, or a .safetensors file of one.
        device: the device of the game.
        generator: the pretrained generator, if the run was trained with a module from Python; see `build`.
        game: for a run of a custom game: a game made in the same way. It is copied.
        dataset: the data set of a run that was trained on custom data; only evaluation needs it.
        trust: True to open the run's copy of its generator if it is a .pt2 file, which can execute code. No other file of a
            run can.

    Raises:
        UserError: this is not the folder of a run, or has no weights yet, or a file is damaged; the custom game is missing or
            does not fit; a game or data are given that the run names itself; the copy of the generator is missing or not
            trusted.
    """
    home = None if Path(folder).suffix == ".safetensors" else Folder(folder)
    file = home.weights if home else Path(folder)
    if home and home.run() and not file.exists():  # `run` raises where this is no run's folder
        raise UserError(
            f"{home.path} has no weights yet: its training ended before the first checkpoint; continue it with "
            f"{resume_call(home.path)}."
        )
    about = header(file)
    data = DataSpec.read(about["data"])
    with safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a mapping)
    run = Run.restored(about["run"])
    check_plugins(run, about)
    check_arguments(run, file, game, generator, dataset)
    made = (
        copy.deepcopy(game)
        if game is not None
        else build_untrained(as_trained(run, tensors), data, file, generator, trust)
    )
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the weights in {file} do not fit the run in their header; export them again."
            if game is None
            else f"the weights in {file} do not fit `game` ({reason}); make it as it was made for the training."
        ) from None
    made.data = data
    made.to(resolve_device(device)).eval()
    return Trained(made, run, home, about["step"], dataset)


def check_arguments(
    run: Run, file: Path, game: Game | None, generator: nn.Module | None, dataset: Dataset | None
) -> None:
    """Raises a UserError unless exactly those arguments are given that the run does not describe; see `load`."""
    if (run.game == FROM_PYTHON) != (game is not None):
        raise UserError(
            f"{file} holds the weights of a custom game; give a game made in the same way: interalia.load(folder, game=...)."
            if game is None
            else f"{file} holds the weights of {run.game}, a game that its run names; leave `game` out."
        )
    if game is not None and generator is not None:
        raise UserError("a custom game has its own decoder; leave `generator` out.")
    if dataset is not None and run.data != FROM_PYTHON:
        raise UserError(f"{file} was trained on {run.data}, data that its run names; leave `dataset` out.")


def as_trained(run: Run, tensors: Mapping[str, Tensor]) -> Run:
    """The run with the networks that its weights belong to.

    In older versions `auto` built fully connected networks for images of any size if the encoder was implicit.
    """
    name, settings = registry.parse(run.networks, "networks")
    if name != "auto" or not tensors:
        return run
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    trained_before = [part for part, need in example_needs(kind).items() if isinstance(need, Pretrained)]
    if any(tensor.ndim == 4 for key, tensor in tensors.items() if key.partition(".")[0] not in trained_before):
        return run
    plain = Auto(**settings).mlp_family
    return run.replace(networks=f"{plain.name}(width={plain.width}, unary={plain.unary})")


def build_untrained(run: Run, data: DataSpec, file: Path, generator: nn.Module | None, trust: bool) -> Game:
    """The untrained game of the run that the weights in `file` belong to."""
    place = file.parent.parent if file.parent.name == "checkpoints" else file.parent  # of the best weights
    # a path in the weights' metadata is never opened: only a copy beside them is
    copied = run if file.stem == "generator" else with_generator_copy(run, Folder(place))
    if run.pretrained_generator is not None and copied is run and generator is None:
        raise UserError(
            f"{file} needs its pretrained generator, and there is no copy beside it; copy the file generator.safetensors or "
            f"generator.pt2 of the run's folder into {place}."
        )
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    with torch.random.fork_rng(devices=[]):
        return building.build(copied, data, None, open_generator(copied, kind, generator, trust))


def open_generator(run: Run, kind: type[Game], module: nn.Module | None, trust: bool = False) -> dict[str, Conditional]:
    """The pretrained decoder of a game that trains an encoder alone, by its name in the game; empty for other games.

    Arguments:
        run: the run, whose `pretrained_generator` is opened if `module` is None.
        kind: the class of the game.
        module: a trained module z -> x in its place; it is copied.
        trust: True to open a .pt2 file, which can execute code.

    Raises:
        UserError: the generator cannot be read, is conditional, was trained with another prior, or is not trusted; or the
            game trains its own decoder.
    """
    if module is None and run.pretrained_generator is None:
        return {}
    name = next((name for name, need in example_needs(kind).items() if isinstance(need, Pretrained)), None)
    if name is None:
        raise UserError(f"{kind.__name__} trains its decoder itself; leave `generator` out.")
    if module is not None:
        return {name: conditionals.Deterministic(copy.deepcopy(module))}  # the user's module is left unchanged
    path = Path(run.pretrained_generator or "")
    if path.suffix == ".pt2":
        return {name: conditionals.Deterministic(generators.load_exported(path, run.latent_dim, trust))}
    if path.is_file() and path.suffix != ".safetensors":
        raise UserError(
            f"the generator {path} is of an unknown file type; give the folder of a run, its .safetensors file, or a .pt2 "
            f"file of torch.export.save."
        )
    try:
        game = load(path, trust=trust).game
    except UserError as error:
        raise UserError(f"the pretrained generator of this run cannot be loaded: {error}") from None
    if game.data.condition:
        raise UserError(
            f"the generator {path} is conditional on {game.data.y}, and {kind.__name__} needs an unconditional one; give one "
            f"that was trained without `condition_on`."
        )
    if not isinstance(game, Generates):
        raise UserError(
            f"the run {run.pretrained_generator} is a {type(game).__name__}, which has no decoder; give a run that has one."
        )
    prior = registry.make(run.prior, conditionals.PRIORS, "prior", run.latent_dim)
    if _settings(game.prior) != _settings(prior):
        raise UserError(
            f"the generator {path} was trained with {game.prior.size} latents of prior {type(game.prior).__name__}, and "
            f"this run has {prior.size} of {type(prior).__name__}; give `latent_dim={game.prior.size}` and the same `prior`."
        )
    return {name: game.decoder}


def _settings(prior: Prior) -> dict[str, Any]:
    """The class of a prior and the values that it was made with."""
    plain = {key: value for key, value in vars(prior).items() if not key.startswith("_") and key != "training"}
    return {"class": type(prior), **plain}
