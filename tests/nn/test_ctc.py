"""Connectionist temporal classification: values, gradients, lengths, errors, reading."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn


def log_probs_of(shape, seed=0, dtype="float64"):
    return rv.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype)).log_softmax(-1)


def by_paths(log_probs, labels, blank=0):
    """The definition: the sum over all paths that read as `labels`."""
    frames, classes = log_probs.shape
    total = -np.inf
    for path in itertools.product(range(classes), repeat=frames):
        read = [k for k, _ in itertools.groupby(path) if k != blank]
        if read == list(labels):
            total = np.logaddexp(total, log_probs[np.arange(frames), path].sum())
    return -total


@pytest.mark.parametrize("labels", [[], [1], [1, 2], [2, 2], [1, 2, 1], [1, 1, 1], [2, 2, 2, 1]])
@pytest.mark.parametrize("backend", ["native", "numpy"])
def test_it_is_the_sum_over_paths(labels, backend):
    x = log_probs_of((5, 3), 3)
    with rv.backend(backend):
        loss = F.ctc_loss(x, rv.tensor(np.array(labels, np.int64)), (5,), (len(labels),), reduction="sum")
    assert loss.item() == pytest.approx(by_paths(x.numpy(), labels), rel=1e-12)


SHAPES = [  # frames, classes, room, input lengths, target lengths
    (12, 5, 4, (12, 9, 5), (4, 2, 0)),
    (3, 4, 6, (3, 3, 2), (2, 6, 1)),  # the second does not fit
    (40, 30, 15, (40, 33, 17), (15, 15, 1)),
    (2, 3, 1, (2, 0, 1), (1, 0, 1)),
]


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("frames, classes, room, times, lengths", SHAPES)
def test_as_pytorch(torch, dtype, frames, classes, room, times, lengths):
    rng = np.random.default_rng(4)
    scores = rng.standard_normal((frames, 3, classes)).astype(dtype)
    for blank, reduction, zero_infinity, form in itertools.product(
        (0, classes - 1), ("none", "mean", "sum"), (False, True), ("tuple", "tensor", "joined", "int32")
    ):
        targets = rng.choice([c for c in range(classes) if c != blank], (3, room))
        if form == "joined":
            targets = np.concatenate([row[:n] for row, n in zip(targets, lengths)])
        results = []
        for lib in (rv, torch):
            x = lib.tensor(scores, requires_grad=True)
            given = [lib.tensor(np.array(v)) if form == "tensor" else v for v in (times, lengths)]
            labels = lib.tensor(targets.astype("int32") if form == "int32" else targets)
            if lib is rv and form != "joined":  # the padding is not read
                labels = rv.where(rv.arange(room) < rv.tensor(lengths).unsqueeze(1), labels, -7)
            module = lib.nn.CTCLoss(blank, reduction, zero_infinity)
            loss = module(lib.nn.functional.log_softmax(x, dim=-1), labels, *given)
            weight = lib.tensor(np.asarray([1.0, 0.5, 2.0], dtype)) if reduction == "none" else 1
            (loss * weight).sum().backward()
            results.append((loss.detach().numpy(), x.grad.numpy()))
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(
                mine, theirs, rtol=1e-9 if dtype == "float64" else 2e-4, atol=1e-12 if dtype == "float64" else 1e-5
            )


def test_one_sequence_and_no_batch():
    x = log_probs_of((6, 4))
    batch = F.ctc_loss(x.unsqueeze(1), rv.tensor([[1, 3]]), (6,), (2,), reduction="none")
    single = F.ctc_loss(x, rv.tensor([1, 3]), rv.tensor(6), rv.tensor(2), reduction="none")
    assert single.shape == () and single.item() == batch.item()
    arrays = F.ctc_loss(x.numpy(), np.array([1, 3]), [6], [2], reduction="none")
    assert isinstance(arrays, (np.ndarray, np.generic)) and arrays == single.numpy()


@pytest.mark.parametrize("joined", [False, True])
def test_compiled_and_threads(joined):
    rng = np.random.default_rng(2)
    x, lengths = rv.tensor(rng.standard_normal((30, 8, 12)), requires_grad=True), rv.tensor(np.arange(8))
    targets = rv.tensor(rng.integers(1, 12, 28 if joined else (8, 7)))
    times = rv.tensor(np.arange(23, 31))

    def step(x, targets, times, lengths):
        x.grad = None
        loss = F.ctc_loss(x.log_softmax(-1), targets, times, lengths)
        loss.backward()
        return loss.detach(), x.grad

    wanted = [t.numpy().copy() for t in step(x, targets, times, lengths)]
    compiled = rv.compile(step)
    threads = rv.get_num_threads()
    try:
        for n in (1, 2, 3):
            rv.set_num_threads(n)
            for run in (step, compiled):
                for mine, first in zip(run(x, targets, times, lengths), wanted, strict=True):
                    assert (mine.numpy() == first).all()
    finally:
        rv.set_num_threads(threads)
    with pytest.raises(IndexError, match="labels must be in"):
        compiled(x, targets * 0, times, lengths)


def test_gradient_is_exact():
    x = rv.tensor(np.log(np.random.default_rng(5).uniform(0.1, 1, (5, 2, 4))), requires_grad=True)  # sums are not 1
    targets = rv.tensor([[1, 1], [2, 3]])
    assert rv.autograd.gradcheck(lambda x: F.ctc_loss(x, targets, (5, 4), (2, 2), reduction="none"), (x,))
    (grad,) = rv.autograd.grad(F.ctc_loss(x, targets, (5, 4), (2, 2)), [x], create_graph=True)
    with pytest.raises(rv.GradError, match="ctc_loss: there is no second derivative"):
        grad.square().sum().backward()


def test_a_probability_of_zero():
    x = rv.tensor([[[0.0, -np.inf]], [[-np.inf, 0.0]]], requires_grad=True)
    loss = F.ctc_loss(x, rv.tensor([[1]]), (2,), (1,))
    loss.backward()
    assert loss.item() == 0 and x.grad.tolist() == [[[-1, 0]], [[0, -1]]]


def test_no_alignment():
    x = rv.tensor(np.zeros((2, 1, 3)), requires_grad=True)
    loss = F.ctc_loss(x.log_softmax(-1), rv.tensor([[1, 1]]), (2,), (2,))
    loss.backward()
    assert loss.item() == np.inf and np.isnan(x.grad.numpy()).all()
    x.grad = None
    F.ctc_loss(x, rv.tensor([[1, 1]]), (2,), (2,), zero_infinity=True).backward()
    assert not x.grad.numpy().any()


@pytest.mark.parametrize(
    "change, error, text",
    [
        ({"input_lengths": (5, 6)}, IndexError, r"input_lengths must be in \[0, 5\]: 6 at position 1"),
        ({"input_lengths": (5, -1)}, IndexError, "input_lengths must be in"),
        (
            {"input_lengths": (5, 5, 5)},
            ValueError,
            "input_lengths has 3 numbers, must have one for each of 2 sequences",
        ),
        ({"input_lengths": (5.0, 5.0)}, TypeError, "input_lengths of dtype float64 must hold integers"),
        ({"target_lengths": (2, 3)}, IndexError, r"target_lengths must be in \[0, 2\]: 3 at position 1"),
        ({"target_lengths": (2, -1)}, IndexError, "target_lengths must be in"),
        ({"targets": [[1, 2], [3, 4]]}, IndexError, r"labels must be in \[0, 3\] and not blank=0: 4 at position 3"),
        ({"targets": [[1, 2], [3, 0]]}, IndexError, "0 at position 3"),
        ({"targets": [1, 2, 3]}, ValueError, "target_lengths must sum to the 3 targets: 4"),
        ({"targets": [[1, 2]]}, ValueError, r"targets\(1, 2\) must be \(N, S\)"),
        ({"targets": [[1.0, 2.0], [1.0, 2.0]]}, TypeError, "targets of dtype float32 must hold integers"),
        ({"blank": 4}, IndexError, r"blank=4 must be in \[0, 3\]"),
        ({"reduction": "batchmean"}, ValueError, "reduction='batchmean'"),
        ({"log_probs": np.zeros((0, 2, 4))}, ValueError, "must not be empty"),
        ({"log_probs": np.zeros((5, 2, 4), int)}, TypeError, "log_probs of dtype int64"),
        ({"log_probs": np.zeros(5)}, ValueError, r"log_probs\(5,\) must be"),
    ],
)
def test_errors(change, error, text):
    good = {
        "log_probs": np.zeros((5, 2, 4)),
        "targets": [[1, 2], [3, 1]],
        "input_lengths": (5, 5),
        "target_lengths": (2, 2),
    }
    given = {**good, **change}
    given.update({k: rv.tensor(given[k]) for k in ("log_probs", "targets")})
    with pytest.raises(error, match=f"ctc_loss: .*{text}"):
        F.ctc_loss(**given)


def test_training_and_reading():
    """A linear layer learns to emit a sequence; greedy and beam search read it."""
    rv.manual_seed(0)
    layer, words = nn.Linear(8, 5), [[1, 2, 2, 3], [4, 1]]
    x = rv.randn(12, 2, 8)
    targets, loss = rv.tensor([1, 2, 2, 3, 4, 1]), nn.CTCLoss()
    optimizer = rv.optim.Adam(layer.parameters(), lr=0.3)

    @rv.compile
    def step():
        optimizer.zero_grad()
        value = loss(layer(x).log_softmax(-1), targets, (12, 10), (4, 2))
        value.backward()
        optimizer.step()
        return value

    first = step().item()
    for _ in range(80):
        last = step().item()
    assert last < 0.1 * first
    out = layer(x).log_softmax(-1)
    assert nn.ctc.greedy_decode(out, (12, 10)) == words == nn.ctc.beam_search(out, (12, 10))


def test_beam_search_finds_the_best_labels():
    x = log_probs_of((4, 3), 8).numpy()
    candidates = [list(c) for n in range(5) for c in itertools.product((1, 2), repeat=n)]
    best = min(candidates, key=lambda labels: by_paths(x, labels))
    assert nn.ctc.beam_search(x, beams=100) == [best]
    with pytest.raises(ValueError, match="beams=0"):
        nn.ctc.beam_search(x, beams=0)
    with pytest.raises(ValueError, match=r"input_lengths=\[5\]"):
        nn.ctc.greedy_decode(x, (5,))
