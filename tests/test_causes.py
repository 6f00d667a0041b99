"""Promises of causes: what a training is set up with is told before what it moves, and judges nothing."""

import dataclasses
import random
from collections import namedtuple
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, TensorDataset

from harness import Recorder, compare, errors
from harness.record import Stream, StreamKey
from harness.record.matching import in_names_of
from harness.recording import causes, generators
from harness.recording.batches import named_parts, shapes, size
from harness.recording.determinism import deterministic
from harness.recording.stream_builder import StreamBuilder
from harness.recording.watched_model import WatchedModel
from harness.report.comparison_text import failure
from tests.test_record import record_of


class Loop:
    """A tiny loop; each test changes one of its parts."""

    eps = 1e-5
    optimizer = torch.optim.SGD
    config = None
    options = MappingProxyType({"lr": 0.1, "momentum": 0.9})
    steps = 4

    def build(self):
        """A model with two modes."""
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, eps=self.eps), nn.Dropout(0.2), nn.Linear(6, 3))

    def batches(self):
        """Images and labels."""
        for _ in range(self.steps):
            yield torch.rand(8, 4), torch.randint(3, (8,))

    def batch(self, images, labels):
        """What the recorder is given."""
        return images, labels

    def begin_step(self, step):
        """Nothing."""

    def train_mode(self, model, step):
        """As it should be."""
        model.train()

    def evaluate(self, model, images):
        """As it should be."""
        model.eval()
        with torch.no_grad():
            model(images)
        return 1.0

    def record(self):
        """What a recorder sees of it."""
        with Recorder(config=self.config) as recorder:
            model = self.build()
            optimizer = self.optimizer(model.parameters(), **self.options)
            recorder.watch(model, optimizer)
            for step, (images, labels) in enumerate(self.batches()):
                self.begin_step(step)
                self.train_mode(model, step)
                recorder.batch(*self.batch(images, labels))
                loss = functional.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
                if step % 2:
                    recorder.evaluation(accuracy=self.evaluate(model, images))
        return recorder.record


@pytest.fixture(scope="module")
def baseline():
    """Record of the loop as it should be."""
    return Loop().record()


def loop(**changes):
    """The loop with other parts."""
    return type("Changed", (Loop,), changes)()


def eval_forgotten(self, model, images):
    """The evaluation runs in training mode, and its metric does not show it."""
    with torch.no_grad():
        model(images)
    return 1.0


def drawn_otherwise(source):
    """What draws a number of a generator before step 2."""

    def begin_step(self, step):
        if step == 2:
            {"python": random.random, "numpy": np.random.rand, "torch": lambda: torch.rand(1)}[source]()

    return begin_step


def only_first(self, model, step):
    """`model.train()` before the loop, instead of in it."""
    if not step:
        model.train()


def frozen_norm(self, model, step):
    """BatchNorm keeps its statistics."""
    model.train()
    model[1].eval()


def smaller(self):
    """Batches of 7."""
    for images, labels in Loop.batches(self):
        yield images[:7], labels[:7]


def reshaped(self, images, labels):
    """The same numbers in another shape."""
    return images.view(8, 2, 2), labels


CAUSES = {
    "momentum": (
        {"options": {"lr": 0.1, "momentum": 0.8}},
        "schedule, momentum of all parameters",
        "0.9",
        "0.8",
    ),
    "class": ({"optimizer": torch.optim.RMSprop}, "schedule, optimizer of all parameters", "SGD", "RMSprop"),
    "eps": ({"eps": 1e-3}, "structure, settings of module 1", "eps=1e-05", "eps=0.001"),
    "eval": (
        {"evaluate": eval_forgotten},
        "evaluation, mode of the model in evaluation",
        "evaluation, gradients off",
        "training, gradients off",
    ),
    "train": (
        {"train_mode": only_first},
        "forward, mode of the model",
        "training, gradients on",
        "evaluation, gradients on",
    ),
    "norm": (
        {"train_mode": frozen_norm},
        "forward, mode of the model",
        "training, gradients on",
        "training but 1 evaluation, gradients on",
    ),
    "size": ({"batches": smaller}, "data, size of the batch", "8", "7"),
    "shape": ({"batch": reshaped}, "data, shape of images in the batch", "8x4", "8x2x2"),
}
"""What is changed, and how it is told: its place, the former and the present value."""
MOVED = {"eval": 1, "train": 2}
"""Steps that are not the first."""


@pytest.mark.parametrize("name", CAUSES)
def test_a_cause_is_told_first(baseline, name):
    """The headline names what was changed, and the row below gives both values."""
    changes, place, before, now = CAUSES[name]
    headline, *rows = failure(compare(baseline, loop(**changes).record())).splitlines()
    since = "from the start" if place.startswith("structure") else f"from step {MOVED.get(name, 0)} on"

    assert headline == f"training differs from its baseline {since}: {place}"
    assert f"  first      step {MOVED.get(name, 0)}   baseline {before}   now {now}" in rows


@pytest.mark.parametrize("source", ["python", "numpy"])
def test_a_draw_that_nothing_uses_is_noted(baseline, source):
    """A generator is in another state from the next step on, which alone is no difference."""
    comparison = compare(baseline, loop(begin_step=drawn_otherwise(source)).record())

    assert comparison.record.clues[f"random/{source}"].steps == (0, 2)
    assert comparison.verdict == "same"


def test_other_random_numbers_are_told_between_two_steps(baseline):
    """A draw more moves what is drawn later, and is told first."""
    lines = failure(compare(baseline, loop(begin_step=drawn_otherwise("torch")).record())).splitlines()

    assert lines[0] == "training differs from its baseline from step 2 on: data, random numbers of torch"
    assert "  first      other random numbers were drawn between the starts of steps 1 and 2" in lines


@pytest.mark.parametrize("steps", [3, 5])
def test_where_a_training_ends_no_random_numbers_are_told(baseline, steps):
    """Those of the end and of a step's start are others at another moment: the first thing that is missing is told."""
    lines = failure(compare(baseline, loop(steps=steps).record())).splitlines()

    assert lines[0] == f"training differs from its baseline from step {min(steps, 4)} on: data, size of the batch"
    assert f"  steps      {steps} in all, baseline 4" in lines


def test_a_parametrization_is_a_setting_of_its_module():
    """Torch gives a module another class for it, which alone is no more than a name."""

    def record(wrap):
        with Recorder() as recorder:
            model = nn.Sequential(nn.Linear(4, 6), wrap(nn.Linear(6, 3)))
            recorder.watch(model)
            model(torch.ones(2, 4)).sum().backward()
            recorder.step()
            recorder.log()
        return recorder.record

    before, now = record(parametrizations.spectral_norm), record(lambda module: module)
    headline, *rows = failure(compare(before, now)).splitlines()
    said = "Linear(in_features=6, out_features=3, bias=True"

    assert headline.endswith("from the start: structure, settings of module 1")
    assert f"  first      step 0   baseline {said}, weight=_SpectralNorm)   now {said})" in rows


HARMLESS = {
    "fused": {"options": {**Loop.options, "foreach": True}},
    "gradients": {"evaluate": lambda self, model, images: float(model.eval()(images).isfinite().all())},
    "class": {"optimizer": type("Renamed", (torch.optim.SGD,), {})},
    "drawn": {"begin_step": drawn_otherwise("python")},
    "config": {"config": {"workers": 2}},
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_cause_that_moves_nothing_is_no_difference(baseline, name):
    """Gradients in an evaluation, another implementation: noted, and the verdict is "same"."""
    record = loop(**HARMLESS[name]).record()

    assert (record.clues, record.recipe) != (baseline.clues, baseline.recipe)
    assert compare(baseline, record).verdict == "same"


def test_a_configuration_is_told_first():
    """Nested, by dotted name."""
    former, present = (
        loop(config={"optimizer": {"lr": rate, "betas": (0.9, 0.99)}}, options={"lr": rate}).record()
        for rate in (0.1, 0.2)
    )
    lines = failure(compare(former, present)).splitlines()

    assert former.recipe == {"optimizer.lr": 0.1, "optimizer.betas": [0.9, 0.99]}
    assert lines[0] == "training differs from its baseline from the start: structure, optimizer.lr of the configuration"
    assert "  first      step 0   baseline 0.1   now 0.2" in lines


@pytest.mark.parametrize("config", [5, {"a": {"b": torch.ones(2)}}, {"rate": float("nan")}, {"a": [{"b": 1}]}])
def test_a_configuration_holds_plain_values(config):
    """What JSON does not hold is refused with its name."""
    with pytest.raises(errors.ArgumentError, match="config cannot be"):
        Recorder(config=config)


# --- what is noted


class Exotic(nn.Linear):
    """A module that says where it lies in memory, and more than anybody wants to read."""

    def extra_repr(self):
        """Another text in each process."""
        return f"{object()}, {'x' * 300}"


class Broken(nn.Linear):
    """A module that cannot say what it is."""

    def extra_repr(self):
        """Nothing yet."""
        return self.later


def test_a_module_says_the_same_in_every_process():
    """No addresses, no more than 200 characters, and what cannot say anything has its class."""
    texts = causes.modules(nn.Sequential(Exotic(2, 2), Broken(2, 2)), "net.")

    assert texts["module/net"] == "Sequential()"
    assert texts["module/net.0"].startswith("Exotic(<object object>, xxx")
    assert (len(texts["module/net.0"]), texts["module/net.1"]) == (200, "Broken()")


def test_settings_are_plain_values_of_groups():
    """Numbers as they are, other plain values as texts; what is neither is left out, and so is the rate in effect."""
    group = {"params": [], "lr": 0.1, "initial_lr": 0.2, "betas": (0.9, torch.tensor(0.99, dtype=torch.float64))}
    group |= {"fused": None, "nesterov": True, "rule": "cosine", "most": float("inf"), "hook": print, "odd": [print]}
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters())

    assert causes.settings(optimizer, [("w", group)]) == {
        "setting/w/optimizer": "SGD",
        "setting/w/initial_lr": 0.2,
        "setting/w/betas": "(0.9, 0.99)",
        "setting/w/fused": "None",
        "setting/w/nesterov": "True",
        "setting/w/rule": "cosine",
        "setting/w/most": "inf",
    }


def test_settings_that_join_or_are_written_into_are_noted():
    """Settings of the same objects are read once: not where a name, a group or the inside of a value is another."""
    builder, betas, model = StreamBuilder(), [0.9, 0.99], nn.Linear(2, 2).double()
    noting, optimizer, watched = (
        causes.Causes(builder),
        torch.optim.SGD([model.weight]),
        WatchedModel(model, "", "float64"),
    )
    [group] = optimizer.param_groups

    def changed(step, **settings):
        group.update(settings)
        noting.set_rates(optimizer, watched.share(optimizer), step)

    changed(0, betas=betas)
    changed(1, rule=None)
    betas[0] = 0.8
    changed(2)
    del group["betas"]
    changed(3, params=[model.bias])
    changed(4, most=None)

    steps = {key: stream.steps for key, stream in builder.streams()[1].items()}
    assert (steps["setting/weight/betas"], steps["setting/weight/rule"]) == ((0, 2), (1,))
    assert (steps["setting/bias/rule"], steps["setting/bias/most"]) == ((3,), (4,))


def test_settings_that_are_the_same_objects_are_read_once(monkeypatch):
    """A rate that a schedule moves is no reason to read them anew; a parameter that joins is."""
    model, reads = nn.Linear(2, 2).double(), []
    noting, optimizer, watched = (
        causes.Causes(StreamBuilder()),
        torch.optim.SGD([model.weight]),
        WatchedModel(model, "", "float64"),
    )
    monkeypatch.setattr(causes, "settings", lambda *given: reads.append(given) or {})
    for rate in (0.1, 0.2):
        optimizer.param_groups[0]["lr"] = rate
        noting.set_rates(optimizer, watched.share(optimizer), 0)
    assert len(reads) == 1
    optimizer.param_groups[0]["params"].append(model.bias)
    noting.set_rates(optimizer, watched.share(optimizer), 0)
    assert len(reads) == 2


def test_a_mode_names_few_modules():
    """The topmost of those in the other mode, and how many more there are."""
    model = nn.Sequential(*(nn.Sequential(nn.Dropout()) for _ in range(5)), nn.Sequential(nn.Linear(2, 2)))
    for part in model[:5]:
        part.eval()

    assert causes.mode(model) == "training but 0, 1, 2 and 2 more evaluation, gradients on"
    assert causes.mode(model.eval()) == "evaluation, gradients on"


def loaded(**options):
    """What was noted of a loader's epochs."""
    data = TensorDataset(torch.arange(6.0, dtype=torch.float64)[:, None])
    with Recorder() as recorder:
        model = nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(2):  # a loader that is made anew is the same
            for (images,) in DataLoader(data, 3, **options):
                recorder.batch(images)
                loss = model(images).mean()
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
    return recorder.record


def test_a_data_loader_is_a_cause_of_other_data():
    """Sampler, batch size and the rest are noted when it is iterated; the state of its generator in each step."""
    former, present = loaded(), loaded(shuffle=True, generator=torch.Generator().manual_seed(3))
    keys = {key.removeprefix("loader/0/"): stream.values for key, stream in former.clues.of("loader")}

    assert keys == {
        "sampler": ("SequentialSampler",),
        "batch_size": (3,),
        "drop_last": ("False",),
        "workers": (0,),
        "start_method": ("None",),
        "persistent_workers": ("False",),
    }
    assert [*compare(former, present).first_divergence] == [0, "data", "loader/0/sampler"]
    assert present.clues["random/loader 0"].steps == (0, 2)


@pytest.mark.parametrize(("entry", "hint"), [("workers", True), ("sampler", False)])
def test_other_workers_point_to_the_equivalence_of_trainings(entry, hint):
    """What they draw is another sample of the same: no record can be equal, but several seeds can be compared."""
    former, present = (
        dataclasses.replace(loaded(), streams={"batch/images": Stream("data", (2,), (print_,)), "loss": LOSS})
        for print_ in ("a", "b")
    )
    for record, value in ((former, 0), (present, 2)):
        record.clues[StreamKey(f"loader/0/{entry}")] = Stream("data", (0,), (value,))
    rows = failure(compare(former, present)).splitlines()

    assert rows[0].endswith(f"from step 0 on: data, {entry} of data loader 0")
    text = "other workers may draw other numbers: --training-equivalence judges by several seeds whether that matters"
    assert (f"  hint       {text}" in rows) == hint


LOSS = Stream("forward", (0, 1, 2), (1.0, 1.0, 1.0))


def test_a_strange_object_is_left_out():
    """What cannot be noted of somebody's loader, or optimizer, is no concern of the record."""
    builder = StreamBuilder()
    noted = causes.Causes(builder)
    noted.iterate(SimpleNamespace(), 0)
    noted.set_rates(None, [("w", None)], 0)

    assert builder.streams() == ({}, {})


def test_digests_tell_states_apart():
    """Of each kind of generator, also one of NumPy's that somebody has put in; looking at it draws nothing."""
    given = torch.Generator().manual_seed(0)

    def found(**others):
        return generators.digests(generators.states(others))

    def drawn(draw):
        with deterministic("float64", 0):
            before = found(mine=given)
            assert found(mine=given) == before
            draw()
            return [name for name, digest in found(mine=given).items() if digest != before[name]]

    assert drawn(random.random) == ["random/python"]
    assert drawn(np.random.rand) == ["random/numpy"]
    assert drawn(lambda: torch.rand(1)) == ["random/torch"]
    assert drawn(lambda: torch.rand(1, generator=given)) == ["random/mine"]
    own, mine = np.random.get_bit_generator(), np.random.PCG64(1)
    np.random.set_bit_generator(mine)
    try:
        before = found()
        np.random.rand()
        assert found()["random/numpy"] != before["random/numpy"]
    finally:
        np.random.set_bit_generator(own)


# --- the parts of a batch


@dataclass
class Pair:
    """A batch of somebody's own class."""

    left: object
    right: object


Named = namedtuple("Named", ["state", "action"])
ONE, TWO = torch.zeros(2, 3), torch.ones(2, dtype=torch.long)
PARTS = {
    "tensor": (ONE, ["images"]),
    "a list of one": ([ONE], ["images"]),
    "a pair": ((ONE, TWO), ["images[0]", "images[1]"]),
    "beside nothing": ((ONE, None, "a/path"), ["images[0]"]),
    "a mapping": ({"input_ids": TWO, "path": ["a", "b"]}, ["input_ids"]),
    "nested": ({"view": {"left": ONE}, "all": [ONE, TWO]}, ["view.left", "all[0]", "all[1]"]),
    "a dataclass": (Pair(ONE, {"x": TWO}), ["left", "right.x"]),
    "a named tuple": (Named(ONE, TWO), ["state", "action"]),
    "samples of equal names": (
        [{"boxes": ONE, "labels": TWO}, {"boxes": TWO, "labels": ONE}],
        ["boxes", "images.labels"],
    ),
    "many samples": ([ONE] * 9, ["images"]),
    "numbers": ([1, 2, 3], ["images"]),
    "texts": (["cat", "dog"], ["images"]),
    "a name that is taken": ({"size": ONE, "labels": TWO}, ["images.size", "images.labels"]),
}
"""What is given as images beside labels, and what its parts are called."""


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_batch_has_a_name(name):
    """That of its own, or the one it is given as, numbered where there are several."""
    images, names = PARTS[name]

    assert [*named_parts({"labels": TWO, "images": images})] == ["labels", *names]


SIZES = {
    "samples of names": [{"x": torch.zeros(4)} for _ in range(8)],
    "texts": ["a"] * 8,
    "samples": [torch.zeros(6) for _ in range(8)],
    "images": [torch.zeros(3, 4, 4) for _ in range(8)],
    "pairs": [(torch.zeros(6), 1) for _ in range(8)],
    "beside a number of the step": {"step": torch.tensor([1]), "x": torch.zeros(8, 2)},
    "images and labels": [torch.zeros(8, 2), torch.zeros(8)],
}


@pytest.mark.parametrize("name", SIZES)
def test_the_size_of_a_batch_counts_samples(name):
    """Eight, however they are given."""
    assert size(SIZES[name]) == 8


def test_data_loaders_that_sample_alike_are_one():
    """A loader that is iterated before the others takes their numbers, and is no cause of what they load."""

    def record(print_, *samplers):
        clues = {f"loader/{i}/sampler": Stream("data", (0,), (name,)) for i, name in enumerate(samplers)}
        return record_of({"batch/images": Stream("data", (0, 1, 2, 3), ("a", "a", "a", print_))}, clues=clues)

    divergence = compare(record("a", "Random"), record("b", "Sequential", "Random")).first_divergence
    assert [*divergence] == [3, "data", "batch/images"]
    replaced = compare(record("a", "Random", "Own"), record("b", "Own", "Sequential")).first_divergence
    assert [*replaced] == [0, "data", "loader/1/sampler"]


@pytest.mark.parametrize(("steps", "stream"), [(2, "loader/0/drop_last"), (3, "learning_rate/w")])
def test_a_data_loader_that_makes_other_steps_is_a_cause_of_another_schedule(steps, stream):
    """A schedule is planned for as many steps as it has batches; where these are as many, the rate is another cause."""

    def record(steps, rate, drop_last):
        rates = Stream("schedule", tuple(range(steps)), (0.1, *[rate] * (steps - 1)))
        clues = {"loader/0/drop_last": Stream("data", (0,), (drop_last,))}
        return record_of({"learning_rate/w": rates}, clues=clues)

    divergence = compare(record(3, 0.2, "False"), record(steps, 0.3, "True")).first_divergence
    assert divergence.stream == stream


def test_shapes_are_told_as_they_change():
    """Of tensors and arrays; a value where the shape is another than in the last batch."""
    parts = named_parts({"images": (ONE, np.zeros(3), 2.0, [1, 2])})

    assert shapes(parts) == {"batch/images[0] shape": "2x3", "batch/images[1] shape": "3"}
    assert shapes({"time": torch.tensor(1)}) == {"batch/time shape": "one number"}


def test_values_are_noted_as_they_change():
    """A value stands until another one is noted."""
    builder = StreamBuilder()
    for step, value in enumerate((1, 1, 2, 2, 1)):
        builder.note("data", {"batch/a shape": value}, step)

    assert builder.streams()[0] == {"batch/a shape": Stream("data", (0, 2, 4), (1, 2, 1))}


def test_a_renamed_module_is_the_same():
    """What tensors are renamed with, and what is within: other names alone are no cause."""

    def named(block, norm):
        names = {"module/net": "Net()", f"module/{block}": "Block()", f"module/{block}.act": "ReLU()"}
        structure = {f"{block}.{norm}.weight": {"shape": [2]}}
        clues = {name: Stream("structure", (0,), (text,)) for name, text in names.items()}
        return record_of({"loss": LOSS}, clues=clues, structure=structure)

    former, _ = in_names_of(named("stage1", "norm"), named("net.block1", "norm"))

    assert former.clues == named("stage1", "norm").clues


@pytest.mark.parametrize(
    ("now", "key", "values"),
    [
        (("L", "R", "Dropout", "L", "R", "L"), "module/2", (None, "Dropout")),
        (("L", "L", "R", "L"), "module/1 of the baseline", ("R", None)),
    ],
)
def test_a_module_put_in_or_taken_out_is_named(now, key, values):
    """Those behind it are the same, under another number."""

    def record(loss, texts):
        clues = {f"module/{i}": Stream("structure", (0,), (text,)) for i, text in enumerate(texts)}
        structure = {f"{i}.weight": {"shape": [2]} for i, text in enumerate(texts) if text == "L"}
        return record_of({"loss": dataclasses.replace(LOSS, values=(loss,) * 3)}, clues=clues, structure=structure)

    cause = compare(record(1.0, ("L", "R", "L", "R", "L")), record(2.0, now)).cause

    assert (cause.stream, (cause.baseline, cause.value)) == (key, values)
