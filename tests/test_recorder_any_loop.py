"""Promises of Recorder to loops that train without it: they train with it, the same numbers."""

import contextlib
import copy
import copyreg
import io
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness import Recorder, compare, errors
from harness.record import Baseline
from harness.recording.images import class_labels
from tests.test_fingerprints import fingerprint


class NoRate(torch.optim.Optimizer):
    """An optimizer whose parameter groups have no rate, and whose state is what it likes."""

    def __init__(self, parameters, rate=0.1):
        super().__init__(parameters, {"gamma": rate})

    @torch.no_grad()
    def step(self, closure=None):
        """Move all weights."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = [torch.ones(2), "odd"]
                parameter.sub_(parameter.grad, alpha=group["gamma"])


class NoneRate(NoRate):
    """One whose rate is None."""

    def __init__(self, parameters):
        super().__init__(parameters)
        self.param_groups[0]["lr"] = None


class Masked(nn.Module):
    """A model with buffers that are infinite or NaN by design, one of them made as it first runs."""

    def __init__(self, shift=1):
        super().__init__()
        self.shift = shift
        self.layer = nn.Linear(4, 2)
        self.register_buffer("mask", torch.triu(torch.full((4, 4), -math.inf), diagonal=shift))
        self.register_buffer("lowest", torch.full((3,), torch.finfo(torch.float64).min))
        self.register_buffer("smallest", torch.tensor(math.inf))
        self.register_buffer("late", None)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, x):
        """Mask what goes in."""
        self.late = torch.tensor([math.nan, 1.0]) if self.late is None else self.late
        self.smallest = torch.minimum(self.smallest, x.min())
        return self.layer(x @ torch.softmax(self.mask, -1))


def train(model, optimizer, *, recorder=None, gradients=None, each=None, by_hand=False):
    """Train on four random batches, watched or not; return the final weights."""
    if recorder:
        recorder.watch(model, optimizer)
    for step in range(4):
        inputs = torch.rand(3, 4)
        if recorder:
            recorder.batch(inputs)
        model.zero_grad()
        loss = model(inputs).square().mean()
        if gradients:
            gradients(model, loss)
        else:
            loss.backward()
        if by_hand:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.sub_(parameter.grad, alpha=by_hand)
            if recorder:
                recorder.step()
        else:
            optimizer.step()
        if recorder:
            recorder.log(loss=loss)
        if each:
            each(model, step)
    return [parameter.detach().clone() for parameter in model.parameters()]


def record(build=lambda: nn.Linear(4, 2), optimizer=lambda p: torch.optim.SGD(p, lr=0.1), **options):
    """Record a loop; it must train what it trains without a recorder."""
    weights = []
    for recorder in (unwatched := Recorder(), watched := Recorder()):
        with contextlib.suppress(errors.RecorderError) if recorder is unwatched else contextlib.nullcontext(), recorder:
            model = build()
            its = optimizer(model.parameters()) if optimizer else None
            weights.append(train(model, its, recorder=None if recorder is unwatched else recorder, **options))
    assert all(map(torch.equal, *weights))
    return watched.record


@pytest.mark.parametrize("optimizer", [NoRate, NoneRate])
def test_optimizers_may_have_no_rate(optimizer):
    """What has no rate has no stream of it; the rest is recorded."""
    kept = record(optimizer=optimizer)

    assert not list(kept.streams.of("learning_rate"))
    assert kept.streams["update/weight"].steps == kept.streams["gradient/weight"].steps == (0, 1, 2, 3)
    assert compare(kept, record(optimizer=lambda p: optimizer(p))).verdict == "same"
    assert compare(kept, record(optimizer=lambda p: NoRate(p, 0.1001))).deviations[0].divergence[:2] == (0, "update")


def expand(model, loss):
    """Gradients as torch.autograd.grad gives them: that of a sum is one number, expanded."""
    parameters = list(model.parameters())
    loss = loss + 0.01 * model.bias.sum() + 0 * model.weight.sum()
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    model.bias.grad = torch.ones(()).expand(2)


def test_gradients_may_be_expanded():
    """One number in memory may stand for many, and is measured as many."""
    assert record(gradients=expand).streams["gradient/bias"].values == pytest.approx([2**0.5] * 4)


def test_buffers_may_be_infinite_by_design():
    """Masks, observers, and what is made late: finite norms that tell one mask from another."""
    kept = record(Masked)

    assert kept.non_finite() is None
    assert Baseline.from_text(kept.to_text()).record == kept
    assert kept.streams["init/mask"].values == pytest.approx([6**0.5])
    assert kept.streams["buffer/late"].values == pytest.approx([10**0.5] * 4)
    assert kept.streams["buffer/smallest"].values[-1] < 1
    assert compare(kept, record(lambda: Masked(2))).first_divergence == (0, "init", "init/mask")


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_buffers_may_have_any_layout_and_number_format():
    """A graph's sparse rows, flags, 8-bit floats, complex numbers, nothing at all."""

    def build():
        model = nn.Linear(4, 2)
        odd = (
            torch.eye(2).to_sparse_csr(),
            torch.ones(2) > 0,
            torch.ones(2).to(torch.float8_e4m3fn),
            torch.ones(2) * 1j,
        )
        for i, buffer in enumerate((*odd, torch.zeros(0))):
            model.register_buffer(f"odd{i}", buffer)
        return model

    streams = record(build).streams
    assert [streams[f"buffer/odd{i}"].values[0] for i in range(5)] == pytest.approx([2**0.5] * 4 + [0.0])


@pytest.mark.parametrize("name", ["mean", "mask"])
def test_a_buffer_that_becomes_nan_is_a_failure(name):
    """One that began finite, or with other kinds of numbers without a size."""

    def spoil(model, step):
        if step == 2:
            getattr(model, name).fill_(math.nan)

    with Recorder() as recorder:
        model = Masked()
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), recorder=recorder, each=spoil)

    assert recorder.record.non_finite()[:3] == (2, "state", f"buffer/{name}")


@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_watched_model_is_saved_as_if_nobody_watched(steps_before):
    """Saved whole, pickled or copied there is nothing of ours in it, and hooks of others are."""

    def mine(*_):
        raise AssertionError("never called")

    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(4, 2), nn.ReLU())
        recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
        for _ in range(steps_before):
            model(torch.rand(3, 4)).sum().backward()
            optimizer.step()
        torch.save(model, file := io.BytesIO())
        copies = [copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))]
        handle = model.register_forward_hook(mine)
        kept = copy.deepcopy(model)
        handle.remove()
        train(nn.Linear(4, 2), None, recorder=recorder, by_hand=0.1)

    with torch.serialization.safe_globals([nn.Sequential, nn.Linear, nn.ReLU]):
        copies.append(torch.load(io.BytesIO(file.getvalue())))
    for each in copies:
        hooks = [
            name for module in each.modules() for name, value in vars(module).items() if "_hooks" in name and value
        ]
        assert hooks == []
    assert [*kept._forward_hooks.values()] == [mine]
    assert nn.Linear not in copyreg.dispatch_table


TRACINGS = {
    "jit": lambda model, inputs: torch.jit.trace(model, inputs),
    "export": lambda model, inputs: torch.export.export(model, (inputs,)),
    "fx": lambda model, inputs: torch.fx.symbolic_trace(model),
    "fx of a part": lambda model, inputs: torch.fx.symbolic_trace(nn.Sequential(model)),
}


@pytest.mark.parametrize("way", TRACINGS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_tracing_a_watched_model_is_no_step(way):
    """TensorBoard's graph, an export: what is judged is that of the loop without it."""

    def traced(model, step):
        if step in (0, 2):
            TRACINGS[way](model, torch.ones(3, 4))

    assert record(each=traced).streams == record().streams


@pytest.mark.parametrize("label", [0, "teacher", [], "scheduler"])
def test_what_is_no_optimizer_is_named(label):
    """A name, a list or a scheduler where the optimizer belongs ends in one sentence, a swapped pair as well."""
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrong = torch.optim.lr_scheduler.StepLR(optimizer, 1) if label == "scheduler" else label
    with (
        pytest.raises(errors.RecorderError, match=rf"^{type(wrong).__name__} is no optimizer\n"),
        Recorder() as recorder,
    ):
        recorder.watch(model, wrong)
    with pytest.raises(errors.RecorderError, match=r"^SGD is no model\n"), Recorder() as recorder:
        recorder.watch(optimizer, model)


NUMBERS = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(-1e6, 1e6))
LEAVES = st.one_of(
    NUMBERS,
    st.none(),
    st.text(max_size=3),
    st.just(torch.zeros(0, 4)),
    st.just(torch.zeros(0, dtype=torch.long)),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3).map(lambda values: torch.tensor(values).double()),
)
NESTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(NESTS, NUMBERS, st.booleans())
def test_any_nest_is_a_batch_and_each_number_in_it_counts(nest, number, first):
    """Whatever stands beside it, and wherever it stands."""

    def of(value):
        return fingerprint([value, nest] if first else {"a": nest, "b": {"c": (value,)}})

    other = (not number) if isinstance(number, bool) else number + max(1, abs(number)) / 2
    other = int(other) + 1 if type(number) is int else other
    assert of(number) == of(number) != of(other)


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (torch.tensor(0.5), 1),
        ({"time": torch.tensor(0.5), "ids": torch.zeros(3, 2, dtype=torch.long)}, 3),
        ({"scale": 2, "text": ["a", "b"], "mask": None, "ids": torch.zeros(5, 2)}, 5),
        (["only", "texts"], 2),
        (torch.zeros(0, 3, 8, 8), 0),
    ],
    ids=["number", "number first", "odds and ends", "texts", "empty"],
)
def test_odd_batches_are_recorded(batch, size):
    """Their size is that of most of their parts, of a list of texts its length."""
    with Recorder() as recorder:
        recorder.batch(batch, ["cat", "dog"], order=[])
        train(nn.Linear(4, 2), None, recorder=recorder, by_hand=0.1)

    streams = recorder.record.streams
    assert streams["batch/size"].values[0] == size
    assert [streams[f"batch/labels{end}"].values[0] for end in ("", " order")] == [
        *fingerprint(["cat", "dog"]).values()
    ]
    assert fingerprint(["cat", "dog"]) != fingerprint(["dog", "cat"])


def by_hand(rate=0.1, **options):
    """Record updates by hand."""
    return record(optimizer=None, by_hand=rate, **options)


def test_updates_by_hand_are_steps():
    """They are recorded as those of an optimizer that does the same, to the last bit of all but rates and groups."""
    hand, optimizer = by_hand(), record()

    kinds = ("gradient", "update", "weight", "batch")
    assert all(dict(hand.streams.of(kind)) == dict(optimizer.streams.of(kind)) for kind in kinds)
    assert hand.streams["optimizer_steps"] == optimizer.streams["optimizer_steps"]
    assert compare(hand, by_hand()).verdict == "same"
    assert compare(hand, by_hand(0.1001)).first_divergence == (0, "update", "update/weight")


def test_updates_by_hand_need_no_gradients_and_may_follow_an_optimizer():
    """An evolution strategy after an optimizer: its steps go on with the numbers of the steps before."""
    with Recorder() as recorder:
        model = nn.Linear(4, 2)
        train(model, torch.optim.SGD(model.parameters(), lr=0.1), recorder=recorder)
        for _ in range(3):
            inputs = torch.rand(3, 4)
            recorder.batch(inputs)
            model.zero_grad()
            with torch.no_grad():
                model.weight += torch.randn_like(model.weight)
            recorder.step()
            recorder.log()

    streams = recorder.record.streams
    assert streams["update/weight"].steps == (*range(7),)
    assert min(streams["update/weight"].values) > 0
    assert streams["gradient/weight"].steps == streams["loss"].steps == (*range(4),)


def test_a_step_of_nothing_is_named():
    """There is no model to step."""
    with pytest.raises(errors.RecorderError, match=r"^no model was watched"), Recorder() as recorder:
        recorder.step()


def test_a_loop_without_a_loss_says_so():
    """An empty log is enough; none at all is a mistake."""
    with Recorder() as recorder:
        model = nn.Linear(4, 2)
        recorder.watch(model)
        recorder.batch(torch.rand(3, 4))
        recorder.step()
        recorder.log()

    assert recorder.record.streams.find("loss") is None


class Odd(torch.optim.SGD):
    """An optimizer whose state has no numbers."""

    def step(self, closure=None):
        """Step, and keep something odd."""
        super().step(closure)
        self.state[self.param_groups[0]["params"][0]]["odd"] = torch.empty(2, device="meta")


def fail(*_, **__):
    """Fail as a bug of ours does."""
    raise AttributeError("no such thing")


@pytest.mark.parametrize(
    ("place", "doing"),
    [
        ("harness.recording.steps.Recording.begin_batch", "Recorder.batch"),
        ("harness.recording.steps.Recording.watch", "Recorder.watch"),
        ("harness.recording.steps.Recording._on_forward", "a forward pass of Linear"),
        ("harness.recording.precision._is_low", "a forward pass"),
        ("harness.recording.watched_model.WatchedModel.record_rates", "a step of SGD"),
        ("harness.recording.watched_model.WatchedModel.record_gradients", "a step of SGD"),
        ("harness.recording.steps.Unwatched.end_step", "a step of SGD"),
        ("harness.recording.steps.Unwatched.end", "a step"),
        ("harness.recording.steps.Recording.add", "Recorder.batch"),
        ("harness.recording.recorder._log", "Recorder.log"),
        ("harness.recording.recorder.filter_picture", "the end of the block"),
    ],
)
def test_what_fails_within_the_recorder_is_no_concern_of_the_loop(place, doing, monkeypatch):
    """Wherever it fails, the loop trains the same numbers, and its record is refused with a name for it."""
    expected = f"^the recorder could not do its part of {doing}, so .* incomplete: AttributeError: no such thing"
    with contextlib.suppress(errors.RecorderError), Recorder():  # nothing is watched
        model = nn.Linear(4, 2)
        weights = train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    monkeypatch.setattr(place, fail)
    with Recorder() as recorder:
        model = nn.Linear(4, 2)
        own = train(model, torch.optim.SGD(model.parameters(), lr=0.1), recorder=recorder)

    assert all(map(torch.equal, own, weights))
    with pytest.raises(errors.RecorderError, match=expected) as refused:
        _ = recorder.record
    assert isinstance(refused.value.__cause__, AttributeError)


def test_an_odd_state_makes_a_record_incomplete():
    """A tensor without numbers cannot be recorded; the error says in which step."""
    with Recorder() as recorder:
        model = nn.Linear(4, 2)
        train(model, Odd(model.parameters(), lr=0.1), recorder=recorder)

    with pytest.raises(errors.RecorderError, match=r"\n  where  step 0, harness/recording/norms.py:\d+\n"):
        _ = recorder.record


class Foreign:
    """What nobody knows to compare."""


@pytest.mark.parametrize("batch", [[Foreign()], {"a": {1, 2}}, np.array([Foreign()]), (None, Foreign()), None])
def test_a_batch_of_which_nothing_is_known_is_refused(batch):
    """Its fingerprint would be that of any other."""
    with pytest.raises(errors.RecorderError, match="is no batch"), Recorder() as recorder:
        recorder.batch(batch)


def test_parts_of_odd_forms_are_seen():
    """Ragged arrays, views, times, foreign byte orders and numbers of more digits than torch has."""
    ragged = np.empty(2, dtype=object)
    ragged[:] = [np.ones(2), np.ones(3)]
    other = np.empty(2, dtype=object)
    other[:] = [np.ones(2), np.zeros(3)]
    pairs = [
        (ragged, other),
        ({"a": torch.ones(2)}.values(), {"a": torch.zeros(2)}.values()),
        (np.array(["2026-01-01"], dtype="M8[D]"), np.array(["2026-01-02"], dtype="M8[D]")),
        (np.array([1, 2], dtype=">i4"), np.array([1, 3], dtype=">i4")),
        (np.array([1, 2], dtype=np.longdouble), np.array([1, 3], dtype=np.longdouble)),
    ]
    for one, two in pairs:
        assert fingerprint(one) == fingerprint(one) != fingerprint(two)


def test_a_step_may_be_given_what_is_no_closure():
    """Some optimizers take the loss, or gradients."""

    class Polyak(torch.optim.SGD):
        def step(self, loss):
            self.param_groups[0]["lr"] = float(loss.detach())
            super().step()

    with Recorder() as recorder:
        model = nn.Linear(2, 1)
        recorder.watch(model, optimizer := Polyak(model.parameters(), lr=0.1))
        loss = model(torch.ones(3, 2)).square().mean()
        loss.backward()
        optimizer.step(loss)
        recorder.log(loss=loss)

    assert recorder.record.num_steps == 1


def test_functional_call_lends_a_model_other_weights():
    """An evaluation of an average is no update of the model."""

    def run(evaluates):
        with Recorder() as recorder:
            model = nn.Linear(2, 1)
            recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
            for _ in range(2):
                recorder.batch(inputs := torch.ones(3, 2))
                optimizer.zero_grad()
                loss = model(inputs).square().mean()
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
                if evaluates:
                    lent = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
                    with torch.no_grad():
                        torch.func.functional_call(model, lent, (inputs,))
        return recorder.record

    for name in ("weight/weight", "update/weight"):
        assert run(True).streams[name].values == run(False).streams[name].values


def test_what_a_graph_needs_again_may_lose_its_noise():
    """The gradient that an optimizer used is a part of the next one."""
    with Recorder() as recorder:
        model = nn.Linear(2, 1)
        recorder.watch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
        loss = model(torch.ones(3, 2)).square().mean()
        (gradient,) = torch.autograd.grad(loss, model.weight, create_graph=True)
        penalty = gradient.square().sum()
        model.weight.grad = gradient.detach()
        optimizer.step()
        torch.autograd.grad(penalty, gradient)
        recorder.log(loss=loss)

    assert recorder.record.num_steps == 1


def test_names_of_the_recorder_are_its_own():
    """A number that is logged under one would be mixed with what was seen."""
    with pytest.raises(errors.RecorderError, match="is a name that the recorder gives"), Recorder() as recorder:
        recorder.log(**{"gradient/weight": 1.0})


def test_labels_may_be_numbers_of_numpy_or_tensors_each():
    """As loops collect them; truth values count as 0 and 1."""
    for labels in ([np.int64(0), np.int64(2)], [torch.tensor(0), torch.tensor(2)], np.array([0, 2]), (0, 2)):
        assert class_labels(labels) == [0, 2]
    assert class_labels(torch.tensor([True, False])) == [1, 0]
    assert class_labels([0.5, 1.0]) == []


@pytest.mark.parametrize("images", [None, iter(()), torch.tensor(1.0)])
def test_predictions_of_no_images_are_refused_in_a_sentence(images):
    """They are no crash of the loop."""
    with pytest.raises(errors.RecorderError), Recorder() as recorder:
        recorder.keep_predictions(images, [0, 1], [0, 1])
