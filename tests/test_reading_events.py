"""Promises of read_events: what a tool wrote for TensorBoard, all of it, is what is compared."""

import math
import os
import struct
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch.utils.tensorboard import RecordWriter, SummaryWriter

from harness import Record, compare, errors, read_events
from harness.comparing.thresholds import EVENTS_THRESHOLD


def scalar(tag, step, value, time=0.0):
    """An event with one scalar in the form of torch's writer."""
    return Event(wall_time=time, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))


def tensor(tag, step, proto, declared=True):
    """An event with one scalar in the form of TensorFlow 2 and Keras."""
    data = SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = SummaryMetadata(plugin_data=data) if declared else None
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, tensor=proto, metadata=metadata)]))


def start(step):
    """What torch's writer begins with when it is given purge_step."""
    return Event(step=step, session_log=SessionLog(status=SessionLog.START))


def write(path, *events):
    """Write an event file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
    return path


def losses(*values, first=0, time=1.0, tag="loss"):
    """Events of one tag at consecutive steps, after the header that every file begins with."""
    return [Event(wall_time=time, file_version="brain.Event:2")] + [
        scalar(tag, first + i, value, time + i) for i, value in enumerate(values)
    ]


def points(record, name="loss"):
    """A stream's (step, value) pairs."""
    stream = record.streams[name]
    return list(zip(stream.steps, stream.values, strict=True))


@pytest.fixture
def logdir(tmp_path):
    """A folder with the events of three steps."""
    write(tmp_path / "events.out.tfevents.1.host", *losses(3.0, 2.0, 1.0))
    return tmp_path


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_every_value_is_the_float32_that_was_written(tmp_path_factory, values):
    """Exact at float32, in the shortest decimal that gives it back; no point is dropped, however many there are."""
    logdir = tmp_path_factory.mktemp("logs")
    write(logdir / "events.out.tfevents.1", *losses(*values))
    stream = read_events(logdir).streams["loss"]

    assert np.array_equal(np.array(stream.values, np.float32), np.array(values, np.float32))
    assert all(float(f"{value:.9g}") == value for value in stream.values)


def test_all_points_are_read(tmp_path):
    """TensorBoard shows a sample of a thousand points a tag; the record holds all of them."""
    write(tmp_path / "a.tfevents", *losses(*map(float, range(12_000))))

    assert points(read_events(tmp_path)) == [(step, float(step)) for step in range(12_000)]


def test_the_record_says_where_its_numbers_come_from(logdir):
    """Its source is the medium; it survives its text form, and takes as long as its events say."""
    record = read_events(logdir, precision="float32")

    assert (record.precision, record.source, record.format_text) == ("float32", "event files", "float32 in event files")
    assert record.seconds == 2.0
    assert Record.from_text(record.to_text()) == record


def test_wall_times_do_not_matter(tmp_path):
    """A training that took longer is the same training."""
    write(tmp_path / "fast" / "a.tfevents", *losses(3.0, 2.0, time=1.0))
    write(tmp_path / "slow" / "a.tfevents", *losses(3.0, 2.0, time=1e9))

    assert read_events(tmp_path / "fast") == read_events(tmp_path / "slow")


@pytest.mark.parametrize(
    "proto",
    [
        TensorProto(dtype="DT_FLOAT", float_val=[0.1], tensor_shape=TensorShapeProto()),
        TensorProto(dtype="DT_FLOAT", tensor_content=struct.pack("<f", 0.1), tensor_shape=TensorShapeProto()),
        TensorProto(dtype="DT_DOUBLE", double_val=[0.1]),
        TensorProto(dtype="DT_FLOAT", float_val=[0.1], tensor_shape=TensorShapeProto(dim=[{"size": 1}])),
    ],
)
def test_tensors_that_a_writer_declares_as_scalars_are_scalars(tmp_path, proto):
    """TensorFlow 2, Keras and torch's new style write scalars as tensors; later ones may lack the declaration."""
    write(tmp_path / "a.tfevents", tensor("loss", 0, proto), tensor("loss", 1, proto, declared=False))

    assert points(read_events(tmp_path)) == [(0, 0.1), (1, 0.1)]


def test_whole_numbers_are_scalars(tmp_path):
    """An integer tensor is a number like any other."""
    write(tmp_path / "a.tfevents", tensor("epoch", 3, TensorProto(dtype="DT_INT64", int64_val=[7])))

    assert points(read_events(tmp_path), "epoch") == [(3, 7.0)]


def test_torch_writes_what_we_read(tmp_path):
    """Both styles of torch's writer, beside texts, histograms, graphs and hyperparameters that are no scalars."""
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("loss", 0.1 * step, step)
            writer.add_scalar("accuracy", 0.2 * step, step, new_style=True, double_precision=True)
        writer.add_text("note", "a text")
        writer.add_histogram("weights", np.arange(4.0), 0)
        writer.add_scalars("split", {"train": 0.5, "val": 0.25}, 1)
        writer.add_hparams({"rate": 0.1}, {"final": 0.75})
    record = read_events(tmp_path)

    assert list(record.streams) == [
        "loss", "accuracy", "hparams[0]/final", "split_train/split", "split_val/split"
    ]  # fmt: skip
    assert points(record) == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert points(record, "accuracy") == [(0, 0.0), (1, 0.2), (2, 0.4)]


def test_runs_below_the_folder_give_their_names_to_tags(tmp_path):
    """Keras writes train/ and validation/: equal tags of two runs are two streams."""
    write(tmp_path / "logs" / "train" / "a.tfevents", *losses(2.0, 1.0))
    write(tmp_path / "logs" / "validation" / "a.tfevents", *losses(4.0, 3.0))

    assert list(read_events(tmp_path).streams) == ["train/loss", "validation/loss"]


@pytest.mark.parametrize(
    "run",
    ["test_lr", "lr_0.1", "accuracy", "validation", "batch", "evaluation", "gradient", "learning_rate", "distance"],
)
def test_the_name_of_a_run_decides_nothing_but_names(tmp_path, run):
    """Neither stage nor threshold nor what a number is: a sweep over lr has folders of that name."""
    for name in (run, "plain"):
        write(tmp_path / name / "a.tfevents", *losses(2.0, 1.0), scalar("val/acc", 0, 0.5), scalar("lr", 0, 0.5))
    record = read_events(tmp_path, precision="float32")
    found = {name.removeprefix("events/"): stream.stage for name, stream in record.streams.items()}
    stages = {"loss": "forward", "val/acc": "evaluation", "lr": "schedule"}

    assert found == {f"{name}/{tag}": stage for name in (run, "plain") for tag, stage in stages.items()}
    assert {(key.kind, key.distance) for key in record.streams} == {("logged", False)}


def test_the_name_of_the_only_run_does_not_matter(tmp_path):
    """Folders that are named after date and host (torch's and Hugging Face's default) give the same record."""
    write(tmp_path / "a" / "runs" / "Nov23_10-00-00_here" / "a.tfevents", *losses(1.0))
    write(tmp_path / "b" / "runs" / "Dec01_11-00-00_there" / "a.tfevents", *losses(1.0))

    assert read_events(tmp_path / "a") == read_events(tmp_path / "b")


def test_folders_that_are_named_after_the_time_are_numbered(tmp_path):
    """Torch's add_hparams opens a run named after the clock: in the record it has a number."""
    write(tmp_path / "a.tfevents", *losses(1.0))
    write(tmp_path / "1732385512.5" / "a.tfevents", *losses(2.0, tag="final"))
    write(tmp_path / "1732385513.25" / "a.tfevents", *losses(3.0, tag="final"))
    record = read_events(tmp_path)

    assert points(record, "hparams[0]/final") == [(0, 2.0)]
    assert points(record, "hparams[1]/final") == [(0, 3.0)]


def test_several_files_are_one_run_in_the_order_of_time(tmp_path):
    """Which file is called what does not matter; their first events tell which came first."""
    write(tmp_path / "b.tfevents", *losses(5.0, 4.0, time=10.0))
    write(tmp_path / "a.tfevents", *losses(3.0, 2.0, first=2, time=20.0))

    assert points(read_events(tmp_path)) == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0)]


def test_a_resumed_training_takes_the_place_of_what_was_lost(tmp_path):
    """As TensorBoard shows it: a later file's values count from its first step on, tag by tag."""
    write(tmp_path / "2.tfevents", *losses(5.0, 4.0, 3.0, 2.0, time=10.0), scalar("accuracy", 3, 0.5))
    write(tmp_path / "1.tfevents", *losses(3.5, 2.5, first=1, time=20.0))
    record = read_events(tmp_path)

    assert points(record) == [(0, 5.0), (1, 3.5), (2, 2.5)]
    assert points(record, "accuracy") == [(3, 0.5)]
    assert record.replaced == {"loss": 3}


def test_a_start_removes_every_tag_from_its_step_on(tmp_path):
    """Torch's purge_step says that what came after it never happened."""
    events = [*losses(5.0, 4.0, 3.0), scalar("accuracy", 2, 0.5), start(2), scalar("loss", 2, 9.0)]
    write(tmp_path / "a.tfevents", *events)
    record = read_events(tmp_path)

    assert points(record) == [(0, 5.0), (1, 4.0), (2, 9.0)]
    assert "accuracy" not in record.streams


def test_purge_step_of_torch_is_a_start(tmp_path):
    """The real thing: a second writer that begins at step 2."""
    for values, options in ((5.0, 4.0, 3.0), {}), ((9.0,), {"purge_step": 2}):
        with SummaryWriter(str(tmp_path), **options) as writer:
            for step, value in enumerate(values, options.get("purge_step", 0)):
                writer.add_scalar("loss", value, step)
                if not options:
                    writer.add_scalar("extra", value, step)

    record = read_events(tmp_path)

    assert points(record) == [(0, 5.0), (1, 4.0), (2, 9.0)]
    assert points(record, "extra") == [(0, 5.0), (1, 4.0)]
    assert record.replaced == {"loss": 1, "extra": 1}


@pytest.mark.parametrize("second", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("first_is_called", ["a", "b"])
def test_two_writers_of_a_tag_in_one_folder_are_refused(tmp_path, second, first_is_called):
    """Which of their values come first no file tells: neither may hide the other, whatever the files are called."""
    rates = scalar("rate", 0, 0.1, 3.5), scalar("rate", 1, 0.1, 0.5)  # a caller of torch may give any time
    write(tmp_path / f"{first_is_called}.tfevents", *losses(3.0, 2.0, 1.0, time=1.0), *rates)
    write(tmp_path / "ab.tfevents", *losses(5.0, 4.0, 3.0, time=second))

    with pytest.raises(errors.EventsError, match="two writers logged loss into one folder at the same time"):
        read_events(tmp_path)


def test_two_writers_of_torch_are_refused(tmp_path):
    """pytorch#23771: the real thing, within one second."""
    with SummaryWriter(str(tmp_path)) as train, SummaryWriter(str(tmp_path), filename_suffix=".val") as val:
        for step in range(3):
            train.add_scalar("loss", 1.0, step)
            val.add_scalar("loss", 2.0, step)

    with pytest.raises(errors.EventsError, match="two writers logged loss"):
        read_events(tmp_path)


def test_two_writers_of_different_tags_lose_nothing(tmp_path):
    """A framework's logger beside one's own: what one of them begins anew with is no word on the other's."""
    write(tmp_path / "killed.tfevents", *losses(9.0, 8.0, 7.0, time=1.0), *losses(0.9, time=3.0, first=2, tag="rate"))
    write(tmp_path / "own.tfevents", *losses(0.5, 0.6, 0.7, time=10.0, tag="rate"))
    begun = [Event(wall_time=11.0, file_version="brain.Event:2"), start(1)]
    write(tmp_path / "logger.tfevents", *begun, *losses(6.0, first=2, time=11.5)[1:])
    record = read_events(tmp_path)

    assert points(record, "rate") == [(0, 0.5), (1, 0.6), (2, 0.7)]
    assert points(record) == [(0, 9.0), (2, 6.0)]


def test_a_writer_that_begins_when_the_last_has_ended_goes_on(tmp_path):
    """A clock may not have moved between the two; one that never moves cannot tell them apart."""
    write(tmp_path / "a.tfevents", *losses(5.0, 4.0, time=1.0))
    path = write(tmp_path / "b.tfevents", *losses(3.5, first=1, time=2.0))
    assert points(read_events(tmp_path)) == [(0, 5.0), (1, 3.5)]

    path.unlink()
    for name in "ab":
        write(tmp_path / f"{name}.tfevents", *losses(5.0, time=1.0))
    with pytest.raises(errors.EventsError, match="two writers"):
        read_events(tmp_path)


def test_values_of_one_step_are_all_kept(tmp_path):
    """A tag that is logged without a step, or twice in one, loses nothing; nor does one whose steps start over."""
    over = [scalar("loss", 0, 3.0), scalar("loss", 0, 2.0), *losses(7.0, 6.0), scalar("loss", 0, 1.0)]
    write(tmp_path / "a.tfevents", *over)

    assert points(read_events(tmp_path)) == [(0, 3.0), (0, 2.0), (0, 7.0), (0, 1.0), (1, 6.0)]


def test_gaps_between_steps_are_kept(tmp_path):
    """A tool that logs every hundredth batch has a value every hundred steps."""
    write(tmp_path / "a.tfevents", scalar("loss", 99, 3.0), scalar("loss", 199, 2.0))

    assert points(read_events(tmp_path)) == [(99, 3.0), (199, 2.0)]


def test_wall_times_among_the_scalars_are_left_out(tmp_path):
    """Hugging Face and Keras log how long things took; other patterns are the caller's."""
    tags = ["train/loss", "eval/runtime", "train/train_samples_per_second", "epoch_steps_per_second", "step_time"]
    write(tmp_path / "a.tfevents", *(scalar(tag, 0, 1.0) for tag in tags))

    assert list(read_events(tmp_path).streams) == ["train/loss"]
    assert list(read_events(tmp_path, ignore=()).streams) == ["train/loss", *sorted(tags[1:])]
    assert list(read_events(tmp_path, ignore=("*_time", "t*/*")).streams) == ["epoch_steps_per_second", "eval/runtime"]


def test_what_is_left_out_is_named(tmp_path):
    """By the pattern that leaves it out, losses first."""
    write(tmp_path / "a.tfevents", *(scalar(tag, 0, 1.0) for tag in ("epoch", "train_runtime", "val/loss", "grad")))

    assert read_events(tmp_path).ignored == {"*runtime": ("train_runtime",)}
    record = read_events(tmp_path, ignore=("[!e]*", "*loss", "x*"))
    assert list(record.streams) == ["epoch"]
    assert record.ignored == {"[!e]*": ("val/loss", "grad", "train_runtime"), "*loss": ("val/loss",)}
    assert Record.from_text(record.to_text()) == record


@pytest.mark.parametrize(
    ("times", "changed", "fresh"),
    [
        ((100.0, 101.0), 102.0, True),
        ((100.0, 101.0), 99.0, False),
        ((99.0, 101.0), 102.0, False),
        ((1e12, 1e12), 99.0, False),
        ((), 102.0, True),
        ((), 99.0, False),
    ],
    ids=["after", "changed before", "begun before", "clock ahead", "nothing in it", "old and nothing in it"],
)
def test_files_of_an_earlier_run_are_refused(tmp_path, times, changed, fresh):
    """Time is told by events and file system: neither a copy nor a wrong clock makes an old file new."""
    write(tmp_path / "new.tfevents", *losses(1.0, time=2e12))
    path = write(tmp_path / "run" / "a.tfevents", *(scalar("loss", 0, 1.0, time) for time in times))
    os.utime(path, (changed, changed))

    assert read_events(tmp_path)
    if fresh:
        assert read_events(tmp_path, since=100.0)
    else:
        with pytest.raises(errors.EventsError, match="left by an earlier run") as caught:
            read_events(tmp_path, since=100.0)
        assert caught.value.where == str(path)


def test_a_time_that_is_none_is_damage(tmp_path):
    """It would be neither before nor after any other."""
    write(tmp_path / "a.tfevents", scalar("loss", 0, 1.0, math.nan))

    with pytest.raises(errors.EventsError, match="of no time"):
        read_events(tmp_path)


@pytest.mark.parametrize(
    ("tag", "stage"),
    [
        ("loss", "forward"),
        ("train/loss", "forward"),
        ("valid_loss", "evaluation"),
        ("val/loss", "evaluation"),
        ("valLoss", "evaluation"),
        ("eval/accuracy", "evaluation"),
        ("Accuracy/test", "evaluation"),
        ("validation/epoch_loss", "evaluation"),
        ("value", "forward"),
        ("latest", "forward"),
        ("lr-SGD/pg1", "schedule"),
        ("train/learning_rate", "schedule"),
        ("LearningRate", "schedule"),
        ("flr", "forward"),
        ("train/grad_norm", "backward"),
        ("Gradients/conv1.weight", "backward"),
    ],
)
def test_a_tags_words_tell_its_stage(tmp_path, tag, stage):
    """Whole words count, in snake case, camel case and paths."""
    write(tmp_path / "a.tfevents", scalar(tag, 0, 1.0))
    (stream,) = read_events(tmp_path).streams.values()

    assert stream.stage == stage


def test_losses_come_first(tmp_path):
    """What summaries and curves show is the loss, whatever else sorts before it."""
    write(tmp_path / "a.tfevents", *(scalar(tag, 0, 1.0) for tag in ("epoch", "train/loss", "hp_metric")))

    assert list(read_events(tmp_path).streams) == ["train/loss", "epoch", "hp_metric"]


@pytest.mark.parametrize(
    ("tag", "stream"),
    [
        ("distance/anchor", "events/distance/anchor"),
        ("gradient/w", "events/gradient/w"),
        ("optimizer/w/exp_avg", "events/optimizer/w/exp_avg"),
        ("optimizer/lr", "optimizer/lr"),
        ("optimizer", "optimizer"),
        ("weight", "weight"),
    ],
)
def test_a_tag_that_is_called_like_a_stream_of_ours_is_just_a_number(tmp_path, tag, stream):
    """The comparison knows more about some names; a tool's tags do not mean that."""
    write(tmp_path / "a.tfevents", scalar(tag, 0, 1.0), scalar(tag, 1, 2.0))
    record = read_events(tmp_path)

    assert list(record.streams) == [stream]
    assert [(key.kind, key.distance) for key in record.streams] == [("logged", False)]
    assert compare(record, record).verdict == "same"


def moved(logdir, factor, precision):
    """Compare with a training whose last loss is another."""
    write(logdir / "x" / "a.tfevents", *losses(3.0, 2.0, 1.0))
    write(logdir / "y" / "a.tfevents", *losses(3.0, 2.0, 1.0 * factor))
    return compare(*(read_events(logdir / run, precision=precision) for run in "xy"))


@pytest.mark.parametrize(
    ("factor", "precision", "verdict"),
    [
        (1 + 2**-23, "float64", "same"),
        (1 + 2**-20, "float64", "same"),
        (1 + 2 * EVENTS_THRESHOLD, "float64", "different"),
        (1 + 2**-23, "float32", "different"),
        (1.0, "float32", "same"),
    ],
)
def test_float64_may_be_rounded_and_float32_is_exact_in_one_environment(tmp_path, factor, precision, verdict):
    """One unit in the last place of float32 is rounding for a float64 training, and a change for a float32 one."""
    assert moved(tmp_path, factor, precision).verdict == verdict


@pytest.mark.parametrize(("factor", "verdict"), [(1.01, "drift"), (1.2, "different")])
def test_float32_elsewhere_may_part_as_far_as_after_many_steps(tmp_path, monkeypatch, factor, verdict):
    """What a tool counts as a step may be an epoch, so the envelope is the widest one at any of them."""
    versions = count()
    monkeypatch.setattr("harness.tensorboard.reading.describe", lambda device: {"torch": str(next(versions))})

    assert moved(tmp_path, factor, "float32").verdict == verdict


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events[:-1],
        lambda events: [*events, scalar("loss", 3, 0.5)],
        lambda events: [*events[:2], *events[3:]],
        lambda events: [*events, scalar("other", 0, 0.5)],
        lambda events: [*events[:-1], scalar("loss", 2, math.nan)],
        lambda events: [*events[:-1], scalar("loss", 3, 1.0)],
    ],
    ids=["end", "more", "gap", "tag", "nan", "step"],
)
def test_a_change_of_the_scalars_is_seen(tmp_path, change):
    """A missing end, an extra point, a gap, another tag, NaN, another step."""
    events = losses(3.0, 2.0, 1.0)
    write(tmp_path / "x" / "a.tfevents", *events)
    write(tmp_path / "y" / "a.tfevents", *change(events))
    before, now = (read_events(tmp_path / run) for run in "xy")

    assert compare(before, now).verdict == "different"
    assert compare(now, before).verdict == "different"


def test_there_must_be_a_folder_with_event_files(tmp_path):
    """Nothing to read is told from nothing there."""
    with pytest.raises(errors.EventsError, match="looked for a folder"):
        read_events(tmp_path / "none")
    with pytest.raises(errors.EventsError, match="looked for files with tfevents in their names"):
        read_events(tmp_path)


def test_there_must_be_a_scalar(tmp_path):
    """A writer that was never closed leaves a header alone, an empty file not even that."""
    write(tmp_path / "a.tfevents", Event(file_version="brain.Event:2"))
    (tmp_path / "b.tfevents").touch()

    with pytest.raises(errors.EventsError, match="the event files hold no scalar to compare"):
        read_events(tmp_path)


def test_there_must_be_a_scalar_that_is_not_left_out(logdir):
    """A pattern that fits everything leaves nothing to compare."""
    with pytest.raises(errors.EventsError, match="the event files hold no scalar to compare"):
        read_events(logdir, ignore=["*"])


def test_the_precision_is_one_that_trainings_have(logdir):
    """A misspelt precision would choose a threshold."""
    with pytest.raises(errors.ArgumentError, match="precision"):
        read_events(logdir, precision="double")


def test_a_file_that_is_cut_off_anywhere_is_named(logdir):
    """Whatever the last byte: either whole events are left, or the error names file and place."""
    (path,) = logdir.iterdir()
    whole = path.read_bytes()
    ends = {0}
    for event in losses(3.0, 2.0, 1.0):
        ends.add(max(ends) + event.ByteSize() + 16)
    for size in set(range(len(whole))) - ends:
        path.write_bytes(whole[:size])
        with pytest.raises(errors.EventsCutOffError) as caught:
            read_events(logdir)
        start = max(end for end in ends if end < size)
        assert f"begins at byte {start} is" in caught.value.what
        assert caught.value.where == str(path)


def test_a_file_of_a_killed_training_may_be_cut_off_if_it_went_on(tmp_path):
    """What the kill cut off is what the later file takes the place of."""
    path = write(tmp_path / "a.tfevents", *losses(3.0, 2.0, 1.0, time=1.0))
    path.write_bytes(path.read_bytes()[:-1])
    write(tmp_path / "b.tfevents", *losses(1.5, 0.5, first=2, time=9.0))

    assert points(read_events(tmp_path)) == [(0, 3.0), (1, 2.0), (2, 1.5), (3, 0.5)]


@pytest.mark.parametrize("other", [losses(1.0, time=9.0, tag="rate"), losses(time=9.0), []])
def test_a_file_that_is_cut_off_is_named_if_no_other_takes_its_place(tmp_path, other):
    """Files of other tags, or of none, have not gone on with what was cut off."""
    path = write(tmp_path / "a.tfevents", *losses(3.0, 2.0, 1.0, time=1.0))
    path.write_bytes(path.read_bytes()[:-1])
    write(tmp_path / "b.tfevents", *other)

    with pytest.raises(errors.EventsCutOffError):
        read_events(tmp_path)


def test_a_byte_that_changed_anywhere_is_noticed(logdir):
    """Each byte of the file, turned: an error of ours."""
    (path,) = logdir.iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(errors.EventsError):
            read_events(logdir)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    """Garbage ends in a message, not in a traceback."""
    logdir = tmp_path_factory.mktemp("logs")
    (logdir / "a.tfevents").write_bytes(content)

    with pytest.raises(errors.EventsError):
        read_events(logdir)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (scalar("loss", -2, 1.0), "loss is at step -2"),
        (scalar("loss", 10**9, 1.0), "loss is at step 1000000000"),
        (tensor("loss", 0, TensorProto(dtype="DT_STRING", string_val=[b"a"])), "loss is no number"),
        (
            tensor("loss", 0, TensorProto(dtype="DT_FLOAT", tensor_shape=TensorShapeProto(dim=[{"size": 10**15}]))),
            "loss is no number",
        ),
        (tensor("loss", 0, TensorProto(dtype="DT_RESOURCE")), "loss is no number"),
    ],
)
def test_what_no_training_writes_is_refused(tmp_path, event, reason):
    """A step that is none, and a scalar that is no number, are damage."""
    write(tmp_path / "a.tfevents", event)

    with pytest.raises(errors.EventsError, match=reason):
        read_events(tmp_path)


def test_only_files_are_read(tmp_path):
    """A folder with an event file's name may be a run; a broken link is nothing."""
    write(tmp_path / "x.tfevents" / "a.tfevents", *losses(1.0))
    (tmp_path / "b.tfevents").symlink_to(tmp_path / "nowhere")

    assert points(read_events(tmp_path)) == [(0, 1.0)]


def test_folders_that_are_linked_are_read_once(tmp_path):
    """As TensorBoard reads them; links up, in circles, or to what is there anyway lead to nothing new."""
    logdir, scratch = tmp_path / "logs", tmp_path / "scratch"
    write(scratch / "sub" / "a.tfevents", *losses(1.0))
    write(logdir / "version_0" / "a.tfevents", *losses(2.0))
    links = {logdir / "train": scratch, logdir / "up": tmp_path, logdir / "latest": logdir / "version_0"}
    for link, target in {**links, scratch / "loop": scratch, scratch / "back": logdir}.items():
        link.symlink_to(target)

    assert list(read_events(logdir).streams) == ["train/sub/loss", "version_0/loss"]
