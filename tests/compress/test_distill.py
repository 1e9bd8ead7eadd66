"""Distillation and low rank."""

from __future__ import annotations

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn
from ranvier.compress import DistillationTrainer, low_rank, notes

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 6)).astype(np.float32)


def mlp(width: int, out: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, out))


@pytest.mark.parametrize("compiled", [True, False])
def test_the_gradient_is_that_of_the_mixture(compiled):
    rv.manual_seed(0)
    teacher, student, y = mlp(16), mlp(4), RNG.integers(0, 3, 200)
    other = mlp(4)
    other.load_state_dict(student.state_dict())
    trainer = DistillationTrainer(
        student, teacher, optimizer="sgd", lr=0.5, temperature=3.0, alpha=0.7, compile=compiled
    )
    shown = trainer.fit(X, y, batch_size=200, shuffle=False, verbose=0)["loss"][0]
    x, labels = rv.as_tensor(X), rv.as_tensor(y)
    p, q = F.softmax(teacher(x) / 3, 1).detach(), F.log_softmax(other(x) / 3, 1)
    plain = F.cross_entropy(other(x), labels)
    loss = 0.3 * plain + 0.7 * 9 * F.kl_div(q, p, reduction="batchmean")
    loss.backward()
    assert shown == pytest.approx(plain.item(), rel=1e-5)
    for a, b in zip(student.parameters(), other.parameters()):
        assert (a - (b - 0.5 * b.grad)).abs().max() < 1e-5


@pytest.mark.parametrize("loss, target", [("mse", X[:, :3]), ("bce_with_logits", (X[:, :3] > 0).astype(np.float32))])
def test_other_losses(loss, target):
    rv.manual_seed(1)
    teacher, student = mlp(32), mlp(8)
    before = {name: t.numpy().copy() for name, t in teacher.state_dict().items()}
    trainer = DistillationTrainer(student, teacher, loss, lr=0.02, alpha=1.0)
    far = float((student(rv.as_tensor(X)) - teacher(rv.as_tensor(X))).square().mean())
    trainer.fit(X, target, epochs=40, seed=0, verbose=0)
    assert float((student(rv.as_tensor(X)) - teacher(rv.as_tensor(X))).square().mean()) < 0.3 * far
    assert all((t.numpy() == before[name]).all() for name, t in teacher.state_dict().items())


def test_features():
    rv.manual_seed(2)
    teacher, student = mlp(16), mlp(4)
    trainer = DistillationTrainer(
        student, teacher, alpha=0.0, features={"1": "1"}, feature_weight=10.0, example=X[:1], lr=0.02
    )
    (projection,) = trainer.projections

    def distance() -> float:
        x = rv.as_tensor(X)
        return float((projection(student[:2](x)) - teacher[:2](x)).square().mean())

    before = distance()
    trainer.fit(X, RNG.integers(0, 3, 200), epochs=30, seed=0, verbose=0)
    assert projection.weight.shape == (16, 4) and distance() < 0.5 * before


def test_bad_arguments():
    a, b = mlp(4), mlp(8)
    for wrong in ({"temperature": 0}, {"alpha": 1.1}, {"features": {"1": "1"}}, {"feature_weight": -1},
                  {"features": {"1": "2"}, "example": np.zeros((1, 2, 6), np.float32)[0][:1], "alpha": 2}):  # fmt: skip
        with pytest.raises(rv.DomainError, match="DistillationTrainer"):
            DistillationTrainer(a, b, **wrong)
    with pytest.raises(rv.DomainError, match="two models"):
        DistillationTrainer(a, a)
    with pytest.raises(TypeError, match="teacher"):
        DistillationTrainer(a, lambda x: x)


@pytest.mark.parametrize("error", [0.0, 0.1, 0.5])
def test_low_rank_keeps_its_bounds(error):
    rv.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 50), nn.ReLU(), nn.Linear(50, 2))
    with rv.no_grad():
        model[0].weight.copy_(rv.randn(50, 4) @ rv.randn(4, 60) + 0.02 * rv.randn(50, 60))
    small = low_rank(model, error=error)
    if error == 0:
        assert type(small[0]) is nn.Linear and len(notes(small)) == 2
        return
    layer, w = small[0], model[0].weight.detach().numpy()
    product = layer[1].weight.detach().numpy() @ layer[0].weight.detach().numpy()
    assert layer.error <= error and layer.rank <= 5
    assert np.linalg.norm(w - product) / np.linalg.norm(w) == pytest.approx(layer.error, rel=1e-3)
    assert np.linalg.norm(w - product, 2) == pytest.approx(layer.bound, rel=1e-3)
    x = rv.randn(30, 60)
    assert ((layer(x) - model[0](x)).norm(dim=1) <= layer.bound * x.norm(dim=1) * 1.001).all()
    assert "layer '2' stays" in notes(small)[0]


def test_low_rank_arguments():
    model = nn.Sequential(nn.Linear(20, 20), nn.Conv1d(3, 3, 1))
    assert low_rank(model, rank=4)[0].rank == 4 and low_rank(model, rank=0.25)[0].rank == 5
    for wrong in ({}, {"error": 0.1, "rank": 2}, {"error": 1.0}, {"rank": 0}, {"rank": 1.5}):
        with pytest.raises(rv.DomainError, match="low_rank"):
            low_rank(model, **wrong)
    with pytest.raises(rv.DomainError, match="no linear layers"):
        low_rank(nn.Conv1d(3, 3, 1), error=0.1)
