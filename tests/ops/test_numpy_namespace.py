"""`ranvier.numpy` is NumPy, but for who computes."""

from __future__ import annotations

import numpy
import pytest
import ranvier as rv
import ranvier.numpy as np
from ranvier.numpy import Routed, _Product, _Reduction, _Unary

ROUTED = {name: f for name, f in vars(np).items() if isinstance(f, Routed)}
UNARY, REDUCTIONS, PRODUCTS = (
    [name for name, f in ROUTED.items() if isinstance(f, kind)] for kind in (_Unary, _Reduction, _Product)
)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::numpy.exceptions.ComplexWarning")
random = numpy.random.default_rng(0)
ARRAYS = [
    random.uniform(0.1, 0.9, shape).astype(dtype)
    for shape in ((), (1,), (7,), (0,), (3, 0), (5, 4), (2, 3, 4))
    for dtype in ("float32", "float64")
]
OTHERS = [
    numpy.arange(1, 7).reshape(2, 3), numpy.array([True, False]), [0.25, 0.5], 0.5, 1, numpy.float32(0.5),
    numpy.float16([0.5]), numpy.array([0.5, 1j]), numpy.matrix([[0.5, 0.25]]), numpy.ma.array([0.5, 0.25], mask=[0, 1]),
    numpy.asfortranarray(random.uniform(0.1, 0.9, (4, 3)))[::2], numpy.array([0.5, 0.25], ">f8"),
]  # fmt: skip


def same(ours, theirs, rtol: float) -> None:
    assert type(ours) is type(theirs)
    assert numpy.asarray(ours).dtype == numpy.asarray(theirs).dtype
    numpy.testing.assert_allclose(ours, theirs, rtol=rtol, strict=True)


def agree(name: str, *args, **options) -> None:
    try:
        theirs = getattr(numpy, name)(*args, **options)
    except (ValueError, TypeError, IndexError) as error:
        kinds = tuple(kind for kind in (ValueError, TypeError, IndexError) if isinstance(error, kind))
        with pytest.raises(kinds):
            getattr(np, name)(*args, **options)
        return
    single = numpy.asarray(theirs).dtype.itemsize < 8
    same(getattr(np, name)(*args, **options), theirs, 1e-6 if single else 1e-13)


@pytest.mark.parametrize("name", UNARY)
def test_functions(name):
    for x in ARRAYS + OTHERS:
        agree(name, x)
    agree(name, ARRAYS[-1], dtype="float32", casting="same_kind")
    agree(name, ARRAYS[-1], where=ARRAYS[-1] > 0, out=numpy.zeros_like(ARRAYS[-1]))
    out = numpy.empty(7, "f4")
    assert getattr(np, name)(ARRAYS[4], out) is out


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    for x in ARRAYS + OTHERS:
        for axis in (None, 0, -1, (0, 1), (), 5):
            agree(name, x, axis)
            agree(name, x, axis=axis, keepdims=True)
    for options in ({"dtype": "float32"}, {"out": numpy.zeros(4)}, {"where": ARRAYS[11] > 0.5, "initial": 1.0}):
        if "dtype" not in options or name in ("sum", "mean", "prod"):
            agree(name, ARRAYS[11], 0, **{k: v for k, v in options.items() if name != "mean" or k != "initial"})
    with_nan = numpy.array([1.0, numpy.nan, 2.0])
    agree(name, with_nan)


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name):
    plain = [x for x in ARRAYS + OTHERS if not isinstance(x, numpy.ma.MaskedArray)]
    for a in plain:
        for b in plain:
            agree(name, a, b)
    a, b = ARRAYS[11], ARRAYS[11].T
    agree(name, a, b, out=numpy.empty((5, 5)))


def test_every_name_is_numpys():
    assert set(dir(np)) == set(numpy.__all__)
    assert np.split is numpy.split and np.random is numpy.random and np.linalg is numpy.linalg and np.pi == numpy.pi
    assert np.exp.nin == 1 and np.exp.types == numpy.exp.types
    with pytest.raises(AttributeError, match="nor has NumPy"):
        np.spilt  # noqa: B018


def test_ours_are_called(monkeypatch):
    x = ARRAYS[11]
    for name in ROUTED:
        monkeypatch.setattr(ROUTED[name], "theirs", None)
    for name in UNARY:
        getattr(np, name)(x)
    for name in REDUCTIONS:
        getattr(np, name)(x)
        getattr(np, name)(x, axis=0, keepdims=True)
    for name in PRODUCTS:
        getattr(np, name)(x, x.T)


def test_tensors_are_recorded():
    x = rv.tensor([0.5, 0.25], requires_grad=True)
    np.exp(x).sum().backward()
    numpy.testing.assert_allclose(x.grad.numpy(), numpy.exp([0.5, 0.25]), rtol=1e-6)


def test_a_script_changes_its_import():
    """A network in plain NumPy trains alike with one import changed."""
    code = """
X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float64)
Y = np.array([[0.0], [1.0], [1.0], [0.0]])
rng = np.random.default_rng(1)
W1, W2 = rng.normal(size=(2, 4)), rng.normal(size=(4, 1))
for _ in range(200):
    hidden = np.tanh(np.dot(X, W1))
    output = 1 / (1 + np.exp(-np.matmul(hidden, W2)))
    delta = (output - Y) * output * (1 - output)
    grad = np.dot(X.T, np.dot(delta, W2.T) * (1 - hidden**2))
    W2 -= np.dot(hidden.T, delta)
    W1 -= grad
loss = np.mean((Y - output) ** 2)
"""
    results = []
    for module in (np, numpy):
        names = {"np": module}
        exec(code, names)
        results.append(names["loss"])
    assert type(results[0]) is type(results[1]) is numpy.float64
    assert results[0] == pytest.approx(results[1], rel=1e-9)
