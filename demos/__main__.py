"""Run the demos, one on each processor, and build the gallery, a book: ``python demos --quick``.

``python demos --data clothes`` runs those that can be run on this set, and builds a page of its own.
"""
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import _warm
from book.build import write_book
from book.contents import pages
from book.motion import MOTIONS
from book.notebooks import write_notebooks
from book.results import passed
from book.serve import serve
from common import (
    WHOLE,
    data_sets,
    describe,
    load,
    of_kind,
    options,
    plain_console,
    question,
    results_folder,
    write,
)

FOLDER = Path(__file__).resolve().parent
READING_ORDER = [stem for page in pages() for stem in page.demos]


def place(path):
    """Where a demo stands: those of the README's map first, others by name."""
    listed = path.stem in READING_ORDER
    return (READING_ORDER.index(path.stem) if listed else len(READING_ORDER)), path.stem


SOURCES = {path.stem: path for path in sorted(FOLDER.glob("*.py"), key=place)
           if path.stem not in {"common", "panels"} and not path.stem.startswith("_")}
INTERRUPTED = 128 + signal.SIGINT    # the exit code that shells give
TAIL = 12    # lines that are shown of a crash
AT_ONCE = min(4, os.cpu_count() or 1)    # demos that run side by side; more would wait for the memory
# Short ones start last, so that no processor waits at the end for `papers`; the last reads the others' results.
START_LAST = "deploy", "autograd", "digits", "growth", "carry_over"
# On matrices as small as these, threads that wait for one another cost more time than they save; on a
# busy machine ten times more. Set the variables yourself to have it otherwise.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run(source, *, quick, seed, out, data=None):
    """Run one demo in a process of its own; return its results, or why there are none.

    After an interrupt the result is None.
    """
    on = [] if data is None else ["--data", data]
    for suffix in (".json", ".png"):    # what an earlier run left must not pass for this one's
        (folder(out, source, data) / source.stem).with_suffix(suffix).unlink(missing_ok=True)
    begun = time.perf_counter()
    child = _warm.run(source, [*["--quick"] * quick, *on, "--seed", seed, "--out", out])
    if _warm.ENDED.is_set():
        return None
    written = folder(out, source, data) / f"{source.stem}.json"
    result = json.loads(written.read_text(encoding="utf-8")) if written.exists() else None
    if not (result and result["claims"] and child.returncode == (0 if passed(result) else 1)):
        words = child.stderr.strip().splitlines()[-TAIL:] or [
            f"the demo ended with exit code {child.returncode} before demo.finish(figure)"]
        result = {"question": question(source), "quick": quick, "seed": seed, "data": data, "numbers": [],
                  "claims": [], "seconds": time.perf_counter() - begun, "error": "\n".join(words)}
        write(written, json.dumps(result, indent=1).encode())
    return result


def folder(out, source, data):
    """Where the results of a demo are, on a set that it takes or, for None, on its first one."""
    return out if data is None else results_folder(out, sets(source), data)


def sets(source):
    """The sets that a demo can be run on; none if it is not even Python."""
    try:
        return data_sets(source)
    except SyntaxError:
        return ()


def report(result):
    """Verdict, counts and seconds of one demo on a line; below it, what did not hold."""
    laws, findings = (of_kind(result["claims"], kind) for kind in ("law", "finding"))
    counts = [f"{sum(c['holds'] for c in claims)} of {len(claims)} {name}"
              for name, claims in (("laws hold", laws), ("findings held", findings)) if claims]
    verdict = "passed" if passed(result) else "FAILED"
    lines = [f"{verdict}  {', '.join(counts):<40}{result['seconds']:6.1f} s"]
    lines += [line for claim in result["claims"] if not claim["holds"]
              for line in describe(claim, result.get("data")).splitlines()]
    lines += result.get("error", "").splitlines()
    return "\n        ".join(lines)


def command_line():
    """The arguments, and the stems of the demos that they ask for."""
    parser = options(__doc__)
    parser.add_argument("stems", nargs="*", metavar="STEM", help="demos to run (default: all)")
    known = sorted({name for source in SOURCES.values() for name in sets(source)})
    parser.add_argument("--data", choices=known, help="run the demos that take this set, on it")
    parser.add_argument("--motion", action="store_true",
                        help="make the moving pictures too (without --quick they are made anyway)")
    parser.add_argument("--serve", action="store_true",
                        help="run nothing; show the book in the browser, from 127.0.0.1")
    parser.add_argument("--notebooks", type=Path, metavar="DIR",
                        help="run nothing; write the demos as Jupyter notebooks into this folder")
    arguments = parser.parse_args()
    data = arguments.data
    unknown = [stem for stem in arguments.stems if stem not in SOURCES]
    if unknown:
        parser.error(f"no demo is called {', '.join(unknown)}; there are {', '.join(SOURCES)}")
    takers = [stem for stem, source in SOURCES.items() if data is None or data in sets(source)]
    others = [stem for stem in arguments.stems if stem not in takers]
    if others:
        parser.error(f"not every demo takes --data {data}: {', '.join(others)}; {', '.join(takers)} do")
    return arguments, list(dict.fromkeys(arguments.stems)) or takers


def move(name, arguments):
    """Make one of the moving pictures, in a process of its own; return whether that went well."""
    child = _warm.run(FOLDER / "_motion.py", [name, "--seed", arguments.seed, "--out", arguments.out])
    if child.returncode and not _warm.ENDED.is_set():
        print(f"the motion {name} failed", *child.stderr.strip().splitlines()[-TAIL:], sep="\n        ")
    return child.returncode == 0


def run_all(stems, arguments):
    """Run the demos, print a line for each, and write the book; return the exit code."""
    data, motions = arguments.data, []
    if arguments.motion or not (arguments.quick or arguments.stems or data):
        motions = list(MOTIONS)
    places = sorted({folder(arguments.out, SOURCES[stem], data) for stem in stems})
    for place in places:
        place.mkdir(parents=True, exist_ok=True)

    def one(stem):
        return run(SOURCES[stem], quick=arguments.quick, seed=arguments.seed, out=arguments.out, data=data)

    def write_books():
        """The books of the folders with new results; the path of the last, which is out/<data> if there is one."""
        return [write_book(place, SOURCES.values(), None if place == arguments.out else data)
                for place in places][-1]

    first = [stem for stem in stems if stem not in START_LAST]
    last = [stem for stem in START_LAST if stem in stems]
    good = 0
    pool = ThreadPoolExecutor(AT_ONCE)    # a thread has nothing to do but to wait for its demo
    try:
        begun = {stem: pool.submit(one, stem) for stem in (*first, *last)}
        moved = pool.map(move, motions, [arguments] * len(motions))
        for number, stem in enumerate(stems, 1):
            result = begun[stem].result()
            print(f"{number:>3}/{len(stems)}  {stem:<{max(map(len, stems))}}  {report(result)}", flush=True)
            good += passed(result)
        moved = list(moved)
        page = write_books()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)    # a second Ctrl-C while the demos end
        pool.shutdown(wait=False, cancel_futures=True)
        _warm.end_all()
        pool.shutdown()
        page = write_books()
        print(f"interrupted; what was finished is on {page.resolve()}", file=sys.stderr)
        return INTERRUPTED
    print(f"{good} passed, {len(stems) - good} failed\n{page.resolve()}")
    return int(not stems or good < len(stems) or not all(moved))


def main():
    arguments, stems = command_line()
    plain_console()
    if arguments.notebooks:
        made = write_notebooks(arguments.notebooks, [SOURCES[stem] for stem in stems])
        print(f"{len(made)} notebooks in {arguments.notebooks.resolve()}")
    elif arguments.serve:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_book(arguments.out, SOURCES.values(), arguments.data)
        serve(arguments.out)
    else:
        if arguments.data in WHOLE:
            load(arguments.data, split="test")    # if it is not here, it is said once, not by every demo
        os.environ.update({**ONE_THREAD, **os.environ})
        sys.exit(run_all(stems, arguments))


if __name__ == "__main__":
    main()
