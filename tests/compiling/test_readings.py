"""What Python reads, while a function is traced, of tensors, modules, optimizers and settings: read anew when it changes."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from compiled_support import counted
from ranvier import nn, optim
from ranvier.core.errors import TraceError
from ranvier.train import Trainer

ONE = rv.ones(1)
WEIGHT = 1.0


def values_of_a_tensor():
    w = rv.ones(3)
    return lambda x: x * float(w.numpy()[0]), lambda: w.fill_(4.0)


def number_of_a_tensor():
    w = rv.tensor(1.0)
    return lambda x: x * (2 if w else 3) * w.item(), lambda: w.mul_(5.0)


def shape_of_a_tensor():
    w = rv.ones(3)
    return lambda x: x * w.shape[0], lambda: setattr(w, "data", rv.ones(5))


def flag_of_a_tensor():
    w = rv.ones(1, requires_grad=True)
    return lambda x: x * (2 if w.requires_grad else 1), lambda: setattr(w, "requires_grad", False)


def rate_of_an_optimizer():
    o = optim.SGD([rv.ones(1, requires_grad=True)], lr=0.1)
    return lambda x: x * o.param_groups[0]["lr"], lambda: o.param_groups[0].update(lr=0.5)


def rate_of_a_schedule():
    w = rv.ones(1, requires_grad=True)
    o = optim.SGD([w], lr=0.1)
    s = optim.lr_scheduler.StepLR(o, 1)

    def change():
        o.step()
        s.step()

    return lambda x: x * s.get_last_lr()[0], change


def mode_of_a_module():
    m = nn.Linear(1, 1)
    return lambda x: x * (2 if m.training else 1), m.eval


def forward_of_a_class():
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

    m = Double()
    return lambda x: m(x), lambda: setattr(Double, "forward", lambda self, x: x * 3)


def method_of_a_class():
    class Double:
        def times(self, x):
            return x * 2

    m = Double()
    return lambda x: m.times(x), lambda: setattr(Double, "times", lambda self, x: x * 3)


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("make", [
    values_of_a_tensor, number_of_a_tensor, shape_of_a_tensor, flag_of_a_tensor, rate_of_an_optimizer,
    rate_of_a_schedule, mode_of_a_module, forward_of_a_class, method_of_a_class,
], ids=lambda f: f.__name__)  # fmt: skip
def test_what_python_reads_is_read_anew(make, calls):
    with rv.no_grad():
        f, change = make()
        g, traces = counted(f)
        before = f(ONE).item()
        for _ in range(calls):
            assert g(ONE).item() == before
        assert len(traces) == 1
        change()
        after = f(ONE).item()
        assert after != before
        for _ in range(calls):
            assert g(ONE).item() == after
        assert len(traces) == 2


def test_the_default_dtype():
    f = rv.compile(lambda: rv.zeros(2) + 1)
    assert f().dtype == f().dtype == rv.float32
    rv.set_default_dtype(rv.float64)
    try:
        assert f().dtype == f().dtype == rv.float64
    finally:
        rv.set_default_dtype(rv.float32)
    assert f().dtype == rv.float32


def test_a_rate_that_no_code_names_makes_no_trace_stale():
    w = rv.ones(1, requires_grad=True)
    optimizer = optim.SGD([w], lr=1.0)

    def step():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None
        w.sum().backward()
        optimizer.step()

    step, traces = counted(step)
    step(), step()
    known = len(traces)
    for rate in (0.5, 0.25):
        optimizer.param_groups[0]["lr"] = rate
        step()
    assert w.item() == 1 - 2 - 0.75 and len(traces) == known


def test_a_value_that_the_function_itself_changes():
    w = rv.ones(1)

    @rv.compile
    def f(x):
        w.add_(1.0)
        return x * w.item()

    with pytest.raises(TraceError, match="that the compiled function has changed"):
        f(ONE)
    assert w.item() == 1.0


def test_a_name_that_a_loss_of_a_trainer_reads():
    global WEIGHT
    x = np.ones((4, 1), np.float32)
    trainer = Trainer(nn.Linear(1, 1), lambda out, y: WEIGHT * ((out - y) ** 2).mean(), "sgd", lr=0.0)
    try:
        first = trainer.fit(x, x, epochs=1, verbose=0)["loss"][0]
        WEIGHT = 10.0
        assert trainer.fit(x, x, epochs=1, verbose=0)["loss"][0] == pytest.approx(10 * first)
        assert trainer.evaluate(x, x)["loss"] == pytest.approx(10 * first)
    finally:
        WEIGHT = 1.0
