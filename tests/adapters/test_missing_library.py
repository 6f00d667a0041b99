"""Promises of adapters whose framework is not installed."""

import importlib
import sys

import pytest

from harness import errors


MISSING = {
    "lightning": ("lightning", "pytorch_lightning"),
    "transformers": ("transformers",),
    "ignite": ("ignite",),
}


@pytest.fixture(params=MISSING)
def adapter(request, monkeypatch):
    """The name of an adapter whose framework cannot be imported."""
    name = f"harness.adapters.{request.param}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    for library in MISSING[request.param]:
        for module in [loaded for loaded in sys.modules if loaded.startswith(f"{library}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, library, None)
    return name


def test_a_missing_framework_is_named_with_its_extra(adapter):
    """The error says which extra to install."""
    extra = adapter.rpartition(".")[2]
    with pytest.raises(errors.NoLibraryError, match=rf"training-regression\[{extra}\]"):
        importlib.import_module(adapter)


def test_a_missing_framework_can_be_skipped(adapter):
    """To pytest.importorskip it is a module that is not found."""
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        pytest.importorskip(adapter)
