"""Attention as functions; functional.py offers them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops, random
from ..core.dtypes import bool_, is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..ops.attention import attention_op, drawn_shape
from ..ops.public import Array
from ..ops.record import broadcast_shapes
from .functions import dropout as dropped
from .functions import plain

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


def _positions_first(x: Any, lead: tuple[int, ...]) -> Any:
    """(*lead, L, E) as (N, L, H, E), heads the last axis of `lead`; only several batch axes may need a copy."""
    x = ops.expand(x, (*lead, *x.shape[-2:]))
    n, heads = math.prod(lead[:-1]), lead[-1] if lead else 1
    return ops.transpose(ops.reshape(x, (n, heads, *x.shape[-2:])), 1, 2)


def _mask_for(mask: Any, query: Any, shape: tuple[int, ...]) -> Any:
    """`mask` as the op takes it, (N, H, L, S), for weights of `shape`."""
    if mask.dtype != bool_ and not is_float(mask.dtype):
        raise DTypeError(
            f"scaled_dot_product_attention: attn_mask has dtype {mask.dtype}, must be bool (True: may be seen) or "
            f"{query.dtype} (added to the scores)"
        )
    given = tuple(mask.shape)
    if len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given[::-1], shape[::-1])):
        raise ShapeError(
            f"scaled_dot_product_attention: attn_mask{given} must broadcast to {shape}: the batch, L queries, S keys"
        )
    if mask.dtype != bool_ and mask.dtype != query.dtype:
        mask = mask.astype(query.dtype) if isinstance(mask, np.ndarray) else mask.to(query.dtype)
    lead = shape[:-2]
    return ops.reshape(ops.expand(mask, shape), (math.prod(lead[:-1]), lead[-1] if lead else 1, *shape[-2:]))


def _common(query: Any, key: Any, value: Any, enable_gqa: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The batch axes of queries, and of keys and values; with the heads."""
    name, (q, k, v) = "scaled_dot_product_attention", (tuple(x.shape) for x in (query, key, value))
    shown = f"{name}: query{q}, key{k}, value{v}"
    if min(map(len, (q, k, v))) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ShapeError(f"{shown} must be (..., L, E), (..., S, E), (..., S, Ev)")
    if not enable_gqa:
        lead = broadcast_shapes(name, q[:-2], k[:-2], v[:-2])
        alone = len(lead) > 0 and all(len(x) < 3 or x[-3] == 1 for x in (k, v))
        return lead, (*lead[:-1], 1) if alone else lead
    if min(map(len, (q, k, v))) < 3 or k[-3] != v[-3] or k[-3] < 1 or q[-3] % k[-3]:
        raise ShapeError(f"{shown}: with enable_gqa heads (axis -3) of key and value must be equal and divide query's")
    batch = broadcast_shapes(name, q[:-3], k[:-3], v[:-3])
    return (*batch, q[-3]), (*batch, k[-3])


def _by_weights(
    query: Any, key: Any, value: Any, mask: Any, dropout: float, causal: bool, scale: float, groups: int
) -> Any:
    """Attention that keeps all weights: dropout draws for them one by one, as PyTorch's numbers come."""
    if groups > 1:
        key, value = (ops.repeat_interleave(x, groups, -3) for x in (key, value))
    scores = ops.matmul(ops.mul(query, scale), ops.transpose(key, -2, -1))
    if mask is not None:
        scores = ops.add(scores, _added(ops.logical_not(mask) if mask.dtype == bool_ else mask, scores.dtype))
    if causal:
        later = ops.triu(plain(ops.ones(tuple(scores.shape[-2:]), dtype=bool_), scores), 1)
        scores = ops.where(later, -math.inf, scores)
    seen = ops.ne(scores, -math.inf)  # a row that sees nothing gives 0, and no NaN in the gradient
    least = float(np.finfo(scores.dtype).min)
    weights = ops.where(seen, ops.softmax(ops.where(seen, scores, least), -1), 0.0)
    return ops.matmul(dropped(weights, dropout), value)


def scaled_dot_product_attention(
    query: Array, key: Array, value: Array, attn_mask: Array | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Array:  # fmt: skip
    """softmax(scale query key^T + mask) value. Vaswani et al., 2017; in blocks: memory is linear in L and S.

    Args:
        query: (..., H, L, E). key: (..., H, S, E). value: (..., H, S, Ev). The batch axes broadcast.
        attn_mask: broadcasts to (..., H, L, S): bool, True where a key may be seen, or numbers that are added to the scores.
            A query that sees no key gives 0.
        dropout_p: each weight is 0 with this probability and else divided by 1 - dropout_p. It applies whenever it is not 0.
        is_causal: query i sees keys 0 to i alone.
        scale: 1 / sqrt(E) where not given.
        enable_gqa: key and value have fewer heads, each for several neighbouring heads of query (Ainslie et al., 2023).

    A mask of numbers that requires a gradient, and second derivatives, take memory of L times S.

    Errors: DTypeError, ShapeError, DomainError.

    >>> import ranvier as rv
    >>> q, k, v = rv.zeros(1, 1, 2, 4), rv.randn(1, 1, 2, 4), rv.tensor([[[[2.0], [4.0]]]])
    >>> rv.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).tolist()
    [[[[2.0], [3.0]]]]
    """
    dtypes = {x.dtype for x in (query, key, value)}
    if len(dtypes) > 1 or not is_float(query.dtype):
        listed = ", ".join(str(x.dtype) for x in (query, key, value))
        raise DTypeError(
            f"scaled_dot_product_attention: query, key, value are {listed}; all must be float32, or float64"
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise DomainError(f"scaled_dot_product_attention: dropout_p={dropout_p} must be in [0, 1]")
    lead, shared = _common(query, key, value, enable_gqa)
    width, (queries, keys) = query.shape[-1], (query.shape[-2], key.shape[-2])
    scale = 1.0 / math.sqrt(max(width, 1)) if scale is None else float(scale)
    if dropout_p > 0 and random.as_pytorch():
        if attn_mask is not None:
            attn_mask = ops.reshape(_mask_for(attn_mask, query, (*lead, queries, keys)), (*lead, queries, keys))
        groups = query.shape[-3] // key.shape[-3] if enable_gqa else 1
        return _by_weights(query, key, value, attn_mask, dropout_p, is_causal, scale, groups)
    inputs = [_positions_first(query, lead), *(_positions_first(x, shared) for x in (key, value))]
    if attn_mask is not None:
        inputs.append(_mask_for(attn_mask, query, (*lead, queries, keys)))
    if dropout_p > 0:
        drawn = drawn_shape(math.prod(lead[:-1]), lead[-1] if lead else 1, queries, keys)
        noise = random.key(math.prod(drawn) // 4, None, "scaled_dot_product_attention")
        inputs.append(plain(noise, query))
    out = attention_op(*inputs, causal=bool(is_causal), scale=scale, dropout=float(dropout_p))
    return ops.reshape(ops.transpose(out, 1, 2), (*lead, queries, value.shape[-1]))


# ---------------------------------------------------------------- many heads


def _hides(name: str, mask: Any, dtype: Any, shapes: list[tuple[int, ...]]) -> None:
    """Refuse a mask of another dtype than bool (True: hidden) or float (added), or of another shape than one of `shapes`."""
    if mask.dtype != bool_ and not is_float(mask.dtype):
        raise DTypeError(
            f"multi_head_attention: {name} has dtype {mask.dtype}, must be bool (True: hidden) or {dtype} (added)"
        )
    if tuple(mask.shape) not in shapes:
        listed = " or ".join(map(str, shapes))
        raise ShapeError(f"multi_head_attention: {name}{tuple(mask.shape)} must be {listed}")


def _added(mask: Any, dtype: Any) -> Any:
    """A mask as numbers to add: -inf where a bool one hides."""
    return ops.where(mask, -math.inf, ops.zeros((), dtype=dtype)) if mask.dtype == bool_ else mask.to(dtype)


def _joined(masks: list[Any], dtype: Any) -> Any:
    """What hides where any of the masks does; as `scaled_dot_product_attention` takes it. None for no masks."""
    if not masks:
        return None
    if all(mask.dtype == bool_ for mask in masks):
        hidden = masks[0] if len(masks) == 1 else ops.logical_or(*masks)
        return ops.logical_not(hidden)
    added = [_added(mask, dtype) for mask in masks]
    return added[0] if len(masks) == 1 else ops.add(*added)


def multi_head_attention_forward(
    query: Array, key: Array, value: Array, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Any, in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool, dropout_p: float,
    out_proj_weight: Any, out_proj_bias: Any, training: bool = True, key_padding_mask: Any = None,
    need_weights: bool = True, attn_mask: Any = None, use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
    k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
    average_attn_weights: bool = True, is_causal: bool = False, *, batch_first: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Attention of several heads between projections; see `nn.MultiheadAttention`, whose function it is.

    Args:
        query: (L, N, E), or (L, E). key, value: (S, N, ..), or (S, ..). batch_first: N comes first in all of them.
        static_k, static_v: keys and values in place of the projected ones, (N heads, S, E / heads).
        is_causal: says that `attn_mask`, which must be there, is the causal one.
    """
    name = "multi_head_attention"
    ndim = len(query.shape)
    if ndim not in (2, 3) or len(key.shape) != ndim or len(value.shape) != ndim:
        shown = ", ".join(str(tuple(x.shape)) for x in (query, key, value))
        raise ShapeError(f"{name}: query, key, value {shown} must all have 3 axes, or 2 without a batch")
    width = query.shape[-1]
    if width != embed_dim_to_check or width % num_heads:
        raise ShapeError(
            f"{name}: query{tuple(query.shape)} must have embed_dim={embed_dim_to_check} in its last axis, which "
            f"num_heads={num_heads} must divide"
        )
    alone, at = ndim == 2, 1 if batch_first and ndim == 3 else 0  # the axis of positions
    lead = key.shape[:-1]
    fits = lead == value.shape[:-1] if use_separate_proj_weight else key.shape == value.shape
    if not fits or (ndim == 3 and query.shape[1 - at] != key.shape[1 - at]):
        raise ShapeError(
            f"{name}: query{tuple(query.shape)}, key{tuple(key.shape)}, value{tuple(value.shape)} must be of one batch, "
            "key and value of one length"
        )
    batch, queries, keys = 1 if alone else query.shape[1 - at], query.shape[at], key.shape[at]
    masks: list[Any] = []
    if is_causal and attn_mask is None:
        raise DomainError(f"{name}: is_causal=True says what attn_mask is, which must be given")
    if attn_mask is not None:
        _hides("attn_mask", attn_mask, query.dtype, [(queries, keys), (batch * num_heads, queries, keys)])
        if not is_causal or key_padding_mask is not None or need_weights:
            shape = (1, 1) if len(attn_mask.shape) == 2 else (batch, num_heads)
            masks.append(ops.reshape(attn_mask, (*shape, queries, keys)))
            is_causal = False
    if key_padding_mask is not None:
        _hides("key_padding_mask", key_padding_mask, query.dtype, [(keys,) if alone else (batch, keys)])
        masks.append(ops.reshape(key_padding_mask, (batch, 1, 1, keys)))

    if use_separate_proj_weight:
        matrices = [q_proj_weight, k_proj_weight, v_proj_weight]
        biases = [None] * 3 if in_proj_bias is None else ops.chunk(in_proj_bias, 3)
        q, k, v = (ops.linear(x, w, b) for x, w, b in zip((query, key, value), matrices, biases))
    else:
        q, k, v = _projected(query, key, value, in_proj_weight, in_proj_bias)

    def heads(x: Any) -> Any:  # the layout of the input -> (N, heads, positions, width of a head)
        x = ops.unsqueeze(x, 0) if alone else x if at else ops.transpose(x, 0, 1)
        return ops.transpose(ops.reshape(x, (*x.shape[:2], num_heads, width // num_heads)), 1, 2)

    extra = (bias_k is not None) + bool(add_zero_attn)
    if bias_k is not None:
        if static_k is not None or static_v is not None:
            raise DomainError(f"{name}: bias_k and bias_v cannot be added to static_k and static_v")
        k, v = (_longer(x, ops.reshape(b, (-1,)), at) for x, b in ((k, bias_k), (v, bias_v)))
    split = (batch, num_heads, -1, width // num_heads)
    q, k, v = heads(q), *(heads(x) if s is None else ops.reshape(s, split) for x, s in ((k, static_k), (v, static_v)))
    if add_zero_attn:
        zero = ops.zeros((1,), dtype=q.dtype)
        k, v = (_longer(x, zero, 2) for x in (k, v))
    if extra:  # the keys that were added are seen by all
        masks = [ops.pad(mask, (0, extra), value=0) for mask in masks]

    dropout = dropout_p if training else 0.0
    mask = _joined(masks, query.dtype)
    weights: Any = None
    if need_weights:
        scores = ops.matmul(ops.mul(q, 1.0 / math.sqrt(q.shape[-1])), ops.transpose(k, -2, -1))
        if mask is not None:
            scores = ops.where(mask, scores, -math.inf) if mask.dtype == bool_ else ops.add(scores, mask)
        weights = dropped(ops.softmax(scores, -1), dropout, True)
        out = ops.matmul(weights, v)
        weights = ops.mean(weights, 1) if average_attn_weights else weights
        weights = ops.squeeze(weights, 0) if alone else weights
    else:
        out = scaled_dot_product_attention(q, k, v, mask, dropout, is_causal)
    out = ops.transpose(out, 1, 2)  # (N, L, heads, width of a head)
    out = ops.squeeze(out, 0) if alone else out if at else ops.transpose(out, 0, 1)
    return ops.linear(ops.reshape(out, tuple(query.shape)), out_proj_weight, out_proj_bias), weights


def _projected(query: Any, key: Any, value: Any, weight: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values by one matrix (3 E, E), in as few products as there are different inputs."""
    width = query.shape[-1]

    def some(x: Any, begin: int, parts: int) -> Any:
        first, last = begin * width, (begin + parts) * width
        whole = parts == 3
        out = ops.linear(
            x, weight if whole else weight[first:last], bias if whole or bias is None else bias[first:last]
        )
        return ops.chunk(out, parts, -1)

    if key is value:
        return some(query, 0, 3) if query is key else (*some(query, 0, 1), *some(key, 1, 2))
    return tuple(some(x, k, 1)[0] for k, x in enumerate((query, key, value)))  # type: ignore[return-value]


def _longer(x: Any, row: Any, axis: int) -> Any:
    """`x` with one more position along `axis`, all of it `row`."""
    return ops.cat([x, ops.expand(row, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))], axis)
