"""Generated sessions: tests that check all that they own, some of it, twice, in threads, skip, fail, are deselected.

What each must come to is computed here, from what its tests do, and held against its exit status, its summary, its
results and its ledger. `python -m tests.sessions` runs 200 of them, every eighth with two workers; the suite a few.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.baselines.store import baseline_name, save_baseline
from harness.record import Baseline, Stream
from tests.test_record import record_of


NAMES = ("one", "two")
"""Of the records of each test."""
WAYS = {
    "all": "for name in NAMES: check(name)",
    "some": "check('one')",
    "none": "pass",
    "twice": "for name in (*NAMES, 'one'): check(name)",
    "twice, swallowed": "for name in (*NAMES, 'one'): suppress(check, name)",
    "swallowed": "for name in NAMES: suppress(check, name)",
    "threads": "in_threads(check)",
    "skips": "pytest.skip('no time')",
    "skips midway": "check('one'); pytest.skip('no time')",
    "fails": "assert False",
    "fails midway": "check('one'); assert False",
    "exits": "check('one'); pytest.exit('enough', returncode=0)",
    "expected to fail": "for name in NAMES: check(name)",
    "teardown": "at_end(check)",
}
"""What the body of a test does, by name."""
_HEAD = """
import threading
from pathlib import Path

import pytest

from harness import Record

NAMES = ("one", "two")


def suppress(call, *given):
    try:
        call(*given)
    except BaseException:
        pass


def in_threads(check):
    for name in NAMES:
        thread = threading.Thread(target=suppress, args=(check, name))
        thread.start()
        thread.join()


@pytest.fixture
def at_end():
    checks = []
    yield checks.append
    for check in checks:
        for name in NAMES:
            check(name)
"""
_TEST = """
{mark}def test_{number}(training_regression, at_end):
    def check(name):
        text = Path({folder!r}, "changed" if name in {changed} else "same").read_text()
        training_regression.check(Record.from_text(text), name=name)
    {body}
"""


@dataclass(frozen=True)
class Test:
    """A test: what it does, which of its records are other than their baselines, and which have none."""

    way: str
    changed: frozenset[str]
    missing: frozenset[str]

    @property
    def checked(self) -> tuple[str, ...]:
        """Names that are held against their baselines, in order; a check that fails ends most tests."""
        names = {
            **dict.fromkeys(("some", "skips midway", "fails midway", "exits"), NAMES[:1]),
            **dict.fromkeys(("none", "skips", "fails"), ()),
        }.get(self.way, NAMES)
        goes_on = self.way in ("twice, swallowed", "swallowed", "threads")
        stops = next((i for i, name in enumerate(names) if name in self.changed | self.missing), len(names))
        return names if goes_on else names[: stops + 1]

    @property
    def is_red(self) -> bool:
        """Whether a check of it fails, or is made twice."""
        ends = bool(self.changed & {*self.checked} or self.missing & {*self.checked})
        return ends or self.way in ("twice", "twice, swallowed")

    @property
    def outcome(self) -> str:
        """What pytest says of it."""
        raises = self.is_red and self.way not in ("twice, swallowed", "swallowed", "threads")
        if self.way == "expected to fail":
            return "expected" if raises else "passed"
        if raises or self.way.startswith("fails"):
            return "failed"
        return "skipped" if self.way.startswith("skips") else "passed"

    def fate(self, name: str) -> str:
        """What becomes of the baseline of a record when this test runs; empty if there is none."""
        if name in self.checked:
            return "not compared" if name in self.missing else "compared"
        if name in self.missing:
            return ""
        return "skipped" if self.outcome == "skipped" else "not reached"


@dataclass(frozen=True)
class Session:
    """A run of pytest: its tests, which of them `-k` leaves, and what is asked for."""

    tests: tuple[Test, ...]
    deselected: frozenset[int]
    option: str  # "", "CI" or "strict"
    workers: int

    @property
    def ran(self) -> list[int]:
        """Numbers of the tests that run: none after one that ends the session."""
        chosen = [number for number in range(len(self.tests)) if number not in self.deselected]
        ends = [n for n in chosen if self.tests[n].way == "exits" and not self.tests[n].is_red]
        return [number for number in chosen if number <= (ends[0] if ends else len(self.tests))]

    def fates(self) -> dict[str, str]:
        """Name of each baseline to what becomes of it."""
        found = {}
        for number, test in enumerate(self.tests):
            for name in NAMES:
                stands = name not in test.missing
                if number in self.ran:
                    fate = test.fate(name)
                else:
                    fate = ("deselected" if number in self.deselected else "not reached") if stands else ""
                if fate:
                    found[f"{_name(number)},{name}.json"] = fate
        return found

    @property
    def is_green(self) -> bool:
        """Whether the session may end well."""
        tests = [self.tests[number] for number in self.ran]
        fates = {*self.fates().values()}
        unjudged = "not reached" in fates and self.option
        nothing = fates and fates <= {"skipped", "deselected"} and self.option == "strict"
        return not any(test.is_red or test.outcome == "failed" for test in tests) and not (unjudged or nothing)

    def counted(self) -> str:
        """The summary's line on baselines."""
        fates = [*self.fates().values()]
        words = ("not reached", "not compared", "skipped", "deselected")
        rest = [f"{fates.count(word)} {word}" for word in words if word in fates]
        noun = "baseline" if len(fates) == 1 else "baselines"
        return ", ".join([f"{fates.count('compared')} of {len(fates)} {noun} compared", *rest])


def _name(number: int) -> str:
    return baseline_name(f"test_generated.py::test_{number}")


def write(session: Session, folder: Path) -> list[str]:
    """Write a session's project; return pytest's arguments."""
    records = {
        word: record_of({"loss": Stream("forward", (0, 1), (2.0, loss))})
        for word, loss in (("same", 1.0), ("changed", 1.5))
    }
    for word, record in records.items():
        (folder / word).write_text(record.to_text())
    parts = [_HEAD]
    for number, test in enumerate(session.tests):
        for name in NAMES:
            if name not in test.missing:
                save_baseline(folder / "baselines" / f"{_name(number)},{name}.json", Baseline(records["same"]))
        mark = "@pytest.mark.xfail(strict=False)\n" if test.way == "expected to fail" else ""
        body, changed = WAYS[test.way], {*test.changed}
        parts.append(_TEST.format(mark=mark, number=number, folder=str(folder), changed=changed or "()", body=body))
    (folder / "test_generated.py").write_text("".join(parts))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = ignore\n")
    left = [f"test_{number}" for number in range(len(session.tests)) if number not in session.deselected]
    return [
        "--mpl",
        *(["--training-strict"] if session.option == "strict" else []),
        *(["-k", " or ".join(left) or "nothing"] if session.deselected else []),
        *(["-n", str(session.workers)] if session.workers else []),
    ]


def disagreements(session: Session, folder: Path, status: int, printed: str) -> list[str]:
    """Return where exit status, summary, results and ledger of a session are not what its tests did."""
    from harness.report.json_form import read

    fates, found = session.fates(), []
    if not session.ran and not fates:
        return found
    if session.is_green != (status in (0, 5)):
        found.append(f"exit status {status}, though it is {'green' if session.is_green else 'red'}")
    if fates and session.counted() not in printed.splitlines():
        found.append(f"no line {session.counted()!r}")
    results = read(folder / "build/harness/results.json")
    ledger = {entry.baseline: entry.fate for entry in results.ledger.baselines}
    if ledger != fates:
        found.append(f"ledger {ledger}, in truth {fates}")
    red = {finding.baseline for finding in results.results if not finding.passed}
    truly = {
        f"{_name(number)},{name}.json"
        for number in session.ran
        for name in session.tests[number].checked
        if name in session.tests[number].changed | session.tests[number].missing
    }
    if red != truly:
        found.append(f"failed findings {red}, in truth {truly}")
    return found


def drawn(source: random.Random, workers: int = 0) -> Session:
    """Return a session that is drawn at random; one that ends early has no workers, whose order nobody knows."""
    ways = [way for way in WAYS if way != "exits" or not workers]
    tests = tuple(
        Test(
            source.choice(ways),
            frozenset(name for name in NAMES if source.random() < 0.15),
            frozenset(name for name in NAMES if source.random() < 0.1),
        )
        for _ in range(source.randint(1, 3))
    )
    deselected = frozenset(number for number in range(len(tests)) if source.random() < 0.15)
    return Session(tests, deselected, source.choice(["", "CI", "strict"]), workers)


def main(count: int = 200) -> int:
    """Run sessions in processes of their own; print those that do not tell one story."""
    wrong = 0
    for seed in range(count):
        session = drawn(random.Random(seed), 2 if seed % 8 == 0 else 0)
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *write(session, Path(place))]
            variables = {**os.environ, "CI": "1" if session.option == "CI" else ""}
            done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
            found = disagreements(session, Path(place), done.returncode, done.stdout)
        if found:
            wrong += 1
            print(json.dumps({"seed": seed, "session": str(session), "found": found}, indent=1))
    print(f"{count} sessions, {wrong} of which do not tell one true story")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
