"""Promises of reruns in other processes: what is asked for arrives, what comes back is whole, nothing is left."""

import dataclasses
import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch

from harness import errors
from harness.elsewhere import rerun
from harness.elsewhere.rerun import Assignment, Rerun, Reruns
from harness.explaining.traced import Operation, Part, Place, Traced
from harness.plugin.regression import TrainingRegression
from harness.record.pictures import Picture
from harness.record.streams import Stream
from harness.recording.perturbation import Perturbation
from harness.recording.states import States
from tests.test_record import record_of


RECORD = record_of({"loss": Stream("forward", (0, 1), (0.1, float("nan")))})
PLACE = Place("net.py", 4, "Net.forward", True, ("net.py:STD",))
TRACED = Traced("2.14", {"start": Part(0, [Operation("aten.relu", 0.25, (), (PLACE,), PLACE, False)])}, {})
KEPT = States({0: {"weight/w": torch.tensor([1.0, 2.0])}})


def assigned(folder, monkeypatch, **parts):
    """An assignment as the process finds it that has to do it."""
    perturbation = Perturbation(seed_shift=3)
    wanted = Assignment("tests/test_a.py::test_b[ü]", "student", perturbation, "rate-scaled", folder)
    wanted = dataclasses.replace(wanted, **parts)
    monkeypatch.setenv("HARNESS_RERUN", str(wanted.write()))
    return wanted, Assignment.from_environment()


def test_an_assignment_arrives_as_it_was_written(tmp_path, monkeypatch):
    """Test, record, perturbation, fault and folder; an ordinary session has none."""
    assert Assignment.from_environment() is None
    wanted, found = assigned(tmp_path, monkeypatch)

    assert found == wanted
    assert found.states() is None


@pytest.mark.parametrize("outcome", [(False, ""), (True, ""), (False, "no dropout")])
def test_a_record_comes_back_with_what_became_of_its_fault(tmp_path, monkeypatch, outcome):
    """And with its trace and its cost. Streams bit for bit, NaN too; pictures are nothing that anybody would judge."""
    wanted, found = assigned(tmp_path, monkeypatch)
    drawn = dataclasses.replace(RECORD, pictures={"batch": Picture(bytes(12), (1, 2, 2))}, step_seconds=(0.5, 9.0, 1.0))
    found.hand_in(drawn, outcome, TRACED)
    collected = wanted.collect()

    assert collected.record.to_text() == RECORD.to_text()
    assert (collected.outcome, collected.traced, collected.taken.step) == (outcome, TRACED, 1.0)
    assert collected.taken.memory > 2**20


@pytest.mark.parametrize("planted", [False, True])
def test_a_training_that_ended_with_an_exception_says_what_its_fault_has_to_do_with_it(tmp_path, monkeypatch, planted):
    """Word for word; but a record that was handed in before counts."""
    wanted, found = assigned(tmp_path, monkeypatch)
    make = errors.FaultError.broken if planted else errors.FaultError.untouched
    left = make(fault="rate-scaled", error=ValueError("no"))
    found.give_up(left)

    with pytest.raises(errors.FaultError) as caught:
        wanted.collect()
    assert vars(caught.value) == vars(left)
    found.hand_in(RECORD, (True, ""))
    assert wanted.collect().outcome == (True, "")


@pytest.mark.parametrize("name", ["", "student"])
def test_states_are_put_back_into_the_record_that_is_wanted_and_no_other(tmp_path, monkeypatch, name):
    """A teacher that is trained in the same test may have tensors of the same names."""
    (tmp_path / "states").write_bytes(KEPT.to_bytes())
    _, found = assigned(tmp_path, monkeypatch, name=name)
    handed = Mock(return_value=nullcontext())
    session = SimpleNamespace(assignment=found, effects=Mock(hand_down=handed))
    tested = TrainingRegression(item=Mock(), session=session)

    states = tested.states(name=name)
    assert states.sha256 == KEPT.sha256
    assert tested.states(name="teacher") is None
    handed.assert_called_once_with(states)


PREPARED = """
import json, os, sys
from pathlib import Path

Path({started!r}).open("a").write("x")
print("a warning of an import", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    folder = Path(request["output"]).parent
    assert json.loads(Path(request["variables"]["HARNESS_RERUN"]).read_text())["test"] == "t::t"
    assert (sys.argv[1], request["arguments"]) == ("pytest", [f"--basetemp={{folder}}"])
    print("a warning of a fork", flush=True)
    {does}
    print("ended", flush=True)
"""
HANDS_IN = """
    folder.joinpath("record.json").write_text({text!r})
    folder.joinpath("outcome.json").write_text('[true, "", [0.5, 1024]]')
"""


@pytest.fixture
def reruns(tmp_path, monkeypatch):
    """Reruns whose prepared process does something simple; `started` counts how often it was started."""
    monkeypatch.setattr(rerun, "FORKS", str(tmp_path / "forks.py"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    made = Reruns(tmp_path, lambda folder: [f"--basetemp={folder}"], "pytest")

    def prepare(does):
        (tmp_path / "forks.py").write_text(PREPARED.format(started=str(tmp_path / "started"), does=does))
        return made

    yield prepare
    made.close()
    assert list((tmp_path / "temporary").iterdir()) == []


def started(tmp_path):
    """How often the prepared process was started."""
    return len((tmp_path / "started").read_text())


def test_one_prepared_process_serves_all_reruns(reruns, tmp_path):
    """What imports and warnings print is not taken for an answer; it ends with the session."""
    made = reruns(HANDS_IN.format(text=RECORD.to_text()).strip())
    reran = [made.run("t::t", "", Rerun("no change")) for _ in range(3)]

    assert {record.to_text() for record, *_ in reran} == {RECORD.to_text()}
    assert {outcome for _, outcome, *_ in reran} == {(True, "")}
    assert started(tmp_path) == 1
    made.close()
    made.close()  # once is enough, twice is no harm


@pytest.mark.parametrize(
    ("does", "output", "starts"),
    [
        ('folder.joinpath("output.txt").write_text("E  it broke\\n")', "E  it broke", 1),
        ('folder.joinpath("output.txt").write_bytes(b"\\xff broke")', "\ufffd broke", 1),
        ("pass", "a warning of an import\na warning of a fork", 1),
        ("sys.exit('it died')", "a warning of an import\na warning of a fork\nit died", 2),
        ("os._exit(1)", "a warning of an import\na warning of a fork", 2),
        ('folder.joinpath("record.json").write_text("{}")', "a warning of an import\na warning of a fork", 1),
    ],
    ids=["output", "bytes", "silent", "exit", "killed", "half"],
)
def test_a_rerun_without_a_record_is_told_with_its_last_lines(reruns, tmp_path, does, output, starts):
    """Of the run, or of the prepared process where that died; the next rerun has a new one."""
    made = reruns(does)
    with pytest.raises(errors.RerunError) as caught:
        made.run("t::t", "", Rerun("2 threads"))
    with pytest.raises(errors.RerunError):
        made.run("t::t", "", Rerun("2 threads"))

    assert caught.value.what == "this training was run again with 2 threads, and that run left no record"
    assert caught.value.where == "t::t"
    assert caught.value.fix.partition("the last lines of the run were:\n")[2] == output
    assert started(tmp_path) == starts


def test_a_process_that_cannot_be_prepared_is_told(reruns, tmp_path):
    """An import that fails there, say: its traceback ends the message."""
    made = reruns("pass")
    (tmp_path / "forks.py").write_text("import no_such_module")

    with pytest.raises(errors.RerunError, match="No module named 'no_such_module'"):
        made.run("t::t", "", Rerun("2 threads", states=KEPT))


def test_the_prepared_process_shows_what_ends_a_run(tmp_path):
    """Also where pytest itself raises, before it could say anything; what kills it is told behind what it printed.

    A folder that is gone, as that of a session that was killed, ends no other run.
    """
    import subprocess
    import sys

    script = Path(rerun.__file__).with_name("forks.py").read_text()
    (tmp_path / "pytest.py").write_text(
        "import os, sys\nif __name__ == '__main__':\n    print('begun', flush=True)\n"
        "    sys.argv[1] == 'a' or os.kill(os.getpid(), 9)\n    raise RuntimeError(f'broken by {sys.argv[1:]}')"
    )
    forks = tmp_path / "harness" / "elsewhere" / "forks.py"
    forks.parent.mkdir(parents=True)
    forks.with_name("pytest.py").symlink_to(tmp_path / "pytest.py")
    forks.with_name("endings.py").symlink_to(Path(rerun.__file__).with_name("endings.py"))
    (tmp_path / "harness" / "__init__.py").touch()
    forks.write_text(script.replace("torch._dynamo", "no_such_module"))
    asked = {"directory": str(tmp_path), "variables": {}, "output": str(tmp_path / "output.txt")}
    request, killed = (json.dumps({**asked, "arguments": [name]}) + "\n" for name in ("a", "killed"))
    gone = (asked | {name: str(tmp_path / "gone" / "file"), "arguments": ["a"]} for name in ("directory", "output"))
    unmet = "".join(f"{json.dumps(each)}\n" for each in gone)
    command = [sys.executable, str(forks), "pytest"]
    done = subprocess.run(command, input=request * 2 + unmet + killed, capture_output=True, text=True, cwd=tmp_path)

    assert (done.stdout, done.returncode) == ("ended\n" * 5, 0)
    printed = (tmp_path / "output.txt").read_text()
    assert printed.count("FileNotFoundError: ") == 1, "of the folder that it was to run in"
    assert printed.count("RuntimeError: broken by ['a']") == 2
    assert printed.endswith(
        "begun\n\nthe process of this run: it was ended by SIGKILL, as the system does when memory runs out\n"
    )
