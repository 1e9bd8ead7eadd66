"""Running sums and products along one axis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..core.dtypes import int64, is_float
from ..core.errors import DTypeError
from .elementwise import div, eq, logical_and, where
from .index import scatter_add, zeros_for
from .public import Array
from .record import Aval, Op, Sample, Spec, normalize_axis
from .reduction import run_along, size_of, to_dtype

__all__ = ["cummax", "cummin", "cumprod", "cumsum"]
REMEMBERED = __all__  # see ops/public.py


def _scan_op(name: str, running: Callable, vjp: Callable, **fields: Any) -> Op:
    """`running(xp)` is NumPy's function. reverse: from the last element to the first."""

    def infer(x: Aval, *, dim: int, reverse: bool) -> Spec:
        if not is_float(x.dtype) and x.dtype != int64:
            raise DTypeError(f"{name}: dtype {x.dtype} must be float32, float64 or int64")
        return x.shape, x.dtype

    def reference(xp: Any, x: Any, *, dim: int, reverse: bool) -> Any:
        if not x.shape:
            return x
        function = running(xp)

        def along(x: Any, *, axis: int) -> Any:  # in double precision: what overflows in between may come back
            return function(x, axis=axis, dtype=xp.float64 if is_float(x.dtype) else x.dtype).astype(x.dtype)

        return xp.flip(along(xp.flip(x, axis=dim), axis=dim), axis=dim) if reverse else along(x, axis=dim)

    return Op(
        name, kind="kernel", attrs={"dim": 0, "reverse": False}, infer=infer, reference=reference, vjp=vjp,
        flops=size_of, terms=lambda x, *, dim, reverse: x.shape[dim] if x.shape else 1,
        samples=(
            Sample(((),)), Sample(((7,),), {"reverse": True}), Sample(((30, 40),)), Sample(((3, 40, 2),), {"dim": 1}),
            Sample(((3, 70000),), {"dim": 1}), Sample(((0, 3),)), Sample((np.arange(6),)),
        ),
        **fields,
    )  # fmt: skip


_cumsum: Op = _scan_op(
    "cumsum", lambda xp: getattr(xp, "cumulative_sum", None) or xp.cumsum, saves="", onnx="CumSum",
    vjp=lambda g, out, x, *, dim, reverse: (_cumsum(g, dim=dim, reverse=not reverse),),
)  # fmt: skip


def _cumprod_vjp(g: Any, out: Any, x: Any, *, dim: int, reverse: bool) -> tuple:
    """dx[i] = sum over j >= i of g[j] y[j] / x[i]; at the first 0 of a line the products are taken without it; 0 behind."""
    zero = x == 0
    zeros = _cumsum(zero.long(), dim=dim, reverse=reverse)
    first = logical_and(zero, eq(zeros, 1))

    def share(products: Any) -> Any:
        return _cumsum(g * products, dim=dim, reverse=not reverse)

    without = share(_cumprod(where(first, 1.0, x), dim=dim, reverse=reverse))
    before = where(eq(zeros, 0), div(share(_cumprod(x, dim=dim, reverse=reverse)), where(zero, 1.0, x)), 0.0)
    return (where(first, without, before),)


_cumprod: Op = _scan_op(
    "cumprod", lambda xp: getattr(xp, "cumulative_prod", None) or xp.cumprod, saves="i", domain=(0.9, 1.1), vjp=_cumprod_vjp,
)  # fmt: skip


def cumsum(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """Running sums along `dim`: y[i] = x[0] + ... + x[i]. Integers and bools are summed as int64.

    >>> import ranvier as rv
    >>> rv.cumsum(rv.tensor([1., 2., 3.]), 0).tolist()
    [1.0, 3.0, 6.0]
    """
    return _scan(_cumsum, input, dim, dtype)


def cumprod(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """Running products along `dim`: y[i] = x[0] * ... * x[i]. Integers and bools are multiplied as int64.

    >>> import ranvier as rv
    >>> rv.cumprod(rv.tensor([1., 2., 3.]), 0).tolist()
    [1.0, 2.0, 6.0]
    """
    return _scan(_cumprod, input, dim, dtype)


# ---------------------------------------------------------------- running extremes


class RunningResult(NamedTuple):
    """Running extremes, and where they are."""

    values: Any
    indices: Any


def _extreme_scan(name: str, best: np.ufunc) -> Op:
    def reference(xp: Any, x: Any, *, dim: int) -> tuple:
        if not x.shape:
            return np.array(x), np.zeros((), int64)
        values = best.accumulate(x, axis=dim)
        at = np.arange(x.shape[dim]).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
        new = (x == values) | (x != x)  # of equal ones the last, as PyTorch
        return values, np.maximum.accumulate(np.where(new, at, 0), axis=dim)

    def vjp(g: tuple, out: tuple, x: Any, *, dim: int) -> tuple:
        if g[0] is None:
            return (None,)
        return (scatter_add(zeros_for(g[0], x.shape), dim, out[1].detach(), g[0]),)

    return Op(
        name, kind="host", attrs={"dim": 0}, saves="o1", reference=reference, vjp=vjp,
        infer=lambda x, *, dim: [(tuple(x.shape), x.dtype), (tuple(x.shape), int64)],
        samples=[Sample(((3, 5),), {"dim": 1}), Sample(((4, 2),)), Sample(((),)), Sample((np.array([1, 3, 3, 2]),))],
    )  # fmt: skip


_cummax = _extreme_scan("cummax", np.maximum)
_cummin = _extreme_scan("cummin", np.minimum)


def cummax(input: Array, dim: int) -> RunningResult:
    """The largest element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions.

    >>> import ranvier as rv
    >>> rv.cummax(rv.tensor([1.0, 3.0, 2.0]), 0).values.tolist()
    [1.0, 3.0, 3.0]
    """
    return RunningResult(*_cummax(input, dim=normalize_axis("cummax", dim, input.ndim)))


def cummin(input: Array, dim: int) -> RunningResult:
    """The least element so far along `dim`, and its position: of equal ones the last. Outside of compiled functions."""
    return RunningResult(*_cummin(input, dim=normalize_axis("cummin", dim, input.ndim)))


def _scan(op: Op, input: Any, dim: int, dtype: Any) -> Any:
    input = to_dtype(input, dtype)
    return to_dtype(run_along(op, input if is_float(input.dtype) else to_dtype(input, int64), dim), dtype)
