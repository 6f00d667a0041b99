"""Results that differ from their baselines, or have none yet, and may become them without another training."""

import contextlib
import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from harness.atomic_files import read, write_all
from harness.baselines import png
from harness.baselines.environments import is_of_another
from harness.baselines.folder import spelt_out
from harness.baselines.origin import changed_sources
from harness.baselines.store import load_baseline, save_baseline, save_figure
from harness.errors import AcceptError, Reason, RecordError, some
from harness.record import Baseline, Calibration, Record
from harness.record.gate import STRICT
from harness.record.text import loads


_SUFFIX, _EXPLAINED = ".candidate", ".explained"
_LARGEST_NOTE = 2**20
"""Bytes of a candidate's note; the result beside it may have as many as a baseline."""
_FIGURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg", ".eps")
"""What pytest-mpl compares; nothing else in a project is overwritten by a result, whatever its note says."""
_Test = Annotated[str, msgspec.Meta(pattern="^[^-@]")]
"""No option of a command line, and no file of options (pytest reads @FILE)."""
_Option = Annotated[str, msgspec.Meta(pattern=r"\A(--training-generate=add|--training-device=[a-z]+)\Z")]


FIRST = "it is the first one"
"""How a result differs from a baseline that there is not yet."""
WITH_STATES = "its states and thresholds are made while it trains"
"""What no result of a comparison has, and the baseline of some trainings needs."""
LOOSENED = "its test loosens its gate, which only a training writes, with --training-reason"
"""Likewise."""

_OURS = re.compile(r"--(mpl-generate-path|training-[a-z0-9-]+)=.*|--(root|baselines|output)")
"""Options of the command lines that accept a result."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a result that differs from its baseline: the form of the note that is kept beside it."""

    test: _Test  # pytest's id
    check: str = ""  # which of the test's checks, by the name that it gave
    baseline: str  # its file, relative to the project's root
    compared: str  # SHA-256 of the baseline that it was compared with; empty if there was none
    result: str  # SHA-256 of the result
    difference: str  # from the baseline, in words
    sources: Mapping[str, str]  # the project's Python files that were imported, path to content
    obstacle: str  # what the result lacks to be a whole baseline; empty if nothing
    options: Sequence[_Option] = ()  # that making the baseline by training again takes
    origin: Mapping[str, str]  # of the result

    @property
    def file(self) -> str:
        """File name of the baseline, and of the result."""
        return Path(self.baseline).name

    @property
    def name(self) -> str:
        """What the baseline is called on the command line."""
        return Path(self.baseline).stem


def training_command(test: str, folder: Path, options: Sequence[str] = ()) -> str:
    """Return the command line that makes a test's baselines by training."""
    return shlex.join(["pytest", test, f"--mpl-generate-path={folder}", *options])


def is_ours(command: str) -> bool:
    """Tell whether a command line, which may be anybody's, is one that this harness prints to accept a result.

    A page offers it to be copied: it names no other program, no option but of ours, and holds nothing for a shell.
    """
    text = command.removesuffix(' --reason "..."')
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    options = [word for word in words if word.startswith(("-", "@"))]
    ours = words[:1] == ["pytest"] or words[:2] == ["harness", "accept"]
    return ours and shlex.join(words) == text and all(map(_OURS.fullmatch, options))


def made_by_training(baseline: Baseline) -> str:
    """Say what of a baseline no result of a comparison can replace; empty if there is nothing."""
    if baseline.calibration and baseline.calibration.states:
        return WITH_STATES
    return f"it holds the summaries of {len(baseline.seeds)} seeds" if baseline.seeds else ""


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes."""
    return hashlib.sha256(data).hexdigest()


def offer(folder: Path, candidate: Candidate, data: bytes) -> Path:
    """Keep a result, and with its SHA-256 what is known of it; return the result's file."""
    candidate = msgspec.structs.replace(candidate, result=digest(data))
    note = json.dumps(msgspec.structs.asdict(candidate), indent=1).encode()
    _explained(folder, candidate.file).unlink(missing_ok=True)
    write_all({folder / candidate.file: data, _note(folder, candidate.file): note})
    return folder / candidate.file


def withdraw(folder: Path, file: str, test: str) -> None:
    """Forget a test's former result, because there is a new one; one of the same name, but another test, stays."""
    try:
        former = _read(_note(folder, file))
    except AcceptError:  # or there is none
        former = None
    if former is None or former.test == test:
        _forget(folder, file)


def _note(folder: Path, file: str) -> Path:
    return folder / f"{file}{_SUFFIX}"


def _forget(folder: Path, file: str) -> None:
    for path in (_note(folder, file), _explained(folder, file), folder / file):
        path.unlink(missing_ok=True)


def _explained(folder: Path, file: str) -> Path:
    return folder / f"{file}{_EXPLAINED}"


def keep_explanation(folder: Path, file: str, text: str) -> None:
    """Keep why a result differs from its baseline, as long as the result is kept."""
    write_all({_explained(folder, file): text.encode("utf-8", "backslashreplace")})


def explanation(folder: Path, file: str) -> str:
    """Return what was kept of why a result differs; empty if nothing was."""
    try:
        return read(_explained(folder, Path(file).name), _LARGEST_NOTE).decode(errors="replace")
    except (OSError, ValueError):
        return ""


def candidates(folder: Path) -> list[Candidate]:
    """Return what is kept, sorted by name; AcceptError if a note cannot be read."""
    return [_read(path) for path in sorted(folder.glob(f"*{_SUFFIX}"))]


def _read(path: Path) -> Candidate:
    try:  # not by msgspec's decoder, which refuses the escapes of file names that are no Unicode
        candidate = msgspec.convert(loads(read(path, _LARGEST_NOTE).decode()), Candidate)
    except (OSError, ValueError, RecursionError) as error:
        raise AcceptError.note(path=path, reason=error) from error
    if candidate.file + _SUFFIX != path.name:
        raise AcceptError.note(path=path, reason=f"it speaks of {candidate.file!r}")
    return candidate


@dataclass(frozen=True)
class Project:
    """Where results may become baselines: nothing that lies in an artifact has a word in it."""

    root: Path  # of the project
    baselines: Path  # folder of the baselines, as the project or whoever accepts names it

    def place(self, candidate: Candidate) -> Path:
        """Return the file that a result may become: a plain one, directly in the folder of the baselines.

        AcceptError if it was compared with one elsewhere, or the folder is none that a project keeps baselines in.
        """
        root, folder = spelt_out(self.root), spelt_out(self.baselines)
        try:
            claimed = spelt_out(root / candidate.baseline)
            if claimed.parent != folder:
                place = os.path.relpath(claimed.parent, root)
                raise AcceptError.elsewhere(name=candidate.name, place=place, folder=os.path.relpath(folder, root))
            reason: Reason = _objection(root, folder, candidate.file)
        except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, links that go round
            reason = error
        if reason:
            raise AcceptError.no_place(name=candidate.name, place=self.baselines, reason=reason)
        return folder / candidate.file

    def command(self, candidate: Candidate) -> str:
        """Return the command line, from the root, that makes a baseline by training: none that an artifact brings."""
        return training_command(candidate.test, Path(os.path.relpath(self.baselines, self.root)), candidate.options)


def _objection(root: Path, folder: Path, file: str) -> str:
    """Say why a file of a folder is no place for a baseline; empty if it is one."""
    if not folder.is_relative_to(root):
        return "the folder of the baselines is outside the project"
    if ".git" in map(str.casefold, folder.relative_to(root).parts):
        return "the folder of the baselines is git's"
    if root.resolve() / folder.relative_to(root) != folder.resolve():
        return "the folder of the baselines is a link, or behind one"
    if file.startswith(".") or Path(file).suffix not in (".json", *_FIGURES):
        return "its baseline is neither a record nor a figure"
    path = folder / file
    stands = path.exists() or path.is_symlink()
    return "its baseline is not a plain file" if stands and not stat.S_ISREG(path.lstat().st_mode) else ""


def accept(folder: Path, project: Project, candidate: Candidate, reason: str) -> bool:
    """Make a result of a folder the baseline in a project, wholly or not at all, and forget it.

    It takes the place of the baseline that it was compared with, or of none if there was none, and of nothing else. A
    record of the former one's structure keeps its calibration, marked as inherited.

    Returns:
        Whether the thresholds of a record have to be measured: it is new, or lost those of another structure.

    Raises:
        AcceptError: the result lacks a part, is gone or damaged, or stale; or its place is none for a baseline.
        BaselineError: what stands there is no baseline, or the result cannot be written.
        NonFiniteError: the result holds NaN or infinity.
    """
    path, command = project.place(candidate), project.command(candidate)
    if candidate.obstacle:
        raise AcceptError.needs_training(name=candidate.name, obstacle=candidate.obstacle, command=command)
    data = _result(folder, candidate, command)
    _check_fresh(candidate, project.root, path, data)
    about, lost = {**candidate.origin, "reason": reason}, False
    if path.suffix == ".json":
        result = _baseline(folder, candidate, data, command)
        record = result.record
        former = load_baseline(path, command, Path(path.name)) if path.exists() else None
        others = is_of_another(path, record.environment)
        obstacle = made_by_training(former) if former else ""
        if obstacle := obstacle or "it is the baseline of another environment" * others:
            raise AcceptError.needs_training(name=candidate.name, obstacle=obstacle, command=command)
        calibration, gate = (_inherited(former, record), former.gate) if former else (None, STRICT)
        measurable = former.calibration is not None if former else record.source != "event files"
        lost = measurable and calibration is None
        kept = Baseline(record, about, calibration, gate=gate, trace=result.trace, sources=candidate.sources)
        save_baseline(path, kept)
    else:
        save_figure(path, data, about)
    with contextlib.suppress(OSError):  # the baseline stands; what stays here would be accepted again, to the same end
        _forget(folder, candidate.file)
    return lost


def _inherited(former: Baseline, record: Record) -> Calibration | None:
    """Return the calibration of a former baseline, if it is of a training of the same structure and length."""
    if record == former.record or former.calibration is None:  # accepted already, before an interruption
        return former.calibration
    shapes = [(each.structure, each.num_steps, each.streams.keys(), each.precision) for each in (former.record, record)]
    return msgspec.structs.replace(former.calibration, inherited=True) if shapes[0] == shapes[1] else None


def _result(folder: Path, candidate: Candidate, command: str) -> bytes:
    path = folder / candidate.file
    try:
        data = read(path)
        if digest(data) != candidate.result:
            raise ValueError("it is not what the failed comparison left there")
        if path.suffix == ".png":
            png.check(data)
    except (OSError, ValueError) as error:
        reason: Reason = "it is not there" if isinstance(error, FileNotFoundError) else error
        raise AcceptError.incomplete(path=path, reason=reason, command=command) from error
    return data


def _check_fresh(candidate: Candidate, root: Path, path: Path, data: bytes) -> None:
    """Refuse a result of other sources, or one that was compared with another baseline than the present one."""
    changed = changed_sources(root, candidate.sources)
    if not changed and _is_fresh(path, candidate.compared, data):
        return
    reason = f"{some(changed, 1) or 'its baseline'} changed after the comparison"
    raise AcceptError.stale(name=candidate.name, reason=reason, test=candidate.test)


def _is_fresh(path: Path, compared: str, data: bytes) -> bool:
    """Tell whether a baseline is what the result was compared with, or, after an interruption, the result already."""
    if not os.path.lexists(path):  # gone, or there was none
        return not compared
    try:
        stored = read(path)
    except OSError:
        return False
    if digest(stored) == compared or png.plain(stored) == png.plain(data):
        return True
    try:
        accepted = Baseline.from_text(stored.decode("utf-8"))
        return Baseline(accepted.record, trace=accepted.trace).to_text().encode() == data
    except (UnicodeDecodeError, RecordError):
        return False


def _baseline(folder: Path, candidate: Candidate, data: bytes, command: str) -> Baseline:
    try:
        return Baseline.from_text(data.decode("utf-8"))
    except (UnicodeDecodeError, RecordError) as error:
        reason = error.reason if isinstance(error, RecordError) else error
        path = folder / candidate.file
        raise AcceptError.incomplete(path=path, reason=reason, command=command) from error
