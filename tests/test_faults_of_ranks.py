"""Promises of faults of distribution: planted into two ranks, each is red at its first wrong step, its place named."""

import contextlib

import pytest
from torch import nn
from torch.utils.data import BatchSampler

from harness.faults import FAULTS as FAULTS_BY_NAME
from harness.faults import OF_RANKS
from tests.distributed.faults import FAULTS, run


IN_THE_SUITE = "shard-repeated", "reducer-hooks-lost"
"""Of data, and of what ranks exchange."""


@pytest.fixture(scope="module", params=[IN_THE_SUITE, pytest.param(tuple(FAULTS), marks=pytest.mark.long)], ids=len)
def found(request, tmp_path_factory):
    """Comparison and reach of each fault, of ranks that train one after the other in the same two processes."""
    return {name: rest for name, *rest in run(tmp_path_factory.mktemp("ranks"), request.param)}


def test_a_fault_is_red_where_it_is_wrong_first(found):
    """Against the merged ranks without it; the step, the stage and the stream are its own."""
    assert {name: comparison.verdict for name, (comparison, _) in found.items()} == dict.fromkeys(found, "different")
    assert {name: tuple(comparison.first_divergence) for name, (comparison, _) in found.items()} == {
        name: FAULTS[name].first for name in found
    }


def test_a_fault_that_some_ranks_have_is_planted(found):
    """What one rank does otherwise than the first shows on that one alone; the rest takes effect on both."""
    alone = {"shard-repeated", "seeds-apart", "clipped-on-one-rank", "state-lost-on-ranks"}

    assert {name: reach for name, (_, reach) in found.items()} == {name: 1 if name in alone else 2 for name in found}


def test_every_fault_has_a_public_report():
    """And a place that it must be named at."""
    assert set(FAULTS) == OF_RANKS
    assert len({fault.report for fault in FAULTS.values()}) == len(FAULTS)


def shared_out(rank, fault=None):
    """What Accelerate gives one of two ranks in two epochs, and whether a fault took effect in that."""
    samplers = pytest.importorskip("accelerate.data_loader", reason="accelerate is not installed")
    sampler = samplers.SeedableRandomSampler(range(8), data_seed=0)
    shard = samplers.BatchSamplerShard(BatchSampler(sampler, 2, drop_last=False), 2, rank)
    with contextlib.ExitStack() as stack:
        planted = FAULTS_BY_NAME[fault](stack) if fault else None
        if planted:
            planted.begin()
            planted.watch(nn.Linear(1, 1), None)  # by then its loaders are prepared
        given = []
        for epoch in range(2):
            sampler.set_epoch(epoch)
            given.append([*shard])
        return given, planted and planted.planted


def test_faults_reach_the_samplers_of_accelerate():
    """The first's share for the second's, which it is for the first itself; one order for all epochs."""
    (first, _), (second, _) = map(shared_out, range(2))
    assert first != second
    assert second[0] != second[1]

    assert shared_out(1, "shard-repeated") == (first, True)
    assert shared_out(0, "shard-repeated") == (first, False)
    assert shared_out(1, "epoch-not-set") == ([second[0], second[0]], True)
    assert shared_out(1) == (second, None), "nothing is left"
