"""Values that plans must not lose: large integers, products of integers, signs of zeros, many axes."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from compiled_support import t
from ops_support import same_bits

LARGE = 2**53 + 1  # no double


@pytest.mark.parametrize("f", [
    lambda x: x + LARGE, lambda x: x == LARGE, lambda x: rv.where(x > 6, x, LARGE), lambda x: x.clamp(LARGE),
    lambda x: rv.maximum(x, LARGE), lambda x: x + rv.full((2,), LARGE, dtype=rv.int64), lambda x: x * 1 - LARGE,
    lambda x: x.masked_fill(x > 6, LARGE - 2), lambda x: F.pad(x, (1, 1), value=LARGE), lambda x: (x & LARGE) | -LARGE,
    lambda x: F.pad(x - LARGE, (0, 1), value=-LARGE),
])  # fmt: skip
def test_integers_that_no_double_holds(f):
    x = rv.tensor([LARGE, 5])
    with rv.backend("numpy"):
        expected = f(x).numpy()
    assert same_bits(f(x).numpy(), expected)
    g = rv.compile(f)
    for _ in range(2):
        assert same_bits(g(x).numpy(), expected)


def test_padding_with_a_large_integer():
    x = np.array([1, 2])
    assert F.pad(x, (1, 0), value=LARGE).tolist() == [LARGE, 1, 2]
    assert F.pad(rv.tensor(x), (1, 0), value=LARGE).tolist() == [LARGE, 1, 2]


@pytest.mark.parametrize("f", [
    lambda a, b, c: a @ b + c, lambda a, b, c: rv.relu(a @ b) * 2, lambda a, b, c: (a @ b).float() + 0.5,
    lambda a, b, c: F.linear(a, b, c) - c, lambda a, b, c: rv.addmm(c, a, b),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_chains_behind_products_of_integers(f, dtype):
    a, b, c = (rv.tensor(np.array(x, dtype)) for x in ([[1, 2], [3, -4]], [[5, 6], [-7, 8]], [9, 10]))
    assert same_bits(rv.compile(f)(a, b, c).numpy(), f(a, b, c).numpy())


@pytest.mark.parametrize("f", [lambda x: x - (-0.0), lambda x: x - 0.0, lambda x: x + 0.0, lambda x: x + (-0.0)])
def test_zeros_keep_their_signs(f):
    x = rv.tensor([0.0, -0.0])
    assert same_bits(rv.compile(f)(x).numpy(), f(x).numpy())


@pytest.mark.parametrize("f, g", [
    (lambda x: rv.repeat(x, 2, 1, 2, 3, 2), lambda a: np.tile(a, (2, 1, 2, 3, 2))),
    (lambda x: rv.tile(x, (2, 2, 2, 2, 2, 2)), lambda a: np.tile(a, (2, 2, 2, 2, 2, 2))),
    (lambda x: rv.kron(x, x), lambda a: np.kron(a, a)),
    (lambda x: rv.repeat(x, 1, 1, 0, 1, 1), lambda a: np.tile(a, (1, 1, 0, 1, 1))),
    (lambda x: rv.repeat_interleave(x.reshape(2, 1, 1, 1, 1, 1, 3, 4), 2, 6),
     lambda a: np.repeat(a.reshape(2, 1, 1, 1, 1, 1, 3, 4), 2, 6)),
])  # fmt: skip
def test_repeating_along_many_axes(f, g):
    x = t(2, 1, 3, 2, 2, requires_grad=True)
    expected = g(x.detach().numpy())
    with rv.no_grad():
        assert same_bits(f(x).numpy(), expected)
        assert same_bits(rv.compile(f)(x.detach()).numpy(), expected)
        assert same_bits(f(x.detach().numpy()), expected)

    def gradient():
        (f(x) * f(x)).sum().backward()
        grad, x.grad = x.grad, None
        return grad

    eager, compiled = gradient(), rv.compile(gradient)()
    np.testing.assert_allclose(compiled.numpy(), eager.numpy(), rtol=1e-6)
    with rv.backend("numpy"):
        np.testing.assert_allclose(eager.numpy(), gradient().numpy(), rtol=1e-5)


def test_compiled_and_eager_draws_in_turns():
    generator = rv.Generator().manual_seed(1)
    draw = rv.compile(lambda: rv.rand(3, generator=generator))
    mixed = [(draw() if k % 3 else rv.rand(3, generator=generator)).tolist() for k in range(6)]
    generator.manual_seed(1)
    assert mixed == [rv.rand(3, generator=generator).tolist() for _ in range(6)]
