"""From a run's description to its game: the networks, the prior and the parts, made to fit each other."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from interalia import conditionals, games, networks, registry
from interalia.adversarial import disturbances, divergences, penalties
from interalia.errors import UserError
from interalia.games import DataSpec
from interalia.games import needs as needed
from interalia.games.capabilities import HasLikelihood, Infers, who
from interalia.games.feeds import PartlyLabelled
from interalia.networks import mlp, weights
from interalia.networks.layers import Packed
from interalia.runs import described, generators

if TYPE_CHECKING:
    from torch import Tensor

    from interalia.adversarial.disturbances import Disturbance
    from interalia.conditionals import Conditional
    from interalia.data.dataset import Dataset
    from interalia.games import Game
    from interalia.networks import Sizes
    from interalia.runs import Run


def build(
    run: Run,
    shape: tuple[int, ...] | None = None,
    mean: Tensor | None = None,
    labels: int | None = None,
    other: tuple[int, ...] | None = None,
    attributes: Mapping[str, float] | None = None,
    generator: nn.Module | None = None,
    names: Sequence[str] = (),
    trust: bool = False,
) -> Game:
    """The untrained game of a run, drawn from torch's global random state.

    Arguments:
        run: the description.
        shape: of one x; if it is not given, it and the labels, attributes and names are the run's data set's.
        mean: the mean image, shape `shape`, from which a sigmoid's bias is set; None leaves it at 0.
        labels: how many labels the data has.
        other: of one x of the second domain, where there is one.
        attributes: those that the networks are told, and how frequent each is.
        generator: a trained module z -> x for a game that only infers, in place of the run's `generator`.
        names: of the labels; their numbers where there are none.
        trust: whether the run's generator may be opened where it is a .pt2 file, which can execute code.

    Raises:
        UserError: a part does not exist, or the parts do not fit each other or the data, or the generator is not trusted.

    Example:
        >>> from interalia.runs import Run
        >>> build(Run(latent=8), shape=(1, 8, 8)).prior.size
        8
    """
    if shape is None:
        return build_for(run, described.dataset(run), mean, generator, trust)
    kind, settings = registry.look_up(run.game, games.REGISTRY, "game")
    needs = inspect.signature(kind).parameters
    told = _told(run, kind, labels or 0, attributes or {})
    if "to_b" in needs and other is None:
        raise UserError(
            f"{kind.__name__} translates between two data sets, and {run.data!r} is one; give the second with --target."
        )
    prior = registry.make(run.prior, conditionals.PRIORS, "prior", run.latent)
    trained = generators.given(run, kind, generator, tuple(shape), prior, trust)
    divergence = registry.make(run.divergence, divergences.REGISTRY, "divergence")
    conditional, encoder_settings = registry.look_up(run.encoder, conditionals.CONDITIONALS, "encoder")
    noise = 0
    if conditional is conditionals.Implicit and "encoder" in needs:
        noise = encoder_settings.get("noise", inspect.signature(conditional).parameters["noise"].default)
    semi = kind.feeds is PartlyLabelled
    if semi and (labels or 0) < 2:
        raise UserError(f"{kind.__name__} reads labels, and there are fewer than 2; choose other data.")
    coded = prior if semi and isinstance(prior, conditionals.Codes) else None
    if coded and coded.categorical[:1] != (labels,):
        raise UserError(
            f"the data set {run.data!r} has {labels} labels, and the prior's category has {coded.words}; give "
            f'--prior "codes(categorical=[{labels}], uniform=0)".'
        )
    lower = settings.get("lower", needs["lower"].default) if "lower" in needs else 0
    if "lower" in needs and lower < 1:
        raise UserError(
            f"`lower` is {lower}, and the lower level has 1 dimension or more; give for example hali(lower=128)."
        )
    if next(prior.parameters(), None) is not None and "prior" not in itertools.chain(*kind.players.values()):
        raise UserError(
            f"{kind.__name__} does not train its prior, and {run.prior!r} is learned; use --prior mixture, or normal."
        )
    if settings.get("likelihood") == "bernoulli" and len(shape) != 3:
        raise UserError(
            "a Bernoulli likelihood is one of images in [0, 1]; use vae(likelihood='gaussian') for vectors."
        )
    heads = conditional.heads_for(**encoder_settings)
    if "encoder" in needs and heads == 0 and registry.parse(run.networks)[0] != "draw":
        raise UserError(
            f"the encoder {run.encoder!r} follows what DRAW's decoder paints, and the networks {run.networks!r} paint at "
            f"once; use --networks draw, or --encoder gaussian."
        )
    sizes = networks.Sizes(
        tuple(shape),
        run.latent,
        heads=heads,
        noise=noise,
        infers="encoder" in needs,
        judges=judged(kind),
        lower=lower,
        classes=(labels or 0) if semi and not coded else 0,
        categories=coded.categorical[0] if coded else 0,
        cycle="cycle_critic" in needs,
        bounded=isinstance(prior, conditionals.Uniform)
        and conditional in (conditionals.Dirac, conditionals.Implicit),  # whose network answers z itself
        labels=told,
        answers=prior.answers if any(critic.answers for critic in needed.critics(kind)) else 0,
        separate=divergence.separate and judged(kind) == "xz" and not semi,
        other=other if "to_b" in needs else None,
    )
    made = registry.make(run.networks, networks.REGISTRY, "networks", sizes)
    parts = {f.name: part for f in dataclasses.fields(made) if isinstance(part := getattr(made, f.name), nn.Module)}
    if sizes.judges == "z":
        parts["critic"] = mlp.of_latents(sizes)
    if sizes.lower:
        parts["upper_encoder"], parts["upper_decoder"] = mlp.upper(sizes)
    for name, parameter in needs.items():
        if parameter.default is parameter.empty and name != "prior" and name not in parts:
            raise UserError(
                f"{kind.__name__} needs a network {name!r}, and the networks {run.networks!r} have none; "
                f"use --networks auto."
            )
    if sizes.separate and sizes.beside and getattr(parts.get("critic"), "unary_z", None) is None:
        raise UserError(
            f"the divergence {run.divergence!r} wants a critic that scores x, z and the pair apart, and the networks "
            f"{run.networks!r} have one score; use --networks auto."
        )
    if run.pack > 1:
        parts |= _packed(run, kind, sizes)
    _initialise(made, parts)
    if sizes.lower:
        mlp.sharpen(parts["upper_decoder"], sizes.lower)
        if conditional is conditionals.Gaussian:
            mlp.sharpen(parts["encoder"], sizes.lower)
    if isinstance(made, networks.Networks) and made.output_bias is not None and mean is not None:
        weights.initialise_output(made.output_bias, mean)
    idle = {
        name
        for name in ("encoder", "decoder", "critic")
        if name not in needs or isinstance(needed.declared(kind).get(name), needed.Given)
    }
    _normalise(run, {name: part for name, part in parts.items() if name not in idle})

    def encoder_of(network: nn.Module, size: int) -> Conditional:
        own = {"size": size} if "size" in inspect.signature(conditional).parameters else {}
        try:
            made: Conditional = conditional(network, **own, **encoder_settings)
        except ValueError as error:
            raise UserError(f"the encoder {run.encoder!r} cannot be made: {error}.") from error
        return made

    given: dict[str, Any] = {
        **parts,
        "prior": prior,
        "divergence": divergence,
        "penalty": None if run.penalty == "none" else registry.make(run.penalty, penalties.REGISTRY, "penalty"),
        "noise": _disturbance(run, kind, tuple(shape)),
    }
    if "encoder" in parts:
        given["encoder"] = encoder_of(parts["encoder"], sizes.inferred)
    if "decoder" in parts:
        given["decoder"] = conditionals.Dirac(parts["decoder"])
    if trained is not None:
        given["decoder"] = trained
    if sizes.lower:
        given["encoder"] = conditionals.Chain(given["encoder"], encoder_of(parts["upper_encoder"], run.latent))
        given["decoder"] = conditionals.Chain(conditionals.Gaussian(parts["upper_decoder"]), given["decoder"])
    try:
        game = kind(**{key: value for key, value in given.items() if key in needs}, **settings)
    except ValueError as error:
        raise UserError(f"the game {run.game!r} cannot be made: {error}.") from error
    if isinstance(game, Infers) and isinstance(q := game.encoder, conditionals.Hamiltonian) and q.log_joint is None:
        raise UserError(
            f"the encoder {run.encoder!r} follows the gradient of log p(x, z), which {type(game).__name__} does not have; "
            f"play vae or avb, or use --encoder gaussian."
        )
    classes = labels or 0 if semi else 0
    given_names = tuple(attributes or names or map(str, range(told or classes))) if told or classes else ()
    game.data = DataSpec(tuple(shape), told, dict(attributes or {}), classes, given_names, sizes.other)
    return game


def build_for(
    run: Run,
    dataset: Dataset,
    mean: Tensor | None = None,
    generator: nn.Module | None = None,
    trust: bool = False,
) -> Game:
    """The untrained game of a run on its data; see `build`."""
    told = frequencies(run, dataset)
    kind, _ = registry.look_up(run.game, games.REGISTRY, "game")
    if kind.feeds is PartlyLabelled or (run.labels and kind.feeds.conditional):
        dataset.check_labels("leave --labels out" if run.labels else "play another game")
    game = build(run, dataset.shape, mean, dataset.labels, dataset.other_shape, told, generator, dataset.classes, trust)
    check_fits(game, dataset)
    return game


def check_fits(game: Game, dataset: Dataset) -> None:
    """Raises a UserError unless the data are what the game is one of."""
    game.feeds.check(game.data, dataset)
    if isinstance(game, HasLikelihood) and game.binary and not dataset.binary:
        raise UserError(
            f"a Bernoulli likelihood is one of zeros and ones, and {dataset.name!r} has grey values; give --binarise "
            f"fresh (or fixed), or likelihood='gaussian' in the game."
        )


def judged(kind: type[Game]) -> str:
    """What the critic of a kind of game is shown: x, z, xz, or nothing."""
    critic = next(iter(needed.critics(kind)), None)
    seen = [] if critic is None else [space.name for space in critic.sees if space.name in "xz"]
    return "".join(dict.fromkeys(seen))


def _disturbance(run: Run, kind: type[Game], shape: tuple[int, ...]) -> Disturbance | None:
    """What is done to the joints before the critic sees them.

    Raises:
        UserError: the game's critic sees no images, or is asked for a ratio that a change would falsify.
    """
    parts: list[Disturbance] = []
    if any(not critic.adversary for critic in needed.critics(kind)):
        for flag, value in (("augment", run.augment), ("noise", run.noise)):
            if value != "none":
                raise UserError(
                    f"{kind.__name__} reads log q(z | x) / p(z) off its critic, and of images that `{flag}` has changed it "
                    f"would be another's; leave --{flag} out."
                )
    if run.augment != "none":
        if len(shape) != 3 or "critic" not in kind.players:
            what = "has no critic" if "critic" not in kind.players else f"the data are vectors of {shape[0]} numbers"
            raise UserError(
                f"`augment` changes the images that a critic sees, and {kind.__name__ + ' ' if 'has' in what else ''}{what}; "
                f"leave --augment out."
            )
        if judged(kind) == "z":
            raise UserError(
                f"`augment` changes images, and {kind.__name__}'s critic sees z alone; leave --augment out."
            )
        parts.append(registry.make(run.augment, disturbances.AUGMENTATIONS, "augmentation"))
    if run.noise != "none":
        parts.append(registry.make(run.noise, disturbances.NOISES, "noise"))
    return disturbances.Disturbances(parts) if len(parts) > 1 else parts[0] if parts else None


def _packed(run: Run, kind: type[Game], sizes: Sizes) -> dict[str, nn.Module]:
    """The critics of `run.pack` samples at a time, by name.

    Raises:
        UserError: this game's critic answers for single samples, or a batch is no whole number of packs.
    """
    if not any(critic.packable for critic in needed.critics(kind)):
        able = who(also=lambda kind: any(critic.packable for critic in needed.critics(kind)))
        raise UserError(
            f"{kind.__name__}'s critic cannot judge packs of samples; leave --pack out, or play one of: {able}."
        )
    if run.batch % run.pack:
        raise UserError(f"`batch` is {run.batch}, which is no multiple of `pack`, {run.pack}; change one of them.")
    first, *rest = sizes.shape
    many = dataclasses.replace(
        sizes,
        shape=(run.pack * first, *rest),
        latent=run.pack * sizes.latent,
        lower=run.pack * sizes.lower,
        labels=run.pack * sizes.labels,
    )
    if sizes.judges == "z":
        return {"critic": Packed(mlp.of_latents(many), run.pack)}
    try:
        made = registry.make(run.networks, networks.REGISTRY, "networks", many)
    except UserError as error:
        raise UserError(
            f"the networks {run.networks!r} have no critic of {run.pack} samples at a time: {error}"
        ) from None
    critics = {name: getattr(made, name) for name in ("critic", "cycle_critic")}
    return {name: Packed(critic, run.pack) for name, critic in critics.items() if critic is not None}


def _normalise(run: Run, parts: Mapping[str, nn.Module]) -> None:
    """Spectral norm in every layer of the networks that the run names.

    Raises:
        UserError: there is no such network.
    """
    for name in dict.fromkeys(name.strip() for name in run.spectral.split(",")) if run.spectral is not None else ():
        if name not in parts:
            raise UserError(
                f"`spectral` names {name!r}, and the networks of this run are: {', '.join(parts)}; give one of them, or "
                f"several with commas between."
            )
        for layer in list(parts[name].modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                spectral_norm(layer)


def frequencies(run: Run, dataset: Dataset) -> dict[str, float]:
    """The attributes that the run's networks are told, and the share of the training data that has each.

    Raises:
        UserError: the data has no such attribute.
    """
    if run.attributes is None:
        return {}
    known = [str(name) for name in dataset.attributes.get("names", ())]
    if not known:
        raise UserError(f"the data set {dataset.name!r} has no attributes; leave --attributes out.")
    names = known if run.attributes == "all" else [name.strip() for name in run.attributes.split(",")]
    values = dataset.conditions("train", names)
    assert values is not None
    return dict(zip(names, values.mean(axis=0).tolist(), strict=True))


def _told(run: Run, kind: type[Game], labels: int, attributes: Mapping[str, float]) -> int:
    """How many numbers the networks are told."""
    if run.labels and run.attributes is not None:
        raise UserError("networks are told labels or attributes; leave out one of --labels and --attributes.")
    if not run.labels and run.attributes is None:
        return 0
    if not kind.feeds.conditional:
        able = who(also=lambda kind: kind.feeds.conditional)
        flag = "labels" if run.labels else "attributes"
        raise UserError(f"{kind.__name__} cannot be told {flag}; leave out --{flag}, or play one that can: {able}.")
    if run.attributes is not None:
        return len(attributes)
    if labels < 2:
        raise UserError("`labels` is set, and there are fewer than 2 labels to tell; leave --labels out.")
    return labels


def _initialise(made: Any, parts: Mapping[str, nn.Module]) -> None:
    if made.std is not None:
        for network in parts.values():
            weights.initialise(network, made.std)
