"""Promises of streams: a key says what its name says, and a name finds its stream."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.record import KINDS, Stream, StreamKey, Streams
from tests.test_record import record_of


PARTS = ("kind", "tensor", "entry", "distance", "family")
NAMES = {
    "init/conv.weight": ("init", "conv.weight", "", False, "init"),
    "gradient/conv.weight": ("gradient", "conv.weight", "", False, "gradient"),
    "update/conv.weight": ("update", "conv.weight", "", False, "update"),
    "weight/conv.weight": ("weight", "conv.weight", "", False, "weight"),
    "buffer/norm.running_mean": ("buffer", "norm.running_mean", "", False, "buffer"),
    "optimizer/conv.weight/exp_avg": ("optimizer", "conv.weight", "exp_avg", False, "optimizer/exp_avg"),
    "optimizer/a/b.weight/step": ("optimizer", "a/b.weight", "step", False, "optimizer/step"),
    "batch/images order": ("batch", "images order", "", False, "batch/images order"),
    "learning_rate/conv.weight": ("learning_rate", "conv.weight", "", False, "learning_rate/conv.weight"),
    "world/size": ("world", "size", "", False, "world/size"),
    "config/warmup": ("config", "warmup", "", False, "config/warmup"),
    "placement/conv.weight": ("placement", "conv.weight", "", False, "placement/conv.weight"),
    "module/block1.norm": ("module", "block1.norm", "", False, "module/block1.norm"),
    "setting/conv.weight/momentum": ("setting", "conv.weight", "momentum", False, "setting/conv.weight/momentum"),
    "loader/1/workers": ("loader", "1", "workers", False, "loader/1/workers"),
    "random/torch": ("random", "torch", "", False, "random/torch"),
    "mode/the model": ("mode", "the model", "", False, "mode/the model"),
    "buffer_before/norm.mean": ("buffer_before", "norm.mean", "", False, "buffer_before/norm.mean"),
    "ranks/gradient/conv.weight": ("ranks", "gradient/conv.weight", "", False, "ranks/gradient/conv.weight"),
    "output/block1.norm": ("output", "block1.norm", "", False, "output"),
    "evaluation_output/block1.norm": ("evaluation_output", "block1.norm", "", False, "evaluation_output"),
    "output_gradient/block1.norm": ("output_gradient", "block1.norm", "", False, "output_gradient"),
    "evaluation/accuracy": ("evaluation", "accuracy", "", False, "evaluation/accuracy"),
    "optimizer_steps": ("optimizer_steps", "optimizer_steps", "", False, "optimizer_steps"),
    "loss": ("logged", "loss", "", False, "loss"),
    "penalty/weights": ("logged", "penalty/weights", "", False, "penalty/weights"),
    "weight": ("logged", "weight", "", False, "weight"),
    "gradient/": ("logged", "gradient/", "", False, "gradient/"),
    "optimizer/lr": ("logged", "optimizer/lr", "", False, "optimizer/lr"),
    "optimizer/conv.weight/": ("logged", "optimizer/conv.weight/", "", False, "optimizer/conv.weight/"),
    "distance": ("logged", "distance", "", False, "distance"),
    "": ("logged", "", "", False, ""),
    "distance/weight/conv.weight": ("weight", "conv.weight", "", True, "distance/weight"),
    "distance/buffer/norm.running_mean": ("buffer", "norm.running_mean", "", True, "distance/buffer"),
    "distance/init/conv.weight": ("init", "conv.weight", "", True, "distance/init"),
    "distance/optimizer/fc.bias/exp_avg": ("optimizer", "fc.bias", "exp_avg", True, "distance/optimizer/exp_avg"),
}
"""Name to what its key says: every kind, and names that only look like one."""

words = st.sampled_from(["distance", *KINDS, "conv.weight", "exp_avg", ""]) | st.text(max_size=5)
names = st.text(max_size=12) | st.lists(words, max_size=5).map("/".join)


def said(key):
    """What a key says."""
    return tuple(getattr(key, part) for part in PARTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_takes_its_name_apart(name):
    """Kind, tensor, entry, distance and family, of every kind of name; for the rest it is its text."""
    key = StreamKey(name)

    assert dict(zip(PARTS, said(key), strict=True)) == dict(zip(PARTS, NAMES[name], strict=True))
    assert key == name
    assert hash(key) == hash(name)
    assert StreamKey(key) is key


def test_every_kind_that_a_recorder_knows_has_names():
    """A kind without a case above would go untested; distances carry the kind of what is distant."""
    assert {kind for kind, *_ in NAMES.values()} | {"distance"} == set(KINDS)


@given(names)
def test_a_name_is_put_together_again_from_what_it_says(name):
    """Taking apart loses nothing, whatever a loop calls what it logs."""
    key = StreamKey(name)
    again = StreamKey.of(key.kind, key.tensor, key.entry, distance=key.distance)

    assert again == name
    assert said(again) == said(key)


WITH_ENTRY = ("optimizer", "setting", "loader")
tensors = st.text(min_size=1)
entries = st.text(st.characters(exclude_characters="/"), min_size=1)
parts_of_keys = st.one_of(
    st.tuples(
        st.sampled_from([kind for kind in KINDS if kind not in (*WITH_ENTRY, "logged", "optimizer_steps", "distance")]),
        tensors,
    ),
    st.tuples(st.sampled_from(WITH_ENTRY), tensors, entries),
    st.tuples(st.just("logged"), entries.filter(lambda text: text != "optimizer_steps")),
    st.just(("optimizer_steps", "optimizer_steps")),
)


@given(parts_of_keys, st.booleans())
def test_a_key_says_what_it_was_made_of(parts, distance):
    """The other way round: whatever a tensor is called, with slashes in it, too."""
    kind, tensor, entry = (*parts, "")[:3]
    key = StreamKey.of(kind, tensor, entry, distance=distance)

    assert (key.kind, key.tensor, key.entry, key.distance) == (kind, tensor, entry, distance)


@pytest.mark.parametrize("name", ["gradient/a", "learning_rate/a", "optimizer/a/exp_avg", "distance/weight/a"])
def test_the_key_of_a_renamed_tensor_says_the_same_of_another(name):
    """Kind, entry, distance and family stay."""
    key = StreamKey(name)
    renamed = key.renamed("b.c")

    assert renamed.tensor == "b.c"
    assert (renamed.kind, renamed.entry, renamed.distance) == (key.kind, key.entry, key.distance)
    assert key.renamed("a") == key


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle-{protocol}": lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_keys_and_streams_survive_copies_and_pickling(copied):
    """Records go to other processes: a key still says everything there, and streams are still found by name."""
    for name in NAMES:
        key = copied(StreamKey(name))

        assert type(key) is StreamKey
        assert key == name
        assert said(key) == NAMES[name]
    streams = copied(Streams(dict.fromkeys(NAMES, LOSS)))
    assert type(streams) is Streams
    assert [said(key) for key in streams] == list(NAMES.values())
    assert streams["loss"] == LOSS


LOSS = Stream("forward", (0, 1), (1.0, 0.5))
OTHER = Stream("state", (0, 1), (2.0, 3.0))
PLAIN = {"loss": LOSS, "weight/w": OTHER, "distance/weight/w": OTHER}


@pytest.mark.parametrize(
    "streams",
    [Streams(PLAIN), Streams(PLAIN.items()), Streams(Streams(PLAIN)), record_of(PLAIN).streams],
    ids=["mapping", "pairs", "streams", "record"],
)
def test_a_plain_name_finds_its_stream(streams):
    """Text and key are alike, however the streams were given; what is not there is said as by any mapping."""
    assert streams["loss"] is streams[StreamKey("loss")] is streams.get("loss") is streams.find("loss") is LOSS
    assert "weight/w" in streams
    assert all(type(key) is StreamKey for key in streams)
    assert streams == PLAIN
    assert streams.find("los") is streams.get("los") is None
    with pytest.raises(KeyError, match="los"):
        streams["los"]


def test_the_streams_of_a_kind_are_those_of_the_training():
    """Without distances from stored states, which other kinds share a name with."""
    assert list(Streams(PLAIN).of("weight")) == [("weight/w", OTHER)]
    assert list(Streams(PLAIN).of("logged")) == [("loss", LOSS)]
    assert list(Streams(PLAIN).of("gradient")) == []


def test_the_numbers_of_a_stream_leave_out_fingerprints():
    """Counts are numbers, too; NaN and infinity are told apart."""
    stream = Stream("data", (0, 1, 1, 2), (1.5, "0123456789abcdef", 7, float("inf")))

    assert list(stream.numbers()) == [(0, 1.5), (1, 7.0), (2, float("inf"))]
    assert list(stream.non_finite()) == [(2, float("inf"))]
