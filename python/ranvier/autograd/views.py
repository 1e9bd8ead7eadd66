"""Writing through views, and views whose base has been written to: the base gets a new history, and so do its views."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..core.context import local, set_grad_enabled
from ..core.errors import DomainError, GradError
from ..core.tape import DETACHED
from ..core.tensor import wrap
from ..core.traced import is_traced


def assign_through(t: Any, new: Any) -> Any:
    """`t` takes the value of `new`, where gradients are recorded: its base gets a new history, and t one from there."""
    base, places = t._base, _places(t)
    if places is None or not _recorded(t) or not t._data.flags.writeable:
        raise _refused(t)
    if base.ndim:
        base._assign(ops.index.index_put(base, new, *places, axes=tuple(range(base.ndim))))
    else:
        base._assign(new.reshape(()))
    follow_base(t)
    return t


def assign_traced(t: Any, new: Any) -> Any:
    """`t`, a view made while tracing, takes the value of `new`: its base gets it, back through the ops that made t."""
    follow_base(t)
    if t._base is None:  # it was a copy
        return t._assign(new)
    calls: list = _calls(t) or []
    parts, recorded = [t._base], _recorded(t)
    if local.grad_enabled and new._requires_grad and not recorded:
        raise _refused(t)
    with set_grad_enabled(local.grad_enabled and recorded):
        for call in calls:
            parts.append(call.apply((parts[-1],)))
        for call, part in zip(reversed(calls), reversed(parts[:-1])):
            if call.op.put is None:
                raise DomainError(
                    f"in-place change of a tensor of shape {t.shape}: what {call.op.name} gives is read-only"
                )
            new = call.op.put(part, new, **call.attrs)
        t._base._assign(new)
    follow_base(t)
    return t


def follow_base(t: Any) -> None:
    """Take part in what has become of the base of `t`: history, and traced values."""
    base, recorded = t._base, _recorded(t)
    if is_traced(t._data):
        calls = _calls(t)
        if calls is None:
            raise _out_of_date(t)
        if not _share_memory(base, calls):
            t._base = None  # eager calls would have copied it
            return
        with set_grad_enabled(recorded):
            fresh = base
            for call in calls:
                fresh = call.apply((fresh,))
        t._data = local.tracer.value_of(fresh)
        local.tracer.views[id(t)] = t, local.tracer.value_of(base)
    else:
        places = _places(t)
        if places is None:
            raise _out_of_date(t)
        axes = tuple(range(base.ndim))
        with set_grad_enabled(True):
            fresh = ops.index.index_get(base, *places, axes=axes) if axes else base.reshape(t.shape)
    if recorded:
        t._take_history(fresh)
    t._version = base._version


def _out_of_date(t: Any) -> GradError:
    return GradError(
        f"a view of shape {t.shape} is used after its base, shape {t._base.shape}, was changed in place: its gradient would "
        "not pass through the change; make the view again"
    )


def _recorded(t: Any) -> bool:
    """Whether the history of this view is that of its base: not where it was detached, or made under no_grad."""
    unrecorded = t._node is None and t._base._requires_grad and t._version == t._base._version
    return t._index != DETACHED and not unrecorded


def _refused(t: Any) -> GradError:
    return GradError(
        f"in-place change, through a view of shape {t.shape}, of or by a value that requires a gradient; "
        "change the base tensor by indexing, or build a new one with cat() or where()"
    )


def _places(t: Any) -> list | None:
    """Where the elements of this view lie in its base, as indices; None where that is not known."""
    part, whole = t._data, t._base._data
    if local.tracer is not None or not whole.flags.c_contiguous:
        return None
    places = np.array((part.__array_interface__["data"][0] - whole.__array_interface__["data"][0]) // whole.itemsize)
    for n, stride in zip(part.shape, part.strides):
        places = places[..., None] + np.arange(n) * (stride // whole.itemsize)
    return [wrap(np.asarray(i)) for i in np.unravel_index(places, whole.shape)] if whole.ndim else []


def _calls(t: Any) -> list | None:
    """The calls of view ops that have made this traced view of its base, in order; None where that is not known."""
    _, start = local.tracer.views.get(id(t), (t, None))
    calls, value = [], t._data
    while value is not start:
        if value.node is None or not value.node.call.view:
            return None
        calls.append(value.node.call)
        value = value.node.inputs[0]
    return calls[::-1]


def _share_memory(base: Any, calls: list) -> bool:
    """Whether those calls on `base` give a view: a reshape may have to copy."""
    shown = whole = np.empty(base.shape, bool) if is_traced(base._data) else base._data
    for call in calls:
        shown = call.op.reference(np, shown, **call.attrs)
    return not shown.size or np.may_share_memory(shown, whole)
