"""Predictions of one row, from array to array."""

from __future__ import annotations

from .mlp import Mlp
from .peak import Peak
from .peers import predictions
from .runner import US, Row, Settings, Target, merge, race

TARGETS = {
    Mlp((10, 64, 1), "relu", "mse", 1): [Target(3)],
    Mlp((784, 128, 10), "relu", "mse", 1): [Target(3, "onnxruntime")],
    Mlp((784, 512, 512, 10), "relu", "mse", 1): [Target(1.5, "onnxruntime")],
}


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    for mlp, targets in TARGETS.items():
        case = "-".join(map(str, mlp.widths))
        if not settings.wants(case):
            continue
        seconds = merge(race(predictions(mlp, settings), settings))
        flops = 2 * sum(m * n for m, n in zip(mlp.widths, mlp.widths[1:]))
        rows.append(Row("predict one row", case, "us", {k: s * 1e6 for k, s in seconds.items()},
                        peak_percent=100 * flops / seconds[US] / peak.flops, targets=targets))  # fmt: skip
    return rows
