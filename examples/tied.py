"""One network seen twice: a siamese encoder says whether two images show the same digit.

    python examples/tied.py                    digits of 8x8 pixels
    python examples/tied.py --data images.npz  arrays x (N, H, W), and y (N)

Hadsell, Chopra and LeCun, 2006. Needs scikit-learn for the digits: pip install ranvier[demo]
"""

import argparse

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.train import Trainer


def load(path):
    """Images as rows from 0 to 1, and their classes."""
    if path is None:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
    else:
        with np.load(path) as file:
            x, y = file["x"], file["y"]
    return (x.reshape(len(x), -1) / x.max()).astype(np.float32), y.astype(np.int64)


def pairs(x, y, count, rng):
    """`count` pairs (count, 2, D), half of them of one class, and 1 for those."""
    first = rng.integers(0, len(x), count)
    second, same = rng.integers(0, len(x), count), np.arange(count) % 2
    for k in np.flatnonzero(same):
        second[k] = rng.choice(np.flatnonzero(y == y[first[k]]))
    alike = (y[first] == y[second]).astype(np.float32)
    return np.stack([x[first], x[second]], 1), alike[:, None]


class Siamese(nn.Module):
    """A score of how alike two images are: by how much what one encoder makes of each is nearer than a threshold."""

    def __init__(self, inputs):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 32))
        self.threshold = nn.Parameter(rv.tensor(1.0))
        self.sharpness = nn.Parameter(rv.tensor(3.0))

    def forward(self, x):
        a, b = self.encoder(x[:, 0]), self.encoder(x[:, 1])
        return self.sharpness * (self.threshold - nn.functional.pairwise_distance(a, b, keepdim=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an .npz file with x and y")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", help="file for a plot of the training")
    parser.add_argument("--save", help="file for the weights")
    options = parser.parse_args()

    x, y = load(options.data)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(x))
    test, train = order[: len(x) // 5], order[len(x) // 5 :]
    rv.manual_seed(options.seed)
    model = Siamese(x.shape[1])
    trainer = Trainer(model, "bce_with_logits", optim.Adam(model.parameters(), lr=3e-3), metrics=["accuracy"])
    held_out = pairs(x[test], y[test], 2000, rng)  # of images that training never sees
    history = trainer.fit(
        *pairs(x[train], y[train], 8000, rng), options.epochs, 64, validation_data=held_out, seed=options.seed
    )
    accuracy = np.mean((trainer.predict(held_out[0]) > 0) == held_out[1])
    chance = max(held_out[1].mean(), 1 - held_out[1].mean())
    print(
        f"pairs told apart {accuracy:.2%}, chance {chance:.2%}; {sum(p.numel() for p in model.parameters())} parameters"
    )
    if options.plot:
        history.plot(path=options.plot)
    if options.save:
        model.save(options.save)
    if options.data is None:
        assert accuracy > 0.9


if __name__ == "__main__":
    main()
