"""What makes a trace stale, and what compiled functions say to changes in between."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from compiled_support import counted, t
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.core.errors import GradError, TraceError


def test_freezing_makes_a_compiled_step_trace_again():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    step, traces = counted(step)
    x = t(3, 2)
    step(x), step(x)
    model[0].requires_grad_(False)
    frozen, trained = model[0].weight.detach().clone(), model[1].weight.detach().clone()
    step(x)
    assert same_bits(model[0].weight.detach().numpy(), frozen.numpy())
    assert not same_bits(model[1].weight.detach().numpy(), trained.numpy())
    model[0].requires_grad_(True)
    step(x)
    assert not same_bits(model[0].weight.detach().numpy(), frozen.numpy())
    assert len(traces) <= 3


@pytest.mark.parametrize("change", [
    lambda m: m.append(nn.Linear(2, 2)),
    lambda m: m.__setitem__(0, nn.Linear(2, 2)),
    lambda m: setattr(m[1], "p", 1.0),
    lambda m: m.register_forward_hook(lambda module, args, out: out + 1),
    lambda m: setattr(m[0], "bias", None),
    lambda m: setattr(m[0], "forward", lambda x: x + 1),
])  # fmt: skip
def test_a_changed_module_is_traced_again(change):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0))
    f, traces = counted(lambda x: model(x))
    x = t(5, 2)
    with rv.no_grad():
        before = f(x).numpy()
        f(x)
        assert len(traces) == 1
        change(model)
        assert same_bits(f(x).numpy(), model(x).numpy())
        assert not np.array_equal(f(x).numpy(), before)
        assert len(traces) == 2


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor, self.steps = 2.0, (1, 2)

    def forward(self, x):
        return x * (1.0 if self.factor is None or not self.training else self.factor) * self.steps[0]


@pytest.mark.parametrize("name, value", [("factor", None), ("steps", (3, 2)), ("training", False)])
def test_an_option_of_a_module_is_read_anew(name, value):
    module = Scaled()
    f = rv.compile(lambda x: module(x))
    assert f(rv.ones(1)).item() == f(rv.ones(1)).item() == 2.0
    setattr(module, name, value)
    assert f(rv.ones(1)).item() == module(rv.ones(1)).item() != 2.0


def test_a_module_that_its_caller_does_not_hold_is_read_anew():
    inner = nn.Sequential(nn.Dropout(0.5))

    class Outer(nn.Module):
        def forward(self, x):
            return inner(x)

    outer = Outer()
    f = rv.compile(lambda x: outer(x).sum())
    for _ in range(2):
        assert f(rv.ones(1000)).item() != 1000.0
    inner.eval()
    assert f(rv.ones(1000)).item() == 1000.0


@pytest.mark.parametrize("change", [
    lambda o: o.param_groups[0]["params"].pop(),
    lambda o: o.param_groups[0].update(params=o.param_groups[0]["params"][:1]),
    lambda o: o.param_groups.pop(),
    lambda o: o.param_groups.__setitem__(1, {**o.param_groups[1], "lr": 0.0}),
])  # fmt: skip
def test_a_compiled_step_follows_the_parameter_groups(change):
    ends = []
    for compiled in (False, True):
        params = [rv.ones(2, requires_grad=True) for _ in range(4)]
        optimizer = optim.Adam([{"params": params[:2]}, {"params": params[2:]}], lr=0.1, betas=[0.9, 0.99])

        def step(params=params, optimizer=optimizer):
            for p in params:
                p.grad = None
            sum((p * p).sum() for p in params).backward()
            optimizer.step()

        run = rv.compile(step) if compiled else step
        for _ in range(3):
            run()
        change(optimizer)
        run(), run()
        ends.append([p.tolist() for p in params])
        with pytest.raises(TypeError):  # compiled steps would not notice
            optimizer.param_groups[0]["betas"][0] = 0.5
    assert ends[0] == ends[1]


def test_rates_that_could_change_unseen_are_refused():
    with pytest.raises(TypeError, match="must be a number; pass lr.item()"):
        optim.SGD([rv.ones(2, requires_grad=True)], lr=np.array(0.1))


def test_seeding_inside_is_refused():
    def f(x):
        rv.manual_seed(0)
        return x + rv.rand(2)

    with pytest.raises(TraceError, match="manual_seed"):
        rv.compile(f)(t(2))


@pytest.mark.parametrize("calls", [1, 2, 5])  # traced, by Python, natively
def test_a_tape_from_before_a_compiled_step_is_stale(calls):
    """Compiled changes of captured tensors count as changes in place."""
    w, x = rv.ones(3, requires_grad=True), rv.tensor([1.0, 2.0, 3.0])
    buffer = rv.zeros(3)

    @rv.compile
    def step(x):
        with rv.no_grad():
            w.sub_(0.1 * x)
            buffer.add_(x)

    for _ in range(calls - 1):
        step(x)
    loss = (w * w * x).sum()
    reads_buffer = (w * buffer).sum()
    versions = w.version, buffer.version
    assert (x * w).sum().requires_grad
    step(x)
    assert w.version > versions[0] and buffer.version > versions[1]
    with pytest.raises(GradError, match="was changed in place after it was saved"):
        loss.backward()
    with pytest.raises(GradError, match="was changed in place after it was saved"):
        reads_buffer.backward()
    loss = (w * w * x).sum()  # a new one is not
    loss.backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * w.detach().numpy() * x.numpy(), rtol=1e-6)


def test_a_result_with_a_history_that_a_compiled_function_changes_is_stale():
    w = rv.ones(3, requires_grad=True)
    y = w.exp()

    @rv.compile
    def change():
        with rv.no_grad():
            y.add_(1.0)

    with rv.no_grad():
        for _ in range(3):
            change()
    np.testing.assert_allclose(y.detach().numpy(), np.exp(np.ones(3)) + 3, rtol=1e-6)
    with pytest.raises(GradError, match="the result of exp was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("number", [float, np.float32])
def test_zeros_of_two_signs_are_two_values(number):
    f = rv.compile(lambda x, s: 1 / (x * float(s)))
    for _ in range(2):
        assert f(rv.ones(1), number(0.0)).item() == np.inf
        assert f(rv.ones(1), number(-0.0)).item() == -np.inf
        assert f(rv.ones(1), s=number(-0.0)).item() == -np.inf


@pytest.mark.parametrize("change", [
    lambda m: m.eval(), lambda m: setattr(m[1], "p", 0.9), lambda m: rv.set_float32_matmul_precision("medium"),
])  # fmt: skip
def test_a_compiled_forward_pass_has_no_gradient_once_its_module_is_changed(change):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    f = rv.compile(lambda x: model(x).sum())
    try:
        for _ in range(2):
            loss = f(rv.ones(64, 2))
            change(model)
            with pytest.raises(GradError, match="a module or a setting .* was changed"):
                loss.backward()
            rv.set_float32_matmul_precision("highest")
            model.train()
            model[1].p = 0.5
            loss = f(rv.ones(64, 2))
            loss.backward()
    finally:
        rv.set_float32_matmul_precision("highest")


def test_gradients_of_arguments_as_they_were():
    w = rv.ones(2, requires_grad=True)
    f = rv.compile(lambda xs, d: (w * xs[0] * d["x"] * len(xs)).sum())
    xs, d = [rv.ones(2)], {"x": rv.ones(2)}
    y = f(xs, d)
    xs.append(rv.ones(2))
    d["x"] = rv.full((2,), 7.0)
    y.backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_second_derivatives_through_a_compiled_forward_pass_are_refused():
    w = rv.ones(2, requires_grad=True)
    f = rv.compile(lambda x: (w**3 * x).sum())
    with pytest.raises(GradError, match="create_graph=True does not reach through a compiled function"):
        rv.autograd.grad(f(rv.ones(2)), w, create_graph=True)
