"""Promises of a gate that its test loosens: what it lets go, nothing else, and never unseen."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import compare, errors
from harness.comparing.plausible import implausible
from harness.faults import gate_power
from harness.record import Baseline, Stream
from harness.record.gate import STRICT, Gate, asked, fits, require_at_work
from harness.recording.perturbation import Reran
from harness.report.comparison_text import failure, note
from harness.report.words import gate_text
from tests.test_comparison import series
from tests.test_record import record_of


STREAMS = {
    "loss": series(1.0, 0.5),
    "gradient/w": series(2.0, 1.0, stage="backward"),
    "evaluation/accuracy": series(0.5, 0.75, stage="evaluation"),
    "logits[0]": series(1.0, 2.0),
}
CLUES = {"random/torch": Stream("data", (0, 1), ("aa", "bb"))}


def baseline(gate=STRICT, **streams):
    """A baseline with some streams replaced."""
    return Baseline(record_of(STREAMS | streams, clues=CLUES), gate=gate)


def record(**streams):
    """The same training with some streams replaced."""
    return record_of(STREAMS | streams, clues=CLUES)


@pytest.mark.parametrize("pattern", ["evaluation/accuracy", "evaluation/*", "*acc*"])
def test_what_is_ignored_is_not_compared(pattern):
    """It moves no verdict, is in no count, and is named; what is left still is compared."""
    moved = {"evaluation/accuracy": series(0.5, 0.0, 0.0, stage="evaluation")}
    gate = Gate(ignore=(pattern,), reason="few images")
    comparison = compare(baseline(gate), record(**moved))

    assert compare(baseline(), record(**moved)).verdict == "different"
    assert (comparison.verdict, comparison.unknown, comparison.num_values) == ("same", (), 6 + 3)
    assert "evaluation/accuracy" not in comparison.streams
    said = f"the test ignores 1 of 4 streams: evaluation/accuracy; the test ignores {pattern}: 'few images'"
    assert said in note(comparison)
    assert compare(baseline(gate), record(loss=series(1.0, 0.6))).first_divergence == (1, "forward", "loss")


def test_a_stream_of_another_number_of_values_may_be_ignored():
    """Whether it is there at all does not count either."""
    gate = Gate(ignore=("evaluation/*",), reason="so")
    without = record_of({name: stream for name, stream in STREAMS.items() if "acc" not in name}, clues=CLUES)

    assert compare(baseline(gate), without).verdict == "same"
    assert compare(Baseline(without, gate=gate), record()).verdict == "same"


def test_a_clue_that_is_ignored_names_no_cause():
    """Generators that are drawn from by a thread, say."""
    other = record_of(
        STREAMS | {"loss": series(1.0, 0.6)}, clues={"random/torch": Stream("data", (0, 1), ("aa", "cc"))}
    )

    assert compare(baseline(), other).cause.stream == "random/torch"
    assert compare(baseline(Gate(ignore=("random*",), reason="so")), other).cause is None


def test_a_given_threshold_holds_where_it_is_larger():
    """The row says whose it is; beyond it, and beside it, the gate is as sharp as before."""
    gate = Gate(thresholds={"*": 1e-20, "loss": 1e-3}, reason="sums in threads")

    assert compare(baseline(gate), record(loss=series(1.0, 0.5004))).verdict == "same"
    assert compare(baseline(gate), record(**{"gradient/w": series(2.0, 1.0000001, stage="backward")})).deviations
    text = failure(compare(baseline(gate), record(loss=series(1.0, 0.6))))
    assert "\n  threshold  0.001, which the test gives it: 'sums in threads'\n" in text
    assert "\n  gate       lets * part by 1e-20, loss part by 0.001: 'sums in threads'" in text


@given(st.floats(1e-12, 0.1), st.floats(-0.2, 0.2))
def test_a_given_threshold_is_a_limit(given, move):
    """Whatever it is, a number that moves further is different, and one that does not is the same."""
    comparison = compare(baseline(Gate(thresholds={"loss": given}, reason="so")), record(loss=series(1.0, 0.5 + move)))

    largest = comparison.largest
    assert comparison.verdict == ("same" if largest <= max(given, 1e-10) else "different")


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (NAN, float("nan"), "same"),
        (INF, INF, "same"),
        (INF, -INF, "different"),
        (NAN, INF, "different"),
        (NAN, 0.5, "different"),
        (0.5, NAN, "different"),
    ],
)
def test_nan_equals_nan_where_it_is_allowed(before, now, verdict):
    """An infinity equals that of its sign; nothing else that is not finite equals anything, and nothing elsewhere."""
    one, other = {"loss": series(1.0, before)}, record(loss=series(1.0, now))

    assert compare(baseline(Gate(allow_nonfinite=("lo*",)), **one), other).verdict == verdict
    assert compare(baseline(Gate(allow_nonfinite=("gradient/*",)), **one), other).verdict == "different"
    assert compare(baseline(**one), other).verdict == "different"


def test_a_gate_is_part_of_a_baseline():
    """And of no record; a baseline without one says nothing of it."""
    gate = Gate(ignore=("a",), thresholds={"b": 1e-6}, allow_nonfinite=("*",), reason="so")

    assert Baseline.from_text(baseline(gate).to_text()) == baseline(gate)
    assert "gate" not in baseline().to_text()


@pytest.mark.parametrize(
    ("part", "other"), [('"b": 1e-06', '"b": 0.5'), ('"ignore"', '"ignores"'), ('["a"]', '"a"'), ("1e-06", '"1e-06"')]
)
def test_a_gate_of_another_form_is_refused(part, other, monkeypatch):
    """Looser than any may be, too, in a text whose checksum fits."""
    text = baseline(Gate(ignore=("a",), thresholds={"b": 1e-6}, reason="so")).to_text()
    assert part in text
    monkeypatch.setattr("harness.record.text._checksum", lambda content: "0")
    digest = text.partition('"sha256": "')[2][:64]

    with pytest.raises(errors.RecordError, match="a part is missing or of a wrong kind"):
        Baseline.from_text(text.replace(digest, "0").replace(part, other))


def test_a_gate_without_a_reason_is_implausible():
    """No generation writes one."""
    assert implausible(baseline(Gate(ignore=("loss",)))) == "a gate that its test loosens, and no reason"
    assert implausible(baseline(Gate(allow_nonfinite=("loss",)))) == ""


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("ignore", "loss"),
        ("ignore", [1]),
        ("ignore", None),
        ("thresholds", {"loss": 0.2}),
        ("thresholds", {"loss": -1e-9}),
        ("thresholds", {"loss": NAN}),
        ("thresholds", {"loss": INF}),
        ("thresholds", {"loss": True}),
        ("thresholds", {"loss": "1e-6"}),
        ("thresholds", {1: 1e-6}),
        ("thresholds", ["loss"]),
        ("allow_nonfinite", "loss"),
        ("allow_nonfinite", 3),
    ],
)
def test_what_is_no_pattern_or_threshold_is_refused(argument, value):
    """A threshold above a tenth would let pass what no rounding does."""
    given = {"ignore": (), "thresholds": {}, "allow_nonfinite": False} | {argument: value}

    with pytest.raises(errors.ArgumentError, match=rf"^{argument} cannot be "):
        asked(**given)


def test_the_order_of_patterns_is_no_difference():
    """Nor is the reason; whatever else differs is another gate."""
    gate = asked(["b", "a", "a"], {"b": 0, "a": 1e-6}, True)

    assert gate.asks_for(asked(["a", "b"], {"a": 1e-6, "b": 0.0}, ["*"]))
    assert gate.asks_for(dataclasses.replace(baseline(), gate=gate).gate)
    assert not gate.asks_for(asked(["a"], {"a": 1e-6, "b": 0.0}, ["*"]))
    assert not gate.asks_for(asked(["a", "b"], {"a": 1e-7, "b": 0.0}, ["*"]))
    assert not gate.asks_for(asked(["a", "b"], {"a": 1e-6, "b": 0.0}, False))


def test_a_name_fits_itself():
    """Brackets and all."""
    assert fits("logits[0]", ["logits[0]"])
    assert not fits("logits[1]", ["logits[0]"])


@pytest.mark.parametrize(
    ("gate", "fix"),
    [
        (Gate(ignore=("evaluation/acuracy",)), "evaluation/accuracy"),
        (Gate(thresholds={"los": 0.1}), "loss"),
        (Gate(thresholds={"random*": 0.1}), "loss, gradient/w, evaluation/accuracy, logits[0]"),
        (Gate(allow_nonfinite=("update/*",)), "loss, gradient/w, evaluation/accuracy, logits[0]"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(gate, fix):
    """It is misspelt, and would let nothing go; of numbers that only name causes there is nothing to loosen."""
    with pytest.raises(errors.SuiteError, match="fits no stream of the record") as found:
        require_at_work(gate, record(), "t.py::test")
    assert fix in found.value.fix


@pytest.mark.parametrize(
    ("ignore", "refused"),
    [
        (("*",), True),
        (("loss", "logits[0]", "gradient/*"), True),
        (("loss", "logits[0]"), False),
        (("evaluation/*", "random*"), False),
    ],
)
def test_something_of_a_training_is_compared(ignore, refused):
    """A test that ignores all of forward, backward and update gates nothing."""
    if not refused:
        require_at_work(Gate(ignore=ignore), record(), "t.py::test")
        return
    with pytest.raises(errors.SuiteError, match="the test ignores all that its training did"):
        require_at_work(Gate(ignore=ignore), record(), "t.py::test")


def test_a_gate_is_worded():
    """All of it, and why."""
    gate = Gate(ignore=("a", "b*"), thresholds={"c": 1e-6}, allow_nonfinite=("*",), reason="so")

    assert gate_text(gate) == "ignores a, b* and lets c part by 1e-06 and allows NaN and infinity in *: 'so'"
    assert gate_text(STRICT) == ""


def test_the_gates_power_can_be_measured_where_nan_is_expected(monkeypatch):
    """Two trainings with NaN at the same place are one bit for bit; the gate that is measured is the loosened one."""
    monkeypatch.setattr(gate_power, "FAULTS", {"a": None})
    moved = {"faultless": record(loss=series(1.0, math.nan)), "a": record(loss=series(0.5, math.nan))}

    def rerun(how):
        return Reran(moved[how.fault or "faultless"], (True, ""))

    for gate, caught in ((Gate(allow_nonfinite=("loss",)), 1), (Gate(ignore=("loss",)), 0)):
        power = gate_power.measure(moved["faultless"], baseline(gate, loss=series(1.0, float("nan"))), None, rerun)
        assert len(power.caught) == caught
