"""The records of all ranks of one training, as they are given or as they lie in a folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import RanksError
from harness.record.record import Record, require_record


def of_all_ranks(records: Sequence[Record] | str | os.PathLike[str], function: str) -> list[Record]:
    """Return the records of all ranks in their order.

    Args:
        records: one a rank, or the folder of the files that each rank has saved its own in.
        function: that they were given to, for messages.

    Raises:
        ArgumentError: one is no record.
        RanksError: there is none, one is missing, or two are of one rank.
        RecordError: a file holds none.
    """
    if isinstance(records, str | os.PathLike):
        place = os.fspath(records)
        found = [Record.load(path) for path in sorted(Path(records).glob("*.json"))]
    else:
        place, found = f"{function}(...)", [*records]
    for record in found:
        require_record(record, function)
    if not found:
        raise RanksError.empty(place=place)
    return _in_order(found, place)


def _in_order(records: list[Record], place: str) -> list[Record]:
    """Return records by rank, once each, none missing."""
    sizes = {record.world.size if record.world else 1 for record in records}
    ranks = [record.world.rank if record.world else 0 for record in records]
    size = max(sizes)
    if len(sizes) > 1 or len({*ranks}) < len(ranks):
        raise RanksError.foreign(found=[_of(record) for record in records], place=place)
    if missing := sorted({*range(size)} - {*ranks}):
        raise RanksError.missing(ranks=missing, world_size=size, place=place)
    return sorted(records, key=lambda record: record.world.rank if record.world else 0)


def _of(record: Record) -> str:
    return f"rank {record.world.rank} of {record.world.size}" if record.world else "a single process"
