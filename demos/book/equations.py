"""The equations of the lecture notes: in plain text, in TeX, and the lines that are tagged with them.

A tag is a comment at the end of a line of the library, such as ``# notes 10.1.2, minimum norm``.
The README's index and the page of equations are made from the tags: `python tests/equations.py`
writes the index anew.
"""
import ast
import re
from typing import NamedTuple

from book.contents import ROOT
from book.glossary import slug


class Equation(NamedTuple):
    """One equation in two forms: as a docstring writes it, and in TeX."""

    plain: str
    tex: str


NOTES = {
    "notes 10.1.1, squared bias": Equation(
        "E (E f(x) - f*(x))²", r"E_x\,(E\,f(x) - f^{*}(x))^2"),
    "notes 10.1.1, variance": Equation(
        "E Var f(x)", r"E_x\,\mathrm{Var}\,f(x)"),
    "notes 10.1.1, risk": Equation(
        "bias² + variance + σ²", r"\mathrm{bias}^2 + \mathrm{variance} + \sigma^2"),
    "notes 10.1.2, linear model": Equation(
        "y = Xβ* + ε", r"y = X\beta^{*} + \varepsilon"),
    "notes 10.1.2, ordinary least squares": Equation(
        "(X'X)⁻¹X'y", r"\hat\beta = (X^{\mathsf{T}} X)^{-1} X^{\mathsf{T}} y"),
    "notes 10.1.2, interpolation threshold": Equation(
        "X⁻¹y", r"\hat\beta = X^{-1} y"),
    "notes 10.1.2, minimum norm": Equation(
        "X⁺y = V diag(1/s) U'y", r"X^{+} y = V\,\mathrm{diag}(1/s)\,U^{\mathsf{T}} y"),
    "notes 10.1.2, gradient descent": Equation(
        "β ← β - lr X'(Xβ - y)", r"\beta \leftarrow \beta - \eta\,X^{\mathsf{T}} (X\beta - y)"),
    "notes 10.1.3, training risk": Equation(
        "R_train(t) = ‖Xβ_t - y‖² / n",
        r"R_{\mathrm{train}}(t) = \dfrac{1}{n}\,\Vert X\beta_t - y \Vert^2"),
    "notes 10.1.3, test risk": Equation(
        "R_test(t) = E (x'β_t - x'β)² + σ²",
        r"R_{\mathrm{test}}(t) = E\,(x^{\mathsf{T}}\beta_t - x^{\mathsf{T}}\beta)^2 + \sigma^2"),
    "notes 10.1.3, t_min and t_int": Equation(
        "the lowest R_test up to t_int, the first t with R_train = 0",
        r"t_{\min} = \mathrm{arg\,min}_{t \leq t_{\mathrm{int}}}\,R_{\mathrm{test}}(t), \quad "
        r"t_{\mathrm{int}} = \min\{t : R_{\mathrm{train}}(t) = 0\}"),
    "notes 10.2.1, pruned loss": Equation(
        "L(θ ⊙ m)", r"L(\theta \odot m)"),
    "notes 10.2.1, budget": Equation(
        "the k largest magnitudes stay", r"\Vert m \Vert_0 \leq k"),
    "notes 10.2.1, threshold mask": Equation(
        "m = 1 where the magnitude of θ is at least τ", r"m_j = \mathbf{1}\,[\,|\theta_j| \geq \tau\,]"),
    "notes 10.2.1, sparse forward": Equation(
        "only nonzero weights are multiplied", r"y_i = \sum_{j\,:\,w_{ij} \neq 0} w_{ij}\,x_j"),
    "notes 10.2.2, codes": Equation(
        "q = round(θ / Δ)", r"q = \mathrm{round}(\theta / \Delta)"),
    "notes 10.2.2, dequantized": Equation(
        "θ̂ = Δq", r"\hat\theta = \Delta\,q"),
    "notes 10.2.2, quantization-aware forward": Equation(
        "ℓ(f(x; Q(θ)), y)", r"\ell(f(x;\,Q(\theta)),\,y)"),
    "notes 10.2.2, straight-through": Equation(
        "∂L/∂θ ≈ ∂L/∂θ̂",
        r"\dfrac{\partial L}{\partial \theta} \approx \dfrac{\partial L}{\partial \hat\theta}"),
    "notes 10.2.3, low rank": Equation(
        "W ≈ UV'", r"W \approx U V^{\mathsf{T}}"),
    "notes 10.2.3, cost": Equation(
        "r(m + n) against mn", r"r\,(m + n) < m\,n"),
    "notes 10.2.4, softened probabilities": Equation(
        "softmax(z / T)", r"p_i = \dfrac{e^{z_i / T}}{\sum_j e^{z_j / T}}"),
    "notes 10.2.4, distillation loss": Equation(
        "(1 - α) CE + α T² KL",
        r"(1 - \alpha)\,\mathrm{CE}(y, p_s) + \alpha\,T^2\,\mathrm{KL}(p_t^T \,\Vert\, p_s^T)"),
    "notes 10.3, features": Equation(
        "z = f(x)", r"z = f_\theta(x)"),
    "notes 10.3, task head": Equation(
        "min over φ of mean ℓ(g(z), y), and a penalty",
        r"\min_{\phi}\ \dfrac{1}{n}\sum_{i=1}^{n} \ell(g_\phi(z_i), y_i) + \dfrac{\lambda}{2}\Vert W \Vert^2"),
    "notes 10.3, deployed model": Equation(
        "g(f(x))", r"\hat y = g_\phi(f_\theta(x))"),
    "notes 10.3.1, mask positions": Equation(
        "int(nρ) positions at random", r"M \subset \{1, \ldots, n\}, \quad |M| = \lfloor n\rho \rfloor"),
    "notes 10.3.1, corrupted input": Equation(
        "[MASK] at i in M, otherwise x_i",
        r"\tilde x_i = \mathrm{[MASK]}\ \ (i \in M), \quad \tilde x_i = x_i\ \ (i \notin M)"),
    "notes 10.3.1, encode": Equation(
        "z = f(x̃)", r"z = f_\theta(\tilde x)"),
    "notes 10.3.1, reconstruct": Equation(
        "x̂ = g(z)", r"\hat x_i = g_\phi(z_i)"),
    "notes 10.3.1, masked loss": Equation(
        "ℓ(x̂_i, x_i) over i in M", r"L = \dfrac{1}{|M|}\sum_{i \in M} \ell(\hat x_i, x_i)"),
    "notes 10.3.2, two views": Equation(
        "T_i(x), T_j(x)", r"\tilde x_i = T_i(x), \quad \tilde x_j = T_j(x)"),
    "notes 10.3.2, cosine similarity": Equation(
        "u'v / (‖u‖ ‖v‖)", r"\mathrm{sim}(u, v) = \dfrac{u^{\mathsf{T}} v}{\Vert u \Vert\,\Vert v \Vert}"),
    "notes (10.1), NT-Xent": Equation(
        "-log of exp(sim / T) over the sum over k ≠ i",
        r"\ell_{ij} = -\log \dfrac{\exp(\mathrm{sim}(z_i, z_j) / T)}"
        r"{\sum_{k \neq i} \exp(\mathrm{sim}(z_i, z_k) / T)}"),
}
NUMBERED = {"(10.1)": "10.3.2, (10.1)"}    # otherwise (10.1) reads as section 10.1
STATEMENTS = {key: equation.plain for key, equation in NOTES.items()}
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
        tree = ast.parse(text) if found else None
        for number, key in found:
            yield Tag(key, path.relative_to(ROOT).as_posix(), number, enclosing(tree, number))


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
            rows.append(f"| {' '.join(split(key))} | {statement} | [{tag.name}]({tag.path}#L{tag.line}) |")
    return "\n".join(rows)


def split(key):
    """Section and name of a key: ("10.1.2", "minimum norm"). A numbered equation gets a section."""
    section, name = key.removeprefix("notes ").split(", ", 1)
    return NUMBERED.get(section, section), name


def tagged(lines):
    """The lines of a module as HTML; the tag of an equation leads to its row on the page of equations."""
    def linked(match):
        key = f"notes {match[1]}"
        return f'<span class="c"># <a href="equations.html#{slug(key)}">notes</a> {match[1]}<' if key in NOTES else match[0]
    return [re.sub(r'<span class="c"># notes ([^<]+)<', linked, line) for line in lines]


def with_index(text):
    """The text of the README with its index as it should be."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{index()}\n{END}{rest.split(END)[1]}"
