"""Everything that needs a GPU, as one table: `python -m tests.gpu`, in a few minutes.

- the committed float64 baselines on CUDA, and what their training does there a second time;
- what chooses other kernels behind the recorder's back: TF32, cuDNN's autotuning, atomics; benign or a fault;
- float32, bfloat16 and float16 trainings twice, bit for bit, and from stored states;
- a recorded step against the bare one, the transfers of a step, peak memory;
- the trace of a step;
- a bfloat16 training against its own commit, bit for bit, and one whose rate is off by 1e-7;
- two ranks with NCCL, where there are two GPUs.

On a machine without a GPU it says so, and ends well.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from harness import Record, Recorder, compare, recipes, train
from harness.baselines.store import load_baseline
from harness.comparing.ranks import compare_ranks
from harness.elsewhere.ranks import Ranks
from harness.explaining.tracing import Tracing
from harness.record.environment import describe
from harness.recording.perturbation import Perturbation, perturbed
from harness.recording.states import States
from tests.repositories import repository


BASELINES = Path("baselines")
STEPS = 60
WARM_UP = 10


def loop(
    recorder: Recorder | None,
    dtype: torch.dtype,
    *,
    scaler: bool = False,
    rate: float = 0.05,
    device: str = "cuda",
) -> Iterator[Tensor]:
    """A small training of one's own on the GPU, step by step; each gives its loss."""
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AvgPool2d(4),
        nn.Flatten(), nn.Linear(1024, 10),
    ).to(device)  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True)
    scaling = torch.amp.GradScaler(device, enabled=scaler)
    if recorder:
        recorder.watch(model, optimizer)
    draws = torch.Generator().manual_seed(1)
    low = dtype in (torch.bfloat16, torch.float16)
    for _ in range(STEPS + WARM_UP):
        images_NCHW = torch.randn(64, 3, 32, 32, generator=draws)
        labels_N = torch.randint(0, 10, (64,), generator=draws)
        if recorder:
            recorder.batch(images_NCHW, labels_N)
        optimizer.zero_grad()
        with torch.autocast(device, dtype if low else torch.bfloat16, enabled=low):
            loss = functional.cross_entropy(model(images_NCHW.to(device)), labels_N.to(device))
        scaling.scale(loss).backward()
        scaling.step(optimizer)
        scaling.update()
        if recorder:
            recorder.log(loss=loss.float() if low else loss)
        yield loss


def recorded(
    precision: Any,
    dtype: torch.dtype,
    states: States | None = None,
    *,
    within: Callable[[], object] = bool,
    scaler: bool = False,
) -> Record:
    """Return the record of the loop; `within` is called once the recorder has set its globals."""
    with Recorder(precision=precision, seed=0, states=states) as recorder:
        within()
        for _ in loop(recorder, dtype, scaler=scaler):
            pass
    return recorder.record


def verdict(one: Record, other: Record) -> str:
    """Say how two records differ."""
    found = compare(one, other)
    if not found.deviations:
        return f"{found.verdict}, largest deviation {found.largest:.1e}"
    first = found.deviations[0]
    return f"{found.verdict} from step {first.step} on: {first.stage}, {first.stream}, {first.size:.1e}"


def row(what: str, found: object) -> None:
    """Print a line of the table."""
    print(f"| {what} | {found} |", flush=True)


# --- what is measured


def committed() -> None:
    """The committed baselines on CUDA."""
    for make in (recipes.cifar_cnn, recipes.cifar_resnet, recipes.article):
        recipe = make("synthetic")
        name = f"tests.gate.test_shipped_recipes-test_training_is_unchanged={recipe.title}-synthetic.json"
        record = train(recipe, "cuda")
        found = compare(load_baseline(BASELINES / name, "pytest"), record)
        share = max(point.size / point.threshold for point in found.points if point.threshold)
        text = f"{found.verdict}, largest deviation {found.largest:.1e}, {100 * share:.0f} % of a threshold"
        row(f"{recipe.title}, float64, against its committed baseline", text)
        row(f"{recipe.title}, float64, twice on CUDA", verdict(record, train(recipe, "cuda")))


def _tf32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def _autotune() -> None:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False
    torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back what a switch changes."""
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


def switches() -> None:
    """Other kernels, chosen within the loop."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        plain = recorded(precision, dtype)
        row(f"own loop, {precision}, twice", verdict(plain, recorded(precision, dtype)))
        for what, switch in (("TF32", _tf32), ("autotuning and atomics", _autotune)):
            with restored():
                row(f"own loop, {precision}, {what}", verdict(plain, recorded(precision, dtype, within=switch)))


def low_precision() -> None:
    """Mixed precision, bit for bit and from stored states."""
    for what, dtype, scaler in (("bfloat16", torch.bfloat16, False), ("float16", torch.float16, True)):
        states = States()
        first = recorded("bfloat16", dtype, states, scaler=scaler)
        row(f"own loop, {what} autocast, twice", verdict(first, recorded("bfloat16", dtype, scaler=scaler)))
        again = recorded("bfloat16", dtype, States.from_bytes(states.to_bytes()), scaler=scaler)
        row(f"own loop, {what} autocast, from {len(states.steps)} states", verdict(first, again))


def _times(steps: Iterator[Tensor]) -> Iterator[float]:
    while True:
        torch.cuda.synchronize()
        began = time.perf_counter()
        if next(steps, None) is None:
            return
        torch.cuda.synchronize()
        yield time.perf_counter() - began


def cost() -> None:
    """A recorded step against the bare one, in turns; transfers; memory."""
    for precision, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        with Recorder(precision=precision, seed=0) as recorder:
            pairs = list(zip(_times(loop(recorder, dtype)), _times(loop(None, dtype)), strict=False))[WARM_UP:]
        ours, theirs = (1000 * median(times) for times in zip(*pairs, strict=True))
        ratio = median(our / their for our, their in pairs)
        row(f"step, {precision}, recorded against bare", f"{ours:.2f} ms, {theirs:.2f} ms, ratio {ratio:.2f}")
    for what in ("bare", "recorded"):
        torch.cuda.reset_peak_memory_stats()
        row(f"transfers to the CPU a step, float32, {what}", f"{_transfers(what == 'recorded'):.1f}")
        row(f"peak memory, float32, {what}", f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")


def _transfers(records: bool) -> float:
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with Recorder(precision="float32", seed=0) as recorder:
        steps = loop(recorder if records else None, torch.float32)
        for _ in range(WARM_UP):
            next(steps)
        with torch.profiler.profile(activities=kinds) as profile:
            for _ in range(STEPS):
                next(steps)
        if not records:
            all(True for _ in loop(recorder, torch.float32))  # so that there is something to record
    copies = [event.count for event in profile.key_averages() if "Memcpy DtoH" in event.key]
    return sum(copies) / STEPS


def trace() -> None:
    """The operations of the first step and where they were asked for."""
    tracing = Tracing(Path.cwd())
    with tracing.building(), perturbed(Perturbation(plant=tracing)):
        record = recorded("float64", torch.float64)
    traced = tracing.of(record)
    assert traced is not None, "the training was traced"
    count = {name: len(part.operations) for name, part in traced.parts.items()}
    row(
        "trace, float64",
        f"{count}, error {traced.error!r}, {traced.kept is not None and len(traced.kept.parts)} parts kept",
    )


AGAINST = """
import pytest
import torch
from harness import Recorder
from tests.gpu import loop

@pytest.mark.device("DEVICE")
def test_loop(training_regression, device):
    with Recorder(precision="bfloat16", seed=0) as recorder:
        for _ in loop(recorder, torch.bfloat16, rate=0.05, device=device):
            pass
    training_regression.check(recorder.record)
"""


def against(device: str = "cuda") -> None:
    """A bfloat16 training held against a commit, unchanged and changed by a ten-millionth."""
    with tempfile.TemporaryDirectory() as place:
        text = AGAINST.replace("DEVICE", device)
        project = repository(Path(place).resolve() / "project", {"test_loop.py": text, "pytest.ini": "[pytest]\n"})
        variables = os.environ | {"PYTHONPATH": str(Path.cwd()), "XDG_CACHE_HOME": place}
        for what, rate in (("unchanged", "0.05"), ("rate off by 1e-7", "0.0500000050")):
            (project / "test_loop.py").write_text(text.replace("rate=0.05", f"rate={rate}"))
            command = [sys.executable, "-m", "pytest", "-q", "--training-against=HEAD"]
            said = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True).stdout
            told = [
                line for line in said.splitlines() if line.startswith(("training differs", "bits differ", "margins"))
            ]
            row(f"own loop, bfloat16, --training-against, {what}", next(iter(told), said.splitlines()[-1]))


def one_rank(device: str) -> Recorder:
    """Train on one rank, or, without a process group, on all samples."""
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    rank = distributed.get_rank() if world > 1 else 0
    place = torch.device(device, rank) if device == "cuda" else torch.device(device)
    if device == "cuda":
        torch.cuda.set_device(place)
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(place)
        network = DistributedDataParallel(model) if world > 1 else model
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        recorder.watch(model, optimizer)
        inputs, labels = torch.randn(STEPS, 64, 64), torch.randint(0, 10, (STEPS, 64))
        for images_ND, labels_N in zip(inputs[:, rank::world], labels[:, rank::world], strict=True):
            recorder.batch(images_ND, labels_N)
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images_ND.to(place)), labels_N.to(place))
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    return recorder


def ranks(device: str = "cuda", backend: str = "nccl") -> None:
    """Two ranks of DDP against one process with the same samples."""
    what = f"DDP on two ranks with {backend}, against one process"
    if device == "cuda" and (count := torch.cuda.device_count()) < 2:
        row(what, f"not run: there is {count} GPU")
        return
    held = compare_ranks(Ranks()(one_rank, device, backend=backend), one_rank(device).record)
    row(what, f"{held.comparison.verdict}, largest deviation {held.comparison.largest:.1e}")


def main() -> int:
    """Print the table."""
    if not torch.cuda.is_available():
        print("skipped: this machine has no CUDA device (torch.cuda.is_available() is False)")
        return 0
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {describe('cuda')['system']}\n")
    print("| what | found |\n| --- | --- |", flush=True)
    for measure in (committed, switches, low_precision, cost, trace, against, ranks):
        began = time.perf_counter()
        try:
            measure()
        except Exception as error:  # the others are wanted all the same
            row(measure.__name__, f"failed: {type(error).__name__}: {error}".replace("\n", " "))
            traceback.print_exc()
        print(f"{measure.__name__}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
