"""Products with sparse matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import float32, int32
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from .record import Aval, Op, Sample, Spec

__all__: list[str] = []


def rows_of(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and columns of what is not zero in a matrix, row by row, and where each row starts."""
    rows, columns = np.nonzero(w)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=w.shape[0]))])
    return w[rows, columns], columns.astype(np.int32), starts.astype(np.int32)


def dense(values: np.ndarray, columns: np.ndarray, starts: np.ndarray, k: int) -> np.ndarray:
    """The matrix (n, k) that `rows_of` was given. A column that a row names twice has the sum of both values."""
    starts = starts.astype(np.int64)  # whose differences fit
    if (np.diff(starts, prepend=0) < 0).any() or starts[-1:].max(initial=0) > len(values):
        raise OutOfRangeError(f"sparse_linear: starts must rise from 0 to at most {len(values)}")
    if columns.size and not 0 <= columns.min() <= columns.max() < k:
        raise OutOfRangeError(f"sparse_linear: columns must be in [0, {k - 1}]")
    w = np.zeros((len(starts) - 1, k), values.dtype)
    used = slice(starts[0], starts[-1])
    np.add.at(w, (np.repeat(np.arange(len(starts) - 1), np.diff(starts)), columns[used]), values[used])
    return w


def _reference(xp: Any, x: Any, values: Any, columns: Any, starts: Any, *rest: Any, bias: bool) -> Any:
    out = np.matmul(x, dense(values, columns, starts, x.shape[-1]).T.astype(x.dtype))
    return out + rest[0] if bias else out


def _infer(x: Aval, values: Aval, columns: Aval, starts: Aval, *rest: Aval, bias: bool) -> Spec:
    if (x.dtype, values.dtype, columns.dtype, starts.dtype) != (float32, float32, int32, int32):
        raise DTypeError("sparse_linear: x and values must be float32, columns and starts int32")
    if (
        not x.shape
        or values.shape != columns.shape
        or len(values.shape) != 1
        or len(starts.shape) != 1
        or not starts.shape[0]
    ):
        raise ShapeError(
            f"sparse_linear: x{x.shape} needs an axis, values{values.shape} and columns{columns.shape} one of one length, "
            f"starts{starts.shape} one of a row more than the matrix has"
        )
    n = starts.shape[0] - 1
    if len(rest) != bias or any(b.shape != (n,) or b.dtype != float32 for b in rest):
        raise ShapeError(f"sparse_linear: bias must be float32 of shape ({n},)")
    return (*x.shape[:-1], n), x.dtype


def _sample(x: tuple, n: int, bias: bool = False) -> Sample:
    w = np.sin(np.arange(n * x[-1], dtype=np.float32) * 7).reshape(n, x[-1])
    w[np.abs(w) < 0.8] = 0
    return Sample((x, *rows_of(w), *([np.linspace(-1, 1, n, dtype=np.float32)] if bias else [])), {"bias": bias})


sparse_linear = Op(
    "sparse_linear",
    kind="kernel",
    attrs={"bias": False},
    infer=_infer,
    reference=_reference,
    epilogue=True,
    encode=lambda *avals, bias: {"bias": bias},
    macs=lambda x, values, *rest, **attrs: math.prod(x.shape[:-1]) * values.shape[0],
    terms=lambda x, *rest, **attrs: x.shape[-1],
    samples=[
        _sample((3, 5), 7), _sample((1, 64), 40, bias=True), _sample((2, 40, 33), 20), _sample((0, 4), 3), _sample((6,), 2),
    ],
    doc="x @ w.T + bias for a sparse w: values and columns of what is not zero in row j lie at starts[j] to starts[j + 1]",
)  # fmt: skip
