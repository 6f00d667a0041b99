"""Promises of the commands that look: list, show, diff, doctor."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.baselines.store import save_baseline, save_figure
from harness.commands import main
from harness.record.streams import Stream
from tests.repositories import git
from tests.test_origin import ABOUT, picture
from tests.test_record import baseline_of, record_of


LOSS = Stream("forward", (0, 1), (2.5, 1.25))
BASELINE = baseline_of({"loss": LOSS}, origin=ABOUT)
OTHER = baseline_of({"loss": Stream("forward", (0, 1), (2.5, 1.5))}, origin=ABOUT)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a record and a figure among its baselines, and the last session's notes."""
    monkeypatch.chdir(tmp_path)
    save_baseline(tmp_path / "baselines" / "train.json", BASELINE)
    save_figure(tmp_path / "baselines" / "curve.png", picture(), ABOUT)
    return tmp_path


def session(folder, **notes):
    """Leave what a session leaves."""
    place = folder / "build" / "harness"
    place.mkdir(parents=True, exist_ok=True)
    (place / "session.json").write_text(json.dumps({"baselines": "baselines", "orphans": None, **notes}))


def lines(capsys, *arguments, status=0):
    """Run a command; return what it printed."""
    assert main(arguments) == status
    return capsys.readouterr().out.splitlines()


def test_list_says_when_and_with_what_each_was_made(folder, capsys):
    """A line a baseline, the reason at its end; orphans are not claimed to be known."""
    assert lines(capsys, "list") == [
        "2 baselines, 1 KB, in baselines",
        "  curve  figure  0 KB  2026-11-23 10:00 UTC  matplotlib 3.11, new",
        "  train  record  1 KB  2026-11-23 10:00 UTC  torch 2, new",
        "orphans: not known, the last session did not see all tests (run pytest --mpl)",
    ]


def test_list_names_orphans_and_what_is_broken_or_unfinished(folder, capsys):
    """Nothing in the folder is passed over in silence, and nothing ends in a traceback."""
    session(folder, orphans=["old.json"])
    (folder / "baselines" / "old.json").write_text("{")
    (folder / "baselines" / ".old.json.abc.unfinished").touch()
    found = lines(capsys, "list")

    assert any(line.startswith("  old    record  0 KB  unknown ") and "cannot be read: " in line for line in found)
    assert found[-2:] == [
        "orphans: old.json (as of the last session)",
        "unfinished, of a run that was killed or is under way: .old.json.abc.unfinished",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"baselines": 5, "orphans": "x"}'])
def test_broken_notes_of_a_session_are_none(folder, capsys, text):
    """They are a convenience."""
    session(folder)
    (folder / "build" / "harness" / "session.json").write_text(text)

    assert lines(capsys, "list")[-1].startswith("orphans: not known")


def test_list_survives_whatever_lies_among_the_baselines(folder, capsys):
    """Folders, links to nowhere and to endless devices, broken figures: each has its line and its reason."""
    places = folder / "baselines"
    (places / "a.json").mkdir()
    (places / "b.json").symlink_to("nowhere")
    (places / "c.png").symlink_to("/dev/zero")
    (places / "d.png").write_bytes(picture()[:-20])
    save_baseline(places / "e.json", dataclasses.replace(BASELINE, origin={"reason": "\ud800", "made": "now"}))
    (places / "f.json").symlink_to("/dev/zero")
    found = lines(capsys, "list")

    for name, words in {
        "a": "cannot be read: Is a directory",
        "b": "is a link to nowhere",
        "c": "is a link to /dev/zero",
        "d": "it is damaged",
        "e": "now",
        "f": "is a link to /dev/zero",
    }.items():
        assert any(line.startswith(f"  {name}  ") and words in line for line in found), name


def test_a_figure_that_cannot_be_read_is_not_compared(folder, capsys):
    """`diff` says which, and how to mend it."""
    (folder / "other.png").write_bytes(b"no picture")

    assert main(["diff", "curve", "other.png"]) == 2
    assert capsys.readouterr().err.startswith("the baseline cannot be read: it is not a PNG\n  where  other.png\n")


def test_what_no_terminal_can_show_is_shown_escaped(folder):
    """A lone surrogate in a file does not end in a traceback."""
    save_baseline(folder / "baselines" / "odd.json", dataclasses.replace(BASELINE, origin={"reason": "\ud800"}))
    command = [sys.executable, "-c", "from harness.commands import main; raise SystemExit(main(['show', 'odd']))"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})

    assert done.returncode == 0, done.stderr
    assert b"\\ud800" in done.stdout


@pytest.mark.parametrize("name", ["a" * 300, "a\x00b", "\ud800"])
def test_a_folder_that_cannot_be_is_a_message(folder, capsys, name):
    """In the notes of a session or on the command line."""
    session(folder, baselines=name)

    assert main(["list"]) in (0, 2)
    assert main(["list", "--baselines", name]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_list_works_from_below_and_from_outside(folder, capsys, monkeypatch):
    """The project is the nearest folder above in which the gate has run; --root and --baselines say otherwise."""
    session(folder, baselines="kept")
    (folder / "baselines").rename(folder / "kept")
    (folder / "src").mkdir()
    monkeypatch.chdir(folder / "src")
    assert lines(capsys, "list")[0].endswith("in ../kept")
    monkeypatch.chdir(folder.parent)
    assert lines(capsys, "list", "--root", str(folder))[0].startswith("2 baselines")
    assert lines(capsys, "list", "--baselines", str(folder / "kept"))[0].startswith("2 baselines")
    assert lines(capsys, "list", "--baselines", str(folder / "src"))[0].startswith("0 baselines")


def test_show_tells_all_but_the_numbers(folder, capsys):
    """Training, steps, environment, and where it comes from."""
    found = lines(capsys, "show", "train")

    assert found[0] == "baselines/train.json"
    assert {
        "  training    made, float64, cpu",
        "  steps       2",
        "  commit      1b53ba4 with changes",
        "  reason      new",
    } <= {*found}
    assert "  kind        figure" in lines(capsys, "show", "curve.png")


def test_show_of_an_unknown_name_is_a_message(folder, capsys):
    """It names the folder, and what is near it."""
    assert main(["show", "trian"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("there is no baseline, file or folder 'trian'\n  where  baselines\n")
    assert message.endswith("; near it are train\n")


def test_show_reads_a_record_that_was_saved_anywhere(folder, capsys):
    """A file of its own is meant, although a baseline has its name."""
    OTHER.record.save("train.json")

    found = lines(capsys, "show", "train.json")
    assert found[0] == "train.json"
    assert "  steps      2" in found
    assert not any(line.startswith("  reason") for line in found)


def test_a_folder_that_is_not_there_has_no_baselines(folder, capsys):
    """One that is named is missed; the default one is empty until something is written."""
    assert main(["list", "--baselines", "nofolder"]) == 2
    assert capsys.readouterr().err.startswith("there is no such folder\n  where  nofolder\n")
    (folder / "new").mkdir()
    assert lines(capsys, "list", "--root", "new")[0].startswith("0 baselines, 0 KB, in ")


@pytest.fixture
def tests_of(folder):
    """Baselines of three tests, one of them on two inputs."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_a.py").touch()
    for name in ("test_b", "test_c=x", "test_c=y"):
        save_baseline(folder / "baselines" / f"tests.test_a-{name}.json", BASELINE)
    return folder


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("tests.test_a-test_b", "b"),
        ("tests.test_a-test_b.json", "b"),
        ("baselines/tests.test_a-test_b.json", "b"),
        ("build/harness/failed/tests.test_a-test_b.json", "b"),
        ("/elsewhere/tests.test_a-test_b.png", ""),
        ("tests/test_a.py::test_b", "b"),
        ("tests/test_a.py::test_b[cpu]", "b"),
        ("tests/test_a.py::test_c[cuda-x]", "x"),
        ("tests/test_a.py::test_c", "xy"),
        ("tests/test_a.py", "bxy"),
        ("{root}/tests/test_a.py::test_b", "b"),
        ("*c=*", "xy"),
        ("test_b", "b"),
        ("tests/test_a.py::test_", ""),
    ],
)
def test_a_baseline_is_called_what_people_have_at_hand(tests_of, capsys, word, names):
    """A name, a file, a path of it, a test, a file of tests, a pattern, a part that no other name has."""
    found = lines(capsys, "show", word.format(root=tests_of), status=0 if names else 2)

    assert [line[-6] for line in found if line.startswith("baselines/")] == [*names]


def test_ids_count_from_where_they_were_copied(tests_of, capsys, monkeypatch):
    """From a folder below the root, as pytest was started there."""
    session(tests_of)
    monkeypatch.chdir(tests_of / "tests")
    assert lines(capsys, "show", "test_a.py::test_b")[0] == "../baselines/tests.test_a-test_b.json"


def test_a_part_of_several_names_is_no_name(tests_of, capsys):
    """All that have it are named."""
    assert main(["show", "test_c"]) == 2
    assert capsys.readouterr().err.endswith(" give more of the name: tests.test_a-test_c=x, tests.test_a-test_c=y\n")


def test_what_a_session_left_elsewhere_is_found(folder, capsys):
    """--output names the folder of pytest's --training-output; its note says where the baselines are."""
    (folder / "baselines").rename(folder / "kept")
    (folder / "out").mkdir()
    (folder / "out" / "session.json").write_text(json.dumps({"baselines": "kept", "orphans": []}))

    assert lines(capsys, "list", "--output", "out")[0].endswith("in kept")


def test_every_command_has_an_example_and_the_program_a_version(capsys):
    """`--help` of each ends with one."""
    for command in ("init", "list", "show", "diff", "compare", "bisect", "report", "accept", "doctor"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert f"example: harness {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"pytest-training-regression {harness.__version__}\n"


def test_the_version_is_the_distributions():
    """One source for what `harness.__version__` says."""
    settings = Path(harness.__file__).parents[1] / "pyproject.toml"
    assert f'\nversion = "{harness.__version__}"\n' in settings.read_text(encoding="utf-8")


def test_figures_are_compared_by_pixels(folder, capsys):
    """Whatever packed them; one that differs says how far it is, and one of another size that it is."""
    from PIL import Image

    plain = Image.radial_gradient("L").convert("RGB")
    for name, image, level in (("a", plain, 1), ("b", plain, 9), ("c", plain.point(lambda x: x // 2), 1)):
        image.save(f"{name}.png", compress_level=level)
    plain.resize((9, 9)).save("d.png")
    (folder / "e.svg").write_text("<svg/>")
    (folder / "f.svg").write_text("<svg></svg>")

    assert lines(capsys, "diff", "a.png", "b.png") == ["the same figure"]
    assert lines(capsys, "diff", "a.png", "c.png", status=1)[0].startswith("the figure differs, RMS ")
    assert lines(capsys, "diff", "a.png", "d.png", status=1) == ["the figure has another size"]
    assert lines(capsys, "diff", "e.svg", "f.svg", status=1) == ["the figures differ"]


def test_a_record_and_a_figure_are_no_pair(folder, capsys):
    """Trouble, not a difference."""
    assert main(["diff", "train", "curve"]) == 2
    assert capsys.readouterr().err.startswith("a record and a figure cannot be compared\n  where  train and curve\n")


def test_diff_of_records_speaks_as_a_failed_test(folder, capsys):
    """Step, stage and stream; status 1, as diff has it. Equal ones are said to be the same."""
    (folder / "other.json").write_text(OTHER.to_text())
    found = lines(capsys, "diff", "train", "other.json", status=1)

    assert found[:3] == [
        "training differs from its baseline from step 1 on: forward, loss",
        "  recipe     made, float64, cpu",
        "  first      step 1   baseline 1.25   now 1.5   (1.3e-01, threshold 1e-10)",
    ]
    assert lines(capsys, "diff", "train", "baselines/train.json") == [
        "made, float64, cpu: same, largest deviation 0.0e+00 in 5 values"
    ]


def test_diff_is_not_green_where_nothing_could_have_failed(folder, capsys):
    """An accuracy in float32 of another environment: status 1, in the words of a test that fails in strict mode."""
    for name, accuracy in (("2", 0.92), ("3", 0.02)):
        streams = {"evaluation/accuracy": Stream("evaluation", (0,), (accuracy,))}
        record = record_of(streams, precision="float32", environment={"torch": name})
        (folder / f"torch{name}.json").write_text(record.to_text())

    found = lines(capsys, "diff", "torch2.json", "torch3.json", status=1)
    assert found[0] == "training is not judged from step 0 on: evaluation, accuracy of the evaluation"


def test_diff_says_what_else_differs_of_where_both_come_from(folder, capsys):
    """The commit and the libraries of both are known: they stand beside what the numbers do."""
    about = {**ABOUT, "commit": "2c53ba4", "dirty": "no", "made": "later"}
    save_baseline(folder / "other.json", dataclasses.replace(OTHER, origin=about))
    found = lines(capsys, "diff", "train", "other.json", status=1)

    assert "  changed    commit 1b53ba4 with changes -> 2c53ba4 since the baseline was made" in found
    assert "  made       2026-11-23 10:00 UTC, at commit 1b53ba4 with changes, new" in found


def test_diff_of_folders_pairs_files(folder, capsys):
    """What stands on one side only differs."""
    save_baseline(folder / "new" / "train.json", OTHER)
    save_baseline(folder / "new" / "more.json", OTHER)
    save_figure(folder / "new" / "curve.png", picture(), {})
    found = lines(capsys, "diff", "baselines", "new", status=1)

    assert found[:5] == [
        "curve.png",
        "  the same figure",
        "more.json",
        "  only in the latter",
        "train.json",
    ]
    assert found[5] == "  training differs from its baseline from step 1 on: forward, loss"


def test_diff_reads_git_revisions(folder, capsys):
    """A file or a folder of any revision, its path counted from here."""
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    save_baseline(folder / "baselines" / "train.json", OTHER)

    assert lines(capsys, "diff", "HEAD:baselines/train.json", "train", status=1)[0].endswith("forward, loss")
    assert lines(capsys, "diff", "HEAD:baselines", "baselines", status=1)[:2] == ["curve.png", "  the same figure"]
    for wrong in ("HEAD:nothing", "HEAD~7:baselines", "--output=x:y"):
        assert main(["diff", "--", wrong, "train"]) == 2
        assert capsys.readouterr().err.startswith(f"git has nothing under {wrong!r}\n")
    assert not (folder / "x:y").exists()


def test_diff_says_what_a_checkout_lacks(folder, capsys, monkeypatch):
    """A shallow one has no older revisions, as in CI; a folder without git has none; nor has a machine without it."""
    save_baseline(folder / "whole" / "baselines" / "train.json", BASELINE)
    for message in ("first", "second"):
        git(folder / "whole", "init", "--quiet")
        git(folder / "whole", "add", ".")
        git(folder / "whole", "commit", "--quiet", "--allow-empty", "-m", message)
    git(folder, "clone", "--quiet", "--depth=1", (folder / "whole").as_uri(), "shallow")

    def remedy():
        assert main(["diff", "HEAD~1:baselines", "baselines"]) == 2
        return capsys.readouterr().err.splitlines()

    monkeypatch.chdir(folder / "shallow")
    assert lines(capsys, "diff", "HEAD:baselines", "baselines")[0].startswith("made, float64, cpu: same")
    assert remedy() == [
        "git has nothing under 'HEAD~1:baselines'",
        f"  where  {folder / 'shallow'}",
        "  fix    this checkout is shallow: git fetch --unshallow (in CI, fetch-depth: 0) brings older revisions",
    ]
    no_git = "  fix    give two files or folders: git is not installed, or this is no checkout of it"
    monkeypatch.chdir(folder)
    assert remedy()[-1] == no_git
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(folder / "shallow")
    assert remedy()[-1] == no_git


def test_diff_reads_event_folders(folder, capsys):
    """Two TensorBoard runs of any tool."""
    from torch.utils.tensorboard import SummaryWriter

    for name, last in (("one", 1.0), ("two", 0.5)):
        with SummaryWriter(folder / name) as writer:
            for step, value in enumerate((2.0, last)):
                writer.add_scalar("loss", value, step)

    assert lines(capsys, "diff", "one", "two", status=1)[0].endswith("from step 1 on: forward, loss")
    assert lines(capsys, "diff", "one", "one")[0].endswith("same, largest deviation 0.0e+00 in 4 values")


def test_doctor_says_what_changes_numbers_and_what_has_changed(folder, capsys, monkeypatch):
    """Versions, instruction set, threads, devices, data and variables; then what the baselines had otherwise."""
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.delenv("HARNESS_CIFAR10", raising=False)
    found = lines(capsys, "doctor")
    names = [line.split()[0] for line in found]

    for name in ("python", "torch", "instructions", "threads", "matplotlib", "freetype", "devices"):
        assert name in names
    assert any(line.split() == ["OMP_NUM_THREADS", "3"] for line in found)
    assert any(line.split() == ["MKL_CBWR", "AVX2"] for line in found)
    changed = found[found.index("since the baselines in baselines were made") + 1 :]
    assert any(line.startswith("  torch ") and "2 -> " in line and "(1 of 2 baselines)" in line for line in changed)
    assert any(line.startswith("  matplotlib ") and "3.11 -> " in line for line in changed)


def test_a_wrong_command_line_is_a_usage_message(capsys):
    """No command, an unknown one, or a name too few."""
    for arguments in ([], ["lits"], ["diff", "one"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err.startswith("usage: harness")


def test_folders_without_a_baseline_are_no_green_diff(tmp_path, monkeypatch, capsys):
    """A folder whose name is wrong, in CI."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()

    assert main(["diff", "one", "two"]) == 2
    assert capsys.readouterr().err.startswith(
        "neither holds a baseline, so that nothing was compared\n  where  one and two"
    )
