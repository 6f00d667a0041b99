"""Promises of temporary places: gone after use, and of a killed session after some days."""

import os
import tempfile
import time

import pytest

from harness import scratch


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """The system's temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_its_block(place):
    """Whatever is in it, and however the block ends."""
    with pytest.raises(RuntimeError), scratch.folder() as folder:
        (folder / "left.txt").touch()
        raise RuntimeError

    assert not list(place.iterdir())


def test_what_a_killed_session_left_goes_after_days(place):
    """Files and folders of ours; what is younger, another's or a link's target stays."""
    old = [scratch.new_path(".imported"), scratch.new_folder(), place / "foreign"]
    old.append(place / ".training-regression-0.lock")
    old[-1].touch()
    target = place / "target"
    for path in (target, place / "foreign"):
        path.mkdir()
    old[0].touch()
    for path in (*old, target):
        os.utime(path, (0, time.time() - 4 * 24 * 3600))
    young, link = scratch.new_folder(), scratch.new_path()
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    scratch.sweep()

    assert {path for path in place.iterdir() if not path.is_symlink()} == {young, target, place / "foreign"}
