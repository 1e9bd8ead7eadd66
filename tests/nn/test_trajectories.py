"""Twenty training steps under every optimizer follow PyTorch's: losses, gradients at each step, parameters at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, optim  # noqa: F401  (rv.nn, rv.optim)
from torch_cases import NETS, OPTIMIZERS, train

GOLDENS = np.load(Path(__file__).parents[1] / "goldens" / "trajectories.npz")
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
every_net = pytest.mark.parametrize("net", NETS, ids=lambda n: n.name)
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def assert_follows(ours, theirs, dtype):
    scale = np.maximum(np.abs(theirs), 0.1)
    worst = np.argmax(np.abs(ours - theirs) / scale)
    assert abs(ours[worst] - theirs[worst]) <= TOLERANCE[dtype] * scale[worst], (
        f"number {worst}: {ours[worst]}, not {theirs[worst]}"
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@every_optimizer
@every_net
def test_goldens(net, optimizer, compiled, dtype):
    run = train(net, optimizer, rv, rv.from_numpy, dtype, compiled)
    assert run.losses[-1] < run.losses[0]
    assert_follows(run.array(), GOLDENS[f"{net.name}/{optimizer}"], dtype)


@every_optimizer
def test_eager_and_compiled_agree(optimizer):
    """The same arithmetic: nearly the same bits in float64."""
    a, b = (train(NETS[0], optimizer, rv, rv.from_numpy, "float64", compiled).array() for compiled in (False, True))
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@every_optimizer
def test_live(torch, optimizer):
    for dtype in TOLERANCE:
        before = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, dtype))  # the dtype of optimizers' scalar states
        try:
            theirs = train(NETS[1], optimizer, torch, torch.from_numpy, dtype).array()
        finally:
            torch.set_default_dtype(before)
        assert_follows(train(NETS[1], optimizer, rv, rv.from_numpy, dtype, True).array(), theirs, dtype)
