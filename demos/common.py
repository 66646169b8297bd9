"""What every demo shares: its command line, its record of numbers and claims, its figure's look.

    demo = start(__file__, __doc__)
    demo.record("test accuracy", accuracy)
    demo.claim("the test accuracy is at least 96 %", accuracy, at_least=0.96)
    demo.finding("an epoch takes at most so many seconds", seconds, at_most=2)
    demo.finish(figure)

A claim is a *law*: it holds for any seed, on any data and on any machine, and a run in which it
does not hold has failed. What depends on the data or the machine is a *finding*: it is reported
beside what was expected.

A demo that asks whether its findings are true of other data takes ``--data``:

    demo = start(__file__, __doc__, data=("digits", "clothes", "mnist", "fashion-mnist"))
    X, y = demo.load()
    demo.finding("the test accuracy is at least 90 %", accuracy, at_least=0.9,
                 why="A shirt and a coat differ by less than two digits.")

The first of these sets is the default. Results on another one are written into its own folder
below that of the results. The texts of findings are the same for all data: `carry_over` puts them
side by side.
"""
import argparse
import ast
import builtins
import io
import json
import math
import sys
import time
from pathlib import Path

import matplotlib.image
import matplotlib.style
import numpy as np
from matplotlib.colors import to_rgb

# With --mine DIR the library is loaded with a student's own pieces in it, which is why this comes first.
_early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
_early.add_argument("--mine", type=Path, metavar="DIR", help="use the exercises that you solved in this folder")
MINE = _early.parse_known_args()[0].mine
if MINE is not None:
    from tinyml.exercises.student.mine import use
    PIECES = use(MINE)

from tinyml.compression.report import table  # noqa: E402
from tinyml.data import breast_cancer, clothes, diabetes, digits, fashion_mnist, mnist  # noqa: E402
from tinyml.files import write  # noqa: E402
from tinyml.progress import progress  # noqa: E402

# Eight colours that readers with any colour vision can tell apart (Okabe and Ito 2008).
OKABE_ITO = {
    "blue": "#0072B2", "vermillion": "#D55E00", "green": "#009E73", "orange": "#E69F00",
    "purple": "#CC79A7", "sky": "#56B4E9", "yellow": "#F0E442", "black": "#000000",
}
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW, BLACK = OKABE_ITO.values()

STYLE = {
    "figure.figsize": (9, 5.4), "figure.titlesize": 14, "figure.titleweight": "bold",
    "figure.constrained_layout.use": True, "figure.constrained_layout.h_pad": 0.1,
    "savefig.dpi": 150, "savefig.bbox": "tight", "savefig.pad_inches": 0.15,
    "font.size": 11, "axes.titlesize": 12, "axes.titlelocation": "left", "axes.titlepad": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "0.4",
    "axes.grid": True, "axes.axisbelow": True, "grid.color": "0.92", "xtick.color": "0.3",
    "ytick.color": "0.3", "axes.prop_cycle": matplotlib.cycler(color=OKABE_ITO.values()),
    "lines.linewidth": 2, "legend.frameon": False,
}

RULES = {    # how a bound reads, and when it holds; NaN compares false, so for NaN never
    "at_least": ("at least {}", lambda value, bound: value >= bound),
    "at_most": ("at most {}", lambda value, bound: value <= bound),
    "above": ("above {}", lambda value, bound: value > bound),
    "below": ("below {}", lambda value, bound: value < bound),
    "within": ("{} to {}", lambda value, low, high: low <= value <= high),
}

SHIPPED = {"digits": digits, "clothes": clothes, "diabetes": diabetes,
           "breast-cancer": breast_cancer}
WHOLE = {"mnist": mnist, "fashion-mnist": fashion_mnist}    # from files, if they are here


def options(doc):
    """The command line that a demo and ``python demos`` have in common."""
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller experiments, a few seconds")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="folder for the results")
    return parser


def start(file, doc, *, data=()):
    """The Demo of a script, from its ``__file__``, its ``__doc__`` and the command line.

    `data` are the names of the sets that it can be run on, written out; the first is the default.
    """
    interactive = hasattr(builtins, "__IPYTHON__")    # a notebook, which has arguments of its own
    parser = argparse.ArgumentParser(parents=[options(doc), _early], conflict_handler="resolve", description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    if data:
        parser.add_argument("--data", choices=data, default=data[0], help=f"the set to run on (default: {data[0]})")
    arguments = parser.parse_known_args()[0] if interactive else parser.parse_args()
    if arguments.mine is not None:
        print(f"{len(PIECES)} pieces of the library are yours: {', '.join(PIECES) or 'none is solved yet'}")
    del arguments.mine
    if not interactive:
        matplotlib.use("Agg")    # draws into files, on machines without a screen too
        sys.excepthook = without_traceback(sys.excepthook)
    matplotlib.style.use(["default", STYLE])
    plain_console()
    if data:
        arguments.out = results_folder(arguments.out, data, arguments.data)
    arguments.out.mkdir(parents=True, exist_ok=True)
    return Demo(Path(file), **vars(arguments))


def results_folder(out, sets, name):
    """Where the results on the set `name` go: those on the first of the `sets` stay in `out` itself."""
    return out if name == sets[0] else out / name


class Demo:
    """One run of a demo: its settings (quick, seed, out, data, rng), its results (numbers, claims)."""

    progress = staticmethod(progress)    # for item in demo.progress(items, "label"):

    def __init__(self, source, *, quick, seed, out, data=None):
        self.stem, self.question = source.stem, question(source)
        self.quick, self.seed, self.out, self.data = quick, seed, out, data
        self.rng = np.random.default_rng(seed)
        self.numbers, self.claims = [], []
        self.begun = time.perf_counter()

    def load(self, most=3000, *, split="train"):
        """X and y of the set `demo.data`, as `tinyml.data` returns them.

        Of mnist and fashion-mnist they are the first `most` images of a split, or all for None, so
        that a demo takes about as long as on digits and clothes, which come whole. Those two have
        no test split: what a demo needs to test, it holds out itself.
        """
        return load(self.data, most, split=split)

    def record(self, name, value, unit=""):
        """Print a number, or an array of numbers, and keep it for the results."""
        self.numbers.append({"name": name, "value": plain(value), "unit": unit})
        print(f"{name:<44}  {show(plain(value))} {unit}".rstrip())

    def reports(self, rows):
        """Print the rows of `tinyml.compression.report.compare` as a table, and keep them for the results."""
        print(table(rows))
        for name, row in rows.items():
            self.numbers += [{"name": f"{name}: {field}", "value": plain(value), "unit": ""}
                             for field, value in row._asdict().items()]

    def claim(self, text, value, **bound):
        """State a law: `value` keeps its bound, or the run fails.

        The bound is one of at_least, at_most, above, below and within=(a, b), or TypeError is raised.
        """
        self.claims.append(judged("claim", "law", text, value, bound))

    def finding(self, text, value, *, why="", **bound):
        """Report `value` beside the bound that is expected of it, as in `claim`; no run fails.

        `why` says in one sentence why it may not hold on other data. A finding about data has one;
        a finding about the machine has none.
        """
        said = judged("finding", "finding", text, value, bound)
        self.claims.append({**said, "why": why} if why else said)

    def save(self, figure, name, **settings):
        """Save a figure, or a part of it, as <name>.png."""
        image = io.BytesIO()
        figure.savefig(image, format="png", **settings)
        write(self.out / f"{name}.png", image.getvalue())

    def save_thumbnail(self, width=640):
        """Save <stem>.png again as <stem>-thumb.png, some `width` pixels wide: means of k x k pixels."""
        pixels = matplotlib.image.imread(self.out / f"{self.stem}.png")[..., :3]
        k = max(1, round(pixels.shape[1] / width))
        rows, columns = pixels.shape[0] // k, pixels.shape[1] // k
        blocks = pixels[:rows * k, :columns * k].reshape(rows, k, columns, k, 3)
        image = io.BytesIO()
        matplotlib.image.imsave(image, blocks.mean(axis=(1, 3)), format="png")
        write(self.out / f"{self.stem}-thumb.png", image.getvalue())

    def finish(self, figure, small=None):
        """Save <stem>.png and <stem>.json, print laws and findings; exit with 1 if a law fails.

        `small` is an axes of the figure that is also saved alone, as <stem>-small.png.
        """
        self.save(figure, self.stem)
        self.save_thumbnail()
        if small is not None:
            inches = figure.dpi_scale_trans.inverted()
            box = small.get_tightbbox().transformed(inches)
            self.save(figure, f"{self.stem}-small", bbox_inches=box.padded(0.1), dpi=75)
        titles = [figure.get_suptitle()] + [ax.get_title("left") for ax in figure.axes]
        seconds = time.perf_counter() - self.begun
        result = {
            "question": self.question, "finding": next(filter(None, titles), self.question),
            "quick": self.quick, "seed": self.seed, "data": self.data, "seconds": round(seconds, 2),
            "numbers": self.numbers, "claims": self.claims}
        text = json.dumps(result, indent=1, allow_nan=False)
        write(self.out / f"{self.stem}.json", text.encode())
        print(*(describe(claim, self.data) for claim in self.claims), sep="\n")
        print(f"{self.out / self.stem}.png and .json written after {seconds:.1f} s")
        if not all_hold(self.claims):
            sys.exit(1 if self.claims else "finish: a demo must claim something, got no claim; "
                     "write demo.claim(text, value, at_least=...)")


def judged(function, kind, text, value, bound):
    """A law or a finding as the results hold it: expected, measured, and whether they agree."""
    if len(bound) != 1 or not bound.keys() <= RULES.keys():
        raise TypeError(f"{function}: bound must be one of {', '.join(RULES)}, got "
                        f"{', '.join(bound) or 'none'}; write {function}(text, value, at_least=...)")
    (name, limits), = bound.items()
    reads, rule = RULES[name]
    value, limits = float(value), np.ravel(limits).tolist()
    return {"kind": kind, "text": text, "expected": reads.format(*map(show, limits)),
            "measured": plain(value), "holds": rule(value, *limits)}


def load(name, most=None, *, split="train"):
    """X and y of a set by its name, at most so many rows of a whole one; it must be here."""
    if name in SHIPPED:
        if split != "train":
            raise ValueError(f'load: split must be "train" for {name}, which has no other, got '
                             f'{split!r}; write train_test_split(X, y, ...)')
        return SHIPPED[name]()
    try:
        X, y = WHOLE[name](split=split)
    except FileNotFoundError:
        function = WHOLE[name].__name__
        print(f"--data {name}: its files are not here; set TINYML_DATA to the folder that has them in "
              f"{name}/, or fetch them once:\n    python -c \"from tinyml.data import {function}; "
              f"[{function}(split=s, download=True) for s in ('train', 'test')]\"", file=sys.stderr)
        sys.exit(2)
    return X[:most], y[:most]


def verdict(claim, data=None):
    """What is said of a law or a finding, and where: on a set, or on this machine."""
    if claim["kind"] == "law":
        return "holds" if claim["holds"] else "DOES NOT HOLD"
    where = f"on {data}" if data else "here"
    return "held" if claim["holds"] else f"did not hold {where}"


def of_kind(claims, kind):
    """Those of the claims that are laws, or findings."""
    return [claim for claim in claims if claim["kind"] == kind]


def all_hold(claims):
    """Whether there are claims, and each law among them holds."""
    return bool(claims) and all(law["holds"] for law in of_kind(claims, "law"))


def describe(claim, data=None):
    """A law or a finding on one line; its verdict is in words, which any console can print.

    Below a finding that did not hold stands why.
    """
    numbers = f"expected {claim['expected']}, measured {show(claim['measured'])}"
    line = f"{verdict(claim, data) + ':':<18} {claim['text']} ({numbers})"
    return line if claim["holds"] or "why" not in claim else f"{line}\n{'':<18} {claim['why']}"


def docstring(source):
    """A demo's docstring, read without running the demo; its name if there is none to be read."""
    try:
        return ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or source.stem
    except SyntaxError:
        return source.stem


def question(source):
    """The first line of a demo's docstring."""
    return docstring(source).splitlines()[0]


def data_sets(source):
    """The sets that a demo can be run on, read without running it; () if it takes no --data."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "start":
            return next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "data"), ())
    return ()


def plain(value):
    """`value` as JSON knows it: arrays become lists, numbers that are not finite become None."""
    value = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    raise TypeError(f"record: value must be a number or an array, got {type(value).__name__}; "
                    "write .item() or .data")


def show(value):
    """A plain value as people write it: 0.9833, 1,797, 2.2e-16, yes, "not finite"."""
    if isinstance(value, list):
        few = value if len(value) <= 8 else [*value[:3], "...", value[-1], f"({len(value)} values)"]
        return " ".join(map(show, few))
    if value is None or isinstance(value, (bool, str)):
        return {None: "not finite", True: "yes", False: "no"}.get(value, value)
    if 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.4g}".replace("e-0", "e-")


def without_traceback(hook):
    """The hook for uncaught errors, but with one line for Ctrl-C, whose place means nothing."""
    def report(kind, error, trace):
        if issubclass(kind, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
        else:
            hook(kind, error, trace)
    return report


def plain_console():
    """Print "?" for a character that a console lacks, and each line at once, into files too."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace", line_buffering=True)


def band(ax, x, samples, **style):
    """Draw the median of `samples` over axis 0 (seeds), a band from 10 to 90 %; return the line.

    `style` goes to ``ax.plot``: color, label, linestyle ...
    """
    low, middle, high = np.percentile(samples, [10, 50, 90], axis=0)
    line, = ax.plot(x, middle, **style)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line


def label_line(ax, line, text, *, dy=0):
    """Write `text` at the right end of a line, in a darker shade of its colour, `dy` points up."""
    x, y = line.get_data()
    end = np.flatnonzero(np.isfinite(y))[-1]
    ax.annotate(text, (x[end], y[end]), xytext=(6, dy), textcoords="offset points", va="center",
                color=[0.65 * part for part in to_rgb(line.get_color())], annotation_clip=False)
