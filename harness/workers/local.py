"""Jobs in processes of this machine."""

import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from harness.workers.executor import Needs
from harness.workers.worker import Worker


class Local:
    """An executor of N workers on this machine; each has a process that its jobs are copies of."""

    def __init__(self) -> None:
        self._jobs: dict[Future[bytes | None], str] = {}
        self._own = threading.local()
        self._workers: list[Worker] = []

    def open(self, address: str) -> None:
        """Make room for as many workers as the address says."""
        self._pool = ThreadPoolExecutor(int(address))

    def submit(self, name: str, job: bytes, needs: Needs) -> None:
        """Have a job done; all workers have the same device."""
        self._jobs[self._pool.submit(self._work, job)] = name

    def _work(self, job: bytes) -> bytes | None:
        if not hasattr(self._own, "worker"):
            self._own.worker = Worker()
            self._workers.append(self._own.worker)
        answer: bytes | None = self._own.worker.work(job)
        return answer

    def done(self) -> tuple[str, bytes | None]:
        """Wait until a job has ended."""
        ended = next(iter(wait(self._jobs, return_when=FIRST_COMPLETED).done))
        return self._jobs.pop(ended), ended.result()

    def cancel(self) -> None:
        """Leave out the jobs that no worker has begun."""
        for job in self._jobs:
            job.cancel()
        self._jobs.clear()

    def close(self) -> None:
        """Wait for what runs, and end the processes."""
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()
