"""Which commit began it: the search of `git bisect`, which leaves nothing in the repository.

git keeps the state of a bisect in the user's repository, where he may be in one of his own; here it is four variables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.baselines.origin import git_output
from harness.errors import TreeError
from harness.explaining.git import Commit, Git


_SECONDS = 100.0
"""That git may take for a question: half of a long history is some seconds away."""

Differs = Callable[[str], bool | None]
"""Whether a commit's training differs; None if that cannot be said."""


@dataclass(frozen=True)
class History:
    """The commits of a repository.

    Args:
        root: of the project.
        first_parent: whether what merges brought is left out.
    """

    root: Path
    first_parent: bool = False

    def between(self, bad: str, goods: Iterable[str], *order: str) -> list[str]:
        """Return the commits that are in a commit and in none of others.

        Args:
            bad: the commit, which is one of them.
            goods: the others.
            order: git's option for it.
        """
        line = ["--first-parent"] if self.first_parent else []
        return [each.split()[0] for each in self._ask("rev-list", *order, *line, bad, "--not", *goods).splitlines()]

    def forks(self, one: str, other: str) -> list[str]:
        """Return the best common ancestors of two commits; the one itself, if it is an ancestor of the other."""
        return self._ask("merge-base", "--all", one, other).split()

    def parents(self, commit: str) -> list[str]:
        """Return the commits that a commit was made from, as far as they count."""
        found = self._ask("show", "--no-patch", "--format=%P", commit).split()
        return found[:1] if self.first_parent else found

    def about(self, commit: str) -> Commit:
        """Return what a person needs to know of a commit."""
        found = Git(self.root, _SECONDS).about(commit)
        assert found, "git has named it"
        return found

    def _ask(self, *words: str) -> str:
        """Return git's answer; empty where it has none."""
        return (git_output(self.root, *words, seconds=_SECONDS) or b"").decode("utf-8", "replace")


def check_related(history: History, good: str, bad: str, differs: Differs) -> None:
    """Check that what a commit has and another has not can have begun since they parted, as git bisect does.

    Args:
        history: of both.
        good: whose training is the measure.
        bad: whose training is another.
        differs: judges a commit.

    Raises:
        TreeError: they have no common ancestor, or its training is another than that of the good one, too.
    """
    forks = history.forks(good, bad)
    if not forks:
        raise TreeError.unrelated(good=good, bad=bad)
    for fork in forks:
        if fork != good and differs(fork):
            raise TreeError.changed_aside(good=good, bad=bad, fork=fork)


def first_differing(history: History, good: str, bad: str, differs: Differs) -> list[str]:
    """Return the first commit whose training differs; several, if those that cannot be judged may be it, too.

    After a commit that cannot be judged, one further away is tried: what breaks one breaks its neighbours.

    Args:
        history: to search.
        good: whose training is the measure.
        bad: whose training is another.
        differs: judges a commit.
    """
    goods, tried, in_a_row = [good], {bad}, 0
    while left := [each for each in history.between(bad, goods, "--bisect-all") if each not in tried]:
        commit = left[min(2**in_a_row, len(left)) - 1]
        tried.add(commit)
        answer = differs(commit)
        in_a_row = in_a_row + 1 if answer is None else 0
        if answer:
            bad = commit
        elif answer is not None:
            goods.append(commit)
    return history.between(bad, goods, "--reverse")


def differed_before(history: History, good: str, first: str, differs: Differs) -> bool:
    """Tell whether the first commit is that of a branch which left before the good one, and differed there already."""
    parents = history.parents(first)
    return good not in parents and all(differs(parent) for parent in parents)
