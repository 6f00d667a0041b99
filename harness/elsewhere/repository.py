"""The user's repository, which is only read, and checkouts beside it that borrow its objects.

A checkout is a small repository of its own: not even a registration, as `git worktree` makes one, is written to the
user's, so a process may be killed at any moment. Nothing is asked of a server.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.errors import TreeError


_OF_A_REPOSITORY = ("ALTERNATE_OBJECT_DIRECTORIES", "COMMON_DIR", "DIR", "GRAFT_FILE", "INDEX_FILE", "NAMESPACE",
                    "OBJECT_DIRECTORY", "PREFIX", "REPLACE_REF_BASE", "SHALLOW_FILE", "WORK_TREE")  # fmt: skip
"""Variables, after `GIT_`, by which git tells a hook where it runs; in another tree they would lead back."""
_QUIET = {
    "GIT_ALLOW_PROTOCOL": "none",  # no server is asked
    "GIT_OPTIONAL_LOCKS": "0",  # what else works in the repository goes on
    "LC_ALL": "C",
}
_SETTINGS = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "filter.lfs.process": "",
    "filter.lfs.required": "false",
    "filter.lfs.smudge": "",
    "init.defaultRefFormat": "files",
}
"""No program of the user's runs; what LFS keeps is copied here."""
_CONFIG = f"[core]\n\thooksPath = {os.devnull}\n[gc]\n\tauto = 0\n"
_REFS = ("refs/heads", "refs/remotes", "refs/tags")
_COMMIT = re.compile("[0-9a-f]{40,64}")
_KINDS = {"tree": "it is a folder of one", "blob": "it is a file of one"}
"""What else a revision may mean, as git calls it and in words."""
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:(\w{64})\n")
_Refuse = Callable[[str], TreeError]


@dataclass(frozen=True)
class Repository:
    """A repository of the user's.

    Args:
        own: top folder of the user's checkout.
        folder: git's own of this checkout.
        common: git's own that all checkouts of the repository share.
    """

    own: Path
    folder: Path
    common: Path

    @classmethod
    def of(cls, root: Path) -> Self:
        """Return the repository that a folder is in.

        Raises:
            TreeError: there is no git, or no repository that it reads.
        """

        def asked(option: str) -> Path:
            answer = _git(root, "rev-parse", option, refuse=lambda why: TreeError.no_repository(root=root, reason=why))
            return Path(root, answer.removesuffix("\n")).resolve()

        return cls(asked("--show-toplevel"), asked("--absolute-git-dir"), asked("--git-common-dir"))

    def _ask(self, *words: str, refuse: _Refuse) -> str:
        folder = str(self.folder)  # its checkout may be gone, if it is a submodule's
        return _git(self.folder, f"--git-dir={folder}", f"--work-tree={folder}", *words, refuse=refuse)

    def commit(self, revision: str) -> str:
        """Return the whole name of the commit that a revision means.

        Raises:
            TreeError: it means none that is here.
        """
        found = self._named(f"{self._named(revision, revision)}^{{}}", revision)  # `:/text` takes all that follows
        kind = self._ask("cat-file", "-t", found, refuse=lambda reason: self._unknown(revision, reason)).strip()
        if kind in _KINDS:
            raise TreeError.unknown(revision=revision, root=self.own, reason=_KINDS[kind])
        return found

    def _named(self, name: str, revision: str) -> str:
        words = ("rev-parse", "--verify", "--end-of-options", name)
        found = self._ask(*words, refuse=lambda reason: self._unknown(revision, reason)).strip()
        if not _COMMIT.fullmatch(found):  # `^main` means all but main
            raise self._unknown(revision, "")
        return found

    def _unknown(self, revision: str, reason: str) -> TreeError:
        error = TreeError.unknown(revision=revision, root=self.own, reason=reason or "git knows no such commit")
        if not (self.common / "shallow").exists():
            return error
        count = self._ask("rev-list", "--count", "--all", "HEAD", refuse=lambda _: error)
        return TreeError.shallow(revision=revision, root=self.own, commits=int(count))

    def check_out(self, commit: str, top: Path) -> None:
        """Lay out a commit's files, and those of its submodules, in a new folder.

        Raises:
            TreeError: some are not here, or there is no room.
        """

        def refuse(reason: str) -> TreeError:
            return TreeError.incomplete(commit=commit, path=top, reason=reason)

        self._borrow(commit, top, refuse)
        _git(top, "checkout", "--force", "--detach", "--quiet", commit, refuse=refuse)
        self._fill(commit, top, refuse)
        for path, name, wanted in _submodules(top, refuse):
            if found := self._submodule(path, name, wanted):
                found.check_out(wanted, top / path)

    def _borrow(self, commit: str, top: Path, refuse: _Refuse) -> None:
        """Make a repository that has the user's objects, branches and tags, and nothing checked out."""
        kind = "sha1" if len(commit) == 40 else "sha256"
        words = ("init", "--quiet", "--template=", f"--object-format={kind}", str(top))
        _git(self.folder, *words, refuse=refuse)
        git = top / ".git"
        with (git / "config").open("a") as config:
            config.write(_CONFIG)
        refs = self._ask("for-each-ref", "--format=%(objectname) %(refname)", *_REFS, refuse=refuse)
        (git / "packed-refs").write_bytes(os.fsencode(refs))
        (git / "objects" / "info" / "alternates").write_bytes(_quoted(self.common / "objects"))
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self.common / "shallow", git / "shallow")
        self._narrow(top, refuse)

    def _narrow(self, top: Path, refuse: _Refuse) -> None:
        """Leave out of a checkout what the user's leaves out: the objects may not be here."""
        patterns = self.folder / "info" / "sparse-checkout"
        if not patterns.exists():
            return
        for name in ("core.sparseCheckout", "core.sparseCheckoutCone"):
            value = self._ask("config", "--type=bool", "--default=false", name, refuse=refuse).strip()
            _git(top, "config", name, value, refuse=refuse)
        (top / ".git" / "info").mkdir(exist_ok=True)
        shutil.copyfile(patterns, top / ".git" / "info" / "sparse-checkout")

    def _fill(self, commit: str, top: Path, refuse: _Refuse) -> None:
        """Copy what the user's repository keeps outside git (LFS); what the user's checkout lacks is left out here."""
        for name in _parts(_git(top, "ls-files", "-z", "--", ":(attr:filter=lfs)", refuse=refuse)):
            if digest := _pointed(top / name):
                kept = self.common / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
                if kept.is_file():
                    shutil.copyfile(kept, top / name)
                elif not _pointed(self.own / name):
                    raise TreeError.not_kept(file=name, commit=commit)

    def _submodule(self, path: str, name: str, commit: str) -> "Repository | None":
        """Return the user's repository of a submodule that has a commit; None if the user does without it.

        Raises:
            TreeError: there is none.
        """
        own = self.own / path
        if (own / ".git").exists():
            found = [Repository.of(own)]
        elif own.is_dir() and not any(own.iterdir()):
            return None
        else:
            places = {each / "modules" / name for each in (self.folder, self.common) if name}
            found = [Repository(own, place, place) for place in places if (place / "objects").is_dir()]
        missing = TreeError.submodule(path=path, commit=commit)
        for repository in found:
            with contextlib.suppress(TreeError):
                repository._ask("cat-file", "-e", f"{commit}^{{commit}}", refuse=lambda _: missing)
                return repository
        raise missing


def environment() -> dict[str, str]:
    """Return this process's variables but for those that name a repository, as git sets them for a hook."""
    left_out = {f"GIT_{name}" for name in _OF_A_REPOSITORY}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _submodules(top: Path, refuse: _Refuse) -> Iterator[tuple[str, str, str]]:
    """Yield path, name and commit of each submodule of a checkout; the name is empty if .gitmodules has none."""
    links = [part for part in _parts(_git(top, "ls-files", "-z", "--stage", refuse=refuse)) if part[:6] == "160000"]
    if not links:
        return
    pattern = r"^submodule\..*\.path$"
    words = ("config", "-z", "--file", ".gitmodules", "--get-regexp", pattern)
    answer = ""
    with contextlib.suppress(TreeError):  # there is no such file
        answer = _git(top, *words, refuse=refuse)
    pairs = (part.partition("\n") for part in _parts(answer))
    names = {path: key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}
    for about, _, path in (link.partition("\t") for link in links):
        name = names.get(path, "")
        yield path, "" if ".." in Path(name).parts else name, about.split()[1]


def _parts(answer: str) -> list[str]:
    return answer.split("\0")[:-1]


def _pointed(file: Path) -> str:
    """Return the digest of what stands elsewhere, if a file only points there."""
    if file.is_symlink() or not file.is_file():
        return ""
    with file.open("rb") as opened:
        found = _POINTER.match(opened.read(1024))
    return found[1].decode() if found else ""


def _quoted(path: Path) -> bytes:
    """Return a path as git reads it in a file of paths, where a line may be quoted like a string of C."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return os.fsencode(f'"{escaped}"\n')


def _git(folder: Path, *words: str, refuse: _Refuse) -> str:
    """Return what a git command writes.

    Args:
        folder: to run it in.
        words: of the command.
        refuse: makes the error of what git says when it fails.
    """
    settings = (word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}"))
    command = ["git", *settings, "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=environment() | _QUIET)
    except OSError as error:
        raise TreeError.no_git(reason=error) from error
    except ValueError as error:  # a zero byte, or no character
        raise refuse("git takes no such name") from error
    if done.returncode:
        raise refuse(_reason(done.stderr.decode(errors="replace")))
    return os.fsdecode(done.stdout)


def _reason(stderr: str) -> str:
    """Return what git complains of first, and what it advises, in a line."""
    lines = [line.strip() for line in stderr.splitlines() if not line.startswith(("hint:", "warning:"))]
    said = [re.sub("^(fatal|error): ", "", line) for line in lines]
    return " ".join([line for line in said if line not in ("", "Needed a single revision")][:3])
