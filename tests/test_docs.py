"""Promises of README and guides: what they show is what happens, and what they name is there."""

import io
import os
import re
import subprocess
import sys
import tomllib

import pytest

from harness import figures
from tests.docs import reference
from tests.docs.pages import GUIDES, README, ROOT, SETTINGS, Story, blocks, shows
from tests.plugin.conftest import measured_thresholds, project  # noqa: F401 - fixtures
from tests.test_ci import load


PAGES = [
    README,
    *GUIDES,
    *(ROOT / ".github" / name for name in ("CONTRIBUTING.md", "SECURITY.md")),
    ROOT / "CHANGELOG.md",
]
LIBRARIES = (
    *("lightning.pytorch", "transformers", "transformers.trainer", "transformers.models.bert.modeling_bert"),
    *("ignite.engine", "ignite.metrics", "accelerate"),
    *(f"harness.adapters.{name}" for name in ("lightning", "transformers", "ignite")),
)
"""What the guide of adapters imports: here, once, because pytester would import it anew in each run."""
THEIRS = [ROOT / "tests" / "examples" / name for name in ("lightning/lit_stripes.py", "transformers/finetune.py")]
"""Its user's modules."""
OURS = re.compile(r"/actions/(\w+)@v1$")
LONG = [page for page in GUIDES if page.stem in ("low-precision", "random-numbers", "gate-power", "other-commits")]
"""Guides that train many times."""
TRACED = [README, ROOT / "docs" / "red-gate.md"]
"""Pages that quote the line of a fault, which a baseline knows that measured its thresholds."""
AT_NIGHT = ("adapters", "shipped", "figures", "machines", "distributed")
"""Guides whose parts other tests run, too: examples, the gate, pictures, what runs elsewhere, ranks."""
QUICK = [
    pytest.param(page, marks=pytest.mark.long if page.stem in AT_NIGHT else ())
    for page in (README, *GUIDES)
    if page not in LONG and page.stem != "reference"
]


def name_of(path):
    """Name of a page, for ids."""
    return path.stem


@pytest.fixture
def story(project, monkeypatch, request):  # noqa: F811 - the fixture
    """What runs pages in a reader's project: a git repository with pytest's settings."""
    (project.path / "test_gate.py").unlink()
    (project.path / "pyproject.toml").write_text(SETTINGS)
    (project.path / ".gitignore").write_text("build/\n__pycache__/\n*.bak\n")
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=project.path, check=True)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "You")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "you@example.org")
    return Story(project, traces="measured_thresholds" in request.fixturenames)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")  # Lightning's own calls of torch
@pytest.mark.parametrize("page", QUICK, ids=name_of)
def test_a_page_tells_what_happens(page, story):
    """Every file, command and output of it, from the loop of the README on; thresholds and lines are spared."""
    if page.stem == "adapters":
        for library in LIBRARIES:
            pytest.importorskip(library, reason=f"{library} is not installed")
        for path in THEIRS:
            story.write(path.name, path.read_text(encoding="utf-8"))
    story.tell(page)


@pytest.mark.long
@pytest.mark.parametrize("page", [*TRACED, *LONG], ids=name_of)
def test_a_page_tells_what_happens_where_thresholds_are_measured(page, story, measured_thresholds):  # noqa: F811 - the fixture
    """As for its reader; of the guides those that train many times, or quote a line."""
    story.tell(page)


@pytest.mark.parametrize("page", [README, *GUIDES], ids=name_of)
def test_a_block_is_one_that_is_run(page):
    """A language of which nothing is run would be one in which anything can be said."""
    for language, text in blocks(page):
        assert language in ("python", "sh", "console") or text.startswith("# "), text
        if language == "python":
            compile(text, page.name, "exec")


@pytest.mark.parametrize(
    ("quotation", "shown"),
    [
        (["b"], True),
        (["a", "b"], True),
        (["a", "c"], False),
        (["a", "...", "c"], True),
        (["c", "...", "a"], False),
        (["a", "...", "d"], False),
        (["...", "a"], True),
        (["b", "..."], True),
    ],
)
def test_a_quotation_is_found_in_order(quotation, shown):
    """Lines follow each other, unless `...` stands between them."""
    assert shows(["a", "b", "c"], quotation) is shown


def test_what_varies_is_not_compared():
    """Dates, commits, seconds and what is measured; everything else is."""
    printed = ["made 2026-11-23 19:55 UTC, 0123abc; 1.0e-03, threshold 1e-10; 99 of 148 values; 0.3 s"]

    assert shows(printed, ["made 2027-01-01 00:00 UTC, fedcba9; 1.0e-03, threshold 2.5e-12; 3 of 148 values; 12.1 s"])
    assert not shows(printed, [printed[0].replace("1.0e-03", "1.1e-03")])
    assert not shows(printed, [printed[0].replace("148", "149")])


def test_the_reference_is_what_the_code_says():
    """`python -m tests.docs.reference > docs/reference.md` after a change of options, fixtures, commands or calls."""
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference.page()


def test_the_workflows_of_the_guide_name_what_the_actions_have():
    """Each action is one of ours, and all that it is given are inputs of it."""
    workflows = [load(io.StringIO(text)) for kind, text in blocks(ROOT / "docs" / "ci.md") if kind == "yaml"]
    steps = [step for workflow in workflows for job in workflow["jobs"].values() for step in job["steps"]]
    used = [(found[1], {*step.get("with", {})}) for step in steps if (found := OURS.search(step["uses"]))]

    assert [action for action, _ in used] == ["gate", "comment", "gate", "verdict"]
    assert {name for _, names in used for name in names} == {"install", "shard", "artifact"}
    for action, names in used:
        assert names <= load(ROOT / ".github" / "actions" / action / "action.yml")["inputs"].keys()


def links(page):
    """Targets of links and pictures outside of code."""
    text = re.sub(r"^```.*?^```$|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page):
    """Anchors of a page's headings, as the places that host code make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """Files and headings of this repository are there; other addresses are ones."""
    for target in links(page):
        if "://" in target:
            assert re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/\S*)?", target), target
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_guide_and_picture_is_reached():
    """The README has a line for each guide; a picture that no page shows is in nobody's way."""
    shown = {(page.parent / target).resolve() for page in PAGES for target in links(page) if "://" not in target}

    assert {*GUIDES} <= {(ROOT / target).resolve() for target in links(README)}
    assert {*(ROOT / "docs" / "pictures").iterdir()} <= shown


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "pictures").iterdir()), ids=name_of)
def test_pictures_are_small(path):
    """Whoever clones the repository pays for them."""
    assert path.stat().st_size < 100_000


EXTRAS = ("hypothesis", "xdist", "pytest_rerunfailures", "lightning", "transformers", "accelerate", "ignite")


def test_the_gate_is_collected_without_any_extra():
    """The first command block of "Try it" installs none, so that nothing on the gate's way may import one."""
    program = (
        f"import sys, pytest\nsys.modules.update(dict.fromkeys({EXTRAS}))\n"  # None: importing it fails
        "sys.exit(pytest.main(['--collect-only', '-q', '--mpl', '-p', 'pytest_mpl.plugin', '-p', 'harness.plugin']))"
    )
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/gate/test_shipped_recipes.py" in done.stdout


def test_ci_runs_the_test_command_of_the_readme():
    """What contributors are told to run is what CI runs."""
    gate, tests = [text for language, text in blocks(README) if language == "sh" and ".venv" in text]
    ours = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    for command in tests.strip().split(" && "):
        assert command.replace("--quiet ", "").replace(".venv", ".ci-venv").split()[-1] in ours
    workflow = (ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
    assert ".ci-venv/bin/pytest --mpl -n auto tests" in ours
    assert "run: pytest --mpl -n auto tests" in workflow
    assert tests.strip().endswith(".venv/bin/pytest --mpl -n auto tests")
    assert gate.strip().endswith(".venv/bin/pytest --mpl")


def test_every_dependency_has_its_reason_in_the_readme():
    """Each distribution that pyproject.toml asks for stands in the table of dependencies."""
    project_table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for group in project_table["optional-dependencies"].values() for name in group]
    text = README.read_text(encoding="utf-8")
    table = text[text.index("## Dependencies") :]
    for requirement in [*project_table["dependencies"], *extras]:
        assert re.match(r"[\w-]+", requirement).group() in table


def test_every_name_of_ours_begins_with_our_word():
    """An option or ini name of any other could be a project's own."""
    for method in ("addoption", "addini"):
        for name, _ in reference.pytest_options(method):
            assert name.removeprefix("--").startswith("training"), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_have_short_lines(page):
    """Prose is wrapped at 120 columns; tables and output are not."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert not [line for line in text.splitlines() if len(line) > 120 and not line.startswith("|")]


@pytest.mark.parametrize("page", [README, ROOT / ".github" / "CONTRIBUTING.md"], ids=name_of)
def test_what_is_read_first_is_short(page):
    """It is read before the first run, or before the first change, or not at all."""
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 150


def test_every_figure_is_in_its_guide():
    """Those of a record with a phrase each; two that show the same of two things share one."""
    guide = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    for name in figures.OF_A_RECORD:
        assert re.search(rf"`{name}`(, `\w+`)? \(", guide), name
    for name in set(figures.__all__) - {*figures.OF_A_RECORD, "OF_A_RECORD"}:
        assert f"`{name}(" in guide
