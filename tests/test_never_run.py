"""Promises of "changed, never run": which lines changed, which of them ran, and how what did not is told."""

import os
import sys
import textwrap
from types import ModuleType

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.explaining.git import Git
from harness.explaining.never_run import NeverRun, module, never_run
from harness.recording.running import TAKEN, Running, noted
from harness.report.html.page import page
from harness.report.json_form import read, to_text
from harness.report.ledger import Entry, Ledger, ledger_lines, united
from harness.report.markdown import markdown
from tests.repositories import git
from tests.test_page import Reading, check


class Watched:
    """A file `net.py` that is run under a watch.

    Args:
        root: of its project.
        source: of the file.
    """

    def __init__(self, root, source):
        self.file, self.log = root / "net.py", root / "log"
        self.log.unlink(missing_ok=True)
        self.file.write_text(textwrap.dedent(source))
        self.module = module(self.file.read_bytes())
        lines = {"net.py": range(1, 1000)}
        self.running = Running(root, self.log, lines, {"net.py": self.module.heads})

    def run(self):
        """Run the file; return what stands in it."""
        names = {"__name__": "net"}
        exec(compile(self.file.read_bytes(), self.file, "exec"), names)
        return names

    def never_run(self, changed=range(1, 1000)):
        """Return what did not run of the lines that changed."""
        self.running.close()
        ran = {int(line) for line in noted(self.log).get("net.py", ()) if line.isdigit()}
        return never_run(self.module.statements, frozenset(changed), ran)


@pytest.fixture
def watched(tmp_path):
    """Makes a watched file; the test's own tracer, if there is one, is put aside."""
    former = sys.gettrace()
    sys.settrace(None)
    yield lambda source: Watched(tmp_path, source)
    sys.settrace(former)


PROGRAM = '''
"""A docstring."""
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    import nothing

SIZE = 3  # at import

@overload
def loss(x: int) -> int: ...

def loss(x):
    """A docstring."""
    # a comment
    if x > 1:
        x = sum(
            [x, 1],
        )
    else:
        x = 0
    try:
        x += 1
    finally:
        x += 1
    return x

@staticmethod
def huber(
    x,
    delta=SIZE,
):
    """A docstring."""
    # a comment

    def inner():
        return delta
    return inner()

class Net:
    """A docstring."""

    size = 1

    def empty(self):
        pass

    def forward(self): return 1

    def train(self):
        while False:
            self = None
        return 2

if __name__ == "__main__":
    loss(1)
'''


def test_what_did_not_run_is_told_by_statement(watched):
    """A branch, a function with its decorators, a main block; no comment, docstring, `else`, stub or type import."""
    found = watched(PROGRAM)
    found.run()["loss"](0)

    lines = PROGRAM.splitlines()
    told = [(lines[first - 1].strip(), lines[last - 1].strip()) for first, last in found.never_run()]
    assert told == [
        ("x = sum(", ")"),
        ("@staticmethod", "return inner()"),
        ("def train(self):", "return 2"),
        ("loss(1)", "loss(1)"),
    ]


BLOCKS = st.recursive(
    st.just(["seen.add({})"]),
    lambda inner: st.one_of(
        st.builds(lambda first, then: [*first, *then], inner, inner),
        st.builds(
            lambda head, body: [head, *(f"    {line}" for line in body)],
            st.sampled_from(["if YES:", "if not YES:", "while not YES:", "for _ in range(2):", "class A:"]),
            inner,
        ),
        st.builds(
            lambda kind, body, other: [*_indented(f"{kind[0]}:", body), *_indented(f"{kind[1]}:", other)],
            st.sampled_from(
                [("if seen", "else"), ("try", "except ValueError"), ("try", "finally"), ("def f()", "if f()")]
            ),
            inner,
            inner,
        ),
    ),
    max_leaves=12,
)
"""Lines of programs that note which of their lines ran."""


def _indented(head, block):
    return [head, *(f"    {line}" for line in block)]


@settings(max_examples=25, deadline=None, phases=[Phase.generate, Phase.shrink])  # explaining takes a tracer
@given(BLOCKS, st.booleans())
def test_a_line_is_told_exactly_if_it_did_not_run(tmp_path_factory, block, all_changed):
    """Whatever blocks stand around it; of lines that did not change nothing is said."""
    lines = [line.format(place) for place, line in enumerate(block, start=1)]
    found, seen = Watched(tmp_path_factory.getbasetemp(), "\n".join(lines)), set()
    exec(compile(found.file.read_bytes(), found.file, "exec"), {"seen": seen, "YES": True})

    leaves = {place for place, line in enumerate(lines, start=1) if "seen.add" in line}
    changed = leaves if all_changed else {place for place in leaves if place % 2}
    told = {line for first, last in found.never_run(changed) for line in range(first, last + 1)}
    assert told & leaves == changed - seen


def test_only_what_counts_is_noted(watched):
    """Not what runs while nothing counts, nor later; what a forked process runs is."""
    found = watched("def a():\n    return 1\ndef b():\n    return 2\ndef c():\n    return 3\ndef d():\n    return 4\n")
    names = found.run()
    with found.running.counting(False):
        names["a"]()
        with found.running.counting(True):
            names["b"]()
    if not (process := os.fork()):
        names["c"]()
        os._exit(0)
    os.waitpid(process, 0)
    assert found.never_run() == [(1, 2), (7, 8)]
    names["d"]()
    assert "8" not in noted(found.log)["net.py"]


def test_a_file_that_was_imported_before_has_run_at_import(tmp_path, monkeypatch, watched):
    """Nobody saw it: of its functions nothing is known to have run, of its own lines all that may have."""
    before = ModuleType("net_before")
    before.__file__ = str(tmp_path / "net.py")
    monkeypatch.setitem(sys.modules, "net_before", before)
    found = watched("A = 1\ndef f():\n    return 1\n")

    assert found.never_run() == [(2, 3)]


@pytest.mark.parametrize("begins", ["before", "meanwhile"])
def test_beside_another_tracer_nothing_is_known(tmp_path, monkeypatch, watched, begins):
    """A debugger, or coverage of Python 3.11: it stays, and that is noted."""
    monkeypatch.setattr("harness.recording.running.is_free", lambda: begins != "before")
    found = watched("A = 1\n")
    if begins == "meanwhile":
        monkeypatch.setattr(found.running._watch, "off", lambda: False)
    found.run()
    found.never_run()

    assert noted(found.log)[""] == {TAKEN}


def test_what_is_no_python_has_no_statement():
    """A template, or a file of a later Python."""
    assert module(b"{% if %}") == module(b"\0") == ([], frozenset())


def test_git_knows_which_lines_changed(tmp_path):
    """Edited, new, moved or gone, in other folders of the repository, too; one that looks like a patch's is a line."""
    root = tmp_path / "a project"
    root.mkdir()
    text = "".join(f"line = {number}\n" for number in range(20))
    for name in ("edited.py", "moved.py", "gone.py", "same.py", "short er.py"):
        (root / name).write_text(text)
    (tmp_path / "outside.py").write_text(text)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "start")
    base = Git(root).bringing(root)
    (root / "edited.py").write_text(text.replace("line = 3\n", "++ b/same.py\n@@ -1 +1 @@\n").replace("line = 9\n", ""))
    (root / "moved.py").rename(root / "new place.py")
    (root / "gone.py").unlink()
    (root / "short er.py").write_text(text + "more = 1\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "changes")
    (root / "new.py").write_text("a = 1\nb = 2\n")
    (root / "new.txt").write_text("a")
    (tmp_path / "outside.py").write_text(text.replace("line = 2\n", "line = 0\n"))
    (tmp_path / "beside.py").write_text("a = 1\n")
    changed = {"edited.py": [4, 5, 10], "short er.py": [21], "new.py": [1, 2]}

    assert Git(root).changed_lines(base) == changed | {"../outside.py": [3], "../beside.py": [1]}
    assert Git(root).changed_lines("") == Git(tmp_path.parent / "nowhere").changed_lines(base) == {}


LEDGER = Ledger(
    entries=[Entry(baseline="a.json", test="test_a.py::test_a", fate="compared")],
    never_run=[
        NeverRun(path="net.py", lines=[(12, 12), (80, 90)]),
        NeverRun(path="ranks.py", lines=[(1, 2)], doubt="another process ran it"),
        NeverRun(path="a.py", lines=[]),
        NeverRun(path="b.py", lines=[]),
    ],
)
LINES = [
    "net.py:12, 80-90 changed, run by no gated training: not judged",
    "ranks.py:1-2 changed, run by no gated training: not judged, unless another process ran it",
    "a.py, b.py changed, imported by no gated training: not judged",
]


def test_every_form_tells_what_never_ran(tmp_path):
    """Summary, Markdown, HTML and JSON."""
    finding = check().trouble("text")
    (tmp_path / "results.json").write_text(to_text([finding], LEDGER))

    assert [*ledger_lines(LEDGER)][1:] == LINES
    assert "\n".join(LINES) in markdown([finding], LEDGER)
    assert "\n".join(LINES) in "".join(Reading(page([finding], {}, LEDGER)).text)
    assert read(tmp_path / "results.json").ledger == LEDGER


def test_many_are_counted():
    """Ten places a file, ten files: the rest by number."""
    many = [NeverRun(path=f"{name}.py", lines=[(line, line) for line in range(2, 30, 2)]) for name in "abcdefghijkl"]
    never = [NeverRun(path=f"z{number}.py", lines=[]) for number in range(12)]
    lines = [*ledger_lines(Ledger(entries=LEDGER.entries, never_run=[*many, *never]))][1:]

    assert len(lines) == 12
    assert lines[0].startswith("a.py:2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 4 more places changed, run by no")
    assert lines[10] == "2 more files with changed lines that no gated training runs: not judged"
    assert lines[11].endswith("z9.py and 2 more changed, imported by no gated training: not judged")


def test_of_several_jobs_what_all_name_is_left():
    """What the GPU's job runs is judged there."""
    gpu = Ledger(entries=LEDGER.entries, never_run=LEDGER.never_run[2:])

    assert united([LEDGER, gpu]).never_run == LEDGER.never_run[2:]
