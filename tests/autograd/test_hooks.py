"""Hooks of modules and leaves in backward passes, beside PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.core.errors import GradError


class _Part:
    """A module of two arguments and two results, of either library."""

    def __new__(cls, lib):
        class Part(lib.nn.Module):
            def forward(self, x, factor, y):
                return x * factor + y, (x * y).sum()

        return Part()


def _listed(gradients):
    return [None if g is None else np.round(np.array(g.tolist()), 5).tolist() for g in gradients]


def _replacing(lib, seen, module):
    module.register_full_backward_pre_hook(lambda m, go: tuple(g * 2 for g in go))
    module.register_full_backward_hook(lambda m, gi, go: tuple(None if g is None else g + 1 for g in gi))


def _looking(lib, seen, module):
    module.register_full_backward_hook(lambda m, gi, go: seen.append((_listed(gi), _listed(go))))
    module.register_full_backward_pre_hook(lambda m, go: seen.append(_listed(go)))


def _removed(lib, seen, module):
    for register in (module.register_full_backward_hook, module.register_full_backward_pre_hook):
        register(lambda m, *gradients: seen.append("removed")).remove()
    with module.register_full_backward_hook(lambda m, gi, go: seen.append("left")):
        pass


def _first(lib, seen, module):
    module.register_full_backward_hook(lambda m, gi, go: seen.append("second"))
    module.register_full_backward_hook(lambda m, gi, go: seen.append("first"), prepend=True)


@pytest.mark.parametrize(
    ("register", "leaf"),
    [(_replacing, True), (_looking, True), (_removed, True), (_first, True), (_replacing, False), (_first, False)],
)
def test_hooks_of_modules_as_in_pytorch(torch, register, leaf):
    results = []
    for lib in (rv, torch):
        seen: list = []
        x = lib.tensor([1.0, -2.0], requires_grad=leaf)
        w = lib.tensor([0.5, 3.0], requires_grad=True)
        part, linear = _Part(lib), lib.nn.Linear(2, 1)
        with lib.no_grad():
            linear.weight.copy_(lib.tensor([[1.0, 2.0]]))
            linear.bias.zero_()
        register(lib, seen, part)
        register(lib, seen, linear)
        for _ in range(4):
            a, b = part(x, 3.0, w * 1)
            (linear(a.reshape(1, 2)).sum() * b + linear(x.reshape(1, 2)).sum()).backward()
        grads = [t.grad for t in (x, w, linear.weight, linear.bias)]
        results.append((seen, _listed(grads)))
    assert results[0] == results[1]


def test_hooks_of_modules_whose_arguments_need_no_gradient():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go[0].tolist())))
    layer(rv.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1.0]])]


def test_hooks_of_modules_in_compiled_steps():
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    x = rv.ones(1, 2, requires_grad=True)

    def step():
        layer(x).sum().backward()

    step()
    wanted, x.grad = x.grad.tolist(), None
    rv.compile(step)()
    assert x.grad.tolist() == wanted


def test_hooks_of_modules_say_what_they_cannot_do():
    x = rv.ones(2, requires_grad=True)
    relu = nn.ReLU(inplace=True)
    relu.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(GradError, match="ReLU: changes its input in place"):
        relu(x * 1)
    tanh = nn.Tanh()
    tanh.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
    with pytest.raises(GradError, match="has returned 2 gradients, must return 1"):
        tanh(x).sum().backward()
    with rv.no_grad():
        assert not tanh(x).requires_grad


@pytest.mark.parametrize(
    "change", [lambda y: y.mul_(3), lambda y: y[0].mul_(3), lambda y: y.copy_(y.detach() * 2), lambda y: y.T.sin_()]
)
def test_a_retained_gradient_after_a_change_in_place_as_in_pytorch(torch, change):
    results = []
    for lib in (rv, torch):
        x = lib.tensor([[1.0, 2.0], [0.5, -1.0]], requires_grad=True)
        y = x * 2
        view = y[0]
        for t in (y, view):
            t.retain_grad()
        y.register_hook(lambda g: g * 100)
        change(y)
        (y * 5 + view).sum().backward()
        assert y.retains_grad and not x.retains_grad
        results.append([t.grad.numpy() for t in (x, y, view)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_hooks_after_accumulation_as_in_pytorch(torch):
    results = []
    for lib in (rv, torch):
        seen: list = []
        w = lib.tensor([1.0, 2.0], requires_grad=True)
        w.register_hook(lambda g: g * 2)
        handle = w.register_post_accumulate_grad_hook(lambda t, seen=seen: seen.append(t.grad.tolist()))
        for k in range(4):
            (w * 3).sum().backward()
            if k == 2:
                handle.remove()
        results.append((seen, w.grad.tolist()))
    assert results[0] == results[1]
    with pytest.raises(GradError, match="is no leaf"):
        (w := rv.ones(1, requires_grad=True) * 2).register_post_accumulate_grad_hook(print)


@pytest.mark.parametrize("use", [lambda w: w + 1, lambda w: w * w, lambda w: w.reshape(-1) + 0])
def test_a_leaf_that_got_another_shape_before_its_gradient_is_refused(use):
    w = rv.ones(2, requires_grad=True)
    for _ in range(4):  # passes that are plans, too
        use(w).sum().backward()
    y = use(w).sum()
    w.data = rv.ones(3)
    w.grad = None
    with pytest.raises(GradError, match="by .data after|changed in place after"):
        y.backward()
    for _ in range(4):
        w.grad = None
        use(w).sum().backward()
        assert w.grad.shape == (3,)
