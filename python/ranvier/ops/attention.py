"""Scaled dot-product attention and its gradient, in blocks: memory is linear in the length of the sequences.

The op takes q (N, L, H, E), k (N, S, Hk, E) and v (N, S, Hk, Ev): heads lie inside of positions, as a product with fused
weights leaves them, and H / Hk heads share their keys. Its gradient computes the weights again from two numbers a query.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.context import local
from ..core.dtypes import bool_, is_float
from ..core.errors import DTypeError, ShapeError
from .elementwise import where
from .matmul import matmul
from .random import bernoulli_op
from .record import Aval, Op, Sample
from .reduction import amax
from .reduction import sum as sum_
from .shape import beside, expand, narrow, reshape, transpose, unsqueeze

__all__: list[str] = []  # for nn

_ATTRS = {"causal": False, "scale": 1.0, "dropout": 0.0}


def _optional(more: tuple, dropout: float) -> tuple[Any, Any]:
    """The mask and the key among the inputs after q, k and v; None for what is not there."""
    return (more[0] if len(more) > (dropout > 0) else None), (more[-1] if dropout > 0 else None)


def drawn_shape(n: int, heads: int, queries: int, keys: int) -> tuple[int, ...]:
    """What a dropout draws: rows of whole blocks of four words."""
    return n, heads, queries, -(-keys // 4) * 4


# ---------------------------------------------------------------- the definition


def _heads(xp: Any, x: Any, groups: int = 1) -> Any:
    """(N, L, H, E) -> (N, H, L, E), each head `groups` times."""
    return xp.repeat(xp.permute_dims(x, (0, 2, 1, 3)), groups, axis=1)


def _groups(q: Any, k: Any) -> int:
    return q.shape[2] // k.shape[2] if k.shape[2] else 1


def _scores(xp: Any, q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    scores = xp.matmul(_heads(xp, q), xp.matrix_transpose(_heads(xp, k, _groups(q, k)))) * scale
    if mask is not None:
        scores = scores + (xp.where(mask, 0.0, -xp.inf).astype(scores.dtype) if mask.dtype == bool_ else mask)
    if causal:
        scores = xp.where(_triangle(*scores.shape[-2:]), scores, -xp.inf)
    return scores


def _triangle(queries: int, keys: int) -> np.ndarray:
    """Whether a query may see a key under a causal mask."""
    return np.arange(queries)[:, None] >= np.arange(keys)


def _factors(xp: Any, key: Any, scores: Any, dropout: float) -> Any:
    if not dropout:
        return 1
    attrs = {"shape": drawn_shape(*scores.shape), "dtype": np.dtype(scores.dtype), **_kept(dropout)}
    return bernoulli_op.reference(xp, key, **attrs)[..., : scores.shape[-1]]


def _kept(dropout: float) -> dict[str, float]:
    return {"p": 1.0 - dropout, "value": 1.0 / (1.0 - dropout) if dropout < 1 else 0.0}


def _reference(
    xp: Any, q: Any, k: Any, v: Any, *more: Any, causal: bool, scale: float, dropout: float, training: bool
) -> Any:
    mask, key = _optional(more, dropout)
    scores = _scores(xp, q, k, mask, causal, scale)
    top = xp.max(scores, axis=-1, keepdims=True, initial=-xp.inf)
    e = xp.exp(scores - xp.where(top == -xp.inf, 0, top).astype(top.dtype))
    total = xp.sum(e, axis=-1, keepdims=True)
    weights = e / xp.where(total == 0, 1, total).astype(total.dtype) * _factors(xp, key, scores, dropout)
    out = _heads(xp, xp.matmul(weights, _heads(xp, v, _groups(q, v))))
    return (out, top[..., 0], total[..., 0]) if training else out


def _grad_reference(
    xp: Any, g: Any, out: Any, top: Any, total: Any, q: Any, k: Any, v: Any, *more: Any, causal: bool, scale: float,
    dropout: float,
) -> Any:  # fmt: skip
    mask, key = _optional(more, dropout)
    scores = _scores(xp, q, k, mask, causal, scale)
    factors = _factors(xp, key, scores, dropout)
    top, total = (xp.expand_dims(x, axis=-1) for x in (top, total))
    share = xp.where(total == 0, 0, 1 / xp.where(total == 0, 1, total)).astype(total.dtype)
    weights = xp.exp(scores - xp.where(top == -xp.inf, 0, top).astype(top.dtype)) * share
    qs, gs, outs = _heads(xp, q), _heads(xp, g), _heads(xp, out)
    ks, vs = (_heads(xp, x, _groups(q, x)) for x in (k, v))
    delta = xp.sum(gs * outs, axis=-1, keepdims=True)
    ds = scale * weights * (factors * xp.matmul(gs, xp.matrix_transpose(vs)) - delta)

    def shared(x: Any) -> Any:  # the sum over heads that share their keys
        n, _, keys, width = x.shape
        return _heads(xp, xp.sum(xp.reshape(x, (n, k.shape[2], -1, keys, width)), axis=2)) if x.size else x[:, :, :0]

    dk = xp.matmul(xp.matrix_transpose(ds), qs)
    dv = xp.matmul(xp.matrix_transpose(weights * factors), gs)
    return _heads(xp, xp.matmul(ds, ks)), *(
        shared(x) if x.size else xp.zeros(like.shape, dtype=like.dtype) for x, like in ((dk, k), (dv, v))
    )


# ---------------------------------------------------------------- rules


def _check(q: Aval, k: Aval, v: Aval, mask: Aval | None) -> None:
    name = "attention"
    if not is_float(q.dtype) or k.dtype != q.dtype or v.dtype != q.dtype:
        raise DTypeError(f"{name}: dtypes {q.dtype}, {k.dtype}, {v.dtype} must be float32, or all float64")
    fits = len(q.shape) == len(k.shape) == len(v.shape) == 4 and k.shape[:3] == v.shape[:3]
    if not fits or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3] or q.shape[2] % max(k.shape[2], 1):
        raise ShapeError(
            f"{name}: q{q.shape}, k{k.shape}, v{v.shape} must be (N, L, H, E), (N, S, Hk, E), (N, S, Hk, Ev); Hk divides H"
        )
    if mask is not None:
        wanted = (q.shape[0], q.shape[2], q.shape[1], k.shape[1])
        if tuple(mask.shape) != wanted or mask.dtype not in (bool_, q.dtype):
            raise ShapeError(f"{name}: mask {mask.dtype}{mask.shape} must be {wanted}, bool or {q.dtype}")


def _infer(q: Aval, k: Aval, v: Aval, *more: Aval, dropout: float, training: bool, **attrs: Any) -> Any:
    _check(q, k, v, _optional(more, dropout)[0])
    out = (*q.shape[:3], v.shape[3]), q.dtype
    line = (q.shape[0], q.shape[2], q.shape[1]), q.dtype
    return [out, line, line] if training else out


def _vjp(g: Any, out: Any, q: Any, k: Any, v: Any, *more: Any, training: bool, **attrs: Any) -> tuple:
    mask, _ = _optional(more, attrs["dropout"])
    nothing = (None,) * len(more)
    if g[0] is None:
        return (None, None, None, *nothing)
    if local.grad_enabled or (mask is not None and mask.requires_grad):
        dmask, *grads = _composed_grad(g[0], q, k, v, *more, **attrs)
        return (*grads, dmask, *nothing[1:]) if mask is not None else (*grads, *nothing)
    return (*_attention_grad(g[0], *out, q, k, v, *more, **attrs), *nothing)


def _composed_grad(
    g: Any, q: Any, k: Any, v: Any, *more: Any, causal: bool, scale: float, dropout: float
) -> tuple[Any, ...]:
    """The gradients of the mask, q, k and v by ops that can be differentiated again; memory is that of all weights."""
    mask, key = _optional(more, dropout)
    n, queries, heads, _ = q.shape
    keys, groups = k.shape[1], _groups(q, k)
    shape = (n, heads, queries, keys)

    def shared(x: Any) -> Any:  # (N, S, Hk, E) -> (N, H, S, E)
        x = expand(unsqueeze(transpose(x, 1, 2), 2), (n, k.shape[2], groups, keys, x.shape[3]))
        return reshape(x, (n, heads, keys, x.shape[4]))

    def summed(x: Any) -> Any:  # (N, H, S, E) -> (N, S, Hk, E)
        return transpose(sum_(reshape(x, (n, k.shape[2], groups, keys, x.shape[3])), 2), 1, 2)

    qs, gs, ks, vs = transpose(q, 1, 2), transpose(g, 1, 2), shared(k), shared(v)
    weights = attention_weights(qs, ks, mask, causal, scale)
    dw, kept = matmul(gs, transpose(vs, 2, 3)), weights
    if dropout:
        factors = bernoulli_op(key, shape=drawn_shape(*shape), dtype=q.dtype, **_kept(dropout))
        factors = narrow(factors, 3, 0, keys)
        dw, kept = dw * factors, weights * factors
    ds = weights * (dw - sum_(weights * dw, -1, True))
    dmask = ds if mask is not None and mask.requires_grad else None
    dq, dk, dv = matmul(ds, ks) * scale, matmul(transpose(ds, 2, 3), qs) * scale, matmul(transpose(kept, 2, 3), gs)
    return dmask, transpose(dq, 1, 2), summed(dk), summed(dv)


def attention_weights(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    """softmax(scale q k^T + mask) of (..., L, E) and (..., S, E): (..., L, S); 0 for a query that sees no key."""
    scores = matmul(q, transpose(k, -2, -1)) * scale
    if mask is not None:
        scores = where(mask, scores, -math.inf) if mask.dtype == bool_ else scores + mask
    if causal:
        scores = where(beside(_triangle(*scores.shape[-2:]), scores), scores, -math.inf)
    if not scores.shape[-1]:
        return scores
    top = amax(scores, -1, True)
    top = top.detach() if hasattr(top, "detach") else top
    e = (scores - where(top == -math.inf, 0.0, top)).exp() if hasattr(scores, "exp") else np.exp(scores - top)
    total = sum_(e, -1, True)
    return e / where(total == 0, 1.0, total)


# ---------------------------------------------------------------- the ops


def _pairs(q: Aval, k: Aval, causal: bool) -> int:
    """Of queries and the keys that they see."""
    queries, keys = q.shape[1], k.shape[1]
    short = min(queries, keys)
    return q.shape[0] * q.shape[2] * (short * (short + 1) // 2 + (queries - short) * keys if causal else queries * keys)


def _elements(q: Aval, k: Aval, more: tuple, causal: bool, of_pair: int) -> int:
    """Operations besides the products: so many for a pair, and one for the mask and for dropout each."""
    return (of_pair + len(more)) * _pairs(q, k, causal)


def _sample(q: tuple, k: tuple, depth: int, *more: Any, **attrs: Any) -> Sample:
    return Sample((q, k, (*k[:3], depth), *more), {"scale": round(q[3] ** -0.5, 3), **attrs})


_KEY = np.array([1234, 5])
_MASK = (np.arange(2 * 4 * 9 * 7) * 37 % 101 < 60).reshape(2, 4, 9, 7)
_MASK[0, 1, 2] = False  # a query that sees nothing
_SAMPLES = (
    _sample((2, 9, 4, 8), (2, 7, 4, 8), 5),
    _sample((1, 40, 2, 16), (1, 40, 2, 16), 16, causal=True),
    _sample((2, 9, 4, 8), (2, 7, 2, 8), 8, _MASK),
    _sample((2, 9, 4, 8), (2, 7, 1, 8), 8, (2, 4, 9, 7), causal=True),
    _sample((1, 3, 2, 4), (1, 300, 2, 4), 3),
    _sample((2, 9, 4, 8), (2, 7, 4, 8), 8, _KEY, dropout=0.25),
    _sample((2, 9, 4, 8), (2, 7, 4, 8), 8, _MASK, _KEY, dropout=0.5, causal=True),
    _sample((1, 1, 2, 33), (1, 5, 2, 33), 17),
    _sample((0, 3, 2, 4), (0, 5, 2, 4), 4),
    _sample((2, 3, 2, 4), (2, 0, 2, 4), 4),
)


def _terms(q: Aval, k: Aval) -> int:
    return (q.shape[3] + 4) ** 2 + k.shape[1]


def _encode(*avals: Aval, causal: bool, scale: float, dropout: float, **attrs: Any) -> dict[str, Any]:
    return {"causal": causal, "scale": float(scale), "dropout": float(dropout)}


attention_op: Op = Op(
    "attention", kind="kernel", attrs={**_ATTRS, "training": False}, extras=2,
    infer=_infer, reference=_reference, vjp=_vjp, encode=_encode, domain=(-1.0, 1.0),
    macs=lambda q, k, v, *more, causal, **attrs: _pairs(q, k, causal) * (q.shape[3] + v.shape[3]),
    elements=lambda q, k, v, *more, causal, **attrs: _elements(q, k, more, causal, 2),  # scale and softmax
    flops=lambda q, k, v, *more, causal, **attrs: 2 * _pairs(q, k, causal) * (q.shape[3] + v.shape[3] + 8),
    terms=lambda q, k, *more, **attrs: _terms(q, k),
    samples=_SAMPLES, onnx="Attention",
    doc="softmax(scale q k^T + mask) v, head by head; for the gradient also the greatest score and the sum of exponentials",
)  # fmt: skip


def _grad_sample(sample: Sample) -> Sample:
    q, k, v, *more = sample.inputs
    out, lines = (*q[:3], v[3]), (q[0], q[2], q[1])
    return Sample((out, out, lines, np.full(lines, 2.5, np.float32), q, k, v, *more), sample.attrs)


_attention_grad = Op(
    "attention_grad", kind="kernel", attrs=_ATTRS, saves="", encode=_encode, domain=(-1.0, 1.0),
    infer=lambda g, out, top, total, q, k, v, *more, **attrs: [(tuple(x.shape), x.dtype) for x in (q, k, v)],
    reference=_grad_reference,
    macs=lambda g, out, top, total, q, k, v, *more, causal, **attrs: (
        _pairs(q, k, causal) * (3 * q.shape[3] + 2 * v.shape[3])
    ),
    elements=lambda g, out, top, total, q, k, v, *more, causal, **attrs: (
        _elements(q, k, more, causal, 5) + 2 * math.prod(g.shape)
    ),
    flops=lambda g, out, top, total, q, k, v, *more, causal, **attrs: (
        2 * _pairs(q, k, causal) * (3 * q.shape[3] + 2 * v.shape[3] + 10) + 2 * math.prod(g.shape)
    ),
    max_ulp=32.0,  # differences of what is nearly equal
    terms=lambda g, out, top, total, q, k, *more, **attrs: _terms(q, k) + q.shape[1] * _groups(q, k),
    samples=lambda: tuple(map(_grad_sample, _SAMPLES)),
    doc="gradients of attention with respect to q, k and v",
)  # fmt: skip
