"""A session's findings in words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.comparing.thresholds import LOOSE
from harness.inert import inert_line
from harness.report.cost_text import cost_text
from harness.report.figure_text import rms_text
from harness.report.finding import Finding, First
from harness.report.history import shrinks
from harness.report.words import SINGLE, caught_text, columns, digest_text, former_word, number


_RUNS = 6
"""Runs that a line on a trend shows."""


def junit_properties(finding: Finding) -> dict[str, str]:
    """Return what a JUnit report carries of a finding, name to text; a check's own name stands behind each."""
    if figure := finding.figure:
        return {"figure_verdict": finding.verdict, "figure_rms": rms_text(figure.rms).removeprefix("RMS ")}
    found: dict[str, str] = {"training_verdict": finding.verdict}
    if faults := finding.faults:
        found = {"gate_power": caught_text(faults.caught, faults.planted)}
        found["escaped_faults"] = ", ".join(faults.escaped) or "none"
    if training := finding.training:
        found["largest_deviation"] = f"{float(training.largest):.1e}"
        found["first_divergence"] = first_text(finding) or "none"
        found |= {} if finding.is_judged else {"not_judged": number(training.num_undecided, "value")}
        found |= {"cost": cost_text(training.cost)} if training.cost else {}
    suffix = f"[{finding.name}]" if finding.name else ""
    return {inert_line(f"{name}{suffix}"): inert_line(value) for name, value in found.items()}  # pytest escapes no name


def session_text(findings: Iterable[Finding]) -> str:
    """Count what failed and what passed, and what passed although it is not judged."""
    findings = list(findings)
    failed = Counter(finding.verdict for finding in findings if not finding.passed)
    unjudged = sum(finding.passed and not finding.is_judged for finding in findings)
    if not failed:
        return f"{number(len(findings), 'check')}, all passed" + (
            f", {unjudged} of them not judged" if unjudged else ""
        )
    kinds = ", ".join(f"{count} {verdict}" for verdict, count in sorted(failed.items()))
    beside = f"; {unjudged} passed, but not judged" if unjudged else ""
    return f"{failed.total()} of {number(len(findings), 'check')} failed: {kinds}{beside}"


_NOUNS = {"figure": "figure", "training": "training"}
_VERBS = {
    "different": ("differs from its baseline", "differ from their baselines"),
    "beside": ("on ranks differs from a single process", "on ranks differ from a single process"),
    "drift": ("drifts", "drift"),
    "error": ("could not be compared", "could not be compared"),
}
_ODD = {
    "drift": ("drifted", "drifted"),
    "not judged": ("is not judged", "are not judged"),
    "escaped": ("lets faults escape", "let faults escape"),
}


def verdict_text(findings: Sequence[Finding]) -> str:
    """Say in a sentence what a session found; figures that follow from a red training are not counted again."""
    own, _ = apart(findings)
    failed = [finding for finding in own if not finding.passed]
    if not failed:
        return f"Nothing differs: {number(len(findings), 'check')} passed{_although(findings)}"
    kinds = Counter((_NOUNS.get(finding.kind, "check"), _beside(finding)) for finding in failed)
    return ", ".join(_counted(noun, verdict, count) for (noun, verdict), count in kinds.items())


def _although(findings: Sequence[Finding]) -> str:
    """Say what is odd about checks that passed; of one it goes without a number."""
    odd = Counter(finding.verdict for finding in findings if finding.verdict in _ODD)
    counts = ((f"{count} " if len(findings) > 1 else "", _ODD[verdict][count > 1]) for verdict, count in odd.items())
    return ", but " * bool(odd) + ", ".join(map("".join, counts))


def _beside(finding: Finding) -> str:
    return "beside" if (finding.former, finding.verdict) == (SINGLE, "different") else finding.verdict


def _counted(noun: str, verdict: str, count: int) -> str:
    one, many = _VERBS.get(verdict, (f"is {verdict}", f"are {verdict}"))
    return f"{number(count, noun)} {one if count == 1 else many}"


def beside_text(findings: Sequence[Finding]) -> str:
    """Say what else there is beside what failed of itself; empty where there is nothing else."""
    _, following = apart(findings)
    passed = sum(finding.passed for finding in findings)
    if passed == len(findings) or len(findings) == 1:
        return ""
    follow = f"{number(len(following), 'figure')} {'follows' if len(following) == 1 else 'follow'} from that"
    return ", ".join([*[follow] * bool(following), f"{passed} of {number(len(findings), 'check')} passed"])


def apart(findings: Iterable[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Return findings, and those of figures that failed because the training that they show did."""
    findings = list(findings)
    red = {finding.test for finding in findings if finding.training and not finding.passed}
    parts: tuple[list[Finding], list[Finding]] = [], []
    for finding in findings:
        follows = finding.figure is not None and not finding.passed and finding.figure.of in red
        parts[follows].append(finding)
    return parts


def first_text(finding: Finding) -> str:
    """Word where a training first leaves what it is held against, and by how much; empty if nowhere."""
    if not (finding.training and (first := finding.training.first)):
        return ""
    values = first_values(finding, first)
    told = values[0] if len(values) == 1 else "{} {}, now {}{}".format(*values)
    return f"{first.when}, {first.stage}, {first.text}: {told}"


def first_values(finding: Finding, first: First) -> tuple[str, ...]:
    """Return what two digests tell; of other values whose the former is, both, and how far apart they are."""
    if told := digest_text(first.stream, first.baseline, first.value, finding.former):
        return (told,)
    size = float(first.size)
    sizes = f" ({size:.1e}, threshold {first.threshold:.0e})" if size < float("inf") else ""
    return former_word(first.baseline, finding.former), first.baseline, first.value, sizes


def size_text(finding: Finding) -> str:
    """Word how large a check's deviation is, or what took its place."""
    if faults := finding.faults:
        return caught_text(faults.caught, faults.planted)
    if finding.training and not finding.is_judged:
        return f"{number(finding.training.num_undecided, 'value')} not judged"
    return "" if finding.kind == "equivalence" else share_text(finding.share)


def share_text(share: float | None) -> str:
    """Word the share of its threshold that a deviation takes."""
    if share is None:
        return "nothing to compare"
    if share == float("inf"):
        return "beyond any threshold"
    return f"{100 * share:.2g} % of the threshold" if share <= 1 else f"{share:.2g} times the threshold"


def findings_text(findings: Sequence[Finding]) -> str:
    """Return what failed and passed, and a line a check; figures that passed have none."""
    shown = [each for each in findings if not (each.figure and each.passed)]
    rows = [(each.verdict, f"{inert_line(each.place)}   {inert_line(each.headline)}") for each in shown]
    return "\n".join([session_text(findings), *(f"  {line}" for line in columns(rows))])


def trends(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line on each check that passed, but came closer to its threshold than it used to."""
    for finding in findings:
        margins = finding.margins
        if finding.passed and finding.share is not None and shrinks(margins):
            shares = ", ".join(f"{100 * share:.2g} %" for share in margins[-_RUNS:])
            runs = f"{shares} of the threshold in the last runs"
            yield f"margin shrinks: {finding.title}: {runs}   {finding.test}"


def loosened_text(gates: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line on the gates that their tests loosen, of pairs of test and what it lets go; none without any."""
    loosened = [f"{test} {gate}" for test, gate in gates if gate]
    if not loosened:
        return []
    what = "gate is loosened by its test" if len(loosened) == 1 else "gates are loosened by their tests"
    return [f"{len(loosened)} {what}: {'; '.join(loosened)}"]


def loosened_lines(findings: Iterable[Finding]) -> list[str]:
    """Return likewise what findings say of it."""
    trainings = ((finding.place, finding.training) for finding in findings)
    return loosened_text((place, training.loosened) for place, training in trainings if training)


def cost_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line on each training whose cost was measured."""
    for finding in findings:
        if finding.training and finding.training.cost:
            yield f"cost   {cost_text(finding.training.cost)}   {finding.place}"


def comparison_lines(
    findings: Sequence[Finding],
    *,
    generated: int,
    not_compared: int,
    notes: Sequence[str],
    accept_all: str,
    commit: str,
    strict: bool = False,
) -> Iterator[str]:
    """Yield what was compared, what is worth saying although it passed, and how large the margins were.

    Beside the findings there are baselines that were generated, with notes, and figures that were drawn only. The
    command lines accept all results that can be, and have git take what was written. If strict, trainings that are
    judged loosely are counted.
    """
    kinds = Counter(finding.kind for finding in findings)
    compared = kinds["training"] + kinds["figure"]
    acceptable = sum(not finding.passed and finding.accept.startswith("harness accept") for finding in findings)
    if not (compared or generated or not_compared or kinds["equivalence"] or acceptable):
        return
    drifted = sum(finding.verdict == "drift" for finding in findings)
    parts = [number(kinds["training"], "record"), number(kinds["figure"], "figure")]
    parts += [f"{drifted} of them drifted"] if drifted else []
    unjudged = sum(not finding.is_judged for finding in findings)
    parts += [f"{unjudged} not judged"] if unjudged else []
    judged = f", {kinds['equivalence']} judged by several seeds" if kinds["equivalence"] else ""
    yield f"{compared} compared ({', '.join(parts)}), {generated} generated, {not_compared} not compared{judged}"
    if generated:
        yield f"commit the baselines, which later runs are compared with: {commit}"
    if acceptable > 1:
        yield f"accept all {acceptable}: {accept_all}"
    yield from notes
    yield from (_note(finding) for finding in findings if finding.notable and finding.passed)
    if faults := [finding.faults for finding in findings if finding.faults]:
        planted = sum(each.planted for each in faults)
        yield f"gate power: {caught_text(sum(each.caught for each in faults), planted)}"
    yield from loosened_lines(findings)
    yield from _margins(findings)
    trainings = [finding.training for finding in findings if finding.training]
    if strict and trainings:
        loose = sum(training.loosest > LOOSE for training in trainings)
        yield f"{loose} of {number(len(trainings), 'training')} with thresholds above {LOOSE:.0e}"


def _note(finding: Finding) -> str:
    if finding.kind == "equivalence":
        return f"{finding.test}\n{finding.text}\n  accept  {finding.accept}"
    return finding.text


def _margins(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the largest deviation of the records that passed, and the largest RMS of the figures, where there are any.

    Event files have another margin.
    """
    passed = [finding for finding in findings if finding.verdict == "same" and finding.passed]
    sharp = [found for found in passed if found.training and not found.training.precision.endswith("event files")]
    figures = [finding.figure for finding in passed if finding.figure]
    margins = []
    if sharp:
        deviation = max(float(found.training.largest) for found in sharp if found.training)
        share = max(found.share or 0.0 for found in sharp)
        margins.append(f"deviation {deviation:.1e}, at most {100 * share:.2g} % of a threshold")
    if figures:
        margins.append(f"figure RMS {max(float(figure.rms or 0.0) for figure in figures):.2f}")
    if margins:
        yield f"margins of what passed: {'; '.join(margins)}"
