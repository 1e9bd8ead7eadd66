"""Normalisation as functions; functional.py offers them."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import ops
from ..core.context import no_grad
from ..core.dtypes import is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..ops.blend import Taps, blend
from ..ops.public import Array
from ..ops.shape import beside
from ..ops.standardize import center_scale, scale_shift, standardize
from ..tensor import Tensor

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


def _need_float(name: str, input: Any) -> None:
    if not is_float(input.dtype):
        raise DTypeError(f"{name}: dtype {input.dtype} must be float32 or float64")


def _by_channel(x: Any, ndim: int) -> Any:
    """(C,) as (C, 1, ...), to go with (N, C, ...) of `ndim` axes."""
    return ops.reshape(x, (-1, *(1,) * (ndim - 2)))


def _check_channels(name: str, input: Any, **each: Any) -> None:
    for what, t in each.items():
        if t is not None and tuple(t.shape) != (input.shape[1],):
            shape = tuple(input.shape)
            raise ShapeError(f"{name}: {what}{tuple(t.shape)} must be ({shape[1]},), the channels of x{shape}")


def batch_norm(
    input: Array, running_mean: Array | None, running_var: Array | None, weight: Array | None = None,
    bias: Array | None = None, training: bool = False, momentum: Any = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C) or (N, C, ...). Ioffe and Szegedy, 2015.

    In training, mean and (biased) variance are those of the batch, and running_mean and running_var, if given, move to them:
    r := (1 - momentum) r + momentum s, in place, s the mean or the unbiased variance. Else they are the running ones.
    """
    _need_float("batch_norm", input)
    ndim = len(input.shape)
    if ndim < 2:
        raise ShapeError(f"batch_norm: x{tuple(input.shape)} must be (N, C) or (N, C, ...)")
    _check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if eps <= 0:
        raise DomainError(f"batch_norm: eps={eps} must be > 0")
    if training:
        count = math.prod(input.shape) // max(input.shape[1], 1)
        if count == 1:
            raise ShapeError(
                f"batch_norm: x{tuple(input.shape)} has one value a channel; in training there must be more than one"
            )
        var, mean = ops.var_mean(input, (0, *range(2, ndim)), correction=0)
        if running_mean is not None and count:  # an empty batch says nothing
            _move(running_mean, mean, momentum)
        if running_var is not None and count:
            _move(running_var, ops.mul(_plain(var), count / (count - 1)), momentum)
    elif running_mean is None or running_var is None:
        raise ShapeError("batch_norm: running_mean and running_var must be given unless training")
    else:
        mean, var = running_mean, running_var
    scale = ops.rsqrt(ops.add(var, eps))
    each = [None if t is None else _by_channel(t, ndim) for t in (mean, scale, weight, bias)]
    return center_scale(input, *each)


def _plain(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def _move(running: Any, value: Any, momentum: Any) -> None:
    """running := (1 - momentum) running + momentum value, in place."""
    with no_grad():
        value = ops.add(ops.mul(running, 1.0 - momentum), ops.mul(_plain(value), momentum))
        if isinstance(running, Tensor):
            running.copy_(value)
        else:
            running[...] = value


def instance_norm(
    input: Array, running_mean: Array | None = None, running_var: Array | None = None, weight: Array | None = None,
    bias: Array | None = None, use_input_stats: bool = True, momentum: Any = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """`batch_norm` of (N, C, ...) with statistics of each image's own; the running ones are means over the images.
    Ulyanov et al., 2016."""
    _need_float("instance_norm", input)
    ndim = len(input.shape)
    if ndim < 3:
        raise ShapeError(f"instance_norm: x{tuple(input.shape)} must be (N, C, ...)")
    _check_channels(
        "instance_norm", input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ShapeError(f"instance_norm: x{tuple(input.shape)} has one place a channel; there must be more than one")
    var, mean = ops.var_mean(input, tuple(range(2, ndim)), keepdim=True, correction=0)
    if running_mean is not None:
        _move(running_mean, ops.mean(ops.reshape(_plain(mean), input.shape[:2]), 0), momentum)
    if running_var is not None:
        unbiased = ops.mul(_plain(var), count / max(count - 1, 1))
        _move(running_var, ops.mean(ops.reshape(unbiased, input.shape[:2]), 0), momentum)
    each = [None if t is None else _by_channel(t, ndim) for t in (weight, bias)]
    return center_scale(input, mean, ops.rsqrt(ops.add(var, eps)), *each)


def _last_axes(name: str, input: Any, normalized_shape: Any, **each: Any) -> tuple[int, ...]:
    """The axes that `normalized_shape` covers."""
    _need_float(name, input)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(f"{name}: the last axes of x{tuple(input.shape)} must be normalized_shape={shape}")
    for what, t in each.items():
        if t is not None and tuple(t.shape) != shape:
            raise ShapeError(f"{name}: {what}{tuple(t.shape)} must be normalized_shape={shape}")
    return tuple(range(len(input.shape) - len(shape), len(input.shape)))


def layer_norm(
    input: Array, normalized_shape: Any, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """(x - mean) / sqrt(var + eps) * weight + bias, with mean and biased variance over the last axes, those of
    normalized_shape. Ba et al., 2016."""
    axes = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    var, mean = ops.var_mean(input, axes, keepdim=True, correction=0)
    return scale_shift(standardize(input, mean, ops.rsqrt(ops.add(var, eps))), weight, bias)


def rms_norm(input: Array, normalized_shape: Any, weight: Array | None = None, eps: float | None = None) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight, the mean over the last axes, those of normalized_shape; eps is the dtype's where
    not given. Zhang and Sennrich, 2019."""
    axes = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    scale = ops.rsqrt(ops.add(ops.mean(ops.square(input), axes, True), eps))
    zero = beside(np.zeros(scale.shape, scale.dtype), scale)
    return scale_shift(standardize(input, zero, scale), weight, None)


def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Each group of channels of (N, C, ...) normalised by its own mean and biased variance, then scaled and shifted by
    channel. Wu and He, 2018."""
    _need_float("group_norm", input)
    if len(input.shape) < 2 or num_groups < 1 or input.shape[1] % num_groups:
        raise ShapeError(f"group_norm: num_groups={num_groups} must divide the channels of x{tuple(input.shape)}")
    _check_channels("group_norm", input, weight=weight, bias=bias)
    n, size = input.shape[0], math.prod(input.shape[1:]) // num_groups
    if size * n == 1:
        raise ShapeError(f"group_norm: x{tuple(input.shape)} has one value a group; there must be more than one")
    var, mean = ops.var_mean(ops.reshape(input, (n, num_groups, size)), 2, keepdim=True, correction=0)
    channels, ones = input.shape[1], (1,) * (len(input.shape) - 2)

    def of_channels(t: Any) -> Any:
        """(N, groups, 1), one for each channel: (N, C, 1, ...)."""
        return ops.reshape(ops.expand(t, (n, num_groups, channels // num_groups)), (n, channels, *ones))

    each = [None if t is None else _by_channel(t, len(input.shape)) for t in (weight, bias)]
    return center_scale(input, of_channels(mean), of_channels(ops.rsqrt(ops.add(var, eps))), *each)


@functools.lru_cache(64)
def _neighbours(n: int, size: int) -> Taps:
    """Sums over `size` neighbouring channels, divided by `size`."""
    at = np.arange(n)[:, None] - size // 2 + np.arange(size)
    return Taps(n, at, np.where((at >= 0) & (at < n), 1 / size, 0.0))


def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta of (N, C, ...). Krizhevsky et al., 2012."""
    _need_float("local_response_norm", input)
    if len(input.shape) < 3 or size < 1:
        raise ShapeError(f"local_response_norm: x{tuple(input.shape)} must be (N, C, ...) and size={size} >= 1")
    near = blend(ops.square(input), dim=1, taps=_neighbours(input.shape[1], size))
    return ops.div(input, ops.pow(ops.add(ops.mul(near, alpha), k), beta))
