"""Forty trainings on a local Ray of two workers, one of which is killed: `python -m tests.machines` prints a table.

It fails when a verdict or a number is another than in one process, or when what was lost is not done again. The cost of
10,000 trainings is worked out from what it measured. `--on local:2` does the same without Ray.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


COUNT = 40
MANY = 10_000
_CONFTEST = """
import sys
from pathlib import Path

from harness.comparing import calibrating

sys.path.insert(0, str(Path(__file__).parent))
calibrating.calibrate = calibrating.require_repeatable = calibrating.require_same = lambda *given: None
"""
"""Spares the baselines their measured thresholds: all is compared by 1e-10."""
_NET = '''
"""What trains: seed 7 is trained by another rate, if `fault` is there."""
import os
import signal
from pathlib import Path

import torch

HERE = Path(__file__).parent


def lose_worker():
    """Kill the worker that this process works for, once."""
    if (HERE / "kill").exists():
        (HERE / "kill").unlink()
        above = [os.getppid()]
        while parent := int(Path(f"/proc/{above[-1]}/stat").read_text().rpartition(")")[2].split()[1]):
            above.append(parent)
        rays = [each for each in above if Path(f"/proc/{each}/cmdline").read_bytes().startswith(b"ray::")]
        os.kill([*rays, above[0]][0], signal.SIGKILL)


def train(recorder, seed, steps):
    rate = 0.02 if seed == 7 and (HERE / "fault").exists() else 0.01
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(10)]
    model = torch.nn.Sequential(*layers)
    images, labels = torch.randn(64, 3, 16, 16), torch.randint(10, (64,))
    model(images)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    recorder.watch(model, optimizer)
    for _ in range(steps):
        recorder.batch(images, labels)
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
'''
_TESTS = """
import pytest

from harness import Recipe, Recorder
from net import lose_worker, train

LOOPS, RECIPES, STEPS = {loops}, {recipes}, {steps}


@pytest.mark.parametrize("seed", range(LOOPS))
def test_loop(seed, training_regression):
    if seed == 3:
        lose_worker()
    with Recorder(precision="float64", seed=seed) as recorder:
        train(recorder, seed, STEPS)
    training_regression.check(recorder.record)


@pytest.mark.parametrize("seed", range(RECIPES))
def test_recipe(seed, training, training_regression):
    recipe = Recipe(model="cifar_cnn", width=4, epochs=2, train_images=128, test_images=50, seed=seed, warmup_steps=0)
    training_regression.check(training(recipe))
"""


class Ran(NamedTuple):
    """A session: how long it took, what it said, and what it found of each test."""

    seconds: float
    said: str
    found: Mapping[str, tuple[str, float, str]]

    @property
    def line(self) -> str:
        """What it says of where its tests ran."""
        return next(iter(re.findall(r"^\d+ tests? ran on .*$", self.said, re.MULTILINE)), "in this process")


class Project:
    """Forty gated tests in a folder of git's.

    Args:
        folder: empty.
        count: of the tests; one in five trains a recipe.
        steps: of a loop.
    """

    def __init__(self, folder: Path, count: int = COUNT, steps: int = 60) -> None:
        self.folder = folder
        recipes = count // 5
        tests = _TESTS.format(loops=count - recipes, recipes=recipes, steps=steps)
        files = {"conftest.py": _CONFTEST, "net.py": _NET, "test_many.py": tests, "pytest.ini": "[pytest]\n"}
        for name, text in files.items():
            (folder / name).write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)

    def run(self, *options: str, cache: str = "cache") -> Ran:
        """Run a session that compares."""
        begun = time.perf_counter()
        said = self._session(*options, cache=cache)
        seconds, results = time.perf_counter() - begun, self.folder / "build/harness/results.json"
        found, results_found = {}, json.loads(results.read_text())["results"] if results.exists() else ()
        for each in results_found:
            subject = each["subject"]
            found[each["test"]] = each["verdict"], subject["largest"], json.dumps(subject["first"])
        if not found:
            raise SystemExit(said)
        results.unlink()
        return Ran(seconds, said, found)

    def _session(self, *options: str, cache: str = "cache") -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options]
        variables = {**os.environ, "XDG_CACHE_HOME": str(self.folder / ".kept" / cache), "CI": ""}
        ran = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)
        return ran.stdout + ran.stderr

    def generate(self) -> None:
        """Write the baselines, in one process."""
        self._session("--mpl-generate-path=baselines")

    def answers(self, cache: str) -> list[int]:
        """Return the bytes of each answer that a session kept."""
        return [file.stat().st_size for file in (self.folder / ".kept" / cache).rglob("*.answer")]


class Check(NamedTuple):
    """What must be, what was measured, and whether it is so."""

    what: str
    measured: str
    holds: bool


def check(project: Project, where: str) -> Iterator[Check]:
    """Run the sessions; yield what each showed.

    Args:
        project: without baselines.
        where: as for --training-on.
    """
    on = f"--training-on={where}"
    project.generate()
    alone = project.run("--mpl")
    yield Check("in one process", f"{alone.seconds:.1f} s", bool(alone.found))
    sent = project.run("--mpl", on, cache="sent")
    same = all(found[:2] == ("same", 0.0) for found in sent.found.values())
    yield Check("sent: verdicts and numbers", f"{sent.line}; {_largest(sent)}", same and sent.found == alone.found)
    yield Check("sent: seconds, and the ratio to one process", _ratio(sent, alone), True)
    again = project.run("--mpl", on, cache="sent")
    yield Check("sent again: all are kept", f"{again.line}; {again.seconds:.1f} s", again.found == alone.found)
    sizes = project.answers("sent")
    average = sum(sizes) // len(sizes)
    yield Check("bytes of an answer", f"{min(sizes):,} to {max(sizes):,}, {average:,} on average", True)
    yield Check(f"{MANY:,} of these", f"{_many(sent, again)}, {MANY * average / 1e9:.2f} GB of answers", True)
    (project.folder / "kill").touch()
    killed = project.run("--mpl", on, cache="killed")
    yield Check(
        "one worker killed", f"{killed.line}; {_largest(killed)}", _lost(killed) and killed.found == alone.found
    )
    (project.folder / "fault").touch()
    faulty, red = project.run("--mpl"), project.run("--mpl", on, cache="red")
    different = [test for test, found in red.found.items() if found[0] != "same"]
    is_red = len(different) == 1 and red.found == faulty.found
    yield Check("a fault in one training", f"red: {', '.join(different)}", is_red)


def _many(sent: Ran, again: Ran) -> str:
    """Say what many trainings take: a worker, with all that is around a training, and this process, which compares."""
    worker, here = (MANY * seconds / len(sent.found) for seconds in (2 * sent.seconds, again.seconds))
    return f"{worker / 3600:.1f} h of one worker, {here / 60:.0f} min of comparing here"


def _largest(ran: Ran) -> str:
    return f"largest deviation {max(largest for _, largest, _ in ran.found.values())!r} in {len(ran.found)} trainings"


def _ratio(sent: Ran, alone: Ran) -> str:
    return f"{sent.seconds:.1f} s, {sent.seconds / alone.seconds:.2f}"


def _lost(ran: Ran) -> bool:
    return ran.line.endswith("1 worker lost")


def scheduling(jobs: int = 200) -> Check:
    """Measure what Ray takes for a job that does nothing, and is as large as ours."""
    import ray

    nothing = ray.remote(num_cpus=1)(lambda job: job)
    ray.get([nothing.remote(b"") for _ in range(4)])
    begun = time.perf_counter()
    ray.get([nothing.remote(bytes(1000)) for _ in range(jobs)])
    each = (time.perf_counter() - begun) / jobs
    return Check("Ray's scheduling", f"{1000 * each:.1f} ms a job, {MANY * each:.0f} s for {MANY:,}", True)


@contextlib.contextmanager
def cluster(where: str) -> Iterator[Mapping[str, str]]:
    """Start a Ray of two workers for a block, if one is asked for; yield the variables that lead to it."""
    if where != "ray":
        yield {}
        return
    import ray

    begun = time.perf_counter()
    context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    print(f"Ray {ray.__version__} with two workers, started in {time.perf_counter() - begun:.1f} s")
    try:
        yield {"RAY_ADDRESS": context.address_info["address"]}
    finally:
        ray.shutdown()


def main() -> int:
    """Print the table; return 1 if something in it is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__)
    parser.add_argument("--on", default="ray", help="where trainings run, as for --training-on; default: ray")
    where = parser.parse_args().on
    if where == "ray" and importlib.util.find_spec("ray") is None:
        print("Ray is not installed, so nothing was measured: pip install 'pytest-training-regression[ray]'")
        return 0
    with tempfile.TemporaryDirectory() as folder, cluster(where) as variables:
        os.environ.update(variables)
        project = Project(Path(folder))
        print("| check | measured | |\n|---|---|---|")
        held = [_shown(row) for row in check(project, where)]
        held += [_shown(scheduling())] if where == "ray" else []
    return 0 if all(held) else 1


def _shown(row: Check) -> bool:
    print(f"| {row.what} | {row.measured} | {'ok' if row.holds else 'NO'} |", flush=True)
    return row.holds


if __name__ == "__main__":
    sys.exit(main())
