"""Where baselines live: their file names, reading, atomic writing, and files that no test claims."""

import contextlib
import dataclasses
import functools
import glob
import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.atomic_files import LARGEST_FILE, read, write
from harness.baselines import png
from harness.baselines.origin import DRAWING
from harness.baselines.plain_files import read_plain, require_merged
from harness.comparing.plausible import implausible
from harness.errors import (
    BaselineCorruptError,
    BaselineImplausibleError,
    BaselineMissingError,
    BaselineWriteError,
    NonFiniteError,
    RecordError,
    StatesError,
)
from harness.record import Baseline


if TYPE_CHECKING:
    from harness.recording.states import States

_LONGEST_NAME = 200
_HASH_DIGITS = 12
_OURS = (".json", ".safetensors", ".png", ".jpg", ".jpeg", ".svg", ".pdf", ".eps")
"""Suffixes of records, their states and figures."""
_ENVIRONMENT = re.compile(r",@[0-9a-f]{12}(?=\.json$)")
"""What `environments.beside` adds to a name."""


def possible_names(nodeid: str, devices: Collection[str]) -> set[str]:
    """Return the names that a test's baseline may have: its device, if it has one, may be any of its parameters."""
    test, bracket, parameters = nodeid.partition("[")
    values = parameters.removesuffix("]").split("-") if bracket else []
    places = (place for place, value in enumerate(values) if value in devices)
    others = ("-".join(values[:place] + values[place + 1 :]) for place in places)
    return {baseline_name(nodeid), *(baseline_name(f"{test}[{rest}]") for rest in others)}


def baseline_name(nodeid: str) -> str:
    """Return the file name, without suffix, of a test's baseline.

    Different tests have different names, legal on Windows too: `tests/a.py::B::test_c[d-cpu]` becomes
    `tests.a-B-test_c=d-cpu`, with any other character as %XX.
    """
    place, bracket, parameters = nodeid.partition("[")
    path, *names = place.split("::")
    values = parameters.removesuffix("]").split("-") if bracket else []
    file = ".".join(_quote(part) for part in path.removesuffix(".py").split("/"))
    name = "-".join([file, *map(_quote, names)])
    if values and values != [""]:
        name += "=" + "-".join(map(_quote, values))
    if len(name) > _LONGEST_NAME:
        return f"{name[: _LONGEST_NAME - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return name


@functools.lru_cache(maxsize=1024)  # files and parameters come again and again
def _quote(text: str) -> str:
    """Percent-encode everything but letters, digits and underscore, and what pytest-mpl would cut off.

    It drops a last underscore, and everything from a ".png" (or another format) on.
    """
    coded = quote(text, safe="", errors="surrogateescape").replace("-", "%2D").replace(".", "%2E").replace("~", "%7E")
    if coded.endswith("_"):
        coded = coded[:-1] + "%5F"
    return re.sub(r"^(png|jpe?g|eps|pdf|svg)", lambda found: f"%{ord(found[0][0]):02X}{found[0][1:]}", coded)


def load_baseline(path: Path, command: str, shown: Path | None = None) -> Baseline:
    """Read a baseline; messages give the path as it is shown, and the command line that regenerates it.

    Raises:
        BaselineMissingError: there is no such file.
        BaselineCorruptError: it is no plain file or no record, its checksum does not fit, or it holds NaN or infinity
            that its gate does not allow.
        BaselineImplausibleError: it holds what its training cannot have shown.
    """
    facts: dict[str, Any] = {"path": shown or path, "command": command}
    data = b""
    try:
        data = read_plain(path, command, shown or path)
        baseline = Baseline.from_text(data.decode())
    except FileNotFoundError as error:
        raise BaselineMissingError.of(**facts) from error
    except OSError as error:
        raise BaselineCorruptError.unreadable(**facts, reason=error) from error
    except (RecordError, UnicodeDecodeError) as error:
        require_merged(path, data, command, shown or path)
        reason = error.reason if isinstance(error, RecordError) else error
        if reason == "checksum":
            raise BaselineCorruptError.edited(**facts) from error
        raise BaselineCorruptError.unreadable(**facts, reason=reason) from error
    if found := baseline.record.non_finite(baseline.gate.allow_nonfinite):
        raise BaselineCorruptError.not_finite(**facts, **found._asdict())
    if reason := implausible(baseline):
        raise BaselineImplausibleError.of(**facts, reason=reason)
    return baseline


def load_with_states(path: Path, command: str, shown: Path | None = None) -> tuple[Baseline, bytes]:
    """Read a baseline and the file of its states, both of one generation, as `load_baseline` does.

    A generation beside this session replaces the record and then removes the former states: if those of the record
    that was read are gone, there is another record by now. `to_states` reads the file, which is empty where there is
    none; BaselineError if one is missing, broken or not the other's.
    """
    former = None
    while True:
        baseline = load_baseline(path, command, shown)
        sha256 = baseline.calibration.states if baseline.calibration else ""
        try:
            return baseline, _states_data(path, sha256, command, shown or path) if sha256 else b""
        except BaselineCorruptError:
            if sha256 == former:
                raise
            former = sha256


def check_figure(path: Path, command: str, shown: Path | None = None, *, form: str = "png") -> None:
    """Refuse a committed figure that is no plain file, and a PNG that is none, is damaged or would fill the memory.

    As `load_baseline` does; pytest-mpl says where there is none, and reads it in its form, whatever it is called.
    """
    try:
        data = read_plain(path, command, shown or path)
        if form == "png":
            png.check(data)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise BaselineCorruptError.unreadable(path=shown or path, command=command, reason=error) from error


def _states_data(path: Path, sha256: str, command: str, shown: Path) -> bytes:
    place = _states_path(shown, sha256)
    try:
        data = read_plain(_states_path(path, sha256), command, place)
    except OSError as error:
        raise BaselineCorruptError.states(path=place, command=command, reason=error) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        reason = "they are not those that were written"
        raise BaselineCorruptError.states(path=place, command=command, reason=reason)
    return data


def to_states(data: bytes, path: Path, baseline: Baseline, command: str) -> "States":
    """Make states of what `load_with_states` returned with a baseline; its path is that of messages.

    BaselineCorruptError if they are none, or begin other steps than the baseline's thresholds count from.
    """
    from harness.recording.states import States

    assert baseline.calibration is not None, "the caller's condition"
    place, reason = _states_path(path, baseline.calibration.states), "they begin other steps than the baseline says"
    try:
        states = States.from_bytes(data)
    except StatesError as error:
        raise BaselineCorruptError.states(path=place, command=command, reason=error.reason) from error
    if states.steps != baseline.calibration.steps:
        raise BaselineCorruptError.states(path=place, command=command, reason=reason)
    return states


def _states_path(path: Path, sha256: str) -> Path:
    """Name states by their content: a record and its states are replaced together, by the record's rename."""
    return path.with_name(f"{path.stem}~{sha256[:_HASH_DIGITS]}.safetensors")


def save_baseline(path: Path, baseline: Baseline, states: "States | None" = None) -> None:
    """Write a baseline, and its states: wholly or not at all. A file takes the place of a link, not of what is behind.

    A stored baseline that differs in its origin and sources only stays as it is: it was made when it says it was.

    Raises:
        NonFiniteError: the record holds NaN or infinity that the gate does not allow.
        BaselineWriteError: the file cannot be written; what stood there still stands.
    """
    if found := baseline.record.non_finite(baseline.gate.allow_nonfinite):
        raise NonFiniteError.at(name=baseline.record.name, **found._asdict())
    data = states.to_bytes() if states else b""
    kept = _states_path(path, states.sha256) if states else None
    try:
        if _stands(path, baseline) and (kept is None or _holds(kept, data)):
            return
        former = set(path.parent.glob(f"{glob.escape(path.stem)}~{'?' * _HASH_DIGITS}.safetensors"))
        with contextlib.ExitStack() as scraps:
            if kept:
                if kept not in former:
                    scraps.callback(kept.unlink, missing_ok=True)
                write(kept, data)
            write(path, baseline.to_text().encode())
            scraps.pop_all()
        for file in former - {kept}:
            file.unlink()
    except OSError as error:
        raise BaselineWriteError.of(path=path, reason=error) from error


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and read(path) == data


def _stands(path: Path, baseline: Baseline) -> bool:
    """Tell whether a baseline is stored already, and says where it came from."""
    if path.is_symlink():
        return False
    try:
        stored = Baseline.from_text(read(path).decode())
    except (OSError, ValueError, RecordError):
        return False
    if stored.record != baseline.record or not stored.origin:  # most differ here, before pictures are packed again
        return False
    plain = (dataclasses.replace(either, origin={}, sources={}).to_text() for either in (stored, baseline))
    return next(plain) == next(plain)


def save_figure(path: Path, data: bytes, about: Mapping[str, str]) -> None:
    """Write a figure as a baseline, with its origin if it is a PNG: wholly or not at all.

    A stored figure that differs in its origin only stays as it is, unless other versions drew it: once written by
    the present ones, it is held against them to the pixel. BaselineWriteError as for a record.
    """
    try:
        plain = path.is_file() and not path.is_symlink()
        stored = read(path) if plain and path.stat().st_size <= LARGEST_FILE else b""
        former = png.annotations(stored)
        by_the_same = all(former.get(name) == about.get(name) for name in DRAWING)
        if not (former and by_the_same and png.plain(stored) == png.plain(data)):
            write(path, png.annotated(data, about))
    except OSError as error:
        raise BaselineWriteError.of(path=path, reason=error) from error


def stored_files(folder: Path) -> list[str]:
    """Return the names of files of ours in a folder of baselines, sorted; hidden ones are being written."""
    return sorted(path.name for path in folder.glob("*") if path.suffix in _OURS and not path.name.startswith("."))


def holds_records(folder: Path) -> bool:
    """Tell whether a folder has a record's baseline, by how it begins: a folder of that name may be another's."""
    with contextlib.suppress(OSError):
        return any(_begins_as_ours(folder / name) for name in stored_files(folder) if name.endswith(".json"))
    return False


def _begins_as_ours(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        words = opened.read(80).split()
    return words[:2] == [b"{", b'"format":'] and b'"sha256":' in words


def stamps(folder: Path) -> dict[str, list[int]]:
    """Return, by name, what tells that files in a folder of baselines were written to."""
    found = {name: stamp(folder / name) for name in stored_files(folder)}
    return {name: state for name, state in found.items() if state}  # somebody may remove one now


def stamp(file: Path) -> list[int]:
    """Return what tells that a file was written to: size and time of its last change; nothing if it is gone."""
    try:
        state = file.lstat()
    except FileNotFoundError:
        return []
    return [state.st_size, state.st_ctime_ns]


def shared_name(file: str) -> str:
    """Return the name of the baseline that a file is a part of: of one environment's record, that of all of them."""
    return _ENVIRONMENT.sub("", file)


def claim_of(file: str) -> str:
    """Return what a test has to own for a file to be its own, as `folded` returns it.

    `a.json` stands for `a,second.json`, too, another record of the same test, and for the states of both.
    """
    if file.endswith(".safetensors"):
        file = file.rpartition("~")[0] + ".json"
    stem, _, other = folded(file).partition(",")
    return f"{stem}.json" if other else stem


def folded(name: str) -> str:
    """Return what two names of files have in common that are one file on some systems: case and Unicode's forms."""
    return unicodedata.normalize("NFC", os.path.normpath(name)).lower()
