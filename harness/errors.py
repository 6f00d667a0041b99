"""Every way to be told "no": what went wrong, where, and what to do.

HarnessError
├── ArgumentError          a value that a recipe, a recorder or a function cannot take
├── DataError              images that are missing, broken or not what they claim to be
│   └── NoCifar10Error     nobody said where CIFAR-10 is
├── ModelError             a model that is none, or misbehaves
├── DeviceError            a device that is unknown
│   ├── NoDeviceError      one that this machine lacks
│   └── DevicePrecisionError   one that cannot compute in a precision
├── RecorderError          a training loop that is watched in a wrong way
│   ├── PrecisionError     one that computes in another precision than it says
│   └── NoLibraryError     the framework of an adapter is not installed
├── RecordError            a text that is no record
│   ├── NonFiniteError     a record with NaN or infinity where a finite number is needed
│   ├── NotRecordedError   a record without what a figure draws
│   └── StatesError        a file that holds no states of a training
├── EquivalenceError       seeds that cannot be judged together
├── BaselineError          a baseline that this session may not use
│   ├── BaselineMissingError   there is none
│   ├── BaselineCorruptError   it is broken, edited, no plain file or not finite
│   │   └── BaselineImplausibleError   it would loosen its own judge
│   └── BaselineWriteError     it could not be written
├── AcceptError            a result that cannot become a baseline
├── RerunError             a training that could not be run again as a rerun has to be
│   ├── UnseededError      run again as it is, it is another
│   └── FaultError         it ended with an exception while a standard fault was to be planted in it
├── WorkerError            a worker that could not run a test for this session
├── RanksError             ranks of a distributed training that do not belong together, or have failed
├── TreeError              a commit whose tree cannot be trained in
├── EventsError            TensorBoard's event files that cannot be compared or written
│   └── EventsCutOffError  one that ends within an event
├── OutputError            what a session leaves beside its baselines could not be written
├── ReportError            results of a session that no report can be made from
├── NotFoundError          a command was given a name that nothing has, or something of another kind
└── SuiteError             a pytest suite or command line that would compare nothing, or the wrong thing

A class is what a caller may want to catch; its constructors are the messages, each worded here and nowhere else.
"""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from harness.inert import inert


Place = Path | str
Reason = BaseException | str
"""What a library said, or words."""


class HarnessError(Exception):
    """Base of all errors that the harness raises on purpose.

    Args:
        what: went wrong.
        where: it did; empty if there is nothing to say.
        fix: what to do.
    """

    def __init__(self, what: str, *, where: Place = "", fix: str) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, str(where), fix

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).__new__, (type(self),), self.__dict__  # constructors differ; pickle restores the facts

    def __str__(self) -> str:
        lines = [self.what, self.where and f"  where  {self.where}", f"  fix    {self.fix}"]
        return inert("\n".join(filter(None, lines)))  # names, paths and reasons are those of any file


def _said(reason: Reason) -> Reason:
    """Return what a system's error says without its number and path, which stand elsewhere in the message."""
    return getattr(reason, "strerror", None) or reason


def _headline(error: BaseException) -> str:
    """Return an exception's name and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")


def _made(made: str, place: str) -> str:
    """Return where something was made, and where it is used, if that is elsewhere."""
    if made in ("", place):
        return place
    (file, _, line), (maker, _, _) = place.rpartition(":"), made.rpartition(":")
    return f"{made}, used in line {line}" if file == maker else f"{made}, used at {place}"


def some(names: Sequence[str], most: int = 10) -> str:
    """Return the first of many names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def number(count: int, noun: str) -> str:
    """Return a count and its noun, in the plural where it is not one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


class ArgumentError(HarnessError):
    """A value that a recipe, a recorder or a function cannot take."""

    @classmethod
    def of(cls, owner: str, field: str, value: object, rule: str) -> Self:
        return cls(f"{field} cannot be {value!r}", where=f"{owner}({field}=...)", fix=f"{field} must be {rule}")


class DataError(HarnessError):
    """Images that are missing, broken or not what they claim to be."""

    @classmethod
    def missing(cls, *, path: Place, looked_for: Place) -> Self:
        fix = "give the folder that holds cifar-10-batches-py, or an .npz file"
        return cls(f"there is no CIFAR-10 at {path}", where=f"looked for {looked_for}", fix=fix)

    @classmethod
    def corrupt(cls, *, path: Place, reason: Reason) -> Self:
        what = f"{path} cannot be used as CIFAR-10: {_said(reason)}"
        return cls(what, fix="fetch the file again, or name another copy")

    @classmethod
    def foreign(cls, *, path: Place, found: str, expected: str) -> Self:
        what = f"{path} holds images, but not those of CIFAR-10"
        where = f"SHA-256 of the images and labels in use {found}, CIFAR-10 has {expected}"
        return cls(what, where=where, fix="name the official files, or an .npz made from them in their order")

    @classmethod
    def too_few(cls, *, data: str, split: str, asked: int, available: int) -> Self:
        what = f"the recipe asks for {asked} {split} images, but {data} has {available}"
        return cls(what, where=f"Recipe({split}_images={asked})", fix=f"ask for at most {available}")


class NoCifar10Error(DataError):
    """Nobody said where CIFAR-10 is."""

    @classmethod
    def of(cls, *, ways: str) -> Self:
        what = "this training needs CIFAR-10, and no path to it was given"
        return cls(what, fix=f"{ways}: a folder in torchvision's layout or an .npz; the word download fetches it")


class ModelError(HarnessError):
    """A model that is none, or misbehaves."""

    @classmethod
    def output(cls, *, model: str, step: int, found: object, expected: tuple[int, int]) -> Self:
        what = f"step {step}: the model returned {found}, not logits of shape {expected}"
        return cls(what, where=f"model {model}", fix=f"return one row of {expected[1]} logits an image")

    @classmethod
    def not_a_module(cls, *, model: str, found: str) -> Self:
        what = f"the model function returned {found}, not a torch.nn.Module"
        return cls(what, where=f"model {model}", fix="return the module itself")


class DeviceError(HarnessError):
    """A device that is unknown."""

    @classmethod
    def unknown(cls, *, device: str, known: Sequence[str]) -> Self:
        return cls(f"there is no device {device!r}", fix=f"use one of {', '.join(known)}")

    @classmethod
    def marked(cls, *, nodeid: str, device: str, known: Sequence[str]) -> Self:
        fix = f"use one of {', '.join(known)}; if the marker means something else, rename it, or use no fixture of ours"
        return cls(f"the marker `device` names {device!r}, which is no device", where=nodeid, fix=fix)


class NoDeviceError(DeviceError):
    """A device that this machine lacks."""

    @classmethod
    def of(cls, *, device: str, probe: str) -> Self:
        fix = "run on a machine that has one, or train on another device"
        return cls(f"this machine has no {device} device ({probe})", fix=fix)


class DevicePrecisionError(DeviceError):
    """A device that cannot compute in a precision."""

    @classmethod
    def of(cls, *, device: str, precision: str) -> Self:
        fix = "use a recipe of another precision there, or another device"
        return cls(f"{device} cannot compute in {precision}", fix=fix)


class RecorderError(HarnessError):
    """A training loop that is watched in a wrong way."""

    @classmethod
    def not_recording(cls, *, method: str) -> Self:
        fix = "call it inside `with Recorder(...) as recorder:`"
        return cls("the recorder is not recording", where=f"Recorder.{method}", fix=fix)

    @classmethod
    def already_recording(cls) -> Self:
        fix = "leave its block before it is entered again, or make another recorder"
        return cls("this recorder is recording already", where=_BLOCK, fix=fix)

    @classmethod
    def other_thread(cls, *, thread: str) -> Self:
        what = f"another recorder is recording in another thread, {thread}, and both need the same globals"
        return cls(what, where=_BLOCK, fix="train one after the other, or in processes of their own")

    @classmethod
    def overlapping(cls) -> Self:
        what = "another recorder has begun before this one and ended within it, or begun within it and not ended"
        fix = "train one after the other, or one within the other; tasks that take turns do neither"
        return cls(what, where=_BLOCK, fix=fix)

    @classmethod
    def not_finished(cls) -> Self:
        what = "there is no record yet: the `with Recorder(...)` block has not ended, or ended with an exception"
        return cls(what, where="Recorder.record", fix="read recorder.record after the block")

    @classmethod
    def nothing_watched(cls) -> Self:
        what = "no model was watched, so there is nothing to compare"
        return cls(what, where=_BLOCK, fix="call recorder.watch(model, optimizer) before the loop")

    @classmethod
    def never_stepped(cls) -> Self:
        fix = f"watch the optimizer whose step() the loop calls: recorder.watch(model, optimizer); {_BY_HAND}"
        return cls("no watched optimizer took a step", where=_BLOCK, fix=fix)

    @classmethod
    def no_loss(cls, *, steps: int) -> Self:
        fix = "call recorder.log(loss=loss) once a step; where there is none, recorder.log() says so"
        return cls(f"no loss was logged in {number(steps, 'step')}", where=_BLOCK, fix=fix)

    @classmethod
    def watched_twice(cls) -> Self:
        fix = "call watch once, before the loop; after a resume, with the new model and optimizer"
        return cls("this model and optimizer are watched already", where="Recorder.watch", fix=fix)

    @classmethod
    def foreign_optimizer(cls) -> Self:
        fix = "pass the optimizer that was built from this model's parameters"
        return cls("the optimizer holds no parameter of the model", where="Recorder.watch", fix=fix)

    @classmethod
    def not_an_optimizer(cls, *, found: str) -> Self:
        fix = f"pass a torch.optim.Optimizer, several one after the other, a name as name='teacher'; {_BY_HAND}"
        return cls(f"{found} is no optimizer", where="Recorder.watch", fix=fix)

    @classmethod
    def not_a_model(cls, *, found: str) -> Self:
        fix = "pass the torch.nn.Module first, then its optimizer: recorder.watch(model, optimizer)"
        return cls(f"{found} is no model", where="Recorder.watch", fix=fix)

    @classmethod
    def scripted(cls) -> Self:
        fix = "train and watch the module that it was made of, and script that after the block"
        return cls("a module that torch.jit.script made takes no hooks", where="Recorder.watch", fix=fix)

    @classmethod
    def incomplete(cls, *, doing: str, error: BaseException, step: int, place: Place) -> Self:
        what = f"the recorder could not do its part of {doing}, so this record is incomplete: {_headline(error)}"
        fix = "report these lines: it is no fault of the loop, which has gone on as it would without a recorder"
        return cls(what, where=f"step {step}, {place}", fix=fix)

    @classmethod
    def unwatched_optimizer(cls, *, optimizer: str, tensor: str, step: int) -> Self:
        what = f"an optimizer that is not watched ({optimizer}) steps {tensor}, a weight of a watched model"
        return cls(what, where=f"step {step}, optimizer.step()", fix=_WATCH_IT)

    @classmethod
    def moved_unwatched(cls, *, tensor: str, step: int) -> Self:
        what = f"{tensor} has moved since a batch went in, but no watched optimizer has stepped"
        return cls(what, where=f"step {step}", fix=f"{_WATCH_IT}; {_BY_HAND}")

    @classmethod
    def batches_unwatched(cls, *, count: int, optimizer: str, step: int) -> Self:
        what = (
            f"no watched optimizer has stepped in the last {count} batches, but one that is not watched ({optimizer})"
        )
        return cls(what, where=f"step {step}, the last one", fix=_WATCH_IT)

    @classmethod
    def hooks_gone(cls, *, owner: str, step: int) -> Self:
        fix = "leave them there: take off no hooks but your own, with what registering them returned"
        return cls(f"the recorder's hooks on {owner} were taken off", where=f"step {step}", fix=fix)

    @classmethod
    def still_lazy(cls, *, tensor: str) -> Self:
        what = f"{tensor} never got a shape, so nothing of its model was recorded"
        return cls(what, where=_BLOCK, fix="run all of the model's lazy layers, or leave out what never runs")

    @classmethod
    def same_names(cls, *, step: int) -> Self:
        what = "two watched models whose tensors have the same names are both trained"
        where = f"step {step}, optimizer.step()"
        return cls(what, where=where, fix="give each a name: recorder.watch(model, optimizer, name='teacher')")

    @classmethod
    def not_a_number(cls, *, name: str, found: str, method: str) -> Self:
        what = f"{name} is {found}, not a number, a scalar tensor or a list of them"
        return cls(what, where=f"Recorder.{method}", fix="log numbers: recorder.log(loss=loss)")

    @classmethod
    def divided(cls, *, name: str, method: str) -> Self:
        what = f"{name} is a DTensor of which this rank holds a part, and the recorder asks no other rank"
        fix = f"log a number that the loop has: {name}.full_tensor(), which every rank has to call"
        return cls(what, where=f"Recorder.{method}", fix=fix)

    @classmethod
    def reserved(cls, *, name: str, method: str) -> Self:
        what = f"{name!r} is a name that the recorder gives to what it sees itself"
        where = f"Recorder.{method}"
        return cls(what, where=where, fix="log it under another name, as in my_" + name.replace("/", "_"))

    @classmethod
    def not_a_batch(cls, *, found: str, method: str) -> Self:
        fix = "pass images and labels, one label an image, as tensors, arrays, or lists and dicts of them"
        return cls(f"{found} is no batch", where=f"Recorder.{method}", fix=fix)


_BLOCK = "the `with Recorder(...)` block"
_BY_HAND = "after each update by hand, call recorder.step()"
_WATCH_IT = "watch it, and its model, before it steps: recorder.watch(model, optimizer)"


class PrecisionError(RecorderError):
    """A training that computes in another precision than it says."""

    @classmethod
    def dtype(cls, *, tensor: str, found: str, precision: str, made: str = "") -> Self:
        fix = f"build the model inside `with Recorder(...)`, or convert it with model.to(torch.{precision})"
        return cls(f"{tensor} is {found}, but this run is in {precision}", where=_made(made, "Recorder.watch"), fix=fix)

    @classmethod
    def low(cls, *, module: str, found: str, place: str, made: str = "") -> Self:
        fix = "compute in the dtype of its input, or record the training in float32: Recorder(precision='float32')"
        return cls(f"{module} computes in {found}, but this run is in float64", where=_made(made, place), fix=fix)

    @classmethod
    def mixed(cls, *, module: str, found: str, precision: str, place: str, made: str = "") -> Self:
        fix = (
            f"give what is not {precision} the dtype of the model, as in inputs.to(weight.dtype); if the model "
            "insists on another precision, record the training in that: Recorder(precision=...)"
        )
        return cls(f"{module} met {found} at once, but this run is in {precision}", where=_made(made, place), fix=fix)


class NoLibraryError(RecorderError, ModuleNotFoundError):
    """The framework of an adapter is not installed."""

    @classmethod
    def of(cls, *, library: str) -> Self:
        fix = f"pip install 'pytest-training-regression[{library}]'"
        return cls(f"{library} is not installed", where=f"harness.adapters.{library}", fix=fix)


class RecordError(HarnessError):
    """A text that is no record.

    `reason` says why; "checksum" if it was edited.
    """

    reason: Reason = ""

    @classmethod
    def of(cls, reason: Reason) -> Self:
        error = cls(f"this text is no training record: {_said(reason)}", fix="write it with Record.to_text()")
        error.reason = reason
        return error

    @classmethod
    def unreadable(cls, *, path: Place, reason: Reason) -> Self:
        why = "it was edited: its checksum does not fit its contents" if reason == "checksum" else _said(reason)
        fix = "name a file that Record.save() wrote, or a baseline"
        error = cls(f"this file is no training record: {why}", where=path, fix=fix)
        error.reason = reason
        return error

    @classmethod
    def unwritten(cls, *, path: Place, reason: Reason) -> Self:
        error = cls(f"the record could not be written: {_said(reason)}", where=path, fix="name another file")
        error.reason = reason
        return error


class NonFiniteError(RecordError):
    """A record with NaN or infinity where a finite number is needed."""

    @classmethod
    def at(cls, *, name: str, step: int, stage: str, stream: str, value: object) -> Self:
        fix = (
            "find where the number is made; a figure cannot hold it, a baseline can if its test expects it: "
            "check(record, allow_nonfinite=['loss', ...])"
        )
        return cls(f"{stream} is {value} at step {step} ({stage})", where=f"the record of {name}", fix=fix)


class NotRecordedError(RecordError):
    """A record without what a figure draws."""

    @classmethod
    def missing(cls, wanted: str, *, name: str, figure: str, remedy: str, reason: str = "") -> Self:
        what = ": ".join(filter(None, (f"the record of {name} holds no {wanted}", reason)))
        return cls(what, where=f"figures.{figure}", fix=remedy)


class StatesError(RecordError):
    """A file that holds no states of a training."""

    @classmethod
    def of(cls, reason: Reason) -> Self:
        error = cls(
            f"these are no stored states of a training: {_said(reason)}", fix="write them with States.to_bytes()"
        )
        error.reason = reason
        return error


class EquivalenceError(HarnessError):
    """Seeds that cannot be judged together."""

    @classmethod
    def seed_count(cls, *, kind: str, found: int, needed: str, remedy: str) -> Self:
        return cls(f"{kind} seeds: {found}, but it takes {needed}", where=_JUDGE, fix=remedy)

    @classmethod
    def unknown_seed(cls, *, seed: int, known: Iterable[int]) -> Self:
        what = f"the baseline holds no summary of seed {seed}"
        where = f"it holds those of seeds {', '.join(map(str, known))}"
        return cls(what, where=where, fix="train the seeds that the baseline holds: a seed is compared with itself")

    @classmethod
    def no_seeds(cls, *, path: Place, found: int, seeds: int, command: str) -> Self:
        what = f"the baseline holds the summaries of {found} seeds, too few to judge by {seeds}"
        return cls(what, where=path, fix=f"on the former version of the code, run: {command}")

    @classmethod
    def more_seeds(cls, *, path: Place, found: int, seeds: int, command: str) -> Self:
        all_ = f"judge by all of them (--training-equivalence={found})"
        what = f"the baseline holds the summaries of {found} seeds, more than the {seeds} planned ones"
        return cls(what, where=path, fix=f"{all_}, or on the former version of the code, run: {command}")

    @classmethod
    def metric_missing(cls, *, metric: str, place: str, other: str) -> Self:
        fix = "log the same numbers in every seed's training; if they changed on purpose, regenerate the baseline"
        return cls(f"{metric} is in {place}, but not in {other}", where=_JUDGE, fix=fix)

    @classmethod
    def not_finite(cls, *, metric: str, value: object, seed: int, side: str) -> Self:
        fix = "find out why this seed's training ends so; no mean can be taken over it"
        return cls(f"{metric} is {value!r}, not a finite number", where=f"seed {seed} of {side}", fix=fix)

    @classmethod
    def no_metric(cls) -> Self:
        fix = "log a number in the training: recorder.log(loss=loss)"
        return cls("the seeds' summaries hold no metric", where=_JUDGE, fix=fix)


_JUDGE = "equivalence.judge"


class BaselineError(HarnessError):
    """A baseline that this session may not use."""

    @classmethod
    def other_environment(cls, *, path: Place, choice: str, command: str) -> Self:
        what = f"no baseline of this environment is stored, and --training-strict takes no other; there is one {choice}"
        return cls(what, where=path, fix=f"store one for this environment, too: {command} --training-generate=add")

    @classmethod
    def other_gate(cls, *, path: Place, now: str, then: str, command: str) -> Self:
        what = (
            "the test loosens its gate otherwise than when its baseline was made: "
            f"it {now or 'loosens nothing'}, the baseline {then or 'loosens nothing'}"
        )
        fix = f'undo that, or write the baseline anew with a reason: {command} --training-reason="..."'
        return cls(what, where=path, fix=fix)

    @classmethod
    def gate_there(cls, *, nodeid: str, name: str, now: str, then: str) -> Self:
        what = (
            f"the test loosens its gate otherwise than at {name}: it {now or 'loosens nothing'}, there it "
            f"{then or 'loosens nothing'}"
        )
        return cls(what, where=nodeid, fix="undo that, or bring it in alone: the commits after it are held against it")

    @classmethod
    def loose(
        cls, *, path: Place, family: str, step: int, stored: float, measured: float, draws: str, command: str
    ) -> Self:
        what = f"the thresholds of this baseline are far above what its training shows: {family}, step {step}"
        where = f"{path}: {stored:.1e}, measured again {measured:.1e} with {draws}"
        return cls(what, where=where, fix=f"regenerate it, and look at who loosened it and why: {command}")


class BaselineMissingError(BaselineError):
    """No baseline is stored for a test."""

    accept: str = ""
    """The command line that makes the result of this run the baseline; empty if it is not kept, or no whole one."""

    @classmethod
    def of(cls, *, path: Place, command: str, accept: str = "") -> Self:
        fix = f"{command}; or, with the numbers of this run: {accept}" if accept else command
        error = cls("there is no baseline for this training yet", where=path, fix=fix)
        error.accept = accept
        return error

    @classmethod
    def figure(cls, *, path: Place, command: str, accept: str = "") -> Self:
        fix = f"{command}; or, with the picture of this run: {accept}" if accept else command
        return cls("there is no baseline for this figure yet", where=path, fix=fix)


class BaselineCorruptError(BaselineError):
    """A baseline that is broken, edited or not finite."""

    @classmethod
    def unreadable(cls, *, path: Place, reason: Reason, command: str) -> Self:
        fix = f"restore it (git checkout -- {path}) or regenerate it: {command}"
        return cls(f"the baseline cannot be read: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def edited(cls, *, path: Place, command: str) -> Self:
        what = "the baseline was edited after it was written: its checksum does not fit its contents"
        return cls(what, where=path, fix=f"restore it (git checkout -- {path}) or regenerate it: {command}")

    @classmethod
    def not_finite(cls, *, path: Place, step: int, stage: str, stream: str, value: object, command: str) -> Self:
        what = f"the baseline holds {value} in {stream} at step {step} ({stage})"
        return cls(what, where=path, fix=f"no training can equal it; regenerate it: {command}")

    @classmethod
    def states(cls, *, path: Place, reason: Reason, command: str) -> Self:
        fix = f"restore them (git checkout -- {path}) or regenerate the baseline: {command}"
        return cls(f"the states of the baseline cannot be read: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def link(cls, *, path: Place, target: Place, command: str) -> Self:
        what = f"the baseline is a link to {target}, and what is behind a link can be anything: the result itself"
        fix = f"put a copy of the file in its place if it is the right one, or regenerate it: {command}"
        return cls(what, where=path, fix=fix)

    @classmethod
    def pointer(cls, *, path: Place, command: str) -> Self:
        fetch = "git lfs install && git lfs pull (actions/checkout: lfs: true)"
        what = "the baseline is a pointer of Git LFS: the file that it stands for was not fetched"
        return cls(what, where=path, fix=f"fetch it: {fetch}; or regenerate it: {command}")

    @classmethod
    def unmerged(cls, *, path: Place, command: str) -> Self:
        what = "the baseline is half of a merge: both sides changed it, and neither was chosen"
        fix = (
            f"choose a side (git checkout --theirs -- {path}, or --ours), then git add it; or regenerate it: {command}"
        )
        return cls(what, where=path, fix=fix)

    @classmethod
    def marked(cls, *, path: Place, command: str) -> Self:
        side = f"take it from the commit of one side (git log -m -- {path}; git checkout COMMIT -- {path})"
        what = "the baseline holds the marks of a merge conflict, and was committed with them"
        return cls(what, where=path, fix=f"{side}; or regenerate it: {command}")


class BaselineImplausibleError(BaselineCorruptError):
    """A baseline that would loosen its own judge."""

    @classmethod
    def of(cls, *, path: Place, reason: str, command: str) -> Self:
        what = f"the baseline holds what its own training cannot have shown: {reason}"
        return cls(what, where=path, fix=f"look at who wrote it and why, and regenerate it: {command}")

    @classmethod
    def unjudgeable(cls, *, nodeid: str, reason: str) -> Self:
        fix = "fewer steps or iterations, a lower rate, or stored states: Recorder(states=training_regression.states())"
        return cls(f"a baseline of this training would judge nothing: {reason}", where=nodeid, fix=fix)


class BaselineWriteError(BaselineError):
    """A baseline file could not be written; what stood there still stands."""

    @classmethod
    def of(cls, *, path: Place, reason: Reason) -> Self:
        fix = "make the folder writable and the disk roomy, then run the command again; nothing was changed"
        return cls(f"the baseline could not be written: {_said(reason)}", where=path, fix=fix)


class AcceptError(HarnessError):
    """A result that cannot become a baseline."""

    @classmethod
    def nothing_failed(cls, *, place: Place) -> Self:
        fix = "run pytest --mpl first; what differs from its baseline, or has none yet, can then be accepted"
        return cls("no result of a failed comparison is kept here", where=place, fix=fix)

    @classmethod
    def unknown(cls, *, name: str, place: Place, near: Sequence[str]) -> Self:
        return cls(f"no result of a failed comparison is called {name!r}", where=place, fix=f"use one of {some(near)}")

    @classmethod
    def no_reason(cls, *, option: str) -> Self:
        fix = f'{option} "...", in words that a reviewer will understand'
        return cls("a baseline does not change without a reason", where=option, fix=fix)

    @classmethod
    def loosened(cls, *, nodeid: str, gate: str) -> Self:
        fix = 'say why, in words that a reviewer will understand: --training-reason="..."'
        return cls(f"a gate is not loosened without a reason: the test {gate}", where=nodeid, fix=fix)

    @classmethod
    def note(cls, *, path: Place, reason: Reason) -> Self:
        what = f"the note on a failed comparison cannot be used: {_said(reason)}"
        return cls(what, where=path, fix="delete it and run the test again")

    @classmethod
    def incomplete(cls, *, path: Place, reason: Reason, command: str) -> Self:
        fix = f"run the test again, or train anew: {command}"
        return cls(f"the result cannot be accepted: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def elsewhere(cls, *, name: str, place: Place, folder: Place) -> Self:
        what = f"the result for {name} was compared with a baseline in {place}, and this project's are in {folder}"
        return cls(what, fix="to have it written there, name that folder yourself: --baselines DIR")

    @classmethod
    def no_place(cls, *, name: str, place: Place, reason: Reason) -> Self:
        what = f"the result for {name} cannot be written: {_said(reason)}"
        return cls(what, where=place, fix="keep baselines as plain files in a folder of the project")

    @classmethod
    def stale(cls, *, name: str, reason: str, test: str) -> Self:
        what = f"the result for {name} is stale: {reason}"
        return cls(what, where=test, fix=f"run the test again: pytest --mpl {shlex.quote(test)}")

    @classmethod
    def needs_training(cls, *, name: str, obstacle: str, command: str) -> Self:
        return cls(f"the result for {name} is no whole baseline: {obstacle}", fix=command)


class RerunError(HarnessError):
    """A training that could not be run again as a rerun has to be."""

    @classmethod
    def failed(cls, *, nodeid: str, change: str, output: str) -> Self:
        fix = f"run the test alone and look at its output; the last lines of the run were:\n{output}"
        return cls(f"this training was run again with {change}, and that run left no record", where=nodeid, fix=fix)

    @classmethod
    def launched(cls, *, nodeid: str, ranks: int) -> Self:
        what = f"this session is one of {ranks} ranks that a launcher started, and no rank can be run again alone"
        fix = "start pytest itself, and the ranks in the test: with the fixture `ranks`, or with the launcher"
        return cls(what, where=nodeid, fix=fix)

    @classmethod
    def unrepeatable(cls, *, nodeid: str) -> Self:
        fix = (
            "draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of its own"
        )
        return cls("this training, run again without any change, is not the same", where=nodeid, fix=fix)


class UnseededError(RerunError):
    """A training that, run again as it is, is another."""

    @classmethod
    def of(cls, *, step: int, stage: str, stream: str, draws: str, others: Sequence[str] = ()) -> Self:
        what = f"this training, run again without any change, is another from step {step} on: {stage}, {stream}"
        fix = (
            "draw all its random numbers inside the `with Recorder(...)` block, from its seed or generators of its "
            "own; let nothing depend on the order of a set, on the clock or on files of an earlier run"
        )
        return cls(what, where=draws or _no_draw(others), fix=fix)

    @classmethod
    def in_one_session(cls, *, step: int, stage: str, stream: str, draws: str, others: Sequence[str] = ()) -> Self:
        what = f"two trainings of one session differ from step {step} on: {stage}, {stream}"
        fix = (
            "a later one says nothing of the one that the test got; find what is another the second time: a draw "
            "without a seed, a cache or counter that outlives a training, a patch that has ended, threads that race, "
            "on a GPU an operation that has no deterministic kernel"
        )
        return cls(what, where=draws or _no_draw(others), fix=fix)


def _no_draw(others: Sequence[str]) -> str:
    began = f"; {' and '.join(others)} were others at the first step: drawn from before the block, or without a seed"
    return "no draw without a seed was seen" + began * bool(others)


class FaultError(RerunError):
    """A training that ended with an exception while a standard fault was to be planted in it.

    Args:
        what: ended it.
        where: the fault.
        fix: what to do.
        planted: whether the fault had taken effect: if so, the exception is what came of it.
    """

    def __init__(self, what: str, *, where: str, fix: str, planted: bool = False) -> None:
        super().__init__(what, where=where, fix=fix)
        self.planted = planted

    @classmethod
    def planting(cls, *, fault: str, error: BaseException) -> Self:
        fix = "report it with its traceback: the training has nothing to do with it"
        return cls(f"planting raised {_headline(error)}", where=f"fault {fault}", fix=fix)

    @classmethod
    def broken(cls, *, fault: str, error: BaseException) -> Self:
        fix = "nothing: nobody overlooks what this fault does"
        return cls(f"the training ended with {_headline(error)}", where=f"fault {fault}", fix=fix, planted=True)

    @classmethod
    def untouched(cls, *, fault: str, error: BaseException) -> Self:
        what = f"the training ended with {_headline(error)}, which tells nothing of the fault"
        return cls(what, where=f"fault {fault}", fix="run the test alone and look at its output; then measure again")


class WorkerError(HarnessError):
    """A worker that could not run a test for this session."""

    @classmethod
    def foreign(cls, *, nodeid: str, worker: str, unlike: Sequence[str]) -> Self:
        fix = "have every worker see this checkout as it is now, with the same installation"
        return cls(f"the worker {worker} has something else than this session: {some(unlike)}", where=nodeid, fix=fix)

    @classmethod
    def lost(cls, *, nodeid: str, times: int, output: str) -> Self:
        fix = f"run the test alone; the last lines of its last worker were:\n{output or 'none: it died itself'}"
        return cls(f"this test was lost with its worker {times} times", where=nodeid, fix=fix)

    @classmethod
    def absent(cls, *, nodeid: str, worker: str, reason: str) -> Self:
        fix = f"collect it there and look; pytest said:\n{reason}"
        return cls(f"the worker {worker} finds no such test", where=nodeid, fix=fix)

    @classmethod
    def unable(cls, *, nodeid: str, worker: str, reason: str) -> Self:
        fix = "have pytest-training-regression there in the same version, with what the project needs, and room"
        return cls(f"the worker {worker} cannot begin this test: {reason}", where=nodeid, fix=fix)

    @classmethod
    def no_cluster(cls, *, address: str, reason: Reason) -> Self:
        fix = "start the cluster, and run the session again: tests that passed are kept, and run no more"
        return cls(f"the Ray cluster has died: {_said(reason)}", where=f"--training-on={address}", fix=fix)


_SAVE = 'recorder.record.save(f"{folder}/rank{rank}.json")'
"""How a rank leaves its record."""


class RanksError(HarnessError):
    """Ranks of a distributed training that do not belong together, or have failed."""

    @classmethod
    def local(cls, *, name: str) -> Self:
        what = f"{name} cannot be found in another process"
        return cls(what, where="ranks(...)", fix="define it with `def` in a module, not within another function")

    @classmethod
    def failed(cls, *, rank: int, world_size: int, line: str) -> Self:
        what = f"rank {rank} of {world_size} failed: {line}"
        return cls(what, fix="read its traceback in the captured output; the other ranks were ended")

    @classmethod
    def hung(cls, *, places: Mapping[int, str], world_size: int, seconds: float) -> Self:
        ranks = ", ".join(map(str, places))
        fix = "read the captured output, which has the whole stacks; if only more time is needed: ranks(..., "
        what = f"rank {ranks} of {world_size} did not end within {seconds:g} seconds"
        where = "; ".join(f"rank {rank}: {place}" for rank, place in places.items())
        return cls(what, where=where, fix=f"{fix}timeout_seconds={2 * seconds:g})")

    @classmethod
    def no_record(cls, *, name: str, found: str) -> Self:
        fix = "return recorder.record, once the recorder's block has ended"
        return cls(f"{name} returned {found}, not a Record", where="ranks(...)", fix=fix)

    @classmethod
    def none_given(cls, *, function: str) -> Self:
        fix = "give what ranks(function) returns, or the folder that every rank has saved its own in"
        return cls("there is no record of any rank", where=f"{function}([])", fix=fix)

    @classmethod
    def empty(cls, *, place: str) -> Self:
        return cls("this folder holds no record of any rank", where=place, fix=f"have every rank save its own: {_SAVE}")

    @classmethod
    def no_folder(cls, *, place: Place) -> Self:
        fix = f"name the folder that every rank saves its own record in: {_SAVE}"
        return cls("there is no such folder", where=place, fix=fix)

    @classmethod
    def unreadable(cls, *, path: Place, reason: str) -> Self:
        fix = "leave nothing but the records of all ranks in this folder, and have them saved anew"
        return cls(f"in the folder of all ranks' records, {reason}", where=path, fix=fix)

    @classmethod
    def missing(cls, *, ranks: Sequence[int], world_size: int, place: str) -> Self:
        what = f"of {world_size} ranks, the record of rank {', '.join(map(str, ranks))} is missing"
        return cls(what, where=place, fix="have every rank save its record, and start all of them")

    @classmethod
    def foreign(cls, *, found: Sequence[str], place: str) -> Self:
        what = f"these records are not one a rank of one training: {some(found)}"
        return cls(what, where=place, fix="give those of one training; if they are in a folder, empty it before each")

    @classmethod
    def alone(cls, *, nodeid: str) -> Self:
        what = "there is one record, of a process that was in no process group: whatever started it started no ranks"
        return cls(what, where=nodeid, fix="have it start all ranks; of a single process: training_regression.check")

    @classmethod
    def not_single(cls, *, rank: int, world_size: int, nodeid: str) -> Self:
        what = f"single is the record of rank {rank} of {world_size}"
        return cls(what, where=nodeid, fix="give that of one process that trains on all samples")

    @classmethod
    def rounded(cls, *, precision: str, nodeid: str) -> Self:
        fix = 'have both train in precision="float64", or leave single out: then the baseline of the test counts'
        return cls(f"in {precision} rounding alone parts ranks from a single process", where=nodeid, fix=fix)

    @classmethod
    def apart(cls, *, first: str, nodeid: str) -> Self:
        what = f"the ranks of this training part, which cannot become a baseline: {first}"
        return cls(what, where=nodeid, fix="have all ranks train the same model, then write the baseline")


class TreeError(HarnessError):
    """A commit whose tree cannot be trained in."""

    @classmethod
    def no_git(cls, *, reason: Reason) -> Self:
        return cls(f"git cannot be started: {_said(reason)}", fix="install git: other commits are known to it alone")

    @classmethod
    def no_repository(cls, *, root: Place, reason: Reason) -> Self:
        what = f"git finds no checkout of a repository here: {_said(reason)}"
        return cls(what, where=root, fix="run this in the project's git checkout")

    @classmethod
    def unknown(cls, *, revision: str, root: Place, reason: Reason) -> Self:
        what = f"{revision!r} is no commit: {_said(reason)}"
        return cls(what, where=root, fix="name a commit, branch or tag that is here; git fetch brings others")

    @classmethod
    def shallow(cls, *, revision: str, root: Place, commits: int) -> Self:
        what = f"{revision!r} is not in this shallow clone, which has {number(commits, 'commit')}"
        fix = "fetch it: git fetch --unshallow; with GitHub's action checkout, fetch-depth: 0"
        return cls(what, where=root, fix=fix)

    @classmethod
    def incomplete(cls, *, commit: str, path: Place, reason: Reason) -> Self:
        fix = (
            f"make room there, or name another folder: XDG_CACHE_HOME=DIR; in a partial clone, fetch its files: "
            f"git archive {commit[:12]} > {os.devnull}"
        )
        return cls(f"commit {commit[:12]} cannot be checked out: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def not_kept(cls, *, file: Place, commit: str) -> Self:
        what = f"Git LFS keeps {file}, and what commit {commit[:12]} has there was not fetched"
        return cls(what, fix=f"git lfs fetch origin {commit}")

    @classmethod
    def submodule(cls, *, path: Place, commit: str) -> Self:
        fix = "git fetch --recurse-submodules; if it has been removed since: git clone it to where it was"
        return cls(f"commit {commit} of the submodule {path} is not here", fix=fix)

    @classmethod
    def no_folder(cls, *, revision: str, folder: Place) -> Self:
        return cls(f"{revision!r} has no folder {folder}, where the project is now", fix="name a commit that has it")

    @classmethod
    def setup(cls, *, command: str, status: int, output: str) -> Self:
        what = f"the command that makes a tree ready ended with status {status}; it printed last:\n{output}"
        fix = "it runs in the project's root in the tree; TRAINING_OWN_TREE names that folder of your own checkout"
        return cls(what, where=f"--training-setup={shlex.quote(command)}", fix=fix)

    @classmethod
    def no_harness(cls, *, command: str) -> Self:
        what = "the Python that was made for a tree, .venv, lacks pytest-training-regression"
        return cls(what, where=f"--training-setup={shlex.quote(command)}", fix="install that there, too")

    @classmethod
    def foreign(cls, *, commit: str, modules: Sequence[str]) -> Self:
        fix = (
            "name the folder of its sources in pytest's `pythonpath`, or install that commit's own in a .venv: "
            "--training-setup=COMMAND"
        )
        return cls(f"a training at commit {commit[:12]} ran code that is not that commit's: {some(modules)}", fix=fix)

    @classmethod
    def absent(cls, *, module: str, file: Place, commit: str) -> Self:
        what = f"commit {commit[:12]} has no module {module}; that of your own checkout is not taken"
        return cls(what, where=file, fix="if it is built or generated, have it made there: --training-setup=COMMAND")

    @classmethod
    def cannot_run(cls, *, commit: str, test: str, reason: str) -> Self:
        fix = "have what it needs installed there: --setup COMMAND; or name another commit: --against REF"
        return cls(f"commit {commit} cannot run this test: {reason}", where=test, fix=fix)

    @classmethod
    def uncommitted(cls, *, path: Place, reason: str) -> Self:
        fix = "commit it with the code that it was made from, or name a commit to run: --against REF"
        return cls(f"no commit is known that this baseline was made at: {reason}", where=path, fix=fix)

    @classmethod
    def cache(cls, *, path: Place, reason: Reason) -> Self:
        fix = "name a folder that can be written to: XDG_CACHE_HOME=DIR"
        return cls(f"the trees of other commits cannot be kept in {path}: {_said(reason)}", fix=fix)

    @classmethod
    def no_end(cls, *, name: str, output: str) -> Self:
        fix = f"run its tests there and look at their output; the last lines were:\n{output}"
        return cls(f"the tests of {name} came to no end, so nothing can be held against them", fix=fix)

    @classmethod
    def not_run(cls, *, nodeid: str, name: str, reason: str) -> Self:
        fix = (
            "name a commit in which it runs (where CI or --training-strict is set, all must be held against something)"
        )
        return cls(f"this test made no baseline at {name}: {reason}", where=nodeid, fix=fix)

    @classmethod
    def undecided(cls, *, commit: str, reason: Reason) -> Self:
        what = f"it cannot be said whether the training at commit {commit[:12]} differs"
        fix = "name another commit, or a test that runs at both: its file is lent to commits that lack it"
        return cls(what, where=str(reason), fix=fix)

    @classmethod
    def unrelated(cls, *, good: str, bad: str) -> Self:
        fix = "name two commits of one history; a shallow clone has little of it: git fetch --unshallow"
        return cls(f"commits {good[:12]} and {bad[:12]} have no common ancestor", fix=fix)

    @classmethod
    def changed_aside(cls, *, good: str, bad: str, fork: str) -> Self:
        older, newer = (bad, good) if fork == bad else (fork, bad)
        what = f"commit {good[:12]} is no ancestor of {bad[:12]}, and where they parted the training was another, too"
        return cls(what, where=fork, fix=f"begin with the older one: harness bisect {older[:12]} {newer[:12]}")


class EventsError(HarnessError):
    """TensorBoard's event files that cannot be compared or written."""

    @classmethod
    def missing(cls, *, path: Place, looked_for: str) -> Self:
        fix = "give the folder that the training writes its TensorBoard events to"
        return cls(f"there are no event files in {path}", where=f"looked for {looked_for}", fix=fix)

    @classmethod
    def corrupt(cls, *, path: Place, reason: Reason) -> Self:
        return cls(f"the event file cannot be read: {_said(reason)}", where=path, fix="remove it, and train again")

    @classmethod
    def stale(cls, *, path: Place, written: float, since: float) -> Self:
        times = (datetime.fromtimestamp(max(0.0, time), UTC) for time in (written, since))
        made, began = (f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03} UTC" for time in times)
        fresh = "empty the folder before the training, or log into tmp_path"
        what = f"the event file was left by an earlier run: it is of {made}, and this one began at {began}"
        fix = f"{fresh}; if the test reads files that are kept on purpose: check_events(..., old=True)"
        return cls(what, where=path, fix=fix)

    @classmethod
    def two_writers(cls, *, tag: str, first: Place, second: Place) -> Self:
        where = f"{first} and {Path(second).name}"
        fix = "give each writer a folder of its own; where several processes train, let one of them write"
        return cls(f"two writers logged {tag} into one folder at the same time", where=where, fix=fix)

    @classmethod
    def no_scalar(cls, *, path: Place) -> Self:
        close = "and close the writer before the check (writer.close())"
        fix = f"log one (writer.add_scalar('loss', loss, step)), {close}"
        return cls("the event files hold no scalar to compare", where=path, fix=fix)

    @classmethod
    def unwritten(cls, *, path: Place, reason: Reason) -> Self:
        what = f"the TensorBoard run could not be written: {_said(reason)}"
        return cls(what, where=path, fix="give a folder that can be written to")


class EventsCutOffError(EventsError):
    """An event file ends within an event."""

    @classmethod
    def at(cls, *, path: Place, start: int) -> Self:
        what = f"the event file is cut off: the event that begins at byte {start} is not whole"
        fix = "close the writer before the check (writer.close()), or find out why the training did not end"
        return cls(what, where=path, fix=fix)


class OutputError(HarnessError):
    """What a session leaves beside its baselines could not be written."""

    @classmethod
    def of(cls, *, path: Place, reason: Reason) -> Self:
        fix = (
            "see to it that there is room, and that it can be written to, or name another folder: --training-output=DIR"
        )
        return cls(f"what this session found cannot be kept: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def history(cls, *, path: Place, reason: Reason) -> Self:
        fix = "name a file in a folder that can be written to: the ini option training_history"
        return cls(f"the history of margins cannot be kept: {_said(reason)}", where=path, fix=fix)


class ReportError(HarnessError):
    """Results of a session that no report can be made from."""

    @classmethod
    def missing(cls, *, path: Place) -> Self:
        fix = "run pytest --mpl first, or give a folder that holds its results.json: build/harness, an artifact of CI"
        return cls("there are no results of a session here", where=path, fix=fix)

    @classmethod
    def corrupt(cls, *, path: Place, reason: Reason) -> Self:
        fix = "run pytest --mpl again, or fetch the artifact again; a file of another version needs that version"
        return cls(f"the results of a session cannot be read: {_said(reason)}", where=path, fix=fix)

    @classmethod
    def not_whole(cls, *, reason: str, names: Sequence[str]) -> Self:
        fix = "see to it that every job ran and kept its results, and that its tests check what they own"
        return cls(reason, where=some(names), fix=fix)

    @classmethod
    def unwritten(cls, *, path: Place, reason: Reason) -> Self:
        fix = "name another file: harness report --output FILE"
        return cls(f"the report could not be written: {_said(reason)}", where=path, fix=fix)


class NotFoundError(HarnessError):
    """A command was given a name that nothing has, or that something of another kind has."""

    @classmethod
    def baseline(cls, *, name: str, place: Place | BaseException, near: Sequence[str] = ()) -> Self:
        fix = "give a name that `harness list` prints, a test, a file, a folder, or REVISION:PATH"
        fix += f"; near it are {some(near)}" if near else ""
        return cls(f"there is no baseline, file or folder {name!r}", where=str(place), fix=fix)

    @classmethod
    def several(cls, *, name: str, place: Place, found: Sequence[str]) -> Self:
        what = f"{name!r} is a part of several names, and this takes one"
        return cls(what, where=place, fix=f"give more of the name: {some(found)}")

    @classmethod
    def nothing(cls, *, former: str, present: str) -> Self:
        what = "neither holds a baseline, so that nothing was compared"
        return cls(what, where=f"{former} and {present}", fix="give two folders of baselines")

    @classmethod
    def kinds(cls, *, former: str, present: str) -> Self:
        what = "a record and a figure cannot be compared"
        return cls(what, where=f"{former} and {present}", fix="give two records, or two figures")

    @classmethod
    def loop(cls, *, loop: str, place: Place, near: Sequence[str] = ()) -> Self:
        fix = "give a script (--loop train.py), or a function or class of a module (--loop mylib.train:main)"
        fix += f"; found are {some(near)}" if near else ""
        return cls(f"there is no training loop {loop!r}", where=place, fix=fix)

    @classmethod
    def syntax(cls, *, path: Place, reason: Reason) -> Self:
        return cls(f"the training loop cannot be read: {_said(reason)}", where=path, fix="mend this file")

    @classmethod
    def no_folder(cls, *, path: Place) -> Self:
        return cls("there is no such folder", where=path, fix="give a folder that is there")

    @classmethod
    def folder(cls, *, path: Place, reason: Reason) -> Self:
        what = f"the project does not say where its baselines are: {_said(reason)}"
        return cls(what, where=path, fix="mend this file, or give the folder: --baselines DIR")

    @classmethod
    def neither(cls, *, word: str, root: Place) -> Self:
        fix = "give a commit, branch or tag, a path of the project, or a test (tests/test_a.py::test_b)"
        return cls(f"{word!r} names neither a commit nor a test", where=root, fix=fix)

    @classmethod
    def ambiguous(cls, *, word: str) -> Self:
        return cls(f"{word!r} names a commit and a path", fix=f"write ./{word} for the path, or the commit's own name")

    @classmethod
    def revision(cls, *, text: str, place: Place, remedy: str) -> Self:
        return cls(f"git has nothing under {text!r}", where=place, fix=remedy)


class SuiteError(HarnessError):
    """A pytest suite or command line that would compare nothing, or the wrong thing."""

    @classmethod
    def not_compared(cls, *, nodeid: str) -> Self:
        fix = "run pytest with --mpl (CI is set, and a gate that compares nothing must not be green)"
        return cls("this figure was collected but not compared", where=nodeid, fix=fix)

    @classmethod
    def not_a_figure(cls, *, nodeid: str, found: str) -> Self:
        return cls(f"the test returned {found}, not a figure", where=nodeid, fix="end the test with `return figure`")

    @classmethod
    def let_pass(cls, *, nodeid: str, rms: float | None, tolerance: float) -> Self:
        far = "was compared with no picture" if rms is None else f"is RMS {rms:.2f} away (tolerance {tolerance:g})"
        fix = "have it compared with a picture: no hash library, and a plain test function"
        return cls(f"the figure {far}, and pytest-mpl let it pass", where=nodeid, fix=fix)

    @classmethod
    def tolerance(cls, *, nodeid: str, value: float) -> Self:
        what = f"no figure differs by more than a tolerance of {value}"
        return cls(what, where=nodeid, fix="give a number of grey levels")

    @classmethod
    def marker_option(cls, *, nodeid: str, option: str, known: Iterable[str]) -> Self:
        what = f"mpl_image_compare has no option {option!r}, and pytest-mpl would ignore it"
        return cls(what, where=nodeid, fix=f"use one of {', '.join(known)}")

    @classmethod
    def shared_baseline(cls, *, file: str, first: str, second: str) -> Self:
        fix = "rename one of them, or give it another filename"
        return cls(f"two tests share the baseline file {file}", where=f"{first} and {second}", fix=fix)

    @classmethod
    def swallowed(cls, *, tests: Sequence[str]) -> Self:
        fix = (
            "let the exception of check() end its test: no try around it, no thread, no xfail; skip a test whose "
            "training is to differ"
        )
        return cls("a check failed, but its test did not", where=some(tests), fix=fix)

    @classmethod
    def rerun(cls, *, tests: Sequence[str]) -> Self:
        what = "a check failed, and passed when its test was run again: two trainings of one session differ"
        fix = "find out what differs from run to run, and run the test without retries"
        return cls(what, where=some(tests), fix=fix)

    @classmethod
    def nothing_compared(cls, *, count: int) -> Self:
        fix = "run the tests that own them, on a machine that can (--training-strict)"
        return cls(f"none of {number(count, 'baseline')} was compared", where="this session", fix=fix)

    @classmethod
    def strictly_generating(cls) -> Self:
        fix = "leave one of them out: what is written anew proves nothing"
        return cls("baselines are written, and --training-strict compares", where="the command line", fix=fix)

    @classmethod
    def no_executor(cls, *, name: str, reason: Reason) -> Self:
        what = f"{name!r} names nothing to train on: {_said(reason)}"
        return cls(what, where="--training-on", fix="local:N, ray, ray://HOST:PORT, or module:Class of your own")

    @classmethod
    def no_ray(cls) -> Self:
        fix = "pip install 'pytest-training-regression[ray]'"
        return cls("Ray is not installed", where="--training-on=ray", fix=fix)

    @classmethod
    def no_cluster(cls, *, address: str, reason: Reason) -> Self:
        fix = "start the cluster, or correct its address; without one, --training-on=ray starts its own here"
        return cls(f"Ray cannot be reached: {_said(reason)}", where=f"--training-on={address}", fix=fix)

    @classmethod
    def not_sent(cls, *, option: str) -> Self:
        what = f"--training-on has tests run elsewhere to compare them, and {option} has another use for them"
        return cls(what, where="the command line", fix="leave one of them out")

    @classmethod
    def two_sources(cls, *, option: str) -> Self:
        what = f"--training-against has another commit make the baselines, and {option} is about stored ones"
        return cls(what, where="the command line", fix="leave one of them out")

    @classmethod
    def name_taken(cls, *, name: str, place: Place) -> Self:
        fix = "rename it there, or run pytest without the gate: -p no:training_regression"
        return cls(f"{name} is an option of pytest-training-regression, and of another", where=place, fix=fix)

    @classmethod
    def unreached(cls, *, baselines: Sequence[str], why: str) -> Self:
        what = f"{number(len(baselines), 'baseline')} not checked by the tests that own them"
        fix = f"check them, skip the test with a reason, or delete the files ({why}: nothing may be left out silently)"
        return cls(what, where=some(baselines), fix=fix)

    @classmethod
    def touched(cls, *, files: Sequence[str]) -> Self:
        what = f"{number(len(files), 'baseline')} written to, or removed, while they were compared"
        return cls(what, where=some(files), fix="write baselines with --mpl-generate-path or harness accept only")

    @classmethod
    def unclaimed(cls, *, files: Sequence[str], folder: Place, why: str) -> Self:
        what = f"{number(len(files), 'baseline')} in {folder} that no test claims"
        fix = "delete them, bring their tests back, or git mv them as their tests were renamed"
        return cls(what, where=some(files), fix=f"{fix} ({why})")

    @classmethod
    def unknown_owners(cls, *, files: Sequence[str], folder: Place, reason: str) -> Self:
        what = f"{number(len(files), 'baseline')} in {folder} whose tests are not known: {reason}"
        fix = "run the whole project; in a job of a matrix, say which part it is: --training-shard=1/4"
        return cls(what, where=some(files), fix=fix)

    @classmethod
    def linked_folder(cls, *, path: Place, target: Place) -> Self:
        fix = "name the folder that they are in, and commit them there: baselines are plain files of the project"
        return cls(f"baselines would be read through a link to {target}", where=path, fix=fix)

    @classmethod
    def among_results(cls, *, path: Place, results: Place) -> Self:
        what = f"baselines would lie in {results}, where this session leaves its results"
        return cls(what, where=path, fix="give each a folder of its own: what is compared with itself never differs")

    @classmethod
    def written_elsewhere(cls, *, path: Place, read: Place, root: Place, folder: Place) -> Self:
        elsewhere = "if the root is another, run pytest there, or put pytest.ini there"
        what = f"baselines would be written to {path}, and are read from {read}"
        fix = f"from here, --mpl-generate-path={folder}; {elsewhere}"
        return cls(what, where=f"the project's root is {root}", fix=fix)

    @classmethod
    def checked_twice(cls, *, nodeid: str, name: str) -> Self:
        what = f"this test checks a second record under the name {name!r}"
        return cls(what, where=nodeid, fix="name it: training_regression.check(record, name='...')")

    @classmethod
    def idle_pattern(cls, *, nodeid: str, argument: str, pattern: str, near: Sequence[str]) -> Self:
        fix = f"take it out, or name a stream that there is: {some(near)}"
        return cls(f"{argument}=[{pattern!r}] fits no stream of the record", where=nodeid, fix=fix)

    @classmethod
    def nothing_judged(cls, *, nodeid: str) -> Self:
        fix = "name what is no property of the training, and nothing else: ignore=['evaluation/*']"
        return cls("the test ignores all that its training did", where=nodeid, fix=fix)

    @classmethod
    def no_source(cls, *, name: str, root: Place) -> Self:
        fix = "name files of it, or patterns, relative to that folder: sources=['train.py', 'configs/*.yaml']"
        return cls(f"the project has no source {name!r}", where=f"check(..., sources=...), below {root}", fix=fix)

    @classmethod
    def not_generating(cls, *, option: str) -> Self:
        what = f"{option} is about baselines that are written, and none are"
        return cls(what, where="the command line", fix=f"add --mpl-generate-path=baselines, or leave {option} out")

    @classmethod
    def not_against(cls, *, option: str) -> Self:
        what = f"{option} is about what trainings were at another commit, and none is named"
        return cls(what, where="the command line", fix=f"add --training-against=REF, or leave {option} out")

    @classmethod
    def share(cls, *, value: str) -> Self:
        what = f"training_gate_power_min = {value} is no number from 0 to 1"
        where = "the ini file, or the command line's -o"
        return cls(what, where=where, fix="name the share of faults to be caught: 0.95")

    @classmethod
    def results_always(cls, *, path: object, value: str) -> Self:
        return cls(f"mpl-results-always = {value} means true to pytest-mpl", where=str(path), fix="remove the line")

    @classmethod
    def workers_elsewhere(cls, *, folder: str) -> Self:
        what = "a worker of pytest-xdist in a folder of its own would leave the baselines there"
        return cls(what, where=folder or "another machine", fix="write baselines with workers of this folder: -n auto")

    @classmethod
    def remote_baselines(cls, *, path: str) -> Self:
        what = f"baselines cannot be read from {path}: records are compared with local files"
        return cls(what, where="--mpl-baseline-path", fix="check the baselines out beside the tests")
