"""A film of a training: the loss as it falls, and the gradient of each layer, step by step."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from harness.figures.canvas import BLUE, GREY, ORANGE, Values, own_style
from harness.figures.series import decades, layer_norms, shortened, spread, thinned, told_apart, training_losses
from harness.figures.sheets import HEAD, decades_on, sheet, step_axis, value_axis
from harness.record.record import Record


_LENGTH = 4000  # milliseconds that a film takes at least, if it has some frames

_Course = tuple[str, list[int], list[float], Mapping[str, Values]]
"""What the film shows of a training: its (first) loss's name, steps and values, and the norms of each layer."""


@own_style(labelled=True)
def film(record: Record, baseline: Record | None = None) -> bytes:
    """Return an animated GIF: (first) training loss up to each step, and each layer's gradient norm at it; for people.

    Args:
        record: a finished training.
        baseline: another one, its tensors named as in the first: its loss is a grey line, its norms are black marks.

    Returns:
        A file's bytes, 640 pixels wide, at most 60 frames of up to half a second each, repeated for ever; a film lasts
        four seconds or more, if it has the frames. The same record gives the same pixels.

    Raises:
        NotRecordedError: the record has no loss or no gradients.
        NonFiniteError: a loss or a norm is NaN or infinite; names the first such step.
    """
    name, steps, losses, layers = _course(record)
    before = _course(baseline) if baseline else None
    scene = _Scene(record, (name, steps, losses, thinned(layers, 20)), before)
    drawn = [scene.frame(index) for index in spread(len(steps), 60)]
    # one palette for all frames, so that only what moves is stored
    palette = drawn[-1].quantize(64, Image.Quantize.MAXCOVERAGE)
    first, *others = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    file = io.BytesIO()
    milliseconds = [max(80, min(500, _LENGTH // len(drawn)))] * len(others) + [2000]
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return file.getvalue()


def _course(record: Record) -> _Course:
    (name, points), *_ = training_losses(record, "film").items()
    return name, *points, layer_norms(record, "gradient", "film")


class _Scene:
    """Draws once what stays, and for each frame only what moves: ten times as fast as whole figures."""

    def __init__(self, record: Record, now: _Course, before: _Course | None) -> None:
        self._now = now
        name, steps, losses, layers = now
        _, former_steps, former_losses, former_layers = before or ("", [], [], {})
        self._before = [former_layers.get(name, np.empty(0)) for name in layers] if before else []
        figure = sheet(640, HEAD + 210 + 60 + 17 * len(layers), "The training, step by step", record)
        self._canvas = FigureCanvasAgg(figure)
        above, below = figure.subplots(2, height_ratios=[210, 60 + 17 * len(layers)])
        step_axis(above, 1 + max([*steps, *former_steps]))
        above.set_ylabel(shortened(name, 26))
        above.plot(steps, losses, alpha=0)  # so that the axis has room for it
        if before:
            above.plot(former_steps, former_losses, color=GREY, linestyle="--", label="baseline")
        value_axis(above, [*losses, *former_losses], "log")
        key = "norm of the gradient" + "   (black mark: baseline)" * bool(before)
        below.set(
            xlabel=key, xscale="log", ylim=(len(layers) - 0.4, -0.6), xlim=_limits([*layers.values(), *self._before])
        )
        decades_on(below.xaxis)
        below.set_yticks(range(len(layers)), told_apart(layers, 30))
        (self._line,) = above.plot([], [], color=BLUE, linewidth=2, animated=True, label="this run")
        (self._dot,) = above.plot([], [], color=ORANGE, marker="o", linestyle="", animated=True, label="now")
        above.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
        self._bars = below.barh(range(len(layers)), [1.0] * len(layers), color=BLUE, animated=True)
        (self._marks,) = below.plot([], [], "k|", markersize=9, markeredgewidth=2, animated=True)
        self._words = above.text(0, 1.04, "", transform=above.transAxes, animated=True)
        self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def frame(self, index: int) -> Image.Image:
        """Return the frame of one step; the index is among those that have a loss."""
        self._canvas.restore_region(self._still)
        _, steps, losses, layers = self._now
        step = steps[index]
        self._words.set_text(f"step {step}: {losses[index]:.5g}")
        self._line.set_data(steps[: index + 1], losses[: index + 1])
        self._dot.set_data([step], [losses[index]])
        for bar, norms in zip(self._bars, layers.values(), strict=True):
            bar.set_width(float(np.nan_to_num(norms[step])))
        former = [norms[step] if step < len(norms) else math.nan for norms in self._before]
        self._marks.set_data(former, range(len(former)))
        for artist in (self._line, self._dot, *self._bars, self._marks, self._words):
            artist.draw(self._canvas.get_renderer())
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])


def _limits(layers: Sequence[Values]) -> tuple[float, float]:
    """Return the powers of ten around the norms that are not zero."""
    norms = np.concatenate(layers)
    norms = norms[norms > 1e-12]  # what is smaller counts as zero
    return decades(norms) if norms.size else (0.1, 1.0)
