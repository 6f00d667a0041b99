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
    Every global is as before afterwards:
    default dtype, random states of Python, NumPy and torch, threads, deterministic flags, TF32 settings,
    gradient mode and cuBLAS' workspace variable.

    Args:
        precision: float64 makes float64 the default dtype, so that weights are *drawn* in it; weights drawn
            in float32 and cast differ by an ulp between instruction sets.
        seed: seed of the three global generators.
    """
    with contextlib.ExitStack() as stack:
        for guard in (_random_states, _default_dtype, _threads, _kernels, _onednn, _full_precision, _cublas):
            stack.enter_context(guard())
        stack.enter_context(torch.enable_grad())
        torch.set_default_dtype(torch.float64 if precision == "float64" else torch.float32)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _random_states() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextlib.contextmanager
def _default_dtype() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)


@contextlib.contextmanager
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(current().threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _kernels() -> Iterator[None]:
    """Choose deterministic kernels, and none by timing; do not fill fresh memory, which costs time."""
    mode = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic  # a module whose attributes its stub leaves out
    fill = memory.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True) would import the compiler
    memory.fill_uninitialized_memory = False
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        memory.fill_uninitialized_memory = fill


@contextlib.contextmanager
def _onednn() -> Iterator[None]:
    """Leave oneDNN as it is, or switch it off if the variation in force asks for it."""
    if current().onednn:
        yield
        return
    mkldnn: Any = torch.backends.mkldnn  # a module whose stub leaves out set_flags
    before, *_ = mkldnn.set_flags(False, _fp32_precision=None)  # flags() would set TF32 too, with a warning
    try:
        yield
    finally:
        mkldnn.set_flags(before, _fp32_precision=None)


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Keep float32 matrix products in float32."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


@contextlib.contextmanager
def _cublas() -> Iterator[None]:
    """CuBLAS repeats itself only with a fixed workspace; read at its first call, so set before."""
    before = os.environ.get(_CUBLAS)
    os.environ.setdefault(_CUBLAS, ":4096:8")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CUBLAS, None)


def swap_layout(model: nn.Module) -> None:
    """Change the memory format of a model's 4-D weights in place: contiguous to channels last, and back."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            lies_together = parameter.is_contiguous(memory_format=torch.channels_last)
            parameter.data = parameter.data.contiguous(
                memory_format=torch.contiguous_format if lies_together else torch.channels_last
            )
