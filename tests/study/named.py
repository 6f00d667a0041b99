"""Does a red test name what was edited? Every fault, planted in a project as a user has one: what pytest says of it.

`python -m tests.study.named` trains the program as a module of a small project, with a decoy edit in another file;
with `--explain` the edits are a commit, and what `harness explain` prints counts.
"""

import argparse
import contextlib
import difflib
import hashlib
import io
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness import commands
from harness.elsewhere.rerun import Reruns
from tests.study import table
from tests.study.benign import BENIGN
from tests.study.faults import FAULTS
from tests.study.runs import FOLDER, REFERENCE, ROOT, Variant, edited


NEAR_ENOUGH = 2
"""Lines that a named line may be off the edited ones."""
SETTINGS = """\
# How the program is trained here.
SHORT = {"data": "synthetic", "epochs": 4, "train_images": 108, "test_images": 150, "bs": 16, "micro": 8}
LOG_EVERY = 10
"""
"""28 steps with everything in them: partial batches and micro-batches, a resume at step 14, four evaluations."""
DECOY = {"# How the program is": "# The program as it is", "LOG_EVERY = 10": "LOG_EVERY = 20"}
"""Edits of the settings that are to blame for nothing."""
TEST = """\
import program
import settings


def test_program(training_regression):
    training_regression.check(program.train(**settings.SHORT))
"""
CONSTANTS = {
    "D07": r"STD.*0\.229",
    "A06": r"padding",
    "A08": r"eps.*0\.001",
    "A10": r"momentum.*0\.01",
    "A16": r"\bc4\b.*\b47\b",
    "O03": r"0\.0525",
    "O05": r"momentum.*0\.89",
    "O07": r"dampening.*0\.9|nesterov.*False",
    "O09": r"weight.decay.*0\.0005",
    "O11": r"weight.decay.*now 0(\.0)?(?![.\d])",
    "O17": r"\bfc\.bias\b",
    "O19": r"\bb1\.(weight|bias)\b",
    "O25": r"weight.decay.*now 0(\.0)?(?![.\d])",
    "M02": r"mode.*training",
}
"""What says the constant that a fault edits: its name, then its new value; of structure, the tensor; the mode."""

Main = Callable[..., Any]
"""Runs pytest: takes options and plugins."""


@dataclass(frozen=True)
class Named:
    """What a red test said of a fault.

    Args:
        fault: what was edited.
        text: of the failure; empty if the test passed.
    """

    fault: Variant
    text: str

    @property
    def headline(self) -> str:
        """The first line."""
        return self.text.partition("\n")[0].removeprefix("training differs from its baseline ")

    def row(self, label: str) -> str:
        """Return what a labelled row says; empty if there is none."""
        found = re.search(rf"^  {label} +(.*)$", self.text, re.MULTILINE)
        return found[1] if found else ""

    @property
    def by(self) -> str:
        """What names the edit: "line", "constant", or nothing."""
        said = "\n".join([self.headline, self.row("where"), self.row("first")])
        now, former = (
            said + "\n".join(map(self.row, ("now", "runs now"))),
            "\n".join(map(self.row, ("then", "ran then"))),
        )
        if _names(now, edited_lines(self.fault)) or _names(former, edited_lines(self.fault, former=True)):
            return "line"
        constant = CONSTANTS.get(self.fault.id)
        return "constant" if constant and re.search(constant, said, re.DOTALL) else ""


def _names(text: str, lines: set[int]) -> bool:
    """Tell whether a text names one of the lines of the program."""
    named = [int(number) for number in re.findall(r"\bprogram\.py:(\d+)", text)]
    return any(abs(number - line) <= NEAR_ENOUGH for number in named for line in lines)


def edited_lines(fault: Variant, *, former: bool = False) -> set[int]:
    """Return the numbers of the lines that a fault changes, in its own text; of those taken out, their neighbours.

    Or in the former text, if wanted.
    """
    before, after = (edited(variant).splitlines() for variant in (REFERENCE, fault))
    texts = (after, before) if former else (before, after)
    blocks = difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes()
    ranges = [
        (start, end) if end > start else (start - 1, start + 1) for tag, *_, start, end in blocks if tag != "equal"
    ]
    return {number + 1 for start, end in ranges for number in range(start, end)}


class Report:
    """A plugin that keeps the text of a failure."""

    text = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of a test."""
        if report.failed:
            self.text = report.longreprtext


def make_project(folder: Path, main: Main, settings: str = SETTINGS) -> None:
    """Write the project, generate its baseline, and commit both."""
    for name, text in {"program": edited(REFERENCE), "settings": settings, "test_program": TEST}.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    _commit(folder, "A training")
    failure(folder, main, "--mpl-generate-path=baselines")
    _commit(folder, "Its baseline")


def _commit(folder: Path, message: str) -> None:
    identity = ["-c", "user.name=user", "-c", "user.email=user@example.org"]
    for command in (["add", "."], [*identity, "commit", "-qm", message]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def planted(folder: Path, variant: Variant, main: Main) -> str:
    """Return the failure of a project whose program was edited, and another file beside it."""
    (folder / "program.py").write_text(edited(variant), encoding="utf-8")
    settings = (folder / "settings.py").read_text(encoding="utf-8")
    for old, new in DECOY.items():
        settings = settings.replace(old, new)
    (folder / "settings.py").write_text(settings, encoding="utf-8")
    return failure(folder, main, "--mpl")


def explained(folder: Path, variant: Variant, main: Main) -> str:
    """Return what is explained of a project whose program was edited in a commit."""
    planted(folder, variant, main)
    _commit(folder, variant.what)
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        status = commands.main(["explain"])
    return printed.getvalue() if status else ""


def failure(folder: Path, main: Main, *options: str) -> str:
    """Run the project's test; return the text of its failure, empty if it passed."""
    report, printed = Report(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        status = main(
            *options, "-p", "no:randomly", "-p", "no:rerunfailures", "-p", "no:cacheprovider", plugins=[report]
        )
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest {' '.join(options)} ended with {status}:\n{printed.getvalue()[-2000:]}")
    return report.text


def in_this_process(*options: str, plugins: Sequence[object]) -> int:
    """Run pytest here, as often as one likes: it imports the project's modules anew each time."""
    known, places = set(sys.modules), list(sys.path)
    try:
        return int(pytest.main([*options], plugins=[*plugins]))
    finally:
        sys.path[:] = places
        for name in ("program", "settings", "test_program"):
            if name not in known:
                sys.modules.pop(name, None)


EXPLAINED = "-explained.txt"


def kept(variant: Variant, suffix: str = ".txt") -> Path:
    """Return the file of a failure, which is there once the fault was planted in this version of the harness."""
    parts = [edited(variant), SETTINGS, TEST]
    parts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / "harness").rglob("*.py"))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return FOLDER / f"named-{variant.id}-{key}{suffix}"


def main() -> int:
    """Plant what is missing and print; return 1 if a benign change alarms."""
    parser = argparse.ArgumentParser(prog="python -m tests.study.named", description=__doc__)
    parser.add_argument("--benign", action="store_true", help="the benign changes instead, which must not alarm")
    parser.add_argument("--explain", action="store_true", help="what `harness explain` prints, instead of the failure")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="projects at a time (default: 2)")
    options = parser.parse_args()
    here = [variant for variant in BENIGN if not variant.environment]
    variants = [v for v in (here if options.benign else FAULTS) if not options.only or v.id in options.only]
    found = judged(variants, options.jobs, EXPLAINED if options.explain else ".txt")
    print("\n".join(alarms(found) if options.benign else parts(found)))
    return int(options.benign and any(one.text for one in found))


def judged(variants: Sequence[Variant], jobs: int, suffix: str = ".txt") -> list[Named]:
    """Return what is said of each variant; what is not kept yet is planted in some processes, a project each."""
    if missing := [variant for variant in variants if not kept(variant, suffix).exists()]:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # an edit within a second would meet the old bytecode
        with tempfile.TemporaryDirectory() as folder:
            _plant_all(missing, jobs, Path(folder), suffix)
    return [Named(variant, kept(variant, suffix).read_text(encoding="utf-8")) for variant in variants]


def _plant_all(variants: Sequence[Variant], jobs: int, folder: Path, suffix: str) -> None:
    context, began = multiprocessing.get_context("spawn"), time.perf_counter()
    if not kept(REFERENCE, "").exists():
        with ProcessPoolExecutor(1, context, _share_reruns, [folder]) as pool:
            pool.submit(_keep_project, folder / "first").result()
    with ProcessPoolExecutor(jobs, context, _prepare, [folder]) as pool:
        for number, variant in enumerate(pool.map(partial(_plant, suffix), variants), 1):
            seconds = time.perf_counter() - began
            print(f"[{number}/{len(variants)}] {seconds:.0f} s, {variant.id}", file=sys.stderr, flush=True)


def _share_reruns(folder: Path) -> None:
    """Give this process one process for the reruns of all its sessions."""
    shared, request, alone = Reruns(folder, list, "pytest"), Reruns._request, threading.Lock()

    def one_by_one(self: Reruns, order: str, chosen: object) -> str:
        with alone:
            return request(shared, order, ())

    Reruns._request = one_by_one  # type: ignore[method-assign]


def _keep_project(folder: Path) -> None:
    """Keep the project and its baseline, which take as long as many faults."""
    folder.mkdir()
    make_project(folder, in_this_process)
    shutil.copytree(folder, kept(REFERENCE, ""))


def _prepare(folder: Path) -> None:
    global _PROJECT
    _share_reruns(folder)
    _PROJECT = Path(shutil.copytree(kept(REFERENCE, ""), folder / str(os.getpid())))


_PROJECT = Path()
"""Of this process."""


def _plant(suffix: str, variant: Variant) -> Variant:
    say = explained if suffix == EXPLAINED else planted
    kept(variant, suffix).write_text(say(_PROJECT, variant, in_this_process), encoding="utf-8")
    return variant


def alarms(found: Sequence[Named]) -> Iterator[str]:
    """Yield the texts of the benign changes that alarm, and how many do."""
    texts = [f"{one.fault.id}, {one.fault.what}, alarms:\n{one.text}" for one in found if one.text]
    yield from [*texts, f"{len(texts)} of {len(found)} benign changes alarm."]


def parts(found: Sequence[Named]) -> Iterator[str]:
    """Yield the share that is named, and one line a fault."""
    named = [bool(one.by) for one in found]
    low, high = table.interval(sum(named), len(named))
    yield f"Named: {sum(named)} of {len(named)}, {sum(named) / len(named):.0%} ({low:.0%} to {high:.0%}).\n"
    rows = ([one.fault.id, one.fault.what, one.headline or "passes", one.row("where"), one.by or "no"] for one in found)
    yield table.in_columns(["id", "fault", "first line, training differs ...", "where", "named by"], rows)


if __name__ == "__main__":
    raise SystemExit(main())
