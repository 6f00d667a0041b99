"""Lines that have changed and that no training ran: statements of Python files, and which lines tell that one ran."""

import ast
import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence, Set
from inspect import CO_OPTIMIZED
from types import CodeType
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct


_Line = Annotated[int, Meta(ge=1, lt=2**31)]
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_INNER = ast.stmt | ast.excepthandler | ast.match_case


class NeverRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a changed file no training ran, so that no baseline judges it.

    Args:
        path: from the project's root.
        lines: first and last of each part; empty if no training imported the file.
        doubt: what may have run them all the same; empty for nothing.
    """

    path: str
    lines: list[tuple[_Line, _Line]]
    doubt: str = ""


class Statement(NamedTuple):
    """A statement, without the block below it.

    Args:
        first: its first line, or that of its first decorator.
        last: its last line.
        proof: lines of which one runs whenever it does; of a function, those of its block.
    """

    first: int
    last: int
    proof: frozenset[int]

    def touches(self, lines: Set[int]) -> bool:
        """Tell whether some lines are among its own."""
        return not lines.isdisjoint(range(self.first, self.last + 1))


class Module(NamedTuple):
    """A Python file.

    Args:
        statements: those that do something, in order.
        heads: lines that may run when it is imported.
    """

    statements: list[Statement]
    heads: frozenset[int]


def module(source: bytes) -> Module:
    """Take a Python file apart; there is nothing in what is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree, code = ast.parse(source), compile(source, "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError):
        return Module([], frozenset())
    codes = [*_codes(code)]
    executable = _lines(codes)
    found = (_statement(node, executable) for node in _walk(tree.body))
    heads = _lines(each for each in codes if not each.co_flags & CO_OPTIMIZED)  # of no function
    return Module(sorted(statement for statement in found if statement.proof), heads)


def never_run(found: Sequence[Statement], changed: Set[int], ran: Set[int]) -> list[tuple[int, int]]:
    """Return the changed statements that did not run, first and last line; neighbours are one.

    Args:
        found: all statements of a file.
        changed: lines.
        ran: lines.
    """
    missing = (each.touches(changed) and each.proof.isdisjoint(ran) for each in found)
    groups = itertools.groupby(zip(found, missing, strict=True), key=lambda pair: pair[1])
    parts = ([each for each, _ in members] for is_missing, members in groups if is_missing)
    return [(part[0].first, max(each.last for each in part)) for part in parts]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _lines(codes: Iterable[CodeType]) -> frozenset[int]:
    return frozenset(line for code in codes for *_, line in code.co_lines() if line)


def _walk(block: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block, and of those below it, that do something."""
    for node in filter(_acts, block):
        yield node
        for inner in _blocks(node):
            yield from _walk(inner)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the blocks below a statement; what only a type checker reads is none."""
    test = getattr(node, "test", None)
    if "TYPE_CHECKING" not in (getattr(test, "id", ""), getattr(test, "attr", "")):
        yield getattr(node, "body", [])
    for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
        yield part.body
    yield from (getattr(node, name, []) for name in ("orelse", "finalbody"))


def _acts(node: ast.stmt) -> bool:
    """Tell whether a statement does anything: a docstring does not, nor does a function of nothing else."""
    if isinstance(node, _FUNCTIONS):
        return any(map(_acts, node.body))
    return not isinstance(node, ast.Pass) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _statement(node: ast.stmt, executable: frozenset[int]) -> Statement:
    children = [*ast.iter_child_nodes(node)]
    own = [each for child in children if not isinstance(child, _INNER) for each in ast.walk(child)]
    first = min([node.lineno, *(each.lineno for each in own if hasattr(each, "lineno"))])
    last = end = node.end_lineno or node.lineno
    if any(isinstance(child, _INNER) for child in children):
        last = max([node.lineno, *(getattr(each, "end_lineno", None) or 0 for each in own)])
    proof = range(node.body[0].lineno, end + 1) if isinstance(node, _FUNCTIONS) else range(first, last + 1)
    return Statement(first, last, executable.intersection(proof))
