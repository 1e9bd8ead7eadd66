"""Convolutional networks on small colour images: CIFAR-10, or the handwritten digits of scikit-learn.

    python examples/cifar10.py                                the digits, which need no download
    python examples/cifar10.py --data cifar-10-batches-bin    CIFAR-10, its binary or Python version

--model simple: 32 filters of 3x3, pooling, 64 neurons, Adam; --model residual: three stages of residual blocks, with
random crops and flips, and a rate that falls along a cosine. --loop writes the training loop out, as for PyTorch.
--plot FILE draws the losses (pip install ranvier[plot]), --save FILE keeps the model, as safetensors.
"""

import argparse
import time
from functools import partial

import numpy as np
import ranvier as rv
import ranvier.nn.functional as F
from ranvier import models, nn, optim
from ranvier.data import DataLoader, augment, read_cifar10
from ranvier.train import Trainer, metrics
from tqdm import tqdm


def load(folder):
    """Images (N, C, H, W) uint8 and labels, for training and for the test."""
    if folder:
        return *read_cifar10(folder), *read_cifar10(folder, train=False)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x * 15.9).astype(np.uint8).reshape(-1, 1, 8, 8)
    return x[:1500], y[:1500], x[1500:], y[1500:]


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


def residual(channels, width=16, blocks=3):
    """0.27 M parameters: stages of 16, 32 and 64 channels."""
    stages = []
    for stage in range(3):
        for block in range(blocks):
            before = channels if stage == block == 0 else width * 2 ** (stage - (block == 0 and stage > 0))
            stages.append(Block(before, width * 2**stage, 2 if stage and block == 0 else 1))
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width * 4, 10))


def batches(x, y, options):
    """A loader of shuffled batches; the residual network sees crops and flips, others in each epoch."""
    change = augment.normalize  # to mean 0.5 and deviation 0.5: numbers from -1 to 1
    if options.model == "residual":
        moved = partial(augment.crop, padding=max(1, x.shape[-1] // 8))
        change = augment.Compose(augment.flip, moved, augment.normalize)
    rows = augment.Augmented((x, y), change, options.seed)
    return DataLoader(rows, options.batch, shuffle=True, generator=options.seed)


def schedule(optimizer, options):
    flat = options.model == "simple"
    return optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs, eta_min=options.rate if flat else 0.0)


def train_by_trainer(model, loader, options):
    optimizer = optim.Adam(model.parameters(), lr=options.rate)
    trainer = Trainer(model, "cross_entropy", optimizer, metrics=["accuracy"])
    return trainer.fit(loader, epochs=options.epochs, scheduler=schedule(optimizer, options))["loss"]


def train_by_hand(model, loader, options):
    optimizer = optim.Adam(model.parameters(), lr=options.rate)
    scheduler = schedule(optimizer, options)

    @rv.compile
    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    means = []
    for epoch in range(options.epochs):
        bar = tqdm(loader, f"epoch {epoch + 1}/{options.epochs}", disable=None)
        losses = [step(images, labels).item() for images, labels in bar]
        scheduler.step()
        means.append(np.mean(losses))
        print(f"epoch {epoch + 1}/{options.epochs}  loss {means[-1]:.4g}")
    return means


def draw(losses, file):
    from matplotlib.figure import Figure

    axes = Figure(figsize=(5, 3.6), layout="constrained").subplots()
    axes.plot(range(1, len(losses) + 1), losses)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.figure.savefig(file, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of CIFAR-10's files")
    parser.add_argument("--model", choices=("simple", "residual"), default="simple")
    parser.add_argument("--loop", action="store_true", help="the training loop written out")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="FILE", help="where a picture of the losses goes")
    parser.add_argument("--save", metavar="FILE", help="where the model goes")
    options = parser.parse_args()

    x, y, x_test, y_test = load(options.data)
    rv.manual_seed(options.seed)
    channels, size = x.shape[1:3]
    model = models.simple_cnn(10, channels, size) if options.model == "simple" else residual(channels)
    print(f"{len(x)} images, {sum(p.numel() for p in model.parameters()):,} parameters")
    began = time.perf_counter()
    losses = (train_by_hand if options.loop else train_by_trainer)(model, batches(x, y, options), options)
    print(f"trained for {time.perf_counter() - began:.1f} s")
    scores = Trainer(model, "cross_entropy").predict(augment.normalize(x_test))
    print(f"test accuracy {metrics.accuracy(scores, y_test):.2%}")
    if options.plot:
        draw(losses, options.plot)
    if options.save:
        model.save(options.save)


if __name__ == "__main__":
    main()
