"""Promises of how an exit status is told."""

import pytest

from harness.elsewhere.endings import ending


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (3, "it ended with exit status 3"),
        (-11, "it was ended by SIGSEGV"),
        (-9, "it was ended by SIGKILL, as the system does when memory runs out"),
        (-99, "it was ended by signal 99"),
    ],
)
def test_an_exit_status_is_told_in_words(status, text):
    """A signal by its name, and what it usually means."""
    assert ending(status) == text
