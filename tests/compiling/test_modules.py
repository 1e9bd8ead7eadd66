"""Compiled modules are modules."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn.functional as F
from compiled_support import t
from ops_support import same_bits
from ranvier import nn, optim
from ranvier.train import Trainer


def model_of():
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 1))


def test_a_compiled_module_is_what_the_module_is():
    model = model_of()
    compiled = rv.compile(model)
    assert isinstance(compiled, nn.Module) and isinstance(compiled, nn.Sequential)
    assert [name for name, _ in compiled.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert all(a is b for a, b in zip(compiled.parameters(), model.parameters(), strict=True))
    assert list(compiled.state_dict()) == list(model.state_dict())
    assert list(compiled.children()) == list(model.children()) and list(compiled.modules()) == list(model.modules())
    assert len(compiled) == 4 and compiled[0] is model[0] and list(compiled) == list(model)
    assert compiled.training and not compiled.eval().training and not model.training and not model[2].training
    assert repr(compiled) == f"compiled({model!r})" and {"append", "training"} <= set(dir(compiled))
    compiled.train().note = "kept"
    assert model.note == "kept" and model.training
    del compiled.note
    assert not hasattr(model, "note")
    assert compiled.double() is compiled and model[0].weight.dtype == np.float64


def test_a_part_of_another_module():
    inner, x = model_of(), t(5, 2)
    outer = nn.Sequential(rv.compile(inner), nn.Linear(1, 1))
    plain = nn.Sequential(inner, outer[1])
    assert list(outer.state_dict()) == list(plain.state_dict())
    assert [*map(id, outer.parameters())] == [*map(id, plain.parameters())]
    outer.eval()
    assert not inner[2].training
    compiled = rv.compile(outer)
    for _ in range(3):
        assert same_bits(outer(x).detach().numpy(), plain(x).detach().numpy())
        assert same_bits(compiled(x).detach().numpy(), plain(x).detach().numpy())
    (outer(x) ** 2).mean().backward()
    grads = [p.grad.numpy().copy() for p in outer.parameters()]
    outer.zero_grad()
    assert all(p.grad is None for p in plain.parameters())
    (plain(x) ** 2).mean().backward()
    for p, g in zip(plain.parameters(), grads, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-5, atol=1e-7)
    names = []
    outer.apply(lambda m: names.append(type(m).__name__))
    assert names == ["Linear", "ReLU", "Dropout", "Linear", "Sequential", "Linear", "Sequential"]


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(twin):
    compiled, x = rv.compile(model_of()).eval(), t(5, 2)
    expected = compiled(x).detach().numpy().copy()
    outer = nn.Sequential(compiled)
    for other in (twin(compiled), twin(outer)):
        with rv.no_grad():
            compiled[0].weight.mul_(2)
        assert same_bits(other(x).detach().numpy(), expected)
        with rv.no_grad():
            compiled[0].weight.mul_(0.5)
    assert type(twin(compiled)) is type(compiled) and type(twin(outer)[0]) is type(compiled)


def test_saved_and_loaded(tmp_path):
    compiled, model, x = rv.compile(model_of()).eval(), model_of().eval(), t(5, 2)
    compiled.save(tmp_path / "model.safetensors")
    model.load(tmp_path / "model.safetensors")
    assert same_bits(compiled(x).detach().numpy(), model(x).detach().numpy())
    compiled.load_state_dict(model_of().state_dict())
    assert not np.array_equal(compiled(x).detach().numpy(), model(x).detach().numpy())


def test_trained():
    compiled, x = rv.compile(model_of()), t(8, 2)
    optimizer = optim.SGD(compiled.parameters(), lr=0.1)
    losses = []
    compiled.eval()
    for _ in range(20):
        loss = F.mse_loss(compiled(x), rv.ones(8, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    history = Trainer(compiled, "mse", "adam").fit(x.numpy(), np.ones((8, 1), np.float32), epochs=2, verbose=0)
    assert len(history["loss"]) == 2


def test_overridden_methods_are_the_modules_own():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def forward(self, x):
            return self.layer(x)

        def train(self, mode=True):
            return super().train(False)

        @property
        def width(self):
            return self.layer.in_features

    compiled = rv.compile(Frozen())
    assert not compiled.train().training and compiled.width == 1
    with pytest.raises(AttributeError, match="depth"):
        _ = compiled.depth
