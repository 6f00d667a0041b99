"""Promises of train(): it repeats itself, resumes without a trace, and each fault of a loop is named where it sits."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from harness import Recipe, Record, compare, errors, recipes, train
from harness.shipped import loop as training
from harness.shipped.dataset import Dataset
from harness.shipped.load import load_dataset
from harness.shipped.loop import _Run
from tests.test_determinism import globals_now


BASELINES = Path(__file__).parents[1] / "baselines"
SHIPPED = ("cifar_cnn", "cifar_resnet", "article")


def tiny(**changes):
    """Fifteen steps under everything that a training can have: 5 an epoch, the last batch smaller, resume after 7."""
    fields = {
        "model": "cifar_resnet",
        "width": 2,
        "train_images": 37,
        "test_images": 20,
        "batch_size": 8,
        "warmup_steps": 3,
        "clip_norm": 0.5,
    }
    return Recipe(**{**fields, **changes})


def said(changes):
    """A test's id: what it changes in the tiny recipe."""
    return ",".join(f"{field}={value}" for field, value in changes.items()) or "tiny"


@pytest.fixture(scope="module")
def baseline():
    """Record of the tiny recipe without a fault."""
    return train(tiny())


def total_norms(record):
    """Norm of the whole gradient of each step, as the optimizer got it."""
    gradients = [stream.values for name, stream in record.streams.items() if name.startswith("gradient/")]
    return np.linalg.norm(np.array(gradients), axis=0)


# It repeats itself, and nothing but the seed decides.


@pytest.mark.parametrize("model", ["cifar_cnn", "cifar_resnet"])
@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_a_training_repeats_itself_to_the_last_bit(model, precision):
    """Twice the same recipe, twice the same text, in every precision."""
    recipe = tiny(model=model, precision=precision, epochs=2)
    record = train(recipe)

    assert train(recipe).to_text() == record.to_text()
    assert record.precision == precision
    assert record.non_finite() is None


def test_what_happened_before_does_not_matter(baseline):
    """Random states and settings that a caller left behind reach nothing."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(99)
        with torch.no_grad():
            assert train(tiny()).to_text() == baseline.to_text()


def test_another_seed_is_another_training(baseline):
    """Order, augmentation, weights and dropout all come from the seed."""
    comparison = compare(baseline, train(tiny(seed=1)))
    streams = {deviation.stream for deviation in comparison.deviations if deviation.step == 0}

    assert comparison.first_divergence == (0, "structure", "config/seed")
    assert {"batch/order", "batch/images", "init/block1.conv.weight", "loss"} <= streams


def test_precisions_are_other_trainings():
    """The same recipe in float64, float32 and bfloat16: three losses, close at the start."""
    losses = [train(tiny(precision=p, epochs=1)).streams["loss"].values for p in ("float64", "float32", "bfloat16")]

    assert len(set(losses)) == 3
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.2)  # weights are drawn in another dtype
    assert losses[2][0] == pytest.approx(losses[1][0], rel=0.02)


def test_bfloat16_is_autocast_over_float32_weights():
    """Weights stay float32, and start as those of the float32 training."""
    low, single = (train(tiny(precision=p, epochs=1, resume=False)) for p in ("bfloat16", "float32"))

    assert low.structure == single.structure
    assert {entry["dtype"] for entry in low.structure.values()} == {"float32", "int64"}
    assert beginning(low) == beginning(single)


def beginning(record):
    """What went in, and the weights that a training without resume started from."""
    return {name: stream for name, stream in record.streams.items() if stream.stage in ("data", "init")}


def test_each_purpose_has_a_generator_of_its_own(baseline):
    """Without augmentation the same images come in the same order; only their pixels differ."""
    comparison = compare(baseline, train(tiny(augmentation=False)))

    data = {deviation.stream for deviation in comparison.deviations if deviation.stage == "data"}
    assert data == {"batch/images", "batch/images order"}
    assert (0, "init") not in {(deviation.step, deviation.stage) for deviation in comparison.deviations}


def test_evaluation_leaves_no_trace_in_the_training(baseline):
    """More test images change the data set's fingerprint and the evaluation, nothing else."""
    comparison = compare(baseline, train(tiny(test_images=30)))

    assert {deviation.stage for deviation in comparison.deviations} == {"data", "evaluation"}


# It resumes without a trace.


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "cifar_cnn"},
        {"model": "cifar_resnet"},
        {"epochs": 2},
        {"optimizer": "adamw", "learning_rate": 0.01},
        {"ema_decay": None},
        {"precision": "float32"},
    ],
    ids=said,
)
def test_a_resumed_training_is_the_uninterrupted_one(changes):
    """Save, build anew, load: all there is to see is that it started again, with the very same weights."""
    recipe = tiny(**changes)
    straight = train(dataclasses.replace(recipe, resume=False))
    resumed = train(recipe)
    comparison = compare(straight, resumed)

    middle = recipe.num_steps // 2
    assert {(d.step, d.stage, d.baseline) for d in comparison.deviations} == {(middle, "init", None)}
    for deviation in comparison.deviations:
        kept = deviation.stream.removeprefix("init/")
        (before,) = [resumed.streams[s] for s in (f"weight/{kept}", f"buffer/{kept}") if s in resumed.streams]
        assert deviation.value == before.values[middle - 1]
    assert comparison.recipe == (("resume", False, True),)


FORGOTTEN = {
    "model": (7, "init", "init/block1.conv.weight"),
    "average": (7, "init", "init/average.module.block1.conv.weight"),
    "optimizer": (7, "schedule", "learning_rate/block1.conv.weight"),
    "schedule": (8, "schedule", "learning_rate/block1.conv.weight"),
    "random": (7, "data", "random/torch"),
    "augmentation": (7, "data", "batch/images"),
    "order": (10, "data", "batch/order"),
}


@pytest.mark.parametrize("part", FORGOTTEN)
def test_a_resume_that_forgets_a_part_is_found(baseline, monkeypatch, part):
    """Whatever is saved and not loaded shows at the resume, or as soon as it is used again."""
    load = _Run._load

    def forgetful(self, state):
        load(self, {**state, part: self._state()[part]})

    monkeypatch.setattr(_Run, "_load", forgetful)

    assert compare(baseline, train(tiny())).first_divergence == FORGOTTEN[part]


def test_a_resume_that_forgets_the_momentum_is_found(baseline, monkeypatch):
    """The optimizer's settings alone are not enough."""
    load = _Run._load

    def forgetful(self, state):
        load(self, {**state, "optimizer": {**state["optimizer"], "state": {}}})

    monkeypatch.setattr(_Run, "_load", forgetful)

    assert compare(baseline, train(tiny())).first_divergence == (7, "update", "update/block1.conv.weight")


# It does what the recipe says.


def rates(recipe, record):
    """The recorded learning rates, which must be the same in both groups."""
    (first, *others) = [s.values for name, s in record.streams.items() if name.startswith("learning_rate/")]
    assert others == [first]
    assert len(first) == recipe.num_steps
    return first


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_the_cosine_schedule_is_its_formula(optimizer, warmup):
    """Linear warm-up, then half a cosine from the peak down towards zero."""
    recipe = tiny(model="cifar_cnn", optimizer=optimizer, learning_rate=0.02, warmup_steps=warmup)
    after = 15 - warmup
    expected = [0.02 * (step + 1) / (warmup + 1) for step in range(warmup)]
    expected += [0.02 * (1 + math.cos(math.pi * step / after)) / 2 for step in range(after)]

    assert rates(recipe, train(recipe)) == pytest.approx(expected, rel=1e-13, abs=0)


def test_the_constant_schedule_stays_at_the_peak_after_the_warm_up():
    """Nothing decays."""
    recipe = tiny(schedule="constant", learning_rate=0.02)

    assert rates(recipe, train(recipe)) == pytest.approx([0.005, 0.01, 0.015, *[0.02] * 12], rel=1e-13)


def test_the_step_schedule_divides_by_ten_at_a_half_and_three_quarters():
    """Of 16 steps: 8 at the peak, 4 at a tenth, 4 at a hundredth."""
    recipe = tiny(schedule="step", learning_rate=0.02, train_images=32, epochs=4, warmup_steps=0)

    assert rates(recipe, train(recipe)) == pytest.approx([0.02] * 8 + [0.002] * 4 + [0.0002] * 4, rel=1e-13)


def test_the_step_schedule_counts_in_the_whole_run_with_a_warm_up_too():
    """The recipe says "at 1/2 and 3/4 of the run": steps 8 and 12 of 16, whatever the warm-up took."""
    recipe = tiny(schedule="step", learning_rate=0.02, train_images=32, epochs=4, warmup_steps=2)
    expected = [0.02 / 3, 0.04 / 3] + [0.02] * 6 + [0.002] * 4 + [0.0002] * 4

    assert rates(recipe, train(recipe)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("optimizer", "state"), [("sgd", {"momentum_buffer"}), ("adamw", {"exp_avg", "exp_avg_sq"})])
def test_the_optimizer_is_the_recipes(optimizer, state):
    """SGD leaves momentum behind, AdamW two averages."""
    record = train(tiny(optimizer=optimizer, epochs=1))

    assert {name.split("/")[2] for name in record.streams if name.startswith("optimizer/")} == state


def test_matrices_and_vectors_form_two_groups(baseline):
    """Kernels and matrices decay in one group; biases and BatchNorm stand in another."""
    trained = {name: entry for name, entry in baseline.structure.items() if not name.startswith("average.")}
    groups = {name: entry["group"] for name, entry in trained.items() if entry["requires_grad"]}

    assert set(groups.values()) == {"block1.conv.weight", "block1.norm.weight"}
    for name, group in groups.items():
        vector = len(trained[name]["shape"]) == 1
        assert group == ("block1.norm.weight" if vector else "block1.conv.weight"), name
    assert {entry["group"] for name, entry in baseline.structure.items() if name.startswith("average.")} == {None}


def test_only_matrices_decay(monkeypatch):
    """The second group's weight decay is zero."""
    groups = []
    original = torch.optim.SGD.__init__

    def spy(self, params, **options):
        groups.extend(params)
        original(self, params, **options)

    monkeypatch.setattr(torch.optim.SGD, "__init__", spy)
    train(tiny(epochs=1, resume=False, weight_decay=0.125))

    assert [group["weight_decay"] for group in groups] == [0.125, 0.0]


def test_clipping_limits_the_whole_gradient(baseline):
    """No step's total norm is above clip_norm; where it would be, it is clip_norm; small gradients stay."""
    free, clipped = (total_norms(train(tiny(clip_norm=limit, epochs=1))) for limit in (None, 0.5))

    assert clipped.max() <= 0.5
    assert free[0] > 0.5
    assert clipped[0] == pytest.approx(0.5, rel=1e-5)
    huge = train(tiny(clip_norm=1e6, epochs=1))
    np.testing.assert_array_equal(total_norms(huge), free)


@pytest.mark.parametrize("data", ["synthetic", "cifar10"])
@pytest.mark.parametrize("name", ["cifar_cnn", "cifar_resnet"])
def test_the_shipped_recipes_really_clip(name, data):
    """In the committed runs clipping is no dead branch: some steps stand at the limit, none above it."""
    limit = getattr(recipes, name)(data).clip_norm
    norms = total_norms(committed(name, data))

    assert norms.max() <= limit
    assert (norms > limit * (1 - 1e-5)).any()


def committed(name, data):
    """A shipped recipe's committed record."""
    (path,) = BASELINES.glob(f"*={name}-{data}.json")
    return Record.from_text(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("data", ["synthetic", "cifar10"])
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipes_record_is_small_enough_to_commit(name, data):
    """Under 200 KB of text."""
    (path,) = BASELINES.glob(f"*={name}-{data}.json")

    assert path.stat().st_size < 200_000


def test_micro_batches_add_up_to_the_batch():
    """Without BatchNorm one, two or three micro-batches are the same training, uneven ones too."""
    whole, halves, thirds = (train(tiny(model="cifar_cnn", accumulation=n)) for n in (1, 2, 3))

    for parts in (halves, thirds):
        comparison = compare(whole, parts)
        assert comparison.verdict == "same"
        assert comparison.largest < 1e-10


def test_micro_batches_are_really_taken(baseline):
    """BatchNorm sees the parts, so there accumulation is another training."""
    comparison = compare(baseline, train(tiny(accumulation=1)))

    assert comparison.first_divergence == (0, "structure", "config/accumulation")
    assert comparison.deviations[0].divergence == (0, "forward", "loss")


@pytest.mark.parametrize("stream", ["weight/{}block1.norm.weight", "buffer/{}block1.norm.running_var"])
@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_the_average_is_the_exponential_one(decay, stream):
    """Of weights and buffers; it starts as a copy of the model after the first step."""
    record = train(tiny(width=1, ema_decay=decay))  # one positive number in each of the two, so its norm is itself
    followed = record.streams[stream.format("")].values
    expected = [followed[0]]
    for value in followed[1:]:
        expected.append(decay * expected[-1] + (1 - decay) * value)

    assert record.streams[stream.format("average.module.")].values == pytest.approx(expected, rel=1e-13)


def test_the_average_is_evaluated_too(baseline):
    """Its loss is another one, and the model's own where it follows the model at once."""

    def losses(record):
        return [record.streams[f"evaluation/{name}"].values for name in ("loss", "average_loss")]

    model, average = losses(baseline)
    assert model != average
    model, average = losses(train(tiny(ema_decay=0.0)))
    assert average == pytest.approx(model, rel=1e-12)


def test_every_epoch_ends_in_an_evaluation(baseline):
    """Model and average, after the last step of each epoch, over all test images."""
    evaluated = {name: s for name, s in baseline.streams.items() if s.stage == "evaluation"}

    assert set(evaluated) == {
        *(f"evaluation/{name}" for name in ("loss", "accuracy", "count", "average_loss", "average_accuracy")),
        *(f"evaluation/class_accuracy[{k}]" for k in range(10)),
    }
    assert {stream.steps for stream in evaluated.values()} == {(4, 9, 14)}
    assert evaluated["evaluation/count"].values == (20, 20, 20)


def test_accuracies_are_shares_of_the_test_images(baseline):
    """Of 20 images, two a class: the accuracy is the mean of the classes', and fits the kept predictions."""
    stream = baseline.streams
    classes = np.array([stream[f"evaluation/class_accuracy[{k}]"].values for k in range(10)])

    assert set(classes.flat) <= {0.0, 0.5, 1.0}
    np.testing.assert_allclose(classes.mean(0), stream["evaluation/accuracy"].values, rtol=1e-15)
    kept = baseline.pictures["predictions"]
    right = [int(true == predicted) for true, predicted in zip(kept.labels, kept.predicted, strict=True)]
    assert len(right) == 10
    assert all(ok <= 2 * accuracy for ok, accuracy in zip(right, classes[:, -1], strict=True))


def test_a_class_without_test_images_shifts_no_other(monkeypatch):
    """An accuracy stands under its own class, also when the test images in use are of a few classes only."""
    dataset = load_dataset("synthetic")
    chosen = torch.isin(dataset.test_labels_N, torch.tensor([3, 7]))
    few = dataclasses.replace(
        dataset, test_images_NHWC=dataset.test_images_NHWC[chosen], test_labels_N=dataset.test_labels_N[chosen]
    )
    monkeypatch.setattr(training, "load_dataset", lambda name, cifar10: few)

    record = train(tiny(epochs=1))

    names = {name for name in record.streams if name.startswith("evaluation/class_accuracy")}
    assert names == {"evaluation/class_accuracy[3]", "evaluation/class_accuracy[7]"}


def test_a_record_says_what_was_trained():
    """Name, precision, seed, device, all fields of the recipe, and the images in use."""
    recipe = tiny(name="mine", seed=5, epochs=1)
    record = train(recipe)
    images = load_dataset("synthetic").first(37, 20)

    assert (record.name, record.precision, record.seed, record.device) == ("mine", "float64", 5, "cpu")
    assert record.recipe == recipe.to_dict()
    assert record.data == {"name": "synthetic", "sha256": images.sha256}
    assert record.environment["device"] == "cpu"
    assert record.environment["threads"] == "1"
    assert record.num_steps == recipe.num_steps == 5
    assert Record.from_text(record.to_text()) == record


def test_a_record_holds_pictures_of_what_went_in(baseline):
    """The first batch as augmented, and ten test images with what the model took them for."""
    assert baseline.pictures["batch"].shape == (8, 32, 32)
    assert baseline.pictures["predictions"].shape == (10, 32, 32)
    first = load_dataset("synthetic").test_images_NHWC[:10]
    assert baseline.pictures["predictions"].pixels == first.numpy().tobytes()


def test_progress_is_told_once_a_step(baseline):
    """Each step's number and loss, in order: what the record holds."""
    told = []
    train(tiny(), progress=lambda step, loss: told.append((step, loss)))

    assert told == list(zip(range(15), baseline.streams["loss"].values, strict=True))
    assert all(math.isfinite(loss) for _, loss in told)


# A model of one's own, and what can be wrong with it.


class Plain(nn.Module):
    """One linear layer; subclasses spoil its logits."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3 * 32 * 32, 10)
        self.calls = 0

    def forward(self, images_NCHW):
        """Return logits, spoilt."""
        self.calls += self.training
        return self.spoil(self.linear(images_NCHW.flatten(1)))

    def spoil(self, logits_NK):
        """Return them as they are."""
        return logits_NK


class NineClasses(Plain):
    """A column is missing."""

    def spoil(self, logits_NK):
        """Return nine logits an image."""
        return logits_NK[:, :9]


class Pair(Plain):
    """More than logits comes back."""

    def spoil(self, logits_NK):
        """Return a tuple."""
        return logits_NK, None


class NineInEvaluation(Plain):
    """A column is missing outside training."""

    def spoil(self, logits_NK):
        """Return nine logits an image in evaluation."""
        return logits_NK if self.training else logits_NK[:, :9]


class Constant(Plain):
    """Logits that no weight changes: every gradient is zero."""

    def spoil(self, logits_NK):
        """Return 0.0 to 0.9 for the ten classes."""
        return logits_NK * 0 + torch.arange(10) / 10


class NanAtStepFive(Plain):
    """The sixth training batch yields NaN."""

    def spoil(self, logits_NK):
        """Return NaN once."""
        return logits_NK * math.nan if self.training and self.calls == 6 else logits_NK


class Broken(Plain):
    """Raises, and leaves globals changed."""

    def spoil(self, logits_NK):
        """Raise at the third batch."""
        if self.calls == 3:
            torch.set_default_dtype(torch.float16)
            torch.set_num_threads(2)
            raise ZeroDivisionError
        return logits_NK


def own(model, **changes):
    """A recipe for a model of one's own that counts its calls, so one a step and no resume."""
    return tiny(model=model, accumulation=1, resume=False, **changes)


def test_a_model_of_ones_own_is_trained():
    """A function, here a class, that builds a module is a model like any other."""
    record = train(own(Plain))

    assert record.name == f"{__name__}.Plain"
    assert set(record.structure) == {
        "linear.weight",
        "linear.bias",
        "average.module.linear.weight",
        "average.module.linear.bias",
        "average.n_averaged",
    }


def test_an_evaluation_scores_the_logits():
    """Plain cross-entropy and accuracies of 13 images, classes 0 to 9 and 0 to 2, that all are taken for the last."""
    record = train(own(Constant, test_images=13, epochs=1))
    logits = [k / 10 for k in range(10)]
    labels = [*range(10), 0, 1, 2]
    normaliser = math.log(sum(map(math.exp, logits)))
    expected = {
        "loss": normaliser - sum(logits[label] for label in labels) / 13,
        "accuracy": 1 / 13,
        "count": 13,
        **{f"class_accuracy[{k}]": float(k == 9) for k in range(10)},
    }
    evaluated = {name: s.values[0] for name, s in record.streams.items() if s.stage == "evaluation"}

    for name, value in expected.items():
        assert evaluated[f"evaluation/{name}"] == pytest.approx(value, rel=1e-14), name
    assert set(record.pictures["predictions"].predicted) == {9}


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_its_formula(nesterov):
    """Without a gradient there is decay and momentum: the recursion of one number, for matrices only."""
    recipe = own(Constant, schedule="constant", warmup_steps=0, nesterov=nesterov, weight_decay=0.1, momentum=0.8)
    streams = train(recipe).streams
    weight, velocity, expected = streams["init/linear.weight"].values[0], 0.0, []
    for _ in range(15):
        decay = 0.1 * weight
        velocity = 0.8 * velocity + decay
        weight -= recipe.learning_rate * (decay + 0.8 * velocity if nesterov else velocity)
        expected.append(weight)

    assert streams["weight/linear.weight"].values == pytest.approx(expected, rel=1e-13)
    assert set(streams["update/linear.bias"].values) == {0.0}


def test_adamw_decays_apart_from_the_gradient():
    """Without a gradient each step takes the same share of a matrix, and nothing of a vector."""
    recipe = own(Constant, optimizer="adamw", schedule="constant", warmup_steps=0, weight_decay=0.1)
    streams = train(recipe).streams
    start = streams["init/linear.weight"].values[0]
    expected = [start * (1 - recipe.learning_rate * 0.1) ** (step + 1) for step in range(15)]

    assert streams["weight/linear.weight"].values == pytest.approx(expected, rel=1e-13)
    assert set(streams["update/linear.bias"].values) == {0.0}


@pytest.mark.parametrize(("model", "found"), [(NineClasses, "(8, 9)"), (Pair, "tuple")])
def test_an_output_that_is_no_row_of_logits_is_named(model, found):
    """The error says step, what came back, what was expected, and from which model."""
    with pytest.raises(errors.ModelError) as caught:
        train(own(model))

    assert str(caught.value) == (
        f"step 0: the model returned {found}, not logits of shape (8, 10)\n"
        f"  where  model {__name__}.{model.__name__}\n"
        "  fix    return one row of 10 logits an image"
    )


def test_a_wrong_output_in_evaluation_is_named_with_the_step_before_it():
    """The first evaluation follows step 4, under which a record keeps it."""
    with pytest.raises(errors.ModelError) as caught:
        train(own(NineInEvaluation))

    assert str(caught.value).splitlines()[0] == "step 4: the model returned (20, 9), not logits of shape (20, 10)"


def test_nan_is_found_where_it_first_stood():
    """The training goes on; its record names step and stage."""
    record = train(own(NanAtStepFive))

    assert record.non_finite()[:3] == (5, "forward", "loss")
    assert math.isnan(record.non_finite()[3])
    assert record.num_steps == 15


@pytest.mark.parametrize("model", [Plain, Broken])
def test_every_global_is_as_before(model):
    """After a training, and after one whose model raised."""
    before = globals_now()
    if model is Broken:
        with pytest.raises(ZeroDivisionError):
            train(own(model))
    else:
        train(own(model))

    assert globals_now() == before


def test_the_data_set_is_as_before(baseline):
    """Images are shared by all trainings of a process: none changes them."""
    train(tiny())

    assert load_dataset("synthetic").first(37, 20).sha256 == baseline.data["sha256"]


# What it refuses.


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"train_images": 2001},
            "the recipe asks for 2001 train images, but synthetic has 2000\n"
            "  where  Recipe(train_images=2001)\n"
            "  fix    ask for at most 2000",
        ),
        (
            {"test_images": 501},
            "the recipe asks for 501 test images, but synthetic has 500\n"
            "  where  Recipe(test_images=501)\n"
            "  fix    ask for at most 500",
        ),
    ],
    ids=["train", "test"],
)
def test_more_images_than_there_are_is_refused(changes, text):
    """The error says how many there are."""
    with pytest.raises(errors.DataError) as caught:
        train(tiny(**changes))

    assert str(caught.value) == text


def test_cifar10_without_a_path_is_refused(monkeypatch):
    """Nothing is downloaded unasked."""
    monkeypatch.delenv("HARNESS_CIFAR10", raising=False)

    with pytest.raises(errors.NoCifar10Error):
        train(tiny(data="cifar10"))


def test_an_unknown_model_is_refused():
    """The names of the shipped models are listed."""
    with pytest.raises(errors.ArgumentError, match="one of cifar_cnn, cifar_resnet, or a function"):
        train(tiny(model="vgg"))


def test_an_unknown_device_is_refused():
    """The known ones are listed."""
    with pytest.raises(errors.DeviceError, match="use one of cpu, cuda, mps"):
        train(tiny(), "tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_device_is_refused():
    """The error says how it was looked for."""
    with pytest.raises(errors.NoDeviceError, match=r"no cuda device \(torch\.cuda\.is_available\(\) is False\)"):
        train(tiny(), "cuda")


def test_float64_on_mps_is_refused_before_anything_is_built(monkeypatch):
    """MPS has no float64."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)

    with pytest.raises(errors.DevicePrecisionError, match="mps cannot compute in float64"):
        train(tiny(), "mps")


@pytest.mark.device("cuda")
@pytest.mark.parametrize(
    "changes",
    [{}, {"model": "cifar_cnn"}, {"optimizer": "adamw", "learning_rate": 0.01}, {"ema_decay": 0.9}],
    ids=said,
)
def test_a_gpu_trains_as_the_cpu_does(device, changes):
    """In float64 one baseline holds on both."""
    recipe = tiny(**changes)
    record = train(recipe, device)

    assert record.device == "cuda"
    assert compare(train(recipe), record).verdict == "same"


# Faults of a training loop: each is planted in ours and must be named with its step and stage.


def rate_too_high(monkeypatch):
    """The learning rate is off by a thousandth."""
    rate = training._rate
    monkeypatch.setattr(training, "_rate", lambda recipe, step: 1.001 * rate(recipe, step))


def schedule_never_steps(monkeypatch):
    """The schedule stays at its first value."""
    rate = training._rate
    monkeypatch.setattr(training, "_rate", lambda recipe, step: rate(recipe, 0))


def wrong_label(monkeypatch):
    """One label of the data set is wrong."""
    dataset = load_dataset("synthetic")
    labels_N = dataset.train_labels_N.clone()
    labels_N[11] = (labels_N[11] + 1) % 10
    wrong = dataclasses.replace(dataset, train_labels_N=labels_N)
    monkeypatch.setattr(training, "load_dataset", lambda name, cifar10: wrong)


def label_changed_on_the_way(monkeypatch):
    """The data set is right, but one label is changed after its fingerprint was taken."""
    first = Dataset.first

    def spoilt(self, train, test):
        chosen = first(self, train, test)
        digest, labels_N = chosen.sha256, chosen.train_labels_N.clone()
        labels_N[11] = (labels_N[11] + 1) % 10
        return Claimed(**{**vars(chosen), "train_labels_N": labels_N, "claimed": digest})

    monkeypatch.setattr(Dataset, "first", spoilt)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Claimed(Dataset):
    """A data set that claims a fingerprint."""

    claimed: str

    @property
    def sha256(self):
        """The claimed one."""
        return self.claimed


def no_shuffle(monkeypatch):
    """Images come in the order of the data set."""
    monkeypatch.setattr(training, "batches", lambda count, size, generator: iter(torch.arange(count).split(size)))


def no_flip(monkeypatch):
    """Images are cropped as always, and never mirrored."""

    def crop(images_NHWC, generator, padding=4):
        count, height, width, _ = images_NHWC.shape
        top, left = torch.randint(2 * padding + 1, (2, count), generator=generator).tolist()
        torch.randint(2, (count,), generator=generator)
        padded_NHWC = functional.pad(images_NHWC, (0, 0, padding, padding, padding, padding))
        crops = [padded_NHWC[n, top[n] : top[n] + height, left[n] : left[n] + width] for n in range(count)]
        return torch.stack(crops)

    monkeypatch.setattr(training, "crop_and_flip", crop)


def batchnorm_momentum(monkeypatch):
    """BatchNorm's running statistics follow faster."""
    build = training.build_model

    def spoilt(recipe):
        model = build(recipe)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.11
        return model

    monkeypatch.setattr(training, "build_model", spoilt)


def vectors_decay(monkeypatch):
    """Weight decay reaches the second group too."""
    build = training._optimizer

    def spoilt(recipe, model):
        optimizer = build(recipe, model)
        optimizer.param_groups[1]["weight_decay"] = recipe.weight_decay
        return optimizer

    monkeypatch.setattr(training, "_optimizer", spoilt)


def no_eval(monkeypatch):
    """model.eval() is forgotten."""
    monkeypatch.setattr(nn.Module, "eval", lambda self: self)


def no_train(monkeypatch):
    """model.train() is forgotten, so that training goes on in evaluation mode after the first evaluation."""
    train_mode = nn.Module.train
    monkeypatch.setattr(nn.Module, "train", lambda self, mode=True: self if mode else train_mode(self, mode))


def no_zero_grad(monkeypatch):
    """Gradients of earlier steps stay."""
    monkeypatch.setattr(torch.optim.SGD, "zero_grad", lambda self: None)


def plain_mean_of_parts(monkeypatch):
    """Each micro-batch counts as much as any other, however small it is."""
    loss = functional.cross_entropy

    def spoilt(logits, labels, reduction="mean", **options):
        value = loss(logits, labels, reduction=reduction, **options)
        return value * 4 / len(labels) if reduction == "sum" else value

    monkeypatch.setattr(functional, "cross_entropy", spoilt)


FAULTS = [
    (rate_too_high, {}, (0, "schedule", "learning_rate/block1.conv.weight")),
    (schedule_never_steps, {}, (1, "schedule", "learning_rate/block1.conv.weight")),
    (wrong_label, {}, (0, "data", "dataset")),
    (label_changed_on_the_way, {}, (3, "data", "batch/labels")),  # image 11 is in the fourth batch
    (no_shuffle, {}, (0, "data", "batch/order")),
    (no_flip, {}, (0, "data", "batch/images")),
    (batchnorm_momentum, {}, (0, "state", "buffer/block1.norm.running_mean")),
    (vectors_decay, {}, (0, "update", "update/block1.norm.weight")),
    (no_eval, {}, (4, "evaluation", "evaluation/loss")),
    (no_train, {}, (5, "forward", "loss")),
    (no_zero_grad, {}, (1, "backward", "gradient/block1.conv.weight")),
    (plain_mean_of_parts, {}, (4, "forward", "loss")),
    (None, {"momentum": 0.899}, (0, "update", "update/block1.conv.weight")),
    (None, {"nesterov": False}, (0, "update", "update/block1.conv.weight")),
    (None, {"weight_decay": 5.05e-4}, (0, "update", "update/block1.conv.weight")),
    (None, {"label_smoothing": 0.0}, (0, "forward", "loss")),
    (None, {"dropout": 0.11}, (0, "forward", "loss")),
    (None, {"dropout": 0.0}, (0, "forward", "loss")),
    (None, {"ema_decay": 0.901}, (1, "state", "weight/average.module.block1.conv.weight")),
    (None, {"clip_norm": None}, (0, "backward", "gradient/block1.conv.weight")),
    (None, {"clip_norm": 0.5001}, (0, "backward", "gradient/block1.conv.weight")),
    (None, {"warmup_steps": 4}, (0, "schedule", "learning_rate/block1.conv.weight")),
    (None, {"width": 3}, (0, "structure", "block1.conv.weight")),
]


@pytest.mark.parametrize(
    ("fault", "changes", "divergence"),
    [
        pytest.param(*each, id=each[0].__name__ if each[0] else said(each[1]), marks=[pytest.mark.long] * (index % 2))
        for index, each in enumerate(FAULTS)
    ],
)
def test_a_fault_is_named_by_step_stage_and_stream(baseline, monkeypatch, fault, changes, divergence):
    """Planted in our loop, each fault moves the numbers where it sits first, not where it ends."""
    if fault:
        fault(monkeypatch)

    assert compare(baseline, train(tiny(**changes))).deviations[0].divergence == divergence
