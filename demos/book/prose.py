"""A docstring as HTML: paragraphs, equations, tables of parameters, examples."""
import html
import re

SECTION = re.compile(r"\n(\w[\w ]*)\n-{3,}\n")
CODE = re.compile(r"``([^`]+)``|`([^`]+)`")
EMPHASIS = re.compile(r"(?<![\w*])\*(\w[\w -]*\w)\*(?![\w*])")


def prose(doc, link=lambda name: None, *, first=True):
    """A docstring as HTML; ``link(name)`` gives the address of what stands in backticks, or None.

    Without `first`, the first line is left out: it is the title of the page already.
    """
    text, *sections = SECTION.split("\n" + doc.strip() + "\n")
    text = text.strip("\n")
    if not first:
        text = text.partition("\n")[2].strip("\n")
    parts = [paragraphs(text, link)]
    for name, body in zip(sections[::2], sections[1::2]):
        body, prompt, example = body.strip("\n").partition(">>>")
        if name != "Examples":
            parts.append(f'<p class="section">{name}</p>\n{entries(body, link)}')
        parts.append(paragraphs(prompt + example, link) if prompt else "")
    return "\n".join(parts)


def paragraphs(text, link):
    """Paragraphs; what is indented is an equation, what begins with >>> an example."""
    parts = []
    for block in re.split(r"\n\s*\n", text):
        for kind, lines in runs(block.split("\n")):
            if kind == "text":
                parts.append(f"<p>{inline(' '.join(lines), link)}</p>")
            else:
                shown = html.escape(dedent(lines), quote=False)
                shown = "".join(f"<span>{line}\n</span>" for line in shown.split("\n"))    # what wraps is indented
                parts.append(f'<pre class="{kind}">{shown}</pre>')
    return "\n".join(join_equations(parts))


def runs(lines):
    """Consecutive lines of one kind: text, equation (indented), example."""
    kind, run = None, []
    for line in filter(str.strip, lines):
        now = "example" if line.startswith((">>>", "...")) or kind == "example" else (
            "equation" if line.startswith("   ") else "text")
        if run and now != kind:
            yield kind, run
            run = []
        kind, run = now, [*run, line]
    if run:
        yield kind, run


def join_equations(parts):
    """Two equations with an empty line between them are one."""
    joined = []
    for part in parts:
        if joined and all(p.startswith('<pre class="equation"') for p in (joined[-1], part)):
            joined[-1] = joined[-1].removesuffix("</pre>") + part.partition(">")[2]
        else:
            joined.append(part)
    return joined


def dedent(lines):
    edge = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[edge:] for line in lines)


def entries(text, link):
    """The entries of Parameters or Returns: what is not indented begins one."""
    rows = []
    for line in text.split("\n"):
        if line.startswith(" ") and rows:
            rows[-1][1].append(line.strip())
        elif line.strip():
            name, colon, rest = line.partition(" : ")
            rows.append((name if colon else "", [rest if colon else line]))
    items = [f"<dt>{inline(name, link) if name else ''}</dt><dd>{inline(' '.join(words), link)}</dd>"
             for name, words in rows]
    return f'<dl class="entries">{"".join(items)}</dl>'


def inline(text, link=lambda name: None):
    """A line of text, with `names` as links where they are known."""
    parts, at = [], 0
    for match in CODE.finditer(text):
        parts.append(plain(text[at:match.start()]))
        name = match[1] or match[2]
        shown = f"<code>{html.escape(name, quote=False)}</code>"
        address = link(name)
        parts.append(f'<a href="{address}">{shown}</a>' if address else shown)
        at = match.end()
    return "".join(parts) + plain(text[at:])


def plain(text):
    """Text without code, with *words* emphasised."""
    return EMPHASIS.sub(r"<em>\1</em>", html.escape(text, quote=False))
