"""Pooling over windows of random places, as functions; functional.py offers them."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import int64, is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..ops.convolution import batched, per_axis
from ..ops.public import Array
from ..ops.reduction import to_dtype
from ..ops.shape import beside
from ..random import rand

__all__ = ["fractional_max_pool2d", "fractional_max_pool3d"]


def _begins(draws: Any, n: int, m: int, k: int) -> Any:
    """Where the m windows of an axis of n begin, for each number u of `draws`: floor((i + u) a) - floor(u a), a the mean
    step; the last one ends with the axis."""
    if m == 1:
        return ops.full((*draws.shape, 1), n - k, dtype=int64)
    steps = beside(np.arange(m - 1).astype(draws.dtype), draws)
    each = ops.unsqueeze(draws, -1)
    step = float(np.asarray(n - k, draws.dtype) / np.asarray(m - 1, draws.dtype))
    at = ops.sub(ops.floor(ops.mul(ops.add(steps, each), step)), ops.floor(ops.mul(each, step)))
    last = beside(np.full((*draws.shape, 1), n - k, draws.dtype), draws)
    return to_dtype(ops.cat([at, last], -1), int64)


def _pool(
    ndim: int, input: Any, kernel_size: Any, output_size: Any, output_ratio: Any, return_indices: bool, samples: Any
) -> Any:
    name = f"fractional_max_pool{ndim}d"
    kernel = per_axis(name, "kernel_size", kernel_size, ndim)
    if (output_size is None) == (output_ratio is None):
        raise ShapeError(f"{name}: give either output_size or output_ratio")
    input, alone = batched(name, input, ndim)
    if not is_float(input.dtype):
        raise DTypeError(f"{name}: dtype {input.dtype} must be float32 or float64")
    sizes = tuple(input.shape[2:])
    if output_ratio is not None:
        ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * ndim
        if len(ratios) != ndim or not all(0 < r < 1 for r in ratios):
            raise DomainError(f"{name}: output_ratio={output_ratio!r} must be {ndim} numbers between 0 and 1")
        output_size = tuple(int(n * r) for n, r in zip(sizes, ratios))
    size = per_axis(name, "output_size", output_size, ndim)
    if any(m + k - 1 > n for m, k, n in zip(size, kernel, sizes)):
        raise ShapeError(
            f"{name}: output_size={size} and kernel_size={kernel} do not fit into x{tuple(input.shape)}: output_size + "
            "kernel_size - 1 must be at most the size, along each axis"
        )
    outer = tuple(input.shape[:2])
    if samples is None:
        samples = rand(*outer, ndim, dtype=input.dtype)
    elif tuple(samples.shape) != (*outer, ndim):
        raise ShapeError(f"{name}: _random_samples{tuple(samples.shape)} must be {(*outer, ndim)}, (N, C, {ndim})")
    # PyTorch counts the numbers of 2-d windows from the last axis, those of 3-d ones from the first
    order = range(ndim) if ndim == 3 else reversed(range(ndim))
    begins = [_begins(samples[..., k], n, m, w) for k, n, m, w in zip(order, sizes, size, kernel)]
    flat = 0
    for axis, (begin, n) in enumerate(zip(begins, sizes)):
        tail = (1,) * (ndim - 1 - axis)
        flat = ops.add(ops.mul(flat, n), ops.reshape(begin, (*outer, *(1,) * axis, size[axis], *tail)))
    taps = np.asarray([int(np.ravel_multi_index(tap, sizes)) for tap in product(*map(range, kernel))])
    at = ops.add(ops.unsqueeze(flat, -1), beside(taps, flat))
    plane = ops.reshape(input, (*outer, math.prod(sizes)))
    seen = ops.reshape(ops.gather(plane, 2, ops.reshape(at, (*outer, -1))), tuple(at.shape))
    values, best = ops.max(seen, -1)
    if alone:
        values = ops.squeeze(values, 0)
    if not return_indices:
        return values
    places = ops.squeeze(ops.gather(at, -1, ops.unsqueeze(best, -1)), -1)
    return values, ops.squeeze(places, 0) if alone else places


def fractional_max_pool2d(
    input: Array, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Array | None = None,
) -> Array:  # fmt: skip
    """The greatest of each of `output_size` windows (or output_ratio n of them) of (N, C, H, W) or (C, H, W), whose places
    are drawn at random for each image and channel, so that they are evenly apart but for one place. Graham, 2014.

    _random_samples: numbers (N, C, 2) from [0, 1) to place them by, instead.

    >>> import ranvier as rv
    >>> import ranvier.nn.functional as F
    >>> F.fractional_max_pool2d(rv.zeros(1, 3, 20, 20), 3, output_ratio=0.7).shape
    (1, 3, 14, 14)
    """
    return _pool(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input: Array, kernel_size: Any, output_size: Any = None, output_ratio: Any = None, return_indices: bool = False,
    _random_samples: Array | None = None,
) -> Array:  # fmt: skip
    """As `fractional_max_pool2d`, of (N, C, D, H, W) or (C, D, H, W)."""
    return _pool(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
