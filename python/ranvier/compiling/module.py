"""Compiled modules."""

from __future__ import annotations

import functools
from typing import Any

from .function import CompiledFunction

_own = object.__getattribute__
_OWN = frozenset({"_module", "_function"})


class CompiledModule:
    """A module whose calls are compiled; everything else is the module's own.

    `compiled_module` makes them, of a class that inherits from the module's too: a compiled Sequential is a Sequential.
    """

    def __new__(cls, module: Any, frozen: bool = False) -> Any:
        self = object.__new__(cls)  # without registries: those of `module` are its own
        function: Any = CompiledFunction(module.__call__, frozen=frozen)
        self.__dict__.update(_module=module, _function=function, **({"renew": function.renew} if frozen else {}))
        return self

    def __init__(self, module: Any, frozen: bool = False):
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _own(self, "_function")(*args, **kwargs)

    def __getattribute__(self, name: str) -> Any:
        if name in _OWN or name[:2] == "__" or name in _own(self, "__dict__"):
            return _own(self, name)
        module = _own(self, "_module")
        value = getattr(module, name)
        if getattr(value, "__self__", None) is not module or not callable(value):
            return value

        @functools.wraps(value)
        def method(*args: Any, **kwargs: Any) -> Any:
            result = value(*args, **kwargs)
            return self if result is module else result  # .eval(), .to() and the like

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._module, name)

    def __dir__(self) -> list[str]:
        return dir(self._module)

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return compiled_module, (self._module, self._function.frozen)

    def __repr__(self) -> str:
        return f"compiled({self._module!r})"


@functools.cache
def _class_for(kind: Any) -> Any:
    return type(f"Compiled{kind.__name__}", (CompiledModule, kind), {"__module__": kind.__module__})


def compiled_module(module: Any, frozen: bool = False) -> Any:
    """`module`, compiled; shares its parameters and everything else."""
    return _class_for(module.__class__)(module, frozen)
