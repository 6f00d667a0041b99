"""Damage to bytes and to JSON values, drawn from a seed."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st


HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    2**63,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "nan",
    "\x00",
    "\ud800",
    "\x1b[2J",
    "../../x",
    "/etc/passwd",
    "a" * 5000,
    "A" * 2_000_000,
    [],
    {},
    [[]],
    [None] * 50,
    {"": {}},
)
"""Values that a JSON file may hold where another is meant."""


HEALTH = list(HealthCheck)


def damaged(data: bytes, random_: random.Random) -> bytes:
    """Return bytes changed in one of the ways that disks, merges and editors change them."""
    start, end = sorted(random_.randrange(len(data) + 1) for _ in range(2))
    end = min(end, start + random_.choice((1, 8, 100, 10_000)))
    chunk = data[start:end]
    return random_.choice(
        (
            lambda: data[:start],
            lambda: data[end:],
            lambda: data[:start] + data[end:],
            lambda: data[:end] + chunk * random_.choice((1, 3)) + data[end:],
            lambda: data[:start] + random_.randbytes(len(chunk)) + data[end:],
            lambda: data[:start] + bytes(len(chunk)) + data[end:],
            lambda: data[:start] + chunk[::-1] + data[end:],
            lambda: data[:start] + b"\n<<<<<<< HEAD\n" + chunk + b"\n=======\n" + chunk + b"\n>>>>>>> b\n" + data[end:],
            lambda: bytes(byte ^ (random_.random() < 1e-3) for byte in data),
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data + data,
        )
    )()


def nested(depth: int) -> Any:
    """Return lists in lists."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, depth: int = 6) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value, some levels down, with each of its keys or indices."""
    if depth and isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key], depth - 1)


def changed(content: Any, random_: random.Random) -> Any:
    """Return a JSON value, a copy, with one to three entries removed, replaced, moved or added.

    Half of the places are drawn on the outer level, where most entries of a record would never be hit.
    """
    content = json.loads(json.dumps(content))
    for _ in range(random_.choice((1, 1, 2, 3))):
        if not (found := list(places(content))):
            break
        outer = [entry for entry in found if entry[0] is content]
        container, key = random_.choice(outer if outer and random_.random() < 0.5 else found)
        _change(container, key, random_)
    return content


def _change(container: Any, key: Any, random_: random.Random) -> None:
    match random_.randrange(6):
        case 0:
            del container[key]
        case 1 | 2:
            container[key] = deepcopy(random_.choice(HOSTILE))
        case 3:
            container[key] = nested(random_.choice((5, 400, 3000)))
        case 4:
            other = random_.choice([*container] if isinstance(container, dict) else range(len(container)))
            container[key], container[other] = container[other], container[key]
        case 5 if isinstance(container, dict):
            container[random_.choice(("extra", "../../x", "\x00", "a/b", ""))] = container[key]
        case _ if isinstance(container, list):
            container.append(deepcopy(random_.choice(HOSTILE)))


def generated(count: int, number: int) -> list[Any]:
    """Return JSON values as Hypothesis draws them.

    Args:
        count: how many.
        number: seed.
    """
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
    names = st.sampled_from(NAMES) | st.text(max_size=5)
    values = st.recursive(leaves, lambda some: st.lists(some, max_size=4) | st.dictionaries(names, some, max_size=4))
    drawn: list[Any] = []

    @seed(number)
    @settings(max_examples=count, phases=[Phase.generate], database=None, deadline=None, suppress_health_check=HEALTH)
    @given(st.dictionaries(st.sampled_from(NAMES), values, max_size=len(NAMES)))
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return (drawn * (1 + count // len(drawn)))[:count]


NAMES = (
    "name",
    "precision",
    "source",
    "seed",
    "device",
    "recipe",
    "data",
    "environment",
    "structure",
    "kinds",
    "streams",
    "pictures",
    "histograms",
    "confusion",
    "calibration",
    "origin",
    "seeds",
    "stage",
    "steps",
    "values",
    "shape",
    "labels",
    "webp",
)
