"""Frozen plans scale weights once instead of results: batch norm in evaluation behind convolutions and linear layers."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.graph import passes

CASES = {
    "conv": (lambda: nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU()), (2, 3, 6, 7)),
    "grouped": (lambda: nn.Sequential(nn.Conv1d(4, 6, 3, groups=2, bias=False), nn.BatchNorm1d(6)), (2, 4, 9)),
    "conv 3d": (lambda: nn.Sequential(nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3, affine=False)), (1, 2, 3, 4, 5)),
    "linear": (lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)), (3, 4)),
}


def trained(make):
    model = make()
    random = np.random.default_rng(0)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.dtype.kind == "f":
            tensor.data = rv.tensor(random.uniform(0.5, 1.5, tensor.shape).astype("f4"))
    return model.eval()


def names(model, x, frozen: bool) -> list[str]:
    with rv.no_grad():
        graph = rv.graph.trace(model, x)
    graph.frozen = frozen
    large = [n for n in passes.optimize(graph).nodes if n.outputs[0] not in graph.fixed()]
    return [step.name for n in large for step in n.body if step.call.op.kind != "view"]


@pytest.mark.parametrize("make, shape", CASES.values(), ids=CASES)
def test_results_are_the_same(make, shape):
    model, x = trained(make), rv.randn(*shape)
    with rv.no_grad():
        wanted = model(x).numpy()
        frozen = rv.compile(model, frozen=True)
        np.testing.assert_allclose(frozen(x).numpy(), wanted, rtol=1e-4, atol=1e-5)
        assert "standardize" in names(model, x, False) and "standardize" not in names(model, x, True)
        for p in model.parameters():  # new weights count
            p.mul_(1.5)
        np.testing.assert_allclose(frozen(x).numpy(), model(x).numpy(), rtol=1e-4, atol=1e-5)


def test_what_is_not_fixed_is_not_absorbed():
    model, x = trained(CASES["conv"][0]), rv.randn(2, 3, 6, 7)
    assert "standardize" in names(model.train(), x, True)  # statistics of the batch
    model.eval()

    class Twice(nn.Module):
        def forward(self, x):
            y = model[0](x)
            return y, model[1](y)

    assert "standardize" in names(Twice(), x, True)  # the convolution's result is wanted too

    class Pixels(nn.Module):
        def __init__(self):
            self.scale = nn.Parameter(rv.rand(6, 7))

        def forward(self, x):
            return model[0](x) * self.scale

    assert "mul" in names(Pixels(), x, True)  # not by channel
    with passes.without("absorb"):
        assert "standardize" in names(model, x, True)
