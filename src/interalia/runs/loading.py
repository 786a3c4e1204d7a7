"""A trained game, back from its folder."""

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
from interalia.games.needs import Given, declared
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
    home = None if Path(folder).suffix == ".safetensors" else Folder(folder)
    file = home.weights if home else Path(folder)
    if home and home.run() and not file.exists():  # `run` raises where this is no run's folder
        raise UserError(
            f"{home.path} has no weights yet: its training was broken off before the first checkpoint; go on with "
            f"{resume_call(home.path)}."
        )
    about = header(file)
    data = DataSpec.read(about["data"])
    with safe_open(file, framework="pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a mapping)
    run = Run.restored(about["run"])
    check_plugins(run, about)
    check_arguments(run, file, game, generator, dataset)
    made = copy.deepcopy(game) if game is not None else built(as_trained(run, tensors), data, file, generator, trust)
    try:
        made.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the weights in {file} do not fit the run that they describe; export them anew."
            if game is None
            else f"the weights in {file} do not fit the game that is given ({reason}); make it as it was made then."
        ) from None
    made.data = data
    made.to(resolve_device(device)).eval()
    return Trained(made, run, home, about["step"], dataset)


def check_arguments(
    run: Run, file: Path, game: Game | None, generator: nn.Module | None, dataset: Dataset | None
) -> None:
    """Raises a UserError where what is given beside weights is what their run describes, or what it does not is not given."""
    if (run.game == FROM_PYTHON) != (game is not None):
        raise UserError(
            f"{file} holds the weights of a game of somebody's own; give one made in the same way: "
            f"interalia.load(folder, game=...)."
            if game is None
            else f"{file} holds the weights of a game that its run describes, {run.game}; leave `game` out."
        )
    if game is not None and generator is not None:
        raise UserError("a game of your own has its decoder with it; leave `generator` out.")
    if dataset is not None and run.data != FROM_PYTHON:
        raise UserError(f"{file} was trained on data that its run names, {run.data}; leave `dataset` out.")


def as_trained(run: Run, tensors: Mapping[str, Tensor]) -> Run:
    """The run with the networks that its weights are of, where there are weights: `auto` once gave an implicit encoder, and
    whatever stood beside it, fully connected networks for images of any size."""
    name, settings = registry.parse(run.networks, "networks")
    if name != "auto" or not tensors:
        return run
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    trained_before = [part for part, need in declared(kind).items() if isinstance(need, Given)]
    if any(tensor.ndim == 4 for key, tensor in tensors.items() if key.partition(".")[0] not in trained_before):
        return run
    plain = Auto(**settings).plain
    return run.replace(networks=f"{plain.name}(width={plain.width}, unary={plain.unary})")


def built(run: Run, data: DataSpec, file: Path, generator: nn.Module | None, trust: bool) -> Game:
    """The game of weights in `file`, before it has them."""
    place = file.parent.parent if file.parent.name == "checkpoints" else file.parent  # where the best weights lie
    # a generator's file has no other beside it; and what the weights' metadata name elsewhere is never opened
    placed = run if file.stem == "generator" else with_generator_copy(run, Folder(place))
    if run.pretrained_generator is not None and placed is run and generator is None:
        raise UserError(
            f"{file} infers for a generator, and no copy of that lies beside it; put the file that the run's folder keeps, "
            f"generator.safetensors or generator.pt2, into {place}."
        )
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    with torch.random.fork_rng(devices=[]):
        return building.build(placed, data, None, open_generator(placed, kind, generator, trust))


def open_generator(run: Run, kind: type[Game], module: nn.Module | None, trust: bool = False) -> dict[str, Conditional]:
    """The trained decoder of a game that only infers, by its name; nothing for a game that trains its own.

    Arguments:
        run: whose `generator` it is, where no module is given.
        kind: of the game.
        module: one that was trained, in its place; the game takes a copy.
        trust: whether a .pt2 file may be opened, which can execute code.

    Raises:
        UserError: it cannot be read, is told labels, or was trained with another prior, or is not trusted.
    """
    if module is None and run.pretrained_generator is None:
        return {}
    name = next((name for name, need in declared(kind).items() if isinstance(need, Given)), None)
    if name is None:
        raise UserError(f"{kind.__name__} trains a decoder of its own; leave `generator` out.")
    if module is not None:
        return {name: conditionals.Deterministic(copy.deepcopy(module))}  # the person's own stays as it is
    path = Path(run.pretrained_generator or "")
    if path.suffix == ".pt2":
        return {name: conditionals.Deterministic(generators.exported(path, run.latent_dim, trust))}
    if path.is_file() and path.suffix != ".safetensors":
        raise UserError(
            f"the generator {path} is a file of another kind; give the folder of a run, its .safetensors, or a .pt2 file "
            f"written by torch.export.save."
        )
    try:
        game = load(path, trust=trust).game
    except UserError as error:
        raise UserError(f"the generator that this run infers for cannot be loaded: {error}") from None
    if game.data.condition:
        raise UserError(
            f"the generator {path} is told {game.data.y}, and {kind.__name__} infers for one that is told nothing; give one "
            f"that was trained without."
        )
    if not isinstance(game, Generates):
        raise UserError(
            f"the run {run.pretrained_generator} has no decoder, being a {type(game).__name__}; give a generator's."
        )
    prior = registry.make(run.prior, conditionals.PRIORS, "prior", run.latent_dim)
    if _settings(game.prior) != _settings(prior):
        raise UserError(
            f"the generator {run.pretrained_generator} was trained with {game.prior.size} latents of prior {type(game.prior).__name__}, "
            f"and this run has {prior.size} of {type(prior).__name__}; give `latent_dim={game.prior.size}` and the same `prior`."
        )
    return {name: game.decoder}


def _settings(prior: Prior) -> dict[str, Any]:
    """What a prior was made with, its class included."""
    plain = {key: value for key, value in vars(prior).items() if not key.startswith("_") and key != "training"}
    return {"class": type(prior), **plain}
