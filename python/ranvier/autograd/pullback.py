"""Backward passes as plans: the pass over a tape, traced once per structure of the tape, runs as one native call.

An eager script records the same tape again and again. The third time, the pass over it is traced on stand-ins for all
that the tape has saved, fused and planned like any compiled function; from then on the tape's structure is looked up, and
the plan runs on its arrays. The plan is made of the same kernels in the same order: results keep their bits.
"""

from __future__ import annotations

from typing import Any

from .. import _native
from ..core.context import current_backend
from ..core.errors import TraceError
from ..core.recent import Recent
from ..core.tape import Edge, Node
from ..core.tensor import wrap
from ..graph.trace import Tracer, tracing
from . import engine

_HOT = 3  # structures that never come back are not worth a trace
_MOST = 128  # structures kept

_rules = Recent(_MOST)  # a structure's program; before, how often it has come up; False: not to be traced


def pull(root: Any, seed: Any, retain: bool) -> list | None:
    """[leaf, gradient] pairs of the pass from `root` with gradient `seed` (None: 1), of leaves that have not got theirs yet.

    None where it has to be done step by step, also to say what is wrong with the tape.
    """
    tape = _native.read_tape(root, None if seed is None else seed._data)
    if tape is None:
        return None
    order, key, arrays, leaves = tape
    rule = _rules[key]
    if rule is None or rule.__class__ is int:
        count = (rule or 0) + 1
        if count < _HOT:
            _rules[key] = count
            return None
        try:
            rule = _compile(order, root, seed, leaves)
        except TraceError:  # a gradient rule that looks at values
            rule = False
        _rules[key] = rule
    if rule is False:
        return None
    run, positions = rule
    grads = run(*arrays)
    if not retain:
        _native.release_nodes(order)
    if seed is None and _native.give_gradients(leaves, positions, grads):
        return []
    return [[leaves[i], wrap(data)] for i, data in zip(positions, grads)]


def _compile(order: list[Node], root: Any, seed: Any, leaves: list) -> tuple[Any, list[int]]:
    """What runs the program for tapes like this one, and to which of the leaves its results belong."""
    tracer = Tracer()
    twins: dict[Node, Node] = {}
    stand_ins: dict[int, Any] = {}  # of the leaves

    with tracing(tracer):
        start: Any = None if seed is None else tracer.stand_in(seed._data)
        for node in order:
            twins[node] = Node.__new__(Node)
        for node in order:  # inputs of the graph in the order in which `read_tape` lists the arrays
            twin = twins[node]
            inputs = []
            for t in node.inputs:
                if t.__class__ is Edge:
                    copy = Edge.__new__(Edge)
                    copy.shape, copy.dtype = t.shape, t.dtype
                else:
                    copy = tracer.stand_in(t._data)
                    if t._node is None and t._requires_grad:
                        copy = stand_ins.setdefault(id(t), copy)
                copy._requires_grad, copy._index = t._requires_grad, t._index
                copy._node = None if t._node is None else twins[t._node]
                inputs.append(copy)
            twin.call, twin.inputs, twin.versions = node.call, inputs, None
            twin.outs = node.outs and [None if data is None else tracer.stand_in(data)._data for data in node.outs]
            twin.needs, twin.n_outs, twin.number = node.needs, node.n_outs, node.number
        top = wrap(tracer.graph.constant(root._data) if seed is None else start._data)
        top._requires_grad, top._node, top._index = True, twins[root._node], root._index
        grads = engine.run((top,), (start,), False, False, [stand_ins[id(t)] for t in leaves])
        positions = [i for i, g in enumerate(grads) if g is not None]
        graph, _ = tracer.finish([grads[i] for i in positions])
    return current_backend().compile(graph.check()).run, positions
