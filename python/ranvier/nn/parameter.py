"""Parameter: a tensor that modules register and optimizers update."""

from __future__ import annotations

from typing import Any

from ..core.tensor import TensorBase
from ..tensor import Tensor

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A leaf tensor that shares `data`'s memory and becomes a parameter of the module that it is assigned to.

    >>> import ranvier as rv
    >>> from ranvier import nn
    >>> nn.Parameter(rv.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True):
        TensorBase.__init__(self, data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
