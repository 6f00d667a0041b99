"""Promises of the tree of another commit: it is right or refused in a sentence, and the user's own stays as it is."""

import importlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

import pytest
from filelock import FileLock

from harness.elsewhere import imports, repository, trees
from harness.elsewhere.rerun import Assignment, own_variables
from harness.elsewhere.trees import Tree, cache, commit_of, tree_of
from harness.errors import TreeError
from harness.recording.perturbation import Perturbation
from tests.repositories import busy, commit, contents, git
from tests.repositories import repository as made
from tests.tree_kills import tree_kills


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch):
    """A cache folder of the test's own, and no settings of a person's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return tmp_path / "cache" / "training-regression"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A repository of three commits, for tests that only read it."""
    versions = ({"net.py": f"RATE = {number}\n", "data/a b": "x"} for number in (1, 2, 3))
    return made(tmp_path_factory.mktemp("shared") / "project", *versions)


@pytest.fixture
def project(tmp_path, shared):
    """A repository of three commits."""
    return shutil.copytree(shared, tmp_path / "project")


def rooms(root):
    """Names of the trees of a project that are there."""
    return list((cache(root) / "trees").glob("*/"))


def refusal(root, revision):
    """What a revision is refused with."""
    with pytest.raises(TreeError) as error, tree_of(root, revision):
        pass
    return str(error.value)


# ----------------------------------------------------------------------------------------------------- the user's own


def test_all_of_the_users_stays_as_it_is(project):
    """Tree, index, branches, stash, bisect state, logs, settings, hooks: byte by byte, during and after."""
    before = contents(busy(project))
    with tree_of(project, "v1~1") as tree:
        assert (tree.top / "net.py").read_text() == "RATE = 2\n"
        assert git(tree.top, "status", "--porcelain") == ""
        assert git(tree.top, "rev-parse", "HEAD") == tree.commit == commit_of(project, "v1~1")
        commit(tree.top, {"more": "x"})
        git(tree.top, "branch", "-f", "main")
        assert contents(project) == before

    assert contents(project) == before
    assert rooms(project) == []


def test_a_tree_knows_history_and_tags(project):
    """Whoever builds a version from tags, or asks for a line's author, gets what the user's checkout says."""
    git(project, "tag", "v1", "HEAD~1")
    with tree_of(project, "HEAD") as tree:
        assert git(tree.top, "describe", "--tags") == git(project, "describe", "--tags")
        assert git(tree.top, "log", "--format=%H") == git(project, "log", "--format=%H")


def test_a_kill_leaves_nothing_that_the_next_run_does_not_remove(tmp_path):
    """At any moment: the user's repository is as before, and the next run works (python -m tests.kills: 50 of them)."""
    found = [*tree_kills(tmp_path, 2, 0)]

    assert all(kill.untouched and kill.works and not kill.left for kill in found), found


def test_what_a_killed_process_left_is_removed_and_no_other(project):
    """Checkouts with a lock that nobody holds, or with none; never those of another living process."""
    with tree_of(project, "HEAD") as tree:
        folder = tree.top.parents[1]
        for name in ("locked", "unlocked", "empty"):
            (folder / name / "project").mkdir(parents=True)
        (folder / "locked" / "lock").touch()
        (folder / "empty" / "project").rmdir()
        with FileLock(folder / "locked" / "lock"), tree_of(project, "HEAD~1") as other:
            assert {*rooms(project)} == {tree.top.parent, other.top.parent, folder / "locked"}
        with tree_of(project, "HEAD") as same:
            assert {*rooms(project)} == {tree.top.parent, same.top.parent}
        assert (tree.top / "net.py").exists()

    assert rooms(project) == []


def test_two_may_have_the_same_commit_at_once(project):
    """Each has a tree of its own, and removes no other's."""

    def texts(_):
        for _ in range(3):
            with tree_of(project, "HEAD") as tree:
                yield (tree.top / "net.py").read_text()

    with ThreadPoolExecutor(2) as both:
        assert [*both.map(lambda number: [*texts(number)], range(2))] == [["RATE = 3\n"] * 3] * 2
    assert rooms(project) == []


def test_it_is_removed_when_the_block_ends_with_an_exception(project):
    """Ctrl-C included."""
    with pytest.raises(KeyboardInterrupt), tree_of(project, "HEAD"):
        raise KeyboardInterrupt

    assert rooms(project) == []


@pytest.mark.parametrize("where", ["post-checkout", "reference-transaction"])
def test_no_hook_runs(project, tmp_path, monkeypatch, where):
    """Neither the repository's nor those that a person has for all."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / where).write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (hooks / where).chmod(0o755)
    shutil.copytree(hooks, project / ".git" / "hooks")
    (tmp_path / "settings").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    with tree_of(project, "HEAD"):
        pass

    assert not (tmp_path / "ran").exists()


def test_in_a_hook_gits_variables_do_not_lead_astray(project, tmp_path, monkeypatch):
    """`git commit` runs its hook with its own index, and names its repository."""
    other = made(tmp_path / "other", {"a": "x"})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    before = contents(other)
    with tree_of(project, "HEAD~1") as tree:
        assert (tree.top / "net.py").read_text() == "RATE = 2\n"

    assert contents(other) == before
    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"} & {*own_variables()}


# -------------------------------------------------------------------------------------------------- names and places


@pytest.mark.parametrize(
    "revision",
    ["", "-h", "--all", "--", "nope", "HEAD~3", "HEAD^@", "HEAD..HEAD~1", "^HEAD", "a\0b", "a\nb", "\ud800", "net.py",
     "HEAD:net.py", "HEAD^{tree}", "@{-1}", "@{u}", ":/nothing", ":/-h\0", ":net.py", "0" * 40, "x" * 5000],
)  # fmt: skip
def test_a_name_that_is_no_commits_is_refused(shared, revision):
    """In a sentence; git takes none for an option."""
    with pytest.raises(TreeError) as error:
        commit_of(shared, revision)

    assert error.value.what.startswith(f"{revision!r} is no commit: ")


@pytest.mark.parametrize(("revision", "what"), [("HEAD:net.py", "file"), ("HEAD^{tree}", "folder"), ("v0", "file")])
def test_a_name_of_what_a_commit_holds_is_refused_in_plain_words(shared, revision, what):
    """Rather than in git's."""
    git(shared, "tag", "-fam", "a license", "v0", "HEAD:net.py")

    with pytest.raises(TreeError) as error:
        commit_of(shared, revision)
    assert error.value.what == f"{revision!r} is no commit: it is a {what} of one"


def test_a_name_that_fits_several_commits_is_refused(shared, monkeypatch):
    """Git says so."""
    monkeypatch.setattr(repository, "_git", lambda *_, refuse: (_ for _ in ()).throw(refuse(repository._reason(said))))
    said = "error: short object ID 12ab is ambiguous\nhint: The candidates are:\nfatal: Needed a single revision\n"
    with pytest.raises(TreeError, match="'12ab' is no commit: short object ID 12ab is ambiguous"):
        repository.Repository(*[shared] * 3).commit("12ab")


@pytest.mark.parametrize("revision", ["HEAD", "@", "main~1", "v1", "HEAD^{/change}", ":/change", "HEAD@{0}"])
def test_whatever_git_knows_a_commit_by_is_taken(shared, revision):
    """An annotated tag is its commit."""
    git(shared, "tag", "-fam", "first", "v1", "HEAD~1")

    assert commit_of(shared, revision) == git(shared, "log", "-1", "--format=%H", revision)


def test_a_shallow_clone_says_how_much_it_has(project, tmp_path):
    """And how to get the rest; what it has can be checked out."""
    git(tmp_path, "clone", "-q", "--depth=2", f"file://{project}", "few")
    with tree_of(tmp_path / "few", "HEAD~1") as tree:
        assert git(tree.top, "log", "--format=%H") == tree.commit

    assert refusal(tmp_path / "few", "HEAD~2").startswith("'HEAD~2' is not in this shallow clone, which has 2 commits")


def test_a_partial_clone_asks_no_server(project, tmp_path):
    """What it lacks is named; what it has can be checked out."""
    git(project, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{project}", "few")
    before = contents(tmp_path / "few")
    with tree_of(tmp_path / "few", "HEAD"):
        pass

    assert "cannot be checked out: unable to read sha1 file of net.py" in refusal(tmp_path / "few", "HEAD~1")
    assert f"{'1' * 40}' is no commit" in refusal(tmp_path / "few", "1" * 40)
    assert contents(tmp_path / "few") == before


def test_a_sparse_checkout_has_a_sparse_tree(project):
    """In a large repository nobody wants, or has, the rest."""
    commit(project, {"large/a": "x"})
    git(project, "sparse-checkout", "set", "data")
    with tree_of(project, "HEAD") as tree:
        assert sorted(path.name for path in tree.top.iterdir()) == [".git", "data", "net.py"]


def test_without_git_it_says_so(project, monkeypatch):
    """Other commits are known to git alone."""
    monkeypatch.setenv("PATH", "")

    assert refusal(project, "HEAD").startswith("git cannot be started: ")


def test_outside_a_checkout_it_says_so(project, tmp_path):
    """No repository, one without files, git's own folder, and a folder that is not there."""
    git(tmp_path, "init", "-q", "--bare", "bare")
    (tmp_path / "plain").mkdir()
    for folder in (tmp_path / "plain", tmp_path / "bare", project / ".git", tmp_path / "missing"):
        assert refusal(folder, "HEAD").startswith("git finds no checkout of a repository here: ")


def test_where_git_trusts_nobody_it_is_told_what_git_asks_for(project, monkeypatch):
    """As in a container that runs as another user."""
    monkeypatch.setitem(repository._QUIET, "GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert f"git config --global --add safe.directory {project}" in refusal(project, "HEAD")


def test_without_commits_it_says_so(tmp_path):
    """A repository may be new."""
    assert "'HEAD' is no commit" in refusal(made(tmp_path / "new"), "HEAD")


@pytest.mark.parametrize("name", ["with space", "grün", "a\nb", 'q"uo\\te', "#a", "-x", "a:b"])
def test_a_repository_may_have_any_name(tmp_path, name):
    """Paths are handed to git as they are."""
    project = made(tmp_path / name, {"net.py": "x"}, {"net.py": "y"})
    with tree_of(project, "HEAD~1") as tree:
        assert (tree.root / "net.py").read_text() == "x"
        assert os.pathsep not in tree.top.name


def test_a_repository_may_name_its_objects_by_sha256(tmp_path):
    """Git may be told to."""
    (tmp_path / "project").mkdir()
    git(tmp_path / "project", "init", "-q", "--object-format=sha256")
    name = commit(tmp_path / "project", {"net.py": "x"})
    with tree_of(tmp_path / "project", name[:9]) as tree:
        assert (tree.commit, (tree.top / "net.py").read_text()) == (name, "x")


def test_a_project_may_be_a_folder_of_the_repository(project):
    """Its place in the tree is the same; a commit that lacks it is refused."""
    commit(project, {"packages/one/net.py": "x"})
    with tree_of(project / "packages" / "one", "HEAD") as tree:
        assert tree.root == tree.top / "packages" / "one"
        assert tree.place(project / "packages" / "one" / "net.py") == tree.root / "net.py"

    assert refusal(project / "packages" / "one", "HEAD~1").startswith("'HEAD~1' has no folder packages/one,")


def test_a_checkout_may_be_reached_by_a_link_and_be_one_of_several(project, tmp_path):
    """A place that is reached by a link is the same place; a linked worktree has the commits of all."""
    git(project, "worktree", "add", "-q", "--detach", str(tmp_path / "second"), "HEAD~1")
    (tmp_path / "link").symlink_to(tmp_path / "second")
    before = contents(project)
    with tree_of(tmp_path / "link", "main") as tree:
        assert (tree.top / "net.py").read_text() == "RATE = 3\n"
        assert tree.place(tmp_path / "link" / "net.py") == tree.place(tmp_path / "second" / "net.py")
        assert tree.place(tmp_path / "elsewhere.py") == tmp_path / "elsewhere.py"
        assert tree.place(tree.top / "net.py") == tree.top / "net.py"

    assert contents(project) == before


def test_a_cache_may_lie_in_the_checkout(project, monkeypatch):
    """As where CI keeps all below one folder; what is in the tree stays there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / ".cache"))
    with tree_of(project, "HEAD~1") as tree:
        assert tree.place(tree.top / "net.py") == tree.top / "net.py"


def test_a_cache_that_cannot_be_written_to_is_named(project, monkeypatch):
    """A file may stand where the folder should."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "net.py"))

    assert refusal(project, "HEAD").startswith("the trees of other commits cannot be kept in ")


def test_a_full_disk_is_named(project, monkeypatch):
    """Whether git finds it full, or we do."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repository.Repository, "_borrow", full)

    assert "cannot be checked out: No space left on device" in refusal(project, "HEAD")
    assert rooms(project) == []


# ----------------------------------------------------------------------------------- what git keeps in other places


@pytest.fixture(scope="module")
def modular(tmp_path_factory):
    """A repository with a submodule that has one itself; both changed since."""
    folder = tmp_path_factory.mktemp("modular")
    inner, middle = made(folder / "inner", {"i.py": "1"}), made(folder / "middle", {"m.py": "1"})
    git(middle, "submodule", "--quiet", "add", str(inner), "inner")
    commit(middle, {"m.py": "2"})
    outer = made(folder / "outer", {"o.py": "1"})
    git(outer, "submodule", "--quiet", "add", "--name", "named/so", str(middle), "lib/middle")
    git(outer, "submodule", "--quiet", "update", "--init", "--recursive")
    commit(outer, {"o.py": "2"})
    commit(outer / "lib" / "middle", {"m.py": "3"})
    commit(outer, {"o.py": "3"})
    return outer


@pytest.fixture
def nested(tmp_path, modular):
    """Such a repository."""
    return shutil.copytree(modular, tmp_path / "outer", symlinks=True)


def test_submodules_are_checked_out_from_the_users_own(nested):
    """Those within others, too, each at the commit that is recorded; all stay as they are."""
    before = contents(nested)
    with tree_of(nested, "HEAD~1") as tree:
        assert (tree.top / "lib" / "middle" / "m.py").read_text() == "2"
        assert (tree.top / "lib" / "middle" / "inner" / "i.py").read_text() == "1"
        assert git(tree.top, "status", "--porcelain") == ""

    assert contents(nested) == before
    assert rooms(nested) == []


def test_a_submodule_may_have_been_moved_or_removed_since(nested):
    """Git keeps its repository."""
    git(nested, "rm", "-q", "lib/middle")
    commit(nested, {"o.py": "4"})
    with tree_of(nested, "HEAD~1") as tree:
        assert (tree.top / "lib" / "middle" / "inner" / "i.py").read_text() == "1"


def test_a_submodule_that_the_user_does_without_is_left_empty(nested, tmp_path):
    """A clone has none until it is asked to."""
    git(tmp_path, "clone", "-q", str(nested), "clone")
    with tree_of(tmp_path / "clone", "HEAD") as tree:
        assert [*(tree.top / "lib" / "middle").iterdir()] == []


def test_a_commit_of_a_submodule_that_is_not_here_is_named(nested):
    """With the submodule's path."""
    gone = commit(nested / "lib" / "middle", {"m.py": "4"})
    commit(nested, {"o.py": "4"})
    git(nested / "lib" / "middle", "reset", "-q", "--hard", "HEAD~1")
    git(nested / "lib" / "middle", "reflog", "expire", "--expire=now", "--all")
    git(nested / "lib" / "middle", "gc", "-q", "--prune=now")

    assert refusal(nested, "HEAD").startswith(f"commit {gone} of the submodule lib/middle is not here")


def test_what_lfs_keeps_is_copied_from_the_users_own(project):
    """Without LFS's programs; what was not fetched is named, unless the user does without it."""
    digest = "ab" * 32
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 4\n"
    commit(project, {".gitattributes": "*.bin filter=lfs\n", "a.bin": pointer})
    with tree_of(project, "HEAD") as tree:
        assert (tree.top / "a.bin").read_text() == pointer
    (project / "a.bin").write_text("data")
    assert refusal(project, "HEAD").startswith("Git LFS keeps a.bin, and what commit ")
    kept = project / ".git" / "lfs" / "objects" / "ab" / "ab" / digest
    kept.parent.mkdir(parents=True)
    kept.write_text("data")
    with tree_of(project, "HEAD") as tree:
        assert (tree.top / "a.bin").read_text() == "data"


# ------------------------------------------------------------------------------------------------------------- setup


def test_a_setup_makes_the_tree_ready(project):
    """In the project's root there; TRAINING_OWN_TREE names the same folder of the user's checkout."""
    (project / "ignored").write_text("data")
    with tree_of(project / "data", "HEAD~1", 'ln -s "$TRAINING_OWN_TREE/../ignored" here') as tree:
        assert (tree.root / "here").read_text() == "data"
        assert tree.python == sys.executable


def test_a_setup_that_fails_shows_what_it_printed_last(project):
    """Its last lines, and its status; the tree is removed."""
    with pytest.raises(TreeError) as error, tree_of(project, "HEAD", "seq 20; echo broken >&2; exit 3"):
        pass

    assert "ended with status 3; it printed last:\n7\n8\n" in error.value.what
    assert error.value.what.endswith("\n20\nbroken")
    assert rooms(project) == []


def python(body):
    """A command that makes a .venv whose Python is a shell script."""
    return f"mkdir -p .venv/bin; printf '#!/bin/sh\\n{body}\\n' > .venv/bin/python; chmod +x .venv/bin/python"


def test_a_python_that_the_setup_makes_runs_the_tests(project):
    """If it can: the harness needs what it requires there, too."""
    with tree_of(project, "HEAD", python("exit 0")) as tree:
        assert tree.python == str(tree.root / ".venv" / "bin" / "python")
    with (
        pytest.raises(TreeError, match=r"\.venv, lacks pytest-training-regression"),
        tree_of(project, "HEAD", python("exit 1")),
    ):
        pass


# ----------------------------------------------------------------------------------------------------------- imports


@pytest.fixture
def importing(project, monkeypatch):
    """A process that runs in the tree of HEAD~1, while what is installed leads to the user's checkout."""
    commit(project, {"src/ours/__init__.py": "", "src/ours/net.py": "N = 1", "odd/code/__init__.py": "N = 1",
                     "odd/space/sub.py": "N = 1"})  # fmt: skip
    commit(project, {"src/ours/net.py": "N = 2", "odd/code/__init__.py": "N = 2", "odd/space/sub.py": "N = 2",
                     "src/later.py": ""})  # fmt: skip
    known = {*sys.modules}
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "path", [*sys.path, str(project / "src")])
    with tree_of(project, "HEAD~1") as tree:
        for name, value in tree.variables.items():
            monkeypatch.setenv(name, value)
        yield tree
    for name in {*sys.modules} - known:
        del sys.modules[name]


def value_of(name):
    """What a module of the project says, and where it is."""
    module = importlib.import_module(name)
    return module.N, Path(module.__file__)


def test_what_is_edited_in_place_by_a_path_is_the_trees(importing):
    """A .pth file names the user's src; what came later is not found."""
    imports.follow()

    assert value_of("ours.net") == (1, importing.top / "src" / "ours" / "net.py")
    with pytest.raises(ModuleNotFoundError, match="has no module later; that of your own checkout is not taken"):
        importlib.import_module("later")
    assert imports.foreign_code() is None


class Editable:
    """A finder as build systems install one, for packages whose folders have other names."""

    def __init__(self, project):
        self.folder = project / "odd"

    def find_spec(self, name, path=None, target=None):
        """Find two packages, one of them a namespace."""
        if name == "odd_code":
            inside = [str(self.folder / "code")]
            return spec_from_file_location(
                name, self.folder / "code" / "__init__.py", submodule_search_locations=inside
            )
        if name == "odd_space":
            found = ModuleSpec(name, None, is_package=True)
            found.submodule_search_locations = [str(self.folder / "space")]
            return found
        return None


@pytest.mark.parametrize("place", [0, 99])
def test_what_is_edited_in_place_by_a_finder_is_the_trees(importing, place):
    """setuptools', hatchling's and others' stand before Python's or after it."""
    sys.meta_path.insert(place, Editable(importing.own))
    imports.follow()
    imports.follow()

    assert value_of("odd_code") == (1, importing.top / "odd" / "code" / "__init__.py")
    assert value_of("odd_space.sub") == (1, importing.top / "odd" / "space" / "sub.py")
    assert sum(isinstance(finder, imports._InTree) for finder in sys.meta_path) == 1
    assert imports.foreign_code() is None


def test_code_of_the_users_checkout_is_named(importing):
    """However it was loaded; libraries that are installed within the checkout are no code of its."""
    library = importing.own / ".venv" / "lib" / "site-packages" / "library.py"
    library.parent.mkdir(parents=True)
    library.touch()
    for name, file in {"stolen.net": importing.own / "src" / "ours" / "net.py", "library": library}.items():
        sys.modules[name] = importlib.util.module_from_spec(spec_from_file_location(name, file))
    error = imports.foreign_code()

    assert error is not None
    assert error.what.endswith(f"ran code that is not that commit's: stolen ({importing.own}/src/ours/net.py)")
    with pytest.raises(TreeError, match="ran code that is not that commit's: stolen"):
        Assignment("test", "", Perturbation(), "", importing.top).hand_in(None, (True, ""))  # a rerun tells it, too


def test_a_copy_that_was_installed_from_the_checkout_is_named(importing, tmp_path, monkeypatch):
    """Though the tree has its sources; a wheel that lies in the checkout, or an editable installation, is none."""
    site = tmp_path / "site-packages"
    for name, about in {
        "copied": '"dir_info": {}', "edited": '"dir_info": {"editable": true}', "wheel": '"archive_info": {}',
    }.items():  # fmt: skip
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("")
        info = site / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n")
        (info / "direct_url.json").write_text(f'{{"url": "{importing.own.as_uri()}", {about}}}')
    monkeypatch.syspath_prepend(site)
    for name in ("copied", "edited", "wheel"):
        importlib.import_module(name)
    error = imports.foreign_code()

    assert error is not None
    assert error.what.endswith(f"not that commit's: copied ({site}/copied/__init__.py)")


def test_an_ordinary_process_follows_nothing(monkeypatch):
    """Only one that was started for a tree has anything to say."""
    monkeypatch.delenv(trees._VARIABLE, raising=False)
    monkeypatch.setattr(sys, "meta_path", before := [*sys.meta_path])
    imports.follow()

    assert sys.meta_path == before
    assert Tree.from_environment() is None
    assert imports.foreign_code() is None


def test_a_session_in_a_tree_that_ran_other_code_fails(pytester, importing):
    """It says so at its end, whatever its tests said."""
    sys.modules["stolen"] = importlib.util.module_from_spec(
        spec_from_file_location("stolen", importing.own / "src" / "later.py")
    )
    pytester.makepyfile("def test_fine(): pass")
    result = pytester.runpytest_inprocess("-q", "-p", "no:randomly")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"*ran code that is not that commit's: stolen ({importing.own}/src/later.py)"])
