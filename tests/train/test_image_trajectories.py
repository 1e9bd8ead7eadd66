"""Ten training steps of convolutional networks follow PyTorch's: losses, gradients, running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ranvier as rv
import ranvier.nn
import ranvier.optim  # noqa: F401  (rv.optim)

STEPS, BATCH = 10, 8
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


def simple_cnn(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 16 * 16, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


def residual_block(lib: Any) -> Any:
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
            self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8, momentum=None)
            self.shortcut = nn.Sequential(nn.Conv2d(3, 8, 1, 2, bias=False), nn.BatchNorm2d(8))

        def forward(self, x: Any) -> Any:
            y = nn.functional.relu(self.norm1(self.conv1(x)))
            return nn.functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))

    return nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def train(make: Any, lib: Any, tensor: Any, dtype: str, compiled: bool = False) -> list[np.ndarray]:
    """Of each step the loss and, of each gradient, its norm and its product with fixed weights; at the end the running
    statistics. Then how large an error of each is: a product's is as large as the norm."""
    random = np.random.default_rng(0)
    model = make(lib)
    weights = {}
    for name, p in sorted(model.named_parameters()):
        fan = max(int(np.prod(p.shape[1:])), 1)
        weights[name] = random.standard_normal(tuple(p.shape)) * (2 / fan) ** 0.5 if p.ndim > 1 else np.ones(p.shape)
        p.data = tensor(weights[name].astype(dtype))
    for _, buffer in model.named_buffers():
        if buffer.ndim:
            buffer.data = tensor(buffer.detach().numpy().astype(dtype))
    # eps: a gradient of rounding errors alone must not become as large as the others
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)
    x, y = tensor(random.standard_normal((BATCH, 3, 32, 32)).astype(dtype)), tensor(np.arange(BATCH) % 10)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = lib.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = lib.compile(step) if compiled else step
    rows = {name: np.cos(np.arange(w.size)) for name, w in weights.items()}
    seen: list[tuple[float, float]] = []
    for _ in range(STEPS):
        loss = float(run(x, y).detach().numpy())
        seen.append((loss, loss))
        for name, p in sorted(model.named_parameters()):
            g = p.grad.detach().numpy().ravel()
            norm = float(np.linalg.norm(g))
            seen += [(norm, norm), (float(g @ rows[name]), norm)]
    for _, buffer in sorted(model.named_buffers()):
        seen += [(v, max(abs(v), 0.1)) for v in np.ravel(buffer.detach().numpy()).astype(float).tolist()]
    return [np.array(column) for column in zip(*seen)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("make", [simple_cnn, residual_block], ids=lambda f: f.__name__)
def test_training_is_pytorchs(make, compiled, dtype, oracle):
    theirs, scale = oracle(
        lambda torch: train(make, torch, torch.from_numpy, "float64"), f"image trajectories/{make.__name__}"
    )
    ours, _ = train(make, rv, rv.from_numpy, dtype, compiled)
    worst = np.argmax(np.abs(ours - theirs) / scale)
    assert abs(ours[worst] - theirs[worst]) <= TOLERANCE[dtype] * scale[worst], (
        f"number {worst}: {ours[worst]}, not {theirs[worst]}"
    )
