"""What people read: a comparison, a training, seeds. Words only, no decisions."""

from harness.report.annotation import annotation
from harness.report.comparison import calibration_note, failure, note
from harness.report.equivalence import equivalence_text
from harness.report.markdown import markdown
from harness.report.power import power_text
from harness.report.results import (
    figure_text,
    first_text,
    junit_properties,
    result_headline,
    result_title,
    session_text,
    share_text,
    trends,
)
from harness.report.training import progress_line, training_line
from harness.report.words import stream_text


__all__ = [
    "annotation",
    "calibration_note",
    "equivalence_text",
    "failure",
    "figure_text",
    "first_text",
    "junit_properties",
    "markdown",
    "note",
    "power_text",
    "progress_line",
    "result_headline",
    "result_title",
    "session_text",
    "share_text",
    "stream_text",
    "training_line",
    "trends",
]
