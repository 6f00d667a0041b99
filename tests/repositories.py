"""Small git repositories, made in milliseconds, and all that a command may not change in them."""

import hashlib
import os
import subprocess


_NOBODY = ("user.name=a", "user.email=a@b", "commit.gpgSign=false", "protocol.file.allow=always")


def git(folder, *words):
    """Run git in a folder, without a person's settings; return what it prints."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-C", str(folder), *(word for each in _NOBODY for word in ("-c", each)), *words]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    return os.fsdecode(done.stdout).strip()


def commit(folder, files):
    """Write files, name to text, and commit them; return the commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "change")
    return git(folder, "rev-parse", "HEAD")


def repository(folder, *versions):
    """Make a repository with a commit for each version of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "--template=", "-b", "main")
    for files in versions:
        commit(folder, files)
    return folder


def busy(folder):
    """Leave a repository as people do in the middle of work: bisecting, with a stash, and things staged and not."""
    git(folder, "tag", "v1")
    (folder / "net.py").write_text("stashed\n")
    git(folder, "stash")
    git(folder, "bisect", "start", "HEAD", "HEAD~2")
    (folder / "net.py").write_text("staged\n")
    git(folder, "add", "net.py")
    (folder / "net.py").write_text("not staged\n")
    (folder / "new.py").write_text("untracked\n")
    return folder


def contents(folder):
    """Return the digest of every file and link below a folder, git's own included: refs, logs, index, settings."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = path.lstat().st_mode, hashlib.sha256(data).hexdigest()
    return found
