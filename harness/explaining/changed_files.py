"""What has changed in a project's Python files, which of their lines tell that it ran, and what of it never did."""

from collections.abc import Iterable, Mapping, Set
from functools import cached_property
from pathlib import Path

from harness.explaining.never_run import Module, NeverRun, module, never_run


class ChangedFiles:
    """Changed lines of a project's files, by the files' paths from its root."""

    def __init__(self, root: Path, changed: Mapping[str, Set[int]]) -> None:
        self._root, self._changed = root, changed

    @cached_property
    def _modules(self) -> dict[str, Module]:
        files = {name: self._root / name for name in sorted(self._changed)}
        return {name: module(file.read_bytes()) for name, file in files.items() if file.is_file()}

    @property
    def heads(self) -> dict[str, frozenset[int]]:
        """Path to the lines that may run when the file is imported."""
        return {name: found.heads for name, found in self._modules.items()}

    @property
    def wanted(self) -> dict[str, frozenset[int]]:
        """Path to these, and to the lines of which one runs whenever something does that has changed."""
        return {name: heads.union(*self._proofs(name)) for name, heads in self.heads.items()}

    def _proofs(self, name: str) -> list[frozenset[int]]:
        return [each.proof for each in self._modules[name].statements if each.touches(self._changed[name])]

    def never_run(self, names: Iterable[str], seen: Mapping[str, Set[str]]) -> list[NeverRun]:
        """Return what of these files never ran, but where nothing in one does anything.

        Another folder of the repository is somebody else's, but for files that are imported.

        Args:
            names: of the files.
            seen: of each what was noted of it (`recording.running`): lines that ran, and doubts.
        """
        known = [name for name in names if seen.get(name) or not name.startswith("../")]
        return [each for name in known if (each := self._of(name, seen.get(name, frozenset())))]

    def _of(self, name: str, seen: Set[str]) -> NeverRun | None:
        ran = {int(line) for line in seen if line.isdigit()}
        doubt = " or ".join(sorted(each for each in seen if not each.isdigit()))
        parts = never_run(self._modules[name].statements, self._changed[name], ran)
        return NeverRun(path=name, lines=parts if seen else [], doubt=doubt) if parts else None
