"""The tree of another commit: checked out beside the user's own, which stays as it is."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import TreeError


_UNTOUCHED = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
"""No server is asked, and what else works in the repository goes on."""
_PLAIN = ("-c", "core.hooksPath=" + os.devnull, "-c", "advice.detachedHead=false", "-c", "core.fsmonitor=false")
_LOCK = ".lock"


@dataclass(frozen=True)
class Tree:
    """A commit's files, checked out.

    Args:
        commit: its whole name.
        top: folder of the checkout.
        own: top folder of the user's own checkout.
        root: of the project in `top`, which may be a folder of the repository.
    """

    commit: str
    top: Path
    own: Path
    root: Path

    def place(self, path: Path) -> Path:
        """Return what a path of the user's checkout is in this tree; a path from elsewhere is itself."""
        return self.top / path.relative_to(self.own) if path.is_relative_to(self.own) else path

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs to import this tree's code and not the user's: installed, editable or neither."""
        entries = [Path(entry).absolute() for entry in sys.path if entry]
        own = [self.place(entry) for entry in entries if entry.is_relative_to(self.own)]
        usual = [self.root / "src", self.root]
        places = [str(each) for each in dict.fromkeys([*own, *usual]) if each.is_dir()]
        return {"PYTHONPATH": os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])}


def commit_of(root: Path, revision: str) -> str:
    """Return the whole name of the commit that a revision means in the repository of a project.

    Raises:
        TreeError: there is no git, no repository, or no such commit.
    """
    name = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", asked=revision)
    return name.strip()


@contextlib.contextmanager
def tree_of(root: Path, revision: str) -> Iterator[Tree]:
    """Check a commit out for the length of a block.

    The checkout is a worktree of the user's repository in a cache folder; that of a process which was killed is
    removed by the next.

    Args:
        root: of the project.
        revision: any name that git knows for the commit.

    Raises:
        TreeError: there is no such commit, or it cannot be checked out.
    """
    commit, own = commit_of(root, revision), _own(root)
    folder = cache(root) / "trees"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_left(own, folder)
        top = Path(tempfile.mkdtemp(prefix=f"{commit[:12]}-", dir=folder))
        lock = FileLock(f"{top}{_LOCK}")
        lock.acquire(timeout=0)
    except OSError as error:
        raise TreeError.cache(path=folder, reason=error) from error
    try:
        _git(own, "worktree", "add", "--detach", "--force", str(top), commit, asked=revision)
        yield Tree(commit, top, own, top / root.resolve().relative_to(own))
    finally:
        _remove(own, top)
        lock.release()


def cache(root: Path) -> Path:
    """Return the folder of what is kept of other commits of a project's repository; nobody has made it yet.

    Raises:
        TreeError: there is no git, or no repository.
    """
    common = _git(root, "rev-parse", "--path-format=absolute", "--git-common-dir", asked="HEAD").rstrip("\n")
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base, "training-regression", hashlib.sha256(os.fsencode(common)).hexdigest()[:16])


def _own(root: Path) -> Path:
    return Path(_git(root, "rev-parse", "--show-toplevel", asked="HEAD").rstrip("\n")).resolve()


def _remove_left(own: Path, folder: Path) -> None:
    """Remove the checkouts that no process holds any more."""
    for lock in folder.glob(f"*{_LOCK}"):
        with contextlib.suppress(Timeout, OSError), FileLock(lock, blocking=False):
            _remove(own, lock.with_suffix(""))


def _remove(own: Path, top: Path) -> None:
    """Remove a checkout, and what git knows of it."""
    with contextlib.suppress(TreeError):
        _git(own, "worktree", "remove", "--force", "--force", str(top), asked="")
    shutil.rmtree(top, ignore_errors=True)
    with contextlib.suppress(TreeError):
        _git(own, "worktree", "prune", asked="")
    Path(f"{top}{_LOCK}").unlink(missing_ok=True)


def _git(folder: Path, *words: str, asked: str) -> str:
    """Return what a git command writes; TreeError if it fails.

    Args:
        folder: to run it in.
        words: of the command.
        asked: the revision that it is about.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's, say
    command = ["git", *_PLAIN, "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=kept | _UNTOUCHED)
    except OSError as error:
        raise TreeError.no_git(reason=error) from error
    except ValueError as error:  # a zero byte
        raise TreeError.unknown(revision=asked, root=folder, reason=error) from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise TreeError.unknown(
            revision=asked, root=folder, reason=reason[-1] if reason else "git knows no such commit"
        )
    return os.fsdecode(done.stdout)
