"""What Python holds outside of tensors, and whether that is what it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

import numpy as np

MOST_ITEMS = 256  # of a container that is looked into
MOST_BYTES = 1 << 16  # of an array
CONTAINERS = (list, dict, set, deque)  # whose items may change
SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, slice)


def is_value(x: Any) -> bool:
    """Whether `x` is a number, a name, None, or a structure of them."""
    if isinstance(x, dict):
        return len(x) <= MOST_ITEMS and all(is_value(k) and is_value(v) for k, v in x.items())
    if isinstance(x, (tuple, *CONTAINERS)):
        return len(x) <= MOST_ITEMS and all(map(is_value, x))
    return isinstance(x, SCALARS)


def same(a: Any, b: Any) -> bool:
    """Whether nothing can tell `a` from `b`: one object, or equal values of one type (1 is not True, nor 0.0 -0.0)."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b if isinstance(a, (str, bytes)) else isinstance(a, SCALARS) and repr(a) == repr(b)


def all_items(x: Any) -> tuple:
    """What a container holds; keys of a dict before their values."""
    return tuple(item for pair in x.items() for item in pair) if isinstance(x, dict) else tuple(x)


def items_of(x: Any) -> tuple | None:
    """What a container or a NumPy array holds; None for anything else, and for a large one."""
    if isinstance(x, np.ndarray):
        return (x.tobytes(), x.shape, x.dtype) if x.nbytes <= MOST_BYTES and not x.dtype.hasobject else None
    if not isinstance(x, CONTAINERS) or len(x) > MOST_ITEMS:
        return None
    return all_items(x)


class ModuleState:
    """What an nn.Module consists of: mode, attributes, children and hooks. While its `_edits` stay the same it does."""

    __slots__ = ("module", "mode", "edits", "attributes", "members")

    def __init__(self, module: Any):
        self.module, self.mode = module, module.training
        self._take()

    def _take(self) -> None:
        m = self.module
        self.edits: int = m._edits
        self.attributes: dict[str, Any] = {k: v for k, v in m.__dict__.items() if k not in ("training", "_edits")}
        self.members: list = self._members()

    def _members(self) -> list:
        return [*self.module._modules.values(), *self.module._hooks.values()]

    def changed(self) -> list[str]:
        """The attributes that are not what they were."""
        now = self.module.__dict__
        names = dict.fromkeys([*self.attributes, *now])
        return [k for k in names if k not in ("training", "_edits") and not same(now.get(k), self.attributes.get(k))]

    def holds(self, ignored: Collection[str] = ()) -> bool:
        """Whether all but the mode, and the attributes `ignored`, is what it was."""
        if self.edits == self.module._edits:
            return True
        before, after = self.members, self._members()
        if len(before) != len(after) or any(a is not b for a, b in zip(before, after)):
            return False
        if any(name not in ignored for name in self.changed()):
            return False
        self._take()  # so that the next look is a short one
        return True
