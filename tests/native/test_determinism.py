"""The same bits for any number of threads, from run to run, eager and compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ops_support import OPS, same_bits
from ranvier import nn, optim

THREADS = (1, 2, 3, 4)


def array(*shape, seed=0, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def index(high, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape)


BIG = (777, 1031)
CASES = {
    "exp": lambda: (OPS["exp"], [array(*BIG)], {}),
    "broadcast add": lambda: (OPS["add"], [array(*BIG), array(BIG[1])], {}),
    "transposed mul": lambda: (OPS["mul"], [array(*BIG), array(*BIG[::-1], seed=1).T], {}),
    "sum all": lambda: (OPS["sum"], [array(*BIG)], {"dim": (0, 1)}),
    "sum rows": lambda: (OPS["sum"], [array(*BIG)], {"dim": (0,)}),
    "sum columns": lambda: (OPS["sum"], [array(*BIG)], {"dim": (1,)}),
    "sum inner axes": lambda: (OPS["sum"], [array(40, 60, 70, 5)], {"dim": (0, 2)}),
    "mean float64": lambda: (OPS["mean"], [array(*BIG).astype(np.float64)], {"dim": (0, 1)}),
    "var": lambda: (OPS["var"], [array(*BIG)], {"dim": (0,)}),
    "argmax": lambda: (OPS["argmax"], [array(*BIG)], {"dim": (0, 1)}),
    "logsumexp": lambda: (OPS["logsumexp"], [array(*BIG)], {"dim": (0, 1)}),
    "softmax rows": lambda: (OPS["softmax"], [array(*BIG)], {"dim": 1}),
    "softmax columns": lambda: (OPS["softmax"], [array(*BIG)], {"dim": 0}),
    "log_softmax one line": lambda: (OPS["log_softmax"], [array(900_000)], {"dim": 0}),
    "cumsum": lambda: (OPS["cumsum"], [array(3, 300_000)], {"dim": 1}),
    "cross_entropy": lambda: (OPS["cross_entropy"], [array(20_000, 30), index(30, 20_000)], {}),
    "matmul": lambda: (OPS["matmul"], [array(301, 703), array(703, 257, seed=1)], {}),
    "matmul long": lambda: (OPS["matmul"], [array(16, 40_000), array(40_000, 8, seed=1)], {}),
    "matmul tall": lambda: (OPS["matmul"], [array(40_000, 12), array(12, 9, seed=1)], {}),
    "matmul vector": lambda: (OPS["matmul"], [array(1, 2000), array(2000, 1500, seed=1)], {}),
    "matmul transposed": lambda: (OPS["matmul"], [array(5000, 64), array(5000, 100, seed=1)], {"transpose_a": True}),
    "matmul batch": lambda: (OPS["matmul"], [array(30, 60, 70), array(30, 70, 50, seed=1)], {}),
    "linear": lambda: (OPS["linear"], [array(256, 784), array(128, 784, seed=1), array(128, seed=2)], {}),
    "gather": lambda: (OPS["gather"], [array(*BIG), index(777, 900, 1031)], {"dim": 0}),
    "scatter_add": lambda: (OPS["scatter_add"], [array(50, 1031), index(50, 900, 1031), array(900, 1031, seed=1)], {"dim": 0}),
    "index_put": lambda: (OPS["index_put"], [array(100, 600), array(3000, 600, seed=1), index(100, 3000)],
                          {"axes": (0,), "accumulate": True}),
    "sort": lambda: (OPS["sort"], [array(300, 2000)], {"dim": 1}),
    "topk": lambda: (OPS["topk"], [array(300, 2000)], {"dim": 1, "k": 20}),
    "cat": lambda: (OPS["cat"], [array(500, 700), array(500, 300, seed=1)], {"dim": 1}),
    "copy": lambda: (OPS["copy"], [array(*BIG).T], {}),
    "normal": lambda: (OPS["normal"], [np.array([3, 5])], {"shape": (500_001,)}),
    "uniform": lambda: (OPS["uniform"], [np.array([3, 5])], {"shape": (500_001,)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_kernels(case):
    op, arrays, attrs = CASES[case]()
    tensors = [rv.from_numpy(a) for a in arrays]
    compiled = rv.compile(lambda *xs: op(*xs, **attrs))
    results = []
    for n in THREADS:
        rv.set_num_threads(n)
        results += [op(*tensors, **attrs) for _ in range(2)] + [compiled(*tensors)]
    assert all(same_bits(results[0], r) for r in results[1:])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamax", "nadam", "radam", "rmsprop", "adagrad", "adadelta", "asgd", "rprop",
                                  "total_norm", "scale_all"])  # fmt: skip
def test_many_tensors_at_once(name):
    op = OPS[name]
    sample = op.samples[-1]
    rng = np.random.default_rng(0)
    small = [np.asarray(x) for x in sample.inputs if not isinstance(x, tuple)]
    if hasattr(op, "states"):
        shapes = ((300_007,), (3, 5), (513, 700))
        states, scalars = len(op.states(**sample.attrs)), len(op.scalars(**sample.attrs))

        def drawn(kinds):
            return [rng.uniform(0.1, 1, s).astype(np.float32) for _ in range(kinds) for s in shapes]

        arrays = [small[0], *drawn(2), *[np.array(3.0)] * (scalars * len(shapes)), *drawn(states)]
    else:
        arrays = [
            rng.uniform(0.1, 1, s).astype(np.float32)
            for s in (() if name == "scale_all" else (7,), (300_007,), (513, 700))
        ]
    results = []
    for n in THREADS:
        rv.set_num_threads(n)
        results.append(op(*map(rv.from_numpy, arrays), **sample.attrs))
    assert all(same_bits(results[0], r) for r in results[1:])


def training_run(compiled):
    rv.manual_seed(7)
    model = nn.Sequential(
        nn.Linear(100, 256), nn.GELU(), nn.Dropout(0.2), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)

    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    run = rv.compile(step) if compiled else step
    losses = [run(rv.from_numpy(array(512, 100, seed=i)), rv.from_numpy(index(10, 512, seed=i))) for i in range(4)]
    return [*losses, *model.parameters()]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_training(compiled):
    results = []
    for n in (*THREADS, 2):
        rv.set_num_threads(n)
        results.append([x.detach().numpy().copy() for x in training_run(compiled)])
    for other in results[1:]:
        assert all(map(np.array_equal, results[0], other))


FIT = """
import hashlib, numpy as np, ranvier as rv
from ranvier import nn
rv.manual_seed(1)
rng = np.random.default_rng(0)
model = nn.Sequential(nn.Linear(50, 200), nn.Tanh(), nn.Dropout(0.1), nn.Linear(200, 5))
trainer = rv.train.Trainer(model, "cross_entropy", "adam", lr=1e-2, metrics=["accuracy"])
history = trainer.fit(rng.standard_normal((1000, 50)).astype("f4"), rng.integers(0, 5, 1000), epochs=3, batch_size=128,
                      validation_split=0.2, seed=3, verbose=0)
digest = hashlib.sha256()
for p in model.parameters(): digest.update(p.detach().numpy().tobytes())
print(digest.hexdigest(), history["loss"][-1], history["val_loss"][-1])
"""


def test_fit_in_other_processes():
    """A whole fit, with shuffling, dropout and validation, prints the same in processes with 1, 2 and 3 threads."""
    outputs = set()
    for n in ("1", "2", "3"):
        env = {**os.environ, "OMP_NUM_THREADS": n, "PYTHONHASHSEED": n}
        outputs.add(
            subprocess.run([sys.executable, "-c", FIT], env=env, capture_output=True, text=True, check=True).stdout
        )
    assert len(outputs) == 1, outputs
