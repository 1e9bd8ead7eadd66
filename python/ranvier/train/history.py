"""What a training run leaves behind."""

from __future__ import annotations

from typing import Any


class History(dict):
    """A list of numbers for each of "loss", "val_loss", the metrics and "lr", one entry an epoch.

    Attributes:
        epoch: numbers of the epochs, from 0. seconds: duration of the run. interrupted: ended by Ctrl-C.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.interrupted = False

    @property
    def history(self) -> History:
        """The lists themselves."""
        return self

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Note the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.setdefault(name, []).append(value)

    def plot(self, keys: Any = None, path: Any = None) -> Any:
        """Draw the lists over the epochs with matplotlib, one panel for each quantity and its `val_` twin.

        Args:
            keys: names to draw; None takes all but "lr".
            path: write the figure to this file.

        Returns the figure. Raises ImportError without matplotlib: `pip install ranvier[plot]`.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("History.plot needs matplotlib: pip install ranvier[plot]") from None
        names = list(keys) if keys is not None else [k for k in self if k != "lr"]
        missing = [k for k in names if k not in self]
        if missing or not names:
            raise KeyError(f"History.plot: {missing or keys} not found; there are {sorted(self)}")
        panels = list(dict.fromkeys(k.removeprefix("val_") for k in names))
        figure = Figure(figsize=(5 * len(panels), 3.6), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for name in (panel, f"val_{panel}"):
                if name in names:
                    axes.plot([e + 1 for e in self.epoch[: len(self[name])]], self[name], label=name)
            axes.set_xlabel("epoch")
            axes.set_title(panel)
            axes.legend()
            axes.grid(alpha=0.3)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.items() if v)
        return f"History({len(self.epoch)} epochs{', interrupted' if self.interrupted else ''}: {last})"
