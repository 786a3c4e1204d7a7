"""Downloads that are tampered with, broken off, slow, endless, redirected or signed by nobody, from a server of our own: no
wrong file may be kept, and none may be waited for without end. It prints one line a case, "right" or "FALLS SHORT".

Usage: python benchmarks/faults/downloads.py
"""

import hashlib
import http.server
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time

from common import HOME

from interalia.data import downloads

GOOD = os.urandom(3_000_000)
MD5 = hashlib.md5(GOOD).hexdigest()
SECONDS = (
    120  # that a download of this server may take: most of it is waiting, and other programs may use the processor
)
PLACE = HOME / "downloads"
ANSWERS = {"tampered": b"X" + GOOD[1:], "html": b"<html>login</html>", "short": GOOD[:1000]}
mode = "good"
short = 0


class Server(http.server.BaseHTTPRequestHandler):
    """Answers each request as the global variable `mode` names it."""

    def log_message(self, *_):
        """Prints nothing."""

    def do_GET(self):
        if mode == "404":
            return self.send_error(404)
        if mode.startswith("redirect"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd" if "file" in mode else self.path)
            return self.end_headers()
        body = ANSWERS.get(mode, GOOD)
        self.send_response(200)
        if mode != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if mode == "drip":
                for i in range(2000):
                    self.wfile.write(body[i : i + 1])
                    time.sleep(0.5)
            elif mode in ("broken off", "stalled"):
                self.wfile.write(body[:1_500_000])
                time.sleep(1000 if mode == "stalled" else 0)
            else:
                self.wfile.write(body)
                while mode == "endless":
                    self.wfile.write(body)
        except OSError:
            pass


def served(certificate=None):
    """The address of a new server, with TLS if it has a certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certificate}.crt", certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http{'s' * bool(certificate)}://localhost:{server.server_port}/"


def report(name, right, seen):
    global short
    short += not right
    print(f"{'right      ' if right else 'FALLS SHORT'} {name}: {seen}", flush=True)


def is_good():
    return (PLACE / "f.bin").exists() and hashlib.md5((PLACE / "f.bin").read_bytes()).hexdigest() == MD5


def trial(name, mirrors, kept=False, size=None):
    """Downloads into an empty folder a file, whose size is known or None. Right is the good file, if `kept`, else a reason
    and no file at all.
    """
    global mode
    shutil.rmtree(PLACE, ignore_errors=True)
    mode, answers = name.partition(",")[0], []
    fetch = lambda: answers.append(downloads.fetch("f.bin", MD5, mirrors, PLACE, size))  # noqa: E731
    thread = threading.Thread(target=fetch, daemon=True)
    began = time.time()
    thread.start()
    thread.join(SECONDS)
    left = sorted(path.name for path in PLACE.iterdir()) if PLACE.exists() else []
    right = answers == [""] and is_good() if kept else bool(answers and answers[0]) and not left
    report(name, right, f"{answers or 'still at it'} after {time.time() - began:.0f} s; left {left}")


if __name__ == "__main__":
    downloads.TIMEOUT = 3
    address = served()
    trial("good", [address], kept=True)
    trial("good, from the second mirror", ["http://127.0.0.1:1/", address], kept=True)
    for case in "404", "tampered", "html", "short", "broken off", "redirect to file", "redirect loop", "stalled":
        trial(case, [address])
    for case in "drip", "endless":
        trial(case, [address])
    trial("endless, of known size", [address], kept=True, size=len(GOOD))
    trial("good, longer than known", [address], size=len(GOOD) - 1)
    key = HOME / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", f"{key}.crt"]
    subprocess.run([*made, "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
    trial("good, signed by nobody", [served(key)])

    shutil.rmtree(PLACE, ignore_errors=True)
    mode, downloads.TIMEOUT = "stalled", 30
    if not (child := os.fork()):
        downloads.fetch("f.bin", MD5, [address], PLACE)
        os._exit(0)
    time.sleep(4)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for path in PLACE.glob("tmp*"):
        os.utime(path, (0, 0))  # as if it was long ago
    mode = "good"
    downloads.fetch("f.bin", MD5, [address], PLACE)
    left = [path.name for path in PLACE.iterdir()]
    report("killed, then good", left == ["f.bin"], f"left {left}")

    (PLACE / "f.bin").write_bytes(b"evil" + GOOD[4:])
    reason = downloads.fetch("f.bin", MD5, [address], PLACE)
    report("a file that was changed", not reason and is_good(), repr(reason))
    print(f"{short} fall short")
    raise SystemExit(short > 0)
