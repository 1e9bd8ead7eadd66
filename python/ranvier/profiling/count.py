"""Counting on a traced and optimised graph: operations from the ops' records, bytes from its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from ..graph.arena import ALIGN, Block
from ..graph.cost import Cost, cost_of
from ..graph.ir import Graph, Group, Node, Value

PHASES = ("forward", "backward", "optimizer")


@dataclass
class Work:
    """What one layer does. moved: bytes that its instructions read and write. least: those that cross its borders. saved:
    those that its forward pass keeps for the backward pass.
    """

    costs: dict[str, Cost] = field(default_factory=lambda: dict.fromkeys(PHASES, Cost()))
    moved: float = 0.0
    least: int = 0
    saved: int = 0

    @property
    def cost(self) -> Cost:
        return sum(self.costs.values(), Cost())


def is_view(node: Node) -> bool:
    """Whether a node is no work."""
    return not isinstance(node, Group) and node.call.op.kind == "view"


class Counted:
    """A graph, counted.

    Args:
        graph: optimised, as it runs. name_of: the name of the layer of a node.
        owners: the layers of parameters, by the id of their arrays.

    Attributes:
        works: what each layer does. least: bytes that any plan has to move: what it is given and reads, and its results.
    """

    def __init__(self, graph: Graph, name_of: Callable[[Node], str], owners: dict[int, str]) -> None:
        self._name_of, self._owners = name_of, owners
        self._roots: dict[Value, Value] = {}  # of views: the value whose memory they show
        self._costs: dict[Node, Cost] = {}
        self._shares: dict[Node, dict[str, Fraction]] = {}
        self.works: dict[str, Work] = {}
        for node in graph.nodes:
            if is_view(node):
                self._roots[node.outputs[0]] = self._root(node.inputs[0])
            for step in node.body:
                cost = cost_of(step.call.op, step.call.attrs, step.inputs, step.outputs)
                for name, share in self.shares(step).items():
                    work = self.works.setdefault(name, Work())
                    work.costs[step.phase] += cost if share == 1 else Cost(*(round(n * share) for n in cost))
                self._costs[node] = self._costs.get(node, Cost()) + cost
            if not is_view(node):
                moved = self.moved(node)
                for name, share in self.shares(node).items():
                    self.works.setdefault(name, Work()).moved += float(moved * share)
        self._bounds(graph)
        for v in self._saved(graph):
            self.works[name_of(v.node)].saved += v.nbytes

    def _root(self, value: Value) -> Value:
        return self._roots.get(value, value)

    def cost(self, node: Node) -> Cost:
        """Of all that one instruction does."""
        return self._costs[node]

    def moved(self, node: Node) -> int:
        """What one instruction reads and writes. Of a view that shows some elements again and again, those that there are;
        of what an op only moves, no more than it writes.
        """
        written = sum(v.nbytes for v in node.outputs)
        read = [min(v.nbytes, self._root(v).nbytes) for v in dict.fromkeys(node.inputs) if v.number is None]
        return written + sum(read if self._costs[node].instructions else [min(n, written) for n in read])

    def shares(self, node: Node) -> dict[str, Fraction]:
        """The layers that a node works for, each with its share: of an update of many parameters, those that have them."""
        found = self._shares.get(node)
        if found is None:
            found = self._shares[node] = self._find_shares(node)
        return found

    def _find_shares(self, node: Node) -> dict[str, Fraction]:
        if node.phase == "optimizer":
            sizes: dict[str, int] = {}
            for v in node.inputs:
                owner = self._owners.get(id(v.data)) if v.kind == "state" else None
                if owner is not None:
                    sizes[owner] = sizes.get(owner, 0) + v.size
            total = sum(sizes.values())
            if total:
                return {owner: Fraction(size, total) for owner, size in sizes.items()}
        return {self._name_of(node): Fraction(1)}

    def _bounds(self, graph: Graph) -> None:
        """The bytes that cross the borders of each layer, and of the graph."""
        readers: dict[Value, set[str]] = {}
        for node in graph.nodes:
            names = self.shares(node)
            for v in node.inputs:
                if v.number is None:
                    readers.setdefault(self._root(v), set()).update(names)
        results = {self._root(v) for v in graph.results()}
        for v in dict.fromkeys([*readers, *results]):
            makers = self.shares(v.node) if v.kind == "node" else {}
            others = readers.get(v, set()) - makers.keys()
            for name in others:
                self.works[name].least += v.nbytes
            if others or v in results:
                for name, share in makers.items():
                    self.works[name].least += round(v.nbytes * share)
        self.least = sum(v.nbytes for v in readers if v.kind != "node") + sum(v.nbytes for v in results)

    def _saved(self, graph: Graph) -> list[Value]:
        """What the forward pass makes and the backward pass reads; without one, all that the forward pass makes."""
        forward = [v for n in graph.nodes if n.phase == "forward" for v in n.outputs if v not in self._roots]
        backward = [node for node in graph.nodes if node.phase == "backward"]
        read = {self._root(v) for node in backward for v in node.inputs}
        return [v for v in forward if v in read] if backward else forward


def alive(blocks: Iterable[Block], instructions: int) -> list[int]:
    """Bytes of the arena in use during each instruction."""
    change = [0] * (instructions + 1)
    for block in blocks:
        size = -(-max(block.nbytes, 1) // ALIGN) * ALIGN
        change[max(block.first, 0)] += size
        change[min(block.last, instructions - 1) + 1] -= size
    total, result = 0, []
    for n in change[:-1]:
        total += n
        result.append(total)
    return result
