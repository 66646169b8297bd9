"""The parent's end of a server: ask it, end it in time, and believe signed reports only.

Each thread that asks has a server of its own, started when it first asks and ended with the
thread. It goes on to the next request only if the last one was answered and signed.
"""
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from queue import Empty, SimpleQueue

from tinyml.exercises.student.stub import ROOT
from tinyml.exercises.walls.messages import receive, send

LIMITS = {"seconds": 20, "megabytes": 3072, "call": 10}    # "call": seconds of one call
PATIENCE = 10    # times the seconds of computing, on the clock: the machine may be busy
START = 30       # seconds more on the clock, for the imports
LOOK = 0.1       # seconds between two looks at a child that may be stopped
_mine = threading.local()


class GivenUp(Exception):
    """Why a request was given up: "timeout" or "stopped"."""


def ask(request, patience=PATIENCE, stop=None):
    """What a copy of the server answers to a request.

    Parameters
    ----------
    request : dict with "do", "exercise" and what that needs, see `runner`
    patience : float, times the limit of computing until it is given up, on the clock
    stop : function () -> bool, or None; as soon as it says True, the request is given up

    Returns
    -------
    (report or None, why there is none, ids of the tests that there are)
    """
    seconds = request.get("limits", LIMITS)["seconds"] * patience + START
    wait = Wait(time.monotonic() + seconds, stop)
    signed, tests = False, []
    try:
        server, tests = _server_that_knows(request["exercise"], wait)
        text, reason = server.answer(request, seconds + START, wait)
        signed = text is not None
        return (json.loads(text) if signed else None), reason, tests
    except GivenUp as error:
        return None, str(error), tests
    finally:    # whatever happens here, no child is left
        if not signed:
            _forget()


def _server_that_knows(name, wait):
    """(this thread's server, the ids of the tests of an exercise), by a new one if need be."""
    server = getattr(_mine, "server", None)
    if server is not None and server.owner == os.getpid():    # not a fork's, of its parent
        tests = server.learn(name, wait)
        if tests is not None:
            return server, tests
    _forget()
    server = _mine.server = Server()
    tests = server.learn(name, wait)
    if tests is None:
        raise ChildProcessError(f"check: the tests cannot be collected: {server.last_words()}")
    return server, tests


def _forget():
    """End this thread's server, if it has one."""
    server = vars(_mine).pop("server", None)
    if server is not None:
        server.end()


class Wait:
    """Until when to wait for news, and what may stop that."""

    def __init__(self, deadline, stop=None):
        self.deadline, self.stop = deadline, stop

    def slice(self):
        """Seconds until the next look; raises GivenUp if there are none left."""
        if self.stop is not None and self.stop():
            raise GivenUp("stopped")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise GivenUp("timeout")
        return min(left, LOOK) if self.stop is not None else left


class Server:
    """A process that answers requests, each in a copy of itself; see `walls.server`."""

    def __init__(self):
        self.owner = os.getpid()
        self.scratch = tempfile.mkdtemp(prefix="tinyml-")
        with open(os.path.join(self.scratch, "err"), "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-B", "-m", "tinyml.exercises.walls.server", str(self.owner)],
                cwd=self.scratch, env=environment(self.scratch), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=err, bufsize=0,
                start_new_session=True)    # a group of processes, so that its copies end with it
        self.news = SimpleQueue()
        threading.Thread(target=_listen, args=(self.process.stdout, self.news),
                         daemon=True).start()
        # At the latest with the thread that asks, or with this process.
        self.end = weakref.finalize(self, _end, self.process, self.scratch, self.owner)

    def learn(self, name, wait):
        """The ids of the tests of an exercise, which the server collects; None if it has ended."""
        return self._next(wait) if self._send({"exercise": name}) else None

    def answer(self, request, seconds, wait):
        """(the signed report as JSON, or None; why there is none)."""
        key = secrets.token_bytes(32)
        scratch = tempfile.mkdtemp(prefix="tinyml-")
        try:
            # Files, not pipes: their size is limited, and nobody can keep them open and us waiting.
            out, err = (open(os.path.join(scratch, name), "w+b") for name in ("out", "err"))
            with out, err:
                self._send({**request, "key": key.hex(), "end": seconds, "scratch": scratch})
                code = self._next(wait)
                if code is None and hasattr(os, "fork"):    # not by the answer, which cannot
                    raise ChildProcessError(f"check: its server ended: {self.last_words()}")
                if code is None:    # without forks it ends, as it should
                    code = self._wait_for_end(wait)
                said, error = (file.seek(0) or file.read() for file in (out, err))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        mark, _, text = said.partition(b" ")
        signature = hmac.new(key, text, hashlib.sha256).hexdigest().encode()
        if hmac.compare_digest(signature, mark):
            return text, ""
        return None, _ending(code, error.decode("utf-8", "replace"))

    def last_words(self):
        """What it wrote when it ended."""
        with open(os.path.join(self.scratch, "err"), encoding="utf-8", errors="replace") as file:
            return (file.read().strip().splitlines() or ["it said nothing"])[-1][:200]

    def _send(self, message):
        """Send a message; False if nobody reads it any more, and what it said tells why."""
        try:
            send(self.process.stdin.fileno(), message)
        except OSError:
            return False
        return True

    def _next(self, wait):
        """The next message of the server; None if it has ended."""
        while True:
            with suppress(Empty):
                message = self.news.get(timeout=wait.slice())
                if message is None:    # for good: whoever asks again is told the same
                    self.news.put(None)
                return message

    def _wait_for_end(self, wait):
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=wait.slice())


def _listen(pipe, news):
    """Pass on the messages in a pipe; None when it is closed."""
    with pipe:
        while (message := receive(pipe.fileno())) is not None:
            news.put(message)
    news.put(None)


def _end(process, scratch, owner):
    """End a server and its copies, unless this process is itself a copy of the one that owns it."""
    if os.getpid() != owner:
        return
    if process.poll() is None:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.wait()
    process.stdin.close()
    shutil.rmtree(scratch, ignore_errors=True)


def _ending(code, error):
    if code in (-24, -9, 152, 137):    # SIGXCPU, or SIGKILL at the hard limit
        return "timeout"
    last = error.strip().splitlines()[-1:] or [""]
    return f"it ended before it was checked (exit code {code}) {last[0][:200]}".strip()


def environment(scratch):
    """The environment of a child: this package, one thread, a scratch folder for all else."""
    passed_on = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")
    kept = {key: os.environ[key] for key in passed_on if key in os.environ}
    places = {key: scratch for key in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")}
    threads = {key: "1" for key in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**kept, **places, **threads, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1",
            "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
