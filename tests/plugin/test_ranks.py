"""Promises of `ranks` and `check_ranks`: real ranks are run, collected, and held against a single process."""

import dataclasses
import json
import sys
import threading
from unittest.mock import Mock, PropertyMock

import pytest

from harness import errors
from harness.comparing import variants
from harness.elsewhere.ranks import Ranks, _wait
from harness.faults import FAULTS, OF_RANKS, gate_power
from tests.plugin.conftest import GENERATE, Project
from tests.repositories import git
from tests.test_ranks import rank_of, single_of
from tests.test_record import record_of


TRAINING = """
import os
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from harness import Recorder

RATE = 0.1

def train(fault=""):
    size, rank = 1, 0
    if distributed.is_initialized():
        size, rank = distributed.get_world_size(), distributed.get_rank()
    if fault == "raises" and rank:
        raise ValueError("no such data")
    if fault == "dies" and rank:
        os._exit(3)
    with Recorder() as recorder:
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        data = TensorDataset(torch.rand(16, 4), torch.arange(16) % 2)
        net = DistributedDataParallel(model) if size > 1 else model
        optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
        recorder.watch(model, optimizer)
        sampler = DistributedSampler(data, size, rank)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            for inputs, labels in DataLoader(data, 8 // size, sampler=sampler):
                recorder.batch(inputs, labels)
                loss = nn.functional.cross_entropy((model if fault == "raw" else net)(inputs), labels)
                optimizer.zero_grad()
                loss.backward()
                recorder.log(loss=loss)
                optimizer.step()
    return recorder
"""
PARITY = """
import pytest
from training import train

@pytest.fixture(scope="module")
def single():
    return train().record

def test_same(ranks, single, training_regression):
    training_regression.check_ranks(ranks(train), single=single)
"""
RAW = """
def test_raw(ranks, single, training_regression):
    training_regression.check_ranks(ranks(train, "raw"), single=single)
"""
FAILING = """
import pytest
from training import train

@pytest.mark.parametrize("fault", ["raises", "dies"])
def test_failing(ranks, fault):
    ranks(train, fault)

def test_local(ranks):
    ranks(lambda: None)

def test_nothing(ranks):
    ranks(print)
"""
GATE = """
from training import train

def test_gate(ranks, training_regression):
    training_regression.check_ranks(ranks(train))
"""
ONE = """
from training import train

def test_one(training_regression):
    training_regression.check(train().record)
"""
EACH = """
import os
from training import train

def test_each(training_regression):
    training_regression.check(train().record, name=f"rank{os.environ['RANK']}")
"""
LAUNCHED = """
import pytest
from torch import distributed
from training import train

@pytest.fixture(scope="module", autouse=True)
def group():
    distributed.init_process_group("gloo")
    yield
    distributed.destroy_process_group()

def test_gate(training_regression):
    training_regression.check_ranks(train().record)
"""
SCRIPT = """
import sys
from torch import distributed
from training import train

distributed.init_process_group("gloo")
train().record.save(f"{sys.argv[1]}/rank{distributed.get_rank()}.json")
distributed.destroy_process_group()
"""
FOLDER = """
import subprocess
import sys
from training import train

def test_folder(training_regression, tmp_path):
    options = ["--standalone", "--nproc_per_node=2", "script.py", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "torch.distributed.run", *options], check=True)
    training_regression.check_ranks(tmp_path, single=train().record, sources=["script.py", "training.py"])
"""


class Distributed(Project):
    """A project that may be started on two ranks."""

    def launch(self, *options):
        """Start pytest by torchrun."""
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "pytest")
        return self.pytester.run(sys.executable, *launcher, "-p", "no:randomly", *options, timeout=100)


REFUSED = """
from harness import Record

def test_low_precision(training_regression):
    training_regression.check_ranks("records", single=Record.load("single.json"))
"""


@pytest.fixture
def distributed(project, monkeypatch):
    """A project that trains on ranks."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    project.write(training=TRAINING)
    (project.path / "test_gate.py").unlink()
    project.__class__ = Distributed
    return project


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_two_ranks_do_what_one_process_does(distributed, monkeypatch, method):
    """Below rounding, however their processes begin; there is no baseline, and none is missed."""
    monkeypatch.setattr(Ranks, "_method", method)
    distributed.write(test_parity=PARITY)
    result = distributed.run()

    result.assert_outcomes(passed=1)
    found = json.loads((distributed.path / "build/harness/results.json").read_text())
    assert [each["verdict"] for each in found["results"]] == ["same"]
    assert float(found["results"][0]["subject"]["largest"]) < 1e-12
    assert found["ledger"]["entries"] == []


def test_a_function_that_no_other_process_finds_is_refused():
    """Before any process starts."""

    def inner():
        """Local."""

    for function in (inner, lambda: None, "text"):
        with pytest.raises(errors.RanksError, match="cannot be found in another process"):
            Ranks()(function)


def test_what_holds_in_float64_alone_is_refused(project):
    """Ranks and a single process part by rounding in low precision."""
    (project.path / "records").mkdir()
    for place, record in {"records/0": rank_of(0), "records/1": rank_of(1), "single": single_of()}.items():
        dataclasses.replace(record, precision="float32").save(project.path / f"{place}.json")
    project.write(test_gate=REFUSED)
    result = project.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["in float32 rounding alone parts ranks from a single process"])


def test_ranks_that_were_never_started_are_missed(project):
    """A launcher that ran one process, silently, is no proof: with itself it would agree."""
    (project.path / "records").mkdir()
    for place in ("records/0", "single"):
        single_of().save(project.path / f"{place}.json")
    project.write(test_gate=REFUSED)
    result = project.run()

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["there is one record, of a process that was in no process group*"])


def test_a_rank_that_ends_at_once_is_not_waited_for(monkeypatch):
    """Between being asked whether it has ended and being waited for, a rank may end: nobody waits for none."""
    statuses = iter([None, 0, 0])
    rank = Mock(sentinel="rank")
    type(rank).exitcode = PropertyMock(side_effect=lambda: next(statuses))
    waited = Mock()
    monkeypatch.setattr("harness.elsewhere.ranks.wait", waited)

    assert _wait(Mock(seconds_left=60), [rank]) == [0]
    waited.assert_called_once_with(["rank"], 60)


def stand_still():
    """Of three ranks, the first ends, one waits for nothing, and one for that."""
    import torch
    from torch import distributed

    if distributed.get_rank() == 1:
        threading.Event().wait()
    if distributed.get_rank() == 2:
        distributed.recv(torch.zeros(1), src=1)
    return record_of({})


def test_a_rank_that_hangs_is_given_up(monkeypatch):
    """Outside an operation or within one: which, where each is, and what to do; one that has ended is not named."""
    monkeypatch.setattr(Ranks, "_method", "fork")
    expected = r"""rank 1, 2 of 3 did not end within 2 seconds
  where  rank 1: .*test_ranks.py:\d+, in wait; rank 2: .*test_ranks.py:\d+, in recv
  fix    .*ranks\(\.\.\., timeout_seconds=4\)"""
    with pytest.raises(errors.RanksError, match=expected):
        Ranks()(stand_still, world_size=3, timeout_seconds=2)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds):
    """Before a process is started: ranks have an end."""
    with pytest.raises(errors.ArgumentError, match="timeout_seconds cannot be"):
        Ranks()(stand_still, timeout_seconds=seconds)


def test_each_rank_of_a_launcher_is_a_session_with_a_folder_of_its_own(distributed, monkeypatch):
    """What all but the first leave stands in folders of theirs, and the first says what became of them.

    None is run again alone, which would wait for ever.
    """
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    distributed.write(test_one=ONE)
    distributed.run(GENERATE).assert_outcomes(passed=1)
    result = distributed.run("--training-gate-power")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["comparing records *; rank 1 of 2", "*build/harness/rank1/report.html"])
    result.stdout.fnmatch_lines(["*this session is one of 2 ranks that a launcher started, and no rank can be run*"])
    assert (distributed.path / "build/harness/rank1/results.json").exists()
    assert not (distributed.path / "build/harness/results.json").exists()

    monkeypatch.setenv("RANK", "0")
    told = "rank 1 of 2: 1 of 1 check failed: test_one.py::test_one   build/harness/rank1"
    distributed.run().stdout.fnmatch_lines([told])
    assert told in (distributed.path / "build/harness/report.md").read_text()
    monkeypatch.setenv("RANK", "1")
    (distributed.path / "test_one.py").write_text(f"{ONE}    assert not training_regression, 'as a test may'\n")
    distributed.run()
    told = "rank 1 of 2: 1 check passed; 1 test failed otherwise: test_one.py::test_one   build/harness/rank1"
    assert told in (distributed.path / "build/harness/report.md").read_text(), "whoever ends later adds itself"

    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of a later start")
    distributed.run()
    assert told in (distributed.path / "build/harness/report.md").read_text(), "it is of an earlier one"
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of the last")
    distributed.run().stdout.fnmatch_lines(
        ["rank 1 of 2: no results of this run: it has not ended, or has left none *"]
    )


def test_ranks_may_have_a_baseline_each(distributed, monkeypatch):
    """One that another rank checks is no complaint on this one, whoever demands all."""
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "1", "CI": "true"}.items():
        monkeypatch.setenv(name, value)
    distributed.write(test_each=EACH)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        distributed.run(GENERATE).assert_outcomes(passed=1)

    result = distributed.run("--mpl")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["1 of 2 baselines compared, 1 skipped", "*its test checked others on this rank"])
    result.stdout.fnmatch_lines(["*test_each-test_each,rank0.json *"])


@pytest.mark.long
def test_a_rank_that_parts_is_named(distributed):
    """The raw module called for its wrapper: nobody averages the gradients."""
    distributed.write(test_parity=PARITY + RAW)
    result = distributed.run()

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "training differs from a single process from step 0 on: ranks, gradient of 0.weight",
            "  first      step 0   expected the same on all ranks   now * on rank 0, * on rank 1",
            "  unchanged  structure, data, init, schedule, forward",
        ]
    )
    result.stdout.no_fnmatch_line("*accept*")


@pytest.mark.long
def test_a_rank_that_fails_ends_all(distributed):
    """Which one, and what it raised last; one that died says with what status. Nobody waits for the others."""
    distributed.write(test_failing=FAILING)
    result = distributed.run("-rf")

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines_random(
        [
            "rank 1 of 2 failed: ValueError: no such data",
            "rank 1 of 2 failed: it ended with exit status 3",
            "*<lambda> cannot be found in another process",
            "print cannot be found in another process",
        ]
    )


@pytest.mark.long
def test_faults_and_draws_of_rounding_reach_the_ranks(distributed, measured_thresholds, own_process):
    """A baseline of ranks has thresholds of its own; planted faults are caught; a red one names its line."""
    distributed.write(test_ranked=GATE)
    distributed.generate()
    result = distributed.run("--training-gate-power")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gate power 1.00: * planted faults caught*"])
    result.stdout.fnmatch_lines(["  rate-scaled * caught at step 0, schedule, learning rate of all parameters"])

    text = next(iter(distributed.files().values())).decode()
    assert '"variants"' in text
    distributed.edit("nn.ReLU()", "nn.GELU()", file="training.py")
    result = distributed.run()
    result.stdout.fnmatch_lines(["*where *training.py:* in train*aten.gelu*aten.relu*"])


@pytest.mark.long
def test_faults_of_distribution_are_caught(distributed, monkeypatch, own_process):
    """Each in the ranks that it takes; what the training lacks for one is told."""
    monkeypatch.setattr(gate_power, "FAULTS", {name: FAULTS[name] for name in FAULTS if name in OF_RANKS})
    distributed.write(test_ranked=GATE)
    distributed.edit("nn.ReLU()", "nn.BatchNorm1d(8), nn.ReLU()", file="training.py")
    clipping = "nn.utils.clip_grad_norm_(net.parameters(), 0.1)"
    distributed.edit("optimizer.step()", f"{clipping}\n{' ' * 16}optimizer.step()", file="training.py")
    distributed.generate()
    result = distributed.run("--training-gate-power")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "gate power 1.00: 9 of 9 planted faults caught   *",
            "  shard-repeated         caught at step 0, data, labels of the batch",
            "  epoch-not-set          caught at step 2, data, images of the batch",
            "  seeds-apart            caught at step 0, init, initial 0.weight",
            "  buffers-not-broadcast  caught at step 1, ranks, norm of buffer 1.running_mean as a step began",
            "  wrapper-bypassed       caught at step 0, ranks, gradient of 0.weight",
            "  reducer-hooks-lost     caught at step 0, ranks, gradient of 0.weight",
            "  gradients-summed       caught at step 0, backward, gradient of 0.weight",
            "  clipped-on-one-rank    caught at step 0, ranks, gradient of 0.weight",
            "  state-lost-on-ranks    caught at step 1, ranks, update of 0.weight",
            "  sync-skipped           not planted: no DistributedDataParallel accumulates gradients under no_sync",
            "  clipped-locally        not planted: no call of torch.nn.utils.clip_grad_norm_ clips gradients that *",
        ]
    )


@pytest.mark.long
def test_torchrun_starts_pytest(distributed, monkeypatch):
    """Each rank is a session; they gather their records, have one verdict, and the first writes the baseline."""
    distributed.write(test_launched=LAUNCHED)

    run = distributed.launch
    run(GENERATE).stdout.fnmatch_lines_random(["*1 skipped*", "1 of 1 baseline generated"])
    assert run("--mpl").ret == 0

    distributed.edit("RATE = 0.1", "RATE = 0.1001", file="training.py")
    result = run("--mpl")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*learning rate of all parameters*"])
    assert (distributed.path / "build/harness/report.html").exists()


@pytest.mark.long
def test_a_test_starts_torchrun(distributed):
    """Every rank saves its record in a folder, which is checked."""
    distributed.write(script=SCRIPT, test_folder=FOLDER)
    result = distributed.run()

    result.assert_outcomes(passed=1)


@pytest.mark.long
def test_faults_and_draws_of_rounding_reach_torchrun(distributed, monkeypatch, measured_thresholds, own_process):
    """A baseline of its ranks has thresholds of its own; planted faults are caught; a red one names its line."""
    names = ("shard-repeated", "gradients-summed", "clipped-locally")
    monkeypatch.setattr(gate_power, "FAULTS", {name: FAULTS[name] for name in names})
    folder = FOLDER.replace("single=train().record, ", "")
    distributed.write(script=SCRIPT, test_folder=folder)
    distributed.generate()
    result = distributed.run("--training-gate-power")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "gate power 1.00: 2 of 2 planted faults caught   *",
            "  shard-repeated    caught at step 0, data, labels of the batch",
            "  gradients-summed  caught at step 0, backward, gradient of 0.weight",
            "  clipped-locally   not planted: no call of torch.nn.utils.clip_grad_norm_ clips gradients that *",
        ]
    )

    assert '"variants"' in next(iter(distributed.files().values())).decode()
    distributed.edit("nn.ReLU()", "nn.GELU()", file="training.py")
    distributed.run().stdout.fnmatch_lines(["*where *training.py:* in train*aten.gelu*aten.relu*"])


@pytest.mark.long
@pytest.mark.parametrize("way", ["ranks", "torchrun"])
def test_states_reach_the_ranks(distributed, monkeypatch, own_process, way):
    """A baseline of low precision has those of all ranks, and thresholds that are measured from them."""
    monkeypatch.setattr(variants, "DRAWS", variants.DRAWS[:1])
    monkeypatch.setattr(variants, "KERNELS", ())
    test = GATE if way == "ranks" else FOLDER.replace("single=train().record, ", "")
    distributed.write(script=SCRIPT, test_it=test.replace("):\n", "):\n    training_regression.states()\n", 1))
    distributed.edit("Recorder()", 'Recorder(precision="bfloat16", states=States())', file="training.py")
    distributed.edit("import Recorder", "import Recorder, States", file="training.py")
    distributed.edit("nn.ReLU()", "nn.BatchNorm1d(8), nn.ReLU()", file="training.py")
    result = distributed.run(GENERATE)
    result.stdout.fnmatch_lines(["training, bfloat16, cpu: 4 states stored, thresholds 3 x the largest deviation *"])
    assert any(name.endswith(".safetensors") for name in distributed.files())

    assert distributed.run().ret == 0
    distributed.edit("loss.backward()", "(1.01 * loss).backward()", file="training.py")
    distributed.run().stdout.fnmatch_lines(["training differs from its baseline from step 0 on: backward, *"])


@pytest.mark.long
@pytest.mark.parametrize("way", ["ranks", "torchrun", "each a session"])
def test_lines_of_ranks_have_run(distributed, way):
    """What one rank alone runs is no line that no training runs; a script may have run more before it was watched."""
    launched = way == "each a session"
    files = {"ranks": {"test_it": GATE}, "torchrun": {"script": SCRIPT, "test_it": FOLDER}}
    distributed.write(**files.get(way, {"test_it": LAUNCHED}))
    distributed.edit('fault == "raises" and rank:', "rank:\n        fault = fault\n    if rank > 1:", "training.py")
    distributed.edit(", single=train().record", "", "test_it.py") if way == "torchrun" else None
    run = distributed.launch if launched else distributed.run
    assert run(GENERATE).ret == 0
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "start"]):
        git(distributed.path, *words)
    distributed.edit("fault = fault", 'fault = fault or ""', "training.py")
    distributed.edit('ValueError("no', 'ValueError("there is no', "training.py")

    doubt = ", unless another process ran it" if way == "torchrun" else ""
    run().stdout.fnmatch_lines([f"training.py:17 changed, run by no gated training: not judged{doubt}"])
