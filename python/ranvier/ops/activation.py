"""Activations. With `inplace` the result goes into the input's memory, as in PyTorch; that saves no time here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.errors import DTypeError, ShapeError
from ._xp import erfc
from .elementwise import (
    add,
    bound,
    clamp,
    div,
    exp,
    fitting,
    flat,
    ge,
    gt,
    if_needed,
    le,
    logical_and,
    mul,
    of_floats,
    of_numbers,
    square,
    sub,
    where,
    zeros_of,
)  # fmt: skip
from .public import Array
from .record import Op, normalize_axis
from .shape import chunk

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink",
    "softsign", "tanh", "tanhshrink", "threshold",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
_GELU_CUBE = 0.044715  # Hendrycks & Gimpel 2016
_SQRT_2_PI = math.sqrt(2 / math.pi)


def _sigmoid_reference(xp: Any, x: Any) -> Any:
    small = xp.exp(-xp.abs(x))
    return xp.where(x < 0, small, xp.ones_like(x)) / (1 + small)


def _softplus_reference(xp: Any, x: Any) -> Any:
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def _normal_cdf(xp: Any, x: Any) -> Any:
    return 0.5 * erfc(xp, x * -math.sqrt(0.5))


def _normal_density(xp: Any, x: Any) -> Any:
    return xp.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))


def _bounded(xp: Any, x: Any) -> Any:
    """x, but finite: factors of it below have vanished long before."""
    return xp.minimum(xp.maximum(x, -1e4 * xp.ones_like(x)), 1e4 * xp.ones_like(x))


def _gelu_tanh_argument(x: Any) -> Any:
    """2 u for gelu_tanh(x) = x sigmoid(2 u)."""
    return 2 * _SQRT_2_PI * x * (1 + _GELU_CUBE * x * x)


def _gelu_tanh_slope(x: Any) -> Any:
    """d(2 u)/dx"""
    return 2 * _SQRT_2_PI * (1 + 3 * _GELU_CUBE * x * x)


# ---------------------------------------------------------------- piecewise linear

_relu = of_numbers(
    "relu", arity=1, saves="o", flops=1, max_ulp=0, onnx="Relu",
    reference=lambda xp, x: xp.maximum(x, xp.zeros_like(x)),
    vjp=lambda g, out, x: (_relu_grad(g, out),),
)  # fmt: skip
_relu_grad: Op = of_floats(
    "relu_grad", arity=2, saves="i1", flops=1, max_ulp=0, masks=True,
    reference=lambda xp, g, out: xp.where(out <= 0, xp.zeros_like(g), g),
    vjp=lambda gg, _, g, out: (_relu_grad(gg, out), if_needed(out, lambda: zeros_of(gg))),
)  # fmt: skip
_leaky_relu = of_floats(
    "leaky_relu", arity=1, attrs={"negative_slope": 0.01}, saves="i", flops=2, max_ulp=1, onnx="LeakyRelu",
    reference=lambda xp, x, *, negative_slope: xp.where(x > 0, x, x * negative_slope),
    vjp=lambda g, out, x, *, negative_slope: (flat(where(x > 0, g, g * negative_slope), x),),
)  # fmt: skip
_hardtanh = of_numbers(
    "hardtanh", arity=1, attrs={"min_val": -1.0, "max_val": 1.0}, saves="o", flops=2, max_ulp=0, onnx="Clip",
    reference=lambda xp, x, *, min_val, max_val: xp.minimum(
        xp.maximum(x, bound(x, min_val)), bound(x, max_val)
    ),
    vjp=lambda g, out, x, *, min_val, max_val: (flat(where((out <= min_val) | (out >= max_val), 0.0, g), out),),
)  # fmt: skip
_hardswish = of_floats(
    "hardswish", arity=1, saves="i", flops=4, max_ulp=3, onnx="HardSwish",
    reference=lambda xp, x: x * xp.minimum(xp.maximum(x + 3, xp.zeros_like(x)), 6 * xp.ones_like(x)) / 6,
    vjp=lambda g, out, x: (where(x <= -3, 0.0, where(x < 3, g * (x / 3 + 0.5), g)),),
)  # fmt: skip

# ---------------------------------------------------------------- exponential units

_elu = of_floats(
    "elu", arity=1, attrs={"alpha": 1.0}, saves="io", flops=16, max_ulp=3, onnx="Elu",
    reference=lambda xp, x, *, alpha: xp.where(x > 0, x, alpha * xp.expm1(x)),
    vjp=lambda g, out, x, *, alpha: (where(x > 0, g, g * (out + alpha)),),
)  # fmt: skip
_selu = of_floats(
    "selu", arity=1, saves="o", flops=17, max_ulp=3, onnx="Selu",
    reference=lambda xp, x: _SELU_SCALE * xp.where(x > 0, x, _SELU_ALPHA * xp.expm1(x)),
    vjp=lambda g, out, x: (where(out > 0, g * _SELU_SCALE, g * (out + _SELU_SCALE * _SELU_ALPHA)),),
)  # fmt: skip
_celu = of_floats(
    "celu", arity=1, attrs={"alpha": 1.0}, saves="io", flops=17, max_ulp=3, onnx="Celu",
    reference=lambda xp, x, *, alpha: xp.where(x > 0, x, alpha * xp.expm1(x / alpha)),
    vjp=lambda g, out, x, *, alpha: (where(x > 0, g, g * (out / alpha + 1)),),
)  # fmt: skip

# ---------------------------------------------------------------- sigmoids

_sigmoid = of_floats(
    "sigmoid", arity=1, saves="o", flops=16, max_ulp=3, onnx="Sigmoid", yields="probabilities",
    reference=_sigmoid_reference, vjp=lambda g, out, x: (_sigmoid_grad(g, out),),
)  # fmt: skip
_sigmoid_grad: Op = of_floats(
    "sigmoid_grad", arity=2, saves="i", flops=3, max_ulp=2,
    reference=lambda xp, g, out: g * (out * (1 - out)),
    vjp=lambda gg, _, g, out: (_sigmoid_grad(gg, out), gg * (g * (1 - 2 * out))),
)  # fmt: skip
_tanh = of_floats(
    "tanh", arity=1, saves="o", flops=18, max_ulp=3, onnx="Tanh",
    reference=lambda xp, x: xp.tanh(x), vjp=lambda g, out, x: (_tanh_grad(g, out),),
)  # fmt: skip
_tanh_grad: Op = of_floats(
    "tanh_grad", arity=2, saves="i", flops=3, max_ulp=2, ulp_floor=1.0, domain=(-0.9, 0.9),
    reference=lambda xp, g, out: g * (1 - out * out),
    vjp=lambda gg, _, g, out: (_tanh_grad(gg, out), gg * (g * (-2 * out))),
)  # fmt: skip
_softsign = of_floats(
    "softsign", arity=1, saves="i", flops=3, max_ulp=2, onnx="Softsign",
    reference=lambda xp, x: x / (1 + xp.abs(x)), vjp=lambda g, out, x: (g / square(1 + x.abs()),),
)  # fmt: skip
_softplus = of_floats(
    "softplus", arity=1, attrs={"beta": 1.0, "threshold": 20.0}, saves="i", flops=36, max_ulp=3,
    onnx="Softplus",
    reference=lambda xp, x, *, beta, threshold: xp.where(
        x * beta > threshold, x, _softplus_reference(xp, x * beta) / beta
    ),
    vjp=lambda g, out, x, *, beta, threshold: (where(x * beta > threshold, g, g * sigmoid(x * beta)),),
)  # fmt: skip
_logsigmoid = of_floats(
    "logsigmoid", arity=1, saves="i", flops=36, max_ulp=2,
    reference=lambda xp, x: -_softplus_reference(xp, -x), vjp=lambda g, out, x: (g * sigmoid(-x),),
)  # fmt: skip

# ---------------------------------------------------------------- gates: x times a sigmoid of x
# Their derivatives are ops too: one pass instead of many. Near their zeros only the absolute error is small.

_gelu = of_floats(
    "gelu", arity=1, saves="i", flops=40, max_ulp=8, onnx="Gelu",
    reference=lambda xp, x: x * _normal_cdf(xp, x), vjp=lambda g, out, x: (g * _gelu_grad(x),),
)  # fmt: skip
_gelu_grad: Op = of_floats(
    "gelu_grad", arity=1, saves="i", flops=42, max_ulp=8, ulp_floor=0.25,
    reference=lambda xp, x: _normal_cdf(xp, x) + _bounded(xp, x) * _normal_density(xp, x),
    vjp=lambda g, out, x: (g * ((2 - square(x)) * exp(-0.5 * square(x)) * (1 / math.sqrt(2 * math.pi))),),
)  # fmt: skip
_gelu_tanh = of_floats(
    "gelu_tanh", arity=1, saves="i", flops=20, max_ulp=16, ulp_floor=2**-6,  # the argument is rounded
    reference=lambda xp, x: x * _sigmoid_reference(xp, _gelu_tanh_argument(x)),
    vjp=lambda g, out, x: (g * _gelu_tanh_grad(x),),
)  # fmt: skip


def _gelu_tanh_grad_reference(xp: Any, x: Any) -> Any:
    x = _bounded(xp, x)
    t = _gelu_tanh_argument(x)
    s = _sigmoid_reference(xp, t)
    return s + x * s * _sigmoid_reference(xp, -t) * _gelu_tanh_slope(x)


def _gelu_tanh_grad_vjp(g: Any, out: Any, x: Any) -> tuple:
    # f' = s + x s' v, s' = s (1 - s), v = dt/dx: f'' = s' (2 v + x ((1 - 2 s) v^2 + v'))
    s, v = sigmoid(_gelu_tanh_argument(x)), _gelu_tanh_slope(x)
    bend = (12 * _SQRT_2_PI * _GELU_CUBE) * x  # v'
    return (g * (s * (1 - s) * (2 * v + x * ((1 - 2 * s) * square(v) + bend))),)


_gelu_tanh_grad: Op = of_floats(
    "gelu_tanh_grad", arity=1, saves="i", flops=30, max_ulp=16, ulp_floor=0.25,
    reference=_gelu_tanh_grad_reference, vjp=_gelu_tanh_grad_vjp,
)  # fmt: skip
_silu = of_floats(
    "silu", arity=1, saves="i", flops=17, max_ulp=4, onnx="Swish",
    reference=lambda xp, x: x * _sigmoid_reference(xp, x), vjp=lambda g, out, x: (g * _silu_grad(x),),
)  # fmt: skip


def _silu_grad_vjp(g: Any, out: Any, x: Any) -> tuple:
    s = sigmoid(x)
    return (g * (s * (1 - s) * (2 + x * (1 - 2 * s))),)


_silu_grad: Op = of_floats(
    "silu_grad", arity=1, saves="i", flops=22, max_ulp=8, ulp_floor=0.25,
    reference=lambda xp, x: _sigmoid_reference(xp, x) * (1 + _bounded(xp, x) * _sigmoid_reference(xp, -x)),
    vjp=_silu_grad_vjp,
)  # fmt: skip
_mish = of_floats(
    "mish", arity=1, saves="i", flops=20, max_ulp=5, onnx="Mish",
    reference=lambda xp, x: x * xp.tanh(_softplus_reference(xp, x)),
    vjp=lambda g, out, x: (g * _mish_grad(x),),
)  # fmt: skip


def _mish_grad_reference(xp: Any, x: Any) -> Any:
    w = xp.tanh(_softplus_reference(xp, x))
    return w + _bounded(xp, x) * (1 - w * w) * _sigmoid_reference(xp, x)


def _mish_grad_vjp(g: Any, out: Any, x: Any) -> tuple:
    # f' = w + x w', w = tanh(softplus(x)), w' = (1 - w^2) s: f'' = w' (2 + x (1 - s - 2 w s))
    w, s = tanh(softplus(x)), sigmoid(x)
    return (g * ((1 - square(w)) * s * (2 + x * (1 - s - 2 * w * s))),)


_mish_grad: Op = of_floats(
    "mish_grad", arity=1, saves="i", flops=25, max_ulp=8, ulp_floor=0.25,
    reference=_mish_grad_reference, vjp=_mish_grad_vjp,
)  # fmt: skip

# ---------------------------------------------------------------- public


def into(input: Any, out: Any) -> Any:
    """`input` with the values of `out`, for functions called with inplace=True."""
    if out is input:
        return input
    if isinstance(input, np.ndarray):
        np.copyto(input, out)
        return input
    return input._assign(out)


def relu(input: Array, inplace: bool = False) -> Array:
    """max(input, 0); its derivative at 0 is 0.

    >>> import ranvier as rv
    >>> rv.relu(rv.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    out = _relu(input)
    return into(input, out) if inplace else out


def relu6(input: Array, inplace: bool = False) -> Array:
    """min(max(input, 0), 6)."""
    out = _hardtanh(input, min_val=0.0, max_val=6.0)
    return into(input, out) if inplace else out


def leaky_relu(input: Array, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """input where it is positive, else negative_slope * input.

    >>> import ranvier as rv
    >>> rv.nn.functional.leaky_relu(rv.tensor([-1.0, 2.0]), 0.5)
    tensor([-0.5,  2. ])
    """
    out = _leaky_relu(input, negative_slope=float(negative_slope))
    return into(input, out) if inplace else out


def prelu(input: Array, weight: Array) -> Array:
    """input where it is positive, else weight * input; weight has one element, or one a channel (axis 1)."""
    channels = weight.shape[0] if weight.ndim else 1
    if channels > 1:
        if weight.ndim != 1 or input.ndim < 2 or input.shape[1] != channels:
            raise ShapeError(
                f"prelu: weight{weight.shape} must have one element, or one a channel of input{input.shape}"
            )
        weight = weight.reshape((channels,) + (1,) * (input.ndim - 2))
    elif weight.ndim > input.ndim:  # one element makes no axis
        weight = weight.reshape(())
    return where(gt(input, 0), input, mul(weight, input))


def threshold(input: Array, threshold: float, value: float, inplace: bool = False) -> Array:
    """input where it is above `threshold`, else `value`."""
    out = where(le(input, threshold), fitting("threshold", value, input.dtype), input)
    return into(input, out) if inplace else out


def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """min(max(input, min_val), max_val); unlike clamp's, its derivative at the bounds is 0."""
    if min_val > max_val:
        raise DTypeError(f"hardtanh: min_val={min_val} must not be above max_val={max_val}")
    out = _hardtanh(input, min_val=float(min_val), max_val=float(max_val))
    return into(input, out) if inplace else out


def hardsigmoid(input: Array, inplace: bool = False) -> Array:
    """min(max(input + 3, 0), 6) / 6."""
    out = div(relu6(add(input, 3.0)), 6.0)
    return into(input, out) if inplace else out


def hardswish(input: Array, inplace: bool = False) -> Array:
    """input * hardsigmoid(input)."""
    out = _hardswish(input)
    return into(input, out) if inplace else out


def elu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """input where it is positive, else alpha * (exp(input) - 1)."""
    out = _elu(input, alpha=float(alpha))
    return into(input, out) if inplace else out


def selu(input: Array, inplace: bool = False) -> Array:
    """The self-normalising elu: 1.0507 * elu(input, 1.6733)."""
    out = _selu(input)
    return into(input, out) if inplace else out


def celu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """input where it is positive, else alpha * (exp(input / alpha) - 1)."""
    if alpha == 0:
        raise DTypeError("celu: alpha=0 must not be 0")
    out = _celu(input, alpha=float(alpha))
    return into(input, out) if inplace else out


def sigmoid(input: Array) -> Array:
    """1 / (1 + exp(-input)).

    >>> import ranvier as rv
    >>> rv.sigmoid(rv.tensor([0.0]))
    tensor([0.5])
    """
    return _sigmoid(input)


def tanh(input: Array) -> Array:
    """Hyperbolic tangent.

    >>> import ranvier as rv
    >>> rv.tanh(rv.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """
    return _tanh(input)


def tanhshrink(input: Array) -> Array:
    """input - tanh(input)."""
    return sub(input, tanh(input))


def softsign(input: Array) -> Array:
    """input / (1 + |input|)."""
    return _softsign(input)


def softplus(input: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta * input)) / beta; input itself where beta * input is above `threshold`."""
    return _softplus(input, beta=float(beta), threshold=float(threshold))


def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """input moved toward 0 by `lambd`, and 0 where it is nearer than that."""
    if lambd < 0:
        raise DTypeError(f"softshrink: lambd={lambd} must not be negative")
    return sub(input, clamp(input, -lambd, lambd))


def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """input, and 0 where it lies in [-lambd, lambd]."""
    return where(logical_and(ge(input, -lambd), le(input, lambd)), 0.0, input)


def logsigmoid(input: Array) -> Array:
    """log(sigmoid(input)), precise also where sigmoid underflows."""
    return _logsigmoid(input)


def gelu(input: Array, approximate: str = "none") -> Array:
    """input * Phi(input) with the normal distribution function Phi; approximate="tanh" approximates it.

    >>> import ranvier as rv
    >>> rv.nn.functional.gelu(rv.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.    ,  0.8413])
    """
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise DTypeError(f"gelu: approximate={approximate!r} must be 'none' or 'tanh'")


def silu(input: Array, inplace: bool = False) -> Array:
    """input * sigmoid(input), also known as swish."""
    out = _silu(input)
    return into(input, out) if inplace else out


def mish(input: Array, inplace: bool = False) -> Array:
    """input * tanh(softplus(input))."""
    out = _mish(input)
    return into(input, out) if inplace else out


def glu(input: Array, dim: int = -1) -> Array:
    """a * sigmoid(b), where a and b are the halves of input along `dim`."""
    axis = normalize_axis("glu", dim, input.ndim)
    if input.ndim == 0 or input.shape[axis] % 2:
        raise ShapeError(f"glu: axis {dim} of {input.shape} must have an even size")
    a, b = chunk(input, 2, axis)
    return mul(a, sigmoid(b))
