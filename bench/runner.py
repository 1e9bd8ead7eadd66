"""Timing: contenders take turns, so that a busy machine slows all of them, and each gets the median of its turns."""
from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

US = "ranvier"


@dataclass
class Settings:
    """How long and on how many threads to measure."""

    threads: int = 1
    quick: bool = False
    quantile: float = 0.5

    @property
    def budget(self) -> float:
        """Seconds for one contender of one case."""
        return 0.08 if self.quick else 0.4


@dataclass
class Target:
    """What a result is held against: at most `limit` for our own value, or at least `limit` times better than `peer`."""

    limit: float
    peer: str | None = None

    def text(self) -> str:
        return f"<= {self.limit:g}" if self.peer is None else f">= {self.limit:g}x {self.peer}"


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
        """Each target and whether it is met; None where its peer is not installed."""
        result = []
        for t in self.targets:
            if t.peer is None:
                value = self.values.get(self.ours)
                met = None if value is None else (value >= t.limit if self.rate else value <= t.limit)
            else:
                peer = self.best_peer() if t.peer == "best peer" else t.peer
                factor = self.advantage(peer) if peer else None
                met = None if factor is None else factor >= t.limit
            result.append((t.text() if not (t.peer is None and self.rate) else f">= {t.limit:g}", met))
        return result

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "verdicts": self.verdicts()}


Contender = Callable[[int], Any]  # runs its work so many times


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
    while timed(run, count) * count < 1e-3 and count < 1 << 16:
        count *= 2
    return max(min(timed(run, count) for _ in range(4)), 1e-8)


def race(contenders: dict[str, Contender], settings: Settings) -> dict[str, float]:
    """Seconds for one execution of each contender's work: the median over turns of a few milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    block: dict[str, int] = {}
    for name, run in contenders.items():
        run(2)
        block[name] = max(1, int(3e-3 / least(run)))  # long enough for the clock and the caches, short enough to take turns
    names = list(contenders)
    ends = time.perf_counter() + settings.budget * len(names)
    turn = 0
    while turn < 5 or time.perf_counter() < ends and turn < 400:
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            times[name].append(timed(contenders[name], block[name]))
        turn += 1
    return {name: quantile(values, settings.quantile) for name, values in times.items()}


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return median(ordered) if q == 0.5 else ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def environment() -> dict[str, Any]:
    """The machine and the versions that were measured."""
    import numpy as np
    import ranvier as rv

    versions: dict[str, str] = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("torch", "jax", "sklearn"):
        try:
            versions[name] = __import__(name).__version__
        except ImportError:
            continue
    return {"machine": platform.machine(), "cpu": cpu_name(), "versions": versions, "ranvier": rv.config.config()}


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as f:
            return next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def table(rows: list[Row]) -> str:
    """The rows as text, one table a group."""
    lines: list[str] = []
    for group in dict.fromkeys(r.group for r in rows):
        chosen = [r for r in rows if r.group == group]
        names = list(dict.fromkeys(n for r in chosen for n in r.values))
        head = ["case", "threads", "unit", *names, "to best peer", "% of peak", "target"]
        body = []
        for r in chosen:
            peer = r.best_peer()
            factor = r.advantage(peer) if peer else None
            marks = {True: "met", False: "MISSED", None: "?"}
            body.append([
                r.case, str(r.threads), r.unit, *(number(r.values.get(n)) for n in names),
                f"{factor:.2f}x" if factor else "", f"{r.peak_percent:.0f}%" if r.peak_percent else "",
                "; ".join(f"{text} {marks[met]}" for text, met in r.verdicts()),
            ])  # fmt: skip
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
        lines += ["", group]
        for row in [head, *body]:
            lines.append("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))))
    return "\n".join(lines).strip("\n")


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
