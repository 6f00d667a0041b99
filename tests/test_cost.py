"""Promises of what a change costs: runs in turns, a ratio that favours no side, words, and a limit that fails."""

import itertools
import math
import sys
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import Recorder
from harness.elsewhere.cost import Cost, cost_of, measure
from harness.elsewhere.rerun import Reruns
from harness.elsewhere.trees import tree_of
from harness.errors import RerunError
from harness.plugin.cost import with_cost
from harness.recording import step_times
from harness.recording.perturbation import Reran, Taken
from harness.report.cost_text import cost_text
from harness.report.html.page import page
from harness.report.json_form import Results, to_text
from harness.report.markdown import markdown
from harness.report.session_text import cost_lines, junit_properties
from tests.repositories import repository as in_git
from tests.test_page import Reading, check, training
from tests.test_record import baseline_of, record_of


AT = "main (9f8e7d2)"
SLOW = Cost(
    at=AT,
    step=0.0123,
    former_step=0.0101,
    ratio=1.22,
    smallest=1.19,
    largest=1.26,
    memory=512 * 10**6,
    former_memory=480 * 10**6,
)
TEXT = "step 12.3 ms, 10.1 ms at main (9f8e7d2): x 1.22 (1.19 to 1.26); memory 512 MB, 480 MB"
UNKNOWN = Cost(at=AT, unknown="6 trainings take more than 60 s, one 95 s")
TEST = "tests/test_a.py::test_b[cpu]"

takes = st.builds(Taken, st.floats(1e-6, 1e3), st.integers(0, 2**40))
many = st.lists(st.tuples(takes, takes), min_size=1, max_size=9)


def in_turns(there, here, seconds=1.0, known=1.0, **limits):
    """The cost by runs that take so long a step, the runs in their order, and the seconds that all took."""
    ran, now = [], [0.0]

    def running(side, steps):
        left = iter(steps)

        def run(how):
            ran.append(side)
            now[0] += seconds
            return Reran(record_of({}), (False, ""), taken=Taken(next(left), 0))

        return run

    found = measure(running("there", there), running("here", here), AT, known, clock=lambda: now[0], **limits)
    return found, ran, now[0]


@given(many)
def test_exchanging_the_sides_inverts_the_ratio(pairs):
    """Also of an even number of pairs: no side is favoured."""
    one, other = cost_of(pairs, AT), cost_of([(here, there) for there, here in pairs], AT)

    for found, inverse in ((one.ratio, other.ratio), (one.smallest, other.largest), (one.largest, other.smallest)):
        assert found * inverse == pytest.approx(1)
    assert one.memory == other.former_memory
    assert one.ratio == one.step / one.former_step
    assert one.smallest <= one.ratio * (1 + 1e-12)
    assert one.ratio <= one.largest * (1 + 1e-12)


@given(many, st.floats(1e-3, 1e3))
def test_a_machine_that_is_slower_for_both_changes_nothing(pairs, factor):
    """The ratios stay."""
    slowed = [tuple(each._replace(step=each.step * factor) for each in pair) for pair in pairs]
    one, other = cost_of(pairs, AT), cost_of(slowed, AT)

    for name in ("ratio", "smallest", "largest"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))


def test_the_sides_take_turns():
    """The other commit first, three pairs where they agree; the pair of the median ratio, and what all pairs span."""
    found, ran, _ = in_turns((1.0, 1.0, 2.0), (1.2, 1.22, 2.42))

    assert ran == ["there", "here"] * 3
    assert (found.ratio, found.smallest, found.largest) == pytest.approx((1.21, 1.2, 1.22))
    assert (found.step, found.former_step) == pytest.approx((2.42, 2.0))
    assert found.unknown == ""


def test_pairs_that_disagree_are_followed_by_more():
    """Up to nine, or as many as somebody wants; until time is up."""
    wild = tuple(itertools.islice(itertools.cycle((1.0, 1.0, 1.5)), 9))
    _, ran, _ = in_turns((1.0,) * 9, wild)
    found, fewer, spent = in_turns((1.0,) * 9, wild, seconds=7.0, known=7.0)

    assert len(ran) == 18
    assert len(in_turns((1.0,) * 9, wild, most=3)[1]) == 6
    assert (len(fewer), spent) == (10, 70)
    assert (found.ratio, found.largest) == (1.0, 1.5)


def test_a_training_that_takes_too_long_is_not_run_at_all():
    """Or no more, where only its processes do; both are said with their seconds."""
    found, ran, _ = in_turns((), (), known=95.0)
    late, runs, _ = in_turns((1.0,) * 3, (1.0,) * 3, seconds=31.0)

    assert (found, ran) == (UNKNOWN, [])
    assert (late.unknown, len(runs)) == ("6 trainings take more than 60 s, one 31 s", 4)


def test_a_training_that_cannot_be_run_again_has_no_cost():
    """Nor one whose steps no recorder saw: both are said, and no test fails for it."""

    def broken(how):
        raise RerunError.failed(change=how.text, nodeid=TEST, output="")

    untimed, ran, _ = in_turns((1.0,), (0.0,))

    said = measure(broken, broken, AT, 1.0).unknown
    assert said == "this training was run again with its steps timed, and that run left no record"
    assert (untimed.unknown, len(ran)) == ("it has no step after the first that a recorder has seen", 2)


def trained(recorder, model, steps, evaluates):
    """Train for a few steps; what is called after each may evaluate."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with recorder:
        recorder.watch(model, optimizer)
        for step in range(steps):
            recorder.batch(torch.ones(2, 3))
            loss = model(torch.ones(2, 3)).square().sum()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
            evaluates(step)
    return recorder.record


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_steps_are_timed_but_the_first_and_without_evaluations(monkeypatch, device):
    """From the start of a step to that of the next, or to the evaluation in between; by processor, or on the wall."""
    now = {"wall": 0.0, "processor": 0.0}
    monkeypatch.setattr(step_times, "_now", lambda: tuple(now.values()))
    times = step_times.StepTimes()
    for wall, processor in ((9.0, 9.0), (2.0, 1.0), (4.0, 3.0)):
        times.begin()
        now["wall"] += wall
        now["processor"] += processor
        times.end()
        now["processor"] += 5.0  # an evaluation
        times.end()

    assert times.seconds(device) == ((1.0, 3.0) if device == "cpu" else (2.0, 4.0))


def test_a_recorder_times_its_steps(monkeypatch):
    """Each but the first, without the evaluation after it, which begins with the first pass that does not train."""
    now = [0.0]
    monkeypatch.setattr(step_times, "_now", lambda: (now[0], now[0]))
    model = torch.nn.Linear(3, 1, dtype=torch.float64)

    def evaluates(step):
        now[0] += 1.0  # of the step
        if step == 2:
            with torch.no_grad():
                model(torch.ones(2, 3))
            now[0] += 10.0  # not of it

    record = trained(Recorder(), model, 5, evaluates)
    assert record.step_seconds == (1.0,) * 4
    assert "step_seconds" not in record.to_text()


@pytest.mark.parametrize("resource", [True, False])
def test_memory_is_what_the_process_held_at_most(monkeypatch, resource):
    """In bytes; unknown on a system that does not tell."""
    if not resource:
        monkeypatch.setitem(sys.modules, "resource", None)
    found = step_times.taken(record_of({}, step_seconds=(3.0, 1.0, 2.0)))

    assert found.step == 2.0
    assert 2**24 < found.memory < 2**44 if resource else not found.memory


def test_memory_on_a_gpu_is_that_of_the_gpu(monkeypatch):
    """As torch allocated it."""
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: 7)
    assert step_times.taken(record_of({}, device="cuda")) == Taken(0.0, 7)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, TEXT),
        ({"memory": 0}, TEXT.partition(";")[0]),
        ({"step": 1.5, "memory": 12 * 10**9}, TEXT.replace("12.3 ms", "1.5 s").replace("512 MB", "12 000 MB")),
        ({"unknown": "why"}, "not measured beside main (9f8e7d2): why"),
    ],
)
def test_a_cost_is_told_in_a_line(changes, text):
    """Step time and memory here and there, the ratio and its spread; or why it is not known."""
    fields = {name: getattr(SLOW, name) for name in SLOW.__struct_fields__}
    assert cost_text(Cost(**{**fields, **changes})) == text


def judged(found, limit, *, passed=True, strict=False):
    """The finding of a training with its cost."""
    session = SimpleNamespace(slowest=limit, strict=strict)
    checked = SimpleNamespace(
        test=SimpleNamespace(session=session, id=TEST), record=record_of({}), blame=lambda baseline: []
    )
    same = training((2.0, 1.5 if passed else 9.0, 1.0))
    return with_cost(same, checked, baseline_of({}), found)


@pytest.mark.parametrize("limit", [0, 1.19, 1.2, 1.3])
def test_a_limit_fails_what_is_beyond_it_in_every_pair(limit):
    """Above the smallest ratio, and without a limit, the cost is only told."""
    assert judged(SLOW, limit).passed
    assert judged(SLOW, limit).verdict == "same"
    assert list(cost_lines([judged(SLOW, limit)])) == [f"cost   {TEXT}   {TEST}"]


def test_a_slower_training_says_so():
    """Verdict, ratio, limit, cost, what has changed, and what was trained."""
    slower = judged(SLOW, 1.1)

    assert (slower.verdict, slower.passed) == ("slower", False)
    assert slower.text.splitlines() == [
        "training is slower than at main (9f8e7d2): x 1.22 (1.19 to 1.26), allowed x 1.1",
        f"  cost       {TEXT}",
        "  blame      no file that the baseline was made from has changed",
        f"  recipe     made, float64, cpu   {TEST}",
    ]


def test_a_training_that_differs_has_its_cost_in_the_message():
    """It fails for what differs, whatever it costs."""
    found = judged(SLOW, 1.1, passed=False)

    assert (found.verdict, found.passed) == ("different", False)
    assert found.text == f"what pytest says\n  cost       {TEXT}"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("limit", [0, 1.1])
def test_a_cost_that_is_not_known_fails_a_strict_gate_alone(limit, strict):
    """A limit that nothing was held to must not be green where no doubt is allowed."""
    found = judged(UNKNOWN, limit, strict=strict)

    assert found.passed is not bool(limit and strict)
    if not found.passed:
        assert found.verdict == "inconclusive"
        assert found.text.splitlines() == [
            "training is not known to take at most 1.1 times what it took at main (9f8e7d2)",
            "  cost       not measured beside main (9f8e7d2): 6 trainings take more than 60 s, one 95 s",
            f"  recipe     made, float64, cpu   {TEST}",
        ]


@pytest.mark.parametrize("found", [SLOW, UNKNOWN])
def test_every_form_of_the_report_tells_the_cost(found):
    """Comment, page, JUnit's properties, and JSON, which is read back as it was."""
    finding = judged(found, 0)

    assert f"\ncost   {cost_text(found)}   {TEST}\n" in markdown([finding])
    assert cost_text(found) in " ".join(" ".join(Reading(page([finding])).text).split())
    assert junit_properties(finding)["cost"] == cost_text(found)
    assert msgspec.json.decode(to_text([finding]), type=Results).results == [finding]


def test_what_has_no_cost_says_nothing_of_it():
    """In no form."""
    findings = [training((2.0, 1.5, 1.0)), check().trouble("no")]

    assert not list(cost_lines(findings))
    assert "cost" not in markdown(findings)
    assert "cost" not in junit_properties(findings[0])


LOOP = """
import torch
from harness import Recorder

TIMES = 1

def test_loop(training_regression):
    with Recorder() as recorder:
        model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        recorder.watch(model, optimizer)
        for _ in range(12):
            images = torch.rand(256, 256)
            recorder.batch(images)
            optimizer.zero_grad()
            for _ in range(TIMES):
                loss = model(images).square().mean()
                loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    training_regression.check(recorder.record)
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A project with a commit, where git and caches leave nothing elsewhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return in_git(tmp_path / "project", {"pytest.ini": "[pytest]\n", "test_gate.py": LOOP})


@pytest.mark.long
@pytest.mark.parametrize("times", [1, 3])
def test_a_step_that_computes_three_times_as_much_is_slower(repository, times):
    """And one that computes the same is not; both by trainings in processes of their own."""
    (repository / "test_gate.py").write_text(LOOP.replace("TIMES = 1", f"TIMES = {times}"))

    def arguments(folder):
        return ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]

    with tree_of(repository, "HEAD") as tree:
        there = Reruns(tree.place(repository), arguments, "pytest", tree.variables)
        here = Reruns(repository, arguments, "pytest")
        try:
            runs = (partial(each.run, "test_gate.py::test_loop", "") for each in (there, here))
            found = measure(*runs, AT, 0.1, clock=lambda: 0.0)
        finally:
            there.close()
            here.close()

    assert not found.unknown
    assert found.exceeds(1.2) is (times == 3)
    assert math.isclose(found.memory, found.former_memory, rel_tol=0.1)
