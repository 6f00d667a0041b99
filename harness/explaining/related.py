"""Which lines have to do with one that differs: those that make what it uses, and those of its function.

What is made as a module is imported was there before a training began: no operation of it is known.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.explaining.lines import statements, words, words_of
from harness.explaining.traced import Place, Traced
from harness.explaining.where import Where


_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


class Span(NamedTuple):
    """Lines of a file, and how they have to do with one that differs: `X is made with`."""

    how: str
    file: str
    lines: range


def related(root: Path, files: Sequence[str], found: Where | None, traced: Traced) -> list[Span]:
    """Return the lines that have to do with what differs first.

    Args:
        root: of the project.
        files: of the project in which to look for what makes something.
        found: the operation; None if none is known, and what differs was there before it.
        traced: the training.
    """
    if found and found.gone:
        return [Span("beside", file, _lines(node)) for file, node in _functions(root, found.operation.places)]
    if found is None:
        return [*_makers(root, files, _used_at_start(root, traced))]
    if found.number is None:
        return []
    spans = [*_makers(root, files, words(root, found.operation.places))]
    if found.returned:  # plain Python made it, of which no operation is known
        file = found.returned[0].places[0].file
        spans += _makers(root, [file], _used_at_start(root, traced, file))
    return spans


def _used_at_start(root: Path, traced: Traced, file: str = "") -> set[str]:
    """Return the words of the functions that ran at the start of a training, all or those of a file."""
    start = traced.parts.get("start")
    places = dict.fromkeys(place for row in start.operations for place in row.places) if start else ()
    own = [place for place in places if file in ("", place.file)]
    return {word for _, node in _functions(root, own) for word in _uses(node)}


def _functions(root: Path, places: Iterable[Place]) -> Iterator[tuple[str, ast.stmt]]:
    """Yield the innermost function around each place, once."""
    known = set[ast.stmt]()
    for place in places:
        nodes = (node for node in statements(str(root / place.file)) if isinstance(node, _FUNCTIONS))
        node = max((node for node in nodes if place.line in _lines(node)), key=lambda node: node.lineno, default=None)
        if node and node not in known:
            known.add(node)
            yield place.file, node


class _Top(NamedTuple):
    """A statement that runs when its module is imported: the names that it makes, and what it is made of."""

    file: str
    node: ast.stmt
    makes: frozenset[str]
    uses: frozenset[str]

    @property
    def is_value(self) -> bool:
        return not isinstance(self.node, _FUNCTIONS | ast.ClassDef | ast.Import | ast.ImportFrom)


def _makers(root: Path, files: Iterable[str], names: Iterable[str]) -> Iterator[Span]:
    """Yield what makes the values of modules that have some names, the nearest first; a seed counts, too."""
    tops = [top for file in files for top in _tops(root, file)]
    found = [(far, name, top) for name in sorted(names) for far, top in enumerate(_made(name, tops))]
    for _, name, top in sorted(found, key=lambda each: each[0]):
        yield Span(f"{name} is made with" if top.makes else "after", top.file, _lines(top.node))


def _made(name: str, tops: Sequence[_Top]) -> list[_Top]:
    """Return what makes a value, then what that is made of."""
    made = [top for top in tops if top.is_value and name in top.makes]
    for each in made:  # which grows
        made += [top for top in tops if top not in made and top.makes & each.uses]
    return made + [top for top in tops if not top.makes and any(top.file == each.file for each in made)]


def _tops(root: Path, file: str) -> Iterator[_Top]:
    nodes = statements(str(root / file))
    inner = {child for node in nodes for child in ast.walk(node) if child is not node}
    for node in nodes:
        if node not in inner:
            yield _Top(file, node, frozenset(_makes(node)), frozenset(_uses(node)))


def _makes(node: ast.stmt) -> set[str]:
    if isinstance(node, _FUNCTIONS | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in node.names}
    stored = (each for each in ast.walk(node) if isinstance(getattr(each, "ctx", None), ast.Store))
    return words_of(map(ast.unparse, stored))


def _uses(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return words_of(alias.name for alias in node.names)
    return words_of(ast.unparse(each) for each in ast.walk(node) if isinstance(each, ast.Name | ast.Attribute))


def _lines(node: ast.stmt) -> range:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    return range(first, (node.end_lineno or node.lineno) + 1)
