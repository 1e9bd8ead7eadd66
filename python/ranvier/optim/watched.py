"""What users may edit of an optimizer: its groups of parameters and its states, in containers that notice changes.

Steps need not read every number and every state anew: they look again only after a change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from ..core.context import Epoch, local
from ..core.errors import TraceError
from ..core.held import all_items, same
from ..tensor import Tensor

_next_edit = count(1).__next__


def _watched(kind: Any, *names: str) -> dict[str, Any]:
    """The methods `names` of a container, which call `_edited` after they have changed it."""

    def watch(name: str) -> Any:
        change = getattr(kind, name)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if local.tracer is not None:
                after = kind.copy(self)
                result = change(after, *args, **kwargs)
                if not same(all_items(after), all_items(self)):
                    raise TraceError(
                        f"an optimizer's {self._what} are changed inside of a compiled function, which would happen once, "
                        "while it is traced; change them between its calls: each reads them anew"
                    )
                return result
            try:
                return change(self, *args, **kwargs)
            finally:  # not before: a run of another thread would look too early
                self._edited()

        method.__name__, method.__doc__ = name, change.__doc__
        return method

    return {name: watch(name) for name in names}


_DICT = ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update")
_LIST = (
    "__setitem__", "__delitem__", "__iadd__", "__imul__", "append", "clear", "extend", "insert", "pop", "remove",
    "reverse", "sort",
)  # fmt: skip


class WatchedList(list):
    """A list (of parameters, of groups) whose changes compiled functions notice."""

    _what = "options and groups"

    locals().update(_watched(list, *_LIST))

    def _edited(self) -> None:
        Epoch.bump()


class ParamGroup(dict):
    """The options of a group of parameters, "params" among them; compiled functions notice its changes.

    The attributes are what an optimizer has made of it for its steps.
    """

    __slots__ = ("plan", "hyper", "seen", "flags")
    _what = "options and groups"

    def __init__(self, options: Mapping[str, Any]):
        super().__init__(options)
        self.plan: Any = None
        self.hyper: Any = None
        self.seen: Any = None
        self.flags: list[bool] = []
        self._edited()

    locals().update(_watched(dict, *_DICT))

    def _edited(self) -> None:
        params = self.get("params")
        if params is not None and type(params) is not WatchedList:
            dict.__setitem__(self, "params", WatchedList([params] if isinstance(params, Tensor) else params))
        Epoch.bump()

    def __reduce__(self) -> tuple:  # copies and files hold no programs
        return ParamGroup, (dict(self),)


class GroupList(WatchedList):
    """The groups of an optimizer; dicts put into it become groups."""

    def _edited(self) -> None:
        for index, group in enumerate(self):
            if type(group) is not ParamGroup:
                list.__setitem__(self, index, ParamGroup(group))
        Epoch.bump()


class StateEntry(dict):
    """The states of one parameter, by name."""

    __slots__ = ("_states",)
    _what = "states"

    def __init__(self, states: States, entry: Mapping[str, Any]):
        super().__init__(entry)
        self._states = states

    locals().update(_watched(dict, *_DICT[1:]))

    def begin(self, name: str, value: Tensor) -> None:
        """Set a state that holds no part of a trace."""
        super().__setitem__(name, value)
        self._edited()

    def __setitem__(self, name: str, value: Any) -> None:
        old = self.get(name)
        if value is old and value is not None:  # after a change in place
            return
        if local.tracer is None:
            self.begin(name, value)
        elif isinstance(value, Tensor) and isinstance(old, Tensor):
            old._assign(value)
        elif isinstance(value, Tensor):
            raise TraceError(
                f"state {name!r} of an optimizer would begin inside a compiled function; make a step outside of it first"
            )
        elif name not in self or not same(old, value):
            raise TraceError(
                f"state {name!r} of an optimizer becomes {value!r} inside a compiled function, and would stay that; keep a "
                "tensor there, and change it in place"
            )

    def _edited(self) -> None:
        self._states._edited()

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)


class States(defaultdict):
    """The states of an optimizer: parameter -> its states by name. `edits` is another number after each change."""

    def __init__(self, entries: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()):
        super().__init__(dict)
        self.edits = 0
        self.update(entries)

    locals().update(_watched(dict, "__delitem__", "clear", "pop", "popitem"))
    _what = "states"

    def __missing__(self, key: Any) -> Any:
        self[key] = {}
        return self[key]

    def __setitem__(self, key: Any, entry: Any) -> None:
        if local.tracer is not None and entry:
            for name, value in entry.items():
                self[key][name] = value
            return
        super().__setitem__(key, StateEntry(self, entry) if isinstance(entry, dict) else entry)
        self._edited()

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, entry in dict(*args, **kwargs).items():
            self[key] = entry

    def __ior__(self, other: Any) -> States:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = {} if default is None else default
        return self[key]

    def _edited(self) -> None:
        self.edits = _next_edit()
        Epoch.bump()

    def __reduce__(self) -> tuple:
        return States, (), None, None, iter(list(self.items()))
