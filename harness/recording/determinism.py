"""Set every global that a training's numbers depend on, and restore each afterwards, whatever happens."""

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.recipe import Precision
from harness.recording.perturbation import current


_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def deterministic(precision: Precision, seed: int) -> Iterator[None]:
    """Run a block seeded, on one thread, with deterministic kernels and full-precision matrix products.

    One thread because sums over several are split by their number; a `Perturbation` in force may want it otherwise.
    In float64 that is the default dtype, too, so that weights are *drawn* in it: weights drawn in float32 and cast
    differ by an ulp between instruction sets.
    Every global is as before afterwards: default dtype, random states of Python, NumPy and torch, threads,
    deterministic flags, TF32 settings, gradient mode and cuBLAS' workspace variable.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices), torch.enable_grad(), contextlib.ExitStack() as stack:
        stack.callback(random.setstate, random.getstate())
        stack.callback(np.random.set_state, np.random.get_state())
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        _choose_kernels(stack)
        torch.set_default_dtype(torch.float64 if precision == "float64" else torch.float32)
        torch.set_num_threads(current().threads)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield


def _choose_kernels(stack: contextlib.ExitStack) -> None:
    """Choose deterministic kernels, none by timing, and oneDNN's as the perturbation in force wants it."""
    stack.callback(torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode())
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True) would import the compiler
    _assign(stack, torch.utils.deterministic, "fill_uninitialized_memory", False)  # filling costs time
    cudnn = torch.backends.cudnn
    stack.enter_context(cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False))
    if not current().onednn:
        mkldnn: Any = torch.backends.mkldnn  # a module whose stub leaves out set_flags
        before, *_ = mkldnn.set_flags(False, _fp32_precision=None)  # flags() would set TF32 too, with a warning
        stack.callback(mkldnn.set_flags, before, _fp32_precision=None)
    _assign(stack, torch.backends.cuda.matmul, "fp32_precision", "ieee")
    if _CUBLAS not in os.environ:  # cuBLAS repeats itself only with a fixed workspace; read at its first call
        os.environ[_CUBLAS] = ":4096:8"
        stack.callback(os.environ.pop, _CUBLAS, None)


def _assign(stack: contextlib.ExitStack, owner: object, name: str, value: object) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def swap_layout(model: nn.Module) -> None:
    """Change the memory format of a model's 4-D weights in place: contiguous to channels last, and back."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            lies_together = parameter.is_contiguous(memory_format=torch.channels_last)
            other = torch.contiguous_format if lies_together else torch.channels_last
            parameter.data = parameter.data.contiguous(memory_format=other)
