"""What compiled functions mean: when they trace, what they capture, return, update and refuse."""

from __future__ import annotations

import threading
from collections import namedtuple

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from compiled_support import counted, t
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.core.errors import DomainError, GradError, TraceError

# ---------------------------------------------------------------- when to trace


def test_one_trace_a_signature():
    f, traces = counted(lambda x, scale=1.0: x * scale)
    for shape in ((3,), (3,), (2, 3), (3,), (2, 3)):
        f(rv.ones(*shape))
    assert len(traces) == 2
    f(rv.ones(3, dtype="float64"))
    f(rv.ones(3), scale=2.0)
    assert f(rv.ones(3), scale=2.0).tolist() == [2.0] * 3
    assert len(traces) == 4


def test_layouts_do_not_matter():
    f, traces = counted(lambda x: x @ x.T)
    a = np.arange(12, dtype=np.float32).reshape(3, 4)
    wanted = a @ a.T
    for x in (a, np.asfortranarray(a), np.ascontiguousarray(a[::-1])[::-1], np.repeat(a, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(f(rv.from_numpy(x)).numpy(), wanted)
    assert len(traces) == 1


def test_train_and_eval_are_traced_apart():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    f, traces = counted(lambda x: model(x))
    x = t(64, 4)
    assert (f(x) == 0).any()
    model.eval()
    assert same_bits(f(x), model(x)) and not (f(x) == 0).all()
    model.train()
    assert (f(x) == 0).any()
    model.eval()
    f(x)
    assert len(traces) == 2


def test_learning_rate_without_retrace():
    p = nn.Parameter(rv.zeros(1))
    optimizer = optim.SGD([p], lr=1.0)

    def step():
        optimizer.zero_grad()
        p.sum().backward()
        optimizer.step()

    f, traces = counted(step)
    f()
    optimizer.param_groups[0]["lr"] = 0.25
    f()
    assert p.item() == -1.25 and len(traces) == 1
    schedule = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    schedule.step()
    f()
    assert p.item() == -1.375 and len(traces) == 1


def test_grad_mode_is_part_of_the_signature():
    w = nn.Parameter(rv.ones(2))
    f = rv.compile(lambda x: x * w)
    with rv.no_grad():
        assert not f(rv.ones(2)).requires_grad
    assert f(rv.ones(2)).requires_grad


def test_backend_is_part_of_the_signature():
    f, traces = counted(lambda x: rv.exp(x))
    a = f(rv.ones(3))
    with rv.backend("numpy"):
        b = f(rv.ones(3))
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert len(traces) == 2


def test_the_native_call_looks_at_all_that_a_trace_depends_on():
    w = t(3, requires_grad=True)
    f, traces = counted(lambda x: (x * w.detach()).sum() if rv.is_grad_enabled() else (x - w.detach()).sum())
    x = rv.ones(3)
    for _ in range(3):
        f(x)
    assert f._caller is not None and len(traces) == 1
    total = float(w.detach().sum())
    with rv.no_grad():
        assert f(x).item() == pytest.approx(3 - total)
    assert f(x).item() == pytest.approx(total)
    assert f(rv.ones(2, 3)).item() == pytest.approx(2 * total)  # another shape
    assert f(rv.ones(3, dtype="float64")).dtype == np.float64
    assert f(x=x).item() == pytest.approx(total)  # by name
    assert isinstance(f(x.numpy()), (np.ndarray, np.generic))
    swapped = np.ones(3, ">f4")  # the machine's bytes in the other order
    np.testing.assert_allclose(f(rv.ones(3)).item(), f(rv.from_numpy(swapped.astype("=f4"))).item())
    with rv.backend("numpy"):
        assert f(x).item() == pytest.approx(total)
    assert rv.compile(lambda y: f(y) * 2)(x).item() == pytest.approx(2 * total)  # inside of another trace
    x.requires_grad_()
    loss = f(x)
    loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), w.detach().numpy())
    with pytest.raises(TypeError):
        f()


def test_a_detached_twin_that_is_read_first_hides_no_gradient():
    x = rv.tensor([1.0, 2.0], requires_grad=True)
    rv.compile(lambda x: rv.square(x.detach()) * x)(x).sum().backward()
    assert x.grad.tolist() == [1.0, 4.0]


def test_the_native_call_sees_other_gradients_arrays_and_options():
    w = nn.Parameter(rv.ones(3))
    optimizer = optim.SGD([w], lr=1.0)

    def body(x):
        (w * x).sum().backward()  # adds to what is there
        optimizer.step()

    step, traces = counted(body)
    x = rv.ones(3)
    assert step(x) is None and w.tolist() == [0, 0, 0]
    step(x)  # gradients 1 + 1
    step(x)
    assert w.tolist() == [-5, -5, -5] and w.grad.tolist() == [3, 3, 3]
    w.grad = None
    step(x)
    assert w.tolist() == [-6, -6, -6] and w.grad.tolist() == [1, 1, 1]
    optimizer.param_groups[0]["lr"] = 0.5
    w.grad = None
    step(x)
    assert w.tolist() == [-6.5, -6.5, -6.5]
    w.data = rv.zeros(3)
    w.grad = None
    step(x)
    assert w.tolist() == [-0.5, -0.5, -0.5]


def test_traces_are_bounded():
    f, traces = counted(lambda x, k: x + k)
    for k in range(200):
        assert f(rv.zeros(1), k).item() == k
    assert sum(map(len, f._traces.values())) <= f.max_traces


def test_the_trace_unused_for_longest_goes_first():
    f, traces = counted(lambda x, k: x + k)
    x = rv.zeros(1)
    for k in range(200):
        f(x, k)
        f(x, 0)
    assert len(traces) == 200
    for k in range(199, 199 - f.max_traces + 2, -1):
        f(x, k)
    assert len(traces) == 200
    f(x, 1)
    assert len(traces) == 201


def test_a_schedule_between_calls_stays_native():
    """New numbers known to Python are brought in by the native call; what needs a new trace is left to Python."""
    model = rv.nn.Linear(2, 1)
    optimizer = rv.optim.SGD(model.parameters(), lr=0.5)

    def step(x):
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    f, traces = counted(step)
    x = rv.ones(1, 2)
    f(x)
    f(x)
    for lr in (0.25, 0.0):
        optimizer.param_groups[0]["lr"] = lr
        before = model.bias.item()
        if f._caller is not None:  # the backend has native calls
            assert f._caller(x) is not NotImplemented
        else:
            f(x)
        assert before - model.bias.item() == lr
    model.eval()
    assert f._caller is None or f._caller(x) is NotImplemented
    f(x)
    assert len(traces) == 2


# ---------------------------------------------------------------- what is captured


def test_captured_tensors_are_read_at_each_run():
    w = rv.ones(2)
    f, traces = counted(lambda x: x * w)
    f(rv.ones(2))
    w.fill_(3.0)
    assert f(rv.ones(2)).tolist() == [3.0, 3.0]
    w[0] = 5.0
    assert f(rv.ones(2)).tolist() == [5.0, 3.0] and len(traces) == 1


def test_two_states_take_one_value():
    a, b, x = t(3), t(3, seed=1), t(3, seed=2)

    def body(x):
        v = rv.tanh(x)
        a.copy_(v)
        b.copy_(v)
        a.copy_(x)
        b.mul_(0.5)

    rv.compile(body)(x)
    np.testing.assert_array_equal(a.numpy(), x.numpy())
    np.testing.assert_allclose(b.numpy(), 0.5 * np.tanh(x.numpy()), rtol=1e-6)


def test_a_state_survives_a_fault_before_its_update():
    state, table = t(4), t(5, 4, seed=1)
    before = state.numpy().copy()

    def body(i):
        u = F.softmax(state * 2, -1)
        y = table[i].sum(0)
        state.copy_(u + y)

    f = rv.compile(body)
    with pytest.raises(IndexError, match="must be in"):
        f(rv.tensor([1, 7]))
    np.testing.assert_array_equal(state.numpy(), before)
    f(rv.tensor([1, 2]))
    assert not np.array_equal(state.numpy(), before)


def test_gradients_that_were_deleted_are_set_again():
    w = nn.Parameter(rv.ones(2))
    optimizer = optim.SGD([w], lr=0.0)

    def body(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        return loss

    f = rv.compile(body)
    for _ in range(3):
        f(rv.ones(2))
        assert w.grad.tolist() == [1, 1]
        del w.grad


def test_views_of_captured_tensors():
    base = rv.zeros(4, 3)
    column = base[:, 1]
    f = rv.compile(lambda: column * 2 + base.T[0, 0])
    base.fill_(2.0)
    assert f().tolist() == [6.0] * 4
    base[:, 1] = rv.tensor([1.0, 2.0, 3.0, 4.0])
    assert f().tolist() == [4.0, 6.0, 8.0, 10.0]


def test_load_state_dict_is_seen():
    model = nn.Linear(2, 1)
    f = rv.compile(lambda x: model(x))
    f(rv.ones(1, 2))
    model.load_state_dict({"weight": np.full((1, 2), 2.0, np.float32), "bias": np.ones(1, np.float32)})
    assert f(rv.ones(1, 2)).item() == 5.0


def test_parameters_of_another_dtype_are_traced_anew():
    model = nn.Linear(2, 1)
    f = rv.compile(lambda x: model(x))
    f(rv.ones(1, 2))
    model.double()
    assert f(rv.ones(1, 2, dtype="float64")).dtype == np.float64


def test_python_values_are_baked_in():
    f = rv.compile(lambda x, k: x + k["add"] if k["do"] else x)
    assert f(rv.ones(1), {"add": 2, "do": True}).item() == 3.0
    assert f(rv.ones(1), {"add": 2, "do": False}).item() == 1.0


def test_state_updates_in_slices():
    table = rv.zeros(3, 2)

    @rv.compile
    def write(row):
        table[1] = row
        table[:, 0] = table[:, 0] + 1.0
        return table.sum()

    assert write(rv.ones(2)).item() == 5.0 and table.tolist() == [[1.0, 0.0], [2.0, 1.0], [1.0, 0.0]]


def test_random_numbers_in_a_trace():
    """Each run draws anew, continues the generator, and gives eager's numbers."""
    f = rv.compile(lambda: rv.random.normal(0.0, 1.0, (5,)))
    rv.manual_seed(3)
    compiled = [f() for _ in range(3)]
    rv.manual_seed(3)
    eager = [rv.random.normal(0.0, 1.0, (5,)) for _ in range(3)]
    assert all(map(same_bits, compiled, eager)) and not same_bits(compiled[0], compiled[1])


def test_dropout_masks_of_forward_and_backward_agree():
    layer = nn.Dropout(0.5)
    x = rv.ones(1000, requires_grad=True)

    @rv.compile
    def step():
        x.grad = None
        y = layer(x)
        y.sum().backward()
        return y

    for _ in range(2):
        y = step()
        assert same_bits(y, x.grad) and 300 < (y == 0).sum().item() < 700


# ---------------------------------------------------------------- what is returned


def test_structures():
    Pair = namedtuple("Pair", "first second")

    @rv.compile
    def f(x):
        return {"a": x + 1, "b": [x, (x * 2, "text")], "c": Pair(x, 7), "none": None}

    for _ in range(2):
        out = f(rv.ones(2))
        assert out["a"].tolist() == [2.0, 2.0] and out["b"][1][0].tolist() == [2.0, 2.0] and out["b"][1][1] == "text"
        assert type(out["c"]).__name__ == "Pair" and out["c"].second == 7 and out["none"] is None


def test_nothing_returned():
    s = rv.zeros(1)
    f = rv.compile(lambda: [s.add_(1.0), None][1])
    assert f() is None and f() is None and s.item() == 2.0


def test_arrays_in_arrays_out():
    f = rv.compile(lambda x: (x * 2, x.sum()))
    out = f(np.ones(3, np.float32))
    assert isinstance(out[0], np.ndarray) and out[0].tolist() == [2.0] * 3 and out[1] == 3.0
    assert isinstance(f(rv.ones(3))[0], rv.Tensor)


def test_nested_arguments():
    f = rv.compile(lambda batch, *, more: batch["x"] + batch["y"][0] * more)
    out = f({"x": rv.ones(2), "y": (rv.full((2,), 2.0),)}, more=rv.full((2,), 3.0))
    assert out.tolist() == [7.0, 7.0]


def test_compiled_inside_compiled():
    inner = rv.compile(lambda x: x * 2)
    outer = rv.compile(lambda x: inner(x) + 1)
    assert outer(rv.ones(2)).tolist() == [3.0, 3.0]


def test_methods_and_modules():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x)

        @rv.compile
        def twice(self, x):
            return self.layer(self.layer(x))

    model = Model()
    compiled = rv.compile(model)
    x = t(3, 2)
    assert same_bits(compiled(x), model(x)) and same_bits(model.twice(x), model.layer(model.layer(x)))
    assert list(compiled.state_dict()) == list(model.state_dict())


# ---------------------------------------------------------------- gradients


def test_grad_after_compiled_steps():
    """p.grad after a compiled step is what the eager step leaves there, also for steps that accumulate."""
    w = nn.Parameter(t(3, 2))
    x = t(5, 3)

    def accumulate(x):
        (x @ w).square().sum().backward()

    accumulate(x)
    once = w.grad.numpy().copy()
    w.grad = None
    compiled = rv.compile(accumulate)
    for times in (1, 2, 3):
        compiled(x)
        np.testing.assert_allclose(w.grad.numpy(), times * once, rtol=1e-5)
    w.grad = None
    compiled(x)
    np.testing.assert_allclose(w.grad.numpy(), once, rtol=1e-6)
    w.grad.zero_()
    compiled(x)
    np.testing.assert_allclose(w.grad.numpy(), once, rtol=1e-6)


def test_eager_and_compiled_steps_mix():
    def build():
        rv.manual_seed(1)
        model = nn.Linear(3, 2)
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x):
            loss = model(x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    x = t(4, 3)
    plain, step = build()
    for _ in range(4):
        step(x)
    mixed, other = build()
    compiled = rv.compile(other)
    for run in (other, compiled, other, compiled):
        run(x)
    for a, b in zip(plain.parameters(), mixed.parameters()):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_backward_through_a_compiled_forward():
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    x = t(5, 3)
    model(x).square().sum().backward()
    wanted = [p.grad.numpy().copy() for p in model.parameters()]
    compiled = rv.compile(model)
    for _ in range(2):
        model.zero_grad()
        (compiled(x) ** 2).sum().backward()
        for p, g in zip(model.parameters(), wanted):
            np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-5, atol=1e-6)


def test_backward_through_several_outputs():
    w = nn.Parameter(rv.tensor([2.0, 3.0]))
    f = rv.compile(lambda x: {"a": x * w, "b": (w * w, x), "c": w.detach() * 1.0})
    out = f(rv.ones(2))
    assert out["a"].requires_grad and not out["c"].requires_grad
    (out["a"].sum() + 2 * out["b"][0].sum()).backward()
    assert w.grad.tolist() == [1 + 8.0, 1 + 12.0]
    w.grad = None
    f(rv.ones(2))["b"][0].sum().backward()
    assert w.grad.tolist() == [4.0, 6.0]


def test_backward_with_dropout_replays_the_mask():
    w = nn.Parameter(rv.ones(1000))
    layer = nn.Dropout(0.4)
    f = rv.compile(lambda: layer(w))
    for _ in range(2):
        w.grad = None
        first = f()
        second = f()  # advances the generator in between
        first.sum().backward()
        assert same_bits(w.grad, first) and not same_bits(first, second)


def test_backward_twice_through_a_compiled_forward():
    w = nn.Parameter(rv.ones(2))
    y = rv.compile(lambda: w * w)()
    y.sum().backward()
    with pytest.raises(GradError, match="used already"):
        y.sum().backward()


def test_gradient_of_an_argument():
    f = rv.compile(lambda x: (x * x).sum())
    x = rv.tensor([1.0, 2.0], requires_grad=True)
    f(x).backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_second_derivatives_inside():
    x = rv.tensor([1.0, 2.0], requires_grad=True)

    @rv.compile
    def curvature():
        (g,) = rv.autograd.grad((x**3).sum(), x, create_graph=True)
        (h,) = rv.autograd.grad(g.sum(), x)
        return g, h

    g, h = curvature()
    np.testing.assert_allclose(h.numpy(), [6.0, 12.0], rtol=1e-6)
    np.testing.assert_allclose(g.detach().numpy(), [3.0, 12.0], rtol=1e-6)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "look,what",
    [(lambda x: x.sum().item(), r"item\(\)"), (lambda x: bool((x > 0).all()), r"bool\(\)"), (lambda x: x.numpy(), r"numpy\(\)"),
     (lambda x: 1 if x.sum() > 0 else 2, r"bool\(\)"), (lambda x: float(x.sum()), r"item\(\)"), (lambda x: x.tolist(), r"tolist\(\)"),
     (lambda x: np.asarray(x), "NumPy array"), (lambda x: x[x > 0], "mask")],
    ids=range(8),
)  # fmt: skip
def test_values_are_not_known_in_a_trace(look, what):
    f = rv.compile(lambda x: look(x * 2))
    for _ in range(2):
        with pytest.raises(TraceError, match=rf"{what}.*\(3,\)|{what}.*shape \(\)") as caught:
            f(rv.ones(3))
        assert "where()" in str(caught.value)
    assert rv.exp(rv.zeros(2)).tolist() == [1.0, 1.0]  # the thread is out of the trace


def test_errors_inside_a_trace_leave_no_marks():
    w = nn.Parameter(rv.ones(2))
    w.grad = rv.full((2,), 7.0)

    def broken(x):
        w.grad = None
        (w * x).sum().backward()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        rv.compile(broken)(rv.ones(2))
    assert w.grad is None or isinstance(w.grad._data, np.ndarray)
    with pytest.raises(rv.ShapeError, match=r"linear: x\(2, 3\) @ weight\(5, 4\)\.T: .*\[in 1 \(Linear\)\]"):
        rv.compile(nn.Sequential(nn.Identity(), nn.Linear(4, 5)))(rv.ones(2, 3))


def test_leaked_tensors():
    kept = []

    @rv.compile
    def leak(x):
        kept.append(x * 2)
        return x

    leak(rv.ones(2))
    with pytest.raises(TraceError):
        kept[0].numpy()
    with pytest.raises(TraceError, match="earlier trace"):
        rv.compile(lambda x: x + kept[0])(rv.ones(2))
    for use in (lambda x: x + 1, lambda x: x.reshape(2, 1), lambda x: x.sum(), lambda x: x[0]):
        with pytest.raises(TraceError, match=r"from inside a compiled function has no value outside"):
            use(kept[0])


def test_arguments_that_cannot_be_keyed():
    with pytest.raises(TraceError, match="argument of type set must be"):
        rv.compile(lambda x: x)({1, 2})
    with pytest.raises(TraceError, match="was computed from tensors that require a gradient"):
        w = rv.ones(2, requires_grad=True)
        rv.compile(lambda x: x)(w * 2)
    with pytest.raises(rv.DTypeError, match="compile: int is not callable"):
        rv.compile(3)
    with pytest.raises(rv.DTypeError, match="dtype complex128"):
        rv.compile(lambda x: x)(np.ones(2, complex))


def test_a_captured_result_of_leaves_is_refused():
    w = rv.ones(3, requires_grad=True)
    y = w * 2.0
    for body in (lambda x: (y * x).sum(), lambda x: y, lambda x: (y * x).sum().backward()):
        with pytest.raises(TraceError, match="compute it inside, or use its detach"):
            rv.compile(body)(rv.ones(3))
    forward = rv.compile(lambda x: (y.detach() * w * x).sum())
    forward(rv.ones(3)).backward()
    assert w.grad.tolist() == [2.0] * 3
    with rv.no_grad():
        assert rv.compile(lambda x: (y * x).sum())(rv.ones(3)).item() == 6.0


def test_in_place_changes_of_views_and_bases_in_a_trace():
    def f(x, b):
        y = x * 2
        rows, twin, flat = y[0], y.detach(), y.T.reshape(-1)
        y[0].add_(1.0)
        twin.mul_(3.0)
        flat.zero_()  # a copy: y.T is not in order
        b[1] += rows[0]
        b.view(-1)[:2].copy_(rows + b.T[1])
        return y, rows, twin, flat, b.T

    results = []
    for function in (f, rv.compile(f)):
        x, b = rv.tensor([[1.0, 2.0], [3.0, 4.0]]), rv.ones(2, 2)
        for _ in range(2):
            results.append([t.tolist() for t in (*function(x, b), b)])
    assert results[:2] == results[2:]
    with pytest.raises(DomainError, match="expand"):
        rv.compile(lambda x: (x * 2).expand(3, 2).add_(1.0))(rv.ones(2))


# ---------------------------------------------------------------- threads


def test_calls_from_several_threads():
    w = nn.Parameter(t(16, 16))
    f = rv.compile(lambda x: rv.tanh(x @ w))
    inputs = [t(8, 16, seed=i) for i in range(4)]
    with rv.no_grad():
        wanted = [rv.tanh(x @ w) for x in inputs]
    problems = []

    def work(i):
        try:
            with rv.no_grad():
                for _ in range(50):
                    if not np.allclose(f(inputs[i]).numpy(), wanted[i].numpy(), rtol=1e-5, atol=1e-6):
                        raise AssertionError(f"thread {i}: wrong result")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[0]


def test_traces_on_several_threads_at_once():
    results = {}

    def work(i):
        layer = nn.Linear(4, 4)
        with rv.no_grad():
            for n in range(1, 12):
                x = t(n, 4, seed=i)
                results[i, n] = np.allclose(
                    rv.compile(lambda x: layer(x) * 2)(x).numpy(), (layer(x) * 2).numpy(), atol=1e-6
                )

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 33 and all(results.values())


def test_losses_in_a_compiled_step_fall():
    rv.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    x, y = rv.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]), rv.tensor([[0.0], [1], [1], [0]])

    @rv.compile
    def step(x, y):
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(x, y).item() for _ in range(300)]
    assert losses[-1] < 0.01
