"""Exception types. Each also is the built-in exception that the situation calls for in plain Python."""

from __future__ import annotations


class RanvierError(Exception):
    """Base of Ranvier's own errors; knows the layer in which it happened."""

    _scope: str | None = None

    def in_layer(self, path: str, kind: str) -> None:
        """Note the innermost layer that raised; outer layers prefix their part of the path."""
        if self._scope is None:
            self._kind, self._scope = kind, path
        elif path:
            self._scope = f"{path}.{self._scope}" if self._scope else path

    def __str__(self) -> str:
        text = super().__str__()
        if self._scope is None:
            return text
        where = f"{self._scope} ({self._kind})" if self._scope else self._kind
        return f"{text}  [in {where}]"


class ShapeError(RanvierError, ValueError):
    """Shapes, axes or sizes that do not fit the op."""


class DTypeError(RanvierError, TypeError):
    """Dtypes, or types of arguments, that the op does not take."""


class OutOfRangeError(RanvierError, IndexError):
    """An index, label or axis outside its range."""


class GradError(RanvierError, RuntimeError):
    """A gradient that was asked for where there is none, twice, or after a saved value has changed."""


class TraceError(RanvierError, RuntimeError):
    """Something that a compiled function cannot do, such as a Python branch on a traced value."""


class BackendError(RanvierError, RuntimeError):
    """A backend that is missing, or refused a plan."""


class DomainError(RanvierError, ValueError):
    """A value outside the range that the function takes."""


class StateError(RanvierError, RuntimeError):
    """A state_dict that does not fit its module."""
