"""Values that a function refuses, inside of compiled functions: an error, and states as they were."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.core.errors import DomainError, OutOfRangeError
from ranvier.ops import require

HALF = [0.5, 0.5]
CASES = [
    (lambda x: F.binary_cross_entropy(x, rv.zeros(2)), HALF, [0.5, 1.5], DomainError, r"input must be in \[0, 1\]"),
    (lambda x: F.binary_cross_entropy(rv.full((2,), 0.5), x), HALF, [np.nan, 1.0], DomainError, "target must be in"),
    (lambda x: F.binary_cross_entropy_with_logits(rv.zeros(2), x), HALF, [0.5, 3.0], DomainError, "target must be in"),
    (lambda x: F.gaussian_nll_loss(rv.zeros(2), rv.zeros(2), x), HALF, [1.0, -1.0], DomainError, "not be negative"),
    (
        lambda x: F.nll_loss(rv.zeros(2, 3), x.long()),
        [0.0, 2.0],
        [0.0, -1.0],
        OutOfRangeError,
        r"in \[0, 2\] or ignore",
    ),
    (lambda x: F.nll_loss(rv.zeros(2, 3), x.long()), [-100.0, 2.0], [-100.0, 3.0], OutOfRangeError, r"in \[0, 2\]"),
    (lambda x: F.cross_entropy(rv.zeros(2, 3), x.long()), [0.0, 2.0], [0.0, -1.0], OutOfRangeError, r"in \[0, 2\]"),
    (lambda x: F.one_hot(x.long(), 3), [0.0, 2.0], [0.0, 3.0], OutOfRangeError, r"in \[0, 2\]"),
    (lambda x: F.one_hot(x.long(), 3), [0.0, 2.0], [0.0, -1.0], OutOfRangeError, r"in \[0, 2\]"),
    (lambda x: rv.multinomial(x, 1), HALF, [-1.0, 2.0], OutOfRangeError, "multinomial"),
    (lambda x: rv.multinomial(x, 1), HALF, [0.0, 0.0], OutOfRangeError, "multinomial"),
    (lambda x: rv.multinomial(x, 2), HALF, [0.0, 1.0], OutOfRangeError, "multinomial"),
    (lambda x: rv.multinomial(x, 1), HALF, [np.inf, 1.0], OutOfRangeError, "multinomial"),
    (lambda x: rv.bernoulli(x), HALF, [0.5, 1.5], OutOfRangeError, "bernoulli"),
]


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_what_is_refused_is_refused_by_plans(case, backend):
    f, good, bad, error, text = CASES[case]
    good, bad = rv.tensor(good), rv.tensor(bad)
    g = rv.compile(f)
    with rv.backend(backend):
        for call in (f, g, g, g):
            call(good)
            with pytest.raises(error, match=text):
                call(bad)
            call(good)
        with pytest.raises(error, match=text):  # at the first call too
            rv.compile(f)(bad)


def test_nothing_is_trained_on_what_is_refused():
    model = nn.Linear(2, 1)
    optimizer = optim.Adam(model.parameters())

    @rv.compile
    def step(x, y):
        loss = F.binary_cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    x, y = rv.zeros(3, 2), rv.zeros(3, 1)
    with rv.no_grad():
        model.bias.fill_(0.5)
    step(x, y)
    state = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    moments = {k: v.numpy().copy() for k, v in optimizer.state[model.bias].items()}
    for _ in range(2):
        with pytest.raises(DomainError, match=r"binary_cross_entropy: input must be in .*: 100\.\d+ at position 0"):
            with rv.no_grad():
                model.weight.fill_(100.0)
            step(rv.ones(3, 2) / 2, y)
    model.weight.data = rv.tensor(state["weight"])
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), state[k])
    for k, v in optimizer.state[model.bias].items():
        np.testing.assert_array_equal(v.numpy(), moments[k])


def test_an_epoch_stops_at_what_is_refused():
    from ranvier.train import Trainer

    x, y = np.zeros((8, 2), np.float32), np.zeros((8, 1), np.float32)
    x[5] = 100.0
    model = nn.Linear(2, 1)  # raw scores, for a loss that wants probabilities
    with rv.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.5)
    with pytest.raises(DomainError, match=r"binary_cross_entropy: input must be in \[0, 1\] \(apply sigmoid"):
        Trainer(model, lambda out, y: F.binary_cross_entropy(out, y), "sgd", lr=0.0).fit(
            x, y, epochs=1, batch_size=4, verbose=0
        )


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_place_is_named(threads):
    rv.set_num_threads(threads)
    x = rv.ones(400, 300)
    x[250, 7], x[399, 0] = -2.0, -3.0

    @rv.compile
    def f(x):
        require((x > 0).t(), x.t(), "f: x must be positive")
        return x.sum()

    for _ in range(2):
        with pytest.raises(DomainError, match=r"^f: x must be positive: -3 at position 399$"):
            f(x)
    x[399, 0] = 1.0
    with pytest.raises(DomainError, match=r"^f: x must be positive: -2 at position 3050$"):
        f(x)
    x[250, 7] = 1.0
    assert f(x).item() == 120_000.0
