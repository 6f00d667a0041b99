"""Promises of parity: two ranks under torchrun do what one process does, on Accelerate, Transformers and Lightning."""

import os
import subprocess
import sys

import pytest

from harness import Record
from harness.comparing.ranks import compare_ranks
from harness.record.ranks import of_all_ranks
from tests.distributed.programs import LIBRARIES, programs_of


def run(library, folder, ranks):
    """Run the programs of a library of `tests.adapters.distributed`, each rank on one thread."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"] if ranks > 1 else []
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}
    command = [sys.executable, *launcher, "-m", "tests.adapters.distributed", library, str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def held(folder, number, ranks):
    """Hold the ranks of a program, by its number, against the single process of it."""
    single = Record.load(folder / "1" / f"{number}" / "rank0.json")
    return compare_ranks(of_all_ranks(folder / f"{ranks}" / f"{number}", "test"), single)


@pytest.mark.long
@pytest.mark.parametrize("library", LIBRARIES)
def test_two_ranks_are_one_process(tmp_path, library):
    """Half the batch on each: every number of the merged ranks is that of the whole batch, to 1e-12."""
    pytest.importorskip(library)
    for ranks in (1, 2):
        run(library, tmp_path / f"{ranks}", ranks)

    for number, program in enumerate(programs_of(library)):
        comparison, apart = held(tmp_path, number, ranks=2)
        assert (comparison.verdict, apart) == ("same", ""), (program.title, comparison)
        assert comparison.largest < 1e-12
