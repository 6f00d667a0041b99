"""Hold a record that a test checks against its baseline, its seeds, a single process, and planted faults."""

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.baselines.failed import FIRST, LOOSENED, WITH_STATES, made_by_training
from harness.comparing.comparison import compare
from harness.comparing.equivalence import judged
from harness.comparing.variants import put_back
from harness.errors import BaselineError, BaselineMissingError, EquivalenceError, RerunError
from harness.explaining.where import Where, unknown, where
from harness.faults.gate_power import measure
from harness.plugin.cost import cost, with_cost
from harness.plugin.generating import verified
from harness.plugin.messages import failed
from harness.plugin.record_check import RecordCheck
from harness.plugin.session import Checked
from harness.record import Baseline
from harness.report import failed_pictures
from harness.report.blame_text import blame_lines
from harness.report.comparison_text import cause, difference, equivalence_text, note, parity_text, power_text
from harness.report.comparison_text import failure as failure_text
from harness.report.finding import Finding
from harness.report.where_text import edited_text, unknown_text, where_text


if TYPE_CHECKING:
    from harness.comparing.comparison import Comparison
    from harness.comparing.deviations import Deviation
    from harness.comparing.ranks import Held
    from harness.explaining.blame import Changed


def judge(checked: RecordCheck, seeds: int) -> None:
    """Ask whether the training is as good as its baseline over several seeds, not whether it is the same."""
    __tracebackhide__ = True
    command = f"{checked.test.regenerate_command} --training-equivalence={seeds}"
    with checked.keeping_errors():
        baseline = checked.baseline()
        if (found := len(baseline.seeds)) != seeds:  # more of them would widen the margins
            refuse = EquivalenceError.no_seeds if found < seeds else EquivalenceError.more_seeds
            raise refuse(path=checked.shown_path, found=found, seeds=seeds, command=command)
        result = judged(baseline.seeds, checked.judged, seeds, checked.rerun)
    text = equivalence_text(result, *_with_more_seeds(checked, seeds))
    check = checked.check(accept=command)
    _conclude(checked, check.seeds(result, text=text), f"{checked.test.id}\n{text}", text.partition("\n")[0])


def _with_more_seeds(checked: RecordCheck, seeds: int) -> tuple[str, str]:
    """Return the command lines that decide what these seeds leave open: on the former version, and on this one."""
    more = f"--training-equivalence={2 * seeds}"
    return f"{checked.test.regenerate_command} {more}", f"{checked.test.compare_command} {more}"


def _conclude(checked: RecordCheck, finding: Finding, text: str, cause: str = "") -> None:
    """Keep what was found; fail with a text, and the cause in a line, if it does not pass."""
    __tracebackhide__ = True
    checked.session.report.add(finding, checked.test.item.user_properties)
    if not finding.passed:
        raise failed(text, cause)


def hold(checked: RecordCheck) -> None:
    """Hold a record against its baseline, keep what was found, and fail if it differs."""
    __tracebackhide__ = True
    with checked.keeping_errors():
        checked.withdraw()
        if checked.test.is_apart(checked.path):
            return
        _check_environment(checked)
        baseline = _stored_or_offered(checked)
        comparison, bits = _comparison(checked, baseline)
    finding = _found(checked, baseline, comparison, bits)
    is_its = finding.verdict == comparison.verdict  # and not what the training costs
    _conclude(checked, finding, finding.text, cause(comparison, bits) if is_its else "")
    if checked.session.verifies:
        with checked.keeping_errors():
            checked.session.counts.notes.append(verified(checked, baseline))
    if checked.session.measures_power:
        _measure(checked, baseline)


def _found(checked: RecordCheck, baseline: Baseline, comparison: "Comparison", bits: "Deviation | None") -> Finding:
    """Say what a comparison found, with its pictures and, where it differs, what is to blame."""
    drawn = failed_pictures.deviations(comparison) if comparison.verdict != "same" else b""
    checked.session.runs.overlay(checked.record, comparison, drawn)
    lenient = comparison.verdict in ("drift", "not judged") and not checked.session.strict
    passed = comparison.verdict == "same" or lenient
    if passed:
        text = note(comparison, chosen=checked.chosen_text, trained=checked.trained_by, bits=bits)
        accept, changed, place, line, code = checked.test.accept_command, None, "", "", []
    else:
        found, place = _where(comparison, checked)
        line = found.line if found else ""
        changed = checked.blame(baseline, line)
        if edit := checked.edited(baseline, changed or [], comparison, found):
            place, line = edited_text(edit, place, line), f"{edit.at.file}:{edit.at.line}"
            changed = sorted(changed or [], key=lambda each: each.path != edit.at.file)
        text, accept = _failure(comparison, checked, baseline, drawn, changed, place, bits)
        code = checked.code(baseline, line, changed or [])
    former = None if passed else baseline.record
    checked.session.add_checked(Checked(weakref.ref(checked.record), checked.test.id, former))
    check = checked.check(accept=accept, where=line)
    notable = _is_notable(comparison, checked)
    finding = check.training(
        comparison, passed=passed, text=text, notable=notable, where=place, blame=changed or (), code=code
    )
    if (against := checked.session.against) and (against.asked is None or against.asked.costs):
        return with_cost(finding, checked, baseline, cost(checked, against))
    return finding


def _stored_or_offered(checked: RecordCheck) -> Baseline:
    """Read the baseline; where there is none, keep the record, which may become it."""
    try:
        return checked.baseline()
    except BaselineMissingError:
        stateful = checked.stateful or (checked.is_recipes and checked.record.is_low_precision)
        obstacle = WITH_STATES if stateful else LOOSENED if checked.gate else ""
        _, accept = checked.test.keep_failed(
            checked.path,
            checked.record.to_text().encode(),
            difference=FIRST,
            obstacle=obstacle,
            named=checked.sources,
            check=checked.name,
        )
        command = checked.test.regenerate_command
        raise BaselineMissingError.of(
            path=checked.shown_path, command=command, accept=accept if accept != command else ""
        ) from None


def _check_environment(checked: RecordCheck) -> None:
    """Under --training-strict, take no low-precision baseline of another environment."""
    if checked.session.strict and checked.is_elsewhere:
        path = checked.shown_path
        raise BaselineError.other_environment(
            path=path, choice=checked.chosen_text, command=checked.test.regenerate_command
        )


def _comparison(checked: RecordCheck, baseline: Baseline) -> "tuple[Comparison, Deviation | None]":
    """Compare; a recipe with stored states that is not its baseline is put back on them.

    Returns:
        The comparison; and the first number of which a bit is another, where the baseline was trained in low
        precision on this machine.
    """
    comparison = compare(baseline, checked.record)
    bits = comparison.moved if checked.session.against and checked.record.is_low_precision else None
    states = checked.stored_states(baseline) if checked.is_recipes and comparison.verdict != "same" else None
    if states is None:
        return comparison, bits
    return compare(baseline, put_back(checked.judged, states, checked.rerun)), bits


def _measure(checked: RecordCheck, baseline: Baseline) -> None:
    """Plant faults in the training; too many that escape are a failure."""
    __tracebackhide__ = True
    with checked.keeping_errors():
        states = checked.stored_states(baseline) if checked.path.exists() else None
        power = measure(checked.judged, baseline, states, checked.rerun, strict=checked.session.strict)
        if power is None:
            raise RerunError.unrepeatable(nodeid=checked.test.id)
    least = checked.session.least_power
    text = power_text(power, checked.test.id, least)
    _conclude(checked, checked.check().power(power, passed=power.reaches(least), text=text), text)


def parity(checked: RecordCheck, held: "Held") -> None:
    """Conclude what ranks do beside a single process: there is nothing to accept."""
    __tracebackhide__ = True
    comparison = held.comparison
    passed = comparison.verdict == "same" or (comparison.verdict == "drift" and not checked.session.strict)
    text = parity_text(held, checked.test.id, checked.session.shown(checked.session.report.page), passed=passed)
    check = replace(checked.check(), baseline="", accept="")
    finding = check.training(comparison, passed=passed, text=text, notable=bool(held.apart))
    _conclude(checked, finding, text, "" if passed else cause(comparison))
    if checked.session.measures_power and not held.apart:
        _measure(checked, comparison.baseline)


def _failure(
    comparison: "Comparison",
    checked: RecordCheck,
    baseline: Baseline,
    drawn: bytes,  # the deviations, as a PNG file
    changed: "list[Changed] | None",  # files; None if that is not known
    where: str,  # the line that differs first, in words
    bits: "Deviation | None",  # the first number of which a bit is another, where that counts
) -> tuple[str, str]:
    """Keep the record that differs; return the message, and the command in it that accepts the record."""
    test, session = checked.test, checked.session
    whole = checked.record if checked.gate.ignore else comparison.record
    kept, accept = test.keep_failed(
        checked.path,
        Baseline(whole, trace=baseline.trace and checked.traced.kept).to_text().encode(),
        difference=difference(comparison),
        obstacle=_obstacle(checked, baseline),
        options=["--training-generate=add"] if checked.is_others else [],
        named=checked.sources,
        check=checked.name,
    )
    look = [str(session.shown(session.report.page))]
    look += [f"{session.shown(kept)}   (baseline: {checked.shown_path})"] if kept else []
    with session.report.noted():
        look += [str(session.shown(path)) for path in failed_pictures.keep(comparison, drawn, checked.pictures)]
    against = session.against.title if session.against else ""
    text = failure_text(
        comparison,
        test=test.id,
        blame=[] if changed is None else blame_lines(changed),
        look=[*look, f"tensorboard --logdir {session.shown(session.tensorboard)}"],
        accept=accept,
        chosen=checked.chosen_text,
        origin={} if against else session.origin,
        trained=checked.trained_by,
        where=where,
        against=against,
        bits=bits,
    )
    return text, accept


def _where(comparison: "Comparison", checked: RecordCheck) -> tuple[Where | None, str]:
    """Return where a training differs first, and that in words, or why it is not known."""
    if comparison.baseline.trace is None:
        return None, unknown_text("", checked.explain_command) if checked.session.against else ""
    found = where(comparison, checked.traced)
    if found:
        return found, where_text(found)
    return None, unknown_text(unknown(comparison, checked.traced), checked.explain_command)


def _obstacle(checked: RecordCheck, baseline: Baseline) -> str:
    """Say what of a baseline only a training can make anew, or why this one's result cannot."""
    if checked.is_others:
        return "it is the baseline of another environment, and this one has none yet"
    return made_by_training(baseline)


def _is_notable(comparison: "Comparison", checked: RecordCheck) -> bool:
    """Tell whether a comparison that passes is worth a line: not the usual "same" with the usual margin."""
    around = comparison.renamed or comparison.frozen or comparison.unknown or checked.is_elsewhere
    world = checked.record.world
    around = around or checked.is_served or bool(comparison.world) or bool(world and world.lacks_ranks)
    unusual = around or comparison.unjudged or comparison.starts_elsewhere
    return comparison.verdict in ("drift", "not judged") or bool(unusual) or checked.record.source == "event files"
