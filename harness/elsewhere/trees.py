"""The tree of another commit: checked out beside the user's own, which stays as it is."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from harness.elsewhere.repository import Repository, environment
from harness.errors import TreeError


_VARIABLE = "HARNESS_TREE"
_OUTPUT_LINES = 15
_VENV = Path(".venv", *(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))


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

    @classmethod
    def from_environment(cls) -> Self | None:
        """Return the tree that this process was started to run in; None in an ordinary one."""
        if _VARIABLE not in os.environ:
            return None
        commit, *folders = json.loads(os.environ[_VARIABLE])
        return cls(commit, *map(Path, folders))

    def place(self, path: Path) -> Path:
        """Return what a path of the user's checkout is in this tree; a path from elsewhere is itself."""
        for each in (path, path.resolve()):  # a checkout may be reached by a link, and may hold some
            if each.is_relative_to(self.own) and not each.is_relative_to(self.top):
                return self.top / each.relative_to(self.own)
        return path

    def home(self, path: Path) -> Path:
        """Return what a path of this tree is in the user's checkout; a path from elsewhere is itself."""
        return self.own / path.relative_to(self.top) if path.is_relative_to(self.top) else path

    @property
    def scratch(self) -> Path:
        """Folder of what processes leave that work with the checkout; it is removed with that, after a kill, too."""
        folder = self.top.with_name(f"{self.top.name}.scratch")
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def python(self) -> str:
        """The interpreter that runs this tree's tests: the one that its setup made, or else this process's."""
        made = self.root / _VENV
        return str(made) if os.path.lexists(made) else sys.executable

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs to import this tree's code and not the user's: installed, editable or neither."""
        entries = [Path(entry).absolute() for entry in sys.path if entry]
        own = [there for entry in entries if (there := self.place(entry)) != entry]
        usual = [self.root / "src", self.root]
        places = [str(each) for each in dict.fromkeys([*own, *usual]) if each.is_dir()]
        return {
            "PYTHONPATH": os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PWD": str(self.root),
            _VARIABLE: json.dumps([self.commit, *map(str, (self.top, self.own, self.root))]),
        }

    def set_up(self, command: str, home: Path) -> None:
        """Run the user's command that makes a fresh tree ready for its tests.

        Args:
            command: for the shell, in the project's root.
            home: the same folder of the user's own checkout.

        Raises:
            TreeError: it fails, or makes a Python that cannot be used.
        """
        variables = {name: value for name, value in environment().items() if name != "VIRTUAL_ENV"}
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.root,
            env=variables | {"TRAINING_OWN_TREE": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            lines = done.stdout.decode(errors="replace").splitlines()[-_OUTPUT_LINES:]
            raise TreeError.setup(command=command, status=done.returncode, output="\n".join(lines))
        if self.python != sys.executable:
            asked = [self.python, "-m", "pytest_training_regression"]
            with contextlib.suppress(OSError):  # it is no program
                if not subprocess.run(asked, capture_output=True, check=False).returncode:
                    return
            raise TreeError.no_harness(command=command)


def commit_of(root: Path, revision: str) -> str:
    """Return the whole name of the commit that a revision means in the repository of a project.

    Raises:
        TreeError: there is no git, no repository, or no such commit.
    """
    return Repository.of(root).commit(revision)


def titled(revision: str, commit: str) -> str:
    """Return what a commit is called that a user named: `main (9f8e7d2)`."""
    return commit[:7] if commit.startswith(revision) else f"{revision} ({commit[:7]})"


@contextlib.contextmanager
def tree_of(root: Path, revision: str, setup: str = "") -> Iterator[Tree]:
    """Check a commit out for the length of a block.

    The checkout is in a cache folder; that of a process which was killed is removed by the next.

    Args:
        root: of the project.
        revision: any name that git knows for the commit.
        setup: a command for the shell that makes the tree ready.

    Raises:
        TreeError: there is no such commit, or it cannot be checked out or made ready.
    """
    repository, home = Repository.of(root), root.resolve()
    commit = repository.commit(revision)
    with _room(cache(root) / "trees") as room:
        top = room / (repository.own.name.replace(os.pathsep, "_") or "tree")  # a project may be named by its folder
        try:
            repository.check_out(commit, top)
        except OSError as error:
            raise TreeError.incomplete(commit=commit, path=top, reason=error) from error
        tree = Tree(commit, top, repository.own, top / home.relative_to(repository.own))
        if not tree.root.is_dir():
            raise TreeError.no_folder(revision=revision, folder=home.relative_to(repository.own))
        if setup:
            tree.set_up(setup, home)
        yield tree


def cache(root: Path) -> Path:
    """Return the folder of what is kept of other commits of a project's repository; nobody has made it yet.

    A process that runs in a tree shares that of the user's repository.

    Raises:
        TreeError: there is no git, or no repository.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path("~/.cache").expanduser()
    tree = Tree.from_environment()
    home = tree.own if tree and root.resolve().is_relative_to(tree.top) else root
    key = hashlib.sha256(os.fsencode(Repository.of(home).common)).hexdigest()[:16]
    return Path(base, "training-regression", key).resolve()


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """Make a folder that is this process's alone, and remove it in the end, with all those that nobody holds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _tidied(folder):
            room = Path(tempfile.mkdtemp(dir=folder))
            lock = FileLock(room / "lock")
            lock.acquire()
    except OSError as error:
        raise TreeError.cache(path=folder, reason=error) from error
    try:
        yield room
    finally:
        lock.release()
        with contextlib.suppress(OSError), _tidied(folder):
            pass


@contextlib.contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Remove rooms that no process holds; in the block, nobody else takes one that has no lock yet for such a one."""
    with FileLock(folder / "lock"):
        for room in folder.glob("*/"):
            with contextlib.suppress(Timeout, OSError), FileLock(room / "lock", blocking=False):
                shutil.rmtree(room, ignore_errors=True)
        yield
