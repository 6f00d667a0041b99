"""What a training costs beside the commit that a session is held against."""

import time

from msgspec.structs import replace

from harness.elsewhere.cost import BUDGET, LEAST, MOST, Cost, measure
from harness.plugin.against import Against
from harness.plugin.record_check import RecordCheck
from harness.record import Baseline
from harness.recording.perturbation import Reran, Rerun
from harness.report.cost_text import cost_text, slower_text
from harness.report.finding import MOST_BLAMED, Finding
from harness.report.words import rows_text, title


def cost(checked: RecordCheck, against: Against) -> Cost:
    """Measure what a training costs, there and here.

    It is worth a minute a session, or a minute a training where a limit has to be judged; only there more runs are
    worth their time where the first ones disagree.
    """
    session, record = checked.test.session, checked.record

    def there(how: Rerun) -> Reran:
        return against.reruns.run(against.former(checked.test.id), checked.name, how)

    def here(how: Rerun) -> Reran:
        return session.reruns.run(checked.test.id, checked.name, how)

    began, budget = time.monotonic(), BUDGET if session.slowest else session.seconds_for_costs
    if budget <= 0:
        return Cost(at=against.title, unknown=f"a session takes {BUDGET:.0f} s for this, and they are over")
    with session.workers.room(record.device):
        most = MOST if session.slowest else LEAST
        found = measure(there, here, against.title, record.seconds, budget, most)
    session.seconds_for_costs -= time.monotonic() - began
    return found


def with_cost(finding: Finding, checked: RecordCheck, baseline: Baseline, found: Cost) -> Finding:
    """Return the finding of a training with what it costs, which fails it if it passed and that is too much.

    Under --training-strict it fails, too, where there is a limit and the cost is not known.
    """
    training, session = finding.training, checked.test.session
    assert training is not None, "only trainings have a cost"
    costly = replace(training, cost=found)
    if not finding.passed:
        return replace(finding, subject=costly, text=rows_text(finding.text, {"cost": cost_text(found)}))
    if not session.slowest or not (session.strict if found.unknown else found.exceeds(session.slowest)):
        return replace(finding, subject=costly)
    changed = checked.blame(baseline) or []
    recipe = f"{title(checked.record)}   {checked.test.id}"
    return replace(
        finding,
        verdict="inconclusive" if found.unknown else "slower",
        passed=False,
        text=slower_text(found, session.slowest, recipe=recipe, changed=changed),
        subject=replace(costly, blame=changed[:MOST_BLAMED]),
    )
