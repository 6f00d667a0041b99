"""Promises of `harness bisect` and `harness compare`: the commit that it was, by few trainings, and nothing touched."""

import hashlib
import random
import re
import subprocess
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import msgspec
import pytest

from harness.baselines.origin import git_output
from harness.commands import compare as compare_command
from harness.commands import main
from harness.commands.revisions import named
from harness.comparing.comparison import compare
from harness.elsewhere.asked import Asked
from harness.elsewhere.search import History, check_related, differed_before, first_differing
from harness.elsewhere.trees import cache, tree_of
from harness.errors import TreeError
from harness.plugin.against import Against
from harness.record.streams import Stream
from harness.report.check import Check
from harness.report.comparison_text import failure, note
from harness.report.json_form import to_text
from harness.report.ledger import Entry, Ledger
from tests.projects import loop_test
from tests.repositories import git
from tests.test_page import training
from tests.test_record import baseline_of


GREEN = training((2.0, 1.5, 1.0), text="same")
RED = training((2.0, 1.6, 1.0), text="training differs")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty repository, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    monkeypatch.chdir(folder)
    return folder


def commit_all(folder, commits):
    """Make commits, each of which is a name, the names of its parents, and files; return their whole names."""
    marks = {name: mark for mark, (name, _, _) in enumerate(commits, 1)}
    lines = []
    for name, parents, files in commits:
        lines += [] if parents else ["reset refs/heads/main"]
        lines += [
            "commit refs/heads/main",
            f"mark :{marks[name]}",
            f"committer A U Thor <a@b> {1_700_000_000 + marks[name]} +0000",
        ]
        lines += [
            f"data {len(name)}",
            name,
            *(f"{word} :{marks[each]}" for word, each in zip(("from", "merge"), parents, strict=False)),
        ]
        lines += [
            f"M 100644 inline {path}\ndata {len(text)}\n{text}" if text else f"D {path}" for path, text in files.items()
        ]
    git_in = ["git", "-C", str(folder), "fast-import", "--quiet", "--force", "--export-marks=.git/marks"]
    subprocess.run(git_in, input="\n".join([*lines, ""]), text=True, check=True)
    git(folder, "reset", "--quiet", "--hard")
    known = dict(line.split() for line in (folder / ".git" / "marks").read_text().splitlines())
    return {name: known[f":{mark}"] for name, mark in marks.items()}


def line_of(folder, number):
    """Commits in a line; return their whole names, the oldest first."""
    commits = [(f"c{i}", [f"c{i - 1}"] if i else [], {"net.py": str(i)}) for i in range(number)]
    return [*commit_all(folder, commits).values()]


def noting(asked, answers):
    """A judge that notes what it is asked."""
    return lambda commit: (asked.append(commit), answers[commit])[1]


def test_the_first_commit_is_found_among_64_ten_of_which_cannot_run(repository):
    """By nine trainings at most, GOOD's and BAD's counted in, wherever it is and whatever cannot run."""
    commits, chance = line_of(repository, 64), random.Random(0)
    place = {commit: number for number, commit in enumerate(commits)}
    for planted, together in ((1, True), (31, False), (40, True), (63, False)):
        others = [number for number in range(1, 63) if number not in (planted, planted - 1)]
        broken = {*(others[20:30] if together else chance.sample(others, 10))}
        answers = {commit: None if number in broken else number >= planted for commit, number in place.items()}
        asked = []
        found = first_differing(History(repository), commits[0], commits[63], noting(asked, answers))

        assert found == [commits[planted]]
        assert sum(answers[each] is not None for each in asked) + 2 <= 9


def test_where_only_commits_are_left_that_cannot_run_all_are_named(repository):
    """The oldest first; the last is the one that is known to differ."""
    commits = line_of(repository, 8)
    answers = dict(zip(commits, (False, False, False, None, None, True, True, True), strict=True))

    assert first_differing(History(repository), commits[0], commits[7], answers.get) == commits[3:6]


MERGED = [
    ("root", [], {"net.py": "1"}),
    ("good", ["root"], {"net.py": "1"}),
    ("side", ["good"], {"side.py": "1"}),
    ("fault", ["side"], {"side.py": "2"}),
    ("main", ["good"], {"main.py": "1"}),
    ("merge", ["main", "fault"], {"side.py": "2"}),
    ("last", ["merge"], {"net.py": "3"}),
]


def test_a_commit_that_a_merge_brought_is_found(repository):
    """With --first-parent it is the merge."""
    names = commit_all(repository, MERGED)
    different = {names[name] for name in ("fault", "merge", "last")}

    def found(history):
        return first_differing(history, names["good"], names["last"], different.__contains__)

    assert found(History(repository)) == [names["fault"]]
    assert found(History(repository, first_parent=True)) == [names["merge"]]


def test_a_branch_that_left_before_the_good_commit_is_told(repository):
    """What differs from its beginning did not begin with its first commit."""
    commits = [("root", [], {"net.py": "0"}), ("good", ["root"], {"net.py": "1"}), ("old", ["root"], {"a.py": "0"})]
    names = commit_all(repository, [*commits, ("merge", ["good", "old"], {"a.py": "0"})])
    history, different = History(repository), {names[name] for name in ("root", "old", "merge")}
    (first,) = first_differing(history, names["good"], names["merge"], different.__contains__)

    assert first == names["old"]
    assert differed_before(history, names["good"], first, different.__contains__)
    assert not differed_before(history, names["good"], names["merge"], different.__contains__)


def test_commits_that_are_in_no_line_are_refused_in_a_sentence(repository):
    """Unless the training was the good one's where they parted; git's rule."""
    names = commit_all(repository, [*MERGED, ("other", [], {"net.py": "1"})])
    history, everything = History(repository), lambda commit: True

    check_related(history, names["main"], names["fault"], lambda commit: False)
    check_related(history, names["good"], names["last"], everything)
    with pytest.raises(
        TreeError, match=f"begin with the older one: harness bisect {names['good'][:12]} {names['fault'][:12]}"
    ):
        check_related(history, names["main"], names["fault"], everything)
    with pytest.raises(TreeError, match=f"harness bisect {names['root'][:12]} {names['last'][:12]}"):
        check_related(history, names["last"], names["root"], everything)
    with pytest.raises(TreeError, match="no common ancestor"):
        check_related(history, names["last"], names["other"], everything)


class Sessions:
    """In the place of pytest: a session records the number in a tree's net.py, or fails if there is none.

    Args:
        ran: what sessions ran: the commit, and what of the command line names tests.
        problems: why they must not be green.
    """

    def __init__(self):
        self.ran = []
        self.problems = []
        self.asked = []

    def __call__(self, tree, arguments, here, variables=None):
        """Take what `pytest_in` takes."""
        options = dict(each.split("=", 1) for each in arguments if each.startswith("--") and "=" in each)
        self.ran.append((tree.commit, [each for each in arguments if each.endswith(("py", "net"))]))
        self.asked.append(msgspec.json.decode(variables["HARNESS_ASKED"], type=Asked))
        if not (tree.root / "test_a.py").exists() or (tree.root / "net.py").read_text() == "broken":
            return CompletedProcess([], 2, "E   ImportError: no net\nERROR test_a.py - ImportError: no net\n1 error\n")
        good = (git_output(tree.top, "show", f"{options['--training-against']}:net.py") or b"").decode()
        found, entries = self.checked(good, (tree.root / "net.py").read_text())
        output = Path(options["--training-output"])
        output.mkdir(parents=True)
        (output / "results.json").write_text(to_text(found, Ledger(entries=entries, problems=self.problems)))
        return CompletedProcess([], 0, "")

    def checked(self, good, now):
        """What a session finds, and its ledger."""
        check = Check("test_a.py::test_net", "", "test_a-test_net.json", "test_a.py", 1, "")
        if good == "broken":
            reason = "this test made no baseline there: ImportError: no net"
            return [], [Entry(baseline=check.baseline, test=check.test, fate="not compared", reason=reason)]
        if good == "lacking":
            return [], [Entry(baseline=check.baseline, test=check.test, fate="new")]
        former, present = (baseline_of({"loss": Stream("forward", (0, 1), (2.5, float(each)))}) for each in (good, now))
        comparison = compare(former, present.record)
        text = failure(comparison, against=self.asked[-1].against)
        text = text if comparison.verdict == "different" else note(comparison)
        return [check.training(comparison, passed=False, text=text)], []


@pytest.fixture
def sessions(monkeypatch):
    """In the place of pytest."""
    sessions = Sessions()
    monkeypatch.setattr("harness.elsewhere.sessions.pytest_in", sessions)
    return sessions


def numbers(folder, *texts, **files):
    """Commits in a line, each with a number; return their whole names, the oldest first."""
    commits = [(f"c{i}", [f"c{i - 1}"] if i else [], {"net.py": text}) for i, text in enumerate(texts)]
    commits[0][2].update({"test_a.py": "test"} | files)
    return [*commit_all(folder, commits).values()]


def printed(capsys, *arguments, status=1):
    """Run a command; return the lines that it prints, blanks and seconds told as one."""
    assert main(arguments) == status
    output = capsys.readouterr()
    text = output.err if status == 2 else output.out
    return [" ".join(re.sub(r"\d+\.\d s ", "SECONDS ", line).split()) for line in text.splitlines()]


def step(commit, rest):
    """The line of a step."""
    return f"{commit[:7]} {rest}"


def test_a_bisect_prints_its_steps_and_what_began_where(repository, sessions, capsys):
    """A line a commit, then author, subject, the message of the gate, and what goes further."""
    commits = numbers(repository, "1", "1", "broken", "1", "2", "2", "2")
    lines = printed(capsys, "bisect", "HEAD~6")

    title = f"HEAD~6 ({commits[0][:7]})"
    assert lines[:4] == [
        step(commits[6], "different SECONDS c6"),
        step(commits[3], "same SECONDS c3"),
        step(commits[5], "different SECONDS c5"),
        step(commits[4], "different SECONDS c4"),
    ]
    assert lines[4:] == [
        f"{commits[4][:7]} is the first commit whose training differs from that of {title}",
        f"commit {commits[4]}",
        "author A U Thor, 2023-11-14 22:13",
        "subject c4",
        f"explain harness explain --against {commits[3][:12]} test_a.py::test_net",
        f"test_a.py::test_net: training differs from {title} from step 1 on: forward, loss",
        "first step 1 baseline 1 now 2 (5.7e-01, threshold 1e-10)",
    ]


def test_a_second_bisect_trains_nothing(repository, sessions, capsys):
    """What was found of commits is kept; what could not run is tried again."""
    numbers(repository, "1", "1", "broken", "1", "2", "2", "2")
    first = printed(capsys, "bisect", "HEAD~6")
    ran = [*sessions.ran]
    second = printed(capsys, "bisect", "HEAD~6")

    assert first[-7:] == second[-7:]
    assert sessions.ran == ran
    assert all(" kept c" in line for line in second[:4])


def test_tests_that_do_not_differ_are_not_run_again(repository, sessions, capsys):
    """All of the good commit's are run at the bad one, and then those that differ there."""
    numbers(repository, "1", "2", "2")
    printed(capsys, "bisect", "HEAD~2")

    assert [tests for _, tests in sessions.ran] == [[], ["test_a.py::test_net"]]


def test_commits_that_cannot_run_are_skipped_and_their_reason_said(repository, sessions, capsys):
    """Where none but they are left, all are named that it may be."""
    commits = numbers(repository, "1", "broken", "2")
    lines = printed(capsys, "bisect", "HEAD~2")

    assert lines[1:] == [
        step(commits[1], "not run SECONDS c1 (ImportError: no net)"),
        "the first commit whose training differs is one of these; all but the last cannot be judged",
        step(commits[1], "c1"),
        step(commits[2], "c2"),
    ]


def test_the_present_test_is_lent_to_commits_that_lack_it(repository, sessions, capsys):
    """With its conftest.py, which is said; the user's own tree stays as it is."""
    commits = [("c0", [], {"net.py": "1"}), ("c1", ["c0"], {"net.py": "2"})]
    names = commit_all(repository, [*commits, ("c2", ["c1"], {"test_a.py": "test", "net.py": "2"})])
    (repository / "conftest.py").touch()
    lines = printed(capsys, "bisect", names["c0"], "test_a.py::test_net")

    assert lines[1] == step(names["c1"], "different SECONDS c1 (with today's test_a.py, conftest.py)")
    assert lines[2].startswith(f"{names['c1'][:7]} is the first commit")
    assert f"explain harness explain --against {names['c0'][:12]} test_a.py::test_net" in lines  # which lends it, too
    assert {(asked.root, *asked.lent, asked.costs) for asked in sessions.asked} == {
        (str(repository), "test_a.py", False)
    }


def test_a_test_whose_file_was_renamed_is_run_by_its_former_name(repository, sessions, capsys):
    """It is the commit's own test: nothing is lent; what is printed is today's name."""
    numbers(repository, "1", "2")
    git(repository, "mv", "test_a.py", "test_b.py")
    lines = printed(capsys, "bisect", "HEAD~1", "HEAD", "test_b.py::test_net")

    assert any(line.endswith(" test_b.py::test_net") for line in lines if line.startswith("explain"))
    assert [(tests, asked.lent) for (_, tests), asked in zip(sessions.ran, sessions.asked, strict=True)] == [
        (["test_a.py::test_net"], ["test_a.py"])
    ]


def test_the_good_commit_is_lent_it_too(repository, monkeypatch):
    """And what it made with it is kept apart."""
    commits = [("c0", [], {"net.py": "1"}), ("c1", ["c0"], {"test_a.py": "test"})]
    names = commit_all(repository, commits)
    asked = Asked(against="c0", root=str(repository), lent=["test_a.py"])
    monkeypatch.setenv(*asked.variables.popitem())
    config = SimpleNamespace(rootpath=repository, getoption=lambda name: "", option=SimpleNamespace())
    lacking, having = (Against(config, name, names[name], "", "") for name in names)
    with lacking._tree() as tree:
        assert (tree.root / "test_a.py").read_text() == "test"

    assert having.kept.folder.name != lacking.kept.folder.name
    monkeypatch.delenv("HARNESS_ASKED")
    assert Against(config, "c1", names["c1"], "", "").kept == having.kept


def test_a_test_is_lent_by_no_way_out_of_the_tree(repository, sessions, tmp_path, capsys):
    """A link that an old commit has in the place of the folder leads to somebody's files."""
    (tmp_path / "others").mkdir()
    commit_all(repository, [("c0", [], {"net.py": "1", "test_a.py": "test"})])
    (repository / "tests").symlink_to(tmp_path / "others")
    git(repository, "add", "tests")
    git(repository, "commit", "-qm", "c1")
    (repository / "tests").unlink()
    (repository / "tests").mkdir()
    (repository / "tests" / "test_b.py").touch()
    printed(capsys, "bisect", "HEAD", "HEAD", "tests/test_b.py", status=0)

    assert [*(tmp_path / "others").iterdir()] == []


def test_where_nothing_differs_there_is_nothing_to_find(repository, sessions, capsys):
    """And the exit status is that of equal files."""
    commits = numbers(repository, "1", "2", "1")
    lines = printed(capsys, "bisect", "HEAD~2", status=0)

    there_is_none = f"the training of {commits[2][:12]} does not differ from that of HEAD~2 ({commits[0][:7]})"
    assert lines[1] == f"{there_is_none}: there is no commit to be found (what is not committed is left out)"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("broken", "1"), "this test made no baseline there: ImportError: no net"),
        (("1", "broken"), "ImportError: no net"),
        (("lacking", "1"), "HEAD~1 ({good}) has no test_a.py::test_net"),
    ],
)
def test_what_cannot_run_at_the_ends_is_a_message(repository, sessions, capsys, texts, reason):
    """It says what the session said."""
    commits = numbers(repository, *texts)
    lines = printed(capsys, "bisect", "HEAD~1", status=2)

    assert lines[:2] == [
        f"it cannot be said whether the training at commit {commits[1][:12]} differs",
        f"where {reason.format(good=commits[0][:7])}",
    ]


def test_a_session_that_must_not_be_green_judges_no_commit(repository, sessions, capsys):
    """It may have trained the code of another one."""
    commits = numbers(repository, "1", "1")
    sessions.problems = ["it ran code that is not that commit's"]
    lines = printed(capsys, "bisect", "HEAD~1", status=2)

    assert lines[0] == f"it cannot be said whether the training at commit {commits[1][:12]} differs"
    assert lines[1] == "where it ran code that is not that commit's"


def test_a_setup_command_makes_each_tree_ready(repository, sessions, capsys):
    """Here one that gives all commits the same number."""
    numbers(repository, "1", "2")
    lines = printed(capsys, "bisect", "HEAD~1", "--setup", "printf 1 > net.py", status=0)

    assert len(lines) == 2


def everything(folder):
    """A digest of all that is the user's: tree, index, branches, stash, what git does at the moment."""
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return {str(each): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def test_nothing_of_the_users_is_touched(repository, sessions, capsys):
    """While he bisects himself, with changes that he has not committed, has staged, or has put away."""
    numbers(repository, "1", "1", "1", "2", "2", "2", notes="1")
    for name in ("stashed", "staged", "changed"):
        (repository / "notes").write_text(name)
        git(repository, *{"stashed": ["stash"], "staged": ["add", "notes"], "changed": ["status"]}[name])
    (repository / "untracked").touch()
    git(repository, "bisect", "start", "HEAD", "HEAD~5")
    before = everything(repository)
    printed(capsys, "bisect", "main~5", "main")

    assert everything(repository) == before


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["main~1"], "c0 - "),
        (["main~1", "main"], "c0 c1 "),
        (["main~1", "test_a.py::test_net[cpu]"], "c0 - test_a.py::test_net[cpu]"),
        (["main~1", "main", "test_a.py", "./test_a.py"], "c0 c1 test_a.py test_a.py"),
        (["main~1", "./main"], "c0 - main"),
        (["main~1", "../project/test_a.py"], "c0 - test_a.py"),
    ],
)
def test_revisions_and_tests_are_told_apart(repository, words, meant):
    """A word that names a commit is one; a path or what has `::` is a test, from the root."""
    commits = numbers(repository, "1", "2")
    (repository / "main").mkdir() if "./main" in words else None
    former, latter, tests = named(repository, words)
    texts = {commit: f"c{number}" for number, commit in enumerate(commits)} | {"": "-"}

    assert f"{texts[former]} {texts[latter]} {' '.join(tests)}" == meant


@pytest.mark.parametrize(
    ("words", "headline"),
    [
        (["main", "nothing"], "'nothing' names neither a commit nor a test"),
        (["main", "main", "main~1"], "'main~1' names neither a commit nor a test"),
        (["main", "test_a"], "'test_a' names a commit and a path"),
    ],
)
def test_a_word_that_means_nothing_or_two_things_is_refused(repository, sessions, capsys, words, headline):
    """In a sentence, before anything runs."""
    numbers(repository, "1", "2")
    git(repository, "branch", "test_a")
    (repository / "test_a").mkdir()
    assert main(["bisect", *words]) == 2

    assert capsys.readouterr().err.startswith(headline)
    assert sessions.ran == []


def test_what_is_kept_is_shared_with_sessions_in_trees(repository, monkeypatch):
    """The trainings of A are found again when another commit is held against them in its own tree."""
    numbers(repository, "1")
    with tree_of(repository, "main") as tree:
        monkeypatch.setenv("HARNESS_TREE", tree.variables["HARNESS_TREE"])
        kept = cache(tree.root)

    assert kept == cache(repository)


@pytest.mark.parametrize(
    ("returned", "found", "status"),
    [(0, [GREEN], 0), (0, [], 2), (1, [GREEN, RED], 1), (1, [GREEN], 2), (1, [], 2), (5, [RED], 2), (-9, [RED], 2)],
)
def test_compare_returns_what_its_session_means(repository, monkeypatch, capsys, returned, found, status):
    """0 only if something was compared, and is the same; 1 only if it differs."""
    numbers(repository, "1", "2")
    output = repository / "build" / "harness" / "compare"
    output.mkdir(parents=True)
    (output / "results.json").write_text(to_text(found))
    monkeypatch.setattr("harness.elsewhere.sessions.pytest_in", lambda *_: CompletedProcess([], returned, "said\n"))

    assert main(["compare", "main~1", "main"]) == status
    assert capsys.readouterr().out.startswith("said\n")


def test_compare_holds_one_tree_against_another(repository, monkeypatch, capsys):
    """The present one, or that of a second commit, where HEAD would be another."""
    old, new = numbers(repository, "1", "2")
    asked = []
    monkeypatch.setattr(compare_command, "_here", lambda *given: asked.append(given) or 0)
    monkeypatch.setattr(compare_command, "_there", lambda *given: asked.append(given) or 0)
    main(["compare", "HEAD~1", "test_a.py"])
    main(["compare", "HEAD~1", "HEAD", "test_a.py::test_net"])

    output = f"--training-output={repository / 'build' / 'harness' / 'compare'}"
    here, there = asked
    assert here == (repository, ["--training-against=HEAD~1", "--mpl", output, "test_a.py"])
    title = f"HEAD~1 ({old[:7]})"
    assert there == (repository, new, "", old, title, ["--mpl", output, "test_a.py::test_net"])
    said = f"these were the trainings of HEAD ({new[:7]}), held against those of {title}"
    assert capsys.readouterr().out.splitlines() == ["nothing was compared", said, "nothing was compared"]


TRAINING = loop_test("test_net", "net.loss_of(model(inputs))", imports="import net")
LOSS = "def loss_of(outputs):\n    # {0}\n    return outputs.{1}().mean()\n"


def net_of(number, planted, broken):
    """The module of a commit."""
    return "import nothing" if number in broken else LOSS.format(number, "square" if number < planted else "abs")


@pytest.mark.long
def test_a_fault_among_64_commits_is_found_and_its_line_named(repository, capsys):
    """By nine trainings at most, ten of the commits being none that can be imported; the whole way, in processes."""
    planted, broken = 37, {1, 9, 16, 28, 29, 30, 31, 32, 33, 50}
    texts = [net_of(number, planted, broken) for number in range(64)]
    commits = numbers(repository, *texts, **{"test_a.py": TRAINING})
    before = everything(repository)
    lines = printed(capsys, "bisect", "HEAD~63")
    first = f"{commits[37][:7]} is the first commit whose training differs from that of HEAD~63 ({commits[0][:7]})"
    end = lines.index(first)

    assert 1 + sum("not run" not in line for line in lines[:end]) <= 9
    assert any(line.startswith("where net.py:3") for line in lines[end:])
    assert everything(repository) == before
