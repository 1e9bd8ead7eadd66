"""Reading and writing at computed positions: gather, scatter, indexing with integer arrays.

Negative positions count from the end; others outside of the axis raise IndexError. Where one place is written several
times the last value wins, and sums are taken in order of position, for any number of threads.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import numpy as np

from ..core.dtypes import bool_, int32, int64
from ..core.errors import DomainError, DTypeError, OutOfRangeError, ShapeError
from ..core.tensor import from_numpy
from .dispatch import constant
from .elementwise import fitting, ge, logical_and, lt, where_op
from .elementwise import where as _chosen
from .public import Array
from .record import Aval, Op, Sample, Spec, broadcast_shapes, normalize_axis, own_axis, prepared
from .require import require
from .shape import embed_op, expand, reshape, unsqueeze

__all__ = [
    "argwhere", "gather", "index_add", "index_copy", "index_fill", "index_select", "masked_fill", "masked_select", "nonzero",
    "one_hot", "scatter", "scatter_add", "take", "take_along_axis", "take_along_dim", "where",
]  # fmt: skip


def zeros_for(like: Any, shape: tuple) -> Any:
    """Zeros of like's dtype that take no memory."""
    return expand(constant(0.0, like.dtype), shape)


def _check_indices(name: str, index: Aval, what: str = "index") -> None:
    if index.dtype not in (int32, int64):
        raise DTypeError(f"{name}: {what} has dtype {index.dtype}, must be int32 or int64")


def _wrapped(name: str, index: np.ndarray, extent: int) -> np.ndarray:
    """`index` with negative entries counted from the end."""
    bad = (index < -extent) | (index >= extent)
    if bad.any():
        at = int(np.argmax(bad.reshape(-1)))
        raise OutOfRangeError(
            f"{name}: index {int(index.reshape(-1)[at])} at position {at} must be in [{-extent}, {extent - 1}]"
        )
    return np.where(index < 0, index + extent, index)


# ---------------------------------------------------------------- gather and scatter along one axis


def check_along(name: str, x: Aval, index: Aval, dim: int) -> None:
    _check_indices(name, index)
    fits = len(index.shape) == len(x.shape) and 0 <= dim < max(1, len(x.shape))
    if not fits or any(n > m for d, (n, m) in enumerate(zip(index.shape, x.shape)) if d != dim):
        raise ShapeError(
            f"{name}: index {tuple(index.shape)} must have as many axes as input {tuple(x.shape)} and be no larger "
            f"outside of dim={dim}"
        )


def _gather_infer(x: Aval, index: Aval, *, dim: int) -> Spec:
    check_along("gather", x, index, dim)
    return tuple(index.shape), x.dtype


def places(name: str, x: np.ndarray, index: np.ndarray, dim: int) -> tuple:
    """Index arrays, one an axis, of the places in x that `index` names."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    if grid:
        grid[dim] = _wrapped(name, index, x.shape[dim])
    else:
        _wrapped(name, index, 1)
    return tuple(grid)


_gather: Op = Op(
    "gather", kind="kernel", attrs={"dim": 0}, saves="i1",
    infer=_gather_infer,
    reference=lambda xp, x, index, *, dim: x[places("gather", x, index, dim)],
    vjp=lambda g, out, x, index, *, dim: (_scatter_add(zeros_for(g, x.shape), index, g, dim=dim), None),
    onnx="GatherElements",
    samples=[
        Sample(((4, 3), np.array([[0, -1, 2], [3, 3, 0]])), {"dim": 0}),
        Sample(((2, 5), np.array([[0, 4, -5, 2, 2, 1]], np.int32)), {"dim": 1}),
        Sample(((2, 3, 4), np.zeros((2, 3, 0), np.int64)), {"dim": 2}),
        Sample(((), np.array(0)), {"dim": 0}),
    ],
    doc="out[.., i, ..] = input[.., index[.., i, ..], ..] along dim",
)  # fmt: skip


def _scatter_infer(name: str) -> Any:
    def infer(x: Aval, index: Aval, src: Aval, *, dim: int) -> Spec:
        check_along(name, x, index, dim)
        if src.dtype != x.dtype:
            raise DTypeError(f"{name}: src has dtype {src.dtype}, must be input's, {x.dtype}")
        if len(src.shape) != len(index.shape) or any(n > m for n, m in zip(index.shape, src.shape)):
            raise ShapeError(f"{name}: index {tuple(index.shape)} must be no larger than src {tuple(src.shape)}")
        return tuple(x.shape), x.dtype

    return infer


def _scatter_reference(name: str, put: Any) -> Any:
    def reference(xp: Any, x: Any, index: Any, src: Any, *, dim: int) -> Any:
        out = np.array(x)
        put(out, places(name, x, index, dim), src[tuple(slice(n) for n in index.shape)])
        return out

    return reference


def _crop_vjp(g: Any, src: Any, index: Any) -> Any:
    """The gradient of the part of src that index uses, as a gradient of all of src."""
    whole = tuple((0, n, 1) for n in index.shape)
    return g if src.shape == index.shape else embed_op(g, shape=src.shape, indices=(whole,))


def _scatter_vjp(g: Any, out: Any, x: Any, index: Any, src: Any, *, dim: int) -> tuple:
    gx = _scatter(g, index, zeros_for(g, index.shape), dim=dim)
    return gx, None, _crop_vjp(_gather(g, index, dim=dim), src, index)


_SCATTER_SAMPLES = [
    Sample(((4, 3), np.array([[0, -1, 2], [3, 2, 0]]), (2, 3)), {"dim": 0}),
    Sample(((2, 7), np.array([[0, 4, -5, 1, 6]], np.int32), (2, 6)), {"dim": 1}),
    Sample(((2, 3, 4), np.zeros((2, 3, 0), np.int64), (2, 3, 2)), {"dim": 2}),
    Sample(((), np.array(0), ()), {"dim": 0}),
]

_scatter: Op = Op(
    "scatter", kind="kernel", attrs={"dim": 0}, saves="i1", inplace={0: 0},
    infer=_scatter_infer("scatter"),
    reference=_scatter_reference("scatter", lambda out, places, src: out.__setitem__(places, src)),
    vjp=_scatter_vjp,
    onnx="ScatterElements",
    samples=_SCATTER_SAMPLES,
    doc="input with out[.., index[.., i, ..], ..] = src[.., i, ..] along dim; gradients assume distinct places",
)  # fmt: skip

_scatter_add: Op = Op(
    "scatter_add", kind="kernel", attrs={"dim": 0}, saves="i1", inplace={0: 0},
    infer=_scatter_infer("scatter_add"),
    reference=_scatter_reference("scatter_add", np.add.at),
    vjp=lambda g, out, x, index, src, *, dim: (g, None, _crop_vjp(_gather(g, index, dim=dim), src, index)),
    elements=lambda x, index, src, *, dim: math.prod(index.shape),
    terms=lambda x, index, src, *, dim: 1 + (index.shape[dim] if index.shape else 1),
    samples=[*_SCATTER_SAMPLES, Sample(((3,), np.array([0, 2, 0, 0, -1]), (5,)), {"dim": 0})],
    doc="input with out[.., index[.., i, ..], ..] += src[.., i, ..] along dim",
)  # fmt: skip


# ---------------------------------------------------------------- indexing with integer arrays


def _check_tuple(name: str, x: Aval, indices: tuple, axes: tuple) -> tuple:
    """The shape to which the indices broadcast, and the shape of x[indices]."""
    if not indices or len(indices) != len(axes):
        raise ShapeError(f"{name}: {len(indices)} indices must be as many as axes={axes}, at least one")
    if list(axes) != sorted(set(axes)) or axes[0] < 0 or axes[-1] >= len(x.shape):
        raise ShapeError(f"{name}: axes={axes} must ascend within the {len(x.shape)} axes of {tuple(x.shape)}")
    for k, index in enumerate(indices):
        _check_indices(name, index, f"index {k}")
    common = broadcast_shapes(name, *(tuple(i.shape) for i in indices))
    rest = [n for d, n in enumerate(x.shape) if d not in axes]
    at = axes[0] if axes[-1] - axes[0] == len(axes) - 1 else 0
    return common, (*rest[:at], *common, *rest[at:])


def _full_index(name: str, x: Any, indices: tuple, axes: tuple) -> tuple:
    by_axis = {a: _wrapped(name, i, x.shape[a]) for a, i in zip(axes, indices)}
    return tuple(by_axis.get(d, slice(None)) for d in range(axes[-1] + 1))


_index_get: Op = Op(
    "index_get", kind="kernel", attrs={"axes": (0,)}, saves="i1-",
    infer=lambda x, *indices, axes: (_check_tuple("index_get", x, indices, axes)[1], x.dtype),
    reference=lambda xp, x, *indices, axes: x[_full_index("index_get", x, indices, axes)],
    vjp=lambda g, out, x, *indices, axes: (
        index_put_op(zeros_for(g, x.shape), g, *indices, axes=axes, accumulate=True), *[None] * len(indices),
    ),
    onnx="GatherND",
    samples=[
        Sample(((5, 3), np.array([[0, -1], [2, 2]])), {"axes": (0,)}),
        Sample(((2, 5, 3), np.array([4, 0, 1], np.int32)), {"axes": (1,)}),
        Sample(((4, 5, 6), np.array([[0], [3]]), np.array([1, -2, 4])), {"axes": (1, 2)}),
        Sample(((4, 5, 6), np.array([0, 3, 1]), np.array(2)), {"axes": (0, 2)}),
        Sample(((4, 0), np.array([0, 3, 1])), {"axes": (0,)}),
        Sample(((4,), np.array([], np.int64)), {"axes": (0,)}),
    ],
    doc="x[.., i, j, ..] with integer arrays on the given axes, which broadcast together",
)  # fmt: skip


def _index_put_infer(x: Aval, values: Aval, *indices: Aval, axes: tuple, accumulate: bool) -> Spec:
    _, shape = _check_tuple("index_put", x, indices, axes)
    if values.dtype != x.dtype:
        raise DTypeError(f"index_put: values have dtype {values.dtype}, must be x's, {x.dtype}")
    given = tuple(values.shape)
    if len(given) > len(shape) or any(n not in (1, m) for n, m in zip(given[::-1], shape[::-1])):
        raise ShapeError(f"index_put: values {given} must broadcast to x[indices], {shape}")
    return tuple(x.shape), x.dtype


def _index_put_reference(xp: Any, x: Any, values: Any, *indices: Any, axes: tuple, accumulate: bool) -> Any:
    out = np.array(x)
    places = _full_index("index_put", x, indices, axes)
    if accumulate:
        np.add.at(out, places, values)
    else:
        out[places] = values
    return out


def _index_put_vjp(g: Any, out: Any, x: Any, values: Any, *indices: Any, axes: tuple, accumulate: bool) -> tuple:
    gx = g if accumulate else index_put_op(g, zeros_for(g, ()), *indices, axes=axes)
    return gx, _index_get(g, *indices, axes=axes), *[None] * len(indices)


index_put_op: Op = Op(
    "index_put", kind="kernel", attrs={"axes": (0,), "accumulate": False}, saves="i2-", inplace={0: 0},
    infer=_index_put_infer, reference=_index_put_reference, vjp=_index_put_vjp,
    elements=lambda x, values, *indices, axes, accumulate: (
        math.prod(_check_tuple("index_put", x, indices, axes)[1]) if accumulate else 0
    ),
    terms=lambda x, values, *indices, axes, accumulate: 1 + max(int(np.prod(i.shape)) for i in indices),
    onnx="ScatterND",
    samples=[
        Sample(((5, 3), (2, 2, 3), np.array([[0, -1], [2, 1]])), {"axes": (0,)}),
        Sample(((5, 3), (2, 2, 3), np.array([[0, -1], [2, 0]])), {"axes": (0,), "accumulate": True}),
        Sample(((2, 5, 3), (1, 3, 1), np.array([4, 0, 1], np.int32)), {"axes": (1,), "accumulate": True}),
        Sample(((4, 5, 6), (), np.array([0, 3, 1]), np.array(2)), {"axes": (0, 2)}),
        Sample(((4, 5, 6), (3, 5), np.array([0, 3, 0]), np.array(2)), {"axes": (0, 2), "accumulate": True}),
        Sample(((4, 0), (3, 0), np.array([0, 3, 1])), {"axes": (0,)}),
    ],
    doc="x with x[.., i, j, ..] = values (accumulate: += values); without accumulate gradients assume distinct places",
)  # fmt: skip


def index_get(x: Any, *indices: Any, axes: tuple[int, ...]) -> Any:
    """x indexed with integer arrays that broadcast together, one for each of `axes` (ascending); all of the others.

    The result has the broadcast index axes where `axes` are if these are neighbours, else in front (NumPy's rule).
    """
    return _index_get(x, *indices, axes=tuple(axes))


def index_put(x: Any, values: Any, *indices: Any, axes: tuple[int, ...], accumulate: bool = False) -> Any:
    """A copy of x in which x[indices], as in `index_get`, is `values` (broadcast), or is increased by them."""
    return index_put_op(x, values, *indices, axes=tuple(axes), accumulate=bool(accumulate))


# ---------------------------------------------------------------- public functions


def gather(input: Array, dim: int, index: Array) -> Array:
    """Elements of `input` picked along `dim`: out[.., i, ..] = input[.., index[.., i, ..], ..].

    `index` has as many axes as `input` and gives the shape of the result; outside of `dim` it may be smaller.

    >>> import ranvier as rv
    >>> rv.gather(rv.tensor([[1, 2], [3, 4]]), 1, rv.tensor([[0], [1]])).tolist()
    [[1], [4]]
    """
    return _gather(input, index, dim=normalize_axis("gather", dim, len(input.shape)))


def number_like(name: str, value: Any, like: Any) -> Any:
    """`value`, a number or 0-d, as what `like` is: an array or a tensor of its dtype."""
    value = fitting(name, value, like.dtype)
    if hasattr(value, "dtype"):
        return value
    number = constant(value, like.dtype)
    return number._data if isinstance(like, np.ndarray) else number


def _as_source(name: str, input: Any, index: Any, src: Any, value: Any) -> Any:
    if (src is None) == (value is None):
        raise DTypeError(f"{name}: give either src or value")
    if src is None or not hasattr(src, "shape"):
        return expand(number_like(name, value if src is None else src, input), index.shape)
    return src


@prepared
def scatter(
    input: Array, dim: int, index: Array, src: Array | None = None, *, value: Any = None, reduce: str | None = None
) -> Array:
    """A copy of `input` with out[.., index[.., i, ..], ..] = src[.., i, ..] (or `value`) along `dim`; reduce="add": += it.

    >>> import ranvier as rv
    >>> rv.scatter(rv.zeros(4), 0, rv.tensor([1, -1]), value=5.0).tolist()
    [0.0, 5.0, 0.0, 5.0]
    """
    src = _as_source("scatter", input, index, src, value)
    if reduce not in (None, "add"):
        raise DomainError(f"scatter: reduce={reduce!r} must be None or 'add'; scatter_reduce knows others")
    op = _scatter if reduce is None else _scatter_add
    return op.call(dim=normalize_axis("scatter", dim, len(input.shape))), (input, index, src)


@prepared
def scatter_add(input: Array, dim: int, index: Array, src: Array) -> Array:
    """A copy of `input` with out[.., index[.., i, ..], ..] += src[.., i, ..] along `dim`, in order of i.

    >>> import ranvier as rv
    >>> rv.scatter_add(rv.zeros(3), 0, rv.tensor([0, 2, 0]), rv.tensor([1.0, 2.0, 3.0])).tolist()
    [4.0, 0.0, 2.0]
    """
    src = _as_source("scatter_add", input, index, src, None)
    return _scatter_add.call(dim=normalize_axis("scatter_add", dim, len(input.shape))), (input, index, src)


def take_along_dim(input: Array, indices: Array, dim: int | None = None) -> Array:
    """`gather` where input and indices broadcast outside of `dim`; None: both as vectors."""
    if dim is None:
        return _gather(input.reshape(-1), indices.reshape(-1), dim=0)
    d = normalize_axis("take_along_dim", dim, len(input.shape))
    if len(input.shape) != len(indices.shape):
        raise ShapeError(f"take_along_dim: {input.shape} and indices {indices.shape} must have equally many axes")

    def without(shape: tuple) -> tuple:
        return tuple(n for k, n in enumerate(shape) if k != d)

    common = broadcast_shapes("take_along_dim", without(input.shape), without(indices.shape))

    def widen(x: Any) -> Any:
        return expand(x, (*common[:d], x.shape[d], *common[d:]))

    return _gather(widen(input), widen(indices), dim=d)


def take(input: Array, index: Array) -> Array:
    """The elements at the positions `index` of `input` as a vector, in the shape of index.

    >>> import ranvier as rv
    >>> rv.take(rv.tensor([[1, 2], [3, 4]]), rv.tensor([0, 3])).tolist()
    [1, 4]
    """
    return _index_get(reshape(input, (-1,)), index, axes=(0,))


take_along_axis = take_along_dim


def _along(name: str, input: Any, dim: int, index: Any) -> int:
    if len(index.shape) != 1:
        raise ShapeError(f"{name}: index {tuple(index.shape)} must have one axis")
    return own_axis(name, dim, len(input.shape))


def index_select(input: Array, dim: int, index: Array) -> Array:
    """The slices of `input` along `dim` that the vector `index` names, in its order.

    >>> import ranvier as rv
    >>> rv.index_select(rv.tensor([[1, 2], [3, 4]]), 0, rv.tensor([1, 1])).tolist()
    [[3, 4], [3, 4]]
    """
    return _index_get(input, index, axes=(_along("index_select", input, dim, index),))


def _check_slices(name: str, input: Any, d: int, index: Any, source: Any) -> None:
    want = (*input.shape[:d], index.shape[0], *input.shape[d + 1 :])
    if source.dtype != input.dtype:
        raise DTypeError(f"{name}: source has dtype {source.dtype}, must be input's, {input.dtype}")
    if tuple(source.shape) != want:
        raise ShapeError(f"{name}: source {tuple(source.shape)} must have shape {want}: input {tuple(input.shape)} "
                         f"with one slice for each index along dim={d}")  # fmt: skip


@prepared
def index_add(input: Array, dim: int, index: Array, source: Array, *, alpha: float = 1) -> Array:
    """A copy of `input` with alpha * source[.., k, ..] added to its slice index[k] along `dim`, in order of k."""
    d = _along("index_add", input, dim, index)
    _check_slices("index_add", input, d, index, source)
    return index_put_op.call(axes=(d,), accumulate=True), (input, source if alpha == 1 else source * alpha, index)


@prepared
def index_copy(input: Array, dim: int, index: Array, source: Array) -> Array:
    """A copy of `input` whose slice index[k] along `dim` is source[.., k, ..]."""
    d = _along("index_copy", input, dim, index)
    _check_slices("index_copy", input, d, index, source)
    return index_put_op.call(axes=(d,), accumulate=False), (input, source, index)


@prepared
def index_fill(input: Array, dim: int, index: Array, value: float) -> Array:
    """A copy of `input` whose slices `index` along `dim` are filled with `value`."""
    d = _along("index_fill", input, dim, index)
    if getattr(value, "requires_grad", False):  # which counts a slice once, however often it is named
        chosen = index_put_op.call(axes=(0,), accumulate=False).apply(
            (np.zeros(input.shape[d], bool_), np.ones((), bool_), index)
        )
        chosen = reshape(chosen, (-1, *(1,) * (input.ndim - 1 - d)))
        return where_op.default_call, (chosen, number_like("index_fill", value, input), input)
    return index_put_op.call(axes=(d,), accumulate=False), (input, number_like("index_fill", value, input), index)


def masked_fill(input: Array, mask: Array, value: Array) -> Array:
    """`value` where `mask` is true, else `input`; all broadcast.

    >>> import ranvier as rv
    >>> rv.masked_fill(rv.tensor([1.0, 2.0]), rv.tensor([True, False]), 0.0).tolist()
    [0.0, 2.0]
    """
    if mask.dtype != bool_:
        raise DTypeError(f"masked_fill: mask has dtype {mask.dtype}, must be bool")
    return _chosen(mask, fitting("masked_fill", value, input.dtype), input)


@overload
def nonzero(input: Array, *, as_tuple: Literal[False] = False) -> Array: ...
@overload
def nonzero(input: Array, *, as_tuple: bool) -> Any: ...
def nonzero(input: Array, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0: (count, axes), or a tuple with one vector an axis.

    The count depends on values, so a compiled function cannot call it.

    >>> import ranvier as rv
    >>> rv.nonzero(rv.tensor([0.0, 3.0, 4.0])).tolist()
    [[1], [2]]
    """
    data = input if isinstance(input, np.ndarray) else input._array("nonzero")
    wrap = (lambda a: a) if isinstance(input, np.ndarray) else from_numpy
    if as_tuple:
        return tuple(map(wrap, data.nonzero() if data.ndim else np.atleast_1d(data).nonzero()))
    return wrap(np.argwhere(data))


@overload
def where(condition: Array, input: Array, other: Array) -> Array: ...
@overload
def where(condition: Array) -> Any: ...
def where(condition: Array, input: Any = None, other: Any = None) -> Any:
    """input where condition is true, else other. No gradient, nor NaN, passes to what was not chosen. Of a condition alone
    the positions where it is true, one vector an axis.

    >>> import ranvier as rv
    >>> rv.where(rv.tensor([True, False]), rv.tensor([1.0, 2.0]), 0)
    tensor([1., 0.])
    >>> rv.where(rv.tensor([True, False]))
    (tensor([0]),)
    """
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    return _chosen(condition, input, other)


def argwhere(input: Array) -> Array:
    """The positions of the elements that are not 0, (count, axes); see `nonzero`."""
    return nonzero(input)


def masked_select(input: Array, mask: Array) -> Array:
    """The elements of `input` where `mask` is true (both broadcast), as a vector.

    The count depends on values, so a compiled function cannot call it: use where() there.
    """
    if mask.dtype != bool_:
        raise DTypeError(f"masked_select: mask has dtype {mask.dtype}, must be bool")
    shape = broadcast_shapes("masked_select", tuple(input.shape), tuple(mask.shape))
    input, mask = (expand(x, shape) for x in (input, mask))
    return input[mask] if shape else reshape(input, (1,))[reshape(mask, (1,))]


def one_hot(tensor: Array, num_classes: int = -1) -> Array:
    """A new last axis of `num_classes` that is 1 at the given class and 0 elsewhere, int64; -1: the largest class + 1.

    >>> import ranvier as rv
    >>> rv.one_hot(rv.tensor([0, 2]), 3).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    _check_indices("one_hot", tensor, "tensor")
    if num_classes == -1:
        classes = tensor if isinstance(tensor, np.ndarray) else tensor._array("one_hot without num_classes")
        if classes.size == 0:
            raise ShapeError("one_hot: num_classes must be given for an empty tensor")
        num_classes = int(classes.max()) + 1
    if num_classes < 1:
        raise ShapeError(f"one_hot: num_classes={num_classes} must be positive")
    inside = logical_and(ge(tensor, 0), lt(tensor, num_classes))
    require(inside, tensor, f"one_hot: classes must be in [0, {num_classes - 1}]", index=True)
    zero = constant(0, int64)
    zeros = expand(zero._data if isinstance(tensor, np.ndarray) else zero, (*tensor.shape, num_classes))
    return scatter(zeros, -1, unsqueeze(tensor, -1), value=1)
