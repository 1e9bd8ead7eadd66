"""Graph passes: each takes a Graph and returns one that computes the same with less work.

`optimize` runs them in order and checks the graph after each. A pass can be switched off by name, for tests and
for finding faults: `with passes.without("fuse"): ...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..ir import Graph
from .absorb import absorb
from .fuse import fuse
from .join import join
from .mask import mask
from .recompute import recompute
from .simplify import simplify

PASSES = {"simplify": simplify, "absorb": absorb, "mask": mask, "join": join, "fuse": fuse, "recompute": recompute}
_off: set[str] = set()


def optimize(graph: Graph) -> Graph:
    """All passes that are switched on, in order."""
    for name, run in PASSES.items():
        if name not in _off:
            graph = run(graph).check()
    return graph


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Switch passes off by name."""
    unknown = set(names) - PASSES.keys()
    if unknown:
        raise ValueError(f"passes: {sorted(unknown)} must be among {sorted(PASSES)}")
    before = set(_off)
    _off.update(names)
    try:
        yield
    finally:
        _off.clear()
        _off.update(before)
