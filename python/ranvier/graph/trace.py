"""Tracing: run a Python function once on tensors without values, and keep the ops that it applied."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.context import local
from ..core.errors import TraceError
from ..core.held import ModuleState
from ..core.memory import aligned_full
from ..core.tape import check_view
from ..core.tensor import as_tensor, is_constant, wrap
from ..core.traced import is_traced
from ..core.tree import flatten
from .ir import Graph, Value

_kept: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()  # memory of gradients, by id


class Tracer:
    """Records what happens on its thread into a Graph; captures the concrete tensors that it meets by reference."""

    def __init__(self, leaves: Iterable[Any] = (), named: Container[int] = ()) -> None:
        """leaves: tensors whose .grad the function may use or set. named: ids of arrays that it knows on other ways."""
        self.graph = Graph()
        self.layers: list[str] = []  # the layers being called, outermost first
        self.phase = "forward"
        self.paths: dict[int, str] = {}  # of modules, below the outermost one
        self.captured: dict[int, tuple[Any, Value]] = {}  # id -> tensor, value at the start
        self.views: dict[int, tuple[Any, Value]] = {}  # id -> view made here, what its base was then
        self.by_array: dict[int, int] = {}  # id of a captured array -> position in the graph's states
        self.updaters: list[Callable] = []  # refresh host-side numbers before each run
        self.guards: list[tuple[Callable, Any]] = []  # (f, value): the trace holds while f() == value
        self.grad_guards: list[tuple[Any, Any]] = []  # (t, value): the trace holds for t.grad is value
        self.modules: dict[int, ModuleState] = {}  # modules met, and all below them, as they were then
        self.random: dict[int, list] = {}  # id of a generator state -> [state, blocks taken so far]
        self.behind: list[Callable[[], np.ndarray]] = []  # give the inputs behind the arguments, before each run
        self.streams: dict[int, Any] = {}  # that those are drawn from
        self.values_read: dict[int, tuple[Any, int]] = {}  # tensors whose values Python has seen, and their versions
        self.grads_before: dict[int, tuple[Any, Any]] = {}  # id of a leaf -> itself, its .grad at the start
        self.given: dict[int, Any] = {}  # id of the array of a gradient from outside -> the leaf that has it
        self.grad_inputs: dict[int, tuple[Any, Value]] = {}  # those that are inputs of the graph
        self.present: list[Any] = []  # leaves that must have such a gradient
        self.cleared: set[int] = set()  # tensors whose .grad was cleared inside of the trace
        self.touched: set[int] = set()  # tensors whose .grad the trace has set
        # positions of those inputs that get new values, which are the last outputs, and their leaves
        self.changed_grads: list[tuple[int, Any]] = []
        self.named = named
        self.note_grads(leaves)

    def stand_in(self, like: Any) -> Any:
        """A traced tensor in place of the argument `like`."""
        return wrap(self.graph.input(like.shape, like.dtype))

    # -------------------------------------------------------- what Call.apply calls

    def record(self, call: Any, inputs: tuple) -> Any:
        if call.op.kind == "host":
            raise TraceError(
                f"{call.op.name}: runs outside of plans, so a compiled function cannot call it; call it before or after"
            )
        setting = call.op.setting
        if setting is not None and all(current is not setting for current, _ in self.guards):
            self.guard(setting)
        values = [self.value_of(t) for t in inputs]
        specs = self.graph.infer(call, values)
        several = type(specs) is list
        layer = self.layers[-1] if self.layers else ""
        node = self.graph.add(call, values, specs if several else [specs], layer, self.phase)
        return tuple(node.outputs) if several else node.outputs[0]

    def value_of(self, t: Any) -> Value:
        if is_traced(t._data):
            if t._data.graph is not self.graph:
                raise TraceError(
                    f"a tensor of shape {t.shape} from an earlier trace is used: return tensors from a compiled "
                    "function instead of keeping them in variables outside of it"
                )
            if t._base is not None and t._version != t._base._version:
                t._follow_base()
            return t._data
        if is_constant(t):
            return self.graph.constant(t._data)
        if local.grad_enabled:
            check_view(t)
            if t._node is not None:
                raise TraceError(
                    f"a tensor of shape {t.shape} from outside of a compiled function was computed from tensors that "
                    "require a gradient, which would not reach them; compute it inside, or use its detach()"
                )
        entry = self.captured.get(id(t))
        if entry is None:
            entry = self.captured[id(t)] = (t, self._state_of(t))
            self.note_grads((t,))
        return self.graph.updates.get(entry[1], entry[1])

    def read_value(self, t: Any, what: str) -> None:
        """Python has looked at the values of a tensor from outside: the trace holds until they are changed in place."""
        entry = self.captured.get(id(t))
        if entry is not None and entry[1] in self.graph.updates:
            raise TraceError(
                f"{what} needs the value of a tensor of shape {t.shape} that the compiled function has changed, which is "
                "not known yet: return the tensor and look at it outside, or use where() instead of a branch"
            )
        whole = t if t._base is None else t._base
        self.values_read[id(whole)] = whole, whole._version

    def note_view(self, view: Any, of: Any) -> None:
        """`view` is made of `of`, its base or another view."""
        if id(of) in self.views:
            self.views[id(view)] = view, self.views[id(of)][1]
        elif of._base is None:
            self.views[id(view)] = view, self.value_of(of)

    def _state_of(self, t: Any) -> Value:
        """What a tensor met for the first time is at the start; a detached twin, over the very same memory, is the same."""
        leaf = self.given.get(id(t._data))
        if leaf is not None:
            if id(t._data) not in self.grad_inputs:
                self.grad_inputs[id(t._data)] = leaf, self.graph.input(t.shape, t.dtype)
                self.behind.append(lambda: leaf.grad._data)
            return self.grad_inputs[id(t._data)][1]
        states = self.graph.states
        position = self.by_array.setdefault(id(t._data), len(states))
        if position == len(states):
            return self.graph.state(t)
        other, start = states[position]
        if t._requires_grad and not other._requires_grad:  # the twin that collects gradients stands for both
            states[position] = (t, start)
        return start

    def assign(self, t: Any, new: Any) -> None:
        """t takes the value of `new`: by rebinding where t is traced, by an update of the state where it is captured."""
        value = self.value_of(new)
        if is_traced(t._data):
            t._data = value
            return
        self.value_of(t)  # captures it
        if not t._data.flags.writeable:
            raise TraceError(f"in-place change of a read-only array of shape {t.shape}")
        self.graph.updates[self.captured[id(t)][1]] = value

    # -------------------------------------------------------- what modules, optimizers and generators call

    @contextmanager
    def layer(self, module: Any) -> Iterator[None]:
        """Ops recorded inside belong to `module`; the trace holds while it stays what it is (Guards)."""
        outermost, before = not self.layers, self.phase
        if outermost:
            self.phase = "forward"  # also what the closure of an optimizer's step calls
            for name, m in module.named_modules():
                self.paths[id(m)] = name
        if id(module) not in self.modules:  # its outermost one, or called by one that does not hold it
            for m in module.modules():
                self.modules.setdefault(id(m), ModuleState(m))
        path, kind = self.paths.get(id(module), ""), type(module).__name__
        self.layers.append(f"{path} ({kind})" if path else kind)
        try:
            yield
        finally:
            self.layers.pop()
            self.phase = before

    def host_update(self, refresh: Callable) -> None:
        """Call `refresh()` before the next run after each Epoch: it writes numbers known to Python into captured arrays."""
        refresh()
        self.updaters.append(refresh)

    def guard(self, current: Callable) -> None:
        """The trace holds only while `current()` returns what it returns now; asked again after each Epoch."""
        self.guards.append((current, current()))

    def take_random(self, state: Any, blocks: int) -> Any:
        """The key of the next `blocks` blocks of a generator: its state at the start of a run, and what was taken before."""
        entry = self.random.setdefault(id(state), [state, 0])
        offset = entry[1]
        entry[1] += blocks
        return state + self._constant([0, offset]) if offset else state

    def draw_outside(self, stream: Any, draw: Callable[[], np.ndarray], shape: tuple, dtype: np.dtype) -> Any:
        """An input behind the arguments that `draw` takes from a stream of random numbers before each run."""
        self.behind.append(draw)
        self.streams[id(stream)] = stream
        return wrap(self.graph.input(shape, dtype))

    def _constant(self, integers: list[int]) -> Any:
        return wrap(self.graph.constant(np.array(integers, np.int64)))

    def note_grads(self, leaves: Iterable[Any]) -> None:
        """Know what .grad these tensors have, before it changes. A gradient that a run of another function or a backward
        pass outside has left may be another one at each call: an input. Those in memory of compiled functions stay.
        """
        for t in leaves:
            if id(t) in self.grads_before:
                continue
            self.grads_before[id(t)] = t, t.grad
            data = getattr(t.grad, "_data", None)
            if data is not None and not is_traced(data) and id(data) not in _kept and id(data) not in self.named:
                self.given.setdefault(id(data), t)

    def grads_cleared(self, tensors: Iterable[Any]) -> None:
        """The .grad of these is about to be forgotten."""
        tensors = list(tensors)
        self.note_grads(tensors)
        self.cleared.update(id(t) for t in tensors)

    def read_grad(self, t: Any) -> None:
        """`t.grad` has been looked at: the trace holds while it stays that, unless it was set or cleared inside."""
        self.note_grads((t,))
        if id(t) not in self.touched and id(t) not in self.cleared:
            self._guard_grad(t)

    def touch_grad(self, t: Any) -> None:
        """`t.grad` is about to be set or added to."""
        self.note_grads((t,))
        if id(t) in self.touched:
            return
        self.touched.add(id(t))
        if t.grad is self.grads_before[id(t)][1] and id(t) not in self.cleared:
            self._guard_grad(t)  # else cleared inside: what it was before a call does not matter

    def _guard_grad(self, t: Any) -> None:
        before = self.grads_before[id(t)][1]
        if before is None or id(before._data) not in self.given:
            self.grad_guards.append((t, before))
        else:
            self.present.append(t)

    # -------------------------------------------------------- the end

    def finish(self, outputs: list) -> tuple[Graph, list]:
        """Complete the graph: random states advance, gradients get memory of their own."""
        for state, blocks in self.random.values():
            self.assign(state, state + self._constant([0, blocks]))
        grads = []
        for t, before in self.grads_before.values():
            g = t.grad
            if g is before and not (g is None and id(t) in self.cleared):
                continue
            if g is not None and (is_traced(g._data) or id(g._data) in self.given):
                value = self.value_of(g)
                memory = wrap(aligned_full(g.shape, 0, g.dtype))
                start = self.graph.state(memory)
                self.graph.updates[start] = value
                self.captured[id(memory)] = (memory, start)
                _kept[id(memory._data)] = memory._data
                g = memory
            grads.append((t, g))
        for t, before in self.grads_before.values():  # one that is read where it lies
            if before is not None and id(before) in self.captured and id(before._data) not in self.given:
                self.grad_guards.append((t, before))
        self.graph.outputs = [self.value_of(t) for t in outputs]
        for leaf, start in self.grad_inputs.values():
            new = self.graph.updates.pop(start, None)
            if new is not None:
                self.changed_grads.append((self.graph.inputs.index(start), leaf))
                self.graph.outputs.append(new)
        self._check_overlaps()
        return self.graph, grads

    def _check_overlaps(self) -> None:
        """Refuse changes of captured memory that another captured tensor shows too: the order would be lost."""
        bounds = sorted((*_bounds(t._data), i) for i, (t, _) in enumerate(self.graph.states) if t._data.size)
        reach, last = 0, -1
        for low, high, i in bounds:
            if low < reach:
                (a, start_a), (b, start_b) = self.graph.states[last], self.graph.states[i]
                if (start_a in self.graph.updates or start_b in self.graph.updates) and _overlap(a._data, b._data):
                    raise TraceError(
                        f"two tensors from outside, shapes {a.shape} and {b.shape}, share memory, and the compiled function "
                        "changes one of them; use one of them, and make the other from it inside of the function"
                    )
            if high > reach:
                reach, last = high, i

    def restore(self) -> None:
        """Put back every .grad as it was, after a trace that failed or is being thrown away."""
        for t, before in self.grads_before.values():
            t.grad = before


def _bounds(a: np.ndarray) -> tuple[int, int]:
    """The first byte of an array, and one past its last."""
    reach = [(n - 1) * stride for n, stride in zip(a.shape, a.strides)]
    begin = a.__array_interface__["data"][0]
    return begin + sum(r for r in reach if r < 0), begin + sum(r for r in reach if r > 0) + a.itemsize


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


class tracing:
    """Context manager: ops on this thread are recorded by `tracer`."""

    def __init__(self, tracer: Tracer):
        self.tracer = tracer

    def __enter__(self) -> Tracer:
        if local.tracer is not None:
            raise TraceError("a trace is already under way on this thread")
        self._eager = local.eager
        local.tracer, local.eager = self.tracer, None
        return self.tracer

    def __exit__(self, *exc: object) -> None:
        local.tracer, local.eager = None, self._eager


def trace(fn: Callable, *args: Any) -> Graph:
    """The Graph of `fn(*args)` for tensors or arrays `args`; nothing is computed.

    >>> import ranvier as rv
    >>> print(rv.graph.trace(lambda x: rv.exp(x) * 2, rv.zeros(3)))
    graph(%in0: float32[3])
      %v0: float32[3] = exp(%in0)
      %v1: float32[3] = mul(%v0, 2.0)
      return %v1
    """
    tracer = Tracer()
    with tracing(tracer):
        try:
            inputs = [tracer.stand_in(as_tensor(a)) for a in args]
            result = fn(*inputs)
            tensors: list[Any] = []
            flatten(result, tensors)
            graph, _ = tracer.finish(tensors)
        finally:
            tracer.restore()
    return graph.check()
