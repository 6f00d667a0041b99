"""Promises of blame: which files are not what a baseline was made from, and who changed them; git or no git."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from harness.baselines.origin import content_name
from harness.comparing.comparison import compare
from harness.explaining import git as git_module
from harness.explaining.blame import Changed, blame
from harness.explaining.git import Commit, Git
from harness.record import Baseline
from harness.record.streams import Stream
from harness.report.blame_text import blame_lines
from harness.report.comparison_text import failure
from harness.report.html.page import page
from harness.report.markdown import annotation, markdown
from tests.repositories import git
from tests.test_page import Reading, check
from tests.test_record import baseline_of, record_of


FILES = {"net.py": "a\nb\nc\nd\n", "loop.py": "a\nb\n", "test_it.py": "a\n"}
"""What the baseline is made from."""
STREAMS = {"loss": Stream("forward", (0,), (1.0,))}


class Repository:
    """A project with a baseline, in git or not."""

    def __init__(self, root):
        self.root, self.file = root, root / "baseline.json"
        self.write(**FILES)
        self.baseline = baseline_of(STREAMS)
        self.made()

    def write(self, **texts):
        """Write files; None removes one."""
        for name, text in texts.items():
            path = self.root / name
            path.write_text(text) if text is not None else path.unlink()

    def commit(self, subject, *options):
        """Commit all that there is; return the commit."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", subject, *options)
        return Git(self.root)._ask("log", "-z", "-1", "--format=%H")[0]

    def made(self, commit="", files=FILES):
        """Make the baseline of the present files."""
        sources = {name: content_name(self.root, name) for name in files if (self.root / name).exists()}
        self.baseline = dataclasses.replace(self.baseline, origin={"commit": commit[:12]}, sources=sources)
        self.file.write_text(self.baseline.to_text())

    def blame(self, present=FILES, **given):
        """Ask."""
        baseline = Baseline.from_text(self.baseline.to_text())
        return blame(Git(self.root), baseline, self.file, present, **given)

    def lines(self, **given):
        """What a failure says of it."""
        return blame_lines(self.blame(**given))


@pytest.fixture
def plain(tmp_path):
    """A project without git."""
    return Repository(tmp_path)


@pytest.fixture
def repository(plain):
    """A project whose baseline was made at a commit."""
    git(plain.root, "init", "--quiet", "--template=")
    plain.made(plain.commit("first"))
    return plain


def test_a_changed_file_has_its_lines_and_its_last_commit(repository):
    """As git counts them since the baseline; a commit of others, or before, is not to blame."""
    repository.write(**{"net.py": "a\nB\nc\nd\n"})
    repository.commit("Smoother activations")
    repository.write(**{"net.py": "a\nB\nc\nD\nE\n"})
    last = repository.commit("And wider")
    repository.write(other="x")
    repository.commit("Something else")
    (found,) = repository.blame()

    assert (found.path, found.fate, found.added, found.removed) == ("net.py", "changed", 3, 2)
    assert (last.startswith(found.commit.id), found.commit.subject) == (True, "And wider")
    assert repository.lines() == [f'net.py  (+3 -2)  {found.commit.id} "And wider", today']


def test_changes_that_are_in_no_commit_are_said(repository):
    """In place of the commit, or beside it."""
    repository.write(**{"net.py": "a\n"})
    assert repository.lines() == ["net.py  (+0 -3)  with changes not committed"]
    repository.commit("Shorter")
    repository.write(**{"net.py": ""})

    assert repository.lines()[0].endswith(' "Shorter", today, with changes not committed')
    assert repository.lines()[0].startswith("net.py  (+0 -4)  ")


def test_code_and_baseline_that_were_committed_at_once_are_the_start(repository):
    """The commit that a baseline was made at does not have the code that was changed for it; the next one does."""
    repository.write(**{"net.py": "new\n"})
    repository.made(repository.baseline.origin["commit"])
    assert repository.blame() == []
    repository.commit("A new net, and its baseline")
    repository.write(**{"net.py": "new\nand longer\n"})
    repository.commit("Longer")

    (line,) = repository.lines()
    assert (line.startswith("net.py  (+1 -0)  "), '"Longer"' in line) == (True, True)


def test_without_git_the_contents_tell(plain):
    """So they do where the commit is not in this repository, or never was one."""
    plain.write(**{"net.py": "x", "loop.py": None})
    lines = ["loop.py  deleted", "net.py  changed"]
    assert plain.lines() == lines
    git(plain.root, "init", "--quiet")
    assert plain.lines() == lines
    plain.write(**{"loop.py": "z"})
    plain.commit("all of it")
    plain.made("0123456789ab")
    plain.write(**{"loop.py": "y"})
    plain.commit("the loop")

    assert plain.lines() == ["loop.py  changed"]


def test_a_shallow_clone_says_that_a_file_changed(repository, tmp_path_factory):
    """What came before is not there."""
    repository.write(**{"net.py": "x"})
    repository.commit("Another net")
    clone = tmp_path_factory.mktemp("clones") / "clone"
    git(repository.root, "clone", "--quiet", "--depth", "1", f"file://{repository.root}", str(clone))
    repository.root, repository.file = clone, clone / repository.file.name

    assert repository.lines() == ["net.py  changed"]


def test_renamed_new_and_deleted_files_are_told(repository):
    """As git sees them; a file that the baseline's training did not import is new only if it was not there."""
    repository.write(
        **{"net.py": None, "network.py": FILES["net.py"], "loop.py": None, "other.py": "x\n", "test_it.py": "b\n"}
    )
    git(repository.root, "add", "--all")
    moved = next(line for line in repository.lines(present=["network.py"]) if "net" in line)
    assert moved == "net.py -> network.py  (+0 -0)  with changes not committed"
    repository.commit("Other files")
    repository.write(**{"later.py": "x\n"})
    found = repository.blame(present=["network.py", "other.py", "later.py", "baseline.json"])
    fates = {each.path: (each.fate, each.former, each.added, each.removed) for each in found}

    assert fates == {
        "network.py": ("renamed", "net.py", 0, 0),
        "loop.py": ("deleted", "", 0, 2),
        "other.py": ("new", "", 1, 0),
        "later.py": ("new", "", None, None),
        "test_it.py": ("changed", "", 1, 1),
    }
    lines = blame_lines(found)
    assert lines[0].startswith("loop.py  (+0 -2)  deleted, ")
    assert [line for line in lines if line.startswith(("net.py -> network.py  (+0 -0)  ", "later.py  new"))]


def test_a_file_that_was_moved_without_telling_git_is_known(repository):
    """As it was, in a commit that has it under its former name; what was edited, too, is another file."""
    for name in ("test_it", "loop"):
        (repository.root / f"{name}.py").rename(repository.root / f"{name}_moved.py")
    repository.write(**{"loop_moved.py": "another\n"})
    known = Git(repository.root)
    (base,) = known._ask("log", "-z", "-1", "--format=%H")
    tests = [known.former(base, f"{name}_moved.py::test_a[1]") for name in ("test_it", "loop")]

    assert tests == ["test_it.py::test_a[1]", "loop_moved.py::test_a[1]"]


def test_the_likeliest_cause_stands_first(repository):
    """The line that diverged first, then by lines changed; tests and conftest.py at the end."""
    sources = {**FILES, "conftest.py": "a\n", "big.py": "a\n"}
    repository.write(**{name: text + "more\n" * len(text) for name, text in sources.items()})
    repository.baseline = dataclasses.replace(repository.baseline, sources=dict.fromkeys(sources, "0" * 16))
    order = [each.path for each in repository.blame(present=sources, last=["test_it.py"], where="big.py:42")]

    assert order == ["big.py", "loop.py", "net.py", "conftest.py", "test_it.py"]


def test_more_lines_stand_before_fewer(repository):
    """Of files that git knows."""
    repository.write(**{"net.py": "a\nb\nc\n", "loop.py": ""})

    assert [each.path for each in repository.blame()] == ["loop.py", "net.py"]


def test_unchanged_files_are_said_and_ask_nothing(plain, monkeypatch):
    """Then something else is to blame; other line ends of a checkout are no change."""
    monkeypatch.setattr(git_module, "git_output", None)
    (plain.root / "net.py").write_bytes(FILES["net.py"].replace("\n", "\r\n").encode())

    assert plain.lines() == ["no file that the baseline was made from has changed"]


def test_a_project_may_be_a_folder_of_a_repository(tmp_path):
    """Paths count from its root; files of other folders are named from there, too."""
    git(tmp_path, "init", "--quiet")
    for name in ("project", "common"):
        (tmp_path / name).mkdir()
    project = Repository(tmp_path / "project")
    project.write(**{"../common/loss.py": "a\nb\n", "../common/old.py": "c\nd\n"})
    project.made(project.commit("first"), [*FILES, "../common/loss.py", "../common/old.py"])
    project.write(**{"net.py": "x\n", "../common/loss.py": "a\nc\n", "../common/new.py": "e\n"})
    (tmp_path / "common" / "old.py").rename(project.root / "moved.py")
    project.commit("Shorter")

    lines = project.lines(present=["../common/new.py", "moved.py"])
    assert [line.partition("  ")[0] for line in lines] == [
        "net.py",
        "../common/loss.py",
        "../common/new.py",
        "../common/old.py -> moved.py",
    ]
    assert lines[0].startswith("net.py  (+1 -4)  ")
    assert all('"Shorter"' in line for line in lines)


@pytest.mark.parametrize("commit", ["--output=x", "-2", "HEAD", "master", "0123456\x00", "00:net.py"])
def test_a_commit_that_is_none_does_not_reach_git(repository, monkeypatch, commit):
    """Whatever a baseline says that it was made at."""
    asked = []
    monkeypatch.setattr(git_module, "git_output", lambda root, *words, seconds: asked.append(words))
    repository.write(**{"net.py": "x"})
    repository.made(commit)
    repository.write(**{"net.py": "y"})
    repository.baseline.origin["commit"] = commit

    assert repository.lines() == ["net.py  changed"]
    assert commit not in [word for words in asked for word in words if word != "HEAD"]


@pytest.mark.parametrize("name", ["../outside.py", "/etc/passwd", "", "a\x00b", "\ud800", "-x", ":(top)net.py", "*"])
def test_a_name_is_a_file_of_the_project_or_nothing(repository, name):
    """No option, no pattern, and none outside; what is wrong in a baseline hides no other file."""
    sources = {**repository.baseline.sources, name: "0" * 16}
    repository.baseline = dataclasses.replace(repository.baseline, sources=sources)
    repository.write(**{"net.py": "x\n"})

    lines = [line for line in repository.lines() if line.startswith("net.py")]
    assert lines == [
        "net.py  changed" if name in ("a\x00b", "\ud800") else "net.py  (+1 -4)  with changes not committed"
    ]


def test_git_is_asked_once_and_not_for_long(repository, monkeypatch):
    """Equal questions of several failures have one answer; where git is slow, the contents still tell."""
    asked = []

    def slow(root, *words, seconds):
        asked.append(words)
        return git_output(root, *words, seconds=seconds)

    git_output = git_module.git_output
    monkeypatch.setattr(git_module, "git_output", slow)
    repository.write(**{"net.py": "x\n"})
    patient, late = Git(repository.root), Git(repository.root, seconds=0.0)
    found = [blame(each, repository.baseline, repository.file, FILES) for each in (patient, patient, late)]

    assert len(asked) == len(set(asked)) > 2
    assert [blame_lines(each) for each in found][1:] == [
        ["net.py  (+1 -4)  with changes not committed"],
        ["net.py  changed"],
    ]


def a_change(path="net.py", author="Ann", subject="why", days=2, **facts):
    """A file that a commit changed."""
    commit = Commit("9f8e7d2", author, datetime.now(UTC) - timedelta(days=days, hours=1), subject)
    return Changed(
        **{"path": path, "former": "", "fate": "changed", "added": 1, "removed": 1, "uncommitted": False}
        | {"commit": commit}
        | facts
    )


def test_a_line_says_who_and_when():
    """The author where there are several; at most four files."""
    one = a_change(subject="Smoother activations")

    assert blame_lines([one]) == ['net.py  (+1 -1)  9f8e7d2 "Smoother activations", 2 days ago']
    assert blame_lines([one, a_change(author="Bea", days=1)])[1] == 'net.py  (+1 -1)  9f8e7d2 "why", Bea, 1 day ago'
    assert blame_lines([one] * 11)[3:] == [*blame_lines([one]), "and 7 more"]


def a_finding(changes):
    """What was found of a training whose loss moved, and what a failure says."""
    comparison = compare(baseline_of(STREAMS), record_of({"loss": Stream("forward", (0,), (2.0,))}))
    text = failure(comparison, blame=blame_lines(changes))
    return check().training(comparison, passed=False, text=text, blame=changes)


def test_headline_and_blame_are_what_every_form_begins_with():
    """The failure, GitHub's annotation, and the comment on a pull request; the page has it among its facts."""
    finding = a_finding([a_change()])
    headline, row = "training differs from its baseline from step 0 on: forward, loss", blame_lines([a_change()])[0]

    assert finding.text.startswith(f"{headline}\n  blame      {row}\n  recipe ")
    assert (
        annotation(finding)
        .partition("::error ")[2]
        .partition("::")[2]
        .startswith(f"{headline}%0A  blame      {row}%0A")
    )
    start = f"### Training regression: 1 of 1 check failed: 1 different\n\n```\n{headline}\n  blame      {row}\n```\n"
    assert markdown([finding]).startswith(start)
    assert f"blame {row}" in " ".join(" ".join(Reading(page([finding])).text).split()).replace("  ", " ").replace(
        "net.py (+1 -1) 9f8e7d2", "net.py  (+1 -1)  9f8e7d2"
    )


def test_hostile_names_and_subjects_only_show():
    """In no form do they begin a line, leave their place, or reach the terminal."""
    finding = a_finding(
        [a_change(path="a\n::error::x", subject="\x1b[31m<script>`|\n::set-output::y", author="\u202e")]
    )
    text = markdown([finding])

    assert "\x1b" not in finding.text + text + page([finding])
    assert not [line for line in (finding.text + text).splitlines() if line.lstrip().startswith("::")]
    assert "<script>`" not in page([finding])
    assert annotation(finding).count("\n") == 0
