"""Promises of which tests run in one worker: those that share a training, and no more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.projects import QUICK


groups = pytest.importorskip("harness.plugin.xdist", reason="pytest-xdist is not installed")

TESTS = """
import pytest

@pytest.fixture(scope="module", params=["a", "b"])
def data(request):
    return request.param

@pytest.fixture(scope="module", params=["x", "y"])
def record(request, training, data):
    return training(request.param + data)

@pytest.fixture(scope="class")
def of_class(training):
    return training("class")

@pytest.fixture
def fresh(training):
    return training("fresh")

@pytest.fixture(scope="session")
def trained(training):
    return training

@pytest.fixture(scope="module")
def curve(record):
    return [record]

@pytest.fixture(scope="module")
def loop():
    return "watched"

@pytest.fixture(scope="module", autouse=True)
def settings():
    return "for all"

def test_number(record, training_regression): ...
def test_figure(record): ...
@pytest.mark.parametrize("tolerance", [1, 2])
def test_sharp(record, tolerance): ...
def test_alone(training): ...
def test_alone_too(fresh): ...
def test_events(training_regression): ...
def test_curve(curve, record): ...
@pytest.mark.parametrize("name", ["one", "two"])
def test_factory(trained, name, training_regression): ...
def test_loop(loop, training_regression): ...
def test_loops_figure(loop): ...
def test_other(): ...

class TestOne:
    def test_it(self, of_class): ...
    def test_that(self, of_class): ...

class TestTwo:
    def test_it(self, of_class): ...
"""


@pytest.fixture
def found(pytester, tmp_path):
    """Group of each test of the file, by its id."""
    items, _ = pytester.inline_genitems(pytester.makepyfile(test_it=TESTS))
    groups.write_groups(items, tmp_path / "shared")
    return json.loads((tmp_path / "shared" / "groups.json").read_text())


def names(found, group):
    """Functions and parameters of the tests in a group."""
    return {nodeid.partition("::")[2] for nodeid, other in found.items() if other == group}


def test_tests_of_one_training_are_a_group(found):
    """Whatever else a test is parametrized with: what counts is the fixture that holds the record."""
    for data in "ab":
        for model in "xy":
            nodeid = next(n for n in found if n.startswith("test_it.py::test_number") and f"{model}-{data}" in n)
            functions = sorted(name.partition("[")[0] for name in names(found, found[nodeid]))
            assert functions == ["test_curve", "test_figure", "test_number", "test_sharp", "test_sharp"]


def test_tests_of_one_loop_are_a_group(found):
    """The figures of a watched loop are drawn where it ran, though they know nothing of `training_regression`."""
    assert names(found, found["test_it.py::test_loop"]) == {"test_loop", "test_loops_figure"}


def test_what_a_session_shares_keeps_nothing_together(found):
    """A factory of the session's would bring every training into one worker."""
    groups = [group for nodeid, group in found.items() if "::test_factory" in nodeid]

    assert len(groups) == len(set(groups)) == 2


def test_a_test_that_trains_for_itself_is_alone(found):
    """So that four trainings of one file run side by side."""
    for name in ("test_alone", "test_alone_too", "test_events"):
        (nodeid,) = (n for n in found if n.partition("[")[0] == f"test_it.py::{name}")
        assert found[nodeid] == nodeid


def test_what_a_class_shares_is_shared_in_it(found):
    """Two classes that ask for one fixture of theirs train twice."""
    one, two = (
        {group for nodeid, group in found.items() if f"::{name}::" in nodeid} for name in ("TestOne", "TestTwo")
    )
    assert len(one) == len(two) == 1
    assert one != two


def test_a_test_that_does_not_train_is_in_no_group(found):
    """It goes where there is room."""
    assert not [nodeid for nodeid in found if "test_other" in nodeid]


TWICE = """
import pytest

class Cases(pytest.File):
    def collect(self):
        return [Case.from_parent(self, name="case", number=number) for number in range(3)]

class Case(pytest.Item):
    def __init__(self, number, **rest):
        super().__init__(**rest)
        self.number = number
    def runtest(self):
        assert self.number != 1

def pytest_collect_file(parent, file_path):
    return Cases.from_parent(parent, path=file_path) if file_path.suffix == ".case" else None
"""


def test_tests_of_one_name_all_run(pytester):
    """What fails is red beside xdist, too, though another test has its id."""
    pytester.makeconftest(TWICE)
    pytester.makefile(".case", one="")
    pytester.makepyfile("def test_plain(): ...")

    pytester.runpytest_inprocess(*QUICK, "-n", "1").assert_outcomes(passed=3, failed=1)


def test_a_project_that_deals_out_its_tests_itself_is_left_to_it(pytester):
    """Its own scheduler stands, and so does any other than `load`."""
    pytester.makeconftest(
        "from xdist.scheduler import LoadScheduling\n"
        "class Mine(LoadScheduling): ...\n"
        "def pytest_xdist_make_scheduler(config, log): return Mine(config, log)\n"
    )
    pytester.makepyfile("def test_plain(): ...")

    result = pytester.runpytest_inprocess(*QUICK, "-n", "1", "-v")
    result.stdout.fnmatch_lines(["scheduling tests via Mine"])


CRASH = """
import os
import pytest

@pytest.mark.parametrize("n", range(6))
def test_it(n):
    if n == 2:
        os._exit(3)
"""


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_test_that_kills_its_worker_is_told_once_and_not_run_again(pytester, workers):
    """As with pytest-xdist's own `--dist load`; the others run, in a worker that takes the place of the dead one."""
    pytester.makepyfile(test_crash=CRASH)
    result = pytester.runpytest_inprocess(*QUICK, "-n", workers)

    result.assert_outcomes(passed=5, failed=1)
    assert sum(line.startswith("worker 'gw") and "crashed" in line for line in result.outlines) == 1


def test_no_group_is_written_where_nothing_trains(pytester, tmp_path):
    """A project without tests of ours is left as it is."""
    items, _ = pytester.inline_genitems(pytester.makepyfile("def test_plain(): ..."))
    groups.write_groups(items, tmp_path / "shared")

    assert not (tmp_path / "shared").exists()


lists = st.lists(st.sampled_from(["", "", "a", "b", "c"]), max_size=30)


@given(lists, st.integers(1, 12))
def test_a_worker_gets_whole_trainings(waiting, count):
    """Nothing of a training that it gets is left; it is one, unless that has a single test; and it gets enough."""
    taken = groups.chosen(waiting, count)
    left = [group for place, group in enumerate(waiting) if place not in taken]
    trainings = {waiting[place] for place in taken} - {""}

    assert len(set(taken)) == len(taken) >= min(count, 2, len(waiting))
    assert not trainings & set(left)
    assert len(trainings) <= 2
    assert len(trainings) < 2 or min(waiting.count(group) for group in trainings) == 1 or "" in waiting


@given(lists, st.integers(1, 12), st.integers(1, 4))
def test_every_test_is_dealt_out_once(waiting, count, least):
    """However often workers ask, and whatever for; equal ids are tests of their own."""
    pending, dealt = list(enumerate(waiting)), []
    while pending:
        taken = groups.chosen([group for _, group in pending], max(least, count - len(dealt)))
        dealt += [pending[place][0] for place in taken]
        pending = [entry for place, entry in enumerate(pending) if place not in taken]

    assert sorted(dealt) == list(range(len(waiting)))
