"""Promises of --training-against: another commit's own tests make the baselines, and the rules are the same."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from filelock import FileLock

from harness.comparing import variants
from harness.elsewhere import sessions
from harness.elsewhere.kept import Kept, Notes, Tried, surroundings
from harness.elsewhere.sessions import Order
from harness.elsewhere.trees import Tree
from harness.plugin.command_line import own_options, there
from harness.plugin.session import SESSION
from harness.recording.perturbation import Perturbation, Rerun
from tests.plugin.conftest import QUICK
from tests.projects import FAULT, SMALL, SQUARES, loop_test
from tests.repositories import git


TRAINING, CURVE = "test_gate.py::test_training[cpu]", "test_gate.py::test_loss_curve[cpu]"
MADE = {TRAINING: Tried("made"), CURVE: Tried("made")}
LOW = (
    SMALL
    + """
LOW = dataclasses.replace(RECIPE, precision="float32", test_images=200)

def test_training(training, training_regression):
    training_regression.check(training(LOW))
"""
)


class There:
    """Stands in for sessions in a tree: hands out what the project's own generation made, and notes what was asked."""

    def __init__(self, baselines):
        self.baselines = baselines
        self.orders = []
        self.answer = Notes(MADE, trainings=1, seconds=0.25)

    def __call__(self, tree, arguments, here, variables):
        """Do as `pytest_in` does."""
        order = msgspec.json.decode(Path(variables["HARNESS_ORDER"]).read_bytes(), type=Order)
        self.orders.append(order)
        shutil.copytree(self.baselines, order.folder, dirs_exist_ok=True)
        if self.answer:
            gated = self.answer.gated or order.tests if order.whole else None
            order.answer(msgspec.structs.replace(self.answer, gated=gated))
        return SimpleNamespace(stdout="last words")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Nothing is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def committed(project, cache, monkeypatch, tmp_path):
    """A project without stored baselines, whose only commit is `main`; sessions in its tree are stand-ins."""
    project.generate()
    shutil.move(project.baselines, tmp_path / "made")
    shutil.rmtree(project.path / "build")
    commit(project.path)
    project.there = There(tmp_path / "made")
    monkeypatch.setattr(sessions, "pytest_in", project.there)
    return project


def commit(folder):
    """Commit everything to `main`."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "start")


def name_of(project):
    """What messages call it."""
    words = ["git", "-C", str(project.path), "rev-parse", "--short=7", "main"]
    return f"main ({subprocess.check_output(words, text=True).strip()})"


def test_an_unchanged_training_is_the_commits_and_is_trained_there_once(committed):
    """Records and figures; the next session, in other words, asks for nothing."""
    for how in ("trained there: 1 training in 0.2 s", "kept from before"):
        options = ["-v"] if how.startswith("kept") else []
        result = committed.run("--mpl", "--training-against=main", "--training-strict", *options)

        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(
            [
                f"comparing records and figures with {name_of(committed)}, {how}".replace("[", "[[]"),
                f"2 of 2 baselines compared, of {name_of(committed)}",
            ]
        )
    (order,) = committed.there.orders
    assert (order.tests, order.whole) == ([TRAINING, CURVE], True)
    assert [*committed.path.glob("baselines")] == []


def test_a_fault_is_told_as_with_stored_baselines(committed):
    """Who is to blame, and what follows; there is nothing to accept, and nothing kept that could be."""
    committed.edit(*FAULT)
    result = committed.run("--mpl", "--training-against=main")

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            f"training differs from {name_of(committed)} from the start: structure, learning_rate of the configuration",
            "  blame      test_gate.py  with changes not committed",
            f"  changed    recipe: learning_rate 0.25 -> 0.25025 since {name_of(committed)}",
            "follows from test_training*: RMS *",
        ]
    )
    assert "accept" not in result.stdout.str()
    assert not (committed.path / "build" / "harness" / "failed").exists()
    assert "of main (" in (committed.path / "build" / "harness" / "report.md").read_text()


def test_renamed_new_and_vanished_tests_are_named_and_fail_nothing(committed):
    """Where the commit has no such test, there is nothing to hold it against; a renamed file is still the same."""
    committed.there.answer = Notes(
        MADE | {f"test_new.py::{name}[cpu]": Tried("absent") for name in ("test_it", "test_curve")},
        gated=[TRAINING, "test_b.py::test", "test_c.py::test_it[cpu]"],
    )
    git(committed.path, "mv", "test_gate.py", "test_moved.py")
    text = (committed.path / "test_moved.py").read_text().replace("test_training", "test_it")
    committed.write(test_new=text.replace("test_loss_curve", "test_curve"))
    result = committed.run("--mpl", "--training-against=main", "--training-strict")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "2 tests of main (*) not there any more:",
            "    test_b.py::test",
            "    test_c.py::test_it[[]cpu]   (is it test_new.py::test_it[[]cpu] now? git sees no rename, *)",
            "2 of 4 baselines compared, 2 new, of main (*)",
            "  compared: test_moved.py (was test_gate.py)",
            "    test_gate-test_loss_curve.png   test_moved.py::test_loss_curve*",
            "    test_gate-test_training.json   test_moved.py::test_training*",
            "  new: not in main (*)",
            "    test_new-test_curve.png   test_new.py::test_curve*",
            "    test_new-test_it.json   test_new.py::test_it*",
        ]
    )
    assert {TRAINING, CURVE} < {*committed.there.orders[0].tests}
    assert "not there any more" not in committed.run("--training-against=main", "test_new.py").stdout.str()


def test_a_test_that_does_not_run_there_is_named_and_is_not_green_where_all_must_be_compared(committed):
    """A skip, too: it is tried again by each session that it runs in."""
    shutil.rmtree(committed.there.baselines)
    committed.there.baselines.mkdir()
    committed.there.answer = Notes({TRAINING: Tried("skipped", "needs jax")})
    select = ("--training-against=main", "-k", "test_training")
    result = committed.run(*select)

    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(
        [
            "*0 of 1 baseline compared, 1 not compared, of main (*)",
            "*made no baseline at main (*): it is skipped there: needs jax",
        ]
    )
    result = committed.run(*select, "--training-ci")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["this test made no baseline at main (*): it is skipped there: needs jax"])
    assert len(committed.there.orders) == 2


def test_a_session_there_that_comes_to_no_end_is_one_here(committed):
    """Nothing is compared, and what it printed last is shown."""
    committed.there.answer = None
    result = committed.run("--training-against=main")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: the tests of main (*) came to no end, so nothing *", "last words"])


@pytest.mark.parametrize(
    "option", ["--mpl-generate-path=b", "--mpl-baseline-path=b", "--training-equivalence=3", "--training-verify"]
)
def test_baselines_come_from_one_place(committed, option):
    """What writes them, or needs stored ones, is refused in a sentence."""
    result = committed.run("--training-against=main", option)

    name = option.partition("=")[0]
    result.stderr.fnmatch_lines([f"ERROR: --training-against has another commit make the baselines, and {name} is *"])
    assert not committed.there.orders


def test_a_revision_that_is_none_is_refused_before_any_test(committed):
    """By git's own word."""
    result = committed.run("--training-against=nothing")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: 'nothing' is no commit: *"])


@pytest.mark.long
def test_low_precision_is_compared_bit_for_bit(project, cache, monkeypatch, tmp_path):
    """Equal bits are the same; others are drift within what rounding does, named, and red in strict mode."""
    monkeypatch.setattr(variants, "KERNELS", [])
    monkeypatch.setattr(variants, "DRAWS", [Rerun("jitter 1", Perturbation(jitter=1))])
    (project.path / "test_gate.py").write_text(LOW)
    project.generate()
    commit(project.path)
    project.there = There(project.baselines)
    monkeypatch.setattr(sessions, "pytest_in", project.there)

    result = project.run("--training-against=main", "--training-strict")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["margins of what passed: deviation 0.0e+00, at most 0 % of a threshold"])
    project.edit("warmup_steps=1", "warmup_steps=1, weight_decay=0.00050001")
    result = project.run("--training-against=main")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*: drift, *; bits differ from step 0 on: update, update of conv?.weight, * -> * (*"])
    result = project.run("--training-against=main", "--training-strict")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "training differs from main (*) in its bits from step 0 on: update, update of conv?.weight",
            "  bits       differ from step 0 on: update, update of conv?.weight, 0.* -> 0.* (*)",
        ]
    )


@pytest.fixture
def ordered(project, monkeypatch, tmp_path):
    """Runs the project as a session in a tree would: with an order in the environment; returns its answer."""

    def run(*tests, whole=False, options=()):
        (tmp_path / "scratch").mkdir(exist_ok=True)
        order = Order(
            tests=[*tests],
            folder=str(tmp_path / "kept"),
            scratch=str(tmp_path / "scratch"),
            whole=whole,
            reason="as in 9f8e7d2",
            cifar10="",
        )
        (tmp_path / "order.json").write_bytes(msgspec.json.encode(order))
        monkeypatch.setenv("HARNESS_ORDER", str(tmp_path / "order.json"))
        run.result = project.run(*options)
        run.made = sorted(path.name for path in (tmp_path / "kept").glob("*"))
        return msgspec.json.decode((tmp_path / "scratch" / "answer.json").read_bytes(), type=Notes)

    return run


def test_a_session_there_makes_what_it_was_asked_for_and_nothing_else(ordered, project):
    """Whatever the command line of today selects, demands and compares; what became of each test is answered."""
    (project.path / "test_bad.py").write_text("import nothing\n")
    (project.path / "test_red.py").write_text("def test_red(training_regression):\n    raise ValueError('no data')\n")
    asked = [TRAINING, "test_bad.py::test_a", "test_red.py::test_red", "test_red.py::test_new", "test_none.py::test_b"]
    options = ("--mpl", "--training-against=x", "--training-strict", "-k", "nothing", "test_no_such_file.py")
    notes = ordered(*asked, options=(*options, "--continue-on-collection-errors"))

    assert notes.tests[TRAINING] == Tried("made")
    assert notes.tests["test_bad.py::test_a"].reason.endswith("ModuleNotFoundError: No module named 'nothing'")
    assert notes.tests["test_red.py::test_red"] == Tried("failed", "ValueError: no data")
    assert notes.tests["test_red.py::test_new"] == notes.tests["test_none.py::test_b"] == Tried("absent")
    assert (notes.gated, notes.trainings) == (None, 1)
    assert ordered.made == ["test_gate-test_training.json"]
    assert not project.baselines.exists()


def test_a_session_there_knows_all_gated_tests_if_it_is_to(ordered):
    """So that those which have gone can be named; a gate that is loosened there needs no other reason."""
    notes = ordered(CURVE, whole=True)

    assert (notes.gated, notes.tests[CURVE]) == ([CURVE, TRAINING], Tried("made"))
    assert ordered.made == ["test_gate-test_loss_curve.png"]


def test_what_failed_is_tried_again_and_what_was_made_is_not():
    """Tests that are not there are known for good: the commit is what it is; so are skips where they are skips here."""
    notes = Notes({name: Tried(name) for name in ("made", "skipped", "absent", "failed")}, gated=["made"])

    assert notes.untried(["made", "skipped", "absent", "failed", "other"]) == ["failed", "other"]
    newer = notes.with_those(Notes({"failed": Tried("made")}, trainings=2))
    assert (newer.untried([*newer.tests]), newer.gated, newer.trainings) == ([], ["made"], 2)


def test_what_is_kept_depends_on_all_that_makes_it(cache, tmp_path, monkeypatch):
    """Options, threads, versions; a killed session's scraps are removed, and broken notes are none."""
    git(tmp_path, "init", "--quiet")
    kept = Kept.of(tmp_path, "9f8e7d2", ["cpu"])
    with kept.alone():
        kept.note(Notes({"a": Tried("made")}))
        (kept.folder / ".a.json.unfinished").touch()
    with kept.alone():
        assert [path.name for path in sorted(kept.folder.iterdir())] == [".lock", ".notes.json"]

    assert kept.notes().tests == {"a": Tried("made")}
    (kept.folder / "a.json").write_text("{}")
    assert kept.notes() == Notes()
    kept.note(Notes({"a": Tried("made")}))
    assert kept.notes().tests == {"a": Tried("made")}
    (kept.folder / "a.json").unlink()
    assert kept.notes() == Notes()
    kept.note(Notes({"a": Tried("made")}))
    (kept.folder / ".notes.json").write_text("{")
    assert kept.notes() == Notes()
    assert Kept.of(tmp_path, "9f8e7d2", ["cpu"]) == kept
    assert Kept.of(tmp_path, "9f8e7d2", ["cuda"]) != kept
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert Kept.of(tmp_path, "9f8e7d2", ["cpu"]) != kept


def test_what_nobody_has_used_for_thirty_days_is_removed(cache, tmp_path):
    """When something else is used, with the folder of its commit; but not what a process has."""
    git(tmp_path, "init", "--quiet")
    old, held, recent, used = (Kept.of(tmp_path, name, []) for name in ("old", "held", "recent", "used"))
    for kept, days in ((old, 31), (held, 31), (recent, 29)):
        kept.folder.mkdir(parents=True)
        os.utime(kept.folder, 2 * (time.time() - days * 24 * 3600,))
    with FileLock(held.folder / ".lock"), used.alone():
        os.utime(held.folder, (0, 0))  # the lock has touched it

    with FileLock(held.folder / ".lock"), used.alone():
        assert sorted(path.name for path in old.folder.parents[1].iterdir()) == ["held", "recent", "used"]


def test_the_command_line_means_the_tree(tmp_path):
    """Files of the checkout are those of the tree, where it has them; those that are collected always."""
    own, top = tmp_path / "own", tmp_path / "top"
    for folder in (own, top):
        folder.mkdir()
        (folder / "pytest.ini").touch()
    config = SimpleNamespace(args=[f"{own}/test_new.py"], inipath=own / "pytest.ini", rootpath=own)
    arguments = ["-c", f"{own}/pytest.ini", f"{own}/test_new.py", f"--training-cifar10={own}/data.npz", "tests", "-x"]
    here = ["--config-file", f"{top}/pytest.ini", f"--rootdir={top}", "--continue-on-collection-errors"]

    assert there(config, Tree("9f8e7d2", top, own, top), arguments) == [
        *("-c", f"{top}/pytest.ini", f"{top}/test_new.py", f"--training-cifar10={own}/data.npz", "tests", "-x"),
        *here,
    ]


LOOP = loop_test(loss=f"{SQUARES} * mylib.SCALE", recorder="precision='float32'", steps=3, imports="import mylib")


@pytest.fixture
def looped(project, cache):
    """A project with a loop in float32 whose code is another by 1e-7 than that of `main`."""
    (project.path / "test_gate.py").write_text(LOOP)
    (project.path / "mylib.py").write_text("SCALE = 1.0\n")
    (project.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    project.measures_nothing()
    commit(project.path)
    (project.path / "mylib.py").write_text(f"SCALE = {1 + 2**-23!r}\n")
    return project


@pytest.mark.long
def test_the_commits_own_code_is_trained(looped):
    """In a tree of its own, by the harness of today: a constant off by 1e-7 is named, and the checkout stays."""
    result = looped.run(*QUICK, "--training-against=main")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["training differs from main (*) from step 0 on: forward, *", "  blame      mylib.py *"]
    )
    assert "trained there: 1 training in" in result.stdout.str()
    lines = subprocess.check_output(["git", "-C", str(looped.path), "worktree", "list"], text=True).splitlines()
    assert len(lines) == 1


@pytest.mark.long
def test_workers_share_what_one_of_them_makes(looped, monkeypatch):
    """Also where the options come from the environment; a setup command is run in the tree before its tests."""
    (looped.path / "mylib.py").write_text("SCALE = 1.0\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--training-against=main -n2 --training-setup='echo made > made.txt'")
    file = looped.path / "test_gate.py"
    result = looped.pytester.runpytest_subprocess(*QUICK, "--training-strict", str(file))

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["comparing records but not figures (no --mpl) with main (*), trained there: 1 training *"]
    )
    assert not (looped.path / "made.txt").exists()


@pytest.mark.long
def test_a_test_can_be_run_again_in_the_commits_tree(looped):
    """Which is there until the session ends."""
    found = []

    class Asks:
        def pytest_sessionfinish(self, session):
            against = session.config.stash[SESSION].against
            how = Rerun("as it was", Perturbation())
            found.append(against.reruns.run("test_gate.py::test_loop", "", how).record.streams["loss"].values)

    options = [*QUICK, "--training-against=main", "-p", "no:randomly"]
    looped.pytester.inline_run(*options, plugins=[Asks()])

    (losses,) = found
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("LR", True),
        ("TERMINAL_RATE", True),
        ("TERM", False),
        ("PYTEST_ADDOPTS", True),
        ("PYTEST_CURRENT_TEST", False),
        ("PWD", False),
        ("HARNESS_ASKED", False),
        ("HARNESS_RUNNING", False),
        ("HARNESS_CIFAR10", True),
    ],
)
def test_what_a_training_may_read_is_part_of_what_is_kept(monkeypatch, name, matters):
    """Variables of the environment; what tells terminals and processes apart is not."""
    monkeypatch.setenv(name, "1")
    before = surroundings()
    monkeypatch.setenv(name, "2")

    assert (surroundings() != before) is matters
    monkeypatch.setenv(name, "")
    empty = surroundings()
    monkeypatch.delenv(name)
    assert surroundings() == empty


def test_options_of_the_projects_own_are_part_of_what_is_kept():
    """Those of pytest, and ours, have their own places, or change no training."""
    words = ["tests", "-k", "a", "--lr=0.2", "--training-strict", "--mpl", "--runslow", "--maxfail=2"]
    config = SimpleNamespace(invocation_params=SimpleNamespace(args=words, dir="."))

    assert own_options(config) == ["--lr=0.2", "--runslow"]
