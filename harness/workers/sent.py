"""The jobs of a session and their answers: submitted, again where a worker was lost, and kept for the next session."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from harness.atomic_files import write
from harness.elsewhere.kept import Kept
from harness.errors import WorkerError
from harness.workers.executor import Executor, Needs
from harness.workers.facts import digest_of, unlike
from harness.workers.worker import Answer, Job


TRIES = 3
"""Workers that a job may lose: one that dies with its third is the job's fault."""


class Sent:
    """What a session has others do.

    Args:
        executor: has it done.
        folder: of the answers, until the session ends.
        kept: of former sessions; None keeps nothing.
        arrived: called with every answer.
    """

    def __init__(self, executor: Executor, folder: Path, kept: Kept | None, arrived: Callable[[Answer], None]) -> None:
        self._executor, self._folder, self._kept, self._arrived = executor, folder, kept, arrived
        self._jobs: dict[str, tuple[bytes, Needs]] = {}
        self._tries = Counter[str]()
        self._here: set[str] = set()
        self._asked: set[str] = set()
        self.counts = Counter[str]()

    def submit(self, job: Job, needs: Needs) -> None:
        """Have a test run, once, unless its answer is kept."""
        if job.test in self._jobs:  # pytest-repeat has several
            return
        self._jobs[job.test] = job.to_bytes(), needs
        if answer := self._former(job.test):
            self.counts["kept"] += 1
            self._take(job.test, answer)
        else:
            self._submit(job.test)

    def _submit(self, test: str) -> None:
        self._tries[test] += 1
        self._executor.submit(test, *self._jobs[test])

    def answer(self, test: str) -> Answer:
        """Wait for what became of a test."""
        self._asked.add(test)
        while test not in self._here:
            name, data = self._executor.done()
            answer = Answer.from_bytes(data) if data else Answer(end="lost")
            if answer.end == "lost":
                self.counts["lost"] += 1
            if answer.end == "lost" and self._tries[name] < TRIES:
                self._submit(name)
            else:
                self._keep(name, answer)
                self._take(name, answer)
        return Answer.from_bytes(self._file(test).read_bytes())

    def _take(self, test: str, answer: Answer) -> None:
        """Put an answer aside: there may be thousands."""
        write(self._file(test), answer.to_bytes())
        self._here.add(test)
        self.counts["jobs"] += 1
        self._arrived(answer)

    def _file(self, test: str) -> Path:
        return self._folder / f"{_digest(test)}.answer"

    def _former(self, test: str) -> Answer | None:
        """Return the answer of a former session by the same code, if the files that its training read are the same."""
        if self._kept is None:
            return None
        try:
            answer = Answer.from_bytes(self._place(test).read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        same = all(digest_of(Path(file)) == content for file, content in answer.read.items())
        return answer if same else None

    def _keep(self, test: str, answer: Answer) -> None:
        """Keep what a test that passed did by itself; where states were put back, it depends on the baseline, too."""
        passed = answer.end == "passed" and answer.alone
        if self._kept and passed and not any(check.stateful for check in answer.checks):
            write(self._place(test), answer.to_bytes())

    def _place(self, test: str) -> Path:
        assert self._kept is not None, "asked only where something is kept"
        return self._kept.folder / f"{_digest(test, *self._jobs[test][1])}.answer"

    def close(self) -> None:
        """Give up what has not ended; count it, and what ended and was not asked for."""
        self.counts["unasked"] = len(self._here - self._asked)
        self.counts["given up"] = len(self._jobs.keys() - self._here - self._asked)
        self._executor.cancel()
        self._executor.close()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def not_run(test: str, answer: Answer, ours: Mapping[str, str]) -> WorkerError:
    """Return what to say of a test that did not run, or not to its end; `ours` are the facts of the session."""
    if answer.end == "foreign":
        return WorkerError.foreign(nodeid=test, worker=answer.worker, unlike=unlike(ours, answer.facts))
    if answer.end == "absent":
        return WorkerError.absent(nodeid=test, worker=answer.worker, reason=answer.text or "no tests ran")
    if answer.end == "unable":
        return WorkerError.unable(nodeid=test, worker=answer.worker, reason=answer.text)
    return WorkerError.lost(nodeid=test, times=TRIES, output=answer.text)
