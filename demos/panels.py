"""The five kinds of panel that the demos' figures are made of.

    curve(ax, p, risk, "measured", theory=exact)              a curve, its theory dashed
    scores(ax, n_labels, {"SimCLR": ..., "pixels": ...})      accuracy against x, with a band over the runs
    bars(ax, {"dense": 98.2, "pruned": 98.1})                 one number for each of a few things
    sheet(ax, {"seen": images, "truth": images})              rows of images
    scatter(ax, points, labels)                               points of the plane, each written as its label

Each takes further settings of its axes, such as title and xlabel, as keywords. Colour is never the only difference
between two series: they have markers too, or different dashes.
"""
import numpy as np
from common import BLACK, BLUE, GREEN, OKABE_ITO, ORANGE, PURPLE, SKY, VERMILLION, band, label_line
from matplotlib import colormaps

SERIES = [(BLUE, "o"), (VERMILLION, "s"), (GREEN, "^"), (ORANGE, "D"), (PURPLE, "v"), (SKY, "P"),
          (BLACK, "X")]
INK = [*OKABE_ITO.values(), "0.5", "#882255"]
INK[6] = "#999933"    # yellow is too light for letters


def curve(ax, x, y, text="", *, theory=None, dy=0, **style):
    """Draw one curve, with its theory in black dashes, and write `text` at its end.

    If y has two axes (runs, len(x)), the line is the median and a band holds 80 % of the runs. `style` goes to
    ``ax.plot``; `dy` moves the text up, in points. Returns the line.
    """
    if np.ndim(y) == 2:
        line = band(ax, x, y, **style)
    else:
        line, = ax.plot(x, y, **style)
    if theory is not None:
        ax.plot(x, theory, "--", color=BLACK, linewidth=1.3, zorder=line.get_zorder() + 1)
    if text:
        label_line(ax, line, text, dy=dy)
    return line


def scores(ax, x, samples, *, ticks=None, xscale="log", **axes):
    """Draw scores in per cent against x: for every name in `samples` the median over the runs and a band.

    `samples` is a dict of arrays of fractions, shape (runs, len(x)). The x themselves are the ticks.
    """
    ticks = x if ticks is None else ticks
    looks = [(*look, "-") for look in SERIES] + [(*look, "--") for look in SERIES]
    for (name, values), (color, marker, line) in zip(samples.items(), looks):
        band(ax, x, 100 * np.asarray(values), color=color, marker=marker, linestyle=line, markersize=5,
             label=name)
    ax.set(xscale=xscale, **{"ylabel": "test accuracy in %"} | axes)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.legend(loc="lower right", fontsize=10)


def bars(ax, values, *, fmt="%.3g", colors=None, **axes):
    """Draw a horizontal bar for every name in the dict `values`, with its number at the end."""
    colors = colors or [color for color, _ in SERIES[:len(values)]]
    drawn = ax.barh(list(values), list(values.values()), color=colors, height=0.6)
    ax.bar_label(drawn, fmt=fmt, padding=4)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(xlim=(0, 1.2 * max(values.values())), **axes)


def sheet(ax, rows, *, low=0, high=1, cmap="gray_r", missing="#dceaf5", **axes):
    """Draw rows of images; `rows` is a dict of name to images, shape (n, H, W). NaN has a colour of its own."""
    height = next(iter(rows.values())).shape[1] + 2
    frame = ((0, 0), (1, 1), (1, 1))
    lines = [np.hstack(np.pad(images, frame, constant_values=np.nan)) for images in rows.values()]
    picture = np.full((len(lines) * height, max(line.shape[1] for line in lines)), np.nan)
    for i, line in enumerate(lines):
        picture[i * height:(i + 1) * height, :line.shape[1]] = line
    colors = colormaps[cmap].with_extremes(bad=missing)
    ax.imshow(picture, cmap=colors, vmin=low, vmax=high)
    ax.set_yticks(height * np.arange(len(rows)) + height / 2 - 0.5, list(rows))
    ax.set(xticks=[], **axes)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def scatter(ax, points, labels, **axes):
    """Write every label at its point of the plane, shape (n, 2); equal labels have one colour."""
    for (a, b), label in zip(points, labels):
        ax.text(a, b, str(label), color=INK[label % len(INK)], fontsize=9, ha="center", va="center")
    low, high = points.min(axis=0), points.max(axis=0)
    edge = 0.03 * (high - low)
    ax.set(xlim=(low[0] - edge[0], high[0] + edge[0]), ylim=(low[1] - edge[1], high[1] + edge[1]),
           xticks=[], yticks=[], **axes)
    ax.grid(False)


def reference(ax, value, text, *, x=0.01):
    """Draw a dashed horizontal line at `value`, with a text above its left end (or elsewhere: x in 0..1)."""
    ax.axhline(value, linestyle="--", color="0.4", linewidth=1.2)
    ax.annotate(text, (x, value), (0, 3), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
                color="0.3", fontsize=10)
