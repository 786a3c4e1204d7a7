"""A run: its description, its folder, and what comes back out of it."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from interalia.building import build
from interalia.errors import UserError, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from interalia.data.dataset import Dataset
    from interalia.games import Game


def _field(default: Any, about: str, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    metadata = {"about": about, "low": low, "high": high, **more}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


OWN = "own"  # in place of the name of a part that is given from Python

# the rooms whose members can be made without data or networks
ALONE = ("divergences", "penalties", "noises", "augmentations", "schedules", "averages")


@dataclass(frozen=True)
class Run:
    """Everything that a training depends on, in plain values. Two equal runs on one machine end in equal weights.

    Fields that name a part hold its name and its settings, such as ``r1r2(gamma=0.5, every=4)``; `interalia list` prints
    the names and the settings that there are.

    Raises:
        UserError: a value is of the wrong kind or out of its range.

    Example:
        >>> Run(data="mnist", steps=1000).replace(seed=3).seed
        3
    """

    name: str = _field("run", "a name for the run, used for its folder")
    game: str = _field("ali", "the game that is played", room="games")
    data: str = _field("digits", "a data set's name, or the path of a folder of images, a .npy, .npz or .zip file")
    target: str | None = _field(
        None, "the second data set of a game that translates between two: a name, or a path as for `data`"
    )
    generator: str | None = _field(
        None, "the folder of a run whose decoder is taken as it is, or a .pt2 file of one, for a game that only infers"
    )
    labelled: int | None = _field(
        None,
        "how many training images a semi-supervised game sees the labels of, equally many of each; all by default",
        1,
    )
    labels: bool = _field(False, "whether the networks are told the labels: a conditional game")
    attributes: str | None = _field(
        None, "the attributes that the networks are told in place of labels: names with commas between them, or all"
    )
    root: str | None = _field(None, "the folder where a named data set's files are, or are to be downloaded to")
    binarise: str = _field(
        "none",
        "images of zeros and ones, drawn from grey values: none, fixed (once), or fresh (in every batch anew)",
        choices=("none", "fixed", "fresh"),
    )
    size: int | None = _field(None, "images are centre-cropped and resized to this many pixels a side", 4, 1024)
    networks: str = _field("auto", "the networks", room="networks")
    latent: int = _field(64, "the dimensions of z", 1, 100_000)
    prior: str = _field("normal", "p(z): normal, or uniform on [-1, 1]", room="priors")
    encoder: str = _field("gaussian", "q(z|x): gaussian, dirac (BiGAN) or implicit(noise=2)", room="conditionals")
    divergence: str = _field("gan", "what the critic's scores cost both players", room="divergences")
    penalty: str = _field("none", "a charge on the critic's gradient", room="penalties", none=True)
    noise: str = _field("none", "instance noise at the critic's input: annealed(std=0.1)", room="noises", none=True)
    augment: str = _field(
        "none",
        "augmentation of the images that the critic sees: fixed(policy='translation'), adaptive(target=0.6)",
        room="augmentations",
        none=True,
    )
    pack: int = _field(1, "how many samples of a joint the critic judges at a time (PacGAN)", 1, 64)
    spectral: str | None = _field(
        None, "networks whose layers are divided by their greatest singular value: critic, or decoder,critic"
    )
    dynamics: str = _field("simultaneous", "how the players move", room="dynamics")
    optimiser: str = _field("adam", "each player's optimiser", room="optimisers")
    rates: dict[str, float] = _field({}, "learning rates of single players, in place of the optimiser's", 0, 10)
    schedule: str = _field("constant", "the learning rates over time", room="schedules")
    steps: int | None = _field(None, "the length of the training in steps", 0, 10**9)
    epochs: float | None = _field(
        None, "the length of the training in passes over the data; `steps` outranks it", 0, 10**6
    )
    batch: int = _field(128, "images in a batch", 1, 10**6)
    accumulate: int = _field(1, "batches whose gradients are averaged in one look at the game", 1, 10**6)
    clip: float = _field(0.0, "the greatest norm of one player's gradient; 0 for no clipping", 0, 1e9)
    balance: float = _field(
        1.0,
        "the critic waits while it puts a sample of the first joint above one of the second with more than this "
        "probability; 1 for never",
        0.5,
        1,
    )
    ema: float = _field(
        0.999, "decay of the average of the weights that samples are drawn from; 0 for none", 0, 0.999999
    )
    average: str = _field(
        "moving", "the average of the weights: moving, of decay --ema, or uniform(start=0.5)", room="averages"
    )
    population: int = _field(
        0,
        "batches over which batch norm's statistics are estimated anew at the end; 0 keeps the running ones",
        0,
        10**6,
    )
    precision: str = _field("auto", "auto, fp32, or bf16 (autocast)", choices=("auto", "fp32", "bf16"))
    device: str = _field("auto", "auto, cpu, cuda, cuda:1, mps ...")
    seed: int = _field(0, "of the weights, the noise and the order of the data", 0, 2**31 - 1)
    best: str = _field("auto", "the measure on validation data by which the best checkpoint is kept", room="metrics")
    log_every: int = _field(50, "steps between two lines of the log", 1)
    evaluate_every: int = _field(1000, "steps between two looks at the validation data; 0 for never", 0)
    until_converged: int = _field(
        0, "end when the declared measure has not improved for this many evaluations, and keep the best; 0 for never", 0
    )
    checkpoint_every: int = _field(1000, "steps between two checkpoints", 1)

    def __post_init__(self) -> None:
        for key, value in self.fields():
            _check(key, value, kinds()[key], dict(self.__dataclass_fields__[key].metadata))

    def fields(self) -> Iterator[tuple[str, Any]]:
        """The keys and values, in order."""
        return ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))

    def replace(self, **changes: Any) -> Run:
        """The same run with some fields changed; `steps` given anew outranks `epochs`, and the other way round.

        Raises:
            UserError: there is no such field, with the nearest one.
        """
        for key in changes:
            if key not in self.__dataclass_fields__:
                raise unknown("field of a run", key, self.__dataclass_fields__)
        if changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        elif changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        return dataclasses.replace(self, **changes)

    def check_parts(self) -> None:
        """Raises a UserError if a named part, or one of its settings, does not exist."""
        from interalia import rooms, specs

        for f in dataclasses.fields(self):
            room = f.metadata.get("room")
            text = getattr(self, f.name)
            if room is None or (f.metadata.get("none") and text == "none") or (f.name == "best" and text == "auto"):
                continue
            if text == OWN:  # whoever has it gives it beside the run
                continue
            if room in ALONE:  # made here already, so that a number out of its range is told before anything is done
                specs.make(text, rooms.members(room), f.name, *([self.ema] if room == "averages" else []))
            elif f.name != "best":
                specs.look_up(text, rooms.members(room), f.name)
            elif text not in rooms.members(room):
                raise unknown("metric", text, rooms.members(room))

    def placed(self) -> Run:
        """The same run with absolute paths, so that its folder can be used from anywhere."""
        from interalia.data import CATALOGUE

        changes: dict[str, Any] = {}
        if self.root is not None:
            changes["root"] = str(Path(self.root).absolute())
        if self.generator is not None:
            changes["generator"] = str(Path(self.generator).absolute())
        for key in ("data", "target"):
            name = getattr(self, key)
            if name is not None and name not in CATALOGUE and Path(name).exists():
                changes[key] = str(Path(name).absolute())
        return dataclasses.replace(self, **changes)

    def dump(self) -> str:
        """The run as TOML, which `interalia train FILE.toml` takes back."""
        lines = []
        for key, value in self.fields():
            if value is None or value == {}:
                continue
            if isinstance(value, dict):
                pairs = ", ".join(f"{k} = {v!r}" for k, v in value.items())
                lines.append(f"{key} = {{ {pairs} }}")
            else:
                # JSON writes what TOML reads, but for escaped pairs of surrogates and a bare DEL
                text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                lines.append(f"{key} = {text}")
        return "\n".join(lines) + "\n"


def kinds() -> dict[str, Any]:
    """The type of each field of a run."""
    return get_type_hints(Run)


def _check(key: str, value: Any, kind: Any, rules: Mapping[str, Any]) -> None:
    """Raises a UserError unless `value` is of the kind and in the range of the field `key`."""
    kinds = get_args(kind) if get_origin(kind) is not dict and get_args(kind) else (kind,)
    if value is None and type(None) in kinds:
        return
    plain = kinds[0]
    if get_origin(plain) is dict:
        if not isinstance(value, dict):
            raise UserError(f"`{key}` is {value!r}, and it maps names to numbers, such as {{ critic = 1e-4 }}.")
        for name, number in value.items():
            _check(f"{key}.{name}", number, float, rules)
        return
    numbers = (int, float) if plain is float else (plain,)
    if not isinstance(value, numbers) or (isinstance(value, bool) and plain is not bool):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}[plain]
        raise UserError(f"`{key}` is {value!r}, and it must be {words}.")
    low, high = rules.get("low"), rules.get("high")
    # asked this way round, so that NaN is refused
    if plain is not str and not ((low is None or value >= low) and (high is None or value <= high)):
        span = f"from {low:,} to {high:,}" if high is not None else f"at least {low:,}"
        raise UserError(f"`{key}` is {value}, out of its range; it must be {span}.")
    choices = rules.get("choices")
    if choices and value not in choices:
        raise UserError(f"`{key}` is {value!r}; it is one of: {', '.join(choices)}.")


def from_toml(path: Path) -> dict[str, Any]:
    """The fields that a TOML file sets, each checked.

    Raises:
        UserError: the file cannot be read, is not TOML, or a key or value of it is wrong: file and key are named.
    """
    try:
        with open(path, "rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}.") from None
    known = kinds()
    for key, value in values.items():
        if key not in known:
            message = str(unknown("field of a run", key, known))
            raise UserError(f"{path}: {message}")
        try:
            _check(key, value, known[key], dict(Run.__dataclass_fields__[key].metadata))
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return values


def unwritable(path: Path, error: OSError) -> UserError:
    """What is said of a file that the disk does not take."""
    return UserError(
        f"{path} could not be written ({error.strerror or error}); free some space or choose another folder with --out."
    )


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file that appears under its name only when it is complete: written beside it, flushed to disk, renamed.

    Raises:
        UserError: the folder cannot be written, or the disk is full; what was there before is untouched.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's own mode hides the file from everybody else
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_json(path: Path, value: Any) -> None:
    with writing(path) as file:
        json.dump(value, file, indent=1, allow_nan=True)
        file.write("\n")


# What may change when a run goes on: how long, where, and how closely it is watched.
FREE = (
    "name", "steps", "epochs", "population", "root", "device", "log_every", "evaluate_every", "checkpoint_every",
    "until_converged",
)  # fmt: skip


def fitted(run: Run, given: Container[str]) -> Run:
    """The run with the latents and the prior that its generator was trained with, but for what was `given`.

    A generator that is no run's says nothing of its prior, and one that cannot be read is explained where it is opened.
    """
    if run.generator is None:
        return run
    try:
        kept = header(weights_of(run.generator))["run"]
    except UserError:
        return run
    return run.replace(**{key: kept[key] for key in ("latent", "prior") if key not in given})


# What a game, and data, of one's own bring with them, so that a run does not describe it.
BROUGHT: Mapping[str, tuple[str, ...]] = {
    "game": (
        "game", "generator", "labelled", "labels", "attributes", "networks", "latent", "prior", "encoder", "divergence",
        "penalty", "noise", "augment", "pack", "spectral",
    ),
    "data": ("data", "target", "binarise", "size"),
}  # fmt: skip


def given(run: Run, game: Game | None, dataset: Dataset | None) -> Run:
    """The run with what is given beside it marked as such.

    Raises:
        UserError: the run describes a part of what is given.
    """
    marks: dict[str, Any] = {}
    if dataset is not None:
        marks["data"] = OWN
    if game is not None:
        marks |= dict.fromkeys(("game", "networks", "prior", "encoder", "divergence"), OWN)
        marks |= {key: OWN for key in ("penalty", "noise") if getattr(game, key) is not None}
        marks |= {"latent": game.prior.size} if hasattr(game, "prior") else {}
    plain = Run()
    for part, verb in (("game", "a game of your own is"), ("data", "data of your own are")):
        for key in BROUGHT[part] if part in marks else ():
            value = getattr(run, key)
            if value not in (getattr(plain, key), marks.get(key)):
                raise UserError(f"`{key}` is {value!r}, and {verb} given beside the run; leave `{key}` out.")
    return run.replace(**marks)


class Folder:
    """The folder of a run: ``run.json``, ``log.jsonl``, ``checkpoints/``, ``weights.safetensors``, ``figures/``,
    ``results.json``, ``results.md``, ``likelihood.json``, ``likelihood.md``, ``report.html``; and a copy of the
    generator that a game infers for, ``generator.safetensors`` or ``generator.pt2``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.description = self.path / "run.json"
        self.log = self.path / "log.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.safetensors"
        self.weights = self.path / "weights.safetensors"
        self.figures = self.path / "figures"
        self.results = self.path / "results.json"
        self.table = self.path / "results.md"
        self.likelihood = self.path / "likelihood.json"
        self.likelihood_table = self.path / "likelihood.md"
        self.report = self.path / "report.html"

    def check_free(self) -> None:
        """Raises a UserError if there is something under that name already."""
        if self.path.exists() and (
            not self.path.is_dir() or any(not part.name.startswith(".") for part in self.path.iterdir())
        ):
            raise UserError(
                f"{self.path} exists already; go on with it by --resume {self.path}, or choose another folder with --out."
            )

    def sweep(self) -> None:
        """Removes what a process that was killed had half written (see `writing`)."""
        for path in self.path.rglob(".*"):
            if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name) and path.is_file():
                path.unlink()

    def write(self, run: Run) -> None:
        """Writes the description, and a copy of the generator, so that the run outlives the folder that this came from."""
        write_json(self.description, dataclasses.asdict(run))
        if run.generator is not None and own_generator(run, self) == run:
            source = weights_of(run.generator)
            if source.suffix != ".pt2" and header(source)["run"].get("generator"):
                # an encoder's run hands on the generator that it has itself
                source = next(copies(source.parent), source)
            with writing(self.path / f"generator{source.suffix}", "wb") as file:
                file.write(source.read_bytes())

    def run(self) -> Run:
        """The description that the folder keeps.

        Raises:
            UserError: this is no folder of a run.
        """
        try:
            values = json.loads(self.description.read_text(encoding="utf-8"))
            return Run(**{key: value for key, value in values.items() if key in Run.__dataclass_fields__})
        except OSError:
            raise UserError(
                f"{self.path} is not the folder of a run: there is no run.json in it; give the folder that "
                f"`interalia train` named."
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{self.description} is damaged ({error}); restore it, or train anew.") from None

    def continued(self, run: Run) -> Run:
        """`run`, checked to be the one that this folder keeps but for what may change, with what that one resolved.

        Raises:
            UserError: the two differ where a resumed run may not.
        """
        kept = self.run()
        for key, value in run.placed().fields():
            if key in FREE or value == getattr(kept, key):
                continue
            if value != "auto":
                raise UserError(
                    f"`{key}` is {value!r}, and the run in {self.path} has {getattr(kept, key)!r}; a resumed run keeps "
                    f"its description, so leave it as it is, or train a new run."
                )
            run = run.replace(**{key: getattr(kept, key)})
        return run


def weights_of(path: Path | str) -> Path:
    """The file of a generator: of a run's folder its weights, and any file itself."""
    return Path(path) if Path(path).suffix in (".pt2", ".safetensors") else Folder(path).weights


def copies(folder: Path) -> Iterator[Path]:
    """The copy of its generator that a run's folder keeps, where there is one."""
    return (path for suffix in (".safetensors", ".pt2") if (path := folder / f"generator{suffix}").is_file())


def own_generator(run: Run, folder: Folder | None) -> Run:
    """The run with the copy of its generator in `folder`, where there is one, in place of the generator that it names."""
    found = None if folder is None or run.generator is None else next(copies(folder.path), None)
    return run if found is None else run.replace(generator=str(found))


@dataclass(frozen=True)
class Trained:
    """A run's game with the weights that samples are drawn from.

    Attributes:
        game: in evaluation mode, with averaged weights where the run averages.
        run: the resolved description.
        folder: where it lies, or None.
        step: how many steps it was trained.
        given: the data that were given from Python, where they were.
    """

    game: Game
    run: Run
    folder: Folder | None
    step: int
    given: Dataset | None = None


def dataset(run: Run) -> Dataset:
    """The data of a run; its `other` is the second data set where the run names one.

    Raises:
        UserError: what `interalia.data.load` raises, or two domains whose images differ in channels or size, or the data
            were given from Python.
    """
    if run.data == OWN:
        raise UserError(
            "they were given from Python, and the run does not say where they are; go on from Python, with "
            "interalia.load(folder, dataset=...)."
        )
    from interalia import data
    from interalia.data.binarise import binarised

    root = Path(run.root) if run.root else None
    found = data.load(run.data, root=root, size=run.size, seed=run.seed)
    if run.binarise != "none":
        found = binarised(found, run.binarise)
    if run.target is None:
        return found
    if run.binarise != "none":
        raise UserError("`binarise` is for games with one data set; leave out --binarise or --target.")
    other = data.load(run.target, root=root, size=run.size, seed=run.seed)
    if found.shape != other.shape:
        raise UserError(
            f"the two domains differ in shape: {run.data} has {found.shape} and {run.target} has {other.shape} (channels, "
            f"height, width); give --size for a common size, and convert one of them where the channels differ."
        )
    about = f"Domain a: {found.about} Domain b: {other.about} They are not paired."
    return dataclasses.replace(found, name=f"{found.name} to {other.name}", other=other, paired=False, about=about)


def export(game: Game, run: Run, step: int, path: Path) -> None:
    """Writes a game's weights as safetensors, with the run's description as metadata."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in game.state_dict().items()}
    about = {
        "run": dataclasses.asdict(run), "step": step, "shape": game.shape, "labels": game.labels, "other": game.other,
        "attributes": dict(game.attributes),
        "classes": game.classes, "names": list(game.names),
    }  # fmt: skip
    metadata = {"interalia": json.dumps(about)}
    with writing(path, "wb") as file:
        file.write(save(tensors, metadata))


def header(file: Path) -> dict[str, Any]:
    """What `export` wrote into a file beside the weights.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        raise UserError(f"there is no file {file}; give the folder of a run, or a .safetensors file of one.")
    try:
        with safe_open(file, framework="pt") as opened:  # which sees to it that the file is as long as it says
            about: dict[str, Any] = json.loads((opened.metadata() or {})["interalia"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{file} is damaged or not of this program ({error}); write it anew with interalia train --resume RUN."
        ) from None
    return about


def resolve_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    import torch

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
) -> Trained:
    """The trained game of a run's folder, from its exported weights.

    Arguments:
        folder: a run's folder, or a .safetensors file exported from one.
        device: where the game shall live.
        generator: the module of a game that was trained with one from Python; see `build`.
        game: of a run that was trained with a game of one's own: one made in the same way, which is left as it is.
        dataset: the data of a run that was trained with data of one's own, where they are to be measured on.

    Raises:
        UserError: this is no run's folder, or the training has not saved any weights yet, or the file is damaged, or a
            game of one's own is not given, or does not fit.
    """
    from safetensors import safe_open

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
    run = Run(**{key: value for key, value in about["run"].items() if key in Run.__dataclass_fields__})
    if (run.game == OWN) != (game is not None):
        raise UserError(
            f"{file} holds the weights of a game of somebody's own; give one made in the same way: "
            f"interalia.load(folder, game=...)."
            if game is None
            else f"{file} holds the weights of a game that its run describes, {run.game}; leave `game` out."
        )
    import torch

    with torch.random.fork_rng(devices=[]):
        other = about.get("other")
        told = about.get("attributes", {})
        place = file.parent.parent if file.parent.name == "checkpoints" else file.parent  # where the best weights lie
        made = (
            copy.deepcopy(game)
            if game is not None
            else build(
                run if file.stem == "generator" else own_generator(run, Folder(place)),
                tuple(about["shape"]),
                None,
                about.get("classes") or about.get("labels", 0),
                other and tuple(other),
                told,
                generator,
                about.get("names", ()),  # which older files do not have
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
