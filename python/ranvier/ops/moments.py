"""Moments over any set of axes: variance, standard deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .elementwise import sqrt, where
from .public import Array
from .record import Aval, Op, Sample, Spec
from .reduction import (
    AXES,
    EMPTY,
    SAMPLES,
    float_reduction,
    kept,
    mean_op,
    need_float,
    reduced,
    run_reduction,
    size_of,
    terms_of,
)
from .standardize import standardize

__all__ = ["std", "std_mean", "var", "var_mean"]
REMEMBERED = __all__  # see ops/public.py


def _mean_reference(xp: Any, x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """From small multiples of the terms where their sum overflows."""
    along: dict[str, Any] = {"axis": dim, "keepdims": keepdim}
    mean = xp.mean(x, **along)
    return xp.where(xp.isfinite(mean), mean, xp.mean(x * 2.0**-64, **along) * 2.0**64)


def _moment_reference(xp: Any, x: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    mean = _mean_reference(xp, x, dim, True)
    divisor = np.asarray(max(0.0, terms_of(x, dim=dim) - correction), x.dtype)
    return xp.sum((x - mean) ** 2, axis=dim, keepdims=keepdim) / divisor


def _deviation(x: Any, dim: tuple[int, ...], correction: float) -> Any:
    """(x - mean) / max(0, n - correction)"""
    left = max(0.0, terms_of(x, dim=dim) - correction)
    return (x - mean_op(x, dim=dim, keepdim=True)) * (1 / left if left else math.inf)


def _var_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> tuple:
    return (kept(g, x, dim, keepdim) * 2.0 * _deviation(x, dim, correction),)


def _std_vjp(g: Any, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> tuple:
    scale = where(out == 0, 0.0, g / where(out == 0, 1.0, out))  # as PyTorch: no gradient where all are equal
    return (kept(scale, x, dim, keepdim) * _deviation(x, dim, correction),)


def _var_mean_vjp(g: tuple, out: tuple, x: Any, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> tuple:
    n, (of_var, of_mean) = terms_of(x, dim=dim), (None if part is None else kept(part, x, dim, keepdim) for part in g)
    dx: Any = None
    if of_var is not None:
        left = max(0.0, n - correction)
        dx = standardize(x, kept(out[1], x, dim, keepdim), of_var * (2 / left if left else math.inf))
    if of_mean is not None:
        share = of_mean * (1 / (n or math.nan))
        dx = share.expand(x.shape) if dx is None else dx + share
    return (dx,)


_MOMENT: dict[str, Any] = {
    "attrs": {"correction": 1.0},
    "flops": lambda x, **attrs: 4 * size_of(x),
}
_MOMENT_SAMPLES = (*SAMPLES[1:], Sample(((4, 40, 16),), {"dim": (0, 2), "correction": 0.0}), EMPTY[1])

_var = float_reduction(
    "var",
    saves="i",
    samples=_MOMENT_SAMPLES,
    vjp=_var_vjp,
    **_MOMENT,
    reference=lambda xp, x, *, dim, keepdim, correction: _moment_reference(xp, x, dim, keepdim, correction),
)
_std = float_reduction(
    "std",
    samples=_MOMENT_SAMPLES,
    vjp=_std_vjp,
    **_MOMENT,
    reference=lambda xp, x, *, dim, keepdim, correction: xp.sqrt(_moment_reference(xp, x, dim, keepdim, correction)),
)


def _var_mean_infer(x: Aval, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> list[Spec]:
    need_float("var_mean", x.dtype)
    return [(reduced(x.shape, dim, keepdim), x.dtype)] * 2


_var_mean = Op(
    "var_mean",
    kind="kernel",
    attrs={**AXES, "correction": 1.0},
    saves="i0o1",
    infer=_var_mean_infer,
    reference=lambda xp, x, *, dim, keepdim, correction: (
        _moment_reference(xp, x, dim, keepdim, correction),
        _mean_reference(xp, x, dim, keepdim),
    ),
    vjp=_var_mean_vjp,
    samples=_MOMENT_SAMPLES,
    terms=terms_of,
    flops=_MOMENT["flops"],
)


# ---------------------------------------------------------------- public functions


def _correction(name: str, dim: Any, unbiased: bool | None, correction: float | None) -> tuple[Any, float]:
    if isinstance(dim, bool):  # PyTorch's older form: var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: give correction or unbiased, not both")
    return dim, float(unbiased) if unbiased is not None else 1.0 if correction is None else float(correction)


def var(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Array:
    """Variance over `dim`: sum (x - mean)^2 / max(0, n - correction); correction 1, or 0 with unbiased=False.

    >>> import ranvier as rv
    >>> rv.var(rv.tensor([1., 2., 3., 4.]), correction=0).item()
    1.25
    """
    dim, correction = _correction("var", dim, unbiased, correction)
    return run_reduction(_var, input, dim, keepdim, {"correction": correction})


def std(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Array:
    """Standard deviation over `dim`, the square root of `var`; its gradient is 0 where it is 0."""
    dim, correction = _correction("std", dim, unbiased, correction)
    return run_reduction(_std, input, dim, keepdim, {"correction": correction})


def var_mean(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Array, Array]:
    """(variance, mean) over `dim` in one pass over the data; see `var`."""
    dim, correction = _correction("var_mean", dim, unbiased, correction)
    return run_reduction(_var_mean, input, dim, keepdim, {"correction": correction})


def std_mean(
    input: Array,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Array, Array]:
    """(standard deviation, mean) over `dim`; see `std`."""
    dim, correction = _correction("std_mean", dim, unbiased, correction)
    var, mean = run_reduction(_var_mean, input, dim, keepdim, {"correction": correction})
    flat = var == 0  # there the root has no gradient
    return where(flat, 0.0, sqrt(where(flat, 1.0, var))), mean
