"""Putting arrays together and around: cat, stack, pad, repeat, roll, triangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.dtypes import int64, promote
from ..core.errors import DTypeError, ShapeError
from ..core.tensor import TensorBase, as_tensor, from_numpy
from .elementwise import bitwise_xor, fitting
from .index import index_get
from .public import Array
from .record import Aval, Op, Sample, Spec, as_sizes, normalize_axes, normalize_axis, own_axis
from .shape import apart, expand, flip, narrow, reshape, slice_op, split, transpose, unbind

__all__ = [
    "cat", "concat", "concatenate", "hstack", "pad", "repeat", "repeat_interleave", "roll", "rot90", "stack", "tile",
    "tril", "triu", "vstack",
]  # fmt: skip
REMEMBERED = __all__  # see ops/public.py


# ---------------------------------------------------------------- cat


def _cat_infer(*inputs: Aval, dim: int) -> Spec:
    if not inputs:
        raise ShapeError("cat: takes at least one tensor")
    first = inputs[0]
    listed = ", ".join(str(tuple(x.shape)) for x in inputs[:8])
    if not 0 <= dim < len(first.shape):
        raise ShapeError(f"cat: dim={dim} must be an axis of {listed}")
    for x in inputs[1:]:
        if x.dtype != first.dtype:
            raise DTypeError(f"cat: dtypes {first.dtype} and {x.dtype} must be equal")
        if len(x.shape) != len(first.shape) or any(
            n != m for d, (n, m) in enumerate(zip(x.shape, first.shape)) if d != dim
        ):
            raise ShapeError(f"cat: shapes {listed} must be equal outside of dim={dim}")
    length = sum(x.shape[dim] for x in inputs)
    return (*first.shape[:dim], length, *first.shape[dim + 1 :]), first.dtype


def _cat_vjp(g: Any, out: Any, *inputs: Any, dim: int) -> tuple:
    return tuple(split(g, [x.shape[dim] for x in inputs], dim))


_cat = Op(
    "cat", kind="kernel", attrs={"dim": 0}, saves="",
    infer=_cat_infer,
    reference=lambda xp, *inputs, dim: xp.concatenate(inputs, axis=dim),
    vjp=_cat_vjp,
    onnx="Concat",
    samples=[
        Sample(((2, 3), (1, 3), (4, 3)), {"dim": 0}), Sample(((2, 3, 4), (2, 5, 4), (2, 0, 4)), {"dim": 1}),
        Sample(((3, 2), (3, 1)), {"dim": 1}), Sample(((5,),), {"dim": 0}), Sample(((90, 1),) * 3, {"dim": 1}),
        Sample(((60, 3, 50), (60, 0, 50), (60, 5, 50)), {"dim": 1}),
    ],
    doc="the inputs one after the other along dim",
)  # fmt: skip


def _stack_infer(*inputs: Aval, dim: int) -> Spec:
    if not inputs:
        raise ShapeError("stack: takes at least one tensor")
    first = inputs[0]
    if not 0 <= dim <= len(first.shape):
        raise ShapeError(f"stack: dim={dim} must be in [0, {len(first.shape)}] for {tuple(first.shape)}")
    for x in inputs[1:]:
        if x.dtype != first.dtype:
            raise DTypeError(f"stack: dtypes {first.dtype} and {x.dtype} must be equal")
        if x.shape != first.shape:
            raise ShapeError(f"stack: shapes {tuple(first.shape)} and {tuple(x.shape)} must be equal")
    return (*first.shape[:dim], len(inputs), *first.shape[dim:]), first.dtype


def _stack_vjp(g: Any, out: Any, *inputs: Any, dim: int) -> tuple:
    return unbind(g, dim)


_stack = Op(
    "stack", kind="kernel", kernel="cat", attrs={"dim": 0}, saves="",
    infer=_stack_infer,
    reference=lambda xp, *inputs, dim: xp.stack(inputs, axis=dim),
    vjp=_stack_vjp,
    samples=[
        Sample(((2, 3), (2, 3)), {"dim": 0}), Sample(((2, 3),) * 3, {"dim": 1}), Sample(((40, 7),) * 4, {"dim": 2}),
        Sample(((33,),) * 5, {"dim": 1}), Sample(((), ()), {"dim": 0}), Sample(((0, 2),) * 2, {"dim": 2}),
    ],
    doc="the inputs, all of one shape, along a new axis dim",
)  # fmt: skip


def cat(tensors: Sequence[Array], dim: int = 0) -> Array:
    """The tensors one after the other along `dim`; shapes agree elsewhere, dtypes are promoted.

    >>> import ranvier as rv
    >>> rv.cat([rv.zeros(2, 1), rv.ones(2, 2)], 1).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    tensors = _alike("cat", tensors)
    shapes = [t.shape for t in tensors]
    if (0,) in shapes:  # an empty vector goes with anything
        tensors = [t for t in tensors if t.shape != (0,)] or tensors[:1]
    return _cat(*tensors, dim=normalize_axis("cat", dim, len(tensors[0].shape)))


def _alike(name: str, tensors: Sequence[Any]) -> list:
    """The tensors with their dtypes promoted; raises where one of them is none."""
    tensors = list(tensors)
    if not tensors:
        raise ShapeError(f"{name}: takes at least one tensor")
    try:
        first = tensors[0].dtype
        for t in tensors:
            if t.dtype is not first:
                break
        else:
            return tensors
        dtype = promote(tensors)
    except DTypeError as error:
        raise DTypeError(f"{name}: {error}") from None
    except AttributeError:
        wrong = next(t for t in tensors if not hasattr(t, "dtype"))
        raise DTypeError(f"{name}: {wrong!r:.40} of type {type(wrong).__name__} must be a tensor or an array") from None
    return [t if t.dtype == dtype else t.to(dtype) if hasattr(t, "to") else t.astype(dtype) for t in tensors]


concat = concatenate = cat


def stack(tensors: Sequence[Array], dim: int = 0) -> Array:
    """The tensors, all of one shape, along a new axis `dim`.

    >>> import ranvier as rv
    >>> rv.stack([rv.zeros(2), rv.ones(2)]).shape
    (2, 2)
    """
    tensors = _alike("stack", tensors)
    return _stack(*tensors, dim=normalize_axis("stack", dim, len(tensors[0].shape) + 1))


def hstack(tensors: Sequence[Array]) -> Array:
    """cat along axis 1 (vectors: axis 0)."""
    tensors = [t if t.shape else reshape(t, (1,)) for t in tensors]
    return cat(tensors, 0 if tensors and len(tensors[0].shape) == 1 else 1)


def vstack(tensors: Sequence[Array]) -> Array:
    """cat along axis 0, after vectors have become rows."""
    return cat([t if len(t.shape) > 1 else reshape(t, (1, -1)) for t in tensors], 0)


# ---------------------------------------------------------------- pad


def _pad_infer(x: Aval, *, before: tuple, after: tuple, value: float) -> Spec:
    if len(before) != len(x.shape) or len(after) != len(x.shape) or min((*before, *after), default=0) < 0 or not before:
        raise ShapeError(f"pad: before={before} and after={after} must be sizes >= 0 for each axis of {tuple(x.shape)}")
    return tuple(b + n + a for b, n, a in zip(before, x.shape, after)), x.dtype


_pad = Op(
    "pad", kind="kernel", attrs={"before": (), "after": (), "value": 0.0}, saves="",
    infer=_pad_infer,
    reference=lambda xp, x, *, before, after, value: xp.pad(x, tuple(zip(before, after)), constant_values=value),
    vjp=lambda g, out, x, *, before, after, value: (_crop(g, before, x.shape),),
    onnx="Pad",
    samples=[
        Sample(((2, 3),), {"before": (1, 0), "after": (0, 2), "value": -1.5}),
        Sample(((4,),), {"before": (2,), "after": (3,)}),
        Sample(((2, 3, 0, 4),), {"before": (0, 1, 2, 1), "after": (0, 1, 0, 1)}),
        Sample(((1, 2, 5, 5),), {"before": (0, 0, 2, 2), "after": (0, 0, 2, 1), "value": 0.25}),
    ],
    doc="x with `before` and `after` places of `value` around it on each axis",
)  # fmt: skip


def _crop(x: Any, start: Sequence[int], shape: Sequence[int]) -> Any:
    return slice_op(x, index=tuple((s, n, 1) for s, n in zip(start, shape)))


def _edge_positions(mode: str, n: int, before: int, after: int) -> np.ndarray:
    """For each place of a padded axis the place of the axis of size n whose value it gets. Sizes below 0 crop."""
    at = np.arange(-before, n + after, dtype=int64)
    if mode == "replicate":
        return np.clip(at, 0, n - 1)
    if mode == "circular":  # what is left goes on with its own other end
        start = max(0, -before)
        return start + (at - start) % (n - start - max(0, -after))
    period = max(1, 2 * (n - 1))  # reflect: 0 1 2 .. n-1 .. 2 1
    at = at % period
    return np.minimum(at, period - at)


def pad(input: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    """`input` with a border. `pad` lists the sizes (before, after) from the last axis to the first.

    Modes: "constant" (filled with `value`, 0 by default), "reflect", "replicate" and "circular" (each size at most the
    axis; reflect: less than it). Sizes below 0 crop.

    >>> import ranvier as rv
    >>> rv.pad(rv.tensor([1.0, 2.0, 3.0]), (2, 1), mode="reflect").tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]
    """
    if not isinstance(pad, (tuple, list)):
        raise DTypeError(
            f"pad: pad={pad!r:.40} must list sizes, (before, after) of the last axis, then of the last but one"
        )
    sizes, ndim = as_sizes("pad", (pad,)), len(input.shape)
    if len(sizes) % 2 or len(sizes) > 2 * ndim:
        raise ShapeError(f"pad: pad={sizes} must be pairs of sizes for at most the {ndim} axes of {tuple(input.shape)}")
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ShapeError(f"pad: mode={mode!r} must be 'constant', 'reflect', 'replicate' or 'circular'")
    before, after = [0] * ndim, [0] * ndim
    for k in range(len(sizes) // 2):
        before[ndim - 1 - k], after[ndim - 1 - k] = sizes[2 * k : 2 * k + 2]
    if mode != "constant":
        if value not in (None, 0):
            raise ShapeError(f"pad: mode={mode!r} takes no value")
        return _pad_from_edges(input, mode, before, after)
    start = [max(0, -b) for b in before]
    kept = [n - s - max(0, -a) for n, s, a in zip(input.shape, start, after)]
    if min(kept, default=0) < 0:
        raise ShapeError(f"pad: pad={sizes} crops more than there is of {tuple(input.shape)}")
    inner = input if kept == list(input.shape) else _crop(input, start, kept)
    before, after = [max(0, b) for b in before], [max(0, a) for a in after]
    if not any(before) and not any(after):
        return apart(inner, input)
    value, around = fitting("pad", value or 0, input.dtype), {"before": tuple(before), "after": tuple(after)}
    if input.dtype == int64 and float(value) != value:  # the kernel takes a double
        return bitwise_xor(_pad(bitwise_xor(inner, value), **around, value=0.0), value)
    return _pad(inner, **around, value=float(value))


def _pad_from_edges(input: Any, mode: str, before: list, after: list) -> Any:
    out = input
    for d, (b, a) in enumerate(zip(before, after)):
        if b or a:
            n = input.shape[d]
            left = n + min(0, b) + min(0, a)
            limit = {"reflect": n - 1, "circular": left, "replicate": max(b, a) if n else 0}[mode]
            if max(b, a) > limit or n + b + a < 1:
                raise ShapeError(
                    f"pad: sizes ({b}, {a}) of axis {d} must be at most {max(limit, 0)} for mode={mode!r} and shape "
                    f"{tuple(input.shape)}, and leave something"
                )
            positions = _edge_positions(mode, n, b, a)
            out = index_get(out, positions if isinstance(input, np.ndarray) else from_numpy(positions), axes=(d,))
    return apart(out, input)


# ---------------------------------------------------------------- repeating and shifting


_AT_ONCE = 3  # axes: with what lies between them 7, and kernels take 8


def _tiled(input: Any, repeats: tuple) -> Any:
    shape = [1] * (len(repeats) - len(input.shape)) + list(input.shape)
    result = reshape(input, tuple(shape))
    axes = [d for d, r in enumerate(repeats) if r != 1]
    for k in range(0, len(axes), _AT_ONCE):
        thin, wide, start = [], [], 0
        for d in axes[k : k + _AT_ONCE]:
            between = math.prod(shape[start:d])
            thin += [between, 1]
            wide += [between, repeats[d]]
            start = d
        rest = math.prod(shape[start:])
        for d in axes[k : k + _AT_ONCE]:
            shape[d] *= repeats[d]
        result = reshape(expand(reshape(result, (*thin, rest)), (*wide, rest)), tuple(shape))
    return result


def repeat(input: Array, *repeats: Any) -> Array:
    """`input` side by side repeats[d] times along each axis; further repeats in front add axes.

    >>> import ranvier as rv
    >>> rv.repeat(rv.tensor([1, 2]), 2, 2).tolist()
    [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    counts = as_sizes("repeat", repeats)
    if len(counts) < len(input.shape) or min(counts, default=0) < 0:
        raise ShapeError(
            f"repeat: repeats={counts} must be numbers >= 0, at least as many as axes of {tuple(input.shape)}"
        )
    return apart(_tiled(input, counts), input)


def tile(input: Array, *dims: Any) -> Array:
    """The same as `repeat`, but missing numbers in front count as 1."""
    counts = as_sizes("tile", dims)
    if min(counts, default=0) < 0:
        raise ShapeError(f"tile: dims={counts} must be >= 0")
    return apart(_tiled(input, (1,) * (len(input.shape) - len(counts)) + counts), input)


def repeat_interleave(input: Array, repeats: Any, dim: int | None = None) -> Array:
    """Each element (or slice along `dim`) `repeats` times in a row; None: of the input as a vector.

    >>> import ranvier as rv
    >>> rv.repeat_interleave(rv.tensor([1, 2]), rv.tensor([2, 1])).tolist()
    [1, 1, 2]
    """
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    d = own_axis("repeat_interleave", dim, len(input.shape))
    n = input.shape[d]
    if isinstance(repeats, (int, np.integer)):
        if repeats < 0:
            raise ShapeError(f"repeat_interleave: repeats={repeats} must be >= 0")
        before, after = math.prod(input.shape[: d + 1]), math.prod(input.shape[d + 1 :])
        wide = expand(reshape(input, (before, 1, after)), (before, int(repeats), after))
        return apart(reshape(wide, (*input.shape[:d], n * int(repeats), *input.shape[d + 1 :])), input)
    counts = repeats._array("repeat_interleave's repeats") if isinstance(repeats, TensorBase) else np.asarray(repeats)
    if counts.shape not in ((n,), (1,), ()) or counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ShapeError(
            f"repeat_interleave: repeats of shape {counts.shape} must be {n} integers >= 0, one for each slice"
        )
    positions = np.repeat(np.arange(n, dtype=int64), np.broadcast_to(counts, (n,)))
    return index_get(input, positions if isinstance(input, np.ndarray) else as_tensor(positions), axes=(d,))


def roll(input: Array, shifts: Any, dims: Any = None) -> Array:
    """Elements moved by `shifts` places along `dims`, those that leave the end come in at the start; None: as a vector.

    >>> import ranvier as rv
    >>> rv.roll(rv.tensor([1, 2, 3]), 1).tolist()
    [3, 1, 2]
    """
    if dims is None:
        return reshape(roll(reshape(input, (-1,)), shifts, 0), tuple(input.shape))
    out = input
    shifts = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    dims = dims if isinstance(dims, (tuple, list)) else (dims,)
    if len(shifts) != len(dims):
        raise ShapeError(f"roll: shifts={tuple(shifts)} and dims={tuple(dims)} must be equally long")
    for shift, dim in zip(shifts, dims):
        d = own_axis("roll", dim, len(input.shape))
        n = input.shape[d]
        back = shift % n if n else 0
        if back:
            out = cat([narrow(out, d, n - back, back), narrow(out, d, 0, n - back)], d)
    return apart(out, input)


def rot90(input: Array, k: int = 1, dims: Sequence[int] = (0, 1)) -> Array:
    """`input` turned by k quarters in the plane of `dims`, from the first towards the second."""
    if len(dims) != 2 or len(normalize_axes("rot90", tuple(dims), len(input.shape))) != 2:
        raise ShapeError(f"rot90: dims={tuple(dims)} must be two axes of {tuple(input.shape)}")
    k %= 4
    if k == 0:
        return apart(input, input)
    if k == 2:
        return flip(input, *dims)
    return transpose(flip(input, dims[1]), *dims) if k == 1 else flip(transpose(input, *dims), dims[1])


# ---------------------------------------------------------------- triangles


def _triangle_infer(x: Aval, *, diagonal: int, upper: bool) -> Spec:
    if len(x.shape) < 2:
        raise ShapeError(f"{'triu' if upper else 'tril'}: shape {tuple(x.shape)} must have at least 2 axes")
    return tuple(x.shape), x.dtype


_triangle: Op = Op(
    "triangle", kind="kernel", attrs={"diagonal": 0, "upper": False}, saves="",
    infer=_triangle_infer,
    reference=lambda xp, x, *, diagonal, upper: (xp.triu if upper else xp.tril)(x, diagonal),
    vjp=lambda g, out, x, *, diagonal, upper: (_triangle(g, diagonal=diagonal, upper=upper),),
    onnx="Trilu",
    samples=[Sample(((4, 5),), {"diagonal": d, "upper": u}) for d in (-6, -1, 0, 2, 7) for u in (False, True)]
    + [Sample(((2, 3, 3),)), Sample(((2, 0),))],
    doc="of each matrix the part on and below (upper: above) a diagonal, else 0",
)  # fmt: skip


def tril(input: Array, diagonal: int = 0) -> Array:
    """Each matrix of `input` with 0 above the diagonal.

    >>> import ranvier as rv
    >>> rv.tril(rv.ones(2, 2)).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _triangle(input, diagonal=int(diagonal), upper=False)


def triu(input: Array, diagonal: int = 0) -> Array:
    """Each matrix of `input` with 0 below the diagonal."""
    return _triangle(input, diagonal=int(diagonal), upper=True)
