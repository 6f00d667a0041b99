"""A film of a training: the loss as it falls, and the gradient of each layer, step by step."""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image

from harness.figures.canvas import BLUE, GREY, ORANGE, blank, curve_axes, own_style
from harness.figures.series import layer_norms, loss_limit, shortened, spread, thinned, training_loss
from harness.record.record import Record


_FRAMES = 60
"""Most frames; of a longer training, evenly spread steps."""

_MILLISECONDS, _LAST = 80, 2000
"""Of a frame, and of the last one."""

_COLOURS = 64

_ROOM = 20
"""Layers."""

_LETTERS = 22

_MARK: dict[str, Any] = {"color": "black", "marker": "|", "markersize": 9, "markeredgewidth": 2, "linestyle": "none"}

_LEAST = 1e-12
"""What is smaller counts as zero."""


def film(record: Record, baseline: Record | None = None) -> bytes:
    """Return an animated GIF: training loss up to each step, and each layer's gradient norm at it; for people.

    Args:
        record: a finished training.
        baseline: another one, its tensors named as in the first: its loss is a grey line, its norms are black marks.

    Returns:
        A file's bytes, 640x480 pixels, at most 60 frames, repeated for ever. The same record gives the same pixels.

    Raises:
        NotRecordedError: the record has no loss or no gradients.
        NonFiniteError: a loss or a norm is NaN or infinite; names the first such step.
    """
    with own_style():
        drawn = list(_frames(record, baseline))
    # one palette for all frames, so that only what moves is stored
    palette = drawn[-1].quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    file = io.BytesIO()
    times = [_MILLISECONDS] * (len(frames) - 1) + [_LAST]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return file.getvalue()


class _Course(NamedTuple):
    """What the film shows of a training."""

    steps: Sequence[int]
    losses: Sequence[float]
    layers: Mapping[str, NDArray[np.float64]]


def _course(record: Record) -> _Course:
    return _Course(*training_loss(record, "film"), layer_norms(record, "gradient", "film"))


def _frames(record: Record, baseline: Record | None) -> Iterator[Image.Image]:
    now = _course(record)
    now = now._replace(layers=thinned(now.layers, _ROOM))
    scene = _Scene(now, _course(baseline) if baseline else None, loss_limit(record, list(now.losses)))
    for index in spread(len(now.steps), _FRAMES):
        words = f"{record.name}   step {now.steps[index]}   loss {now.losses[index]:.4f}"
        yield scene.frame(words, index)


class _Scene:
    """Draws once what stays, and for each frame only what moves: ten times as fast as whole figures."""

    def __init__(self, now: _Course, before: _Course | None, limit: float) -> None:
        self._now = now
        self._before = [before.layers.get(name, np.empty(0)) for name in now.layers] if before else []
        figure = blank(640, 480)
        self._canvas = FigureCanvasAgg(figure)
        num_steps = 1 + max(*now.steps, *(before.steps if before else ()))
        above = curve_axes(figure, (0.1, 0.56, 0.86, 0.34), (-0.5, num_steps - 0.5, 0.0, limit), True)
        above.set(xlabel="step", ylabel="loss")
        if before:
            above.plot(before.steps, before.losses, color=GREY, linewidth=2, linestyle="--", label="baseline")
            above.legend(loc="lower left")
        below = figure.add_axes((0.3, 0.1, 0.66, 0.32), xlim=_decades([*now.layers.values(), *self._before]))
        key = "gradient norm" + "   (black: baseline)" * bool(before)
        below.set(xlabel=key, xscale="log", ylim=(len(now.layers) - 0.4, -0.6))
        below.set_yticks(range(len(now.layers)), [shortened(name, _LETTERS) for name in now.layers], fontsize=8)
        (self._line,) = above.plot([], [], color=BLUE, linewidth=2, animated=True)
        (self._dot,) = above.plot([], [], color=ORANGE, marker="o", animated=True)
        self._bars = below.barh(range(len(now.layers)), [1.0] * len(now.layers), color=BLUE, animated=True)
        (self._marks,) = below.plot([], [], animated=True, **_MARK)
        self._words = figure.text(0.5, 0.94, "", ha="center", fontsize=12, animated=True)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def frame(self, words: str, index: int) -> Image.Image:
        """Return the frame of one step.

        Args:
            words: above it.
            index: of the step among those that have a loss.
        """
        self._canvas.restore_region(self._still)
        steps, losses, layers = self._now
        step = steps[index]
        self._words.set_text(words)
        self._line.set_data(steps[: index + 1], losses[: index + 1])
        self._dot.set_data([step], [losses[index]])
        for bar, norms in zip(self._bars, layers.values(), strict=True):
            bar.set_width(float(np.nan_to_num(norms[step])))
        former = [norms[step] if step < len(norms) else math.nan for norms in self._before]
        self._marks.set_data(former, range(len(former)))
        for artist in (self._line, self._dot, *self._bars, self._marks, self._words):
            artist.draw(self._canvas.get_renderer())
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])


def _decades(layers: Iterable[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the powers of ten around the norms that are not zero."""
    norms = np.concatenate(list(layers))
    norms = norms[norms > _LEAST]
    if not norms.size:
        return 0.1, 1.0
    return 10.0 ** math.floor(math.log10(norms.min())), 10.0 ** math.ceil(math.log10(norms.max()) + 1e-9)
