"""Images without labels: an encoder learns which two views show the same image, and then needs few labels.

    python examples/contrastive.py                    digits of 8x8 pixels
    python examples/contrastive.py --data images.npz  arrays x (N, H, W) or (N, C, H, W), and y (N)

NT-Xent: Chen, Kornblith, Norouzi and Hinton, 2020. Needs scikit-learn for the digits: pip install ranvier[demo]
"""

import argparse

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.train import Trainer, metrics
from tqdm import tqdm


def load(path):
    """Images (N, C, H, W) from 0 to 1, and their classes."""
    if path is None:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x = x.reshape(-1, 8, 8)
    else:
        with np.load(path) as file:
            x, y = file["x"], file["y"]
    x = x[:, None] if x.ndim == 3 else x
    return (x / x.max()).astype(np.float32), y.astype(np.int64)


def view(x, rng):
    """Each image moved by a pixel or none along each axis, of other contrast, a part hidden, with noise."""
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    down, right = (rng.integers(0, 3, n)[:, None] + np.arange(size) for size in (height, width))
    x = padded[np.arange(n)[:, None, None], :, down[:, :, None], right[:, None, :]].transpose(0, 3, 1, 2)
    x = x * rng.uniform(0.6, 1.4, (n, 1, 1, 1))
    size = height // 4
    top, left = rng.integers(0, height - size, (n, 1)), rng.integers(0, width - size, (n, 1))
    rows, columns = np.arange(height), np.arange(width)
    hidden = ((rows >= top) & (rows < top + size))[:, :, None] & ((columns >= left) & (columns < left + size))[:, None]
    return (np.where(hidden[:, None], 0, x) + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)


def encoder(channels, width):
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, width), nn.ReLU(),
    )  # fmt: skip


def probe(x, y, x_test, y_test, labels, seed):
    """Test accuracy of a linear layer on `labels` of each class."""
    rows = np.concatenate([np.flatnonzero(y == k)[:labels] for k in np.unique(y)])
    mean, deviation = x[rows].mean(0), x[rows].std(0) + 1e-3
    x, x_test = (x[rows] - mean) / deviation, (x_test - mean) / deviation
    rv.manual_seed(seed)
    layer = nn.Linear(x.shape[1], int(y.max()) + 1)
    trainer = Trainer(layer, "cross_entropy", optim.AdamW(layer.parameters(), lr=0.01, weight_decay=0.1))
    trainer.fit(x, y[rows], epochs=100, batch_size=32, seed=seed, verbose=0)
    return metrics.accuracy(trainer.predict(x_test), y_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an .npz file with x and y")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--labels", type=int, default=5, help="labels of each class that the probes see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", help="file for a plot of the loss")
    parser.add_argument("--save", help="file for the encoder's weights")
    options = parser.parse_args()

    x, y = load(options.data)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    rv.manual_seed(options.seed)
    model = encoder(x.shape[1], 128)
    head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 32))  # for the pretraining alone
    optimizer = optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3)
    loss = nn.InfoNCELoss(temperature=0.2)

    @rv.compile
    def step(a, b):
        optimizer.zero_grad()
        value = loss(head(model(a)), head(model(b)))
        value.backward()
        optimizer.step()
        return value

    losses = []
    for _ in (bar := tqdm(range(options.epochs))):
        batches = rng.permutation(train)[: len(train) // 256 * 256].reshape(-1, 256)
        losses.append(np.mean([step(rv.tensor(view(x[b], rng)), rv.tensor(view(x[b], rng))).item() for b in batches]))
        bar.set_description(f"loss {losses[-1]:.3f}")

    seen = [Trainer(model, "cross_entropy").predict(x[rows]) for rows in (train, test)]
    raw = [x[rows].reshape(len(rows), -1) for rows in (train, test)]
    scores = [probe(a, y[train], b, y[test], options.labels, options.seed) for a, b in (raw, seen)]
    print(f"linear probe on {options.labels} labels a class: raw pixels {scores[0]:.2%}, encoder {scores[1]:.2%}")
    if options.plot:
        import matplotlib.pyplot as plt

        plt.plot(losses)
        plt.xlabel("epoch")
        plt.ylabel("NT-Xent")
        plt.savefig(options.plot)
    if options.save:
        model.save(options.save)
    if options.data is None:
        assert scores[1] > scores[0]


if __name__ == "__main__":
    main()
