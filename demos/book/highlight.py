"""Python as HTML: coloured by its tokens, every line numbered, every known name a link."""
import ast
import builtins
import html
import io
import keyword
import re
import token
import tokenize
from functools import lru_cache

from book.library import find

KINDS = {token.STRING: "s", token.NUMBER: "d", tokenize.COMMENT: "c"}
NAMES = set(keyword.kwlist) | {"self"}
BUILTINS = set(dir(builtins)) - NAMES
F_STRING = {getattr(token, name, None) for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")}


def code(lines, numbers, *, stem, indent=0):
    """The numbered lines as one <pre>; each has the anchor <stem>-L<number>.

    The numbers are no stops of the Tab key: a page has hundreds of them.
    """
    rows = [f'<a id="{stem}-L{n}" href="#{stem}-L{n}" tabindex="-1">{n}</a>{lines[n - 1].removeprefix(" " * indent)}'
            for n in trimmed(lines, numbers)]
    return '<pre class="code" tabindex="0"><code>' + "\n".join(rows) + "</code></pre>" if rows else ""


def one_stop_each(page):
    """The page with one stop of the Tab key for each address that its code leads to: the first link.

    The others can be clicked. A name is used in many lines, and its first use is mostly the import.
    """
    seen = set()

    def link(match):
        again = match[1] in seen
        seen.add(match[1])
        return f'<a href="{match[1]}" tabindex="-1">' if again else match[0]

    return re.sub(r'<pre class="code".*?</pre>', lambda code: re.sub(r'<a href="([^"]+)">', link, code[0]),
                  page, flags=re.DOTALL)


def listing(lines, first, last):
    """Lines without numbers and anchors, for what is folded away."""
    return f'<pre class="code plain" tabindex="0"><code>{chr(10).join(lines[first - 1:last])}</code></pre>'


def trimmed(lines, numbers):
    """The numbers of the lines without blank ones at both ends and without two in a row."""
    kept = []
    for n in numbers:
        if lines[n - 1].strip() or (kept and lines[kept[-1] - 1].strip()):
            kept.append(n)
    return kept[:-1] if kept and not lines[kept[-1] - 1].strip() else kept


def coloured(text, link=lambda line, before, name: None):
    """The lines of a program as HTML; ``link(line, alias, name)`` gives the address of a name, or None."""
    plain = text.splitlines()
    try:
        ast.parse(text)
    except SyntaxError:
        return [html.escape(line, quote=False) for line in plain]
    lines, at = [[] for _ in plain], (1, 0)
    before = []    # the last two tokens, to see what stands before a dot
    for kind, string, begin, end, _ in tokenize.generate_tokens(io.StringIO(text).readline):
        if kind == token.ENDMARKER:
            break
        copy(lines, plain, at, begin)
        if kind == token.NAME:
            alias = before[0] if before[1:] == ["."] else ""
            lines[begin[0] - 1].append(word(string, alias, link(begin[0], alias, string)))
        elif begin[0] <= len(plain):
            mark = "s" if kind in F_STRING else KINDS.get(kind, "")
            copy(lines, plain, begin, end, mark)
            if kind == token.STRING and begin[0] == end[0]:
                lines[begin[0] - 1].append(references(lines[begin[0] - 1].pop(), begin[0], link))
        before, at = [*before, string][-2:], end
    return ["".join(parts) for parts in lines]


def copy(lines, plain, begin, end, mark=""):
    """Append the text between two positions to its lines, in a span of class `mark`."""
    if begin == end:
        return
    for row in range(begin[0], min(end[0], len(plain)) + 1):
        left = begin[1] if row == begin[0] else 0
        right = end[1] if row == end[0] else len(plain[row - 1])
        piece = html.escape(plain[row - 1][left:right], quote=False)
        if piece:
            lines[row - 1].append(f'<span class="{mark}">{piece}</span>' if mark else piece)


def references(text, line, link):
    """A string in which names in backticks are links, as in "as in `gradient_descent`"."""
    def linked(match):
        alias, _, name = match[1].rpartition(".")
        address = link(line, alias, name)
        return f'`<a href="{address}">{match[1]}</a>`' if address else match[0]
    return re.sub(r"`([\w.]+)`", linked, text)


def word(name, alias, address):
    """A name: a link if its definition has a page, else in the colour of a keyword or plain."""
    if address:
        return f'<a href="{address}">{name}</a>'
    if name in NAMES:
        return f'<span class="k">{name}</span>'
    return f'<span class="b">{name}</span>' if name in BUILTINS and not alias else name


def linker(module, address):
    """The ``link`` of `coloured` for a module; ``address((path, name))`` gives the address or None."""
    local = local_names(module.tree)

    def link(line, alias, name):
        if alias in module.scope and module.scope[alias][1] == "":    # F.softmax: a module before the dot
            target = find(module.scope[alias][0], name)
        elif alias or name not in module.scope or any(line in span and name in names for span, names in local):
            return None
        else:
            target = find(*module.scope[name])
        own = target and target[0] == module.path and is_head(module, target[1], line)
        return None if own or not target else address(target)
    return link


def is_head(module, name, line):
    """Whether the line is the definition itself, which needs no link to itself."""
    block = module.definitions.get(name)
    return block is not None and block.first <= line <= block.last and f" {name.split('.')[-1]}" in module.lines[line - 1]


@lru_cache(maxsize=None)
def local_names(tree):
    """For each function: its lines, and the names that are arguments or variables there."""
    found = []
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        nodes = list(ast.walk(function))
        names = {n.arg for n in nodes if isinstance(n, ast.arg)}
        names |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        found.append((range(function.lineno, function.end_lineno + 1), names))
    return found


def without_docstring(block):
    """The numbers of a block's lines but for its docstring."""
    return [n for n in range(block.first, block.last + 1) if n not in block.doc_lines]
