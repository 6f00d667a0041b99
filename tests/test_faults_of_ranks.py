"""Promises of faults of distribution: planted into two ranks, each is red at its first wrong step, its place named."""

import pytest

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
