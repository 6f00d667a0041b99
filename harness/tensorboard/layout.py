"""The custom layout of a run: which curves TensorBoard lays over each other in one chart."""

import re
from collections.abc import Collection, Mapping

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import custom_scalars


_LOGGED = "(training|train|evaluation|eval|validation|val|test)"
_LOSS, _ACCURACY = r"(.*[/_])?loss([/_].*)?$", r"(.*[/_])?accuracy$"

LAYOUT: Mapping[str, Mapping[str, str]] = {
    "progress": {
        "loss": rf"^{_LOGGED}/{_LOSS}",
        "accuracy": rf"^{_LOGGED}/{_ACCURACY}",
        "accuracy of each class": r"^evaluation/class_accuracy\[",
        "other numbers that are logged": rf"^{_LOGGED}/(?!{_LOSS}|{_ACCURACY}|class_accuracy\[|gradient_norm$|count$)",
    },
    "rates": {"learning rate of each group": r"^learning_rate/"},
    "gradients": {
        "norm of the gradient": r"^training/gradient_norm$",
        "norm of the gradient of each tensor": r"^gradient/",
    },
    "updates": {
        "norm of the update over norm of the weight": r"^update_ratio/",
        "norm of the update of each tensor": r"^update/",
    },
    "weights": {
        "norm of each weight": r"^state_weight/",
        "distance from the stored state": r"^state_distance/",
    },
    "state": {
        "norm of each buffer": r"^state_buffer/",
        "norm of the optimizer's state of each tensor": r"^state_optimizer/",
    },
    "counts": {"images, optimizer steps and batches of each step": r"^(steps/|evaluation/count$)"},
}
"""Category to chart to a pattern of tags. TensorBoard merges the layouts of all runs, and equal charts once: hence
patterns, not lists of one run's tags."""


def layout_of(tags: Collection[str]) -> Summary:
    """Return the layout, without charts and categories that none of some tags belongs to."""
    shown: dict[str, dict[str, object]] = {}
    for category, charts in LAYOUT.items():
        for title, pattern in charts.items():
            if any(re.match(pattern, tag) for tag in tags):
                shown.setdefault(category, {})[title] = ("Multiline", [pattern])
    return custom_scalars(shown)
