"""Elementwise arithmetic, functions, comparisons and logic."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.context import local
from ..core.dtypes import CODE, as_dtype, bool_, get_default_dtype, int64, is_float, promote
from ..core.errors import DTypeError
from ._xp import erf as _erf_reference
from .dispatch import constant
from .public import Array
from .record import Aval, Op, Sample, Spec, elementwise_infer

__all__ = [
    "abs", "absolute", "add", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "ceil", "clamp",
    "clip", "div", "divide", "eq", "erf", "exp", "exp2", "expm1", "floor", "floor_divide", "ge",
    "gt", "isfinite", "isinf", "isnan", "le", "lerp", "log", "log10", "log1p", "log2", "logical_and",
    "logical_not", "logical_or", "logical_xor", "lt", "maximum", "minimum", "mul", "multiply", "ne",
    "neg", "negative", "pow", "reciprocal", "remainder", "round", "rsqrt", "sign", "sqrt",
    "square", "sub", "subtract", "true_divide", "trunc",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py

_abs = abs


def _number_infer(name: str, rule: str) -> Callable[..., Spec]:
    """The rule of ops that have no meaning for bools."""
    common = elementwise_infer(name, rule)

    def infer(*avals: Aval, **attrs: Any) -> Spec:
        if avals[-1].dtype == bool_:
            raise DTypeError(f"{name}: dtype bool must be a float or integer dtype; cast, or use logical ops")
        return common(*avals, **attrs)

    return infer


def _integer_infer(name: str) -> Callable[..., Spec]:
    common = elementwise_infer(name, "promote")

    def infer(*avals: Aval, **attrs: Any) -> Spec:
        if is_float(avals[-1].dtype):
            raise DTypeError(f"{name}: dtype {avals[-1].dtype} must be an integer dtype or bool")
        return common(*avals, **attrs)

    return infer


def of_numbers(name: str, **fields: Any) -> Op:
    """An op on floats and integers, but not bools."""
    return Op(name, kind="elementwise", infer=_number_infer(name, "promote"), **fields)


def of_floats(name: str, **fields: Any) -> Op:
    """An op on floats; integers are converted."""
    return Op(name, kind="elementwise", rule="float", **fields)


def zeros_of(g: Any) -> Any:
    """The gradient of a step function: zero, also where g is infinite or NaN."""
    return _clamp(_sign(g), min=0.0, max=0.0)


def flat(gradient: Any, x: Any) -> Any:
    """`gradient`, which depends on x by steps alone; with create_graph x is connected to it, its derivative is 0 there."""
    return _sub(gradient, _mul(_sign(x), 0.0)) if local.grad_enabled and x.requires_grad else gradient


def if_needed(x: Any, gradient: Callable[[], Any]) -> Any:
    """`gradient()` where x wants one: eager backward passes need not compute the others."""
    return gradient() if x.requires_grad else None


# ---------------------------------------------------------------- arithmetic

_add = Op(
    "add", kind="elementwise", arity=2, saves="", flops=1, max_ulp=0.5, onnx="Add",
    reference=lambda xp, a, b: xp.add(a, b),
    vjp=lambda g, out, a, b: (g, g),
    affine=lambda do, b: (None, b), sums=True,
)  # fmt: skip
_sub = of_numbers(
    "sub", arity=2, saves="", flops=1, max_ulp=0.5, onnx="Sub", neutral={1: 0},
    reference=lambda xp, a, b: xp.subtract(a, b),
    vjp=lambda g, out, a, b: (g, if_needed(b, lambda: -g)),
)  # fmt: skip
_mul = Op(
    "mul", kind="elementwise", arity=2, saves=("i1", "i0"), flops=1, max_ulp=0.5, onnx="Mul", neutral={0: 1, 1: 1},
    reference=lambda xp, a, b: xp.multiply(a, b),
    vjp=lambda g, out, a, b: (if_needed(a, lambda: g * b), if_needed(b, lambda: g * a)),
    affine=lambda do, b: (b, None),
)  # fmt: skip
_div = of_floats(
    "div", arity=2, saves=("i1", "i1o"), flops=1, max_ulp=0.5, onnx="Div", neutral={1: 1},
    reference=lambda xp, a, b: xp.divide(a, b),
    vjp=lambda g, out, a, b: (if_needed(a, lambda: g / b), if_needed(b, lambda: -(g / b) * out)),
)  # fmt: skip
_floor_divide = of_numbers(
    "floor_divide", arity=2, saves="", flops=2, max_ulp=0.5,
    reference=lambda xp, a, b: xp.floor_divide(a, b),
    vjp=lambda g, out, a, b: (zeros_of(g), zeros_of(g)),
)  # fmt: skip
_remainder = of_numbers(
    "remainder", arity=2, saves=("", "i"), flops=4, max_ulp=0.5, onnx="Mod",
    reference=lambda xp, a, b: xp.remainder(a, b),
    vjp=lambda g, out, a, b: (g, if_needed(b, lambda: -g * floor_divide(a, b))),
)  # fmt: skip


def _pow_reference(xp: Any, a: Any, b: Any) -> Any:
    if is_float(a.dtype):
        return a**b
    power = a ** xp.maximum(b, xp.zeros_like(b))
    sign = xp.where(a == -1, xp.where(b % 2 == 0, xp.ones_like(a), -xp.ones_like(a)), xp.zeros_like(a))
    return xp.where(b < 0, xp.where(a == 1, xp.ones_like(a), sign), power)


def _pow_vjp(g: Any, out: Any, a: Any, b: Any) -> tuple:
    def base() -> Any:  # 0 where b = 0, also at a = 0
        return where(b == 0, 0.0, g * (b * _pow(a, b - 1)))

    def exponent() -> Any:  # 0 where a = 0 and b >= 0
        flat = (a == 0) & (b >= 0)
        return where(flat, 0.0, g * (out * log(where(flat, 1.0, a))))

    return if_needed(a, base), if_needed(b, exponent)


_pow = of_numbers(
    "pow", arity=2, saves=("i", "io"), flops=30, max_ulp=1, onnx="Pow", domain=(0.1, 3.0), neutral={1: 1},
    reference=_pow_reference, vjp=_pow_vjp,
)  # fmt: skip
_neg = of_numbers(
    "neg", arity=1, saves="", flops=1, max_ulp=0, onnx="Neg",
    reference=lambda xp, x: xp.negative(x), vjp=lambda g, out, x: (-g,),
)  # fmt: skip
_abs_op = of_numbers(
    "abs", arity=1, saves="i", flops=1, max_ulp=0, onnx="Abs",
    reference=lambda xp, x: xp.abs(x), vjp=lambda g, out, x: (g * sign(x),),
)  # fmt: skip
_sign = of_numbers(
    "sign", arity=1, saves="", flops=1, max_ulp=0, onnx="Sign",
    reference=lambda xp, x: xp.where(x > 0, xp.ones_like(x), -(x < 0).astype(x.dtype)) + xp.zeros_like(x),
    vjp=lambda g, out, x: (zeros_of(g),),
    doc="1, -1 or 0; 0 also for NaN.",
)  # fmt: skip
_square = of_numbers(
    "square", arity=1, saves="i", flops=1, max_ulp=0.5,
    reference=lambda xp, x: xp.square(x), vjp=lambda g, out, x: (g * (2 * x),),
)  # fmt: skip
_reciprocal = of_floats(
    "reciprocal", arity=1, saves="o", flops=1, max_ulp=0.5, onnx="Reciprocal",
    reference=lambda xp, x: 1 / x, vjp=lambda g, out, x: (-g * square(out),),
)  # fmt: skip


def _extremum_vjp(closer: Callable) -> Callable:
    """Of maximum with closer = gt: the greater input gets the gradient, equal ones half each, both at NaN."""

    def vjp(g: Any, out: Any, a: Any, b: Any) -> tuple:
        def share(x: Any, other: Any) -> Any:
            return where(a == b, 0.5 * g, where(closer(other, x), 0.0, g))

        return if_needed(a, lambda: share(a, b)), if_needed(b, lambda: share(b, a))

    return vjp


_minimum = Op(
    "minimum", kind="elementwise", arity=2, saves="i", flops=1, max_ulp=0, onnx="Min",
    reference=lambda xp, a, b: xp.minimum(a, b), vjp=_extremum_vjp(lambda a, b: a < b),
)  # fmt: skip
_maximum = Op(
    "maximum", kind="elementwise", arity=2, saves="i", flops=1, max_ulp=0, onnx="Max",
    reference=lambda xp, a, b: xp.maximum(a, b), vjp=_extremum_vjp(lambda a, b: a > b),
)  # fmt: skip


def bound(x: Any, number: float) -> Any:
    """An attribute in x's dtype."""
    return np.asarray(number).astype(x.dtype)


_clamp = of_numbers(
    "clamp", arity=1, attrs={"min": -1.0, "max": 1.0}, saves="i", flops=2, max_ulp=0, onnx="Clip",
    reference=lambda xp, x, *, min, max: xp.minimum(xp.maximum(x, bound(x, min)), bound(x, max)),
    vjp=lambda g, out, x, *, min, max: (flat(where((x >= min) & (x <= max), g, 0.0), x),),
)  # fmt: skip
_clamp_min = of_numbers(
    "clamp_min", arity=1, attrs={"min": 0.0}, saves="i", flops=1, max_ulp=0,
    reference=lambda xp, x, *, min: xp.maximum(x, bound(x, min)),
    vjp=lambda g, out, x, *, min: (flat(where(x >= min, g, 0.0), x),),
)  # fmt: skip
_clamp_max = of_numbers(
    "clamp_max", arity=1, attrs={"max": 0.0}, saves="i", flops=1, max_ulp=0,
    reference=lambda xp, x, *, max: xp.minimum(x, bound(x, max)),
    vjp=lambda g, out, x, *, max: (flat(where(x <= max, g, 0.0), x),),
)  # fmt: skip


def _bounded_vjp(inside: Callable) -> Callable:
    """Of the clamps by tensors: x gets the gradient within the bound and at it, else the bound."""

    def vjp(g: Any, out: Any, x: Any, limit: Any) -> tuple:
        kept = inside(x, limit)
        return if_needed(x, lambda: where(kept, g, 0.0)), if_needed(limit, lambda: where(kept, 0.0, g))

    return vjp


_at_least = Op(
    "at_least", kind="elementwise", arity=2, saves="i", flops=1, max_ulp=0, onnx="Max",
    reference=lambda xp, x, limit: xp.maximum(x, limit), vjp=_bounded_vjp(lambda x, limit: x >= limit),
)  # fmt: skip
_at_most = Op(
    "at_most", kind="elementwise", arity=2, saves="i", flops=1, max_ulp=0, onnx="Min",
    reference=lambda xp, x, limit: xp.minimum(x, limit), vjp=_bounded_vjp(lambda x, limit: x <= limit),
)  # fmt: skip

# ---------------------------------------------------------------- functions

_exp = of_floats(
    "exp", arity=1, saves="o", flops=12, max_ulp=1.1, onnx="Exp",
    reference=lambda xp, x: xp.exp(x), vjp=lambda g, out, x: (g * out,),
)  # fmt: skip
_expm1 = of_floats(
    "expm1", arity=1, saves="o", flops=14, max_ulp=2,
    reference=lambda xp, x: xp.expm1(x), vjp=lambda g, out, x: (g * (out + 1),),
)  # fmt: skip
_log = of_floats(
    "log", arity=1, saves="i", flops=16, max_ulp=1, onnx="Log", domain=(0.1, 3.0),
    reference=lambda xp, x: xp.log(x), vjp=lambda g, out, x: (g / x,),
)  # fmt: skip
_log1p = of_floats(
    "log1p", arity=1, saves="i", flops=20, max_ulp=2, domain=(-0.9, 3.0),
    reference=lambda xp, x: xp.log1p(x), vjp=lambda g, out, x: (g / (x + 1),),
)  # fmt: skip
_log2 = of_floats(
    "log2", arity=1, saves="i", flops=20, max_ulp=2, domain=(0.1, 3.0),
    reference=lambda xp, x: xp.log2(x), vjp=lambda g, out, x: (g / (x * math.log(2)),),
)  # fmt: skip
_sqrt = of_floats(
    "sqrt", arity=1, saves="o", flops=1, max_ulp=0.5, onnx="Sqrt", domain=(0.1, 3.0),
    reference=lambda xp, x: xp.sqrt(x), vjp=lambda g, out, x: (g / (2 * out),),
)  # fmt: skip
_rsqrt = of_floats(
    "rsqrt", arity=1, saves="o", flops=2, max_ulp=2, domain=(0.1, 3.0),
    reference=lambda xp, x: 1 / xp.sqrt(x), vjp=lambda g, out, x: (-0.5 * g * (out * square(out)),),
)  # fmt: skip
_erf = of_floats(
    "erf", arity=1, saves="i", flops=40, max_ulp=2, onnx="Erf",
    reference=_erf_reference, vjp=lambda g, out, x: (g * (2 / math.sqrt(math.pi) * exp(-square(x))),),
)  # fmt: skip
_floor = of_floats(
    "floor", arity=1, saves="", flops=1, max_ulp=0, onnx="Floor",
    reference=lambda xp, x: xp.floor(x), vjp=lambda g, out, x: (zeros_of(g),),
)  # fmt: skip
_ceil = of_floats(
    "ceil", arity=1, saves="", flops=1, max_ulp=0, onnx="Ceil",
    reference=lambda xp, x: xp.ceil(x), vjp=lambda g, out, x: (zeros_of(g),),
)  # fmt: skip
_trunc = of_floats(
    "trunc", arity=1, saves="", flops=1, max_ulp=0,
    reference=lambda xp, x: xp.trunc(x), vjp=lambda g, out, x: (zeros_of(g),),
)  # fmt: skip
_round = of_floats(
    "round", arity=1, saves="", flops=1, max_ulp=0, onnx="Round",
    reference=lambda xp, x: xp.round(x), vjp=lambda g, out, x: (zeros_of(g),),
)  # fmt: skip

# ---------------------------------------------------------------- comparisons and logic


def _compare(name: str, reference: Callable, onnx: str | None, arity: int = 2) -> Op:
    return Op(name, kind="elementwise", rule="compare", arity=arity, reference=reference, flops=1, onnx=onnx)


_eq = _compare("eq", lambda xp, a, b: a == b, "Equal")
_ne = _compare("ne", lambda xp, a, b: a != b, None)
_lt = _compare("lt", lambda xp, a, b: a < b, "Less")
_le = _compare("le", lambda xp, a, b: a <= b, "LessOrEqual")
_gt = _compare("gt", lambda xp, a, b: a > b, "Greater")
_ge = _compare("ge", lambda xp, a, b: a >= b, "GreaterOrEqual")
_isnan = _compare("isnan", lambda xp, x: xp.isnan(x), "IsNaN", arity=1)
_isinf = _compare("isinf", lambda xp, x: xp.isinf(x), "IsInf", arity=1)
_isfinite = _compare("isfinite", lambda xp, x: xp.isfinite(x), None, arity=1)


def _logical(name: str, reference: Callable, onnx: str, arity: int = 2) -> Op:
    return Op(name, kind="elementwise", rule="logical", arity=arity, reference=reference, flops=1, onnx=onnx)


_logical_and = _logical("logical_and", lambda xp, a, b: xp.logical_and(a, b), "And")
_logical_or = _logical("logical_or", lambda xp, a, b: xp.logical_or(a, b), "Or")
_logical_xor = _logical("logical_xor", lambda xp, a, b: xp.logical_xor(a, b), "Xor")
_logical_not = _logical("logical_not", lambda xp, x: xp.logical_not(x), "Not", arity=1)


def _bitwise(name: str, reference: Callable, onnx: str, arity: int = 2) -> Op:
    return Op(
        name, kind="elementwise", arity=arity, infer=_integer_infer(name), reference=reference,
        saves="", flops=1, onnx=onnx,
        samples=[Sample(tuple(np.array([5, -3, 0, 127]) + k for k in range(arity)))],
    )  # fmt: skip


_bitwise_and = _bitwise("bitwise_and", lambda xp, a, b: a & b, "BitwiseAnd")
_bitwise_or = _bitwise("bitwise_or", lambda xp, a, b: a | b, "BitwiseOr")
_bitwise_xor = _bitwise("bitwise_xor", lambda xp, a, b: a ^ b, "BitwiseXor")
_bitwise_not = _bitwise("bitwise_not", lambda xp, x: ~x, "BitwiseNot", arity=1)

where_op = Op(
    "where", kind="elementwise", rule="where", arity=3, saves="i0", flops=1, max_ulp=0, onnx="Where",
    reference=lambda xp, condition, a, b: xp.where(condition, a, b),
    vjp=lambda g, out, condition, a, b: (
        None,
        if_needed(a, lambda: where(condition, g, 0.0)),
        if_needed(b, lambda: where(condition, 0.0, g)),
    ),
)  # fmt: skip


def _cast_infer(x: Aval, *, dtype: np.dtype) -> Spec:
    return x.shape, dtype


_cast: Op = Op(
    "cast", kind="elementwise", arity=1, attrs={"dtype": np.dtype("float32")}, saves="", max_ulp=0.5,
    onnx="Cast", infer=_cast_infer,
    reference=lambda xp, x, *, dtype: x.astype(dtype),
    encode=lambda x, *, dtype: CODE[x.dtype] * 16 + CODE[dtype],
    vjp=lambda g, out, x, *, dtype: (_cast(g, dtype=x.dtype),),
)  # fmt: skip


def cast_to(input: Any, dtype: Any) -> Any:
    dtype = as_dtype(dtype)
    return input if input.dtype == dtype else _cast(input, dtype=dtype)


def as_arrays(*operands: Any, floats: bool = False) -> list:
    """The operands, numbers among them as 0-d tensors (beside arrays alone: arrays) of the dtype in which an op of all of
    them computes, with the precision of that dtype. floats: all in that dtype, and integers as floats.
    """
    operands = tuple(x.item() if isinstance(x, np.generic) else x for x in operands)
    dtype = promote(operands)
    if floats and not is_float(dtype):
        dtype = get_default_dtype()
    plain = [isinstance(x, np.ndarray) for x in operands if hasattr(x, "dtype")]

    def made(x: Any) -> Any:
        if hasattr(x, "dtype"):
            return cast_to(x, dtype) if floats else x
        number = constant(x, dtype)
        return number._data if plain and all(plain) else number

    return [made(x) for x in operands]


def fitting(name: str, value: Any, dtype: np.dtype) -> Any:
    """`value`, a number or an array, as it is written into an array of `dtype`: of floats the whole part."""
    if hasattr(value, "dtype") and not isinstance(value, np.generic):
        return cast_to(value, dtype)
    kind: Any = float if is_float(dtype) else bool if dtype == bool_ else int
    try:
        number = kind(value)
        constant(number, dtype)
    except (TypeError, ValueError, OverflowError):
        raise DTypeError(f"{name}: value={value!r:.60} of type {type(value).__name__} does not fit {dtype}") from None
    return number


# ---------------------------------------------------------------- public: arithmetic


def _scaled(other: Any, alpha: float) -> Any:
    return other * alpha if isinstance(other, (int, float)) else _mul(other, alpha)


def add(input: Array, other: Array, *, alpha: float = 1) -> Array:
    """input + alpha * other. Shapes broadcast; of bools: or.

    >>> import ranvier as rv
    >>> rv.add(rv.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return _add(input, other if alpha == 1 else _scaled(other, alpha))


def sub(input: Array, other: Array, *, alpha: float = 1) -> Array:
    """input - alpha * other.

    >>> import ranvier as rv
    >>> rv.sub(rv.tensor([1.0, 2.0]), rv.tensor(1.0))
    tensor([0., 1.])
    """
    return _sub(input, other if alpha == 1 else _scaled(other, alpha))


def mul(input: Array, other: Array) -> Array:
    """input * other; of bools: and.

    >>> import ranvier as rv
    >>> rv.mul(rv.tensor([1.0, 2.0]), 3)
    tensor([3., 6.])
    """
    return _mul(input, other)


def div(input: Array, other: Array, *, rounding_mode: str | None = None) -> Array:
    """input / other; integers give floats. rounding_mode "floor" rounds down, "trunc" toward zero.

    >>> import ranvier as rv
    >>> rv.div(rv.tensor([7, -7]), 2)
    tensor([ 3.5, -3.5])
    >>> rv.div(rv.tensor([7, -7]), 2, rounding_mode="trunc")
    tensor([ 3, -3])
    """
    if rounding_mode is None:
        return _div(input, other)
    if rounding_mode == "floor":
        return _floor_divide(input, other)
    if rounding_mode != "trunc":
        raise DTypeError(f"div: rounding_mode={rounding_mode!r} must be None, 'floor' or 'trunc'")
    if any(isinstance(x, float) or hasattr(x, "dtype") and is_float(x.dtype) for x in (input, other)):
        return _trunc(_div(input, other))
    input, other = as_arrays(input, other)
    down = _floor_divide(input, other)
    return _add(down, _logical_and(_lt(down, 0), _ne(_mul(down, other), input)))


def floor_divide(input: Array, other: Array) -> Array:
    """floor(input / other). Integers stay integers; divided by 0 they give 0.

    >>> import ranvier as rv
    >>> rv.floor_divide(rv.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    return _floor_divide(input, other)


def remainder(input: Array, other: Array) -> Array:
    """input - floor_divide(input, other) * other: the result has the sign of `other`, as Python's %.

    >>> import ranvier as rv
    >>> rv.remainder(rv.tensor([7.0, -7.0]), 3)
    tensor([1., 2.])
    """
    return _remainder(input, other)


def pow(input: Array, exponent: Array) -> Array:
    """input ** exponent. Integers stay integers, bools become int64; a negative exponent then is an error.

    >>> import ranvier as rv
    >>> rv.pow(rv.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if isinstance(exponent, (int, float)) and hasattr(input, "dtype"):
        if input.dtype == bool_:
            input = cast_to(input, int64)
        of_float = is_float(input.dtype)
        if not of_float and isinstance(exponent, int) and exponent < 0:
            raise DTypeError(f"pow: exponent {exponent} of {input.dtype} is negative; cast to float first")
        if of_float or isinstance(exponent, int):
            if exponent == 2:
                return _square(input)
            if exponent == 3:
                return _mul(input, _square(input))
        if of_float:
            if exponent == 0.5:
                return _sqrt(input)
            if exponent == -0.5:
                return _rsqrt(input)
            if exponent == -1:
                return _reciprocal(input)
    return _pow(input, exponent)


def neg(input: Array) -> Array:
    """-input."""
    return _neg(input)


def abs(input: Array) -> Array:
    """|input|; its derivative at 0 is 0."""
    return _abs_op(input)


def sign(input: Array) -> Array:
    """1, 0 or -1; 0 for NaN. Of bools: themselves."""
    return _itself(input) if hasattr(input, "dtype") and input.dtype == bool_ else _sign(input)


def square(input: Array) -> Array:
    """input * input; of bools in int64."""
    return _square(cast_to(input, int64) if hasattr(input, "dtype") and input.dtype == bool_ else input)


def reciprocal(input: Array) -> Array:
    """1 / input."""
    return _reciprocal(input)


def minimum(input: Array, other: Array) -> Array:
    """The lesser of both; NaN where either is NaN. Equal values share the gradient."""
    return _minimum(input, other)


def maximum(input: Array, other: Array) -> Array:
    """The greater of both; NaN where either is NaN. Equal values share the gradient."""
    return _maximum(input, other)


def _within(dtype: np.dtype, min: Any, max: Any) -> tuple[Any, Any, bool]:
    """Bounds of integers of `dtype`: those that bind nothing moved to its ends; and whether floats hold both exactly."""
    ends = np.iinfo(dtype)
    if min is not None and min > ends.max or max is not None and max < ends.min:
        raise DTypeError(f"clamp: bounds min={min}, max={max} leave no number of {dtype}")
    low = None if min is None else builtins.max(min, int(ends.min))
    high = None if max is None else builtins.min(max, int(ends.max))
    return low, high, all(b is None or float(b) == b for b in (low, high))


def clamp(input: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """min(max(input, min), max); the bounds are numbers or tensors, None for no bound.

    The gradient passes where min <= input <= max.

    >>> import ranvier as rv
    >>> rv.clamp(rv.tensor([-2.0, 0.5, 2.0]), -1, 1)
    tensor([-1. ,  0.5,  1. ])
    """
    if min is None and max is None:
        raise DTypeError("clamp: one of min and max must be given")
    min, max = (b.item() if isinstance(b, np.generic) else b for b in (min, max))
    bounds = [b for b in (min, max) if b is not None]
    if not all(isinstance(b, (int, float)) for b in bounds):
        lower = input if min is None else _at_least(input, min)
        return lower if max is None else _at_most(lower, max)
    if not is_float(input.dtype):
        if any(isinstance(b, float) for b in bounds):
            input = cast_to(input, get_default_dtype())
        elif input.dtype != bool_:
            min, max, exact = _within(input.dtype, min, max)
            if not exact:
                lower = input if min is None else _maximum(input, min)
                return lower if max is None else _minimum(lower, max)
    if max is None:
        return _clamp_min(input, min=float(min))  # type: ignore[arg-type]  # one of them is given
    if min is None:
        return _clamp_max(input, max=float(max))
    return _clamp(input, min=float(min), max=float(max))


def lerp(input: Array, end: Array, weight: Array) -> Array:
    """input + weight * (end - input); exactly `end` for the weight 1."""
    way = _sub(end, input)

    def from_start() -> Any:
        return _add(input, _mul(way, weight))

    def from_end() -> Any:
        return _sub(end, _mul(way, _sub(1, weight) if hasattr(weight, "dtype") else 1 - weight))

    if hasattr(weight, "dtype"):
        return where_op(_lt(_abs_op(weight), 0.5), from_start(), from_end())
    return from_start() if _abs(weight) < 0.5 else from_end()


# ---------------------------------------------------------------- public: functions


def exp(input: Array) -> Array:
    """e ** input.

    >>> import ranvier as rv
    >>> rv.exp(rv.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """
    return _exp(input)


def exp2(input: Array) -> Array:
    """2 ** input."""
    return _pow(2.0, input)


def expm1(input: Array) -> Array:
    """e ** input - 1, precise also near 0."""
    return _expm1(input)


def log(input: Array) -> Array:
    """Natural logarithm; -inf at 0, NaN below.

    >>> import ranvier as rv
    >>> rv.log(rv.tensor([1.0, 0.0]))
    tensor([  0., -inf])
    """
    return _log(input)


def log1p(input: Array) -> Array:
    """log(1 + input), precise also near 0."""
    return _log1p(input)


def log2(input: Array) -> Array:
    """Logarithm to base 2."""
    return _log2(input)


def log10(input: Array) -> Array:
    """Logarithm to base 10."""
    return _div(_log(input), math.log(10))


def sqrt(input: Array) -> Array:
    """Square root; NaN below 0. Its derivative at 0 is inf."""
    return _sqrt(input)


def rsqrt(input: Array) -> Array:
    """1 / sqrt(input)."""
    return _rsqrt(input)


def erf(input: Array) -> Array:
    """2 / sqrt(pi) * the integral of exp(-t^2) from 0 to input."""
    return _erf(input)


def _itself(input: Any) -> Any:
    return _cast(input, dtype=input.dtype)


def _whole(op: Op, input: Any) -> Any:
    return op(input) if not hasattr(input, "dtype") or is_float(input.dtype) else _itself(input)


def floor(input: Array) -> Array:
    """The greatest integer that is not above input; integers are returned as they are."""
    return _whole(_floor, input)


def ceil(input: Array) -> Array:
    """The least integer that is not below input; integers are returned as they are."""
    return _whole(_ceil, input)


def trunc(input: Array) -> Array:
    """input without its fraction; integers are returned as they are."""
    return _whole(_trunc, input)


def round(input: Array, *, decimals: int = 0) -> Array:
    """The nearest integer, of two the even one; or the nearest multiple of 10 ** -decimals.

    >>> import ranvier as rv
    >>> rv.round(rv.tensor([0.5, 1.5, 2.5]))
    tensor([0., 2., 2.])
    """
    if decimals == 0:
        return _whole(_round, input)
    scale = 10.0 ** _abs(decimals)
    if decimals > 0:
        return _div(_round(_mul(input, scale)), scale)
    return _mul(_round(_div(input, scale)), scale)


# ---------------------------------------------------------------- public: comparisons and logic


def eq(input: Array, other: Array) -> Array:
    """input == other, elementwise."""
    return _eq(input, other)


def ne(input: Array, other: Array) -> Array:
    """input != other, elementwise."""
    return _ne(input, other)


def lt(input: Array, other: Array) -> Array:
    """input < other, elementwise."""
    return _lt(input, other)


def le(input: Array, other: Array) -> Array:
    """input <= other, elementwise."""
    return _le(input, other)


def gt(input: Array, other: Array) -> Array:
    """input > other, elementwise."""
    return _gt(input, other)


def ge(input: Array, other: Array) -> Array:
    """input >= other, elementwise."""
    return _ge(input, other)


def isnan(input: Array) -> Array:
    """Whether each element is NaN."""
    return _isnan(input)


def isinf(input: Array) -> Array:
    """Whether each element is inf or -inf."""
    return _isinf(input)


def isfinite(input: Array) -> Array:
    """Whether each element is neither NaN nor infinite."""
    return _isfinite(input)


def logical_and(input: Array, other: Array) -> Array:
    """Both are not 0."""
    return _logical_and(input, other)


def logical_or(input: Array, other: Array) -> Array:
    """At least one is not 0."""
    return _logical_or(input, other)


def logical_xor(input: Array, other: Array) -> Array:
    """Exactly one is not 0."""
    return _logical_xor(input, other)


def logical_not(input: Array) -> Array:
    """input is 0."""
    return _logical_not(input)


def bitwise_and(input: Array, other: Array) -> Array:
    """input & other, of integers or bools."""
    return _bitwise_and(input, other)


def bitwise_or(input: Array, other: Array) -> Array:
    """input | other, of integers or bools."""
    return _bitwise_or(input, other)


def bitwise_xor(input: Array, other: Array) -> Array:
    """input ^ other, of integers or bools."""
    return _bitwise_xor(input, other)


def bitwise_not(input: Array) -> Array:
    """~input, of integers or bools."""
    return _bitwise_not(input)


def where(condition: Any, input: Any, other: Any) -> Any:
    """The public `where` (index.py) of three arguments."""
    return where_op(condition, input, other)


absolute, clip, divide, multiply, negative, subtract, true_divide = abs, clamp, div, mul, neg, sub, div
