"""A run in plain sentences: what was trained, on what, how long, and how good it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interalia.metrics import REGISTRY
from interalia.runs import OWN

GAMES = {  # in words; any other game goes by its own name
    "aae": "AAE (an adversarial autoencoder)",
    "ali": "ALI (adversarially learned inference)",
    "alice": "ALICE (adversarially learned inference with conditional entropy)",
    "alice-adversarial": "ALICE (adversarially learned inference with a critic of round trips)",
    "hali": "HALI (hierarchical adversarially learned inference)",
    "joint-latent-regressor": "a GAN with a joint latent regressor",
    "latent-regressor": "a latent regressor (an encoder for a generator trained before)",
    "posthoc-ali": "ALI after the fact (an encoder for a generator trained before)",
    "semi-aae": "a semi-supervised AAE (an adversarial autoencoder that is shown some labels)",
    "semi-ali": "semi-supervised ALI (adversarially learned inference whose critic knows the classes)",
    "avb": "AVB (adversarial variational Bayes)",
    "vae": "VAE (a variational autoencoder)",
    "vae-gan": "VAE/GAN (a variational autoencoder with a GAN's critic)",
    "cyclegan": "CycleGAN (translation between two domains without pairs)",
    "gan": "GAN (a generative adversarial network)",
    "infogan": "InfoGAN (a GAN whose samples tell the codes that they were made from)",
    OWN: "a game of somebody's own",
}
PAIRS = (
    "Three networks learn together: an encoder that infers {latent} from data, a decoder that makes data from z, "
    "and a critic that tries to tell the pairs (data, inferred z) from the pairs (made data, random z). "
)
BOUND = (
    "Two networks learn together: an encoder that tells which z could have made an input, {latent}, as a "
    "distribution q(z | x), and a decoder that tells how likely data is under a z. "
)
TRAINED = (
    "The generator was trained before and stays as it is; an encoder is sought that infers {latent} from what it "
    "makes and from data. "
)
TAUGHT = {  # what a game does, for people who meet it for the first time
    "ali": PAIRS + "Nothing asks for good reconstructions: they come about as far as the critic can no longer tell.",
    "alice": PAIRS + "Unlike in ALI, encoder and decoder are also charged for what a reconstruction loses, so its "
    "reconstructions are not comparable with those of ALI, which come about without being asked for.",
    "alice-adversarial": PAIRS
    + "A second critic tries to tell an input from its reconstruction, with the input beside it, so that "
    "reconstructions are asked for without a distance between pixels.",
    "hali": PAIRS
    + "There is a second level of latents between z and the data, which keeps more of an input's detail than z,"
    " and which the critic sees too.",
    "semi-ali": PAIRS
    + "The critic also tells the class of an input, for which it is shown the labels of a few of them.",
    "posthoc-ali": TRAINED
    + "A critic tries to tell the pairs (data, inferred z) from the pairs (made data, random z), and the "
    "encoder learns to make them alike.",
    "latent-regressor": TRAINED
    + "It is charged for the distance from the z that a sample was made from; there is no critic.",
    "joint-latent-regressor": (
        "A generator that makes data from {latent} and a critic learn against each other, as in a GAN, and an "
        "encoder learns to read z off the samples; the generator is charged too for what the encoder cannot read."
    ),
    "aae": (
        "An autoencoder learns to give back what it is shown, by way of {latent}, while a critic tries to tell "
        "inferred latents from random ones: to deceive it, the encoder spreads the data over the whole prior, so "
        "that samples can be drawn."
    ),
    "semi-aae": (
        "An autoencoder learns to give back what it is shown, by way of {latent}: a style and a class, for which "
        "it is shown the labels of a few inputs. A critic tries to tell both from random ones, so that samples "
        "can be drawn."
    ),
    "vae": BOUND
    + "Both raise one number, a lower bound of log p(x), the log-likelihood of the data in nats. There is no "
    "critic, and so nothing to be balanced.",
    "avb": BOUND
    + "Both raise a lower bound of log p(x), the log-likelihood of the data in nats. Since q may be of any "
    "form, a critic learns the term of the bound that asks for its density, from pairs (data, inferred z) and"
    " pairs (data, random z). What it tells is an estimate, so that the loss is no certified bound.",
    "vae-gan": (
        "A variational autoencoder with {latent} and a GAN learn together: the decoder is also the generator, and"
        " what a reconstruction loses is counted in what the critic sees of an image, not in pixels."
    ),
    "gan": (
        "Two networks learn against each other: a generator that makes data from {latent} drawn at random, and a "
        "critic that tries to tell what it makes from real data. There is no encoder, so nothing is "
        "reconstructed."
    ),
    "infogan": (
        "Two networks learn against each other: a generator that makes data from {latent}, some of them codes (a "
        "category, a number in a range) and the rest noise, and a critic that tries to tell what it makes from "
        "real data and also says which codes a sample was made from. Both are rewarded when the codes can be "
        "told, so that each code comes to stand for something that can be seen. Nobody tells them what; there are"
        " no labels in the training."
    ),
    "cyclegan": (
        "Four networks learn together: a map from images of domain a to images of domain b, a map the other way, "
        "and for each domain a critic that tries to tell what is translated into it from what belongs there. "
        "Which image belongs to which is never shown: all that holds a translation to its original is the charge "
        "for what is lost on the way there and back. That leaves open which of the ways that lose nothing is "
        "found."
    ),
}
# what the critic's scores are on, where it does not judge pairs (x, z)
JUDGED = {
    "alice-adversarial": "pairs (data, inferred z) and pairs (sample, random z), and the second critic's on data beside "
    "themselves and beside their reconstructions,",
    "aae": "random and on inferred latents",
    "avb": "pairs (data, inferred z) and pairs (data, random z)",
    "cyclegan": "a domain and on what is translated into it",
    "gan": "data and samples",
    "infogan": "data and samples",
    "joint-latent-regressor": "data and samples",
    "semi-aae": "random and on inferred latents",
    "vae-gan": "data, on its reconstructions and on samples",
}
# the nearest to log p(x) first
ESTIMATES = {
    "ais": "annealed importance sampling",
    "iwae": "the importance-weighted bound",
    "elbo": "the evidence lower bound",
    "kde": "kernel densities on samples, which say little in many dimensions",
}
WITHOUT_CRITIC = ("latent-regressor", "vae")
WITH_LIKELIHOOD = ("avb", "vae")
WITHOUT_ENCODER = ("gan", "infogan", "cyclegan")
TRANSLATING = ("cyclegan",)
# the divergences under which a critic's score is a log-odds
WITH_LOG_ODDS = ("gan", "jensen-shannon", "reverse-kl", "alpha")


def summary(
    run: Mapping[str, Any],
    results: Mapping[str, Any] | None,
    log: Sequence[Mapping[str, Any]] = (),
    likelihood: Mapping[str, Any] | None = None,
) -> list[str]:
    """What was run, on what, how long, and how good it is, in plain sentences.

    Arguments:
        run: what is in ``run.json``.
        results: what is in ``results.json``, or None before the first evaluation.
        log: the lines of ``log.jsonl``, which tell how far a run has come that was not evaluated yet.
        likelihood: what is in ``likelihood.json``, or None before it was estimated.

    Example:
        >>> summary({"game": "ali", "data": "digits", "steps": 3000, "batch": 128}, None)[0]
        "This run is to train ALI (adversarially learned inference) on 'digits' for 3,000 steps of 128 examples each."
    """
    return [*_done(run, results or {}, log), *_taught(run), *_found(run, results, log), *_likely(likelihood, log)]


def _done(run: Mapping[str, Any], results: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    data, training = results.get("data") or {}, results.get("training") or {}
    shape = data.get("shape") or []
    own = "data of somebody's own" if part_of(run, "data") == OWN else "unknown data"
    named = None if part_of(run, "data") == OWN else run.get("data")
    what = f"'{named or data.get('name') or own}'"
    if run.get("target"):
        what += f" and '{run['target']}'"
    if data.get("train") and len(shape) == 3:
        what = f"{counted(data['train'], 'image')} of {what} ({size_of(shape)})"
    elif data.get("train") and shape:
        what = f"{counted(data['train'], 'point')} of {what} ({counted(shape[0], 'dimension')})"
    noun = {0: "example", 1: "point", 3: "image"}.get(len(shape), "example")
    last = newest(log)
    planned = run.get("steps")
    batch = f" of {counted(run['batch'], noun)} each" if run.get("batch") else ""
    step = max(training.get("steps") or 0, results.get("step") or 0, last.get("step", 0))
    if step == 0:
        length = f" for {counted(planned, 'step')}{batch}" if planned else ""
        yield f"This run is to train {game_of(run)} on {what}{length}."
        return
    sentence = f"Trained {game_of(run)} on {what} for {counted(step, 'step')}{batch}"
    if last.get("epoch") and last["step"] == step:
        sentence += f" ({last['epoch']:,.3g} passes over the data)" if last["epoch"] < 1000 else ""
    seconds = last.get("seconds") if last.get("step", 0) >= step else training.get("seconds")
    if seconds:
        sentence += f" in {duration(seconds)}"
    if results.get("machine"):
        sentence += f" on {results['machine']}"
    if training.get("images_per_second"):
        sentence += f", at {training['images_per_second']:,.0f} {noun}s a second"
    yield sentence + "."
    ends = (line for line in reversed(log) if line["step"] == last["step"])  # a run that went on has other lines since
    stopped = next((line["stopped"] for line in ends if "stopped" in line), None)
    verdict = next((line["verdict"] for line in reversed(log) if "verdict" in line), None)
    if verdict:
        yield f"Its health at the last evaluation: {verdict}"
    if stopped:
        yield str(stopped)
    elif planned and step < planned:
        yield f"It has not reached its planned end, step {planned:,}."
    if data.get("about"):
        yield str(data["about"])


def _taught(run: Mapping[str, Any]) -> Iterator[str]:
    """What the game does, for people who meet it for the first time."""
    latent = f"a latent code z of {counted(run['latent'], 'number')}" if run.get("latent") else "a latent code z"
    if part_of(run, "game") in TAUGHT:
        yield TAUGHT[part_of(run, "game")].format(latent=latent)


def _found(
    run: Mapping[str, Any], results: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    if results is None:
        yield "It has not been evaluated yet, so there are no measures below."
        return
    value = values_in(results)
    data, split = results.get("data") or {}, results.get("split", "held-out")
    size = data.get(split)
    at, reached = results.get("step"), newest(log).get("step", 0)
    if value:
        held = f", {counted(size, 'example')} that it was not trained on" if size and split != "train" else ""
        yield f"What follows was measured on the {split} split{held}{f', at step {at:,}' if at else ''}."
    if at and reached > at:
        yield f"The measures are older than the run, which has come to step {reached:,} since; evaluate it again."
    for name, metric in REGISTRY.items():
        if name in value and (sentence := metric.says(value, data)):
            yield sentence
    broken = [m["name"] for m in measures_in(results) if m["name"] not in value]
    if broken:
        yield f"These came out without a finite value: {', '.join(name.replace('_', ' ') for name in broken)}."


def _likely(likelihood: Mapping[str, Any] | None, log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The nearest of the estimates to log p(x)."""
    one = nearest(likelihood)
    if likelihood is None or one is None:
        return
    error = f" ± {one['error']:.2f}" if one.get("error") else ""
    sentence = (
        f"A held-out example has a log-likelihood log p(x) of {one['value']:.2f}{error} nats on average (higher "
        "is better), "
        f"by {ESTIMATES[one['name']]}, over {counted(one.get('images', 0), 'example')} of the "
        f"{likelihood.get('split', 'held-out')} "
        f"split"
    )
    check = one.get("check")
    if check:
        sentence += (
            f"; on samples of the model, the bounds that enclose the truth are {abs(check['gap']):.2g} nats apart"
        )
    yield sentence + "."
    at, reached = likelihood.get("step"), newest(log).get("step", 0)
    if at and reached > at:
        yield f"This is older than the run, which has come to step {reached:,} since {at:,}; estimate it again."


def nearest(likelihood: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Of the estimates that were taken, the one that is the nearest to log p(x), or None."""
    listed = (one for one in (likelihood or {}).get("estimates") or () if isinstance(one, dict))
    taken = {one.get("name"): one for one in listed if isinstance(one.get("value"), int | float)}
    return next((taken[name] for name in ESTIMATES if name in taken), None)


def game_of(run: Mapping[str, Any]) -> str:
    name = part_of(run, "game") or "a game"
    if name == "ali" and part_of(run, "encoder") == "dirac":
        return "BiGAN (adversarially learned inference with a deterministic encoder)"
    return GAMES.get(name, name)


def infers(run: Mapping[str, Any]) -> bool:
    return part_of(run, "game") not in WITHOUT_ENCODER


def translates(run: Mapping[str, Any]) -> bool:
    return part_of(run, "game") in TRANSLATING


def part_of(run: Mapping[str, Any], key: str) -> str:
    """The name of a part, without its settings."""
    return str(run.get(key, "")).partition("(")[0].strip()


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_of(shape: Sequence[int]) -> str:
    channels, height, width = shape
    kind = {1: "grayscale", 3: "colour", 4: "colour with opacity"}.get(channels, counted(channels, "channel"))
    return f"{width}x{height} pixels, {kind}"


def duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def measures_in(results: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    listed = (results or {}).get("measures") or []
    return [measure for measure in listed if isinstance(measure, dict) and "name" in measure]


def values_in(results: Mapping[str, Any] | None) -> dict[str, float]:
    """Name -> value of the measures that came out finite."""
    pairs = ((measure["name"], measure.get("value")) for measure in measures_in(results))
    return {name: value for name, value in pairs if isinstance(value, int | float) and math.isfinite(value)}


def newest(log: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return max(log, key=lambda line: line["step"], default={})
