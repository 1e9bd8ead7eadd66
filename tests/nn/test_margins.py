"""InfoNCE, softmax in clusters, and what PyTorch's own inputs of losses leave out."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn


@pytest.mark.parametrize("within", [True, False])
def test_info_nce_is_its_formula(within):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5, 7))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    sides = np.concatenate([x, y])
    losses = []
    for i, row in enumerate(sides):
        partner = sides[(i + 5) % 10]
        others = [k for k in range(10) if k != i and (within or (k < 5) != (i < 5))]
        scores = np.array([row @ sides[k] for k in others]) / 0.2
        losses.append(np.log(np.exp(scores).sum()) - row @ partner / 0.2)
    got = F.info_nce_loss(rv.tensor(a), rv.tensor(b), 0.2, within, reduction="none")
    np.testing.assert_allclose(got.numpy(), losses, rtol=1e-9)
    module = nn.InfoNCELoss(0.2, within)
    assert module(rv.tensor(a), rv.tensor(b)).item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_info_nce_learns_a_temperature_and_compiles():
    a, b = rv.randn(4, 3, requires_grad=True, dtype=rv.float64), rv.randn(4, 3, dtype=rv.float64)
    t = rv.tensor(0.5, requires_grad=True, dtype=rv.float64)
    assert rv.autograd.gradcheck(lambda a, t: F.info_nce_loss(a, b, t), (a, t))
    assert rv.compile(F.info_nce_loss)(a, b, t).item() == F.info_nce_loss(a, b, t).item()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: F.info_nce_loss(rv.zeros(2, 3), rv.zeros(3, 3)), r"input\(2, 3\) and positive\(3, 3\) must be"),
        (lambda: F.info_nce_loss(rv.zeros(2, 3), rv.zeros(2, 3), 0.0), "temperature=0.0 must be positive"),
        (lambda: nn.MultiMarginLoss(p=3), "p=3 must be 1 or 2"),
        (lambda: F.multi_margin_loss(rv.zeros(2, 3), rv.tensor([0, 3])), r"classes must be in \[0, 2\]: 3"),
        (lambda: F.multilabel_margin_loss(rv.zeros(1, 2), rv.tensor([[0, -2]])), r"-2 at position 1"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=0), "margin=0 must be positive"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5, 5]), r"cutoffs=\[5, 5\] must be increasing"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5])(rv.zeros(2, 4), rv.tensor([1, 10])), "10 at position 1"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 10, [5])(rv.zeros(2, 3), rv.tensor([1, 1])), r"must be \(N, 4\)"),
    ],
)
def test_errors_name_the_rule(call, text):
    with pytest.raises((ValueError, IndexError), match=text):
        call()


@pytest.mark.torch
@pytest.mark.parametrize("targets", [[0, 1, 9, 12, 30, 59, 20], [1, 2, 3], [40, 41], 12])
@pytest.mark.parametrize("options", [{}, {"div_value": 2.0, "head_bias": True}])
def test_adaptive_softmax_as_pytorch(torch, targets, options):
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(16, 60, [10, 25], **options).double()
    mine = nn.AdaptiveLogSoftmaxWithLoss(16, 60, [10, 25], **options).to("float64")
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    shape = (*np.shape(targets), 16)
    values = np.random.default_rng(1).standard_normal(shape)
    results = []
    for lib, module in ((torch, theirs), (rv, mine)):
        x = lib.tensor(values, requires_grad=True)
        output, loss = module(x, lib.tensor(targets))
        loss.backward()
        rows = x if x.ndim == 2 else x.unsqueeze(0)
        grads = [p.grad.numpy() for _, p in sorted(module.named_parameters()) if p.grad is not None]
        read = module.log_prob(rows).detach().numpy(), module.predict(rows).numpy()
        results.append([output.detach().numpy(), loss.detach().numpy(), x.grad.numpy(), *read, *grads])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
    x, labels = rv.tensor(values), rv.tensor(targets)
    compiled = rv.compile(lambda: mine(x, labels).output)()
    np.testing.assert_allclose(compiled.detach().numpy(), results[0][0], rtol=1e-12)


def test_spaced_integers_begin_and_end_at_integers():
    assert rv.linspace(4.3, -3, 8, dtype=rv.int64).tolist() == [4, 3, 2, 1, 0, -1, -2, -3]
    assert rv.logspace(0, 1.2, 2, dtype=rv.int64).tolist() == [1, 10]


def test_gradients_that_pytorchs_inputs_have_shown():
    x, y = rv.randn(5, 4, 0, requires_grad=True), rv.randn(0, 3, requires_grad=True)
    (x @ y).sum().backward()
    assert x.grad.shape == (5, 4, 0) and y.grad.shape == (0, 3)
    value, rows = rv.tensor(2.0, requires_grad=True), rv.zeros(3, 2, requires_grad=True)
    rows.index_fill(0, rv.tensor([1, 1, 2]), value).sum().backward()  # row 1 once
    assert value.grad.item() == 4 and rows.grad.tolist() == [[1, 1], [0, 0], [0, 0]]
