"""Gradients where functions bend: at 0, at bounds, of ties, of infinite values and NaN."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv

INF, NAN = float("inf"), float("nan")
LINE = [-INF, -7.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, INF]


def _as(lib, value, x):
    return lib.tensor(value, dtype=x.dtype)


CASES = {
    "clamp": (LINE, lambda lib, x: lib.clamp(x, -1.0, 1.0)),
    "clamp by tensors": (LINE, lambda lib, x: lib.clamp(x, _as(lib, -1.0, x), _as(lib, 1.0, x))),
    "clamp from below": (LINE, lambda lib, x: lib.clamp(x, min=_as(lib, 0.5, x))),
    "clamp from above": (LINE, lambda lib, x: lib.clamp(x, max=_as(lib, 0.5, x))),
    "clamp of NaN": ([NAN, 1.0], lambda lib, x: lib.clamp(x, _as(lib, -1.0, x), _as(lib, 1.0, x))),
    "relu6": ([*LINE, NAN], lambda lib, x: lib.nn.functional.relu6(x)),
    "hardtanh": ([*LINE, NAN], lambda lib, x: lib.nn.functional.hardtanh(x)),
    "leaky_relu": (LINE, lambda lib, x: lib.nn.functional.leaky_relu(x)),
    "abs": ([*LINE, NAN], lambda lib, x: lib.abs(x)),
    "floor": ([*LINE, NAN], lambda lib, x: lib.floor(x) * _as(lib, INF, x)),
    "logit": ([0.0, 1.0, 0.25, 0.5], lambda lib, x: lib.logit(x)),
    "logit, eps": ([0.0, 1.0, 1e-3, 0.25], lambda lib, x: lib.logit(x, 1e-3)),
    "maximum": (LINE, lambda lib, x: lib.maximum(x, lib.zeros(12, dtype=x.dtype))),
    "max": ([1.0, 3.0, 3.0, 2.0], lambda lib, x: x.max()),
    "max of a NaN": ([1.0, NAN, 3.0], lambda lib, x: x.max()),
    "min of NaNs": ([NAN, NAN, 3.0], lambda lib, x: x.min()),
    "median of a NaN": ([1.0, NAN, 3.0], lambda lib, x: x.median()),
    "median along an axis": ([[1.0, NAN, 3.0], [3.0, 1.0, 2.0]], lambda lib, x: lib.median(x, 1)[0]),
    "quantile of a NaN": ([1.0, NAN, 3.0], lambda lib, x: lib.quantile(x, 0.5)),
    "norm 1.5": ([[0.0, 0.0], [1.0, 2.0], [NAN, 1.0]], lambda lib, x: lib.norm(x, p=1.5, dim=1)),
    "norm -1": ([[0.0, 1.0], [1.0, 2.0], [NAN, 1.0]], lambda lib, x: lib.norm(x, p=-1, dim=1)),
    **{
        f"normalize {p}": (
            [[0.0, 0.0], [1.0, 2.0], [NAN, 1.0]],
            lambda lib, x, p=p: lib.nn.functional.normalize(x, p=p),
        )
        for p in (0.0, 1.0, 1.5, 2.0, 3.0, INF)
    },
    "distance": ([[1.0, 2.0], [NAN, 1.0]], lambda lib, x: lib.nn.functional.pairwise_distance(x, x * 2)),
}


@pytest.mark.parametrize("backend", ["native", "numpy", "compiled"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_gradients_as_in_pytorch(torch, case, backend):
    values, function = case
    for dtype in (np.float32, np.float64):
        start = np.array(values, dtype)
        x = torch.tensor(start, requires_grad=True)
        expected = function(torch, x)
        expected.backward(torch.ones_like(expected))
        wanted = expected.detach().numpy(), x.grad.numpy()
        with rv.backend("numpy" if backend == "numpy" else "native"):
            for _ in range(4):  # later passes are plans
                x = rv.tensor(start, requires_grad=True)

                def step(x=x):
                    out = function(rv, x)
                    out.backward(rv.ones(out.shape, dtype=x.dtype))
                    return out.detach()

                out = (rv.compile(step) if backend == "compiled" else step)()
                for a, b in zip((out.numpy(), x.grad.numpy()), wanted, strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_the_bound_of_a_clamp_gets_the_rest_of_the_gradient(torch):
    results = []
    for lib in (rv, torch):
        x = lib.tensor([0.0, 1.0, 2.0], requires_grad=True)
        low, high = lib.tensor(1.0, requires_grad=True), lib.tensor([1.5, 1.5, 1.5], requires_grad=True)
        out = lib.clamp(x, low, high)
        (out * lib.tensor([1.0, 2.0, 4.0])).sum().backward()
        results.append([t.tolist() for t in (out, x.grad, low.grad, high.grad)])
    assert results[0] == results[1]
    assert rv.clamp(rv.tensor([1.0, 3.0]), max=np.float32(2)).tolist() == [1.0, 2.0]
    assert rv.clamp(np.array([1, 3]), np.array([2, 2])).tolist() == [2, 3]


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "hardtanh", "softshrink", "hardswish", "elu"])
@pytest.mark.parametrize("seeded", [False, True])
def test_second_derivatives_of_pieces_as_in_pytorch(torch, name, seeded):
    results = []
    for lib in (rv, torch):
        x = lib.tensor([-1.2, -0.3, 0.4, 2.0], requires_grad=True)
        y = getattr(lib.nn.functional, name)(x)
        seed = lib.ones(4, requires_grad=seeded)
        (g,) = lib.autograd.grad(y, x, seed, create_graph=True)
        (h,) = lib.autograd.grad((g * lib.tensor([1.0, 2.0, 3.0, 4.0])).sum(), x)
        results.append((g.detach().numpy(), h.numpy()))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
