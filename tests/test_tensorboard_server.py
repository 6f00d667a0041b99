"""Promises of what people see: a real TensorBoard server on a training and its baseline."""

import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request

import numpy as np
import pytest

from harness import Recipe, train, write_events
from harness.tensorboard.layout import LAYOUT


RECIPE = {"model": "cifar_cnn", "width": 2, "train_images": 16, "test_images": 20, "batch_size": 8, "epochs": 2}
RUNS = ("cnn/baseline", "cnn/now")

pytestmark = pytest.mark.long  # what the server reads, the files, tests/test_tensorboard.py looks at in the suite


@pytest.fixture(scope="module")
def records():
    """Two trainings that differ in the learning rate, by run."""
    rates = dict(zip(RUNS, (0.05, 0.06), strict=True))
    return {run: train(Recipe(**RECIPE, warmup_steps=1, learning_rate=rate)) for run, rate in rates.items()}


@pytest.fixture(scope="module")
def server(records, tmp_path_factory):
    """Address of a server that shows them; it has read everything before it answers."""
    folder = tmp_path_factory.mktemp("tensorboard")
    for run, record in records.items():
        write_events(record, folder / run)
    options = ["--port=0", "--load_fast=false", "--reload_interval=0", "--reload_task=blocking"]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={folder}", "--host=127.0.0.1", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found[0]
                break
        else:
            pytest.fail("TensorBoard did not start:\n" + "".join(lines))
        process.terminate()


def ask(server, route, post=None, **query):
    """What the server answers."""
    address = f"{server}data/{route}?{urllib.parse.urlencode(query)}"
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        content = response.read()
    return json.loads(content) if response.headers["Content-Type"].startswith("application/json") else content


def test_the_training_and_its_baseline_are_two_runs(server):
    """They have names that belong together, and no run of another name appears."""
    assert sorted(ask(server, "runs")) == list(RUNS)


def test_every_dashboard_has_something_to_show(server):
    """Scalars, layout, images, graph, distributions, histograms, texts and hyperparameters."""
    shown = {name for name, plugin in ask(server, "plugins_listing").items() if plugin["enabled"]}

    wanted = "scalars custom_scalars images graphs distributions histograms text hparams"
    assert shown >= set(wanted.split())


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    ("tag", "stream"),
    [("training/loss", "loss"), ("gradient/conv1.weight", "gradient/conv1.weight")],
)
def test_curves_lie_over_each_other(records, server, run, tag, stream):
    """Both runs have the same tags, each with all values of its record."""
    points = ask(server, "plugin/scalars/scalars", run=run, tag=tag)
    expected = records[run].streams[stream]

    assert [(step, np.float32(value)) for _, step, value in points] == [
        (step, np.float32(value)) for step, value in zip(expected.steps, expected.values, strict=True)
    ]


def test_equal_layouts_of_both_runs_are_one(server):
    """TensorBoard merges them: no chart is there twice, and a chart's pattern finds curves in both runs."""
    layout = ask(server, "plugin/custom_scalars/layout")
    titles = [(c["title"], chart["title"]) for c in layout["category"] for chart in c["chart"]]

    assert len(titles) == len(set(titles)) > 8
    for run in RUNS:
        answer = ask(server, "plugin/custom_scalars/scalars", run=run, tag=LAYOUT["progress"]["loss"])
        assert answer["tag_to_events"].keys() == {"training/loss", "evaluation/loss", "evaluation/average_loss"}


def test_the_table_of_runs_shows_what_differs_and_what_came_of_it(records, server):
    """One line a run: the learning rate, among the five columns that are shown, and the last loss."""
    columns = ask(server, "plugin/hparams/experiment", post={"experimentName": "", "hparamsLimit": 5})
    query = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": info["name"]} for info in columns["metricInfos"]],
        "startIndex": 0,
        "sliceSize": 9,
        "aggregationType": "AGGREGATION_AVG",
    }
    lines = ask(server, "plugin/hparams/session_groups", post=query)["sessionGroups"]
    found = {line["sessions"][0]["name"]: line for line in lines}

    assert "learning_rate" in {info["name"] for info in columns["hparamInfos"]}
    assert {run: line["hparams"]["learning_rate"] for run, line in found.items()} == dict(
        zip(RUNS, (0.05, 0.06), strict=True)
    )
    for run, line in found.items():
        values = {value["name"]["tag"]: value["value"] for value in line["metricValues"]}
        assert np.float32(values["training/loss"]) == np.float32(records[run].streams["loss"].values[-1])


def test_texts_graph_images_and_histograms_are_served(server):
    """What each dashboard asks for arrives."""
    texts = ask(server, "plugin/text/text", run=RUNS[0], tag="recipe/text_summary")
    graph = ask(server, "plugin/graphs/graph", run=RUNS[0], conceptual="false")
    (image,) = ask(server, "plugin/images/images", run=RUNS[0], tag="images/batch", sample=0)
    picture = ask(server, f"plugin/images/individualImage?{image['query']}&")
    weights = ask(server, "plugin/histograms/histograms", run=RUNS[0], tag="weight_histogram/conv1.weight")

    assert "<td>learning_rate</td>" in texts[0]["text"]
    assert b'name: "conv1/weight"' in graph
    assert picture.startswith(b"\x89PNG")
    assert [step for _, step, _ in weights] == [0, 4]  # before the first step and after the last


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_both_runs(server, tmp_path):
    """The first page: both runs, the groups of tags, and the curves' cards."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path}", "--window-size=1600,1200", f"{server}#timeseries"]
    page = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout
    shown = re.sub(r"\s*(<[^>]*>\s*)+", "|", re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL))

    for run in RUNS:
        assert f"|{run}|" in shown
    assert "|evaluation|15 cards|" in shown
    assert "|gradient|8 cards|" in shown
    assert "|evaluation|/accuracy|" in shown
