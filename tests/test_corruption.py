"""Promises of what is read: a corrupt or hostile file is a message, whatever it is and whoever reads it."""

import pytest

from tests.corruption.kinds import KINDS
from tests.corruption.run import run, table


FIRST = 100_000
"""Other cases than those of `python -m tests.corruption`."""
CASES = len(KINDS)
"""One of each kind."""


@pytest.fixture(scope="module")
def found():
    """What came of some cases of each kind; `python -m tests.corruption` runs 10,000."""
    return run(CASES, FIRST)


def test_corrupt_files_end_in_a_message_or_do_no_harm(found):
    """Commands, comparisons and accepting: only errors of ours come out, each with words."""
    assert not found.others, table(found)
    assert found.counts.total() == CASES
    assert {kind for kind, _ in found.counts} == set(KINDS)


def test_nothing_is_written_outside_the_project(found):
    """Names that lead elsewhere, and links, lead nowhere."""
    assert not found.outside


def test_bombs_do_not_fill_the_memory(found):
    """Pictures and texts that promise gigabytes: the peak grows by less than one."""
    assert found.peak_MB - found.before_MB < 1000


def test_the_cases_are_refused_and_read(found):
    """A test that damages nothing, or everything beyond reading, would show nothing."""
    ends = {(kind.partition(":")[0], end) for kind, end in found.counts}
    refused = {("records", "BaselineCorruptError"), ("states", "BaselineCorruptError"), ("notes", "AcceptError")}

    assert refused <= ends
    assert "read" in {end for _, end in ends}
    assert 0.1 < sum(count for (_, end), count in found.counts.items() if end == "read") / CASES < 0.9
