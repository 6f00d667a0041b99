"""What a recorder leaves behind: nothing, however often it is used and however its block ends."""

import contextlib
import gc
import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness import Recorder


TIMES = 40


class Interrupted(Exception):
    """What ends every second block."""


def settings():
    """Every global that a recorder touches."""
    matmul = torch.backends.cuda.matmul
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "cudnn": (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "tf32": (matmul.fp32_precision, torch.backends.cudnn.allow_tf32),
        "onednn": torch.backends.mkldnn.enabled,
        "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "running threads": threading.active_count(),
        "functions": (nn.functional.cross_entropy, nn.utils.clip_grad_norm_, torch.optim.SGD.step),
    }


def open_files():
    """File handles of this process."""
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0


def hooks(model, optimizer):
    """Hooks on a model and an optimizer that a recorder could have left."""
    on_modules = sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules())
    return on_modules, len(optimizer._optimizer_step_pre_hooks), len(optimizer._optimizer_step_post_hooks)


def one_block(model, optimizer, end):
    """Record one step; end the block with an exception if told so."""
    with Recorder(seed=1) as recorder:
        recorder.watch(model, optimizer)
        images = torch.rand(2, 3)
        recorder.batch(images)
        loss = model(images).sum()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
        if end:
            raise Interrupted


def test_dozens_of_blocks_leave_everything_as_it_was():
    """Globals, hooks, threads, file handles and objects are as before, whether blocks end well or with an exception."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one_block(model, optimizer, end=False)  # torch sets some things up on first use
    before, hooked, files = settings(), hooks(model, optimizer), open_files()
    gc.collect()
    recorders = sum(type(thing) is Recorder for thing in gc.get_objects())

    for time in range(TIMES):
        with contextlib.suppress(Interrupted):
            one_block(model, optimizer, end=bool(time % 2))

    assert settings() == before
    assert hooks(model, optimizer) == hooked == (0, 0, 0)
    assert open_files() == files
    gc.collect()
    assert sum(type(thing) is Recorder for thing in gc.get_objects()) == recorders


def test_a_grad_scaler_is_followed():
    """A step that the scaler leaves out, for an infinite gradient, counts and moves nothing; others are unscaled."""
    with Recorder(precision="float32") as recorder:
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        recorder.watch(model, optimizer)
        for factor in (1.0, float("inf"), 1.0):
            images = torch.ones(2, 3)
            recorder.batch(images)
            optimizer.zero_grad()
            loss = model(images).mean() * factor
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
            recorder.log(loss=loss.nan_to_num())

    streams = recorder.record.streams
    assert streams["gradient/weight"].steps == (0, 2)
    assert streams["update/weight"].values == pytest.approx([0.1 * 3**0.5, 0, 0.1 * 3**0.5])
    assert streams["gradient/weight"].values == pytest.approx([3**0.5] * 2)


def test_a_part_that_is_frozen_later_stops_moving():
    """A parameter that is frozen in the middle has no gradient and no update from then on."""
    with Recorder() as recorder:
        model = nn.Linear(3, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for step in range(4):
            model.bias.requires_grad_(step < 2)
            images = torch.ones(2, 3)
            recorder.batch(images)
            optimizer.zero_grad()
            loss = model(images).mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)

    streams = recorder.record.streams
    assert streams["gradient/bias"].steps == (0, 1)
    assert [value > 0 for value in streams["update/bias"].values] == [True, True, False, False]
