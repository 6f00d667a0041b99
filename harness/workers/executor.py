"""What runs the trainings of a session on other machines: five methods, which anybody can write."""

import importlib
import re
from typing import NamedTuple, Protocol, runtime_checkable

from harness.errors import SuiteError


class Needs(NamedTuple):
    """What a job asks of the worker that runs it.

    Args:
        device: cpu, cuda or mps.
        model: of the device: "H100"; empty for any.
    """

    device: str = "cpu"
    model: str = ""


@runtime_checkable
class Executor(Protocol):
    """Has jobs done by workers. It knows nothing of trainings: a job is bytes, and so is its answer.

    On a worker, `harness.workers.worker.work(job)` does a job, in a process of its own, and returns the answer.
    """

    def open(self, address: str) -> None:
        """Get ready for jobs.

        Args:
            address: what the user gave after the executor's name; empty for nothing.
        """

    def submit(self, name: str, job: bytes, needs: Needs) -> None:
        """Have a job done, and return at once. A job that was lost is submitted again, by the same name."""

    def done(self) -> tuple[str, bytes | None]:
        """Wait until a job has ended; return its name and answer, None if its worker died.

        Raises:
            WorkerError: there are no workers any more.
        """

    def cancel(self) -> None:
        """Give up the jobs that have not ended: nobody will ask for them."""

    def close(self) -> None:
        """Let the workers go."""


def executor(named: str) -> tuple[Executor, str]:
    """Return the executor that an option names, and the address for it.

    Args:
        named: `local:N`, `ray`, `ray://ADDRESS`, or `module:Class`, with an address after another colon.

    Raises:
        SuiteError: there is none.
    """
    if re.fullmatch(r"local:[1-9]\d*", named):
        from harness.workers.local import Local

        return Local(), named.partition(":")[2]
    if named == "ray" or named.startswith("ray://"):
        from harness.workers.on_ray import Ray

        return Ray(), named if named.startswith("ray://") else ""
    module, _, rest = named.partition(":")
    kind, _, address = rest.partition(":")
    try:
        if module == "local":
            raise ValueError("local:N wants a number of processes, 1 or more")
        made = getattr(importlib.import_module(module), kind)()
        if not isinstance(made, Executor):
            raise TypeError(f"{kind} lacks one of an executor's five methods")
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise SuiteError.no_executor(name=named, reason=error) from error
    return made, address
