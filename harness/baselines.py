"""Where baselines live: their file names, reading, atomic writing, and files that no test claims."""

import contextlib
import glob
import hashlib
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.errors import (
    BaselineCorruptError,
    BaselineEditedError,
    BaselineMissingError,
    BaselineNonFiniteError,
    BaselineStatesError,
    BaselineWriteError,
    NonFiniteError,
    RecordError,
    StatesError,
)
from harness.record import Record


if TYPE_CHECKING:
    from harness.states import States

__all__ = [
    "SUFFIXES",
    "baseline_name",
    "check_writable",
    "load_baseline",
    "load_states",
    "move",
    "orphans",
    "save_baseline",
]

SUFFIXES = (".json", ".png", ".safetensors")
"""What belongs to us in a baselines folder: records, figures and states."""

_LONGEST_NAME = 200
_HASH_DIGITS = 12
_LARGEST_FILE = 64 * 2**20
"""Bytes; a record aims at 200 KB, so anything above is no record and is not read into memory."""


def baseline_name(nodeid: str, device: str | None = None) -> str:
    """Return the file name, without suffix, of a test's baseline.

    Different tests have different names, legal on Windows too: `tests/a.py::B::test_c[d-cpu]` becomes
    `tests.a-B-test_c=d`, with any other character as %XX. The device is left out: a float64 baseline holds on all.

    Args:
        nodeid: pytest's id of the test, relative to the project's root.
        device: the value of the test's `device` parameter, if it has one.
    """
    place, bracket, parameters = nodeid.partition("[")
    path, *names = place.split("::")
    values = parameters.removesuffix("]").split("-") if bracket else []
    if device in values:
        values.remove(device)
    file = ".".join(_quote(part) for part in path.removesuffix(".py").split("/"))
    name = "-".join([file, *map(_quote, names)])
    if values and values != [""]:
        name += "=" + "-".join(map(_quote, values))
    return name if len(name) <= _LONGEST_NAME else _shortened(name)


def _quote(text: str) -> str:
    """Percent-encode everything but letters, digits and underscore, and what pytest-mpl would cut off.

    It drops a last underscore, and everything from a ".png" (or another format) on.
    """
    coded = quote(text, safe="").replace("-", "%2D").replace(".", "%2E").replace("~", "%7E")
    if coded.endswith("_"):
        coded = coded[:-1] + "%5F"
    return re.sub(r"^(png|jpe?g|eps|pdf|svg)", lambda found: f"%{ord(found[0][0]):02X}{found[0][1:]}", coded)


def _shortened(name: str) -> str:
    return f"{name[: _LONGEST_NAME - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def load_baseline(path: Path, command: str, shown: Path | None = None) -> Record:
    """Read a committed record.

    Args:
        path: its file.
        command: the command line that regenerates it, for the message.
        shown: the path as the message gives it.

    Raises:
        BaselineMissingError: there is no such file.
        BaselineCorruptError: it is not a record.
        BaselineEditedError: its checksum does not fit.
        BaselineNonFiniteError: it holds NaN or infinity.
    """
    facts = {"path": shown or path, "command": command}
    try:
        record = Record.from_text(_read(path))
    except FileNotFoundError as error:
        raise BaselineMissingError(**facts) from error
    except RecordError as error:
        if error.facts["reason"] == "checksum":
            raise BaselineEditedError(**facts) from error
        raise BaselineCorruptError(**facts, reason=error.facts["reason"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BaselineCorruptError(**facts, reason=error) from error
    if found := record.non_finite():
        step, stage, stream, value = found
        raise BaselineNonFiniteError(**facts, step=step, stage=stage, stream=stream, value=value)
    return record


def _read(path: Path) -> str:
    if path.stat().st_size > _LARGEST_FILE:
        raise RecordError(reason="it is larger than 64 MiB")
    return path.read_text(encoding="utf-8")


def load_states(path: Path, baseline: Record, command: str, shown: Path | None = None) -> "States":
    """Read the states that belong to a calibrated baseline.

    Args:
        path: the baseline's file.
        baseline: what it holds.
        command: the command line that regenerates it, for the message.
        shown: the path as the message gives it.

    Raises:
        BaselineStatesError: they are missing, broken, or another baseline's.
    """
    from harness.states import States

    assert baseline.calibration is not None, "the caller's condition"
    sha256 = baseline.calibration.states
    place, facts = _states_path(path, sha256), {"path": _states_path(shown or path, sha256), "command": command}
    try:
        data = place.read_bytes() if place.stat().st_size <= _LARGEST_FILE else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BaselineStatesError(**facts, reason="they are not those that were written")
        return States.from_bytes(data)
    except OSError as error:
        raise BaselineStatesError(**facts, reason=error.strerror or error) from error
    except StatesError as error:
        raise BaselineStatesError(**facts, reason=error.facts["reason"]) from error


def _states_path(path: Path, sha256: str) -> Path:
    """Name states by their content: a record and its states are replaced together, by the record's rename."""
    return path.with_name(f"{path.stem}~{sha256[:_HASH_DIGITS]}.safetensors")


def save_baseline(path: Path, record: Record, states: "States | None" = None) -> None:
    """Write a record, and its states, as a baseline: wholly or not at all.

    Raises:
        NonFiniteError: the record holds NaN or infinity.
        BaselineWriteError: the file cannot be written; what stood there still stands.
    """
    if found := record.non_finite():
        step, stage, stream, value = found
        raise NonFiniteError(step=step, stage=stage, stream=stream, value=value, name=record.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _states_path(path, states.sha256) if states else None
        former = set(path.parent.glob(f"{glob.escape(path.stem)}~{'?' * _HASH_DIGITS}.safetensors"))
        with contextlib.ExitStack() as scraps:
            if states and kept:
                if kept not in former:
                    scraps.callback(kept.unlink, missing_ok=True)
                _write(kept, states.to_bytes())
            _write(path, record.to_text().encode())
            scraps.pop_all()
        for file in former - {kept}:
            file.unlink()
    except OSError as error:
        raise BaselineWriteError(path=path, reason=error.strerror or error) from error


def _write(path: Path, data: bytes) -> None:
    """Write beside the file, flush to disk, then rename over it: a reader sees the old file or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _publish(Path(name), path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _publish(temporary: Path, path: Path) -> None:
    temporary.chmod(0o644)  # mkstemp's files are private
    temporary.replace(path)


def move(source: Path, target: Path) -> None:
    """Put a finished file, on any disk, in a baseline's place: wholly or not at all.

    Raises:
        BaselineWriteError: it cannot be written; what stood there still stands.
    """
    temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(source.read_bytes())
        _publish(temporary, target)
    except OSError as error:
        raise BaselineWriteError(path=target, reason=error.strerror or error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    source.unlink()


def check_writable(folder: Path) -> None:
    """Make sure, before any training, that baselines can be written to a folder; create it if need be.

    Raises:
        BaselineWriteError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BaselineWriteError(path=folder, reason=error.strerror or error) from error


def orphans(folder: Path, claimed: Collection[str]) -> list[str]:
    """Return the names of baseline files in a folder that no test claims, sorted.

    Args:
        folder: the baselines.
        claimed: file names in lower case; `a.json` claims `a,second.json` too, another record of the same test.
    """
    files = (path.name for path in folder.glob("*") if path.suffix in SUFFIXES and not path.name.startswith("."))
    return sorted(name for name in files if _claim(name) not in claimed)


def _claim(name: str) -> str:
    if name.endswith(".safetensors"):
        name = name.rpartition("~")[0] + ".json"
    stem, _, other = name.lower().partition(",")
    return f"{stem}.json" if other else stem
