"""The outer layer of public functions (csrc/python/public.cpp).

It takes NumPy's spellings, as PyTorch does: `axis` for `dim`, `keepdims` for `keepdim` and so on. Arrays give arrays,
whatever the function makes on its way. Where the signature of the arguments decides what the function does, the layer
remembers the ops that it ran, and the next such call runs no Python.

Where a call fails with a TypeError or AttributeError, sizes and axes that are otherwise listed, f(x, 0, 1), are taken by
their name, f(x, dims=(0, 1)), and the error says which function was called, and which of its arguments it cannot take.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from types import FunctionType
from typing import Any

import numpy as np

from ..core.errors import DTypeError, RanvierError

Array = Any
"""Of parameters: a Tensor, a NumPy array or, beside one of these, a number; of results: a NumPy array where all arrays were,
else a Tensor. Type checkers see both cases in the stubs that stubs.py makes."""

SPELLINGS = {
    "axis": ("dim", "dims"), "axes": ("dims",), "keepdims": ("keepdim",), "ddof": ("correction",), "a_min": ("min",),
    "a_max": ("max",), "shift": ("shifts",), "reps": ("dims",), "indices_or_sections": ("sections",), "newshape": ("shape",),
}  # fmt: skip


def _respelled(
    signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]
) -> tuple[tuple, dict[str, Any]] | None:
    """The arguments under the names that the function has for them; None where it takes these or has none."""
    parameters = list(signature.parameters)
    ours = {k: k if k in parameters else next((n for n in SPELLINGS.get(k, ()) if n in parameters), "") for k in kwargs}
    if "" in ours.values():
        return None
    renamed: dict[str, Any] = {}
    for given, name in ours.items():
        positional = signature.parameters[name].kind is not inspect.Parameter.KEYWORD_ONLY
        if name in renamed or positional and parameters.index(name) < len(args):
            both = f"{name} and {given} are the same: give one of them"
            raise TypeError(both if given != name else f"{name} is given twice")
        renamed[name] = kwargs[given]
    for k, name in enumerate(parameters):
        if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL and name in renamed:
            value = renamed.pop(name)
            args = (*args, *(renamed.pop(p) for p in parameters[len(args) : k]))
            args = (*args, *(value if isinstance(value, (tuple, list)) else (value,)))
    return None if renamed == kwargs else (args, renamed)


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{tuple(value.shape)}"
    return f"{value!r:.60}"


def _refused(bound: inspect.BoundArguments, numbers_too: bool) -> str | None:
    """What is wrong with the first argument that should be an array (required) and is none. Numbers come last: most
    functions take them beside arrays.
    """
    for numbers in ((int, float, np.generic), ())[: 1 + numbers_too]:
        for parameter in bound.signature.parameters.values():
            if parameter.annotation != "Array" or parameter.default is not parameter.empty:
                continue
            values = bound.arguments.get(parameter.name, ())
            for value in values if parameter.kind is parameter.VAR_POSITIONAL else (values,):
                if not hasattr(value, "shape") and not isinstance(value, numbers):
                    hint = "; tensor() or numpy.asarray() makes one of it" if isinstance(value, (tuple, list)) else ""
                    shown = f"{parameter.name}={value!r:.60} of type {type(value).__name__}"
                    return f"{shown} must be a Tensor or a NumPy array{hint}"
    return None


def explain(function: Any, args: tuple, kwargs: dict[str, Any], error: Exception) -> Any:
    """What function(*args, **kwargs), which has raised `error`, is meant to do: the result of what could be understood, a
    DTypeError that names the function and what it cannot take, or NotImplemented where `error` says all."""
    name, signature = function.__name__, inspect.signature(function)
    if isinstance(error, RanvierError) and str(error).startswith(f"{name}:"):
        return NotImplemented
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        try:
            again = _respelled(signature, args, kwargs)
        except TypeError as twice:
            raise TypeError(f"{name}: {twice}") from None
        if again is None:
            return NotImplemented  # Python's own message names function and argument
        return Public(function, explain)(*again[0], **again[1])
    ours = isinstance(error, RanvierError)
    refused = _refused(bound, numbers_too=not ours)
    if refused is not None:
        raise DTypeError(f"{name}: {refused}") from None
    if ours:
        if ": " in str(error):
            return NotImplemented
        raise type(error)(f"{name}: {error}") from None
    given = ", ".join(f"{key}={_shown(value)}" for key, value in bound.arguments.items())
    raise DTypeError(f"{name}: {error}; called with {given}") from error


def _public(function: Any, explain: Any, *options: Any) -> Any:
    """The native module's Public, in Python."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (TypeError, AttributeError) as error:
            result = explain(function, args, kwargs, error)
            if result is NotImplemented:
                raise
            return result

    return call


try:
    from .._native import Public
except ImportError:  # the backend says why when it is needed
    Public = _public  # type: ignore[misc, assignment]


def _spellings(function: Any) -> dict[str, str]:
    """NumPy's names of the function's parameters, and its own; those that take one argument each."""
    parameters = inspect.signature(function).parameters
    return {
        given: name
        for given, names in SPELLINGS.items()
        for name in [next((n for n in names if n in parameters), "")]
        if name and given not in parameters and parameters[name].kind is not inspect.Parameter.VAR_POSITIONAL
    }


def made_public(function: Any, remembers: bool = False) -> Any:
    """`function` with that layer around it. remembers: shapes, dtypes and plain values of its arguments decide what it does;
    so the next call like one before goes straight to the op that this one ran.
    """
    alike = "Tensor" not in str(inspect.signature(function).return_annotation)  # else a tensor is meant in any case
    made = Public(function, explain, _spellings(function), remembers, alike)
    return functools.update_wrapper(made, function)


_made: dict[FunctionType, Any] = {}


def expose(namespace: dict[str, Any], names: Iterable[str], remembers: Iterable[str] = ()) -> None:
    """Put that layer around those functions of a module's namespace."""
    for name in names:
        function = namespace[name]
        if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
            if function not in _made:
                made = _made[function] = made_public(function, name in remembers)
                made.__module__ = namespace["__name__"]
            namespace[name] = _made[function]
