"""The folder of a run, and the files of weights in it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia import registry
from interalia.disk import read_json, write_json, writing
from interalia.errors import UserError, resume_call
from interalia.runs import RESUMABLE_CHANGES, Run, formats

if TYPE_CHECKING:
    from interalia.games import Game

# keys beside the fields of the run, in run.json, and the latter two in the weights' header too; the last has the origins of
# the parts that are not the library's own, by field
FINGERPRINT, ABOUT_GAME, PLUGINS = "data_fingerprint", "about_game", "plugins"


class Folder:
    """The folder of a run.

    It holds ``run.json``, ``log.jsonl``, ``checkpoints/``, ``weights.safetensors``, ``figures/``, ``results.json``,
    ``results.md``, ``likelihood.json``, ``likelihood.md`` and ``report.html``; a copy of the pretrained generator, if the run
    has one, as ``generator.safetensors`` or ``generator.pt2``; and ``.lock`` while a process trains in it (see
    `interalia.runs.claims`).

    Arguments:
        path: the folder, which need not exist.
    """

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
        """Raises a UserError if there is a file or a non-empty folder of that name."""
        if self.path.exists() and (
            not self.path.is_dir() or any(not part.name.startswith(".") for part in self.path.iterdir())
        ):
            raise UserError(
                f"{self.path} exists already; continue it with {resume_call(self.path)}, or choose another folder with `out`."
            )

    def sweep(self) -> None:
        """Removes the incomplete files of a process that was killed (see `interalia.disk.writing`)."""
        for path in self.path.rglob(".*"):
            if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name) and path.is_file():
                path.unlink()

    def write(self, run: Run, fingerprint: Mapping[str, Any] | None = None, game: Game | None = None) -> None:
        """Writes ``run.json``, and before it a copy of the pretrained generator, so that the run does not need the folder
        that the generator is from.

        Arguments:
            run: the description.
            fingerprint: of the data; by default the one in ``run.json``.
            game: the game whose facts a report needs; by default the facts in ``run.json``.
        """
        if run.pretrained_generator is not None and with_generator_copy(run, self) == run:
            source = weights_of(run.pretrained_generator)
            if source.suffix != ".pt2" and header(source)["run"].get("pretrained_generator"):
                # a run of an encoder alone passes on its own copy of the generator
                source = next(copies(source.parent), source)
            with writing(self.path / f"generator{source.suffix}", "wb") as file:
                file.write(source.read_bytes())
        extra = {
            FINGERPRINT: self.fingerprint() if fingerprint is None else fingerprint,
            ABOUT_GAME: self.extra(ABOUT_GAME) if game is None else about(game),
            PLUGINS: plugins_of(run) or None,
        }
        extra = {key: value for key, value in extra.items() if value is not None}
        write_json(self.description, {formats.KEY: formats.FORMAT, **dataclasses.asdict(run), **extra})

    def fingerprint(self) -> dict[str, Any] | None:
        """The fingerprint of the training data; None in folders of older versions, which have none."""
        return self.extra(FINGERPRINT)

    def extra(self, key: str) -> dict[str, Any] | None:
        """The value of a key beside the fields of the run in ``run.json``; None if there is no such key."""
        try:
            found = read_json(self.description).get(key)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def check_data(self, found: Mapping[str, Any]) -> None:
        """Raises a UserError unless `found` is the fingerprint of the data that the run was trained on."""
        from interalia.data import fingerprints  # here: it imports numpy, and the command line starts without

        if other := fingerprints.difference(self.fingerprint(), found):
            raise UserError(
                f"the data are not those that the run in {self.path} was trained on ({other}), and training "
                f"would mix training and test examples; restore the former data, or train a new run."
            )

    def run(self) -> Run:
        """The description in ``run.json``.

        Raises:
            UserError: this is not the folder of a run, or the file is damaged.
        """
        try:
            return Run.restored(formats.upgraded(read_json(self.description), self.description))
        except OSError:
            raise UserError(
                f"{self.path} is not the folder of a run: there is no run.json in it; give the folder that "
                f"`interalia train` named."
            ) from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.description} is damaged ({error}); restore it, or train a new run.") from None

    def check_plugins(self) -> None:
        """Raises a UserError if a plug-in that the run was trained with is missing; see `check_plugins`."""
        check_plugins(self.run(), read_json(self.description))

    def resumed_from(self, run: Run) -> Run:
        """`run`, with the values that this folder's run has in place of "auto".

        Raises:
            UserError: the two runs differ in a field that a resumed run may not change, or the copy of the pretrained
                generator is missing, or a plug-in is.
        """
        self.check_plugins()
        kept = self.run()
        for key, value in run.with_absolute_paths().fields():
            if key in RESUMABLE_CHANGES or value == getattr(kept, key):
                continue
            if value != "auto":
                raise UserError(
                    f"`{key}` is {value!r}, and the run in {self.path} has {getattr(kept, key)!r}; a resumed run keeps "
                    f"its settings, so give the same value, or train a new run."
                )
            run = run.replace(**{key: getattr(kept, key)})
        if run.pretrained_generator is not None and with_generator_copy(run, self) is run:
            raise UserError(
                f"the run in {self.path} needs its pretrained generator, and the copy is missing; restore the file "
                f"generator.safetensors or generator.pt2, or train a new run."
            )
        return run


def plugins_of(run: Run) -> dict[str, Any]:
    """The origins of the parts of a run that are not the library's own, by field, as plain values for a file."""
    found = {key: registry.registry(kind).origin(name) for key, kind, name in run.part_names()}
    return {key: dataclasses.asdict(origin) for key, origin in found.items() if origin}


def check_plugins(run: Run, values: Mapping[str, Any]) -> None:
    """Warns if a part of a run has another origin than the one in its file.

    Arguments:
        run: the run.
        values: the content of its file.

    Raises:
        UserError: a part that a plug-in had added is missing.
    """
    kept = values.get(PLUGINS)
    kept = formats.new_plugins(kept, values.get(formats.KEY, 1)) if isinstance(kept, Mapping) else {}
    for key, kind, name in run.part_names():
        if not isinstance(kept.get(key), Mapping):
            continue
        then, now = registry.Origin.restored(kept[key]), registry.registry(kind).origin(name)
        if name not in registry.registry(kind):
            raise UserError(
                f"`{key}` of this run is {name!r}, which is missing here; it was from {then} when the run was trained: "
                f"{then.advice}."
            )
        if now is None or (now.module, now.package) != (then.module, then.package):
            registry.warn(
                f"`{key}` of this run, {name!r}, was from {then} when it was trained; now {now or 'built in'}."
            )


def weights_of(path: Path | str) -> Path:
    """The file of a generator: the weights in a run's folder, or the file itself."""
    return Path(path) if Path(path).suffix in (".pt2", ".safetensors") else Folder(path).weights


def copies(folder: Path) -> Iterator[Path]:
    """The copies of the pretrained generator in a run's folder: one, or none."""
    return (path for suffix in (".safetensors", ".pt2") if (path := folder / f"generator{suffix}").is_file())


def with_generator_copy(run: Run, folder: Folder | None) -> Run:
    """The run with the generator's copy in `folder` as its pretrained generator; the same run if there is no copy."""
    found = None if folder is None or run.pretrained_generator is None else next(copies(folder.path), None)
    return run if found is None else run.replace(pretrained_generator=str(found))


def matching_generator(run: Run, given: Container[str]) -> Run:
    """The run with the latent dimension and the prior of its pretrained generator, except for the fields in `given`.

    The run is unchanged if the generator's file says nothing of them, or cannot be read: the error comes where it is opened.
    """
    if run.pretrained_generator is None:
        return run
    try:
        kept = header(weights_of(run.pretrained_generator))["run"]
    except UserError:
        return run
    return run.replace(**{key: kept[key] for key in ("latent_dim", "prior") if key not in given})


def export(game: Game, run: Run, step: int, path: Path) -> None:
    """Writes a game's weights as safetensors, with the description of the run as metadata."""
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in game.state_dict().items()}
    values: dict[str, Any] = {
        formats.KEY: formats.FORMAT,
        "run": dataclasses.asdict(run),
        "step": step,
        "data": dataclasses.asdict(game.data),
        ABOUT_GAME: about(game),
    }
    if plugins := plugins_of(run):
        values[PLUGINS] = plugins
    metadata = {"interalia": json.dumps(values)}
    with writing(path, "wb") as file:
        file.write(save(tensors, metadata))


def about(game: Game) -> dict[str, Any]:
    """The facts of a game that a report needs, see `interalia.games.capabilities`."""
    from interalia.games.capabilities import facts  # here: it imports torch, and the command line starts without

    return facts(game)


def header(file: Path) -> dict[str, Any]:
    """The metadata of a file of weights, which `export` wrote.

    Raises:
        UserError: there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        raise UserError(f"there is no file {file}; give the folder of a run, or a .safetensors file of one.")
    try:
        with safe_open(file, framework="pt") as opened:  # it checks the length of the file
            about: dict[str, Any] = json.loads((opened.metadata() or {})["interalia"])
        about["run"] = formats.upgraded({formats.KEY: about.get(formats.KEY, 1), **about["run"]}, file)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is damaged or not a file of this program ({error}); write it again with {resume_call('RUN')}."
        ) from None
    if "data" not in about:  # as up to version 0.2
        about["data"] = {**about, "condition": about.get("labels", 0)}
    return about
