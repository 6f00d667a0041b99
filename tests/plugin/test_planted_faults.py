"""Promises to a pull request: faults planted in a user's training turn its job red, and the message names the place."""

import pytest


LOOP = """
import pytest
import torch
from torch import nn
from torch.nn import functional
from harness import Recorder, figures
from harness.shipped.load import load_dataset
from harness.shipped.augmentation import crop_and_flip, normalise
from harness.shipped.batches import batches


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, momentum=0.1)
        self.fc = nn.Linear(8 * 16, 10)

    def forward(self, x):
        x = functional.relu(self.norm(self.conv(x)))
        return self.fc(functional.adaptive_avg_pool2d(x, 4).flatten(1))


@pytest.fixture(scope="module")
def record():
    data = load_dataset("synthetic").first(120, 40)
    labels_N = data.train_labels_N.clone()
    with Recorder(precision="float64", seed=0) as recorder:
        order, augmentation = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        recorder.watch(model, optimizer)
        for epoch in range(2):
            for indices in batches(120, 50, order):
                model.train()
                images, labels = data.train_images_NHWC[indices], labels_N[indices]
                images = crop_and_flip(images, augmentation)
                recorder.batch(images, labels)
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(normalise(images, torch.float64)), labels)
                loss.backward()
                optimizer.step()
                recorder.log(loss=loss)
            model.eval()
            with torch.no_grad():
                logits = model(normalise(data.test_images_NHWC, torch.float64))
            recorder.log(test_loss=functional.cross_entropy(logits, data.test_labels_N))
    return recorder.record


def test_training(record, training_regression):
    training_regression.check(record)


@pytest.mark.mpl_image_compare
def test_loss_curve(record):
    return figures.loss_curve(record)
"""

FAULTS = [
    # what, old, new, headline, whether the loss moves
    ("lr x 1.001", "lr=0.1,", "lr=0.1001,", "step 0 on: schedule, learning rate of all parameters", True),
    ("one label", "_labels_N.clone()", "_labels_N.clone(); labels_N[7] = 0", "step * on: data, labels of *", True),
    ("no flip", "crop_and_flip(images, augmentation)", "images", "step 0 on: data, images of the batch", True),
    ("BN momentum", "momentum=0.1)", "momentum=0.11)", "the start: structure, settings of module norm", False),
    (
        "momentum 0.899",
        "momentum=0.9,",
        "momentum=0.899,",
        "step 0 on: schedule, momentum of all parameters",
        True,
    ),
    ("no train()", "model.train()", "pass", "step 3 on: forward, mode of the model", True),
    ("no eval()", "model.eval()", "pass", "step 2 on: evaluation, mode of the model in evaluation", False),
    ("no zero_grad", "optimizer.zero_grad()", "pass", "step 1 on: backward, gradient of conv.weight", True),
    (
        "decay 1 % off",
        "weight_decay=5e-4",
        "weight_decay=5.05e-4",
        "step 0 on: schedule, weight_decay of all parameters",
        True,
    ),
]


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """Where the baselines of the sound loop are kept for all faults."""
    return tmp_path_factory.mktemp("committed")


@pytest.mark.parametrize(
    ("old", "new", "headline", "moves"),
    [
        pytest.param(*fault, id=what, marks=[pytest.mark.long] * (index > 2))
        for index, (what, *fault) in enumerate(FAULTS)
    ],
)
def test_a_planted_fault_is_red_and_named(project, committed, old, new, headline, moves):
    """Step, stage and stream are named; where the loss moves, its figure is red too."""
    (project.path / "test_gate.py").write_text(LOOP)
    folder = f"--mpl-generate-path={committed}"
    if not list(committed.glob("*")):
        project.run(folder, passed=2)
    baselines = f"--mpl-baseline-path={committed}"
    project.edit(old, new)
    project.run("--mpl", baselines, failed=2 if moves else 1, passed=0 if moves else 1).stdout.fnmatch_lines(
        [f"training differs from its baseline from {headline}"]
    )


def test_the_sound_loop_is_green(project, committed):
    """Nothing planted, nothing found."""
    (project.path / "test_gate.py").write_text(LOOP)
    project.run(f"--mpl-generate-path={committed}", passed=2)
    project.run("--mpl", f"--mpl-baseline-path={committed}", passed=2)
