"""The ledger of a session: each baseline that its tests own, and what became of it. Every verdict follows from it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from harness.baselines.store import claim_of
from harness.errors import some
from harness.explaining.never_run import NeverRun
from harness.report.finding import Finding
from harness.report.words import number


Fate = Literal["not reached", "not compared", "compared", "generated", "kept", "new", "skipped", "deselected"]
"""What became of a baseline in a test. Of several tests of one baseline the first of these counts."""
FATES: Sequence[Fate] = Fate.__args__  # type: ignore[attr-defined] # its stub hides them
_SAID = 10
"""Baselines of one fate that a summary names."""


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A baseline in the hands of a test.

    Args:
        baseline: its file's name; one name stands for those of all environments, and for the states of a record.
        test: pytest's id of the test that owns it.
        fate: what became of it.
        reason: why it was not compared, or with a test of what name; empty where there is nothing to say.
    """

    baseline: str
    test: str
    fate: Fate
    reason: str = ""


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of each baseline.

    Args:
        entries: by baseline, then by test.
        others: files in the folder of baselines that no test which was collected owns.
        orphans: those of them that no test of the project owns.
        unknown: why it cannot be said which of the others are orphans; empty if it can.
        shard: which part of the tests ran, as "1/4"; empty for all.
        against: what the commit is called whose trainings are the baselines; empty where they are stored.
        commit: its whole name.
        vanished: gated tests of that commit that are not there any more.
        failed: tests that failed although what they checked did not.
        problems: why the session must not be green, beside its findings; a line each.
        never_run: what has changed since the baselines, and no gated training ran.
        unwatched: why that is not known; empty if it is, or nothing has changed.
        ranks: what became of the other ranks that a launcher started as sessions, and where, a line each.
    """

    entries: list[Entry] = []
    others: list[str] = []
    orphans: list[str] = []
    unknown: str = ""
    shard: str = ""
    against: str = ""
    commit: str = ""
    vanished: list[str] = []
    failed: list[str] = []
    problems: list[str] = []
    never_run: list[NeverRun] = []
    unwatched: str = ""
    ranks: list[str] = []

    @property
    def baselines(self) -> list[Entry]:
        """One entry a baseline: that of the test which did least for it, but for tests that did not run."""
        chosen: dict[str, Entry] = {}
        for entry in self.entries:
            former = chosen.setdefault(entry.baseline, entry)
            if FATES.index(entry.fate) < FATES.index(former.fate):
                chosen[entry.baseline] = entry
        return [chosen[name] for name in sorted(chosen)]

    @property
    def unreached(self) -> list[Entry]:
        """Baselines that a test left unjudged without saying so: whoever looks for proof does not find it."""
        return [entry for entry in self.baselines if entry.fate in ("not reached", "not compared")]


EMPTY = Ledger()
"""Of findings without a session."""


def united(ledgers: Sequence[Ledger]) -> Ledger:
    """Return the ledger of several jobs: what one of them does not own, others may."""
    others = sorted(set.intersection(*({*ledger.others} for ledger in ledgers)))
    return Ledger(
        entries=[entry for ledger in ledgers for entry in ledger.entries],
        others=others,
        orphans=others,
        against=next((ledger.against for ledger in ledgers if ledger.against), ""),
        commit=next((ledger.commit for ledger in ledgers if ledger.commit), ""),
        vanished=[*dict.fromkeys(test for ledger in ledgers for test in ledger.vanished)],
        failed=[*dict.fromkeys(test for ledger in ledgers for test in ledger.failed)],
        problems=[problem for ledger in ledgers for problem in ledger.problems],
        never_run=[each for each in ledgers[0].never_run if all(each in ledger.never_run for ledger in ledgers)],
    )


def missing_shards(ledgers: Iterable[Ledger]) -> list[str]:
    """Return the parts of the tests that none of several jobs ran, of those that say that they are parts."""
    present = {ledger.shard for ledger in ledgers} - {""}
    numbers = {int(shard.partition("/")[2]) for shard in present}
    return [
        f"{i}/{number}" for number in sorted(numbers) for i in range(1, number + 1) if f"{i}/{number}" not in present
    ]


class Outcome(NamedTuple):
    """What pytest said of a test: passed, failed, xfailed or skipped, and why it was skipped."""

    word: str
    reason: str = ""


_PASSED = Outcome("passed")
_OF_A_RANK = Outcome("skipped", "its test checked others on this rank")
"""What became of a baseline that is another rank's, in a test that passed on this one."""

Done = Mapping[tuple[str, str], tuple[Fate, str]]
"""Baseline and test to what the test did with it, and why not more."""


def found(findings: Iterable[Finding]) -> Iterator[tuple[tuple[str, str], tuple[Fate, str]]]:
    """Yield what checks did with their baselines, as entries of `Done`; planted faults are no comparison."""
    for finding in findings:
        place = finding.baseline, finding.test
        if not finding.baseline:  # ranks beside a single process have none
            continue
        if finding.kind == "error":
            yield place, ("not compared", finding.text.partition("\n")[0])
        elif finding.kind != "power":
            yield place, ("compared", "")


def entries(
    stored: Iterable[str],  # names of the baselines in their folder
    owners: Mapping[str, Sequence[str]],  # claim (`store.claim_of`) to ids of the tests that own what it stands for
    done: Done,
    left_out: Iterable[str],  # ids of tests that were collected, but not run
    outcomes: Mapping[str, Outcome],  # id of a test that ran to what pytest said of it
    *,
    is_rank: bool = False,  # whether others run the same tests, each with checks of its own rank
) -> list[Entry]:
    """Return what became of each baseline in each test that owns it."""
    checking = {test for _, test in done} if is_rank else set()
    outcomes = {**outcomes, **{test: _OF_A_RANK for test in checking if outcomes.get(test) == _PASSED}}
    owned: dict[str, dict[str, None]] = {name: dict.fromkeys(owners.get(claim_of(name), ())) for name in stored}
    for name, test in done:
        owned.setdefault(name, {})[test] = None
    left_out = frozenset(left_out)
    return [
        Entry(baseline=name, test=test, fate=fate, reason=reason)
        for name in sorted(owned)
        for test in sorted(owned[name])
        for fate, reason in [done.get((name, test)) or _implied(test, left_out, outcomes)]
    ]


_UNREACHED = {
    "passed": "its test passed without checking it",
    "failed": "its test failed before",
    "xfailed": "its test failed before, as expected",
}


def _implied(test: str, left_out: frozenset[str], outcomes: Mapping[str, Outcome]) -> tuple[Fate, str]:
    """Return what became of a baseline that a test did nothing with."""
    if test in left_out:
        return "deselected", ""
    outcome = outcomes.get(test, Outcome("ended"))
    if outcome.word == "skipped":
        return "skipped", outcome.reason
    return "not reached", _UNREACHED.get(outcome.word, "the session ended before its test")


def ledger_lines(ledger: Ledger) -> Iterator[str]:
    """Yield how many baselines were compared, or generated, and the others by name, those of one reason together.

    Below them stands the other half: what has changed, and is judged by none.
    """
    if ledger.vanished:
        yield f"{number(len(ledger.vanished), 'test')} of {ledger.against} not there any more:"
        yield from _some([_perhaps_moved(test, ledger.baselines) for test in ledger.vanished])
    yield from ledger.ranks
    baselines = ledger.baselines
    if not baselines:
        return
    counts = Counter(entry.fate for entry in baselines)
    main: Fate = "compared" if counts["compared"] or not counts["generated"] else "generated"
    rest = [f"{counts[fate]} {fate}" for fate in FATES if counts[fate] and fate != main]
    made = f", of {ledger.against}" if ledger.against else ""
    yield ", ".join([f"{counts[main]} of {number(len(baselines), 'baseline')} {main}", *rest]) + made
    groups: dict[tuple[Fate, str], list[Entry]] = {}
    for entry in baselines:
        if entry.fate != main or entry.reason:
            groups.setdefault((entry.fate, entry.reason), []).append(entry)
    for (fate, reason), members in groups.items():
        if not (fate == "deselected" and ledger.shard):  # other jobs run those
            yield from _group(fate, reason, members)
    yield from _never_run_lines(ledger)


def _perhaps_moved(test: str, entries: Sequence[Entry]) -> str:
    """Return a vanished test, with a new one of its name: a renamed file that git does not know is another one."""
    name = test.partition("::")[2]
    moved = next((each.test for each in entries if each.fate == "new" and each.test.partition("::")[2] == name), "")
    return f"{test}   (is it {moved} now? git sees no rename, unless git add tells it)" if moved else test


def _group(fate: Fate, reason: str, members: Sequence[Entry]) -> Iterator[str]:
    yield f"  {fate}: {reason}" if reason else f"  {fate}:"
    yield from _some([f"{entry.baseline}   {entry.test}" for entry in members])


def _some(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"    {line}" for line in lines[:_SAID])
    if len(lines) > _SAID:
        yield f"    and {len(lines) - _SAID} more"


def _never_run_lines(ledger: Ledger) -> Iterator[str]:
    """Yield a line on each file with changed lines that never ran, and one on all that were never imported."""
    if ledger.unwatched:
        yield f"changed lines that no training runs are not looked for: {ledger.unwatched}"
    partly = [each for each in ledger.never_run if each.lines]
    for each in partly[:_SAID]:
        places = ", ".join(f"{first}-{last}" if first < last else f"{first}" for first, last in each.lines[:_SAID])
        more = f" and {len(each.lines) - _SAID} more places" if len(each.lines) > _SAID else ""
        unless = f", unless {each.doubt}" if each.doubt else ""
        yield f"{each.path}:{places}{more} changed, run by no gated training: not judged{unless}"
    if len(partly) > _SAID:
        yield f"{number(len(partly) - _SAID, 'more file')} with changed lines that no gated training runs: not judged"
    if paths := [each.path for each in ledger.never_run if not each.lines]:
        yield f"{some(paths, _SAID)} changed, imported by no gated training: not judged"
