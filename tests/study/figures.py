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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness import Record, compare, figures
from harness.errors import NotRecordedError
from harness.figures.canvas import pixels_of
from harness.recording.perturbation import perturbed
from tests.study.growth_programs import PROGRAMS
from tests.study.growth_runs import SETTINGS
from tests.study.runs import ROOT


TOLERANCE = 2.0
"""Of pytest-mpl, in RMS over all pixels."""
CHOSEN = ("cifar_cnn", "resnet, rate 0.1, 36 steps", "LBFGS", "transformer", "GAN")
"""Programs: one that has every figure, one whose rounding grows to 1e-9, one with 1e-10 in its first step, two more."""
ELSEWHERE = ("threads2", "layout", "rounded", "jitter1", "jitter2", "old", "avx2")
PART = 1e-3
"""Of a number, that a fault moves it."""

Change = Callable[[Record], Record]


def rms(one: np.ndarray, other: np.ndarray) -> float:
    """Return pytest-mpl's measure; infinite for pictures of two sizes, which it refuses."""
    same = one.shape == other.shape
    return float(np.sqrt(np.mean((one.astype(float) - other) ** 2))) if same else np.inf


def drawn(name: str, record: Record, baseline: Record) -> np.ndarray:
    """Return the pixels of a gated figure of a record, or of its comparison with its baseline."""
    shown = compare(baseline, record) if name == "deviations" else record
    return pixels_of(getattr(figures, name)(shown))


# --- faults, planted in a record: in all numbers that a figure shows, or in one


def _logged(kind: str, only_one: bool, record: Record) -> Record:
    """Move streams of a kind."""
    found = [key for key, _ in record.streams.of(kind) if record.streams[key].stage != "evaluation"]
    found = [key for key in found if kind != "logged" or "loss" in key] or found
    return _moved(record, {key: 1 + PART for key in found[: 1 if only_one else None]}, only_one)


def _moved(record: Record, factors: Mapping[str, float], only_one: bool) -> Record:
    streams = dict(record.streams)
    for key, factor in factors.items():
        values = np.array(streams[key].values)
        values[slice(len(values) // 2, len(values) // 2 + 1) if only_one else slice(None)] *= factor
        streams[key] = dataclasses.replace(streams[key], values=tuple(values.tolist()))
    return dataclasses.replace(record, streams=streams)


def _accuracy(only_one: bool, record: Record) -> Record:
    """Let one image more be wrong in each evaluation, or in one."""
    key = "evaluation/accuracy"
    largest = max(record.streams[key].values)
    return _moved(record, {key: 1 - 1 / (largest * np.sum(record.confusion))}, only_one)


def _ends(prefix: str, only_one: bool, record: Record) -> Record:
    """Move what black and white of pictures, or the ends of histograms, stand for."""

    def moved(name: str, limits: tuple[float, ...]) -> tuple[float, ...]:
        low, high = (float(limit) for limit in limits)
        return (low * (1 if only_one else 1 + PART), high * (1 + PART)) if name.startswith(prefix) else (low, high)

    pictures = {
        name: dataclasses.replace(picture, limits=moved(name, picture.limits)) if picture.limits else picture
        for name, picture in record.pictures.items()
    }
    histograms = {
        name: dataclasses.replace(histogram, limits=tuple(moved(name, limits) for limits in histogram.limits))
        for name, histogram in record.histograms.items()
    }
    if only_one:
        first = next(name for name in (*pictures, *histograms) if name.startswith(prefix) and name[-5:] != "input")
        pictures = {name: p if name == first else record.pictures[name] for name, p in pictures.items()}
        histograms = {name: h if name == first else record.histograms[name] for name, h in histograms.items()}
    return dataclasses.replace(record, pictures=pictures, histograms=histograms)


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
    "loss_curve": _both(_logged, "logged"),
    "accuracy_curve": _both(_accuracy),
    "learning_rate_curve": _both(_logged, "learning_rate"),
    "gradient_flow": _both(_logged, "gradient"),
    "update_ratio": _both(_logged, "update"),
    "weight_distributions": _both(_ends, "weight/"),
    "gradient_distributions": _both(_ends, "gradient/"),
    "confusion_matrix": Fault(_image, _image),
    "class_accuracy": Fault(_right, _right),
    "filters": _both(_ends, "filters"),
    "activation_maps": _both(_ends, "activation/"),
    "batch_grid": _both(_pixels),
    "prediction_grid": Fault(_predicted, _predicted),
    "mistakes": _both(_sure),
    "model_structure": Fault(_larger, _larger),
    "deviations": _both(_logged, "logged"),
}
"""Of each figure."""


# --- what others make of the same training


def trained(program: str, setting: str) -> Record:
    """Run a program in a setting whose environment this process has."""
    with perturbed(SETTINGS[setting].perturbation):
        return next(p for p in PROGRAMS if p.name == program).run(0)


def records(setting: str) -> dict[str, Record]:
    """Return what the programs do in a setting, in a process of its own: torch reads its environment once."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.study.figures", setting, folder]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **SETTINGS[setting].environment}, check=True)
        return {name: Record.load(Path(folder) / f"{i}.json") for i, name in enumerate(CHOSEN)}


class Seen(NamedTuple):
    """RMS of a figure."""

    figure: str
    everywhere: float
    once: float
    benign: float
    where: str

    @property
    def is_as_promised(self) -> bool:
        """Whether the tolerance sees the fault, and half of it does not see another machine."""
        return self.everywhere > TOLERANCE and self.benign < TOLERANCE / 2


def seen(name: str, base: Record, benign: Mapping[str, tuple[Record, Record]]) -> Seen:
    """Measure one figure: faults of a record, and the benign changes (as it stands, elsewhere) in which it is drawn."""
    plain = drawn(name, base, base)
    faults = (rms(plain, drawn(name, change(base), base)) for change in FAULTS[name])
    sizes = {where: rms(drawn(name, one, one), drawn(name, other, one)) for where, (one, other) in benign.items()}
    furthest = max(sizes, key=lambda where: sizes[where])
    return Seen(name, *faults, sizes[furthest], furthest)


def _draws(name: str, record: Record) -> bool:
    try:
        drawn(name, record, record)
    except NotRecordedError:
        return False
    return True


def table(lines: list[Seen]) -> str:
    """Return the lines as Markdown."""
    head = ["figure", "0.1 % in all its numbers", "in one", "largest benign", "which", "tolerance"]
    rows = [[s.figure, f"{s.everywhere:.1f}", f"{s.once:.1f}", f"{s.benign:.2f}", s.where, f"{TOLERANCE:g}"] for s in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
