"""The records of all ranks of one training, as they are given or as they lie in a folder."""

import os
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ArgumentError, RanksError, RecordError
from harness.record.record import Record


_SAID = "what ranks(function) returns, the Record of each rank, or the folder of their files"


def of_all_ranks(records: Iterable[Record] | str | os.PathLike[str], function: str) -> list[Record]:
    """Return the records of all ranks in their order.

    Args:
        records: one a rank, or the folder of the files that each rank has saved its own in.
        function: that they were given to, for messages.

    Raises:
        ArgumentError: one is no record.
        RanksError: there is none, one is missing, or two are of one rank; there is no such folder, or one of its JSON
            files holds no record.
    """
    if isinstance(records, str | os.PathLike):
        return _in_order(_in_folder(Path(records)), os.fspath(records))
    if not isinstance(records, Iterable):
        raise ArgumentError.of(function, "records", records, _SAID)
    given: list[object] = [*records]
    found = [record for record in given if isinstance(record, Record)]
    if wrong := [each for each in given if not isinstance(each, Record)]:
        raise ArgumentError.of(function, "records", wrong, _SAID)
    if not found:
        raise RanksError.none_given(function=function)
    return _in_order(found, f"{function}(...)")


def _in_folder(folder: Path) -> list[Record]:
    if not folder.is_dir():
        raise RanksError.no_folder(place=folder.absolute())
    found = [_load(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise RanksError.empty(place=os.fspath(folder))
    return found


def _load(path: Path) -> Record:
    try:
        return Record.load(path)
    except RecordError as error:
        raise RanksError.unreadable(path=path, reason=error.what) from error


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
