"""What a tensor holds in place of an array while a function is traced."""

from __future__ import annotations

from typing import Any


class Traced:
    """Shape, dtype and device without values: the base of graph.Value."""

    __slots__ = ()
    shape: tuple
    dtype: Any


def is_traced(data: Any) -> bool:
    """Whether `data`, an array or what stands for one, has no values yet."""
    return isinstance(data, Traced)
