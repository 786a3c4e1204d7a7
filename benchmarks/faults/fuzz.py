"""Random changes of the files of a run: values in JSON files, in the metadata of the weights and in checkpoints are replaced,
removed or nested, and bytes are flipped. Each command is to succeed, or to end with one sentence and the exit code 2. It
prints what is otherwise, and exits with 0 if nothing is.

Usage: python benchmarks/faults/fuzz.py [how many] [seed]
"""

import copy
import json
import random
import sys

import smallest
from common import command, limits, warm

VALUES = [
    None,
    True,
    0,
    -1,
    5,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x00",
    "\ud800",
    [],
    [1],
    {},
    {"x": 1},
    [[]],
]
ROOMS = ["run.json", "results.json", "likelihood.json", "log.jsonl", "metadata", "checkpoint", "bytes"]
ESTIMATE = {"name": "ais", "value": -1.0, "error": 0.1, "acceptance": 0.6, "images": 3, "of": 9, "protocol": "p"}
LIKELIHOOD = {
    "estimates": [{**ESTIMATE, "check": {"gap": 0.1, "error": 0.1, "lower": 1.0, "upper": 2.0, "protocol": "q"}}],
    "interrupted": False,
    "images": {"measured": 3, "split": 9},
    "binarization": "none",
    "split": "test",
    "step": 4,
}


def places(value, path=()):
    """Yields the paths to all values in nested dictionaries and lists."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, one in list(pairs):
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(value, rng):
    """A copy in which one value is replaced or removed."""
    value = copy.deepcopy(value)
    *way, last = rng.choice(list(places(value)))
    at = value
    for key in way:
        if isinstance(at[key], tuple):
            at[key] = list(at[key])
        at = at[key]
    if isinstance(at, dict) and rng.random() < 0.2:
        del at[last]
    else:
        at[last] = copy.deepcopy(rng.choice(VALUES))
    return value


def change(run, room, rng):
    """Changes a file of a run at random."""
    import torch

    path = run / room
    if room == "checkpoint":
        state = torch.load(run / "checkpoints/last.pt", weights_only=True)
        state = changed(state, rng)
        for name in ("last.pt", "previous.pt"):
            torch.save(state, run / "checkpoints" / name)
    elif room == "metadata":
        smallest.described(lambda about: json.dumps(changed(about, rng)))
    elif room == "bytes":
        path = rng.choice([path for path in run.rglob("*") if path.is_file() and path.suffix != ".html"])
        content = bytearray(path.read_bytes())
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content if rng.random() < 0.7 else content[: rng.randrange(len(content))])
    elif room == "log.jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(line) + "\n" for line in changed(lines, rng)))
    else:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), rng)))


if __name__ == "__main__":
    count, seed = (int(word) for word in (*sys.argv[1:], "200", "0")[:2]) if len(sys.argv) > 1 else (200, 0)
    warm()
    rng, tally, short = random.Random(seed), {}, set()
    base = smallest.base()
    if not (base / "results.json").exists():
        assert command(["evaluate", base])[0] == 0
    (base / "likelihood.json").write_text(json.dumps(LIKELIHOOD))
    for number in range(count):
        room = rng.choice(ROOMS)
        run = smallest.copied()
        change(run, room, rng)
        use = {"metadata": ["generate"], "checkpoint": ["resume"], "bytes": ["generate", "resume", "report"]}
        name = rng.choice(use.get(room, ["report", "resume"]))
        words = smallest.resume(run) if name == "resume" else [name, run]
        code, text = command(words, limits(6, 60), 90)
        lines = [line for line in text.splitlines() if line.strip()]
        sentence = code == 2 and lines and lines[-1].startswith("interalia:") and "Traceback" not in text
        what = "done" if code == 0 else "refused" if sentence else "short"
        tally[what] = tally.get(what, 0) + 1
        if number % 50 == 49:
            print(number + 1, tally, flush=True)
        if what == "short" and (room, lines[-1:] and lines[-1][:60]) not in short:
            short.add((room, lines[-1:] and lines[-1][:60]))
            where = [line.strip() for line in lines if line.strip().startswith("File") and "/interalia/" in line][-1:]
            print(
                f"FALLS SHORT {number} {room}, {name}: code {code}: {' '.join(lines[-1:])[-200:]} {where}", flush=True
            )
    print(tally)
    raise SystemExit("short" in tally)
