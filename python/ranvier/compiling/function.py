"""Compiled functions: one trace for each signature, as long as it holds."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import numpy as np

from ..autograd.replay import run_with_grad
from ..core.context import local
from ..core.errors import TraceError
from ..core.tensor import TensorBase, from_numpy
from ..core.tree import leaves_of
from .signature import signature
from .trace import Trace

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")

_MANY = 8  # traces for one key that are worth a word

_now = itertools.count(1).__next__  # orders the traces by their last use


class CompiledFunction(Generic[P, R]):
    """What rv.compile returns: calls run a compiled trace, made once per signature of the arguments.

    keeps: "arguments": runs do not change them, whatever the function does; "state": nor parameters, statistics and
    random states. frozen: see `compile`.
    """

    max_traces = 64

    def __init__(self, fn: Callable[P, R], keeps: str = "", frozen: bool = False):
        self.__name__ = getattr(fn, "__name__", type(fn).__name__)
        self.keeps, self.frozen = keeps, frozen
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self._traces: dict[tuple, list[Trace]] = {}
        self._grads: dict[int, Any] = {}  # tensors whose .grad some trace sets
        self._caller: Any = None  # the last trace that ran, as a native call

    def __reduce__(self) -> tuple:  # copies and files hold no traces
        return CompiledFunction, (self.fn, self.keeps, self.frozen)

    @overload
    def __get__(self, instance: None, owner: Any = None) -> CompiledFunction[P, R]: ...
    @overload
    def __get__(
        self: CompiledFunction[Concatenate[S, Q], R], instance: S, owner: Any = None
    ) -> CompiledFunction[Q, R]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = functools.partial(self, instance)
        if self.frozen:
            bound.renew = self.renew  # type: ignore[attr-defined]
        return bound

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        caller = self._caller
        if caller is not None and not kwargs:
            result = caller(*args)
            if result is not NotImplemented:
                return result
        if local.tracer is not None:  # inside of another trace: become part of it
            return self.fn(*args, **kwargs)
        arrays: list = []
        trace = self.find(args, kwargs, self.frozen, arrays)
        if trace.needs_grad_now:
            return run_with_grad(self, trace, args, kwargs, arrays)
        result = trace.run(arrays)
        if not kwargs and len(arrays) == len(args) and all(isinstance(x, TensorBase) for x in args):
            self._caller = trace.caller(arrays)
        if trace.changed:
            given = [x for x in leaves_of((args, kwargs)) if isinstance(x, np.ndarray) or not x._requires_grad]
            for i in trace.changed:
                if isinstance(given[i], TensorBase):
                    given[i]._changed()
        return result

    def find(self, args: tuple, kwargs: dict, frozen: bool, arrays: list) -> Trace:
        """The trace for these arguments, of which it takes the arrays that go to `arrays`."""
        key = signature(self.__name__, args, kwargs, frozen, arrays)
        traces = self._traces.get(key, [])
        for trace in traces:
            if trace.guards.hold():
                if trace is not traces[0]:  # first next time: those that do not hold look at all that they depend on
                    self._traces[key] = [trace, *(other for other in traces if other is not trace)]
                break
        else:
            trace = self._add(key, args, kwargs, frozen)
        trace.used = _now()
        return trace

    def _add(self, key: tuple, args: tuple, kwargs: dict, frozen: bool) -> Trace:
        leaves = leaves_of((args, kwargs))
        numpy_out = bool(leaves) and not any(isinstance(x, TensorBase) for x in leaves)
        trace = self._make(args, kwargs, numpy_out, frozen)
        for t, _ in trace.grads:
            self._grads[id(t)] = t
        known = [(t.used, key) for key, traces in list(self._traces.items()) for t in traces]
        if len(known) >= self.max_traces:
            used, oldest = min(known, key=lambda entry: entry[0])
            rest = [t for t in self._traces.pop(oldest, ()) if t.used != used]
            if rest:
                self._traces[oldest] = rest
        others = self._traces.setdefault(key, [])
        others.append(trace)
        if len(others) == _MANY:
            self._warn(others[-2])
        return trace

    def _warn(self, before: Trace) -> None:
        """Say what makes traces stale that are made again and again."""
        for entry in before.guards.entries:
            if not entry.holds():
                warnings.warn(
                    f"{self.__name__} has been traced {_MANY} times for arguments of one kind, because {entry.name} changes "
                    "between its calls; pass that as an argument, as a tensor",
                    stacklevel=5,
                )
                return

    def _make(self, args: tuple, kwargs: dict, numpy_out: bool, frozen: bool) -> Trace:
        """A new trace. One that has changed what it depends on is made once more: then it has to find all in place."""
        changes = []
        for _ in range(2):
            trace = Trace(self.fn, args, kwargs, tuple(self._grads.values()), numpy_out, self.keeps, frozen)
            if not trace.changes:
                return trace
            changes += trace.changes
        for change in reversed(changes):
            change.put_back()
        what, instead, _ = trace.changes[0]
        raise TraceError(
            f"{self.__name__}: each call changes {what}, but Python inside of a compiled function runs at the first call "
            f"only; {instead}"
        )

    def renew(self) -> None:
        """Have the next call read all tensors again: where `frozen`, after they were written through NumPy."""
        for trace in [trace for traces in list(self._traces.values()) for trace in list(traces)]:
            trace.program.renew()

    def traced(self, *args: P.args, **kwargs: P.kwargs) -> Trace:
        """The trace for these arguments, without running it."""
        return self.find(args, kwargs, self.frozen, [])

    def loop(self, data: tuple[np.ndarray, ...], index: np.ndarray, batch: int, begin: int, end: int, totals: np.ndarray,
             every: int = 0, frozen: bool = True) -> int:  # fmt: skip
        """Run steps begin..end-1 of an epoch: step s on rows index[s*batch : (s+1)*batch] of each array in `data`.

        Adds each (scalar) output to `totals`, or with `every` to totals[s // every]; returns the number of steps done.
        frozen: nobody changes meanwhile what the steps do not.
        """
        trace = self.find(tuple([from_numpy(a[:batch]) for a in data]), {}, frozen, [])
        return trace.loop(data, index, batch, begin, end, totals, every)
