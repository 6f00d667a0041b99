"""Seeds held against a baseline's, in words."""

from harness.equivalence import ALPHA, MARGIN_DEVIATIONS, MARGIN_SHARE, Equivalence, Shift
from harness.report.words import stream_text


__all__ = ["equivalence_text"]

_COLUMNS = ("metric", "former", "present", "difference", "interval", "corrected", "margin", "verdict")


def equivalence_text(equivalence: Equivalence) -> str:
    """Word a training's seeds held against its baseline's, whatever the verdict.

    Returns:
        A headline, a table with a line a metric, and labelled lines on test and margins.
    """
    rows = [_COLUMNS, *(_cells(shift) for shift in equivalence.shifts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join(["", name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:-1]), verdict])
        for name, *numbers, verdict in rows
    ]
    return "\n".join([_equivalence_headline(equivalence), *table, *_stated_test(equivalence)])


def _equivalence_headline(equivalence: Equivalence) -> str:
    shifted: dict[str, list[str]] = {}
    for shift in equivalence.shifts:
        shifted.setdefault(shift.verdict, []).append(stream_text(shift.metric))
    order = ("worse", "different", "better", "inconclusive")
    found = [f"{verdict} in {', '.join(shifted[verdict])}" for verdict in order if verdict in shifted]
    rest = "; ".join(found) or "every metric stays within its margin"
    return f"{equivalence.verdict} after {equivalence.seeds} of {equivalence.planned} paired seeds: {rest}"


def _cells(shift: Shift) -> list[str]:
    means = [f"{shift.former:.4g}", f"{shift.present:.4g}", f"{shift.difference:+.2g}"]
    reaches = [f"+-{reach:.2g}" for reach in (shift.reach, shift.corrected_reach)]
    return [stream_text(shift.metric), *means, *reaches, f"{shift.margin:.2g}", shift.verdict]


def _stated_test(equivalence: Equivalence) -> list[str]:
    error, least, metrics = f"{100 * ALPHA:g} %", f"{100 * MARGIN_SHARE:g} %", len(equivalence.shifts)
    return [
        f"  test    paired t at each seed from the third, error spent over {equivalence.planned}: interval, TOST at "
        f"{error}; corrected, {error} over {metrics} metrics",
        f"  margin  where none is given, {MARGIN_DEVIATIONS:g} standard deviations of the baseline's seeds, at least "
        f"{least} of their mean",
    ]
