"""The command line and ini options."""

import argparse
import contextlib
import math
import os
import re
import traceback
from collections.abc import Iterator
from typing import Literal

import pytest

from harness.errors import AcceptError, NoCifar10Error, SuiteError


_LEAST_SEEDS = 3
"""As in `equivalence.LEAST_SEEDS`, which would import NumPy here."""


GENERATE = ("missing", "failing", "add")
"""What --training-generate takes."""

NO_CIFAR10 = NoCifar10Error.of(ways="--training-cifar10=PATH, HARNESS_CIFAR10=PATH or the ini option training_cifar10")
"""Why a test is skipped that needs CIFAR-10."""


_INI = {
    "training_strict": "fail as under --training-strict",
    "training_history": "file that keeps the margins of past runs (JSON lines), relative to the root",
    "training_gate_power_min": "under --training-gate-power, fail where a smaller share of faults is caught",
    "training_baselines": "folder of the baselines, relative to the root; default: baselines",
    "training_cifar10": "CIFAR-10: a folder in torchvision's layout or an .npz, relative to the root",
}


def add(parser: pytest.Parser) -> None:
    """Add the options of the group "training regression"."""
    group = parser.getgroup("training regression", "training regression")
    with refusing_twins():
        _add_trainings(group)
        _add_baselines(group)
        _add_judgements(group)
    for name, text in _INI.items():
        kind: Literal["bool", "string"] = "bool" if name == "training_strict" else "string"
        parser.addini(name, text, kind)


@contextlib.contextmanager
def refusing_twins() -> Iterator[None]:
    """Say in a sentence that the project, or another plugin, adds an option of one of our names.

    Raises:
        UsageError: it does.
    """
    try:
        yield
    except (ValueError, argparse.ArgumentError) as error:
        if not (found := re.search(r"--training-[a-z0-9-]+", str(error))):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames if frame.name == "pytest_addoption"]
        place = places[-1] if places else "a conftest.py, or a plugin"
        raise pytest.UsageError(str(SuiteError.name_taken(name=found[0], place=place))) from error


def check_ini(config: pytest.Config) -> None:
    """Check that the ini options of our names are ours: pytest lets the last win that adds one, and says nothing.

    Raises:
        SuiteError: one is another's.
    """
    added = getattr(getattr(config, "_parser", None), "_inidict", {})  # there is no public way to ask
    for name, text in _INI.items():
        if added.get(name, (text,))[0] != text:
            raise SuiteError.name_taken(name=name, place="a conftest.py, or a plugin")


def check_together(config: pytest.Config, *, writes: bool) -> None:
    """Check that options are given beside those that they need, and that the reason of what is written is one.

    Raises:
        SuiteError: one is not.
        AcceptError: the reason says nothing.
    """
    from harness.baselines.origin import is_reason

    if config.getoption("--training-slower") and not config.getoption("--training-against"):
        raise SuiteError.not_against(option="--training-slower")
    for option in ("--training-reason", "--training-generate"):
        if config.getoption(option) and not writes:
            raise SuiteError.not_generating(option=option)
    if writes and config.getoption("--training-strict"):
        raise SuiteError.strictly_generating()
    reason = config.getoption("--training-reason")
    if reason is not None and not is_reason(reason):
        raise AcceptError.no_reason(option="--training-reason")


def _add_trainings(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--training-device",
        metavar="LIST",
        help="devices to train on, e.g. cpu,cuda; default: all that the machine has. One that is missing is skipped",
    )
    group.addoption(
        "--training-require-device",
        metavar="LIST",
        help="devices to train on; one that is missing is a failure, not a skip",
    )
    group.addoption(
        "--training-cifar10",
        metavar="PATH",
        help="CIFAR-10: a folder in torchvision's layout, an .npz, or the word download; also HARNESS_CIFAR10 or ini",
    )
    group.addoption(
        "--training-tensorboard",
        metavar="DIR",
        help="folder for the TensorBoard runs of the trainings, and draw the labelled figures of all of them, not only "
        "of those that differ; default: tensorboard in the folder of --training-output",
    )

    group.addoption(
        "--training-output",
        metavar="DIR",
        help="folder of all that a session leaves beside baselines: report, results that failed, figures, TensorBoard "
        "runs; default: build/harness below the root",
    )
    group.addoption(
        "--training-setup",
        metavar="COMMAND",
        default="",
        help="shell command that makes the tree of another commit ready for its tests, in the project's root there; "
        "TRAINING_OWN_TREE names that folder of the present checkout, and a .venv that it makes runs the tests",
    )
    group.addoption(
        "--training-shard",
        metavar="I/N",
        type=_shard,
        help="run the I-th of N parts of the tests, e.g. 1/4: other jobs run the others, and `harness report --strict` "
        "unites what they found",
    )
    group.addoption(
        "--training-on",
        metavar="WHERE",
        help="have the tests that check a training run elsewhere, and compare their records here: local:N (N processes "
        "of this machine), ray, ray://HOST:PORT, or module:Class of your own",
    )


def _add_baselines(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--training-against",
        metavar="REF",
        type=_revision,
        help="hold trainings against those of another commit (main, HEAD~1), which its own tests make on this "
        "machine in a tree of its own, instead of against stored baselines",
    )
    group.addoption(
        "--training-generate",
        metavar="WHAT",
        type=_generate,
        default=(),
        help="with --mpl-generate-path: missing (only tests without a baseline), failing (only tests "
        "that differed when they last ran), add (low-precision baselines of other environments stay, and this one's is "
        "stored beside them), or several of them: missing,add",
    )
    group.addoption(
        "--training-reason",
        metavar="TEXT",
        help="with --mpl-generate-path: why the baselines change; it is kept in them",
    )


def _add_judgements(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--training-ci",
        action="store_true",
        default=_in_ci(),  # as it is now: a conftest.py or a test may change the environment
        help="fail as in CI where a figure is not compared, or a baseline not checked or claimed; on where CI is set",
    )
    group.addoption(
        "--training-strict",
        action="store_true",
        help="fail for all that leaves room for doubt: drift, trainings that are not judged, baselines that no test "
        "claims or checks, low-precision baselines of another environment; also an ini option",
    )
    group.addoption(
        "--training-equivalence",
        metavar="N",
        type=_seeds,
        help="judge trainings that draw other random numbers on purpose by N paired seeds; with --mpl-generate-path, "
        "store the seeds that later runs are paired with",
    )
    group.addoption(
        "--training-slower",
        metavar="RATIO",
        type=_ratio,
        help="with --training-against: fail where a step takes more than RATIO times what it took there, e.g. 1.2",
    )
    group.addoption(
        "--training-gate-power",
        action="store_true",
        help="plant standard faults in every training, and report which of them the gate catches",
    )
    group.addoption(
        "--training-verify",
        action="store_true",
        help="measure again what the thresholds of baselines come from, and refuse those that are far above it",
    )


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _revision(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("'' names no commit")
    return text


def _seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < _LEAST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {_LEAST_SEEDS}")
    return int(text)


def _ratio(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 1 < (ratio := float(text)) < math.inf:
            return ratio
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 1, such as 1.2")


def _shard(text: str) -> str:
    index, _, number = text.partition("/")
    if not (index.isdecimal() and number.isdecimal() and 1 <= int(index) <= int(number)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part of a whole, such as 1/4")
    return f"{int(index)}/{int(number)}"


def _generate(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    for word in found:
        if word not in GENERATE:
            raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(GENERATE)}")
    return found
