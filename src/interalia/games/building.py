"""Builds the game that a run describes: its networks, and its prior, divergence, penalty, noise and augmentation."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from interalia import conditionals, games, networks, registry
from interalia.adversarial import disturbances, divergences, penalties
from interalia.conditionals import Conditional, Prior
from interalia.contexts import Conv
from interalia.errors import SettingError, UserError
from interalia.games.capabilities import games_with
from interalia.games.game import NO_CONDITION
from interalia.games.needs import Chain, Encoder, Need, Needs, Pretrained, Setup, all_settings, example_needs, packable
from interalia.networks import Critic, weights
from interalia.networks.specs import NetworkSpec
from interalia.spaces import DataSpec, Space

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.adversarial.disturbances import Disturbance
    from interalia.games import Game
    from interalia.networks import Family
    from interalia.runs import Run


def build(run: Run, data: DataSpec, mean: Tensor | None = None, pretrained: Mapping[str, nn.Module] = {}) -> Game:
    """Builds the untrained game that a run describes; its initial weights are drawn from torch's global random state.

    Arguments:
        run: the configuration: the game, its networks, prior, divergence, penalty and others.
        data: the shapes and labels of the data that the game is built for.
        mean: the mean image of the data, shape `data.shape`, to which the output bias of a decoder with a final sigmoid
            is set; None leaves the bias at 0.
        pretrained: name of a constructor argument of the game, such as "decoder" -> a conditional distribution, or a
            critic, that was trained before.

    Raises:
        UserError: a component does not exist, or components do not fit each other or the data.

    Example:
        >>> from interalia.runs import Run
        >>> build(Run(latent_dim=8), DataSpec((1, 8, 8))).prior.size
        8
    """
    kind, settings = registry.look_up(run.game, games.REGISTRY, "game")
    setup = setup_of(run, data)
    needs = kind.needs(setup, **all_settings(kind, settings))
    check(run, kind, data, needs, settings)
    check_pretrained(kind, setup, needs, pretrained)
    family = registry.make(run.networks, networks.REGISTRY, "networks")
    made = {name: need.network(family, run.pack) for name, need in needs.items() if not isinstance(need, Pretrained)}
    initialize(run, family, needs, made, mean)
    try:
        parts: dict[str, Any] = {name: needs[name].wrap(network) for name, network in made.items()}  # type: ignore[union-attr]
    except ValueError as error:
        own = registry.settings_of(conditionals.CONDITIONALS[registry.parse(run.encoder)[0]])
        raise SettingError(f"the encoder {run.encoder!r} cannot be made: {error}.", own) from error
    parts |= {**pretrained, **other_arguments(run, kind, setup, needs)}
    game = validated(registry.make(run.game, games.REGISTRY, "game", **parts), pretrained)
    game.data = data
    return game


def place(game: Game, device: torch.device) -> None:
    """Moves a trained game to a device, in place, and sets it to evaluation mode.

    On a CPU, the weights of its convolutions are stored in channels-last order, for which torch computes them faster.
    """
    if device.type == "cpu":
        weights.use_channels_last(game)
    game.to(device).eval()


def prior_of(run: Run) -> Prior:
    """Returns the prior p(z) that a run configures.

    Raises:
        UserError: the run names a prior that does not exist, or arguments that it does not take.
    """
    return registry.make(run.prior, conditionals.PRIORS, "prior", run.latent_dim)


def setup_of(run: Run, data: DataSpec) -> Setup:
    """Returns the spaces of x, z and y, the prior, the divergence and the class of the encoder that a run configures.

    Arguments:
        run: the configuration.
        data: the shapes and labels of the data.

    Raises:
        UserError: the run names a prior, a divergence or an encoder that does not exist, or arguments that it does not
            take.
    """
    return Setup(
        Space("x", data.shape, data.support),
        prior_of(run),
        (Space("y", (data.condition,)),) if data.condition else (),
        None if data.other is None else Space("x", data.other, data.support),
        data.classes,
        registry.make(run.divergence, divergences.REGISTRY, "divergence"),
        registry.look_up(run.encoder, conditionals.CONDITIONALS, "encoder"),
    )


def check(run: Run, kind: type[Game], data: DataSpec, needs: Needs, settings: Mapping[str, Any]) -> None:
    """Raises a UserError if the game declares no networks, or if it and the run's options contradict each other.

    They do if the game cannot be conditional but the run has `condition_on`, if its argument `mismatch` is above 0
    without a condition, if its critics cannot score `pack` samples together, or if `batch_size` is no multiple of `pack`.

    Arguments:
        run: the configuration.
        kind: the class of the game.
        data: the shapes and labels of the data.
        needs: the specifications of the game's networks, as `kind.needs` returns them.
        settings: the constructor arguments of the game that `run.game` gives: name -> value.
    """
    if not needs:
        raise UserError(
            f"{kind.__name__} does not declare its networks; give the class a method `needs`, or construct it in Python."
        )
    wrong = "mismatch" if settings.get("mismatch") else "condition_on" if data.condition else ""
    if wrong and not kind.feeds.conditional:
        able = games_with(also=lambda kind: kind.feeds.conditional)
        raise UserError(
            f"{kind.__name__} cannot be conditioned on {data.y if data.condition else 'labels'}; leave out `{wrong}`, "
            f"or choose a game of: {able}."
        )
    if settings.get("mismatch") and not data.condition:
        raise UserError(NO_CONDITION)
    if run.pack > 1:
        if not packable(kind):
            able = games_with(also=packable)
            raise UserError(
                f"{kind.__name__}'s critic does not support packs of samples; leave `pack` out, or choose a game of: {able}."
            )
        if run.batch_size % run.pack:
            raise UserError(
                f"`batch_size` is {run.batch_size}, and it must be a multiple of `pack`, {run.pack}; change one of them."
            )


def check_pretrained(kind: type[Game], setup: Setup, needs: Needs, pretrained: Mapping[str, nn.Module]) -> None:
    """Raises a UserError unless `pretrained` has exactly the pretrained networks that the game takes, except optional
    ones, with outputs that fit the data.

    Each conditional is applied to 16 samples of the prior. Its outputs must be finite, be float32, have the shape of
    the data and, if the data are images, lie in [0, 1].

    Arguments:
        kind: the class of the game.
        setup: the object whose `prior` gives the samples.
        needs: the specifications of the game's networks, as `kind.needs` returns them; those of the class `Pretrained`
            are the networks that `pretrained` must have.
        pretrained: name of a constructor argument of the game -> a conditional distribution, or a critic, that was
            trained before.
    """
    wanted = {name: need for name, need in needs.items() if isinstance(need, Pretrained)}
    for name in pretrained.keys() - wanted.keys():
        raise UserError(f"{kind.__name__} takes no pretrained {name}; leave it out.")
    for name, need in wanted.items():
        if name not in pretrained and not need.optional:
            raise UserError(
                f"{kind.__name__} trains an encoder for a pretrained generator; give as `pretrained_generator` the folder "
                f"of its run, or a .pt2 file."
            )
        if isinstance(conditional := pretrained.get(name), Conditional):
            need.check(conditional, setup.prior)


def named_networks(name: str, need: Need, network: nn.Module) -> Iterator[tuple[str, Any, nn.Module]]:
    """Yields (name, specification, network) for each network in one constructor argument of a game: one, or two if the
    argument is a `Chain`.

    Arguments:
        name: the name of the constructor argument. In a chain, two conditional distributions in sequence, the network whose
            input or output is x gets this name, and the other one the name with "upper_" before it.
        need: the specification of the argument: a `Chain` of two specifications, or another specification.
        network: the module that `need.network` returned; for a chain the `nn.ModuleList` of the two conditionals' networks.
    """
    if isinstance(need, Chain):
        for part, inner in zip((need.first, need.second), network.children(), strict=True):
            yield name if part.spec.x else f"upper_{name}", part, inner
    else:
        yield name, need, network


def initialize(run: Run, family: Family, needs: Needs, modules: Mapping[str, nn.Module], mean: Tensor | None) -> None:
    """Initializes the weights of all networks, and adds the spectral norms that the run configures.

    The family initializes each network. Then encoders that are specified with `narrow` get a small standard deviation,
    and the output bias of a decoder with a final sigmoid is set to the mean image.

    Arguments:
        run: the configuration; its `spectral_norm` names the networks whose layers get a spectral norm.
        family: the family that built the networks.
        needs: name of a constructor argument of the game -> specification of its networks.
        modules: name of a constructor argument of the game -> its network; for a chain of two conditionals, as in HALI, an
            `nn.ModuleList` of their two networks.
        mean: the mean image of the data, for the bias of a decoder's final sigmoid; None leaves the bias at 0.

    Raises:
        UserError: `spectral_norm` names a network that the run does not have.
    """
    parts = [part for name, network in modules.items() for part in named_networks(name, needs[name], network)]
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
    normed = [] if run.spectral_norm is None else [name.strip() for name in run.spectral_norm.split(",")]
    for name in dict.fromkeys(normed):
        if name not in by_name:
            raise UserError(
                f"`spectral_norm` names {name!r}, and the networks of this run are: {', '.join(by_name)}; give one of them, "
                f"or several separated by commas."
            )
        for layer in list(by_name[name].modules()):
            if isinstance(layer, nn.Linear | Conv):
                spectral_norm(layer)


def other_arguments(run: Run, kind: type[Game], setup: Setup, needs: Needs) -> dict[str, Any]:
    """Returns the game's prior, divergence, penalty and noise as constructor arguments: name -> value, None for no
    penalty or noise.

    The names are "prior", "divergence", "penalty" and "noise", which is the instance noise, the augmentation or both.
    Those that the constructor of the game does not take are left out.

    Arguments:
        run: the configuration, which names the penalty, the instance noise and the augmentation.
        kind: the class of the game.
        setup: it has the prior and the divergence.
        needs: the specifications of the game's networks, as `kind.needs` returns them.
    """
    found = {
        "prior": setup.prior,
        "divergence": setup.divergence,
        "penalty": None if run.penalty == "none" else registry.make(run.penalty, penalties.REGISTRY, "penalty"),
        "noise": disturbance(run, kind, [need for need in needs.values() if isinstance(need, Critic)]),
    }
    return {name: part for name, part in found.items() if name in inspect.signature(kind).parameters}


def disturbance(run: Run, kind: type[Game], critics: list[Critic]) -> Disturbance | None:
    """Returns the augmentation and the instance noise that the run configures, as one object; None if it has neither.

    With both, the augmentation is applied first. They change the inputs of the game's critics.

    Arguments:
        run: the configuration.
        kind: the class of the game, whose name is in the error messages.
        critics: the specifications of the game's critics.

    Raises:
        UserError: no critic has an image, which an augmentation needs, or the game uses a critic's score as a log density
            ratio, which both would change; or it has a critic, and its constructor takes no `noise`.
    """
    parts: list[Disturbance] = []
    for argument, registered in (("augment", disturbances.AUGMENTATIONS), ("instance_noise", disturbances.NOISES)):
        text = getattr(run, argument)
        if text != "none":
            part = registry.make(text, registered, argument)
            part.check_fits(kind.__name__, argument, critics)
            if critics and "noise" not in inspect.signature(kind).parameters:
                raise UserError(f"`{argument}` has no effect in {kind.__name__}; leave `{argument}` out.")
            parts.append(part)
    return disturbances.Disturbances(parts) if len(parts) > 1 else parts[0] if parts else None


def validated(game: Game, pretrained: Mapping[str, nn.Module]) -> Game:
    """Returns the game unchanged, after a check that one player trains each parameter and that each conditional has
    what it needs.

    Some encoders need log p(x, z) or the decoder, which only games with a likelihood pass to their encoder.

    Arguments:
        game: the game.
        pretrained: name of a constructor argument of the game -> a network that no player needs to train.

    Raises:
        UserError: no player or two players train a parameter, or an encoder lacks log p(x, z) or the decoder.
    """
    trainers = Counter(p for player in game.players for p in set(game.parameters_of(player)))
    for name, parameter in game.named_parameters():
        part = name.partition(".")[0]
        if trainers[parameter] == 0 and part not in pretrained:
            raise UserError(
                f"{type(game).__name__} does not train its {part}, and this one has trainable parameters; choose another "
                f"`{part}`, such as mixture or normal."
                if part == "prior"
                else f"no player of {type(game).__name__} trains {name}; name its network among `players`."
            )
        if trainers[parameter] > 1:
            raise UserError(f"two players of {type(game).__name__} train {name}; name its network in one of them only.")
    for module in game.modules():
        if isinstance(module, Conditional):
            module.check_ready()
    return game


def check_critic(game: Game, module: nn.Module) -> None:
    """Raises a UserError if a custom critic does not take as many inputs as the critic of a game gets."""
    need = example_needs(type(game)).get("critic")
    if not isinstance(need, Critic):
        return
    count = len(need.inputs) + bool(game.data.condition)
    try:
        inspect.signature(module.forward).bind(*[None] * count)
    except TypeError:
        labels = ", and labels or attributes" if game.data.condition else ""
        raise UserError(
            f"`critic` must take {count} inputs, {need.names}{labels}, and its method `forward` does not; change it."
        ) from None


def replace_network(game: Game, name: str, module: nn.Module, shape: tuple[int, ...]) -> None:
    """Replaces a network of an untrained game, in place.

    Arguments:
        game: the game.
        name: "encoder", "decoder" or "critic".
        module: a `Conditional`, which takes the place of the game's encoder or decoder; or a network with the same inputs and
            outputs as that of the game's encoder or decoder; or the critic.
        shape: the shape of one input of the encoder or decoder.

    Raises:
        UserError: the game has no such part, or the network does not take such inputs, or returns another shape.
    """
    if not isinstance(module, nn.Module):
        raise UserError(
            f"`{name}` is of type {type(module).__name__}, and it must be a torch.nn.Module; wrap it in one."
        )
    part = dict(game.named_children()).get(name)
    if part is None:
        raise UserError(f"{type(game).__name__} has no {name}; leave `{name}` out.")
    if name == "critic":
        check_critic(game, module)
    if name == "critic" or isinstance(module, Conditional):
        setattr(game, name, module)
        return
    before = dict(part.named_children()).get("network")
    if before is None:
        raise UserError(f"the {name} of this game has no single network; give a Conditional as `{name}`.")
    example, was_training = torch.zeros(1, *shape), before.training
    try:
        with torch.no_grad():
            old, new = (tuple(network.eval()(example).shape) for network in (before, module))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"`{name}` does not take an input of shape {tuple(example.shape)} ({str(error).splitlines()[0]}); give a module "
            f"that does."
        ) from None
    if old != new:
        raise UserError(f"`{name}` returns the shape {new}, and {old} is needed; change its last layer.")
    part.network = module.train(was_training)
