"""Promises of the faults: planted from outside into any watched loop, found where they belong, and gone afterwards."""

import contextlib
import copy
import dataclasses
import functools
import itertools
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, Normal
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_  # by name, as users do
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from harness import Recorder, compare, errors, train
from harness.faults import FAULTS, OF_RANKS, Planting
from harness.faults.base import Fault
from harness.recording.perturbation import Perturbation, perturbed
from tests.test_determinism import globals_now
from tests.test_training import tiny


def faulted(name, loop, **options):
    """Record a loop with a fault planted."""
    with perturbed(Perturbation(plant=Planting(name))):
        return loop(**options)


def judged(name, loop, **options):
    """Record a loop with a fault planted; return the record, whether the fault took effect, and if not, why."""
    planting = Planting(name)
    with perturbed(Perturbation(plant=planting)):
        record = loop(**options)
    return record, planting.outcome(record)


def dataset(count=20):
    """A few random images, the same ones at each call."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.randint(3, (count,), generator=generator)


class Dense:
    """A loop with everything in it, as users write it: 6 steps, two epochs, a smaller last batch, one resume."""

    def __init__(self, precision="float64", compiled=False):
        with Recorder(precision=precision) as recorder:
            self.recorder, self.compiled = recorder, compiled
            images, labels = dataset()
            data = TensorDataset(images.to(torch.get_default_dtype()), labels)
            self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
            self.build()
            self.epoch(DataLoader(data, 8, shuffle=True))
            saved, state = copy.deepcopy([part.state_dict() for part in self.parts]), torch.get_rng_state()
            self.build()
            for part, its in zip(self.parts, saved, strict=True):
                part.load_state_dict(its)
            torch.set_rng_state(state)
            self.epoch(DataLoader(data, 8, shuffle=True))
        self.record = recorder.record

    def build(self):
        """Model, optimizer, schedule and average."""
        self.model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, 3)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, 0.9)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.parts = self.model, self.optimizer, self.schedule, self.average
        self.recorder.watch(self.model, self.optimizer)
        self.recorder.watch(self.average, name="average")
        self.call = torch.compile(self.model, backend="eager") if self.compiled else self.model

    def epoch(self, loader):
        """Train and evaluate."""
        self.model.train()
        for images, labels in loader:
            self.recorder.batch(images, labels)
            self.optimizer.zero_grad()
            loss = self.criterion(self.call(images), labels)
            loss.backward()
            clip_grad_norm_(self.model.parameters(), 0.1)
            self.optimizer.step()
            self.schedule.step()
            self.average.update_parameters(self.model)
            self.recorder.log(loss=loss)
        for each in (self.model, self.average):
            each.eval()
        with torch.no_grad():
            for each in (self.model, self.average):
                self.recorder.evaluation(loss=functional.cross_entropy(each(images), labels))


def dense(**options):
    """Record the dense loop."""
    return Dense(**options).record


def bare(batches=None, optimizer=torch.optim.SGD, steps=3, calls_batch=True, **options):
    """Record a loop with nothing in it: one layer, one loss, gradients emptied by hand."""
    images, labels = dataset(16)
    batches = batches or [(images[:8], labels[:8]), (images[8:], labels[8:])] * steps
    with Recorder() as recorder:
        model = nn.Linear(48, 3)
        optim = optimizer(model.parameters(), lr=0.1, **options)
        recorder.watch(model, optim)
        for images, labels in itertools.islice(batches, steps):
            if calls_batch:
                recorder.batch(images, labels)
            logits = model(torch.as_tensor(images).flatten(1))
            loss = functional.cross_entropy(logits, torch.as_tensor(labels))
            loss.backward()
            optim.step()
            for parameter in model.parameters():
                parameter.grad = None
            recorder.log(loss=loss)
    return recorder.record


class Causal(nn.Module):
    """Attention of one head that looks back only, as people write it.

    Args:
        way: how the mask is put on.
    """

    def __init__(self, way):
        super().__init__()
        self.way = way
        self.heads = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        """Attend."""
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = x @ x.mT
        low = torch.zeros(hidden.shape, dtype=x.dtype).masked_fill(hidden, -1e4)
        return {
            "is_causal": lambda: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
            "boolean": lambda: functional.scaled_dot_product_attention(x, x, x, ~hidden),
            "added": lambda: functional.scaled_dot_product_attention(query=x, key=x, value=x, attn_mask=low),
            "filled": lambda: functional.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ x,
            "chosen": lambda: torch.softmax(torch.where(hidden, -torch.inf, scores), -1) @ x,
            "added by hand": lambda: (scores + low).softmax(-1) @ x,
            "heads": lambda: self.heads(x, x, x, attn_mask=hidden, need_weights=False)[0],
            "heads with weights": lambda: self.heads(x, x, x, attn_mask=hidden)[0],
            "layer": lambda: self.layer(x, src_mask=hidden, is_causal=True),
            "no mask": lambda: functional.scaled_dot_product_attention(x, x, x),
            "one token": lambda: x + functional.scaled_dot_product_attention(*[x[:, :1]] * 3, is_causal=True),
        }[self.way]()


class Tokens(nn.Module):
    """A language model of 6 positions and 11 tokens, the last of which is padding."""

    def __init__(self, way):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(11, 8), nn.Embedding(6, 8)
        self.attention, self.head = Causal(way), nn.Linear(8, 11)

    def forward(self, tokens):
        """Score what comes after each token."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.head(self.attention(x))


def moved(tokens):
    """Inputs and targets that are memory of their own."""
    return tokens[:, :-1].clone(), tokens[:, 1:].clone()


def views(tokens):
    """Inputs and targets that are views of one text."""
    return tokens[:, :-1], tokens[:, 1:]


def whole(tokens):
    """Targets that the loss function moves, as models of transformers do."""
    return tokens[:, :-1], tokens[:, :-1]


def logit_loss(logits, targets):
    """The usual cross-entropy."""
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=10)


def moving_loss(logits, targets):
    """As models of transformers: the last prediction has nothing to predict."""
    return functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=10)


def padding_loss(logits, targets):
    """As newer ones: the last target is one that does not count."""
    return logit_loss(logits, functional.pad(targets, (0, 1), value=10)[:, 1:])


def gathering_loss(logits, targets):
    """Written by hand."""
    return -logits.log_softmax(-1).gather(-1, targets[..., None]).mean()


def plain(build, loss_of, steps=3, precision="float64"):
    """Record a loop as everybody writes it; `loss_of(recorder, model)` takes a batch."""
    with Recorder(precision=precision) as recorder:
        model = build()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = loss_of(recorder, model)
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    return recorder.record


def language(way="is_causal", pairs=moved, loss_of=logit_loss, padded=True):
    """Record three steps of a language model."""

    def loss(recorder, model):
        text = torch.randint(10, (4, 7))
        if padded:
            text[0, 5:] = 10
        tokens, targets = pairs(text)
        recorder.batch(tokens, targets)
        return loss_of(model(tokens), targets)

    return plain(lambda: Tokens(way), loss)


def policy(discrete=True, together=True):
    """Record three steps of REINFORCE; actions are judged together, or one after the other."""

    def loss(recorder, model):
        def acting(states):
            outputs = model(states)
            return Categorical(logits=outputs) if discrete else Independent(Normal(outputs, 1.0 + outputs**2), 1)

        states = torch.rand(6, 4)
        recorder.batch((states, states.roll(1, 0)))
        with torch.no_grad():
            actions = acting(states).sample()
        returns = torch.rand(6)
        policies = [acting(states)] if together else [acting(state) for state in states]
        asked = [(policies[0], actions)] if together else zip(policies, actions, strict=True)
        log_probs = torch.cat([policy.log_prob(action).view(-1) for policy, action in asked])
        bonus = torch.cat([policy.entropy().view(-1) for policy in policies]).mean()
        return -(returns * log_probs).mean() - 0.01 * bonus

    return plain(lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), loss)


@functools.cache
def unfaulted(loop, **options):
    """Record of a loop without a fault."""
    return loop(**options)


# Each is found where it belongs, or says what the training lacks.

STAGES = {
    "batch-repeated": (1, "data"),
    "last-batch-dropped": (1, "evaluation"),
    "label-swapped": (1, "data"),
    "images-changed": (1, "data"),
    "second-input-repeated": (1, "data"),
    "labels-not-shifted": (1, "data"),
    "positions-shifted": (0, "forward"),
    "attention-mask-dropped": (0, "forward"),
    "actions-shifted": (0, "forward"),
    "entropy-dropped": (0, "forward"),
    "loss-miscounted": (2, "forward"),
    "weight-scaled": (0, "init"),
    "rate-scaled": (0, "schedule"),
    "schedule-stuck": (1, "schedule"),
    "smoothing-dropped": (0, "forward"),
    "dropout-changed": (0, "forward"),
    "batchnorm-evaluating": (0, "forward"),
    "autocast-on": (0, "forward"),
    "zero-grad-skipped": (1, "backward"),
    "gradient-zeroed": (1, "backward"),
    "gradients-rounded": (0, "backward"),
    "clipping-dropped": (0, "backward"),
    "decay-dropped": (0, "update"),
    "momentum-changed": (1, "update"),
    "state-lost": (1, "update"),
    "stepped-twice": (1, "update"),
    "tensor-frozen": (0, "update"),
    "weights-rounded": (0, "update"),
    "average-skipped": (1, "state"),
    "eval-forgotten": (2, "evaluation"),
}
"""Step and stage that each fault shows in first; the first epoch ends with step 2, or with step 1
if its last batch is missing."""

ELSEWHERE = {
    "second-input-repeated": policy,
    "labels-not-shifted": language,
    "positions-shifted": language,
    "attention-mask-dropped": language,
    "actions-shifted": policy,
    "entropy-dropped": policy,
}
"""Loops that have what the dense loop lacks."""

LACKING = {
    *ELSEWHERE,
    *OF_RANKS,
    "loss-miscounted",
    "last-batch-dropped",
    "schedule-stuck",
    "smoothing-dropped",
    "dropout-changed",
    "batchnorm-evaluating",
    "autocast-on",
    "zero-grad-skipped",
    "clipping-dropped",
    "decay-dropped",
    "momentum-changed",
    "state-lost",
    "average-skipped",
    "eval-forgotten",
}
"""Faults of what the bare loop does not have."""


PRECISIONS = {"autocast-on": {"precision": "float32"}}
"""Options of the loop for a fault that does not reach float64."""


@functools.cache
def broken(name):
    """The loop that has what a fault takes, under it: as it ended, its record, and the outcome."""
    planting = Planting(name)
    with perturbed(Perturbation(plant=planting)):
        ended = ELSEWHERE.get(name, Dense)(**PRECISIONS.get(name, {}))
    record = ended.record if isinstance(ended, Dense) else ended
    return ended, record, planting.outcome(record)


@pytest.mark.parametrize("name", STAGES)
def test_a_fault_is_found_in_the_stage_that_it_belongs_to(name):
    """In a loop that has what it takes each fault is planted, and moves numbers of its own step and stage first."""
    _, record, outcome = broken(name)
    comparison = compare(unfaulted(ELSEWHERE.get(name, dense), **PRECISIONS.get(name, {})), record)

    assert outcome == (True, "")
    assert comparison.verdict == "different"
    assert comparison.deviations[0].divergence[:2] == STAGES[name]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_changes_nothing_is_not_planted_and_says_why(name):
    """In a loop that has nothing a fault is either found, or the record is the same and the reason is given."""
    record, outcome = judged(name, bare)
    comparison = compare(unfaulted(bare), record)

    assert outcome == ((False, FAULTS[name].reason) if name in LACKING else (True, ""))
    assert comparison.verdict == ("same" if name in LACKING else "different")


@pytest.mark.parametrize("name", ["dropout-changed", "last-batch-dropped", "autocast-on", "eval-forgotten"])
def test_faults_reach_our_own_loop(name):
    """The loop of train() has batches and a dropout of its own, and switches autocast off by itself."""
    recipe = tiny(precision="float32" if name == "autocast-on" else "float64", epochs=1)
    record, outcome = judged(name, train, recipe=recipe)

    assert outcome == (True, "")
    assert compare(train(recipe), record).verdict == "different"


def test_an_outcome_is_that_of_the_faults_own_training():
    """Of several in its block it knows each, also when a test has changed the record; of others, nothing."""
    planting = Planting("gradient-zeroed")
    with perturbed(Perturbation(plant=planting)):
        records = [bare(steps=steps) for steps in (1, 3)]
    outcomes = [(False, "the training takes one step only"), (True, "")]

    for changes in ({}, {"data": {"made": "now"}, "structure": {}}, {"streams": {}}):
        changed = [dataclasses.replace(record, **changes) for record in records]
        assert [planting.outcome(record) for record in changed] == outcomes
    assert planting.outcome(unfaulted(bare)) == (False, "no recorder watches this training")
    assert "gradient-zeroed" not in records[1].to_text()
    assert type(records[1]).from_text(records[1].to_text()) == records[1]


def test_faults_are_described():
    """Each fault has a name of words and hyphens, and its own line on what it changes and what a training may lack."""
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert name.replace("-", "").isalpha()
        assert name.islower()
    assert set(STAGES) == set(FAULTS) - OF_RANKS, "tests/test_faults_of_ranks.py has the others"
    assert len({fault.what for fault in FAULTS.values()}) == len({fault.reason for fault in FAULTS.values()}) == 41


def test_an_unknown_fault_is_refused():
    """The error names those that there are, and nothing is in force afterwards."""
    before = globals_now()
    with pytest.raises(errors.ArgumentError, match="rate-scaled"):
        faulted("rate", bare)

    assert globals_now() == before


# What language models and reinforcement learning have.


MASKS = ("boolean", "added", "filled", "chosen", "added by hand", "heads", "heads with weights", "layer")
"""Given to torch's attention or put on the scores by hand: a token sees what comes after it."""
LABELS = [
    {"pairs": moved, "loss_of": gathering_loss},
    {"pairs": views, "loss_of": logit_loss},
    {"pairs": whole, "loss_of": moving_loss},
    {"pairs": whole, "loss_of": padding_loss},
]
"""Moved in the batch, as views of it, or by the model; what views share is not written to."""
POLICIES = [{"discrete": False}, {"together": False}, {"discrete": False, "together": False}]
"""Continuous actions, distributions of distributions, and actions that are judged one by one."""
REACHED = [
    *(("attention-mask-dropped", {"way": way}, (0, "forward")) for way in MASKS),
    *(("labels-not-shifted", way, (1, "forward" if place else "data")) for place, way in enumerate(LABELS)),
    *((name, way, (0, "forward")) for name in ("actions-shifted", "entropy-dropped") for way in POLICIES),
]


@pytest.mark.parametrize(("name", "options", "place"), REACHED)
def test_whatever_way_it_is_written_a_fault_reaches_it(name, options, place):
    """Masks, labels and policies of all kinds."""
    record, outcome = judged(name, ELSEWHERE[name], **options)

    assert outcome == (True, "")
    assert compare(unfaulted(ELSEWHERE[name], **options), record).first_divergence[:2] == place


def test_tokens_of_one_batch_are_changed_and_put_back():
    """Also where they are integers as torch computes with, in memory of their own."""
    given = []
    pairs = lambda text: given.append((*moved(text), text)) or given[-1][:2]  # noqa: E731
    record, outcome = judged("images-changed", language, pairs=pairs)

    assert outcome == (True, "")
    assert compare(unfaulted(language), record).first_divergence[:2] == (1, "data")
    assert all(tokens.equal(text[:, :-1]) for tokens, _, text in given)


@pytest.mark.parametrize("way", ["no mask", "one token"])
def test_attention_that_hides_nothing_has_no_mask_to_drop(way):
    """One token cannot see the next one anyway."""
    record, outcome = judged("attention-mask-dropped", language, way=way)

    assert outcome == (False, FAULTS["attention-mask-dropped"].reason)
    assert compare(unfaulted(language, way=way), record).verdict == "same"


def test_labels_that_are_none_of_the_batch_are_left_alone():
    """Labels of another kind, and texts of one token, which is its own successor."""
    constant = functools.partial(language, pairs=lambda text: moved(torch.ones_like(text)), padded=False)
    record, outcome = judged("labels-not-shifted", constant)

    assert outcome == (False, FAULTS["labels-not-shifted"].reason)
    assert compare(constant(), record).verdict == "same"


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([0, 1, 2, 3], [1, 2, 3, 4]),
        ([[0, 1, 2]] * 2, [[1, 2, 3]] * 2),
        ([2, 3, 4], [3, 4, 5]),
        ([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 5]),
        *((same, same) for same in ([0, 1], [1, 0, 2], [[0, 1, 2], [1, 2, 3]], [3, 4, 5], 4)),
    ],
)
def test_only_positions_are_shifted(numbers, found):
    """They count up from the table's beginning, also behind what padding takes, in every row; the last one stays."""
    with contextlib.ExitStack() as stack:
        fault = FAULTS["positions-shifted"](stack)
        fault.begin()
        looked_up = functional.embedding(torch.tensor(numbers), torch.arange(6.0)[:, None])

    assert looked_up[..., 0].tolist() == found
    assert fault.planted is (numbers != found)


def test_a_mean_is_taken_over_another_count():
    """Over ignored targets, without weights, and over what a full batch has; a sum, and an evaluation, are no mean."""
    logits = torch.randn(4, 3, requires_grad=True)
    targets, weights = torch.tensor([0, 1, 2, -100]), torch.tensor([1.0, 2.0, 3.0])
    calls = [
        (lambda: functional.cross_entropy(logits, targets), 3 / 4),
        (lambda: functional.cross_entropy(logits[:3], targets[:3], weights), 6 / 4),
        (lambda: functional.cross_entropy(logits[:2], targets[:2]), 2 / 4),
        (lambda: functional.mse_loss(logits, torch.zeros(4, 3)), 1),
        (lambda: functional.mse_loss(logits[:3], torch.zeros(3, 3)), 3 / 4),
        (lambda: functional.cross_entropy(logits, targets, reduction="sum"), 1),
        (lambda: functional.cross_entropy(logits.detach(), targets), 1),
    ]
    expected = [loss() * factor for loss, factor in calls]
    with contextlib.ExitStack() as stack:
        FAULTS["loss-miscounted"](stack).begin()
        found = [loss() for loss, _ in calls]

    torch.testing.assert_close(found, expected)


def test_padding_counts_where_a_loss_is_miscounted():
    """As in a language model that divides by all tokens of a batch; without padding all batches are full."""
    options = {"padded": True}, {"padded": False}
    outcomes = [judged("loss-miscounted", language, **each)[1] for each in options]

    assert outcomes == [(True, ""), (False, FAULTS["loss-miscounted"].reason)]


def test_what_a_distribution_does_not_depend_on_is_left_alone():
    """Samples with gradients, and a fit by likelihood, whose sum is the same in any order."""
    rows = torch.arange(4.0, requires_grad=True)
    asked = [(Normal(rows, 1.0), rows**2), (Normal(rows[1], 1.0), torch.arange(4.0))]
    expected = [distribution.log_prob(value) for distribution, value in asked]
    with contextlib.ExitStack() as stack:
        fault = FAULTS["actions-shifted"](stack)
        fault.begin()
        found = [distribution.log_prob(value) for distribution, value in asked]

    assert not fault.planted
    assert all(map(torch.equal, found, expected))


def test_one_trajectory_is_put_back():
    """Observations and next observations are views of one: the first is overwritten, and put back when it is done."""
    path = torch.rand(9, 4, dtype=torch.float64)
    before, seen = path.clone(), []

    def loss(recorder, model):
        recorder.batch({"now": path[:-1], "next": path[1:]})
        seen.append(path.equal(before))
        return (model(path[:-1]) - path[1:]).square().mean()

    assert judged("second-input-repeated", plain, build=lambda: nn.Linear(4, 4), loss_of=loss)[1] == (True, "")
    assert seen == [True, False, True]
    assert path.equal(before)


# Errors of the planting itself are told from those of the training.


class Idle(Fault):
    """A fault that changes nothing where it could."""

    reason = "never"

    def begin(self):
        """Get between the loop and its loss."""
        self.swap_functions((functional.cross_entropy,), lambda *call: self.call(*call))

    def call(self, function, *args):
        """Compute the loss."""
        self.planted = True
        return function(*args)


@pytest.fixture
def idle_fault(monkeypatch):
    """A planting of that fault."""
    monkeypatch.setattr(sys.modules["harness.faults"], "FAULTS", {"idle": Idle})
    return Planting("idle")


HOOKS = ["begin", "call", "meet_model", "meet_optimizer", "batch", "before_step", "gradients", "after_step", "end"]


@pytest.mark.parametrize("where", HOOKS)
def test_an_error_of_the_planting_is_ours(monkeypatch, idle_fault, where):
    """Wherever it is raised, and whatever the training makes of it, it comes out as what it is; nothing is left."""
    method = getattr(Idle, where)

    def buggy(*args):
        method(*args)
        raise TypeError(f"a bug in {where}")

    monkeypatch.setattr(Idle, where, buggy)
    before = torch_now()
    with perturbed(Perturbation(plant=idle_fault)), pytest.raises(errors.FaultError) as caught:
        bare()

    assert caught.value.what == f"planting raised TypeError: a bug in {where}"
    assert isinstance(caught.value.__cause__, TypeError)
    assert not caught.value.planted
    assert idle_fault.failure(RuntimeError("what a training makes of it")) is caught.value
    assert torch_now() == before
    with pytest.raises(errors.FaultError):  # also if the training went on
        idle_fault.outcome(unfaulted(bare))


def test_an_error_of_the_training_is_its_own(idle_fault):
    """What torch raises when a fault calls it: if the fault was planted by then, that is what came of it."""
    images, labels = dataset(16)
    assert not idle_fault.failure(ValueError("before any recorder")).planted
    with perturbed(Perturbation(plant=idle_fault)), pytest.raises(IndexError) as caught:
        bare(batches=[(images, labels + 7)])

    assert idle_fault.failure(caught.value).planted
    assert idle_fault.failure(caught.value).what == f"the training ended with IndexError: {caught.value}"


@pytest.mark.parametrize(
    "error", [FileNotFoundError("no/file"), MemoryError(), torch.OutOfMemoryError(), TimeoutError()]
)
def test_what_a_machine_lacks_tells_nothing_of_a_fault(idle_fault, error):
    """Although it was planted by then."""
    with perturbed(Perturbation(plant=idle_fault)):
        bare()

    assert not idle_fault.failure(error).planted
    assert idle_fault.failure(error).what.endswith("which tells nothing of the fault")


# Nothing is left behind.


def torch_now():
    """Everything of torch and of ours that a fault may replace."""
    methods = [
        (nn.Module, "train"),
        (nn.Module, "zero_grad"),
        (torch.optim.Optimizer, "zero_grad"),
        (AveragedModel, "update_parameters"),
        (DataLoader, "__iter__"),
        (sys.modules["harness.shipped.models"].Dropout, "forward"),
    ]
    methods += [(kind, name) for kind in (Categorical, Normal, Independent) for name in ("entropy", "log_prob")]
    functions = {name: value for name, value in vars(functional).items() if callable(value)}
    functions |= {"softmax of tensors": vars(torch.Tensor).get("softmax"), "torch.softmax": torch.softmax}
    names = {"clip": clip_grad_norm_, "batches": sys.modules["harness.shipped.loop"].batches}
    return {**{f"{owner}.{name}": vars(owner)[name] for owner, name in methods}, **functions, **names}


INTERRUPTED = ("batch-repeated", "attention-mask-dropped", "entropy-dropped", "loss-miscounted", "rate-scaled")
INTERRUPTED += ("dropout-changed", "autocast-on", "zero-grad-skipped", "gradient-zeroed", "momentum-changed")
INTERRUPTED += ("state-lost", "average-skipped", "eval-forgotten")
"""Faults of every way to be planted; what an exception leaves of the others is the night's."""


def interrupted(fails):
    """Parametrize a test by faults, and by whether the training fails: of some, only at night."""
    marks = {True: (), False: pytest.mark.long}
    return [pytest.param(name, fails, marks=marks[not fails or name in INTERRUPTED]) for name in FAULTS]


@pytest.mark.parametrize(("name", "fails"), [*interrupted(False), *interrupted(True)])
def test_nothing_is_left_behind(name, fails):
    """Functions, globals and hyperparameters, and the user's tensors and arrays, are as before."""
    images, labels = dataset(16)
    pixels = np.arange(16 * 48, dtype=np.uint8).reshape(16, 48) / 255
    batches = [(images[:8], labels[:8]), (images[8:], labels[8:]), (pixels[:8], labels[:8]), (pixels[8:], labels[8:])]
    before, functions = globals_now(), torch_now()
    optimizers = []

    def make(*args, **options):
        optimizers.append(torch.optim.SGD(*args, **options))
        if fails:  # as the second step ends, before the fault is told so
            optimizers[0].register_step_post_hook(lambda *_: countdown.pop())
        return optimizers[0]

    countdown = [None]
    with pytest.raises(IndexError) if fails else contextlib.nullcontext():
        faulted(name, bare, batches=batches, steps=4, optimizer=make, momentum=0.9, weight_decay=0.1)

    fresh = dataset(16)
    assert torch.equal(images, fresh[0])
    assert torch.equal(labels, fresh[1])
    assert np.array_equal(pixels, np.arange(16 * 48, dtype=np.uint8).reshape(16, 48) / 255)
    assert globals_now() == before
    assert torch_now() == functions
    settings = optimizers[0].param_groups[0]
    assert (settings["lr"], settings["momentum"], settings["weight_decay"]) == (0.1, 0.9, 0.1)
    assert not optimizers[0]._optimizer_step_pre_hooks


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ELSEWHERE])
def test_models_keep_no_hook(name):
    """Neither the watched models nor the copies made of them keep anything of a fault."""
    loop, _, _ = broken(name)

    for model in (loop.model, loop.average, copy.deepcopy(loop.model)):
        for module in model.modules():
            assert not module._forward_pre_hooks
            assert not module._forward_hooks
    assert loop.model.training is (name == "eval-forgotten")


def test_autocast_ends_with_the_block():
    """Also when a forward pass is interrupted in a way that runs no hooks."""

    class Interrupted(nn.Linear):
        def forward(self, images):
            if torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
                raise KeyboardInterrupt
            return super().forward(images)

    recorder = Recorder(precision="float32")
    with perturbed(Perturbation(plant=Planting("autocast-on"))), pytest.raises(KeyboardInterrupt), recorder:
        model = Interrupted(4, 3)
        recorder.watch(model)
        model(torch.rand(2, 4))

    assert not torch.is_autocast_enabled("cpu")


def test_trying_a_mode_leaves_no_trace():
    """In float64 autocast changes nothing; to try it, with dropout and BatchNorm, changes nothing either."""
    assert faulted("autocast-on", dense).to_text() == unfaulted(dense).to_text()


def test_a_copy_of_a_model_is_not_under_the_fault():
    """A deep copy made within the block carries inert hooks."""

    def loss(recorder, model):
        images = torch.rand(8, 48)
        assert model(images).dtype == torch.bfloat16
        assert copy.deepcopy(model)(images).dtype == torch.float32
        return model(images).sum()

    faulted("autocast-on", plain, build=lambda: nn.Linear(48, 3), loss_of=loss, precision="float32")


def test_references_that_somebody_keeps_are_harmless():
    """A module imported within the block gets the function back; an alias does as the function did."""
    module = types.ModuleType("imported_meanwhile")
    logits, labels = torch.eye(3), torch.arange(3)
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    with perturbed(Perturbation(plant=Planting("smoothing-dropped"))), pytest.raises(ZeroDivisionError), Recorder():
        alias = module.cross_entropy = functional.cross_entropy
        sys.modules["imported_meanwhile"] = module
        assert alias(logits, labels, label_smoothing=0.1) != expected
        raise ZeroDivisionError
    del sys.modules["imported_meanwhile"]

    assert module.cross_entropy is functional.cross_entropy
    assert alias is not functional.cross_entropy
    assert alias(logits, labels, label_smoothing=0.1) == expected


# Loops and data of all kinds.


def closures():
    """Record LBFGS, which computes its gradients within step()."""
    with Recorder() as recorder:
        model = nn.Linear(48, 3)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        recorder.watch(model, optimizer)
        images, labels = dataset(8)

        def closure():
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images.flatten(1)), labels)
            loss.backward()
            return loss

        for _ in range(3):
            recorder.batch(images, labels)
            recorder.log(loss=optimizer.step(closure))
    return recorder.record


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("label-swapped", (1, "data")),
        ("rate-scaled", (0, "schedule")),
        ("zero-grad-skipped", (1, "backward")),
        ("gradient-zeroed", (1, "backward")),
        ("gradients-rounded", (0, "backward")),
        ("state-lost", (1, "update")),
        ("stepped-twice", (1, "update")),
        ("tensor-frozen", (0, "update")),
        ("weights-rounded", (0, "update")),
    ],
)
def test_faults_reach_closures(name, stage):
    """Gradients that are made within a step, and a step that has to be called with its closure, are reached too."""
    record, outcome = judged(name, closures)

    assert outcome == (True, "")
    assert compare(unfaulted(closures), record).first_divergence[:2] == stage


def rivals():
    """Record two models with an optimizer each, trained in turn."""
    with Recorder() as recorder:
        pairs = [(m, torch.optim.Adam(m.parameters())) for m in (nn.Linear(48, 3), nn.Sequential(nn.Linear(48, 3)))]
        for model, optimizer in pairs:
            recorder.watch(model, optimizer)
        images, labels = dataset(8)
        for _ in range(3):
            recorder.batch(images, labels)
            losses = [functional.cross_entropy(model(images.flatten(1)), labels) for model, _ in pairs]
            for loss, (_, optimizer) in zip(losses, pairs, strict=True):
                optimizer.zero_grad()
                loss.backward()  # the second one's graph has outlived the first one's step
                optimizer.step()
                recorder.log(loss=loss)
    return recorder.record


REACHING_RIVALS = sorted(set(FAULTS) - LACKING | {"zero-grad-skipped", "momentum-changed", "state-lost"})


@pytest.mark.parametrize("name", REACHING_RIVALS)
def test_faults_reach_several_optimizers(name):
    """Two models with an optimizer each."""
    record, (took_effect, _) = judged(name, rivals)

    expected = name != "batch-repeated"  # always the same batch
    assert took_effect is expected
    assert compare(unfaulted(rivals), record).verdict == ("different" if expected else "same")


@pytest.mark.parametrize(
    "name",
    [
        "dropout-changed",
        *(pytest.param(n, marks=pytest.mark.long) for n in ("autocast-on", "batchnorm-evaluating", "eval-forgotten")),
    ],
)
def test_faults_reach_compiled_models(name):
    """torch.compile neither hides a function from a fault nor keeps the fault."""
    options = {"compiled": True, "precision": "float32"}
    torch._dynamo.reset()
    record, outcome = judged(name, dense, **options)
    torch._dynamo.reset()

    assert outcome == (True, "")
    assert compare(dense(**options), record).deviations[0].divergence[:2] == STAGES[name]


def test_a_loop_that_never_calls_batch_has_faults_too():
    """Weights are changed before the first forward pass; faults of the data say what is missing."""
    started = faulted("weight-scaled", bare, calls_batch=False)
    _, swapped = judged("label-swapped", bare, calls_batch=False)

    assert compare(unfaulted(bare, calls_batch=False), started).first_divergence == (0, "init", "init/weight")
    assert swapped == (False, FAULTS["label-swapped"].reason)


def test_a_loop_of_one_step_has_no_faults_of_the_second():
    """The reason is the loop's length, not what it lacks."""
    assert judged("gradient-zeroed", bare, steps=1)[1] == (False, "the training takes one step only")
    assert judged("decay-dropped", bare, steps=1)[1] == (False, FAULTS["decay-dropped"].reason)


def frozen_arrays():
    """Arrays that may not be written to."""
    arrays = [part.numpy() for part in dataset(8)]
    for array in arrays:
        array.setflags(write=False)
    return arrays


def expanded():
    """Images and labels that are one and the same in memory."""
    return torch.rand(1, 48, dtype=torch.float64).expand(8, 48), torch.zeros(1, dtype=torch.int64).expand(8)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@pytest.mark.parametrize("name", ["batch-repeated", "label-swapped", "images-changed"])
@pytest.mark.parametrize("make", [frozen_arrays, expanded])
def test_data_that_cannot_be_written_to_is_left_alone(name, make):
    """The reason says so, and the training is the same."""
    torch.manual_seed(0)
    batches = [make() for _ in range(3)]
    record, outcome = judged(name, bare, batches=batches)

    assert outcome == (False, FAULTS[name].reason)
    assert compare(bare(batches=batches), record).verdict == "same"


@pytest.mark.parametrize("name", ["batch-repeated", "label-swapped", "images-changed"])
def test_what_a_loop_has_filled_anew_is_not_put_back(name):
    """A loop that copies each batch into the same tensors: only the batch of the fault is another."""

    def batches():
        images, labels = dataset(24)
        buffer = torch.empty(8, 48, dtype=torch.float64), torch.empty(8, dtype=torch.int64)
        for i in range(0, 24, 8):
            buffer[0].copy_(images[i : i + 8].flatten(1))
            buffer[1].copy_(labels[i : i + 8])
            yield buffer

    comparison = compare(bare(batches=batches()), faulted(name, bare, batches=batches()))
    data = [deviation for deviation in comparison.deviations if deviation.stage == "data"]
    assert {deviation.step for deviation in data} == {1}


@pytest.mark.parametrize("name", ["batch-repeated", "label-swapped", "images-changed"])
def test_what_a_loop_has_changed_itself_is_left_as_it_is(name):
    """A loop that overwrites its batch before the step finds what it wrote."""
    planting = Planting(name)
    with perturbed(Perturbation(plant=planting)), Recorder() as recorder:
        model = nn.Linear(48, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recorder.watch(model, optimizer)
        for _ in range(3):
            images, labels = torch.rand(8, 48), torch.randint(3, (8,))
            recorder.batch(images, labels)
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            images.zero_(), labels.zero_()
            optimizer.step()
            assert not images.any()
            assert not labels.any()
            recorder.log(loss=loss)

    assert planting.outcome(recorder.record) == (True, "")


def test_an_evaluation_keeps_its_last_batch():
    """Only where gradients are on, and only where a loader knows its length, the last batch is missing."""

    class Endless(IterableDataset):
        def __iter__(self):
            return iter(range(20))

    unwatched = pytest.raises(errors.RecorderError, match="no model was watched")
    with perturbed(Perturbation(plant=Planting("last-batch-dropped"))), unwatched, Recorder():
        assert len(list(DataLoader(range(20), 8))) == 2
        assert len(list(DataLoader(range(8), 8))) == 1
        assert len(list(DataLoader(Endless(), 8))) == 3
        with torch.no_grad():
            assert len(list(DataLoader(range(20), 8))) == 3


@pytest.mark.parametrize("name", ["batch-repeated", "images-changed"])
def test_overlapping_data_is_put_back(name):
    """Inputs and targets of a language model are views of one text; token numbers stay in their range."""
    text = torch.randint(50, (4, 9), generator=torch.Generator().manual_seed(0))
    before, rows = text.clone(), iter((slice(0, 2), slice(2, 4)))

    def loss(recorder, model):
        part = text[next(rows)]
        recorder.batch({"tokens": part[:, :-1]}, part[:, 1:])
        assert 0 <= text.min() <= text.max() < 50
        return functional.cross_entropy(model(part[:, :-1]).flatten(0, 1), part[:, 1:].flatten())

    build = lambda: nn.Sequential(nn.Embedding(50, 4), nn.Linear(4, 50))  # noqa: E731
    assert judged(name, plain, build=build, loss_of=loss, steps=2)[1] == (True, "")
    assert torch.equal(text, before)


class Filled(torch.optim.Optimizer):
    """An optimizer that fills its state when it is made, and fails without it."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["sum"] = torch.ones_like(parameter)

    @torch.no_grad()
    def step(self, closure=None):
        """Divide by the root of the sum of squares, as Adagrad."""
        for parameter in self.param_groups[0]["params"]:
            total = self.state[parameter]["sum"].add_(parameter.grad**2)
            parameter -= self.param_groups[0]["lr"] * parameter.grad / total.sqrt()


def test_an_optimizer_that_fills_its_state_at_once_gets_that_back():
    """A lost state is the one that an optimizer was made with."""
    record, outcome = judged("state-lost", bare, optimizer=Filled)

    assert outcome == (True, "")
    assert compare(unfaulted(bare, optimizer=Filled), record).first_divergence[:2] == (1, "update")


def idle():
    """Record a loop in which everything is there and does nothing: mode calls, dropout of nothing, weights of zero."""
    with Recorder() as recorder:
        model = nn.Sequential(nn.Dropout(0.0), nn.Linear(48, 3))
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.0, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 100)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.0)
        recorder.watch(model, optimizer)
        images, labels = dataset(8)
        for _ in range(3):
            model.eval()
            model.train()
            optimizer.zero_grad()
            loss = criterion(model(images.flatten(1)), labels)
            loss.backward()
            clip_grad_norm_(model.parameters(), 1e6)
            nn.utils.clip_grad_value_(model.parameters(), 1e6)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            recorder.log(loss=loss)
    return recorder.record


IDLE = LACKING - {"zero-grad-skipped"} | {"weight-scaled"}


@pytest.mark.parametrize("name", sorted(IDLE))
def test_what_does_nothing_cannot_be_broken(name):
    """Label smoothing of 0, clipping that never clips, a schedule that does not move, a mode that does not matter."""
    record, outcome = judged(name, idle)

    assert outcome == (False, FAULTS[name].reason)
    assert compare(unfaulted(idle), record).verdict == "same"


def of_ones(recorder, model):
    """The loss of one batch, the same in each step."""
    return model(torch.ones(4, 48)).square().mean()


def test_an_evaluation_mode_in_which_nothing_runs_cannot_be_forgotten():
    """A model that is put into training mode again before it runs is never evaluated."""
    _, outcome = judged(
        "eval-forgotten",
        plain,
        build=lambda: nn.Sequential(nn.Linear(48, 3), nn.Dropout(0.5)),
        loss_of=lambda recorder, model: of_ones(recorder, model.eval().train()),
    )

    assert outcome == (False, FAULTS["eval-forgotten"].reason)


def test_a_watched_part_of_a_watched_model_leaves_autocast_to_the_whole():
    """What comes behind the part is under autocast as what comes before it."""
    kinds = []

    class Last(nn.Linear):
        def forward(self, x):
            kinds.append(super().forward(x).dtype)
            return super().forward(x)

    def loss(recorder, model):
        if not kinds:
            recorder.watch(model[0], name="part")
        return of_ones(recorder, model)

    build = lambda: nn.Sequential(nn.Linear(48, 8), Last(8, 3))  # noqa: E731
    _, outcome = judged("autocast-on", plain, build=build, loss_of=loss, precision="float32")

    assert outcome == (True, "")
    assert kinds[2:] == [torch.bfloat16] * 3  # behind the two trials


def test_a_closure_that_raises_leaves_the_settings_as_they_were():
    """The next step scales the rate that the loop has set, not the scaled one."""

    def loop():
        with Recorder() as recorder:
            model = nn.Linear(48, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            recorder.watch(model, optimizer)
            with pytest.raises(ZeroDivisionError):
                optimizer.step(lambda: 1 / 0)
            model(torch.ones(4, 48)).sum().backward()
            optimizer.step()
            recorder.log(loss=1.0)
        return recorder.record

    rates = faulted("rate-scaled", loop).streams["learning_rate/weight"].values
    assert set(rates) == {0.1 * 1.01}


def test_our_own_dropout_of_nothing_cannot_be_broken():
    """As torch's."""
    assert judged("dropout-changed", train, recipe=tiny(dropout=0.0, epochs=1))[1][0] is False


def test_rates_that_are_tensors_are_changed_too():
    """Compiled optimizers keep their rate in a tensor, which schedules fill in place."""

    def loop():
        with Recorder() as recorder:
            model = nn.Linear(48, 3)
            optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(0.1))
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            recorder.watch(model, optimizer)
            for _ in range(3):
                loss = model(torch.rand(4, 48)).square().mean()
                loss.backward()
                optimizer.step()
                schedule.step()
                recorder.log(loss=loss)
        assert float(optimizer.param_groups[0]["lr"]) == 0.1 * 0.5**3
        return recorder.record

    stuck = compare(unfaulted(loop), faulted("schedule-stuck", loop)).deviations
    assert {d.step for d in stuck if d.stage == "schedule"} == {1}
    assert compare(unfaulted(loop), faulted("rate-scaled", loop)).first_divergence[:2] == (0, "schedule")


def test_a_lazy_model_is_tried_once_it_has_its_shapes():
    """Trying both modes of a model draws no random numbers, also when its weights are drawn in the first pass."""

    def lazy():
        return nn.Sequential(nn.LazyLinear(8), nn.Dropout(0.5), nn.Linear(8, 3))

    options = {"build": lazy, "loss_of": of_ones, "precision": "float32"}
    record, outcome = judged("autocast-on", plain, **options)
    assert outcome == (True, "")
    assert compare(plain(**options), record).first_divergence[:2] == (1, "forward")
