"""Functions made of others: edge values as in NumPy, plain arrays, errors. Values and gradients: tests/torch_cases.py."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import DomainError, DTypeError, OutOfRangeError, RanvierError, ShapeError, TraceError

EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5, np.inf, -np.inf, np.nan])
LEFT, RIGHT = np.repeat(EDGES, EDGES.size), np.tile(EDGES, EDGES.size)
floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


def same(ours, theirs, dtype, signs=True):
    assert isinstance(ours, np.ndarray) and ours.dtype == np.dtype(dtype if theirs.dtype.kind == "f" else theirs.dtype)
    np.testing.assert_allclose(ours, theirs, rtol=8 * np.finfo(dtype).eps, atol=0)
    if signs and theirs.dtype.kind == "f":
        known = ~np.isnan(theirs)
        np.testing.assert_array_equal(np.signbit(ours)[known], np.signbit(theirs)[known])


@floats
@pytest.mark.parametrize("name", ["arctan2", "hypot", "logaddexp", "logaddexp2", "copysign", "fmax", "fmin", "heaviside",
                                  "fmod"])  # fmt: skip
@np.errstate(all="ignore")
def test_pairs_of_edges(name, dtype):
    a, b = (
        x if name not in ("copysign", "heaviside") else np.where(np.isnan(x), 1.0, x) for x in (LEFT, RIGHT)
    )  # a NaN's sign is open
    a, b = a.astype(dtype), b.astype(dtype)
    theirs = getattr(np, name)(a, b)
    if name == "hypot":  # NaN here, inf in C
        theirs = np.where(np.isnan(a) | np.isnan(b), np.nan, theirs)
    same(getattr(rv, name)(a, b), theirs, dtype, signs=name in ("arctan2", "copysign", "fmod"))


@floats
@pytest.mark.parametrize("name", ["signbit", "isposinf", "isneginf", "nan_to_num", "arctan", "arcsin", "arccos", "sinh", "cosh",
                                  "arcsinh", "arccosh", "arctanh", "deg2rad", "rad2deg", "positive", "fix", "sign"])  # fmt: skip
@np.errstate(all="ignore")
def test_edges(name, dtype):
    x = np.concatenate([EDGES[:-1], [1e-3, -1e-3, 20.5, -88.9, 1e15, -1e15]]).astype(dtype)
    if name in ("deg2rad", "rad2deg"):
        x = x[np.abs(x) < 100]
    theirs = getattr(np, name)(x)
    same(getattr(rv, name)(x), theirs, dtype, signs=name not in ("sign", "arcsinh"))
    if theirs.dtype.kind == "f" and name != "nan_to_num":
        assert np.isnan(getattr(rv, name)(np.array([np.nan], dtype)))[0] or name == "sign"


@floats
def test_nan_to_num(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 2.0], dtype)
    assert rv.nan_to_num(x, 7.0, 8.0, 9.0).tolist() == [7.0, 8.0, 9.0, 2.0]
    largest = float(np.finfo(dtype).max)
    assert rv.nan_to_num(rv.tensor(x)).tolist() == [0.0, largest, -largest, 2.0]
    t = rv.tensor(x, requires_grad=True)
    rv.nan_to_num(t).sum().backward()
    assert t.grad.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert rv.nan_to_num(rv.tensor([1, 2])).tolist() == [1, 2]


BOTH = [[0.0, 0.0, -0.0, 1.0, -5.0, 5.0, 3.0], [0.5, 2.0, 3.0, 1.0, 3.0, -3.0, -4.0]]


@floats
@pytest.mark.parametrize(
    "name, inputs, gradients",
    [
        ("asinh", [[0.0, -0.0, 0.75, -0.75, 1e12]], [[1.0, 1.0, 0.8, 0.8, 1e-12]]),
        ("acosh", [[1.0, 1.25]], [[np.inf, 4 / 3]]),
        ("atanh", [[0.0, 1.0, -1.0]], [[1.0, np.inf, np.inf]]),
        ("tan", [[0.0]], [[1.0]]),
        ("sinh", [[0.0]], [[1.0]]),
        ("sinc", [[0.0]], [[0.0]]),
        ("hypot", [[3.0, 0.0, 1e30, -3e-30], [-4.0, -2.0, 1e30, 4e-30]],
         [[0.6, 0.0, 0.5**0.5, -0.6], [-0.8, -1.0, 0.5**0.5, 0.8]]),
        ("atan2", [[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]], [[0.0, 0.5, 0.0], [0.0, 0.0, -1.0]]),
        ("xlogy", [[0.0, 0.0, 0.0, 2.0], [np.e, 0.5, 0.0, np.e]], [[1.0, np.log(0.5), 0.0, 1.0], [0.0, 0.0, 0.0, 2 / np.e]]),
        ("logaddexp", [[0.0, 1.0, np.inf], [0.0, -np.inf, 0.0]], [[0.5, 1.0, 1.0], [0.5, 0.0, 0.0]]),
        ("fmod", BOTH, [[1.0] * 7, [-np.trunc(a / b) for a, b in zip(*BOTH)]]),
        ("copysign", [[1.0, 1.0, -2.0, 0.0, 3.0], [-1.0, 0.0, -0.0, -1.0, np.inf]],
         [[-1.0, 1.0, 1.0, 0.0, 1.0], [0.0] * 5]),
        ("fmax", [[1.0, 2.0, np.nan, 1.0, np.nan], [1.0, 3.0, 1.0, np.nan, np.nan]],
         [[1.0, 0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0, 0.0]]),
        ("fmin", [[1.0, 2.0, np.nan, 1.0, np.nan], [1.0, 3.0, 1.0, np.nan, np.nan]],
         [[1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0]]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)  # fmt: skip
def test_gradients_at_edges(name, inputs, gradients, dtype):
    tensors = [rv.tensor(x, dtype=getattr(rv, dtype), requires_grad=True) for x in inputs]
    for f in (getattr(rv, name), rv.compile(getattr(rv, name))):
        for t in tensors:
            t.grad = None
        f(*tensors).sum().backward()
        for t, expected in zip(tensors, gradients):
            np.testing.assert_allclose(t.grad.numpy(), expected, rtol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("p", [0.5, -1.0])
def test_norm_of_a_small_power_has_no_gradient_at_zero(p):
    x = rv.tensor([[0.0, 4.0], [1.0, 4.0]], requires_grad=True)
    out = rv.norm(x, p, 1)
    out.sum().backward()
    row = np.array([1.0, 4.0])
    whole = (row**p).sum() ** (1 / p)
    np.testing.assert_allclose(out.tolist(), [4.0 if p > 0 else 0.0, whole], rtol=1e-6)
    np.testing.assert_allclose(x.grad.tolist(), [[0, 1 if p > 0 else 0], (row / whole) ** (p - 1)], rtol=1e-6)


@floats
def test_lengths_and_angles_of_any_size(dtype):
    info = np.finfo(dtype)
    for unit in (info.max / 4, info.max**0.75, 1.0, info.tiny**0.75, info.tiny * 2):
        a, b = (x.ravel() * np.array(unit, dtype) for x in np.meshgrid(*[np.array([1, 1.25, 2, 2.5, 3.75], dtype)] * 2))
        if unit < 1:
            same(rv.hypot(a, b), np.hypot(a, b), dtype)
        same(rv.atan2(a, -b), np.arctan2(a, -b), dtype)
        same(rv.hypot(a / 4, b / 4), np.hypot(a / 4, b / 4), dtype) if unit >= 1 else None
    assert rv.atan2(np.array([info.max], dtype), np.array([info.max], dtype))[0] == pytest.approx(np.pi / 4)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers(dtype):
    a, b = np.array([5, 7, 0, 9], dtype), np.array([3, 2, 4, 9], dtype)
    assert np.array_equal(rv.fmod(a, b), np.fmod(a, b)) and rv.fmod(a, b).dtype == dtype
    assert np.array_equal(rv.fmod(a, 3), np.fmod(a, 3)) and rv.fmod(a, 3).dtype == dtype
    if dtype != "uint8":
        assert np.array_equal(rv.fmod(-a, -b), np.fmod(-a, -b)) and np.array_equal(rv.fmod(-a, -3), np.fmod(-a, -3))
        assert rv.copysign(a, -b).tolist() == [-5, -7, 0, -9]
    for signs in (b, -1.0, -1):
        assert rv.copysign(a, signs).dtype == "float32"


def test_order_statistics_of_nan_and_empty():
    x = rv.tensor([[1.0, np.nan, 2.0], [5.0, 3.0, 4.0]])
    values, indices = rv.median(x, 1)
    assert np.isnan(values[0].item()) and values[1].item() == 4.0 and indices[1].item() == 2
    assert np.isnan(x.median().item()) and np.isnan(rv.quantile(x, 0.5).item())
    assert rv.quantile(x, [0.0, 1.0], axis=1)[:, 1].tolist() == [3.0, 5.0]
    assert rv.median(rv.tensor(3)).item() == 3 and rv.tensor([4, 1, 2, 3]).median().item() == 2
    for call in (lambda: rv.median(rv.zeros(0)), lambda: rv.quantile(rv.zeros(2, 0), 0.5, 1)):
        with pytest.raises(ShapeError, match="is empty: there is no element to choose"):
            call()
    with pytest.raises(OutOfRangeError, match=r"quantile: q=1.5 must be in \[0, 1\]"):
        rv.quantile(x, 1.5)
    with pytest.raises(DomainError, match="interpolation='cubic'"):
        rv.quantile(x, 0.5, interpolation="cubic")


def test_searching_arrays():
    x = np.array([[3, 1, 3], [1, 3, 1]])
    values, inverse, counts = rv.unique(x, return_inverse=True, return_counts=True)
    assert all(isinstance(a, np.ndarray) for a in (values, inverse, counts))
    assert values.tolist() == [1, 3] and counts.tolist() == [3, 3] and np.array_equal(values[inverse], x)
    assert rv.unique(rv.tensor([[1, 2], [1, 2], [0, 5]]), dim=0).tolist() == [[0, 5], [1, 2]]
    rows = rv.tensor([[1.0, 3.0], [2.0, 4.0]])
    assert rv.searchsorted(rows, rv.tensor([[3.0], [3.0]]), side="right").tolist() == [[2], [1]]
    assert rv.bincount(rv.tensor([0, 2, 2]), rv.tensor([0.5, 1.0, 2.0])).tolist() == [0.5, 0.0, 3.0]
    for weights, sums in (("float32", "float32"), ("float64", "float64"), ("int32", "float64")):
        assert rv.bincount(np.array([0, 2]), np.ones(2, weights)).dtype == sums
    with pytest.raises(ShapeError, match="searchsorted: sequences"):
        rv.searchsorted(rows, rv.zeros(3, 1))
    with pytest.raises(DTypeError, match="bincount: .* must be a vector of integers >= 0"):
        rv.bincount(rv.tensor([-1]))
    for f in (rv.unique, lambda x: rv.searchsorted(x, x), lambda x: rv.bincount(x.long())):
        with pytest.raises(TraceError, match="inside a compiled function"):
            rv.compile(f)(rv.arange(3))


def test_diagonals_of_arrays():
    x = np.arange(12.0).reshape(3, 4)
    for k in (-4, -2, 0, 1, 5):
        assert np.array_equal(rv.diag(x[0], k), np.diag(x[0], k)) and np.array_equal(rv.diag(x, k), np.diag(x, k))
    assert rv.diag(np.array([True, False])).dtype == bool
    assert rv.trace(x) == 15 and isinstance(rv.diag_embed(x), np.ndarray)
    assert np.array_equal(rv.kron(x, np.eye(2)), np.kron(x, np.eye(2)))
    assert np.array_equal(rv.matrix_power(np.eye(3, dtype="f4") * 2, 0), np.eye(3))
    m = rv.tensor([[1.0, np.nan], [np.inf, 2.0]], requires_grad=True)
    rv.matrix_power(m, 0).sum().backward()
    assert rv.matrix_power(m, 0).tolist() == [[1, 0], [0, 1]] and m.grad.tolist() == [[0, 0], [0, 0]]
    bits = rv.diff(rv.tensor([True, False, False, True]), 2)
    assert bits.dtype == rv.bool_ and bits.tolist() == [True, True]
    assert rv.tril_indices(3, 4, -1).tolist() == np.stack(np.tril_indices(3, -1, 4)).tolist()
    assert np.allclose(rv.cov(x), np.cov(x)) and np.allclose(rv.corrcoef(x * x), np.corrcoef(x * x))
    assert rv.cov(x[0]).item() == pytest.approx(np.cov(x[0]))
    assert [a.tolist() for a in rv.tensor_split(x[0], (1, -1))] == [[0.0], [1.0, 2.0], [3.0]]
    assert rv.tensor(3.0).unfold(0, 1, 1).tolist() == [3.0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: rv.diag(rv.zeros(2, 2, 2)), r"diag: shape \(2, 2, 2\) must have 1 or 2 axes"),
        (lambda x: rv.diag_embed(x, 0, 1, 1), "dim1=1 and dim2=1 are the same axis"),
        (lambda x: rv.trace(rv.zeros(3)), "trace: shape .* must be that of a matrix"),
        (lambda x: rv.cross(rv.zeros(4), rv.zeros(4)), r"cross: axis 0 of \(4,\) must have size 3"),
        (lambda x: rv.cdist(rv.zeros(2, 3), rv.zeros(2, 4)), r"cdist: x1\(2, 3\) and x2\(2, 4\)"),
        (lambda x: rv.matrix_power(x, -1), "matrix_power: shape|n=-1 must be >= 0"),
        (lambda x: x.unfold(0, 5, 1), r"unfold: size=5 must be in \[0, 2\]"),
        (lambda x: rv.cumprod(rv.tensor([1, 2], dtype=rv.int32) > 0, 2), "cumprod: dim=2"),
        (lambda x: rv.tensor_split(x, 0), "tensor_split: sections=0 must be "),
        (lambda x: rv.block_diag(rv.zeros(1, 1, 1)), "block_diag: shapes"),
        (lambda x: rv.cov(rv.zeros(1, 2, 3)), r"cov: input\(1, 2, 3\) must be \(variables, observations\)"),
    ],
)
def test_messages(call, message):
    with pytest.raises(RanvierError, match=message):
        call(rv.zeros(2, 3))


def test_methods_exist():
    """What takes `input` first is a method too; elementwise functions have one in place."""
    x = rv.tensor([[4.0, -1.0], [0.5, 2.0]])
    assert (
        x.trace().item() == 6.0
        and x.diag().tolist() == [4.0, 2.0]
        and x.cumprod(1).tolist() == [[4.0, -4.0], [0.5, 1.0]]
    )
    assert x.clone().clamp_min_(0.0).tolist() == [[4.0, 0.0], [0.5, 2.0]]
    assert x.clone().addcmul_(x, x, value=2.0).tolist() == [[36.0, 1.0], [1.0, 10.0]]
    assert x.atan2(x).shape == x.logaddexp(x).shape == x.nan_to_num().shape == (2, 2)
    assert x.less(1.0).tolist() == [[False, True], [True, False]]
    assert (x.nbytes, x.itemsize, x.ndimension(), rv.numel(x), x.numel()) == (16, 4, 2, 4, 4)
    assert x.new_empty(3, dtype=rv.int64).shape == (3,) and x.H.tolist() == x.T.tolist() and not x.is_cuda
    assert x[1].data_ptr() - x.data_ptr() == 8


def test_nothing_is_equal_to_none():
    x = rv.ones(2)
    assert not (x == None) and x != None  # noqa: E711
    assert x not in [None] and None not in [x]
    assert (x == 1).tolist() == [True, True] and (x != 1).tolist() == [False, False]


def test_running_extremes_shifts_and_arrangements():
    nan = float("nan")
    x = rv.tensor([[1.0, 3.0, 3.0, 2.0], [2.0, nan, 5.0, 1.0]], requires_grad=True)
    values, indices = rv.cummax(x, 1)
    np.testing.assert_array_equal(values.detach().numpy(), [[1, 3, 3, 3], [2, nan, nan, nan]])
    assert indices[0].tolist() == [0, 1, 2, 2]
    (values[0] * rv.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert x.grad[0].tolist() == [1, 2, 7, 0]
    assert rv.cummin(rv.tensor([3, 1, 2, 1]), 0).indices.tolist() == [0, 1, 1, 3]
    for dtype in (np.int32, np.int64, np.uint8):
        a, by = np.array([1, 200, 77, 3], dtype), np.array([0, 1, 7, 5], dtype)
        assert (rv.tensor(a) << rv.tensor(by)).tolist() == (a << by).tolist()
        assert (rv.tensor(a) >> rv.tensor(by)).tolist() == (a >> by).tolist()
    assert (rv.tensor([-1, -(2**62)]) >> 62).tolist() == [-1, -1] and (1 << rv.tensor([3])).tolist() == [8]
    assert (rv.tensor([-5], dtype=rv.int32) >> 31).tolist() == [-1]
    rows = rv.tensor([[1.0, nan, 3.0], [nan, nan, nan], [4.0, 2.0, 3.0]])
    np.testing.assert_array_equal(rv.nanmedian(rows, 1).values.numpy(), [1, nan, 3])
    assert rv.nanmedian(rows).item() == 3.0 and rv.nanmedian(rv.tensor([3, 1, 2])).item() == 2
    out = rv.unique_consecutive(np.array([1, 1, 2, 2, 1]), return_inverse=True, return_counts=True)
    assert [a.tolist() for a in out] == [[1, 2, 1], [0, 0, 1, 1, 2], [2, 2, 1]]
    assert rv.unique_consecutive(rv.tensor([[1, 1, 2], [0, 0, 2]]), dim=1).tolist() == [[1, 2], [0, 2]]
    assert rv.unique_consecutive(rv.zeros(0, 3), dim=0).shape == (0, 3) and rv.unique_consecutive(
        rv.zeros(0, 3), dim=1
    ).shape == (0, 1)
    y = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 5.0]])
    assert np.allclose(rv.trapezoid(y), np.trapezoid(y)) and np.allclose(
        rv.trapz(y, dx=0.5, dim=0), np.trapezoid(y, dx=0.5, axis=0)
    )
    assert np.allclose(rv.trapezoid(y, np.array([0.0, 1.0, 4.0])), np.trapezoid(y, [0, 1, 4]))
    assert rv.diagflat(rv.tensor([[1, 2]])).tolist() == [[1, 0], [0, 2]] and len(rv.dsplit(np.zeros((2, 2, 4)), 2)) == 2
    assert rv.logsumexp(rv.tensor([0, 0]), 0).item() == pytest.approx(np.log(2))
    assert rv.xlogy(rv.ones(2), rv.tensor(2.0, dtype=rv.float64)).dtype == rv.float32
    assert np.isnan(rv.nn.functional.kl_div(rv.zeros(2), rv.tensor([0.5, -0.5]), reduction="sum").item())


def test_selections_and_most_frequent_values():
    x = rv.tensor([[1, 3, 3], [2, 2, 5], [7, 6, 5]])
    values, indices = rv.mode(x)
    assert values.tolist() == [3, 2, 5] and indices.tolist() == [2, 1, 2]
    assert rv.mode(x, 0, True).values.tolist() == [[1, 2, 5]] and rv.mode(x.numpy(), 0).indices.tolist() == [0, 1, 2]
    assert rv.combinations(rv.arange(3), with_replacement=True).tolist() == [
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 1],
        [1, 2],
        [2, 2],
    ]
    assert rv.combinations(rv.arange(2), 3).shape == (0, 3)
    y = rv.full((2, 4), 2.0)
    assert y.scatter_(1, rv.tensor([[2], [3]]), 1.5, reduce="add").tolist() == [[2, 2, 3.5, 2], [2, 2, 2, 3.5]]
    with pytest.raises(rv.DomainError, match="^scatter: reduce='multiply' must be None or 'add'"):
        y.scatter(1, rv.tensor([[2], [3]]), 1.5, reduce="multiply")
