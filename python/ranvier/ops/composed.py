"""Elementwise functions that are made of others: fused, each is one pass over memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import bool_, float64, is_float, promote
from ..core.errors import DTypeError
from .elementwise import (
    abs,
    add,
    as_arrays,
    cast_to,
    clamp,
    div,
    eq,
    exp,
    floor_divide,
    ge,
    gt,
    isinf,
    isnan,
    le,
    log,
    log1p,
    logical_and,
    logical_or,
    logical_xor,
    lt,
    maximum,
    mul,
    ne,
    neg,
    pow,
    reciprocal,
    remainder,
    sign,
    sub,
    trunc,
    where,
)  # fmt: skip
from .public import Array
from .shape import clone

__all__ = [
    "addcdiv", "addcmul", "bitwise_left_shift", "bitwise_right_shift", "copysign", "clamp_max", "clamp_min", "fix",
    "float_power", "fmax", "fmin", "fmod", "frac", "greater", "greater_equal", "heaviside", "isneginf", "isposinf",
    "less", "less_equal", "logaddexp", "logaddexp2", "logit", "mod", "nan_to_num", "not_equal", "positive", "power",
    "sgn", "signbit", "xlogy",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py


def addcmul(input: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """input + value * tensor1 * tensor2"""
    input, tensor1, tensor2 = as_arrays(input, tensor1, tensor2)
    product = mul(tensor1, tensor2)
    return add(input, product if value == 1 else mul(product, value))


def addcdiv(input: Array, tensor1: Array, tensor2: Array, *, value: float = 1) -> Array:
    """input + value * tensor1 / tensor2"""
    input, tensor1, tensor2 = as_arrays(input, tensor1, tensor2)
    quotient = div(tensor1, tensor2)
    return add(input, quotient if value == 1 else mul(quotient, value))


def clamp_min(input: Array, min: Array) -> Array:
    """max(input, min)"""
    return clamp(input, min=min)


def clamp_max(input: Array, max: Array) -> Array:
    """min(input, max)"""
    return clamp(input, max=max)


def logaddexp(input: Array, other: Array) -> Array:
    """log(e^input + e^other), without overflow.

    >>> import ranvier as rv
    >>> rv.logaddexp(rv.tensor(1000.0), rv.tensor(1000.0))
    tensor(1000.6932)
    """
    return _log_of_sum(input, other, 1.0)


def logaddexp2(input: Array, other: Array) -> Array:
    """log2(2^input + 2^other), without overflow."""
    return _log_of_sum(input, other, math.log(2))


def _log_of_sum(input: Array, other: Array, log_base: float) -> Array:
    input, other = as_arrays(input, other, floats=True)
    same = eq(input, other)  # infinities too, whose difference is none
    apart = neg(abs(where(same, 1.0, sub(input, other))))
    apart = log1p(exp(apart)) if log_base == 1 else div(log1p(exp(mul(apart, log_base))), log_base)
    middle = add(mul(input, 0.5), mul(other, 0.5))
    return where(same, add(middle, math.log(2) / log_base), add(maximum(input, other), apart))


def logit(input: Array, eps: float | None = None) -> Array:
    """log(x / (1 - x)), the inverse of sigmoid; with `eps`, x is clamped to [eps, 1 - eps] first.

    >>> import ranvier as rv
    >>> rv.logit(rv.tensor([0.5, 0.0]))
    tensor([  0., -inf])
    """
    x = input if eps is None else clamp(input, eps, 1 - eps)
    zero, one = eq(x, 0), eq(x, 1)
    inside = where(logical_or(zero, one), 0.5, x)
    ends = where(zero, log(x), neg(log(sub(1.0, x))))  # infinite, and so are their gradients
    return where(logical_or(zero, one), ends, log(div(inside, sub(1.0, inside))))


def xlogy(input: Array, other: Array) -> Array:
    """input * log(other); 0 where input is 0, unless other is NaN."""
    input, other = as_arrays(input, other, floats=True)
    no_log = logical_and(eq(input, 0), logical_or(le(other, 0), eq(other, math.inf)))  # elsewhere input * log is right
    return mul(input, log(where(no_log, 1.0, other)))


def nan_to_num(input: Array, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Array:
    """NaN replaced by `nan`, inf and -inf by `posinf` and `neginf` (None: the extremes of the dtype). No gradient there.

    >>> import ranvier as rv
    >>> rv.nan_to_num(rv.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    if not is_float(input.dtype):
        return clone(input)
    largest = float(np.finfo(input.dtype).max)
    finite = where(eq(input, math.inf), largest if posinf is None else posinf, input)
    finite = where(eq(input, -math.inf), -largest if neginf is None else neginf, finite)
    return where(isnan(input), nan, finite)


def frac(input: Array) -> Array:
    """input - trunc(input): what is behind the point, with input's sign."""
    return sub(input, trunc(input))


def fmod(input: Array, other: Array) -> Array:
    """The remainder of division toward zero: it has the sign of input, as C's fmod."""
    input, other = as_arrays(input, other)
    common = promote([input, other])
    if not is_float(common):
        input, other = cast_to(input, common), cast_to(other, common)  # first: a sign may be lost
        rest = remainder(input, other)  # with the sign of other
        return where(logical_and(ne(rest, 0), logical_xor(lt(input, 0), lt(rest, 0))), sub(rest, other), rest)
    input, other = as_arrays(input, other, floats=True)
    minus = signbit(input)
    rest = remainder(where(minus, neg(input), input), abs(other))  # not abs: its derivative at 0 is 0
    return where(minus, neg(rest), rest)


def signbit(input: Array) -> Array:
    """Whether the sign is minus, also of -0."""
    below = lt(input, 0)
    return logical_or(below, logical_and(eq(input, 0), lt(reciprocal(input), 0))) if is_float(input.dtype) else below


def copysign(input: Array, other: Array) -> Array:
    """|input| with the sign of `other`, which may be that of -0."""
    input, other = as_arrays(input, other, floats=True)
    direction = sign(other)
    zero = eq(direction, 0)
    return mul(abs(input), where(logical_and(zero, signbit(other)), -1.0, where(zero, 1.0, direction)))


def heaviside(input: Array, values: Array) -> Array:
    """0 below 0 and for NaN, `values` at 0, 1 above."""
    input, values = as_arrays(input, values)
    return where(eq(input, 0), values, cast_to(gt(input, 0), input.dtype))


def isposinf(input: Array) -> Array:
    """Whether each element is inf."""
    return logical_and(isinf(input), gt(input, 0))


def isneginf(input: Array) -> Array:
    """Whether each element is -inf."""
    return logical_and(isinf(input), lt(input, 0))


def fmax(input: Array, other: Array) -> Array:
    """The greater of both; of a number and NaN the number. Of equals, `input` gets the gradient."""
    input, other = as_arrays(input, other)
    return where(logical_or(ge(input, other), isnan(other)), input, other)


def fmin(input: Array, other: Array) -> Array:
    """The lesser of both; of a number and NaN the number. Of equals, `input` gets the gradient."""
    input, other = as_arrays(input, other)
    return where(logical_or(le(input, other), isnan(other)), input, other)


def float_power(input: Array, exponent: Array) -> Array:
    """input ** exponent in float64."""
    base, power = (cast_to(x, float64) if hasattr(x, "dtype") else float(x) for x in as_arrays(input, exponent))
    return pow(base, power)


def bitwise_left_shift(input: Array, other: Array) -> Array:
    """input * 2**other, of integers.

    >>> import ranvier as rv
    >>> rv.tensor([1, 3]) << 2
    tensor([ 4, 12])
    """
    input, other = _integers("bitwise_left_shift", input, other)
    return mul(input, pow(cast_to(as_arrays(2, other)[0], other.dtype), other))


def bitwise_right_shift(input: Array, other: Array) -> Array:
    """input / 2**other, rounded down, of integers."""
    input, other = _integers("bitwise_right_shift", input, other)
    two = cast_to(as_arrays(2, other)[0], other.dtype)
    half = floor_divide(other, two)  # in two steps: 2**31 is no int32
    return floor_divide(floor_divide(input, pow(two, half)), pow(two, sub(other, half)))


def _integers(name: str, *operands: Any) -> list:
    arrays = as_arrays(*operands)
    if any(is_float(a.dtype) or a.dtype == bool_ for a in arrays):
        raise DTypeError(f"{name}: dtypes {', '.join(str(a.dtype) for a in arrays)} must be those of integers")
    return arrays


def positive(input: Array) -> Array:
    """input itself."""
    return input


fix, mod, power, sgn = trunc, remainder, pow, sign
greater, greater_equal, less, less_equal, not_equal = gt, ge, lt, le, ne
