"""Reductions, softmax, cross-entropy and cumulative sums: every axis, layout and thread count."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier.core.errors import DTypeError, OutOfRangeError, ShapeError
from ranvier.ops.softmax import cross_entropy

# both sides of the limits at which the kernels go another way: rows or columns, gathered or in place, folded, in chunks
SHAPES = [
    (),
    (1,),
    (7,),
    (3000,),
    (70000,),
    (200000,),
    (5, 17),
    (1000, 3),
    (64, 1024),
    (2000, 40),
    (300, 513),
    (50000, 2),
    (3, 70000),
    (2, 3, 4),
    (8, 5, 300),
    (30, 1, 40),
    (4, 6, 5, 7),
]


def layouts(x: np.ndarray) -> list[np.ndarray]:
    """The same values in several arrangements of memory, and one row repeated without memory of its own."""
    result = [x]
    if x.ndim:
        wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)
        wide[..., ::2] = x
        result += [np.asfortranarray(x), x[..., ::-1], x[::-1], wide[..., ::2]]
    if x.ndim > 1:
        result.append(np.broadcast_to(x[:1], x.shape))
    return result


def axis_sets(ndim: int) -> list:
    return [axes for r in range(1, ndim + 1) for axes in itertools.combinations(range(ndim), r)] or [()]


def log_sum_exp(x: np.ndarray, axis: tuple, keepdims: bool) -> np.ndarray:
    top = x.max(axis=axis, keepdims=True)
    result = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return result if keepdims else result.reshape([n for d, n in enumerate(x.shape) if d not in axis])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_floats(shape, dtype):
    """Errors grow with the logarithm of the number of terms, in every layout."""
    rng = np.random.default_rng(0)
    eps = np.finfo(dtype).eps
    for x in layouts(rng.standard_normal(shape).astype(dtype)):
        exact = x.astype(np.longdouble if dtype == "float64" else np.float64)
        for axes, keepdim in itertools.product(axis_sets(x.ndim), (False, True)):
            kept = {"axis": axes, "keepdims": keepdim}
            n = math.prod(x.shape[a] for a in axes)
            size, square = np.abs(exact).sum(**kept), (exact**2).sum(**kept)
            lse = log_sum_exp(exact, axes, keepdim)
            expected = {  # value, and the size of what is rounded
                rv.sum: (exact.sum(**kept), size),
                rv.mean: (exact.mean(**kept), size / n),
                rv.amax: (exact.max(**kept), 0),
                rv.amin: (exact.min(**kept), 0),
                rv.norm: (np.sqrt(square), np.sqrt(square)),
                rv.logsumexp: (lse, np.abs(lse) + 2),
                rv.var: (exact.var(**kept), square / n),
            }
            for function, (value, scale) in expected.items():
                more = {"correction": 0} if function is rv.var else {}
                got = function(x, dim=axes, keepdim=keepdim, **more)
                assert got.shape == value.shape and got.dtype == x.dtype
                error, bound = np.abs(got - value), scale * eps * (6 + math.log2(max(n, 2)))
                assert (error <= bound).all(), (function.__name__, x.strides, axes, keepdim, error.max())


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_integers(shape, dtype):
    rng = np.random.default_rng(0)
    low, high = (0, 3) if dtype in ("uint8", "bool") else (-4, 5)
    for x in layouts(rng.integers(low, high, shape).astype(dtype)):
        for axes in axis_sets(x.ndim):
            for function, value in (
                (rv.sum, x.sum(axis=axes, dtype=np.int64)),
                (rv.prod, x.prod(axis=axes, dtype=np.int64)),
                (rv.amax, x.max(axis=axes)),
                (rv.amin, x.min(axis=axes)),
                (rv.any, x.any(axis=axes)),
                (rv.all, x.all(axis=axes)),
                (rv.count_nonzero, np.count_nonzero(x, axis=axes)),
            ):
                got = function(x, axes)
                assert got.dtype == np.asarray(value).dtype, function.__name__
                np.testing.assert_array_equal(got, value, err_msg=f"{function.__name__} {x.strides} {axes}")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=str)
def test_positions(shape, dtype):
    """The first of equals, in logical order, whatever the layout."""
    rng = np.random.default_rng(0)
    for x in layouts(rng.integers(0, 50, shape).astype(dtype)):
        for axis in range(x.ndim):
            for name in ("max", "min"):
                where = getattr(np, f"arg{name}")(x, axis=axis, keepdims=True)
                np.testing.assert_array_equal(getattr(rv, f"arg{name}")(x, axis, keepdim=True), where)
                values, indices = getattr(rv, name)(x, axis)
                np.testing.assert_array_equal(indices, where.squeeze(axis))
                np.testing.assert_array_equal(values, np.take_along_axis(x, where, axis).squeeze(axis))
        assert rv.argmax(x) == np.argmax(x) and rv.argmin(x) == np.argmin(x)


@pytest.mark.parametrize("n", [1, 5, 40, 700, 5000])
def test_nan_and_infinities(n):
    rng = np.random.default_rng(n)
    for special in (np.nan, np.inf, -np.inf):
        for dtype in ("float32", "float64"):
            x = rng.standard_normal((n, 3)).astype(dtype)
            x[rng.integers(0, n, 2), 1] = special
            for y, axis in ((x, 0), (np.ascontiguousarray(x.T), 1)):
                for name in ("sum", "max", "min"):
                    got = getattr(rv, {"max": "amax", "min": "amin"}.get(name, name))(y, axis)
                    with np.errstate(invalid="ignore"):
                        np.testing.assert_allclose(got, getattr(y, name)(axis=axis), rtol=1e-4)
                np.testing.assert_array_equal(rv.argmax(y, axis), np.argmax(y, axis))
                np.testing.assert_array_equal(rv.argmin(y, axis), np.argmin(y, axis))
    all_inf = np.full((n, 2), -np.inf, np.float32)
    assert (rv.logsumexp(all_inf, 0) == -np.inf).all() and np.isnan(rv.softmax(all_inf, 0)).all()
    mixed = np.concatenate([all_inf[:, 0], [-500.0]]).astype(np.float32)
    assert rv.logsumexp(mixed, 0) == -500


def test_sums_stay_accurate():
    """A million rounding errors cost a few units in the last place, not thousands; a large mean costs no variance."""
    x = np.full(1_000_000, 0.1, np.float32)
    for y in (x, np.ascontiguousarray(np.broadcast_to(x[:, None], (len(x), 2)))):
        assert abs(rv.sum(y, 0) / (np.float64(x[0]) * len(x)) - 1).max() < 4e-7
    y = (1e4 + np.random.default_rng(0).standard_normal((50000, 3))).astype(np.float32)
    for z, axis in ((y, 0), (np.ascontiguousarray(y.T), 1)):
        np.testing.assert_allclose(rv.var(z, axis), z.astype(np.float64).var(axis=axis, ddof=1), rtol=2e-6)
    total = np.cumsum(x, dtype=np.float64)
    np.testing.assert_allclose(rv.cumsum(x, 0), total, rtol=1e-7)


def test_nothing_to_reduce():
    x = np.zeros((0, 3), np.float32)
    assert rv.sum(x, 0).tolist() == [0, 0, 0] and rv.prod(x, 0).tolist() == [1, 1, 1]
    assert np.isnan(rv.mean(x, 0)).all() and np.isnan(rv.var(x, 0)).all()
    assert rv.all(x, 0).all() and not rv.any(x, 0).any()
    assert rv.sum(x, 1).shape == rv.amax(x, 1).shape == (0,)
    assert (rv.logsumexp(x, 0) == -np.inf).all()
    assert rv.softmax(x, 0).shape == (0, 3) and rv.cumsum(x, 1).shape == (0, 3)
    for function in (rv.amax, rv.argmin, rv.max):
        with pytest.raises(ShapeError, match=r"axis 0 of x\(0, 3\) is empty"):
            function(x, 0)


def test_errors_say_what_is_wrong():
    x = rv.zeros(2, 3)
    for call, error, message in (
        (lambda: rv.sum(x, 2), OutOfRangeError, r"sum: dim=2 must be in \[-2, 1\]"),
        (lambda: rv.sum(x, (0, -2)), ShapeError, r"sum: dim=\(0, -2\) names an axis twice"),
        (lambda: rv.mean(rv.tensor([1, 2])), DTypeError, "mean: dtype int64 must be float32 or float64"),
        (lambda: rv.softmax(rv.tensor([1, 2]), 0), DTypeError, "softmax: dtype int64 must be float"),
        (lambda: rv.argmax(rv.zeros(2, 3, 4), (0, 1)), ShapeError, "must be one axis"),
        (lambda: rv.norm(x, "nuc"), DTypeError, "norm: p='nuc' must be a number or 'fro'"),
        (
            lambda: cross_entropy(x, rv.tensor([0, 1, 2])),
            ShapeError,
            r"target\(3,\) must have shape \(2,\): logits\(2, 3\)",
        ),
        (lambda: cross_entropy(x, rv.tensor([0, 3])), OutOfRangeError, r"target\[1\]=3 must be in \[0, 2\]"),
        (lambda: cross_entropy(x, rv.tensor([0, -1])), OutOfRangeError, r"target\[1\]=-1 must be in \[0, 2\]"),
        (lambda: cross_entropy(x, rv.tensor([0, 1]), rv.ones(2)), ShapeError, r"weight\(2,\) must have shape \(3,\)"),
        (lambda: cross_entropy(x, rv.tensor([0, 1]), reduction="avg"), ValueError, "reduction='avg'"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_forms_and_dtypes():
    x = rv.tensor([[1.5, 5.0, 5.0], [4.0, -3.0, 2.0]])
    assert rv.max(x).item() == 5 and x.max(1).indices.tolist() == [1, 0] and x.min(0).values.tolist() == [1.5, -3, 2]
    assert rv.max(x, rv.zeros(2, 3)).tolist() == [[1.5, 5, 5], [4, 0, 2]]
    assert rv.sum(x, dtype=rv.int64).item() == 14 and rv.sum(x, 1, dtype=rv.float64).dtype == rv.float64
    i = rv.tensor([1, 2, 250], dtype=rv.uint8)
    assert i.sum().item() == 253 and i.sum(dtype=rv.uint8).item() == 253 and i.cumsum(0).tolist() == [1, 3, 253]
    assert i.mean(dtype=rv.float32).item() == pytest.approx(253 / 3)
    assert x.var(unbiased=False).item() == pytest.approx(x.var(correction=0).item())
    assert x.argmax().item() == 1 and x.argmax(keepdim=True).shape == (1, 1)
    assert x.norm(3).item() == pytest.approx(float((np.abs(x.numpy()) ** 3).sum() ** (1 / 3)), rel=1e-6)


def gradient(function, x: np.ndarray) -> np.ndarray:
    t = rv.tensor(x, requires_grad=True)
    function(t).sum().backward()
    return t.grad.numpy()


def test_gradients_at_ties_and_zeros():
    assert gradient(rv.amax, np.array([3.0, 1, 3, 3])).tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])
    assert gradient(lambda t: t.max(0).values, np.array([3.0, 1, 3])).tolist() == [1, 0, 0]
    assert gradient(rv.prod, np.array([2.0, 0, 3])).tolist() == [0, 6, 0]
    assert gradient(rv.prod, np.array([2.0, 0, 0])).tolist() == [0, 0, 0]
    assert gradient(rv.norm, np.zeros(3)).tolist() == [0, 0, 0]
    assert gradient(rv.std, np.ones(3)).tolist() == [0, 0, 0]
    assert gradient(lambda t: rv.norm(t, math.inf), np.array([-2.0, 1, 2])).tolist() == [-0.5, 0, 0.5]


def direct_cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """By the definition, in NumPy; x (N, C, ...)."""
    x = np.moveaxis(x.astype(np.float64), 1, -1)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else weight.astype(np.float64)
    log_p = x - x.max(-1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(-1, keepdims=True))
    counts = target != ignore_index
    q = np.eye(classes)[np.where(counts, target, 0)] * (1 - label_smoothing) + label_smoothing / classes
    loss = -(q * w * log_p).sum(-1) * counts
    if reduction == "none":
        return loss
    return loss.sum() / ((w[np.where(counts, target, 0)] * counts).sum() if reduction == "mean" else 1)


@pytest.mark.parametrize(
    "shape", [(7, 5), (32, 10), (4, 5, 3), (3, 6, 4, 5), (5, 1000), (2, 3, 40, 40), (1, 1)], ids=str
)
def test_cross_entropy(shape):
    rng = np.random.default_rng(0)
    x = 3 * rng.standard_normal(shape)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    target.flat[::3] = -100
    if shape == (1, 1):
        target[:] = 0
    weight = rng.uniform(0.5, 2, shape[1])
    for w, e, reduction in itertools.product((None, weight), (0.0, 0.1), ("none", "sum", "mean")):
        options = {"reduction": reduction, "label_smoothing": e}
        expected = direct_cross_entropy(x, target, w, **options)
        for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-6)):
            typed, typed_w = x.astype(dtype), None if w is None else w.astype(dtype)
            for y in layouts(typed)[:4]:
                if not np.shares_memory(y, typed) and y.strides == typed.strides:
                    continue
                value = direct_cross_entropy(y, target, w, **options) if y is not typed else expected
                got = cross_entropy(y, target, typed_w, **options)
                np.testing.assert_allclose(
                    got, value, rtol=tolerance * 10, atol=tolerance * 10 * max(1, np.abs(value).max())
                )
        # the gradient, against a central difference along one direction
        t = rv.tensor(x, requires_grad=True)
        loss = cross_entropy(t, rv.tensor(target), None if w is None else rv.tensor(w), **options)
        upstream = rng.standard_normal(loss.shape)
        (loss * rv.tensor(upstream)).sum().backward()
        v = rng.standard_normal(shape)
        h = 1e-5
        plus, minus = (direct_cross_entropy(x + s * h * v, target, w, **options) for s in (1, -1))
        slope = (upstream * (plus - minus)).sum() / (2 * h)
        assert (t.grad.numpy() * v).sum() == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_cross_entropy_of_probabilities():
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    hot, w = np.eye(4)[target], rng.uniform(0.5, 2, 4)
    for options in ({}, {"label_smoothing": 0.2}, {"reduction": "none"}, {"reduction": "sum"}):
        np.testing.assert_allclose(cross_entropy(x, hot, **options), cross_entropy(x, target, **options))
    np.testing.assert_allclose(cross_entropy(x, hot, w, reduction="sum"), cross_entropy(x, target, w, reduction="sum"))


def test_cross_entropy_in_compiled_code():
    x = rv.randn(8, 5)
    x.requires_grad = True
    target = rv.tensor([0, 1, 2, 3, 4, 0, 1, 2])

    @rv.compile
    def step(x, target):
        return F.cross_entropy(x, target)

    assert step(x, target).item() == pytest.approx(F.cross_entropy(x, target).item(), rel=1e-6)
    with pytest.raises(IndexError, match="7"):
        step(x, rv.tensor([0, 1, 2, 7, 4, 0, 1, 2]))


def test_large_logits_are_exact():
    x = np.array([[1e4, -1e4, 0.0]], np.float32)
    assert rv.softmax(x, 1).tolist() == [[1, 0, 0]] and rv.log_softmax(x, 1).tolist() == [[0, -2e4, -1e4]]
    assert cross_entropy(x, np.array([1])) == 2e4


@pytest.mark.parametrize("shape", [(5,), (33, 10), (700, 3), (3, 4, 50), (2, 3000), (1500, 33)], ids=str)
def test_softmax(shape):
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        eps = np.finfo(dtype).eps
        for x in layouts(rng.standard_normal(shape).astype(dtype) * 4):
            for axis in range(x.ndim):
                exact = x.astype(np.longdouble)
                log = exact - log_sum_exp(exact, (axis,), True)
                bound = eps * (8 + 8 * math.sqrt(x.shape[axis]))
                assert (np.abs(rv.softmax(x, axis) - np.exp(log)) <= bound * np.exp(log)).all()
                assert (np.abs(rv.log_softmax(x, axis) - log) <= bound * (1 + np.abs(log))).all()


@pytest.mark.parametrize("name", [
    "sum", "mean", "amax", "amin", "prod", "std", "var", "logsumexp", "softmax", "log_softmax", "cumsum", "norm",
])  # fmt: skip
def test_against_pytorch(oracle, name):
    """Values and gradients, with every axis."""

    def run(lib):
        rng = np.random.default_rng(0)
        for shape in [(6,), (4, 3), (2, 5, 3)]:
            for axis in range(-len(shape), len(shape)):
                x = lib.tensor(rng.standard_normal(shape), requires_grad=True)
                out = getattr(lib, name)(x, dim=axis)
                out.backward(lib.tensor(np.asarray(rng.standard_normal(tuple(out.shape)))))
                yield from (out.detach().numpy(), x.grad.numpy())

    for ours, theirs in zip(run(rv), oracle(run), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


ACROSS = """
import numpy as np, ranvier as rv
from ranvier.ops.softmax import cross_entropy
rng = np.random.default_rng(0)
names = ("sum", "mean", "prod", "amax", "argmax", "var", "std", "norm", "logsumexp", "softmax", "log_softmax", "cumsum")
for shape in ((2000001,), (700, 1100), (300000, 3), (3, 200001), (40, 300, 50), (250000, 10)):
    x = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    for name in names:
        for dim in range(len(shape)):
            results = []
            for threads in (1, 2, 3, 4):
                rv.set_num_threads(threads)
                results.append(getattr(rv, name)(x, dim=dim))
            assert all(r.tobytes() == results[0].tobytes() for r in results), (name, shape, dim)
            if name in ("sum", "var", "argmax"):
                exact = getattr(np, name)(x.astype(np.float64), axis=dim, **({"ddof": 1} if name == "var" else {}))
                np.testing.assert_allclose(results[0], exact, rtol=3e-6)
for shape in ((20000, 40), (30, 8, 60, 60)):
    x, t = rng.standard_normal(shape).astype(np.float32), rng.integers(0, shape[1], (shape[0], *shape[2:]))
    results = []
    for threads in (1, 2, 3, 4):
        rv.set_num_threads(threads)
        y = rv.tensor(x, requires_grad=True)
        loss = cross_entropy(y, rv.tensor(t), label_smoothing=0.1)
        loss.backward()
        results.append(loss.detach().numpy().tobytes() + y.grad.numpy().tobytes())
    assert len(set(results)) == 1, shape
print(rv.config.config()["isa"])
"""


@pytest.mark.parametrize("isa", ["v2", "v3", "v4"])
def test_threads_and_instruction_sets(isa):
    """The same bits for one to four threads, on every instruction set that was built and runs here."""
    environment = {**os.environ, "RANVIER_ISA": isa, "OMP_NUM_THREADS": "4"}
    done = subprocess.run([sys.executable, "-c", ACROSS], env=environment, text=True, capture_output=True)
    if done.returncode and "RANVIER_ISA" in done.stderr:
        pytest.skip(f"{isa} was not built, or does not run here")
    assert done.returncode == 0, done.stderr[-2000:]
