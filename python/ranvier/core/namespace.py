"""What a public namespace lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any


def listing(namespace: dict[str, Any], names: Iterable[str] = ()) -> Callable[[], list[str]]:
    """A module's `__dir__`: its `__all__`, where it has one; else `names`, and what it holds but for modules, private names
    and helpers of Python's own library.
    """

    def public(name: str, value: Any) -> bool:
        home = getattr(value, "__module__", None) or type(value).__module__
        foreign = home.split(".")[0] in ("typing", "__future__", "importlib", "collections")
        return not (name.startswith("_") or foreign or isinstance(value, (ModuleType, bool)))

    def listed() -> list[str]:
        if "__all__" in namespace:
            return sorted(namespace["__all__"])
        return sorted({*names, *(name for name, value in namespace.items() if public(name, value))})

    return listed
