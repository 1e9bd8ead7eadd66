"""The reference: every op as its record defines it, on NumPy. Slow, complete, readable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.dtypes import float32, float64

if TYPE_CHECKING:
    from ..graph.ir import Graph, Value


class ReferenceBackend:
    name = "numpy"
    eager = None

    def __init__(self, in_float64: bool = False):
        self.in_float64 = in_float64

    def run(self, call: Any, arrays: list, specs: list, listed: bool = False) -> tuple:
        if self.in_float64:
            arrays = [a.astype(float64) if a.dtype == float32 else a for a in arrays]
        outs = evaluate(call, arrays)
        return tuple(as_spec(o, shape, dtype) for o, (shape, dtype) in zip(outs, specs))

    def compile(self, graph: Graph) -> Program:
        return Program(graph, self)


def evaluate(call: Any, arrays: list) -> tuple:
    """The outputs of one call by its reference, without NumPy's warnings."""
    with np.errstate(all="ignore"):
        out = call.op.reference(np, *arrays, **call.attrs)
    return tuple(out) if isinstance(out, (tuple, list)) else (out,)


def as_spec(out: Any, shape: tuple, dtype: np.dtype) -> np.ndarray:
    out = np.asarray(out)
    if out.dtype != dtype:
        out = out.astype(dtype)
    return out if out.shape == tuple(shape) else out.reshape(shape)


class Program:
    """A graph, interpreted node by node."""

    def __init__(self, graph: Graph, backend: ReferenceBackend):
        self.graph, self.backend = graph, backend

    def run(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        values: dict[Value, np.ndarray] = dict(zip(self.graph.inputs, arrays))
        values.update((value, tensor._data) for tensor, value in self.graph.states)

        def get(value: Value) -> np.ndarray:
            return value.data if value.kind == "constant" else values[value]

        for node in self.graph.nodes:
            for step in node.body:
                specs = [(v.shape, v.dtype) for v in step.outputs]
                values.update(zip(step.outputs, self.backend.run(step.call, [get(v) for v in step.inputs], specs)))
        outputs = tuple(np.array(get(v)) for v in self.graph.outputs)
        new = [(old, np.array(get(value))) for old, value in self.graph.updates.items()]
        for old, value in new:
            np.copyto(old.data, value)
        return outputs

    def watch(self, tensors: list) -> None:
        """Nothing is kept from run to run."""

    def renew(self) -> None:
        """Nothing is kept from run to run."""

    def loop(self, data: list, index: np.ndarray, batch: int, begin: int, end: int, totals: np.ndarray,
             every: int = 0) -> int:  # fmt: skip
        """Many runs, on batches gathered from `data` (CompiledFunction.loop)."""
        return run_loop(self.run, data, index, batch, begin, end, totals, every)


def run_loop(run: Callable, data: list, index: np.ndarray, batch: int, begin: int, end: int, totals: np.ndarray,
             every: int) -> int:  # fmt: skip
    """What a native plan's loop does, step by step."""
    for step in range(begin, end):
        rows = index[step * batch : (step + 1) * batch]
        outs = run(*(a[rows] for a in data))
        line = totals[step // every] if every else totals
        line += [float(o) for o in outs]
    return end - begin
