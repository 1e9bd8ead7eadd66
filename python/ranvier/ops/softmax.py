"""Softmax, its logarithm, and the cross-entropy of logits with labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import int64, is_float
from ..core.errors import DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import from_numpy
from .creation import ones
from .dispatch import Call
from .elementwise import mul, neg
from .public import Array
from .record import Aval, Op, Sample, Spec
from .reduction import run_along, to_dtype
from .reduction import sum as sum_

__all__ = ["cross_entropy", "log_softmax", "softmax"]
REMEMBERED = ["log_softmax", "softmax"]  # see ops/public.py


# ---------------------------------------------------------------- softmax


def _float_infer(name: str) -> Any:
    def infer(x: Aval, *, dim: int) -> Spec:
        if not is_float(x.dtype):
            raise DTypeError(f"{name}: dtype {x.dtype} must be float32 or float64; cast first, or pass dtype=")
        return x.shape, x.dtype

    return infer


def _shifted(xp: Any, x: Any, dim: int) -> Any:
    return x - xp.max(x, axis=dim, keepdims=True, initial=np.asarray(-np.inf, x.dtype)) if x.shape else x - x


def _softmax_reference(xp: Any, x: Any, *, dim: int) -> Any:
    e = xp.exp(_shifted(xp, x, dim))
    return e / xp.sum(e, axis=dim, keepdims=True) if x.shape else e


def _log_softmax_reference(xp: Any, x: Any, *, dim: int) -> Any:
    shifted = _shifted(xp, x, dim)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=dim, keepdims=True)) if x.shape else shifted


def _line(x: Aval, *, dim: int) -> int:
    return x.shape[dim] if x.shape else 1


def _flops(x: Aval, *, dim: int) -> int:
    return 12 * math.prod(x.shape)


_SAMPLES = (
    Sample(((),)),
    Sample(((5,),)),
    Sample(((30, 10),), {"dim": 1}),
    Sample(((1000, 3),), {"dim": 0}),
    Sample(((4, 7, 20),), {"dim": 1}),
    Sample(((0, 3),), {"dim": 0}),
    Sample((np.array([[1e4, -1e4, 0.0], [-np.inf, 0.0, 1.0], [-np.inf] * 3], np.float32),), {"dim": 1}),
)

_ALONG: dict[str, Any] = {
    "kind": "kernel", "attrs": {"dim": 0}, "saves": "o", "terms": _line,
    "flops": _flops, "samples": _SAMPLES,
}  # fmt: skip

_softmax = Op(
    "softmax",
    **_ALONG,
    infer=_float_infer("softmax"),
    reference=_softmax_reference,
    vjp=lambda g, out, x, *, dim: ((g - (g * out).sum(dim, keepdim=True)) * out,),
    onnx="Softmax",
    yields="probabilities",
)

_log_softmax = Op(
    "log_softmax",
    **_ALONG,
    infer=_float_infer("log_softmax"),
    reference=_log_softmax_reference,
    vjp=lambda g, out, x, *, dim: (g - out.exp() * g.sum(dim, keepdim=True),),
    onnx="LogSoftmax",
)


def softmax(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """exp(x_i) / sum_j exp(x_j) along `dim`, without overflow. A line of -inf only gives NaN.

    >>> import ranvier as rv
    >>> rv.softmax(rv.tensor([1000., 1000.]), 0).tolist()
    [0.5, 0.5]
    """
    return run_along(_softmax, to_dtype(input, dtype), dim)


def log_softmax(input: Array, dim: int, *, dtype: Any = None) -> Array:
    """log(softmax(x)) along `dim`, accurate where the softmax is tiny.

    >>> import ranvier as rv
    >>> rv.log_softmax(rv.tensor([0., 1000.]), 0).tolist()
    [-1000.0, 0.0]
    """
    return run_along(_log_softmax, to_dtype(input, dtype), dim)


# ---------------------------------------------------------------- cross-entropy

_REDUCTIONS = ("none", "sum", "mean")
_ATTRS = {"dim": 1, "reduction": "mean", "ignore_index": -100, "label_smoothing": 0.0}


def _others(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], *shape[dim + 1 :])


def _infer(x: Aval, target: Aval, weight: Aval | None = None, *, dim: int, reduction: str, **attrs: Any) -> list[Spec]:
    """loss; of each line its maximum, and the log-sum-exp of what it is above the others; the sum of the counted labels'
    weights. Maximum and logarithm stay apart, because their sum would round the logarithm of large logits away.
    """
    lines = _others(x.shape, dim)
    return [(lines if reduction == "none" else (), x.dtype), (lines, x.dtype), (lines, x.dtype), ((), x.dtype)]


def _check_labels(target: np.ndarray, classes: int, ignore_index: int) -> None:
    bad = (target != ignore_index) & ((target < 0) | (target >= classes))
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        label = f"target[{', '.join(map(str, where))}]" if where else "target"
        raise OutOfRangeError(f"cross_entropy: {label}={target[where]} must be in [0, {classes - 1}]")


def _parts(xp: Any, x: Any, target: Any, weight: Any, dim: int, ignore_index: int, label_smoothing: float) -> tuple:
    """q (see `cross_entropy`), shaped as x, and the weight of each line's label; 0 for what is ignored."""
    classes = x.shape[dim]
    _check_labels(np.asarray(target), classes, ignore_index)
    shape = [1] * len(x.shape)
    shape[dim] = classes
    counted = xp.expand_dims(target != ignore_index, axis=dim)
    hot = (xp.reshape(xp.arange(classes), shape) == xp.expand_dims(target, axis=dim)) & counted
    w = xp.reshape(weight if weight is not None else xp.ones(classes, dtype=x.dtype), shape)
    zero = xp.zeros((), dtype=x.dtype)
    label_weight = xp.sum(xp.where(hot, w, zero), axis=dim)
    q = xp.where(hot, w * (1 - label_smoothing), zero)
    if label_smoothing:
        q = q + xp.where(counted, w * (label_smoothing / classes), zero)
    return q, label_weight


def _reference(
    xp: Any,
    x: Any,
    target: Any,
    weight: Any = None,
    *,
    dim: int,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> tuple:
    q, label_weight = _parts(xp, x, target, weight, dim, ignore_index, label_smoothing)
    top = xp.max(x, axis=dim, keepdims=True)
    log_sum = xp.log(xp.sum(xp.exp(x - top), axis=dim, keepdims=True))
    loss = xp.sum(xp.where(q != 0, q * (top - x + log_sum), xp.zeros_like(x)), axis=dim)
    total = xp.sum(label_weight)
    if reduction != "none":
        loss = xp.sum(loss, dtype=xp.float64)
    loss = loss / total if reduction == "mean" else loss
    return loss, xp.squeeze(top, axis=dim), xp.squeeze(log_sum, axis=dim), total


def _probabilities(x: Any, top: Any, log_sum: Any, dim: int) -> Any:
    return (x - top.unsqueeze(dim) - log_sum.unsqueeze(dim)).exp()


def _vjp(g: tuple, out: tuple, x: Any, target: Any, weight: Any = None, **attrs: Any) -> tuple:
    (loss, *others, _), dim = g, attrs["dim"]
    more = () if weight is None else (weight,)
    dx = None
    if loss is not None:
        dx = _cross_entropy_grad(loss, x, target, *out[1:], *more, **attrs)
    if any(o is not None for o in others):  # reached through a second derivative only
        top, log_sum = (0.0 if o is None else o.unsqueeze(dim) for o in others)
        highest = (x == out[1].unsqueeze(dim)).to(x.dtype)
        through = _probabilities(x, out[1], out[2], dim) * log_sum + highest * (top - log_sum)
        dx = through if dx is None else dx + through
    return (dx, *(None for _ in (target, *more)))


def _encode(*avals: Aval, reduction: str, **attrs: Any) -> dict[str, Any]:
    return {**attrs, "reduction": _REDUCTIONS.index(reduction)}


_LABELS = np.array([2, 0, -100, 1, 2])
_CASES: tuple[tuple[tuple, dict], ...] = (
    (((5, 3), _LABELS), {}),
    (((5, 3), _LABELS), {"reduction": "none"}),
    (((5, 3), _LABELS, np.array([0.5, 1.0, 2.0], np.float32)), {"label_smoothing": 0.1}),
    (((5, 3), np.array([2, 0, 2, 1, 2])), {"reduction": "sum", "label_smoothing": 0.2, "ignore_index": 2}),
    (((3,), np.array(1)), {"dim": 0}),
    (((2, 4, 3, 5), np.arange(30).reshape(2, 3, 5) % 4), {}),
    (((0, 4), np.zeros(0, np.int64)), {"reduction": "sum"}),
)

_cross_entropy = Op(
    "cross_entropy",
    kind="kernel",
    attrs=_ATTRS,
    infer=_infer,
    reference=_reference,
    saves="io123",
    vjp=_vjp,
    encode=_encode,
    terms=lambda x, *more, dim, reduction, **attrs: x.shape[dim] if reduction == "none" else math.prod(x.shape),
    flops=lambda x, *more, **attrs: 10 * math.prod(x.shape),
    onnx="SoftmaxCrossEntropyLoss",
    samples=[Sample(inputs, attrs) for inputs, attrs in _CASES],
)


def _grad_infer(g: Aval, x: Aval, *more: Aval, **attrs: Any) -> Spec:
    return x.shape, x.dtype


def _grad_reference(
    xp: Any,
    g: Any,
    x: Any,
    target: Any,
    top: Any,
    log_sum: Any,
    total: Any,
    weight: Any = None,
    *,
    dim: int,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> Any:
    q, _ = _parts(xp, x, target, weight, dim, ignore_index, label_smoothing)
    g = g / total if reduction == "mean" else g
    g = xp.expand_dims(g, axis=dim) if reduction == "none" else g
    a = xp.sum(q, axis=dim, keepdims=True)
    p = xp.exp(x - xp.expand_dims(top, axis=dim) - xp.expand_dims(log_sum, axis=dim))
    return xp.where(a != 0, g * (a * p - q), xp.zeros_like(x))


def _grad_vjp(
    v: Any, out: Any, g: Any, x: Any, target: Any, top: Any, log_sum: Any, total: Any, weight: Any = None, **attrs: Any
) -> tuple:
    """With p = exp(x - top - log_sum) and a = sum_c q: d(out)/dx = diag(g a p) = -d(out)/dtop = -d(out)/dlog_sum; linear
    in g.
    """
    dim, reduction = attrs["dim"], attrs["reduction"]
    more = () if weight is None else (weight,)
    shape = [-1 if d == dim else 1 for d in range(x.ndim)]
    e, classes = attrs["label_smoothing"], x.shape[dim]
    labels = target.unsqueeze(dim)
    a = (labels != attrs["ignore_index"]).to(x.dtype)
    if weight is not None:
        hot = (from_numpy(np.arange(classes).reshape(shape)) == labels).to(x.dtype)
        of_label = (hot * weight.reshape(shape)).sum(dim, keepdim=True)
        a = a * (of_label * (1 - e) + weight.sum() * (e / classes))
    scale = g.unsqueeze(dim) if reduction == "none" else g / total if reduction == "mean" else g
    through = _probabilities(x, top, log_sum, dim) * a * scale * v
    unit = _cross_entropy_grad(ones(g.shape, dtype=g.dtype), x, target, top, log_sum, total, *more, **attrs)
    dg = (unit * v).sum(dim) if reduction == "none" else (unit * v).sum()
    of_lines = -through.sum(dim)
    return (dg, through, None, of_lines, of_lines, *(None for _ in (total, *more)))


def _grad_sample(inputs: tuple, attrs: dict) -> Sample:
    shape, labels, *more = inputs
    full = {**_ATTRS, **attrs}
    lines = _others(shape, full["dim"])
    g = lines if full["reduction"] == "none" else ()
    return Sample((g, shape, labels, lines, lines, np.array(4.0, np.float32), *more), attrs)


_cross_entropy_grad = Op(
    "cross_entropy_grad",
    kind="kernel",
    attrs=_ATTRS,
    saves="i",
    infer=_grad_infer,
    reference=_grad_reference,
    vjp=_grad_vjp,
    encode=_encode,
    flops=lambda g, x, *more, **attrs: 8 * math.prod(x.shape),
    samples=[_grad_sample(inputs, attrs) for inputs, attrs in _CASES],
    doc="gradient of cross_entropy with respect to its logits",
)


def cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Cross-entropy of softmax(logits) with `target`, from raw scores, exact for large ones.

    loss[n] = -sum_c q[n,c] log_softmax(x[n])[c],  q[n,c] = w[c] ((1 - e) p[n,c] + e / C),  e = label_smoothing

    Args:
        logits: (C), (N, C) or (N, C, d1, ...), float.
        target: class numbers (int64), shaped as logits without C: p is 1 at the class; or probabilities p,
            float, shaped as logits.
        weight: (C), a factor for each class.
        ignore_index: labels of that value contribute nothing (class numbers only).
        reduction: "none", "sum", or "mean": the sum divided by that of the labels' weights (by N for probabilities).

    Errors: ShapeError, DTypeError; OutOfRangeError for a label outside [0, C-1].

    >>> import ranvier as rv
    >>> rv.cross_entropy(rv.tensor([[2., 0., 0.]]), rv.tensor([0]))
    tensor(0.2395)
    """
    shape = tuple(logits.shape)
    if not shape:
        raise ShapeError("cross_entropy: logits are a scalar; they must be shaped (C), (N, C) or (N, C, d1, ...)")
    if not is_float(logits.dtype):
        raise DTypeError(f"cross_entropy: logits of dtype {logits.dtype} must be float32 or float64")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"cross_entropy: reduction={reduction!r} must be 'none', 'sum' or 'mean'")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing={label_smoothing} must be in [0, 1]")
    dim = 0 if len(shape) == 1 else 1
    if shape[dim] == 0:
        raise ShapeError(f"cross_entropy: logits{shape} have no classes: logits.shape[{dim}]=0")
    if weight is not None:
        if tuple(weight.shape) != (shape[dim],):
            raise ShapeError(
                f"cross_entropy: weight{tuple(weight.shape)} must have shape ({shape[dim]},): one for each "
                f"class of logits{shape}"
            )
        weight = to_dtype(weight, logits.dtype)
    if is_float(target.dtype):
        return _soft_cross_entropy(logits, target, weight, dim, reduction, label_smoothing)
    if tuple(target.shape) != _others(shape, dim):
        raise ShapeError(
            f"cross_entropy: target{tuple(target.shape)} must have shape {_others(shape, dim)}: "
            f"logits{shape} without their class axis {dim}"
        )
    if target.dtype.kind not in "iu":
        raise DTypeError(
            f"cross_entropy: target of dtype {target.dtype} must hold class numbers (int64) or probabilities"
        )
    target = to_dtype(target, int64)
    key = (dim, reduction, ignore_index, label_smoothing)
    call = _bound.get(key)
    if call is None:
        call = _cross_entropy.bind(
            dim=dim,
            reduction=reduction,
            ignore_index=int(ignore_index),
            label_smoothing=float(label_smoothing),
        )
        if len(_bound) < 256:
            _bound[key] = call
    try:
        return call.apply((logits, target) if weight is None else (logits, target, weight))[0]
    except OutOfRangeError:  # the kernel found a label out of range: say it with its place in `target`
        _check_labels(np.asarray(getattr(target, "_data", target)), shape[dim], ignore_index)
        raise


_bound: dict[tuple, Call] = {}


def _soft_cross_entropy(x: Any, target: Any, weight: Any, dim: int, reduction: str, e: float) -> Any:
    if target.shape != x.shape:
        raise ShapeError(
            f"cross_entropy: target{tuple(target.shape)} of probabilities must have the shape of logits{tuple(x.shape)}"
        )
    target = to_dtype(target, x.dtype)
    classes = x.shape[dim]
    if e:
        target = target * (1 - e) + e / classes
    terms = mul(target, log_softmax(x, dim))
    if weight is not None:
        terms = mul(terms, weight.reshape([-1 if d == dim else 1 for d in range(x.ndim)]))
    if reduction == "none":
        return neg(sum_(terms, dim))
    total = neg(sum_(terms))
    return total if reduction == "sum" else mul(total, 1 / (math.prod(_others(x.shape, dim)) or math.nan))
