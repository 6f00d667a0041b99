"""Promises about the world of a training: rank, size and backend of its process group, and what a launcher started."""

import contextlib
import json

import pytest
import torch
from torch import distributed, nn

from harness import Recorder, compare, errors
from harness.record import Record, Stream, World
from harness.record.text import _checksum
from harness.record.world import launch
from harness.report.comparison_text import changed_text, failure, note
from tests.test_record import record_of


PAIR = World(0, 2, "gloo", 2)


@contextlib.contextmanager
def group(**arguments):
    """A process group of this process alone."""
    distributed.init_process_group(store=distributed.HashStore(), rank=0, world_size=1, **arguments)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def trained(around=contextlib.nullcontext):
    """A record of two steps; the process group is there when the model is made, and gone before the block ends."""
    with Recorder() as recorder, around():
        model = nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(2):
            loss = model(torch.ones(3, 2)).sum()
            optimizer.zero_grad()
            loss.backward()
            recorder.log(loss=loss)
            optimizer.step()
    return recorder.record


def lossy(loss, world=None, **changes):
    """A record of two steps that ends with a loss."""
    return record_of({"loss": Stream("forward", (0, 1), (1.0, loss))}, world=world, **changes)


def test_a_record_says_in_which_group_it_was_made(monkeypatch):
    """Rank, size and backend, also of a group that is destroyed before the block ends; without one there is none."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    record = trained(lambda: group(backend="gloo"))

    assert record.world == World(0, 1, "gloo")
    assert Record.from_text(record.to_text()) == record
    assert trained().world is None
    assert trained(group).world.backend.startswith("cpu:gloo"), "no backend was asked for"


@pytest.mark.parametrize(
    ("around", "world"),
    [(contextlib.nullcontext, World(0, 1, "", 2)), (lambda: group(backend="gloo"), World(0, 1, "gloo", 2))],
    ids=["no group", "a group of one"],
)
def test_a_launchers_processes_that_train_alone_are_seen(monkeypatch, around, world):
    """The record is that of one rank and of no pair's; the verdict says so, whether it passes or fails."""
    monkeypatch.setenv("WORLD_SIZE", "2")

    record = trained(around)

    assert record.world == world
    said = "the launcher started 2 processes, but this training ran in"
    assert said in note(compare(record, record))
    alone = failure(compare(lossy(1.0, PAIR), lossy(2.0, world)))
    assert alone.splitlines()[0] == "training differs from its baseline from the start: structure, world size"
    assert f"  world      {said}" in alone
    assert "  first      step 0   baseline 2   now 1\n" in alone


@pytest.mark.parametrize("size", ["", "1", "two", "-2", "²"])
def test_what_launches_nothing_is_no_world(monkeypatch, size):
    """A launcher of one process, or a variable that somebody else uses."""
    monkeypatch.setenv("WORLD_SIZE", size)

    assert trained().world is None


@pytest.mark.parametrize(
    ("before", "now", "name", "changed"),
    [
        (PAIR, None, "size", "world size 2 -> 1, world backend gloo -> none"),
        (None, PAIR, "size", "world size 1 -> 2, world backend none -> gloo"),
        (PAIR, World(1, 4, "nccl"), "size", "world size 2 -> 4, world backend gloo -> nccl, world rank 0 -> 1"),
        (PAIR, World(0, 2, "nccl"), "backend", "world backend gloo -> nccl"),
        (PAIR, World(1, 2, "gloo"), "rank", "world rank 0 -> 1"),
    ],
)
def test_another_world_is_named_first(before, now, name, changed):
    """Before a configuration and at any step; alone it fails nothing, and is said."""
    moved = compare(lossy(1.0, before, recipe={"lr": 1}), lossy(2.0, now, recipe={"lr": 2}))
    still = compare(lossy(1.0, before), lossy(1.0, now))

    assert moved.first_divergence == (0, "structure", f"world/{name}")
    assert changed_text(moved, {}).startswith(changed.replace(", ", "; "))
    assert still.verdict == "same"
    assert changed in note(still)


def test_how_many_were_launched_is_no_difference():
    """A training of one process is the same beside others of its launcher."""
    assert not compare(lossy(1.0), lossy(1.0, World(0, 1, "", 2))).world


@pytest.mark.parametrize("world", [{"rank": -1, "size": 1, "backend": ""}, {"rank": 0, "size": 0, "backend": ""}, 5])
def test_a_world_that_cannot_be_is_no_record(world):
    """Of a file that somebody wrote."""
    content = json.loads(lossy(1.0).to_text()) | {"world": world}
    content["sha256"] = _checksum({name: part for name, part in content.items() if name not in ("format", "sha256")})

    with pytest.raises(errors.RecordError, match="a part is missing or of a wrong kind"):
        Record.from_text(json.dumps(content))


@pytest.mark.parametrize(
    ("variables", "others"),
    [
        ({"TORCHELASTIC_RUN_ID": "a"}, {"TORCHELASTIC_RUN_ID": "b"}),
        ({"TORCHELASTIC_RESTART_COUNT": "0"}, {"TORCHELASTIC_RESTART_COUNT": "1"}),
        ({"LOCAL_WORLD_SIZE": "2"}, {"LOCAL_WORLD_SIZE": "1"}),
    ],
)
def test_a_start_of_a_launcher_is_told_from_others(monkeypatch, variables, others):
    """By what it says of itself and, where all its processes are on this machine, by its own process."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    found = []
    for each in (variables, variables, others):
        for name, value in each.items():
            monkeypatch.setenv(name, value)
        found.append(launch())

    assert found[0] == found[1] != found[2]
