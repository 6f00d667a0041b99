"""A film of a training: the loss as it falls, and the gradient of each layer, step by step."""

import io
import math
from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from harness.figures.canvas import BLUE, ORANGE, blank, curve_axes, own_style
from harness.figures.series import layer_norms, loss_limit, shortened, spread, training_loss
from harness.record import Record


__all__ = ["film"]

_FRAMES = 60
"""Most frames; of a longer training, evenly spread steps."""
_MILLISECONDS, _LAST = 80, 2000
"""Of a frame, and of the last one."""
_COLOURS = 64
_ROOM = 20
"""Layers."""
_LETTERS = 22


def film(record: Record) -> bytes:
    """Return an animated GIF: training loss up to each step, and each layer's gradient norm at it; for people.

    Args:
        record: a finished training.

    Returns:
        A file's bytes, 640x480 pixels, at most 60 frames, repeated for ever. The same record gives the same pixels.

    Raises:
        NoStreamError: the record has no loss or no gradients.
        NonFiniteError: a loss or a norm is NaN or infinite; names the first such step.
    """
    with own_style():
        drawn = list(_frames(record))
    palette = drawn[-1].quantize(_COLOURS)  # one for all frames: only what moves is stored
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    file = io.BytesIO()
    times = [_MILLISECONDS] * (len(frames) - 1) + [_LAST]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()


def _frames(record: Record) -> Iterator[Image.Image]:
    """Draw what stays once, and per frame only what moves."""
    steps, losses = training_loss(record, "film")
    layers = layer_norms(record, "gradient", "film")
    shown = {list(layers)[i]: list(layers.values())[i] for i in spread(len(layers), _ROOM)}
    figure = blank(640, 480)
    canvas = FigureCanvasAgg(figure)
    above = curve_axes(figure, (0.1, 0.56, 0.86, 0.34), (-0.5, record.num_steps - 0.5, 0.0, loss_limit(record, losses)), True)
    above.set(xlabel="step", ylabel="loss")
    below = figure.add_axes((0.3, 0.1, 0.66, 0.32), xlim=_decades(shown), xscale="log", ylim=(len(shown) - 0.4, -0.6))
    below.set_yticks(range(len(shown)), [shortened(name, _LETTERS) for name in shown], fontsize=8)
    below.set_xlabel("gradient norm")
    (line,) = above.plot([], [], color=BLUE, linewidth=2, animated=True)
    (dot,) = above.plot([], [], color=ORANGE, marker="o", animated=True)
    bars = below.barh(range(len(shown)), [1.0] * len(shown), color=BLUE, animated=True)
    words = figure.text(0.5, 0.94, "", ha="center", fontsize=12, animated=True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for index in spread(len(steps), _FRAMES):
        canvas.restore_region(still)
        line.set_data(steps[: index + 1], losses[: index + 1])
        dot.set_data([steps[index]], [losses[index]])
        for bar, norms in zip(bars, shown.values(), strict=True):
            bar.set_width(float(np.nan_to_num(norms[steps[index]])))
        words.set_text(f"{record.name}   step {steps[index]}   loss {losses[index]:.4f}")
        for artist in (line, dot, *bars, words):
            artist.axes.draw_artist(artist) if artist.axes else figure.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _decades(layers: Mapping[str, NDArray[np.float64]]) -> tuple[float, float]:
    norms = np.concatenate(list(layers.values()))
    norms = norms[norms > 1e-12]
    if not norms.size:
        return 0.1, 1.0
    return 10.0 ** math.floor(math.log10(norms.min())), 10.0 ** math.ceil(math.log10(norms.max()) + 1e-9)
