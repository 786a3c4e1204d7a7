"""The smallest input of each kind of fault from outside, and what the program does with it: damaged and hostile files,
signals, two programs in one folder, too little memory. It prints one line a case, "right" or "FALLS SHORT", and exits with 0
if nothing falls short. The larger cases need 5 GB of memory.

Usage: python benchmarks/faults/smallest.py [--list] [part of a case's name ...]
"""

import argparse
import io
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import time
import zipfile
import zlib

from common import HOME, USED, command, differences, limits, started, wait, warm

CASES = {}
SMALL = ["--batch-size", "32", "--evaluate-every", "0", "--log-every", "1", "--schedule", "constant"]


def case(function):
    CASES[function.__name__.replace("_", " ")] = function
    return function


def base():
    """A run of 4 steps with two checkpoints."""
    run = HOME / "base"
    if not (run / "checkpoints/previous.pt").exists():
        shutil.rmtree(run, ignore_errors=True)
        code, text = command(["train", "ali-digits", "--steps", "4", "--checkpoint-every", "2", *SMALL, "--out", run])
        assert code == 0, text
    return run


def copied(name="run"):
    run = HOME / name
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(base(), run)
    return run


def fresh(name="new"):
    shutil.rmtree(HOME / name, ignore_errors=True)
    (HOME / name).mkdir()
    return HOME / name


def outcome(arguments, gigabytes=6, seconds=60, timeout=90):
    """(right?, what was seen): right is success, or exit code 2 with one sentence."""
    code, text = command(arguments, limits(gigabytes, seconds), timeout)
    lines = [line for line in text.splitlines() if line.strip()]
    sentence = code == 2 and lines and lines[-1].startswith("interalia:") and "Traceback" not in text
    return code == 0 or bool(sentence), f"code {code}: {(lines or ['nothing'])[-1][-180:]}"


def refused(arguments, **k):
    """As `outcome`, where success would be wrong."""
    right, seen = outcome(arguments, **k)
    return right and not seen.startswith("code 0"), seen


def sentence(function, gigabytes=6, seconds=60, timeout=90):
    """As `outcome`, of a function of Python: right is a UserError."""
    answer = HOME / "answer.txt"
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            limits(gigabytes, seconds)()
            from interalia.errors import UserError

            try:
                text = f"right, answered {function()!r}"
            except UserError as error:
                text = f"right, UserError: {error}"
            except BaseException as error:
                text = f"short, {type(error).__name__}: {error}"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            answer.write_text(f"{text} (peak {peak:.1f} GB)")
        finally:
            os._exit(0)
    code = wait(pid, timeout)
    text = answer.read_text() if answer.exists() else f"short, ended by {code}"
    return text.startswith("right"), text.split(", ", 1)[1].replace("\n", " ")[-220:]


def until(pid, condition):
    """Waits until a condition is true, or the child has ended, which `wait` will find."""
    while not condition() and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.02)


def saved(change):
    """A run both of whose checkpoints are changed."""
    import torch

    run = copied()
    for name in ("last.pt", "previous.pt"):
        state = torch.load(run / "checkpoints" / name, weights_only=True)
        change(state)
        torch.save(state, run / "checkpoints" / name)
    return run


def described(change):
    """A run whose weights' metadata are changed; `change` may answer the whole text."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    run = copied()
    with safe_open(run / "weights.safetensors", "pt") as file:
        about = json.loads(file.metadata()["interalia"])
    text = change(about)
    text = text if isinstance(text, str) else json.dumps(about)
    save_file(load_file(run / "weights.safetensors"), run / "weights.safetensors", {"interalia": text})
    return run


def resume(run, steps=6):
    return ["train", "--resume", run, "--steps", steps]


def pictures(folder, count=5, side=8):
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (side, side), 40 * i).save(folder / f"{i}.png")
    return folder


def trained_on(data, *more):
    return [
        "train",
        "--data",
        data,
        "--steps",
        1,
        "--batch-size",
        2,
        "--evaluate-every",
        0,
        "--out",
        fresh() / "r",
        *more,
    ]


# a. code of others


@case
def a1_a_folder_with_a_generator_of_torch_export_executes_code():
    import torch

    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 64)

        def forward(self, z):
            return torch.sigmoid(self.linear(z)).view(-1, 1, 8, 8)

    place, mark = fresh(), HOME / "EXECUTED"
    mark.unlink(missing_ok=True)
    program = torch.export.export(Generator(), (torch.zeros(3, 4),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, place / "good.pt2")
    game = ["train", "--game", "latent-regressor", "--pretrained-generator", place / "good.pt2", "--latent-dim", 4]
    game.append("--trust-generator")  # of the good one
    code, text = command([*game, "--steps", 1, "--batch-size", 8, "--evaluate-every", 0, "--out", place / "run"])
    assert code == 0, text
    buffer = io.BytesIO()
    torch.save(Payload(), buffer)
    with zipfile.ZipFile(place / "good.pt2") as a, zipfile.ZipFile(place / "run/generator.pt2", "w") as b:
        for name in a.namelist():
            inputs = "sample_inputs" in name and name.endswith(".pt")
            b.writestr(name, buffer.getvalue() if inputs else a.read(name))
    _, seen = outcome(["generate", place / "run"])  # nobody names the .pt2
    return not mark.exists(), f"{'EXECUTED' if mark.exists() else 'not executed'}; {seen}"


# b. work that is lost or mixed up, in silence


@case
def b1_two_trainings_at_once_without_out():
    place = fresh()

    def slow(child=place):  # both look before either writes, however busy the machine is
        from interalia.runs.folder import Folder

        os.chdir(child)
        look = Folder.check_free
        Folder.check_free = lambda folder: (look(folder), time.sleep(3))[0]

    argv = ["train", "ali-digits", *SMALL, "--steps", 6, "--checkpoint-every", 2]
    codes = [wait(pid) for pid in [started([*argv, "--seed", s], slow, HOME / f"two{s}.log") for s in (1, 2)]]
    runs = sorted(str(p.parent.relative_to(place)) for p in place.rglob("run.json"))
    return len(runs) == 2 or sorted(map(str, codes)) == ["0", "2"], f"codes {codes}, folders {runs}"


@case
def b2_one_run_resumed_twice_at_once():
    run = copied()
    codes = [wait(pid) for pid in [started(resume(run, 14), None, HOME / f"two{i}.log") for i in (0, 1)]]
    steps = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    right = codes.count(0) == 1 and steps == sorted(set(steps))
    return right, f"codes {codes}, {len(steps)} lines of the log for {len(set(steps))} steps"


def signalled(number):
    place = fresh()
    argv = ["train", "ali-digits", *SMALL, "--steps", 200, "--checkpoint-every", 1000, "--out", place / "run"]
    pid = started(argv, lambda: signal.signal(number, signal.SIG_DFL), HOME / "signal.log")
    log = place / "run/log.jsonl"
    until(pid, lambda: log.exists() and len(log.read_text().splitlines()) >= 3)
    os.kill(pid, number)
    code = wait(pid)
    kept = (place / "run/checkpoints/last.pt").exists()
    return code == 130 and kept, f"code {code}, checkpoint kept: {kept}"


@case
def b3_SIGHUP_the_terminal_is_closed():
    return signalled(signal.SIGHUP)


@case
def b4_SIGUSR1_a_queue_warns_before_it_kills():
    return signalled(signal.SIGUSR1)


@case
def b5_the_reader_of_its_output_goes_away():
    place = fresh()
    out = ["--steps", 20, "--checkpoint-every", 1000, "--out", place / "run"]
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r), os.dup2(w, 1), os.dup2(w, 2)
        from interalia.cli import main

        try:
            main([str(a) for a in ["train", "ali-digits", *SMALL, *out]])
            os._exit(0)
        except SystemExit as stop:
            os._exit(stop.code if isinstance(stop.code, int) else 1)
        except BaseException:
            os._exit(77)
    os.close(w), os.read(r, 10), os.close(r)
    code = wait(pid)
    kept = (place / "run/checkpoints/last.pt").exists()
    return kept, f"code {code}, checkpoint kept: {kept}"


@case
def b6_run_json_is_deleted_while_it_trains():
    run = fresh() / "run"
    pid = started(
        ["train", "ali-digits", *SMALL, "--steps", 20, "--checkpoint-every", 2, "--out", run], None, HOME / "d.log"
    )
    until(pid, (run / "checkpoints/previous.pt").exists)
    (run / "run.json").unlink()
    code = wait(pid)
    right, seen = outcome(resume(run, 22))
    return right and seen.startswith("code 0"), f"training ended with {code}; then --resume: {seen}"


@case
def b7_the_data_change_between_two_sittings():
    import numpy as np

    place, rng = fresh(), np.random.default_rng(0)
    np.save(place / "x.npy", rng.integers(0, 255, (60, 8, 8)).astype(np.uint8))
    argv = ["train", "--data", place / "x.npy", "--batch-size", 8, "--evaluate-every", 0, "--out", place / "run"]
    command([*argv, "--steps", 2])
    np.save(place / "x.npy", rng.integers(0, 255, (80, 8, 8)).astype(np.uint8))
    code, text = command(resume(place / "run", 4))
    said = any(word in text for word in ("chang", "differ", "other data"))
    return code == 2 or said, f"code {code}, a word of it: {said}"


@case
def b8_a_flipped_bit_in_the_weights_numbers():
    run = copied()
    data = bytearray((run / "weights.safetensors").read_bytes())
    data[-2] ^= 0x40
    (run / "weights.safetensors").write_bytes(data)
    return refused(["generate", run])


@case
def b9_a_checkpoint_without_the_average_that_the_run_has():
    return refused(resume(saved(lambda s: s.update(average=None))))


@case
def b10_the_name_dot_dot_writes_into_the_working_folder():
    place = fresh()
    code, _ = command(["train", "ali-digits", "--name=..", *SMALL, "--steps", 0], lambda: os.chdir(place))
    return code == 2, f"code {code}; now in the working folder: {sorted(p.name for p in place.iterdir())}"


@case
def b11_numbers_beyond_float32_become_infinite():
    import numpy as np

    np.save(fresh("data") / "x.npy", np.full((50, 3), 1e300))
    right, seen = refused(trained_on(HOME / "data/x.npy"))
    return right and "loss" not in seen, seen  # the file is to blame, not --rates


# c. crash or hang


@case
def c1_moments_of_another_shape_crash_the_interpreter():
    import torch

    def change(state):
        state["optimisers"]["critic"]["state"][0]["exp_avg"] = torch.zeros(1)

    return refused(resume(saved(change)))


@case
def c2_a_named_pipe_among_the_images():
    os.mkfifo(pictures(fresh("data") / "d") / "x.png")
    return outcome(trained_on(HOME / "data/d"), timeout=20)


# d. memory


@case
def d1_out_of_memory_on_the_CPU_is_a_traceback():
    argv = ["train", "ali-digits", "--latent-dim", 100000, "--networks", "mlp(width=1000000)", "--steps", 1]
    return outcome([*argv, "--out", fresh() / "run"])


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, row = zlib.compressobj(1), bytes(1 + 3 * width)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def loaded(name, **k):
    def load():
        from interalia import data

        return data.load(name, download=False, **k).about

    return load


def bounded(function, most=1.0):
    right, seen = sentence(function)
    peak = float(seen.rsplit("peak ", 1)[1].split()[0]) if "peak " in seen else 0.0
    return right and peak < most, seen


@case
def d2_a_PNG_of_half_a_megabyte_takes_two_gigabytes():
    (pictures(fresh("data") / "d") / "x.png").write_bytes(png(13300, 13300))
    return bounded(loaded(HOME / "data/d", image_size=8), most=1.2)  # its pixels are 0.7 GB in Pillow


@case
def d3_an_entry_of_a_zip_inflates_to_3_GB():
    path = fresh("data") / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, image in enumerate(sorted(pictures(HOME / "data/d").iterdir())):
            archive.writestr(f"{i}.png", image.read_bytes())
        with archive.open("bomb.png", "w", force_zip64=True) as file:
            for _ in range(192):
                file.write(bytes(1 << 24))
    return bounded(loaded(path, image_size=8))


@case
def d4_a_gz_inflates_to_4_GB():
    import gzip

    place = fresh("data") / "mnist"
    place.mkdir()
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        if stem != "train-images-idx3":
            shutil.copy(place / "train-images-idx3-ubyte.gz", place / f"{stem}-ubyte.gz")
            continue
        with gzip.open(place / f"{stem}-ubyte.gz", "wb", 1) as file:
            file.write(struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31 - 1, 28, 28))
            for _ in range(256):
                file.write(bytes(1 << 24))
    return bounded(loaded("mnist", data_dir=HOME / "data"))


@case
def d5_vectors_take_two_and_a_half_times_their_file():
    import numpy as np

    path = fresh("data") / "v.npy"  # 0.5 GB, sparse on disk
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(1_250_000, 107))._mmap.close()
    return bounded(loaded(path), most=0.3 + 1.2 * path.stat().st_size / 2**30)


# e. tracebacks: texts


@case
def e1_a_flipped_bit_in_the_log():
    run = copied()
    data = bytearray((run / "log.jsonl").read_bytes())
    data[20] ^= 0x80
    (run / "log.jsonl").write_bytes(data)
    return outcome(resume(run))


@case
def e2_a_line_of_the_log_whose_step_is_no_number():
    run = copied()
    (run / "log.jsonl").write_text('{"step": "x"}\n')
    return outcome(resume(run))


@case
def e3_nested_JSON():
    run = copied()
    (run / "run.json").write_text("[" * 200_000)
    return refused(["generate", run])


@case
def e4_results_json_with_another_shape():
    run = copied()
    (run / "results.json").write_text('{"measures": [], "training": 5}')
    return outcome(["report", run])


@case
def e5_two_signs_of_health_of_different_length():
    run = copied()
    lines = [
        {"step": i, "health/critic_auc": 0.5, **({"health/critic_auc_held_out": 0.5} if i > 1 else {})}
        for i in (1, 2, 3)
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return outcome(["report", run])


@case
def e6_the_step_of_a_checkpoint_is_a_text():
    return refused(resume(saved(lambda s: s.update(step="x"))))


@case
def e7_the_step_of_a_checkpoint_is_negative():
    return refused(resume(saved(lambda s: s.update(step=-5))))


@case
def e8_metadata_without_a_run():
    return refused(["generate", described(lambda about: about.pop("run") and None)])


@case
def e9_metadata_with_a_shape_that_is_a_number():
    return refused(["generate", described(lambda about: about["data"].update(shape=5))])


@case
def e10_metadata_nested():
    return refused(["generate", described(lambda about: "[" * 100_000)])


@case
def e11_a_deep_expression_in_a_spec():
    return refused(["train", "ali-digits", "--divergence", "gan(smoothing=" + "-" * 5000 + "1)", "--print-config"])


@case
def e12_nested_TOML():
    (fresh("data") / "x.toml").write_text("rates = " + "[" * 5000 + "]" * 5000)
    return refused(["train", HOME / "data/x.toml", "--print-config"])


@case
def e13_a_whole_number_of_6000_digits_in_TOML():
    (fresh("data") / "x.toml").write_text("steps = " + "9" * 6000)
    return refused(["train", HOME / "data/x.toml", "--print-config"])


@case
def e14_NUL_in_a_name():
    (fresh("data") / "x.toml").write_text('name = "a\\u0000b"\nsteps = 1')
    place = HOME / "data"
    code, text = command(["train", HOME / "data/x.toml"], lambda: os.chdir(place))
    return code == 2, f"code {code}: {text.strip().splitlines()[-1][-120:]}"


@case
def e15_the_device_meta():
    return refused(["train", "ali-digits", "--device", "meta", "--steps", 1, "--out", fresh() / "run"])


@case
def e16_a_width_of_minus_1():
    return sentence(lambda: trained(networks="bigan-mlp(width=-1)", image_size=28))


@case
def e17_a_width_of_10_to_the_30():
    return sentence(lambda: trained(penalty=f"r1(every={10**30})"))


@case
def e18_gan_with_an_encoder_that_needs_the_decoder():
    return sentence(lambda: trained(game="gan", encoder="hamiltonian(steps=2)"))


def trained(**fields):
    import interalia

    fields = {"game": "ali", "data": "digits", "latent_dim": 16, "batch_size": 16, **fields}
    interalia.train(interalia.Run(**fields, steps=2, evaluate_every=0), callbacks=[])
    return "trained"


# f. tracebacks: data


@case
def f1_a_file_name_in_Latin_1():
    place = os.fsencode(pictures(fresh("data") / "d"))
    shutil.copy(place + b"/0.png", place + b"/b\xe9.png")
    return outcome(trained_on(HOME / "data/d"))


@case
def f2_a_link_that_leads_nowhere():
    os.symlink("nowhere.png", pictures(fresh("data") / "d") / "x.png")
    return sentence(
        loaded(HOME / "data/d", image_size=8)
    )  # the command line makes a sentence of an OSError, Python does not


@case
def f3_a_negative_shape_in_a_npy():
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (-5, 8, 8)}\n"
    (fresh("data") / "x.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    return refused(trained_on(HOME / "data/x.npy"))


@case
def f4_vectors_of_no_numbers():
    import numpy as np

    np.save(fresh("data") / "x.npy", np.zeros((50, 0), np.float32))
    right, seen = refused(trained_on(HOME / "data/x.npy"))
    return right and "loss" not in seen, seen


# g. the terminal


@case
def g1_escapes_in_a_file_name_reach_the_terminal():
    place = pictures(fresh("data") / "d")
    (place / "x\x1b]0;title\x07\x1b[31m.png").write_bytes(b"no image")
    code, text = command(trained_on(place))
    return "\x1b" not in text and "\x07" not in text, f"code {code}: {text[-150:]!r}"


# controls: what was right and has to stay so


@case
def z1_a_payload_in_a_checkpoint_is_not_executed():
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {HOME / 'EXECUTED'}",)

    run = copied()
    (HOME / "EXECUTED").unlink(missing_ok=True)
    for name in ("last.pt", "previous.pt"):
        (run / "checkpoints" / name).write_bytes(pickle.dumps(Payload()))
    right, seen = refused(resume(run))
    return right and not (HOME / "EXECUTED").exists(), seen


@case
def z2_a_truncated_checkpoint_is_passed_over():
    run = copied()
    whole = command(resume(copied("whole")))[0]
    (run / "checkpoints/last.pt").write_bytes((run / "checkpoints/last.pt").read_bytes()[:1000])
    right, seen = outcome(resume(run))
    bad = differences(HOME / "whole/checkpoints/last.pt", run / "checkpoints/last.pt")
    return right and whole == 0 and not bad, f"{seen}; differs from the unbroken run in {len(bad)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of the cases' names")
    parser.add_argument("--list", action="store_true")
    chosen_by = parser.parse_args()
    chosen = [n for n in CASES if not chosen_by.names or any(part in n for part in chosen_by.names)]
    if chosen_by.list:
        print(*chosen, sep="\n")
        raise SystemExit
    warm(page=any(n.startswith(("e4", "e5")) for n in chosen))
    short = 0
    for name in chosen:
        try:
            right, seen = CASES[name]()
        except Exception as error:
            right, seen = False, f"the case itself failed: {type(error).__name__}: {error}"
        short += not right
        print(f"{'right      ' if right else 'FALLS SHORT'} {name}: {seen} [{USED[0]:.0f} s]", flush=True)
    print(f"{short} of {len(chosen)} fall short")
    raise SystemExit(short > 0)
