"""Linear layers as products of two thin ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import DomainError, StateError
from ..core.tensor import from_numpy
from ..nn import Linear, Module, Parameter, Sequential
from .common import note, owned_copy, plain_layer, replaced, require_module


class LowRankLinear(Sequential):
    """y = U (V x) + b, the best approximation of rank `rank` of a linear layer.

    error: |W - U V| / |W| in the Frobenius norm. bound: the largest singular value left out: |y - y'| <= bound |x|.
    """

    def __init__(self, layer: Linear, rank: int):
        w = layer.weight.detach().numpy()
        u, s, vt = np.linalg.svd(w.astype(np.float64), full_matrices=False)
        root = np.sqrt(s[:rank])
        first = Linear(layer.in_features, rank, bias=False, dtype=w.dtype)
        second = Linear(rank, layer.out_features, bias=layer.bias is not None, dtype=w.dtype)
        first.weight = Parameter(from_numpy((root[:, None] * vt[:rank]).astype(w.dtype)))
        second.weight = Parameter(from_numpy((u[:, :rank] * root).astype(w.dtype)))
        if layer.bias is not None:
            second.bias = Parameter(layer.bias.detach().clone())
        super().__init__(first, second)
        self.rank = rank
        self.error = float(np.sqrt((s[rank:] ** 2).sum() / max((s**2).sum(), 1e-300)))
        self.bound = float(s[rank]) if rank < len(s) else 0.0

    def extra_repr(self) -> str:
        return f"rank={self.rank}, error={self.error:.3g}"


def low_rank(model: Module, error: float | None = None, *, rank: int | float | None = None, skip: Any = ()) -> Module:
    """A copy of `model` whose linear layers (out x in) are products of two, out x r and r x in, by the singular value
    decomposition W = sum s_k u_k v_k: the r largest terms are the best approximation of that rank (Eckart and Young 1936).

    Args:
        error: the largest relative error sqrt(sum over k > r of s_k^2 / sum s_k^2) of each layer: the least r within it.
        rank: instead of it the rank, or as a float in (0, 1) its share of min(out, in).
        skip: names of layers to leave.

    A layer stays as it is where two would have no fewer weights; `rv.compress.notes(result)` names it. Each new layer says
    its `rank`, `error` and `bound`: |y - y'| <= bound |x|.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> layer = nn.Linear(64, 64)
    >>> with rv.no_grad():
    ...     _ = layer.weight.copy_(rv.randn(64, 3) @ rv.randn(3, 64))
    >>> small = rv.compress.low_rank(nn.Sequential(layer), error=0.01)
    >>> small[0].rank
    3
    """
    require_module("low_rank", model)
    if (error is None) == (rank is None):
        raise DomainError("low_rank: give either error or rank")
    if error is not None and not 0 <= error < 1:
        raise DomainError(f"low_rank: error={error} must be at least 0 and less than 1")
    if rank is not None and (not 0 < rank if isinstance(rank, int) else not 0 < rank < 1):
        raise DomainError(f"low_rank: rank={rank} must be an integer from 1 on, or a float between 0 and 1")
    result = owned_copy(model)
    skip = {skip} if isinstance(skip, str) else set(skip)
    lines, found = [], 0
    for name, layer in list(result.named_modules()):
        if not (plain_layer(layer) and isinstance(layer, Linear)) or name in skip:
            continue
        found += 1
        w = layer.weight.detach().numpy()
        if not np.isfinite(w).all():
            raise StateError(f"low_rank: the weights of layer {name!r} have NaN or infinite values")
        r = _rank(w, error, rank)
        if r * sum(w.shape) >= w.size:
            lines.append(f"layer {name!r} stays: rank {r} has no fewer weights than {w.shape[0]}x{w.shape[1]}")
        else:
            result = replaced(result, name, LowRankLinear(layer, r))
    if not found:
        raise DomainError(f"low_rank: {type(model).__name__} has no linear layers")
    note(result, lines)
    return result


def _rank(w: np.ndarray, error: float | None, rank: int | float | None) -> int:
    if isinstance(rank, int):
        return min(rank, *w.shape)
    if rank is not None:
        return max(1, round(rank * min(w.shape)))
    assert error is not None
    squares = np.linalg.svd(w.astype(np.float64), compute_uv=False) ** 2
    left = np.concatenate([np.cumsum(squares[::-1])[::-1], [0.0]])  # over k > r, by r
    return max(1, int(np.argmax(left <= error**2 * left[0] + 1e-15 * left[0])))
