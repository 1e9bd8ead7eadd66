"""Attributes of modules that are computed when they are read."""

from __future__ import annotations

import functools
from typing import Any, Protocol

from ..module import Module

__all__ = ["Rule", "computed", "plain", "plain_class", "rules"]


class Rule(Protocol):
    """How an attribute is computed, and what an assignment to it does. Rules are deeply copied with their module."""

    def read(self, module: Module) -> Any: ...

    def write(self, module: Module, value: Any) -> None: ...


def rules(module: Module) -> dict[str, Any]:
    """The rules of the module's computed attributes, by name."""
    return module.__dict__.get("_rules", {})


def computed(module: Module, name: str, rule: Rule) -> None:
    """Make `module.name` an attribute that `rule` computes; what it was before is gone."""
    if name in module.__dict__:
        delattr(module, name)
    _become(module, {**rules(module), name: rule})


def plain(module: Module, name: str) -> None:
    """Undo `computed`: the module has no attribute `name` then."""
    _become(module, {key: rule for key, rule in rules(module).items() if key != name})


def plain_class(module: Module) -> type[Module]:
    """The class of the module without its computed attributes."""
    return getattr(type(module), "_plain_class", type(module))


def _become(module: Module, after: dict[str, Any]) -> None:
    base: Any = plain_class(module)
    module.__dict__["_rules"] = after
    object.__setattr__(module, "__class__", _class(base, tuple(after)) if after else base)
    module._edited()


@functools.cache
def _class(base: type[Module], names: tuple[str, ...]) -> type[Module]:
    """A subclass of `base` with these computed attributes. It is the same one for all modules, which hold the rules."""

    def attribute(name: str) -> property:
        return property(lambda self: self._rules[name].read(self))

    def assign(self: Module, name: str, value: Any) -> None:
        if name in names:
            self._rules[name].write(self, value)  # type: ignore[attr-defined]
        else:
            base.__setattr__(self, name, value)

    def refuse(self: Module, protocol: Any) -> Any:
        raise RuntimeError(
            f"{type(self).__name__} cannot be pickled, since its class was made for it; save its state_dict() instead"
        )

    def copied(self: Module, memo: dict[int, Any]) -> Any:
        from copy import deepcopy

        made = memo[id(self)] = type(self).__new__(type(self))
        made.__dict__.update(deepcopy(self.__dict__, memo))
        return made

    members = {name: attribute(name) for name in names}
    special = {"_plain_class": base, "__setattr__": assign, "__reduce_ex__": refuse, "__deepcopy__": copied}
    return type(f"Parametrized{base.__name__}", (base,), {**members, **special, "__module__": base.__module__})
