"""The memory plan: which intermediate lies where in the arena."""

from __future__ import annotations

from dataclasses import dataclass

ALIGN = 64


@dataclass
class Block:
    """Memory needed from instruction `first` to instruction `last`, both included."""

    nbytes: int
    first: int
    last: int
    offset: int = -1


def plan(blocks: list[Block]) -> int:
    """Give each block an offset such that blocks that live at the same time do not overlap; returns the arena's size.

    Largest first, each at the lowest place that is free throughout its life.
    """
    placed: list[Block] = []
    size = 0
    for block in sorted(blocks, key=lambda b: -b.nbytes):
        need = -(-max(block.nbytes, 1) // ALIGN) * ALIGN
        offset = 0
        for other in sorted(
            (b for b in placed if b.first <= block.last and block.first <= b.last), key=lambda b: b.offset
        ):
            if offset + need <= other.offset:
                break
            offset = max(offset, other.offset + -(-max(other.nbytes, 1) // ALIGN) * ALIGN)
        block.offset = offset
        placed.append(block)
        size = max(size, offset + need)
    return size
