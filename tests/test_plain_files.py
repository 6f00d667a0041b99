"""Promises of baselines as plain files: no links, nothing that git left in their place, both of one generation."""

import shlex
import subprocess

import pytest

from harness import errors
from harness.baselines import environments, store
from harness.baselines.environments import beside, nearest
from harness.baselines.plain_files import is_within, link_in
from harness.baselines.store import check_figure, load_baseline, load_with_states, save_baseline, save_figure
from tests.repositories import git
from tests.test_baselines import calibrated, files, states_at
from tests.test_origin import picture
from tests.test_record import baseline_of


def stored(folder):
    """A record with states, and a figure; return the paths of record, states and figure."""
    baseline, kept = calibrated(1.0)
    save_baseline(folder / "a.json", baseline, kept)
    save_figure(folder / "a.png", picture(), {})
    return [folder / "a.json", next(folder.glob("*.safetensors")), folder / "a.png"]


def load(folder):
    """Read all that `stored` wrote."""
    states_at(folder / "a.json", "pytest x")
    check_figure(folder / "a.png", "pytest x")


@pytest.mark.parametrize("which", range(3), ids=["record", "states", "figure"])
@pytest.mark.parametrize("target", ["elsewhere", "/dev/zero", "nowhere"])
def test_a_link_is_no_baseline(tmp_path, which, target):
    """Not even one to the right bytes: what it leads to may be the result that is to be judged."""
    path = stored(tmp_path)[which]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(target)

    with pytest.raises(errors.BaselineCorruptError, match=f"is a link to {target}") as caught:
        load(tmp_path)
    assert caught.value.where == str(path)


def test_a_link_is_named_where_a_baseline_is_chosen(tmp_path):
    """One that leads nowhere is not a missing baseline."""
    (tmp_path / "a.json").symlink_to("nowhere")

    with pytest.raises(errors.BaselineCorruptError, match="is a link to nowhere"):
        nearest(tmp_path / "a.json", {}, "pytest")


def test_a_figure_in_another_format_is_a_plain_file_too(tmp_path):
    """What pytest-mpl compares beside PNG."""
    (tmp_path / "a.svg").symlink_to("result.svg")

    with pytest.raises(errors.BaselineCorruptError, match="is a link"):
        check_figure(tmp_path / "a.svg", "pytest")


def test_regenerating_puts_files_in_the_place_of_links(tmp_path):
    """Though they lead to equal bytes; what they led to stays."""
    paths = stored(tmp_path)
    before = files(tmp_path)
    (tmp_path / "behind").mkdir()
    for path in paths:
        path.rename(tmp_path / "behind" / path.name)
        path.symlink_to(f"behind/{path.name}")
    stored(tmp_path)

    (tmp_path / "b.json").symlink_to("c.json")  # without states beside it, which would have been linked, too
    for name in ("c.json", "b.json"):
        save_baseline(tmp_path / name, baseline_of({}, origin={"made": "now"}))

    assert not any(path.is_symlink() for path in (*paths, tmp_path / "b.json"))
    assert files(tmp_path / "behind") == before
    load(tmp_path)


def test_a_hard_link_is_a_plain_file(tmp_path):
    """Caches and backups make them, git does not; and no result of a later session is behind one."""
    (tmp_path / "cache").mkdir()
    for path in stored(tmp_path):
        path.rename(tmp_path / "cache" / path.name)
        path.hardlink_to(tmp_path / "cache" / path.name)

    load(tmp_path)


@pytest.mark.parametrize("which", range(3), ids=["record", "states", "figure"])
def test_a_pointer_of_git_lfs_is_recognised(tmp_path, which):
    """A checkout would write it again: it has to be fetched."""
    path = stored(tmp_path)[which]
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")

    with pytest.raises(errors.BaselineCorruptError, match="pointer of Git LFS") as caught:
        load(tmp_path)
    assert "git lfs pull" in caught.value.fix
    assert "git checkout" not in caught.value.fix


def committed(path, seed):
    """Commit a baseline that the seed tells from others."""
    save_baseline(path, baseline_of({}, seed=seed))
    git(path.parent, "add", ".")
    git(path.parent, "commit", "--quiet", "-m", f"seed {seed}")


@pytest.fixture
def conflict(tmp_path):
    """A repository in the middle of a merge of two versions of a baseline; return its file."""
    path = tmp_path / "a.json"
    git(tmp_path, "init", "--quiet", "--initial-branch=ours")
    committed(path, 0)
    git(tmp_path, "checkout", "--quiet", "-b", "theirs")
    committed(path, 1)
    git(tmp_path, "checkout", "--quiet", "ours")
    committed(path, 2)
    with pytest.raises(subprocess.CalledProcessError):
        git(tmp_path, "merge", "theirs")
    return path


def refused(path):
    """What is said of a baseline that is not merged."""
    with pytest.raises(errors.BaselineCorruptError, match="merge") as caught:
        load_baseline(path, "pytest x", path.relative_to(path.parent))
    return caught.value


def test_a_conflict_is_recognised_and_the_fix_ends_it(conflict):
    """`git checkout -- PATH` would fail; what is printed works, word for word."""
    fix = refused(conflict).fix
    command = fix[fix.index("git checkout") : fix.index(", or --ours")]
    subprocess.run(shlex.split(command), cwd=conflict.parent, check=True, capture_output=True)

    assert load_baseline(conflict, "pytest").record.seed == 1
    git(conflict.parent, "checkout", "--ours", "--", conflict.name)
    assert load_baseline(conflict, "pytest").record.seed == 2


@pytest.mark.parametrize("marks", ["<<<<<<<", "=======", ">>>>>>>", "<=>"])
def test_a_conflict_that_is_half_resolved_is_recognised(conflict, marks):
    """By hand, some marks or all were taken out: it is no JSON, or its checksum does not fit."""
    lines = conflict.read_text().splitlines(keepends=True)
    conflict.write_text("".join(line for line in lines if line[0] not in marks))

    assert "half of a merge" in refused(conflict).what


def test_a_conflict_that_was_committed_has_no_sides_any_more(conflict):
    """A checkout would write the marks again: one side's commit has it, or the training."""
    git(conflict.parent, "commit", "--quiet", "-a", "-m", "merged")
    error = refused(conflict)

    assert "was committed with them" in error.what
    git(conflict.parent, "checkout", "theirs", "--", conflict.name)
    assert load_baseline(conflict, "pytest").record.seed == 1


def test_a_conflict_in_a_folder_without_git_is_told_by_its_marks(tmp_path):
    """An archive of a broken checkout."""
    (tmp_path / "a.json").write_text('{\n<<<<<<< HEAD\n"seed": 1\n=======\n"seed": 2\n>>>>>>> x\n}\n')

    assert "git checkout COMMIT -- a.json" in refused(tmp_path / "a.json").fix


def test_links_below_a_project_s_root_are_found(tmp_path):
    """Those above it are the system's; of a folder elsewhere, only the folder itself counts."""
    root = tmp_path / "link" / "project"
    (tmp_path / "real" / "project" / "a" / "baselines").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (root / "b").symlink_to("a")
    (tmp_path / "elsewhere").symlink_to("real")

    assert link_in(root / "a" / "baselines", root) is None
    assert link_in(root / "b" / "baselines", root) == root / "b"
    assert link_in(root / "b" / ".." / "a", root) == root / "b"
    assert link_in(root / ".." / ".." / "elsewhere", root) == root / ".." / ".." / "elsewhere"
    assert link_in(tmp_path / "elsewhere", root) == tmp_path / "elsewhere"
    assert link_in(tmp_path / "link" / "project" / "a", tmp_path / "other") is None
    assert is_within(root / "b" / "baselines", tmp_path / "real" / "project" / "a")
    assert not is_within(root / "b", root / "a" / "baselines")


def swapped(monkeypatch, path, then):
    """After the first time that a file is read, do something that another session may do."""
    read, pending = store.read_plain, [then]

    def read_plain(file, *rest):
        data = read(file, *rest)
        if file == path and pending:
            pending.pop()()
        return data

    monkeypatch.setattr(store, "read_plain", read_plain)


def test_a_generation_between_record_and_states_is_not_half_seen(tmp_path, monkeypatch):
    """The former states have gone when they are asked for: record and states are those of the new generation."""
    path = tmp_path / "a.json"
    save_baseline(path, *calibrated(1.0))
    new = calibrated(2.0, seed=1)
    swapped(monkeypatch, path, lambda: save_baseline(path, *new))
    baseline, data = load_with_states(path, "pytest")

    assert (baseline, data) == (new[0], new[1].to_bytes())


def test_states_that_are_missing_beside_the_same_record_are_an_error(tmp_path, monkeypatch):
    """Nothing was generated meanwhile; reading again would not help."""
    path, states, _ = stored(tmp_path)
    swapped(monkeypatch, path, states.unlink)

    with pytest.raises(errors.BaselineCorruptError, match="the states of the baseline cannot be read"):
        load_with_states(path, "pytest")


def test_a_baseline_that_goes_while_one_is_chosen_was_not_there(tmp_path, monkeypatch):
    """Of those that were listed, another is chosen, or none."""
    path, here = tmp_path / "a.json", {"torch": "3"}
    far, near = (beside(path, {"torch": torch}) for torch in ("1", "3"))
    for file, torch in ((path, "2"), (far, "1")):
        save_baseline(file, baseline_of({}, environment={"torch": torch}))
    swapped(monkeypatch, path, far.unlink)
    found = nearest(path, here, "pytest")
    assert (found.path, found.stored) == (path, 1)

    save_baseline(near, baseline_of({}, environment=here))
    listed = environments.os.path.lexists
    monkeypatch.setattr("os.path.lexists", lambda file: listed(file) and (file != near or not near.unlink()))
    found = nearest(path, here, "pytest")
    assert (found.path, found.stored) == (path, 1)
