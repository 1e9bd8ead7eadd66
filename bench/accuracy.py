"""Test accuracy of the same training in both libraries, each seed from its own weights and order.

    python bench/accuracy.py cifar-10-batches-bin [--epochs 10] [--seeds 3] [--threads 1] [--only ranvier]

The network is `ranvier.models.simple_cnn`: 3-32 convolution 3x3, ReLU, pooling by 2, 64, 10; Adam with a rate of 1e-3,
batches of 64, bytes brought to -1 to 1. Needs CIFAR-10's files; PyTorch where it is to be compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
import ranvier as rv
from ranvier.data import augment, read_cifar10

BATCH = 64
Batches = Callable[[int], Iterator[tuple[np.ndarray, np.ndarray]]]


def by_ranvier(batches: Batches, test: np.ndarray, epochs: int, seed: int, threads: int) -> np.ndarray:
    """The scores of the test images."""
    rv.set_num_threads(threads)
    rv.manual_seed(seed)
    model = rv.models.simple_cnn()
    optimizer = rv.optim.Adam(model.parameters(), lr=1e-3)

    @rv.compile
    def step(x: rv.Tensor, y: rv.Tensor) -> rv.Tensor:
        optimizer.zero_grad()
        loss = rv.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for epoch in range(epochs):
        for x, y in batches(epoch):
            step(rv.from_numpy(x), rv.from_numpy(y))
    with rv.no_grad():
        return np.concatenate([model(rv.from_numpy(test[i : i + 1000])).numpy() for i in range(0, len(test), 1000)])


def by_torch(batches: Batches, test: np.ndarray, epochs: int, seed: int, threads: int) -> np.ndarray:
    """The scores of the test images."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8192, 64), nn.ReLU(), nn.Linear(64, 10)
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for epoch in range(epochs):
        for x, y in batches(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y)).backward()
            optimizer.step()
    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(test[i : i + 1000])).numpy() for i in range(0, len(test), 1000)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", help="of CIFAR-10's files")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("ranvier", "torch"))
    options = parser.parse_args()

    x, y = read_cifar10(options.folder)
    x_test, y_test = read_cifar10(options.folder, train=False)
    test = augment.normalize(x_test)
    for name, train in (("ranvier", by_ranvier), ("torch", by_torch)):
        if options.only not in (None, name):
            continue
        accuracies = []
        for seed in range(options.seeds):

            def batches(epoch: int, seed: int = seed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
                order = np.random.default_rng((seed, epoch)).permutation(len(x))
                for i in range(0, len(x), BATCH):
                    rows = order[i : i + BATCH]
                    yield augment.normalize(x[rows]), y[rows]

            began, used = time.perf_counter(), time.process_time()
            scores = train(batches, test, options.epochs, seed, options.threads)
            accuracies.append(float((scores.argmax(1) == y_test).mean()))
            print(
                f"{name} seed {seed}: {accuracies[-1]:.2%} in {time.perf_counter() - began:.0f} s, "
                f"{time.process_time() - used:.0f} s of processor time",
                flush=True,
            )
        spread = max(accuracies) - min(accuracies)
        print(f"{name}: mean {statistics.mean(accuracies):.2%}, spread {spread:.2%}", flush=True)


if __name__ == "__main__":
    main()
