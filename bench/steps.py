"""Whole training steps: forward, backward and Adam."""

from __future__ import annotations

from .mlp import Mlp
from .peak import Peak
from .peers import steps
from .runner import US, Row, Settings, Target, race

XOR = Mlp((2, 4, 1), "tanh", "mse", 4)
SMALL = Mlp((10, 64, 1), "relu", "mse", 32)
DIGITS = Mlp((784, 128, 10), "relu", "cross_entropy", 32)
WIDE = Mlp((784, 512, 512, 10), "relu", "cross_entropy", 128)
DEEP = Mlp((1024, 1024, 1024, 1024, 10), "relu", "cross_entropy", 512)

# what the compiled step and the eager step are held against
TARGETS = {
    XOR: ([Target(40, "torch"), Target(8, "jax")], [Target(4, "torch")]),
    SMALL: ([Target(20, "torch"), Target(12, "jax")], []),
    DIGITS: ([Target(3, "best peer")], []),
    WIDE: ([Target(1.3, "best peer")], []),
    DEEP: ([Target(1.1, "best peer")], []),
}


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    for mlp, (compiled, eager) in TARGETS.items():
        if not settings.wants(mlp.name, f"{mlp.name}, eager"):
            continue
        seconds = race(steps(mlp, settings), settings)
        values = {name: s * 1e6 for name, s in seconds.items()}
        percent = 100 * mlp.flops() / seconds[US] / peak.flops
        rows.append(Row("training step", mlp.name, "us", values, peak_percent=percent, targets=compiled))
        if eager:
            rows.append(Row("training step", f"{mlp.name}, eager", "us", {k: v for k, v in values.items() if k != US},
                            targets=eager, ours=f"{US} eager"))  # fmt: skip
    return rows
