"""Ops that move data, at the sizes of layers: joining, permuting, indexed updates in place, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from .peers import torch_or_none
from .runner import US, Contender, Row, Settings, Target, aligned, race, repeat

JOINED = [(kind, n, dim) for kind, dims in (("cat", (0, 1)), ("stack", (0, 1, 2))) for n in (64, 512) for dim in dims]
PERMUTED = [((16, 128, 4, 32), (0, 2, 1, 3)), ((8, 256, 8, 64), (0, 2, 1, 3)), ((32, 512, 12, 64), (0, 2, 1, 3)),
            ((16, 128, 4, 32), (0, 2, 3, 1)), ((1024, 1024), (1, 0))]  # fmt: skip
ADDED = [(100, 1, 10), (1000, 64, 500), (10000, 128, 1000), (100000, 1, 100000)]  # rows, width, rows that are added
DROPPED = (1 << 14, 1 << 20)


def cases(settings: Settings) -> Iterator[tuple[str, Callable[[], dict[str, Contender]]]]:
    """Name of each case, and what makes its contenders."""
    import ranvier as rv
    from ranvier.nn.functional import dropout

    torch = torch_or_none(settings)
    libraries = {US: rv, **({"torch": torch} if torch is not None else {})}
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return aligned(rng.standard_normal(shape, dtype=np.float32))

    def join(kind: str, n: int, dim: int) -> dict[str, Contender]:
        pair = [normal(n, n), normal(n, n)]
        plain = np.concatenate if kind == "cat" else np.stack
        result = {"numpy": repeat(lambda: plain(pair, dim))}
        return result | {name: repeat(partial(getattr(lib, kind), [lib.from_numpy(x) for x in pair], dim))
                         for name, lib in libraries.items()}  # fmt: skip

    def permute(shape: tuple, dims: tuple) -> dict[str, Contender]:
        x = normal(*shape)
        result = {"numpy": repeat(x.transpose(dims).copy)}
        return result | {name: repeat(lib.from_numpy(x).permute(*dims).contiguous) for name, lib in libraries.items()}

    def add(rows: int, width: int, count: int) -> dict[str, Contender]:
        x, values, index = normal(rows, width), normal(count, width), rng.integers(0, rows, count)
        result = {"numpy": repeat(lambda: np.add.at(x, index, values))}
        for name, lib in libraries.items():
            target, places, added = map(lib.from_numpy, (x, index, values))
            result[name] = repeat(partial(target.index_add_, 0, places, added))
        return result

    def drop(n: int) -> dict[str, Contender]:
        x = normal(n)
        result = {"numpy": repeat(lambda: x * ((rng.random(n, dtype=np.float32) >= 0.1) * np.float32(1 / 0.9))),
                  US: repeat(partial(dropout, rv.from_numpy(x), 0.1))}  # fmt: skip
        if torch is not None:
            result["torch"] = repeat(partial(torch.nn.functional.dropout, torch.from_numpy(x), 0.1))
        return result

    for kind, n, dim in JOINED:
        yield f"{kind} of two {n}x{n}, dim={dim}", partial(join, kind, n, dim)
    for shape, dims in PERMUTED:
        yield f"permute {'x'.join(map(str, shape))} to {dims}, copied", partial(permute, shape, dims)
    for rows, width, count in ADDED:
        yield f"index_add_ of {count} rows to {rows}x{width}", partial(add, rows, width, count)
    for n in DROPPED:
        yield f"dropout of {n}, training", partial(drop, n)


def measure(settings: Settings) -> list[Row]:
    rows = []
    for name, make in cases(settings):
        if settings.wants(name):
            seconds = race(make(), settings)
            seconds = {US: seconds.pop(US), **seconds}
            rows.append(
                Row(
                    "moving data",
                    name,
                    "us",
                    {k: s * 1e6 for k, s in seconds.items()},
                    targets=[Target(1, "best peer")],
                )
            )
    return rows
