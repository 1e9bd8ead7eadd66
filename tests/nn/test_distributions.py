"""Distributions against their formulas, their own draws, and sums over all labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ranvier as rv
from ranvier.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Independent,
    Normal,
    Uniform,
    kl_divergence,
)

GRID = np.linspace(-12, 12, 20001)
CONTINUOUS = [Normal(0.5, 1.5), Uniform(-1.0, 2.0), Exponential(0.8)]


def density(d, grid: np.ndarray) -> np.ndarray:
    """exp(log_prob), 0 where `grid` is outside of the support."""
    inside = d.support(rv.tensor(grid)).numpy()
    out = np.zeros_like(grid)
    out[inside] = np.exp(d.log_prob(rv.tensor(grid[inside])).numpy())
    return out


@pytest.mark.parametrize("d", CONTINUOUS, ids=repr)
def test_density(d):
    grid = np.linspace(-12, 40, 400001)
    p, width = density(d, grid), grid[1] - grid[0]
    mean = (grid * p).sum() * width
    assert p.sum() * width == pytest.approx(1, abs=1e-4)
    assert mean == pytest.approx(d.mean.item(), abs=1e-3)
    assert ((grid - mean) ** 2 * p).sum() * width == pytest.approx(d.variance.item(), rel=1e-3)
    assert -(p * np.log(np.where(p > 0, p, 1))).sum() * width == pytest.approx(d.entropy().item(), abs=1e-3)
    at = d.mean.item() + 0.3
    assert p[grid <= at].sum() * width == pytest.approx(d.cdf(at).item(), abs=1e-3)


@pytest.mark.parametrize("d", CONTINUOUS, ids=repr)
def test_draws(d):
    x = d.sample((20000,)).numpy()
    assert x.shape == (20000,)
    assert x.mean() == pytest.approx(d.mean.item(), abs=0.05)
    assert x.std() == pytest.approx(d.stddev.item(), rel=0.05)


def test_reparametrised_draws_have_gradients():
    loc, scale = rv.zeros(3, requires_grad=True), rv.ones(3, requires_grad=True)
    x = Normal(loc, scale).rsample((2,))
    x.sum().backward()
    assert loc.grad.tolist() == [2, 2, 2]
    np.testing.assert_allclose(scale.grad.numpy(), x.detach().numpy().sum(0), rtol=1e-6)
    assert not Normal(loc, scale).sample().requires_grad


def test_categorical():
    d = Categorical(probs=rv.tensor([[2.0, 3.0, 5.0], [0.0, 4.0, 6.0]]))
    p = np.array([[0.2, 0.3, 0.5], [0, 0.4, 0.6]])
    np.testing.assert_allclose(d.probs.numpy(), p, rtol=1e-6)
    np.testing.assert_allclose(d.log_prob(rv.tensor([2, 1])).numpy(), np.log([0.5, 0.4]), rtol=1e-5)
    expected = [-(q[q > 0] * np.log(q[q > 0])).sum() for q in p]
    np.testing.assert_allclose(d.entropy().numpy(), expected, rtol=1e-5)
    x = d.sample((20000,)).numpy()
    counts = np.stack([np.bincount(x[:, k], minlength=3) / 20000 for k in range(2)])
    np.testing.assert_allclose(counts, p, atol=0.02)
    assert counts[1, 0] == 0
    assert d.enumerate_support().shape == (3, 2)
    assert d.log_prob(d.enumerate_support()).shape == (3, 2)
    assert d.mode.tolist() == [2, 2]


def test_gradient_of_a_policy():
    logits = rv.tensor([0.0, 0.0, 1.0], requires_grad=True)
    Categorical(logits=logits).log_prob(rv.tensor(2)).backward()
    softmax = np.exp([0, 0, 1]) / np.exp([0, 0, 1]).sum()
    np.testing.assert_allclose(logits.grad.numpy(), np.array([0, 0, 1]) - softmax, rtol=1e-6)


def test_bernoulli():
    d = Bernoulli(probs=rv.tensor([0.1, 0.9, 1.0]))
    np.testing.assert_allclose(d.log_prob(rv.tensor([1.0, 1.0, 1.0])).numpy(), np.log([0.1, 0.9, 1]), atol=1e-6)
    np.testing.assert_allclose(Bernoulli(logits=0.0).entropy().item(), math.log(2), rtol=1e-6)
    assert d.sample((5,)).numpy()[:, 2].min() == 1


def over_labels(p: np.ndarray, q: np.ndarray) -> float:
    return float((p * np.log(p / q)).sum())


def test_divergences():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.25, 0.25])
    got = kl_divergence(Categorical(rv.tensor(p)), Categorical(rv.tensor(q)))
    assert got.item() == pytest.approx(over_labels(p, q), rel=1e-6)
    p, q = np.array([0.3, 0.7]), np.array([0.6, 0.4])
    assert kl_divergence(Bernoulli(0.7), Bernoulli(0.4)).item() == pytest.approx(over_labels(p, q), rel=1e-5)
    for a, b in (
        (Normal(0.0, 1.0), Normal(1.0, 2.0)),
        (Uniform(0.0, 1.0), Uniform(-1.0, 2.0)),
        (Exponential(2.0), Exponential(0.5)),
    ):
        x, y = density(a, GRID), density(b, GRID)
        expected = (x * np.log(np.where(x > 0, x / np.where(y > 0, y, 1), 1))).sum() * (GRID[1] - GRID[0])
        assert kl_divergence(a, b).item() == pytest.approx(expected, abs=2e-3)
    assert kl_divergence(Uniform(0.0, 2.0), Uniform(0.0, 1.0)).item() == math.inf
    with pytest.raises(NotImplementedError, match="no rule for Normal and Uniform"):
        kl_divergence(Normal(0.0, 1.0), Uniform(0.0, 1.0))


def test_independent():
    d = Independent(Normal(rv.zeros(2, 3), 1.0), 1)
    x = rv.randn(2, 3)
    np.testing.assert_allclose(d.log_prob(x).numpy(), Normal(0.0, 1.0).log_prob(x).numpy().sum(1), rtol=1e-5)
    assert d.rsample((4,)).shape == (4, 2, 3)
    assert kl_divergence(d, Independent(Normal(rv.ones(2, 3), 1.0), 1)).tolist() == [1.5, 1.5]
    with pytest.raises(rv.ShapeError, match=r"reinterpreted_batch_ndims=3 must be in \[0, 2\]"):
        Independent(Normal(rv.zeros(2, 3), 1.0), 3)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: Normal(0.0, -1.0), "Normal: scale of shape () must be > 0"),
        (lambda: Categorical(probs=rv.tensor([-1.0, 1.0])), "Categorical: probs"),
        (lambda: Bernoulli(probs=1.5), r"Bernoulli: probs of shape () must be in [0, 1]"),
        (lambda: Categorical(probs=rv.ones(3)).log_prob(3), "outside of the support, the labels 0 to 2"),
        (lambda: Uniform(1.0, 1.0), "above low"),
        (lambda: Bernoulli(), "give either probs or logits"),
    ],
)
def test_refused(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert text in str(error.value)


def test_compiled_draws_and_scores():
    score = rv.compile(lambda logits, label: Categorical(logits=logits).log_prob(label))
    logits = rv.randn(4, 3)
    label = rv.tensor([0, 1, 2, 0])
    np.testing.assert_array_equal(score(logits, label).numpy(), Categorical(logits=logits).log_prob(label).numpy())
    draw = rv.compile(lambda loc: Normal(loc, 1.0).rsample((1000,)))
    first, second = draw(rv.zeros(2)).numpy(), draw(rv.zeros(2)).numpy()
    assert (first != second).mean() > 0.99
