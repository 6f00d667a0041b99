"""Promises of write_events: what TensorBoard shows is what the record holds."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness import Recipe, figures, train, write_events
from harness.figures.canvas import pixels_of
from harness.record import Stream
from tests.test_record import record_of


SMALL = Recipe(model="cifar_resnet", width=2, train_images=24, test_images=20, batch_size=8, epochs=2, warmup_steps=2)


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
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def curve(events, tag):
    """A scalar's (step, value) pairs."""
    return [(event.step, event.value) for event in events.Scalars(tag)]


def in_float32(stream):
    """A stream as TensorBoard keeps it."""
    return [(step, float(np.float32(value))) for step, value in zip(stream.steps, stream.values, strict=True)]


def test_every_curve_is_the_records(record, events):
    """Loss, learning rates and evaluation: each value of each step, at float32."""
    expected = {
        "training/loss": record.streams["loss"],
        **{name: s for name, s in record.streams.items() if name.startswith(("learning_rate/", "evaluation/"))},
    }
    del expected["evaluation/count"]  # a count never moves

    assert set(events.Tags()["scalars"]) == {*expected, "training/gradient_norm"}
    for tag, stream in expected.items():
        assert curve(events, tag) == in_float32(stream), tag


@pytest.mark.parametrize(
    "tag",
    [
        "training/loss",
        "training/gradient_norm",
        "learning_rate/block1.conv.weight",
        "learning_rate/block1.norm.weight",
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


@pytest.mark.parametrize("name", figures.OF_A_RECORD)
def test_every_labelled_figure_is_there(record, events, name):
    """Curves and image grids: a PNG each, at the last step, with the pixels of the labelled figure."""
    (image,) = events.Images(name)
    decoded = Image.open(io.BytesIO(image.encoded_image_string))
    expected = pixels_of(getattr(figures, name)(record, labelled=True))

    assert decoded.format == "PNG"
    assert (image.height, image.width) == expected.shape[:2]
    assert image.step == record.num_steps
    assert np.array_equal(np.asarray(decoded), expected)


def test_nothing_else_is_written(events):
    """Exactly the four figures."""
    assert sorted(events.Tags()["images"]) == sorted(figures.OF_A_RECORD)


def short(*losses, **streams):
    """A record with a loss, without pictures."""
    return record_of({"loss": Stream("forward", tuple(range(len(losses))), losses), **streams})


def test_a_second_run_takes_the_place_of_the_first(tmp_path):
    """TensorBoard merges all event files of a folder: the earlier run's are removed, so its values are gone."""
    write_events(short(1.0, 2.0, 3.0), tmp_path)
    write_events(short(5.0, 6.0), tmp_path)

    assert curve(read(tmp_path), "training/loss") == [(0, 5.0), (1, 6.0)]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_in_the_folder_stay(tmp_path):
    """Only event files of this folder are removed: neither notes nor another run below it."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "events.out.tfevents.1").write_bytes(b"")
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")

    write_events(short(1.0), tmp_path)

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
    assert events.Tags()["images"] == ["accuracy_curve"]


def test_a_training_that_exploded_has_its_curves(tmp_path):
    """Finite numbers whose squares are not: beyond float32 TensorBoard shows infinity."""
    gradient = Stream("backward", (0, 1), (1.0, 1e200))

    write_events(short(1.0, 1e300, **{"gradient/w": gradient}), tmp_path)

    events = read(tmp_path)
    assert curve(events, "training/loss") == [(0, 1.0), (1, math.inf)]
    assert curve(events, "training/gradient_norm") == [(0, 1.0), (1, math.inf)]
