"""Generating sequences token by token: a cache of keys and values, the choice of a token, and the loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import ops, random
from ..compiling import compile
from ..core.context import no_grad
from ..core.dtypes import get_default_dtype, int64
from ..core.errors import DomainError, ShapeError
from ..core.tensor import as_tensor, from_numpy
from . import functional as F
from .module import Module

__all__ = ["KeyValueCache", "choose", "generate"]


class KeyValueCache:
    """The keys and values of all tokens that a model has read, so that the next token costs one position and not all.

    A model takes one as an argument: each attention layer calls `attend` in place of `F.scaled_dot_product_attention`, and
    the model `advance` once it has read its tokens. Positions are a tensor, and the cache is written in place: a compiled
    step is one plan for every position.

    Args:
        layers: attention layers. batch: sequences. heads, head_dim: of the keys; queries may have more heads.
        max_length: positions that there is room for.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> cache = nn.KeyValueCache(layers=1, batch=1, heads=2, max_length=16, head_dim=4)
    >>> x = rv.randn(1, 2, 3, 4)  # three positions at once, then one
    >>> cache.attend(0, x, x, x).shape
    (1, 2, 3, 4)
    >>> cache.advance(3)
    >>> cache.position.item()
    3
    """

    def __init__(self, layers: int, batch: int, heads: int, max_length: int, head_dim: int, dtype: Any = None):
        dtype = get_default_dtype() if dtype is None else dtype
        shape = (batch, max_length, heads, head_dim)  # positions outside of heads, as attention reads them
        self.keys = [ops.zeros(shape, dtype=dtype) for _ in range(layers)]
        self.values = [ops.zeros(shape, dtype=dtype) for _ in range(layers)]
        self.position = from_numpy(np.zeros((), np.int64))
        self.max_length, self.batch = max_length, batch
        self._places = from_numpy(np.arange(max_length))
        self.steps: dict[Any, Callable] = {}  # compiled steps over this cache, see `generate`

    def attend(self, layer: int, query: Any, key: Any, value: Any, scale: float | None = None) -> Any:
        """Attention of the next positions, (N, H, T, E) of each, to themselves and all before them: (N, H, T, E)."""
        length = query.shape[2]
        at = self._places[:length] + self.position
        for store, new in ((self.keys[layer], key), (self.values[layer], value)):
            if new.shape[2] != length or (new.shape[0], new.shape[1], new.shape[3]) != (
                store.shape[0],
                *store.shape[2:],
            ):
                shape = tuple(store.shape[d] if d != 1 else length for d in (0, 2, 1, 3))
                raise ShapeError(f"KeyValueCache: keys and values are {tuple(new.shape)}, must be {shape}")
            store.index_copy_(1, at, new.detach().transpose(1, 2))
        keys, values = (t[layer].transpose(1, 2) for t in (self.keys, self.values))
        seen = self._places <= at[:, None]
        return F.scaled_dot_product_attention(query, keys, values, seen, scale=scale, enable_gqa=True)

    def advance(self, length: int) -> None:
        """So many more positions are read."""
        self.position += length

    def reset(self) -> None:
        """Forget all positions."""
        self.position[...] = 0


def choose(
    logits: Any, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None, generator: Any = None
) -> Any:
    """One token for each row of logits (N, classes): int64 (N,).

    Args:
        temperature: logits are divided by it; 0: the token of the greatest logit.
        top_k: of the k greatest alone. top_p: of the fewest whose probabilities sum to at least top_p (Holtzman et al.,
            2020), among those that top_k has left.
        generator: the one to draw from.

    >>> import ranvier as rv
    >>> from ranvier.nn.generation import choose
    >>> choose(rv.tensor([[0.0, 5.0, 1.0]]), temperature=0).tolist()
    [1]
    """
    if temperature < 0:
        raise DomainError(f"choose: temperature={temperature} must be >= 0")
    if top_k is not None and top_k < 1:
        raise DomainError(f"choose: top_k={top_k} must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise DomainError(f"choose: top_p={top_p} must be in (0, 1]")
    if temperature == 0:
        return ops.argmax(logits, -1)
    logits = logits / temperature
    if top_k is not None and top_k < logits.shape[-1]:
        least = ops.topk(logits, top_k, -1)[0][..., -1:]
        logits = ops.where(logits < least, -math.inf, logits)
    if top_p is not None and top_p < 1:
        ordered = ops.sort(logits, -1, True)[0]
        shares = ops.softmax(ordered, -1)
        before = ops.cumsum(shares, -1) - shares
        least = ops.amin(ops.where(before < top_p, ordered, math.inf), -1, True)
        logits = ops.where(logits < least, -math.inf, logits)
    return random.multinomial(ops.softmax(logits, -1), 1, generator=generator).squeeze(-1)


def generate(
    model: Any, tokens: Any, max_new_tokens: int, *, cache: KeyValueCache | None = None, temperature: float = 1.0,
    top_k: int | None = None, top_p: float | None = None, stop: int | Sequence[int] | None = None,
    generator: Any = None, context: int | None = None,
) -> Any:  # fmt: skip
    """`tokens` (N, T), or (T,), followed by up to `max_new_tokens` that `model` goes on with.

    Args:
        model: `model(tokens)` gives logits (N, T, classes); with a cache it is called as `model(tokens, cache)`, and a step
            of one token is compiled once for all positions. It is in evaluation mode meanwhile.
        cache: is reset first. Without one the model reads everything again for each token, the last `context` tokens if
            that is given.
        temperature, top_k, top_p, generator: see `choose`.
        stop: a token, or several, after which a sequence ends: it goes on with that token where others are longer.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> _ = rv.manual_seed(0)
    >>> model = nn.Sequential(nn.Embedding(10, 10))  # the next token depends on the last one
    >>> nn.generation.generate(model, rv.tensor([1, 2]), 4, temperature=0).shape
    (6,)
    """
    tokens = as_tensor(tokens)
    alone = tokens.ndim == 1
    if tokens.ndim not in (1, 2) or not tokens.numel() or tokens.dtype.kind not in "iu":
        raise ShapeError(
            f"generate: tokens is {tokens.dtype}{tokens.shape}, must be integers (N, T) or (T,), at least one"
        )
    tokens = (tokens.unsqueeze(0) if alone else tokens).to(int64)
    options = (float(temperature), top_k, top_p, generator)
    if cache is not None:
        if tokens.shape[0] != cache.batch or tokens.shape[1] + max_new_tokens > cache.max_length:
            raise ShapeError(
                f"generate: tokens{tokens.shape} and max_new_tokens={max_new_tokens} must fit into the cache, "
                f"{cache.batch} sequences of {cache.max_length}"
            )
        cache.reset()
    ends = [] if stop is None else list(stop) if isinstance(stop, (list, tuple)) else [stop]
    done = np.zeros(tokens.shape[0], bool)
    read, found = tokens, [tokens.numpy()]
    training = isinstance(model, Module) and model.training
    if training:
        model.eval()
    try:
        with no_grad():
            for _ in range(max_new_tokens):
                if cache is None:
                    shown = read if context is None else read[:, -context:]
                    new = choose(model(shown)[:, -1], *options).unsqueeze(1)
                    read = ops.cat([read, new], 1)
                else:
                    read = new = _step(model, cache, options, read.shape[1] == 1)(read)
                column = np.where(done[:, None], found[-1][:, -1:], new.numpy())
                found.append(column)
                if ends:
                    done |= np.isin(column[:, 0], ends)
                    if done.all():
                        break
    finally:
        if training:
            model.train()
    out = from_numpy(np.concatenate(found, 1))
    return out[0] if alone else out


def _step(model: Any, cache: KeyValueCache, options: tuple, compiled: bool) -> Callable:
    """Reads tokens (N, T) and gives the next ones, (N, 1)."""

    def step(tokens: Any) -> Any:
        return choose(model(tokens, cache)[:, -1], *options).unsqueeze(1)

    if not compiled:
        return step
    key = (id(model), *options[:3], id(options[3]))
    if key not in cache.steps:
        cache.steps[key] = compile(step)
    return cache.steps[key]
