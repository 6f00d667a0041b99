"""The command line and ini options."""

import pytest


__all__ = ["add"]


def add(parser: pytest.Parser) -> None:
    """Add the options of the group "training regression"."""
    group = parser.getgroup("training regression", "training regression")
    group.addoption(
        "--device",
        metavar="LIST",
        help="devices to train on, e.g. cpu,cuda; default: all that the machine has. One that is missing is skipped",
    )
    group.addoption(
        "--require-device", metavar="LIST", help="devices to train on; one that is missing is a failure, not a skip"
    )
    group.addoption(
        "--cifar10",
        metavar="PATH",
        help="CIFAR-10: a folder in torchvision's layout, an .npz, or the word download; also HARNESS_CIFAR10 or ini",
    )
    group.addoption(
        "--tensorboard",
        metavar="DIR",
        help="folder for the TensorBoard runs of the trainings; default: build/harness/tensorboard",
    )
    parser.addini("training_baselines", "folder of the baselines, relative to the root; default: baselines")
    parser.addini("cifar10", "CIFAR-10: a folder in torchvision's layout or an .npz, relative to the root")
