"""Promises of the history: a shrinking margin is seen before it fails, and noise is not taken for one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import errors
from harness.report.history import check_history, remember, shrinks
from harness.report.html.page import page
from harness.report.markdown import markdown
from harness.report.session_text import trends
from tests.test_page import Reading, figure, training


@pytest.mark.parametrize(
    "margins",
    [
        [1e-3, 2e-3, 1e-3, 0.02],  # a jump
        [0.1, 0.13, 0.17, 0.23, 0.3],  # a steady rise
        [0.001 * 1.5**run for run in range(16)],  # a slow one
        [0, 0, 0, 0.011],  # out of nothing
    ],
)
def test_a_margin_that_shrinks_is_seen(margins):
    """By a jump to ten times the median of earlier runs, or by five runs that rise and double."""
    assert shrinks(margins)


@pytest.mark.parametrize(
    "margins",
    [
        [0.001, 0.001, 0.001, 0.009],  # still below a hundredth of the threshold
        [0.3, 0.5, 0.2, 0.6, 0.4],  # noise
        [0.2, 0.21, 0.22, 0.23, 0.24],  # rises, but little
        [0.001, 0.5],  # too few runs to tell
        [0.01, 0.01, 0.01, 2.0],  # beyond the threshold: that is a failure, not a trend
        [0.5, 0.1, 0.05, 0.02],  # grows
    ],
)
def test_noise_and_growing_margins_are_not(margins):
    """Nobody is told of what needs no eyes."""
    assert not shrinks(margins)


def test_runs_add_up_and_old_ones_go(tmp_path):
    """Each run sees the margins before it, oldest first; fifty are kept; what failed is not added."""
    path = tmp_path / "history.jsonl"
    for run in range(60):
        (known,) = remember(path, [figure(rms=run / 50, passed=run != 57)])

    assert known.history == pytest.approx([run / 100 for run in range(8, 59) if run != 57])
    assert len(path.read_text().splitlines()) == 50


def test_checks_do_not_share_a_history(tmp_path):
    """Training and figure of one test, and several records of it, are told apart; runs of other tests stay."""
    path = tmp_path / "history.jsonl"
    remember(path, [training((2.0, 1.5, 1.0)), training((2.0, 1.5, 1.0), name="b"), figure(rms=1.0, passed=True)])
    (found,) = remember(path, [figure(rms=1.0, passed=True)])

    assert found.history == [0.5]
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == ["", "b", "", ""]


HUGE = b'{"kind": "figure", "test": "t", "name": "", "margin": 1' + b"0" * 400 + b"}\n"


@given(st.binary(max_size=300))
def test_no_file_breaks_it(tmp_path_factory, garbage):
    """Torn, edited or foreign lines are left out, whatever they hold; the good ones beside them count."""
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    remember(path, [figure(rms=1.0, passed=True)])
    path.write_bytes(garbage + b'\n{"kind": 1, "margin": "nan"}\n[]\n' + HUGE + path.read_bytes())
    (found,) = remember(path, [figure(rms=1.0, passed=True)])

    assert found.history == [0.5]


def test_a_history_that_cannot_be_kept_is_refused_at_once(tmp_path):
    """A folder in its place, or a file in its folder's, is said before anything is trained."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "history.jsonl"):
        with pytest.raises(errors.OutputError, match="the history of margins cannot be kept"):
            check_history(path)


def test_a_trend_is_said_in_summary_and_report(tmp_path):
    """With the last margins in it; the report draws them."""
    path = tmp_path / "history.jsonl"
    for rms in (0.002, 0.004, 0.002, 0.2):
        results = remember(path, [figure(rms=rms, passed=True)])
    (line,) = trends(results)
    text = page(results)

    assert line == (
        "margin shrinks: figure of test_b[cpu]: 0.1 %, 0.2 %, 0.1 %, 10 % of the threshold in the last runs   "
        "tests/test_a.py::test_b[cpu]"
    )
    assert line in Reading(text).text
    assert "Margin in past runs" in text
    assert "margin shrinks" in markdown(results)
