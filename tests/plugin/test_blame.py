"""Promises of blame in a session: the baseline knows its files, a failure and every form of it name what changed."""

import json
from types import SimpleNamespace

from harness.commands import main
from harness.plugin.gated_test import GatedTest
from harness.record import Baseline
from tests.repositories import git


RECORD = "test_gate-test_training.json"


def test_a_failure_names_the_file_and_the_commit(project, capsys):
    """Directly below the line that says another value; in results.json as data; of a baseline that came with its code.

    A file that the test has read is one of the project, too, but none that it has written.
    """
    files = ["config.json", "test_gate.py"]
    (project.path / "config.json").write_text("[1]")
    written = "Path('out.txt').write_text('[]') * len(Path('out.txt').read_text())"
    read = f"[{written} // 4, *json.loads(Path('config.json').read_text())][1]"
    project.edit("import pytest", "import json\nimport pytest\nfrom pathlib import Path")
    project.edit("warmup_steps=1", f"warmup_steps={read}")
    project.generate()
    assert [*Baseline.from_text((project.baselines / RECORD).read_text()).sources] == files
    for words in (["init", "--quiet"], ["add", "baselines", *files], ["commit", "--quiet", "-m", "start"]):
        git(project.path, *words)
    project.edit("import json", "import json  # for the steps")
    project.edit("[1]", "[2]", "config.json")
    git(project.path, "commit", "--quiet", "--all", "-m", "Faster")
    result = project.run("-k", "test_training")

    lines = result.stdout.lines
    place = next(index for index, line in enumerate(lines) if line.startswith("training differs from its baseline "))
    assert lines[place + 1] == "  where      config.json:1 says 2, and said 1"
    assert lines[place + 2].startswith("  blame      config.json  (+1 -1)  ")
    assert lines[place + 2].endswith(' "Faster", today')
    (finding,) = json.loads((project.path / "build" / "harness" / "results.json").read_text())["results"]
    changed = [(each["path"], each["added"], each["commit"]["subject"]) for each in finding["subject"]["blame"]]
    assert changed == [(name, 1, "Faster") for name in files]
    main(["show", str(project.baselines / RECORD)])
    assert "  made from     2 files of the project\n" in capsys.readouterr().out


def test_an_annotation_stands_where_the_divergence_comes_from(pytester, monkeypatch):
    """At the line of the code, below the checkout, or else at the test."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    item = pytester.getitem("import os\ndef test_func(): ...\n")
    test = GatedTest(item, SimpleNamespace())
    found = [test.check("a.json", "", where=where) for where in ("models/net.py:42", "")]
    folder = pytester.path.name

    assert (found[0].file, found[0].line) == (f"{folder}/models/net.py", 42)
    assert (found[1].file, found[1].line) == (f"{folder}/{item.path.name}", 2)
