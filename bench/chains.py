"""Elementwise chains, compiled into one pass, against the loop that one would write by hand (native.cpp)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import native
from .peak import Peak
from .peers import torch_or_none
from .plans import in_plan
from .runner import US, Contender, Row, Settings, Target, merge, race, repeat


@dataclass(frozen=True)
class Chain:
    """`formula(lib, x, y, z)` with the functions of NumPy, torch or Ranvier; the C function `chain_<name>` is the same."""

    name: str
    inputs: int
    formula: Callable[..., Any]


CHAINS = [
    Chain("affine", 2, lambda lib, x, y: lib.clip(x * 1.5 + 0.5, 0, None) * y),
    Chain("normalise", 3, lambda lib, x, y, z: (x - y) / lib.sqrt(z + 1e-5) * 0.9 + 0.1),
    Chain("softsign", 1, lambda lib, x: 0.5 * (x / (1.0 + lib.abs(x)) + 1.0)),
    Chain("distance", 3, lambda lib, x, y, z: lib.sqrt((x - y) * (x - y) + z * z + 1.0)),
    Chain("cubic", 2, lambda lib, x, y: x * (0.5 + x * (0.25 + x * (0.125 + 0.0625 * x))) + y),
]
SIZES = {
    "L1": (32 << 10, 1.3),
    "L2": (512 << 10, 1.3),
    "memory": (128 << 20, 1.05),
}  # bytes of all arrays; times the loop at most


def measure(settings: Settings, peak: Peak) -> list[Row]:
    rows = []
    for where, (total, limit) in SIZES.items():
        for chain in CHAINS:
            n = total // (4 * (chain.inputs + 1)) // 16 * 16
            case = f"{chain.name}, {where}: {n} elements"
            if not settings.wants(case) or settings.quick and where == "memory":
                continue
            copies = max(1, min(64, (8 << 20) // total))  # in one call, so that the call counts little
            seconds = merge(race(contenders(chain, n, copies, settings), settings))
            percent = (
                100 * 4 * n * (chain.inputs + 1) * copies / seconds[US] / peak.bytes if where == "memory" else None
            )
            rows.append(Row("elementwise chain (percent: bandwidth)", case, "us", {k: s * 1e6 / copies for k, s in seconds.items()},
                            peak_percent=percent, targets=[Target(1 / limit, "loop")]))  # fmt: skip
    return rows


def contenders(chain: Chain, n: int, copies: int, settings: Settings) -> dict[str, Contender]:
    import ranvier as rv

    rng = np.random.default_rng(0)
    arrays = [rv.zeros(n).numpy() for _ in range(chain.inputs)]  # begin at cache lines
    for a in arrays:
        a[:] = rng.uniform(0.5, 2, n)
    result = {US: in_plan(lambda *xs: chain.formula(rv, *xs), [rv.from_numpy(a) for a in arrays], copies)[0]}
    for threads in {1, settings.threads} if native.compiled() is not None else ():
        result[f"loop, {threads}"] = by_hand(chain, arrays, threads, copies)
    if copies == 1:  # out of cache, separate operations are not worth their time
        return result
    result["numpy"] = many(lambda: chain.formula(np, *arrays), copies)
    torch = torch_or_none(settings)
    if torch is not None:
        theirs = [torch.from_numpy(a) for a in arrays]
        result["torch"] = many(lambda: chain.formula(torch, *theirs), copies)
    return result


def many(work: Callable[[], Any], copies: int) -> Contender:
    run = repeat(work)
    return lambda times: run(times * copies)


def by_hand(chain: Chain, arrays: list[np.ndarray], threads: int, copies: int) -> Contender:
    import ranvier as rv

    given = [
        arrays[min(i, len(arrays) - 1)] for i in range(3)
    ]  # the loop of a chain of fewer inputs does not look at the others
    operands = (*given, rv.zeros(arrays[0].size).numpy())
    return lambda times: native.on_pieces(f"chain_{chain.name}", operands, threads, times * copies)
