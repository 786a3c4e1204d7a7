"""train: a recipe, a file or flags become a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from interalia.cli.common import TrustGenerator, app, say, say_to_stderr
from interalia.errors import UserError, resume_call, unknown
from interalia.runs import DEFAULT, FROM_PYTHON, RESUMABLE_CHANGES, Run, field_docs, field_types, from_toml
from interalia.runs.folder import Folder, matching_generator

# each field of a run is a flag, with the recipe's value where the flag is not given


def whole(_: Any, tokens: Sequence[Any]) -> int:
    """A whole number; 2.5 is refused and not cut to 2."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{tokens[0].keyword} is {text!r}, and it must be a whole number.") from None


def flag(f: dataclasses.Field[Any]) -> Any:
    """The type of a field's flag, with its help."""
    kind = dict[str, float] if f.name == "lr" else field_types()[f.name]  # which `described` makes one number of again
    more: dict[str, Any] = {"converter": whole} if kind in (int, int | None) else {}
    return Annotated[kind | None, Parameter(help=field_docs()[f.name], show_default=False, **more)]


Overrides: Any = dataclasses.make_dataclass(
    "Overrides", [(f.name, flag(f), None) for f in dataclasses.fields(Run)], frozen=True
)
# as if it were written out here; cyclopts takes a class of module "types" for a builtin
Overrides.__module__ = __name__

# what takes the place of the default recipe's parts where a critic's score is read as a log-ratio, as it is under these
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
    """Train a run and make its page of results.

    Parameters
    ----------
    recipe
        A recipe's name (see `interalia list recipes`) or a .toml file of a run's fields; by default ali-digits, or
        ali-images where --data is given.
    overrides
        The fields of a run.
    out
        The folder of the run; by default runs/NAME, or runs/NAME-2 and so on where that exists. Without a recipe the name
        follows --game, such as vae-digits.
    resume
        The folder of a run to go on with; --steps may ask for more than was first planned.
    print_config
        Print the settings of the run as TOML, which this command takes as RECIPE, and train nothing.
    dry_run
        An older name of print_config.
    tensorboard
        Write event files for TensorBoard too (needs the extra).
    """
    given = {} if overrides is None else {k: v for k, v in dataclasses.asdict(overrides).items() if v is not None}
    if set(given.get("lr", ())) == {DEFAULT}:
        given["lr"] = given["lr"][DEFAULT]
    run = described(recipe, given) if resume is None else resumed(resume, recipe, given, out)
    run = run.canonical()
    run.check_parts()
    if print_config or dry_run:
        if dry_run:
            say_to_stderr("--print-config is --print-config today, and will get another meaning.")
        print(run.dump(), end="")
        return
    from interalia import reports
    from interalia.training import callbacks, engine

    if Path(run.name).name != run.name or run.name in ("", ".."):
        raise UserError(
            f"--name is {run.name!r}, and it is the name of a folder below runs, without a slash; use --out for a path."
        )
    place, numbered = resume or out or Path("runs") / run.name, out is None and resume is None
    prepared = engine.open_run(run, place, resume=resume is not None, trust=trust_generator, numbered=numbered)
    engine.spare_threads(prepared)
    trained = engine.finish(prepared, callbacks.default_callbacks(prepared, tensorboard=tensorboard))
    if prepared.step < prepared.steps and not prepared.converged:
        raise KeyboardInterrupt(f"go on with {resume_call(trained.folder.path)}." if trained.folder else "")
    say(f"The page of results: {reports.make(trained)}")


def described(recipe: str | None, given: dict[str, Any]) -> Run:
    """The run that a recipe's name or a TOML file and the flags describe."""
    from interalia import aliases, games, registry
    from interalia.games.needs import critics
    from interalia.runs.recipes import REGISTRY

    title = registry.parse(given.get("game", ""))[0]
    if preset := aliases.preset(title):
        given = {**preset, **given, "game": preset["game"]}
    if recipe is None:
        recipe = "ali-images" if "data" in given else "ali-digits"
        if "game" in given:  # the folder and the page are not to be called ALI's
            kind, _ = registry.look_up(given["game"], games.REGISTRY, "game")
            ratio = any(not critic.adversary for critic in critics(kind))
            given = {
                "name": f"{aliases.plain(title)}-{recipe.partition('-')[2]}",
                **(FOR_A_LOG_RATIO if ratio else {}),
                **given,
            }
    if recipe.endswith(".toml"):
        kept = from_toml(Path(recipe))
        return matching_generator(of_use(Run(**kept).replace(**given), {**kept, **given}), {**kept, **given})
    if recipe not in REGISTRY:
        raise unknown("recipe", recipe, REGISTRY)
    return matching_generator(of_use(REGISTRY[recipe](**given), given), given)


OF_A_CRITIC = ("divergence", "penalty", "instance_noise", "augment", "pack", "skip_critic_above")


def of_use(run: Run, given: Mapping[str, Any]) -> Run:
    """The run without what its recipe has and its game has no use for.

    Raises:
        UserError: such a thing was `given`, by a flag or in a file.
    """
    from interalia import games, registry
    from interalia.games.capabilities import Infers, has
    from interalia.games.feeds import PartlyLabeled

    if run.game == FROM_PYTHON:
        return run
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    useless: dict[str, str] = {}
    if not any("critic" in player for player in kind.players):
        useless |= dict.fromkeys(OF_A_CRITIC, "a critic")
    if not has(kind, Infers):
        useless["encoder"] = "an encoder"
    if not issubclass(kind.feeds, PartlyLabeled):
        useless["num_labeled"] = "a game that learns to read labels from some of them"
    plain = Run()
    for key, about in useless.items():
        if given.get(key, getattr(plain, key)) != getattr(plain, key):
            what = "is none" if about.startswith("a game") else "has none"
            raise UserError(f"`{key}` is about {about}, and {kind.__name__} {what}; leave --{key} out.")
    return run.replace(**{key: getattr(plain, key) for key in useless})


def resumed(folder: Path, recipe: str | None, given: dict[str, Any], out: Path | None) -> Run:
    """The run that a folder keeps, with a new length."""
    for key in given:
        if key not in RESUMABLE_CHANGES:
            raise UserError(
                f"a resumed run keeps its description, and --{key.replace('_', '-')} would change it; leave it out, or "
                f"train a new run."
            )
    if recipe is not None or out is not None:
        raise UserError("a resumed run keeps its recipe and its folder; leave out the recipe and --out.")
    Folder(folder).check_plugins()
    run = Folder(folder).run()
    if "epochs" in given and "steps" not in given:
        given["steps"] = None
    return run.replace(**given)
