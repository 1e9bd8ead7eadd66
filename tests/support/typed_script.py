"""A user's script with annotations: test_types.py runs it, and type checkers on it."""

import tempfile
from pathlib import Path

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.data import DataLoader, TensorDataset
from ranvier.train import EarlyStopping, History, Trainer


class Net(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(16, classes)
        self.scale = nn.Parameter(rv.ones(1))

    def forward(self, x: rv.Tensor) -> rv.Tensor:
        hidden = F.relu(self.body(x)) + rv.tanh(x).mean(dim=-1, keepdim=True)
        return self.head(hidden) * self.scale

    @rv.compile
    def confidence(self, x: rv.Tensor) -> rv.Tensor:
        return F.softmax(self(x), dim=-1).amax(axis=-1)


def data(rows: int) -> tuple[rv.Tensor, rv.Tensor]:
    x = rv.tensor(np.random.default_rng(0).normal(size=(rows, 4)), dtype=rv.float32)
    return x, (x[:, 0] > x.sum(axis=1) / 4).long()


def steepest(x: rv.Tensor) -> float:
    w = rv.randn(4, 1, requires_grad=True)
    loss = (x @ w).square().mean() + 0.1 * rv.norm(w)
    loss.backward()
    slope = w.grad
    assert slope is not None
    with rv.no_grad():
        w -= 0.1 * slope
    largest, where = slope.abs().flatten().topk(1)
    return float(largest) + int(where)


def train(model: Net, x: rv.Tensor, y: rv.Tensor) -> list[float]:
    optimizer = optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.99))
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)

    @rv.compile
    def step(xb: rv.Tensor, yb: rv.Tensor) -> rv.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(xb), yb, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach()

    losses = []
    for _ in range(2):
        for xb, yb in DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True):
            losses.append(step(xb, yb).item())
        scheduler.step()
    return losses


@rv.no_grad()
def error(model: Net, x: rv.Tensor, y: rv.Tensor) -> float:
    model.eval()
    return float((model(x).argmax(-1) != y).double().mean())


def main() -> None:
    rv.manual_seed(0)
    x, y = data(64)
    model = Net(4, 2)
    print(steepest(x), train(model, x, y)[-1], error(model, x, y), model.confidence(x).min().item())

    trainer = Trainer(model, loss="cross_entropy", optimizer="adam", metrics=["accuracy"], lr=1e-3)
    history: History = trainer.fit(x.numpy(), y.numpy(), epochs=2, callbacks=[EarlyStopping("loss")], verbose=0)
    classes: np.ndarray = np.argmax(trainer.predict(x), axis=-1)
    print(history["loss"], classes.shape, rv.sigmoid(np.zeros(3)).astype(np.float64))

    with tempfile.TemporaryDirectory() as folder:
        rv.save(model.state_dict(), Path(folder) / "net.safetensors")
        model.load_state_dict(rv.load(Path(folder) / "net.safetensors"))


if __name__ == "__main__":
    main()
