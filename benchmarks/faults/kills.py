"""SIGKILL to a training of every game and with every dynamics: half of the kills at any moment, half inside the writing of a
checkpoint (before and after the temporary file is made, half written, before and after it is synced and renamed). After each
kill what is there has to be readable; the training is resumed, and at its end every number is compared with those of a
training that was never broken off. It prints a line a configuration, and exits with 0 if no run is lost and none differs.
Linux and macOS.

Usage: python benchmarks/faults/kills.py [--kills 200] [--seed 0] [part of a configuration's name ...]
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

from combinations import generator
from common import HOME, differences, wait, warm
from options import needed

STEPS, EVERY = 8, 2
MOMENTS = ("made", "half", "before sync", "after sync", "before rename", "after rename")


def configurations():
    """Name -> fields of a run: every game, with an update scheme that it takes, all of them in turn."""
    import interalia
    from interalia import registry
    from interalia.errors import UserError
    from interalia.training import engine

    folder, found = generator(HOME / "g"), {}
    rules = list(registry.registry("dynamics"))
    for game in registry.registry("games"):
        fields = needed("games", game, folder)
        small = {} if "networks" in fields or fields["data"] != "digits" else {"networks": "auto(width=4)"}
        for rule in list(rules):
            run = {**fields, **small, "game": game, "dynamics": rule}
            try:
                engine.prepare(interalia.Run(**run, steps=1))
            except UserError:
                continue  # such as VAE/GAN, of three players, with the one-stage update of two
            found[f"{game}, {rule}"] = run
            rules.remove(rule)
            rules.append(rule)  # the others first
            break
    return found


def dying(moment, count):
    """In a child: SIGKILL to itself at such a moment of the `count`-th writing of a checkpoint."""
    from interalia import disk

    inside, left = [False], [count]
    writing, make, sync, rename, opened = disk.writing, tempfile.mkstemp, os.fsync, os.replace, os.fdopen

    def hit(here):
        if inside[0] and here == moment:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(function, before, after):
        def call(*arguments, **named):
            hit(before)
            found = function(*arguments, **named)
            hit(after)
            return found

        return call

    class Half:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *error):
            return self.file.__exit__(*error)

        def write(self, content):
            if inside[0] and moment == "half":
                self.file.write(content[: len(content) // 2])
                self.file.flush()
                hit("half")
                return self.file.write(content[len(content) // 2 :])
            return self.file.write(content)

    def watched(path, mode="w"):
        inside[0] = path.parent.name == "checkpoints"
        return writing(path, mode)

    from interalia.training import checkpoint

    checkpoint.writing = watched
    tempfile.mkstemp = around(make, None, "made")
    os.fsync = around(sync, "before sync", "after sync")
    os.replace = around(rename, "before rename", "after rename")
    os.fdopen = lambda *arguments, **named: Half(opened(*arguments, **named))


def started(run, out, resume, before=None):
    """Starts a training in a child, and returns its process number; an error ends it with code 77."""
    sys.stdout.flush(), sys.stderr.flush()
    if pid := os.fork():
        return pid
    code = 77
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        if before:
            before()
        from interalia.training import engine

        engine.train(run, out, resume=resume)
        code = 0
    except BaseException:
        (HOME / "kills-error.txt").write_text(traceback.format_exc())
    finally:
        os._exit(code)


def lost(out):
    """What cannot be read after a kill, as text; "" if all can be."""
    from interalia.runs import loading
    from interalia.runs.folder import Folder
    from interalia.training import checkpoint

    folder = Folder(out)
    if any(path.exists() for path in checkpoint.candidates(folder)) and checkpoint.newest(folder)[0] is None:
        return "no checkpoint can be read"
    if folder.weights.exists():
        try:
            loading.load(out)
        except Exception as error:
            return f"the weights cannot be read: {error}"
    return ""


def killed(name, run, kills, rng):
    """Kills a training so many times; returns (kills done, kills inside a write, what went wrong)."""
    whole, out = HOME / "kills-whole", HOME / "kills"
    for folder in (whole, out):
        shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    if code := wait(started(run, whole, False)):
        return 0, 0, [f"the training itself ended with {code}: {(HOME / 'kills-error.txt').read_text()[-200:]}"]
    length, bad, done, inside = time.monotonic() - began, [], 0, 0
    for _ in range(3 * kills):
        if done >= kills:
            break
        resume = (out / "run.json").exists()
        if not resume:
            shutil.rmtree(out, ignore_errors=True)
        if within := 2 * inside <= done:
            moment, count = rng.choice(MOMENTS), rng.choice((1, 1, 2))
            code = wait(started(run, out, resume, lambda moment=moment, count=count: dying(moment, count)))
        else:
            pid = started(run, out, resume)
            time.sleep(length * rng.uniform(0.02, 0.6))
            os.kill(pid, signal.SIGKILL)
            code = wait(pid)
        done, inside = done + (code == -signal.SIGKILL), inside + (within and code == -signal.SIGKILL)
        if code not in (0, -signal.SIGKILL):
            bad.append(f"ended with {code}: {(HOME / 'kills-error.txt').read_text()[-300:]}")
        if problem := lost(out) if (out / "run.json").exists() else "":
            bad.append(problem)
        if code == 0:  # it came to its end: from the beginning
            shutil.rmtree(out)
    if code := wait(started(run, out, (out / "run.json").exists())):
        error = (HOME / "kills-error.txt").read_text()[-300:]
        return done, inside, [*bad, f"the last resumption ended with {code}: {error}"]
    names = differences(whole / "checkpoints/last.pt", out / "checkpoints/last.pt")
    bad += [f"{len(names)} values differ, such as {names[0]}"] if names else []
    one, other = (folder / "weights.safetensors" for folder in (whole, out))
    bad += [] if one.read_bytes() == other.read_bytes() else ["the weights differ"]
    bad += [f"left over: {path.name}" for path in out.rglob(".*") if path.is_file() and path.name != ".lock"]
    return done, inside, bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    warm()
    import interalia

    rng, total, within, short = random.Random(given.seed), 0, 0, 0
    found = {k: v for k, v in configurations().items() if not given.names or any(one in k for one in given.names)}
    each = -(-given.kills // len(found))
    rest = {"steps": STEPS, "checkpoint_every": EVERY, "log_every": 2, "evaluate_every": 0, "schedule": "constant"}
    for name, fields in found.items():
        done, inside, bad = killed(name, interalia.Run(**fields, **rest), each, rng)
        total, within, short = total + done, within + inside, short + bool(bad)
        told = f": {'; '.join(bad)}" if bad else ""
        print(f"{name}: {done} kills, {inside} inside the writing of a checkpoint{told}", flush=True)
    print(
        f"{total} kills, {within} inside the writing of a checkpoint; {short} of {len(found)} configurations fall short"
    )
    raise SystemExit(short > 0)
