"""Peak memory of whole training steps: what the first five steps add to a process that has model, optimizer and batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from . import gpt
from .networks import NETWORKS, training_step
from .peak import Peak
from .runner import US, Row, Settings, Target

CASES = [*NETWORKS, gpt.network(gpt.SHAPES[0])]
STEPS = 5
MB = 1e6
LIMITS = dict.fromkeys((network.name for network in CASES), 2)  # times less than PyTorch


def status(field: str) -> float:
    """A number of Linux's account of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / MB
    raise KeyError(field)


def growth(name: str, case: str, threads: int) -> float:
    """Of the resident set of this process, at its peak; `name` is the library's."""
    (network,) = (n for n in CASES if n.name == case)
    if name == US:
        import ranvier as lib
        from ranvier import nn, optim  # noqa: F401

        lib.set_num_threads(threads)
    else:
        import torch as lib  # type: ignore[no-redef]

        lib.set_num_threads(threads)
    step = training_step(name, lib, network)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is resident now
    before = status("VmRSS")
    for _ in range(STEPS):
        step()
    return status("VmHWM") - before


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    for network in CASES:
        if not settings.wants(network.name):
            continue
        values = {}
        for name in (US, "torch"):
            if name in settings.without:
                continue
            command = [sys.executable, "-m", "bench.memory", name, network.name, str(settings.threads)]
            done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
            if done.returncode == 0:
                values[name] = float(json.loads(done.stdout))
        limit = LIMITS.get(network.name)
        targets = [Target(limit, "torch")] if limit else []
        rows.append(Row("peak memory of a training step", network.name, "MB", values, targets=targets))
    return rows


if __name__ == "__main__":
    print(json.dumps(growth(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
