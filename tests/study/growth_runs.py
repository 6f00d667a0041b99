"""Run the programs of `growth_programs.py` as they stand, jittered, and as on other machines; keep their records."""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import inspect
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness import Record
from harness.recording.fingerprints import tensors_in
from harness.recording.jitter import jitter
from harness.recording.perturbation import Perturbation, perturbed
from tests.study.growth_programs import PROGRAMS, Program
from tests.study.runs import ROOT


FOLDER = ROOT / "build" / "study" / "growth"
"""Where records are kept, named after what was run."""
DRAWS = 6
"""Jittered runs of each program; a rule may use fewer."""
_RECORDING = ("record", "recording", "shipped")
"""Rooms of the harness that decide what a record holds."""
_OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
# fmt: off
_ROUNDING = frozenset((
    "addmm", "mm", "bmm", "baddbmm", "dot", "mv", "convolution", "convolution_backward", "sum", "mean", "var",
    "std", "var_mean", "std_mean", "exp", "log", "tanh", "tanh_backward", "sigmoid", "sigmoid_backward", "rsqrt",
    "pow", "sin", "cos", "_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data",
    "native_batch_norm", "native_batch_norm_backward", "native_layer_norm", "native_layer_norm_backward", "gelu",
    "gelu_backward", "silu", "silu_backward", "elu", "softplus", "softplus_backward", "linalg_vector_norm",
    "_foreach_norm", "nll_loss_forward", "mse_loss", "linalg_cholesky_ex", "cholesky_solve", "cumsum",
))
# fmt: on
"""Operations of torch that other machines round otherwise: sums in another order, functions of another library. The
four of arithmetic and roots are not among them; they are exact to the last place everywhere."""


class RoundedElsewhere(TorchDispatchMode):
    """Moves every number that an operation computes to one of its neighbours: a machine that rounds all otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Compute, and move the results."""
        results = func(*args, **(kwargs or {}))
        if func._schema.name.partition("::")[2] in _ROUNDING:
            self.calls += 1
            for part in tree_leaves(results):
                if isinstance(part, torch.Tensor) and part.is_floating_point():
                    _move(part, self.calls)
        return results


def _move(tensor: torch.Tensor, seed: int) -> None:
    """Jitter what is no whole number: a sum of ones is exact everywhere, and so is what a tanh is at its end."""
    before = tensor.clone()
    jitter([tensor], seed)
    tensor.copy_(torch.where(before == before.round(), before, tensor))


class Planted:
    """What is planted in a training, for the time that a recorder records: by default nothing.

    Args:
        stack: takes what ends it.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.models: list[nn.Module] = []

    def watch(self, model: nn.Module, optimizer: object) -> None:
        """Remember the model."""
        self.models.append(model)

    def batch(self, images: object, labels: object) -> None:
        """Leave it alone."""

    def end(self, record: Record, optimizers: Mapping[str, list[Optimizer]]) -> None:
        """Leave it alone."""


class OtherRounding(Planted):
    """All operations round otherwise."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        stack.enter_context(RoundedElsewhere())


class BatchJitter(Planted):
    """Moves the fractions in each batch to a neighbouring number, in place, before the model sees it."""

    def __init__(self, draw: int, stack: contextlib.ExitStack) -> None:
        super().__init__(stack)
        self.seeds = itertools.count(1_000_000 * draw)

    def batch(self, images: object, labels: object) -> None:
        """Move what can be moved."""
        for tensor in itertools.chain(tensors_in(images), tensors_in(labels) if labels is not None else ()):
            if tensor.is_floating_point():
                _move(tensor.data, next(self.seeds))


@dataclass(frozen=True)
class Setting:
    """How a program is run.

    Args:
        id: part of a file name.
        what: what machine it imitates, in words.
        perturbation: what the recorder changes.
        environment: variables that torch reads when it is imported.
        planted: whose text decides what the perturbation plants.
    """

    id: str
    what: str
    perturbation: Perturbation = field(default_factory=Perturbation)
    environment: Mapping[str, str] = field(default_factory=dict)
    planted: tuple[Callable[..., object], ...] = ()


PLAIN = Setting("plain", "as it stands")
WAYS = {"weights": None, "batches": BatchJitter}
"""Ways to jitter: the weights before every step, which is the harness's; every batch of floats, too."""


def draws(way: str) -> tuple[Setting, ...]:
    """Return the jittered runs of one way."""
    return tuple(_draw(way, WAYS[way], draw) for draw in range(1, DRAWS + 1))


def _draw(way: str, plant: type[BatchJitter] | None, draw: int) -> Setting:
    if plant is None:
        return Setting(f"jitter{draw}", f"jitter {draw}", Perturbation(jitter=draw))
    planted = Perturbation(jitter=draw, plant=functools.partial(plant, draw))
    return Setting(f"{way}{draw}", f"jitter {draw}, {way}", planted, planted=(BatchJitter, _move))


ELSEWHERE = (
    Setting("threads2", "2 threads", Perturbation(threads=2)),
    Setting("threads3", "3 threads", Perturbation(threads=3)),
    Setting("threads4", "4 threads", Perturbation(threads=4)),
    Setting("onednn", "oneDNN off", Perturbation(onednn=False)),
    Setting("layout", "channels last", Perturbation(other_layout=True)),
    Setting("rounded", "every result an ulp off", Perturbation(plant=OtherRounding), planted=(RoundedElsewhere, _move)),
    Setting("old", "old CPU", environment=_OLD),
    Setting("old2", "old CPU, 2 threads", Perturbation(threads=2), _OLD),
    Setting("oldlayout", "old CPU, 3 threads, channels last", Perturbation(threads=3, other_layout=True), _OLD),
    Setting("avx2", "AVX2", environment=_AVX2),
    Setting("mkl", "MKL's compatible mode", environment={"MKL_CBWR": "COMPATIBLE"}),
    Setting(
        "hash", "another hash seed, one memory arena", environment={"PYTHONHASHSEED": "7", "MALLOC_ARENA_MAX": "1"}
    ),
)
"""What this machine can imitate of others."""
SETTINGS = {setting.id: setting for setting in (PLAIN, *itertools.chain(*map(draws, WAYS)), *ELSEWHERE)}


@dataclass(frozen=True)
class Case:
    """One program with one seed."""

    program: Program
    seed: int

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.program.name} #{self.seed}"

    @property
    def id(self) -> str:
        """Part of a file name."""
        return "".join(letter if letter.isalnum() or letter == "." else "_" for letter in self.name)


def cases(device: str = "cpu", only: Sequence[str] = ()) -> list[Case]:
    """Return the programs that run on a device, each with its seeds."""
    chosen = (program for program in PROGRAMS if device in program.devices and (not only or program.name in only))
    return [Case(program, seed) for program in chosen for seed in program.seeds]


class Runs:
    """Records in a folder, by case and setting; what is missing is run.

    Args:
        folder: where they are.
        device: where the programs run.
        named_by_source: whether names tell what text was run, so that none is taken for another's.
    """

    def __init__(self, folder: Path = FOLDER, device: str = "cpu", *, named_by_source: bool = True) -> None:
        self.folder, self.device, self.named_by_source = folder, device, named_by_source

    def path(self, case: Case, setting: Setting) -> Path:
        """Return the file of a record."""
        key = f"-{_key(case.program, setting)}" if self.named_by_source else ""
        return self.folder / f"{case.id}-{setting.id}-{self.device}{key}.json.gz"

    def load(self, case: Case, setting: Setting) -> Record:
        """Read a record."""
        return Record.from_text(gzip.decompress(self.path(case, setting).read_bytes()).decode())

    def missing(self, chosen: Sequence[Case], settings: Sequence[Setting]) -> Iterator[tuple[Case, Setting]]:
        """Yield what has not been run."""
        return ((c, setting) for setting in settings for c in chosen if not self.path(c, setting).exists())

    def run(self, case: Case, setting: Setting) -> None:
        """Run a program here and keep its record, without the pictures."""
        with perturbed(setting.perturbation):
            record = case.program.run(case.seed, self.device)
        record = dataclasses.replace(record, pictures={}, histograms={}, confusion=())
        path = self.path(case, setting)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(gzip.compress(record.to_text().encode(), mtime=0))
        partial.replace(path)

    def run_all(self, chosen: Sequence[Case], settings: Sequence[Setting]) -> None:
        """Run what is missing, each environment in a process of its own, and say so."""
        environments = {tuple(sorted(setting.environment.items())) for setting in settings}
        for environment in sorted(environments):
            same = [setting for setting in settings if tuple(sorted(setting.environment.items())) == environment]
            if any(self.missing(chosen, same)):
                self._run_process(chosen, same, dict(environment))

    def _run_process(self, chosen: Sequence[Case], settings: Sequence[Setting], environment: dict[str, str]) -> None:
        names = ",".join(dict.fromkeys(case.program.name.replace(",", ";") for case in chosen))
        order = [str(self.folder), self.device, str(int(self.named_by_source)), ",".join(s.id for s in settings), names]
        command = [sys.executable, "-m", "tests.study.growth_runs", *order]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, check=True)


def _key(program: Program, setting: Setting) -> str:
    parts = [program.source, torch.__version__, *map(inspect.getsource, setting.planted), _sources()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@functools.cache
def _sources() -> str:
    paths = (path for room in _RECORDING for path in sorted((ROOT / "harness" / room).glob("*.py")))
    return "\0".join(path.read_text(encoding="utf-8") for path in paths)


def main() -> None:
    """Run some settings, which share an environment; for `run_all`, which starts it in a process of its own."""
    folder, device, named, settings, names = sys.argv[1:6]
    kept = Runs(Path(folder), device, named_by_source=named == "1")
    chosen = cases(device, [name.replace(";", ",") for name in names.split(",")])
    missing = list(kept.missing(chosen, [SETTINGS[id] for id in settings.split(",")]))
    for number, (case, setting) in enumerate(missing, 1):
        began = time.perf_counter()
        try:
            kept.run(case, setting)
            found = f"{time.perf_counter() - began:.1f} s"
        except RuntimeError as error:  # a kernel that another device does not have
            found = f"failed: {error}"
        print(f"[{number}/{len(missing)}] {setting.what}: {case.name}, {found}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
