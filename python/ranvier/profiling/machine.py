"""What the machine can do at best: measured once, in well under a second, and kept for the process."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import get_num_threads
from ..core.context import no_grad
from ..core.tensor import from_numpy

_BUDGET = 0.15, 0.06  # seconds for the product, and for each size of the arrays
_SIDE = 512  # of the matrices
_SIZES = 48 << 20, 1 << 17, 1 << 19, 1 << 21  # bytes of arrays: the first in memory, the others in some cache
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Machine:
    """Peaks as measured: of a product of large matrices, two operations a multiply-add, and of a scaling in place.

    Attributes:
        threads: of both measurements. flops: operations a second, of this dtype.
        memory_bandwidth, cache_bandwidth: bytes a second, of arrays that no cache holds, and of small ones.
        cache_bytes: size of the last cache; what works on less than that is held against the cache's bandwidth.
    """

    threads: int
    dtype: str
    flops: float
    memory_bandwidth: float
    cache_bandwidth: float
    cache_bytes: int

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second for what works on so many bytes again and again."""
        return self.cache_bandwidth if working_set <= self.cache_bytes else self.memory_bandwidth

    def seconds(self, cost: Any, nbytes: float, bandwidth: float) -> tuple[float, float]:
        """The least time for these operations, and for moving these bytes. Instructions besides multiply-adds do one
        operation where those do two.
        """
        others = max(cost.instructions - 2 * cost.macs, 0)
        return 2 * (cost.macs + others) / self.flops, nbytes / bandwidth


def machine(dtype: Any = "float32") -> Machine:
    """The peaks of this machine with the threads in use, measured at the first call."""
    return _measured(get_num_threads(), np.dtype(dtype).name)


@functools.cache
def _measured(threads: int, dtype: str) -> Machine:
    rng = np.random.default_rng(0)
    a = from_numpy(rng.standard_normal((_SIDE, _SIDE)).astype(dtype))
    with no_grad():
        products = 2 * _SIDE**3 / _fastest(lambda: a @ a, _BUDGET[0])
        arrays = [from_numpy(np.ones(n // np.dtype(dtype).itemsize, dtype)) for n in _SIZES]
        rates = [2 * x._data.nbytes / _fastest(functools.partial(x.mul_, 1.0), _BUDGET[1]) for x in arrays]
    return Machine(threads, dtype, products, rates[0], max(rates), last_cache())


def _fastest(run: Callable[[], Any], budget: float) -> float:
    """Seconds of the fastest of many runs."""
    run()
    best, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def last_cache(folder: Path = _CACHES) -> int:
    """Bytes of the largest cache, as the system tells; else 8 MiB."""
    sizes = [8 << 20]
    try:
        found = [(path / "size").read_text().strip() for path in sorted(folder.glob("index*"))]
        sizes = [int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20}[text[-1]] for text in found] or sizes
    except (OSError, ValueError, KeyError, IndexError):
        pass
    return max(sizes)
