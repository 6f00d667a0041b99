"""What a record that differs from its baseline leaves: itself, to be accepted; pictures; a message that names them."""

import dataclasses
from typing import TYPE_CHECKING

from harness import report
from harness.plugin import offers, pictures
from harness.plugin.checked import Checked


if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.record import Record

__all__ = ["failure"]


def failure(comparison: "Comparison", checked: Checked, baseline: "Record", drawn: bytes) -> tuple[str, str]:
    """Keep the record that differs; return the message, and the command in it that accepts the record.

    Args:
        comparison: with the baseline.
        checked: the record and its test.
        baseline: as it is stored.
        drawn: the deviations, as a PNG file.
    """
    session, item = checked.session, checked.item
    kept, accept = offers.keep(
        item,
        session,
        checked.path,
        comparison.record.to_text().encode(),
        difference=report.difference(comparison),
        obstacle=_obstacle(checked, baseline),
        command=f"{checked.accept} --add-environment" if checked.is_others else checked.accept,
    )
    look = [str(session.shown(session.outcome.page))]
    look += [f"{session.shown(kept)}   (baseline: {session.shown(checked.path)})"] if kept else []
    with session.outcome.noted():
        look += [str(session.shown(path)) for path in pictures.keep(comparison, drawn, checked.pictures)]
    look += [f"tensorboard --logdir {session.shown(session.tensorboard)}"]
    present = dataclasses.replace(comparison.record, provenance=session.provenance)
    comparison = dataclasses.replace(comparison, record=present)
    chosen = checked.chosen_text
    return report.failure(comparison, test=item.nodeid, look=look, accept=accept, chosen=chosen), accept


def _obstacle(checked: Checked, baseline: "Record") -> str:
    """Say what of a baseline only a training can make anew, or why this one's result cannot."""
    if checked.is_others:
        return "it is the baseline of another environment, and this one has none yet"
    if baseline.calibration:
        return "its states and thresholds are made while it trains"
    return f"it holds the summaries of {len(baseline.seeds)} seeds" if baseline.seeds else ""
