"""Changes in place, where gradients are recorded."""

from __future__ import annotations

import inplace_programs
import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import GradError


def leaf(*values):
    return rv.tensor(list(values), requires_grad=True)


def test_overwritten_values_get_no_gradient():
    x = leaf(1.0, 2.0)
    y = x * 3
    y.zero_()
    (y + x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    x = rv.tensor(2.0, requires_grad=True)
    y = x * x
    y.fill_(5.0)
    (y * x).backward()
    assert x.grad.item() == 5.0


def _number(lib, w):
    x = w * 2
    x[0, 1] += w[1, 1] * 5
    return x


def _into_constant(lib, w):
    x = lib.zeros(4, 2, 3)
    x[1].copy_(w)
    x[2:].transpose(0, 2)[1].add_(w[0, 0] * w[1, 1])
    return x + 1


def _zeroed(lib, w):
    x = w * 1
    x.T[1].fill_(7.0)
    x[:, 2].zero_()
    return x * w


def _view_used(lib, w):
    x = w * 1
    view = x[0]
    view.add_(w[1])
    view.sub_(1.5)
    return view * x[1] + x.sum()


def _twice(lib, w):
    x = w.exp() + 0
    for i in range(2):
        x[i] += (x[1 - i] + 0) * w[i, 0]
    return x.reshape(3, 2)[::2]


def _of_a_number(lib, w):
    x = w.sum() * 1
    x.reshape(1, 1)[0].add_(w[0, 0])
    return x * x


@pytest.mark.parametrize(
    "script", [_number, _into_constant, _zeroed, _view_used, _twice, _of_a_number], ids=lambda f: f.__name__
)
def test_changes_through_views_as_in_pytorch(torch, script):
    results = []
    for lib in (rv, torch):
        w = lib.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype=lib.float64, requires_grad=True)
        out = script(lib, w)
        (out * out).sum().backward()
        results.append((out.detach().numpy(), w.grad.numpy()))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_changes_through_views_that_are_refused():
    w = leaf(1.0, 2.0)
    with pytest.raises(GradError, match="in-place change of a leaf tensor"):
        w[0].zero_()
    y = w * 3
    with pytest.raises(GradError, match="through a view"):
        y.detach().add_(w)
    assert w.tolist() == [1.0, 2.0] and y.tolist() == [3.0, 6.0]


def test_a_view_that_was_written_through_is_saved_as_it_was():
    w = leaf(1.0, 2.0)
    y = w * 3
    squares = (y * y).sum()
    y[0] += w[1]
    with pytest.raises(GradError, match="was changed in place after it was saved"):
        squares.backward()


def test_gradients_of_numbers_accumulate():
    x = rv.tensor(3.0, requires_grad=True)
    for _ in range(2):
        x.backward()
        (x + 1).backward()
    assert x.grad.item() == 4.0
    (x + 1).backward()
    assert rv.tensor(1.0).add(1.0).item() == 2.0  # the shared number was not written to


@pytest.mark.parametrize("change", [lambda y: y.zero_(), lambda y: y.add_(1.0), lambda y: y.mul_(3.0)])
def test_a_view_of_a_changed_result_has_the_new_history(torch, change):
    gradients = []
    for lib in (rv, torch):
        x = lib.ones(2, 3, requires_grad=True)
        y = x * 2
        view = y.T
        change(y)
        (view * view).sum().backward()
        first, x.grad = x.grad, None
        y = x * 2
        rows = y[1]
        change(y)
        rows.backward(lib.ones(3))
        gradients.append((first.tolist(), x.grad.tolist()))
    assert gradients[0] == gradients[1]


def _copy_through_a_view(b, v, w):
    b[2:].copy_(w * 2)


def _copy(b, v, w):
    b.copy_((w * 2).repeat(2))


def _assign_a_part(b, v, w):
    b[:2] = w * 2


def _copy_through_another_old_view(b, v, w):
    b_view = v[:2]
    b_view.copy_(w * 2)


USES = {
    "arithmetic": lambda lib, u, w: u * 3 + w.sum(),
    "view": lambda lib, u, w: u[:1],
    "alone": lambda lib, u, w: u + 1.0,
    "joined": lambda lib, u, w: lib.cat([u, w]),
    "copied": lambda lib, u, w: lib.zeros(3).copy_(u),
    "added in place": lambda lib, u, w: lib.zeros(3).index_add_(0, lib.tensor([0, 1, 2]), u),
    "itself": lambda lib, u, w: u,
}


@pytest.mark.parametrize("change", [_copy_through_a_view, _copy, _assign_a_part, _copy_through_another_old_view])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_view_older_than_the_history_of_its_base_as_in_pytorch(torch, change, use):
    for _ in range(2):  # first calls of a signature go another way
        results = []
        for lib in (rv, torch):
            w = lib.tensor([1.0, 1.0], requires_grad=True)
            b = lib.zeros(4)
            v, u, apart = b[:3], b[:3], b.detach()[:3]
            change(b, v, w)
            with lib.no_grad():  # values alone
                values = (u * 3).tolist()
            out = use(lib, u, w)
            out.sum().backward(retain_graph=True)
            gradient, w.grad = w.grad, None
            ((apart * 3).sum() + w.sum() + b.sum()).backward()  # `apart` is without history, as asked for
            results.append((values, out.tolist(), gradient if gradient is None else gradient.tolist(), w.grad.tolist()))
        assert results[0] == results[1]


@pytest.mark.parametrize("use", [rv.compile(lambda u, w: u * w.sum()), lambda u, w: rv.compile(lambda: u * w.sum())()])
def test_compiled_functions_refuse_a_view_older_than_the_history_of_its_base(use):
    w = leaf(1.0, 1.0)
    b = rv.zeros(4)
    u = b[:3]
    b[:2] = w * 2
    with pytest.raises((GradError, rv.TraceError), match="make the view again|compile the whole computation"):
        use(u, w)


def test_compiled_functions_see_a_captured_tensor_get_a_history():
    w = leaf(1.0, 1.0)
    b = rv.zeros(4)
    u, s = b[:2], leaf(1.0, 1.0)
    whole, part = rv.compile(lambda: b.sum() * s.sum()), rv.compile(lambda: (u * s).sum())
    whole().backward()
    part().backward()
    b[:2] = w * 2
    with pytest.raises(rv.TraceError, match="compute it inside, or use its detach"):
        whole()
    with pytest.raises(GradError, match="make the view again"):
        part()


def test_a_leaf_copied_into_a_tensor_stays_the_leaf():
    w = leaf(1.0, 2.0)
    b = rv.zeros(2).copy_(w)
    (b * 3).sum().backward()
    assert w.grad.tolist() == [3.0, 3.0] and b.grad is None and not b.is_leaf


def test_views_of_parameters_follow_their_updates():
    w = rv.ones(2, 3, requires_grad=True)
    view = w.T
    with rv.no_grad():
        w.mul_(2.0)
    (view * view).sum().backward()
    assert w.grad.tolist() == [[4.0] * 3] * 2


# ---------------------------------------------------------------- what an op has saved of its own target


def _layers(kind, *args):
    return lambda lib, y: getattr(lib.nn, kind)(*args, inplace=True)(y)


CHANGES = {
    **{kind: _layers(kind) for kind in ("ReLU", "ReLU6", "LeakyReLU", "ELU", "CELU", "SELU", "SiLU", "Mish")},
    **{kind: _layers(kind) for kind in ("Hardswish", "Hardsigmoid", "Hardtanh")},
    "Threshold": _layers("Threshold", 0.1, 0.2),
    "Dropout": lambda lib, y: lib.nn.Dropout(0.0, inplace=True)(y),
    "RReLU": lambda lib, y: lib.nn.RReLU(inplace=True).eval()(y),
    "clamp_": lambda lib, y: y.clamp_(-0.5, 0.5),
    "abs_": lambda lib, y: y.abs_(),
    "square_": lambda lib, y: y.square_(),
    "pow_": lambda lib, y: y.pow_(3),
    "sin_": lambda lib, y: y.sin_().cos_(),
    "exp_": lambda lib, y: y.exp_(),
    "mul_": lambda lib, y: y.mul_(y.detach().clone()),
    "itself": lambda lib, y: y.mul_((y + 1) * 2),
    "masked_fill_": lambda lib, y: y.masked_fill_(y > 0.4, 2.0),
    "rows": lambda lib, y: y.__setitem__(0, y[0] * 2 + y[1]),
    "a part": lambda lib, y: y[0].sigmoid_(),
    "old view": lambda lib, y: [v.mul_(2) for v in (y[0], y.T, y[:, 1:])],
    "diagonal": lambda lib, y: (y.diagonal().fill_(1.5), y[:, 1:].diagonal(-1).mul_(2)),
    "flat": lambda lib, y: y.view(-1)[1:3].tanh_(),
    "reshaped copy": lambda lib, y: y.T.reshape(-1).mul_(2),
}


def _gradients(lib, change, compiled=False):
    results = []
    for _ in range(4):  # later passes are plans
        x = lib.tensor([[0.5, -0.7, 1.2], [0.3, 0.9, -1.1]], dtype=lib.float64, requires_grad=True)

        def step(x=x):
            y = x * 2
            change(lib, y)
            (y * y * 3).sum().backward()
            return y.detach()

        y = (rv.compile(step) if compiled else step)()
        results += [y.numpy(), x.grad.numpy()]
    return results


@pytest.mark.parametrize("mode", ["native", "numpy", "compiled"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_ops_run_into_their_own_input_as_in_pytorch(torch, change, mode):
    with rv.backend("numpy" if mode == "numpy" else "native"):
        ours = _gradients(rv, change, mode == "compiled")
    for a, b in zip(ours, _gradients(torch, change), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # PyTorch's hardsigmoid has a constant in float32


def test_what_is_copied_keeps_a_history_of_its_own_as_in_pytorch(torch):
    for lib in (rv, torch):
        x, w = lib.tensor([1.0, 2.0], requires_grad=True), lib.tensor([3.0, 5.0], requires_grad=True)
        e, b, y = w * 3, lib.zeros(2), x * 2
        b.copy_(e)
        y.copy_(e)
        for t in (e, b, y):
            t.retain_grad()
        b.register_hook(lambda g: g * 0)
        (e * 2 + b * 3 + y * 5).sum().backward()
        assert [t.grad.tolist() for t in (x, w, e, b, y)] == [[0.0] * 2, [21.0] * 2, [7.0] * 2, [0.0] * 2, [5.0] * 2]


@pytest.mark.parametrize("layer", [rv.nn.Dropout(0.5, inplace=True).eval(), rv.nn.Dropout(0.0, inplace=True)])
def test_a_layer_that_does_nothing_changes_nothing(layer):
    x = leaf(-1.0, 2.0)
    layer(rv.relu(x)).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0] and layer(x) is x


def test_a_part_that_changes_itself_is_not_put_back():
    x = leaf(1.0, 2.0)
    y = x * 1
    y[0] *= 3
    assert y._node.call.op.name == "index_put"  # and not once more
    y[1] = y[0].detach()  # but this has no gradient
    y[0] = y[0].detach()
    assert y.tolist() == [3.0, 3.0]
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_a_buffer_that_results_are_copied_into_may_change():
    x = leaf(0.0, 1.0)
    b, e = rv.zeros(2), x.exp()
    b.copy_(e)
    b.add_(1)  # the exp that is saved is elsewhere
    (b.sum() + e.sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp([0.0, 1.0]), rtol=1e-6)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(GradError, match="the result of exp was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("compiled", [False, True])
def test_random_programs_with_changes_in_place_as_in_pytorch(torch, compiled):
    equal = 0
    for seed in range(60 if compiled else 200):
        program = inplace_programs.Program(seed, masks=not compiled)
        try:
            expected = program.run(torch)
        except RuntimeError:
            continue  # PyTorch refuses some that are right here, too
        for a, b in zip(program.run(rv, rv.compile if compiled else lambda f: f), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, err_msg=str(program.lines))
        equal += 1
    assert equal > 30
