"""A training in a line."""

from harness.record import Record
from harness.report.words import title


__all__ = ["progress_line", "training_line"]


def training_line(record: Record) -> str:
    """Return one line on a finished training: what, steps, final loss, seconds."""
    logged = {name: s.values for name, s in record.streams.items() if s.stage == "forward"}
    losses = logged.get("loss") or next(iter(logged.values()), ())
    loss = f", loss {losses[-1]:.4f}" if losses and isinstance(losses[-1], float) else ""
    return f"{title(record)}: {record.num_steps} steps{loss}, {record.seconds:.1f} s"


def progress_line(name: str, step: int, steps: int, loss: float, seconds: float) -> str:
    """Return one line on a training under way.

    Args:
        name: recipe, data, precision and device.
        step: steps taken.
        steps: steps of the run.
        loss: of the last step.
        seconds: since its start.
    """
    return f"training {name}: step {step}/{steps}, loss {loss:.4f}, {seconds:.1f} s"
