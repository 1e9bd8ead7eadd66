"""Functions that see a tensor's gradient when the backward pass has all of it, and may replace it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from ..core.context import Epoch, local
from ..core.errors import DTypeError, GradError, ShapeError

_next_id = count().__next__


class RemovableHandle:
    """Takes a hook off again, by `remove()` or at the end of a `with` block."""

    def __init__(self, take_off: Callable[[int], None], id: int):
        self._take_off, self.id = take_off, id

    def remove(self) -> None:
        self._take_off(self.id)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks(dict):
    """The hooks of one tensor, by number; they live as long as its node of the tape, or itself if it is a leaf."""

    __slots__ = ("__weakref__",)
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


_alive: weakref.WeakSet[Hooks] = weakref.WeakSet()  # those with any hook
_LAST = 1 << 62  # added to the numbers of hooks that run after all others
_ACCUMULATED = 1 << 63  # to those of hooks that run once `.grad` has the gradient
_changes = 0


def changes() -> int:
    """How often hooks were put on or taken off: traces of backward passes hold while it stays that."""
    return _changes


def any_hooks() -> bool:
    """Whether some tensor has a hook. A trace of a backward pass depends on them."""
    if local.tracer is not None and all(current is not changes for current, _ in local.tracer.guards):
        local.tracer.guard(changes)
    return bool(_alive)


def _changed() -> None:
    global _changes
    _changes += 1
    Epoch.bump()


def _take_off(of: weakref.ref[Hooks], id: int) -> None:
    hooks = of()
    if hooks is not None and hooks.pop(id, None) is not None:
        if not hooks:
            _alive.discard(hooks)
        _changed()


def register_accumulated(t: Any, hook: Callable) -> RemovableHandle:
    """Call `hook(t)` whenever a backward pass has changed `t.grad`."""
    if t._node is not None:
        raise GradError(
            f"register_post_accumulate_grad_hook: the tensor of shape {t.shape} is no leaf, it gets no .grad"
        )
    return _register(t, hook, _ACCUMULATED)


def register(t: Any, hook: Callable, last: bool = False) -> RemovableHandle:
    """Call `hook(gradient)` in each backward pass through `t`: see Tensor.register_hook. `last`: after the other hooks."""
    return _register(t, hook, _LAST * last)


def _register(t: Any, hook: Callable, rank: int) -> RemovableHandle:
    if not callable(hook):
        raise DTypeError(f"register_hook: hook={hook!r:.60} of type {type(hook).__name__} must be a function")
    if not t._requires_grad:
        raise GradError(f"register_hook: the tensor of shape {t.shape} does not require a gradient")
    if t._node is None:
        hooks = getattr(t, "_hooks", None)
        if hooks is None:
            hooks = t._hooks = Hooks()
    else:
        by_output = getattr(t._node, "hooks", None)
        if by_output is None:
            by_output = t._node.hooks = {}
        hooks = by_output.setdefault(t._index, Hooks())
    number = _next_id() + rank
    hooks[number] = hook
    _alive.add(hooks)
    _changed()
    return RemovableHandle(partial(_take_off, weakref.ref(hooks)), number)


def _run(hooks: Hooks, g: Any) -> Any:
    for number, hook in sorted(hooks.items()):
        if number >= _ACCUMULATED:
            break
        new = hook(g)
        if new is not None:
            if getattr(new, "shape", None) != g.shape or new.dtype != g.dtype:
                raise ShapeError(f"hook: {new!r:.60} must be None or a gradient like the one given, {g.dtype}{g.shape}")
            g = new
    return g


def of_node(node: Any, slots: list) -> None:
    """Pass the gradients of a node's outputs through their hooks."""
    for index, hooks in (getattr(node, "hooks", None) or {}).items():
        if hooks and slots[index] is not None:
            slots[index] = _run(hooks, slots[index])


def of_leaf(entry: list) -> None:
    """Pass a leaf's gradient through its hooks; `entry` is [leaf, gradient]."""
    hooks = getattr(entry[0], "_hooks", None)
    if hooks:
        entry[1] = _run(hooks, entry[1])


def of_accumulated(t: Any) -> None:
    """`t.grad` has got its gradient."""
    for number, hook in sorted((getattr(t, "_hooks", None) or {}).items()):
        if number >= _ACCUMULATED:
            hook(t)
