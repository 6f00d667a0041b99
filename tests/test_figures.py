"""Promises of the figures: pure functions of a record, without glyphs, exact to the pixel."""

import io
import math

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from PIL import Image

from harness import errors, figures
from harness.figures.digits import DIGITS, leading_digits
from harness.record import Picture, Stream
from tests.test_record import record_of


def losses(steps=60, factor=1.0):
    """A falling loss."""
    return tuple((0.5 + 1.8 * math.exp(-step / 20)) * factor for step in range(steps))


def a_record(loss=None, **changes):
    """A record that every figure can draw."""
    loss = loss or losses()
    pixels = bytes((7 * i * i + i) % 256 for i in range(10 * 32 * 32 * 3))
    labels = tuple(range(10))
    streams = {
        "loss": Stream("forward", tuple(range(len(loss))), loss),
        "evaluation/accuracy": Stream("evaluation", (19, 39, 59), (0.2, 0.35, 0.5)),
        "evaluation/average_accuracy": Stream("evaluation", (19, 39, 59), (0.1, 0.4, 0.55)),
        "evaluation/class_accuracy[0]": Stream("evaluation", (19, 39, 59), (0.2, 0.3, 0.4)),
        "evaluation/class_accuracy[1]": Stream("evaluation", (19, 39, 59), (0.1, 0.5, 0.6)),
    }
    pictures = {
        "batch": Picture(pixels, (10, 32, 32), labels),
        "predictions": Picture(pixels, (10, 32, 32), labels, (0, 1, 2, 3, 9, 5, 6, 7, 8, 0)),
    }
    return record_of(streams, recipe={"model": "cifar_cnn"}, pictures=pictures, **changes)


def pixels_of(figure, **options):
    """The figure as pytest-mpl would save it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return np.asarray(Image.open(buffer).convert("RGB"), dtype=np.float64)


def rms(one, other):
    """pytest-mpl's measure."""
    return float(np.sqrt(np.mean((pixels_of(one) - pixels_of(other)) ** 2)))


@pytest.mark.parametrize("name", figures.__all__)
def test_a_gated_figure_holds_no_glyph(name, monkeypatch):
    """Text moves with every Matplotlib and FreeType release; what is not there cannot move."""
    drawn = []
    monkeypatch.setattr(
        matplotlib.text.Text, "draw", lambda text, _: drawn.append(text.get_visible() and text.get_text())
    )
    pixels_of(getattr(figures, name)(a_record()))

    assert not [text for text in drawn if text]


@pytest.mark.parametrize("name", figures.__all__)
@pytest.mark.parametrize("style", ["classic", "dark_background", "ggplot"])
def test_no_style_of_the_surroundings_reaches_a_figure(name, style):
    """Built under any style, saved under any other: the same pixels."""
    plain = pixels_of(getattr(figures, name)(a_record()))
    with pyplot.style.context(style, after_reset=True):
        figure = getattr(figures, name)(a_record())
        styled = pixels_of(figure, facecolor="white")

    assert np.array_equal(plain, styled)


@pytest.mark.parametrize("name", figures.__all__)
def test_figures_leave_nothing_in_pyplot(name):
    """No figure has to be closed, no rcParam stays changed."""
    before = dict(matplotlib.rcParams)
    getattr(figures, name)(a_record(), labelled=True)

    assert not pyplot.get_fignums()
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", figures.__all__)
def test_the_labelled_twin_has_words(name):
    """It is for people: a title, and more."""
    figure = getattr(figures, name)(a_record(), labelled=True)
    words = [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]

    assert any("made" in text for text in words)
    assert pixels_of(figure).std() > 0


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("loss_curve", (480, 640)),
        ("accuracy_curve", (480, 640)),
        ("batch_grid", (216, 540)),
        ("prediction_grid", (216, 540)),
    ],
)
def test_sizes_are_fixed(name, size):
    """Figures have a size in pixels, whatever is in them."""
    assert pixels_of(getattr(figures, name)(a_record())).shape[:2] == size


def test_a_change_in_the_ninth_digit_is_visible():
    """All losses off by one part in 10^8: plain pytest-mpl at its default tolerance of 2 turns red."""
    assert rms(figures.loss_curve(a_record()), figures.loss_curve(a_record(losses(factor=1 + 1e-8)))) > 2


def test_rounding_noise_is_not():
    """Noise of an ulp or of 1e-13 stays far below pytest-mpl's default tolerance of 2."""
    for noise in (2**-52, 1e-13):
        assert rms(figures.loss_curve(a_record()), figures.loss_curve(a_record(losses(factor=1 + noise)))) < 1.5


def test_one_changed_digit_of_one_step_is_drawn():
    """Not only a global shift: one loss of sixty that is off in its first digits moves pixels."""
    changed = list(losses())
    changed[30] *= 1.01

    assert rms(figures.loss_curve(a_record()), figures.loss_curve(a_record(tuple(changed)))) > 2


@given(st.floats(1e-300, 1e300))
def test_leading_digits_are_those_of_the_decimal_form(value):
    """Nine digits, cut and not rounded, of the exact decimal value of repr."""
    from decimal import Decimal

    digits = leading_digits(value)
    exact = "".join(map(str, Decimal(repr(value)).as_tuple().digits)).lstrip("0").ljust(DIGITS, "0")

    assert "".join(map(str, digits)) == exact[:DIGITS]


def test_float32_has_no_digits():
    """Its digits are noise on another machine: only the curve is drawn."""
    assert not figures.loss_curve(a_record(precision="float32"), labelled=True).images


def test_long_runs_fit():
    """More steps than pixels: the first, the last and evenly spaced ones between are drawn."""
    figure = figures.loss_curve(a_record(losses(5000)), labelled=True)

    assert figure.images[0].get_array().shape[1] <= 560


def test_a_watched_loop_gets_limits_of_its_own():
    """Without a recipe the axis ends at a power of two above the first loss."""
    record = record_of({"loss": Stream("forward", (0, 1), (100.0, 50.0))})

    assert figures.loss_curve(record, labelled=True).axes[0].get_ylim() == (0.0, 128.0)


def test_wrong_predictions_differ_by_more_than_colour():
    """The corner of a wrong image is filled: colour alone does not reach everyone."""
    grey = pixels_of(figures.prediction_grid(a_record())).mean(axis=2)
    right, wrong = grey[:108, :108], grey[:108, 432:]

    assert wrong[6:30, -30:-6].std() < 1e-9
    assert right[6:30, -30:-6].std() > 1


@pytest.mark.parametrize("name", ["loss_curve", "accuracy_curve"])
def test_a_missing_stream_is_named(name):
    """The message says what to log."""
    with pytest.raises(errors.NoStreamError, match="log it: "):
        getattr(figures, name)(record_of({}))


@pytest.mark.parametrize("name", ["batch_grid", "prediction_grid"])
def test_a_missing_picture_is_named(name):
    """The message says which call keeps it."""
    with pytest.raises(errors.NoPictureError, match="call recorder"):
        getattr(figures, name)(record_of({}))


def test_nan_is_not_drawn():
    """A hole in a curve is too small for pytest-mpl to see: the figure refuses."""
    with pytest.raises(errors.NonFiniteError, match="loss is nan at step 1"):
        figures.loss_curve(a_record((1.0, math.nan, 1.0)))
