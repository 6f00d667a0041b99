"""One test's training at another commit and here, both traced around a divergence."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from harness.elsewhere.rerun import Reruns
from harness.elsewhere.sessions import PLAIN
from harness.elsewhere.trees import Tree
from harness.errors import RerunError, TreeError
from harness.explaining.explanation import Side
from harness.explaining.traced import Traced
from harness.recording.perturbation import Rerun


_NONE = re.compile(r"no tests ran|not found|deselected|^=+ \d+ warnings? in", re.MULTILINE)
_FAILURES = (
    re.compile(r"^E +((?:ModuleNotFound|Import)Error: .*)$", re.MULTILINE),
    re.compile(r"^E +(\w.*)$", re.MULTILINE),
)


class Both:
    """Runs a test in two trees at once.

    Args:
        commit: of one.
        test: its id.
        then: runs it there.
        now: runs it here.
    """

    def __init__(self, commit: str, test: str, then: Reruns, now: Reruns) -> None:
        self._commit, self._test, self._then, self._now = commit, test, then, now

    def traced(self, name: str, step: int) -> tuple[Side, Side]:
        """Return the test's training at the commit and here, traced around a step.

        Args:
            name: which of its records is wanted.
            step: of a divergence.

        Raises:
            TreeError: the commit cannot run it.
            RerunError: it left no record here.
        """
        how = Rerun("its operations traced", traces=True, step=step)
        with ThreadPoolExecutor(2) as pool:
            sides = [pool.submit(_side, reruns, self._test, name, how) for reruns in (self._then, self._now)]
        try:
            then = sides[0].result()
        except RerunError as error:
            reason = _reason(error.fix)
            raise TreeError.cannot_run(commit=self._commit[:12], test=self._test, reason=reason) from error
        return then, sides[1].result()


@contextmanager
def both(tree: Tree, root: Path, test: str) -> Iterator[Both]:
    """Start what runs a test, for the length of a block.

    Args:
        tree: of the commit.
        root: of the project here.
        test: its id.
    """
    file = test.partition("::")[0]
    with ExitStack() as stack:
        then = Reruns(tree.root, lambda folder: _arguments(file, folder), "pytest", tree.variables, tree.python)
        now = Reruns(root, lambda folder: _arguments(file, folder), "pytest")
        for reruns in (then, now):
            stack.enter_context(closing(reruns))
        yield Both(tree.commit, test, then, now)


def _side(reruns: Reruns, test: str, name: str, how: Rerun) -> Side:
    reran = reruns.run(test, name, how)
    return Side(reran.record, reran.traced or Traced.failed("nothing of it was traced"))


def _arguments(file: str, folder: Path) -> Sequence[str]:
    """Return the arguments of pytest that leave nothing in the project."""
    places = [f"--basetemp={folder / 'tmp'}", f"--junit-xml={folder / 'junit.xml'}", "-o", f"cache_dir={folder}"]
    return [file, *PLAIN, "--disable-warnings", *places]


def _reason(output: str) -> str:
    """Return what the output of a run that left no record says of it."""
    for failure in _FAILURES:
        if found := failure.search(output):
            return found[1]
    return "it has no such test" if _NONE.search(output) else output.splitlines()[-1]
