"""Promises of `harness accept` on results from anywhere: the project's baselines are replaced, and nothing else."""

import dataclasses
import json
import re

import msgspec
import pytest

from harness.baselines.failed import Candidate, digest, offer
from harness.baselines.folder import stated_folder
from harness.baselines.store import save_baseline
from harness.commands import main
from harness.comparing.metrics import summary
from harness.errors import NotFoundError
from harness.record import Baseline, Calibration, Stream
from tests.test_inert import EVIL, is_inert
from tests.test_origin import picture
from tests.test_record import baseline_of, record_of


FORMER = baseline_of({"loss": Stream("forward", (0, 1), (2.5, 1.25))})
PRESENT = record_of({"loss": Stream("forward", (0, 1), (2.5, 1.5))})
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with a record and a figure among its baselines, and another figure elsewhere."""
    monkeypatch.chdir(tmp_path)
    save_baseline(tmp_path / "baselines" / "test_a-test_b.json", FORMER)
    for name in ("baselines/c.svg", "docs/logo.svg", ".git/hooks/x.svg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"<svg/>")
    (tmp_path / "test_a.py").touch()
    return tmp_path


def leave(root, baseline="baselines/test_a-test_b.json", data=None, **changes):
    """Leave the result of a comparison as an artifact brings it, whatever it says of itself."""
    path = root / baseline
    note = Candidate(
        test="test_a.py::test_b",
        baseline=baseline,
        compared=digest(path.read_bytes() if path.is_file() else b""),
        result="",
        difference="from step 1 on: forward, loss",
        sources={},
        obstacle="",
        origin={"commit": "1b53ba4"},
    )
    data = PRESENT.to_text().encode() if data is None else data
    offer(root / "build" / "harness" / "failed", msgspec.structs.replace(note, **changes), data)


def state(root):
    """What every file outside `build` holds."""
    files = (path for path in root.rglob("*") if path.is_file() and "build" not in path.relative_to(root).parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def accept(*arguments):
    """Run the command; return its exit status."""
    return main(["accept", "--reason=why", *arguments])


def refused(root, capsys, words, *arguments):
    """Try to accept; nothing changes, and the message has these words."""
    before = state(root)

    assert accept(*arguments) == 2
    assert state(root) == before
    assert words in capsys.readouterr().err


def test_a_record_and_a_figure_become_the_baselines(root, capsys):
    """Their paths stand in the table."""
    leave(root)
    leave(root, "baselines/c.svg", SVG)
    assert accept() == 0

    assert Baseline.from_text((root / "baselines" / "test_a-test_b.json").read_text()).record == PRESENT
    assert (root / "baselines" / "c.svg").read_bytes() == SVG
    row = "| <code>baselines/c.svg</code> | <code>from step 1 on&#58; forward, loss</code> | <code>1b53ba4</code> |"
    assert row in capsys.readouterr().out


@pytest.mark.parametrize("baseline", ["docs/logo.svg", ".git/hooks/x.svg", "../x.svg", "c.svg", "baselines/d/c.svg"])
def test_what_an_artifact_says_of_the_folder_does_not_count(root, capsys, baseline):
    """Neither a note nor `session.json`, which lie in it: only the project, or whoever accepts, names the folder."""
    leave(root, baseline, SVG)
    (root / "build" / "harness" / "session.json").write_text(json.dumps({"baselines": "docs", "orphans": []}))
    refused(root, capsys, "and this project's are in baselines\n  fix    to have it written there, name that folder")


def test_whoever_accepts_may_name_the_folder(root, capsys):
    """From anywhere; git's own is none, nor is one outside the project."""
    leave(root, "docs/logo.svg", SVG)
    assert accept("--baselines=docs") == 0
    assert (root / "docs" / "logo.svg").read_bytes() == SVG
    leave(root, ".git/hooks/x.svg", SVG)
    refused(root, capsys, "the folder of the baselines is git's", "--baselines=.git/hooks")
    leave(root, "../x.svg", SVG)
    refused(root, capsys, "the folder of the baselines is outside the project", "x", "--baselines=..")


@pytest.mark.parametrize("name", ["d.svg", "d.json", "d.png"])
def test_what_was_compared_replaces_what_it_was_compared_with(root, capsys, name):
    """A baseline that is gone is not made anew."""
    leave(root, f"baselines/{name}", picture() if name.endswith(".png") else None)
    refused(root, capsys, "is stale: its baseline changed after the comparison")


def test_the_first_baseline_of_a_test_is_made_where_there_is_none(root, capsys):
    """Its thresholds are yet to be measured; those of event files never are. A figure is one, too."""
    leave(root, "baselines/d.json", compared="")
    leave(root, "baselines/e.svg", SVG, compared="")
    events = dataclasses.replace(PRESENT, source="event files")
    leave(root, "baselines/f.json", events.to_text().encode(), compared="")
    assert accept("--no-training") == 0

    assert Baseline.from_text((root / "baselines" / "d.json").read_text()).record == PRESENT
    assert (root / "baselines" / "e.svg").read_bytes() == SVG
    table = capsys.readouterr().out
    assert table.endswith(
        "\nNew, or of another structure than before, so that their thresholds have to be measured: "
        "harness doctor --verify: d\n"
    )


@pytest.mark.parametrize("name", ["test_a-test_b.json", "c.svg"])
def test_a_first_baseline_takes_no_others_place(root, capsys, name):
    """What somebody stored since, or an artifact says there was not, stays."""
    leave(root, f"baselines/{name}", SVG if name.endswith("svg") else None, compared="")
    refused(root, capsys, "is stale: its baseline changed after the comparison")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".c.svg", "neither a record nor a figure"),
        ("conftest.py", "neither a record nor a figure"),
        ("e.svg", "its baseline is not a plain file"),
        ("f.json", "the baseline cannot be read"),
        ("g.json", "its baseline is not a plain file"),
    ],
)
def test_only_plain_baselines_are_replaced(root, capsys, name, words):
    """No hidden file, no code, no link, no other JSON, no folder."""
    folder = root / "baselines"
    for file in (".c.svg", "conftest.py", "f.json"):
        (folder / file).write_text("{}")
    (folder / "e.svg").symlink_to(root / "docs" / "logo.svg")
    (folder / "g.json").mkdir()
    leave(root, f"baselines/{name}", SVG if name.endswith(".svg") else None)
    refused(root, capsys, words)


@pytest.mark.parametrize("link", ["baselines", "kept/baselines"])
def test_a_folder_that_is_a_link_is_none(root, capsys, link):
    """Nor is one behind a link."""
    (root / "kept").symlink_to("docs")
    (root / "docs" / "baselines").mkdir()
    (root / "docs" / "baselines" / "c.svg").write_bytes(b"<svg/>")
    (root / "baselines").rename(root / "former")
    (root / "baselines").symlink_to("docs/baselines")
    leave(root, f"{link}/c.svg", SVG)
    refused(root, capsys, "the folder of the baselines is a link, or behind one", f"--baselines={link}")


@pytest.mark.parametrize(
    ("former", "words"),
    [
        ({"seeds": {0: summary(FORMER.record), 1: {"loss": 2.1}}}, "it holds the summaries of 2 seeds"),
        (
            {"calibration": Calibration(variants=("jitter 1",), margin=30.0, largest={}, states="0" * 64)},
            "its states and thresholds are made while it trains",
        ),
    ],
)
def test_what_a_result_lacks_is_seen_in_the_baseline(root, capsys, former, words):
    """Whether the note says so or not; the command that trains is ours."""
    save_baseline(root / "baselines" / "test_a-test_b.json", dataclasses.replace(FORMER, **former))
    leave(root)
    refused(
        root, capsys, f"is no whole baseline: {words}\n  fix    pytest test_a.py::test_b --mpl-generate-path=baselines"
    )


def test_no_text_of_an_artifact_does_anything(root, capsys):
    """In the table, which is Markdown, and in what is refused, which is a log: neither links nor commands."""
    texts = f"[click](http://evil.example) @octocat <img src=x> | {EVIL}"
    leave(root, "baselines/c.svg", SVG, difference=texts, origin={"commit": texts})
    leave(root, obstacle=texts, test=f"t'; {texts}")
    assert accept() == 2
    table, message = capsys.readouterr()

    assert is_inert(table + message)
    row = table.splitlines()[4]
    assert row.count("|") == 5
    assert not re.search(r"@|\]\(|<(?!/?code>)|//", row.replace("http&#58;//", ""))
    assert "fix    pytest 't'\"'\"'; [click]" in message


@pytest.mark.parametrize(
    ("test", "measured"),
    [
        ("test_a.py::test_b", True),
        ("test_a.py::test_c", False),
        ("build/harness/test_a.py::test_b", False),
        ("../test_a.py::test_b", False),
        ("gone.py::test_b", False),
    ],
)
def test_only_the_test_of_a_baseline_is_run(root, capsys, monkeypatch, test, measured):
    """Thresholds are measured by the project's own test, without an option that the artifact brings."""
    calls = []
    monkeypatch.setattr("subprocess.run", lambda command, **kwargs: calls.append(command) or Done)
    calibration = Calibration(variants=("jitter 1",), margin=30.0, largest={})
    save_baseline(root / "baselines" / "test_a-test_b.json", dataclasses.replace(FORMER, calibration=calibration))
    (root / "build" / "harness").mkdir(parents=True)
    (root / "build" / "harness" / "test_a.py").touch()
    leave(root, data=record_of({"other": Stream("forward", (0,), (2.5,))}).to_text().encode(), test=test)
    assert accept() == 0

    assert [command[-1] for command in calls if "pytest" in command] == ([f"./{test}"] if measured else [])
    assert ("are measured now: test_a-test_b" in capsys.readouterr().out) == measured


class Done:
    """A process that ended well."""

    returncode = 0
    stdout = b""


@pytest.mark.parametrize(
    ("file", "text", "folder"),
    [
        ("pyproject.toml", '[tool.pytest.ini_options]\ntraining_baselines = "x"\n', "x"),
        ("pyproject.toml", '[tool.pytest]\ntraining_baselines = "x"\n', "x"),
        ("pyproject.toml", "[tool.other]\n", "baselines"),
        ("pytest.toml", '[pytest]\ntraining_baselines = "x"\n', "x"),
        ("pytest.ini", "[pytest]\nmpl-baseline-path = x\n", "x"),
        ("pytest.ini", "[pytest]\nmpl-baseline-path = https://x\n", "baselines"),
        (".pytest.ini", "[pytest]\nmpl-baseline-path = x\ntraining_baselines: y\n", "y"),
        ("tox.ini", "[tox]\nenvlist = 100%\n[pytest]\ntraining_baselines = x\n", "x"),
        ("setup.cfg", "[tool:pytest]\ntraining_baselines = x\n", "x"),
        ("setup.cfg", "[pytest]\ntraining_baselines = x\n", "baselines"),
    ],
)
def test_the_ini_file_names_the_folder(tmp_path, file, text, folder):
    """As pytest reads it."""
    (tmp_path / file).write_text(text)

    assert stated_folder(tmp_path) == tmp_path / folder


def test_the_first_ini_file_counts(tmp_path):
    """An empty pytest.ini, too; one that cannot be read is a message."""
    (tmp_path / "tox.ini").write_text("[pytest]\ntraining_baselines = x\n")
    assert stated_folder(tmp_path) == tmp_path / "x"
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    assert stated_folder(tmp_path) == tmp_path / "baselines"
    (tmp_path / "pytest.ini").write_text("no ini file")
    with pytest.raises(NotFoundError, match="the project does not say where its baselines are"):
        stated_folder(tmp_path)
