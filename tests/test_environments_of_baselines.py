"""Promises of the choice between baselines of several environments."""

import pytest

from harness.baselines.environments import beside, nearest
from harness.baselines.store import save_baseline
from harness.errors import BaselineCorruptError
from tests.test_record import baseline_of


HERE = {
    "python": "3.11.7",
    "torch": "2.15.0",
    "system": "Linux x86_64",
    "processor": "Xeon",
    "instructions": "AVX512",
    "threads": "1",
    "device": "cpu",
}
COMMAND = "pytest t.py --mpl-generate-path=baselines"


@pytest.fixture
def store(tmp_path):
    """Store baselines of environments, each told by what differs from here; return the file shared by all."""

    def stored(*environments, shared=None):
        path = tmp_path / "t.json"
        for former in tmp_path.glob("*.json"):
            former.unlink()
        if shared is not None:
            save_baseline(path, baseline_of({}, environment=HERE | shared))
        for environment in environments:
            there = HERE | environment
            save_baseline(beside(path, there), baseline_of({}, environment=there))
        return path

    return stored


def chosen(path, **environment):
    """What differs of the chosen baseline from here, and the choice in words."""
    choice = nearest(path, HERE | environment, COMMAND)
    there = choice.environment
    return {name: there[name] for name in there if there[name] != HERE.get(name)}, choice.text(HERE | environment)


def test_where_none_is_stored_there_is_no_choice(tmp_path):
    """The caller says so."""
    assert nearest(tmp_path / "t.json", HERE, COMMAND) is None


def test_the_only_baseline_is_taken_and_its_environment_named(store):
    """In the same environment there is nothing to say."""
    assert chosen(store(shared={})) == ({}, "")
    assert chosen(store(shared={"torch": "2.14.0"})) == (
        {"torch": "2.14.0"},
        "made in another environment (torch 2.14.0 -> 2.15.0)",
    )


def test_the_baseline_of_this_environment_is_taken_before_all_others(store):
    """Wherever it is stored."""
    others = [{"python": "3.12.0"}, {"threads": "2"}]

    assert chosen(store({}, *others, shared={"processor": "Epyc"})) == ({}, "that of this environment, of 4")


@pytest.mark.parametrize(
    ("near", "far"),
    [
        ({"python": "3.13.0", "threads": "2", "MKL_CBWR": "AVX2"}, {"processor": "Epyc"}),
        ({"processor": "Epyc", "python": "3.13.0"}, {"instructions": "AVX2"}),
        ({"instructions": "AVX2", "processor": "Epyc"}, {"torch": "2.15.1"}),
        ({"torch": "2.15.1"}, {"torch": "2.11.0"}),
        ({"torch": "2.11.0"}, {"system": "Darwin arm64"}),
        ({"system": "Darwin arm64"}, {"device": "NVIDIA H100"}),
        ({"python": "3.13.0"}, {"python": "3.13.0", "threads": "2"}),
    ],
)
def test_what_moves_numbers_most_is_compared_first(store, near, far):
    """Device, system, torch, instructions, processor, the rest; whichever of the two is shared by all."""
    for others, shared in ([near, far], None), ([far], near), ([near], far):
        found, text = chosen(store(*others, shared=shared))

        assert found == near
        assert text.startswith("the nearest of 2, none of this environment (")


def test_of_equally_near_baselines_the_shared_one_is_taken(store):
    """The choice does not depend on the names of files."""
    environments = [{"python": f"3.1{minor}.0"} for minor in range(5)]
    shared = {"python": "3.20.0"}

    assert chosen(store(*environments, shared=shared))[0] == shared


def test_a_broken_baseline_is_named_though_another_might_do(store):
    """Which one is nearest is not known then."""
    path = store({"torch": "2.11.0"}, shared={})
    broken = beside(path, HERE | {"torch": "2.11.0"})
    broken.write_text("{")

    with pytest.raises(BaselineCorruptError) as error:
        nearest(path, HERE, COMMAND)
    assert str(broken) in str(error.value)


def test_files_of_other_tests_are_not_chosen_from(store):
    """A second record of the test, and a test whose name is a pattern, have baselines of their own."""
    path = store({})
    save_baseline(path.with_name("t,@second-name.json"), baseline_of({}, environment=HERE))
    save_baseline(path.with_name("t,x.json"), baseline_of({}, environment=HERE))
    save_baseline(path.with_name("tt,@0123456789ab.json"), baseline_of({}, environment=HERE))

    assert nearest(path, HERE, COMMAND).stored == 1
    assert nearest(path.with_name("t[t].json"), HERE, COMMAND) is None
