"""The options of a run for the fault scripts: what each component needs beside it, values of an argument's type and at its
edges, random combinations of all options (a strategy of Hypothesis), and a run of three steps.
"""

import re
import traceback
import types
import typing
import warnings

from hypothesis import strategies as st

import interalia
from interalia import registry
from interalia.errors import DivergedError, UserError
from interalia.training.callbacks import Callback

FIELDS = {
    "games": "game",
    "divergences": "divergence",
    "dynamics": "dynamics",
    "penalties": "penalty",
    "noises": "instance_noise",
    "augmentations": "augment",
    "networks": "networks",
    "conditionals": "encoder",
    "priors": "prior",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "averages": "weight_average",
}
CODES = {"prior": "codes(categorical=[10], uniform=2)"}
STYLES = {"prior": "codes(categorical=[10], uniform=0)", "encoder": "deterministic", "latent_dim": 26}
VAE, INFOGAN = {"game": "vae", "penalty": "none"}, {"game": "infogan", "penalty": "none", **CODES}
PAIRS = {"game": "cyclegan", "data": "digits", "data_b": "digits", "penalty": "none", "latent_dim": 64}
MEMORY = ("memory", "allocate", "overflow", "could not create a primitive")

GENERATOR = "(the folder of a trained GAN)"

# what a component needs beside it: kind -> name -> fields
NEEDED: dict[str, dict[str, dict[str, typing.Any]]] = {
    "games": {
        "cyclegan": PAIRS,
        **{name: {"penalty": "none"} for name in ("vae", "avb", "aae", "vae-gan")},
        "infogan": INFOGAN,
        "semi-aae": {"penalty": "none", **STYLES},
        **{
            name: {"penalty": "none", "pretrained_generator": GENERATOR}
            for name in ("latent-regressor", "posthoc-ali", "f-anogan")
        },
    },
    "conditionals": {"recurrent": {**VAE, "networks": "draw", "image_size": 28}},
    "priors": {"codes": INFOGAN, "learned": VAE},
    "networks": {
        "ali-mixture": {"data": "grid25", "latent_dim": 2, "batch_size": 8},
        "alice-toy": {"data": "grid25", "latent_dim": 2, "batch_size": 8},
        "avb-toy": {
            "data": "four-pixels",
            "game": "avb",
            "encoder": "implicit(noise=16)",
            "latent_dim": 2,
            "penalty": "none",
        },
        "cyclegan": {**PAIRS, "image_size": 64, "batch_size": 1},
        "infogan": {**INFOGAN, "image_size": 28},
        "fgan-mnist": {"game": "gan", "image_size": 28},
        "avb": {"game": "avb", "encoder": "implicit", "penalty": "none", "image_size": 28},
        "draw": {**VAE, "image_size": 28},
        **{name: {"image_size": 28} for name in ("ali-28", "bigan-mlp")},
        **{name: {"image_size": 32} for name in ("ali-cifar10", "ali-svhn")},
        **{name: {"image_size": 64} for name in ("ali-celeba", "ali-tiny-imagenet")},
    },
}


class Keep(Callback):
    """Keeps the losses."""

    def start(self, training):
        self.losses = []

    def step(self, training, outcome):
        self.losses += [float(loss) for loss in outcome.losses.values()]


def values(kind):
    """Values to try for an argument of a type."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [value for one in typing.get_args(kind) for value in values(one)]
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    plain = {
        bool: [True, False],
        int: [0, 1, 2, -1, 3, 10**9, 10**30],
        float: [0, 0.0, 1, 0.5, -1.0, 1e-30, 1e30, 1e308],
        str: ["", "x", "gan", "mse", "translation", "flip,flip", "x" * 200],
        type(None): [None],
    }
    return plain.get(
        kind, [[], [0], [1], [10], [3, 4], [-1], [10**9], {}, {"critic": 1}, {"x": 1}, ["a"], [None], [1.5]]
    )


def needed(kind, name, generator):
    """The fields that a component needs beside it; `generator` is the folder of a trained GAN of 16 latents."""
    fields = {"game": "ali", "data": "digits", "latent_dim": 16, "batch_size": 4, "penalty": "r1"}
    plain = ("gaussian", "deterministic", "implicit", "basis-noise")
    fields |= VAE if kind == "conditionals" and name not in plain else {}
    fields |= {"batch_size": 2} if kind == "networks" else {}
    fields |= NEEDED.get(kind, {}).get(name, {})
    return {key: generator if value == GENERATOR else value for key, value in fields.items()}


OTHERS = {
    "pack": [1, 2, 4, 64],
    "latent_dim": [16, 12, 2, 1, 64, 100_000],
    "batch_size": [16, 8, 4, 2, 1, 3, 10**6],
    "grad_accumulation": [1, 2, 3],
    "grad_clip": [0.0, 1.0, 1e-9],
    "skip_critic_above": [1.0, 0.8, 0.5],
    "recalibrate_bn": [0, 2],
    "condition_on": [None, "labels", "all", "Bald", "", "x\ny"],
    "spectral_norm": [None, "critic", "decoder,critic", "encoder", "x"],
    "binarize": ["none", "static", "dynamic"],
    "image_size": [None, 16, 12, 4, 28],
    "num_labeled": [None, 20, 100, 1, 10**9],
    "lr": [None, {}, {"critic": 1e-4}, {"generator": 1e-3}, {"x": 1.0}, 0.0, 10.0],
    "precision": ["auto", "fp32", "bf16"],
    "data": ["digits", "grid25", "digits-inverted", "four-pixels", "five", "nothing", "/"],
    "data_b": [None, "digits", "digits-inverted", "grid25"],
    "monitor": ["auto", "frechet_distance", "reverse_kl", "x"],
    "early_stopping": [0, 1],
    "steps": [3, 3, 3, 0, 1],
    "seed": [0, 1, 2**31 - 1],
    "device": ["auto", "cpu", "meta", "x"],
}


@st.composite
def combinations(draw, generator):
    """Fields of a run: a game with what it needs, and some others, each a component with some arguments or any value."""
    name = draw(st.sampled_from(list(registry.registry("games"))))
    fields = {"game": name, "data": "digits", "latent_dim": 16, "batch_size": 4}
    if draw(st.integers(0, 9)):
        fields |= needed("games", name, generator)
    for kind, field in FIELDS.items():
        if draw(st.integers(0, 4)) == 0 or (kind == "games" and draw(st.booleans())):
            entries = registry.registry(kind)
            one = name if kind == "games" else draw(st.sampled_from(list(entries)))
            found = {}
            for key, hint in registry.settings_of(entries[one]).items():
                if draw(st.integers(0, 3)) == 0:
                    found[key] = draw(st.sampled_from(values(hint)))
            words = ", ".join(f"{key}={value!r}" for key, value in found.items())
            fields[field] = f"{one}({words})" if words else one
    for field, choices in OTHERS.items():
        if draw(st.integers(0, 5)) == 0:
            fields[field] = draw(st.sampled_from(choices))
    return fields


def attempt(fields):
    """("trained", "refused", "diverged", "memory" or "short", what was seen)"""
    keep = Keep()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interalia.train(interalia.Run(**{"steps": 3, "evaluate_every": 0, **fields}), callbacks=[keep])
    except DivergedError as error:
        return "diverged", str(error)
    except UserError as error:
        text = str(error)
        sentence = text.strip() and "\n" not in text and len(text) < 1500 and text.rstrip().endswith(".")
        return "refused" if sentence else "short", f"no sentence: {text[:300]!r}"
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/interalia/" in f.filename]
        text = f"{type(error).__name__}: {re.sub('[0-9]+', 'N', ' '.join(str(error).split()))[:160]}"
        memory = isinstance(error, MemoryError) or any(word in text for word in MEMORY)
        return "memory" if memory else "short", f"{text} at {own[-1].filename.split('interalia/')[-1]}:{own[-1].lineno}"
    return "trained", ""
