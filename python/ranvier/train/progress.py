"""Showing progress: a bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any


def _text(logs: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in logs.items())


class Progress:
    """Prints how a run goes.

    Args:
        epochs: number of epochs. verbose: 0 nothing, 1 a bar on a terminal, else lines, 2 always lines.
    """

    def __init__(self, epochs: int, verbose: int):
        self.epochs, self.verbose = epochs, verbose
        self._bar: Any = None
        self._drawn = 0.0
        self._began = time.perf_counter()
        if verbose == 1 and sys.stderr.isatty():
            try:
                from tqdm import tqdm  # type: ignore[import-untyped]
            except ImportError:
                return
            self._bar = tqdm(total=epochs, unit="epoch", mininterval=0.2, leave=True)

    def within_epoch(self, epoch: int, share: float, loss: float) -> None:
        """`share` of an epoch is done. Draws a few times a second at most."""
        now = time.perf_counter()
        if self._bar is None or now - self._drawn < 0.2:
            return
        self._drawn = now
        self._bar.n = round(epoch + share, 2)
        self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        self._bar.refresh()

    def after_epoch(self, epoch: int, logs: dict[str, float], seconds: float) -> None:
        """An epoch is complete."""
        if self._bar is not None:
            now = time.perf_counter()
            if now - self._drawn >= 0.2 or epoch + 1 == self.epochs:
                self._drawn = now
                self._bar.n = epoch + 1
                self._bar.set_postfix_str(_text(logs), refresh=True)
        elif self.verbose:
            print(f"epoch {epoch + 1}/{self.epochs}  {seconds:.2f}s  {_text(logs)}", flush=True)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
