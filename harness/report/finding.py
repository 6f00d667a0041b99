"""A finding: what one check found, as plain data that every form of the report is made from.

These types are the form that `results.json` has, and its schema is derived from them (`json_form.schema`).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from harness.elsewhere.cost import Cost
from harness.explaining.blame import Changed
from harness.explaining.excerpt import Excerpt
from harness.record.streams import FIRST_STEP
from harness.report.words import BASELINE, SINGLE


Number = float | Literal["nan", "inf", "-inf"]
"""A finite number, or a name of what JSON has no number for. `float()` reads both."""
Count = Annotated[int, Meta(ge=0, lt=2**53)]
"""Whole numbers that are exact as floating-point numbers, too, which charts are drawn with."""
Verdict = Literal[
    "same",
    "drift",
    "not judged",
    "different",
    "slower",
    "error",
    "equivalent",
    "worse",
    "inconclusive",
    "caught",
    "escaped",
]
"""The comparison's, "slower" where it passed, "error"; of several seeds, theirs; of faults, whether any escaped."""


LONGEST_CURVE = 400
"""Points of a curve: more than a chart has pixels in width."""
MOST_CURVES = 6
"""Of one training."""
MOST_ROWS = 64
"""Streams of a map of deviations."""
MOST_COLUMNS = 100
"""Of it: of a longer training a column stands for several steps."""
MOST_BLAMED = 20
"""Files that have changed since the baseline of one training was made."""
LONGEST_HISTORY = 50
"""Runs whose margins are known of a check."""
Step = Annotated[int, Meta(ge=FIRST_STEP, lt=2**53)]
_Steps = Annotated[list[Step], Meta(max_length=LONGEST_CURVE)]
_Numbers = Annotated[list[Number], Meta(max_length=LONGEST_CURVE)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the form."""


class Change(_Part, frozen=True, kw_only=True):
    """Something around the training, or in its recipe, that is not as it was; as text."""

    name: str
    before: str
    now: str


class First(_Part, frozen=True, kw_only=True):
    """Where a training first leaves its baseline; -1 is before its first step. `when` and `text` say it in words."""

    step: Step
    when: str
    stage: str
    stream: str
    text: str
    baseline: str
    value: str
    size: Number
    threshold: float


class Curve(_Part, frozen=True, kw_only=True):
    """One stream of a training and of its baseline; long ones are thinned, extremes stay."""

    stream: str
    text: str
    stage: str
    baseline_steps: _Steps
    baseline: _Numbers
    steps: _Steps
    values: _Numbers

    def __post_init__(self) -> None:
        _require_parallel(self.baseline_steps, self.baseline)
        _require_parallel(self.steps, self.values)


class Row(_Part, frozen=True, kw_only=True):
    """A stream in the map of deviations, by column.

    Args:
        stream: its key.
        text: the same in words.
        stage: that it is of.
        first: step in which it leaves its baseline; None if it does not.
        largest: deviation.
        levels: a digit a column: 0 is equal, 1 to 4 within the threshold, 5 to 9 beyond; blank without a value.
        steps: of the numbers that a chart shows: the first, the last, and the one of each column that is furthest.
        baseline: what each was.
        values: what it is now; both are None where there is no number.
    """

    stream: str
    text: str
    stage: str
    first: Step | None
    largest: Number
    levels: Annotated[str, Meta(max_length=MOST_COLUMNS, pattern="^[ 0-9]*$")]
    steps: Annotated[list[Step], Meta(max_length=MOST_COLUMNS + 2)]
    baseline: Annotated[list[Number | None], Meta(max_length=MOST_COLUMNS + 2)]
    values: Annotated[list[Number | None], Meta(max_length=MOST_COLUMNS + 2)]

    def __post_init__(self) -> None:
        _require_parallel(self.steps, self.baseline, self.values)


class Profile(_Part, frozen=True, kw_only=True):
    """The deviation of each step that comes closest to its threshold, or exceeds it most."""

    steps: _Steps
    sizes: _Numbers
    thresholds: Annotated[list[float], Meta(max_length=LONGEST_CURVE)]

    def __post_init__(self) -> None:
        _require_parallel(self.steps, self.sizes, self.thresholds)


class Training(_Part, frozen=True, kw_only=True, tag_field="kind", tag="training"):
    """A training held against its baseline; `loosened` says what its test lets go, `where` names the line.

    `unchanged` and `changed` are stages: those that agree up to the first divergence, and those of which any value is
    beyond its threshold. Of `num_streams` the map shows some.

    `code` and `rows`, the map of deviations, are of one that is not the same.
    `cost` is there if it was measured beside that of another commit.
    """

    name: str
    data: str
    precision: str
    device: str
    steps: Count
    first: First | None
    largest: Number
    loosest: float
    num_deviations: Count
    num_undecided: Count
    num_values: Count
    num_streams: Count
    unchanged: list[str]
    changed: list[str]
    renamed: list[Change]
    environment: list[Change]
    recipe: list[Change]
    loosened: str = ""
    where: str = ""
    blame: Annotated[list[Changed], Meta(max_length=MOST_BLAMED)]
    curves: Annotated[list[Curve], Meta(max_length=MOST_CURVES)]
    profile: Profile
    code: Annotated[list[Excerpt], Meta(max_length=4)] = []
    rows: Annotated[list[Row], Meta(max_length=MOST_ROWS)] = []
    cost: Cost | None = None


class Figure(_Part, frozen=True, kw_only=True, tag_field="kind", tag="figure"):
    """A figure held against its baseline, in grey levels; pictures are paths below the folder of the results.

    `of` is the test that checks the record that it is drawn of; empty if none does. The labelled pictures show the same
    with axes, if it is one of ours and that record differs.
    """

    rms: Number | None
    tolerance: float
    baseline: str
    result: str
    of: str = ""
    labelled_baseline: str = ""
    labelled_result: str = ""

    @property
    def forms(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Its pictures, of the baseline and now, with axes and as compared."""
        return (self.labelled_baseline, self.labelled_result), (self.baseline, self.result)


class Seeds(_Part, frozen=True, tag_field="kind", tag="equivalence"):
    """A training judged by several seeds."""


class Faults(_Part, frozen=True, kw_only=True, tag_field="kind", tag="power"):
    """Standard faults planted in a training: how many, how many the gate caught, the names of those that escaped."""

    planted: Count
    caught: Count
    escaped: list[str]


class Trouble(_Part, frozen=True, tag_field="kind", tag="error"):
    """Nothing to compare: a baseline that is missing or broken, say."""


Subject = Training | Figure | Seeds | Faults | Trouble


class Finding(_Part, frozen=True, kw_only=True):
    """What one check found.

    Args:
        test: pytest's id of the test.
        name: tells several checks of one test apart.
        baseline: name of the baseline's file; one name stands for those of all environments.
        file: that an annotation stands in, relative to the repository: of the line that diverged first, or of the test.
        line: likewise, 1-based.
        verdict: what was found.
        passed: whether the test went on, which also depends on --training-strict, --training-slower and
            training_gate_power_min.
        margin: share of its threshold that the largest deviation takes: 0 is equal, above 1 is beyond; None where
            nothing was compared, or numbers moved that no threshold judges.
        text: what a person is told.
        accept: the command that makes the present run the baseline; empty where nothing is to be accepted.
        history: margins of earlier runs, oldest first.
        notable: whether a session says the text although the test passed.
        subject: what was checked.
    """

    test: str
    name: str
    baseline: str
    file: str
    line: Annotated[int, Meta(ge=1, lt=2**53)]
    verdict: Verdict
    passed: bool
    margin: Number | None
    text: str
    accept: str
    history: Annotated[list[Number], Meta(max_length=LONGEST_HISTORY)] = []
    notable: bool = False
    subject: Subject

    @property
    def kind(self) -> str:
        """training, figure, equivalence, power or error."""
        return str(self.subject.__struct_config__.tag)

    @property
    def place(self) -> str:
        """The test, and which of its checks it is if there are several."""
        return self.test + (f", {self.name}" if self.name else "")

    @property
    def title(self) -> str:
        """What was checked: the training, or, of whatever else, its test."""
        if one := self.training:
            return ", ".join(filter(None, (one.name, one.data, one.precision, one.device)))
        what = {"figure": "figure of ", "equivalence": "seeds of ", "power": "gate power of "}.get(self.kind, "")
        path, _, function = self.test.partition("::")
        return what + (function or path)

    @property
    def headline(self) -> str:
        """The line that says what was found."""
        if not self.figure:
            return self.text.partition("\n")[0]
        same = ", ".join(filter(None, ("the figure is its baseline's", self.text)))
        return same if self.passed else "the figure differs from its baseline"

    @property
    def is_acceptable(self) -> bool:
        """Whether what was found may become the baseline, and is not that already."""
        return bool(self.accept) and (not self.passed or self.kind == "equivalence")

    @property
    def is_judged(self) -> bool:
        """Whether all that moved could have failed: "not judged" proves nothing, whether the test went on or not."""
        return self.verdict != "not judged"

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs to be looked at."""
        return self.passed and self.is_judged

    @property
    def training(self) -> Training | None:
        """The training, if one was compared."""
        return self.subject if isinstance(self.subject, Training) else None

    @property
    def figure(self) -> Figure | None:
        """The figure, if one was compared."""
        return self.subject if isinstance(self.subject, Figure) else None

    @property
    def faults(self) -> Faults | None:
        """The faults, if some were planted."""
        return self.subject if isinstance(self.subject, Faults) else None

    @property
    def former(self) -> str:
        """What a training was held against: its baseline, or, of ranks, which have none, a single process."""
        return SINGLE if self.training and not self.baseline else BASELINE

    @property
    def share(self) -> float | None:
        """The margin as a number."""
        return None if self.margin is None else float(self.margin)

    @property
    def margins(self) -> list[float]:
        """The margins of all runs, the present one last if it has one."""
        return [*map(float, self.history), *([] if self.margin is None else [float(self.margin)])]


def plain(value: float) -> Number:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else cast(Literal["nan", "inf", "-inf"], str(value))


def _require_parallel(*lists: Sequence[object]) -> None:
    if len({len(entries) for entries in lists}) > 1:
        raise ValueError("lists of one part have different lengths")
