"""Moving pictures as pages: Matplotlib's HTML player with a slider, all in one file, no network."""
import html
import io
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple

import matplotlib.pyplot as plt
from common import write
from matplotlib.animation import HTMLWriter

from book.motions import compression, interpolation, selfsupervised
from book.pages import template, whole

SYMBOLS = {"fa-minus": "−", "fa-fast-backward": "«", "fa-step-backward": "‹",
           "fa-play fa-flip-horizontal": "◀", "fa-pause": "‖", "fa-play": "▶", "fa-step-forward": "›",
           "fa-fast-forward": "»", "fa-plus": "+"}


class Motion(NamedTuple):
    """One motion: the page that it belongs to, what it shows, and what makes it.

    ``make(rng)`` returns a figure, a function that draws frame i into it, and the number of frames.
    """

    page: str
    title: str
    says: str
    make: Callable


MOTIONS = {
    "descent": Motion(
        "min_norm", "Gradient descent walks to the nearest perfect fit",
        "From zero (blue) it ends at the shortest one, from elsewhere at the one nearest to its start.",
        interpolation.descent),
    "threshold": Motion(
        "double_descent", "The fit as the number of coefficients passes n = 12",
        "At p = n the only curve through all points is wild. With more waves there are many such "
        "curves, and the shortest is calm again.", interpolation.threshold),
    "mistakes": Motion(
        "epoch_wise", "What a network gets wrong while it learns wrong labels",
        "First it learns the digits, then the wrong labels, and test images are lost again.",
        interpolation.mistakes),
    "mask": Motion(
        "pruning", "A mask grows, and the accuracy holds for long",
        "Black: weights of the first layer that stay. They are trained between two cuts.",
        compression.mask),
    "staircase": Motion(
        "quantization", "The staircase of a quantizer, from 8 bits to 1",
        "Each bit less doubles the height of a step. The network notices late, then all at once.",
        compression.staircase),
    "contrast": Motion(
        "contrastive", "Digits find their places under NT-Xent",
        "Training saw no label. Numbers and colours only say what each point is.",
        selfsupervised.contrast),
    "restore": Motion(
        "masked_patches", "A masked autoencoder learns to restore",
        "Three quarters of each image are hidden (blue).", selfsupervised.restore),
}


def write_motion(out, name, rng):
    """Compute a motion; write out/motion-<name>.html and its last frame, for pages without scripts."""
    motion = MOTIONS[name]
    figure, draw, n_frames = motion.make(rng)
    draw(n_frames - 1)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=80)
    write(out / f"motion-{name}.png", image.getvalue())
    figure.set_layout_engine("none")    # axes stay where they are: no frame jumps, and all are drawn faster
    player = without_network(as_player(figure, draw, n_frames), motion.title)
    plt.close(figure)
    main = template("motion").substitute(name=name, page=motion.page, title=html.escape(motion.title),
                                         says=html.escape(motion.says), player=player)
    write(out / f"motion-{name}.html", whole(motion.title, main).encode())


def as_player(figure, draw, n_frames):
    """Matplotlib's player, as HTML, of all frames; draw(i) draws frame i into the figure."""
    writer = HTMLWriter(fps=5, embed_frames=True, default_mode="once")
    with TemporaryDirectory() as folder, plt.rc_context({"savefig.bbox": "standard"}):
        path = Path(folder) / "player.html"
        with writer.saving(figure, path, dpi=72):
            for i in range(n_frames):
                draw(i)
                writer.grab_frame()
        return path.read_text(encoding="utf-8")


def without_network(player, title):
    """Matplotlib's player with symbols in place of fonts from elsewhere; buttons and picture have names."""
    player = re.sub(r'<link rel="stylesheet"\s+href="[^"]*">', "", player)
    for words, symbol in SYMBOLS.items():
        player = player.replace(f'<i class="fa {words}"></i>', symbol)
    player = re.sub(r'<button title="([^"]*)"(?: aria-label="[^"]*")?',
                    r'<button type="button" title="\1" aria-label="\1"', player)
    player = player.replace('<img id="_anim_img', f'<img alt="{html.escape(title)}" id="_anim_img')
    return player.replace('<input id="_anim_slider', '<input aria-label="Frame" id="_anim_slider')
