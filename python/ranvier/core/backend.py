"""The backend that runs a thread's ops. `ranvier.backends` makes them, and registers the one that is there by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .context import local

_default: Callable[[], Any]


def register_default(make: Callable[[], Any]) -> None:
    """Let threads that have chosen no backend use make()."""
    global _default
    _default = make


def use(backend: Any) -> None:
    """Make `backend` this thread's."""
    local.backend = backend
    if local.tracer is None:
        local.eager = backend.eager


def current_backend() -> Any:
    """This thread's backend."""
    if local.backend is None:
        use(_default())
    return local.backend
