"""The options of a group of parameters."""

from __future__ import annotations

from typing import Any

from ..core.context import Epoch, local
from ..core.errors import TraceError
from ..core.held import same


def _counted(kind: Any, name: str) -> Any:
    change = getattr(kind, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if local.tracer is not None:
            after = kind.copy(self)
            result = change(after, *args, **kwargs)
            if not same(after, kind.copy(self)):
                raise TraceError(
                    "an optimizer's options and groups are changed inside of a compiled function, which would happen once, "
                    "while it is traced; change them between its calls: each reads them anew"
                )
            return result
        try:
            return change(self, *args, **kwargs)
        finally:  # not before: a run of another thread would look too early
            Epoch.bump()

    method.__name__, method.__doc__ = name, change.__doc__
    return method


class ParamGroup(dict):
    """A dict whose changes compiled functions notice, so that a run need not read every number anew."""

    for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
        locals()[_name] = _counted(dict, _name)
    del _name


class CountedList(list):
    """A list (of parameters, of groups) whose changes compiled functions notice."""

    for _name in (
        "__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop", "remove",
        "reverse", "sort",
    ):  # fmt: skip
        locals()[_name] = _counted(list, _name)
    del _name
