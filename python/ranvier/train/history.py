"""What a training run leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from .progress import is_number


class History(dict):
    """A list of numbers for each of "loss", "val_loss", the metrics and "lr", one entry an epoch.

    Attributes:
        epoch: numbers of the epochs, from 0. seconds: duration of the run. interrupted: ended by Ctrl-C.
        cost: what the run took, of fit(..., profile=True); else None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.interrupted = False
        self.cost: dict[str, Any] | None = None

    @property
    def history(self) -> History:
        """The lists themselves."""
        return self

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Note the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.setdefault(name, []).append(value)

    def state_dict(self, epochs: int | None = None) -> dict[str, Any]:
        """All of it, or the first `epochs`, as plain values."""
        numbers = {name: values[:epochs] for name, values in self.items()}
        return {"numbers": numbers, "epoch": self.epoch[:epochs], "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.clear()
        for name, values in state["numbers"].items():
            self[name] = [v if isinstance(v, (int, float)) else np.asarray(v) for v in values]
        self.epoch, self.seconds = list(state["epoch"]), state["seconds"]

    def plot(self, keys: Any = None, path: Any = None) -> Any:
        """Draw the lists over the epochs with matplotlib, one panel for each quantity and its `val_` twin.

        Args:
            keys: a name, or names, to draw; None takes all that are numbers but "lr".
            path: write the picture to this file; else a notebook shows it, and in a script `plt.show()` does.

        Returns the panel's Axes, or an array of them. Raises ImportError without matplotlib: `pip install ranvier[plot]`.
        """
        try:
            from matplotlib import pyplot
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("History.plot needs matplotlib: pip install ranvier[plot]") from None
        drawable = [k for k, values in self.items() if all(map(is_number, values))]
        names = [k for k in drawable if k != "lr"] if keys is None else [keys] if isinstance(keys, str) else list(keys)
        missing = [k for k in names if k not in drawable]
        if missing or not names:
            raise KeyError(f"History.plot: {missing or keys} must be among the numbers {', '.join(sorted(drawable))}")
        panels = list(dict.fromkeys(k.removeprefix("val_") for k in names))
        make = pyplot.figure if path is None else Figure
        figure = make(figsize=(5 * len(panels), 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            for name in (panel, f"val_{panel}"):
                if name in names:
                    ax.plot([e + 1 for e in self.epoch[: len(self[name])]], self[name], label=name)
            ax.set_xlabel("epoch")
            ax.set_title(panel)
            ax.legend()
            ax.grid(alpha=0.3)
        if path is not None:
            figure.savefig(path, dpi=150)
        return axes if len(axes) > 1 else axes[0]

    def __repr__(self) -> str:
        last = ", ".join(f"{k}={v[-1]:.4g}" for k, v in self.items() if v and is_number(v[-1]))
        return f"History({len(self.epoch)} epochs{', interrupted' if self.interrupted else ''}: {last})"
