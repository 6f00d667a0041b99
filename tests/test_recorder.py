"""Promises of Recorder: any loop, without edits to it."""

import contextlib
import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from harness import Recorder, compare, errors
from tests.test_fingerprints import fingerprint


def build(rate=0.1, optimizer=torch.optim.SGD, **options):
    """A small convolutional model with BatchNorm, and its optimizer."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10)
    )
    return model, optimizer(model.parameters(), lr=rate, **options)


def batches(count=6):
    """Batches of random images; the last one is smaller."""
    for index in range(count):
        size = 8 if index < count - 1 else 5
        yield torch.rand(size, 3, 8, 8), torch.randint(10, (size,))


def run(*, rate=0.1, before_step=None, after_step=None, optimizer=torch.optim.SGD, evaluate=True, **options):
    """Record a plain loop; faults are planted by the two callbacks, each called with model and step."""
    with Recorder() as recorder:
        model, optim = build(rate, optimizer, **options)
        recorder.watch(model, optim)
        for step, (images, labels) in enumerate(batches()):
            recorder.batch(images, labels)
            optim.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            if before_step:
                before_step(model, step)
            optim.step()
            if after_step:
                after_step(model, step)
            recorder.log(loss=loss)
        if evaluate:
            model.eval()
            with torch.no_grad():
                recorder.log(loss=functional.cross_entropy(model(images), labels))
    return recorder.record


@contextlib.contextmanager
def watching(make=lambda: build()[0], rate=0.1):
    """A recorder that watches a model and SGD; its block is given all three."""
    with Recorder() as recorder:
        model = make()
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        recorder.watch(model, optimizer)
        yield recorder, model, optimizer


def train_on(recorder, model, optimizer, count=3, after=lambda step, images: None):
    """Train a model on a few batches; `after` is called at the end of each step."""
    for step, (images, labels) in enumerate(batches(count)):
        recorder.batch(images, labels)
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        recorder.log(loss=loss)
        after(step, images)


@pytest.fixture(scope="module")
def baseline():
    """Record of the loop without a fault."""
    return run()


def test_a_loop_repeats_itself_to_the_last_bit(baseline):
    """The same loop gives the same text."""
    assert run().to_text() == baseline.to_text()


def test_every_stream_of_the_contract_is_there(baseline):
    """Per step: data, loss, rate, gradient, update, weight, BatchNorm and optimizer state; structure once."""
    kinds = {(stream.stage, name.split("/")[0]) for name, stream in run(momentum=0.9).streams.items()}

    assert kinds == {
        ("data", "batch"),
        ("init", "init"),
        ("forward", "loss"),
        ("backward", "gradient"),
        ("schedule", "learning_rate"),
        ("update", "update"),
        ("update", "optimizer_steps"),
        ("state", "weight"),
        ("state", "buffer"),
        ("state", "optimizer"),
        ("evaluation", "evaluation"),
    }
    assert baseline.num_steps == 6
    assert baseline.structure["0.weight"] == {
        "shape": [4, 3, 3, 3],
        "dtype": "float64",
        "requires_grad": True,
        "group": "0.weight",
    }


def scale_gradient(model, step):
    """A gradient that is off by one part in a million at step 2."""
    if step == 2:
        model[0].weight.grad.mul_(1 + 1e-6)


def nudge_weight(model, step):
    """A weight that changes behind the optimizer's back at step 3."""
    if step == 3:
        with torch.no_grad():
            model[5].weight[0, 0] += 1e-6


def nudge_buffer(model, step):
    """BatchNorm's running mean moves at step 4."""
    if step == 4:
        model[1].running_mean[0] += 1e-6


@pytest.mark.parametrize(
    ("changes", "divergence"),
    [
        ({"rate": 0.1 * (1 + 1e-6)}, (0, "schedule", "learning_rate/0.weight")),
        ({"before_step": scale_gradient}, (2, "backward", "gradient/0.weight")),
        ({"after_step": nudge_weight}, (3, "update", "update/5.weight")),
        ({"after_step": nudge_buffer}, (4, "state", "buffer/1.running_mean")),
        # the weight before BatchNorm is orthogonal to its gradient, so decay shows in the bias first
        ({"weight_decay": 1e-6}, (0, "update", "update/0.bias")),
        ({"evaluate": False}, (5, "evaluation", "evaluation/loss")),
    ],
)
def test_a_fault_is_named_by_step_stage_and_stream(baseline, changes, divergence):
    """A change of one part in a million of one thing at one step moves numbers there first."""
    assert compare(baseline, run(**changes)).deviations[0].divergence == divergence


def test_two_optimizer_steps_a_batch_are_seen(baseline):
    """A step taken twice shows in the update, and as such: not as another rate or gradient."""

    def again(model, step):
        optimizers[0].step()

    optimizers = []

    def make(*args, **options):
        optimizers.append(torch.optim.SGD(*args, **options))
        return optimizers[0]

    comparison = compare(baseline, run(optimizer=make, after_step=again))
    assert comparison.first_divergence[:2] == (0, "update")
    assert "optimizer_steps" in {deviation.stream for deviation in comparison.deviations}


def watched_batches(order=(0, 1, 2, 3), labels=(0, 1, 2, 3), change=0):
    """Record one step on four fixed uint8 images in an order."""
    images = torch.arange(4 * 8 * 8 * 3, dtype=torch.int64).to(torch.uint8).reshape(4, 8, 8, 3)[list(order)].clone()
    images[0, 0, 0, 0] += change
    with watching(lambda: nn.Linear(1, 1)) as (recorder, model, optimizer):
        recorder.batch(images, torch.tensor(labels), order=torch.tensor(order))
        loss = model(torch.ones(1, 1)).sum()
        loss.backward()
        optimizer.step()
        recorder.log(loss=loss)
    return recorder.record


@pytest.mark.parametrize(
    ("changes", "stream"),
    [
        ({"order": (1, 0, 2, 3)}, "batch/order order"),
        ({"labels": (1, 0, 2, 3)}, "batch/labels order"),
        ({"labels": (0, 1, 2, 2)}, "batch/labels"),
        ({"change": 1}, "batch/images"),
    ],
)
def test_one_pixel_label_or_place_is_named(changes, stream):
    """What goes into the model is fingerprinted exactly, whether or not it changes a number."""
    divergence = compare(watched_batches(), watched_batches(**changes)).first_divergence

    assert divergence == (0, "data", stream)


def test_memory_format_is_no_difference():
    """channels_last images have the fingerprint of contiguous ones."""
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64)

    assert fingerprint(images) == fingerprint(images.to(memory_format=torch.channels_last))


def test_noise_gradients_do_not_reach_adam():
    """A bias in front of BatchNorm has no gradient but rounding; Adam would make a step of it, here it stays."""
    record = run(optimizer=torch.optim.Adam)

    assert set(record.streams["gradient/0.bias"].values) == {0.0}
    assert set(record.streams["update/0.bias"].values) == {0.0}
    assert min(record.streams["update/0.weight"].values) > 0


@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-2, 1.0])
def test_the_norm_of_a_gradient_is_that_of_what_the_optimizer_is_given(size):
    """Without the noise in it, whether that is all of it, shows in its norm or does not."""
    make = lambda: nn.ParameterDict({"large": torch.ones(2), "small": torch.ones(3)})  # noqa: E731
    with watching(make, rate=1.0) as (recorder, model, optimizer):
        factors = torch.tensor([size, 0.9e-12, -0.9e-12])
        loss = model["large"].sum() / math.sqrt(2) + (model["small"] * factors).sum()
        recorder.log(loss=loss)
        loss.backward()
        optimizer.step()

    given = torch.where(factors.abs() < 1e-12, 0, factors)
    assert model["small"].grad.equal(given)
    assert recorder.record.streams["gradient/small"].values[0] == pytest.approx(float(given.norm()), rel=1e-14, abs=0)


def test_tensors_that_take_the_place_of_others_are_recorded():
    """Of a model and of its optimizer, in the middle of a training."""
    with Recorder() as recorder:
        model, optimizer = build(momentum=0.5)
        recorder.watch(model, optimizer)
        for step, (images, labels) in enumerate(batches(4)):
            recorder.batch(images, labels)
            loss = functional.cross_entropy(model(images), labels)
            recorder.log(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == 2:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
                optimizer.state[model[5].bias]["momentum_buffer"] = torch.full((10,), 2.0)
                model[1].running_mean = torch.full((4,), 3.0)

    streams = recorder.record.streams
    assert streams["optimizer/5.bias/momentum_buffer"].values[2] == pytest.approx(2 * math.sqrt(10))
    assert streams["buffer/1.running_mean"].values[2] == pytest.approx(6.0)


def test_micro_batches_are_one_step():
    """Several batches before an optimizer step belong to that step."""
    with watching() as (recorder, model, optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            for images, labels in batches(2):
                recorder.batch(images, labels)
                loss = functional.cross_entropy(model(images), labels)
                loss.backward()
                recorder.log(loss=loss)
            optimizer.step()

    assert recorder.record.num_steps == 3
    assert recorder.record.streams["loss"].steps == (0, 0, 1, 1, 2, 2)
    assert recorder.record.streams["batch/size"].values == (8, 5) * 3


def test_loops_that_never_call_batch_have_steps_too():
    """Then a step begins with a training forward pass after an optimizer step."""
    with watching() as (recorder, model, optimizer):
        for images, labels in batches(3):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
            with torch.no_grad():
                recorder.log(accuracy=0.5)

    assert recorder.record.streams["loss"].steps == (0, 1, 2)


def test_closures_are_followed():
    """LBFGS computes its gradients inside step(); they are recorded."""
    with Recorder() as recorder:
        model = nn.Linear(4, 1)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        recorder.watch(model, optimizer)
        for _ in range(2):
            inputs = torch.rand(8, 4)
            recorder.batch(inputs)

            def closure(inputs=inputs):
                optimizer.zero_grad()
                loss = model(inputs).square().mean()
                loss.backward()
                return loss

            recorder.log(loss=optimizer.step(closure))

    assert recorder.record.streams["gradient/weight"].steps == (0, 1)


def test_a_resumed_model_takes_the_place_of_the_first(baseline):
    """Save, build anew, load, watch again: the same record as without."""
    with watching() as (recorder, model, optimizer):
        for step, (images, labels) in enumerate(batches()):
            recorder.batch(images, labels)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
            if step == 2:
                saved, state = copy.deepcopy((model.state_dict(), optimizer.state_dict())), torch.get_rng_state()
                model, optimizer = build()
                model.load_state_dict(saved[0])
                optimizer.load_state_dict(saved[1])
                torch.set_rng_state(state)
                recorder.watch(model, optimizer)
        model.eval()
        with torch.no_grad():
            recorder.log(loss=functional.cross_entropy(model(images), labels))

    deviations = {deviation.stage for deviation in compare(baseline, recorder.record).deviations}
    assert deviations == {"init"}  # that it started anew, with the very same weights, is all there is to see


def test_a_second_model_without_optimizer_is_recorded_beside_the_first():
    """An average of the weights is watched as a model of its own."""
    with watching() as (recorder, model, optimizer):
        recorder.watch(copy.deepcopy(model))
        train_on(recorder, model, optimizer, 2)

    assert "weight/model2.0.weight" in recorder.record.streams


def test_each_of_two_resumed_models_takes_its_own_place():
    """Generator and discriminator, both rebuilt: each goes on under the name that it had."""

    def pair():
        return [(m, torch.optim.SGD(m.parameters(), lr=0.1)) for m in (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 1)))]

    with Recorder() as recorder:
        for _ in range(2):
            models = pair()
            for model, optimizer in models:
                recorder.watch(model, optimizer)
            for _ in range(2):
                recorder.batch(torch.rand(4, 2))
                for model, optimizer in models:
                    optimizer.zero_grad()
                    loss = model(torch.rand(4, 2)).square().sum()
                    loss.backward()
                    optimizer.step()
                    recorder.log(loss=loss)

    weights = [name for name in recorder.record.streams if name.startswith("weight/")]
    assert weights == ["weight/weight", "weight/bias", "weight/model2.0.weight", "weight/model2.0.bias"]
    assert recorder.record.streams["weight/model2.0.weight"].steps == (0, 1, 2, 3)


def test_a_copy_of_a_watched_model_is_not_watched():
    """Averages and best models are deep copies or pickles: they carry nothing of the recorder."""
    with watching() as (recorder, model, optimizer):

        def after(step, images):
            copy.deepcopy(model).eval()(images)
            recorder.log(again=1.0)

        train_on(recorder, model, optimizer, 2, after)

    assert recorder.record.streams["again"].stage == "forward"


def test_a_compiled_model_is_recorded_like_a_plain_one():
    """torch.compile neither loses a step nor compiles the recorder: the numbers are the plain loop's.

    Of modules none are seen, since nothing calls them.
    """

    def record(compiled):
        with watching() as (recorder, model, optimizer):
            call = torch.compile(model, backend="eager") if compiled else model
            for images, labels in batches(3):
                optimizer.zero_grad()
                loss = functional.cross_entropy(call(images), labels)
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
        return recorder.record

    compiled, plain = record(compiled=True), record(compiled=False)

    assert not any(compiled.clues.of("output"))
    assert dataclasses.replace(compiled, clues=plain.clues).to_text() == plain.to_text()


def test_nan_is_recorded_and_found():
    """A loss that becomes NaN does not stop the loop; the comparison names its step."""

    def poison(model, step):
        if step == 3:
            model[0].weight.grad[0] = math.nan

    record = run(before_step=poison)

    assert compare(run(), record).first_divergence == (3, "backward", "gradient/0.weight")
    assert record.non_finite()[:3] == (3, "backward", "gradient/0.weight")


def test_hooks_are_gone_afterwards():
    """Neither model nor optimizer keeps anything of the recorder, also after an exception."""
    with pytest.raises(ZeroDivisionError), watching() as (_, model, optimizer):
        raise ZeroDivisionError

    assert not model._forward_pre_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def watch_twice(recorder, model, optimizer):
    """Watch what is watched."""
    recorder.watch(model, optimizer)


def watch_foreign(recorder, model, optimizer):
    """Watch the optimizer of another model."""
    recorder.watch(model, build()[1])


def watch_float32(recorder, model, optimizer):
    """Watch a model in another precision."""
    recorder.watch(nn.Linear(2, 2).float())


def log_text(recorder, model, optimizer):
    """Log something that is no number."""
    recorder.log(loss="small")


def batch_of_nothing(recorder, model, optimizer):
    """Give something that holds no tensor."""
    recorder.batch("images", "labels")


def never_step(recorder, model, optimizer):
    """End without an optimizer step."""
    recorder.batch(torch.rand(2, 3))
    recorder.log(loss=1.0)


def never_log(recorder, model, optimizer):
    """End without a loss."""
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()


def train_twins(recorder, model, optimizer):
    """Train two models whose tensors have the same names."""
    twin, other = build()
    recorder.watch(twin, other)
    for each, its in ((twin, other), (model, optimizer)):
        each(torch.rand(2, 3, 8, 8)).sum().backward()
        its.step()


def change_optimizer(recorder, model, optimizer):
    """Go on with another optimizer."""
    train_on(recorder, model, optimizer)
    train_on(recorder, model, torch.optim.Adam(model.parameters()), 1)


def change_optimizer_and_catch(recorder, model, optimizer):
    """Go on with another optimizer, whatever it raises."""
    train_on(recorder, model, optimizer)
    with contextlib.suppress(Exception):
        train_on(recorder, model, torch.optim.Adam(model.parameters()))


def leave_a_part_unwatched(recorder, model, optimizer):
    """Step the last layer by an optimizer of its own, beside the watched one."""
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    torch.optim.SGD(model[5].parameters(), lr=0.1).step()


class ByHand:
    """An optimizer that torch does not know; with `data`, autograd does not notice either."""

    def __init__(self, model, data=False):
        self.model, self.data = model, data

    @torch.no_grad()
    def step(self):
        """Move all weights."""
        for parameter in self.model.parameters():
            (parameter.data if self.data else parameter).sub_(parameter.grad, alpha=0.1)

    def zero_grad(self):
        """Forget the gradients."""
        self.model.zero_grad()


def move_by_hand(recorder, model, optimizer):
    """Train on, by hand."""
    train_on(recorder, model, optimizer)
    train_on(recorder, model, ByHand(model))


def move_by_hand_at_the_end(recorder, model, optimizer):
    """Train on by hand, for two batches, past autograd."""
    train_on(recorder, model, optimizer)
    train_on(recorder, model, ByHand(model, data=True), 2)


def move_parts_by_hand(recorder, model, optimizer):
    """Train a model by hand whose own forward pass is never called."""
    parts = nn.Sequential(*model)
    train_on(recorder, parts, optimizer)
    train_on(recorder, parts, ByHand(model))


def train_a_copy(recorder, model, optimizer):
    """Train a copy of the watched model from some step on."""
    train_on(recorder, model, optimizer)
    train_on(recorder, *copy.deepcopy((model, optimizer)))


def take_model_hooks_off(recorder, model, optimizer):
    """Take off all hooks of a model."""
    train_on(recorder, model, optimizer)
    model._forward_pre_hooks.clear()


def take_optimizer_hooks_off(recorder, model, optimizer):
    """Make an optimizer anew in its place, and train on."""
    train_on(recorder, model, optimizer)
    optimizer.__init__(model.parameters(), lr=0.01)
    train_on(recorder, model, optimizer)


def never_run_a_layer(recorder, model, optimizer):
    """Leave a lazy layer without a shape."""
    train_on(recorder, model, optimizer)
    spare = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3))
    recorder.watch(spare, steps := torch.optim.SGD(spare[0].parameters(), lr=0.1), name="spare")
    steps.step()


class Low(nn.Module):
    """A model that computes in float32."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        """Go down and up again."""
        return self.layer(x).float().double()


def compute_low_and_catch(recorder, model, optimizer):
    """Catch what a pass in float32 raises."""
    low = Low()
    recorder.watch(low, name="low")
    with contextlib.suppress(errors.PrecisionError):
        low(torch.rand(3, 2))
    train_on(recorder, model, optimizer)


def log_text_and_catch(recorder, model, optimizer):
    """Catch what logging a text raises."""
    train_on(recorder, model, optimizer)
    with contextlib.suppress(errors.RecorderError):
        recorder.log(loss="small")


def enter_twice(recorder, model, optimizer):
    """Enter a recorder within its own block."""
    with recorder:
        pass


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (change_optimizer, r"an optimizer that is not watched \(Adam\) steps 0.weight, .*\n  where  step 3,"),
        (change_optimizer_and_catch, r"an optimizer that is not watched \(Adam\) steps 0.weight, .*\n  where  step 3,"),
        (leave_a_part_unwatched, r"an optimizer that is not watched \(SGD\) steps 5.weight, .*\n  where  step 0,"),
        (move_by_hand, r"0.weight has moved since a batch went in, .*\n  where  step 3\n"),
        (move_by_hand_at_the_end, r"0.weight has moved since a batch went in, .*\n  where  step 3\n"),
        (move_parts_by_hand, r"0.weight has moved since a batch went in, .*\n  where  step 3\n"),
        (train_a_copy, r"no watched optimizer has stepped in the last 3 batches, but .* \(SGD\)\n  where  step 3,"),
        (take_model_hooks_off, "the recorder's hooks on Sequential were taken off\n  where  step 2\n"),
        (take_optimizer_hooks_off, "the recorder's hooks on SGD were taken off\n  where  step 2\n"),
        (never_run_a_layer, "spare.1.weight never got a shape"),
        (log_text_and_catch, "loss is str, not a number"),
        (compute_low_and_catch, r"Low computes in float32, but this run is in float64"),
        (enter_twice, "this recorder is recording already"),
        (watch_twice, "this model and optimizer are watched already"),
        (watch_foreign, "the optimizer holds no parameter of the model"),
        (watch_float32, ".* is float32, but this run is in float64"),
        (log_text, ".* is .*, not a number, a scalar tensor or a list of them"),
        (batch_of_nothing, ".* is no batch"),
        (never_step, "no watched optimizer took a step"),
        (never_log, "no loss was logged in 1 step"),
        (train_twins, "two watched models whose tensors have the same names"),
    ],
)
def test_misuse_is_named(misuse, message):
    """Each wrong use ends in a message of its own."""
    with pytest.raises(errors.RecorderError, match=f"^{message}"), watching() as watched:
        misuse(*watched)


def test_a_recorder_is_of_no_use_outside_its_block():
    """Calls before and after the block say where they belong."""
    with pytest.raises(errors.RecorderError, match=r"Recorder\.log"):
        Recorder().log(loss=1.0)
    with pytest.raises(errors.RecorderError, match="there is no record yet"):
        _ = Recorder().record


def test_what_is_told_too_late_is_missing():
    """A thread that logs after the block: its error dies with it, but there is no record without that value."""
    with watching() as (recorder, model, optimizer):
        train_on(recorder, model, optimizer, 1)
    assert recorder.record
    with contextlib.suppress(errors.RecorderError):
        recorder.log(loss=1.0)

    with pytest.raises(errors.RecorderError, match=r"Recorder\.log"):
        _ = recorder.record


class MaxNorm(nn.Linear):
    """A layer that bounds its own weight when it runs."""

    def forward(self, x):
        """Bound the weight, past autograd, and use it."""
        self.weight.data.copy_(torch.renorm(self.weight.data, p=2, dim=0, maxnorm=0.1))
        return super().forward(x)


@torch.no_grad()
def perturb(model, images, labels):
    """Go up the gradient and back for a second pass, as in adversarial training; rounding stays."""
    for sign in (1, -1):
        for parameter in model.parameters():
            parameter.data.add_(parameter.grad, alpha=0.3 * sign)
        if sign == 1:
            model(images)


@pytest.mark.parametrize("way", ["accumulating", "perturbing", "bounding", "clipping", "loading", "averaging"])
def test_weights_may_move_where_it_is_no_step(way):
    """Bounds, perturbations that are undone, clipping after a step, checkpoints, and averages that are swapped in."""
    first = MaxNorm if way == "bounding" else nn.Linear
    make = lambda: nn.Sequential(nn.Flatten(), first(192, 8), nn.Linear(8, 10))  # noqa: E731
    with watching(make) as (recorder, model, optimizer):
        start = copy.deepcopy(model.state_dict())
        for step, (images, labels) in enumerate(batches(8)):
            recorder.batch(images, labels)
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            recorder.log(loss=loss)
            if way == "perturbing":
                perturb(model, images, labels)
            if way == "loading" and step == 3:
                model.load_state_dict(start)
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
                for parameter in model.parameters() if way == "clipping" else ():
                    parameter.data.clamp_(-0.01, 0.01)
                own = [parameter.detach().clone() for parameter in model.parameters()] if way == "averaging" else []
                for parameter in model.parameters() if own else ():
                    parameter.data.mul_(0.5)
                with torch.no_grad():
                    recorder.batch(images)
                    recorder.log(loss=model(images).sum())
                for parameter, value in zip(model.parameters(), own, strict=bool(own)):
                    parameter.data.copy_(value)

    assert recorder.record.streams["update/2.weight"].steps == (0, 1)


class Outer(torch.optim.Optimizer):
    """An optimizer that steps another one, as Lookahead and SAM do."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, inner.defaults)
        self.inner = inner

    def step(self, closure=None):
        """Step the other one."""
        self.inner.step()


@pytest.mark.parametrize("watches", ["outer", "inner"])
def test_either_of_two_optimizers_in_each_other_may_be_watched(watches):
    """The step of one is the other's."""
    with Recorder() as recorder:
        model, inner = build()
        outer = Outer(inner)
        recorder.watch(model, outer if watches == "outer" else inner)
        train_on(recorder, model, outer)

    assert recorder.record.streams["optimizer_steps"].values == (1, 1, 1)


def test_a_critic_may_be_trained_unwatched():
    """Neither it nor its optimizer is watched, and the last batches lack the step that the watched one takes."""
    with Recorder() as recorder:
        model, critic = nn.Linear(2, 2), nn.Linear(2, 1)
        optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, critic)]
        recorder.watch(model, optimizers[0])
        for step in range(8):
            recorder.batch(torch.rand(4, 2))
            loss = critic(model(torch.rand(4, 2))).sum()
            loss.backward()
            optimizers[1].step()
            if step % 3 == 2:
                optimizers[0].step()
            recorder.log(loss=loss)

    assert recorder.record.streams["batch/size"].steps == (0, 0, 0, 1, 1, 1, 2, 2)


def test_a_teacher_beside_the_student_is_no_evaluation():
    """A watched model that runs without gradients within a step leaves the loss a training loss."""
    with watching() as (recorder, model, optimizer):
        teacher = build()[0].eval()
        recorder.watch(teacher, name="teacher")
        for images, labels in batches(2):
            recorder.batch(images, labels)
            output = model(images)
            with torch.no_grad():
                target = teacher(images)
            loss = (output - target).square().mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)

    assert recorder.record.streams["loss"].stage == "forward"


def test_a_recorder_used_again_forgets_its_first_record():
    """After a block that raised there is no record, not an old one."""
    recorder = Recorder()
    with recorder:
        model, optimizer = build()
        recorder.watch(model, optimizer)
        never_log(recorder, model, optimizer)
        recorder.log(loss=1.0)
    assert recorder.record
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError
    with pytest.raises(errors.RecorderError, match="there is no record yet"):
        _ = recorder.record


def test_sparse_gradients_and_late_parameters_are_recorded():
    """An embedding with sparse gradients, and a head that is added after the first step."""
    with watching(lambda: nn.Sequential(nn.Embedding(5, 3, sparse=True))) as (recorder, model, optimizer):
        for step in range(3):
            recorder.batch(torch.tensor([1, 2]))
            if step == 1:
                model.append(nn.Linear(3, 1))
                optimizer.add_param_group({"params": model[1].parameters()})
            optimizer.zero_grad()
            loss = model(torch.tensor([1, 2])).square().sum()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)

    assert recorder.record.streams["update/1.weight"].steps == (1, 2)
    assert recorder.record.streams["gradient/0.weight"].steps == (0, 1, 2)


def test_predictions_may_be_tensors():
    """What argmax returns is what is kept; another number of labels than images is refused."""
    with watching() as (recorder, model, optimizer):
        never_log(recorder, model, optimizer)
        recorder.log(loss=1.0)
        images = torch.rand(12, 3, 8, 8)
        recorder.keep_predictions(images, torch.arange(12), torch.arange(12).flip(0))
        with pytest.raises(errors.RecorderError, match="another length"):
            recorder.keep_predictions(images, torch.arange(3), torch.arange(12))

    assert recorder.record.pictures["predictions"].predicted == tuple(range(11, 1, -1))


def test_a_recorder_is_a_line(baseline):
    """What it is called, and how far it is."""
    with Recorder(name="a") as recorder:
        assert repr(recorder) == "<Recorder a: float64, seed 0, recording>"
        model, optimizer = build()
        recorder.watch(model, optimizer)
        never_log(recorder, model, optimizer)
        recorder.log(loss=1.0)

    assert repr(Recorder(seed=3)) == "<Recorder training: float64, seed 3, no record>"
    assert repr(recorder) == f"<Recorder a: float64, seed 0, recorded {recorder.record!r}>"


def test_an_impossible_precision_is_refused():
    """The recorder takes what a recipe takes."""
    with pytest.raises(errors.ArgumentError, match="precision cannot be 'float16'"):
        Recorder(precision="float16")


@pytest.mark.parametrize("way", ["closure", "one optimizer a parameter"])
def test_noise_does_not_reach_adam_by_a_side_door(way):
    """Gradients made inside step(closure), or shared out to many optimizers, lose their rounding noise too."""
    with Recorder() as recorder:
        model, _ = build()
        parameters = [[p] for p in model.parameters()] if way != "closure" else [list(model.parameters())]
        optimizers = [torch.optim.Adam(group, lr=0.1) for group in parameters]
        for optimizer in optimizers:
            recorder.watch(model, optimizer)
        for images, labels in batches(4):
            recorder.batch(images, labels)

            def closure(images=images, labels=labels):
                model.zero_grad()
                loss = functional.cross_entropy(model(images), labels)
                loss.backward()
                return loss

            if way == "closure":
                loss = optimizers[0].step(closure)
            else:
                loss = closure()
                for optimizer in optimizers:
                    optimizer.step()
            recorder.log(loss=loss)

    assert set(recorder.record.streams["update/0.bias"].values) == {0.0}
    assert set(recorder.record.streams["gradient/0.bias"].values) == {0.0}
    assert min(recorder.record.streams["update/0.weight"].values) > 0


def test_a_logged_rate_is_named_as_the_schedule(baseline):
    """A loop that logs its learning rate: the rate of the optimizer is the cause, the logged one follows it."""

    def record(rate):
        with watching(rate=rate) as (recorder, model, optimizer):
            for images, labels in batches(2):
                recorder.batch(images, labels)
                loss = functional.cross_entropy(model(images), labels)
                recorder.log(lr=optimizer.param_groups[0]["lr"], loss=loss)
                loss.backward()
                optimizer.step()
        return recorder.record

    assert compare(record(0.1), record(0.101)).first_divergence == (0, "schedule", "learning_rate/0.weight")


def test_lazy_modules_are_recorded_from_their_first_pass():
    """Before it they have no shape."""
    with watching(lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(10))) as (recorder, *watched):
        train_on(recorder, *watched)

    assert recorder.record.structure["1.weight"]["shape"] == [10, 192]
    assert recorder.record.streams["gradient/1.weight"].steps == (0, 1, 2)


def test_batches_come_in_many_forms():
    """Lists of numbers, ranges, reversed and read-only arrays, complex numbers, nested mappings."""
    import numpy as np

    frozen = np.arange(6.0).reshape(2, 3)
    frozen.setflags(write=False)

    assert fingerprint([3, 1, 2]) == fingerprint(torch.tensor([3, 1, 2])) == fingerprint(np.array([3, 1, 2]))
    assert fingerprint(range(3)) == fingerprint([0, 1, 2])
    assert fingerprint(frozen[:, ::-1]) != fingerprint(frozen)
    assert fingerprint(torch.tensor([1 + 2j])) != fingerprint(torch.tensor([1 - 2j]))
    assert fingerprint({"a": torch.ones(2), "b": [1, 2]}) != fingerprint({"a": torch.ones(2), "b": [2, 1]})


def test_a_model_in_evaluation_mode_that_is_trained_has_a_loss():
    """Fine-tuning with frozen BatchNorm: whoever steps is training."""
    with watching(lambda: build()[0].eval()) as (recorder, *watched):
        train_on(recorder, *watched)

    assert recorder.record.streams["loss"].steps == (0, 1, 2)


def fitted(keep=False, tail=0, evaluates=True, mode=True):
    """A record of four steps; the best weights are restored at its end, or the last batches have no step."""
    with watching(lambda: nn.Linear(3, 2).train(mode)) as (recorder, model, optimizer):
        best = {name: value.clone() for name, value in model.state_dict().items()}
        for step in range(4 + tail):
            inputs = torch.rand(4, 3)
            if mode:
                recorder.batch(inputs)
            loss = model(inputs).square().mean()
            loss.backward()
            if step < 4:
                optimizer.step()
                optimizer.zero_grad()
            recorder.log(loss=loss)
        if evaluates:
            recorder.evaluation(loss=loss)
        if keep:
            model.load_state_dict(best)
        if tail:
            with torch.no_grad():
                model.weight.clamp_(-0.1, 0.1)
    return recorder.record


def test_what_moves_after_the_last_evaluation_is_recorded():
    """The model that is kept is the one that counts: best weights that are restored, or are no longer."""
    left, restored = fitted(), fitted(keep=True)
    weights = [record.streams["weight/weight"] for record in (left, restored)]

    assert [weight.steps for weight in weights] == [(0, 1, 2, 3), (0, 1, 2, 3, 3)]
    assert compare(restored, left).first_divergence[:2] == (3, "state")
    assert compare(restored, fitted(keep=True)).verdict == "same"


def test_a_model_in_evaluation_mode_is_followed_from_step_to_step():
    """Without batches its passes begin no step, but each step of its optimizer is one."""
    record = fitted(mode=False, evaluates=False)

    assert record.num_steps == 4
    assert record.streams["weight/weight"].steps == (0, 1, 2, 3)


def test_weights_may_be_bounded_after_an_accumulation_that_is_left_unfinished():
    """One batch without a step is a rest; its weights are in the record."""
    assert compare(fitted(), fitted(tail=1, evaluates=False)).verdict == "different"


@pytest.mark.parametrize(
    "labels",
    [
        lambda one: torch.tensor(one),
        lambda one: [{"boxes": torch.zeros(0, 4)}, {"boxes": torch.full((1, 4), one)}],
        lambda one: (one * torch.eye(3)).to_sparse(),
        lambda one: (one * torch.eye(3)).to_sparse_csr(),
        lambda one: torch.nested.nested_tensor([torch.ones(2), torch.full((3,), one)]),
    ],
    ids=["number", "no objects", "sparse", "rows", "nested"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:The PyTorch API of nested tensors")
def test_what_loops_train_on_is_a_batch(labels):
    """A single label, an image without objects, sparse and nested tensors: told from others like them."""
    assert fingerprint(labels(1.0)) == fingerprint(labels(1.0)) != fingerprint(labels(2.0))
