"""Promises of the numbers of modules' calls: the first module that leaves its baseline is named."""

import copy
import dataclasses
import math
import pickle
import warnings
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from harness import Recorder, compare
from harness.comparing.deviations import clue_deviations
from harness.comparing.variants import measured
from harness.errors import NonFiniteError
from harness.record import Record, Stream
from harness.record.streams import CALLS
from harness.recording import calls
from harness.recording.perturbation import Perturbation, perturbed
from harness.report.comparison_text import failure
from tests.test_record import record_of


class Block(nn.Module):
    """Convolution, BatchNorm, an activation in place, and a residual."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.residual = self.detached = False

    def forward(self, x):
        """Return as many images as there are."""
        y = self.act(self.norm(self.conv(x)))
        y = y.detach() if self.detached else y
        return x + y if self.residual else y


class Net(nn.Module):
    """Two blocks, the second one with a residual, dropout, and a head."""

    def __init__(self):
        super().__init__()
        self.block1, self.block2, self.drop, self.head = Block(), Block(), nn.Dropout(0.5), nn.Linear(4, 3)
        self.block2.residual = True

    def forward(self, images):
        """Return logits."""
        return self.head(self.drop(self.block2(self.block1(images)).mean((2, 3))))


def images(step):
    """A batch of a step."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(5, 4, 6, 6, generator=generator, dtype=torch.float64)


def tokens(step):
    """Another one."""
    return torch.randint(0, 9, (5, 6), generator=torch.Generator().manual_seed(step))


def run(build=Net, edit=None, steps=2, batch=images, call=None, evaluates=False, look=None):
    """Train a model and return its record; `edit` changes it before."""
    with Recorder() as recorder:
        model = build()
        if edit:
            edit(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        recorder.watch(model, optimizer)
        for step in range(steps):
            x = batch(step)
            recorder.batch(x)
            optimizer.zero_grad()
            loss = (call or (lambda model, x: model(x).square().mean()))(model, x)
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
            if look:
                look(model, step)
            if evaluates:
                model.eval()
                with torch.no_grad():
                    recorder.evaluation(loss=[model(batch(step + 9)).mean() for _ in range(2)])
                model.train()
    return recorder.record


def calls_of(record):
    """A record that knows no other causes than calls of modules."""
    return dataclasses.replace(record, clues={key: stream for key, stream in record.clues.items() if key.kind in CALLS})


def clue(record, name):
    """The steps and values of a stream."""
    return record.clues[name].steps, record.clues[name].values


@pytest.fixture(scope="module")
def baseline():
    """The record of the net as it is."""
    return run()


# --- what is recorded


def test_every_module_has_a_number_in_the_order_of_the_calls(baseline):
    """Leaves and containers, but not the model itself; backward in the order in which gradients come back."""
    forward = ["conv", "norm", "act"]
    inner = [f"block{n}.{name}".rstrip(".") for n in (1, 2) for name in (*forward, "")]
    names = [*inner, "drop", "head"]

    assert [key.tensor for key, _ in baseline.clues.of("output")] == names
    assert [key.tensor for key, _ in baseline.clues.of("output_gradient")] == [
        name
        for name in names[::-1]
        if name != "block1"  # which returns what its activation did
    ]
    assert {stream.stage for _, stream in baseline.clues.of("output")} == {"forward"}
    assert {stream.stage for _, stream in baseline.clues.of("output_gradient")} == {"backward"}
    assert clue(baseline, "output/block1") == clue(baseline, "output/block1.act")


def test_a_number_is_a_norm_taken_before_anything_changes_the_output(baseline):
    """Of what BatchNorm returned, not of what the activation in place behind it made of that; to ten digits."""
    seen = []
    again = run(edit=lambda model: model.block1.norm.register_forward_hook(lambda *call: seen.append(call[2].norm())))

    assert clue(again, "output/block1.norm")[1] == tuple(float(f"{norm:.9e}") for norm in torch.stack(seen).tolist())
    assert calls_of(again).clues == calls_of(baseline).clues


def test_what_is_recorded_reads_back():
    """A record with outputs of modules, NaN among them, is equal to what its text says."""
    record = run(
        edit=lambda model: freeze(model.block1.norm),
        call=lambda model, x: model.block1(x * math.nan).detach().nan_to_num().mean() + model(x).mean(),
    )

    assert Record.from_text(record.to_text()) == record


def test_of_an_evaluation_the_first_pass_counts():
    """Its outputs are of a kind of their own: they stand after the step, beside those of the training."""
    record = run(evaluates=True)

    assert record.clues["evaluation_output/block1.conv"].stage == "evaluation"
    assert clue(record, "evaluation_output/block1.conv")[0] == (0, 1)
    assert clue(record, "output/block1.conv")[0] == (0, 1)


def test_a_module_has_one_number_a_step():
    """Of one that is called in a loop, or of several micro-batches, the first call tells."""
    record = run(call=lambda model, x: sum(model(x + n).mean() for n in range(3)))

    assert clue(record, "output/head")[0] == clue(record, "output_gradient/head")[0] == (0, 1)


def test_later_steps_are_thinned():
    """Eight steps, every second one of the next eight, every fourth one of the next sixteen, and so on."""
    record = run(lambda: nn.Sequential(nn.Linear(6, 1)), steps=70, batch=lambda step: images(step)[0, 0])

    assert clue(record, "output/0")[0] == (*range(8), *range(8, 16, 2), *range(16, 32, 4), *range(32, 64, 8), 64)


class Several(nn.Module):
    """Returns a tensor within containers, behind others."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        """Return what has no number, and then one that has."""
        return [None, "", {"first": self.make(x.new_ones(2)), "sum": x.sum()}]


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda ones: torch.tensor(3), 3.0),
        (lambda ones: ones > 0, 1.414213562),
        (lambda ones: torch.complex(3 * ones[0], 4 * ones[0]), 5.0),
    ],
    ids=["integer", "mask", "complex"],
)
def test_an_output_may_be_of_any_kind(make, number):
    """The first tensor of lists and mappings tells: numbers, integers, masks and complex ones."""
    edit = lambda model: model.add_module("several", Several(make))  # noqa: E731
    record = run(edit=edit, steps=1, call=lambda model, x: model.several(model(x))[2]["sum"])

    assert clue(record, "output/several")[1] == (number,)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(0),
        lambda: torch.ones(3).to_sparse(),
        lambda: torch.nested.nested_tensor([torch.ones(2)]),
        lambda: torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
        lambda: torch.ones(2, device="meta"),
        lambda: torch.quantize_per_tensor(torch.ones(2).float(), 0.1, 0, torch.qint8),
    ],
    ids=["empty", "sparse", "nested", "jagged", "meta", "quantised"],
)
def test_what_has_no_numbers_in_memory_is_passed_over(make):
    """Outputs of other kinds leave the training alone."""
    edit = lambda model: model.add_module("odd", nn.Identity())  # noqa: E731
    record = run(edit=edit, steps=1, call=lambda model, x: (model.odd(make()), model(x).mean())[1])

    assert clue(record, "output/head")[0] == (0,)


def test_replicas_of_a_module_are_others():
    """Those of DataParallel run in threads, in any order."""
    record = run(call=lambda model, x: (model.drop._replicate_for_data_parallel()(x), model(x).mean())[1])

    assert clue(record, "output/drop")[0] == (0, 1)


class InPlace(nn.Module):
    """Doubles what a part of it returned."""

    def __init__(self):
        super().__init__()
        self.part = nn.Linear(6, 6)

    def forward(self, x):
        """Return the tensor of the part."""
        return self.part(x).mul_(2)


def test_an_output_that_was_changed_in_place_is_another():
    """A module that returns the tensor of a part of it, with other numbers, has a number of its own."""
    record = run(lambda: nn.Sequential(InPlace()), steps=1)
    [part], [whole] = (clue(record, f"output/{name}")[1] for name in ("0.part", "0"))

    assert whole == pytest.approx(2 * part, rel=1e-9)


def test_the_memory_format_is_no_matter(baseline):
    """The same elements are looked at, wherever they lie; of large outputs a thousand at most."""
    wide = lambda step: torch.randn(3, 4, 40, 40, generator=torch.Generator().manual_seed(step))  # noqa: E731
    plain = run(batch=wide)
    other = run(edit=lambda model: model.to(memory_format=torch.channels_last), batch=wide)

    assert plain.clues.keys() == other.clues.keys()
    assert not [point for point in clue_deviations(plain, other) if point.is_beyond]


# --- what is named


class Encoder(nn.Module):
    """A Transformer's layers."""

    def __init__(self):
        super().__init__()
        self.embedding, layer = nn.Embedding(9, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(4, 3)

    def forward(self, words):
        """Return logits of each text."""
        return self.head(self.layers(self.embedding(words)).mean(1))


class Recurrent(nn.Module):
    """An LSTM over packed texts."""

    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(9, 4), nn.LSTM(4, 4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, words):
        """Return logits of each text."""
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(words), [6, 5, 4, 3, 2], batch_first=True)
        return self.head(self.lstm(packed)[1][0][-1])


def sequential():
    """Layers without names."""
    return nn.Sequential(nn.Conv2d(4, 4, 3), nn.Sequential(nn.ReLU(), nn.Flatten()), nn.Linear(64, 3))


def freeze(module):
    """Keep a module in evaluation mode whatever is called."""
    module.train = lambda mode=True: module
    module.training = False


@pytest.mark.parametrize(
    ("edit", "named", "build", "batch"),
    [
        (lambda net: setattr(net.block2, "act", nn.GELU()), "output of block2.act", Net, images),
        (lambda net: setattr(net.block2, "residual", False), "output of block2", Net, images),
        (lambda net: setattr(net, "drop", nn.Identity()), "output of drop", Net, images),
        (lambda net: setattr(net.block1.norm, "eps", 1.1e-5), "output of block1.norm", Net, images),
        (lambda net: freeze(net.block2.norm), "output of block2.norm", Net, images),
        (lambda net: setattr(net[1], "0", nn.GELU()), "output of 1.0", sequential, images),
        (
            lambda net: setattr(net.layers.layers[1].dropout1, "p", 0.2),
            "output of layers.layers.1.dropout1",
            Encoder,
            tokens,
        ),
        (lambda net: setattr(net.lstm, "dropout", 0.1), "output of lstm", Recurrent, tokens),
    ],
    ids=["gelu", "residual", "dropout", "eps", "mode", "sequential", "transformer", "lstm"],
)
def test_the_first_module_that_leaves_is_named(edit, named, build, batch):
    """By its path of attributes, in the headline; the loss that it moves stands below."""
    former, present = (calls_of(run(build, change, steps=1, batch=batch)) for change in (None, edit))
    lines = failure(compare(former, present)).splitlines()

    assert lines[0] == f"training differs from its baseline from step 0 on: forward, {named}"
    assert any(line.startswith("  moves      forward, loss, step 0") for line in lines)


def test_a_detached_branch_is_named(baseline):
    """The numbers forward are the baseline's; the gradient of the first output that gets none is missing."""
    text = failure(compare(baseline, run(edit=lambda model: setattr(model.block2, "detached", True))))

    assert text.startswith(
        "training differs from its baseline from step 0 on: backward, gradient of the output of block2.act\n"
    )
    assert "now nothing" in text


def test_a_change_in_an_evaluation_alone_is_named():
    """The module that evaluates otherwise, from the first evaluation on."""

    def lower(module, inputs, output):
        return output if module.training else output * 0.5

    former = run(evaluates=True)
    present = run(edit=lambda model: model.block2.act.register_forward_hook(lower), evaluates=True)

    assert compare(former, present).first_divergence == (0, "evaluation", "evaluation_output/block2.act")


def with_output(value, loss=1.0, name="output/act"):
    """A record of one step whose module returned a number."""
    record = run(lambda: nn.Linear(6, 1), steps=1)
    streams = {**record.streams, "loss": Stream("forward", (0,), (loss,))}
    return dataclasses.replace(record, streams=streams, clues={name: Stream("forward", (0,), (value,))})


@pytest.mark.parametrize(("before", "now"), [(1.0, 1.000000001), (math.nan, math.nan), (math.inf, math.inf)])
def test_what_rounding_to_ten_digits_makes_is_not_named(before, now):
    """Nor is what was infinite before: the loss itself leaves."""
    assert compare(with_output(before), with_output(now, loss=2.0)).first_divergence.stream == "loss"


@pytest.mark.parametrize(("before", "now"), [(1.0, 1.00000001), (1.0, math.nan)])
def test_more_than_that_is_named(before, now):
    """And what is NaN now and was a number."""
    assert compare(with_output(before), with_output(now, loss=2.0)).first_divergence.stream == "output/act"


def test_nan_is_named_by_the_first_module_that_returns_it():
    """Not by the loss that it makes: neither in the record, nor in what a baseline is refused with."""

    def poison(module, inputs, output):
        return output * math.nan

    record = run(edit=lambda model: model.block2.conv.register_forward_hook(poison))
    error = NonFiniteError.at(name=record.name, **record.non_finite()._asdict())

    assert record.non_finite()[:3] == (0, "forward", "output/block2.conv")
    assert str(error).startswith("output/block2.conv is nan at step 0 (forward)")


def test_nan_that_nobody_uses_is_no_failure():
    """A part whose output goes nowhere may return anything."""
    record = run(
        call=lambda model, x: (model.block1(x * math.nan), model.train())[1](x).mean(),
        edit=lambda m: freeze(m.block1.norm),
    )

    assert math.isnan(clue(record, "output/block1.conv")[1][0])
    assert record.non_finite() is None


def test_calibration_measures_outputs():
    """Rounding moves outputs and their gradients, too: what it does there is no cause."""
    record = run()
    with perturbed(Perturbation(jitter=1)):
        drawn = run()

    assert {"output", "output_gradient"} <= measured(record, None, {"jitter 1": drawn}).largest.keys() | {
        "output",
        "output_gradient",
    }


# --- what it leaves alone


def test_no_output_is_kept_alive():
    """Neither by what is recorded nor by the hooks: the memory of a step is free when its graph is."""
    outputs = []

    def keep(module, inputs, output):
        outputs.append(weakref.ref(output))

    def look(model, step):
        alive.append(sum(output() is not None for output in outputs))

    alive = []
    run(edit=lambda model: [part.register_forward_hook(keep) for part in (model.block1.conv, model.head)], look=look)

    assert alive == [0, 0]


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_a_module_once(reentrant):
    """What runs again in the backward pass is the same call."""
    record = run(
        call=lambda net, x: net.drop(checkpoint(net.block1, x.requires_grad_(), use_reentrant=reentrant)).mean()
    )

    assert clue(record, "output/block1.conv")[0] == (0, 1)


@pytest.mark.parametrize("text", ["OptimizedModule()", "Sequential() compiled"])
def test_a_failure_says_which_modules_are_not_seen(text):
    """Compiled code calls none of those within."""
    clues = {"module/net.block": Stream("structure", (0,), (text,))}
    former, present = (record_of({"loss": Stream("forward", (0,), (loss,))}, clues=clues) for loss in (1.0, 2.0))

    assert (
        "  modules    what is within net.block was not seen at work: torch.compile hides what it compiles"
        in failure(compare(former, present)).splitlines()
    )


def test_a_model_that_trains_in_evaluation_mode_is_followed():
    """Its passes with gradients, between a batch and a step, are those of a training."""
    record = run(edit=lambda model: model.eval())

    assert clue(record, "output/block1.conv")[0]


@pytest.mark.long
def test_compiled_code_is_the_same(request, monkeypatch):
    """As many graphs as without the hooks, in which nothing is recorded."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def train(factor, hidden):
        if hidden:
            monkeypatch.setattr(calls, "on_output", lambda module, notify: lambda: None)
        torch.compiler.reset()
        graphs.clear()
        compiled = []

        def call(model, x):
            compiled.append(compiled[0] if compiled else torch.compile(model, backend=backend))
            return factor * compiled[0](x).square().mean()

        return run(sequential, steps=18, call=call), len(graphs)

    request.addfinalizer(torch.compiler.reset)
    (former, seen), (present, bare) = train(1.0, hidden=False), train(1.0, hidden=True)

    assert (seen, [*former.clues.of("output")]) == (bare, [])
    assert former.streams == present.streams


def test_copies_and_pickles_are_made_without_hooks(baseline):
    """Of a model, and of an output, which warns of none."""

    def look(model, step):
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert not any(module._forward_hooks for module in other.modules())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pickle.loads(pickle.dumps(model.head(torch.ones(1, 4))))

    assert run(look=look).clues.keys() == baseline.clues.keys()


def test_hooks_come_off_at_the_end(monkeypatch):
    """And where the loop keeps a graph, nothing more is noted of it."""
    kept, noted, number = [], [], calls._number
    monkeypatch.setattr(calls, "_number", lambda tensor: noted.append(1) or number(tensor))
    run(look=lambda model, step: kept.extend((model, model.head(torch.ones(1, 4)))))
    *_, model, output = kept
    before = len(noted)
    output.sum().backward()

    assert len(noted) == before > 0
    assert not any(module._forward_hooks for module in model.modules())


def test_operations_of_ours_are_not_those_of_the_loop():
    """A mode that counts operations, or writes them down, does not see what a number is made with."""

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            counts.append(func)
            return func(*args, **(kwargs or {}))

    def call(model, x):
        with Counting():
            return functional.relu(model(x)).mean()

    counts = []
    record = run(call=call, steps=1)

    assert "output/head" in record.clues
    assert not {torch.ops.aten.as_strided, torch.ops.aten.linalg_vector_norm} & {each.overloadpacket for each in counts}


def test_transforms_of_functions_are_left_alone():
    """What they compute with is no number, and is not recorded; the training is, as without."""

    def call(model, x):
        rates = torch.func.vmap(lambda image: model.block1.conv(image[None]).mean())(x)
        return model(x).square().mean() + rates.mean()

    assert clue(run(call=call), "output/block1.conv")[0] == (0, 1)
