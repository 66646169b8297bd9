"""Every demo as a Jupyter notebook: its sentences as Markdown, its cells as code (nbformat 4.5)."""
import ast
import json
import os
import re

from common import write

from book.contents import ROOT

FIRST = """# The package and the demos' helpers; the notebook runs the quick form of the demo.
import importlib.util, os, subprocess, sys
CLONE = {clone!r}
if importlib.util.find_spec("matplotlib") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"{{CLONE}}[demos]"], check=True)
sys.path[:0] = [os.path.abspath(CLONE), os.path.abspath(f"{{CLONE}}/demos")]    # before an older tinyml
sys.argv = ["notebook", "--quick"]    # without --quick: the whole experiment
__file__ = f"{{CLONE}}/demos/{name}"
%matplotlib inline
import matplotlib.pyplot
matplotlib.pyplot.interactive(False)    # a figure is made in several cells: none is shown before plt.show()"""
LAST = """from IPython.display import Image
Image(demo.out / f"{demo.stem}.png")"""
CELL = re.compile(r"^# %% ?(.*)$", re.MULTILINE)


def write_notebooks(folder, sources):
    """Write <stem>.ipynb for every demo into `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    clone = os.path.relpath(ROOT, folder).replace(os.sep, "/")
    made = []
    for source in sources:
        text = json.dumps(notebook(source, clone), indent=1, ensure_ascii=False)
        made.append(folder / f"{source.stem}.ipynb")
        write(made[-1], (text + "\n").encode())
    return made


def notebook(source, clone):
    """A demo as a notebook; `clone` is the way from the notebook to the project."""
    text = source.read_text(encoding="utf-8")
    tree = ast.parse(text)
    after = text.split("\n", tree.body[0].end_lineno)[-1] if ast.get_docstring(tree) else text
    before, *parts = CELL.split(after)
    cells = [markdown(ast.get_docstring(tree) or source.stem, heading="#"),
             code(FIRST.format(clone=clone, name=source.name)), *filter(None, [code(before)])]
    for title, body in zip(parts[::2], parts[1::2]):
        comment, rest = leading_comment(body)
        cells += [markdown(f"{title}\n\n{comment}".strip(), heading="##"), *filter(None, [code(rest)])]
    cells += [markdown("The finished figure", heading="##"), code(LAST)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    return {"cells": cells, "metadata": {"kernelspec": {
        "display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def leading_comment(body):
    """The comment lines right below the title of a cell, as text, and the rest."""
    lines = body.lstrip("\n").split("\n")
    n = next((i for i, line in enumerate(lines) if not line.startswith("# ")), len(lines))
    return " ".join(line[2:] for line in lines[:n]), "\n".join(lines[n:])


def markdown(text, *, heading):
    """A Markdown cell: the first line as heading, indented lines as code."""
    first, _, rest = text.partition("\n")
    rest = re.sub(r"([*_])", r"\\\1", rest)
    rest = re.sub(r"``?([^`]+)``?", lambda match: f"`{match[1]}`".replace("\\", ""), rest)
    return {"cell_type": "markdown", "metadata": {}, "source": lines(f"{heading} {first}\n{rest}")}


def code(text):
    """A code cell, or None if there is nothing in it."""
    if not text.strip():
        return None
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
            "source": lines(text.strip("\n"))}


def lines(text):
    """A text as nbformat has it: a list of lines, each with its end."""
    return text.strip().splitlines(keepends=True)
