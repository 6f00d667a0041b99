"""Figures as pure functions of a record: one a file.

Each has two forms. The gated one holds no glyphs, fixed limits and exact pixels, so that Matplotlib 3.8 to 3.11 draw
the same bytes and pytest-mpl can compare it. The labelled one (`labelled=True`) is for people.
"""

from harness.figures.accuracy_curve import accuracy_curve
from harness.figures.batch_grid import batch_grid
from harness.figures.loss_curve import loss_curve
from harness.figures.prediction_grid import prediction_grid


__all__ = ["accuracy_curve", "batch_grid", "loss_curve", "prediction_grid"]
