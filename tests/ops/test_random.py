"""Random numbers: known answers, the same bits natively, in the reference and compiled, distributions, generators."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import DTypeError
from ranvier.ops import OPS, Op
from ranvier.ops import random as definition

DRAWS = {
    "rand": lambda **k: rv.rand(1000, 3, **k),
    "rand float64": lambda **k: rv.rand(999, dtype="float64", **k),
    "randn": lambda **k: rv.randn(70000, **k),
    "randn float64": lambda **k: rv.randn(20001, dtype="float64", **k),
    "uniform": lambda **k: rv.uniform((5, 5), -3.0, 0.1, **k),
    "normal": lambda **k: rv.normal(2.0, 0.3, (77,), **k),
    "randint": lambda **k: rv.randint(-4, 9, (301,), **k),
    "randint wide": lambda **k: rv.randint(-(2**62), 2**62 + 5, (301,), **k),
    "randperm": lambda **k: rv.randperm(5000, **k),
    "bernoulli": lambda **k: rv.bernoulli(rv.full((4000,), 0.3), **k),
    "bernoulli p": lambda **k: rv.bernoulli(rv.zeros(4001), 0.3, **k),
    "scalar": lambda **k: rv.rand((), **k),
}


def test_philox_known_answers() -> None:
    """From the Random123 distribution's kat_vectors."""
    ones = np.array([2**64 - 1], np.uint64)
    zero = definition.philox(np.zeros(1, np.uint64), 0)[0]
    assert [hex(int(w)) for w in zero] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    # a counter of 64 bits has zeros above: checked against the C++ function, which has its own known answers
    assert definition.philox(ones, 2**64 - 1).max() < 2**32


@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_everywhere(name: str) -> None:
    draw, before, results = DRAWS[name], rv.get_num_threads(), set()
    for threads in (1, 2, 3, 4):
        rv.set_num_threads(threads)
        generator = rv.Generator(2**40 + 17)
        generator.stream.state._data[1] = 2**32 - 3  # the counter carries into its upper half
        results.add((draw(generator=generator).numpy().tobytes(), repr(generator)))
    rv.set_num_threads(before)
    with rv.backend("numpy"):
        generator = rv.Generator(2**40 + 17)
        generator.stream.state._data[1] = 2**32 - 3
        results.add((draw(generator=generator).numpy().tobytes(), repr(generator)))
    generator = rv.Generator(2**40 + 17)
    generator.stream.state._data[1] = 2**32 - 3
    compiled = rv.compile(lambda: draw(generator=generator))()
    results.add((compiled.numpy().tobytes(), repr(generator)))
    assert len(results) == 1


@pytest.mark.parametrize("name", DRAWS)
def test_two_draws_are_the_same_in_a_compiled_function(name: str) -> None:
    def both():
        return DRAWS[name](), DRAWS["rand"]()

    rv.manual_seed(5)
    first, second, compiled = both(), both(), rv.compile(both)
    rv.manual_seed(5)
    for expected in (first, second):
        for a, b in zip(compiled(), expected, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_numbers_follow_from_seed_and_state() -> None:
    rv.manual_seed(3)
    a = rv.randn(10)
    state = rv.default_generator.get_state()
    b = rv.randn(10)
    rv.default_generator.set_state(state)
    assert (rv.randn(10) == b).all() and not (a == b).any()
    assert rv.initial_seed() == 3
    assert (rv.manual_seed(4) and rv.randn(10) != a).all()
    assert rv.Generator(2**64 - 1).initial_seed() == -1


def test_draws_do_not_overlap() -> None:
    generator = rv.Generator(1)
    words = np.concatenate([rv.rand(n, generator=generator).numpy() for n in (1, 4, 5, 400, 3)])
    assert len(np.unique(words)) == len(words)
    assert generator.get_state().tolist() == [1, 1 + 1 + 2 + 100 + 1]


def _moments(x: np.ndarray) -> tuple:
    z = (x - x.mean()) / x.std()
    return x.mean(), x.std(), (z**3).mean(), (z**4).mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_distribution(dtype: str) -> None:
    n = 400_000
    x = rv.randn(n, dtype=dtype, generator=rv.Generator(9)).numpy().astype(np.float64)
    mean, std, skew, kurtosis = _moments(x)
    limit = 5 / math.sqrt(n)  # five standard errors
    assert abs(mean) < limit and abs(std - 1) < limit and abs(skew) < limit * math.sqrt(6)
    assert abs(kurtosis - 3) < limit * math.sqrt(24)
    assert abs(np.corrcoef(x[0::2], x[1::2])[0, 1]) < 2 * limit
    for q in (-2.0, -1.0, 0.5, 1.5, 3.0):
        p = 0.5 * math.erfc(-q / math.sqrt(2))
        assert abs((x < q).mean() - p) < 5 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_is_box_and_mullers_of_the_words(dtype: str) -> None:
    generator = rv.Generator(77)
    words = definition.philox(np.arange(500, dtype=np.uint64), 77).astype(np.float64)
    if dtype == "float32":
        u, v = (words[:, 0::2] + 1) / 2**32, words[:, 1::2] / 2**32
    else:
        u = (np.floor((words[:, :1] * 2**32 + words[:, 1:2]) / 2**11) + 1) / 2**53
        v = np.floor((words[:, 2:3] * 2**32 + words[:, 3:]) / 2**11) / 2**53
    radius = np.sqrt(-2 * np.log(u))
    expected = np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], 2).reshape(-1)
    x = rv.randn(expected.size, dtype=dtype, generator=generator).numpy()
    np.testing.assert_allclose(
        x, expected, rtol=1e-7 if dtype == "float32" else 1e-11, atol=1e-7 if dtype == "float32" else 4e-15
    )


def test_uniform_and_integers() -> None:
    n, limit = 300_000, 5 / math.sqrt(300_000)
    x = rv.rand(n, generator=rv.Generator(1)).numpy()
    assert 0 <= x.min() < 1e-4 and 1 - 1e-4 < x.max() < 1
    assert abs(x.mean() - 0.5) < limit / math.sqrt(12)
    counts = np.bincount(rv.randint(7, (n,), generator=rv.Generator(2)).numpy(), minlength=7)
    assert counts.sum() == n and len(counts) == 7
    assert ((counts - n / 7) ** 2 / (n / 7)).sum() < 33  # chi squared, 6 degrees of freedom: p < 1e-5
    assert abs(rv.bernoulli(rv.zeros(n), 0.2, generator=rv.Generator(3)).mean().item() - 0.2) < limit * 0.4
    assert rv.bernoulli(rv.zeros(99), 0.0).sum().item() == 0 and rv.bernoulli(rv.zeros(99), 1.0).sum().item() == 99


def test_permutations_are_permutations() -> None:
    generator = rv.Generator(0)
    for n in (0, 1, 2, 10, 3000):
        assert sorted(rv.randperm(n, generator=generator).tolist()) == list(range(n))
    first = np.bincount([rv.randperm(3, generator=generator)[0].item() for _ in range(600)], minlength=3)
    assert (np.abs(first - 200) < 60).all()


@pytest.mark.parametrize("replacement", [False, True])
def test_multinomial(replacement: bool) -> None:
    weights = rv.tensor([[1.0, 2.0, 0.0, 5.0]] * 40000)
    drawn = rv.multinomial(weights, 2, replacement, generator=rv.Generator(4)).numpy()
    share = np.bincount(drawn[:, 0], minlength=4) / 40000
    np.testing.assert_allclose(share, np.array([1, 2, 0, 5]) / 8, atol=0.015)
    if not replacement:
        assert (drawn[:, 0] != drawn[:, 1]).all()
        given = drawn[drawn[:, 0] == 3, 1]  # after the last: 1 to 2
        np.testing.assert_allclose((given == 1).mean(), 2 / 3, atol=0.02)
    assert rv.multinomial(rv.tensor([0.5, 0.5]), 1).shape == (1,)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: rv.randint(3, 3, (2,)), "low=3 must be less than high=3"),
        (lambda: rv.randint(0, 300, (2,), dtype="uint8"), "must be within uint8"),
        (lambda: rv.rand(2, dtype="int64"), "dtype int64 must be float32 or float64"),
        (lambda: rv.rand(-1), r"sizes \(-1,\) must be >= 0"),
        (lambda: rv.bernoulli(rv.zeros(2), 1.5), r"p=1.5 must be in \[0, 1\]"),
        (lambda: rv.bernoulli(1.5), r"\[0, 1\]: 1.5 at position 0"),
        (lambda: rv.bernoulli(rv.tensor([0.5, -0.1])), r"-0\.1\d* at position 1"),
        (lambda: rv.bernoulli(rv.tensor([0.5, float("nan")])), "nan at position 1"),
        (lambda: rv.multinomial(rv.tensor([0.0, 1.0]), 2), "at least 2 of a row's probabilities must not be 0"),
        (lambda: rv.multinomial(rv.tensor([0.0, -1.0]), 1), "must be finite and >= 0"),
        (lambda: rv.manual_seed("x"), "seed='x' must be an integer"),
        (lambda: rv.rand(2, generator=3), "generator is a int"),
    ],
)
def test_messages(call, message: str) -> None:
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call()


@pytest.fixture
def dropout_within():
    """An op that draws inside, on the reference backend: it saves its key alone, and its gradient draws again."""

    def reference(xp, x, key, *, p):
        words = definition.words_of(key, -(-x.size // 4)).reshape(-1)[: x.size].reshape(x.shape)
        return xp.where(words < np.uint64(p * 2**32), xp.zeros_like(x), x / (1 - p)).astype(x.dtype)

    rv.exp(rv.ones(1))  # the native backend compares its table with the ops before this one is there
    op = Op(
        "dropout_within", kind="kernel", attrs={"p": 0.5}, saves="i1", reference=reference,
        infer=lambda x, key, *, p: (x.shape, x.dtype),
        vjp=lambda g, out, x, key, *, p: (op(g, key, p=p), None),
    )  # fmt: skip
    with rv.backend("numpy"):
        yield lambda x, p: op(x, rv.random.key(-(-x.numel() // 4)), p=p)
    del OPS["dropout_within"]


def test_a_gradient_draws_again_from_the_saved_key(dropout_within) -> None:
    def step(x):
        y = dropout_within(x * 1.0, 0.25)
        noise = rv.rand(3)  # later draws do not matter
        return y, rv.autograd.grad(y.sum(), x)[0], noise

    x = rv.ones(4, 5, requires_grad=True)
    rv.manual_seed(2)
    eager = [step(x) for _ in range(2)]
    rv.manual_seed(2)
    compiled = rv.compile(lambda: step(x))
    for y, g, noise in eager:
        assert 0 < np.count_nonzero(y.detach().numpy()) < 20
        np.testing.assert_array_equal(g.numpy(), y.detach().numpy())
        for a, b in zip(compiled(), (y, g, noise), strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())


def test_a_compiled_forward_pass_draws_again(dropout_within) -> None:
    w = rv.ones(4, 5, requires_grad=True)
    forward = rv.compile(lambda: dropout_within(rv.rand(4, 5) + w, 0.25))
    for _ in range(3):
        w.grad = None
        y = forward()
        y.sum().backward()
        np.testing.assert_array_equal(w.grad.numpy() != 0, y.detach().numpy() != 0)


def test_keys_are_not_changed_by_later_draws() -> None:
    generator = rv.Generator(5)
    first, second = rv.random.key(3, generator), rv.random.key(2, generator)
    rv.rand(9, generator=generator)
    assert first.tolist() == [5, 0] and second.tolist() == [5, 3] and first.version == 0
    with pytest.raises(DTypeError, match="key: generator is a int"):
        rv.random.key(1, 7)


@pytest.mark.parametrize("size, times", [(4, 3000), (300_000, 30)])
def test_threads_never_draw_the_same_numbers(size: int, times: int) -> None:
    import sys
    import threading

    generator, seen = rv.Generator(1), []

    def work() -> None:
        for _ in range(times):
            seen.append(rv.rand(size, generator=generator).numpy()[:4].tobytes())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(before)
    assert len(set(seen)) == 4 * times
    assert generator.get_state()[1].item() == times * size  # four threads, four numbers a block


def test_a_draw_that_is_refused_draws_nothing() -> None:
    generator = rv.Generator(1)
    with pytest.raises(IndexError):
        rv.bernoulli(rv.ones(9), 1.5, generator=generator)
    assert generator.get_state().tolist() == [1, 0]
