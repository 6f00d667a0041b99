"""Promises of what others wrote: it shows on a terminal, in a log and on a page, and does nothing there."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import compare
from harness.baselines.store import save_baseline
from harness.commands import main
from harness.errors import ArgumentError
from harness.inert import inert, inert_line
from harness.plugin.messages import failed
from harness.report.comparison_text import failure, note
from harness.report.html.page import page
from harness.report.json_form import to_text
from harness.report.markdown import annotation, markdown
from tests.test_page import check, training
from tests.test_record import baseline_of, record_of


EVIL = (
    "\x1b]52;c;cm0=\x07\x9b2K\r::add-mask::a\n  ::stop-commands::t\n"
    "##[error]x ##vso[y]z \u202eabc\u2066\u200b\u2028\ud800\x7f"
)
SPELT = (
    r"\x1b]52;c;cm0=\x07\x9b2K\r::add-mask::a"
    "\n"
    r"  \x3a:stop-commands::t"
    "\n"
    r"\x23#[error]x \x23#vso[y]z \u202eabc\u2066\u200b\u2028\ud800\x7f"
)


def is_inert(text):
    """Whether nothing in a text is obeyed: by a terminal, or by a runner that reads it line by line."""
    shows = all(letter.isprintable() or letter in "\n\t" for letter in text)
    return shows and not re.search(r"^\s*::|##\w*\[", text, flags=re.MULTILINE)


def test_what_is_obeyed_is_spelt_out():
    """Escapes as Python writes them; a command's first letter is one, too. Everything else stays, lines included."""
    assert inert(EVIL) == SPELT
    assert inert_line("a\n::b\tc") == r"a\n::b\tc"
    assert inert("Größe 3 µm, 日本 🙂\n\ta::b #[x] ## y") == "Größe 3 µm, 日本 🙂\n\ta::b #[x] ## y"


@given(st.text() | st.text(st.sampled_from("\r\n\t :#[v\x1b\x85\u2028\u202e\xa0")))
def test_any_text_is_inert_at_once(text):
    """And stays as it is when it passes a second place that sees to it."""
    assert is_inert(inert(text))
    assert inert(inert(text)) == inert(text)
    assert is_inert(inert_line(text))
    assert "\n" not in inert_line(text)


BASELINE = baseline_of({}, environment={"torch": EVIL}, origin={"made": "2026", "reason": EVIL, "torch build": EVIL})


def test_a_failure_has_no_line_that_a_baseline_wrote():
    """Reason, environment and names are cells of lines that are ours."""
    comparison = compare(BASELINE, record_of({}, environment={"torch": "2"}, seed=1))
    text = failure(comparison, origin={"torch build": "x"})

    assert is_inert(text)
    assert is_inert(note(comparison, chosen=EVIL))
    assert text.count("stop-commands") == 3
    assert not re.search(r"^\s*(\\x3a)?:", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "say",
    [
        lambda: str(ArgumentError.of(EVIL, EVIL, EVIL, EVIL)),
        lambda: str(failed(EVIL)),
        lambda: markdown([check(EVIL).trouble(EVIL), training((2.0, 1.6, 1.0), test=EVIL, name=EVIL)]),
        lambda: annotation(check().trouble(EVIL)).removeprefix("::error file=tests/test_a.py"),
        lambda: check().trouble(EVIL).text,
        lambda: page([training((2.0, 1.6, 1.0), test=EVIL, environment={EVIL: EVIL})]),
    ],
    ids=["error", "failed test", "Markdown", "annotation", "finding", "page"],
)
def test_every_form_is_inert(say):
    """Of what a session says in pytest, in CI and for a browser."""
    assert is_inert(say())


def test_every_command_is_inert(tmp_path, monkeypatch, capsys):
    """`list`, `show`, `diff` and `report`, and what they refuse."""
    monkeypatch.chdir(tmp_path)
    save_baseline(tmp_path / "baselines" / "a.json", BASELINE)
    save_baseline(tmp_path / "baselines" / "b.json", baseline_of({}, seed=1))
    (tmp_path / "results.json").write_text(to_text([check(EVIL).trouble(EVIL)]))
    results = json.loads((tmp_path / "results.json").read_text())
    results["results"][0]["text"] = EVIL  # as no session of ours writes it
    (tmp_path / "results.json").write_text(json.dumps(results))
    for folder in ("x", "y"):
        save_baseline(tmp_path / folder / "::a\x1b[2J.json", BASELINE)
        save_baseline(tmp_path / folder / "b.json", BASELINE)
    folders = ["diff", "x", "y"]  # names of files, in lines of their own
    for command in (["list"], ["show", "a"], ["show", EVIL], ["diff", "a", "b"], folders, ["report", "results.json"]):
        main(command)
        said = capsys.readouterr()
        assert said.out + said.err
        assert is_inert(said.out + said.err), command
