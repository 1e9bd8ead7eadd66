"""Fold constants, drop identities, merge equal calls, remove what nothing uses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ..ir import Graph, Node, Value


def simplify(graph: Graph) -> Graph:
    """One forward sweep of rewriting, then a backward sweep that keeps only what the results need."""
    now: dict[Value, Value] = {}  # what each value has been replaced by
    uniform: dict[Value, Value] = {}  # values all of whose elements are one number: that number
    seen: dict[tuple, Node] = {}
    nodes: list[Node] = []

    for node in graph.nodes:
        node.inputs = [now.get(v, v) for v in node.inputs]
        _use_numbers(graph, node, uniform)
        same = _identity(node)
        if same is not None:
            now[node.outputs[0]] = same
            continue
        folded = _fold(graph, node)
        if folded is not None:
            now[node.outputs[0]] = folded
            continue
        key = (id(node.call), *map(_key, node.inputs))
        twin = seen.get(key)
        if twin is not None:
            now.update(zip(node.outputs, twin.outputs))
            continue
        seen[key] = node
        nodes.append(node)

    graph.outputs = [now.get(v, v) for v in graph.outputs]
    graph.updates = {old: now.get(new, new) for old, new in graph.updates.items()}
    graph.updates = {old: new for old, new in graph.updates.items() if old is not new}
    needed = set(graph.results())
    kept = []
    for node in reversed(nodes):
        if node.call.op.effect or any(v in needed for v in node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    graph.nodes = kept[::-1]
    return graph


def _use_numbers(graph: Graph, node: Node, uniform: dict[Value, Value]) -> None:
    """Replace operands whose elements all are one number by that number, where the shape does not need them."""
    kind = node.call.op.kind
    numbers: list[Any] = [_number(graph, v, uniform) for v in node.inputs]
    if kind == "view":
        if numbers[0] is not None:
            uniform[node.outputs[0]] = numbers[0]
    elif kind == "elementwise":
        if all(n is not None for n in numbers):
            uniform[node.outputs[0]] = _evaluate(graph, node, numbers)
            return
        kept = [v.shape for v, n in zip(node.inputs, numbers) if n is None]
        if np.broadcast_shapes(*kept) == node.outputs[0].shape:
            node.inputs = [v if n is None else n for v, n in zip(node.inputs, numbers)]


def _number(graph: Graph, value: Value, uniform: dict[Value, Value]) -> Value | None:
    if value.number is not None:
        return value
    if value.kind == "constant" and value.size and value not in uniform and (value.data == value.data.flat[0]).all():
        uniform[value] = graph.constant(np.asarray(value.data.flat[0]))
    return uniform.get(value)


def _evaluate(graph: Graph, node: Node, numbers: list[Value]) -> Value:
    with np.errstate(all="ignore"):
        result = node.call.op.reference(np, *(v.data for v in numbers), **node.call.attrs)
    return graph.constant(np.asarray(result, node.outputs[0].dtype).reshape(()))


def _key(value: Value) -> object:
    """Equal for values that are equal: constants by their number."""
    return (repr(value.number), value.dtype) if value.number is not None else id(value)


def _identity(node: Node) -> Value | None:
    """The input that this call returns unchanged, if it is one of those."""
    x, out = node.inputs[0] if node.inputs else None, node.outputs[0]
    op = node.call.op
    if x is None or len(node.outputs) != 1:
        return None
    if op.strides is not None and x.shape == out.shape:
        x_strides = c_strides(x.shape)
        memory = op.strides(SimpleNamespace(shape=x.shape, strides=x_strides), out.shape, attrs=node.call.attrs)
        return x if memory is not None and memory == (0, x_strides) else None
    for position, number in op.neutral.items():
        operand = node.inputs[position].number
        if operand == number and not np.signbit(operand):  # -0.0 - -0.0 is 0.0
            other = node.inputs[1 - position]
            if other.shape == out.shape and other.dtype == out.dtype:
                return other
    return None


def c_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def _fold(graph: Graph, node: Node) -> Value | None:
    """The number that an elementwise call of numbers gives."""
    if node.call.op.kind != "elementwise" or any(v.number is None for v in node.inputs):
        return None
    return _evaluate(graph, node, node.inputs)
