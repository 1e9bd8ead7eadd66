"""What a thread is doing: recording gradients or not, tracing or not, and on which backend."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any, overload

from .errors import DTypeError, TraceError
from .scope import F, Scope


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


class _GradMode(Scope):
    _value = False

    def _enter(self) -> bool:
        before, local.grad_enabled = local.grad_enabled, self._value
        return before

    def _leave(self, before: bool) -> None:
        local.grad_enabled = before


class _Recorded(_GradMode):
    _value = True


def _decorated(name: str, mode: _GradMode, function: Any) -> Any:
    if not callable(function):
        raise DTypeError(f"{name}: {function!r:.60} must be a function to decorate")
    return mode(function)


@overload
def no_grad(function: F) -> F: ...
@overload
def no_grad(function: None = None) -> Scope: ...
def no_grad(function: Any = None) -> Any:
    """Context manager and decorator (with or without parentheses): record nothing for backward().

    >>> import ranvier as rv
    >>> w = rv.ones(2, requires_grad=True)
    >>> with rv.no_grad():
    ...     (w * 2).requires_grad
    False
    """
    return _GradMode() if function is None else _decorated("no_grad", _GradMode(), function)


@overload
def enable_grad(function: F) -> F: ...
@overload
def enable_grad(function: None = None) -> Scope: ...
def enable_grad(function: Any = None) -> Any:
    """Context manager and decorator (with or without parentheses): record for backward() again inside no_grad().

    >>> import ranvier as rv
    >>> w = rv.ones(2, requires_grad=True)
    >>> with rv.no_grad(), rv.enable_grad():
    ...     (w * 2).requires_grad
    True
    """
    return _Recorded() if function is None else _decorated("enable_grad", _Recorded(), function)


@overload
def inference_mode(mode: bool = True) -> Scope: ...
@overload
def inference_mode(mode: F) -> F: ...
def inference_mode(mode: Any = True) -> Any:
    """no_grad() under PyTorch's other name for it; with mode=False enable_grad(). A decorator also without parentheses.

    >>> import ranvier as rv
    >>> w = rv.ones(2, requires_grad=True)
    >>> with rv.inference_mode():
    ...     (w * 2).requires_grad
    False
    """
    if isinstance(mode, bool):
        return _GradMode() if mode else _Recorded()
    return _decorated("inference_mode", _GradMode(), mode)


class set_grad_enabled(_GradMode):
    """Record for backward() or not, by `mode`: from now on, or as a context manager or a decorator for a while.

    >>> import ranvier as rv
    >>> w = rv.ones(2, requires_grad=True)
    >>> with rv.set_grad_enabled(False):
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        self._value = bool(mode)
        super().__enter__()  # as a statement this is all
        self._entered = True

    def __enter__(self) -> None:
        if not self._entered:
            super().__enter__()
        self._entered = False

    def __call__(self, function: F) -> F:
        if self._entered:  # for the calls alone
            self._entered = False
            self.__exit__()
        return super().__call__(function)


class phase(Scope):
    """What is traced meanwhile belongs to this phase of a step (graph.Node), and to `layer` where that is given."""

    def __init__(self, name: str, layer: str | None = None) -> None:
        self._name, self._layer = name, layer

    def _enter(self) -> Any:
        tracer = local.tracer
        if tracer is None:
            return None
        before, tracer.phase = tracer.phase, self._name
        if self._layer is not None:
            tracer.layers.append(self._layer)
        return tracer, before

    def _leave(self, before: Any) -> None:
        if before is None:
            return
        tracer, tracer.phase = before
        if self._layer is not None:
            tracer.layers.pop()


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


numbers = itertools.count()  # of the calls on the tape
versions = itertools.count(1)  # each change in place gives the tensor the next one
