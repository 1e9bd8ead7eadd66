"""Order: sort, argsort, topk. NaN counts as larger than every number, and equal values keep their order."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..dtypes import int64
from ..errors import OutOfRangeError
from .op import Aval, Op, Sample, normalize_axis
from .public import numpy_names

__all__ = ["argsort", "kthvalue", "msort", "sort", "topk"]


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
    from .index import _scatter, _zeros

    if g[0] is None:
        return (None,)
    return (_scatter(_zeros(g[0], x.shape), out[1].detach(), g[0], dim=dim),)


_TIES = np.array([[2.0, np.nan, 2.0, -1.0, 0.0], [-0.0, 0.0, np.inf, -np.inf, np.nan]], np.float32)

_sort = Op(
    "sort", kind="kernel", attrs={"dim": -1, "descending": False}, saves="o",
    infer=lambda x, *, dim, descending: [(tuple(x.shape), x.dtype), (tuple(x.shape), int64)],
    reference=_sort_reference,
    vjp=lambda g, out, x, *, dim, descending: _spread(g, out, x, dim),
    encode=lambda x, *, dim, descending: ([dim, int(descending)], []),
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
    "topk", kind="kernel", attrs={"k": 1, "dim": -1, "largest": True}, saves="o",
    infer=_topk_infer, reference=_topk_reference,
    vjp=lambda g, out, x, *, k, dim, largest: _spread(g, out, x, dim),
    encode=lambda x, *, k, dim, largest: ([dim, int(largest)], []),
    onnx="TopK",
    samples=[
        Sample(((3, 40),), {"k": 5, "dim": 1}), Sample(((30, 2, 3),), {"k": 1, "dim": 0, "largest": False}),
        Sample(((),), {"k": 1, "dim": 0}), Sample(((2, 3),), {"k": 0, "dim": 1}), Sample(((7,),), {"k": 7, "dim": 0}),
        *[Sample((_TIES.astype(t),), {"k": 3, "dim": 1, "largest": d}) for t in ("f4", "f8") for d in (False, True)],
        Sample(((2000,),), {"k": 300, "dim": 0}),
    ],
    doc="the k largest (or smallest) values along dim in order, and their positions",
)  # fmt: skip


@numpy_names
def sort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> SortResult:
    """Values in order along `dim`, and the positions that they had. Always stable.

    >>> import ranvier as rv
    >>> values, indices = rv.sort(rv.tensor([2.0, 3.0, 1.0]))
    >>> values.tolist(), indices.tolist()
    ([1.0, 2.0, 3.0], [2, 0, 1])
    """
    dim = normalize_axis("sort", dim, len(input.shape))
    return SortResult(*_sort(input, dim=dim, descending=bool(descending)))


@numpy_names
def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The positions that sort `input` along `dim`."""
    return sort(input, dim, descending).indices


def msort(input: Any) -> Any:
    """Values in order along axis 0."""
    return sort(input, 0).values


@numpy_names
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> SortResult:
    """The k largest (or smallest) values along `dim`, in order, and their positions; of equal values the first.

    >>> import ranvier as rv
    >>> rv.topk(rv.tensor([2.0, 3.0, 1.0]), 2).indices.tolist()
    [1, 0]
    """
    dim = normalize_axis("topk", dim, len(input.shape))
    return SortResult(*_topk(input, k=int(k), dim=dim, largest=bool(largest)))


@numpy_names
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> SortResult:
    """The k-th smallest value (from 1) along `dim`, and its position."""
    from .shape import narrow, squeeze

    d = normalize_axis("kthvalue", dim, len(input.shape))
    n = input.shape[d] if input.shape else 1
    if not 1 <= k <= n:
        raise OutOfRangeError(f"kthvalue: k={k} must be in [1, {n}], the size of axis {d} of {tuple(input.shape)}")
    found = topk(input, k, d, largest=False)
    if not input.shape:
        return found
    last = [narrow(t, d, k - 1, 1) for t in found]
    return SortResult(*(last if keepdim else (squeeze(t, d) for t in last)))
