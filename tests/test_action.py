"""The composite action: valid, safe, and each of its shell steps does what it says."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import QUICK
from tests.test_ci import ROOT, load, needs_bash, needs_schema, syntax_error


ACTION = ROOT / ".github" / "actions" / "gate" / "action.yml"
TOOL = """#!/bin/sh
printf '%s' "$(basename "$0")" >> "$CALLS"
for word in "$@"; do printf ' <%s>' "$word" >> "$CALLS"; done
printf '\\n' >> "$CALLS"
if [ "$(basename "$0")" = pytest ]; then echo "options <$PYTEST_ADDOPTS>" >> "$CALLS"; exit "${VERDICT:-0}"; fi
"""
"""Stands in for pip, pytest and gh: writes down how it was called."""

pytestmark = needs_bash


def steps():
    """The action's steps by name."""
    return {step.get("name", step.get("uses")): step for step in load(ACTION)["runs"]["steps"]}


@pytest.fixture
def job(tmp_path):
    """Runs a step's script as GitHub would, with stand-ins for the tools; returns status and calls."""
    tools, place, calls = tmp_path / "tools", tmp_path / "checkout", tmp_path / "calls"
    for folder in (tools, place, tmp_path / "temp"):
        folder.mkdir()
    for name in ("pip", "pytest", "gh"):
        (tools / name).write_text(TOOL)
        (tools / name).chmod(stat.S_IRWXU)

    def run(name, **variables):
        calls.write_text("")
        around = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "RUNNER_TEMP": str(tmp_path / "temp"),
            "GITHUB_ACTION_PATH": "/action/.github/actions/gate",
            "GITHUB_REPOSITORY": "us/ours",
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name]["run"]]
        done = subprocess.run(command, cwd=place, env={**around, **variables}, capture_output=True, text=True)
        return done.returncode, calls.read_text().splitlines()

    run.place, run.temp = place, tmp_path / "temp"
    return run


@needs_schema
def test_the_action_follows_the_schema():
    """It is valid by the schema that check-jsonschema carries."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", str(ACTION)]
    done = subprocess.run(command, text=True, capture_output=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_its_scripts_parse_and_hold_no_expression():
    """Inputs reach scripts by the environment only, and every action is pinned by its commit."""
    scripts = [step["run"] for step in steps().values() if "run" in step]

    assert len(scripts) == 3
    assert [script for script in scripts if syntax_error(script) or "${{" in script] == []
    used = re.findall(r"^ +(?:- )?uses: *(.*)", ACTION.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(used) == 3
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


def test_every_input_is_used_and_has_a_default():
    """Nothing has to be given, and nothing is given in vain."""
    content, text = load(ACTION), ACTION.read_text(encoding="utf-8")

    for name, declared in content["inputs"].items():
        assert "default" in declared
        assert f"inputs.{name}" in text


def test_five_lines_are_enough():
    """The example at the top of the file has no more."""
    example = [line for line in ACTION.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")]

    assert 0 < len(example) <= 5


def test_installing_takes_torch_from_one_index_and_the_plugin_from_the_action(job):
    """Then the project's own command runs, with whatever quotes and variables it has."""
    status, calls = job("Install", INSTALL="pip install -e '.[test]' && pip check", TORCH_INDEX="https://index/cpu")

    assert status == 0
    assert calls == [
        "pip <install> <--index-url> <https://index/cpu> <torch> <torchvision>",
        "pip <install> </action/.github/actions/gate/../../..>",
        "pip <install> <-e> <.[test]>",
        "pip <check>",
    ]
    assert job("Install", INSTALL="true", TORCH_INDEX="")[1][0] == "pip <install> <torch> <torchvision>"


def test_a_project_that_cannot_be_installed_is_red(job):
    """The step ends with the command's failure."""
    assert job("Install", INSTALL="false | true; pip install x", TORCH_INDEX="")[0] != 0


def test_the_path_of_the_plugin_is_this_repository():
    """What the action installs, three folders above it, is the project."""
    assert (ACTION.parent / "../../..").resolve() == ROOT
    assert "pytest-training-regression" in (ACTION.parent / "../../../pyproject.toml").read_text(encoding="utf-8")


def test_the_gate_passes_arguments_on_and_no_shell_reads_them(job):
    """Arguments join those of the environment; what looks like a command stays text; the verdict is pytest's."""
    status, calls = job("Gate", ARGUMENTS="-k 'a and b' $(touch hacked)", PYTEST_ADDOPTS="-v")

    assert status == 0
    assert calls == [
        "pytest <--mpl> <--training-history=.training-history.jsonl>",
        "options <-v -k 'a and b' $(touch hacked)>",
    ]
    assert not list(job.place.iterdir())
    assert job("Gate", ARGUMENTS="", VERDICT="1")[0] == 1


def test_the_comment_is_the_summary_and_stays_one(job):
    """The last comment is edited, or the first made; without a report there is none."""
    assert job("Comment", NUMBER="7", RUN_URL="https://run") == (0, [])

    (job.place / "build/harness").mkdir(parents=True)
    (job.place / "build/harness/report.md").write_text("### Training regression: all passed\n")
    body = job.temp / "training-regression.md"
    status, calls = job("Comment", NUMBER="7", RUN_URL="https://run")

    assert status == 0
    assert calls == [
        f"gh <pr> <comment> <7> <--repo> <us/ours> <--edit-last> <--create-if-none> <--body-file> <{body}>"
    ]
    assert body.read_text() == ("### Training regression: all passed\n\nReport, figures and records: https://run\n")


def test_what_the_comment_reads_is_what_a_session_writes():
    """The names of files agree between action and plugin."""
    from harness.plugin.session import Outcome

    outcome = Outcome.__new__(Outcome)
    outcome._folder = Path("build/harness")
    assert outcome.markdown.as_posix() in steps()["Comment"]["run"]


def test_the_real_gate_runs_in_the_step(job, pytester):
    """With pytest itself in place of the stand-in, the step leaves summary and history, and fails as it does."""
    pytester.makepyfile(
        test_it="from matplotlib.figure import Figure\nimport pytest\n"
        "@pytest.mark.mpl_image_compare\ndef test_it():\n    return Figure(figsize=(1, 1))\n"
    )
    pytester.makeini("[pytest]\ntraining_baselines = baselines")
    shutil.rmtree(job.place)
    job.place.symlink_to(pytester.path)
    options = " ".join([*QUICK, "-p", "no:cacheprovider"])
    options = " ".join([*QUICK, "-p", "no:cacheprovider"])
    program = f'#!/bin/sh\nexec "{sys.executable}" -m pytest {options} "$@"\n'
    (job.temp.parent / "tools" / "pytest").write_text(program)
    summary = job.temp / "summary"
    around = {"ARGUMENTS": "-q", "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "CI": "true"}
    around["PYTHONPATH"] = str(ROOT)  # this checkout's plugin, whichever is installed

    assert job("Gate", **{**around, "ARGUMENTS": "--mpl-generate-path=baselines"})[0] == 0
    assert job("Gate", **around)[0] == 0
    assert "1 check, all passed" in summary.read_text()
    assert len((pytester.path / ".training-history.jsonl").read_text().splitlines()) == 1
    next((pytester.path / "baselines").iterdir()).unlink()
    assert job("Gate", **around)[0] == 1
