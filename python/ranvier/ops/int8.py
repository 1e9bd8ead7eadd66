"""Products of bytes: the ops of quantised layers (`rv.compress`).

A number x is stored as the byte q = round(x / scale) + zero, of 0 to 255; a weight as one of -128 to 127, with a scale
for each row of the weight matrix. Then x w = scale_x scale_w sum over p of (q[p] - zero) w[p], where the sum is exact in
32 bits: the same on every instruction set. `sums` holds the sum of w for each row, so that the kernel multiplies q as it
is.

Where reading the weights is all the work (`packed_linear`), x is stored in 16 bits instead, and weights in 8 or 4.

Weights lie in the order in which every instruction set reads them (`pack`), as uint8 that holds int8.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.dtypes import float32, int32, uint8
from ..core.errors import DomainError, DTypeError, ShapeError
from .convolution import correlate, out_size, threefold
from .record import Aval, Op, Sample, Spec

__all__: list[str] = []

COLUMNS, GROUP = 16, 4  # kColumns and kGroup of csrc/cpu/int8/product.h
MAX_TERMS = 65536  # of a sum: 255 * 128 of them fit 32 bits
Axes = tuple[int, ...]


# ---------------------------------------------------------------- the order of weights


def pack(w: np.ndarray) -> np.ndarray:
    """int8 (..., n, k), k in whole groups of 4 or not -> uint8 (..., n / 16, k / 4, 16, 4), zeros where there is nothing."""
    *lead, n, k = w.shape
    panels, groups = -(-n // COLUMNS), -(-k // GROUP)
    whole = np.zeros((*lead, panels * COLUMNS, groups * GROUP), np.int8)
    whole[..., :n, :k] = w
    parted = whole.reshape(*lead, panels, COLUMNS, groups, GROUP)
    return np.ascontiguousarray(np.swapaxes(parted, -3, -2)).view(np.uint8)


def unpack(w: np.ndarray, n: int) -> np.ndarray:
    """What `pack` was given, with the zeros behind k: int8 (..., n, 4 groups)."""
    *lead, panels, groups, _, _ = w.shape
    parted = np.swapaxes(np.ascontiguousarray(w).view(np.int8), -3, -2)
    return parted.reshape(*lead, panels * COLUMNS, groups * GROUP)[..., :n, :]


def _joined(dilation: Axes) -> bool:
    """Whether places of the kernel that are neighbours along the last axis are one run of bytes."""
    return dilation[-1] == 1


def pack_kernels(w: np.ndarray, dilation: Axes, groups: int) -> np.ndarray:
    """int8 (O, C / groups, *kernel) -> uint8 (groups, panels, groups of 4, 16, 4), channels last in each run of bytes."""
    last = np.moveaxis(w, 1, -1)
    run = math.prod(last.shape[-2:]) if _joined(dilation) else last.shape[-1]
    runs = last.reshape(w.shape[0], -1, run)
    runs = np.pad(runs, ((0, 0), (0, 0), (0, -run % GROUP)))
    return pack(runs.reshape(groups, w.shape[0] // groups, -1))


def unpack_kernels(w: np.ndarray, kernels: int, channels: int, kernel: Axes, dilation: Axes) -> np.ndarray:
    """What `pack_kernels` was given; `channels` of one group."""
    run = channels * (kernel[-1] if _joined(dilation) else 1)
    rows = unpack(w, kernels // w.shape[0])
    runs = rows.reshape(kernels, -1, run + -run % GROUP)[..., :run]
    return np.moveaxis(runs.reshape(kernels, *kernel, channels), -1, 1)


def pack_halves(w: np.ndarray) -> np.ndarray:
    """int8 (n, k) of -8 to 7 -> uint8 (n / 16, k / 8, 16, 4): groups of 4 k in turn in halves of bytes, the low first."""
    n, k = w.shape
    packed = pack(np.pad(w, ((0, 0), (0, -k % (2 * GROUP)))))
    packed = packed + np.uint8(8)  # 0 to 15; wraps around
    return (packed[:, 0::2] & 15) | (packed[:, 1::2] << 4)


def unpack_halves(w: np.ndarray, n: int) -> np.ndarray:
    """What `pack_halves` was given, with the zeros behind k."""
    both = np.stack([w & 15, w >> 4], axis=2).reshape(w.shape[0], 2 * w.shape[1], *w.shape[2:])
    return unpack(both - np.uint8(8), n)


def pack_scales(scale: np.ndarray) -> np.ndarray:
    """float32 (n, groups) -> (n / 16, groups, 16)."""
    whole = np.pad(scale, ((0, -scale.shape[0] % COLUMNS), (0, 0)))
    return np.ascontiguousarray(np.swapaxes(whole.reshape(-1, COLUMNS, scale.shape[1]), 1, 2))


# ---------------------------------------------------------------- the definition


def between(low: Any, high: Any) -> tuple[Any, Any, Any]:
    """Scale, its inverse and zero with which bytes store low <= 0 to high >= 0, in float32."""
    width = high - low
    with np.errstate(all="ignore"):
        inverse = np.where(width > 0, np.float32(255) / width, np.float32(0))
        zero = np.rint(-low * inverse)
        zero = np.where((zero >= 0) & (zero <= 255), zero, np.float32(0))
        return width / np.float32(255), inverse, zero


def _stored(x: np.ndarray, axes: Axes, fixed: Any) -> tuple[np.ndarray, Any]:
    """q - zero as int32, and the scale of x, which is NaN for rows (all of `axes`) with a NaN; kept axes have size 1."""
    bad = np.isnan(x).any(axis=axes, keepdims=True)
    if fixed is None:
        low, high = (np.minimum(x.min(axes, keepdims=True, initial=0), np.float32(0)),
                     np.maximum(x.max(axes, keepdims=True, initial=0), np.float32(0)))  # fmt: skip
        scale, inverse, zero = between(low, high)
    else:
        scale, zero = fixed
        inverse = np.float32(1) / scale
    with np.errstate(all="ignore"):
        q = np.rint(x * inverse) + zero
        q = np.clip(np.where(np.isnan(q), np.float32(0), q), 0, 255)
        offset = np.asarray(zero, np.int32)
        return q.astype(np.int32) - offset, np.where(bad, np.float32(np.nan), scale).astype(np.float32)


def _parts(rest: tuple, fixed: bool, bias: bool) -> tuple:
    return (rest[0] if fixed else None), (rest[-1] if bias else None)


def _int8_matmul_reference(xp: Any, a: Any, weight: Any, *, features: int) -> Any:
    w = unpack(weight, features)[:, : a.shape[-1]]
    return np.matmul(a.astype(np.int32), w.astype(np.int32).T)


def _int8_linear_reference(
    xp: Any, x: Any, weight: Any, scale: Any, sums: Any, *rest: Any, fixed: bool, bias: bool
) -> Any:
    stored, add = _parts(rest, fixed, bias)
    q, x_scale = _stored(x, (x.ndim - 1,), stored)
    w = unpack(weight, scale.shape[0])[:, : x.shape[-1]].astype(np.int32)
    out = np.matmul(q, w.T).astype(np.float32) * (x_scale * scale)
    return out if add is None else out + add


def _int8_convolve_reference(
    xp: Any, x: Any, weight: Any, scale: Any, sums: Any, *rest: Any, fixed: bool, bias: bool, kernel: Axes, stride: Axes,
    padding: Axes, dilation: Axes, groups: int,
) -> Any:  # fmt: skip
    stored, add = _parts(rest, fixed, bias)
    q, x_scale = _stored(x, tuple(range(1, x.ndim)), stored)
    w = unpack_kernels(weight, scale.shape[0], x.shape[1] // groups, kernel, dilation).astype(np.int32)
    padded = np.pad(q, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = tuple(map(out_size, x.shape[2:], kernel, stride, padding, dilation))
    exact = correlate(np, padded, w, out, stride, dilation, groups)
    column = (1, -1, *(1 for _ in out))
    result = exact.astype(np.float32) * (x_scale * scale.reshape(column))
    return result if add is None else result + add.reshape(column)


def _packed_linear_reference(
    xp: Any, x: Any, weight: Any, scale: Any, *rest: Any, bits: int, group: int, features: int, bias: bool
) -> Any:
    k = x.shape[-1]
    w = (unpack if bits == 8 else unpack_halves)(np.ascontiguousarray(weight), features)[:, :k]
    scales = np.swapaxes(scale, 1, 2).reshape(-1, scale.shape[1])[:features]
    most = np.abs(x).max(-1, keepdims=True, initial=0)
    with np.errstate(all="ignore"):
        q = np.rint(x * np.where(most > 0, np.float32(32767) / most, np.float32(0)))
        out = np.matmul(np.nan_to_num(q), (w * np.repeat(scales, group, axis=1)[:, :k].astype(np.float64)).T)
        out = (out * (most / np.float32(32767))).astype(x.dtype)
    return out + rest[0] if bias else out


# ---------------------------------------------------------------- rules


def _check(name: str, x: Aval, weight: Aval, scale: Aval, sums: Aval, rest: tuple, fixed: bool, bias: bool) -> None:
    if len(rest) != fixed + bias:
        raise ShapeError(f"{name}: fixed={fixed} and bias={bias} need {fixed + bias} operands behind the sums")
    wanted = (("x", x, float32), ("weight", weight, uint8), ("scale", scale, float32), ("sums", sums, int32))
    for label, value, dtype in wanted:
        if value.dtype != dtype:
            raise DTypeError(f"{name}: {label} is {value.dtype}, must be {dtype}")
    n = scale.shape[0] if len(scale.shape) == 1 else -1
    for label, value, size in (("scale", scale, n), ("sums", sums, n), *(
        (label, value, size) for (label, size), value in zip([("range", 2)] * fixed + [("bias", n)] * bias, rest)
    )):  # fmt: skip
        if value.shape != (size,):
            raise ShapeError(f"{name}: {label}{value.shape} must have shape ({max(n, 0)},), the range (2,)")


def _require_terms(name: str, k: int) -> None:
    if k > MAX_TERMS:
        raise ShapeError(f"{name}: sums of {k} products may not fit 32 bits; at most {MAX_TERMS} do")


def _packed(name: str, x: Aval, weight: Aval, shape: tuple[int, ...]) -> None:
    if weight.shape != shape:
        raise ShapeError(f"{name}: x{x.shape} takes a packed weight of shape {shape}, not {weight.shape}")


def _panels(n: int, groups: int) -> tuple[int, int, int, int]:
    return -(-n // COLUMNS), groups, COLUMNS, GROUP


def _int8_matmul_infer(a: Aval, weight: Aval, *, features: int) -> Spec:
    if a.dtype != uint8 or weight.dtype != uint8:
        raise DTypeError(f"int8_matmul: a is {a.dtype} and weight {weight.dtype}; both must be uint8")
    if not a.shape:
        raise ShapeError("int8_matmul: a 0-d a has no axis to sum over")
    _require_terms("int8_matmul", a.shape[-1])
    _packed("int8_matmul", a, weight, _panels(features, -(-a.shape[-1] // GROUP)))
    return (*a.shape[:-1], features), int32


def _int8_linear_infer(x: Aval, weight: Aval, scale: Aval, sums: Aval, *rest: Aval, fixed: bool, bias: bool) -> Spec:
    _check("int8_linear", x, weight, scale, sums, rest, fixed, bias)
    if not x.shape:
        raise ShapeError("int8_linear: a 0-d x has no features")
    _require_terms("int8_linear", x.shape[-1])
    _packed("int8_linear", x, weight, _panels(scale.shape[0], -(-x.shape[-1] // GROUP)))
    return (*x.shape[:-1], scale.shape[0]), x.dtype


def _int8_convolve_infer(
    x: Aval, weight: Aval, scale: Aval, sums: Aval, *rest: Aval, fixed: bool, bias: bool, kernel: Axes, stride: Axes,
    padding: Axes, dilation: Axes, groups: int,
) -> Spec:  # fmt: skip
    name, ndim = "int8_convolve", len(kernel)
    _check(name, x, weight, scale, sums, rest, fixed, bias)
    kernels = scale.shape[0]
    if len(x.shape) != ndim + 2 or groups < 1 or x.shape[1] % groups or kernels % groups:
        raise ShapeError(
            f"{name}: x{x.shape} must have {ndim + 2} axes, and groups={groups} must divide its channels and the "
            f"{kernels} kernels"
        )
    channels = x.shape[1] // groups
    _require_terms(name, channels * math.prod(kernel))
    for n, k, p, d in zip(x.shape[2:], kernel, padding, dilation):
        if d * (k - 1) + 1 > n + 2 * p:
            raise ShapeError(f"{name}: x{x.shape} and kernel {kernel}: the kernel is larger than the padded axis")
    run = channels * (kernel[-1] if _joined(dilation) else 1)
    runs = math.prod(kernel[:-1]) if _joined(dilation) else math.prod(kernel)
    _packed(name, x, weight, (groups, *_panels(kernels // groups, runs * -(-run // GROUP))))
    return (x.shape[0], kernels, *map(out_size, x.shape[2:], kernel, stride, padding, dilation)), x.dtype


def _packed_linear_infer(
    x: Aval, weight: Aval, scale: Aval, *rest: Aval, bits: int, group: int, features: int, bias: bool
) -> Spec:
    name = "packed_linear"
    if x.dtype != float32 or weight.dtype != uint8 or scale.dtype != float32 or any(b.dtype != float32 for b in rest):
        raise DTypeError(f"{name}: x, scale and bias must be float32, weight uint8; x is {x.dtype}")
    if bits not in (4, 8) or group < 8 or group % 8:
        raise DomainError(f"{name}: bits={bits} must be 8 or 4, group={group} a multiple of 8")
    if not x.shape:
        raise ShapeError(f"{name}: a 0-d x has no features")
    k = x.shape[-1]
    _require_terms(name, k)
    _packed(name, x, weight, _panels(features, -(-k * bits // 32)))
    wanted = (-(-features // COLUMNS), -(-k // group), COLUMNS)
    if scale.shape != wanted or len(rest) != bias or any(b.shape != (features,) for b in rest):
        raise ShapeError(f"{name}: scale{scale.shape} must be {wanted}, and a bias ({features},)")
    return (*x.shape[:-1], features), x.dtype


def _encode_convolve(*avals: Aval, fixed: bool, bias: bool, groups: int, **attrs: Axes) -> dict[str, Any]:
    native = {key: threefold(value, 0 if key == "padding" else 1) for key, value in attrs.items()}
    return {**native, "groups": groups, "fixed": fixed, "bias": bias}


# ---------------------------------------------------------------- records


def _mixed(seed: int, *shape: int) -> np.ndarray:
    """Numbers of -127 to 127, without the cost of a generator at import."""
    n = math.prod(shape)
    return ((np.arange(n) * 89 + seed) % 255 - 127).astype(np.int8).reshape(shape)


def _columns(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sums = w.reshape(w.shape[0], -1).sum(1, dtype=np.int32)
    return np.linspace(0.001, 0.01, w.shape[0], dtype=np.float32), sums


_RANGE = np.array([0.02, 120], np.float32)


def _linear_sample(x: tuple, n: int, fixed: bool = False, bias: bool = False) -> Sample:
    w = _mixed(n, n, x[-1])
    rest = ((_RANGE,) if fixed else ()) + ((np.linspace(-1, 1, n, dtype=np.float32),) if bias else ())
    return Sample((x, pack(w), *_columns(w), *rest), {"fixed": fixed, "bias": bias})


def _packed_sample(x: tuple, n: int, bits: int, group: int, bias: bool = False) -> Sample:
    w = _mixed(n, n, x[-1])
    scale = np.linspace(0.01, 0.1, n * -(-x[-1] // group), dtype=np.float32).reshape(n, -1)
    rest = (np.linspace(-1, 1, n, dtype=np.float32),) if bias else ()
    inputs = (x, pack(w) if bits == 8 else pack_halves(w >> 4), pack_scales(scale), *rest)
    return Sample(inputs, {"bits": bits, "group": group, "features": n, "bias": bias})


def _convolve_sample(
    x: tuple, w: tuple, fixed: bool = False, bias: bool = False, groups: int = 1, **attrs: Any
) -> Sample:
    ndim = len(x) - 2
    usual: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1}
    full = {key: value if isinstance(value, tuple) else (value,) * ndim for key, value in {**usual, **attrs}.items()}
    kernels = _mixed(w[0], *w)
    rest = ((_RANGE,) if fixed else ()) + ((np.linspace(-1, 1, w[0], dtype=np.float32),) if bias else ())
    inputs = (x, pack_kernels(kernels, full["dilation"], groups), *_columns(kernels), *rest)
    return Sample(inputs, {"fixed": fixed, "bias": bias, "kernel": w[2:], **full, "groups": groups})


int8_matmul = Op(
    "int8_matmul",
    kind="kernel",
    attrs={"features": 16},
    infer=_int8_matmul_infer,
    reference=_int8_matmul_reference,
    encode=lambda a, weight, *, features: {},
    macs=lambda a, weight, *, features: math.prod(a.shape) * features,
    samples=lambda: [
        Sample((np.abs(_mixed(m, m, k)).astype(np.uint8) * 2, pack(_mixed(n, n, k))), {"features": n})
        for m, k, n in ((3, 5, 7), (1, 64, 16), (70, 33, 40), (5, 256, 129), (0, 4, 3))
    ],
    onnx="MatMulInteger",
    doc="sum over p of a[..., p] weight[j, p] in int32: a of uint8, weight of int8 in packed order",
)
int8_linear = Op(
    "int8_linear",
    kind="kernel",
    attrs={"fixed": False, "bias": False},
    infer=_int8_linear_infer,
    reference=_int8_linear_reference,
    epilogue=True,
    encode=lambda *avals, fixed, bias: {"fixed": fixed, "bias": bias},
    macs=lambda x, weight, scale, *rest, **attrs: math.prod(x.shape) * scale.shape[0],
    samples=lambda: [
        _linear_sample((3, 5), 7), _linear_sample((1, 64), 48, bias=True), _linear_sample((70, 33), 40, fixed=True),
        _linear_sample((2, 9, 20), 130, fixed=True, bias=True), _linear_sample((0, 4), 3), _linear_sample((6,), 2),
    ],
    doc="x @ weight.T + bias with x stored as bytes: by the range given, or each row by its own least and greatest",
)  # fmt: skip
int8_convolve = Op(
    "int8_convolve",
    kind="kernel",
    attrs={
        "fixed": False, "bias": False, "kernel": (1, 1), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1),
        "groups": 1,
    },
    infer=_int8_convolve_infer,
    reference=_int8_convolve_reference,
    epilogue=True,
    encode=_encode_convolve,
    macs=lambda x, weight, *rest, **attrs: (
        math.prod(_int8_convolve_infer(x, weight, *rest, **attrs)[0]) * x.shape[1] // attrs["groups"]
        * math.prod(attrs["kernel"])
    ),
    samples=lambda: [
        _convolve_sample((2, 3, 8, 9), (4, 3, 3, 2)),
        _convolve_sample((2, 3, 8, 9), (20, 3, 3, 3), bias=True, padding=1, stride=2),
        _convolve_sample((2, 4, 9, 7), (6, 2, 3, 2), groups=2, padding=(2, 1), dilation=(2, 3), bias=True, fixed=True),
        _convolve_sample((1, 6, 12, 40), (6, 1, 3, 3), groups=6, padding=1, fixed=True),
        _convolve_sample((3, 2, 21), (5, 2, 4), stride=3, padding=2),
        _convolve_sample((2, 2, 5, 6, 4), (3, 2, 2, 3, 2), stride=(1, 2, 1), padding=1, fixed=True),
        _convolve_sample((2, 20, 13, 19), (70, 20, 1, 1)),
        _convolve_sample((0, 1, 3, 3), (1, 1, 3, 3)),
    ],
    doc="the convolution of x, stored as bytes by the range given or each image by its own, with kernels of int8",
)  # fmt: skip
packed_linear = Op(
    "packed_linear",
    kind="kernel",
    attrs={"bits": 8, "group": 32, "features": 16, "bias": False},
    infer=_packed_linear_infer,
    reference=_packed_linear_reference,
    epilogue=True,
    encode=lambda *avals, **attrs: attrs,
    macs=lambda x, weight, scale, *rest, features, **attrs: math.prod(x.shape) * features,
    terms=lambda x, *rest, **attrs: x.shape[-1],
    samples=lambda: [
        _packed_sample((1, 64), 16, 8, 64), _packed_sample((1, 70), 37, 8, 32, bias=True),
        _packed_sample((1, 70), 37, 4, 32, bias=True), _packed_sample((2, 3, 33), 20, 4, 16),
        _packed_sample((0, 9), 3, 8, 16), _packed_sample((9,), 3, 4, 16),
    ],
    doc="x @ weight.T + bias with weights of 8 or 4 bits, of which each `group` along a row has a scale",
)  # fmt: skip
