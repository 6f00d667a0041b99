"""Promises of the code that a report shows: where a training differs, what changed there, nothing from outside."""

from harness.explaining.blame import Changed
from harness.explaining.excerpt import excerpts
from harness.explaining.git import Git
from tests.repositories import repository


BEFORE = "one\ntwo\nrate = 0.1\nfour\nfive\nsix\nseven\neight\n"


def changed(path):
    """A file that is not as it was."""
    return Changed(path=path, former="", fate="changed", added=1, removed=1, commit=None, uncommitted=True)


def shown(root, where, *files, base="HEAD"):
    """Number, mark and text of the lines, an excerpt each."""
    found = Git(root)._ask("log", "-1", "-z", "--format=%H")[0] if base else ""
    return [
        (each.file, each.line, [(line.number, line.mark, line.text) for line in each.lines])
        for each in excerpts(Git(root), found, where, [changed(file) for file in files])
    ]


def test_five_lines_stand_around_the_one_that_differs_and_what_changed_is_marked(tmp_path):
    """What is gone stands before what took its place; without git, the five lines stand alone."""
    root = repository(tmp_path, {"net.py": BEFORE})
    (root / "net.py").write_text(BEFORE.replace("0.1", "0.2"))
    lines = [(1, "", "one"), (2, "", "two"), (0, "-", "rate = 0.1"), (3, "+", "rate = 0.2"), (4, "", "four")]

    assert shown(root, "net.py:3", "net.py") == [("net.py", 3, [*lines, (5, "", "five")])]
    plain = [(number, "", text) for number, _, text in lines if number]
    assert shown(root, "net.py:3", base="") == [
        ("net.py", 3, [*[(n, m, t.replace("0.1", "0.2")) for n, m, t in plain], (5, "", "five")])
    ]


def test_where_the_line_is_as_it_was_what_changed_is_shown_too(tmp_path):
    """The first change of the likeliest file; a file that cannot be shown, or is outside the project, is left out."""
    root = repository(tmp_path, {"net.py": BEFORE, "data.py": "a\nb\nc\n"})
    (root / "data.py").write_text("a\nB\nc\n")

    found = shown(root, "net.py:7", "data.py", "gone.py")
    assert [(file, line) for file, line, _ in found] == [("net.py", 7), ("data.py", 2)]
    assert found[1][2] == [(1, "", "a"), (0, "-", "b"), (2, "+", "B"), (3, "", "c")]
    (tmp_path.parent / "outside.py").write_text("secret\n")
    (root / "data.py").write_text("a\nb\nc\n")
    assert [file for file, *_ in shown(root, "net.py:7", "data.py")] == ["net.py"]  # which has another name, say
    assert shown(root, "../outside.py:1") == []
    (root / "inner").mkdir()
    assert [file for file, *_ in shown(root / "inner", "../net.py:7")] == ["../net.py"]  # of the same repository
    assert shown(root, "") == []
