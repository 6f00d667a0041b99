"""Kill pytest while it writes baselines, and `harness accept`, at random moments: `python -m tests.kills`.

After each kill every baseline has to be the old one or the new one, byte for byte but for its origin, and the next
run has to name what was left over and to finish the work. Processes in the trees of other commits are killed, too: all
of the user's repository has to be as before, and the next run removes what was left. So are the commands that have
them: `python -m tests.kills --count 0 --commands 50` kills each of these fifty times, and nothing else.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.atomic_files import scraps
from harness.baselines import png
from harness.baselines.store import load_baseline
from harness.commands import main as harness
from harness.record import Baseline
from tests.command_kills import CommandKill, command_kills, command_table
from tests.tree_kills import tree_kills, tree_table


TEST = """
import pytest
import torch
from harness import Recorder, figures

@pytest.fixture(scope="module")
def record():
    with Recorder(precision="float64", seed=0) as recorder:
        model = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr={rate})
        recorder.watch(model, optimizer)
        for _ in range(5):
            inputs = torch.rand(8, 4)
            recorder.batch(inputs, inputs.sum(1))
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    return recorder.record

@pytest.mark.parametrize("number", range(6))
def test_record(record, training_regression, number):
    training_regression.check(record)

@pytest.mark.parametrize("number", range(3))
@pytest.mark.mpl_image_compare
def test_figure(record, number):
    return figures.loss_curve(record)
"""
FILES = 9
RATES = (0.1, 0.2)
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
GENERATE = [*PYTEST, "--mpl-generate-path=baselines"]
ACCEPT = [sys.executable, "-c", "from harness.commands import main; main(['accept', '--reason', 'why'])"]

Contents = dict[str, bytes | str]


@dataclass(frozen=True)
class Kill:
    """What one kill left.

    Args:
        action: what was killed.
        old: baselines that are as they were.
        new: baselines that are as they were to become.
        ended: whether the process had ended before.
        scraps: files that were left unfinished.
        named: whether the next command named all of these.
        finished: whether the next run of the same made all new.
    """

    action: str
    old: int
    new: int
    ended: bool
    scraps: int
    named: bool
    finished: bool

    @property
    def broken(self) -> int:
        """Baselines that are neither old nor new."""
        return FILES - self.old - self.new


class Project:
    """A small project with nine baselines, in two versions.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.baselines = root, root / "baselines"
        (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\ntraining_baselines = "baselines"\n')
        self.seconds: dict[str, float] = {}
        self.sides = [self._made(rate) for rate in RATES]
        self.side = 1

    def _made(self, rate: float) -> Contents:
        self.write(rate)
        assert self.run(GENERATE) == 0
        return self.contents()

    def write(self, rate: float) -> None:
        """Write the test file."""
        (self.root / "test_small.py").write_text(TEST.format(rate=rate))

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command in the project, outside CI."""
        unset = ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS")
        environment = {name: text for name, text in os.environ.items() if name not in unset}
        nothing = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.root, env=environment, stdout=nothing, stderr=nothing)

    def run(self, command: Sequence[str]) -> int:
        """Run a command to its end."""
        return self.start(command).wait()

    def files(self) -> dict[str, bytes]:
        """Return the bytes of every baseline."""
        return {path.name: path.read_bytes() for path in sorted(self.baselines.iterdir()) if path.name[0] != "."}

    def contents(self) -> Contents:
        """Return what every baseline holds, without its origin; of a broken one, why it cannot be read."""
        return {name: _plain(self.baselines / name, data) for name, data in self.files().items()}

    def becoming(self, action: str, old: Contents) -> Contents:
        """Return what every baseline is to become: what is accepted keeps the former one's thresholds, as inherited."""
        new = self.sides[self.side]
        return new if action == "generate" else {name: _accepted(old[name], text) for name, text in new.items()}


def _accepted(old: bytes | str, new: bytes | str) -> bytes | str:
    if not (isinstance(old, str) and isinstance(new, str)):
        return new
    former, present = Baseline.from_text(old), Baseline.from_text(new)
    assert former.calibration is not None, "every record of the project was measured"
    inherited = msgspec.structs.replace(former.calibration, inherited=True)
    return dataclasses.replace(present, calibration=inherited).to_text()


def _plain(path: Path, data: bytes) -> bytes | str:
    try:
        if path.suffix == ".png":
            png.check(data)
            return png.plain(data)
        return dataclasses.replace(load_baseline(path, ""), origin={}).to_text()
    except Exception as error:
        return f"broken: {error}"


def kills(project: Project, count: int, number: int) -> Iterator[Kill]:
    """Kill generating and accepting processes in turn.

    Args:
        project: with all baselines of one version.
        count: kills.
        number: seed of the moments.
    """
    random_ = random.Random(number)
    for index in range(count):
        project.side, old = 1 - project.side, project.contents()
        project.write(RATES[project.side])
        action = ("generate", "accept")[index % 2]
        if action == "accept":
            assert project.run([*PYTEST, "--mpl"]) == 1
        command = GENERATE if action == "generate" else ACCEPT
        ended = _killed(project, command, random_, anywhere=index % 4 < 2)
        yield _judged(project, action, command, old, ended)


def _killed(project: Project, command: Sequence[str], random_: random.Random, *, anywhere: bool) -> bool:
    """Kill a run anywhere in its time, or within the fifth of a second after its first write; tell if it had ended."""
    before, began = project.files(), time.monotonic()
    process = project.start(command)
    while not anywhere and process.poll() is None and project.files() == before and not scraps(project.baselines):
        time.sleep(0.0005)
    typical = project.seconds.setdefault(command[-1], 3.0)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(random_.uniform(0, typical if anywhere else 0.2))
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    if ended:
        project.seconds[command[-1]] = time.monotonic() - began
    return ended


def _judged(project: Project, action: str, command: Sequence[str], old: Contents, ended: bool) -> Kill:
    found, new = project.contents(), project.becoming(action, old)
    left = scraps(project.baselines)
    named = all(name in _listed(project) for name in left)
    project.run(command)
    for name in scraps(project.baselines):
        (project.baselines / name).unlink()  # as that run says
    return Kill(
        action=action,
        old=sum(found.get(name) == content for name, content in old.items()),
        new=sum(found.get(name) == content for name, content in new.items()),
        ended=ended,
        scraps=len(left),
        named=named,
        finished=project.contents() == new,
    )


def _listed(project: Project) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        harness(["list", "--root", str(project.root)])
    return out.getvalue()


def table(found: Sequence[Kill]) -> str:
    """Return what the kills left as Markdown, a row an action."""
    heads = ("killed", "kills", "all old", "all new", "some old, some new", "broken", "left an unfinished file",
             "named by the next run", "not finished by the next run", "had ended before")  # fmt: skip
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for action in dict.fromkeys(kill.action for kill in found):
        own = [kill for kill in found if kill.action == action]
        counts = (
            len(own),
            sum(kill.old == FILES for kill in own),
            sum(kill.new == FILES for kill in own),
            sum(0 < kill.new < FILES for kill in own),
            sum(kill.broken for kill in own),
            sum(kill.scraps > 0 for kill in own),
            sum(kill.scraps > 0 and kill.named for kill in own),
            sum(not kill.finished for kill in own),
            sum(kill.ended for kill in own),
        )
        rows.append(f"| {action} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(rows)


def main() -> int:
    """Parse the options, kill, print; return 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="kills (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--commands", type=int, default=5, help="kills of each command (default: 5)")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        broken = _kill_writers(folder, options.count, options.seed) if options.count else False
        commands = [*_told(command_kills(folder / "commands", options.commands, options.seed))]
    print(command_table(commands), f"{time.monotonic() - began:.0f} s", sep="\n\n")
    return broken or not all(kill.untouched and kill.works is not False and not kill.left for kill in commands)


def _told(kills: Iterator[CommandKill]) -> Iterator[CommandKill]:
    """Print each kill as it is: fifty of each command take hours."""
    for number, kill in enumerate(kills, 1):
        print(number, kill, flush=True)
        yield kill


def _kill_writers(folder: Path, count: int, seed: int) -> bool:
    """Kill what makes trees, and what writes baselines; print what is left, and return whether anything broke."""
    trees = list(tree_kills(folder / "trees", count, seed))
    (project := folder / "project").mkdir()
    found = list(kills(Project(project), count, seed))
    print(tree_table(trees), table(found), sep="\n\n")
    print(f"\n{len(found)} kills of {FILES} baselines each\n")
    broken = any(kill.broken or not (kill.named and kill.finished) for kill in found)
    return broken or not all(kill.untouched and kill.works and not kill.left for kill in trees)


if __name__ == "__main__":
    raise SystemExit(main())
