"""Gradients from outside of compiled functions, cleared, accumulated and changed inside of them: as eager code does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import ranvier as rv
from compiled_support import counted, t
from ranvier import nn, optim
from ranvier.core.errors import TraceError
from ranvier.nn.utils import clip_grad_norm_, clip_grad_value_


class Run:
    """A parameter, its module and optimizer, and what both kinds of code see after each step."""

    def __init__(self):
        self.model = nn.Linear(2, 1, bias=False)
        self.w = self.model.weight
        with rv.no_grad():
            self.w.copy_(rv.tensor([[1.0, -2.0]]))
        self.optimizer = optim.Adam(self.model.parameters(), lr=0.1)
        self.seen = []

    def backward(self, k=1.0):
        (self.model(rv.tensor([[1.0, k]])) ** 2).sum().backward()

    def look(self):
        grad = self.w.grad
        self.seen.append((self.w.tolist(), None if grad is None else grad.tolist()))


def both(make, calls):
    """What `calls(run, f)` leaves with f = make(run), eager and compiled."""
    seen = []
    for compiled in (False, True):
        run = Run()
        f, traces = counted(make(run)) if compiled else (make(run), [])
        calls(run, f)
        seen.append(run.seen)
    for eager, other in zip(*seen, strict=True):
        assert (eager[1] is None) == (other[1] is None), (eager, other)
        for a, b in zip(eager, other):
            if a is not None:
                np.testing.assert_allclose(b, a, rtol=1e-5)
    return traces


def update_and_clear(run):
    def f():
        run.optimizer.step()
        run.optimizer.zero_grad()

    return f


def update_and_clear_the_module(run):
    def f():
        run.optimizer.step()
        run.model.zero_grad()

    return f


def update_and_forget(run):
    w = run.w

    def f():
        run.optimizer.step()
        w.grad = None

    return f


def own_rule(run):
    def f():
        with rv.no_grad():
            for p in run.model.parameters():
                if p.grad is not None:
                    p.sub_(0.1 * p.grad)
                    p.grad = None

    return f


def update_and_fill(run):
    def f():
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=False)

    return f


def clip_and_update(run):
    def f():
        clip_grad_norm_(run.model.parameters(), 0.5)
        clip_grad_value_(run.model.parameters(), 0.4)
        run.optimizer.step()

    return f


def one_more_backward(run):
    def f():
        run.backward(0.5)
        run.optimizer.step()
        run.optimizer.zero_grad()

    return f


@pytest.mark.parametrize("make", [
    update_and_clear, update_and_clear_the_module, update_and_forget, own_rule, update_and_fill, clip_and_update,
    one_more_backward,
], ids=lambda f: f.__name__)  # fmt: skip
def test_after_an_eager_backward_pass(make):
    def calls(run, f):
        for k in range(5):
            run.backward(k / 2)
            run.look()
            f()
            run.look()

    assert len(both(make, calls)) <= 2


@pytest.mark.parametrize("make", [update_and_clear, own_rule, one_more_backward], ids=lambda f: f.__name__)
def test_with_and_without_a_gradient(make):
    def calls(run, f):
        for k in (None, 1.0, None, None, 2.0, 3.0, None):
            if k is not None:
                run.backward(k)
            f()
            run.look()

    assert len(both(make, calls)) <= 3


def test_a_gradient_that_the_caller_sets():
    def calls(run, f):
        for k in range(4):
            run.w.grad = rv.full((1, 2), k + 1.0)
            f()
            run.look()
            kept = run.w.grad
            run.w.grad = None
            f()
            run.look()
            run.w.grad = kept

    both(clip_and_update, calls)


def accumulate(run):
    def f(x, last):
        (run.model(x) ** 2).sum().backward()
        if last:
            run.optimizer.step()
            run.optimizer.zero_grad()

    return f


@pytest.mark.parametrize("forget", [True, False])
def test_accumulated_gradients(forget):
    def make(run):
        def f(x, last):
            (run.model(x) ** 2).sum().backward()
            if last:
                run.optimizer.step()
                if forget:
                    run.optimizer.zero_grad()
                else:
                    run.optimizer.zero_grad(set_to_none=False)

        return f

    def calls(run, f):
        for k in range(12):
            f(t(4, 2, seed=k), k % 3 == 2)
            run.look()

    assert len(both(make, calls)) <= 6


def test_gradients_that_another_compiled_function_leaves():
    def make(run):
        backward, update = rv.compile(lambda x: (run.model(x) ** 2).sum().backward()), update_and_clear(run)
        compiled = rv.compile(update)

        def f(x):
            backward(x)
            compiled()

        return f

    seen = []
    for split in (False, True):
        run = Run()
        f = make(run) if split else accumulate(run)
        for k in range(5):
            f(t(4, 2, seed=k)) if split else f(t(4, 2, seed=k), True)
            run.look()
        seen.append(run.seen)
    for (a, none), (b, also) in zip(*seen, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)
        assert none is also is None


def test_an_array_that_is_a_gradient_and_has_a_name():
    run = Run()
    run.backward()
    kept = run.w.grad
    f = rv.compile(lambda: kept * 2)
    expected = (kept * 2).tolist()
    for _ in range(3):
        assert f().tolist() == expected
        run.w.grad = None
        run.backward(3.0)


@pytest.mark.parametrize("clear", [lambda r: r.optimizer.zero_grad(), lambda r: r.model.zero_grad(),
                                   lambda r: setattr(r.w, "grad", None)])  # fmt: skip
def test_errors_leave_gradients_as_they_were(clear):
    run = Run()
    run.backward()
    grad = run.w.grad
    expected = grad.tolist()

    @rv.compile
    def f():
        clear(run)
        run.backward()
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        f()
    assert run.w.grad is grad and grad.tolist() == expected

    @rv.compile
    def g():
        loss = (run.model(rv.ones(1, 2)) ** 2).sum()
        clear(run)
        loss.backward()
        return float(loss)

    with pytest.raises(TraceError):
        g()
    assert run.w.grad is grad and grad.tolist() == expected


def _steps(run, wrap):
    """Steps of all kinds over one model, each compiled by `wrap`."""
    model, optimizer, x = run.model, run.optimizer, t(5, 2)
    box = SimpleNamespace(scale=1.0, factors=[1.0])

    def loss():
        return (model(x) * box.scale * box.factors[0]).square().mean()

    def whole():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    def update():
        optimizer.step()
        optimizer.zero_grad()

    def forget():
        run.w.grad = None

    def other_scale():
        box.scale *= 0.9
        box.factors[0] += 0.1

    inside = [
        lambda: loss().backward(), optimizer.step, update, whole, optimizer.zero_grad, model.zero_grad, forget,
        lambda: optimizer.zero_grad(set_to_none=False), lambda: model.zero_grad(set_to_none=False),
        lambda: clip_grad_norm_(model.parameters(), 0.1),
    ]  # fmt: skip

    def compiled(f):
        def quiet():
            f()

        return wrap(quiet)

    def other_rate():
        optimizer.param_groups[0]["lr"] *= 0.7

    return [*map(compiled, inside), lambda: loss().backward(), other_scale, other_rate]


@pytest.mark.parametrize("seed", range(40))
def test_random_sequences_of_steps(seed):
    ends = []
    for wrap in (lambda f: f, rv.compile):
        run = Run()
        steps = _steps(run, wrap)
        for k in np.random.default_rng(seed).integers(0, len(steps), 12):
            steps[k]()
            run.look()
        ends.append(run.seen)
    for eager, compiled in zip(*ends, strict=True):
        assert (eager[1] is None) == (compiled[1] is None)
        for a, b in zip(eager, compiled):
            if a is not None:
                np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
