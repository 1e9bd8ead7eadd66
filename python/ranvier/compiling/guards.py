"""What a program takes for granted, and whether it is still so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from copy import copy
from typing import Any

from ..core.context import Epoch
from ..core.held import ModuleState
from ..core.tape import stale
from ..core.tensor import TensorBase
from .watch import Entry


class Guards:
    """Whatever of Python has been baked into a program. As long as no Epoch has passed, `hold` compares one integer.

    Args:
        tensors: they keep the arrays that the program is bound to. conditions: (f, value): f() stays that value.
        modules: they keep their mode and what they consist of. histories: whether `tensors` keep what is known of their
            place on the tape.
        entries: places that keep what they hold (compiling/watch.py). written: attributes of modules that may change.
        given: (t, value): t.grad is a gradient of the value's shape and dtype, but not the one that the `results` of a run,
            (t, its .grad afterwards), name.
        grads: (t, value): t.grad is that at each call. updaters: functions that bring numbers known to Python up to date.
    """

    __slots__ = (
        "arrays", "conditions", "modules", "modes", "histories", "grads", "updaters", "entries", "written", "given",
        "epoch",
    )  # fmt: skip

    def __init__(
        self,
        tensors: Iterable[Any],
        conditions: Iterable[tuple[Callable, Any]] = (),
        modules: Iterable[ModuleState] = (),
        histories: bool = False,
        grads: Iterable[tuple[Any, Any]] = (),
        updaters: Iterable[Callable] = (),
        entries: Iterable[Entry] = (),
        written: Collection[str] = (),
        given: Iterable[tuple[Any, Any]] = (),
        results: Iterable[tuple[Any, Any]] = (),
    ):
        self.epoch = Epoch.value
        self.arrays = [(t, t._data) for t in tensors]
        self.conditions, self.grads, self.updaters = list(conditions), list(grads), list(updaters)
        self.modules = [ModuleState(state.module) for state in modules]
        own = {id(t): g for t, g in results}
        self.given = [(t, g.shape, g.dtype, own.get(id(t))) for t, g in given]
        self.modes, self.entries, self.written = True, list(entries), written
        self.histories: list[tuple[Any, bool, bool, bool]] = []
        if histories:
            self.histories = [(t, t._requires_grad, t._node is None, stale(t)) for t, _ in self.arrays]

    def without_modes(self) -> Guards:
        """The same for a caller that sees to modes and the tape itself."""
        other = copy(self)
        other.modes, other.histories = False, []
        return other

    def hold(self) -> bool:
        """Whether the program is still what would be made now; numbers known to Python are up to date then."""
        for t, grad in self.grads:
            if t.grad is not grad:
                return False
        for t, shape, dtype, own in self.given:
            g: Any = t.grad
            if not isinstance(g, TensorBase) or g is own or g._data.shape != shape or g._data.dtype != dtype:
                return False
        return self.same_entries() and (self.epoch == Epoch.value or self.look())

    def same_entries(self) -> bool:
        """Whether closures, globals and objects hold what they did."""
        for k, entry in enumerate(self.entries):
            if entry.items is not None or entry.now() is not entry.value:
                if not entry.holds():
                    return False
                self.entries[k] = entry.renewed()  # an equal value, which is found more quickly from now on
        return True

    def same_python(self) -> bool:
        """Whether settings, modules and what names stand for are as they were."""
        return (
            all(current() == value for current, value in self.conditions)
            and all(
                state.holds(self.written) and not (self.modes and state.mode != state.module.training)
                for state in self.modules
            )
            and self.same_entries()
        )

    def same_tensors(self) -> bool:
        """Whether tensors have the arrays, and the place on the tape, that they had."""
        for t, array in self.arrays:
            if t._data is not array:
                return False
        for t, needs, leaf, old in self.histories:
            if t._requires_grad != needs or (t._node is None) != leaf or (t._base is not None and stale(t)) != old:
                return False
        return True

    def look(self) -> bool:
        """`hold` but for gradients, whatever the Epoch."""
        epoch = Epoch.value
        if not (self.same_python() and self.same_tensors()):
            return False
        for refresh in self.updaters:
            refresh()
        self.epoch = epoch
        return True
