"""A page of many trainings: `python -m tests.pages` prints how large it is, how fast it opens, and what axe-core says.

It needs Chromium. axe-core is looked for where HARNESS_AXE says (a file, axe.min.js), or in node_modules beside the
project; without it nothing is said of accessibility.
"""

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

from harness import Recipe, compare, figures, train
from harness.explaining.excerpt import CodeLine, Excerpt
from harness.report.check import Check
from harness.report.failed_pictures import draw_twins, shown
from harness.report.figure_text import compared_figure
from harness.report.html.page import page
from harness.report.json_form import ordered
from harness.report.run import run_of
from tests.browser import CHROMIUM, browsing


ROOT = Path(__file__).parents[1]
AXE = Path(os.environ.get("HARNESS_AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
"""The library's file, whether it is there or not."""
RECIPE = Recipe(model="cifar_cnn", width=4, epochs=12, train_images=64, test_images=40, batch_size=8, warmup_steps=1)
DRAWN = ("loss_curve", "gradient_flow", "confusion_matrix", "prediction_grid")
LARGEST, LONGEST = 5_000_000, 2_000
"""Bytes of the page, and milliseconds until its first screen shows."""
CODE = [Excerpt("train.py", 7, [CodeLine(0, "-", "lr = 0.25"), CodeLine(7, "+", "lr = 0.2525")])]


def main() -> int:
    """Measure a page of 50 trainings, 10 of them red, each with four figures; return whether it is as it should be."""
    if CHROMIUM is None:
        print("Chromium is not installed")
        return 0
    faulty = dataclasses.replace(RECIPE, learning_rate=1.01 * RECIPE.learning_rate)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "report.html")
        text = drawn(train(RECIPE), train(faulty), Path(place), number=50, red=10).encode()
        file.write_bytes(text)
        print(f"50 trainings, 10 of them red, {len(DRAWN)} figures each: {len(text) / 1e6:.2f} MB")
        with browsing() as browser:
            browser.open(file)
            milliseconds, asked = first_screen(browser), len(requested(browser))
            print(f"first screen after {milliseconds:.0f} ms, {asked} requests beside the page itself")
            found = accessibility(browser) if AXE.is_file() else []
            print(*found or ["axe-core: no violation" if AXE.is_file() else f"axe-core is not at {AXE}"], sep="\n")
    return int(bool(found) or asked > 0 or milliseconds > LONGEST or len(text) > LARGEST)


def drawn(baseline, other, folder, number, red, names=DRAWN):
    """The page of so many trainings, the first of which are another record than their baseline, with their figures."""
    findings = []
    for index in range(number):
        test, record = f"tests/test_gate.py::test_training[{index:02}]", other if index < red else baseline
        comparison = compare(baseline, record)
        passed = comparison.verdict == "same"
        text = (
            "cifar_cnn: same" if passed else "training differs from its baseline from step 1 on: forward, loss\n  first"
        )
        found = Check(test, "", f"{index}.json", "tests/test_gate.py", 7, "harness accept x").training(
            comparison,
            passed=passed,
            text=text,
            where="" if passed else "train.py:7 in main",
            code=[] if passed else CODE,
        )
        findings += [found, *(_figure(name, index, test, baseline, record, folder) for name in names)]
    findings = ordered(findings)
    return page(findings, shown(findings, folder), run=run_of(ROOT, time.time()))


def _figure(name, index, of, baseline, record, folder):
    """What is found of a figure; as the plugin does it, but for pytest-mpl."""
    place = folder / f"{name}-{record is baseline}"
    passed = name == "prediction_grid" or record is baseline
    if not place.exists():
        place.mkdir()
        draw = getattr(figures, name)
        gated = draw(record)
        draw(baseline).savefig(place / "baseline.png")
        gated.savefig(place / "result.png")
        if not passed:
            draw_twins(gated, record, baseline, place)
    check = Check(
        f"tests/test_gate.py::test_{name}[{index:02}]", "", f"{index}-{name}.png", "tests/test_gate.py", 9, ""
    )
    return compared_figure(check, place, folder, 2.0, passed, "" if passed else f"follows from {of}", of)


def first_screen(browser):
    """Milliseconds from the request of the page to its first paint with content."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    wait = f"new Promise(done => {{ const look = () => {paint} ? done({paint}) : setTimeout(look, 20); look() }})"
    answer = browser.call("Runtime.evaluate", expression=wait, awaitPromise=True, returnByValue=True)
    return answer["result"]["value"]


def requested(browser):
    """Addresses that a page asked for beside its own."""
    return [url for url in browser.requests[1:] if not url.startswith("data:")]


def accessibility(browser):
    """A line on each rule of axe-core that the page breaks, with all of it open, in both schemes, on a phone, too."""
    browser.ask(AXE.read_text(encoding="utf-8"))
    browser.ask("document.querySelectorAll('details').forEach(each => each.open = true)")
    told = "`${each.id}: ${each.help}, ${each.nodes.length} x ${each.nodes[0].html}`"
    run = f"axe.run().then(found => found.violations.map(each => {told}))"
    found = []
    for width, scheme in ((1280, "light"), (390, "dark")):
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=False)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        answer = browser.call("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
        found += [f"{width} pixels, {scheme}: {line}" for line in answer["result"]["value"]]
    return found


if __name__ == "__main__":
    sys.exit(main())
