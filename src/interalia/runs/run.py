"""The description of a training: `Run`, its fields as plain values, and TOML files of them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from interalia import registry
from interalia.errors import UserError, unknown
from interalia.runs import formats

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game


def _field(default: Any, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """A field of a run and its rules.

    Arguments:
        default: its default.
        low: the smallest allowed number; None if there is no limit.
        high: the largest allowed number; None if there is no limit.
        more: `choices`, its values; `kind`, the kind of part that it names, and `absent`, the text for no part; `set_by`, the
            custom object ("game" or "data") that determines it; `resumable`, whether a resumed run may change it.
    """
    metadata = {"low": low, "high": high, **more}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


if TYPE_CHECKING:

    class Text:
        """A field that holds a text, and takes an object that a text can describe as well."""

        def __get__(self, run: object, kind: object = None) -> str: ...
        def __set__(self, run: object, value: object) -> None: ...

else:
    Text = str

DEFAULT = "default"  # in a dictionary of learning rates: that of all players that are not in it
FROM_PYTHON = "<own>"  # the name of a part that is given as an object beside the run, such as a custom game

PLAIN = (str, int, float, dict, list, tuple, type(None))  # any other value is an object that a text describes

# kinds whose entries are made without data or networks
STANDALONE_KINDS = ("divergences", "penalties", "noises", "augmentations", "schedules", "averages")


@dataclass(frozen=True)
class Run:
    """The description of a training, in plain values. Two equal runs on one machine end in equal weights.

    A field that names a part holds its name and settings as text, such as ``r1r2(gamma=0.5, every=4)``; `interalia list`
    prints all names and settings. It takes an `interalia.registry.Part`, or an object such as ``KL()``, as well.

    Case does not count in names, and the field's other words are understood: ``game="BiGAN"`` is ALI with a deterministic
    encoder, ``divergence="js"`` is jensen-shannon. `canonical`, which every training calls, puts the library's names in their
    place.

    Attributes:
        name: the name of the run and of its folder.
        game: the model: ali, alice, gan, vae and others; a game of an encoder, a decoder and a critic, or of some of them.
        data: a named data set, or the path of a folder of images or of a .npy, .npz or .zip file.
        data_b: the second data set of a game that translates between two domains; a name or a path, as for `data`.
        data_dir: the folder of the files of named data sets; missing files are downloaded to it.
        image_size: images are center-cropped and resized to this height and width, in pixels.
        binarize: binary images, drawn from gray values as probabilities: none, static (once) or dynamic (again in every
            batch).
        condition_on: labels for a class-conditional game, or attributes: their names, separated by commas, or all.
        num_labeled: number of labeled training images of a semi-supervised game, equally many of each class; all by
            default.
        pretrained_generator: the folder of a run whose decoder is used unchanged, or a trusted .pt2 file; for a game that
            trains an encoder alone.
        networks: the family of networks.
        latent_dim: the dimension of z.
        prior: p(z): normal, uniform on [-1, 1], mixture, learned or codes.
        encoder: q(z|x): gaussian, deterministic (BiGAN), implicit(noise=2) and others.
        spectral_norm: networks with spectral normalization, separated by commas: critic, or decoder,critic.
        divergence: the adversarial loss: gan (non-saturating), hinge, wasserstein, kl and others.
        penalty: gradient penalty on the critic, or weight clipping.
        instance_noise: Gaussian noise added to the critic's images: annealed(std=0.1) or constant(std=0.1).
        augment: augmentation of the critic's images: fixed(policy='translation') or adaptive(target=0.6).
        pack: samples of a joint that the critic scores together (PacGAN).
        skip_critic_above: the critic's updates are skipped while its AUC, the probability that it scores a real pair above a
            fake one, exceeds this; 1 for never.
        dynamics: update scheme of the players: simultaneous, alternating, extragradient and others.
        optimizer: the optimizer of each player.
        lr: learning rate, in place of the optimizer's default: one number for all players, or a number for each, such as
            ``{"critic": 4e-4, "default": 1e-4}``, where "default" is for all others.
        schedule: the learning rate over time.
        steps: length of the training in steps.
        epochs: length of the training in passes over the data; `steps` takes precedence.
        batch_size: examples in a batch.
        grad_accumulation: batches whose gradients are averaged for one update.
        grad_clip: maximum norm of one player's gradient; 0 for no clipping.
        weight_average: average of the weights that samples are drawn from: ema(0.999), swa(start=0.5) or none.
        recalibrate_bn: number of batches on which batch norm's statistics are computed again at the end; 0 keeps the running
            ones.
        precision: auto, fp32, or bf16 (autocast).
        device: auto, cpu, cuda, cuda:1, mps or another device of torch.
        seed: random seed of initial weights, noise and the order of the data.
        monitor: metric on validation data by which the best checkpoint is chosen.
        early_stopping: number of evaluations without an improvement of the monitored metric after which training ends; 0
            for never.
        log_every: steps between two lines of the log.
        evaluate_every: steps between two evaluations on validation data; 0 for never.
        checkpoint_every: steps between two checkpoints.

    Raises:
        UserError: a value has the wrong type or is out of its range, or is an object that no text can describe.

    Example:
        >>> Run(data="mnist", steps=1000).replace(seed=3).seed
        3
    """

    name: str = _field("run", resumable=True)
    game: Text = _field("ali", kind="games", set_by="game")
    data: str = _field("digits", kind="data", set_by="data")
    data_b: str | None = _field(None, kind="data", set_by="data")
    data_dir: str | None = _field(None, resumable=True)
    image_size: int | None = _field(None, 4, 1024, set_by="data")
    binarize: str = _field("none", choices=("none", "static", "dynamic"), set_by="data")
    condition_on: str | None = _field(None, set_by="game")
    num_labeled: int | None = _field(None, 1)
    pretrained_generator: str | None = _field(None, set_by="game")
    networks: Text = _field("auto", kind="networks", set_by="game")
    latent_dim: int = _field(64, 1, 100_000, set_by="game")
    prior: Text = _field("normal", kind="priors", set_by="game")
    encoder: Text = _field("gaussian", kind="conditionals", set_by="game")
    spectral_norm: str | None = _field(None, set_by="game")
    divergence: Text = _field("gan", kind="divergences", set_by="game")
    penalty: Text = _field("none", kind="penalties", absent="none", set_by="game")
    instance_noise: Text = _field("none", kind="noises", absent="none", set_by="game")
    augment: Text = _field("none", kind="augmentations", absent="none", set_by="game")
    pack: int = _field(1, 1, 64, set_by="game")
    skip_critic_above: float = _field(1.0, 0.5, 1)
    dynamics: Text = _field("simultaneous", kind="dynamics")
    optimizer: Text = _field("adam", kind="optimizers")
    lr: float | dict[str, float] | None = _field(None, 0, 10)
    schedule: Text = _field("constant", kind="schedules")
    steps: int | None = _field(None, 0, 10**9, resumable=True)
    epochs: float | None = _field(None, 0, 10**6, resumable=True)
    batch_size: int = _field(128, 1, 10**6)
    grad_accumulation: int = _field(1, 1, 10**6)
    grad_clip: float = _field(0.0, 0, 1e9)
    weight_average: Text = _field("ema(0.999)", kind="averages", absent="none")
    recalibrate_bn: int = _field(0, 0, 10**6, resumable=True)
    precision: str = _field("auto", choices=("auto", "fp32", "bf16"))
    device: str = _field("auto", resumable=True)
    seed: int = _field(0, 0, 2**31 - 1)
    monitor: str = _field("auto", kind="metrics", absent="auto")
    early_stopping: int = _field(0, 0, resumable=True)
    log_every: int = _field(50, 1, resumable=True)
    evaluate_every: int = _field(1000, 0, resumable=True)
    checkpoint_every: int = _field(1000, 1, resumable=True)

    def __post_init__(self) -> None:
        if isinstance(self.lr, dict) and self.lr.keys() <= {DEFAULT}:  # the same learning rate for all players
            object.__setattr__(self, "lr", self.lr.get(DEFAULT))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if "kind" in f.metadata and (isinstance(value, registry.Part) or not isinstance(value, PLAIN)):
                value = registry.text_of(value, f.metadata["kind"])
                object.__setattr__(self, f.name, value)
            _check(f.name, value, field_types()[f.name], f.metadata)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """The names and values of all fields, in order."""
        return ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))

    def replace(self, **changes: Any) -> Run:
        """The same run with some fields changed. New `steps` take the place of `epochs`, and new `epochs` of `steps`.

        Raises:
            UserError: there is no such field; the nearest one is named.

        Example:
            >>> Run(penalty="r1").replace(game="WGAN").divergence
            'wasserstein'
        """
        for key in changes:
            if key not in self.__dataclass_fields__:
                raise unknown_field(key)
        if changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        elif changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        if isinstance(changes.get("game"), str) and (preset := registry.preset(changes["game"])):
            changes = {**preset, **changes, "game": preset["game"]}
        return dataclasses.replace(self, **changes)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Run:
        """The run with the fields of a file (see `interalia.runs.formats.upgraded`); other keys of it are ignored."""
        return cls(**{key: value for key, value in values.items() if key in cls.__dataclass_fields__})

    def parts(self) -> Iterator[tuple[str, str, str]]:
        """The parts that the run names: for each its field, its kind and its text. Absent parts and those that are given as
        objects beside the run are left out.
        """
        for f in dataclasses.fields(self):
            kind, text = f.metadata.get("kind"), getattr(self, f.name)
            custom = self.game == FROM_PYTHON and f.name in SET_BY_OWN["game"]
            if kind and not custom and text not in (None, FROM_PYTHON, f.metadata.get("absent")):
                yield f.name, kind, text

    def part_names(self) -> Iterator[tuple[str, str, str]]:
        """As `parts`, with the part's name without its settings in place of the text."""
        for key, kind, text in self.parts():
            yield key, kind, text if kind in registry.WITHOUT_SETTINGS else registry.parse(text)[0]

    def check_parts(self) -> None:
        """Raises a UserError if a part of the run, or one of its settings, does not exist."""
        for key, kind, text in self.parts():
            entries = registry.registry(kind)
            if (
                kind in STANDALONE_KINDS
            ):  # made at once, so that a setting out of its range is found before anything is done
                registry.make(text, entries, key)
            elif kind == "metrics" and text not in entries:
                raise unknown("metric", text, entries)
            elif kind not in registry.WITHOUT_SETTINGS:
                registry.look_up(text, entries, key)

    def canonical(self) -> Run:
        """The same run with the library's names of its parts, in place of aliases and other case (see `interalia.aliases`).

        A game such as BiGAN also sets the fields that make it one, where they have their defaults.

        Raises:
            UserError: a name is known in the field, and the library does not have what it stands for.

        Example:
            >>> run = Run(game="BiGAN", divergence="JS").canonical()
            >>> run.game, run.encoder, run.divergence
            ('ali', 'deterministic', 'jensen-shannon')
        """
        preset = {
            key: value
            for key, value in registry.preset(self.game).items()
            if key == "game" or getattr(self, key) == self.__dataclass_fields__[key].default
        }
        run = dataclasses.replace(self, **preset)
        names: dict[str, Any] = {
            key: registry.canonical(text, kind) for key, kind, text in run.parts() if not is_path(kind, text)
        }
        return dataclasses.replace(run, **names)

    def with_absolute_paths(self) -> Run:
        """The same run with absolute paths, so that its folder can be used from anywhere."""
        from interalia.data import REGISTRY

        paths: dict[str, Any] = {}
        for key in ("data_dir", "pretrained_generator", "data", "data_b"):
            text = getattr(self, key)
            named = key.startswith("data") and key != "data_dir" and (text in REGISTRY or not Path(str(text)).exists())
            if text is not None and not named:
                paths[key] = str(Path(text).absolute())
        return dataclasses.replace(self, **paths)

    def dump(self) -> str:
        """The run as TOML; `interalia train FILE.toml` reads it."""
        values = {formats.KEY: formats.FORMAT, **dict(self.fields())}
        return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items() if value not in (None, {}))


def is_path(kind: str, text: str) -> bool:
    """True if the text of a part is the path of existing data."""
    return kind == "data" and Path(text).exists()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {number!r}' for key, number in value.items())} }}"
    # JSON is TOML here, apart from escaped surrogate pairs and a bare DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@functools.cache
def field_types() -> dict[str, Any]:
    """The type of each field of a run."""
    return get_type_hints(Run)


@functools.cache
def field_docs() -> dict[str, str]:
    """The descriptions of the fields of a run, by name, from the docstring of `Run`."""
    entries = inspect.cleandoc(Run.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", entries, re.M)}


def _check(key: str, value: Any, kind: Any, rules: Mapping[str, Any]) -> None:
    """Raises a UserError unless the value of the field `key` has the type `kind` and fits `rules`: its range and its choices.

    The numbers in a mapping are checked one by one.
    """
    if isinstance(value, dict) and any(get_origin(one) is dict for one in get_args(kind)):
        for name, number in value.items():
            _check(f"{key}.{name}", number, float, rules)
        return
    if not registry.fits(value, kind):
        words = registry.type_text(kind).lower().removesuffix(" or none")  # as TOML has them
        raise UserError(f"`{key}` is {value!r}, and it must be {words}.")
    low, high = rules.get("low"), rules.get("high")
    # NaN fails both comparisons, and is refused
    if isinstance(value, int | float) and not ((low is None or value >= low) and (high is None or value <= high)):
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
    known = field_types()
    older = {formats.KEY: min(formats.version(values, path), 2)}  # names of version 2 are understood in every TOML file
    values = formats.upgraded({**values, **older}, path)
    for key, value in values.items():
        try:
            if key not in known:
                raise unknown_field(key)
            _check(key, value, known[key], Run.__dataclass_fields__[key].metadata)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return values


def unknown_field(key: str) -> UserError:
    """The error for a field that a run does not have; it names the field that the word stands for, or the nearest one.

    Example:
        >>> str(unknown_field("learning_rate"))
        "there is no field of a run 'learning_rate'; it is called 'lr'."
    """
    joined = {old: new for new, older in formats.JOINED.items() for old in older}
    older = {**formats.new_names(1), **joined}.get(key, "")
    meaning = registry.field_alias(key) or older
    if meaning in Run.__dataclass_fields__:
        return UserError(f"there is no field of a run {key!r}; it is called {meaning!r}.")
    return unknown("field of a run", key, Run.__dataclass_fields__)


def _ruled(rule: str, value: Any) -> tuple[str, ...]:
    """Returns the names of the fields of `Run` whose metadata have this value for a rule, such as True for "resumable"."""
    return tuple(f.name for f in dataclasses.fields(Run) if f.metadata.get(rule) == value)


# Fields that a resumed run may change: its length, where it runs, and how often it logs and evaluates.
RESUMABLE_CHANGES = _ruled("resumable", True)

# Fields that a custom game, or custom data, determine, so that the run must leave them at their defaults.
SET_BY_OWN: Mapping[str, tuple[str, ...]] = {part: _ruled("set_by", part) for part in ("game", "data")}


def with_own_parts(run: Run, game: Game | None, dataset: Dataset | None) -> Run:
    """The run with `FROM_PYTHON` in the fields that a custom game or custom data determine.

    Raises:
        UserError: the run sets a field that the custom game or data determine, or was trained with a custom game or custom
            data that are not given now.
    """
    for key, part, missing in (("game", run.game, game is None), ("dataset", run.data, dataset is None)):
        if part == FROM_PYTHON and missing:
            raise UserError(
                f"the {key} of this run was given from Python, and has to be given again: "
                f"interalia.train(run, FOLDER, resume=True, {key}=...)."
            )
    own: dict[str, Any] = {}
    if dataset is not None:
        own["data"] = FROM_PYTHON
    if game is not None:
        from interalia.games.capabilities import Generates  # here, for it imports torch

        own |= dict.fromkeys(("game", "networks", "prior", "encoder", "divergence"), FROM_PYTHON)
        own |= {"penalty": FROM_PYTHON} if game.penalty is not None else {}
        own |= {"instance_noise": FROM_PYTHON} if game.noise is not None else {}
        own |= {"latent_dim": game.prior.size} if isinstance(game, Generates) else {}
    plain = Run()
    for part, given in (("game", "a custom game is"), ("data", "custom data are")):
        for key in SET_BY_OWN[part] if part in own else ():
            value = getattr(run, key)
            if value not in (getattr(plain, key), own.get(key)):
                raise UserError(f"`{key}` is {value!r}, and {given} given beside the run; leave `{key}` out.")
    return run.replace(**own)
