"""Showing progress: a bar on a terminal or in a notebook, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

_TEXT = "{desc} |{bar:24}| {elapsed}<{remaining}{postfix}"  # one width, whatever stands beside the bar
_WIDGET = "{desc}{bar}{elapsed}<{remaining}{postfix}"


def show(logs: dict[str, Any]) -> str:
    """Numbers as a text; tables, such as a confusion matrix, are left out."""
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items() if is_number(value))


def is_number(value: Any) -> bool:
    """Whether a metric is one number."""
    return getattr(value, "ndim", 0) == 0 and hasattr(value, "__float__")


def _in_notebook() -> bool:
    """Whether output goes to a notebook's cell."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get() if get else None
    return shell is not None and hasattr(shell, "kernel")


class Progress:
    """Prints how a run goes.

    Args:
        epochs: number of epochs. verbose: 0 nothing, 1 a bar on a terminal or in a notebook, else lines, 2 always lines.
        begin: epochs that are done already.
    """

    def __init__(self, epochs: int, verbose: int, begin: int = 0):
        self.epochs, self.verbose = epochs, verbose
        self._bar: Any = None
        self._drawn = 0.0
        notebook = verbose == 1 and _in_notebook()
        if notebook or verbose == 1 and sys.stderr.isatty():
            try:
                from tqdm.auto import tqdm  # type: ignore[import-untyped]
            except ImportError:
                return
            widget = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
            form = _WIDGET if widget else _TEXT
            self._bar = tqdm(
                total=epochs, initial=begin, mininterval=0.2, leave=True, bar_format=form, desc=self._epoch(begin)
            )

    def _epoch(self, number: int) -> str:
        return f"epoch {number}/{self.epochs}"

    def _draw(self, epoch: int, done: float, text: str) -> None:
        self._drawn = time.perf_counter()
        self._bar.n = done
        self._bar.set_description_str(self._epoch(epoch), refresh=False)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.refresh()

    def within_epoch(self, epoch: int, share: float, loss: float) -> None:
        """`share` of an epoch is done. Draws a few times a second at most."""
        if self._bar is not None and time.perf_counter() - self._drawn >= 0.2:
            self._draw(epoch + 1, epoch + share, f"loss {loss:.4g}")

    def after_epoch(self, epoch: int, logs: dict[str, Any], seconds: float) -> None:
        """An epoch is complete."""
        if self._bar is not None:
            if time.perf_counter() - self._drawn >= 0.2 or epoch + 1 == self.epochs:
                self._draw(epoch + 1, epoch + 1, show(logs))
        elif self.verbose:
            print(f"{self._epoch(epoch + 1)}  {seconds:.2f}s  {show(logs)}", flush=True)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
