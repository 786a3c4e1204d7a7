"""From a run's description to its game: its needs, the networks for them, and the parts around these."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from interalia import conditionals, games, networks, registry
from interalia.adversarial import disturbances, divergences, penalties
from interalia.conditionals import Conditional
from interalia.errors import SettingError, UserError
from interalia.games.capabilities import who
from interalia.games.needs import Chain, Encoder, Given, Need, Needs, Setup, complete, packable
from interalia.networks import Critic, weights
from interalia.networks.specs import NetworkSpec
from interalia.spaces import DataSpec, Space

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.adversarial.disturbances import Disturbance
    from interalia.games import Game
    from interalia.networks import Family
    from interalia.runs import Run


def build(run: Run, data: DataSpec, mean: Tensor | None = None, given: Mapping[str, Conditional] = {}) -> Game:
    """The untrained game of a run, drawn from torch's global random state.

    Arguments:
        run: the description.
        data: what its data are like.
        mean: the mean image, shape `data.shape`, from which a sigmoid's bias is set; None leaves it at 0.
        given: the conditionals that the game takes as they are, trained before, by their names.

    Raises:
        UserError: a part does not exist, or the parts do not fit each other or the data.

    Example:
        >>> from interalia.runs import Run
        >>> build(Run(latent=8), DataSpec((1, 8, 8))).prior.size
        8
    """
    kind, settings = registry.look_up(run.game, games.REGISTRY, "game")
    setup = set_up(run, data)
    needs = kind.needs(setup, **complete(kind, settings))
    check(run, kind, data, needs)
    check_given(kind, setup, needs, given)
    family = registry.make(run.networks, networks.REGISTRY, "networks")
    made = {name: need.network(family, run.pack) for name, need in needs.items() if not isinstance(need, Given)}
    start(run, family, needs, made, mean)
    try:
        parts: dict[str, Any] = {name: needs[name].wrap(network) for name, network in made.items()}  # type: ignore[union-attr]
    except ValueError as error:
        own = registry.settings_of(conditionals.CONDITIONALS[registry.parse(run.encoder)[0]])
        raise SettingError(f"the encoder {run.encoder!r} cannot be made: {error}.", own) from error
    parts |= {**given, **chosen(run, kind, setup, needs)}
    game = owned(registry.make(run.game, games.REGISTRY, "game", **parts), given)
    game.data = data
    return game


def set_up(run: Run, data: DataSpec) -> Setup:
    """The variables of a run and its data, and the parts that its games may build on."""
    support: Literal["unit", "real"] = "unit" if len(data.shape) == 3 else "real"
    return Setup(
        Space("x", data.shape, support),
        registry.make(run.prior, conditionals.PRIORS, "prior", run.latent_dim),
        (Space("y", (data.condition,)),) if data.condition else (),
        None if data.other is None else Space("x", data.other, support),
        data.classes,
        registry.make(run.divergence, divergences.REGISTRY, "divergence"),
        registry.look_up(run.encoder, conditionals.CONDITIONALS, "encoder"),
    )


def check(run: Run, kind: type[Game], data: DataSpec, needs: Needs) -> None:
    """Raises a UserError where the game says no needs, cannot be told what the run tells it, or its critics be packed."""
    if not needs:
        raise UserError(
            f"{kind.__name__} does not say which networks it is made from; give the class a method `needs`, or train a game "
            f"of it that is made in Python."
        )
    if data.condition and not kind.feeds.conditional:
        able = who(also=lambda kind: kind.feeds.conditional)
        raise UserError(f"{kind.__name__} cannot be told {data.y}; leave out `{data.y}`, or play one that can: {able}.")
    if run.pack > 1:
        if not packable(kind):
            able = who(also=packable)
            raise UserError(
                f"{kind.__name__}'s critic cannot judge packs of samples; leave `pack` out, or play one of: {able}."
            )
        if run.batch_size % run.pack:
            raise UserError(
                f"`batch_size` is {run.batch_size}, which is no multiple of `pack`, {run.pack}; change one of them."
            )


def check_given(kind: type[Game], setup: Setup, needs: Needs, given: Mapping[str, Conditional]) -> None:
    """Raises a UserError unless the trained conditionals that the game asks for are given, and fit, and no others."""
    wanted = {name: need for name, need in needs.items() if isinstance(need, Given)}
    for name in given.keys() - wanted.keys():
        raise UserError(f"{kind.__name__} takes no trained {name}; leave it out.")
    for name, need in wanted.items():
        if name not in given:
            raise UserError(
                f"{kind.__name__} infers for a generator that is trained already; give as `generator` the folder "
                f"of its run, or a .pt2 file."
            )
        need.check(given[name], setup.prior)


def parts_of(name: str, need: Need, network: nn.Module) -> Iterator[tuple[str, Any, nn.Module]]:
    """The networks of a need, each with its name; of two in a row the one that touches x has the need's own."""
    if isinstance(need, Chain):
        for part, inner in zip((need.first, need.second), network.children(), strict=True):
            yield name if part.spec.x else f"upper_{name}", part, inner
    else:
        yield name, need, network


def start(run: Run, family: Family, needs: Needs, made: Mapping[str, nn.Module], mean: Tensor | None) -> None:
    """Initial weights: the family's own, narrow levels between, the mean image, and spectral norm where the run has it.

    Raises:
        UserError: the run names a network for spectral norm that there is none of.
    """
    parts = [part for name, network in made.items() for part in parts_of(name, needs[name], network)]
    known = [(need, network) for _, need, network in parts if isinstance(need, NetworkSpec)]
    for need, network in known:
        family.init_weights(need.spec, network)
    for need, network in known:
        if isinstance(need, Encoder) and need.narrow:
            need.kind.init_narrow(network, need.target.size)
        bias = family.output_bias(network) if need.spec.role == "decoder" else None
        if bias is not None and mean is not None:
            weights.init_output_bias(bias, mean)
    by_name = {name: network for name, _, network in parts}
    for name in (
        dict.fromkeys(name.strip() for name in run.spectral_norm.split(",")) if run.spectral_norm is not None else ()
    ):
        if name not in by_name:
            raise UserError(
                f"`spectral_norm` names {name!r}, and the networks of this run are: {', '.join(by_name)}; give one of them, or "
                f"several with commas between."
            )
        for layer in list(by_name[name].modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                spectral_norm(layer)


def chosen(run: Run, kind: type[Game], setup: Setup, needs: Needs) -> dict[str, Any]:
    """The parts of a game that are no networks, those of them that it takes."""
    found = {
        "prior": setup.prior,
        "divergence": setup.divergence,
        "penalty": None if run.penalty == "none" else registry.make(run.penalty, penalties.REGISTRY, "penalty"),
        "noise": disturbance(run, kind, [need for need in needs.values() if isinstance(need, Critic)]),
    }
    return {name: part for name, part in found.items() if name in inspect.signature(kind).parameters}


def disturbance(run: Run, kind: type[Game], seen: list[Critic]) -> Disturbance | None:
    """What is done to the joints before the critics see them.

    Raises:
        UserError: it does not fit what they see, or what the game makes of their scores.
    """
    parts: list[Disturbance] = []
    for argument, catalogue in (("augment", disturbances.AUGMENTATIONS), ("instance_noise", disturbances.NOISES)):
        text = getattr(run, argument)
        if text != "none":
            part = registry.make(text, catalogue, argument)
            part.fits(kind.__name__, argument, seen)
            parts.append(part)
    return disturbances.Disturbances(parts) if len(parts) > 1 else parts[0] if parts else None


def owned(game: Game, given: Mapping[str, Conditional]) -> Game:
    """The game, where each of its parameters is moved by exactly one player, and each conditional has what it stands on.

    Raises:
        UserError: a parameter is moved by nobody, or by two, or a conditional lacks something.
    """
    movers = Counter(p for player in game.players for p in set(game.parameters_of(player)))
    for name, parameter in game.named_parameters():
        part = name.partition(".")[0]
        if movers[parameter] == 0 and part not in given:
            raise UserError(
                f"{type(game).__name__} does not train its {part}, and this one has parameters to learn; choose another "
                f"`{part}`, such as mixture or normal."
                if part == "prior"
                else f"{type(game).__name__} trains {name} by no player; name its network among `players`."
            )
        if movers[parameter] > 1:
            raise UserError(f"{type(game).__name__} trains {name} by two players; leave it to one of them.")
    for module in game.modules():
        if isinstance(module, Conditional):
            module.check_ready()
    return game
