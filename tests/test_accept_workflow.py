"""The workflow `accept`: each of its shell steps, with a stand-in for gh and a real repository to push to."""

import hashlib
import itertools
import os
import shutil
import stat
import subprocess
import sys

import msgspec
import pytest

from harness.baselines.failed import Candidate, digest, offer
from harness.baselines.store import save_baseline
from harness.record import Baseline, Stream
from tests.test_ci import ROOT, load, needs_bash
from tests.test_origin import git
from tests.test_record import baseline_of, record_of


WORKFLOW = ROOT / ".github" / "workflows" / "accept.yml"
GH = """#!/usr/bin/env bash
printf 'gh' >> "$CALLS"
for word in "$@"; do printf ' <%s>' "$word" >> "$CALLS"; done
printf '\\n' >> "$CALLS"
case "$1 $2" in
  "api "*/permission) echo "${PERMISSION-write}" ;;
  "api "*/actions/runs/*) echo "${FACTS:-us/ours c0ffee wider}" ;;
  "pr view") echo c0ffee ;;
  "run list") echo "${FOUND-77}" ;;
  "run download") mkdir -p "${!#}" && cp -r "$RESULTS/." "${!#}" ;;
  "pr create") echo https://github.com/us/ours/pull/9 ;;
esac
"""
"""Stands in for gh: writes down how it was called, and answers as GitHub would."""
HARNESS = f"""#!/bin/sh
PYTHONPATH="{ROOT}" exec "{sys.executable}" -c 'import sys; from harness.commands import main; sys.exit(main())' "$@"
"""

BASELINE = baseline_of({"loss": Stream("forward", (0, 1), (2.5, 1.25))})
PRESENT = record_of({"loss": Stream("forward", (0, 1), (2.5, 1.5))})
SOURCE = b"learning_rate = 0.06\n"

pytestmark = needs_bash


def job():
    """The workflow's only job."""
    return load(WORKFLOW)["jobs"]["accept"]


def steps():
    """The scripts of its steps by name."""
    return {step["name"]: step["run"] for step in job()["steps"] if "run" in step}


class Runner:
    """A machine on which the steps run one after another."""

    def __init__(self, folder):
        self.folder, self.temp, self.calls = folder, folder / "temp", folder / "calls"
        tools = folder / "tools"
        for place in (tools, self.temp):
            place.mkdir()
        for name, text in (("gh", GH), ("harness", HARNESS)):
            (tools / name).write_text(text)
            (tools / name).chmod(stat.S_IRWXU)
        self.around = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "CALLS": str(self.calls),
            "RESULTS": str(folder / "artifact"),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_REPOSITORY": "us/ours",
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        }

    def __call__(self, name, place=".", **variables):
        """Run a step; return its status, its output and the calls of gh."""
        self.calls.write_text("")
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name]]
        done = subprocess.run(
            command, cwd=self.folder / place, env={**self.around, **variables}, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr, self.calls.read_text().splitlines()


@pytest.fixture
def runner(tmp_path):
    """The steps' machine."""
    return Runner(tmp_path)


@pytest.fixture
def red(runner):
    """A repository whose branch changes a training, what its red gate left, and a shallow checkout of that branch."""
    ours = runner.folder / "ours"
    ours.mkdir()
    git(ours, "init", "--quiet", "--initial-branch=wider")
    (ours / "train.py").write_bytes(SOURCE)
    (ours / ".gitignore").write_text("build/\n")
    save_baseline(ours / "baselines" / "a.json", BASELINE)
    git(ours, "add", ".")
    git(ours, "commit", "--quiet", "-m", "first")
    git(ours, "commit", "--quiet", "--allow-empty", "-m", "second")
    git(runner.folder, "clone", "--quiet", "--bare", "ours", "remote")
    git(runner.folder, "clone", "--quiet", "--depth=1", (runner.folder / "remote").as_uri(), "project")
    leave(runner, "a")
    return runner


def leave(runner, name, **changes):
    """Keep a result in the artifact, as a red gate does."""
    candidate = Candidate(
        test=f"test_it.py::test_{name}",
        baseline=f"baselines/{name}.json",
        compared=digest((runner.folder / "ours" / "baselines" / "a.json").read_bytes()),
        result="",
        difference="from step 1 on: forward, loss",
        sources={"train.py": hashlib.sha256(SOURCE).hexdigest()},
        obstacle="",
        origin={"commit": "1b53ba4"},
    )
    candidate = msgspec.structs.replace(candidate, **changes)
    offer(runner.folder / "artifact" / "failed", candidate, PRESENT.to_text().encode())


def accept(runner, **variables):
    """Fetch the results and accept them."""
    status, text, _ = runner("Fetch the results", RUN="77", ARTIFACT="gate")
    assert status == 0, text
    return runner("Accept", **{"COMMENT": "", "REASON": "", "NAMES": "", **variables})


def propose(runner):
    """Open the pull request."""
    return runner(
        "Open a pull request", "project", BASE="wider", BRANCH="accepted-5-1", RUN="77", RUNS_URL="https://runs"
    )


def test_a_comment_leads_to_the_red_run_of_the_last_commit(runner):
    """Its id, commit and branch are handed on."""
    status, _, calls = runner("Find the red run", ACTOR="me", NUMBER="3", RUN="")

    assert status == 0
    assert [call.split()[1:3] for call in calls] == [
        ["<api>", "<repos/us/ours/collaborators/me/permission>"],
        ["<pr>", "<view>"],
        ["<run>", "<list>"],
        ["<api>", "<repos/us/ours/actions/runs/77>"],
    ]
    assert "<--commit> <c0ffee> <--status> <failure>" in calls[2]
    assert (runner.folder / "output").read_text() == "run=77\ncommit=c0ffee\nbranch=wider\n"


def test_by_hand_the_run_is_given(runner):
    """No pull request is asked for."""
    status, _, calls = runner("Find the red run", ACTOR="me", NUMBER="", RUN="78")

    assert status == 0
    assert calls[-1].startswith("gh <api> <repos/us/ours/actions/runs/78>")
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PERMISSION": "read"}, "Only those who may write to this repository accept its baselines."),
        ({"PERMISSION": ""}, "Only those who may write"),
        ({"FOUND": ""}, "There is no red run of the gate for the last commit of this branch."),
        ({"NUMBER": "", "RUN": "7/../../x"}, "There is no red run of the gate"),
        ({"FACTS": "them/ours c0ffee main"}, "This branch is in a fork"),
    ],
    ids=["reader", "stranger", "no red run", "no number", "fork"],
)
def test_what_must_not_or_cannot_be_accepted_is_refused(runner, variables, words):
    """The reason stands on the run's page; nothing is handed on."""
    status, text, _ = runner("Find the red run", **{"ACTOR": "me", "NUMBER": "3", "RUN": "", **variables})

    assert status == 1
    assert f"::error::{words}" in text
    assert not (runner.folder / "output").exists()


def test_only_who_belongs_to_the_repository_starts_a_job():
    """Other comments start none; the step asks for the right to write besides."""
    condition = " ".join(job()["if"].split())

    assert "startsWith(github.event.comment.body, '/accept-baselines ')" in condition
    known = 'fromJSON(\'["OWNER", "MEMBER", "COLLABORATOR"]\')'
    assert f"contains({known}, github.event.comment.author_association)" in condition
    assert "github.event.issue.pull_request &&" in condition


def test_no_code_of_the_branch_runs_and_the_token_is_where_it_is_needed():
    """The harness is the default branch's; the steps that read what others wrote, or install, have no token."""
    found = {step.get("name", step.get("uses")): step for step in job()["steps"]}
    checkouts = [step["with"] for step in found.values() if "checkout" in step.get("uses", "")]

    assert [step["persist-credentials"] for step in checkouts] == [False, False]
    assert checkouts[0]["ref"] == "${{ github.event.repository.default_branch }}"
    assert steps()["Install the harness"] == f"pip install ./{checkouts[0]['path']}"
    with_token = [name for name, step in found.items() if "GH_TOKEN" in step.get("env", {})]
    assert with_token == ["Find the red run", "Fetch the results", "Open a pull request", "Answer the comment"]
    assert all("GH_TOKEN" not in text for text in (str(load(WORKFLOW)["env"]), str(job().get("env"))))


def test_the_default_artifact_is_one_of_the_gates():
    """The gate's matrix keeps one under that name."""
    matrix = load(WORKFLOW.with_name("gate.yml"))["jobs"]["gate"]["strategy"]["matrix"]
    kinds = itertools.product(matrix["python"], matrix["torch"], matrix["os"])
    names = {f"gate-py{python}-torch-{torch}-{system}" for python, torch, system in kinds}
    default = load(WORKFLOW)["on"]["workflow_dispatch"]["inputs"]["artifact"]["default"]

    assert default in names
    fetch = next(step for step in job()["steps"] if step.get("name") == "Fetch the results")
    assert default in fetch["env"]["ARTIFACT"]


@pytest.mark.parametrize(
    "variables",
    [
        {"REASON": "a larger rate $(touch hacked)", "NAMES": "a"},
        {"COMMENT": "/accept-baselines a larger rate $(touch hacked)\r\nThanks!", "NAMES": ""},
    ],
    ids=["by hand", "comment"],
)
def test_from_a_red_run_to_a_pull_request(red, variables):
    """What the branch gets is the red run's numbers with the reason; a shell reads none of the words."""
    status, text, _ = accept(red, **variables)
    assert status == 0, text
    status, text, calls = propose(red)
    assert status == 0, text

    git(red.folder, "clone", "--quiet", "--branch=accepted-5-1", "remote", "fetched")
    accepted = Baseline.from_text((red.folder / "fetched" / "baselines" / "a.json").read_text())
    assert accepted.record == PRESENT
    assert accepted.origin == {"commit": "1b53ba4", "reason": "a larger rate $(touch hacked)"}
    body = (red.temp / "body.md").read_text()
    assert body.startswith("Baselines accepted: a larger rate $(touch hacked)\n\n| baseline |")
    row = ("baselines/a.json", "from step 1 on&#58; forward, loss", "1b53ba4")
    assert f"| {' | '.join(f'<code>{cell}</code>' for cell in row)} |" in body
    assert "The numbers are those of https://runs/77." in body
    assert "Not accepted" not in body
    assert calls[-1] == (
        "gh <pr> <create> <--repo> <us/ours> <--base> <wider> <--head> <accepted-5-1> <--title> <Accept baselines> "
        f"<--body-file> <{red.temp / 'body.md'}>"
    )
    assert not list(red.folder.rglob("hacked"))
    answer = red("Answer the comment", NUMBER="3", RUN_URL="https://run")[2]
    assert answer[0].endswith("<--body> <The new baselines: https://github.com/us/ours/pull/9>")


def test_only_what_was_accepted_is_in_the_commit(red):
    """Neither the artifact nor anything else that lies about."""
    assert accept(red, REASON="why")[0] == 0
    (red.folder / "project" / "stray.txt").touch()
    assert propose(red)[0] == 0
    command = ["git", "-C", red.folder / "project", "show", "--format=%s%n%b", "--name-only"]
    shown = subprocess.run(command, capture_output=True, text=True).stdout

    assert shown.split() == ["Accept", "baselines", "Baselines", "accepted:", "why", "baselines/a.json"]


def test_what_only_a_training_can_make_is_named_beside_the_rest(red):
    """The others are proposed all the same."""
    leave(red, "b", obstacle="its states are made while it trains")
    assert accept(red, REASON="why")[0] == 0
    assert propose(red)[0] == 0

    body = (red.temp / "body.md").read_text()
    assert "Not accepted:\n\n    the result for b is no whole baseline: its states are made while it trains\n" in body


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"REASON": "..."}, "a baseline does not change without a reason"),
        ({"COMMENT": "/accept-baselines  "}, "a baseline does not change without a reason"),
        ({"REASON": "why", "NAMES": "c"}, "no result of a failed comparison is called 'c'"),
        ({"REASON": "why", "NAMES": "--root=/"}, "no result of a failed comparison is called '--root=/'"),
    ],
)
def test_nothing_is_proposed_where_nothing_was_accepted(red, change, words):
    """The step fails with the command's message, and the comment is answered."""
    status, text, _ = accept(red, **change)

    assert status == 1
    assert words in text
    answer = red("Answer the comment", NUMBER="3", RUN_URL="https://run")[2]
    assert answer[0].endswith("<--body> <Nothing was accepted; https://run says why.>")


def test_results_of_other_sources_are_refused(red):
    """The checkout is not what the gate ran on: its base has changed since, say."""
    (red.folder / "project" / "train.py").write_text("learning_rate = 0.07\n")
    status, text, _ = accept(red, REASON="why")

    assert status == 1
    assert "the result for a is stale: train.py changed after the comparison" in text


def test_baselines_that_are_accepted_already_open_nothing(red):
    """The second comment of two."""
    assert accept(red, REASON="why")[0] == 0
    git(red.folder / "project", "commit", "--quiet", "--all", "-m", "accepted")
    status, text, calls = propose(red)

    assert status == 0
    assert "there is nothing to propose" in text
    assert calls == []


@pytest.mark.parametrize("target", [".git", "."])
def test_a_link_in_the_place_of_build_leads_nowhere(red, target):
    """A branch that holds one gets none of its other files overwritten by an artifact."""
    project = red.folder / "project"
    (project / "build").symlink_to(target)
    shutil.copy(project / ".git" / "config", red.folder / "artifact" / "config")
    (red.folder / "artifact" / "config").write_text("[core]\n\tfsmonitor = touch hacked\n")
    before = (project / ".git" / "config").read_bytes()
    assert accept(red, REASON="why")[0] == 0

    assert (project / ".git" / "config").read_bytes() == before
    assert not (project / ".git" / "harness").exists()
    assert not (project / "build").is_symlink()


@pytest.mark.parametrize("name", [".git/config", ".git/hooks/pre-commit", ".github/workflows/gate.yml"])
def test_an_artifact_names_no_file_but_a_baseline(red, name):
    """What git or GitHub would run is not written, whatever a note says."""
    stem = name.rpartition("/")[2]
    failed = red.folder / "artifact" / "failed"
    shutil.rmtree(failed)
    candidate_file = red.folder / "project" / name
    former = candidate_file.read_bytes() if candidate_file.is_file() else b""
    leave(red, "x", baseline=name, compared=digest(former))
    assert (failed / stem).is_file()
    status, text, _ = accept(red, REASON="why")

    assert status == 1
    assert "and this project's are in baselines" in text
    assert (candidate_file.read_bytes() if candidate_file.is_file() else b"") == former
