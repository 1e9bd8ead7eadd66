"""Tapes that come up again: from the third time on their backward pass is a plan, with the same results and errors."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import ranvier as rv
from ranvier.autograd import pullback
from ranvier.backends.native import NativeBackend
from ranvier.core.errors import GradError

TIMES = 5  # of each structure: the first ones step by step, the others as a plan


@pytest.fixture
def planned(monkeypatch):
    """How many backward passes were plans."""
    gc.collect()  # hooks of other tests' tensors, in cycles, keep passes from being plans
    counted = []
    original = pullback.pull

    def pull(*args):
        pairs = original(*args)
        counted.append(pairs is not None)
        return pairs

    monkeypatch.setattr(NativeBackend, "pull", staticmethod(pull))
    return lambda: sum(counted)


def leaf(*shape, seed=0):
    return rv.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype("f4")).requires_grad_()


def test_the_same_bits(planned):
    w, v, b = leaf(3, 4), leaf(3, 4, seed=1), leaf(3)
    seen = []
    for _ in range(TIMES):
        w.grad = v.grad = b.grad = None
        x = rv.ones(2, 4)
        h = rv.tanh(x @ w.T + b) * rv.exp(x @ v.T)
        (h * h).mean().backward()
        seen.append([t.grad.numpy().copy() for t in (w, v, b)])
    assert planned() == TIMES - 2
    for grads in seen[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(seen[0], grads))


def test_which_leaf_is_part_of_the_structure():
    """x * x, x * y and x * constant: the same calls and shapes on different leaves."""
    x, y, fixed = leaf(3), leaf(3, seed=1), leaf(3, seed=2).detach()
    for _ in range(TIMES):
        for other, expected in ((x, 2 * x), (y, y), (fixed, fixed)):
            x.grad = y.grad = None
            (x * other).sum().backward()
            assert np.array_equal(x.grad.numpy(), expected.detach().numpy())
            assert (y.grad is None) == (other is not y)


def test_shapes_dtypes_and_seeds_are_part_of_the_structure():
    for _ in range(TIMES):
        for dtype in ("float32", "float64"):
            for shape in ((3,), (1, 3), (3, 1)):
                x = rv.ones(*shape, dtype=dtype).requires_grad_()
                y = x * 2
                y.sum().backward()
                y = x * 2
                y.backward(rv.full(shape, 3.0, dtype=dtype))
                assert (
                    x.grad.shape == shape
                    and x.grad.dtype == np.dtype(dtype)
                    and x.grad.tolist() == rv.full(shape, 8.0).tolist()
                )


def test_several_outputs():
    x = leaf(4, 5)
    for _ in range(TIMES):
        x.grad = None
        values, _ = rv.max(x, 1)
        low, high = rv.split(x, 2)
        (values.sum() + (low * high).sum()).backward()
        expected = np.concatenate([high.detach().numpy(), low.detach().numpy()])
        expected[np.arange(4), x.detach().numpy().argmax(1)] += 1
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("change", ["input", "output", "view", "twice", "index"])
def test_errors_stay(change):
    """What is wrong with a tape is found however often its structure has come up, and nothing is changed."""
    x = leaf(4)
    for time in range(TIMES + 1):
        x.grad = None
        a = x * 1.0
        y = rv.exp(a)  # saves its output
        index = rv.tensor([0, 1])
        loss = (y * a).sum() + a[index].sum()
        if time < TIMES:
            loss.backward()
    with rv.no_grad():
        if change == "input":
            a.add_(1.0)
        elif change == "view":
            a.detach()[1:].fill_(0.0)
        elif change == "output":
            y.zero_()
        elif change == "index":
            index.add_(1)
    if change == "twice":
        loss.backward()
    before = None if x.grad is None else x.grad.numpy().copy()
    with pytest.raises(GradError):
        loss.backward()
    assert x.grad is None if before is None else np.array_equal(x.grad.numpy(), before)


def test_long_tapes_are_gone_through_step_by_step(planned):
    x = leaf(3)
    for _ in range(TIMES):
        y = x
        for _ in range(4200):
            y = y * 1.0
        x.grad = None
        y.sum().backward()
        assert x.grad.tolist() == [1.0] * 3
    assert planned() == 0


def test_retained_tapes():
    x = leaf(3)
    for _ in range(TIMES):
        y = (x * x).sum()
        x.grad = None
        y.backward(retain_graph=True)
        y.backward()
        np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)
        with pytest.raises(GradError, match="used already"):
            y.backward()


def test_a_tape_of_a_thousand_nodes(planned):
    w, b = leaf(4, 4), leaf(4, seed=1)
    seen = []
    for _ in range(TIMES):
        w.grad = b.grad = None
        h = rv.ones(2, 4)
        for _ in range(340):
            h = rv.tanh(h @ w + b)
        (h * h).mean().backward()
        seen.append([t.grad.numpy().copy() for t in (w, b)])
    assert planned() == TIMES - 2
    for grads in seen[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(seen[0], grads))


def test_structures_in_use_are_kept(planned):
    """New ones push out those that have not been used for long, and no others."""
    x = leaf(3)
    for _ in range(TIMES):
        (x * x).sum().backward()
    before = planned()
    for n in range(3 * pullback._MOST):
        if n % 16 == 0:
            (x * x).sum().backward()
            before += 1
        leaf(1, n + 1).sum().backward()
        assert planned() == before
    assert len(pullback._rules) <= pullback._MOST


def test_gradients_that_are_given_belong_to_their_leaves_alone():
    w, b = rv.ones(3, requires_grad=True), rv.zeros(3, requires_grad=True)
    kept = []
    for turn in range(8):
        w.grad = b.grad = None
        loss = (w * 2 + b).sum() + (w + b).sum()
        loss.backward(retain_graph=turn == 7)
        assert w.grad.tolist() == [3, 3, 3] and b.grad.tolist() == [2, 2, 2]
        assert not np.shares_memory(w.grad.numpy(), b.grad.numpy())
        w.grad.zero_()
        assert b.grad.tolist() == [2, 2, 2]
        kept.append(b.grad)
    loss.backward()  # adds to what is there
    assert w.grad.tolist() == [3, 3, 3] and b.grad.tolist() == [4, 4, 4]
    with pytest.raises(rv.GradError, match="used already"):
        loss.backward()
    assert all(g.tolist() == [2, 2, 2] for g in kept[:-1]) and kept[-1] is b.grad
    for _ in range(5):  # leaves whose gradients are one array, or the seed itself
        w.grad = b.grad = None
        (w + b).sum().backward()
        w.grad.add_(1)
        assert b.grad.tolist() == [1, 1, 1]
        x = rv.tensor(1.0, requires_grad=True)
        (x * 1).backward()
        x.grad.add_(1)
        assert x.grad.item() == 2 and (x * 1).item() == 1
