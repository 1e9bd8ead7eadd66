"""Long sums, large values and the ends of the range: as exact as the dtype allows, whichever way a function runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F

INF, NAN = math.inf, math.nan


def every_way(f: Callable, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """What f(*tensors) gives eagerly, compiled (both at once and again) and on the reference."""

    def run(function: Callable) -> tuple[np.ndarray, ...]:
        out = function(*map(rv.from_numpy, arrays))
        return tuple(t.detach().numpy() for t in (out if isinstance(out, tuple) else (out,)))

    compiled = rv.compile(f)
    yield from (run(f), run(f), run(compiled), run(compiled))
    with rv.backend("numpy"):
        yield run(f)


def gives(expected: Any, f: Callable, *arrays: np.ndarray, rtol: float = 0, atol: float = 0) -> None:
    expected = expected if isinstance(expected, tuple) else (expected,)
    for out in every_way(f, *arrays):
        for got, want in zip(out, expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def f4(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


# ---------------------------------------------------------------- cross-entropy


@pytest.mark.parametrize("size", [1.0, 1e5, 1e7, 1e30])
@pytest.mark.parametrize("shape", [(6, 5), (1, 3), (3, 7, 4), (40, 300)], ids=str)
def test_cross_entropy_of_large_logits(size: float, shape: tuple) -> None:
    """Large scores that are near each other lose nothing: loss and gradient are those of the differences."""
    rng = np.random.default_rng(0)
    step = np.spacing(np.float32(size))
    small = rng.integers(0, 4, shape).astype(np.float32)
    large = (np.float32(size) + small * step).astype(np.float32)
    x = (small * step).astype(np.float64)
    target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    below = x - x.max(1, keepdims=True)
    log_sum = np.log(np.exp(below).sum(1, keepdims=True))
    hot = np.moveaxis(np.eye(shape[1])[target], -1, 1)
    loss, p = (hot * (log_sum - below)).sum(1), np.exp(below - log_sum)

    def both(t: Any, labels: Any) -> tuple:
        t.requires_grad = True
        value = F.cross_entropy(t, labels)
        value.backward()
        return value, t.grad

    gives(
        loss.astype(np.float32),
        lambda t, labels: F.cross_entropy(t, labels, reduction="none"),
        large,
        target,
        rtol=2e-6,
        atol=1e-7,
    )
    t = rv.from_numpy(large)
    value, grad = both(t, rv.from_numpy(target))
    assert value.item() == pytest.approx(loss.mean(), rel=2e-6)
    np.testing.assert_allclose(grad.numpy(), (p - hot) / target.size, atol=2e-7)


def test_cross_entropy_near_overflow() -> None:
    labels = np.array([0])
    smooth = lambda t, y: F.cross_entropy(t, y, label_smoothing=0.1)  # noqa: E731
    gives(f4(0.1 / 3 * 3e38)[0], smooth, f4(3e38, 3e38, 0)[None], labels, rtol=1e-6)
    gives(f4(0.1 / 3 * 4.5e38)[0], smooth, f4(1.5e38, 0, -1.5e38)[None], labels, rtol=1e-6)
    gives(INF, smooth, f4(0, -INF, 1)[None], labels)
    gives(math.log(2), F.cross_entropy, f4(1, -INF, 1)[None], labels, rtol=1e-6)
    weight = rv.tensor([0.0, 1, 1])
    gives(NAN, lambda t, y: F.cross_entropy(t, y, weight=weight), f4(1, 2, 3)[None], labels)  # 0 / 0, as in PyTorch


def test_logsumexp_of_large_values() -> None:
    t = rv.tensor([1e7, 1e7, 1e7], requires_grad=True)
    rv.logsumexp(t, 0).backward()
    np.testing.assert_allclose(t.grad.numpy(), 1 / 3, rtol=1e-6)


# ---------------------------------------------------------------- moments, running products


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (200, 3), (40, 100), (70000, 1)], ids=str)
def test_moments_at_the_ends_of_the_range(dtype: str, shape: tuple) -> None:
    largest = np.finfo(dtype).max
    quarters = shape[0] // 4

    def column(*values: float) -> np.ndarray:
        return np.broadcast_to(np.repeat(np.array(values, dtype), quarters)[:, None], shape).copy()

    def moments(t: Any) -> tuple:
        return *(m[0] for m in rv.var_mean(t, 0)), rv.std(t, 0)[0], rv.std_mean(t, 0)[0][0]

    for sign in (1, -1):
        edge = sign * largest
        gives((INF, edge / 2, INF, INF), moments, column(edge, 0, edge, 0), rtol=1e-6)
        gives((INF, edge * 0.75, INF, INF), moments, column(edge, edge / 2, edge, edge / 2), rtol=1e-6)
        gives((NAN, sign * INF, NAN, NAN), moments, column(sign * INF, 1, 2, 3))
        gives((NAN, sign * INF, NAN, NAN), moments, column(1, sign * INF, sign * INF, edge))
    gives((INF, 0.0, INF, INF), moments, column(largest, -largest, largest, -largest), atol=1e-6 * largest)
    gives((NAN, NAN, NAN, NAN), moments, column(INF, 1, -INF, 2))
    gives((NAN, NAN, NAN, NAN), moments, column(NAN, 1, INF, 2))


def test_a_running_product_comes_back_from_overflow() -> None:
    gives(f4(1e30, INF, 1e30, 0, 0), lambda t: rv.cumprod(t, 0), f4(1e30, 1e30, 1e-30, 0, 5), rtol=1e-6)
    gives(f4(1e-30, 0, 1e-30, 1), lambda t: rv.cumprod(t, 0), f4(1e-30, 1e-30, 1e30, 1e30), rtol=1e-6)
    gives(f4(3e38, INF, 3e38), lambda t: rv.cumsum(t, 0), f4(3e38, 3e38, -3e38), rtol=1e-6)


# ---------------------------------------------------------------- long sums


@pytest.mark.parametrize("m, n", [(1, 1), (3, 1), (1, 3), (1, 40), (4, 4), (20, 6)])
@pytest.mark.parametrize("turned", [False, True])
def test_long_products_are_sums_of_sums(m: int, n: int, turned: bool) -> None:
    k = 300_000 // max(m, n)
    rng = np.random.default_rng(0)
    a, b = (np.abs(rng.standard_normal(s)).astype(np.float32) for s in ((m, k), (k, n)))
    b = np.ascontiguousarray(b.T).T if turned else b
    exact = a.astype(np.float64) @ b.astype(np.float64)
    product = rv.matmul(a, b)
    assert (np.abs(product - exact) / exact).max() < 6e-7
    assert (
        np.abs(rv.matmul(a[:, : k // 3], b[: k // 3]) - a[:, : k // 3].astype("f8") @ b[: k // 3]) < 1e-6 * exact
    ).all()


def test_long_sums() -> None:
    x = np.abs(np.random.default_rng(0).standard_normal(1_000_000)).astype(np.float32)
    wide = x.astype(np.float64)
    for got, exact in (
        (rv.dot(x, x), wide @ wide),
        (rv.sum(x), wide.sum()),
        (rv.mean(x), wide.mean()),
        (rv.var(x), wide.var(ddof=1)),
        (rv.norm(x), np.linalg.norm(wide)),
        (rv.cumsum(x, 0)[-1], wide.sum()),
        (rv.sum(x.reshape(-1, 4), 0).sum(), wide.sum()),
    ):
        assert float(got) == pytest.approx(exact, rel=3e-7)


# ---------------------------------------------------------------- functions made of others


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_keep_the_precision_of_their_dtype(dtype: str) -> None:
    rng = np.random.default_rng(0)
    near = (1 + 10 ** rng.uniform(-15, 0, 300)).astype(dtype)
    far = (10 ** rng.uniform(0, 38 if dtype == "float32" else 300, 300)).astype(dtype)
    a, b = (rng.normal(scale=s, size=300).astype(dtype) for s in (3, 900))
    rtol = 4 * float(np.finfo(dtype).eps)

    def wide(f: Callable, *x: np.ndarray) -> np.ndarray:
        return f(*(v.astype(np.longdouble) for v in x)).astype(np.float64)

    for x in (near, far):
        gives(wide(np.arccosh, x), rv.acosh, x, rtol=rtol)
        gives(wide(np.arcsinh, -x), rv.asinh, -x, rtol=rtol)
    gives(wide(np.logaddexp2, a, b), rv.logaddexp2, a, b, rtol=rtol)
    gives(wide(np.logaddexp2, b, b + a / 8), rv.logaddexp2, b, b + a / 8, rtol=2 * rtol)
    whole = np.array([0, 1, -2, 3, 1e6, -4e6], dtype)
    gives((whole == 0).astype(dtype), rv.sinc, whole)
    gives(np.array([NAN, NAN, NAN], dtype), rv.sinc, np.array([INF, -INF, NAN], dtype))
    gives(
        1 / (np.pi * (whole + 0.5)), lambda x: rv.abs(rv.sinc(x)) * rv.sign(x), whole + np.array(0.5, dtype), rtol=rtol
    )


def test_norms_do_not_overflow_on_the_way() -> None:
    for size in (1e30, 1e-30):
        for p, units in ((3, 2 ** (1 / 3)), (0.5, 4), (-3, 2 ** (-1 / 3))):
            gives(units * size, lambda x, p=p: rv.norm(x, p), f4(size, -size), rtol=1e-6)
    gives(np.float32(1e23), lambda x: rv.norm(x, 3), np.array(1e23, np.float32), rtol=1e-6)
    gives((0.0, INF, NAN), lambda *x: tuple(rv.norm(v, 3) for v in x), f4(0, 0), f4(INF, 1), f4(NAN, 1))
    t = rv.tensor([3e30, -4e30], requires_grad=True)
    rv.norm(t, 3).backward()  # sign(x) (|x| / norm)^2
    np.testing.assert_allclose(t.grad.numpy(), np.array([9, -16]) / 91 ** (2 / 3), rtol=1e-6)


def test_mixed_dtypes_compute_in_the_wider() -> None:
    gives(1.1 * math.log(3), rv.xlogy, np.float64([1.1]), np.uint8([3]), rtol=1e-15)
    gives(np.uint8([3]), rv.fmod, np.array(-1, np.int32), np.uint8([6]))  # -1 is 255 in the dtype of the result


def test_lerp_ends_where_it_should() -> None:
    start, end = f4(1e8, -3, 3e38), f4(1, 7e-9, 1e38)
    gives(end, lambda a, b: rv.lerp(a, b, 1.0), start, end)
    gives(start, lambda a, b: rv.lerp(a, b, 0.0), start, end)
    weights = f4(1, 0, 1)
    gives(np.where(weights == 1, end, start), rv.lerp, start, end, weights)
    t = rv.tensor([0.25, 0.75], requires_grad=True)
    rv.lerp(rv.tensor([1.0, 1.0]), rv.tensor([3.0, 3.0]), t).sum().backward()
    assert t.grad.tolist() == [2, 2]


def test_values_and_places_that_are_none() -> None:
    """The same errors natively, compiled and on the reference, also where there is nothing to move."""
    empty, seven = rv.zeros(0, 3), rv.tensor([7])
    cases: list[tuple[type, str, Callable]] = [
        (IndexError, "index 7", lambda: rv.index_select(empty, 1, seven)),
        (IndexError, "index 7", lambda: empty[:, seven]),
        (IndexError, "index 7", lambda: empty.T[seven]),
        (ValueError, "size -2", lambda: rv.zeros(6).reshape(-2, 3)),
        (ValueError, "size -2", lambda: rv.zeros(6).view(-2)),
        (TypeError, "pad: value=1e.30 .* does not fit int64", lambda: F.pad(seven, (1, 1), value=1e30)),
        (TypeError, "pad: value=nan .* does not fit int32", lambda: F.pad(seven.int(), (1, 1), value=NAN)),
        (TypeError, "pad: value=-1 .* does not fit uint8", lambda: F.pad(seven.to(rv.uint8), (1, 1), value=-1)),
        (TypeError, "cat: dtype int8 must be one of", lambda: rv.cat([np.zeros(1, np.int8), rv.zeros(1)])),
    ]
    for error, message, call in cases:
        for backend in ("native", "numpy"):
            with rv.backend(backend), pytest.raises(error, match=message):
                call()
        with pytest.raises(error, match=message):
            rv.compile(call)()
    gives(np.array([True, False, True]), lambda t: F.pad(t, (1, 1), value=1e30), np.array([False]))


def test_sizes_beyond_memory() -> None:
    """Results whose bytes have no 64-bit number are refused by the name of the function, eagerly and compiled."""
    x, one = rv.zeros(3), rv.zeros(1)
    calls: dict[str, Callable] = {
        "pad": lambda: F.pad(x, (2**62, 2**62)),
        "expand": lambda: one.expand(2**62),
        "cat": lambda: rv.cat([one.expand(2**60)] * 20),
        "stack": lambda: rv.stack([one.expand(2**60)] * 20),
        "add": lambda: one.expand(2**40).unsqueeze(0) + one.expand(2**40).unsqueeze(1),
    }
    for name, call in calls.items():
        for backend in ("native", "numpy"):
            with rv.backend(backend), pytest.raises(ValueError, match=f"{name}: .* larger than memory can be"):
                call()
        with pytest.raises(ValueError, match=f"{name}: .* larger than memory can be"):
            rv.compile(call)()
    with pytest.raises(ValueError, match=r"tensor_split: sections=2147483648 must be positive, and at most"):
        rv.tensor_split(x, 2**31)
