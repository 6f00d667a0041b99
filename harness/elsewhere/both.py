"""One test's training at another commit and here, both traced around a divergence."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from harness.elsewhere.rerun import Reruns
from harness.elsewhere.sessions import PLAIN, reason
from harness.elsewhere.trees import Tree
from harness.errors import RerunError, TreeError
from harness.explaining.explanation import Side
from harness.explaining.git import Git
from harness.explaining.traced import Traced
from harness.recording.perturbation import Rerun


class Both:
    """Runs a test in two trees at once.

    Args:
        commit: of one.
        then: runs it there.
        former: its id there.
        now: runs it here.
        test: its id here.
    """

    def __init__(self, commit: str, then: Reruns, former: str, now: Reruns, test: str) -> None:
        self._commit, self._test, self._sides = commit, test, ((then, former), (now, test))

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
            sides = [pool.submit(_side, reruns, test, name, how) for reruns, test in self._sides]
        try:
            then = sides[0].result()
        except RerunError as error:
            why = reason(error.fix)
            raise TreeError.cannot_run(commit=self._commit[:12], test=self._test, reason=why) from error
        return then, sides[1].result()


@contextmanager
def both(tree: Tree, root: Path, test: str) -> Iterator[Both]:
    """Start what runs a test, for the length of a block.

    Args:
        tree: of the commit.
        root: of the project here.
        test: its id.
    """
    former = Git(root).former(tree.commit, test)
    with ExitStack() as stack:
        then = Reruns(tree.root, lambda folder: _arguments(former, folder), "pytest", tree.variables, tree.python)
        now = Reruns(root, lambda folder: _arguments(test, folder), "pytest")
        for reruns in (then, now):
            stack.enter_context(closing(reruns))
        yield Both(tree.commit, then, former, now, test)


def _side(reruns: Reruns, test: str, name: str, how: Rerun) -> Side:
    reran = reruns.run(test, name, how)
    return Side(reran.record, reran.traced or Traced.failed("nothing of it was traced"))


def _arguments(test: str, folder: Path) -> Sequence[str]:
    """Return the arguments of pytest that leave nothing in the project."""
    places = [f"--basetemp={folder / 'tmp'}", f"--junit-xml={folder / 'junit.xml'}", "-o", f"cache_dir={folder}"]
    return [test.partition("::")[0], *PLAIN, "--disable-warnings", *places]
