"""Every argument of every component, one at a time at values of its type and at its edges, in a run of 3 steps that is valid
without it: each is trained with finite losses, or refused by one sentence. It prints what is otherwise, and exits with 0 if
nothing is.

Usage: python benchmarks/faults/settings.py [part of a component's name ...]
"""

import re
import resource
import sys
import traceback
import types
import typing
import warnings

import torch
from common import HOME

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
PAIRS = {"game": "cyclegan", "data": "digits", "data_b": "digits", "penalty": "none"}
MEMORY = ("memory", "allocate", "overflow", "could not create a primitive")

# what a component needs beside it: kind -> name -> fields
NEEDED: dict[str, dict[str, dict[str, typing.Any]]] = {
    "games": {
        "cyclegan": PAIRS,
        **{name: {"penalty": "none"} for name in ("vae", "avb", "aae", "vae-gan")},
        "infogan": INFOGAN,
        "semi-aae": {"penalty": "none", **STYLES},
        **{
            name: {"penalty": "none", "pretrained_generator": str(HOME / "g")}
            for name in ("latent-regressor", "posthoc-ali")
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


def attempt(fields):
    """("trained", "refused", "diverged", "memory" or "short", what was seen)"""
    keep = Keep()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interalia.train(interalia.Run(**fields, steps=3, evaluate_every=0), callbacks=[keep])
    except DivergedError as error:
        return "diverged", str(error)
    except UserError as error:
        text = str(error)
        sentence = text.strip() and "\n" not in text and len(text) < 700 and text.rstrip().endswith(".")
        return "refused" if sentence else "short", f"no sentence: {text[:300]!r}"
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/interalia/" in f.filename]
        text = f"{type(error).__name__}: {re.sub('[0-9]+', 'N', ' '.join(str(error).split()))[:160]}"
        memory = isinstance(error, MemoryError) or any(word in text for word in MEMORY)
        return "memory" if memory else "short", f"{text} at {own[-1].filename.split('interalia/')[-1]}:{own[-1].lineno}"
    return "trained", ""


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    torch.set_num_threads(1)
    if not (HOME / "g/weights.safetensors").exists():
        small = interalia.Run(game="gan", latent_dim=16, steps=2, batch_size=16, evaluate_every=0)
        interalia.train(small, HOME / "g", callbacks=None)
    tally, found = {}, set()
    for kind, field in FIELDS.items():
        for name, entry in registry.registry(kind).items():
            if sys.argv[1:] and not any(word in f"{kind} {name}" for word in sys.argv[1:]):
                continue
            base = {"game": "ali", "data": "digits", "latent_dim": 16, "batch_size": 4, "penalty": "r1"}
            base |= (
                VAE
                if kind == "conditionals" and name not in ("gaussian", "deterministic", "implicit", "basis-noise")
                else {}
            )
            base |= {"batch_size": 2} if kind == "networks" else {}
            base |= NEEDED.get(kind, {}).get(name, {})
            texts = [name]
            for key, hint in registry.settings_of(entry).items():
                texts += [f"{name}({key}={value!r})" for value in values(hint)]
            for text in texts:
                what, seen = attempt({**base, field: text})
                tally[what] = tally.get(what, 0) + 1
                if what == "short" and (name, seen) not in found:
                    print(f"FALLS SHORT {field}={text[:90]!r}: {seen}", flush=True)
                    found.add((name, seen))
                if text == name and what != "trained":
                    print(f"the base is not trained: {base | {field: name}}: {seen[:200]}", flush=True)
    print(tally)
    raise SystemExit("short" in tally)
