"""What a run of `Trainer.fit` took."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..core.dtypes import is_float
from ..core.tensor import from_numpy
from .count import Counted
from .energy import Meter, estimated
from .machine import machine
from .report import amount, duration


class Spent:
    """Measures from when it is made on."""

    def __init__(self) -> None:
        self._meter, self._began = Meter(), time.perf_counter()
        self._meter.start()

    def cost(self, model: Any, step: Any) -> dict[str, Any]:
        """Of the steps that a `train.engine.Step` has counted since then: operations from its traces; time and energy of
        all that ran meanwhile. None stands for what nobody knows: of a step that runs uncompiled, its operations.
        """
        seconds, energy = time.perf_counter() - self._began, self._meter.stop()
        steps, flops, macs, moved = 0, 0, 0, 0.0
        known = True
        for shapes, count in step.counts.items():
            steps += count
            trace = step.traced([from_numpy(np.zeros(shape, dtype)) for shape, dtype in shapes])
            if trace is None:
                known = False
                continue
            works = Counted(trace.graph, lambda node: node.layer, {}).works.values()
            flops += count * sum(work.cost.flops for work in works)
            macs += count * sum(work.cost.macs for work in works)
            moved += count * sum(work.moved for work in works)
        dtype = next((p.dtype for p in model.parameters() if is_float(p.dtype)), np.dtype(np.float32))
        if energy is None and known:
            energy = estimated(macs, flops - 2 * macs, moved, dtype.itemsize)
        return {
            "steps": steps,
            "seconds": seconds,
            "flops": flops if known else None,
            "flops_per_second": flops / seconds if known else None,
            "share_of_peak": flops / seconds / machine(dtype).flops if known else None,
            "energy_joules": None if energy is None else energy.joules,
            "energy_source": "not measured" if energy is None else energy.source,
        }


def line(cost: dict[str, Any]) -> str:
    """The cost in a line."""
    kind = cost["energy_source"].partition(":")[0]
    energy = kind if cost["energy_joules"] is None else f"{amount(cost['energy_joules'], 'J')} {kind}"
    if cost["flops"] is None:
        return f"{cost['steps']} steps in {duration(cost['seconds'])}; they ran uncompiled, uncounted; energy: {energy}"
    return (
        f"{cost['steps']} steps in {duration(cost['seconds'])}: {amount(cost['flops'])} FLOPs counted, "
        f"{amount(cost['flops_per_second'])}FLOP/s, {100 * cost['share_of_peak']:.1f} % of the measured peak; "
        f"energy: {energy}"
    )
