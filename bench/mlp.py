"""The networks that are trained and asked for predictions, whoever does it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .runner import aligned


@dataclass(frozen=True)
class Mlp:
    """widths from input to output, hidden activation ("tanh" or "relu"), loss ("mse" or "cross_entropy"), rows a batch."""

    widths: tuple[int, ...]
    activation: str
    loss: str
    batch: int

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.widths))}, batch {self.batch}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = aligned(rng.standard_normal((self.batch, self.widths[0])).astype(np.float32))
        if self.loss == "mse":
            return x, rng.standard_normal((self.batch, self.widths[-1])).astype(np.float32)
        return x, rng.integers(0, self.widths[-1], self.batch)

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng(1)
        return [
            ((rng.uniform(-1, 1, (n, m)) / np.sqrt(m)).astype(np.float32), np.zeros(n, np.float32))
            for m, n in zip(self.widths, self.widths[1:])
        ]

    def flops(self) -> float:
        """Of forward, backward and Adam: 2, 4 (2 in the first layer) and about 12 for each weight."""
        products = [m * n for m, n in zip(self.widths, self.widths[1:])]
        return self.batch * (6 * sum(products) - 2 * products[0]) + 12 * sum(products)
