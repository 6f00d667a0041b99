"""Gate a small project with the wheel instead of the checkout: `python -m tests.packaged [WHEEL]`.

The wheel is built from a copy of the sources, so that the checkout stays as it was; before a release, the one that will
be published is given. It is installed into an environment of its own. That borrows what pip would install beside it,
and no extra, from the environment that runs this: it costs seconds, and no download but the build's own.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.projects import FAULT, GATE


ROOT = Path(__file__).parents[1]
SOURCES = ("harness", "pyproject.toml", "README.md", "LICENSE")
"""All that the wheel is built from."""

HEADLINE = "training differs from its baseline from the start: structure, learning_rate of the configuration"

PROBE = """
from importlib.metadata import distribution
import harness
print(harness.__file__, distribution("pytest-training-regression").locate_file("harness/__init__.py"), sep="\\n")
"""
"""Prints where the harness is, and where its metadata, the first that are found, say that it is."""


def main(given: Path | None = None) -> None:
    """Build, install, gate; end with a message where something is not as it should be.

    Args:
        given: the wheel; without one, it is built.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        sources, project = scratch / "sources", scratch / "project"
        _copy(sources)
        wheel = given.resolve() if given else _built(sources, scratch / "wheel")
        if wrong := differing(wheel, sources):
            raise SystemExit(f"{wheel.name} and the sources differ in: {', '.join(wrong)}")
        environment = Environment(scratch / "environment", wheel)
        project.mkdir()
        environment.probe(project)
        print(f"{wheel.name} is installed, {time.perf_counter() - began:.1f} s", flush=True)
        _gate(environment, project)


def _copy(folder: Path) -> None:
    """Copy the sources: what lies in `build` from former builds would get into the wheel."""
    folder.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, folder)


def _built(sources: Path, folder: Path) -> Path:
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sources], sources)
    (wheel,) = folder.glob("*.whl")
    return wheel


def differing(wheel: Path, sources: Path) -> list[str]:
    """Return the files that are in the package and not in its wheel, or the other way round.

    Args:
        wheel: that was built.
        sources: folder that it was built from.
    """
    files = {str(path.relative_to(sources).as_posix()) for path in (sources / "harness").rglob("*") if path.is_file()}
    files = {file.removeprefix("harness/entry/") for file in files}  # which is no folder of the package
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    return sorted(files ^ packed)


def needed(requirements: Iterable[str]) -> list[metadata.Distribution]:
    """Return all that pip would install for some requirements; what is not installed is left to `pip check`.

    Args:
        requirements: as metadata hold them.
    """
    found: dict[tuple[str, str], metadata.Distribution] = {}
    pending = [(text, "") for text in requirements]
    while pending:
        text, asking = pending.pop()
        one = Requirement(text)
        if one.marker and not one.marker.evaluate({"extra": asking}):
            continue
        for extra in {"", *one.extras} - {extra for name, extra in found if name == one.name}:
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[one.name, extra] = metadata.distribution(one.name)
                pending += [(text, extra) for text in found[one.name, extra].requires or ()]
    return list(found.values())


class Environment:
    """A virtual environment with a wheel, and with what the wheel needs borrowed from the one that runs this.

    Args:
        folder: where to make it.
        wheel: the only distribution of its own.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, symlinks=os.name != "nt")
        paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
        self._own, self._scripts = Path(paths["purelib"]), Path(paths["scripts"])
        pip = [sys.executable, "-m", "pip", "--python", str(folder)]
        # before there is anything to borrow, where pip could find the checkout's own installation and be content
        _run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], folder)
        self._borrow(folder / "borrowed")
        _run([*pip, "check"], folder)

    def _borrow(self, folder: Path) -> None:
        """Link the packages into a folder that a .pth file puts last on the path; .pth files in there are not read."""
        folder.mkdir()
        (own,) = metadata.distributions(path=[str(self._own)])
        for one in needed(own.requires or ()):
            for name in {path.parts[0] for path in one.files or ()} - {"..", "__pycache__"}:
                if not (folder / name).exists():
                    (folder / name).symlink_to(one.locate_file(name))
        (self._own / "borrowed.pth").write_text(str(folder), encoding="utf-8")

    def run(self, script: str, *arguments: str, folder: Path, status: int = 0) -> str:
        """Run a script of the environment and return what it prints.

        Args:
            script: its name.
            *arguments: of it.
            folder: where.
            status: how it has to end.
        """
        return _run([self._scripts / script, *arguments], folder, status)

    def probe(self, folder: Path) -> None:
        """Check that the harness and its metadata are the wheel's."""
        found = self.run("python", "-c", PROBE, folder=folder).split("\n")[:-1]
        if found != [str(self._own / "harness" / "__init__.py")] * 2:
            raise SystemExit(f"harness is not the wheel's, in {self._own}: it is imported, or found, at {found}")


def _gate(environment: Environment, folder: Path) -> None:
    """Generate, compare and fail; the files that are no Python are used on the way."""
    test = folder / "test_small.py"
    test.write_text(GATE, encoding="utf-8")
    _pytest(environment, folder, "--mpl-generate-path=baselines", 0, "2 passed")
    _pytest(environment, folder, "--mpl", 0, "2 compared")
    test.write_text(GATE.replace(*FAULT), encoding="utf-8")
    _pytest(environment, folder, "--mpl", 1, HEADLINE)
    if not (folder / "build" / "harness" / "report.html").is_file():
        raise SystemExit("the failure has left no report.html")
    environment.run("harness", "accept", "--reason=a wanted change", folder=folder)


def _pytest(environment: Environment, folder: Path, option: str, status: int, text: str) -> None:
    began = time.perf_counter()
    printed = environment.run("python", "-m", "pytest", option, folder=folder, status=status)
    if text not in printed:
        raise SystemExit(f"pytest {option} does not print {text!r}:\n{printed}")
    print(f"pytest {option}: exit {status}, {text!r}, {time.perf_counter() - began:.1f} s", flush=True)


def _run(command: Sequence[str | Path], folder: Path, status: int = 0) -> str:
    out, both = subprocess.PIPE, subprocess.STDOUT
    try:
        done = subprocess.run(command, cwd=folder, env=_variables(), text=True, check=False, stdout=out, stderr=both)
    except OSError as error:
        raise SystemExit(f"{command[0]} cannot be started: {error}") from error
    if done.returncode != status:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}, not {status}:\n{done.stdout}")
    return done.stdout


def _variables() -> dict[str, str]:
    """Return the environment variables without those that lead to the checkout, or change what a session does."""
    changing = ("CI", "GITHUB_", "HARNESS_", "PYTEST_", "PYTHON")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(changing)}
    return {**kept, "CUDA_VISIBLE_DEVICES": ""}  # "2 compared" is for one device


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
