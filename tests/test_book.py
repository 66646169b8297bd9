"""The book is a function of the source and the demos' results; every link leads somewhere, everybody can read it."""
import ast
import importlib.util
import json
import os
import re
import sys
import threading
import types
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "demos"))

from book import (  # noqa: E402
    central,
    equations,
    glossary,
    highlight,
    motion,
    notebooks,
    papers,
    prose,
    search,
    serve,
    tasks,
    typeset,
)
from book.build import write_book  # noqa: E402
from book.contents import PARTS, pages  # noqa: E402
from book.library import module  # noqa: E402
from book.pages import Book  # noqa: E402
from page import Page, book  # noqa: E402

RESULT = {"question": "What is <asked>?", "finding": "What was & is found", "quick": True, "seed": 3, "seconds": 1.5,
          "data": None, "numbers": [{"name": "a <number>", "value": None, "unit": "%"}],
          "claims": [{"kind": "law", "text": "1 < 2", "expected": "below 2", "measured": 1, "holds": True},
                     {"kind": "finding", "text": "2 & 3", "expected": "at least 3", "measured": 2, "holds": False,
                      "why": "Because <so>."}]}
SOURCES = [path for path in sorted((ROOT / "demos").glob("[!_]*.py")) if path.stem not in ("common", "panels")]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with a book of the whole library, and results of two demos."""
    folder = tmp_path_factory.mktemp("book")
    for stem in ("min_norm", "pruning"):
        (folder / f"{stem}.json").write_text(json.dumps(RESULT))
        for name in (stem, f"{stem}-thumb"):
            (folder / f"{name}.png").write_bytes((ROOT / "demos" / "pictures" / "pruning.png").read_bytes())
    write_book(folder, SOURCES)
    return folder


@pytest.fixture(scope="module")
def read(out):
    return book(out)


def test_every_link_leads_to_a_page_or_to_a_place_on_it(read):
    for name, page in read.items():
        for target in page.all("a", "href"):
            file, _, anchor = target.partition("#")
            file = file.removesuffix(".html") or name
            if not file.endswith(".png"):
                assert file in read and (not anchor or unquote(anchor) in read[file].ids), (name, target)


def test_every_file_that_a_page_needs_is_beside_it_and_nothing_comes_from_elsewhere(out, read):
    for page in read.values():
        needed = page.all("img", "src") + page.all("script", "src") + page.all("link", "href")
        assert all((out / file).is_file() for file in needed)
        assert not [target for target in needed + page.all("a", "href") if ":" in target or target.startswith("/")]
    assert "url(" not in (out / "book.css").read_text() and "http" not in (out / "search.js").read_text()


def test_the_same_source_and_results_give_the_same_book(out, tmp_path):
    for stem in ("min_norm", "pruning"):
        for suffix in (".json", ".png", "-thumb.png"):
            (tmp_path / f"{stem}{suffix}").write_bytes((out / f"{stem}{suffix}").read_bytes())
    write_book(tmp_path, SOURCES)
    for file in out.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_every_function_that_the_map_leads_to_stands_on_its_page(read):
    for page in pages():
        for path in page.modules:
            for name in module(path).definitions:
                assert f"{module(path).stem}.{name}" in read[page.slug].ids
            said = {number for block in module(path).blocks for number in block.doc_lines}
            for number, line in enumerate(module(path).lines, 1):
                if line.strip() and number not in said:
                    assert f"{module(path).stem}-L{number}" in read[page.slug].ids, (path, number)


def test_each_equation_is_two_clicks_from_the_first_page(read):
    assert "equations.html" in read["index"].all("a", "href")
    lines = {target for target in read["equations"].all("a", "href") if re.search(r"-L\d+$", target)}
    assert len(lines) == len(set(equations.tags())) == len(equations.NOTES)
    html = read["equations"].path.read_text(encoding="utf-8")
    assert all(f'{tag.name}</a> <small class="quiet">line {tag.line}<' in html for tag in equations.tags())


@pytest.mark.parametrize("key", equations.NOTES | central.CENTRAL)
def test_every_equation_has_its_plain_form_and_its_tex(key):
    equation = (equations.NOTES | central.CENTRAL)[key]
    drawn = typeset.svg(equation.tex, equation.plain)
    assert equation.plain and equation.tex and 'role="img"' in drawn and 'd="M' in drawn


def test_the_pages_of_lessons_begin_with_an_equation(out):
    plain = {"report", "storage", "codings", "series", "label_efficiency"}    # tables, files, views: no equation
    tagged = {tag.path for tag in equations.tags()}
    for page in pages():
        central_ones = [path for path in page.modules if path.removeprefix("tinyml/") in central.CENTRAL or path in tagged]
        assert central_ones or page.slug in plain or page.part in ("framework", "further"), page.slug
    for name in central.CENTRAL:
        assert (ROOT / "tinyml" / name).is_file()


def test_the_code_of_the_book_is_the_code_of_the_library():
    for path in ("tinyml/interpolation/min_norm.py", "tinyml/tensor.py", "tinyml/selfsupervised/contrastive.py"):
        text = module(path).text
        plain = Text("\n".join(highlight.coloured(text, highlight.linker(module(path), lambda target: "x.html")))).text
        assert plain.splitlines() == text.splitlines()


class Text(HTMLParser):
    """What is left of HTML without its tags."""

    def __init__(self, html):
        super().__init__()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_data(self, data):
        self.text += data


def test_no_word_of_a_docstring_is_lost():
    for page in pages():
        for path in page.modules:
            for block in module(path).blocks:
                words = set(re.findall(r"\w+", Text(prose.prose(block.doc).replace("<", " <")).text)) if block.doc else set()
                headings = {"Examples"}
                assert set(re.findall(r"\w+", block.doc)) <= words | headings, (path, block.name)


def test_exercises_are_shown_without_their_solutions_and_mistakes(out, read):
    page_of = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): page
               for page in pages() for path in page.modules}
    for chapter in tasks.CHAPTERS:
        for exercise in chapter.exercises:
            page = page_of[exercise.module]
            assert f"tinyml.exercises start {exercise.name}" in read[page.slug].text
            html = (out / f"{page.slug}.html").read_text(encoding="utf-8").partition('id="write"')[2]
            said = " ".join([exercise.task, *exercise.hints, *exercise.also])    # a hint may say what a mistake means
            assert not any(mistake.why in html for mistake in exercise.mistakes if mistake.why not in said)


def test_every_page_has_one_heading_and_the_others_in_order(read):
    for name, page in read.items():
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:])), name


def test_everybody_can_read_it(read):
    for page in read.values():
        for tag, attributes in page.tags:
            assert tag != "img" or "alt" in attributes
            assert tag != "svg" or attributes.get("aria-label")
            assert tag != "nav" or attributes.get("aria-label")
            assert tag != "table" or attributes.get("aria-label") or attributes.get("aria-labelledby") in page.ids
        assert page.all("html", "lang") == ["en"] and page.all("main", "id") == ["main"]


def test_the_tab_key_passes_over_the_numbers_of_lines(read):
    for name, page in read.items():
        for tag, attributes in page.tags:
            if tag == "a" and re.search(r"-L\d+$", attributes.get("id", "")):
                assert attributes["tabindex"] == "-1", (name, attributes)
        skipped_to, = [attributes for tag, attributes in page.tags if tag == "main"]
        assert skipped_to["tabindex"] == "-1"    # so that the skip link moves the focus


def test_the_tab_key_stops_once_for_each_place_that_code_leads_to(read):
    for name, page in read.items():
        links = [attributes for tag, attributes in page.tags
                 if tag == "a" and attributes.get("tabindex") != "-1" and "id" not in attributes]
        stops = {attributes["href"] for attributes in links}
        passed = [attributes["href"] for tag, attributes in page.tags
                  if tag == "a" and attributes.get("tabindex") == "-1" and "id" not in attributes]
        assert stops >= set(passed), name
    assert len([href for href in read["ops"].all("a", "href") if href == "tensor.html#tensor.primitive"]) > 30
    code = re.findall(r'<pre class="code".*?</pre>', (read["ops"].path).read_text(encoding="utf-8"), re.DOTALL)
    assert "\n".join(code).count('<a href="tensor.html#tensor.primitive">') == 1


def test_every_tagged_line_leads_to_its_row_of_the_equations(read):
    page_of = {path: page.slug for page in pages() for path in page.modules}
    for tag in equations.tags():
        row = glossary.slug(tag.key)
        assert row in read["equations"].ids
        assert f"equations.html#{row}" in read[page_of[tag.path]].all("a", "href"), tag


def test_a_module_that_a_docstring_names_is_a_link_unless_an_argument_has_that_name():
    book = Book(pages(), equations.tags(), equations.NOTES, {}, ROOT)
    pruning, nn = module("tinyml/compression/pruning.py"), module("tinyml/nn/module.py")
    assert book.known(pruning, None, "sparse") == "sparse.html#sparse"
    assert book.known(pruning, None, "coding.storage") == "storage.html#storage"
    assert book.known(nn, None, "state") is None    # load_state_dict(state)


def colours(theme):
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", theme))


def brightness(colour):
    """Relative luminance (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_from_the_paper(dark):
    css = (ROOT / "demos" / "book" / "templates" / "book.css").read_text()
    light, night = css.split("@media screen and (prefers-color-scheme: dark)", 1)
    theme = colours(light) | (colours(night.split("* {")[0]) if dark else {})
    for ink in ("ink", "quiet", "link", "good", "bad", "key", "string", "number", "comment", "built"):
        for paper in ("paper", "card", "code", "mark"):
            if ink in ("good", "bad") and paper == "mark":
                continue
            a, b = sorted([brightness(theme[ink]), brightness(theme[paper])])
            assert (b + 0.05) / (a + 0.05) >= 4.5, (ink, paper)


def test_the_pages_are_light(out):
    assert (out / "index.html").stat().st_size < 300_000
    for path in out.glob("*.html"):
        assert path.stat().st_size < 400_000, path.name


def test_results_are_text_not_tags(read):
    page = read["min_norm"]
    for words in ("What is <asked>?", "a <number>", "not finite", "1 < 2", "Because <so>.", "did not hold here"):
        assert words in page.text
    assert page.all("img", "alt") == ["What was & is found"]


def test_the_search_knows_names_equations_and_terms(out, read):
    script = (out / "index.js").read_text(encoding="utf-8")
    entries = json.loads(script.removeprefix("var BOOK = ").rstrip(";\n"))
    names = {entry[0] for entry in entries}
    assert {"min_norm", "Adam", "minimum norm", "collapse", "linear probe"} <= names
    assert {search.question(path) for path in SOURCES} <= names
    assert "t^2" in next(entry[3] for entry in entries if entry[0] == "distillation_loss").split()
    for entry in entries:
        file, _, anchor = entry[2].partition("#")
        assert file.removesuffix(".html") in read and (not anchor or anchor in read[file.removesuffix(".html")].ids), entry[:3]


def test_every_paper_that_a_module_cites_is_explained_once():
    cited = {key for page in pages() for path in page.modules
             for key, _ in papers.citations(module(path).blocks[0].doc)}
    assert cited <= set(papers.CLAIMS), f"demos/book/papers.py lacks {cited - set(papers.CLAIMS)}"
    assert set(papers.CLAIMS) <= cited, set(papers.CLAIMS) - cited


def test_the_page_of_papers_shows_its_demo_and_the_numbers_beside(tmp_path):
    numbers = [{"name": "Hinton 2015: errors: teacher", "value": 71, "unit": "(paper: 67; section <3>)"},
               {"name": "Hinton 2015: command", "value": "python", "unit": ""}]
    results = {"papers": RESULT | {"numbers": numbers}}
    made = papers.papers_page(Book(pages(["papers"]), equations.tags(), equations.NOTES, results, tmp_path))
    row = made.partition('id="Hinton-2015"')[2].partition("</tr>")[0]
    assert "<li>errors: teacher: 71 (paper: 67; section &lt;3&gt;)</li>" in row and "command" not in row
    assert 'id="demo-papers"' in made and "python demos/papers.py" in made


def test_every_letter_and_term_has_a_place():
    known = {path for page in pages() for path in page.modules}
    for term, (_, place) in (glossary.LETTERS | glossary.TERMS).items():
        path, name, code = [*place.split(":", 2), "", ""][:3]
        assert path in known and (not name or name in module(path).definitions), term
        assert not code or len(glossary.lines_with(code, path, name)) == 1, f"{term}: no line, or many, with {code!r}"


def test_a_term_of_one_line_leads_to_it(read):
    line, = glossary.lines_with("no_grad()", "tinyml/selfsupervised/byol.py", "BYOL.loss")
    assert f"byol.html#byol-L{line}" in read["glossary"].all("a", "href")


def test_the_first_page_names_its_parts_at_the_top(out):
    top = (out / "index.html").read_text(encoding="utf-8").partition('id="path"')[0]
    assert [PARTS[key] for key in PARTS] == re.findall(r'<li><a href="#part-[^"]*">(.*?)</a></li>', top)


def test_a_paper_shows_the_findings_of_the_demo_about_it_alone(tmp_path):
    results = {stem: RESULT | {"finding": f"found by {stem}"} for stem in ("min_norm", "digits", "monochromatic")}
    made = papers.papers_page(Book(pages(["papers"]), equations.tags(), equations.NOTES, results, tmp_path))
    assert "found by digits" not in made    # ucr reads files; digits trains on others
    assert "found by monochromatic" not in made.partition('id="Arthur-2007"')[2].partition("</tr>")[0]    # k-means++
    assert "found by monochromatic" in made


def test_every_page_belongs_to_a_part_and_no_two_share_a_name():
    found = pages([path.stem for path in SOURCES])
    assert {page.part for page in found} <= set(PARTS)
    assert len({page.slug for page in found}) == len(found)
    assert {path.stem for path in SOURCES} == {stem for page in found for stem in page.demos}


def test_a_motion_is_one_light_file_that_needs_no_network(tmp_path, monkeypatch):
    name, n_drawn = "descent", 4    # of the motion with the most frames a few
    figure, draw, n_frames = motion.MOTIONS[name].make(np.random.default_rng(0))
    short = motion.MOTIONS[name]._replace(make=lambda rng: (figure, draw, n_drawn))
    monkeypatch.setitem(motion.MOTIONS, name, short)
    motion.write_motion(tmp_path, name, np.random.default_rng(0))
    page, text = Page(tmp_path / f"motion-{name}.html"), (tmp_path / f"motion-{name}.html").read_text(encoding="utf-8")
    assert len(text) * n_frames / n_drawn < 2_000_000 and "http" not in text and 'class="fa' not in text
    assert f"motion-{name}.png" in page.all("img", "src") and (tmp_path / f"motion-{name}.png").is_file()
    buttons = re.findall("<button[^>]*>", text)
    assert buttons and all(button.count("aria-label=") == 1 for button in buttons)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")


def test_a_contract_that_refers_to_another_links_to_it():
    source = module("tinyml/interpolation/double_descent.py")
    line = next(n for n, text in enumerate(source.lines, 1) if "as in `min_norm_bias2`" in text)
    shown = highlight.coloured(source.text, highlight.linker(source, lambda target: f"{target[0]}#{target[1]}"))[line - 1]
    assert f'`<a href="{source.path}#min_norm_bias2">min_norm_bias2</a>`' in shown


def test_every_motion_belongs_to_a_page():
    assert {entry.page for entry in motion.MOTIONS.values()} <= {page.slug for page in pages()}


def test_a_notebook_has_every_line_of_its_demo(tmp_path):
    for path in notebooks.write_notebooks(tmp_path / "new", SOURCES):
        book = json.loads(path.read_text(encoding="utf-8"))
        assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
        assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
        cells = {kind: ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == kind]
                 for kind in ("markdown", "code")}
        script = ast.parse((ROOT / "demos" / f"{path.stem}.py").read_text(encoding="utf-8"))
        assert ast.dump(ast.parse("\n".join(cells["code"][1:-1]))) == ast.dump(ast.Module(script.body[1:], []))
        assert cells["markdown"][0].startswith("# ") and cells["markdown"][0].splitlines()[0].endswith("?")
        clone = re.search(r"CLONE = '(.*)'", cells["code"][0])[1]
        assert (path.parent / clone / "demos" / "common.py").is_file()


def test_a_notebook_uses_the_clone_that_it_was_written_from(tmp_path, monkeypatch):
    path, = notebooks.write_notebooks(tmp_path, SOURCES[:1])
    first = next(cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["an older install"])
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    exec("".join(first["source"]).replace("%matplotlib", "#"), {})
    assert [Path(folder).resolve() for folder in sys.path[:2]] == [ROOT, ROOT / "demos"]
    assert all(map(os.path.isabs, sys.path[:2])) and sys.argv[1:] == ["--quick"]


def test_a_notebook_shows_the_finished_figure_and_no_half_made_one(tmp_path, monkeypatch):
    path, = notebooks.write_notebooks(tmp_path, SOURCES[:1])
    code = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"]
    assert code[0].splitlines()[-1].startswith("matplotlib.pyplot.interactive(False)")
    shown = []
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(Image=shown.append))
    exec(code[-1], {"demo": types.SimpleNamespace(out=tmp_path, stem="sparse")})
    assert shown == [tmp_path / "sparse.png"]


def test_the_book_is_served_on_this_machine_alone(out):
    with serve.server(out) as here:
        assert here.server_address[0] == "127.0.0.1"
        threading.Thread(target=here.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{here.server_port}/", timeout=30) as answer:
            assert answer.read() == (out / "index.html").read_bytes()
        here.shutdown()


@pytest.mark.parametrize("path", sorted((ROOT / "demos" / "book").glob("*.py")), ids=lambda path: path.stem)
def test_each_file_of_the_book_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 200
