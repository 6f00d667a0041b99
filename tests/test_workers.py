"""Promises of loaders' workers: whatever starts them, they draw and compute the same numbers."""

import contextlib
import pickle
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from harness import Recorder
from harness.recording.determinism import deterministic
from harness.recording.workers import workers_inherit


class Drawn(Dataset):
    """Floats in the default dtype, pixels in it, and draws of each generator."""

    def __len__(self):
        """Few."""
        return 6

    def __getitem__(self, index):
        """One of each."""
        pixel = torch.full((1,), index, dtype=torch.uint8).to(torch.get_default_dtype()) / 255
        return torch.cat([torch.tensor([0.1, random.random(), np.random.rand()]), pixel, torch.rand(1)])


class Streamed(IterableDataset):
    """The same as a stream, of which each worker has a part."""

    def __iter__(self):
        """Yield the worker's part."""
        worker = get_worker_info()
        yield from (Drawn()[i] for i in range(worker.id, 6, worker.num_workers))


def seed_otherwise(worker):
    """Seed generators of a worker as its owner wants it, in the dtype that it finds."""
    random.seed(worker)
    torch.manual_seed(worker + int(torch.rand(1).dtype == torch.float64))


def drawn(context, data=Drawn, **settings):
    """What a loader yields in a recorder, in two epochs."""
    with Recorder() as recorder:
        model = torch.nn.Linear(5, 1)
        optimizer = torch.optim.SGD(model.parameters())
        recorder.watch(model, optimizer)
        loader = DataLoader(data(), 3, multiprocessing_context=context, **settings)
        own = loader.worker_init_fn
        batches = [batch for _ in range(2) for batch in loader]
        assert loader.worker_init_fn is own
        loss = model(batches[0]).mean()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    return batches


def test_workers_start_as_the_block_computes(monkeypatch):
    """What a worker starts with can be pickled, sets the dtype, and then does what the loader's owner wants."""
    before, own = DataLoader.__iter__, [None, torch.set_num_threads]
    monkeypatch.setattr(DataLoader, "_get_iterator", lambda loader: iter([pickle.dumps(loader.worker_init_fn)]))
    loaders = [DataLoader(Drawn(), worker_init_fn=each) for each in own]
    with deterministic("float64", 0), workers_inherit(lambda _: contextlib.nullcontext()):
        starts = [pickle.loads(next(iter(loader))) for loader in loaders]
    assert (DataLoader.__iter__, [loader.worker_init_fn for loader in loaders]) == (before, own)

    with deterministic("float32", 0):
        starts[0](3)
        assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float64, 1)
        starts[1](3)
        assert torch.get_num_threads() == 3


@pytest.mark.long
@pytest.mark.parametrize(
    ("context", "settings"),
    [
        ("spawn", {"data": Drawn}),
        ("forkserver", {"data": Streamed, "worker_init_fn": seed_otherwise, "persistent_workers": True}),
    ],
)
def test_workers_draw_the_same_however_they_are_started(context, settings):
    """Map-style and streamed data, with and without a start of their own: the numbers are those of forked workers."""
    found, forked = (drawn(each, num_workers=2, **settings) for each in (context, "fork"))

    assert found[0].dtype == torch.float64
    assert all(map(torch.equal, found, forked))
