"""What threads bring: the same work on all of them and on one, with the machine to itself and beside a busy process.

With RANVIER_BENCH_BESIDE=FOLDER, where FOLDER holds the package `ranvier` of a second build, such as one with
-DRANVIER_THREADS=OPENMP, that build takes part as well. Each contender of ours is a process of its own; they take turns.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .mlp import Mlp
from .peak import Peak
from .peers import ranvier_step, torch_or_none
from .plans import in_plan
from .runner import US, Contender, Row, Settings, race, repeat

SIZES = {"exp of 4K numbers": 4 << 10, "exp of 64K numbers": 64 << 10, "exp of 1M numbers": 1 << 20}
STEP = Mlp((32, 128, 128, 10), "relu", "cross_entropy", 32)
CASES = (*SIZES, f"training step {STEP.name}")
ONE = "1 thread"
BUSY_SECONDS = 300  # in case nobody ends it


def measure(settings: Settings, peak: Peak) -> list[Row]:
    """Beside a busy process, of two processors one and a half are left: 1.5 times one thread is all there is."""
    if settings.threads == 1:
        return []
    rows = []
    for name in CASES:
        for where, neighbour in (("alone", contextlib.nullcontext), ("beside a busy process", busy_process)):
            if settings.wants(case := f"{name}, {where}"):
                with contenders(name, settings) as found, neighbour():
                    seconds = race(found, settings)
                rows.append(Row("threads (ratio: to one thread)", case, "us", {k: s * 1e6 for k, s in seconds.items()}))
    return rows


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """A process that takes one of our processors as long as the context lasts."""
    code = f"import time\nend = time.monotonic() + {BUSY_SECONDS}\nwhile time.monotonic() < end: pass"
    if hasattr(os, "sched_setaffinity"):
        code = f"import os; os.sched_setaffinity(0, [{max(os.sched_getaffinity(0))}])\n{code}"
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


@dataclass
class Worker:
    kind: str  # of its threads
    run: Contender


@contextlib.contextmanager
def contenders(name: str, settings: Settings) -> Iterator[dict[str, Contender]]:
    """The work on all threads, on one, and as a second build and torch do it."""
    with contextlib.ExitStack() as stack:
        ours, single = (stack.enter_context(in_process(name, threads)) for threads in (settings.threads, 1))
        found = {US: ours.run, ONE: single.run}
        if beside := os.environ.get("RANVIER_BENCH_BESIDE"):
            other = stack.enter_context(in_process(name, settings.threads, beside))
            found[f"{US}, {other.kind}"] = other.run
        torch = torch_or_none(settings) if name in SIZES else None
        if torch is not None:
            theirs, out = torch.from_numpy(numbers(name)), torch.empty(SIZES[name])
            found["torch"] = repeat(lambda: torch.exp(theirs, out=out))
        yield found


@contextlib.contextmanager
def in_process(name: str, threads: int, package: str = "") -> Iterator[Worker]:
    """The work of a case in a process of its own, by the package in that folder."""
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH", ""))))
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.threads", name, str(threads)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    ask, answer = process.stdin, process.stdout

    def run(times: int) -> None:
        print(times, file=ask, flush=True)
        if not answer.readline():
            raise RuntimeError(f"the process for {name!r} has ended")

    try:
        yield Worker(answer.readline().strip(), run)
    finally:
        process.kill()
        process.wait()


def numbers(name: str) -> np.ndarray:
    return np.linspace(-1, 1, SIZES[name], dtype=np.float32)


def serve(name: str, threads: int) -> None:
    """Say what the threads are, then run the work as often as each line of the input says, and answer."""
    import ranvier as rv

    rv.set_num_threads(threads)
    run = in_plan(rv.exp, [rv.from_numpy(numbers(name))])[0] if name in SIZES else ranvier_step(STEP, compiled=True)
    print(rv.config.config()["threads"], flush=True)
    for line in sys.stdin:
        run(int(line))
        print("done", flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
