"""Promises of baseline files: different tests, different names; whole files only."""

import dataclasses
import hashlib
import os
import struct
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import errors
from harness.atomic_files import check_writable, read, write_all
from harness.baselines.store import (
    baseline_name,
    check_figure,
    claim_of,
    load_baseline,
    load_with_states,
    possible_names,
    save_baseline,
    save_figure,
    shared_name,
    stored_files,
    to_states,
)
from harness.record import Calibration, Stream
from harness.recording.states import States
from tests.test_origin import picture
from tests.test_record import baseline_of


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


def test_a_baseline_may_be_named_without_any_value_that_is_a_device():
    """Which of them was the device, the id alone does not tell."""
    assert possible_names("a.py::test_b", ("cpu",)) == {"a-test_b"}
    assert possible_names("a.py::test_b[cpu]", ("cpu",)) == {"a-test_b", "a-test_b=cpu"}
    names = possible_names("a.py::test_b[c-cpu-d-cuda]", ("cpu", "cuda"))
    assert names == {f"a-test_b={rest}" for rest in ("c-cpu-d-cuda", "c-d-cuda", "c-cpu-d")}


@given(nodeids)
def test_names_are_legal_everywhere(nodeid):
    """ASCII letters, digits and a few signs that every file system takes; never a hidden file."""
    name = baseline_name(nodeid)

    assert name.isascii()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.=%~")
    assert not name.startswith(".")
    assert len(name) <= 200


def test_what_was_saved_is_loaded(tmp_path):
    """A baseline comes back as it was, with all that it holds beside its record."""
    baseline, kept = calibrated(1.0)
    baseline = dataclasses.replace(baseline, origin={"made": "now"}, seeds={0: {}, 1: {"loss": 0.3}})
    save_baseline(tmp_path / "new" / "a.json", baseline, kept)

    assert load_baseline(tmp_path / "new" / "a.json", "pytest") == baseline


def test_a_crash_while_writing_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch):
    """Killed between writing and renaming: the old baseline is whole, the new one is nowhere."""
    path = tmp_path / "a.json"
    save_baseline(path, baseline_of({}))
    before = path.read_bytes()

    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        save_baseline(path, baseline_of({}, seed=1))

    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", before)]


def test_nan_is_not_saved(tmp_path):
    """A record that no training can equal does not become a baseline."""
    with pytest.raises(errors.NonFiniteError, match="loss is inf at step 0"):
        save_baseline(tmp_path / "a.json", baseline_of({"loss": Stream("forward", (0,), (float("inf"),))}))

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


@pytest.mark.parametrize("name", ["a.json", "a.png"])
def test_what_never_ends_is_not_read(tmp_path, name):
    """A pipe is refused before a byte is read."""
    os.mkfifo(tmp_path / name)
    load = load_baseline if name.endswith(".json") else check_figure

    with pytest.raises(errors.BaselineCorruptError, match="it is not a file"):
        load(tmp_path / name, "pytest")


def test_no_more_is_read_than_is_meant(tmp_path):
    """Whatever size the file claims."""
    (tmp_path / "a").write_bytes(bytes(2**20 + 1))

    with pytest.raises(OSError, match="larger than 1 MiB"):
        read(tmp_path / "a", 2**20)


def chunk(kind, data):
    """A PNG chunk with a length and CRC that fit."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_picture_that_promises_more_than_memory_is_refused(tmp_path):
    """By its header, before anything is unpacked; texts that unpack to megabytes are, too."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""))
    with pytest.raises(errors.BaselineCorruptError, match="its header promises 100000 x 100000 pixels"):
        check_figure(tmp_path / "a.png", "pytest")

    lies = chunk(b"tEXt", struct.pack(">II", 1, 1) + b"x\x00y")  # where width and height are looked for
    ours = picture()[8:33]
    for chunks, words in (
        (lies + header, "it does not begin with its header"),
        (chunk(b"IHDR", ours[8:21] + b"x"), "it does not begin with its header"),
        (ours + header, "it has several headers"),
        (ours + chunk(b"prVt", b"") * 20_000, "it has more than 16384 chunks"),
    ):
        (tmp_path / "a.png").write_bytes(picture()[:8] + chunks + picture()[33:])
        with pytest.raises(errors.BaselineCorruptError, match=words):
            check_figure(tmp_path / "a.png", "pytest")

    bomb = chunk(b"zTXt", b"x\x00\x00" + zlib.compress(bytes(10_000_000)))
    (tmp_path / "a.png").write_bytes(picture()[:33] + bomb + picture()[33:])
    with pytest.raises(errors.BaselineCorruptError, match="it is damaged"):
        check_figure(tmp_path / "a.png", "pytest")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_keep_their_mode_and_new_ones_follow_the_umask(tmp_path, umask, mode):
    """Whoever wrote them: neither private nor executable by our doing, and never more open than they were."""
    before = os.umask(umask)
    try:
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o640)
        write_all({tmp_path / "old": b"new", tmp_path / "new": b"new"})
    finally:
        os.umask(before)

    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("old", "new")] == [0o640, mode]


def test_files_that_belong_together_are_written_together(tmp_path, monkeypatch):
    """If there is no room for the second, the first keeps its place."""
    (tmp_path / "a").write_bytes(b"old")
    calls = iter([None, OSError("full")])

    def fsync(_):
        if error := next(calls):
            raise error

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="full"):
        write_all({tmp_path / "a": b"new", tmp_path / "b": b"new"})

    assert files(tmp_path) == {"a": b"old"}


def test_files_of_ours_belong_to_the_test_that_claims_their_name(tmp_path):
    """Other files and hidden ones are nobody's; a second record and one of an environment belong to its test."""
    names = ["A.json", "a,two.json", "a,two,@0123456789ab.json", "b.png"]
    for name in (*names, "README.md", ".d.json"):
        (tmp_path / name).touch()

    assert stored_files(tmp_path) == sorted(names)
    assert [claim_of(name) for name in names] == ["a.json", "a.json", "a.json", "b.png"]
    assert [shared_name(name) for name in names] == ["A.json", "a,two.json", "a,two.json", "b.png"]


def calibrated(*weights, seed=0):
    """A low-precision baseline and the states that it was calibrated on."""
    kept = States({0: {"weight/w": torch.tensor(weights)}})
    calibration = Calibration(states=kept.sha256, margin=3.0, variants=(), largest={})
    return baseline_of({}, seed=seed, precision="float32", calibration=calibration), kept


def states_at(path, command="pytest", shown=None):
    """The states that are stored with a baseline."""
    baseline, data = load_with_states(path, command, shown)
    return to_states(data, shown or path, baseline, command)


def files(folder):
    """Name and bytes of every file, hidden ones too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_states_are_stored_beside_their_record(tmp_path):
    """Named by their content, readable, and those that were written."""
    baseline, kept = calibrated(1.0, 2.0)
    save_baseline(tmp_path / "a.json", baseline, kept)

    assert sorted(files(tmp_path)) == ["a.json", f"a~{kept.sha256[:12]}.safetensors"]
    assert states_at(tmp_path / "a.json").sha256 == kept.sha256
    assert (tmp_path / f"a~{kept.sha256[:12]}.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["a", "a,second", "a=x", "a[1]", "a" * 200])
def test_new_states_take_the_place_of_former_ones(tmp_path, name):
    """Whatever the name; another test's states, and a second record's, stay."""
    others = ("b", f"{name},other", f"{name}b", f"{name[:180]}~0123456789abcdef", "a1")
    for other in others:
        (tmp_path / f"{other}~000000000000.safetensors").write_bytes(b"theirs")
    save_baseline(tmp_path / f"{name}.json", *calibrated(1.0))
    save_baseline(tmp_path / f"{name}.json", *calibrated(2.0))
    _, kept = calibrated(2.0)

    assert set(files(tmp_path)) == {f"{name}.json", f"{name}~{kept.sha256[:12]}.safetensors"} | {
        f"{other}~000000000000.safetensors" for other in others
    }


def test_a_record_without_states_takes_the_place_of_one_with_them(tmp_path):
    """A training that goes over to double precision leaves no states behind."""
    save_baseline(tmp_path / "a.json", *calibrated(1.0))
    save_baseline(tmp_path / "a.json", baseline_of({}))

    assert list(files(tmp_path)) == ["a.json"]


def test_the_same_states_are_written_anew(tmp_path):
    """Regenerating mends states that were damaged, though their name stays."""
    baseline, kept = calibrated(1.0)
    save_baseline(tmp_path / "a.json", baseline, kept)
    before = files(tmp_path)
    (tmp_path / f"a~{kept.sha256[:12]}.safetensors").write_bytes(b"damaged")
    save_baseline(tmp_path / "a.json", baseline, kept)

    assert files(tmp_path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("writes", range(4))
@pytest.mark.parametrize("weights", [(1.0,), (2.0,)], ids=["same-states", "other-states"])
def test_a_crash_at_any_write_leaves_old_or_new_whole(tmp_path, monkeypatch, error, writes, weights):
    """States and record are replaced together, by the record's rename; nothing is left over that no record names."""
    path = tmp_path / "a.json"
    old, new = calibrated(1.0), calibrated(*weights, seed=1)
    save_baseline(path, *old)
    before = files(tmp_path)
    left = [writes]

    def crash_at(function):
        def called(*args, **options):
            if not left[0]:
                raise error
            left[0] -= 1
            return function(*args, **options)

        return called

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", crash_at(os.fsync))
        patched.setattr(Path, "replace", crash_at(Path.replace))
        with pytest.raises((error, errors.BaselineWriteError)):
            save_baseline(path, *new)

    assert files(tmp_path) == before
    assert states_at(path).sha256 == old[1].sha256


def test_a_process_that_is_killed_between_record_and_clean_up_leaves_the_new_baseline(tmp_path, monkeypatch):
    """The former states lie beside it until the next generation."""
    path = tmp_path / "a.json"
    save_baseline(path, *calibrated(1.0))
    baseline, kept = calibrated(2.0, seed=1)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            save_baseline(path, baseline, kept)

    assert states_at(path).sha256 == kept.sha256
    save_baseline(path, baseline, kept)
    assert len(files(tmp_path)) == 2


def damaged(place):
    """Change a byte of the file."""
    data = place.read_bytes()
    place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def of_another(place):
    """Put another baseline's states in its place."""
    place.write_bytes(calibrated(7.0)[1].to_bytes())


def huge(place):
    """Let it promise more than memory holds."""
    with place.open("wb") as file:
        file.truncate(65 * 2**20)


def in_the_way(place):
    """A folder where the file should be."""
    place.unlink()
    place.mkdir()


NOT_WRITTEN = "they are not those that were written"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (Path.unlink, "No such file or directory"),
        (in_the_way, "Is a directory"),
        (damaged, NOT_WRITTEN),
        (of_another, NOT_WRITTEN),
        (huge, "it is larger than 64 MiB"),
        (lambda place: place.write_bytes(b""), NOT_WRITTEN),
    ],
    ids=["missing", "folder", "damaged", "other", "huge", "empty"],
)
def test_states_that_cannot_be_used_are_a_message(tmp_path, damage, reason):
    """It names the file as it was given, and both ways out."""
    baseline, kept = calibrated(1.0)
    save_baseline(tmp_path / "a.json", baseline, kept)
    file = f"a~{kept.sha256[:12]}.safetensors"
    damage(tmp_path / file)
    with pytest.raises(errors.BaselineCorruptError) as caught:
        states_at(tmp_path / "a.json", "pytest x", Path("baselines/a.json"))

    assert str(caught.value) == (
        f"the states of the baseline cannot be read: {reason}\n"
        f"  where  baselines/{file}\n"
        f"  fix    restore them (git checkout -- baselines/{file}) or regenerate the baseline: pytest x"
    )


def test_states_whose_hash_fits_still_have_to_be_states(tmp_path):
    """A hostile baseline may name the hash of anything."""
    sha256 = hashlib.sha256(b"anything").hexdigest()
    calibration = Calibration(states=sha256, margin=3.0, variants=(), largest={})
    save_baseline(tmp_path / "a.json", baseline_of({}, precision="float32", calibration=calibration))
    (tmp_path / f"a~{sha256[:12]}.safetensors").write_bytes(b"anything")

    with pytest.raises(
        errors.BaselineCorruptError, match=r"^the states of .* cannot be read: Error while deserializing.*\n  where"
    ):
        states_at(tmp_path / "a.json")


def test_a_baseline_is_shown_as_it_was_asked_for(tmp_path):
    """Messages give the path that people would type."""
    with pytest.raises(errors.BaselineMissingError) as caught:
        load_baseline(tmp_path / "a.json", "pytest", Path("baselines/a.json"))

    assert caught.value.where == str(Path("baselines/a.json"))


@pytest.mark.parametrize(
    ("record", "claim"),
    [("a", "a"), ("a,two", "a"), (f"{'b' * 183}~0123456789abcdef", f"{'b' * 183}~0123456789abcdef")],
)
def test_states_belong_to_the_test_of_their_record(record, claim):
    """They are an orphan where their record is one; a name that was shortened has a tilde, too."""
    assert claim_of(f"{record}~000000000000.safetensors") == f"{claim}.json"
