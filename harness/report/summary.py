"""What a session found, in the lines that end it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.comparing.thresholds import THRESHOLD
from harness.report.finding import Finding, Training
from harness.report.words import number


def comparison_lines(
    findings: Sequence[Finding], *, generated: int, not_compared: int, notes: Sequence[str], accept_all: str
) -> Iterator[str]:
    """Yield what was compared, what is worth saying although it passed, and how large the margins were.

    Args:
        findings: of the session.
        generated: baselines that were written.
        not_compared: figures that were drawn only.
        notes: on baselines that were written.
        accept_all: the command line that accepts all results that failed and can be.
    """
    kinds = Counter(finding.kind for finding in findings)
    compared = kinds["training"] + kinds["figure"]
    if not (compared or generated or not_compared or kinds["equivalence"]):
        return
    drifted = sum(finding.verdict == "drift" for finding in findings)
    parts = [number(kinds["training"], "record"), number(kinds["figure"], "figure")]
    parts += [f"{drifted} of them drifted"] if drifted else []
    judged = f", {kinds['equivalence']} judged by several seeds" if kinds["equivalence"] else ""
    yield f"{compared} compared ({', '.join(parts)}), {generated} generated, {not_compared} not compared{judged}"
    acceptable = sum(not finding.passed and finding.accept.startswith("harness accept") for finding in findings)
    if acceptable > 1:
        yield f"accept all {acceptable}: {accept_all}"
    yield from notes
    yield from (_note(finding) for finding in findings if finding.notable and finding.passed)
    if faults := [finding.faults for finding in findings if finding.faults]:
        planted, caught = (
            sum(counts) for counts in zip(*((each.planted, each.caught) for each in faults), strict=True)
        )
        yield f"gate power: {caught} of {number(planted, 'planted fault')} caught"
    yield from _margins(findings)


def _note(finding: Finding) -> str:
    if finding.kind == "equivalence":
        return f"{finding.test}\n{finding.text}\n  accept  {finding.accept}"
    return finding.text


def _margins(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the largest deviation and the largest RMS of what passed; event files have another margin."""
    passed = [finding for finding in findings if finding.verdict == "same" and finding.passed]
    sharp = [found.training for found in passed if found.training and not _from_event_files(found.training)]
    figures = [finding.figure for finding in passed if finding.figure]
    if sharp or figures:
        deviation = max((float(training.largest) for training in sharp), default=0.0)
        rms = max((float(figure.rms or 0.0) for figure in figures), default=0.0)
        yield f"margins of what passed: deviation {deviation:.1e} of {THRESHOLD:.0e}, figure RMS {rms:.2f}"


def _from_event_files(training: Training) -> bool:
    return training.precision.endswith("event files")
