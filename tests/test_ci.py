"""The workflows, `.ci`, and what else only GitHub and git's hooks read: what can be checked without them."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement


ROOT = Path(__file__).parents[1]
RUN = ROOT / ".ci" / "run"
SCHEMAS = ROOT / ".ci" / "schemas"
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted(GITHUB.glob("actions/*/action.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
HOOKS = ROOT / ".pre-commit-config.yaml"

CONTRIBUTING = GITHUB / "CONTRIBUTING.md"
BENCHMARKS = ROOT / "tests" / "benchmarks"
ELSEWHERE = {
    "tests.packaged": ".ci/run, the gate and the release",
    "tests.study.runs": "tests.study, a process a run",
    "tests.study.growth_runs": "tests.study.growth, a process a setting",
    "tests.study.silent_errors": "the tests, all of it",
    "tests.docs.reference": "whoever changes options, commands or calls; the tests compare",
    "tests.docs.pictures": "whoever changes what pictures of the guides show",
}
"""Programs of the tests that something else than the night runs."""

TOOLS = r"(?:pip|python[\d.]*|pytest|harness|make|npm|node|bash|sh|source|eval|docker)\b"
BEGINNING = r"(?:^|[|&;(!]|\b(?:then|do|else|env|exec|xargs|command|sudo)\ )[ ]*(?:\w+=\S*[ ]+)*"
EXECUTES = re.compile(rf'{BEGINNING}(?:{TOOLS}|"\$|\.[ ]|[\w.-]*/)|^[ ]*\$\w', re.MULTILINE)
"""What executes a package, a test or a file, rather than git, gh and the shell's own, at the start of a command."""
USED_BY_WHAT_MAY_WRITE = {"actions/checkout", "actions/download-artifact", "pypa/gh-action-pypi-publish"}
"""None of them executes anything of a checkout, or takes what another run stored."""

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
each_file = pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def load(path):
    """A YAML file as plain dicts and lists."""
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml (of check-jsonschema) is not installed")
    return yaml.YAML(typ="safe", pure=True).load(path)


def scripts(path):
    """Every `run:` script of a workflow, under a name that finds it."""
    for job, content in load(path)["jobs"].items():
        for number, step in enumerate(content.get("steps", []), start=1):
            if "run" in step:
                yield f"{path.name}, job {job}, step {number}", step["run"]


def syntax_error(script):
    """What bash says of a script that it cannot parse; empty if it can."""
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).stderr


def test_there_are_workflows():
    """The gate, what renews baselines, the night and the release exist, so that the tests below judge something."""
    assert {"gate", "regenerate", "accept", "propose", "nightly", "release"} <= {path.stem for path in WORKFLOWS}
    assert {"gate", "comment"} <= {path.parent.name for path in ACTIONS}


def schemas(tools):
    """Run `.ci/schemas` with the tools of a folder before all others."""
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run([SCHEMAS], env=environment, text=True, capture_output=True, check=False)


@needs_bash
def test_everything_that_github_reads_is_checked(tmp_path):
    """No file is left out."""
    tool = tmp_path / "check-jsonschema"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    tool.chmod(stat.S_IRWXU)
    done = schemas(tmp_path)

    assert done.returncode == 0, done.stderr
    checked = [line for line in done.stdout.splitlines() if line.endswith(".yml")]
    assert sorted(checked) == sorted(path.relative_to(GITHUB).as_posix() for path in GITHUB.rglob("*.yml"))


@needs_bash
@pytest.mark.parametrize("schema", ["workflows", "actions", "issue-config", "issue-forms", "dependabot"])
def test_an_invalid_file_is_red(tmp_path, monkeypatch, schema):
    """Whichever schema it breaks."""
    tool = tmp_path / "check-jsonschema"
    tool.write_text('#!/bin/sh\ncase "$2" in vendor.*"$INVALID") exit 1 ;; esac\n')
    tool.chmod(stat.S_IRWXU)
    monkeypatch.setenv("INVALID", schema)

    assert schemas(tmp_path).returncode == 1


@pytest.mark.parametrize("command", [".ci/schemas", "ruff check", "ruff format --check", "mypy"])
def test_lint_is_the_same_in_ci_run_and_in_the_gate(command):
    """What is checked here is checked there."""
    here = [line.removeprefix(".ci-venv/bin/") for line in RUN.read_text(encoding="utf-8").splitlines()]
    there = [step.get("run") for step in load(GITHUB / "workflows" / "gate.yml")["jobs"]["lint"]["steps"]]

    assert command in there
    assert any(line.removeprefix("PATH=$PWD/.ci-venv/bin:$PATH ").removesuffix(" &") == command for line in here)


@each_workflow
def test_a_workflow_may_read_and_a_job_asks_for_more(path):
    """None has the permissions that a repository happens to give, and a job that is added has no right to write."""
    assert load(path)["permissions"] == {"contents": "read"}


@each_workflow
def test_no_event_lends_a_strangers_branch_our_token(path):
    """These two run with the rights of the default branch, on what anybody proposes."""
    assert {"pull_request_target", "workflow_run"} & {*load(path)["on"]} == set()


def jobs(path):
    """Steps, rights and surroundings of every job; an action is one, with the rights of whoever uses it."""
    content = load(path)
    if "runs" in content:
        yield content["runs"]["steps"], {}, ""
    for job in content.get("jobs", {}).values():
        rights = job.get("permissions", content["permissions"])
        yield job.get("steps", []), rights, f"{content.get('env')} {job.get('env')} {job.get('secrets')}"


def executes(step):
    """Whether a step executes something that a checkout holds or that is installed."""
    script = re.sub(r"(?m)(^|\s)#.*$", "", step.get("run", ""))
    return bool(EXECUTES.search(script)) or step.get("uses", "").startswith("./")


def holds_token(text):
    """Whether something is given a token, of the job or of the repository's secrets."""
    return bool(re.search(r"github\.token|secrets|_TOKEN", str(text)))


@each_file
def test_what_may_write_executes_nothing_of_a_branch(path):
    """Neither a branch's code nor what it asks to be installed runs in a job that can push, publish or comment."""
    for steps, rights, _ in jobs(path):
        if "write" in rights.values() or (not rights and any(map(holds_token, steps))):
            assert [step["run"] for step in steps if executes(step)] == []
            used = {step["uses"].partition("@")[0] for step in steps if "uses" in step}
            assert used <= USED_BY_WHAT_MAY_WRITE


@each_file
def test_what_is_executed_finds_no_token(path):
    """No step has one from the first on that executes something: that could have left a hook, or another gh."""
    for steps, _, around in jobs(path):
        first = next((number for number, step in enumerate(steps) if executes(step)), len(steps))
        assert [step for step in steps[first:] if holds_token(step)] == []
        assert not holds_token(around)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("pip install -e .", True),
        ("x=$(python -c 1)", True),
        ('"$RUNNER_TEMP/oldest/bin/pip" install x', True),
        ('"$pip" install x', True),
        ("$pip install x", True),
        ("true &&\n  ./build.sh", True),
        (".ci/schemas", True),
        ("cat list | A=1 bash", True),
        ("if true; then pytest; fi", True),
        ("git add --all baselines # python", False),
        ('echo "run harness accept there"', False),
        ("gh pr create", False),
    ],
)
def test_what_executes_is_recognised(script, expected):
    """The two tests above see commands, wherever on a line they begin, and no words."""
    assert executes({"run": script}) is expected


def test_workflows_are_called_from_here():
    """One that another calls is checked above, and is given no secret."""
    calls = [job for path in WORKFLOWS for job in load(path)["jobs"].values() if "uses" in job]

    assert len(calls) == 2
    assert {job["uses"] for job in calls} <= {f"./.github/workflows/{path.name}" for path in WORKFLOWS}
    assert [job for job in calls if "secrets" in job] == []


@each_file
def test_no_checkout_keeps_the_token(path):
    """What a later step executes does not find it in .git/config."""
    steps = [step for steps, _, _ in jobs(path) for step in steps]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]

    assert [step for step in checkouts if step.get("with", {}).get("persist-credentials") is not False] == []


@each_workflow
def test_scripts_stop_at_the_first_failure(path):
    """`shell: bash` has pipefail; the default shell lacks it."""
    assert load(path)["defaults"]["run"]["shell"] == "bash"


@each_workflow
def test_every_job_has_a_timeout(path):
    """A job that hangs ends in minutes, not after the six hours that GitHub grants."""
    timed = {name: "timeout-minutes" in job or "uses" in job for name, job in load(path)["jobs"].items()}
    assert [name for name, has_timeout in timed.items() if not has_timeout] == []


@each_workflow
def test_no_expression_inside_a_script(path):
    """Values reach scripts by the environment: `${{ inputs... }}` in a script runs what a stranger typed."""
    assert [where for where, script in scripts(path) if "${{" in script] == []


@each_file
def test_actions_are_pinned(path):
    """Every action is pinned by its full commit, with the version beside it: tags can be moved."""
    used = re.findall(r"^[^#\n]*uses: *([^.\s].*)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v[\d.]+", use)] == []


@needs_bash
@each_workflow
def test_scripts_parse(path):
    """Every script of a workflow is valid bash."""
    assert {where: error for where, script in scripts(path) if (error := syntax_error(script))} == {}


def test_required_waits_for_every_job():
    """The check that branch protection names fails when any other job of the gate does."""
    jobs = load(GITHUB / "workflows" / "gate.yml")["jobs"]
    assert set(jobs["required"]["needs"]) == set(jobs) - {"required"}
    assert jobs["required"]["if"] == "always()"


def is_program(path):
    """Whether a module can be run, examples', users' and tests' own texts apart."""
    theirs = {"examples", "adapters"} & {*path.parts} or (path.parent.name == "programs" and path.name != "__main__.py")
    ours = not (path.name.startswith("test_") or theirs)
    return ours and '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8")


def programs():
    """Names of all programs among the tests, as `python -m` takes them."""
    for path in filter(is_program, sorted((ROOT / "tests").rglob("*.py"))):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")


def run_at_night():
    """Programs that nightly.yml runs, by name or from its matrix."""
    path = GITHUB / "workflows" / "nightly.yml"
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
    named = {"tests.study.runs": "tests.study", "tests.study.growth_runs": "tests.study.growth"}.get(program, program)
    assert re.search(rf"python -m {re.escape(named)}\b(?!\.)", CONTRIBUTING.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_benchmark_is_run(path):
    """A module of the benchmarks is a program, or part of one that imports it."""
    others = [other.read_text(encoding="utf-8") for other in BENCHMARKS.glob("*.py") if is_program(other)]
    assert is_program(path) or any(f"from tests.benchmarks.{path.stem} import" in text for text in others)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_the_parts_of_a_form_are_told_apart(path):
    """GitHub refuses a form whose ids or labels stand twice; the schema does not see that."""
    fields = [part for part in load(path)["body"] if part["type"] != "markdown"]
    for names in ([part["id"] for part in fields], [part["attributes"]["label"] for part in fields]):
        assert len({*names}) == len(names)


@pytest.mark.parametrize("name", ["false_alarm", "missed_change"])
def test_a_report_on_a_verdict_brings_what_explains_it(name):
    """Machine and versions are required, and of a false alarm the failure, too: without them nobody can say why."""
    body = load(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")["body"]
    required = {part["id"] for part in body if part.get("validations", {}).get("required")}

    assert {"doctor", "versions", *(["printed"] if name == "false_alarm" else [])} <= required
    assert "`harness doctor`" in [part["attributes"]["label"] for part in body]


def test_new_versions_are_proposed_for_all_that_is_pinned():
    """Actions of workflows and of composite actions, packages and hooks: weekly, and in one pull request each."""
    updates = load(GITHUB / "dependabot.yml")["updates"]
    actions = next(update for update in updates if update["package-ecosystem"] == "github-actions")
    composite = [f"/{path.parent.relative_to(ROOT).as_posix()}" for path in GITHUB.glob("actions/*/action.yml")]

    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip", "pre-commit"}
    assert sorted(actions["directories"]) == sorted(["/", *composite])
    assert {update["schedule"]["interval"] for update in updates} == {"weekly"}
    assert all([group["patterns"] for group in update["groups"].values()] == [["*"]] for update in updates)


def hooks():
    """Repository, version and hook of everything that runs before a commit; local ones have no version."""
    for source in load(HOOKS)["repos"]:
        for hook in source["hooks"]:
            yield source["repo"].rpartition("/")[2], source.get("rev", ""), hook["id"]


def test_hooks_have_the_versions_that_the_lint_extra_asks_for():
    """A commit is not held to another style than the gate's; every version is a number, not a branch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {one.name: one.specifier for one in map(Requirement, project["optional-dependencies"]["lint"])}
    versions = {repository.removesuffix("-pre-commit"): version for repository, version, _ in hooks() if version}

    assert {version for version in versions.values() if not re.fullmatch(r"v?\d+(\.\d+)+", version)} == set()
    assert asked.keys() - versions.keys() == {"mypy"}  # that of the environment runs
    assert [
        name for name in asked.keys() & versions.keys() if versions[name].removeprefix("v") not in asked[name]
    ] == []


def test_hooks_check_what_ci_checks():
    """Style, types and the files that GitHub reads."""
    files = {"workflows", "actions", "issue-config", "issue-forms"}
    names = {f"check-github-{name}" for name in files} | {"check-dependabot", "ruff-check", "ruff-format", "mypy"}

    assert names <= {hook for _, _, hook in hooks()}


@pytest.mark.parametrize("name", ["baselines/a.json", "tests/picture.png", "baselines/a~1234.safetensors"])
def test_hooks_leave_what_the_harness_writes(name):
    """Baselines keep their bytes: a checksum is over them."""
    assert re.search(load(HOOKS)["exclude"], name)
    assert not re.search(load(HOOKS)["exclude"], "tests/test_baselines.py")


@needs_bash
@pytest.mark.parametrize("path", [RUN, SCHEMAS], ids=lambda path: path.name)
def test_ci_parses(path):
    """The scripts in `.ci` are valid bash."""
    assert syntax_error(path.read_text(encoding="utf-8")) == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
@pytest.mark.parametrize("path", [RUN, SCHEMAS], ids=lambda path: path.name)
def test_ci_is_executable(path):
    """They start as commands, in a fresh clone too."""
    assert os.access(path, os.X_OK)


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
