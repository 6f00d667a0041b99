"""Promises of origin: where a baseline comes from, in records and figures, without disturbing either."""

import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.baselines import png
from harness.baselines.origin import changed_sources, command_text, named_sources, origin, sources
from harness.baselines.store import load_baseline, save_baseline, save_figure
from harness.comparing.comparison import compare
from harness.errors import RecordError, SuiteError
from harness.record import Baseline, Record
from harness.recording.imported import imported, listening, tell, told
from harness.report.comparison_text import failure
from tests.repositories import git
from tests.test_record import baseline_of, record_of


ABOUT = {"made": "2026-11-23 10:00 UTC", "commit": "1b53ba4", "dirty": "yes", "matplotlib": "3.11", "reason": "new"}


def test_commit_and_changes_on_top_of_it_are_told(tmp_path):
    """A clean checkout is its commit; an edited one is not."""
    (tmp_path / "a.py").write_text("a = 1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    clean = origin(tmp_path, "pytest")
    (tmp_path / "a.py").write_text("a = 2\n")
    edited = origin(tmp_path, "pytest")

    assert len(clean["commit"]) == 12
    assert (clean["dirty"], edited["dirty"]) == ("no", "yes")
    assert edited["commit"] == clean["commit"]


def test_versions_command_and_reason_are_told(tmp_path):
    """Whatever draws or computes has its version; without git there is no commit, and no error."""
    import matplotlib
    import torchvision

    found = origin(tmp_path, "pytest --mpl", "because")

    assert found["torchvision"].partition("+")[0] == torchvision.__version__.partition("+")[0]
    assert found["matplotlib"] == matplotlib.__version__
    assert found["freetype"] == matplotlib.ft2font.__freetype_version__
    assert found["torch build"]
    assert (found["command"], found["reason"]) == ("pytest --mpl", "because")
    assert "commit" not in found
    assert "dirty" not in found


def test_a_command_names_no_path_of_the_machine(tmp_path):
    """Absolute paths are shortened to what others have, too."""
    arguments = [
        "tests/a.py",
        f"--mpl-generate-path={tmp_path}/baselines",
        "--training-cifar10=/home/me/c.npz",
        "-k",
        "a b",
    ]

    assert command_text("pytest", arguments, tmp_path) == (
        "pytest tests/a.py --mpl-generate-path=baselines --training-cifar10=c.npz -k 'a b'"
    )


def test_sources_are_the_projects_imported_files(tmp_path, monkeypatch):
    """A file that was not imported does not count; one that was and changes, or goes, does."""
    for name in ("imported_source", "other_source"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    __import__("imported_source")
    try:
        started = (tmp_path / "imported_source.py").stat().st_mtime
        found = sources(tmp_path, started)
        late = sources(tmp_path, started - 1)
    finally:
        del sys.modules["imported_source"]

    assert list(found) == ["imported_source.py"]
    assert changed_sources(tmp_path, found) == []
    assert changed_sources(tmp_path, late) == ["imported_source.py"]
    (tmp_path / "imported_source.py").write_text("x = 2\n")
    assert changed_sources(tmp_path, found) == ["imported_source.py"]
    (tmp_path / "imported_source.py").unlink()
    assert changed_sources(tmp_path, found) == ["imported_source.py"]


def test_an_environment_within_the_project_is_none_of_its_sources():
    """Neither the standard library nor what is installed."""
    root = Path(os.__file__).parent

    assert os.__file__ in [str(getattr(module, "__file__", "")) for module in [*sys.modules.values()]]
    assert imported(root) == []


def test_what_a_path_leads_out_of_the_repository_to_is_none_of_its_sources(tmp_path, monkeypatch):
    """`sys.path.insert(0, "../lib")` makes names with dots: git knows nothing of what is elsewhere."""
    for name in ("lib", "inner"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__=f"{tmp_path}/tests/../{name}.py"))
    (tmp_path / "tests").mkdir()
    monkeypatch.setattr(sys.modules["lib"], "__file__", f"{tmp_path}/tests/../../lib.py")

    assert imported(tmp_path) == [tmp_path / "inner.py"]


def test_sources_that_a_test_names_count_whatever_they_are(tmp_path):
    """Paths and patterns, relative or absolute; one that changes or goes makes a result stale."""
    for name in ("train.py", "configs/a.yaml", "configs/b [1].yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    named = named_sources(tmp_path, ["train.py", "configs/*.yaml", tmp_path / "configs" / "b [1].yaml"])
    found = sources(tmp_path, (tmp_path / "train.py").stat().st_mtime + 9, named)

    assert list(found) == ["configs/a.yaml", "configs/b [1].yaml", "train.py"]
    assert named_sources(tmp_path, "train.py") == [tmp_path / "train.py"]
    (tmp_path / "configs" / "a.yaml").write_text("y")
    (tmp_path / "train.py").unlink()
    assert changed_sources(tmp_path, found) == ["configs/a.yaml", "train.py"]


@pytest.mark.parametrize("name", ["trian.py", "", "configs", "configs/*.toml", "../outside.py", sys.executable])
def test_a_source_that_nobody_could_look_for_is_refused(tmp_path, name):
    """None of that name, a folder, a file outside the project."""
    (tmp_path / "project" / "configs").mkdir(parents=True)
    (tmp_path / "outside.py").write_text("x")

    with pytest.raises(SuiteError, match="the project has no source "):
        named_sources(tmp_path / "project", [name])


CHILD = """
import sys
sys.path.insert(0, {folder!r})
import child_source, torch
from harness import Recorder
with Recorder() as recorder:
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder.watch(model, optimizer)
    loss = model(torch.ones(1, 1)).sum()
    loss.backward()
    optimizer.step()
    recorder.log(loss=loss)
"""


@pytest.mark.long
def test_what_a_child_that_trains_imports_is_known(tmp_path):
    """Script and modules of the project; this process tells nothing of itself, and nothing stays behind."""
    (tmp_path / "child_source.py").write_text("x = 1\n")
    (tmp_path / "child_train.py").write_text(CHILD.format(folder=str(tmp_path)))
    before, file = dict(os.environ), tmp_path / "imported"
    with listening(tmp_path, file):
        tell()
        assert told(file) == []
        subprocess.run([sys.executable, tmp_path / "child_train.py"], check=True)
        found = sources(tmp_path, (tmp_path / "child_train.py").stat().st_mtime, told(file))

    assert list(found) == ["child_source.py", "child_train.py"]
    assert (dict(os.environ), file.exists()) == (before, False)


def picture(value=0):
    """A small PNG."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), value, dtype=np.uint8)).save(file, format="png")
    return file.getvalue()


@given(st.dictionaries(st.text(), st.text(), min_size=1))
def test_a_figure_carries_its_origin_beside_its_pixels(entries):
    """Any text survives; the file without it is the file before, and the pixels are the pixels."""
    data = png.annotated(picture(), entries)

    assert png.annotations(data) == entries
    assert png.plain(data) == picture()
    assert png.annotated(data, entries) == data
    assert np.array_equal(Image.open(io.BytesIO(data)), Image.open(io.BytesIO(picture())))


@given(st.binary(max_size=60), st.integers(0, 200))
def test_a_broken_figure_has_no_origin_and_no_traceback(tail, cut):
    """Whatever stands behind a PNG's signature, or in its place."""
    for data in (tail, picture()[:8] + tail, png.annotated(picture(), ABOUT)[:cut]):
        assert png.annotations(data) in ({}, ABOUT)
        png.plain(data)


@pytest.mark.parametrize("former", [{}, ABOUT])
def test_the_same_figure_keeps_its_file(tmp_path, former):
    """One that says where it comes from is not touched for being drawn again; an old one learns it."""
    path = tmp_path / "a.png"
    path.write_bytes(png.annotated(picture(), former))
    save_figure(path, picture(), {**ABOUT, "made": "later"})

    assert png.annotations(path.read_bytes())["made"] == (former.get("made") or "later")
    save_figure(path, picture(1), {**ABOUT, "made": "at last"})
    assert png.annotations(path.read_bytes())["made"] == "at last"


@pytest.mark.parametrize("former", [{}, ABOUT])
def test_the_same_record_keeps_its_file(tmp_path, former):
    """As with figures: regenerating gives the same bytes, whatever the clock and the commit say."""
    path = tmp_path / "a.json"
    save_baseline(path, baseline_of({}, origin=former))
    save_baseline(path, baseline_of({}, origin={**ABOUT, "made": "later"}))

    assert load_baseline(path, "pytest").origin["made"] == (former.get("made") or "later")
    save_baseline(path, baseline_of({}, origin={**ABOUT, "made": "at last"}, environment={"torch": "3"}))
    assert load_baseline(path, "pytest").origin["made"] == "at last"


def test_an_origin_is_no_deviation_but_is_said():
    """Another commit or Matplotlib changes no verdict; a failure names both, and when and why the baseline was made."""
    baseline = baseline_of({}, origin=ABOUT)
    now = {"made": "2026-11-24 10:00 UTC", "commit": "2c53ba4", "dirty": "no", "matplotlib": "3.12.0"}
    assert compare(baseline, record_of({})).verdict == "same"

    text = failure(compare(baseline, record_of({}, precision="float32")), test="t", look=[], accept="x", origin=now)

    assert "  changed    commit 1b53ba4 with changes -> 2c53ba4; matplotlib 3.11 -> 3.12.0 since" in text
    assert "  made       2026-11-23 10:00 UTC, at commit 1b53ba4 with changes, new" in text


def test_an_origin_of_another_kind_is_no_baseline():
    """Texts under names, nothing else."""
    text = baseline_of({}, origin={"made": 5}).to_text()

    for read in (Baseline.from_text, Record.from_text):
        with pytest.raises(RecordError, match="a part is missing or of a wrong kind"):
            read(text)
