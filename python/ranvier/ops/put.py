"""Writing at positions, where a mask is true, into a part; reduced over what falls on one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import bool_, is_float
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from .elementwise import cast_to, div, floor_divide, sub, where
from .index import (
    check_along,
    gather,
    index_get,
    index_put_op,
    nonzero,
    number_like,
    places,
    scatter,
    scatter_add,
    zeros_for,
)
from .public import Array
from .record import Aval, Op, Sample, Spec, broadcast_shapes, own_axis, prepared
from .scan import cumsum
from .shape import beside, diagonal, expand, on_diagonal, reshape, slice_put_op

__all__ = ["diagonal_scatter", "index_put", "masked_scatter", "scatter_reduce", "select_scatter", "slice_scatter"]


@prepared
def index_put(input: Array, indices: Sequence[Array], values: Array, accumulate: bool = False) -> Array:
    """A copy of `input` with input[indices] = values, or += values.

    Args:
        indices: positions, one array for each axis from the first, that broadcast together; or masks of as many axes as
            they have. Where one place is named several times the last value wins.

    >>> import ranvier as rv
    >>> at = (rv.tensor([0, 2, 0]),)
    >>> rv.index_put(rv.zeros(3), at, rv.tensor([1.0, 2.0, 3.0]), accumulate=True).tolist()
    [4.0, 0.0, 2.0]
    """
    if not isinstance(indices, (tuple, list)) or not indices:
        raise DTypeError("index_put: indices must be a tuple, with one array for each axis")
    positions: list = []
    for index in indices:
        positions += nonzero(index, as_tuple=True) if index.dtype == bool_ else [index]
    if len(positions) > input.ndim:
        raise ShapeError(f"index_put: {len(positions)} indices are too many for input{tuple(input.shape)}")
    values = values if hasattr(values, "dtype") else number_like("index_put", values, input)
    call = index_put_op.call(axes=tuple(range(len(positions))), accumulate=bool(accumulate))
    return call, (input, values, *positions)


def masked_scatter(input: Array, mask: Array, source: Array) -> Array:
    """A copy of `input` whose elements under a true `mask` are the first ones of `source`, in order.

    >>> import ranvier as rv
    >>> rv.masked_scatter(rv.zeros(3), rv.tensor([True, False, True]), rv.tensor([7.0, 8.0])).tolist()
    [7.0, 0.0, 8.0]
    """
    if mask.dtype != bool_ or source.dtype != input.dtype:
        raise DTypeError(
            f"masked_scatter: mask has dtype {mask.dtype}, must be bool, and source {source.dtype}, input's {input.dtype}"
        )
    shape = broadcast_shapes("masked_scatter", tuple(input.shape), tuple(mask.shape))
    if 0 in shape:
        return expand(input, shape)
    mask, source = expand(mask, shape), reshape(source, (-1,))
    numbers = where(mask, sub(reshape(cumsum(reshape(mask, (-1,)), 0), shape), 1), 0)
    return where(mask, index_get(source, numbers, axes=(0,)), input)


# ---------------------------------------------------------------- into a part


def _whole(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [(0, n, 1) for n in shape]


def _fill_part(name: str, input: Any, src: Any, index: list, shape: tuple[int, ...]) -> Any:
    if tuple(src.shape) != shape:
        raise ShapeError(
            f"{name}: src{tuple(src.shape)} must have the shape {shape} of the part of {tuple(input.shape)}"
        )
    lengths = tuple(length for _, length, _ in index)
    return slice_put_op(input, reshape(cast_to(src, input.dtype), lengths), index=tuple(index))


def select_scatter(input: Array, src: Array, dim: int, index: int) -> Array:
    """A copy of `input` with select(input, dim, index) = src.

    >>> import ranvier as rv
    >>> rv.select_scatter(rv.zeros(2, 2), rv.ones(2), 0, 1).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    d = own_axis("select_scatter", dim, input.ndim)
    n = input.shape[d]
    if not -n <= index < n:
        raise OutOfRangeError(f"select_scatter: index={index} must be in [{-n}, {n - 1}], of {tuple(input.shape)}")
    part = _whole(input.shape)
    part[d] = (index % n, 1, 1)
    return _fill_part("select_scatter", input, src, part, tuple(m for k, m in enumerate(input.shape) if k != d))


def slice_scatter(
    input: Array, src: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    """A copy of `input` with the slice start:end:step of axis `dim` = src."""
    d = own_axis("slice_scatter", dim, input.ndim)
    if step < 1:
        raise OutOfRangeError(f"slice_scatter: step={step} must be positive")
    first, last, _ = slice(start, end, step).indices(input.shape[d])
    part = _whole(input.shape)
    part[d] = (first, len(range(first, last, step)), step)
    return _fill_part("slice_scatter", input, src, part, tuple(length for _, length, _ in part))


def diagonal_scatter(input: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """A copy of `input` with diagonal(input, offset, dim1, dim2) = src."""
    shape = tuple(diagonal(input, offset, dim1, dim2).shape)
    if tuple(src.shape) != shape:
        raise ShapeError(f"diagonal_scatter: src{tuple(src.shape)} must have the shape {shape} of the diagonal")
    first, second = dim1 % input.ndim, dim2 % input.ndim
    rows, columns = input.shape[first], input.shape[second]
    mask = np.ones(shape, bool)
    on = on_diagonal(beside(mask, input), rows, columns, offset, first, second)
    return where(on, on_diagonal(cast_to(src, input.dtype), rows, columns, offset, first, second), input)


# ---------------------------------------------------------------- reduced

_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _reduce_infer(x: Aval, index: Aval, src: Aval, *, dim: int, reduce: str, include_self: bool) -> Spec:
    check_along("scatter_reduce", x, index, dim)
    if src.dtype != x.dtype:
        raise DTypeError(f"scatter_reduce: src has dtype {src.dtype}, must be input's, {x.dtype}")
    if len(src.shape) != len(index.shape) or any(n > m for n, m in zip(index.shape, src.shape)):
        raise ShapeError(f"scatter_reduce: index {tuple(index.shape)} must be no larger than src {tuple(src.shape)}")
    return tuple(x.shape), x.dtype


def _reduce_reference(
    xp: Any, x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool
) -> np.ndarray:
    out, at = np.array(x), places("scatter_reduce", x, index, dim)
    part = src[tuple(slice(n) for n in index.shape)]
    if not include_self:
        out[at] = part  # one of those that fall on each place: the others follow
        if reduce == "prod":
            out[at] = 1
    _UFUNCS[reduce].at(out, at, part)
    return out


def _reduce_vjp(g: Any, out: Any, x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool) -> tuple:
    used = src if src.shape == index.shape else src[tuple(slice(n) for n in index.shape)]
    counts = zeros_for(g, x.shape) + 1  # 1: x counts there
    if not include_self:
        counts = scatter(counts, dim, index, value=0)

    def at_places(values: Any) -> Any:
        return gather(values, dim, index)

    def together(of_x: Any, of_src: Any) -> Any:
        """How many hold of what falls on each place."""
        return scatter_add(counts * of_x.to(g.dtype), dim, index, of_src.to(g.dtype))

    if reduce == "prod":
        rest, rest_src = where(x == 0, 1.0, x), where(used == 0, 1.0, used)
        product = _scatter_reduce(rest, index, rest_src, dim=dim, reduce=reduce, include_self=include_self)
        zeros = together(x == 0, used == 0)

        def others(value: Any, rest: Any, product: Any, zeros: Any) -> Any:
            return where(value == 0, where(zeros == 1, product, 0.0), where(zeros == 0, product / rest, 0.0))

        gx = g * counts * others(x, rest, product, zeros)
        gs = at_places(g) * others(used, rest_src, at_places(product), at_places(zeros))
    else:
        wins = used == at_places(out)
        share = g / together(x == out, wins).clamp(min=1)  # equal ones share it
        gx, gs = counts * where(x == out, share, 0.0), where(wins, at_places(share), 0.0)
    if used is not src:
        gs = slice_put_op(src * 0, gs, index=tuple((0, n, 1) for n in index.shape))
    return gx, None, gs


_scatter_reduce: Op = Op(
    "scatter_reduce", kind="host", attrs={"dim": 0, "reduce": "amax", "include_self": True}, saves="io",
    infer=_reduce_infer, reference=_reduce_reference, vjp=_reduce_vjp,
    samples=[
        Sample(((4, 3), np.array([[0, -1, 2], [3, 3, 2]]), (2, 3)), {"dim": 0, "reduce": r, "include_self": s})
        for r in _UFUNCS for s in (True, False)
    ] + [Sample(((3,), np.array([0, 2, 0, 0]), (5,)), {"reduce": r}) for r in _UFUNCS],
    doc="input with out[.., index[.., i, ..], ..] reduced with src[.., i, ..] along dim",
)  # fmt: skip


def scatter_reduce(
    input: Array, dim: int, index: Array, src: Array, reduce: str, *, include_self: bool = True
) -> Array:
    """A copy of `input` where each place out[.., index[.., i, ..], ..] along `dim` is the sum, product, mean, largest or
    least of itself and of all src[.., i, ..] that fall on it.

    Args:
        reduce: "sum", "prod", "mean", "amax" or "amin". "sum" and "mean" may be called in compiled functions.
        include_self: False: of what falls on it alone, where there is some.

    >>> import ranvier as rv
    >>> index, src = rv.tensor([0, 0, 1]), rv.tensor([1.0, 3.0, 5.0])
    >>> rv.scatter_reduce(rv.zeros(3), 0, index, src, "mean", include_self=False).tolist()
    [2.0, 5.0, 0.0]
    """
    d = own_axis("scatter_reduce", dim, input.ndim) if input.ndim else 0
    if reduce in _UFUNCS:
        return _scatter_reduce(input, index, src, dim=d, reduce=reduce, include_self=bool(include_self))
    if reduce not in ("sum", "mean"):
        raise DomainError(f"scatter_reduce: reduce={reduce!r} must be 'sum', 'prod', 'mean', 'amax' or 'amin'")
    total = scatter_add(input if include_self else scatter(input, d, index, value=0), d, index, src)
    if reduce == "sum":
        return total
    ones = beside(np.ones(input.shape, input.dtype), input)
    ones = ones if include_self else scatter(ones, d, index, value=0)
    counts = scatter_add(ones, d, index, beside(np.ones(index.shape, input.dtype), input))
    return (div if is_float(input.dtype) else floor_divide)(total, counts)
