"""`harness report`: the report anew, from what sessions left, here or in CI, as a page or for a pull request."""

import argparse
import json
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from harness.atomic_files import write
from harness.baselines.failed import explanation
from harness.commands.project import add_root, last_results
from harness.errors import ReportError
from harness.report.finding import Figure, Finding
from harness.report.json_form import Results, ordered, read, schema
from harness.report.ledger import Ledger, ledger_lines, missing_shards, united
from harness.report.run import united as united_runs


_RESULTS = "results.json"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "report",
        help="the HTML report anew, from what sessions left, here or in CI",
        description="Write the report of the last session anew, or one of what several sessions left, such as the "
        "artifacts of a CI matrix, and print a line a training.",
        epilog="example: harness report artifacts --output matrix.html --open",
    )
    what = f"a {_RESULTS}, or a folder with one or with several below it; default: build/harness of the last session"
    parser.add_argument("places", nargs="*", metavar="place", type=Path, help=what)
    where = "the page, or, if its name ends in .md, what a pull request is told; default: report.html beside the "
    where += "results; here, if there are several. Or, without a place, the folder that pytest was given with "
    where += "--training-output"
    parser.add_argument("--output", metavar="FILE", type=Path, help=where)
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    whole = "fail (exit status 1) unless these sessions together compared every baseline, and nothing failed"
    parser.add_argument("--strict", action="store_true", help=whole)
    parser.add_argument("--schema", action="store_true", help=f"print the JSON schema of {_RESULTS}, and nothing else")
    add_root(parser)
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    """Write the report and say what is in it."""
    if given.schema:
        print(json.dumps(schema(), indent=1))
        return 0
    from harness.report.html.page import page
    from harness.report.markdown import markdown
    from harness.report.session_text import cost_lines, findings_text, loosened_lines, trends

    left = given.output if not given.places and given.output and given.output.is_dir() else None
    files = [file for place in given.places or [left or last_results(given)] for file in _files(place)]
    sessions = [read(file) for file in files]
    results, pictures = _merged(files, sessions) if len(files) > 1 else _session(files[0], sessions[0])
    ledgers = [session.ledger for session in sessions]
    ledger, run = united(ledgers) if len(files) > 1 else ledgers[0], united_runs([each.run for each in sessions])
    output = (None if left else given.output) or (files[0].parent if len(files) == 1 else Path()) / "report.html"
    _write(output, markdown(results, ledger) if output.suffix == ".md" else page(results, pictures, ledger, run))
    beside = [*cost_lines(results), *ledger_lines(ledger), *loosened_lines(results), *trends(results)]
    print(findings_text(results), *beside, f"report: {output}", sep="\n")
    if given.open:
        webbrowser.open(output.resolve().as_uri())
    return _judge(results, ledgers) if given.strict else 0


def _judge(results: Sequence[Finding], ledgers: Sequence[Ledger]) -> int:
    """Say why sessions together are no proof, and return the exit status that says so, too."""
    whole = united(ledgers)
    left = [entry.baseline for entry in whole.baselines if entry.fate != "compared"]
    objections = {
        "shards are missing": missing_shards(ledgers),
        "no job compared these baselines": left,
        "no job's tests own these baselines: orphans, or of a job that is missing": whole.others,
        "sessions were red": whole.problems,
        "checks failed": [found.place for found in results if not found.passed],
    }
    for reason, names in objections.items():
        if names:
            print(ReportError.not_whole(reason=reason, names=names), file=sys.stderr)
    return int(any(objections.values()))


def _files(place: Path) -> list[Path]:
    """Return the results of a place: a file, a folder's own, or all below the folder; ReportError without any."""
    if place.is_file() or (place := place / _RESULTS).is_file():
        return [place]
    found = sorted(place.parent.rglob(_RESULTS))
    if not found:
        raise ReportError.missing(path=place.parent)
    return found


def _session(file: Path, session: Results) -> tuple[list[Finding], dict[str, bytes]]:
    """Return a session's results, and the pictures that lie beside them; results of others name no file elsewhere."""
    from harness.report.failed_pictures import shown

    results, place = [_explained(each, file.parent / "failed") for each in session.results], file.parent.resolve()
    found = shown(results, file.parent)
    return results, {name: data for name, data in found.items() if (place / name).resolve().is_relative_to(place)}


def _explained(found: Finding, failed: Path) -> Finding:
    """Return a finding with what `harness explain` said of it."""
    text = "" if found.passed else explanation(failed, found.baseline)
    return replace(found, text=f"{found.text}\n\n{text}") if text else found


def _merged(files: Sequence[Path], sessions: Sequence[Results]) -> tuple[list[Finding], dict[str, bytes]]:
    """Return the results of several sessions, each under the name of its folder."""
    common = os.path.commonpath([file.parent.resolve() for file in files])
    results: list[Finding] = []
    pictures: dict[str, bytes] = {}
    for file, session in zip(files, sessions, strict=True):
        label = os.path.relpath(file.resolve(), common).removesuffix(f"{os.sep}{_RESULTS}")
        found, images = _session(file, session)
        results += [_labelled(result, label) for result in found]
        pictures |= {f"{label}/{name}": data for name, data in images.items()}
    return ordered(results), pictures


def _labelled(found: Finding, label: str) -> Finding:
    """Return a finding that says which session it is of."""
    subject = found.subject
    if isinstance(subject, Figure):
        names = ("baseline", "result", "labelled_baseline", "labelled_result")
        paths = {name: f"{label}/{path}" for name in names if (path := getattr(subject, name))}
        subject = replace(subject, **paths, of=subject.of and f"{subject.of} in {label}")
    return replace(found, test=f"{found.test} in {label}", subject=subject)


def _write(output: Path, text: str) -> None:
    try:
        if output.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        write(output, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ReportError.unwritten(path=output, reason=error) from error
