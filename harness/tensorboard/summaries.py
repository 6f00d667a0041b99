"""What a run shows beside curves: tables, hyperparameters, module tree, histograms."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import NoneType

from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import histogram_raw, hparams, text

from harness.recipe import Recipe
from harness.record.pictures import HISTOGRAM_BINS
from harness.record.record import Record
from harness.tensorboard.scalars import Scalars


_KNOWN_BY = ("model", "optimizer", "learning_rate", "batch_size", "precision")


def graph_of(record: Record) -> GraphDef:
    """Return a graph of a record's tensors, nested as the modules that hold them.

    A record knows tensors and parameter groups, not the calls between modules, so the only edges are from each
    trained tensor to the group of the optimizer that it belongs to.
    """
    graph = GraphDef()
    groups: dict[str, list[str]] = {}
    for name, entry in record.structure.items():
        node = graph.node.add(name=name.replace(".", "/"), op="Parameter" if entry.get("requires_grad") else "Buffer")
        shape = node.attr["_output_shapes"].list.shape.add()
        for size in entry.get("shape", ()):
            shape.dim.add(size=size)
        node.attr["dtype"].s = str(entry.get("dtype")).encode()
        if entry.get("group") is not None:
            groups.setdefault(str(entry["group"]), []).append(node.name)
    for label, members in groups.items():
        graph.node.add(name=f"parameter groups/{label}", op="ParameterGroup", input=members)
    return graph


def histograms_of(record: Record) -> Iterator[tuple[int, Summary]]:
    """Yield step and histogram of each distribution: `weight/TENSOR` is tagged "weight_histogram/TENSOR".

    A tag of TensorBoard is of one kind in a run, and the norms of the same tensors are scalars.
    """
    for name, histogram in record.histograms.items():
        kind, _, tensor = name.partition("/")
        for step, (low, high), counts in zip(histogram.steps, histogram.limits, histogram.counts, strict=True):
            width = (high - low) / HISTOGRAM_BINS
            ends = [low + width * (i + 1) for i in range(HISTOGRAM_BINS - 1)] + [high]
            bins = [(count, end - width / 2) for count, end in zip(counts, ends, strict=True)]
            num, first, second = (sum(count * centre**power for count, centre in bins) for power in range(3))
            yield step, histogram_raw(f"{kind}_histogram/{tensor}", low, high, num, first, second, ends, counts)


def hyperparameters(record: Record, scalars: Scalars) -> list[Summary]:
    """Return the summaries that make a run a line of the table, within the run itself (`add_hparams` opens another).

    The columns are those of the first run that TensorBoard finds, so every run names all fields of a recipe. Of these
    TensorBoard shows five, first what is said to differ: the configuration of a loop, or what a recipe is known by. The
    scalars logged in training and evaluation, without lists, are the metrics.
    """
    logged = [name for name, stream in record.streams.items() if stream.stage in ("forward", "evaluation")]
    metrics = [tag for tag in scalars if tag.removeprefix("training/") in logged and not tag.endswith("]")]
    own, fields = {**_known(record), **record.recipe}, Recipe().to_dict()
    first = _KNOWN_BY if record.recipe.keys() == fields.keys() else (record.recipe or own)
    columns, _, _ = hparams(_plain({**fields, **own}), dict.fromkeys(metrics, 0.0))
    _, start, end = hparams(_plain(own), {})
    return [_led(columns, first), start, end]


def _led(columns: Summary, first: Collection[str]) -> Summary:
    """Return the summary of a table's columns with those marked that are to be shown first."""
    data = columns.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(data.content)
    for column in content.experiment.hparam_infos:
        column.differs = column.name in first
    data.content = content.SerializeToString()
    return columns


def _known(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in ("name", "precision", "seed", "device")}


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    """Return fields as numbers and texts; torch leaves out what is None."""
    return {name: value if type(value) in (int, float, NoneType) else str(value) for name, value in fields.items()}


def tables_of(record: Record) -> Iterator[Summary]:
    """Yield a text each on the environment, the recipe (or what is known of a watched loop) and the tensors."""
    data = {f"data {name}": value for name, value in record.data.items()}
    yield text("environment", _table(("what", "version"), record.environment.items()))
    yield text("recipe", _table(("field", "value"), {**_known(record), **record.recipe, **data}.items()))
    if record.structure:
        keys = ("shape", "dtype", "requires_grad", "group")
        tensors = ((name, *map(entry.get, keys)) for name, entry in record.structure.items())
        yield text("structure", _table(("tensor", "shape", "dtype", "trained", "group"), tensors))


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def cell(value: object) -> str:
        return "" if value is None else str(value).replace("|", r"\|").replace("\n", " ")

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)
