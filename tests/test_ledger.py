"""Promises of the ledger: what became of each baseline, whatever its tests did, and of those of several jobs."""

import pytest

from harness.report.ledger import Entry, Ledger, Outcome, entries, found, ledger_lines, missing_shards, united
from tests.test_page import check, figure, power, training


A, B = "test_a.py::test_a", "test_a.py::test_b"


def fates(*, done=None, left_out=(), outcomes=None, owners=None, is_rank=False):
    """What becomes of a.json and a,two.json, both of test A."""
    owners, stored = owners or {"a.json": [A]}, ["a.json", "a,two.json"]
    given = entries(stored, owners, done or {}, left_out, outcomes or {}, is_rank=is_rank)
    return {(entry.baseline, entry.test): (entry.fate, entry.reason) for entry in given}


@pytest.mark.parametrize(
    ("outcome", "fate"),
    [
        (Outcome("passed"), ("not reached", "its test passed without checking it")),
        (Outcome("failed"), ("not reached", "its test failed before")),
        (Outcome("xfailed"), ("not reached", "its test failed before, as expected")),
        (Outcome("skipped", "no GPU"), ("skipped", "no GPU")),
    ],
)
def test_what_a_check_did_not_use_is_what_its_test_became(outcome, fate):
    """One of two named records that is dropped is not reached, whatever became of the other."""
    done = {("a.json", A): ("compared", "")}

    assert fates(done=done, outcomes={A: outcome}) == {("a.json", A): ("compared", ""), ("a,two.json", A): fate}


def test_a_test_that_never_ran_is_deselected_or_not_reached():
    """Of a session that ended early nobody knows what its last tests would have found."""
    assert {*fates(left_out=[A]).values()} == {("deselected", "")}
    assert {*fates().values()} == {("not reached", "the session ended before its test")}


def test_what_one_rank_does_not_check_another_may():
    """A test that checked something on this rank left the rest to the others; one that checked nothing did not."""
    done, passed = {("a.json", A): ("compared", "")}, {A: Outcome("passed")}
    others = fates(done=done, outcomes=passed, is_rank=True)["a,two.json", A]

    assert others == ("skipped", "its test checked others on this rank")
    assert {fate for fate, _ in fates(outcomes=passed, is_rank=True).values()} == {"not reached"}


def test_a_baseline_that_nobody_was_known_to_own_is_in_the_ledger_once_it_is_checked():
    """A test that asks for the fixture while it runs owns what it checks."""
    given = fates(done={("c.json", B): ("compared", "")}, outcomes={A: Outcome("skipped", "")})

    assert given["c.json", B] == ("compared", "")


def test_of_several_tests_of_a_baseline_the_one_counts_that_did_least():
    """Unless it did not run: a device that is missing takes nothing from one that is there."""
    owners = {"a.json": [A, B]}
    skipped = fates(done={("a.json", A): ("compared", "")}, outcomes={B: Outcome("skipped", "")}, owners=owners)
    passed = fates(done={("a.json", A): ("compared", "")}, outcomes={B: Outcome("passed")}, owners=owners)

    for given, fate in ((skipped, "compared"), (passed, "not reached")):
        ledger = Ledger(entries=[Entry(baseline=n, test=t, fate=f, reason=r) for (n, t), (f, r) in given.items()])
        assert next(entry.fate for entry in ledger.baselines if entry.baseline == "a.json") == fate


def test_findings_say_what_checks_did():
    """An error in the place of a comparison is none, and faults that are planted compare nothing."""
    done = dict(found([training((2.0, 9.0, 1.0)), figure(), power(), check(test=B).trouble("there is none\n  fix")]))

    assert [*done.values()] == [("compared", ""), ("compared", ""), ("not compared", "there is none")]


def ledger(*given, others=(), shard=""):
    """A ledger of baselines and their fates."""
    of = [Entry(baseline=name, test=A, fate=fate, reason=reason) for name, fate, reason in given]
    return Ledger(entries=of, others=[*others], shard=shard)


def test_the_summary_counts_and_names_what_is_missing():
    """What is missing for one reason stands together."""
    given = ledger(
        ("a.json", "compared", ""), ("b.png", "skipped", "no GPU"), ("c.json", "skipped", "no GPU"),
        ("d.json", "deselected", ""), ("e.json", "not reached", "its test failed before"),
    )  # fmt: skip

    assert [*ledger_lines(given)] == [
        "1 of 5 baselines compared, 1 not reached, 2 skipped, 1 deselected",
        "  skipped: no GPU",
        f"    b.png   {A}",
        f"    c.json   {A}",
        "  deselected:",
        f"    d.json   {A}",
        "  not reached: its test failed before",
        f"    e.json   {A}",
    ]
    assert [*ledger_lines(ledger(("a.json", "generated", "")))] == ["1 of 1 baseline generated"]
    assert [*ledger_lines(ledger())] == []
    many = [*ledger_lines(ledger(*((f"{i:02}.json", "not reached", "") for i in range(12))))]
    assert many[-1] == "    and 2 more"


def test_jobs_together_own_what_one_of_them_owns():
    """What one job deselects another compares; what no job owns is an orphan, or of a job that is missing."""
    one = ledger(("a.json", "compared", ""), ("b.json", "deselected", ""), others=["c.json", "d.json"], shard="1/3")
    two = ledger(("b.json", "compared", ""), ("c.json", "compared", ""), others=["a.json", "d.json"], shard="2/3")
    whole = united([one, two])

    assert {entry.baseline: entry.fate for entry in whole.baselines} == dict.fromkeys(
        ("a.json", "b.json", "c.json"), "compared"
    )
    assert whole.others == ["d.json"]
    assert missing_shards([one, two]) == ["3/3"]
    assert missing_shards([ledger(), ledger()]) == []
