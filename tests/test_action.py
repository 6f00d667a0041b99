"""The composite actions: safe, and each of their shell steps does what it says."""

import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from harness.report.markdown import markdown
from tests.projects import QUICK
from tests.repositories import git
from tests.test_ci import ROOT, load, needs_bash, syntax_error
from tests.test_page import training


ACTION = ROOT / ".github" / "actions" / "gate" / "action.yml"
COMMENT = ACTION.parents[1] / "comment" / "action.yml"
VERDICT = ACTION.parents[1] / "verdict" / "action.yml"
MARKER = "<!-- training-regression: training-regression -->"
TOOL = """#!/bin/sh
printf '%s' "$(basename "$0")" >> "$CALLS"
for word in "$@"; do printf ' <%s>' "$word" >> "$CALLS"; done
printf '\\n' >> "$CALLS"
if [ "$(basename "$0")" = pytest ]; then echo "options <$PYTEST_ADDOPTS>" >> "$CALLS"; exit "${VERDICT:-0}"; fi
if [ "$(basename "$0")" = harness ]; then echo "a line" > "$4"; [ -z "$5" ] || exit "${VERDICT:-0}"; exit 0; fi
if [ "$2" = --paginate ]; then exec jq --raw-output "$5" "$COMMENTS"; fi
if [ -n "$TROUBLE" ]; then echo "gh: $TROUBLE" >&2; exit 1; fi
"""
"""Stands in for pip, pytest and gh: writes down how it was called; gh filters comments by jq, as it does itself."""

pytestmark = needs_bash
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def steps():
    """The actions' steps by name."""
    found = [step for action in (ACTION, COMMENT, VERDICT) for step in load(action)["runs"]["steps"]]
    return {step.get("name", step.get("uses")): step for step in found}


@pytest.fixture
def job(tmp_path):
    """Runs a step's script as GitHub would, with stand-ins for the tools; returns status and calls."""
    tools, place, calls = tmp_path / "tools", tmp_path / "checkout", tmp_path / "calls"
    for folder in (tools, place, tmp_path / "temp"):
        folder.mkdir()
    for name in ("pip", "pytest", "gh", "harness"):
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
            "COMMENTS": str(tmp_path / "comments.json"),
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps()[name]["run"]]
        done = subprocess.run(command, cwd=place, env={**around, **variables}, capture_output=True, text=True)
        run.log = done.stdout + done.stderr
        return done.returncode, calls.read_text().splitlines()

    run.place, run.temp = place, tmp_path / "temp"
    return run


def test_their_scripts_parse_and_hold_no_expression():
    """Inputs reach scripts by the environment only."""
    scripts = [step["run"] for step in steps().values() if "run" in step]

    assert len(scripts) == 5
    assert [script for script in scripts if syntax_error(script) or "${{" in script] == []


@pytest.mark.parametrize("action", [ACTION, COMMENT, VERDICT], ids=["gate", "comment", "verdict"])
def test_every_input_is_used_and_has_a_default(action):
    """Nothing has to be given, and nothing is given in vain."""
    content, text = load(action), action.read_text(encoding="utf-8")

    for name, declared in content["inputs"].items():
        assert "default" in declared
        assert f"inputs.{name}" in text


def test_five_lines_are_enough():
    """The example at the top of the file has no more."""
    example = [line for line in ACTION.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")]

    assert 0 < len(example) <= 5


def test_whoever_follows_the_example_comments_from_a_job_that_executes_nothing():
    """The job of the gate may only read; the one that may comment has our action and nothing else."""
    lines = [line.removeprefix("# ") for line in COMMENT.read_text(encoding="utf-8").splitlines() if line[:4] == "#   "]
    gate, comment = load(io.StringIO("\n".join(lines)))["jobs"].values()

    assert gate["permissions"] == {"contents": "read"}
    assert gate["steps"][0]["with"] == {"persist-credentials": False}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert [comment[name] for name in ("needs", "if")] == ["gate", "always()"]
    used = [job["steps"][-1]["uses"].removeprefix("OWNER/pytest-training-regression/") for job in (gate, comment)]
    assert used == [f"{path.parent.relative_to(ROOT).as_posix()}@v1" for path in (ACTION, COMMENT)]
    assert len(comment["steps"]) == 1


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
        "pytest <--mpl> <-o> <training_history=.training-history.jsonl>",
        "options <-v -k 'a and b' $(touch hacked)>",
    ]
    assert not list(job.place.iterdir())
    assert job("Gate", ARGUMENTS="", VERDICT="1")[0] == 1


def test_a_part_of_the_gate_runs_its_shard(job):
    """The input is the option; no input, no option."""
    assert "<--training-shard=2/4>" in job("Gate", ARGUMENTS="", SHARD="2/4")[1][0]
    assert "shard" not in job("Gate", ARGUMENTS="", SHARD="")[1][0]


def test_the_verdict_on_all_parts_is_red_after_its_report_is_written(job, tmp_path):
    """The summary has the report of a red verdict, too."""
    status, calls = job("Verdict", GITHUB_STEP_SUMMARY=str(tmp_path / "summary"), VERDICT="1")

    assert status == 1
    assert [call.split()[-1] for call in calls] == ["<build/harness/report.md>", "<--strict>"]
    assert (tmp_path / "summary").read_text() == "a line\n"
    assert (job.place / "build/harness/report.html").exists()


def test_the_gate_is_held_against_a_commit_that_a_shallow_checkout_lacks(job, tmp_path):
    """It is fetched, by whatever name; one that is there needs no server; what looks like an option is none."""
    server = tmp_path / "server"
    server.mkdir()
    git(server, "init", "--quiet", "--initial-branch=main")
    for subject in ("one", "two"):
        git(server, "commit", "--quiet", "--allow-empty", "-m", subject)
    git(tmp_path, "clone", "--quiet", "--depth=1", server.as_uri(), str(job.place))
    git(job.place, "branch", "--move", "mine")
    first = subprocess.check_output(["git", "-C", str(server), "rev-parse", "HEAD~1"], text=True).strip()

    for name, shown in ((first, first), ("HEAD", "HEAD")):
        status, calls = job("Gate", ARGUMENTS="", AGAINST=name)
        assert status == 0, job.log
        assert (
            calls[0] == f"pytest <--mpl> <--training-against={shown}> <-o> <training_history=.training-history.jsonl>"
        )
        shutil.move(server, tmp_path / "gone") if server.exists() else None
    assert job("Gate", ARGUMENTS="", AGAINST="--upload-pack=touch hacked")[0] != 0
    assert [path.name for path in job.place.iterdir()] == [".git"]


def comment(job, report="", comments=(), **variables):
    """Comment on a report; return status, calls and the comment."""
    folder = job.temp / "training-regression"
    folder.mkdir(exist_ok=True)
    if report:
        (folder / "report.md").write_text(report, encoding="utf-8", newline="")
    (job.temp.parent / "comments.json").write_text(json.dumps(comments))
    status, calls = job("Comment", MARKER=MARKER, NUMBER="7", RUN_URL="https://run", **variables)
    return status, calls, (job.temp / "comment.md").read_bytes().decode()


def by(login, body, number):
    """A comment, as GitHub gives it."""
    return {"id": number, "user": {"login": login}, "body": body}


POST = "gh <api> <--silent> <--method> <POST> <repos/us/ours/issues/7/comments> <--field>"


@needs_jq
def test_the_comment_is_the_report(job):
    """Headline, the first failure's own, table and folds as Markdown; what failures say as code."""
    red = training((2.0, 1.6, 1.0), text="it differs\n```\n  where  @octocat", test="test_a.py::test_@_is[cpu]")
    status, calls, body = comment(job, markdown([red, *[training((2.0, 1.5, 1.0))] * 6]))
    name = "<code>test&#95;a.py&#58;&#58;test&#95;&#64;&#95;is&#91;cpu&#93;</code>"
    first = "<code>step 1, forward, loss&#58; baseline 1.5, now 1.6 &#40;6.7e&#45;02, threshold 1e&#45;10&#41;</code>"
    green = "| same | <code>tests/test&#95;a.py&#58;&#58;test&#95;b&#91;cpu&#93;</code> |  | 0 % of the threshold |"
    head = ["| verdict | training | first difference | margin |", "| --- | --- | --- | --- |"]

    assert status == 0, job.log
    assert calls[1:] == [f"{POST} <body=@{job.temp / 'comment.md'}>"]
    assert [line.rstrip() for line in body.splitlines() if line.strip()] == [
        MARKER,
        "### Training regression: 1 of 7 checks failed: 1 different",
        "    it differs",
        "      where  @octocat",
        *head,
        f"| **different** | {name} | {first} | 6.7e+08 times the threshold |",
        f"<details><summary>{name}</summary>",
        "    it differs",
        "    ```",
        "      where  @octocat",
        "</details>",
        "<details><summary>6 passed</summary>",
        *head,
        *[green] * 6,
        "</details>",
        "Report, pictures and records: https://run#artifacts",
    ]


@needs_jq
def test_without_a_report_the_comment_says_so(job):
    """An installation that failed leaves none; a link is none, wherever it leads."""
    status, calls, body = comment(job)

    assert (status, calls[1:]) == (0, [f"{POST} <body=@{job.temp / 'comment.md'}>"])
    assert body.startswith(f"{MARKER}\n\nThe gate left no report: nothing was compared.\n\n")
    (job.temp / "secret").write_text("secret")
    (job.temp / "training-regression" / "report.md").symlink_to(job.temp / "secret")
    assert comment(job)[2] == body


@needs_jq
@pytest.mark.parametrize(
    ("comments", "found"),
    [
        ([], None),
        ([by("octocat", f"{MARKER}\nmine", 5)], None),
        ([by("github-actions[bot]", f"> {MARKER}", 5), by("github-actions[bot]", "another's", 6)], None),
        ([by("github-actions[bot]", f"{MARKER[:-4]} 2 -->\nof another artifact", 5)], None),
        ([by("octocat", MARKER, 5), by("github-actions[bot]", f"{MARKER}\nours", 6)], 6),
        ([by("github-actions[bot]", f"{MARKER}\r\nours", 6), by("github-actions[bot]", MARKER, 8)], 6),
    ],
    ids=["first", "somebody's", "other comments of the bot", "another artifact", "ours", "two"],
)
def test_the_comment_is_found_by_its_marker_and_author(job, comments, found):
    """One comment is kept for each artifact; nobody else's is written over."""
    status, calls, _ = comment(job, "### Training regression: all passed\n", comments)

    assert status == 0, job.log
    assert calls[0].startswith("gh <api> <--paginate> <repos/us/ours/issues/7/comments?per_page=100> <--jq>")
    place = f"<PATCH> <repos/us/ours/issues/comments/{found}>" if found else "<POST> <repos/us/ours/issues/7/comments>"
    assert calls[-1] == f"gh <api> <--silent> <--method> {place} <--field> <body=@{job.temp / 'comment.md'}>"


@needs_jq
def test_a_token_that_may_not_comment_is_no_failure(job):
    """A fork's may only read: a notice says where the report is. Other trouble is red."""
    status, _, _ = comment(job, "### x\n", TROUBLE="Resource not accessible by integration (HTTP 403)")

    assert status == 0
    assert "::notice::This token may not comment" in job.log
    assert comment(job, "### x\n", TROUBLE="Server Error (HTTP 500)")[0] == 1
    assert "::notice::" not in job.log


FORGED = [
    "### @octocat [all](http://evil.example) passed\r@octocat\r\n\x85![x](http://evil.example/x.png)\n",
    f"{MARKER}\n```\n```\n@octocat\n~~~\n</code></pre><img src=x>\n```\n\n\n@octocat\n\n# heading",
    "| a |\n@octocat\n| --- |\n| &#64;octocat |\n| <code>a | &#64;b</code> |\n| <img> |\n| o/r#1 |\n| Www.x.example |",
    "### Training regression: @octocat\n<details><summary><b>x</b></summary>\n@octocat\n<details><summary>`</summary>",
    "```\n" + "@octocat\n\n" * 40_000,
    "```\n" + "\x00\x1b]0;x\x07" * 60_000 + "x" * 300_000,
    "<details><summary>x</summary>\n\n" + "| a |\n" * 40_000,
]


@needs_jq
@pytest.mark.parametrize("report", FORGED, ids=["returns", "fences", "table", "folds", "lines", "a line", "open"])
def test_a_forged_report_stays_text(job, report):
    """The branch's tests can write anything: what Markdown or GitHub acts on is code, and GitHub takes the whole."""
    status, _, body = comment(job, report)
    assert status == 0, job.log
    lines = body.split("\n")
    shown = [line for line in lines[1:-2] if line and not line.startswith("    ")]

    assert (lines[0], lines[-2]) == (MARKER, "Report, pictures and records: https://run#artifacts")
    assert [line for line in shown if re.search(r"[@\[`&#\\]|www|http|<(?!/?(details|summary)>)", line[3:])] == []
    assert [c for c in body if c < " " and c != "\n"] == []
    assert all(not line.startswith("    ") or re.match("    |$", before) for before, line in pairwise(lines))
    assert body.count("<details>") == body.count("</details>") or len(body) < 1000
    assert len(body) < 65_536


def test_what_the_comment_reads_is_what_a_session_writes():
    """The names of files agree between the plugin and both actions."""
    from harness.report.session_report import Counts, SessionReport

    report = SessionReport(ROOT, Path("build/harness"), Counts(), None, list)
    kept = steps()["Keep report, figures and records"]["with"]
    assert report.markdown.parent.as_posix() + "/**" == kept["path"]
    assert f"/training-regression/{report.markdown.name}" in steps()["Comment"]["run"]
    defaults = [load(action)["inputs"]["artifact"]["default"] for action in (ACTION, COMMENT)]
    assert defaults[0] == defaults[1]


@pytest.mark.long
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
