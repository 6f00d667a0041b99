"""The workflows and `.ci/run`: what can be checked of them without running them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
RUN = ROOT / ".ci" / "run"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
BENCHMARKS = ROOT / "tests" / "benchmarks"
ELSEWHERE = {"tests.packaged": ".ci/run and the gate", "tests.study.runs": "tests.study, a process a run"}
"""Programs of the tests that something else than the night runs."""

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
needs_schema = pytest.mark.skipif(
    importlib.util.find_spec("check_jsonschema") is None, reason="check-jsonschema is not installed"
)


def load(path):
    """A workflow as plain dicts and lists."""
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml (of check-jsonschema) is not installed")
    return yaml.YAML(typ="safe", pure=True).load(path)


def scripts(path):
    """Every `run:` script of a workflow, under a name that finds it."""
    for job, content in load(path)["jobs"].items():
        for number, step in enumerate(content["steps"], start=1):
            if "run" in step:
                yield f"{path.name}, job {job}, step {number}", step["run"]


def syntax_error(script):
    """What bash says of a script that it cannot parse; empty if it can."""
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr


def test_there_are_workflows():
    """The gate, what renews baselines and the night exist, so that the tests below judge something."""
    assert {"gate", "regenerate", "accept", "nightly"} <= {path.stem for path in WORKFLOWS}


@needs_schema
@each_workflow
def test_workflow_follows_the_schema(path):
    """Every workflow is valid by the schema that check-jsonschema carries."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    result = subprocess.run([*command, str(path)], text=True, capture_output=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@each_workflow
def test_permissions_are_declared(path):
    """No workflow runs with the permissions that a repository happens to give by default."""
    assert isinstance(load(path).get("permissions"), dict)


@each_workflow
def test_every_job_has_a_timeout(path):
    """A job that hangs ends in minutes, not after the six hours that GitHub grants."""
    assert [name for name, job in load(path)["jobs"].items() if "timeout-minutes" not in job] == []


@each_workflow
def test_no_expression_inside_a_script(path):
    """Values reach scripts by the environment: `${{ inputs... }}` in a script runs what a stranger typed."""
    assert [where for where, script in scripts(path) if "${{" in script] == []


@each_workflow
def test_actions_are_pinned(path):
    """Every action is pinned by its full commit, with the version beside it: tags can be moved."""
    used = re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


@needs_bash
@each_workflow
def test_scripts_parse(path):
    """Every script of a workflow is valid bash."""
    assert {where: error for where, script in scripts(path) if (error := syntax_error(script))} == {}


def test_required_waits_for_every_job():
    """The check that branch protection names fails when any other job of the gate does."""
    jobs = load(ROOT / ".github" / "workflows" / "gate.yml")["jobs"]
    assert set(jobs["required"]["needs"]) == set(jobs) - {"required"}
    assert jobs["required"]["if"] == "always()"


def is_program(path):
    """Whether a module can be run, examples' and tests' own texts apart."""
    ours = not path.name.startswith("test_") and "examples" not in path.parts
    return ours and '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")


def programs():
    """Names of all programs among the tests, as `python -m` takes them."""
    for path in filter(is_program, sorted((ROOT / "tests").rglob("*.py"))):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def run_at_night():
    """Programs that nightly.yml runs, by name or from its matrix."""
    path = ROOT / ".github" / "workflows" / "nightly.yml"
    for job in load(path)["jobs"].values():
        text = "\n".join(step.get("run", "") for step in job["steps"])
        for command in re.findall(r'python -m (tests[\w.]*|"\$TOOL")', text):
            yield from [command] if command.startswith("tests") else job["strategy"]["matrix"]["tool"]


def test_every_program_runs_at_night():
    """A check that is too long for the gate is not left to whoever remembers it; what is gone is not run, either."""
    assert sorted(run_at_night()) == sorted(set(programs()) - ELSEWHERE.keys())


@pytest.mark.parametrize("program", [*programs()])
def test_every_program_is_in_contributing(program):
    """Each stands there with its command; so does what starts those that nobody starts by hand."""
    named = program if program != "tests.study.runs" else "tests.study"
    assert re.search(rf"python -m {re.escape(named)}\b(?!\.)", CONTRIBUTING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_benchmark_is_run(path):
    """A module of the benchmarks is a program, or part of one that imports it."""
    others = [other.read_text(encoding="utf-8") for other in BENCHMARKS.glob("*.py") if is_program(other)]
    assert is_program(path) or any(f"from tests.benchmarks.{path.stem} import" in text for text in others)


@needs_bash
def test_ci_run_parses():
    """`.ci/run` is valid bash."""
    assert syntax_error(RUN.read_text(encoding="utf-8")) == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_ci_run_is_executable():
    """`.ci/run` starts as a command, in a fresh clone too."""
    assert os.access(RUN, os.X_OK)


@needs_bash
def test_ci_run_leaves_the_checkout_as_it_was(tmp_path):
    """What it made is gone, also after a failure; what was there before stays, a build folder's content too."""
    checkout, commands, temporary = (tmp_path / name for name in ("check out", "commands", "temporary"))
    for folder in (checkout / ".ci", checkout / "build" / "study", checkout / "harness", commands, temporary):
        folder.mkdir(parents=True)
    (checkout / "build" / "study" / "hours.json").touch()
    shutil.copy(RUN, checkout / ".ci")
    python = commands / "python3"  # makes what installing and testing make, and fails
    made = ".ci-venv/bin build/harness harness/__pycache__ tests/a/__pycache__ .mypy_cache .hypothesis one.egg-info"
    python.write_text(f"#!/bin/sh\nmkdir -p {made}\nexit 7\n")
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)}

    done = subprocess.run([checkout / ".ci" / "run"], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 7, done.stderr
    left = {str(path.relative_to(checkout)) for path in checkout.rglob("*")}
    assert left == {".ci", ".ci/run", "build", "build/study", "build/study/hours.json", "harness", "tests", "tests/a"}
    assert list(temporary.iterdir()) == []
