"""The kinds of corrupt files: each makes a project in a folder, from the real baselines of this repository."""

import base64
import hashlib
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from harness.baselines import png
from harness.baselines.failed import Candidate, digest, offer
from harness.baselines.origin import content_name
from harness.record import Baseline
from harness.record.text import FORMAT, _checksum
from harness.report.history import remember
from harness.report.json_form import to_text
from tests.corruption.damage import HOSTILE, changed, damaged, generated, nested
from tests.test_page import figure, training


REAL = Path(__file__).parents[2] / "baselines"
NAME = "a"
GOOD = "good"
GATE = {"ignore": ["evaluation/*"], "thresholds": {"loss": 1e-6}, "allow_nonfinite": ["loss"], "reason": "so"}
DRAWN = 200
"""Values that Hypothesis draws, which takes it a few seconds; each is used in many places."""


@cache
def records() -> list[bytes]:
    """Return two real records: of a float64 training, and of a float32 training with states."""
    names = ("*unchanged=article-synthetic.json", "*low_precision*.json")
    return [next(REAL.glob(name)).read_bytes() for name in names]


@cache
def small_record() -> bytes:
    """Return a real record without its pictures, which take a second to pack."""
    return _signed({**_contents()[0], "pictures": {}})


@cache
def figures() -> list[bytes]:
    """Return real figures, the smallest and a larger one."""
    found = sorted((path.read_bytes() for path in REAL.glob("*.png")), key=len)
    return [found[0], found[len(found) // 2]]


@cache
def states() -> bytes:
    """Return the real states."""
    return next(REAL.glob("*.safetensors")).read_bytes()


@cache
def _contents() -> list[dict[str, Any]]:
    """Return what the two records hold, a gate beside it, and one picture each: those take most of the time to read."""
    found = [json.loads(data) for data in records()]
    return [{**content, "pictures": dict([*content["pictures"].items()][:1]), "gate": GATE} for content in found]


@cache
def _drawn() -> list[Any]:
    return generated(DRAWN, 0)


def _signed(content: dict[str, Any]) -> bytes:
    """Return a record's text with a checksum that fits, so that it is read beyond it."""
    body = {key: value for key, value in content.items() if key not in ("sha256", "format")}
    try:
        sha256 = _checksum(body)
    except RecursionError:
        sha256 = ""
    head = {"format": content.get("format", FORMAT), "sha256": sha256}
    return _text({**head, **body}).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    """Return JSON of values nested more deeply than Python's encoder goes."""
    try:
        return json.dumps(value)
    except RecursionError:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)}: {_text(item)}" for key, item in value.items()) + "}"
        depth = 0
        while isinstance(value, list) and len(value) == 1:
            value, depth = value[0], depth + 1
        return "[" * depth + (json.dumps(value) if not isinstance(value, list) else "0") + "]" * depth


@cache
def _bomb() -> bytes:
    """Return 50 MB in 50 KB."""
    return zlib.compress(bytes(50_000_000))


def _put(folder: Path, name: str, data: bytes) -> None:
    (folder / "baselines").mkdir(exist_ok=True)
    (folder / "baselines" / name).write_bytes(data)


def record_bytes(folder: Path, random_: random.Random) -> None:
    """A real record, damaged."""
    _put(folder, f"{NAME}.json", damaged(random_.choice(records()), random_))


def record_values(folder: Path, random_: random.Random) -> None:
    """A real record with other values in it, and a checksum that fits."""
    _put(folder, f"{NAME}.json", _signed(changed(random_.choice(_contents()), random_)))


def record_parts(folder: Path, random_: random.Random) -> None:
    """One stream, picture, histogram or tensor of a real record, changed; a checksum that fits."""
    content = json.loads(json.dumps(random_.choice(_contents())))
    parts = ("streams", "pictures", "histograms", "structure", "calibration")
    part = random_.choice([name for name in parts if name in content])
    content[part] = changed(content[part], random_)
    if random_.random() < 0.2:
        first, loss = 10**9 - 100, content["streams"].get("loss")
        if isinstance(loss, dict) and isinstance(loss.get("values"), list):
            loss["steps"] = [first + step for step in range(len(loss["values"]))]
    _put(folder, f"{NAME}.json", _signed(content))


def record_drawn(folder: Path, random_: random.Random) -> None:
    """JSON that Hypothesis drew, alone or in place of parts of a real record."""
    drawn = random_.choice(_drawn())
    if random_.random() < 0.3:
        _put(folder, f"{NAME}.json", _text(drawn).encode("utf-8", "surrogatepass"))
        return
    content = _contents()[0]
    chosen = random_.sample(sorted(drawn), min(len(drawn), random_.choice((1, 2, 20))))
    _put(folder, f"{NAME}.json", _signed({**content, **{name: drawn[name] for name in chosen}}))


def record_pictures(folder: Path, random_: random.Random) -> None:
    """Pictures in a record that promise more pixels, or hold other bytes, than they should."""
    content = json.loads(records()[0])
    entry = random_.choice(list(content["pictures"].values()))
    packed = bytearray(base64.b85decode(entry["webp"]))
    match random_.randrange(4):
        case 0:
            entry["webp"] = base64.b85encode(damaged(bytes(packed), random_)).decode()
        case 1:
            struct.pack_into("<I", packed, 21, random_.getrandbits(28))
            entry["webp"] = base64.b85encode(bytes(packed)).decode()
        case 2:
            entry[random_.choice(("webp", "pixels"))] = base64.b85encode(_bomb()).decode()
        case 3:
            entry["shape"] = [random_.choice((0, 1, 2, 64, 2.5, 10**6, -1, True)) for _ in range(3)]
    _put(folder, f"{NAME}.json", _signed(content))


def figure_bytes(folder: Path, random_: random.Random) -> None:
    """A real figure, damaged."""
    _put(folder, f"{NAME}.png", damaged(random_.choice(figures()), random_))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with a length and CRC that fit."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def figure_chunks(folder: Path, random_: random.Random) -> None:
    """A figure with chunks that fit formally: huge claims, bombs, hostile texts."""
    data = random_.choice(figures())
    head, rest, end = data[:8], data[33:-12], data[-12:]
    header = data[8:33]
    bomb = _bomb()
    own = b"training-regression\x00"
    extra = random_.choice(
        (
            lambda: chunk(b"iCCP", b"x\x00\x00" + bomb),
            lambda: chunk(b"zTXt", b"x\x00\x00" + bomb),
            lambda: chunk(b"iTXt", b"x\x00\x01\x00\x00\x00" + bomb),
            lambda: chunk(b"tEXt", b"x\x00" + bytes(5_000_000)),
            lambda: chunk(b"tEXt", b"x\x00y") * 20_000,
            lambda: chunk(b"tEXt", own + b"{}") * 20_000,
            lambda: chunk(b"tEXt", own + json.dumps({"made": random_.choice(HOSTILE), "reason": "x"}).encode()),
            lambda: chunk(b"tEXt", own + json.dumps({"reason": random_.choice(HOSTILE)}).encode()),
            lambda: chunk(b"tEXt", own + _text({"made": nested(random_.choice((900, 5000, 100_000)))}).encode()),
            lambda: chunk(b"tEXt", own + random_.randbytes(30)),
            lambda: chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)),
            lambda: chunk(b"PLTE", bytes(3)),
            lambda: chunk(b"IDAT", bomb),
            lambda: struct.pack(">I", 2**31 - 1) + b"tEXt" + own,
            lambda: b"",
        )
    )()
    if random_.random() < 0.5:
        sides = [random_.choice((0, 1, 640, 5000, 30_000, 2**31 - 1, 2**32 - 1)) for _ in range(2)]
        rest_of_header = bytes(random_.choice((1, 2, 8, 16, 3, 0)) for _ in range(5))
        header = chunk(b"IHDR", struct.pack(">II", *sides) + rest_of_header)
    body = extra + rest if random_.random() < 0.7 else rest + extra
    first = random_.choice(
        (b"", b"", b"", chunk(b"tEXt", struct.pack(">II", 1, 1) + b"x\x00y"), chunk(b"IHDR", bytes(13)))
    )
    _put(folder, f"{NAME}.png", head + first + header + body + end)


def states_bytes(folder: Path, random_: random.Random) -> None:
    """Real states, damaged, in half of the cases in their numbers only; their record names them all the same."""
    start = random_.choice((0, 8 + int.from_bytes(states()[:8], "little")))
    _put_states(folder, states()[:start] + damaged(states()[start:], random_)[: len(states()) - start])


def states_headers(folder: Path, random_: random.Random) -> None:
    """States with another header: overlapping, endless, of other types and names."""
    length = int.from_bytes(states()[:8], "little")
    header, numbers = json.loads(states()[8 : 8 + length]), states()[8 + length :]
    for name in random_.sample(sorted(header), random_.choice((1, 3))):
        entry = header.pop(name)
        if not isinstance(entry, dict) or "dtype" not in entry:
            continue
        entry |= random_.choice(
            (
                {"dtype": random_.choice(("F8_E4M3", "F4", "C64", "I64", "BOOL", "U8", "X", "F16", "BF16", "F64"))},
                {"shape": random_.choice(([], [0], [2**62, 4], [-1], [1] * 100, [2.5], "x"))},
                {"data_offsets": random_.choice(([0, 2**62], [8, 0], [0, 0], [-4, 4], [], "x"))},
                {},
            )
        )
        header[random_.choice((name, "0/x", "x/y", "../../x", "9" * 5000 + "/w", "-1/w", "0", ""))] = entry
    text = _text(header).encode()
    size = random_.choice((len(text), len(text), len(text), 2**63, 0, len(text) - 1, 10**8))
    _put_states(folder, size.to_bytes(8, "little") + text + numbers)


def _put_states(folder: Path, data: bytes) -> None:
    content = {**json.loads(records()[1]), "pictures": {}}
    content["calibration"]["states"] = sha256 = hashlib.sha256(data).hexdigest()
    _put(folder, f"{NAME}.json", _signed(content))
    _put(folder, f"{NAME}~{sha256[:12]}.safetensors", data)


@cache
def _red() -> tuple[bytes, bytes]:
    """Return a baseline, and a result that differs from it."""
    text = Baseline.from_text(small_record().decode()).to_text()
    return text.encode(), text.replace('"name": "article"', '"name": "other"').encode()


def _offered(folder: Path, file: str, compared: bytes, result: bytes) -> Path:
    (folder / "test_a.py").touch()
    candidate = Candidate(
        test="test_a.py::test_a",
        baseline=f"baselines/{file}",
        compared=digest(compared),
        result="",
        difference="all of it",
        sources={"test_a.py": content_name(folder, "test_a.py")},
        obstacle="",
        origin={"made": "now"},
    )
    _put(folder, file, compared)
    failed = folder / "build" / "harness" / "failed"
    offer(failed, candidate, result)
    return failed / f"{file}.candidate"


def note_bytes(folder: Path, random_: random.Random) -> None:
    """The note on a failed comparison, damaged."""
    note = _offered(folder, f"{NAME}.png", *figures())
    note.write_bytes(damaged(note.read_bytes(), random_))


PLACES = (
    "../../a.png",
    "/tmp/a.png",
    "baselines/../../a.png",
    "a\x00/a.png",
    "\ud800/a.png",
    "x" * 5000 + "/a.png",
    "conftest.py",
    "",
    ".",
    "~/a.png",
    "link/a.png",
    "loop/a.png",
    "C:\\a.png",
    "test_a.py/a.png",
    "build/harness/failed/a.png",
)


def note_values(folder: Path, random_: random.Random) -> None:
    """A note with other values: paths that lead elsewhere, among them through links."""
    note = _offered(folder, f"{NAME}.png", *figures())
    (folder / "link").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    content = json.loads(note.read_bytes())
    match random_.randrange(4):
        case 0:
            content["baseline"] = random_.choice(PLACES)
        case 1:
            place = random_.choice((*PLACES, "/dev/zero", "baselines"))
            content["sources"] = {place: random_.choice(("", *content["sources"].values(), "x"))}
        case _:
            content = changed(content, random_)
    note.write_text(_text(content), encoding="utf-8", errors="surrogatepass")


def result_bytes(folder: Path, random_: random.Random) -> None:
    """A result that is no record or figure any more, though the note's digest fits."""
    if random_.random() < 0.5:
        _offered(folder, f"{NAME}.png", figures()[0], damaged(figures()[1], random_))
    else:
        baseline, result = _red()
        _offered(folder, f"{NAME}.json", baseline, damaged(result, random_))


def result_values(folder: Path, random_: random.Random) -> None:
    """A record with other values as a result, digest and checksum fitting."""
    content = changed(json.loads(small_record()), random_)
    _offered(folder, f"{NAME}.json", small_record(), _signed(content))


def session_notes(folder: Path, random_: random.Random) -> None:
    """What the last session left for `harness list`, damaged or with other values."""
    _put(folder, f"{NAME}.png", figures()[0])
    place = folder / "build" / "harness"
    place.mkdir(parents=True)
    content = {"baselines": "baselines", "orphans": ["a.png"]}
    if random_.random() < 0.5:
        data = damaged(json.dumps(content).encode(), random_)
    else:
        content["baselines"] = random_.choice((*PLACES, *HOSTILE))
        content["orphans"] = random_.choice((HOSTILE, random_.choice(HOSTILE), nested(3000)))
        data = _text(content).encode("utf-8", "surrogatepass")
    (place / "session.json").write_bytes(data)


def history_lines(folder: Path, random_: random.Random) -> None:
    """The margins of past runs, damaged or with other values."""
    path = folder / "history.jsonl"
    for rms in (0.1, 0.2):
        remember(path, [figure(rms=rms, passed=True)])
    data = path.read_bytes()
    if random_.random() < 0.5:
        path.write_bytes(damaged(data, random_))
    else:
        lines = [changed(json.loads(line), random_) for line in data.splitlines()]
        path.write_text("\n".join(map(_text, lines)), encoding="utf-8", errors="surrogatepass")


def result_lists(folder: Path, random_: random.Random) -> None:
    """What a session found, with other values and endless curves; or something else in its place."""
    _put(folder, f"{NAME}.png", figures()[0])
    path = folder / "build" / "harness" / "results.json"
    path.parent.mkdir(parents=True)
    content = json.loads(to_text([training((2.0, 1.6, 1.0)), figure()]))
    curve = content["results"][0]["subject"]["curves"][0]
    match random_.randrange(5):
        case 0:
            os.mkfifo(path)
            return
        case 1:
            path.symlink_to(random_.choice(("nowhere", "/dev/zero", path.name, "..")))
            return
        case 2:
            for name in random_.choice((("steps", "values"), ("baseline_steps", "baseline"))):
                curve[name] = [0] * random_.choice((401, 10_000, 2_000_000))
        case 3:
            content["results"] *= random_.choice((1000, 30_000))
        case _:
            content = changed(content, random_)
    path.write_text(_text(content), encoding="utf-8", errors="surrogatepass")


def odd_files(folder: Path, random_: random.Random) -> None:
    """Something else in a baseline's place: a folder, a pipe, links to nowhere, to devices, around; a huge file."""
    (folder / "baselines").mkdir()
    path = folder / "baselines" / (NAME + random_.choice((".json", ".png")))
    match random_.randrange(7):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            path.symlink_to(random_.choice(("nowhere", "/dev/zero", "/dev/random", "/etc/passwd", path.name, "..")))
        case 3:
            with path.open("wb") as file:
                file.truncate(random_.choice((0, 1, 63, 65, 5000)) * 2**20)
        case 4:
            path.write_bytes(random_.randbytes(random_.choice((0, 1, 7, 33, 1000))))
        case 5:
            path.write_bytes(random_.choice((*records(), *figures(), states())))
        case 6:
            path.write_bytes(png.annotated(figures()[0], {"made": "\x1b[2J"}))


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "records: bytes damaged": record_bytes,
    "records: values changed": record_values,
    "records: parts changed": record_parts,
    "records: drawn by Hypothesis": record_drawn,
    "records: pictures": record_pictures,
    "figures: bytes damaged": figure_bytes,
    "figures: hostile chunks": figure_chunks,
    "states: bytes damaged": states_bytes,
    "states: hostile headers": states_headers,
    "notes: bytes damaged": note_bytes,
    "notes: values changed": note_values,
    "results: bytes damaged": result_bytes,
    "results: values changed": result_values,
    "notes of the session": session_notes,
    "history of margins": history_lines,
    "results of a session": result_lists,
    "other things in their place": odd_files,
}
