"""Promises of lines beside the one that differs: what was made as the project was imported, and what is gone."""

import linecache

import pytest

from harness.explaining.edited import edited
from harness.explaining.lines import statements
from harness.explaining.related import related
from harness.explaining.traced import Operation, Part, Place, Traced
from harness.explaining.where import Where
from harness.report.where_text import edited_text
from tests.test_explain import changes


DATA = """\
import torch
from drawn import draw as drawn

def points(count):
    return drawn(3, count)

RAW = points(24)
POINTS = RAW / RAW.std()
POINTS[0] = 1
torch.manual_seed(11)
OTHER = drawn(5)
"""
LOOP = """\
from data import POINTS

def batches():
    for x in POINTS.split(8):
        yield x

def train():
    draw()
    for x in batches():
        step(x)
"""


def said(folder, line, edits, found=True, **differs):
    """What is said of edits of the data and the loop, where an operation of a line of the loop differs, or none."""
    texts = {"data.py": DATA, "loop.py": LOOP}
    hunks = []
    for file, *pair in edits:
        now = texts[file].replace(*pair)
        hunks += changes(texts[file], now, file, around=0).hunks
        texts[file] = now
    for name, text in texts.items():
        (folder / name).write_text(text)
    linecache.clearcache()
    statements.cache_clear()
    operation = Operation("aten.split", 1.0, (), (Place("loop.py", line, "batches"),), None, False)
    where = Where(
        operation, "aten.split", **{"gone": False, "number": 2.0, "constants": (), "returned": None} | differs
    )
    traced = Traced("", {"start": Part(0, [operation])}, {})
    spans = related(folder, [*texts], where if found else None, traced)
    edit = edited(hunks, [], (), where.operation.places if found else (), spans)
    return edit and edited_text(edit, "", "")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("points(24)", "points(25)", 7),
        ("RAW.std()", "RAW.max()", 8),
        ("POINTS[0]", "POINTS[1]", 9),
        ("drawn(3,", "drawn(4,", 5),
        ("seed(11)", "seed(12)", 10),
        ("drawn import draw as", "more import draw as", 2),
    ],
)
def test_an_edited_line_is_told_that_makes_what_differs_as_the_project_is_imported(tmp_path, old, new, line):
    """The value's own, or one of what it is made of, whether the line that uses it is known or only its function."""
    told = f"{'after' if 'seed' in old else 'POINTS is made with'} data.py:{line}, which was edited"

    assert said(tmp_path, 4, [("data.py", old, new)]) == told
    assert said(tmp_path, 4, [("data.py", old, new)], found=False) == told


@pytest.mark.parametrize(("gone", "line"), [("RAW = points(24)\n", 6), ("torch.manual_seed(11)\n", 9)])
def test_a_line_that_made_something_and_is_gone_is_told(tmp_path, gone, line):
    """By the one before it, in its file as it is now."""
    assert said(tmp_path, 4, [("data.py", gone, "")]) == f"lines are gone behind data.py:{line}"


def test_what_makes_something_else_is_not_told(tmp_path):
    """Nor one of two edits, nor any where the line uses no such value, is edited itself, or runs another operation."""
    other, own = ("data.py", "drawn(5)", "drawn(6)"), ("data.py", "points(24)", "points(25)")

    assert said(tmp_path, 4, [other]) is said(tmp_path, 4, [other], found=False) is None
    assert said(tmp_path, 4, [other, own]) == "POINTS is made with data.py:7, which was edited"
    assert said(tmp_path, 4, [own, ("data.py", "RAW.std()", "RAW.max()")]) is None
    assert said(tmp_path, 10, [own]) is said(tmp_path, 10, [own], found=False) is None
    assert said(tmp_path, 4, [own, ("loop.py", "split(8)", "split(9)")]) is None
    assert said(tmp_path, 4, [own], number=None) is None


def test_where_an_operation_is_gone_the_edited_line_of_that_function_is_told(tmp_path):
    """Baselines know no lines: the one named is only near to where the operation was. A line of its own is enough."""
    edit = ("loop.py", "    draw()\n", "    pass\n")
    gone = {"gone": True, "number": None}

    assert said(tmp_path, 10, [edit], **gone) == "beside loop.py:8, which was edited"
    assert said(tmp_path, 9, [("loop.py", "    draw()\n", "")], **gone) == "lines are gone behind loop.py:7"
    assert said(tmp_path, 4, [edit], **gone) is said(tmp_path, 8, [edit], **gone) is None
