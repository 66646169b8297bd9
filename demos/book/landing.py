"""The first page: what is proven, the path through the core, a card for every page."""
import html
from string import Template

from book.contents import LINK, PARTS, table
from book.laws import laws
from book.library import module
from book.pages import template
from book.prose import inline
from book.results import mark, passed, picture, tally
from book.tasks import counts

CARD = Template("""<li class="card">$image<div>
<h3><a href="$address">$title</a></h3>
<p>$finding</p>
<p class="foot"><span>$section</span>$verdict<span>$minutes</span></p>
</div></li>""")


def landing_page(book):
    """The content of <main> of index.html."""
    claims = [claim for result in book.results.values() for claim in result["claims"]]
    exercises, mistakes = counts()
    known = book.results if book.data else {stem for page in book.pages for stem in page.demos}
    tests = {stem for page in book.pages for stem in page.tests}
    return template("landing").substitute(
        on=f" on {html.escape(book.data)}" if book.data else "",
        demos=f"{sum(map(passed, book.results.values()))} of {len(known)}",
        laws=tally(claims, "law"), findings=tally(claims, "finding"),
        tests=f"{sum(len(laws(stem)[0]) for stem in tests):,}", exercises=exercises, mistakes=f"{mistakes:,}",
        seconds=duration(sum(result["seconds"] for result in book.results.values())),
        path=path(book), parts="\n".join(part(book, key) for key in PARTS),
        toc="".join(f'<li><a href="#{anchor(key)}">{PARTS[key]}</a></li>' for key in PARTS
                    if any(page.part == key for page in book.pages)))


def duration(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes of computing"


def path(book):
    """The README's path through the core, each file with what to look for."""
    rows = []
    for minutes, file, words in table("| minutes | file | what to look for"):
        target = LINK.search(file)[2]
        if target in book.page_of:
            name = html.escape(LINK.search(file)[1].removesuffix(".py"))
            rows.append(f'<tr><td>{minutes} min</td><td><a href="{book.address((target, ""))}">{name}</a></td>'
                        f"<td>{inline(words)}</td></tr>")
    head = "<thead><tr><th>Time</th><th>File</th><th>What to look for</th></tr></thead>"
    return ('<section><h2 id="path">Two hours through the core</h2><details open><summary>Fifteen files in the '
            'order of the notes</summary><div class="wide"><table aria-labelledby="path">'
            f"{head}<tbody>{''.join(rows)}</tbody></table></div></details></section>" if rows else "")


def part(book, key):
    """One part of the book: its cards in reading order."""
    cards = "\n".join(card(book, page) for page in book.pages if page.part == key)
    if not cards:
        return ""
    return f'<section><h2 id="{anchor(key)}">{PARTS[key]}</h2>\n<ul class="cards">\n{cards}\n</ul></section>'


def anchor(key):
    """Where a part begins on the first page."""
    return f"part-{key.replace('.', '-')}"


def card(book, page):
    """Thumbnail, title, finding, verdict and minutes of one page."""
    ran = {stem: book.results[stem] for stem in page.demos if stem in book.results}
    first = next(iter(ran), None)
    about = module(page.modules[0]).blocks[0].doc.partition("\n")[0] if page.modules else ""
    finding = ran[first].get("finding", ran[first]["question"]) if ran else about.replace("`", "")
    image = next(filter(None, (picture(book.out, f"{stem}-thumb", "") for stem in ran)), "")
    verdict = mark("open", "not run yet") if page.demos else ""
    if ran:
        held = all(map(passed, ran.values()))
        verdict = mark("good", "laws hold") if held else mark("bad", "failed")
    seconds = sum(result["seconds"] for result in ran.values())
    return CARD.substitute(
        address=f"{page.slug}.html", title=inline(page.title), image=image,
        finding=html.escape(finding), verdict=verdict, minutes=f"{seconds:.0f} s" if ran else "",
        section=f"notes {page.section}" if page.section else "")
