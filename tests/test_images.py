"""Promises of what a recorder keeps for figures: distributions, filters, activation maps, mistakes."""

import copy
import dataclasses
import io
import math

import matplotlib.text
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from harness import Recipe, Record, Recorder, errors, figures, train
from harness.record.pictures import HISTOGRAM_BINS
from harness.recording.class_names import names_in
from harness.recording.histograms import histogram
from harness.recording.images import confusion, filter_picture, mistakes, picture
from tests.test_figures import rms
from tests.test_record import record_of
from tests.test_recorder import batches, build, train_on, watching


def pixels_of(picture):
    """A picture as an array of shape (count, height, width, 3)."""
    return np.frombuffer(picture.pixels, dtype=np.uint8).reshape(*picture.shape, 3)


def run(*, steps=3, model=None, wrap=lambda model: model, evaluate=1, zero_first=True, to_none=True):
    """Record a loop; return the record, the final model, and the first and last gradient of its first layer."""
    gradients = []
    with watching(model or (lambda: build()[0])) as (recorder, model, optimizer):
        call = wrap(model)
        for images, labels in batches(steps):
            recorder.batch(images, labels)
            if zero_first:
                optimizer.zero_grad(set_to_none=to_none)
            loss = functional.cross_entropy(call(images), labels)
            loss.backward()
            optimizer.step()
            gradients.append(copy.deepcopy(next(model.parameters()).grad))
            if not zero_first:
                optimizer.zero_grad(set_to_none=to_none)
            recorder.log(loss=loss)
        model.eval()
        with torch.no_grad():
            for _ in range(evaluate):
                recorder.log(loss=functional.cross_entropy(call(images), labels))
    return recorder.record, model, gradients


def test_weights_are_counted_before_the_first_step_and_after_the_last():
    """A histogram's step is the one that begins with these weights, as with stored states."""
    record, model, _ = run()
    kept = record.histograms["weight/0.weight"]

    assert kept.steps == (0, 3)
    assert (kept.limits[1], kept.counts[1]) == histogram(model[0].weight)
    assert kept.counts[0] != kept.counts[1]
    assert {sum(counts) for counts in kept.counts} == {model[0].weight.numel()}


@pytest.mark.parametrize("zero_first", [True, False])
def test_gradients_are_counted_at_the_first_step_and_the_last(zero_first):
    """Also where the loop throws them away right after its step."""
    record, _, gradients = run(zero_first=zero_first)
    kept = record.histograms["gradient/0.weight"]

    assert kept.steps == (0, 2)
    assert [(limits, counts) for limits, counts in zip(kept.limits, kept.counts, strict=True)] == [
        histogram(gradients[0]),
        histogram(gradients[-1]),
    ]


def test_gradients_that_were_set_to_zero_are_not_counted_as_zeros():
    """What is gone is not shown: `zero_grad(set_to_none=False)` after the last step leaves the first step's alone."""
    record, _, _ = run(zero_first=False, to_none=False)

    assert record.histograms["gradient/0.weight"].steps == (0,)


def test_small_tensors_and_averages_have_no_histogram():
    """Ten numbers in 32 bins show nothing, and an average is no other training."""
    record = train(Recipe(width=4, epochs=1, train_images=128, test_images=20, resume=False))

    assert set(record.histograms) == {
        f"{kind}/{name}.weight" for kind in ("weight", "gradient") for name in ("conv1", "conv2", "conv3", "classifier")
    }


@given(st.lists(st.floats(width=64), min_size=HISTOGRAM_BINS, max_size=60))
def test_a_histogram_counts_every_finite_number_once(values):
    """Whatever is in a tensor: its finite numbers are between the limits, and no other is counted."""
    taken = histogram(torch.tensor(values, dtype=torch.float64))
    finite = [value for value in values if math.isfinite(value)]

    if taken:
        (low, high), counts = taken
        rounding = 1e-12 * max(map(abs, finite)) + 1e-300
        assert low <= min(finite) + rounding
        assert max(finite) <= high + rounding
        assert low < high or counts == (len(finite), *[0] * (HISTOGRAM_BINS - 1))
        assert (sum(counts), len(counts)) == (len(finite), HISTOGRAM_BINS)
    else:
        assert len(finite) < HISTOGRAM_BINS or max(map(abs, finite)) > 1e307


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(50, dtype=torch.bfloat16),
        torch.randn(50, dtype=torch.complex64),
        torch.eye(50).to_sparse(),
        torch.arange(50),
    ],
)
def test_any_kind_of_tensor_is_counted(tensor):
    """Low precision, complex (both parts), sparse (what is stored), integers."""
    limits, counts = histogram(tensor)

    assert sum(counts) >= 50
    assert limits[0] <= limits[1]


def test_of_a_large_tensor_a_sample_is_counted():
    """Evenly spaced elements: a histogram of a hundred million weights costs what one of a million does."""
    counts = histogram(torch.arange(2**21, dtype=torch.float32))[1]

    assert 2**19 < sum(counts) <= 2**20
    assert max(counts) < 1.1 * sum(counts) / HISTOGRAM_BINS


def test_ones_are_counted_as_ones():
    """A tensor of equal elements has limits without a width, and one bin."""
    assert histogram(torch.ones(50)) == ((1.0, 1.0), (50, *[0] * (HISTOGRAM_BINS - 1)))


@pytest.mark.parametrize(
    "elements",
    [
        [1.0] * 50,
        [0.125] * 50,
        [0.0, 1.0] * 25,  # at the ends, one of which is a power of two
        [-0.1, 0.0, 0.1] * 20,  # zero is between two bins
        [-1.0, 0.5, 1.0] * 20,
    ],
)
def test_rounding_moves_no_histogram(elements):
    """Elements that are an ulp apart are alike: they share a bin, also at its edge, and the limits stay."""
    exact = torch.tensor(elements, dtype=torch.float64)
    signs = torch.arange(len(exact)) % 2 * 2.0 - 1

    assert histogram(exact + 1e-16 * signs) == histogram(exact) == histogram(exact - 2e-16 * signs)
    assert sum(histogram(exact)[1]) == len(exact)


def test_limits_are_short():
    """Two digits, rounded outwards: another machine's last digit does not change a baseline."""
    values = torch.linspace(-0.123456, 0.98765, 100, dtype=torch.float64)

    assert histogram(values)[0] == (-0.13, 0.99)


def test_the_filters_are_those_of_the_end():
    """Grey is zero, black and white are the largest weight."""
    record, model, _ = run()
    weights_NCHW = model[0].weight.detach()
    filters = record.pictures["filters"]
    largest = float(weights_NCHW.abs().max())
    expected = ((weights_NCHW + largest) / (2 * largest) * 255).round().permute(0, 2, 3, 1)

    assert filters.limits == (-largest, largest)
    assert np.abs(pixels_of(filters) - expected.numpy()).max() <= 1


def test_a_layer_that_sees_no_image_has_no_filters():
    """Nor does one of zeros, or of patches larger than a picture may be."""
    assert filter_picture([torch.randn(4, 8, 3, 3), torch.randn(4, 3)]) is None
    assert filter_picture([torch.zeros(4, 3, 3, 3)]) is None
    assert filter_picture([torch.full((4, 3, 3, 3), math.nan)]) is None
    assert filter_picture([torch.randn(4, 3, 65, 65)]) is None
    assert filter_picture([torch.randn(400, 1, 16, 16)]).shape == (16, 16, 16)


def maps_of(record):
    """Names and shapes of a record's activation maps."""
    return {
        name.removeprefix("activation/"): picture.shape
        for name, picture in record.pictures.items()
        if name.startswith("activation/")
    }


def test_activation_maps_are_what_the_convolution_returned():
    """Of the first image of the evaluation, the channels in order, in 32 greys."""
    record, model, _ = run()
    *_, (images, _) = batches_of_the_run()
    with torch.no_grad():
        maps_CHW = model[0](images[:1])[0]
    kept = record.pictures["activation/0"]
    low, high = kept.limits
    drawn_CHW = low + pixels_of(kept)[..., 0] / 255 * (high - low)

    assert maps_of(record) == {"input": (1, 8, 8), "0": (4, 6, 6)}
    assert (low, high) == tuple(map(float, maps_CHW.aminmax()))
    assert np.abs(drawn_CHW - maps_CHW.numpy()).max() < (high - low) / 50


def batches_of_the_run():
    """The batches that `run` trained on."""
    with watching() as (recorder, model, optimizer):
        found = list(batches(3))
        functional.cross_entropy(model(found[0][0]), found[0][1]).backward()
        optimizer.step()
        recorder.log(loss=0.0)
    return found


def test_large_and_deep_models_keep_a_few_small_maps():
    """Six convolutions, the first and the last among them, six channels, at most 32 pixels a side."""

    def deep():
        convolutions = [nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(12)]
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)]
        return nn.Sequential(nn.Upsample(40), *convolutions, *pool)

    record, _, _ = run(model=deep)

    assert maps_of(record) == {"input": (1, 32, 32), **{str(1 + i): (6, 32, 32) for i in (0, 2, 4, 6, 8, 11)}}


def test_a_loop_without_evaluation_has_no_maps():
    """No forward pass is made for them."""
    assert not maps_of(run(evaluate=0)[0])


def test_no_hook_is_left_on_a_convolution():
    """Also where a convolution is never used; and a copy made in between carries none."""

    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.copies = []

        def forward(self, images):
            if not self.training:
                self.copies.append(copy.deepcopy(self.unused))
                torch.save(self.unused, io.BytesIO())
            return functional.pad(self.used(images).mean((2, 3)), (0, 6))

    _, model, _ = run(model=Partly, evaluate=2)

    assert not model.used._forward_hooks
    assert not model.unused._forward_hooks
    assert all(hook._notify is None for copied in model.copies for hook in copied._forward_hooks.values())


def test_maps_change_no_number():
    """The evaluation gives the same loss, bit for bit, on a plain model and on a compiled one, whose maps stay out."""
    plain, _, _ = run(evaluate=2)
    compiled, model, _ = run(evaluate=2, wrap=lambda model: torch.compile(model, backend="eager"))

    assert plain.streams == compiled.streams
    assert not model[0]._forward_hooks


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_maps_are_kept_in_any_mode_without_gradients(mode):
    """Also where the tensors of an evaluation may not be used in training any more."""
    with watching() as (recorder, model, optimizer):
        train_on(recorder, model, optimizer, 2)
        (images, _), *_ = batches(1)
        model.eval()
        with mode():
            model(images)

    assert maps_of(recorder.record) == {"input": (1, 8, 8), "0": (4, 6, 6)}


def test_a_model_that_never_ran_has_nothing_to_show():
    """A lazy model beside the trained one, which never gets its shapes, is no error."""
    with watching() as (recorder, model, optimizer):
        lazy = nn.LazyConv2d(4, 3)
        recorder.watch(lazy, torch.optim.SGD(lazy.parameters(), lr=0.1), name="lazy")
        train_on(recorder, model, optimizer, 2)

    assert "filters" in recorder.record.pictures
    assert not [name for name in recorder.record.histograms if "lazy" in name]


def test_dead_maps_are_left_out():
    """A convolution that returns one number everywhere has nothing to show."""

    def dead():
        model, _ = build()
        nn.init.zeros_(model[0].weight)
        nn.init.zeros_(model[0].bias)
        model[0].requires_grad_(False)
        return model

    assert maps_of(run(model=dead)[0]) == {"input": (1, 8, 8)}


FORMS = {
    "NHWC": lambda images: images,
    "NCHW": lambda images: images.permute(0, 3, 1, 2),
    "array": lambda images: images.numpy(),
    "one each": list,
    "one each, channels first": lambda images: [image.permute(2, 0, 1) for image in images],
    "in a mapping": lambda images: {"ids": torch.arange(len(images)), "pixels": images},
    "float": lambda images: images.permute(0, 3, 1, 2).double() / 255,
    "float32, channels last": lambda images: images.float() / 255,
    "whole numbers": lambda images: images.long(),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", FORMS)
def test_images_are_kept_in_every_form(form, channels):
    """Channels first or last, pixels or numbers, together or one each: one picture, grey as three channels."""
    images = torch.arange(4 * 8 * 8 * channels).remainder(256).to(torch.uint8).reshape(4, 8, 8, channels)
    kept = picture(FORMS[form](images), [0, 1, 2, 3])

    assert np.array_equal(pixels_of(kept), images.expand(-1, -1, -1, 3).numpy())
    assert kept.labels == (0, 1, 2, 3)


@pytest.mark.parametrize("moved", [lambda x: x * 1.001, lambda x: x * 1.5, lambda x: x + 0.5])
def test_images_of_another_scale_are_seen(moved):
    """Numbers are stretched to pixels: what black and white stand for is kept, in digits and on the sheet."""
    images = torch.linspace(-2.1, 2.6, 2 * 8 * 8).reshape(2, 1, 8, 8)
    before, now = (record_of({}, pictures={"batch": picture(batch)}) for batch in (images, moved(images)))
    words = [text.get_text() for text in figures.batch_grid(before, labelled=True).texts]

    assert before.pictures["batch"].pixels == now.pictures["batch"].pixels
    assert rms(figures.batch_grid(before), figures.batch_grid(now)) > 2
    assert "in the numbers of the images black is -2.1, white 2.6" in words


def test_grey_images_need_no_channel():
    """As the data sets of digits hold them."""
    assert picture(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape == (2, 28, 28)


@pytest.mark.parametrize(("side", "kept"), [((96, 96), (64, 64)), ((65, 300), (13, 64)), ((1, 500), (1, 64))])
def test_large_images_are_averaged_down(side, kept):
    """To the largest size that is kept, as exact area means: what is flat stays flat, and halves are what they were."""
    images = torch.zeros(1, *side, 3, dtype=torch.uint8)
    images[:, :, side[1] // 2 :] = 201
    pixels = pixels_of(picture(images))

    assert pixels.shape == (1, *kept, 3)
    assert set(pixels[0, :, : kept[1] // 2 - 1].flat) == {0}
    assert set(pixels[0, :, kept[1] // 2 + 1 :].flat) == {201}


def test_an_area_mean_is_exact():
    """Three pixels of which two are shared by halves: (2 a + b) / 3 and (b + 2 c) / 3, rounded."""
    row = torch.tensor([10, 20, 240], dtype=torch.uint8).repeat(32)  # 96 pixels, 64 are kept
    pixels = pixels_of(picture(row[None, None, :, None]))[0, 0, :, 0]

    assert pixels.tolist() == [13, 167] * 32  # 40/3 and 500/3


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (torch.zeros(2, 4, 8, 8), "what went in, of shape (2, 4, 8, 8), is no image of 1 or 3 channels"),
        (
            [torch.zeros(2, 5), torch.zeros(7)],
            "what went in, of shape (2, 5) and (7,), is no image of 1 or 3 channels",
        ),
        ([torch.zeros(3, 5, 5), torch.zeros(3, 5, 7)], "the images differ in size"),
        (torch.full((2, 3, 8, 8), math.nan), "there is NaN or infinity in the images"),
        ("words", "there is no tensor in it"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_drawn_is_said(images, reason):
    """Nothing is left out silently."""
    assert picture(images) == reason


def step_of(recorder, inputs, **kept):
    """One step of a small model on a batch, and predictions if any are to be kept."""
    model, optimizer = build()
    recorder.watch(model, optimizer)
    recorder.batch(inputs)
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    recorder.log(loss=0.0)
    if kept:
        recorder.keep_predictions(**kept)


def test_a_figure_says_why_its_images_are_not_kept():
    """Of a call that was made, also after the record was stored: word for word, and never only the call itself."""
    with Recorder() as recorder:
        bands = torch.zeros(2, 4, 8, 8)
        step_of(recorder, bands, images=bands, labels=[0, 120], predicted=[0, 1], confidence=[0.5, 0.5])
    record = Record.from_text(recorder.record.to_text())
    shape = "what went in, of shape (2, 4, 8, 8), is no image of 1 or 3 channels"
    reasons = {
        "batch_grid": f"batch images: {shape}",
        "prediction_grid": f"prediction images: {shape}",
        "mistakes": f"mistakes: {shape}",
        "confusion_matrix": "confusion matrix: labels are not all from 0 to 99",
    }

    for name, reason in reasons.items():
        with pytest.raises(errors.NotRecordedError) as caught:
            getattr(figures, name)(record)
        assert caught.value.what == f"the record of training holds no {reason}"


def test_a_later_call_that_can_be_drawn_leaves_no_reason():
    """What is there is not said to be missing."""
    images = torch.zeros(2, 3, 96, 96)
    with Recorder() as recorder:
        step_of(recorder, images, images=torch.zeros(2, 5), labels=[0, 1], predicted=[0, 0])
        recorder.keep_predictions({"pixels": images}, [0, 1], [0, 0], confidence=[0.5, 0.5])

    assert recorder.record.undrawn == {}
    assert recorder.record.pictures.keys() >= {"batch", "predictions", "mistakes"}


def test_classes_have_the_names_that_the_recorder_was_given():
    """In grids and figures by class, after the record was stored; what has no name keeps its number."""
    with Recorder(class_names=["cat", "a $d$og of a very long name"]) as recorder:
        images = torch.zeros(3, 3, 8, 8)
        step_of(recorder, images, images=images, labels=[0, 1, 2], predicted=[1, 1, 2])
    record = Record.from_text(recorder.record.to_text())

    for name in ("prediction_grid", "confusion_matrix", "class_accuracy"):
        texts = getattr(figures, name)(record, labelled=True).findobj(matplotlib.text.Text)
        words = "\n".join(text.get_text() for text in texts)
        assert all(part in words for part in ("cat", "a $d$og...ong name")), name
    assert np.array_equal(*(drawn_by(record, names) for names in (record.class_names, ())))


class Named(torch.utils.data.TensorDataset):
    """A data set that names its classes, as torchvision's do."""

    classes = ("cat", ("dog", "hound"))


def test_classes_have_the_names_that_the_data_set_has():
    """Of the first loader that is iterated, whatever it takes of the set; what the recorder was told goes before."""
    whole = Named(torch.zeros(2, 3, 8, 8), torch.tensor([0, 1]))
    for told, expected in (((), ("cat", "dog")), (("a", "b"), ("a", "b"))):
        with Recorder(class_names=told) as recorder:
            for images, labels in torch.utils.data.DataLoader(torch.utils.data.Subset(whole, [1, 0]), batch_size=2):
                step_of(recorder, images, images=images, labels=labels, predicted=[1, 1])
        assert recorder.record.class_names == expected


@pytest.mark.parametrize("classes", [None, 3, "cat", [1, 2], [""], ["many"] * 101])
def test_what_is_no_list_of_names_in_a_data_set_names_nothing(classes):
    """It is somebody's own, and no mistake."""
    data = torch.utils.data.TensorDataset(torch.zeros(1))
    data.classes = classes

    assert names_in(torch.utils.data.DataLoader(data)) == ()


def drawn_by(record, names):
    """Pixels of a gated figure of a record with some names of classes."""
    figure = figures.confusion_matrix(dataclasses.replace(record, class_names=names))
    return figure.images[0].get_array()


@pytest.mark.parametrize("names", ["cat", ["cat", ""], ["cat", 2], {0: "cat"}, 3])
def test_what_is_no_list_of_names_is_refused(names):
    """Before anything is trained."""
    with pytest.raises(errors.ArgumentError, match="class_names cannot be") as caught:
        Recorder(class_names=names)
    assert caught.value.fix.startswith("class_names must be a list of texts")


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray, list])
def test_mistakes_are_the_surest_first(kind):
    """Only wrong ones, with label, prediction and confidence; NaN is no confidence."""
    images = torch.randint(256, (9, 8, 8, 3), dtype=torch.uint8)
    confidence = [0.2, 0.9, 0.4, math.nan, 0.5, 0.6, 0.7, 0.8, 0.3]
    labels, predicted = [1] * 9, [2, 1, 2, 2, 2, 2, 2, 2, 2]
    given = {"labels": labels, "predicted": predicted, "confidence": confidence}
    with Recorder() as recorder:
        step_of(recorder, images, images=images, **{name: kind(values) for name, values in given.items()})
    kept = recorder.record.pictures["mistakes"]

    assert kept.confidence == (0.8, 0.7, 0.6)
    assert (kept.labels, kept.predicted) == ((1,) * 3, (2,) * 3)
    assert np.array_equal(pixels_of(kept), images[[7, 6, 5]].numpy())


def test_without_a_mistake_there_is_no_picture_of_one():
    """A perfect model, or one that gave no confidence."""
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)

    assert mistakes(images, [1, 2], [1, 2], [0.9, 0.9]) == "no image of known confidence was taken for another class"
    assert mistakes(images, [1, 2], [2, 1], []) == "no confidence was given"


def test_later_predictions_take_the_place_of_earlier_ones():
    """A mistake of an early evaluation is not shown as one of the last."""
    images = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)
    with Recorder() as recorder:
        step_of(recorder, images)
        recorder.keep_predictions(images, [0, 1], [1, 1], confidence=[0.5, 0.5])
        recorder.keep_predictions(images, [0, 1], [0, 1], confidence=[0.5, 0.5])
        with pytest.raises(errors.RecorderError, match="another length"):
            recorder.keep_predictions(images, [0, 1], [0, 1], confidence=[0.5])

    assert "mistakes" not in recorder.record.pictures
    assert recorder.record.confusion == ((1, 0), (0, 1))


def test_the_confusion_matrix_counts_every_image():
    """Rows are true classes, columns predicted ones; labels that count nothing make none."""
    assert confusion([0, 0, 2], [0, 1, 2]) == ((1, 1, 0), (0, 0, 0), (0, 0, 1))
    assert confusion([0, 100], [0, 0]) == ()
    assert confusion([0, -100], [0, 0]) == ()
    assert confusion([], []) == ()


def test_the_shipped_trainings_keep_it_all():
    """One training of our own loop has what every figure needs, of its last evaluation."""
    record = train(Recipe(width=4, epochs=1, train_images=128, test_images=50, resume=False))

    assert set(record.pictures) == {
        "batch", "predictions", "mistakes", "filters",
        "activation/input", "activation/conv1", "activation/conv2", "activation/conv3",
    }  # fmt: skip
    assert sum(map(sum, record.confusion)) == 50
    right = sum(row[i] for i, row in enumerate(record.confusion))
    assert record.streams["evaluation/accuracy"].values[-1] == right / 50
