"""Tensors from sizes and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.context import local
from ..core.dtypes import as_dtype, get_default_dtype, scalar_dtype
from ..core.errors import ShapeError
from ..core.memory import aligned_empty, aligned_full
from ..core.tensor import from_numpy, to_array
from .public import Array
from .record import as_sizes

if TYPE_CHECKING:
    from ..tensor import Tensor


__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "linspace", "ones", "ones_like",
    "zeros", "zeros_like",
]  # fmt: skip


def make(data: np.ndarray, requires_grad: bool = False) -> Any:
    """A new tensor; inside a trace a constant of the graph, made anew by each run."""
    t: Any = from_numpy(data)
    if requires_grad:
        t.requires_grad = True
    if local.tracer is not None and not requires_grad:
        t._data = local.tracer.graph.constant(data)
    return t


def _shape(name: str, size: tuple) -> tuple[int, ...]:
    shape = as_sizes(name, size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes {shape} must be >= 0")
    return shape


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> import ranvier as rv
    >>> rv.zeros(2, 3).shape
    (2, 3)
    """
    return make(aligned_full(_shape("zeros", size), 0, as_dtype(dtype or get_default_dtype())), requires_grad)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return make(aligned_full(_shape("ones", size), 1, as_dtype(dtype or get_default_dtype())), requires_grad)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose contents are not set."""
    return make(aligned_empty(_shape("empty", size), as_dtype(dtype or get_default_dtype())), requires_grad)


def full(size: Any, fill_value: Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one number; its dtype is the number's unless given."""
    dtype = as_dtype(dtype) if dtype is not None else scalar_dtype(fill_value)
    number = to_array(fill_value, dtype, "full")
    return make(aligned_full(_shape("full", (size,)), number, dtype), requires_grad)


def zeros_like(input: Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """zeros(input.shape) in input's dtype."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(input: Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """ones(input.shape) in input's dtype."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def empty_like(input: Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """empty(input.shape) in input's dtype."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(input: Array, fill_value: Array, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """full(input.shape, fill_value) in input's dtype."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below `end`; int64 where all are integers.

    >>> import ranvier as rv
    >>> rv.arange(3).tolist()
    [0, 1, 2]
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ShapeError(f"arange: step={step} must lead from {start} to {end}")
    if dtype is None:
        dtype = np.int64 if all(isinstance(v, (int, np.integer)) for v in (start, end, step)) else get_default_dtype()
    return make(np.arange(start, end, step).astype(as_dtype(dtype)), requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` equally spaced numbers from `start` to `end`, both included; symmetric where the ends are."""
    if steps < 0:
        raise ShapeError(f"linspace: steps={steps} must be >= 0")
    step = (end - start) / max(steps - 1, 1)
    at = np.arange(steps, dtype=np.float64)
    values = np.where(at < steps // 2, start + step * at, end - step * (steps - 1 - at))
    if steps == 1:
        values[0] = start
    return make(values.astype(as_dtype(dtype or get_default_dtype())), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on its diagonal."""
    return make(np.eye(n, m, dtype=as_dtype(dtype or get_default_dtype())), requires_grad)
