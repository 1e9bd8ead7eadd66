"""Tile programs and their chains (csrc/cpu/tile/): fused steps give the bits of separate ones."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import ranvier as rv
from ranvier import Tensor

LENGTHS = [*range(1, 301), 511, 512, 513, 2047, 2048, 2049, 4097, 33000]


def arrays(n: int, count: int, dtype: type = np.float32, seed: int = 0) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [rv.from_numpy(rng.uniform(-3, 3, n).astype(dtype)) for _ in range(count)]


def same_bits(a: Tensor, b: Tensor) -> None:
    assert a.numpy().dtype == b.numpy().dtype
    assert a.numpy().tobytes() == b.numpy().tobytes()


FORMULAS = {
    "pairs": (2, lambda x, y: x * (0.5 + x * (0.25 + x * (0.125 + 0.0625 * x))) + y),
    "product and sum of operands": (3, lambda x, y, z: x * y + z),
    "the value twice": (2, lambda x, y: (x - y) * (x - y) + (x + y) * (x + y)),
    "second operand": (2, lambda x, y: 2 / (y - (x * 3 - 1))),
    "constants alone": (1, lambda x: rv.sqrt(rv.abs(1 - x)) - 0.5),
    "ternary": (2, lambda x, y: rv.clamp(x * 2 + y, -1.5, 1.5) - y),
    "functions between": (2, lambda x, y: rv.exp(-x * x) * y + rv.tanh(y * 0.5) * x),
    "condition": (2, lambda x, y: rv.where(x > y * 0.5, x * 2 + 1, y - 1) * x),
    "a power": (1, lambda x: (rv.abs(x) + 0.5) ** 1.5 * 2),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_every_length(name: str, dtype: type) -> None:
    count, formula = FORMULAS[name]
    for n in LENGTHS:
        given = arrays(n, count, dtype, seed=n)
        result = rv.compile(formula)(*given)
        same_bits(result, formula(*given))
        with rv.backend("numpy"):
            expected = formula(*given).numpy()
        np.testing.assert_allclose(result.numpy(), expected, rtol=2e-5 if dtype == np.float32 else 1e-11, atol=2e-5)


def test_steps_are_rounded_one_by_one() -> None:
    """Contracted to one multiply-add, x * x - 1 would be exact: its last bits show it."""
    x = rv.from_numpy(np.full(300, 1 + 2.0**-12, np.float32))
    result = rv.compile(lambda x, y: x * x + y)(x, rv.full((300,), -1.0))
    assert (result.numpy() == np.float32(2.0**-11)).all()


@pytest.mark.parametrize("n", [1, 15, 16, 17, 127, 128, 129, 300, 3000, 70000])
def test_several_results(n: int) -> None:
    def f(x, y):
        a = x * 2 + y
        b = a * a - 1
        return a, b, rv.exp(a) + b, a, x

    given = arrays(n, 2)
    for got, expected in zip(rv.compile(f)(*given), f(*given)):
        same_bits(got, expected)


@pytest.mark.parametrize("n", [1, 5, 16, 100, 128, 200, 300, 5000, 70000])
def test_in_place(n: int) -> None:
    def update(x, y, g):
        x.mul_(0.9).add_(g * 0.5).clamp_(-2, 2)
        old = y.clone()
        y.copy_(y * x - g * x + 0.25)
        x.copy_(old - x)
        return (x * y + old).sum()

    def run(f):
        (g,) = arrays(n, 1, seed=3)
        x, y = arrays(n, 2, seed=4)
        totals = [f(x, y, g).item() for _ in range(3)]
        return totals, x, y

    totals, x, y = run(update)
    compiled_totals, u, v = run(rv.compile(update))
    assert totals == compiled_totals
    same_bits(x, u)
    same_bits(y, v)


@pytest.mark.parametrize(
    "rows,columns", [(1, 1), (3, 10), (32, 10), (7, 33), (5, 300), (40, 513), (3, 2100), (200, 512)]
)
def test_broadcasting(rows: int, columns: int) -> None:
    def f(x, row, column, one):
        a = (x - column) * rv.rsqrt(column * column + 1) * row + one
        return a * one, rv.maximum(a, column) * 2 + row, rv.exp(row - column), x.t() + 1

    rng = np.random.default_rng(0)
    given = [
        rv.from_numpy(rng.uniform(-2, 2, s).astype(np.float32)) for s in ((rows, columns), (columns,), (rows, 1), ())
    ]
    for got, expected in zip(rv.compile(f)(*given), f(*given)):
        same_bits(got, expected)


@pytest.mark.parametrize("n", [100, 40000, 300000])
def test_threads_do_not_change_bits(n: int) -> None:
    def f(x, y):
        a = (x - y) * (x - y) + 0.5
        return rv.sqrt(a) * y + x, a * 2 - y

    given = arrays(n, 2)
    before = rv.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3, 4):
            rv.set_num_threads(threads)
            results.append(rv.compile(f)(*given))
        for other in results[1:]:
            for a, b in zip(results[0], other):
                same_bits(a, b)
    finally:
        rv.set_num_threads(before)


def test_one_eager_call_from_several_threads() -> None:
    """What an instruction's preparation made is read by all of them."""
    n, found = 300000, []
    x, y = rv.from_numpy(np.linspace(-1, 1, n, dtype=np.float32)), rv.tensor(0.5)

    def work(k: int) -> None:
        scaled = x * k
        found.append(all(np.array_equal((scaled + y).numpy(), scaled.numpy() + np.float32(0.5)) for _ in range(20)))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_nan_and_infinity() -> None:
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-30, 3e38], np.float32)
    x, y = (rv.from_numpy(a.ravel().copy()) for a in np.meshgrid(special, special))

    def f(x, y):
        return rv.clamp(x * y + 1, 0.0) * 0.5 + y, rv.minimum(x + y, y) * x

    with np.errstate(all="ignore"):
        for got, expected in zip(rv.compile(f)(x, y), f(x, y)):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())
