"""rv.compile: trace a function once per signature, then run it as one native call."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import numpy as np

from ..core.context import Epoch, local, versions
from ..core.dtypes import CODE
from ..core.errors import DTypeError, TraceError
from ..core.tape import check_view, stale
from ..graph.trace import Tracer, tracing
from ..ops.dispatch import _wrap, current_backend
from ..tensor import Tensor

if TYPE_CHECKING:
    from ..nn.module import Module

M = TypeVar("M", bound="Module")
P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


def placeholder(tracer: Tracer, t: Any) -> Any:
    """A traced stand-in for the argument `t`."""
    return _wrap(tracer.graph.input(t.shape, t.dtype))


def flatten_outputs(result: Any, tensors: list) -> Any:
    """The structure of `result` with each tensor replaced by a _Slot; the tensors go to `tensors`."""
    if isinstance(result, Tensor):
        tensors.append(result)
        return _Slot(len(tensors) - 1)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*(flatten_outputs(r, tensors) for r in result))
    if isinstance(result, (tuple, list)):
        return type(result)(flatten_outputs(r, tensors) for r in result)
    if isinstance(result, dict):
        return {k: flatten_outputs(v, tensors) for k, v in result.items()}
    return result


def _has_tape(t: Any) -> bool:
    """Whether `t` can still be differentiated: backward() uses the tape up."""
    return t._requires_grad and t._node is not None and t._node.inputs is not None


class _Slot(int):
    """Stands for output number `self`."""


def _fill(structure: Any, outputs: list) -> Any:
    if isinstance(structure, _Slot):
        return outputs[structure]
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(_fill(s, outputs) for s in structure))
    if isinstance(structure, (tuple, list)):
        return type(structure)(_fill(s, outputs) for s in structure)
    if isinstance(structure, dict):
        return {k: _fill(v, outputs) for k, v in structure.items()}
    return structure


class Compiled:
    """One trace of a function: its graph and the program that runs it."""

    def __init__(
        self, fn: Callable, args: tuple, kwargs: dict, known_grads: tuple, numpy_out: bool, keeps: str, frozen: bool
    ):
        tracer = Tracer(known_grads)
        inputs: list[tuple[Any, Any]] = []  # stand-ins for the arguments, and their values at the start

        def replace(x: Any) -> Any:
            if isinstance(x, (Tensor, np.ndarray)):
                t = x if isinstance(x, Tensor) else Tensor(x)
                if t._requires_grad:
                    return t  # a leaf that collects gradients: captured by reference, see _Signature
                stand_in = placeholder(tracer, t)
                inputs.append((stand_in, stand_in._data))
                return stand_in
            return x

        with tracing(tracer):
            try:
                result = fn(*map_structure(replace, args), **map_structure(replace, kwargs))
                tensors: list[Any] = []
                self.structure = flatten_outputs(result, tensors)
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
        self.changed = tuple(changed)  # arguments that are changed in place: their new values are the last outputs
        if keeps == "state":
            self.graph.updates.clear()
        self.needs_grad = [_has_tape(t) for t in tensors]
        self.needs_grad_now = local.grad_enabled and any(self.needs_grad)
        self.backward: dict | None = None  # compiled pullbacks, by which outputs have gradients (graph/grad.py)
        self.updaters, self.guards, self.grad_guards = tracer.updaters, tracer.guards, tracer.grad_guards
        self.modules = [(m, m.training, m._edits) for m in tracer.modules.values()]
        self.arrays = [(t, t._data) for t, _ in self.graph.states]
        self.leaves = [(t, _history(t)) for t, _ in self.graph.states]
        self.updated = [
            t if t._base is None else t._base for t, start in self.graph.states if start in self.graph.updates
        ]
        self.numpy_out = numpy_out
        self.single = type(self.structure) is _Slot
        self.grad_enabled = local.grad_enabled
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
        self.epoch = Epoch.value
        for _, memory in self.grads:
            memory._base = None

    def holds(self) -> bool:
        """Whether the trace is still what the function would do; brings numbers that Python has changed up to date."""
        for t, grad in self.grad_guards:
            if t.grad is not grad:
                return False
        return self.epoch == Epoch.value or self._look()

    def _look(self) -> bool:
        epoch = Epoch.value
        if any(current() != value for current, value in self.guards):
            return False
        if any(m.training != mode for m, mode, _ in self.modules) or any(
            _history(t) != known for t, known in self.leaves
        ):
            return False
        if not self.intact():
            return False
        for refresh in self.updaters:
            refresh()
        self.epoch = epoch
        return True

    def intact(self) -> bool:
        """Whether modules consist of what they did, and tensors have the arrays that the plan is bound to."""
        return all(m._edits == n for m, _, n in self.modules) and all(t._data is a for t, a in self.arrays)

    def caller(self, arrays: list) -> Any:
        """What runs the trace natively on tensors of these shapes, and gives NotImplemented where `holds` has to look."""
        if self._caller is None:
            quick = (self.single or self.structure is None) and not (
                self.changed or self.needs_grad_now or self.numpy_out
            )
            quick = quick and all(t._node is None for t in self.updated)
            make = getattr(self.program, "trace_call", None) if quick and len(arrays) <= 16 else None
            details = self.grad_enabled, self.grad_guards, self.grads, self.single, self.updated, versions
            self._caller = make and make(arrays, *details) or False
        if self._caller is False:
            return None
        self._caller.epoch = self.epoch
        return self._caller.run

    def run_arrays(self, arrays: list) -> tuple:
        if self.changed:
            self._check_changed(arrays)
        outs = self.program.run(*arrays)
        if self.changed:
            first = len(outs) - len(self.changed)
            for i, new in zip(self.changed, outs[first:]):
                np.copyto(arrays[i], new)
            outs = outs[:first]
        self._after()
        return outs

    def _after(self) -> None:
        """Note what a run has changed."""
        version = next(versions)
        for t in self.updated:
            t._version = version
            if t._node is not None:
                t._node.spoil()
        for t, memory in self.grads:
            t.grad = memory

    def _check_changed(self, arrays: list) -> None:
        for i in self.changed:
            what = f"argument {i}, shape {arrays[i].shape}, is changed in place by the compiled function, but "
            if not arrays[i].flags.writeable:
                raise TraceError(what + "is read-only")
            others = [a for k, a in enumerate(arrays) if k != i] + [a for _, a in self.arrays]
            for other in others:
                if np.may_share_memory(arrays[i], other):
                    raise TraceError(
                        f"{what}shares memory with another tensor that it reads, shape {other.shape}; pass a copy"
                    )

    def run(self, arrays: list) -> Any:
        outs = self.run_arrays(arrays)
        if self.single:
            return outs[0] if self.numpy_out else _wrap(outs[0])
        outputs = list(outs) if self.numpy_out else [_wrap(o) for o in outs]
        return _fill(self.structure, outputs)

    def loop(self, data: list, index: np.ndarray, batch: int, begin: int, end: int, totals: np.ndarray,
             every: int = 0) -> int:  # fmt: skip
        """Run steps begin..end-1 of an epoch: step s on rows index[s*batch : (s+1)*batch] of each array in `data`.

        Call `holds()` before. Adds each (scalar) output to `totals`, or with `every` to totals[s // every]; returns the
        number of steps done.
        """
        done = self.program.loop(data, index, batch, begin, end, totals, every)
        self._after()
        return done


def _history(t: Any) -> tuple[bool, bool, bool]:
    """What a trace takes for granted of the history of a tensor that it has captured."""
    return t._requires_grad, t._node is None, stale(t)


def map_structure(f: Callable, x: Any) -> Any:
    """`f` applied to every leaf of nested tuples, lists and dicts."""
    if isinstance(x, tuple):
        items = [map_structure(f, i) for i in x]
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)
    if isinstance(x, list):
        return [map_structure(f, i) for i in x]
    if isinstance(x, dict):
        return {k: map_structure(f, v) for k, v in x.items()}
    return f(x)


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
        self._traces: dict[tuple, list[Compiled]] = {}
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
        key = self._key(args, kwargs, arrays)
        traces = self._traces.get(key, ())
        for position, trace in enumerate(traces):
            if trace.holds():
                if position:  # first next time: those that do not hold look at all that they depend on
                    self._traces[key] = [trace, *(other for other in traces if other is not trace)]
                break
        else:
            trace = self._add(key, args, kwargs)
        if trace.needs_grad_now:
            from ..autograd.replay import run_with_grad

            return run_with_grad(self.fn, trace, args, kwargs, arrays)
        result = trace.run(arrays)
        if not kwargs and len(arrays) == len(args) and all(isinstance(x, Tensor) for x in args):
            self._caller = trace.caller(arrays)
        if trace.changed:
            given = [x for x in leaves_of((args, kwargs)) if isinstance(x, np.ndarray) or not x._requires_grad]
            for i in trace.changed:
                if isinstance(given[i], Tensor):
                    given[i]._changed()
        return result

    def _key(self, args: tuple, kwargs: dict, arrays: list) -> tuple:
        parts: list = [local.grad_enabled, local.backend or current_backend()]
        for x in args:
            if isinstance(x, Tensor) and not x._requires_grad and x._base is None:
                data = x._data
                parts.append(data.shape)
                parts.append(data.dtype)
                arrays.append(data)
            else:
                self._key_of(x, parts, arrays)
        if kwargs:
            for name, x in kwargs.items():
                parts.append(name)
                self._key_of(x, parts, arrays)
        return tuple(parts)

    def _key_of(self, x: Any, parts: list, arrays: list) -> None:
        if isinstance(x, Tensor):
            if local.grad_enabled:
                check_view(x)
            if x._requires_grad:
                if x._node is not None:
                    raise TraceError(
                        f"{self.__name__}: an argument of shape {x.shape} was computed from tensors that require a "
                        "gradient; compile the whole computation, or pass x.detach()"
                    )
                parts.append((id(x), "leaf"))
                return
            parts += (x.shape, x.dtype)
            arrays.append(x._data)
        elif isinstance(x, np.ndarray):
            if x.dtype not in CODE:
                raise DTypeError(f"{self.__name__}: dtype {x.dtype} must be one of {', '.join(d.name for d in CODE)}")
            parts += ("ndarray", x.shape, x.dtype)
            arrays.append(x)
        elif isinstance(x, (tuple, list)):
            parts += (type(x), len(x))
            for item in x:
                self._key_of(item, parts, arrays)
        elif isinstance(x, dict):
            parts += (dict, tuple(x))
            for item in x.values():
                self._key_of(item, parts, arrays)
        else:
            try:
                hash(x)
            except TypeError:
                raise TraceError(
                    f"{self.__name__}: argument of type {type(x).__name__} must be a tensor, an array, a hashable "
                    "value, or a tuple, list or dict of them"
                ) from None
            parts += (type(x), x)

    def _add(self, key: tuple, args: tuple, kwargs: dict) -> Compiled:
        numpy_out = "ndarray" in key and not any(map(_is_tensor, args)) and not any(map(_is_tensor, kwargs.values()))
        traces = self._traces.setdefault(key, [])
        trace = Compiled(self.fn, args, kwargs, tuple(self._grads.values()), numpy_out, self.keeps, self.frozen)
        for t, _ in trace.grads:
            self._grads[id(t)] = t
        if sum(map(len, self._traces.values())) >= self.max_traces:
            self._traces.clear()
            traces = self._traces.setdefault(key, [])
        traces.append(trace)
        return trace

    def renew(self) -> None:
        """Have the next call read all tensors again: where `frozen`, after they were written through NumPy."""
        for trace in [trace for traces in list(self._traces.values()) for trace in list(traces)]:
            trace.program.renew()

    def traced(self, *args: P.args, **kwargs: P.kwargs) -> Compiled:
        """The compiled trace for these arguments, without running it."""
        arrays: list = []
        key = self._key(args, kwargs, arrays)
        for trace in self._traces.get(key, ()):
            if trace.holds():
                return trace
        return self._add(key, args, kwargs)


def leaves_of(x: Any) -> list:
    """The tensors and arrays in nested tuples, lists and dicts."""
    found: list = []
    map_structure(lambda leaf: found.append(leaf) if isinstance(leaf, (Tensor, np.ndarray)) else None, x)
    return found


def _is_tensor(x: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in leaves_of(x))


@overload
def compile(fn: M, *, frozen: bool = False) -> M: ...  # type: ignore[overload-overlap]  # modules are callable too
@overload
def compile(fn: Callable[P, R], *, frozen: bool = False) -> CompiledFunction[P, R]: ...
@overload
def compile(*, frozen: bool = False) -> Callable[[Callable[P, R]], CompiledFunction[P, R]]: ...
def compile(fn: Any = None, *, frozen: bool = False) -> Any:
    """Make `fn` run as one native call: traced once per signature of shapes and dtypes, optimised, planned.

    Whatever `fn` does to tensors is part of it: forward pass, backward(), optimizer steps. Parameters and states are used
    by reference and updated in place; learning rates may change between calls. Python itself runs at the first call only:
    values cannot steer it (`if loss > 1` raises TraceError), and prints happen once.

    frozen: what follows from captured tensors alone, those that `fn` does not change, is computed once, and weights of
    matrix products are copied once into the order in which the kernels read them: for serving. It is done again when an
    op on one of these tensors or on a view of it, an optimizer or load_state_dict has changed it. Writes to its memory on
    other ways, through NumPy or another tensor made of the same array, go unnoticed: call the compiled function's
    `renew()` after them. For each signature it takes as much memory again as the weights.

    >>> import ranvier as rv
    >>> @rv.compile
    ... def f(x):
    ...     return (x * 2 + 1).sum()
    >>> f(rv.ones(3)).item()
    9.0
    """
    if fn is None:
        return functools.partial(compile, frozen=frozen)
    if isinstance(fn, CompiledFunction):
        fn = fn.fn
    elif isinstance(fn, CompiledModule):
        fn = fn._module
    nn = sys.modules.get("ranvier.nn")  # a module can only come from there
    if nn is not None and isinstance(fn, nn.Module):
        return CompiledModule(fn, frozen)
    if not callable(fn):
        raise DTypeError(f"compile: {type(fn).__name__} is not callable")
    return CompiledFunction(fn, frozen=frozen)


class CompiledModule:
    """A module whose calls are compiled; everything else is the module's own."""

    def __init__(self, module: Any, frozen: bool = False):
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_function", CompiledFunction(module.__call__, frozen=frozen))
        if frozen:
            object.__setattr__(self, "renew", self._function.renew)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module = object.__getattribute__(self, "_module")  # an AttributeError on a copy that is being made
        value = getattr(module, name)
        if getattr(value, "__self__", None) is not module or not callable(value):
            return value

        @functools.wraps(value)
        def method(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            return self if result is module else result  # .eval(), .to() and the like

        return method

    def __reduce__(self) -> tuple:
        return CompiledModule, (self._module, self._function.frozen)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __repr__(self) -> str:
        return f"compiled({self._module!r})"
