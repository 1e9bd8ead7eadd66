"""The options of a group of parameters."""

from __future__ import annotations

from typing import Any

from ..core.context import Epoch


def _counted(name: str) -> Any:
    change = getattr(dict, name)

    def method(self: ParamGroup, *args: Any, **kwargs: Any) -> Any:
        Epoch.bump()
        return change(self, *args, **kwargs)

    method.__name__, method.__doc__ = name, change.__doc__
    return method


class ParamGroup(dict):
    """A dict whose changes compiled functions notice, so that a run need not read every number anew."""

    for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
        locals()[_name] = _counted(_name)
    del _name
