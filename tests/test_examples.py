"""Promises of the examples: gated in a few lines, green as they are, red and named when somebody breaks them."""

import shutil
from pathlib import Path

import pytest

from tests.plugin.conftest import project  # noqa: F401 - a fixture


EXAMPLES = Path(__file__).parent / "examples"
RATE = "schedule, learning rate of"
EMBEDDINGS = "bert.embeddings.word_embeddings.weight and 16 more"

FAULTS = {
    ("plain", "train.py"): [
        ("lr=0.05", "lr=0.0505", "step 0 on: schedule, initial_lr of all parameters"),
        ("shuffle=True", "shuffle=False", "step 0 on: data, sampler of data loader 0"),
        ("        model.train()\n", "", "step 6 on: forward, mode of the model"),
        ("            optimizer.zero_grad()\n", "", "step 1 on: backward, gradient of 0.weight"),
    ],
    ("lightning", "lit_stripes.py"): [
        ("accumulate_grad_batches=2", "accumulate_grad_batches=3", "step 0 on: data, batches of the step"),
        ("gradient_clip_val=1.0", "gradient_clip_val=0.999", "step 0 on: backward, gradient of net.0.weight"),
        ("weight_decay=0.01", "weight_decay=0.0101", "step 0 on: schedule, weight_decay of all parameters"),
        (".argmax(1) == labels", ".argmin(1) == labels", "step 2 on: evaluation, val_accuracy of the evaluation"),
    ],
    ("transformers", "finetune.py"): [
        ("else -1", "else 1", "step 0, micro-batch 1 of 2 on: data, input_ids of the batch"),
        ('"cosine"', '"linear"', f"step 3 on: {RATE} {EMBEDDINGS}"),
        ("weight_decay=0.01", "weight_decay=0.0101", f"step 0 on: schedule, weight_decay of {EMBEDDINGS}"),
    ],
}
"""Of each example: edits of its source, and where the headline of the gate says that the runs part."""

NEEDED = {
    "plain": ["torch"],
    "lightning": ["lightning.pytorch", "harness.adapters.lightning"],
    "transformers": [
        "transformers",
        "accelerate",
        "transformers.trainer",
        "transformers.models.bert.modeling_bert",
        "harness.adapters.transformers",
    ],
}
"""What each example imports: here, once, because pytester would import it anew in each run."""


@pytest.fixture
def example(request, project):  # noqa: F811 - the fixture
    """A copy of an example's folder, as a project of its own."""
    for module in NEEDED[request.param]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    (project.path / "test_gate.py").unlink()
    shutil.copytree(EXAMPLES / request.param, project.path, dirs_exist_ok=True)
    return project


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")  # Lightning's own calls of torch
@pytest.mark.parametrize(
    ("example", "source"),
    [pytest.param(*each, id=each[0], marks=() if each[0] == "plain" else pytest.mark.long) for each in FAULTS],
    indirect=["example"],
)
def test_an_example_is_green_until_somebody_breaks_it(example, source):
    """Generated and compared it passes; each edit makes it fail under the headline that names its place."""
    example.generate()
    example.run("--mpl").assert_outcomes(passed=1)

    text = (example.path / source).read_text()
    for right, wrong, place in next(faults for (_, file), faults in FAULTS.items() if file == source):
        example.edit(right, wrong, file=source)
        result = example.run("--mpl")
        result.assert_outcomes(failed=1)
        assert f"training differs from its baseline from {place}" in result.outlines
        (example.path / source).write_text(text)


def test_a_script_is_recorded_in_six_lines():
    """Without the lines that name the recorder, the script is the one that was there before, and at most six do."""
    text = (EXAMPLES / "plain" / "train.py").read_text()
    before = [line for line in text.splitlines() if not line.strip().startswith("recorder and recorder.")]

    assert sum("recorder" in line for line in text.splitlines()) <= 6
    assert [line for line in before if "recorder" in line] == ["def train(epochs=3, recorder=None):"]
    exec(compile("\n".join(before), "train.py", "exec"), {"__name__": "train"})


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_a_framework_is_recorded_without_a_change(name):
    """The source of a fit() does not know that it is recorded; the test says it in one line."""
    (source,) = [path for path in (EXAMPLES / name).glob("*.py") if not path.name.startswith("test_")]
    (test,) = (EXAMPLES / name).glob("test_*.py")

    assert "ecorder" not in source.read_text()
    assert test.read_text().count("Recorder(recorder)") == 1
