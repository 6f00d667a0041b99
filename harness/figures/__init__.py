"""Figures as pure functions of a record: one a file.

Each has two forms. The gated one holds no glyphs, fixed limits and exact pixels, so that Matplotlib 3.8 to 3.11 draw
the same bytes and pytest-mpl can compare it; below it stand digits of its numbers as colours, so that a tolerance for
pixels sees a thousandth of them (`python -m tests.study.figures`). The labelled one (`labelled=True`) is a
sheet for people, at most 900 pixels wide: it says what it shows and whose it is, every axis has its unit, every colour
its key, and its axes fit what is drawn. Both are Matplotlib figures that pyplot does not know; their docstrings say
what is drawn, how large the gated one is, and what a record may lack. `deviations` draws a comparison in both forms;
`side_by_side` and `film` make images for people only.
"""

from harness.figures.by_class import class_accuracy, confusion_matrix
from harness.figures.curves import accuracy_curve, learning_rate_curve, loss_curve
from harness.figures.deviations import deviations
from harness.figures.distributions import gradient_distributions, weight_distributions
from harness.figures.film import film
from harness.figures.image_grids import activation_maps, batch_grid, filters, mistakes, prediction_grid
from harness.figures.layers import gradient_flow, update_ratio
from harness.figures.model_structure import model_structure
from harness.figures.side_by_side import side_by_side


__all__ = [
    "OF_A_RECORD",
    "accuracy_curve",
    "activation_maps",
    "batch_grid",
    "class_accuracy",
    "confusion_matrix",
    "deviations",
    "film",
    "filters",
    "gradient_distributions",
    "gradient_flow",
    "learning_rate_curve",
    "loss_curve",
    "mistakes",
    "model_structure",
    "prediction_grid",
    "side_by_side",
    "update_ratio",
    "weight_distributions",
]

OF_A_RECORD = (
    "loss_curve",
    "accuracy_curve",
    "learning_rate_curve",
    "gradient_flow",
    "update_ratio",
    "weight_distributions",
    "gradient_distributions",
    "confusion_matrix",
    "class_accuracy",
    "filters",
    "activation_maps",
    "batch_grid",
    "prediction_grid",
    "mistakes",
    "model_structure",
)
"""Names of the figures that take a record and have both forms."""
