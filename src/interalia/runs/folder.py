"""What a run keeps on disk: its folder, and the weights in it."""

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

# beside the fields of the run in run.json, the latter two in the weights' header too; the last says where the part that a
# field names is from, if not from the library
FINGERPRINT, ABOUT_GAME, PLUGINS = "data_fingerprint", "about_game", "plugins"


class Folder:
    """The folder of a run: ``run.json``, ``log.jsonl``, ``checkpoints/``, ``weights.safetensors``, ``figures/``,
    ``results.json``, ``results.md``, ``likelihood.json``, ``likelihood.md``, ``report.html``; and a copy of the
    generator that a game infers for, ``generator.safetensors`` or ``generator.pt2``. While a process trains in it there is
    ``.lock`` too (see `interalia.runs.claims`)."""

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
                f"{self.path} exists already; go on with it by {resume_call(self.path)}, or choose another folder with `out`."
            )

    def sweep(self) -> None:
        """Removes what a process that was killed had half written (see `writing`)."""
        for path in self.path.rglob(".*"):
            if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name) and path.is_file():
                path.unlink()

    def write(self, run: Run, fingerprint: Mapping[str, Any] | None = None, game: Game | None = None) -> None:
        """Writes the description, with a fingerprint of the data and what a report says of the game, or what is there of
        them, and before it a copy of the generator, so that the run outlives the folder that this came from."""
        if run.pretrained_generator is not None and with_generator_copy(run, self) == run:
            source = weights_of(run.pretrained_generator)
            if source.suffix != ".pt2" and header(source)["run"].get("pretrained_generator"):
                # an encoder's run hands on the generator that it has itself
                source = next(copies(source.parent), source)
            with writing(self.path / f"generator{source.suffix}", "wb") as file:
                file.write(source.read_bytes())
        beside = {
            FINGERPRINT: self.fingerprint() if fingerprint is None else fingerprint,
            ABOUT_GAME: self.kept(ABOUT_GAME) if game is None else about(game),
            PLUGINS: plugins_of(run) or None,
        }
        kept = {key: value for key, value in beside.items() if value is not None}
        write_json(self.description, {formats.KEY: formats.FORMAT, **dataclasses.asdict(run), **kept})

    def fingerprint(self) -> dict[str, Any] | None:
        """Of the data that the run was trained on; None where the folder keeps none, as older ones do not."""
        return self.kept(FINGERPRINT)

    def kept(self, key: str) -> dict[str, Any] | None:
        """What run.json keeps beside the run; None where there is no such thing."""
        try:
            found = read_json(self.description).get(key)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def check_data(self, found: Mapping[str, Any]) -> None:
        """Raises a UserError unless data of the fingerprint `found` are those that the run was trained on."""
        from interalia.data import fingerprints  # here, for it imports numpy, and the command line begins without

        if other := fingerprints.difference(self.fingerprint(), found):
            raise UserError(
                f"the data are not those that the run in {self.path} was trained on ({other}), so that it would be "
                f"trained on examples which it is tested on; put the former data back, or train a new run."
            )

    def run(self) -> Run:
        """The description that the folder keeps.

        Raises:
            UserError: this is no folder of a run.
        """
        try:
            return Run.restored(formats.upgraded(read_json(self.description), self.description))
        except OSError:
            raise UserError(
                f"{self.path} is not the folder of a run: there is no run.json in it; give the folder that "
                f"`interalia train` named."
            ) from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{self.description} is damaged ({error}); restore it, or train anew.") from None

    def check_plugins(self) -> None:
        """Raises a UserError if the run was trained with a part of other people's that is not here; see `check_plugins`."""
        check_plugins(self.run(), read_json(self.description))

    def continued(self, run: Run) -> Run:
        """`run`, checked to be the one that this folder keeps but for what may change, with what that one resolved.

        Raises:
            UserError: the two differ where a resumed run may not, or the copy of the run's generator is gone, or a part of
                other people's is.
        """
        self.check_plugins()
        kept = self.run()
        for key, value in run.with_absolute_paths().fields():
            if key in RESUMABLE_CHANGES or value == getattr(kept, key):
                continue
            if value != "auto":
                raise UserError(
                    f"`{key}` is {value!r}, and the run in {self.path} has {getattr(kept, key)!r}; a resumed run keeps "
                    f"its description, so leave it as it is, or train a new run."
                )
            run = run.replace(**{key: getattr(kept, key)})
        if run.pretrained_generator is not None and with_generator_copy(run, self) is run:
            raise UserError(
                f"the run in {self.path} infers for a generator, and keeps no copy of it; put the file generator.safetensors "
                f"or generator.pt2 that was there back, or train anew."
            )
        return run


def plugins_of(run: Run) -> dict[str, Any]:
    """Where the parts of a run are from that are not the library's own, by its fields, as a file keeps it."""
    found = {key: registry.registry(kind).origin(name) for key, kind, name in run.named()}
    return {key: dataclasses.asdict(origin) for key, origin in found.items() if origin}


def check_plugins(run: Run, values: Mapping[str, Any]) -> None:
    """Warns of a part of a run that is from elsewhere than its file's `values` keep.

    Raises:
        UserError: it is not here at all.
    """
    kept = values.get(PLUGINS)
    for key, kind, name in run.named():
        if not isinstance(kept, Mapping) or not isinstance(kept.get(key), Mapping):
            continue
        then, now = registry.Origin.restored(kept[key]), registry.registry(kind).origin(name)
        if name not in registry.registry(kind):
            raise UserError(
                f"`{key}` of this run is {name!r}, which is not among the {kind} here; it was from {then} when the run was "
                f"trained: {then.advice}."
            )
        if now is None or (now.module, now.package) != (then.module, then.package):
            registry.warn(
                f"`{key}` of this run, {name!r}, was from {then} when it was trained; now {now or 'built in'}."
            )


def weights_of(path: Path | str) -> Path:
    """The file of a generator: of a run's folder its weights, and any file itself."""
    return Path(path) if Path(path).suffix in (".pt2", ".safetensors") else Folder(path).weights


def copies(folder: Path) -> Iterator[Path]:
    """The copy of its generator that a run's folder keeps, where there is one."""
    return (path for suffix in (".safetensors", ".pt2") if (path := folder / f"generator{suffix}").is_file())


def with_generator_copy(run: Run, folder: Folder | None) -> Run:
    """The run with the copy of its generator in `folder`, where there is one, in place of the generator that it names."""
    found = None if folder is None or run.pretrained_generator is None else next(copies(folder.path), None)
    return run if found is None else run.replace(pretrained_generator=str(found))


def matching_generator(run: Run, given: Container[str]) -> Run:
    """The run with the latents and the prior that its generator was trained with, but for what was `given`.

    A generator that is no run's says nothing of its prior, and one that cannot be read is explained where it is opened.
    """
    if run.pretrained_generator is None:
        return run
    try:
        kept = header(weights_of(run.pretrained_generator))["run"]
    except UserError:
        return run
    return run.replace(**{key: kept[key] for key in ("latent_dim", "prior") if key not in given})


def export(game: Game, run: Run, step: int, path: Path) -> None:
    """Writes a game's weights as safetensors, with the run's description as metadata."""
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
    """What a report says of a game, see `interalia.games.capabilities`."""
    from interalia.games.capabilities import facts  # here, for it imports torch, and the command line begins without

    return facts(game)


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
        about["run"] = formats.upgraded({formats.KEY: about.get(formats.KEY, 1), **about["run"]}, file)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file} is damaged or not of this program ({error}); write it anew with {resume_call('RUN')}."
        ) from None
    if "data" not in about:  # as it was written until version 0.2
        about["data"] = {**about, "condition": about.get("labels", 0)}
    return about
