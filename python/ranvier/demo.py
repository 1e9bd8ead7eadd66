"""The demonstration behind `ranvier demo`: scikit-learn's handwritten digits, and the same network in plain
NumPy.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

WIDTHS = (64, 128, 10)
BATCH = 32
LR = 1e-3


def digits(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """1797 digits of 8x8 pixels in [0, 1]: training images and labels, then a fifth of each class for the
    test.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
        from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError("the demo needs scikit-learn's digits: pip install ranvier[demo]") from None
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    return x_train, y_train, x_test, y_test


class NumpyMLP:
    """The same network, loss and Adam in plain NumPy, from the same initial weights on the same batches.

    Layers compute relu(x @ W.T + b); the loss is the mean cross-entropy of the last layer's scores.
    """

    def __init__(self, weights: list[np.ndarray], lr: float):
        self.params = [np.array(w) for w in weights]  # W, b, W, b, ...
        self.means = [np.zeros_like(p) for p in self.params]
        self.squares = [np.zeros_like(p) for p in self.params]
        self.lr, self.steps = lr, 0

    def scores(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scores (N, 10), and the input of each layer."""
        inputs = []
        layers = len(self.params) // 2
        for i in range(layers):
            inputs.append(x)
            x = x @ self.params[2 * i].T + self.params[2 * i + 1]
            if i < layers - 1:
                x = np.maximum(x, 0)
        return x, inputs

    def step(self, x: np.ndarray, y: np.ndarray) -> None:
        """One batch: forward, backward, Adam."""
        scores, inputs = self.scores(x)
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(y)), y] -= 1
        gradient = shares / len(y)
        grads: list[np.ndarray] = []
        for i in reversed(range(len(inputs))):
            grads[:0] = [gradient.T @ inputs[i], gradient.sum(0)]
            if i:
                gradient = (gradient @ self.params[2 * i]) * (inputs[i] > 0)
        self.steps += 1
        rate = self.lr / (1 - 0.9**self.steps)
        correction = 1 / np.sqrt(1 - 0.999**self.steps)
        for p, g, m, v in zip(self.params, grads, self.means, self.squares, strict=True):
            m += 0.1 * (g - m)
            v *= 0.999
            v += 0.001 * (g * g)
            p -= (rate * m / (np.sqrt(v) * correction + 1e-8)).astype(p.dtype)


def train_numpy(
    weights: list[np.ndarray], x: np.ndarray, y: np.ndarray, epochs: int, seed: int
) -> tuple[NumpyMLP, float]:
    """The trained network, and seconds."""
    model, order = NumpyMLP(weights, LR), np.random.default_rng(seed)
    rows = np.arange(len(x))
    began = time.perf_counter()
    for _ in range(epochs):
        shuffled = order.permutation(rows)
        for begin in range(0, len(x), BATCH):
            batch = shuffled[begin : begin + BATCH]
            model.step(x[batch], y[batch])
    return model, time.perf_counter() - began


def run(epochs: int = 60, seed: int = 0, folder: str = ".", verbose: int = 1) -> dict[str, Any]:
    """Train, compare, save the model and a plot of the losses; prints and returns what came out."""
    from . import nn
    from .random import manual_seed
    from .train import Trainer

    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder!r} is not a folder")
    x, y, x_test, y_test = digits()
    print(f"{len(x)} digits to learn from, {len(x_test)} to test on; network {'-'.join(map(str, WIDTHS))}")

    manual_seed(seed)
    layers: list[nn.Module] = []
    for wide, narrow in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    initial = [np.array(p.detach().numpy()) for p in model.parameters()]
    trainer = Trainer(model, "cross_entropy", "adam", ["accuracy"], lr=LR)
    history = trainer.fit(x, y, epochs, BATCH, seed=seed, verbose=verbose if verbose != 1 or _terminal() else 0)
    accuracy = trainer.evaluate(x_test, y_test)["accuracy"]

    epochs = len(history.epoch)  # fewer after Ctrl-C
    plain, seconds = train_numpy(initial, x, y, epochs, seed)
    plain_accuracy = float((plain.scores(x_test)[0].argmax(1) == y_test).mean())
    steps = epochs * -(-len(x) // BATCH)
    print(f"              seconds   us a step   test accuracy   ({epochs} epochs, {steps} steps)")
    for name, spent, share in (
        ("Ranvier", history.seconds, accuracy),
        ("plain NumPy", seconds, plain_accuracy),
    ):
        print(f"{name:12} {spent:8.2f} {spent / steps * 1e6:11.1f} {share:14.2%}")
    print(f"Ranvier is {seconds / history.seconds:.1f} times as fast")

    saved = os.path.join(folder, "ranvier-digits.safetensors")
    model.save(saved)
    print(f"model: {saved}")
    plot = os.path.join(folder, "ranvier-digits.png")
    try:
        history.plot(["loss", "accuracy"], plot)
        print(f"plot:  {plot}")
    except ImportError as error:
        print(f"no plot: {error}")
    return {
        "accuracy": accuracy, "seconds": history.seconds, "numpy_accuracy": plain_accuracy,
        "numpy_seconds": seconds, "history": history, "model": saved, "plot": plot,
    }  # fmt: skip


def _terminal() -> bool:
    import sys

    return sys.stderr.isatty()
