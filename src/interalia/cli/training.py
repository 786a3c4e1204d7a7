"""train: a recipe, a file or options describe a run, which is trained."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from interalia.cli.common import Plugins, TrustGenerator, app, say, say_to_stderr, weights_or_folder
from interalia.errors import UserError, resume_call, unknown
from interalia.runs.folder import Folder, matching_generator
from interalia.runs.run import DEFAULT, FROM_PYTHON, RESUMABLE_CHANGES, Run, field_docs, field_types, from_toml

# the options of `train` by group, in the order of the help; a field of `Run` is an option
GROUPS = {
    "Model and data": (
        "recipe", "game", "data", "data_dir", "image_size", "data_b", "binarize", "pretrained_generator",
        "trust_generator", "plugin",
    ),
    "Length and place": ("steps", "epochs", "early_stopping", "out", "name", "resume", "seed", "device", "precision"),
    "Conditions and labels": ("condition_on", "num_labeled"),
    "Networks and latents": ("networks", "latent_dim", "prior", "encoder", "spectral_norm"),
    "Loss and stabilizers": ("divergence", "penalty", "augment", "instance_noise", "pack", "skip_critic_above"),
    "Optimization": (
        "optimizer", "lr", "schedule", "batch_size", "grad_accumulation", "grad_clip", "dynamics", "weight_average",
        "recalibrate_bn",
    ),
    "Logging and checkpoints": ("log_every", "evaluate_every", "checkpoint_every", "monitor", "tensorboard"),
    "Print only": ("print_config",),
}  # fmt: skip
FIRST = (  # the options that `train --help` shows; `train --help-all` shows all
    "recipe", "game", "data", "data_dir", "image_size", "steps", "epochs", "out", "resume", "seed", "device", "print_config",
)  # fmt: skip
MANY = 20  # choices that are named in a help text


def integer(_: Any, tokens: Sequence[Any]) -> int:
    """The value of an option that is a whole number; 2.5 is refused."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{tokens[0].keyword} is {text!r}, and it must be a whole number.") from None


@functools.cache
def choices() -> Mapping[str, list[str]]:
    """The names of the library's entries by kind, without importing them."""
    return tomllib.loads(resources.files("interalia.cli").joinpath("choices.toml").read_text(encoding="utf-8"))


def help_text(f: dataclasses.Field[Any], run: Run) -> str:
    """The help of a field's option: its description, its choices, and its default in a run."""
    about = field_docs()[f.name]
    found, kind = [about if about[1] == "(" else about[0].upper() + about[1:]], f.metadata.get("kind")
    entries = [*f.metadata.get("choices", ()), *(choices().get(kind, ()) if kind else ())]
    absent = f.metadata.get("absent")
    if kind and len(entries) > MANY:
        found.append(f"Choices: `interalia list {kind}`.")
    elif entries:
        found.append(f"Choices: {', '.join([*([absent] if absent else []), *entries])}.")
    default = getattr(run, f.name)
    found += [] if default is None else [f"[default: {default}]"]
    return " ".join(found)


def overrides(run: Run) -> Any:
    """The class of the fields of a run as options."""

    def option(f: dataclasses.Field[Any]) -> Any:
        kind = dict[str, float] if f.name == "lr" else field_types()[f.name]  # `described` makes one number of it again
        more: dict[str, Any] = {"converter": integer} if kind in (int, int | None) else {}
        return Annotated[kind | None, Parameter(help=help_text(f, run), show_default=False, **more)]

    fields = [(f.name, option(f), None) for f in dataclasses.fields(Run)]
    made = dataclasses.make_dataclass("Overrides", fields, frozen=True)
    made.__module__ = __name__  # cyclopts takes a class of the module "types" for a builtin
    return made


Overrides: Any = overrides(Run())

# in place of the default recipe's parts where a critic's score is read as a log-ratio
FOR_A_LOG_RATIO = {"divergence": "gan", "penalty": "none"}


@app.command
def train(
    recipe: str | None = None,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    out: Path | None = None,
    resume: Path | None = None,
    print_config: bool = False,
    dry_run: Annotated[bool, Parameter(show=False)] = False,
    tensorboard: bool = False,
    trust_generator: TrustGenerator = False,
) -> None:
    """Train a model and write report.html.

    Parameters
    ----------
    recipe
        Name of a recipe (see `interalia list recipes`) or a .toml file of settings; by default ali-digits, or ali-images
        with --data.
    overrides
        The fields of a run.
    out
        Folder of the run; by default runs/NAME, or runs/NAME-2 and so on where that exists.
    resume
        Folder of a run to continue; a greater --steps trains beyond the original length.
    print_config
        Print the settings of the run as TOML, which this command takes as RECIPE, and train nothing.
    dry_run
        An older name of print_config.
    tensorboard
        Write event files for TensorBoard (needs the extra).
    """
    given = {} if overrides is None else {k: v for k, v in dataclasses.asdict(overrides).items() if v is not None}
    if set(given.get("lr", ())) == {DEFAULT}:
        given["lr"] = given["lr"][DEFAULT]
    run = described(recipe, given) if resume is None else resumed(resume, recipe, given, out)
    run = run.canonical()
    run.check_parts()
    if print_config or dry_run:
        if dry_run:
            say_to_stderr("--dry-run prints the settings, as --print-config does; use --print-config for that.")
        print(run.dump(), end="")
        return
    if tensorboard:
        check_tensorboard()
    from interalia import reports
    from interalia.training import callbacks, engine

    if Path(run.name).name != run.name or run.name in ("", ".."):
        raise UserError(
            f"--name is {run.name!r}, and it must be the name of a folder below runs, without a slash; use --out for a path."
        )
    if out is not None and out.is_file():
        raise UserError(f"--out is {out}, and that is a file; give the name of a new folder.")
    place, numbered = resume or out or Path("runs") / run.name, out is None and resume is None
    prepared = engine.open_run(run, place, resume=resume is not None, trust=trust_generator, numbered=numbered)
    engine.limit_threads(prepared)
    trained = engine.finish(prepared, callbacks.default_callbacks(prepared, tensorboard=tensorboard))
    if prepared.step < prepared.steps and not prepared.stop_reason:
        raise KeyboardInterrupt(f"go on with {resume_call(trained.folder.path)}." if trained.folder else "")
    say(f"The report: {reports.make(trained)}")


def check_tensorboard() -> None:
    """Raises a UserError unless event files can be written; torch is not imported for it."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise UserError('--tensorboard needs the extra of that name; run pip install "interalia[tensorboard]".')


def print_help(words: Sequence[str]) -> None:
    """Prints the help of `train` with the defaults of the recipe that is named: the first options, or all in groups with
    --help-all.
    """
    from interalia.runs.recipes import REGISTRY

    full = "--help-all" in words
    named = next((word for word in words if word.lower() in REGISTRY), "ali-digits")
    group = {
        name: Group(title, sort_key=place) for place, (title, names) in enumerate(GROUPS.items()) for name in names
    }
    kinds = {f.name: f for f in dataclasses.fields(overrides(REGISTRY[named.lower()]()))}

    def shown(name: str, annotation: Any) -> Any:
        return Annotated[
            annotation, Parameter(show=full or name in FIRST, group=group[name] if full else Group("Options"))
        ]

    def parameters() -> Iterator[inspect.Parameter]:
        for name, p in inspect.signature(train, eval_str=True).parameters.items():
            if name == "overrides":
                for key, f in kinds.items():
                    yield inspect.Parameter(key, p.KEYWORD_ONLY, default=None, annotation=shown(key, f.type))
            elif name != "dry_run":
                yield p.replace(annotation=shown(name, p.annotation))
        yield inspect.Parameter(
            "plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=shown("plugin", Plugins)
        )

    def command(*_: Any, **__: Any) -> None: ...

    order = {name: place for place, name in enumerate(name for names in GROUPS.values() for name in names)}
    ordered = sorted(parameters(), key=lambda p: (p.kind is p.KEYWORD_ONLY, order[p.name]))
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in ordered}
    title, _, rest = inspect.cleandoc(train.__doc__ or "").partition("\n\n")
    more = f"Defaults are those of {named}." + ("" if full else " All options: `interalia train --help-all`.")
    command.__doc__ = f"{title}\n\n{more}\n\n{rest}"
    page = App(name="interalia train", help_flags=(), version_flags=())
    page.default(command)
    page.help_print([])


def described(recipe: str | None, given: dict[str, Any]) -> Run:
    """The run that a recipe's name or a TOML file and the options describe."""
    from interalia import aliases, games, registry
    from interalia.games.needs import critics
    from interalia.runs.recipes import REGISTRY

    title = registry.parse(given.get("game", ""), "game")[0]
    if preset := aliases.preset(title):
        given = {**preset, **given, "game": preset["game"]}
    check_data(given.get("data"))
    if recipe is None:
        recipe = "ali-images" if "data" in given else "ali-digits"
        if "game" in given:  # so that the folder and the report have the game's name
            kind, _ = registry.look_up(given["game"], games.REGISTRY, "game")
            ratio = any(not critic.adversarial for critic in critics(kind))
            given = {
                "name": f"{aliases.plain(title)}-{recipe.partition('-')[2]}",
                **(FOR_A_LOG_RATIO if ratio else {}),
                **given,
            }
    if recipe.lower().endswith(".toml"):
        read = from_toml(Path(recipe))
        return matching_generator(without_useless(Run(**read).replace(**given), {**read, **given}), {**read, **given})
    recipe = recipe_named(recipe)
    if recipe == "ali-images" and "data" not in given:
        raise UserError("the recipe ali-images is for your images; give their folder by --data FOLDER.")
    return matching_generator(without_useless(REGISTRY[recipe](**given), given), given)


def recipe_named(text: str) -> str:
    """The name of the recipe that a text is, in any case.

    Raises:
        UserError: there is no such recipe, with what the text may be.
    """
    from interalia import aliases
    from interalia.runs.recipes import REGISTRY

    for name in (text, aliases.plain(text).replace(" ", "-")):
        if name in REGISTRY:
            return name
    path = Path(text)
    run = next((place for place in (path, *list(path.parents)[:2]) if (place / "run.json").is_file()), None)
    if run is not None:
        raise UserError(f"{text} is no recipe, and the run {run} is there already; resume it by --resume {run}.")
    if path.is_dir() or (path.is_file() and path.suffix in (".npy", ".npz", ".zip", ".png", ".jpg")):
        raise UserError(f"{text} is no recipe; to train on it give --data {text}.")
    if path.is_file() or path.suffix in (".yaml", ".yml", ".json"):
        raise UserError(
            f"{text} is no recipe; a file of settings is TOML, its name ends in .toml, and "
            f"`interalia train --print-config > mine.toml` writes one."
        )
    if "/" in text:
        raise UserError(
            f"there is no recipe, file or run {text}; give a recipe (see `interalia list recipes`) or a .toml file."
        )
    if text.lower() in choices()["data"]:
        raise UserError(f"{text} is a data set and no recipe; give --data {text.lower()}.")
    games = [*choices()["games"], *aliases.table()["presets"]]
    if aliases.plain(text) in games:
        near = [name for name in REGISTRY if name.startswith(f"{aliases.plain(text)}-")]
        raise UserError(
            f"{text} is a game and no recipe; give --game {aliases.plain(text)}"
            f"{f', or one of the recipes {chr(44).join(near)}'.replace(',', ', ') if near else ''}."
        )
    raise unknown("recipe", text, REGISTRY)


def check_data(data: str | None) -> None:
    """Raises a UserError for data that are known not to be read, with what to do."""
    if data is None:
        return
    if "://" in data:
        raise UserError(
            f"--data is {data}, and data are not downloaded from an address; download it, and give its path."
        )
    if Path(data).suffix.lower() in (".csv", ".tsv", ".xlsx", ".parquet"):
        raise UserError(
            f"--data is {data}, and tables are read as arrays; save its numbers as float32 of shape (n, columns), each "
            f"column scaled to about mean 0 and deviation 1, by numpy.save, and give that .npy file."
        )


NEED_A_CRITIC = ("divergence", "penalty", "instance_noise", "augment", "pack", "skip_critic_above")


def without_useless(run: Run, given: Mapping[str, Any]) -> Run:
    """The run without settings of its recipe that its game does not use.

    Raises:
        UserError: such a setting was `given`, by an option or in a file.
    """
    from interalia import games, registry
    from interalia.games.capabilities import Infers, has
    from interalia.games.feeds import PartlyLabeled

    if run.game == FROM_PYTHON:
        return run
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    useless: dict[str, str] = {}
    if not any("critic" in player for player in kind.players):
        useless |= dict.fromkeys(NEED_A_CRITIC, "a critic")
    if not has(kind, Infers):
        useless["encoder"] = "an encoder"
    if not issubclass(kind.feeds, PartlyLabeled):
        useless["num_labeled"] = "a semi-supervised game"
    plain = Run()
    for key, need in useless.items():
        if given.get(key, getattr(plain, key)) != getattr(plain, key):
            what = "is none" if "game" in need else "has none"
            raise UserError(f"`{key}` needs {need}, and {kind.__name__} {what}; leave `{key}` out.")
    return run.replace(**{key: getattr(plain, key) for key in useless})


def resumed(folder: Path, recipe: str | None, given: dict[str, Any], out: Path | None) -> Run:
    """Returns the run in a folder with the given changes, such as a new number of steps.

    Raises:
        UserError: the run cannot be resumed, a given field is not in `RESUMABLE_CHANGES`, or a recipe or `out` is given.
    """
    for key in given:
        if key not in RESUMABLE_CHANGES:
            raise UserError(
                f"a resumed run keeps its settings, and --{key.replace('_', '-')} would change them; leave it out, or train "
                f"a new run."
            )
    if recipe is not None or out is not None:
        raise UserError("a resumed run keeps its recipe and its folder; leave out the recipe and --out.")
    weights_or_folder(folder)
    Folder(folder).check_plugins()
    run = Folder(folder).run()
    if "epochs" in given and "steps" not in given:
        given["steps"] = None
    return run.replace(**given)
