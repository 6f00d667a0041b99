"""One figure that a test draws: its baseline, what pytest-mpl left of its comparison, and what is found of it."""

import shutil
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.atomic_files import read
from harness.baselines import png
from harness.baselines.failed import FIRST
from harness.baselines.origin import drawing_versions
from harness.baselines.store import check_figure, save_figure
from harness.errors import BaselineMissingError, BaselineWriteError, HarnessError, OutputError, SuiteError
from harness.inert import inert_line
from harness.plugin.gated_test import GatedTest
from harness.plugin.messages import failed
from harness.plugin.ownership import MARKER
from harness.plugin.session import Checked, Drawn
from harness.record.environment import in_words


_DEFAULTS = {"style": "classic", "backend": "agg", "tolerance": 2}
"""Of what neither marker nor option nor ini sets."""


@dataclass(frozen=True)
class FigureCheck(GatedTest):
    """A test of ours that returns a figure, in the hands of pytest-mpl."""

    mpl: Any  # pytest-mpl's plugin of this session

    @property
    def marker(self) -> pytest.Mark:
        """The test's marker, which names its baseline once the session has collected it."""
        marker = self.item.get_closest_marker(MARKER)
        assert marker is not None, "the callers' condition"
        return marker

    def setting(self, name: str) -> Any:
        """Return what pytest-mpl goes by: the marker's argument, an option, an ini option, its default."""
        config, option = self.item.config, f"mpl-default-{name}"
        given = config.getoption(f"--{option}") or config.getini(option) or _DEFAULTS[name]
        return self.marker.kwargs.get(name, given)

    @property
    def tolerance(self) -> float:
        """How far the figure may be off, as an RMS in grey levels."""
        return float(self.setting("tolerance"))

    @property
    def form(self) -> str:
        """The format that pytest-mpl saves and reads the figure in, whatever the baseline's file is called."""
        return str((self.marker.kwargs.get("savefig_kwargs") or {}).get("format", "png"))

    @property
    def baseline(self) -> Path:
        """File of the baseline; a marker's own folder is relative to the test's file."""
        named = self.marker.kwargs
        return self.item.path.parent / str(named["baseline_dir"]) / str(named["filename"])

    @property
    def folder(self) -> Path:
        """Where pytest-mpl leaves the pictures that it compares."""
        return Path(self.mpl.make_test_results_dir(self.item))

    @property
    def _key(self) -> str:
        from pytest_mpl.plugin import generate_test_name

        return str(generate_test_name(self.item))

    @property
    def returned(self) -> list[object]:
        """What the test returned, if it came to its end."""
        return [self.mpl.return_value[self._key]] if self._key in self.mpl.return_value else []

    def begin(self, *, draws: bool) -> None:
        """Forget what an earlier try left, and refuse a figure that would not be compared, or not with a picture."""
        session = self.session
        self.mpl.return_value.pop(self._key, None)
        if draws:
            self.withdraw(self.baseline)
        if session.generate_path is not None:
            self.skip_unless_writer()
        elif not session.comparing_figures:
            session.counts.did(self.baseline.name, self.id, "not compared", "pytest ran without --mpl")
            if session.in_ci:
                raise SuiteError.not_compared(nodeid=self.id)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._check_baseline()

    def _check_baseline(self) -> None:
        path, command = self.baseline, self.regenerate_command
        try:
            self.session.require_own_place(path.parent)
            check_figure(path, command, self.session.shown(path), form=self.form)
        except HarnessError as error:
            self._keep(passed=False, text=str(error), accept=command)
            raise

    def failure(self, error: BaseException) -> BaseException:
        """Return what to say of a failure: of a comparison with the command that accepts; the test's own as it is."""
        if not self.returned:
            return error
        if misfit := self._misfit():
            return misfit
        if isinstance(error, OSError):
            writes = self.session.generate_path is not None
            refused = BaselineWriteError.of if writes else OutputError.of
            return refused(path=self.session.shown(self.baseline if writes else self.folder), reason=error)
        return self._differs(error) if isinstance(error, pytest.fail.Exception) else error

    def _misfit(self) -> SuiteError | None:
        """Return what to say of what is no figure."""
        other = [each for each in self.returned if not hasattr(each, "savefig")]
        return SuiteError.not_a_figure(found=type(other[0]).__name__, nodeid=self.id) if other else None

    def _differs(self, error: BaseException) -> BaseException:
        """Say how far a figure is from its baseline, and what to do; of a red training's, only whose it is."""
        from harness.report.figure_text import drawn, figure_rms, figure_text

        if not self.baseline.exists():
            return self._missing()
        accept, folder, against = self._accept(), self.folder, self.session.against
        far = figure_text(figure_rms(folder), self.tolerance) if drawn(folder) else ""
        of = self._checked(self._given())
        test = of.test.removeprefix(f"{self.id.partition('::')[0]}::") if far and of and of.baseline else ""
        other = against.title if against else "its baseline"
        headline = f"the figure differs from {other}: {far}" if far else str(error)
        text = f"follows from {test}: {far}" if test else self._told(headline, accept)
        self._keep(passed=False, text=text, accept=accept)
        return failed(text, "" if test else far)

    def _missing(self) -> BaseException:
        """Keep a figure that has no baseline yet."""
        accept, command = self._accept(), self.regenerate_command
        path, kept = self.session.shown(self.baseline), accept if accept != command else ""
        error = BaselineMissingError.figure(path=path, command=command, accept=kept)
        self._keep(passed=False, text=str(error), accept=accept)
        return error

    def _told(self, headline: str, accept: str) -> str:
        """Say what has changed around a figure, where to look, and what accepts it."""
        from harness.report.figure_text import draw_sheet

        look = [self.session.report.page]
        with self.session.report.noted():
            look += draw_sheet(self.folder)
        shown = [("look", str(self.session.shown(path))) for path in look]
        rows = [("changed", _changed_versions(self.baseline)), *shown, ("accept", accept)]
        return "\n".join([headline, *(f"  {label:<8}  {inert_line(row)}" for label, row in rows if row)])

    def _given(self) -> Iterable[object]:
        """Return what the fixtures of the test gave it."""
        found: dict[str, object] = getattr(self.item, "funcargs", {})
        return found.values()

    def _checked(self, given: Iterable[object]) -> Checked | None:
        """Return the record that a figure test was given, if one of this session has checked it; of two, a red one."""
        known = [one for one in given if one is not None]
        found = [each for each in self.session.checked if any(each.record() is one for one in known)]
        return max(found, key=lambda each: each.baseline is not None, default=None)

    def _accept(self) -> str:
        """Keep the figure that differs from its baseline, or has none yet; return the command line that accepts it."""
        from harness.report.figure_text import figure_difference, figure_rms

        baseline = self.baseline
        result = self.folder / f"result{baseline.suffix}"
        if not result.is_file():
            return self.accept_command
        difference = figure_difference(figure_rms(result.parent)) if baseline.is_file() else FIRST
        return self.keep_failed(baseline, result.read_bytes(), difference=difference)[1]

    def finish(self, staging: Path | None) -> None:
        """Put what was generated in its place; keep for the report what was compared."""
        for file in staging.iterdir() if staging else ():
            self._save(file)
        if misfit := self._misfit():
            raise misfit
        if self.session.comparing_figures and self.session.generate_path is None:
            self._require_compared()
            self._keep(passed=True, text="", accept=self.accept_command)

    def _save(self, file: Path) -> None:
        """Put a generated figure in its baseline's place."""
        session = self.session
        target = session.baselines / file.name
        kept = session.only_missing and target.exists()
        if not kept:
            save_figure(target, file.read_bytes(), session.origin)
        session.counts.did(file.name, self.id, "kept" if kept else "generated")

    def _require_compared(self) -> None:
        """Refuse what pytest-mpl let pass without looking: by a hash, or where another runner called the test."""
        from harness.report.figure_text import drawn, figure_rms

        looked = self.returned and (self.form != "png" or drawn(self.folder))
        rms = figure_rms(self.folder)
        if looked and rms is not None and rms <= self.tolerance:
            return
        error = SuiteError.let_pass(nodeid=self.id, rms=rms if looked else None, tolerance=self.tolerance)
        self._keep(passed=False, text=str(error), accept=self.accept_command)
        raise error

    def _keep(self, *, passed: bool, text: str, accept: str) -> None:
        """Keep what became of the figure for the report, now and when the record is checked that it is drawn of."""
        from harness.report.figure_text import compared_figure, drawn

        check, gated = self.check(self.baseline.name, accept), self.returned
        folder, output, tolerance = self.folder, self.session.output, self.tolerance
        records = [weakref.ref(one) for one in self._given() if hasattr(one, "streams")]

        def keep() -> None:
            of = self._checked(record() for record in records)
            for figure in gated if not passed and drawn(folder) else ():
                self._draw_twins(figure, of, folder)
            finding = compared_figure(check, folder, output, tolerance, passed, text, of.test if of else "")
            self.session.report.add(finding, self.item.user_properties)

        keep()
        self.session.drawn.append(Drawn(records, keep))

    def _draw_twins(self, gated: object, of: Checked | None, folder: Path) -> None:
        """Draw a figure with its axes, of this run's record and, where it is known, of the baseline's."""
        from harness.report.failed_pictures import draw_twins

        with self.session.report.noted():
            draw_twins(gated, of and of.record(), of and of.baseline, folder)


def _changed_versions(path: Path) -> str:
    """Return what drew a baseline and what draws now, where they differ; empty if it does not say: only a PNG does."""
    try:
        former = png.annotations(read(path))
    except OSError:
        return ""
    now = drawing_versions().items()
    return ", ".join(in_words((name, former[name], text) for name, text in now if former.get(name, text) != text))
