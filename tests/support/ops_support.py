"""Test cases made from the op records: inputs, layouts, expected results, tolerances."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import ranvier as rv
from ranvier.backends.reference import evaluate
from ranvier.core.dtypes import ALL, FLOATS, is_float
from ranvier.core.errors import DTypeError
from ranvier.ops import OPS, Sample
from ranvier.ops.dispatch import _compute_dtypes

LAYOUTS = ("contiguous", "transposed", "negative", "sliced", "broadcast")


def shape_samples(arity: int) -> list[tuple]:
    """Input shapes that every elementwise op must take."""
    same = [((), (1,), (3, 5), (0, 4), (1037,), (2, 3, 1, 4))[i] for i in range(6)]
    cases: list[tuple] = [(s,) * arity for s in same]
    if arity > 1:
        for mixed in (
            ((3, 5), (5,)),
            ((3, 1), (1, 5)),
            ((), (4,)),
            ((2, 1, 3), (4, 1)),
            ((0, 1), (1, 3)),
            ((1037,), (1,)),
        ):
            cases += {tuple(itertools.islice(itertools.cycle(order), arity)) for order in (mixed, mixed[::-1])}
    return cases


def samples_of(op: Any) -> list[Sample]:
    """The op's own samples, and for elementwise ops the usual shapes with all their attributes."""
    own = list(op.samples)
    if op.kind == "elementwise":
        variants: list[dict] = [{}]
        if "dtype" in op.defaults:
            variants = [{"dtype": d} for d in ALL]
        own += [Sample(shapes, attrs) for shapes in shape_samples(op.arity) for attrs in variants]
    return own


def is_shape(x: Any) -> bool:
    return isinstance(x, tuple)


def draw(op: Any, shape: tuple, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    """Random values of `dtype` from the op's domain."""
    low, high = op.domain
    if is_float(dtype):
        return np.asarray(rng.uniform(low, high, shape)).astype(dtype)
    if dtype == np.bool_:
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    low, high = (0, 9) if dtype == np.uint8 or low >= 0 else (-9, 9)
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)


def make_inputs(op: Any, sample: Sample, dtype: np.dtype, seed: int = 0) -> list[np.ndarray]:
    """Arrays for a sample: shapes are filled with `dtype`, and the sample's own float arrays follow it; where there are no
    shapes, all is taken as it is.
    """
    rng = np.random.default_rng([seed, *map(ord, op.name)])
    arrays = [draw(op, x, dtype, rng) if is_shape(x) else np.asarray(x) for x in sample.inputs]
    if op.kind != "elementwise" and has_shapes(sample):
        arrays = [a.astype(dtype) if is_float(a.dtype) else a for a in arrays]
    return arrays


def has_shapes(sample: Sample) -> bool:
    return any(map(is_shape, sample.inputs)) or not sample.inputs


def lay_out(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides ("broadcast" repeats the first row instead)."""
    if a.ndim == 0 or layout == "contiguous":
        return a
    if layout == "transposed":
        return np.ascontiguousarray(a.T).T
    if layout == "negative":
        back = (slice(None, None, -1),) * a.ndim
        return np.ascontiguousarray(a[back])[back]
    if layout == "sliced":
        big = np.zeros([2 * n + 1 for n in a.shape], a.dtype)
        part = big[(slice(1, None, 2),) * a.ndim]
        part[...] = a
        return part
    return np.broadcast_to(a[:1], a.shape)


def expected_inputs(op: Any, arrays: list) -> list[np.ndarray]:
    """`arrays` in the dtypes that the op computes in."""
    if op.rule is None:
        return arrays
    return [a.astype(d) for a, d in zip(arrays, _compute_dtypes(op.name, op.rule, arrays))]


def specs_of(op: Any, arrays: list, attrs: dict) -> list | None:
    """Inferred (shape, dtype) of each output, or None where the op refuses these dtypes."""
    try:
        specs = op.infer(*arrays, **op.bind(**attrs).attrs)
    except DTypeError:
        return None
    return specs if type(specs) is list else [specs]


def in_float64(a: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return a.astype(np.float64) if a.dtype == np.float32 else a


@dataclass
class Expected:
    """What an op must return: values (float64 where the result is a float), specs, and how far off it may be."""

    values: list[np.ndarray]
    specs: list
    allowed: list[np.ndarray]


def reference(op: Any, arrays: list, attrs: dict) -> list[np.ndarray]:
    return [np.asarray(v) for v in evaluate(op.bind(**attrs), [in_float64(a) for a in arrays])]


def expect(op: Any, arrays: list, attrs: dict, specs: list, floor: float = 0.0) -> Expected:
    """`floor` times the rounding error of the largest input is granted besides: for inputs that cancel."""
    values = reference(op, arrays, attrs)
    largest = max((np.abs(a).max(initial=0) for a in arrays if is_float(a.dtype)), default=0)
    spare = [floor * np.finfo(d).eps * largest if floor and is_float(d) else 0 for _, d in specs]
    allowed = [allowance(op, i, v, d, arrays, attrs) for i, (v, (_, d)) in enumerate(zip(values, specs))]
    return Expected(values, specs, [a + s for a, s in zip(allowed, spare)])


def ulp(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The distance to the next number of `dtype`, at least that of the smallest normal number's binade."""
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        finite = np.where(np.isfinite(values), np.clip(np.abs(values), info.smallest_normal, info.max), 1)
        return 2.0 ** np.floor(np.log2(finite)) * info.eps


def allowance(op: Any, index: int, values: np.ndarray, dtype: np.dtype, arrays: list, attrs: dict) -> np.ndarray:
    """The error that the op's record grants to each element of output `index`.

    Elementwise: max_ulp units in the last place, twice as many in float64, where the reference itself rounds.
    Others: max_ulp * eps * sqrt(terms) of the sum of the terms' magnitudes, or of the largest result where an op does not
    say how many terms it sums.
    """
    if not is_float(dtype):
        return np.zeros(values.shape)
    if op.max_ulp == 0:
        return (
            np.where(np.isfinite(values), 0.5 * ulp(values, dtype), 0)
            if dtype == np.float32
            else np.zeros(values.shape)
        )
    tiny = 128 * np.finfo(dtype).smallest_normal  # smaller results, and factors of results, may be flushed to zero
    if op.kind == "elementwise":
        spare = max(op.max_ulp, 2.0) if dtype == np.float64 else 1e-3
        return (op.max_ulp + spare) * ulp(np.maximum(np.abs(values), op.ulp_floor), dtype) + tiny
    full = op.bind(**attrs).attrs
    finite = np.where(np.isfinite(values), np.abs(values), 0)
    if op.terms is None:
        terms, scale = 1, np.max(finite, initial=0.0)
        if op.kind == "optimizer":  # a step may cancel its parameter
            scale = max(scale, *(np.abs(a).max(initial=0.0) for a in arrays))
    else:
        terms = op.terms(*arrays, **full)
        magnitudes = [np.abs(a) if is_float(a.dtype) else a for a in arrays]
        above = np.abs(reference(op, magnitudes, attrs)[index])
        scale = np.maximum(finite, np.where(np.isfinite(above), above, 0))
    return op.max_ulp * np.finfo(dtype).eps * np.sqrt(max(terms, 1)) * scale + tiny + np.zeros(values.shape)


def compare(outs: Any, expected: Expected, what: str) -> None:
    """Assert that arrays or tensors `outs` are what the reference says."""
    outs = outs if isinstance(outs, tuple) else (outs,)
    assert len(outs) == len(expected.specs), what
    for i, (out, want, (shape, dtype), allowed) in enumerate(
        zip(outs, expected.values, expected.specs, expected.allowed)
    ):
        got = out.detach().numpy() if isinstance(out, rv.Tensor) else out
        where = f"{what}, output {i}"
        assert got.dtype == dtype, f"{where}: dtype {got.dtype}, infer says {dtype}"
        assert got.shape == tuple(shape), f"{where}: shape {got.shape}, infer says {shape}"
        if not is_float(dtype):
            np.testing.assert_array_equal(got, np.asarray(want, dtype).reshape(shape), err_msg=where)
            continue
        with np.errstate(all="ignore"):
            rounded = np.asarray(want, dtype)  # huge values become infinite
            error = np.abs(got.astype(np.float64) - want)
            same = (got == rounded) | (np.isnan(got) & np.isnan(want))
            # at the border of the range, a result may round to infinity or to the largest number
            limit = np.abs(want) >= np.finfo(dtype).max * (1 - 8 * np.finfo(dtype).eps)
            fine = (
                same
                | (error <= allowed)
                | (limit & (np.isinf(got) | np.isinf(rounded)) & (np.sign(got) == np.sign(want)))
            )
        if not np.all(fine):
            at = np.argwhere(~np.atleast_1d(fine))[0]
            at = tuple(at) if np.ndim(fine) else ()
            raise AssertionError(
                f"{where}, element {tuple(map(int, at))}: {got[at]!r}, must be {np.asarray(want)[at]!r} +- "
                f"{np.asarray(allowed)[at]:.3g}, is off by {error[at]:.3g}; {np.size(fine) - np.sum(fine)} of {np.size(fine)} wrong"
            )


def same_bits(a: Any, b: Any) -> bool:
    """Whether arrays, tensors or tuples of them are equal to the last bit; any NaN equals any other."""

    def same(x: np.ndarray, y: np.ndarray) -> bool:
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        nan = (x != x) & (y != y)
        return (
            bool(np.all(nan | (x == y) & (np.signbit(x) == np.signbit(y))))
            if is_float(x.dtype)
            else np.array_equal(x, y)
        )

    def arrays(x: Any) -> list[np.ndarray]:
        parts = x if isinstance(x, (tuple, list)) else (x,)
        return [np.asarray(p.detach() if isinstance(p, rv.Tensor) else p) for p in parts]

    left, right = arrays(a), arrays(b)
    return len(left) == len(right) and all(map(same, left, right))


def tensors(arrays: list, grad: bool = False) -> list:
    return [rv.from_numpy(np.asarray(a)).requires_grad_(grad and is_float(a.dtype)) for a in arrays]


def dtypes_of(op: Any) -> tuple:
    """The dtypes with which to call the op: all for elementwise ops, which convert or refuse them; floats for others."""
    return ALL if op.kind in ("elementwise", "view") else FLOATS


def edge_inputs(op: Any, dtype: np.dtype) -> list[np.ndarray]:
    """Every combination of the op's edge values, one array an input."""
    if is_float(dtype):
        edges = np.array(op.edges, dtype)
    elif dtype == np.bool_:
        edges = np.array([False, True])
    else:
        info = np.iinfo(dtype)
        edges = np.array(sorted({info.min, info.max, *(max(info.min, k) for k in (-100, -1, 0, 1, 2, 7, 100))}), dtype)
    grids = np.meshgrid(*[edges] * op.arity, indexing="ij")
    return [np.ascontiguousarray(g.ravel()) for g in grids]


def all_ops() -> list:
    return sorted(OPS.values(), key=lambda op: op.name)
