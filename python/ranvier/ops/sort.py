"""Order: sort, argsort, topk. NaN counts as larger than every number, and equal values keep their order."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from ..core.dtypes import int64, is_float
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import as_tensor
from .elementwise import as_arrays, clamp, floor_divide, isnan, lerp, logical_not, sub, where
from .index import gather, scatter, zeros_for
from .join import stack
from .public import Array
from .record import Aval, Op, Sample, normalize_axis, own_axis
from .reduction import amax
from .reduction import sum as sum_
from .shape import beside, narrow, reshape, select, squeeze, unsqueeze

__all__ = [
    "argsort", "bincount", "bucketize", "isin", "kthvalue", "median", "mode", "msort", "nanmedian", "quantile",
    "searchsorted", "sort", "topk", "unique", "unique_consecutive",
]  # fmt: skip


class SortResult(NamedTuple):
    """Values, and the positions that they had."""

    values: Any
    indices: Any


def _order(x: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """Positions that sort x stably along dim."""
    if x.ndim == 0:
        return np.zeros((), int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    back = np.argsort(np.flip(x, dim), axis=dim, kind="stable")  # the last of equal values first ..
    return np.flip(x.shape[dim] - 1 - back, dim)  # .. so that it is the first again, once all is reversed


def _take(x: np.ndarray, order: np.ndarray, dim: int) -> np.ndarray:
    return np.take_along_axis(x, order, dim) if x.ndim else x


def _sort_reference(xp: Any, x: Any, *, dim: int, descending: bool) -> tuple:
    order = _order(x, dim, descending)
    return _take(x, order, dim), order


def _spread(g: Any, out: Any, x: Any, dim: int) -> tuple:
    """Gradients of the values go back to where the values came from."""
    if g[0] is None:
        return (None,)
    return (scatter(zeros_for(g[0], x.shape), dim, out[1].detach(), g[0]),)


_TIES = np.array([[2.0, np.nan, 2.0, -1.0, 0.0], [-0.0, 0.0, np.inf, -np.inf, np.nan]], np.float32)

_sort = Op(
    "sort", kind="kernel", attrs={"dim": -1, "descending": False}, saves="o1",
    infer=lambda x, *, dim, descending: [(tuple(x.shape), x.dtype), (tuple(x.shape), int64)],
    reference=_sort_reference,
    vjp=lambda g, out, x, *, dim, descending: _spread(g, out, x, dim),
    flops=lambda x, *, dim, descending: math.prod(x.shape) * (x.shape[dim] if x.shape else 1).bit_length(),
    samples=[
        Sample(((3, 40),), {"dim": 1}), Sample(((30, 2, 3),), {"dim": 0, "descending": True}), Sample(((),), {"dim": 0}),
        Sample(((2, 0),), {"dim": 1}), Sample((np.array([3, 1, 3, 2, 1]),), {"dim": 0, "descending": True}),
        *[Sample((_TIES.astype(t),), {"dim": 1, "descending": d}) for t in ("f4", "f8") for d in (False, True)],
        Sample(((2500,),), {"dim": 0}),
    ],
    doc="values in ascending (or descending) order along dim, and their positions; stable",
)  # fmt: skip


def _topk_infer(x: Aval, *, k: int, dim: int, largest: bool) -> list:
    n = x.shape[dim] if x.shape else 1
    if not 0 <= k <= n:
        raise OutOfRangeError(f"topk: k={k} must be in [0, {n}], the size of axis {dim} of {tuple(x.shape)}")
    shape = tuple(k if d == dim else m for d, m in enumerate(x.shape))
    return [(shape, x.dtype), (shape, int64)]


def _topk_reference(xp: Any, x: Any, *, k: int, dim: int, largest: bool) -> tuple:
    order = _order(x, dim, largest)
    if x.ndim:
        order = order[(slice(None),) * dim + (slice(k),)]
    return _take(x, order, dim), order


_topk = Op(
    "topk", kind="kernel", attrs={"k": 1, "dim": -1, "largest": True}, saves="o1",
    infer=_topk_infer, reference=_topk_reference,
    vjp=lambda g, out, x, *, k, dim, largest: _spread(g, out, x, dim),
    flops=lambda x, *, k, dim, largest: math.prod(x.shape) * k.bit_length(),
    onnx="TopK",
    samples=[
        Sample(((3, 40),), {"k": 5, "dim": 1}), Sample(((30, 2, 3),), {"k": 1, "dim": 0, "largest": False}),
        Sample(((),), {"k": 1, "dim": 0}), Sample(((2, 3),), {"k": 0, "dim": 1}), Sample(((7,),), {"k": 7, "dim": 0}),
        *[Sample((_TIES.astype(t),), {"k": 3, "dim": 1, "largest": d}) for t in ("f4", "f8") for d in (False, True)],
        Sample(((2000,),), {"k": 300, "dim": 0}),
    ],
    doc="the k largest (or smallest) values along dim in order, and their positions",
)  # fmt: skip


def sort(input: Array, dim: int = -1, descending: bool = False, stable: bool = True) -> SortResult:
    """Values in order along `dim`, and the positions that they had. Always stable.

    >>> import ranvier as rv
    >>> values, indices = rv.sort(rv.tensor([2.0, 3.0, 1.0]))
    >>> values.tolist(), indices.tolist()
    ([1.0, 2.0, 3.0], [2, 0, 1])
    """
    dim = normalize_axis("sort", dim, len(input.shape))
    return SortResult(*_sort(input, dim=dim, descending=bool(descending)))


def argsort(input: Array, dim: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The positions that sort `input` along `dim`."""
    return sort(input, dim, descending).indices


def msort(input: Array) -> Array:
    """Values in order along axis 0."""
    return sort(input, 0).values


def topk(input: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> SortResult:
    """The k largest (or smallest) values along `dim`, in order, and their positions; of equal values the first.

    >>> import ranvier as rv
    >>> rv.topk(rv.tensor([2.0, 3.0, 1.0]), 2).indices.tolist()
    [1, 0]
    """
    dim = normalize_axis("topk", dim, len(input.shape))
    return SortResult(*_topk(input, k=int(k), dim=dim, largest=bool(largest)))


def kthvalue(input: Array, k: int, dim: int = -1, keepdim: bool = False) -> SortResult:
    """The k-th smallest value (from 1) along `dim`, and its position: in ascending order, of equal ones the first."""
    d = normalize_axis("kthvalue", dim, len(input.shape))
    n = input.shape[d] if input.shape else 1
    if not 1 <= k <= n:
        raise OutOfRangeError(f"kthvalue: k={k} must be in [1, {n}], the size of axis {d} of {tuple(input.shape)}")
    found = topk(input, k, d, largest=False)
    if not input.shape:
        return found
    last = [narrow(t, d, k - 1, 1) for t in found]
    return SortResult(*(last if keepdim else (squeeze(t, d) for t in last)))


# ---------------------------------------------------------------- order statistics


def _hidden(values: Any, input: Any, dim: int | None, keepdim: bool) -> Any:
    """`values` of each line of input, NaN where one of its elements is."""
    if not is_float(input.dtype):
        return values
    greatest = amax(input, dim, keepdim)
    return where(isnan(greatest), greatest, values)  # so that the gradient goes to the NaNs


@overload
def median(input: Array, dim: int, keepdim: bool = False) -> SortResult: ...
@overload
def median(input: Array, dim: None = None, keepdim: bool = False) -> Array: ...
def median(input: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, of two the lesser; NaN where one is NaN. With `dim` the pair (values, indices) along it; the
    index is that of stable sorting.

    >>> import ranvier as rv
    >>> rv.median(rv.tensor([3.0, 1.0, 2.0, 9.0])).item()
    2.0
    """
    if dim is None:
        flat = reshape(input, (-1,))
        return median(flat, 0).values
    d = normalize_axis("median", dim, input.ndim)
    n = input.shape[d] if input.shape else 1
    if n == 0:
        raise ShapeError(f"median: axis {d} of {tuple(input.shape)} is empty: there is no element to choose")
    values, indices = kthvalue(input, (n + 1) // 2, d, keepdim)
    return SortResult(_hidden(values, input, d, keepdim), indices)


@overload
def nanmedian(input: Array, dim: int, keepdim: bool = False) -> SortResult: ...
@overload
def nanmedian(input: Array, dim: None = None, keepdim: bool = False) -> Array: ...
def nanmedian(input: Array, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` of the elements that are not NaN; NaN where all are.

    >>> import ranvier as rv
    >>> rv.nanmedian(rv.tensor([3.0, float("nan"), 1.0, 2.0])).item()
    2.0
    """
    if dim is None:
        return nanmedian(reshape(input, (-1,)), 0).values
    d = normalize_axis("nanmedian", dim, input.ndim)
    if not is_float(input.dtype) or not input.shape:
        return median(input, d, keepdim)
    if input.shape[d] == 0:
        raise ShapeError(f"nanmedian: axis {d} of {tuple(input.shape)} is empty: there is no element to choose")
    ordered = sort(input, d)  # NaN last
    count = sum_(logical_not(isnan(input)), d, keepdim=True)
    middle = clamp(floor_divide(sub(count, 1), 2), 0)
    found = SortResult(*(gather(t, d, middle) for t in ordered))
    return found if keepdim else SortResult(*(squeeze(t, d) for t in found))


def quantile(
    input: Array, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Array:
    """What a share q of the elements does not exceed, between sorted neighbours by `interpolation` ("linear", "lower",
    "higher", "midpoint", "nearest"). Several q (a list) become a new first axis. NaN where one is NaN.

    >>> import ranvier as rv
    >>> rv.quantile(rv.tensor([1.0, 2.0, 4.0]), 0.75).item()
    3.0
    """
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise DomainError(
            f"quantile: interpolation={interpolation!r} must be linear, lower, higher, midpoint or nearest"
        )
    if not is_float(input.dtype):
        raise DTypeError(f"quantile: dtype {input.dtype} must be float32 or float64")
    shares = np.asarray(q._array("quantile's q") if hasattr(q, "_array") else q, input.dtype)
    if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise OutOfRangeError(f"quantile: q={q!r:.60} must be in [0, 1]: a number or a list of numbers")
    x, d = (reshape(input, (-1,)), 0) if dim is None else (input, normalize_axis("quantile", dim, input.ndim))
    n = x.shape[d] if x.shape else 1
    if n == 0:
        raise ShapeError(f"quantile: axis {d} of {tuple(x.shape)} is empty: there is no element to choose")
    ordered = x if not x.shape else sort(x, d).values
    results = []
    for place in (shares.reshape(-1) * (n - 1)).tolist():  # rounded to input's dtype, as in PyTorch
        low, high = math.floor(place), math.ceil(place)
        between = {"lower": 0.0, "higher": 1.0, "midpoint": 0.5, "linear": place - low, "nearest": round(place) - low}
        weight = between[interpolation]
        a, b = (select(ordered, d, k) if x.shape else x for k in (low, high))
        one = a if low == high or weight == 0 else b if weight == 1 else lerp(a, b, float(weight))
        one = _hidden(one, x, d, False)
        if keepdim:
            one = reshape(one, (1,) * input.ndim) if dim is None else unsqueeze(one, d) if x.shape else one
        results.append(one)
    return stack(results, 0) if shares.ndim else results[0]


# ---------------------------------------------------------------- searching, outside of compiled functions


def _values(name: str, x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else as_tensor(x)._array(name)


def _inserted(order: np.ndarray, x: np.ndarray, right: bool) -> np.ndarray:
    return np.asarray(np.searchsorted(order, x, "right" if right else "left"), int64)


def searchsorted(sorted_sequence: Array, input: Array, *, right: bool = False, side: str | None = None) -> Array:
    """Where each element of `input` would be inserted in a sorted vector (or the matching row) to keep the order: before
    equal ones, or behind them with right=True or side="right".

    >>> import ranvier as rv
    >>> rv.searchsorted(rv.tensor([1, 3, 5]), rv.tensor([0, 3, 9])).tolist()
    [0, 1, 3]
    """
    if side not in (None, "left", "right"):
        raise DomainError(f"searchsorted: side={side!r} must be 'left' or 'right'")
    order, x = _values("searchsorted", sorted_sequence), _values("searchsorted", input)
    if order.ndim == 1:
        return beside(_inserted(order, x, right or side == "right"), sorted_sequence)
    if order.ndim == 0 or order.shape[:-1] != x.shape[:-1]:
        raise ShapeError(
            f"searchsorted: sequences {order.shape} must be one vector, or as many as rows of input {x.shape}"
        )
    rows = zip(order.reshape(-1, order.shape[-1]), x.reshape(-1, x.shape[-1]))
    found = [_inserted(row, some, right or side == "right") for row, some in rows]
    return beside(np.asarray(found, int64).reshape(x.shape), sorted_sequence)


def bucketize(input: Array, boundaries: Array, *, right: bool = False) -> Array:
    """The number of the bucket of each element: boundaries[i - 1] < x <= boundaries[i]; with `right` <= and <.

    >>> import ranvier as rv
    >>> rv.bucketize(rv.tensor([0.5, 1.0, 2.5]), rv.tensor([1.0, 2.0])).tolist()
    [0, 0, 2]
    """
    return searchsorted(boundaries, input, right=right)


@overload
def unique(
    input: Array, sorted: bool = True, return_inverse: Literal[False] = False, return_counts: Literal[False] = False,
    dim: int | None = None,
) -> Array: ...  # fmt: skip
@overload
def unique(
    input: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any: ...
def unique(
    input: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The different elements (or slices along `dim`) in ascending order; with their position for each element of `input`,
    and how often each occurs, if asked for.

    >>> import ranvier as rv
    >>> rv.unique(rv.tensor([3, 1, 3])).tolist()
    [1, 3]
    """
    data = _values("unique", input)
    d = None if dim is None else normalize_axis("unique", dim, data.ndim)
    values, inverse, counts = np.unique(data, return_inverse=True, return_counts=True, axis=d)
    wanted = [values]
    if return_inverse:
        wanted.append(inverse.reshape(data.shape if d is None else -1).astype(int64))
    if return_counts:
        wanted.append(counts.astype(int64))
    results = tuple(beside(a, input) for a in wanted)
    return results if len(results) > 1 else results[0]


def mode(input: Array, dim: int = -1, keepdim: bool = False) -> SortResult:
    """The most frequent value along `dim`, of several the least, and the last of its positions. Has no gradient.

    >>> import ranvier as rv
    >>> rv.mode(rv.tensor([3, 1, 2, 1])).values.item()
    1
    """
    data = _values("mode", input)
    d = normalize_axis("mode", dim, data.ndim)
    lines = np.moveaxis(data, d, -1) if data.ndim else data.reshape(1)
    if not lines.shape[-1]:
        raise ShapeError(f"mode: axis {d} of {data.shape} is empty: there is no element to choose")
    places = np.zeros(lines.shape[:-1], int64)
    for at in np.ndindex(*places.shape):
        values, counts = np.unique(lines[at], return_counts=True)
        best = values[counts.argmax()]
        places[at] = np.flatnonzero((lines[at] == best) | (lines[at] != lines[at]) & (best != best))[-1]
    found = np.take_along_axis(lines, places[..., None], -1)[..., 0]
    if keepdim and data.ndim:
        found, places = np.expand_dims(found, d), np.expand_dims(places, d)
    return SortResult(beside(np.array(found), input), beside(places, input))


def unique_consecutive(
    input: Array, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Without elements (or slices along `dim`) that equal the one before; further results as `unique`'s.

    >>> import ranvier as rv
    >>> rv.unique_consecutive(rv.tensor([1, 1, 2, 1])).tolist()
    [1, 2, 1]
    """
    data = _values("unique_consecutive", input)
    d = None if dim is None else own_axis("unique_consecutive", dim, data.ndim)
    lines = (
        data.reshape(-1, 1)
        if d is None
        else np.moveaxis(data, d, 0).reshape(data.shape[d], data.size // max(data.shape[d], 1))
    )
    new = np.ones(len(lines), bool)
    new[1:] = (lines[1:] != lines[:-1]).any(1)
    starts = np.flatnonzero(new)
    wanted = [data.reshape(-1)[starts] if d is None else np.take(data, starts, d)]
    if return_inverse:
        wanted.append((np.cumsum(new) - 1).reshape(data.shape if d is None else -1).astype(int64))
    if return_counts:
        wanted.append(np.diff(np.append(starts, len(lines))).astype(int64))
    results = tuple(beside(a, input) for a in wanted)
    return results if len(results) > 1 else results[0]


def isin(input: Array, test_elements: Array) -> Array:
    """Whether each element is one of `test_elements`."""
    input, test_elements = as_arrays(input, test_elements)
    return beside(np.isin(_values("isin", input), _values("isin", test_elements)), input)


def bincount(input: Array, weights: Array | None = None, minlength: int = 0) -> Array:
    """How often each number 0, 1, ... occurs in a vector of integers >= 0; with `weights` their sums, in the dtype of
    float weights, else as float64.

    >>> import ranvier as rv
    >>> rv.bincount(rv.tensor([0, 2, 2])).tolist()
    [1, 0, 2]
    """
    data = _values("bincount", input)
    if data.ndim != 1 or data.dtype.kind not in "iu" or (data < 0).any():
        raise DTypeError(f"bincount: {data.dtype}{data.shape} must be a vector of integers >= 0")
    w = None if weights is None else _values("bincount", weights)
    counts = np.bincount(data, w, minlength)
    return beside(counts if w is None or w.dtype.kind != "f" else counts.astype(w.dtype), input)
