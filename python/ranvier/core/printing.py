"""How tensors are printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import DTypeError

__all__ = ["set_printoptions"]

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": 2**63 - 1, "edgeitems": 3, "linewidth": 80},
}
# `even`: all numbers of a tensor with as many digits, as PyTorch prints them; else no more digits than they need
options: dict[str, Any] = {**_PROFILES["default"], "sci_mode": None, "even": False}


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """How tensors are printed from now on.

    Args:
        precision: digits behind the point (4). threshold: of more elements than this only the edges are printed (1000).
        edgeitems: how many at each end (3). linewidth: characters of a line (80). profile: "default", "short" or "full",
            the options to start from. sci_mode: whether with exponents; None decides by the values.

    >>> import ranvier as rv
    >>> rv.set_printoptions(precision=2)
    >>> rv.tensor([0.123456])
    tensor([0.12])
    >>> rv.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"set_printoptions: profile={profile!r} must be one of {', '.join(_PROFILES)}")
        options.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None and not (isinstance(value, (int, float)) and value >= 0):
            raise DTypeError(f"set_printoptions: {name}={value!r} must be a number >= 0")
    options.update({name: int(min(value, 2**63 - 1)) for name, value in given.items() if value is not None})
    options["sci_mode"] = sci_mode


def _edges(array: np.ndarray) -> np.ndarray:
    """The elements that are printed."""
    if array.size <= options["threshold"]:
        return array
    n = options["edgeitems"]
    for axis, size in enumerate(array.shape):
        if size > 2 * n:
            array = array.take([*range(n), *range(size - n, size)], axis)
    return array


def _forms(array: np.ndarray) -> Callable[[float], str]:
    """PyTorch's format of floats: whole numbers with a point, else as many digits for all, with exponents where sizes
    differ much.
    """
    values = _edges(array).astype(np.float64).reshape(-1)
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    low, high = (sizes.min(), sizes.max()) if sizes.size else (1.0, 1.0)
    whole = bool((sizes == np.rint(sizes)).all())
    wide = high > 1e8 or high / low > 1000 or (not whole and low < 1e-4)
    sci = wide if options["sci_mode"] is None else options["sci_mode"]
    form = f"{{:.{options['precision']}e}}" if sci else "{:.0f}." if whole else f"{{:.{options['precision']}f}}"
    width = max((len(form.format(x)) for x in values[np.isfinite(values)].tolist()), default=0)
    return lambda x: (form.format(x) if np.isfinite(x) else str(x)).rjust(width)


def _even(array: np.ndarray, indent: int, form: Callable[[float], str], cuts: bool) -> str:
    if array.ndim == 0:
        return form(array.item())
    n = options["edgeitems"]
    cut = n if cuts and len(array) > 2 * n else 0
    if array.ndim == 1:
        texts = [form(x) for x in array.tolist()] if not cut else [form(x) for x in array[:n].tolist()]
        if cut:
            texts += [" ...", *(form(x) for x in array[-n:].tolist())]
        a_line = max((options["linewidth"] - indent) // (len(texts[0]) + 2), 1) if texts else 1
        lines = [", ".join(texts[i : i + a_line]) for i in range(0, len(texts), a_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_even(x, indent + 1, form, cuts) for x in (array if not cut else array[:n])]
    if cut:
        parts += ["...", *(_even(x, indent + 1, form, cuts) for x in array[-n:])]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def text_of(array: np.ndarray, prefix: str) -> str:
    """The elements of a tensor, to stand behind `prefix`."""
    if options["even"] and array.dtype.kind == "f":
        return _even(array, len(prefix), _forms(array), array.size > options["threshold"])
    style: dict[str, Any] = {name: options[name] for name in ("precision", "threshold", "edgeitems")}
    if options["sci_mode"] is not None:
        style["suppress_small"] = not options["sci_mode"]
    return np.array2string(array, separator=", ", prefix=prefix, max_line_width=options["linewidth"], **style)
