"""The command `train`, which trains the run that a recipe or a file and options describe, and the help of its options."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter

from interalia.cli import common, plans
from interalia.errors import DataWarning, UserError, unknown
from interalia.runs.folder import MOVED, Folder, matching_generator, matching_initial
from interalia.runs.recipes import MINUTES, is_planned
from interalia.runs.run import DEFAULT, RESUMABLE_CHANGES, Run, field_docs, field_types, from_toml

if TYPE_CHECKING:
    from interalia.runs.loading import Loaded

MANY = 20  # choices that are named in a help text


def help_text(field: dataclasses.Field[Any], run: Run) -> str:
    """Returns the help of the option for a field of `Run`: the field's description, its choices if they are few, and its
    default, which is the value that `run` has.
    """
    about, kind = field_docs()[field.name], field.metadata.get("kind")
    found = [about if about[1] == "(" else about[0].upper() + about[1:]]
    entries = [*field.metadata.get("choices", ()), *common.DESCRIPTIONS.get(kind, ())]
    if kind and len(entries) > MANY:
        found.append(f"Choices: `interalia list {kind}`.")
    elif entries:
        found.append(f"Choices: {', '.join([*filter(None, [field.metadata.get('absent')]), *entries])}.")
    default = getattr(run, field.name)
    return " ".join(found if default is None else [*found, f"[default: {default}]"])


def field_options(run: Run) -> dict[str, Any]:
    """Returns the type of the option for each field of `Run`, annotated with its help, by the name of the field.

    Each type is the union of the field's type and None, the value of an option that is not given. That of `lr` is a
    dictionary, player -> number.

    Arguments:
        run: the run whose values are the defaults in the help.
    """
    hints = {**field_types(), "lr": dict[str, float]}
    return {
        f.name: Annotated[hints[f.name] | None, Parameter(help=help_text(f, run), show_default=False)]
        for f in dataclasses.fields(Run)
    }


Overrides: Any = dataclasses.make_dataclass(
    "Overrides", [(name, hint, None) for name, hint in field_options(Run()).items()], frozen=True
)
Overrides.__module__ = __name__  # cyclopts takes a class of the module "types" for a builtin


def given_fields(overrides: Any) -> dict[str, Any]:
    """Returns the fields of a run that options set, by name.

    Arguments:
        overrides: an instance of `Overrides`, in which a field that no option sets is None; or None if no option sets any.
    """
    given = {} if overrides is None else {k: v for k, v in dataclasses.asdict(overrides).items() if v is not None}
    if set(given.get("lr", ())) == {DEFAULT}:
        given["lr"] = given["lr"][DEFAULT]
    return given


# fields in place of the default recipe's, for a game that reads a critic's score as a log-ratio of densities
FOR_A_LOG_RATIO = {"divergence": "gan", "penalty": "none"}


@common.app.command
def train(
    recipe: str | None = None,
    *,
    overrides: Annotated[Overrides | None, Parameter(name="*")] = None,
    out: Path | None = None,
    resume: Path | None = None,
    minutes: float | None = None,
    print_config: bool = False,
    dry_run: bool = False,
    report: bool = True,
    tensorboard: bool = False,
    trust_generator: common.TrustGenerator = False,
) -> None:
    """Train a model and write report.html.

    Parameters
    ----------
    recipe
        Name of a recipe (see `interalia list recipes`) or a .toml file with fields of a run; by default ali-digits, or
        ali-images with --data.
    overrides
        The fields of a run.
    out
        Folder of the run; by default runs/NAME, for own data runs/FOLDER-SIZE, or runs/NAME-2 and so on where that exists.
    resume
        Folder of a run to continue; a greater --steps trains beyond the original length.
    minutes
        Length of the training in minutes, in place of --steps; about 10 for --data without a recipe. The number of steps is
        chosen by the time of a step on this machine.
    print_config
        Print the fields of the run as TOML, which this command takes as RECIPE, and train nothing.
    dry_run
        Train a few steps, without a folder, and print shapes, parameters, minutes, memory and disk.
    report
        Evaluate the model at the end, and write the page report.html.
    tensorboard
        Write event files for TensorBoard (needs the extra of that name).
    trust_generator
        Open a pretrained generator that is a .pt2 file, which can execute any code of its author.
    """
    given = given_fields(overrides)
    if resume is not None and minutes is not None:
        raise UserError("a resumed run keeps its length in steps; leave out --minutes, or give a larger --steps.")
    run = make_run(recipe, given) if resume is None else resumed_run(resume, recipe, given, out)
    run = run.canonical()
    run.check_parts()
    planned = resume is None and is_planned(recipe, given, minutes) and (minutes or not print_config)
    check_one_process(planned or dry_run)
    if planned:
        whole, mark = recipe is None and "data" in given, "# " if print_config else ""
        given = plans.planned(run, given, minutes or MINUTES, whole, trust_generator, mark)
        run = make_run(recipe, given).canonical()
    if print_config or dry_run:
        print(run.dump(), end="") if print_config else plans.dry_run(run, trust_generator)
        return
    if tensorboard and find_spec("tensorboard") is None:
        raise UserError('--tensorboard needs the extra of that name; run pip install "interalia[tensorboard]".')
    from interalia.training import callbacks, engine

    check_place(run.name, out)
    place, numbered = resume or out or Path("runs") / run.name, out is None and resume is None
    prepared = engine.open_run(run, place, resume=resume is not None, trust=trust_generator, numbered=numbered)
    engine.limit_threads(prepared)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "left out are metrics", DataWarning)  # the page names them all
            trained = engine.finish(prepared, callbacks.default_callbacks(prepared, tensorboard=tensorboard))
    except engine.Interrupted as stop:
        if not prepared.team.first:
            raise
        if report:
            report_stopped(stop.trained)
        with contextlib.suppress(OSError):  # the terminal may be closed
            plans.print_next(stop.trained)
        raise
    if not prepared.team.first:
        return
    if report:
        show_report(trained)
    plans.print_next(trained)


def check_one_process(timed: object) -> None:
    """Raises a UserError if steps are to be timed, i.e. `timed` is true, and this is one of several processes."""
    if timed and common.number_of_processes() > 1:
        raise UserError(
            "one process times the steps of a run to plan it; write the plan by `interalia train ... --minutes 10 "
            "--print-config > run.toml` without torchrun, and train run.toml."
        )


def check_place(name: str, out: Path | None) -> None:
    """Raises a UserError if the name of a run is no name of a folder, or its folder, `out`, is a file; None has a default."""
    if Path(name).name != name or name in ("", ".."):
        raise UserError(
            f"--name is {name!r}, and it must be the name of a folder below runs, without a slash; use --out for a path."
        )
    if out is not None and out.is_file():
        raise UserError(f"--out is {out}, and that is a file; give the name of a new folder.")


def report_stopped(trained: Loaded) -> None:
    """Writes the page of a training that was stopped, as `show_report` does, even if the terminal is closed.

    If the page cannot be written, the reason is printed.
    """
    with contextlib.suppress(OSError):  # the terminal may be closed
        common.say("Writing the report of what was trained so far; Ctrl-C once more leaves it out.")
    with contextlib.suppress(OSError):
        try:
            show_report(trained)
        except UserError as error:
            common.say(f"There is no report: {error}")


def show_report(trained: Loaded) -> None:
    """Evaluates a trained run, writes its page, and prints the assessment of the model and the path of the page."""
    from interalia import reports

    page = reports.make(trained)
    reports.print_assessment(trained)
    common.say(f"The report: {page}")


def print_help(arguments: Sequence[str]) -> None:
    """Prints the help of `train`: the most important options, or with --help-all the options in groups.

    Arguments:
        arguments: the arguments of the command line. The defaults in the help are those of the first recipe among them, or of
            ali-digits; --help-all shows all options.
    """
    from interalia.runs.recipes import REGISTRY

    full = "--help-all" in arguments
    recipe = next((word for word in arguments if word.lower() in REGISTRY), "ali-digits")
    run = REGISTRY[recipe.lower()]()
    own = inspect.signature(train, eval_str=True).parameters
    options = {"plugin": common.option("plugin", None, common.Plugins), **own}
    options |= {name: common.option(name, None, hint) for name, hint in field_options(run).items()}
    parameters = []
    for place, (title, names) in enumerate(common.HELP["groups"].items()):
        group = Group(title, sort_key=place) if full else Group("Options")
        for name in names:
            show = full or name in common.HELP["first"]
            hint: Any = Annotated[options[name].annotation, Parameter(show=show, group=group)]
            parameters.append(options[name].replace(annotation=hint))
    title, _, rest = inspect.cleandoc(train.__doc__ or "").partition("\n\n")
    more = f"Defaults are those of {recipe}." + ("" if full else " All options: `interalia train --help-all`.")
    page = App(name="interalia train", help_flags=(), version_flags=())
    page.default(common.make_command(parameters, f"{title}\n\n{more}\n\n{rest}", lambda _: None))
    page.help_print([])


def make_run(recipe: str | None, given: dict[str, Any]) -> Run:
    """Returns the run of a recipe or a TOML file, with the fields replaced that options set.

    Arguments:
        recipe: the name of a recipe or the path of a .toml file; None for the recipe ali-images if `given` has the field
            `data`, and for ali-digits otherwise.
        given: the fields of the run that options set, by name.

    Raises:
        UserError: there is no such recipe, or the file or a field is wrong, or the game does not use a given field.
    """
    from interalia import games, registry
    from interalia.games.needs import critics
    from interalia.registry import aliases
    from interalia.runs import building
    from interalia.runs.recipes import REGISTRY

    title = registry.parse(given.get("game", ""), "game")[0]
    if preset := aliases.preset(title):
        given = {**preset, **given, "game": preset["game"]}
    check_data(given.get("data"))
    default = recipe is None
    if recipe is None:
        recipe = "ali-images" if "data" in given else "ali-digits"
        if "game" in given:  # so that the folder and the report have the game's name
            game, _ = registry.look_up(given["game"], games.REGISTRY, "game")
            ratio = any(not critic.adversarial for critic in critics(game))
            about = recipe.partition("-")[2] if "data" not in given else own_name(given)
            name = f"{aliases.plain(title)}-{about}"
            given = {"name": name, **(FOR_A_LOG_RATIO if ratio else {}), **given}
        elif "data" in given:
            given = {"name": own_name(given), **given}
    if recipe.lower().endswith(".toml"):
        in_file = from_toml(Path(recipe))
        run, given = Run(**in_file).replace(**given), {**in_file, **given}
    else:
        recipe = recipe_named(recipe)
        if recipe == "ali-images" and "data" not in given:
            raise UserError("the recipe ali-images is for your images; give their folder by --data FOLDER.")
        run = REGISTRY[recipe](**given)
    run = matching_generator(building.without_unused_fields(run, given), given)
    return matching_initial(run, given) if default else run


def own_name(given: Mapping[str, Any]) -> str:
    """Returns the name of a run on the data in the field `data` of `given`, with the image size if that is given too."""
    return plans.name_of(given["data"], given.get("image_size"))


def recipe_named(text: str) -> str:
    """Returns the registered name of a recipe.

    Arguments:
        text: the name in upper or lower case, with "-", "_" or blanks.

    Raises:
        UserError: there is no such recipe; the message has the nearest name, or advice if the text names a run, data, a game
            or a file.
    """
    from interalia.registry import aliases
    from interalia.runs.recipes import REGISTRY

    plain, path = aliases.plain(text), Path(text)
    for name in (text, plain.replace(" ", "-")):
        if name in REGISTRY:
            return name
    run = next((place for place in (path, *list(path.parents)[:2]) if (place / "run.json").is_file()), None)
    recipes = ", ".join(name for name in REGISTRY if name.startswith(f"{plain}-"))
    is_game = plain in (*common.DESCRIPTIONS["games"], *aliases.table()["presets"])
    cases = {
        "run": run is not None,
        "data": path.is_dir() or (path.is_file() and path.suffix in (".npy", ".npz", ".zip", ".tar", ".png", ".jpg")),
        "file": path.is_file() or path.suffix in (".yaml", ".yml", ".json"),
        "path": "/" in text,
        "data set": text.lower() in common.DESCRIPTIONS["data"],
        "game with recipes": is_game and recipes,
        "game": is_game,
    }
    case = next((case for case, applies in cases.items() if applies), None)
    if case is None:
        raise unknown("recipe", text, REGISTRY)
    raise UserError(common.HELP["not_a_recipe"][case].format(text=text, plain=plain, run=run, recipes=recipes))


def check_data(data: str | None) -> None:
    """Raises a UserError if the value of --data is a web address or a spreadsheet, which cannot be read.

    Arguments:
        data: the value of --data; None if it is not given, for which no error is raised.
    """
    address = data is not None and "://" in data
    if address or (data is not None and Path(data).suffix.lower() in (".xlsx", ".xls", ".ods")):
        raise UserError(common.HELP["not_data"]["address" if address else "table"].format(data))


def resumed_run(folder: Path, recipe: str | None, given: dict[str, Any], out: Path | None) -> Run:
    """Returns the run in a folder with changed fields, such as a new number of steps, to resume its training.

    Arguments:
        folder: the folder of the run.
        recipe: the recipe that the command line names, which must be None.
        given: the new values of fields, by name.
        out: the folder that the option --out names, which must be None.

    Raises:
        UserError: the run cannot be resumed, a given field is not in `RESUMABLE_CHANGES` or `MOVED`, or a recipe or `out` is
            given.
    """
    if fixed := [key for key in given if key not in (*RESUMABLE_CHANGES, *MOVED)]:
        raise UserError(
            f"a resumed run keeps its settings, and `{fixed[0]}` would change them; leave it out, or train a new run."
        )
    if recipe is not None or out is not None:
        raise UserError("a resumed run keeps its recipe and its folder; leave out the recipe and --out.")
    common.weights_or_folder(folder)
    Folder(folder).check_plugins()
    return Folder(folder).run().replace(**given)
