"""Promises about tensors that are divided over ranks: FSDP2, tensor and sequence parallelism, ZeRO, on two of gloo."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from harness import Recorder, States, compare, errors
from harness.record import Part, Record
from harness.recording.jitter import jitter_alike
from harness.recording.parts import offsets, part_of
from harness.recording.perturbation import Perturbation, perturbed
from harness.report.comparison_text import cause
from tests.test_world import group


class Net(nn.Module):
    """Sides that two ranks cannot share evenly, and a weight of which one rank holds nothing."""

    def __init__(self):
        super().__init__()
        self.up, self.norm, self.down, self.head = nn.Linear(6, 13), nn.LayerNorm(13), nn.Linear(13, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, samples):
        """Return logits."""
        hidden = functional.gelu(self.norm(self.up(samples * self.scale)))
        return self.head(functional.gelu(self.down(hidden)))


def fsdp(model, mesh):
    """Two groups of FSDP2's, the second of which stays gathered after an evaluation."""
    fully_shard(model.down, mesh=mesh)
    fully_shard(model, mesh=mesh)


def tensor_parallel(model, mesh):
    """Some weights divided, others plain."""
    parallelize_module(model, mesh, {"down": ColwiseParallel(), "head": RowwiseParallel()})


def sequence_parallel(model, mesh):
    """Modules that return divided tensors, and a norm whose gradient is a sum that no rank has."""
    up = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(0), use_local_output=False)
    norm = SequenceParallel(sequence_dim=0, use_local_output=False)
    down = ColwiseParallel(input_layouts=Shard(0), use_local_output=False)
    parallelize_module(model, mesh, {"up": up, "norm": norm, "down": down, "head": RowwiseParallel()})


def zero(model, mesh):
    """An optimizer that keeps the state of some parameters."""


DIVIDED = {"fsdp": fsdp, "tensor parallel": tensor_parallel, "sequence parallel": sequence_parallel, "zero": zero}
ON_SHARES = ("fsdp", "zero")
"""Whose ranks see half of the samples each."""


def trained(name="", mesh=None, *, recorder=None, batches=True):
    """Train four steps, an evaluation before the last and one after it; return the model."""
    torch.manual_seed(0)
    model = Net()
    if mesh is not None:
        DIVIDED[name](model, mesh)
    net, kind = model, torch.optim.AdamW
    if name == "zero" and mesh is not None:
        net = DistributedDataParallel(model)
        optimizer = ZeroRedundancyOptimizer(net.parameters(), optimizer_class=kind, lr=0.01)
    else:
        optimizer = kind(net.parameters(), lr=0.01, foreach=False)
    if recorder:
        recorder.watch(model, optimizer)
    draws = torch.Generator().manual_seed(1)
    for step in range(4):
        samples, labels = torch.randn(8, 6, generator=draws), torch.randint(0, 3, (8,), generator=draws)
        if mesh is not None and name in ON_SHARES:
            samples, labels = (
                each[distributed.get_rank() :: distributed.get_world_size()] for each in (samples, labels)
            )
        if recorder and batches:
            recorder.batch(samples, labels)
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(samples), labels)
        loss.backward()
        optimizer.step()
        if recorder:
            recorder.log(**({} if mesh is not None and distributed.get_rank() else {"loss": loss}))
        if step > 1:
            with torch.no_grad():
                net.eval()(samples)
            net.train()
    return model


def recorded(name="", mesh=None, **options):
    """A record of it."""
    with Recorder() as recorder:
        trained(name, mesh, recorder=recorder, **options)
    return recorder.record


def bits(model):
    """What this rank holds of a model's weights."""
    return [each.to_local() if isinstance(each, DTensor) else each.detach() for each in model.parameters()]


def cost(name, mesh):
    """How many collectives a training takes, bare and recorded, and whether it ends with the same bits."""
    world = distributed.group.WORLD
    counts = [world._get_sequence_number_for_group()]
    torch.set_default_dtype(torch.float64)
    bare = trained(name, mesh)
    counts.append(world._get_sequence_number_for_group())
    torch.set_default_dtype(torch.float32)
    with Recorder() as recorder:
        model = trained(name, mesh, recorder=recorder)
    counts.append(world._get_sequence_number_for_group())
    taken = [later - former for former, later in pairwise(counts)]
    return taken, all(map(torch.equal, bits(bare), bits(model)))


def jittered(mesh):
    """What all ranks hold after a jitter: of one tensor they do, of one before it a part each, of uneven sizes."""
    divided, alike = torch.ones(5, 2, dtype=torch.float64), torch.ones(9, dtype=torch.float64)
    jitter_alike([distribute_tensor(divided, mesh, [Shard(0)]), alike], seed=3)
    return alike


def with_states(mesh):
    """How far a float32 training is from its own states, where it is put back on them."""
    states = States()
    for _ in range(2):
        with Recorder(precision="float32", states=states) as recorder:
            trained("fsdp", mesh, recorder=recorder)
    return recorder.record


def rank(number, folder):
    """What one rank does."""
    store = distributed.FileStore(str(folder / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=number, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    torch.set_num_threads(1)
    for name in DIVIDED:
        recorded(name, mesh, batches=name != "fsdp").save(folder / f"{name} {number}.json")
    with_states(mesh).save(folder / f"states {number}.json")
    torch.save(
        {"cost": {name: cost(name, mesh) for name in DIVIDED}, "jitter": jittered(mesh)}, folder / f"{number}.pt"
    )
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What two ranks left."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.start_processes(rank, (folder,), 2, start_method="fork")
    return folder


@pytest.fixture(scope="module")
def single():
    """The same training in one process."""
    return recorded()


@pytest.fixture(params=DIVIDED)
def name(request):
    """How a training is divided."""
    return request.param


@pytest.fixture
def ranks(folder, name):
    """The records of its ranks."""
    return [Record.load(folder / f"{name} {number}.json") for number in range(2)]


def added(streams):
    """The numbers of a whole tensor, by those of its parts on each rank, or by what any rank has of it."""
    present = [stream for stream in streams if stream]
    if not any(stream.part for stream in present):
        assert all(stream.values == present[0].values for stream in present)
        return present[0].values
    assert sorted(stream.part.index for stream in present) == list(range(present[0].part.count))
    return [
        math.sqrt(sum(value * value for value in values)) for values in zip(*(s.values for s in present), strict=True)
    ]


def test_squares_add_up_to_those_of_a_single_process(name, ranks, single):
    """Of weights, gradients, updates and optimizer state, whole or divided; but for sums that no rank has."""
    keys = [key for key in single.streams if key.kind in ("init", "gradient", "update", "weight", "optimizer")]
    parts = {key: stream.part for key in keys if (stream := ranks[0].streams.find(key)) and stream.part}
    summands = {key for key, part in parts.items() if part.is_summand}
    for key in keys:
        if key not in summands:
            values = added([record.streams.find(key) for record in ranks])
            assert values == pytest.approx(single.streams[key].values, rel=1e-12, abs=1e-15), key

    expected = {"gradient/norm.weight", "gradient/norm.bias"} if name == "sequence parallel" else set()
    assert summands == expected
    assert bool(parts) == (name != "zero")


def test_shapes_are_those_of_whole_tensors(ranks, single):
    """As are names, dtypes and groups: the structure is that of the training, not of a rank."""
    assert ranks[0].structure == ranks[1].structure == single.structure


def test_a_record_of_parts_is_read_back(ranks):
    """With what each number is a part of, and how tensors are placed, which is a cause."""
    assert Record.from_text(ranks[1].to_text()) == ranks[1]
    assert compare(ranks[1], Record.from_text(ranks[1].to_text())).verdict == "same"


def test_a_placement_is_told(folder):
    """Each axis of the mesh, of every tensor that is distributed."""
    record = Record.load(folder / "tensor parallel 0.json")

    assert {key: stream.values for key, stream in record.clues.of("placement")} == {
        "placement/down.weight": ("dim 0 over 2",),
        "placement/down.bias": ("dim 0 over 2",),
        "placement/head.weight": ("dim 1 over 2",),
        "placement/head.bias": ("copies on 2",),
    }
    assert record.streams["weight/head.bias"].part is None
    assert record.streams["weight/head.weight"].part == Part(0, 2)


def test_another_placement_is_the_cause(folder):
    """Parts that were cut in another way are others: the cut is told, before what it moved."""
    record = Record.load(folder / "tensor parallel 0.json")
    key = "placement/head.weight"
    clues = {**record.clues, key: replace(record.clues[key], values=("dim 0 over 2",))}
    streams = {
        name: replace(stream, values=tuple(2 * value for value in stream.values)) if "head.weight" in name else stream
        for name, stream in record.streams.items()
    }

    comparison = compare(replace(record, clues=clues, streams=streams), record)

    assert comparison.first_divergence == (0, "structure", key)
    assert cause(comparison) == "placement of head.weight: dim 0 over 2 -> dim 1 over 2"


def test_a_rank_that_holds_nothing_says_so(folder):
    """FSDP2 gives a tensor of one element to the first rank."""
    first, second = (Record.load(folder / f"fsdp {number}.json").streams["weight/scale"] for number in range(2))

    assert set(second.values) == {0.0}
    assert 0.0 not in first.values
    assert second.part == Part(1, 2)


def test_what_only_whole_tensors_have_is_left_out(folder, single):
    """Histograms and digests of initial bits: no rank knows them of a tensor that it holds a part of."""
    record = Record.load(folder / "tensor parallel 0.json")

    assert "weight/up.weight" in record.histograms
    assert "weight/down.weight" in single.histograms
    assert not {"weight/down.weight", "gradient/down.weight"} & record.histograms.keys()
    assert single.initial
    assert not record.initial


def test_modules_that_return_parts_have_numbers_that_add_up(folder, single):
    """Of the elements that are looked at in the whole output, each rank looks at its own; so for gradients."""
    ranks = [Record.load(folder / f"sequence parallel {number}.json") for number in range(2)]

    for key in ("output/up", "output/norm", "output/down", "output_gradient/down", "evaluation_output/norm"):
        values = added([record.clues[key] for record in ranks])
        assert ranks[0].clues[key].part == Part(0, 2)
        assert values == pytest.approx(single.clues[key].values, rel=1e-8), key


def test_zero_has_the_state_of_each_parameter_on_one_rank(folder, single):
    """Of the parameters that a rank keeps the state of; together that of all."""
    found = [
        {key for key in Record.load(folder / f"zero {number}.json").streams if key.kind == "optimizer"}
        for number in range(2)
    ]

    assert all(found)
    assert not found[0] & found[1]
    assert found[0] | found[1] == {key for key in single.streams if key.kind == "optimizer"}


def test_a_rank_without_a_loss_is_recorded(ranks):
    """A stage of a pipeline that is not the last has none."""
    assert "loss" in ranks[0].streams
    assert "loss" not in ranks[1].streams
    assert [record.world.rank for record in ranks] == [0, 1]


def test_a_recorder_asks_no_other_rank(folder, name):
    """A training has as many collectives with it as without, and ends with the same bits."""
    for number in range(2):
        (bare, recorded), same = torch.load(folder / f"{number}.pt", weights_only=False)["cost"][name]

        assert bare == recorded > 0
        assert same


def test_ranks_are_jittered_alike(folder):
    """What all of them hold stays the same on all."""
    first, second = (torch.load(folder / f"{number}.pt", weights_only=False)["jitter"] for number in range(2))

    assert torch.equal(first, second)
    assert not torch.equal(first, torch.ones_like(first))


def test_a_rank_is_put_back_on_its_own_states(folder):
    """Of the parts that it holds."""
    record = Record.load(folder / "states 1.json")

    distances = [stream for key, stream in record.streams.items() if key.distance and key.kind == "weight"]
    assert distances
    assert all(set(stream.values) == {0.0} for stream in distances)


def test_on_one_rank_every_tensor_is_whole(single):
    """A mesh of one divides nothing: the numbers are those of plain tensors."""
    with group(backend="gloo"):
        record = recorded("fsdp", init_device_mesh("cpu", (1,)))
        assert not any(stream.part for stream in record.streams.values())

    assert compare(single, record).verdict == "same"
    assert compare(single, record).largest < 1e-14
    assert record.initial == single.initial
    assert record.histograms == single.histograms


def test_what_is_distributed_is_jittered_in_place(single):
    """What measures thresholds moves the weights themselves."""
    with group(backend="gloo"), perturbed(Perturbation(jitter=1)):
        record = recorded("fsdp", init_device_mesh("cpu", (1,)))

    assert 0 < compare(single, record).largest < 1e-10


class FakeMesh:
    """Ranks that there are not."""

    def __init__(self, shape, here):
        self.shape, self.here, self.ndim = shape, here, len(shape)

    def size(self, axis):
        """Return the number of ranks along an axis."""
        return self.shape[axis]

    def get_coordinate(self):
        """Return the place of this rank."""
        return self.here


class Spread(torch.Tensor):
    """A tensor on such."""


@pytest.mark.parametrize(
    ("placements", "here", "part", "starts"),
    [
        ([Replicate(), Shard(0)], (1, 1), Part(1, 2), (5, 0)),
        ([Shard(0), Shard(0)], (1, 1), Part(3, 4), (8, 0)),
        ([Shard(1), Shard(0)], (1, 0), Part(2, 4), (0, 2)),
        ([Replicate(), Replicate()], (1, 1), None, (0, 0)),
        ([Shard(0), Partial()], (0, 1), Part(1, 4, True), (0, 0)),
        ([Shard(0), Replicate()], None, Part(2, 2), None),
    ],
    ids=["hybrid", "one dimension twice", "two dimensions", "copies", "summands", "outside the mesh"],
)
def test_a_part_is_counted_once(monkeypatch, placements, here, part, starts):
    """On a mesh of two axes: ranks that hold the same have the same index."""
    monkeypatch.setattr("torch.distributed.tensor.DTensor", Spread)
    tensor = torch.zeros(10, 4).as_subclass(Spread)
    tensor.placements, tensor.device_mesh = placements, FakeMesh((2, 2), here)

    assert part_of(tensor) == part
    assert offsets(tensor) == starts


def test_a_loss_that_is_divided_is_refused(monkeypatch):
    """Whoever logs it can gather it; the recorder would wait for ranks that may not come."""
    monkeypatch.setattr("torch.distributed.tensor.DTensor", Spread)
    loss = torch.tensor(2.0).as_subclass(Spread)
    loss.placements, loss.device_mesh = [Partial()], FakeMesh((2,), (0,))

    with (
        pytest.raises(errors.RecorderError, match="loss is a DTensor of which this rank holds a part"),
        Recorder() as r,
    ):
        r.log(loss=loss)
