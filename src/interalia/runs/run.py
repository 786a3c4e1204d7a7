"""The description of a training, `Run`: its fields, checks of their values, and TOML files that set them."""

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
from typing import TYPE_CHECKING, Any, Unpack, get_args, get_origin, get_type_hints

from interalia import registry
from interalia.disk import read_text
from interalia.errors import UserError, unknown
from interalia.runs import formats
from interalia.runs.fields import AllFields

if TYPE_CHECKING:
    from interalia.data.dataset import Dataset
    from interalia.games import Game


def _field(default: Any, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """Returns the declaration of a field of the dataclass `Run`: its default, and its constraints as metadata.

    Arguments:
        default: the default value.
        low: the smallest allowed number; None if there is no limit.
        high: the largest allowed number; None if there is no limit.
        more: further metadata, all optional: `choices`, the allowed values; `kind`, the kind of component that the field
            names, such as "penalties"; `absent`, the text that means no component; `set_by`, the custom object ("game" or
            "data") that determines the field; `resumable`, True if a resumed run may change it.
    """
    return field(default=default, metadata={"low": low, "high": high, **more})


if TYPE_CHECKING:

    class Text:
        """The type of a field of `Run` that can be set to a text or an object such as ``KL()``, and is read as a text."""

        def __get__(self, run: object, kind: object = None) -> str: ...
        def __set__(self, run: object, value: object) -> None: ...

else:
    Text = str

LAYOUTS = (
    "auto",
    "signal",
    "image",
    "image-channels-last",
    "volume",
)  # as in `interalia.data.layouts`, which imports NumPy
DEFAULT = "default"  # in a dictionary of learning rates: that of all players that are not in it
FROM_PYTHON = "<own>"  # the name of a part that is given as an object beside the run, such as a custom game

PLAIN = (str, int, float, dict, list, tuple, type(None))  # any other value is an object that a text describes

# kinds whose entries are made without data or networks
STANDALONE_KINDS = ("divergences", "penalties", "noises", "augmentations", "schedules", "averages")


@dataclass(frozen=True, kw_only=True)
class Run:
    """The description of a training: the model, its data and all hyperparameters, as numbers, texts and None.

    It can be saved in a file. Two trainings of equal runs on one machine end in equal weights.

    The value of a field that names a component, such as `penalty`, is a text with its name and arguments:
    ``r1r2(gamma=0.5, every=4)``. The command `interalia list` prints all names and arguments. Such a field may also be set to
    an `interalia.registry.Part`, or to an object such as ``KL()``, and is then the text that describes the object.

    Names may be in upper or lower case, and common synonyms are understood: ``game="BiGAN"`` is ALI with a deterministic
    encoder, ``divergence="js"`` is jensen-shannon. Every training replaces them by the library's names (see `canonical`).

    Attributes:
        name: the name of the run and of its folder.
        game: the model: ali, alice, gan, vae and others; a game of an encoder, a decoder and a critic, or of some of them.
        data: a named data set, or the path of a folder of images or of shards, of a .zip or .tar file of images, of an array
            (.npy, .npz), or of a table (.csv, .tsv, .parquet, .feather).
        data_b: the second data set of a game that translates between two domains; a name or a path, as for `data`.
        data_dir: the folder of the files of named data sets; missing files are downloaded to it.
        split: a table (.csv, .txt) with the file, or row, and the split of each example: train, validation, test, or a fold;
            or a .json file with a list of files for each split; by default the data's own splits, or random ones.
        fold: the number of the fold in that file to test on; the others are for training.
        group: examples of one group, such as a patient, are in one split: a regular expression that finds the group in each
            file's path, or the name of a column of that file or of an array in the .npz file.
        layout: what the axes of an array are: auto, by its shape and type, or signal (n, channels, length), image,
            image-channels-last or volume.
        scale: how the numbers are scaled, by the training split: auto, which leaves images of bytes as they are, none,
            min-max, standard or quantile; of each channel alone by standard(per='channel').
        impute: missing values of a table: refuse, or replace those of a column of numbers by its median, its mean or zero.
        image_size: images are cropped (see `crop`) and resized to this height and width, in pixels.
        gray: True to convert images to gray, False to convert them to color; by default as nine tenths of the images are.
        crop: how images get square: center (the central square), random (a square at a random place of each training image,
            the same in every epoch) or none (the whole image, with other proportions).
        flip: True to mirror each training image at random, left to right, in every batch.
        binarize: binary images, drawn from gray values as probabilities: none, static (once) or dynamic (again in every
            batch).
        condition_on: labels for a class-conditional game, or attributes: their names, separated by commas, or all; kmeans(10)
            for ten clusters of the training examples' pixels, kmeans(10, run='RUN') of the z that the encoder of that run
            infers, codes(run='RUN') for the most probable code of an InfoGAN; by default the game is unconditional.
        num_labeled: number of labeled training images of a semi-supervised game, equally many of each class; all by
            default.
        pretrained_generator: the folder of a run whose decoder is used unchanged, or a trusted .pt2 file; for a game that
            trains an encoder alone.
        init_from: the folder of another run, or its .safetensors file, whose weights the training starts from in every layer
            where the shapes fit; random weights by default.
        networks: the architecture of all networks: auto, which fits the data, or another family of networks.
        latent_dim: the dimension of z.
        prior: p(z): normal, uniform on [-1, 1], mixture, learned or codes.
        encoder: q(z|x): gaussian, deterministic (BiGAN), implicit(noise=2) and others.
        spectral_norm: networks with spectral normalization, separated by commas: critic, or decoder,critic; none by default.
        divergence: the adversarial loss: gan (non-saturating), hinge, wasserstein, kl and others.
        penalty: gradient penalty on the critic, or weight clipping.
        instance_noise: Gaussian noise added to the critic's images: annealed(std=0.1) or constant(std=0.1).
        augment: augmentation of the critic's images: fixed(policy='translation') or adaptive(target=0.6).
        pack: number of samples that the critic scores together (PacGAN).
        skip_critic_above: the critic's updates are skipped while its AUC, the probability that it scores a real pair above a
            fake one, exceeds this; 1 for never.
        dynamics: update scheme of the players: simultaneous, alternating, extragradient and others; "auto" for
            simultaneous, with one backward pass of the critic for both players where that is exact.
        optimizer: the optimizer of each player.
        lr: learning rate, in place of the optimizer's default: one number for all players, or a number for each, such as
            ``{"critic": 4e-4, "default": 1e-4}``, where "default" is for all others.
        schedule: how the learning rate changes over the training.
        steps: length of the training in steps.
        epochs: length of the training in passes over the data; `steps` takes precedence. A step counts as one batch, or as
            `grad_accumulation` batches, also where the dynamics take a batch for each of several updates.
        batch_size: examples in a batch.
        grad_accumulation: batches whose gradients are averaged for one update.
        grad_clip: maximum norm of one player's gradient; 0 for no clipping.
        weight_average: average of the weights that samples are drawn from: ema(0.999), swa(start=0.5) or none.
        recalibrate_bn: number of batches on which batch norm's statistics are computed again at the end; 0 keeps the running
            ones.
        precision: the floating-point format of the training: auto, fp32, bf16 (autocast), or fp16 (autocast with a
            scaled loss for each player, for GPUs that do not multiply bf16 numbers).
        device: the device of the training: auto (cuda if there is one, else cpu), cpu, cuda, cuda:1 or another device of
            torch.
        shards: number of equal parts of a batch whose gradients are added in a fixed order, so that 1, 2 or more processes
            end with the same bits; 1 for no parts.
        compile: True to compile the whole step to one program, for long trainings of small networks; it needs a C++ compiler
            on a CPU.
        seed: random seed of initial weights, noise and the order of the data.
        monitor: metric on validation data by which the best checkpoint is chosen.
        early_stopping: number of evaluations without an improvement of the monitored metric after which training ends; 0
            for never.
        log_every: steps between two lines of the log.
        evaluate_every: steps between two evaluations on validation data; 0 for never.
        checkpoint_every: steps between two checkpoints.
        keep_checkpoints: number of checkpoints that are kept, the newest ones.

    Raises:
        UserError: a value has the wrong type or is out of its range, or is an object that no text can describe.

    Example:
        >>> Run(data="mnist", steps=1000).replace(seed=3)
        Run 'run': ali on mnist, 1,000 steps of 128
        other than the defaults: data='mnist', steps=1000, seed=3
        networks auto, latent_dim 64, encoder gaussian, divergence gan, penalty none, optimizer adam, dynamics auto
    """

    name: str = _field("run", resumable=True)
    game: Text = _field("ali", kind="games", set_by="game")
    data: str = _field("digits", kind="data", set_by="data")
    data_b: str | None = _field(None, kind="data", set_by="data")
    data_dir: str | None = _field(None, resumable=True)
    split: str | None = _field(None, set_by="data")
    fold: int | None = _field(None, 0, set_by="data")
    group: str | None = _field(None, set_by="data")
    layout: str = _field("auto", choices=LAYOUTS, set_by="data")
    scale: str = _field("auto", set_by="data")
    impute: str = _field("refuse", choices=("refuse", "median", "mean", "zero"), set_by="data")
    image_size: int | None = _field(None, 4, 1024, set_by="data")
    gray: bool | None = _field(None, set_by="data")
    crop: str = _field("center", choices=("center", "random", "none"), set_by="data")
    flip: bool = _field(False)
    binarize: str = _field("none", choices=("none", "static", "dynamic"), set_by="data")
    condition_on: str | None = _field(None, set_by="game")
    num_labeled: int | None = _field(None, 1)
    pretrained_generator: str | None = _field(None, set_by="game")
    init_from: str | None = _field(None)
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
    dynamics: Text = _field("auto", kind="dynamics")
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
    precision: str = _field("auto", choices=("auto", "fp32", "bf16", "fp16"))
    device: str = _field("auto", resumable=True)
    shards: int = _field(1, 1, 4096)
    compile: bool = _field(False, resumable=True)
    seed: int = _field(0, 0, 2**31 - 1)
    monitor: str = _field("auto", kind="metrics", absent="auto")
    early_stopping: int = _field(0, 0, resumable=True)
    log_every: int = _field(50, 1, resumable=True)
    evaluate_every: int = _field(1000, 0, resumable=True)
    checkpoint_every: int = _field(1000, 1, resumable=True)
    keep_checkpoints: int = _field(2, 1, 1000, resumable=True)

    def __post_init__(self) -> None:
        if isinstance(self.lr, dict) and self.lr.keys() <= {DEFAULT}:  # the same learning rate for all players
            object.__setattr__(self, "lr", self.lr.get(DEFAULT))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if "kind" in f.metadata and (isinstance(value, registry.Part) or not isinstance(value, PLAIN)):
                value = registry.text_of(value, f.metadata["kind"])
                object.__setattr__(self, f.name, value)
            _check(f.name, value, field_types()[f.name], f.metadata)

    def __repr__(self) -> str:
        from interalia.runs.recipes import REGISTRY  # here: that module imports this one

        known = self.name in REGISTRY
        usual = REGISTRY[self.name]() if known else Run(name=self.name)
        other = {key: value for key, value in self.fields() if value != getattr(usual, key)}
        base = f"the recipe {self.name}" if known else "the defaults"
        changed = ", ".join(f"{key}={value!r}" for key, value in other.items())
        size = "" if self.image_size is None else f" of {self.image_size}x{self.image_size}"
        length = f"{self.steps:,} steps" if self.steps is not None else f"{self.epochs or 0:g} epochs"
        shown = ("networks", "latent_dim", "encoder", "divergence", "penalty", "optimizer", "dynamics")
        return (
            f"Run {self.name!r}: {self.game} on {self.data}{size}, {length} of {self.batch_size}\n"
            f"{f'other than {base}: {changed}' if changed else f'as {base}'}\n"
            + ", ".join(f"{key} {getattr(self, key)}" for key in shown if key not in other)
        )

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Yields a pair (name, value) for each field, in the order of their declaration."""
        return ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))

    def replace(self, **changes: Unpack[AllFields]) -> Run:
        """Returns a copy of the run with some fields changed; the run itself stays as it is.

        Of `steps` and `epochs`, which both set the length of the training, a new value of one sets the other to None. If the
        new game is an alias such as BiGAN, which stands for ``game="ali"`` and ``encoder="deterministic"``, all these fields
        are set, except for those that are among the changes.

        Arguments:
            changes: the new values, by the name of the field.

        Raises:
            UserError: there is no such field (the message names the nearest one), or a value has the wrong type or is out of
                its range.

        Example:
            >>> Run(penalty="r1").replace(game="WGAN").divergence
            'wasserstein'
        """
        given: dict[str, Any] = dict(changes)
        for key in given:
            if key not in self.__dataclass_fields__:
                raise unknown_field(key)
        for key, other in (("steps", "epochs"), ("epochs", "steps")):
            if given.get(key) is not None:
                given.setdefault(other, None)
        if isinstance(given.get("game"), str) and (preset := registry.preset(given["game"])):
            given = {**preset, **given, "game": preset["game"]}
        return dataclasses.replace(self, **given)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Run:
        """Returns a run from the values of its fields by name; missing fields get their defaults, other keys are ignored.

        Arguments:
            values: the content of a file, with current names (see `interalia.runs.formats.upgraded`).
        """
        return cls(**{key: value for key, value in values.items() if key in cls.__dataclass_fields__})

    def parts(self) -> Iterator[tuple[str, str, str]]:
        """Yields a tuple of three texts for each component that the run names: the field, such as "penalty"; the kind of
        component, such as "penalties"; and the value of the field, such as "r1(gamma=0.5)".

        Fields that name no component are left out, and so are components that were passed as Python objects, such as a custom
        game and its networks.
        """
        for f in dataclasses.fields(self):
            kind, text = f.metadata.get("kind"), getattr(self, f.name)
            custom = self.game == FROM_PYTHON and f.name in SET_BY_OWN["game"]
            if kind and not custom and text not in (None, FROM_PYTHON, f.metadata.get("absent")):
                yield f.name, kind, text

    def part_names(self) -> Iterator[tuple[str, str, str]]:
        """Yields a tuple of three texts for each component that the run names: the field, such as "penalty"; the kind of
        component, such as "penalties"; and its name without arguments, such as "r1".
        """
        for key, kind, text in self.parts():
            yield key, kind, text if kind in registry.WITHOUT_SETTINGS else registry.parse(text)[0]

    def check_parts(self) -> None:
        """Raises a UserError if a component that the run names, or one of its arguments, does not exist.

        Components that need neither data nor networks, such as penalties, are also created once, so that an argument out of
        its range raises the error too.
        """
        for key, kind, text in self.parts():
            entries = registry.registry(kind)
            if kind in STANDALONE_KINDS:
                registry.make(text, entries, key)
            elif kind == "metrics" and text not in entries:
                raise unknown("metric", text, entries)
            elif kind not in registry.WITHOUT_SETTINGS:
                registry.look_up(text, entries, key)

    def canonical(self) -> Run:
        """Returns a copy of the run in which aliases and names in another case are replaced by the library's names.

        If the game is an alias such as BiGAN, which stands for ``game="ali"`` and ``encoder="deterministic"``, `game` is
        replaced, and the other fields are set if they have their defaults.

        Raises:
            UserError: a name is the alias of something that the library lacks; the message has an alternative.

        Example:
            >>> run = Run(game="BiGAN", divergence="JS").canonical()
            >>> run.game, run.encoder, run.divergence
            ('ali', 'deterministic', 'jensen-shannon')
        """
        fields, preset = self.__dataclass_fields__, registry.preset(self.game)
        unset = {key: preset[key] for key in preset if key == "game" or getattr(self, key) == fields[key].default}
        run = dataclasses.replace(self, **unset)
        named = ((key, kind, text) for key, kind, text in run.parts() if kind != "data" or not Path(text).exists())
        names: dict[str, Any] = {key: registry.canonical(text, kind) for key, kind, text in named}
        return dataclasses.replace(run, **names)

    def with_absolute_paths(self) -> Run:
        """Returns a copy of the run in which relative paths of data and of other runs become absolute, so that they are
        found from any working directory. Names of data sets stay as they are.
        """
        from interalia.data import REGISTRY

        paths: dict[str, Any] = {}
        for key in ("data_dir", "pretrained_generator", "init_from", "split", "data", "data_b"):
            text = getattr(self, key)
            named = key.startswith("data") and key != "data_dir" and (text in REGISTRY or not Path(str(text)).exists())
            if text is not None and not named:
                paths[key] = str(Path(text).expanduser().absolute())
        return dataclasses.replace(self, **paths)

    def dump(self) -> str:
        """Returns the run as the text of a TOML file, a line ``name = value`` for each field that is not None. The command
        `interalia train FILE.toml` reads such files.
        """
        values = {formats.KEY: formats.FORMAT, **dict(self.fields())}
        return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items() if value not in (None, {}))


def _toml(value: Any) -> str:
    """Returns the value of a field in TOML's syntax. The value is a number, bool, text or dictionary of numbers.

    Example:
        >>> _toml("mnist"), _toml({"critic": 0.5})
        ('"mnist"', '{ critic = 0.5 }')
    """
    if isinstance(value, dict):
        bare = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key) for key in value}
        return f"{{ {', '.join(f'{bare[key]} = {number!r}' for key, number in value.items())} }}"
    # JSON is TOML here, apart from escaped surrogate pairs, a bare DEL and others that a terminal obeys
    text = json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" if c <= "\uffff" else f"\\U{ord(c):08x}" for c in text)


@functools.cache
def field_types() -> dict[str, Any]:
    """Returns the type of each field of a run, such as ``int | None``, by the name of the field."""
    return get_type_hints(Run)


@functools.cache
def field_docs() -> dict[str, str]:
    """Returns the description of each field of a run, by the name of the field, from the docstring of `Run`."""
    entries = inspect.cleandoc(Run.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", entries, re.M)}


def _check(key: str, value: Any, kind: Any, limits: Mapping[str, Any]) -> None:
    """Raises a UserError unless a value that a field of a run is set to has the right type and is allowed.

    Arguments:
        key: the name of the field.
        value: the value; in a dictionary of numbers each number is checked.
        kind: the type of the field, such as ``int | None``.
        limits: the metadata of the field, of which the range from "low" to "high" and the allowed values, "choices", are
            checked if they are there.
    """
    if isinstance(value, dict) and any(get_origin(one) is dict for one in get_args(kind)):
        for name, number in value.items():
            _check(f"{key}.{name}", number, float, limits)
        return
    if isinstance(value, str) and "\0" in value:
        raise UserError(f"`{key}` contains the character NUL, which no name and no path can; leave it out.")
    if not registry.fits(value, kind):
        words = registry.type_text(kind).lower().removesuffix(" or none")  # as TOML has them
        found = repr(value) if isinstance(value, PLAIN) else f"a {type(value).__name__}"
        raise UserError(f"`{key}` is {found}, and it must be {words}.")
    low, high = limits.get("low"), limits.get("high")
    # NaN fails both comparisons, and is refused
    if isinstance(value, int | float) and not ((low is None or value >= low) and (high is None or value <= high)):
        span = f"from {low:,} to {high:,}" if high is not None else f"at least {low:,}"
        raise UserError(f"`{key}` is {value}, out of its range; it must be {span}.")
    choices = limits.get("choices")
    if choices and value not in choices:
        raise UserError(f"`{key}` is {value!r}; it is one of: {', '.join(choices)}.")


def from_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file, checks the names and values of the fields of a run that it sets, and returns the values by name.
    Names of older versions are replaced by the current ones.

    Raises:
        UserError: the file cannot be read or is not TOML, or a key is not a field, or a value has the wrong type or is out of
            its range; the message names the file and the key.
    """
    try:
        values = tomllib.loads(read_text(path))
    except OSError as error:
        raise UserError(f"the file {path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or a number of too many digits
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
    """Returns the error for a name `key` that is no field of a run. Its message has the field of which it is an alias or a
    former name; or else the field with the most similar name, if any, and all fields.

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


def _fields_with(key: str, value: Any) -> tuple[str, ...]:
    """Returns the names of the fields of `Run` whose metadata have a value under a key, such as True under "resumable"."""
    return tuple(f.name for f in dataclasses.fields(Run) if f.metadata.get(key) == value)


# Fields that a resumed run may change: its length, where it runs, and how often it logs and evaluates.
RESUMABLE_CHANGES = _fields_with("resumable", True)

# Fields that a custom game, or custom data, determine, so that the run must leave them at their defaults.
SET_BY_OWN: Mapping[str, tuple[str, ...]] = {part: _fields_with("set_by", part) for part in ("game", "data")}


def with_own_parts(run: Run, game: Game | None, dataset: Dataset | None) -> Run:
    """Returns a copy of a run in which fields that a custom game or data set determines have the value "<own>".

    These are `data` for a custom data set; for a custom game `game`, `networks`, `prior`, `encoder` and `divergence`, and
    `penalty` and `instance_noise` if it has some. `latent_dim` becomes that of the custom game.

    Arguments:
        run: the run.
        game: the custom game; None if the run names the game.
        dataset: the custom data set; None if the run names the data.

    Raises:
        UserError: the run sets a field that the custom game or data determine, or was trained with a custom game or custom
            data that are missing now.
    """
    for key, part, missing in (("game", run.game, game is None), ("dataset", run.data, dataset is None)):
        if part == FROM_PYTHON and missing:
            raise UserError(
                f"the {key} of this run was given from Python, and has to be given again: "
                f"interalia.train(run, FOLDER, resume=True, {key}=...)."
            )
    own: dict[str, Any] = {} if dataset is None else {"data": FROM_PYTHON}
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
