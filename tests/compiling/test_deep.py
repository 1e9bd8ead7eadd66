"""Deep graphs: work in proportion to their size, no more memory than is alive, the same bits."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import ranvier as rv
from ranvier.graph import arena


def weights(count, *shape):
    random = np.random.default_rng(0)
    return [rv.from_numpy(random.normal(0, 0.4, shape).astype("f4")).requires_grad_() for _ in range(count)]


def training(parameters, loss):
    """step(x): forward, backward, Adam."""
    optimizer = rv.optim.Adam(parameters)

    def step(x):
        value = loss(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    return step


def mlp(depth):
    ws, bs = weights(depth, 4, 4), weights(depth, 4)

    def loss(x):
        for w, b in zip(ws, bs):
            x = rv.tanh(x @ w + b)
        return (x * x).mean()

    return training([*ws, *bs], loss), rv.ones(3, 4), [*ws, *bs]


def lstm(steps, hidden=4):
    (w,), (b,) = weights(1, 2 * hidden, 4 * hidden), weights(1, 4 * hidden)

    def loss(x):
        h = c = rv.zeros(2, hidden)
        for t in range(steps):
            z = rv.cat([x[t], h], 1) @ w + b
            i, f, g, o = (z[:, k * hidden : (k + 1) * hidden] for k in range(4))
            c = rv.sigmoid(f) * c + rv.sigmoid(i) * rv.tanh(g)
            h = rv.sigmoid(o) * rv.tanh(c)
        return (h * h).mean()

    return training([w, b], loss), rv.ones(steps, 2, hidden), [w, b]


def many(count):
    ws = weights(count, 3)
    return training(ws, lambda x: sum((w * x).sum() for w in ws)), rv.ones(3), ws


CASES = {f.__name__: f for f in (mlp, lstm, many)}


def lines_run(f):
    """How many lines of Python `f()` runs: work that does not depend on the machine."""
    count = 0

    def on_line(frame, event, arg):
        nonlocal count
        count += event == "line"
        return on_line

    before = sys.gettrace()
    sys.settrace(on_line)
    try:
        f()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("case", CASES)
def test_compiling_takes_work_in_proportion(case):
    work = []
    for size in (2, 20, 40, 80):  # the first imports and keeps what the others use
        step, x, _ = CASES[case](size)
        work.append(lines_run(lambda: rv.compile(step).traced(x)))
    _, first, second, third = work
    assert third - second <= 2.1 * (second - first), work


@pytest.mark.parametrize("case", CASES)
def test_the_same_bits_as_eager(case):
    results = []
    for wrap in (lambda f: f, rv.compile):
        step, x, parameters = CASES[case](30)
        step = wrap(step)
        losses = [step(x).item() for _ in range(4)]
        results.append((losses, [p.detach().numpy().copy() for p in parameters]))
    (losses, before), (compiled_losses, after) = results
    assert losses == compiled_losses
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a, b)


def alive(blocks):
    """The most bytes that are needed at one time."""
    change = {}
    for b in blocks:
        size = -(-max(b.nbytes, 1) // arena.ALIGN) * arena.ALIGN
        change[b.first] = change.get(b.first, 0) + size
        change[b.last + 1] = change.get(b.last + 1, 0) - size
    now = most = 0
    for time in sorted(change):
        now += change[time]
        most = max(most, now)
    return most


@pytest.mark.parametrize("case", CASES)
def test_the_arena_holds_little_more_than_what_is_alive(case, monkeypatch):
    sizes = []
    plan = arena.plan

    def watched(blocks):
        sizes.append((plan(blocks), alive(blocks)))
        return sizes[-1][0]

    monkeypatch.setattr(arena, "plan", watched)
    step, x, _ = CASES[case](30)
    if not hasattr(rv.compile(step).traced(x).program, "plan"):
        pytest.skip("the backend has no plan")
    for size, needed in sizes:
        assert needed <= size <= 1.05 * needed + arena.ALIGN


def test_each_instruction_has_its_node():
    """What takes how long, by node and layer."""
    model = rv.nn.Sequential(rv.nn.Linear(4, 8), rv.nn.GELU(), rv.nn.Linear(8, 3))

    def f(x):
        return model(x.T.reshape(3, 4)).T.sum(0)

    x = rv.ones(4, 3)
    program = rv.compile(f).traced(x).program
    if not hasattr(program, "plan"):
        pytest.skip("the backend has no plan")
    rows = program.plan.timings(2, x.numpy())
    assert len(rows) == len(program.nodes)
    layers = set()
    for (label, _, _), node in zip(rows, program.nodes):
        assert label == "copy" or label.split(" [in ")[0] == node.name
        layers.add(node.layer)
    assert {"0 (Linear)", "2 (Linear)"} <= layers
