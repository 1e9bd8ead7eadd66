"""Convolutional networks on small colour images: CIFAR-10, or the handwritten digits of scikit-learn.

    python examples/cifar10.py                                the digits, which need no download
    python examples/cifar10.py --data cifar-10-batches-bin    CIFAR-10, its binary or Python version

--model simple: 32 filters of 3x3, pooling, 64 neurons; --model residual: three stages of residual blocks, with random
crops and flips. --loop writes the training loop out, as for PyTorch.
"""

import argparse

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import nn, optim
from ranvier.data import augment, read_cifar10
from ranvier.train import Trainer, metrics


def load(folder):
    """Images (N, C, H, W) uint8 and labels, for training and for the test."""
    if folder:
        return *read_cifar10(folder), *read_cifar10(folder, train=False)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x * 15.9).astype(np.uint8).reshape(-1, 1, 8, 8)
    return x[:1500], y[:1500], x[1500:], y[1500:]


def scaled(x):
    """Bytes as numbers of mean 0.5 and deviation 0.5 taken off: -1 to 1."""
    return (x.astype(np.float32) / 255 - 0.5) / 0.5


def simple(channels, size):
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * (size // 2) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Block(nn.Module):
    """x + two convolutions of x, each normalised (He et al., 2015)."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.second = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        changed = stride > 1 or channels != filters
        self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False) if changed else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm1(self.first(x)))
        return F.relu(self.norm2(self.second(y)) + self.shortcut(x))


def residual(channels, size, width=16, blocks=3):
    stages = []
    for stage in range(3):
        for block in range(blocks):
            before = channels if stage == block == 0 else width * 2 ** (stage - (block == 0 and stage > 0))
            stages.append(Block(before, width * 2**stage, 2 if stage and block == 0 else 1))
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width * 4, 10))


def train_by_trainer(model, x, y, options):
    """One fit an epoch where the images change from epoch to epoch, else one for all."""
    optimizer = optim.Adam(model.parameters(), lr=options.rate)
    trainer = Trainer(model, "cross_entropy", optimizer, metrics=["accuracy"])
    if options.model == "simple":
        trainer.fit(scaled(x), y, epochs=options.epochs, batch_size=options.batch, seed=options.seed)
        return
    rng = np.random.default_rng(options.seed)
    rates = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs)
    for epoch in range(options.epochs):
        seen = augment.crop(augment.flip(x, rng), rng, max(1, x.shape[-1] // 8))
        trainer.fit(scaled(seen), y, epochs=1, batch_size=options.batch, seed=options.seed + epoch)
        rates.step()


def train_by_hand(model, x, y, options):
    optimizer = optim.Adam(model.parameters(), lr=options.rate)
    rng = np.random.default_rng(options.seed)

    @rv.compile
    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    for epoch in range(options.epochs):
        order = rng.permutation(len(x))
        losses = []
        for begin in range(0, len(x), options.batch):
            rows = order[begin : begin + options.batch]
            losses.append(step(rv.tensor(scaled(x[rows])), rv.tensor(y[rows])).item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CIFAR-10's files")
    parser.add_argument("--model", choices=("simple", "residual"), default="simple")
    parser.add_argument("--loop", action="store_true", help="the training loop written out")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    options = parser.parse_args()

    x, y, x_test, y_test = load(options.data)
    rv.manual_seed(options.seed)
    model = (simple if options.model == "simple" else residual)(x.shape[1], x.shape[2])
    print(f"{len(x)} images, {sum(p.numel() for p in model.parameters()):,} parameters")
    (train_by_hand if options.loop else train_by_trainer)(model, x, y, options)
    scores = Trainer(model, "cross_entropy").predict(scaled(x_test))
    print(f"test accuracy {metrics.accuracy(scores, y_test):.2%}")
    if options.save:
        model.save(options.save)


if __name__ == "__main__":
    main()
