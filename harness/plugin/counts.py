"""What a session did, in numbers and lines."""

from dataclasses import asdict, dataclass, field
from typing import Any

from harness.errors import HarnessError


__all__ = ["Counts"]


@dataclass
class Counts:
    """What a session, or one worker of it, did; plain data, so that workers can send it."""

    trainings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    records_compared: int = 0
    figures_compared: int = 0
    passed: int = 0
    generated: int = 0
    not_compared: int = 0
    drifted: int = 0
    judged: int = 0
    acceptable: int = 0
    faults_planted: int = 0
    faults_caught: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    redrawn: list[str] = field(default_factory=list)
    drawn_by_others: list[str] = field(default_factory=list)
    largest_deviation: float = 0.0
    largest_rms: float = 0.0
    claimed: int = 0
    whole: bool = False
    orphans: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def add_problem(self, error: HarnessError) -> None:
        """Note that something beside the tests went wrong, once; the summary says it, and the session fails."""
        if str(error) not in self.problems:
            self.problems.append(str(error))

    def add(self, other: dict[str, Any]) -> None:
        """Add a worker's counts."""
        for name, value in other.items():
            mine = getattr(self, name)
            if name.startswith("largest") or name in ("claimed", "whole"):  # every worker collects all tests
                setattr(self, name, max(mine, value))
            elif name == "orphans":
                self.orphans = sorted({*mine, *value})
            elif name == "problems":
                self.problems = list(dict.fromkeys([*mine, *value]))
            else:
                setattr(self, name, mine + value)
