"""Comparisons of whole tensors."""

from __future__ import annotations

from ..core.dtypes import float64, is_float, promote
from .elementwise import abs as abs_
from .elementwise import add, as_arrays, cast_to, eq, isfinite, isnan, le, logical_and, logical_or, mul, sub
from .public import Array
from .reduction import all as all_

__all__ = ["allclose", "equal", "isclose"]


def isclose(input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Where |input - other| <= atol + rtol * |other|; infinities are close to themselves.

    >>> import ranvier as rv
    >>> rv.isclose(rv.tensor([1.0, 2.0]), rv.tensor([1.0, 2.1])).tolist()
    [True, False]
    """
    input, other = as_arrays(input, other)
    same = eq(input, other)
    if not is_float(promote([input, other])):
        input, other = cast_to(input, float64), cast_to(other, float64)
    allowed = add(mul(abs_(other), rtol), atol)
    near = logical_and(le(abs_(sub(input, other)), allowed), logical_and(isfinite(input), isfinite(other)))
    close = logical_or(near, same)
    return logical_or(close, logical_and(isnan(input), isnan(other))) if equal_nan else close


def allclose(input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`)."""
    return bool(all_(isclose(input, other, rtol, atol, equal_nan)))


def equal(input: Array, other: Array) -> bool:
    """Whether both have the same shape and the same elements, of whatever dtypes."""
    return tuple(input.shape) == tuple(other.shape) and bool(all_(eq(input, other)))
