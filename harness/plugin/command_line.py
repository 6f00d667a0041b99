"""The command line that a session was started with, and that of a process which runs one of its tests again."""

from pathlib import Path

import pytest


_OVERRIDES = ("--maxfail=0", "--tb=short", "--color=no", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The warning is of modules that the prepared process has imported, under filterwarnings = error."""


def command_line(config: pytest.Config) -> tuple[list[str], str]:
    """Return the arguments that pytest was started with, and where; a worker has them from its controller."""
    if hasattr(config, "workerinput"):
        args, directory = config.workerinput["training_regression"]
        return args, directory
    return [*map(str, config.invocation_params.args)], str(config.invocation_params.dir)


def rerun_arguments(config: pytest.Config, folder: Path) -> list[str]:
    """Return the arguments of a rerun whose files go to a folder, apart from this session's."""
    arguments = [*command_line(config)[0], *_OVERRIDES, f"--basetemp={folder / 'tmp'}"]
    if config.pluginmanager.hasplugin("cacheprovider"):
        arguments += ["-o", f"cache_dir={folder / 'cache'}"]
    if config.pluginmanager.hasplugin("xdist"):
        arguments.append("-n0")
    if config.getoption("xmlpath", None):
        arguments.append(f"--junit-xml={folder / 'junit.xml'}")
    return arguments
