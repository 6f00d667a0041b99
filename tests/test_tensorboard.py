"""Promises of write_events: what TensorBoard shows is what the record holds."""

import dataclasses
import io
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata
from tensorboard.util.tensor_util import make_ndarray

from harness import Recipe, errors, figures, read_events, train, write_events
from harness.figures.canvas import pixels_of
from harness.record.pictures import Histogram, Picture
from harness.record.streams import STAGES, Stream
from harness.tensorboard.images import grid
from harness.tensorboard.layout import LAYOUT
from tests.test_record import record_of


SMALL = Recipe(model="cifar_resnet", width=2, train_images=24, test_images=20, batch_size=8, epochs=2, warmup_steps=2)
GROUPS = {"data": "steps/", "forward": "training/", "state": "state_"}


@pytest.fixture(scope="module")
def record():
    """A small training."""
    return train(SMALL)


@pytest.fixture(scope="module")
def events(record, tmp_path_factory):
    """What TensorBoard reads of it."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    write_events(record, folder)
    return read(folder)


def read(folder):
    """Read a run's event files in full, as TensorBoard does."""
    kinds = ("scalars", "images", "tensors", "histograms", "compressedHistograms")
    accumulator = EventAccumulator(str(folder), size_guidance=dict.fromkeys(kinds, 0))
    accumulator.Reload()
    return accumulator


def brief(record, folder):
    """What TensorBoard reads of a record, without its labelled figures."""
    write_events(record, folder, labelled=False)
    return read(folder)


def curve(events, tag):
    """A scalar's (step, value) pairs."""
    return [(event.step, event.value) for event in events.Scalars(tag)]


def in_float32(stream):
    """A stream as TensorBoard keeps it."""
    return [(step, float(np.float32(value))) for step, value in zip(stream.steps, stream.values, strict=True)]


def tag_of(name, stream):
    """Where a stream is shown."""
    if name == "optimizer_steps" or (name.startswith("buffer/") and name.endswith("num_batches_tracked")):
        return f"steps/{name.removeprefix('buffer/')}"
    if stream.stage in GROUPS:
        return GROUPS[stream.stage] + name
    return name if "/" in name else f"{stream.stage}/{name}"


def numeric(record):
    """A record's streams of numbers, by tag."""
    streams = record.streams.items()
    return {tag_of(n, s): s for n, s in streams if not any(isinstance(value, str) for value in s.values)}


def test_every_number_of_the_record_is_there_at_float32(record, events):
    """All streams of all stages, each value at its step; beside them two kinds that are computed, and nothing else."""
    expected = numeric(record)
    trained = [name.partition("/")[2] for name in record.streams if name.startswith("update/")]

    computed = {"training/gradient_norm", *(f"update_ratio/{tensor}" for tensor in trained)}
    assert set(events.Tags()["scalars"]) == expected.keys() | computed
    for tag, stream in expected.items():
        assert curve(events, tag) == in_float32(stream), tag


names = st.text("abc", min_size=1, max_size=3)
numbers = st.one_of(st.floats(allow_nan=False, width=32), st.integers(-(2**20), 2**20))


@st.composite
def streams(draw):
    """A stream of numbers that float32 can hold."""
    steps = sorted(draw(st.lists(st.integers(0, 5), min_size=1, max_size=6)))
    return Stream(draw(st.sampled_from(STAGES)), tuple(steps), tuple(draw(numbers) for _ in steps))


@given(st.dictionaries(names, streams(), min_size=1, max_size=4))
def test_what_is_written_is_what_is_read(tmp_path_factory, named):
    """Whatever the streams, with several values a step or none: reading the events gives every number back."""
    folder = tmp_path_factory.mktemp("run")
    write_events(record_of(named), folder, labelled=False)
    record = read_events(folder, ignore=())
    found = {name.removeprefix("events/"): stream for name, stream in record.streams.items()}

    assert found.keys() == {tag_of(name, stream) for name, stream in named.items()}
    for name, stream in named.items():
        back = found[tag_of(name, stream)]
        assert (back.steps, np.float32(back.values).tolist()) == (stream.steps, np.float32(stream.values).tolist())


@pytest.mark.parametrize(
    "tag",
    [
        "training/loss",
        "training/gradient_norm",
        "learning_rate/block1.conv.weight",
        "learning_rate/block1.norm.weight",
        "gradient/block1.conv.weight",
        "update/block1.conv.weight",
        "steps/optimizer_steps",
        "update_ratio/block1.conv.weight",
        "state_weight/block1.conv.weight",
        "state_buffer/block1.norm.running_mean",
        "state_optimizer/block1.conv.weight/momentum_buffer",
        "init/block1.conv.weight",
        "steps/batch/size",
        "steps/block1.norm.num_batches_tracked",
        "evaluation/loss",
        "evaluation/accuracy",
        "evaluation/class_accuracy[9]",
        "evaluation/average_loss",
        "evaluation/average_accuracy",
    ],
)
def test_a_tag_is_where_people_look_for_it(events, tag):
    """Tags are part of the contract: dashboards name them."""
    assert tag in events.Tags()["scalars"]


def test_the_gradient_norm_is_that_of_all_tensors(record, events):
    """The root of the sum of squares over all gradients, one value a step."""
    gradients = np.array([s.values for name, s in record.streams.items() if name.startswith("gradient/")])
    expected = np.sqrt((gradients**2).sum(0))
    steps, values = zip(*curve(events, "training/gradient_norm"), strict=True)

    assert steps == tuple(range(record.num_steps))
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_the_update_ratio_is_that_of_norms(record, events):
    """The update's norm over the weight's, one value a step: about 1e-3 is healthy."""
    update, weight = (record.streams[f"{kind}/block2.conv.weight"].values for kind in ("update", "weight"))
    _, ratios = zip(*curve(events, "update_ratio/block2.conv.weight"), strict=True)

    np.testing.assert_allclose(ratios, np.array(update) / np.array(weight), rtol=1e-6)


def test_a_weight_of_zero_has_no_ratio(tmp_path):
    """Nothing is divided by zero: a step whose weight is zero is left out."""
    streams = {
        "update/w": Stream("update", (0, 1), (1.0, 1.0)),
        "weight/w": Stream("state", (0, 1), (0.0, 2.0)),
    }

    assert curve(brief(short(1.0, 1.0, **streams), tmp_path), "update_ratio/w") == [(1, 0.5)]


def test_the_layout_has_the_charts_that_people_look_at_first(events):
    """Loss, accuracy, rates, gradients, updates, state: each chart fits tags of the run; what fits none is left out."""
    (event,) = events.Tensors("custom_scalars__config__")
    layout = Layout.FromString(make_ndarray(event.tensor_proto).item())
    charts = {(c.title, chart.title): list(chart.multiline.tag) for c in layout.category for chart in c.chart}

    assert charts == {
        (category, title): [pattern]
        for category, known in LAYOUT.items()
        for title, pattern in known.items()
        if title not in ("distance from the stored state", "other numbers that are logged")
    }


@pytest.mark.parametrize(
    ("title", "tags", "others"),
    [
        ("loss", ["training/loss", "training/loss_kl", "evaluation/average_loss", "val/loss"], ["gradient/loss"]),
        ("other numbers that are logged", ["training/reward", "training/lossless"], ["training/loss_kl", "update/a"]),
        ("accuracy", ["evaluation/accuracy", "test/top1_accuracy"], ["evaluation/class_accuracy[0]"]),
    ],
)
def test_charts_take_what_belongs_into_them(title, tags, others):
    """Training and evaluation in one chart, whatever the tool calls the split, and nothing that only sounds like it."""
    pattern = LAYOUT["progress"][title]

    assert all(re.match(pattern, tag) for tag in tags)
    assert not any(re.match(pattern, tag) for tag in others)


def text_of(events, name):
    """A text as TensorBoard shows it."""
    (event,) = events.Tensors(f"{name}/text_summary")
    return make_ndarray(event.tensor_proto).item().decode()


def test_tables_say_where_and_what_was_trained(record, events):
    """Environment, recipe and tensors, a row each, as Markdown."""
    environment, recipe, structure = (text_of(events, name) for name in ("environment", "recipe", "structure"))

    assert environment.startswith("| what | version |\n| --- | --- |\n| python | ")
    assert all(f"| {name} | {value} |" in environment for name, value in record.environment.items())
    assert "| learning_rate | 0.25 |" in recipe
    assert f"| data sha256 | {record.data['sha256']} |" in recipe
    assert "| block1.conv.weight | [2, 3, 3, 3] | float64 | True | block1.conv.weight |" in structure
    assert "| block1.norm.running_mean | [2] | float64 | False |  |" in structure


def test_a_table_survives_what_stands_in_it(tmp_path):
    """A bar or a line break in a value does not break its row."""
    events = brief(record_of({}, environment={"processor": "a|b\nc"}), tmp_path)

    assert text_of(events, "environment").splitlines()[-1] == r"| processor | a\|b c |"


def hparams_of(events):
    """The columns and the line of a run in TensorBoard's table."""
    content = {tag: events.SummaryMetadata(tag).plugin_data.content for tag in events.PluginTagToContent("hparams")}
    columns = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    return columns, metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])


def test_a_run_is_a_line_in_the_table_of_hyperparameters(record, events):
    """The recipe's fields with the final metrics, in the run itself: no run of another name appears."""
    columns, line = hparams_of(events)

    assert {info.name for info in columns.hparam_infos} >= {*record.recipe, "device"}
    assert {info.name.tag for info in columns.metric_infos} == {
        "training/loss", "evaluation/loss", "evaluation/accuracy", "evaluation/count",
        "evaluation/average_loss", "evaluation/average_accuracy",
    }  # fmt: skip
    assert line.hparams["learning_rate"].number_value == 0.25
    assert line.hparams["model"].string_value == "cifar_resnet"


def shown_first(columns):
    """The columns that TensorBoard shows before others, of which it shows five."""
    return {info.name for info in columns.hparam_infos if info.differs}


def test_a_table_begins_with_what_a_recipe_is_known_by(events):
    """Of two dozen columns TensorBoard shows five."""
    assert shown_first(hparams_of(events)[0]) == {"model", "optimizer", "learning_rate", "batch_size", "precision"}


@pytest.mark.parametrize("config", [{}, {"rate": 0.1, "betas": (0.9, 0.99), "frozen": False}])
def test_a_watched_loop_is_a_line_in_the_same_table(tmp_path, config):
    """Its configuration is shown first, or else what is known; columns are those of the first run, so it has all."""
    columns, line = hparams_of(brief(dataclasses.replace(short(1.0), recipe=config), tmp_path))

    assert {info.name for info in columns.hparam_infos} >= {"learning_rate", "seed", "name", *config}
    assert dict(line.hparams).keys() == {"name", "precision", "seed", "device", *config}
    assert shown_first(columns) == (config.keys() or {"name", "precision", "seed", "device"})
    assert not config or line.hparams["frozen"].string_value == "False"


def test_the_graph_is_the_tree_of_modules(record, events):
    """A node a tensor, nested as modules are, with its shape; edges lead to the optimizer's groups and nowhere else."""
    nodes = {node.name: node for node in events.Graph().node}
    group = nodes["parameter groups/block1.conv.weight"]

    assert nodes.keys() == {
        *(name.replace(".", "/") for name in record.structure),
        "parameter groups/block1.conv.weight",
        "parameter groups/block1.norm.weight",
    }
    conv = nodes["block1/conv/weight"]
    assert [dim.size for dim in conv.attr["_output_shapes"].list.shape[0].dim] == [2, 3, 3, 3]
    assert (conv.op, nodes["block1/norm/running_mean"].op) == ("Parameter", "Buffer")
    assert "block1/conv/weight" in group.input
    assert not conv.input


def test_histograms_are_those_of_the_record(record, events):
    """Counts, limits and steps of each distribution, beside the norms of the same tensors."""
    assert set(events.Tags()["histograms"]) == {name.replace("/", "_histogram/", 1) for name in record.histograms}
    for name, expected in record.histograms.items():
        found = events.Histograms(name.replace("/", "_histogram/", 1))
        assert [event.step for event in found] == list(expected.steps)
        for event, (low, high), counts in zip(found, expected.limits, expected.counts, strict=True):
            value = event.histogram_value
            assert (value.min, value.max, value.num) == (low, high, sum(counts))
            assert tuple(value.bucket) == counts
            assert value.bucket_limit[-1] == high


def test_a_histogram_sums_up_at_the_middle_of_its_bins(tmp_path):
    """All that is known of an element is its bin."""
    counts = (3, *[0] * 30, 1)
    histogram = Histogram((4,), ((0.0, 32.0),), (counts,))
    (event,) = brief(record_of({}, histograms={"weight/w": histogram}), tmp_path).Histograms("weight_histogram/w")

    assert event.histogram_value.sum == 3 * 0.5 + 31.5
    assert event.histogram_value.sum_squares == 3 * 0.5**2 + 31.5**2


def pixels_in(events, tag):
    """The only image of a tag, and its step."""
    (event,) = events.Images(tag)
    decoded = Image.open(io.BytesIO(event.encoded_image_string))
    assert decoded.format == "PNG"
    return np.asarray(decoded), event.step


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
def test_every_labelled_figure_is_there(record, events, name):
    """Curves and image grids: a PNG each, at the last step, with the pixels of the labelled figure."""
    pixels, step = pixels_in(events, f"figures/{name}")

    assert step == record.num_steps
    assert np.array_equal(pixels, pixels_of(getattr(figures, name)(record, labelled=True)))


def test_a_picture_is_shown_beside_the_record(record, tmp_path):
    """At the last step, pixel for pixel, under the tag that it is given."""
    pixels_HWC = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    file = io.BytesIO()
    Image.fromarray(pixels_HWC).save(file, "PNG")
    write_events(record, tmp_path, labelled=False, images={"comparison/deviations": file.getvalue()})
    events = read(tmp_path)

    assert [tag for tag in events.Tags()["images"] if not tag.startswith("images/")] == ["comparison/deviations"]
    shown, step = pixels_in(events, "comparison/deviations")
    assert step == record.num_steps
    assert np.array_equal(shown, pixels_HWC)


def test_every_picture_is_there_as_a_grid(record, events):
    """Batches, predictions and what else the record keeps, pixel for pixel."""
    shown = {tag.removeprefix("images/") for tag in events.Tags()["images"] if tag.startswith("images/")}

    assert shown == record.pictures.keys() >= {"batch", "predictions"}
    for name, picture in record.pictures.items():
        assert np.array_equal(pixels_in(events, f"images/{name}")[0], grid(picture))


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 5), (10, 2, 5), (11, 2, 8), (64, 8, 8)])
def test_a_grid_holds_each_image_in_its_place(count, rows, columns):
    """Row by row, one white pixel around each image; places that are left over are white."""
    images_NHWC = np.random.default_rng(0).integers(0, 255, (count, 4, 3, 3), np.uint8)
    page = grid(Picture(images_NHWC.tobytes(), (count, 4, 3)))

    assert page.shape == (rows * 6, columns * 5, 3)
    for i, image_HWC in enumerate(images_NHWC):
        top, left = i // columns * 6, i % columns * 5
        assert np.array_equal(page[top + 1 : top + 5, left + 1 : left + 4], image_HWC)
    assert (page == 255).all(-1).sum() == rows * columns * 30 - count * 12


def test_without_labelled_figures_all_the_rest_is_there(record, events, tmp_path):
    """They take longer than everything else; a training that is as it was is seldom looked at."""
    some, full = brief(record, tmp_path).Tags(), events.Tags()

    assert [tag for tag in full["images"] if not tag.startswith("figures/")] == some["images"]
    assert {**full, "images": []} == {**some, "images": []}


@pytest.mark.parametrize("make", [lambda path: path.write_text("a file"), lambda path: path.symlink_to("nowhere/x")])
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, make):
    """A file in its place, a dangling link: one of our errors, with the folder and the reason."""
    make(tmp_path / "runs")

    with pytest.raises(errors.EventsError) as caught:
        write_events(short(1.0), tmp_path / "runs" / "a")
    assert caught.value.where == str(tmp_path / "runs" / "a")


def short(*losses, **streams):
    """A record with a loss, without pictures."""
    return record_of({"loss": Stream("forward", tuple(range(len(losses))), losses), **streams})


def test_a_second_run_takes_the_place_of_the_first(tmp_path):
    """TensorBoard merges all event files of a folder: the earlier run's are removed, so its values are gone."""
    brief(short(1.0, 2.0, 3.0), tmp_path)

    assert curve(brief(short(5.0, 6.0), tmp_path), "training/loss") == [(0, 5.0), (1, 6.0)]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_in_the_folder_stay(tmp_path):
    """Only event files of this folder are removed: neither notes nor another run below it."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "events.out.tfevents.1").write_bytes(b"")
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")

    brief(short(1.0), tmp_path)

    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "other" / "events.out.tfevents.1").exists()
    assert not (tmp_path / "events.out.tfevents.1").exists()


def test_a_record_with_nan_and_without_pictures_has_its_curves(tmp_path):
    """A training that failed is the one that people want to look at."""
    write_events(
        short(
            1.0,
            math.nan,
            math.inf,
            **{
                "gradient/w": Stream("backward", (0, 1, 2), (3.0, math.nan, math.inf)),
                "gradient/v": Stream("backward", (0, 1, 2), (4.0, 1.0, 1.0)),
                "evaluation/accuracy": Stream("evaluation", (2,), (0.5,)),
            },
        ),
        tmp_path,
    )
    events = read(tmp_path)

    assert str(curve(events, "training/loss")) == "[(0, 1.0), (1, nan), (2, inf)]"
    assert str(curve(events, "training/gradient_norm")) == "[(0, 5.0), (1, nan), (2, inf)]"
    assert events.Tags()["images"] == ["figures/accuracy_curve", "figures/model_structure"]


def test_a_training_that_exploded_has_its_curves(tmp_path):
    """Finite numbers whose squares are not: beyond float32 TensorBoard shows infinity."""
    gradient = Stream("backward", (0, 1), (1.0, 1e200))
    events = brief(short(1.0, 1e300, **{"gradient/w": gradient}), tmp_path)

    assert curve(events, "training/loss") == [(0, 1.0), (1, math.inf)]
    assert curve(events, "training/gradient_norm") == [(0, 1.0), (1, math.inf)]
