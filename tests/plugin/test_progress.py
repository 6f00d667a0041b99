"""Promises of what is seen while trainings run."""

import os
import pty
import re
import subprocess
import sys

import pytest

from tests.plugin.conftest import GENERATE
from tests.projects import QUICK


def plain(project, *options):
    """Run with output that is no terminal, as in CI; return its lines."""
    return project.run(*options).outlines


def test_plain_output_has_a_line_a_training_and_keeps_pytests_own_whole(project):
    """Where there is no terminal: one line when a training ends, and pytest's line starts anew after it."""
    lines = plain(project, GENERATE)
    place = next(i for i, line in enumerate(lines) if line.startswith("training cifar_cnn, synthetic, float64, cpu: "))

    assert re.fullmatch(r"training cifar_cnn, .*: step 6/6, loss \d\.\d{4}, \d+\.\d s", lines[place])
    assert lines[place - 1].strip() == "test_gate.py"
    assert lines[place + 1].strip() == "."


def test_quiet_output_has_none(project):
    """-q asks for less."""
    assert not [line for line in plain(project, "-q", GENERATE) if line.startswith("training cifar")]


def test_verbose_output_is_not_torn(project):
    """-v prints a test's name before it runs; the verdict is printed with the name again after our line."""
    lines = plain(project, "-v", GENERATE)

    assert [line for line in lines if re.match(r"test_gate\.py::test_training\[cpu\] (PASSED|$)", line)]
    assert not [line for line in lines if "PASSED" in line and "training cifar" in line]


def test_tests_own_output_is_not_torn_with_s(project):
    """-s lets tests print; our lines stand on lines of their own."""
    head = "def test_training(record, training_regression):"
    project.edit(head, f"{head}\n    print('mine', flush=True)")
    lines = plain(project, "-s", GENERATE)

    assert any(line.endswith("mine") for line in lines)
    assert not [line for line in lines if "mine" in line and "training cifar" in line]


def on_terminal(folder, *options):
    """Run on a pseudo-terminal of 80 columns; return everything written."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "pytest", *QUICK, *options]
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=folder, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    written = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        written += chunk
    os.close(leader)
    process.wait()
    return written.decode()


LIVE = re.compile(r"\x1bD\x1bM\x1b7\x1b\[1B\r\x1b\[2K([^\x1b]*)\x1b8")


@pytest.mark.long
def test_a_terminal_shows_a_live_line_and_keeps_nothing_of_it(project):
    """Each drawing puts the cursor back where pytest left it, and the last one is empty."""
    project.measures_nothing()
    project.edit("epochs=2, train_images=20", "epochs=20, train_images=64")
    written = on_terminal(project.path, GENERATE)
    drawn = LIVE.findall(written)

    assert drawn[-1] == ""
    assert all(len(line) < 80 for line in drawn)
    assert re.fullmatch(r"training cifar_cnn, synthetic, float64, cpu: step \d+/160, loss \d\.\d{4}, .*", drawn[0])
    assert "training cifar_cnn" not in re.sub(r"loss.*", "", LIVE.sub("", written)).replace("training regression", "")
