"""What public functions remember of a call holds for the next one of the same signature, and for no other."""

import numpy as np
import pytest
import ranvier as rv
from ranvier.ops import dispatch
from ranvier.ops.public import made_public


def array(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def thrice(function, *args, **kwargs):
    """The result of the first and of later calls, which have to be the same."""
    first, *later = (function(*args, **kwargs) for _ in range(3))
    for again in later:
        assert type(again) is type(first)
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (first, again))):
            assert type(a) is type(b) and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    return first


@pytest.mark.parametrize("make", [lambda a: a, rv.tensor], ids=["arrays", "tensors"])
def test_the_same_argument_twice_is_another_call(make):
    a, b, c = make(array(4, 4)), make(array(4, 4, seed=1)), make(array(4, 4, seed=2))
    for function, numpy in ((rv.sub, np.subtract), (rv.matmul, np.matmul), (rv.maximum, np.maximum)):
        for x, y in ((a, a), (a, b), (b, a), (b, b), (c, b)):
            np.testing.assert_allclose(thrice(function, x, y), numpy(np.asarray(x), np.asarray(y)), rtol=1e-5)
    for three in ([a, a, b], [a, b, a], [a, b, b], [a, b, c], [c, c, c]):
        np.testing.assert_array_equal(thrice(rv.cat, three), np.concatenate([np.asarray(x) for x in three]))
        np.testing.assert_array_equal(thrice(rv.stack, three, -1), np.stack([np.asarray(x) for x in three], -1))
    mask = make(array(4, 4) > 0)
    np.testing.assert_array_equal(
        thrice(rv.where, mask, a, b), np.where(np.asarray(mask), np.asarray(a), np.asarray(b))
    )
    np.testing.assert_array_equal(
        thrice(rv.where, mask, b, a), np.where(np.asarray(mask), np.asarray(b), np.asarray(a))
    )


@pytest.mark.parametrize("make", [lambda a: a, rv.tensor], ids=["arrays", "tensors"])
def test_axes_by_all_their_names(make):
    a = array(3, 4, 5)
    x = make(a)
    for axis in (0, 1, -1, (0, 2), [1, 2], None, np.int64(1)):
        numpy = tuple(axis) if isinstance(axis, list) else axis
        for keep in (False, True):
            for names in (
                {"dim": axis, "keepdim": keep},
                {"axis": axis, "keepdims": keep},
                {"axis": axis, "keepdim": keep},
            ):
                got = thrice(rv.sum, x, **names)
                assert isinstance(got, np.ndarray) == isinstance(x, np.ndarray) and got.dtype == np.float32
                np.testing.assert_allclose(got, a.sum(numpy, keepdims=keep), rtol=1e-5)
    np.testing.assert_allclose(thrice(rv.softmax, x, axis=1), thrice(rv.softmax, x, 1))
    np.testing.assert_array_equal(thrice(rv.permute, x, axes=(2, 0, 1)), a.transpose(2, 0, 1))
    for _ in range(3):
        with pytest.raises(TypeError, match="dim and axis are the same"):
            rv.sum(x, dim=0, axis=0)
        with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
            rv.cumsum(x, axes=0)


def test_values_of_plain_arguments_count():
    x = rv.tensor(array(4, 6))
    for power in (2, 3, 2.0, 0.5, 2.5, -1, True):
        np.testing.assert_allclose(thrice(rv.pow, abs(x), power), abs(x).numpy() ** power, rtol=1e-5)
    for low in (0.0, -0.0, -1, 0.25, float("inf")):
        np.testing.assert_array_equal(thrice(rv.clamp, x, min=low), np.maximum(x.numpy(), np.float32(low)))
    for k in (0, 1, -1, 3):
        np.testing.assert_array_equal(thrice(lambda: x[rv.tensor(k)]), x.numpy()[k])  # the index decides by its value
        np.testing.assert_array_equal(thrice(rv.tril, x, k), np.tril(x.numpy(), k))
    for rows in ([0, 2], [2, 0], [3]):
        np.testing.assert_array_equal(thrice(lambda: x[rows]), x.numpy()[rows])  # noqa: B023
    assert thrice(rv.gelu, x, "none").tolist() != thrice(rv.gelu, x, "tanh").tolist()


def test_dtypes_and_defaults_count():
    a = np.arange(6).reshape(2, 3)
    for dtype in (np.int32, np.int64, np.uint8, np.float32, np.float64):
        for x in (a.astype(dtype), rv.tensor(a.astype(dtype))):
            assert thrice(rv.add, x, 1).dtype == dtype
            assert thrice(rv.mul, x, 0.5).dtype == (dtype if np.dtype(dtype).kind == "f" else np.float32)
            assert thrice(rv.sqrt, x).dtype == (dtype if np.dtype(dtype).kind == "f" else np.float32)
    try:
        rv.set_default_dtype("float64")
        for x in (a, rv.tensor(a)):
            assert (
                thrice(rv.mul, x, 0.5).dtype == thrice(rv.sqrt, x).dtype == thrice(rv.clamp, x, 0.5).dtype == np.float64
            )
    finally:
        rv.set_default_dtype("float32")
    for x in (a, rv.tensor(a)):
        assert thrice(rv.mul, x, 0.5).dtype == thrice(rv.sqrt, x).dtype == thrice(rv.clamp, x, 0.5).dtype == np.float32


def test_a_default_that_changes_while_a_function_runs():
    def function(x):
        y = x.to(float)
        rv.set_default_dtype("float64")  # as another thread may
        return y

    public = made_public(function, remembers=True)
    x = rv.tensor([1, 2]) + 1  # nothing is remembered before the first op
    try:
        assert [public(x).dtype for _ in range(3)] == [np.float32, np.float64, np.float64]
    finally:
        rv.set_default_dtype("float32")


def test_a_default_that_changes_while_a_number_gets_its_dtype(monkeypatch):
    x, real = rv.tensor([1, 2]) + 1, dispatch.get_default_dtype

    def changing():
        before = real()
        rv.set_default_dtype("float64")  # as another thread may
        return before

    monkeypatch.setattr(dispatch, "get_default_dtype", changing)
    try:
        rv.atan2(x, 2)
        monkeypatch.undo()
        assert rv.atan2(x, 2).dtype == rv.atan2(x, 3).dtype == np.float64
    finally:
        rv.set_default_dtype("float32")


def test_a_list_that_holds_itself_is_refused():
    items = [rv.ones(2)]
    items.append(items)
    for function in (rv.stack, rv.cat, rv.add):
        with pytest.raises(rv.RanvierError):
            function(items, 1)


def test_precision_of_products_counts():
    a, b = rv.tensor(array(64, 64)), rv.tensor(array(64, 64, seed=1))
    x = rv.tensor(array(64, 64), requires_grad=True)
    before = rv.get_float32_matmul_precision()
    names = []
    try:
        for precision in ("highest", "medium", "highest"):
            rv.set_float32_matmul_precision(precision)
            names += [(x @ b).grad_fn.call.attrs["precision"] for _ in range(2)]
            thrice(rv.matmul, a, b)
    finally:
        rv.set_float32_matmul_precision(before)
    assert names == ["highest"] * 2 + ["medium"] * 2 + ["highest"] * 2


def test_numbers_in_any_place():
    a = array(5)
    for x in (a, rv.tensor(a)):
        for number in (2, 2.5, True, -0.0, float("nan"), np.float32(0.5), np.float64(0.1), np.int64(3)):
            for got, wanted in ((thrice(rv.mul, x, number), a * number), (thrice(rv.mul, number, x), number * a)):
                assert got.dtype == np.float32 and isinstance(got, np.ndarray) == isinstance(x, np.ndarray)
                np.testing.assert_array_equal(got, wanted.astype(np.float32))
        assert np.signbit(thrice(rv.mul, abs(x), -0.0)[0])
        assert not np.signbit(thrice(rv.mul, abs(x), 0.0)[0])
        with pytest.raises(TypeError, match="does not fit"):
            rv.add(rv.tensor([1], dtype="uint8"), 300)
    for number in (np.float64(2), np.asarray(2.0), np.float32(2), np.mean(array(3))):
        got = thrice(rv.sqrt, number)
        assert isinstance(got, np.ndarray) and got.dtype == number.dtype and got == np.sqrt(number)
    assert isinstance(rv.sqrt(2.0), rv.Tensor)


def test_arrays_of_both_byte_orders_and_arrays_beside_tensors():
    a, x = array(3, dtype=">f8"), rv.tensor(array(3))
    got = thrice(rv.exp, a)
    assert got.dtype == np.float64 and isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, np.exp(a))
    for args in ((a.astype("<f4"), x), (x, a.astype("<f4")), (a, x)):
        assert isinstance(thrice(rv.add, *args), rv.Tensor)
    w = rv.tensor(array(3), requires_grad=True)
    for _ in range(3):
        w.grad = None
        rv.mul(a.astype("<f4"), w).sum().backward()
        np.testing.assert_array_equal(w.grad, a.astype("f4"))


def test_arrays_are_never_traced():
    a = array(4, 3)

    @rv.compile
    def step(x):
        m = rv.sum(a, axis=0)
        assert isinstance(m, np.ndarray)
        return x * m + rv.add(a, 1)[0]

    x = rv.tensor(array(3, seed=1))
    thrice(rv.sum, a, axis=0)
    np.testing.assert_allclose(thrice(step, x), x.numpy() * a.sum(0) + (a + 1)[0], rtol=1e-6)


def test_with_alpha_or_several_ops_nothing_is_mixed_up():
    x, y = rv.tensor(array(4)), rv.tensor(array(4, seed=1))
    for alpha in (1, 2, 1.0, 0.5):
        np.testing.assert_allclose(thrice(rv.add, x, y, alpha=alpha), x.numpy() + alpha * y.numpy(), rtol=1e-6)
        np.testing.assert_allclose(
            thrice(rv.add, x.numpy(), y.numpy(), alpha=alpha), x.numpy() + alpha * y.numpy(), rtol=1e-6
        )
    b = array(2, 8)
    for names in ((0, 4), (4, 0)):
        parts = thrice(rv.split, rv.tensor(b), [n + 2 for n in names], 1)
        assert [p.shape[1] for p in parts] == [n + 2 for n in names]
    assert type(thrice(rv.max, x, 0)).__name__ == "max" and thrice(rv.max, x, 0).indices.dtype == np.int64
    for n in (3, 300):
        rows = thrice(lambda: rv.unbind(rv.arange(2 * n).reshape(n, 2)))  # noqa: B023
        assert len(rows) == n and rows[-1].tolist() == [2 * n - 2, 2 * n - 1]


def test_array_functions_give_arrays_whatever_is_between():
    a = array(4)
    for name in ("fmax", "fmin", "hypot", "logaddexp", "logaddexp2", "xlogy", "isclose", "threshold", "fmod"):
        function = getattr(rv, name, None) or getattr(rv.nn.functional, name)
        more = (0.5, 0.1) if name == "threshold" else (0.5,)
        got, of_tensors = thrice(function, abs(a), *more), thrice(function, abs(rv.tensor(a)), *more)
        assert isinstance(got, np.ndarray) and got.dtype == of_tensors.dtype, name
        np.testing.assert_array_equal(got, of_tensors)
    assert isinstance(rv.zeros_like(a), rv.Tensor)  # says that it makes tensors


def test_one_array_in_two_parts_is_not_taken_for_one_of_them():
    """The values of the second argument decide, though its memory is the first's."""
    for cuts in ([1, 2, 0, 3], [2, 1, 3, 0]):
        a = np.array(cuts)
        parts, expected = thrice(rv.vsplit, a, a), np.split(a, a)
        assert [p.tolist() for p in parts] == [p.tolist() for p in expected]
    for x in (array(4), array(4, seed=1)):
        t = rv.tensor(x)
        np.testing.assert_array_equal(thrice(rv.mul, t, t), x * x)
        assert thrice(rv.cat, [t, t]).tolist() == [*x.tolist(), *x.tolist()]
