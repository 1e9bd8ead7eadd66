"""The dtypes, PyTorch's promotion rule, and the codes that the native side uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .context import Epoch
from .errors import DTypeError

# name, item size, class: the rows of csrc/core/dtypes.def
DTYPES = (
    ("float32", 4, "FLOAT"),
    ("float64", 8, "FLOAT"),
    ("int32", 4, "INTEGER"),
    ("int64", 8, "INTEGER"),
    ("uint8", 1, "INTEGER"),
    ("bool", 1, "BOOL"),
)
ALL: tuple[np.dtype, ...] = tuple(np.dtype(name) for name, *_ in DTYPES)
float32, float64, int32, int64, uint8, bool_ = ALL
CODE: dict[np.dtype, int] = {dtype: code for code, dtype in enumerate(ALL)}
_CATEGORY = {np.dtype(name): ("BOOL", "INTEGER", "FLOAT").index(kind) for name, _, kind in DTYPES}
FLOATS = tuple(dtype for dtype in ALL if _CATEGORY[dtype] == 2)

_default_float: np.dtype = float32
_listeners: list[Callable[[], None]] = []


def on_new_defaults(forget: Callable[[], None]) -> None:
    """Call `forget()` whenever a default changes that decides what a function does: it may have been remembered."""
    _listeners.append(forget)


def new_defaults() -> None:
    """Such a default has changed."""
    for forget in _listeners:
        forget()


def get_default_dtype() -> np.dtype:
    """The dtype of floats made from Python numbers; float32 unless changed."""
    return _default_float


def set_default_dtype(dtype: Any) -> None:
    """Make `dtype` (float32 or float64) the dtype of tensors made from Python floats."""
    global _default_float
    chosen = next((d for d in FLOATS if dtype is not None and d == dtype), None)
    if chosen is None:
        raise DTypeError(f"set_default_dtype: dtype={dtype} must be float32 or float64")
    _default_float = chosen
    new_defaults()
    Epoch.bump()


TENSOR_NAMES = {
    float32: "FloatTensor", float64: "DoubleTensor", int32: "IntTensor", int64: "LongTensor", uint8: "ByteTensor",
    bool_: "BoolTensor",
}  # fmt: skip


def as_dtype(dtype: Any) -> np.dtype:
    """`dtype` as one of the supported NumPy dtypes, whose byte order is the machine's."""
    if dtype is float:
        return _default_float
    if dtype is int:
        return int64
    if isinstance(dtype, str) and dtype.endswith("Tensor"):  # as Tensor.type() says it
        dtype = next((d for d, name in TENSOR_NAMES.items() if dtype.split(".")[-1] == name), dtype)
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result is not None and not result.isnative:
        result = result.newbyteorder("=")
    if result not in CODE:
        raise DTypeError(f"dtype={dtype!r} must be one of {', '.join(d.name for d in ALL)}")
    return result


def is_float(dtype: np.dtype) -> bool:
    return dtype in FLOATS


def category(dtype: np.dtype) -> int:
    """0 for bool, 1 for integers, 2 for floats: values of a higher one do not fit a lower one."""
    return _CATEGORY[dtype]


def _join(a: np.dtype, b: np.dtype) -> np.dtype:
    if a == b:
        return a
    if _CATEGORY[a] != _CATEGORY[b]:
        return a if _CATEGORY[a] > _CATEGORY[b] else b
    return np.promote_types(a, b)


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The dtype in which values of both dtypes are computed.

    >>> import ranvier as rv
    >>> rv.promote_types(rv.int64, rv.float32)
    dtype('float32')
    """
    return _join(as_dtype(type1), as_dtype(type2))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether results of dtype `from_` may be written into tensors of dtype `to`: not floats into integers, nor numbers into
    bools.

    >>> import ranvier as rv
    >>> rv.can_cast(rv.float64, rv.float32), rv.can_cast(rv.float32, rv.int64)
    (True, False)
    """
    return category(as_dtype(from_)) <= category(as_dtype(to))


def result_type(*operands: Any) -> np.dtype:
    """The dtype of the sum of tensors, arrays and numbers: those with axes decide, others only by a higher kind (bool,
    integer, float).

    >>> import ranvier as rv
    >>> rv.result_type(rv.ones(2, dtype=rv.int32), 1.5)
    dtype('float32')
    """
    return promote(operands)


def scalar_dtype(value: Any) -> np.dtype:
    """The dtype that a Python number alone would get."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default_float
    raise DTypeError(f"{value!r} of type {type(value).__name__} is not a number")


def promote(operands: Any) -> np.dtype:
    """PyTorch's result type: operands with axes first, then 0-d ones, then Python numbers; a lower rank counts
    only where its category (bool < int < float) is higher.
    """
    by_rank: list[np.dtype | None] = [None, None, None]
    for x in operands:
        if hasattr(x, "shape"):
            rank, dtype = (0 if x.shape else 1), x.dtype
            if dtype not in CODE:
                raise DTypeError(f"dtype {dtype} must be one of {', '.join(d.name for d in ALL)}")
        else:
            rank, dtype = 2, scalar_dtype(x)
        so_far = by_rank[rank]
        by_rank[rank] = dtype if so_far is None else _join(so_far, dtype)
    present = [dtype for dtype in by_rank if dtype is not None]
    result = present[0]
    for dtype in present[1:]:
        if _CATEGORY[dtype] > _CATEGORY[result]:
            result = dtype
    return result
