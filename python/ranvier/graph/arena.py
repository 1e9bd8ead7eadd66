"""The memory plan: which intermediate lies where in the arena."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from heapq import heappop, heappush

ALIGN = 64


@dataclass
class Block:
    """Memory needed from instruction `first` to instruction `last`, both included."""

    nbytes: int
    first: int
    last: int
    offset: int = -1


class _Gaps:
    """The free memory below `top`, in pieces that do not touch."""

    def __init__(self) -> None:
        self.top = 0
        self.by_size: list[tuple[int, int]] = []  # (size, offset)
        self.sizes: dict[int, int] = {}  # by offset
        self.offsets: dict[int, int] = {}  # by end

    def take(self, size: int) -> int:
        """The offset of `size` bytes, in the smallest gap that has them."""
        position = bisect_left(self.by_size, (size, 0))
        if position == len(self.by_size):
            self.top += size
            return self.top - size
        gap, offset = self.by_size[position]
        self._remove(gap, offset)
        if gap > size:
            self._add(gap - size, offset + size)
        return offset

    def give(self, size: int, offset: int) -> None:
        """Free what `take` gave."""
        above = self.sizes.get(offset + size)
        if above is not None:
            self._remove(above, offset + size)
            size += above
        below = self.offsets.get(offset)
        if below is not None:
            self._remove(offset - below, below)
            size, offset = size + offset - below, below
        if offset + size == self.top:
            self.top = offset
        else:
            self._add(size, offset)

    def _add(self, size: int, offset: int) -> None:
        insort(self.by_size, (size, offset))
        self.sizes[offset], self.offsets[offset + size] = size, offset

    def _remove(self, size: int, offset: int) -> None:
        del self.by_size[bisect_left(self.by_size, (size, offset))]
        del self.sizes[offset], self.offsets[offset + size]


def plan(blocks: list[Block]) -> int:
    """Give each block an offset such that blocks that live at the same time do not overlap; returns the arena's size.

    From the last instruction to the first, the largest of those that end together first: what a backward pass needs is
    made in the opposite order, so that the memory of later values lies within the gaps of earlier ones.
    """
    gaps = _Gaps()
    living: list[tuple[int, int, int]] = []  # (-first, size, offset)
    most = 0
    for block in sorted(blocks, key=lambda b: (-b.last, -b.nbytes)):
        while living and -living[0][0] > block.last:
            gaps.give(*heappop(living)[1:])
        size = -(-max(block.nbytes, 1) // ALIGN) * ALIGN
        block.offset = gaps.take(size)
        heappush(living, (-block.first, size, block.offset))
        most = max(most, gaps.top)
    return most
