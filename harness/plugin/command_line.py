"""The command line of a session, and those of the sessions that it starts: again, in a tree, on another machine."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.elsewhere.kept import surroundings
from harness.elsewhere.trees import Tree
from harness.errors import SuiteError


_OVERRIDES = ("--maxfail=0", "--tb=short", "--color=no", "-W", "ignore::pytest.PytestAssertRewriteWarning")
"""The warning is of modules that the prepared process has imported, under filterwarnings = error."""
_OF_PYTEST = tuple(
    f"--{name}"
    for name in (
        *("mpl", "training-", "maxfail", "exitfirst", "lf", "last-failed", "ff", "failed-first", "nf", "new-first"),
        *("sw", "stepwise", "tb", "color", "durations", "junit", "cov", "dist", "numprocesses", "tx", "deselect"),
        *("ignore", "rootdir", "config-file", "basetemp", "cache", "capture", "show", "no-", "verbos", "quiet", "pdb"),
        *("collect", "import-mode", "reruns", "log-", "strict", "splits", "group", "pyargs", "keep-duplicates"),
        *("setup-", "trace"),
    )
)
"""How options begin that change no training, or have a place of their own."""
_FACTS = ("training_device", "training_require_device", "training_setup")
"""Options of ours that change trainings."""


def from_controller(config: pytest.Config) -> Mapping[str, Any]:
    """Return what a worker of pytest-xdist has from its controller (`xdist.Workers`); empty in any other session."""
    found: Mapping[str, Any] = getattr(config, "workerinput", {}).get("training_regression", {})
    return found


def command_line(config: pytest.Config) -> tuple[list[str], str]:
    """Return the arguments that pytest was started with, and where; of a worker, those of its controller."""
    if given := from_controller(config):
        arguments, directory = given["command_line"]
        return arguments, directory
    return [*map(str, config.invocation_params.args)], str(config.invocation_params.dir)


def what_trains(config: pytest.Config) -> list[str]:
    """Return what of its command line and its variables a session's trainings may depend on."""
    facts = [str(getattr(config.option, name, "") or "") for name in _FACTS]
    return [surroundings(), *own_options(config), *facts]


def own_options(config: pytest.Config) -> list[str]:
    """Return the words of the command line that may be the project's own options: its conftest.py reads them."""
    words = [word for word in command_line(config)[0] if word.startswith("--")]
    return sorted(word for word in words if not word.startswith(_OF_PYTEST))


def refuse_beside(config: pytest.Config, refused: Mapping[str, str], error: Callable[..., SuiteError]) -> None:
    """Refuse options that another one leaves no room for; `refused` says where pytest keeps each."""
    for option, place in refused.items():
        if getattr(config.option, place, None):
            raise error(option=option)


def switch_off(config: pytest.Config, names: Iterable[str]) -> None:
    """Have a session go on as if it were not given some options, by where pytest keeps them."""
    for name in names:
        if hasattr(config.option, name):
            setattr(config.option, name, "" if name in ("keyword", "markexpr") else None)


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


def there(config: pytest.Config, tree: Tree, arguments: Sequence[str]) -> list[str]:
    """Return this session's arguments as they are meant in a tree: files of the user's checkout are those of the tree.

    What is to be collected is said in another way.
    """
    placed = [_placed(argument, tree, always=argument in config.args) for argument in arguments]
    inifile = config.inipath and tree.place(config.inipath)
    ini = ["--config-file", str(inifile)] if inifile and inifile.is_file() else []
    return [*placed, *ini, f"--rootdir={tree.place(config.rootpath)}", "--continue-on-collection-errors"]


def _placed(argument: str, tree: Tree, *, always: bool) -> str:
    """Return an argument with the tree's file in the place of the user's, if it is there, or always."""
    option, equals, value = argument.rpartition("=")
    path = Path(value)
    placed = tree.place(path) if path.is_absolute() else path
    return f"{option}{equals}{placed}" if placed != path and (always or placed.exists()) else argument
