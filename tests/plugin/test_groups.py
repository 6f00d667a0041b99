"""Promises of which tests run in one worker: those that share a training, and no more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st


groups = pytest.importorskip("harness.plugin.groups", reason="pytest-xdist is not installed")

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

def test_number(record, training_regression): ...
def test_figure(record): ...
@pytest.mark.parametrize("tolerance", [1, 2])
def test_sharp(record, tolerance): ...
def test_alone(training): ...
def test_alone_too(fresh): ...
def test_events(training_regression): ...
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
            assert functions == ["test_figure", "test_number", "test_sharp", "test_sharp"]


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


CRASH = """
import os
import pytest

@pytest.mark.parametrize("n", range(6))
def test_it(n):
    if n == 2:
        os._exit(3)
"""


def test_a_test_that_kills_its_worker_is_told_once_and_not_run_again(pytester):
    """As with pytest-xdist's own `--dist load`; the others run, in a worker that takes the place of the dead one."""
    pytester.makepyfile(test_crash=CRASH)
    result = pytester.runpytest_inprocess("-p", "no:randomly", "-n", "2")

    result.assert_outcomes(passed=5, failed=1)
    assert sum(line.startswith("worker 'gw") and "crashed" in line for line in result.outlines) == 1


def test_no_group_is_written_where_nothing_trains(pytester, tmp_path):
    """A project without tests of ours is left as it is."""
    items, _ = pytester.inline_genitems(pytester.makepyfile("def test_plain(): ..."))
    groups.write_groups(items, tmp_path / "shared")

    assert not (tmp_path / "shared").exists()


@given(st.integers(0, 300), st.integers(1, 8), st.sets(st.integers(0, 300)))
def test_every_test_is_in_one_unit(count, workers, training):
    """Groups stay whole; other tests are in units of neighbours, enough of them for every worker, and not too many."""
    collection = [f"test_{number}" for number in range(count)]
    trained = {f"test_{number}": f"group {number % 3}" for number in training if number < count}
    units = groups.scopes(collection, trained, workers)

    assert units.keys() == set(collection)
    assert all(units[nodeid] == group for nodeid, group in trained.items())
    others = [units[nodeid] for nodeid in collection if nodeid not in trained]
    assert others == sorted(others, key=others.index)
    assert len(set(others)) <= 2 * 32 * workers
    assert len(set(others)) >= min(len(others), 16 * workers)
