"""Compiled functions: traces of a function, kept by signature."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..core.errors import DTypeError
from .function import CompiledFunction, P, R
from .module import CompiledModule, compiled_module

if TYPE_CHECKING:
    from ..nn.module import Module

__all__ = ["CompiledFunction", "compile"]

M = TypeVar("M", bound="Module")


@overload
def compile(fn: M, *, frozen: bool = False) -> M: ...  # type: ignore[overload-overlap]  # modules are callable too
@overload
def compile(fn: Callable[P, R], *, frozen: bool = False) -> CompiledFunction[P, R]: ...
@overload
def compile(*, frozen: bool = False) -> Callable[[Callable[P, R]], CompiledFunction[P, R]]: ...
def compile(fn: Any = None, *, frozen: bool = False) -> Any:
    """Make `fn` run as one native call: traced once per signature of shapes and dtypes, optimised, planned.

    Whatever `fn` does to tensors is part of it: forward pass, backward(), optimizer steps. Parameters and states are used
    by reference and updated in place; learning rates may change between calls. Python itself runs at the first call only:
    values cannot steer it (`if loss > 1` raises TraceError), and prints happen once.

    frozen: what follows from captured tensors alone, those that `fn` does not change, is computed once, and weights of
    matrix products are copied once into the order in which the kernels read them: for serving. It is done again when an
    op on one of these tensors or on a view of it, an optimizer or load_state_dict has changed it. Writes to its memory on
    other ways, through NumPy or another tensor made of the same array, go unnoticed: call the compiled function's
    `renew()` after them. For each signature it takes as much memory again as the weights.

    >>> import ranvier as rv
    >>> @rv.compile
    ... def f(x):
    ...     return (x * 2 + 1).sum()
    >>> f(rv.ones(3)).item()
    9.0
    """
    if fn is None:
        return functools.partial(compile, frozen=frozen)
    if isinstance(fn, CompiledFunction):
        fn = fn.fn
    elif isinstance(fn, CompiledModule):
        fn = fn._module
    nn = sys.modules.get("ranvier.nn")  # a module can only come from there
    if nn is not None and isinstance(fn, nn.Module):
        return compiled_module(fn, frozen)
    if not callable(fn):
        raise DTypeError(f"compile: {type(fn).__name__} is not callable")
    return CompiledFunction(fn, frozen=frozen)
