"""The folder of results: one file for each student, and the tables of the class.

Names of students and what they wrote are written so that no system's file names, no terminal and
no spreadsheet takes them for more than words.
"""
import csv
import io
import json
import re
import stat
import unicodedata
from pathlib import Path

from tinyml.exercises.catalogue import CHAPTERS
from tinyml.exercises.student import report as words
from tinyml.files import write

STATE = "grading.json"    # the seed and the homework of the results in a folder
BYTES = 100               # of a name; systems allow 255, some of them fewer
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)    # by Windows
FORMULA = "=+-@\u2212"    # what a spreadsheet computes begins with one of these


class Results:
    """A folder of results.

    Parameters
    ----------
    out : Path
    folder : Path, of the submissions
    title : str, of the homework

    Raises
    ------
    ValueError : the folder holds other things, or the results of another homework
    """
    COLUMNS = ("student", "score", "max_score", "late", "solved", "note")

    def __init__(self, out, folder, title):
        self.out, self.title, self.faults = out, title, []
        here, around = out.resolve(), folder.resolve()
        inside = around in here.parents
        if here == around or inside and here.parent != around:
            raise ValueError(f"out must not be a folder of submissions, got {out}; "
                             "name another one with --out")
        if out.exists() and not out.is_dir():
            raise ValueError(f"out must be a folder, got {out}; name another one with --out")
        self.earlier = _json(out / STATE)
        if out.is_dir() and any(out.iterdir()) and "seed" not in self.earlier:
            raise ValueError(f"out must be a new folder, or one of results, got {out}; "
                             "name another one with --out")
        other = self.earlier.get("title", title)
        if other != title:
            raise ValueError(f"{out} holds the results of {clean(other)!r}; name another folder "
                             "with --out")
        if inside:    # a student might have made it
            self.earlier = {}

    def seed(self):
        """The seed of earlier results, or None."""
        seed = self.earlier.get("seed")
        return seed if type(seed) is int and 0 <= seed < 2**31 else None

    def begin(self, seed, students):
        """Note what is graded, and give every student a place and a name to show."""
        self.shown = apart(students, title_of)
        self.places = apart(students, place_of)
        self.replace(self.out, (STATE,), json.dumps({"title": self.title, "seed": seed}))

    def kept(self, student, fingerprint):
        """The entries of a student that were graded before, if nothing has changed since."""
        if not self.earlier:
            return None
        try:
            path = inside(self.out, "students", self.places[student], "results.json")
        except OSError:
            return None
        extra = _json(path).get("extra_data", {})
        return extra.get("entries") if extra.get("fingerprint") == fingerprint else None

    def save(self, student, fingerprint, row, seed):
        """Write the results of a student; return what is wrong with that, or nothing."""
        result = cells(row, seed)
        result["extra_data"] = {"fingerprint": fingerprint, "entries": row["entries"]}
        parts = "students", self.places[student], "results.json"
        try:
            self.replace(self.out, parts, json.dumps(result, indent=1))
            self.replace(self.out, (*parts[:2], "feedback.txt"), feedback(self.title, row))
        except OSError as error:
            return f"the results could not be written: {error.strerror or error}"
        return ""

    def finish(self, rows, unused, tables):
        """Write the tables of the class; what cannot be written is listed in `faults`."""
        for row in rows:
            row["note"] = clean(row["note"])[:500]
        files = {"grades.csv": table(self.COLUMNS, rows), "grades.txt": listing(rows),
                 "unused.csv": table(("file", "why"), [
                     {"file": title_of(path), "why": why} for path, why in unused]), **tables}
        for name, content in files.items():
            try:
                self.replace(self.out, (name,), content)
            except OSError as error:
                self.faults.append(f"{name} could not be written: {error.strerror or error}")

    @staticmethod
    def replace(out, parts, content):
        """Write a text or bytes below a folder whole or not at all, and never through a link."""
        path = inside(out, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content if isinstance(content, bytes) else content.encode())


def inside(out, *parts):
    """A path below `out`; raises OSError if something on it is a link."""
    path = out
    for part in parts:
        path = path / part
        try:
            linked = stat.S_ISLNK(path.lstat().st_mode)
        except FileNotFoundError:
            linked = False
        if linked:
            raise OSError(f"{path} is a link")
    return path


def cells(row, seed):
    """The results of a student in Gradescope's format."""
    chapters = {e.name: chapter.name for chapter in CHAPTERS for e in chapter.exercises}
    lines = [f"seed {seed}", row["late"], row["note"]]
    lines += [f"not used: {path} ({why})" for path, why in row.get("unused", ())[:20]]
    tests = [{"name": entry["exercise"], "number": str(number), "score": entry["score"],
              "max_score": entry["max_score"], "output": entry["output"],
              "status": "passed" if entry["status"] == "solved" else "failed",
              "tags": [chapters[entry["exercise"]], entry["status"]], "visibility": "visible"}
             for number, entry in enumerate(row["entries"], 1)]
    return {"score": row["score"], "visibility": "visible", "stdout_visibility": "hidden",
            "execution_time": round(sum(e.get("seconds", 0) for e in row["entries"]), 2),
            "output": clean("\n".join(filter(None, lines))), "tests": tests}


def feedback(title, row):
    """The results of a student as a text that the student can be sent."""
    head = [title, f"{row['score']} of {row['max_score']} points", row["late"], row["note"]]
    parts = [f"{entry['score']} of {entry['max_score']} points for {entry['output']}"
             for entry in row["entries"]]
    return clean("\n\n".join(["\n".join(filter(None, head)), *parts])) + "\n"


# ------------------------------------------------------------ names

def apart(names, change):
    """{name: changed name}, all different for every system: for some, capitals do not count."""
    taken, found = set(), {}
    for name in sorted(names):
        short = change(name)
        marks = ["", *(f" ({i})" for i in range(2, len(names) + 2))]
        found[name] = next(short + mark for mark in marks if _folded(short + mark) not in taken)
        taken.add(_folded(found[name]))
    return found


def _folded(name):
    return unicodedata.normalize("NFKC", name).casefold()


def title_of(name):
    """The name of a student as one line that is not too long."""
    return cut(clean(name).replace("\n", "?").replace("\t", " ")) or "?"


def place_of(name):
    """The name of a folder that every system can have."""
    kept = "".join(c if c.isalnum() or c in " ._-'@+()" else "_" for c in clean(name))
    kept = cut(unicodedata.normalize("NFC", kept)).strip(". ") or "_"
    return f"_{kept}" if RESERVED.fullmatch(kept) else kept


def cut(name):
    """The first bytes of a name, whole characters only."""
    return name.encode()[:BYTES].decode("utf-8", "ignore")


def clean(text):
    """Text without control characters and without halves of characters."""
    return words.clean(str(text))


# ------------------------------------------------------------ tables

def table(columns, rows):
    """Rows as CSV, with nothing that a spreadsheet computes, whatever separates its cells."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({key: harmless(row.get(key, "")) for key in columns} for row in rows)
    return text.getvalue()


def harmless(value):
    """A cell; in words, a ' stands before what some spreadsheet would take for a formula."""
    if value is None or isinstance(value, (int, float)):
        return value
    parts = re.split("([;,|])", " ".join(re.split(r"\s", clean(value))))
    return "".join(f"'{part}" if _computes(part) else part for part in parts)


def _computes(cell):
    begin = unicodedata.normalize("NFKC", cell).lstrip(" \"'?\u200b\ufeff")[:1]
    return begin != "" and begin in FORMULA


def read_table(path, *columns):
    """The values of some columns of a CSV file, row by row; nothing if there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
        rows = list(csv.DictReader(io.StringIO(text)))
    except (OSError, csv.Error):
        return
    for row in rows:
        values = [row.get(column) for column in columns]
        if all(isinstance(value, str) for value in values):
            yield values


def listing(rows):
    """The grades as a text."""
    width = max([30, *(len(row["student"]) for row in rows)])
    lines = [f"{row['student']:<{width}} {row['score']:>6} of {row['max_score']:<4} "
             f"{'; '.join(filter(None, [row['late'], row['note']]))}".rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _json(path):
    """The dict in a file, or an empty one."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
