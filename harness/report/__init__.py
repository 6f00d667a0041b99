"""What people read: a comparison, a training, seeds. Words only, no decisions."""

from harness.report.accepted import accepted_table
from harness.report.comparison import calibration_note, difference, failure, note
from harness.report.equivalence import equivalence_text
from harness.report.power import power_text
from harness.report.stored import inventory_text, rows_text, stored_text
from harness.report.training import progress_line, training_line
from harness.report.words import stream_text


__all__ = [
    "accepted_table",
    "calibration_note",
    "difference",
    "equivalence_text",
    "failure",
    "inventory_text",
    "note",
    "power_text",
    "progress_line",
    "rows_text",
    "stored_text",
    "stream_text",
    "training_line",
]
