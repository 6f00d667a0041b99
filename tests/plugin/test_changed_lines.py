"""Promises of a session on code that changed: what no gated training runs is named, in all forms, and nothing else."""

import json
from textwrap import dedent
from types import SimpleNamespace

import pytest

from harness.baselines.store import save_baseline
from harness.elsewhere.rerun import own_variables
from harness.plugin.changed_lines import ChangedLines
from harness.record import Baseline
from harness.record.streams import Stream
from harness.recording.followed import asking
from tests.plugin.conftest import GENERATE
from tests.repositories import git
from tests.test_record import record_of


NET = '''
def loss(x):
    """Return it."""
    if x > 100:
        x = 100
    return x

def shared():
    return 1

def other():
    return 2
'''
TEST = """
import net
import pytest
from pathlib import Path
from harness import Record

@pytest.fixture(scope="module")
def trained():
    return net.shared()

def test_before(trained):
    assert net.other()

def test_it(training_regression, trained):
    net.loss(trained)
    training_regression.check(Record.from_text(Path("record.txt").read_text()))
"""
CHILD = """
    import subprocess, sys
    program = "from harness.recording.followed import follow; {}follow(); import net; net.loss(101)"
    subprocess.run([sys.executable, "-c", program], check=True)
"""
"""Of a test: has another process run the lines that it does not run itself."""
LINES = [
    "net.py:5-6, 13-14 changed, run by no gated training: not judged",
    "net2.py changed, imported by no gated training: not judged",
]


@pytest.fixture
def changed(project):
    """A project whose files have changed since its baseline; it checks a record that stands in a file."""
    project.path.joinpath("test_gate.py").unlink()
    project.path.joinpath("conftest.py").write_text("import sys; sys.path.insert(0, '.')")
    project.path.joinpath("record.txt").write_text(record_of({}).to_text())
    project.write(net=NET, test_net=TEST, test_other="def test_other(): pass")
    project.path.joinpath("net.py").write_text(NET)
    project.baselines.mkdir()
    save_baseline(project.baselines / "test_net-test_it.json", Baseline(record_of({})))
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "start"]):
        git(project.path, *words)
    project.edit("x = 100", "x = 1.0 * x\n        x = x - 1", "net.py")
    project.edit("return x", "return x + 1", "net.py")
    project.edit("return 1", "return 1.0", "net.py")
    project.edit("return 2", "number = 2\n    return number", "net.py")
    project.edit("assert net", "assert 0 < net", "test_net.py")
    project.path.joinpath("net2.py").write_text("A = 1\n")
    project.path.joinpath("test_other.py").write_text("def helper():\n    return 1\n\ndef test_other(): pass\n")
    return project


def told(result):
    """What the summary of a session says of changed lines."""
    return [line for line in result.stdout.lines if "not judged" in line]


def test_what_no_gated_training_runs_is_named(changed):
    """What it runs is not, nor what a fixture runs that it shares, nor a test of anything else; strict stays green."""
    result = changed.run("--training-strict")

    assert result.ret == pytest.ExitCode.OK
    assert told(result) == LINES
    build = changed.path / "build" / "harness"
    assert "\n".join(LINES) in (build / "report.md").read_text()
    assert json.loads((build / "results.json").read_text())["ledger"]["never_run"][0]["lines"] == [[5, 6], [13, 14]]


def test_nothing_is_said_of_a_part_of_the_tests(changed):
    """The others may run it; nor where nothing has changed since the commit of the baseline."""
    assert told(changed.run("test_net.py::test_it")) == []
    assert told(changed.run("-k", "not test_it")) == []
    git(changed.path, "add", "--all")
    git(changed.path, "commit", "--quiet", "--amend", "-m", "all at once")
    assert told(changed.run()) == []


@pytest.mark.parametrize(("before", "doubt"), [("", ""), ("import net; ", ", unless another process ran it")])
def test_what_runs_in_another_process_has_run(changed, before, doubt):
    """It notes its lines itself; what a file ran there before it did is not known."""
    changed.edit("    net.loss(trained)\n", CHILD.format(before), "test_net.py")

    assert told(changed.run()) == [LINES[0].replace("5-6, ", "") + doubt, LINES[1]]


def test_what_a_process_runs_that_is_started_at_import_has_run(changed):
    """As what a file runs itself when it is imported."""
    changed.edit("import pytest\n", f"import pytest\n{dedent(CHILD.format(''))}", "test_net.py")
    changed.edit("    net.loss(trained)\n", "", "test_net.py")

    assert told(changed.run()) == [LINES[0].replace("5-6, ", ""), LINES[1]]


@pytest.mark.long
def test_what_runs_on_workers_may_have_run(changed):
    """They do not say which lines, whenever they have begun."""
    here, elsewhere = told(changed.run("--training-on=local:1"))[0], ", unless another process ran it"

    assert here.startswith("net.py:")
    assert here.endswith(f"not judged{elsewhere}")


def test_reruns_and_jobs_note_no_lines(tmp_path):
    """Else it would matter whether a gated test runs when the process begins that they are copies of."""
    before = own_variables()
    with asking(tmp_path / "wanted.json"):
        assert own_variables() == before


def test_a_folder_of_a_repository_may_use_another(project, monkeypatch):
    """What it imports from there is blamed and watched; what is nothing to it is not."""
    top, own = project.path, project.path / "trainer"
    for folder in ("trainer", "common", "website"):
        (top / folder).mkdir()
    before, after = (record_of({"loss": Stream("forward", (0,), (loss,))}).to_text() for loss in (1.0, 2.0))
    files = {"trainer/record.txt": before, "common/net.py": NET, "website/app.py": "A = 1\n"}
    files |= {"trainer/test_net.py": TEST, "trainer/conftest.py": "import sys; sys.path.insert(0, '../common')"}
    for name, text in files.items():
        (top / name).write_text(text)
    (top / "test_gate.py").unlink()
    git(top, "init", "--quiet")
    monkeypatch.chdir(own)
    project.run("--rootdir=.", GENERATE)
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "-m", "start")
    project.edit("x = 100", "x = 1.0 * x", "common/net.py")
    project.edit("A = 1", "A = 2", "website/app.py")
    (own / "record.txt").write_text(after)
    result = project.run("--rootdir=.")

    assert told(result) == ["../common/net.py:5 changed, run by no gated training: not judged"]
    result.stdout.fnmatch_lines(["  blame      ../common/net.py  (+1 -1)  with changes not committed"])


def test_against_a_commit_lines_count_that_changed_since():
    """Whatever brought the baselines that are stored."""
    assert ChangedLines(SimpleNamespace(against=SimpleNamespace(commit="f00")))._base() == "f00"


@pytest.mark.long
def test_workers_tell_together(changed):
    """With pytest-xdist, what one of them runs has run."""
    changed.write(test_net2=TEST.replace("net.loss(trained)", "net.loss(101)"))
    save_baseline(changed.baselines / "test_net2-test_it.json", Baseline(record_of({})))
    result = changed.pytester.runpytest_subprocess("-p", "no:randomly", "-n2")

    assert told(result) == [LINES[0].replace("5-6, ", ""), LINES[1]]
