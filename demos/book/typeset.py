"""TeX as inline SVG: Matplotlib's mathtext draws the letters, the page gives the colour."""
import html
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

SIZE = 100    # units of the drawing per em
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


@lru_cache(maxsize=None)
def svg(tex, plain):
    """An equation as one <svg>, as high as the text around it; `plain` is read out for it."""
    path = TextPath((0, 0), f"${tex}$", size=SIZE, prop=FontProperties(math_fontfamily="cm"))
    box = path.get_extents()
    left, low, width, height = box.x0 - 4, box.y0 - 4, box.width + 8, box.height + 8
    return (f'<svg class="tex" role="img" aria-label="{html.escape(plain)}" '
            f'viewBox="{left:.0f} {-low - height:.0f} {width:.0f} {height:.0f}" '
            f'style="width:{width / SIZE:.2f}em;vertical-align:{low / SIZE:.2f}em">'
            f'<path d="{outline(path)}"/></svg>')


def outline(path):
    """The path in SVG's words; y points down there."""
    words = []
    for points, kind in path.iter_segments(simplify=False, curves=True):
        if kind == Path.CLOSEPOLY:
            words.append("Z")
        else:
            numbers = [f"{-v:.0f}" if i % 2 else f"{v:.0f}" for i, v in enumerate(points)]
            words.append(LETTERS[kind] + " ".join(numbers))
    return "".join(words)
