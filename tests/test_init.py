"""Promises of `harness init`: what a first gate needs, each only where it is absent, and a test of a loop unseen."""

import re
import subprocess
import sys

import pytest

from harness.baselines.folder import stated_folder
from harness.baselines.store import save_baseline
from harness.commands import main
from harness.commands.loop import found
from tests.plugin.conftest import GENERATE, project  # noqa: F401 # a fixture
from tests.repositories import git
from tests.test_ci import load
from tests.test_commands import BASELINE


LINE = 'training_baselines = "baselines"'


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project without anything, in a git repository."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "--quiet")
    return tmp_path


def init(capsys, *arguments, status=0):
    """Run the command; return what it printed, by file, and the lines below."""
    assert main(["init", *arguments]) == status
    steps, _, rest = capsys.readouterr().out.partition("next\n")
    return {
        line.partition("   ")[0]: line.partition("   ")[2].strip() for line in steps.splitlines()
    }, rest.splitlines()


@pytest.mark.parametrize(
    ("name", "text", "added"),
    [
        ("pyproject.toml", '# ours\r\n[tool.pytest.ini_options]  # x\r\naddopts = ["-q"]\r\n', f"{LINE}\r\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]", f"\n{LINE}"),
        ("pyproject.toml", '[tool.pytest]\nstrict = true\n[tool."x"]\na=1', f"{LINE}\n"),
        ("pyproject.toml", "[project]\nname = 'x'", f"\n\n[tool.pytest.ini_options]\n{LINE}\n"),
        ("pytest.toml", "[pytest]\nminversion = '8'\n", f"{LINE}\n"),
        ("pytest.ini", "[pytest]\naddopts = -q\n    -x\n", "training_baselines = baselines\n"),
        ("pytest.ini", "", "[pytest]\ntraining_baselines = baselines\n"),
        ("tox.ini", "[tox]\n\n[ pytest ]\naddopts=-q\n", None),
        ("tox.ini", "[tox]\n\n[pytest]\naddopts=-q\n", "training_baselines = baselines\n"),
        ("setup.cfg", "\ufeff[metadata]\nname = ü\n[tool:pytest]\n", "training_baselines = baselines\n"),
    ],
)
def test_the_option_is_written_where_pytest_is_configured(root, capsys, name, text, added):
    """In the section that is there, or a new one; every other byte stays as it was."""
    (root / name).write_bytes(text.encode())
    steps, _ = init(capsys)

    if added is None:  # no section of pytest's
        assert (root / name).read_bytes() == text.encode()
        return
    now = (root / name).read_bytes().decode()
    assert steps[name].startswith("written: training_baselines = ")
    assert now.count(added) == 1
    assert now.replace(added, "") == text
    assert stated_folder(root) == root / "baselines"


def test_what_pytest_mpl_was_told_of_the_folder_holds(root, capsys):
    """Figures are there already."""
    (root / "pytest.ini").write_text("[pytest]\nmpl-baseline-path = tests/figures\n")
    init(capsys)
    assert "\ntraining_baselines = tests/figures\n" in (root / "pytest.ini").read_text()


@pytest.mark.parametrize("place", ["test_plot.py", "src/lib/tests/test_plot.py"])
def test_figure_tests_of_the_project_keep_their_baselines(root, capsys, place):
    """The ini option would take them over and turn them red; what else is needed is written."""
    (root / "src" / "lib" / "tests").mkdir(parents=True)
    (root / "src" / "train.py").write_text("def main(recorder): ...")
    (root / place).write_text("import pytest\n@pytest.mark.mpl_image_compare\ndef test_plot(): ...\n")
    why = "because with training_baselines the project's figure tests would look for theirs in baselines; "
    why += "records go there anyway"

    assert init(capsys)[0]["pytest.ini"] == f"left as it is, {why}"
    assert not (root / "pytest.ini").exists()
    steps, _ = init(capsys, "--loop", "train:main")
    assert steps["pytest.ini"] == f"written: pythonpath = src; no more, {why}"
    assert (root / "pytest.ini").read_text() == "[pytest]\npythonpath = src\n"


def test_what_has_no_room_for_a_line_stays_and_the_line_is_given(root, capsys):
    """An inline table cannot be added to without a change of what is there."""
    text = "[tool]\npytest = {ini_options = {addopts = '-q'}}\n"
    (root / "pyproject.toml").write_text(text)
    steps, _ = init(capsys)

    assert steps["pyproject.toml"].startswith("left as it is, because its form allows no line more; add to ")
    assert steps["pyproject.toml"].endswith(LINE)
    assert (root / "pyproject.toml").read_text() == text


FUNCTION = """
import torch
raise SystemExit("nobody runs it")
def main(data, epochs=20, rate=0.1):
    model = build()
    optimizer = torch.optim.SGD(filter(bool, model.parameters()), lr=rate)
    for epoch in range(epochs):
        for i, (x, y) in enumerate(data):
            loss = loss_of(model(x), y)
            scaler.scale(loss).backward()
"""
SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("-n", "--epochs", type=int, default=30)
args = parser.parse_args()
net = build()
net.optim = torch.optim.SGD(net.parameters())
for batch in data:
    loss.backward()
"""
TRAINER = """
class Trainer:
    def __init__(self, config, max_steps=1000):
        self.model = config
        self.optimizer = torch.optim.SGD(config.parameters())
    def train(self):
        for x in self.data:
            self.accelerator.backward(loss)
"""
LIT = """
import lightning as L
class Lit(L.LightningModule):
    def __init__(self, rate): ...
"""


@pytest.mark.parametrize(
    ("loop", "source", "lines"),
    [
        (
            "train:main",
            FUNCTION,
            [
                "from train import main",
                "#   line 4          def main(..., recorder=None)",
                "#   after line 6    if recorder: recorder.watch(model, optimizer)",
                "#   before line 9   if recorder: recorder.batch(x, y)",
                "#   after line 10   if recorder: recorder.log(loss=loss)",
                '    if "recorder" not in inspect.getsource(main):',
                "        main(data=..., epochs=2, recorder=recorder)",
            ],
        ),
        (
            "train.py:main",
            "def main(model, optimizer, *, recorder, rate=1): ...",
            [
                "        recorder.watch(model, optimizer)",
                "        main(model=model, optimizer=optimizer, recorder=recorder)",
            ],
        ),
        ("train.py::main", "def main(recorder): ...", ["        main(recorder=recorder)"]),
        (
            "train.py",
            SCRIPT,
            [
                '#   at its top       recorder = globals().get("recorder")',
                "#   after line 8     if recorder: recorder.watch(net, net.optim)",
                "#   before line 10   if recorder: recorder.batch(batch)",
                '    monkeypatch.setattr("sys.argv", ["train.py", "...", "--epochs=2"])',
                '        runpy.run_path(str(SCRIPT), init_globals={"recorder": recorder}, run_name="__main__")',
                '    training_regression.check(recorder.record, sources=["train.py"])',
            ],
        ),
        (
            "train:Trainer",
            TRAINER,
            [
                "#   line 2, in the class   recorder = None",
                "#   after line 8           if self.recorder: self.recorder.log(loss=loss)",
                "        trainer = Trainer(config=..., max_steps=12)",
                "        trainer.recorder = recorder",
                "        recorder.watch(trainer.model, trainer.optimizer)",
                "        trainer.train()",
            ],
        ),
        (
            "train:Lit",
            LIT,
            [
                "from lightning import Trainer",
                "from harness.adapters.lightning import LightningRecorder",
                "        trainer.fit(Lit(rate=...), train_dataloaders=...)",
            ],
        ),
    ],
)
def test_a_test_is_written_for_a_loop_that_nobody_runs(root, capsys, loop, source, lines):
    """What it cannot know are dots, what the loop lacks are lines to add: with either, the test says so and fails."""
    (root / "train.py").write_text(source)
    steps, rest = init(capsys, "--loop", loop)
    (place,) = (root / "tests").iterdir()
    text = place.read_text()

    assert steps[f"tests/{place.name}"] == "written"
    for line in lines:
        assert line in text.splitlines()
    hints = [line.strip("# ") for line in text.splitlines() if line.startswith("#   ")]
    assert [line.strip() for line in rest[1:][: len(hints)]] == hints
    assert ("pytest.fail(" in text) == bool(hints or "..." in text)
    assert ('    pytest.fail("put values in place of the dots, ' in text) == any(
        dots in text for dots in ("= ...", "=...", '"..."')
    )
    compile(text, "test", "exec")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("loop", "end", "exits"),
    [
        ("train.py", "sys.exit(main())", True),
        ("train.py", "if __name__ == '__main__':\n    raise SystemExit(main())", True),
        ("train.py", "main()", False),
        ("train.py:main", "sys.exit(main())", False),
    ],
)
def test_a_script_that_ends_its_process_ends_no_test(root, capsys, loop, end, exits):
    """Only where it does so at its end."""
    (root / "train.py").write_text(f"def main(recorder=None):\n    return 0\n{end}\n")
    init(capsys, "--loop", loop)
    (place,) = (root / "tests").iterdir()
    text = place.read_text()

    assert (
        ("seed=0) as recorder, contextlib.suppress(SystemExit):\n" in text) == ("import contextlib\n" in text) == exits
    )


def test_a_module_is_found_below_src_and_imported_from_there(root, capsys):
    """A folder of tests that pytest knows takes the test."""
    (root / "src" / "mylib").mkdir(parents=True)
    (root / "src" / "mylib" / "train.py").write_text("def main(recorder): ...")
    (root / "checks").mkdir()
    (root / "pytest.ini").write_text("[pytest]\ntestpaths = checks\n")
    init(capsys, "--loop", "src/mylib/train.py:main")

    assert "from mylib.train import main" in (root / "checks" / "test_train_main_regression.py").read_text()
    assert "pythonpath = src\n" in (root / "pytest.ini").read_text()


@pytest.mark.parametrize(
    ("loop", "words"),
    [
        ("train:mian", "there is no training loop 'train:mian'"),
        ("nothing.py", "found are train.py:main"),
        ("broken.py", "the training loop cannot be read: "),
    ],
)
def test_an_unknown_loop_is_a_message_and_nothing_is_written(root, capsys, loop, words):
    """It names what looks like a loop."""
    (root / "train.py").write_text(FUNCTION)
    (root / "broken.py").write_text("def f(:\n")

    assert main(["init", "--loop", loop]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in root.iterdir()) == [".git", "broken.py", "train.py"]


def test_without_a_loop_it_names_what_looks_like_one(root, capsys):
    """The command to give next."""
    (root / "tools").mkdir()
    (root / "tools" / "train.py").write_text(FUNCTION)

    assert init(capsys)[1][-1] == "    harness init --loop tools/train.py:main"


def test_what_is_there_is_left_as_it_is(root, capsys):
    """A second time nothing is written, and every file has its reason."""
    (root / "train.py").write_text("def main(recorder): ...")
    init(capsys, "--loop", "train.py:main")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    steps, _ = init(capsys, "--loop", "train.py:main")

    assert len(steps) == 4
    assert all(text.startswith("left as it is, because ") for text in steps.values())
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_baseline_that_is_there_is_not_written_anew(root, capsys):
    """What comes next compares with it."""
    (root / "train.py").write_text("def main(recorder): ...")
    _, rest = init(capsys, "--loop", "train.py:main")
    assert rest[0].startswith("  pytest tests/test_train_main_regression.py --mpl-generate-path=baselines")
    save_baseline(root / "baselines" / "tests.test_train_main_regression-test_trains_as_before.json", BASELINE)
    _, rest = init(capsys, "--loop", "train.py:main")

    assert rest == ["  pytest --mpl   is green; red once a change alters what the training does"]


def test_build_is_ignored_once(root, capsys):
    """By a line at the end of .gitignore, unless git ignores it already."""
    (root / ".gitignore").write_text("*.pyc")
    assert init(capsys)[0][".gitignore"] == "written: build/"
    assert (root / ".gitignore").read_text() == "*.pyc\nbuild/\n"
    (root / ".gitignore").unlink()
    (root / ".git" / "info" / "exclude").write_text("build\n")
    assert init(capsys)[0][".gitignore"].startswith("left as it is")


def test_the_workflow_installs_what_the_project_is(root, capsys, monkeypatch):
    """In the folder of a repository that has several projects; without git there is none."""
    (root / "part").mkdir()
    (root / "part" / "requirements.txt").touch()
    monkeypatch.chdir(root / "part")
    assert init(capsys)[0]["../.github/workflows/training.yml"] == "written"
    job = load(root / ".github" / "workflows" / "training.yml")["jobs"]["gate"]

    assert job["defaults"]["run"]["working-directory"] == "part"
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["pip install -r requirements.txt pytest-training-regression", "pytest --mpl"]
    assert job["steps"][-1]["with"]["path"] == "part/build/harness/"
    (root / ".git").rename(root / "none")
    assert len(init(capsys)[0]) == 2


STEPS = """
for epoch in range(epochs):
    for x, y in [(torch.ones(2, 3), torch.tensor([0, 1]))] * 3:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
BUILT = """
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""
IN_A_FUNCTION = "import torch\n\ndef main(epochs=20):" + (BUILT + STEPS).replace("\n", "\n    ")
IN_A_SCRIPT = f"""
import argparse
import torch

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20)
epochs = parser.parse_args().epochs
{BUILT}{STEPS}"""
_OWN = ("model", "optimizer", "epochs")
IN_A_CLASS = "import torch\n\nclass Trainer:\n    def __init__(self, epochs=20):\n        self.epochs = epochs"
IN_A_CLASS += BUILT.replace("\n", "\n        ") + "\n    def fit(self):" + STEPS.replace("\n", "\n        ")
for _name in _OWN:
    IN_A_CLASS = re.sub(rf"(?<![\w.]){_name}(?= =|\.|\(|\))", f"self.{_name}", IN_A_CLASS)
IN_PARTS = """
import sys
import torch

def step(model, optimizer, x, y):
    '''One.'''
    model.train()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

class Trainer:
    def __init__(self):
        self.model = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
    def train(self, n=3):
        for _ in range(n):
            step(self.model, self.optimizer, torch.ones(2, 3), torch.tensor([0, 1]))

def main():
    trainer = Trainer()
    trainer.model.train()
    trainer.train(4)
    sys.exit(0)
"""
IN_LIGHTNING = """
import lightning
import torch

class Lit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
    def train_dataloader(self):
        return torch.utils.data.DataLoader([(torch.ones(3), 0), (torch.ones(3), 1)], batch_size=1)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""

LIGHTNINGS = ("-W", "ignore::FutureWarning")
"""Lightning calls what torch is about to change."""


def with_lines(source, hints):
    """A loop with the lines that the test asks for, each in its place."""
    lines = source.split("\n")
    places = [re.split("   +", hint, maxsplit=1) for hint in hints]
    for place, code in sorted(places, key=lambda hint: -int("".join(filter(str.isdigit, hint[0])) or 0)):
        kind, _, number = place.removesuffix(", in the class").rpartition(" ")
        if kind == "line" and code.startswith("def "):
            lines[int(number) - 1] = lines[int(number) - 1].replace("):", ", recorder=None):").replace("(, ", "(")
        elif kind == "line" and "(..., " in code:
            start, _, end = code.partition("..., ")
            lines[int(number) - 1] = re.sub(rf"({re.escape(start)}.*)\)$", rf"\1, {end}", lines[int(number) - 1])
        elif kind == "line":
            lines.insert(int(number), f"    {code}")
        elif number == "top":
            lines.insert(0, code)
        else:
            at = int(number) - 1
            indent = lines[at][: -len(lines[at].lstrip())]
            lines.insert(at + (kind == "after line"), indent + code)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("source", "hints"),
    [
        (
            IN_PARTS,
            [
                "line 21   def main(..., recorder=None)",
                "after line 22   if recorder: recorder.watch(trainer.model, trainer.optimizer)",
                "line 24   trainer.train(..., recorder=recorder)",
                "line 17   def train(..., recorder=None)",
                "line 19   step(..., recorder=recorder)",
                "line 5   def step(..., recorder=None)",
                "before line 7   if recorder: recorder.batch(x, y)",
                "after line 10   if recorder: recorder.log(loss=loss)",
            ],
        ),
        (
            "class A:\n    def __init__(self, net):\n        self.net = net\n        self.opt = SGD(net.parameters())\n"
            "    def update(self, batch):\n        loss.backward()\ndef run(agent):\n    agent.update(1)\n"
            "def main():\n    a = A(build())\n    run(a)\n",
            [
                "line 9   def main(..., recorder=None)",
                "after line 10   if recorder: recorder.watch(a.net, a.opt)",
                "line 11   run(..., recorder=recorder)",
                "line 7   def run(..., recorder=None)",
                "line 8   agent.update(..., recorder=recorder)",
                "line 5   def update(..., recorder=None)",
                "before line 6   if recorder: recorder.batch(batch)",
                "after line 6   if recorder: recorder.log(loss=loss)",
            ],
        ),
        (IN_A_FUNCTION, ["after line 12   if recorder: recorder.log(loss=loss)"]),
        (
            "def main(loader):\n    while 1:\n        loss.backward()\n        scheduler.step()",
            ["after line 3   if recorder: recorder.log(loss=loss)"],
        ),
        (
            "def main():\n    def closure():\n        loss.backward()\n    optimizer.step(closure)",
            ["after line 3   if recorder: recorder.log(loss=loss)"],
        ),
        ("def main():\n    main()\n    other()", ["in each step   if recorder: recorder.log(loss=loss)"]),
        (
            "def main():\n    model.eval()\n    loss.backward()\n    for a in b:\n        acc, f1 = evaluate(model)",
            ["after line 5   if recorder: recorder.evaluation(acc=acc, f1=f1)"],
        ),
        (
            "def main():\n    loss.backward()\n    print(\n        f'{validate(model)}')",
            ["after line 4   if recorder: recorder.evaluation(accuracy=...)"],
        ),
    ],
)
def test_hints_lead_to_where_the_step_is(root, capsys, source, hints):
    """Down the calls to the function that holds `backward`, to the end of its optimizer's step, and to evaluations."""
    (root / "train.py").write_text(source)
    _, rest = init(capsys, "--loop", "train.py:main")
    given = [re.sub("   +", "   ", line.strip()) for line in rest if line.startswith("    ")]

    assert given[-len(hints) :] == hints


@pytest.mark.parametrize(
    ("source", "hints", "callback"),
    [
        (
            "import lightning as L\ndef fit():\n    L.Trainer(max_epochs=1).fit(Net())",
            ["line 2   def fit(..., callbacks=())", "line 3   L.Trainer(..., callbacks=[*callbacks])"],
            "LightningRecorder",
        ),
        (
            "from transformers import Trainer\ndef fit():\n    trainer = Trainer(model, callbacks=[Stop()])",
            ["line 2   def fit(..., callbacks=())", "line 3   Trainer(..., callbacks=[..., *callbacks])"],
            "TransformersRecorder",
        ),
        (
            "from transformers import Seq2SeqTrainer\ndef fit(callbacks=()):\n    Seq2SeqTrainer(callbacks=callbacks)",
            [],
            "TransformersRecorder",
        ),
    ],
)
def test_a_trainer_of_a_framework_takes_a_callback(root, capsys, source, hints, callback):
    """It is found as a loop, and nobody is told to record in steps that the framework takes."""
    (root / "train.py").write_text(source)
    assert found(root) == ["train.py:fit"]
    steps, rest = init(capsys, "--loop", "train.py:fit")
    lines = (root / next(name for name in steps if name.startswith("tests/"))).read_text().splitlines()

    assert [re.sub("   +", "   ", line.strip()) for line in rest if line.startswith("    ")] == hints
    assert f"        fit(callbacks=[{callback}(recorder)])" in lines


@pytest.mark.parametrize(
    ("loop", "source"),
    [
        ("train.py:main", IN_A_FUNCTION),
        pytest.param("train.py:main", IN_PARTS, marks=pytest.mark.long),
        pytest.param("train.py", IN_A_SCRIPT, marks=pytest.mark.long),
        pytest.param("train:Trainer", IN_A_CLASS, marks=pytest.mark.long),
        pytest.param("train:Lit", IN_LIGHTNING, marks=pytest.mark.long),
    ],
)
def test_from_a_loop_to_a_gate_in_five_lines(project, capsys, loop, source):  # noqa: F811
    """Red with a sentence until the lines are there, then green, and red once the rate is off.

    What git was told to ignore is committed all the same.
    """
    (project.path / "test_gate.py").unlink()
    git(project.path, "init", "--quiet")
    (project.path / ".gitignore").write_text("*.json\n")
    (project.path / "train.py").write_text(source)
    _, rest = init(capsys, "--loop", loop)
    hints = [line.strip() for line in rest if line.startswith("    ")]
    assert len(hints) <= (8 if source == IN_PARTS else 5)
    if hints:
        project.run().stdout.fnmatch_lines(["train.py tells no recorder what it does: add the lines above"])
    (project.path / "train.py").write_text(with_lines(source, hints))
    result = project.run(GENERATE, *LIGHTNINGS)

    result.stdout.fnmatch_lines(["commit the baselines, which later runs are compared with: git add --force baselines"])
    project.run("--mpl", *LIGHTNINGS).assert_outcomes(passed=1)
    project.edit("lr=0.1", "lr=0.1001", file="train.py")
    project.run("--mpl", *LIGHTNINGS).assert_outcomes(failed=1)


def test_it_loads_neither_torch_nor_the_loop(root):
    """It answers at once, and says what a loop lacks that does not run here."""
    (root / "train.py").write_text(FUNCTION)
    program = (
        "import sys; from harness.commands import init, loop, first_test, ini_file; from pathlib import Path; "
        "loop.look('train.py:main', Path()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
