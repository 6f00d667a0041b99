"""The first test of a training loop: the best that can be written without seeing the loop run."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.commands.loop import Loop
from harness.report.words import columns


_DOTS = "put values in place of the dots, for a few seconds of training, and delete this line"


def slug(loop: Loop) -> str:
    """Return a loop's name as a part of names of files and tests."""
    name = loop.path.parent.name if loop.path.stem in ("__init__", "__main__") else loop.path.stem
    return re.sub(r"\W+", "_", f"{name}_{loop.name}".strip("_")).lower()


def first_test(loop: Loop, place: Path, root: Path) -> str:
    """Return the text of a test that compares what a loop does with a baseline, to be written at a place.

    It is red until the loop tells a recorder what it does: never green without comparing.
    """
    shown = os.path.relpath(loop.path, root)
    body = [
        *_guards(loop, shown),
        *_training(loop),
        f"training_regression.check(recorder.record{_sources(loop, shown)})",
    ]
    fixtures = "training_regression" if loop.flags is None else "training_regression, monkeypatch"
    return "\n".join(
        [
            f'"""Red once a change alters what the training of {shown} does."""',
            "",
            *_imports(loop, "\n".join(body)),
            *_constants(loop, place),
            *_comment(loop, shown),
            "",
            "",
            f"def test_trains_as_before({fixtures}):",
            '    """Every number of a short training is that of the baseline."""',
            *(f"    {line}" for line in body),
            "",
        ]
    )


def _imports(loop: Loop, body: str) -> Iterator[str]:
    standard = [f"import {name}" for name in ("contextlib", "inspect", "runpy") if f"{name}." in body]
    standard += ["from pathlib import Path"] if loop.kind == "script" else []
    yield from [*standard, ""] if standard else ()
    yield from [f"import {name}" for name in ("pytest",) if f"{name}." in body]
    if loop.kind == "lightning":
        library = "pytorch_lightning" if "pytorch_lightning" in loop.path.read_text() else "lightning"
        yield f"from {library} import Trainer"
    yield "from harness import Recorder"
    yield from [f"from harness.adapters.{loop.adapter} import {_callback(loop)}"] if loop.adapter else ()
    yield from [f"from {loop.module} import {loop.name}"] if loop.module else ()


def _constants(loop: Loop, place: Path) -> Iterator[str]:
    if loop.kind == "script":
        path = Path(os.path.relpath(loop.path, place.parent))
        ups = sum(part == ".." for part in path.parts)
        yield from ("", f'SCRIPT = Path(__file__).parents[{ups}] / "{Path(*path.parts[ups:]).as_posix()}"')


def _comment(loop: Loop, shown: str) -> Iterator[str]:
    if loop.hints:
        yield from ("", f"# Add to {shown}, so that a recorder sees the training; without one it runs as before:")
        yield from (f"#   {line}" for line in columns(loop.hints, "   "))


def _guards(loop: Loop, shown: str) -> Iterator[str]:
    values = {**loop.built, **loop.called, **(loop.flags or {})}.values()
    if "..." in values or (loop.kind == "function" and loop.watched):
        yield f'pytest.fail("{_DOTS}", pytrace=False)'
    if loop.hints:
        source = "SCRIPT.read_text()" if loop.kind == "script" else f"inspect.getsource({loop.name})"
        yield f'if "{"callbacks" if loop.adapter else "recorder"}" not in {source}:'
        yield f'    pytest.fail("{shown} tells no recorder what it does: add the lines above", pytrace=False)'
    if loop.flags is not None:
        words = [f"{flag}={value}" if flag.startswith("-") else value for flag, value in loop.flags.items()]
        yield f'monkeypatch.setattr("sys.argv", {json.dumps([loop.path.name, *words])})'


def _training(loop: Loop) -> Iterator[str]:
    calls = {"function": _function, "class": _class, "lightning": _lightning, "script": _script}
    ends = ", contextlib.suppress(SystemExit)" if loop.exits else ""
    yield f'with Recorder(precision="float64", seed=0) as recorder{ends}:'
    yield from (f"    {line}" for line in calls[loop.kind](loop))


def _function(loop: Loop) -> Iterator[str]:
    given = dict(loop.called)
    for name in loop.watched or ():
        yield f"{name} = ..."
        given[name] = name
    if loop.watched:
        yield f"recorder.watch({', '.join(loop.watched)})"
    told = {"callbacks": f"[{_callback(loop)}(recorder)]"} if loop.adapter else {"recorder": "recorder"}
    yield _call(loop.name, {**given, **told})


def _callback(loop: Loop) -> str:
    return f"{loop.adapter.capitalize()}Recorder"


def _class(loop: Loop) -> Iterator[str]:
    built, called = dict(loop.built), dict(loop.called)
    if loop.recorder in ("build", "call"):
        (built if loop.recorder == "build" else called)["recorder"] = "recorder"
    yield f"trainer = {_call(loop.name, built)}"
    if loop.recorder in ("", "inside"):
        yield "trainer.recorder = recorder"
    if loop.watched and not loop.recorder:
        yield f"recorder.watch({', '.join(loop.watched).replace('self.', 'trainer.')})"
    yield _call(f"trainer.{loop.method}", called)


def _lightning(loop: Loop) -> Iterator[str]:
    yield 'options = dict(accelerator="cpu", precision="64-true", logger=False, enable_checkpointing=False)'
    yield "trainer = Trainer(max_epochs=2, callbacks=[LightningRecorder(recorder)], **options)"
    yield f"trainer.fit({', '.join([_call(loop.name, loop.built), *_keywords(loop.called)])})"


def _script(loop: Loop) -> Iterator[str]:
    yield 'runpy.run_path(str(SCRIPT), init_globals={"recorder": recorder}, run_name="__main__")'


def _call(name: str, given: Mapping[str, str]) -> str:
    return f"{name}({', '.join(_keywords(given))})"


def _keywords(given: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in given.items()]


def _sources(loop: Loop, shown: str) -> str:
    """Name a script as a source: running it is no import, which would count by itself."""
    return f', sources=["{Path(shown).as_posix()}"]' if loop.kind == "script" else ""
