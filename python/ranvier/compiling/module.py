"""Compiled modules."""

from __future__ import annotations

import functools
from typing import Any

from .function import CompiledFunction


class CompiledModule:
    """A module whose calls are compiled; everything else is the module's own."""

    def __init__(self, module: Any, frozen: bool = False):
        object.__setattr__(self, "_module", module)
        object.__setattr__(self, "_function", CompiledFunction(module.__call__, frozen=frozen))
        if frozen:
            object.__setattr__(self, "renew", self._function.renew)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        module = object.__getattribute__(self, "_module")  # an AttributeError on a copy that is being made
        value = getattr(module, name)
        if getattr(value, "__self__", None) is not module or not callable(value):
            return value

        @functools.wraps(value)
        def method(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            return self if result is module else result  # .eval(), .to() and the like

        return method

    def __reduce__(self) -> tuple:
        return CompiledModule, (self._module, self._function.frozen)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __repr__(self) -> str:
        return f"compiled({self._module!r})"
