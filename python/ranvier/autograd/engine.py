"""The backward pass over the tape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .. import ops
from ..core.context import local, phase, set_grad_enabled
from ..core.errors import DTypeError, GradError, ShapeError
from ..core.tape import Node, check_view
from ..core.tensor import TensorBase, as_tensor, wrap
from ..ops.creation import zeros
from ..ops.dispatch import constant
from ..ops.shape import expand
from . import hooks

if TYPE_CHECKING:
    from ..tensor import Tensor


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    *,
    inputs: Any = None,
) -> None:
    """Accumulate d(sum of tensors * grad_tensors)/d(leaf) into `.grad` of every leaf that requires it, or of `inputs` alone.

    >>> import ranvier as rv
    >>> x = rv.tensor([1.0, 2.0], requires_grad=True)
    >>> rv.autograd.backward([(x * x).sum(), x.sum()])
    >>> x.grad
    tensor([3., 5.])
    """
    tensors, gradients = _listed(tensors, grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run(tensors, gradients, retain, create_graph, None)
        return
    wanted = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    _check_wanted("backward", wanted)
    found = run(tensors, gradients, retain, create_graph, wanted)
    pairs = [(t, g) for t, g in zip(wanted, found) if g is not None]
    with set_grad_enabled(create_graph):
        _accumulate_all(pairs, gradients, create_graph, hooked=True)


def _listed(tensors: Any, gradients: Any) -> tuple[Any, Any]:
    tensors = tensors if isinstance(tensors, (tuple, list)) else (tensors,)
    if gradients is None or not isinstance(gradients, (tuple, list)):
        gradients = (gradients,) * len(tensors)
    if len(gradients) != len(tensors):
        raise ShapeError(f"backward: {len(gradients)} gradients are given for {len(tensors)} tensors")
    return tensors, gradients


def _check_wanted(name: str, inputs: Any) -> None:
    for position, t in enumerate(inputs):
        if not isinstance(t, TensorBase):
            raise DTypeError(f"{name}: inputs[{position}] of type {type(t).__name__} must be a Tensor")
        if not t._requires_grad:
            raise GradError(f"{name}: inputs[{position}], shape {t.shape}, does not require a gradient")


@overload
def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, allow_unused: Literal[False] | None = None, materialize_grads: bool = False,
) -> tuple[Tensor, ...]: ...  # fmt: skip
@overload
def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
    only_inputs: bool = True, *, allow_unused: bool, materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]: ...  # fmt: skip
def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of `outputs` with respect to `inputs`, returned instead of accumulated.

    Args:
        outputs, inputs: tensors, or lists of them. grad_outputs: the gradients of `outputs`, which scalars need not have.
        retain_graph: keep the tape for another pass; None: as create_graph.
        create_graph: record the pass, so that its results can be differentiated.
        only_inputs: must be True: other leaves get no gradient.
        allow_unused: give None for inputs that the outputs do not depend on, which otherwise is an error.
        materialize_grads: give zeros for them.

    >>> import ranvier as rv
    >>> x = rv.tensor(3.0, requires_grad=True)
    >>> (g,) = rv.autograd.grad(x * x, x, create_graph=True)
    >>> rv.autograd.grad(g, x)[0].item()
    2.0
    """
    if not only_inputs:
        raise GradError("grad: only_inputs=False is not possible; backward() gives all leaves their gradients")
    outputs, grad_outputs = _listed(outputs, grad_outputs)
    inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    for position, t in enumerate(outputs):
        if not isinstance(t, TensorBase):
            raise DTypeError(f"grad: outputs[{position}] of type {type(t).__name__} must be a Tensor")
    _check_wanted("grad", inputs)
    keep = create_graph if retain_graph is None else retain_graph
    results = run(outputs, grad_outputs, keep, create_graph, inputs)
    for position, g in enumerate(results):
        if g is None and materialize_grads:
            results[position] = zeros(inputs[position].shape, dtype=inputs[position].dtype)
        elif g is None and not allow_unused:
            raise GradError(
                f"grad: inputs[{position}], shape {inputs[position].shape}, was not used to compute the outputs; "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)


def _seed(t: Any, g: Any) -> Any:
    check_view(t)
    if not t._requires_grad:
        raise GradError(
            "backward: the tensor was not computed from anything that requires a gradient "
            "(requires_grad=True, outside of no_grad())"
        )
    shape = t._data.shape
    if g is None:
        if shape and t.numel() != 1:
            raise GradError(f"backward: a tensor of shape {shape} is not a scalar; pass its gradient")
        one = constant(1.0, t._data.dtype)
        return expand(one, shape) if shape else one
    if not isinstance(g, TensorBase):
        try:
            g = as_tensor(np.asarray(g, t.dtype))
        except (TypeError, ValueError):
            raise DTypeError(f"backward: gradient {g!r:.60} must be a Tensor or an array of numbers") from None
    if g.shape != shape:
        raise ShapeError(f"backward: gradient of shape {g.shape} must have the tensor's shape {shape}")
    return g.to(t.dtype)


def run(tensors: Any, gradients: Any, retain: bool, create_graph: bool, wanted: Any, leaf_hooks: bool = True) -> list:
    """The backward pass. `wanted` is None (accumulate into the leaves) or the tensors whose gradients to return."""
    if local.tracer is None:
        return _run(tensors, gradients, retain, create_graph, wanted, leaf_hooks)
    with phase("backward", ""):
        return _run(tensors, gradients, retain, create_graph, wanted, leaf_hooks)


def _run(tensors: Any, gradients: Any, retain: bool, create_graph: bool, wanted: Any, leaf_hooks: bool) -> list:
    pending: dict[Node, list] = {}  # gradient of each output of nodes yet to come
    leaves: dict[int, list] = {}  # [leaf, gradient]
    results: list = [] if wanted is None else [None] * len(wanted)
    wanted_nodes: dict[tuple, list[int]] = {}  # positions in `results`
    for i, t in enumerate(wanted or ()):
        if t._node is not None:
            wanted_nodes.setdefault((t._node, t._index), []).append(i)
    hooked = hooks.any_hooks()
    before, local.grad_enabled = local.grad_enabled, create_graph
    try:
        seeds = [_seed(t, g) for t, g in zip(tensors, gradients)]
        if wanted is None and len(seeds) == 1 and not create_graph and local.eager is not None and not hooked:
            pairs = local.backend.pull(tensors[0], gradients[0] if gradients[0] is None else seeds[0], retain)
            if pairs is not None:
                _accumulate_all(pairs, gradients, create_graph, hooked)
                return results
        for t, g in zip(tensors, seeds):
            _give(t, g, pending, leaves)
        order = _order(tensors)
        asked = None if wanted is None else {id(t) for t in wanted}
        on_the_way = None if asked is None else _leading_to(order, wanted_nodes, asked)
        for node in order:
            slots = pending.pop(node, None)
            if slots is None:
                continue
            # as in PyTorch, a gradient asked for is the one before the hooks where the pass goes on below
            goes_on = on_the_way is None or node in on_the_way
            here: Any = ()
            if wanted_nodes:
                here = [(i, index) for index in range(node.n_outs) for i in wanted_nodes.get((node, index), ())]
            if hooked and here and not goes_on:
                hooks.of_node(node, slots)
            for i, index in here:
                results[i] = slots[index]
            if not goes_on:
                continue
            if hooked:
                hooks.of_node(node, slots)
            node.check_saved()
            inputs = [  # one that requires a gradient only since then gets none
                t if node.needs >> k & 1 or not t._requires_grad else t.detach() for k, t in enumerate(node.inputs)
            ]
            outs = node.outs and [None if data is None else _output(node, i) for i, data in enumerate(node.outs)]
            if local.tracer is None:
                _pull(node, slots, outs, inputs, pending, leaves)
            else:
                with phase("backward", getattr(node, "layer", "")):
                    _pull(node, slots, outs, inputs, pending, leaves)
            if not retain:
                node.release()
        if hooked and leaf_hooks:
            for key, entry in leaves.items():
                if asked is None or key in asked:
                    hooks.of_leaf(entry)
        if wanted is None:
            _accumulate_all(leaves.values(), gradients, create_graph, hooked)
        else:
            for i, t in enumerate(wanted):
                if id(t) in leaves:
                    results[i] = leaves[id(t)][1]
    finally:
        local.grad_enabled = before
    return results


def _pull(node: Node, slots: list, outs: Any, inputs: list, pending: dict, leaves: dict) -> None:
    """Give the gradients of one call's `inputs`, by its rule, to those that they belong to."""
    op, attrs = node.call.op, node.call.attrs
    if node.n_outs == 1:
        gs = op.vjp(slots[0], outs and outs[0], *inputs, **attrs)
    else:
        gs = op.vjp(tuple(slots), outs and tuple(outs), *inputs, **attrs)
    for t, g in zip(inputs, gs):
        if g is not None and t._requires_grad:
            _give(t, g, pending, leaves)


def _give(t: Any, g: Any, pending: dict, leaves: dict) -> None:
    """Add `g` to the gradient of `t`."""
    shape = t.shape
    if g._data.shape != shape:
        g = _unbroadcast(g, shape)
    node = t._node
    if node is None:
        entry = leaves.get(id(t))
        if entry is None:
            leaves[id(t)] = [t, g]
        else:
            entry[1] = entry[1] + g
        return
    slots = pending.get(node)
    if slots is None:
        slots = pending[node] = [None] * node.n_outs
    before = slots[t._index]
    slots[t._index] = g if before is None else before + g


def _order(tensors: Any) -> list[Node]:
    """All nodes below `tensors`, each before those that it depends on."""
    found = {t._node for t in tensors if t._node is not None}
    stack = list(found)
    while stack:
        node = stack.pop()
        if node.inputs is None:
            node.check_saved()
        for t in node.inputs:
            below = t._node
            if below is not None and below not in found:
                found.add(below)
                stack.append(below)
    return sorted(found, key=_number, reverse=True)


def _leading_to(order: list[Node], wanted_nodes: dict, asked: set[int]) -> set[Node]:
    """The nodes below which some tensor asked for lies, a result of a node or a leaf of these ids."""
    found: set[Node] = set()
    for node in reversed(order):
        if any(t._node in found or (t._node, t._index) in wanted_nodes or id(t) in asked for t in node.inputs):
            found.add(node)
    return found


def _number(node: Node) -> int:
    return node.number


def _output(node: Node, index: int) -> Any:
    """Output `index` of a node as the tensor it was, so that second derivatives pass through it."""
    t = wrap(getattr(node.outs[index], "_data", node.outs[index]))
    t._requires_grad, t._node, t._index = True, node, index
    return t


def _unbroadcast(g: Any, shape: tuple) -> Any:
    """Sum `g` over the axes along which an input of `shape` was broadcast."""
    extra = g.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        axis + extra for axis, size in enumerate(shape) if size == 1 and g.shape[axis + extra] != 1
    )
    g = ops.sum(g, axes, keepdim=True) if axes else g
    return g.reshape(shape) if extra else g


def _check_fits(t: Any, g: Any) -> None:
    """Raise unless `g` can be added to `t.grad`."""
    so_far = t.grad
    if so_far is None:
        return
    if not isinstance(so_far, TensorBase):
        raise DTypeError(f"backward: .grad of a leaf of shape {t.shape} is a {type(so_far).__name__}, must be a Tensor")
    if so_far.shape != g.shape or so_far.dtype != g.dtype:
        raise ShapeError(
            f"backward: .grad of a leaf of shape {t.shape} holds {so_far.dtype}{so_far.shape}; {g.dtype}{g.shape} cannot be "
            "added to it"
        )


def _accumulate_all(pairs: Any, gradients: Any, create_graph: bool, hooked: bool) -> None:
    for t, g in pairs:
        if t.grad is not None:
            _check_fits(t, g)
    owned = {id(g._data) for g in gradients if g is not None and hasattr(g, "_data")}
    if hooked:  # which may have kept or given any of them
        owned.update([id(g._data) for _, g in pairs])
    for t, g in pairs:
        _accumulate(t, g, create_graph, owned)
    if hooked:
        for t, _ in pairs:
            hooks.of_accumulated(t)


def _accumulate(t: Any, g: Any, create_graph: bool, owned: set[int]) -> None:
    tracer = local.tracer
    data = g._data
    if t.grad is None and tracer is None and not g._requires_grad and data.base is None and id(data) not in owned:
        if data.flags.writeable:  # the common case: a new array, which nothing else refers to
            owned.add(id(data))
            t.grad = g
            return
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
        # .grad belongs to its tensor alone: a gradient that is an alias of another array, or a shared number, is copied
        if tracer is None and (
            isinstance(g._data.base, np.ndarray) or id(g._data) in owned or not g._data.flags.writeable
        ):
            g._data = np.array(g._data)
        owned.add(id(g._data))
    t.grad = g
