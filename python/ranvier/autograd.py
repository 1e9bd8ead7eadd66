"""The tape: a Node for each recorded op call, and the backward pass over them.

Nodes are numbered as they are made, so descending numbers are a topological order of any part of the tape.
"""
from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np

from .context import local
from .errors import GradError, ShapeError

_numbers = count()


class Node:
    """One recorded call: what went in, what the gradient rule needs, and which outputs came out."""

    __slots__ = ("call", "inputs", "outs", "versions", "number")

    def __init__(self, call: Any, inputs: tuple, outs: tuple):
        self.call = call
        self.inputs = inputs
        self.outs = outs  # arrays, not tensors: a tensor holds its node, and the node must not hold it back
        self.versions = [t.version for t in inputs] if "i" in call.op.saves else None
        self.number = next(_numbers)

    def check_saved(self) -> None:
        if self.inputs is None:
            raise GradError(
                f"backward: the tape of {self.call.op.name} has been used already; "
                "call backward(retain_graph=True) the first time to go through it twice"
            )
        if self.versions is not None:
            for position, (t, version) in enumerate(zip(self.inputs, self.versions)):
                if t.version != version:
                    raise GradError(
                        f"backward: input {position} of {self.call.op.name}, shape {t.shape}, was changed in place "
                        "after it was saved for the gradient; use an operation that returns a new tensor"
                    )

    def release(self) -> None:
        self.inputs = self.outs = None


def backward(tensors: Any, gradients: Any, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Accumulate d(sum of tensors * gradients)/d(leaf) into `.grad` of every leaf that requires it."""
    _run(tensors, gradients, retain_graph or create_graph, create_graph, None)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple:
    """Gradients of `outputs` with respect to `inputs`, returned instead of accumulated.

    >>> import ranvier as rv
    >>> x = rv.tensor(3.0, requires_grad=True)
    >>> (g,) = rv.autograd.grad(x * x, x, create_graph=True)
    >>> rv.autograd.grad(g, x)[0].item()
    2.0
    """
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if grad_outputs is None or not isinstance(grad_outputs, (tuple, list)):
        grad_outputs = (grad_outputs,) * len(outputs)
    for position, t in enumerate(inputs):
        if not t._requires_grad:
            raise GradError(f"grad: inputs[{position}], shape {t.shape}, does not require a gradient")
    keep = create_graph if retain_graph is None else retain_graph
    results = _run(outputs, grad_outputs, keep, create_graph, inputs)
    for position, g in enumerate(results):
        if g is None and not allow_unused:
            raise GradError(
                f"grad: inputs[{position}], shape {inputs[position].shape}, was not used to compute the outputs; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)


def _seed(t: Any, g: Any) -> Any:
    from .ops.apply import constant
    from .ops.shape import expand
    from .tensor import as_tensor

    if not t._requires_grad:
        raise GradError(
            "backward: the tensor was not computed from anything that requires a gradient "
            "(requires_grad=True, outside of no_grad())"
        )
    if g is None:
        if t.numel() != 1:
            raise GradError(f"backward: a tensor of shape {t.shape} is not a scalar; pass its gradient")
        return expand(constant(1.0, t.dtype), t.shape)
    g = as_tensor(g, dtype=t.dtype)
    if g.shape != t.shape:
        raise ShapeError(f"backward: gradient of shape {g.shape} must have the tensor's shape {t.shape}")
    return g


def _run(tensors: Any, gradients: Any, retain: bool, create_graph: bool, wanted: Any) -> list:
    grads: dict[int, list] = {}  # node number -> gradient of each of its outputs
    nodes: dict[int, Node] = {}
    leaf_grads: dict[int, tuple] = {}
    wanted_leaves = None if wanted is None else {id(t) for t in wanted if t._node is None}
    wanted_outs = {} if wanted is None else {(t._node.number, t._index): i for i, t in enumerate(wanted) if t._node}
    results: list = [None] * (0 if wanted is None else len(wanted))

    def give(t: Any, g: Any) -> None:
        node = t._node
        if node is None:
            if t._requires_grad and (wanted_leaves is None or id(t) in wanted_leaves):
                before = leaf_grads.get(id(t))
                leaf_grads[id(t)] = (t, g if before is None else before[1] + g)
            return
        slots = grads.get(node.number)
        if slots is None:
            slots = grads[node.number] = [None] * len(node.outs)
        slots[t._index] = g if slots[t._index] is None else slots[t._index] + g

    before = local.grad_enabled
    local.grad_enabled = create_graph
    try:
        for t, g in zip(tensors, gradients):
            seed = _seed(t, g)
            _collect(t, nodes)
            give(t, seed)
        for number in sorted(nodes, reverse=True):
            slots = grads.pop(number, None)
            if slots is None:
                continue
            node = nodes[number]
            for index, g in enumerate(slots):
                if (number, index) in wanted_outs:
                    results[wanted_outs[number, index]] = g
            node.check_saved()
            for t, g in zip(node.inputs, _vjp(node, slots)):
                if g is not None and t._requires_grad:
                    if g.shape != t.shape:
                        g = _unbroadcast(g, t.shape)
                    give(t, g)
            if not retain:
                node.release()
        if wanted is None:
            owned = {id(g._data) for g in gradients if g is not None and hasattr(g, "_data")}
            for t, g in leaf_grads.values():
                _accumulate(t, g, create_graph, owned)
        else:
            for i, t in enumerate(wanted):
                if id(t) in leaf_grads:
                    results[i] = leaf_grads[id(t)][1]
    finally:
        local.grad_enabled = before
    return results


def _collect(t: Any, nodes: dict[int, Node]) -> None:
    """All nodes below `t`."""
    stack = [t._node] if t._node is not None else []
    while stack:
        node = stack.pop()
        if node.number in nodes:
            continue
        nodes[node.number] = node
        node.check_saved()
        for x in node.inputs:
            if x._node is not None and x._node.number not in nodes:
                stack.append(x._node)


def _vjp(node: Node, slots: list) -> tuple:
    op = node.call.op
    outs: Any = None
    if "o" in op.saves:
        outs = tuple(_output(node, index) for index in range(len(node.outs)))
    if len(slots) == 1:
        return op.vjp(slots[0], outs and outs[0], *node.inputs, **node.call.attrs)
    return op.vjp(tuple(slots), outs, *node.inputs, **node.call.attrs)


def _output(node: Node, index: int) -> Any:
    """Output `index` of a node as the tensor it was, so that second derivatives pass through it."""
    from .ops.apply import _wrap

    t = _wrap(node.outs[index])
    t._requires_grad, t._node, t._index = True, node, index
    return t


def _unbroadcast(g: Any, shape: tuple) -> Any:
    """Sum `g` over the axes along which an input of `shape` was broadcast."""
    from .ops.reduction import sum as sum_

    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 and g.shape[axis + extra] != 1
    )
    g = sum_(g, axes, keepdim=True) if axes else g
    return g.reshape(shape) if extra else g


def _accumulate(t: Any, g: Any, create_graph: bool, owned: set[int]) -> None:
    tracer = local.tracer
    if tracer is not None:
        tracer.touch_grad(t)
    if t.grad is not None:
        if create_graph:
            t.grad = t.grad + g
        else:
            t.grad._assign(t.grad + g)
        return
    if not create_graph:
        g = g.detach()
        g._base = None
        # .grad belongs to its tensor alone: a gradient that is an alias of another array is copied
        if tracer is None and (g._data.base is not None and isinstance(g._data.base, np.ndarray) or id(g._data) in owned):
            g._data = np.array(g._data)
        owned.add(id(g._data))
    t.grad = g
