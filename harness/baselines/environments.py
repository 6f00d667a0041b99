"""Which of several baselines a low-precision training is held against: that of its environment, or the nearest."""

import glob
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.baselines.store import load_baseline, load_with_states
from harness.errors import BaselineMissingError
from harness.record import Baseline
from harness.record.environment import differences, in_words


_KEY_DIGITS = 12
_WEIGHTS = ("device", "system", "torch", "cuda", "cudnn", "instructions", "processor")
"""Entries of an environment, those first that move numbers most; the others come after them, all alike."""
Environment = Mapping[str, str]


@dataclass(frozen=True)
class Choice:
    """The baseline that was chosen for a training, of a number of stored ones."""

    path: Path
    baseline: Baseline
    states: bytes  # the file of its states, empty where it has none
    stored: int

    @property
    def environment(self) -> Environment:
        """Where the baseline was made."""
        return self.baseline.record.environment

    def is_of(self, environment: Environment) -> bool:
        """Tell whether the baseline was made in an environment."""
        return not differences(self.environment, environment)

    def text(self, environment: Environment) -> str:
        """Return the choice for a training in an environment in words; empty where there was none, and no need."""
        changes = ", ".join(in_words(differences(self.environment, environment)))
        if self.stored == 1:
            return f"made in another environment ({changes})" if changes else ""
        if not changes:
            return f"that of this environment, of {self.stored}"
        return f"the nearest of {self.stored}, none of this environment ({changes})"


def nearest(path: Path, environment: Environment, command: str, shown: Path | None = None) -> Choice | None:
    """Return the baseline of the nearest environment, of equals the first, or None; BaselineError if one is broken.

    The baseline that is stored for all environments stands at `path`, those of single ones beside it. Environments are
    compared entry by entry: first the device, then system, torch, CUDA, instruction set and processor, then the rest;
    of two torches that both differ, one of the same minor version is nearer. Beside this environment's own, no other is
    read.
    """
    shown = shown or path
    files = [file for file in (path, *others(path)) if os.path.lexists(file)]
    own = beside(path, environment)
    read = [own] if own in files else files

    def distance(file: Path) -> tuple[int, ...]:
        there = load_baseline(file, command, shown.with_name(file.name)).record.environment
        return _distance(there, environment)

    try:
        chosen = min(read, key=distance) if len(read) > 1 else next(iter(read), None)
        if chosen is None:
            return None
        return Choice(chosen, *load_with_states(chosen, command, shown.with_name(chosen.name)), len(files))
    except BaselineMissingError:  # one has gone since they were listed
        return nearest(path, environment, command, shown)


def others(path: Path) -> list[Path]:
    """Return the files of baselines of single environments that stand beside a baseline, sorted."""
    return sorted(path.parent.glob(f"{glob.escape(path.stem)},@{'?' * _KEY_DIGITS}.json"))


def beside(path: Path, environment: Environment) -> Path:
    """Return the file of the baseline of one environment."""
    key = hashlib.sha256(json.dumps(dict(environment), sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]
    return path.with_name(f"{path.stem},@{key}.json")


def is_of_another(path: Path, environment: Environment) -> bool:
    """Tell whether a file is that of the baseline of one environment, and this is another."""
    shared, comma, _ = path.stem.partition(",@")
    return bool(comma) and beside(path.with_name(f"{shared}.json"), environment) != path


def _distance(stored: Environment, environment: Environment) -> tuple[int, ...]:
    """Return how far two environments are from each other; tuples compare from the left."""
    ranked = [*_WEIGHTS, *sorted({*stored, *environment} - {*_WEIGHTS})]
    differs = [int(stored.get(name) != environment.get(name)) for name in ranked]
    torches = (text.get("torch", "").split(".")[:2] for text in (stored, environment))
    differs[_WEIGHTS.index("torch")] += next(torches) != next(torches)
    return (*differs[: len(_WEIGHTS)], sum(differs[len(_WEIGHTS) :]))
