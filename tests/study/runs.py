"""Run edited copies of the program, each in a process of its own, and keep their records."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from harness import Record
from harness.recording.perturbation import Perturbation, perturbed


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "study"
"""Where runs are kept: one file each, named after what was run."""
PROGRAM = Path(__file__).with_name("program.py")
STEPS_PER_EPOCH = 16

_RECORDING = ("record/*", "recording/*")
"""Modules of the harness that decide what a record holds; a change in one makes the kept records stale."""


@dataclass(frozen=True)
class Variant:
    """One way in which the program is changed: a fault, or something benign.

    Args:
        id: letter of the kind and a number.
        what: one line for people.
        edits: (old, new) texts; each old one stands in the program exactly once.
        environment: environment variables of its process.
        python: another interpreter; empty for this one.
        stages: for a fault, the stages of which one is the right diagnosis; empty for the usual ones of its letter.
    """

    id: str
    what: str
    edits: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    stages: tuple[str, ...] = ()

    @classmethod
    def of(cls, id: str, what: str, *texts: str, **rest: Any) -> Self:
        """Return a variant whose edits are given as old, new, old, new, ..."""
        return cls(id, what, tuple(zip(texts[::2], texts[1::2], strict=True)), **rest)


REFERENCE = Variant("reference", "the program as it stands")


@dataclass(frozen=True)
class Conditions:
    """How a program is run, beside its text.

    Args:
        precision: float64 or float32.
        epochs: of 16 steps each.
        keeps_states: whether it keeps its states for others to be put back on.
        states: of which run it is put back on the states (its file); empty for a free run.
        perturbation: what the recorder perturbs.
        changes: other entries of the program's CFG.
    """

    precision: str = "float64"
    epochs: int = 4
    keeps_states: bool = False
    states: str = ""
    perturbation: Perturbation = field(default_factory=Perturbation)
    changes: Mapping[str, Any] = field(default_factory=dict)


FLOAT64, FLOAT32 = Conditions(), Conditions("float32")


class Run(NamedTuple):
    """What a run left behind."""

    record: Record
    seconds: float


def edited(variant: Variant) -> str:
    """Return the program's text with a variant's edits.

    Raises:
        ValueError: an edit's old text is not in the program exactly once.
    """
    text = PROGRAM.read_text(encoding="utf-8")
    for old, new in variant.edits:
        if (count := text.count(old)) != 1:
            raise ValueError(f"{variant.id}: {old!r} stands in the program {count} times, not once")
        text = text.replace(old, new)
    return text


def train(text: str, name: str = "program", **arguments: Any) -> Record:
    """Run a program's text in a fresh namespace.

    Args:
        text: what `edited` returned.
        name: file name in tracebacks.
        **arguments: states, and entries of the program's CFG.
    """
    module = types.ModuleType("program")
    exec(compile(text, name, "exec"), module.__dict__)
    return module.train(**arguments)


def kept(variant: Variant, conditions: Conditions) -> Path:
    """Return the file of a run, which is there once it has run; its states are beside it."""
    parts = [edited(variant), json.dumps([dict(variant.environment), dataclasses.asdict(conditions)]), variant.python]
    sources = [path for name in _RECORDING for path in sorted((ROOT / "harness").glob(f"{name}.py"))]
    parts += [path.read_text(encoding="utf-8") for path in sources]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    way = "-states" if conditions.keeps_states else "-replay" if conditions.states else ""
    return FOLDER / f"{variant.id}-{conditions.precision}{way}-{conditions.epochs}-{key}.json"


def run(variant: Variant, conditions: Conditions = FLOAT64) -> Run:
    """Return a variant's run, from the folder if it is there.

    Raises:
        RuntimeError: the program failed; the message ends with its own last lines.
    """
    path = kept(variant, conditions)
    if not path.exists():
        _run_alone(variant, path, conditions)
    content = json.loads(path.read_text(encoding="utf-8"))
    return Run(Record.from_text(content["record"]), content["seconds"])


def run_all(variants: Sequence[Variant], conditions: Sequence[Conditions], jobs: int) -> None:
    """Run what is not yet in the folder, `jobs` at a time, and print a line each."""
    wanted = [(variant, condition) for variant in variants for condition in conditions]
    with ThreadPoolExecutor(jobs) as pool:
        pending = [(*pair, pool.submit(run, *pair)) for pair in wanted]
        for number, (variant, condition, future) in enumerate(pending, 1):
            way = f"{condition.precision}{' replay' * bool(condition.states)}"
            line = f"{variant.id} {way}: {future.result().seconds:.1f} s, {variant.what}"
            print(f"[{number}/{len(pending)}] {line}", file=sys.stderr, flush=True)


def _run_alone(variant: Variant, path: Path, conditions: Conditions) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    program = path.with_suffix(".py")
    program.write_text(edited(variant), encoding="utf-8")
    order = json.dumps(dataclasses.asdict(conditions))
    command = [variant.python or sys.executable, "-m", "tests.study.runs", program, path, order]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variant.environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{variant.id} failed:\n{done.stderr[-2000:]}")


def run_here(variant: Variant, conditions: Conditions) -> float:
    """Train in this process what is not yet in the folder, which saves the start of another; return the seconds.

    Only for variants without an environment or interpreter of their own.
    """
    path = kept(variant, conditions)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _keep(edited(variant), variant.id, path, conditions)
    return json.loads(path.read_text(encoding="utf-8"))["seconds"]


def main() -> None:
    """Run one program file; for `run`, which starts it in a process of its own."""
    program, path = map(Path, sys.argv[1:3])
    order = json.loads(sys.argv[3])
    conditions = Conditions(**{**order, "perturbation": Perturbation(**order["perturbation"])})
    _keep(program.read_text(encoding="utf-8"), str(program), path, conditions)


def _keep(text: str, name: str, path: Path, conditions: Conditions) -> None:
    """Train, and keep record and states."""
    states = _states(conditions)
    settings = {"precision": conditions.precision, "epochs": conditions.epochs, **conditions.changes}
    began = time.perf_counter()
    with perturbed(conditions.perturbation):
        record = train(text, name, states=states, **settings)
    if conditions.keeps_states:
        path.with_suffix(".states").write_bytes(states.to_bytes())
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"seconds": time.perf_counter() - began, "record": record.to_text()}))
    partial.replace(path)  # so that a run that was cut off leaves nothing that looks whole


def _states(conditions: Conditions) -> Any:
    from harness.recording.states import States  # imports torch: too much for whoever only reads records

    if conditions.states:
        return States.from_bytes((FOLDER / conditions.states).read_bytes())
    return States() if conditions.keeps_states else None


if __name__ == "__main__":
    main()
