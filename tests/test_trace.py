"""Promises of a trace: the operation and the line where a training leaves its baseline, and nothing that is benign."""

import dataclasses
import importlib.util
import linecache
import math
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.comparing.comparison import compare
from harness.elsewhere.rerun import Assignment
from harness.errors import RecordError
from harness.explaining.edited import given
from harness.explaining.operations import number
from harness.explaining.traced import Operation, Part, Place, Traced
from harness.explaining.tracing import Tracing
from harness.explaining.where import is_same_start, unknown, where
from harness.plugin.session import noting_builders
from harness.record import Baseline
from harness.record.streams import Stream
from harness.record.trace import trace_content
from harness.recording.built import built_at
from harness.recording.perturbation import Enough, Perturbation, perturbed
from harness.report.where_text import unknown_text, where_text


PROGRAM = """
import copy
import torch
import torch.nn.functional as F
import numpy as np
from torch import nn
from harness import Recorder

STD = (0.25, 0.24, 0.26)
SETTINGS = {"eps": 1e-5, "average": 0.9}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4, eps=SETTINGS["eps"])
        self.head = nn.Linear(4, 5)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out")

    def forward(self, x):
        y = self.norm(self.conv(x))
        y = F.relu(y + x.mean())
        y = F.dropout(y, 0.2, self.training)
        return self.head(y.mean((2, 3)))

def prepare(x):
    return x / torch.tensor(STD).view(3, 1, 1)

def load():
    return np.arange(75.0).reshape(1, 3, 5, 5), np.uint8(0)

def rate(step):
    return 1 / (1 + step)

def criterion(output, labels):
    return F.cross_entropy(output, labels, label_smoothing=0.1)

@torch.no_grad()
def update(average, model):
    for a, b in zip(average.parameters(), model.parameters()):
        a.mul_(SETTINGS["average"]).add_(b, alpha=1 - SETTINGS["average"])

@torch.no_grad()
def evaluate(model, x, labels):
    model.eval()
    output = model(x)
    return criterion(output, labels).item()

def train():
    with Recorder() as recorder:
        x, labels = prepare(torch.rand(12, 3, 5, 5)), torch.arange(12) % 5
        rest, others = prepare(torch.rand(4, 3, 5, 5)), torch.arange(4) % 5
        x = x + torch.from_numpy(load()[0]) / 75
        model = Net()
        average = copy.deepcopy(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        recorder.watch(model, optimizer)
        recorder.watch(average, name="average")
        for step in range(3):
            batch = slice(4 * step, 4 * step + 4)
            recorder.batch(x[batch], labels[batch])
            model.train()
            optimizer.zero_grad()
            output = model(x[batch])
            loss = criterion(output, labels[batch])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            schedule.step()
            update(average, model)
            recorder.log(loss=loss)
            if step == 1:
                recorder.evaluation(loss=evaluate(model, rest, others))
                recorder.evaluation(average=evaluate(average, rest, others))
    return recorder.record
"""


def run(folder, text=PROGRAM, *, early=False):
    """Record and trace of the program."""
    path = folder / "program.py"
    path.write_text(text)
    linecache.clearcache()
    spec = importlib.util.spec_from_file_location("program", path)
    module = importlib.util.module_from_spec(spec)
    tracing = Tracing(folder, early=early)
    with tracing.building(), perturbed(Perturbation(plant=tracing)):
        exec(compile(text, path, "exec"), vars(module))  # no bytecode: an edit within the second would meet the old one
        try:
            record = module.train()
        except Enough as enough:
            record = enough.record
    return record, tracing.of(record)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """The baseline of the program."""
    record, traced = run(tmp_path_factory.mktemp("baseline"))
    return Baseline(record, trace=traced.kept)


def edited(*edits):
    """The program with other texts."""
    text = PROGRAM
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def row_of(comparison, traced):
    """What is told, if anything is."""
    found = where(comparison, traced)
    return where_text(found) if found else ""


def told(baseline, folder, *edits):
    """What is told of the edited program: the text of its row, and of the line that it names first."""
    text = edited(*edits)
    record, traced = run(folder, text)
    assert not traced.error
    row = row_of(compare(baseline, record), traced)
    return row, text.splitlines()[int(row.partition(" ")[0].partition(":")[2]) - 1].strip() if row else ""


CASES = [
    ("F.relu(y + x.mean())", "F.gelu(y + x.mean())", "now aten.gelu      baseline aten.relu"),
    ("F.relu(y + x.mean())", "x.mean() + F.relu(y)", "aten.relu"),
    ("y = F.dropout(y, 0.2, self.training)", "pass", "baseline aten.bernoulli"),
    ("output = model(x[batch])", "output = model(x[batch]).softmax(1)", "aten._softmax, which the baseline has not"),
    (", label_smoothing=0.1", "", "in criterion, called at program.py:"),
    ('mode="fan_out"', 'mode="fan_in"', "in Net.__init__, called at program.py:"),
    (
        "loss = criterion(output, labels[batch])",
        "loss = criterion(output, labels[batch]) + 0.01 * output.pow(2).mean()",
        "aten.pow, which the baseline has not",
    ),
    ("loss.backward()", "(2 * loss).backward()", "aten.mul"),
    (
        "            optimizer.step()",
        "            [p.grad.add_(p) for p in model.parameters()]; optimizer.step()",
        "aten.add_",
    ),
    (
        "nn.utils.clip_grad_norm_(model.parameters(), 0.1)",
        "[nn.utils.clip_grad_norm_([p], 0.1) for p in model.parameters()]",
        "aten.",
    ),
    ("F.dropout(y, 0.2, self.training)", "F.dropout(y, 0.2)", "aten.bernoulli_, which the baseline has not"),
    (
        "    model.eval()\n    output = model(x)",
        "    output = model(x)",
        "call of Net.eval in evaluate",
    ),
    ("return criterion(output, labels).item()", "return criterion(2 * output, labels).item()", "aten.mul"),
]
"""An edit, and what is told of it."""


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [pytest.param(*case, marks=[pytest.mark.long] * (index % 3 > 0)) for index, case in enumerate(CASES)],
)
@pytest.mark.filterwarnings("ignore")
def test_an_edited_line_is_named(baseline, tmp_path, old, new, part):
    """With its operation and what was there before; of one that is gone, the next line."""
    row, line = told(baseline, tmp_path, old, new)

    assert line in new or new in line or (new == "pass" and line == "return self.head(y.mean((2, 3)))")
    assert part in row


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("STD = (0.25,", "STD = (0.5,", "STD (0.25, 0.24, 0.26) -> (0.5, 0.24, 0.26)"),
        ('"eps": 1e-5', '"eps": 1e-3', "SETTINGS['eps'] 1e-05 -> 0.001"),
        ('"average": 0.9', '"average": 0.8', "SETTINGS['average'] 0.9 -> 0.8"),
    ],
)
def test_a_constant_is_named_with_its_values(baseline, tmp_path, old, new, part):
    """The line named uses it, or the line that built the module which the operation runs in."""
    row, _ = told(baseline, tmp_path, old, new)

    assert part in row
    assert "{" not in row  # of a table the entry alone


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("loss=evaluate(model, rest, others)", "loss=evaluate(model, x, labels)"),
        ("average=evaluate(average,", "average=evaluate(model,"),
    ],
)
def test_another_argument_of_an_evaluation_is_named(baseline, tmp_path, old, new):
    """By the line that calls the function, beside that in which the model is called."""
    row, line = told(baseline, tmp_path, old, new)

    called = next(at for at, text in enumerate(PROGRAM.splitlines(), 1) if old in text)
    assert f"called at program.py:{called}" in row
    assert line == "output = model(x)"


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("np.arange(75.0)", "2 * np.arange(75.0)", "after load() at program.py:{} gave "),
        ("1 / (1 + step)", "1 / (2 + step)", "program.py:{} in rate      rate() gives 0.5, baseline 1"),
    ],
)
def test_what_a_function_returned_is_told(baseline, tmp_path, old, new, part):
    """Alone, or beside the operation that gives another number: none shows what NumPy and Python compute."""
    line = next(at for at, text in enumerate(PROGRAM.splitlines(), 1) if old in text)
    assert told(baseline, tmp_path, old, new)[0].count(part.format(line)) == 1


def test_a_value_that_the_baseline_has_is_not_told(baseline, tmp_path):
    """Of a function that is called more often."""
    edits = ("        x = x + torch", "        load()\n        x = x + 2 * torch")
    assert "load()" not in told(baseline, tmp_path, *edits)[0]


def test_a_draw_that_is_used_for_nothing_is_named(baseline, tmp_path):
    """Whatever is drawn after it is another number."""
    row, line = told(baseline, tmp_path, "    y = F.dropout(", "    torch.rand(1)\n        y = F.dropout(")

    assert (line, row.endswith("aten.rand, which the baseline has not")) == ("torch.rand(1)", True)


def test_rows_that_are_missing_are_told(tmp_path):
    """By the line that makes such rows: an evaluation without its last batch, say."""
    once = "    output = model(x)\n    return criterion(output, labels).item()"
    parts = """    total = 0.0
    for part, own in zip(x.split(2), labels.split(2)):
        output = model(part)
        total += criterion(output, own).item()
    return total"""
    record, traced = run(tmp_path, edited(once, parts))
    shorter = parts.replace("x.split(2), labels.split(2)", "x.split(2)[:1], labels.split(2)")
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, once, shorter)

    assert "missing here: the baseline's " in row
    assert line == "output = model(part)"


DATA = (
    "def load():",
    "def moved(x):\n    return x + 1\n\ndef load():",
    "            recorder.batch(x[batch],",
    """            images = torch.from_numpy(moved(np.arange(300.0).reshape(4, 3, 5, 5) / 300))
            recorder.batch(images,""",
    "model(x[batch])",
    "model(images)",
)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("return x + 1", "return x + 2.5", " in moved      moved() gives "),
        ("np.arange(300.0)", "-np.arange(300.0)", ""),
    ],
)
def test_of_a_batch_no_effect_is_told(tmp_path, old, new, part):
    """Not the call of the model, nor what a function makes of others: it is said why no line is known."""
    record, traced = run(tmp_path, edited(*DATA))
    baseline = Baseline(record, trace=traced.kept)
    record, traced = run(tmp_path, edited(*DATA).replace(old, new))
    comparison = compare(baseline, record)

    assert part in row_of(comparison, traced)
    assert bool(row_of(comparison, traced)) == bool(part)
    assert unknown(comparison, traced) == "no operation of torch differs before the batch"
    comparison.baseline.trace.parts["start"] = dataclasses.replace(comparison.baseline.trace.parts["start"], cut=True)
    assert unknown(comparison, traced) == "of so many operations the baseline keeps a part"


def test_a_last_operation_that_is_gone_is_told_in_its_function(tmp_path):
    """Not at the next one, of the function that called it."""
    block = ("class Net", "def block(y, x):\n    y = y + x.mean()\n    return F.relu(y)\n\nclass Net",
             "F.relu(y + x.mean())", "block(y, x)")  # fmt: skip
    record, traced = run(tmp_path, edited(*block))
    without = (block[0], block[1].replace("F.relu(y)", "y"), *block[2:])
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *without)

    assert (line, row.endswith("missing here: the baseline's aten.relu")) == ("y = y + x.mean()", True)


def test_a_first_operation_that_is_gone_is_told_in_its_function(tmp_path):
    """With the line that calls it, if the operation before stands there: it may be gone from either."""
    block = ("class Net", "def block(y):\n    y = y.sub(1)\n    return F.relu(y)\n\nclass Net",
             "F.relu(y + x.mean())", "block(y + x.mean())")  # fmt: skip
    record, traced = run(tmp_path, edited(*block))
    without = (block[0], block[1].replace("y = y.sub(1)", "pass"), *block[2:])
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *without)

    assert line == "return F.relu(y)"
    assert "in block, called at program.py:" in row


def test_what_was_added_to_a_batch_is_named(tmp_path):
    """Though nothing of the baseline stood in its place, nor is made of it before the model is called."""
    images = "images = x[batch]\n            recorder.batch(images,"
    whole = ("recorder.batch(x[batch],", images, "model(x[batch])", "model(images)")
    record, traced = run(tmp_path, edited(*whole))
    added = (whole[0], images.replace("x[batch]", "x[batch].cumsum(3)"), *whole[2:])
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *added)

    assert (line, row.endswith("aten.cumsum, which the baseline has not")) == ("images = x[batch].cumsum(3)", True)


TRANSFORMED = ("F(p, *batch)", "vmap(F, (None, 0, 0))(p, *batch).mean()", "jvp(lambda p: F(p, *batch), (p,), (p,))[1]")


@pytest.mark.parametrize("transformed", TRANSFORMED)
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
def test_what_torch_func_transforms_is_traced(tmp_path, transformed):
    """Tensors that are wrapped to be differentiated, or to run in a batch: the edited line is named."""
    text = FUNCTIONAL.replace("TRANSFORMED", transformed)
    record, traced = run(tmp_path, text)
    baseline, text = Baseline(record, trace=traced.kept), text.replace("+ p", "+ 2 * p")
    record, traced = run(tmp_path, text)
    place = where(compare(baseline, record), traced).operation.places[0]

    assert "+ 2 * p" in text.splitlines()[place.line - 1]


FUNCTIONAL = """
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from harness import Recorder

def train():
    with Recorder() as recorder:
        model = nn.Linear(3, 2)
        recorder.watch(model)
        def F(p, x, y):
            return (functional_call(model, p, (x,)) - y).square().mean() + p["weight"].square().sum()
        for _ in range(2):
            batch = torch.rand(4, 3), torch.rand(4, 2)
            recorder.batch(*batch)
            p = dict(model.named_parameters())
            gradients = grad(lambda p: TRANSFORMED)(p)
            with torch.no_grad():
                [value.sub_(gradients[name]) for name, value in p.items()]
            recorder.step()
            recorder.log()
    return recorder.record
"""


def test_a_module_that_does_nothing_changes_no_call(baseline, tmp_path):
    """The fault beside it is named."""
    spare = ("self.head = nn.Linear(4, 5)", "self.head = nn.Linear(4, 5); self.spare = nn.Identity()")

    assert "now aten.gelu" in told(baseline, tmp_path, *spare, "F.relu(y", "F.gelu(y")[0]


def test_somebody_elses_profiler_stays(tmp_path):
    """What functions return is then not known; ours is gone after a step."""

    def profiler(*_):
        pass

    sys.setprofile(profiler)
    try:
        _, traced = run(tmp_path)
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    rows = {row.name for row in run(tmp_path)[1].parts["start"].operations}
    assert {"load()", "rate()"} <= rows
    assert sys.getprofile() is None
    assert not {"load()", "rate()"} & {row.name for row in traced.parts["start"].operations}


def test_the_line_that_built_an_optimizer_is_named(baseline, tmp_path):
    """Where its settings are others, not that of its step."""
    row, line = told(baseline, tmp_path, "weight_decay=0.01", "weight_decay=0.02")

    assert line.startswith("optimizer = torch.optim.SGD(")
    assert row.endswith("builds the optimizer whose settings are others")


TWO = """
import torch
from torch import nn
from harness import Recorder

def train():
    with Recorder() as recorder:
        actor, critic = nn.Linear(3, 2), nn.Linear(3, 1)
        acts = torch.optim.Adam(actor.parameters(), lr=0.01)
        judges = torch.optim.Adam(critic.parameters(), lr=0.02)
        recorder.watch(actor, acts, name="actor")
        recorder.watch(critic, judges, name="critic")
        for _ in range(2):
            x = torch.rand(4, 3)
            loss = (actor(x).log_softmax(1) * critic(x)).mean()
            loss.backward()
            acts.step()
            judges.step()
            recorder.log(loss=loss)
    return recorder.record
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("lr=0.01", "lr=0.02", 9), ("lr=0.02", "lr=0.03", 10), ("lr=0.02", "lr=0.02, betas=(0.8, 0.999)", 10)],
)
def test_of_two_optimizers_the_line_is_named_that_built_the_one(tmp_path, old, new, line):
    """An actor's and a critic's, say: the one whose settings are others."""
    record, traced = run(tmp_path, TWO)
    now, seen = run(tmp_path, TWO.replace(old, new))
    row = row_of(compare(Baseline(record, trace=traced.kept), now), seen)

    assert row.startswith(f"program.py:{line} in train")
    assert row.endswith("builds the optimizer whose settings are others")


LOADED = """
import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from harness import Recorder

CRITERION = nn.CrossEntropyLoss(label_smoothing=0.1)
SIZE = 4
GROUPED = 2

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.limit = nn.Hardtanh(
            min_val=-0.1,


            max_val=0.1,
        )

    def forward(self, x, late):
        return self.limit(self.linear(x)) if late else self.linear(x)

def loader(x, labels):
    generator = torch.Generator()
    generator.manual_seed(1)
    data = TensorDataset(x, labels)
    return DataLoader(
        data,
        SIZE,
        generator=generator,


        drop_last=False,


        shuffle=True,
    )

def train():
    with Recorder() as recorder:
        noise = np.random.default_rng(2).permutation(18) / 18
        labels = random.Random(3).choices(range(3), k=18)
        x = torch.from_numpy(noise)[:, None] + torch.rand(18, 5)
        model = Net()
        optimizer = torch.optim.AdamW(
            model.parameters(),


            betas=(0.9, 0.99),
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
        recorder.watch(model, optimizer)
        for at, (images, targets) in enumerate(loader(x, torch.tensor(labels))):
            recorder.batch(images, targets)
            optimizer.zero_grad()
            loss = CRITERION(model(images, at > 0), targets) / GROUPED
            loss.backward()
            recorder.log(loss=loss)
            if GROUPED < 3 or at % 2:
                optimizer.step()
                schedule.step()
    return recorder.record
"""


ROLLED = """
import math
import random
import torch
from torch import nn
from harness import Recorder

PULL = 0.5

class World:
    def __init__(self, draws):
        self.draws, self.place = draws, 0.0

    def move(self, push):
        self.place += push - PULL * self.place + self.draws.gauss(0, 0.1)
        return self.place

def spread(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))

def summed(rewards):
    sums = [0.0]
    for reward in reversed(rewards):
        sums.append(reward + 0.9 * sums[-1])
    return sums[:0:-1]

def episode(world, policy):
    seen, rewards = [0.0], []
    for _ in range(60):
        with torch.no_grad():
            push = policy(torch.tensor([seen[-1]])).clamp(-1, 1).item()
        seen.append(world.move(push))
        rewards.append(1 - abs(seen[-1]))
    return seen[:-1], rewards

def train():
    with Recorder() as recorder:
        for _ in range(150):
            known = torch.rand(7).softmax(0).log().exp()
        policy, world = nn.Linear(1, 1), World(random.Random(0))
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
        recorder.watch(policy, optimizer)
        for _ in range(2):
            seen, rewards = episode(world, policy)
            sums = summed(rewards)
            scale = spread(sums)
            inputs, targets = torch.tensor(seen)[:, None], torch.tensor([value / scale for value in sums])
            recorder.batch(inputs, targets)
            optimizer.zero_grad()
            output = policy(inputs)[:, 0]
            loss = (output - targets).square().mean() + 0.1 * (output * output.detach()).mean()
            loss.backward()
            optimizer.step()
            recorder.log(loss=loss)
    return recorder.record
"""


@pytest.fixture(scope="module")
def rolled(tmp_path_factory):
    """The baseline of a program that runs its model, and much else, before its first batch."""
    record, traced = run(tmp_path_factory.mktemp("rolled"), ROLLED)
    return Baseline(record, trace=traced.kept)


@pytest.mark.parametrize(
    ("old", "new", "named", "says"),
    [
        ("/ len(values))", "/ (len(values) - 1))", "torch.tensor(seen)", "after spread()"),
        ("sums[:0:-1]", "sums[1:]", "torch.tensor(seen)", "after summed()"),
        ("value / scale for", "value * scale for", "torch.tensor(seen)", "torch.tensor gives"),
        (".square().mean()", ".abs().mean()", "loss = ", "now aten.abs"),
        (".detach()", "", "loss = ", "missing here: the baseline's call of Tensor.detach"),
        (
            "            optimizer.zero_grad()\n",
            "",
            "torch.tensor(seen)",
            "missing here: the baseline's call of SGD.zero_grad",
        ),
    ],
)
def test_what_runs_again_and_again_before_a_step_hides_no_line(rolled, tmp_path, old, new, named, says):
    """Samples made one by one, passes of an episode; nor do those passes end what was made ready for the batch."""
    text = ROLLED.replace(old, new)
    record, traced = run(tmp_path, text)
    row = row_of(compare(rolled, record), traced)

    assert ROLLED.count(old) == 1
    assert says in row
    assert named in text.splitlines()[int(row.partition(" ")[0].partition(":")[2]) - 1]


ZEROED, MOVED = "            optimizer.zero_grad()", "                schedule.step()"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The baseline of a program with a data loader, seeds, a schedule, and what is built when it is imported."""
    record, traced = run(tmp_path_factory.mktemp("loaded"), LOADED)
    return Baseline(record, trace=traced.kept)


UNSEEN = [
    ("label_smoothing=0.1", "label_smoothing=0.2", "CRITERION(", "built at program.py:9 "),
    ("shuffle=True", "shuffle=False", "shuffle=False", "builds the data loader that samples otherwise"),
    ("betas=(0.9", "betas=(0.8", "betas=(0.8", "builds the optimizer whose settings are others"),
    ("max_val=0.1", "max_val=0.2", "max_val=0.2", "builds the module whose settings are others"),
    ("gamma=0.5", "gamma=0.6", "StepLR(", "gamma 0.5 -> 0.6      builds the schedule whose settings are others"),
    ("manual_seed(1)", "manual_seed(5)", "manual_seed(5)", "Generator.manual_seed() gives 5, baseline 1"),
    ("default_rng(2)", "default_rng(5)", "default_rng(5)", "numpy.random.default_rng() gives 5, baseline 2"),
    ("Random(3)", "Random(5)", "Random(5)", "Random.seed() gives 5, baseline 3"),
    ("GROUPED = 2", "GROUPED = 3", "/ GROUPED", "GROUPED 2 -> 3      names a constant that is another"),
    (f"{ZEROED}\n", "", "in enumerate(loader", "missing here: the baseline's call of AdamW.zero_grad in train"),
    ("schedule.step()", "[schedule.step() for _ in '12']", "'12'", "call of StepLR.step in "),
]
AT_NIGHT = [
    ("drop_last=False", "drop_last=True", "drop_last=True", "called at program.py:"),
    ("SIZE = 4", "SIZE = 5", "return DataLoader(", "      SIZE 4 -> 5      "),
    (f"{MOVED}\n", "", "optimizer.step()", "missing here: the baseline's call of StepLR.step in train"),
]
VALUES = {
    "manual_seed(5)": ("", "1", "5"),
    "max_val=0.2": ("max_val", "0.1", "0.2"),
    "SIZE = 5": ("SIZE", "4", "5"),
    "drop_last=True": ("drop_last", "False", "True"),
}
"""Of edits: what a line may say as it was, and as it is."""


@pytest.mark.parametrize(
    ("old", "new", "named", "says"), [*UNSEEN, *(pytest.param(*each, marks=pytest.mark.long) for each in AT_NIGHT)]
)
def test_what_no_operation_shows_is_named_by_its_line(loaded, tmp_path, old, new, named, says):
    """What is built with other settings, at the line of the argument; a seed; a constant; a call; with its value."""
    text = LOADED.replace(old, new)
    record, traced = run(tmp_path, text)
    comparison = compare(loaded, record)
    found = where(comparison, traced)
    row = where_text(found)

    assert LOADED.count(old) == 1
    assert named in text.splitlines()[int(row.partition(" ")[0].partition(":")[2]) - 1]
    assert says in row
    assert {VALUES.get(new)} <= {None, *given(comparison, found)}


def test_calls_that_are_made_elsewhere_are_none(loaded, tmp_path):
    """Gradients that are zeroed behind the step, not before it, are the same: the fault beside that is named."""
    moved = LOADED.replace(f"{ZEROED}\n", "").replace(MOVED, f"{MOVED}\n{ZEROED}")
    record, traced = run(tmp_path, moved.replace("loss.backward()", "(2 * loss).backward()"))

    assert "aten.mul" in row_of(compare(loaded, record), traced)


BENIGN = (
    "y = self.norm(self.conv(x))",
    """y = by_hand(self.norm, self.conv(x).clone())""",
    "class Net",
    """def by_hand(norm, x):
    if not norm.training:
        return norm(x)
    count = x.numel() // x.shape[1]
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    with torch.no_grad():
        norm.running_mean.mul_(0.9).add_(0.1 * mean)
        norm.running_var.mul_(0.9).add_(0.1 * var * (count / (count - 1)))
        norm.num_batches_tracked += 1
    x = (x - mean[:, None, None]) / (var + norm.eps).sqrt()[:, None, None]
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]

class Net""",
)


def test_what_computes_the_same_is_passed_over(baseline, tmp_path):
    """A normalisation by hand, a copy: the fault behind it is named."""
    row, line = told(baseline, tmp_path, *BENIGN, "F.relu(y + x.mean())", "F.gelu(y + x.mean())")

    assert (line, "now aten.gelu" in row) == ("y = F.gelu(y + x.mean())", True)


def test_what_does_not_come_back_of_code_by_hand_is_told(baseline, tmp_path):
    """Not where that code begins."""
    wrong = (BENIGN[0], BENIGN[1], BENIGN[2], BENIGN[3].replace("add_(0.1 * mean)", "add_(0.2 * mean)"))

    assert "0.2 * mean" in told(baseline, tmp_path, *wrong)[1]


def test_what_is_made_ready_for_later_is_told(baseline, tmp_path):
    """Labels of which the first batch has none, images of the evaluation."""
    line = told(baseline, tmp_path, "torch.arange(12) % 5", "torch.arange(12) % 5; labels[7] = 4")[1]
    assert line.endswith("labels[7] = 4")
    line = told(baseline, tmp_path, "prepare(torch.rand(4, 3, 5, 5))", "prepare(2 * torch.rand(4, 3, 5, 5))")[1]
    assert line.startswith("rest, others = ")


def test_what_is_gone_is_told_by_the_line_behind_it(baseline, tmp_path):
    """Of an evaluation that is left out, say, where nothing new is computed."""
    row, line = told(
        baseline, tmp_path, "                recorder.evaluation(average=evaluate(average, rest, others))\n", ""
    )

    assert row.endswith("missing here: the baseline's call of the model")
    assert line == "recorder.batch(x[batch], labels[batch])"


def test_an_evaluation_is_told_that_moves_no_number_of_its_own(tmp_path):
    """A forgotten `eval()` shows in the next step alone, but its cause in the evaluation: where it was called."""
    counts = ("return criterion(output, labels).item()", "return float(len(output))")
    record, traced = run(tmp_path, edited(*counts))
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *counts, "    model.eval()\n", "")

    assert line == "output = model(x)"
    assert row.endswith("missing here: the baseline's call of Net.eval in evaluate")


def test_nothing_is_told_where_the_trace_does_not_reach(baseline, tmp_path):
    """Of what begins at a later step; of another version of torch, whose operations may be others."""
    later = ("loss = criterion(output, labels[batch])", "loss = criterion(output, labels[batch]) * (1 + (step == 1))")
    assert told(baseline, tmp_path, *later)[0] == ""
    record, traced = run(tmp_path, edited(*later))
    reason = "operations are kept of the first step and the first evaluation"
    assert unknown(compare(baseline, record), traced) == reason
    old = dataclasses.replace(baseline, trace=dataclasses.replace(baseline.trace, torch="2.10.0"))
    assert told(old, tmp_path, "F.relu(", "F.gelu(")[0] == ""
    assert unknown_text(Traced.failed("no record").error) == "no line is known: no record"


def test_a_trace_ends_early_with_the_record_so_far(baseline, tmp_path):
    """As soon as the first evaluation is over; what was recorded is what the whole training records."""
    record, traced = run(tmp_path, early=True)

    assert record.num_steps == 2
    assert traced.kept == baseline.trace
    assert is_same_start(baseline.record, record)
    other = dataclasses.replace(
        record, streams=baseline.record.streams | {"loss": record.streams["gradient/head.bias"]}
    )
    assert not is_same_start(other, record)
    never = {"never": Stream("forward", (0, 1), (math.nan, math.inf))}  # of a gate that allows it
    both = [dataclasses.replace(each, streams=each.streams | never) for each in (baseline.record, record)]
    assert is_same_start(*both)
    assert not is_same_start(baseline.record, both[1])


def test_a_trace_costs_nothing_once_it_has_ended(tmp_path):
    """No mode, no hook, no constructor stays behind."""
    before = torch.nn.Module.__init__, torch.optim.Optimizer.__init__
    run(tmp_path)

    assert (torch.nn.Module.__init__, torch.optim.Optimizer.__init__) == before
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None


def test_a_tracer_that_fails_leaves_the_training_alone(tmp_path, monkeypatch):
    """The trace says why there is none."""
    monkeypatch.setattr("harness.explaining.operations.number", lambda tensors: 1 / 0)
    record, traced = run(tmp_path)

    assert record.num_steps == 3
    assert (traced.error, traced.kept) == ("ZeroDivisionError: division by zero", None)


def test_a_trace_comes_back_from_its_text(baseline):
    """Names as they were, numbers to nine digits; in a baseline it takes at most 8 KB, beside a table of constants."""
    read = Baseline.from_text(baseline.to_text()).trace
    kept = baseline.trace.parts["start"]

    assert read.parts["start"].names == list(kept.names)
    assert read.parts["start"].numbers == pytest.approx(kept.numbers, rel=1e-8)
    assert read.constants == baseline.trace.constants
    assert sum(len(part["packed"]) for part in trace_content(read)["parts"].values()) < 8192


def test_a_long_trace_is_kept_without_its_backward_operations_and_then_cut():
    """So that it takes at most 8 KB."""
    lines = [(Place("a.py", index, "f"),) for index in range(4000)]
    rows = [Operation("aten.a", random.random(), (), line, None, index % 2 == 0) for index, line in enumerate(lines)]
    several, many = (Traced("2", {"start": Part(0, rows[:size])}, {}).kept.parts["start"] for size in (2000, 4000))

    assert (several.backward, several.cut) == (False, False)
    assert (len(many.names), many.cut) == (600, True)


def test_a_loop_takes_no_room_from_what_comes_after_it(tmp_path):
    """So that an edit of a later line is named; one within it, too, however late it shows."""
    samples = "torch.rand(12, 3, 5, 5)", "torch.stack([torch.rand(3, 5, 5) + i for i in range(800)])[-12:]"
    record, traced = run(tmp_path, edited(*samples))
    base = Baseline(record, trace=traced.kept)

    assert told(base, tmp_path, *samples, 'SETTINGS["average"]).add_', "0.8).add_")[1].startswith("a.mul_(0.8)")
    assert "the rest of the line gives" in told(base, tmp_path, *samples, "+ i for", "+ min(i, 790) for")[0]


REMEMBERS = (
    "        schedule =",
    "        memory = torch.zeros(5)\n        schedule =",
    "criterion(output, labels[batch])\n            loss.backward",
    "criterion(output, labels[batch]) + (memory * output.mean(0)).sum()\n            loss.backward",
    "            update(average, model)",
    "            update(average, model)\n            memory = output.detach().mean(0)",
)


def test_what_the_first_step_left_unrecorded_is_named(tmp_path):
    """Where the numbers of the second differ: a queue, or an average that nobody watches."""
    record, traced = run(tmp_path, edited(*REMEMBERS))
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *REMEMBERS, "detach().mean(0)", "detach().amax(0)")

    assert line == "memory = output.detach().amax(0)"
    assert "now aten.amax" in row


def test_a_loss_that_is_no_longer_scaled_is_told_where_it_is_differentiated(tmp_path):
    """Not where it is computed: there, it is what it was."""
    scaled = "            loss.backward()", "            (loss / 2).backward()"
    record, traced = run(tmp_path, edited(*scaled))
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, scaled[0], f"{scaled[0]}  # once")

    assert line == "loss.backward()  # once"
    assert "missing here: the baseline's aten.div" in row


def test_gradients_that_are_not_zeroed_are_told_where_a_loop_logs_their_norm(tmp_path):
    """Though what a loop logs counts as forward."""
    logs = (
        "            nn.utils.clip",
        "            norm = nn.utils.clip",
        "log(loss=loss)",
        "log(loss=loss, norm=norm)",
    )
    record, traced = run(tmp_path, edited(*logs))
    row, _ = told(Baseline(record, trace=traced.kept), tmp_path, *logs, "            optimizer.zero_grad()\n", "")

    assert "missing here: the baseline's call of SGD.zero_grad in train" in row


BY_HAND = (
    "def train():",
    "def ratio(p, d):\n    return p.norm() / d.norm()\n\n"
    "def move(p):\n    d = p.grad.add(p, alpha=0.1)\n    d = d * ratio(p, d)\n    p.sub_(d)\n\ndef train():",
    "            nn.utils.clip_grad_norm_(model.parameters(), 0.1)\n",
    "            with torch.no_grad():\n                [move(p) for p in model.parameters()]\n",
)


def test_what_is_gone_right_behind_a_backward_pass_is_not_told_in_the_model(tmp_path):
    """But in the function that it was moved in, though that has another one run before; so without that pass's rows."""
    record, traced = run(tmp_path, edited(*BY_HAND))
    decay = (
        "p.grad.add(p, alpha=0.1)\n    d = d * ratio(p, d)",
        "p.grad * ratio(p, p.grad)\n    d = d.add(p, alpha=0.1)",
    )
    shorter = {"start": traced.parts["start"].kept(backward=False, of_a_line=1000, most=5000)}

    for trace in (traced.kept, dataclasses.replace(traced.kept, parts=shorter)):
        assert told(Baseline(record, trace=trace), tmp_path, *BY_HAND, *decay)[1] == "d = d.add(p, alpha=0.1)"


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_an_evaluation_of_a_part_of_a_model_is_traced(tmp_path):
    """An encoder without its head, say: what differs in it is named."""
    probe = "    output = model(x)\n    return", "    output = model.norm(model.conv(x)).mean((2, 3))\n    return"
    labels = "criterion(output, labels).item()", "criterion(output, labels % 4).item()"
    script = "nn.Linear(4, 5)", "torch.jit.script(nn.Linear(4, 5))"  # takes no hooks
    record, traced = run(tmp_path, edited(*probe, *script, *labels))
    edit = labels[0], "criterion(output.exp(), labels % 4).item()"
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *probe, *script, *edit)

    assert "output.exp()" in line
    assert "aten.exp" in row


@pytest.mark.parametrize("part", ["", "c-qZ", "{}"])
def test_a_trace_that_somebody_broke_is_refused(baseline, part):
    """As any other part of a baseline."""
    content = trace_content(baseline.trace)
    content["parts"]["start"]["packed"] = part
    with pytest.raises(RecordError):
        Baseline.from_text(baseline.record.to_text(trace=content))


@pytest.mark.parametrize("size", [3, 5000])
def test_a_number_tells_tensors_apart(size):
    """By size, sign and order; NaN and infinity are numbers too; of one element it is that itself."""
    values = torch.linspace(-1, 2, size, dtype=torch.float64)
    others = [values * 1.001, -values, values.flip(0), values.clone().index_fill_(0, torch.tensor([1]), torch.nan)]

    assert len({number([each]) for each in (values, *others)}) == 5
    assert number([torch.tensor(-0.25)]) == -0.25
    assert number([]) == 0


def test_of_a_table_the_one_entry_that_is_another_is_named(tmp_path):
    """Where no operation tells: the first line that uses the entry, and not the first that uses the table."""
    used = LOADED.replace("GROUPED", "GROUPED['every']")
    table = "GROUPED['every'] = 2", "GROUPED = {'other': 1, 'every': 2}"
    before = used.replace(*table)
    now = before.replace("'every': 2", "'every': 3")
    record, traced = run(tmp_path, before)
    present, again = run(tmp_path, now)
    row = row_of(compare(Baseline(record, trace=traced.kept), present), again)

    assert "      GROUPED['every'] 2 -> 3      names a constant that is another" in row


def test_what_is_gone_of_a_loss_that_another_term_follows_is_named(tmp_path):
    """The line that computed it, although the first number that differs is that of the sum."""
    loss = "loss = criterion(output, labels[batch])"
    term = [loss, f"{loss} + sum(p.square().sum() for p in model.parameters())"]
    record, traced = run(tmp_path, edited(*term))
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, *term, ", label_smoothing=0.1", "")

    assert line == "return F.cross_entropy(output, labels)"
    assert "missing here: the baseline's aten.sum" in row


def test_the_line_that_gives_a_tensor_to_another_group_is_named(tmp_path):
    """No number tells it before the tensor moves."""
    whole = "SGD(model.parameters(), lr=0.1, "
    groups = "SGD([{{'params': [*model.parameters()][{0}:]}}, {{'params': [*model.parameters()][:{0}]}}], lr=0.1, "
    record, traced = run(tmp_path, edited(whole, groups.format(1)))
    row, line = told(Baseline(record, trace=traced.kept), tmp_path, whole, groups.format(2))

    assert line.startswith("optimizer = torch.optim.SGD([")
    assert row.endswith("builds the optimizer that holds it in another group")


def test_who_builds_what_before_there_is_a_session_is_noted(tmp_path, monkeypatch):
    """A conftest.py of the project's root is imported then; only where a training is traced."""
    noted = []
    for traces in (True, False):
        assignment = Assignment("t.py::test", "", Perturbation(), "", tmp_path, traces=traces)
        monkeypatch.setattr(Assignment, "from_environment", lambda of=assignment: of)
        with noting_builders(SimpleNamespace(stash=pytest.Stash(), rootpath=Path(__file__).parents[1])):
            noted.append(built_at(nn.Linear(2, 2)))

    assert noted[0].places[0].file == "tests/test_trace.py"
    assert noted[1] is None
