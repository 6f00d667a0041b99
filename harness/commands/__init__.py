"""The console script `harness`: what to do with baselines beside running pytest."""

import argparse
import io
import sys
from collections.abc import Sequence

from harness.commands import accept, diff, doctor, listing, report
from harness.errors import HarnessError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default this process's; return 0, 1 if something was refused, 2 for a wrong line."""
    parser = argparse.ArgumentParser(prog="harness", description="Baselines of trainings.")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    for command in (listing, diff, report, accept, doctor):
        command.add(subparsers)
    given = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a file may hold what a terminal cannot show
    try:
        status: int = given.run(given)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return status
