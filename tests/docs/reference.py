"""The reference page, made from the code: `python -m tests.docs.reference > docs/reference.md`."""

import argparse
import ast
import dataclasses
import inspect
import re
from pathlib import Path
from unittest.mock import patch

import harness
from harness import Recipe, adapters, commands, errors, figures
from harness.faults import FAULTS
from harness.plugin import fixtures, options


_PLUGIN = Path(options.__file__).parent


def page():
    """The whole page."""
    parts = {
        "Options of pytest": _table("option", pytest_options("addoption")),
        "Ini options": _table("name", pytest_options("addini")),
        "Fixtures": _table("fixture", _fixtures()),
        "Markers": _table("marker", _markers()),
        "Commands": "\n\n".join(_command(parser) for parser in _commands()),
        "Calls": "\n\n".join(_calls()),
        "Fields of a recipe": _table("field", _fields()),
        "Figures": _table("in `harness.figures`", _functions(figures)),
        "Adapters": _table("in `harness.adapters`", _adapters()),
        "Faults": _table(
            "planted by `--training-gate-power`", [(fault.name, _first(fault)) for fault in FAULTS.values()]
        ),
        "Errors": _errors(),
    }
    contents = [f"- [{title}](#{title.lower().replace(' ', '-')})" for title in parts]
    head = f"# Reference\n\n{_HEAD}\n\n" + "\n".join(contents)
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in parts.items())]) + "\n"


_HEAD = """Every name that you can use. `python -m tests.docs.reference` makes this page from the code, and a test
compares the two. `harness COMMAND --help` and the docstrings say more; the [guides](../README.md#guides) say when.
`--mpl` (compare figures, too; records always are) and `--mpl-generate-path=DIR` (write both) are pytest-mpl's."""


class _Parser:
    """Stands for pytest's parser, and takes down what is added to it by one of its methods."""

    def __init__(self, method):
        self.found = []
        setattr(self, method, lambda *names, **about: self.found.append((names, about)))

    def getgroup(self, *_):
        """Return what takes options."""
        return self

    def __getattr__(self, _):
        return lambda *_names, **_about: None


def pytest_options(method):
    """Name, with its value, and meaning of what we add to pytest by a method of its parser."""
    options.add(parser := _Parser(method))
    for names, about in parser.found:
        value = f"={about['metavar']}" if "metavar" in about else ""
        yield f"{names[0]}{value}", about.get("help") or names[1]


def _fixtures():
    for node in ast.parse(inspect.getsource(fixtures)).body:
        decorators = [ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())]
        if any("fixture" in text for text in decorators) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node)


def _markers():
    for path in sorted(_PLUGIN.glob("*.py")):
        for found in re.finditer(r'"markers", "([^:"]+): ([^"]+)"', path.read_text(encoding="utf-8")):
            yield found[1], found[2]


def _commands():
    """The parsers of `harness`, by name."""
    with patch.object(argparse.ArgumentParser, "parse_args", autospec=True, side_effect=_Caught) as parse:
        try:
            commands.main([])
        except _Caught:
            parser = parse.call_args.args[0]
    (subparsers,) = [action for action in parser._actions if action.choices]
    helps = {action.dest: action.help for action in subparsers._choices_actions}
    return [(name, helps[name], choice) for name, choice in subparsers.choices.items()]


class _Caught(Exception):
    pass


def _command(given):
    name, summary, parser = given
    rows = [(_usage(action), action.help) for action in parser._actions if action.dest != "help"]
    return f"### harness {name}\n\n{_sentence(summary)}\n\n{_table('argument', rows)}"


def _usage(action):
    word = action.metavar or action.dest.upper()
    if not action.option_strings:
        return f"[{action.dest} ...]" if action.nargs == "*" else action.dest
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {word}")


def _calls():
    for name in harness.__all__:
        value = getattr(harness, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            yield f"### {name}\n\n" + _table("call", _of_a_class(value) if inspect.isclass(value) else [_call(value)])


def _of_a_class(kind):
    yield _call(kind)
    for name, member in vars(kind).items():
        function = inspect.unwrap(getattr(member, "__func__", None) or getattr(member, "fget", None) or member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield (name, _first(function)) if isinstance(member, property) else _call(function)


def _functions(module):
    return [_call(getattr(module, name)) for name in module.__all__ if callable(getattr(module, name))]


def _call(value):
    """A call with its parameters, without their types, and the first sentence of its docstring."""
    if dataclasses.is_dataclass(value):
        return value.__name__, _first(value)
    given = inspect.signature(value).parameters.values()
    bare = [
        parameter.replace(annotation=parameter.empty) for parameter in given if parameter.name not in ("self", "cls")
    ]
    return f"{value.__name__}{inspect.Signature(bare)}", _first(value)


def _fields():
    """Fields of a recipe, the rule of each, and its default."""
    texts = _docstrings(Recipe)
    for field in dataclasses.fields(Recipe):
        yield f"{field.name}={field.default!r}", f"{texts[field.name]} {_sentence(field.metadata['words'])}"


def _docstrings(kind):
    """What stands below each field."""
    (node,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    pairs = zip(node.body, node.body[1:], strict=False)
    return {a.target.id: b.value.value for a, b in pairs if isinstance(a, ast.AnnAssign) and isinstance(b, ast.Expr)}


def _adapters():
    """Classes of modules whose libraries not everybody has, so that none is imported."""
    for path in sorted(Path(adapters.__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield f"{path.stem}.{node.name}", (ast.get_docstring(node) or "").split("\n\n")[0]


def _errors():
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    rows = [(kind.__name__, _first(kind)) for kind in kinds if kind.__module__ == errors.__name__]
    return "All are in `harness.errors`, and each message says what to do.\n\n" + _table("error", rows)


def _first(value):
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def _sentence(text):
    return text[0].upper() + text[1:] + "." * (text[-1] not in ".:")


def _table(title, rows):
    lines = [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
    return "\n".join([f"| {title} | |", "|---|---|", *lines])


def _cell(text):
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
