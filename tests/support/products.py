"""The native matrix product on arrays as they lie, exact products, and how far the one may be from the other."""

from __future__ import annotations

import numpy as np
from ranvier import _native as native

rng = np.random.default_rng(0)

CODE = {np.dtype(t): i for i, t in enumerate(["f4", "f8", "i4", "i8", "u1", "?"])}
ROWS = [name for name, row in native.op_table().items() if row[0] != "KERNEL"]
ids = iter(range(1 << 42, 1 << 43))  # call ids that no Call of the package has


def eps(dtype):
    return np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0


def close(out, expected, k, scale=1.0):
    """|out - expected| <= 4 eps sqrt(k) |a| |b| a sum of k products."""
    bound = 4 * eps(out.dtype) * np.sqrt(k + 1) * scale * 4
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound * max(1.0, float(np.abs(expected).max(initial=0)) / 4))


NO_EPILOGUE = {"dtypes": [], "constants": [], "steps": [], "outputs": []}


def attributes(flags=0, bias=False, **more):
    """The kernel's, for the flags of these tests: 1: A is transposed, 2: B, and 8 times the precision."""
    names = {
        "transpose_a": flags & 1,
        "transpose_b": flags >> 1 & 1,
        "bias": bias,
        "precision": flags >> 3,
        "variant": 0,
    }
    return {**names, **NO_EPILOGUE, **more}


def product(a, b, flags=0, bias=None, extra=(), outs=None, **more):
    """The native kernel on arrays as they lie."""
    left = a.mT if flags & 1 else a
    right = b.mT if flags & 2 else b
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), left.shape[-2], right.shape[-1])
    outs = [(CODE[np.dtype(t)], shape) for t in (outs or [a.dtype])]
    ins = [a, b] + ([] if bias is None else [bias]) + list(extra)
    return native.eager_add(next(ids), ins, "matmul", outs, attributes(flags, bias is not None, **more), "matmul")


def exact(a, b, flags=0, bias=None):
    a, b = (x.astype("f8" if x.dtype.kind == "f" else "i8") for x in (a, b))
    out = (a.mT if flags & 1 else a) @ (b.mT if flags & 2 else b)
    return out if bias is None else out + bias.astype(out.dtype)


def operands(m, n, k, flags, dtype="f4", batch_a=(), batch_b=()):
    def draw(shape):
        return rng.uniform(-2, 2, shape).astype(dtype)

    return draw((*batch_a, k, m) if flags & 1 else (*batch_a, m, k)), draw(
        (*batch_b, n, k) if flags & 2 else (*batch_b, k, n)
    )


PRECISIONS = {"highest": 0, "high": 8, "medium": 16}  # and the flags of the native kernel
BOUND = {0: 2.0**-24, 8: 2.0**-15, 16: 2.0**-7}  # what may be left out, of |a| |b|


def check(out, a, b, flags=0, bias=None, extra=0.0):
    """|out - a b| <= (what terms leave out + 2 eps sqrt(k) + `extra`) |a| |b|, for each element."""
    a, b = (x.astype("f8") for x in (a, b))
    size = exact(np.abs(a), np.abs(b), flags & 3, None if bias is None else np.abs(bias))
    k = a.shape[-2 if flags & 1 else -1]
    bound = BOUND[flags & 24] + 2.0**-22 * np.sqrt(k + 1) + extra
    error = np.abs(out - exact(a, b, flags & 3, bias))
    assert out.shape == error.shape and (error <= bound * size + 1e-37).all(), (error / size).max()
