"""The search box's index: names, equations and terms, as a script that a page loads when it is asked."""
import json
import re

from common import docstring, question

from book.contents import PARTS, ROOT
from book.equations import split
from book.library import module


def search_index(book, terms):
    """The entries of the search box, as a script: [name, what it is, address]."""
    entries = [[page.title.replace("`", ""), f"page, {PARTS[page.part]}", f"{page.slug}.html"] for page in book.pages]
    for path in book.page_of:
        for name, block in module(path).definitions.items():
            if not re.search(r"(^|\.)_", name):
                about = block.doc.partition("\n")[0]
                entries.append([name, f"{path}: {about}", book.address((path, name)), words(path, block)])
        head = module(path).blocks[0]
        entries.append([module(path).stem, f"{path}: {head.doc.partition(chr(10))[0]}",
                        book.address((path, "")), words(path, head)])
    entries += [[split(tag.key)[1], f"equation {split(tag.key)[0]}: {book.notes[tag.key].plain}",
                 book.line(tag.path, tag.line)] for tag in book.tags]
    entries += [[question(script), f"demo, demos/{stem}.py", f"{page.slug}.html#demo-{stem}",
                 each_once(docstring(script).splitlines())]
                for page in book.pages for stem in page.demos if (script := ROOT / "demos" / f"{stem}.py").exists()]
    entries += [[name, about, address] for name, about, address in terms]
    return "var BOOK = " + json.dumps(entries, ensure_ascii=False) + ";\n"


def words(path, block):
    """What else a block can be found by: the words of its docstring and of its code."""
    return each_once(module(path).lines[block.first - 1:block.last])


def each_once(lines):
    """The words of some lines, with T**2 as T^2."""
    return " ".join(dict.fromkeys(re.findall(r"\w[\w^-]*", " ".join(lines).lower().replace("**", "^"))))
