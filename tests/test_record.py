"""Promises of Record, Baseline and their text form."""

import base64
import contextlib
import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import errors
from harness.record import HISTOGRAM_BINS, KINDS, STAGES, Baseline, Calibration, Histogram, Picture, Record, Stream
from harness.record.text import _checksum


SHIPPED = sorted((Path(__file__).parents[1] / "baselines").glob("*.json"))
"""The committed baselines of the gate."""

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(finite, st.integers(-(2**60), 2**60), st.text("0123456789abcdef", min_size=16, max_size=16))


@st.composite
def streams(draw):
    """A stream with ascending, possibly repeated steps."""
    steps = sorted(draw(st.lists(st.integers(0, 50), max_size=12)))
    return Stream(draw(st.sampled_from(STAGES)), tuple(steps), tuple(draw(values) for _ in steps))


def record_of(named_streams, **changes):
    """A record with some streams."""
    parts = {
        "name": "made",
        "precision": "float64",
        "seed": 0,
        "device": "cpu",
        "recipe": {},
        "data": {},
        "environment": {"torch": "2"},
        "structure": {"w": {"shape": [2], "dtype": "float64", "requires_grad": True, "group": "w"}},
        "streams": named_streams,
        "pictures": {},
    }
    return Record(**{**parts, **changes})


def baseline_of(named_streams, *, origin=None, calibration=None, seeds=None, **changes):
    """A baseline whose record has some streams."""
    return Baseline(record_of(named_streams, **changes), origin or {}, calibration, seeds or {})


def test_a_record_is_saved_and_loaded(tmp_path):
    """As it was, in the text of a baseline; a baseline's own file is read, too."""
    record = record_of(
        {"loss": Stream("forward", (0, 1), (1.5, math.inf))}, class_names=("a",), undrawn={"batch": "no"}
    )
    record.save(tmp_path / "made" / "record.json")
    (tmp_path / "baseline.json").write_text(Baseline(record, {"made": "today"}).to_text())

    assert Record.load(tmp_path / "made" / "record.json") == Record.load(str(tmp_path / "baseline.json")) == record
    assert (tmp_path / "made" / "record.json").read_text() == record.to_text()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file or directory"),
        ("{", "it is not JSON"),
        ("\udcff", "'utf-8' codec can't decode byte 0xff"),
        ('"other"', "it was edited: its checksum does not fit its contents"),
    ],
    ids=["missing", "cut off", "binary", "edited"],
)
def test_a_broken_file_is_named(tmp_path, text, reason):
    """Whatever is wrong with it, the error is ours, with the file and what to do."""
    file = tmp_path / "record.json"
    if text:
        edited = record_of({}).to_text().replace('"made"', text) if text == '"other"' else text
        file.write_bytes(edited.encode("utf-8", "surrogateescape"))
    with pytest.raises(errors.RecordError) as caught:
        Record.load(file)

    assert caught.value.what.startswith(f"this file is no training record: {reason}")
    assert caught.value.where == str(file)


def test_a_record_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    """And what stood there still stands."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.RecordError, match="the record could not be written"):
        record_of({}).save(tmp_path / "folder")

    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_record_and_a_baseline_are_a_line_each():
    """What was trained, where, how long, and how the loss went; nothing of a name reaches the terminal."""
    record = record_of(
        {"loss": Stream("forward", (0, 1), (2.5, 0.125)), "w": Stream("state", (0,), (1.0,))}, name="a\x1b"
    )

    assert repr(record) == "<Record a\\x1b: float64, cpu, 2 steps, 2 streams, loss 2.5 -> 0.125>"
    assert repr(record_of({})) == "<Record made: float64, cpu, 0 steps, 0 streams>"
    assert repr(Baseline(record_of({}), {"made": "today"})) == f"<Baseline made today: {record_of({})!r}>"
    assert len(repr(Picture(bytes(12), (1, 2, 2)))) < 100


@given(st.dictionaries(st.text(min_size=1, max_size=20), streams(), max_size=6))
def test_the_text_form_loses_nothing(named_streams):
    """Any finite float, integer or fingerprint comes back as it was, bit for bit."""
    record = record_of(named_streams, pictures={"batch": Picture(bytes(range(12)), (1, 2, 2), (3,))})

    assert Record.from_text(record.to_text()) == record


def test_equal_records_have_equal_texts_whatever_they_took():
    """Wall time is no part of the text, so regenerating twice gives the same bytes."""
    one, other = (record_of({}, seconds=seconds) for seconds in (1.0, 2.0))

    assert one.to_text() == other.to_text()


def test_non_finite_values_are_words_in_the_text_and_numbers_again_after_it():
    """The text stays JSON, and NaN stays NaN."""
    loss = Stream("forward", (0, 1, 2), (math.nan, math.inf, -math.inf))
    text = record_of({"loss": loss}).to_text()

    assert json.loads(text)["streams"]["loss"]["values"] == ["nan", "inf", "-inf"]
    assert [str(value) for value in Record.from_text(text).streams["loss"].values] == ["nan", "inf", "-inf"]


def test_the_first_non_finite_value_is_found_in_causal_order():
    """At one step the gradient comes before the update; an earlier step before both."""
    record = record_of(
        {
            "update/w": Stream("update", (0, 1), (1.0, math.nan)),
            "gradient/w": Stream("backward", (0, 1), (1.0, math.inf)),
        }
    )

    assert record.non_finite() == (1, "backward", "gradient/w", math.inf)


def test_an_edited_number_is_noticed():
    """A digit changed by hand no longer fits the checksum."""
    text = record_of({"loss": Stream("forward", (0,), (1.25,))}).to_text()

    with pytest.raises(errors.RecordError, match="checksum"):
        Record.from_text(text.replace("1.25", "1.26"))


def test_white_space_is_free():
    """Reformatting a file, or another system's line ends, is no edit of its numbers."""
    record = record_of({"loss": Stream("forward", (0,), (1.25,))})

    assert Record.from_text(record.to_text().replace("\n", "\r\n  ")) == record


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("[" * 100_000, "it is not JSON (maximum recursion depth exceeded"),
        ("[]", "it is not of format 4"),
        ('{"format": 5}', "it is not of format 4"),
        ('{"format": 4}', "a part is missing or of a wrong kind ('sha256')"),
    ],
)
def test_a_foreign_text_is_refused_with_the_reason(text, reason):
    """Whatever is not a record ends in one kind of error that says why."""
    with pytest.raises(errors.RecordError) as caught:
        Record.from_text(text)

    assert reason in str(caught.value)


@given(st.data())
def test_a_damaged_text_never_ends_in_another_error(data):
    """Cut it anywhere, change any character: a RecordError, or (white space) the same record."""
    record = record_of({"loss": Stream("forward", (0, 1), (1.0, 2.5))})
    text = record.to_text()
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = data.draw(st.sampled_from([text[:place], text[:place] + "7" + text[place + 1 :], text[place:]]))

    with contextlib.suppress(errors.RecordError):
        assert Record.from_text(damaged) == record


def rewritten(record, change):
    """The text of a record or baseline after somebody changed its content and made the checksum fit."""
    content = json.loads(record.to_text())
    change(content)
    return signed(content)


def test_a_rewritten_checksum_does_not_admit_impossible_parts():
    """A hostile file with a fitting checksum still has to be a record."""
    record = record_of({"loss": Stream("forward", (0,), (1.0,))})

    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Record.from_text(rewritten(record, lambda content: content["streams"]["loss"].update(values=[[1.0]])))


CALIBRATION = Calibration(
    states="0f" * 32,
    steps=(0, 4, 8),
    margin=3.0,
    variants=("2 threads", "AVX2"),
    largest={"loss": (1e-7, 0.1), "optimizer/ü": ()},
)


def test_a_calibration_and_seeds_are_part_of_the_text():
    """They come back exactly, and a baseline without them has no word of them."""
    seeds = {0: {"loss": 0.1, "evaluation/accuracy": 1 / 3}, 1: {"loss": 1e-300, "evaluation/accuracy": 0.0}}
    baseline = baseline_of({}, origin={"made": "now"}, calibration=CALIBRATION, seeds=seeds)
    read = Baseline.from_text(baseline.to_text())

    assert read == baseline
    assert (read.calibration, read.seeds) == (CALIBRATION, seeds)
    assert read.to_text() == baseline.to_text()
    assert {"origin", "calibration", "seeds"} <= json.loads(baseline.to_text()).keys()
    assert not {"origin", "calibration", "seeds"} & json.loads(baseline_of({}).to_text()).keys()


@given(
    st.lists(st.integers(0, 10**6), max_size=5),
    st.floats(0, 1e300),
    st.lists(st.text(max_size=9), max_size=3),
    st.dictionaries(st.text(max_size=9), st.lists(st.floats(0, 1), max_size=5).map(tuple), max_size=3),
    st.dictionaries(st.integers(0, 2**63), st.dictionaries(st.text(max_size=9), finite, max_size=3)),
)
def test_any_calibration_and_any_seeds_come_back(steps, margin, variants, largest, seeds):
    """Any words, any finite numbers, bit for bit."""
    calibration = Calibration(
        states="a" * 64, steps=tuple(sorted({0, *steps})), margin=margin, variants=tuple(variants), largest=largest
    )
    read = Baseline.from_text(baseline_of({}, calibration=calibration, seeds=seeds).to_text())

    assert (read.calibration, read.seeds) == (calibration, seeds)


def test_origin_calibration_and_seeds_do_not_tell_trainings_apart():
    """They say how a baseline was made, not what its training did: its record is another's, and has that one's text."""
    baseline = baseline_of({}, origin={"made": "now"}, calibration=CALIBRATION, seeds={0: {}})

    assert baseline.record == record_of({})
    assert baseline.record.to_text() == record_of({}).to_text() == baseline_of({}).to_text()


def test_the_record_of_a_baselines_text_is_its_record():
    """What the text holds beside is left out; a record's own text is a baseline's without any of it."""
    loss = {"loss": Stream("forward", (0, 1), (1.0, 0.5))}
    baseline = baseline_of(loss, origin={"made": "now"}, calibration=CALIBRATION, seeds={0: {"loss": 1.0}})

    assert Record.from_text(baseline.to_text()) == baseline.record
    assert Baseline.from_text(baseline.record.to_text()) == Baseline(baseline.record)


def test_the_text_says_where_numbers_were_taken_and_which_kinds_were_known():
    """A later version that records more can tell "had none" from "did not look"."""
    record = record_of({}, source="event files", kinds=("init", "logged"))
    content = json.loads(record.to_text())

    assert (content["source"], content["kinds"]) == ("event files", ["init", "logged"])
    assert Record.from_text(record.to_text()) == record
    assert record_of({}).kinds == KINDS
    assert (record_of({}).source, record_of({}).format_text) == ("recorder", "float64")
    assert (record.precision, record.format_text) == ("float64", "float64 in event files")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (None, None),
        (None, [1]),
        (None, {}),
        ("states", None),
        ("states", 7),
        ("states", "../../../etc/passwd"),
        ("states", "0f" * 32 + "\n"),
        ("steps", None),
        ("steps", []),
        ("steps", [1, 2]),
        ("steps", [0, 2, 2]),
        ("steps", [0, 4, 2]),
        ("steps", [0, -1]),
        ("steps", [0, 10**12]),
        ("steps", [0, 0.5]),
        ("steps", {"0": 1}),
        ("margin", None),
        ("margin", [3.0]),
        ("margin", "three"),
        ("variants", None),
        ("variants", 3),
        ("largest", None),
        ("largest", [1.0]),
        ("largest", {"loss": 1.0}),
        ("largest", {"loss": [None]}),
        ("largest", {"loss": ["a"]}),
        ("largest", {"loss": [1.5]}),
        ("largest", {"loss": [-1e-3]}),
        ("inherited", "yes"),
    ],
)
def test_a_hostile_calibration_is_refused(field, value):
    """A file with a fitting checksum: no path where a hash belongs, no steps out of order, no word for a number."""

    def change(content):
        if field:
            content["calibration"][field] = value
        else:
            content["calibration"] = value

    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Baseline.from_text(rewritten(baseline_of({}, calibration=CALIBRATION), change))


@pytest.mark.parametrize("field", ["margin", "variants", "largest"])
def test_an_incomplete_calibration_is_refused(field):
    """Each part is needed."""
    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Baseline.from_text(
            rewritten(baseline_of({}, calibration=CALIBRATION), lambda content: content["calibration"].pop(field))
        )


@pytest.mark.parametrize(
    "seeds", [None, [1], {"one": {}}, {"1.5": {}}, {"0": None}, {"0": [1.0]}, {"0": {"loss": None}}, {"0": {"a": "b"}}]
)
def test_hostile_seeds_are_refused(seeds):
    """A seed is a whole number, a metric a number."""
    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Baseline.from_text(
            rewritten(baseline_of({}, seeds={0: {"loss": 1.0}}), lambda content: content.update(seeds=seeds))
        )


@pytest.mark.parametrize("steps", [10**12, [10**12], [-2], ["0"], [0.5], 2])
def test_a_hostile_number_of_steps_is_refused(steps):
    """A few bytes cannot ask for terabytes: steps are counted by the values that are there."""
    record = record_of({"loss": Stream("forward", (0,), (1.0,))})

    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Record.from_text(rewritten(record, lambda content: content["streams"]["loss"].update(steps=steps)))


def test_the_text_reads_well_in_a_diff():
    """One line a part, a few values a line: a change from step 8 on leaves the lines before it alone."""
    before = record_of({"loss": Stream("forward", tuple(range(12)), tuple(float(i) for i in range(12)))})
    after = record_of({"loss": Stream("forward", tuple(range(12)), tuple(float(min(i, 8)) for i in range(12)))})
    old, new = before.to_text().splitlines(), after.to_text().splitlines()

    assert len(old) == len(new)
    assert sum(a != b for a, b in zip(old, new, strict=True)) == 2  # the checksum and the last row


def drawable_record():
    """A record with everything that only figures need."""
    pixels = bytes((7 * i * i + i) % 256 for i in range(2 * 5 * 4 * 3))
    pictures = {
        "mistakes": Picture(pixels, (2, 5, 4), (3, 1), (1, 2), (0.9, 0.1 + 0.2)),
        "filters": Picture(pixels, (2, 5, 4), limits=(-0.1, 0.1)),
    }
    counts = tuple(range(HISTOGRAM_BINS))
    histograms = {"weight/w": Histogram((0, 48), ((-0.1, 0.1), (0.5, 1.5)), (counts, counts[::-1]))}
    return record_of({}, pictures=pictures, histograms=histograms, confusion=((3, 0), (1, 2)))


def test_what_only_figures_need_loses_nothing_either():
    """Pixels, labels, confidences, limits, counts and the confusion matrix come back as they were."""
    record = drawable_record()

    assert Record.from_text(record.to_text()) == record


@pytest.mark.parametrize("version", [1, 3, 5, "4", None])
def test_a_text_of_another_format_is_refused(version):
    """Former ones too, whatever else is in them: a baseline of then is generated anew."""
    text = rewritten(record_of({}), lambda content: content.update(format=version))

    for read in (Record.from_text, Baseline.from_text):
        with pytest.raises(errors.RecordError, match="it is not of format 4"):
            read(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_baselines_are_what_their_texts_say(path):
    """Streams, structure, pictures and all: read and written again, a committed file is the same to the byte."""
    text = path.read_text(encoding="utf-8")
    baseline = Baseline.from_text(text)

    assert baseline.to_text() == text
    assert baseline.record == Record.from_text(text)


def signed(content):
    """The text of a content that somebody edited, checksum and all."""
    body = {key: value for key, value in content.items() if key not in ("format", "sha256")}
    return json.dumps({**content, "sha256": _checksum(body)})


def webp(width, height, mode="RGB", **options):
    """A picture's text form, of another size or kind than the record says."""
    packed = io.BytesIO()
    Image.new(mode, (width, height)).save(packed, "WEBP", **{"lossless": True, **options})
    return base64.b85encode(packed.getvalue()).decode()


NAN = float("nan")
ROW = [0, -1.0, 1.0, *[1] * HISTOGRAM_BINS]
HOSTILE = {
    "an image larger than it says": ("pictures", "filters", "webp", webp(4, 11)),
    "an image of gigabytes": ("pictures", "filters", "webp", webp(16383, 1)),
    "an image with loss": ("pictures", "filters", "webp", webp(4, 10, lossless=False)),
    "an image cut off": ("pictures", "filters", "webp", webp(4, 10)[:35]),
    "no image": ("pictures", "filters", "webp", "00000"),
    "not even text": ("pictures", "filters", "webp", 7),
    "too many images": ("pictures", "filters", "shape", [65, 5, 4]),
    "images too large": ("pictures", "filters", "shape", [2, 65, 4]),
    "shape of words": ("pictures", "filters", "shape", ["2", 5, 4]),
    "limits of nothing": ("pictures", "filters", "limits", [1.0, 1.0]),
    "infinite limits": ("pictures", "filters", "limits", [0.0, math.inf]),
    "three limits": ("pictures", "filters", "limits", [0.0, 1.0, 2.0]),
    "a label too many": ("pictures", "mistakes", "labels", [1, 2, 3]),
    "a label that is none": ("pictures", "mistakes", "predicted", [1, 2.5]),
    "a confidence that is none": ("pictures", "mistakes", "confidence", [0.5, NAN]),
    "pictures without end": ("pictures", None, None, {str(i): {} for i in range(17)}),
    "a bin too few": ("histograms", "weight/w", None, [ROW[:-1]]),
    "a negative count": ("histograms", "weight/w", None, [[*ROW[:-1], -1]]),
    "a count that is none": ("histograms", "weight/w", None, [[*ROW[:-1], 0.5]]),
    "steps that descend": ("histograms", "weight/w", None, [ROW, ROW]),
    "no step": ("histograms", "weight/w", None, []),
    "a row of a row": ("histograms", "weight/w", None, [[*ROW[:-1], [1]]]),
    "bins that go backwards": ("histograms", "weight/w", None, [[0, 1.0, 0.9, *ROW[3:]]]),
    "bins without an element": ("histograms", "weight/w", None, [[0, 0.0, 1.0, *[0] * HISTOGRAM_BINS]]),
    "no histograms": ("histograms", None, None, 3),
    "a matrix that is not square": ("confusion", None, None, [[1, 2]]),
    "a negative number of images": ("confusion", None, None, [[-1]]),
    "a matrix of words": ("confusion", None, None, ["1"]),
    "a count beyond all numbers": ("histograms", "weight/w", None, [[*ROW[:-1], 10**400]]),
    "a group that is none": ("structure", "w", "group", []),
    "a shape of words": ("structure", "w", "shape", ["2"]),
    "a shape beyond all numbers": ("structure", "w", "shape", [10**400]),
    "a tensor that is none": ("structure", "w", None, 3),
    "a precision that is none": ("precision", None, None, "float16"),
    "a seed that is none": ("seed", None, None, {}),
    "an environment of numbers": ("environment", "torch", None, 2),
    "data of lists": ("data", None, None, {"name": []}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_figures_need_is_checked_when_it_is_read(what):
    """A hostile file with a fitting checksum ends in a RecordError before it fills the memory."""
    part, name, key, value = HOSTILE[what]
    content = json.loads(drawable_record().to_text())
    if key:
        content[part][name][key] = value
    elif name:
        content[part][name] = value
    else:
        content[part] = value

    with pytest.raises(errors.RecordError, match="a part is missing or of a wrong kind"):
        Record.from_text(signed(content))


@given(st.data())
def test_damaged_pixels_never_end_in_another_error(data):
    """Whatever a decoder makes of broken bytes: a RecordError, or other pixels."""
    content = json.loads(drawable_record().to_text())
    packed = bytearray(base64.b85decode(content["pictures"]["filters"]["webp"]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    content["pictures"]["filters"]["webp"] = base64.b85encode(bytes(packed)).decode()

    with contextlib.suppress(errors.RecordError):
        assert len(Record.from_text(signed(content)).pictures["filters"].pixels) == 2 * 5 * 4 * 3


def test_a_matrix_has_a_line_a_row_and_a_histogram_a_line_a_step():
    """A diff of them shows which class, which step."""
    lines = drawable_record().to_text().splitlines()

    assert " [3,0]," in lines
    assert sum(line.startswith(" [48,0.5,1.5,") for line in lines) == 1


@pytest.mark.parametrize("key", ["margin", "seed", "loss", "7"])
def test_a_key_that_stands_twice_is_refused(key):
    """A parser takes the last, a reviewer reads the first, and the checksum of what was parsed fits."""
    content = baseline_of({"loss": Stream("forward", (0,), (1.0,))}, calibration=CALIBRATION, seeds={7: {}}).to_text()
    line = next(line for line in content.splitlines() if f'"{key}": ' in line)
    entry = line[: line.rindex(",")] if line.endswith(",") else line
    twice = content.replace(line, f"{entry.split(': ')[0]}: 0,\n{line}", 1)

    assert json.loads(twice) == json.loads(content)
    with pytest.raises(errors.RecordError, match=f"the key '{key}' stands twice"):
        Baseline.from_text(twice)
    with pytest.raises(errors.RecordError, match="it is not JSON"):
        Record.from_text(twice)


def test_seeds_that_are_one_number_are_refused():
    """`"07"` would be 7, too."""
    text = rewritten(baseline_of({}, seeds={7: {}}), lambda content: content["seeds"].update({"07": {"loss": 9.0}}))

    with pytest.raises(errors.RecordError, match="of a wrong kind"):
        Baseline.from_text(text)
