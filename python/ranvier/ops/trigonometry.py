"""Angles and hyperbolic functions; angles are in radians."""

from __future__ import annotations

import math
from typing import Any

from .elementwise import (
    abs,
    add,
    as_arrays,
    div,
    eq,
    gt,
    if_needed,
    log,
    log1p,
    logical_or,
    lt,
    maximum,
    mul,
    ne,
    neg,
    of_floats,
    round,
    rsqrt,
    sqrt,
    square,
    sub,
    where,
)  # fmt: skip
from .public import Array

__all__ = [
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asin", "asinh", "atan",
    "atan2", "atanh", "cos", "cosh", "deg2rad", "hypot", "rad2deg", "sin", "sinc", "sinh", "tan",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py

_sin = of_floats(
    "sin", arity=1, saves="i", flops=20, max_ulp=2, onnx="Sin",
    reference=lambda xp, x: xp.sin(x), vjp=lambda g, out, x: (g * cos(x),),
)  # fmt: skip
_cos = of_floats(
    "cos", arity=1, saves="i", flops=20, max_ulp=2, onnx="Cos",
    reference=lambda xp, x: xp.cos(x), vjp=lambda g, out, x: (-g * sin(x),),
)  # fmt: skip
_asin = of_floats(
    "asin", arity=1, saves="i", flops=30, max_ulp=4, onnx="Asin", domain=(-0.9, 0.9),
    reference=lambda xp, x: xp.arcsin(x), vjp=lambda g, out, x: (g * rsqrt(1 - square(x)),),
)  # fmt: skip
_acos = of_floats(
    "acos", arity=1, saves="i", flops=30, max_ulp=4, onnx="Acos", domain=(-0.9, 0.9),
    reference=lambda xp, x: xp.arccos(x), vjp=lambda g, out, x: (-g * rsqrt(1 - square(x)),),
)  # fmt: skip
_atan = of_floats(
    "atan", arity=1, saves="i", flops=25, max_ulp=2, onnx="Atan",
    reference=lambda xp, x: xp.arctan(x), vjp=lambda g, out, x: (g / (square(x) + 1),),
)  # fmt: skip


def _atan2_vjp(g: Any, out: Any, y: Any, x: Any) -> tuple:
    length2 = square(x) + square(y)
    scale = where(length2 == 0, 0.0, g / length2)
    return if_needed(y, lambda: scale * x), if_needed(x, lambda: -scale * y)


_atan2 = of_floats(
    "atan2", arity=2, saves="i", flops=30, max_ulp=3, vjp=_atan2_vjp,
    reference=lambda xp, y, x: xp.arctan2(y, x),
)  # fmt: skip
_sinh = of_floats(
    "sinh", arity=1, saves="i", flops=30, max_ulp=4, onnx="Sinh",
    reference=lambda xp, x: xp.sinh(x), vjp=lambda g, out, x: (g * cosh(x),),
)  # fmt: skip
_cosh = of_floats(
    "cosh", arity=1, saves="i", flops=30, max_ulp=4, onnx="Cosh",
    reference=lambda xp, x: xp.cosh(x), vjp=lambda g, out, x: (g * sinh(x),),
)  # fmt: skip


def sin(input: Array) -> Array:
    """Sine."""
    return _sin(input)


def cos(input: Array) -> Array:
    """Cosine."""
    return _cos(input)


def tan(input: Array) -> Array:
    """Tangent, sin / cos."""
    return div(_sin(input), _cos(input))


def asin(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose sine is input; NaN outside of [-1, 1].

    >>> import ranvier as rv
    >>> rv.asin(rv.tensor([0.0, 1.0]))
    tensor([0.    , 1.5708])
    """
    return _asin(input)


def acos(input: Array) -> Array:
    """The angle in [0, pi] whose cosine is input; NaN outside of [-1, 1]."""
    return _acos(input)


def atan(input: Array) -> Array:
    """The angle in [-pi/2, pi/2] whose tangent is input."""
    return _atan(input)


def atan2(input: Array, other: Array) -> Array:
    """The angle in [-pi, pi] from the x axis to the point (x, y) = (other, input).

    >>> import ranvier as rv
    >>> rv.atan2(rv.tensor([1.0, 1.0]), rv.tensor([1.0, -1.0]))
    tensor([0.7854, 2.3562])
    """
    return _atan2(input, other)


def sinh(input: Array) -> Array:
    """(e^x - e^-x) / 2"""
    return _sinh(input)


def cosh(input: Array) -> Array:
    """(e^x + e^-x) / 2"""
    return _cosh(input)


def asinh(input: Array) -> Array:
    """The number whose `sinh` is input: sign(x) log1p(|x| + x^2 / (1 + sqrt(x^2 + 1)))."""
    side = where(lt(input, 0), -1.0, 1.0)  # and 1 at 0: there the derivative is 1, but that of abs 0
    x = mul(input, side)
    large = gt(x, 1e10)  # there sqrt(x^2 + 1) is x
    some = where(large, 1.0, x)
    small = log1p(add(some, div(square(some), add(sqrt(add(square(some), 1.0)), 1.0))))
    return mul(side, where(large, add(log(where(large, x, 1.0)), math.log(2)), small))


def acosh(input: Array) -> Array:
    """The number >= 0 whose `cosh` is input: log1p(t + sqrt(t) sqrt(t + 2)), t = x - 1; NaN below 1."""
    (input,) = as_arrays(input, floats=True)
    large = gt(input, 1e10)  # there sqrt(x^2 - 1) is x
    rest = sub(where(large, 2.0, input), 1.0)
    small = log1p(add(rest, mul(sqrt(rest), sqrt(add(rest, 2.0)))))
    return where(large, add(log(where(large, input, 1.0)), math.log(2)), small)


def atanh(input: Array) -> Array:
    """The number whose `tanh` is input: (log(1 + x) - log(1 - x)) / 2; NaN outside of [-1, 1]."""
    (input,) = as_arrays(input, floats=True)
    return mul(sub(log1p(input), log1p(neg(input))), 0.5)


def hypot(input: Array, other: Array) -> Array:
    """sqrt(input^2 + other^2), the length of a hypotenuse, without overflow."""
    input, other = as_arrays(input, other, floats=True)
    sides = (abs(x.detach() if hasattr(x, "detach") else x) for x in (input, other))
    most = maximum(*sides)
    unit = where(logical_or(eq(most, 0), eq(most, math.inf)), 1.0, most)  # a constant for the gradient: it cancels
    return mul(sqrt(add(square(div(input, unit)), square(div(other, unit)))), unit)


def sinc(input: Array) -> Array:
    """sin(pi x) / (pi x), and 1 at 0; 0 at other integers."""
    (input,) = as_arrays(input, floats=True)
    zero = eq(input, 0)
    whole = round(input)
    odd = ne(whole, mul(round(mul(whole, 0.5)), 2.0))
    rest = mul(sub(input, whole), math.pi)  # of a large angle little would be left
    return where(zero, 1.0, div(sin(where(odd, neg(rest), rest)), mul(where(zero, 1.0, input), math.pi)))


def deg2rad(input: Array) -> Array:
    """Degrees as an angle in radians."""
    return mul(input, math.pi / 180)


def rad2deg(input: Array) -> Array:
    """An angle in radians as degrees."""
    return mul(input, 180 / math.pi)


arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh = acos, acosh, asin, asinh, atan, atan2, atanh
