"""Timing: contenders take turns, so that a busy machine slows all of them, and each gets the median of its turns.

Every turn begins alike. Worker threads of the libraries spin for a while after their last work, on the processors that
the next contender needs: two of OpenBLAS for 100 ms (6 with the timeout that peers.py sets), libgomp's for 9, our own for
0.05. So with several threads each turn waits until they sleep, and then runs the contender once, untimed: its caches are
warm and its own workers awake.
"""

from __future__ import annotations

import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from statistics import median
from typing import Any

import numpy as np

US = "ranvier"
SETTLE = 0.015  # seconds until no library's workers spin any more


@dataclass
class Settings:
    """What to measure, how long and on how many threads."""

    threads: int = 1
    quick: bool = False
    quantile: float = 0.5
    only: str = ""  # cases whose name contains it
    dtypes: tuple[str, ...] = ("float32", "float64")
    words: tuple[str, ...] = ()  # the laboratory's: an op, cases, attributes
    isa: str = ""  # the instruction set that this process is held to
    without: tuple[str, ...] = ()  # peers that are left out
    seconds: float | None = None  # for one contender of one case, if it shall not be `budget`'s choice

    def wants(self, *cases: str) -> bool:
        return any(self.only in case for case in cases)

    @property
    def budget(self) -> float:
        """Seconds for one contender of one case."""
        return self.seconds if self.seconds is not None else 0.08 if self.quick else 0.4


@dataclass
class Target:
    """What a result is held against: at most `limit` for our own value (at least, for a rate), at least `limit` times
    better than `peer` (a contender, or "best peer"), or at least `limit` percent of the machine's "peak"."""

    limit: float
    peer: str | None = None

    def text(self, rate: bool = False) -> str:
        if self.peer is None:
            return f"{'>=' if rate else '<='} {self.limit:g}"
        return f">= {self.limit:g}% of peak" if self.peer == "peak" else f">= {self.limit:.3g}x {self.peer}"


@dataclass
class Row:
    """One line of the table; smaller values are better unless `rate`."""

    group: str
    case: str
    unit: str
    values: dict[str, float]
    rate: bool = False
    peak_percent: float | None = None
    targets: list[Target] = field(default_factory=list)
    threads: int = 1
    ours: str = US  # the contender that the ratios are about
    command: str = ""  # that measures this row alone
    suite: str = ""

    def advantage(self, peer: str) -> float | None:
        """How many times better ours is than `peer`."""
        if peer not in self.values or self.ours not in self.values:
            return None
        a, b = self.values[self.ours], self.values[peer]
        return a / b if self.rate else b / a

    def best_peer(self) -> str | None:
        peers = {k: v for k, v in self.values.items() if not k.startswith(US)}
        return (max if self.rate else min)(peers, key=peers.__getitem__) if peers else None

    def verdicts(self) -> list[tuple[str, bool | None]]:
        """Each target and whether it is met; None where what it compares with was not measured."""
        return [(t.text(self.rate), self.meets(t)) for t in self.targets]

    def meets(self, target: Target) -> bool | None:
        if target.peer is None:
            value = self.values.get(self.ours)
            return None if value is None else (value >= target.limit if self.rate else value <= target.limit)
        if target.peer == "peak":
            return None if self.peak_percent is None else self.peak_percent >= target.limit
        peer = self.best_peer() if target.peer == "best peer" else target.peer
        factor = self.advantage(peer) if peer else None
        return None if factor is None else factor >= target.limit

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "verdicts": self.verdicts()}


Contender = Callable[[int], Any]  # runs its work so many times


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a cache line, as memory of the libraries' own does: NumPy's begins 16 bytes behind one."""
    from ranvier.core.memory import aligned_empty

    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def repeat(work: Callable[[], Any]) -> Contender:
    """A contender from a function that does the work once."""

    def run(times: int) -> None:
        for _ in range(times):
            work()

    return run


def timed(run: Contender, count: int) -> float:
    started = time.perf_counter()
    run(count)
    return (time.perf_counter() - started) / count


def least(run: Contender) -> float:
    """About how long one execution takes when nothing comes between."""
    count = 1
    while (taken := timed(run, count)) * count < 1e-3 and count < 1 << 16:
        count *= 2
    return max(min([taken, *(timed(run, count) for _ in range(4 if taken < 0.05 else 0))]), 1e-8)


def start(run: Contender, settings: Settings) -> None:
    """The same clean start for every turn."""
    if settings.threads > 1:
        time.sleep(SETTLE)
    run(1)


def race(contenders: dict[str, Contender], settings: Settings) -> dict[str, float]:
    """Seconds for one execution of each contender's work: the median over turns of a few milliseconds."""
    contenders = {name: run for name, run in contenders.items() if name.split(", ")[0] not in settings.without}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    cost: dict[str, float] = {}
    for name, run in contenders.items():
        run(1)
        start(run, settings)
        cost[name] = least(run)
    block = {
        name: max(1, int(3e-3 / s)) for name, s in cost.items()
    }  # long enough for clock and caches, short enough for turns
    hopeless = {name for name, s in cost.items() if s > 20 * min(cost.values())}
    names = list(contenders)
    ends = time.perf_counter() + settings.budget * len(names)
    turn = 0
    while turn < 5 or time.perf_counter() < ends and turn < 400:
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            if turn > 1 and name in hopeless:  # how slow exactly does not matter
                continue
            start(contenders[name], settings)
            times[name].append(timed(contenders[name], block[name]))
        turn += 1
    return {name: quantile(values, settings.quantile) for name, values in times.items()}


def merge(seconds: dict[str, float]) -> dict[str, float]:
    """The best of the contenders "name, this way" and "name, that way", as "name"."""
    result: dict[str, float] = {}
    for name, value in seconds.items():
        short = name.split(", ")[0]
        result[short] = min(value, result.get(short, value))
    return result


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return median(ordered) if q == 0.5 else ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def environment() -> dict[str, Any]:
    """The machine and the versions that were measured."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for module, name in {
        "torch": "torch",
        "jax": "jax",
        "sklearn": "scikit-learn",
        "onnxruntime": "onnxruntime",
    }.items():
        if module in sys.modules and sys.modules[module] is not None:  # it has taken part
            versions[name] = metadata.version(name)
    if found := openblas():
        versions["numpy"] += f" ({found})"
    return {"cpu": cpu_name(), "isa": isa(), "versions": versions}


def openblas() -> str:
    """Which OpenBLAS NumPy's products run on, and its kernels, which it chooses by the processor."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    found = [x for x in threadpool_info() if x["internal_api"] == "openblas"]
    mine = max(found, key=lambda x: "numpy" in x["filepath"], default=None)  # SciPy brings another
    return f"OpenBLAS {mine['version']} {mine['architecture']}" if mine else ""


def isa() -> str:
    """What Ranvier's kernels are compiled for, and the units for bf16 that they use."""
    import ranvier as rv

    config = rv.config.config()
    return " ".join([config.get("isa", "NumPy"), *(u for u in ("amx", "avx512_bf16") if config.get(u) == "used")])


def cpu_name() -> str:
    """Name, family and model: one name may stand for several."""
    try:
        with open("/proc/cpuinfo") as f:
            first = dict(
                re.split(r"\s*:\s*", line.strip(), maxsplit=1) for line in f.read().split("\n\n")[0].splitlines()
            )
        return f"{first['model name']} (family {first['cpu family']}, model {first['model']})"
    except (OSError, KeyError, ValueError):
        return platform.processor() or platform.machine()
