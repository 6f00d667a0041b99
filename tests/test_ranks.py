"""Promises about ranks: merged they are one training, and what they part in is named. Made records stand for ranks."""

import dataclasses

import pytest
from torch import distributed

from harness import Record, compare, errors
from harness.comparing.deviations import AGREED
from harness.comparing.ranks import compare_ranks, merge
from harness.elsewhere.ranks import gathered
from harness.record import Part, Stream, Streams, World
from harness.record.ranks import of_all_ranks
from harness.report.check import Check
from harness.report.comparison_text import parity_text
from harness.report.session_text import first_text, verdict_text
from tests.test_record import record_of


def rank_of(rank, sizes=(2, 2), size=2, loss=(1.0, 2.0), clues=(), **streams):
    """One rank of a training of two steps: its samples and losses are its own, its gradients are not."""
    own = {
        "batch/size": Stream("data", (0, 1), sizes),
        "batch/images": Stream("data", (0, 1), ("ffffffffffffffff", f"{rank:016x}")),
        "batch/images order": Stream("data", (0, 1), (f"{rank}a", f"{rank}b")),
        "batch/images shape": Stream("data", (0,), (f"{sizes[0]}x3",)),
        "loss": Stream("forward", (0, 1), loss),
        "gradient/w": Stream("backward", (0, 1), (0.5, 0.25)),
        "weight/w": Stream("state", (0, 1), (3.0, 4.0)),
    }
    named = {name.replace("__", "/"): stream for name, stream in streams.items()}
    clues = {name: Stream("structure", (0,), (text,)) for name, text in clues}
    return record_of(own | named, world=World(rank, size, "gloo"), clues=clues)


def single_of(sizes=(4, 4), loss=(2.0, 3.0), images=("fffffffffffffffe", f"{1:016x}"), **streams):
    """The single process that trains on the samples of both."""
    own = {"batch__images": Stream("data", (0, 1), images)} | streams
    record = rank_of(0, sizes, loss=loss, **own)
    return dataclasses.replace(record, world=None)


def pair(**streams):
    """Two ranks; the second has some streams of its own."""
    return [rank_of(0), rank_of(1, loss=(3.0, 4.0), **streams)]


def held(ranks, single=None):
    """What `check_ranks(ranks, single=single)` finds."""
    return compare_ranks(ranks, single or single_of())


def place(found):
    """Step, stage and stream of the first divergence."""
    return tuple(found.comparison.first_divergence)


def test_ranks_that_do_what_one_process_does_are_the_same():
    """Sizes and fingerprints add up, losses average, gradients are equal; order and shape are each rank's own."""
    found = held(pair())

    assert (found.comparison.verdict, found.comparison.largest, found.apart) == ("same", 0.0, "")
    assert compare(merge([single_of()]), merge(pair())).verdict == "same"
    assert Record.from_text(merge(pair()).to_text()) == merge(pair())


def test_the_rank_that_is_farthest_from_a_stored_state_counts():
    """A distance that one of them has is the training's, and so is one that is no number."""
    far, none = (Stream("state", (0, 1), (0.0, last)) for last in (0.5, float("nan")))
    near = {"distance/weight/w": Stream("state", (0, 1), (0.25, 0.0))}

    def merged(other):
        return merge([rank_of(0, **near), rank_of(1, **{"distance/weight/w": other})]).streams["distance/weight/w"]

    assert merged(far).values == (0.25, 0.5)
    assert str(merged(none).values) == "(0.25, nan)"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"batch__images": Stream("data", (0, 1), ("ffffffffffffffff", f"{7:016x}"))}, (1, "data", "batch/images")),
        ({"sizes": (2, 1)}, (1, "data", "batch/size")),
        ({"gradient__w": Stream("backward", (0, 1), (0.5, 0.26))}, (1, "ranks", "ranks/gradient/w")),
        ({"weight__w": Stream("state", (0,), (3.0,))}, (1, "ranks", "ranks/weight/w")),
        ({"learning_rate__w": Stream("schedule", (0, 1), (0.1, 0.1))}, (0, "schedule", "learning_rate/w")),
    ],
)
def test_what_one_rank_does_alone_is_named(changed, expected):
    """Other samples are data; another gradient, or none, is of the stage "ranks", before what comes of it."""
    assert place(held(pair(**changed))) == expected


def test_a_rank_that_leaves_out_a_step_is_named_where_it_does():
    """Its next batch counts to the same step, and at the end it is short of one: that is said before its samples."""
    steps = Stream("update", (0, 1), (1, 1))
    twice = {"batch__size": Stream("data", (0, 0), (2, 2)), "optimizer_steps": Stream("update", (0,), (1,))}
    found = held([rank_of(0, optimizer_steps=steps), rank_of(1, **twice)], single_of(optimizer_steps=steps)).comparison

    assert tuple(found.first_divergence) == (0, "ranks", "ranks/optimizer_steps")
    assert found.first.value == "after batch 1 on rank 0, after batch 2 on rank 1"
    last = [rank_of(0, optimizer_steps=steps), rank_of(1, loss=(3.0, 4.0), optimizer_steps=twice["optimizer_steps"])]
    assert place(held(last, single_of(optimizer_steps=steps))) == (1, "ranks", "ranks/optimizer_steps")


def test_ranks_may_take_a_step_after_other_numbers_of_batches():
    """As long as all take as many steps: some balance their batches by size."""
    steps = Stream("update", (0, 1), (1, 1))
    split = Stream("data", (0, 0, 1), (1, 1, 2))
    ranks = [rank_of(0, optimizer_steps=steps), rank_of(1, loss=(3.0, 4.0), batch__size=split, optimizer_steps=steps)]

    assert held(ranks, single_of(optimizer_steps=steps)).comparison.verdict == "same"


def test_a_wrapper_that_is_watched_moves_all_modules():
    """Those without tensors, too, and the model itself: what is named is what ranks part in."""
    inner = {"0": "Linear()", "1": "ReLU()"}
    wrapped = {"model": "DistributedDataParallel()", "module": "Sequential()"}
    wrapped |= {f"module.{name}": text for name, text in inner.items()}

    def named(record, tensor, modules):
        pairs = ((key.renamed(tensor) if key.tensor == "w" else key, each) for key, each in record.streams.items())
        clues = Streams((f"module/{name}", Stream("structure", (0,), (text,))) for name, text in modules.items())
        structure = {tensor: record.structure["w"]}
        return dataclasses.replace(record, structure=structure, streams=Streams(pairs), clues=clues)

    ranks = pair(gradient__w=Stream("backward", (0, 1), (0.5, 0.26)))
    single = named(single_of(), "0.w", {"model": "Sequential()"} | inner)
    found = held([named(rank, "module.0.w", wrapped) for rank in ranks], single)
    assert place(found) == (1, "ranks", "ranks/gradient/module.0.w")
    back = compare(merge([named(rank_of(0), "module.0.w", wrapped)]), merge([single])).baseline.record
    assert {key: stream.values[0] for key, stream in back.clues.items()} == {
        "module/model": "Sequential()",
        "module/0": "Linear()",
        "module/1": "ReLU()",
    }


def test_losses_that_do_not_average_are_named():
    """Local losses, weighted by their batches, are the single process's."""
    uneven = [rank_of(0, (3, 3), loss=(1.0, 1.0)), rank_of(1, (1, 1), loss=(5.0, 5.0))]

    assert held(uneven, single_of(loss=(2.0, 2.0))).comparison.verdict == "same"
    assert place(held(uneven, single_of(loss=(3.0, 3.0)))) == (0, "forward", "loss")


def test_all_ranks_may_be_wrong_together():
    """A sum for a mean is the same on all ranks, and another than the single process's gradient."""
    doubled = Stream("backward", (0, 1), (1.0, 0.5))
    ranks = [rank_of(0, gradient__w=doubled), rank_of(1, loss=(3.0, 4.0), gradient__w=doubled)]

    assert place(held(ranks)) == (0, "backward", "gradient/w")


def test_a_single_process_stands_for_ranks_that_are_run_again():
    """With a fault planted: its place is named, and not that these are several."""
    doubled = Stream("backward", (0, 1), (1.0, 0.5))
    again = merge([rank_of(0, gradient__w=doubled), rank_of(1, loss=(3.0, 4.0), gradient__w=doubled)])

    baseline = held(pair()).comparison.baseline
    assert compare(baseline, again).first_divergence == (0, "backward", "gradient/w")
    assert compare(baseline, merge(pair())).verdict == "same"


def test_micro_batches_are_added():
    """A single process that accumulates has the samples of a step in several batches; each loss counts by its own."""
    twice = {
        "batch__size": Stream("data", (0, 0, 1, 1), (1, 3, 2, 2)),
        "batch__images": Stream("data", (0, 0, 1, 1), ("ffffffffffffffff",) * 2 + (f"{0:016x}", f"{1:016x}")),
    }
    assert held(pair(), single_of(**twice)).comparison.verdict == "same"


def test_buffers_are_compared_as_a_step_begins():
    """After a step BatchNorm's differ in correct trainings; as it begins they don't, unless nobody hands them out."""
    clues = [("module/bn", "BatchNorm1d(2, eps=1e-05)")]

    def rank(number, before, after):
        streams = {"buffer_before__m": Stream("ranks", (0, 1), before), "buffer__m": Stream("state", (0, 1), after)}
        return rank_of(number, clues=clues, **streams)

    single, first = single_of(clues=clues), rank(0, (0.0, 0.5), (0.5, 0.7))
    found = held([first, rank(1, (0.0, 0.5), (0.6, 0.9))], single)
    assert found.comparison.verdict == "same"
    assert (
        found.apart
        == "BatchNorm1d see samples of their own rank: what they make is not compared with the single process"
    )
    assert place(held([first, rank(1, (0.0, 0.6), (0.6, 0.9))], single)) == (1, "ranks", "ranks/buffer_before/m")


def test_dropout_that_drops_nothing_is_no_excuse():
    """What follows from modules that see their own rank is not judged; a rate of 0 is none."""
    wrong = Stream("backward", (0, 1), (0.4, 0.2))

    def ranks(rate):
        clues = [("module/drop", f"Dropout(p={rate}, inplace=False)")]
        return [rank_of(rank, clues=clues, loss=loss, gradient__w=wrong) for rank, loss in ((0, (1, 2)), (1, (3, 4)))]

    assert held(ranks(0.5)).comparison.verdict == "same"
    assert held(ranks(0.0)).comparison.verdict == "different"


def test_samples_that_a_sampler_repeats_are_explained():
    """A last batch with one sample more than there are is padded: the trainings part there, and nobody is to blame."""
    ranks = [rank_of(0, (2, 1)), rank_of(1, (2, 1), loss=(3.0, 9.0))]
    single = single_of((4, 1), images=("fffffffffffffffe", f"{9:016x}"))

    found = held(ranks, single)
    assert (found.comparison.verdict, found.comparison.record.num_steps) == ("same", 1)
    assert (
        found.apart == "a sampler repeats samples in step 1: from there on nothing is compared with the single process"
    )

    assert held([rank_of(0, (3, 3)), rank_of(1, (3, 3))]).comparison.verdict == "different", "twice as many are none"


def test_what_ranks_part_in_is_said():
    """The place, and what each has; no baseline makes it right, not even one that holds the same."""
    ranks = pair(gradient__w=Stream("backward", (0, 1), (0.5, 0.26)))
    merged, text = merge(ranks), parity_text(held(ranks), "test_a.py::test", "report.html", passed=False)

    assert text.startswith("training differs from a single process from step 1 on: ranks, gradient of w\n")
    assert f"  first      step 1   expected {AGREED}   now 0.25 on rank 0, 0.26 on rank 1\n" in text
    assert compare(merged, merged).verdict == "different"


def test_a_single_process_is_called_so():
    """What ranks are held against is no baseline."""
    doubled = Stream("backward", (0, 1), (1.0, 0.5))
    ranks = [rank_of(0, gradient__w=doubled), rank_of(1, loss=(3.0, 4.0), gradient__w=doubled)]
    found = held(ranks)
    check = Check(test="t.py::test", name="", baseline="", file="t.py", line=1, accept="")
    finding = check.training(found.comparison, passed=False, text="")

    text = parity_text(found, "test_a.py::test", "report.html", passed=False)
    assert "  first      step 0   single process 0.5   now 1 " in text
    assert "gradient of w: single process 0.5, now 1 " in first_text(finding)
    assert verdict_text([finding]) == "1 training on ranks differs from a single process"

    found = held([rank_of(0), rank_of(1, loss=(3.0, 4.0), batch__images=Stream("data", (0,), (f"{7:016x}",)))])
    finding = check.training(found.comparison, passed=False, text="")
    for text in (parity_text(found, "test_a.py::test", "report.html", passed=False), first_text(finding)):
        assert "other samples than in the single process" in text


def test_tensors_of_one_rank_alone_are_put_together():
    """Optimizer state that each rank holds a part of is whole in the merged record."""
    states = [Stream("state", (0, 1), (0.1, 0.2)), Stream("state", (0, 1), (0.3, 0.4))]
    ranks = [rank_of(0, optimizer__w__m=states[0]), rank_of(1, loss=(3.0, 4.0), optimizer__v__m=states[1])]

    assert held(ranks, single_of(optimizer__w__m=states[0], optimizer__v__m=states[1])).comparison.verdict == "same"


def test_slices_of_a_tensor_are_put_together():
    """The squares of their norms add up, each slice once, whoever holds it; two that hold the same must agree."""

    def rank(number, value, index, loss):
        part = Stream("backward", (0, 1), (value, value), part=Part(index, 2))
        return rank_of(number, (1, 1), 4, loss, gradient__w=part, weight__w=dataclasses.replace(part, stage="state"))

    values = [(0, 3.0, 0), (1, 4.0, 1), (2, 3.0, 0), (3, 4.0, 1)]
    ranks = [rank(*value, (2.0, 3.0)) for value in values]
    whole = Stream("backward", (0, 1), (5.0, 5.0))
    assert merge(ranks).streams["gradient/w"] == whole
    assert not [*merge(ranks).streams.of("ranks")]

    ranks[3] = rank(3, 4.5, 1, (2.0, 3.0))
    assert merge(ranks).streams["ranks/gradient/w"].values == ("4 on rank 1, 4.5 on rank 3",)


def test_ranks_that_divide_a_model_may_have_the_same_samples():
    """Their batch counts once, as in tensor parallel; of ranks that hold whole tensors each counts."""

    def rank(number, part):
        whole = rank_of(0, gradient__w=Stream("backward", (0, 1), (3.0, 3.0), part=part))
        return dataclasses.replace(whole, world=World(number, 2, "gloo"))

    assert merge([rank(0, Part(0, 2)), rank(1, Part(1, 2))]).streams["batch/size"].values == (2, 2)
    assert merge([rank(0, None), rank(1, None)]).streams["batch/size"].values == (4, 4)


def test_nothing_is_said_of_summands():
    """The norm of a sum does not follow from those of its parts: neither side is asked for it."""
    part = Stream("backward", (0, 1), (3.0, 3.0), part=Part(0, 2, is_summand=True))
    ranks = [rank_of(0, gradient__w=part), rank_of(1, loss=(3.0, 4.0), gradient__w=part)]

    assert held(ranks).comparison.verdict == "same"
    assert "gradient/w" not in merge(ranks).streams


def test_a_folder_holds_all_ranks(tmp_path):
    """In their order, whatever the files are called; what is missing, twice or foreign is named."""
    for name, rank in {"a": 1, "b": 0}.items():
        rank_of(rank).save(tmp_path / f"{name}.json")

    assert [record.world.rank for record in of_all_ranks(tmp_path, "f")] == [0, 1]
    with pytest.raises(errors.RanksError, match="of 2 ranks, the record of rank 0 is missing"):
        of_all_ranks([rank_of(1)], "f")
    with pytest.raises(errors.RanksError, match="not one a rank of one training: rank 1 of 2, rank 1 of 2"):
        of_all_ranks([rank_of(1), rank_of(1)], "f")
    with pytest.raises(errors.RanksError, match="rank 0 of 2, a single process"):
        of_all_ranks([rank_of(0), single_of()], "f")


def test_what_holds_no_records_of_ranks_is_refused_by_name(tmp_path):
    """No folder, a file, an empty folder, one that holds another JSON file, nothing, or something else."""
    (tmp_path / "empty").mkdir()
    foreign = tmp_path / "foreign" / "config.json"
    foreign.parent.mkdir()
    rank_of(0, size=1).save(foreign.parent / "rank0.json")
    foreign.write_text('{"rate": 0.1}')

    for given, expected in {
        tmp_path / "none": "there is no such folder\n  where  .*none",
        foreign: "there is no such folder\n  where  .*config.json",
        tmp_path / "empty": "this folder holds no record of any rank",
        foreign.parent: "this file is no training record: it is not of format .*\n  where  .*config.json",
        (): r"there is no record of any rank\n  where  f\(\[\]\)",
    }.items():
        with pytest.raises(errors.RanksError, match=expected):
            of_all_ranks(given, "f")
    for given in (None, 5, ["rank0"], [rank_of(0), 1]):
        with pytest.raises(errors.ArgumentError, match=r"f\(records=\.\.\.\)\n  fix .* the Record of each rank"):
            of_all_ranks(given, "f")


def test_ranks_that_are_sessions_take_each_others_lines_once(tmp_path, monkeypatch):
    """However often they gather their records: else what they hand on grows with each check, by their number."""
    monkeypatch.setattr("harness.recording.process_group.has_group", lambda: True)
    log, theirs = tmp_path / "ran", b"1\tnet.py\n7\tnet.py\n"
    monkeypatch.setattr(
        distributed,
        "all_gather_object",
        lambda into, own: into.__setitem__(slice(None), [own, (rank_of(1).to_text(), theirs + own[1])]),
    )
    log.write_bytes(b"1\tnet.py\n5\tnet.py\n")
    for _ in range(3):
        assert [record.world.rank for record in gathered(rank_of(0), log)] == [0, 1]

    assert sorted(log.read_bytes().splitlines()) == [b"1\tnet.py", b"5\tnet.py", b"7\tnet.py"]
    gathered(rank_of(0), tmp_path / "none")
    assert not (tmp_path / "none").exists(), "nothing has changed"
