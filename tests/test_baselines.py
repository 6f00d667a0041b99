"""Promises of baseline files: different tests, different names; whole files only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import errors
from harness.baselines import baseline_name, load_baseline, orphans, save_baseline, save_figure
from harness.files import check_writable
from harness.record import Stream
from tests.test_record import record_of


part = st.text(st.characters(exclude_characters="/:[]\x00", exclude_categories=["Cs"]), min_size=1, max_size=12)
nodeids = st.builds(
    lambda folders, names, ids: "/".join(folders) + ".py::" + "::".join(names) + (f"[{ids}]" if ids else ""),
    st.lists(part, min_size=1, max_size=3),
    st.lists(part, min_size=1, max_size=2),
    st.text(max_size=12),
)


@given(nodeids, nodeids)
def test_different_tests_never_share_a_name(one, other):
    """The name can be read back into the id, so no two ids have the same."""
    if one != other:
        assert baseline_name(one) != baseline_name(other)


@given(nodeids)
def test_names_are_legal_everywhere(nodeid):
    """ASCII letters, digits and a few signs that every file system takes; never a hidden file."""
    name = baseline_name(nodeid)

    assert name.isascii()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.=%~")
    assert not name.startswith(".")
    assert len(name) <= 200


def test_what_was_saved_is_loaded(tmp_path):
    """A record comes back as it was."""
    record = record_of({"loss": Stream("forward", (0,), (0.1,))})
    save_baseline(tmp_path / "new" / "a.json", record)

    assert load_baseline(tmp_path / "new" / "a.json", "pytest") == record


def test_a_crash_while_writing_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch):
    """Killed between writing and renaming: the old baseline is whole, the new one is nowhere."""
    path = tmp_path / "a.json"
    save_baseline(path, record_of({}))
    before = path.read_bytes()

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        save_baseline(path, record_of({}, seed=1))

    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", before)]


def test_nan_is_not_saved(tmp_path):
    """A record that no training can equal does not become a baseline."""
    with pytest.raises(errors.NonFiniteError, match="loss is inf at step 0"):
        save_baseline(tmp_path / "a.json", record_of({"loss": Stream("forward", (0,), (float("inf"),))}))

    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_a_write_error(tmp_path):
    """Whatever the system says, it is one error."""
    (tmp_path / "a.png").mkdir()
    file = tmp_path / "file"
    file.write_bytes(b"in the way")

    with pytest.raises(errors.BaselineWriteError):
        save_figure(tmp_path / "a.png", b"picture", {})
    with pytest.raises(errors.BaselineWriteError):
        check_writable(file)


def test_a_huge_file_is_not_read_into_memory(tmp_path):
    """A baseline aims at 200 KB; 65 MiB are refused by their size alone."""
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(65 * 2**20)

    with pytest.raises(errors.BaselineCorruptError, match="larger than 64 MiB"):
        load_baseline(path, "pytest")


def test_orphans_are_files_of_ours_that_no_test_claims(tmp_path):
    """Other files and hidden ones are nobody's orphans; a second record belongs to its test."""
    for name in ("A.json", "a,two.json", "b.png", "c.json", "README.md", ".d.json"):
        (tmp_path / name).touch()

    assert orphans(tmp_path, {"a.json", "b.png"}) == ["c.json"]
