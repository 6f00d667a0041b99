"""`harness doctor`: what of this machine changes numbers or pictures, and what of it has changed."""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from harness.baselines.inventory import Stored, inventory
from harness.baselines.origin import ABOUT, origin
from harness.commands.project import add_places, baselines, project_root
from harness.commands.verify import verify
from harness.errors import HarnessError
from harness.record.environment import available_devices, describe, differences
from harness.report.words import rows_text


_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "CI")
"""Variables that matter, beside those that a record keeps in its environment."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what of this machine changes numbers or pictures",
        description="Say what of this machine changes numbers or pictures, and what of it has changed since the "
        "baselines were made.",
        epilog="example: harness doctor --verify",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="measure again what the thresholds of the baselines come from: trains each training five times",
    )
    add_places(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    about = origin(project_root(given), "")
    rows = {**describe("cpu"), **{name: text for name, text in about.items() if name not in ABOUT}}
    variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    print(rows_text("this machine", {**rows, **dict(_accelerators()), **variables, **dict(_data())}))
    folder = baselines(given)
    entries = inventory(folder)
    title = f"since the baselines in {folder} were made" if entries else f"no baselines in {folder}"
    changes = dict(_changes(entries, about))
    print(rows_text(title, changes if changes or not entries else {"nothing": "of the above has changed"}))
    return verify(project_root(given), folder, output=given.output) if given.verify else 0


def _accelerators() -> Iterator[tuple[str, str]]:
    """Say which devices there are, and whether TF32 would be used outside our trainings."""
    import torch

    yield "devices", ", ".join(available_devices())
    if torch.cuda.is_available():
        yield "cuda", f"{describe('cuda')['device']}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        allowed = {"matrix products": torch.backends.cuda.matmul.allow_tf32, "cuDNN": torch.backends.cudnn.allow_tf32}
        on = ", ".join(name for name, value in allowed.items() if value)
        yield "TF32", f"on for {on} (off while a training is recorded)" if on else "off"


def _data() -> Iterator[tuple[str, str]]:
    from harness.shipped.load import load_dataset

    for name in ("synthetic", "cifar10"):
        try:
            yield f"data {name}", f"SHA-256 {load_dataset(name).sha256}"
        except HarnessError as error:
            yield f"data {name}", str(error).splitlines()[0]


def _changes(entries: list[Stored], about: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what differs from where baselines were made, and how many of them it concerns."""
    changed: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        known = {name: text for name, text in entry.origin.items() if name in about and name not in ABOUT}
        changed.update(differences(known, {name: about[name] for name in known}))
        if entry.baseline and entry.baseline.record.device in available_devices():
            record = entry.baseline.record
            around = differences(record.environment, describe(record.device))
            changed.update(change for change in around if change[0] != "threads")  # a training's
    for (name, before, now), count in changed.items():
        if name not in ("commit", "dirty"):
            yield name, f"{before} -> {now} ({count} of {len(entries)} baselines)"
