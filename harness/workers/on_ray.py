"""Jobs on a Ray cluster. Ray is an extra, and imported when a session asks for it."""

import contextlib
import socket
from typing import Any

from harness.errors import SuiteError, WorkerError
from harness.workers.executor import Needs
from harness.workers.worker import Answer, work


_PATIENCE_SECONDS = 5
"""For a job to end, and for the cluster's head to answer; a process whose head is gone for 60 is ended by Ray."""


class Ray:
    """An executor whose workers are Ray's: one core or one GPU a job, and the GPU's model where a test names it."""

    def __init__(self) -> None:
        self._jobs: dict[Any, str] = {}
        self._died: WorkerError | None = None

    def open(self, address: str) -> None:
        """Connect to a cluster: that of an address, of `RAY_ADDRESS`, or one that is started on this machine.

        Raises:
            SuiteError: Ray is not installed, or the cluster cannot be reached.
        """
        try:
            import ray
        except ImportError as error:
            raise SuiteError.no_ray() from error
        self._ray = ray
        self._address = address or "ray"
        own = {"ignore_reinit_error": True} | ({} if address else {"include_dashboard": False})
        try:
            context = ray.init(address or None, **own, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # of whatever library it connects by
            raise SuiteError.no_cluster(address=self._address, reason=error) from error
        self._head = getattr(context, "address_info", {}).get("gcs_address", "")  # by ray://, Ray itself sees to it
        self._work = ray.remote(max_retries=0)(work)

    def submit(self, name: str, job: bytes, needs: Needs) -> None:
        """Have Ray schedule a job."""
        asked: dict[str, Any] = {"num_cpus": 1, "num_gpus": int(needs.device == "cuda"), "name": name}
        if needs.model:
            asked["accelerator_type"] = needs.model
        self._jobs[self._work.options(**asked).remote(job)] = name

    def done(self) -> tuple[str, bytes | None]:
        """Wait until a job has ended.

        Raises:
            WorkerError: the cluster has died.
        """
        if self._died:  # asked once more, Ray would start another one
            raise self._died
        try:
            ended = self._ended()
            answer = self._answer(ended)
        except (self._ray.exceptions.LocalRayletDiedError, OSError) as error:  # OSError: nobody answers
            self._jobs.clear()
            self._died = WorkerError.no_cluster(address=self._address, reason=error)
            raise self._died from error
        return self._jobs.pop(ended), answer

    def _ended(self) -> Any:
        """Return a job that has ended.

        Raises:
            OSError: the head of the cluster does not answer.
        """
        ended: list[Any] = []
        while not ended:
            if self._head:
                host, _, port = self._head.rpartition(":")
                socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
            ended, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=_PATIENCE_SECONDS)
        return ended[0]

    def _answer(self, ended: Any) -> bytes | None:
        """Return the answer of a job that has ended; None if its worker died."""
        exceptions = self._ray.exceptions
        try:
            answer: bytes = self._ray.get(ended)
        except exceptions.RayTaskError as error:
            return Answer(end="unable", text=_last(error), worker="of Ray").to_bytes()
        except exceptions.LocalRayletDiedError:
            raise
        except exceptions.RayError:
            return None
        return answer

    def cancel(self) -> None:
        """End the jobs that have not ended."""
        for job in self._jobs:
            with contextlib.suppress(Exception):  # it may have ended, or the cluster
                self._ray.cancel(job, force=True)
        self._jobs.clear()

    def close(self) -> None:
        """Leave the cluster; one that was started for this session ends."""
        self._ray.shutdown()


def _last(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]
