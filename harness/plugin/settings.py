"""What the command line, the variables and the ini file ask of a session, and where its files are."""

import os
import re
import shutil
from functools import cached_property
from pathlib import Path

import pytest

from harness.errors import RemoteBaselineError
from harness.plugin.locks import own_folder
from harness.plugin.rerun import command_line


__all__ = ["Settings"]


class Settings:
    """Options and paths of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.output = config.rootpath / "build" / "harness"

    @property
    def comparing_figures(self) -> bool:
        """Whether pytest-mpl compares figures in this session."""
        return bool(self.config.getoption("--mpl", False))

    @property
    def strict(self) -> bool:
        """Whether drift fails: under pytest's own --strict, an ini option since pytest 9."""
        try:
            return bool(self.config.getini("strict"))
        except ValueError:
            return bool(self.config.getoption("strict", False))

    @property
    def seeds(self) -> int:
        """Seeds that trainings are judged by, or 0: a training is compared with its baseline, number by number."""
        return int(self.config.getoption("--equivalence") or 0)

    @property
    def measures_power(self) -> bool:
        """Whether standard faults are planted in every training."""
        option = self.config.getoption
        return bool(option("--gate-power")) or option("--gate-power-min") is not None

    @property
    def least_power(self) -> float:
        """Share of the planted faults that has to be caught."""
        return float(self.config.getoption("--gate-power-min") or 0.0)

    @property
    def only_missing(self) -> bool:
        """Whether existing baselines stay as they are while others are written."""
        return bool(self.config.getoption("--only-missing"))

    @property
    def adds_environment(self) -> bool:
        """Whether low-precision baselines of other environments stay as they are, and this one's are added."""
        return bool(self.config.getoption("--add-environment"))

    @property
    def generate_path(self) -> Path | None:
        """Folder that this session writes baselines to, or None if it compares."""
        path = getattr(self.config.option, "training_generate_path", None)
        return Path(path) if path else None

    @cached_property
    def baselines(self) -> Path:
        """Folder of the baselines: pytest-mpl's, if it is given, or ours; ini paths are relative to the root."""
        if self.generate_path:
            return self.generate_path
        option = self.config.getoption("--mpl-baseline-path", None)
        if option and re.match("https?://", option):
            raise RemoteBaselineError(path=option)
        if option:
            return Path(option).absolute()
        ini = self.config.getini("training_baselines") or self._ini("mpl-baseline-path") or "baselines"
        return self.config.rootpath / ini

    def _ini(self, name: str) -> str:
        """Return an ini option of pytest-mpl, if it is there and no URL."""
        if not self.config.pluginmanager.hasplugin("pytest_mpl"):
            return ""
        value = str(self.config.getini(name) or "")
        return "" if re.match("https?://", value) else value

    @property
    def failed(self) -> Path:
        """Folder of the results that differ from their baselines."""
        return self.output / "failed"

    @cached_property
    def figures(self) -> Path:
        """Folder of pytest-mpl's pictures of this session, empty at first."""
        folder = self._own("figures")
        if not hasattr(self.config, "workerinput"):
            shutil.rmtree(folder, ignore_errors=True)  # of an earlier session
        return folder

    def _own(self, name: str) -> Path:
        """Return a folder that no other session writes to; a worker has it from the session that started it."""
        if hasattr(self.config, "workerinput"):
            return Path(self.config.workerinput[f"training_regression_{name}"])
        return own_folder(self.output / name, self.config.add_cleanup)

    @cached_property
    def provenance(self) -> dict[str, str]:
        """Where the results of this session come from; asked before the first baseline is written."""
        from harness.provenance import command_text, provenance

        arguments, here = command_line(self.config)
        reason = str(self.config.getoption("--training-reason") or "")
        return provenance(self.config.rootpath, command_text("pytest", arguments, Path(here)), reason)

    @cached_property
    def tensorboard(self) -> Path:
        """Folder of the TensorBoard runs."""
        option = self.config.getoption("--tensorboard")
        return Path(option).absolute() if option else self._own("tensorboard")

    @property
    def history(self) -> Path | None:
        """File with the margins of past runs, if they are kept."""
        if option := self.config.getoption("--training-history"):
            return Path(option).absolute()
        ini = self.config.getini("training_history")
        return self.config.rootpath / ini if ini else None

    @property
    def cifar10(self) -> str | None:
        """Where CIFAR-10 is, from the command line, the environment or the ini file."""
        if given := self.config.getoption("--cifar10") or os.environ.get("HARNESS_CIFAR10"):
            return str(given)
        ini: str = self.config.getini("cifar10")
        return str(self.config.rootpath / ini) if ini and ini != "download" else ini or None

    def shown(self, path: Path) -> Path:
        """Return a path as people here would type it: relative to where pytest was started, if below it."""
        here = self.config.invocation_params.dir
        return path.relative_to(here) if path.is_relative_to(here) else path
