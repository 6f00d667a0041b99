"""A training loop that nobody runs: what its source says of how it is called, and of where a recorder belongs in it."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from harness.atomic_files import read
from harness.errors import NotFoundError


_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Node = TypeVar("_Node", bound=ast.AST)
_METHODS = ("fit", "train", "run", "learn", "train_model", "training_loop")
"""Methods that train, those first that are called so more often."""
_SHORT = {"epoch": 2, "step": 12, "iter": 12}
"""What a gate is given of a training, by a part of the argument's name."""
_LENGTH = re.compile(r"(n|num|max|total|train|nb)?_?(epoch|step|iter)(s|ations?)?")
_SKIPPED = re.compile(r"\.|venv$|env$|build$|node_modules$|site-packages$")
"""Folders that hold no file of the project's own."""
_ADAPTERS = {"lightning": "lightning", "pytorch_lightning": "lightning", "transformers": "transformers"}
"""What records a trainer, by the library that it is imported from."""
_EVALUATION = re.compile("_?(eval|valid|test)")
_NO_BATCH = re.compile(
    r"self|cls|model|net(work)?|module|opt(im|imizer)?|criterion|loss\w*|\w*loader|sched(uler)?|scaler|ema|device|dtype"
    r"|lr|rate|(batch_)?(i|idx|index|size|step|epoch)s?|args|cfg|config|recorder|logger|writer|generator"
)
"""Arguments of a step that are no data."""
_DEPTH = 4
"""Folders that a file is looked for in, the root and three below each other."""


@dataclass(frozen=True)
class Loop:
    """A training loop, by its source."""

    path: Path  # of its file
    module: str  # that it is imported from; empty for a script
    name: str  # of the function or class; empty for a script
    kind: Literal["function", "class", "lightning", "script"]
    method: str = ""  # of a class, that trains
    built: Mapping[str, str] = field(default_factory=dict)  # arguments that building a class takes
    called: Mapping[str, str] = field(default_factory=dict)  # arguments that the call takes
    flags: Mapping[str, str] | None = None  # arguments of the command line, if it reads that
    exits: bool = False  # it ends the process
    watched: tuple[str, str] | None = None  # a model and its optimizer that are known outside of the loop
    recorder: str = ""  # where a function or class takes a recorder already: "call", "build" or "inside"
    adapter: str = ""  # of a framework whose trainer trains, which records as a callback; empty for a loop of one's own
    hints: Sequence[tuple[str, str]] = ()  # lines to add to it, each with its place


def look(text: str, root: Path) -> Loop:
    """Look at a loop: `train.py`, `train.py:main`, `mylib.train`, `mylib.train:main` or `mylib.train:Trainer.fit`.

    NotFoundError if there is none of this name, or its file cannot be read.
    """
    place, _, name = text.replace("::", ":").partition(":")
    path = _file(place, root)
    if path is None:
        raise NotFoundError.loop(loop=text, place=root, near=found(root))
    tree = _tree(path)
    owner, _, method = name.partition(".")
    node = next((each for each in _named(tree) if each.name == owner), None)
    if owner and node is None:
        raise NotFoundError.loop(loop=text, place=path, near=[each.name for each in _named(tree)])
    module = place if not place.endswith(".py") else ".".join(_parts(path, root))
    if node is None:
        return _script(path, tree)
    if isinstance(node, ast.ClassDef):
        return _class(path, module, node, method, tree)
    return _function(path, module, node, tree)


def found(root: Path) -> list[str]:
    """Return what looks like a training loop in a project, as `look` takes it."""
    return [loop for path in sources(root) if not _tests(path.relative_to(root)) for loop in _loops(path, root)]


def sources(root: Path) -> Iterator[Path]:
    """Yield a project's Python files, those of its tests too, the nearest to the root first."""
    files = (path for depth in range(_DEPTH) for path in sorted(root.glob("*/" * depth + "*.py")) if path.is_file())
    return (path for path in files if not any(map(_SKIPPED.match, path.relative_to(root).parts[:-1])))


def _tests(path: Path) -> bool:
    return not {"test", "tests"}.isdisjoint(path.parts) or path.name.startswith(("test_", "conftest"))


def _loops(path: Path, root: Path) -> Iterator[str]:
    try:
        tree = _tree(path)
    except NotFoundError:
        return
    place = path.relative_to(root).as_posix()
    inside = [each.name for each in _named(tree) if any(_calls(each, "backward")) or _trainer(each, tree)]
    if inside or any(_calls(tree, "backward")):
        yield from (f"{place}:{name}" for name in inside) if inside else (place,)


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(read(path))
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        raise NotFoundError.syntax(path=path, reason=error) from error


def _named(tree: ast.Module) -> list[_Function | ast.ClassDef]:
    return [each for each in tree.body if isinstance(each, _Function | ast.ClassDef)]


def _file(place: str, root: Path) -> Path | None:
    """Return the file of a path, from here or from the root, or of a module of the project."""
    if place.endswith(".py"):
        places = [Path(place).absolute(), root / place]
    else:
        stem = Path(*place.split("."))
        places = [root / folder / name for folder in ("", "src") for name in (f"{stem}.py", stem / "__init__.py")]
    return next(filter(Path.is_file, places), None)


def _parts(path: Path, root: Path) -> tuple[str, ...]:
    place = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
    parts = place.with_suffix("").parts
    return parts[1:] if parts[0] == "src" else parts


def _script(path: Path, tree: ast.Module) -> Loop:
    hints = [("at its top", 'recorder = globals().get("recorder")'), *_hints(tree, tree, "recorder")]
    ends = [each.body[-1] if isinstance(each, _Function) else each for each in tree.body]
    hints = [] if _mentions(tree) else hints
    return Loop(path, "", "", "script", flags=_flags(tree), exits=any(map(_exits, ends)), hints=hints)


def _function(path: Path, module: str, node: _Function, tree: ast.Module) -> Loop:
    called = _arguments(node)
    models = [name for name in called if re.fullmatch(r"model|net|network|module", name)]
    optimizers = [name for name in called if re.fullmatch(r"optim|optimizer|opt", name)]
    recorder, watched = "call" if _takes(node) else "", (models[0], optimizers[0]) if models and optimizers else None
    loop = Loop(path, module, node.name, "function", called=called, recorder=recorder, watched=watched)
    loop = replace(loop, exits=_exits(node.body[-1]))
    used = {each.id for each in _all(node, ast.Name)} | {node.name}
    if any(any(_calls(each, "parse_args")) for each in _named(tree) if each.name in used):
        loop = replace(loop, flags=_flags(tree))
    if loop.recorder:
        return loop
    if trainer := _trainer(node, tree):
        return replace(loop, adapter=_adapter(tree), hints=[] if _takes(node, "callbacks") else _handing(node, trainer))
    return replace(loop, hints=[_signature(node), *_hints(node, tree, "recorder", loop.watched)])


def _signature(node: _Function, argument: str = "recorder=None") -> tuple[str, str]:
    return f"line {node.lineno}", f"def {node.name}(..., {argument})"


def _adapter(tree: ast.Module) -> str:
    """Return the adapter of the framework that a module imports; empty if there is none."""
    modules = [each.module or "" for each in _all(tree, ast.ImportFrom)]
    modules += [alias.name for each in _all(tree, ast.Import) for alias in each.names]
    return next((_ADAPTERS[top] for each in modules if (top := each.partition(".")[0]) in _ADAPTERS), "")


def _trainer(node: ast.AST, tree: ast.Module) -> ast.Call | None:
    """Return the call that builds a framework's trainer, where that trains."""
    own = {each.name for each in _named(tree)}
    names = ((each, ast.unparse(each.func)) for each in _all(node, ast.Call) if _adapter(tree))
    return next((each for each, name in names if name.endswith("Trainer") and name not in own), None)


def _handing(node: _Function, trainer: ast.Call) -> list[tuple[str, str]]:
    """Return the lines that hand callbacks on to a trainer, which may have some."""
    given = "[..., *callbacks]" if any(each.arg == "callbacks" for each in trainer.keywords) else "[*callbacks]"
    call = f"{ast.unparse(trainer.func)}(..., callbacks={given})"
    return [_signature(node, "callbacks=()"), (f"line {trainer.lineno}", call)]


def _exits(end: ast.stmt) -> bool:
    """Tell whether a statement ends the process."""
    return not isinstance(end, ast.ClassDef) and any(
        ast.unparse(node).startswith(("exit(", "sys.exit(", "raise SystemExit")) for node in ast.walk(end)
    )


def _class(path: Path, module: str, node: ast.ClassDef, method: str, tree: ast.Module) -> Loop:
    methods = {each.name: each for each in node.body if isinstance(each, _Function)}
    method = method or next(filter(methods.__contains__, _METHODS), "fit")
    init, train = methods.get("__init__"), methods.get(method)
    built = _arguments(init, bound=True) if init else {}
    if any(ast.unparse(base).endswith("LightningModule") for base in node.bases):
        called = {} if "train_dataloader" in methods else {"train_dataloaders": "..."}
        return Loop(path, module, node.name, "lightning", built=built, called=called, adapter="lightning")
    called = _arguments(train, bound=True) if train else {}
    loop = Loop(path, module, node.name, "class", method, built, called, recorder=_recorder_of(node, init, train))
    if loop.recorder:
        return loop
    watched = next(_kept(init), None) if init else None
    attribute = (f"line {node.lineno}, in the class", "recorder = None")
    return replace(loop, watched=watched, hints=[attribute, *_hints(node, tree, "self.recorder", watched)])


def _recorder_of(node: ast.ClassDef, init: _Function | None, train: _Function | None) -> str:
    if init and _takes(init):
        return "build"
    return "call" if train and _takes(train) else "inside" if _mentions(node) else ""


def _takes(node: _Function, name: str = "recorder") -> bool:
    return any(each.arg == name for each in (*node.args.args, *node.args.kwonlyargs))


def _mentions(node: ast.AST) -> bool:
    """Tell whether a loop speaks of a recorder already."""
    names = ((each.id if isinstance(each, ast.Name) else getattr(each, "attr", "")) for each in ast.walk(node))
    return "recorder" in names


def _arguments(node: _Function, *, bound: bool = False) -> dict[str, str]:
    """Return the arguments that a call must give, and those that make it short; dots stand for what nobody knows."""
    places, names = [*node.args.posonlyargs, *node.args.args][bound:], node.args.kwonlyargs
    needed = {each.arg for each in places[: len(places) - len(node.args.defaults)]}
    needed |= {each.arg for each, default in zip(names, node.args.kw_defaults, strict=True) if default is None}
    given = {each.arg: _short(each.arg, needed=each.arg in needed) for each in (*places, *names)}
    return {name: short for name, short in given.items() if short and name != "recorder"}


def _short(name: str, *, needed: bool) -> str:
    """Return what an argument is given: few epochs or steps; dots where it must be given; nothing where it need not."""
    if length := _LENGTH.fullmatch(name.lower().replace("-", "_")):
        return str(_SHORT[length[2]])
    return "..." if needed else ""


def _all(scope: ast.AST, kind: type[_Node]) -> Iterator[_Node]:
    """Return what is of a kind in a scope, the outermost first."""
    return (node for node in ast.walk(scope) if isinstance(node, kind))


def _calls(scope: ast.AST, name: str) -> Iterator[ast.Call]:
    """Return the calls of methods of a name."""
    return (each for each in _all(scope, ast.Call) if isinstance(each.func, ast.Attribute) and each.func.attr == name)


def _flags(tree: ast.Module) -> dict[str, str] | None:
    """Return the arguments of the command line that a script must be given, and those that make it short, or None."""
    if not any(any(_calls(tree, name)) for name in ("parse_args", "parse_known_args")):
        return None
    flags: dict[str, str] = {}
    for call in _calls(tree, "add_argument"):
        words = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        word = max(words, key=len, default="-")
        needed = not word.startswith("-") or any(each.arg == "required" for each in call.keywords)
        if short := _short(word.lstrip("-"), needed=needed):
            flags[word] = short
    return flags


def _hints(scope: ast.AST, tree: ast.Module, recorder: str, watched: object = None) -> list[tuple[str, str]]:
    """Return the lines that a loop needs, each with its place, as far as they can be told from the source."""
    way = next(_ways(scope, _callables(tree)), [])
    inner, name = (way[-1].function, "recorder") if way else (scope, recorder)
    anywhere = ("before the loop", f"if {recorder}: {recorder}.watch(model, optimizer)")
    watch = [] if watched else [*_watch(scope, way, recorder)] or [anywhere]
    handed = [hint for each in way for hint in each.hints(recorder if each.scope is scope else "recorder")]
    back = next(_calls(inner, "backward"), None)
    log = (_end(inner, back), f"log(loss={_loss(back)})") if back else ("in each step", "log(loss=loss)")
    lines = [(name, *each) for each in [*_batch(inner, back), log]]
    lines += [(recorder, *each) for each in _evaluation(scope)]
    return [*watch, *handed, *((at, f"if {name}: {name}.{line}") for name, at, line in lines)]


def _evaluation(scope: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the line that shows what the first function that evaluates returns; dots where it has no name."""
    for statement in ast.walk(scope):
        if isinstance(statement, ast.Assign | ast.Expr) and any(map(_evaluates, ast.walk(statement.value))):
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            held = isinstance(statement.value, ast.Call) and _evaluates(statement.value)
            names = [each.id for target in targets for each in _all(target, ast.Name)] * held
            numbers = ", ".join(f"{each}={each}" for each in names) or "accuracy=..."
            yield f"after line {statement.end_lineno}", f"evaluation({numbers})"
            return


def _evaluates(node: ast.AST) -> bool:
    """Tell whether a call is one of an evaluation, and no switch of a mode (`model.eval()`)."""
    called = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) and node.args else ""
    return bool(_EVALUATION.match(called))


class _Handed(NamedTuple):
    """A call that hands the recorder on: where it is, and what it calls, of which class, if of one."""

    scope: ast.AST
    call: ast.Call
    function: _Function
    owner: ast.ClassDef | None

    def hints(self, recorder: str) -> Iterator[tuple[str, str]]:
        """Yield the lines to change."""
        yield f"line {self.call.lineno}", f"{ast.unparse(self.call.func)}(..., recorder={recorder})"
        yield _signature(self.function)


_Callables = dict[str, tuple[_Function, ast.ClassDef | None]]
"""The functions of a module, and the methods of its classes, these with a dot before their name."""


def _callables(tree: ast.Module) -> _Callables:
    methods = [(each, owner) for owner in _named(tree) if isinstance(owner, ast.ClassDef) for each in owner.body]
    found: _Callables = {f".{each.name}": (each, owner) for each, owner in methods if isinstance(each, _Function)}
    return found | {each.name: (each, None) for each in _named(tree) if isinstance(each, _Function)}


def _ways(scope: ast.AST, known: _Callables) -> Iterator[list[_Handed]]:
    """Yield the calls that lead to `backward`, the outermost first; each function is gone into once."""
    if any(_calls(scope, "backward")):
        yield []
        return
    for call in _all(scope, ast.Call):
        if found := known.pop(_called(call.func), None):
            yield from ([_Handed(scope, call, *found), *way] for way in _ways(found[0], known))


def _called(function: ast.expr) -> str:
    """Return the key of what is called; a model's method is none of the module's (`model.train()`)."""
    if isinstance(function, ast.Attribute):
        holder = ast.unparse(function.value).rpartition(".")[2]
        return "" if holder != "self" and _NO_BATCH.fullmatch(holder) else f".{function.attr}"
    return ast.unparse(function)


def _watch(scope: ast.AST, way: Sequence[_Handed], recorder: str) -> Iterator[tuple[str, str]]:
    """Yield where to watch: where an optimizer is built, or the object that holds it, in the outermost that does."""
    for inside, name in [(scope, recorder), *((each.function, "recorder") for each in way)]:
        held = (each for step in way if step.owner for each in _held(inside, step.owner))
        if built := [*_optimizers(inside), *held]:
            watch = f"if {name}: {name}.watch"
            yield from ((f"after line {each.line}", f"{watch}({each.model}, {each.optimizer})") for each in built)
            return


def _held(scope: ast.AST, owner: ast.ClassDef) -> Iterator["_Optimizer"]:
    """Yield the optimizers of an object of a class that is built here, as they are called here."""
    for node in _all(scope, ast.Assign):
        if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == owner.name:
            holder, line = f"{ast.unparse(node.targets[0])}.", node.end_lineno or node.lineno
            for model, optimizer in _kept(owner):
                yield _Optimizer(model.replace("self.", holder), optimizer.replace("self.", holder), line)


def _end(scope: ast.AST, back: ast.Call) -> str:
    """Return where a step ends: after the optimizer's step, if one follows in the function of `backward`."""
    function = next(reversed(_around(scope, back, _Function)), scope)
    steps = [each for each in _calls(function, "step") if "sched" not in ast.unparse(each.func).lower()]
    last = min((each for each in steps if each.lineno >= back.lineno), key=lambda each: each.lineno, default=back)
    return f"after line {last.end_lineno}"


def _around(scope: ast.AST, node: ast.AST | None, kind: Any) -> list[Any]:
    """Return what holds a node, of a kind, the outermost first."""
    return [each for each in ast.walk(scope) if isinstance(each, kind) and node in [*ast.walk(each)]]


class _Optimizer(NamedTuple):
    """An optimizer and its model, as they are called, and the line that builds it."""

    model: str
    optimizer: str
    line: int


def _optimizers(scope: ast.AST) -> Iterator[_Optimizer]:
    for node in _all(scope, ast.Assign):
        call = next(_calls(node.value, "parameters"), None) if isinstance(node.value, ast.Call) else None
        if call:
            model = ast.unparse(call.func).removesuffix(".parameters")
            yield _Optimizer(model, ast.unparse(node.targets[0]), node.end_lineno or node.lineno)


def _kept(scope: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the models and optimizers that an object keeps, as its methods call them."""
    names = {ast.unparse(each.value): ast.unparse(each.targets[0]) for each in _all(scope, ast.Assign)}
    names = {name: kept for name, kept in names.items() if kept.startswith("self.")}
    for each in _optimizers(scope):
        model, optimizer = (names.get(name, name) for name in (each.model, each.optimizer))
        if model.startswith("self.") and optimizer.startswith("self."):
            yield model, optimizer


def _loss(back: ast.Call) -> str:
    """Return what a call of `backward` goes back from: a loss, one that is scaled, or one that is handed over."""
    loss = back.args[0] if back.args else ast.parse(ast.unparse(back.func).removesuffix(".backward")).body[0]
    loss = loss.value if isinstance(loss, ast.Expr) else loss
    while isinstance(loss, ast.Call) and loss.args:  # scaler.scale(loss)
        loss = loss.args[0]
    return ast.unparse(loss)


def _batch(scope: ast.AST, back: ast.Call | None) -> Iterator[tuple[str, str]]:
    """Yield the line that shows a batch: what the innermost loop around `backward` takes, or its function is given."""
    loops = _around(scope, back, ast.For | ast.While)
    for loop in [each for each in loops if isinstance(each, ast.For)][-1:]:
        data, target = ast.unparse(loop.iter), loop.target
        if isinstance(target, ast.Tuple) and data.startswith("enumerate("):
            target = target.elts[-1]
        names = target.elts[:2] if isinstance(target, ast.Tuple) else [target]
        if not data.startswith("range("):
            yield f"before line {loop.body[0].lineno}", f"batch({', '.join(map(ast.unparse, names))})"
    for function in [] if loops else _around(scope, back, _Function)[-1:]:
        given = [
            name for name, value in _arguments(function).items() if value == "..." and not _NO_BATCH.fullmatch(name)
        ]
        if len(given) in (1, 2):
            first = function.body[ast.get_docstring(function) is not None :][0]
            yield f"before line {first.lineno}", f"batch({', '.join(given)})"
