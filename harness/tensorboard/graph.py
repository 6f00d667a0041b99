"""The modules of a training as TensorBoard shows graphs: a tree of names, without the flow of data."""

from typing import TYPE_CHECKING

from harness.record import Record


if TYPE_CHECKING:
    from tensorboard.compat.proto.graph_pb2 import GraphDef

__all__ = ["graph_of"]


def graph_of(record: Record) -> "GraphDef":
    """Return a graph of a record's tensors, nested as the modules that hold them.

    A record knows tensors and parameter groups, not the calls between modules, so the only edges are from each
    trained tensor to the group of the optimizer that it belongs to.
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef

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
