"""A page of the documentation as a story in one project: its blocks are run, and print what is quoted.

- A block whose first line is a comment with a path is that file.
- Another `python` block is a program.
- `sh` are commands, each of which succeeds.
- `console` are commands after `$` and what they print; a line `...` stands for any lines.

Blocks in an HTML comment are not shown, but run. Every page but the README begins in the project of the README.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.commands import main


ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))

SETTINGS = """[tool.pytest.ini_options]
pythonpath = ["."]
training_baselines = "baselines"
"""
"""Of the project of the README."""  # <!-- init --> writes it

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_PATH = re.compile(r"# ([\w./-]+\.\w+)\n")
_ELSEWHERE = ("pip", "python3 -m venv", "gh", "tensorboard")
"""What needs the network, or does not end."""

_WHERE = f"  {'where':<9}  "
"""Begins the line of a fault."""

_VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "DATE"),
    (r"\b[0-9a-f]{7,40}\b", "COMMIT"),
    (r"\b\d+\.\d+ ?s\b", "SECONDS"),
    (r"largest deviation \(\S+\)", "DEVIATION"),  # of rounding
    (r"threshold \d\S+", "THRESHOLD"),  # are measured, which the suite spares itself, and so are
    (r"\d[\d ]* of (?=[\d ]+ values)", "N of "),  # how many values are beyond them
)


def blocks(page):
    """Language and text of every fenced block of a page, in order."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def quoted(line):
    """A line of output without what is another in each session or on each machine."""
    for pattern, word in _VARYING:
        line = re.sub(pattern, word, line)
    return line.rstrip()


def shows(printed, quotation):
    """Tell whether printed lines hold the quoted ones: those between two `...` one below the other, and in order."""
    lines, start = [quoted(line) for line in printed], 0
    for part in re.split(r"^\s*\.\.\.$", "\n".join(map(quoted, quotation)), flags=re.MULTILINE):
        wanted = part.strip("\n").split("\n")
        found = (i for i in range(start, len(lines)) if lines[i : i + len(wanted)] == wanted)
        start = next(found, -1) + len(wanted) if wanted != [""] else start
        if start < len(wanted) and wanted != [""]:
            return False
    return True


class Story:
    """Runs the blocks of pages in a project.

    Args:
        project: of tests/plugin/conftest.py; its folder is the present one.
        traces: whether baselines measure their thresholds and keep operations; else the line of a fault is passed over.
    """

    def __init__(self, project, *, traces=False):
        self._project, self._traces = project, traces

    def tell(self, page):
        """Run every block of a page; a guide begins with the files of the README."""
        if page != README:
            self.write_files(README)
        for language, text in blocks(page):
            if path := _PATH.match(text):
                self.write(path[1], text[path.end() :])
            else:
                getattr(self, f"_{language}")(text)  # a block of another language is one that nothing checks

    def write_files(self, page):
        """Write the files of a page, and run nothing."""
        for _, text in blocks(page):
            if path := _PATH.match(text):
                self.write(path[1], text[path.end() :])

    def write(self, name, text):
        """Write a file of the project."""
        path = self._project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _python(self, text):
        self.write("program.py", text)
        status, printed = self._run("python program.py")
        assert status == 0, "\n".join(printed)

    def _sh(self, text):
        for line in filter(None, text.splitlines()):
            status, printed = self._run(line)
            assert status == 0, f"{line}\n" + "\n".join(printed)

    def _console(self, text):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, *quotation = part.rstrip("\n").split("\n")
            _, printed = self._run(line)
            told = [[text for text in texts if self._tells(text)] for texts in (printed, quotation)]
            assert shows(*told), f"{line}\n" + "\n".join(printed)

    def _tells(self, text):
        return self._traces or not text.startswith(_WHERE)

    def _run(self, line):
        """Run a command line; return its exit status and the lines that it printed."""
        if line.startswith(_ELSEWHERE):
            return 0, []
        words = shlex.split(line, comments=True)
        with pytest.MonkeyPatch.context() as patch:
            while "=" in words[0]:
                patch.setenv(*words.pop(0).split("=", 1))
            known = {"pytest": self._pytest, "harness": self._harness, "python": self._program}
            status, printed = known.get(words[0], self._shell)(line, words[1:])
        return status, [text.replace(f"{self._project.path}{os.sep}", "") for text in printed]

    def _pytest(self, _, words):
        result = self._project.run(*words)
        return result.ret, [*result.outlines, *result.errlines]

    def _harness(self, _, words):
        return _captured(lambda: main(words))

    def _program(self, _, words):
        before = {*sys.modules}
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(self._project.path)
            patch.setattr("sys.argv", words)
            found = _captured(lambda: runpy.run_path(words[0], run_name="__main__") and 0)
        for name in {*sys.modules} - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(self._project.path)):
                del sys.modules[name]  # the next program may be another
        return found

    def _shell(self, line, _):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).splitlines()


def _captured(call):
    """Return a status and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            status = call()
        except SystemExit as end:
            status = end.code or 0
    return status, printed.getvalue().splitlines()
