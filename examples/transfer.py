"""Transfer: what a network learnt of one half of the classes helps with the other half, of which few labels are known.

    python examples/transfer.py                               drawn shapes with noise, which need no download
    python examples/transfer.py --data cifar-10-batches-bin --epochs 10

A network is trained on five classes and saved. Another one loads it, freezes the body, takes a new head, and learns
the other five classes from a few images each. A third one learns from these images alone, from scratch.
"""

import argparse
import os
import tempfile
import time

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from images224 import draw
from ranvier import nn, optim
from ranvier.data import DataLoader, TensorDataset, augment, read_cifar10
from ranvier.train import Trainer, metrics
from tqdm import tqdm


def load(folder):
    """Images (N, 3, H, W) of bytes and labels from 0 to 9, for training and for the test."""
    if folder:
        return *read_cifar10(folder), *read_cifar10(folder, train=False)
    rng = np.random.default_rng(0)
    return *draw(1500, 32, rng), *draw(500, 32, rng)


def convolution(channels, filters):
    return nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()


class Network(nn.Module):
    """A body, which finds 64 features of an image, and a head, which tells classes by them."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(
            *convolution(3, 16),
            nn.MaxPool2d(2),
            *convolution(16, 32),
            nn.MaxPool2d(2),
            *convolution(32, 64),
            *convolution(64, 64),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.body(x))


def train(model, x, y, epochs, options, name):
    """The losses and the milliseconds of a step. Frozen parameters cost no backward work."""
    optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=options.rate)

    @rv.compile
    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    loader = DataLoader(TensorDataset(x, y), options.batch, shuffle=True, generator=options.seed)
    losses, times = [], []
    for _ in tqdm(range(epochs), name, disable=None):
        for images, labels in loader:
            began = time.perf_counter()
            losses.append(step(images, labels).item())
            times.append(time.perf_counter() - began)
    return losses, np.median(times) * 1e3


def accuracy(model, x, y):
    return metrics.accuracy(Trainer(model, "cross_entropy").predict(x), y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CIFAR-10's files")
    parser.add_argument("--labels", type=int, default=5, help="images of each new class")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="FILE", help="where a picture of the losses goes")
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    options = parser.parse_args()

    x, y, x_test, y_test = load(options.data)
    x, x_test = augment.normalize(x), augment.normalize(x_test)
    known, known_test = y % 2 == 0, y_test % 2 == 0  # the classes with even numbers
    few = np.concatenate([np.flatnonzero(y == label)[: options.labels] for label in range(1, 10, 2)])

    rv.manual_seed(options.seed)
    first = Network(5)
    train(first, x[known], y[known] // 2, options.epochs, options, "five classes")
    right = accuracy(first, x_test[known_test], y_test[known_test] // 2)
    print(f"five classes, {known.sum()} images: accuracy {right:.2%}")

    model = Network(5)
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "five.safetensors")
        first.save(file)
        model.load(file)
    model.body.requires_grad_(False).eval()  # its statistics stay too
    model.head = nn.Linear(64, 5)
    scratch = Network(5)
    steps = 100
    losses, frozen = train(model, x[few], y[few] // 2, steps, options, "few labels")
    from_scratch, whole = train(scratch, x[few], y[few] // 2, steps, options, "from scratch")
    got, without = (accuracy(m, x_test[~known_test], y_test[~known_test] // 2) for m in (model, scratch))
    print(f"five others, {len(few)} images: accuracy {got:.2%}, from scratch {without:.2%}")
    print(f"a step of {len(few)} images takes {frozen:.2f} ms with a frozen body, {whole:.2f} ms from scratch")
    if options.plot:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(5, 3.6), layout="constrained").subplots()
        axes.plot(losses, label="frozen body, new head")
        axes.plot(from_scratch, label="from scratch")
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.legend()
        axes.figure.savefig(options.plot, dpi=150)
    if options.save:
        model.save(options.save)
    assert options.data or got > without  # of the drawn shapes that is sure


if __name__ == "__main__":
    main()
