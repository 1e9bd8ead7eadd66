"""A short run through everything native, for emulated CPUs and sanitizers: `python tests/smoke.py`.

Every op that has a native kernel runs on its samples against its reference, then a network trains, eager and compiled.
"""

from __future__ import annotations

import sys

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.backends import get
from ranvier.core.dtypes import is_float
from ranvier.ops import OPS


def run_samples() -> int:
    """Each op on each of its samples, native against reference; returns how many."""
    rng = np.random.default_rng(0)
    native, reference = get("native"), get("numpy")
    done = 0
    for op in OPS.values():
        for sample in op.samples:
            arrays = [
                rng.uniform(*op.domain, x).astype("float32") if isinstance(x, tuple) else np.asarray(x)
                for x in sample.inputs
            ]
            call = op.bind(**sample.attrs)
            specs = op.infer(*arrays, **call.attrs)
            specs = specs if type(specs) is list else [specs]
            expected = reference.run(call, arrays, specs)
            found = native.run(call, [a.copy() for a in arrays], specs)
            for a, b in zip(found, expected):
                assert a.shape == b.shape and a.dtype == b.dtype, call
                if is_float(b.dtype) and b.size:
                    scale = np.abs(b[np.isfinite(b)]).max(initial=1.0)
                    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * scale, err_msg=repr(call))
            done += 1
    return done


def train(compiled: bool) -> float:
    """The loss of a small classifier after 60 steps."""
    rv.manual_seed(0)
    x = rv.randn(64, 20)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(20, 48), nn.GELU(), nn.Dropout(0.1), nn.Linear(48, 3))
    optimizer = optim.AdamW(model.parameters(), lr=0.02)

    def step(x: rv.Tensor, y: rv.Tensor) -> rv.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = rv.compile(step) if compiled else step
    return [run(x, y).item() for _ in range(60)][-1]


def main() -> None:
    isa = rv.config.config().get("isa")
    assert isa is not None, "the native module is not in use"
    samples = run_samples()
    eager, compiled = train(False), train(True)
    assert eager < 0.3 and abs(eager - compiled) < 1e-3, (eager, compiled)
    print(f"{isa}: {samples} samples, loss {eager:.4f} eager and {compiled:.4f} compiled; 1 passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
