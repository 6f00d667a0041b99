"""What people read: a comparison, a training, seeds. Words only, no decisions."""

from harness.report.accepted import accepted_table
from harness.report.annotation import annotation
from harness.report.comparison import calibration_note, difference, failure, note
from harness.report.equivalence import equivalence_text
from harness.report.markdown import markdown
from harness.report.power import power_text
from harness.report.results import (
    figure_difference,
    figure_text,
    first_text,
    junit_properties,
    result_headline,
    result_title,
    results_text,
    session_text,
    share_text,
    size_text,
    trends,
)
from harness.report.stored import inventory_text, rows_text, stored_text
from harness.report.training import progress_line, training_line
from harness.report.words import stream_text


__all__ = [
    "accepted_table",
    "annotation",
    "calibration_note",
    "difference",
    "equivalence_text",
    "failure",
    "figure_difference",
    "figure_text",
    "first_text",
    "inventory_text",
    "junit_properties",
    "markdown",
    "note",
    "power_text",
    "progress_line",
    "result_headline",
    "result_title",
    "results_text",
    "rows_text",
    "session_text",
    "share_text",
    "size_text",
    "stored_text",
    "stream_text",
    "training_line",
    "trends",
]
