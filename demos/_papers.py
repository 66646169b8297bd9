"""What the papers of the notes report, and the table that puts what is measured beside it."""
import json
import time
from functools import partial
from typing import NamedTuple

import numpy as np
from common import BLUE, GREEN, VERMILLION, plain, show

from tinyml.files import write


class Reported(NamedTuple):
    value: str    # as the paper has it
    data: str     # the network and the data
    where: str    # the table, figure or section of the paper


MNIST = "MNIST"
BIRDS = "VGG-16, Birds-200"
CIFAR = "ResNet18, CIFAR-10"
RESNET = "ResNet-50, ImageNet"
SUBSET = "MNIST, n = 10,000"
BANNER = "the authors' repository, cnn-quantization"
NOWHERE = Reported("", "", "")

REPORTED = {    # by paper, as the page of papers names it, and quantity
    "Belkin 2019": {
        "random features: N / n at the largest test error": Reported("1", SUBSET, "figure 2"),
        "... test error, widest / best with N < n": Reported("below 1", SUBSET, "figure 2"),
        "forest: loss, full trees / best smaller one": Reported("below 1", SUBSET, "figure 4")},
    "Nakkiran 2020": {
        "wrong labels: test error, peak / widest": Reported("above 1", CIFAR, "figure 1"),
        "... peak / best narrower network": Reported("above 1", CIFAR, "figure 1"),
        "... widest network: peak over epochs / end": Reported("above 1", CIFAR, "figure 1"),
        "... on MNIST: peak / best narrower network": Reported("above 1", CIFAR, "figure 1")},
    "Hastie 2022": {
        "simulated risk: largest distance from the curve, %":
            Reported("points on it", "Gaussian, n = 200", "figure 2")},
    "Molchanov 2016": {
        "rank correlation with the oracle: Taylor": Reported("0.73", BIRDS, "table 1"),
        "... mean activation": Reported("0.64", BIRDS, "table 1"),
        "... weight norm": Reported("0.33", BIRDS, "table 1")},
    "Jacob 2018": {
        "integers only: points of accuracy lost": Reported("1.5", RESNET, "table 4.1")},
    "Banner 2019": {
        "4 bits, rounded: points lost": Reported("13.9", RESNET, BANNER),
        "... with the three repairs": Reported("2.8", RESNET, BANNER),
        "2 bits, rounded: points lost": NOWHERE,
        "... 2 bits, with the three repairs": NOWHERE},
    "Denton 2014": {
        "a convolution within 1 point: times faster": Reported("2", "ImageNet", "abstract"),
        "... times fewer multiplications": NOWHERE,
        "... points of test accuracy lost": Reported("below 1", "ImageNet", "abstract"),
        "... in bi-clusters: times faster": Reported("2", "ImageNet", "abstract"),
        "... in bi-clusters: times fewer multiplications": NOWHERE,
        "... in bi-clusters: points lost": Reported("below 1", "ImageNet", "abstract")},
    "Tai 2016": {
        "a network within 1 point: times faster": Reported("2", "VGG-16, ImageNet", "abstract"),
        "... times fewer multiplications": NOWHERE,
        "... points of test accuracy lost": NOWHERE},
    "Han 2016": {
        "LeNet-300-100: times smaller": Reported("40", MNIST, "table 1"),
        "... test error in %, dense": Reported("1.64", MNIST, "table 1"),
        "... test error in %, compressed": Reported("1.58", MNIST, "table 1")},
    "Han 2016, at full size": {
        "LeNet-300-100: times smaller": Reported("40", MNIST, "table 1"),
        "LeNet-300-100: points lost": Reported("-0.06", MNIST, "table 1"),
        "LeNet-5: times smaller": Reported("39", MNIST, "table 1"),
        "LeNet-5: points lost": Reported("-0.06", MNIST, "table 1")},
    "Hinton 2015": {
        "errors per 10,000: teacher": Reported("67", MNIST, "section 3"),
        "... student, by labels alone": Reported("146", MNIST, "section 3"),
        "... student, by its teacher at T = 20": Reported("74", MNIST, "section 3"),
        "... student that never saw a 3": Reported("206", MNIST, "section 3"),
        "... of which on threes": Reported("133", MNIST, "section 3"),
        "... with the bias of 3 raised": Reported("109", MNIST, "section 3"),
        "... of which on threes, bias raised": Reported("14", MNIST, "section 3"),
        "... with the bias set by counting": NOWHERE},
    "Devlin 2019": {
        "masked tokens: accuracy / best possible":
            Reported("GLUE 80.5", "text, 3.3 billion words", "abstract")},
    "He 2020": {"linear probe, accuracy in %": Reported("60.6", RESNET, "table 1")},
    "Chen 2020": {"linear probe, accuracy in %": Reported("69.3", RESNET, "table 6")},
    "Grill 2020": {"linear probe, accuracy in %": Reported("74.3", RESNET, "table 1")},
    "Eldele 2021": {
        "linear probe, accuracy in %": Reported("90.4", "human activity, 9 sensors", "table 2")},
}

TEN_LABELS = "ImageNet cannot be compared: here a probe has ten labels of small digits in all."
REMARKS = {    # what can be compared, and what cannot
    "Belkin 2019": "The same models on the same images; the bandwidth is a rule.",
    "Nakkiran 2020": "Other networks on other images: the shape of the curves can be compared.",
    "Hastie 2022": "Everything can be compared: the data is drawn from a formula.",
    "Han 2016": "The same network on the same images; the retraining is not the same.",
    "Molchanov 2016": "Other networks on other images: the order of the criteria can be compared.",
    "Jacob 2018": "The paper trains with the rounding; here the ranges are set after training.",
    "Banner 2019": "The paper rounds activations too; here it is the weights, of an easier task.",
    "Denton 2014": "The share of the work can be compared; the time depends on the machine.",
    "Tai 2016": "The paper trains pairs from the start; here they are cut, then trained briefly.",
    "Hinton 2015": "The same experiment; the paper also limits weights, and names no epochs.",
    "Devlin 2019": "GLUE cannot be compared: here a known grammar says how good a guess can be.",
    "He 2020": TEN_LABELS,
    "Chen 2020": TEN_LABELS,
    "Grill 2020": TEN_LABELS,
    "Eldele 2021": "The sensors cannot be compared: here a program draws series.",
}


LONG = ("Belkin 2019", "Molchanov 2016", "Jacob 2018", "Banner 2019", "Denton 2014", "Tai 2016",
        "Hinton 2015")    # can be run at full size
NOT_COMPARABLE = "Devlin 2019", "He 2020", "Chen 2020", "Grill 2020", "Eldele 2021"


class Line(NamedTuple):
    """A line of the table: what a paper reports, and what was measured here."""

    paper: str
    what: str
    reported: Reported
    here: float       # None if it was not measured
    data: str
    seeds: str
    minutes: float
    command: str


WHY = "Other images and networks have other numbers."
VERDICTS = {None: ("", "0.5"), True: ("yes", GREEN), False: ("no", VERMILLION)}
COLUMNS = {"paper": 0, "quantity": 0.105, "paper's number": 0.375, "on": 0.455, "here": 0.575,
           "on ": 0.635, "seeds": 0.83, "minutes": 0.875, "same direction?": 0.925}


def elsewhere(folder, stem, name, *, quick):
    """A number or finding whose text has `name`, from what another demo wrote, or None."""
    path = folder / f"{stem}.json"
    if not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["quick"] != quick:
        return None
    found = {number["name"]: number["value"] for number in result["numbers"]}
    found |= {claim["text"]: claim["measured"] for claim in result["claims"]}
    return next((value for text, value in found.items() if name in text), None)


class Table:
    """What was measured, line by line, and whether it has the direction of the paper."""

    def __init__(self, demo, *, at_length):
        """`at_length`: "1" if all of `LONG` are run at full size, or one of them, or ""."""
        self.demo, self.at_length = demo, at_length
        self.lines, self.verdicts = [], {}

    def is_long(self, paper):
        """Whether the experiment of a paper is run at its full size."""
        return paper in LONG and self.at_length in ("1", paper)

    def measure(self, paper, experiment, *, data, seeds=None, needs=None, at_length=None,
                command=None):
        """Run an experiment; record its numbers, and what is needed to check them; return them.

        It is called with what `needs()` makes before the clock starts: else a generator.
        """
        seeds = [self.demo.seed] if seeds is None else seeds
        words = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        at_length = self.is_long(paper) if at_length is None else at_length
        experiment = partial(self.run, experiment, needs or self.generator)
        here, minutes = self.once(f"{paper}: {data}, seed {words}", experiment, keep=at_length)
        size = f'TINYML_LONG="{paper}" ' * at_length
        asked = " --quick" * self.demo.quick + f" --seed {self.demo.seed}" * bool(self.demo.seed)
        command = command or f"{size}python demos/papers.py{asked}"
        for (what, reported), value in zip(REPORTED[paper].items(), here, strict=True):
            self.lines.append(Line(paper, what, reported, value, data, words, minutes, command))
            number, *source = reported
            source = f"(paper: {number}; {', '.join(filter(None, source))})" if number else ""
            self.demo.record(f"{paper}: {what}", "not run" if value is None else value, source)
        self.demo.record(f"{paper}: measured on", f"{data}; seed {words}; {minutes:.1f} minutes")
        self.demo.record(f"{paper}: command", command)
        self.demo.record(f"{paper}: what can be compared", REMARKS[base_name(paper)])
        return here

    def generator(self):
        """The same one for each experiment, so that its numbers are those of its own command."""
        return np.random.default_rng([self.demo.seed, 1])

    def run(self, experiment, needs):
        """What the experiment returns, and its minutes on a free processor."""
        needed = needs()
        wall, processor = time.perf_counter(), time.process_time()
        here = experiment(needed)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        return here, min(wall, processor) / 60

    def once(self, name, run, *, keep):
        """What run() returns; what is kept is written into a file, and is not run again."""
        path = self.demo.out / "papers-long.json"
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if keep and name in kept:
            print(f"{name}: kept in {path}; to measure again, remove it")
            returned, numbers, claims = kept[name]
            self.demo.numbers += numbers
            self.demo.claims += claims
            return returned
        n_numbers, n_claims = len(self.demo.numbers), len(self.demo.claims)
        returned = plain(run())
        if keep:
            kept[name] = returned, self.demo.numbers[n_numbers:], self.demo.claims[n_claims:]
            write(path, json.dumps(kept, indent=1).encode())
        return returned

    def judge(self, paper, line, text, value, *, quick=False, why=WHY, **bound):
        """A finding on a line of a paper: is its direction seen here? Quick runs judge few."""
        if quick or not self.demo.quick:
            self.demo.finding(f"{paper}: {text}", value, why=why, **bound)
            what = list(REPORTED[paper])[line]
            self.verdicts[paper, what] = self.demo.claims[-1]["holds"]

    def draw(self, ax):
        """The table as a picture: a row for every line."""
        ax.set(xlim=(0, 1), ylim=(len(self.lines) + 0.6, -0.5))
        ax.axis("off")
        put = partial(ax.text, va="center", size=9.5)
        for words, x in COLUMNS.items():
            put(x, 0, words.strip(), weight="bold")
        before, place = None, list(REPORTED).index
        lines = sorted(self.lines, key=lambda line: place(line.paper))    # in the order above
        for y, line in enumerate(lines, 1):
            here = "not run" if line.here is None else show(float(f"{line.here:.3g}"))
            apart = line.paper in NOT_COMPARABLE
            number = dict(color="0.5") if apart else dict(weight="bold")
            said, color = VERDICTS[self.verdicts.get((line.paper, line.what))]
            put(COLUMNS["quantity"], y, line.what)
            put(COLUMNS["paper's number"], y, line.reported.value, **number)
            put(COLUMNS["here"], y, here, **number)
            put(COLUMNS["same direction?"], y, "not comparable" if apart else said, color=color)
            if line.paper != before:
                ax.axhline(y - 0.5, color="0.85", lw=1)
                put(COLUMNS["paper"], y, line.paper, color=BLUE)
                put(COLUMNS["on"], y, line.reported.data)
                put(COLUMNS["on "], y, line.data)
                put(COLUMNS["seeds"], y, line.seeds)
                put(COLUMNS["minutes"], y, f"{line.minutes:.1f}" * (line.minutes > 0.05))
            before = line.paper


def base_name(paper):
    """The name without what follows a comma, as in "Han 2016, at full size"."""
    return paper.partition(",")[0]
