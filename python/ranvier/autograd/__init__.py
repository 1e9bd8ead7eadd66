"""Derivatives: the pass over the tape, the same pass as a plan, hooks that see gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.context import enable_grad, inference_mode, no_grad, set_grad_enabled
from ..core.namespace import listing as _listing
from ..core.tensor import as_tensor
from . import functional as functional
from .check import gradcheck, gradgradcheck
from .engine import backward, grad
from .function import Function

if TYPE_CHECKING:
    from ..tensor import Tensor

__all__ = [
    "Function", "Variable", "backward", "enable_grad", "functional", "grad", "gradcheck", "gradgradcheck", "inference_mode",
    "no_grad", "set_grad_enabled",
]  # fmt: skip


def Variable(data: Any, requires_grad: bool = False, volatile: Any = None) -> Tensor:  # noqa: N802
    """`data` as a tensor of its own history, in the same memory: what tensors were wrapped in before they had gradients.
    volatile: an option of those times that does nothing now, in PyTorch neither; see `no_grad`.
    """
    return as_tensor(data).detach().requires_grad_(requires_grad)


__dir__ = _listing(globals())
