"""Whose code a process in another commit's tree imports: the tree's, and what else it got is told."""

import json
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.metadata import distributions
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.elsewhere.trees import Tree
from harness.errors import TreeError
from harness.recording.lines import is_librarys


_PYTHONS = (ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader)
"""Loaders that load one file; others, such as pytest's, load what a spec names."""


def follow() -> None:
    """In a process that was started to run in a tree, find modules of the user's checkout at their places there.

    It does not matter how a project was installed to be edited: by paths, or by a finder of its build system.
    """
    tree = Tree.from_environment()
    if tree and not any(isinstance(finder, _InTree) for finder in sys.meta_path):
        sys.meta_path.insert(0, _InTree(tree))


def foreign_code() -> TreeError | None:
    """Return what there is to say of modules that such a process has imported, and that are not the tree's."""
    if not (tree := Tree.from_environment()):
        return None
    files = {
        name: file for name, module in [*sys.modules.items()] if isinstance(file := getattr(module, "__file__", 0), str)
    }
    copies = {*_copies(tree)}
    found = [name for name, file in files.items() if _is_users(tree, file) or Path(file) in copies]
    if not found:
        return None
    tops = dict.fromkeys(name.partition(".")[0] for name in found)
    shown = [f"{top} ({next(files[name] for name in found if name.partition('.')[0] == top)})" for top in tops]
    return TreeError.foreign(commit=tree.commit, modules=shown)


class _InTree:
    """A finder that moves what the others find in the user's checkout to the tree; what is not there is not found.

    Args:
        tree: that this process runs in.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Ask the finders after this one."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            if find and (spec := find(name, path, target)):
                return self._moved(spec)
        return None

    def _moved(self, spec: ModuleSpec) -> ModuleSpec | None:
        folders = spec.submodule_search_locations
        if not spec.has_location:  # a namespace of several folders, or Python's own
            if any(_is_users(self._tree, folder) for folder in folders or ()):
                spec.submodule_search_locations = self._places(folders or ())
            return spec if folders is None or spec.submodule_search_locations else None
        if not _is_users(self._tree, spec.origin or ""):
            return spec
        file, inside = self._tree.place(Path(spec.origin or "")), None if folders is None else self._places(folders)
        loader = None if isinstance(spec.loader, _PYTHONS) else spec.loader
        moved = spec_from_file_location(spec.name, file, loader=loader, submodule_search_locations=inside)
        return moved if file.exists() else None

    def _places(self, folders: Sequence[str]) -> list[str]:
        there = [str(self._tree.place(Path(folder))) if _is_users(self._tree, folder) else folder for folder in folders]
        return [folder for folder in dict.fromkeys(there) if Path(folder).is_dir()]


def _is_users(tree: Tree, file: str) -> bool:
    """Tell whether a file is one of the user's own checkout, and no library's that is installed within."""
    return tree.place(Path(file)) != Path(file) and not is_librarys(file)


def _copies(tree: Tree) -> Iterator[Path]:
    """Yield the files of packages that were installed, as copies, from folders which the tree has, too."""
    for distribution in distributions():
        about = json.loads(distribution.read_text("direct_url.json") or "{}")
        if "dir_info" in about and not about["dir_info"].get("editable"):
            source = Path(url2pathname(urlsplit(about["url"]).path))
            if (there := tree.place(source)) != source and there.is_dir():
                yield from (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
