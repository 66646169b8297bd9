"""Check an exercise again at every save, and go on to the next one when it is solved."""
import queue
import sys
import threading
import time
from contextlib import suppress

from tinyml.exercises.catalogue import find
from tinyml.exercises.student import report

POLL = 0.3    # seconds between two looks at the file
KEYS = "h and Enter: a hint; n and Enter: the next exercise; q and Enter: stop"


class Watch:
    """The file of one exercise after another.

    Parameters
    ----------
    space : Workspace
    name : str, the first exercise
    check : function (name, stop) -> Verdict, which gives up as soon as stop() is true
    say : function (data, text), prints
    """

    def __init__(self, space, name, check, say):
        self.space, self.check, self.say = space, check, say
        self.keys = queue.SimpleQueue()
        self.open(name)

    def open(self, name):
        """Turn to an exercise, and write its file if there is none."""
        self.exercise, self.rung, self.checked = find(name), 0, None
        self.space.start(name)
        path = self.space.path(name)
        self.say({"watching": str(path)}, f"\nWatching {path}: {self.exercise.task}.\n"
                 f"Save it to have it checked. {KEYS}.")

    def listen(self):
        """Read what is typed, beside all else."""
        def read():
            with suppress(OSError, ValueError):    # no standard input, or a closed one
                for line in sys.stdin:
                    self.keys.put(line.strip().lower())
        threading.Thread(target=read, daemon=True).start()

    def stamp(self):
        """What changes when the file is saved, or None if there is no file."""
        path = self.space.path(self.exercise.name)
        return path.stat().st_mtime_ns if path.exists() else None

    def run(self):
        """Look, check, listen, until all is solved or somebody stops it."""
        while True:
            if self.stamp() not in (None, self.checked) and self.check_once():
                following = self.space.next(after=self.exercise.name)
                if following is None:
                    return
                self.open(following)
            elif not self.answer_keys():
                return
            else:
                time.sleep(POLL)

    def check_once(self):
        """Check the file as it is now; return whether it is solved. A new save ends the check."""
        self.checked = stamp = self.stamp()
        verdict = self.check(self.exercise.name, lambda: self.stamp() != stamp)
        if verdict.status == "stopped":
            self.say(verdict.data(), "saved again: the check starts anew")
            return False
        self.say(verdict.data(), f"\n{time.strftime('%H:%M:%S')}  "
                 + report.verdict(verdict, self.exercise, watched=True))
        return verdict.solved

    def answer_keys(self):
        """Do what was typed; return False to stop."""
        while not self.keys.empty():
            key = self.keys.get()
            if key == "q":
                return False
            if key == "h":
                self.rung = min(self.rung + 1, len(self.exercise.hints))
                hint = self.exercise.hints[self.rung - 1]
                self.say({"hint": self.rung, "text": hint},
                         f"Hint {self.rung} of {len(self.exercise.hints)}: {hint}")
            elif key == "n":
                following = self.space.next(after=self.exercise.name, skip=self.exercise.name)
                if following is not None:
                    self.open(following)
            else:
                self.say({"keys": KEYS}, KEYS)
        return True
