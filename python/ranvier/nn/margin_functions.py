"""Losses of margins between classes, of pairs among a batch, and of a linear layer's classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import int64, is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..ops.matmul import linear
from ..ops.public import Array
from ..ops.reduction import to_dtype
from ..ops.require import require
from ..ops.shape import beside
from .loss_functions import check_reduction, cross_entropy, normalize, pairwise_distance, reduced

__all__ = [
    "info_nce_loss", "linear_cross_entropy", "multi_margin_loss", "multilabel_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip


def _rows(name: str, input: Any, target: Any, *shapes: tuple[int, ...]) -> tuple[Any, Any]:
    """input as (N, C), and target, which has one of `shapes`, with a batch axis too."""
    shape = tuple(input.shape)
    if len(shape) > 2 or 0 in shape[-1:]:
        raise ShapeError(f"{name}: input{shape} must be (N, C) or (C), of at least one class")
    if tuple(target.shape) not in shapes:
        wanted = " or ".join(map(str, shapes))
        raise ShapeError(f"{name}: target{tuple(target.shape)} must have shape {wanted} for input{shape}")
    if target.dtype.kind not in "iu":
        raise DTypeError(f"{name}: target of dtype {target.dtype} must hold class numbers")
    target = to_dtype(target, int64)
    return (input, target) if input.ndim == 2 else (ops.reshape(input, 1, -1), ops.reshape(target, 1, -1))


def multi_margin_loss(
    input: Array,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """sum_{c != y} weight[y] max(0, margin - x[y] + x[c])^p / C for scores x (N, C) and classes y (N). Crammer, 2001.

    p: 1 or 2. weight: (C), a factor for each class.

    >>> import ranvier as rv
    >>> multi_margin_loss(rv.tensor([[0.5, 1.0, 0.25]]), rv.tensor([0])).item()  # (1.5 + 0.75) / 3
    0.75
    """
    name = "multi_margin_loss"
    if p not in (1, 2):
        raise DomainError(f"{name}: p={p} must be 1 or 2")
    shape, given = tuple(input.shape), tuple(target.shape)
    x, target = _rows(name, input, target, *([shape[:1]] if len(shape) == 2 else [(), (1,)]))
    target, classes = ops.reshape(target, -1), x.shape[1]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(f"{name}: weight{tuple(weight.shape)} must have shape ({classes},): one for each class")
    inside = ops.logical_and(ops.ge(target, 0), ops.lt(target, classes))
    require(inside, target, f"{name}: classes must be in [0, {classes - 1}]", index=True)
    index = ops.unsqueeze(target, 1)
    over = ops.clamp(ops.add(ops.sub(x, ops.gather(x, 1, index)), margin), min=0.0)
    over = ops.square(over) if p == 2 else over
    over = ops.where(ops.eq(index, beside(np.arange(classes), x)), 0.0, over)
    loss = ops.mul(ops.sum(over, 1), 1 / classes)
    if weight is not None:
        loss = ops.mul(loss, ops.index_select(weight, 0, target))
    return reduced(name, ops.reshape(loss, given), reduction, size_average, reduce)


def multilabel_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """sum over classes y of a row and others c of max(0, 1 - x[y] + x[c]) / C, for scores x (N, C).

    target: (N, C), the numbers of each row's classes, up to its first -1.
    """
    name = "multilabel_margin_loss"
    shape = tuple(input.shape)
    x, target = _rows(name, input, target, shape)
    classes = x.shape[1]
    inside = ops.logical_and(ops.ge(target, -1), ops.lt(target, classes))
    require(inside, target, f"{name}: classes must be in [0, {classes - 1}], or -1 after the last", index=True)
    given = ops.eq(ops.cumsum(ops.where(ops.lt(target, 0), 1, 0), 1), 0)
    index = ops.where(given, target, 0)
    same = ops.eq(ops.unsqueeze(index, 2), beside(np.arange(classes), x))  # (N, label, class)
    given = ops.unsqueeze(given, 2)
    others = ops.logical_not(ops.any(ops.logical_and(given, same), 1, keepdim=True))
    over = ops.sub(ops.unsqueeze(x, 1), ops.unsqueeze(ops.sub(ops.gather(x, 1, index), 1.0), 2))
    over = ops.where(ops.logical_and(given, others), ops.clamp(over, min=0.0), 0.0)
    loss = ops.mul(ops.sum(over, (1, 2)), 1 / classes)
    loss = loss if len(shape) == 2 else ops.squeeze(loss, 0)
    return reduced(name, loss, reduction, size_average, reduce)


def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """`triplet_margin_loss` with d(x, y) = distance_function(x, y), pairwise_distance where it is None."""
    name = "triplet_margin_with_distance_loss"
    check_reduction(name, reduction)
    if not margin > 0:
        raise DomainError(f"{name}: margin={margin} must be positive")
    if not anchor.ndim == positive.ndim == negative.ndim:
        shapes = ", ".join(str(tuple(x.shape)) for x in (anchor, positive, negative))
        raise ShapeError(f"{name}: anchor, positive and negative of shapes {shapes} must have as many axes")
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(name, ops.clamp(ops.add(ops.sub(near, far), margin), min=0.0), reduction)


def info_nce_loss(
    input: Array, positive: Array, temperature: Array | float = 0.1, within: bool = True, reduction: str = "mean"
) -> Array:
    """-log softmax(s)[own partner], s = cos(x, y) / temperature: each row of input (N, D) against all the others of a batch.

    Row i of `input` and row i of `positive` are two views of one thing; all other rows are negatives, in both directions:
    2 N losses.

    Args:
        temperature: a number, or a tensor that is learned.
        within: rows of the same side are negatives too, NT-Xent: Chen, Kornblith, Norouzi and Hinton, 2020; else those of
            the other side only: Radford and others, 2021.

    >>> import ranvier as rv
    >>> info_nce_loss(rv.eye(2), rv.eye(2), 1.0, within=False).item()  # log(1 + exp(-1))
    0.31326...
    """
    name = "info_nce_loss"
    if input.ndim != 2 or input.shape != positive.shape:
        shapes = f"input{tuple(input.shape)} and positive{tuple(positive.shape)}"
        raise ShapeError(f"{name}: {shapes} must be (N, D), both of one shape")
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise DomainError(f"{name}: temperature={temperature} must be positive")
    n = input.shape[0]
    a, b = (ops.cat([x, y]) for x, y in ((input, positive), (positive, input))) if within else (input, positive)
    a, b = normalize(a), normalize(b)
    scores = ops.div(ops.matmul(a, ops.transpose(b, 0, 1)), temperature)  # partners on the diagonal
    labels = beside(np.arange(scores.shape[0]), scores)
    if within:
        own = np.roll(np.eye(2 * n, dtype=bool), n, 0)  # a row beside itself is no negative
        scores = ops.where(beside(own, scores), -math.inf, scores)
        return cross_entropy(scores, labels, reduction=reduction)
    both = ops.cat([scores, ops.transpose(scores, 0, 1)])
    return cross_entropy(both, ops.cat([labels, labels]), reduction=reduction)


def linear_cross_entropy(
    input: Array,
    linear_weight: Array,
    target: Array,
    *,
    linear_bias: Array | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: None = None,
) -> Array:
    """`cross_entropy` of the scores input @ linear_weight.T + linear_bias: (N, D), (C, D) or (C, d1, .., D), (C, d1, ..).

    options: None, for all scores are computed at once.
    """
    if options is not None:
        raise DomainError(f"linear_cross_entropy: options={options!r} must be None: there are no chunks")
    if linear_weight.ndim > 2 and input.ndim < 2:
        raise ShapeError(
            f"linear_cross_entropy: with linear_weight{tuple(linear_weight.shape)}, input{tuple(input.shape)} must be (N, D)"
        )
    inner, shape = linear_weight.shape[-1], tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != shape:
        raise ShapeError(
            f"linear_cross_entropy: linear_bias{tuple(linear_bias.shape)} must have shape {shape}: one for each row of "
            f"linear_weight{tuple(linear_weight.shape)}"
        )
    bias = None if linear_bias is None else ops.reshape(linear_bias, -1)
    scores = linear(input, ops.reshape(linear_weight, (-1, inner)), bias)
    scores = ops.reshape(scores, (*input.shape[:-1], *shape))
    if ignore_index is not None and is_float(target.dtype):
        raise ValueError(
            f"linear_cross_entropy: ignore_index={ignore_index} is of class numbers, target holds probabilities"
        )
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(
        scores, target, weight, ignore_index=ignored, reduction=reduction, label_smoothing=label_smoothing
    )
