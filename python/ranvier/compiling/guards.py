"""What a program takes for granted, and whether it is still so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

from ..core.context import Epoch
from ..core.tape import stale


class Guards:
    """Whatever of Python has been baked into a program. As long as no Epoch has passed, `hold` compares one integer.

    Args:
        tensors: they keep the arrays that the program is bound to. conditions: (f, value): f() stays that value.
        modules: they keep their mode and what they consist of. histories: whether `tensors` keep what is known of their
            place on the tape.
        grads: (t, value): t.grad is that at each call. updaters: functions that bring numbers known to Python up to date.
    """

    __slots__ = ("arrays", "conditions", "modules", "histories", "grads", "updaters", "epoch")

    def __init__(
        self,
        tensors: Iterable[Any],
        conditions: Iterable[tuple[Callable, Any]] = (),
        modules: Iterable[Any] = (),
        histories: bool = False,
        grads: Iterable[tuple[Any, Any]] = (),
        updaters: Iterable[Callable] = (),
    ):
        self.epoch = Epoch.value
        self.arrays = [(t, t._data) for t in tensors]
        self.conditions, self.grads, self.updaters = list(conditions), list(grads), list(updaters)
        self.modules = [(m, m.training, m._edits) for m in modules]
        self.histories = [(t, _history(t)) for t, _ in self.arrays] if histories else []

    def without_modes(self) -> Guards:
        """The same for a caller that sees to modes and the tape itself."""
        other = copy(self)
        other.modules, other.histories = [(m, None, edits) for m, _, edits in self.modules], []
        return other

    def hold(self) -> bool:
        """Whether the program is still what would be made now; numbers known to Python are up to date then."""
        for t, grad in self.grads:
            if t.grad is not grad:
                return False
        return self.epoch == Epoch.value or self.look()

    def same_python(self) -> bool:
        """Whether settings and modules are as they were."""
        return not (
            any(current() != value for current, value in self.conditions)
            or any(m._edits != edits or mode not in (None, m.training) for m, mode, edits in self.modules)
        )

    def look(self) -> bool:
        """`hold` but for gradients, whatever the Epoch."""
        epoch = Epoch.value
        if (
            not self.same_python()
            or any(_history(t) != known for t, known in self.histories)
            or any(t._data is not array for t, array in self.arrays)
        ):
            return False
        for refresh in self.updaters:
            refresh()
        self.epoch = epoch
        return True


def _history(t: Any) -> tuple[bool, bool, bool]:
    return t._requires_grad, t._node is None, stale(t)
