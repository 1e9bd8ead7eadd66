"""Layers as functions that are more than an op: random ones, and softmax with checks. functional.py offers them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .. import ops, random
from ..core.errors import DomainError, ShapeError
from ..ops.activation import into, leaky_relu
from ..ops.public import Array

__all__ = [
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "log_softmax", "rrelu", "softmax", "softmin",
]  # fmt: skip


# ---------------------------------------------------------------- activations


def rrelu(
    input: Array, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Array:
    """x where positive, else a * x; a from U(lower, upper) in training and (lower + upper) / 2 otherwise."""
    if not lower <= upper:
        raise DomainError(f"rrelu: lower={lower} must not exceed upper={upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    slope = random.uniform(input.shape, lower, upper, dtype=input.dtype)
    out = ops.where(ops.ge(input, 0), input, ops.mul(input, plain(slope, input)))
    return into(input, out) if inplace else out


# ---------------------------------------------------------------- softmax


def _dim(name: str, dim: int | None, input: Any) -> int:
    """`dim`; not given, as PyTorch: of (C), (N, C) and (N, C, d1, d2) that of the classes, but 0 of three axes."""
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(f"{name}: dim is not given; dim={dim} is taken, for {input.ndim} axes. Give dim=", stacklevel=3)
    return dim


def softmax(input: Array, dim: int | None = None, *, dtype: Any = None) -> Array:
    """exp(x) / sum(exp(x)) along dim. None: 1, or 0 of inputs of one or three axes, with a warning.

    >>> import ranvier as rv
    >>> rv.nn.functional.softmax(rv.tensor([[0.0, 0.0]]), dim=1)
    tensor([[0.5, 0.5]])
    """
    return ops.softmax(input, _dim("softmax", dim, input), dtype=dtype)


def softmin(input: Array, dim: int | None = None, *, dtype: Any = None) -> Array:
    """softmax(-x)."""
    return ops.softmax(ops.neg(input), _dim("softmin", dim, input), dtype=dtype)


def log_softmax(input: Array, dim: int | None = None, *, dtype: Any = None) -> Array:
    """log(softmax(x)), accurate."""
    return ops.log_softmax(input, _dim("log_softmax", dim, input), dtype=dtype)


# ---------------------------------------------------------------- dropout


def check_probability(name: str, p: float) -> None:
    """DomainError where p is not in [0, 1]."""
    if not 0.0 <= p <= 1.0:
        raise DomainError(f"{name}: p={p} must be in [0, 1]")


def plain(mask: Any, like: Any) -> Any:
    """`mask` as an array where `like` is one."""
    return mask.numpy() if isinstance(like, np.ndarray) else mask


def _drop(name: str, input: Any, shape: tuple[int, ...], p: float, training: bool) -> Any:
    """input times factors of `shape`, 0 with probability p and else 1 / (1 - p)."""
    check_probability(name, p)
    if not training or p == 0.0:
        return input
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    return ops.mul(input, plain(random.mask(shape, 1.0 - p, scale, dtype=input.dtype), input))


def dropout(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """In training, each element 0 with probability p and else divided by 1 - p. Srivastava et al., 2014."""
    out = _drop("dropout", input, input.shape, p, training)
    return into(input, out) if inplace else out


def dropped_in_time(drop: Any, input: Any, batch_first: bool) -> Any:
    """drop(input). PyTorch's layers keep results time first, and it draws in the order of memory; so do its numbers."""
    if batch_first and input.ndim == 3 and random.as_pytorch():
        return ops.transpose(drop(ops.transpose(input, 0, 1)), 0, 1)
    return drop(input)


def _drop_channels(name: str, input: Any, p: float, training: bool, ndim: int) -> Any:
    shape = tuple(input.shape)
    if input.ndim in (ndim, ndim + 1):
        return _drop(name, input, (*shape[: 1 - ndim], *(1,) * (ndim - 1)), p, training)
    if input.ndim < 2:
        raise ShapeError(f"{name}: x{shape} must have {ndim} axes (C, ...) or {ndim + 1} (N, C, ...)")
    warnings.warn(f"{name}: x{shape} has not {ndim} or {ndim + 1} axes; it is taken for (N, C, ...)", stacklevel=4)
    return _drop(name, input, (*shape[:2], *(1,) * (input.ndim - 2)), p, training)


def dropout1d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Dropout of whole channels of (N, C, L) or (C, L)."""
    out = _drop_channels("dropout1d", input, p, training, 2)
    return into(input, out) if inplace else out


def dropout2d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Dropout of whole channels of (N, C, H, W) or (C, H, W)."""
    out = _drop_channels("dropout2d", input, p, training, 3)
    return into(input, out) if inplace else out


def dropout3d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    out = _drop_channels("dropout3d", input, p, training, 4)
    return into(input, out) if inplace else out


_SATURATION = -1.7580993408473766  # selu's least value: -scale * alpha


def _alpha_drop(name: str, input: Any, shape: tuple[int, ...], p: float, training: bool) -> Any:
    """Elements become selu's least value with probability p; then a x + b keeps mean 0 and variance 1."""
    check_probability(name, p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return ops.mul(input, 0.0)
    a = ((1 - p) * (1 + p * _SATURATION**2)) ** -0.5
    kept = plain(random.mask(shape, 1.0 - p, 1.0, dtype=input.dtype), input)
    dropped = ops.mul(ops.sub(1.0, kept), a * _SATURATION)
    return ops.add(ops.add(ops.mul(input, ops.mul(kept, a)), dropped), -a * _SATURATION * p)


def alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """Dropout for networks of selu, which keeps mean 0 and variance 1. Klambauer et al., 2017."""
    out = _alpha_drop("alpha_dropout", input, tuple(input.shape), p, training)
    return into(input, out) if inplace else out


def feature_alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    if training and len(input.shape) < 2:
        raise ShapeError(f"feature_alpha_dropout: x{tuple(input.shape)} must be (N, C, ...)")
    shape = (*input.shape[:2], *(1,) * (len(input.shape) - 2))
    out = _alpha_drop("feature_alpha_dropout", input, shape, p, training)
    return into(input, out) if inplace else out
