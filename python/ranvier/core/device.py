"""Devices by name. So far there is one, "cpu"; the others are known, so that scripts can ask for them."""

from __future__ import annotations

from typing import Any

from .errors import BackendError

KNOWN = ("cpu", "cuda", "mps", "xpu", "meta")


class Device(str):
    """A device's type and, of several, its index. It is its name as well: `device("cpu") == "cpu"`.

    >>> import ranvier as rv
    >>> rv.zeros(1).device
    device(type='cpu')
    >>> rv.device("cuda:1").index
    1
    """

    __slots__ = ("type", "index")
    type: str
    index: int | None  # type: ignore[assignment]  # str.index is not missed

    def __new__(cls, type: Any, index: int | None = None) -> Device:
        if isinstance(type, int):
            type, index = "cuda", type
        kind, _, number = str(type).partition(":")
        if kind not in KNOWN or number and (index is not None or not number.isdigit()):
            raise ValueError(
                f"device: {str(type)!r} must be one of {', '.join(KNOWN)}, with an index at most: 'cuda:0'"
            )
        index = int(number) if number else index
        self = super().__new__(cls, kind if index is None else f"{kind}:{index}")
        self.type, self.index = kind, index
        return self

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (")" if self.index is None else f", index={self.index})")

    def __reduce__(self) -> Any:
        return Device, (self.type, self.index)


CPU = Device("cpu")


def is_device(value: Any) -> bool:
    """Whether `value` names a device, and not a dtype."""
    return isinstance(value, Device) or isinstance(value, str) and value.partition(":")[0] in KNOWN


def as_device(value: Any, name: str) -> Device:
    """The device that `value` names, a string, a Device or an object with a `type`; None is the CPU. `name` asks for it."""
    if value is None or value == "cpu":
        return CPU
    device = Device(getattr(value, "type", value) if not isinstance(value, str) else value)
    if device.type != "cpu":
        raise BackendError(f"{name}: device {str(device)!r} is not available; devices: cpu")
    return device
