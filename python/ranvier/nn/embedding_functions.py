"""Embeddings as functions; functional.py offers them."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..core.context import no_grad
from ..core.dtypes import bool_, int64, is_float
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import as_tensor
from ..ops.dispatch import constant
from ..ops.embedding import embedding_op
from ..ops.index import zeros_for
from ..ops.public import Array
from ..ops.require import require

__all__ = ["embedding", "embedding_bag"]


def _check_table(name: str, input: Any, weight: Any) -> None:
    if input.dtype.kind not in "iu" or input.dtype.itemsize < 4:
        raise DTypeError(f"{name}: input has dtype {input.dtype}, must be int32 or int64: numbers of rows")
    if len(weight.shape) != 2 or not is_float(weight.dtype):
        raise ShapeError(
            f"{name}: weight is {weight.dtype}{tuple(weight.shape)}, must be float (num_embeddings, embedding_dim)"
        )


def row_number(name: str, padding_idx: int | None, rows: int) -> int:
    """`padding_idx` counted from the front; -1: none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise OutOfRangeError(f"{name}: padding_idx={padding_idx} must be in [{-rows}, {rows - 1}]")
    return padding_idx % rows


def _renormalize(weight: Any, input: Any, max_norm: float, norm_type: float) -> None:
    """The rows that `input` names, scaled down to norms of at most `max_norm`, in place."""
    with no_grad():
        numbers = ops.reshape(input, (-1,))
        rows = embedding_op(weight, numbers)
        norms = ops.norm(rows, norm_type, -1, True)
        factors = ops.where(ops.gt(norms, max_norm), ops.div(max_norm, ops.add(norms, 1e-7)), 1.0)
        weight[numbers] = ops.mul(rows, factors)


def embedding(
    input: Array, weight: Array, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
    scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Array:  # fmt: skip
    """Row input[..] of `weight` for each number: (*) -> (*, embedding_dim).

    Args:
        input: int64 or int32, each in [0, num_embeddings). weight: (num_embeddings, embedding_dim).
        padding_idx: the row of this number gets no gradient.
        max_norm: rows with a larger `norm_type`-norm are first scaled down to it, in `weight` itself.
        scale_grad_by_freq: a row's gradient is divided by how often the row is asked for.
        sparse: taken for PyTorch's sake; gradients have the same values, in a dense tensor.

    Errors: DTypeError, ShapeError; OutOfRangeError for a number outside of the table.

    >>> import ranvier as rv
    >>> rv.nn.functional.embedding(rv.tensor([2, 0]), rv.tensor([[1.0], [2.0], [3.0]])).tolist()
    [[3.0], [1.0]]
    """
    _check_table("embedding", input, weight)
    padding = row_number("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, input, float(max_norm), float(norm_type))
    return embedding_op(weight, input, padding_idx=padding, by_frequency=bool(scale_grad_by_freq))


_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Array, weight: Array, offsets: Array | None = None, max_norm: float | None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Array | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> Array:  # fmt: skip
    """Sum, mean or maximum of the rows of `weight` in each bag of numbers: -> (bags, embedding_dim).

    Args:
        input: (bags, n), bags of one size; or all bags one after the other, (numbers), beside `offsets`, where each begins.
        mode: "sum", "mean" or "max". An empty bag gives 0.
        per_sample_weights: factors of the rows, shaped as input; for "sum" alone.
        include_last_offset: `offsets` ends with the end of the last bag.
        padding_idx: numbers that count as not there.
        max_norm, norm_type, scale_grad_by_freq, sparse: see `embedding`.

    The maximum of bags given by offsets does not compile.

    Errors: DTypeError, ShapeError, DomainError; OutOfRangeError for a number outside of the table, and for offsets that do
    not begin at 0, descend, or lie beyond the numbers.

    >>> import ranvier as rv
    >>> table = rv.tensor([[1.0], [2.0], [3.0]])
    >>> rv.nn.functional.embedding_bag(rv.tensor([0, 1, 2]), table, rv.tensor([0, 2]), mode="sum").tolist()
    [[3.0], [3.0]]
    """
    name = "embedding_bag"
    if weight.dtype.kind in "iu" and is_float(input.dtype):
        weight, input = input, weight
    _check_table(name, input, weight)
    if mode not in _MODES:
        raise DomainError(f"{name}: mode={mode!r} must be 'sum', 'mean' or 'max'")
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise DomainError(f"{name}: mode='max' takes neither scale_grad_by_freq nor sparse")
    shape = tuple(input.shape)
    if per_sample_weights is not None:
        if mode != "sum":
            raise DomainError(f"{name}: per_sample_weights go with mode='sum', not {mode!r}")
        if tuple(per_sample_weights.shape) != shape:
            raise ShapeError(
                f"{name}: per_sample_weights{tuple(per_sample_weights.shape)} must be shaped as input{shape}"
            )
    if len(shape) not in (1, 2) or (len(shape) == 1) != (offsets is not None):
        raise ShapeError(
            f"{name}: input{shape} must be (bags, n) without offsets, or (numbers) with offsets"
            f"{'' if offsets is None else tuple(offsets.shape)}"
        )
    padding = row_number(name, padding_idx, weight.shape[0])
    if max_norm is not None:
        _renormalize(weight, input, float(max_norm), float(norm_type))
    rows = embedding_op(weight, input, padding_idx=padding, by_frequency=bool(scale_grad_by_freq))
    counted = ops.unsqueeze(ops.ne(input, padding), -1) if padding >= 0 else None
    if mode == "max":
        return _greatest(rows, counted, offsets, include_last_offset)
    if counted is not None:
        rows = ops.where(counted, rows, 0.0)
    if per_sample_weights is not None:
        rows = ops.mul(rows, ops.unsqueeze(per_sample_weights, -1))
    if counted is None:
        counted = ops.expand(constant(True, bool_), (*shape, 1))
    if offsets is None:
        total, times = ops.sum(rows, 1), ops.sum(counted, 1)
    else:
        bag, bags = _bags(shape[0], offsets, include_last_offset)
        total, times = (
            ops.index_add(zeros_for(x, (bags + 1, x.shape[1])), 0, bag, x)[:bags] for x in (rows, counted.to(int64))
        )
    return total if mode == "sum" else ops.div(total, ops.clamp(times, min=1))


def _bags(numbers: int, offsets: Any, include_last_offset: bool) -> tuple[Any, int]:
    """The bag of each number, and how many bags there are; numbers in none of them are in one more."""
    name = "embedding_bag"
    offsets = as_tensor(offsets)
    if len(offsets.shape) != 1 or offsets.dtype.kind not in "iu":
        raise ShapeError(f"{name}: offsets is {offsets.dtype}{offsets.shape}, must be one axis of integers")
    count = offsets.shape[0]
    if not count:
        if include_last_offset:
            raise ShapeError(f"{name}: include_last_offset=True needs offsets, at least where the last bag ends")
        return ops.zeros(numbers, dtype=int64), 0
    before = ops.cat([zeros_for(offsets, (1,)), offsets[:-1]])
    require(offsets[:1] == 0, offsets[:1], f"{name}: the first of offsets must be 0", index=True)
    fits = ops.logical_and(offsets >= before, offsets <= numbers)
    require(fits, offsets, f"{name}: offsets must ascend, to at most the {numbers} numbers", index=True)
    begun = ops.index_add(ops.zeros(numbers + 1, dtype=int64), 0, offsets, ops.ones(count, dtype=int64))
    return ops.cumsum(begun, 0)[:numbers] - 1, count - bool(include_last_offset)


def _greatest(rows: Any, counted: Any, offsets: Any, include_last_offset: bool) -> Any:
    """The maximum of each bag; 0 of empty ones."""
    if counted is not None:
        rows = ops.where(counted, rows, -math.inf)
    if offsets is None:
        if not rows.shape[1]:
            return ops.zeros(rows.shape[0], rows.shape[2], dtype=rows.dtype)
        best = ops.max(rows, 1)[0]
    else:
        bag, bags = _bags(rows.shape[0], offsets, include_last_offset)
        places = ops.expand(ops.unsqueeze(bag, 1), rows.shape)
        start = ops.full((bags + 1, rows.shape[1]), -math.inf, dtype=rows.dtype)
        best = ops.scatter_reduce(start, 0, places, rows, "amax")[:bags]
    return ops.where(ops.eq(best, -math.inf), 0.0, best)
