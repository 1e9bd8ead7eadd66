"""Pooling against PyTorch, over many arguments, and what it does at its borders."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn


def sweep(count: int) -> list:
    """(axes, shape, options) of pools, drawn once."""
    random = np.random.default_rng(5)
    cases: list = []
    while len(cases) < count:
        ndim = int(random.integers(1, 4))
        kernel = random.integers(1, 4, ndim)
        case = {
            "kernel_size": tuple(kernel.tolist()),
            "stride": tuple(random.integers(1, 4, ndim).tolist()),
            "padding": tuple(int(random.integers(0, k // 2 + 1)) for k in kernel),
            "ceil_mode": bool(random.integers(2)),
        }
        sizes = random.integers(3, (40, 24, 9)[ndim - 1], ndim)
        dilation = tuple(random.integers(1, 3, ndim).tolist())
        if all((k - 1) * d < n for k, d, n in zip(kernel, dilation, sizes)):
            cases.append((ndim, (2, 3, *sizes.tolist()), case, dilation))
    return cases


def both(torch, ndim: int, x: np.ndarray, name: str, options: dict) -> None:
    """Values and gradients of a pool agree with PyTorch's, eagerly and compiled."""
    theirs = torch.tensor(x, requires_grad=True)
    wanted = getattr(torch.nn.functional, f"{name}{ndim}d")(theirs, **options)
    several = isinstance(wanted, tuple)
    values = wanted[0] if several else wanted
    weights = np.cos(np.arange(values.numel())).reshape(tuple(values.shape)).astype(x.dtype)
    (values * torch.tensor(weights)).sum().backward()
    for wrap in (lambda f: f, rv.compile):
        ours = rv.tensor(x, requires_grad=True)

        def step(x):
            out = getattr(F, f"{name}{ndim}d")(x, **options)
            first = out[0] if several else out
            (first * rv.tensor(weights)).sum().backward()
            return out

        got = wrap(step)(ours)
        for a, b in zip(got if several else (got,), wanted if several else (wanted,)):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_max_pools_are_pytorchs(torch):
    random = np.random.default_rng(0)
    for k, (ndim, shape, options, dilation) in enumerate(sweep(100)):
        x = random.normal(size=shape).astype(("f4", "f8")[k % 2])
        x = np.round(x, 1) if k % 3 == 0 else x  # equals
        both(torch, ndim, x, "max_pool", {**options, "dilation": dilation, "return_indices": k % 4 == 0})


def test_mean_pools_are_pytorchs(torch):
    random = np.random.default_rng(0)
    for k, (ndim, shape, options, _) in enumerate(sweep(100)):
        more = {"count_include_pad": bool(k % 2)}
        if ndim > 1 and k % 3 == 0:
            more["divisor_override"] = 3
        both(torch, ndim, random.normal(size=shape).astype("f4"), "avg_pool", {**options, **more})


@pytest.mark.parametrize("name", ["adaptive_avg_pool", "adaptive_max_pool"])
def test_adaptive_pools_are_pytorchs(name, torch):
    random = np.random.default_rng(0)
    for ndim, sizes, wanted in (
        (1, (11,), (4,)), (1, (11,), (1,)), (2, (7, 9), (1, 1)), (2, (7, 9), (3, 1)), (2, (6, 8), (3, 4)), (2, (5, 6), (9, 2)),
        (3, (3, 4, 5), (1, 1, 1)), (3, (3, 4, 5), (2, None, 1)),
    ):  # fmt: skip
        both(torch, ndim, random.normal(size=(2, 3, *sizes)).astype("f4"), name, {"output_size": wanted})


@pytest.mark.parametrize("how", ["values", "indices"])
def test_a_window_of_padding_alone_is_minus_infinity_and_gives_no_gradient(how):
    x = rv.ones(1, 1, 1, requires_grad=True)
    out = F.max_pool1d(x, 2, padding=1, dilation=2, return_indices=how == "indices")
    values = out[0] if how == "indices" else out
    assert values.tolist() == [[[-np.inf]]]
    assert how == "values" or out[1].tolist() == [[[-1]]]
    values.sum().backward()
    assert x.grad.tolist() == [[[0.0]]]
    with pytest.raises(rv.ShapeError, match=r"^max_pool1d: a window of 4 is larger than the padded axis, 1 \+ 2 \* 1"):
        F.max_pool1d(x, 2, padding=1, dilation=3)


@pytest.mark.parametrize("options", [{}, {"return_indices": True}, {"padding": 1, "dilation": 2}])
def test_second_derivative_of_a_pool(options):
    x = rv.tensor(np.random.default_rng(1).normal(size=(1, 2, 5, 6)), requires_grad=True)

    def penalty(x):
        out = F.max_pool2d(x, 3, 2, **options)
        values = out[0] if options.get("return_indices") else out
        (g,) = rv.autograd.grad((values**3).sum(), x, create_graph=True)
        return g.square().sum()

    (got,) = rv.autograd.grad(penalty(x), x)
    step = rv.tensor(np.random.default_rng(2).normal(size=x.shape)) * 1e-6
    change = (penalty(x + step) - penalty(x - step)).item() / 2
    assert (got * step).sum().item() == pytest.approx(change, rel=1e-5)


def test_the_gradient_keeps_a_byte_a_window():
    x = rv.tensor(np.zeros((1, 1, 4, 4), "f4"), requires_grad=True)
    (node,) = [n for n in rv.graph.trace(lambda: F.max_pool2d(x, 2)).nodes if n.name == "max_pool"]
    assert [str(v.dtype) for v in node.outputs] == ["float32", "uint8"]
    with rv.no_grad():
        (node,) = [n for n in rv.graph.trace(lambda: F.max_pool2d(x, 2)).nodes if n.name == "max_pool"]
    assert len(node.outputs) == 1


@pytest.mark.parametrize("ndim", [2, 3])
def test_fractional_pools_are_pytorchs(ndim, torch):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 3, 9, 11, 7)[: 2 + ndim])
    samples = random.uniform(size=(2, 3, ndim))
    for options in ({"output_size": (4, 5, 1)[:ndim]}, {"output_ratio": (0.5,) * ndim}):
        options = {"kernel_size": 2, "return_indices": True, **options}
        theirs = torch.tensor(x, requires_grad=True)
        f = getattr(torch.nn.functional, f"fractional_max_pool{ndim}d")
        wanted = f(theirs, _random_samples=torch.tensor(samples), **options)
        wanted[0].square().sum().backward()
        ours = rv.tensor(x, requires_grad=True)
        got = getattr(F, f"fractional_max_pool{ndim}d")(ours, _random_samples=rv.tensor(samples), **options)
        got[0].square().sum().backward()
        np.testing.assert_allclose(got[0].detach().numpy(), wanted[0].detach().numpy())
        np.testing.assert_array_equal(got[1].numpy(), wanted[1].numpy())
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


def test_fractional_layers():
    rv.manual_seed(3)
    layer, x = nn.FractionalMaxPool2d(3, output_ratio=(0.5, 0.7)), rv.randn(4, 20, 10)
    assert layer(x).shape == (4, 10, 7)
    assert not np.array_equal(layer(x).numpy(), layer(x).numpy())  # ever new places
    assert nn.FractionalMaxPool3d(2, output_size=(2, 3, 4))(rv.randn(2, 3, 5, 6, 7)).shape == (2, 3, 2, 3, 4)
    with pytest.raises(rv.ShapeError, match="either output_size or output_ratio"):
        nn.FractionalMaxPool2d(3)
    with pytest.raises(rv.ShapeError, match=r"do not fit into x\(1, 4, 20, 10\)"):
        F.fractional_max_pool2d(x, 3, output_size=(4, 9))


def test_nearest_samples_have_no_gradient_of_their_places():
    grid = rv.zeros(1, 2, 2, 2, requires_grad=True)
    F.grid_sample(rv.ones(1, 1, 3, 3), grid, "nearest", align_corners=False).sum().backward()
    assert not grid.grad.numpy().any()
