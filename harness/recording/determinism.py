"""Set every global that a training's numbers depend on, and restore each afterwards, whatever happens."""

import contextlib
import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.recipe import Precision
from harness.recording.parts import is_distributed
from harness.recording.perturbation import current


_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"
_OLDER: tuple[tuple[Callable[[], Any], Callable[[Any], None], Any], ...] = (
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (torch._C._get_cudnn_allow_tf32, torch._C._set_cudnn_allow_tf32, False),
)
"""Settings of products that torch had before `fp32_precision`: what reads and writes them, and what is wanted."""


@contextlib.contextmanager
def deterministic(precision: Precision, seed: int) -> Iterator[None]:
    """Run a block seeded, on one thread, with deterministic kernels and full-precision matrix products.

    One thread because sums over several are split by their number; a `Perturbation` in force may want it otherwise.
    In float64 that is the default dtype, too, so that weights are *drawn* in it: weights drawn in float32 and cast
    differ by an ulp between instruction sets.
    Every global is as before afterwards: default dtype, random states of Python, NumPy and torch, threads,
    deterministic flags, attention's fast path, settings of TF32 and bfloat16 products, gradient mode and cuBLAS'
    workspace variable.
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
    _assign(stack, torch.backends.cudnn, "benchmark", False)
    stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
    torch.backends.mha.set_fastpath_enabled(False)  # which hooks of the first step would switch off, and others not
    _assign(stack, torch.backends.cudnn, "deterministic", True)
    if not current().onednn:
        mkldnn: Any = torch.backends.mkldnn  # a module whose stub leaves out set_flags
        before, *_ = mkldnn.set_flags(False, _fp32_precision=None)  # flags() would set TF32 too, with a warning
        stack.callback(mkldnn.set_flags, before, _fp32_precision=None)
    _compute_float32_in_float32(stack)
    if _CUBLAS not in os.environ:  # cuBLAS repeats itself only with a fixed workspace; read at its first call
        os.environ[_CUBLAS] = ":4096:8"
        stack.callback(os.environ.pop, _CUBLAS, None)


def _compute_float32_in_float32(stack: contextlib.ExitStack) -> None:
    """Switch off products of float32 numbers in TF32 and bfloat16: of cuBLAS, cuDNN and oneDNN.

    Torch keeps a setting for all, one a library and one an operation, where "none" follows the one above. Two older
    ones write those of operations, and cannot be read where these say something else.
    """
    for library in ("generic", "cuda", "mkldnn"):  # from here on each operation's own can be read
        _choose_products(stack, library, "all", "none")
    older = []
    for read, write, value in _OLDER:
        with contextlib.suppress(RuntimeError):
            older.append((write, read(), value))
    for library, operation in itertools.product(("cuda", "mkldnn"), ("matmul", "conv", "rnn")):
        _choose_products(stack, library, operation, "ieee")
    for write, before, value in older:
        stack.callback(write, before)
        write(value)


def _choose_products(stack: contextlib.ExitStack, library: str, operation: str, value: str) -> None:
    write = torch._C._set_fp32_precision_setter  # torch.backends.mkldnn's property would write the one for all
    stack.callback(write, library, operation, torch._C._get_fp32_precision_getter(library, operation))
    write(library, operation, value)


def _assign(stack: contextlib.ExitStack, owner: object, name: str, value: object) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def swap_layout(model: nn.Module) -> None:
    """Change the memory format of a model's 4-D weights in place: contiguous to channels last, and back."""
    for parameter in model.parameters():
        if parameter.ndim == 4 and not is_distributed(parameter):
            lies_together = parameter.is_contiguous(memory_format=torch.channels_last)
            other = torch.contiguous_format if lies_together else torch.channels_last
            parameter.data = parameter.data.contiguous(memory_format=other)
