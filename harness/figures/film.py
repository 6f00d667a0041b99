"""A film of a training: the loss as it falls, and the gradient of each layer, step by step."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image

from harness.figures.canvas import BLUE, ORANGE, blank, curve_axes, own_style
from harness.figures.series import layer_norms, loss_limit, shortened, spread, thinned, training_loss
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
_LEAST = 1e-12
"""What is smaller counts as zero."""


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
    # one palette for all frames, so that only what moves is stored
    palette = drawn[-1].quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    file = io.BytesIO()
    times = [_MILLISECONDS] * (len(frames) - 1) + [_LAST]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()


def _frames(record: Record) -> Iterator[Image.Image]:
    steps, losses = training_loss(record, "film")
    layers = thinned(layer_norms(record, "gradient", "film"), _ROOM)
    scene = _Scene(record.num_steps, loss_limit(record, losses), layers)
    for index in spread(len(steps), _FRAMES):
        words = f"{record.name}   step {steps[index]}   loss {losses[index]:.4f}"
        yield scene.frame(words, steps[: index + 1], losses[: index + 1])


class _Scene:
    """Draws once what stays, and for each frame only what moves: ten times as fast as whole figures."""

    def __init__(self, num_steps: int, limit: float, layers: Mapping[str, NDArray[np.float64]]) -> None:
        self._layers = layers
        figure = blank(640, 480)
        self._canvas = FigureCanvasAgg(figure)
        above = curve_axes(figure, (0.1, 0.56, 0.86, 0.34), (-0.5, num_steps - 0.5, 0.0, limit), True)
        above.set(xlabel="step", ylabel="loss")
        below = figure.add_axes((0.3, 0.1, 0.66, 0.32), xlim=_decades(layers), xscale="log")
        below.set(xlabel="gradient norm", ylim=(len(layers) - 0.4, -0.6))
        below.set_yticks(range(len(layers)), [shortened(name, _LETTERS) for name in layers], fontsize=8)
        (self._line,) = above.plot([], [], color=BLUE, linewidth=2, animated=True)
        (self._dot,) = above.plot([], [], color=ORANGE, marker="o", animated=True)
        self._bars = below.barh(range(len(layers)), [1.0] * len(layers), color=BLUE, animated=True)
        self._words = figure.text(0.5, 0.94, "", ha="center", fontsize=12, animated=True)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def frame(self, words: str, steps: Sequence[int], losses: Sequence[float]) -> Image.Image:
        """Return the frame of the last of some steps."""
        self._canvas.restore_region(self._still)
        self._words.set_text(words)
        self._line.set_data(steps, losses)
        self._dot.set_data(steps[-1:], losses[-1:])
        for bar, norms in zip(self._bars, self._layers.values(), strict=True):
            bar.set_width(float(np.nan_to_num(norms[steps[-1]])))
        for artist in (self._line, self._dot, *self._bars, self._words):
            artist.draw(self._canvas.get_renderer())
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])


def _decades(layers: Mapping[str, NDArray[np.float64]]) -> tuple[float, float]:
    """Return the powers of ten around the norms that are not zero."""
    norms = np.concatenate(list(layers.values()))
    norms = norms[norms > _LEAST]
    if not norms.size:
        return 0.1, 1.0
    return 10.0 ** math.floor(math.log10(norms.min())), 10.0 ** math.ceil(math.log10(norms.max()) + 1e-9)
