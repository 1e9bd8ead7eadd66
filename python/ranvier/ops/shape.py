"""Views and what is built from them: reshape, permute, expand, slicing.

A view op does no work: its output is another description of the same memory. `view(strides, shape, offset)` rules are
the op's `infer` for shapes and `strides` here for memory, used when a graph is lowered to a plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.errors import OutOfRangeError, ShapeError
from ..core.tensor import from_numpy
from ..core.traced import is_traced
from .creation import zeros
from .elementwise import where
from .public import Array
from .record import Aval, Op, Sample, Spec, as_sizes, normalize_axes, normalize_axis, own_axis

__all__ = [
    "broadcast_to", "chunk", "clone", "diagonal", "expand", "expand_as", "flatten", "flip", "movedim", "narrow", "numel",
    "permute", "ravel", "reshape", "select", "split", "squeeze", "swapaxes", "t", "tensor_split", "transpose", "unbind",
    "unflatten", "unsqueeze", "view",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py


MAX_PARTS = 1 << 24  # of a tensor: more of them, many empty, are a mistake that would take minutes and gigabytes

# ---------------------------------------------------------------- the view ops


def _reshape_reference(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    if shape and min(shape) < -1:  # NumPy takes any negative size for "what is left"
        raise ValueError
    return xp.reshape(x, shape)


def _reshape_infer(x: Aval, *, shape: tuple[int, ...]) -> Spec:
    size = 1
    for n in x.shape:
        size *= n
    known, unknown = 1, 0
    for n in shape:
        if n == -1:
            unknown += 1
        elif n < 0:
            raise ShapeError(f"reshape: size {n} in {shape} must be >= 0, or -1 once for 'what is left'")
        else:
            known *= n
    if unknown > 1:
        raise ShapeError(f"reshape: {shape} has more than one -1")
    if unknown:
        if known == 0 or size % known:
            raise ShapeError(f"reshape: {x.shape} with {size} elements does not fit into {shape}")
        shape = tuple(size // known if n == -1 else n for n in shape)
    elif known != size:
        raise ShapeError(f"reshape: {x.shape} has {size} elements, {shape} has {known}")
    return shape, x.dtype


def _reshape_strides(x: Any, shape: tuple[int, ...], *, attrs: dict) -> tuple | None:
    """Strides of the reshaped view, or None where the elements have to be copied into order first."""
    if 0 in shape:
        return 0, (0,) * len(shape)
    old = [(n, s) for n, s in zip(x.shape, x.strides) if n != 1]
    runs: list[list[int]] = []  # maximal runs of axes that one stride walks through: [size, stride of the last axis]
    for n, s in old:
        if runs and runs[-1][1] == n * s:
            runs[-1] = [runs[-1][0] * n, s]
        else:
            runs.append([n, s])
    strides = [0] * len(shape)
    axis = len(shape) - 1
    for size, stride in reversed(runs):
        while axis >= 0 and size > 1:
            n = shape[axis]
            if size % n:
                return None
            strides[axis] = stride
            stride *= n
            size //= n
            axis -= 1
        if size != 1:
            return None
    return 0, tuple(strides)


_reshape = Op(
    "reshape", kind="view", attrs={"shape": (-1,)}, saves="",
    infer=_reshape_infer,
    reference=_reshape_reference,
    vjp=lambda g, out, x, *, shape: (g.reshape(x.shape),),
    onnx="Reshape",
    samples=[Sample(((2, 6),), {"shape": (3, -1)}), Sample(((),), {"shape": (1, 1)}), Sample(((0, 4),), {"shape": (2, 0)}),
             Sample(((4, 3, 2),), {"shape": (12, 2)})],
)  # fmt: skip


def _permute_infer(x: Aval, *, dims: tuple[int, ...]) -> Spec:
    if sorted(dims) != list(range(len(x.shape))):
        raise ShapeError(f"permute: dims={dims} must name each of the {len(x.shape)} axes of {x.shape} once")
    return tuple(x.shape[d] for d in dims), x.dtype


_permute: Op = Op(
    "permute", kind="view", attrs={"dims": ()}, saves="",
    infer=_permute_infer,
    reference=lambda xp, x, *, dims: xp.permute_dims(x, dims) if hasattr(xp, "permute_dims") else xp.transpose(x, dims),
    vjp=lambda g, out, x, *, dims: (_permute(g, dims=tuple(dims.index(d) for d in range(len(dims)))),),
    onnx="Transpose",
    samples=[Sample(((),), {"dims": ()}), Sample(((2, 3, 4),), {"dims": (2, 0, 1)}), Sample(((0, 3),), {"dims": (1, 0)})],
)  # fmt: skip


def _expand_infer(x: Aval, *, shape: tuple[int, ...]) -> Spec:
    extra = len(shape) - len(x.shape)
    bad = extra < 0 or any(n != m and n != 1 for n, m in zip(x.shape, shape[extra:]))
    if bad or any(n < 0 for n in shape):
        raise ShapeError(f"expand: {x.shape} does not broadcast to {shape}: only axes of size 1 expand")
    return shape, x.dtype


_expand = Op(
    "expand", kind="view", attrs={"shape": ()}, saves="",
    infer=_expand_infer,
    reference=lambda xp, x, *, shape: xp.broadcast_to(x, shape),
    vjp=lambda g, out, x, *, shape: (g,),  # the engine sums over the new axes
    onnx="Expand",
    samples=[Sample(((),), {"shape": ()}), Sample(((3, 1),), {"shape": (2, 3, 4)}), Sample(((1,),), {"shape": (0,)})],
)  # fmt: skip


Index = tuple[Any, ...]
"""A basic index within bounds: for each axis (start, length, step), or an integer, which drops it; None adds one."""


def spans(index: Index) -> tuple[tuple[int, int, int], ...]:
    """The same elements, with all axes and no new ones."""
    return tuple([(item, 1, 1) if item.__class__ is int else item for item in index if item is not None])


def _slice_infer(x: Aval, *, index: Index) -> Spec:
    return tuple([1 if item is None else item[1] for item in index if item.__class__ is not int]), x.dtype


def as_slices(index: Index) -> tuple:
    """The index as NumPy takes it; with the ellipsis, integers for all axes give an array, too."""
    result: list[Any] = []
    for item in index:
        if item.__class__ is tuple:
            start, length, step = item
            stop = start + length * step
            item = slice(start, stop if stop >= 0 else None, step)
        result.append(item)
    return (*result, ...)


def _spanned(part: Any, index: Index) -> tuple[Any, tuple]:
    """What the index shows, with all axes and no new ones, and the spans."""
    along = spans(index)
    lengths = tuple([length for _, length, _ in along])
    return part if part.shape == lengths else part.reshape(lengths), along


def _slice_vjp(g: Any, out: Any, x: Any, *, index: Index) -> tuple:
    g, along = _spanned(g, index)
    return (embed_op(g, shape=x.shape, indices=(along,)),)


slice_op = Op(
    "slice", kind="view", attrs={"index": ()}, saves="",
    infer=_slice_infer,
    reference=lambda xp, x, *, index: x[as_slices(index)],
    vjp=_slice_vjp,
    onnx="Slice",
    samples=[Sample(((),), {"index": ()}), Sample(((5, 4),), {"index": ((1, 2, 2), (3, 4, -1))}),
             Sample(((3,),), {"index": ((0, 0, 1),)}), Sample(((5, 4, 3),), {"index": (2, None, (1, 2, 2), 0)})],
)  # fmt: skip


def _diagonal_infer(x: Aval, *, offset: int, dim1: int, dim2: int) -> Spec:
    if dim1 == dim2:
        raise ShapeError(f"diagonal: dim1 and dim2 are the same axis {dim1} of {x.shape}")
    rest = tuple(n for d, n in enumerate(x.shape) if d not in (dim1, dim2))
    rows, columns = x.shape[dim1], x.shape[dim2]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    return (*rest, length), x.dtype


def beside(array: np.ndarray, like: Any) -> Any:
    """`array` as what `like` is: a NumPy array or a tensor."""
    return array if isinstance(like, np.ndarray) else from_numpy(array)


def on_diagonal(x: Any, rows: int, columns: int, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros, (rows, columns) in the axes (dim1, dim2), with x's last axis on their diagonal."""
    index = (*_whole(x.shape[:-1]), (max(0, -offset), x.shape[-1], 1))
    full = embed_op(x, shape=(*x.shape[:-1], rows), indices=(index,))  # along dim1; then only where it meets dim2
    full = expand(unsqueeze(full, -1), (*full.shape, columns))
    full = where(beside(np.eye(rows, columns, offset, dtype=bool), x), full, beside(np.zeros((), x.dtype), x))
    return movedim(full, (-2, -1), (dim1, dim2))


def _diagonal_reference(xp: Any, x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    view = np.diagonal(x, offset, dim1, dim2)
    view.flags.writeable = x.flags.writeable  # NumPy's is read-only
    return view


def _diagonal_vjp(g: Any, out: Any, x: Any, *, offset: int, dim1: int, dim2: int) -> tuple:
    return (on_diagonal(g, x.shape[dim1], x.shape[dim2], offset, dim1, dim2),)


_diagonal = Op(
    "diagonal", kind="view", attrs={"offset": 0, "dim1": 0, "dim2": 1}, saves="",
    infer=_diagonal_infer,
    reference=_diagonal_reference,
    vjp=_diagonal_vjp,
    samples=[Sample(((3, 4),), {"offset": 1}), Sample(((2, 4, 3),), {"offset": -1, "dim1": 1, "dim2": 2})],
)  # fmt: skip


# Memory of a view: strides(x, shape, attrs=...) -> (offset, strides) in elements, or None where a copy is needed.
# `x` has .shape and .strides (in elements).
def _expand_strides(x: Any, shape: tuple[int, ...], *, attrs: dict) -> tuple:
    extra = len(shape) - len(x.shape)
    own = tuple(s if n == m else 0 for n, m, s in zip(x.shape, shape[extra:], x.strides))
    return 0, (0,) * extra + own


def _slice_strides(x: Any, shape: tuple[int, ...], *, attrs: dict) -> tuple:
    index, along = attrs["index"], spans(attrs["index"])
    offset = sum([start * s for (start, _, _), s in zip(along, x.strides)]) if 0 not in shape else 0
    steps = iter([step * s for (_, _, step), s in zip(along, x.strides)])
    own = [0 if item is None else next(steps) for item in index]
    return offset, tuple([s for item, s in zip(index, own) if item.__class__ is not int])


def _diagonal_strides(x: Any, shape: tuple[int, ...], *, attrs: dict) -> tuple:
    offset, dim1, dim2 = attrs["offset"], attrs["dim1"], attrs["dim2"]
    rest = tuple(s for d, s in enumerate(x.strides) if d not in (dim1, dim2))
    start = offset * x.strides[dim2] if offset >= 0 else -offset * x.strides[dim1]
    return (start if shape[-1] else 0), (*rest, x.strides[dim1] + x.strides[dim2])


_reshape.strides = _reshape_strides
_permute.strides = lambda x, shape, *, attrs: (0, tuple(x.strides[d] for d in attrs["dims"]))
_expand.strides = _expand_strides
slice_op.strides = _slice_strides
_diagonal.strides = _diagonal_strides


# ---------------------------------------------------------------- copies, and the adjoints of slices

_copy = Op(
    "copy", kind="kernel", saves="",
    infer=lambda x: (x.shape, x.dtype),
    reference=lambda xp, x: xp.asarray(x, copy=True) if hasattr(xp, "astype") else xp.array(x),
    vjp=lambda g, out, x: (g,),
    onnx="Identity",
    samples=[Sample(((),)), Sample(((2, 3),)), Sample(((0, 3),))],
)  # fmt: skip


def _embed_infer(*parts: Aval, shape: tuple[int, ...], indices: tuple) -> Spec:
    return shape, parts[0].dtype


def _embed_reference(xp: Any, *parts: Any, shape: tuple[int, ...], indices: tuple) -> Any:
    out = np.zeros(shape, parts[0].dtype)
    for x, index in zip(parts, indices):
        out[as_slices(index)] = x if len(parts) == 1 else x + np.zeros((), x.dtype)
    return out


def _encode_slices(indices: tuple) -> dict[str, Any]:
    return {"start": [start for i in indices for start, _, _ in i], "step": [step for i in indices for _, _, step in i]}


def _apart(a: Index, b: Index) -> bool:
    """Whether two slices have no element in common, as is seen along one axis."""
    for (i, n, s), (j, m, t) in zip(a, b):
        ends = sorted((i, i + (n - 1) * s)), sorted((j, j + (m - 1) * t))
        if ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0] or abs(s) == abs(t) and s and (i - j) % s:
            return True
    return False


def _sum_of_parts(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any] | None:
    if not all(_apart(i, j) for i in a["indices"] for j in b["indices"]):
        return None
    return {"shape": a["shape"], "indices": (*a["indices"], *b["indices"])}


embed_op: Op = Op(
    "embed", kind="kernel", attrs={"shape": (), "indices": ((),)}, saves="",
    infer=_embed_infer, reference=_embed_reference,
    vjp=lambda g, out, *parts, shape, indices: tuple(slice_op(g, index=index) for index in indices),
    encode=lambda *avals, shape, indices: _encode_slices(indices),
    sum_of_calls=_sum_of_parts,
    samples=[Sample(((2, 3),), {"shape": (5, 4), "indices": (((1, 2, 2), (2, 3, -1)),)}),
             Sample(((),), {"shape": (), "indices": ((),)}),
             Sample(((0,),), {"shape": (3,), "indices": (((0, 0, 1),),)}),
             Sample(((2, 1, 7), (2, 2, 7)), {"shape": (2, 3, 7), "indices": (
                 ((0, 2, 1), (1, 1, 1), (0, 7, 1)), ((0, 2, 1), (0, 2, 2), (0, 7, 1)))}),
             Sample(((3,), (2,)), {"shape": (9,), "indices": (((0, 3, 2),), ((8, 2, -3),))})],
    doc="zeros of `shape` with a slice of each part, which do not meet: the adjoint of slices",
)  # fmt: skip


def _slice_put_infer(x: Aval, values: Aval, *, index: tuple) -> Spec:
    return x.shape, x.dtype


def _slice_put_reference(xp: Any, x: Any, values: Any, *, index: tuple) -> Any:
    out = np.array(x)
    out[as_slices(index)] = values
    return out


def _slice_put_vjp(g: Any, out: Any, x: Any, values: Any, *, index: tuple) -> tuple:
    gv = slice_op(g, index=index)
    return slice_put_op(g, zeros(gv.shape, dtype=g.dtype), index=index), gv


slice_put_op = Op(
    "slice_put", kind="kernel", attrs={"index": ()}, saves="",
    infer=_slice_put_infer, reference=_slice_put_reference, vjp=_slice_put_vjp,
    encode=lambda *avals, index: _encode_slices((index,)),
    inplace={0: 0},
    samples=[Sample(((5, 4), (2, 4)), {"index": ((1, 2, 2), (3, 4, -1))}), Sample(((), ()), {"index": ()})],
    doc="x with the slice `index` replaced by values",
)  # fmt: skip


def _diagonal_put(x: Any, new: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    rows, columns = x.shape[dim1], x.shape[dim2]
    ones = from_numpy(np.ones(new.shape[-1:], bool))
    shape = [x.shape[d] if d in (dim1, dim2) else 1 for d in range(x.ndim)]
    there = on_diagonal(ones, rows, columns, offset, 0, 1)
    there = (there if dim1 < dim2 else there.T).reshape(shape)
    return where(there, on_diagonal(new, rows, columns, offset, dim1, dim2), x)


def _slice_put_back(x: Any, new: Any, *, index: Index) -> Any:
    new, along = _spanned(new, index)
    return slice_put_op(x, new, index=along)


_reshape.put = lambda x, new, *, shape: new.reshape(x.shape)
_permute.put = lambda x, new, *, dims: _permute(new, dims=tuple(dims.index(d) for d in range(len(dims))))
slice_op.put = _slice_put_back
_diagonal.put = _diagonal_put


# ---------------------------------------------------------------- public functions


def reshape(input: Array, *shape: Any) -> Array:
    """`input` with the same elements in another shape; one size may be -1. A view where the layout allows.

    >>> import ranvier as rv
    >>> rv.reshape(rv.arange(6), (2, -1)).shape
    (2, 3)
    """
    return _reshape(input, shape=as_sizes("reshape", shape))


def view(input: Array, *shape: Any) -> Array:
    """The same as `reshape` (PyTorch's name for it)."""
    return _reshape(input, shape=as_sizes("view", shape))


def numel(input: Array) -> int:
    """The number of elements."""
    return math.prod(input.shape)


def clone(input: Array) -> Array:
    """A copy in C order, which gradients flow through."""
    return _copy(input)


def apart(out: Any, input: Any) -> Any:
    """`out` in memory of its own: what changes it in place must not change `input`."""
    new, old = getattr(out, "_data", out), getattr(input, "_data", input)
    if new is old or (out._base is not None if is_traced(new) else np.may_share_memory(new, old)):
        return new.copy() if isinstance(out, np.ndarray) else _copy(out)
    return out


def flatten(input: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """Axes start_dim..end_dim as one."""
    ndim = input.ndim
    first, last = normalize_axis("flatten", start_dim, ndim), normalize_axis("flatten", end_dim, ndim)
    if first > last:
        raise ShapeError(f"flatten: start_dim={start_dim} comes after end_dim={end_dim} in {input.shape}")
    if ndim == 0:
        return _reshape(input, shape=(1,))
    size = 1
    for n in input.shape[first : last + 1]:
        size *= n
    return _reshape(input, shape=(*input.shape[:first], size, *input.shape[last + 1 :]))


def ravel(input: Array) -> Array:
    """All elements in one axis."""
    return flatten(input)


def unflatten(input: Array, dim: int, sizes: Sequence[int]) -> Array:
    """Axis `dim` split into `sizes`; one of them may be -1."""
    dim = own_axis("unflatten", dim, input.ndim)
    sizes = as_sizes("unflatten", (tuple(sizes),))
    inner, _ = _reshape_infer(type("A", (), {"shape": (input.shape[dim],), "dtype": None}), shape=sizes)
    return _reshape(input, shape=(*input.shape[:dim], *inner, *input.shape[dim + 1 :]))


def permute(input: Array, *dims: Any) -> Array:
    """Axes in the order `dims`."""
    dims = as_sizes("permute", dims)
    if len(dims) != input.ndim:
        raise ShapeError(f"permute: dims={dims} must name each of the {input.ndim} axes of {input.shape} once")
    return _permute(input, dims=tuple(normalize_axis("permute", d, input.ndim) for d in dims))


def transpose(input: Array, dim0: int, dim1: int) -> Array:
    """Axes dim0 and dim1 exchanged."""
    dims = list(range(input.ndim))
    a, b = normalize_axis("transpose", dim0, input.ndim), normalize_axis("transpose", dim1, input.ndim)
    if dims:
        dims[a], dims[b] = b, a
    return _permute(input, dims=tuple(dims))


swapaxes = transpose


def t(input: Array) -> Array:
    """The transposed matrix; 0-d and 1-d tensors as they are."""
    if input.ndim > 2:
        raise ShapeError(f"t: shape {input.shape} must have at most 2 axes")
    return _permute(input, dims=tuple(range(input.ndim))[::-1])


def movedim(input: Array, source: Any, destination: Any) -> Array:
    """Axes `source` moved to the places `destination`; the others keep their order."""
    source = source if isinstance(source, (tuple, list)) else (source,)
    destination = destination if isinstance(destination, (tuple, list)) else (destination,)
    if len(source) != len(destination):
        raise ShapeError(f"movedim: source={source} and destination={destination} must be equally long")
    src = [normalize_axis("movedim", d, input.ndim) for d in source]
    dst = [normalize_axis("movedim", d, input.ndim) for d in destination]
    if len(set(src)) != len(src) or len(set(dst)) != len(dst):
        raise ShapeError(f"movedim: source={source} or destination={destination} names an axis twice")
    rest = [d for d in range(input.ndim) if d not in src]
    order = dict(zip(dst, src))
    return _permute(input, dims=tuple(order[d] if d in order else rest.pop(0) for d in range(input.ndim)))


def squeeze(input: Array, dim: Any = None) -> Array:
    """Without the axes of size 1 (all, or those of `dim`)."""
    if dim is None:
        drop = {d for d, n in enumerate(input.shape) if n == 1}
    else:
        dims = dim if isinstance(dim, (tuple, list)) else (dim,)
        drop = {
            d for d in (normalize_axis("squeeze", d, input.ndim) for d in dims) if input.ndim and input.shape[d] == 1
        }
    return _reshape(input, shape=tuple(n for d, n in enumerate(input.shape) if d not in drop))


def unsqueeze(input: Array, dim: int) -> Array:
    """With a new axis of size 1 at `dim`."""
    dim = normalize_axis("unsqueeze", dim, input.ndim + 1)
    return _reshape(input, shape=(*input.shape[:dim], 1, *input.shape[dim:]))


def expand(input: Array, *sizes: Any) -> Array:
    """Axes of size 1 repeated without copying, -1 leaves an axis as it is; new axes come in front."""
    sizes = as_sizes("expand", sizes)
    extra = len(sizes) - input.ndim
    if extra < 0:
        raise ShapeError(f"expand: {input.shape} has more axes than {sizes}")
    shape = tuple(input.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(sizes))
    return input if shape == input.shape else _expand(input, shape=shape)


def expand_as(input: Array, other: Array) -> Array:
    """expand(input, other.shape)."""
    return expand(input, other.shape)


def broadcast_to(input: Array, shape: Sequence[int]) -> Array:
    """The same as `expand`."""
    return expand(input, tuple(shape))


def _whole(shape: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [(0, n, 1) for n in shape]


def flip(input: Array, *dims: Any) -> Array:
    """The order of the elements reversed along `dims`: of a tensor a copy, as PyTorch's, of an array a view, as NumPy's."""
    dims = as_sizes("flip", dims)
    index = _whole(input.shape)
    for d in normalize_axes("flip", dims, input.ndim) if dims else ():
        n = input.shape[d]
        index[d] = (max(n - 1, 0), n, -1)
    out = slice_op(input, index=tuple(index))
    return out if isinstance(out, np.ndarray) else _copy(out)


def narrow(input: Array, dim: int, start: int, length: int) -> Array:
    """Elements start..start+length-1 of axis `dim`."""
    d = own_axis("narrow", dim, input.ndim)
    n = input.shape[d]
    begin = start + n if start < 0 else start
    if length < 0 or not 0 <= begin <= n - length:
        raise OutOfRangeError(
            f"narrow: start={start}, length={length} must lie within axis {dim} of size {n} in {input.shape}"
        )
    index = _whole(input.shape)
    index[d] = (begin, length, 1)
    return slice_op(input, index=tuple(index))


def select(input: Array, dim: int, index: int) -> Array:
    """Element `index` of axis `dim`, without the axis."""
    d = own_axis("select", dim, input.ndim)
    n = input.shape[d]
    if not -n <= index < n:
        raise OutOfRangeError(f"select: index {index} must be in [{-n}, {n - 1}] for axis {dim} of {input.shape}")
    return slice_op(input, index=(*_whole(input.shape[:d]), int(index) % n, *_whole(input.shape[d + 1 :])))


def split(input: Array, split_size_or_sections: Any, dim: int = 0) -> tuple[Array, ...]:
    """Views of `split_size` rows each along `dim` (the last may be shorter), or of the given sizes."""
    d = own_axis("split", dim, input.ndim)
    n = input.shape[d]
    sizes = split_size_or_sections
    if not isinstance(sizes, (tuple, list)):
        if sizes < (n > 0):
            raise ShapeError(f"split: split_size={sizes} must be positive")
        sizes = [min(sizes, n - i) for i in range(0, n, sizes or 1)] or [0]
    if sum(sizes) != n:
        raise ShapeError(f"split: sizes {list(sizes)} must add up to {n}, axis {dim} of {input.shape}")
    result, start = [], 0
    for size in sizes:
        result.append(narrow(input, d, start, size))
        start += size
    return tuple(result)


def chunk(input: Array, chunks: int, dim: int = 0) -> tuple[Array, ...]:
    """At most `chunks` views of equal size along `dim` (the last may be shorter); of an empty axis all of them."""
    if chunks <= 0:
        raise ShapeError(f"chunk: chunks={chunks} must be positive")
    n = input.shape[own_axis("chunk", dim, input.ndim)]
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)


def tensor_split(input: Array, sections: int | Sequence[int], dim: int = 0) -> tuple[Array, ...]:
    """Exactly `sections` views along `dim`, sizes differing by at most one; or cut before each of the given positions.

    >>> import ranvier as rv
    >>> [len(part) for part in rv.tensor_split(rv.arange(7), (2, 3))]
    [2, 1, 4]
    """
    n = input.shape[own_axis("tensor_split", dim, input.ndim)]
    if not isinstance(sections, (int, np.integer)):
        cuts = [0, *(min(max(k + n if k < 0 else k, 0), n) for k in sections), n]
        return tuple(narrow(input, dim, a, max(0, b - a)) for a, b in zip(cuts, cuts[1:]))
    if not 1 <= sections <= MAX_PARTS:
        raise ShapeError(f"tensor_split: sections={sections} must be positive, and at most {MAX_PARTS}")
    return split(input, [n // sections + (i < n % sections) for i in range(sections)], dim)


def unbind(input: Array, dim: int = 0) -> tuple[Array, ...]:
    """The elements of axis `dim` as a tuple."""
    d = own_axis("unbind", dim, input.ndim)
    before = (slice(None),) * d
    return tuple([input[before + (i, ...)] for i in range(input.shape[d])])


def diagonal(input: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """The diagonal of axes (dim1, dim2) as a new last axis, a view."""
    if input.ndim < 2:
        raise ShapeError(f"diagonal: shape {input.shape} must have at least 2 axes")
    return _diagonal(input, offset=offset, dim1=normalize_axis("diagonal", dim1, input.ndim),
                     dim2=normalize_axis("diagonal", dim2, input.ndim))  # fmt: skip
