"""Script, never imported: runs pytest with the harness that it belongs to, in whatever tree.

Given a module alone, it runs that again and again, each time in a fresh copy of a process that holds torch already:
importing torch and its compiler takes seconds, copying a process milliseconds. It reads a request a line (JSON: what
`_run` takes) and answers with the line "ended" when that run has ended; other lines are modules' own, and warnings.
Given arguments, too, it runs the module with them, once.
"""

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path


_SLOW_TO_IMPORT = (
    *("torch._dynamo", "matplotlib.pyplot", "hypothesis"),
    *("harness.plugin.regression", "harness.shipped.loop", "harness.recording.recorder"),
)
"""What a run imports sooner or later: the first optimizer torch's compiler, plugins the others, tests ours."""


def serve(module: str) -> None:
    """Answer requests to run a module until there are no more."""
    for name in (module, *_SLOW_TO_IMPORT):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a million objects, none of them garbage: looking through them would take each copy a second
    for line in sys.stdin:
        process = os.fork()
        if not process:
            _run(module, **json.loads(line))
        _, status = os.waitpid(process, 0)
        if status:
            _tell(json.loads(line)["output"], os.waitstatus_to_exitcode(status))
        sys.stdout.write("ended\n")
        sys.stdout.flush()


def _tell(output: str, status: int) -> None:
    """Say behind what a run printed how it ended: another way than by its own."""
    from harness.elsewhere.endings import ending

    with contextlib.suppress(OSError), Path(output).open("a", encoding="utf-8") as file:  # else nobody waits for it
        file.write(f"\nthe process of this run: {ending(status)}\n")


def _bring_harness() -> None:
    """Import the harness that this file belongs to: another commit's tree, first on the path, may hold one, too."""
    home = Path(__file__).parents[1] / "__init__.py"
    spec = importlib.util.spec_from_file_location("harness", home, submodule_search_locations=[str(home.parent)])
    assert spec is not None, "it is a Python file"
    assert spec.loader is not None, "it is a Python file"
    sys.modules["harness"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _run(module: str, arguments: Sequence[str], directory: str, variables: Mapping[str, str], output: str) -> None:
    """Run the module in this copy of the process, in a directory and with variables of its own, and end it."""
    try:
        for stream, place, mode in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY), (2, output, os.O_WRONLY)):
            os.dup2(os.open(place, mode | os.O_CREAT | os.O_APPEND), stream)
        os.chdir(directory)
        sys.path.insert(0, directory)  # as `python -m` has it
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__")
    except SystemExit:
        pass
    except BaseException:  # whatever it is, the session that asked shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    _bring_harness()
    if len(sys.argv) > 2:
        sys.argv = sys.argv[1:]
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        serve(sys.argv[1])
