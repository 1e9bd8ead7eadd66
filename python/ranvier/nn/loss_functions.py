"""Losses and distances as functions of ops: nothing here is native, fusion makes one pass of each.

All take Tensors or NumPy arrays. reduction: "mean", "sum" or "none" (one value an element or row). size_average and
reduce are deprecated: reduce=False means "none", size_average=False "sum".
"""

from __future__ import annotations

import math
import sys
import warnings
from types import FrameType
from typing import Any

import numpy as np

from .. import ops
from ..core.context import local
from ..core.dtypes import is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..core.tensor import TensorBase
from ..ops.public import Array
from ..ops.record import broadcast_shapes
from ..ops.require import require
from ..ops.shape import beside

__all__ = [
    "l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss", "cross_entropy", "nll_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "kl_div", "poisson_nll_loss", "gaussian_nll_loss",
    "cosine_embedding_loss", "margin_ranking_loss", "triplet_margin_loss", "hinge_embedding_loss",
    "soft_margin_loss", "multilabel_soft_margin_loss", "cosine_similarity", "pairwise_distance", "pdist", "normalize",
]  # fmt: skip


# ---------------------------------------------------------------- checks


def check_reduction(name: str, reduction: str, *more: str) -> str:
    """`reduction`, or ValueError where it is not one of those that `name` knows."""
    if reduction not in ("mean", "sum", "none", *more):
        known = ", ".join(map(repr, ("none", "mean", "sum", *more)))
        raise ValueError(f"{name}: reduction={reduction!r} must be one of {known}")
    return reduction


def older_reduction(name: str, size_average: bool | None, reduce: bool | None) -> str:
    """What the older arguments mean, which have gone into `reduction`; each is true where it is not given."""
    for argument, value in (("size_average", size_average), ("reduce", reduce)):
        if isinstance(value, str):
            raise DTypeError(f"{name}: {argument}={value!r} must be True or False; reduction={value!r} is by name")
    meant = "none" if reduce is not None and not reduce else "mean" if size_average is None or size_average else "sum"
    _warn(f"{name}: size_average and reduce are deprecated; reduction={meant!r} says the same")
    return meant


def reduced(name: str, loss: Any, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> Any:
    """The mean or the sum of `loss`, or as it is."""
    if size_average is not None or reduce is not None:
        reduction = older_reduction(name, size_average, reduce)
    if reduction == "mean":
        return ops.mean(loss)
    if reduction == "sum":
        return ops.sum(loss)
    check_reduction(name, reduction)
    return loss


def _warn(message: str) -> None:
    """Warn at the first line outside of Ranvier, so that Python shows it once for each such line."""
    level = 1
    frame: FrameType | None = sys._getframe(0)
    package = __name__.partition(".")[0] + "."
    while frame is not None and frame.f_globals.get("__name__", "").startswith(package):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def _check_pair(name: str, input: Any, target: Any) -> None:
    """Shapes must be equal; a target that broadcasts to the input's shape only earns a warning."""
    if input.shape == target.shape:
        return
    a, b = tuple(input.shape), tuple(target.shape)
    result = broadcast_shapes(name, a, b)
    if result != a:
        raise ShapeError(f"{name}: shapes {a} and {b} would broadcast to {result}; reshape one of them")
    if b:
        _warn(f"{name}: target of shape {b} is broadcast to the input's shape {a}")


def _check_same(name: str, input: Any, target: Any) -> None:
    if input.shape != target.shape:
        raise ShapeError(f"{name}: input{tuple(input.shape)} and target{tuple(target.shape)} must have the same shape")


def _check_unit(name: str, what: str, x: Any, hint: str) -> None:
    """Values must lie in [0, 1]."""
    data = getattr(x, "_data", x)
    if data.size == 0:
        return
    in_plan = isinstance(x, TensorBase) and local.tracer is not None
    if in_plan:
        inside = ops.logical_and(ops.ge(x, 0), ops.le(x, 1))
        return require(inside, x, f"{name}: {what} must be in [0, 1] ({hint})")
    low, high = data.min(), data.max()
    if not (low >= 0 and high <= 1):
        raise DomainError(f"{name}: {what} must be in [0, 1], has values from {low:.6g} to {high:.6g}; {hint}")


def _is_probability(x: Any) -> bool:
    node = getattr(x, "_node", None)
    return node is not None and node.call.op.yields == "probabilities"


# ---------------------------------------------------------------- regression


def l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """mean |input - target|."""
    _check_pair("l1_loss", input, target)
    return _weighted("l1_loss", ops.abs(ops.sub(input, target)), weight, reduction, size_average, reduce)


def mse_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """mean (input - target)^2.

    >>> import numpy as np
    >>> float(mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    _check_pair("mse_loss", input, target)
    return _weighted("mse_loss", ops.square(ops.sub(input, target)), weight, reduction, size_average, reduce)


def _weighted(
    name: str,
    loss: Any,
    weight: Any,
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Any:
    """With weights, the mean is sum(weight * loss) / sum(weight)."""
    if weight is None:
        return reduced(name, loss, reduction, size_average, reduce)
    if size_average is not None or reduce is not None:
        reduction = older_reduction(name, size_average, reduce)
    _check_pair(name, loss, weight)
    loss = ops.mul(loss, weight)
    if reduction == "mean":
        return ops.div(ops.sum(loss), ops.sum(ops.expand(weight, *loss.shape)))
    return reduced(name, loss, reduction)


def huber_loss(
    input: Array, target: Array, reduction: str = "mean", delta: float = 1.0, weight: Array | None = None
) -> Array:
    """With d = |input - target|: d^2 / 2 where d < delta, else delta * (d - delta / 2). Huber, 1964."""
    if not delta > 0:
        raise DomainError(f"huber_loss: delta={delta} must be positive")
    _check_pair("huber_loss", input, target)
    return _weighted("huber_loss", _huber(input, target, delta), weight, reduction)


def _huber(input: Any, target: Any, delta: float) -> Any:
    distance = ops.abs(ops.sub(input, target))
    near = ops.clamp(distance, max=delta)  # near * (d - near / 2) is both branches in one
    return ops.mul(near, ops.sub(distance, ops.mul(near, 0.5)))


def smooth_l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Array:
    """huber_loss(delta=beta) / beta; beta=0 gives l1_loss. Girshick, 2015."""
    if not beta >= 0:
        raise DomainError(f"smooth_l1_loss: beta={beta} must not be negative")
    _check_pair("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    return reduced("smooth_l1_loss", ops.div(_huber(input, target, beta), beta), reduction, size_average, reduce)


def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """exp(input) - target * input, or without log_input: input - target * log(input + eps).

    `full` adds Stirling's approximation of log(target!) where target > 1.
    """
    _check_pair("poisson_nll_loss", input, target)
    if log_input:
        loss = ops.sub(ops.exp(input), ops.mul(target, input))
    else:
        loss = ops.sub(input, ops.mul(target, ops.log(ops.add(input, eps))))
    if full:
        big = ops.clamp(target, min=1.0)
        stirling = ops.add(ops.sub(ops.mul(big, ops.log(big)), big), ops.mul(ops.log(ops.mul(big, 2 * math.pi)), 0.5))
        loss = ops.add(loss, ops.where(ops.gt(target, 1), stirling, 0.0))
    return reduced("poisson_nll_loss", loss, reduction, size_average, reduce)


def gaussian_nll_loss(
    input: Array, target: Array, var: Array, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Array:
    """(log v + (input - target)^2 / v) / 2 with v = max(var, eps); `full` adds log(2 pi) / 2. Nix, 1994.

    var: input's shape, or with axes of 1, or without the last one (one variance a row), or a number. As in PyTorch, the
    gradient passes to var also where it is below eps.
    """
    name = "gaussian_nll_loss"
    _check_pair(name, input, target)
    if isinstance(var, (int, float)):
        var = np.asarray(var, input.dtype)
    elif var.shape != input.shape:
        shape, own = tuple(input.shape), tuple(var.shape)
        if own == shape[:-1]:
            var = ops.unsqueeze(var, -1)
        elif len(own) != len(shape) or any(n not in (1, wanted) for n, wanted in zip(own, shape)):
            raise ShapeError(
                f"{name}: var{own} must have input's shape {shape}, with axes of 1, or without the last one"
            )
    constant = var.detach() if hasattr(var, "detach") else var
    require(ops.logical_not(ops.lt(constant, 0)), constant, f"{name}: var must not be negative")
    var = ops.add(var, ops.sub(ops.clamp(constant, min=eps), constant))
    loss = ops.mul(ops.add(ops.log(var), ops.div(ops.square(ops.sub(input, target)), var)), 0.5)
    if full:
        loss = ops.add(loss, 0.5 * math.log(2 * math.pi))
    return reduced(name, loss, reduction)


# ---------------------------------------------------------------- two classes


def binary_cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """-(t log p + (1 - t) log(1 - p)) for probabilities p = input, targets t in [0, 1]; logs at least -100.

    Where a logarithm is of 0 its gradient is 0. `binary_cross_entropy_with_logits` is more accurate.
    """
    name = "binary_cross_entropy"
    _check_same(name, input, target)
    _check_unit(name, "input", input, "apply sigmoid first, or use binary_cross_entropy_with_logits")
    _check_unit(name, "target", target, "targets are probabilities")
    yes = ops.mul(target, _safe_log(input))
    no = ops.mul(ops.sub(1.0, target), _safe_log(ops.sub(1.0, input)))
    loss = ops.neg(ops.add(yes, no))
    return reduced(name, loss if weight is None else ops.mul(loss, weight), reduction, size_average, reduce)


def _safe_log(p: Any) -> Any:
    """max(log p, -100), with gradient 0 where p = 0."""
    zero = ops.eq(p, 0)
    return ops.where(zero, -100.0, ops.clamp(ops.log(ops.where(zero, 1.0, p)), min=-100.0))


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """-(w t log p + (1 - t) log(1 - p)) with p = sigmoid(input), computed without overflow; w: pos_weight.

    = (1 - t) x + (1 + (w - 1) t) softplus(-x).
    """
    name = "binary_cross_entropy_with_logits"
    _check_same(name, input, target)
    _check_unit(name, "target", target, "targets are probabilities")
    if _is_probability(input):
        _warn(f"{name}: the input was computed by sigmoid or softmax; pass the raw scores (logits)")
    loss = ops.neg(ops.logsigmoid(input))
    if pos_weight is not None:
        loss = ops.mul(loss, ops.add(ops.mul(ops.sub(pos_weight, 1.0), target), 1.0))
    loss = ops.add(ops.mul(ops.sub(1.0, target), input), loss)
    return reduced(name, loss if weight is None else ops.mul(loss, weight), reduction, size_average, reduce)


def soft_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """log(1 + exp(-target * input)), targets 1 or -1."""
    _check_same("soft_margin_loss", input, target)
    loss = ops.neg(ops.logsigmoid(ops.mul(target, input)))
    return reduced("soft_margin_loss", loss, reduction, size_average, reduce)


def multilabel_soft_margin_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """-(t log p + (1 - t) log(1 - p)) with p = sigmoid(input), averaged over the last axis (classes)."""
    _check_same("multilabel_soft_margin_loss", input, target)
    loss = ops.sub(ops.mul(ops.sub(1.0, target), input), ops.logsigmoid(input))
    loss = loss if weight is None else ops.mul(loss, weight)
    return reduced("multilabel_soft_margin_loss", ops.mean(loss, -1), reduction, size_average, reduce)


def hinge_embedding_loss(
    input: Array,
    target: Array,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """input where target is 1, max(0, margin - input) where target is -1."""
    _check_pair("hinge_embedding_loss", input, target)
    apart = ops.where(ops.ne(target, 1), ops.clamp(ops.sub(margin, input), min=0.0), 0.0)
    loss = ops.add(apart, ops.where(ops.ne(target, -1), input, 0.0))
    return reduced("hinge_embedding_loss", loss, reduction, size_average, reduce)


# ---------------------------------------------------------------- classes


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """-log softmax(input)[target], from raw scores (logits) (N, C), (N, C, d1, ...) or (C).

    Args:
        target: class numbers, shaped as input without C; or probabilities, float, shaped as input.
        weight: (C), a factor for each class.
        ignore_index: labels of this value count for nothing.
        label_smoothing: e; targets become (1 - e) target + e / C.
    """
    name = "cross_entropy"
    if size_average is not None or reduce is not None:
        reduction = older_reduction(name, size_average, reduce)
    check_reduction(name, reduction)
    if _is_probability(input):
        _warn(
            f"{name}: the input was computed by softmax or sigmoid; pass the raw scores (logits), to which "
            f"{name} applies softmax"
        )
    if is_float(target.dtype):
        if input.ndim and tuple(target.shape) == _lines(input):
            raise DTypeError(
                f"{name}: target of dtype {target.dtype} must hold integers: it is shaped as class numbers"
            )
        if ignore_index >= 0:
            raise ValueError(f"{name}: ignore_index={ignore_index} is of class numbers, target holds probabilities")
    elif target.shape == input.shape:
        raise DTypeError(
            f"{name}: target of dtype {target.dtype} must be a float dtype: it is shaped as "
            f"input{tuple(input.shape)}, which means probabilities"
        )
    return ops.cross_entropy(
        input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def _lines(input: Any) -> tuple[int, ...]:
    """The shape of class numbers for scores of input's shape: without the class axis."""
    return (*input.shape[:1], *input.shape[2:]) if input.ndim > 1 else ()


def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """-weight[target] * input[target] from log-probabilities; shapes and mean as for `cross_entropy`."""
    name = "nll_loss"
    if size_average is not None or reduce is not None:
        reduction = older_reduction(name, size_average, reduce)
    check_reduction(name, reduction)
    shape = tuple(input.shape)
    if not shape or tuple(target.shape) != _lines(input):
        raise ShapeError(
            f"{name}: input{shape} and target{tuple(target.shape)} must be (C) and (), or (N, C, ...) and (N, ...)"
        )
    if target.dtype.kind not in "iu":
        raise DTypeError(f"{name}: target of dtype {target.dtype} must hold integers")
    dim = min(1, len(shape) - 1)
    classes = shape[dim]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ShapeError(
            f"{name}: weight{tuple(weight.shape)} must have shape ({classes},): one for each class of input{shape}"
        )
    if weight is not None and weight.dtype != input.dtype:
        raise DTypeError(f"{name}: weight of dtype {weight.dtype} must have input's dtype {input.dtype}")
    if _is_probability(input):
        _warn(
            f"{name}: the input was computed by softmax or sigmoid; use log_softmax, or cross_entropy of the raw scores"
        )
    counted = ops.ne(target, ignore_index)
    index = ops.where(counted, target, 0)
    inside = ops.logical_and(ops.ge(index, 0), ops.lt(index, classes))
    require(inside, target, f"{name}: labels must be in [0, {classes - 1}] or ignore_index={ignore_index}", index=True)
    picked = ops.squeeze(ops.gather(input, dim, ops.unsqueeze(index, dim)), dim)
    factor = label_weights(target, weight, ignore_index, input.dtype)
    loss = ops.where(counted, ops.neg(ops.mul(factor, picked)), 0.0)
    if reduction == "mean":
        return ops.div(ops.sum(loss), ops.sum(factor))
    return reduced(name, loss, reduction)


def label_weights(target: Any, weight: Any, ignore_index: int, dtype: Any) -> Any:
    """What each label counts in the mean of a loss of class numbers: its class's weight or 1; ignored ones 0."""
    counted = ops.ne(target, ignore_index)
    if weight is None:
        return ops.where(counted, np.ones((), dtype), np.zeros((), dtype))
    index = ops.where(counted, target, 0)
    return ops.where(counted, ops.reshape(ops.index_select(weight, 0, ops.ravel(index)), target.shape), 0.0)


# ---------------------------------------------------------------- distributions


def kl_div(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """target * (log target - input), for log-probabilities `input`; with log_target, target is one too.

    reduction="batchmean" (the sum divided by the first axis) is the mathematical definition for a batch.
    """
    _check_pair("kl_div", input, target)
    if size_average is not None or reduce is not None:
        reduction = older_reduction("kl_div", size_average, reduce)
    check_reduction("kl_div", reduction, "batchmean")
    if log_target:
        loss = ops.mul(ops.exp(target), ops.sub(target, input))
    else:
        some = ops.ne(target, 0)
        entropy = ops.mul(target, ops.log(ops.where(some, target, 1.0)))  # 0 log 0 = 0; NaN of negative ones
        loss = ops.sub(entropy, ops.mul(target, input))
    if reduction == "batchmean":
        return ops.div(ops.sum(loss), input.shape[0] if input.ndim else 1)
    return reduced("kl_div", loss, reduction)


# ---------------------------------------------------------------- distances


def normalize(input: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Array:
    """input / max(p-norm along dim, eps)."""
    return ops.div(input, _norm(input, p, dim, True, eps))


def _norm(x: Any, p: float, dim: int, keepdim: bool, eps: float = 0.0) -> Any:
    """max(p-norm of x along dim, eps), with gradient 0 where the norm is 0 or below eps."""
    if p == math.inf:
        return ops.clamp(ops.amax(ops.abs(x), dim, keepdim=keepdim), min=eps)
    if p == 1:
        return ops.clamp(ops.sum(ops.abs(x), dim, keepdim=keepdim), min=eps)
    if p != 2:
        return ops.clamp(ops.norm(x, p, dim, keepdim), min=eps)
    total = ops.sum(ops.square(x), dim, keepdim=keepdim)
    small = ops.le(total, eps * eps)
    return ops.where(small, eps, ops.sqrt(ops.where(small, 1.0, total)))


def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along dim; x1 and x2 broadcast."""
    if x1.shape != x2.shape:
        shape = broadcast_shapes("cosine_similarity", tuple(x1.shape), tuple(x2.shape))
        x1, x2 = ops.expand(x1, shape), ops.expand(x2, shape)
    unit1 = ops.div(x1, _norm(x1, 2, dim, True, eps))
    unit2 = ops.div(x2, _norm(x2, 2, dim, True, eps))
    return ops.sum(ops.mul(unit1, unit2), dim)


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """p-norm of x1 - x2 + eps along the last axis."""
    return _norm(ops.add(ops.sub(x1, x2), eps), p, -1, keepdim)


def pdist(input: Array, p: float = 2.0) -> Array:
    """The p-norm of the difference of each two rows of input (N, M), in the order (0, 1), (0, 2), ..: (N (N - 1) / 2).

    >>> import ranvier as rv
    >>> pdist(rv.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]), 1.0).tolist()
    [7.0, 1.0, 6.0]
    """
    if input.ndim != 2:
        raise ShapeError(f"pdist: input{tuple(input.shape)} must be (N, M)")
    if not p >= 0:
        raise DomainError(f"pdist: p={p} must not be negative")
    first, second = (beside(at, input) for at in np.triu_indices(input.shape[0], 1))
    return ops.norm(ops.sub(ops.index_select(input, 0, first), ops.index_select(input, 0, second)), p, 1)


def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1: (N, D), (N, D), (N)."""
    name = "cosine_embedding_loss"
    _check_same(name, input1, input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ShapeError(
            f"{name}: inputs{tuple(input1.shape)} and target{tuple(target.shape)} must be (N, D) and (N), or (D) and ()"
        )

    def squared(x: Any) -> Any:
        return ops.add(ops.sum(ops.square(x), -1), 1e-12)

    product = ops.sum(ops.mul(input1, input2), -1)
    cosine = ops.div(product, ops.sqrt(ops.mul(squared(input1), squared(input2))))
    alike = ops.where(ops.eq(target, 1), ops.sub(1.0, cosine), 0.0)
    apart = ops.where(ops.eq(target, -1), ops.clamp(ops.sub(cosine, margin), min=0.0), 0.0)
    return reduced(name, ops.add(alike, apart), reduction, size_average, reduce)


def margin_ranking_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, -target * (input1 - input2) + margin): target 1 wants input1 larger, -1 input2."""
    name = "margin_ranking_loss"
    _check_same(name, input1, input2)
    _check_pair(name, input1, target)
    order = ops.mul(target, ops.sub(input2, input1))
    return reduced(name, ops.clamp(ops.add(order, margin), min=0.0), reduction, size_average, reduce)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with d = pairwise_distance.

    `swap` takes d(positive, negative) instead of d(anchor, negative) where it is smaller. Balntas, 2016.
    """
    if not margin > 0:
        raise DomainError(f"triplet_margin_loss: margin={margin} must be positive")
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = ops.minimum(far, pairwise_distance(positive, negative, p, eps))
    loss = ops.clamp(ops.add(ops.sub(near, far), margin), min=0.0)
    return reduced("triplet_margin_loss", loss, reduction, size_average, reduce)
