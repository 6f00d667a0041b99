"""Results of sessions, read back: from here, or from anywhere, so whatever no session writes is refused."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from harness.errors import ResultsCorruptError, ResultsMissingError
from harness.results.parts import FORMAT, Curve, Profile, Result


__all__ = ["read"]

_LARGEST_FILE = 256 * 2**20
"""Bytes; 1,000 trainings with all their curves are 100 MB."""
_LARGEST_COUNT = 2**53
"""Whole numbers up to here are exact as floating-point numbers, which charts are drawn with."""
_PARALLEL: dict[Any, tuple[tuple[str, ...], ...]] = {
    Curve: (("baseline_steps", "baseline"), ("steps", "values")),
    Profile: (("steps", "sizes", "thresholds"),),
}
"""Lists of a part that have an entry each for the same steps."""


def read(file: Path) -> list[Result]:
    """Return the results that a session left.

    Args:
        file: results.json.

    Raises:
        ResultsMissingError: it is not there.
        ResultsCorruptError: it holds no results, or none of this version.
    """
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise ValueError("it is larger than 256 MiB")
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refused)
        return _results(content)
    except FileNotFoundError as error:
        raise ResultsMissingError(path=file) from error
    except OSError as error:
        raise ResultsCorruptError(path=file, reason=error.strerror or error) from error
    except (ValueError, RecursionError) as error:
        raise ResultsCorruptError(path=file, reason=error) from error


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _results(content: Any) -> list[Result]:
    if not isinstance(content, dict) or content.keys() != {"format", "results"}:
        raise ValueError("it has not the parts format and results")
    if content["format"] != FORMAT:
        raise ValueError(f"it is of format {_shown(content['format'])}, and this version reads {FORMAT}")
    if problem := _problem(content["results"], list[Result], "results"):
        raise ValueError(problem)
    if not content["results"]:
        raise ValueError("it holds no result")
    return cast(list[Result], content["results"])


def _problem(value: Any, kind: Any, place: str) -> str:
    """Say how a value departs from its annotation in `parts`; empty if it does not."""
    if get_origin(kind) in (Union, UnionType):
        problems = [_problem(value, one, place) for one in get_args(kind)]
        return "" if "" in problems else problems[0]
    if get_origin(kind) is list and isinstance(value, list):
        (item,) = get_args(kind)
        return _first(_problem(entry, item, f"{place}[{number}]") for number, entry in enumerate(value))
    if is_typeddict(kind) and isinstance(value, dict):
        return _part_problem(value, kind, place)
    return "" if _fits(value, kind) else f"{place} is {_shown(value)}"


def _part_problem(value: dict[str, Any], kind: Any, place: str) -> str:
    parts = get_type_hints(kind)
    if odd := sorted(value.keys() ^ parts.keys()):
        return f"{place}.{odd[0]} is {'unknown' if odd[0] in value else 'missing'}"
    if problem := _first(_problem(value[name], part, f"{place}.{name}") for name, part in parts.items()):
        return problem
    uneven = any(len({len(value[name]) for name in names}) > 1 for names in _PARALLEL.get(kind, ()))
    return f"{place} has lists of different lengths" if uneven else ""


def _first(problems: Iterable[str]) -> str:
    return next(filter(None, problems), "")


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a plain value is of its kind; a bool is no number, an infinite number has a name instead."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    if kind is int:
        return type(value) is int and 0 <= value < _LARGEST_COUNT
    return type(value) is kind


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
