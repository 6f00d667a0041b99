"""Promises of the study (`python -m tests.study`): its edits fit its program, and its rules and numbers are right."""

import collections
import dataclasses
import math

import pytest

from harness import Record, compare
from harness.record.streams import Stream
from tests.study import long, runs, table
from tests.study.benign import BENIGN, elsewhere
from tests.study.faults import FAULTS, USUAL_STAGES, right_stages
from tests.study.rules import RULES, bit_exact_loss, close_loss, final_accuracy, golden_values, labelled_curve
from tests.study.runs import REFERENCE, Conditions, Variant, edited, run, train


SHORT = {"data": "synthetic", "epochs": 2, "train_images": 35, "test_images": 30, "bs": 16, "micro": 8}
"""Six steps with everything in them: partial batches, both micro-batches, a resume at step 3, two evaluations."""
RESUMED = 3


def short(variant):
    """The record of a variant's shortened run, in this process."""
    return train(edited(variant), **SHORT)


@pytest.fixture(scope="module")
def reference():
    """The record of the shortened program as it stands."""
    return short(REFERENCE)


# --- the edits


def test_every_edit_fits_the_program():
    """Each old text is in the program exactly once (`edited` raises otherwise), and the new text is Python."""
    for variant in (*FAULTS, *BENIGN, *elsewhere("python")):
        text = edited(variant)
        compile(text, variant.id, "exec")
        assert variant.environment or variant.python or text != edited(REFERENCE), variant.id


def test_an_edit_that_does_not_fit_is_refused():
    """A fault that is planted nowhere, or in several places, is no result."""
    for old, times in (("no such text", "0"), ("model", r"[1-9]\d+")):
        with pytest.raises(ValueError, match=f"X00: '{old}' stands in the program {times} times, not once"):
            edited(Variant.of("X00", "", old, "new"))


def test_the_catalogue_is_complete():
    """All 65 public faults are there, by kind as in the catalogue, and at least 30 benign variants; ids are unique."""
    kinds = collections.Counter(fault.id[0] for fault in FAULTS)

    assert "".join(f"{kind}{count} " for kind, count in kinds.items()) == "D13 L6 A8 I3 O13 S4 M5 E2 R3 P3 X2 H2 K1 "
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) == 65
    assert len({variant.id for variant in BENIGN}) == len(BENIGN) >= 30


def test_every_fault_has_its_right_stages():
    """The ground truth is written down for each fault, and never says that any stage will do."""
    for fault in FAULTS:
        assert 1 <= len(right_stages(fault)) <= 2, fault.id
    assert not set(USUAL_STAGES) & set("RPXH"), "these stand with the faults"


# --- the program


def test_the_program_repeats_itself(reference):
    """Two runs have the same record, so that every difference in the study is made by an edit."""
    assert short(REFERENCE).to_text() == reference.to_text()


def test_clipping_clips(reference):
    """Gradients that the optimizer sees have the largest norm allowed: the branch is at work."""
    gradients = [stream.values for name, stream in reference.streams.items() if name.startswith("gradient/")]
    totals = [math.sqrt(sum(value**2 for value in step)) for step in zip(*gradients, strict=True)]

    assert min(abs(total - 0.5) for total in totals) < 1e-5


@pytest.mark.parametrize(
    ("id", "step"),
    [("D03", 0), ("A16", 0), ("I01", 0), ("S04", 0), ("L09", 2), ("O05", 0), ("E01", 0), ("M08", 2), ("R01", RESUMED)],
)
def test_a_fault_is_caught_and_named(reference, id, step):
    """Verdict, step and stage of the first divergence are those of the fault."""
    fault = next(fault for fault in FAULTS if fault.id == id)
    comparison = compare(reference, short(fault))

    assert comparison.verdict == "different"
    assert comparison.first_divergence.step == step
    assert comparison.first_divergence.stage in right_stages(fault)


@pytest.mark.parametrize("id", ["B09", "B26", "B30", "B46", "B47", "B49"])
def test_a_benign_change_passes(reference, id):
    """Another layout, another form of the same mathematics, another order, another name."""
    variant = next(variant for variant in BENIGN if variant.id == id)

    assert compare(reference, short(variant)).verdict == "same"


@pytest.mark.long
def test_a_run_is_kept(tmp_path, monkeypatch, reference):
    """A run in a process of its own leaves the same record; the next time it is read, not run."""
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "study")
    conditions = Conditions(epochs=SHORT["epochs"], changes={k: v for k, v in SHORT.items() if k != "epochs"})
    first = run(REFERENCE, conditions)
    monkeypatch.setattr(runs, "_run_alone", None)

    assert run(REFERENCE, conditions) == first
    assert first.record.to_text() == reference.to_text()


@pytest.mark.long
def test_a_run_that_fails_says_why(tmp_path, monkeypatch):
    """Its own last lines are in the message."""
    monkeypatch.setattr(runs, "FOLDER", tmp_path / "study")
    with pytest.raises(RuntimeError, match=r"X00 failed:\n(.|\n)*ZeroDivisionError"):
        run(Variant.of("X00", "", "import copy", "1 / 0"))


# --- the rules


def planted(losses, accuracy=0.5):
    """A record of some losses and one accuracy."""
    streams = {
        "loss": Stream("forward", tuple(range(len(losses))), tuple(losses)),
        "evaluation/accuracy": Stream("evaluation", (len(losses) - 1,), (accuracy,)),
    }
    parts = {part: {} for part in ("recipe", "data", "environment", "structure", "pictures")}
    return Record(name="", precision="float64", seed=0, device="cpu", streams=streams, **parts)


LOSSES = [2.3 - 0.01 * step for step in range(64)]


def moved(share, *steps):
    """The losses, with those of some steps (1-based; all if none is given) moved by a share of themselves."""
    return [loss * (1 + share * (not steps or step in steps)) for step, loss in enumerate(LOSSES, 1)]


@pytest.mark.parametrize(
    ("rule", "passes", "alarms"),
    [
        (bit_exact_loss, moved(0), moved(1e-15)),
        (close_loss, moved(0.9e-5), moved(1e-4, 40)),
        (golden_values, moved(0.2, 5, 6, 7), moved(0.06, 5, 10)),
        (labelled_curve, moved(1e-4, *range(10, 60)), moved(0.05)),
    ],
)
def test_a_rule_of_others_does_what_it_says(rule, passes, alarms):
    """Each rule passes just inside its tolerance and turns red beyond it."""
    assert not rule(planted(LOSSES), planted(passes))
    assert rule(planted(LOSSES), planted(alarms))


@pytest.mark.parametrize("rule", [bit_exact_loss, close_loss, golden_values, labelled_curve])
def test_a_rule_of_others_sees_nan(rule):
    """No rule is made to look worse than it is: a training that breaks down is seen by all that judge losses."""
    assert rule(planted(LOSSES), planted([*LOSSES[:20], *[math.nan] * 44]))


def test_final_accuracy_allows_two_points():
    """Two points are within two points, whatever the rounding."""
    assert not final_accuracy(planted(LOSSES, 0.5), planted(LOSSES, 0.52))
    assert final_accuracy(planted(LOSSES, 0.5), planted(LOSSES, 0.522))
    assert final_accuracy(planted(LOSSES, 0.5), planted(LOSSES, math.nan))


# --- the numbers


@pytest.mark.parametrize(
    ("count", "total", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 50, 0.1910, 0.4375)]
)
def test_interval_is_wilsons(count, total, low, high):
    """Values from Brown, Cai and DasGupta's formula (Statistical Science 16, 2001, p. 107), worked out by hand."""
    assert table.interval(count, total) == pytest.approx((low, high), abs=1e-4)


def test_first_steps_are_those_of_a_shorter_run(reference):
    """What a run of n steps would have said, from the record of a longer one."""
    cut = long.first_steps(reference, RESUMED)

    assert cut.num_steps == RESUMED
    assert cut.streams["loss"].values == reference.streams["loss"].values[:RESUMED]


def test_the_tables_count_what_was_judged(reference):
    """Caught faults, right stages and alarms are counted from the verdicts; margins are of what has a size."""
    fault = next(fault for fault in FAULTS if fault.id == "O05")
    found, missed = compare(reference, short(fault)), compare(reference, reference)
    alarms = (True,) * len(RULES)
    faults = [table.Judged(fault, found, missed, alarms), table.Judged(fault, missed, missed, (False,) * len(RULES))]
    rows = table.rules_table(faults, faults[:1]).splitlines()

    assert rows[0] == "|  | rule | faults caught of 2 | benign alarms of 1 |"
    assert rows[2] == "|  | ours: both together | 1 (9% to 91%) | 1 (21% to 100%) |"
    assert rows[3] == "| a | ours: `compare`, float64 | 1 (9% to 91%) | 1 (21% to 100%) |"
    assert [judged.named_right for judged in faults] == [True, False]
    assert table.largest_excess(found) > table.first_excess(found) > 1e6
    assert "| O05 | momentum 0.89 | not found | - | - | - |" in table.faults_table(faults)
    assert table.wrong(faults, faults) == ["missed: O05, momentum 0.89", "alarms: O05, momentum 0.89"]
    assert table.wrong(faults[:1], faults[1:]) == []


def test_what_float64_misses_is_named_by_the_replay(reference):
    """A fault that lives in low precision is judged by the first divergence of its replay."""
    fault = next(fault for fault in FAULTS if fault.id == "O05")
    record = dataclasses.replace(short(fault), precision="float32")
    replay = compare(dataclasses.replace(reference, precision="float32"), record)
    judged = table.Judged(fault, compare(reference, reference), replay, (False,) * len(RULES))

    assert judged.found
    assert judged.named_right
    assert "| replay: step 0, schedule, setting/c1.weight/momentum | yes |" in table.faults_table([judged])


def test_a_share_is_of_the_number_s_own_threshold(reference):
    """Within thresholds and beyond them: what counts is the number that comes nearest to its own."""
    nudged = {**reference.streams, "loss": _times(reference.streams["loss"], 1 + 3e-11)}

    assert table.largest_share(compare(reference, reference)) == 0
    assert table.largest_share(compare(reference, dataclasses.replace(reference, streams=nudged))) == pytest.approx(
        0.3, rel=1e-4
    )


def _times(stream, factor):
    return dataclasses.replace(stream, values=tuple(value * factor for value in stream.values))


def test_a_deviation_without_a_size_is_infinite(reference):
    """Fingerprints and counts have no margin; they must not look like a small one."""
    comparison = compare(reference, dataclasses.replace(reference, structure={}))

    assert table.first_excess(comparison) == table.largest_excess(comparison) == math.inf
