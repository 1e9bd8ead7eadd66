"""Sparse products in place of linear layers."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
from ranvier import nn
from ranvier.compress import SparseLinear, notes, prune, sparse
from ranvier.ops.sparse import dense, rows_of, sparse_linear


def test_the_matrix_is_kept():
    w = np.where(np.random.default_rng(0).random((7, 9)) < 0.3, 1.5, 0.0).astype(np.float32)
    w[3] = 0
    assert (dense(*rows_of(w), 9) == w).all()


@pytest.mark.parametrize("rows", [1, 33, 130])
def test_sparse_layers_compute_the_same(rows):
    rv.manual_seed(0)
    layer, x = prune(nn.Linear(100, 60), 0.9, rv.zeros(1, 100), structured=False), rv.randn(rows, 100)
    small = SparseLinear(layer)
    assert small.values.numel() == 600
    assert (small.dequantized() == layer.weight.detach().numpy()).all()
    with rv.no_grad():
        assert (small(x) - layer(x)).abs().max() < 1e-5
        assert (rv.compile(small)(x) == small(x)).all()


def test_what_is_faster_is_said(monkeypatch):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    pruned, x = prune(model, 0.9, rv.zeros(1, 64), structured=False, skip="2"), rv.randn(8, 64)
    module = __import__("ranvier.compress.sparse", fromlist=["_"])
    monkeypatch.setattr(module, "_seconds", lambda layer, x: 1.0 if isinstance(layer, SparseLinear) else 2.0)
    fast = sparse(pruned, x)
    assert isinstance(fast[0], SparseLinear) and type(fast[2]) is nn.Linear
    assert notes(fast) == ["layer '0', 90% zeros: a sparse product takes 0.50 times the time of the dense one"]
    monkeypatch.setattr(module, "_seconds", lambda layer, x: 3.0 if isinstance(layer, SparseLinear) else 2.0)
    same = sparse(pruned, x)
    assert type(same[0]) is nn.Linear and notes(same)[0].endswith(
        "1.50 times the time of the dense one; it stays dense"
    )


def test_wrong_positions_are_refused():
    x, values = rv.zeros(1, 4), rv.ones(2)
    for columns, starts in (
        ([0, 4], [0, 2]), ([0, -1], [0, 2]), ([0, 1], [0, 3]), ([0, 1], [2, 0]), ([0, 1], [0, 2, -(2**31)])
    ):  # fmt: skip
        operands = x, values, rv.tensor(columns, dtype=rv.int32), rv.tensor(starts, dtype=rv.int32)
        with pytest.raises(IndexError):
            sparse_linear(*operands)
        with rv.backend("numpy"), pytest.raises(IndexError):
            sparse_linear(*operands)


@pytest.mark.parametrize("starts", [[0, 3], [1, 3], [1, 2, 2, 3]])
def test_columns_may_repeat_and_values_may_be_left_out(starts):
    x, values = rv.tensor([[1.0, 10.0, 100.0]]), rv.tensor([1.0, 2.0, 4.0])
    operands = x, values, rv.tensor([2, 0, 0], dtype=rv.int32), rv.tensor(starts, dtype=rv.int32)
    terms = np.array([100, 2, 4], np.float32)
    wanted = [[terms[a:b].sum() for a, b in zip(starts, starts[1:])]]
    assert sparse_linear(*operands).tolist() == wanted
    with rv.backend("numpy"):
        assert sparse_linear(*operands).tolist() == wanted
