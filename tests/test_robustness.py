"""Bad input raises before anything has changed, and says what is wrong; the process goes on."""
from __future__ import annotations

import multiprocessing
import threading

import numpy as np
import pytest
import ranvier as rv
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


@pytest.mark.parametrize(
    "options", [{"lr": None}, {"lr": "fast"}, {"betas": 0.9}, {"betas": None}, {"eps": [None]}]
)
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
