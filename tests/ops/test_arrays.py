"""NumPy's arrays and functions beside tensors."""

from __future__ import annotations

import operator
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import DTypeError

# ---------------------------------------------------------------- NumPy's functions and operators take tensors

X = np.array([[1.0, -2.0, 3.0], [4.0, 0.5, -6.0]], np.float32)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.sum(x), lambda x: np.mean(x, axis=0), lambda x: np.max(x, axis=1, keepdims=True),
        lambda x: np.std(x, ddof=1), lambda x: np.argmax(x, axis=1), lambda x: np.exp(x), lambda x: np.transpose(x),
        lambda x: np.concatenate([x, x], axis=1), lambda x: np.stack((x, x)), lambda x: np.size(x), lambda x: np.ndim(x),
        lambda x: np.add.reduce(x, axis=0), lambda x: np.where(x > 0, x, 0), lambda x: np.dot(x, x.T),
        lambda x: np.maximum(x, 0), lambda x: np.multiply.outer(x[0], x[1]), lambda x: np.einsum("ij->j", x),
    ],
)  # fmt: skip
def test_functions_of_numpy(call):
    """They see the array and give what they give for arrays."""
    result, expected = call(rv.from_numpy(X)), call(X)
    assert type(result) is type(expected) and np.asarray(result).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(result, expected)


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
             operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("left", [X, np.float64(2.5), np.float32(2.5)], ids=["array", "float64", "float32"])
def test_operators_of_arrays(op, left):
    """array + tensor is tensor + tensor; NumPy's scalars are numbers."""
    t = rv.tensor(X + 0.25, requires_grad=True)
    result = op(left, t)
    expected = op(rv.from_numpy(X) if left is X else 2.5, t)
    assert isinstance(result, rv.Tensor) and result.dtype == expected.dtype
    assert result.tolist() == expected.tolist() and result.requires_grad == expected.requires_grad


def test_powers_products_and_bits():
    a, t = np.abs(X), rv.tensor(np.abs(X.T))
    assert isinstance(a @ t, rv.Tensor) and (a @ t).tolist() == (rv.from_numpy(a) @ t).tolist()
    assert (a**t.T).tolist() == (rv.from_numpy(a) ** t.T).tolist()
    i = np.array([5, 6], np.int64)
    assert (i & rv.tensor([3, 3])).tolist() == [1, 2] and (i ^ rv.tensor([3, 3])).tolist() == [6, 5]


def test_arrays_change_in_place():
    a = X.copy()
    same, t = a, rv.tensor([1.0, 2.0, 3.0])
    a += t
    assert a is same and type(a) is np.ndarray
    np.testing.assert_array_equal(a, X + np.array([1, 2, 3], np.float32))
    np.multiply(t, 2, out=a[0])
    assert a[0].tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(DTypeError, match=r"^add: out must be a NumPy array"):
        np.add(a, a, out=rv.zeros(2, 3))


def test_traces_refuse_functions_of_numpy():
    with pytest.raises(rv.TraceError, match="^sum needs the value"):
        rv.compile(lambda x: np.sum(x))(rv.ones(3))
    assert rv.compile(lambda x: X + x)(rv.ones(3)).tolist() == (X + 1).tolist()


def test_plus_and_round():
    t = rv.tensor([1.26, -2.5], requires_grad=True)
    assert (+t).tolist() == t.tolist() and (+t).requires_grad
    assert round(t).tolist() == [1.0, -2.0]
    assert round(t, 1).tolist() == pytest.approx([1.3, -2.5])


# ---------------------------------------------------------------- byte order


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_order(order, dtype):
    """'>f8' is float64."""
    a = np.array([1, 2, 300], order + dtype)
    for t in (rv.tensor(a), rv.as_tensor(a), rv.tensor(a.tolist(), a.dtype), rv.zeros(3, dtype=a.dtype) + rv.tensor(a)):
        assert t.dtype == np.dtype(dtype) and t.dtype.isnative and t.tolist() == [1, 2, 300]
    if not a.dtype.isnative:
        with pytest.raises(DTypeError, match="dtype >"):
            rv.from_numpy(a)  # which cannot share its memory


# ---------------------------------------------------------------- indices that NumPy takes

BLOCK = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    "index",
    [
        True, False, np.True_, np.array(False), range(2), range(0), range(1, -1, -1), (True, 1), (0, True),
        (slice(None), True), (True, True), (True, [0, 1]), (None, True), (..., True), (..., range(3)),
        (slice(0, 1), range(2), 1), (False, [0]), (slice(None), False), (True, slice(None), [0, 2]),
    ],
    ids=str,
)  # fmt: skip
def test_indices(index):
    """Single truths are masks of no axes; ranges are lists."""
    expected, written = BLOCK[index], BLOCK.copy()
    written[index] = -1
    for _ in range(2):
        t = rv.tensor(BLOCK, requires_grad=True)
        for part in (t.detach()[index], t[index], rv.compile(lambda x: x[index])(t.detach())):
            assert part.shape == expected.shape and part.tolist() == expected.tolist()
        t[index].sum().backward()
        assert t.grad.sum().item() == expected.size
        changed = rv.tensor(BLOCK)
        changed[index] = -1
        assert changed.tolist() == written.tolist()


def test_truths_of_tensors_as_indices():
    t = rv.tensor(3.0)
    assert (
        t[t > 0].tolist() == [3.0] and t[t < 0].shape == (0,) and rv.arange(3)[rv.tensor(True)].tolist() == [[0, 1, 2]]
    )
    t[t > 0] = 1.0
    assert t.item() == 1.0
    with pytest.raises(rv.TraceError):
        rv.compile(lambda x: x[x.sum() > 0])(rv.ones(3))


# ---------------------------------------------------------------- NumPy's scalars


@pytest.mark.parametrize(
    "call",
    [
        rv.sqrt, rv.sinc, rv.asinh, rv.nan_to_num, rv.logit, rv.sum, rv.var, lambda x: rv.softmax(x, 0),
        lambda x: rv.fmax(x, 0.25), lambda x: rv.add(x, 1), lambda x: rv.clamp(x, 0, 1), lambda x: rv.sum(x, np.int64(0)),
        lambda x: rv.where(np.True_, x, 2.0), lambda x: rv.hypot(x, x), lambda x: rv.sum(input=x, axis=0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scalars_are_arrays(call, dtype):
    """rv.sqrt(np.mean(a)) computes in the dtype of its scalar, and gives an array."""
    x = np.dtype(dtype).type(0.3)
    for _ in range(2):
        result, expected = call(x), call(np.asarray(x))
        assert isinstance(result, np.ndarray) and result.dtype == expected.dtype == x.dtype
        assert result.tobytes() == expected.tobytes()


def test_scalars_beside_others_are_numbers():
    for x in (rv.ones(2), np.ones(2, np.float32)):
        for result in (rv.mul(x, np.float64(0.1)), rv.mul(np.float64(0.1), x), rv.hypot(x, np.float64(2.0))):
            assert type(result) is type(x) and result.dtype == np.float32
    for i in (rv.arange(3), np.arange(3)):
        for _ in range(2):
            assert rv.mul(i, np.float64(2.5)).dtype == rv.mul(i, 2.5).dtype == np.float32
    assert (rv.tensor(2.0) * np.float64(0.1)).dtype == np.float32
    assert (rv.ones(2, dtype="float64") * np.float64(0.1)).tolist() == [0.1, 0.1]
    assert isinstance(rv.sqrt(2.0), rv.Tensor)


def test_the_first_call_of_a_process():
    code = "import numpy as np, ranvier as rv; print((rv.arange(3) * np.float64(2.5)).dtype, rv.sinc(np.float64(2.5)).dtype)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["float32", "float64"], done.stderr


def test_numbers_are_written_at_once():
    """x[index] = number; what NumPy cannot write directly goes the long way, with its errors."""
    x, expected = rv.zeros(3, 4), np.zeros((3, 4), np.float32)
    for index, number in (
        (1, 2),
        ((slice(None), 0), 1.5),
        (..., 0.25),
        ((0, -1), 7),
        (None, 3.0),
        ((slice(0, 2), 1), -1),
    ):
        part, version = x[0], x.version
        x[index] = number
        expected[index] = number
        assert x.tolist() == expected.tolist() and part.tolist() == expected[0].tolist() and x.version > version
    with pytest.raises(rv.OutOfRangeError, match=r"^index: 5 must be in \[-3, 2\]"):
        x[5] = 1.0
    with pytest.raises(rv.GradError, match="in-place change of a leaf"):
        rv.ones(3, requires_grad=True)[0] = 1.0
    w = rv.ones(3, requires_grad=True)
    y = w * 2
    y[0] = 5.0
    y.sum().backward()
    assert w.grad.tolist() == [0.0, 2.0, 2.0]
    step = rv.compile(lambda a: a.__setitem__(0, 4.0))
    step(x)
    assert x[0].tolist() == [4.0] * 4
