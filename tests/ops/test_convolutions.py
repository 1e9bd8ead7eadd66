"""Convolutions and their gradients: every way that a shape can take, against the definition. Values are small integers,
so that every sum is exact."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest
import ranvier as rv
from ops_support import OPS, same_bits
from products import CODE, NO_EPILOGUE, ids
from ranvier import _native as native
from ranvier.ops.convolution import out_size

# x, w, then stride, padding, dilation (one number for all axes, or one each), groups
CASES = [
    # products: many channels, several runs of places, terms beyond a piece of k, places that fill no panel
    ((2, 20, 33, 19), (40, 20, 3, 3), 1, 1, 1, 1),
    ((1, 70, 9, 50), (60, 70, 3, 3), 1, 1, 1, 1),
    ((9, 5, 12, 11), (17, 5, 3, 3), 1, 1, 1, 1),
    ((1, 6, 40, 41), (130, 6, 2, 3), 1, (0, 2), 1, 1),
    ((3, 5, 3, 700), (6, 5, 1, 5), 1, (0, 2), 1, 1),
    # several images in one product: few places
    ((11, 12, 7, 7), (30, 12, 3, 3), 1, 1, 1, 1),
    ((19, 9, 1, 1), (8, 9, 1, 1), 1, 0, 1, 1),
    ((5, 8, 4, 4), (16, 8, 3, 3), 2, 1, 1, 1),
    # plain products, and nearly plain ones
    ((2, 20, 33, 19), (40, 20, 1, 1), 1, 0, 1, 1),
    ((2, 20, 15, 19), (7, 20, 1, 1), 2, 0, 1, 1),
    ((2, 20, 5, 6), (7, 20, 1, 1), 1, 1, 1, 1),
    # steps, also beyond the kernel; dilation that shares a factor with the step, or none
    ((2, 6, 17, 18), (9, 6, 3, 3), 2, 1, 1, 1),
    ((2, 6, 17, 18), (9, 6, 2, 3), (3, 4), (1, 2), 1, 1),
    ((2, 6, 25, 28), (9, 6, 3, 2), (2, 3), 2, (2, 4), 1),
    ((2, 6, 25, 28), (5, 6, 3, 3), (4, 2), 3, (2, 3), 1),
    ((1, 3, 40, 43), (8, 3, 7, 7), 2, 3, 1, 1),
    # padding beyond the kernel, a kernel as large as what it sees, one place
    ((2, 5, 4, 3), (6, 5, 2, 2), 1, 5, 1, 1),
    ((2, 5, 6, 5), (8, 5, 6, 5), 1, 0, 1, 1),
    ((2, 5, 1, 1), (8, 5, 3, 3), 1, 1, 1, 1),
    # few channels in the result: straight from the frame
    ((2, 9, 14, 15), (1, 9, 3, 3), 1, 1, 1, 1),
    ((2, 9, 14, 15), (3, 9, 3, 3), 1, 1, 1, 1),
    ((2, 9, 40, 45), (4, 9, 3, 2), 2, 1, 1, 1),
    ((2, 3, 14, 2), (2, 3, 3, 3), 1, (1, 40), 1, 1),
    # depthwise, with multipliers, large and tiny images, in groups
    ((3, 7, 30, 33), (7, 1, 3, 3), 1, 1, 1, 7),
    ((3, 7, 9, 9), (14, 1, 3, 3), 2, 1, 1, 7),
    ((3, 7, 5, 5), (7, 1, 5, 5), 1, 2, 1, 7),
    ((2, 4, 20, 20), (4, 1, 3, 3), 1, 2, 2, 4),
    ((2, 12, 9, 10), (18, 4, 3, 3), 1, 1, 1, 3),
    ((10, 12, 9, 10), (24, 6, 3, 3), 2, 1, (1, 2), 2),
    # one axis, three axes
    ((3, 4, 1), (6, 4, 3), 1, 1, 1, 1),
    ((3, 4, 2000), (6, 4, 5), 3, 2, 2, 1),
    ((2, 3, 5, 9, 8), (7, 3, 2, 3, 3), 1, 1, 1, 1),
    ((2, 4, 5, 9, 8), (6, 2, 3, 3, 2), (2, 1, 3), (1, 2, 0), (1, 2, 1), 2),
    # more than a near cache holds
    ((40, 8, 24, 24), (12, 8, 1, 1), 1, 0, 1, 1),
    ((10, 6, 40, 41), (12, 3, 3, 3), 1, 1, 1, 2),
    ((3, 3, 90, 91), (9, 3, 3, 3), 1, 1, 1, 1),
    # nothing
    ((0, 3, 5, 5), (4, 3, 3, 3), 1, 1, 1, 1),
]  # fmt: skip


def integers(shape, seed, dtype):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def call(case, dtype="f4"):
    """x, w, a gradient of y, the attributes."""
    x, w, *rest, groups = case
    ndim = len(x) - 2
    stride, padding, dilation = ((v,) * ndim if isinstance(v, int) else v for v in rest)
    out = tuple(map(out_size, x[2:], w[2:], stride, padding, dilation))
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return integers(x, 1, dtype), integers(w, 2, dtype), integers((x[0], w[0], *out), 3, dtype), attrs


def three(x, w, g, attrs):
    """y with a bias, and both gradients."""
    bias = np.arange(w.shape[0]).astype(w.dtype) - 2
    yield OPS["convolve"], (x, w, bias), attrs
    yield OPS["convolve_input"], (g, w), {"size": x.shape[2:], **attrs}
    yield OPS["convolve_weight"], (x, g), {"size": w.shape[2:], **attrs}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_the_definition(case, dtype):
    for op, arrays, attrs in three(*call(case, dtype)):
        expected = op.reference(np, *arrays, **attrs)
        assert np.array_equal(op(*map(rv.from_numpy, arrays), **attrs).numpy(), expected), op.name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_follows_joins(case):
    """Of one image, of few and of many: an epilogue takes images one by one where there are many."""
    x, w, g, attrs = call(case)
    size = x.shape[2:]
    tensors = [rv.from_numpy(a) for a in (x, w, g)]

    def step(x, w, g):
        y = OPS["convolve"](x, w, **attrs)
        dx = OPS["convolve_input"](g, w, size=size, **attrs)
        return rv.relu(y + g) * 2, dx * (x > 0), y > g

    compiled = rv.compile(step)
    for ours, eager in zip(compiled(*tensors), step(*tensors)):
        assert same_bits(ours, eager)


@pytest.mark.parametrize("case", [c for c in CASES if c[0][0] > 0][::2], ids=str)
def test_the_same_bits_for_any_number_of_threads(case):
    x, w, g, attrs = call(case)
    x, w, g = (a + np.random.default_rng(4).uniform(-1, 1, a.shape).astype(a.dtype) for a in (x, w, g))
    for op, arrays, given in three(x, w, g, attrs):
        tensors = [rv.from_numpy(a) for a in arrays]
        results = []
        for threads in (1, 2, 3):
            rv.set_num_threads(threads)
            results.append(op(*tensors, **given))
        assert all(same_bits(results[0], r) for r in results[1:])


def test_frozen_weights_are_packed_once():
    conv = rv.nn.Conv2d(9, 20, 3, padding=1)
    x = rv.from_numpy(integers((2, 9, 20, 21), 1, "f4"))
    with rv.no_grad():
        frozen = rv.compile(conv, frozen=True)
        assert same_bits(frozen(x), conv(x)) and same_bits(frozen(x), conv(x))


class Guarded:
    """Arrays that end where memory ends."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.maps = []

    def __call__(self, array):
        pages = -(-array.nbytes // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
        self.maps.append(memory)
        end = pages * mmap.PAGESIZE
        base = np.frombuffer(memory, np.uint8)
        assert self.libc.mprotect(ctypes.c_void_p(base.ctypes.data + end), mmap.PAGESIZE, 0) == 0
        to = base[end - array.nbytes : end].view(array.dtype).reshape(array.shape)
        to[...] = array
        return to


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mprotect"), reason="needs mprotect")
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_reads_nothing_beyond_its_operands(dtype):
    guarded = Guarded()
    for case in CASES[:-1]:
        for op, arrays, attrs in three(*call(case, dtype)):
            inputs = [guarded(a) for a in arrays]
            shape = op.infer(*inputs, **attrs)[0]
            given = op.encode(*inputs, **attrs)
            out = native.eager_add(next(ids), inputs, op.kernel, [(CODE[np.dtype(dtype)], shape)],
                                   given | (NO_EPILOGUE if op.epilogue else {}), "")  # fmt: skip
            assert np.array_equal(out, op.reference(np, *arrays, **attrs)), (op.name, case)
