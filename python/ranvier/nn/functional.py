"""Layers and losses as functions; `import ranvier.nn.functional as F`.

All take Tensors or NumPy arrays (and then return arrays). `inplace` arguments are taken as PyTorch takes them;
results are new tensors either way.
"""
from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..dtypes import is_float
from ..errors import DomainError, DTypeError, ShapeError
from ..ops import (
    bilinear, flatten, linear, logsigmoid, one_hot, pad, sigmoid, softsign, tanh, tanhshrink, unflatten,
)  # fmt: skip
from .loss_functions import *  # noqa: F403
from .loss_functions import __all__ as _losses

__all__ = [
    "bilinear", "celu", "check_probability", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "flatten",
    "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "linear", "log_softmax",
    "logsigmoid", "mish", "one_hot", "pad", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid", "silu", "softmax",
    "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "unflatten", *_losses,
]  # fmt: skip


# ---------------------------------------------------------------- activations


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0)."""
    return ops.relu(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6)."""
    return ops.relu6(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where positive, else negative_slope * x."""
    return ops.leaky_relu(input, negative_slope=negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """x where positive, else weight * x; weight holds one number, or one a channel (axis 1)."""
    if weight.ndim == 1 and weight.shape[0] != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if weight.shape[0] != channels:
            raise ShapeError(
                f"prelu: weight{tuple(weight.shape)} must have 1 element or one for each of the {channels} "
                f"channels of x{tuple(input.shape)}"
            )
        weight = ops.reshape(weight, (-1, *(1,) * (input.ndim - 2)))
    elif weight.ndim > 1:
        raise ShapeError(f"prelu: weight{tuple(weight.shape)} must have 1 axis")
    return ops.where(ops.gt(input, 0), input, ops.mul(weight, input))


def rrelu(
    input: Any, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """x where positive, else a * x; a from U(lower, upper) in training and (lower + upper) / 2 otherwise."""
    if not lower <= upper:
        raise DomainError(f"rrelu: lower={lower} must not exceed upper={upper}")
    if not training:
        return ops.leaky_relu(input, negative_slope=(lower + upper) / 2)
    from .. import random

    slope = random.uniform(input.shape, lower, upper, dtype=input.dtype)
    return ops.where(ops.ge(input, 0), input, ops.mul(input, slope))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha * (exp(x) - 1)."""
    return ops.elu(input, alpha=alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """scale * elu(x, alpha), with alpha = 1.6733 and scale = 1.0507."""
    return ops.selu(input)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where positive, else alpha * (exp(x / alpha) - 1)."""
    return ops.celu(input, alpha=alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x * Phi(x); approximate="tanh": x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2."""
    return ops.gelu(input, approximate=approximate)


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    return ops.silu(input)


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    return ops.mish(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta * x)) / beta, and x where beta * x > threshold."""
    return ops.softplus(input, beta=beta, threshold=threshold)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """min(max(x + 3, 0), 6) / 6."""
    return ops.hardsigmoid(input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * hardsigmoid(x)."""
    return ops.hardswish(input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x limited to [min_val, max_val]."""
    return ops.hardtanh(input, min_val=min_val, max_val=max_val)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| > lambd, else 0."""
    return ops.hardshrink(input, lambd=lambd)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards 0 by lambd."""
    return ops.softshrink(input, lambd=lambd)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else value."""
    return ops.threshold(input, threshold=threshold, value=value)


def glu(input: Any, dim: int = -1) -> Any:
    """a * sigmoid(b), where a and b are the halves of x along dim."""
    size = input.shape[dim] if input.ndim else 0
    if size % 2 or not input.ndim:
        raise ShapeError(f"glu: x{tuple(input.shape)}: axis {dim} must have an even size")
    a, b = ops.split(input, size // 2, dim)
    return ops.mul(a, ops.sigmoid(b))


# ---------------------------------------------------------------- softmax


def _dim(name: str, dim: int | None) -> int:
    if dim is None:
        raise DTypeError(f"{name}: dim must be given: the axis along which probabilities add up to 1")
    return dim


def _cast(input: Any, dtype: Any) -> Any:
    if dtype is None:
        return input
    return input.to(dtype) if hasattr(input, "to") else input.astype(dtype)


def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along dim."""
    return ops.softmax(_cast(input, dtype), _dim("softmax", dim))


def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax(-x)."""
    return ops.softmax(ops.neg(_cast(input, dtype)), _dim("softmin", dim))


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """log(softmax(x)), accurate."""
    return ops.log_softmax(_cast(input, dtype), _dim("log_softmax", dim))


# ---------------------------------------------------------------- dropout


def check_probability(name: str, p: float) -> None:
    """DomainError where p is not in [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise DomainError(f"{name}: p={p} must be in [0, 1]")


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """In training, each element zero with probability p and else divided by 1 - p."""
    check_probability("dropout", p)
    if not training or p == 0.0:
        return input
    return ops.dropout(input, p=p)


def _dropout_channels(name: str, input: Any, p: float, training: bool, ndim: int) -> Any:
    check_probability(name, p)
    if input.ndim not in (ndim, ndim + 1):
        raise ShapeError(f"{name}: x{tuple(input.shape)} must have {ndim} axes (C, ...) or {ndim + 1} (N, C, ...)")
    if not training or p == 0.0:
        return input
    lead = tuple(input.shape[: input.ndim - ndim + 1])
    ones = ops.ones(*lead, *(1,) * (ndim - 1), dtype=input.dtype)
    return ops.mul(input, ops.dropout(ones, p=p))


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, L) or (C, L)."""
    return _dropout_channels("dropout1d", input, p, training, 2)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, H, W) or (C, H, W)."""
    return _dropout_channels("dropout2d", input, p, training, 3)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _dropout_channels("dropout3d", input, p, training, 4)
