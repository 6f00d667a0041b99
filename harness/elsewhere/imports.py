"""Whose code a process in another commit's tree imports: the tree's, and what else it got is told."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader, SourcelessFileLoader
from importlib.metadata import distributions
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

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
    """A finder that moves what the others find in the user's checkout to the tree.

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

    def _moved(self, spec: ModuleSpec) -> ModuleSpec:
        folders = spec.submodule_search_locations
        inside = None if folders is None else self._places(folders)
        if not spec.has_location:  # a namespace of several folders, or Python's own
            if folders and not inside:
                raise self._absent(spec.name, folders[0])
            if inside != folders:
                spec.submodule_search_locations = inside
            return spec
        file = self._place(spec.origin or "")
        if file == spec.origin:
            return spec
        if not Path(file).exists():
            raise self._absent(spec.name, spec.origin or "")
        loader = None if isinstance(spec.loader, _PYTHONS) else spec.loader
        moved = spec_from_file_location(spec.name, file, loader=loader, submodule_search_locations=inside)
        assert moved is not None, "it is a file of the same name"
        return moved

    def _place(self, file: str) -> str:
        return str(self._tree.place(Path(file))) if _is_users(self._tree, file) else file

    def _places(self, folders: Iterable[str]) -> list[str]:
        """Return where a package's parts are; the folder of a finder's own (setuptools') need not exist."""
        there = {self._place(folder): folder for folder in folders}
        return [place for place, folder in there.items() if place == folder or Path(place).is_dir()]

    def _absent(self, name: str, file: str) -> ModuleNotFoundError:
        """Return what `import` says; the finders after this one must not be asked again."""
        return ModuleNotFoundError(str(TreeError.absent(module=name, file=file, commit=self._tree.commit)), name=name)


def _is_users(tree: Tree, file: str) -> bool:
    """Tell whether a file is one of the user's own checkout, and no library's that is installed within."""
    return tree.place(Path(file)) != Path(file) and not is_librarys(file)


def _copies(tree: Tree) -> Iterator[Path]:
    """Yield the files of packages that were installed, as copies, from folders which the tree has, too."""
    from urllib.request import url2pathname  # here: it takes a moment, and few processes run in a tree

    for distribution in distributions():
        about = json.loads(distribution.read_text("direct_url.json") or "{}")
        if "dir_info" in about and not about["dir_info"].get("editable"):
            source = Path(url2pathname(urlsplit(about["url"]).path))
            if (there := tree.place(source)) != source and there.is_dir():
                yield from (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
