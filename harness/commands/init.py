"""`harness init`: what a project needs for its first gate, each only where it is not there yet."""

import argparse
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.atomic_files import read, write
from harness.baselines.failed import training_command
from harness.baselines.folder import configuration, stated_folder
from harness.baselines.inventory import inventory
from harness.baselines.origin import git_output
from harness.commands import ini_file
from harness.commands.first_test import first_test, slug
from harness.commands.loop import Loop, found, look, sources
from harness.commands.names import called
from harness.commands.project import add_root, project_root
from harness.report.words import columns


_Step = tuple[Path, str]
"""A file, and what became of it."""
_LEFT_OUT = "with training_baselines the project's figure tests would look for theirs in {0}; records go there anyway"
_SHOWN = 5
"""Loops that are named where none is given."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "init",
        help="set up a project: ini option, first test, .gitignore, workflow",
        description="Write what a project needs for its first gate, each only where it is not there yet: pytest's ini "
        "option, a test of the training loop that it is shown, a line in .gitignore, a GitHub workflow.",
        epilog="example: harness init --loop mylib.train:main",
    )
    what = "the loop to test: train.py (a script), train.py:main, mylib.train:main, mylib.train:Trainer"
    parser.add_argument("--loop", metavar="LOOP", help=what)
    add_root(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Write what is absent; say what was written, what was not and why, and what to do next."""
    root = project_root(given).absolute()
    loop = look(given.loop, root) if given.loop else None
    steps = [_ini(root, loop), *([_test(root, loop)] if loop else []), _ignored(root), *_workflow(root)]
    rows = [(os.path.relpath(path), outcome) for path, outcome in steps]
    print("\n".join(columns(rows, "   ")))
    written = [path for path, outcome in rows if outcome.startswith("written")]
    print("\n".join(["next", *(_to_do(root, loop, written) if loop else _to_show(root))]))
    return 0


def _new(path: Path, text: str) -> _Step:
    """Write a file that is not there yet."""
    if path.exists():
        return path, "left as it is, because it is there already"
    write(path, text.encode())
    return path, "written"


def _ini(root: Path, loop: Loop | None) -> _Step:
    """Name the folder of the baselines in pytest's configuration, and where the loop is imported from."""
    path = ini_file.place(root)
    _, known = configuration(root) or (path, {})
    folder = Path(os.path.relpath(stated_folder(root), root)).as_posix()
    left_out = _LEFT_OUT.format(folder) if "training_baselines" not in known and _own_figures(root) else ""
    wanted: dict[str, ini_file.Value] = {} if left_out else {"training_baselines": folder}
    if loop and (place := _import_path(loop, root)):
        wanted["pythonpath"] = [place]
    missing = {name: value for name, value in wanted.items() if name not in known}
    if not missing:
        return path, "left as it is, because " + (left_out or f"it names {' and '.join(wanted)} already")
    lines = ", ".join(ini_file.lines(path, missing))
    data = ini_file.added(path, missing)
    if data is None:
        return path, f"left as it is, because its form allows no line more; add to pytest's options: {lines}"
    write(path.resolve(), data)
    return path, f"written: {lines}" + (f"; no more, because {left_out}" if left_out else "")


def _own_figures(root: Path) -> bool:
    """Tell whether the project has figure tests of pytest-mpl, whose baselines are where they are."""
    for path in sources(root):
        with suppress(OSError):  # what nobody can read is no test of theirs
            if b"mpl_image_compare" in read(path):
                return True
    return False


def _import_path(loop: Loop, root: Path) -> str:
    """Return the folder that Python must look in for a loop, from the root; empty if it finds the loop anyway."""
    parts = loop.module.split(".") if loop.module else [loop.path.stem]
    base = loop.path.parents[len(parts) - (loop.path.stem != "__init__")]
    if loop.module:
        spec = find_spec(parts[0])
        places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
        needed = not any(Path(place).resolve().is_relative_to(base.resolve()) for place in places if place)
    else:
        text = read(loop.path).decode()
        needed = any(
            re.search(rf"^\s*(from|import)\s+{re.escape(each.stem)}\b", text, re.MULTILINE) for each in base.iterdir()
        )
    return Path(os.path.relpath(base, root)).as_posix() if needed else ""


def _test_file(root: Path, loop: Loop) -> Path:
    """Return the file of a loop's test: where pytest looks, and of a name that the project's own tests do not have."""
    _, options = configuration(root) or (None, {})
    stated = options.get("testpaths") or ()
    folders = [root / name for name in (stated.split() if isinstance(stated, str) else stated)]
    folder = next(filter(Path.is_dir, [*folders, root / "tests", root / "test"]), root / "tests")
    return folder / f"test_{slug(loop)}_regression.py"


def _test(root: Path, loop: Loop) -> _Step:
    place = _test_file(root, loop)
    return _new(place, first_test(loop, place, root))


def _ignored(root: Path) -> _Step:
    """Have git ignore what sessions leave."""
    path = root / ".gitignore"
    text = read(path).decode() if path.exists() else ""
    known = {line.strip().strip("/") for line in text.splitlines()}
    if {"build", "build/*"} & known or git_output(root, "check-ignore", "build/harness/report.html"):
        return path, "left as it is, because build/ is ignored already"
    newline = "\r\n" if "\r\n" in text else "\n"
    between = newline if text and not text.endswith("\n") else ""
    write(path.resolve(), f"{text}{between}build/{newline}".encode())
    return path, "written: build/"


_WORKFLOW = """\
name: training
on:
  pull_request:
  push:
    branches: [main, master]
permissions:
  contents: read
jobs:
  gate:
    runs-on: ubuntu-latest{folder}
    steps:
      - uses: actions/checkout@v6
        with:
          persist-credentials: false
          fetch-depth: 0 # all commits: a failure names the one to blame
      - uses: actions/setup-python@v6
        with:
          python-version: "3.13"
      # for torch without CUDA, install torch and torchvision first, with the --index-url of PyTorch's install page
      - run: pip install {install} pytest-training-regression
      - run: pytest --mpl
      - if: always()
        uses: actions/upload-artifact@v7
        with:
          name: training-regression
          path: {prefix}build/harness/
          if-no-files-found: ignore
"""


def _workflow(root: Path) -> Iterator[_Step]:
    """Write a workflow that runs the gate, in a git repository."""
    top = git_output(root, "rev-parse", "--show-toplevel")
    if not top:
        return
    repository = Path(os.fsdecode(top.rstrip(b"\n")))
    below = root.resolve().relative_to(repository.resolve()).as_posix()
    packaged = any((root / name).exists() for name in ("setup.py", "setup.cfg"))
    pyproject = root / "pyproject.toml"
    packaged = packaged or (
        pyproject.is_file() and re.search(rb"^\[project\]", read(pyproject), re.MULTILINE) is not None
    )
    listed = (root / "requirements.txt").is_file()
    text = _WORKFLOW.format(
        folder="" if below == "." else f"\n    defaults:\n      run:\n        working-directory: {below}",
        install="-e ." if packaged else "-r requirements.txt" if listed else "pytest",
        prefix="" if below == "." else f"{below}/",
    )
    yield _new(repository / ".github" / "workflows" / "training.yml", text)


def _to_show(root: Path) -> Iterator[str]:
    """Yield how to get a first test, of what looks like a training loop."""
    yield "  show the training loop, for a first test of it:"
    yield from (f"    harness init --loop {each}" for each in found(root)[:_SHOWN] or ["mylib.train:main"])


def _to_do(root: Path, loop: Loop, written: Sequence[str]) -> Iterator[str]:
    """Yield what leads to a first green gate."""
    if loop.hints:
        yield f"  add to {os.path.relpath(loop.path)}:"
        yield from (f"    {line}" for line in columns(loop.hints, "   "))
    baselines, test = os.path.relpath(stated_folder(root)), os.path.relpath(_test_file(root, loop))
    commands = {"pytest --mpl": "is green; red once a change alters what the training does"}
    if not called(test, inventory(stated_folder(root)), root):
        commands = {
            training_command(test, Path(baselines)): "writes the baseline",
            shlex.join(["git", "add", baselines, *written]): "for all to be compared with it",
            **commands,
        }
    yield from (f"  {command}   {what}" for command, what in commands.items())
