"""Promises of the study of what red names (`python -m tests.study.named`): its rule is strict, and two faults pass."""

import pytest

from harness.comparing import variants
from tests.plugin.conftest import measured_thresholds, project  # noqa: F401 - fixtures
from tests.study import named, table
from tests.study.faults import FAULTS
from tests.study.named import Named
from tests.study.runs import Variant


_SIZES = '"epochs": 4, "train_images": 108, "test_images": 150', '"epochs": 2, "train_images": 28, "test_images": 30'
SMALL = named.SETTINGS.replace(*_SIZES)
HEADLINE = "training differs from its baseline from step 0 on: "
INSERTED = Variant.of(
    "X01", "", "                loss.backward()\n", "                loss.backward()\n                1\n"
)


def fault(id):
    """A fault by its id."""
    return next(fault for fault in FAULTS if fault.id == id)


@pytest.mark.parametrize(
    ("edit", "lines"),
    [
        (fault("A02"), {90}),
        (INSERTED, {186}),
        (fault("O01"), {178, 179}),  # taken out: the lines around it
        (fault("A16"), {80, 81, 82}),
    ],
)
def test_edited_lines_are_those_of_the_edited_text(edit, lines):
    """Of a line taken out, its neighbours."""
    assert named.edited_lines(edit) == lines


@pytest.mark.parametrize(
    ("id", "text", "by"),
    [
        ("A02", "forward, loss\n  where      program.py:92 in Net.forward", "line"),
        ("A02", "forward, loss\n  where      program.py:93 in Net.forward", ""),
        ("A02", "forward, loss\n  where      settings.py:90 in Net.forward", ""),
        ("A02", "forward, loss\n  blame      program.py:90", ""),
        ("O05", "schedule, momentum of c1.weight\n  first      step 0   baseline 0.9   now 0.89", "constant"),
        ("O05", "update, update of c1.weight\n  first      step 0   baseline 0.9   now 0.89", ""),
        ("O05", "schedule, momentum of c1.weight\n  first      step 0   baseline 0.9   now 0.8", ""),
    ],
)
def test_a_fault_counts_as_named_by_its_line_or_its_constant_alone(id, text, by):
    """Not by a line of another file or three lines off, nor by `blame`, nor by what a constant moves."""
    assert Named(fault(id), HEADLINE + text).by == by


def test_every_constant_is_a_fault_s():
    """A misspelt id would count nothing."""
    assert named.CONSTANTS.keys() <= {fault.id for fault in FAULTS}


@pytest.mark.long  # tests/plugin/test_where.py has one of them
def test_two_faults_are_named(project, measured_thresholds, pytester, monkeypatch):  # noqa: F811
    """A constant and an activation, in a project with a decoy edit."""
    monkeypatch.setattr(variants, "DRAWS", variants.DRAWS[:1])
    for name in ("require_repeatable", "require_same"):
        monkeypatch.setattr(f"harness.comparing.calibrating.{name}", lambda record, rerun, states=None: None)

    def main(*options, plugins):
        return pytester.inline_run(*options, plugins=plugins).ret

    (project.path / "test_gate.py").unlink()
    named.make_project(project.path, main, SMALL)
    found = [Named(fault(id), named.planted(project.path, fault(id), main)) for id in ("O05", "A02")]

    assert all(one.by for one in found), "\n".join(one.text for one in found)


@pytest.mark.long
def test_most_faults_are_named():
    """At least 70 % of all."""
    found = [bool(one.by) for one in named.judged(FAULTS, jobs=2)]

    assert sum(found) / len(found) >= 0.7, table.interval(sum(found), len(found))
