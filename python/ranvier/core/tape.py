"""The tape: a Node for each recorded op call.

Nodes are numbered as they are made, so descending numbers are a topological order of any part of the tape.
"""

from __future__ import annotations

from typing import Any, Protocol

from .context import numbers
from .errors import GradError
from .tensor import wrap
from .traced import is_traced

_CHANGED = object()  # in place of saved outputs that were changed afterwards


class Edge:
    """Stands in a node for an input whose values the gradient rule does not need, so that they can be freed."""

    __slots__ = ("_node", "_index", "_requires_grad", "shape", "dtype")

    def __init__(self, t: Any):
        self._node, self._index, self._requires_grad = t._node, t._index, t._requires_grad
        self.shape, self.dtype = t._data.shape, t._data.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad


DETACHED = -1  # _index of a view without a node that shall have none, whatever becomes of its base


def stale(t: Any) -> bool:
    """Whether `t` is a view, not a detached one, whose base has got another history since it was made."""
    base = t._base
    if base is None or base._node is None or t._version == base._version:
        return False
    return t._node is not None or t._index != DETACHED


def check_view(t: Any) -> None:
    """Give `t`, if it is stale, the history that its base has now; raise where that cannot be."""
    if stale(t):
        t._follow_base()


class Differentiable(Protocol):
    """What the tape asks of an op: the record of one (ops/record.py), or a whole compiled function (autograd/replay.py)."""

    name: str

    @property
    def vjp(self) -> Any:
        """(g, out, *inputs, **attrs) -> the gradient of each input, or None."""


class DifferentiableCall(Protocol):
    """A Differentiable with its attributes, and what it saves (see `saved`)."""

    saves_inputs: Any
    saves_outputs: Any

    @property
    def op(self) -> Differentiable: ...

    @property
    def attrs(self) -> dict[str, Any]: ...


def saved(masks: Any, needs: int) -> int:
    """The positions, as bits, that a call saves whose inputs `needs` (bits, too) need gradients: `masks`, or where that has
    one for the gradient of each input, those together.
    """
    if masks.__class__ is int:
        return masks
    bits = 0
    for k, mask in enumerate(masks):
        bits |= mask * (needs >> k & 1)
    return bits


class Node:
    """One recorded call: where its inputs came from, which of them needed gradients (bits), and what the gradient rule
    needs of inputs and outputs.
    """

    # often not set: hooks (see hooks.py), and layer, where the call was traced
    __slots__ = ("call", "inputs", "needs", "outs", "n_outs", "versions", "number", "hooks", "layer")
    layer: str

    def __init__(self, call: DifferentiableCall, inputs: tuple, outs: tuple):
        for t in inputs:
            if t._base is not None:
                check_view(t)
        self.call: Any = call
        self.needs = sum([1 << k for k, t in enumerate(inputs) if t._requires_grad])
        mask = saved(call.saves_inputs, self.needs)
        # leaves stay: their gradient goes to them
        self.inputs: Any = [
            t if mask >> k & 1 or t._requires_grad and t._node is None else Edge(t) for k, t in enumerate(inputs)
        ]
        self.versions: Any = [t.version if mask >> k & 1 else None for k, t in enumerate(inputs)] if mask else None
        mask = saved(call.saves_outputs, self.needs)
        # arrays where a tensor holds its node, which must not hold it back; others as tensors, whose version then tells
        self.outs: Any = tuple([data if mask >> k & 1 else None for k, data in enumerate(outs)]) if mask else None
        self.n_outs = len(outs)
        self.number = next(numbers)

    def check_saved(self) -> None:
        """Raise unless everything saved is as it was."""
        if self.inputs is None:
            raise GradError(
                f"backward: the tape of {self.call.op.name} has been used already; "
                "call backward(retain_graph=True) the first time to go through it twice"
            )
        for t in self.inputs:
            if t._index > self.number and t._node is None:
                raise GradError(
                    f"backward: a leaf was given another array, of shape {t.shape}, by .data after {self.call.op.name} had "
                    "used it; take the gradient first"
                )
        if self.outs is _CHANGED or any([getattr(data, "_version", 0) for data in self.outs or ()]):
            raise GradError(
                f"backward: the result of {self.call.op.name} was changed in place after it was saved for the gradient; "
                "use an operation that returns a new tensor"
            )
        if self.versions is not None:
            for position, (t, version) in enumerate(zip(self.inputs, self.versions)):
                if version is not None and t.version != version:
                    raise GradError(
                        f"backward: input {position} of {self.call.op.name}, shape {t.shape}, was changed in place "
                        "after it was saved for the gradient; use an operation that returns a new tensor"
                    )

    def spoil(self, index: int, data: Any) -> None:
        """`data`, a tensor with that result's history, has been changed in place: was it what is saved here?"""
        if self.outs is not None and self.outs is not _CHANGED and self.outs[index] is data:
            self.outs = _CHANGED

    def keep(self, t: Any) -> None:
        """Replace what is saved of `t`, as it is now, by a copy: `t` is about to be overwritten."""
        if self.inputs is None or self.versions is None:
            return
        inputs, versions = list(self.inputs), list(self.versions)
        for k, version in enumerate(versions):
            if inputs[k] is t and version == t.version:
                copy = wrap(t._data if is_traced(t._data) else t._data.copy())
                copy._requires_grad, copy._node, copy._index = t._requires_grad, t._node, t._index
                inputs[k], versions[k] = copy, copy._version
        self.inputs, self.versions = inputs, versions

    def release(self) -> None:
        """Let go of all that was saved; the node cannot be used again."""
        self.inputs = self.outs = None


def keep_saved(result: Any, t: Any, since: int) -> None:
    """Before `t` is overwritten with `result`: the calls numbered from `since` on, which made it of `t`, keep copies."""
    stack, seen = [result._node], set()
    while stack:
        node = stack.pop()
        if node is not None and node.number >= since and node not in seen:
            seen.add(node)
            node.keep(t)
            stack.extend([x._node for x in node.inputs or ()])
