"""A parameter or module in several places counts, trains, is saved and loaded once."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import ranvier as rv
import safetensors.numpy
from ranvier import nn
from ranvier.train import Trainer


def tied(lib):
    """An embedding whose table is the output layer's weight too, a cell used at every step, twin towers."""

    class Tied(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = lib.nn.Embedding(7, 4)
            self.cell = lib.nn.Linear(4, 4)
            self.again = self.cell
            self.out = lib.nn.Linear(4, 7, bias=False)
            self.out.weight = self.table.weight

        def forward(self, numbers):
            x = self.table(numbers)
            for _ in range(2):
                x = self.again(self.cell(x)).tanh()
            return self.out(x)

    return Tied()


NUMBERS = np.array([[0, 3, 6], [2, 2, 1]])
KEYS = ["table.weight", "cell.weight", "cell.bias", "again.weight", "again.bias", "out.weight"]


def test_named_once_and_saved_under_all_names():
    model = tied(rv)
    assert [name for name, _ in model.named_parameters()] == KEYS[:3]
    assert len(list(model.parameters())) == 3 and sum(p.numel() for p in model.parameters()) == 48
    assert list(model.state_dict()) == KEYS
    assert [name for name, _ in model.named_parameters(remove_duplicate=False)] == KEYS


def test_copies_and_casts_stay_tied():
    for model in (copy.deepcopy(tied(rv)), tied(rv).to("float64"), tied(rv).float()):
        assert model.out.weight is model.table.weight and model.again is model.cell
        with rv.no_grad():
            model.table.weight += 1
        assert (model.out.weight == model.table.weight).all()


def test_a_file_holds_what_is_shared_once():
    model, buffer = tied(rv), io.BytesIO()
    rv.save(model.state_dict(), buffer)
    assert sorted(safetensors.numpy.load(buffer.getvalue())) == sorted(KEYS[:3])
    buffer.seek(0)
    state = rv.load(buffer)
    assert list(state) == KEYS and state["out.weight"] is state["table.weight"]
    other = tied(rv)
    other.load_state_dict(state)
    assert other.out.weight is other.table.weight
    assert (other(rv.tensor(NUMBERS)) == model(rv.tensor(NUMBERS))).all()


def test_views_of_one_memory_are_not_one_tensor():
    x, buffer = rv.arange(6), io.BytesIO()
    rv.save({"a": x, "b": x[:3], "c": x.reshape(2, 3), "d": x[::2]}, buffer)
    buffer.seek(0)
    state = rv.load(buffer)
    assert [state[k].tolist() for k in "abcd"] == [[0, 1, 2, 3, 4, 5], [0, 1, 2], [[0, 1, 2], [3, 4, 5]], [0, 2, 4]]


def _steps(lib, model, how=lambda f: f):
    x, y = lib.tensor(NUMBERS), lib.tensor(NUMBERS[:, ::-1].copy())
    optimizer = lib.optim.AdamW(model.parameters(), lr=0.05)
    loss = lib.nn.CrossEntropyLoss()

    def step(x, y):
        optimizer.zero_grad()
        value = loss(model(x).reshape(6, 7), y.reshape(6))
        value.backward()
        optimizer.step()
        return value

    step = how(step)
    losses = [step(x, y).item() for _ in range(6)]
    return losses, {k: v.detach().numpy() for k, v in model.state_dict().items()}


@pytest.mark.torch
@pytest.mark.parametrize("how", [lambda f: f, rv.compile], ids=["eager", "compiled"])
def test_training_as_pytorch(torch, how):
    theirs, mine = tied(torch).double(), tied(rv).to("float64")
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert list(theirs.state_dict()) == KEYS
    wanted, state = _steps(torch, theirs)
    got, own = _steps(rv, mine, how)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    for key in KEYS:
        np.testing.assert_allclose(own[key], state[key], rtol=1e-7, atol=1e-9, err_msg=key)
    assert mine.out.weight is mine.table.weight


def test_checkpoints(tmp_path):
    rv.manual_seed(0)
    model = nn.Sequential(tied(rv), nn.Flatten(0, 1))
    x, y = NUMBERS.repeat(4, 0), NUMBERS.repeat(4, 0)
    optimizer = rv.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(model(rv.tensor(x)), rv.tensor(y.reshape(-1)))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.5 * losses[0]
    rv.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c.safetensors")
    state = rv.load(tmp_path / "c.safetensors")
    assert state["model"]["0.out.weight"] is state["model"]["0.table.weight"]
    assert len(state["optimizer"]["state"]) == 3
    optimizer.load_state_dict(state["optimizer"])


def test_twin_towers_through_the_trainer():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.left = nn.Linear(5, 3)
            self.right = self.left

        def forward(self, x):
            return (self.left(x[:, 0]) - self.right(x[:, 1])).square().sum(1, keepdim=True)

    rv.manual_seed(1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 2, 5)).astype("float32")
    y = (x[:, 0, :1] - x[:, 1, :1]) ** 2
    model = Twins()
    trainer = Trainer(model, "mse", rv.optim.Adam(model.parameters(), lr=0.05))
    trainer.fit(x, y, epochs=30, batch_size=16, seed=0, verbose=0)
    error = np.square(trainer.predict(x) - y).mean()
    assert len(list(model.parameters())) == 2 and error < 0.1 * y.var()
