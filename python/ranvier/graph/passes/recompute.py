"""Large intermediates that a few light elementwise ops make of what is kept anyway are made again where they are read next,
instead of being kept over the peak of memory: what an activation behind a batch norm gave, for the backward pass.
"""

from __future__ import annotations

from ..ir import Graph, Group, Node, Value

LARGE = 16 << 20  # bytes at the peak from which on memory counts
SHARE = 64  # values of less than one part in so many of the peak are kept
FLOPS = 8  # an element, at most, of what is done twice


def recompute(graph: Graph) -> Graph:
    lives = _Lives(graph)
    if lives.peak_bytes < LARGE:
        return graph
    again: dict[int, list[Node]] = {}  # by the index of the node in front of which they come
    for index, node in enumerate(graph.nodes):
        later = lives.readers_after_peak(node, index)
        if later:
            again.setdefault(later[0], []).append(_copy(graph, node, [graph.nodes[i] for i in later]))
    if again:
        graph.nodes = [n for i, node in enumerate(graph.nodes) for n in (*again.get(i, ()), node)]
    return graph


class _Lives:
    """Which nodes read each value, through views too, and the bytes that live at each node."""

    def __init__(self, graph: Graph):
        self.root: dict[Value, Value] = {}
        self.readers: dict[Value, list[int]] = {}
        self.viewed: set[Value] = set()
        self.kept = set(graph.results()) | graph.fixed()
        made: dict[Value, int] = {}
        for index, node in enumerate(graph.nodes):
            view = node.call is not None and node.call.op.kind == "view"
            if view:
                source = self.root.get(node.inputs[0], node.inputs[0])
                self.root[node.outputs[0]] = source
                self.viewed.add(source)
            else:
                made.update(dict.fromkeys(node.outputs, index))
            for value in node.inputs:
                self.readers.setdefault(self.root.get(value, value), []).append(index)
        change = [0] * (len(graph.nodes) + 1)
        for value, index in made.items():
            change[index] += value.nbytes
            change[self.last(value, index) + 1] -= value.nbytes
        live = self.peak = self.peak_bytes = 0
        for index, bytes in enumerate(change[:-1]):
            live += bytes
            if live > self.peak_bytes:
                self.peak, self.peak_bytes = index, live

    def last(self, value: Value, otherwise: int) -> int:
        return max(self.readers.get(self.root.get(value, value), [otherwise]), default=otherwise)

    def readers_after_peak(self, node: Node, index: int) -> list[int]:
        """The nodes behind the peak that read what `node` makes, if that is worth making again; else none."""
        if len(node.outputs) != 1 or any(step.call.op.kind != "elementwise" for step in node.body):
            return []
        value = node.outputs[0]
        if value in self.kept or value in self.viewed or value.nbytes * SHARE < self.peak_bytes:
            return []
        flops = [step.call.op.flops for step in node.body]
        if not all(isinstance(f, int) for f in flops) or sum(flops) > FLOPS:
            return []
        later = sorted({i for i in self.readers.get(value, ()) if i > self.peak})
        before = [i for i in self.readers.get(value, ()) if i <= self.peak]
        if not later or max(before, default=index) >= self.peak:
            return []
        for source in node.inputs:  # they must be there, or be small
            gone = source.kind == "node" and self.last(source, index) < later[0]
            if gone and source.nbytes * 8 > value.nbytes:
                return []
        return later


def _copy(graph: Graph, node: Node, readers: list[Node]) -> Node:
    """`node` once more, whose result `readers` read from now on."""
    new: dict[Value, Value] = {}
    body = []
    for step in node.body:
        outputs = [Value(graph, v.shape, v.dtype, "node") for v in step.outputs]
        body.append(Node(step.call, [new.get(v, v) for v in step.inputs], outputs, step.layer))
        new.update(zip(step.outputs, outputs))
    for reader in readers:
        for each in {id(n): n for n in (reader, *reader.body)}.values():
            each.inputs = [new.get(v, v) for v in each.inputs]
    return Group(body, list(node.inputs), [new[v] for v in node.outputs]) if isinstance(node, Group) else body[0]
