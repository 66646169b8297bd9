"""What a demo measured, as HTML: its figure, its claims, its numbers."""
import html
import json
import struct

from common import all_hold, data_sets, of_kind, show, verdict

SIGNS = {"good": "✓", "bad": "✗", "open": "○"}


def read(path):
    """The results of a demo; in files of earlier versions, every claim is a law."""
    result = json.loads(path.read_text(encoding="utf-8"))
    for claim in result["claims"]:
        claim.setdefault("kind", "law")
    return result


def passed(result):
    """Whether a demo ran to its end, and every law that it claims holds."""
    return "error" not in result and all_hold(result["claims"])


def tally(claims, kind):
    """How many of the claims of a kind hold, as "3 of 4"."""
    chosen = of_kind(claims, kind)
    return f"{sum(claim['holds'] for claim in chosen)} of {len(chosen)}"


def mark(kind, words):
    """A verdict as a sign, words and a colour."""
    return f'<span class="{kind}">{SIGNS[kind]} {html.escape(words)}</span>'


def judgement(claim, data):
    """The verdict on a law or a finding; a finding that did not hold is open, not bad."""
    failed = {"law": "bad", "finding": "open"}[claim["kind"]]
    return mark("good" if claim["holds"] else failed, verdict(claim, data).lower())


def command(source, result):
    """What to type for this run of a demo."""
    data = result.get("data")
    other = f" --data {data}" if data and (data,) != tuple(data_sets(source)[:1]) else ""
    quick, seed = " --quick" * result["quick"], f" --seed {result['seed']}" * bool(result["seed"])
    return f"python demos/{source.name}{other}{quick}{seed}"


def picture(out, name, alt):
    """An image with its size, so that the page does not jump while it loads."""
    if not (out / f"{name}.png").exists():
        return ""
    width, height = struct.unpack(">II", (out / f"{name}.png").read_bytes()[16:24])
    return (f'<img src="{name}.png" width="{width}" height="{height}" decoding="async" '
            f'alt="{html.escape(alt)}">')


def see(out, stem, result):
    """The whole account of one demo."""
    if "error" in result:
        return f'<pre class="error">{html.escape(result["error"])}</pre>'
    image = picture(out, stem, result["finding"])
    figure = f'<a class="figure" href="{stem}.png">{image}</a>' if image else ""
    return figure + claims(result) + numbers(result)


def claims(result):
    """The laws and findings of a demo: verdict, what was expected, what was measured."""
    items = [f'<li>{judgement(claim, result.get("data"))}<div>{html.escape(claim["text"])}'
             f'<small><span>{claim["kind"]}</span> <span>expected {html.escape(claim["expected"])}</span> '
             f'<span>measured {html.escape(show(claim["measured"]))}</span></small>{reason(claim)}</div></li>'
             for claim in result["claims"]]
    return '<ul class="claims">\n' + "\n".join(items) + "\n</ul>\n"


def reason(claim):
    """Why a finding did not hold, if its demo says so."""
    return "" if claim["holds"] or "why" not in claim else f'<small>{html.escape(claim["why"])}</small>'


def numbers(result):
    """Everything that the demo recorded, folded away."""
    rows = [f'<tr><th scope="row">{html.escape(number["name"])}</th>'
            f'<td>{html.escape(show(number["value"]) + " " + number["unit"])}</td></tr>'
            for number in result["numbers"]]
    return ('<details><summary>All numbers</summary>\n<table aria-label="All numbers">\n' + "\n".join(rows)
            + "\n</table></details>" if rows else "")
