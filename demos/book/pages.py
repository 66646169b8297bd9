"""One page of the book: read, see, prove, write."""
import html
from functools import partial
from string import Template

from book.central import CENTRAL
from book.contents import PARTS, ROOT
from book.equations import split, tagged
from book.highlight import (
    code,
    coloured,
    linker,
    listing,
    local_names,
    one_stop_each,
    without_docstring,
)
from book.laws import laws
from book.library import module
from book.prose import inline, prose
from book.results import command, see
from book.tasks import write
from book.typeset import svg

TEMPLATES = ROOT / "demos" / "book" / "templates"


def template(name):
    """A template by its name: HTML with $places."""
    return Template((TEMPLATES / f"{name}.html").read_text(encoding="utf-8"))


def whole(title, main):
    """A whole HTML file around the content of <main>."""
    return template("page").substitute(title=html.escape(f"{title} · tinyml"), main=main)


class Book:
    """What pages need of one another: all pages, and the address of every name and line.

    Parameters
    ----------
    pages : list of contents.Page
    tags : list of equations.Tag
    notes : dict of key to equations.Equation
    results : dict of a demo's stem to its results
    out : pathlib.Path, the folder of the pages
    data : str, or None; the set that all demos of this book were run on
    motions : dict of a page's slug to (name, title) of its motions
    """

    def __init__(self, pages, tags, notes, results, out, *, data=None, motions=None):
        self.pages, self.tags, self.notes = pages, list(tags), notes
        self.results, self.out, self.data, self.motions = results, out, data, motions or {}
        self.page_of = {path: page for page in pages for path in page.modules}
        self.by_name = {}
        for path in self.page_of:
            for name in module(path).definitions:
                self.by_name.setdefault(name, (path, name))

    def address(self, target, page=None):
        """Where a definition (path, name) stands: "min_norm.html#min_norm.svd", or None."""
        path, name = target
        if path not in self.page_of:
            return None
        here = self.page_of[path]
        anchor = f"#{module(path).stem}.{name}" if name else f"#{module(path).stem}"
        return anchor if here is page else f"{here.slug}.html{anchor}"

    def line(self, path, number):
        """Where a line of a module stands."""
        return f"{self.page_of[path].slug}.html#{module(path).stem}-L{number}"

    def known(self, source, page, text):
        """The address of a name in backticks, or None: of the module's scope, else of the library."""
        name = text.removeprefix("tinyml.").rstrip("()")
        if name in source.definitions:
            return self.address((source.path, name), page)
        folders = ["tinyml"]
        if not any(name in names for _, names in local_names(source.tree)):    # not an argument of this name
            folders.append(source.path.rpartition("/")[0])
        for folder in folders:
            for path in (f"{folder}/{name.replace('.', '/')}.py", f"{folder}/{name.replace('.', '/')}/__init__.py"):
                if path in self.page_of and path != source.path:
                    return self.address((path, ""), page)
        last = name.rpartition(".")[2]
        stems = [path for path in self.page_of if module(path).stem == last]
        if len(stems) == 1 and "_" in last:
            return self.address((stems[0], ""), page)
        return self.address(self.by_name[last], page) if last in self.by_name and len(last) > 2 else None


def stem_page(book, page):
    """A page of the book as HTML."""
    faces = {"Read": read(book, page), "See": seen(book, page), "Prove": prove(page), "Write": write(page)}
    faces = {name: content for name, content in faces.items() if content}
    main = template("stem").substitute(
        part=f"{PARTS[page.part]}{f' · notes {page.section}' if page.section else ''}",
        title=inline(page.title), lead=lead(book, page), central=central(book, page),
        faces="".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in faces),
        sections="\n".join(f'<section aria-labelledby="{name.lower()}"><h2 id="{name.lower()}">{name}</h2>\n'
                           f"{content}</section>" for name, content in faces.items()),
        turn=neighbours(book, page))
    return whole(page.title.replace("`", ""), main)


def neighbours(book, page):
    """Links to the page before and the page after."""
    at = book.pages.index(page)
    links = [f'<a href="{before.slug}.html" rel="prev">← {inline(before.title)}</a>'
             for before in book.pages[:at][-1:]]
    links += [f'<a href="{after.slug}.html" rel="next">{inline(after.title)} →</a>'
              for after in book.pages[at + 1:at + 2]]
    return "\n".join(links)


def lead(book, page):
    """The sentence below the title: the module's first line, or the demo's question."""
    if page.modules:
        return inline(module(page.modules[0]).blocks[0].doc.partition("\n")[0])
    results = [book.results[stem] for stem in page.demos if stem in book.results]
    return html.escape(results[0]["question"]) if results else ""


def central(book, page):
    """The page's equations, typeset: those of the notes lead to their lines, others stand alone."""
    shown = []
    for path in page.modules:
        name = path.removeprefix("tinyml/")
        shown += [f"<span>{svg(*reversed(CENTRAL[name]))}</span>"] if name in CENTRAL else []
        shown += [f'<a href="#{module(path).stem}-L{tag.line}">'
                  f"{svg(book.notes[tag.key].tex, book.notes[tag.key].plain)}"
                  f"<small>{html.escape(split(tag.key)[1])}</small></a>"
                  for tag in book.tags if tag.path == path]
    return f'<div class="central">{"".join(shown)}</div>' if shown else ""


def read(book, page):
    """The source: the docstring of each block on the left, its code on the right."""
    parts = []
    for path in page.modules:
        source = module(path)
        lines = tagged(coloured(source.text, linker(source, partial(book.address, page=page))))
        known = partial(book.known, source, page)
        for number, block in enumerate(source.blocks):
            title = block.name or (path if block.first == 1 else "")
            anchor = f"{source.stem}.{block.name}" if block.name else source.stem
            first = block.name not in [b.name for b in source.blocks[:number]]    # not the setter of a property
            named = f' id="{anchor}"' if first and (block.name or block.first == 1) else ""
            indent = 4 if "." in block.name else 0
            shown = code(lines, without_docstring(block), stem=source.stem, indent=indent)
            repeats_lead = block.first == 1 and path == page.modules[0]
            text = prose(block.doc, known, first=not repeats_lead) if block.doc else ""
            heading = f"<h3>{html.escape(title)}</h3>" if title else ""
            narrow = max(map(len, source.lines[max(block.doc_lines, default=0):block.last]), default=0) < 60
            kind = "block head" if block.first == 1 and narrow else "block"    # a long text beside few imports
            parts.append(f'<div class="{kind}"{named}><div class="prose">{heading}{text}</div>{shown}</div>')
    return one_stop_each("\n".join(parts))


def seen(book, page):
    """Every demo of the page: question, figure, claims, the command, the script itself."""
    parts = [f'<p><a href="motion-{name}.html">In motion: {html.escape(title)}</a></p>'
             for name, title in book.motions.get(page.slug, ()) if (book.out / f"motion-{name}.html").exists()]
    for stem in page.demos:
        script = ROOT / "demos" / f"{stem}.py"
        result = book.results.get(stem)
        parts.append(f'<article id="demo-{stem}">')
        if result is None:
            parts.append(f'<p>Not run yet: <code class="command">python demos/{stem}.py</code></p>')
        else:
            seconds = f"{result['seconds']:.1f} s" + ", quick run" * result["quick"]
            parts += [f"<h3>{html.escape(result['question'])}</h3>", see(book.out, stem, result),
                      f'<p><code class="command">{html.escape(command(script, result))}</code> '
                      f'<span class="quiet">{seconds}</span></p>']
        if script.exists():
            text = script.read_text(encoding="utf-8")
            shown = listing(coloured(text), 1, len(text.splitlines()))
            parts.append(f"<details><summary>The script, demos/{stem}.py</summary>{shown}</details>")
        parts.append("</article>")
    return "\n".join(parts)


def prove(page):
    """Every property test of the page: its name as a sentence, its code folded."""
    parts = []
    for stem in page.tests:
        found, lines = laws(stem)
        parts += [f"<details><summary>{html.escape(words)}</summary>"
                  f"{listing(lines, first, last)}</details>"
                  for words, first, last in found]
        if found:
            parts.append(f'<p class="quiet">Run them: <code class="command">python -m pytest '
                         f"tests/{stem}.py</code></p>")
    return "\n".join(parts)
