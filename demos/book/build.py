"""All pages of the book, written into the folder of the demos' results."""
from common import write

from book.contents import pages
from book.equations import NOTES, split, tags
from book.glossary import entries, glossary_page, slug
from book.landing import landing_page
from book.motion import MOTIONS
from book.pages import TEMPLATES, Book, stem_page, whole
from book.papers import papers_page
from book.results import read
from book.search import search_index
from book.typeset import svg


def write_book(out, sources, data=None):
    """Write the book about the demos `sources` into `out`; return the path of its first page.

    `data` is the set that all of them were run on, if they were asked to.
    """
    results = {source.stem: read(out / f"{source.stem}.json") for source in sources
               if (out / f"{source.stem}.json").exists()}
    motions = {}
    for name, motion in MOTIONS.items():
        motions.setdefault(motion.page, []).append((name, motion.title))
    book = Book(pages([source.stem for source in sources]), tags(), NOTES, results, out,
                data=data, motions=motions)
    for name, text in files(book).items():
        write(out / name, text.encode())
    return out / "index.html"


def files(book):
    """The name and text of every file of the book."""
    made = {f"{page.slug}.html": stem_page(book, page) for page in book.pages}
    made["index.html"] = whole("Contents", landing_page(book))
    made["equations.html"] = whole("Equations", equations_page(book))
    made["glossary.html"] = whole("Glossary", glossary_page(book))
    made["papers.html"] = whole("Papers", papers_page(book))
    made["index.js"] = search_index(book, entries(book))
    for name in ("book.css", "search.js", "stops.js"):
        made[name] = (TEMPLATES / name).read_text(encoding="utf-8")
    return made


def equations_page(book):
    """The page of the equations of the notes, as the content of <main>."""
    where = {tag.key: tag for tag in book.tags}
    rows = []
    for key, equation in book.notes.items():
        if key in where and where[key].path in book.page_of:
            section, name = split(key)
            tag = where[key]
            page = f"{book.page_of[tag.path].slug}.html"
            rows.append(f'<tr id="{slug(key)}"><td>{section}</td><th scope="row"><a href="{page}">{name}</a></th>'
                        f'<td class="shown">{svg(equation.tex, equation.plain)}</td>'
                        f'<td><a href="{book.line(tag.path, tag.line)}">{tag.name}</a> '
                        f'<small class="quiet">line {tag.line}</small></td></tr>')
    return ('<h1>Equations</h1><p class="lead">Every statement of the lecture notes is one line of the library. '
            'The name of its function leads to it.</p><div class="wide">'
            '<table class="equations" aria-label="Equations of the lecture notes">'
            "<thead><tr><th>Notes</th><th>Statement</th><th>Equation</th><th>The line</th></tr></thead><tbody>" + "\n".join(rows)
            + "</tbody></table></div>")
