"""Promises of the fingerprint of code: a test that replaces some is not served from a training by other code."""

import dataclasses
import functools
import os
import subprocess
import sys
import types
from unittest import mock

import pytest
import torch
import torch._dynamo  # which replaces functions of torch, and which a session imports before it trains
from torch import nn
from torch.nn import functional

from harness import Recipe, train
from harness.elsewhere.code import Code
from harness.shipped import loop


SETTINGS = types.ModuleType("settings")
SETTINGS.SCALE = 1.0
ACTIVATION = nn.ReLU
SIZES = [2, 4, 2]
WEIGHTS = torch.ones(3)
BUILT = 0
PAIRS = {(0, 1), (1, 2)}
FAST = False


@dataclasses.dataclass(slots=True)
class Config:
    """Settings without a dictionary."""

    width: int = 2


CONFIG = Config()


@torch.no_grad()
def initialise():
    """What a decorator of a library wraps."""
    return FAST


def helper(sizes=(1,)):
    """What the model's code calls."""
    return ACTIVATION(), SIZES, WEIGHTS, SETTINGS.SCALE, sizes, PAIRS, CONFIG, initialise()


class Net(nn.Module):
    """A model of a project."""

    def forward(self, x):
        """Call what may be replaced."""
        return functional.relu(x) + len(helper())


def build():
    """Build it."""
    global BUILT
    BUILT += 1
    return Net()


def from_environment():
    """Ask for a variable."""
    return Net() if os.environ.get("WIDTH") else None


here = sys.modules[__name__]
PATCHES = [
    (here, "ACTIVATION", nn.GELU),
    (here, "SIZES", [2, 4, 4]),
    (here, "WEIGHTS", torch.zeros(3)),
    (here, "helper", functools.partial(helper, sizes=(2,))),
    (here, "functional", nn),
    (SETTINGS, "SCALE", 2.0),
    (here, "PAIRS", {(0, 1), (0, 2)}),
    (here, "FAST", True),
    (CONFIG, "width", 3),
    (Net, "forward", lambda self, x: x),
    (functional, "relu", functional.gelu),
    pytest.param(functional, "cross_entropy", mock.MagicMock(), marks=pytest.mark.long),  # it takes five seconds
    (nn.ReLU, "forward", lambda self, x: x),
    (nn.init, "kaiming_uniform_", nn.init.ones_),
    (torch, "relu", torch.sigmoid),
    (torch.optim.SGD, "step", lambda self: None),
    (loop, "_rate", lambda recipe, step: 1.0),
]


@pytest.fixture(scope="module")
def code():
    """What was usual when the first test of this module asked."""
    found = Code()
    found.remember()
    return found


@pytest.mark.parametrize(("place", "name", "value"), PATCHES, ids=lambda value: value if isinstance(value, str) else "")
def test_whatever_is_replaced_gives_another_fingerprint(code, monkeypatch, place, name, value):
    """Constants, functions, methods and modules of the project, torch's functions and methods, our loop; and back."""
    before = code.fingerprint(build)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, value)
        assert code.fingerprint(build) != before

    assert code.fingerprint(build) == before


def test_a_shipped_model_is_another_where_torch_is(code, monkeypatch):
    """Its code is ours; what it is made of may be replaced all the same."""
    before = code.fingerprint("cifar_cnn")
    monkeypatch.setattr(functional, "relu", functional.gelu)

    assert code.fingerprint("cifar_cnn") != before


def test_variables_count_where_code_asks_for_some(code, monkeypatch):
    """A model that asks for none is the same under all."""
    before = code.fingerprint(build), code.fingerprint(from_environment)
    monkeypatch.setenv("WIDTH", "3")

    assert code.fingerprint(build) == before[0]
    assert code.fingerprint(from_environment) != before[1]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_replaces_nothing(code, optimizer):
    """Torch wraps an optimizer's step when the first one is built; that is no other code."""
    before = code.fingerprint("cifar_cnn")
    train(Recipe(width=1, epochs=1, train_images=4, test_images=4, batch_size=4, optimizer=optimizer, warmup_steps=0))

    assert code.fingerprint("cifar_cnn") == before


@pytest.mark.long
def test_every_process_has_the_same_fingerprint():
    """Workers share trainings by it, each with a hash seed of its own."""
    program = "from tests import test_code as t; c = t.Code(); c.remember(); print(c.fingerprint(t.build))"
    command, found = [sys.executable, "-c", program], []
    for seed in ("1", "2"):
        run = subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True
        )
        found.append(run.stdout)

    assert found[0] == found[1] != ""
