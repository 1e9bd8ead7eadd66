"""Optimizer ops: trajectories against PyTorch, against their reference, in place in compiled functions, clipping ops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ranvier as rv
from ranvier.ops import optim as rules

SHAPES = [(7, 5), (), (3,), (100, 90)]
STEPS = 8
ADAM = {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1}

# name -> op, flags, hyperparameters, PyTorch's class and arguments, initial values of states
CASES = {
    "SGD": ("sgd", {}, {"lr": 0.1, "momentum": 0, "dampening": 0, "weight_decay": 0.01}, "SGD", {}, {}),
    "SGD momentum": (
        "sgd", {"momentum": True}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}, "SGD", {}, {},
    ),
    "SGD nesterov": (
        "sgd", {"momentum": True, "nesterov": True, "maximize": True},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0.01}, "SGD", {"nesterov": True}, {},
    ),
    "Adam": ("adam", {}, ADAM, "Adam", {}, {}),
    "Adam amsgrad": ("adam", {"amsgrad": True, "maximize": True}, ADAM, "Adam", {"amsgrad": True}, {}),
    "AdamW": ("adam", {"decoupled": True}, ADAM, "AdamW", {}, {}),
    "Adamax": ("adamax", {}, ADAM, "Adamax", {}, {}),
    "NAdam": ("nadam", {}, {**ADAM, "momentum_decay": 0.01}, "NAdam", {}, {}),
    "NAdam decoupled": (
        "nadam", {"decoupled": True}, {**ADAM, "momentum_decay": 0.01}, "NAdam", {"decoupled_weight_decay": True}, {},
    ),
    "RAdam": ("radam", {}, ADAM, "RAdam", {}, {}),
    "RAdam decoupled": ("radam", {"decoupled": True}, ADAM, "RAdam", {"decoupled_weight_decay": True}, {}),
    "RMSprop": (
        "rmsprop", {}, {"lr": 0.01, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1, "momentum": 0}, "RMSprop", {}, {},
    ),
    "RMSprop centered momentum": (
        "rmsprop", {"centered": True, "momentum": True},
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "weight_decay": 0.1, "momentum": 0.7}, "RMSprop", {"centered": True}, {},
    ),
    "Adagrad": ("adagrad", {}, {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-8}, "Adagrad", {}, {}),
    "Adadelta": ("adadelta", {}, {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1}, "Adadelta", {}, {}),
    "ASGD": (
        "asgd", {}, {"lr": 0.05, "lambd": 0.01, "alpha": 0.6, "t0": 3, "weight_decay": 0.1}, "ASGD", {}, {},
    ),
    "Rprop": (
        "rprop", {}, {"etaminus": 0.4, "etaplus": 1.3, "step_min": 1e-3, "step_max": 0.3}, "Rprop", {"lr": 0.1}, {"step_size": 0.1},
    ),
}  # fmt: skip


def _start(dtype: str) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(size=s).astype(dtype) for s in SHAPES]


def _gradients(dtype: str) -> list[list[np.ndarray]]:
    random = np.random.default_rng(4)
    return [[random.normal(size=s).astype(dtype) for s in SHAPES] for _ in range(STEPS)]


def _initial(op, name: str, hyper: dict) -> float:
    value = op.initial.get(name, 0.0)
    return hyper[value] if isinstance(value, str) else value


def _ours(name: str, dtype: str, transposed: bool = False, compiled: bool = False) -> list[np.ndarray]:
    op_name, flags, hyper, _, _, initial = CASES[name]
    op = getattr(rules, op_name)
    h = rv.tensor(np.array([hyper[k] for k in op.hyper], np.float64))
    scalars = [rv.tensor(np.float64(_initial(op, k, hyper))) for k in op.scalars(**flags) for _ in SHAPES]
    params = [rv.tensor(p) for p in _start(dtype)]
    states = [rv.full(s, initial.get(k, 0.0), dtype=dtype) for k in op.states(**flags) for s in SHAPES]

    def step(*grads):
        outs = op(h, *params, *grads, *scalars, *states, **flags)
        for old, new in zip((*params, *scalars, *states), outs, strict=True):
            old.copy_(new)
        return ()

    run = rv.compile(step) if compiled else step
    for grads in _gradients(dtype):
        if transposed:
            grads = [np.array(g, order="F") for g in grads]
        run(*map(rv.tensor if not transposed else rv.from_numpy, grads))
    assert all(t.item() == STEPS for t in scalars[: len(SHAPES)])
    return [p.numpy() for p in params]


def _theirs(torch, name: str, dtype: str) -> list[np.ndarray]:
    _, flags, hyper, cls, options, _ = CASES[name]
    h = dict(hyper)
    for joined, parts in {
        "betas": ("beta1", "beta2"),
        "etas": ("etaminus", "etaplus"),
        "step_sizes": ("step_min", "step_max"),
    }.items():
        if parts[0] in h:
            h[joined] = tuple(h.pop(k) for k in parts)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # also of scalar states
    try:
        params = [torch.tensor(p, requires_grad=True) for p in _start(dtype)]
        optimizer = getattr(torch.optim, cls)(
            params, **h, **options, maximize=flags.get("maximize", False), foreach=False
        )
        for grads in _gradients(dtype):
            for p, g in zip(params, grads, strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()
    finally:
        torch.set_default_dtype(before)
    return [p.detach().numpy() for p in params]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_trajectories_are_pytorchs(torch, name: str, dtype: str, backend: str) -> None:
    expected = _theirs(torch, name, dtype)
    with rv.backend(backend):
        ours = _ours(name, dtype)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_compiled_steps_strided_gradients_and_threads_give_the_same_bits(name: str) -> None:
    before, results = rv.get_num_threads(), []
    try:
        for threads, options in ((1, {}), (2, {}), (3, {"transposed": True}), (4, {"compiled": True})):
            rv.set_num_threads(threads)
            results.append(b"".join(p.tobytes() for p in _ours(name, "float32", **options)))
    finally:
        rv.set_num_threads(before)
    assert len(set(results)) == 1


@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_parameters_of_one_call_count_their_own_steps(backend: str) -> None:
    op, h = rules.nadam, rv.tensor(np.array([0.1, 0.8, 0.9, 1e-3, 0.1, 0.01]))
    random, times = np.random.default_rng(0), (0, 0, 5, 0, 5)
    params, grads = ([rv.tensor(random.random(3)) for _ in times] for _ in range(2))
    steps = [rv.tensor(np.float64(t)) for t in times]
    products = [rv.tensor(np.float64(1 - 0.1 * t)) for t in times]
    states = [[rv.tensor(random.random(3)) for _ in times] for _ in range(2)]
    with rv.backend(backend):
        together = op(h, *params, *grads, *steps, *products, *states[0], *states[1])
        for i, t in enumerate(times):
            one = op(h, params[i], grads[i], steps[i], products[i], states[0][i], states[1][i])
            assert one[1].item() == t + 1
            for k, alone in enumerate(one):
                np.testing.assert_array_equal(alone.numpy(), together[k * len(times) + i].numpy())


@pytest.mark.parametrize("p", [2.0, 1.0, 3.0, 0.5, 0.0, math.inf, -math.inf])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_total_norm(p: float, backend: str) -> None:
    tensors = _start("float32")
    flat = np.concatenate([t.reshape(-1) for t in tensors]).astype(np.float64)
    with rv.backend(backend):
        norm = rv.ops.total_norm([rv.tensor(t) for t in tensors], p)
        strided = rv.ops.total_norm([rv.from_numpy(np.array(t, order="F")) for t in tensors], p)
    assert norm.dtype == rv.float32 and norm.shape == ()
    np.testing.assert_allclose(norm.item(), np.linalg.norm(flat, p), rtol=2e-6)
    np.testing.assert_allclose(strided.item(), norm.item(), rtol=2e-6)


def test_total_norm_sees_nan_and_keeps_its_bits() -> None:
    tensors = [rv.tensor(t) for t in _start("float32")]
    before, results = rv.get_num_threads(), set()
    for threads in (1, 2, 3, 4):
        rv.set_num_threads(threads)
        results.add(rv.ops.total_norm(tensors).item())
    rv.set_num_threads(before)
    assert len(results) == 1
    tensors[3][50, 50] = math.nan
    for p in (2.0, math.inf, -math.inf):
        assert math.isnan(rv.ops.total_norm(tensors, p).item())


def test_scale_all() -> None:
    tensors = [rv.tensor(t) for t in _start("float64")]
    for a, b in zip(rv.ops.scale_all(tensors, rv.tensor(0.5, dtype="float64")), tensors, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy() * 0.5)


@pytest.mark.parametrize(
    "inputs, message",
    [
        ([np.zeros(5), np.zeros(3), np.zeros(3)], "adam: 3 inputs must be hyper, and as many"),
        ([np.zeros(3), *[np.zeros(())] * 5], r"adam: hyper is float64\(3,\), must be float64\(5,\)"),
        ([np.zeros(5), *[np.zeros(3, np.int64)] * 5], "adam: parameter 0 has dtype int64"),
        ([np.zeros(5), np.zeros(3), np.zeros(4), *[np.zeros(())] * 3], r"adam: gradient 0 is float64\(4,\)"),
        ([np.zeros(5), *[np.zeros(3)] * 5], r"adam: state 'step' 0 is float64\(3,\), must be a number"),
        (
            [np.zeros(5), np.zeros(3), np.zeros(3), np.zeros(()), np.zeros(3), np.zeros(2)],
            r"adam: state 'exp_avg_sq' 0 is float64\(2,\)",
        ),
    ],
)
def test_messages(inputs: list, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        rules.adam(*map(rv.tensor, inputs))
