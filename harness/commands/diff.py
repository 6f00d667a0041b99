"""`harness diff`: two records, folders, git revisions or event folders, in the words of a failed test."""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.atomic_files import read
from harness.baselines import png
from harness.baselines.origin import git_output
from harness.baselines.store import check_figure, load_baseline
from harness.commands.project import add_places, stored
from harness.comparing.comparison import compare
from harness.comparing.thresholds import loosened
from harness.errors import BaselineCorruptError, NotFoundError
from harness.record import Baseline
from harness.report.comparison_text import failure, note
from harness.report.figure_text import figure_difference


_Kept = Baseline | bytes
"""A record, or the bytes of a figure."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "diff",
        help="compare two baselines, files, folders, git revisions or event folders",
        description="Compare in the words of a failed test. Exit status: 0 if nothing differs, 1 if something does, 2 "
        "in trouble.",
        epilog="example: harness diff HEAD~1:baselines baselines",
    )
    what = "a baseline's name or test, a file, a folder, a folder of TensorBoard event files, or REVISION:PATH"
    parser.add_argument("former", help=what)
    parser.add_argument("present", help="likewise")
    add_places(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Print the differences; return 1 if there are any that a test fails for, strict or not, but drift."""
    former, present = _side(given, given.former), _side(given, given.present)
    if len(former) == len(present) == 1:  # whatever the two are called
        former, present = ({given.former: next(iter(side.values()))} for side in (former, present))
    pairs = [(name, former.get(name), present.get(name)) for name in sorted({**former, **present})]
    if any({type(one), type(other)} == {Baseline, bytes} for _, one, other in pairs):
        raise NotFoundError.kinds(former=given.former, present=given.present)
    if not pairs:
        raise NotFoundError.nothing(former=given.former, present=given.present)
    texts = [(name, *_difference(one, other)) for name, one, other in pairs]
    print("\n".join(f"{name}\n  {text}" if len(pairs) > 1 else text for name, _, text in texts))
    return any(differs for _, differs, _ in texts)


def _difference(one: _Kept | None, other: _Kept | None) -> tuple[bool, str]:
    """Return whether two of a name differ, and how, in words."""
    if isinstance(one, Baseline) and isinstance(other, Baseline):
        comparison = compare(one, other.record)
        differs = comparison.verdict in ("not judged", "different")
        text = failure(comparison, origin=other.origin) if differs else note(comparison)
        return differs, "\n".join(filter(None, [text, _wider(one, other)]))
    if isinstance(one, bytes) and isinstance(other, bytes):
        return _drawn(one, other)
    return True, "only in the latter" if one is None else "only in the former"


def _drawn(one: bytes, other: bytes) -> tuple[bool, str]:
    """Return whether two figures differ, to the pixel, whatever packed them, and how far in grey levels."""
    if png.plain(one) == png.plain(other):
        return False, "the same figure"
    try:
        for data in (one, other):
            png.check(data)
    except ValueError:  # SVG, PDF, a PNG of a revision that is damaged
        return True, "the figures differ"
    rms = png.rms(one, other)
    return rms != 0, "the same figure" if rms == 0 else figure_difference(rms)


def _wider(former: Baseline, present: Baseline) -> str:
    """Say that thresholds became far wider: whoever reviews a baseline has to know."""
    if not (former.calibration and present.calibration):
        lost = former.calibration and not present.calibration
        return "  thresholds are not measured any more" if lost else ""
    place = loosened(present.calibration, former.calibration, present.record.precision)
    return "  thresholds are far wider: {}, step {}, {:.1e}, formerly {:.1e}".format(*place) if place else ""


def _side(given: argparse.Namespace, text: str) -> Mapping[str, _Kept]:
    """Return what a word of the command line stands for, by name; HarnessError if it is nothing that can be read."""
    path = Path(text)
    if path.is_dir() and any(path.rglob("*tfevents*")):
        from harness.tensorboard.reading import read_events

        return {path.name: Baseline(read_events(path))}
    if path.is_dir():
        return {file.name: _read(file) for file in sorted(path.iterdir()) if file.suffix in (".json", ".png")}
    if path.is_file():
        return {path.name: _read(path)}
    if ":" in text and "::" not in text:
        return _revision(text)
    return {entry.path.name: _read(entry.path) for entry in stored(given, text)}


def _read(path: Path) -> _Kept:
    command = "pytest --mpl-generate-path=DIR"
    if path.suffix == ".json":
        return load_baseline(path, command)
    if path.suffix == ".png":
        check_figure(path, command)
    try:
        return read(path)
    except OSError as error:
        raise BaselineCorruptError.unreadable(path=path, command=command, reason=error) from error


def _revision(text: str) -> Mapping[str, _Kept]:
    """Return what stands in a git revision: a file, or the files of a folder."""
    data = None if text.startswith("-") else git_output(Path.cwd(), "show", _anchored(text))
    if data is None:
        raise NotFoundError.revision(text=text, place=Path.cwd(), remedy=_remedy())
    if not data.startswith(b"tree "):
        return {Path(text.partition(":")[2]).name: _parsed(text, data)}
    names = [line for line in data.decode().splitlines()[2:] if line.endswith((".json", ".png"))]
    if not names:
        raise NotFoundError.baseline(name=text, place="git")
    folder = text.removesuffix("/")
    return {name: _parsed(name, git_output(Path.cwd(), "show", _anchored(f"{folder}/{name}")) or b"") for name in names}


def _remedy() -> str:
    """Say what may be wrong with the checkout, if not the revision."""
    shallow = git_output(Path.cwd(), "rev-parse", "--is-shallow-repository")
    if shallow is None:
        return "give two files or folders: git is not installed, or this is no checkout of it"
    if shallow.strip() == b"true":
        return "this checkout is shallow: git fetch --unshallow (in CI, fetch-depth: 0) brings older revisions"
    return "give a revision and a path from here, e.g. HEAD~1:baselines"


def _anchored(text: str) -> str:
    """Return REVISION:PATH with a path that counts from here, not from the repository's root."""
    return re.sub(r":(?![./])", ":./", text, count=1)


def _parsed(name: str, data: bytes) -> _Kept:
    return Baseline.from_text(data.decode("utf-8", errors="replace")) if name.endswith(".json") else data
