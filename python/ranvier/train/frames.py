"""Arrays of what users hold their data in: frames and series of pandas, lists, arrays of other dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor


def to_array(data: Any, name: str) -> np.ndarray:
    """`data` as an array of numbers or bools.

    Columns of a frame may be numbers, bools, pandas' nullable ones (missing values become NaN) and categories that are
    numbers; text is refused, with the name of the column.
    """
    if isinstance(data, Tensor):
        return data.detach().numpy()
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        columns = [_column(data.iloc[:, i], f"{name}: column {label!r}") for i, label in enumerate(data.columns)]
        return np.column_stack(columns) if columns else np.empty((len(data), 0))
    if hasattr(data, "iloc"):
        label = getattr(data, "name", None)
        return _column(data, name if label is None else f"{name}: column {label!r}")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"{name}: rows differ in length or shape: {error}") from None
    return _numbers(array, name)


def _column(series: Any, name: str) -> np.ndarray:
    """A pandas Series as an array."""
    dtype = series.dtype
    if not isinstance(dtype, np.dtype):
        if getattr(dtype, "kind", "O") in "iufb" and series.isna().any():
            return series.to_numpy(np.float64, na_value=np.nan)
        series = series.to_numpy(dtype.numpy_dtype) if hasattr(dtype, "numpy_dtype") else np.asarray(series)
    return _numbers(np.asarray(series), name)


def _numbers(array: np.ndarray, name: str) -> np.ndarray:
    """`array`, with numbers that are kept as objects made numbers."""
    if array.dtype.kind not in "OSUMm":
        return array
    if array.dtype.kind in "Mm":
        raise TypeError(
            f"{name} holds dates or durations, and must be numeric: take numbers of them, such as days or hours"
        )
    flat = array.ravel()
    bad = next((x for x in flat if not _is_number(x)), None)
    if bad is None:
        if any(map(_is_missing, flat)):
            return np.array([np.nan if _is_missing(x) else float(x) for x in flat]).reshape(array.shape)
        numbers = np.array(flat.tolist())
        return (numbers if numbers.dtype.kind in "biuf" else numbers.astype(np.float64)).reshape(array.shape)
    if isinstance(bad, (str, bytes)):
        how = (
            "np.unique(y, return_inverse=True)[1] makes class numbers of it"
            if name.split(":")[0].endswith("y")
            else "pandas.get_dummies makes numbers of categories"
        )
        raise TypeError(f"{name} holds text, such as {str(bad)!r}, and must be numeric: {how}")
    raise TypeError(f"{name} holds objects of type {type(bad).__name__}, and must be numeric")


def _is_missing(x: Any) -> bool:
    return x is None or type(x).__name__ == "NAType"


def _is_number(x: Any) -> bool:
    return _is_missing(x) or hasattr(x, "__float__") and not isinstance(x, (str, bytes))
