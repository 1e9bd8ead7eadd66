"""Native elementwise functions: stated errors over the range of float32 on each instruction set, edges."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
from ranvier import _native
from ranvier.ops import OPS

STRIDE = 30011  # of the walk through the bit patterns
TINY = 2.0**-126  # smaller numbers count as zero
SPARE = 128 * TINY  # by so much a result may be off whose factors are flushed to zero
WALKED = [op for op in OPS.values() if op.kind == "elementwise" and op.rule == "float" and op.arity == 1]
BINARY = [op for op in OPS.values() if op.kind == "elementwise" and op.arity == 2 and op.rule != "float"]


def arguments() -> np.ndarray:
    walk = np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    edges = [
        0.0,
        1.0,
        np.inf,
        np.nan,
        TINY,
        3.4028235e38,
        88.72284,
        88.73,
        103.9,
        104.1,
        1e6,
        1.1e6,
        0.84,
        20.0,
        15.0,
    ]
    dense = np.linspace(-20, 20, 40001)
    x = np.concatenate([walk, np.array([*edges, *np.negative(edges), *dense], np.float32)])
    x = x[~np.isnan(x) | (np.arange(x.size) % 100 == 0)]
    return np.where(np.abs(x) < TINY, np.copysign(np.float32(0), x), x)


def error_in_ulp(got: np.ndarray, exact: np.ndarray, floor: float = TINY) -> np.ndarray:
    """|got - exact| in units in the last place of float32 `exact`; inf for a wrong NaN, infinity or sign of zero."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        unit = np.spacing(
            np.maximum(np.abs(np.where(np.isfinite(rounded), rounded, np.float32(3e38))), np.float32(floor))
        )
        error = np.maximum(np.abs(got - exact) - SPARE, 0) / unit
        largest = np.float64(np.finfo(np.float32).max)
        overflow = np.isinf(rounded) | np.isinf(got)
        near = (np.abs(exact) > largest * (1 - 1e-7)) & ~np.isinf(exact)
        error = np.where(overflow, np.where(got == rounded, 0, np.where(near, 1, np.inf)), error)
        error = np.where(np.isnan(exact) | np.isnan(got), np.where(np.isnan(exact) & np.isnan(got), 0, np.inf), error)
        return np.where((exact == 0) & (got == 0) & (np.signbit(exact) != np.signbit(got)), np.inf, error)


def measure() -> dict[str, list[float]]:
    """Worst error of each function, and where."""
    result = {}
    x = arguments()
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
    for op in WALKED:
        with np.errstate(all="ignore"):
            exact = op.reference(np, wide, **op.defaults)
        error = error_in_ulp(op(x), exact, max(op.ulp_floor, TINY))
        worst = int(np.argmax(error))
        result[op.name] = [float(error[worst]), float(x[worst])]
    return result


@functools.cache
def measured(isa: str) -> dict[str, list[float]] | None:
    """`measure` in a process held to `isa`; None where it is not compiled in, or not for this machine."""
    if isa == _native.isa():
        return measure()
    environment = {**os.environ, "RANVIER_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-W", "ignore", __file__], env=environment, capture_output=True, text=True)
    if "need one of the instruction sets" in run.stderr:
        return None
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    return report["worst"] if report["isa"] == isa else None


@pytest.mark.parametrize("op", WALKED, ids=lambda op: op.name)
@pytest.mark.parametrize("isa", ["v2", "v3", "v4", "base"])
def test_stated_error(isa: str, op) -> None:
    report = measured(isa)
    if report is None:
        pytest.skip(f"no kernels for {isa}")
    worst, where = report[op.name]
    assert worst <= op.max_ulp, f"{op.name} on {isa}: {worst} ULP at {where}, stated {op.max_ulp}"


@pytest.mark.parametrize("op", WALKED, ids=lambda op: op.name)
def test_float64(op) -> None:
    x = np.concatenate(
        [
            np.linspace(-30, 30, 3001),
            [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-300, 1e300, -1e300, 709.0, -745.0],
        ]
    )
    with np.errstate(all="ignore"):
        expected = op.reference(np, x, **op.defaults)
    np.testing.assert_allclose(op(x), expected, rtol=(op.max_ulp + 2) * 2.2e-16, atol=max(4e-15 * op.ulp_floor, 1e-18))


EDGES = np.array(
    [-np.inf, -3e38, -7.5, -3, -2, -1, -0.5, -0.0, 0, 0.5, 1, 2, 3, 7.5, 1e9, 3e38, np.inf, np.nan],
    np.float32,
)


def pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    a, b = (m.ravel() for m in np.meshgrid(EDGES, EDGES))
    return (
        np.concatenate([a, rng.normal(size=4000) * 100, np.rint(rng.normal(size=999) * 9), rng.uniform(0, 20, 4000)]),
        np.concatenate([b, rng.normal(size=4000), np.rint(rng.normal(size=999) * 3) + 0.5, rng.normal(size=4000) * 10]),
    )


def test_pow() -> None:
    a, b = (m.astype(np.float32) for m in pairs(np.random.default_rng(0)))
    b[5000::3] = np.rint(b[5000::3])
    with np.errstate(all="ignore"):
        exact = np.power(a.astype(np.float64), b.astype(np.float64))
    error = error_in_ulp(rv.pow(a, b), exact)
    worst = int(np.argmax(error))
    assert error[worst] <= OPS["pow"].max_ulp, (error[worst], a[worst], b[worst])


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_division(name: str, dtype: str) -> None:
    a, b = (m.astype(dtype) for m in pairs(np.random.default_rng(1)))
    with np.errstate(all="ignore"):
        expected = OPS[name].reference(np, a, b)
    got = OPS[name](a, b)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got)[got == 0], np.signbit(expected)[got == 0])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("op", BINARY, ids=lambda op: op.name)
def test_integers(op, dtype: str) -> None:
    info = np.iinfo(dtype)
    values = np.array([info.min, info.min + 1, 0, 1, 2, 3, 7, 100, info.max - 1, info.max]).astype(dtype)
    values = np.concatenate([values, (0 - values[:6]).astype(dtype)])
    a, b = (m.ravel().copy() for m in np.meshgrid(values, values))
    if op.name == "pow":
        b = (b % 9).astype(dtype)
    if op.rule == "logical":
        a, b = a != 0, b != 0
    with np.errstate(all="ignore"):
        expected = np.asarray(op.reference(np, a, b, **op.defaults))
    np.testing.assert_array_equal(op(a, b), expected)


@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("target", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_cast(source: str, target: str) -> None:
    x = np.array(
        [0.0, 0.4, 1, 1.6, 3, 100.7, 127, 128, 255] * 9 + [-1.5, -3] * (source[0] != "u" and target != "uint8")
    )
    x = x.astype(source)
    got = rv.from_numpy(x).to(target).numpy()
    assert got.dtype == target
    np.testing.assert_array_equal(got, x.astype(target))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_lengths(dtype: str) -> None:
    """Every length up to some vectors, unaligned: nothing beyond the end is used or written."""
    values = (np.arange(400) % 7).astype(dtype)
    for n in range(200):
        a, b = values[3 : 3 + n], values[8 : 8 + n]
        np.testing.assert_array_equal(rv.maximum(a, b), np.maximum(a, b))
        np.testing.assert_array_equal(rv.lt(a, b), a < b)
        np.testing.assert_array_equal(rv.where(a < b, a, b), np.where(a < b, a, b))
        out = values.copy()
        rv.from_numpy(out)[3 : 3 + n].copy_(rv.from_numpy(b))
        assert (out[:3] == values[:3]).all() and (out[3 + n :] == values[3 + n :]).all()


def test_bools_add_and_multiply() -> None:
    a, b = np.array([True, True, False, False] * 20), np.array([True, False] * 40)
    np.testing.assert_array_equal(rv.add(a, b), a | b)
    np.testing.assert_array_equal(rv.mul(a, b), a & b)
    for op in (rv.sub, rv.pow, rv.remainder):
        with pytest.raises(TypeError, match="bool"):
            op(a, b)


def test_nan_propagates() -> None:
    nan, one = np.full(33, np.nan, np.float32), np.ones(33, np.float32)
    for f in (rv.maximum, rv.minimum):
        assert np.isnan(f(nan, one)).all() and np.isnan(f(one, nan)).all()
    assert np.isnan(rv.relu(nan)).all() and np.isnan(rv.clamp(nan, -1, 1)).all()


if __name__ == "__main__":
    print(json.dumps({"isa": _native.isa(), "worst": measure()}))
