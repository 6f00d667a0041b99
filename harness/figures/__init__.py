"""Figures as pure functions of a record: one a file.

Each has two forms. The gated one holds no glyphs, fixed limits and exact pixels, so that Matplotlib 3.8 to 3.11 draw
the same bytes and pytest-mpl can compare it. The labelled one (`labelled=True`) is for people. `deviations` draws a
comparison; `side_by_side` and `film` make images for people only.
"""

from harness.figures.accuracy_curve import accuracy_curve
from harness.figures.activation_maps import activation_maps
from harness.figures.batch_grid import batch_grid
from harness.figures.class_accuracy import class_accuracy
from harness.figures.confusion_matrix import confusion_matrix
from harness.figures.deviations import deviations
from harness.figures.film import film
from harness.figures.filters import filters
from harness.figures.gradient_distributions import gradient_distributions
from harness.figures.gradient_flow import gradient_flow
from harness.figures.learning_rate_curve import learning_rate_curve
from harness.figures.loss_curve import loss_curve
from harness.figures.mistakes import mistakes
from harness.figures.model_structure import model_structure
from harness.figures.prediction_grid import prediction_grid
from harness.figures.side_by_side import side_by_side
from harness.figures.update_ratio import update_ratio
from harness.figures.weight_distributions import weight_distributions


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
