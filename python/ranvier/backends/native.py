"""The native CPU backend: single ops and whole graphs run as native plans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import _native
from ..autograd.pullback import pull
from ..core.dtypes import CODE, DTYPES
from ..core.errors import BackendError, ShapeError
from ..core.recent import Recent
from ..graph.ir import Graph
from ..graph.lower import Lowering, encode
from ..graph.passes import optimize
from ..ops import OPS
from ..ops.dispatch import connect
from ..tensor import Tensor
from .reference import as_spec, evaluate, run_loop


def _check_tables() -> dict[str, int]:
    """Row numbers of the elementwise ops; the native and the Python op tables must hold the same ops."""
    native = _native.op_table()
    rows = [name for name, (kind, *_) in native.items() if kind != "KERNEL"]
    kernels = native.keys() - set(rows)
    elementwise = {op.name for op in OPS.values() if op.kind == "elementwise"}
    wanted = {op.kernel for op in OPS.values() if op.kind not in ("elementwise", "view", "host")}
    problems = []
    for what, here, there in (("elementwise", elementwise, set(rows)), ("kernel", wanted, kernels - {"tile"})):
        if here - there:
            problems.append(f"{what} ops without a row in csrc/core/*.def: {sorted(here - there)}")
        if there - here:
            problems.append(f"{what} rows in csrc/core/*.def without an Op record: {sorted(there - here)}")
    for op in OPS.values():
        if op.kind in ("kernel", "optimizer") and op.kernel in native and op.encode is None:
            missing = native[op.kernel][1].keys() - op.defaults.keys()
            if missing:
                problems.append(f"attributes of the kernel that the op {op.name!r} lacks: {sorted(missing)}")
    if list(DTYPES) != _native.dtype_table():
        problems.append(f"ranvier/core/dtypes.py has {list(DTYPES)}, csrc/core/dtypes.def {_native.dtype_table()}")
    if problems:
        raise BackendError("; ".join(problems))
    return {name: i for i, name in enumerate(rows)}


_MAX_AXES = 8  # kMaxDims in csrc/core/view.h


def _check_axes(name: str, shapes: Iterable[tuple]) -> None:
    for shape in shapes:
        if len(shape) > _MAX_AXES:
            raise ShapeError(
                f"{name}: shape {tuple(shape)} has {len(shape)} axes; native kernels take up to {_MAX_AXES} "
                "(rv.backend('numpy') takes more)"
            )


class NativeBackend:
    name = "native"
    pull = staticmethod(pull)

    def __init__(self) -> None:
        self.eager = _native.eager
        connect(_native, Tensor)
        self.rows = _check_tables()
        self._many = Recent(64)  # calls of more arrays than `eager` takes, by signature

    def run_into(self, call: Any, arrays: list) -> bool:
        """One op with its result in the memory of the first array; False, and nothing done, where that cannot be."""
        number = ~call.id  # in place the same call is another one
        if self.eager(number, *arrays) is None:
            specs = [call.op.infer(*arrays, **call.attrs)]
            plain = all(a.flags.aligned and a.dtype.isnative and a.ndim <= _MAX_AXES for a in arrays)
            if not plain or call.op.aliases(len(arrays), call.attrs).get(0) != 0:
                return False
            graph = Graph()
            node = graph.add(call, [graph.input(a.shape, a.dtype) for a in arrays], specs)
            kernel, _, _, attrs = encode(node, self.rows)
            _native.eager_add(number, arrays, kernel, [0], attrs, call.op.name)
        return True

    def run(self, call: Any, arrays: list, specs: list, listed: bool = False) -> tuple:
        """One op: a plan of one instruction, kept for calls of one signature. `listed`: also one result
        comes in a tuple from `eager`."""
        op = call.op
        if op.kind == "view":
            (view,) = evaluate(call, arrays)
            _native.eager_add_view(call.id, arrays[0], view)
            return (view,)
        if op.kind == "host":
            return tuple(as_spec(out, *spec) for out, spec in zip(evaluate(call, arrays), specs))
        _check_axes(op.name, (*(a.shape for a in arrays), *(shape for shape, _ in specs)))
        arrays = [a if a.flags.aligned and a.dtype.isnative else np.array(a) for a in arrays]
        graph = Graph()
        inputs = [graph.input(a.shape, a.dtype) for a in arrays]
        node = graph.add(call, inputs, specs)
        if max(len(arrays), len(specs)) > _native.max_eager_arrays:
            graph.outputs = node.outputs
            return self._run_many((call, *((a.shape, a.dtype) for a in arrays)), graph, arrays)
        kernel, _, _, attrs = encode(node, self.rows)
        outs = [(CODE[dtype], tuple(shape)) for shape, dtype in specs]
        out = _native.eager_add(call.id, arrays, kernel, outs, attrs, op.label(call.attrs), listed)
        return out if type(out) is tuple else (out,)

    def _run_many(self, key: tuple, graph: Graph, arrays: list) -> tuple:
        program = self._many[key]
        if program is None:
            program = self._many[key] = Program(graph, self.rows)
        return program.run(*arrays)

    def compile(self, graph: Graph) -> Program:
        for node in graph.nodes:
            if node.call.op.kind != "view":
                _check_axes(node.name, (v.shape for v in (*node.inputs, *node.outputs)))
        _check_axes("compile", (v.shape for v in graph.outputs))
        return Program(optimize(graph), self.rows)


class Program:
    """A graph as a native plan.

    watch: tensors whose changes, by Ranvier, make the next run compute fixed values anew; renew: have it do so.
    """

    def __init__(self, graph: Graph, rows: dict[str, int]):
        self.graph = graph
        lowering = Lowering(graph, rows)
        self.plan = _native.Plan(*lowering.plan())
        self.watch, self.renew = self.plan.watch, self.plan.renew
        self.nodes = lowering.nodes  # of each row of `plan.timings`
        self.blocks = lowering.blocks  # what lies in the arena, and from which of these rows to which
        self._refreshes = lowering.refreshes
        self._changed = {id(old.data) for old in graph.updates}
        if not self._refreshes:
            self.run = self.plan.run  # type: ignore[method-assign]

    def run(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run once; `arrays` are the graph's inputs."""
        for twin, array in self._refreshes:
            np.copyto(twin, array)
        outs = self.plan.run(*arrays)
        for twin, array in self._refreshes:
            if id(array) in self._changed:
                np.copyto(array, twin)
        return outs

    def trace_call(self, *details: Any) -> Any:
        """The native caller of a compiled function (compiling/trace.py), or None."""
        return None if self._refreshes else _native.TraceCall(self.plan, *details)

    def loop(self, data: list, index: np.ndarray, batch: int, begin: int, end: int, totals: np.ndarray,
             every: int = 0) -> int:  # fmt: skip
        """Many runs, on batches gathered from `data` (CompiledFunction.loop), without Python in between."""
        if self._refreshes:
            self.renew()
            return run_loop(self.run, data, index, batch, begin, end, totals, every)
        return self.plan.loop(data, index, batch, begin, end, totals, every)
