"""Whether the machine was quiet while it was measured."""

from __future__ import annotations

import os
import time

import numpy as np

from .runner import quantile, timed

SPREAD, OTHERS, STOLEN = 1.1, 0.1, 0.02  # of a quiet machine, at most


def processors() -> tuple[float, float]:
    """Seconds that our processors have worked, and that a hypervisor took from them; zeros where nobody counts them."""
    try:
        with open("/proc/stat") as f:
            counts = dict(line.split(None, 1) for line in f if line.startswith("cpu"))
        ours = [[int(v) for v in counts[f"cpu{i}"].split()] for i in os.sched_getaffinity(0)]
    except (OSError, KeyError, AttributeError):
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    return sum(sum(c[:3]) + sum(c[5:7]) for c in ours) / tick, sum(c[7] for c in ours) / tick


class Watch:
    """Repeats a fixed product when it is made and when it is asked, and counts what others do in between."""

    def __init__(self) -> None:
        import ranvier as rv

        x = rv.from_numpy(np.ones((256, 256), np.float32))
        self._run = lambda times: [x @ x for _ in range(times)]
        self._started, self._before, self._own = time.perf_counter(), processors(), sum(os.times()[:4])
        self._times = self._probe()

    def _probe(self) -> list[float]:
        self._run(8)
        return [timed(self._run, 4) for _ in range(40)]

    def reasons(self) -> str:
        """Why the machine is not quiet; empty where it is."""
        times = self._times + self._probe()
        seconds = time.perf_counter() - self._started
        worked, stolen = (now - before for now, before in zip(processors(), self._before))
        others = worked - (sum(os.times()[:4]) - self._own)
        return verdict(quantile(times, 0.9) / quantile(times, 0.1), others / seconds, stolen / seconds)


def verdict(spread: float, others: float, stolen: float) -> str:
    """`spread`: of the times of one piece of work; processors that others use, and that the hypervisor takes."""
    found = [
        (spread > SPREAD, f"times of one product differ by {spread:.2f}x"),
        (others > OTHERS, f"others use {others:.1f} of our processors"),
        (stolen > STOLEN, f"the hypervisor takes {stolen:.2f} processors"),
    ]
    return ", ".join(text for wrong, text in found if wrong)
