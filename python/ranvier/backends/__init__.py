"""Where ops run. A backend has `run(call, arrays, specs)` for one op, `compile(graph)` -> a program with
`run(*arrays)` for a graph, and perhaps `eager`, a quicker first try for one op.
"""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any

from ..core.context import local, register_default_backend, use_backend
from ..core.errors import BackendError
from ..core.scope import Scope
from . import cudnn as cudnn
from . import mps as mps


@functools.cache
def get(name: str, float64: bool = False) -> Any:
    """The backend of that name: "native" or "numpy"."""
    if name == "numpy":
        from .reference import ReferenceBackend

        return ReferenceBackend(float64)
    if name == "native":
        from .native import NativeBackend

        return NativeBackend()
    raise BackendError(f"backend: {name!r} must be 'native' or 'numpy'")


@functools.cache
def default_backend() -> Any:
    """RANVIER_BACKEND, or native; NumPy, with a warning, where the native module cannot be loaded at all."""
    name = os.environ.get("RANVIER_BACKEND", "")
    if name:
        return get(name)
    try:
        return get("native")
    except ImportError as error:
        warnings.warn(f"ranvier runs on NumPy only, slowly: its native module cannot be loaded: {error}", stacklevel=2)
        return get("numpy")


register_default_backend(default_backend)


class backend(Scope):
    """Context manager and decorator: run everything on the named backend.

    Args:
        name: "native" or "numpy" (the readable reference that defines every op).
        float64: "numpy" only: compute in float64 and round each result to its dtype.

    >>> import ranvier as rv
    >>> with rv.backend("numpy"):
    ...     rv.exp(rv.zeros(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, name: str, float64: bool = False):
        self.chosen = get(name, float64)

    def __enter__(self) -> Any:
        super().__enter__()
        return self.chosen

    def _enter(self) -> tuple:
        before = local.backend, local.eager
        use_backend(self.chosen)
        return before

    def _leave(self, before: tuple) -> None:
        local.backend, local.eager = before
