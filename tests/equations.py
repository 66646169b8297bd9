"""The equations of the lecture notes, and the lines of the library that are tagged with them.

A tag is a comment at the end of a line, such as ``# notes 10.1.2, minimum norm``. The README's index of equations is
made from the tags: `python tests/equations.py` writes it anew.
"""
import ast
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
STATEMENTS = {
    "notes 10.1.1, squared bias": "E (E f(x) - f*(x))²",
    "notes 10.1.1, variance": "E Var f(x)",
    "notes 10.1.1, risk": "bias² + variance + σ²",
    "notes 10.1.2, linear model": "y = Xβ* + ε",
    "notes 10.1.2, ordinary least squares": "(X'X)⁻¹X'y",
    "notes 10.1.2, interpolation threshold": "X⁻¹y",
    "notes 10.1.2, minimum norm": "X⁺y = V diag(1/s) U'y",
    "notes 10.1.2, gradient descent": "β ← β - lr X'(Xβ - y)",
    "notes 10.1.3, training risk": "R_train(t)",
    "notes 10.1.3, test risk": "R_test(t)",
    "notes 10.1.3, t_min and t_int": "the lowest R_test up to t_int, the first t with R_train = 0",
    "notes 10.2.1, pruned loss": "L(θ ⊙ m)",
    "notes 10.2.1, budget": "the k largest magnitudes stay",
    "notes 10.2.1, threshold mask": "m = 1 where the magnitude of θ is at least τ",
    "notes 10.2.1, sparse forward": "only nonzero weights are multiplied",
    "notes 10.2.2, codes": "q = round(θ / Δ)",
    "notes 10.2.2, dequantized": "θ̂ = Δq",
    "notes 10.2.2, quantization-aware forward": "ℓ(f(x; Q(θ)), y)",
    "notes 10.2.2, straight-through": "∂L/∂θ ≈ ∂L/∂θ̂",
    "notes 10.2.3, low rank": "W ≈ UV'",
    "notes 10.2.3, cost": "r(m + n) against mn",
    "notes 10.2.4, softened probabilities": "softmax(z / T)",
    "notes 10.2.4, distillation loss": "(1 - α) CE + α T² KL",
    "notes 10.3, features": "z = f(x)",
    "notes 10.3, task head": "min over φ of mean ℓ(g(z), y), and a penalty",
    "notes 10.3, deployed model": "g(f(x))",
    "notes 10.3.1, mask positions": "int(nρ) positions at random",
    "notes 10.3.1, corrupted input": "[MASK] at i in M, otherwise x_i",
    "notes 10.3.1, encode": "z = f(x̃)",
    "notes 10.3.1, reconstruct": "x̂ = g(z)",
    "notes 10.3.1, masked loss": "ℓ(x̂_i, x_i) over i in M",
    "notes 10.3.2, two views": "T_i(x), T_j(x)",
    "notes 10.3.2, cosine similarity": "u'v / (‖u‖ ‖v‖)",
    "notes (10.1), NT-Xent": "-log of exp(sim / T) over the sum over k ≠ i",
}
BEGIN, END = "<!-- equations: made by tests/equations.py -->", "<!-- end of equations -->"


class Tag(NamedTuple):
    """Where an equation stands: file, line, and the function or class around it."""

    key: str
    path: str
    line: int
    name: str


def tags():
    """Every tag in the library, in the order of files and lines."""
    for path in sorted((ROOT / "tinyml").rglob("*.py")):
        if "exercises" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        found = [(number, match[1].strip()) for number, line in enumerate(text.splitlines(), 1)
                 if (match := re.search(r"#\s*(notes [^\n]+)$", line))]
        for number, key in found:
            yield Tag(key, path.relative_to(ROOT).as_posix(), number, enclosing(ast.parse(text), number))


def enclosing(tree, line):
    """The dotted name of the function or class that contains a line."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.lineno <= line <= node.end_lineno:
            names.append(node.name)
    return ".".join(names)


def index():
    """The README's index: a row for every equation, linked to its line."""
    where = {tag.key: tag for tag in tags()}
    rows = ["| notes | equation | the line |", "|---|---|---|"]
    for key, statement in STATEMENTS.items():
        if key in where:
            tag = where[key]
            section, name = key.removeprefix("notes ").split(", ", 1)
            rows.append(f"| {section} {name} | {statement} | [{tag.name}]({tag.path}#L{tag.line}) |")
    return "\n".join(rows)


def with_index(text):
    """The text of the README with its index as it should be."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{index()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_index(readme.read_text(encoding="utf-8")), encoding="utf-8")
