"""Every argument of every component, one at a time at values of its type and at its edges, in a run of 3 steps that is valid
without it: each is trained with finite losses, or refused by one sentence. It prints what is otherwise, and exits with 0 if
nothing is.

Usage: python benchmarks/faults/settings.py [part of a component's name ...]
"""

import resource
import sys

import torch
from common import HOME
from options import FIELDS, attempt, needed, values

import interalia
from interalia import registry

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
            base = needed(kind, name, str(HOME / "g"))
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
