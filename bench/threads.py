"""What threads bring: the same work on all of them and on one, with the machine to itself and beside a busy process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from .mlp import Mlp
from .peak import Peak
from .peers import ranvier_step, torch_or_none
from .plans import in_plan
from .runner import US, Contender, Row, Settings, race, repeat

SIZES = {"exp of 4K numbers": 4 << 10, "exp of 64K numbers": 64 << 10, "exp of 1M numbers": 1 << 20}
STEP = Mlp((32, 128, 128, 10), "relu", "cross_entropy", 32)
ONE = "1 thread"


def measure(settings: Settings, peak: Peak) -> list[Row]:
    """Beside a busy process, of two processors one and a half are left: 1.5 times one thread is all there is."""
    if settings.threads == 1:
        return []
    works = {name: lambda n=n: exponentials(n, settings) for name, n in SIZES.items()}
    works[f"training step {STEP.name}"] = lambda: on_threads(ranvier_step(STEP, compiled=True), settings)
    rows = []
    for name, work in works.items():
        for where, neighbour in (("alone", contextlib.nullcontext), ("beside a busy process", busy_process)):
            if settings.wants(case := f"{name}, {where}"):
                with neighbour():
                    seconds = race(work(), settings)
                rows.append(Row("threads (ratio: to one thread)", case, "us", {k: s * 1e6 for k, s in seconds.items()}))
    return rows


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """A process that takes one of our processors as long as the context lasts."""
    code = "while True: pass"
    if hasattr(os, "sched_setaffinity"):
        code = f"import os; os.sched_setaffinity(0, [{max(os.sched_getaffinity(0))}])\n{code}"
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def on_threads(run: Contender, settings: Settings) -> dict[str, Contender]:
    """The work on all threads and on one."""
    import ranvier as rv

    def held_to(threads: int) -> Contender:
        def work(times: int) -> None:
            rv.set_num_threads(threads)
            run(times)

        return work

    return {US: held_to(settings.threads), ONE: held_to(1)}


def exponentials(n: int, settings: Settings) -> dict[str, Any]:
    import ranvier as rv

    x = np.linspace(-1, 1, n, dtype=np.float32)
    result = on_threads(in_plan(rv.exp, [rv.from_numpy(x)])[0], settings)
    torch = torch_or_none(settings)
    if torch is not None:
        theirs, out = torch.from_numpy(x), torch.empty(n)
        result["torch"] = repeat(lambda: torch.exp(theirs, out=out))
    return result
