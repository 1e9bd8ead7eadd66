"""Derivatives: the pass over the tape, the same pass as a plan, hooks that see gradients."""

from __future__ import annotations

from ..core.context import enable_grad, no_grad, set_grad_enabled
from .engine import backward, grad

__all__ = ["backward", "enable_grad", "grad", "no_grad", "set_grad_enabled"]
