"""What the tolerance of a figure sees: a thousandth of its numbers, and what other machines make of them.

    python -m tests.study.figures

Trains a few programs, the liveliest of `growth_programs` among them, as they stand and as on other machines, and prints
a line a figure. It fails if a fault stays within pytest-mpl's tolerance, or a benign change takes half of it.
"""

import dataclasses
import functools
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness import Record, compare, figures
from harness.comparing.variants import measured
from harness.errors import NotRecordedError
from harness.figures.canvas import pixels_of
from harness.record import Baseline, StreamKey
from harness.recording.perturbation import perturbed
from tests.study.growth_programs import PROGRAMS
from tests.study.growth_runs import SETTINGS
from tests.study.runs import ROOT


TOLERANCE = 2.0
"""Of pytest-mpl, in RMS over all pixels."""
CHOSEN = ("cifar_cnn", "resnet, rate 0.1, 36 steps", "LBFGS", "transformer")
"""Programs: one that has every figure, one whose rounding grows to 1e-9, one that begins with 1e-10, a quiet one."""
MEASURED = ("jitter1", "jitter2", "jitter3")
"""Settings that measure a program's growth."""
BENIGN = (*MEASURED, "threads2", "layout", "rounded", "old", "avx2")
PART = 1e-3
"""Of a number, that a fault moves it."""

Change = Callable[[Record], Record]


def rms(one: np.ndarray, other: np.ndarray) -> float:
    """Return pytest-mpl's measure; infinite for pictures of two sizes, which it refuses."""
    same = one.shape == other.shape
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2))) if same else np.inf


def drawn(name: str, record: Record, baseline: Baseline) -> np.ndarray:
    """Return the pixels of a gated figure of a record, or of its comparison with its baseline."""
    shown = compare(baseline, record) if name == "deviations" else record
    return pixels_of(getattr(figures, name)(shown))


# --- faults, planted in a record: in all numbers that a figure shows, or in one


def _scaled(kind: str, only_one: bool, record: Record) -> Record:
    """Move the streams of a kind, or one number in the middle of the first."""
    found = [key for key, _ in record.streams.of(kind)]
    return _moved(record, found[:1] if only_one else found, 1 + PART, only_one)


def _accuracy(only_one: bool, record: Record) -> Record:
    """Let one image more be wrong in each evaluation, or in one."""
    accuracy = max(record.streams["evaluation/accuracy"].values)
    image = 1 / (accuracy * np.sum(record.confusion))
    return _moved(record, ["evaluation/accuracy"], 1 - image, only_one)


def _moved(record: Record, keys: Iterable[str], factor: float, only_one: bool) -> Record:
    streams = dict(record.streams)
    for key in keys:
        values = np.array(record.streams[key].values)
        middle = len(values) // 2
        values[middle if only_one else slice(None)] *= factor
        streams[StreamKey(key)] = dataclasses.replace(record.streams[key], values=tuple(values.tolist()))
    return dataclasses.replace(record, streams=streams)


def _ends(prefix: str, only_one: bool, record: Record) -> Record:
    """Move what black and white of pictures stand for, or white of the first."""
    names = [name for name in record.pictures if name.startswith(prefix) and name != "activation/input"]
    pictures = dict(record.pictures)
    for name in names[: 1 if only_one else None]:
        low, high = pictures[name].limits
        limits = low * (1 if only_one else 1 + PART), high * (1 + PART)
        pictures[name] = dataclasses.replace(pictures[name], limits=limits)
    return dataclasses.replace(record, pictures=pictures)


def _elements(prefix: str, only_one: bool, record: Record) -> Record:
    """Put a thousandth of the elements of each tensor into the next bin at the end, or one element of the first."""
    histograms = dict(record.histograms)
    names = [name for name in histograms if name.startswith(prefix)]
    for name in names[: 1 if only_one else None]:
        *earlier, last = (list(counts) for counts in histograms[name].counts)
        fullest = max(range(len(last) - 1), key=lambda place: last[place])
        moved = 1 if only_one else max(1, round(PART * sum(last)))
        last[fullest] -= moved
        last[fullest + 1] += moved
        histograms[name] = dataclasses.replace(histograms[name], counts=tuple(map(tuple, (*earlier, last))))
    return dataclasses.replace(record, histograms=histograms)


def _image(record: Record) -> Record:
    """Take one image of the last class for the first."""
    *rows, last = record.confusion
    wrong = max(range(len(last)), key=lambda label: last[label])
    other = (wrong + 1) % len(last)
    counts = [count - (label == wrong) + (label == other) for label, count in enumerate(last)]
    return dataclasses.replace(record, confusion=(*rows, tuple(counts)))


def _right(record: Record) -> Record:
    """Let one image of the class that is most often right be wrong."""
    rows = [list(row) for row in record.confusion]
    label = max(range(len(rows)), key=lambda label: rows[label][label])
    rows[label][label] -= 1
    rows[label][label - 1] += 1
    return dataclasses.replace(record, confusion=tuple(map(tuple, rows)))


def _picture(record: Record, name: str, **changes: object) -> Record:
    picture = dataclasses.replace(record.pictures[name], **changes)
    return dataclasses.replace(record, pictures={**record.pictures, name: picture})


def _pixels(only_one: bool, record: Record) -> Record:
    """Invert every thousandth pixel of the batch, or one."""
    pixels = np.frombuffer(record.pictures["batch"].pixels, np.uint8).reshape(-1, 3).copy()
    chosen = slice(500, 501) if only_one else slice(None, None, 1000)
    pixels[chosen] = 255 - pixels[chosen]
    return _picture(record, "batch", pixels=pixels.tobytes())


def _predicted(record: Record) -> Record:
    """Take the first image that is wrong for another class than before."""
    found, true = record.pictures["predictions"].predicted, record.pictures["predictions"].labels
    first = next((i for i, label in enumerate(found) if label != true[i]), 0)
    label = next(label for label in range(10) if label not in (found[first], true[first]))
    return _picture(record, "predictions", predicted=(*found[:first], label, *found[first + 1 :]))


def _sure(only_one: bool, record: Record) -> Record:
    """Move the confidence of mistakes."""
    first, *others = record.pictures["mistakes"].confidence
    rest = others if only_one else [sure * (1 - PART) for sure in others]
    return _picture(record, "mistakes", confidence=(first * (1 - PART), *rest))


def _larger(record: Record) -> Record:
    """Give the tensor of most rows one more."""
    trained = {name: entry for name, entry in record.structure.items() if entry.get("group") is not None}
    name = max(trained, key=lambda name: (trained[name]["shape"] or [0])[0])
    shape = [trained[name]["shape"][0] + 1, *trained[name]["shape"][1:]]
    return dataclasses.replace(record, structure={**record.structure, name: {**trained[name], "shape": shape}})


class Fault(NamedTuple):
    """A thousandth, or one image, in all that a figure shows, and in as little as it can be in."""

    everywhere: Change
    once: Change


def _both(change: Callable[..., Record], *args: object) -> Fault:
    return Fault(functools.partial(change, *args, False), functools.partial(change, *args, True))


FAULTS = {
    "loss_curve": _both(_scaled, "logged"),
    "accuracy_curve": _both(_accuracy),
    "learning_rate_curve": _both(_scaled, "learning_rate"),
    "gradient_flow": _both(_scaled, "gradient"),
    "update_ratio": _both(_scaled, "update"),
    "weight_distributions": _both(_elements, "weight/"),
    "gradient_distributions": _both(_elements, "gradient/"),
    "confusion_matrix": Fault(_image, _image),
    "class_accuracy": Fault(_right, _right),
    "filters": _both(_ends, "filters"),
    "activation_maps": _both(_ends, "activation/"),
    "batch_grid": _both(_pixels),
    "prediction_grid": Fault(_predicted, _predicted),
    "mistakes": _both(_sure),
    "model_structure": Fault(_larger, _larger),
    "deviations": _both(_scaled, "logged"),
}
"""Of each figure."""


# --- what other machines make of the same training


def records(setting: str) -> dict[str, Record]:
    """Return what the programs do in a setting, in a process of its own: torch reads its environment once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.study.figures", setting, folder]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **SETTINGS[setting].environment}, check=True)
        return {name: Record.load(Path(folder) / f"{i}.json") for i, name in enumerate(CHOSEN)}


def with_growth(record: Record, draws: Sequence[Record]) -> Baseline:
    """Return a baseline with what rounding grows to in it, as it is measured where one is written."""
    return Baseline(record, calibration=measured(record, None, {f"jitter {i}": draw for i, draw in enumerate(draws)}))


def keep(setting: str, folder: Path) -> None:
    """Run the programs in a setting whose environment this process has, and write their records."""
    for i, name in enumerate(CHOSEN):
        with perturbed(SETTINGS[setting].perturbation):
            next(program for program in PROGRAMS if program.name == name).run(0, "cpu").save(folder / f"{i}.json")


class Seen(NamedTuple):
    """How far a figure moves, in RMS."""

    figure: str
    everywhere: float  # by a fault in all its numbers
    once: float  # in one of them
    benign: float
    where: str  # that was

    @property
    def is_as_promised(self) -> bool:
        """Whether the tolerance sees the fault, and half of it does not see another machine."""
        return self.everywhere > TOLERANCE and self.benign < TOLERANCE / 2


def seen(name: str, base: Baseline, benign: Mapping[str, tuple[Baseline, Record]]) -> Seen:
    """Measure a figure: faults of a record; and trainings as they stand and as on other machines, by what they are."""
    bases = {id(one): one for one, _ in benign.values()}
    plain = {key: drawn(name, one.record, one) for key, one in bases.items()}
    faults = (rms(plain[id(base)], drawn(name, change(base.record), base)) for change in FAULTS[name])
    sizes = {where: rms(plain[id(one)], drawn(name, other, one)) for where, (one, other) in benign.items()}
    furthest = max(sizes, key=lambda where: sizes[where])
    return Seen(name, *faults, sizes[furthest], furthest if sizes[furthest] else "none")


def table(lines: Iterable[Seen]) -> str:
    """Return the lines as Markdown."""
    head = ["figure", "0.1 % in all its numbers", "in one", "largest benign", "of", "tolerance"]
    rows = [
        [s.figure, f"{s.everywhere:.1f}", f"{s.once:.1f}", f"{s.benign:.2f}", s.where, f"{TOLERANCE:g}"] for s in lines
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _draws(name: str, baseline: Baseline) -> bool:
    try:
        drawn(name, baseline.record, baseline)
    except NotRecordedError:
        return False
    return True


def main() -> int:
    """Print the table; return 1 if a figure is not as promised."""
    if len(sys.argv) == 3:  # from `records`
        keep(sys.argv[1], Path(sys.argv[2]))
        return 0
    ran = {setting: records(setting) for setting in ("plain", *BENIGN)}
    bases = {name: with_growth(record, [ran[draw][name] for draw in MEASURED]) for name, record in ran["plain"].items()}
    lines = []
    for name in FAULTS:
        pairs = itertools.product((program for program in CHOSEN if _draws(name, bases[program])), BENIGN)
        benign = {f"{p}, {SETTINGS[setting].what}": (bases[p], ran[setting][p]) for p, setting in pairs}
        lines.append(seen(name, bases[CHOSEN[0]], benign))
    print(table(lines))
    return int(not all(line.is_as_promised for line in lines))


if __name__ == "__main__":
    sys.exit(main())
