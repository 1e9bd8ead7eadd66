"""The sum of what several calls give, where one call gives it: parts of a gradient that go into different places of one
array are written there side by side, without the zeros around each.
"""

from __future__ import annotations

from ..ir import Graph, Node, Value


def join(graph: Graph) -> Graph:
    uses, results = graph.uses(), set(graph.results())
    gone: set[Node] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        merged = _merged(node, uses, results) if node.call.op.sums else None
        if merged is not None:
            gone.update(value.node for value in node.inputs)
            uses.update((value, [merged]) for value in merged.inputs)
        nodes.append(merged or node)
    graph.nodes = [node for node in nodes if node not in gone]
    return graph


def _merged(node: Node, uses: dict[Value, list[Node]], results: set[Value]) -> Node | None:
    out = node.outputs[0]
    feeders = [value.node for value in node.inputs]
    for value, feeder in zip(node.inputs, feeders):
        alone = len(uses[value]) == 1 and value not in results
        if not alone or feeder is None or feeder.call.op is not feeders[0].call.op:
            return None
        if (value.shape, value.dtype) != (out.shape, out.dtype):
            return None
    op = feeders[0].call.op
    attrs = op.sum_of_calls(*(f.call.attrs for f in feeders)) if op.sum_of_calls is not None else None
    if attrs is None:
        return None
    return Node(op.bind(**attrs), [x for f in feeders for x in f.inputs], [out], feeders[0].layer)
