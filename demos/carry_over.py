"""Is it the method, or the data that it was tried on?

A claim that was only ever tested on handwritten digits may be one about handwritten digits. Every
demo that takes --data states its findings with bounds that were set on its first set. Here they
stand side by side: every finding on every set, with several seeds.

You will see in one glance what carries over: a square for every finding on every set. Below are
those that did not hold everywhere: the mean over the seeds of what was measured, and its range.

Predict first: which findings of 10.1 to 10.3 would you trust on images of clothes? Those about a
theorem's consequence, those about a ranking of methods, or those about "how much"?

    python demos/carry_over.py             shows what results there are in gallery/
    python demos/carry_over.py --run       first runs what is missing, in an hour or two
"""
# %% Constants
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from common import BLUE, ORANGE, SKY, VERMILLION, WHOLE, all_hold, data_sets, load, start

RUN = "--run" in sys.argv
sys.argv = [argument for argument in sys.argv if argument != "--run"]
demo = start(__file__, __doc__)
SEEDS = 0, 1, 2
DEMOS = Path(__file__).parent
ORDER = ["digits", "clothes", "mnist", "fashion-mnist"]    # columns; other sets follow by name


# %% Results: one JSON file for a demo, a set and a seed; of several the newest counts
class Run(NamedTuple):
    stem: str
    data: str
    seed: int


def results():
    """The results of full runs, or of quick ones with --quick, of all demos that take --data."""
    found = {}
    for path in sorted(demo.out.rglob("*.json"), key=lambda path: path.stat().st_mtime):
        result = json.loads(path.read_text(encoding="utf-8"))
        if result.get("data") and result.get("claims") and result["quick"] == demo.quick:
            found[Run(path.stem, result["data"], result["seed"])] = result["claims"]
    return found


# %% What is missing can be run; a set that is not here is left out
def run_missing():
    sets = {path.stem: data_sets(path) for path in DEMOS.glob("[!_]*.py")}
    for name in dict.fromkeys(name for names in sets.values() for name in names):
        try:
            load(name, split="test") if name in WHOLE else None
        except SystemExit:    # it has said what to type
            continue
        for seed in SEEDS:
            there = results()
            stems = [stem for stem in sets if name in sets[stem] and Run(stem, name, seed) not in there]
            if stems:
                print(f"{name}, seed {seed}")
                subprocess.run([sys.executable, DEMOS, *["--quick"] * demo.quick, "--data", name, "--seed", str(seed),
                                "--out", demo.out / "seeds" / str(seed), *stems])


if RUN:
    run_missing()

# %% The findings about data, by demo and text: on every set a list of (holds, measured) over seeds
runs = results()
table, laws = defaultdict(lambda: defaultdict(list)), []
for run, claims in runs.items():
    laws.append(all_hold(claims))
    for claim in claims:
        if "why" in claim:
            key = run.stem, f"{claim['text']}: {claim['expected']}"
            measured = np.nan if claim["measured"] is None else claim["measured"]
            table[key][run.data].append((claim["holds"], measured))

names = {run.data for run in runs}
columns = [name for name in ORDER if name in names] + sorted(names - set(ORDER))
stems = sorted({run.stem for run in runs})
rows = sorted(table, key=lambda row: stems.index(row[0]))    # within a demo in its own order
demo.record("runs of demos", len(runs))
demo.record("findings", len(rows))
demo.claim("no law of any demo failed on any set (runs in which one did)", laws.count(False),
           at_most=0)


# %% A cell: in how many runs a finding held, and what was measured
class Cell(NamedTuple):
    held: int
    runs: int
    mean: float
    least: float
    most: float


def cell(samples):
    holds, measured = zip(*samples)
    return Cell(sum(holds), len(holds), float(np.mean(measured)), min(measured), max(measured))


cells = {(row, name): cell(table[row][name]) for row in rows for name in columns if table[row][name]}
for (row, name), found in cells.items():
    demo.record(f"{row[0]} on {name}: {row[1]}", [found.mean, found.least, found.most],
                f"(mean, least, most); held in {found.held} of {found.runs}")

# %% Does it carry over? Findings that were tried on more than one set
tried = [row for row in rows if sum((row, name) in cells for name in columns) > 1]
carry = [row for row in tried
         if all(cells[row, name].held == cells[row, name].runs for name in columns if (row, name) in cells)]
demo.record("findings that were tried on more than one set", len(tried))
demo.record("and held on all of them, with all seeds", len(carry))

# %% Where a set stands: the sets of images have a column each, those of one demo share three
images = [name for name in ORDER if name in names]
of_stem = {stem: [row for row in rows if row[0] == stem] for stem in stems}
sets_of = {stem: [name for name in columns if any((row, name) in cells for row in of_stem[stem])] for stem in stems}
WIDTH = len(images) + 3


def column(stem, name):
    own = [other for other in sets_of[stem] if other not in images]
    return images.index(name) if name in images else len(images) + own.index(name)


def look(found):
    """Colour and words of a cell."""
    numbers = f"{found.mean:.3g}"
    if found.runs > 1:
        numbers += f" [{found.least:.3g}, {found.most:.3g}]"
    if found.held == found.runs:
        return BLUE, f"✓ {numbers}"
    return (VERMILLION, f"✗ {numbers}") if found.held == 0 else (ORANGE, f"{found.held}/{found.runs} {numbers}")


# %% Figure: a square for every finding; below, in numbers, those that did not hold everywhere
failed = [row for row in rows if row in tried and row not in carry]
heights = [1.2 * max(len(stems), 2), max(len(failed), 2)]
figure, (squares, numbers) = plt.subplots(2, 1, figsize=(22, 3 + 0.22 * sum(heights)), height_ratios=heights)
if tried:
    title = f"{len(carry)} of {len(tried)} findings held on every set, with every seed"
elif rows:
    title = f"{len(rows)} findings on one set; no other was tried yet"
else:
    title = "No results to compare yet"
figure.suptitle(title)
most = max(map(len, of_stem.values()), default=1)
side = 0.94 / most
for y, stem in enumerate(stems):
    for name in sets_of[stem]:
        x = column(stem, name) - 0.47
        for i, row in enumerate(of_stem[stem]):
            if (row, name) in cells:
                color, _ = look(cells[row, name])
                squares.add_patch(plt.Rectangle((x + i * side, y - 0.1), 0.85 * side, 0.5, color=color, linewidth=0))
        if name not in images:
            squares.text(x, y - 0.22, name, va="bottom", fontsize=7.5, color="0.35")

# %% ... and the numbers
for y, row in enumerate(failed):
    for name in sets_of[row[0]]:
        if (row, name) in cells:
            x, (color, words) = column(row[0], name), look(cells[row, name])
            numbers.add_patch(plt.Rectangle((x - 0.47, y - 0.42), 0.94, 0.84, color=color, alpha=0.25, linewidth=0))
            numbers.text(x, y, words if name in images else f"{name}: {words}", ha="center", va="center",
                         fontsize=8 if name in images else 7)

# %% Axes
for ax, labels in ((squares, stems), (numbers, [f"{row[0]}: {row[1]}" for row in failed])):
    ax.set(xlim=(-0.5, WIDTH - 0.5), ylim=(max(len(labels), 2) - 0.4, -0.6))
    ax.set_xticks(range(WIDTH), [*images, "the demo's own sets", "", ""], fontweight="bold")
    ax.set_yticks(range(len(labels)), labels, fontsize=8.5)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
squares.set_xlabel("a square for every finding: blue, it held with all seeds; orange, with some; red, with none")
numbers.set_xlabel("✓ held with all seeds, 1/3 with one of three, ✗ with none; mean of what was measured [range over the seeds]")
if not columns:
    squares.text(WIDTH / 2 - 0.5, 0.5, "write: python demos/carry_over.py --run", ha="center", fontsize=13,
                 bbox=dict(boxstyle="round", facecolor=SKY, alpha=0.3, linewidth=0))
demo.finish(figure)
