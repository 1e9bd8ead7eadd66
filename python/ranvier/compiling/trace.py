"""One trace of a function: its graph, the program that runs it, and what it takes for granted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..core.context import current_backend, local, versions
from ..core.dtypes import get_default_dtype
from ..core.errors import TraceError
from ..core.held import ModuleState
from ..core.tensor import TensorBase, from_numpy, wrap
from ..core.traced import is_traced
from ..core.tree import Slot, fill, flatten, map_structure
from ..graph.trace import Tracer, tracing
from .guards import Guards
from .watch import Before, Entry, Watch


def _has_tape(t: Any) -> bool:
    """Whether `t` can still be differentiated: backward() uses the tape up."""
    return t._requires_grad and t._node is not None and t._node.inputs is not None


def _options(optimizer: Any, names: set[str]) -> list:
    """The options of an optimizer's groups that code names."""
    return [[group.get(name) for name in sorted(names & group.keys() - {"params"})] for group in optimizer.param_groups]


def _is_input(x: Any) -> bool:
    return isinstance(x, TensorBase) and not x._requires_grad


class Trace:
    """A function on arguments of one signature. It may run while `guards.hold()`."""

    def __init__(
        self, fn: Callable, args: tuple, kwargs: dict, known_grads: tuple, numpy_out: bool, keeps: str, frozen: bool
    ):
        given: list[Any] = []
        map_structure(given.append, (args, kwargs))
        # structures of arguments, and shapes of inputs, are a part of the key
        watch = Watch((fn, *(x for x in given if not isinstance(x, np.ndarray) and not _is_input(x))))
        tracer = Tracer((*watch.leaves.values(), *known_grads), watch.arrays)
        before = Before(watch)
        inputs: list[tuple[Any, Any]] = []  # stand-ins for the arguments, and their values at the start

        def replace(x: Any) -> Any:
            if isinstance(x, (TensorBase, np.ndarray)):
                t: Any = x if isinstance(x, TensorBase) else from_numpy(x)
                if t._requires_grad:
                    return t  # a leaf that collects gradients: captured by reference, see signature.py
                stand_in = tracer.stand_in(t)
                inputs.append((stand_in, stand_in._data))
                return stand_in
            return x

        with tracing(tracer):
            try:
                result = fn(*map_structure(replace, args), **map_structure(replace, kwargs))
                tensors: list[Any] = []
                self.structure = flatten(result, tensors)
                changed = {} if keeps else {i: t for i, (t, start) in enumerate(inputs) if t._data is not start}
                for t in changed.values():
                    if _has_tape(t):
                        raise TraceError(
                            f"an argument of shape {t.shape} is changed in place to a value that requires a gradient; "
                            "compute a new tensor and return it"
                        )
                self.graph, self.grads = tracer.finish([*tensors, *changed.values()])
            except BaseException:
                tracer.restore()
                raise
        watch.add(state.module for state in tracer.modules.values())
        self.changes = before.changes(tracer.modules.values())
        if "grad" in watch.read or "grad" in watch.written:
            for t, _ in tracer.grads_before.values():
                tracer.read_grad(t)
        watch.entries += [
            Entry(t, "_version", version, None, f"a tensor of shape {t.shape}, of which Python reads the values,")
            for t, version in tracer.values_read.values()
        ]
        # an array that is no operand was read by Python
        watch.entries += [entry for entry in watch.ndarrays if id(entry.value) not in tracer.by_array]
        tracer.guard(get_default_dtype)
        for optimizer in watch.optimizers:
            tracer.guard(partial(_options, optimizer, watch.strings))
        self.given = [leaf for leaf, _ in tracer.grad_inputs.values()]  # whose .grad are inputs
        self.behind, self.streams = tracer.behind, list(tracer.streams.values())  # inputs that are no arguments
        self.changed = tuple(changed)  # arguments that are changed in place: their new values are the last outputs
        if keeps == "state":
            self.graph.updates.clear()
        self.needs_grad = [_has_tape(t) for t in tensors]
        self.needs_grad_now = local.grad_enabled and any(self.needs_grad)
        self.backward: dict = {}  # compiled pullbacks, by which outputs have gradients (autograd/replay.py)
        self.captured = [t._data for t, _ in self.graph.states]
        states = [*(t for t, _ in self.graph.states), *(t for t in watch.tensors if not is_traced(t._data))]
        for module in watch.modules.values():
            tracer.modules.setdefault(id(module), ModuleState(module))
        outside = [tracer.grads_before[id(t)] for t in (*self.given, *tracer.present)]
        self.guards = Guards(
            states, tracer.guards, tracer.modules.values(), True, tracer.grad_guards, tracer.updaters,
            watch.entries, watch.written - watch.read, outside, self.grads,
        )  # fmt: skip
        self.updated = [
            t if t._base is None else t._base for t, start in self.graph.states if start in self.graph.updates
        ]
        self.numpy_out = numpy_out
        self.single = type(self.structure) is Slot
        self.grad_enabled = local.grad_enabled
        self.used = 0  # when it was asked for: CompiledFunction counts
        self._caller: Any = None
        try:
            self.graph.check()
            self.graph.frozen = frozen
            self.program = current_backend().compile(self.graph)
            if frozen:
                fixed = [t for t, start in tracer.captured.values() if start not in self.graph.updates]
                self.program.watch([t if t._base is None else t._base for t in fixed])
        finally:
            tracer.restore()
        for _, memory in self.grads:
            if memory is not None:
                memory._base = None
        self.changed_grads = [leaf for _, leaf in tracer.changed_grads]
        self.copied = (*self.changed, *(position for position, _ in tracer.changed_grads))

    def caller(self, arrays: list) -> Any:
        """What runs the trace natively on tensors of these shapes, and gives NotImplemented where that cannot be."""
        if self._caller is None:
            quick = (self.single or self.structure is None) and not (
                self.changed or self.behind or self.needs_grad_now or self.numpy_out
            )
            quick = quick and all(t._node is None for t in self.updated)
            make = getattr(self.program, "trace_call", None) if quick and len(arrays) <= 16 else None
            details = self.grad_enabled, self.guards, self.grads, self.single, self.updated, versions
            call = make and make(arrays, *details)
            self._caller = call.run if call else False
        return self._caller or None

    def run_arrays(self, arrays: list) -> tuple:
        arrays = [*arrays, *[give() for give in self.behind]]
        if self.copied:
            self._check_changed(arrays)
        outs = self.program.run(*arrays)
        if self.copied:
            first = len(outs) - len(self.copied)
            for i, new in zip(self.copied, outs[first:]):
                np.copyto(arrays[i], new)
            for leaf in self.changed_grads:
                leaf.grad._changed()
            outs = outs[:first]
        self._after()
        return outs

    def _after(self) -> None:
        """Note what a run has changed."""
        version = next(versions) if self.updated else 0
        for t in self.updated:
            t._version = version
            if t._node is not None:
                t._node.spoil(t._index, t._data)
        for t, memory in self.grads:
            t.grad = memory

    def _check_changed(self, arrays: list) -> None:
        for i in self.copied:
            what = f"input {i}, shape {arrays[i].shape}, is changed in place by the compiled function, but "
            if not arrays[i].flags.writeable:
                raise TraceError(what + "is read-only")
            others = [a for k, a in enumerate(arrays) if k != i] + self.captured
            for other in others:
                if np.may_share_memory(arrays[i], other):
                    raise TraceError(
                        f"{what}shares memory with another tensor that it reads, shape {other.shape}; pass a copy"
                    )

    def run(self, arrays: list) -> Any:
        outs = self.run_arrays(arrays)
        if self.single:
            return outs[0] if self.numpy_out else wrap(outs[0])
        outputs = list(outs) if self.numpy_out else [wrap(o) for o in outs]
        return fill(self.structure, outputs)

    def loop(self, *steps: Any) -> int:
        """Many runs (CompiledFunction.loop)."""
        if self.given:
            raise TraceError("a step of an epoch uses gradients from outside of it; clear them first, with zero_grad()")
        if self.streams:
            raise TraceError("a step of an epoch draws random numbers of PyTorch's generator, which only Python has")
        done = self.program.loop(*steps)
        self._after()
        return done
