"""One network of digits, made cheaper in four ways: pruned by half, in 8 bits, distilled, of low rank. A table of all.

python examples/compress.py [--epochs 6]
"""

from __future__ import annotations

import argparse

import ranvier as rv
from ranvier import nn
from ranvier.demo import digits


def network(width: int = 32, hidden: int = 256) -> nn.Module:
    """Two convolutions and two linear layers on images of 8x8."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2 * width * 16, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


def train(model: nn.Module, data: tuple, epochs: int, lr: float = 2e-3) -> nn.Module:
    trainer = rv.train.Trainer(model, "cross_entropy", "adam", lr=lr)
    trainer.fit(*data, epochs=epochs, batch_size=64, seed=0, verbose=0)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=6)
    epochs = parser.parse_args().epochs
    x, y, x_test, y_test = digits()
    x, x_test = x.reshape(-1, 1, 8, 8), x_test.reshape(-1, 1, 8, 8)
    rv.manual_seed(0)
    model = train(network(), (x, y), epochs)

    pruned = rv.compress.prune(model, 0.5, x[:2], importance="taylor", data=(x[:512], y[:512]))
    train(pruned, (x, y), max(1, epochs // 2), lr=1e-3)

    quantized = rv.compress.quantize(model, x[:512])
    small = rv.compress.quantize(pruned, x[:512])

    factored = rv.compress.low_rank(model, error=0.5)
    train(factored, (x, y), max(1, epochs // 3), lr=5e-4)

    student = network(4, 16)
    trainer = rv.compress.DistillationTrainer(student, model, lr=4e-3, temperature=3.0, alpha=0.7)
    trainer.fit(x, y, epochs=2 * epochs, batch_size=64, seed=0, verbose=0)

    models = {
        "pruned by half": pruned, "int8": quantized, "pruned, int8": small, "low rank": factored, "student": student.eval(),
    }  # fmt: skip
    print(rv.compress.report(model, models, (x_test, y_test)))


if __name__ == "__main__":
    main()
