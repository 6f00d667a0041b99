"""What rounding grows to, and what other machines do: the evidence for thresholds that a training measures itself.

    python -m tests.study.growth                        runs what is missing, prints the tables
    python -m tests.study.growth --write FOLDER         keeps the plain and jittered runs for another machine
    python -m tests.study.growth --against FOLDER       judges this machine by them

Each program is trained as it stands; with every initial weight moved to a neighbouring number; and as on other
machines. The growth of a family of streams at a step is the largest deviation of jittered runs until then, and the
threshold is a margin times that, or a floor.
"""

import argparse
import itertools
import math
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness import Record
from harness.comparing.deviations import Deviation, stream_deviations
from harness.record import STAGES
from harness.record.environment import describe
from tests.study.growth_programs import APART
from tests.study.growth_runs import DRAWS, ELSEWHERE, PLAIN, WAYS, Case, Runs, Setting, cases, draws


DULL = 1e-6
"""Thresholds above it judge nothing."""
JUMP = 1e-6
"""A logged number that moves further is a count in disguise, as an accuracy is, or is dull."""
LOGGED = ("forward", "evaluation")


class Point(NamedTuple):
    """A number that moved: of a family of streams the one that moved most in a step."""

    stage: str
    family: str
    step: int
    size: float  # relative
    typical: float  # what it is relative to


class Moved(NamedTuple):
    """What a run did otherwise than another."""

    points: tuple[Point, ...]
    odd: tuple[Deviation, ...]  # what has no size (counts, fingerprints, what is missing), or jumps


@dataclass(frozen=True)
class Rule:
    """How thresholds follow from growth.

    Args:
        margin: threshold over growth.
        draws: which of the jittered runs are known.
        floor: no threshold is below it.
        logged_floor: no threshold of a logged number is below it, in units of the number.
    """

    margin: float = 30.0
    draws: tuple[int, ...] = (0, 1, 2)
    floor: float = 1e-13
    logged_floor: float = 1e-14

    def floors(self, judged: "Judged") -> np.ndarray:
        """Return the floor of each number."""
        logged = np.isin(judged.stage, [STAGES.index(stage) for stage in LOGGED])
        return np.where(logged, np.maximum(self.floor, self.logged_floor / judged.typical), self.floor)

    def thresholds(self, judged: "Judged") -> np.ndarray:
        """Return the threshold of each number; infinite where it is dull."""
        measured = self.margin * judged.growth[:, list(self.draws)].max(1)
        return np.where(measured > DULL, np.inf, np.maximum(self.floors(judged), measured))


@dataclass(frozen=True)
class Judged:
    """The numbers that moved in all runs, as columns."""

    run: np.ndarray  # place in the list of runs
    stage: np.ndarray  # place in STAGES
    family: np.ndarray  # names
    step: np.ndarray
    size: np.ndarray
    typical: np.ndarray
    growth: np.ndarray  # a column a draw: until this step, in this family


class Run(NamedTuple):
    """A program in a setting, held against itself as it stands."""

    case: Case
    setting: Setting
    odd: tuple[Deviation, ...]


class Grown(NamedTuple):
    """What is measured of a program at generation."""

    case: Case
    steps: int
    growth: dict[str, np.ndarray]  # family to (step, draw)
    odd: tuple[tuple[Deviation, ...], ...]  # a draw each


# --- measuring


def moved(base: Record, record: Record) -> Moved:
    """Return the numbers that moved, of each family and step the one that moved most, and what has no size."""
    largest: dict[tuple[str, str, int], Point] = {}
    odd = []
    for point in stream_deviations(base, record):
        if 0 < point.size < math.inf:
            key = (point.stage, point.stream.family, point.step)
            if key not in largest or point.size > largest[key].size:
                largest[key] = Point(*key, point.size, abs(point.value - point.baseline) / point.size)
        if point.size == math.inf or (point.stage in LOGGED and point.size > JUMP):
            odd.append(point)
    return Moved(tuple(largest.values()), tuple(odd))


def growth(draws: Sequence[Moved], steps: int) -> dict[str, np.ndarray]:
    """Return by family the largest deviation until each step, a column a draw."""
    grown: dict[str, np.ndarray] = {}
    for draw, found in enumerate(draws):
        for point in found.points:
            sizes = grown.setdefault(point.family, np.zeros((steps, len(draws))))
            sizes[point.step, draw] = max(sizes[point.step, draw], point.size)
    return {family: np.maximum.accumulate(sizes) for family, sizes in grown.items()}


def measure(case: Case, base: Record, records: Sequence[Record]) -> Grown:
    """Measure a program by its jittered runs."""
    draws = [moved(base, record) for record in records]
    return Grown(case, base.num_steps, growth(draws, base.num_steps), tuple(draw.odd for draw in draws))


def judge(pairs: Iterable[tuple[Grown, Sequence[Point]]]) -> Judged:
    """Put the numbers that moved in some runs beside the growth of their programs."""
    rows, grown = [], []
    for number, (known, points) in enumerate(pairs):
        unmoved = np.zeros((known.steps, len(known.odd)))
        for point in points:
            rows.append((number, STAGES.index(point.stage), point.family, point.step, point.size, point.typical))
            grown.append(known.growth.get(point.family, unmoved)[point.step])
    columns = zip(*rows, strict=True) if rows else [()] * 6
    kinds = (int, int, str, int, float, float)
    arrays = (np.array(column, kind) for column, kind in zip(columns, kinds, strict=True))
    return Judged(*arrays, np.array(grown) if rows else np.zeros((0, DRAWS)))


# --- tables


class Study(NamedTuple):
    """All that was run."""

    grown: list[Grown]
    runs: list[Run]
    judged: Judged

    def without(self, programs: Container[str]) -> "Study":
        """Return the study of the other programs."""
        numbers = [number for number, run in enumerate(self.runs) if run.case.program.name not in programs]
        kept = np.isin(self.judged.run, numbers)
        columns = {column.name: getattr(self.judged, column.name)[kept] for column in fields(self.judged)}
        columns["run"] = np.searchsorted(numbers, columns["run"])
        return self._replace(runs=[self.runs[number] for number in numbers], judged=Judged(**columns))


def program_table(study: Study, rule: Rule) -> str:
    """Return a line a program: growth, deviations, and the largest share of a threshold."""
    lines = ["| program | runs | growth | dull from | largest deviation | share | where |", "| --- " * 7 + "|"]
    shares = study.judged.size / rule.thresholds(study.judged)
    programs = [run.case.program.name for run in study.runs]
    names = np.array(programs)[study.judged.run]
    for name in dict.fromkeys(programs):
        known = [grown for grown in study.grown if grown.case.program.name == name]
        inside = np.flatnonzero(names == name)
        last = max((sizes[-1, list(rule.draws)].max() for grown in known for sizes in grown.growth.values()), default=0)
        dull = [step for grown in known if (step := dull_from(grown, rule)) is not None]
        cells = [name, programs.count(name), f"{last:.0e}", min(dull, default="")]
        lines.append(_row([*cells, *_worst(study, shares, inside)]))
    return "\n".join(lines)


def dull_from(grown: Grown, rule: Rule) -> int | None:
    """Return the first step in which a family's threshold judges nothing."""
    sizes = [sizes[:, list(rule.draws)].max(1) for sizes in grown.growth.values()]
    over = np.flatnonzero(rule.margin * np.max(sizes, axis=0) > DULL) if sizes else ()
    return int(over[0]) if len(over) else None


def _worst(study: Study, shares: np.ndarray, inside: np.ndarray) -> tuple[str, str, str]:
    if not len(inside):
        return "0", "0", ""
    worst = inside[shares[inside].argmax()]
    return f"{study.judged.size[inside].max():.0e}", f"{shares[worst]:.2g}", _place(study, worst)


def _place(study: Study, row: int) -> str:
    run, judged = study.runs[study.judged.run[row]], study.judged
    grown = judged.growth[row, :3].max()
    of = f"{judged.size[row]:.1e} where growth is {grown:.1e} and the typical size {judged.typical[row]:.0e}"
    return f"{judged.family[row]}, step {judged.step[row]} of {run.case.name}, {run.setting.what}: {of}"


def subsets(count: int) -> list[tuple[int, ...]]:
    """Return every choice of some of the draws."""
    return list(itertools.combinations(range(DRAWS), count))


def rule_table(study: Study) -> str:
    """Return the distribution of each run's largest share, by margin and number of draws, over all choices of draws."""
    lines = ["| margin | draws | median | 90 % | 99 % | largest | alarms | of | dull |", "| --- " * 9 + "|"]
    for margin, count in itertools.product((3, 10, 30, 100), (1, 2, 3, 5)):
        shares, dull = [], 0
        for choice in subsets(count):
            thresholds = Rule(margin, choice).thresholds(study.judged)
            dull += int(np.isinf(thresholds).sum())
            shares.append(by_run(study, study.judged.size / thresholds))
        every = np.concatenate(shares)
        found = [f"{np.quantile(every, q):.2g}" for q in (0.5, 0.9, 0.99, 1)]
        dull_share = dull / len(subsets(count)) / max(1, len(study.judged.size))
        lines.append(_row([margin, count, *found, int((every > 1).sum()), len(every), f"{dull_share:.2%}"]))
    return "\n".join(lines)


def by_run(study: Study, shares: np.ndarray) -> np.ndarray:
    """Return the largest share of each run."""
    largest = np.zeros(len(study.runs))
    np.maximum.at(largest, study.judged.run, shares)
    return largest


def ratio_table(study: Study, rule: Rule) -> str:
    """Return by stage and family the largest deviation over growth, where the deviation is above its floor."""
    judged = study.judged
    ratios, counts = _ratios(judged, rule)
    lines = ["| stage | family | above its floor | 99 % | largest ratio | where |", "| --- " * 6 + "|"]
    for stage, family, inside in _groups(judged):
        above = inside[counts[inside]]
        if len(above):
            worst = above[ratios[above].argmax()]
            found = f"{np.quantile(ratios[above], 0.99):.2g}", f"{ratios[worst]:.2g}"
            lines.append(_row([stage, family, len(above), *found, _place(study, worst)]))
    return "\n".join(lines)


def floor_table(study: Study, margins: Sequence[float] = (10.0, 30.0, 100.0)) -> str:
    """Return by stage and family the least floor with which nothing alarms, relative and in units of the number."""
    judged = study.judged
    still = judged.growth[:, :3].max(1) == 0
    heads = [f"floor at {margin:g}" for margin in margins]
    lines = [_row(["stage", "family", "where growth is 0", *heads, "absolute at 30", "where"])]
    lines.append("| --- " * (5 + len(margins)) + "|")
    for stage, family, inside in _groups(judged):
        needed = [_needed(judged, inside, margin) for margin in margins]
        unmoved = judged.size[inside[still[inside]]].max(initial=0)
        rows = _unexplained(judged, inside, 30.0)
        absolute = (judged.size * judged.typical)[rows].max(initial=0)
        where = _place(study, rows[judged.size[rows].argmax()]) if len(rows) else ""
        lines.append(_row([stage, family, *(f"{size:.1e}" for size in (unmoved, *needed, absolute)), where]))
    return "\n".join(lines)


def _unexplained(judged: Judged, inside: np.ndarray, margin: float) -> np.ndarray:
    measured = margin * judged.growth[inside, :3].max(1)
    return inside[(judged.size[inside] > measured) & (measured <= DULL)]


def _needed(judged: Judged, inside: np.ndarray, margin: float) -> float:
    return judged.size[_unexplained(judged, inside, margin)].max(initial=0)


def _groups(judged: Judged) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the numbers by stage and by family; what was logged or is a batch's, all together."""
    alone = np.array([family.partition("/")[0] for family in judged.family])
    for number, stage in enumerate(STAGES):
        of_stage = judged.stage == number
        for family in sorted(set(alone[of_stage])) if stage == "state" else ["all"] if of_stage.any() else []:
            yield stage, family, np.flatnonzero(of_stage & ((alone == family) | (family == "all")))


def odd_lines(study: Study) -> str:
    """Return what had no size or jumped, and in which jittered and other runs."""
    lines = []
    for grown in study.grown:
        lines += [_odd_line(grown.case, f"jitter {k}", found) for k, found in enumerate(grown.odd, 1) if found]
    lines += [_odd_line(run.case, run.setting.what, run.odd) for run in study.runs if run.odd]
    return "\n".join(lines) or "none"


def _odd_line(case: Case, what: str, found: Sequence[Deviation]) -> str:
    first = min(found, key=lambda point: point.step)
    change = f"{first.baseline} -> {first.value}"
    return f"- {case.name}, {what}: {len(found)}, first {first.stream}, step {first.step}: {change}"


def alarm_lines(study: Study, rule: Rule) -> str:
    """Return the worst number of each run that alarms."""
    shares = study.judged.size / rule.thresholds(study.judged)
    lines = []
    for number in np.flatnonzero(by_run(study, shares) > 1):
        inside = np.flatnonzero(study.judged.run == number)
        worst = inside[shares[inside].argmax()]
        lines.append(
            f"- {shares[worst]:.2g} thresholds, {int((shares[inside] > 1).sum())} numbers: {_place(study, worst)}"
        )
    return "\n".join(lines) or "none"


def way_table(studies: Mapping[str, Study], rule: Rule) -> str:
    """Return a line a way to jitter: alarms, ratios, floors, and by how much it raises thresholds."""
    heads = ["jitter", "alarms at 10", "at 30", "at 100", "of", "largest ratio", "floor at 30", "raises by", "at most"]
    lines = [_row(heads), "| --- " * 9 + "|"]
    for way, study in studies.items():
        every = np.arange(len(study.judged.size))
        rules = (replace(rule, margin=margin) for margin in (10, 30, 100))
        alarms = [(by_run(study, study.judged.size / each.thresholds(study.judged)) > 1).sum() for each in rules]
        floor = f"{_needed(study.judged, every, 30):.1e}"
        ratio = f"{_ratios(study.judged, rule)[0].max(initial=0):.2g}"
        lines.append(
            _row([way, *alarms, len(study.runs), ratio, floor, *_raised(next(iter(studies.values())), study, rule)])
        )
    return "\n".join(lines)


def _raised(before: Study, after: Study, rule: Rule) -> tuple[str, str]:
    """Return the quotient of two studies' thresholds, in the middle and at most, where the numbers move."""
    thresholds, former = rule.thresholds(after.judged), rule.thresholds(before.judged)
    judged = np.isfinite(thresholds) & np.isfinite(former)
    known = thresholds[judged] / former[judged]
    return f"{np.median(known) if len(known) else 1:.2g}", f"{known.max(initial=1):.2g}"


def _ratios(judged: Judged, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Return deviation over growth, and whether it counts: above its floor, not dull, and growth there is."""
    grown = judged.growth[:, list(rule.draws)].max(1)
    counts = (judged.size > rule.floors(judged)) & (grown > 0) & (rule.margin * grown <= DULL)
    return np.where(counts, judged.size / np.where(grown > 0, grown, 1), 0), counts


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


# --- the command


def load(
    here: Runs, base: Runs, chosen: Sequence[Case], settings: Sequence[Setting], ways: Sequence[str]
) -> dict[str, Study]:
    """Read and measure what has been run, for each way to jitter."""
    grown: dict[str, list[Grown]] = {way: [] for way in ways}
    runs, found = [], []
    for number, case in enumerate(_complete(base, chosen, ways)):
        plain = base.load(case, PLAIN)
        for way in ways:
            grown[way].append(measure(case, plain, [base.load(case, setting) for setting in draws(way)]))
        for setting in settings:
            if here.path(case, setting).exists():
                other = moved(plain, here.load(case, setting))
                runs.append(Run(case, setting, other.odd))
                found.append((number, other.points))
    return {
        way: Study(known, runs, judge((known[number], points) for number, points in found))
        for way, known in grown.items()
    }


def _complete(base: Runs, chosen: Sequence[Case], ways: Sequence[str]) -> list[Case]:
    """Return the cases that have run, and could."""
    wanted = [PLAIN, *itertools.chain(*map(draws, ways))]
    return [case for case in chosen if not any(base.missing([case], wanted))]


def report(studies: Mapping[str, Study], way: str, rule: Rule, device: str) -> str:
    """Return all tables: of one way to jitter, and of all ways."""
    study = studies[way]
    others = study.without(APART)
    parts = {
        "": f"{machine(device)}: {len(study.runs)} runs of {len(study.grown)} programs with a seed each",
        f"Programs (margin {rule.margin:g}, {len(rule.draws)} draws)": program_table(study, rule),
        "Alarms": alarm_lines(study, rule),
        f"Largest share of each run, without {' and '.join(APART)}": rule_table(others),
        "Deviation over growth": ratio_table(others, rule),
        "Floors": floor_table(others),
        "Numbers without a size": odd_lines(study),
        "Ways to jitter": way_table({way: each.without(APART) for way, each in studies.items()}, rule),
    }
    return "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in parts.items())


def machine(device: str) -> str:
    """Return where the programs ran, in words."""
    found = describe(device)
    return ", ".join(f"{name} {found[name]}" for name in ("torch", "python", "processor", "instructions", "device"))


def main() -> None:
    """Run what is missing, and print."""
    options = _options()
    chosen, here = cases(options.device, options.only), Runs(device=options.device)
    ways = [options.way] if options.write or options.against else list(WAYS)
    jittered = [PLAIN, *itertools.chain(*map(draws, ways))]
    if options.write:
        return _write(here, chosen, jittered, options.write)
    settings = [PLAIN] if options.against else list(ELSEWHERE)
    base = Runs(options.against, named_by_source=False) if options.against else here
    here.run_all(chosen, settings if options.against else [*jittered, *settings])
    studies = load(here, base, chosen, settings, ways)
    print(report(studies, options.way, Rule(options.margin, tuple(range(options.draws))), options.device))
    return None


def _write(here: Runs, chosen: Sequence[Case], settings: Sequence[Setting], folder: Path) -> None:
    here.run_all(chosen, settings)
    there = Runs(folder, here.device, named_by_source=False)
    folder.mkdir(parents=True, exist_ok=True)
    for case, setting in itertools.product(chosen, settings):
        if here.path(case, setting).exists():
            shutil.copyfile(here.path(case, setting), there.path(case, setting))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.study.growth", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these programs")
    parser.add_argument("--device", default="cpu", help="where programs run, of those that can (default: cpu)")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="keep the plain and jittered runs there")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="judge plain runs here by what is kept there")
    parser.add_argument("--way", choices=WAYS, default="weights", help="to jitter (default: weights)")
    parser.add_argument("--margin", type=float, default=30.0, help="of the tables of programs (default: 30)")
    parser.add_argument("--draws", type=int, default=3, help="likewise (default: 3)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
