"""Parts of a gradient that fill one array are written side by side."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ops_support import same_bits
from ranvier.graph import passes

rng = np.random.default_rng(0)
SHAPE = (4, 3, 6)

CASES = {
    "unbind": lambda x: x.unbind(1),
    "chunk": lambda x: x.chunk(3, 2),
    "some": lambda x: (x[0], x[2:]),
    "every other": lambda x: (x[..., 0::2], x[..., 1::2]),
    "backwards": lambda x: (x.flip(2)[..., :2], x[..., :3]),
    "overlapping": lambda x: (x[:3], x[1:]),
    "the same": lambda x: (x[1], x[1]),
}
JOINED = {"unbind": 1, "chunk": 1, "some": 1, "every other": 1, "overlapping": 2}


def gradient(parts):
    def run(x):
        loss = sum(((k + 1) * part.sin() * (part > 0)).sum() for k, part in enumerate(parts(x)))
        return rv.autograd.grad(loss, x)[0]

    return run


def embeds(run) -> int:
    (trace,) = (trace for traces in run._traces.values() for trace in traces)
    return sum(node.name == "embed" for group in trace.graph.nodes for node in group.body)


@pytest.mark.parametrize("name", CASES)
def test_bits_and_calls(name):
    x = rv.tensor(rng.normal(size=SHAPE).astype("f4"), requires_grad=True)
    eager, run = gradient(CASES[name])(x), rv.compile(gradient(CASES[name]))
    assert same_bits(run(x), eager)  # where a part is 0 its gradient is -0 or 0
    with passes.without("join"):
        assert same_bits(rv.compile(gradient(CASES[name]))(x), eager)
    with rv.backend("numpy"):
        np.testing.assert_allclose(rv.compile(gradient(CASES[name]))(x).numpy(), eager.numpy(), rtol=1e-5)
    if name in JOINED:
        assert embeds(run) == JOINED[name]


def test_parts_that_are_read_elsewhere_stay():
    x = rv.tensor(rng.normal(size=(4, 6)).astype("f4"))

    def run(x):
        a, b = rv.nn.functional.pad(x[:, :3], (0, 3)), rv.nn.functional.pad(x[:, 3:], (3, 0))
        return a + b, a

    for got, wanted in zip(rv.compile(run)(x), run(x)):
        assert same_bits(got, wanted)
