"""Functions that load a trained game from the folder of its run, and the data set and pretrained generator of a run."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from interalia import data, games, registry
from interalia.data.binarize import binarize
from interalia.data.scaling import Units, restore
from interalia.errors import UserError, resume_call
from interalia.games import DataSpec, building
from interalia.games.capabilities import Generates
from interalia.games.needs import Pretrained, critic_of_x, example_needs
from interalia.runs import FROM_PYTHON, Run, clusters
from interalia.runs.folder import Folder, check_plugins, header, read_weights, with_generator_copy, with_split_copy

if TYPE_CHECKING:
    from interalia.conditionals import Prior
    from interalia.data.dataset import Dataset
    from interalia.games import Game


def load_dataset(run: Run, folder: Folder | None = None, units: tuple[Units, Units] | None = None) -> Dataset:
    """Loads the data set that a run names, resized and binarized by the run's fields `image_size` and `binarize`.

    If the run names a second data set, `data_b`, it is the attribute `other` of the result.

    Arguments:
        run: the run.
        folder: the folder of the run, whose copy of the file of splits is used; None for a run without a folder.
        units: the units of the data and of the second domain that a game was trained on, by which the numbers are scaled;
            None to scale them as the run names.

    Raises:
        UserError: there are no such data, the images of the two data sets differ in shape, or the run was trained on a
            custom data set, which it does not name.
    """
    run = run.canonical()
    if run.data == FROM_PYTHON:
        raise UserError(
            "this run was trained on custom data, which were given from Python; give them again: "
            "interalia.load(folder, dataset=...)."
        )
    check_places(run, folder)
    run = with_split_copy(run, folder)
    root = Path(run.data_dir) if run.data_dir else None
    load = functools.partial(
        data.load,
        data_dir=root,
        image_size=run.image_size,
        seed=run.seed,
        group=run.group,
        gray=run.gray,
        crop=run.crop,
        layout=run.layout,
        impute=run.impute,
    )
    found = load(run.data, split=run.split, fold=run.fold, scale=units or run.scale)
    if run.flip:
        found = mirrored(found)
    if run.binarize != "none":
        found = binarize(found, run.binarize)
    if run.data_b is None:
        return with_clusters(run, found, folder)
    if run.binarize != "none":
        raise UserError("`binarize` needs a game with one data set; leave out `binarize` or `data_b`.")
    other = load(run.data_b, scale=units[1] if units else run.scale)
    other = mirrored(other) if run.flip else other
    return with_clusters(run, found.with_other(other, f"{found.name} to {other.name}"), folder)


def with_clusters(run: Run, dataset: Dataset, folder: Folder | None = None) -> Dataset:
    """Returns the data set with the clusters or codes that the run's field `condition_on` names, as "kmeans(10)" does; the
    data set itself if it names none, or if they have been found already.

    Arguments:
        run: the run.
        dataset: its data.
        folder: the folder of the run, which keeps them in a file from the first call on; None to find them again.

    Raises:
        UserError: they cannot be found, or the file has those of other data.
    """
    if dataset.clusters or not clusters.is_labeler(run.condition_on):
        return dataset
    place = None if folder is None else folder.clusters
    return clusters.with_clusters(dataset, str(run.condition_on), run.seed, place, lambda path: load(path).game)


def mirrored(dataset: Dataset) -> Dataset:
    """Returns the data set whose training images are mirrored at random, left to right, in every batch.

    Raises:
        UserError: the data are no images.
    """
    if not dataset.is_image:
        raise UserError("`flip` mirrors images, and the data are vectors; leave `flip` out.")
    other = None if dataset.other is None else mirrored(dataset.other)
    return replace(dataset, mirrored=True, other=other)


def check_places(run: Run, folder: Folder | None) -> None:
    """Raises a UserError if a path of the data of a saved run leads to nothing now; `folder` is that of the run, or None."""
    for key, text in (("data", run.data), ("data_b", run.data_b)):
        saved = folder is not None and folder.description.exists()
        if saved and text and Path(text).is_absolute() and not os.path.lexists(text):
            raise UserError(f"there is no file or folder {text} any more; give the place where it is now by `{key}`.")


@dataclass(frozen=True, repr=False)
class Loaded:
    """A trained game with the run that describes its training, the run's folder and the number of training steps.

    `interalia.load` and `interalia.train` return its subclass `interalia.Trained`, which has the tasks as methods.

    Attributes:
        game: the game in evaluation mode, with averaged weights if the run averages them.
        run: the description of the training, with the values that were chosen for "auto".
        folder: the folder of the run; None if the training wrote none, or a file of weights was loaded.
        step: number of training steps.
        in_memory: the data set that the game was trained on, if it was passed to the training or to `load`; None if it has
            to be loaded.
    """

    game: Game
    run: Run
    folder: Folder | None
    step: int
    in_memory: Dataset | None = None

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The data set that the game was trained on: the field `in_memory` if it is not None; otherwise the data set that the
        run names, which is loaded at the first access. Data that have changed are scaled as those that were trained on.

        Raises:
            UserError: the data cannot be loaded, or do not fit the scaling, or `in_memory` was scaled otherwise.
        """
        own, spec = self.in_memory, self.game.data
        found = with_clusters(self.run, own, self.folder) if own else load_dataset(self.run, self.folder)
        first, second = restore(spec.units), restore(spec.other_units)
        fits = spec.other is None or found.other is None or (found.other.units or Units()) == (second or Units())
        if not spec.shape or ((found.units or Units()) == (first or Units()) and fits):
            return found
        if self.in_memory is not None:
            raise UserError(
                f"the data set {found.name!r} was scaled otherwise than that which the game was trained on; read it with "
                f"scale={'interalia.tasks.units_of(game)' if first and first.scaling else repr('none')}."
            )
        return load_dataset(self.run, self.folder, (first or Units(), second or Units()))


def resolve_device(name: str) -> torch.device:
    """Returns the torch device with a name such as "cpu" or "cuda:1"; for "auto" CUDA if available, else the CPU.

    Raises:
        UserError: there is no such device, or it cannot be used on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # meta has no numbers
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
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
    data: Path | str | None = None,
    data_dir: Path | str | None = None,
    data_b: Path | str | None = None,
) -> Loaded:
    """Loads the trained game of a run, and returns it in evaluation mode, with the description of its training.

    Files of older versions can be loaded too; fields of the run get their current names.

    Arguments:
        folder: the folder of a run, or a .safetensors file of weights from it.
        device: the device that the game is moved to; "auto" is CUDA if available, else MPS, else the CPU.
        generator: the pretrained generator, a module z -> x, if the run was trained with one that was passed as an object;
            None if the folder has a copy, or the run has no generator.
        game: for a run of a custom game, a game that was created in the same way, of which a copy gets the trained weights;
            None for a game that the run names.
        dataset: the data set of a run that was trained on custom data; only evaluation needs it.
        trust: True to open the run's copy of its generator if it is a .pt2 file, which can execute code. No other file of a
            run can.
        data: the folder or file where the training data are now, if they have moved; None for the place that the run names.
            Evaluations warn if they are other data.
        data_dir: the folder of the files of a named data set now; None for the one that the run names.
        data_b: the place of the second data set now, as `data`.

    Raises:
        UserError: this is not the folder of a run, or has no weights yet, or a file is damaged; the custom game is missing or
            does not fit; a game or data are passed that the run names itself; the copy of the generator is missing or not
            trusted.
    """
    if not isinstance(folder, str | Path):
        raise UserError(f"`folder` is of type {type(folder).__name__}, and it must be the path of a run's folder.")
    home = None if Path(folder).suffix == ".safetensors" else Folder(folder)
    file = home.weights if home else Path(folder)
    if home and home.run() and not file.exists():  # `run` raises where this is no run's folder
        raise UserError(
            f"{home.path} has no weights yet: its training ended before the first checkpoint; continue it with "
            f"{resume_call(home.path)}."
        )
    about = header(file)
    spec: DataSpec = about["data"]
    tensors = read_weights(file, about)
    run = Run.restored(about["run"])
    check_plugins(run, about)
    check_arguments(run, file, game, generator, dataset)
    made = (
        build_untrained(as_trained(run, tensors, spec.shape), spec, file, generator, trust)
        if game is None
        else deepcopy(game)
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
    made.data = spec
    building.place(made, resolve_device(device))
    places = {"data": data, "data_dir": data_dir, "data_b": data_b}
    moved: Any = {key: str(Path(path).expanduser()) for key, path in places.items() if path is not None}
    if moved:
        if run.data == FROM_PYTHON:
            raise UserError(f"{file} was trained on custom data; give them as `dataset`, and leave `data` out.")
        if "data_b" in moved and run.data_b is None:
            raise UserError(f"{file} was trained on one data set, and not on a second one; leave `data_b` out.")
        run = run.replace(**moved).with_absolute_paths()
    return Loaded(made, run, home, about["step"], dataset)


def check_arguments(run: Run, file: Path, game: Game | None, generator: nn.Module | None, data: Dataset | None) -> None:
    """Raises a UserError if `load` needs a custom game that was not passed, or if an argument was passed that it cannot use.

    Arguments:
        run: the run to load.
        file: its file of weights, for the error messages.
        game: the custom game that was passed, or None. It is required if the run was trained with a custom game, and must be
            None otherwise.
        generator: the pretrained generator that was passed, or None; it must be None if `game` is not.
        data: the data set that was passed; it must be None if the run names its data.
    """
    if (run.game == FROM_PYTHON) != (game is not None):
        raise UserError(
            f"{file} holds the weights of a custom game; give a game made in the same way: interalia.load(folder, game=...)."
            if game is None
            else f"{file} holds the weights of {run.game}, a game that its run names; leave `game` out."
        )
    if game is not None and generator is not None:
        raise UserError("a custom game has its own decoder; leave `generator` out.")
    if data is not None and run.data != FROM_PYTHON:
        raise UserError(f"{file} was trained on {run.data}, data that its run names; leave `dataset` out.")


def as_trained(run: Run, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Run:
    """Returns a copy of a run with fully connected networks in place of "auto", if its weights are from such networks.

    In older versions the networks "auto" were fully connected for images of any size if the encoder was implicit. Weights are
    from such networks if none has 4 dimensions, as the weights of a convolution have; those of a pretrained network do not
    count. Otherwise, and if its networks are not "auto" or the data are no images, the run itself is returned.

    Arguments:
        run: the run.
        tensors: the trained weights, by name.
        shape: the shape of one example of the data, (channels, height, width) of images.
    """
    name, _ = registry.parse(run.networks, "networks")
    if name != "auto" or not tensors or len(shape) != 3:
        return run
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    trained_before = [part for part, need in example_needs(kind).items() if isinstance(need, Pretrained)]
    if any(tensor.ndim == 4 for key, tensor in tensors.items() if key.partition(".")[0] not in trained_before):
        return run
    plain = registry.make(run.networks, registry.registry("networks"), "networks").mlp_family
    return run.replace(networks=f"{plain.name}(width={plain.width}, unary={plain.unary})")


def build_untrained(run: Run, data: DataSpec, file: Path, generator: nn.Module | None, trust: bool) -> Game:
    """Builds and returns the untrained game of a run, into which its weights can be loaded.

    Arguments:
        run: the run.
        data: the shape, labels and attributes of the training data, from the header of the weights.
        file: the file of the weights; a copy of the pretrained generator, if there is one, is expected in the same folder,
            or one folder up for weights in ``checkpoints/``.
        generator: the pretrained generator, a module z -> x, in place of the copy.
        trust: True to open a copy that is a .pt2 file, which can execute code.

    Raises:
        UserError: the copy of the generator is missing, or cannot be loaded.
    """
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


def open_generator(run: Run, kind: type[Game], module: nn.Module | None, trust: bool = False) -> dict[str, nn.Module]:
    """Returns the pretrained networks of a game that trains only an encoder, by their names in the game: the decoder
    p(x | z), as {"decoder": ...}, and its critic, as "critic", if the game takes one and the generator is from a run that
    has a critic of x alone. The dictionary is empty if neither the run nor `module` provides a generator.

    Arguments:
        run: the run, whose `pretrained_generator` is loaded if `module` is None.
        kind: the class of the game.
        module: a trained module z -> x, of which a copy becomes the decoder; None if none was passed.
        trust: True to open a .pt2 file, which can execute code.

    Raises:
        UserError: the generator cannot be read, is conditional, was trained with another prior, or is not trusted; or the
            game trains its own decoder.
    """
    if module is None and run.pretrained_generator is None:
        return {}
    needs = {name: need for name, need in example_needs(kind).items() if isinstance(need, Pretrained)}
    if not needs:
        raise UserError(f"{kind.__name__} trains its decoder itself; leave `generator` out.")
    name, need = next(iter(needs.items()))
    if module is not None:
        return {name: need.like.wrap(deepcopy(module))}  # the user's module is left unchanged
    path = Path(run.pretrained_generator or "")
    if path.suffix == ".pt2":
        return {name: need.like.wrap(load_exported(path, run.latent_dim, trust))}
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
    prior = building.prior_of(run)
    if _settings(game.prior) != _settings(prior):
        raise UserError(
            f"the generator {path} was trained with {game.prior.size} latents of prior {type(game.prior).__name__}, and "
            f"this run has {prior.size} of {type(prior).__name__}; give `latent_dim={game.prior.size}` and the same `prior`."
        )
    return {name: game.decoder, **critic_of_x(game, kind)}


class Exported(nn.Module):
    """A pretrained generator, which maps latents z to examples x, from a file that torch.export.save wrote.

    It stays in the mode, training or evaluation, of its export.

    Arguments:
        module: the loaded module, whose own `train` and `eval` raise errors.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> Exported:
        """Sets only the flag `training` to `mode`, which has no effect on the output, and returns the module."""
        self.training = mode
        return self

    def forward(self, z: Tensor) -> Tensor:
        """Returns the examples x, shape (n, *shape), that the module generates from latents z, shape (n, latent)."""
        return self.module(z)


def open_exported(path: Path, what: str, trust: bool) -> tuple[torch.export.ExportedProgram, nn.Module]:
    """Returns the program in a file that torch.export.save wrote, and its module.

    `torch.export.load` unpickles the file and evaluates strings in it, which cannot be turned off, so that the file can
    execute any code. It is therefore opened only if the user trusts its author.

    Arguments:
        path: the .pt2 file.
        what: what the module is, for error messages, such as "generator".
        trust: True if the user trusts the author of the file; otherwise an error is raised.

    Raises:
        UserError: there is no such file, it is not trusted, or it is not of torch.export.
    """
    if not path.is_file():
        folder = "the folder of a run, or " if what == "generator" else ""
        raise UserError(f"there is no {what} {path}; give {folder}a file written by torch.export.save.")
    if not trust:
        raise UserError(
            f"the {what} {path} is a program of torch.export, and opening it can execute any code of its maker; give "
            f"`{'trust' if what == 'generator' else f'trust_{what}'}` if you trust its maker, or leave it out."
        )
    try:
        program = torch.export.load(path)
        return program, program.module()
    except Exception as error:
        raise UserError(
            f"{path} is not a program of torch.export ({str(error).splitlines()[0]}); export it again."
        ) from None


def load_exported(path: Path, latent: int, trust: bool) -> nn.Module:
    """Loads and returns a module z -> x from a file that torch.export.save wrote. It must take batches of any size.

    Arguments:
        path: the .pt2 file.
        latent: the dimension of z.
        trust: True if the user trusts the author of the file; otherwise an error is raised.

    Raises:
        UserError: there is no such file, it is not trusted or not of torch.export, or its module does not take one input z
            of shape (n, latent) for any n.
    """
    program, module = open_exported(path, "generator", trust)
    inputs = set(program.graph_signature.user_inputs)
    taken = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    if len(taken) != 1 or not isinstance(taken[0], torch.Tensor) or taken[0].ndim != 2:
        raise UserError(
            f"the generator {path} takes {len(taken)} input(s), and it must take z alone, shape (n, latent); wrap it and "
            f"export it again."
        )
    rows, columns = taken[0].shape
    if isinstance(rows, int):
        raise UserError(
            f"the generator {path} was exported for batches of {rows} only; export it again with "
            f"dynamic_shapes=({{0: torch.export.Dim('n')}},)."
        )
    if isinstance(columns, int) and columns != latent:
        raise UserError(
            f"the generator {path} takes {columns} latents, and this run has {latent}; give `latent_dim={columns}`."
        )
    return Exported(module)


def _settings(prior: Prior) -> dict[str, Any]:
    """Returns the class of a prior, under the key "class", and its public attributes by name, without tensors and `training`.

    Two priors are taken as the same if these dictionaries are equal.
    """
    plain = {key: value for key, value in vars(prior).items() if not key.startswith("_") and key != "training"}
    return {"class": type(prior), **plain}
