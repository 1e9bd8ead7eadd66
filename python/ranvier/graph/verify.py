"""rv.verify: the same function on the reference in float64 and on the backend at hand, compared node by node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends.reference import evaluate
from ..core.context import current_backend
from ..core.dtypes import float32, float64, is_float
from ..core.errors import DTypeError
from ..core.tensor import as_tensor
from .trace import trace


@dataclass
class Deviation:
    """How far one op's result is from the float64 reference, over the whole graph up to it."""

    op: str
    layer: str
    shape: tuple[int, ...]
    absolute: float
    relative: float  # absolute, over the largest magnitude of the reference's result

    def __str__(self) -> str:
        where = f"  [{self.layer}]" if self.layer else ""
        return f"{self.op:>20} {self.shape!s:>20}  abs {self.absolute:.2e}  rel {self.relative:.2e}{where}"


class Report(list):
    """The deviations, in order of execution."""

    @property
    def worst(self) -> float:
        """The largest relative deviation."""
        return max((d.relative for d in self), default=0.0)

    def __str__(self) -> str:
        return "\n".join(map(str, self))


def verify(fn: Callable, *inputs: Any) -> Report:
    """Run `fn(*inputs)` node by node on this thread's backend and on the float64 reference, and report deviations.

    States are read, not changed.

    >>> import ranvier as rv
    >>> report = rv.verify(lambda x: rv.exp(x).sum(), rv.ones(100))
    >>> report.worst < 1e-6
    True
    """
    if not callable(fn):
        raise DTypeError(f"verify: fn={fn!r:.60} of type {type(fn).__name__} must be a function")
    backend = current_backend()
    tensors = [as_tensor(x) for x in inputs]
    graph = trace(fn, *tensors)
    ours: dict[Any, np.ndarray] = {v: t._data for v, t in zip(graph.inputs, tensors)}
    ours.update((v, t._data) for t, v in graph.states)
    exact = {v: a.astype(float64) if a.dtype == float32 else a for v, a in ours.items()}

    def read(values: dict, v: Any, dtype: Any = None) -> np.ndarray:
        a = v.data if v.kind == "constant" else values[v]
        return a.astype(dtype) if dtype is not None and a.dtype == float32 else a

    report = Report()
    for node in graph.nodes:
        specs = [(v.shape, v.dtype) for v in node.outputs]
        outs = backend.run(node.call, [read(ours, v) for v in node.inputs], specs)
        references = evaluate(node.call, [read(exact, v, float64) for v in node.inputs])
        for value, out, reference in zip(node.outputs, outs, references):
            ours[value] = np.asarray(out).reshape(value.shape)
            exact[value] = np.asarray(reference).reshape(value.shape)
            if is_float(value.dtype) and value.size:
                with np.errstate(all="ignore"):
                    difference = np.abs(ours[value] - exact[value])
                    both_nan = np.isnan(ours[value]) & np.isnan(exact[value])
                    difference = difference[~(both_nan | (ours[value] == exact[value]))]
                    absolute = float(difference.max()) if difference.size else 0.0
                    scale = np.abs(exact[value][np.isfinite(exact[value])]).max(initial=0.0)
                relative = absolute / scale if scale else absolute
                report.append(Deviation(node.name, node.layer, value.shape, absolute, float(relative)))
    return report
