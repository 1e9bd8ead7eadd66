"""What a call costs, read from its op's record: the one place where operations are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """macs: multiply-adds. elements: other operations, one an element. instructions: an estimate of those that a
    processor runs, where an exponential counts as many.
    """

    macs: int = 0
    elements: int = 0
    instructions: int = 0

    @property
    def flops(self) -> int:
        """Two a multiply-add, one an element of anything else."""
        return 2 * self.macs + self.elements

    def __add__(self, other: Any) -> Cost:
        return Cost(*map(sum, zip(self, other)))


def cost_of(op: Any, attrs: dict[str, Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Cost:
    """The cost of `outputs = op(inputs)`, all of them with shapes.

    >>> import numpy as np
    >>> from ranvier.ops import OPS
    >>> x, w, y = np.ones((2, 3)), np.ones((3, 5)), np.ones((2, 5))
    >>> cost_of(OPS["matmul"], OPS["matmul"].defaults, (x, w), (y,)).flops
    60
    """
    macs = int(op.macs(*inputs, **attrs)) if op.macs else 0
    if op.elements:
        elements = int(op.elements(*inputs, **attrs))
    elif not op.flops:
        elements = 0
    else:
        elements = max(math.prod(a.shape) for a in (outputs if op.kind == "elementwise" else (*inputs, *outputs)))
    if callable(op.flops):
        return Cost(macs, elements, int(op.flops(*inputs, **attrs)))
    if op.flops:
        return Cost(macs, elements, op.flops * math.prod(outputs[0].shape))
    return Cost(macs, elements, 2 * macs + elements)
