"""Pooling: the greatest, the mean or the p-norm of each window of an image."""

from __future__ import annotations

import functools
import math
from itertools import product
from typing import Any

import numpy as np

from ..core.dtypes import int64, is_float, uint8
from ..core.errors import DomainError, DTypeError, ShapeError
from .activation import relu
from .blend import Taps, blend
from .convolution import Axes, batched, per_axis, threefold
from .elementwise import abs as _abs
from .elementwise import add, cast_to, clamp, floor_divide, mul, pow, remainder, sign, where
from .index import gather, scatter
from .public import Array
from .record import Aval, Op, Sample, Spec
from .reduction import mean
from .shape import beside, reshape, squeeze

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d", "max_pool1d",
    "max_pool2d", "max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


_ALL = (slice(None), slice(None))


# ---------------------------------------------------------------- windows


def windows(name: str, n: int, k: int, stride: int, padding: int, dilation: int, *, ceil_mode: bool) -> int:
    """How many windows an axis of n has. With ceil_mode the last one may reach over the end, but must begin before it."""
    span = n + 2 * padding - dilation * (k - 1) - 1
    count = (-(-span // stride) if ceil_mode else span // stride) + 1
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    if count < 1:
        raise ShapeError(
            f"{name}: a window of {dilation * (k - 1) + 1} is larger than the padded axis, {n} + 2 * {padding}"
        )
    return count


def _adaptive_bounds(n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the m windows of an axis of n begin and end: they share it out, and may overlap by one."""
    i = np.arange(m)
    return i * n // m, -(-(i + 1) * n // m)


# ---------------------------------------------------------------- the greatest

_WINDOWS: dict[str, Any] = {
    "kernel": (1, 1),
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "adaptive": False,
}


def _places_dtype(kernel: Axes, adaptive: bool) -> np.dtype:
    """Of what the gradient reads: the number of an element in its window where a byte holds it, else in its plane."""
    return uint8 if not adaptive and math.prod(kernel) <= 256 else int64


def _max_infer(x: Aval, *, size: Axes, training: bool, kernel: Axes, adaptive: bool, **attrs: Axes) -> Any:
    if not is_float(x.dtype):
        raise DTypeError(f"max_pool: dtype {x.dtype} must be float32 or float64")
    shape = (*x.shape[:2], *size)
    values = shape, x.dtype
    return [values, (shape, _places_dtype(kernel, adaptive))] if training else values


def _places_infer(x: Aval, *, size: Axes, **attrs: Any) -> list[Spec]:
    values = _max_infer(x, size=size, training=False, **attrs)
    return [values, (values[0], int64)]


def _seen(i: int, n: int, m: int, k: int, stride: int, padding: int, dilation: int, *, adaptive: bool) -> tuple:
    """The places of an axis that window i of m sees, and their numbers in the window."""
    if adaptive:
        begin, end = (int(bound[i]) for bound in _adaptive_bounds(n, m))
        return np.arange(begin, end), np.arange(end - begin)
    at = i * stride - padding + dilation * np.arange(k)
    inside = (at >= 0) & (at < n)
    return at[inside], np.arange(k)[inside]


def _each_window(
    sizes: Axes, size: Axes, kernel: Axes, stride: Axes, padding: Axes, dilation: Axes, adaptive: bool
) -> Any:
    """Each window with the flat numbers, in the plane and in the window, of what it sees."""
    places = np.arange(math.prod(sizes)).reshape(sizes)
    taps = np.arange(math.prod(kernel)).reshape(kernel)
    for window in product(*map(range, size)):
        axes = zip(window, sizes, size, kernel, stride, padding, dilation)
        each = [_seen(*axis, adaptive=adaptive) for axis in axes]
        flat = places[np.ix_(*(at for at, _ in each))].ravel()
        yield window, flat, None if adaptive else taps[np.ix_(*(tap for _, tap in each))].ravel()


def _max_reference(xp: Any, x: Any, *, size: Axes, training: bool, **attrs: Any) -> Any:
    values = np.full((*x.shape[:2], *size), -np.inf, x.dtype)
    places = np.zeros(values.shape, _places_dtype(attrs["kernel"], attrs["adaptive"]))
    if places.dtype == int64:
        places[...] = -1
    for window, flat, taps in _each_window(x.shape[2:], size, **attrs) if values.size else ():
        if len(flat):
            seen = x.reshape(*x.shape[:2], -1)[..., flat]
            best = np.argmax(seen, -1)
            values[_ALL + window] = np.take_along_axis(seen, best[..., None], -1)[..., 0]
            places[_ALL + window] = (flat if places.dtype == int64 else taps)[best]
    return (values, places) if training else values


def _max_elements(x: Aval, *, size: Axes, **attrs: Any) -> int:
    """How many elements all windows see."""
    names = ("kernel", "stride", "padding", "dilation")
    axes = zip(x.shape[2:], size, *(attrs[name] for name in names))
    seen = [sum(len(_seen(i, n, m, *rest, adaptive=attrs["adaptive"])[0]) for i in range(m)) for n, m, *rest in axes]
    return math.prod((*x.shape[:2], *seen))


def _places_reference(xp: Any, x: Any, *, size: Axes, **attrs: Any) -> Any:
    values, places = _max_reference(xp, x, size=size, training=True, **attrs)
    return values, _plane_places(places, x.shape[2:], size, **attrs)


def _plane_places(places: np.ndarray, sizes: Axes, size: Axes, **attrs: Any) -> np.ndarray:
    """Numbers in windows as numbers in the plane; -1 where the window sees nothing."""
    if places.dtype == int64 or not places.size:
        return places.astype(int64)
    table = np.full((math.prod(size), math.prod(attrs["kernel"])), -1)
    for row, (_, flat, taps) in zip(table, _each_window(sizes, size, **attrs)):
        row[taps] = flat
    at = places.reshape(-1, len(table)).astype(int64)
    return table[np.arange(len(table)), at].reshape(places.shape)


def _max_vjp(g: Any, out: Any, x: Any, *, size: Axes, training: bool = False, **attrs: Any) -> tuple:
    return (None if g[0] is None else _max_pool_grad(g[0], out[1], plane=tuple(x.shape[2:]), **attrs),)


def _grad_infer(g: Aval, places: Aval, *, plane: Axes, kernel: Axes, adaptive: bool, **attrs: Axes) -> Spec:
    if not is_float(g.dtype) or places.dtype not in (int64, _places_dtype(kernel, adaptive)):
        raise DTypeError(f"max_pool_grad: dtypes {g.dtype} and {places.dtype} must be of a pooling's values and places")
    return (*g.shape[:2], *plane), g.dtype


def _grad_reference(xp: Any, g: Any, places: Any, *, plane: Axes, **attrs: Any) -> Any:
    n, flat = math.prod(plane), (-1, math.prod(g.shape[2:]))
    at = _plane_places(places, plane, g.shape[2:], **attrs)
    dx = np.zeros((math.prod(g.shape[:2]), n + 1), g.dtype)  # the last one for windows that see nothing
    if g.size:
        np.add.at(dx, (np.arange(len(dx))[:, None], at.reshape(flat)), g.reshape(flat))
    return dx[:, :n].reshape(*g.shape[:2], *plane)


def _grad_vjp(h: Any, out: Any, g: Any, places: Any, *, plane: Axes, **attrs: Any) -> tuple:
    """What `h` has at the places."""
    size = tuple(g.shape[2:])
    at, lost = places, np.zeros(size, bool)  # lost: windows that see nothing
    if places.dtype == uint8:
        tap, at = cast_to(places, int64), 0
    steps = zip(size, plane, attrs["kernel"], attrs["stride"], attrs["padding"], attrs["dilation"])
    for d, (m, n, k, stride, padding, dilation) in enumerate(steps):
        tail = (1,) * (len(size) - 1 - d)
        each = [_seen(i, n, m, k, stride, padding, dilation, adaptive=attrs["adaptive"])[0] for i in range(m)]
        lost |= np.array([not len(seen) for seen in each], bool).reshape(m, *tail)
        if places.dtype == uint8:
            begin = (np.arange(m) * stride - padding).reshape(m, *tail)
            own = remainder(floor_divide(tap, math.prod(attrs["kernel"][d + 1 :])), k)
            at = add(mul(at, n), add(mul(own, dilation), beside(begin, places)))
    shape = (*g.shape[:2], math.prod(size))
    at = clamp(reshape(at, shape), 0, max(math.prod(plane) - 1, 0))
    found = reshape(gather(reshape(h, (*h.shape[:2], math.prod(plane))), 2, at), g.shape)
    return where(beside(lost, places), 0.0, found) if lost.any() else found, None


def _max_encode(*avals: Aval, adaptive: bool, **attrs: Any) -> dict[str, Any]:
    fills = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {**{key: threefold(attrs[key], fill) for key, fill in fills.items()}, "adaptive": adaptive}


def _max_sample(
    shape: tuple, kernel: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Sample:
    ndim = len(shape) - 2
    axes = [per_axis("max_pool", "", v, ndim, 0) for v in (kernel, stride, padding, dilation)]
    size = tuple(windows("max_pool", *one, ceil_mode=ceil) for one in zip(shape[2:], *axes))
    names = dict(zip(("kernel", "stride", "padding", "dilation"), axes))
    return Sample((shape,), {"size": size, **names, "adaptive": False})


def _max_adaptive_sample(shape: tuple, size: tuple) -> Sample:
    one = (1,) * len(size)
    attrs = {"size": size, "kernel": one, "stride": one, "padding": (0,) * len(size), "dilation": one, "adaptive": True}
    return Sample((shape,), attrs)


_MAX_SAMPLES = (
    _max_sample((2, 3, 8, 10), 2, 2),
    _max_sample((2, 3, 9, 7), 3, 2, 1),
    _max_sample((1, 2, 11), 3, 2, 1, 2),
    _max_sample((2, 2, 5, 6, 4), (2, 3, 1), 1, (0, 1, 0)),
    _max_sample((1, 2, 6, 7), 2, 3, 1, ceil=True),
    _max_sample((0, 2, 6, 7), 2, 2),
    _max_adaptive_sample((2, 3, 7, 5), (3, 2)),
    _max_adaptive_sample((2, 3, 4), (6,)),
    _max_sample((3, 4, 32, 33), 2, 2),
    _max_sample((2, 3, 20, 71), 3, 2, 1),
    _max_sample((1, 2, 9, 40), 3, 1, 1, 2),
    _max_sample((1, 2, 1, 3), 2, 2, 1, 2),  # a window between the padding of both sides sees nothing
    _max_sample((1, 1, 40, 36), 17, 3),  # more elements than a byte can number
)
_max_pool = Op(
    "max_pool",
    kind="kernel",
    attrs={"size": (1, 1), **_WINDOWS, "training": False},
    infer=_max_infer,
    reference=_max_reference,
    vjp=_max_vjp,
    saves="o1",
    extras=1,
    picks=True,
    encode=_max_encode,
    elements=_max_elements,
    samples=_MAX_SAMPLES,
    onnx="MaxPool",
)
_max_pool_places = Op(
    "max_pool_places",
    kind="kernel",
    kernel="max_pool",
    attrs={"size": (1, 1), **_WINDOWS},
    infer=_places_infer,
    reference=_places_reference,
    vjp=_max_vjp,
    picks=True,
    saves="o1",
    encode=_max_encode,
    elements=_max_elements,
    samples=_MAX_SAMPLES,
)


def _grad_samples() -> tuple[Sample, ...]:
    samples = []
    for k, sample in enumerate(_MAX_SAMPLES):
        ((shape,), attrs), reference = (sample.inputs, dict(sample.attrs)), (_max_reference, _places_reference)[k % 2]
        x = np.random.default_rng(k).normal(size=shape)
        size = attrs.pop("size")
        _, places = reference(np, x, size=size, **attrs, **({"training": True} if k % 2 == 0 else {}))
        samples.append(Sample(((*shape[:2], *size), places), {"plane": shape[2:], **attrs}))
    return tuple(samples)


_max_pool_grad = Op(
    "max_pool_grad",
    kind="kernel",
    attrs={"plane": (1, 1), **_WINDOWS},
    infer=_grad_infer,
    reference=_grad_reference,
    vjp=_grad_vjp,
    saves="i1",
    puts=True,
    encode=_max_encode,
    elements=lambda g, places, **attrs: math.prod(g.shape),
    terms=lambda g, places, *, kernel, **attrs: math.prod(kernel),
    samples=_grad_samples,
    doc="what the gradient of a pooling's results gives back to the places that they came from",
)


def _pooled(input: Any, alone: bool, return_indices: bool, attrs: dict[str, Any]) -> Any:
    if not return_indices:
        values = _max_pool(input, **attrs)
        return squeeze(values, 0) if alone else values
    found = _max_pool_places(input, **attrs)
    return tuple(squeeze(one, 0) for one in found) if alone else found


def _max(
    ndim: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    name = f"max_pool{ndim}d"
    kernel = per_axis(name, "kernel_size", kernel_size, ndim)
    strides = kernel if stride is None or stride == () else per_axis(name, "stride", stride, ndim)
    padding = per_axis(name, "padding", padding, ndim, 0)
    dilation = per_axis(name, "dilation", dilation, ndim)
    input, alone = batched(name, input, ndim)
    _need_half(name, kernel, padding)
    if 0 in input.shape[1:]:
        raise ShapeError(f"{name}: x{tuple(input.shape)} must have channels and places; the batch alone may be empty")
    axes = zip(input.shape[2:], kernel, strides, padding, dilation)
    size = tuple(windows(name, *one, ceil_mode=ceil_mode) for one in axes)
    attrs = {"kernel": kernel, "stride": strides, "padding": padding, "dilation": dilation, "adaptive": False}
    return _pooled(input, alone, return_indices, {"size": size, **attrs})


def _need_half(name: str, kernel: Axes, padding: Axes) -> None:
    if any(2 * p > k for p, k in zip(padding, kernel)):
        raise ShapeError(f"{name}: padding={padding} must be at most half of kernel_size={kernel}")


def max_pool1d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array:  # fmt: skip
    """The greatest of each window of (N, C, L) or (C, L), as `max_pool2d`."""
    return _max(1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array:  # fmt: skip
    """The greatest of each window of (N, C, H, W) or (C, H, W): kernel_size apart, or `stride`. What is outside counts as
    -inf. Of equals the first one gets the gradient; a NaN is the greatest.

    ceil_mode: windows that reach over the end count too. return_indices: also the place of each in its plane, h W + w; -1
    for a window that sees padding alone.

    >>> import ranvier as rv
    >>> rv.max_pool2d(rv.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _max(2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array:  # fmt: skip
    """The greatest of each window of (N, C, D, H, W) or (C, D, H, W), as `max_pool2d`."""
    return _max(3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _adaptive_size(name: str, output_size: Any, sizes: tuple[int, ...]) -> Axes:
    ndim = len(sizes)
    wanted = (output_size,) * ndim if not isinstance(output_size, (tuple, list)) else tuple(output_size)
    if len(wanted) != ndim:
        raise ShapeError(f"{name}: output_size={output_size!r} must be an integer, None, or {ndim} of them")
    return per_axis(name, "output_size", tuple(n if m is None else m for m, n in zip(wanted, sizes)), ndim, 0)


def _adaptive_max(ndim: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    name = f"adaptive_max_pool{ndim}d"
    input, alone = batched(name, input, ndim)
    _need_places(name, input)
    one = (1,) * ndim
    size = _adaptive_size(name, output_size, input.shape[2:])
    attrs = {"kernel": one, "stride": one, "padding": (0,) * ndim, "dilation": one, "adaptive": True}
    return _pooled(input, alone, return_indices, {"size": size, **attrs})


def _need_places(name: str, input: Any) -> None:
    if 0 in input.shape[2:]:
        raise ShapeError(f"{name}: x{tuple(input.shape)} has no places to pool")


def adaptive_max_pool1d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """The greatest of each of `output_size` windows that share out the axis of (N, C, L) or (C, L)."""
    return _adaptive_max(1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """The greatest of each of `output_size` windows (None: as many as there are places) that share out H and W: window i
    of m sees places floor(i n / m) to ceil((i + 1) n / m) - 1."""
    return _adaptive_max(2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Array, output_size: Any, return_indices: bool = False) -> Array:
    """As `adaptive_max_pool2d`, of (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive_max(3, input, output_size, return_indices)


# ---------------------------------------------------------------- back to where they came from


def _max_unpool(
    ndim: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Any:
    name = f"max_unpool{ndim}d"
    kernel = per_axis(name, "kernel_size", kernel_size, ndim)
    strides = kernel if stride is None or stride == () else per_axis(name, "stride", stride, ndim)
    padding = per_axis(name, "padding", padding, ndim, 0)
    if tuple(input.shape) != tuple(indices.shape):
        raise ShapeError(f"{name}: x{tuple(input.shape)} and indices{tuple(indices.shape)} must have one shape")
    (input, alone), (indices, _) = batched(name, input, ndim), batched(name, indices, ndim)
    least = tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(input.shape[2:], kernel, strides, padding))
    size = least if output_size is None else per_axis(name, "output_size", tuple(output_size)[-ndim:], ndim, 0)
    if any(not low - s < n < low + s for n, low, s in zip(size, least, strides)):
        raise ShapeError(f"{name}: output_size={size} must be less than stride={strides} away from {least}")
    flat = (*input.shape[:2], math.prod(input.shape[2:]))
    out = scatter(
        beside(np.zeros((*input.shape[:2], math.prod(size)), input.dtype), input),
        2,
        reshape(indices, flat),
        reshape(input, flat),
    )
    out = reshape(out, (*input.shape[:2], *size))
    return squeeze(out, 0) if alone else out


def max_unpool1d(
    input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Array:
    """Zeros, but `input` at the places `indices` that `max_pool1d` gave."""
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Array:
    """Zeros, but `input` at the places `indices` that `max_pool2d` gave; `output_size`, of several that would have given
    them. OutOfRangeError for a place outside of the plane.

    >>> import ranvier as rv
    >>> x, places = rv.max_pool2d(rv.arange(4.0).reshape(1, 1, 2, 2), 2, return_indices=True)
    >>> rv.max_unpool2d(x, places, 2).tolist()
    [[[[0.0, 0.0], [0.0, 3.0]]]]
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Array:
    """Zeros, but `input` at the places `indices` that `max_pool3d` gave."""
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


# ---------------------------------------------------------------- means


@functools.lru_cache(512)
def _sums(n: int, m: int, k: int, stride: int, padding: int, divide: str) -> Taps:
    """Sums of windows; divide: by what they see of the axis ("seen") and its padding ("padded"), or not ("")."""
    begin = np.arange(m) * stride - padding
    end = np.minimum(begin + k, n + padding)
    return _window_sums(
        n, np.maximum(begin, 0), np.minimum(end, n), end - begin if divide == "padded" else None, divide
    )


@functools.lru_cache(512)
def shares(n: int, m: int) -> Taps:
    """Means of adaptive windows."""
    return _window_sums(n, *_adaptive_bounds(n, m), None, "seen")


def _window_sums(n: int, begin: np.ndarray, end: np.ndarray, counts: Any, divide: str) -> Taps:
    at = begin[:, None] + np.arange(max(int((end - begin).max(initial=0)), 1))
    weights = (at < end[:, None]).astype(np.float64)
    if divide:
        weights /= np.maximum(end - begin if counts is None else counts, 1)[:, None]
    return Taps(n, at, weights)


def over_axes(input: Any, maps: list[Taps], without: tuple[int, ...] = ()) -> Any:
    """`maps` along the spatial axes of `input` that are not `without`, those that shrink it first."""
    order = sorted(range(len(maps)), key=lambda d: len(maps[d].start) / max(maps[d].n, 1))
    for d in order:
        if 2 + d not in without:
            input = blend(input, dim=2 + d, taps=maps[d])
    return input


def _avg(
    ndim: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Any,
) -> Any:
    name = f"avg_pool{ndim}d"
    kernel = per_axis(name, "kernel_size", kernel_size, ndim)
    strides = kernel if stride is None or stride == () else per_axis(name, "stride", stride, ndim)
    padding = per_axis(name, "padding", padding, ndim, 0)
    input, alone = batched(name, input, ndim)
    _need_half(name, kernel, padding)
    if divisor == 0:
        raise DomainError(f"{name}: divisor_override must not be 0")
    divide = "" if divisor is not None else "padded" if count_include_pad else "seen"
    maps = [
        _sums(n, windows(name, n, k, s, p, 1, ceil_mode=ceil_mode), k, s, p, divide)
        for n, k, s, p in zip(input.shape[2:], kernel, strides, padding)
    ]
    out = over_axes(input, maps)
    if divisor is not None:
        out = mul(out, 1 / divisor)
    return squeeze(out, 0) if alone else out


def avg_pool1d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:  # fmt: skip
    """The mean of each window of (N, C, L) or (C, L), as `avg_pool2d`."""
    return _avg(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Array:  # fmt: skip
    """The mean of each window of (N, C, H, W) or (C, H, W): the sum over what it sees, divided by its size with the zeros
    of the padding (count_include_pad) or without, or by `divisor_override`.

    >>> import ranvier as rv
    >>> rv.avg_pool2d(rv.ones(1, 1, 4, 4), 2, padding=1)[0, 0, 0].tolist()
    [0.25, 0.5, 0.25]
    """
    return _avg(2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Array:  # fmt: skip
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W), as `avg_pool2d`."""
    return _avg(3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _adaptive_avg(ndim: int, input: Any, output_size: Any) -> Any:
    name = f"adaptive_avg_pool{ndim}d"
    input, alone = batched(name, input, ndim)
    _need_places(name, input)
    size = _adaptive_size(name, output_size, input.shape[2:])
    whole = tuple(axis for axis, m in enumerate(size, 2) if m == 1)
    if whole and is_float(input.dtype):
        input = mean(input, whole, True)
    out = over_axes(input, [shares(n, m) for n, m in zip(input.shape[2:], size)], whole)
    return squeeze(out, 0) if alone else out


def adaptive_avg_pool1d(input: Array, output_size: Any) -> Array:
    """The mean of each of `output_size` windows that share out the axis of (N, C, L) or (C, L)."""
    return _adaptive_avg(1, input, output_size)


def adaptive_avg_pool2d(input: Array, output_size: Any) -> Array:
    """The mean of each of `output_size` windows (None: as many as there are places) that share out H and W: window i of m
    sees places floor(i n / m) to ceil((i + 1) n / m) - 1. Size 1 is global average pooling."""
    return _adaptive_avg(2, input, output_size)


def adaptive_avg_pool3d(input: Array, output_size: Any) -> Array:
    """As `adaptive_avg_pool2d`, of (N, C, D, H, W) or (C, D, H, W)."""
    return _adaptive_avg(3, input, output_size)


def _lp(ndim: int, input: Any, norm_type: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = per_axis(f"lp_pool{ndim}d", "kernel_size", kernel_size, ndim)
    found = _avg(ndim, pow(input, norm_type), kernel, stride, 0, ceil_mode, True, None)
    return pow(mul(mul(sign(found), relu(_abs(found))), float(math.prod(kernel))), 1 / norm_type)


def lp_pool1d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p over each window)^(1/p), p = norm_type, of (N, C, L) or (C, L)."""
    return _lp(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p over each window)^(1/p), p = norm_type, of (N, C, H, W) or (C, H, W)."""
    return _lp(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Array:
    """(sum of x^p over each window)^(1/p), p = norm_type, of (N, C, D, H, W) or (C, D, H, W)."""
    return _lp(3, input, norm_type, kernel_size, stride, ceil_mode)
