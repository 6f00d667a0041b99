"""Jobs on a Ray cluster. Ray is an extra, and imported when a session asks for it."""

import contextlib
from typing import Any

from harness.errors import SuiteError
from harness.workers.executor import Needs
from harness.workers.worker import Answer, work


class Ray:
    """An executor whose workers are Ray's: one core or one GPU a job, and the GPU's model where a test names it."""

    def __init__(self) -> None:
        self._jobs: dict[Any, str] = {}

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
        own = {} if address else {"include_dashboard": False}
        try:
            ray.init(address or None, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True, **own)
        except Exception as error:  # of whatever library it connects by
            raise SuiteError.no_cluster(address=address or "ray", reason=error) from error
        self._work = ray.remote(max_retries=0)(work)

    def submit(self, name: str, job: bytes, needs: Needs) -> None:
        """Have Ray schedule a job."""
        asked: dict[str, Any] = {"num_cpus": 1, "num_gpus": int(needs.device == "cuda"), "name": name}
        if needs.model:
            asked["accelerator_type"] = needs.model
        self._jobs[self._work.options(**asked).remote(job)] = name

    def done(self) -> tuple[str, bytes | None]:
        """Wait until a job has ended."""
        (ended, *_), _ = self._ray.wait(list(self._jobs), num_returns=1)
        name = self._jobs.pop(ended)
        try:
            return name, self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:
            return name, Answer(end="unable", text=_last(error), worker="of Ray").to_bytes()
        except self._ray.exceptions.RayError:
            return name, None

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
