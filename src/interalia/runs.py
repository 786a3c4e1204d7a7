"""A run: its description, its folder, and what comes back out of it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from interalia.errors import UserError, unknown

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from interalia.conditionals import Conditional, Prior
    from interalia.data.dataset import Dataset
    from interalia.games import Game


def _field(default: Any, about: str, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    metadata = {"about": about, "low": low, "high": high, **more}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


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
    size: int | None = _field(None, "images are centre-cropped and resized to this many pixels a side", 4, 1024)
    networks: str = _field("auto", "the networks", room="networks")
    latent: int = _field(64, "the dimensions of z", 1, 100_000)
    prior: str = _field("normal", "p(z): normal, or uniform on [-1, 1]", room="priors")
    encoder: str = _field("gaussian", "q(z|x): gaussian, dirac (BiGAN) or implicit(noise=2)", room="conditionals")
    divergence: str = _field("gan", "what the critic's scores cost both players", room="divergences")
    penalty: str = _field("none", "a charge on the critic's gradient", room="penalties", none=True)
    noise: str = _field("none", "instance noise at the critic's input: annealed(std=0.1)", room="noises", none=True)
    dynamics: str = _field("simultaneous", "how the players move", room="dynamics")
    optimiser: str = _field("adam", "each player's optimiser", room="optimisers")
    rates: dict[str, float] = _field({}, "learning rates of single players, in place of the optimiser's", 0, 10)
    schedule: str = _field("constant", "the learning rates over time", room="schedules")
    steps: int | None = _field(None, "the length of the training in steps", 0, 10**9)
    epochs: float | None = _field(
        None, "the length of the training in passes over the data; `steps` outranks it", 0, 10**6
    )
    batch: int = _field(128, "images in a batch", 1, 10**6)
    ema: float = _field(
        0.999, "decay of the average of the weights that samples are drawn from; 0 for none", 0, 0.999999
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
            if f.name != "best":
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
    "name", "steps", "epochs", "population", "root", "device", "log_every", "evaluate_every", "checkpoint_every"
)  # fmt: skip


class Folder:
    """The folder of a run: ``run.json``, ``log.jsonl``, ``checkpoints/``, ``weights.safetensors``, ``figures/``,
    ``results.json``, ``results.md``, ``report.html``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.description = self.path / "run.json"
        self.log = self.path / "log.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.weights = self.path / "weights.safetensors"
        self.figures = self.path / "figures"
        self.results = self.path / "results.json"
        self.table = self.path / "results.md"
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
        write_json(self.description, dataclasses.asdict(run))

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


@dataclass(frozen=True)
class Trained:
    """A run's game with the weights that samples are drawn from.

    Attributes:
        game: in evaluation mode, with averaged weights where the run averages.
        run: the resolved description.
        folder: where it lies, or None.
        step: how many steps it was trained.
    """

    game: Game
    run: Run
    folder: Folder | None
    step: int


def dataset(run: Run) -> Dataset:
    """The data of a run; its `other` is the second data set where the run names one.

    Raises:
        UserError: what `interalia.data.load` raises, or two domains whose images differ in channels or size.
    """
    from interalia import data

    root = Path(run.root) if run.root else None
    found = data.load(run.data, root=root, size=run.size, seed=run.seed)
    if run.target is None:
        return found
    other = data.load(run.target, root=root, size=run.size, seed=run.seed)
    if found.shape != other.shape:
        raise UserError(
            f"the two domains differ in shape: {run.data} has {found.shape} and {run.target} has {other.shape} (channels, "
            f"height, width); give --size for a common size, and convert one of them where the channels differ."
        )
    about = f"Domain a: {found.about} Domain b: {other.about} They are not paired."
    return dataclasses.replace(found, name=f"{found.name} to {other.name}", other=other, paired=False, about=about)


def build(
    run: Run,
    shape: tuple[int, ...] | None = None,
    mean: Tensor | None = None,
    labels: int | None = None,
    other: tuple[int, ...] | None = None,
    attributes: Mapping[str, float] | None = None,
    generator: nn.Module | None = None,
) -> Game:
    """The untrained game of a run, drawn from torch's global random state.

    Arguments:
        run: the description.
        shape: of one x; taken from the run's data set if it is not given, and the two below with it.
        mean: the mean image, shape `shape`, from which a sigmoid's bias is set; None leaves it at 0.
        labels: how many labels the data has.
        other: of one x of the second domain, where there is one.
        attributes: those that the networks are told, and how frequent each is.
        generator: a trained module z -> x for a game that only infers, in place of the run's `generator`.

    Raises:
        UserError: a part does not exist, or the parts do not fit each other or the data.

    Example:
        >>> build(Run(latent=8), shape=(1, 8, 8)).prior.size
        8
    """
    import inspect

    from torch import nn

    from interalia import conditionals, divergences, games, networks, penalties, specs
    from interalia.networks import mlp

    if shape is None:
        found = dataset(run)
        shape, labels, other = found.shape, found.labels, found.other_shape
        attributes = frequencies(run, found)
    kind, settings = specs.look_up(run.game, games.CATALOGUE, "game")
    needs = inspect.signature(kind).parameters
    told = _told(run, kind, labels or 0, attributes or {})  # type: ignore[arg-type]
    if "to_b" in needs and other is None:
        raise UserError(
            f"{kind.__name__} translates between two data sets, and {run.data!r} is one; give the second with --target."  # type: ignore[attr-defined]
        )
    prior = specs.make(run.prior, conditionals.PRIORS, "prior", run.latent)
    trained = given_generator(run, kind, generator, tuple(shape), prior)  # type: ignore[arg-type]
    divergence = specs.make(run.divergence, divergences.CATALOGUE, "divergence")
    conditional, encoder_settings = specs.look_up(run.encoder, conditionals.CONDITIONALS, "encoder")
    noise = 0
    if conditional is conditionals.Implicit and "encoder" in needs:
        noise = encoder_settings.get("noise", inspect.signature(conditional).parameters["noise"].default)
    semi = kind.semi  # type: ignore[attr-defined]
    if semi and (labels or 0) < 2:
        raise UserError(f"{kind.__name__} reads labels, and the data set {run.data!r} has none; choose other data.")  # type: ignore[attr-defined]
    coded = prior if semi and isinstance(prior, conditionals.Codes) else None
    if coded and coded.categorical[:1] != (labels,):
        raise UserError(
            f"the data set {run.data!r} has {labels} labels, and the prior's category has {coded.words}; give "
            f'--prior "codes(categorical=[{labels}], uniform=0)".'
        )
    lower = settings.get("lower", needs["lower"].default) if "lower" in needs else 0
    if "lower" in needs and lower < 1:
        raise UserError(
            f"`lower` is {lower}, and the lower level has 1 dimension or more; give for example hali(lower=128)."
        )
    if settings.get("likelihood") == "bernoulli" and len(shape) != 3:
        raise UserError(
            "a Bernoulli likelihood is one of images in [0, 1]; use vae(likelihood='gaussian') for vectors."
        )
    sizes = networks.Sizes(
        tuple(shape),
        run.latent,
        heads=conditional.heads,  # type: ignore[attr-defined]
        noise=noise,
        infers="encoder" in needs,
        judges=kind.judges,  # type: ignore[attr-defined]
        lower=lower,
        classes=(labels or 0) if semi and not coded else 0,
        categories=coded.categorical[0] if coded else 0,
        cycle="cycle_critic" in needs,
        bounded=isinstance(prior, conditionals.Uniform)
        and conditional is not conditionals.Gaussian,  # which has no bounds
        labels=told,
        answers=getattr(prior, "answers", 0) if kind.recognises else 0,  # type: ignore[attr-defined]
        separate=divergence.separate and kind.judges == "xz" and not semi,  # type: ignore[attr-defined]
        other=other if "to_b" in needs else None,
    )
    made = specs.make(run.networks, networks.CATALOGUE, "networks", sizes)
    parts = {f.name: part for f in dataclasses.fields(made) if isinstance(part := getattr(made, f.name), nn.Module)}
    if sizes.judges == "z":
        parts["critic"] = mlp.of_latents(sizes)
    if sizes.lower:
        parts["upper_encoder"], parts["upper_decoder"] = mlp.upper(sizes)
    for name, parameter in needs.items():
        if parameter.default is parameter.empty and name != "prior" and name not in parts:
            raise UserError(
                f"{kind.__name__} needs a network {name!r}, and the networks {run.networks!r} have none; "  # type: ignore[attr-defined]
                f"use --networks auto."
            )
    if sizes.separate and sizes.beside and getattr(parts.get("critic"), "unary_z", None) is None:
        raise UserError(
            f"the divergence {run.divergence!r} wants a critic that scores x, z and the pair apart, and the networks "
            f"{run.networks!r} have one score; use --networks auto."
        )
    _initialise(made, parts)
    if sizes.lower:
        mlp.sharpen(parts["upper_decoder"], sizes.lower)
        if conditional is conditionals.Gaussian:
            mlp.sharpen(parts["encoder"], sizes.lower)
    if isinstance(made, networks.Networks) and made.output_bias is not None and mean is not None:
        from interalia import optim

        optim.initialise_output(made.output_bias, mean)
    given: dict[str, Any] = {
        **parts,
        "prior": prior,
        "divergence": divergence,
        "penalty": None if run.penalty == "none" else specs.make(run.penalty, penalties.CATALOGUE, "penalty"),
        "noise": None if run.noise == "none" else specs.make(run.noise, penalties.NOISES, "noise"),
    }
    if "encoder" in parts:
        given["encoder"] = conditional(parts["encoder"], **encoder_settings)
    if "decoder" in parts:
        given["decoder"] = conditionals.Dirac(parts["decoder"])
    if trained is not None:
        given["decoder"] = trained
    if sizes.lower:
        given["encoder"] = conditionals.Chain(given["encoder"], conditional(parts["upper_encoder"], **encoder_settings))
        given["decoder"] = conditionals.Chain(conditionals.Gaussian(parts["upper_decoder"]), given["decoder"])
    try:
        game = kind(**{key: value for key, value in given.items() if key in needs}, **settings)
    except ValueError as error:
        raise UserError(f"the game {run.game!r} cannot be made: {error}.") from error
    game.shape, game.labels, game.other = tuple(shape), told, sizes.other
    game.attributes = dict(attributes or {})
    game.classes = labels or 0 if semi else 0
    return game


def build_for(run: Run, dataset: Dataset, mean: Tensor | None = None, generator: nn.Module | None = None) -> Game:
    """The untrained game of a run on its data; see `build`."""
    told = frequencies(run, dataset)
    return build(run, dataset.shape, mean, dataset.labels, dataset.other_shape, told, generator)


def given_generator(
    run: Run, kind: type[Game], module: nn.Module | None, shape: tuple[int, ...], prior: Prior
) -> Conditional | None:
    """The trained decoder of a game that only infers; None for a game that trains its own.

    Raises:
        UserError: there is none, it cannot be read, or its latents or its images do not fit.
    """
    import copy

    import torch
    from torch import nn

    from interalia import conditionals
    from interalia.tasks import quietly

    if "decoder" not in kind.fixed:
        if run.generator is not None or module is not None:
            raise UserError(f"{kind.__name__} trains a decoder of its own; leave the generator out.")
        return None
    if module is None and run.generator is None:
        raise UserError(
            f"{kind.__name__} infers for a generator that is trained already; give the folder of its run, or a .pt2 file, "
            f"with --generator."
        )
    if module is not None:
        decoder: Conditional = conditionals.Dirac(copy.deepcopy(module))  # the person's own stays as it is
    elif Path(run.generator or "").suffix == ".pt2":
        decoder = conditionals.Dirac(_exported(Path(run.generator or "")))
    else:
        game = load(run.generator or "").game
        if not hasattr(game, "decoder"):
            raise UserError(
                f"the run {run.generator} has no decoder, being a {type(game).__name__}; give a generator's."
            )
        decoder = game.decoder
        if _settings(game.prior) != _settings(prior):
            raise UserError(
                f"the generator {run.generator} was trained with {game.prior.size} latents of prior "
                f"{type(game.prior).__name__}, and this run has {prior.size} of {type(prior).__name__}; give --latent "
                f"{game.prior.size} and the same --prior."
            )
    with quietly(decoder if next(decoder.parameters(), None) is not None else nn.Linear(1, 1)):
        try:
            place = next(decoder.parameters(), torch.zeros(())).device
            x = decoder(prior.sample((2,)).to(place)).mean
        except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
            raise UserError(
                f"the generator does not take {prior.size} latents ({str(error).splitlines()[0]}); give the size of its z "
                f"with --latent."
            ) from None
    if tuple(x.shape) != (2, *shape):
        raise UserError(
            f"the generator makes images of {tuple(x.shape[1:])}, and the data's are {shape}; give the data that it was "
            f"trained on, or --size."
        )
    return decoder


def _settings(prior: Prior) -> dict[str, Any]:
    """What a prior was made with, its class included."""
    plain = {key: value for key, value in vars(prior).items() if not key.startswith("_") and key != "training"}
    return {"class": type(prior), **plain}


def _exported(path: Path) -> nn.Module:
    """The module that torch.export.save wrote."""
    import torch
    from torch import nn

    class Exported(nn.Module):
        """An exported program has no modes; it stays in the one that it was exported in."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def train(self, mode: bool = True) -> Exported:
            self.training = mode
            return self

        def forward(self, z: Tensor) -> Tensor:
            x: Tensor = self.module(z)
            return x

    if not path.is_file():
        raise UserError(
            f"there is no generator {path}; give the folder of a run, or a file written by torch.export.save."
        )
    try:
        return Exported(torch.export.load(path).module())
    except Exception as error:
        raise UserError(
            f"{path} is no program of torch.export ({str(error).splitlines()[0]}); export it anew."
        ) from None


def frequencies(run: Run, dataset: Dataset) -> dict[str, float]:
    """The attributes that the run's networks are told, and the share of the training data that has each.

    Raises:
        UserError: the data has no such attribute.
    """
    if run.attributes is None:
        return {}
    known = [str(name) for name in dataset.attributes.get("names", ())]
    if not known:
        raise UserError(f"the data set {dataset.name!r} has no attributes; leave --attributes out.")
    names = known if run.attributes == "all" else [name.strip() for name in run.attributes.split(",")]
    values = dataset.conditions("train", names)
    assert values is not None
    return dict(zip(names, values.mean(axis=0).tolist(), strict=True))


def _told(run: Run, kind: type[Game], labels: int, attributes: Mapping[str, float]) -> int:
    """How many numbers the networks are told."""
    if run.labels and run.attributes is not None:
        raise UserError("networks are told labels or attributes; leave out one of --labels and --attributes.")
    if not run.labels and run.attributes is None:
        return 0
    if not kind.conditional:
        from interalia.games import CATALOGUE

        able = ", ".join(member.__name__ for member in CATALOGUE.values() if member.conditional)
        flag = "labels" if run.labels else "attributes"
        raise UserError(f"{kind.__name__} cannot be told {flag}; leave out --{flag}, or play one that can: {able}.")
    if run.attributes is not None:
        return len(attributes)
    if labels < 2:
        raise UserError(f"`labels` is set, and the data set {run.data!r} has no labels to tell; leave --labels out.")
    return labels


def _initialise(made: Any, parts: Mapping[str, nn.Module]) -> None:
    from interalia import optim

    if made.std is not None:
        for network in parts.values():
            optim.initialise(network, made.std)


def export(game: Game, run: Run, step: int, path: Path) -> None:
    """Writes a game's weights as safetensors, with the run's description as metadata."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in game.state_dict().items()}
    about = {
        "run": dataclasses.asdict(run), "step": step, "shape": game.shape, "labels": game.labels, "other": game.other,
        "attributes": dict(game.attributes),
        "classes": game.classes,
    }  # fmt: skip
    metadata = {"interalia": json.dumps(about)}
    with writing(path, "wb") as file:
        file.write(save(tensors, metadata))


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


def load(folder: Path | str, device: str = "cpu", generator: nn.Module | None = None) -> Trained:
    """The trained game of a run's folder, from its exported weights.

    Arguments:
        folder: a run's folder, or a .safetensors file exported from one.
        device: where the game shall live.
        generator: the module of a game that was trained with one from Python; see `build`.

    Raises:
        UserError: this is no run's folder, or the training has not saved any weights yet, or the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

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
    if not file.exists():
        raise UserError(f"there is no file {file}; give the folder of a run, or a .safetensors file of one.")
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {})["interalia"])
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{file} is damaged or not of this program ({error}); write it anew with interalia train --resume RUN."
        ) from None
    run = Run(**{key: value for key, value in about["run"].items() if key in Run.__dataclass_fields__})
    import torch

    with torch.random.fork_rng(devices=[]):
        other = about.get("other")
        told = about.get("attributes", {})
        game = build(
            run,
            tuple(about["shape"]),
            None,
            about.get("classes") or about.get("labels", 0),
            other and tuple(other),
            told,
            generator,
        )
    try:
        game.load_state_dict(tensors)
    except RuntimeError:
        raise UserError(f"the weights in {file} do not fit the run that they describe; export them anew.") from None
    game.to(resolve_device(device)).eval()
    return Trained(game, run, home, about["step"])
