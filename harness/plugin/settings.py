"""What one pytest session was asked for: options, ini options and the paths that follow from them."""

import contextlib
import os
import re
import shlex
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import scratch
from harness.atomic_files import check_writable, write
from harness.baselines.folder import named_folder, spelt_out, stated_folder
from harness.baselines.plain_files import is_within, link_in
from harness.elsewhere.sharing import own_folder
from harness.errors import NotFoundError, OutputError, SuiteError
from harness.plugin.command_line import command_line, from_controller
from harness.record.world import launched


if TYPE_CHECKING:
    from harness.explaining.git import Git
    from harness.plugin.against import Against


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    raise SuiteError.share(value=text)


class Settings:
    """Options and paths of one pytest session.

    Raises:
        SuiteError: an ini option holds what it cannot.
    """

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        self.config = config
        self.strict = bool(option("--training-strict") or config.getini("training_strict"))
        """Whether everything fails that leaves room for doubt: drift, what is not judged, orphans."""
        self.in_ci = bool(option("--training-ci"))
        """Whether this is a continuous integration's run, in which a gate must not be green without comparing."""
        self.demands_all = self.strict or self.in_ci
        """Whether a baseline that nobody checked fails."""
        self.seeds = int(option("--training-equivalence") or 0)
        """Seeds that trainings are judged by, or 0: a training is compared with its baseline, number by number."""
        self.slowest = float(option("--training-slower") or 0)
        """How many times what it took at another commit a step may take; 0 for any."""
        self.measures_power = bool(option("--training-gate-power"))
        """Whether standard faults are planted in every training."""
        self.least_power = _share(str(config.getini("training_gate_power_min") or 0))
        """Share of them that has to be caught."""
        self.verifies = bool(option("--training-verify"))
        """Whether what the thresholds of baselines come from is measured again."""
        self.only_missing = "missing" in (option("--training-generate") or ())
        """Whether existing baselines stay as they are while others are written."""
        self.adds_environment = "add" in (option("--training-generate") or ())
        """Whether low-precision baselines of other environments stay as they are, and this one's are added."""

    @property
    def comparing_figures(self) -> bool:
        """Whether pytest-mpl compares figures in this session."""
        return bool(self.config.getoption("--mpl", False))

    @property
    def shard(self) -> str:
        """Which part of the tests this job runs, as "1/4": by our option or pytest-split's; empty for all of them."""
        option = self.config.getoption
        others = f"{option('group', 0)}/{option('splits', 0)}" if option("splits", 0) else ""
        shard = str(option("--training-shard") or others)
        return "" if shard == "1/1" else shard

    @property
    def refuses_orphans(self) -> bool:
        """Whether a baseline that no test claims fails: its test may still be there, and be collected no more."""
        return self.demands_all and not self.generate_path

    @property
    def generate_path(self) -> Path | None:
        """Folder that this session writes baselines to, or None if it compares."""
        given = self.config.getoption("--mpl-generate-path", None)
        return None if given is None else spelt_out(self._here / given)

    @property
    def _here(self) -> Path:
        """Where pytest was started; a worker's controller, if it is one."""
        return Path(command_line(self.config)[1])

    @cached_property
    def output(self) -> Path:
        """Folder of all that a session leaves; a temporary one where none is given and the project is read-only."""
        if shared := from_controller(self.config):
            return Path(shared["output"])
        if given := self.config.getoption("--training-output"):
            return spelt_out(self._here / given / self._of_rank)
        usual = self._usual_output
        is_open = os.access(next(place for place in (usual, *usual.parents) if os.access(place, os.F_OK)), os.W_OK)
        return usual if is_open else scratch.new_path()

    @cached_property
    def launched(self) -> int:
        """How many ranks a launcher started that each are such a session; 0 for a session alone."""
        size = launched() if "LOCAL_RANK" in os.environ else 0
        return size if size > 1 else 0

    @cached_property
    def rank(self) -> int:
        """Which of these ranks it is: all but the first leave what they leave in folders of their own."""
        return int(os.environ.get("RANK", 0)) if self.launched else 0

    @property
    def _usual_output(self) -> Path:
        return self.config.rootpath / "build" / "harness" / self._of_rank

    @property
    def _of_rank(self) -> str:
        return f"rank{self.rank}" if self.rank else ""

    @property
    def output_option(self) -> list[str]:
        """What commands need to find what this session leaves."""
        usual = self.output == self._usual_output and not self.rank
        return [] if usual else ["--output", str(self.shown(self.output))]

    @property
    def is_makeshift(self) -> bool:
        """Whether what this session leaves is in a temporary folder, since the project cannot be written to."""
        return self.output != self._usual_output and not self.config.getoption("--training-output")

    def open_output(self) -> None:
        """Make the folder of what this session leaves, before any training; git is told to leave it alone.

        Raises:
            OutputError: it cannot be written to.
        """
        is_own = self.output == self._usual_output or not self.output.exists()  # else it is the user's
        check_writable(self.output, OutputError.of)
        ignore = self.output / ".gitignore"
        if is_own and not ignore.exists():
            write(ignore, b"*\n")

    def check_generating(self) -> None:
        """Check that baselines are written where they will be read, as far as that can be told, before any training.

        Raises:
            SuiteError: the folder's name is meant from another folder than the one that pytest was started in.
            BaselineWriteError: the folder cannot be written to.
        """
        if self.generate_path is None:
            return
        given, root, folder = self.config.getoption("--mpl-generate-path"), self.config.rootpath, self.read_baselines
        outside = not (Path(given).is_absolute() or is_within(self.generate_path, root))
        if self.generate_path != folder and (outside or spelt_out(root / given) == folder):
            wanted = os.path.relpath(folder, self._here)
            raise SuiteError.written_elsewhere(path=self.generate_path, read=folder, root=root, folder=wanted)
        check_writable(self.generate_path)

    @property
    def read_baselines(self) -> Path:
        """Folder that baselines are read from where this session's options are given again, but for writing."""
        return spelt_out(self._baselines)

    @cached_property
    def baselines(self) -> Path:
        """Folder of the baselines: pytest-mpl's, if it is given, or ours; ini paths are relative to the root.

        Raises:
            SuiteError: they are remote, or it is a link, or one of the session's results.
        """
        folder = self.generate_path or self._baselines
        self.require_own_place(folder)
        return Path(os.path.normpath(folder))

    def require_own_place(self, place: Path) -> None:
        """Refuse baselines that are read through a link, or lie among results: they could be held against themselves.

        Raises:
            SuiteError: it is such a place.
        """
        if link := link_in(place, self.config.rootpath):
            raise SuiteError.linked_folder(path=self.shown(link), target=link.readlink())
        for results in filter(None, (self.output, self._results)):
            if is_within(place, results):
                raise SuiteError.among_results(path=self.shown(place), results=self.shown(results))

    @property
    def _results(self) -> Path | None:
        """Folder that pytest-mpl was told to leave its results in, from where pytest was started."""
        given = self.config.getoption("--mpl-results-path", None) or self._ini("mpl-results-path")
        return Path(given).absolute() if given else None

    @cached_property
    def against(self) -> "Against | None":
        """The commit that this session is held against; None if baselines are stored.

        Raises:
            SuiteError: another option says where baselines come from.
            TreeError: there is no such commit.
        """
        if not self.config.getoption("--training-against"):
            return None
        from harness.plugin.against import Against

        given = self.cifar10 or ""
        return Against.of(self.config, given if given in ("", "download") else str(self._here / given))

    @property
    def _baselines(self) -> Path:
        if self.against:
            return self.against.kept.folder
        option = self.config.getoption("--mpl-baseline-path", None)
        if option and re.match("https?://", option):
            raise SuiteError.remote_baselines(path=option)
        if option:
            return Path(option).absolute()
        ini = str(self.config.getini("training_baselines") or "")
        return named_folder(self.config.rootpath, ini, self._ini("mpl-baseline-path"))

    def _ini(self, name: str) -> str:
        """Return an ini option of pytest-mpl, if it is there."""
        return str(self.config.getini(name) or "") if self.config.pluginmanager.hasplugin("pytest_mpl") else ""

    @property
    def failed(self) -> Path:
        """Folder of the results that differ from their baselines."""
        return self.output / "failed"

    @cached_property
    def figures(self) -> Path:
        """Folder of pytest-mpl's pictures of this session, empty at first."""
        folder = self._own("figures")
        if not from_controller(self.config):
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier session
        return folder

    def _own(self, name: str) -> Path:
        """Return a folder that no other session writes to; a worker has it from the session that started it."""
        if shared := from_controller(self.config):
            return Path(shared[name])
        return own_folder(self.output / name, self.config.add_cleanup)

    @cached_property
    def origin(self) -> dict[str, str]:
        """Where the results of this session come from; asked before the first baseline is written."""
        from harness.baselines.origin import command_text, origin

        arguments, here = command_line(self.config)
        reason = str(self.config.getoption("--training-reason") or "")
        return origin(self.config.rootpath, command_text("pytest", arguments, Path(here)), reason)

    @cached_property
    def git(self) -> "Git":
        """What git knows of the project."""
        from harness.explaining.git import Git

        return Git(self.config.rootpath)

    @cached_property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard runs."""
        option = self.config.getoption("--training-tensorboard")
        return Path(option).absolute() if option else self._own("tensorboard")

    @property
    def history(self) -> Path | None:
        """File with the margins of past runs, if they are kept: those of other commits are no trend."""
        ini = self.config.getini("training_history")
        return self.config.rootpath / ini if ini and not self.against else None

    @property
    def cifar10(self) -> str | None:
        """Where CIFAR-10 is, from the command line, the environment or the ini file."""
        if given := self.config.getoption("--training-cifar10") or os.environ.get("HARNESS_CIFAR10"):
            return str(given)
        ini: str = self.config.getini("training_cifar10")
        return str(self.config.rootpath / ini) if ini and ini != "download" else ini or None

    def accept_command(self, name: str = "", baselines: Path | None = None) -> str:
        """Return the command line that accepts one result that is kept, or all, from where pytest was started.

        It names the folder of the baselines where the project's ini file does not: the command goes by nothing else.
        """
        root, here = self.config.rootpath, self.config.invocation_params.dir
        given = spelt_out(baselines or self.baselines)
        words = ["harness", "accept", *([name] if name else [])]
        if not here.is_relative_to(root) or (self.output_option and here != root):  # elsewhere nothing tells the root
            words += ["--root", os.path.relpath(root, here)]
        if given != self._stated:
            words += ["--baselines", os.path.relpath(given, here)]
        words += self.output_option
        return f'{shlex.join(words)} --reason "..."'

    @cached_property
    def _stated(self) -> Path | None:
        """Folder of the baselines by the ini file alone; None if that cannot be read, though pytest could."""
        try:
            return spelt_out(stated_folder(self.config.rootpath))
        except NotFoundError:
            return None

    def shown(self, path: Path) -> Path:
        """Return a path as people here would type it: relative to where pytest was started, if below it."""
        here = self.config.invocation_params.dir
        return path.relative_to(here) if path.is_relative_to(here) else path
