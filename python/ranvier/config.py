"""What Ranvier runs on, and how many threads it may use."""

from __future__ import annotations

import platform
import sys
from typing import Any

import numpy as np

from .backends import default_backend
from .core.errors import DTypeError
from .version import __version__


def _native() -> Any:
    try:
        from . import _native as module
    except ImportError:
        return None
    return module


def set_num_threads(n: int) -> None:
    """Let native work use at most `n` threads. Results have the same bits for any number."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise DTypeError(f"set_num_threads: n={n!r} must be an integer >= 1")
    module = _native()
    if module is not None:
        module.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads native work may use."""
    module = _native()
    return module.num_threads() if module is not None else 1


def config() -> dict[str, Any]:
    """Version, instruction set, threads and the reason for their number, accelerators, backend."""
    module = _native()
    facts: dict[str, Any] = {
        "ranvier": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.machine()} {sys.platform}",
        "backend": default_backend().name,
    }
    if module is None:
        facts["native module"] = "not available"
    else:
        facts.update(module.config())
    facts["cuda"] = "not built"
    return facts


def show_config() -> None:
    """Print `config()`, one fact a line.

    >>> import ranvier as rv
    >>> rv.show_config()  # doctest: +ELLIPSIS
    ranvier: 0.1.0
    ...
    """
    for key, value in config().items():
        print(f"{key}: {value}")
