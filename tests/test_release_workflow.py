"""The workflow `release`: when it publishes, and each of its shell steps, with a stand-in for gh."""

import os
import shutil
import stat
import subprocess
import sys
import tomllib

import pytest

from tests.repositories import git
from tests.test_ci import GITHUB, ROOT, load, needs_bash


WORKFLOW = GITHUB / "workflows" / "release.yml"
GH = """#!/bin/sh
printf 'gh' >> "$CALLS"
for word in "$@"; do printf ' <%s>' "$word" >> "$CALLS"; done
printf '\\n' >> "$CALLS"
[ "$1" != run ] || echo "$GATE"
"""
"""Stands in for gh: writes down how it was called, and answers as GitHub would."""


def jobs():
    """The jobs by name."""
    return load(WORKFLOW)["jobs"]


def scripts():
    """The scripts of all jobs by their steps' names."""
    return {step["name"]: step["run"] for job in jobs().values() for step in job["steps"] if "run" in step}


@pytest.fixture
def step(tmp_path):
    """Runs a step in a checkout as GitHub would; returns its status, its output and the calls of gh."""
    tools, checkout, calls = tmp_path / "tools", tmp_path / "checkout", tmp_path / "calls"
    for folder in (tools, checkout):
        folder.mkdir()
    for name, text in (("gh", GH), ("python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')):
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)

    def run(name, **variables):
        calls.write_text("")
        around = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(calls),
            "GITHUB_REPOSITORY": "us/ours",
            "GITHUB_REF_NAME": "v0.2.0",
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", scripts()[name]]
        done = subprocess.run(command, cwd=checkout, env={**around, **variables}, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr, calls.read_text().splitlines()

    run.checkout = checkout
    return run


def test_only_a_version_tag_starts_it():
    """No branch, no hand, and not the tag v1 that moves."""
    assert load(WORKFLOW)["on"] == {"push": {"tags": ["v*.*.*"]}}


def test_it_publishes_only_after_all_checks():
    """Each job waits for the one before, none runs after a failure, and what was not checked is not handed on."""
    found = jobs()
    steps = [step for job in found.values() for step in job["steps"]]
    build = [step.get("name", step.get("uses", "").partition("@")[0]) for step in found["build"]["steps"]]

    assert [(name, job.get("needs")) for name, job in found.items()] == [
        ("build", None),
        ("publish", "build"),
        ("announce", "publish"),
    ]
    assert [one for one in (*found.values(), *steps) if {"if", "continue-on-error"} & one.keys()] == []
    checks = ["Find the green gate", "Compare tag, version and changelog", "Build", "Try the wheel"]
    assert [name for name in build if name in checks] == checks
    assert build[-1] == "actions/upload-artifact"
    assert "twine check --strict dist/*" in scripts()["Build"]
    assert "python -m tests.packaged dist/*.whl" in scripts()["Try the wheel"]


def test_one_job_may_publish_and_executes_no_script():
    """It holds the identity that the index trusts, so it has two actions, and nothing of the repository."""
    rights = {name: job["permissions"] for name, job in jobs().items()}
    publish = jobs()["publish"]

    assert load(WORKFLOW)["permissions"] == {"contents": "read"}
    assert rights == {
        "build": {"actions": "read", "contents": "read"},
        "publish": {"id-token": "write"},
        "announce": {"contents": "write"},
    }
    assert publish["environment"] == "release"
    used = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]


def test_no_cache_is_used():
    """A cache is written by any run of the gate; what is published takes nothing from there."""
    steps = [step for job in jobs().values() for step in job["steps"]]

    assert [step for step in steps if "cache" in step.get("with", {}) or "cache" in step.get("uses", "")] == []


@needs_bash
@pytest.mark.parametrize("gate", ["https://runs/77", ""], ids=["green", "not green"])
def test_the_commit_has_been_through_the_gate_of_main(step, gate):
    """Whatever a tag names: a commit that was never on main, or was red there, is not released."""
    git(step.checkout, "init", "--quiet")
    git(step.checkout, "commit", "--quiet", "--allow-empty", "-m", "first")
    sha = next((step.checkout / ".git" / "refs" / "heads").iterdir()).read_text().strip()
    status, printed, calls = step("Find the green gate", GATE=gate)

    assert status == (0 if gate else 1)
    assert gate in printed if gate else f"::error::No gate of main is green for {sha}." in printed
    asked = "<--workflow> <gate.yml> <--event> <push> <--branch> <main> <--commit>"
    assert f"gh <run> <list> <--repo> <us/ours> {asked} <{sha}> <--status> <success>" in calls[0]


@needs_bash
@pytest.mark.parametrize(
    ("tag", "heading", "words"),
    [
        ("v0.2.0", "## 0.2.0 - 2026-12-01", ""),
        ("v0.2.0", "## [0.2.0] - 2026-12-01", ""),
        ("v0.3.0", "## 0.2.0", "The tag is v0.3.0, and the version in pyproject.toml is 0.2.0."),
        ("0.2.0", "## 0.2.0", "The tag is 0.2.0,"),
        ("v0.2.0", "## 0.2.01", "CHANGELOG.md has no section of 0.2.0."),
        ("v0.2.0", "## 0.2.0\n\n## 0.1.9", "CHANGELOG.md has no section of 0.2.0."),
    ],
    ids=["plain", "brackets", "other version", "no v", "no section", "empty section"],
)
def test_tag_version_and_changelog_agree(step, tag, heading, words):
    """The release's notes are the section of its version, and nothing of another's."""
    (step.checkout / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    changelog = f"# Changelog\n\n## Unreleased\n\n- later\n\n{heading}\n\n### Added\n\n- this\n\n## 0.1.0\n\n- before\n"
    (step.checkout / "CHANGELOG.md").write_text(changelog)
    status, printed, _ = step("Compare tag, version and changelog", GITHUB_REF_NAME=tag)

    assert status == (1 if words else 0), printed
    if words:
        assert f"::error::{words}" in printed
    else:
        assert (step.checkout / "notes.md").read_text().split() == ["###", "Added", "-", "this"]


@needs_bash
def test_our_own_files_have_the_form_that_it_reads(step):
    """The version stands where it is looked for, and the changelog's sections begin as it expects."""
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, step.checkout)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    text = (step.checkout / "CHANGELOG.md").read_text(encoding="utf-8")
    if f"\n## {version}" not in text:  # as before its release
        text = text.replace("\n## Unreleased\n", f"\n## {version} - today\n")
    (step.checkout / "CHANGELOG.md").write_text(text, encoding="utf-8")
    status, printed, _ = step("Compare tag, version and changelog", GITHUB_REF_NAME=f"v{version}")

    assert status == 0, printed
    assert "### " in (step.checkout / "notes.md").read_text(encoding="utf-8")


@needs_bash
@pytest.mark.parametrize(("tag", "early"), [("v0.2.0", False), ("v0.2.0rc1", True)])
def test_the_release_has_the_files_and_the_notes(step, tag, early):
    """It is made of a tag that exists; one before a version is marked."""
    (step.checkout / "dist").mkdir()
    for name in ("one.tar.gz", "one.whl"):
        (step.checkout / "dist" / name).touch()
    status, printed, calls = step("Make the release", GITHUB_REF_NAME=tag)

    assert status == 0, printed
    files = "<dist/one.tar.gz> <dist/one.whl>"
    assert calls[0].startswith(f"gh <release> <create> <{tag}> {files} <--repo> <us/ours> <--verify-tag>")
    assert "<--notes-file> <notes.md>" in calls[0]
    assert ("<--prerelease>" in calls[0]) == early
