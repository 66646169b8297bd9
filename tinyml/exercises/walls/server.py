"""The server: a process that has imported everything, and runs each answer in a copy of itself.

    python -m tinyml.exercises.walls.server PARENT    messages on stdin and stdout

NumPy, pytest, hypothesis and the library take most of a second to import, and the tests of an
exercise are the same for a whole class. So the server imports them once, collects the tests from
the reference, tells the parent which there are, and forks for each answer. It sees no answer and
no key: the copy reads its request itself, signs its report with the key in it, and ends. Where a
process cannot be copied (Windows), the server answers one request itself, and ends.

The order matters. Before any of the student's code runs, the parent knows which tests there must
be, the pipes are closed, the key is a local of one function, and the limits are set.
"""
import gc
import hashlib
import hmac
import json
import os
import sys
import tempfile

import hypothesis
from hypothesis import strategies

from tinyml.exercises.catalogue import find
from tinyml.exercises.student import replay
from tinyml.exercises.walls import runner
from tinyml.exercises.walls.limits import end_in_time, end_with
from tinyml.exercises.walls.messages import receive, send, write

HOME = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP")    # what a scratch folder takes the place of


class Known:
    """What the server knows of the reference, computed once for all answers."""

    def __init__(self):
        self.tests = {}      # exercise -> the ids of its tests
        self.again = set()   # exercises that were asked for more than once
        self.tools = self.library = None

    def learn(self, exercise):
        """Collect the tests of an exercise; if more answers come, make its mistakes ready too."""
        name = exercise.name
        if name not in self.tests:
            self.tests[name] = runner.collect(exercise.tests)
            runner.in_a_copy(no_law)
            self.tools = runner.fingerprint(runner.TOOLS)
            self.library = runner.codes(runner.library())
        elif name not in self.again:
            self.again.add(name)
            replay.make_ready(exercise)
        else:
            return
        gc.collect()
        gc.freeze()    # the copies share what is there


def no_law():
    """Run hypothesis once: it notes the constants in the library's source in a file for us all."""
    @hypothesis.settings(database=None, max_examples=1)
    @hypothesis.given(strategies.integers())
    def nothing(n):
        pass

    nothing()


def main(parent):
    """Answer requests until the parent closes the pipe."""
    end_with(parent)
    inbox, outbox = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)    # what the tests print goes nowhere
    for stream in (0, 1):
        os.dup2(nothing, stream)
    known = Known()
    while (subject := receive(inbox)) is not None:
        exercise = find(subject["exercise"])
        known.learn(exercise)
        send(outbox, known.tests[exercise.name])
        server = os.getpid()
        copy = os.fork() if hasattr(os, "fork") else 0
        if not copy:
            try:
                answer_one(known, exercise, server, inbox, outbox)
            finally:
                end()
        send(outbox, os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]))


def answer_one(known, exercise, server, inbox, outbox):
    """Read the request that only this copy reads, and answer it, signed."""
    request = receive(inbox)
    os.close(inbox)
    os.close(outbox)
    key, scratch = bytes.fromhex(request.pop("key")), request.pop("scratch")
    end_in_time(request.pop("end"), server)
    os.chdir(scratch)
    os.environ.update(dict.fromkeys(HOME, scratch))
    tempfile.tempdir = None    # it is looked up again
    out, err = (os.open(os.path.join(scratch, name), os.O_WRONLY) for name in ("out", "err"))
    os.dup2(err, 2)

    def answer(report):
        text = json.dumps(report).encode()
        write(out, hmac.new(key, text, hashlib.sha256).hexdigest().encode() + b" " + text)

    def answer_and_end(report):
        answer(report)
        os._exit(0)

    if request["do"] == "check":
        files = {piece["file"] for piece in request["pieces"]}
        runner.watch_the_clock(request["limits"]["call"], files, answer_and_end)
    answer({"check": runner.check, "gate": runner.gate}[request["do"]](request, exercise, known))


def end():
    """End this process as Python ends: with what it has to say of an error, and nothing else."""
    error = sys.exc_info()[0]
    if error is not None:
        sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    os._exit(1 if error else 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
