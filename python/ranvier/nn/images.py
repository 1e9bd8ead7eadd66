"""Images resized, rearranged and sampled, as functions; functional.py offers them."""

from __future__ import annotations

import functools
import math
from itertools import product
from typing import Any

import numpy as np

from .. import ops
from ..core.dtypes import is_float
from ..core.errors import DomainError, DTypeError, ShapeError
from ..ops.blend import Taps
from ..ops.convolution import batched, out_size, per_axis
from ..ops.pooling import over_axes, shares
from ..ops.public import Array
from ..ops.shape import beside, embed_op

__all__ = [
    "affine_grid", "channel_shuffle", "fold", "grid_sample", "interpolate", "pixel_shuffle", "pixel_unshuffle", "unfold",
    "upsample", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip


# ---------------------------------------------------------------- resizing

_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}
_MODES = ("nearest", "nearest-exact", "area", *_LINEAR)
_CUBIC = -0.75  # a of Keys' kernel (1981), as in PyTorch and OpenCV


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    x, a = np.abs(x), _CUBIC
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@functools.lru_cache(512)
def _resize_taps(n: int, m: int, mode: str, align_corners: bool, scale: float | None, antialias: bool) -> Taps:
    """One axis of n places resized to m; scale: places of the result for one of the axis, where it is not m / n."""
    i = np.arange(m)
    if mode in ("nearest", "nearest-exact"):
        step = np.float32(1 / scale if scale else n / m)  # in float32, as PyTorch: places at an edge depend on it
        at = np.floor((i + (0.5 if mode == "nearest-exact" else 0)).astype(np.float32) * step).astype(np.int64)
        return Taps(n, at[:, None], np.ones((m, 1)))
    if mode == "area":
        return shares(n, m)
    cubic = mode == "bicubic"
    if n == m and not cubic and not antialias:
        scale = None  # PyTorch copies such an axis, whatever the scale
    step = 1 / scale if scale else n / m
    if align_corners:
        step = (n - 1) / (m - 1) if m > 1 else 0.0
    place = i * step if align_corners and not antialias else (i + 0.5) * step - 0.5
    if antialias:
        wide = max(step, 1.0)
        reach = (2 if cubic else 1) * wide
        begin = np.maximum(np.floor(place - reach + 1.0).astype(np.int64), 0)
        at = begin[:, None] + np.arange(math.ceil(reach) * 2 + 1)
        x = (at - place[:, None]) / wide
        weights = _keys_half(x) if cubic else np.maximum(1 - np.abs(x), 0)
        weights = np.where(at < n, weights, 0)
        return Taps(n, at, weights / weights.sum(1, keepdims=True))
    if cubic:
        at = np.floor(place).astype(np.int64)[:, None] + np.arange(-1, 3)
        return Taps(n, at, _keys(at - place[:, None]))
    place = np.maximum(place, 0)
    low = np.minimum(place.astype(np.int64), n - 1)
    part = np.clip(place - low, 0, 1)
    return Taps(n, np.stack([low, low + 1], 1), np.stack([1 - part, part], 1))


def _keys_half(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2, which antialiased resizing takes, as Pillow does."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def interpolate(
    input: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> Array:  # fmt: skip
    """(N, C, ...) with one to three spatial axes, resized to `size` or by `scale_factor` (floor(n s) places).

    mode: "nearest", "nearest-exact", "area" (means of adaptive windows), "linear" (three axes in all), "bilinear" and
    "bicubic" (four), "trilinear" (five). Place i of m takes from (i + 0.5) n / m - 0.5; with align_corners from
    i (n - 1) / (m - 1), so that the ends meet. A given scale_factor takes the place of n / m, unless
    recompute_scale_factor; linear modes copy axes that stay as long as they are. antialias: windows of shrinking images
    grow with the step, bilinear and bicubic only.

    >>> import ranvier as rv
    >>> import ranvier.nn.functional as F
    >>> F.interpolate(rv.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear").tolist()
    [[[1.0, 1.5, 2.5, 3.0]]]
    """
    ndim = len(input.shape) - 2
    if mode not in _MODES:
        raise DomainError(f"interpolate: mode={mode!r} must be one of {', '.join(_MODES)}")
    if not 1 <= ndim <= 3 or _LINEAR.get(mode, ndim) != ndim:
        raise ShapeError(
            f"interpolate: x{tuple(input.shape)} has {ndim} spatial axes, which mode={mode!r} does not take"
        )
    if align_corners is not None and mode not in _LINEAR:
        raise DomainError(f"interpolate: align_corners goes with the linear and cubic modes, not {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise DomainError(f"interpolate: antialias goes with bilinear and bicubic, not {mode!r}")
    if (size is None) == (scale_factor is None):
        raise ShapeError("interpolate: give either size or scale_factor")
    sizes = input.shape[2:]
    scales: list = [None] * ndim
    if size is not None:
        wanted = per_axis("interpolate", "size", size, ndim)
    else:
        scales = [
            float(s) for s in (scale_factor if isinstance(scale_factor, (tuple, list)) else [scale_factor] * ndim)
        ]
        if len(scales) != ndim:
            raise ShapeError(f"interpolate: scale_factor={scale_factor!r} must be a number or {ndim} of them")
        wanted = tuple(math.floor(n * s) for n, s in zip(sizes, scales))
        if min(wanted) < 1:
            raise ShapeError(
                f"interpolate: scale_factor={scale_factor!r} of x{tuple(input.shape)} leaves nothing: {wanted}"
            )
        if recompute_scale_factor:
            scales = [None] * ndim
    if 0 in sizes:
        raise ShapeError(f"interpolate: x{tuple(input.shape)} has no places to take from")
    if not is_float(input.dtype):
        raise DTypeError(f"interpolate: dtype {input.dtype} must be float32 or float64")
    each = zip(sizes, wanted, scales)
    return over_axes(input, [_resize_taps(n, m, mode, bool(align_corners), s, antialias) for n, m, s in each])


def upsample(
    input: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Array:
    """`interpolate` under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """`interpolate(mode="nearest")` under its old name."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """`interpolate(mode="bilinear", align_corners=True)` under its old name."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---------------------------------------------------------------- rearranging


def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """(..., C r^2, H, W) -> (..., C, H r, W r): channel c r^2 + i r + j becomes place (i, j) of each r x r block."""
    r = upscale_factor
    if len(input.shape) < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the channels of x{tuple(input.shape)} must divide by upscale_factor^2 = {r * r}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    x = ops.reshape(input, (*lead, c // (r * r), r, r, h, w))
    x = ops.permute(x, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return ops.reshape(x, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """(..., C, H r, W r) -> (..., C r^2, H, W): the inverse of `pixel_shuffle`."""
    r = downscale_factor
    if len(input.shape) < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle: the last two axes of x{tuple(input.shape)} must divide by downscale_factor={r}"
        )
    *lead, c, h, w = input.shape
    n = len(lead)
    x = ops.reshape(input, (*lead, c, h // r, r, w // r, r))
    x = ops.permute(x, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return ops.reshape(x, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Array, groups: int) -> Array:
    """(N, C, ...): channels of the groups in turns, the first of each, then the second of each."""
    if len(input.shape) < 3 or groups < 1 or input.shape[1] % groups:
        raise ShapeError(f"channel_shuffle: the channels of x{tuple(input.shape)} must divide by groups={groups}")
    n, c, *rest = input.shape
    x = ops.transpose(ops.reshape(input, (n, groups, c // groups, *rest)), 1, 2)
    return ops.reshape(x, tuple(input.shape))


def _blocks(name: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple:
    return (
        per_axis(name, "kernel_size", kernel_size, 2), per_axis(name, "dilation", dilation, 2),
        per_axis(name, "padding", padding, 2, 0), per_axis(name, "stride", stride, 2),
    )  # fmt: skip


def unfold(input: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """The windows of (N, C, H, W) as columns: (N, C h w, places), channel by channel, tap by tap."""
    kernel, dilations, paddings, strides = _blocks("unfold", kernel_size, dilation, padding, stride)
    input, alone = batched("unfold", input, 2)
    n, c = input.shape[:2]
    sizes = tuple(map(out_size, input.shape[2:], kernel, strides, paddings, dilations))
    if min(sizes) < 1:
        raise ShapeError(f"unfold: x{tuple(input.shape)} has no room for windows of {kernel}: {sizes}")
    (ph, pw), (dh, dw), (sh, sw), (oh, ow) = paddings, dilations, strides, sizes
    padded = ops.pad(input, (pw, pw, ph, ph))
    taps = [
        padded[:, :, i * dh : i * dh + (oh - 1) * sh + 1 : sh, j * dw : j * dw + (ow - 1) * sw + 1 : sw]
        for i, j in product(*map(range, kernel))
    ]
    out = ops.reshape(ops.stack(taps, 2), (n, c * len(taps), oh * ow))
    return ops.squeeze(out, 0) if alone else out


def fold(
    input: Array, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Array:
    """The transpose of `unfold`: columns (N, C h w, places) added into images (N, C, *output_size) where they came from."""
    kernel, dilations, paddings, strides = _blocks("fold", kernel_size, dilation, padding, stride)
    height, width = per_axis("fold", "output_size", output_size, 2)
    alone = len(input.shape) == 2
    if alone:
        input = ops.unsqueeze(input, 0)
    (ph, pw), (dh, dw), (sh, sw) = paddings, dilations, strides
    oh, ow = map(out_size, (height, width), kernel, strides, paddings, dilations)
    taps = kernel[0] * kernel[1]
    if len(input.shape) != 3 or input.shape[1] % taps or input.shape[2] != oh * ow:
        raise ShapeError(
            f"fold: x{tuple(input.shape)} must be (N, C * {taps}, {oh * ow}), for {oh} x {ow} windows of {kernel}"
        )
    n, c = input.shape[0], input.shape[1] // taps
    columns = ops.reshape(input, (n, c, taps, oh, ow))
    out: Any = None
    for tap, (i, j) in enumerate(product(*map(range, kernel))):
        index = ((0, n, 1), (0, c, 1), (i * dh, oh, sh), (j * dw, ow, sw))
        part = embed_op(columns[:, :, tap], shape=(n, c, height + 2 * ph, width + 2 * pw), indices=(index,))
        out = part if out is None else ops.add(out, part)
    out = out[:, :, ph : ph + height, pw : pw + width]
    return ops.squeeze(out, 0) if alone else out


# ---------------------------------------------------------------- sampling


def affine_grid(theta: Array, size: Any, align_corners: bool = False) -> Array:
    """Places for `grid_sample`: theta (N, 2, 3) applied to the (x, y, 1) of every pixel of an (N, C, H, W) image, as
    (N, H, W, 2); or (N, 3, 4) for (N, C, D, H, W). Coordinates run from -1 to 1 between the outer edges of the corner
    pixels, or, with align_corners, between their centres."""
    size = tuple(size)
    ndim = len(size) - 2
    if ndim not in (2, 3) or tuple(theta.shape) != (size[0], ndim, ndim + 1):
        raise ShapeError(f"affine_grid: theta{tuple(theta.shape)} must be (N, {ndim}, {ndim + 1}) for size {size}")
    axes = []
    for n in size[2:]:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
        axes.append(line if align_corners else line * (n - 1) / n)
    grid = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(size[2:])], -1)
    base = beside(grid.reshape(1, -1, ndim + 1).astype(theta.dtype), theta)
    return ops.reshape(ops.matmul(base, ops.transpose(theta, 1, 2)), (size[0], *size[2:], ndim))


def _reflected(x: Any, low: float, high: float) -> Any:
    """x, mirrored at low and high until it lies between them."""
    span = high - low
    if span <= 0:
        return ops.mul(x, 0.0)
    x = ops.abs(ops.sub(x, low))
    turns = ops.floor(ops.div(x, span))
    rest = ops.sub(x, ops.mul(turns, span))
    odd = ops.eq(ops.remainder(turns, 2.0), 1.0)
    return ops.add(ops.where(odd, ops.sub(span, rest), rest), low)


def grid_sample(
    input: Array, grid: Array, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Array:
    """`input` (N, C, H, W) at the places `grid` (N, H', W', 2), (x, y) from -1 to 1 across the image -> (N, C, H', W');
    or (N, C, D, H, W) at (N, D', H', W', 3).

    mode: "bilinear", "nearest" (halves to even) or "bicubic" (images only). padding_mode: what lies outside is "zeros", the
    nearest "border" pixel, or the "reflection" of the image. align_corners: as in `affine_grid`.
    """
    ndim = len(input.shape) - 2
    if ndim not in (2, 3) or len(grid.shape) != ndim + 2 or grid.shape[-1] != ndim or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            f"grid_sample: x{tuple(input.shape)} and grid{tuple(grid.shape)} must be (N, C, H, W) and (N, H', W', 2), or "
            "(N, C, D, H, W) and (N, D', H', W', 3)"
        )
    if 0 in input.shape[2:]:
        raise ShapeError(f"grid_sample: x{tuple(input.shape)} has no pixels")
    if mode not in ("bilinear", "nearest", "bicubic") or mode == "bicubic" and ndim == 3:
        raise DomainError(f"grid_sample: mode={mode!r} must be bilinear, nearest or, of images, bicubic")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise DomainError(f"grid_sample: padding_mode={padding_mode!r} must be zeros, border or reflection")
    sizes = input.shape[2:]

    def confined(x: Any, n: int) -> Any:
        """A coordinate, brought into the axis as padding_mode says."""
        if padding_mode == "zeros":
            return x
        if padding_mode == "reflection":
            x = _reflected(x, 0.0, n - 1.0) if align_corners else _reflected(x, -0.5, n - 0.5)
        return ops.clamp(x, 0.0, n - 1.0)

    places = []
    for axis, n in enumerate(sizes):
        x = grid[..., ndim - 1 - axis]
        x = ops.mul(ops.add(x, 1.0), (n - 1) / 2) if align_corners else ops.sub(ops.mul(ops.add(x, 1.0), n / 2), 0.5)
        places.append(x if mode == "bicubic" else confined(x, n))

    if mode == "nearest":
        taps = [[(ops.round(x), None)] for x in places]
    elif mode == "bilinear":
        taps = []
        for x in places:
            low = ops.floor(x)
            part = ops.sub(x, low)
            taps.append([(low, ops.sub(1.0, part)), (ops.add(low, 1.0), part)])
    else:
        taps = []
        for x in places:
            low = ops.floor(x)
            part = ops.sub(x, low)
            taps.append([(ops.add(low, float(t)), _cubic_weight(part, t)) for t in (-1, 0, 1, 2)])

    out: Any = None
    for corner in product(*taps):
        at = [confined(x, n) if mode == "bicubic" else x for (x, _), n in zip(corner, sizes)]
        part = _pixels(input, at)
        for _, weight in corner:
            if weight is not None:
                part = ops.mul(part, ops.unsqueeze(weight, 1))
        out = part if out is None else ops.add(out, part)
    if mode == "nearest" and getattr(grid, "requires_grad", False):  # then the gradient of the places is 0, not None
        out = ops.where(beside(np.ones((), bool), grid), out, ops.unsqueeze(places[0], 1))
    return out


def _cubic_weight(part: Any, t: int) -> Any:
    """Keys' kernel at the distance of tap t (-1 to 2) from a place that is `part` behind tap 0."""
    a = _CUBIC
    x = ops.add(part, 1.0) if t == -1 else part if t == 0 else ops.sub(float(t), part)
    if t in (0, 1):
        return ops.add(ops.mul(ops.mul(ops.sub(ops.mul(x, a + 2), a + 3), x), x), 1.0)
    return ops.sub(ops.mul(ops.add(ops.mul(ops.sub(ops.mul(x, a), 5 * a), x), 8 * a), x), 4 * a)


def _pixels(input: Any, at: list) -> Any:
    """(N, C, *places): the pixels at whole coordinates; 0 where these lie outside."""
    n, c, *sizes = input.shape
    flat: Any = None
    inside: Any = None
    for x, size in zip(at, sizes):
        x = x.detach() if hasattr(x, "detach") else x
        within = ops.logical_and(ops.ge(x, 0.0), ops.le(x, size - 1.0))
        clipped = ops.clamp(ops.where(within, x, 0.0), 0.0, size - 1.0)
        whole = clipped.astype(np.int64) if isinstance(clipped, np.ndarray) else clipped.long()
        flat = whole if flat is None else ops.add(ops.mul(flat, size), whole)
        inside = within if inside is None else ops.logical_and(inside, within)
    shape = flat.shape[1:]
    index = ops.expand(ops.reshape(flat, (n, 1, -1)), (n, c, math.prod(shape)))
    pixels = ops.reshape(ops.gather(ops.reshape(input, (n, c, -1)), 2, index), (n, c, *shape))
    return ops.where(ops.unsqueeze(inside, 1), pixels, 0.0)
