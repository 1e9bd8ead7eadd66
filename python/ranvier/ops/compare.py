"""Comparisons of whole tensors."""

from __future__ import annotations

from ..core.errors import DTypeError
from .elementwise import abs as abs_
from .elementwise import isfinite, isnan, logical_and, logical_or
from .public import Array
from .reduction import all as all_

__all__ = ["allclose", "equal", "isclose"]


def isclose(input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Array:
    """Where |input - other| <= atol + rtol * |other|; infinities are close to themselves.

    >>> import ranvier as rv
    >>> rv.isclose(rv.tensor([1.0, 2.0]), rv.tensor([1.0, 2.1])).tolist()
    [True, False]
    """
    near = logical_and(abs_(input - other) <= atol + rtol * abs_(other), logical_and(isfinite(input), isfinite(other)))
    close = logical_or(near, input == other)
    return logical_or(close, logical_and(isnan(input), isnan(other))) if equal_nan else close


def allclose(input: Array, other: Array, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close (see `isclose`)."""
    return bool(all_(isclose(input, other, rtol, atol, equal_nan)))


def equal(input: Array, other: Array) -> bool:
    """Whether both have the same shape and the same elements."""
    if input.dtype != other.dtype:
        raise DTypeError(f"equal: dtypes {input.dtype} and {other.dtype} must be the same")
    return tuple(input.shape) == tuple(other.shape) and bool(all_(input == other))
