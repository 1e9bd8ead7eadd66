"""Values, dtypes and errors at the borders: 0-d and empty inputs, dtypes that are not floats, numbers out of range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F

T = rv.tensor
u8, i32, i64, f32, f64, b = rv.uint8, rv.int32, rv.int64, rv.float32, rv.float64, rv.bool


def said(x):
    """(dtype, values) of a result, tuples of them for tuples."""
    return tuple(map(said, x)) if isinstance(x, tuple) else (x.dtype, x.tolist())


NO_AXIS = [
    lambda x: rv.chunk(x, 2), lambda x: rv.split(x, 1), lambda x: rv.tensor_split(x, 2), lambda x: rv.unbind(x),
    lambda x: rv.roll(x, 1, 0), lambda x: rv.flipud(x), lambda x: rv.fliplr(x), lambda x: rv.diff(x),
    lambda x: rv.repeat_interleave(x, 2, 0), lambda x: rv.unflatten(x, 0, (1, 1)), lambda x: rv.narrow(x, 0, 0, 1),
    lambda x: rv.select(x, 0, 0), lambda x: F.glu(x), lambda x: rv.index_select(x, 0, T([0])),
    lambda x: rv.diag_embed(x),
]  # fmt: skip


@pytest.mark.parametrize("call", NO_AXIS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_number_has_no_axis(call, compiled):
    with pytest.raises(rv.ShapeError, match=r"^\w+: .*(0-d|\(\))"):
        (rv.compile(call) if compiled else call)(T(1.0))


@pytest.mark.parametrize("make", [np.ones, rv.ones], ids=["arrays", "tensors"])
def test_empty_axes(make):
    assert [p.shape for p in rv.chunk(make((0, 3)), 3)] == [(0, 3)] * 3  # as PyTorch
    assert [p.shape for p in rv.split(make((0, 3)), 0)] == [(0, 3)]
    assert F.glu(make((2, 0))).shape == (2, 0)
    assert rv.diff(make((0,))).shape == rv.diff(make((3,)), n=2**40).shape == (0,)
    assert rv.addmv(make((3,)), make((3, 0)), make((0,))).shape == (3,)
    assert rv.flip(make(()), 0).shape == rv.roll(make(()), 1).shape == ()
    assert rv.masked_select(make(()), make(()).astype(bool) if make is np.ones else T(True)).tolist() == [1.0]


# one expression, what it is; f32 where PyTorch refuses the dtypes and we do not
BOOL, BYTES = T([True, False]), T([0, 200], dtype=u8)
RESULTS = [
    (lambda: rv.square(BOOL), i64, [1, 0]),
    (lambda: BOOL**2, i64, [1, 0]),
    (lambda: BOOL**2.5, f32, [1, 0]),
    (lambda: rv.sign(BOOL), b, [True, False]),
    (lambda: rv.nan_to_num(BOOL), b, [True, False]),
    (lambda: rv.floor(BOOL), b, [True, False]),
    (lambda: rv.copysign(BOOL, T([-1.0, -1.0])), f32, [-1.0, -0.0]),
    (lambda: rv.copysign(T([-(2**31)], dtype=i32), T([1], dtype=i32)), f32, [2.0**31]),
    (lambda: rv.copysign(T([3]), T([-0.0], dtype=f64)), f64, [-3.0]),
    (lambda: rv.fmod(BOOL, T([2, 2])), i64, [1, 0]),
    (lambda: rv.fmod(T([7.0, -7.0]), BYTES), f32, [math.nan, -7.0]),
    (lambda: rv.fmod(T([-(2**31), 7, -7], dtype=i32), T([3, -3, 3], dtype=i32)), i32, [-2, 1, -1]),
    (lambda: rv.hypot(T([True]), T([1.0])), f32, [math.sqrt(2)]),
    (lambda: rv.hypot(T([3]), 4), f32, [5.0]),
    (lambda: rv.atanh(T([1], dtype=u8)), f32, [math.inf]),
    (lambda: F.hardsigmoid(BYTES), f32, [0.5, 1.0]),
    (lambda: rv.logaddexp(BYTES, T([1, 201], dtype=u8)), f32, [math.log(1 + math.e), 200 + math.log(1 + math.e)]),
    (lambda: F.threshold(BYTES, 1, 7), u8, [7, 200]),
    (lambda: F.threshold(T([2**24 + 1]), 1, 7), i64, [2**24 + 1]),
    (lambda: rv.masked_fill(T([2**24 + 1, 1]), T([False, True]), 3.7), i64, [2**24 + 1, 3]),
    (lambda: rv.masked_fill(BYTES, BOOL, T(2.9)), u8, [2, 200]),
    (lambda: rv.clamp(BYTES, -1, 100), u8, [0, 100]),
    (lambda: rv.clamp(T([2**60 + 1]), 2**60 + 3), i64, [2**60 + 3]),
    (lambda: BYTES >= -1, b, [True, True]),
    (lambda: 300 < BYTES, b, [False, False]),
    (lambda: T([5], dtype=i32) == 2**40, b, [False]),
    (lambda: T([2**62]) < 2**70, b, [True]),
    (lambda: rv.isclose(T([1], dtype=u8), T([2], dtype=u8), atol=1), b, [True]),
    (lambda: rv.isclose(BOOL, BOOL), b, [True, True]),
    (lambda: rv.add(T([1.0], dtype=f64), 0.1, alpha=0.1), f64, [1.01]),
    (lambda: rv.xlogy(2.0, T([3.0], dtype=f64)), f64, [2 * math.log(3)]),
    (lambda: rv.cov(T([[1, 2, 3]])), f32, 1.0),
    (lambda: rv.corrcoef(T([[1.0, 2.0, 4.0]])), f32, 1.0),
    (lambda: rv.cov(T([[1.0, 2.0], [3.0, 5.0]])), f32, [[0.5, 1.0], [1.0, 2.0]]),
    (lambda: rv.index_add(BOOL, 0, T([1]), T([True])), b, [True, True]),
    (lambda: rv.index_add(BYTES, 0, T([1, 0]), BYTES), u8, [200, 200]),
    (lambda: rv.scatter(BYTES, 0, T([1]), value=2.5), u8, [0, 2]),
    (lambda: rv.take_along_dim(BOOL, T([1]), 0), b, [False]),
    (lambda: rv.median(BYTES), u8, 0),
    (lambda: rv.meshgrid(rv.arange(2), T(3), indexing="xy")[1], i64, [[3, 3]]),
]  # fmt: skip


@pytest.mark.parametrize("call, dtype, values", RESULTS)
def test_values_and_dtypes(call, dtype, values):
    """Eager, compiled and by the reference."""
    with rv.backend("numpy"):
        reference = call()
    compiled = rv.compile(call)
    for out in (call(), reference, compiled(), compiled()):
        assert out.dtype == dtype
        np.testing.assert_allclose(out.numpy(), np.array(values), rtol=1e-6 if dtype == f32 else 1e-14)
        number = ~np.isnan(values)
        np.testing.assert_array_equal(np.signbit(out.numpy())[number], np.signbit(values)[number])


def test_arrays_beside_numbers_stay_arrays():
    x = np.array([1.0, 2.0])
    calls = [
        rv.fmax,
        rv.fmin,
        rv.hypot,
        rv.logaddexp,
        rv.logaddexp2,
        rv.xlogy,
        rv.isclose,
        rv.copysign,
        rv.fmod,
        rv.atan2,
    ]
    for f in calls:
        for args in ((x, 2.0), (2.0, x), (x, np.float64(2.0)), (x.astype("f4"), 2.0)):
            out, same = f(*args), f(*(T(a, dtype=f32 if "f4" in str(x.dtype) else None) if a is x else a for a in args))
            assert type(out) is np.ndarray, f.__name__
            arrays = [a for a in args if isinstance(a, np.ndarray)]
            assert out.dtype in (bool, arrays[0].dtype) and out.tolist() == np.asarray(same).tolist(), f.__name__
    assert F.hardsigmoid(np.array(1.0)).dtype == np.float64
    assert rv.masked_fill(np.arange(3), np.array([True, False, True]), 3.7).tolist() == [3, 1, 3]
    assert [g.shape for g in rv.meshgrid(np.arange(2), np.arange(3))] == [(2, 3)] * 2
    assert rv.addmm(np.float64(1), np.ones((2, 2), "f4"), np.ones((2, 2), "f4")).dtype == np.float32


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 17, 1000])
@pytest.mark.parametrize("dtype", [f32, f64])
def test_linspace_of_symmetric_ends_is_symmetric(steps, dtype):
    x = rv.linspace(-0.7, 0.7, steps, dtype=dtype).numpy()
    assert x[0] == dtype.type(-0.7) and (steps == 1 or np.array_equal(x, -x[::-1]))
    np.testing.assert_allclose(x, np.linspace(-0.7, 0.7, steps), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("call, error, message", [
    (lambda: rv.full((2,), 2**40, dtype=i32), rv.DTypeError, "^full: 1099511627776 does not fit int32, whose range"),
    (lambda: BYTES + 300, rv.DTypeError, "^add: number 300 does not fit dtype uint8"),
    (lambda: rv.clamp(BYTES, 300), rv.DTypeError, "^clamp: bounds min=300, max=None leave no number of uint8"),
    (lambda: rv.masked_fill(T([1]), T([True]), math.nan), rv.DTypeError, "^masked_fill: value=nan .* does not fit int64"),
    (lambda: rv.pad(np.ones(2), 1), rv.DTypeError, "^pad: pad=1 must list sizes"),
    (lambda: rv.index_add(rv.zeros(3), 0, T([1]), T([1])), rv.DTypeError, "^index_add: source has dtype int64, must be"),
    (lambda: rv.diff(T([1]), n=-1), rv.OutOfRangeError, "^diff: n=-1 must be >= 0"),
    (lambda: T([1.0]) == [1.0], rv.DTypeError, r"^eq: argument \[1.0\] of type list"),
    (lambda: rv.linspace(0, 1, -1), rv.ShapeError, "^linspace: steps=-1 must be >= 0"),
    (lambda: iter(T(1.0)), TypeError, "^iteration over a 0-d tensor"),
    (lambda: len(T(1.0)), TypeError, "^len: a 0-d tensor has no length"),
])  # fmt: skip
def test_errors_name_what_is_wrong(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_other_objects_are_not_equal():
    x = T([1.0])
    assert not (x == "a") and x != "a" and not (x == object()) and "a" != x and x not in [None, "a"]


def test_numpys_names_of_arguments():
    x = rv.arange(4.0)
    assert rv.std(x, ddof=0).item() == pytest.approx(np.std(np.arange(4.0)))
    assert rv.clip(x, a_min=1, a_max=2).tolist() == [1, 1, 2, 2] and x.clip(a_max=2).tolist() == [0, 1, 2, 2]
    assert rv.roll(x, shift=1).tolist() == [3, 0, 1, 2]


@pytest.mark.parametrize("call", [
    lambda x: rv.flip(x, 0), rv.flipud, rv.fliplr, rv.rot90, lambda x: rv.rot90(x, 0), lambda x: rv.roll(x, 0),
    lambda x: F.pad(x, (0, 0)), lambda x: x.repeat(1, 1), lambda x: x.tile(1), lambda x: x.repeat_interleave(1, 0),
    lambda x: rv.diff(x, n=0), lambda x: rv.matrix_power(x, 1), lambda x: x.clone(),
])  # fmt: skip
def test_copies_are_apart(call):
    """What changes the result in place does not change the input; compiled too."""

    def f(x):
        y = call(x)
        y *= 2
        return y.sum() - 2 * x.sum()

    x = T([[1.0, 2.0], [3.0, 4.0]])
    assert f(x).item() == rv.compile(f)(x).item() == 0 and x.tolist() == [[1, 2], [3, 4]]


def test_a_diagonal_is_apart():
    x = T([[1.0, 2.0], [3.0, 4.0]])
    y = rv.diag(x)
    y *= 2
    assert x.tolist() == [[1, 2], [3, 4]] and y.tolist() == [2, 8]
