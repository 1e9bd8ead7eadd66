"""Twenty training steps under every optimizer follow PyTorch's: losses, gradients at each step, parameters at the end."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn, optim  # noqa: F401  (rv.nn, rv.optim)
from torch_cases import NETS, OPTIMIZERS, train

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
def test_training_is_pytorchs(oracle, net, optimizer, compiled, dtype):
    run = train(net, optimizer, rv, rv.from_numpy, dtype, compiled)
    assert run.losses[-1] < run.losses[0]
    (theirs,) = oracle(
        lambda torch: [train(net, optimizer, torch, torch.from_numpy, "float64").array()],
        f"trajectories/{net.name}/{optimizer}",
    )
    assert_follows(run.array(), theirs, dtype)


@every_optimizer
def test_eager_and_compiled_agree(optimizer):
    """The same arithmetic: nearly the same bits in float64."""
    a, b = (train(NETS[0], optimizer, rv, rv.from_numpy, "float64", compiled).array() for compiled in (False, True))
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
