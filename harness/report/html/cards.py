"""The cards of the page: a check each, the figures of a training on its own; red first."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.baselines.png import size
from harness.report.failed_pictures import thumbnail
from harness.report.finding import Finding


_WIDE, _LARGEST = 480, 4
"""Pixels up to which a small picture is drawn larger, and how many times at most."""
_NAMED = "training differs from its baseline "


class Picture(NamedTuple):
    """A picture as the page embeds it, and its size there: a whole multiple of its pixels."""

    src: str
    width: int
    height: int


def picture(data: bytes, wide: int = _WIDE) -> Picture | None:
    """Return a PNG as the page embeds it, up to a width in whole multiples of its pixels; None if it is none."""
    if not (found := size(data)):
        return None
    times = max(1, min(_LARGEST, wide // found[0]))
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", times * found[0], times * found[1])


@dataclass(frozen=True)
class Card:
    """What the page shows of a check."""

    number: int  # of the card, from 1
    finding: Finding  # of the check
    figures: Sequence[Finding]  # of the training that it is
    pictures: Mapping[str, bytes]  # of all figures
    is_open: bool  # whether all of it is shown at once

    @property
    def name(self) -> str:
        """The test, without its file, and which of its checks it is; of anything but a training, what it is of it."""
        test = self.finding.test.partition("::")
        name = (test[2] or test[0]) if self.finding.training else self.finding.title
        return f"{name}, {self.finding.name}" if self.finding.name else name

    @property
    def about(self) -> str:
        """The file, and what was trained."""
        path, _, _ = self.finding.test.partition("::")
        return f"{path}   {self.finding.title}" if self.finding.training else path

    @property
    def headline(self) -> str:
        """What was found, without what the verdict says."""
        return self.finding.headline.removeprefix(_NAMED)

    @property
    def viewed(self) -> list[Finding]:
        """Figures that failed, whose pictures are compared."""
        return [each for each in self._shown if not each.passed]

    @property
    def passed_figures(self) -> list[Finding]:
        """Figures that passed."""
        return [each for each in self.figures if each.passed]

    @property
    def thumbnails(self) -> list[tuple[str, Picture]]:
        """Name and small picture of each figure."""
        return [(each.title, small) for each in self._shown if (small := self._small(each))]

    @property
    def _shown(self) -> list[Finding]:
        return [*([self.finding] if self.finding.figure else []), *self.figures]

    def _small(self, found: Finding) -> Picture | None:
        data = self.pictures.get(found.figure.result, b"") if found.figure else b""
        return picture(data if found.passed else thumbnail(data), 1)


def cards(findings: Sequence[Finding], pictures: Mapping[str, bytes]) -> list[Card]:
    """Return the cards of findings, in their order; a figure lies on that of its training, unless only it failed."""
    trainings = {finding.test: finding for finding in reversed(findings) if finding.training}
    own: list[Finding] = []
    figures: dict[str, list[Finding]] = {}
    for finding in findings:
        of = trainings.get(finding.figure.of) if finding.figure else None
        if of and (finding.passed or not of.passed):
            figures.setdefault(of.test, []).append(finding)
        else:
            own.append(finding)
    loud = sum(not finding.is_quiet for finding in own)
    return [
        Card(
            number=number,
            finding=finding,
            figures=figures.get(finding.test, []) if trainings.get(finding.test) is finding else [],
            pictures=pictures,
            is_open=loud == 1 and not finding.is_quiet,
        )
        for number, finding in enumerate(own, start=1)
    ]
