"""Scales and shifts of fixed values go into the weights of the op that feeds them: batch norm in evaluation, behind a
convolution or a linear layer of a frozen plan. Weights are then scaled once, and not each result in each run.
"""

from __future__ import annotations

from typing import Any

from ...ops.record import OPS
from ..ir import Graph, Node, Value


def absorb(graph: Graph) -> Graph:
    fixed = graph.fixed()
    if not fixed:
        return graph
    uses, results = graph.uses(), set(graph.results())
    nodes: list[Node] = []
    now: dict[Value, Value] = {}  # what each value has been replaced by
    for node in graph.nodes:
        node.inputs = [now.get(v, v) for v in node.inputs]
        feeder = node.inputs[0].node if node.inputs else None
        merged = None
        if feeder is not None and feeder.call.op.absorb is not None and node.call.op.affine is not None:
            of = feeder.outputs[0]
            if len(uses[of]) == 1 and of not in results and of.shape == node.outputs[0].shape:
                merged = _merged(graph, feeder, node, fixed)
        if feeder is None or merged is None:
            nodes.append(node)
            continue
        nodes.remove(feeder)
        nodes += merged
        made = merged[-1].outputs[0]
        now[node.outputs[0]] = made
        uses[made] = uses.get(node.outputs[0], [])
        if node.outputs[0] in results:
            results.add(made)
    graph.nodes = nodes
    graph.outputs = [now.get(v, v) for v in graph.outputs]
    graph.updates = {old: now.get(new, new) for old, new in graph.updates.items()}
    return graph


def _merged(graph: Graph, feeder: Node, node: Node, fixed: set[Value]) -> list[Node] | None:
    """The nodes that do in one what `feeder` and `node` do, the last one that result; None where that cannot be."""
    axis, absorbed = feeder.call.op.absorb
    out = node.outputs[0]
    axis %= len(out.shape)
    channels = out.shape[axis]
    for value in (*feeder.inputs[1:], *node.inputs[1:]):
        if value not in fixed and value.kind != "constant" or value.dtype != out.dtype:
            return None
    for value in node.inputs[1:]:
        shape = (1,) * (len(out.shape) - len(value.shape)) + value.shape
        if shape != (*(1,) * axis, channels, *(1,) * (len(shape) - axis - 1)):
            return None
    made: list[Node] = []

    def do(name: str, *inputs: Value, **attrs: Any) -> Value:
        call = OPS[name].bind(**attrs)
        shape, dtype = call.op.infer(*inputs, **call.attrs)
        value = Value(graph, tuple(shape), dtype, "node")
        made.append(Node(call, list(inputs), [value], node.layer))
        return value

    scale, shift = node.call.op.affine(do, *node.inputs[1:])
    inputs = absorbed(do, *feeder.inputs[1:], scale=scale, shift=shift)
    fixed.update(v for step in made for v in step.outputs)
    result = Value(graph, out.shape, out.dtype, "node")
    return [*made, Node(feeder.call, [feeder.inputs[0], *inputs], [result], feeder.layer)]
