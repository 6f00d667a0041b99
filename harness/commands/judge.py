"""One commit's trainings, held against those of another in its own tree: what a search asks at each step."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import msgspec

from harness.atomic_files import read, write
from harness.elsewhere import sessions
from harness.elsewhere.asked import Asked
from harness.elsewhere.kept import Kept, surroundings
from harness.elsewhere.lending import contents, files_of
from harness.elsewhere.trees import tree_of
from harness.errors import TreeError
from harness.explaining.git import Git
from harness.report import json_form
from harness.report.json_form import Results


_APART = dict.fromkeys(("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"), "")
"""Variables of a session that only looks."""
_OUTPUT = ".training-regression-output"
"""Folder of a tree for what its session leaves."""


class Judged(msgspec.Struct, frozen=True):
    """What became of a commit's trainings."""

    verdict: Literal["same", "different", "not judged", "not run"]  # on all of them
    differing: list[tuple[str, str, str]] = []  # test, file of the baseline and message of each that differs
    lent: list[str] = []  # today's test files, which the commit lacks
    reason: str = ""  # why it could not be judged


@dataclass(frozen=True)
class Judge:
    """Holds commits against one."""

    root: Path  # of the project
    good: str  # the commit whose trainings are the measure
    title: str  # what that is called
    tests: Sequence[str]  # pytest's ids or files, from the root; without any, all of the project
    setup: str = ""  # a command for the shell that makes a tree ready
    names: frozenset[str] = frozenset()  # files of the baselines that count; without any, all that can be compared

    def narrowed(self, judged: Judged) -> Self:
        """Return a judge of what a commit differs in alone: the only tests that others have to run."""
        tests, names, _ = zip(*judged.differing, strict=True)
        return replace(self, tests=sorted({*tests}), names=frozenset(names))

    def judged(self, commit: str) -> tuple[Judged, bool]:
        """Return what becomes of a commit's trainings, and whether that was known.

        It is kept, but of a commit that could not run, which may be able to now.
        """
        asked = [*self.tests, *sorted(self.names), *contents(self.root, files_of(self.tests))]
        kept = Kept.of(self.root, commit, ["judged", self.good, self.setup, surroundings(), *asked])
        place = kept.folder / "judged.json"
        with kept.alone():
            if place.exists():
                return msgspec.json.decode(read(place), type=Judged), True
            judged = self._judged(commit)
            if judged.verdict != "not run":
                write(place, msgspec.json.encode(judged))
        return judged, False

    def _judged(self, commit: str) -> Judged:
        """Run the tests in the commit's tree, where their files may have other names."""
        git = Git(self.root)
        tests = {git.former(commit, test): test for test in self.tests}
        asked = Asked(against=self.title, root=str(self.root.absolute()), lent=files_of(tests), costs=False)
        try:
            with tree_of(self.root, commit, self.setup) as tree:
                lent, output = asked.lend(tree), tree.top / _OUTPUT
                setup = [f"--training-setup={self.setup}"] if self.setup else []
                given = [f"--training-output={output}", *setup, *tests]
                done = sessions.held(tree, self.root, self.good, given, {**asked.variables, **_APART})
                printed = done.stdout.replace(f"{tree.root}{os.sep}", "")
                found = self._verdict(json_form.left(output), printed)
        except TreeError as error:
            return Judged("not run", reason=error.what)
        differing = [(tests.get(test, test), file, text) for test, file, text in found.differing]
        return msgspec.structs.replace(found, differing=differing, lent=lent)

    def _verdict(self, results: Results | None, printed: str) -> Judged:
        """Return what a session means for the baselines that count."""
        if results is None:
            return Judged("not run", reason=sessions.reason(printed))
        if problems := results.ledger.problems:  # what was compared may not be this commit's
            return Judged("not run", reason=problems[0])
        trained = [each for each in results.results if each.training]
        found = [each for each in trained if not self.names or each.baseline in self.names]
        if differing := [(each.test, each.baseline, each.text) for each in found if each.verdict == "different"]:
            return Judged("different", differing)
        compared, gone = {each.baseline for each in found}, results.ledger.vanished
        if gone or not compared or self.names - compared:
            said = [each.reason for each in results.ledger.entries if each.fate == "not compared" and each.reason]
            said += [f"{test} is not there any more" for test in gone]
            said += [f"{self.title} has no {each.test}" for each in results.ledger.entries if each.fate == "new"]
            return Judged("not run", reason=[*said, sessions.reason(printed)][0])
        unjudged = [each.text.partition("\n")[0] for each in found if not each.is_judged]
        return Judged("not judged" if unjudged else "same", reason="".join(unjudged[:1]))
