"""The student's own folder: one plain file per exercise, and a cache of what was solved.

Only files with names of exercises are read. An existing file is never overwritten; `reset` moves
it to backups/ first.
"""
import hashlib
import json
import os
import time
from pathlib import Path

from tinyml.exercises.catalogue import CHAPTERS, exercises
from tinyml.exercises.student.stub import RUN, is_stub, stub_text
from tinyml.exercises.walls.screen import Refused, load, piece, read
from tinyml.files import write

DEFAULT = "tinyml-exercises"
CACHE = ".progress.json"
BAR = 20    # characters of a full bar


class Workspace:
    """The folder of a student.

    Parameters
    ----------
    folder : path, or None for the environment variable TINYML_EXERCISES, else tinyml-exercises
    """

    def __init__(self, folder=None):
        here = "." if Path.cwd().name == DEFAULT else DEFAULT
        self.folder = Path(folder or os.environ.get("TINYML_EXERCISES") or here)

    def path(self, name):
        """The file of an exercise."""
        return self.folder / f"{name}.py"

    def text(self, name):
        """What the student wrote; raises FileNotFoundError with what to do."""
        try:
            return load(self.path(name))
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no {self.path(name)} yet; write: {RUN} start {name}"
                                    ) from None

    def start(self, name, text=None):
        """Write the stub of an exercise, or another text; return whether there was no file."""
        path = self.path(name)
        if path.exists():
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        write(path, (text or stub_text(exercises()[name])).encode())
        return True

    def reset(self, name):
        """Put the stub back; return where the student's file is kept, or None."""
        path, kept = self.path(name), None
        if path.exists():
            kept = self._free(name)
            kept.parent.mkdir(exist_ok=True)
            path.rename(kept)
        self.start(name)
        return kept

    def _free(self, name):
        stamp = time.strftime("%Y-%m-%d-%H%M%S")
        candidates = (self.folder / "backups" / f"{name}.{stamp}{suffix}.py"
                      for suffix in ["", *(f".{i}" for i in range(1, 1000))])
        return next(path for path in candidates if not path.exists())

    # -------------------------------------------------------- progress

    def state(self, name):
        """ "not started", "unwritten", "unchecked", or what the last check of this text said."""
        if not self.path(name).exists():
            return "not started"
        text = self.text(name)
        known = self._cache().get(name, {}).get(_hash(text))
        if known:
            return known
        try:
            return "unwritten" if is_stub(piece(read(text), exercises()[name])) else "unchecked"
        except Refused:
            return "unchecked"

    def remember(self, verdict, text):
        """Note a verdict for `state`; a lost note costs no more than another check."""
        cache = self._cache()
        cache.setdefault(verdict.exercise, {})[_hash(text)] = verdict.status
        replace(self.folder / CACHE, json.dumps(cache, indent=1))

    def _cache(self):
        try:
            cache = json.loads((self.folder / CACHE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cache if isinstance(cache, dict) else {}

    def states(self):
        """{name: state} of all exercises, in their order."""
        return {name: self.state(name) for name in exercises()}

    def finished(self, without=None):
        """(name, text, file) of every solved piece but one."""
        return [(name, self.text(name), str(self.path(name)))
                for name, state in self.states().items()
                if state == "solved" and name != without]

    def next(self, after=None, skip=None):
        """The first exercise, from one on, that is open and whose prerequisites are solved."""
        states, names = self.states(), list(exercises())
        begin = names.index(after) if after else 0
        for name in names[begin:] + names[:begin]:
            if name != skip and states[name] != "solved" and not self.missing(name, states):
                return name
        return None

    def current(self):
        """The exercise that was saved last and is not solved, or the next one."""
        begun = [name for name, state in self.states().items()
                 if state not in {"solved", "not started"}]
        latest = max(begun, key=lambda name: self.path(name).stat().st_mtime_ns, default=None)
        return latest or self.next()

    def missing(self, name, states=None):
        """The exercises to do before that are not solved."""
        states = states or self.states()
        return [other for other in exercises()[name].after if states[other] != "solved"]

    def bars(self):
        """One line per chapter: a bar, how many are solved, the title."""
        states = self.states()
        for chapter in CHAPTERS:
            done = sum(states[e.name] == "solved" for e in chapter.exercises)
            full = BAR * done // len(chapter.exercises)
            bar, count = "#" * full + "." * (BAR - full), len(chapter.exercises)
            yield f"[{bar}] {done:>2} of {count:>2}  {chapter.title}"


def replace(path, text):
    """Write a text whole or not at all, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, text.encode())


def _hash(text):
    return hashlib.sha256(text.encode()).hexdigest()
