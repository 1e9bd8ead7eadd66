"""A dict that forgets what has not been used for long."""

from __future__ import annotations

from typing import Any


class Recent(dict):
    """Keeps the `most` entries that were used last, and at most twice as many; `recent[key]` is None for all others.

    Two generations: when the young one is full it becomes the old one, and what is read from there is young again. So a
    look-up that succeeds costs what a dict's does.
    """

    def __init__(self, most: int):
        super().__init__()
        self.most = most
        self._old: dict = {}

    def __missing__(self, key: Any) -> Any:
        value = self._old.get(key)
        if value is not None:
            self[key] = value
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) >= self.most and key not in self:
            self._old = dict(self)
            self.clear()
        super().__setitem__(key, value)
