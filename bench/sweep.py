"""Matrix products of 200 random shapes: none may be much slower than the best of NumPy and PyTorch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .peak import Peak
from .products import contenders, operands
from .runner import US, Row, Settings, Target, race

LOWEST, SUSPICIOUS = 0.9, 0.95


def shapes(count: int = 200, seed: int = 7) -> list[tuple[int, int, int]]:
    """(m, k, n), each from 1 to 3000, log-uniform."""
    rng = np.random.default_rng(seed)
    return [tuple(int(round(np.exp(v))) for v in rng.uniform(0, np.log(3000), 3)) for _ in range(count)]  # type: ignore[misc]


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    for dtype in settings.dtypes:
        group, ratios = f"sweep of random products, {dtype}", []
        slow = []
        for m, k, n in shapes(20 if settings.quick else 200):
            seconds = compare(m, k, n, dtype, settings, 0.04)
            if ratio(seconds) < SUSPICIOUS:  # once more, thoroughly, before it counts as slow
                seconds = compare(m, k, n, dtype, settings, 0.5)
            ratios.append(ratio(seconds))
            if ratios[-1] < SUSPICIOUS:
                slow.append(Row(group, f"({m}, {k}) @ ({k}, {n}) {dtype}", "us", {name: s * 1e6 for name, s in seconds.items()},
                                peak_percent=100 * 2 * m * k * n / seconds[US] / peak.of(dtype), targets=[Target(LOWEST, "best peer")],
                                command=f"python -m bench lab matmul {m}x{k}x{n} --dtype {dtype} --threads {settings.threads}"))  # fmt: skip
        rows += sorted(slow, key=lambda r: r.advantage(r.best_peer() or "") or 0)
        few = sum(r < LOWEST for r in ratios)
        rows.append(
            Row(
                group,
                f"{len(ratios)} shapes: below {LOWEST} of the best peer",
                "shapes",
                {US: few},
                targets=[Target(0)],
            )
        )
        for what, q in (("lowest", 0.0), ("lower quartile of", 0.25), ("median", 0.5)):
            rows.append(
                Row(
                    group,
                    f"{len(ratios)} shapes: {what} ratio to the best peer",
                    "",
                    {US: float(np.quantile(ratios, q))},
                )
            )
    return rows


def compare(m: int, k: int, n: int, dtype: str, settings: Settings, budget: float) -> dict[str, float]:
    work = contenders(*operands(m, k, n, dtype), "", settings, with_jax=False)
    return race(work, replace(settings, seconds=budget))


def ratio(seconds: dict[str, float]) -> float:
    return min(s for name, s in seconds.items() if name != US) / seconds[US]
