"""What people read: a comparison, a training, seeds. Words only, no decisions."""

from harness.report.comparison import calibration_note, failure, note
from harness.report.equivalence import equivalence_text
from harness.report.power import power_text
from harness.report.results import figure_text, first_text, result_headline, result_title, session_text, share_text
from harness.report.training import progress_line, training_line
from harness.report.words import stream_text


__all__ = [
    "calibration_note",
    "equivalence_text",
    "failure",
    "figure_text",
    "first_text",
    "note",
    "power_text",
    "progress_line",
    "result_headline",
    "result_title",
    "session_text",
    "share_text",
    "stream_text",
    "training_line",
]
