"""Scaling of features, as scikit-learn's scalers of the same names. Fit them on training data only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.tensor import from_numpy
from ..tensor import Tensor

_EPS = np.finfo(np.float64).eps


class _Scaler:
    """A map a column that fit() learns."""

    _fitted: tuple[str, ...] = ()  # names of what fit() learns; float64 arrays of one entry a column

    def _learn(self, x: np.ndarray) -> None:
        raise NotImplementedError

    def _forward(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _backward(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _array(self, x: Any, what: str) -> np.ndarray:
        name = type(self).__name__
        data = np.asarray(x.detach().numpy() if isinstance(x, Tensor) else x)
        if data.dtype.kind not in "fiub":
            raise TypeError(f"{name}.{what}: dtype {data.dtype} must be numeric")
        if data.ndim < 2:
            raise ValueError(
                f"{name}.{what}: x{data.shape} must have rows and columns; x.reshape(-1, 1) makes one column"
            )
        if what != "fit":
            if not hasattr(self, "_columns"):
                raise RuntimeError(f"{name}.{what}: call fit() on the training data first")
            if data.shape[1:] != self._columns:
                raise ValueError(
                    f"{name}.{what}: x{data.shape} has columns of shape {data.shape[1:]}, but fit() saw {self._columns}"
                )
        return data

    def fit(self, x: Any) -> Any:
        """Learn from the rows of `x`, shape (N, ...); NaNs are left out of the statistics."""
        data = self._array(x, "fit")
        if data.shape[0] == 0:
            raise ValueError(f"{type(self).__name__}.fit: x{data.shape} has no rows")
        self._columns = data.shape[1:]
        self._learn(data.astype(np.float64))
        return self

    def _apply(self, x: Any, what: str, function: Callable[[np.ndarray], np.ndarray]) -> Any:
        data = self._array(x, what)
        dtype = data.dtype if data.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        result = function(data.astype(np.float64)).astype(dtype)
        return from_numpy(result) if isinstance(x, Tensor) else result

    def transform(self, x: Any) -> Any:
        """Scaled copy of `x`: an array for an array, a Tensor for a Tensor; float32 stays float32."""
        return self._apply(x, "transform", self._forward)

    def inverse_transform(self, x: Any) -> Any:
        """Undo `transform`."""
        return self._apply(x, "inverse_transform", self._backward)

    def fit_transform(self, x: Any) -> Any:
        """`fit(x)`, then `transform(x)`."""
        return self.fit(x).transform(x)

    def state_dict(self) -> dict[str, np.ndarray]:
        """What fit() learnt, as arrays; `rv.save` takes it."""
        if not hasattr(self, "_columns"):
            raise RuntimeError(f"{type(self).__name__}.state_dict: call fit() on the training data first")
        return {name: np.array(getattr(self, name), np.float64) for name in self._fitted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        if set(state_dict) != set(self._fitted):
            raise KeyError(
                f"{type(self).__name__}.load_state_dict: keys {sorted(state_dict)} must be {sorted(self._fitted)}"
            )
        for name, value in state_dict.items():
            setattr(self, name, np.array(value, np.float64))
        self._columns = getattr(self, self._fitted[0]).shape


class StandardScaler(_Scaler):
    """(x - mean) / standard deviation, a column; a constant column only loses its mean.

    Args:
        with_mean: subtract the mean. with_std: divide by the standard deviation (of the population).

    >>> import numpy as np
    >>> from ranvier.data import StandardScaler
    >>> StandardScaler().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    _fitted = ("mean_", "var_", "scale_")

    def __init__(self, *, with_mean: bool = True, with_std: bool = True):
        self.with_mean, self.with_std = with_mean, with_std

    def _learn(self, x: np.ndarray) -> None:
        count = np.sum(~np.isnan(x), axis=0)
        self.mean_ = np.nanmean(x, axis=0)
        self.var_ = np.nanvar(x, axis=0)
        # a variance within its own rounding error is none (bound of the two-pass algorithm, Chan et al. 1983)
        constant = self.var_ <= count * _EPS * self.var_ + (count * self.mean_ * _EPS) ** 2
        self.scale_ = np.where(constant, 1.0, np.sqrt(self.var_))
        self.n_samples_seen_ = x.shape[0]

    def _forward(self, x: np.ndarray) -> np.ndarray:
        x = x - self.mean_ if self.with_mean else x
        return x / self.scale_ if self.with_std else x

    def _backward(self, x: np.ndarray) -> np.ndarray:
        x = x * self.scale_ if self.with_std else x
        return x + self.mean_ if self.with_mean else x


class MinMaxScaler(_Scaler):
    """Maps each column's range in the training data to `feature_range`.

    Args:
        feature_range: (low, high) of the result. clip: cut values of other data off at these bounds.

    >>> import numpy as np
    >>> from ranvier.data import MinMaxScaler
    >>> MinMaxScaler().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[0., 0.],
           [1., 0.]])
    """

    _fitted = ("data_min_", "data_max_")

    def __init__(self, feature_range: tuple[float, float] = (0, 1), *, clip: bool = False):
        if not feature_range[0] < feature_range[1]:
            raise ValueError(f"MinMaxScaler: feature_range={feature_range} must be (low, high) with low < high")
        self.feature_range, self.clip = feature_range, clip

    def _learn(self, x: np.ndarray) -> None:
        self.data_min_, self.data_max_ = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
        self.n_samples_seen_ = x.shape[0]

    @property
    def data_range_(self) -> np.ndarray:
        return self.data_max_ - self.data_min_

    @property
    def scale_(self) -> np.ndarray:
        spread = self.data_range_
        return (self.feature_range[1] - self.feature_range[0]) / np.where(spread < 10 * _EPS, 1.0, spread)

    @property
    def min_(self) -> np.ndarray:
        return self.feature_range[0] - self.data_min_ * self.scale_

    def _forward(self, x: np.ndarray) -> np.ndarray:
        x = x * self.scale_ + self.min_
        return np.clip(x, *self.feature_range) if self.clip else x

    def _backward(self, x: np.ndarray) -> np.ndarray:
        return (x - self.min_) / self.scale_
