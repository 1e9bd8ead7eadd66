"""Gradients through a compiled forward pass: the backward pass is a compiled function of its own."""

from __future__ import annotations

from typing import Any

from ..core.context import enable_grad, local
from ..core.errors import GradError
from ..core.tape import Node
from ..core.tensor import TensorBase, wrap
from ..core.tree import fill, flatten, leaves_of, map_structure
from ..ops.shape import clone
from . import engine


class _Replay:
    """A Differentiable made for one call of a compiled function: its gradient rule runs forward and backward as one plan."""

    name = "compiled"

    def __init__(self, trace: Any, compiled: Any, args: tuple, kwargs: dict, leaves: list):
        self.trace, self.compiled, self.args, self.kwargs, self.leaves = trace, compiled, args, kwargs, leaves
        # The replay must see random states and running statistics as the forward pass saw them.
        changed = trace.graph.updates
        self.before = [(t._data, t._data.copy()) for t, start in trace.graph.states if start in changed]
        self.streams = [(stream, stream.get_state()) for stream in trace.streams]
        fixed = [t for t, start in trace.graph.states if start not in changed and not t._requires_grad]
        self.versions = [(t, t.version) for t in (*_tensors(args), *_tensors(kwargs), *fixed)]

    def vjp(self, g: Any, out: Any, *inputs: Any) -> tuple:
        if local.grad_enabled:
            raise GradError(
                "backward: create_graph=True does not reach through a compiled function; compile the whole computation, "
                "with the gradient inside"
            )
        for t, version in self.versions:
            if t.version != version:
                raise GradError(
                    f"backward: a tensor of shape {t.shape}, which a compiled function has read, was changed in place "
                    "before its gradient was taken"
                )
        if not self.trace.guards.same_python():
            raise GradError(
                "backward: a module or a setting that a compiled function depends on was changed before its gradient was "
                "taken, which runs the function again; take it first"
            )
        gs = g if isinstance(g, tuple) else (g,)
        present = [i for i, x in enumerate(gs) if x is not None]
        pullback = self.trace.backward.get(tuple(present))
        if pullback is None:

            def pull(seeds: tuple, args: tuple, kwargs: dict) -> tuple:
                with enable_grad():
                    tensors: list = []
                    flatten(self.compiled.fn(*args, **kwargs), tensors)
                    wanted = [t for t, need in zip(tensors, self.trace.needs_grad) if need]
                    # hooks of the leaves are for the pass that asks: it may have more gradients to add
                    roots = [wanted[i] for i in present]
                    return tuple(engine.run(roots, seeds, False, False, self.leaves, leaf_hooks=False))

            pullback = self.trace.backward[tuple(present)] = type(self.compiled)(pull, keeps="state")
        after = [(array, array.copy()) for array, _ in self.before]
        ahead = [(stream, stream.get_state()) for stream, _ in self.streams]
        for array, value in self.before:
            array[...] = value
        for stream, state in self.streams:
            stream.set_state(state)
        try:
            return pullback(tuple(gs[i].detach() for i in present), self.args, self.kwargs)
        finally:
            for array, value in after:
                array[...] = value
            for stream, state in ahead:
                stream.set_state(state)


def _tensors(x: Any) -> list:
    return [t for t in leaves_of(x) if isinstance(t, TensorBase) and not t._requires_grad]


def _copied(x: Any) -> Any:
    return clone(x) if isinstance(x, TensorBase) and not x._requires_grad else x


class _ReplayCall:  # a DifferentiableCall
    attrs: dict[str, Any] = {}
    saves_inputs, saves_outputs = -1, 0

    def __init__(self, op: _Replay):
        self.op = op


def run_with_grad(compiled: Any, trace: Any, args: tuple, kwargs: dict, arrays: list) -> Any:
    """Run `trace` of a CompiledFunction and record it on the tape as one node over the leaves that it captured."""
    # the replay needs the arguments as they are now: lists and dicts of its own, where it changes tensors these too
    args, kwargs = map_structure(_copied if trace.changed else lambda x: x, (args, kwargs))
    leaves = [t for t, _ in trace.graph.states if t._requires_grad and t._node is None]
    replay = _Replay(trace, compiled, args, kwargs, leaves)
    outs = trace.run_arrays(arrays)
    tracked = tuple(o for o, need in zip(outs, trace.needs_grad) if need)
    node = Node(_ReplayCall(replay), tuple(leaves), tracked)
    results, position = [], 0
    for o, need in zip(outs, trace.needs_grad):
        t = wrap(o)
        if need:
            t._requires_grad, t._node, t._index = True, node, position
            position += 1
        results.append(t)
    return fill(trace.structure, results)
