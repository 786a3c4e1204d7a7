"""A run: everything that a training depends on, in plain values."""

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
    """A field and its rules: its range, its `choices`, the `kind` of part that it names and the text that is `absent` where
    there is none, the part of one's own that it is `brought_by`, whether it is `free` to change when a run goes on."""
    metadata = {"low": low, "high": high, **more}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


if TYPE_CHECKING:

    class Text:
        """A field that is a text, and may be given as an object that has one."""

        def __get__(self, run: object, kind: object = None) -> str: ...
        def __set__(self, run: object, value: object) -> None: ...

else:
    Text = str

DEFAULT = "default"  # the name of the learning rate of all players that have none of their own
FROM_PYTHON = "<own>"  # in place of the name of a part that is given from Python

PLAIN = (str, int, float, dict, list, tuple, type(None))  # everything else is an object in place of its text

# the kinds whose entries can be made without data or networks
STANDALONE_KINDS = ("divergences", "penalties", "noises", "augmentations", "schedules", "averages")


@dataclass(frozen=True)
class Run:
    """Everything that a training depends on, in plain values. Two equal runs on one machine end in equal weights.

    Fields that name a part hold its name and its settings, such as ``r1r2(gamma=0.5, every=4)``; `interalia list` prints
    the names and the settings that there are. They may be given as `interalia.registry.Part`, or as an object such as
    ``KL()`` where a text can say the same, and hold the text.

    Attributes:
        name: the name of the run, which is that of its folder.
        game: the model, a game of an encoder, a decoder and a critic or of some of them, such as ali, gan or vae.
        data: the name of a data set, or the path of a folder of images, a .npy, .npz or .zip file.
        data_b: the second data set of a game that translates between two: a name, or a path as for `data`.
        data_dir: the folder of a named data set's files, where missing ones are downloaded to.
        image_size: images are center-cropped and resized to this many pixels a side.
        binarize: binary images, drawn from gray values as probabilities: none, static (once), or dynamic (again in every
            batch).
        condition_on: labels for a class-conditional game, or attributes: names with commas between them, or all.
        num_labeled: training images whose labels a semi-supervised game is given, equally many of each label; all by
            default.
        pretrained_generator: the folder of a run whose decoder is used as it is, or a .pt2 file of one that is trusted; for
            a game that trains an encoder alone.
        networks: the family of networks.
        latent_dim: the dimension of z.
        prior: p(z): normal, uniform on [-1, 1], mixture, learned or codes.
        encoder: q(z|x): gaussian, deterministic (BiGAN), implicit(noise=2) and others.
        spectral_norm: networks with spectral normalization, with commas between them: critic, or decoder,critic.
        divergence: adversarial loss: gan (non-saturating), hinge, wasserstein, kl and others.
        penalty: gradient penalty on the critic, or weight clipping.
        instance_noise: Gaussian noise added to the critic's images: annealed(std=0.1) or constant(std=0.1).
        augment: augmentation of the critic's images: fixed(policy='translation') or adaptive(target=0.6).
        pack: samples of a joint that the critic judges together (PacGAN).
        skip_critic_above: the critic's updates are skipped while its AUC, the probability that it scores a real pair above a
            fake one, exceeds this; 1 for never.
        dynamics: update scheme of the players: simultaneous, alternating, extragradient and others.
        optimizer: the optimizer of each player.
        lr: the learning rate in place of the optimizer's: a number for all players, or a number by player, such as
            ``{"critic": 4e-4}``, where "default" is that of all others.
        schedule: the learning rate over time.
        steps: the length of the training in steps.
        epochs: the length of the training in passes over the data; `steps` outranks it.
        batch_size: examples in a batch.
        grad_accumulation: batches whose gradients are averaged for one update.
        grad_clip: greatest norm of one player's gradient; 0 for no clipping.
        weight_average: average of the weights that samples are drawn from: ema(0.999), swa(start=0.5) or none.
        recalibrate_bn: batches over which batch norm's statistics are estimated again at the end; 0 keeps the running ones.
        precision: auto, fp32, or bf16 (autocast).
        device: auto, cpu, cuda, cuda:1, mps or another of torch's.
        seed: random seed of initial weights, noise and the order of the data.
        monitor: metric on validation data by which the best checkpoint is chosen.
        early_stopping: evaluations without an improvement of the monitored metric after which training ends; 0 for never.
        log_every: steps between two lines of the log.
        evaluate_every: steps between two evaluations on validation data; 0 for never.
        checkpoint_every: steps between two checkpoints.

    Raises:
        UserError: a value is of the wrong kind or out of its range, or an object that no text can describe.

    Example:
        >>> Run(data="mnist", steps=1000).replace(seed=3).seed
        3
    """

    name: str = _field("run", free=True)
    game: Text = _field("ali", kind="games", brought_by="game")
    data: str = _field("digits", kind="data", brought_by="data")
    data_b: str | None = _field(None, kind="data", brought_by="data")
    data_dir: str | None = _field(None, free=True)
    image_size: int | None = _field(None, 4, 1024, brought_by="data")
    binarize: str = _field("none", choices=("none", "static", "dynamic"), brought_by="data")
    condition_on: str | None = _field(None, brought_by="game")
    num_labeled: int | None = _field(None, 1)
    pretrained_generator: str | None = _field(None, brought_by="game")
    networks: Text = _field("auto", kind="networks", brought_by="game")
    latent_dim: int = _field(64, 1, 100_000, brought_by="game")
    prior: Text = _field("normal", kind="priors", brought_by="game")
    encoder: Text = _field("gaussian", kind="conditionals", brought_by="game")
    spectral_norm: str | None = _field(None, brought_by="game")
    divergence: Text = _field("gan", kind="divergences", brought_by="game")
    penalty: Text = _field("none", kind="penalties", absent="none", brought_by="game")
    instance_noise: Text = _field("none", kind="noises", absent="none", brought_by="game")
    augment: Text = _field("none", kind="augmentations", absent="none", brought_by="game")
    pack: int = _field(1, 1, 64, brought_by="game")
    skip_critic_above: float = _field(1.0, 0.5, 1)
    dynamics: Text = _field("simultaneous", kind="dynamics")
    optimizer: Text = _field("adam", kind="optimizers")
    lr: float | dict[str, float] | None = _field(None, 0, 10)
    schedule: Text = _field("constant", kind="schedules")
    steps: int | None = _field(None, 0, 10**9, free=True)
    epochs: float | None = _field(None, 0, 10**6, free=True)
    batch_size: int = _field(128, 1, 10**6)
    grad_accumulation: int = _field(1, 1, 10**6)
    grad_clip: float = _field(0.0, 0, 1e9)
    weight_average: Text = _field("ema(0.999)", kind="averages", absent="none")
    recalibrate_bn: int = _field(0, 0, 10**6, free=True)
    precision: str = _field("auto", choices=("auto", "fp32", "bf16"))
    device: str = _field("auto", free=True)
    seed: int = _field(0, 0, 2**31 - 1)
    monitor: str = _field("auto", kind="metrics", absent="auto")
    early_stopping: int = _field(0, 0, free=True)
    log_every: int = _field(50, 1, free=True)
    evaluate_every: int = _field(1000, 0, free=True)
    checkpoint_every: int = _field(1000, 1, free=True)

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if "kind" in f.metadata and (isinstance(value, registry.Part) or not isinstance(value, PLAIN)):
                value = registry.text_of(value, f.metadata["kind"])
                object.__setattr__(self, f.name, value)
            _check(f.name, value, field_types()[f.name], f.metadata)

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

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Run:
        """The run of the fields that a file keeps (see `interalia.runs.formats.upgraded`), and of nothing else in it."""
        return cls(**{key: value for key, value in values.items() if key in cls.__dataclass_fields__})

    def parts(self) -> Iterator[tuple[str, str, str]]:
        """The fields that name a part, each with the part's kind and its text; none that is left out, or given beside the
        run."""
        for f in dataclasses.fields(self):
            kind, text = f.metadata.get("kind"), getattr(self, f.name)
            brought = self.game == FROM_PYTHON and f.name in SET_BY_OWN["game"]
            if kind and not brought and text not in (None, FROM_PYTHON, f.metadata.get("absent")):
                yield f.name, kind, text

    def named(self) -> Iterator[tuple[str, str, str]]:
        """As `parts`, with the part's name alone in place of its text."""
        for key, kind, text in self.parts():
            yield key, kind, text if kind in registry.WITHOUT_SETTINGS else registry.parse(text)[0]

    def check_parts(self) -> None:
        """Raises a UserError if a named part, or one of its settings, does not exist."""
        for key, kind, text in self.parts():
            entries = registry.registry(kind)
            if (
                kind in STANDALONE_KINDS
            ):  # made here already, so that a number out of its range is told before anything is done
                registry.make(text, entries, key)
            elif kind == "metrics" and text not in entries:
                raise unknown("metric", text, entries)
            elif kind not in registry.WITHOUT_SETTINGS:
                registry.look_up(text, entries, key)

    def canonical(self) -> Run:
        """The same run with its parts under the names that their registries have for them, in place of other words and other
        case (see `interalia.aliases`).

        Raises:
            UserError: a word is one for what is not there.

        Example:
            >>> Run(divergence="JS", encoder="deterministic").canonical().divergence
            'jensen-shannon'
        """
        names: dict[str, Any] = {
            key: registry.canonical(text, kind) for key, kind, text in self.parts() if not is_path(kind, text)
        }
        return dataclasses.replace(self, **names)

    def with_absolute_paths(self) -> Run:
        """The same run with absolute paths, so that its folder can be used from anywhere."""
        from interalia.data import REGISTRY

        named = {key: getattr(self, key) for key in ("data_dir", "pretrained_generator", "data", "data_b")}
        paths: dict[str, Any] = {
            key: str(Path(name).absolute())
            for key, name in named.items()
            if name is not None
            and (key in ("data_dir", "pretrained_generator") or (name not in REGISTRY and Path(name).exists()))
        }
        return dataclasses.replace(self, **paths)

    def dump(self) -> str:
        """The run as TOML, which `interalia train FILE.toml` takes back."""
        values = {formats.KEY: formats.FORMAT, **dict(self.fields())}
        return "".join(f"{key} = {_toml(value)}\n" for key, value in values.items() if value not in (None, {}))


def is_path(kind: str, text: str) -> bool:
    """Whether the text of a part is the path of data that are there."""
    return kind == "data" and Path(text).exists()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {number!r}' for key, number in value.items())} }}"
    # JSON writes what TOML reads, but for escaped pairs of surrogates and a bare DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@functools.cache
def field_types() -> dict[str, Any]:
    """The type of each field of a run."""
    return get_type_hints(Run)


@functools.cache
def field_docs() -> dict[str, str]:
    """What each field of a run is, from the docstring of `Run`."""
    entries = inspect.cleandoc(Run.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", entries, re.M)}


def _check(key: str, value: Any, kind: Any, rules: Mapping[str, Any]) -> None:
    """Raises a UserError unless `value` is of the kind and in the range of the field `key`."""
    if isinstance(value, dict) and any(get_origin(one) is dict for one in get_args(kind)):
        for name, number in value.items():
            _check(f"{key}.{name}", number, float, rules)
        return
    if not registry.fits(value, kind):
        words = registry.type_text(kind).lower().removesuffix(" or none")  # as TOML has them
        raise UserError(f"`{key}` is {value!r}, and it must be {words}.")
    low, high = rules.get("low"), rules.get("high")
    # asked this way round, so that NaN is refused
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
    values = formats.upgraded(values, path)
    for key, value in values.items():
        try:
            if key not in known:
                raise unknown("field of a run", key, known)
            _check(key, value, known[key], Run.__dataclass_fields__[key].metadata)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return values


def _ruled(rule: str, value: Any) -> tuple[str, ...]:
    """The fields of a run of which a rule says this."""
    return tuple(f.name for f in dataclasses.fields(Run) if f.metadata.get(rule) == value)


# What may change when a run goes on: how long, where, and how closely it is watched.
RESUMABLE_CHANGES = _ruled("free", True)

# What a game, and data, of one's own bring with them, so that a run does not describe it.
SET_BY_OWN: Mapping[str, tuple[str, ...]] = {part: _ruled("brought_by", part) for part in ("game", "data")}


def with_own_parts(run: Run, game: Game | None, dataset: Dataset | None) -> Run:
    """The run with what is given beside it marked as such.

    Raises:
        UserError: the run describes a part of what is given, or was trained with what is not given.
    """
    for key, part, missing in (("game", run.game, game is None), ("dataset", run.data, dataset is None)):
        if part == FROM_PYTHON and missing:
            raise UserError(
                f"the {key} of this run was given from Python, and is to be given again: "
                f"interalia.train(run, FOLDER, resume=True, {key}=...)."
            )
    marks: dict[str, Any] = {}
    if dataset is not None:
        marks["data"] = FROM_PYTHON
    if game is not None:
        from interalia.games.capabilities import Generates  # here, for it imports torch

        marks |= dict.fromkeys(("game", "networks", "prior", "encoder", "divergence"), FROM_PYTHON)
        own = {"penalty": game.penalty, "instance_noise": game.noise}
        marks |= {key: FROM_PYTHON for key, part in own.items() if part is not None}
        marks |= {"latent_dim": game.prior.size} if isinstance(game, Generates) else {}
    plain = Run()
    for part, verb in (("game", "a game of your own is"), ("data", "data of your own are")):
        for key in SET_BY_OWN[part] if part in marks else ():
            value = getattr(run, key)
            if value not in (getattr(plain, key), marks.get(key)):
                raise UserError(f"`{key}` is {value!r}, and {verb} given beside the run; leave `{key}` out.")
    return run.replace(**marks)
