"""Run edited copies of the program, each in a process of its own, and keep their records."""

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


ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "study"
"""Where runs are kept: one file each, named after what was run."""
PROGRAM = Path(__file__).with_name("program.py")
PRECISIONS = ("float64", "float32")
EPOCHS = 4
STEPS_PER_EPOCH = 16

_RECORDING = ("determinism", "hooks", "measure", "record", "recorder", "recording", "tape", "watched")
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


def train(text: str, name: str = "program", **changes: object) -> Record:
    """Run a program's text in a fresh namespace.

    Args:
        text: what `edited` returned.
        name: file name in tracebacks.
        **changes: entries of the program's CFG.
    """
    module = types.ModuleType("program")
    exec(compile(text, name, "exec"), module.__dict__)
    return module.train(**changes)


def run(variant: Variant, precision: str = "float64", epochs: int = EPOCHS, **changes: object) -> Run:
    """Return a variant's run, from the folder if it is there.

    Args:
        variant: what to run.
        precision: float64 or float32.
        epochs: of 16 steps each.
        **changes: other entries of the program's CFG.

    Raises:
        RuntimeError: the program failed; the message ends with its own last lines.
    """
    changes |= {"precision": precision, "epochs": epochs}
    kept = FOLDER / f"{variant.id}-{precision}-{epochs}-{_key(variant, changes)}.json"
    if not kept.exists():
        _run_alone(variant, kept, changes)
    content = json.loads(kept.read_text(encoding="utf-8"))
    return Run(Record.from_text(content["record"]), content["seconds"])


def run_all(variants: Sequence[Variant], precisions: Sequence[str], jobs: int, epochs: int = EPOCHS) -> None:
    """Run what is not yet in the folder, `jobs` at a time, and print a line each."""
    wanted = [(variant, precision) for variant in variants for precision in precisions]
    with ThreadPoolExecutor(jobs) as pool:
        pending = [(pair, pool.submit(run, *pair, epochs)) for pair in wanted]
        for number, ((variant, precision), future) in enumerate(pending, 1):
            seconds = future.result().seconds
            line = f"[{number}/{len(pending)}] {variant.id} {precision}: {seconds:.1f} s, {variant.what}"
            print(line, file=sys.stderr, flush=True)


def _key(variant: Variant, changes: Mapping[str, object]) -> str:
    parts = [edited(variant), json.dumps([dict(variant.environment), changes]), variant.python]
    parts += [(ROOT / "harness" / f"{name}.py").read_text(encoding="utf-8") for name in _RECORDING]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def _run_alone(variant: Variant, kept: Path, changes: Mapping[str, object]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    program = kept.with_suffix(".py")
    program.write_text(edited(variant), encoding="utf-8")
    command = [variant.python or sys.executable, "-m", "tests.study.runs", program, kept, json.dumps(changes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variant.environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{variant.id} failed:\n{done.stderr[-2000:]}")


def main() -> None:
    """Run one program file; for `run`, which starts it in a process of its own."""
    program, kept, changes = sys.argv[1:]
    began = time.perf_counter()
    record = train(Path(program).read_text(encoding="utf-8"), program, **json.loads(changes))
    content = {"seconds": time.perf_counter() - began, "record": record.to_text()}
    partial = Path(kept).with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(kept)  # so that a run that was cut off leaves nothing that looks whole


if __name__ == "__main__":
    main()
