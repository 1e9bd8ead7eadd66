"""New parameters and buffers for layers."""

from __future__ import annotations

from operator import index
from typing import Any

from ..core.dtypes import as_dtype, get_default_dtype, is_float
from ..core.errors import DTypeError, ShapeError
from ..core.memory import aligned_full
from ..core.tensor import from_numpy
from .parameter import Parameter


def new_parameter(
    layer: str, shape: tuple[int, ...], device: Any = None, dtype: Any = None, fill: float = 0.0
) -> Parameter:
    """A parameter of `shape`, filled with `fill`; sizes and dtype are checked in the layer's name."""
    dtype = get_default_dtype() if dtype is None else as_dtype(dtype)
    if not is_float(dtype):
        raise DTypeError(f"{layer}: dtype={dtype} must be float32 or float64")
    for size in shape:
        try:
            bad = index(size) < 0
        except TypeError:
            raise DTypeError(f"{layer}: size {size!r} must be an integer") from None
        if bad:
            raise ShapeError(f"{layer}: size {size} must not be negative")
    values = from_numpy(aligned_full(shape, fill, dtype))
    return Parameter(values if device is None else values.to(device))
