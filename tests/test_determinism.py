"""Promises of deterministic(): every global is set inside and as before afterwards."""

import asyncio
import contextlib
import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from harness import Recorder, errors, train
from harness.recording.determinism import deterministic, swap_layout
from harness.recording.perturbation import Perturbation, perturbed
from tests.test_perturbation import TINY


PAIRS = [("generic", "all"), *itertools.product(("cuda", "mkldnn"), ("all", "matmul", "conv", "rnn"))]


def products():
    """In what each library multiplies float32 numbers, and what the two older settings say, where they can be read."""
    found = {pair: torch._C._get_fp32_precision_getter(*pair) for pair in PAIRS}
    for read in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        with contextlib.suppress(RuntimeError):
            found[read] = read()
    return [*found.values()]


def globals_now():
    """Everything that the harness may touch. Random states by their bytes: their sum misses a DataLoader's draw."""
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.enabled),
        "products": products(),
        "onednn": torch.backends.mkldnn.enabled,
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": str(np.random.get_state()),
        "python": random.getstate(),
        "cublas": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


@pytest.fixture
def unusual_globals():
    """Globals that differ from the defaults, so that restoring the defaults is not enough."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = True
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


@pytest.mark.usefixtures("unusual_globals")
@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_globals_are_restored_on_success(precision):
    """After the block every global is as before."""
    before = globals_now()
    with deterministic(precision, 3):
        torch.rand(3), np.random.rand(), random.random()

    assert globals_now() == before


@pytest.mark.usefixtures("unusual_globals")
def test_globals_are_restored_after_an_exception():
    """An exception inside changes nothing outside."""
    before = globals_now()
    with pytest.raises(ZeroDivisionError), deterministic("float64", 3):
        torch.set_default_dtype(torch.float16)
        torch.set_num_threads(2)
        raise ZeroDivisionError

    assert globals_now() == before


@pytest.mark.usefixtures("unusual_globals")
def test_globals_are_restored_when_a_recorder_fails_to_finish():
    """A recorder that has nothing to record says so, and restores all the same."""
    before = globals_now()
    with pytest.raises(Exception, match="no model was watched"), Recorder():
        pass

    assert globals_now() == before


@pytest.fixture
def own_products():
    """Puts the settings of products back that a test has changed."""
    write = torch._C._set_fp32_precision_setter
    before = products()
    yield write
    write("generic", "all", "none")
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for pair, value in zip(PAIRS, before, strict=False):
        write(*pair, value)


@pytest.mark.parametrize(
    "left_on",
    [
        lambda write: torch.set_float32_matmul_precision("medium"),
        lambda write: torch.set_float32_matmul_precision("high"),
        lambda write: setattr(torch.backends.cudnn, "allow_tf32", False),
        lambda write: setattr(torch.backends, "fp32_precision", "tf32"),
        lambda write: setattr(torch.backends.mkldnn.matmul, "fp32_precision", "bf16"),
        lambda write: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),  # cudnn.flags() fails after it
        lambda write: (write("mkldnn", "all", "bf16"), write("cuda", "all", "tf32"), write("cuda", "rnn", "ieee")),
    ],
    ids=["medium", "high", "cudnn off", "all", "onednn", "mixed", "libraries"],
)
def test_float32_products_are_float32_whatever_was_left_on(own_products, left_on):
    """No library multiplies in TF32 or bfloat16 in the block; afterwards each setting is its own again.

    One that followed another still does.
    """
    left_on(own_products)
    before = products()
    with pytest.raises(ZeroDivisionError), deterministic("float32", 0):
        assert {"tf32", "bf16", "medium", "high", True}.isdisjoint(products())
        assert len(products()) >= len(before)  # older settings can be read where they could be
        raise ZeroDivisionError

    assert products() == before
    torch.backends.fp32_precision = "none"
    after = products()
    left_on(own_products)
    torch.backends.fp32_precision = "none"
    assert products() == after


def record(recorder):
    """Record one step."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder.watch(model, optimizer)
    loss = model(torch.ones(1, 2)).sum()
    loss.backward()
    optimizer.step()
    recorder.log(loss=loss)


def in_a_thread(call):
    """Call something in another thread, and return what it returns or raises."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        return future.exception() or future.result()


@pytest.mark.usefixtures("unusual_globals")
@pytest.mark.parametrize("other", [lambda: Recorder(precision="float32").__enter__(), lambda: train(TINY)])
def test_a_second_thread_may_not_record(other):
    """While a recorder is open in one thread, another thread's is refused, and no global of either has moved."""
    before = globals_now()
    with Recorder() as recorder:
        within = globals_now()
        refusal = in_a_thread(other)
        assert globals_now() == within
        record(recorder)

    assert str(refusal).startswith("another recorder is recording in another thread, MainThread, ")
    assert globals_now() == before
    assert recorder.record.streams == in_a_thread(lambda: recorded_again()).streams


def recorded_again():
    """Record one step in a block of its own."""
    with Recorder() as recorder:
        record(recorder)
    return recorder.record


@pytest.mark.usefixtures("unusual_globals")
def test_recorders_of_one_thread_may_lie_within_each_other():
    """A teacher is recorded within the student's block: both records, and every global as before."""
    before = globals_now()
    with Recorder() as recorder:
        with Recorder(precision="float32") as inner:
            record(inner)
        assert torch.get_default_dtype() == torch.float64
        record(recorder)

    assert recorder.record.precision != inner.record.precision
    assert globals_now() == before


@pytest.mark.usefixtures("unusual_globals")
def test_recorders_that_take_turns_are_refused_and_leave_nothing():
    """Tasks of one event loop, whose blocks overlap: both are told so, and every global is as before."""

    async def task(precision):
        with Recorder(precision=precision) as recorder:
            record(recorder)
            await asyncio.sleep(0)

    async def tasks():
        return await asyncio.gather(task("float64"), task("float32"), return_exceptions=True)

    before = globals_now()
    found = asyncio.run(tasks())

    assert {str(error).partition("\n")[0] for error in found} == {errors.RecorderError.overlapping().what}
    assert globals_now() == before


@pytest.mark.usefixtures("unusual_globals")
def test_a_recorder_that_cannot_begin_leaves_nothing():
    """What fails as a block begins, a fault that is planted say, is undone, and the next recorder may begin."""

    def plant(stack):
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float16)
        raise ZeroDivisionError

    before = globals_now()
    with perturbed(Perturbation(plant=plant)), pytest.raises(ZeroDivisionError):
        Recorder().__enter__()

    assert globals_now() == before
    assert in_a_thread(recorded_again)


def test_a_block_may_end_in_another_thread():
    """Fixtures that are set up in one thread and torn down in another, say; a third one may record afterwards."""
    recorder = in_a_thread(Recorder().__enter__)
    record(recorder)
    recorder.__exit__(None, None, None)

    assert torch.get_default_dtype() == torch.float32
    assert in_a_thread(recorded_again).streams


def test_the_block_computes_in_its_precision_on_one_thread():
    """Weights are drawn in float64, sums run on one thread."""
    with deterministic("float64", 0):
        assert torch.nn.Linear(2, 2).weight.dtype == torch.float64
        assert torch.get_num_threads() == 1
        assert torch.is_grad_enabled()


def test_one_seed_gives_one_stream_of_each_generator():
    """torch, NumPy and Python draw the same numbers again for the same seed, others for another."""

    def draws(seed):
        with deterministic("float64", seed):
            return torch.rand(2).tolist(), np.random.rand(), random.random()

    assert draws(1) == draws(1)
    assert all(a != b for a, b in zip(draws(1), draws(2), strict=True))


@pytest.mark.usefixtures("unusual_globals")
@pytest.mark.parametrize("enabled", [True, False])
def test_a_perturbation_has_its_threads_and_kernels_for_a_block(enabled):
    """Two threads, no oneDNN; afterwards as before, also where oneDNN was off already, also after an exception."""
    mkldnn = torch.backends.mkldnn
    mkldnn.set_flags(enabled)
    try:
        before = globals_now()
        with perturbed(Perturbation(threads=3, onednn=False)):
            with pytest.raises(ZeroDivisionError), deterministic("float32", 0):
                assert torch.get_num_threads() == 3
                assert not mkldnn.enabled
                raise ZeroDivisionError
            assert globals_now() == before
    finally:
        mkldnn.set_flags(True)


def test_onednn_is_left_as_it_is_unless_a_perturbation_asks():
    """Who has switched it off keeps it off."""
    torch.backends.mkldnn.set_flags(False)
    try:
        with deterministic("float32", 0):
            assert not torch.backends.mkldnn.enabled
    finally:
        torch.backends.mkldnn.set_flags(True)


def layouts(model):
    """Whether the channels of each weight lie together."""
    return [
        p.is_contiguous(memory_format=torch.channels_last) if p.ndim == 4 else p.is_contiguous()
        for p in model.parameters()
    ]


def test_swapping_the_layout_changes_where_weights_lie_and_nothing_else():
    """4-D weights go to channels last and back; values, the parameters themselves and other tensors stay."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv1d(4, 4, 3), torch.nn.Linear(4, 2))
    parameters, values = [*model.parameters()], [p.detach().clone() for p in model.parameters()]
    swap_layout(model)

    assert layouts(model) == [True] * 6
    assert not model[0].weight.is_contiguous()
    assert all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
    assert all(torch.equal(p, value) for p, value in zip(parameters, values, strict=True))
    swap_layout(model)
    assert model[0].weight.is_contiguous()
    assert all(torch.equal(p, value) for p, value in zip(parameters, values, strict=True))
