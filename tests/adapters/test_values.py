"""Promises of how batches are taken apart: labels are told from the rest in whatever form a project has them."""

import dataclasses
from collections import namedtuple
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from harness.adapters.values import images_and_labels


Pair = namedtuple("Pair", "pixels classes")


@dataclasses.dataclass
class Batch:
    """As projects write it."""

    pixels: object
    y: object


class Encoding(Mapping):
    """As tokenizers return it: a mapping, but no dict."""

    def __init__(self, **entries):
        self._entries = entries

    def __getitem__(self, name):
        return self._entries[name]

    def __iter__(self):
        return iter(self._entries)

    def __len__(self):
        return len(self._entries)


@pytest.mark.parametrize(
    "batch",
    [
        ("pixels", "labels"),
        ["pixels", "labels"],
        Pair("pixels", "labels"),
        *({"pixels": "pixels", name: "labels"} for name in ("labels", "label", "targets", "target", "y")),
        Encoding(pixels="pixels", labels="labels"),
        Batch("pixels", "labels"),
        SimpleNamespace(pixels="pixels", target="labels"),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_labels_are_found_in_every_form(batch):
    """Pairs, mappings and objects; what else is in them counts as images."""
    images, labels = images_and_labels(batch)

    assert labels == "labels"
    assert images in ("pixels", {"pixels": "pixels"})


@pytest.mark.parametrize("batch", [("pixels", "labels", "ids"), {"pixels": "pixels", "mask": 1}, "pixels"])
def test_without_a_name_nothing_is_taken_for_labels(batch):
    """It is fingerprinted as a whole."""
    assert images_and_labels(batch) == (batch, None)
