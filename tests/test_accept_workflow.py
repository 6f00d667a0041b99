"""The workflows `accept` and `propose`: their shell steps, with a stand-in for gh and a real repository to push to."""

import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.baselines.failed import Candidate, digest, offer
from harness.baselines.origin import content_name
from harness.baselines.store import save_baseline
from harness.record import Baseline, Stream
from tests.repositories import git
from tests.test_ci import ROOT, load, needs_bash
from tests.test_record import baseline_of, record_of


WORKFLOW = ROOT / ".github" / "workflows" / "accept.yml"
PROPOSE = WORKFLOW.with_name("propose.yml")
TEXT = "Baselines accepted: why\n\nmore"
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


def job(name="accept"):
    """A job of the workflow."""
    return load(WORKFLOW)["jobs"][name]


def steps():
    """The scripts of all steps by name."""
    found = [*job()["steps"], *job("answer")["steps"], *load(PROPOSE)["jobs"]["propose"]["steps"]]
    return {step["name"]: step["run"] for step in found if "run" in step}


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
            "GITHUB_WORKSPACE": str(folder),
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


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """A repository whose branch changes a training, and the shallow checkouts of it that the jobs make."""
    folder = tmp_path_factory.mktemp("repositories")
    ours = folder / "ours"
    ours.mkdir()
    git(ours, "init", "--quiet", "--initial-branch=wider")
    (ours / "train.py").write_bytes(SOURCE)
    (ours / ".gitignore").write_text("build/\n")
    save_baseline(ours / "baselines" / "a.json", BASELINE)
    git(ours, "add", ".")
    git(ours, "commit", "--quiet", "-m", "first")
    git(ours, "commit", "--quiet", "--allow-empty", "-m", "second")
    git(folder, "clone", "--quiet", "--bare", "ours", "remote")
    git(folder, "clone", "--quiet", "--depth=1", (folder / "remote").as_uri(), "project")
    git(folder / "project", "remote", "set-url", "origin", "../remote")
    shutil.copytree(folder / "project", folder / "proposal")
    return folder


@pytest.fixture
def red(runner, repositories):
    """The repository and its checkouts, and what the branch's red gate left."""
    shutil.copytree(repositories, runner.folder, dirs_exist_ok=True)
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
        sources={"train.py": content_name(runner.folder / "ours", "train.py")},
        obstacle="",
        origin={"commit": "1b53ba4"},
    )
    candidate = msgspec.structs.replace(candidate, **changes)
    offer(runner.folder / "artifact" / "failed", candidate, PRESENT.to_text().encode())


def accept(runner, **variables):
    """Fetch the results and accept them."""
    status, text, _ = runner("Fetch the results", RUN="77", ARTIFACT="gate")
    assert status == 0, text
    return runner("Accept", **{"COMMENT": "", "REASON": "", "NAMES": "", "RESULTS": "https://runs/77", **variables})


def said(runner):
    """What accepting hands on as the text of the pull request."""
    lines = (runner.folder / "output").read_text().splitlines()
    assert lines[0] == f"text<<{lines[-1]}"
    return "\n".join(lines[1:-1])


def propose(runner, text=TEXT):
    """Open the pull request, with the baselines that the other job left; return status, output and calls of gh."""
    if (runner.folder / "project").exists() and not (runner.temp / "baselines").exists():
        shutil.copytree(runner.folder / "project" / "baselines", runner.temp / "baselines")
    (runner.folder / "output").write_text("")
    around = {"BRANCH": "baselines-5-1", "TITLE": "Accept baselines", "TEXT": text}
    done = runner("Commit the baselines", "proposal", **around)
    if done[0] or (runner.folder / "output").read_text() != "changed=true\n":
        return done
    return runner("Open a pull request", "proposal", **around, BASE="wider", RUN_URL="https://run")


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


def test_the_harness_is_the_default_branchs():
    """Of the branch whose results are accepted, nothing is installed; the job that reads them may not write."""
    checkouts = [step["with"] for step in job()["steps"] if "checkout" in step.get("uses", "")]

    assert checkouts[0]["ref"] == "${{ github.event.repository.default_branch }}"
    assert steps()["Install the harness"] == f"pip install ./{checkouts[0]['path']}"
    assert set(job()["permissions"].values()) == {"read"}
    assert job()["steps"][-1]["with"]["path"] == "project/baselines"


def test_one_step_of_proposing_has_the_token():
    """Git reads the branch's attributes and the artifact's files in another."""
    proposing = load(PROPOSE)["jobs"]["propose"]

    assert [step.get("name") for step in proposing["steps"] if "token" in str(step)] == ["Open a pull request"]
    assert "token" not in str(proposing["env"])
    assert "download-artifact" in proposing["steps"][1]["uses"]
    assert proposing["steps"][1]["with"]["path"] == "${{ runner.temp }}/baselines"


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
    words = said(red)
    status, text, calls = propose(red, words)
    assert status == 0, text

    git(red.folder, "clone", "--quiet", "--branch=baselines-5-1", "remote", "fetched")
    accepted = Baseline.from_text((red.folder / "fetched" / "baselines" / "a.json").read_text())
    assert accepted.record == PRESENT
    assert accepted.origin == {"commit": "1b53ba4", "reason": "a larger rate $(touch hacked)"}
    body = (red.temp / "body.md").read_text()
    assert body.startswith(f"{words}\n\n```\n baselines/a.json | ")
    assert words.startswith("Baselines accepted: a larger rate $(touch hacked)\n\n| baseline |")
    row = ("baselines/a.json", "from step 1 on&#58; forward, loss", "1b53ba4")
    assert f"| {' | '.join(f'<code>{cell}</code>' for cell in row)} |" in words
    assert "The numbers are those of https://runs/77." in words
    assert "Not accepted" not in words
    assert calls[-1] == (
        "gh <pr> <create> <--repo> <us/ours> <--base> <wider> <--head> <baselines-5-1> <--title> <Accept baselines> "
        f"<--body-file> <{red.temp / 'body.md'}>"
    )
    assert not list(red.folder.rglob("hacked"))
    address = (red.folder / "output").read_text().splitlines()[-1].removeprefix("address=")
    answer = red("Answer the comment", NUMBER="3", RUN_URL="https://run", ADDRESS=address)[2]
    assert answer[0].endswith("<--body> <The new baselines: https://github.com/us/ours/pull/9>")


def test_what_only_a_training_can_make_is_named_beside_the_rest(red):
    """The others are proposed all the same; what a stranger wrote ends no line and gives the runner no command."""
    hostile = "pytest\r@octocat [click](http://evil.example)\r\n::add-mask::a\x1b[2J\x00"
    leave(red, "b", obstacle=f"its states are made while it trains {hostile}")
    status, log, _ = accept(red, REASON="why")

    assert status == 0, log
    words = said(red).partition("Not accepted:\n\n")[2].partition("\n\nThe numbers")[0]
    assert "its states are made while it trains" in words
    assert [line for line in words.splitlines() if line and not line.startswith("    ")] == []
    assert [word for word in said(red) if not word.isprintable() and word != "\n"] == []
    lines = log.split("\n")
    began = next(line for line in lines if line.startswith("::stop-commands::"))
    end = lines.index(f"::{began.removeprefix('::stop-commands::')}::")
    assert [line for line in [*lines[: lines.index(began)], *lines[end + 1 :]] if line] == []


def test_a_text_that_no_body_holds_is_cut(red):
    """GitHub would refuse it."""
    leave(red, "b", obstacle="x" * 70_000)

    assert accept(red, REASON="why")[0] == 0
    assert len(said(red)) < 60_000
    assert said(red).endswith("The numbers are those of https://runs/77.")


def forge(runner):
    """Folder of an artifact that holds a new baseline beside the former one."""
    folder = runner.temp / "baselines"
    shutil.copytree(runner.folder / "ours" / "baselines", folder)
    (folder / "new.json").write_text("{}")
    return folder


def test_only_plain_files_with_names_of_baselines_are_taken(red):
    """A branch's code can leave anything in the artifact: what is none is refused, in one line of the log."""
    folder = forge(red)
    names = [
        ".a.json",
        "-a.json",
        "a b.png",
        "a\n```\n@octocat.json",
        "a`.json",
        "hook.sh",
        "a.json.exe",
        ".git",
        "ä.png",
    ]
    makers = {folder / name: Path.touch for name in names}
    makers |= {folder / "link.png": lambda place: place.symlink_to(red.folder / "ours" / "train.py")}
    makers |= {folder / "dangling.png": lambda place: place.symlink_to("nowhere")}
    makers |= {folder / "folder.png": Path.mkdir, folder / "pipe.png": os.mkfifo}
    for place, make in makers.items():
        make(place)
        status, text, calls = propose(red)
        place.rmdir() if place.name == "folder.png" else place.unlink()

        assert (status, calls) == (1, []), place
        assert text.startswith("::error::The artifact holds what is no baseline: ")
        assert len(text.splitlines()) == 1
    assert propose(red)[0] == 0


def test_what_is_no_longer_written_goes_and_a_link_leads_nowhere(red):
    """The branch's folder is replaced, even where the branch has a link in its place; nothing else is committed."""
    folder, proposal = forge(red), red.folder / "proposal"
    (folder / "new.json").chmod(stat.S_IRWXU)
    (folder / "a.json").unlink()
    shutil.rmtree(proposal / "baselines")
    (proposal / "baselines").symlink_to(".git")
    (proposal / "stray.txt").touch()
    assert propose(red)[0] == 0

    command = ["git", "-C", proposal, "show", "--format=%s|%b", "--raw"]
    message, *changes = subprocess.run(command, capture_output=True, text=True).stdout.split("\n:")
    assert message.strip() == "Accept baselines|Baselines accepted: why"
    modes = [(change.split()[1], change.split()[-1]) for change in changes]
    assert modes == [("000000", "baselines/a.json"), ("100644", "baselines/new.json")]
    assert not (proposal / ".git" / "new.json").exists()


def test_a_baseline_of_this_repository_is_one_for_the_workflow(red):
    """What our tests write has names that it takes."""
    (red.temp / "baselines").mkdir()
    for path in (ROOT / "baselines").iterdir():
        (red.temp / "baselines" / path.name).touch()
    assert propose(red)[0] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"COMMENT": "/accept-baselines  "}, "a baseline does not change without a reason"),
        ({"REASON": "why", "NAMES": "--root=/"}, "no result of a failed comparison is called '--root=/'"),
    ],
)
def test_nothing_is_proposed_where_nothing_was_accepted(red, change, words):
    """The step fails with the command's message, and the comment is answered."""
    status, text, _ = accept(red, **change)

    assert status == 1
    assert words in text
    answer = red("Answer the comment", NUMBER="3", RUN_URL="https://run", ADDRESS="")[2]
    assert answer[0].endswith("<--body> <Nothing was accepted; https://run says why.>")


def test_results_of_other_sources_are_refused(red):
    """The checkout is not what the gate ran on: its base has changed since, say."""
    (red.folder / "project" / "train.py").write_text("learning_rate = 0.07\n")
    status, text, _ = accept(red, REASON="why")

    assert status == 1
    assert "the result for a is stale: train.py changed after the comparison" in text


def test_baselines_that_are_unchanged_open_nothing(red):
    """Neither a commit nor a pull request."""
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


def test_an_artifact_names_no_file_but_a_baseline(red):
    """What git or GitHub would run is not written, whatever a note says."""
    names = [".git/config", ".git/hooks/pre-commit", ".github/workflows/gate.yml"]
    shutil.rmtree(red.folder / "artifact" / "failed")
    places = {name: red.folder / "project" / name for name in names}
    former = {name: place.read_bytes() if place.is_file() else b"" for name, place in places.items()}
    for name in names:
        leave(red, "x", baseline=name, compared=digest(former[name]))
    status, text, _ = accept(red, REASON="why")

    assert status == 1
    assert "and this project's are in baselines" in text
    assert {name: place.read_bytes() if place.is_file() else b"" for name, place in places.items()} == former
