"""Bad input raises before anything has changed, and says what is wrong; the process goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim

# ---------------------------------------------------------------- gradients


def _exp_then_add(w: rv.Tensor) -> rv.Tensor:
    e = rv.exp(w)
    e.add_(1)  # add's own gradient needs nothing, exp's needs its result
    return e.sum()


def _item_of_result(w: rv.Tensor) -> rv.Tensor:
    e = rv.sigmoid(w)
    with rv.no_grad():
        e[0] = 0
    return e.sum()


def _view_of_result(w: rv.Tensor) -> rv.Tensor:
    e = rv.tanh(w)
    e.detach()[1:].zero_()
    return e.sum()


@pytest.mark.parametrize("function", [_exp_then_add, _item_of_result, _view_of_result])
def test_a_saved_result_that_was_changed_is_refused(function):
    w = rv.ones(3, requires_grad=True)
    with pytest.raises(rv.GradError, match="the result of .* was changed in place"):
        function(w).backward()
    assert w.grad is None


def test_in_place_changes_of_results_that_are_not_saved_are_fine():
    w = rv.ones(3, requires_grad=True)
    y = w * 2
    y.add_(1)
    y.sum().backward()
    assert w.grad.tolist() == [2, 2, 2]


def test_gradients_of_an_inner_tensor_that_is_asked_for_twice():
    w = rv.ones(3, requires_grad=True)
    h = w * 2
    grads = rv.autograd.grad((h * h).sum(), [h, w, h])
    assert [g.tolist() for g in grads] == [[4] * 3, [8] * 3, [4] * 3]


@pytest.mark.parametrize(("grad", "error"), [(np.ones(3, "f"), TypeError), (rv.ones(4), rv.ShapeError)])
def test_backward_refuses_a_grad_that_does_not_fit(grad, error):
    first, second = rv.ones(2, requires_grad=True), rv.ones(3, requires_grad=True)
    second.grad = grad
    with pytest.raises(error, match=r"backward: \.grad of a leaf of shape \(3,\)"):
        (first.sum() + second.sum()).backward()
    assert first.grad is None


def test_gradients_that_are_no_numbers():
    w = rv.ones(3, requires_grad=True)
    with pytest.raises(rv.DTypeError, match="gradient 'a'"):
        (w * 1).backward("a")
    with pytest.raises(rv.DTypeError, match=r"inputs\[0\] of type int"):
        rv.autograd.grad(w.sum(), 3)


# ---------------------------------------------------------------- optimizers


@pytest.mark.parametrize(
    ("grad", "message"),
    [(rv.ones(3), r"shape \(3,\)"), (rv.ones(1, dtype="float64"), r"shape \(1,\)"), (rv.ones(2, dtype="float64"), "float64"),
     (np.ones(2, "f"), "ndarray")],
)  # fmt: skip
def test_step_refuses_gradients_that_do_not_fit(grad, message):
    first, second = nn.Parameter(rv.ones(2)), nn.Parameter(rv.ones(2))
    optimizer = optim.SGD([{"params": [first]}, {"params": [second]}], lr=0.1)
    first.grad, second.grad = rv.ones(2), grad
    with pytest.raises((rv.ShapeError, rv.DTypeError), match=r"SGD.step: \.grad of params\[0\].*" + message):
        optimizer.step()
    assert first.tolist() == second.tolist() == [1, 1]


@pytest.mark.parametrize("options", [{"lr": None}, {"lr": "fast"}, {"betas": 0.9}, {"betas": None}, {"eps": [None]}])
def test_options_of_optimizers_must_be_numbers(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        optim.Adam([nn.Parameter(rv.ones(2))], **options)


@pytest.mark.parametrize("params", [None, 3, nn.Linear(1, 1)])
def test_params_must_be_a_list(params):
    with pytest.raises(TypeError, match="SGD: params of type"):
        optim.SGD(params, lr=0.1)


# ---------------------------------------------------------------- forks


def _run_in_child(function, x, expected, queue):
    with rv.no_grad():
        queue.put(np.array_equal(function(x).numpy(), expected))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_a_plan_runs_can_run_it():
    rng = np.random.default_rng(0)
    w, x = (rv.from_numpy(rng.normal(size=(400, 400)).astype("f")) for _ in range(2))
    function = rv.compile(lambda x: (x @ w).tanh() @ w)
    expected = function(x).numpy().copy()
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            function(x)

    thread = threading.Thread(target=busy)
    thread.start()
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(8):
            queue = context.SimpleQueue()
            child = context.Process(target=_run_in_child, args=(function, x, expected, queue))
            child.start()
            child.join(30)
            hangs = child.is_alive()
            child.kill()
            assert not hangs and child.exitcode == 0 and queue.get()
    finally:
        stop.set()
        thread.join()


def test_eager_calls_of_many_arrays():
    xs = [rv.tensor([float(i)]) for i in range(100)]
    for _ in range(2):
        assert rv.cat(xs).tolist() == list(map(float, range(100)))
    assert [x.item() for x in rv.cat(xs).chunk(100)] == list(map(float, range(100)))


# ---------------------------------------------------------------- numbers and dtypes


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(2**63, None), (np.uint64(2**64 - 1), None), (float("nan"), "int64"), (float("inf"), "int32"), (2**31, "int32"),
     (2.0**31, "int32"), (-1, "uint8"), (300, "uint8"), ("1", "float32"), (1j, "float32")],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(value, dtype):
    with pytest.raises(rv.DTypeError, match="tensor: .*(does not fit|cannot become)"):
        rv.tensor(value, dtype=dtype)


def test_the_extreme_integers_fit():
    for dtype in ("int32", "int64", "uint8"):
        limits = np.iinfo(dtype)
        assert rv.tensor([limits.min, limits.max], dtype=dtype).tolist() == [limits.min, limits.max]
    assert rv.tensor(-(2.0**31), dtype="int32").item() == -(2**31)


def test_integers_are_not_filled_with_nan():
    x = rv.ones(2, dtype="int64")
    with pytest.raises(rv.DTypeError):
        x.fill_(float("nan"))
    with pytest.raises(rv.DTypeError):
        x[0] = float("nan")
    assert x.tolist() == [1, 1]


def test_bit_operators():
    x = rv.tensor([6, 3])
    assert ((x & 3).tolist(), (x | 1).tolist(), (x ^ x).tolist(), (~x).tolist()) == ([2, 3], [7, 3], [0, 0], [-7, -4])
    mask = x > 3
    assert (mask & True).dtype == rv.bool and (~mask).tolist() == [False, True]
    with pytest.raises(rv.DTypeError, match="must be an integer dtype or bool"):
        rv.ones(2) | 1


def test_bools_do_not_take_integers_in_place():
    mask = rv.tensor([True])
    with pytest.raises(rv.DTypeError, match="int64 result does not fit bool"):
        mask += rv.tensor([1])


def test_read_only_memory_is_not_changed():
    with pytest.raises(rv.DomainError, match=r"shape \(3,\) that is read-only"):
        rv.zeros(1).expand(3).add_(1)


def test_indexing_with_lists():
    x = rv.ones(3, 2)
    assert x[[]].shape == (0, 2)
    with pytest.raises(rv.ShapeError, match="equal lengths"):
        x[[[0], [1, 2]]]


@pytest.mark.parametrize(
    "function",
    [lambda v: rv.sum(v), lambda v: F.linear(v, rv.ones(2, 2)), lambda v: F.mse_loss(v, rv.ones(2)), lambda v: nn.Linear(2, 2)(v),
     lambda v: F.cross_entropy(v, rv.ones(2)), lambda v: F.dropout(v), lambda v: F.binary_cross_entropy(rv.ones(2), v)],
)  # fmt: skip
@pytest.mark.parametrize("value", [None, [1.0, 2.0], "a"])
def test_what_is_no_array_is_named(function, value):
    with pytest.raises(rv.DTypeError, match="must be a Tensor or a NumPy array"):
        function(value)


@pytest.mark.parametrize(
    "function",
    [lambda x: x.unsqueeze(0) * 2, lambda x: x.unsqueeze(0).sum(), lambda x: rv.cat([x.unsqueeze(0)] * 2),
     rv.compile(lambda x: (x.unsqueeze(0) * 2).sum()), rv.compile(lambda x: x.unsqueeze(0))],
)  # fmt: skip
def test_nine_axes_are_refused_with_their_shape(function):
    with pytest.raises(rv.ShapeError, match=r"1, 1\) has 9 axes"):
        function(rv.ones((1,) * 8))


# ---------------------------------------------------------------- compiled functions that change tensors


def _shift(x):
    x[1:] = x[:-1]
    return x * 1


def _reverse(x):
    x.copy_(x.flip(0))
    return x.sum()


def _grow(x):
    x.add_(1).mul_(x)
    return x


@pytest.mark.parametrize("function", [_shift, _reverse, _grow])
def test_arguments_are_changed_in_place_as_without_compile(function):
    one, two = rv.tensor([1.0, 2.0, 3.0]), rv.tensor([1.0, 2.0, 3.0])
    compiled = rv.compile(function)
    for _ in range(3):
        assert compiled(two).tolist() == function(one).tolist()
        assert two.tolist() == one.tolist()
    assert two.version >= 3


def test_a_changed_argument_counts_for_saved_values():
    function = rv.compile(_grow)
    x, w = rv.ones(3), rv.ones(3, requires_grad=True)
    y = (x * w).sum()
    function(x)
    with pytest.raises(rv.GradError, match="changed in place"):
        y.backward()


def test_arguments_that_are_changed_must_be_memory_of_their_own():
    function = rv.compile(lambda a, b: a.add_(1) + b)
    x = rv.zeros(3)
    for a, b in ((x, x), (x[:2], x[1:])):
        with pytest.raises(rv.TraceError, match="input 0.*shares memory"):
            function(a, b)
    frozen = np.zeros(3, "f")
    frozen.flags.writeable = False
    with pytest.raises(rv.TraceError, match="input 0.*read-only"):
        function(rv.from_numpy(frozen), x)
    assert x.tolist() == [0, 0, 0]


def test_an_argument_must_not_be_a_state_that_changes():
    state = rv.zeros(3)

    @rv.compile
    def function(x):
        state.add_(x)
        return x * 2

    function(rv.ones(3))
    with pytest.raises(ValueError, match="argument 0 shares memory"):
        function(state)
    assert state.tolist() == [1, 1, 1]


def test_states_that_overlap_are_refused():
    base = rv.zeros(4)
    part = base[1:]

    @rv.compile
    def function():
        part.add_(1)
        y = base * 1
        part.mul_(2)
        return y

    with pytest.raises(rv.TraceError, match="share memory"):
        function()
    columns = rv.zeros(2, 2)
    first, second = columns[:, 0], columns[:, 1]  # neighbours in memory, but nothing in common
    rv.compile(lambda: (first.add_(1), second.add_(2)))()
    assert columns.tolist() == [[1, 2], [1, 2]]


def test_views_of_traced_tensors_do_not_go_stale():
    def function(x):
        y = x * 1
        view, twin = y[1:], y.detach()
        y.add_(1)
        return view if function.view else twin

    for function.view in (True, False):
        assert (
            rv.compile(function)(rv.ones(3)).tolist()
            == function(rv.ones(3)).tolist()
            == [2.0] * len(function(rv.ones(3)))
        )


def test_gradients_through_a_compiled_function_that_changes_its_argument():
    w = rv.ones(3, requires_grad=True)

    def function(x):
        x.mul_(2)
        return (x * w).sum()

    compiled = rv.compile(function)
    x = rv.ones(3)
    compiled(x).backward()
    assert w.grad.tolist() == [2, 2, 2] and x.tolist() == [2, 2, 2]
    loss = compiled(x)
    x.zero_()
    w.grad = None
    loss.backward()  # the function kept what it needs
    assert w.grad.tolist() == [4, 4, 4]


def test_an_argument_that_changes_before_backward_is_noticed():
    w = rv.ones(3, requires_grad=True)
    compiled = rv.compile(lambda x: (x * w).sum())
    x = rv.ones(3)
    loss = compiled(x)
    x.zero_()
    with pytest.raises(rv.GradError, match="changed in place"):
        loss.backward()


def test_misaligned_states():
    state = rv.from_numpy(np.zeros(13, "u1")[1:].view("f"))
    rv.compile(lambda x: state.add_(x).sum())(rv.ones(3))
    assert state.tolist() == [1, 1, 1]


# ---------------------------------------------------------------- files


def test_saving_does_not_replace_what_is_no_file(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for target in (path, tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            rv.save({"a": rv.ones(1)}, target)
    assert stat.S_ISFIFO(path.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


def test_saving_what_could_not_be_read_again(tmp_path):
    endless: list = []
    endless.append(endless)
    for tensors in ({"__metadata__": rv.ones(1)}, {"a": endless}):
        with pytest.raises(ValueError, match="save: "):
            rv.save(tensors, tmp_path / "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "header",
    [b'{"a":' + b"[" * 100_000, json.dumps({"__metadata__": {"ranvier.tree": "[" * 100_000}}).encode()],
)
def test_deeply_nested_headers(tmp_path, header):
    path = tmp_path / "x"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="damaged"):
        rv.load(path)


@pytest.mark.parametrize("state", [None, {}, {"foo": 1}, [1]])
def test_what_is_no_state_of_an_optimizer(state):
    with pytest.raises(ValueError, match="Adam.load_state_dict: a dict with"):
        optim.Adam([nn.Parameter(rv.ones(2))]).load_state_dict(state)


@pytest.mark.parametrize("step_size", [0, -1])
def test_schedules_refuse_steps_of_no_length(step_size):
    with pytest.raises(ValueError, match="StepLR: step_size"):
        optim.lr_scheduler.StepLR(optim.SGD([nn.Parameter(rv.ones(2))], lr=0.1), step_size)


def test_operations_while_a_thread_ends():
    """A finalizer that runs among the last things of a thread works in a context of its own, and writes nowhere else."""
    x, loc, seen = rv.ones(3), threading.local(), []

    class Last:
        def __del__(self):
            dicts = [{} for _ in range(3000)]  # one of them may lie where the thread's context was
            seen.append(((x * x).tolist(), any(dicts)))

    def work():
        rv.mul(x, x)
        loc.last = Last()

    for _ in range(4):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [([1.0] * 3, False)] * 4
