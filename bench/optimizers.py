"""An optimizer's step over many parameters, in bytes a second: four arrays are read and three of them written."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import native
from .peak import STREAMS, Peak
from .peers import torch_or_none
from .runner import US, Contender, Row, Settings, Target, race, repeat

MOVED = 28  # bytes for each float32 parameter: p, g and two averages are read, all but g are written


def measure(settings: Settings, peak: Peak) -> list[Row]:
    import ranvier as rv
    from ranvier import nn, optim

    n = 1_000_000 if settings.quick else 10_000_000
    case = f"Adam, {n // 1_000_000} M parameters"
    if not settings.wants(case):
        return []
    work = {US: adam(optim.Adam, nn.Parameter, rv.tensor, n)}
    torch = torch_or_none(settings)
    if torch is not None:
        work["torch"] = adam(torch.optim.Adam, torch.nn.Parameter, torch.tensor, n, fused=True)
    if peak.width:
        arrays = tuple(rv.ones(n).numpy() for _ in range(4))
        for name in STREAMS:  # bandwidth on memory of the same size, in turns with the peers
            work[name] = repeat(lambda name=name: native.on_pieces(name, arrays, settings.threads, 1))
    rates = {name: STREAMS.get(name, MOVED) * n / s / 1e9 for name, s in race(work, settings).items()}
    values = {name: rate for name, rate in rates.items() if name not in STREAMS}
    bandwidth = max([rates[name] for name in STREAMS if name in rates], default=peak.bytes / 1e9)
    percent = None if settings.quick else 100 * values[US] / bandwidth
    return [
        Row(
            "optimizer (percent: bandwidth)",
            case,
            "GB/s",
            values,
            rate=True,
            peak_percent=percent,
            targets=[Target(90, "peak")],
        )
    ]


def adam(kind: Any, parameter: Any, make: Any, n: int, **options: Any) -> Contender:
    rng = np.random.default_rng(0)
    p = parameter(make(rng.standard_normal(n, dtype=np.float32)))
    p.grad = make(rng.standard_normal(n, dtype=np.float32))
    return repeat(kind([p], lr=1e-3, **options).step)
