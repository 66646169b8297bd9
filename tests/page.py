"""A page of the book as its tests read it."""
from html.parser import HTMLParser


class Page(HTMLParser):
    """An HTML file, read strictly: every element is closed, in order; no id appears twice."""

    VOID = {"meta", "img", "link", "br", "input"}

    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.tags, self.ids, self.text = path, [], [], set(), ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)
        name = dict(attributes).get("id")
        assert name is None or name not in self.ids
        self.ids |= {name} - {None}

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes]


def book(folder):
    """Every page of a book, by its name."""
    return {path.stem: Page(path) for path in sorted(folder.glob("*.html"))}
