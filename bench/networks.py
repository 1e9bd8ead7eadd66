"""Networks and their training steps, written once for both libraries: `lib` is ranvier or torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .runner import US


@dataclass(frozen=True)
class Network:
    """make(lib) -> a model; inputs() -> a batch and its targets; loss(lib, outputs, targets)."""

    name: str
    make: Callable[[Any], Any]
    inputs: Callable[[], tuple[np.ndarray, np.ndarray]]
    loss: Callable[[Any, Any, Any], Any] = lambda lib, out, y: lib.nn.functional.cross_entropy(out, y)


def simple_cnn(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 16 * 16, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


def residual(lib: Any, blocks: int = 3, widths: tuple[int, ...] = (16, 32, 64)) -> Any:
    """The network of 0.27 million parameters for small images of He et al., 2015, with projections as shortcuts."""
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self, before: int, width: int, stride: int):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
            )  # fmt: skip
            project = before != width or stride != 1
            self.shortcut = (
                nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
                if project
                else nn.Identity()
            )

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.body(x) + self.shortcut(x))

    layers = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for i, width in enumerate(widths):
        for k in range(blocks):
            first = i > 0 and k == 0
            layers.append(Block(widths[i - 1] if first else width, width, 2 if first else 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def separable(lib: Any) -> Any:
    """Depthwise 3x3 and 1x1 convolutions in turn, with batch norm."""
    nn = lib.nn
    layers, width = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()], 32
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2)):
        layers += [
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
        ]  # fmt: skip
        width = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def simple_cnn_224(lib: Any) -> Any:
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(4), nn.Flatten(), nn.Linear(32 * 14 * 14, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def images(batch: int, size: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    def make() -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        return random.standard_normal((batch, 3, size, size), np.float32), random.integers(0, 10, batch)

    return make


NETWORKS = [
    Network("SimpleCNN, batch 64", simple_cnn, images(64, 32)),
    Network("residual network, batch 64", residual, images(64, 32)),
]

# those whose speed matters beside their memory
IMAGES = [
    *NETWORKS,
    Network("depthwise-separable CNN, batch 32", separable, images(32, 32)),
    Network("SimpleCNN for 224 x 224, batch 16", simple_cnn_224, images(16, 224)),
]


def training_step(name: str, lib: Any, network: Network) -> Callable[[], Any]:
    """A step of Adam on one batch: with Ranvier and "torch.compile" compiled, else as it comes, Adam fused."""
    model = network.make(lib)
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3, **({} if name == US else {"fused": True}))
    x, y = (lib.tensor(a) for a in network.inputs())

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = network.loss(lib, model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if name == "torch.compile":
        model = lib.compile(model)
    run = lib.compile(step) if name == US else step
    return lambda: run(x, y)


def prediction(name: str, lib: Any, network: Network) -> Callable[[], Any]:
    """Of the first image: with Ranvier by a frozen plan."""
    model = network.make(lib).eval()
    x = lib.tensor(network.inputs()[0][:1])
    run = lib.compile(model, frozen=True) if name == US else model

    def predict() -> Any:
        with lib.no_grad():
            return run(x)

    return predict
