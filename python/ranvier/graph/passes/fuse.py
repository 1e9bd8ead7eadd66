"""Fusion: elementwise chains become one instruction, joined to the product that feeds them where there is one.

A group runs at the place of its last member, so a member may join only if nothing outside the group needs an earlier
member before that place. Nor do nodes that make fixed values (`Graph.fixed`) and others share a group: the former run once.
"""

from __future__ import annotations

from ...core.dtypes import is_float
from ..ir import Graph, Group, Node, Value

MAX_INPUTS = 12
MAX_STEPS = 24


class _Cluster:
    """A group in the making."""

    def __init__(self, node: Node, index: int):
        self.members = {index: node}
        self.shape = node.outputs[0].shape
        self.anchored = not _elementwise(node)  # whether it starts from a product or the like


def fuse(graph: Graph) -> Graph:
    uses: dict[Value, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        for value in node.inputs:
            uses.setdefault(value, []).append(index)

    fixed = graph.fixed()
    of: dict[int, _Cluster] = {}  # cluster of each clustered node, by index
    place = {id(node): index for index, node in enumerate(graph.nodes)}
    for index, node in enumerate(graph.nodes):
        if _elementwise(node):
            cluster = _Cluster(node, index)
            of[index] = cluster
            for value in node.inputs:
                if value.kind == "node":
                    producer = of.get(place[id(value.node)])
                    if producer is None or producer is cluster or (value in fixed) != (node.outputs[0] in fixed):
                        continue
                    if _can_join(producer, cluster, index, uses):
                        cluster = _join(producer, cluster, of)
        elif node.call.op.epilogue and len(node.outputs) == 1 and is_float(node.outputs[0].dtype):
            of[index] = _Cluster(node, index)

    nodes = []
    results = set(graph.results())
    for index, node in enumerate(graph.nodes):
        group = of.get(index)
        if group is None or len(group.members) == 1:
            nodes.append(node)
        elif index == max(group.members):
            nodes.append(_group(group, results, uses))
    graph.nodes = nodes
    return graph


def _elementwise(node: Node) -> bool:
    return node.call.op.kind == "elementwise"


def _can_join(producer: _Cluster, cluster: _Cluster, index: int, uses: dict) -> bool:
    if producer.shape != cluster.shape or producer.anchored and cluster.anchored:
        return False
    members = producer.members.keys() | cluster.members.keys()
    if len(members) > MAX_STEPS:
        return False
    inputs: set[Value] = set()
    made: set[Value] = set()
    anchor: Node | None = None
    for i in members:
        node = producer.members.get(i) or cluster.members[i]
        if not _elementwise(node):
            anchor = node
        made.update(node.outputs)
        inputs.update(v for v in node.inputs if v.number is None)
        for value in node.outputs:
            if any(user <= index and user not in members for user in uses.get(value, ())):
                return False
    if anchor is not None and any(v in made for v in anchor.inputs):
        return False  # the product runs first: it cannot read what its companions make
    return len(inputs - made) <= MAX_INPUTS


def _join(a: _Cluster, b: _Cluster, of: dict[int, _Cluster]) -> _Cluster:
    a.members.update(b.members)
    a.anchored = a.anchored or b.anchored
    for index in b.members:
        of[index] = a
    return a


def _group(cluster: _Cluster, results: set[Value], uses: dict) -> Group:
    order = sorted(cluster.members)
    if cluster.anchored:  # the product first, whatever the order in which its companions were recorded
        order.sort(key=lambda i: (_elementwise(cluster.members[i]), i))
    body = [cluster.members[i] for i in order]
    made = {v for node in body for v in node.outputs}
    inputs: list[Value] = []
    for node in body:
        for v in node.inputs:
            if v not in made and v not in inputs and v.number is None:
                inputs.append(v)
    outputs = [
        v for v in (v for node in body for v in node.outputs)
        if v in results or any(user not in cluster.members for user in uses.get(v, ()))
    ]  # fmt: skip
    return Group(body, inputs, outputs)
