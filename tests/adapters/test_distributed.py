"""Promises of parity: two ranks under torchrun do what one process does, on Accelerate, Transformers and Lightning."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from harness import Record
from harness.comparing.ranks import compare_ranks
from harness.record.ranks import of_all_ranks


LIBRARIES = {"accelerate": "accelerate", "trainer": "transformers", "lightning": "lightning"}
"""What each program needs."""


def run(program, folder, ranks):
    """Run a program of `tests.adapters.distributed`, each rank on one thread."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    command = [sys.executable, *launcher, "-m", "tests.adapters.distributed", program, str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("program", LIBRARIES)
def test_two_ranks_are_one_process(tmp_path, program):
    """Half the batch on each: every number of the merged ranks is that of the whole batch, to 1e-12."""
    if not find_spec(LIBRARIES[program]):
        pytest.skip(f"{LIBRARIES[program]} is not installed")
    run(program, tmp_path / "two", ranks=2)
    run(program, tmp_path / "one", ranks=1)

    held = compare_ranks(of_all_ranks(tmp_path / "two", "test"), Record.load(tmp_path / "one" / "rank0.json"))
    assert (held.comparison.verdict, held.apart) == ("same", ""), held.comparison
    assert held.comparison.largest < 1e-12
