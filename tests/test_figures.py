"""Promises of the figures: pure functions of a record, without glyphs, exact to the pixel."""

import dataclasses
import functools
import io
import itertools
import math

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot
from PIL import Image

from harness import compare, errors, figures
from harness.figures import canvas
from harness.figures.digits import checksums, digit_cells
from harness.figures.series import loss_limits, shortened, told_apart, without_middle
from harness.record import Baseline
from harness.record.gate import Gate
from harness.record.pictures import HISTOGRAM_BINS, NO_MISTAKE, Histogram, Picture
from harness.record.record import Record
from harness.record.streams import Stream
from harness.report.check import profile
from tests.study.figures import FAULTS, TOLERANCE, seen, table, with_growth
from tests.test_record import record_of


def losses(steps=60, factor=1.0):
    """A falling loss."""
    return tuple((0.5 + 1.8 * math.exp(-step / 20)) * factor for step in range(steps))


STEPS = tuple(range(60))
TENSORS = {
    "conv1.weight": [4, 3, 3, 3],
    "conv1.bias": [4],
    "conv2.weight": [8, 4, 3, 3],
    "classifier.weight": [10, 128],
}


def tensor_streams():
    """Norms of gradients, updates and weights, each layer's another, and two learning rates."""
    streams = {"learning_rate/conv1.weight": Stream("schedule", STEPS, tuple(0.1 / (1 + step) for step in STEPS))}
    streams["learning_rate/conv1.bias"] = Stream("schedule", STEPS, (0.05,) * len(STEPS))
    for kind, stage, size in (("gradient", "backward", 0.3), ("update", "update", 0.01), ("weight", "state", 2.0)):
        for index, name in enumerate(TENSORS):
            norms = tuple(size * (1 + index) * math.exp(-step / 40) for step in STEPS)
            streams[f"{kind}/{name}"] = Stream(stage, STEPS, norms)
    return streams


def histograms():
    """Weights that spread, from ones, and gradients that shrink."""
    bell = tuple(round(100 * math.exp(-((i - 15.5) ** 2) / 30)) for i in range(HISTOGRAM_BINS))
    ones = (sum(bell), *[0] * (HISTOGRAM_BINS - 1))
    return {
        "weight/conv1.weight": Histogram((0, 60), ((1.0, 1.0), (0.9, 1.2)), (ones, bell)),
        "weight/conv2.weight": Histogram((0, 60), ((-0.1, 0.1), (-0.3, 0.4)), (bell, bell[::-1])),
        "gradient/conv1.weight": Histogram((0, 59), ((-0.1, 0.1), (-0.01, 0.02)), (bell, bell)),
    }


def a_record(loss=None, **changes):
    """A record that every figure can draw."""
    loss = loss or losses()
    pixels = bytes((7 * i * i + i) % 256 for i in range(10 * 32 * 32 * 3))
    labels = tuple(range(10))
    streams = {
        "loss": Stream("forward", tuple(range(len(loss))), loss),
        **tensor_streams(),
        "evaluation/loss": Stream("evaluation", (19, 39, 59), (2.0, 1.5, 1.0)),
        "evaluation/accuracy": Stream("evaluation", (19, 39, 59), (0.2, 0.35, 0.5)),
        "evaluation/average_accuracy": Stream("evaluation", (19, 39, 59), (0.1, 0.4, 0.55)),
        "evaluation/class_accuracy[0]": Stream("evaluation", (19, 39, 59), (0.2, 0.3, 0.4)),
        "evaluation/class_accuracy[1]": Stream("evaluation", (19, 39, 59), (0.1, 0.5, 0.6)),
    }
    small = bytes(i % 256 for i in range(4 * 8 * 8 * 3))
    pictures = {
        "batch": Picture(pixels, (10, 32, 32), labels),
        "predictions": Picture(pixels, (10, 32, 32), labels, (0, 1, 2, 3, 9, 5, 6, 7, 8, 0)),
        "mistakes": Picture(pixels[: 2 * 32 * 32 * 3], (2, 32, 32), (3, 5), (5, 3), (0.9, 0.8)),
        "filters": Picture(small[: 4 * 3 * 3 * 3], (4, 3, 3), limits=(-0.2, 0.2)),
        "activation/input": Picture(small[: 8 * 8 * 3], (1, 8, 8), limits=(-1.0, 1.0)),
        "activation/conv1": Picture(small, (4, 8, 8), limits=(-2.0, 3.0)),
        "activation/conv2": Picture(small[: 4 * 4 * 4 * 3], (4, 4, 4), limits=(-0.5, 0.1)),
    }
    group = {False: "conv1.bias", True: "conv1.weight"}
    parts = {
        "recipe": {"model": "cifar_cnn"},
        "data": {"name": "cifar10"},
        "structure": {
            name: {"shape": shape, "dtype": "float64", "requires_grad": True, "group": group[len(shape) > 1]}
            for name, shape in TENSORS.items()
        },
        "pictures": pictures,
        "histograms": histograms(),
        "confusion": tuple(tuple(9 if row == column else row % 3 for column in range(10)) for row in range(10)),
    }
    return record_of(streams, **{**parts, **changes})


def pixels_of(figure, **options):
    """The figure as pytest-mpl would save it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", **options)
    return np.asarray(Image.open(buffer).convert("RGB"), dtype=np.float64)


def sparse():
    """A training of one step, one tensor, two classes and two images."""
    whole = a_record()
    streams = {
        name: Stream(stream.stage, (0,), stream.values[:1])
        for name, stream in whole.streams.items()
        if name in ("loss", "evaluation/accuracy", "evaluation/loss") or str(name).endswith("conv1.weight")
    }
    pictures = {
        name: dataclasses.replace(
            picture,
            pixels=picture.pixels[: 2 * math.prod(picture.shape[1:]) * 3],
            shape=(min(2, picture.shape[0]), *picture.shape[1:]),
            **{part: getattr(picture, part)[:2] for part in ("labels", "predicted", "confidence")},
        )
        for name, picture in whole.pictures.items()
        if name != "activation/conv2"
    }
    structure = {"conv1.weight": whole.structure["conv1.weight"]}
    of_one = {name: histogram for name, histogram in whole.histograms.items() if "conv1" in name}
    parts = {"streams": streams, "pictures": pictures, "structure": structure, "histograms": of_one}
    return dataclasses.replace(whole, confusion=((3, 1), (0, 0)), data={}, **parts)


NAME = "a.$very$.long.name.of.a.größe_block.in.a.deep.model.layers"


def crowded():
    """A training of 600 steps, 70 layers, 100 classes, 12 losses of all sizes, large images, and long names of all."""
    steps = tuple(range(600))
    streams = {
        f"loss_of_a_very_long_$name$_{i}": Stream(
            "forward", steps, tuple(10.0 ** (i - 6) / (1 + step) for step in steps)
        )
        for i in range(12)
    }
    streams["evaluation/accuracy"] = Stream("evaluation", steps[::20], (0.0,) * 30)
    for i in range(100):
        streams[f"evaluation/class_accuracy[{i}]"] = Stream("evaluation", steps[::20], (i / 100,) * 30)
    names = [f"{NAME}.{i}.weight" for i in range(70)]
    for i, name in enumerate(names):
        for kind, stage in (("gradient", "backward"), ("update", "update"), ("weight", "state")):
            streams[f"{kind}/{name}"] = Stream(stage, steps, (0.0 if i == 2 else 10.0 ** -(i % 9),) * len(steps))
    streams |= {
        f"learning_rate/{name}": Stream("schedule", steps, (0.1 + i,) * 600) for i, name in enumerate(names[:9])
    }
    structure = {
        name: {"shape": [1024, 1024, 3, 3], "dtype": "float64", "requires_grad": True, "group": names[min(i, 8)]}
        for i, name in enumerate(names)
    }
    bell = histograms()["gradient/conv1.weight"]
    noise = bytes((7 * i * i + i) % 256 for i in range(10 * 64 * 64 * 3))
    labels, confidence = tuple(range(10)), (0.999,) * 10
    images = {
        name: Picture(noise, (10, 64, 64), labels, labels[::-1], confidence)
        for name in ("batch", "predictions", "mistakes")
    }
    maps = {f"activation/{NAME}.{i}": Picture(noise, (10, 64, 64), limits=(-1e-5, 1e5)) for i in range(6)}
    filters = {"filters": Picture(noise[: 64 * 9 * 3], (64, 3, 3), limits=(-0.2, 0.2))}
    return record_of(
        streams,
        name="tests.integration.training.test_a_long_module-test_training_is_unchanged[cuda-$a$-float64]",
        device="cuda",
        structure=structure,
        histograms={f"{kind}/{name}": bell for kind in ("weight", "gradient") for name in names},
        pictures=images | maps | filters,
        confusion=tuple(tuple(1234 if row == column else 1 for column in range(100)) for row in range(100)),
        class_names=tuple(f"{i} is a $long$ name" for i in range(100)),
    )


LONG = pytest.mark.long
RECORDS = {"usual": a_record, "sparse": sparse, "crowded": crowded}


@functools.cache
def made(kind):
    """One of the records."""
    return RECORDS[kind]()


@functools.cache
def labelled(name, kind="usual"):
    """The sheet of a record for people."""
    return getattr(figures, name)(made(kind), labelled=True)


def words_of(figure):
    """All that is written on a sheet."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@functools.cache
def drawn(name, for_people=False):
    """The pixels of the unchanged record's figure."""
    return pixels_of(labelled(name) if for_people else getattr(figures, name)(a_record()))


def rms(one, other):
    """pytest-mpl's measure."""
    return float(np.sqrt(np.mean((pixels_of(one) - pixels_of(other)) ** 2)))


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
def test_a_gated_figure_holds_no_glyph(name, monkeypatch):
    """Text moves with every Matplotlib and FreeType release; what is not there cannot move."""
    assert Written(getattr(figures, name)(a_record()), monkeypatch).texts == []


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
def test_no_style_of_the_surroundings_reaches_a_figure(name):
    """Built under any style, saved under any other: the same pixels."""
    with pyplot.style.context(["classic", "ggplot", "dark_background"], after_reset=True):
        figure = getattr(figures, name)(a_record())
        styled = pixels_of(figure, facecolor="white")

    assert np.array_equal(drawn(name), styled)


@pytest.mark.parametrize("name", ["class_accuracy", "loss_curve", "deviations"])
def test_no_style_reaches_a_sheet_either(name):
    """Neither while it is made nor when it is drawn: ticks take their style late."""

    def sheet():
        return getattr(figures, name)(comparison() if name == "deviations" else a_record(), labelled=True)

    plain = pixels_of(sheet())
    with pyplot.style.context(["ggplot", "dark_background"], after_reset=True):
        styled = pixels_of(sheet(), facecolor="white")

    assert np.array_equal(plain, styled)


class Written:
    """What is written on a sheet as it is drawn: texts, and the boxes of pixels that they fill."""

    def __init__(self, figure, monkeypatch):
        self.texts, self.boxes, self.sizes, self.turned = [], [], [], []
        draw = matplotlib.text.Text.draw
        monkeypatch.setattr(
            matplotlib.text.Text, "draw", lambda text, renderer: (self._add(text, renderer), draw(text, renderer))
        )
        self.pixels = canvas.pixels_of(figure)

    def _add(self, text, renderer):
        if text.get_visible() and text.get_text().strip():
            self.texts.append(text.get_text())
            self.boxes.append(text.get_window_extent(renderer))
            self.sizes.append(text.get_fontsize())
            self.turned.append(text.get_rotation() % 90 != 0)

    def overlaps(self):
        """Pairs of texts of which one covers a part of the other; of two that are turned, the boxes say nothing."""
        inner = [box.padded(-1) for box in self.boxes]
        pairs = itertools.combinations(range(len(inner)), 2)
        return [
            (self.texts[one], self.texts[other])
            for one, other in pairs
            if inner[one].overlaps(inner[other]) and not (self.turned[one] and self.turned[other])
        ]

    def outside(self):
        """Texts that the sheet cuts."""
        height, width = self.pixels.shape[:2]
        ends = [(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height) for box in self.boxes]
        return [text for text, inside in zip(self.texts, ends, strict=True) if not inside]

    def emptiest(self):
        """The widest white stripe from one edge of the sheet to the other, as a share of the sheet's width."""
        ink = (self.pixels < 250).any(axis=2)
        stripes = [itertools.groupby(ink.any(axis=axis)) for axis in (0, 1)]
        lengths = [len(list(run)) for groups in stripes for inked, run in groups if not inked]
        return max(lengths) / self.pixels.shape[1]


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
@pytest.mark.parametrize("kind", [pytest.param("usual", marks=LONG), pytest.param("sparse", marks=LONG), "crowded"])
def test_a_sheet_can_be_read(name, kind, monkeypatch):
    """No text over text or over the edge, none below 8 points, no empty stripe, 900 pixels at most; whose it is."""
    before, opened = dict(matplotlib.rcParams), pyplot.get_fignums()
    written = Written(labelled(name, kind), monkeypatch)

    assert pyplot.get_fignums() == opened
    assert dict(matplotlib.rcParams) == before
    assert written.overlaps() == []
    assert written.outside() == []
    assert min(written.sizes) >= 8
    assert written.emptiest() < 0.25
    assert max(written.pixels.shape[1] - 900, written.pixels.shape[0] - 1600) <= 0
    assert any(f" on {made(kind).device}, float64, " in text for text in written.texts)


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
@pytest.mark.parametrize("for_people", [False, pytest.param(True, marks=LONG)])
def test_figures_are_pure_functions(name, for_people):
    """The same record gives the same pixels, also after it has been stored."""
    stored = Record.from_text(a_record().to_text())
    again = pixels_of(getattr(figures, name)(stored, labelled=for_people))

    assert np.array_equal(again, drawn(name, for_people))


AXES = {
    "loss_curve": ("", "loss"),
    "accuracy_curve": ("step", "share that is right"),
    "learning_rate_curve": ("", "learning rate"),
    "gradient_flow": ("step", "layer"),
    "update_ratio": ("step", "norm of the update / norm of the weights"),
    "weight_distributions": ("weight, from the smallest to the largest of its tensor; dotted: zero", ""),
    "gradient_distributions": ("gradient, from the smallest to the largest of its tensor; dotted: zero", ""),
    "confusion_matrix": ("predicted class", "true class"),
    "class_accuracy": ("share of a class's test images that are right", ""),
    "model_structure": ("numbers in the tensor", ""),
}


@pytest.mark.parametrize("name", AXES)
def test_axes_say_what_they_show(name):
    """Quantity and unit stand beside the axis."""
    axes = labelled(name).axes[0]

    assert (axes.get_xlabel().partition("\n")[0], axes.get_ylabel()) == AXES[name]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss_curve", "colour: the digit at this place and what follows it"),
        ("gradient_flow", "norm of the gradient, as the optimizer got it"),
        ("confusion_matrix", "share of the images of the true class\n(written: how many)"),
    ],
)
def test_colours_have_a_key(name, key):
    """A scale at the foot of the sheet."""
    assert labelled(name).axes[-1].get_xlabel() == key


def changed(part, name, value):
    """The record with one entry of one of its parts changed."""
    return dataclasses.replace(a_record(), **{part: {**getattr(a_record(), part), name: value}})


def shifted(name, step, factor):
    """The record with one value of a stream changed."""
    stream = a_record().streams[name]
    values = tuple(value * factor if i == step else value for i, value in enumerate(stream.values))
    return changed("streams", name, dataclasses.replace(stream, values=values))


def other_picture(name):
    """The record with one pixel of a picture inverted."""
    picture = a_record().pictures[name]
    pixels = bytes([255 - picture.pixels[0]]) + picture.pixels[1:]
    return changed("pictures", name, dataclasses.replace(picture, pixels=pixels))


def other_histogram(name):
    """The record with some elements of a tensor in another bin, at the last step."""
    histogram = a_record().histograms[name]
    counts = (*histogram.counts[:-1], (50, *histogram.counts[-1][1:]))
    return changed("histograms", name, dataclasses.replace(histogram, counts=counts))


def other_confusion():
    """The record with one image more right."""
    first, second, *rest = a_record().confusion
    return dataclasses.replace(a_record(), confusion=(first, (second[0], second[1] + 1, *second[2:]), *rest))


MUTATIONS = {
    "loss_curve": lambda: shifted("loss", 30, 1 + 1e-7),
    "accuracy_curve": lambda: shifted("evaluation/accuracy", 1, 1.05),
    "learning_rate_curve": lambda: shifted("learning_rate/conv1.bias", 30, 1 + 1e-7),
    "gradient_flow": lambda: shifted("gradient/conv2.weight", 30, 1.2),
    "update_ratio": lambda: shifted("update/conv2.weight", 30, 1.2),
    "weight_distributions": lambda: other_histogram("weight/conv2.weight"),
    "gradient_distributions": lambda: other_histogram("gradient/conv1.weight"),
    "confusion_matrix": other_confusion,
    "class_accuracy": other_confusion,
    "filters": lambda: other_picture("filters"),
    "activation_maps": lambda: other_picture("activation/conv2"),
    "batch_grid": lambda: other_picture("batch"),
    "prediction_grid": lambda: other_picture("predictions"),
    "mistakes": lambda: other_picture("mistakes"),
    "model_structure": lambda: changed("structure", "conv1.bias", {"shape": [5], "group": "conv1.bias"}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[LONG] * (index % 3 > 0)) for index, name in enumerate(figures.OF_A_RECORD)]
)
def test_a_change_of_the_record_moves_the_labelled_figure(name):
    """Each shows what it is about: one value, one pixel, one image, one shape that changed."""
    other = getattr(figures, name)(MUTATIONS[name](), labelled=True)

    assert not np.array_equal(pixels_of(other), drawn(name, for_people=True))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("loss_curve", (480, 640)),
        ("accuracy_curve", (632, 640)),
        ("batch_grid", (292, 540)),
        ("prediction_grid", (292, 540)),
        ("learning_rate_curve", (480, 640)),
        ("gradient_flow", (632, 640)),
        ("update_ratio", (632, 640)),
        ("weight_distributions", (230, 640)),
        ("gradient_distributions", (184, 640)),
        ("confusion_matrix", (632, 480)),
        ("class_accuracy", (632, 640)),
        ("filters", (100, 516)),
        ("activation_maps", (276, 604)),
        ("mistakes", (152, 540)),
        ("model_structure", (258, 640)),
    ],
)
def test_sizes_are_fixed(name, size):
    """Figures have a size in pixels, whatever is in them."""
    assert drawn(name).shape[:2] == size


def test_a_change_in_the_eighth_digit_is_visible():
    """All losses off by one part in 10^7: plain pytest-mpl at its default tolerance of 2 turns red."""
    assert rms(figures.loss_curve(a_record()), figures.loss_curve(a_record(losses(factor=1 + 1e-7)))) > 2


def noisy(size, seed=0, record=None):
    """A record with each number of its streams and of its pictures' scales off by up to a part of itself."""
    numbers = np.random.default_rng(seed)

    def moved(values):
        return tuple(float(value * (1 + size * numbers.uniform(-1, 1))) for value in values)

    def apart(limits):  # unless all elements are alike, as ones and zeros are on every machine
        return moved(limits) if limits[0] < limits[1] else limits

    record = record or a_record()
    streams = {name: dataclasses.replace(s, values=moved(s.values)) for name, s in record.streams.items()}
    pictures = {
        name: dataclasses.replace(p, limits=p.limits and moved(p.limits), confidence=moved(p.confidence))
        for name, p in record.pictures.items()
    }
    kept = {name: dataclasses.replace(h, limits=tuple(map(apart, h.limits))) for name, h in record.histograms.items()}
    return dataclasses.replace(record, streams=streams, pictures=pictures, histograms=kept)


@pytest.mark.parametrize("name", FAULTS)
def test_the_tolerance_sees_a_thousandth_and_no_rounding(name):
    """A fault of 0.1 % (of counts: one image) is beyond pytest-mpl's default tolerance, noise of 1e-9 below half."""
    base = with_growth(a_record(), [noisy(1e-9, seed=1)])
    found = seen(name, base, {"noise": (base, noisy(1e-9))})

    assert found.is_as_promised, found


def test_the_table_of_the_study_names_what_went_furthest():
    """A line a figure, both sizes, and the machine."""
    base = with_growth(a_record(), [])
    found = seen("loss_curve", base, {"none": (base, a_record()), "much": (base, noisy(1e-6))})
    *_, line = table([found]).splitlines()

    assert line == f"| loss_curve | {found.everywhere:.1f} | {found.once:.1f} | {found.benign:.2f} | much | 2 |"


def test_one_changed_digit_of_one_step_is_drawn():
    """Not only a global shift: one loss of sixty that is off in its first digits moves pixels."""
    changed = list(losses())
    changed[30] *= 1.01

    assert rms(figures.loss_curve(a_record()), figures.loss_curve(a_record(tuple(changed)))) > 2


def test_a_colour_is_a_digit_and_what_follows_it():
    """Each cell of a column shows ten times the one above it, without whole turns of the colour map."""
    shown = matplotlib.colormaps["twilight"]([0.256, 0.56, 0.6], bytes=True)[:, :3]

    assert np.array_equal(digit_cells(np.array([0.256]), 3, 1, 1)[:, 0], shown)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.sampled_from([-1e-9, 1e-9]))
def test_no_cell_jumps_where_a_digit_is_carried(values, noise):
    """A number that hardly moves hardly moves a colour: 0.4999999 and 0.5 look alike in each of six digits."""
    one, other = (digit_cells(np.array(values) + moved, 6, 1, 9).astype(int) for moved in (0.0, noise))

    assert np.abs(one - other).max() <= 4


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_every_number_counts(rows, columns, data):
    """A thousandth of any one moves the sum of its column, and of no other, by more than four digits hide."""
    numbers = np.random.default_rng(rows * columns).uniform(0.3, 0.8, (rows, columns))
    row, column = (data.draw(st.integers(0, count - 1)) for count in (rows, columns))
    moved = numbers.copy()
    moved[row, column] *= 1.001
    change = np.abs(checksums(moved) - checksums(numbers))

    assert change[column] > 2e-4
    assert np.delete(change, column).max(initial=0.0) == 0


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5))
def test_numbers_of_any_size_have_a_checksum(values):
    """A file may hold the largest float there is: nothing overflows."""
    assert np.isfinite(checksums(np.array([values]))).all()


def test_numbers_beyond_the_width_share_a_column():
    """More than there are pixels: none is left out, and each moves the wide column at the right, too."""
    numbers = np.linspace(0.1, 0.9, 1001)
    plain = digit_cells(numbers, 6, 1, 100)
    for place in (0, 500, 1000):
        moved = numbers.copy()
        moved[place] += 1e-4
        columns = (digit_cells(moved, 6, 1, 100) != plain).any(axis=(0, 2))
        assert columns[:84].sum() == 1
        assert columns[84:].all()

    assert plain.shape == (6, 84 + 12, 3)


def of_three_thousand_steps():
    """The record again and again."""
    record = a_record()
    streams = {
        name: dataclasses.replace(stream, steps=tuple(range(3000)), values=stream.values * 50)
        for name, stream in record.streams.items()
        if stream.steps == STEPS
    }
    return dataclasses.replace(record, streams=record.streams | streams)


@pytest.mark.parametrize(
    "name",
    ["loss_curve", "update_ratio", *(pytest.param(n, marks=LONG) for n in ("learning_rate_curve", "gradient_flow"))],
)
def test_the_tolerance_sees_one_step_of_three_thousand(name):
    """There are more steps than pixels: one that is off by 0.1 % is beyond the tolerance, noise of 1e-9 below half."""
    record = of_three_thousand_steps()
    base = with_growth(record, [noisy(1e-9, 1, record)])
    found = seen(name, base, {"noise": (base, noisy(1e-9, 0, record))})

    assert found.once > TOLERANCE
    assert found.benign < TOLERANCE / 2


def test_a_curve_of_many_steps_is_thin():
    """A line of the usual width would fill the space between the peaks of thousands of losses."""
    widths = [
        figures.loss_curve(record, labelled=True).axes[0].lines[0].get_linewidth()
        for record in (a_record(), of_three_thousand_steps())
    ]

    assert widths == [1.8, 0.6]


def at_every_fiftieth_step():
    """A training of 3,000 steps whose tensors are looked at now and then."""
    record = of_three_thousand_steps()
    streams = {
        name: dataclasses.replace(stream, steps=stream.steps[::50], values=stream.values[::50])
        for name, stream in record.streams.items()
        if str(name).endswith("/conv1.weight")
    }
    return dataclasses.replace(record, streams={"loss": record.streams["loss"], **streams})


def test_what_is_recorded_now_and_then_keeps_all_its_cells():
    """Sixty values of a stream among 3,000 steps are sixty cells, and a line in the curves."""
    record = at_every_fiftieth_step()
    compared = figures.deviations(compare(Baseline(record), record), labelled=True)
    row = pixels_of(figures.gradient_flow(record))[25, 20:620]
    page = pixels_of(figures.update_ratio(record))[:480, 70:590]

    shown = ~compared.axes[1].images[0].get_array().mask
    assert sorted(shown.sum(axis=1)) == [60, 60, 60, 60, 300]
    assert (row[1:] != row[:-1]).any(axis=1).sum() == 2 * 60 - 1
    assert (np.ptp(page, axis=2) > 40).any(axis=0).all()  # something coloured above each step


def test_a_rate_has_digits_in_low_precision_too():
    """It is exact there; what a float32 training computes is another machine's."""
    low = a_record(precision="float32")

    assert images_of(figures.learning_rate_curve(low, labelled=True))
    assert not images_of(figures.loss_curve(low, labelled=True))
    assert pixels_of(figures.gradient_flow(low)).shape[0] == 480


def images_of(figure):
    """The rasters of a sheet: cells of digits."""
    return [image.get_array() for axes in figure.axes for image in axes.images]


def test_a_sheet_has_a_column_of_digits_a_step():
    """White where it has no value; of more steps than there are columns, the first, the last and some between."""
    (few,) = images_of(figures.loss_curve(record_of({"loss": Stream("forward", (0, 2), (1.5, 2.5))}), labelled=True))
    (many,) = images_of(figures.loss_curve(a_record(losses(5000)), labelled=True))

    assert [bool((column == 255).all()) for column in few.swapaxes(0, 1)] == [False, True, False]
    assert many.shape[1] == 560


def test_rows_of_digits_are_named_by_their_places():
    """Of one series; rows of several have the names of the series."""
    one = figures.loss_curve(of_losses(loss=(23.0, 1.0)), labelled=True)
    two = figures.loss_curve(of_losses(loss_d=(1.0, 0.5), loss_g=(0.7, 1.5)), labelled=True)

    assert [text.get_text() for text in one.axes[1].get_yticklabels()][:4] == ["10", "1", "0.1", "0.01"]
    assert [text.get_text() for text in two.axes[2].get_yticklabels()] == ["loss_d", "loss_g"]


def of_losses(**losses):
    """A record of a loop that logs some numbers of a few steps each."""
    return record_of({name: Stream("forward", tuple(range(len(values))), values) for name, values in losses.items()})


def panels_of(figure):
    """The panels of a sheet: title, and limits of the y axis."""
    return {axes.get_title(loc="left"): axes.get_ylim() for axes in figure.axes if axes.lines}


def test_every_loss_of_a_loop_is_drawn():
    """Each has a panel that fits it; a change in the eighth digit of the second turns plain pytest-mpl red."""
    record = of_losses(loss_d=(1.2345678912, 0.5), accuracy=(0.1, 0.2), loss_g=(73.45678912, 150.0))
    other = of_losses(loss_d=(1.2345678912, 0.5), accuracy=(0.1, 0.2), loss_g=(73.45677912, 150.0))
    panels = panels_of(figures.loss_curve(record, labelled=True))

    assert panels.keys() == {"loss_d", "loss_g"}
    assert panels["loss_d"][1] < 2 < 60 < panels["loss_g"][0]
    assert rms(figures.loss_curve(record), figures.loss_curve(other)) > 2


def test_without_a_loss_by_name_all_that_was_logged_is_drawn():
    """Nobody knows which of them is one; equal series share a panel."""
    figure = figures.loss_curve(of_losses(policy=(1.0, 0.5), value=(2.0, 1.0), both=(2.0, 1.0)), labelled=True)

    assert panels_of(figure).keys() == {"policy", "value, both"}
    assert figure.texts[0].get_text() == "What the loop logged at each step"


def test_losses_that_are_left_out_are_named():
    """Of more than eight."""
    figure = figures.loss_curve(of_losses(**{f"loss_{i}": (1.0, 0.5 + i) for i in range(12)}), labelled=True)

    assert len(panels_of(figure)) == 8
    assert figure.axes[8].get_xlabel() == "step\n(not drawn: loss_8, loss_9 and 2 more)"


@pytest.mark.parametrize(("values", "scale"), [((1e6, 2.0), "log"), ((3.0, 2.0), "linear"), ((1e6, -2.0), "linear")])
def test_a_loss_of_many_sizes_has_a_logarithmic_axis(values, scale):
    """Where it can have one."""
    assert figures.loss_curve(of_losses(loss=values), labelled=True).axes[0].get_yscale() == scale


def test_a_loss_below_zero_is_drawn():
    """Of a policy or a critic; rounding noise around zero moves neither the axis nor the digits."""
    rounded = (of_losses(policy_loss=(noise, 0.5), value_loss=(1.0, 0.5)) for noise in (3e-17, -1e-16))

    assert loss_limits(of_losses(), [(1.0, -0.5)]) == (-2.0, 2.0)
    assert rms(*map(figures.loss_curve, rounded)) == 0


def test_a_watched_loop_gets_limits_of_its_own():
    """Without a recipe the gated axis ends at a power of two above the first loss."""
    assert loss_limits(of_losses(), [(100.0, 50.0)]) == (0.0, 128.0)


def test_wrong_predictions_differ_by_more_than_colour():
    """The corner of a wrong image is filled: colour alone does not reach everyone."""
    grey = pixels_of(figures.prediction_grid(a_record())).mean(axis=2)
    right, wrong = grey[:108, :108], grey[:108, 432:]

    assert wrong[6:30, -30:-6].std() < 1e-9
    assert right[6:30, -30:-6].std() > 1


KEEP = "call recorder.keep_predictions(images, labels, predicted) after the last evaluation"
IMAGES = "with images of 1 or 3 channels: (N, C, H, W) or (N, H, W, C), uint8 or finite numbers"
WATCH = "watch the model and its optimizer: recorder.watch(model, optimizer)"
NO_HISTOGRAM = "a tensor of fewer than 32 elements has none, nor has one divided over ranks"
MISSING = {
    "loss_curve": ("loss", "log it: recorder.log(loss=loss)"),
    "accuracy_curve": ("evaluation/accuracy", "log it: recorder.evaluation(accuracy=...)"),
    "learning_rate_curve": ("learning rate", WATCH),
    "gradient_flow": ("gradient norms", WATCH),
    "update_ratio": ("update norms", WATCH),
    "weight_distributions": ("weight histograms", f"{WATCH}; {NO_HISTOGRAM}"),
    "gradient_distributions": ("gradient histograms", f"{WATCH}; {NO_HISTOGRAM}"),
    "confusion_matrix": ("confusion matrix", f"{KEEP}, with labels from 0 to 99"),
    "class_accuracy": ("confusion matrix", f"{KEEP}, with labels from 0 to 99"),
    "filters": (
        "filters",
        "watch a model whose first weight is that of a convolution over images with 3 or 1 channels",
    ),
    "activation_maps": (
        "activation maps",
        "evaluate the watched model in the block (model.eval()), and watch one with nn.Conv2d, uncompiled",
    ),
    "batch_grid": ("batch images", f"call recorder.batch(images, labels) {IMAGES}"),
    "prediction_grid": ("prediction images", f"{KEEP}, {IMAGES}"),
    "mistakes": ("mistakes", f"{KEEP}, {IMAGES}".replace("predicted)", "predicted, confidence=...)")),
    "model_structure": ("trained tensors", WATCH),
}


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
def test_what_a_record_lacks_is_named(name):
    """Word for word: what is missing, which figure wants it, which call records it."""
    missing, remedy = MISSING[name]
    with pytest.raises(errors.NotRecordedError) as caught:
        getattr(figures, name)(record_of({}, structure={}))

    assert str(caught.value) == f"the record of made holds no {missing}\n  where  figures.{name}\n  fix    {remedy}"


def test_nan_is_not_drawn():
    """A hole in a curve is too small for pytest-mpl to see: the figure refuses."""
    with pytest.raises(errors.NonFiniteError, match="loss is nan at step 1"):
        figures.loss_curve(a_record((1.0, math.nan, 1.0)))


@pytest.mark.parametrize(("name", "kind"), [("gradient_flow", "gradient"), ("update_ratio", "update")])
def test_nan_in_a_layer_is_not_drawn_either(name, kind):
    """The message names the tensor's stream and the step."""
    with pytest.raises(errors.NonFiniteError, match=rf"{kind}/conv1.weight is nan at step 7 "):
        getattr(figures, name)(shifted(f"{kind}/conv1.weight", 7, math.nan))


def test_a_layer_without_gradient_has_the_lowest_colour():
    """A layer that is not trained stands out: its row is the first colour of the map, all others lighter."""
    zero = Stream("backward", STEPS, (0.0,) * len(STEPS))
    rows = pixels_of(figures.gradient_flow(changed("streams", "gradient/conv2.weight", zero)))[40:180:48, 100]

    assert rows[1].tolist() == [68, 1, 84]  # of viridis
    assert all(row.sum() > rows[1].sum() for row in rows[[0, 2]])


def test_groups_of_one_schedule_share_a_curve():
    """Two groups with the same rates are one line, and the legend names both."""
    rates = a_record().streams["learning_rate/conv1.weight"]
    one = figures.learning_rate_curve(changed("streams", "learning_rate/conv1.bias", rates), labelled=True)

    assert len(panels_of(one)) == 1
    assert panels_of(labelled("learning_rate_curve")).keys() == {"conv1.weight and 2 more", "conv1.bias"}


def test_biases_have_no_ratio():
    """They start at zero: only matrices and kernels are drawn."""
    legend = labelled("update_ratio").axes[0].get_legend()

    assert [text.get_text().strip() for text in legend.get_texts()] == [
        "0.001, a rule of thumb",
        "conv1",
        "conv2",
        "classifier",
    ]


def test_many_layers_and_tensors_fit():
    """A deep model: evenly spread layers, the first and the last among them, at a bounded size."""
    for name in ("gradient_flow", "update_ratio", "model_structure", "weight_distributions"):
        words = words_of(labelled(name, "crowded"))
        assert pixels_of(getattr(figures, name)(made("crowded"))).shape[0] <= 1400 * 1.3
        assert any(".layers.0" in text for text in words), name
        assert any(".layers.69" in text for text in words), name


def test_classes_have_their_names():
    """Of CIFAR-10 and the embedded set; of other data, numbers."""
    captions = [
        words_of(figures.mistakes(a_record(data={"name": data}), labelled=True))
        for data in ("cifar10", "synthetic", "mine")
    ]

    assert "cat\ntaken for\ndog\n90.0% sure" in captions[0]
    assert "frame\ntaken for\ndiagonal cross\n90.0% sure" in captions[1]
    assert "class 3\ntaken for\nclass 5\n90.0% sure" in captions[2]


@pytest.mark.parametrize("cut", [shortened, without_middle])
@given(st.lists(st.text("a.", min_size=12, max_size=24), max_size=20, unique=True))
def test_names_that_are_cut_stay_apart(cut, names):
    """Whatever they differ in, and none gets longer than there is room."""
    texts = told_apart(names, 12, cut)

    assert len(set(texts)) == len(names)
    assert max(map(len, texts), default=0) <= 12


def test_classes_and_losses_that_begin_or_end_alike_are_told_apart():
    """Names that were cut at one end only were equal."""
    classes = ("horizontal stripes in red", "horizontal stripes in blue", *["cat"] * 8)
    matrix = words_of(figures.confusion_matrix(a_record(class_names=classes), labelled=True))
    losses = {f"{part}_of_the_reconstruction_loss": (float(i), 0.5) for i, part in enumerate(("shape", "colour"))}
    curves = words_of(figures.loss_curve(of_losses(**losses), labelled=True))

    assert {"horizon...s in red", "horizon... in blue"} <= set(matrix)
    assert {"shape_of_t...uction_loss", "colour_of_...uction_loss"} <= set(curves)


def test_classes_without_test_images_are_drawn_as_such():
    """A row of zeros is grey, not black, and no division by zero."""
    record = a_record(confusion=((3, 1), (0, 0)))
    matrix = pixels_of(figures.confusion_matrix(record))

    assert matrix[400, 100].tolist() == [204, 204, 204]
    words = words_of(figures.class_accuracy(record, labelled=True))
    assert {"75% of 4", "no image", "share of a class's test images that are right; light grey: no image"} <= set(words)
    key = "share of the images of the true class\n(written: how many; light grey: no image)"
    assert key in words_of(figures.confusion_matrix(record, labelled=True))
    bars = pixels_of(figures.class_accuracy(a_record(confusion=((0, 2, 0), (0, 2, 0), (0, 0, 0)))))[300]
    assert [bars[column].tolist() for column in (140, 530)] == [[255] * 3, [204] * 3]


def test_tensors_that_are_not_drawn_are_counted():
    """Biases are too small for a distribution, and a layer of vectors has no ratio."""
    vector = {
        name: dataclasses.replace(a_record().streams[name]) for name in ("update/conv1.bias", "weight/conv1.bias")
    }
    streams = {**a_record().streams, **{name.replace("conv1.bias", "norm.scale"): s for name, s in vector.items()}}
    record = dataclasses.replace(a_record(), streams=streams)

    distributions = "\n".join(words_of(labelled("weight_distributions")))
    assert "(not shown: 1 tensor of fewer than 32 elements)" in distributions
    ratios = words_of(figures.update_ratio(record, labelled=True))
    assert "step\n(not shown: 1 layer without a matrix or kernel)" in ratios


def test_a_scale_of_long_numbers_is_not_cut(monkeypatch):
    """The margin has room for names and for the ends of the scales."""
    small = dataclasses.replace(a_record().pictures["activation/conv1"], limits=(-0.00013, 0.000091))
    figure = figures.activation_maps(changed("pictures", "activation/conv1", small), labelled=True)

    assert Written(figure, monkeypatch).outside() == []


def test_filters_of_one_channel_have_no_colours():
    """They are grey, and the key says so."""
    grey = dataclasses.replace(a_record().pictures["filters"], pixels=bytes(4 * 3 * 3 * 3))
    words = words_of(figures.filters(changed("pictures", "filters", grey), labelled=True))

    assert "weights of the one channel: mid-grey is 0, black -0.2, white 0.2" in words


def test_where_all_is_right_no_call_is_asked_for():
    """Confidences were given, and there is no mistake."""
    record = record_of({}, undrawn={"mistakes": NO_MISTAKE})
    with pytest.raises(errors.NotRecordedError) as caught:
        figures.mistakes(record)

    fix = "there is nothing to mend; leave this figure out as long as the model makes no mistake"
    assert (caught.value.what, caught.value.fix) == (f"the record of made holds no mistakes: {NO_MISTAKE}", fix)


def test_the_film_shows_every_step():
    """An animated GIF, a frame a step, the last one longer; the curve grows to the right."""
    with Image.open(io.BytesIO(figures.film(a_record()))) as film:
        blue = []
        for index in range(film.n_frames):
            film.seek(index)
            pixels = np.asarray(film.convert("RGB")).astype(int)[60:200]
            blue.append((np.abs(pixels - (0, 0x72, 0xB2)).sum(axis=2) < 60).any(axis=0).sum())
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (60, (640, 373), 2000, 0)

    assert blue == sorted(blue)
    assert blue[-1] > 400


def test_the_film_of_a_short_training_can_be_watched():
    """Its frames stay for half a second."""
    with Image.open(io.BytesIO(figures.film(beginning(a_record())))) as film:
        assert (film.n_frames, film.info["duration"]) == (3, 500)


def beginning(record, steps=3):
    """Its first steps, of what a film shows."""
    shown = {name: stream for name, stream in record.streams.items() if name.startswith(("loss", "gradient/"))}
    cut = {name: Stream(stream.stage, stream.steps[:steps], stream.values[:steps]) for name, stream in shown.items()}
    return dataclasses.replace(record, streams=cut)


def test_the_film_shows_the_baseline_behind_the_training():
    """Its loss is a grey line from the first frame on; its norms are black marks on the bars, and the axis says so."""
    frames = []
    now, other = beginning(a_record()), beginning(shifted("gradient/conv1.weight", 0, 3.0))
    for before in (None, other, beginning(now, 2)):
        with Image.open(io.BytesIO(figures.film(now, before))) as film:
            frames.append(np.asarray(film.convert("RGB")).astype(int))
    alone, moved, short = ((np.abs(frame - 0x88).sum(axis=2) < 30)[60:200, 70:600].sum() for frame in frames)
    marks = [(frame[290:420, 200:610].sum(axis=2) < 60).sum() for frame in frames]

    assert alone < 50 < moved
    assert short > 50  # a baseline with fewer steps
    assert marks[0] < marks[1]


def test_the_film_names_its_loss_and_what_it_draws(monkeypatch):
    """Of several losses it shows the first."""
    streams = {name: Stream("forward", (0, 1), (1.0, 0.5)) for name in ("policy_loss", "value_loss", "gradient/w")}
    written = Written(canvas.blank(1, 1), monkeypatch)
    figures.film(record_of(streams))

    assert {"policy_loss", "this run", "now", "step 1: 0.5"} <= set(written.texts)


def test_the_film_of_a_long_training_is_short():
    """Evenly spread steps, at most sixty frames."""
    steps = tuple(range(300))
    streams = {name: Stream("forward", steps, (1.0,) * 300) for name in ("loss", "gradient/w")}

    with Image.open(io.BytesIO(figures.film(record_of(streams)))) as film:
        assert film.n_frames <= 60


def test_the_same_record_gives_the_same_film():
    """To the byte."""
    assert figures.film(beginning(a_record())) == figures.film(beginning(a_record()))


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_a_film_needs_losses_and_gradients(part):
    """The message names the figure and what it lacks."""
    kept = {name: stream for name, stream in a_record().streams.items() if not name.startswith(part)}

    with pytest.raises(errors.NotRecordedError, match=r"figures\.film"):
        figures.film(record_of(kept))


def test_a_sheet_shows_where_two_figures_differ():
    """Baseline, present and difference beside each other; the difference is white where nothing differs."""
    sheet = figures.side_by_side(figures.loss_curve(a_record()), figures.loss_curve(MUTATIONS["loss_curve"]()))
    pixels = np.asarray(sheet).astype(int)
    before, now, difference = (pixels[28:508, 12 + i * 652 : 652 + i * 652] for i in range(3))
    differs = (before != now).any(axis=2)

    assert sheet.size == (1968, 520)
    assert differs.any()
    assert ((difference != 255).any(axis=2) == differs).all()


def test_a_sheet_of_equal_figures_has_no_difference():
    """All white, whatever is drawn; images are taken, too."""
    image = Image.new("RGB", (200, 20), "#123456")
    pixels = np.asarray(figures.side_by_side(image, image.copy()))

    assert (pixels[29:47, 12 + 2 * 212 : 212 + 2 * 212] == 255).all()


def test_a_sheet_of_two_sizes_pads_the_smaller():
    """What only one of them has is a difference; panels are as wide as their words."""
    sheet = figures.side_by_side(Image.new("RGB", (30, 20), "black"), Image.new("RGB", (40, 20), "black"))
    left = 12 + 2 * (sheet.width - 12) // 3
    difference = np.asarray(sheet)[28:48, left : left + 40]

    assert sheet.width > 900
    assert (difference[:, :30] == 255).all()
    assert (difference[:, 30:] != 255).any(axis=2).all()


def comparison(**changes):
    """The record against itself with changes."""
    return compare(a_record(), dataclasses.replace(a_record(), **changes))


def test_deviations_of_equal_records_are_pale_blue():
    """Every value of every stream is there, and none has moved."""
    pixels = pixels_of(figures.deviations(comparison()))[25, 25:600]

    assert {tuple(pixel) for pixel in pixels} == {(204.0, 226.0, 244.0)}


def test_deviations_show_step_and_stream():
    """One value beyond the threshold is one cell in colour, on a row and a column of its own; infinity is the last."""
    for factor in (1.001, math.nan):
        streams = shifted("gradient/conv1.weight", 30, factor).streams
        cells = pixels_of(figures.deviations(comparison(streams=streams)))
        moved = (cells != pixels_of(figures.deviations(comparison()))).any(axis=2)[:480]
        rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
        pixel = cells[rows[0], columns[0]]

        assert (columns[0], columns[-1]) == (20 + 30 * 10, 20 + 30 * 10 + 9)
        assert len(rows) <= 480 / len(streams)
        assert np.ptp(pixel) > 1


def test_a_stream_that_is_missing_is_infinitely_far():
    """It has the last colour."""
    streams = {name: stream for name, stream in a_record().streams.items() if name != "loss"}
    pixels = pixels_of(figures.deviations(comparison(streams=streams)))

    assert (np.abs(pixels - (240, 249, 33)).sum(axis=2) < 3).any()  # of plasma


def test_labelled_deviations_name_the_streams_that_leave_first():
    """The logged ones, then those beyond the threshold by step; the verdict is in the title."""
    streams = shifted("gradient/classifier.weight", 3, 2.0).streams
    figure = figures.deviations(comparison(streams=streams), labelled=True)
    names = [label.get_text() for label in figure.axes[1].get_yticklabels()]

    assert {"loss", "gradient/classifier.weight"} <= set(names)
    assert figure.texts[0].get_text() == "Deviation from the baseline: different"
    assert figure.axes[0].get_ylabel() == "largest relative deviation"
    assert figure.axes[1].get_title(loc="left").endswith(" streams; all others are equal")


def test_labelled_deviations_show_the_threshold_of_the_worst_value():
    """Of the value that takes most of its own, as the page does: another's would say nothing of it."""
    loose = Baseline(a_record(), gate=Gate(thresholds={"gradient/*": 1e-3}, reason="it is noisy"))
    found = compare(loose, shifted("loss", 3, 2.0))
    (line,) = (line for line in figures.deviations(found, labelled=True).axes[0].lines if line.get_linestyle() == "--")
    worst = profile(found)

    assert line.get_label() == "threshold"
    assert line.get_ydata()[3] == worst.thresholds[worst.steps.index(3)] < 1e-3


def test_gated_deviations_hold_no_glyph():
    """They are one raster."""
    figure = figures.deviations(comparison())

    assert not any(words_of(figure))
    assert pixels_of(figure).shape[:2] == (632, 640)


def test_gated_deviations_show_nothing_within_the_threshold():
    """What rounding does is another on each machine; the labelled form has greys for it."""
    within = comparison(streams=shifted("gradient/conv1.weight", 30, 1 + 1e-13).streams)

    assert rms(figures.deviations(within), figures.deviations(comparison())) == 0
    assert rms(*(figures.deviations(c, labelled=True) for c in (within, comparison()))) > 0


def test_all_figures_have_their_place():
    """What a module of figures offers is in `figures`, and the record's figures are listed in both."""
    assert set(figures.OF_A_RECORD) <= set(figures.__all__)
    assert set(figures.__all__) - set(figures.OF_A_RECORD) == {"OF_A_RECORD", "deviations", "film", "side_by_side"}


def test_steps_that_were_never_run_do_not_fill_the_memory():
    """A file may claim a step of a billion: figures with a column a step refuse it before they make room."""
    far = record_of({"gradient/w": Stream("backward", (0, 10**9 - 1), (1.0, 2.0))})

    with pytest.raises(errors.NotRecordedError, match="at most 1000000 steps"):
        figures.gradient_flow(far)
    with pytest.raises(errors.NotRecordedError, match="at most 1000000 steps"):
        figures.deviations(compare(far, far))
