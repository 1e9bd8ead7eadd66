"""What a thread is doing: recording gradients or not, tracing or not, and on which backend."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any

from .errors import TraceError


class _Local(threading.local):
    grad_enabled: bool = True
    tracer: Any = None  # graph.trace.Tracer while a function is being traced
    backend: Any = None  # backends.*.Backend; None: the process default
    eager: Any = None  # the native fast path; None while tracing or on another backend


local = _Local()
_default_backend: Callable[[], Any]  # registered by `backends`


def register_default_backend(make: Callable[[], Any]) -> None:
    """Let threads that have chosen no backend use make()."""
    global _default_backend
    _default_backend = make


def use_backend(backend: Any) -> None:
    """Make `backend` this thread's."""
    local.backend = backend
    if local.tracer is None:
        local.eager = backend.eager


def current_backend() -> Any:
    """This thread's backend."""
    if local.backend is None:
        use_backend(_default_backend())
    return local.backend


def is_grad_enabled() -> bool:
    """Whether operations on this thread are recorded for backward()."""
    return local.grad_enabled


class _GradMode(ContextDecorator):
    _value = True

    def __enter__(self) -> None:
        self._before = getattr(self, "_before", [])
        self._before.append(local.grad_enabled)
        local.grad_enabled = self._value

    def __exit__(self, *exc: object) -> None:
        local.grad_enabled = self._before.pop()


class no_grad(_GradMode):
    """Context manager and decorator: record nothing for backward().

    >>> import ranvier as rv
    >>> w = rv.ones(2, requires_grad=True)
    >>> with rv.no_grad():
    ...     (w * 2).requires_grad
    False
    """

    _value = False


class enable_grad(_GradMode):
    """Context manager and decorator: record for backward() again inside no_grad()."""

    _value = True


class set_grad_enabled(_GradMode):
    """Record for backward() or not, by `mode`; as a statement or a context manager."""

    def __init__(self, mode: bool):
        self._value = bool(mode)
        self._before = [local.grad_enabled]
        local.grad_enabled = self._value

    def __enter__(self) -> None:
        local.grad_enabled = self._value


def refuse_trace(what: str) -> None:
    """Raise where a function is being traced: for what changes Python's state."""
    if local.tracer is not None:
        raise TraceError(f"{what} inside a compiled function would happen once, while it is traced; call it outside")


class Epoch:
    """Counts changes that compiled functions must look at before their next run: of a module's training mode, of an
    optimizer's options, of the array behind a captured tensor.
    """

    value = 0
    _next = itertools.count(1).__next__  # no two threads get the same number

    @classmethod
    def bump(cls) -> None:
        """Something of that kind has changed."""
        cls.value = cls._next()


versions = itertools.count(1)  # each change in place gives the tensor the next one
