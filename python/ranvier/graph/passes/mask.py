"""The mask of an activation's gradient moves in front of the gradient of the pooling that follows: then it is of the pool's
results, and what was pooled need not be kept.
"""

from __future__ import annotations

from ..ir import Graph, Node, Value


def mask(graph: Graph) -> Graph:
    uses, results = graph.uses(), set(graph.results())
    nodes: list[Node] = []
    now: dict[Value, Value] = {}  # what each value has been replaced by
    for node in graph.nodes:
        node.inputs = [now.get(v, v) for v in node.inputs]
        moved = _moved(graph, node, uses, results) if node.call.op.masks else None
        if moved is None:
            nodes.append(node)
            continue
        nodes.remove(node.inputs[0].node)
        nodes += moved
        now[node.outputs[0]] = moved[-1].outputs[0]
    graph.nodes = nodes
    graph.outputs = [now.get(v, v) for v in graph.outputs]
    graph.updates = {old: now.get(new, new) for old, new in graph.updates.items()}
    return graph


def _moved(graph: Graph, node: Node, uses: dict[Value, list[Node]], results: set[Value]) -> list[Node] | None:
    """mask(put(g, places), y), where pick(y) gave values and places, as put(mask(g, values), places)."""
    given, y = node.inputs
    put = given.node
    if put is None or not put.call.op.puts or len(uses.get(given, ())) != 1 or given in results:
        return None
    g, places = put.inputs
    pick = places.node
    if pick is None or not pick.call.op.picks or pick.inputs[0] is not y or places is not pick.outputs[1]:
        return None
    if any(pick.call.attrs.get(key, value) != value for key, value in put.call.attrs.items()):
        return None
    kept = Value(graph, g.shape, g.dtype, "node")
    back = Value(graph, given.shape, given.dtype, "node")
    return [
        Node(node.call, [g, pick.outputs[0]], [kept], node.layer),
        Node(put.call, [kept, places], [back], put.layer),
    ]
