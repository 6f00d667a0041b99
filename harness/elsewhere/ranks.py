"""Run a function on several ranks, each in a process of its own, and collect their records."""

import contextlib
import datetime
import importlib
import importlib.util
import json
import math
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness import scratch
from harness.atomic_files import write
from harness.elsewhere.endings import ending
from harness.errors import ArgumentError, FaultError, RanksError
from harness.record import Record
from harness.recording.followed import follow, unfollow
from harness.recording.lines import users_line
from harness.recording.perturbation import current, obeying


_GRACE_SECONDS = 5
"""That ranks have, once their time is up, to say where they are."""
_UNKNOWN = "nobody knows: it never began, or its process answers nothing"
_LOOPBACK = "lo" if sys.platform == "linux" else "lo0"
"""All ranks are on this machine, whose name may lead elsewhere."""


@dataclass(frozen=True)
class _Given:
    """What all ranks of a training are given; see `Ranks`."""

    folder: Path
    world_size: int
    backend: str
    function: tuple[str, str, str]  # module, its file, name in there
    arguments: Sequence[Any]
    timeout_seconds: float
    deadline: float  # by the clock that all processes have, and nobody sets

    def file(self, rank: int, kind: str) -> Path:
        """Return the file of what a rank leaves: its "record", "times", "failure", or "place" in time."""
        return self.folder / f"rank{rank}-{kind}.json"

    @property
    def seconds_left(self) -> float:
        """How long the ranks may go on; below 0 once their time is up."""
        return self.deadline - time.monotonic()


class Ranks:
    """Runs functions on ranks.

    Args:
        is_fresh: whether this process has only just begun, so that copies of it are as good as new ones.
    """

    def __init__(self, *, is_fresh: bool = False) -> None:
        self._is_fresh = is_fresh

    def __call__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        world_size: int = 2,
        backend: str = "gloo",
        timeout_seconds: float = 300,
    ) -> list[Record]:
        """Run a function on every rank of a process group; return the record that it returned on each.

            def train(rate): ...                    # on one rank: torch.distributed is ready
                return recorder.record

            def test_ddp(ranks, training_regression):
                training_regression.check_ranks(ranks(train, 0.1))

        Args:
            function: of a module, not of another function. It returns a record, or a `Recorder` whose block has ended.
            *arguments: that it is called with.
            world_size: number of ranks.
            backend: of torch.distributed.
            timeout_seconds: that all ranks may take together, from their start to their end, whatever they wait for.

        Raises:
            ArgumentError: the time is none.
            RanksError: the function cannot be had in another process; a rank raised an exception, died, returned
                something else or did not end in time. The others are ended then.
        """
        if not 0 < timeout_seconds < math.inf:
            raise ArgumentError.of("ranks", "timeout_seconds", timeout_seconds, "a number above 0, and finite")
        place, deadline = _place_of(function), time.monotonic() + timeout_seconds
        with scratch.folder() as folder:
            given = _Given(folder, world_size, backend, place, arguments, timeout_seconds, deadline)
            _run(given, self._method)
            return [_collected(given, rank) for rank in range(world_size)]

    @property
    def _method(self) -> str:
        """How a process begins: a copy of one that has computed on several threads, or on a GPU, would stand still."""
        from torch import cuda

        copies = self._is_fresh and current().threads == 1 and not cuda.is_initialized()
        return "fork" if copies and hasattr(os, "fork") else "spawn"


def _collected(given: _Given, rank: int) -> Record:
    seconds, step_seconds = json.loads(given.file(rank, "times").read_text(encoding="utf-8"))
    record = Record.from_text(given.file(rank, "record").read_text(encoding="utf-8"))
    return replace(record, seconds=seconds, step_seconds=tuple(step_seconds))


def gathered(record: Record, ran: Path) -> list[Record]:
    """Return the records of all ranks, on each that calls this with its own; where no group is left, that alone.

    Args:
        record: of this rank.
        ran: log of the lines that ran on this rank (`Running`), which takes those of the others; it may not be there.
    """
    from torch import distributed

    from harness.recording.process_group import has_group

    if not (record.world and has_group()):
        return [record]
    own = ran.read_bytes() if ran.exists() else b""
    told: list[Any] = [None] * record.world.size
    distributed.all_gather_object(told, (record.to_text(), own))
    others = {line for _, lines in told for line in lines.splitlines(keepends=True)}
    if ran.exists():
        with ran.open("ab") as log:  # each line once: what it took before comes back with the next check
            log.write(b"".join(sorted(others.difference(own.splitlines(keepends=True)))))
    return [Record.from_text(text) for text, _ in told]


def _place_of(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Return module, file and name of a function, by which another process finds it."""
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", repr(function))
    file = getattr(sys.modules.get(module), "__file__", None)
    if not file or "<" in name:
        raise RanksError.local(name=name)
    return module, file, name


def _find(module: str, file: str, name: str) -> Callable[..., Any]:
    found: Any = sys.modules.get(module)
    if found is None:
        try:
            found = importlib.import_module(module)
        except ImportError:  # under pytest's import mode "importlib", its name leads nowhere
            found = _load(module, file)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return] # what is called


def _load(module: str, file: str) -> Any:
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None, "it is a Python file"
    assert spec.loader is not None, "it is a Python file"
    sys.modules[module] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _run(given: _Given, method: str) -> None:
    """Run all ranks until they have ended; once one has failed, or their time is up, end the others."""
    context: Any = multiprocessing.get_context(method)
    processes = [context.Process(target=_main, args=(given, rank)) for rank in range(given.world_size)]
    try:
        for process in processes:
            process.start()
        statuses = _wait(given, processes)
        if not any(statuses) and None in statuses:
            _raise_hung(given, processes)
    finally:
        for process in processes:
            if process.pid:
                process.kill()
                process.join()
    _raise_first(given, statuses)


def _wait(given: _Given, processes: Sequence[BaseProcess]) -> list[int | None]:
    """Wait until all have ended, one has failed, or time is up; return the exit statuses of those that have ended."""
    while True:
        statuses = [process.exitcode for process in processes]
        if any(statuses) or None not in statuses or given.seconds_left <= 0:
            return statuses
        running = (process for process, status in zip(processes, statuses, strict=True) if status is None)
        sentinels = [process.sentinel for process in running]
        wait(sentinels, max(0.0, given.seconds_left))  # one may have ended since: asked again, there may be none


def _raise_hung(given: _Given, processes: Sequence[BaseProcess]) -> None:
    """Raise which ranks have not ended, and where they are, as each of them says once its time is up."""
    files = {rank: given.file(rank, "place") for rank, process in enumerate(processes) if process.exitcode is None}
    while given.seconds_left > -_GRACE_SECONDS and not all(file.exists() for file in files.values()):
        time.sleep(0.05)
    places = {rank: file.read_text(encoding="utf-8") if file.exists() else _UNKNOWN for rank, file in files.items()}
    raise RanksError.hung(places=places, world_size=given.world_size, seconds=given.timeout_seconds)


def _raise_first(given: _Given, statuses: Sequence[int | None]) -> None:
    """Raise what the first rank ended with that died or failed: the others may have failed for want of it."""
    for rank, status in enumerate(statuses):
        if status is not None and not any(given.file(rank, kind).exists() for kind in ("times", "failure")):
            raise RanksError.failed(rank=rank, world_size=given.world_size, line=ending(status))
    files = {rank: given.file(rank, "failure") for rank in range(given.world_size)}
    told = [(*json.loads(file.read_text(encoding="utf-8")), rank) for rank, file in files.items() if file.exists()]
    for _, line, fault, rank in sorted(told, key=lambda each: each[0]):
        if fault:
            raise FaultError(**fault)
        raise RanksError.failed(rank=rank, world_size=given.world_size, line=line)


def _main(given: _Given, rank: int) -> None:
    """Be one rank."""
    threading.Thread(target=_watch, args=(given, rank), daemon=True).start()
    follow()
    try:
        with _group(given, rank), obeying():
            result = _find(*given.function)(*given.arguments)
            _leave(given, rank, getattr(result, "record", result))
    except BaseException as error:  # whatever it is, the session that asked shows it
        traceback.print_exc()
        fault = vars(error) if isinstance(error, FaultError) else None
        line = traceback.format_exception_only(error)[-1].strip()
        given.file(rank, "failure").write_text(json.dumps([time.monotonic(), line, fault]), encoding="utf-8")
        sys.stderr.flush()
        os._exit(1)  # threads of torch may wait for other ranks
    unfollow()
    sys.stdout.flush()
    os._exit(0)


def _watch(given: _Given, rank: int) -> None:
    """Say where this rank is once its time is up; end it once the process that asked for it is no more."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was started by multiprocessing"
    if not wait([parent.sentinel], max(0.0, given.seconds_left)):
        _say_place(given.file(rank, "place"))
        wait([parent.sentinel])
    os._exit(1)


def _say_place(file: Path) -> None:
    """Print the stack of this process's training, and leave its line, and the function that it is in."""
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    traceback.print_stack(frame)
    sys.stderr.flush()
    line = users_line(traceback.walk_stack(frame)).removeprefix(f"{Path.cwd()}{os.sep}")
    write(file, f"{line or 'no line of the project'}, in {frame.f_code.co_name}".encode())


@contextlib.contextmanager
def _group(given: _Given, rank: int) -> Iterator[None]:
    """Be in the process group, on one thread, with the variables that a launcher sets."""
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
    os.environ |= {"WORLD_SIZE": f"{given.world_size}", "LOCAL_WORLD_SIZE": f"{given.world_size}"}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK)
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    patience = datetime.timedelta(seconds=given.timeout_seconds + 2 * _GRACE_SECONDS)  # its own time is up before
    store = distributed.FileStore(str(given.folder / "store"), given.world_size)  # type: ignore[attr-defined]
    distributed.init_process_group(given.backend, store=store, rank=rank, world_size=given.world_size, timeout=patience)
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _leave(given: _Given, rank: int, record: object) -> None:
    """Leave a rank's record, and what it took."""
    if not isinstance(record, Record):
        raise RanksError.no_record(name=given.function[-1], found=type(record).__name__)
    kept = record if rank == 0 else replace(record, pictures={}, histograms={}, confusion=())  # packing takes seconds
    given.file(rank, "record").write_text(kept.to_text(), encoding="utf-8")
    given.file(rank, "times").write_text(json.dumps([record.seconds, record.step_seconds]), encoding="utf-8")
