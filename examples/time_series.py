"""Forecasts with an LSTM and a GRU, against the forecast that tomorrow is like today.

    python examples/time_series.py                            a series drawn by this script
    python examples/time_series.py --data FILE                one number a line, or the last column of a CSV file

A window of the past is read, the next values are forecast together. The last fifth of the series is for the test.
"""

import argparse
from pathlib import Path

import numpy as np
import ranvier as rv
from ranvier import nn, optim
from ranvier.train import Trainer


def drawn(length, seed):
    """A day of 24 and a week of 168 hours, a trend, and noise that remembers."""
    rng = np.random.default_rng(seed)
    hour = np.arange(length)
    noise = np.zeros(length)
    for k in range(1, length):
        noise[k] = 0.8 * noise[k - 1] + 0.15 * rng.standard_normal()
    day, week = np.sin(2 * np.pi * hour / 24), np.sin(2 * np.pi * hour / 168 + 1)
    return day * (1 + 0.4 * week) + 0.5 * week + 0.0002 * hour + noise


def read(path):
    path = Path(path)
    if path.is_dir():
        path = sorted(path.glob("*.csv"))[0]
    values = []
    for line in path.read_text().splitlines():
        try:
            values.append(float(line.split(",")[-1]))
        except ValueError:
            continue  # a heading
    return np.array(values)


def windows(series, past, ahead):
    """Windows (N, past, 1) and what comes after them (N, ahead)."""
    both = np.lib.stride_tricks.sliding_window_view(series, past + ahead)
    return both[:, :past, None].astype(np.float32), both[:, past:].astype(np.float32)


class Forecast(nn.Module):
    """The state after the window says how the next values differ from its last one."""

    def __init__(self, kind, ahead, hidden):
        super().__init__()
        self.memory = getattr(nn, kind)(1, hidden, batch_first=True)
        self.top = nn.Linear(hidden, ahead)

    def forward(self, x):
        y, _ = self.memory(x)
        return x[:, -1] + self.top(y[:, -1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="PATH", help="a file of numbers, or a folder with a CSV file")
    parser.add_argument("--past", type=int, default=48)
    parser.add_argument("--ahead", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="FILE", help="where the LSTM goes")
    parser.add_argument("--plot", metavar="FILE", help="where a drawing of the losses goes")
    options = parser.parse_args()

    series = read(options.data) if options.data else drawn(4000, options.seed)
    cut = len(series) * 4 // 5
    mean, deviation = series[:cut].mean(), series[:cut].std()
    series = (series - mean) / deviation
    x, y = windows(series[:cut], options.past, options.ahead)
    x_test, y_test = windows(series[cut:], options.past, options.ahead)

    errors = {"persistence": np.mean((x_test[:, -1] - y_test) ** 2)}
    for kind in ("LSTM", "GRU"):
        rv.manual_seed(options.seed)
        model = Forecast(kind, options.ahead, options.hidden)
        trainer = Trainer(model, "mse", optim.Adam(model.parameters(), lr=3e-3))
        print(kind)
        history = trainer.fit(x, y, options.epochs, options.batch, validation_data=(x_test, y_test), seed=options.seed)
        errors[kind] = np.mean((trainer.predict(x_test) - y_test) ** 2)
        if kind == "LSTM":
            if options.save:
                model.save(options.save)
            if options.plot:
                history.plot(path=options.plot)
    for name, error in errors.items():
        print(f"{name:12} root mean square error {np.sqrt(error) * deviation:.3f}")
    if not options.data:
        assert max(errors["LSTM"], errors["GRU"]) < 0.6 * errors["persistence"]


if __name__ == "__main__":
    main()
