"""Promises of `--training-on`, beside pytest: who does jobs, what is lost, what is kept, what a worker must have."""

import importlib.util
import socket
import sys
from collections import Counter
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from harness.elsewhere.kept import Kept
from harness.errors import SuiteError, WorkerError
from harness.record.gate import STRICT
from harness.workers.executor import Needs, executor
from harness.workers.facts import digest, digest_of, facts
from harness.workers.local import Local
from harness.workers.on_ray import Ray
from harness.workers.sent import Sent
from harness.workers.worker import Answer, Errand, Handed, Job, Worker


class InProcess:
    """An executor that does jobs as they are asked for, by a table: test to its answers, None for a lost worker."""

    def __init__(self, **answers):
        self.answers, self.waiting = answers, []
        self.submitted = Counter()

    def open(self, address):
        """It is ready."""

    def submit(self, name, job, needs):
        """Note the job, and what it needs."""
        self.submitted[name] += 1
        self.waiting.append(name)

    def done(self):
        """Answer the latest first."""
        name = self.waiting.pop()
        given = self.answers[name].pop(0)
        return name, given and given.to_bytes()

    def cancel(self):
        """Forget what waits."""
        self.waiting.clear()

    def close(self):
        """There is nothing to end."""


def handed(**given):
    """A record that a job checks."""
    of = {"name": "", "record": "{}", "seconds": 1.0, "of_recipe": False, "stateful": False, "gate": STRICT}
    return Handed(**of | {"sources": ()} | given)


def job(test, **given):
    """A job."""
    return Job(test=test, **{"root": ".", "directory": ".", "arguments": (), "facts": "", "cifar10": ""} | given)


def sent(executor, folder, kept=None):
    """What a session has an executor do."""
    return Sent(executor, folder, kept, lambda answer: None)


def test_answers_are_given_in_whatever_order_they_are_asked_for(tmp_path):
    """They arrive as the workers end, and a test that runs again finds its own again."""
    one, two = Answer(end="passed", checks=[handed(name="one")]), Answer(end="failed", text="E  boom")
    jobs = sent(InProcess(one=[one], two=[two]), tmp_path)
    jobs.submit(job("one"), Needs())
    jobs.submit(job("two"), Needs())

    assert jobs.answer("one").checks[0].name == "one"
    assert [jobs.answer("two").text for _ in range(2)] == ["E  boom", "E  boom"]


@pytest.mark.parametrize("lost", [None, Answer(end="lost", text="Killed")])
def test_a_lost_worker_is_replaced_and_a_red_training_stays_red(tmp_path, lost):
    """A job may lose two workers, whether the executor says so or a worker its process; a test that fails is none."""
    workers = InProcess(lost=[lost, lost, Answer(end="passed")], dead=[lost] * 3, red=[Answer(end="failed")])
    jobs = sent(workers, tmp_path)
    for name in workers.answers:
        jobs.submit(job(name), Needs())

    assert [jobs.answer(name).end for name in ("lost", "dead", "red")] == ["passed", "lost", "failed"]
    assert workers.submitted == {"lost": 3, "dead": 3, "red": 1}
    assert jobs.counts["lost"] == 5
    jobs.submit(job("late"), Needs())
    jobs.close()
    assert (jobs.counts["unasked"], jobs.counts["given up"]) == (0, 1)


def test_what_is_kept_serves_while_all_that_it_read_is_the_same(tmp_path):
    """By the same code, of the same test on the same device, if it passed, alone, and no state was put back."""
    data = tmp_path / "data.csv"
    data.write_text("1,2")
    read = {str(data): digest_of(data)}
    good = Answer(end="passed", read=read, alone=True)
    stateful = Answer(end="passed", checks=[handed(stateful=True)], alone=True)
    folder = tmp_path / "kept"
    folder.mkdir()

    def run(*needs):
        crowded = Answer(end="passed", read=read)
        workers = InProcess(good=[good], crowded=[crowded], stateful=[stateful], red=[Answer(end="failed")])
        jobs = sent(workers, tmp_path, Kept(folder))
        for name in workers.answers:
            jobs.submit(job(name), Needs(*needs))
            jobs.answer(name)
        return {name for name, times in workers.submitted.items() if times}

    everyone = {"good", "crowded", "stateful", "red"}
    assert run() == everyone
    assert run() == everyone - {"good"}
    assert run("cuda", "H100") == everyone
    data.write_text("1,3 and more")
    assert run() == everyone


def test_executors_are_found_by_name(tmp_path, monkeypatch):
    """Ours by a word, another one by module and class, with an address if it takes any."""
    methods = "open = submit = done = cancel = close = lambda self, *_: None"
    (tmp_path / "mine_of_test_sent.py").write_text(f"class Pool:\n    {methods}\n\nclass Other:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert isinstance(executor("local:3")[0], Local)
    assert executor("local:3")[1] == "3"
    made, address = executor("mine_of_test_sent:Pool:head:99")
    assert (type(made).__name__, address) == ("Pool", "head:99")
    for name in ("local:0", "local", "nowhere_of_test_sent:Pool", "mine_of_test_sent:Other", ""):
        with pytest.raises(SuiteError, match="names nothing to train on"):
            executor(name)


def test_a_ray_cluster_that_died_is_said_once_nothing_else_is_to_come(monkeypatch):
    """Its head is asked while a job takes its time, and Ray says whether its own part of it is gone."""
    gone = type("LocalRayletDiedError", (Exception,), {})
    other = type("RayError", (Exception,), {})
    kinds = SimpleNamespace(RayTaskError=other, RayError=other, LocalRayletDiedError=gone)
    with socket.create_server(("127.0.0.1", 0)) as head:
        found = SimpleNamespace(address_info={"gcs_address": f"127.0.0.1:{head.getsockname()[1]}"})
        waits = iter([[], [], ["job"], ["job"]])
        ray = SimpleNamespace(
            init=lambda *_, **__: found,
            remote=lambda **_: (
                lambda work: SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda _: "job"))
            ),
            wait=lambda *_, **__: (next(waits), []),
            get=Mock(side_effect=[b"answer", gone("its raylet died")]),
            exceptions=kinds,
        )
        monkeypatch.setitem(sys.modules, "ray", ray)
        made = Ray()
        made.open("")
        made.submit("test", b"", Needs())
        assert made.done() == ("test", b"answer")
        made.submit("test", b"", Needs())
        for _ in range(2):
            with pytest.raises(WorkerError, match="the Ray cluster has died: its raylet died"):
                made.done()
        headless = Ray()
        headless.open("")
        headless.submit("test", b"", Needs())
    with pytest.raises(WorkerError, match="the Ray cluster has died: Connection refused"):
        headless.done()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_one_sentence_says_so():
    """With the command that installs it."""
    made, address = executor("ray")
    with pytest.raises(SuiteError, match=r"pytest-training-regression\[ray\]"):
        made.open(address)


def test_a_worker_with_other_code_does_nothing_and_says_what_it_has(tmp_path):
    """One file that is another is enough; those of environments, hidden ones and results are none of the project's."""
    (tmp_path / "net.py").write_text("a = 1")
    before = facts(tmp_path, "")
    for folder in (".venv", "build", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("a = 1")
    (tmp_path / "other" / "pyvenv.cfg").touch()
    assert facts(tmp_path, "") == before

    (tmp_path / "net.py").write_text("a = 1.5")
    answer = Answer.from_bytes(Worker().work(job("test", root=str(tmp_path), facts=digest(before)).to_bytes()))
    assert answer.end == "foreign"
    assert {name for name in before if before[name] != answer.facts[name]} == {"net.py"}


def test_a_process_that_leaves_no_answer_is_lost(tmp_path, monkeypatch):
    """Its last lines say why; one that has left its answer is not."""
    errand = Errand("test", tmp_path)
    assert Answer.from_bytes(errand.collect("one\nKilled")).text == "one\nKilled"
    for name, value in errand.variables.items():
        monkeypatch.setenv(name, value)
    there = Errand.from_environment()
    there.recipes.mkdir()
    (there.recipes / "a.json").write_text("{}")
    (there.recipes / "a.lock").touch()
    there.leave("passed", "", "", {"net.py": "1"}, alone=True)

    answer = Answer.from_bytes(errand.collect(""))
    assert (answer.end, answer.recipes, answer.read) == ("passed", {"a.json": b"{}"}, {"net.py": "1"})
