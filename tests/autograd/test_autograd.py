"""The tape: accumulation, retention, in-place changes, views, second derivatives."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref

import numpy as np
import pytest
import ranvier as rv
from ranvier.core.errors import GradError


def leaf(*values):
    return rv.tensor(list(values), requires_grad=True)


def test_gradients_accumulate():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [5.0, 7.0]
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_a_leaf_used_twice():
    x = leaf(3.0)
    (x * x + x).backward(rv.ones(1))
    assert x.grad.tolist() == [7.0]


def test_diamond():
    x = leaf(2.0)
    a = x * 2
    b, c = a * 3, a * a
    (b * c + a).sum().backward()
    # y = 2x * 3 * 4x^2 + 2x = 24 x^3 + 2x
    assert x.grad.tolist() == [72.0 * 4 + 2]


def test_gradient_does_not_alias():
    """x.grad belongs to x alone, also where the gradient came unchanged from the seed or to two leaves."""
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = rv.ones(2)
    (x + y).backward(seed)
    x.grad.mul_(5.0)
    assert y.grad.tolist() == [1.0, 1.0] and seed.tolist() == [1.0, 1.0]
    (x + y).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_unbroadcast():
    a, b, c = rv.ones(3, 1, requires_grad=True), rv.ones(4, requires_grad=True), rv.ones((), requires_grad=True)
    (a * b + c).sum().backward()
    assert a.grad.shape == (3, 1) and a.grad.tolist() == [[4.0]] * 3
    assert b.grad.tolist() == [3.0] * 4 and c.grad.item() == 12.0 and c.grad.shape == ()


def test_retain_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(GradError, match="the tape of sum has been used already"):
        y.backward()


def test_a_shared_part_is_used_up():
    x = leaf(2.0)
    a = x * x
    a.sum().backward()
    with pytest.raises(GradError, match="the tape of mul has been used already"):
        (a * 2).sum().backward()


def test_memory_is_freed():
    x = leaf(1.0, 2.0)
    y = x * 2
    watched = weakref.ref(y)
    z = rv.exp(y).sum()
    del y
    z.backward()
    gc.collect()
    assert watched() is None
    w = x * 2
    watched = weakref.ref(w)
    del w
    assert watched() is None  # without the cycle collector


@pytest.mark.parametrize(
    "change", [lambda y: y.add_(1.0), lambda y: y.zero_(), lambda y: y.__setitem__(0, 5.0), lambda y: y.detach().mul_(2.0),
               lambda y: y[1:].detach().fill_(0.0)],
    ids=["add_", "zero_", "setitem", "detached", "view"],
)  # fmt: skip
def test_changes_of_saved_values_are_noticed(change):
    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = (y * y).sum()
    change(y)
    with pytest.raises(GradError, match=r"input 0 of mul, shape \(2,\), was changed in place"):
        z.backward()


def test_changes_of_what_is_not_saved_are_fine():
    x = leaf(1.0, 2.0)
    y = x + 1.0
    z = y + 1.0
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_what_no_gradient_reads_may_be_changed_in_place():
    w, x = rv.ones(2, requires_grad=True), rv.full((2,), 3.0)
    u = w * 1  # the gradient of u reads x alone, as x needs none
    y = u * x
    u.mul_(5)
    y.sum().backward()
    assert w.grad.tolist() == [3, 3]
    y = rv.where(rv.tensor([True, False]), w * 2, x)
    x.zero_()
    w.grad = None
    y.sum().backward()
    assert w.grad.tolist() == [2, 0]
    values, _ = rv.sort(w * rv.tensor([2.0, 1.0]), 0)
    values.mul_(0.5)
    w.grad = None
    values.sum().backward()
    assert w.grad.tolist() == [1, 0.5]


def test_an_operand_that_the_other_gradient_reads_may_not():
    w = rv.ones(2, requires_grad=True)
    x = rv.ones(2)
    y = w * x
    x.zero_()
    with pytest.raises(GradError, match="input 1 of mul"):
        y.sum().backward()


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_positions_that_a_gradient_reads_may_not(backend):
    if backend == "native":
        pytest.importorskip("ranvier._native")
    with rv.backend(backend):
        w = rv.ones(3, requires_grad=True)
        for f in (lambda: rv.sort(w * 1, 0), lambda: rv.topk(w * 1, 2), lambda: (w * 1).max(0)):
            for _ in range(4):  # later ones as a plan
                f()[0].sum().backward()
            values, positions = f()
            positions.detach().add_(1)
            with pytest.raises(GradError, match="was changed in place after it was saved"):
                values.sum().backward()


@pytest.mark.parametrize("times", [1, 5])  # step by step, and as a plan
def test_a_leaf_that_requires_a_gradient_too_late_gets_none(times):
    for _ in range(times):
        w, x = rv.ones(2, requires_grad=True), rv.full((2,), 3.0)
        y = (w * 2) * x
        x.requires_grad_()
        y.sum().backward()
        assert x.grad is None and w.grad.tolist() == [6, 6]


def test_calls_of_several_results_are_recorded_natively():
    pytest.importorskip("ranvier._native")
    entered = []

    def look(frame, event, arg):
        if event == "call" and frame.f_code.co_filename.endswith(("dispatch.py", "tape.py")):
            entered.append(frame.f_code.co_name)

    x = rv.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    labels, index = rv.tensor([0, 3, 1]), rv.tensor([[0], [1], [0]])
    for f in (
        lambda: x.sum(), lambda: rv.softmax(x, 1), lambda: rv.cumsum(x, 0), lambda: rv.cross_entropy(x, labels),
        lambda: x.max(1), lambda: rv.sort(x, 1), lambda: rv.gather(x, 1, index), lambda: rv.var(x), lambda: x * x,
    ):  # fmt: skip
        f()
        before = sys.getprofile()
        sys.setprofile(look)
        f()
        sys.setprofile(before)
    assert not entered


def test_in_place_results_keep_their_history():
    x = leaf(1.0, 2.0)
    y = x * 2
    y.add_(x)
    y.exp_()
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.exp([3.0, 6.0]), rtol=1e-6)


def test_in_place_on_leaves():
    x = leaf(1.0, 2.0)
    for change in (lambda: x.add_(1.0), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises(GradError, match="in-place change of a leaf"):
            change()
    with rv.no_grad():
        x.add_(1.0)
    assert x.tolist() == [2.0, 3.0]


def test_assigning_rows_of_a_result():
    x = rv.ones(3, 2, requires_grad=True)
    r = leaf(5.0, 6.0)
    y = x * 2
    y[1] = r
    (y * y).sum().backward()
    assert r.grad.tolist() == [10.0, 12.0] and x.grad.tolist() == [[8.0, 8.0], [0.0, 0.0], [8.0, 8.0]]


def test_grad_of_inner_tensors():
    x = leaf(3.0)
    y = x * x
    z = (y * y).sum()
    gy, gx = rv.autograd.grad(z, [y, x])
    assert gy.tolist() == [18.0] and gx.tolist() == [108.0] and x.grad is None


def test_grad_of_unused():
    x, y = leaf(1.0), leaf(1.0)
    with pytest.raises(GradError, match=r"inputs\[1\], shape \(1,\), was not used"):
        rv.autograd.grad((x * 2).sum(), [x, y])
    assert rv.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None


def test_third_derivative():
    x = rv.tensor(2.0, requires_grad=True)
    y = x**4
    for wanted in (32.0, 48.0, 48.0):
        (y,) = rv.autograd.grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), wanted, rtol=1e-5)


def test_create_graph_into_grad():
    x = leaf(3.0)
    (x**2).sum().backward(create_graph=True)
    penalty = (x.grad**2).sum()
    assert penalty.requires_grad
    (g,) = rv.autograd.grad(penalty, x)
    assert g.tolist() == [24.0]


def test_backward_with_several_heads():
    x = leaf(1.0, 2.0)
    rv.autograd.backward([(x * 2).sum(), x * x], [None, rv.ones(2)])
    assert x.grad.tolist() == [4.0, 6.0]


def test_detach_cuts():
    x = leaf(2.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [2.0]


def test_arrays_give_gradients_nothing():
    x = leaf(2.0)
    y = (x * np.array([3.0], np.float32)).sum()
    y.backward()
    assert x.grad.tolist() == [3.0]


def test_float64_stays():
    x = rv.ones(2, dtype="float64", requires_grad=True)
    (x.sum() * 2).backward()
    assert x.grad.dtype == np.float64
    y = rv.ones(2, requires_grad=True)
    (y.to("float64") * x).sum().backward()
    assert y.grad.dtype == np.float32


def test_deep_chain():
    """No recursion: a chain of 20,000 ops goes backward."""
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 0.0
    y.backward(rv.ones(1))
    assert x.grad.tolist() == [1.0]
    del y  # nor when it is freed


def test_gradients_in_several_threads():
    import threading

    results = []

    def work(k):
        x = rv.full((100,), float(k), requires_grad=True)
        for _ in range(30):
            x.grad = None
            (x * x).sum().backward()
        results.append(x.grad.tolist() == [2.0 * k] * 100)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [True] * 4


# ---------------------------------------------------------------- hooks


def run_with_hooks(lib):
    """The same script in both libraries: what hooks see, and what they change."""
    seen = []
    x = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    handles = [y.register_hook(lambda g: seen.append(g.tolist())), y.register_hook(lambda g: g * 2)]
    y.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g + 1)
    y.retain_grad()
    (y.sum() + (y * 3).sum()).backward(retain_graph=True)
    results = [x.grad.tolist(), y.grad.tolist(), list(seen)]
    handles[1].remove()
    x.grad = None
    loss = (y * y).sum()
    results.append(lib.autograd.grad(loss, [x, y], retain_graph=True)[1].tolist())
    loss.backward()
    return [*results, x.grad.tolist(), seen]


def test_hooks_as_in_pytorch(torch):
    assert run_with_hooks(rv) == run_with_hooks(torch)


@pytest.mark.parametrize("asked", ["x", "y", "z", "u", "xy", "yx", "yz", "xz", "xyz", "yu"])
def test_hooks_on_the_way_to_what_is_asked_for_as_in_pytorch(torch, asked):
    seen = {}
    for lib in (rv, torch):
        x, u = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
        y = x * 3
        z = y * 2
        tensors, calls = {"x": x, "y": y, "z": z, "u": u}, []
        for factor, (name, t) in enumerate(tensors.items(), 7):
            t.register_hook(lambda g, name=name, factor=factor: calls.append(name) or g * factor)
        gradients = lib.autograd.grad((z * u).sum(), [tensors[name] for name in asked])
        seen[lib] = [g.tolist() for g in gradients], sorted(calls)
    assert seen[rv] == seen[torch]


def test_hooks_see_each_gradient_and_replace_it():
    first, *_ = results = run_with_hooks(rv)
    assert first == [17.0, 33.0, 49.0] and results[2] == [[4.0] * 3, [8.0] * 3]


def test_a_hook_goes_with_its_tensor():
    from ranvier.autograd import hooks

    gc.collect()
    x = rv.ones(3, requires_grad=True)
    assert not hooks.any_hooks()
    handle = x.register_hook(lambda g: g * 2)
    y = x * 2
    y.register_hook(lambda g: g * 5)
    assert hooks.any_hooks()
    y.sum().backward()
    assert x.grad.tolist() == [20.0] * 3
    del y
    with handle:
        pass
    handle.remove()
    assert not hooks.any_hooks()
    x.register_hook(lambda g: g)
    del x
    gc.collect()
    assert not hooks.any_hooks()


def test_a_hook_that_refers_to_its_own_leaf_goes_with_it():
    from ranvier.autograd import hooks

    gc.collect()
    x = rv.ones(3, requires_grad=True)
    x.register_hook(lambda g, x=x: g * x.detach())
    alive = weakref.ref(x)
    del x
    gc.collect()
    assert alive() is None and not hooks.any_hooks()


def test_copies_have_no_hooks():
    x = rv.ones(2, requires_grad=True)
    x.register_hook(lambda g: g * 10)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        twin.sum().backward()
        assert twin.grad.tolist() == [1.0, 1.0]


def test_copies_of_what_was_computed_say_what_to_do():
    y = rv.ones(2, requires_grad=True) * 3
    with pytest.raises(RuntimeError, match=r"graph leaves.*x.detach\(\)"):
        copy.deepcopy(y)
    for copied in (copy.copy, pickle.dumps):
        with pytest.raises(RuntimeError, match="copying or pickling.*detach"):
            copied(y)


def test_a_retained_gradient_is_what_all_hooks_have_made_of_it():
    x = rv.ones(2, requires_grad=True)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0, 10.0] and x.grad.tolist() == [30.0, 30.0]


def test_a_leaf_hook_runs_once_through_a_compiled_forward_pass():
    w = rv.ones(3, requires_grad=True)
    seen = []
    w.register_hook(lambda g: g * 10)
    w.register_hook(lambda g: seen.append(1))
    forward = rv.compile(lambda x: (w * x).sum())
    (forward(rv.ones(3)) + w.sum()).backward()  # the hook gets the sum of both
    assert w.grad.tolist() == [20.0] * 3 and len(seen) == 1


def test_compiled_steps_see_hooks_come_and_go():
    x = rv.ones(3, requires_grad=True)

    @rv.compile
    def step():
        x.grad = None
        (x * x).sum().backward()
        return x.grad

    assert step().tolist() == [2.0] * 3
    handle = x.register_hook(lambda g: g.clamp(max=1.5))
    assert step().tolist() == [1.5] * 3
    handle.remove()
    assert step().tolist() == [2.0] * 3


def test_hooks_of_several_outputs():
    x = rv.tensor([[3.0, 1.0], [2.0, 4.0]], requires_grad=True)
    var, mean = rv.var_mean(x, 1)
    mean.register_hook(lambda g: g * 10)
    (var + mean).sum().backward()
    plain = rv.tensor(x.tolist(), requires_grad=True)
    var, mean = rv.var_mean(plain, 1)
    (var + mean * 10).sum().backward()
    assert x.grad.tolist() == plain.grad.tolist()


@pytest.mark.parametrize("below", [lambda w: w, lambda w: w + 1], ids=["leaf", "result"])
def test_what_a_hook_keeps_or_gives_is_not_the_leafs(below):
    w, given, kept = rv.ones(3, requires_grad=True), rv.ones(3) * 5, []
    for hook in (kept.append, lambda g: given):
        w.grad = None
        x = below(w)
        with x.register_hook(hook):
            (x * 2).sum().backward()
        before = w.grad.tolist()
        (w * 3).sum().backward()
        assert w.grad.tolist() == [before[0] + 3] * 3
    assert kept[0].tolist() == [2.0] * 3 and given.tolist() == [5.0] * 3


def test_hook_messages():
    x = rv.ones(3, requires_grad=True)
    with pytest.raises(rv.GradError, match=r"register_hook: the tensor of shape \(3,\) does not require a gradient"):
        rv.ones(3).register_hook(print)
    with pytest.raises(rv.DTypeError, match="register_hook: hook=1 of type int must be a function"):
        x.register_hook(1)
    with (
        x.register_hook(lambda g: g[:1]),
        pytest.raises(rv.ShapeError, match="hook: .* must be None or a gradient like the one"),
    ):
        x.sum().backward()
    assert x.grad is None


@pytest.fixture
def scaled():
    """x / max(x), on the reference backend: the maximum is an output for the gradient alone."""
    from ranvier.ops import OPS, Op

    def reference(xp, x, *, training):
        top = xp.max(x, axis=0)
        return (x / top, top) if training else x / top

    op = Op(
        "scaled", kind="kernel", attrs={"training": False}, extras=1, saves="o1", reference=reference,
        infer=lambda x, *, training: [(x.shape, x.dtype), (x.shape[1:], x.dtype)] if training else (x.shape, x.dtype),
        vjp=lambda g, out, x, *, training: (g[0] / out[1],),
    )  # fmt: skip
    rv.exp(rv.ones(1))  # the native backend compares its table with the ops before this one is there
    with rv.backend("numpy"):
        yield op
    del OPS["scaled"]


def test_outputs_for_the_gradient_are_made_only_where_it_is_recorded(scaled):
    x = rv.tensor([[1.0, 8.0], [2.0, 4.0]])
    w = x.detach().clone().requires_grad_()
    plain, recorded = scaled(x), scaled(w)
    assert plain.tolist() == recorded.tolist() == [[0.5, 1.0], [1.0, 0.5]]
    recorded.sum().backward()
    assert w.grad.tolist() == [[0.5, 0.125]] * 2
    with rv.no_grad():
        assert scaled(w).tolist() == plain.tolist()

    def outputs(f):
        return [len(node.outputs) for node in rv.graph.trace(f).nodes if node.name == "scaled"]

    assert outputs(lambda: scaled(x)) == [1] and outputs(lambda: scaled(w)) == [2]
    with rv.no_grad():
        assert outputs(lambda: scaled(w)) == [1]


def test_outputs_for_the_gradient_in_native_calls():
    pytest.importorskip("ranvier._native")
    from ranvier.ops import OPS, Op

    rv.exp(rv.ones(1))
    op = Op(
        "sorted_rows", kind="kernel", kernel="sort", attrs={"training": False}, extras=1, saves="o1",
        reference=lambda xp, x, *, training: (np.sort(x, 1), np.argsort(x, 1)),
        encode=lambda x, *, training: {"dim": 1, "descending": False},
        infer=lambda x, *, training: [(x.shape, x.dtype), (x.shape, np.dtype("int64"))],
        vjp=lambda g, out, x, *, training: (g[0] * out[1],),
    )  # fmt: skip
    try:
        for _ in range(2):  # an unknown signature, then a known one
            w = rv.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
            y = op(w)
            assert y.tolist() == [[1, 2, 3]]
            y.sum().backward()
            assert w.grad.tolist() == [[1, 2, 0]]
    finally:
        del OPS["sorted_rows"]
