"""Functions that make tensors: small arrays natively, the others and all errors in Python; their dtypes and devices."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import BackendError, DTypeError, ShapeError
from ranvier.core.memory import STAGGERED, filled

SIZES = [(), (3,), (2, 3), (0, 3), (2, 1, 1, 1, 1, 1, 1, 1, 2), (STAGGERED // 4 - 1,), (STAGGERED // 4,), (300, 1000)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_fills(size, dtype):
    for number in (0, 1, True, *((7,) if dtype != "bool" else ()), *((2.5, -0.0) if dtype[0] == "f" else ())):
        t = rv.full(size, number, dtype=dtype)
        expected = np.full(size, number, dtype)
        assert t.dtype == expected.dtype and t.shape == size
        assert t.numpy().tobytes() == expected.tobytes() and t.numpy().flags.carray
    for t, number in ((rv.zeros(size, dtype=dtype), 0), (rv.ones(*size, dtype=dtype), 1)):
        assert t.dtype == np.dtype(dtype) and t.numpy().tobytes() == np.full(size, number, dtype).tobytes()
    assert rv.empty(size, dtype=dtype).shape == size
    like = rv.zeros(size, dtype=dtype)
    assert rv.ones_like(like).numpy().tobytes() == np.ones(size, dtype).tobytes()


def test_fresh_memory():
    a, b = rv.zeros(4), rv.zeros(4)
    a += 1
    assert b.tolist() == [0.0] * 4 and rv.zeros(4).tolist() == [0.0] * 4


def test_native_and_python_make_the_same():
    """What the native module refuses, Python makes or refuses."""
    float32, uint8 = np.dtype("float32"), np.dtype("uint8")
    assert (
        filled((2.0,), float32, 0) is None and filled((-1,), float32, 0) is None and filled(([2],), float32, 0) is None
    )
    assert (
        filled((2,), uint8, 256) is None and filled((2,), float32, 2**60) is None and filled((2,), uint8, 1.0) is None
    )
    assert filled((1 << 40, 1 << 40), float32, None) is None and filled((2,), np.dtype(">f4"), 0) is None
    assert rv.full((2,), 2**60).tolist() == [2**60] * 2 and rv.full((2,), 2**60, dtype="float32")[0].item() == 2.0**60
    assert rv.full([2], np.float32(1.5)).tolist() == [1.5, 1.5]
    for call in (lambda: rv.full((2,), 256, dtype="uint8"), lambda: rv.full((2,), -1, dtype="uint8")):
        with pytest.raises(DTypeError, match="^full: .* does not fit uint8"):
            call()
    with pytest.raises(ShapeError, match=r"^zeros: sizes \(-1,\) must be >= 0"):
        rv.zeros(-1)
    with pytest.raises(DTypeError, match=r"^ones: sizes \(2.5,\) must be integers"):
        rv.ones(2.5)


def test_default_dtype():
    rv.set_default_dtype("float64")
    try:
        made = (rv.zeros(2), rv.ones(2), rv.empty(2), rv.full((2,), 0.5), rv.arange(0, 1, 0.5), rv.linspace(0, 1, 2),
                rv.eye(2), rv.rand(2), rv.randn(2))  # fmt: skip
        assert {t.dtype for t in made} == {np.dtype("float64")}
    finally:
        rv.set_default_dtype("float32")
    assert rv.zeros(2).dtype == np.float32 and rv.arange(3).dtype == np.int64 and rv.full((2,), 3).dtype == np.int64


def test_ranges():
    assert rv.arange(2, 8, 3).tolist() == [2, 5] and rv.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert (
        rv.arange(0.0, 1.0, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
        and rv.arange(2, dtype="float64").dtype == np.float64
    )
    assert rv.arange(np.int32(3)).dtype == np.int64


def test_gradients_and_traces():
    assert rv.zeros(2, requires_grad=True).requires_grad and rv.full((2,), 1.0, requires_grad=True).is_leaf
    step = rv.compile(lambda x: x + rv.ones(3) + rv.full((3,), 2.0) + rv.zeros_like(x))
    for _ in range(2):
        assert step(rv.ones(3)).tolist() == [4.0] * 3


# ---------------------------------------------------------------- devices

t = rv.ones(2, 3)
CALLS = {
    "zeros": lambda d: rv.zeros(2, 3, device=d),
    "ones": lambda d: rv.ones(2, 3, device=d),
    "empty": lambda d: rv.empty(2, 3, device=d),
    "full": lambda d: rv.full((2, 3), 1.0, device=d),
    "zeros_like": lambda d: rv.zeros_like(t, device=d),
    "ones_like": lambda d: rv.ones_like(t, device=d),
    "empty_like": lambda d: rv.empty_like(t, device=d),
    "full_like": lambda d: rv.full_like(t, 1.0, device=d),
    "arange": lambda d: rv.arange(3, device=d),
    "linspace": lambda d: rv.linspace(0, 1, 3, device=d),
    "eye": lambda d: rv.eye(3, device=d),
    "rand": lambda d: rv.rand(2, 3, device=d),
    "randn": lambda d: rv.randn(2, 3, device=d),
    "uniform": lambda d: rv.uniform((2, 3), device=d),
    "normal": lambda d: rv.normal(0.0, 1.0, (2, 3), device=d),
    "randint": lambda d: rv.randint(0, 4, (2, 3), device=d),
    "randperm": lambda d: rv.randperm(3, device=d),
    "rand_like": lambda d: rv.rand_like(t, device=d),
    "randn_like": lambda d: rv.randn_like(t, device=d),
    "randint_like": lambda d: rv.randint_like(t, 4, device=d),
    "tensor": lambda d: rv.tensor([1.0], device=d),
    "as_tensor": lambda d: rv.as_tensor([1.0], device=d),
    "new_zeros": lambda d: t.new_zeros(2, device=d),
    "new_ones": lambda d: t.new_ones(2, device=d),
    "new_empty": lambda d: t.new_empty(2, device=d),
    "new_full": lambda d: t.new_full((2,), 1.0, device=d),
    "new_tensor": lambda d: t.new_tensor([1.0], device=d),
}


class Typed:
    """As another library's device: it has a `type`."""

    type = "cpu"


@pytest.mark.parametrize("name", CALLS)
def test_devices(name):
    base = name.removeprefix("new_").removesuffix("_like")
    for device in (None, "cpu", rv.device("cpu"), Typed(), t.device):
        assert CALLS[name](device).device == "cpu"
    for device in ("cuda", "cuda:1", rv.device("mps")):
        with pytest.raises(BackendError, match=rf"^{base}(_like)?: device '{device}' is not available"):
            CALLS[name](device)
    with pytest.raises(ValueError, match="'nowhere' must be one of cpu"):
        CALLS[name]("nowhere")


def test_every_function_that_makes_tensors_takes_a_device():
    makers = [*rv.ops.creation.__all__, *(n for n in rv.random.__all__ if "dtype" in _parameters(getattr(rv, n)))]
    assert [n for n in makers if "device" not in _parameters(getattr(rv, n))] == []


def _parameters(function):
    return inspect.signature(function).parameters if callable(function) and not inspect.isclass(function) else {}
