"""The folder that a training writes: the paths of its files, functions that write and read them, and checks that plug-ins
and the pretrained generator that the run needs are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interalia import registry
from interalia.disk import parse_json, read_json, regular, write_json, writing
from interalia.errors import DataWarning, UserError, resume_call
from interalia.runs import FROM_PYTHON, RESUMABLE_CHANGES, Run, formats, schemas

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.games import DataSpec, Game

# keys beside the fields of the run, in run.json, and the latter two in the weights' header too; the last has the origins of
# the components that are not the library's own, by field
FINGERPRINT, ABOUT_GAME, PLUGINS = "data_fingerprint", "about_game", "plugins"
INITIAL = "initial_weights"  # in run.json alone: where the initial weights are from, layer by layer
LOCK = ".lock"  # the file of a claim on a folder; hidden: a folder with nothing else counts as empty
# files of a run that are written before run.json
FIRST = {"generator.safetensors", "generator.pt2", "split", "clusters.safetensors"}
MOVED = ("data", "data_b")  # fields that a resumed run may change, to the present place of its data


class Folder:
    """The folder in which a training saves its description, log, checkpoints and weights; the attributes are their paths.

    They are `path` itself, `description` (of run.json), `log`, `checkpoints`, `best` (the best weights, in checkpoints),
    `weights`, `trained_on` (digests of the training examples), `clusters`, `figures`, `results`, `table` (of
    results.md), `likelihood`, `likelihood_table` and `report`.

    The folder contains ``run.json``, ``log.jsonl``, ``checkpoints/``, ``weights.safetensors``, ``figures/``,
    ``results.json``, ``results.md``, ``likelihood.json``, ``likelihood.md`` and ``report.html``; a copy of the pretrained
    generator, if the run has one, as ``generator.safetensors`` or ``generator.pt2``; a copy of the file of splits in the
    folder ``split/``, if the run has one; ``trained_on.npy`` for data of the user's own; ``clusters.safetensors``, the
    cluster of each example, for a game that is conditional on clusters; and ``.lock`` while a process trains
    in it (see `interalia.runs.claims`).

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
        self.trained_on = self.path / "trained_on.npy"
        self.clusters = self.path / "clusters.safetensors"
        self.figures = self.path / "figures"
        self.results = self.path / "results.json"
        self.table = self.path / "results.md"
        self.likelihood = self.path / "likelihood.json"
        self.likelihood_table = self.path / "likelihood.md"
        self.report = self.path / "report.html"

    def check_free(self) -> None:
        """Raises a UserError if a new run cannot be written to the folder: its path is that of a file, or it contains files
        that are not hidden. What a training that was killed at its beginning has left does not count.
        """
        if self.path.exists() and not self.is_empty:
            raise UserError(
                f"{self.path} exists already; continue it with {resume_call(self.path)}, or choose another folder with `out`."
            )

    @property
    def is_empty(self) -> bool:
        """True if this is a folder without files that are not hidden, or with those alone that a training has left which was
        killed before it had written ``run.json``.
        """
        if not self.path.is_dir():
            return False
        names = {file.name for file in self.path.iterdir() if file.name[0] != "."}
        return not names or ((self.path / LOCK).is_file() and names <= FIRST)

    def clear(self) -> None:
        """Deletes what a new run has written to its folder before the first step: ``run.json``, digests of the examples, a
        checkpoint of initial weights, copies of a generator, a file of splits and one of clusters, and temporary files.
        """
        self.sweep(".run.json.*")
        for name in (*FIRST, self.description.name, self.trained_on.name, self.checkpoints.name):
            self.sweep(f".{name}.*")
            if (path := self.path / name).is_file():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)

    def sweep(self, pattern: str = ".*") -> None:
        """Deletes temporary files that `interalia.disk.writing` has left in the folder because its process was killed.

        `pattern` is the pattern of their names, by default that of all of them.
        """
        for path in self.path.rglob(pattern):
            if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name) and path.is_file():
                path.unlink()

    def write(
        self,
        run: Run,
        fingerprint: Mapping[str, Any] | None = None,
        game: Game | None = None,
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes ``run.json``. The file of a pretrained generator and a file of splits, if the run has them, are first copied
        into the folder, so that the run does not depend on other folders.

        Arguments:
            run: the description of the training.
            fingerprint: the fingerprint of the training data (see `fingerprint`), by which a resumed training recognizes
                other data; None to keep the one that is in ``run.json``.
            game: the game, whose description for reports (see `about`) is saved too; None to keep the description that is
                in ``run.json``.
            initial: where the initial weights are from, the fields of `interalia.runs.initial.Initial`; None to keep those
                that are in ``run.json``.
        """
        if run.pretrained_generator is not None and with_generator_copy(run, self) == run:
            source = weights_of(run.pretrained_generator)
            if source.suffix != ".pt2" and header(source)["run"].get("pretrained_generator"):
                # a run of an encoder alone passes on its own copy of the generator
                source = next(copies(source.parent), source)
            with writing(self.path / f"generator{source.suffix}", "wb") as file:
                file.write(source.read_bytes())
        if run.split is not None and split_copy(self) is None:
            source = Path(run.split).expanduser()
            copy = self.path / "split" / source.name
            copy.parent.mkdir(exist_ok=True)
            with writing(copy, "wb") as file:
                file.write(source.read_bytes())
        extra = {
            FINGERPRINT: self.fingerprint() if fingerprint is None else fingerprint,
            ABOUT_GAME: self.extra(ABOUT_GAME) if game is None else about(game),
            PLUGINS: plugins_of(run) or None,
            INITIAL: self.extra(INITIAL) if initial is None else initial,
        }
        extra = {key: value for key, value in extra.items() if value is not None}
        write_json(self.description, {formats.KEY: formats.FORMAT, **dataclasses.asdict(run), **extra})

    def fingerprint(self) -> dict[str, Any] | None:
        """Returns the fingerprint of the training data from ``run.json``: a dictionary with its "version", "rows" (the size
        of each split) and "sha256" (a digest of the data). None in folders of older versions.
        """
        return self.extra(FINGERPRINT)

    def extra(self, key: str) -> dict[str, Any] | None:
        """Returns the dictionary that ``run.json`` has under a key beside the fields of the run, such as "data_fingerprint".

        Returns None if there is no such key, its value is no dictionary, or the file is missing or damaged.
        """
        try:
            found = read_json(self.description).get(key)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def check_data(self, found: Mapping[str, Any]) -> None:
        """Raises a UserError if a data set is not the one that the run was trained on, by their fingerprints.

        Arguments:
            found: the fingerprint of the data set (see `interalia.data.fingerprints`).
        """
        from interalia.data import fingerprints  # here: it imports numpy, and the command line starts without

        if other := fingerprints.difference(self.fingerprint(), found):
            raise UserError(
                f"the data are not those that the run in {self.path} was trained on ({other}), and training "
                f"would mix training and test examples; restore the former data, or train a new run (if they are "
                f"elsewhere now, give their place by `data`)."
            )

    def run(self) -> Run:
        """Returns the description of the training that ``run.json`` contains, which may be of an older version.

        Raises:
            UserError: this is not the folder of a run, or the file is damaged.
        """
        try:
            return Run.restored(formats.upgraded(read_json(self.description), self.description))
        except OSError:
            if self.is_empty:
                raise UserError(
                    f"{self.path} is not the folder of a run: there is no run.json in it, because a training there has not "
                    f"begun or was killed before; begin it again with `out={str(self.path)!r}`."
                ) from None
            raise UserError(
                f"{self.path} is not the folder of a run: there is no run.json in it; give the folder that "
                f"`interalia train` named."
            ) from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.description} is damaged ({error}); restore it, or train a new run.") from None

    def write_log(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes lines of a log, which are dictionaries, in place of the former content of ``log.jsonl``."""
        with writing(self.log) as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def log_lines(self) -> list[dict[str, Any]]:
        """Returns the lines of the log, ``log.jsonl``, as dictionaries with the key "step" and the values that were logged
        then, by name. Metrics have their current names. The list is empty if there is no log.

        A line that is damaged or not complete, as the last line of a training that was killed, is left out.
        """
        lines = []
        if self.log.is_file():
            for text in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(parse_json(text))
        return [formats.log_line(line) for line in lines if schemas.is_log_line(line)]

    def check_plugins(self) -> None:
        """Raises a UserError if a custom component that the run was trained with is missing, and warns if the component of
        that name is from another module or package now.
        """
        check_plugins(self.run(), read_json(self.description))

    def resumed_from(self, run: Run) -> Run:
        """Checks that the training in this folder can be resumed with the fields of `run`, and returns a copy of `run`. If a
        field that a resumed run may not change is "auto", the copy has the value of the folder's run.

        Raises:
            UserError: `run` and the folder's run differ in a field that a resumed run may not change; or the copy of the
                pretrained generator, or a plug-in, is missing.
        """
        self.check_plugins()
        kept, rows = self.run(), min((self.fingerprint() or {}).get("rows", [0])[::3])
        if kept.batch_size == rows // run.pack * run.pack < run.batch_size:  # of few examples: `prepare` lowered it
            run = run.replace(batch_size=kept.batch_size)
        for key, value in run.with_absolute_paths().fields():
            moved = key in MOVED and self.may_move(value, getattr(kept, key))
            if key in RESUMABLE_CHANGES or moved or value == getattr(kept, key):
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

    def may_move(self, new: str | None, old: str | None) -> bool:
        """True if a resumed run may read its data from the path `new` in place of `old`: both are paths, and ``run.json`` has
        a fingerprint by which the data are recognized later.
        """
        from interalia.data import REGISTRY, fingerprints

        known = (self.fingerprint() or {}).get("version") == fingerprints.VERSION
        return known and not any(text in (None, FROM_PYTHON, *REGISTRY) for text in (new, old))


def plugins_of(run: Run) -> dict[str, Any]:
    """Returns the origin of each component of a run that is not built in, by the field that names the component.

    An origin is a dictionary of texts: "module", the module that added the component, and "package" and "version" of the
    installed package with that module.
    """
    found = {key: registry.registry(kind).origin(name) for key, kind, name in run.part_names()}
    return {key: dataclasses.asdict(origin) for key, origin in found.items() if origin}


def check_plugins(run: Run, values: Mapping[str, Any]) -> None:
    """Warns if a custom component of a run comes from another module or package now than when the run was trained.

    Arguments:
        run: the run.
        values: the content of ``run.json`` or of the header of weights; its key "plugins" has the origins at the time of the
            training (see `plugins_of`).

    Raises:
        UserError: a custom component of the run is missing now.
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


def plugin_modules(run: Mapping[str, Any]) -> list[str]:
    """The names of the modules, sorted, that define components of a run and belong to no installed package.

    `run` is the content of ``run.json``. Commands of `interalia` for this run need them as values of their option `--plugin`.
    """
    origins = [registry.Origin.restored(values) for values in run.get(PLUGINS, {}).values()]
    return sorted({origin.module for origin in origins if not origin.package and origin.module != "__main__"})


def weights_of(path: Path | str) -> Path:
    """Returns the path of the file that contains a pretrained generator.

    Arguments:
        path: the folder of the run that trained the generator, of which the path of its weights is returned; or a .pt2 or
            .safetensors file, whose path is returned.
    """
    return Path(path) if Path(path).suffix in (".pt2", ".safetensors") else Folder(path).weights


def copies(folder: Path) -> Iterator[Path]:
    """Yields the paths of generator.safetensors and generator.pt2 in a folder, the copies of a run's pretrained generator;
    none if there is no such file.
    """
    return (path for suffix in (".safetensors", ".pt2") if (path := folder / f"generator{suffix}").is_file())


def with_generator_copy(run: Run, folder: Folder | None) -> Run:
    """Returns a copy of a run whose field `pretrained_generator` is the path of the generator's copy in the folder `folder`.

    Returns the run itself if it has no pretrained generator, `folder` is None, or there is no copy in it.
    """
    found = None if folder is None or run.pretrained_generator is None else next(copies(folder.path), None)
    return run if found is None else run.replace(pretrained_generator=str(found))


def split_copy(folder: Folder) -> Path | None:
    """Returns the path of the copy of a run's file of splits in its folder; None if there is none."""
    return next((path for path in sorted((folder.path / "split").glob("*")) if path.is_file()), None)


def with_split_copy(run: Run, folder: Folder | None) -> Run:
    """Returns a copy of a run whose field `split` is the path of the copy of that file in the folder `folder`.

    If the file that the run names has changed since, a warning says that the copy is used. Returns the run itself if it has
    no file of splits, `folder` is None, or there is no copy in it.
    """
    copy = None if folder is None or run.split is None else split_copy(folder)
    if copy is None or run.split is None:
        return run
    original = Path(run.split).expanduser()
    if original.is_file() and original.read_bytes() != copy.read_bytes():
        text = f"{original} has changed since the training began; the run keeps its splits, which are in {copy}."
        warnings.warn(text, DataWarning, stacklevel=2)
    return run.replace(split=str(copy))


def matching_generator(run: Run, given: Container[str]) -> Run:
    """Returns a copy of a run with the latent dimension and the prior that its pretrained generator was trained with.

    Returns the run itself if it has no pretrained generator, or one whose file has no header that can be read; loading it
    raises the error later.

    Arguments:
        run: the run.
        given: the names of the fields that the user has set; if "latent_dim" or "prior" is one of them, it keeps the run's
            value.
    """
    if run.pretrained_generator is None:
        return run
    try:
        kept = header(weights_of(run.pretrained_generator))["run"]
    except UserError:
        return run
    return run.replace(**{key: kept[key] for key in ("latent_dim", "prior") if key in kept and key not in given})


def initial_file(path: Path | str) -> Path:
    """Returns the path of the file with the weights that a training starts from.

    Arguments:
        path: the folder of a run, of which the path of its weights is returned; or a .safetensors file, whose path is
            returned.

    Raises:
        UserError: it is neither, or the run has no weights yet.
    """
    path = Path(path).expanduser()
    if path.suffix == ".safetensors" and path.is_file():
        return path
    folder = Folder(path)
    if not folder.description.is_file():
        raise UserError(f"there is no run {path} to start from; give the folder of a run, or its .safetensors file.")
    if not folder.weights.is_file():
        raise UserError(f"the run {path} to start from has no weights yet; train it first.")
    return folder.weights


def matching_initial(run: Run, given: Container[str]) -> Run:
    """Returns a copy of a run with the networks, the latents and the encoder of the run that it starts from.

    Returns the run itself if it starts from random weights, or from a file that cannot be read; reading it raises the error
    later.

    Arguments:
        run: the run.
        given: the names of the fields that the user has set, which keep the run's values.
    """
    if run.init_from is None:
        return run
    try:
        kept = header(initial_file(run.init_from))["run"]
    except UserError:
        return run
    names = [key for key in ("networks", "latent_dim", "prior", "encoder") if key in kept and key not in given]
    return run.replace(**{key: kept[key] for key in names if kept[key] != FROM_PYTHON})


def export(game: Game, run: Run, step: int, path: Path) -> None:
    """Writes the weights of a game as a .safetensors file, with the description of the run as metadata.

    Arguments:
        game: the game.
        run: the description of its training.
        step: the number of training steps so far.
        path: the file to write.
    """
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in game.state_dict().items()}
    values: dict[str, Any] = {
        formats.KEY: formats.FORMAT,
        "run": dataclasses.asdict(run),
        "step": step,
        "data": {key: v for key, v in dataclasses.asdict(game.data).items() if v or not key.endswith("units")},
        ABOUT_GAME: about(game),
        "digest": digest_of(tensors),
    }
    if plugins := plugins_of(run):
        values[PLUGINS] = plugins
    metadata = {"interalia": json.dumps(values)}
    with writing(path, "wb") as file:
        file.write(save(tensors, metadata))


def about(game: Game) -> dict[str, Any]:
    """Returns the description of a game for reports: its title, texts about it, and the names of its capabilities.

    The keys of the dictionary are "title"; "teaches", how the game works; "judged", what the critic scores; "reading", how to
    read the losses; "critic", True if there is one; "can", the capabilities; and "log_odds", True if the optimal critic's
    score is the log-odds of the two distributions that it separates.
    """
    from interalia.games.capabilities import facts  # here: it imports torch, and the command line starts without

    return facts(game)


def header(file: Path) -> dict[str, Any]:
    """Returns the metadata of a file of weights that `export` wrote, as a dictionary.

    The key "run" has the fields of the run with their current names, "step" the number of training steps, and "data" the
    fields of `interalia.games.DataSpec`. Others are "about_game" and "plugins", as in ``run.json``, and "digest", the SHA-256
    digest of the tensors.

    Raises:
        UserError: there is no such file, it is damaged, or another program wrote it.
    """
    from safetensors import SafetensorError, safe_open

    from interalia.games import DataSpec  # here: it imports torch, and the command line starts without

    if not os.path.lexists(file):
        raise UserError(f"there is no file {file}; give the folder of a run, or a .safetensors file of one.")
    try:
        with safe_open(regular(file), framework="pt") as opened:  # it checks the length of the file
            about: dict[str, Any] = parse_json((opened.metadata() or {}).get("interalia", "null"))
        about |= schemas.checked(about, schemas.Header)
        about["run"] = formats.upgraded({formats.KEY: about.get(formats.KEY, 1), **about["run"]}, file)
        old = {} if "data" in about else {**about, "condition": about.get("labels", 0)}  # as up to version 0.2
        about["data"] = schemas.checked(about.get("data", old), DataSpec)
        check_units(about["data"])
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise damaged(file, error) from None
    return about


def check_units(spec: DataSpec) -> None:
    """Raises an error if the units in the description of a game's data are damaged, or do not fit the shape of an example: a
    UserError or a ValueError.
    """
    from interalia.data.scaling import restore  # here: it imports numpy, and the command line starts without

    for values, shape in ((spec.units, spec.shape), (spec.other_units, spec.other or spec.shape)):
        if (units := restore(values)) is not None and shape and not units.fits(shape):
            raise ValueError(f"the units of its data do not fit examples of the shape {shape}")


def damaged(file: Path, reason: object) -> UserError:
    """Returns the error for a file of weights, `file`, that is damaged; `reason`, an error or a text, is in its message."""
    return UserError(
        f"{file} is damaged or not a file of this program ({reason}); write it again with {resume_call('RUN')}."
    )


def read_weights(file: Path, about: Mapping[str, Any]) -> dict[str, Tensor]:
    """Returns the tensors in a file of weights, by name.

    Arguments:
        file: the file.
        about: its metadata, as `header` returns them; files of older versions have no digest of the tensors there.

    Raises:
        UserError: the tensors are damaged.
    """
    from safetensors.torch import load_file

    tensors = load_file(file)
    if about.get("digest", digest := digest_of(tensors)) != digest:
        raise damaged(file, "the numbers of its tensors have changed")
    return tensors


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 digest of tensors on the CPU, in hexadecimal: of names, types, shapes and numbers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
