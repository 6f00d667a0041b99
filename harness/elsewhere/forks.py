"""Script, never imported: runs pytest again and again, each time in a fresh copy of a process that holds torch already.

Importing torch and its compiler takes seconds, copying a process milliseconds. Started by path, because pytest has to
be the first to import the harness. It reads a request a line (JSON: what `_run` takes) and answers with the line
"ended" when that run has ended; other lines are modules' own, and warnings.
"""

import contextlib
import importlib
import json
import os
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence


_SLOW_TO_IMPORT = ("torch._dynamo", "matplotlib.pyplot", "hypothesis")
"""What a run imports sooner or later: the first optimizer torch's compiler, plugins the others."""


def serve(module: str) -> None:
    """Answer requests to run a module until there are no more."""
    for name in (module, *_SLOW_TO_IMPORT):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        process = os.fork()
        if not process:
            _run(module, **json.loads(line))
        os.waitpid(process, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


def _run(module: str, arguments: Sequence[str], directory: str, variables: Mapping[str, str], output: str) -> None:
    """Run the module in this copy of the process, in a directory and with variables of its own, and end it."""
    os.chdir(directory)
    sys.path.insert(0, directory)  # as `python -m` has it
    os.environ.clear()
    os.environ.update(variables)
    for stream, place, mode in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY), (2, output, os.O_WRONLY)):
        os.dup2(os.open(place, mode | os.O_CREAT | os.O_APPEND), stream)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__")
    except SystemExit:
        pass
    except BaseException:  # whatever it is, the session that asked shows it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
