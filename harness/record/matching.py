"""Renamed tensors and parts of a batch, relabelled groups: a note on the structure, not a wall of red."""

import dataclasses
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import chain, takewhile
from types import MappingProxyType
from typing import Any

from harness.record.record import Record
from harness.record.streams import CALLS, TENSOR_KINDS, StreamKey, Streams


_Structure = Mapping[str, Mapping[str, Any]]
_WHOLE = "model"
"""What the model itself is called among its modules."""
_APART = "."
"""Where a module is that has lost a tensor."""


def in_names_of(record: Record, baseline: Record) -> tuple[Record, dict[str, str]]:
    """Return a baseline with its tensors named as in a record, and which names that changed, former to present.

    Tensors that only one side knows are matched by shape, dtype, requires_grad and order, if all of them match; if
    one does not, nothing is renamed; so are the parts of a batch, by shape. Parameter groups are named after a tensor;
    groups that train the same are one.
    """
    names = matched(_forms(baseline.structure), _forms(record.structure))
    parts = matched(_parts_of_batch(baseline.streams), _parts_of_batch(record.streams))
    structure = {names.get(name, name): entry for name, entry in baseline.structure.items()}
    labels = _relabelled(structure, record.structure)
    structure = {name: _regrouped(entry, labels) for name, entry in structure.items()}
    pairs = ((key, parts if key.kind == "batch" else names, stream) for key, stream in baseline.streams.items())
    streams = Streams((_renamed(key, known, labels), stream) for key, known, stream in pairs)
    loaders = _loaders(baseline.clues, record.clues)
    tensors = {name: names.get(name, name) for name in baseline.structure}
    modules = _shifted(_modules(tensors), baseline.clues, record.clues)
    clues = Streams((_renamed(key, modules, labels, loaders), stream) for key, stream in baseline.clues.items())
    return dataclasses.replace(baseline, structure=structure, streams=streams, clues=clues), names | parts


def matched(before: Mapping[str, object], now: Mapping[str, object]) -> dict[str, str]:
    """Return which names changed, former to present, if all that only one side knows match by form and order.

    Both sides are names to what must be equal: a tensor's shape, say.
    """
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    same = [before[name] for name in gone] == [now[name] for name in new]
    return dict(zip(gone, new, strict=True)) if same else {}


def _parts_of_batch(streams: Streams) -> dict[str, object]:
    """Return the streams of a batch's parts with their shapes: a part may have another name, in the same place."""
    keys = [key for key in streams if key.kind == "batch" and key.tensor != "size"]
    return {key.tensor: _shape(streams, key.tensor) for key in keys}


def _shape(streams: Streams, part: str) -> object:
    shape = streams.find(f"batch/{part.partition(' ')[0]} shape")
    return part.partition(" ")[2], shape


def _forms(structure: _Structure) -> dict[str, list[Any]]:
    return {name: [entry.get(key) for key in ("shape", "dtype", "requires_grad")] for name, entry in structure.items()}


def group_text(label: str, structure: _Structure) -> str:
    """Name a parameter group after what it trains: all parameters, those of a prefix, or its first and how many more.

    Its label is its first tensor, which its streams are named after.
    """
    groups = {name: entry.get("group") for name, entry in structure.items() if _is_parameter(entry)}
    members = [name for name, group in groups.items() if group == label]
    if len(members) < 2:
        return label
    if len(members) == len(groups):
        return "all parameters"
    columns = zip(*(name.split(".")[:-1] for name in members), strict=False)
    prefix = "".join(f"{parts[0]}." for parts in takewhile(lambda parts: len({*parts}) == 1, columns))
    if prefix and not any(name.startswith(prefix) for name, group in groups.items() if group != label):
        return f"{prefix}*"
    return f"{label} and {len(members) - 1} more"


def _is_parameter(entry: Mapping[str, Any]) -> bool:
    """Tell whether a tensor is trained, or held by an optimizer."""
    return bool(entry.get("requires_grad") or entry.get("group") is not None)


def is_frozen(entry: Mapping[str, Any]) -> bool:
    """Tell whether nothing trains a tensor, so that it does not matter whether an optimizer holds it."""
    return not entry.get("requires_grad", True)


def _relabelled(before: _Structure, now: _Structure) -> dict[str, str]:
    labels = {members: label for label, members in _groups(now).items() if members}
    return {label: labels.get(members, label) for label, members in _groups(before).items()}


def _groups(structure: _Structure) -> dict[str, frozenset[str]]:
    """Return what each group trains."""
    trained = {name: entry.get("group") for name, entry in structure.items() if not is_frozen(entry)}
    labels = {entry.get("group") for entry in structure.values()} - {None}
    return {str(label): frozenset(name for name, group in trained.items() if group == label) for label in labels}


def _regrouped(entry: Mapping[str, Any], labels: Mapping[str, str]) -> Mapping[str, Any]:
    label = entry.get("group")
    return {**entry, "group": labels.get(label, label)} if label is not None else entry


def _loaders(before: Streams, now: Streams) -> dict[str, str]:
    """Return the present numbers of data loaders: those that sample alike are one, whichever came first."""
    forms, present = _samplings(before), _samplings(now)
    names = {name: alike for name, form in forms.items() if (alike := _first(present, form))}
    rest = [name for name in present if name not in names.values()]
    further = (str(len(present) + i) for i in range(len(forms)))
    return names | dict(zip((name for name in forms if name not in names), chain(rest, further), strict=False))


def _samplings(clues: Streams) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for key, stream in clues.of("loader"):
        found.setdefault(key.tensor, {})[key.entry] = stream.values
    return found


def _first(forms: Mapping[str, object], form: object) -> str:
    return next((name for name, other in forms.items() if other == form), "")


def _renamed(
    key: StreamKey,
    names: Mapping[str, str],
    labels: Mapping[str, str],
    loaders: Mapping[str, str] = MappingProxyType({}),
) -> StreamKey:
    """Return the present key of a baseline's stream; of a clue, the names are those of modules."""
    present = former = key.tensor
    if key.kind == "module" and former == _WHOLE and _WHOLE not in names:
        present = _moved("", names) or _WHOLE
    elif key.kind in ("module", *CALLS):
        present = _moved(former, names) or _WHOLE
    elif key.kind in (*TENSOR_KINDS, "placement", "batch"):
        present = names.get(former, former)
    elif key.kind in ("learning_rate", "setting"):
        present = labels.get(former, former)
    elif key.kind == "loader":
        present = loaders[former]
    elif key.kind == "random" and former.startswith("loader "):
        number = former.removeprefix("loader ")
        present = f"loader {loaders.get(number, number)}"
    return key if present == former else key.renamed(present)


def _modules(tensors: Mapping[str, str]) -> dict[str, str]:
    """Return the modules that all their tensors moved with, former to present; "" is the model."""
    found: dict[str, set[str]] = {}
    for former, present in tensors.items():
        old, new = f".{former}", f".{present}"
        for place in (at for at, letter in enumerate(old) if letter == "."):
            above = new.removesuffix(old[place:])
            found.setdefault(old[1:place], set()).add(above[1:] if above != new else _APART)
    moved = ((former, *presents) for former, presents in found.items() if len(presents) == 1)
    return {former: present for former, present in moved if present not in (_APART, former)}


def _shifted(modules: dict[str, str], before: Streams, now: Streams) -> dict[str, str]:
    """Return renamed modules with those beside them: where one was put in, or taken out, all that follow it moved."""
    within = (names for names in modules.items() if all(names))
    pairs = ((former.rpartition(".")[0], present.rpartition(".")[0]) for former, present in within)
    found = dict(modules)
    for parent in dict.fromkeys(old for old, new in pairs if old == new):
        old, new = _children(before, parent), _children(now, parent)
        texts = [modules.get(name, text) for name, text in old.items()]
        others = [name if name in modules.values() else text for name, text in new.items()]
        blocks = SequenceMatcher(None, texts, others, autojunk=False).get_matching_blocks()
        alike = {[*old][a + i]: [*new][b + i] for a, b, size in blocks for i in range(size)}
        if all(alike.get(former, present) == present for former, present in modules.items()):
            gone = {name: f"{name} of the baseline" for name in old if name not in alike and name in alike.values()}
            found |= alike | gone
    return found


def _children(clues: Streams, parent: str) -> dict[str, object]:
    """Return what the modules right below one say of themselves."""
    modules = {key.tensor: stream.values for key, stream in clues.of("module")}
    return {name: values for name, values in modules.items() if name.rpartition(".")[0] == parent and name != _WHOLE}


def _moved(module: str, modules: Mapping[str, str]) -> str:
    """Return the present name of a module: what is within one that was renamed goes with it."""
    if not module or module in modules:
        return modules.get(module, module)
    parent, _, own = module.rpartition(".")
    return f"{_moved(parent, modules)}.{own}".removeprefix(".")
