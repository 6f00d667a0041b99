"""Measure again what the thresholds of baselines come from: a run of pytest, which alone knows the trainings."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def verify(root: Path, folder: Path, tests: Sequence[str] = (), output: Path | None = None) -> int:
    """Have pytest measure thresholds again, of all tests or those of some ids, and print what it says.

    Return 1 if a baseline's thresholds are refused or a test fails, 2 if pytest did not come to that, else 0.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--training-verify", f"--mpl-baseline-path={folder.absolute()}"]
    command += [f"--training-output={output.absolute()}"] if output else []
    sys.stdout.flush()
    named = [f"./{test}" for test in tests]  # which no option begins with
    return min(subprocess.run([*command, *named], cwd=root, check=False).returncode % 256, 2)
