"""One static page from the results of the demos: no network, no script, light and dark."""
import html
import json
import os
import struct
from string import Template
from urllib.parse import quote

from common import all_hold, data_sets, of_kind, show, verdict, write

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>tinyml: the gallery of demos$on</title>
<style>$style</style>
</head>
<body>
<header>
<h1>tinyml$on</h1>
<p>A machine-learning framework in NumPy, small enough to read: why large models generalise,
how to make them small, how they learn without labels. Every picture below was computed by a
script of about a page, which states what it claims and checks it. A law holds for any seed, on any
data and machine; a finding is what was measured here, beside what was expected.</p>
<dl>
<div><dt>Demos</dt><dd>$demos</dd></div>
<div><dt>Laws that hold</dt><dd>$laws</dd></div>
<div><dt>Findings that held</dt><dd>$findings</dd></div>
<div><dt>Time</dt><dd>$seconds</dd></div>
</dl>
<nav aria-label="Demos"><ul>
$contents
</ul></nav>
</header>
<main>
$cards
</main>
</body>
</html>
""")

CARD = Template("""<article id="$stem">
<p class="stem"><a href="#$stem">$stem</a> $verdict</p>
<h2>$question</h2>
$body
<footer>
<code>$command</code>
<span><a href="$source">Source</a> &middot; $seconds</span>
</footer>
</article>""")

STYLE = """
:root { --paper: #faf9f6; --card: #fff; --ink: #1d1f22; --quiet: #5d636b; --line: #e5e2da;
  --link: #0062a3; --good: #00694c; --bad: #a93b00;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #131518; --card: #1b1e22; --ink: #e9e7e2; --quiet: #a2a8b0; --line: #30353b;
    --link: #79bff0; --good: #55cda5; --bad: #ff9b69; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 66rem; padding: clamp(1.5rem, 6vw, 5rem) clamp(1rem, 4vw, 3rem);
  background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1, h2 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { margin: 0; font-size: clamp(2.6rem, 8vw, 4rem); letter-spacing: -0.02em; }
h2 { margin: 0.2rem 0 1.5rem; font-size: clamp(1.35rem, 3.6vw, 1.85rem); }
a { color: var(--link); text-underline-offset: 0.2em; text-decoration-thickness: 1px; }
header p { max-width: 40rem; margin: 0.8rem 0 2.2rem; font-size: 1.1rem; color: var(--quiet);
  text-wrap: pretty; }
dl { display: flex; flex-wrap: wrap; gap: 1rem 3rem; margin: 0 0 2rem; }
dt { font-size: 0.85rem; color: var(--quiet); }
dd { margin: 0; font: 600 1.5rem/1.3 var(--serif); font-variant-numeric: tabular-nums; }
ul { list-style: none; margin: 0; padding: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.5rem; }
nav a { display: block; padding: 0.25rem 0.8rem; border: 1px solid var(--line);
  border-radius: 2rem; background: var(--card); text-decoration: none;
  font: 0.85rem/1.5 var(--mono); }
nav a:hover { border-color: currentColor; }
article { --pad: clamp(1.2rem, 4vw, 3rem); padding: var(--pad);
  margin-top: clamp(2rem, 5vw, 3.5rem);
  border: 1px solid var(--line); border-radius: 1rem; background: var(--card); }
.stem { display: flex; justify-content: space-between; gap: 1rem; margin: 0;
  font: 0.85rem/1.6 var(--mono); }
.stem a { text-decoration: none; }
.good, .bad, .open { font-family: system-ui, sans-serif; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.open { color: var(--quiet); }
img { display: block; width: 100%; height: auto; border-radius: 0.5rem; background: #fff; }
@media (prefers-color-scheme: dark) { img { padding: 0.75rem; } }
.claims { margin: 1.8rem 0 0; }
.claims li { display: grid; grid-template-columns: 11rem 1fr; gap: 0 1rem; padding: 0.8rem 0;
  border-top: 1px solid var(--line); }
small { display: flex; flex-wrap: wrap; gap: 0 1.5rem; font-size: 0.9rem; color: var(--quiet);
  font-variant-numeric: tabular-nums; }
details { padding: 0.8rem 0; border-block: 1px solid var(--line); }
summary { cursor: pointer; color: var(--link); }
table { width: 100%; margin-top: 0.6rem; border-collapse: collapse; font-size: 0.95rem; }
th, td { padding: 0.35rem 0; text-align: left; font-weight: 400; vertical-align: top; }
td { min-width: 8rem; padding-left: 1rem; text-align: right; font-variant-numeric: tabular-nums; }
article footer { display: flex; flex-wrap: wrap; justify-content: space-between;
  gap: 0.3rem 1.5rem; margin-top: 1.2rem; font-size: 0.9rem; color: var(--quiet); }
code, pre { font: 0.85rem/1.6 var(--mono); overflow-wrap: anywhere; white-space: pre-wrap; }
pre { padding: 1rem; border-left: 3px solid var(--bad); background: var(--paper); }
@media (max-width: 40rem) {
  .claims li { grid-template-columns: 1fr; }
  .figure { display: block; margin-inline: calc(-1 * var(--pad)); }
  .figure img { border-radius: 0; } }
"""


def passed(result):
    """Whether a demo ran to its end, and every law that it claims holds."""
    return "error" not in result and all_hold(result["claims"])


def write_page(out, sources, data=None):
    """Write `out`/index.html about the `sources` that have results in `out`; return its path.

    `data` is the set that all of them were run on, if they were asked to.
    """
    results = {source: read(out / f"{source.stem}.json") for source in sources
               if (out / f"{source.stem}.json").exists()}
    claimed = [claim for result in results.values() for claim in result["claims"]]
    page = PAGE.substitute(
        style=STYLE, on=f" on {html.escape(data)}" if data else "", demos=len(results), laws=count(of_kind(claimed, "law")),
        findings=count(of_kind(claimed, "finding")),
        seconds=f"{sum(result['seconds'] for result in results.values()):.0f} s",
        contents="\n".join(f'<li><a href="#{source.stem}">{source.stem}</a></li>'
                           for source in results),
        cards="\n".join(card(out, source, result) for source, result in results.items()))
    write(out / "index.html", page.encode())
    return out / "index.html"


def read(path):
    """The results of a demo; in files of earlier versions, every claim is a law."""
    result = json.loads(path.read_text(encoding="utf-8"))
    for claim in result["claims"]:
        claim.setdefault("kind", "law")
    return result


def count(claims):
    """How many of the claims held, as "3 of 4"."""
    return f"{sum(claim['holds'] for claim in claims)} of {len(claims)}"


def card(out, source, result):
    """The article of one demo: question, figure, claims, numbers; or the error that ended it."""
    quick, seed = " --quick" * result["quick"], f" --seed {result['seed']}" * bool(result["seed"])
    data = result.get("data")
    other = f" --data {data}" if data and data != data_sets(source)[0] else ""
    if "error" in result:
        body = f"<pre>{html.escape(result['error'])}</pre>"
    else:
        body = figure(out, source.stem, result) + claims(result) + numbers(result)
    return CARD.substitute(
        stem=source.stem, question=html.escape(result["question"]), body=body,
        verdict=mark("good", "passed") if passed(result) else mark("bad", "failed"),
        seconds=f"{result['seconds']:.1f} s" + ", quick run" * result["quick"],
        command=html.escape(f"python demos/{source.name}{other}{quick}{seed}"), source=link(source, out))


def mark(kind, words):
    """A verdict as a sign, words and a colour."""
    sign = {"good": "✓", "bad": "✗", "open": "○"}[kind]
    return f'<span class="{kind}">{sign} {words}</span>'


def figure(out, stem, result):
    """The picture, with its size so that the page does not jump while it loads."""
    if not (out / f"{stem}.png").exists():
        return ""
    width, height = struct.unpack(">II", (out / f"{stem}.png").read_bytes()[16:24])
    return (f'<a class="figure" href="{stem}.png"><img src="{stem}.png" width="{width}" '
            f'height="{height}" loading="lazy" alt="{html.escape(result["finding"])}"></a>\n')


def claims(result):
    """The laws and findings of a demo: verdict, what was expected, what was measured."""
    items = [f'<li>{judgement(claim, result.get("data"))}'
             f'<div>{html.escape(claim["text"])}<small><span>{claim["kind"]}</span> '
             f'<span>expected {html.escape(claim["expected"])}</span> '
             f'<span>measured {show(claim["measured"])}</span></small>{reason(claim)}</div></li>'
             for claim in result["claims"]]
    return '<ul class="claims">\n' + "\n".join(items) + "\n</ul>\n"


def judgement(claim, data):
    """The verdict on a law or a finding; a finding that did not hold is open, not bad."""
    failed = {"law": "bad", "finding": "open"}[claim["kind"]]
    return mark("good" if claim["holds"] else failed, html.escape(verdict(claim, data).lower()))


def reason(claim):
    """Why a finding did not hold, if its demo says so."""
    return "" if claim["holds"] or "why" not in claim else f'<small>{html.escape(claim["why"])}</small>'


def numbers(result):
    """Everything that the demo recorded, folded away."""
    rows = [f'<tr><th scope="row">{html.escape(number["name"])}</th>'
            f'<td>{html.escape(show(number["value"]) + " " + number["unit"])}</td></tr>'
            for number in result["numbers"]]
    return ("<details><summary>Numbers</summary>\n<table>\n" + "\n".join(rows)
            + "\n</table></details>" if rows else "")


def link(source, out):
    """A link from the page to a source file, relative where the two are on one drive."""
    try:
        return quote(os.path.relpath(source, out).replace(os.sep, "/"))
    except ValueError:
        return source.resolve().as_uri()
