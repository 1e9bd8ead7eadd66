"""Bools whose bytes are not 0 and 1, as those of a mask of 0 and 255 that is viewed as bool: every byte but 0 is true."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ops_support import make_inputs, samples_of
from ranvier.core.errors import RanvierError
from ranvier.ops import OPS


def odd_bools(shape, seed=0):
    """The same truth twice: in odd bytes, and in bytes 0 and 1."""
    rng = np.random.default_rng(seed)
    data = rng.choice(np.array([0, 0, 0, 1, 2, 127, 128, 255], np.uint8), shape)
    return data.view(bool), data != 0


def compare(run, *args):
    """`run` on both, first and again, as arrays, as tensors, compiled."""
    odd, plain = zip(*args)
    expected = run(*plain)
    tensors = [rv.from_numpy(a) for a in odd]
    for got in (run(*odd), run(*odd), run(*tensors), rv.compile(run)(*tensors)):
        for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, expected))):
            np.testing.assert_array_equal(np.asarray(a).astype(b.dtype), b)
            assert a.dtype == b.dtype


@pytest.mark.parametrize("shape", [(), (5,), (300,), (7, 65)], ids=str)
@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.kind == "elementwise"])
def test_elementwise(name, shape):
    op = OPS[name]
    inputs = [odd_bools(shape, k) for k in range(op.arity or 3)]
    try:
        op(*[plain for _, plain in inputs])
    except TypeError:
        return  # has no meaning for bools
    compare(lambda *arrays: op(*arrays), *inputs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_conditions_and_casts(dtype):
    x = np.arange(100).astype(dtype)
    condition = odd_bools(100)
    compare(lambda c: rv.where(c, rv.as_tensor(x) if isinstance(c, rv.Tensor) else x, 3), condition)
    for c in condition:
        assert rv.from_numpy(c).to(dtype).tolist() == condition[1].astype(dtype).tolist()
    assert rv.from_numpy(condition[0][::3]).to(dtype).tolist() == condition[1][::3].astype(dtype).tolist()


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize(
    "name", ["sum", "prod", "any", "all", "amax", "amin", "argmax", "argmin", "count_nonzero", "max", "min"]
)
def test_reductions(name, dim):
    for shape in ((3, 5), (70, 300), (300, 2)):
        compare(lambda x: getattr(rv, name)(x, dim=dim),
                odd_bools(shape, 1))  # fmt: skip


def test_orders():
    for n in (5, 70, 3000):
        compare(lambda x: tuple(rv.sort(x)), odd_bools(n))
        compare(lambda x: tuple(rv.sort(x, descending=True)), odd_bools(n))
        compare(lambda x: tuple(rv.topk(x, 3)), odd_bools(n))
        compare(lambda x: rv.cumsum(x, 0), odd_bools(n))


def test_logic_of_a_mask_image():
    mask = np.array([0, 255, 255], np.uint8).view(bool)
    t = rv.from_numpy(mask)
    assert t.sum().item() == 2 and (~t).tolist() == [True, False, False] and (t == True).tolist() == [False, True, True]  # noqa: E712
    assert (t & rv.tensor([True, True, False])).tolist() == [False, True, False]
    assert rv.tensor([1.0, 2.0, 3.0])[t].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.kind == "kernel"], ids=lambda op: op.name)
def test_kernels(op):
    """The samples of the op's record, with bools for its floats."""
    bytes_of_true = np.array([1, 2, 64, 128, 254, 255], np.uint8)
    for sample in samples_of(op):
        arrays = make_inputs(op, sample, np.dtype(bool))
        try:
            expected = op(*arrays, **sample.attrs)
        except (RanvierError, TypeError, ValueError):
            continue  # has no meaning for bools
        rng = np.random.default_rng(0)
        odd = [np.asarray(a * rng.choice(bytes_of_true, a.shape)).view(bool) if a.dtype == bool else a for a in arrays]
        got = op(*odd, **sample.attrs)
        for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, expected)), strict=True):
            np.testing.assert_array_equal(a.view(np.uint8) != 0 if a.dtype == bool else a, b)


def test_any_number_of_bools_for_one_place():
    """Their sum is "or", not the lowest byte of a count."""
    for n in (255, 256, 257, 1000):
        places, values = np.zeros(n, np.int64), np.ones(n, bool)
        compare(lambda x, at, v: rv.scatter_add(x, 0, at, v), *((a, a) for a in (np.zeros(2, bool), places, values)))
        compare(lambda x, at, v: rv.index_add(x, 0, at, v), *((a, a) for a in (np.zeros(2, bool), places, values)))
