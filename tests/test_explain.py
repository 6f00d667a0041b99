"""Promises of `harness explain`: the lines of then and now, and what changed there, at any step, in Python, too."""

import dataclasses
import difflib
import importlib.util
import json
import linecache
import re
from argparse import Namespace
from datetime import UTC, datetime

import pytest

from harness.baselines.store import save_baseline
from harness.commands import explain as command
from harness.commands import main
from harness.comparing.comparison import compare
from harness.elsewhere import sessions
from harness.elsewhere.lending import lend
from harness.elsewhere.trees import Tree
from harness.errors import NotFoundError
from harness.explaining.edited import Given, edited
from harness.explaining.explanation import Explanation, Side, explain
from harness.explaining.files_read import files_read, noted
from harness.explaining.git import Commit, Git
from harness.explaining.hunks import Changes
from harness.explaining.lines import words
from harness.explaining.traced import Place
from harness.explaining.tracing import Tracing
from harness.record import Baseline
from harness.record.streams import Stream, Streams
from harness.recording.perturbation import Perturbation, perturbed
from harness.report.explanation_text import About, environment_text, explanation_text
from harness.report.json_form import to_text
from harness.report.ledger import Ledger
from harness.report.where_text import edited_text
from tests.repositories import git
from tests.test_page import training
from tests.test_record import baseline_of
from tests.test_trace import PROGRAM


STEP = 2
LATE = PROGRAM.replace(
    "            update(average, model)\n",
    "            update(average, model)\n            if step == 1:\n                late(model)\n",
).replace("def rate(", "def late(model):\n    pass\n\ndef rate(")
LATE = LATE.replace("lr=0.1,", "lr=float(Path(__file__).with_name('rate.yaml').read_text().split()[-1]),")
LATE = LATE.replace("import copy\n", "import copy\nfrom pathlib import Path\n")
"""With a place for what comes late, and a rate that it reads."""
RATE = "# then\nlr: 0.1\n"


def side(folder, text, step=STEP, rate=RATE, root=None):
    """The training of a program in a folder, which may not be the project's root, traced around a step."""
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(text)
    (folder / "rate.yaml").write_text(rate)
    linecache.clearcache()
    spec = importlib.util.spec_from_file_location("program", folder / "program.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tracing = Tracing(root or folder, step=step)
    with tracing.building(), perturbed(Perturbation(plant=tracing)):
        record = module.train()
    return Side(record, tracing.of(record))


def changes(before, after, file="program.py", around=3):
    """What git would print of two versions of the program, or of another file, with so many lines around."""
    texts = before.splitlines(), after.splitlines()
    lines = difflib.unified_diff(*texts, f"a/{file}", f"b/{file}", lineterm="", n=around)
    return Changes("\n".join([f"diff --git a/{file} b/{file}", *lines, ""]))


@pytest.fixture(scope="module")
def then(tmp_path_factory):
    """The former program's folder and training."""
    folder = tmp_path_factory.mktemp("then")
    return folder, side(folder, LATE)


def rows(then, folder, *edits, step=STEP):
    """What is explained of an edited program: label to text of each row, and the hunks."""
    text = LATE
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert text.count(old) == 1
        text = text.replace(old, new)
    place, former = then
    found = explain(Baseline(former.record), former, side(folder / "now", text, step), changes(LATE, text))
    lines = explanation_text(found, About("test", None), folder / "now", place).splitlines()
    labelled = {line[2:11].strip(): line[13:] for line in reversed(lines[1:]) if line[2:11].strip()}
    return labelled | {"diff": "\n".join(line[13:] for line in lines if not line[2:11].strip())}


def test_the_steps_around_a_divergence_are_traced_whole(then):
    """And the first; with backward operations and the lines that ran, of each in the order in which they first did."""
    _, former = then
    parts = dict(former.traced.parts)
    imported = parts.pop("import")

    assert (imported.step, imported.operations) == (-1, [])
    assert {name: part.step for name, part in parts.items()} == {"start": 0, "step 1": 1, "step 2": 2}
    assert all(any(row.backward for row in part.operations) for part in parts.values())
    texts = [LATE.splitlines()[line.line - 1].strip() for line in parts["step 1"].lines]
    order = [texts.index(text) for text in ("model.train()", "output = model(x[batch])", "schedule.step()", "pass")]
    assert order == sorted(order)
    assert former.traced.whole.parts["step 2"].cut is False


@pytest.mark.parametrize(
    ("new", "line"),
    [
        ("model.head.weight.data[0, 0] *= 2", "model.head.weight.data[0, 0] *= 2"),
        ("torch.rand(1)", "torch.rand(1)"),
    ],
)
def test_what_comes_late_is_named_with_its_line_and_its_hunk(then, tmp_path, new, line):
    """A weight that is changed between two steps, a draw that nobody uses."""
    found = rows(then, tmp_path, "    pass\n", f"    {new}\n")

    assert found["now"].endswith(f"      {line}")
    assert found["where"].startswith(found["now"].partition(" ")[0])
    assert f"-    pass\n+    {new}" in found["diff"]


def test_a_line_then_and_now_are_both_told(then, tmp_path):
    """With the text of each."""
    found = rows(then, tmp_path, "F.relu(y + x.mean())", "F.gelu(y + x.mean())", step=0)

    assert found["where"].endswith("now aten.gelu      baseline aten.relu")
    assert found["now"].endswith("y = F.gelu(y + x.mean())")
    assert found["then"].endswith("y = F.relu(y + x.mean())")
    assert "runs now" not in found
    assert "ran then" not in found


def test_an_operation_is_named_that_hardly_differs(then, tmp_path):
    """Both trained on this machine, so a number need not be off by more than rounding on others makes of it."""
    found = rows(then, tmp_path, "load()[0]) / 75", "load()[0]) / 75.0000001", step=0)

    assert found["now"].endswith("/ 75.0000001")


def test_what_happens_in_plain_python_is_followed_by_the_lines_that_ran(then, tmp_path):
    """A rate is doubled: no operation tells it."""
    doubled = 'schedule.step(); optimizer.param_groups[0]["lr"] *= 2'
    found = rows(then, tmp_path, "            schedule.step()", f"            {doubled}", step=1)

    assert found["runs now"].endswith(f"      {doubled}")
    assert found["ran then"].endswith("      schedule.step()")
    assert f"+            {doubled}" in found["diff"]


def test_what_ran_when_the_project_was_imported_is_named_last(tmp_path):
    """Defaults of functions that ran, and constants that other lines only use; not the head of what nobody called."""
    before = LATE.replace(
        "def rate(step):\n    return 1 / (1 + step)",
        "def idle(since=1):\n    return since\n\n\n\n\n\n\n\nSHIFT = 1 - 1\n\n\n\n\n\n\n\n"
        "def rate(\n    step,\n    since=1,\n):\n    return 1 / (since + step + SHIFT)",
    )
    after = before.replace("since=1", "since=2").replace("SHIFT = 1 - 1", "SHIFT = 2 - 1")
    former, now = side(tmp_path / "then", before, 1), side(tmp_path / "now", after, 1)
    found = explain(Baseline(former.record), former, now, changes(before, after))

    texts = [after.splitlines()[edit.now.line - 1].strip() for edit in found.edits]
    assert texts == ["SHIFT = 2 - 1", "since=2,"]


def test_a_constant_that_nothing_uses_stands_behind_a_line_that_was_taken_out(tmp_path):
    """The line ran in the training then, the constant only when the project was imported."""
    before = LATE.replace("def rate(step):", "IDLE = 10\n\n\n\n\n\n\n\n\ndef rate(step):")
    after = before.replace("IDLE = 10", "IDLE = 20").replace("            schedule.step()\n", "")
    assert after.count("\n") == before.count("\n") - 1
    former, now = side(tmp_path / "then", before, 1), side(tmp_path / "now", after, 1)
    first, last = explain(Baseline(former.record), former, now, changes(before, after)).edits

    assert before.splitlines()[first.then.line - 1].strip() == "schedule.step()"
    assert after.splitlines()[last.now.line - 1] == "IDLE = 20"


def test_a_line_that_was_taken_out_is_named_as_it_was(then, tmp_path):
    """Gradients pile up: the operation is another line's."""
    found = rows(then, tmp_path, "            optimizer.zero_grad()\n", "", step=1)

    assert found["where"].endswith("missing here: the baseline's call of SGD.zero_grad in train")
    assert found["then"].endswith("      optimizer.zero_grad()")
    assert "runs now" not in found
    assert "-            optimizer.zero_grad()" in found["diff"]


def test_a_branch_that_is_not_taken_any_more_is_named_though_it_is_as_it_was(then, tmp_path):
    """Its condition is decided elsewhere: here no evaluation runs."""
    folder, former = then
    text = LATE.replace(
        "if step == 1:\n                recorder", "if step == 1 and not SETTINGS:\n                recorder"
    )
    found = explain(Baseline(former.record), former, side(tmp_path / "now", text, 1), Changes(""))

    (edit,) = found.edits
    line = (folder / "program.py").read_text().splitlines()[edit.then.line - 1]
    assert edit.hunk is None
    assert line.strip().startswith("recorder.evaluation")


def test_all_edits_that_ran_are_named_the_most_telling_first(then, tmp_path):
    """The building of the optimizer, whose settings are others, and what stands for them in the loop."""
    text = LATE.replace("weight_decay=0.01", "weight_decay=0.0").replace(
        "            optimizer.step()\n",
        "            [p.data.mul_(0.999) for p in model.parameters()]\n            optimizer.step()\n",
    )
    place, former = then
    found = explain(Baseline(former.record), former, side(tmp_path / "now", text, 0), changes(LATE, text))
    lines = explanation_text(found, About("test", None), tmp_path / "now", place).splitlines()

    assert [line.rpartition("      ")[2] for line in lines if line.startswith(("  now", "  runs now"))] == [
        next(line.strip() for line in text.splitlines() if "SGD" in line),
        "[p.data.mul_(0.999) for p in model.parameters()]",
    ]


@pytest.mark.parametrize("step", [0, 1])
def test_of_an_edit_the_line_is_named_that_did_not_run_before(then, tmp_path, step):
    """A state is cleared in one step, by a condition that was met in each, or first with it."""
    cleared = f"            schedule.step()\n            if step == {step}:\n                optimizer.state.clear()"
    found = rows(then, tmp_path, "            schedule.step()", cleared, step=step)

    assert found["runs now"].endswith("      optimizer.state.clear()")


def test_lines_count_up_to_the_operation_in_its_own_step(tmp_path):
    """Its like ran in the first step, too: a state is made of zeros there."""
    before = re.sub(r"optim.SGD\(.*\)", "optim.Adam(model.parameters())", LATE)
    step = "            optimizer.step()"
    after = before.replace(step, f"            if step == 1:\n                optimizer.state.clear()\n{step}")
    former = side(tmp_path / "then", before, 1)
    found = explain(Baseline(former.record), former, side(tmp_path / "now", after, 1), changes(before, after))

    assert found.now.operation.name == "torch.tensor"  # Adam's count of steps
    assert found.now.part == "step 1"
    assert after.splitlines()[found.edits[0].now.line - 1].strip() == "optimizer.state.clear()"


def test_a_line_of_a_file_that_is_read_is_named(then, tmp_path):
    """With its hunk: no line of code has changed. It is the one with the value that is another now."""
    (place, former), rate = then, "# now\nlr: 2e-1\n"
    now = side(tmp_path, LATE, 0, rate)
    found = explain(Baseline(former.record), former, now, changes(RATE, rate, "rate.yaml"))
    lines = explanation_text(found, About("test", None), tmp_path, place).splitlines()

    assert now.traced.read == ["rate.yaml"]
    assert now.traced.constants["program.py:__file__"] == "'./program.py'"  # wherever that is
    assert "  reads now  rate.yaml:2      lr: 2e-1" in lines
    assert "  read then  rate.yaml:2      lr: 0.1" in lines
    assert "             +lr: 2e-1" in lines


def test_a_project_in_a_folder_of_its_repository_is_followed_into_the_others(tmp_path):
    """Code that runs there, and files that it reads, have paths from the project's root on."""
    after = LATE.replace("weight_decay=0.01", "weight_decay=0.02")
    sides = []
    for name, text in (("then", LATE), ("now", after)):
        (tmp_path / name / ".git").mkdir(parents=True)
        sides.append(side(tmp_path / name / "lib", text, 0, root=tmp_path / name / "service"))
    then, now = sides
    found = explain(Baseline(then.record), then, now, changes(LATE, after, "../lib/program.py"))

    assert found.now.line.partition(":")[0] == found.edits[0].now.file == "../lib/program.py"
    assert now.traced.read == ["../lib/rate.yaml"]


def test_changes_are_those_of_the_whole_repository_and_of_its_submodules(tmp_path):
    """A project may be one of its folders; paths count from there."""
    top, library = tmp_path / "top", tmp_path / "library"
    for folder in (library, top):
        (folder / "service").mkdir(parents=True)
        (folder / "service" / "a.py").write_text("1")
        git(folder, "init", "--quiet")
        if folder == top:
            git(folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "one")
    for file in ("service/a.py", "library/service/a.py"):
        (top / file).write_text("2")

    hunks = Git(top / "service").changes("HEAD").hunks
    assert [(hunk.former, hunk.file) for hunk in hunks] == [("../library/service/a.py",) * 2, ("a.py",) * 2]


def test_what_is_imported_or_written_was_not_read(tmp_path, monkeypatch):
    """Lines of modules run, or do not; nor is read what we open ourselves."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_of_this_test.py").write_text("")
    noted()
    importlib.import_module("module_of_this_test")
    linecache.getline(str(tmp_path / "module_of_this_test.py"), 1)
    (tmp_path / "written.txt").write_text("1")
    assert files_read(tmp_path) == []
    (tmp_path / "written.txt").read_text()

    assert files_read(tmp_path) == ["written.txt"]


def test_a_file_that_is_no_text_has_a_hunk_without_lines():
    """It can be named, if it was read."""
    (hunk,) = Changes("diff --git a/x.npz b/x.npz\nindex 1..2 100644\nBinary files a/x.npz and b/x.npz differ\n").hunks

    assert hunk.first() == ("x.npz", 0)
    assert hunk.first("0.1") is None


def test_the_hunk_of_a_constant_is_shown(then, tmp_path):
    """Where its value is another, wherever it is used."""
    found = rows(then, tmp_path, '"average": 0.9', '"average": 0.8', step=0)

    assert "SETTINGS['average'] 0.9 -> 0.8" in found["where"]
    assert '+SETTINGS = {"eps": 1e-5, "average": 0.8}' in found["diff"]


DIFF = """diff --git a/old.py b/new.py
similarity index 90%
rename from old.py
rename to new.py
--- a/old.py
+++ b/new.py
@@ -2,3 +2,4 @@ def f():
 two
-three
+drei
+dreieinhalb
 four
@@ -9,2 +10 @@
 nine
-ten
diff --git a/gone.py b/gone.py
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-one
\\ No newline at end of file
"""


def test_lines_of_then_and_now_are_known_by_the_hunks():
    """Before, within, between and behind them, in a file that was renamed."""
    found = Changes(DIFF)

    assert [found.former("new.py", line) for line in (1, 2, 3, 4, 5, 6, 10, 11)] == [
        *(("old.py", 1), ("old.py", 2), None, None),
        *(("old.py", 4), ("old.py", 5), ("old.py", 9), ("old.py", 11)),
    ]
    assert [found.present("old.py", line)[1] for line in (1, 2, 3, 4, 5, 9, 10, 11)] == [1, 2, 2, 5, 6, 10, 10, 11]
    assert found.former("other.py", 7) == ("other.py", 7)


def test_a_hunk_knows_what_is_new_and_what_is_gone():
    """With its file then and now."""
    first, second, third = Changes(DIFF).hunks

    assert (first.added, first.removed) == ({3: "drei", 4: "dreieinhalb"}, {3: "three"})
    assert (second.added, second.removed) == ({}, {10: "ten"})
    assert (third.former, third.file, third.removed) == ("gone.py", "", {1: "one"})
    assert Changes(DIFF).at("new.py", 4) == first
    assert Changes(DIFF).at("old.py", 4, then=True) is None
    assert (first.first(), first.first(then=True)) == (("new.py", 3), ("old.py", 3))
    assert first.first("dreieinhalb") == ("new.py", 4)
    assert first.first("two") is second.first() is third.first() is None


THEN = "rate = 0.1\nsize = 3\n\nother = 0.1\n"


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        (["rate = 0.1", "rate = 0.2"], "config.py:1 says 0.2, and said 0.1"),
        (["rate = 0.1", "rate = 0.3"], None),
        (["size = 3", "size = 0.2"], None),
        (["rate = 0.1", "rate = 0.2", "other = 0.1", "other = 0.2"], None),
        (["rate = 0.1", "rate = 0.2", "size = 3", "size = 0.2"], "config.py:1 says 0.2, and said 0.1"),
    ],
)
def test_an_edited_line_that_holds_a_value_is_told_where_one_alone_does(edits, told):
    """It held it as it was, and holds it as it is now; beside the line that uses the value, or without one alone."""
    now = THEN
    for before, after in zip(edits[::2], edits[1::2], strict=True):
        now = now.replace(before, after)
    hunks = [*changes("", "lr = 0.2\n", "new.py").hunks, *changes(THEN, now, "config.py", around=0).hunks]
    found = edited(hunks, [Given("lr", "0.1", "0.2"), Given("decay", "3", "4")])

    assert (found and edited_text(found, "no line is known", "")) == told
    if found:
        assert edited_text(found, "net.py:3 in f", "net.py:3") == f"net.py:3 in f      {told}"
        assert edited_text(found, "config.py:1 in f", "config.py:1") == "config.py:1 in f"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ("clip: float = 0.5", "clip: float = 0.4", ("0.5", "0.4")),
        ('TABLE = {"rate": 1e-3, "clip": 0.5}', 'TABLE = {"rate": 1e-3, "clip": 0.4}', ("0.5", "0.4")),
        ("config = Config(rate=0.1, clip=0.5)", "config = Config(rate=0.1, clip=0.4)", ("0.5", "0.4")),
        ("clip: true  # of a file", "clip: false  # of a file", ("true", "false")),
        ('add_argument("--clip", type=float, default=0.5)', 'add_argument("--clip", default=0.4)', ("0.5", "0.4")),
        ("clip = (0.5, 2)", "clip = (0.4, 2)", ("(0.5, 2)", "(0.4, 2)")),
        ("rate = 0.5", "rate = 0.4", None),
        ("clip = 0.5 * rate", "clip = 0.4 * rate", None),
        ("if clip == 0.5:", "if clip == 0.4:", None),
    ],
)
def test_a_setting_that_is_another_is_told_where_a_line_that_differs_uses_its_name(before, now, told):
    """However it is written: beside the line that uses it, of which no value is known."""
    hunks = [*changes("", "other = 0.4\n", "new.py").hunks, *changes(before, now, "config.py", around=0).hunks]
    found = edited(hunks, [], {"clip", "norm"})

    assert (found and (found.at, found.value)) == (told and (("config.py", 1), ("clip", *told)))
    assert edited(hunks, [], {"norm"}) is None


def test_an_edited_line_is_told_that_had_what_differs_run():
    """Through a library, say; not where what differs is edited itself, or nothing around it."""
    hunks = changes("a\nb\n", "a\nc\n", "train.py", around=0).hunks
    inner, outer = Place("net.py", 7, "f"), Place("train.py", 2, "g")
    found = edited(hunks, [], (), [inner, outer])

    assert edited_text(found, "net.py:7 in f", "net.py:7") == (
        "net.py:7 in f      called from train.py:2, which was edited"
    )
    assert edited(hunks, [], (), [outer, inner]) is edited(hunks, [], (), [inner]) is edited(hunks, []) is None


def test_the_words_of_a_line_are_those_that_it_uses_and_that_these_are_made_of(tmp_path):
    """A setting is often kept under another name first; what a loop's body uses is not its head's."""
    method = (
        "    def f(self, c):\n        self.most = c.clip\n        for x in g(self.most, 'eps'):\n            h(x)\n"
    )
    (tmp_path / "t.py").write_text(f"class T:\n{method}")

    assert words(tmp_path, [Place("t.py", 4, "T.f")]) == {"self", "x", "g", "most", "eps", "c", "clip"}


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("lr: 1e-1", "0.1", True),
        ("lr=0.10,", "0.1", True),
        ("10.1 v0.1 0.1.2", "0.1", False),
        ("settings.LR = 2", "LR", True),
        ("LRS = 2", "LR", False),
        ("mode: fan_in", "fan_in", True),
    ],
)
def test_a_value_is_found_in_a_line_however_it_is_written(text, value, holds):
    """A number by what it is, a name as a word."""
    assert bool(changes("", text).hunks[0].first(value)) is holds


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("E   ModuleNotFoundError: No module named 'foo'\n1 error", "ModuleNotFoundError: No module named 'foo'"),
        ("E   NameError: x\nE   ImportError: y\nend", "ImportError: y"),
        ("E   assert 1 == 2\nend", "assert 1 == 2"),
        ("ERROR: file or directory not found: test_a.py", "it has no such test"),
        ("collected 1 item / 1 deselected", "it has no such test"),
        ("summary\n==== 4 warnings in 1.74s ====", "it has no such test"),
        ("Killed", "Killed"),
    ],
)
def test_a_commit_that_cannot_run_a_test_says_what_it_needs(output, reason):
    """In a line of what it printed."""
    assert sessions.reason(output) == reason


def test_a_baseline_of_no_commit_is_refused(tmp_path):
    """And one that has changed since: nobody knows the code that it was made from."""
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "--allow-empty", "-qm", "none")
    (tmp_path / "a.json").write_text("1")
    with pytest.raises(command.TreeError, match="none has it"):
        command._commit(Git(tmp_path), tmp_path / "a.json")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    assert len(command._commit(Git(tmp_path), tmp_path / "a.json")) == 40
    (tmp_path / "a.json").write_text("2")
    with pytest.raises(command.TreeError, match="it has changed since"):
        command._commit(Git(tmp_path), tmp_path / "a.json")


def test_nothing_red_is_said(tmp_path, monkeypatch, capsys):
    """With exit status 0; but a name that means nothing is trouble."""
    monkeypatch.chdir(tmp_path)

    save_baseline(tmp_path / "baselines" / "test_a-test_b.json", baseline_of({"loss": Stream("forward", (0,), (1.0,))}))
    assert main(["explain"]) == 0
    assert capsys.readouterr().out.startswith("nothing is red; ")
    assert main(["explain", "test_a.py::test_b"]) == 0
    assert capsys.readouterr().out.startswith("not red: test_a.py::test_b; ")
    assert main(["explain", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("there is no baseline, file or folder 'nonsense'\n")


def test_a_result_whose_test_is_gone_is_left_out(tmp_path, monkeypatch, capsys):
    """The others are explained; what is left out is said."""
    monkeypatch.chdir(tmp_path)
    known = dict.fromkeys(("baseline", "compared", "result", "difference", "obstacle"), "a") | {
        "sources": {},
        "origin": {},
    }
    note = {"test": "test_a.py::test_b", **known, "baseline": "baselines/test_a-test_b.json"}
    failed = tmp_path / "build" / "harness" / "failed"
    failed.mkdir(parents=True)
    (failed / "test_a-test_b.json.candidate").write_text(json.dumps(note))

    assert main(["explain"]) == 0
    said = "left out: test_a-test_b.json, whose test, test_a.py::test_b, is gone or another\nnothing is red; "
    assert capsys.readouterr().out.startswith(said)


def test_the_commit_is_the_one_that_the_last_session_was_held_against(tmp_path):
    """By its whole name, and called what it was called there; what was red then is meant, though no result is kept."""
    ledger, given = Ledger(against="main (9f8e7d2)", commit="9f8e7d2"), Namespace(against="", output=tmp_path)
    (tmp_path / "results.json").write_text(to_text([training((2.0, 1.6, 1.0), text="red")], ledger))

    assert command._against(given) == ("9f8e7d2", "main (9f8e7d2)")
    (red,) = command._without_result(tmp_path, set())
    assert command._meant([red], Namespace(names=[red.name], root=tmp_path), named_whole=True) == [red]
    assert command._without_result(tmp_path, {red.test}) == []


def test_a_green_test_may_be_named_if_it_is_here(tmp_path):
    """Of one that is not, nobody has to try a commit to know."""
    (tmp_path / "test_a.py").touch()
    given = Namespace(names=["test_a.py::test_b"], root=tmp_path, baselines=tmp_path, output=tmp_path)
    assert [each.test for each in command._meant([], given, named_whole=True)] == given.names
    given.names = ["test_none.py::test_b"]
    with pytest.raises(NotFoundError, match="test_none"):
        command._meant([], given, named_whole=True)


def test_what_is_around_the_code_is_blamed_where_the_commit_differs_too(then):
    """By what the record knows of it; or the code that the baseline was made from."""
    record = then[1].record
    streams = {key: dataclasses.replace(each, values=(*each.values[:-1], 7.0)) for key, each in record.streams.items()}
    environment = {**record.environment, "torch": "1.0"}
    comparison = compare(dataclasses.replace(record, streams=Streams(streams), environment=environment), record)

    text = environment_text(comparison, About("test", None), [], {})
    assert "  commit     differs from its baseline on this machine, too: what is around the code has changed" in text
    assert "  changed    torch 1.0 -> " in text
    other = environment_text(comparison, About("test", None), ["net.py"], {})
    assert "  commit     has other code than its baseline: net.py" in other


def test_the_commit_and_what_is_around_it_are_named_as_they_were_asked_for(then):
    """Which test was lent to it, and which libraries its own environment has."""
    record = then[1].record
    former = dataclasses.replace(record, environment={**record.environment, "torch": "1.0"}, streams=Streams({}))
    found = Explanation(compare(Baseline(former), record), None, None, [], "")
    commit = Commit("9f8e7d2", "A", datetime.now(UTC), "Faster")
    lines = explanation_text(found, About("test", commit, "main (9f8e7d2)", ["test_a.py"]), *then[:1] * 2).splitlines()

    assert lines[0].startswith("training differs from main (9f8e7d2) ")
    assert lines[2] == '  commit     9f8e7d2 "Faster", today, with today\'s test_a.py'
    assert lines[-1].startswith("  around     torch 1.0 -> ")
    assert lines[-1].endswith(" since main (9f8e7d2)")


@pytest.mark.parametrize(
    ("then_", "test", "lent"),
    [
        ({}, "tests/test_a.py::test_b", ["tests/test_a.py", "conftest.py"]),
        ({"conftest.py": ""}, "tests/test_a.py::T::test_b[x-y::z]", ["tests/test_a.py"]),
        ({"tests/test_a.py": "def test_bb(): pass", "conftest.py": ""}, "tests/test_a.py::test_b", ["tests/test_a.py"]),
        ({"tests/test_a.py": "def test_b(): pass"}, "tests/test_a.py::test_b", []),
        ({"tests/test_a.py": "def test_bb(): pass"}, "tests/test_a.py::test_inherited", []),
        ({"tests/test_a.py": ""}, "tests/test_a.py", []),
        ({}, "tests/test_none.py::test_b", []),
    ],
)
def test_a_test_is_lent_to_a_commit_that_lacks_it(tmp_path, then_, test, lent):
    """Its file, where the commit has none or one without the test, and each conftest.py that it lacks."""
    here = {"tests/test_a.py": "def test_b(): pass", "conftest.py": ""}
    for name, files in (("here", here), ("there", then_)):
        for file, text in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
    there = tmp_path / "there"

    assert lend(Tree("", there, tmp_path / "here", there), tmp_path / "here", [test]) == lent
    assert all((there / file).read_text() == here[file] for file in lent)


def test_a_diff_is_whole_whatever_git_is_set_to(tmp_path):
    """An empty line of a hunk has its blank, without which it would end there."""
    file = tmp_path / "a.py"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "diff.suppressBlankEmpty", "true")
    file.write_text("a = 1\n\nb = 2\n\nc = 3\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    file.write_text("a = 1\n\nb = 4\n\nc = 3\n")

    assert Git(tmp_path).changes("HEAD", without=["a.py"]).hunks == []
    (hunk,) = Git(tmp_path).changes("HEAD").hunks
    assert hunk.text.splitlines()[-6:] == [" a = 1", " ", "-b = 2", "+b = 4", " ", " c = 3"]
