"""Tensors from sizes and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.context import local
from ..core.device import as_device
from ..core.dtypes import as_dtype, get_default_dtype, scalar_dtype
from ..core.errors import ShapeError
from ..core.memory import aligned_empty, aligned_full, filled
from ..core.tensor import to_array, wrap
from .public import Array
from .record import as_sizes

if TYPE_CHECKING:
    from ..tensor import Tensor


__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "linspace", "logspace", "ones", "ones_like",
    "zeros", "zeros_like",
]  # fmt: skip


def make(data: np.ndarray, requires_grad: bool = False) -> Any:
    """A new tensor; inside a trace a constant of the graph, made anew by each run."""
    t: Any = wrap(data)
    if requires_grad:
        t.requires_grad = True
    elif local.tracer is not None:
        t._data = local.tracer.graph.constant(data)
    return t


def _shape(name: str, size: tuple) -> tuple[int, ...]:
    shape = as_sizes(name, size)
    if any(n < 0 for n in shape):
        raise ShapeError(f"{name}: sizes {shape} must be >= 0")
    return shape


def made_dtype(name: str, dtype: Any, device: Any = None) -> np.dtype:
    """The dtype of a new tensor, the default one unless given; the function `name` was asked for one on `device`."""
    if device is not None:
        as_device(device, name)
    return get_default_dtype() if dtype is None else as_dtype(dtype)


def _filled(name: str, size: tuple, number: Any, dtype: Any, device: Any, requires_grad: bool) -> Any:
    dtype = made_dtype(name, dtype, device)
    data = filled(size, dtype, number)
    return make(aligned_full(_shape(name, size), number, dtype) if data is None else data, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> import ranvier as rv
    >>> rv.zeros(2, 3).shape
    (2, 3)
    """
    return _filled("zeros", size, 0, dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _filled("ones", size, 1, dtype, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose contents are not set."""
    dtype = made_dtype("empty", dtype, device)
    data = filled(size, dtype, None)
    return make(aligned_empty(_shape("empty", size), dtype) if data is None else data, requires_grad)


def full(size: Any, fill_value: Array, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor filled with one number; its dtype is the number's unless given."""
    dtype = made_dtype("full", scalar_dtype(fill_value) if dtype is None else dtype, device)
    data = filled((size,), dtype, fill_value)
    if data is None:
        data = aligned_full(_shape("full", (size,)), to_array(fill_value, dtype, "full"), dtype)
    return make(data, requires_grad)


def zeros_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """zeros(input.shape) in input's dtype."""
    return _filled("zeros_like", input.shape, 0, input.dtype if dtype is None else dtype, device, requires_grad)


def ones_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """ones(input.shape) in input's dtype."""
    return _filled("ones_like", input.shape, 1, input.dtype if dtype is None else dtype, device, requires_grad)


def empty_like(input: Array, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """empty(input.shape) in input's dtype."""
    dtype = input.dtype if dtype is None else dtype
    return empty(input.shape, dtype=dtype, device=device, requires_grad=requires_grad)


def full_like(
    input: Array, fill_value: Array, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """full(input.shape, fill_value) in input's dtype."""
    dtype = input.dtype if dtype is None else dtype
    return full(input.shape, fill_value, dtype=dtype, device=device, requires_grad=requires_grad)


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, ... below `end`; int64 where all are integers.

    >>> import ranvier as rv
    >>> rv.arange(3).tolist()
    [0, 1, 2]
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ShapeError(f"arange: step={step} must lead from {start} to {end}")
    values = np.arange(start, end, step)
    dtype = made_dtype("arange", values.dtype if dtype is None and values.dtype.kind == "i" else dtype, device)
    return make(values if values.dtype == dtype else values.astype(dtype), requires_grad)


def _spaced(name: str, start: float, end: float, steps: int, dtype: np.dtype) -> np.ndarray:
    """In float64; of an integer dtype the ends are integers already, as in PyTorch."""
    if steps < 0:
        raise ShapeError(f"{name}: steps={steps} must be >= 0")
    if dtype.kind in "iu":
        start, end = int(start), int(end)
    step = (end - start) / max(steps - 1, 1)
    at = np.arange(steps, dtype=np.float64)
    values = np.where(at < steps // 2, start + step * at, end - step * (steps - 1 - at))
    if steps == 1:
        values[0] = start
    return values


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` equally spaced numbers from `start` to `end`, both included; symmetric where the ends are."""
    dtype = made_dtype("linspace", dtype, device)
    return make(_spaced("linspace", start, end, steps, dtype).astype(dtype), requires_grad)


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """base ** linspace(start, end, steps)

    >>> import ranvier as rv
    >>> rv.logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    dtype = made_dtype("logspace", dtype, device)
    return make((float(base) ** _spaced("logspace", start, end, steps, dtype)).astype(dtype), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on its diagonal."""
    return make(np.eye(n, m, dtype=made_dtype("eye", dtype, device)), requires_grad)
